//! Receive window and receive buffer: the peer's segment size, window growth, dynamic right-sizing,
//! quick ACKs, and the send buffer's growth (Linux `tcp_input.c`, 5.15; the switches of 6.18 and
//! 7.2 are in the profile).

use super::tcp_ecn_check_ce;
use crate::net::Net;
use crate::net::core::skbuff::Skb;
use crate::net::core::sock::{SOCK_MIN_RCVBUF, SOCK_RCVBUF_LOCK, SOCK_SNDBUF_LOCK};
use crate::net::core::stream::tcp_under_memory_pressure;
use crate::net::ipv4::inet_connection_sock::*;
use crate::net::ipv4::tcp_output::*;
use crate::net::ipv4::tcp_sock::*;

/// `TCP_RMEM_TO_WIN_SCALE`: the ratio is in 1/256.
const TCP_RMEM_TO_WIN_SCALE: u32 = 8;
/// A segment below this does not grow the window (`tcp_event_data_recv`).
const GROW_WINDOW_MIN_LEN: u32 = 128;

/// What a received segment weighs, kept while its buffer is merged into the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RcvCharge {
    /// Payload bytes of the buffer.
    pub(crate) len: u32,
    pub(crate) truesize: u32,
    pub(crate) gso_size: u16,
    /// Bytes of the TCP header.
    pub(crate) doff: u8,
    pub(crate) tcp_flags: u8,
    pub(crate) ip_dsfield: u8,
}

impl RcvCharge {
    /// Of a buffer whose header is pulled.
    pub(crate) fn of(skb: &Skb) -> Self {
        let cb = skb.tcp_cb();
        Self {
            len: skb.len() as u32,
            truesize: skb.truesize,
            gso_size: skb.gso_size,
            doff: cb.doff,
            tcp_flags: cb.tcp_flags,
            ip_dsfield: cb.ip_dsfield,
        }
    }
}

/// `tcp_set_window_clamp` of 6.18: a clamp that grows takes the threshold with it.
fn tcp_set_window_clamp(tp: &mut TcpSock, net: &Net, val: u32) {
    let old = tp.window_clamp;
    let val = val.max(SOCK_MIN_RCVBUF as u32 / 2);
    tp.window_clamp = val;
    if !net.profile.ssthresh_follows_ratio || val == old {
        return;
    }
    let new_rcv_ssthresh = tp.rcv_wnd.min(val);
    if val < old {
        tp.rcv_ssthresh = tp.rcv_ssthresh.min(val);
    } else {
        tp.rcv_ssthresh = new_rcv_ssthresh.max(tp.rcv_ssthresh);
    }
}

/// Learns the peer's segment size, which decides when an ACK is due (`tcp_measure_rcv_mss`).
fn tcp_measure_rcv_mss(tp: &mut TcpSock, net: &Net, skb: &RcvCharge) {
    let lss = u32::from(tp.icsk.icsk_ack.last_seg_size);
    tp.icsk.icsk_ack.last_seg_size = 0;
    let mut len = if skb.gso_size != 0 { u32::from(skb.gso_size) } else { skb.len };
    let rcv_mss = u32::from(tp.icsk.icsk_ack.rcv_mss);
    if len >= rcv_mss {
        if len != rcv_mss && net.profile.scaling_ratio {
            update_scaling_ratio(tp, net, skb);
        }
        tp.icsk.icsk_ack.rcv_mss = len.min(u32::from(tp.advmss)) as u16;
        if skb.tcp_flags & TCPHDR_PSH != 0 {
            tp.icsk.icsk_ack.pending |= ICSK_ACK_PUSHED;
        }
        return;
    }
    // With the header, so that SACK blocks do not make the size jitter.
    len += u32::from(skb.doff);
    let remnant = TCPHDR_FIN | TCPHDR_URG | TCPHDR_SYN | TCPHDR_PSH;
    if len >= u32::from(TCP_MSS_DEFAULT) + 20
        || (len >= u32::from(TCP_MIN_MSS) + 20 && skb.tcp_flags & remnant == 0)
    {
        len = len.saturating_sub(u32::from(tp.tcp_header_len));
        tp.icsk.icsk_ack.last_seg_size = len as u16;
        if len == lss {
            tp.icsk.icsk_ack.rcv_mss = len as u16;
            return;
        }
    }
    if tp.icsk.icsk_ack.pending & ICSK_ACK_PUSHED != 0 {
        tp.icsk.icsk_ack.pending |= ICSK_ACK_PUSHED2;
    }
    tp.icsk.icsk_ack.pending |= ICSK_ACK_PUSHED;
}

/// A new segment size brings a new share of payload in what is charged (6.6 and later).
fn update_scaling_ratio(tp: &mut TcpSock, net: &Net, skb: &RcvCharge) {
    let val = (u64::from(skb.len) << TCP_RMEM_TO_WIN_SCALE) / u64::from(skb.truesize.max(1));
    let ratio = val.clamp(1, 255) as u8;
    if ratio == tp.scaling_ratio {
        return;
    }
    tp.scaling_ratio = ratio;
    let clamp = tcp_win_from_space(tp, net, tp.sk.sk_rcvbuf).max(0) as u32;
    tcp_set_window_clamp(tp, net, clamp);
    tp.rcvq_space.space = tp.rcvq_space.space.min(tp.window_clamp);
}

fn tcp_incr_quickack(tp: &mut TcpSock, max_quickacks: u32) {
    let quickacks = match tp.rcv_wnd / (2 * u32::from(tp.icsk.icsk_ack.rcv_mss).max(1)) {
        0 => 2,
        n => n,
    };
    let quickacks = quickacks.min(max_quickacks) as u8;
    tp.icsk.icsk_ack.quick = tp.icsk.icsk_ack.quick.max(quickacks);
}

/// `tcp_enter_quickack_mode`.
pub(crate) fn tcp_enter_quickack_mode(tp: &mut TcpSock, net: &mut Net, max_quickacks: u32) {
    tcp_incr_quickack(tp, max_quickacks);
    inet_csk_exit_pingpong_mode(tp, net);
    tp.icsk.icsk_ack.ato = tcp_ato_min(net);
}

/// `tcp_in_quickack_mode`: the budget lasts, and the session is not interactive.
pub(crate) fn tcp_in_quickack_mode(tp: &TcpSock, net: &Net) -> bool {
    tp.sk.sk_dst.as_ref().is_some_and(|d| d.quickack)
        || (tp.icsk.icsk_ack.quick != 0 && !inet_csk_in_pingpong_mode(tp, net))
}

/// Grows the send buffer to what the congestion window needs (`tcp_sndbuf_expand`).
pub(crate) fn tcp_sndbuf_expand(tp: &mut TcpSock, net: &Net) {
    let per_mss = u32::from(tp.rx_opt.mss_clamp).max(tp.mss_cache)
        + net.profile.max_tcp_header
        + net.profile.sizeof_skb_shared_info;
    let per_mss = u64::from(per_mss.next_power_of_two() + net.profile.sizeof_sk_buff);
    let nr_segs = TCP_INIT_CWND.max(tp.snd_cwnd).max(tp.reordering + 1);
    let sndmem = 2 * u64::from(nr_segs) * per_mss;
    if (tp.sk.sk_sndbuf as u64) < sndmem {
        tp.sk.sk_sndbuf = sndmem.min(net.sysctl.tcp_wmem[2].max(0) as u64) as i32;
    }
}

/// How much a segment of this weight lets the window grow, if not by the simple rule: the charge
/// may be twice, four times... the payload as long as the window is that much below its maximum.
fn __tcp_grow_window(tp: &TcpSock, net: &Net, skb: &RcvCharge) -> u32 {
    let mut truesize = tcp_win_from_space(tp, net, skb.truesize as i32) >> 1;
    let mut window = tcp_win_from_space(tp, net, net.sysctl.tcp_rmem[2]) >> 1;
    while i64::from(tp.rcv_ssthresh) <= i64::from(window) {
        if i64::from(truesize) <= i64::from(skb.len) {
            return 2 * u32::from(tp.icsk.icsk_ack.rcv_mss);
        }
        truesize >>= 1;
        window >>= 1;
    }
    0
}

/// Lets the announced window grow with what was received (`tcp_grow_window`).
pub(crate) fn tcp_grow_window(tp: &mut TcpSock, net: &Net, skb: &RcvCharge) {
    let limit = i64::from(tp.window_clamp).min(i64::from(tcp_space(tp, net)));
    let room = limit - i64::from(tp.rcv_ssthresh);
    if room <= 0 {
        return;
    }
    if tcp_under_memory_pressure(net) {
        return tcp_adjust_rcv_ssthresh(tp);
    }
    let fits = i64::from(tcp_win_from_space(tp, net, skb.truesize as i32)) <= i64::from(skb.len);
    let incr = if fits { 2 * u32::from(tp.advmss) } else { __tcp_grow_window(tp, net, skb) };
    if incr == 0 {
        return;
    }
    let incr = i64::from(incr.max(skb.len.saturating_mul(2)));
    tp.rcv_ssthresh += room.min(incr) as u32;
    tp.icsk.icsk_ack.quick |= 1;
}

/// Sizes buffers and windows when the connection is established (`tcp_init_buffer_space`).
pub(crate) fn tcp_init_buffer_space(tp: &mut TcpSock, net: &mut Net) {
    if tp.sk.sk_userlocks & SOCK_SNDBUF_LOCK == 0 {
        tcp_sndbuf_expand(tp, net);
    }
    tcp_mstamp_refresh(tp, net);
    tp.rcvq_space.time = tp.tcp_mstamp;
    tp.rcvq_space.seq = tp.copied_seq;
    let maxwin = tcp_full_space(tp, net).max(0) as u32;
    let advmss = u32::from(tp.advmss);
    let app_win = net.sysctl.tcp_app_win as u32;
    if tp.window_clamp >= maxwin {
        tp.window_clamp = maxwin;
        if app_win != 0 && maxwin > 4 * advmss {
            tp.window_clamp = (maxwin - (maxwin >> app_win)).max(4 * advmss);
        }
    }
    // One segment stays reserved.
    if app_win != 0 && tp.window_clamp > 2 * advmss && tp.window_clamp + advmss > maxwin {
        tp.window_clamp = maxwin.saturating_sub(advmss).max(2 * advmss);
    }
    tp.rcv_ssthresh = tp.rcv_ssthresh.min(tp.window_clamp);
    tp.snd_cwnd_stamp = net.jiffies();
    tp.rcvq_space.space = tp.rcv_ssthresh.min(tp.rcv_wnd).min(TCP_INIT_CWND * advmss);
}

/// The socket reached its memory bound (`tcp_clamp_window`).
pub(crate) fn tcp_clamp_window(tp: &mut TcpSock, net: &Net) {
    tp.icsk.icsk_ack.quick = 0;
    let rmem2 = net.sysctl.tcp_rmem[2];
    if tp.sk.sk_rcvbuf < rmem2
        && tp.sk.sk_userlocks & SOCK_RCVBUF_LOCK == 0
        && !tcp_under_memory_pressure(net)
        && net.tcp_mem_allocated < net.sysctl.tcp_mem[0]
    {
        tp.sk.sk_rcvbuf = tp.sk.sk_rmem_alloc.min(rmem2);
    }
    if tp.sk.sk_rmem_alloc > tp.sk.sk_rcvbuf {
        tp.rcv_ssthresh = tp.window_clamp.min(2 * u32::from(tp.advmss));
    }
}

/// A first guess of the peer's segment size, rather too low (`tcp_initialize_rcv_mss`).
pub(crate) fn tcp_initialize_rcv_mss(tp: &mut TcpSock) {
    let hint = u32::from(tp.advmss)
        .min(tp.mss_cache)
        .min(tp.rcv_wnd / 2)
        .min(u32::from(TCP_MSS_DEFAULT))
        .max(u32::from(TCP_MIN_MSS));
    tp.icsk.icsk_ack.rcv_mss = hint as u16;
}

/// `tcp_rcv_rtt_update`; `win_dep`: the sample is the time of one window, an upper bound.
fn tcp_rcv_rtt_update(tp: &mut TcpSock, net: &Net, sample: u32, win_dep: bool) {
    let old = tp.rcvq_space.rtt_us;
    let m = u64::from(sample) << 3;
    if old == 0 || m < u64::from(old) {
        tp.rcvq_space.rtt_us = m.min(u64::from(u32::MAX)) as u32;
        return;
    }
    let queued = net.profile.rcv_rtt_wants_empty_queue && !tp.sk.sk_receive_queue.is_empty();
    if win_dep || queued {
        return;
    }
    tp.rcvq_space.rtt_us = (old - (old >> 3)).saturating_add(sample);
}

/// The receiver's RTT without timestamps: the time of one window (`tcp_rcv_rtt_measure`).
fn tcp_rcv_rtt_measure(tp: &mut TcpSock, net: &Net) {
    if tp.rcvq_space.rtt_time != 0 {
        if tp.rcv_nxt.before(tp.rcvq_space.rtt_seq) {
            return;
        }
        let delta = tp.tcp_mstamp.saturating_sub(tp.rcvq_space.rtt_time);
        tcp_rcv_rtt_update(tp, net, delta.clamp(1, u64::from(u32::MAX)) as u32, true);
    }
    tp.rcvq_space.rtt_seq = tp.rcv_nxt + tp.rcv_wnd;
    tp.rcvq_space.rtt_time = tp.tcp_mstamp;
}

/// The receiver's RTT from an echoed timestamp (`tcp_rcv_rtt_measure_ts`); `seq_len` is what the
/// segment takes of the sequence space.
pub(crate) fn tcp_rcv_rtt_measure_ts(tp: &mut TcpSock, net: &Net, seq_len: u32) {
    if tp.rx_opt.rcv_tsecr == tp.rcvq_space.rtt_last_tsecr {
        return;
    }
    tp.rcvq_space.rtt_last_tsecr = tp.rx_opt.rcv_tsecr;
    if seq_len < u32::from(tp.icsk.icsk_ack.rcv_mss) {
        return;
    }
    let delta = tcp_time_stamp(tp).wrapping_sub(tp.rx_opt.rcv_tsecr);
    if delta < i32::MAX as u32 / 1000 {
        tcp_rcv_rtt_update(tp, net, delta.max(1) * 1000, false);
    }
}

/// Dynamic right-sizing, called after each copy to the user (`tcp_rcv_space_adjust`).
pub(crate) fn tcp_rcv_space_adjust(tp: &mut TcpSock, net: &mut Net) {
    if net.profile.drs_cushion {
        tcp_mstamp_refresh(tp, net);
    }
    let rtt = u64::from(tp.rcvq_space.rtt_us >> 3);
    let time = tp.tcp_mstamp.saturating_sub(tp.rcvq_space.time);
    if time < rtt || tp.rcvq_space.rtt_us == 0 {
        return;
    }
    let mut copied = tp.copied_seq.since(tp.rcvq_space.seq);
    if !net.profile.drs_cushion {
        copied = copied.saturating_sub(tcp_inq(tp));
    }
    if copied <= tp.rcvq_space.space {
        // Nothing to grow for.
    } else if net.profile.drs_cushion {
        grow_by_segment_table(tp, net, copied);
        tp.rcvq_space.space = copied;
    } else {
        tcp_rcvbuf_grow(tp, net, copied);
    }
    tp.rcvq_space.seq = tp.copied_seq;
    tp.rcvq_space.time = tp.tcp_mstamp;
}

/// Bytes received and not read yet; a FIN counts as one (`tcp_inq` as DRS uses it).
fn tcp_inq(tp: &TcpSock) -> u32 {
    tp.rcv_nxt.since(tp.copied_seq)
}

fn may_moderate(tp: &TcpSock, net: &Net) -> bool {
    net.sysctl.tcp_moderate_rcvbuf != 0 && tp.sk.sk_userlocks & SOCK_RCVBUF_LOCK == 0
}

/// Growth of 5.15 and 6.1: twice what was copied in a round trip with a cushion, and more when the
/// sender speeds up, charged per segment.
fn grow_by_segment_table(tp: &mut TcpSock, net: &Net, copied: u32) {
    if !may_moderate(tp, net) {
        return;
    }
    let advmss = u32::from(tp.advmss);
    let mut rcvwin = (u64::from(copied) << 1) + 16 * u64::from(advmss);
    let grow =
        rcvwin * u64::from(copied - tp.rcvq_space.space) / u64::from(tp.rcvq_space.space.max(1));
    rcvwin += grow << 1;
    let mut rcvmem = net.profile.skb_truesize(advmss + net.profile.max_tcp_header) as i32;
    while tcp_win_from_space(tp, net, rcvmem) < i32::from(tp.advmss) {
        rcvmem += 128;
    }
    let segments = rcvwin / u64::from(advmss.max(1));
    let rcvbuf = (segments * rcvmem as u64).min(net.sysctl.tcp_rmem[2].max(0) as u64) as i32;
    if rcvbuf > tp.sk.sk_rcvbuf {
        tp.sk.sk_rcvbuf = rcvbuf;
        tp.window_clamp = tcp_win_from_space(tp, net, rcvbuf).max(0) as u32;
    }
}

/// Growth of 6.18 and later (`tcp_rcvbuf_grow`): the window is turned into buffer by the ratio.
fn tcp_rcvbuf_grow(tp: &mut TcpSock, net: &Net, newval: u32) {
    let oldval = tp.rcvq_space.space;
    tp.rcvq_space.space = newval;
    if !may_moderate(tp, net) {
        return;
    }
    let mut rcvwin = u64::from(newval) << 1;
    let extra = u64::from(newval.saturating_sub(oldval));
    let oldval = u64::from(oldval.max(1));
    // The quotient is floored before it is doubled, except in 7.2.
    rcvwin += if net.profile.drs_doubles_first {
        ((rcvwin * extra) << 1) / oldval
    } else {
        (rcvwin * extra / oldval) << 1
    };
    if let Some(last) = tp.out_of_order_queue.back() {
        rcvwin += u64::from(last.tcp_cb().end_seq.since(tp.rcv_nxt));
    }
    let win = rcvwin.min(i32::MAX as u64) as i32;
    let rcvbuf = tcp_space_from_win(tp, net, win).min(net.sysctl.tcp_rmem[2]);
    if rcvbuf > tp.sk.sk_rcvbuf {
        tp.sk.sk_rcvbuf = rcvbuf;
        tp.window_clamp = tcp_win_from_space(tp, net, rcvbuf).max(0) as u32;
    }
}

/// Data arrived: delayed-ACK prediction, quick ACKs, window growth (`tcp_event_data_recv`).
pub(crate) fn tcp_event_data_recv(tp: &mut TcpSock, net: &mut Net, skb: &RcvCharge) {
    inet_csk_schedule_ack(tp, net);
    tcp_measure_rcv_mss(tp, net, skb);
    tcp_rcv_rtt_measure(tp, net);
    let now = net.jiffies();
    let ato = tp.icsk.icsk_ack.ato;
    if ato == 0 {
        // The first data: quick ACKs help the sender's slow start.
        tcp_incr_quickack(tp, TCP_MAX_QUICKACKS);
        tp.icsk.icsk_ack.ato = tcp_ato_min(net);
    } else {
        let gap = now.saturating_sub(tp.icsk.icsk_ack.lrcvtime);
        let half = u64::from(tcp_ato_min(net) / 2);
        if gap <= half {
            tp.icsk.icsk_ack.ato = (ato >> 1) + half as u32;
        } else if gap < u64::from(ato) {
            let next = u64::from(ato >> 1) + gap;
            tp.icsk.icsk_ack.ato = next.min(tp.icsk.icsk_rto) as u32;
        } else if gap > tp.icsk.icsk_rto {
            // The sender paused longer than its time-out: it starts slowly again.
            tcp_incr_quickack(tp, TCP_MAX_QUICKACKS);
        }
    }
    tp.icsk.icsk_ack.lrcvtime = now;
    tcp_ecn_check_ce(tp, net, skb.ip_dsfield);
    if skb.len >= GROW_WINDOW_MIN_LEN {
        tcp_grow_window(tp, net, skb);
    }
}
