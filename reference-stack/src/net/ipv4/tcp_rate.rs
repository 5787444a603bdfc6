//! Delivery rate samples (Linux `tcp_rate.c`): how fast data really left the network, from a
//! stamp put on each sent segment.

use super::tcp_sock::{TCPCB_SACKED_RETRANS, TcpSkb, TcpSock};
use crate::lib::seqnum::SeqNum;
use crate::net::Net;

/// `struct rate_sample`: what one ACK tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateSample {
    /// When the sample's interval began, us; 0: no sample.
    pub(crate) prior_mstamp: u64,
    pub(crate) prior_delivered: u32,
    pub(crate) prior_delivered_ce: u32,
    /// Segments delivered over the interval; negative: none.
    pub(crate) delivered: i32,
    pub(crate) delivered_ce: i32,
    /// Microseconds; -1: none.
    pub(crate) interval_us: i64,
    pub(crate) snd_interval_us: u32,
    pub(crate) rcv_interval_us: u32,
    /// RTT of the last segment acknowledged that was sent once, us; -1: none.
    pub(crate) rtt_us: i64,
    /// Segments newly marked lost.
    pub(crate) losses: i32,
    /// Segments newly acknowledged or SACKed.
    pub(crate) acked_sacked: u32,
    pub(crate) prior_in_flight: u32,
    /// `last_end_seq`: end of the most recently sent segment that was acknowledged.
    pub(crate) last_end_seq: SeqNum,
    pub(crate) is_app_limited: bool,
    pub(crate) is_retrans: bool,
    pub(crate) is_ack_delayed: bool,
}

/// Stamps a segment that was just sent (Linux `tcp_rate_skb_sent()`).
pub(crate) fn tcp_rate_skb_sent(tp: &mut TcpSock, skb: &mut TcpSkb) {
    if tp.packets_out == 0 {
        // The interval is measured from a send after idle, not from the ACK before it.
        let us = skb.skb_mstamp_ns / 1000;
        tp.first_tx_mstamp = us;
        tp.delivered_mstamp = us;
    }
    skb.tx.first_tx_mstamp = tp.first_tx_mstamp;
    skb.tx.delivered_mstamp = tp.delivered_mstamp;
    skb.tx.delivered = tp.delivered;
    skb.tx.delivered_ce = tp.delivered_ce;
    skb.tx.is_app_limited = tp.app_limited != 0;
}

/// A segment was acknowledged or SACKed: the most recently sent one decides the sample
/// (Linux `tcp_rate_skb_delivered()`).
pub(crate) fn tcp_rate_skb_delivered(tp: &mut TcpSock, skb: &mut TcpSkb, rs: &mut RateSample) {
    if skb.tx.delivered_mstamp == 0 {
        return;
    }
    let us = skb.skb_mstamp_ns / 1000;
    let newer = rs.prior_mstamp == 0
        || tcp_skb_sent_after(us, tp.first_tx_mstamp, skb.end_seq, rs.last_end_seq);
    if newer {
        rs.prior_delivered_ce = skb.tx.delivered_ce;
        rs.prior_delivered = skb.tx.delivered;
        rs.prior_mstamp = skb.tx.delivered_mstamp;
        rs.is_app_limited = skb.tx.is_app_limited;
        rs.is_retrans = skb.sacked & TCPCB_SACKED_RETRANS != 0;
        rs.last_end_seq = skb.end_seq;
        tp.first_tx_mstamp = us;
        rs.interval_us = us.wrapping_sub(skb.tx.first_tx_mstamp) as i64;
    }
    // A SACKed segment is acknowledged again later; it may not count twice.
    if skb.sacked & super::tcp_sock::TCPCB_SACKED_ACKED != 0 {
        skb.tx.delivered_mstamp = 0;
    }
}

/// Whether the first of two was sent later; in one instant, the higher sequence number was.
pub(crate) fn tcp_skb_sent_after(t1: u64, t2: u64, seq1: SeqNum, seq2: SeqNum) -> bool {
    t1 > t2 || (t1 == t2 && seq1.after(seq2))
}

/// Completes the sample of an ACK (Linux `tcp_rate_gen()`); `delivered` and `lost` in segments.
pub(crate) fn tcp_rate_gen(
    tp: &mut TcpSock,
    delivered: u32,
    lost: u32,
    is_sack_reneg: bool,
    rs: &mut RateSample,
) {
    if tp.app_limited != 0 && (tp.delivered.wrapping_sub(tp.app_limited) as i32) > 0 {
        tp.app_limited = 0;
    }
    if delivered != 0 {
        tp.delivered_mstamp = tp.tcp_mstamp;
    }
    rs.acked_sacked = delivered;
    rs.losses = lost as i32;
    if rs.prior_mstamp == 0 || is_sack_reneg {
        rs.delivered = -1;
        rs.interval_us = -1;
        return;
    }
    rs.delivered = tp.delivered.wrapping_sub(rs.prior_delivered) as i32;
    rs.delivered_ce = tp.delivered_ce.wrapping_sub(rs.prior_delivered_ce) as i32;
    // The longer of the send and the ACK phase, so that compressed ACKs do not inflate the rate.
    let snd_us = rs.interval_us;
    let ack_us = tp.tcp_mstamp.wrapping_sub(rs.prior_mstamp) as i64;
    rs.interval_us = snd_us.max(ack_us);
    rs.snd_interval_us = snd_us as u32;
    rs.rcv_interval_us = ack_us as u32;
    if rs.interval_us < i64::from(tcp_min_rtt(tp)) {
        rs.interval_us = -1;
        return;
    }
    let better = u64::from(rs.delivered.max(0) as u32) * u64::from(tp.rate_interval_us)
        >= u64::from(tp.rate_delivered) * rs.interval_us as u64;
    if !rs.is_app_limited || better {
        tp.rate_delivered = rs.delivered as u32;
        tp.rate_interval_us = rs.interval_us as u32;
        tp.rate_app_limited = rs.is_app_limited;
    }
}

/// Notes that the sender has nothing to send though it might (Linux
/// `tcp_rate_check_app_limited()`).
pub(crate) fn tcp_rate_check_app_limited(tp: &mut TcpSock, net: &mut Net) {
    let idle = tp.write_seq.diff(tp.snd_nxt) < tp.mss_cache as i32
        && net.wmem.get(tp.sk.id) < net.profile.skb_truesize(1)
        && tp.packets_in_flight() < tp.snd_cwnd
        && tp.lost_out <= tp.retrans_out;
    if idle {
        tp.app_limited = tp.delivered.wrapping_add(tp.packets_in_flight()).max(1);
    }
}

/// `tcp_min_rtt`: smallest RTT of the last `tcp_min_rtt_wlen` seconds, us; `u32::MAX`: unknown.
pub(crate) fn tcp_min_rtt(tp: &TcpSock) -> u32 {
    tp.rtt_min[0].v
}
