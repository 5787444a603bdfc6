//! What connection-oriented sockets share (Linux `inet_connection_sock.c` and its header): the
//! retransmit, delayed-ACK and keepalive timers, and the state of delayed acknowledgement.
//!
//! As in Linux without `INET_CSK_CLEAR_TIMERS`, clearing a timer only clears what is pending; the
//! wheel's timer stays and finds nothing to do.

use super::tcp_sock::{ICSK_ACK_SCHED, ICSK_ACK_TIMER, IcskPending, TcpSock};
use crate::net::Net;
use crate::time::{HrtimerId, Jiffies, TimerId};

/// `TCP_ATO_MIN`: 40 ms.
pub(crate) fn tcp_ato_min(net: &Net) -> u32 {
    net.time.hz() / 25
}

/// `TCP_DELACK_MIN`: 40 ms.
pub(crate) fn tcp_delack_min(net: &Net) -> Jiffies {
    Jiffies::from(net.time.hz()) / 25
}

/// `TCP_DELACK_MAX`: 200 ms.
pub(crate) fn tcp_delack_max_default(net: &Net) -> Jiffies {
    Jiffies::from(net.time.hz()) / 5
}

/// `TCP_RTO_MAX`: 120 s, `net.ipv4.tcp_rto_max_ms` (6.15 and later).
pub(crate) fn tcp_rto_max(net: &Net) -> Jiffies {
    net.time.msecs_to_jiffies(net.sysctl.tcp_rto_max_ms.max(0) as u64)
}

/// `TCP_TIMEOUT_INIT`: 1 s.
pub(crate) fn tcp_timeout_init(net: &Net) -> Jiffies {
    Jiffies::from(net.time.hz())
}

/// Arms the timer of an event for `when` jiffies from now, at most `max_when`
/// (Linux `inet_csk_reset_xmit_timer()`).
#[reference_stack_macros::traced]
pub(crate) fn inet_csk_reset_xmit_timer(
    tp: &mut TcpSock,
    net: &mut Net,
    what: IcskPending,
    when: Jiffies,
    max_when: Jiffies,
) {
    let at = net.jiffies() + when.min(max_when);
    match what {
        IcskPending::None => {}
        IcskPending::Dack => {
            tp.icsk.icsk_ack.pending |= ICSK_ACK_TIMER;
            tp.icsk.icsk_ack.timeout = at;
            net.mod_timer(TimerId::Delack(tp.sk.id), at);
        }
        _ => {
            tp.icsk.icsk_pending = what;
            tp.icsk.icsk_timeout = at;
            net.mod_timer(TimerId::Retransmit(tp.sk.id), at);
        }
    }
}

/// Forgets what a timer is for (Linux `inet_csk_clear_xmit_timer()`).
pub(crate) fn inet_csk_clear_xmit_timer(tp: &mut TcpSock, _net: &mut Net, what: IcskPending) {
    if what == IcskPending::Dack {
        tp.icsk.icsk_ack.pending = 0;
        tp.icsk.icsk_ack.retry = 0;
    } else {
        tp.icsk.icsk_pending = IcskPending::None;
    }
}

/// Stops every timer of a connection that ends (Linux `tcp_clear_xmit_timers()`).
pub(crate) fn tcp_clear_xmit_timers(tp: &mut TcpSock, net: &mut Net) {
    let id = tp.sk.id;
    net.time.hrtimers.cancel(HrtimerId::Pacing(id));
    net.time.hrtimers.cancel(HrtimerId::CompressedAck(id));
    inet_csk_clear_xmit_timers(tp, net);
}

/// Linux `inet_csk_clear_xmit_timers()`.
pub(crate) fn inet_csk_clear_xmit_timers(tp: &mut TcpSock, net: &mut Net) {
    let id = tp.sk.id;
    tp.icsk.icsk_pending = IcskPending::None;
    tp.icsk.icsk_ack.pending = 0;
    net.del_timer(TimerId::Retransmit(id));
    net.del_timer(TimerId::Delack(id));
    net.del_timer(TimerId::Keepalive(id));
}

/// Arms the keepalive timer (also SYN-RECEIVED and FIN-WAIT-2) for `len` jiffies from now.
pub(crate) fn inet_csk_reset_keepalive_timer(tp: &mut TcpSock, net: &mut Net, len: Jiffies) {
    let at = net.jiffies().saturating_add(len);
    net.mod_timer(TimerId::Keepalive(tp.sk.id), at);
}

/// Linux `inet_csk_delete_keepalive_timer()`.
pub(crate) fn inet_csk_delete_keepalive_timer(tp: &mut TcpSock, net: &mut Net) {
    net.del_timer(TimerId::Keepalive(tp.sk.id));
}

/// An acknowledgement is owed (Linux `inet_csk_schedule_ack()`).
pub(crate) fn inet_csk_schedule_ack(tp: &mut TcpSock, _net: &mut Net) {
    tp.icsk.icsk_ack.pending |= ICSK_ACK_SCHED;
}

/// Whether an acknowledgement is owed (Linux `inet_csk_ack_scheduled()`).
pub(crate) fn inet_csk_ack_scheduled(tp: &TcpSock) -> bool {
    tp.icsk.icsk_ack.pending & ICSK_ACK_SCHED != 0
}

/// Linux `inet_csk_delack_init()`.
pub(crate) fn inet_csk_delack_init(tp: &mut TcpSock) {
    tp.icsk.icsk_ack = super::tcp_sock::IcskAck::default();
}

fn pingpong_thresh(net: &Net) -> u8 {
    net.sysctl.tcp_pingpong_thresh.clamp(1, 255) as u8
}

/// The connection is taken for interactive: ACKs wait for data to go with
/// (Linux `inet_csk_enter_pingpong_mode()`).
pub(crate) fn inet_csk_enter_pingpong_mode(tp: &mut TcpSock, net: &mut Net) {
    tp.icsk.icsk_ack.pingpong = pingpong_thresh(net);
}

/// Linux `inet_csk_exit_pingpong_mode()`.
pub(crate) fn inet_csk_exit_pingpong_mode(tp: &mut TcpSock, _net: &mut Net) {
    tp.icsk.icsk_ack.pingpong = 0;
}

/// Linux `inet_csk_in_pingpong_mode()`.
pub(crate) fn inet_csk_in_pingpong_mode(tp: &TcpSock, net: &Net) -> bool {
    tp.icsk.icsk_ack.pingpong >= pingpong_thresh(net)
}

/// Counts a reply that went out soon after data came (Linux `inet_csk_inc_pingpong_cnt()`).
pub(crate) fn inet_csk_inc_pingpong_cnt(tp: &mut TcpSock, _net: &mut Net) {
    tp.icsk.icsk_ack.pingpong = tp.icsk.icsk_ack.pingpong.saturating_add(1);
}

/// `inet_csk_rto_backoff`: the RTO with its backoff, at most `max_when`.
pub(crate) fn inet_csk_rto_backoff(tp: &TcpSock, max_when: Jiffies) -> Jiffies {
    let when = u128::from(tp.icsk.icsk_rto) << tp.icsk.icsk_backoff.min(63);
    when.min(u128::from(max_when)) as Jiffies
}
