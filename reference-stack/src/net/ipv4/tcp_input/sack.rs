//! SACK: tagging the retransmit queue with what the peer has, duplicates that it reports, and
//! the imitation of it without SACK (Linux `tcp_sacktag_write_queue()`, `tcp_add_reno_sack()`,
//! 5.15; RFC 2018, RFC 2883).
//!
//! Linux merges SACKed buffers of the queue; that is a saving without effect on the wire and is
//! not done here. Counts (`sacked_out`, `lost_out`, `retrans_out`) are kept as there.

use super::*;
use crate::net::ipv4::tcp_output::{TcpQueue, tcp_fragment, tcp_skb_timestamp_us};
use crate::net::ipv4::tcp_rate::{RateSample, tcp_rate_skb_delivered};
use crate::net::ipv4::tcp_recovery::tcp_rack_advance;

/// `TCP_DSACK_SEEN` in `sack_ok`.
const TCP_DSACK_SEEN: u8 = 1 << 2;

/// `struct tcp_sacktag_state`: what one ACK told so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct SacktagState {
    /// Send times (us) of the first and the last segment newly SACKed that was sent once; 0: none.
    pub(crate) first_sackt: u64,
    pub(crate) last_sackt: u64,
    /// Lowest sequence number that was found reordered.
    pub(crate) reord: SeqNum,
    /// Segments delivered, duplicates among them.
    pub(crate) sack_delivered: u32,
    /// `FLAG_*`.
    pub(crate) flag: u32,
    pub(crate) rate: RateSample,
}

/// `tcp_skb_pcount`.
pub(crate) fn tcp_skb_pcount(skb: &TcpSkb) -> u32 {
    u32::from(skb.gso_segs)
}

/// A segment's stamps and marks without its payload.
pub(crate) fn stamp_of(skb: &TcpSkb) -> TcpSkb {
    TcpSkb { frags: crate::net::core::skbuff::Frags::new(), ..*skb }
}

/// `tcp_highest_sack_seq`: where the first segment above all SACKed ones starts.
pub(crate) fn tcp_highest_sack_seq(tp: &TcpSock) -> SeqNum {
    if tp.sacked_out == 0 {
        return tp.snd_una;
    }
    tp.highest_sack.map_or(tp.snd_nxt, |s| s.max(tp.snd_una))
}

/// The position of the segment that contains `seq`, or of the first one above it.
pub(crate) fn rtx_position(tp: &TcpSock, seq: SeqNum) -> usize {
    tp.rtx_queue.partition_point(|skb| !skb.end_seq.after(seq))
}

/// A DSACK is believed unless it is longer than any window we were given, or there are more of
/// them than retransmissions (`tcp_dsack_seen`); how many segments it covers.
fn tcp_dsack_seen(tp: &mut TcpSock, block: SackBlock, state: &mut SacktagState) -> u32 {
    if !block.start_seq.before(block.end_seq) {
        return 0;
    }
    let seq_len = block.end_seq.since(block.start_seq);
    if seq_len > tp.max_window {
        return 0;
    }
    let mut dup_segs = 1;
    if seq_len > tp.mss_cache {
        dup_segs = seq_len.div_ceil(tp.mss_cache.max(1));
    } else if tp.tlp_high_seq == Some(block.end_seq) {
        state.flag |= FLAG_DSACK_TLP;
    }
    tp.dsack_dups = tp.dsack_dups.wrapping_add(dup_segs);
    if tp.dsack_dups > tp.total_retrans {
        return 0;
    }
    tp.rx_opt.sack_ok |= TCP_DSACK_SEEN;
    // Only where reordering was seen may it have been RACK that retransmitted too early.
    if tp.reord_seen != 0 && state.flag & FLAG_DSACK_TLP == 0 {
        tp.rack.dsack_seen = true;
    }
    state.flag |= FLAG_DSACKING_ACK;
    state.sack_delivered += dup_segs;
    dup_segs
}

/// Whether the first block is a DSACK: below the ACK, or within the second (`tcp_check_dsack`).
fn tcp_check_dsack(
    tp: &mut TcpSock,
    net: &mut Net,
    seg: &Seg,
    prior_snd_una: SeqNum,
    state: &mut SacktagState,
) -> bool {
    let first = match *seg.sack.as_slice() {
        [first, ..] if first.start_seq.before(seg.ack_seq) => {
            net.mib.inc(TcpExt::TCPDSACKRecv);
            first
        }
        [first, second, ..] => {
            let inside =
                !first.end_seq.after(second.end_seq) && !first.start_seq.before(second.start_seq);
            if !inside {
                return false;
            }
            net.mib.inc(TcpExt::TCPDSACKOfoRecv);
            first
        }
        _ => return false,
    };
    let dup_segs = tcp_dsack_seen(tp, first, state);
    if dup_segs == 0 {
        net.mib.inc(TcpExt::TCPDSACKIgnoredDubious);
        return false;
    }
    net.mib.add(TcpExt::TCPDSACKRecvSegs, u64::from(dup_segs));
    // For data that is gone from the queue, counting is all that can be done.
    if let Some(marker) = tp.undo_marker
        && tp.undo_retrans > 0
        && !first.end_seq.after(prior_snd_una)
        && first.end_seq.after(marker)
    {
        tp.undo_retrans = (tp.undo_retrans - dup_segs as i32).max(0);
    }
    true
}

/// `tcp_is_sackblock_valid`: inside the outstanding window, or, for a DSACK, in what was sent
/// since the undo marker.
fn tcp_is_sackblock_valid(tp: &TcpSock, is_dsack: bool, b: SackBlock) -> bool {
    if b.end_seq.after(tp.snd_nxt) || !b.start_seq.before(b.end_seq) {
        return false;
    }
    if !b.start_seq.before(tp.snd_nxt) {
        return false;
    }
    if b.start_seq.after(tp.snd_una) {
        return true;
    }
    let (true, Some(marker)) = (is_dsack, tp.undo_marker) else { return false };
    if b.end_seq.after(tp.snd_una) {
        return false;
    }
    if !b.start_seq.before(marker) {
        return true;
    }
    b.end_seq.after(marker) && !b.start_seq.before(b.end_seq - tp.max_window)
}

/// Whether the segment at `i` lies within a range; one of several segments is cut at a multiple
/// of its segment size where the range begins or ends inside (`tcp_match_skb_to_sack`).
/// `Err`: it cannot be cut there.
fn tcp_match_skb_to_sack(
    tp: &mut TcpSock,
    net: &mut Net,
    i: usize,
    b: SackBlock,
) -> Result<bool, ()> {
    let skb = &tp.rtx_queue[i];
    let starts_in = !b.start_seq.after(skb.seq);
    let in_sack = starts_in && !b.end_seq.before(skb.end_seq);
    if in_sack || tcp_skb_pcount(skb) <= 1 || !skb.end_seq.after(b.start_seq) {
        return Ok(in_sack);
    }
    let mss = u32::from(skb.gso_size).max(1);
    let mut pkt_len = if starts_in {
        let len = b.end_seq.since(skb.seq);
        if len < mss {
            return Err(());
        }
        len
    } else {
        b.start_seq.since(skb.seq).max(mss)
    };
    if pkt_len > mss {
        let whole = pkt_len / mss * mss;
        pkt_len = if !starts_in && whole < pkt_len { whole + mss } else { whole };
    }
    if pkt_len >= skb.len && !starts_in {
        return Ok(false);
    }
    if pkt_len < skb.len {
        tcp_fragment(tp, net, TcpQueue::Rtx, i, pkt_len, mss).map_err(|_| ())?;
    }
    Ok(starts_in)
}

/// Marks one segment as SACKed (`tcp_sacktag_one`).
fn tcp_sacktag_one(tp: &mut TcpSock, i: usize, state: &mut SacktagState, dup_sack: bool) {
    let skb = &tp.rtx_queue[i];
    let (start_seq, end_seq) = (skb.seq, skb.end_seq);
    let pcount = tcp_skb_pcount(skb);
    let xmit_time = tcp_skb_timestamp_us(skb);
    let mut sacked = skb.sacked;
    if dup_sack && sacked & TCPCB_RETRANS != 0 {
        if let Some(marker) = tp.undo_marker
            && tp.undo_retrans > 0
            && end_seq.after(marker)
        {
            tp.undo_retrans = (tp.undo_retrans - pcount as i32).max(0);
        }
        if sacked & TCPCB_SACKED_ACKED != 0 && start_seq.before(state.reord) {
            state.reord = start_seq;
        }
    }
    // What is acknowledged too is about to go.
    if !end_seq.after(tp.snd_una) {
        return;
    }
    if sacked & TCPCB_SACKED_ACKED == 0 {
        tcp_rack_advance(tp, sacked, end_seq, xmit_time);
        if sacked & TCPCB_SACKED_RETRANS != 0 {
            // Not marked lost: the retransmission may still be under way.
            if sacked & TCPCB_LOST != 0 {
                sacked &= !(TCPCB_LOST | TCPCB_SACKED_RETRANS);
                tp.lost_out = tp.lost_out.saturating_sub(pcount);
                tp.retrans_out = tp.retrans_out.saturating_sub(pcount);
            }
        } else {
            if sacked & TCPCB_RETRANS == 0 {
                // A hole that was never retransmitted is filled: reordering.
                if start_seq.before(tcp_highest_sack_seq(tp)) && start_seq.before(state.reord) {
                    state.reord = start_seq;
                }
                if !end_seq.after(tp.high_seq) {
                    state.flag |= FLAG_ORIG_SACK_ACKED;
                }
                if state.first_sackt == 0 {
                    state.first_sackt = xmit_time;
                }
                state.last_sackt = xmit_time;
            }
            if sacked & TCPCB_LOST != 0 {
                sacked &= !TCPCB_LOST;
                tp.lost_out = tp.lost_out.saturating_sub(pcount);
            }
        }
        sacked |= TCPCB_SACKED_ACKED;
        state.flag |= FLAG_DATA_SACKED;
        tp.sacked_out += pcount;
        state.sack_delivered += pcount;
    }
    if dup_sack && sacked & TCPCB_SACKED_RETRANS != 0 {
        sacked &= !TCPCB_SACKED_RETRANS;
        tp.retrans_out = tp.retrans_out.saturating_sub(pcount);
    }
    let skb = &mut tp.rtx_queue[i];
    skb.sacked = sacked;
    skb.tsorted &= sacked & TCPCB_SACKED_ACKED == 0;
}

/// Marks the segments of one block, from the one that `from` is in (`tcp_sacktag_walk`). `dup`:
/// another range whose segments the peer reported as duplicates.
fn tcp_sacktag_walk(
    tp: &mut TcpSock,
    net: &mut Net,
    state: &mut SacktagState,
    (block, from): (SackBlock, SeqNum),
    dup: Option<SackBlock>,
    dup_sack_in: bool,
) {
    let mut i = rtx_position(tp, from);
    while let Some(skb) = tp.rtx_queue.get(i) {
        if !skb.seq.before(block.end_seq) {
            break;
        }
        let mut dup_sack = dup_sack_in;
        let mut in_sack = false;
        if let Some(dup) = dup.filter(|d| skb.seq.before(d.end_seq)) {
            in_sack = tcp_match_skb_to_sack(tp, net, i, dup).unwrap_or(false);
            dup_sack |= in_sack;
        }
        if !in_sack {
            match tcp_match_skb_to_sack(tp, net, i, block) {
                Ok(within) => in_sack = within,
                Err(()) => break,
            }
        }
        if in_sack {
            tcp_sacktag_one(tp, i, state, dup_sack);
            let mut skb = stamp_of(&tp.rtx_queue[i]);
            tcp_rate_skb_delivered(tp, &mut skb, &mut state.rate);
            let queued = &mut tp.rtx_queue[i];
            queued.tx = skb.tx;
            let (seq, end_seq) = (queued.seq, queued.end_seq);
            if !seq.before(tcp_highest_sack_seq(tp)) {
                tp.highest_sack = Some(end_seq);
            }
        }
        i += 1;
    }
}

/// The usable blocks of an ACK in order of sequence, and where the first one went.
fn usable_blocks(
    tp: &TcpSock,
    net: &mut Net,
    seg: &Seg,
    prior_snd_una: SeqNum,
    found_dup_sack: bool,
) -> (Vec<SackBlock>, Option<SackBlock>) {
    let mut used = Vec::with_capacity(4);
    let mut first = None;
    for (i, &b) in seg.sack.as_slice().iter().enumerate() {
        let dup_sack = i == 0 && found_dup_sack;
        if !tcp_is_sackblock_valid(tp, dup_sack, b) {
            let mib = match (dup_sack, tp.undo_marker) {
                (true, None) => TcpExt::TCPDSACKIgnoredNoUndo,
                (true, Some(_)) => TcpExt::TCPDSACKIgnoredOld,
                // Old ones that reordered ACKs bring are not counted.
                (false, _) if seg.ack_seq != tp.snd_una && !b.end_seq.after(tp.snd_una) => continue,
                (false, _) => TcpExt::TCPSACKDiscard,
            };
            net.mib.inc(mib);
            continue;
        }
        if !b.end_seq.after(prior_snd_una) {
            continue;
        }
        if i == 0 {
            first = Some(b);
        }
        used.push(b);
    }
    used.sort_by_key(|b| b.start_seq.diff(tp.snd_una));
    (used, first)
}

/// Tags the retransmit queue with an ACK's SACK blocks (`tcp_sacktag_write_queue`); the flags
/// that follow from it are in `state.flag`.
pub(crate) fn tcp_sacktag_write_queue(
    tp: &mut TcpSock,
    net: &mut Net,
    seg: &Seg,
    prior_snd_una: SeqNum,
    state: &mut SacktagState,
) -> u32 {
    state.flag = 0;
    state.reord = tp.snd_nxt;
    if tp.sacked_out == 0 {
        tp.highest_sack = tp.rtx_queue.front().map(|skb| skb.seq);
    }
    let found_dup_sack = tcp_check_dsack(tp, net, seg, prior_snd_una, state);
    if seg.ack_seq.before(prior_snd_una - tp.max_window) {
        return 0;
    }
    if tp.packets_out == 0 {
        return state.flag;
    }
    let (used, first) = usable_blocks(tp, net, seg, prior_snd_una, found_dup_sack);
    let dsack = first.filter(|_| found_dup_sack);
    for (i, &block) in used.iter().enumerate() {
        let is_dup = dsack == Some(block) && used.iter().position(|&b| b == block) == Some(i);
        let next_dup = used.get(i + 1).copied().filter(|&next| !is_dup && dsack == Some(next));
        let mut from = block.start_seq;
        if tp.sacked_out != 0 && !is_dup && next_dup.is_none() {
            // What an earlier ACK reported and is tagged already.
            for seen in tp.recv_sack_cache {
                if seen.start_seq != seen.end_seq
                    && !seen.start_seq.after(from)
                    && seen.end_seq.after(from)
                {
                    from = seen.end_seq.min(block.end_seq);
                }
            }
        }
        if from.before(block.end_seq) {
            tcp_sacktag_walk(tp, net, state, (block, from), next_dup, is_dup);
        }
    }
    tp.recv_sack_cache = Default::default();
    tp.recv_sack_cache.iter_mut().zip(&used).for_each(|(cache, used)| *cache = *used);
    if tp.icsk.icsk_ca_state != CaState::Loss || tp.undo_marker.is_some() {
        tcp_check_sack_reordering(tp, net, state.reord, false);
    }
    state.flag
}

/// Higher data was delivered before lower that was sent once: reordering, and the distance is
/// remembered (`tcp_check_sack_reordering`).
pub(crate) fn tcp_check_sack_reordering(tp: &mut TcpSock, net: &mut Net, low: SeqNum, ts: bool) {
    let fack = tcp_highest_sack_seq(tp);
    if !low.before(fack) {
        return;
    }
    let metric = fack.since(low);
    let mss = tp.mss_cache;
    if mss != 0 && u64::from(metric) > u64::from(tp.reordering) * u64::from(mss) {
        tp.reordering = metric.div_ceil(mss).min(net.sysctl.tcp_max_reordering as u32);
    }
    tp.reord_seen += 1;
    net.mib.inc(if ts { TcpExt::TCPTSReorder } else { TcpExt::TCPSACKReorder });
}

/// `tcp_limit_reno_sacked`: duplicate ACKs may not stand for more than was sent.
fn tcp_limit_reno_sacked(tp: &mut TcpSock) -> bool {
    let holes = tp.lost_out.max(1).min(tp.packets_out);
    if tp.sacked_out + holes > tp.packets_out {
        tp.sacked_out = tp.packets_out - holes;
        return true;
    }
    false
}

/// More duplicate ACKs than segments: the network reorders (`tcp_check_reno_reordering`).
fn tcp_check_reno_reordering(tp: &mut TcpSock, net: &mut Net, addend: u32) {
    if !tcp_limit_reno_sacked(tp) {
        return;
    }
    let most = net.sysctl.tcp_max_reordering as u32;
    tp.reordering = tp.packets_out.saturating_add(addend).min(most);
    tp.reord_seen += 1;
    net.mib.inc(TcpExt::TCPRenoReorder);
}

/// `tcp_count_delivered`.
pub(crate) fn tcp_count_delivered(tp: &mut TcpSock, delivered: u32, ece_ack: bool) {
    tp.delivered = tp.delivered.wrapping_add(delivered);
    if ece_ack {
        tp.delivered_ce = tp.delivered_ce.wrapping_add(delivered);
    }
}

/// A duplicate ACK without SACK stands for one segment received (`tcp_add_reno_sack`).
pub(crate) fn tcp_add_reno_sack(tp: &mut TcpSock, net: &mut Net, num_dupack: u32, ece_ack: bool) {
    if num_dupack == 0 {
        return;
    }
    let prior_sacked = tp.sacked_out;
    tp.sacked_out += num_dupack;
    tcp_check_reno_reordering(tp, net, 0);
    if tp.sacked_out > prior_sacked {
        tcp_count_delivered(tp, tp.sacked_out - prior_sacked, ece_ack);
    }
}

/// `acked` segments were acknowledged: one was the hole, the rest were counted by duplicate ACKs
/// (`tcp_remove_reno_sacks`).
pub(crate) fn tcp_remove_reno_sacks(tp: &mut TcpSock, net: &mut Net, acked: u32, ece_ack: bool) {
    if acked > 0 {
        let delivered = acked.saturating_sub(tp.sacked_out).max(1);
        tcp_count_delivered(tp, delivered, ece_ack);
        tp.sacked_out = tp.sacked_out.saturating_sub(acked - 1);
    }
    tcp_check_reno_reordering(tp, net, acked);
}

/// `tcp_reset_reno_sack`.
pub(crate) fn tcp_reset_reno_sack(tp: &mut TcpSock) {
    tp.sacked_out = 0;
}
