//! Data out of order, the SACK blocks that announce it, and what is done when memory is short
//! (Linux `tcp_data_queue_ofo()`, `tcp_ofo_queue()`, `tcp_sack_new_ofo_skb()`,
//! `tcp_prune_queue()`, 5.15).

use super::*;
use crate::net::core::skbuff::Cb;
use crate::net::core::sock::SkbQueue;
use crate::net::core::stream::{
    sk_forced_mem_schedule, sk_rmem_schedule, tcp_under_memory_pressure,
};
use crate::net::ipv4::inet_connection_sock::*;
use crate::net::ipv4::tcp_output::{tcp_adjust_rcv_ssthresh, tcp_send_ack};
use crate::time::HrtimerId;
use hw_model::Frag;

/// `TCP_NUM_SACKS`.
const TCP_NUM_SACKS: usize = 4;
/// `TCP_SACK_BLOCKS_EXPECTED`: with more blocks than a timestamped ACK is sure to bring across,
/// nothing is held back any longer.
const TCP_SACK_BLOCKS_EXPECTED: usize = 2;
/// `SKB_MAX_ORDER(0, 0)`, x86_64: payload of a collapsed buffer.
const COLLAPSED_MAX: u32 = 4096 - 320;

/// Widens a block by a range that touches it (`tcp_sack_extend`).
fn tcp_sack_extend(sp: &mut SackBlock, seq: SeqNum, end_seq: SeqNum) -> bool {
    if seq.after(sp.end_seq) || sp.start_seq.after(end_seq) {
        return false;
    }
    sp.start_seq = sp.start_seq.min(seq);
    sp.end_seq = sp.end_seq.max(end_seq);
    true
}

/// Remembers a duplicate for the next ACK (`tcp_dsack_set`, RFC 2883).
pub(crate) fn tcp_dsack_set(tp: &mut TcpSock, net: &mut Net, seq: SeqNum, end_seq: SeqNum) {
    if !tp.is_sack() || net.sysctl.tcp_dsack == 0 {
        return;
    }
    net.mib.inc(if seq.before(tp.rcv_nxt) {
        TcpExt::TCPDSACKOldSent
    } else {
        TcpExt::TCPDSACKOfoSent
    });
    tp.rx_opt.dsack = true;
    tp.duplicate_sack[0] = SackBlock { start_seq: seq, end_seq };
}

/// `tcp_dsack_extend`.
fn tcp_dsack_extend(tp: &mut TcpSock, net: &mut Net, seq: SeqNum, end_seq: SeqNum) {
    if tp.rx_opt.dsack {
        tcp_sack_extend(&mut tp.duplicate_sack[0], seq, end_seq);
    } else {
        tcp_dsack_set(tp, net, seq, end_seq);
    }
}

/// The same segment again: our ACKs may be lost on their way, so the flow is hashed anew
/// (`tcp_rcv_spurious_retrans`).
pub(crate) fn tcp_rcv_spurious_retrans(tp: &mut TcpSock, net: &mut Net, seq: SeqNum) {
    if seq == tp.duplicate_sack[0].start_seq && tp.sk.sk_txhash != 0 {
        tp.sk.sk_txhash = net.rng.next_u32().max(1);
        net.mib.inc(TcpExt::TcpDuplicateDataRehash);
    }
}

/// Answers an unacceptable segment (`tcp_send_dupack`).
pub(crate) fn tcp_send_dupack(tp: &mut TcpSock, net: &mut Net, seg: &Seg) {
    if seg.end_seq != seg.seq && seg.seq.before(tp.rcv_nxt) {
        net.mib.inc(TcpExt::DelayedACKLost);
        tcp_enter_quickack_mode(tp, net, TCP_MAX_QUICKACKS);
        if tp.is_sack() && net.sysctl.tcp_dsack != 0 {
            tcp_rcv_spurious_retrans(tp, net, seg.seq);
            let end_seq = seg.end_seq.min(tp.rcv_nxt);
            tcp_dsack_set(tp, net, seg.seq, end_seq);
        }
    }
    tcp_send_ack(tp, net);
}

/// Sends the ACK that compression held back (`tcp_sack_compress_send_ack`).
pub(crate) fn tcp_sack_compress_send_ack(tp: &mut TcpSock, net: &mut Net) {
    if tp.compressed_ack == 0 {
        return;
    }
    net.time.hrtimers.cancel(HrtimerId::CompressedAck(tp.sk.id));
    net.mib.add(TcpExt::TCPAckCompressed, u64::from(tp.compressed_ack - 1));
    tp.compressed_ack = 0;
    tcp_send_ack(tp, net);
}

/// A range arrived out of order: it leads the list of SACK blocks (`tcp_sack_new_ofo_skb`,
/// RFC 2018 4).
pub(crate) fn tcp_sack_new_ofo_skb(tp: &mut TcpSock, net: &mut Net, seq: SeqNum, end_seq: SeqNum) {
    let n = usize::from(tp.rx_opt.num_sacks).min(TCP_NUM_SACKS);
    let touched = tp.selective_acks[..n].iter_mut().position(|b| tcp_sack_extend(b, seq, end_seq));
    if let Some(at) = touched {
        if at >= TCP_SACK_BLOCKS_EXPECTED {
            tcp_sack_compress_send_ack(tp, net);
        }
        tp.selective_acks[..=at].rotate_right(1);
        if n > 1 {
            tcp_sack_maybe_coalesce(tp);
        }
        return;
    }
    if n >= TCP_SACK_BLOCKS_EXPECTED {
        tcp_sack_compress_send_ack(tp, net);
    }
    let kept = n.min(TCP_NUM_SACKS - 1);
    tp.selective_acks[..=kept].rotate_right(1);
    tp.selective_acks[0] = SackBlock { start_seq: seq, end_seq };
    tp.rx_opt.num_sacks = kept as u8 + 1;
}

/// The first block grew: it may have swallowed others (`tcp_sack_maybe_coalesce`).
fn tcp_sack_maybe_coalesce(tp: &mut TcpSock) {
    let mut n = usize::from(tp.rx_opt.num_sacks).min(TCP_NUM_SACKS);
    let mut at = 1;
    while at < n {
        let b = tp.selective_acks[at];
        if tcp_sack_extend(&mut tp.selective_acks[0], b.start_seq, b.end_seq) {
            tp.selective_acks[at..n].rotate_left(1);
            n -= 1;
        } else {
            at += 1;
        }
    }
    tp.rx_opt.num_sacks = n as u8;
}

/// RCV.NXT moved: blocks below it are done (`tcp_sack_remove`).
pub(crate) fn tcp_sack_remove(tp: &mut TcpSock) {
    if tp.out_of_order_queue.is_empty() {
        tp.rx_opt.num_sacks = 0;
        return;
    }
    let mut n = usize::from(tp.rx_opt.num_sacks).min(TCP_NUM_SACKS);
    let mut at = 0;
    while at < n {
        if tp.rcv_nxt.before(tp.selective_acks[at].start_seq) {
            at += 1;
        } else {
            tp.selective_acks[at..n].rotate_left(1);
            n -= 1;
        }
    }
    tp.rx_opt.num_sacks = n as u8;
}

/// Moves what has become in order to the receive queue (`tcp_ofo_queue`).
pub(crate) fn tcp_ofo_queue(tp: &mut TcpSock, net: &mut Net) {
    let dsack_high = tp.rcv_nxt;
    while let Some(cb) = tp.out_of_order_queue.front().map(|skb| skb.tcp_cb()) {
        if cb.seq.after(tp.rcv_nxt) {
            break;
        }
        if cb.seq.before(dsack_high) {
            tcp_dsack_extend(tp, net, cb.seq, cb.end_seq.min(dsack_high));
        }
        let Some(skb) = tp.out_of_order_queue.pop_front() else { break };
        if !cb.end_seq.after(tp.rcv_nxt) {
            tp.sk.sk_drops = tp.sk.sk_drops.wrapping_add(1);
            sock_rfree(tp, net, skb, DropReason::TcpOfoDrop);
            continue;
        }
        queue_or_merge(tp, net, skb, true);
        tcp_rcv_nxt_update(tp, cb.end_seq);
        if cb.tcp_flags & TCPHDR_FIN != 0 {
            // It purges the rest.
            tcp_fin(tp, net);
            break;
        }
    }
}

/// Whether one more segment may be kept (`tcp_try_rmem_schedule`); memory is made if it is short.
pub(crate) fn tcp_try_rmem_schedule(tp: &mut TcpSock, net: &mut Net, size: u32) -> bool {
    if tp.sk.sk_rmem_alloc <= tp.sk.sk_rcvbuf && sk_rmem_schedule(&mut tp.sk, net, size) {
        return true;
    }
    if !tcp_prune_queue(tp, net) {
        return false;
    }
    while !sk_rmem_schedule(&mut tp.sk, net, size) {
        if !tcp_prune_ofo_queue(tp, net) {
            return false;
        }
    }
    true
}

/// Takes a segment that lies beyond RCV.NXT (`tcp_data_queue_ofo`).
pub(crate) fn tcp_data_queue_ofo(tp: &mut TcpSock, net: &mut Net, skb: Skb) {
    let charge = RcvCharge::of(&skb);
    let cb = skb.tcp_cb();
    tcp_ecn_check_ce(tp, net, cb.ip_dsfield);
    if !tcp_try_rmem_schedule(tp, net, charge.truesize) {
        net.mib.inc(TcpExt::TCPOFODrop);
        net.sk_data_ready(tp.sk.id);
        return tcp_drop_reason(tp, net, skb, DropReason::ProtoMem);
    }
    tp.pred_flags = 0;
    inet_csk_schedule_ack(tp, net);
    tp.rcv_ooopack = tp.rcv_ooopack.wrapping_add(u32::from(skb.gso_segs.max(1)));
    net.mib.inc(TcpExt::TCPOFOQueue);
    let first = tp.out_of_order_queue.is_empty();
    if first && tp.is_sack() {
        tp.rx_opt.num_sacks = 1;
        tp.selective_acks[0] = SackBlock { start_seq: cb.seq, end_seq: cb.end_seq };
    }
    let queued = ofo_insert(tp, net, skb);
    // Not without SACK: there the sender needs duplicate ACKs, and a new window is none.
    match queued {
        Inserted::Merged if tp.is_sack() => tcp_grow_window(tp, net, &charge),
        Inserted::Queued => {
            if !first && tp.is_sack() {
                tcp_sack_new_ofo_skb(tp, net, cb.seq, cb.end_seq);
            }
            if tp.is_sack() {
                tcp_grow_window(tp, net, &charge);
            }
            rx_charge(tp, charge.truesize);
            return;
        }
        _ => {}
    }
    if tp.is_sack() {
        tcp_sack_new_ofo_skb(tp, net, cb.seq, cb.end_seq);
    }
}

enum Inserted {
    /// As a buffer of its own, to be charged.
    Queued,
    /// Into the buffer before it, which was charged.
    Merged,
    /// Every byte was there already.
    Dropped,
}

/// Finds the place of a segment among those out of order, and settles overlaps.
fn ofo_insert(tp: &mut TcpSock, net: &mut Net, skb: Skb) -> Inserted {
    let cb = skb.tcp_cb();
    let queue = &mut tp.out_of_order_queue;
    // Segments mostly come behind the last.
    let mut at = match queue.back() {
        Some(last) if cb.seq.before(last.tcp_cb().seq) => {
            queue.q.partition_point(|s| !s.tcp_cb().seq.after(cb.seq))
        }
        _ => queue.len(),
    };
    let mut skb = skb;
    if at > 0
        && let Some(prev) = queue.get(at - 1).map(|s| s.tcp_cb())
    {
        if !cb.seq.before(prev.end_seq) {
            if let Some(to) = tp.out_of_order_queue.get_mut(at - 1) {
                let segs = to.gso_segs.max(1).saturating_add(skb.gso_segs.max(1));
                match tcp_try_coalesce(net, to, skb) {
                    Ok(delta) => {
                        to.gso_segs = segs;
                        rx_charge(tp, delta);
                        return Inserted::Merged;
                    }
                    Err(back) => skb = back,
                }
            }
        } else if !cb.end_seq.after(prev.end_seq) {
            net.mib.inc(TcpExt::TCPOFOMerge);
            tcp_drop_reason(tp, net, skb, DropReason::TcpOfoMerge);
            tcp_dsack_set(tp, net, cb.seq, cb.end_seq);
            return Inserted::Dropped;
        } else if cb.seq.after(prev.seq) {
            tcp_dsack_set(tp, net, cb.seq, prev.end_seq);
        } else {
            // Same start, and longer: it takes the other's place.
            at -= 1;
            ofo_drop_covered(tp, net, at);
        }
    }
    tp.out_of_order_queue.insert(at, skb);
    while let Some(next) = tp.out_of_order_queue.get(at + 1).map(|s| s.tcp_cb()) {
        if !cb.end_seq.after(next.seq) {
            break;
        }
        if cb.end_seq.before(next.end_seq) {
            tcp_dsack_extend(tp, net, next.seq, cb.end_seq);
            break;
        }
        ofo_drop_covered(tp, net, at + 1);
    }
    Inserted::Queued
}

/// Drops a queued segment that a newer one covers.
fn ofo_drop_covered(tp: &mut TcpSock, net: &mut Net, at: usize) {
    let Some(old) = tp.out_of_order_queue.remove(at) else { return };
    let cb = old.tcp_cb();
    tcp_dsack_extend(tp, net, cb.seq, cb.end_seq);
    net.mib.inc(TcpExt::TCPOFOMerge);
    tp.sk.sk_drops = tp.sk.sk_drops.wrapping_add(1);
    sock_rfree(tp, net, old, DropReason::TcpOfoMerge);
}

/// Gives up out-of-order data from the far end, an eighth of the buffer at a time
/// (`tcp_prune_ofo_queue`); whether there was any.
fn tcp_prune_ofo_queue(tp: &mut TcpSock, net: &mut Net) -> bool {
    if tp.out_of_order_queue.is_empty() {
        return false;
    }
    net.mib.inc(TcpExt::OfoPruned);
    let step = tp.sk.sk_rcvbuf >> 3;
    let mut goal = step;
    while let Some(last) = tp.out_of_order_queue.len().checked_sub(1) {
        let Some(skb) = tp.out_of_order_queue.remove(last) else { break };
        goal -= skb.truesize as i32;
        tp.sk.sk_drops = tp.sk.sk_drops.wrapping_add(1);
        sock_rfree(tp, net, skb, DropReason::TcpOfoQueuePrune);
        if goal <= 0 {
            if tp.sk.sk_rmem_alloc <= tp.sk.sk_rcvbuf && !tcp_under_memory_pressure(net) {
                break;
            }
            goal = step;
        }
    }
    // What was announced is partly gone: the peer has to take it as a reneging receiver.
    if tp.is_sack() {
        tcp_sack_reset(&mut tp.rx_opt);
    }
    true
}

/// Brings the receive side back to its limit (`tcp_prune_queue`); false: drop what comes.
fn tcp_prune_queue(tp: &mut TcpSock, net: &mut Net) -> bool {
    net.mib.inc(TcpExt::PruneCalled);
    if tp.sk.sk_rmem_alloc >= tp.sk.sk_rcvbuf {
        tcp_clamp_window(tp, net);
    } else if tcp_under_memory_pressure(net) {
        tcp_adjust_rcv_ssthresh(tp);
    }
    if tp.sk.sk_rmem_alloc <= tp.sk.sk_rcvbuf {
        return true;
    }
    tcp_collapse(tp, net, |tp| &mut tp.out_of_order_queue);
    tcp_collapse(tp, net, |tp| &mut tp.sk.sk_receive_queue);
    if tp.sk.sk_rmem_alloc <= tp.sk.sk_rcvbuf {
        return true;
    }
    tcp_prune_ofo_queue(tp, net);
    if tp.sk.sk_rmem_alloc <= tp.sk.sk_rcvbuf {
        return true;
    }
    net.mib.inc(TcpExt::RcvPruned);
    tp.pred_flags = 0;
    false
}

/// What a collapsed buffer of `len` bytes is charged: its slab and its `struct sk_buff`.
fn collapsed_truesize(net: &Net, len: u32) -> u32 {
    (len + net.profile.sizeof_skb_shared_info).next_power_of_two() + net.profile.sizeof_sk_buff
}

/// Packs contiguous buffers of a queue into fewer (`tcp_collapse`), where that lowers the charge.
fn tcp_collapse(tp: &mut TcpSock, net: &mut Net, queue: impl Fn(&mut TcpSock) -> &mut SkbQueue) {
    let old = std::mem::take(queue(tp));
    let mut run: Vec<Skb> = Vec::new();
    let mut old = old;
    while let Some(skb) = old.pop_front() {
        let follows = run.last().is_none_or(|p| p.tcp_cb().end_seq == skb.tcp_cb().seq);
        if !follows {
            collapse_run(tp, net, std::mem::take(&mut run), &queue);
        }
        if skb.tcp_cb().tcp_flags & (TCPHDR_SYN | TCPHDR_FIN) != 0 {
            collapse_run(tp, net, std::mem::take(&mut run), &queue);
            queue(tp).push_back(skb);
        } else {
            run.push(skb);
        }
    }
    collapse_run(tp, net, run, &queue);
}

fn collapse_run(
    tp: &mut TcpSock,
    net: &mut Net,
    run: Vec<Skb>,
    queue: &impl Fn(&mut TcpSock) -> &mut SkbQueue,
) {
    let len: u32 = run.iter().map(|s| s.len() as u32).sum();
    let before: u32 = run.iter().map(|s| s.truesize).sum();
    let (full, rest) = (len / COLLAPSED_MAX, len % COLLAPSED_MAX);
    let after = full * collapsed_truesize(net, COLLAPSED_MAX)
        + if rest > 0 { collapsed_truesize(net, rest) } else { 0 };
    let linear = run.iter().all(|s| s.headlen() == 0);
    let (Some(first), true) = (run.first(), after < before && linear) else {
        run.into_iter().for_each(|skb| queue(tp).push_back(skb));
        return;
    };
    let mut cb = first.tcp_cb();
    let mut parts: std::collections::VecDeque<Frag> =
        run.iter().flat_map(|s| s.frags.clone()).collect();
    let flags = run.iter().fold(0, |f, s| f | s.tcp_cb().tcp_flags);
    rx_uncharge(tp, net, before);
    for skb in run {
        net.mib.inc(TcpExt::TCPRcvCollapsed);
        kfree_skb(net, skb, DropReason::Consumed);
    }
    cb.tcp_flags = flags;
    while !parts.is_empty() {
        let mut skb = Skb::alloc(&mut net.skbs, 0);
        let mut room = COLLAPSED_MAX;
        while room > 0
            && let Some(mut part) = parts.pop_front()
        {
            if part.len > room {
                parts.push_front(part.slice(room, part.len - room));
                part = part.slice(0, room);
            }
            room -= part.len;
            skb.add_frag(part);
        }
        cb.end_seq = cb.seq + skb.data_len;
        skb.cb = Cb::Tcp(cb);
        skb.truesize = collapsed_truesize(net, skb.data_len);
        sk_forced_mem_schedule(&mut tp.sk, net, skb.truesize);
        rx_charge(tp, skb.truesize);
        cb.seq = cb.end_seq;
        queue(tp).push_back(skb);
    }
}
