//! Loss recovery: the congestion states and how they are entered, left and undone (Linux
//! `tcp_fastretrans_alert()` and what it calls, 5.15; RFC 6675, RFC 6937, RFC 5682, RFC 3522).

use super::*;
use crate::net::ipv4::inet_connection_sock::*;
use crate::net::ipv4::tcp_cong::*;
use crate::net::ipv4::tcp_output::*;
use crate::net::ipv4::tcp_recovery::*;

/// `TCP_RACK_RECOVERY_THRESH`: how many recoveries a wider reordering window lasts.
const TCP_RACK_RECOVERY_THRESH: u8 = 16;
/// `TCP_RACK_LOSS_DETECTION` of `tcp_recovery`.
const TCP_RACK_LOSS_DETECTION: i64 = 1;

/// What is to be sent after an ACK was processed (`REXMIT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Rexmit {
    #[default]
    None,
    /// Lost segments first.
    Lost,
    /// New data (F-RTO).
    New,
}

/// `tcp_is_rack`: losses are found by time, not by counting.
pub(crate) fn tcp_is_rack(net: &Net) -> bool {
    net.sysctl.tcp_recovery & TCP_RACK_LOSS_DETECTION != 0
}

/// Marks a segment of the retransmit queue as lost (`tcp_mark_skb_lost`).
pub(crate) fn tcp_mark_skb_lost(tp: &mut TcpSock, net: &mut Net, i: usize) {
    let Some(skb) = tp.rtx_queue.get_mut(i) else { return };
    if skb.sacked & TCPCB_SACKED_ACKED != 0 {
        return;
    }
    let pcount = tcp_skb_pcount(skb);
    if skb.sacked & TCPCB_LOST == 0 {
        skb.sacked |= TCPCB_LOST;
        tp.lost_out += pcount;
    } else if skb.sacked & TCPCB_SACKED_RETRANS != 0 {
        // Its retransmission was lost too.
        skb.sacked &= !TCPCB_SACKED_RETRANS;
        tp.retrans_out = tp.retrans_out.saturating_sub(pcount);
        net.mib.add(TcpExt::TCPLostRetransmit, u64::from(pcount));
    } else {
        return;
    }
    tp.lost = tp.lost.wrapping_add(pcount);
}

/// `tcp_clear_retrans`: forgets all marks' counts.
pub(crate) fn tcp_clear_retrans(tp: &mut TcpSock) {
    tp.retrans_out = 0;
    tp.lost_out = 0;
    tp.undo_marker = None;
    tp.undo_retrans = -1;
    tp.sacked_out = 0;
}

/// `tcp_init_undo`. `undo_retrans` 0 would mean "undo now", so nothing in flight is -1.
fn tcp_init_undo(tp: &mut TcpSock) {
    tp.undo_marker = Some(tp.snd_una);
    tp.undo_retrans = tp.retrans_out as i32;
    if tp.tlp_high_seq.is_some() && tp.tlp_retrans {
        tp.undo_retrans += 1;
    }
    if tp.undo_retrans == 0 {
        tp.undo_retrans = -1;
    }
}

/// A time-out: everything unsacked is lost, but what RACK still takes for under way; if the head
/// itself is SACKed, the peer reneged and no mark holds (`tcp_timeout_mark_lost`).
fn tcp_timeout_mark_lost(tp: &mut TcpSock, net: &mut Net) {
    let head = tp.rtx_queue.front();
    let is_reneg = head.is_some_and(|skb| skb.sacked & TCPCB_SACKED_ACKED != 0);
    if is_reneg {
        net.mib.inc(TcpExt::TCPSACKReneging);
        tp.sacked_out = 0;
        tp.is_sack_reneg = true;
    } else if tp.is_reno() {
        tcp_reset_reno_sack(tp);
    }
    for i in 0..tp.rtx_queue.len() {
        if is_reneg {
            tp.rtx_queue[i].sacked &= !TCPCB_SACKED_ACKED;
        } else if i != 0 && tcp_is_rack(net) {
            let skb = stamp_of(&tp.rtx_queue[i]);
            if tcp_rack_skb_timeout(tp, &skb, 0) > 0 {
                continue;
            }
        }
        tcp_mark_skb_lost(tp, net, i);
    }
}

/// Enters the Loss state at a retransmission time-out (`tcp_enter_loss`).
pub(crate) fn tcp_enter_loss(tp: &mut TcpSock, net: &mut Net) {
    let new_recovery = tp.icsk.icsk_ca_state < CaState::Recovery;
    tcp_timeout_mark_lost(tp, net);
    let state = tp.icsk.icsk_ca_state;
    if state <= CaState::Disorder
        || !tp.high_seq.after(tp.snd_una)
        || (state == CaState::Loss && tp.icsk.icsk_retransmits == 0)
    {
        tp.prior_ssthresh = tcp_current_ssthresh(tp);
        tp.prior_cwnd = tp.snd_cwnd;
        tp.snd_ssthresh = ca_ssthresh(tp, net);
        tcp_ca_event(tp, net, CaEvent::Loss);
        tcp_init_undo(tp);
    }
    tp.snd_cwnd = tp.packets_in_flight() + 1;
    tp.snd_cwnd_cnt = 0;
    tp.snd_cwnd_stamp = net.jiffies();
    // Many duplicate ACKs and still a time-out: reordering was overestimated.
    let reordering = net.sysctl.tcp_reordering as u32;
    if state <= CaState::Disorder && tp.sacked_out >= reordering {
        tp.reordering = tp.reordering.min(reordering);
    }
    tcp_set_ca_state(tp, net, CaState::Loss);
    tp.high_seq = tp.snd_nxt;
    tp.tlp_high_seq = None;
    tcp_ecn_queue_cwr(tp);
    tp.frto = net.sysctl.tcp_frto != 0
        && (new_recovery || tp.icsk.icsk_retransmits != 0)
        && tp.icsk.icsk_mtup.probe_size == 0;
}

/// `tcp_ecn_queue_cwr`: the next new data says that the window was reduced.
fn tcp_ecn_queue_cwr(tp: &mut TcpSock) {
    if tp.ecn_flags & TCP_ECN_OK != 0 {
        tp.ecn_flags |= TCP_ECN_QUEUE_CWR;
    }
}

/// The ACK ends at a segment that was SACKed before: give the peer half an RTT, then forget its
/// SACKs (`tcp_check_sack_reneging`).
fn tcp_check_sack_reneging(tp: &mut TcpSock, net: &mut Net, ack_flag: &mut u32) -> bool {
    if *ack_flag & FLAG_SACK_RENEGING == 0 || *ack_flag & FLAG_SND_UNA_ADVANCED == 0 {
        return false;
    }
    let half = net.time.usecs_to_jiffies(u64::from(tp.srtt_us >> 4));
    let delay = half.max(net.time.msecs_to_jiffies(10));
    let max = tcp_rto_max(net);
    inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, delay, max);
    *ack_flag &= !FLAG_SET_XMIT_TIMER;
    true
}

/// `tcp_time_to_recover`.
fn tcp_time_to_recover(tp: &TcpSock, net: &Net) -> bool {
    tp.lost_out != 0 || (!tcp_is_rack(net) && tp.sacked_out + 1 > tp.reordering)
}

/// Loss by counting, where RACK is off (`tcp_mark_head_lost`): what has more than `packets`
/// SACKed segments above it.
fn tcp_mark_head_lost(tp: &mut TcpSock, net: &mut Net, packets: u32, mark_head: bool) {
    let total = tp.sacked_out;
    let mut cnt = 0;
    for i in 0..tp.rtx_queue.len() {
        let skb = &tp.rtx_queue[i];
        if skb.sacked & TCPCB_SACKED_ACKED != 0 {
            cnt += tcp_skb_pcount(skb);
        }
        if cnt > packets || cnt >= total.max(1) {
            break;
        }
        if skb.sacked & TCPCB_LOST == 0 {
            tcp_mark_skb_lost(tp, net, i);
        }
        if mark_head {
            break;
        }
    }
}

/// `tcp_update_scoreboard`.
fn tcp_update_scoreboard(tp: &mut TcpSock, net: &mut Net, fast_rexmit: bool) {
    if !tp.is_sack() {
        return;
    }
    match tp.sacked_out.checked_sub(tp.reordering) {
        Some(upto) => tcp_mark_head_lost(tp, net, upto, false),
        None if fast_rexmit => tcp_mark_head_lost(tp, net, 1, true),
        None => {}
    }
}

/// Whether the echoed timestamp is older than `when` (`tcp_tsopt_ecr_before`).
fn tcp_tsopt_ecr_before(tp: &TcpSock, when: u32) -> bool {
    tp.rx_opt.saw_tstamp
        && tp.rx_opt.rcv_tsecr != 0
        && (tp.rx_opt.rcv_tsecr.wrapping_sub(when) as i32) < 0
}

/// A retransmission that the peer's echo shows to have been for nothing.
pub(crate) fn tcp_skb_spurious_retrans(tp: &TcpSock, skb: &TcpSkb) -> bool {
    let sent_ms = (skb.skb_mstamp_ns / crate::time::NSEC_PER_MSEC) as u32;
    skb.sacked & TCPCB_RETRANS != 0 && tcp_tsopt_ecr_before(tp, sent_ms)
}

/// Nothing was retransmitted, or the original was what arrived (`tcp_packet_delayed`, Eifel).
fn tcp_packet_delayed(tp: &TcpSock) -> bool {
    if tp.retrans_stamp != 0 {
        return tcp_tsopt_ecr_before(tp, tp.retrans_stamp);
    }
    // Two cases clear the stamp though there was a retransmission.
    let reno_held = !tp.is_sack() && !tp.snd_una.before(tp.high_seq);
    !reno_held && tp.sk.sk_state != TcpState::SynSent
}

/// `tcp_any_retrans_done`.
fn tcp_any_retrans_done(tp: &TcpSock) -> bool {
    tp.retrans_out != 0
        || tp.rtx_queue.front().is_some_and(|skb| skb.sacked & TCPCB_EVER_RETRANS != 0)
}

pub(crate) fn tcp_retrans_stamp_cleanup(tp: &mut TcpSock) {
    if !tcp_any_retrans_done(tp) {
        tp.retrans_stamp = 0;
    }
}

/// Takes a reduction back (`tcp_undo_cwnd_reduction`).
fn tcp_undo_cwnd_reduction(tp: &mut TcpSock, net: &mut Net, unmark_loss: bool) {
    if unmark_loss {
        tp.rtx_queue.iter_mut().for_each(|skb| skb.sacked &= !TCPCB_LOST);
        tp.lost_out = 0;
    }
    if tp.prior_ssthresh != 0 {
        tp.snd_cwnd = ca_undo_cwnd(tp, net);
        if tp.prior_ssthresh > tp.snd_ssthresh {
            tp.snd_ssthresh = tp.prior_ssthresh;
            tp.ecn_flags &= !TCP_ECN_QUEUE_CWR;
        }
    }
    tp.snd_cwnd_stamp = net.jiffies();
    tp.undo_marker = None;
    tp.rack.advanced = true;
}

fn tcp_may_undo(tp: &TcpSock) -> bool {
    tp.undo_marker.is_some() && (tp.undo_retrans == 0 || tcp_packet_delayed(tp))
}

/// Without SACK the old state is kept until something above `high_seq` is acknowledged
/// (RFC 6582 3.2, against false fast retransmits).
fn tcp_is_non_sack_preventing_reopen(tp: &mut TcpSock) -> bool {
    if tp.snd_una != tp.high_seq || !tp.is_reno() {
        return false;
    }
    tcp_retrans_stamp_cleanup(tp);
    true
}

pub(crate) fn tcp_try_undo_recovery(tp: &mut TcpSock, net: &mut Net) -> bool {
    if tcp_may_undo(tp) {
        tcp_undo_cwnd_reduction(tp, net, false);
        net.mib.inc(if tp.icsk.icsk_ca_state == CaState::Loss {
            TcpExt::TCPLossUndo
        } else {
            TcpExt::TCPFullUndo
        });
    } else if tp.rack.reo_wnd_persist != 0 {
        tp.rack.reo_wnd_persist -= 1;
    }
    if tcp_is_non_sack_preventing_reopen(tp) {
        return true;
    }
    tcp_set_ca_state(tp, net, CaState::Open);
    tp.is_sack_reneg = false;
    false
}

/// Every retransmission was reported as a duplicate (`tcp_try_undo_dsack`).
fn tcp_try_undo_dsack(tp: &mut TcpSock, net: &mut Net) -> bool {
    if tp.undo_marker.is_none() || tp.undo_retrans != 0 {
        return false;
    }
    tp.rack.reo_wnd_persist = (tp.rack.reo_wnd_persist + 1).min(TCP_RACK_RECOVERY_THRESH);
    tcp_undo_cwnd_reduction(tp, net, false);
    net.mib.inc(TcpExt::TCPDSACKUndo);
    true
}

fn tcp_try_undo_loss(tp: &mut TcpSock, net: &mut Net, frto_undo: bool) -> bool {
    if !frto_undo && !tcp_may_undo(tp) {
        return false;
    }
    tcp_undo_cwnd_reduction(tp, net, true);
    net.mib.inc(TcpExt::TCPLossUndo);
    if frto_undo {
        net.mib.inc(TcpExt::TCPSpuriousRTOs);
    }
    tp.icsk.icsk_retransmits = 0;
    if tcp_is_non_sack_preventing_reopen(tp) {
        return true;
    }
    if frto_undo || tp.is_sack() {
        tcp_set_ca_state(tp, net, CaState::Open);
        tp.is_sack_reneg = false;
    }
    true
}

/// Starts proportional rate reduction (`tcp_init_cwnd_reduction`, RFC 6937).
fn tcp_init_cwnd_reduction(tp: &mut TcpSock, net: &mut Net) {
    tp.high_seq = tp.snd_nxt;
    tp.tlp_high_seq = None;
    tp.snd_cwnd_cnt = 0;
    tp.prior_cwnd = tp.snd_cwnd;
    tp.prr_delivered = 0;
    tp.prr_out = 0;
    tp.snd_ssthresh = ca_ssthresh(tp, net);
    tcp_ecn_queue_cwr(tp);
}

/// How much may be sent for what this ACK delivered (`tcp_cwnd_reduction`, PRR with its
/// slow-start bound as long as nothing more is lost).
pub(crate) fn tcp_cwnd_reduction(
    tp: &mut TcpSock,
    newly_acked_sacked: i32,
    newly_lost: i32,
    flag: u32,
) {
    if newly_acked_sacked <= 0 || tp.prior_cwnd == 0 {
        return;
    }
    let in_flight = i64::from(tp.packets_in_flight());
    let delta = i64::from(tp.snd_ssthresh) - in_flight;
    tp.prr_delivered += newly_acked_sacked as u32;
    let (delivered, out) = (i64::from(tp.prr_delivered), i64::from(tp.prr_out));
    let mut sndcnt = if delta < 0 {
        let prior = i64::from(tp.prior_cwnd);
        (i64::from(tp.snd_ssthresh) * delivered + prior - 1) / prior - out
    } else {
        let mut sndcnt = (delivered - out).max(i64::from(newly_acked_sacked));
        if flag & FLAG_SND_UNA_ADVANCED != 0 && newly_lost == 0 {
            sndcnt += 1;
        }
        sndcnt.min(delta)
    };
    // At least the fast retransmission itself.
    sndcnt = sndcnt.max(i64::from(tp.prr_out == 0));
    tp.snd_cwnd = (in_flight + sndcnt).max(1) as u32;
}

fn tcp_end_cwnd_reduction(tp: &mut TcpSock, net: &mut Net) {
    if tp.snd_ssthresh < TCP_INFINITE_SSTHRESH
        && (tp.icsk.icsk_ca_state == CaState::Cwr || tp.undo_marker.is_some())
    {
        tp.snd_cwnd = tp.snd_ssthresh;
        tp.snd_cwnd_stamp = net.jiffies();
    }
    tcp_ca_event(tp, net, CaEvent::CompleteCwr);
}

/// Congestion without loss: an ECN echo, or the local device's queue (`tcp_enter_cwr`).
pub(crate) fn tcp_enter_cwr(tp: &mut TcpSock, net: &mut Net) {
    tp.prior_ssthresh = 0;
    if tp.icsk.icsk_ca_state < CaState::Cwr {
        tp.undo_marker = None;
        tcp_init_cwnd_reduction(tp, net);
        tcp_set_ca_state(tp, net, CaState::Cwr);
    }
}

fn tcp_try_keep_open(tp: &mut TcpSock, net: &mut Net) {
    let disorder = tp.left_out() != 0 || tcp_any_retrans_done(tp);
    let state = if disorder { CaState::Disorder } else { CaState::Open };
    if tp.icsk.icsk_ca_state != state {
        tcp_set_ca_state(tp, net, state);
        tp.high_seq = tp.snd_nxt;
    }
}

fn tcp_try_to_open(tp: &mut TcpSock, net: &mut Net, flag: u32) {
    tcp_retrans_stamp_cleanup(tp);
    if flag & FLAG_ECE != 0 {
        tcp_enter_cwr(tp, net);
    }
    if tp.icsk.icsk_ca_state != CaState::Cwr {
        tcp_try_keep_open(tp, net);
    }
}

fn tcp_mtup_probe_failed(tp: &mut TcpSock, net: &mut Net) {
    let mtup = &mut tp.icsk.icsk_mtup;
    mtup.search_high = mtup.probe_size.saturating_sub(1);
    mtup.probe_size = 0;
    net.mib.inc(TcpExt::TCPMTUPFail);
}

/// A probe of a larger packet arrived: that is the new size (`tcp_mtup_probe_success`).
pub(crate) fn tcp_mtup_probe_success(tp: &mut TcpSock, net: &mut Net) {
    tp.prior_ssthresh = tcp_current_ssthresh(tp);
    let probe_size = tp.icsk.icsk_mtup.probe_size.max(1);
    let mtu = tcp_mss_to_mtu(tp, tp.mss_cache);
    let cwnd = u64::from(tp.snd_cwnd) * u64::from(mtu) / u64::from(probe_size);
    tp.snd_cwnd = cwnd.clamp(1, u64::from(u32::MAX)) as u32;
    tp.snd_cwnd_cnt = 0;
    tp.snd_cwnd_stamp = net.jiffies();
    tp.snd_ssthresh = tcp_current_ssthresh(tp);
    tp.icsk.icsk_mtup.search_low = probe_size;
    tp.icsk.icsk_mtup.probe_size = 0;
    tcp_sync_mss(tp, net, tp.icsk.icsk_pmtu_cookie);
    net.mib.inc(TcpExt::TCPMTUPSuccess);
}

/// Retransmits what became too large for the path, without touching the congestion window
/// (`tcp_simple_retransmit`, RFC 1191).
pub(crate) fn tcp_simple_retransmit(tp: &mut TcpSock, net: &mut Net) {
    let mss = tcp_current_mss(tp, net);
    // A SYN with data stands in two parts, neither of which shows its size.
    let whole_syn = tp.fastopen.syn_data && tp.sk.sk_state == TcpState::SynSent;
    for i in 0..tp.rtx_queue.len() {
        let skb = &tp.rtx_queue[i];
        let seglen = if tcp_skb_pcount(skb) == 1 { skb.len } else { u32::from(skb.gso_size) };
        if seglen > mss || whole_syn {
            tcp_mark_skb_lost(tp, net, i);
        }
    }
    if tp.lost_out == 0 {
        return;
    }
    if tp.is_reno() {
        // Marks and counted duplicates together may not exceed what is out.
        tp.sacked_out = tp.sacked_out.min(tp.packets_out.saturating_sub(tp.lost_out.max(1)));
    }
    tcp_non_congestion_loss_retransmit(tp, net);
}

/// Sends again what was lost for another reason than congestion: the window stays
/// (`tcp_non_congestion_loss_retransmit`).
pub(crate) fn tcp_non_congestion_loss_retransmit(tp: &mut TcpSock, net: &mut Net) {
    if tp.icsk.icsk_ca_state != CaState::Loss {
        tp.high_seq = tp.snd_nxt;
        tp.snd_ssthresh = tcp_current_ssthresh(tp);
        tp.prior_ssthresh = 0;
        tp.undo_marker = None;
        tcp_set_ca_state(tp, net, CaState::Loss);
    }
    tcp_xmit_retransmit_queue(tp, net);
}

/// Enters fast recovery (`tcp_enter_recovery`).
pub(crate) fn tcp_enter_recovery(tp: &mut TcpSock, net: &mut Net, ece_ack: bool) {
    tcp_retrans_stamp_cleanup(tp);
    net.mib.inc(if tp.is_reno() { TcpExt::TCPRenoRecovery } else { TcpExt::TCPSackRecovery });
    tp.prior_ssthresh = 0;
    tcp_init_undo(tp);
    if !tcp_in_cwnd_reduction(tp) {
        if !ece_ack {
            tp.prior_ssthresh = tcp_current_ssthresh(tp);
        }
        tcp_init_cwnd_reduction(tp, net);
    }
    tcp_set_ca_state(tp, net, CaState::Recovery);
}

/// An ACK in the Loss state, with F-RTO (`tcp_process_loss`, RFC 5682).
fn tcp_process_loss(
    tp: &mut TcpSock,
    net: &mut Net,
    flag: u32,
    num_dupack: u32,
    rexmit: &mut Rexmit,
) {
    let recovered = !tp.snd_una.before(tp.high_seq);
    if flag & FLAG_SND_UNA_ADVANCED != 0 && tcp_try_undo_loss(tp, net, false) {
        return;
    }
    if tp.frto {
        // Step 3.b: something that was never retransmitted arrived.
        if flag & FLAG_ORIG_SACK_ACKED != 0 && tcp_try_undo_loss(tp, net, true) {
            return;
        }
        if tp.snd_nxt.after(tp.high_seq) {
            if flag & FLAG_DATA_SACKED != 0 || num_dupack != 0 {
                tp.frto = false; // Step 3.a: the loss was real.
            }
        } else if flag & FLAG_SND_UNA_ADVANCED != 0 && !recovered {
            tp.high_seq = tp.snd_nxt;
            // Step 2.b: try new data, if there is some and room for it.
            if !tp.write_queue.is_empty() && tp.wnd_end().after(tp.snd_nxt) {
                *rexmit = Rexmit::New;
                return;
            }
            tp.frto = false;
        }
    }
    if recovered {
        tcp_try_undo_recovery(tp, net);
        return;
    }
    if tp.is_reno() {
        if tp.snd_nxt.after(tp.high_seq) && num_dupack != 0 {
            tcp_add_reno_sack(tp, net, num_dupack, flag & FLAG_ECE != 0);
        } else if flag & FLAG_SND_UNA_ADVANCED != 0 {
            tcp_reset_reno_sack(tp);
        }
    }
    *rexmit = Rexmit::Lost;
}

fn tcp_force_fast_retransmit(tp: &TcpSock) -> bool {
    let reach = tp.reordering.wrapping_mul(tp.mss_cache);
    tcp_highest_sack_seq(tp).after(tp.snd_una + reach)
}

/// A partial ACK in recovery that a delayed original explains (`tcp_try_undo_partial`).
fn tcp_try_undo_partial(
    tp: &mut TcpSock,
    net: &mut Net,
    prior_snd_una: SeqNum,
    do_lost: &mut bool,
) -> bool {
    if tp.undo_marker.is_none() || !tcp_packet_delayed(tp) {
        *do_lost = tcp_force_fast_retransmit(tp);
        return false;
    }
    tcp_check_sack_reordering(tp, net, prior_snd_una, true);
    if tp.retrans_out != 0 {
        return true;
    }
    tcp_retrans_stamp_cleanup(tp);
    tcp_undo_cwnd_reduction(tp, net, true);
    net.mib.inc(TcpExt::TCPPartialUndo);
    tcp_try_keep_open(tp, net);
    false
}

/// `tcp_identify_packet_loss`.
fn tcp_identify_packet_loss(tp: &mut TcpSock, net: &mut Net, ack_flag: &mut u32) {
    if tp.rtx_queue.is_empty() {
        return;
    }
    if tp.is_reno() {
        tcp_newreno_mark_lost(tp, net, *ack_flag & FLAG_SND_UNA_ADVANCED != 0);
    } else if tcp_is_rack(net) {
        let prior_retrans = tp.retrans_out;
        if tcp_rack_mark_lost(tp, net) {
            *ack_flag &= !FLAG_SET_XMIT_TIMER;
        }
        if prior_retrans > tp.retrans_out {
            *ack_flag |= FLAG_LOST_RETRANS;
        }
    }
}

/// Leaves a state whose `high_seq` was acknowledged; true: the ACK is done with.
fn leave_finished_state(tp: &mut TcpSock, net: &mut Net) -> bool {
    if tp.icsk.icsk_ca_state == CaState::Open {
        tp.retrans_stamp = 0;
        return false;
    }
    if tp.snd_una.before(tp.high_seq) {
        return false;
    }
    match tp.icsk.icsk_ca_state {
        // CWR is held until something above is acknowledged, so that its bit arrives.
        CaState::Cwr if tp.snd_una != tp.high_seq => {
            tcp_end_cwnd_reduction(tp, net);
            tcp_set_ca_state(tp, net, CaState::Open);
        }
        CaState::Recovery => {
            if tp.is_reno() {
                tcp_reset_reno_sack(tp);
            }
            if tcp_try_undo_recovery(tp, net) {
                return true;
            }
            tcp_end_cwnd_reduction(tp, net);
        }
        _ => {}
    }
    false
}

/// What an ACK that is not plain progress does to the congestion state
/// (`tcp_fastretrans_alert`).
pub(crate) fn tcp_fastretrans_alert(
    tp: &mut TcpSock,
    net: &mut Net,
    prior_snd_una: SeqNum,
    num_dupack: u32,
    ack_flag: &mut u32,
    rexmit: &mut Rexmit,
) {
    let flag = *ack_flag;
    let ece_ack = flag & FLAG_ECE != 0;
    let mut fast_rexmit = false;
    let mut do_lost =
        num_dupack != 0 || (flag & FLAG_DATA_SACKED != 0 && tcp_force_fast_retransmit(tp));
    if tp.packets_out == 0 && tp.sacked_out != 0 {
        tp.sacked_out = 0;
    }
    if ece_ack {
        tp.prior_ssthresh = 0;
    }
    if tcp_check_sack_reneging(tp, net, ack_flag) || leave_finished_state(tp, net) {
        return;
    }
    match tp.icsk.icsk_ca_state {
        CaState::Recovery => {
            if flag & FLAG_SND_UNA_ADVANCED == 0 {
                if tp.is_reno() {
                    tcp_add_reno_sack(tp, net, num_dupack, ece_ack);
                }
            } else if tcp_try_undo_partial(tp, net, prior_snd_una, &mut do_lost) {
                return;
            }
            if tcp_try_undo_dsack(tp, net) {
                tcp_try_to_open(tp, net, flag);
            }
            tcp_identify_packet_loss(tp, net, ack_flag);
            if tp.icsk.icsk_ca_state != CaState::Recovery {
                if !tcp_time_to_recover(tp, net) {
                    return;
                }
                // The undo was right, and yet something is lost: a new episode.
                tcp_enter_recovery(tp, net, ece_ack);
            }
        }
        CaState::Loss => {
            tcp_process_loss(tp, net, flag, num_dupack, rexmit);
            tcp_identify_packet_loss(tp, net, ack_flag);
            if tp.icsk.icsk_ca_state != CaState::Open && *ack_flag & FLAG_LOST_RETRANS == 0 {
                return;
            }
            if !alert_outside_recovery(tp, net, flag, num_dupack, ack_flag) {
                return;
            }
            fast_rexmit = true;
        }
        _ => {
            if !alert_outside_recovery(tp, net, flag, num_dupack, ack_flag) {
                return;
            }
            fast_rexmit = true;
        }
    }
    if !tcp_is_rack(net) && do_lost {
        tcp_update_scoreboard(tp, net, fast_rexmit);
    }
    *rexmit = Rexmit::Lost;
}

/// Open, Disorder and CWR; whether Recovery was entered.
fn alert_outside_recovery(
    tp: &mut TcpSock,
    net: &mut Net,
    flag: u32,
    num_dupack: u32,
    ack_flag: &mut u32,
) -> bool {
    let ece_ack = flag & FLAG_ECE != 0;
    if tp.is_reno() {
        if flag & FLAG_SND_UNA_ADVANCED != 0 {
            tcp_reset_reno_sack(tp);
        }
        tcp_add_reno_sack(tp, net, num_dupack, ece_ack);
    }
    if tp.icsk.icsk_ca_state <= CaState::Disorder {
        tcp_try_undo_dsack(tp, net);
    }
    tcp_identify_packet_loss(tp, net, ack_flag);
    if !tcp_time_to_recover(tp, net) {
        tcp_try_to_open(tp, net, flag);
        return false;
    }
    if tp.icsk.icsk_ca_state < CaState::Cwr
        && tp.icsk.icsk_mtup.probe_size != 0
        && tp.snd_una == tp.mtu_probe_start
    {
        // The probe was too large: that is no congestion.
        tcp_mtup_probe_failed(tp, net);
        tp.snd_cwnd += 1;
        tcp_simple_retransmit(tp, net);
        return false;
    }
    tcp_enter_recovery(tp, net, ece_ack);
    true
}

/// A loss probe repaired a loss: the window is reduced once, at once (`tcp_process_tlp_ack`).
pub(crate) fn tcp_tlp_repaired(tp: &mut TcpSock, net: &mut Net) {
    tcp_init_cwnd_reduction(tp, net);
    tcp_set_ca_state(tp, net, CaState::Cwr);
    tcp_end_cwnd_reduction(tp, net);
    tcp_try_keep_open(tp, net);
}
