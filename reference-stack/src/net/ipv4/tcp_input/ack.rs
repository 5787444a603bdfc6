//! Acknowledgements (Linux `tcp_ack()`, 5.15; RFC 9293 3.10.7.4, RFC 5961 5).

use super::*;
use crate::net::ipv4::inet_connection_sock::*;
use crate::net::ipv4::tcp_cong::*;
use crate::net::ipv4::tcp_output::*;
use crate::net::ipv4::tcp_rate::tcp_rate_gen;
use crate::net::ipv4::tcp_recovery::tcp_rack_update_reo_wnd;

/// Whether a segment's window counts (`tcp_may_update_window`, RFC 9293 3.10.7.4).
pub(crate) fn tcp_may_update_window(
    tp: &TcpSock,
    net: &Net,
    ack: SeqNum,
    ack_seq: SeqNum,
    nwin: u32,
) -> bool {
    let shut = nwin == 0 && net.profile.zero_window_counts;
    ack.after(tp.snd_una)
        || ack_seq.after(tp.snd_wl1)
        || (ack_seq == tp.snd_wl1 && (nwin > tp.snd_wnd || shut))
}

/// `tcp_snd_una_update`.
pub(crate) fn tcp_snd_una_update(tp: &mut TcpSock, ack: SeqNum) {
    tp.bytes_acked += u64::from(ack.since(tp.snd_una));
    tp.snd_una = ack;
}

/// Takes the window that a segment announces (`tcp_ack_update_window`).
fn tcp_ack_update_window(tp: &mut TcpSock, net: &mut Net, seg: &Seg) -> u32 {
    let mut flag = 0;
    let mut nwin = u32::from(seg.th.window);
    if !seg.th.syn() {
        nwin <<= tp.rx_opt.snd_wscale;
    }
    if tcp_may_update_window(tp, net, seg.ack_seq, seg.seq, nwin) {
        flag |= FLAG_WIN_UPDATE;
        tp.snd_wl1 = seg.seq;
        if tp.snd_wnd != nwin {
            tp.snd_wnd = nwin;
            tp.pred_flags = 0;
            tcp_fast_path_check(tp);
            if !tp.write_queue.is_empty() {
                tcp_slow_start_after_idle_check(tp, net);
            }
            if nwin > tp.max_window {
                tp.max_window = nwin;
                tcp_sync_mss(tp, net, tp.icsk.icsk_pmtu_cookie);
            }
        }
    }
    tcp_snd_una_update(tp, seg.ack_seq);
    flag
}

/// Ends a tail-loss-probe episode (`tcp_process_tlp_ack`, RFC 8985 7.4).
fn tcp_process_tlp_ack(tp: &mut TcpSock, net: &mut Net, ack: SeqNum, flag: u32) {
    let Some(high) = tp.tlp_high_seq else { return };
    if ack.before(high) {
        return;
    }
    if !tp.tlp_retrans || flag & FLAG_DSACK_TLP != 0 {
        // New data, or both copies arrived: nothing was lost.
        tp.tlp_high_seq = None;
    } else if ack.after(high) {
        // The probe repaired a loss.
        tcp_tlp_repaired(tp, net);
        net.mib.inc(TcpExt::TCPLossProbeRecovery);
    } else if flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DATA_SACKED) == 0 {
        tp.tlp_high_seq = None;
    }
}

/// How fast the connection would be paced, which also sizes its bursts
/// (`tcp_update_pacing_rate`): 200 % of the window per RTT in the first half of slow start, then
/// 120 %.
pub(crate) fn tcp_update_pacing_rate(tp: &mut TcpSock, net: &Net) {
    let ratio = if tp.snd_cwnd < tp.snd_ssthresh / 2 {
        net.sysctl.tcp_pacing_ss_ratio
    } else {
        net.sysctl.tcp_pacing_ca_ratio
    };
    let mut rate = u64::from(tp.mss_cache) * ((1_000_000 / 100) << 3);
    rate = rate.saturating_mul(ratio.max(0) as u64);
    rate = rate.saturating_mul(u64::from(tp.snd_cwnd.max(tp.packets_out)));
    if tp.srtt_us != 0 {
        rate /= u64::from(tp.srtt_us);
    }
    tp.sk.sk_pacing_rate = rate.min(tp.sk.sk_max_pacing_rate);
}

/// A window update while nothing is in flight: may the head of the queue go (`tcp_ack_probe`)?
fn tcp_ack_probe(tp: &mut TcpSock, net: &mut Net) {
    let Some(head) = tp.write_queue.front() else { return };
    if !head.end_seq.after(tp.wnd_end()) {
        tp.icsk.icsk_backoff = 0;
        tp.icsk.icsk_probes_tstamp = None;
        inet_csk_clear_xmit_timer(tp, net, IcskPending::Probe0);
        return;
    }
    let max = tcp_rto_max(net);
    let when = tcp_probe0_when(tp, net, max);
    let when = tcp_clamp_probe0_to_user_timeout(tp, net, when);
    tcp_reset_xmit_timer(tp, net, IcskPending::Probe0, when, max);
}

fn tcp_ack_is_dubious(tp: &TcpSock, flag: u32) -> bool {
    flag & FLAG_NOT_DUP == 0 || flag & FLAG_CA_ALERT != 0 || tp.icsk.icsk_ca_state != CaState::Open
}

/// With much reordering, any delivery lets the window grow; else only in-order ones do.
fn tcp_may_raise_cwnd(tp: &TcpSock, net: &Net, flag: u32) -> bool {
    if i64::from(tp.reordering) > net.sysctl.tcp_reordering {
        flag & FLAG_FORWARD_PROGRESS != 0
    } else {
        flag & FLAG_DATA_ACKED != 0
    }
}

/// Sets the congestion window for what was delivered (`tcp_cong_control`).
fn tcp_cong_control(
    tp: &mut TcpSock,
    net: &mut Net,
    ack: SeqNum,
    acked: u32,
    flag: u32,
    losses: i32,
) {
    if tcp_in_cwnd_reduction(tp) {
        tcp_cwnd_reduction(tp, acked as i32, losses, flag);
    } else if tcp_may_raise_cwnd(tp, net, flag) {
        ca_cong_avoid(tp, net, ack.0, acked);
        tp.snd_cwnd_stamp = net.jiffies();
    }
    tcp_update_pacing_rate(tp, net);
}

/// Sends what recovery asks for (`tcp_xmit_recovery`).
fn tcp_xmit_recovery(tp: &mut TcpSock, net: &mut Net, rexmit: Rexmit) {
    if rexmit == Rexmit::None || tp.sk.sk_state == TcpState::SynSent {
        return;
    }
    if rexmit == Rexmit::New {
        let mss = tcp_current_mss(tp, net);
        __tcp_push_pending_frames(tp, net, mss, TCP_NAGLE_OFF);
        if tp.snd_nxt.after(tp.high_seq) {
            return;
        }
        tp.frto = false;
    }
    tcp_xmit_retransmit_queue(tp, net);
}

fn tcp_newly_delivered(tp: &TcpSock, net: &mut Net, prior_delivered: u32, flag: u32) -> u32 {
    let delivered = tp.delivered.wrapping_sub(prior_delivered);
    net.mib.add(TcpExt::TCPDelivered, u64::from(delivered));
    if flag & FLAG_ECE != 0 {
        net.mib.add(TcpExt::TCPDeliveredCE, u64::from(delivered));
    }
    delivered
}

/// Processes a segment's acknowledgement (`tcp_ack`).
///
/// `Ok(true)`: acceptable; `Ok(false)`: older than others, its data may still be new.
///
/// # Errors
/// Why the whole segment is to be dropped: it acknowledges what was never sent, or is too old.
pub(crate) fn tcp_ack(
    tp: &mut TcpSock,
    net: &mut Net,
    seg: &Seg,
    mut flag: u32,
) -> Result<bool, DropReason> {
    let prior_snd_una = tp.snd_una;
    let prior_packets = tp.packets_out;
    let (prior_delivered, prior_lost) = (tp.delivered, tp.lost);
    let is_sack_reneg = tp.is_sack_reneg;
    let ack = seg.ack_seq;
    let mut sack = SacktagState::default();
    if ack.before(prior_snd_una) {
        // RFC 5961 5.2.
        let reach = u64::from(tp.max_window).min(tp.bytes_acked) as u32;
        if ack.before(prior_snd_una - reach) {
            if flag & FLAG_NO_CHALLENGE_ACK == 0 {
                tcp_send_challenge_ack(tp, net);
            }
            return Err(DropReason::TcpTooOldAck);
        }
        old_ack(tp, net, seg, flag, &mut sack);
        return Ok(false);
    }
    if ack.after(tp.snd_nxt) {
        if net.profile.challenge_unsent_ack && flag & FLAG_NO_CHALLENGE_ACK == 0 {
            tcp_send_challenge_ack(tp, net);
        }
        return Err(DropReason::TcpAckUnsentData);
    }
    if ack.after(prior_snd_una) {
        flag |= FLAG_SND_UNA_ADVANCED;
        tp.icsk.icsk_retransmits = 0;
    }
    let prior_fack = if tp.is_sack() { tcp_highest_sack_seq(tp) } else { tp.snd_una };
    sack.rate.prior_in_flight = tp.packets_in_flight();
    if flag & FLAG_UPDATE_TS_RECENT != 0 {
        tcp_replace_ts_recent(tp, net, seg.seq);
    }
    if flag & (FLAG_SLOWPATH | FLAG_SND_UNA_ADVANCED) == FLAG_SND_UNA_ADVANCED {
        tp.snd_wl1 = seg.seq;
        tcp_snd_una_update(tp, ack);
        flag |= FLAG_WIN_UPDATE;
        net.mib.inc(TcpExt::TCPHPAcks);
    } else {
        flag |= update_from_segment(tp, net, seg, prior_snd_una, &mut sack);
    }
    tcp_ecn_accept_cwr(tp, seg);
    tp.sk.sk_err_soft = None;
    tp.icsk.icsk_probes_out = 0;
    tp.rcv_tstamp = net.jiffies();
    let mut rexmit = Rexmit::None;
    if prior_packets == 0 {
        if flag & FLAG_DSACKING_ACK != 0 {
            tcp_fastretrans_alert(tp, net, prior_snd_una, 0, &mut flag, &mut rexmit);
            tcp_newly_delivered(tp, net, prior_delivered, flag);
        }
        tcp_ack_probe(tp, net);
        tcp_process_tlp_ack(tp, net, ack, flag);
        return Ok(true);
    }
    let ece = flag & FLAG_ECE != 0;
    flag |= tcp_clean_rtx_queue(tp, net, prior_fack, prior_snd_una, &mut sack, ece);
    tcp_rack_update_reo_wnd(tp, net, &sack.rate);
    tcp_process_tlp_ack(tp, net, ack, flag);
    if tcp_ack_is_dubious(tp, flag) {
        let mut num_dupack = 0;
        if flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DSACKING_ACK) == 0 {
            // Pure ACKs may have been merged in the backlog.
            num_dupack = u32::from(seg.gso_segs).max(1);
        }
        tcp_fastretrans_alert(tp, net, prior_snd_una, num_dupack, &mut flag, &mut rexmit);
    }
    if flag & FLAG_SET_XMIT_TIMER != 0 {
        tcp_set_xmit_timer(tp, net);
    }
    if flag & FLAG_FORWARD_PROGRESS != 0 || flag & FLAG_NOT_DUP == 0 {
        sk_dst_confirm(tp, net);
    }
    let delivered = tcp_newly_delivered(tp, net, prior_delivered, flag);
    let lost = tp.lost.wrapping_sub(prior_lost);
    sack.rate.is_ack_delayed = flag & FLAG_ACK_MAYBE_DELAYED != 0;
    tcp_rate_gen(tp, delivered, lost, is_sack_reneg, &mut sack.rate);
    tcp_cong_control(tp, net, ack, delivered, flag, sack.rate.losses);
    tcp_xmit_recovery(tp, net, rexmit);
    Ok(true)
}

/// Window, SACK and ECN of a segment that is not the predicted one.
fn update_from_segment(
    tp: &mut TcpSock,
    net: &mut Net,
    seg: &Seg,
    prior_snd_una: SeqNum,
    sack: &mut SacktagState,
) -> u32 {
    let mut flag = 0;
    if seg.seq != seg.end_seq {
        flag |= FLAG_DATA;
    } else {
        net.mib.inc(TcpExt::TCPPureAcks);
    }
    flag |= tcp_ack_update_window(tp, net, seg);
    if !seg.sack.is_empty() {
        flag |= tcp_sacktag_write_queue(tp, net, seg, prior_snd_una, sack);
    }
    if seg.th.flags & TCPHDR_ECE != 0 && !seg.th.syn() && tp.ecn_flags & TCP_ECN_OK != 0 {
        flag |= FLAG_ECE;
    }
    if sack.sack_delivered != 0 {
        tcp_count_delivered(tp, sack.sack_delivered, flag & FLAG_ECE != 0);
    }
    flag
}

/// An ACK below SND.UNA may bring SACK news all the same.
fn old_ack(tp: &mut TcpSock, net: &mut Net, seg: &Seg, mut flag: u32, sack: &mut SacktagState) {
    if flag & FLAG_UPDATE_TS_RECENT != 0 {
        tcp_replace_ts_recent(tp, net, seg.seq);
    }
    if seg.sack.is_empty() {
        return;
    }
    let (snd_una, delivered) = (tp.snd_una, tp.delivered);
    let mut rexmit = Rexmit::None;
    flag |= tcp_sacktag_write_queue(tp, net, seg, snd_una, sack);
    tcp_fastretrans_alert(tp, net, snd_una, 0, &mut flag, &mut rexmit);
    tcp_newly_delivered(tp, net, delivered, flag);
    tcp_xmit_recovery(tp, net, rexmit);
}

/// Progress proves that the next hop is reachable (`sk_dst_confirm`).
fn sk_dst_confirm(tp: &mut TcpSock, _net: &mut Net) {
    tp.sk.dst_pending_confirm = true;
}
