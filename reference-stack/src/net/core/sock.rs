//! The part that every socket has (`struct sock` and `struct inet_sock`), the table of all
//! sockets, and the memory that packets on their way out are charged.

use super::errqueue::SockExterr;
use super::skbuff::Skb;
use super::timestamping::SockTstamp;
use crate::errno::Errno;
use crate::lib::hash::DetHashMap;
use crate::lib::shared::Arc;
use crate::net::ipv4::inet_hashtables::InetHashinfo;
use crate::net::ipv4::route::Dst;
use crate::net::ipv4::tcp_sock::{RequestSock, TcpSock, TimewaitSock};
use crate::net::ipv4::udp::UdpSock;
use crate::net::ipv6::{AfOps, Ipv6Pinfo};
use crate::time::Jiffies;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A socket's number in the table of all sockets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SockId(pub u32);

/// Socket states (`include/net/tcp_states.h`), which UDP uses in part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// ESTABLISHED.
    Established = 1,
    /// SYN-SENT.
    SynSent,
    /// SYN-RECEIVED (a full socket: simultaneous open or just made from a request).
    SynRecv,
    /// FIN-WAIT-1.
    FinWait1,
    /// FIN-WAIT-2.
    FinWait2,
    /// TIME-WAIT.
    TimeWait,
    /// CLOSED.
    #[default]
    Close,
    /// CLOSE-WAIT.
    CloseWait,
    /// LAST-ACK.
    LastAck,
    /// LISTEN.
    Listen,
    /// CLOSING.
    Closing,
    /// A request socket: SYN-RECEIVED before the third ACK.
    NewSynRecv,
}

impl TcpState {
    /// This state's bit in a mask (`TCPF_*`).
    pub const fn mask(self) -> u32 {
        1 << self as u8
    }

    /// Whether the state is one of `states`.
    pub const fn is_in(self, states: u32) -> bool {
        self.mask() & states != 0
    }
}

/// `RCV_SHUTDOWN`.
pub(crate) const RCV_SHUTDOWN: u8 = 1;
/// `SEND_SHUTDOWN`.
pub(crate) const SEND_SHUTDOWN: u8 = 2;
/// `SHUTDOWN_MASK`.
pub(crate) const SHUTDOWN_MASK: u8 = 3;
/// `SOCK_SNDBUF_LOCK`.
pub(crate) const SOCK_SNDBUF_LOCK: u8 = 1;
/// `SOCK_RCVBUF_LOCK`.
pub(crate) const SOCK_RCVBUF_LOCK: u8 = 2;
/// `SOCK_MIN_SNDBUF` is twice this buffer's truesize; see [`SockCommon::new`].
pub(crate) const SOCK_MIN_RCVBUF: i32 = 2304;
/// `SOCK_MIN_SNDBUF` (x86_64).
pub(crate) const SOCK_MIN_SNDBUF: i32 = 4608;
/// `MAX_SCHEDULE_TIMEOUT`: wait for ever.
pub(crate) const MAX_SCHEDULE_TIMEOUT: Jiffies = Jiffies::MAX;

/// `struct sock` with `struct inet_sock`: what TCP, UDP and raw sockets share. Names are Linux's.
#[derive(Clone, Debug)]
pub(crate) struct SockCommon {
    pub(crate) id: SockId,
    pub(crate) sk_family: u16,
    /// SOCK_STREAM and so on.
    pub(crate) sk_type: i32,
    pub(crate) sk_protocol: u8,
    pub(crate) sk_state: TcpState,

    // inet_sock: addresses; ports are in host order.
    pub(crate) inet_saddr: Ipv4Addr,
    pub(crate) inet_rcv_saddr: Ipv4Addr,
    pub(crate) inet_daddr: Ipv4Addr,
    /// Local port; 0: not bound.
    pub(crate) inet_num: u16,
    /// Remote port.
    pub(crate) inet_dport: u16,
    /// Next IP identification of this socket.
    pub(crate) inet_id: u16,
    pub(crate) tos: u8,
    /// TTL; `None`: the route's or `net.ipv4.ip_default_ttl`.
    pub(crate) uc_ttl: Option<u8>,
    /// `IP_PMTUDISC_*`.
    pub(crate) pmtudisc: u8,
    pub(crate) freebind: bool,
    pub(crate) recverr: bool,
    /// `IP_CMSG_*`: what a reader of datagrams is told of their headers.
    pub(crate) cmsg_flags: u8,
    pub(crate) bound_dev_if: u32,
    /// `bind_address_no_port`, `SOCK_BINDADDR_LOCK`, `SOCK_BINDPORT_LOCK`.
    pub(crate) bindaddr_lock: bool,
    pub(crate) bindport_lock: bool,
    /// The port was chosen by connect() (a bucket with `fastreuse` -1): connect() may share it.
    pub(crate) port_by_connect: bool,
    /// What an AF_INET6 socket has besides (`inet_sk(sk)->pinet6`).
    pub(crate) pinet6: Option<Box<Ipv6Pinfo>>,
    /// The tuple under which it stands in `ehash` (`sk_hash`).
    pub(crate) sk_hash: Option<crate::net::ipv4::inet_hashtables::FourTuple>,

    // flags (`sk_flags`)
    /// `SO_REUSEADDR`.
    pub(crate) sk_reuse: bool,
    pub(crate) sk_reuseport: bool,
    pub(crate) keepopen: bool,
    pub(crate) oobinline: bool,
    pub(crate) broadcast: bool,
    /// `sk_no_check_tx`: datagrams go without a checksum (SO_NO_CHECK).
    pub(crate) no_check_tx: bool,
    /// `mc_ttl`, `mc_loop`, `mc_index`: TTL, copy to this host and device of what goes to a group.
    pub(crate) mc_ttl: u8,
    pub(crate) mc_loop: bool,
    pub(crate) mc_index: u32,
    /// `SOCK_LINGER` with its time.
    pub(crate) linger: Option<Jiffies>,
    /// `SOCK_DEAD`: no user holds it (orphaned).
    pub(crate) dead: bool,
    /// `SOCK_DONE`.
    pub(crate) done: bool,
    /// `SOCK_NOSPACE`: a writer waits for room.
    pub(crate) nospace: bool,
    /// `SOCK_ZEROCOPY`.
    pub(crate) zerocopy: bool,

    pub(crate) sk_err: Option<Errno>,
    pub(crate) sk_err_soft: Option<Errno>,
    pub(crate) sk_shutdown: u8,
    pub(crate) sk_userlocks: u8,
    pub(crate) sk_rcvbuf: i32,
    pub(crate) sk_sndbuf: i32,
    pub(crate) sk_rcvlowat: i32,
    /// `MAX_SCHEDULE_TIMEOUT`: for ever.
    pub(crate) sk_rcvtimeo: Jiffies,
    pub(crate) sk_sndtimeo: Jiffies,

    // memory accounting, bytes
    pub(crate) sk_rmem_alloc: i32,
    pub(crate) sk_wmem_queued: i32,
    pub(crate) sk_forward_alloc: i32,
    pub(crate) sk_backlog_len: i32,
    /// Notifications of MSG_ZEROCOPY that are outstanding (`net.core.optmem_max` bounds it).
    pub(crate) sk_omem_alloc: u32,
    pub(crate) sk_ack_backlog: u32,
    pub(crate) sk_max_ack_backlog: u32,
    pub(crate) sk_drops: u32,

    /// A call holds the socket (`sk_lock.owned`): segments go to `sk_backlog`.
    pub(crate) sk_lock_owned: bool,
    pub(crate) sk_backlog: SkbQueue,
    pub(crate) sk_receive_queue: SkbQueue,
    pub(crate) sk_error_queue: VecDeque<SockExterr>,
    /// Number of the next call with MSG_ZEROCOPY.
    pub(crate) sk_zckey: u32,
    pub(crate) tstamp: SockTstamp,

    /// The cached route (`sk_dst_cache`), valid while its generation is the table's.
    pub(crate) sk_dst: Option<Dst>,
    pub(crate) sk_txhash: u32,
    /// `sk_dst_pending_confirm`: the next packet confirms the neighbour.
    pub(crate) dst_pending_confirm: bool,
    /// Writers that wait for the connection (`sk_write_pending`).
    pub(crate) sk_write_pending: u32,
    pub(crate) sk_priority: u32,
    pub(crate) sk_mark: u32,
    /// Bytes per second; `u64::MAX`: unlimited.
    pub(crate) sk_pacing_rate: u64,
    pub(crate) sk_max_pacing_rate: u64,
    pub(crate) sk_pacing_status: PacingStatus,
    pub(crate) sk_pacing_shift: u8,
    /// Largest super-packet the route's device takes, bytes, and segments.
    pub(crate) sk_gso_max_size: u32,
    pub(crate) sk_gso_max_segs: u16,
}

/// Who spaces packets out (`sk_pacing_status`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum PacingStatus {
    #[default]
    None,
    /// TCP keeps the time between packets (`SK_PACING_NEEDED`).
    Needed,
    /// The queueing discipline does (`SK_PACING_FQ`).
    Fq,
}

/// Buffers queued at a socket or device, in order. A snapshot copies their heads and shares their
/// payload.
#[derive(Debug, Default)]
pub(crate) struct SkbQueue {
    pub(crate) q: VecDeque<Skb>,
}

impl Clone for SkbQueue {
    fn clone(&self) -> Self {
        Self { q: self.q.iter().map(Skb::duplicate_for_snapshot).collect() }
    }
}

impl SkbQueue {
    pub(crate) fn len(&self) -> usize {
        self.q.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.q.is_empty()
    }

    /// `__skb_queue_tail`.
    pub(crate) fn push_back(&mut self, skb: Skb) {
        self.q.push_back(skb);
    }

    /// `__skb_queue_head`.
    pub(crate) fn push_front(&mut self, skb: Skb) {
        self.q.push_front(skb);
    }

    pub(crate) fn front(&self) -> Option<&Skb> {
        self.q.front()
    }

    pub(crate) fn back(&self) -> Option<&Skb> {
        self.q.back()
    }

    pub(crate) fn get(&self, i: usize) -> Option<&Skb> {
        self.q.get(i)
    }

    pub(crate) fn get_mut(&mut self, i: usize) -> Option<&mut Skb> {
        self.q.get_mut(i)
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut Skb> {
        self.q.back_mut()
    }

    /// `__skb_dequeue`.
    pub(crate) fn pop_front(&mut self) -> Option<Skb> {
        self.q.pop_front()
    }

    pub(crate) fn insert(&mut self, at: usize, skb: Skb) {
        self.q.insert(at, skb);
    }

    pub(crate) fn remove(&mut self, at: usize) -> Option<Skb> {
        self.q.remove(at)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Skb> {
        self.q.iter()
    }
}

/// `sk_wmem_alloc` of every socket: the truesize of its packets that are on their way out.
/// It lives here, where freeing a packet can reach it without the socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wmem {
    alloc: Vec<u32>,
    /// Sockets below their limit again whose small-queue work is due (`tsq_tasklet`).
    pub(crate) tsq: SmallVec<[SockId; 4]>,
    /// Sockets that asked to be told when their charge falls (`TSQ_THROTTLED`).
    pub(crate) throttled: Vec<SockId>,
}

impl Wmem {
    /// Bytes of truesize that are charged to a socket.
    pub(crate) fn get(&self, sk: SockId) -> u32 {
        self.alloc.get(sk.0 as usize).copied().unwrap_or(0)
    }

    /// Charges a packet (`skb_set_owner_w`).
    pub(crate) fn charge(&mut self, sk: SockId, truesize: u32) {
        let i = sk.0 as usize;
        if self.alloc.len() <= i {
            self.alloc.resize(i + 1, 0);
        }
        self.alloc[i] += truesize;
    }

    /// Takes a charge back (`sock_wfree`, `tcp_wfree`).
    pub(crate) fn uncharge(&mut self, sk: SockId, truesize: u32) {
        if let Some(a) = self.alloc.get_mut(sk.0 as usize) {
            *a = a.saturating_sub(truesize);
        }
        if let Some(i) = self.throttled.iter().position(|&t| t == sk) {
            self.throttled.remove(i);
            self.tsq.push(sk);
        }
    }
}

/// Any socket of the table.
#[derive(Clone, Debug)]
pub(crate) enum Sock {
    Tcp(Arc<TcpSock>),
    Udp(Arc<UdpSock>),
    /// `struct tcp_request_sock`: a SYN was answered, the third ACK is awaited.
    Req(Arc<RequestSock>),
    /// `struct tcp_timewait_sock`.
    Tw(Arc<TimewaitSock>),
}

/// All sockets of the machine, and the tables that find them.
#[derive(Clone, Debug, Default)]
pub struct Socks {
    slab: Vec<Option<Sock>>,
    free: Vec<u32>,
    /// `tcp_hashinfo`.
    pub(crate) tcp: InetHashinfo,
    /// `udp_table`: sockets by local port.
    pub(crate) udp: Arc<DetHashMap<u16, Vec<SockId>>>,
    /// Raw sockets (`raw_v4_hashinfo`).
    pub(crate) raw: Vec<SockId>,
    /// Orphaned TCP sockets (`tcp_orphan_count`).
    pub(crate) orphans: u32,
}

impl Socks {
    /// Puts a socket into the table; `make` gets its number. A number is not given again while
    /// packets are still charged to it.
    pub(crate) fn insert(&mut self, wmem: &Wmem, make: impl FnOnce(SockId) -> Sock) -> SockId {
        let reusable = self.free.iter().rposition(|&i| wmem.get(SockId(i)) == 0);
        let id = match reusable {
            Some(at) => SockId(self.free.swap_remove(at)),
            None => {
                self.slab.push(None);
                SockId(self.slab.len() as u32 - 1)
            }
        };
        self.slab[id.0 as usize] = Some(make(id));
        id
    }

    /// Takes a socket out for good.
    pub(crate) fn remove(&mut self, id: SockId) -> Option<Sock> {
        let sock = self.slab.get_mut(id.0 as usize)?.take()?;
        self.free.push(id.0);
        Some(sock)
    }

    pub(crate) fn get(&self, id: SockId) -> Option<&Sock> {
        self.slab.get(id.0 as usize)?.as_ref()
    }

    /// The TCP socket of this number.
    pub(crate) fn tcp(&self, id: SockId) -> Option<&TcpSock> {
        match self.get(id)? {
            Sock::Tcp(tp) => Some(tp),
            _ => None,
        }
    }

    /// The TCP socket of this number, to change; one shared with a snapshot is copied first.
    pub(crate) fn tcp_mut(&mut self, id: SockId) -> Option<&mut TcpSock> {
        match self.slab.get_mut(id.0 as usize)?.as_mut()? {
            Sock::Tcp(tp) => Some(Arc::make_mut(tp)),
            _ => None,
        }
    }

    pub(crate) fn udp(&self, id: SockId) -> Option<&UdpSock> {
        match self.get(id)? {
            Sock::Udp(up) => Some(up),
            _ => None,
        }
    }

    pub(crate) fn udp_mut(&mut self, id: SockId) -> Option<&mut UdpSock> {
        match self.slab.get_mut(id.0 as usize)?.as_mut()? {
            Sock::Udp(up) => Some(Arc::make_mut(up)),
            _ => None,
        }
    }

    pub(crate) fn req(&self, id: SockId) -> Option<&RequestSock> {
        match self.get(id)? {
            Sock::Req(r) => Some(r),
            _ => None,
        }
    }

    pub(crate) fn req_mut(&mut self, id: SockId) -> Option<&mut RequestSock> {
        match self.slab.get_mut(id.0 as usize)?.as_mut()? {
            Sock::Req(r) => Some(Arc::make_mut(r)),
            _ => None,
        }
    }

    pub(crate) fn tw_mut(&mut self, id: SockId) -> Option<&mut TimewaitSock> {
        match self.slab.get_mut(id.0 as usize)?.as_mut()? {
            Sock::Tw(tw) => Some(Arc::make_mut(tw)),
            _ => None,
        }
    }

    /// Every live socket with its number, in order of number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SockId, &Sock)> {
        self.slab.iter().enumerate().filter_map(|(i, s)| s.as_ref().map(|s| (SockId(i as u32), s)))
    }
}

impl SockCommon {
    /// A fresh socket (`sock_init_data`); sizes come from `net.core.{r,w}mem_default`.
    pub(crate) fn new(id: SockId, family: u16, ty: i32, protocol: u8, bufs: (i32, i32)) -> Self {
        let (sk_rcvbuf, sk_sndbuf) = bufs;
        Self {
            id,
            sk_family: family,
            sk_type: ty,
            sk_protocol: protocol,
            sk_state: TcpState::Close,
            inet_saddr: Ipv4Addr::UNSPECIFIED,
            inet_rcv_saddr: Ipv4Addr::UNSPECIFIED,
            inet_daddr: Ipv4Addr::UNSPECIFIED,
            inet_num: 0,
            inet_dport: 0,
            inet_id: 0,
            tos: 0,
            uc_ttl: None,
            pmtudisc: crate::uapi::IP_PMTUDISC_WANT,
            freebind: false,
            recverr: false,
            cmsg_flags: 0,
            bound_dev_if: 0,
            bindaddr_lock: false,
            bindport_lock: false,
            port_by_connect: false,
            pinet6: None,
            sk_hash: None,
            sk_reuse: false,
            sk_reuseport: false,
            keepopen: false,
            oobinline: false,
            broadcast: false,
            no_check_tx: false,
            mc_ttl: 1,
            mc_loop: true,
            mc_index: 0,
            linger: None,
            dead: false,
            done: false,
            nospace: false,
            zerocopy: false,
            sk_err: None,
            sk_err_soft: None,
            sk_shutdown: 0,
            sk_userlocks: 0,
            sk_rcvbuf,
            sk_sndbuf,
            sk_rcvlowat: 1,
            sk_rcvtimeo: MAX_SCHEDULE_TIMEOUT,
            sk_sndtimeo: MAX_SCHEDULE_TIMEOUT,
            sk_rmem_alloc: 0,
            sk_wmem_queued: 0,
            sk_forward_alloc: 0,
            sk_backlog_len: 0,
            sk_omem_alloc: 0,
            sk_ack_backlog: 0,
            sk_max_ack_backlog: 0,
            sk_drops: 0,
            sk_lock_owned: false,
            sk_backlog: SkbQueue::default(),
            sk_receive_queue: SkbQueue::default(),
            sk_error_queue: VecDeque::new(),
            sk_zckey: 0,
            tstamp: SockTstamp::default(),
            sk_dst: None,
            sk_txhash: 0,
            dst_pending_confirm: false,
            sk_write_pending: 0,
            sk_priority: 0,
            sk_mark: 0,
            sk_pacing_rate: u64::MAX,
            sk_max_pacing_rate: u64::MAX,
            sk_pacing_status: PacingStatus::None,
            sk_pacing_shift: 10,
            sk_gso_max_size: 65536,
            sk_gso_max_segs: 65535,
        }
    }

    /// Forgets the local address (`inet_reset_saddr`).
    pub(crate) fn inet_reset_saddr(&mut self) {
        self.inet_rcv_saddr = Ipv4Addr::UNSPECIFIED;
        self.inet_saddr = Ipv4Addr::UNSPECIFIED;
        if let Some(np) = &mut self.pinet6 {
            np.sk_v6_rcv_saddr = Ipv6Addr::UNSPECIFIED;
            np.saddr = Ipv6Addr::UNSPECIFIED;
        }
    }

    /// Gives an AF_INET6 socket its IPv4 addresses as mapped ones (`sk_rcv_saddr_set`,
    /// `sk_daddr_set`): its packets are IPv4 from now on.
    pub(crate) fn set_mapped(&mut self) {
        let (rcv_saddr, daddr) = (self.inet_rcv_saddr, self.inet_daddr);
        if let Some(np) = &mut self.pinet6 {
            np.icsk_af_ops = AfOps::Mapped;
            np.sk_v6_rcv_saddr = rcv_saddr.to_ipv6_mapped();
            np.sk_v6_daddr = daddr.to_ipv6_mapped();
            np.saddr = np.sk_v6_rcv_saddr;
        }
    }

    /// The IPv6 part of a socket whose packets are IPv6; `None` for AF_INET and for connections
    /// under mapped addresses (`icsk_af_ops == &ipv6_specific`).
    pub(crate) fn ipv6_specific(&self) -> Option<&Ipv6Pinfo> {
        self.pinet6.as_deref().filter(|np| np.icsk_af_ops == AfOps::Specific)
    }

    /// The peer's address on the wire.
    pub(crate) fn daddr(&self) -> IpAddr {
        match self.ipv6_specific() {
            Some(np) => np.sk_v6_daddr.into(),
            None => self.inet_daddr.into(),
        }
    }

    /// Takes the pending error (`sock_error`).
    pub(crate) fn sock_error(&mut self) -> Result<(), Errno> {
        self.sk_err.take().map_or(Ok(()), Err)
    }
}

/// Keeps the accounting of a queue that dies with its socket.
pub(crate) fn skb_queue_purge(net: &mut crate::net::Net, queue: &mut SkbQueue) {
    while let Some(skb) = queue.pop_front() {
        super::skbuff::kfree_skb(net, skb, super::skbuff::DropReason::Purge);
    }
}
