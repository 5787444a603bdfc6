//! TCP's sockets (Linux `tcp.c`): creation, states, poll, and the room for each call.
//!
//! | room | what |
//! | --- | --- |
//! | this one | a new socket, its states, poll, ioctl |
//! | `sendmsg`, `recvmsg` | data out and in |
//! | `backlog` | the lock of a call, and the segments that wait for it |
//! | `close` | shutdown, close, disconnect |
//! | `sockopt`, `info` | options, `struct tcp_info` |

mod backlog;
mod close;
mod info;
mod recvmsg;
mod sendmsg;
mod sockopt;
mod splice_read;

pub(crate) use backlog::*;
pub(crate) use close::*;
pub use info::TcpInfo;
pub(crate) use info::tcp_get_info;
pub(crate) use recvmsg::*;
pub(crate) use sendmsg::*;
pub(crate) use sockopt::*;
pub(crate) use splice_read::tcp_splice_read;

use super::inet_connection_sock::{
    tcp_clear_xmit_timers, tcp_delack_max_default, tcp_timeout_init,
};
use super::mib::Tcp;
use super::tcp_cong::CongestionOps;
use super::tcp_fastopen::{reqsk_fastopen_remove, tcp_passive_fastopen};
use super::tcp_input::tcp_epollin_ready;
use super::tcp_output::{TCP_CHRONO_BUSY, tcp_chrono_stop, tcp_wmem_free_skb};
use super::tcp_sock::*;
use crate::errno::Errno;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::core::sock::{
    RCV_SHUTDOWN, SEND_SHUTDOWN, SHUTDOWN_MASK, SOCK_RCVBUF_LOCK, SkbQueue, SockCommon, SockId,
    TcpState,
};
use crate::net::core::stream::{sk_stream_is_writeable, sk_stream_memory_free};
use crate::time::Jiffies;
use crate::uapi::*;
use std::collections::VecDeque;

/// `urg_data`: the urgent byte is there, in the low bits (`TCP_URG_VALID`).
const TCP_URG_VALID: u16 = 0x100;

/// A new socket (Linux `tcp_init_sock()` after `sock_init_data()`).
#[reference_stack_macros::traced]
pub(crate) fn tcp_init_sock(net: &mut Net, id: SockId) -> TcpSock {
    let bufs = (net.sysctl.tcp_rmem[1], net.sysctl.tcp_wmem[1]);
    let sk = SockCommon::new(id, AF_INET, SOCK_STREAM, IPPROTO_TCP, bufs);
    let unknown_rtt = MinmaxSample { t: net.jiffies() as u32, v: u32::MAX };
    TcpSock {
        icsk: new_icsk(net),
        tcp_header_len: 0,
        gso_segs: 0,
        pred_flags: 0,
        bytes_received: 0,
        bytes_acked: 0,
        bytes_sent: 0,
        wmem_charged: 0,
        bytes_retrans: 0,
        segs_in: 0,
        segs_out: 0,
        data_segs_in: 0,
        data_segs_out: 0,
        dsack_dups: 0,
        rcv_nxt: SeqNum(0),
        copied_seq: SeqNum(0),
        rcv_wup: SeqNum(0),
        snd_nxt: SeqNum(0),
        snd_una: SeqNum(0),
        snd_sml: SeqNum(0),
        rcv_tstamp: 0,
        lsndtime: 0,
        last_oow_ack_time: None,
        compressed_ack_rcv_nxt: SeqNum(0),
        tsoffset: 0,
        snd_wl1: SeqNum(0),
        snd_wnd: 0,
        max_window: 0,
        mss_cache: TCP_MSS_DEFAULT.into(),
        window_clamp: 0,
        rcv_ssthresh: 0,
        // TCP_DEFAULT_SCALING_RATIO: half, as tcp_adv_win_scale of 1 gives.
        scaling_ratio: 128,
        rcv_wnd: 0,
        write_seq: SeqNum(0),
        pushed_seq: SeqNum(0),
        advmss: 0,
        compressed_ack: 0,
        dup_ack_counter: 0,
        tlp_retrans: false,
        chrono_type: 0,
        chrono_start: 0,
        chrono_stat: [0; 3],
        nonagle: 0,
        thin_lto: false,
        frto: false,
        is_sack_reneg: false,
        is_cwnd_limited: false,
        recvmsg_inq: false,
        save_syn: false,
        linger2: 0,
        keepalive_time: None,
        keepalive_intvl: None,
        keepalive_probes: 0,
        notsent_lowat: 0,
        defer_accept: 0,
        tcp_mstamp: 0,
        srtt_us: 0,
        mdev_us: 1_000_000,
        mdev_max_us: 0,
        rttvar_us: 0,
        rtt_seq: SeqNum(0),
        rtt_min: [unknown_rtt; 3],
        packets_out: 0,
        retrans_out: 0,
        max_packets_out: 0,
        cwnd_usage_seq: SeqNum(0),
        urg_data: 0,
        ecn_flags: 0,
        reordering: net.sysctl.tcp_reordering as u32,
        reord_seen: 0,
        snd_up: SeqNum(0),
        urg_seq: SeqNum(0),
        rx_opt: TcpOptionsReceived { mss_clamp: TCP_MSS_DEFAULT, ..Default::default() },
        snd_ssthresh: TCP_INFINITE_SSTHRESH,
        snd_cwnd: TCP_INIT_CWND,
        snd_cwnd_cnt: 0,
        snd_cwnd_clamp: u32::MAX,
        snd_cwnd_used: 0,
        snd_cwnd_stamp: 0,
        prior_cwnd: 0,
        prr_delivered: 0,
        prr_out: 0,
        delivered: 0,
        delivered_ce: 0,
        lost: 0,
        // Until a sample says otherwise, the sender is application limited.
        app_limited: u32::MAX,
        first_tx_mstamp: 0,
        delivered_mstamp: 0,
        rate_delivered: 0,
        rate_interval_us: 0,
        rate_app_limited: true,
        rtx_queue: VecDeque::new(),
        write_queue: VecDeque::new(),
        out_of_order_queue: SkbQueue::default(),
        duplicate_sack: Default::default(),
        selective_acks: Default::default(),
        recv_sack_cache: Default::default(),
        highest_sack: None,
        lost_out: 0,
        sacked_out: 0,
        prior_ssthresh: 0,
        high_seq: SeqNum(0),
        retrans_stamp: 0,
        undo_marker: None,
        undo_retrans: 0,
        total_retrans: 0,
        tlp_high_seq: None,
        rack: TcpRack { reo_wnd_steps: 1, ..Default::default() },
        rcvq_space: RcvSpace::default(),
        md5sig_info: None,
        mtu_probe_start: SeqNum(0),
        mtu_probe_end: SeqNum(0),
        rcv_ooopack: 0,
        timeout_rehash: 0,
        total_rto: 0,
        tsq_throttled: false,
        deferred: Deferred::default(),
        tcp_wstamp_ns: 0,
        tcp_clock_cache: 0,
        fastopen: Default::default(),
        time_wait: None,
        sk,
    }
}

fn new_icsk(net: &Net) -> Icsk {
    Icsk {
        accept_queue: VecDeque::new(),
        reqsk_qlen: 0,
        synq_overflow: None,
        reqsk_young: 0,
        fastopenq: None,
        icsk_retransmits: 0,
        icsk_pending: IcskPending::None,
        icsk_backoff: 0,
        icsk_syn_retries: 0,
        icsk_probes_out: 0,
        icsk_probes_tstamp: None,
        icsk_timeout: 0,
        icsk_rto: tcp_timeout_init(net),
        icsk_rto_min: rto_min_default(net),
        icsk_delack_max: tcp_delack_max_default(net),
        icsk_pmtu_cookie: 0,
        icsk_ca: CongestionOps::new(net.sysctl.tcp_congestion_control),
        icsk_ca_state: CaState::Open,
        icsk_ca_setsockopt: false,
        icsk_ca_initialized: false,
        icsk_user_timeout: 0,
        icsk_ext_hdr_len: 0,
        icsk_ack: IcskAck::default(),
        icsk_mtup: MtuProbing::default(),
        listener: None,
    }
}

/// `TCP_RTO_MIN`: 200 ms, or `tcp_rto_min_us` (6.11 and later), jiffies.
pub(crate) fn rto_min_default(net: &Net) -> Jiffies {
    net.time.usecs_to_jiffies(net.sysctl.tcp_rto_min_us.max(0) as u64)
}

/// Moves a socket to another state and keeps the gauges (Linux `tcp_set_state()`). Leaving the
/// tables at CLOSE needs them: `tcp_settle()` does it for whoever holds them.
pub(crate) fn tcp_set_state(tp: &mut TcpSock, net: &mut Net, state: TcpState) {
    let old = tp.sk.sk_state;
    match state {
        TcpState::Established => {
            if old != TcpState::Established {
                net.mib.inc(Tcp::CurrEstab);
            }
        }
        _ => {
            if state == TcpState::Close
                && matches!(old, TcpState::CloseWait | TcpState::Established)
            {
                net.mib.inc(Tcp::EstabResets);
            }
            if old == TcpState::Established {
                net.mib.dec(Tcp::CurrEstab);
            }
        }
    }
    tp.sk.sk_state = state;
}

/// The connection is over (Linux `tcp_done()`). Its socket goes when `tcp_settle()` is called.
pub(crate) fn tcp_done(tp: &mut TcpSock, net: &mut Net) {
    if matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv) {
        net.mib.inc(Tcp::AttemptFails);
    }
    tcp_set_state(tp, net, TcpState::Close);
    tcp_clear_xmit_timers(tp, net);
    reqsk_fastopen_remove(tp, false);
    tp.sk.sk_shutdown = SHUTDOWN_MASK;
    if !tp.sk.dead {
        net.wake_up(tp.sk.id);
    }
}

/// Drops everything that was to be sent (Linux `tcp_write_queue_purge()`).
pub(crate) fn tcp_write_queue_purge(tp: &mut TcpSock, net: &mut Net) {
    tcp_chrono_stop(tp, net, TCP_CHRONO_BUSY);
    while let Some(skb) = tp.write_queue.pop_front() {
        tcp_wmem_free_skb(tp, net, skb);
    }
    while let Some(skb) = tp.rtx_queue.pop_front() {
        tcp_wmem_free_skb(tp, net, skb);
    }
    tcp_chrono_stop(tp, net, TCP_CHRONO_BUSY);
    tp.highest_sack = None;
    tp.packets_out = 0;
    tp.icsk.icsk_backoff = 0;
}

/// `TCP_NOTSENT_LOWAT`, bytes (`tcp_notsent_lowat`).
pub(crate) fn tcp_notsent_lowat(tp: &TcpSock, net: &Net) -> u32 {
    match tp.notsent_lowat {
        0 => net.sysctl.tcp_notsent_lowat.clamp(0, u32::MAX.into()) as u32,
        own => own,
    }
}

/// Whether a new buffer may be begun.
pub(super) fn memory_free(tp: &TcpSock, net: &Net) -> bool {
    let notsent = tp.write_seq.since(tp.snd_nxt);
    sk_stream_memory_free(&tp.sk, notsent, tcp_notsent_lowat(tp, net))
}

/// `SO_RCVLOWAT` for a read of `len` bytes (`sock_rcvlowat`).
pub(super) fn sock_rcvlowat(tp: &TcpSock, waitall: bool, len: i32) -> i32 {
    let v = if waitall { len } else { tp.sk.sk_rcvlowat.min(len) };
    if v == 0 { 1 } else { v }
}

/// Which events hold (Linux `tcp_poll()`); `POLL*`.
pub(crate) fn tcp_poll(tp: &mut TcpSock, net: &mut Net) -> i16 {
    if tp.sk.sk_state == TcpState::Listen {
        return if tp.icsk.accept_queue.is_empty() { 0 } else { POLLIN | POLLRDNORM };
    }
    let mut mask = 0;
    if tp.sk.sk_shutdown == SHUTDOWN_MASK || tp.sk.sk_state == TcpState::Close {
        mask |= POLLHUP;
    }
    if tp.sk.sk_shutdown & RCV_SHUTDOWN != 0 {
        mask |= POLLIN | POLLRDNORM | POLLRDHUP;
    }
    if tp.sk.sk_state == TcpState::SynSent && tp.fastopen.defer_connect {
        // The first write sends the SYN.
        mask |= POLLOUT | POLLWRNORM;
    }
    let opening = matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv);
    if !opening || tcp_passive_fastopen(tp) {
        let mut target = sock_rcvlowat(tp, false, i32::MAX);
        if tp.urg_data != 0 && tp.urg_seq == tp.copied_seq && !tp.sk.oobinline {
            target = target.saturating_add(1);
        }
        if tcp_epollin_ready(tp, target) {
            mask |= POLLIN | POLLRDNORM;
        }
        mask |= writable(tp, net);
        if tp.urg_data & TCP_URG_VALID != 0 {
            mask |= POLLPRI;
        }
    }
    if tp.sk.sk_err.is_some() || !tp.sk.sk_error_queue.is_empty() {
        mask |= POLLERR;
    }
    mask
}

fn writable(tp: &mut TcpSock, net: &Net) -> i16 {
    let notsent = tp.write_seq.since(tp.snd_nxt);
    let closed = tp.sk.sk_shutdown & SEND_SHUTDOWN != 0;
    if closed || sk_stream_is_writeable(&tp.sk, notsent, tcp_notsent_lowat(tp, net)) {
        return POLLOUT | POLLWRNORM;
    }
    // Whoever polls wants to be told.
    tp.sk.nospace = true;
    0
}

/// SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK (Linux `tcp_ioctl()`).
///
/// # Errors
/// EINVAL on a listener, ENOTTY for another request.
pub(crate) fn tcp_ioctl(tp: &mut TcpSock, _net: &mut Net, request: u32) -> Result<i64, Errno> {
    if tp.sk.sk_state == TcpState::Listen && request != SIOCATMARK {
        return Err(Errno::EINVAL);
    }
    let unconnected = matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv);
    match request {
        SIOCINQ => Ok(tcp_inq(tp).into()),
        SIOCOUTQ if unconnected => Ok(0),
        SIOCOUTQ => Ok(tp.write_seq.since(tp.snd_una).into()),
        SIOCOUTQNSD if unconnected => Ok(0),
        SIOCOUTQNSD => Ok(tp.write_seq.since(tp.snd_nxt).into()),
        SIOCATMARK => Ok((tp.urg_data != 0 && tp.urg_seq == tp.copied_seq).into()),
        _ => Err(Errno::ENOTTY),
    }
}

/// Bytes that can be read, the urgent mark and a FIN aside (Linux `tcp_inq()`).
pub(crate) fn tcp_inq(tp: &TcpSock) -> u32 {
    if matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv) {
        return 0;
    }
    let to_mark = tp.sk.oobinline
        || tp.urg_data == 0
        || tp.urg_seq.before(tp.copied_seq)
        || !tp.urg_seq.before(tp.rcv_nxt);
    if !to_mark {
        return tp.urg_seq.since(tp.copied_seq);
    }
    let answ = tp.rcv_nxt.since(tp.copied_seq);
    // The FIN took a number but is no byte.
    if answ != 0 && tp.sk.done { answ - 1 } else { answ }
}

/// `SO_RCVLOWAT` (Linux `tcp_set_rcvlowat()`): the buffer must be able to hold that much.
pub(crate) fn tcp_set_rcvlowat(tp: &mut TcpSock, net: &mut Net, val: i32) {
    let locked = tp.sk.sk_userlocks & SOCK_RCVBUF_LOCK != 0;
    let cap = if locked { tp.sk.sk_rcvbuf >> 1 } else { net.sysctl.tcp_rmem[2] >> 1 };
    let val = if val < 0 { i32::MAX } else { val }.min(cap);
    tp.sk.sk_rcvlowat = if val == 0 { 1 } else { val };
    super::tcp_input::tcp_data_ready(tp, net);
    if locked {
        return;
    }
    let space = super::tcp_output::tcp_space_from_win(tp, net, val);
    if space > tp.sk.sk_rcvbuf {
        tp.sk.sk_rcvbuf = space;
        tp.window_clamp = tp.window_clamp.max(val as u32);
    }
}
