//! Retransmission (Linux `tcp_output.c`).

use super::*;
use crate::net::ipv4::inet_connection_sock::{inet_csk_reset_xmit_timer, tcp_rto_max};
use crate::net::ipv4::tcp_cong::tcp_in_cwnd_reduction;

/// Whether the last copy of a segment has not left the host (Linux `skb_still_in_host_queue()`).
/// Packets leave in order, so it has once all that was charged up to its end is given back.
pub(super) fn skb_still_in_host_queue(tp: &TcpSock, net: &Net, at: usize) -> bool {
    let on_way = net.wmem.get(tp.sk.id);
    let left = tp.wmem_charged.wrapping_sub(on_way);
    let end = tp.rtx_queue.get(at).and_then(|skb| skb.fclone_end);
    end.is_some_and(|end| end.wrapping_sub(left).cast_signed() > 0)
}

/// Sends a segment of the retransmit queue once more, at most `segs` segments of it
/// (Linux `__tcp_retransmit_skb()`).
///
/// # Errors
/// EBUSY: its last copy is still in the host; EAGAIN: outside of the peer's window; ENOBUFS:
/// dropped below; others from routing.
#[traced]
pub(crate) fn __tcp_retransmit_skb(
    tp: &mut TcpSock,
    net: &mut Net,
    at: usize,
    segs: u32,
) -> Result<(), Errno> {
    tp.icsk.icsk_mtup.probe_size = 0;
    if skb_still_in_host_queue(tp, net, at) {
        net.mib.inc(TcpExt::TCPSpuriousRtxHostQueues);
        return Err(Errno::EBUSY);
    }
    trim_acked(tp, net, at)?;
    let cur_mss = tcp_current_mss(tp, net);
    fit_to_window(tp, net, at, segs, cur_mss)?;
    let skb = tp.rtx_queue.get_mut(at).ok_or(Errno::EINVAL)?;
    tcp_ecn_clear_syn(net, skb);
    let pcount = u32::from(skb.gso_segs);
    net.mib.add(Tcp::RetransSegs, pcount.into());
    if skb.tcp_flags & TCPHDR_SYN != 0 {
        net.mib.inc(TcpExt::TCPSynRetrans);
    }
    // Even if this fails, an ACK may be for it, so it gives no RTT sample any more.
    skb.sacked |= TCPCB_EVER_RETRANS;
    let mut copy = skb.clone();
    tp.total_retrans = tp.total_retrans.wrapping_add(pcount);
    tp.bytes_retrans += u64::from(copy.len);
    let sent = tcp_transmit_skb(tp, net, &mut copy, true);
    if let Some(skb) = tp.rtx_queue.get_mut(at) {
        skb.skb_mstamp_ns = copy.skb_mstamp_ns;
        skb.tsorted |= copy.tsorted;
        skb.tx = copy.tx;
    }
    if sent.is_err() && sent != Err(Errno::EBUSY) {
        net.mib.add(TcpExt::TCPRetransFail, pcount.into());
    }
    sent
}

/// What the peer acknowledged in the middle of a segment is not sent again.
fn trim_acked(tp: &mut TcpSock, net: &mut Net, at: usize) -> Result<(), Errno> {
    let una = tp.snd_una;
    let skb = tp.rtx_queue.get_mut(at).ok_or(Errno::EINVAL)?;
    if !skb.seq.before(una) {
        return Ok(());
    }
    if skb.tcp_flags & TCPHDR_SYN != 0 {
        skb.tcp_flags &= !TCPHDR_SYN;
        skb.seq += 1;
    }
    if skb.end_seq.before(una) {
        return Err(Errno::EINVAL);
    }
    let acked = una.since(skb.seq);
    if skb.seq.before(una) {
        tcp_trim_head(tp, net, at, acked);
    }
    Ok(())
}

/// Cuts a segment to what windows and the present segment size admit, or joins small ones.
fn fit_to_window(
    tp: &mut TcpSock,
    net: &mut Net,
    at: usize,
    segs: u32,
    cur_mss: u32,
) -> Result<(), Errno> {
    let skb = tp.rtx_queue.get(at).ok_or(Errno::EINVAL)?;
    let mut avail = i64::from(tp.wnd_end().diff(skb.seq));
    if avail <= 0 {
        // Only what the peer waits for may go against its window.
        if skb.seq != tp.snd_una {
            return Err(Errno::EAGAIN);
        }
        avail = cur_mss.into();
    }
    let avail = avail as u32;
    let mut len = cur_mss.saturating_mul(segs);
    if len > avail {
        len = avail / cur_mss * cur_mss;
        if len == 0 {
            len = avail;
        }
    }
    if skb.len > len {
        return tcp_fragment(tp, net, TcpQueue::Rtx, at, len, cur_mss);
    }
    let before = i32::from(skb.gso_segs);
    let sacked = skb.sacked;
    if let Some(skb) = tp.rtx_queue.get_mut(at) {
        tcp_set_skb_tso_segs(skb, cur_mss);
        let diff = before - i32::from(skb.gso_segs);
        let small = skb.len < avail.min(cur_mss);
        if diff != 0 {
            tcp_adjust_pcount(tp, sacked, diff);
        }
        if small {
            tcp_retrans_try_collapse(tp, net, at, avail.min(cur_mss));
        }
    }
    Ok(())
}

/// Whether the segment at this place may be joined to the one before
/// (Linux `tcp_can_collapse()`).
fn tcp_can_collapse(tp: &TcpSock, net: &Net, at: usize) -> bool {
    tp.rtx_queue.get(at).is_some_and(|skb| {
        skb.gso_segs <= 1
            && skb.sacked & TCPCB_SACKED_ACKED == 0
            && !skb_still_in_host_queue(tp, net, at)
    })
}

/// Joins small segments that follow into the one that is sent again, up to `space` bytes
/// (Linux `tcp_retrans_try_collapse()`).
fn tcp_retrans_try_collapse(tp: &mut TcpSock, net: &mut Net, at: usize, space: u32) {
    if net.sysctl.tcp_retrans_collapse == 0 {
        return;
    }
    let Some(to) = tp.rtx_queue.get(at) else { return };
    if to.tcp_flags & TCPHDR_SYN != 0 || !tcp_can_collapse(tp, net, at) {
        return;
    }
    let mut space = i64::from(space) - i64::from(to.len);
    while let Some(next) = tp.rtx_queue.get(at + 1) {
        let to = &tp.rtx_queue[at];
        space -= i64::from(next.len);
        let fits = space >= 0
            && !to.eor
            // skb_shift() moves no pages that a caller is told of.
            && to.uarg.is_none()
            && next.uarg.is_none()
            && to.frags.len() + next.frags.len() <= crate::net::core::skbuff::MAX_SKB_FRAGS
            && !next.end_seq.after(tp.wnd_end());
        if !fits || !tcp_can_collapse(tp, net, at + 1) {
            break;
        }
        tcp_collapse_retrans(tp, net, at);
    }
}

/// Moves the next segment's payload into this one (Linux `tcp_collapse_retrans()`).
fn tcp_collapse_retrans(tp: &mut TcpSock, net: &mut Net, at: usize) {
    let Some(next) = tp.rtx_queue.remove(at + 1) else { return };
    if tp.highest_sack == Some(next.seq) {
        tp.highest_sack = tp.rtx_queue.get(at).map(|s| s.seq);
    }
    let moved = next.len;
    if let Some(skb) = tp.rtx_queue.get_mut(at) {
        for f in &next.frags {
            frags::append(&mut skb.frags, &f.buf, f.off, f.len);
        }
        skb.len += moved;
        skb.truesize += moved;
        skb.end_seq = next.end_seq;
        skb.tcp_flags |= next.tcp_flags;
        skb.sacked |= next.sacked & TCPCB_EVER_RETRANS;
        skb.eor |= next.eor;
        // tcp_skb_collapse_tstamp(): one stamp is left, that of the later byte.
        if next.has_tx_tstamp() {
            skb.tx_tstamp.flags |= next.tx_tstamp.flags;
            skb.tx_tstamp.key = next.tx_tstamp.key;
            skb.txstamp_ack |= next.txstamp_ack;
        }
    }
    tcp_adjust_pcount(tp, next.sacked, next.gso_segs.into());
    // The bytes stay charged; only the buffer's own cost goes.
    let head = TcpSkb { truesize: next.truesize.saturating_sub(moved), ..next };
    tcp_wmem_free_skb(tp, net, head);
}

/// Sends a segment again and counts it as retransmitted (Linux `tcp_retransmit_skb()`).
///
/// # Errors
/// Those of [`__tcp_retransmit_skb`].
#[traced]
pub(crate) fn tcp_retransmit_skb(
    tp: &mut TcpSock,
    net: &mut Net,
    at: usize,
    segs: u32,
) -> Result<(), Errno> {
    let sent = __tcp_retransmit_skb(tp, net, at, segs);
    let Some(skb) = tp.rtx_queue.get_mut(at) else { return sent };
    let pcount = u32::from(skb.gso_segs);
    let stamp = tcp_skb_timestamp(skb);
    if sent.is_ok() {
        skb.sacked |= TCPCB_RETRANS;
        tp.retrans_out += pcount;
    }
    if tp.retrans_stamp == 0 {
        tp.retrans_stamp = stamp;
    }
    tp.undo_retrans = tp.undo_retrans.max(0) + pcount as i32;
    sent
}

/// Sends again what is marked lost, as far as the window admits
/// (Linux `tcp_xmit_retransmit_queue()`).
#[traced]
pub(crate) fn tcp_xmit_retransmit_queue(tp: &mut TcpSock, net: &mut Net) {
    if tp.packets_out == 0 {
        return;
    }
    let mss = tcp_current_mss(tp, net);
    let max_segs = tcp_tso_segs(tp, net, mss);
    let mut rearm = false;
    let mut at = 0;
    while at < tp.rtx_queue.len() && !tcp_pacing_check(tp, net) {
        let skb = &tp.rtx_queue[at];
        let (sacked, truesize) = (skb.sacked, skb.truesize);
        let room = tp.snd_cwnd.saturating_sub(tp.packets_in_flight());
        if room == 0 || tp.retrans_out >= tp.lost_out {
            break;
        }
        let wanted =
            sacked & TCPCB_LOST != 0 && sacked & (TCPCB_SACKED_ACKED | TCPCB_SACKED_RETRANS) == 0;
        if !wanted {
            at += 1;
            continue;
        }
        let mib = if tp.icsk.icsk_ca_state == CaState::Loss {
            TcpExt::TCPSlowStartRetrans
        } else {
            TcpExt::TCPFastRetrans
        };
        if tcp_small_queue_check(tp, net, truesize, 1)
            || tcp_retransmit_skb(tp, net, at, room.min(max_segs)).is_err()
        {
            break;
        }
        let pcount = tp.rtx_queue.get(at).map_or(0, |s| u32::from(s.gso_segs));
        net.mib.add(mib, pcount.into());
        if tcp_in_cwnd_reduction(tp) {
            tp.prr_out += pcount;
        }
        rearm |= at == 0 && tp.icsk.icsk_pending != IcskPending::ReoTimeout;
        at += 1;
    }
    if rearm {
        let (rto, max) = (tp.icsk.icsk_rto, tcp_rto_max(net));
        inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, rto, max);
    }
}
