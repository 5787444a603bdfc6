//! Sending what is in the write queue (Linux `tcp_write_xmit()` and what it asks).

use super::*;
use crate::drivers::net::ethernet::faraday::ftgmac100;
use crate::net::ipv4::inet_connection_sock::{inet_csk_reset_xmit_timer, tcp_rto_max};
use crate::net::ipv4::tcp_cong::{tcp_in_cwnd_reduction, tcp_is_cwnd_limited};
use crate::net::ipv4::tcp_input::{tcp_check_space, tcp_init_cwnd, tcp_rearm_rto};

/// Who asked for sending, and how much may go (`push_one`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PushOne {
    /// Everything that windows admit.
    All,
    /// One super-packet.
    One,
    /// One, against the congestion window: a loss probe.
    Probe,
}

/// Whether pacing forbids sending now (Linux `tcp_pacing_check()`); then its timer is armed.
pub(super) fn tcp_pacing_check(tp: &mut TcpSock, net: &mut Net) -> bool {
    if tp.sk.sk_pacing_status != PacingStatus::Needed || tp.tcp_wstamp_ns <= tp.tcp_clock_cache {
        return false;
    }
    let timer = HrtimerId::Pacing(tp.sk.id);
    if net.time.hrtimers.pending(timer).is_none() {
        let after = tp.tcp_wstamp_ns.saturating_sub(net.time.ktime_ns());
        net.hrtimer_start(timer, after);
    }
    true
}

/// How long pacing delays the next packet, jiffies (`tcp_pacing_delay`).
pub(crate) fn tcp_pacing_delay(tp: &TcpSock, net: &Net) -> Jiffies {
    let ns = tp.tcp_wstamp_ns.saturating_sub(tp.tcp_clock_cache);
    if ns == 0 { 0 } else { net.time.usecs_to_jiffies(ns.div_ceil(1000)) }
}

/// Linux `tcp_reset_xmit_timer()`: pacing is added to the time.
pub(crate) fn tcp_reset_xmit_timer(
    tp: &mut TcpSock,
    net: &mut Net,
    what: IcskPending,
    when: Jiffies,
    max_when: Jiffies,
) {
    let when = when.saturating_add(tcp_pacing_delay(tp, net));
    inet_csk_reset_xmit_timer(tp, net, what, when, max_when);
}

/// Whether so much is on its way below that more would only lengthen queues
/// (Linux `tcp_small_queue_check()`); the socket is then told when it drains.
pub(super) fn tcp_small_queue_check(
    tp: &mut TcpSock,
    net: &mut Net,
    truesize: u32,
    factor: u32,
) -> bool {
    let mut limit = (2 * u64::from(truesize)).max(tp.sk.sk_pacing_rate >> tp.sk.sk_pacing_shift);
    if tp.sk.sk_pacing_status == PacingStatus::None {
        limit = limit.min(net.sysctl.tcp_limit_output_bytes as u64);
    }
    limit = limit.saturating_mul(1 << factor);
    if sk_wmem_alloc(tp, net) <= limit {
        return false;
    }
    ftgmac100::complete_in_task(net);
    if sk_wmem_alloc(tp, net) <= limit {
        return false;
    }
    let few = if net.profile.tsq_allows_single { 1 } else { 0 };
    if tp.rtx_queue.len() <= few {
        return false;
    }
    tsq_throttle(tp, net);
    true
}

/// Sets TSQ_THROTTLED: the next buffer that is freed below schedules [`tcp_tsq_handler`].
pub(crate) fn tsq_throttle(tp: &mut TcpSock, net: &mut Net) {
    tp.tsq_throttled = true;
    if !net.wmem.throttled.contains(&tp.sk.id) {
        net.wmem.throttled.push(tp.sk.id);
    }
}

/// Writes packets to the network (Linux `tcp_write_xmit()`). True: nothing is in flight though
/// there is data, so the zero-window probe is to be armed.
#[traced]
pub(crate) fn tcp_write_xmit(
    tp: &mut TcpSock,
    net: &mut Net,
    mss_now: u32,
    nonagle: u8,
    push_one: PushOne,
) -> bool {
    let mut sent_pkts = 0;
    let mut limited = Deferred::No;
    tcp_mstamp_refresh(tp, net);
    if push_one == PushOne::All {
        match tcp_mtu_probe(tp, net) {
            MtuProbe::No => {}
            MtuProbe::Sent => sent_pkts = 1,
            MtuProbe::Wait => return false,
        }
    }
    let max_segs = tcp_tso_segs(tp, net, mss_now);
    while let Some(len) = next_burst(tp, net, mss_now, nonagle, push_one, max_segs, &mut limited) {
        if tp.write_queue.front().is_some_and(|skb| skb.len > len) {
            tso_fragment(tp, net, 0, len, mss_now);
        }
        let Some(head) = tp.write_queue.front() else { break };
        let (truesize, empty) = (head.truesize, head.end_seq == head.seq);
        if tcp_small_queue_check(tp, net, truesize, 0) || empty {
            break;
        }
        let Some(mut skb) = tp.write_queue.pop_front() else { break };
        if tcp_transmit_skb(tp, net, &mut skb, true).is_err() {
            tp.write_queue.push_front(skb);
            break;
        }
        sent_pkts += u32::from(skb.gso_segs);
        tcp_minshall_update(tp, mss_now, &skb);
        tcp_event_new_data_sent(tp, net, skb);
        if push_one != PushOne::All {
            break;
        }
    }
    if limited == Deferred::Rwnd {
        tcp_chrono_start(tp, net, TCP_CHRONO_RWND_LIMITED);
    } else {
        tcp_chrono_stop(tp, net, TCP_CHRONO_RWND_LIMITED);
    }
    let is_cwnd_limited = limited == Deferred::Cwnd || tp.packets_in_flight() >= tp.snd_cwnd;
    if sent_pkts > 0 || is_cwnd_limited {
        tcp_cwnd_validate(tp, net, is_cwnd_limited);
    }
    if sent_pkts > 0 {
        if tcp_in_cwnd_reduction(tp) {
            tp.prr_out += sent_pkts;
        }
        if push_one != PushOne::Probe {
            tcp_schedule_loss_probe(tp, net, false);
        }
        return false;
    }
    tp.packets_out == 0 && !tp.write_queue.is_empty()
}

/// How many bytes of the first unsent super-packet may go now; `None`: nothing may.
fn next_burst(
    tp: &mut TcpSock,
    net: &mut Net,
    mss_now: u32,
    nonagle: u8,
    push_one: PushOne,
    max_segs: u32,
    limited: &mut Deferred,
) -> Option<u32> {
    if tp.write_queue.is_empty() || tcp_pacing_check(tp, net) {
        return None;
    }
    tcp_init_tso_segs(tp.write_queue.front_mut()?, mss_now);
    let skb = tp.write_queue.front()?;
    let mut cwnd_quota = tcp_cwnd_test(tp, net, skb);
    if cwnd_quota == 0 {
        if push_one != PushOne::Probe {
            return None;
        }
        cwnd_quota = 1;
    }
    if net.profile.tcp_grow_skb {
        tcp_grow_skb(tp, net, cwnd_quota.min(max_segs).saturating_mul(mss_now));
        tcp_set_skb_tso_segs(tp.write_queue.front_mut()?, mss_now);
    }
    let skb = tp.write_queue.front()?;
    let tso_segs = u32::from(skb.gso_segs);
    let is_tail = tp.write_queue.len() == 1;
    if !tcp_snd_wnd_test(tp, skb, mss_now) {
        *limited = Deferred::Rwnd;
        return None;
    }
    if tso_segs == 1 {
        let nonagle = if is_tail { nonagle } else { TCP_NAGLE_PUSH };
        if !tcp_nagle_test(tp, skb, mss_now, nonagle) {
            return None;
        }
    } else if push_one == PushOne::All {
        let deferred = tcp_tso_should_defer(tp, net, skb, is_tail, max_segs);
        if deferred != Deferred::No {
            *limited = deferred;
            return None;
        }
    }
    if tso_segs > 1 && !tcp_urg_mode(tp) {
        let segs = cwnd_quota.min(max_segs);
        Some(tcp_mss_split_point(tp, skb, is_tail, mss_now, segs, nonagle))
    } else {
        Some(mss_now)
    }
}

/// A segment was sent for the first time: it moves to the retransmit queue
/// (Linux `tcp_event_new_data_sent()`).
pub(crate) fn tcp_event_new_data_sent(tp: &mut TcpSock, net: &mut Net, skb: TcpSkb) {
    let prior_packets = tp.packets_out;
    let segs = u32::from(skb.gso_segs);
    tp.snd_nxt = skb.end_seq;
    if tp.highest_sack.is_none() {
        tp.highest_sack = Some(skb.seq);
    }
    tp.rtx_queue.push_back(skb);
    tp.packets_out += segs;
    if prior_packets == 0 || tp.icsk.icsk_pending == IcskPending::LossProbe {
        tcp_rearm_rto(tp, net);
    }
    net.mib.add(TcpExt::TCPOrigDataSent, segs.into());
    tcp_check_space(tp, net);
}

/// Sends what may be sent, and probes a closed window (Linux `__tcp_push_pending_frames()`).
#[traced]
pub(crate) fn __tcp_push_pending_frames(
    tp: &mut TcpSock,
    net: &mut Net,
    cur_mss: u32,
    nonagle: u8,
) {
    // A connection that broke while the user held it sends no more.
    if tp.sk.sk_state == TcpState::Close {
        return;
    }
    if tcp_write_xmit(tp, net, cur_mss, nonagle, PushOne::All) {
        tcp_check_probe_timer(tp, net);
    }
}

/// Linux `tcp_push_pending_frames()`.
pub(crate) fn tcp_push_pending_frames(tp: &mut TcpSock, net: &mut Net) {
    if !tp.write_queue.is_empty() {
        let (mss, nonagle) = (tcp_current_mss(tp, net), tp.nonagle);
        __tcp_push_pending_frames(tp, net, mss, nonagle);
    }
}

/// Sends the first super-packet while the next is being filled (Linux `tcp_push_one()`).
#[traced]
pub(crate) fn tcp_push_one(tp: &mut TcpSock, net: &mut Net, mss_now: u32) {
    tcp_write_xmit(tp, net, mss_now, TCP_NAGLE_PUSH, PushOne::One);
}

/// Whether the window in use is the one that was tested (Linux `tcp_cwnd_validate()`, RFC 2861).
pub(crate) fn tcp_cwnd_validate(tp: &mut TcpSock, net: &mut Net, is_cwnd_limited: bool) {
    let new_round = !tp.snd_una.before(tp.cwnd_usage_seq);
    let more = !tp.is_cwnd_limited && tp.packets_out > tp.max_packets_out;
    if new_round || is_cwnd_limited || more {
        tp.is_cwnd_limited = is_cwnd_limited;
        tp.max_packets_out = tp.packets_out;
        tp.cwnd_usage_seq = tp.snd_nxt;
    }
    let now = net.jiffies();
    if tcp_is_cwnd_limited(tp) {
        tp.snd_cwnd_used = 0;
        tp.snd_cwnd_stamp = now;
        return;
    }
    tp.snd_cwnd_used = tp.snd_cwnd_used.max(tp.packets_out);
    let idle = now.saturating_sub(tp.snd_cwnd_stamp);
    if net.sysctl.tcp_slow_start_after_idle != 0 && idle >= tp.icsk.icsk_rto {
        tcp_cwnd_application_limited(tp, net);
    }
    let open = matches!(tp.sk.sk_state, TcpState::Established | TcpState::CloseWait);
    if tp.write_queue.is_empty() && tp.sk.nospace && open {
        tcp_chrono_start(tp, net, TCP_CHRONO_SNDBUF_LIMITED);
    }
}

/// Linux `tcp_cwnd_application_limited()`: a window that is not used for an RTO decays.
fn tcp_cwnd_application_limited(tp: &mut TcpSock, net: &mut Net) {
    if tp.icsk.icsk_ca_state == CaState::Open && !tp.sk.nospace {
        let win_used = tp.snd_cwnd_used.max(tcp_init_cwnd(tp));
        if win_used < tp.snd_cwnd {
            tp.snd_ssthresh = tcp_current_ssthresh(tp);
            tp.snd_cwnd = (tp.snd_cwnd + win_used) >> 1;
        }
        tp.snd_cwnd_used = 0;
    }
    tp.snd_cwnd_stamp = net.jiffies();
}

/// Arms the probe of a closed window unless something is in flight (`tcp_check_probe_timer`).
pub(crate) fn tcp_check_probe_timer(tp: &mut TcpSock, net: &mut Net) {
    if tp.packets_out == 0 && tp.icsk.icsk_pending == IcskPending::None {
        let when = tcp_probe0_base(tp, net);
        let max = tcp_rto_max(net);
        tcp_reset_xmit_timer(tp, net, IcskPending::Probe0, when, max);
    }
}
