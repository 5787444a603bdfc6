//! Zero-window probes, keepalives, tail loss probes, and sending on after the small-queue limit
//! (Linux `tcp_output.c`).

use super::*;
use crate::net::ipv4::inet_connection_sock::{tcp_rto_max, tcp_timeout_init};
use crate::net::ipv4::tcp_input::tcp_rearm_rto;

/// Sends a segment without data: an old number draws an ACK, `urgent` the next one
/// (Linux `tcp_xmit_probe_skb()`).
///
/// # Errors
/// What sending gave.
fn tcp_xmit_probe_skb(
    tp: &mut TcpSock,
    net: &mut Net,
    urgent: bool,
    mib: TcpExt,
) -> Result<(), Errno> {
    let seq = tp.snd_una - u32::from(!urgent);
    let mut skb = tcp_init_nondata_skb(net, seq, TCPHDR_ACK);
    net.mib.inc(mib);
    tcp_transmit_skb(tp, net, &mut skb, false)
}

/// Sends data if the window admits a byte of it, else a probe (Linux `tcp_write_wakeup()`).
///
/// # Errors
/// EINVAL in Linux's -1: the connection is closed or memory short; else what sending gave.
pub(crate) fn tcp_write_wakeup(tp: &mut TcpSock, net: &mut Net, mib: TcpExt) -> Result<(), Errno> {
    if tp.sk.sk_state == TcpState::Close {
        return Err(Errno::EINVAL);
    }
    let sendable = tp.write_queue.front().is_some_and(|skb| skb.seq.before(tp.wnd_end()));
    if !sendable {
        if tp.snd_up.between(tp.snd_una + 1, tp.snd_una + 0xffff) {
            let _ = tcp_xmit_probe_skb(tp, net, true, mib);
        }
        return tcp_xmit_probe_skb(tp, net, false, mib);
    }
    let mss = tcp_current_mss(tp, net);
    let wnd_end = tp.wnd_end();
    let Some(skb) = tp.write_queue.front_mut() else { return Err(Errno::EINVAL) };
    let window = wnd_end.since(skb.seq);
    if tp.pushed_seq.before(skb.end_seq) {
        tp.pushed_seq = skb.end_seq;
    }
    if window < skb.end_seq.since(skb.seq) || skb.len > mss {
        skb.tcp_flags |= TCPHDR_PSH;
        tcp_fragment(tp, net, TcpQueue::Write, 0, window.min(mss), mss)?;
    } else if skb.gso_segs == 0 {
        tcp_set_skb_tso_segs(skb, mss);
    }
    let Some(mut skb) = tp.write_queue.pop_front() else { return Err(Errno::EINVAL) };
    skb.tcp_flags |= TCPHDR_PSH;
    let sent = tcp_transmit_skb(tp, net, &mut skb, true);
    if sent.is_ok() {
        tcp_event_new_data_sent(tp, net, skb);
    } else {
        tp.write_queue.push_front(skb);
    }
    sent
}

/// First interval of zero-window probing (`tcp_probe0_base`).
pub(crate) fn tcp_probe0_base(tp: &TcpSock, net: &Net) -> Jiffies {
    tp.icsk.icsk_rto.max(Jiffies::from(net.time.hz()) / 5)
}

/// The interval with its backoff, at most `max_when` (`tcp_probe0_when`).
pub(crate) fn tcp_probe0_when(tp: &TcpSock, net: &Net, max_when: Jiffies) -> Jiffies {
    // ilog2(TCP_RTO_MAX / TCP_RTO_MIN) + 1 doublings reach the maximum from the minimum.
    let backoff = tp.icsk.icsk_backoff.min(10);
    (tcp_probe0_base(tp, net) << backoff).min(max_when)
}

/// `TCP_USER_TIMEOUT` ends probing on time (`tcp_clamp_probe0_to_user_timeout`).
pub(crate) fn tcp_clamp_probe0_to_user_timeout(tp: &TcpSock, net: &Net, when: Jiffies) -> Jiffies {
    let Some(since) = tp.icsk.icsk_probes_tstamp else { return when };
    if tp.icsk.icsk_user_timeout == 0 {
        return when;
    }
    let elapsed = net.jiffies().saturating_sub(since);
    let most = net.time.msecs_to_jiffies(tp.icsk.icsk_user_timeout.into());
    when.min(most.saturating_sub(elapsed).max(2))
}

/// Probes a closed window and arms the next probe (Linux `tcp_send_probe0()`).
#[traced]
pub(crate) fn tcp_send_probe0(tp: &mut TcpSock, net: &mut Net) {
    let sent = tcp_write_wakeup(tp, net, TcpExt::TCPWinProbe);
    if tp.packets_out != 0 || tp.write_queue.is_empty() {
        tp.icsk.icsk_probes_out = 0;
        tp.icsk.icsk_backoff = 0;
        tp.icsk.icsk_probes_tstamp = None;
        return;
    }
    tp.icsk.icsk_probes_out = tp.icsk.icsk_probes_out.saturating_add(1);
    let max = tcp_rto_max(net);
    let timeout = if sent == Err(Errno::ENOBUFS) {
        // Local congestion: TCP_RESOURCE_PROBE_INTERVAL.
        Jiffies::from(net.time.hz()) / 2
    } else {
        if i64::from(tp.icsk.icsk_backoff) < net.sysctl.tcp_retries2 {
            tp.icsk.icsk_backoff += 1;
        }
        tcp_probe0_when(tp, net, max)
    };
    let timeout = tcp_clamp_probe0_to_user_timeout(tp, net, timeout);
    tcp_reset_xmit_timer(tp, net, IcskPending::Probe0, timeout, max);
}

/// Smallest RTO of this connection, microseconds (`tcp_rto_min_us`).
pub(crate) fn tcp_rto_min_us(tp: &TcpSock, net: &Net) -> u64 {
    net.time.jiffies_to_usecs(tcp_rto_min(tp, net))
}

/// The least RTO, jiffies: the route's, else the socket's (Linux `tcp_rto_min()`).
pub(crate) fn tcp_rto_min(tp: &TcpSock, net: &Net) -> Jiffies {
    match tp.sk.sk_dst.as_ref().map(|dst| dst.rto_min_ms) {
        None | Some(0) => tp.icsk.icsk_rto_min,
        Some(ms) => net.time.msecs_to_jiffies(ms.into()),
    }
}

/// Microseconds until the RTO of the oldest segment (`tcp_rto_delta_us`); negative: overdue.
pub(crate) fn tcp_rto_delta_us(tp: &TcpSock, net: &Net) -> i64 {
    let rto_us = net.time.jiffies_to_usecs(tp.icsk.icsk_rto);
    match tp.rtx_queue.front() {
        Some(head) => (tcp_skb_timestamp_us(head) + rto_us) as i64 - tp.tcp_mstamp as i64,
        None => rto_us as i64,
    }
}

/// Arms the tail loss probe in the RTO's place (Linux `tcp_schedule_loss_probe()`, RFC 8985 7);
/// whether it did.
pub(crate) fn tcp_schedule_loss_probe(
    tp: &mut TcpSock,
    net: &mut Net,
    advancing_rto: bool,
) -> bool {
    if !matches!(net.sysctl.tcp_early_retrans, 3 | 4)
        || tp.packets_out == 0
        || tp.fastopen.fastopen_rsk.is_some()
        || !tp.is_sack()
        || !matches!(tp.icsk.icsk_ca_state, CaState::Open | CaState::Cwr)
    {
        return false;
    }
    let mut timeout = if tp.srtt_us == 0 {
        tcp_timeout_init(net)
    } else {
        // With one segment out, the peer may delay its ACK; else two milliseconds of slack.
        let slack = if tp.packets_out == 1 { tcp_rto_min_us(tp, net) } else { 2000 };
        net.time.usecs_to_jiffies(u64::from(tp.srtt_us >> 2) + slack)
    };
    let rto_delta_us = if advancing_rto {
        net.time.jiffies_to_usecs(tp.icsk.icsk_rto) as i64
    } else {
        tcp_rto_delta_us(tp, net)
    };
    if rto_delta_us > 0 {
        timeout = timeout.min(net.time.usecs_to_jiffies(rto_delta_us as u64));
    }
    let max = tcp_rto_max(net);
    tcp_reset_xmit_timer(tp, net, IcskPending::LossProbe, timeout, max);
    true
}

/// The loss probe's timer fired: new data if windows admit it, else the last segment again
/// (Linux `tcp_send_loss_probe()`).
#[traced]
pub(crate) fn tcp_send_loss_probe(tp: &mut TcpSock, net: &mut Net) {
    if tp.tlp_high_seq.is_none() && send_probe(tp, net) {
        tp.tlp_high_seq = Some(tp.snd_nxt);
        net.mib.inc(TcpExt::TCPLossProbes);
        // Lets the RTO be armed anew below.
        tp.icsk.icsk_pending = IcskPending::None;
    }
    tcp_rearm_rto(tp, net);
}

fn send_probe(tp: &mut TcpSock, net: &mut Net) -> bool {
    let mss = tcp_current_mss(tp, net);
    tp.tlp_retrans = false;
    let new_data = tp.write_queue.front().is_some_and(|skb| tcp_snd_wnd_test(tp, skb, mss));
    if new_data {
        let before = tp.packets_out;
        // What Nagle or a cork holds back goes too.
        tcp_write_xmit(tp, net, mss, TCP_NAGLE_OFF, PushOne::Probe);
        return tp.packets_out > before;
    }
    let Some(last) = tp.rtx_queue.len().checked_sub(1) else {
        tp.icsk.icsk_pending = IcskPending::None;
        return false;
    };
    if skb_still_in_host_queue(tp, net, last) {
        net.mib.inc(TcpExt::TCPSpuriousRtxHostQueues);
        return false;
    }
    let skb = &tp.rtx_queue[last];
    let all_but_one = u32::from(skb.gso_segs).saturating_sub(1) * mss;
    let mut at = last;
    if skb.gso_segs > 1 && skb.len > all_but_one {
        if tcp_fragment(tp, net, TcpQueue::Rtx, last, all_but_one, mss).is_err() {
            return false;
        }
        at += 1;
    }
    if __tcp_retransmit_skb(tp, net, at, 1).is_err() {
        return false;
    }
    tp.tlp_retrans = true;
    true
}

/// The socket fell below its small-queue limit: lost segments first, then new ones
/// (Linux `tcp_tsq_handler()`, `tcp_tsq_write()`).
#[traced]
pub(crate) fn tcp_tsq_handler(tp: &mut TcpSock, net: &mut Net) {
    tp.tsq_throttled = false;
    let sending = matches!(
        tp.sk.sk_state,
        TcpState::Established
            | TcpState::FinWait1
            | TcpState::Closing
            | TcpState::CloseWait
            | TcpState::LastAck
    );
    if !sending {
        return;
    }
    if tp.lost_out > tp.retrans_out && tp.snd_cwnd > tp.packets_in_flight() {
        tcp_mstamp_refresh(tp, net);
        tcp_xmit_retransmit_queue(tp, net);
    }
    let (mss, nonagle) = (tcp_current_mss(tp, net), tp.nonagle);
    tcp_write_xmit(tp, net, mss, nonagle, PushOne::All);
}

/// The pacing timer fired (Linux `tcp_pace_kick()`).
#[traced]
pub(crate) fn tcp_pace_kick(tp: &mut TcpSock, net: &mut Net) {
    tcp_tsq_handler(tp, net);
}
