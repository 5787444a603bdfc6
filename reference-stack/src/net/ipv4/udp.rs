//! UDP (Linux `udp.c`): sockets by local port, datagrams out by one IP call, datagrams in with
//! the receive buffer charged by truesize. UDP-Lite, encapsulation and GRO are not built.

use super::icmp::{ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, IcmpErr, update_pmtu};
use super::ip_output::ip_send_skb;
use super::ip_sockglue::{IpcmCookie, ip_cmsg_recv, ip_cmsg_send, ip_icmp_error};
use super::mib::{Udp, Udp6};
use super::route::{Dst, Flow4, RtType, dst_check, ip_route_output_flow};
use super::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use crate::errno::Errno;
use crate::lib::checksum::csum_pseudo;
use crate::lib::shared::Arc;
use crate::net::Net;
use crate::net::core::dev::NETIF_F_SG;
use crate::net::core::skbuff::{
    DropReason, IpSummed, PktType, SKB_HEADROOM, Skb, kfree_skb, skb_data_align,
};
use crate::net::core::sock::{
    RCV_SHUTDOWN, SHUTDOWN_MASK, Sock, SockCommon, SockId, Socks, TcpState, skb_queue_purge,
};
use crate::net::core::timestamping::{datagram_tstamp, sock_recv_timestamp};
use crate::net::core::zerocopy::{UbufId, msg_zerocopy_realloc};
use crate::net::ethernet::{ETH_P_IP, ETH_P_IPV6};
use crate::net::ipv6::addr::RcvSaddr;
use crate::net::ipv6::datagram::ip6_datagram_recv_ctl;
use crate::uapi::{
    IP_PMTUDISC_DO, IPPROTO_UDP, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_ZEROCOPY, POLLERR,
    POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM, SOCK_DGRAM,
};
use hw_model::Frag;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a UDP header.
pub(crate) const UDP_HLEN: usize = 8;
/// Where the checksum stands in it.
const UDP_CSUM_OFFSET: u16 = 6;

/// `struct udp_sock`.
#[derive(Clone, Debug)]
pub(crate) struct UdpSock {
    /// `struct sock` and `struct inet_sock`.
    pub(crate) sk: SockCommon,
    /// `pending`: bytes that calls with MSG_MORE have gathered, and where they go.
    pub(crate) pending: Option<Pending>,
    /// `corkflag`: every call gathers (UDP_CORK).
    pub(crate) corkflag: bool,
    /// ICMP types that a raw socket does not want (`ICMP_FILTER`).
    pub(crate) icmp_filter: u32,
}

/// A datagram that is not complete yet (`inet_cork`).
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) data: Vec<u8>,
    pub(crate) to: SocketAddr,
    /// What its first part said besides, over IPv4.
    pub(crate) ipc: Option<IpcmCookie>,
}

impl UdpSock {
    /// A datagram socket of any protocol, with nothing gathered and nothing filtered.
    pub(super) fn new(sk: SockCommon) -> Self {
        Self { sk, pending: None, corkflag: false, icmp_filter: 0 }
    }
}

/// A fresh UDP socket.
pub(crate) fn udp_init_sock(socks: &mut Socks, net: &mut Net, family: u16) -> SockId {
    let bufs = (net.sysctl.rmem_default as i32, net.sysctl.wmem_default as i32);
    socks.insert(&net.wmem, |id| {
        let sk = SockCommon::new(id, family, SOCK_DGRAM, IPPROTO_UDP, bufs);
        Sock::Udp(Arc::new(UdpSock::new(sk)))
    })
}

/// Takes a local port, or finds a free one for 0 (`udp_v4_get_port`, `udp_lib_get_port`).
pub(crate) fn udp_v4_get_port(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    snum: u16,
) -> Result<(), Errno> {
    let port = match snum {
        0 => free_port(socks, net, id)?,
        port if conflict(socks, id, port) => return Err(Errno::EADDRINUSE),
        port => port,
    };
    Arc::make_mut(&mut socks.udp).entry(port).or_default().push(id);
    let up = socks.udp_mut(id).ok_or(Errno::EBADF)?;
    up.sk.inet_num = port;
    Ok(())
}

/// A free port of the local range, from a random start.
fn free_port(socks: &Socks, net: &mut Net, id: SockId) -> Result<u16, Errno> {
    let [low, high] = net.sysctl.ip_local_port_range;
    let count = u32::from(high - low) + 1;
    let start = net.rng.below(count);
    (0..count)
        .map(|i| low + ((start + i) % count) as u16)
        .find(|&port| !conflict(socks, id, port))
        .ok_or(Errno::EADDRINUSE)
}

/// Whether another socket's use of a port excludes this one's (`udp_lib_lport_inuse`).
fn conflict(socks: &Socks, id: SockId, port: u16) -> bool {
    let Some(me) = socks.udp(id) else { return false };
    socks.udp.get(&port).into_iter().flatten().any(|&other| {
        let Some(other) = socks.udp(other).filter(|o| o.sk.id != id) else { return false };
        let both = |f: fn(&SockCommon) -> bool| f(&me.sk) && f(&other.sk);
        let overlap = RcvSaddr::of(&me.sk).overlaps(&RcvSaddr::of(&other.sk));
        let devices = me.sk.bound_dev_if == 0
            || other.sk.bound_dev_if == 0
            || me.sk.bound_dev_if == other.sk.bound_dev_if;
        overlap && devices && !both(|s| s.sk_reuse) && !both(|s| s.sk_reuseport)
    })
}

/// Gives the local port back (`udp_lib_unhash`).
pub(crate) fn udp_lib_unhash(socks: &mut Socks, id: SockId) {
    let Some(port) = socks.udp(id).map(|up| up.sk.inet_num).filter(|&p| p != 0) else { return };
    let table = Arc::make_mut(&mut socks.udp);
    if let Some(list) = table.get_mut(&port) {
        list.retain(|&s| s != id);
        if list.is_empty() {
            table.remove(&port);
        }
    }
}

/// Ends a socket (`udp_destroy_sock`, `sk_common_release`).
pub(crate) fn udp_close(socks: &mut Socks, net: &mut Net, id: SockId) {
    socks.raw.retain(|&r| r != id);
    udp_lib_unhash(socks, id);
    if let Some(Sock::Udp(up)) = socks.remove(id) {
        let mut up = Arc::unwrap_or_clone(up);
        skb_queue_purge(net, &mut up.sk.sk_receive_queue);
    }
}

/// Fixes the peer (`ip4_datagram_connect`).
pub(crate) fn udp_connect(
    up: &mut UdpSock,
    net: &mut Net,
    addr: Ipv4Addr,
    port: u16,
) -> Result<(), Errno> {
    let mut fl = flow_of(&up.sk, addr, port);
    let dst = ip_route_output_flow(net, &mut fl)?;
    if dst.rt_type == RtType::Broadcast && !up.sk.broadcast {
        return Err(Errno::EACCES);
    }
    if up.sk.inet_saddr.is_unspecified() {
        up.sk.inet_saddr = fl.saddr;
    }
    if up.sk.inet_rcv_saddr.is_unspecified() {
        up.sk.inet_rcv_saddr = fl.saddr;
    }
    up.sk.inet_daddr = fl.daddr;
    up.sk.inet_dport = port;
    up.sk.sk_state = TcpState::Established;
    up.sk.inet_id = net.rng.next_u32() as u16;
    up.sk.sk_dst = Some(dst);
    Ok(())
}

/// Forgets the peer (`__udp_disconnect`).
pub(crate) fn udp_disconnect(up: &mut UdpSock) {
    up.sk.sk_state = TcpState::Close;
    up.sk.inet_daddr = Ipv4Addr::UNSPECIFIED;
    up.sk.inet_dport = 0;
    up.sk.sk_dst = None;
    if let Some(np) = &mut up.sk.pinet6 {
        np.sk_v6_daddr = Ipv6Addr::UNSPECIFIED;
    }
    if !up.sk.bindaddr_lock {
        up.sk.inet_reset_saddr();
    }
}

fn flow_of(sk: &SockCommon, daddr: Ipv4Addr, dport: u16) -> Flow4 {
    Flow4 {
        saddr: sk.inet_saddr,
        daddr,
        oif: multicast_oif(sk, daddr, sk.bound_dev_if),
        tos: sk.tos,
        proto: IPPROTO_UDP,
        sport: sk.inet_num,
        dport,
        mark: sk.sk_mark,
    }
}

/// The device to go out by: for a group without another choice IP_MULTICAST_IF's.
fn multicast_oif(sk: &SockCommon, daddr: Ipv4Addr, oif: u32) -> u32 {
    if oif == 0 && daddr.is_multicast() { sk.mc_index } else { oif }
}

/// Sends one datagram, or gathers a part of one (MSG_MORE).
pub(crate) fn udp_sendmsg(up: &mut UdpSock, net: &mut Net, msg: &mut SendMsg) -> IoResult<usize> {
    let len = msg.data.len();
    if len > 0xffff {
        return Err(Errno::EMSGSIZE);
    }
    if msg.flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    // The first part of a datagram has decided where it goes, and how.
    let (daddr, dport, ipc) = match &up.pending {
        Some(pending) => {
            let (daddr, dport) = v4_of(pending.to)?;
            (daddr, dport, pending.ipc.unwrap_or_else(|| IpcmCookie::new(&up.sk)))
        }
        None => {
            let ipc = ip_cmsg_send(&up.sk, &msg.control)?;
            let (daddr, dport) = destination(&up.sk, msg)?;
            (daddr, dport, ipc)
        }
    };
    let mut fl = flow_of(&up.sk, daddr, dport);
    (fl.saddr, fl.mark) = (ipc.addr, ipc.sockc.mark);
    fl.oif = multicast_oif(&up.sk, daddr, ipc.oif);
    fl.tos = ipc.tos.unwrap_or(fl.tos);
    let dst = route(up, net, &mut fl, msg.addr.is_none() && msg.control.is_empty())?;
    if dst.rt_type == RtType::Broadcast && !up.sk.broadcast {
        return Err(Errno::EACCES);
    }
    let gathered = up.pending.as_ref().map_or(0, |p| p.data.len());
    let total = gathered + len + UDP_HLEN + 20;
    if total > 0xffff || (up.sk.pmtudisc >= IP_PMTUDISC_DO && total > dst.mtu as usize) {
        return Err(Errno::EMSGSIZE);
    }
    // sock_alloc_send_skb(): as long as the buffer has any room, a whole datagram goes in.
    up.sk.sock_error()?;
    if net.wmem.get(up.sk.id) >= up.sk.sk_sndbuf as u32 {
        if msg.nonblock {
            return Err(Errno::EAGAIN);
        }
        net.wmem.throttled.push(up.sk.id);
        return Ok(Progress::Wait);
    }
    if msg.fault && len > 0 {
        return Err(Errno::EFAULT);
    }
    if msg.flags & MSG_MORE != 0 || up.corkflag {
        let to = (daddr, dport).into();
        let fresh = || Pending { data: Vec::new(), to, ipc: Some(ipc) };
        up.pending.get_or_insert_with(fresh).data.extend_from_slice(&msg.data);
        return Ok(Progress::Done(len));
    }
    let data = match up.pending.take() {
        Some(mut pending) => {
            pending.data.extend_from_slice(&msg.data);
            hw_model::Buf::new(pending.data)
        }
        None => msg.data.clone(),
    };
    let whole = total <= dst.mtu as usize;
    let uarg = udp_zerocopy(up, net, msg, whole, &dst)?;
    let mut skb = build(up, net, &data, &fl, dport, whole);
    skb.uarg = uarg;
    skb.tx_tstamp = datagram_tstamp(&mut up.sk, ipc.sockc.tsflags);
    match ip_send_skb(net, &mut up.sk, skb, &dst, fl.saddr, fl.daddr, &ipc) {
        Ok(()) => net.mib.inc(Udp::OutDatagrams),
        // A full queue is told only to those who asked to hear of errors.
        Err(Errno::ENOBUFS) if !up.sk.recverr => net.mib.inc(Udp::SndbufErrors),
        Err(e) => return Err(e),
    }
    Ok(Progress::Done(len))
}

/// The notification of a datagram with MSG_ZEROCOPY. The kernel copies it in any case if the device
/// cannot take it in pieces, or not whole (`__ip_append_data`).
///
/// # Errors
/// ENOBUFS: too many notifications are outstanding.
pub(crate) fn udp_zerocopy(
    up: &mut UdpSock,
    net: &mut Net,
    msg: &SendMsg,
    whole: bool,
    dst: &Dst,
) -> Result<Option<UbufId>, Errno> {
    if msg.flags & MSG_ZEROCOPY == 0 || msg.data.is_empty() || !up.sk.zerocopy {
        return Ok(None);
    }
    let uarg = Some(msg_zerocopy_realloc(&mut up.sk, net, msg.data.len(), None)?);
    let sg = net.devs.get(dst.dev).is_some_and(|dev| dev.features & NETIF_F_SG != 0);
    if !sg || !whole {
        net.skbs.ubufs.set_copied(uarg);
    }
    Ok(uarg)
}

/// An IPv4 address, plain or mapped.
fn v4_of(addr: SocketAddr) -> Result<(Ipv4Addr, u16), Errno> {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => Ok((ip, addr.port())),
        IpAddr::V6(_) => Err(Errno::EAFNOSUPPORT),
    }
}

/// Where a datagram goes: where the call says, or to the peer.
fn destination(sk: &SockCommon, msg: &SendMsg) -> Result<(Ipv4Addr, u16), Errno> {
    match msg.addr {
        Some(addr) if addr.port() == 0 => Err(Errno::EINVAL),
        Some(addr) => v4_of(addr),
        None if sk.sk_state != TcpState::Established => Err(Errno::EDESTADDRREQ),
        None => Ok((sk.inet_daddr, sk.inet_dport)),
    }
}

/// The route: a connected socket's own as long as it is good, else a fresh one.
fn route(up: &mut UdpSock, net: &mut Net, fl: &mut Flow4, connected: bool) -> Result<Dst, Errno> {
    if let Some(dst) = up.sk.sk_dst.clone().filter(|d| connected && dst_check(net, d)) {
        return Ok(dst);
    }
    let dst = ip_route_output_flow(net, fl)?;
    if connected {
        up.sk.sk_dst = Some(dst.clone());
    }
    Ok(dst)
}

/// The datagram with its header. The checksum is left to the device where the datagram goes
/// out in one piece.
fn build(
    up: &UdpSock,
    net: &mut Net,
    data: &hw_model::Buf,
    fl: &Flow4,
    dport: u16,
    whole: bool,
) -> Skb {
    let len = data.len();
    let mut skb = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    skb.add_frag(Frag::new(data.clone()));
    // hh_len + fragheaderlen + 15 of ip_append_data's allocation.
    let room = skb_data_align(len + UDP_HLEN + 20 + 16 + 15) as u32;
    skb.truesize = net.profile.skb_truesize(room);
    skb.owner = Some(up.sk.id);
    net.wmem.charge(up.sk.id, skb.truesize);
    let ulen = (len + UDP_HLEN) as u16;
    let pseudo = csum_pseudo(fl.saddr, fl.daddr, ulen.into(), IPPROTO_UDP);
    let header = skb.push(UDP_HLEN);
    header[0..2].copy_from_slice(&up.sk.inet_num.to_be_bytes());
    header[2..4].copy_from_slice(&dport.to_be_bytes());
    header[4..6].copy_from_slice(&ulen.to_be_bytes());
    skb.reset_transport_header();
    if up.sk.no_check_tx {
        skb.linear_mut()[6..8].fill(0);
        return skb;
    }
    if whole {
        skb.linear_mut()[6..8].copy_from_slice(&pseudo.folded().to_be_bytes());
        skb.ip_summed = IpSummed::Partial { offset: UDP_CSUM_OFFSET };
        return skb;
    }
    let mut sum = pseudo;
    for part in skb.slices() {
        sum.add(part);
    }
    // Zero would say that there is no checksum.
    let sum = match sum.finish() {
        0 => 0xffff,
        sum => sum,
    };
    skb.linear_mut()[6..8].copy_from_slice(&sum.to_be_bytes());
    skb
}

/// Takes one datagram from the queue.
pub(crate) fn udp_recvmsg(up: &mut UdpSock, net: &mut Net, msg: &mut RecvMsg) -> IoResult<usize> {
    let peek = msg.flags & MSG_PEEK != 0;
    let Some(skb) = up.sk.sk_receive_queue.front() else {
        up.sk.sock_error()?;
        return match () {
            () if up.sk.sk_shutdown & RCV_SHUTDOWN != 0 => Ok(Progress::Done(0)),
            () if msg.nonblock => Err(Errno::EAGAIN),
            () => Ok(Progress::Wait),
        };
    };
    let len = skb.len() - UDP_HLEN;
    let copied = len.min(msg.len);
    if msg.fault && copied > 0 {
        // What could not be copied is lost, unless it was only looked at.
        if !peek && let Some(skb) = up.sk.sk_receive_queue.pop_front() {
            up.sk.sk_drops += 1;
            net.mib.inc(Udp::InErrors);
            up.sk.sk_rmem_alloc -= skb.truesize as i32;
            kfree_skb(net, skb, DropReason::NotSpecified);
        }
        return Err(Errno::EFAULT);
    }
    msg.buf = vec![0; copied];
    skb.copy_bits(UDP_HLEN, &mut msg.buf);
    let header = skb.head_at(skb.transport_header);
    let sport = header.first_chunk().map_or(0, |b: &[u8; 2]| u16::from_be_bytes(*b));
    let saddr = skb.head_at(skb.network_header).get(12..).and_then(|s| s.first_chunk());
    let saddr = saddr.map_or(Ipv4Addr::UNSPECIFIED, |b: &[u8; 4]| (*b).into());
    msg.addr = Some((saddr, sport).into());
    if copied < len {
        msg.msg_flags |= MSG_TRUNC;
    }
    let tstamp = skb.tstamp;
    sock_recv_timestamp(&up.sk, net, msg, tstamp);
    ip6_datagram_recv_ctl(&up.sk, skb, msg);
    if skb.protocol == ETH_P_IP {
        ip_cmsg_recv(&up.sk, net, skb, msg);
    }
    if !peek && let Some(skb) = up.sk.sk_receive_queue.pop_front() {
        match skb.protocol {
            ETH_P_IPV6 => net.mib.inc(Udp6::InDatagrams),
            _ => net.mib.inc(Udp::InDatagrams),
        }
        up.sk.sk_rmem_alloc -= skb.truesize as i32;
        kfree_skb(net, skb, DropReason::Consumed);
    }
    Ok(Progress::Done(if msg.flags & MSG_TRUNC != 0 { len } else { copied }))
}

/// The socket that a datagram is for: the one that names most of its four-tuple
/// (`udp4_lib_lookup2`, `compute_score`); of equals the first bound.
fn lookup(
    socks: &Socks,
    saddr: Ipv4Addr,
    sport: u16,
    daddr: Ipv4Addr,
    dport: u16,
    ifindex: u32,
) -> Option<SockId> {
    let score = |sk: &SockCommon| {
        if sk.pinet6.as_deref().is_some_and(|np| np.ipv6only) {
            return 0;
        }
        let mut score = if sk.pinet6.is_none() { 2 } else { 1 };
        for (has, given, wanted) in [
            (!sk.inet_rcv_saddr.is_unspecified(), sk.inet_rcv_saddr == daddr, 4),
            (!sk.inet_daddr.is_unspecified(), sk.inet_daddr == saddr, 4),
            (sk.inet_dport != 0, sk.inet_dport == sport, 4),
            (sk.bound_dev_if != 0, sk.bound_dev_if == ifindex, 4),
        ] {
            match (has, given) {
                (true, false) => return 0,
                (true, true) => score += wanted,
                (false, _) => {}
            }
        }
        score
    };
    let mut best = (0, None);
    for &id in socks.udp.get(&dport)? {
        let score = socks.udp(id).map_or(0, |up| score(&up.sk));
        if score > best.0 {
            best = (score, Some(id));
        }
    }
    best.1
}

/// A datagram for this host.
pub(crate) fn udp_rcv(socks: &mut Socks, net: &mut Net, mut skb: Skb) {
    let Some((header, saddr, daddr)) = udp_header(&mut skb) else {
        net.mib.inc(Udp::InErrors);
        return kfree_skb(net, skb, DropReason::HdrTrunc);
    };
    let [sport, dport, ulen, check] = header;
    let len = usize::from(ulen);
    if len > skb.len() || len < UDP_HLEN {
        net.mib.inc(Udp::InErrors);
        return kfree_skb(net, skb, DropReason::PktTooSmall);
    }
    skb.trim(len);
    if check != 0 && skb.ip_summed == IpSummed::None && !checksum_ok(&skb, saddr, daddr) {
        net.mib.inc(Udp::InCsumErrors);
        net.mib.inc(Udp::InErrors);
        return kfree_skb(net, skb, DropReason::UdpCsum);
    }
    let ifindex = skb.dev.map_or(0, |d| d.ifindex());
    if skb.pkt_type != PktType::Host {
        return mcast_deliver(socks, net, skb, [saddr, daddr], [sport, dport], ifindex);
    }
    match lookup(socks, saddr, sport, daddr, dport, ifindex) {
        Some(id) => udp_queue_rcv_skb(socks, net, id, skb),
        None => {
            net.mib.inc(Udp::NoPorts);
            super::icmp::icmp_send_port_unreachable(net, &skb);
            kfree_skb(net, skb, DropReason::NoSocket);
        }
    }
}

/// The four fields of the header, with the addresses from IP's.
fn udp_header(skb: &mut Skb) -> Option<([u16; 4], Ipv4Addr, Ipv4Addr)> {
    if !skb.may_pull(UDP_HLEN) {
        return None;
    }
    skb.reset_transport_header();
    let h = skb.linear();
    let field = |i: usize| u16::from_be_bytes([h[2 * i], h[2 * i + 1]]);
    let ip = skb.head_at(skb.network_header);
    let addr = |at: usize| ip.get(at..)?.first_chunk().map(|b: &[u8; 4]| Ipv4Addr::from(*b));
    Some(([field(0), field(1), field(2), field(3)], addr(12)?, addr(16)?))
}

fn checksum_ok(skb: &Skb, saddr: Ipv4Addr, daddr: Ipv4Addr) -> bool {
    let mut sum = csum_pseudo(saddr, daddr, skb.len(), IPPROTO_UDP);
    for part in skb.slices() {
        sum.add(part);
    }
    sum.finish() == 0
}

/// A datagram to all: every socket that it fits gets one (`__udp4_lib_mcast_deliver`). Nobody
/// is told when there is none.
fn mcast_deliver(
    socks: &mut Socks,
    net: &mut Net,
    skb: Skb,
    [saddr, daddr]: [Ipv4Addr; 2],
    [sport, dport]: [u16; 2],
    ifindex: u32,
) {
    let fits = |sk: &SockCommon| {
        (sk.inet_daddr.is_unspecified() || sk.inet_daddr == saddr)
            && (sk.inet_dport == 0 || sk.inet_dport == sport)
            && (sk.inet_rcv_saddr.is_unspecified() || sk.inet_rcv_saddr == daddr)
            && (sk.bound_dev_if == 0 || sk.bound_dev_if == ifindex)
            && !sk.pinet6.as_deref().is_some_and(|np| np.ipv6only)
    };
    let ids: Vec<SockId> = socks
        .udp
        .get(&dport)
        .into_iter()
        .flatten()
        .copied()
        .filter(|&id| socks.udp(id).is_some_and(|up| fits(&up.sk)))
        .collect();
    let Some((&last, others)) = ids.split_last() else {
        net.mib.inc(Udp::IgnoredMulti);
        return kfree_skb(net, skb, DropReason::NoSocket);
    };
    for &id in others {
        let copy = skb.copy(&mut net.skbs);
        udp_queue_rcv_skb(socks, net, id, copy);
    }
    udp_queue_rcv_skb(socks, net, last, skb);
}

/// Queues a datagram if the receive buffer has room (`__udp_enqueue_schedule_skb`).
pub(crate) fn udp_queue_rcv_skb(socks: &mut Socks, net: &mut Net, id: SockId, skb: Skb) {
    let Some(up) = socks.udp_mut(id) else { return kfree_skb(net, skb, DropReason::NoSocket) };
    let size = skb.truesize as i32;
    if up.sk.sk_rmem_alloc > up.sk.sk_rcvbuf || up.sk.sk_rmem_alloc > i32::MAX - size {
        up.sk.sk_drops += 1;
        net.mib.inc(Udp::RcvbufErrors);
        net.mib.inc(Udp::InErrors);
        return kfree_skb(net, skb, DropReason::SocketRcvbuff);
    }
    up.sk.sk_rmem_alloc += size;
    up.sk.sk_receive_queue.push_back(skb);
    net.sk_data_ready(id);
}

/// An ICMP error about a datagram that was sent (`__udp4_lib_err`).
pub(crate) fn udp_err(socks: &mut Socks, net: &mut Net, err: &IcmpErr) {
    let Some(id) = lookup(socks, err.daddr, err.dport, err.saddr, err.sport, err.ifindex) else {
        return;
    };
    if (err.icmp_type, err.code) == (ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED) {
        update_pmtu(net, err);
    }
    let Some(up) = socks.udp_mut(id) else { return };
    let (error, hard) = match err.error(up.sk.pmtudisc) {
        Some(found) => found,
        None => return,
    };
    // Without IP_RECVERR only a connected socket hears, and only of hard errors.
    if up.sk.recverr {
        ip_icmp_error(&mut up.sk, net, err, error, UDP_HLEN);
    } else if !hard || up.sk.sk_state != TcpState::Established {
        return;
    }
    up.sk.sk_err = Some(error);
    net.sk_error_report(id);
}

/// poll(2)'s mask (`udp_poll`, `datagram_poll`).
pub(crate) fn udp_poll(up: &UdpSock, net: &Net) -> i16 {
    let sk = &up.sk;
    let mut mask = 0;
    if sk.sk_err.is_some() || !sk.sk_error_queue.is_empty() {
        mask |= POLLERR;
    }
    if sk.sk_shutdown & RCV_SHUTDOWN != 0 {
        mask |= POLLRDHUP | POLLIN | POLLRDNORM;
    }
    if sk.sk_shutdown == SHUTDOWN_MASK {
        mask |= POLLHUP;
    }
    if !sk.sk_receive_queue.is_empty() {
        mask |= POLLIN | POLLRDNORM;
    }
    if net.wmem.get(sk.id) < sk.sk_sndbuf as u32 {
        mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
    }
    mask
}

/// Bytes of the next datagram (SIOCINQ; `first_packet_length`).
pub(crate) fn udp_inq(up: &UdpSock) -> usize {
    up.sk.sk_receive_queue.front().map_or(0, |skb| skb.len() - UDP_HLEN)
}
