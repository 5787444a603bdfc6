//! RACK: loss detection by time (Linux `tcp_recovery.c`, RFC 8985).

use super::inet_connection_sock::inet_csk_reset_xmit_timer;
use super::tcp_input::{tcp_cwnd_reduction, tcp_enter_recovery, tcp_mark_skb_lost, tcp_rearm_rto};
use super::tcp_output::{TcpQueue, tcp_fragment, tcp_skb_timestamp_us, tcp_xmit_retransmit_queue};
use super::tcp_rate::{RateSample, tcp_min_rtt, tcp_skb_sent_after};
use super::tcp_sock::*;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;

/// `TCP_RACK_STATIC_REO_WND` of `tcp_recovery`: the window does not adapt.
const TCP_RACK_STATIC_REO_WND: i64 = 2;
/// `TCP_RACK_NO_DUPTHRESH`.
const TCP_RACK_NO_DUPTHRESH: i64 = 4;
/// Recoveries that a wider window lasts (`TCP_RACK_RECOVERY_THRESH`).
const TCP_RACK_RECOVERY_THRESH: u8 = 16;

/// How long a segment may be overtaken before it counts as lost, us (`tcp_rack_reo_wnd`).
fn tcp_rack_reo_wnd(tp: &TcpSock, net: &Net) -> u32 {
    if tp.reord_seen == 0 {
        // Until reordering was seen, recovery and the duplicate threshold are trusted at once.
        if tp.icsk.icsk_ca_state >= CaState::Recovery {
            return 0;
        }
        let dupthresh = net.sysctl.tcp_recovery & TCP_RACK_NO_DUPTHRESH == 0;
        if tp.sacked_out >= tp.reordering && dupthresh {
            return 0;
        }
    }
    let steps = u32::from(tp.rack.reo_wnd_steps);
    (tcp_min_rtt(tp) >> 2).saturating_mul(steps).min(tp.srtt_us >> 3)
}

/// Microseconds until a segment counts as lost; 0 or less: it does
/// (`tcp_rack_skb_timeout`).
pub(crate) fn tcp_rack_skb_timeout(tp: &TcpSock, skb: &TcpSkb, reo_wnd: u32) -> i32 {
    let age = tp.tcp_mstamp.saturating_sub(tcp_skb_timestamp_us(skb));
    let left = i64::from(tp.rack.rtt_us) + i64::from(reo_wnd) - age as i64;
    left.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Marks what was sent a reordering window before something that arrived
/// (`tcp_rack_detect_loss`); microseconds until the next segment is due, 0: none.
fn tcp_rack_detect_loss(tp: &mut TcpSock, net: &mut Net) -> u32 {
    let reo_wnd = tcp_rack_reo_wnd(tp, net);
    let mut reo_timeout = 0;
    for at in 0..tp.rtx_queue.len() {
        let skb = &tp.rtx_queue[at];
        let lost_already = skb.sacked & TCPCB_LOST != 0 && skb.sacked & TCPCB_SACKED_RETRANS == 0;
        if lost_already || !skb.tsorted {
            continue;
        }
        let us = tcp_skb_timestamp_us(skb);
        if !tcp_skb_sent_after(tp.rack.mstamp, us, tp.rack.end_seq, skb.end_seq) {
            continue;
        }
        let remaining = tcp_rack_skb_timeout(tp, skb, reo_wnd);
        if remaining <= 0 {
            tcp_mark_skb_lost(tp, net, at);
            tp.rtx_queue[at].tsorted = false;
        } else {
            reo_timeout = reo_timeout.max(remaining as u32);
        }
    }
    reo_timeout
}

/// Looks for losses after an ACK (`tcp_rack_mark_lost`); whether the reordering timer was armed.
pub(crate) fn tcp_rack_mark_lost(tp: &mut TcpSock, net: &mut Net) -> bool {
    if !tp.rack.advanced {
        return false;
    }
    tp.rack.advanced = false;
    let timeout = tcp_rack_detect_loss(tp, net);
    if timeout == 0 {
        return false;
    }
    // TCP_TIMEOUT_MIN_US of slack: two milliseconds.
    let when = net.time.usecs_to_jiffies(u64::from(timeout) + 2000);
    let rto = tp.icsk.icsk_rto;
    inet_csk_reset_xmit_timer(tp, net, IcskPending::ReoTimeout, when, rto);
    true
}

/// Notes the segment sent last among those delivered (`tcp_rack_advance`); `xmit_time` us.
pub(crate) fn tcp_rack_advance(tp: &mut TcpSock, sacked: u8, end_seq: SeqNum, xmit_time: u64) {
    let rtt_us = tp.tcp_mstamp.saturating_sub(xmit_time).min(u64::from(u32::MAX)) as u32;
    // An ACK sooner than any RTT is of the original, not of the retransmission.
    if sacked & TCPCB_RETRANS != 0 && rtt_us < tcp_min_rtt(tp) {
        return;
    }
    tp.rack.advanced = true;
    tp.rack.rtt_us = rtt_us;
    if tcp_skb_sent_after(xmit_time, tp.rack.mstamp, end_seq, tp.rack.end_seq) {
        tp.rack.mstamp = xmit_time;
        tp.rack.end_seq = end_seq;
    }
}

/// The reordering timer fired (`tcp_rack_reo_timeout`).
pub(crate) fn tcp_rack_reo_timeout(tp: &mut TcpSock, net: &mut Net) {
    let prior_inflight = tp.packets_in_flight();
    tcp_rack_detect_loss(tp, net);
    if prior_inflight != tp.packets_in_flight() {
        if tp.icsk.icsk_ca_state != CaState::Recovery {
            tcp_enter_recovery(tp, net, false);
            tcp_cwnd_reduction(tp, 1, 0, 0);
        }
        tcp_xmit_retransmit_queue(tp, net);
    }
    if tp.icsk.icsk_pending != IcskPending::Retrans {
        tcp_rearm_rto(tp, net);
    }
}

/// Widens the window at each round with a DSACK, and lets that fade (`tcp_rack_update_reo_wnd`).
pub(crate) fn tcp_rack_update_reo_wnd(tp: &mut TcpSock, net: &mut Net, rs: &RateSample) {
    if net.sysctl.tcp_recovery & TCP_RACK_STATIC_REO_WND != 0 || rs.prior_delivered == 0 {
        return;
    }
    // A round: something sent after the last change was delivered.
    if (rs.prior_delivered.wrapping_sub(tp.rack.last_delivered) as i32) < 0 {
        tp.rack.dsack_seen = false;
    }
    if tp.rack.dsack_seen {
        tp.rack.reo_wnd_steps = tp.rack.reo_wnd_steps.saturating_add(1);
        tp.rack.dsack_seen = false;
        tp.rack.last_delivered = tp.delivered;
        tp.rack.reo_wnd_persist = TCP_RACK_RECOVERY_THRESH;
    } else if tp.rack.reo_wnd_persist == 0 {
        tp.rack.reo_wnd_steps = 1;
    }
}

/// NewReno's one segment (RFC 6582 3.2): the head is lost at entry to recovery, and at each
/// partial ACK (`tcp_newreno_mark_lost`).
pub(crate) fn tcp_newreno_mark_lost(tp: &mut TcpSock, net: &mut Net, snd_una_advanced: bool) {
    let state = tp.icsk.icsk_ca_state;
    let entering = state < CaState::Recovery && tp.sacked_out >= tp.reordering;
    let partial = state == CaState::Recovery && snd_una_advanced;
    if !entering && !partial {
        return;
    }
    let Some(head) = tp.rtx_queue.front() else { return };
    if head.sacked & TCPCB_LOST != 0 {
        return;
    }
    let mss = u32::from(head.gso_size);
    if head.gso_segs > 1 && head.len > mss {
        // On failure the whole of it is marked.
        let _ = tcp_fragment(tp, net, TcpQueue::Rtx, 0, mss, mss);
    }
    tcp_mark_skb_lost(tp, net, 0);
}
