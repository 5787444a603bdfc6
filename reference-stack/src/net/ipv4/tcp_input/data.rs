//! Received data: queueing in order, FIN, urgent data, when to acknowledge, and the send buffer's
//! room (Linux `tcp_data_queue()`, `tcp_fin()`, `tcp_urg()`, `__tcp_ack_snd_check()`, 5.15).

use super::*;
use crate::net::core::skbuff::{Cb, MAX_SKB_FRAGS, kfree_skb};
use crate::net::core::sock::{RCV_SHUTDOWN, SOCK_SNDBUF_LOCK, SkbQueue, TcpState};
use crate::net::core::stream::*;
use crate::net::ipv4::inet_connection_sock::*;
use crate::net::ipv4::tcp::tcp_set_state;
use crate::net::ipv4::tcp_minisocks::tcp_time_wait;
use crate::net::ipv4::tcp_output::*;
use crate::time::HrtimerId;

/// `TCP_FASTRETRANS_THRESH`.
pub(crate) const TCP_FASTRETRANS_THRESH: u8 = 3;
/// `urg_data`: the byte is there, in the low bits.
pub(crate) const TCP_URG_VALID: u16 = 0x100;
/// `urg_data`: announced, not received.
pub(crate) const TCP_URG_NOTYET: u16 = 0x200;

const INET_ECN_MASK: u8 = 3;
const INET_ECN_NOT_ECT: u8 = 0;
const INET_ECN_CE: u8 = 3;

/// Frees a buffer that was charged to the receive side.
pub(crate) fn sock_rfree(tp: &mut TcpSock, net: &mut Net, skb: Skb, reason: DropReason) {
    rx_uncharge(tp, net, skb.truesize);
    kfree_skb(net, skb, reason);
}

/// Charges the receive side (`skb_set_owner_r`); the memory was scheduled before.
pub(crate) fn rx_charge(tp: &mut TcpSock, truesize: u32) {
    tp.sk.sk_rmem_alloc += truesize as i32;
    sk_mem_charge(&mut tp.sk, truesize);
}

/// Gives a charge of the receive side back.
pub(crate) fn rx_uncharge(tp: &mut TcpSock, net: &mut Net, truesize: u32) {
    tp.sk.sk_rmem_alloc -= truesize as i32;
    sk_mem_uncharge(&mut tp.sk, net, truesize);
}

/// `tcp_drop_reason`: a segment that does not reach a queue.
pub(crate) fn tcp_drop_reason(tp: &mut TcpSock, net: &mut Net, skb: Skb, reason: DropReason) {
    tp.sk.sk_drops = tp.sk.sk_drops.wrapping_add(u32::from(skb.gso_segs.max(1)));
    kfree_skb(net, skb, reason);
}

/// Free bytes behind the data of a buffer whose payload is linear in Linux (`skb_tailroom`). A
/// queued segment that nothing was merged into is; what is left of its buffer follows from its
/// charge: the aligned frame with its headroom.
fn tailroom(net: &Net, skb: &Skb) -> usize {
    if skb.frags.len() != 1 || skb.gso_size != 0 {
        return 0;
    }
    let overhead = net.profile.sizeof_sk_buff + net.profile.sizeof_skb_shared_info;
    let headroom = 64 + net.profile.net_ip_align;
    let frame = usize::from(skb.data_offset().saturating_sub(skb.mac_header)) + skb.len();
    (skb.truesize as usize).saturating_sub((overhead + headroom) as usize + frame)
}

/// Merges `from`'s payload behind `to`'s (`skb_try_coalesce`); what the merged buffer's charge
/// grows by, or the buffer back.
///
/// The head of `from` becomes one more fragment and its `struct sk_buff` is given back; a few
/// bytes that fit behind linear data are copied there and cost nothing.
pub(crate) fn skb_try_coalesce(net: &Net, to: &mut Skb, from: &mut Skb) -> Option<u32> {
    let len = from.len();
    if len == 0 {
        return Some(0);
    }
    if len <= tailroom(net, to) {
        let mut bytes = to.frags[0].bytes().to_vec();
        from.slices().for_each(|part| bytes.extend_from_slice(part));
        to.data_len = bytes.len() as u32;
        to.frags.clear();
        to.frags.push(hw_model::Frag::new(std::sync::Arc::new(bytes)));
        return Some(0);
    }
    if from.head_is_locked {
        return None;
    }
    // The first segment's own data is linear, so one more than the fragments fits.
    if to.frags.len() + from.frags.len() > MAX_SKB_FRAGS + 1 || from.headlen() != 0 {
        return None;
    }
    let delta = from.truesize.saturating_sub(net.profile.sizeof_sk_buff);
    to.data_len += from.data_len;
    to.frags.extend(from.frags.drain(..));
    from.data_len = 0;
    to.truesize += delta;
    Some(delta)
}

/// Merges a segment into the buffer before it, if it follows directly (`tcp_try_coalesce`).
/// What that adds to the charge; `Err`: it is to be queued on its own.
pub(crate) fn tcp_try_coalesce(net: &mut Net, to: &mut Skb, mut from: Skb) -> Result<u32, Skb> {
    let (mut cb, next) = (to.tcp_cb(), from.tcp_cb());
    if next.seq != cb.end_seq {
        return Err(from);
    }
    // The headers are off; a driver may have left a short frame's payload in the head.
    to.linear_to_frag();
    from.linear_to_frag();
    let Some(delta) = skb_try_coalesce(net, to, &mut from) else { return Err(from) };
    net.mib.inc(TcpExt::TCPRcvCoalesce);
    cb.end_seq = next.end_seq;
    cb.ack_seq = next.ack_seq;
    cb.tcp_flags |= next.tcp_flags;
    if next.has_rxtstamp {
        cb.has_rxtstamp = true;
        to.tstamp = from.tstamp;
    }
    to.cb = Cb::Tcp(cb);
    consume_skb(net, from);
    Ok(delta)
}

/// Appends to the receive queue, merging if possible; the charge is the socket's.
pub(crate) fn queue_or_merge(tp: &mut TcpSock, net: &mut Net, skb: Skb, charged: bool) {
    let truesize = skb.truesize;
    let rest = match tp.sk.sk_receive_queue.back_mut() {
        Some(tail) => tcp_try_coalesce(net, tail, skb),
        None => Err(skb),
    };
    match rest {
        Ok(delta) => {
            rx_charge(tp, delta);
            // An out-of-order segment was charged when it came.
            if charged {
                rx_uncharge(tp, net, truesize);
            }
        }
        Err(skb) => {
            tp.sk.sk_receive_queue.push_back(skb);
            if !charged {
                rx_charge(tp, truesize);
            }
        }
    }
}

/// `tcp_rcv_nxt_update`.
pub(crate) fn tcp_rcv_nxt_update(tp: &mut TcpSock, seq: SeqNum) {
    tp.bytes_received += u64::from(seq.since(tp.rcv_nxt));
    tp.rcv_nxt = seq;
}

/// Puts a segment that is next in sequence into the receive queue (`tcp_queue_rcv`).
pub(crate) fn tcp_queue_rcv(tp: &mut TcpSock, net: &mut Net, skb: Skb) {
    let end_seq = skb.tcp_cb().end_seq;
    queue_or_merge(tp, net, skb, false);
    tcp_rcv_nxt_update(tp, end_seq);
}

/// Whether a reader has something to do (`tcp_epollin_ready`): enough bytes, or so little room
/// that waiting for more would be in vain.
pub(crate) fn tcp_epollin_ready(tp: &TcpSock, target: i32) -> bool {
    let avail = tp.rcv_nxt.diff(tp.copied_seq);
    let pressure = tp.sk.sk_rmem_alloc > tp.sk.sk_rcvbuf - (tp.sk.sk_rcvbuf >> 3);
    avail > 0
        && (avail >= target
            || pressure
            || tp.receive_window() <= u32::from(tp.icsk.icsk_ack.rcv_mss))
}

/// Wakes a reader if its low-water mark is reached (`tcp_data_ready`).
pub(crate) fn tcp_data_ready(tp: &mut TcpSock, net: &mut Net) {
    if tcp_epollin_ready(tp, tp.sk.sk_rcvlowat) || tp.sk.done {
        net.sk_data_ready(tp.sk.id);
    }
}

/// What became of a segment that is not simply next in sequence.
enum Place {
    InSequence,
    OutOfWindow(DropReason),
    OutOfOrder,
}

/// Decides where a segment belongs, and remembers what a DSACK is to say.
fn place(tp: &mut TcpSock, net: &mut Net, skb: &Skb) -> Place {
    let cb = skb.tcp_cb();
    if cb.seq == tp.rcv_nxt {
        if tp.receive_window() == 0 && !(net.profile.ack_nomem && skb.len() == 0) {
            net.mib.inc(TcpExt::TCPZeroWindowDrop);
            return Place::OutOfWindow(DropReason::TcpZeroWindow);
        }
        return Place::InSequence;
    }
    if !cb.end_seq.after(tp.rcv_nxt) {
        tcp_rcv_spurious_retrans(tp, net, cb.seq);
        net.mib.inc(TcpExt::DelayedACKLost);
        tcp_dsack_set(tp, net, cb.seq, cb.end_seq);
        return Place::OutOfWindow(DropReason::TcpOldData);
    }
    if !cb.seq.before(tp.rcv_nxt + tp.receive_window()) {
        return Place::OutOfWindow(DropReason::TcpOverwindow);
    }
    if cb.seq.before(tp.rcv_nxt) {
        tcp_dsack_set(tp, net, cb.seq, tp.rcv_nxt);
        if tp.receive_window() == 0 {
            net.mib.inc(TcpExt::TCPZeroWindowDrop);
            return Place::OutOfWindow(DropReason::TcpZeroWindow);
        }
        return Place::InSequence;
    }
    Place::OutOfOrder
}

/// Takes the payload of an acceptable segment (`tcp_data_queue`).
pub(crate) fn tcp_data_queue(tp: &mut TcpSock, net: &mut Net, mut skb: Skb) {
    let cb = skb.tcp_cb();
    if cb.seq == cb.end_seq {
        return consume_skb(net, skb);
    }
    skb.pull(usize::from(cb.doff));
    tp.rx_opt.dsack = false;
    match place(tp, net, &skb) {
        Place::OutOfOrder => tcp_data_queue_ofo(tp, net, skb),
        Place::OutOfWindow(reason) => {
            tcp_enter_quickack_mode(tp, net, TCP_MAX_QUICKACKS);
            inet_csk_schedule_ack(tp, net);
            tcp_drop_reason(tp, net, skb, reason);
        }
        Place::InSequence => queue_and_out(tp, net, skb),
    }
}

fn queue_and_out(tp: &mut TcpSock, net: &mut Net, skb: Skb) {
    let fin = skb.tcp_cb().tcp_flags & TCPHDR_FIN != 0;
    let truesize = skb.truesize;
    // An empty queue always takes one, so that a reader can make progress.
    if tp.sk.sk_receive_queue.is_empty() && !net.profile.ack_nomem {
        sk_forced_mem_schedule(&mut tp.sk, net, truesize);
    } else if !tcp_try_rmem_schedule(tp, net, truesize) {
        if net.profile.ack_nomem {
            tp.icsk.icsk_ack.pending |= ICSK_ACK_NOMEM | ICSK_ACK_NOW;
            inet_csk_schedule_ack(tp, net);
        }
        net.sk_data_ready(tp.sk.id);
        if !net.profile.ack_nomem || (!tp.sk.sk_receive_queue.is_empty() && skb.len() > 0) {
            net.mib.inc(TcpExt::TCPRcvQDrop);
            return tcp_drop_reason(tp, net, skb, DropReason::ProtoMem);
        }
        sk_forced_mem_schedule(&mut tp.sk, net, truesize);
    }
    let charge = RcvCharge::of(&skb);
    tcp_queue_rcv(tp, net, skb);
    if charge.len > 0 {
        tcp_event_data_recv(tp, net, &charge);
    }
    if fin {
        tcp_fin(tp, net);
    }
    if !tp.out_of_order_queue.is_empty() {
        tcp_ofo_queue(tp, net);
        // RFC 5681 4.2: a filled gap is acknowledged at once.
        if tp.out_of_order_queue.is_empty() {
            tp.icsk.icsk_ack.pending |= ICSK_ACK_NOW;
        }
    }
    if tp.rx_opt.num_sacks != 0 {
        tcp_sack_remove(tp);
    }
    tcp_fast_path_check(tp);
    if !tp.sk.dead {
        tcp_data_ready(tp, net);
    }
}

/// The peer closed its direction (`tcp_fin`).
pub(crate) fn tcp_fin(tp: &mut TcpSock, net: &mut Net) {
    inet_csk_schedule_ack(tp, net);
    tp.sk.sk_shutdown |= RCV_SHUTDOWN;
    tp.sk.done = true;
    match tp.sk.sk_state {
        TcpState::SynRecv | TcpState::Established => {
            tcp_set_state(tp, net, TcpState::CloseWait);
            inet_csk_enter_pingpong_mode(tp, net);
        }
        TcpState::FinWait1 => {
            // Simultaneous close.
            tcp_send_ack(tp, net);
            tcp_set_state(tp, net, TcpState::Closing);
        }
        TcpState::FinWait2 => {
            tcp_send_ack(tp, net);
            tcp_time_wait(tp, net, TcpState::TimeWait, 0);
        }
        // A FIN that came again.
        _ => {}
    }
    // Nothing may follow a FIN.
    purge_charged(tp, net, |tp| &mut tp.out_of_order_queue);
    if tp.is_sack() {
        tcp_sack_reset(&mut tp.rx_opt);
    }
    if !tp.sk.dead {
        net.wake_up(tp.sk.id);
    }
}

/// Frees a queue of buffers that are charged to the receive side.
pub(crate) fn purge_charged(
    tp: &mut TcpSock,
    net: &mut Net,
    queue: impl Fn(&mut TcpSock) -> &mut SkbQueue,
) {
    while let Some(skb) = queue(tp).pop_front() {
        sock_rfree(tp, net, skb, DropReason::Purge);
    }
}

/// `tcp_ecn_accept_cwr`: the sender reduced its window; answer data at once, it may be short.
pub(crate) fn tcp_ecn_accept_cwr(tp: &mut TcpSock, seg: &Seg) {
    if seg.th.flags & TCPHDR_CWR != 0 {
        tp.ecn_flags &= !TCP_ECN_DEMAND_CWR;
        if seg.seq != seg.end_seq {
            tp.icsk.icsk_ack.pending |= ICSK_ACK_NOW;
        }
    }
}

/// Looks at the IP header's ECN bits of a data segment (`tcp_ecn_check_ce`, RFC 3168 6.1.3).
pub(crate) fn tcp_ecn_check_ce(tp: &mut TcpSock, net: &mut Net, ip_dsfield: u8) {
    if tp.ecn_flags & TCP_ECN_OK == 0 {
        return;
    }
    match ip_dsfield & INET_ECN_MASK {
        INET_ECN_NOT_ECT => {
            // Not ECT after ECT was seen: probably a retransmission.
            if tp.ecn_flags & TCP_ECN_SEEN != 0 {
                tcp_enter_quickack_mode(tp, net, 2);
            }
        }
        INET_ECN_CE => {
            if tp.ecn_flags & TCP_ECN_DEMAND_CWR == 0 {
                tcp_enter_quickack_mode(tp, net, 2);
                tp.ecn_flags |= TCP_ECN_DEMAND_CWR;
            }
            tp.ecn_flags |= TCP_ECN_SEEN;
        }
        _ => tp.ecn_flags |= TCP_ECN_SEEN,
    }
}

fn tcp_should_expand_sndbuf(tp: &TcpSock, net: &Net) -> bool {
    tp.sk.sk_userlocks & SOCK_SNDBUF_LOCK == 0
        && net.tcp_mem_allocated < net.sysctl.tcp_mem[0]
        && tp.packets_in_flight() < tp.snd_cwnd
}

fn tcp_new_space(tp: &mut TcpSock, net: &mut Net) {
    if tcp_should_expand_sndbuf(tp, net) {
        tcp_sndbuf_expand(tp, net);
        tp.snd_cwnd_stamp = net.jiffies();
    }
    // sk_stream_write_space(): a third of the buffer has to be free.
    let notsent = tp.write_seq.since(tp.snd_nxt);
    if sk_stream_is_writeable(&tp.sk, notsent, tcp_notsent_lowat(tp, net)) {
        tp.sk.nospace = false;
        net.sk_write_space(tp.sk.id);
    }
}

/// `tcp_notsent_lowat`: the socket's, else the sysctl's; bytes.
fn tcp_notsent_lowat(tp: &TcpSock, net: &Net) -> u32 {
    match tp.notsent_lowat {
        0 => net.sysctl.tcp_notsent_lowat.clamp(0, i64::from(u32::MAX)) as u32,
        lowat => lowat,
    }
}

/// Sent or acknowledged data may have made room for a writer that waits (`tcp_check_space`).
pub(crate) fn tcp_check_space(tp: &mut TcpSock, net: &mut Net) {
    if tp.sk.nospace {
        tcp_new_space(tp, net);
        if !tp.sk.nospace {
            tcp_chrono_stop(tp, net, TCP_CHRONO_SNDBUF_LIMITED);
        }
    }
}

/// `tcp_data_snd_check`: send what the ACK allows.
pub(crate) fn tcp_data_snd_check(tp: &mut TcpSock, net: &mut Net) {
    tcp_push_pending_frames(tp, net);
    tcp_check_space(tp, net);
}

/// Decides between an ACK now, a delayed one, and a compressed one (`__tcp_ack_snd_check`).
pub(crate) fn __tcp_ack_snd_check(tp: &mut TcpSock, net: &mut Net, ofo_possible: bool) {
    let enough = tp.rcv_nxt.since(tp.rcv_wup) > u32::from(tp.icsk.icsk_ack.rcv_mss)
        && ((tp.rcv_nxt.since(tp.copied_seq) as i32) < tp.sk.sk_rcvlowat
            || __tcp_select_window(tp, net) >= tp.rcv_wnd);
    if enough || tcp_in_quickack_mode(tp, net) || tp.icsk.icsk_ack.pending & ICSK_ACK_NOW != 0 {
        // Newer kernels send one ACK for a whole backlog, when it is handled.
        if tp.sk.sk_lock_owned && net.sysctl.tcp_backlog_ack_defer != 0 {
            tp.deferred.ack = true;
            return;
        }
        return tcp_send_ack(tp, net);
    }
    if !ofo_possible || tp.out_of_order_queue.is_empty() {
        return tcp_send_delayed_ack(tp, net);
    }
    if !tp.is_sack() || i64::from(tp.compressed_ack) >= net.sysctl.tcp_comp_sack_nr {
        return tcp_send_ack(tp, net);
    }
    if tp.compressed_ack_rcv_nxt != tp.rcv_nxt {
        tp.compressed_ack_rcv_nxt = tp.rcv_nxt;
        tp.dup_ack_counter = 0;
    }
    if tp.dup_ack_counter < TCP_FASTRETRANS_THRESH {
        tp.dup_ack_counter += 1;
        return tcp_send_ack(tp, net);
    }
    tp.compressed_ack += 1;
    let timer = HrtimerId::CompressedAck(tp.sk.id);
    if net.time.hrtimers.pending(timer).is_some() {
        return;
    }
    let mut rtt = tp.rcvq_space.rtt_us;
    if tp.srtt_us != 0 && tp.srtt_us < rtt {
        rtt = tp.srtt_us;
    }
    // `rtt` is eight times microseconds.
    let share = u64::from(rtt) * 125 * u64::from(net.profile.comp_sack_rtt_percent) / 100;
    let delay = share.min(net.sysctl.tcp_comp_sack_delay_ns as u64);
    net.hrtimer_start(timer, delay.saturating_add(net.sysctl.tcp_comp_sack_slack_ns as u64));
}

/// `tcp_ack_snd_check`: nothing to do if a data segment carried the ACK.
pub(crate) fn tcp_ack_snd_check(tp: &mut TcpSock, net: &mut Net) {
    if inet_csk_ack_scheduled(tp) {
        __tcp_ack_snd_check(tp, net, true);
    }
}

/// An urgent pointer came (`tcp_check_urg`). It points, as BSD's did, one before the byte that
/// RFC 9293 3.8.5 means, unless `tcp_stdurg` is set.
fn tcp_check_urg(tp: &mut TcpSock, net: &mut Net, th: &TcpHdr) {
    let mut ptr = u32::from(th.urg_ptr);
    if ptr != 0 && net.sysctl.tcp_stdurg == 0 {
        ptr -= 1;
    }
    let ptr = th.seq + ptr;
    let seen = tp.copied_seq.after(ptr) || ptr.before(tp.rcv_nxt);
    if seen || (tp.urg_data != 0 && !ptr.after(tp.urg_seq)) {
        return;
    }
    if tp.urg_seq == tp.copied_seq
        && tp.urg_data != 0
        && !tp.sk.oobinline
        && tp.copied_seq != tp.rcv_nxt
    {
        // The old urgent byte was the next to read, and out of band: it is skipped.
        tp.copied_seq += 1;
        let eaten = tp.sk.sk_receive_queue.front().map(|skb| skb.tcp_cb().end_seq);
        if eaten.is_some_and(|end| !tp.copied_seq.before(end))
            && let Some(skb) = tp.sk.sk_receive_queue.pop_front()
        {
            sock_rfree(tp, net, skb, DropReason::Consumed);
        }
    }
    tp.urg_data = TCP_URG_NOTYET;
    tp.urg_seq = ptr;
    tp.pred_flags = 0;
}

/// Urgent data (`tcp_urg`); the header has not been pulled yet.
pub(crate) fn tcp_urg(tp: &mut TcpSock, net: &mut Net, skb: &Skb, seg: &Seg) {
    if seg.th.flags & TCPHDR_URG != 0 {
        tcp_check_urg(tp, net, &seg.th);
    }
    if tp.urg_data != TCP_URG_NOTYET {
        return;
    }
    let offset = tp
        .urg_seq
        .since(seg.th.seq)
        .wrapping_add(u32::from(seg.th.doff))
        .wrapping_sub(u32::from(seg.th.syn()));
    let mut byte = [0];
    if (offset as usize) < skb.len() && skb.copy_bits(offset as usize, &mut byte) == 1 {
        tp.urg_data = TCP_URG_VALID | u16::from(byte[0]);
        if !tp.sk.dead {
            net.sk_data_ready(tp.sk.id);
        }
    }
}
