//! The state of a TCP connection (`include/linux/tcp.h`, `include/net/inet_connection_sock.h`),
//! of a request that waits for its third ACK, and of one in TIME-WAIT. Names are Linux's.

use super::tcp_cong::CongestionOps;
use super::tcp_fastopen::{Fastopen, FastopenQueue};
use super::tcp_md5::Md5Info;
use crate::Nanos;
use crate::errno::Errno;
use crate::lib::seqnum::SeqNum;
use crate::net::core::skbuff::Frags;
use crate::net::core::sock::{SkbQueue, SockCommon, SockId};
use crate::net::core::timestamping::TxTstamp;
use crate::net::core::zerocopy::UbufId;
use crate::syscalls::Cmsg;
use crate::time::Jiffies;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) const TCPHDR_FIN: u8 = 0x01;
pub(crate) const TCPHDR_SYN: u8 = 0x02;
pub(crate) const TCPHDR_RST: u8 = 0x04;
pub(crate) const TCPHDR_PSH: u8 = 0x08;
pub(crate) const TCPHDR_ACK: u8 = 0x10;
pub(crate) const TCPHDR_URG: u8 = 0x20;
pub(crate) const TCPHDR_ECE: u8 = 0x40;
pub(crate) const TCPHDR_CWR: u8 = 0x80;

/// `TCPCB_SACKED_ACKED`: the peer's SACK covers it.
pub(crate) const TCPCB_SACKED_ACKED: u8 = 0x01;
/// `TCPCB_SACKED_RETRANS`: retransmitted since it was marked lost.
pub(crate) const TCPCB_SACKED_RETRANS: u8 = 0x02;
/// `TCPCB_LOST`.
pub(crate) const TCPCB_LOST: u8 = 0x04;
/// `TCPCB_REPAIRED`.
pub(crate) const TCPCB_REPAIRED: u8 = 0x10;
/// `TCPCB_EVER_RETRANS`.
pub(crate) const TCPCB_EVER_RETRANS: u8 = 0x80;
/// `TCPCB_RETRANS`: retransmitted at some time.
pub(crate) const TCPCB_RETRANS: u8 = TCPCB_SACKED_RETRANS | TCPCB_EVER_RETRANS | TCPCB_REPAIRED;

/// `TCP_ECN_OK` and the other bits of `ecn_flags`.
pub(crate) const TCP_ECN_OK: u8 = 1;
pub(crate) const TCP_ECN_QUEUE_CWR: u8 = 2;
pub(crate) const TCP_ECN_DEMAND_CWR: u8 = 4;
pub(crate) const TCP_ECN_SEEN: u8 = 8;

pub(crate) const TCP_NAGLE_OFF: u8 = 1;
pub(crate) const TCP_NAGLE_CORK: u8 = 2;
pub(crate) const TCP_NAGLE_PUSH: u8 = 4;

pub(crate) const TCP_INIT_CWND: u32 = 10;
pub(crate) const TCP_INFINITE_SSTHRESH: u32 = 0x7fff_ffff;
pub(crate) const TCP_MSS_DEFAULT: u16 = 536;
pub(crate) const TCP_MIN_MSS: u16 = 88;
pub(crate) const MAX_TCP_WINDOW: u32 = 32767;
pub(crate) const TCP_MAX_QUICKACKS: u32 = 16;
pub(crate) const TCP_MAX_WSCALE: u8 = 14;

/// `icsk_ca_state` (`TCP_CA_*`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub(crate) enum CaState {
    #[default]
    Open,
    Disorder,
    Cwr,
    Recovery,
    Loss,
}

/// What the retransmit timer is armed for (`icsk_pending`, `ICSK_TIME_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum IcskPending {
    #[default]
    None,
    Retrans,
    Probe0,
    LossProbe,
    ReoTimeout,
    /// `ICSK_TIME_DACK`: names the delayed-ACK timer in calls; never pending here.
    Dack,
}

/// `icsk_ack.pending` bits.
pub(crate) const ICSK_ACK_SCHED: u8 = 1;
pub(crate) const ICSK_ACK_TIMER: u8 = 2;
pub(crate) const ICSK_ACK_PUSHED: u8 = 4;
pub(crate) const ICSK_ACK_PUSHED2: u8 = 8;
pub(crate) const ICSK_ACK_NOW: u8 = 16;
pub(crate) const ICSK_ACK_NOMEM: u8 = 32;

/// `icsk_ack`: state of delayed acknowledgement.
#[derive(Clone, Debug, Default)]
pub(crate) struct IcskAck {
    /// `ICSK_ACK_*`.
    pub(crate) pending: u8,
    /// Quick ACKs left.
    pub(crate) quick: u8,
    pub(crate) pingpong: u8,
    pub(crate) retry: u8,
    /// Predicted delay, jiffies.
    pub(crate) ato: u32,
    /// When the delayed ACK is due.
    pub(crate) timeout: Jiffies,
    /// `lrcvtime`: when data came last.
    pub(crate) lrcvtime: Jiffies,
    pub(crate) last_seg_size: u16,
    /// Estimate of the peer's segment size.
    pub(crate) rcv_mss: u16,
}

/// `icsk_mtup`: packetization-layer MTU probing.
#[derive(Clone, Debug, Default)]
pub(crate) struct MtuProbing {
    pub(crate) enabled: bool,
    pub(crate) search_high: u32,
    pub(crate) search_low: u32,
    pub(crate) probe_size: u32,
    pub(crate) probe_timestamp: Jiffies,
}

/// `struct inet_connection_sock` without its `inet_sock`.
#[derive(Clone, Debug)]
pub(crate) struct Icsk {
    /// Children whose handshake is complete and that nobody accepted yet.
    pub(crate) accept_queue: VecDeque<SockId>,
    /// Requests in SYN-RECEIVED (`qlen`), and those not retransmitted yet (`young`).
    pub(crate) reqsk_qlen: u32,
    /// When a listener sent cookies last, to within a second (`tcp_synq_overflow`).
    pub(crate) synq_overflow: Option<Jiffies>,
    pub(crate) reqsk_young: u32,
    /// Fast Open of a listener; `None`: off.
    pub(crate) fastopenq: Option<Box<FastopenQueue>>,
    pub(crate) icsk_retransmits: u8,
    pub(crate) icsk_pending: IcskPending,
    pub(crate) icsk_backoff: u8,
    pub(crate) icsk_syn_retries: u8,
    pub(crate) icsk_probes_out: u8,
    /// When zero-window probing began; `None`: not probing.
    pub(crate) icsk_probes_tstamp: Option<Jiffies>,
    /// When the retransmit timer is due (`icsk_timeout`).
    pub(crate) icsk_timeout: Jiffies,
    /// Retransmission time-out, jiffies.
    pub(crate) icsk_rto: Jiffies,
    pub(crate) icsk_rto_min: Jiffies,
    pub(crate) icsk_delack_max: Jiffies,
    pub(crate) icsk_pmtu_cookie: u32,
    pub(crate) icsk_ca: CongestionOps,
    pub(crate) icsk_ca_state: CaState,
    pub(crate) icsk_ca_setsockopt: bool,
    pub(crate) icsk_ca_initialized: bool,
    /// `TCP_USER_TIMEOUT`, milliseconds.
    pub(crate) icsk_user_timeout: u32,
    /// `icsk_ext_hdr_len`: IP options.
    pub(crate) icsk_ext_hdr_len: u16,
    pub(crate) icsk_ack: IcskAck,
    pub(crate) icsk_mtup: MtuProbing,
    /// Where a request or listener this came from (`tp->fastopen_rsk`, accept bookkeeping).
    pub(crate) listener: Option<SockId>,
}

impl Icsk {
    /// The listener's Fast Open queue, made if there is none.
    pub(crate) fn fastopenq_mut(&mut self) -> &mut FastopenQueue {
        self.fastopenq.get_or_insert_default()
    }
}

/// One SACK block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SackBlock {
    pub(crate) start_seq: SeqNum,
    pub(crate) end_seq: SeqNum,
}

/// `struct tcp_options_received`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TcpOptionsReceived {
    /// When `ts_recent` was stored (seconds, monotonic), 0: never.
    pub(crate) ts_recent_stamp: u64,
    pub(crate) ts_recent: u32,
    pub(crate) rcv_tsval: u32,
    pub(crate) rcv_tsecr: u32,
    pub(crate) saw_tstamp: bool,
    pub(crate) tstamp_ok: bool,
    pub(crate) dsack: bool,
    pub(crate) wscale_ok: bool,
    pub(crate) sack_ok: u8,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    pub(crate) num_sacks: u8,
    pub(crate) user_mss: u16,
    pub(crate) mss_clamp: u16,
}

/// A sample for `minmax` filters: time (any unit, 32 bits) and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct MinmaxSample {
    pub(crate) t: u32,
    pub(crate) v: u32,
}

/// What the sender remembers of a segment when it sent it (`TCP_SKB_CB(skb)->tx`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TxRecord {
    pub(crate) is_app_limited: bool,
    pub(crate) delivered: u32,
    pub(crate) delivered_ce: u32,
    /// Microseconds (`tcp_mstamp`).
    pub(crate) first_tx_mstamp: u64,
    pub(crate) delivered_mstamp: u64,
}

/// A super-packet of the write or the retransmit queue.
#[derive(Clone, Debug)]
pub(crate) struct TcpSkb {
    pub(crate) seq: SeqNum,
    pub(crate) end_seq: SeqNum,
    /// `TCPHDR_*`.
    pub(crate) tcp_flags: u8,
    /// `TCPCB_*`.
    pub(crate) sacked: u8,
    pub(crate) eor: bool,
    pub(crate) frags: Frags,
    /// Payload bytes.
    pub(crate) len: u32,
    pub(crate) truesize: u32,
    /// Segments it stands for (`tcp_skb_pcount`) and their payload size.
    pub(crate) gso_segs: u16,
    pub(crate) gso_size: u16,
    /// Time it was last sent, monotonic ns (`skb_mstamp_ns`); 0: never.
    pub(crate) skb_mstamp_ns: Nanos,
    pub(crate) tx: TxRecord,
    /// Where its last copy ends in the bytes that the socket has charged on the way to the wire
    /// (`TcpSock::wmem_charged`); `None`: it has no copy.
    pub(crate) fclone_end: Option<u32>,
    /// The send calls whose pages it refers to (`skb_zcopy`).
    pub(crate) uarg: Option<UbufId>,
    /// Where its last byte is stamped on its way out, and whether its ACK is too (`txstamp_ack`).
    pub(crate) tx_tstamp: TxTstamp,
    pub(crate) txstamp_ack: bool,
    /// In `tsorted_sent_queue`, where RACK looks for losses: from each transmission until it is
    /// SACKed or RACK marked it lost. An undo takes the mark back, but not this.
    pub(crate) tsorted: bool,
}

/// `struct tcp_rack`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TcpRack {
    /// Send time (us) of the most recently sent segment that was delivered.
    pub(crate) mstamp: u64,
    pub(crate) rtt_us: u32,
    pub(crate) end_seq: SeqNum,
    pub(crate) last_delivered: u32,
    pub(crate) reo_wnd_steps: u8,
    pub(crate) reo_wnd_persist: u8,
    pub(crate) dsack_seen: bool,
    pub(crate) advanced: bool,
}

/// Receive-buffer autotuning (`rcvq_space`) and RTT estimate (`rcv_rtt_est`).
#[derive(Clone, Debug, Default)]
pub(crate) struct RcvSpace {
    pub(crate) space: u32,
    pub(crate) seq: SeqNum,
    /// Microseconds.
    pub(crate) time: u64,
    /// `rcv_rtt_est`: 8 * rtt, us.
    pub(crate) rtt_us: u32,
    pub(crate) rtt_seq: SeqNum,
    pub(crate) rtt_time: u64,
    pub(crate) rtt_last_tsecr: u32,
}

/// `struct tcp_sock`.
#[derive(Clone, Debug)]
pub(crate) struct TcpSock {
    /// `struct sock` and `struct inet_sock`.
    pub(crate) sk: SockCommon,
    /// `struct inet_connection_sock`.
    pub(crate) icsk: Icsk,

    // Header prediction and sizes.
    /// Bytes of the TCP header with the options of a data segment.
    pub(crate) tcp_header_len: u16,
    pub(crate) gso_segs: u16,
    pub(crate) pred_flags: u32,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_sent: u64,
    /// What all packets sent so far were charged (`sk_wmem_alloc`, never taken back), bytes; wraps.
    pub(crate) wmem_charged: u32,
    pub(crate) bytes_retrans: u64,
    pub(crate) segs_in: u32,
    pub(crate) segs_out: u32,
    pub(crate) data_segs_in: u32,
    pub(crate) data_segs_out: u32,
    pub(crate) dsack_dups: u32,

    // Sequence variables (RFC 9293 3.3.1).
    pub(crate) rcv_nxt: SeqNum,
    pub(crate) copied_seq: SeqNum,
    pub(crate) rcv_wup: SeqNum,
    pub(crate) snd_nxt: SeqNum,
    pub(crate) snd_una: SeqNum,
    pub(crate) snd_sml: SeqNum,
    pub(crate) rcv_tstamp: Jiffies,
    /// When data was sent last.
    pub(crate) lsndtime: Jiffies,
    pub(crate) last_oow_ack_time: Option<Jiffies>,
    pub(crate) compressed_ack_rcv_nxt: SeqNum,
    /// `timestamp offset`.
    pub(crate) tsoffset: u32,
    pub(crate) snd_wl1: SeqNum,
    pub(crate) snd_wnd: u32,
    pub(crate) max_window: u32,
    pub(crate) mss_cache: u32,
    pub(crate) window_clamp: u32,
    pub(crate) rcv_ssthresh: u32,
    /// Share of a buffer that is payload, in 1/256 (`scaling_ratio`, 6.6 and later).
    pub(crate) scaling_ratio: u8,
    pub(crate) rcv_wnd: u32,
    pub(crate) write_seq: SeqNum,
    pub(crate) pushed_seq: SeqNum,
    pub(crate) advmss: u16,
    pub(crate) compressed_ack: u8,
    pub(crate) dup_ack_counter: u8,
    pub(crate) tlp_retrans: bool,
    /// `chrono_type`, `chrono_start` (jiffies), `chrono_stat`: busy, rwnd, sndbuf limited.
    pub(crate) chrono_type: u8,
    pub(crate) chrono_start: Jiffies,
    pub(crate) chrono_stat: [Jiffies; 3],

    // Flags.
    pub(crate) nonagle: u8,
    pub(crate) thin_lto: bool,
    pub(crate) frto: bool,
    pub(crate) is_sack_reneg: bool,
    pub(crate) is_cwnd_limited: bool,
    /// `TCP_INQ`: recvmsg() says what is left to read.
    pub(crate) recvmsg_inq: bool,
    pub(crate) save_syn: bool,
    pub(crate) linger2: i32,
    /// TCP_KEEPIDLE and TCP_KEEPINTVL, jiffies.
    pub(crate) keepalive_time: Option<u32>,
    pub(crate) keepalive_intvl: Option<u32>,
    pub(crate) keepalive_probes: u8,
    pub(crate) notsent_lowat: u32,
    /// `TCP_DEFER_ACCEPT` as a number of SYN-ACK retransmissions (`rskq_defer_accept`).
    pub(crate) defer_accept: u8,

    // RTT and congestion.
    pub(crate) tcp_mstamp: u64,
    /// Smoothed RTT, 8 * us.
    pub(crate) srtt_us: u32,
    pub(crate) mdev_us: u32,
    pub(crate) mdev_max_us: u32,
    pub(crate) rttvar_us: u32,
    pub(crate) rtt_seq: SeqNum,
    pub(crate) rtt_min: [MinmaxSample; 3],
    pub(crate) packets_out: u32,
    pub(crate) retrans_out: u32,
    pub(crate) max_packets_out: u32,
    pub(crate) cwnd_usage_seq: SeqNum,
    pub(crate) urg_data: u16,
    pub(crate) ecn_flags: u8,
    pub(crate) reordering: u32,
    pub(crate) reord_seen: u32,
    pub(crate) snd_up: SeqNum,
    pub(crate) urg_seq: SeqNum,
    pub(crate) rx_opt: TcpOptionsReceived,
    pub(crate) snd_ssthresh: u32,
    pub(crate) snd_cwnd: u32,
    pub(crate) snd_cwnd_cnt: u32,
    pub(crate) snd_cwnd_clamp: u32,
    pub(crate) snd_cwnd_used: u32,
    pub(crate) snd_cwnd_stamp: Jiffies,
    pub(crate) prior_cwnd: u32,
    pub(crate) prr_delivered: u32,
    pub(crate) prr_out: u32,
    pub(crate) delivered: u32,
    pub(crate) delivered_ce: u32,
    pub(crate) lost: u32,
    /// `app_limited`: delivered + in flight when the application limited; 0: not limited.
    pub(crate) app_limited: u32,
    pub(crate) first_tx_mstamp: u64,
    pub(crate) delivered_mstamp: u64,
    pub(crate) rate_delivered: u32,
    pub(crate) rate_interval_us: u32,
    pub(crate) rate_app_limited: bool,

    // Queues.
    /// Sent and not acknowledged, by sequence (`tcp_rtx_queue`).
    pub(crate) rtx_queue: VecDeque<TcpSkb>,
    /// Not sent (`sk_write_queue`); the first is `tcp_send_head`.
    pub(crate) write_queue: VecDeque<TcpSkb>,
    /// Keys of TCP_MD5SIG.
    pub(crate) md5sig_info: Md5Info,
    /// Received out of order, by sequence.
    pub(crate) out_of_order_queue: SkbQueue,
    /// `ooo_last_skb`'s index hint is not needed: the queue's back.
    /// SACK blocks to send, most recent first; the first may be a DSACK.
    pub(crate) duplicate_sack: [SackBlock; 1],
    pub(crate) selective_acks: [SackBlock; 4],
    pub(crate) recv_sack_cache: [SackBlock; 4],
    pub(crate) highest_sack: Option<SeqNum>,
    pub(crate) lost_out: u32,
    pub(crate) sacked_out: u32,

    // Recovery and undo.
    pub(crate) prior_ssthresh: u32,
    pub(crate) high_seq: SeqNum,
    /// Time (ms TS clock) of the first retransmission of the episode; 0: none.
    pub(crate) retrans_stamp: u32,
    /// `None` in Linux's 0: nothing to undo.
    pub(crate) undo_marker: Option<SeqNum>,
    pub(crate) undo_retrans: i32,
    pub(crate) total_retrans: u32,
    pub(crate) tlp_high_seq: Option<SeqNum>,
    pub(crate) rack: TcpRack,
    pub(crate) rcvq_space: RcvSpace,
    pub(crate) mtu_probe_start: SeqNum,
    pub(crate) mtu_probe_end: SeqNum,
    /// Bytes that the last window decision announced as free (for tracing and TCP_INFO).
    pub(crate) rcv_ooopack: u32,
    pub(crate) timeout_rehash: u16,
    pub(crate) total_rto: u16,
    /// The closed socket is to leave a TIME-WAIT socket: its substate and how long, jiffies.
    pub(crate) time_wait: Option<(crate::net::core::sock::TcpState, Jiffies)>,
    /// `tcp_tsq` flags: throttled by the small-queue limit.
    pub(crate) tsq_throttled: bool,
    /// Work left to the call that holds the socket.
    pub(crate) deferred: super::tcp::Deferred,
    /// Pacing: earliest time (ns, monotonic) of the next departure.
    pub(crate) tcp_wstamp_ns: u64,
    /// When the connection's own clock was last read (`tcp_clock_cache`), ns.
    pub(crate) tcp_clock_cache: u64,
    pub(crate) fastopen: Fastopen,
}

/// The addresses of a connection over IPv6, seen from this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct V6Addrs {
    pub(crate) saddr: Ipv6Addr,
    pub(crate) daddr: Ipv6Addr,
}

/// The IPv6 part of a TIME-WAIT socket.
#[derive(Clone, Debug)]
pub(crate) struct TwV6 {
    /// `tw_v6_rcv_saddr`.
    pub(crate) saddr: Ipv6Addr,
    /// `tw_v6_daddr`.
    pub(crate) daddr: Ipv6Addr,
    pub(crate) tw_tclass: u8,
    pub(crate) tw_flowlabel: u32,
    pub(crate) tw_txhash: u32,
}

/// `struct tcp_request_sock`: what a SYN said, until the third ACK.
#[derive(Clone, Debug)]
pub(crate) struct RequestSock {
    pub(crate) id: SockId,
    pub(crate) listener: SockId,
    pub(crate) ir_loc_addr: Ipv4Addr,
    pub(crate) ir_rmt_addr: Ipv4Addr,
    /// The addresses of a request over IPv6 (`ir_v6_loc_addr`, `ir_v6_rmt_addr`); `None`: IPv4,
    /// also at an AF_INET6 listener.
    pub(crate) ir_v6: Option<V6Addrs>,
    /// Device that its packets are bound to; 0: none.
    pub(crate) ir_iif: u32,
    /// Local port.
    pub(crate) ir_num: u16,
    /// Remote port.
    pub(crate) ir_rmt_port: u16,
    pub(crate) rcv_isn: SeqNum,
    pub(crate) snt_isn: SeqNum,
    pub(crate) rcv_nxt: SeqNum,
    /// Timestamp of the SYN-ACK sent first (us), for the RTT sample.
    pub(crate) snt_synack: u64,
    pub(crate) last_oow_ack_time: Option<Jiffies>,
    pub(crate) txhash: u32,
    pub(crate) ts_off: u32,
    pub(crate) ts_recent: u32,
    pub(crate) mss: u16,
    pub(crate) num_retrans: u8,
    pub(crate) num_timeout: u8,
    /// The listener's keys of TCP_MD5SIG.
    pub(crate) md5sig_info: Md5Info,
    /// The SYN-ACK is a cookie, and this is forgotten when it has left (`TCP_SYNACK_COOKIE`).
    pub(crate) cookie: bool,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    pub(crate) rsk_rcv_wnd: u32,
    pub(crate) rsk_window_clamp: u32,
    pub(crate) tstamp_ok: bool,
    pub(crate) sack_ok: bool,
    pub(crate) wscale_ok: bool,
    pub(crate) ecn_ok: bool,
    /// The third ACK came while the accept queue was full, or is being deferred.
    pub(crate) acked: bool,
    pub(crate) mark: u32,
    /// Jiffies of the first time-out.
    pub(crate) timeout: Jiffies,
}

/// `struct tcp_timewait_sock`.
#[derive(Clone, Debug)]
pub(crate) struct TimewaitSock {
    pub(crate) id: SockId,
    pub(crate) tw_saddr: Ipv4Addr,
    pub(crate) tw_daddr: Ipv4Addr,
    /// What one of a connection over IPv6 has besides.
    pub(crate) tw_v6: Option<Box<TwV6>>,
    pub(crate) tw_num: u16,
    pub(crate) tw_dport: u16,
    /// FIN-WAIT-2 or TIME-WAIT.
    pub(crate) tw_substate: crate::net::core::sock::TcpState,
    pub(crate) tw_rcv_nxt: SeqNum,
    pub(crate) tw_snd_nxt: SeqNum,
    pub(crate) tw_rcv_wnd: u32,
    pub(crate) tw_rcv_wscale: u8,
    pub(crate) tw_ts_offset: u32,
    pub(crate) tw_last_oow_ack_time: Option<Jiffies>,
    pub(crate) tw_ts_recent: u32,
    /// `tw_md5_key`.
    pub(crate) tw_md5sig_info: Md5Info,
    pub(crate) tw_ts_recent_stamp: u64,
    pub(crate) tw_tos: u8,
    pub(crate) tw_mark: u32,
    pub(crate) tw_reuse: bool,
    pub(crate) tw_bound_dev_if: u32,
    /// The port was chosen by connect(), so that connect() may choose it again.
    pub(crate) tw_port_by_connect: bool,
}

impl TcpSkb {
    /// Whether anybody asked for a stamp of it (`tcp_has_tx_tstamp`).
    pub(crate) fn has_tx_tstamp(&self) -> bool {
        self.txstamp_ack || self.tx_tstamp.flags != 0
    }
}

impl TcpSock {
    /// `tcp_left_out`.
    pub(crate) fn left_out(&self) -> u32 {
        self.sacked_out + self.lost_out
    }

    /// `tcp_packets_in_flight`, segments.
    pub(crate) fn packets_in_flight(&self) -> u32 {
        (self.packets_out + self.retrans_out).saturating_sub(self.left_out())
    }

    /// `tcp_in_initial_slowstart`.
    pub(crate) fn in_initial_slowstart(&self) -> bool {
        self.snd_ssthresh >= TCP_INFINITE_SSTHRESH
    }

    /// `tcp_wnd_end`: first sequence number beyond the peer's window.
    pub(crate) fn wnd_end(&self) -> SeqNum {
        self.snd_una + self.snd_wnd
    }

    /// `tcp_receive_window`: bytes that the peer may still send.
    pub(crate) fn receive_window(&self) -> u32 {
        let win = (self.rcv_wup + self.rcv_wnd).diff(self.rcv_nxt);
        win.max(0) as u32
    }

    /// `tcp_is_sack`.
    pub(crate) fn is_sack(&self) -> bool {
        self.rx_opt.sack_ok != 0
    }

    /// `tcp_is_reno`.
    pub(crate) fn is_reno(&self) -> bool {
        !self.is_sack()
    }
}

/// What a receive call found and may still be waiting for; see `tcp_recvmsg`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecvMsg {
    /// Most bytes that the caller takes.
    pub(crate) len: usize,
    /// `MSG_*`.
    pub(crate) flags: i32,
    /// `O_NONBLOCK` or `MSG_DONTWAIT`.
    pub(crate) nonblock: bool,
    /// Bytes received so far.
    pub(crate) buf: Vec<u8>,
    /// Source address (UDP).
    pub(crate) addr: Option<SocketAddr>,
    /// `MSG_*` of the result.
    pub(crate) msg_flags: i32,
    /// Room for control messages, bytes, and those that were put there.
    pub(crate) controllen: usize,
    pub(crate) control: Vec<Cmsg>,
    /// The buffer's address is NULL.
    pub(crate) fault: bool,
    /// When the last bytes that were read had arrived, CLOCK_REALTIME; 0: nobody noted it.
    pub(crate) rx_tstamp: Nanos,
}

/// What a send call has to send and how far it is; see `tcp_sendmsg`.
#[derive(Clone, Debug, Default)]
pub(crate) struct SendMsg {
    pub(crate) data: std::sync::Arc<Vec<u8>>,
    /// Bytes taken so far.
    pub(crate) done: usize,
    /// Bytes before those that went with a SYN.
    pub(crate) copied_syn: usize,
    /// How far a send that opens the connection is.
    pub(crate) fastopen: FastopenSend,
    /// `MSG_*`.
    pub(crate) flags: i32,
    pub(crate) nonblock: bool,
    /// Where to (UDP, raw).
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) control: Vec<Cmsg>,
    /// The buffer's address is NULL.
    pub(crate) fault: bool,
    /// Lengths of the buffers that `data` was gathered from; none: one buffer.
    pub(crate) iov: Vec<usize>,
    /// What the data's pages are referred to by, with MSG_ZEROCOPY.
    pub(crate) uarg: Option<UbufId>,
    /// `SOF_TIMESTAMPING_*` of this call.
    pub(crate) tsflags: u32,
}

impl SendMsg {
    /// Bytes taken, those of a SYN included.
    pub(crate) fn taken(&self) -> usize {
        self.copied_syn + self.done
    }
}

/// How far a send that opens its connection is (`MSG_FASTOPEN`, or after a deferred connect()).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum FastopenSend {
    /// It has not looked yet, or it is an ordinary one.
    #[default]
    Start,
    /// The SYN is out; the handshake is awaited.
    Connecting,
    /// Connected: the rest is sent as usual.
    Connected,
}

/// How far an operation got: finished, or it has to wait until its socket is woken. A blocked
/// operation is tried again with the same arguments, which hold its progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress<T> {
    Done(T),
    Wait,
}

impl<T> Progress<T> {
    /// The same with what was done turned into something else.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Progress<U> {
        match self {
            Self::Done(done) => Progress::Done(f(done)),
            Self::Wait => Progress::Wait,
        }
    }
}

/// A result that may have to wait.
pub(crate) type IoResult<T> = Result<Progress<T>, Errno>;
