//! TCP input (Linux `tcp_input.c`, 5.15): what a segment does to a synchronized connection.
//!
//! | room | what |
//! | --- | --- |
//! | this one | fast and slow path, acceptance test, reset |
//! | [`options`] | option parser |
//! | [`ack`], [`clean_rtx`], [`sack`] | acknowledgements: window update, freeing, SACK |
//! | [`recovery`], [`rtt`] | loss recovery with undo, RTT and RTO |
//! | [`data`], [`ofo`], [`window`] | received data in and out of order, receive window, autotuning |
//! | [`state`], [`conn_request`], [`fastopen`] | other states, passive opening, Fast Open |

pub(crate) mod ack;
pub(crate) mod clean_rtx;
pub(crate) mod conn_request;
pub(crate) mod data;
pub(crate) mod fastopen;
pub(crate) mod ofo;
pub(crate) mod options;
pub(crate) mod recovery;
pub(crate) mod rtt;
pub(crate) mod sack;
pub(crate) mod state;
pub(crate) mod window;

#[cfg(test)]
mod tests;

pub(crate) use ack::*;
pub(crate) use clean_rtx::*;
pub(crate) use conn_request::*;
pub(crate) use data::*;
pub(crate) use fastopen::*;
pub(crate) use ofo::*;
pub(crate) use options::*;
pub(crate) use recovery::*;
pub(crate) use rtt::*;
pub(crate) use sack::*;
pub(crate) use state::*;
pub(crate) use window::*;

use crate::errno::Errno;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::core::skbuff::{DropReason, Skb, consume_skb, kfree_skb};
use crate::net::core::sock::TcpState;
use crate::net::ipv4::mib::{Tcp, TcpExt};
use crate::net::ipv4::tcp::{tcp_done, tcp_write_queue_purge};
use crate::net::ipv4::tcp_fastopen::tcp_fastopen_active_disable;
use crate::net::ipv4::tcp_output::{tcp_mstamp_refresh, tcp_send_ack};
use crate::net::ipv4::tcp_sock::*;
use crate::time::Jiffies;

/// Incoming ACK advanced the window (`FLAG_*`).
pub(crate) const FLAG_DATA: u32 = 0x01;
/// Window update.
pub(crate) const FLAG_WIN_UPDATE: u32 = 0x02;
/// New data was acknowledged.
pub(crate) const FLAG_DATA_ACKED: u32 = 0x04;
/// Some of it had been retransmitted.
pub(crate) const FLAG_RETRANS_DATA_ACKED: u32 = 0x08;
/// A SYN was acknowledged.
pub(crate) const FLAG_SYN_ACKED: u32 = 0x10;
/// New SACK information.
pub(crate) const FLAG_DATA_SACKED: u32 = 0x20;
/// ECE was set.
pub(crate) const FLAG_ECE: u32 = 0x40;
/// A lost retransmission was found.
pub(crate) const FLAG_LOST_RETRANS: u32 = 0x80;
/// Not the predicted path.
pub(crate) const FLAG_SLOWPATH: u32 = 0x100;
/// Original data was SACKed or acknowledged, not a retransmission.
pub(crate) const FLAG_ORIG_SACK_ACKED: u32 = 0x200;
/// SND.UNA moved.
pub(crate) const FLAG_SND_UNA_ADVANCED: u32 = 0x400;
/// The SACK blocks contained a DSACK.
pub(crate) const FLAG_DSACKING_ACK: u32 = 0x800;
/// The RTO or loss-probe timer is to be set.
pub(crate) const FLAG_SET_XMIT_TIMER: u32 = 0x1000;
/// The peer took back what it had SACKed.
pub(crate) const FLAG_SACK_RENEGING: u32 = 0x2000;
/// `ts_recent` may be updated.
pub(crate) const FLAG_UPDATE_TS_RECENT: u32 = 0x4000;
/// Do not answer an unacceptable ACK with a challenge.
pub(crate) const FLAG_NO_CHALLENGE_ACK: u32 = 0x8000;
/// The ACK was probably delayed.
pub(crate) const FLAG_ACK_MAYBE_DELAYED: u32 = 0x1_0000;
/// A DSACK says that a loss probe was superfluous.
pub(crate) const FLAG_DSACK_TLP: u32 = 0x2_0000;

pub(crate) const FLAG_ACKED: u32 = FLAG_DATA_ACKED | FLAG_SYN_ACKED;
pub(crate) const FLAG_NOT_DUP: u32 = FLAG_DATA | FLAG_WIN_UPDATE | FLAG_ACKED;
pub(crate) const FLAG_CA_ALERT: u32 = FLAG_DATA_SACKED | FLAG_ECE | FLAG_DSACKING_ACK;
pub(crate) const FLAG_FORWARD_PROGRESS: u32 = FLAG_ACKED | FLAG_DATA_SACKED;

/// `TCP_PAWS_WINDOW`: how far back a timestamp may lie (milliseconds).
pub(crate) const TCP_PAWS_WINDOW: i32 = 1;
/// `TCP_PAWS_24DAYS`, seconds: a `ts_recent` older than this proves nothing.
const TCP_PAWS_24DAYS: u64 = 60 * 60 * 24 * 24;
/// `TCP_PAWS_MSL`, seconds: how long per-host timestamps are trusted.
pub(crate) const TCP_PAWS_MSL: u64 = 60;

/// A TCP header without its options, host order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TcpHdr {
    pub(crate) source: u16,
    pub(crate) dest: u16,
    pub(crate) seq: SeqNum,
    pub(crate) ack_seq: SeqNum,
    /// Header length with options, bytes.
    pub(crate) doff: u8,
    /// `TCPHDR_*`.
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urg_ptr: u16,
    /// The header's fourth word (`tcp_flag_word`).
    pub(crate) flag_word: u32,
}

impl TcpHdr {
    /// Reads the fixed part; `None` if there are fewer than twenty bytes.
    pub(crate) fn parse(b: &[u8]) -> Option<Self> {
        let b: &[u8; 20] = b.get(..20)?.try_into().ok()?;
        let be16 = |i: usize| u16::from_be_bytes([b[i], b[i + 1]]);
        let be32 = |i: usize| u32::from_be_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        Some(Self {
            source: be16(0),
            dest: be16(2),
            seq: SeqNum(be32(4)),
            ack_seq: SeqNum(be32(8)),
            doff: (b[12] >> 4) * 4,
            flags: b[13],
            window: be16(14),
            urg_ptr: be16(18),
            flag_word: be32(12),
        })
    }

    pub(crate) fn syn(&self) -> bool {
        self.flags & TCPHDR_SYN != 0
    }

    pub(crate) fn ack(&self) -> bool {
        self.flags & TCPHDR_ACK != 0
    }

    pub(crate) fn rst(&self) -> bool {
        self.flags & TCPHDR_RST != 0
    }

    pub(crate) fn fin(&self) -> bool {
        self.flags & TCPHDR_FIN != 0
    }
}

/// `tcp_hdr(skb)`: the header at the transport mark. Input has pulled it before.
pub(crate) fn tcp_hdr(skb: &Skb) -> TcpHdr {
    TcpHdr::parse(skb.head_at(skb.transport_header)).unwrap_or_default()
}

/// The bytes of the options of a received segment.
pub(crate) fn tcp_options(skb: &Skb) -> &[u8] {
    let end = usize::from(skb.tcp_cb().doff);
    skb.head_at(skb.transport_header).get(20..end).unwrap_or_default()
}

/// What handlers want to know of a segment while its buffer goes its own way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seg {
    pub(crate) th: TcpHdr,
    pub(crate) seq: SeqNum,
    pub(crate) end_seq: SeqNum,
    pub(crate) ack_seq: SeqNum,
    /// Payload bytes.
    pub(crate) len: u32,
    pub(crate) gso_segs: u16,
    pub(crate) sack: SackBlocks,
}

impl Seg {
    /// Before the header is pulled.
    pub(crate) fn new(skb: &Skb) -> Self {
        let cb = skb.tcp_cb();
        Self {
            th: tcp_hdr(skb),
            seq: cb.seq,
            end_seq: cb.end_seq,
            ack_seq: cb.ack_seq,
            len: skb.len().saturating_sub(usize::from(cb.doff)) as u32,
            gso_segs: skb.gso_segs,
            sack: SackBlocks::default(),
        }
    }
}

/// What the caller of a state's handler has still to do with the segment.
#[derive(Debug)]
#[must_use]
pub(crate) enum Verdict {
    /// Nothing.
    Done,
    /// Answer it with a reset and free it.
    Reset(Skb),
}

/// `__tcp_fast_path_on`: predicts the header of the next segment.
pub(crate) fn __tcp_fast_path_on(tp: &mut TcpSock, snd_wnd: u32) {
    let ack = u32::from(TCPHDR_ACK) << 16;
    tp.pred_flags = (u32::from(tp.tcp_header_len) << 26) | ack | (snd_wnd & 0xffff);
}

/// `tcp_fast_path_on`.
pub(crate) fn tcp_fast_path_on(tp: &mut TcpSock) {
    let wnd = tp.snd_wnd >> tp.rx_opt.snd_wscale;
    __tcp_fast_path_on(tp, wnd);
}

/// `tcp_fast_path_check`: prediction comes back when nothing is unusual.
pub(crate) fn tcp_fast_path_check(tp: &mut TcpSock) {
    if tp.out_of_order_queue.is_empty()
        && tp.rcv_wnd != 0
        && tp.sk.sk_rmem_alloc < tp.sk.sk_rcvbuf
        && tp.urg_data == 0
    {
        tcp_fast_path_on(tp);
    }
}

/// Reserved bits and PSH do not count for prediction (`TCP_HP_BITS`).
const TCP_HP_BITS: u32 = !(0x0f00_0000 | (TCPHDR_PSH as u32) << 16);

/// A segment for an established connection (`tcp_rcv_established`).
#[reference_stack_macros::traced]
pub(crate) fn tcp_rcv_established(tp: &mut TcpSock, net: &mut Net, skb: Skb) {
    let seg = Seg::new(&skb);
    tcp_mstamp_refresh(tp, net);
    tp.rx_opt.saw_tstamp = false;
    let predicted = seg.th.flag_word & TCP_HP_BITS == tp.pred_flags
        && seg.seq == tp.rcv_nxt
        && !seg.ack_seq.after(tp.snd_nxt)
        && fast_path_timestamp(tp, &skb)
        // Memory that has to be asked for is asked for on the slow path.
        && (seg.len == 0 || skb.truesize as i32 <= tp.sk.sk_forward_alloc);
    if !predicted {
        return tcp_rcv_slow_path(tp, net, skb, seg);
    }
    if usize::from(tp.tcp_header_len) == 20 + TCPOLEN_TSTAMP_ALIGNED && tp.rcv_nxt == tp.rcv_wup {
        tcp_store_ts_recent(tp, net);
    }
    if seg.len == 0 {
        let _ = tcp_ack(tp, net, &seg, 0);
        consume_skb(net, skb);
        tcp_data_snd_check(tp, net);
        tp.rcvq_space.rtt_last_tsecr = tp.rx_opt.rcv_tsecr;
        return;
    }
    net.mib.inc(TcpExt::TCPHPHits);
    tcp_rcv_rtt_measure_ts(tp, net, seg.len);
    let mut skb = skb;
    skb.pull(usize::from(seg.th.doff));
    let charge = RcvCharge::of(&skb);
    tcp_queue_rcv(tp, net, skb);
    tcp_event_data_recv(tp, net, &charge);
    let mut may_ack = true;
    if seg.ack_seq != tp.snd_una {
        let _ = tcp_ack(tp, net, &seg, FLAG_DATA);
        tcp_data_snd_check(tp, net);
        may_ack = tp.icsk.icsk_ack.pending & ICSK_ACK_SCHED != 0;
    } else {
        tp.snd_wl1 = seg.seq;
    }
    if may_ack {
        __tcp_ack_snd_check(tp, net, false);
    }
    tcp_data_ready(tp, net);
}

/// The fast path's own look at the timestamp: there, alone, and not older than the last.
fn fast_path_timestamp(tp: &mut TcpSock, skb: &Skb) -> bool {
    if usize::from(tp.tcp_header_len) != 20 + TCPOLEN_TSTAMP_ALIGNED {
        return true;
    }
    tcp_parse_aligned_timestamp(tp, tcp_options(skb))
        && tp.rx_opt.rcv_tsval.wrapping_sub(tp.rx_opt.ts_recent) as i32 >= 0
}

fn tcp_rcv_slow_path(tp: &mut TcpSock, net: &mut Net, skb: Skb, mut seg: Seg) {
    if seg.th.flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN) == 0 {
        return kfree_skb(net, skb, DropReason::TcpFlags);
    }
    let Some(skb) = tcp_validate_incoming(tp, net, skb, &mut seg, true) else { return };
    if let Err(reason) = tcp_ack(tp, net, &seg, FLAG_SLOWPATH | FLAG_UPDATE_TS_RECENT) {
        return kfree_skb(net, skb, reason);
    }
    tcp_rcv_rtt_measure_ts(tp, net, seg.len);
    tcp_urg(tp, net, &skb, &seg);
    tcp_data_queue(tp, net, skb);
    tcp_data_snd_check(tp, net);
    tcp_ack_snd_check(tp, net);
}

/// Wall-less seconds since boot (`ktime_get_seconds`).
pub(crate) fn ktime_get_seconds(net: &Net) -> u64 {
    net.time.ktime_ns() / crate::time::NSEC_PER_SEC
}

/// `tcp_store_ts_recent`.
pub(crate) fn tcp_store_ts_recent(tp: &mut TcpSock, net: &Net) {
    tp.rx_opt.ts_recent = tp.rx_opt.rcv_tsval;
    tp.rx_opt.ts_recent_stamp = ktime_get_seconds(net);
}

/// `tcp_replace_ts_recent`: only a segment at or before the last acknowledgement counts
/// (RFC 7323 4.3), and none that PAWS would refuse.
pub(crate) fn tcp_replace_ts_recent(tp: &mut TcpSock, net: &Net, seq: SeqNum) {
    if tp.rx_opt.saw_tstamp && !seq.after(tp.rcv_wup) && tcp_paws_check(&tp.rx_opt, net, 0) {
        tcp_store_ts_recent(tp, net);
    }
}

/// `tcp_paws_check`: whether a timestamp is new enough (RFC 7323 5).
pub(crate) fn tcp_paws_check(rx_opt: &TcpOptionsReceived, net: &Net, paws_win: i32) -> bool {
    if rx_opt.ts_recent.wrapping_sub(rx_opt.rcv_tsval) as i32 <= paws_win {
        return true;
    }
    if ktime_get_seconds(net) >= rx_opt.ts_recent_stamp + TCP_PAWS_24DAYS {
        return true;
    }
    // Some peers send zero in the second half of a handshake.
    rx_opt.ts_recent == 0
}

/// `tcp_paws_reject` for a segment that may be a reset: an old `ts_recent` does not stop one.
pub(crate) fn tcp_paws_reject(rx_opt: &TcpOptionsReceived, net: &Net, rst: bool) -> bool {
    if tcp_paws_check(rx_opt, net, 0) {
        return false;
    }
    !(rst && ktime_get_seconds(net) >= rx_opt.ts_recent_stamp + TCP_PAWS_MSL)
}

/// A duplicate pure ACK that reordering explains (`tcp_disordered_ack`): not for PAWS to refuse.
fn tcp_disordered_ack(tp: &TcpSock, net: &Net, seg: &Seg) -> bool {
    let pure_ack = seg.th.ack() && seg.seq == seg.end_seq && seg.seq == tp.rcv_nxt;
    let window = u32::from(seg.th.window) << tp.rx_opt.snd_wscale;
    let updates_window = tcp_may_update_window(tp, net, seg.ack_seq, seg.seq, window);
    let rto_ticks = tp.icsk.icsk_rto * 1024 / u64::from(net.time.hz());
    let age = tp.rx_opt.ts_recent.wrapping_sub(tp.rx_opt.rcv_tsval) as i32;
    pure_ack && seg.ack_seq == tp.snd_una && !updates_window && i64::from(age) <= rto_ticks as i64
}

fn tcp_paws_discard(tp: &TcpSock, net: &Net, seg: &Seg) -> bool {
    !tcp_paws_check(&tp.rx_opt, net, TCP_PAWS_WINDOW) && !tcp_disordered_ack(tp, net, seg)
}

/// `tcp_sequence`: whether any part lies in the receive window. Linux accepts from `rcv_wup`;
/// 6.17 and later take what reaches beyond the window only into an empty receive queue.
fn tcp_sequence(tp: &TcpSock, net: &Net, seq: SeqNum, end_seq: SeqNum) -> bool {
    let limit = tp.rcv_nxt + tp.receive_window();
    if end_seq.before(tp.rcv_wup) || seq.after(limit) {
        return false;
    }
    let beyond = net.profile.reject_beyond_window && end_seq.after(limit);
    !beyond || tp.sk.sk_receive_queue.is_empty()
}

/// The acceptance test (RFC 9293 3.10.7.4, RFC 5961, RFC 7323; Linux `tcp_validate_incoming`).
/// `None`: the segment was dropped and answered as it deserves.
pub(crate) fn tcp_validate_incoming(
    tp: &mut TcpSock,
    net: &mut Net,
    skb: Skb,
    seg: &mut Seg,
    syn_inerr: bool,
) -> Option<Skb> {
    let (saw_tstamp, sack) = tcp_fast_parse_options(tp, net, tcp_options(&skb));
    seg.sack = sack;
    // A reset is judged by its sequence number alone.
    if saw_tstamp && !seg.th.rst() && tcp_paws_discard(tp, net, seg) {
        net.mib.inc(TcpExt::PAWSEstab);
        if !tcp_oow_rate_limited(net, seg, TcpExt::TCPACKSkippedPAWS, &mut tp.last_oow_ack_time) {
            tcp_send_dupack(tp, net, seg);
        }
        kfree_skb(net, skb, DropReason::TcpRfc7323Paws);
        return None;
    }
    if !tcp_sequence(tp, net, seg.seq, seg.end_seq) {
        if !seg.th.rst() {
            if seg.th.syn() {
                return tcp_syn_challenge(tp, net, skb, syn_inerr);
            }
            if !tcp_oow_rate_limited(net, seg, TcpExt::TCPACKSkippedSeq, &mut tp.last_oow_ack_time)
            {
                tcp_send_dupack(tp, net, seg);
            }
        } else if tcp_reset_check(tp, seg) {
            return reset_and_free(tp, net, skb);
        }
        let reason = if seg.end_seq.before(tp.rcv_wup) {
            DropReason::TcpOldSequence
        } else {
            DropReason::TcpInvalidSequence
        };
        kfree_skb(net, skb, reason);
        return None;
    }
    if seg.th.rst() {
        if tcp_reset_is_exact(tp, seg) {
            return reset_and_free(tp, net, skb);
        }
        // The peer never saw our data, and somebody resets in its name.
        if tp.fastopen.syn_fastopen
            && tp.data_segs_in == 0
            && tp.sk.sk_state == TcpState::Established
        {
            tcp_fastopen_active_disable(net);
        }
        tcp_send_challenge_ack(tp, net);
        kfree_skb(net, skb, DropReason::TcpReset);
        return None;
    }
    if seg.th.syn() && !completes_crossed_open(tp, seg) {
        return tcp_syn_challenge(tp, net, skb, syn_inerr);
    }
    Some(skb)
}

/// The peer's SYN-ACK after crossed SYNs: the same SYN again, with the acknowledgement of ours.
fn completes_crossed_open(tp: &TcpSock, seg: &Seg) -> bool {
    tp.sk.sk_state == TcpState::SynRecv
        && tp.icsk.listener.is_none()
        && seg.th.ack()
        && seg.seq + 1 == seg.end_seq
        && seg.seq + 1 == tp.rcv_nxt
        && seg.ack_seq == tp.snd_nxt
}

/// A reset counts when it stands at RCV.NXT, or, with SACK, at the right edge of the highest
/// block that we announced (RFC 5961 3.2; the peer that lost our ACKs may think so).
fn tcp_reset_is_exact(tp: &TcpSock, seg: &Seg) -> bool {
    if seg.seq == tp.rcv_nxt || tcp_reset_check(tp, seg) {
        return true;
    }
    if !tp.is_sack() || tp.rx_opt.num_sacks == 0 {
        return false;
    }
    let n = usize::from(tp.rx_opt.num_sacks).min(tp.selective_acks.len());
    let max_sack =
        tp.selective_acks[..n].iter().map(|b| b.end_seq).reduce(SeqNum::max).unwrap_or(tp.rcv_nxt);
    seg.seq == max_sack
}

/// A FIN was counted already when we answer one short of it (`tcp_reset_check`).
fn tcp_reset_check(tp: &TcpSock, seg: &Seg) -> bool {
    let closing = TcpState::CloseWait.mask() | TcpState::LastAck.mask() | TcpState::Closing.mask();
    seg.seq == tp.rcv_nxt - 1 && tp.sk.sk_state.is_in(closing)
}

fn reset_and_free(tp: &mut TcpSock, net: &mut Net, skb: Skb) -> Option<Skb> {
    tcp_reset(tp, net);
    kfree_skb(net, skb, DropReason::TcpReset);
    None
}

fn tcp_syn_challenge(tp: &mut TcpSock, net: &mut Net, skb: Skb, inerr: bool) -> Option<Skb> {
    if inerr {
        net.mib.inc(Tcp::InErrs);
    }
    net.mib.inc(TcpExt::TCPSYNChallenge);
    tcp_send_challenge_ack(tp, net);
    kfree_skb(net, skb, DropReason::TcpInvalidSyn);
    None
}

/// Whether an answer to an unacceptable segment has to be left out, since the last was less than
/// `tcp_invalid_ratelimit` ago (`tcp_oow_rate_limited`). Segments with data and SYNs never are.
pub(crate) fn tcp_oow_rate_limited(
    net: &mut Net,
    seg: &Seg,
    mib: TcpExt,
    last_oow_ack_time: &mut Option<Jiffies>,
) -> bool {
    if seg.end_seq != seg.seq && !seg.th.syn() {
        return false;
    }
    __tcp_oow_rate_limited(net, mib, last_oow_ack_time)
}

/// `__tcp_oow_rate_limited`.
pub(crate) fn __tcp_oow_rate_limited(
    net: &mut Net,
    mib: TcpExt,
    last: &mut Option<Jiffies>,
) -> bool {
    let now = net.jiffies();
    if let Some(then) = *last {
        let limit = net.time.msecs_to_jiffies(net.sysctl.tcp_invalid_ratelimit as u64);
        if now.saturating_sub(then) < limit {
            net.mib.inc(mib);
            return true;
        }
    }
    *last = Some(now);
    false
}

/// `tcp_send_challenge_ack`: per socket as other unacceptable segments, then for the machine
/// `tcp_challenge_ack_limit` a second, half of it fixed and half random (RFC 5961 7).
pub(crate) fn tcp_send_challenge_ack(tp: &mut TcpSock, net: &mut Net) {
    if __tcp_oow_rate_limited(net, TcpExt::TCPACKSkippedChallenge, &mut tp.last_oow_ack_time) {
        return;
    }
    let limit = net.sysctl.tcp_challenge_ack_limit;
    if limit < i64::from(i32::MAX) {
        let now = net.jiffies() / u64::from(net.time.hz());
        if net.ip.challenge_timestamp != Some(now) {
            let half = (limit as u32).div_ceil(2);
            net.ip.challenge_timestamp = Some(now);
            net.ip.challenge_count = half + net.rng.below(limit as u32);
        }
        if net.ip.challenge_count == 0 {
            return;
        }
        net.ip.challenge_count -= 1;
    }
    net.mib.inc(TcpExt::TCPChallengeACK);
    tcp_send_ack(tp, net);
}

/// A valid reset arrived (`tcp_reset`).
#[reference_stack_macros::traced]
pub(crate) fn tcp_reset(tp: &mut TcpSock, net: &mut Net) {
    tp.sk.sk_err = match tp.sk.sk_state {
        TcpState::SynSent => Some(Errno::ECONNREFUSED),
        TcpState::CloseWait => Some(Errno::EPIPE),
        TcpState::Close => return,
        _ => Some(Errno::ECONNRESET),
    };
    tcp_write_queue_purge(tp, net);
    tcp_done(tp, net);
    if !tp.sk.dead {
        net.sk_error_report(tp.sk.id);
    }
}
