//! How large a burst may be, when to wait for more, and cutting super-packets
//! (Linux `tcp_output.c`).

use super::*;
use crate::net::core::skbuff::MAX_SKB_FRAGS;
use crate::net::core::stream::sk_mem_charge;
use crate::net::ipv4::tcp_rate::tcp_min_rtt;

/// Segments of one burst at the pacing rate: about a millisecond's worth, more on short paths
/// (Linux `tcp_tso_autosize()`).
fn tcp_tso_autosize(tp: &TcpSock, net: &Net, mss_now: u32, min_tso_segs: u32) -> u32 {
    let most = u64::from(sk_gso_payload(tp, net));
    let mut bytes = tp.sk.sk_pacing_rate >> tp.sk.sk_pacing_shift;
    let rtt_log = net.sysctl.tcp_tso_rtt_log;
    if rtt_log > 0 {
        let r = u64::from(tcp_min_rtt(tp)) >> rtt_log.min(63);
        if r < 32 {
            bytes = bytes.saturating_add(most >> r);
        }
    }
    let segs = bytes.min(most) / u64::from(mss_now.max(1));
    (segs as u32).max(min_tso_segs)
}

/// Payload of the largest super-packet: the device's limit less headers.
pub(crate) fn sk_gso_payload(tp: &TcpSock, net: &Net) -> u32 {
    tp.sk.sk_gso_max_size.saturating_sub(1 + net.profile.max_tcp_header)
}

/// Segments of one super-packet to send now (Linux `tcp_tso_segs()`).
pub(crate) fn tcp_tso_segs(tp: &TcpSock, net: &Net, mss_now: u32) -> u32 {
    let min_tso = net.sysctl.tcp_min_tso_segs.clamp(1, 255) as u32;
    tcp_tso_autosize(tp, net, mss_now, min_tso).min(tp.sk.sk_gso_max_segs.into())
}

/// Sets how many segments a super-packet is (Linux `tcp_set_skb_tso_segs()`).
pub(crate) fn tcp_set_skb_tso_segs(skb: &mut TcpSkb, mss_now: u32) {
    if skb.len <= mss_now {
        skb.gso_segs = 1;
        skb.gso_size = 0;
    } else {
        skb.gso_segs = skb.len.div_ceil(mss_now.max(1)).min(u16::MAX.into()) as u16;
        skb.gso_size = mss_now as u16;
    }
}

/// The same unless it is set already for this size (Linux `tcp_init_tso_segs()`); the count.
pub(crate) fn tcp_init_tso_segs(skb: &mut TcpSkb, mss_now: u32) -> u32 {
    let set = skb.gso_segs == 1 || (skb.gso_segs > 1 && u32::from(skb.gso_size) == mss_now);
    if !set {
        tcp_set_skb_tso_segs(skb, mss_now);
    }
    skb.gso_segs.into()
}

/// `tcp_minshall_check`: a small segment is outstanding.
fn tcp_minshall_check(tp: &TcpSock) -> bool {
    tp.snd_sml.after(tp.snd_una) && !tp.snd_sml.after(tp.snd_nxt)
}

/// Remembers the last small segment (Linux `tcp_minshall_update()`).
pub(crate) fn tcp_minshall_update(tp: &mut TcpSock, mss_now: u32, skb: &TcpSkb) {
    if skb.len < u32::from(skb.gso_segs) * mss_now {
        tp.snd_sml = skb.end_seq;
    }
}

/// Whether Nagle, in Minshall's form, or a cork holds a partial segment back
/// (Linux `tcp_nagle_check()`).
pub(super) fn tcp_nagle_check(partial: bool, tp: &TcpSock, nonagle: u8) -> bool {
    partial
        && (nonagle & TCP_NAGLE_CORK != 0
            || (nonagle == 0 && tp.packets_out != 0 && tcp_minshall_check(tp)))
}

/// Whether Nagle lets a single segment go (Linux `tcp_nagle_test()`).
pub(super) fn tcp_nagle_test(tp: &TcpSock, skb: &TcpSkb, cur_mss: u32, nonagle: u8) -> bool {
    nonagle & TCP_NAGLE_PUSH != 0
        || tcp_urg_mode(tp)
        || skb.tcp_flags & TCPHDR_FIN != 0
        || !tcp_nagle_check(skb.len < cur_mss, tp, nonagle)
}

/// Segments that the congestion window admits now (Linux `tcp_cwnd_test()`): at most half of it
/// in one burst, and before 6.12 always a lone FIN.
pub(super) fn tcp_cwnd_test(tp: &TcpSock, net: &Net, skb: &TcpSkb) -> u32 {
    if net.profile.fin_ignores_cwnd && skb.tcp_flags & TCPHDR_FIN != 0 && skb.gso_segs == 1 {
        return 1;
    }
    let in_flight = tp.packets_in_flight();
    let cwnd = tp.snd_cwnd;
    if in_flight >= cwnd {
        return 0;
    }
    (cwnd >> 1).max(1).min(cwnd - in_flight)
}

/// Whether the first segment lies within the peer's window (Linux `tcp_snd_wnd_test()`).
pub(super) fn tcp_snd_wnd_test(tp: &TcpSock, skb: &TcpSkb, cur_mss: u32) -> bool {
    let end = if skb.len > cur_mss { skb.seq + cur_mss } else { skb.end_seq };
    !end.after(tp.wnd_end())
}

/// Where to cut a super-packet: bounded by burst and window, and no partial segment that Nagle
/// would hold (Linux `tcp_mss_split_point()`).
pub(super) fn tcp_mss_split_point(
    tp: &TcpSock,
    skb: &TcpSkb,
    is_tail: bool,
    mss_now: u32,
    max_segs: u32,
    nonagle: u8,
) -> u32 {
    let window = tp.wnd_end().since(skb.seq);
    let max_len = mss_now.saturating_mul(max_segs);
    if max_len <= window && !is_tail {
        return max_len;
    }
    let needed = skb.len.min(window);
    if max_len <= needed {
        return max_len;
    }
    let partial = needed % mss_now;
    if tcp_nagle_check(partial != 0, tp, nonagle) { needed - partial } else { needed }
}

/// What holds a deferred super-packet back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deferred {
    /// It is sent now.
    No,
    /// It waits, but neither window is to blame.
    Yes,
    Cwnd,
    Rwnd,
}

/// Whether to wait for the next ACK so as to send a larger burst
/// (Linux `tcp_tso_should_defer()`).
pub(super) fn tcp_tso_should_defer(
    tp: &TcpSock,
    net: &Net,
    skb: &TcpSkb,
    is_tail: bool,
    max_segs: u32,
) -> Deferred {
    if tp.icsk.icsk_ca_state >= CaState::Recovery {
        return Deferred::No;
    }
    // The last burst is more than a millisecond ago. Exactly one counts too: a cause takes time
    // on a real host, so what virtual time makes equal was a little more there.
    if tp.tcp_clock_cache >= tp.tcp_wstamp_ns.saturating_add(NSEC_PER_MSEC) {
        return Deferred::No;
    }
    let mss = u64::from(tp.mss_cache);
    let send_win = u64::from(tp.wnd_end().since(skb.seq));
    let cong_win = u64::from(tp.snd_cwnd.saturating_sub(tp.packets_in_flight())) * mss;
    let limit = send_win.min(cong_win);
    if limit >= u64::from(max_segs) * mss || (!is_tail && limit >= u64::from(skb.len)) {
        return Deferred::No;
    }
    match net.sysctl.tcp_tso_win_divisor {
        0 if limit > 3 * mss => return Deferred::No,
        0 => {}
        divisor => {
            let chunk = u64::from(tp.snd_wnd).min(u64::from(tp.snd_cwnd) * mss);
            if limit >= chunk / divisor as u64 {
                return Deferred::No;
            }
        }
    }
    if next_ack_is_late(tp, net) {
        return Deferred::No;
    }
    let len = u64::from(skb.len);
    if cong_win < send_win {
        if cong_win <= len {
            return Deferred::Cwnd;
        }
    } else if send_win <= len {
        return Deferred::Rwnd;
    }
    if skb.tcp_flags & TCPHDR_FIN != 0 || skb.eor { Deferred::No } else { Deferred::Yes }
}

/// Whether the next ACK, due an RTT after the oldest outstanding segment, is too far off.
fn next_ack_is_late(tp: &TcpSock, net: &Net) -> bool {
    let Some(head) = tp.rtx_queue.front() else { return true };
    if net.profile.tso_defer_how_far {
        let srtt_ns = u64::from(tp.srtt_us) * 125;
        let due = head.skb_mstamp_ns.saturating_add(srtt_ns);
        let how_far = due.saturating_sub(tp.tcp_clock_cache);
        return how_far > (srtt_ns >> 1).min(NSEC_PER_MSEC);
    }
    let age = tp.tcp_clock_cache.saturating_sub(head.skb_mstamp_ns);
    age < 1000 * u64::from(tp.srtt_us >> 4)
}

/// Which queue a segment is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TcpQueue {
    /// `TCP_FRAG_IN_WRITE_QUEUE`.
    Write,
    /// `TCP_FRAG_IN_RTX_QUEUE`.
    Rtx,
}

/// Splits a segment of a queue behind its first `len` bytes and counts the segments of both
/// halves anew (Linux `tcp_fragment()`).
///
/// # Errors
/// ENOMEM: the peer makes us split until the queue is too big (CVE-2019-11478).
pub(crate) fn tcp_fragment(
    tp: &mut TcpSock,
    net: &mut Net,
    queue: TcpQueue,
    at: usize,
    len: u32,
    mss_now: u32,
) -> Result<(), Errno> {
    let limit = i64::from(tp.sk.sk_sndbuf) + 2 * i64::from(net.profile.skb_truesize(65536));
    let ends = at == 0 || at + 1 == tp.rtx_queue.len();
    if i64::from(tp.sk.sk_wmem_queued >> 1) > limit && queue == TcpQueue::Rtx && !ends {
        net.mib.inc(TcpExt::TCPWqueueTooBig);
        return Err(Errno::ENOMEM);
    }
    let (sent_before, pcounts, sacked) = {
        let head_cost = net.profile.tcp_skb_head;
        let q = if queue == TcpQueue::Rtx { &mut tp.rtx_queue } else { &mut tp.write_queue };
        let Some(skb) = q.get_mut(at) else { return Err(Errno::ENOMEM) };
        let old = u32::from(skb.gso_segs);
        let mut buff = split_skb(skb, len, head_cost);
        tcp_set_skb_tso_segs(skb, mss_now);
        tcp_set_skb_tso_segs(&mut buff, mss_now);
        let new = u32::from(skb.gso_segs) + u32::from(buff.gso_segs);
        let (end, sacked) = (buff.end_seq, buff.sacked);
        net.skbs.ubufs.net_zcopy_get(buff.uarg);
        q.insert(at + 1, buff);
        (!tp.snd_nxt.before(end), (old, new), sacked)
    };
    tp.sk.sk_wmem_queued += net.profile.tcp_skb_head as i32;
    sk_mem_charge(&mut tp.sk, net.profile.tcp_skb_head);
    if sent_before && pcounts.0 != pcounts.1 {
        tcp_adjust_pcount(tp, sacked, pcounts.0 as i32 - pcounts.1 as i32);
    }
    Ok(())
}

/// Takes everything behind the first `len` bytes into a new buffer; FIN, PSH and the end of a
/// record go with it.
fn split_skb(skb: &mut TcpSkb, len: u32, head_cost: u32) -> TcpSkb {
    let len = len.min(skb.len);
    let rest = skb.len - len;
    let mut buff = TcpSkb {
        seq: skb.seq + len,
        end_seq: skb.end_seq,
        tcp_flags: skb.tcp_flags,
        sacked: skb.sacked,
        eor: skb.eor,
        frags: frags::split_off(&mut skb.frags, len),
        len: rest,
        truesize: head_cost + rest,
        gso_segs: 0,
        gso_size: 0,
        skb_mstamp_ns: skb.skb_mstamp_ns,
        tx: skb.tx,
        // A fresh buffer: whatever is on its way was cloned from the first part.
        fclone_end: None,
        uarg: skb.uarg,
        tx_tstamp: TxTstamp::default(),
        txstamp_ack: false,
        tsorted: skb.tsorted,
    };
    // The stamp stays with the byte that it is for (tcp_fragment_tstamp).
    if skb.has_tx_tstamp() && !SeqNum(skb.tx_tstamp.key).before(buff.seq) {
        buff.tx_tstamp = std::mem::take(&mut skb.tx_tstamp);
        buff.txstamp_ack = std::mem::take(&mut skb.txstamp_ack);
    }
    skb.end_seq = buff.seq;
    skb.tcp_flags &= !(TCPHDR_FIN | TCPHDR_PSH);
    skb.eor = false;
    skb.len = len;
    skb.truesize -= rest.min(skb.truesize);
    buff
}

/// Makes the first unsent super-packet up to `want` bytes long with what follows it, unless it
/// ends a record (Linux `tcp_grow_skb()`, 6.10).
pub(super) fn tcp_grow_skb(tp: &mut TcpSock, net: &mut Net, want: u32) {
    let mut queue = tp.write_queue.iter();
    let (Some(skb), Some(next)) = (queue.next(), queue.next()) else { return };
    let moved = want.saturating_sub(skb.len).min(next.len);
    // skb_shift(): bytes of MSG_ZEROCOPY stay with the reference to their buffer.
    let zerocopy = skb.uarg.is_some() || next.uarg.is_some();
    if moved == 0 || zerocopy || skb.eor || skb.frags.len() + next.frags.len() > MAX_SKB_FRAGS {
        return;
    }
    let Some(next) = tp.write_queue.get_mut(1) else { return };
    let rest = frags::split_off(&mut next.frags, moved);
    let bytes = std::mem::replace(&mut next.frags, rest);
    next.len -= moved;
    next.seq += moved;
    next.truesize = next.truesize.saturating_sub(moved);
    let emptied = next.len == 0;
    let (end_seq, flags, eor) = (next.end_seq, next.tcp_flags, next.eor);
    let Some(skb) = tp.write_queue.front_mut() else { return };
    for f in &bytes {
        frags::append(&mut skb.frags, &f.buf, f.off, f.len);
    }
    skb.len += moved;
    skb.end_seq += moved;
    skb.truesize += moved;
    if emptied {
        // A FIN takes a number of its own.
        skb.end_seq = end_seq;
        skb.eor = eor;
        skb.tcp_flags |= flags;
        if let Some(empty) = tp.write_queue.remove(1) {
            tcp_wmem_free_skb(tp, net, empty);
        }
    }
}

/// Cuts an unsent super-packet; nothing of it is counted yet (Linux `tso_fragment()`).
pub(super) fn tso_fragment(tp: &mut TcpSock, net: &mut Net, at: usize, len: u32, mss_now: u32) {
    let head_cost = net.profile.tcp_skb_head;
    let Some(skb) = tp.write_queue.get_mut(at) else { return };
    let mut buff = split_skb(skb, len, head_cost);
    net.skbs.ubufs.net_zcopy_get(buff.uarg);
    buff.sacked = 0;
    tcp_set_skb_tso_segs(skb, mss_now);
    tcp_set_skb_tso_segs(&mut buff, mss_now);
    tp.write_queue.insert(at + 1, buff);
    tp.sk.sk_wmem_queued += head_cost as i32;
    sk_mem_charge(&mut tp.sk, head_cost);
}

/// The number of segments of something sent became smaller by `decr` (or larger): every count
/// that contains it follows (Linux `tcp_adjust_pcount()`).
pub(crate) fn tcp_adjust_pcount(tp: &mut TcpSock, sacked: u8, decr: i32) {
    let adjust = |count: &mut u32| *count = count.saturating_add_signed(-decr);
    adjust(&mut tp.packets_out);
    if sacked & TCPCB_SACKED_ACKED != 0 {
        adjust(&mut tp.sacked_out);
    }
    if sacked & TCPCB_SACKED_RETRANS != 0 {
        adjust(&mut tp.retrans_out);
    }
    if sacked & TCPCB_LOST != 0 {
        adjust(&mut tp.lost_out);
    }
    if tp.is_reno() && decr > 0 {
        tp.sacked_out = tp.sacked_out.saturating_sub(decr as u32);
    }
}

/// Drops the first `len` bytes of a segment, which were acknowledged (Linux `tcp_trim_head()`).
pub(crate) fn tcp_trim_head(tp: &mut TcpSock, net: &mut Net, at: usize, len: u32) {
    let Some(skb) = tp.rtx_queue.get_mut(at) else { return };
    let len = len.min(skb.len);
    frags::trim_head(&mut skb.frags, len);
    skb.len -= len;
    skb.seq += len;
    let freed = len.min(skb.truesize);
    skb.truesize -= freed;
    if skb.gso_segs > 1 {
        let mss = skb.gso_size.into();
        tcp_set_skb_tso_segs(skb, mss);
    }
    tp.sk.sk_wmem_queued -= freed as i32;
    sk_mem_uncharge(&mut tp.sk, net, freed);
}
