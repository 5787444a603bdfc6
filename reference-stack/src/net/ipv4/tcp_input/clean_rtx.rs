//! Freeing what an ACK covers, and the timers that follow (Linux `tcp_clean_rtx_queue()`,
//! `tcp_rearm_rto()`, 5.15).

use super::*;
use crate::net::core::timestamping::__skb_tstamp_tx;
use crate::net::ipv4::inet_connection_sock::*;
use crate::net::ipv4::tcp_cong::{AckSample, ca_pkts_acked};
use crate::net::ipv4::tcp_output::*;
use crate::net::ipv4::tcp_rate::tcp_rate_skb_delivered;
use crate::net::ipv4::tcp_recovery::tcp_rack_advance;
use crate::time::Jiffies;
use crate::uapi::SCM_TSTAMP_ACK;

/// Sets the retransmission timer anew after progress, or stops it (`tcp_rearm_rto`, RFC 6298 5.3).
pub(crate) fn tcp_rearm_rto(tp: &mut TcpSock, net: &mut Net) {
    // The timer is the SYN-ACK's.
    if tp.fastopen.fastopen_rsk.is_some() {
        return;
    }
    if tp.packets_out == 0 {
        return inet_csk_clear_xmit_timer(tp, net, IcskPending::Retrans);
    }
    let mut rto: Jiffies = tp.icsk.icsk_rto;
    if matches!(tp.icsk.icsk_pending, IcskPending::ReoTimeout | IcskPending::LossProbe) {
        // The RTO that these timers stand before runs from the segment's sending.
        rto = net.time.usecs_to_jiffies(tcp_rto_delta_us(tp, net).max(1) as u64);
    }
    let max = tcp_rto_max(net);
    tcp_reset_xmit_timer(tp, net, IcskPending::Retrans, rto, max);
}

/// `tcp_set_xmit_timer`: a loss probe if one may be scheduled, else the RTO.
pub(crate) fn tcp_set_xmit_timer(tp: &mut TcpSock, net: &mut Net) {
    if !tcp_schedule_loss_probe(tp, net, true) {
        tcp_rearm_rto(tp, net);
    }
}

/// What [`tcp_clean_rtx_queue`] found while it walked.
#[derive(Default)]
struct Cleaned {
    flag: u32,
    /// Send times (us) of the first and the last segment acknowledged that was sent once.
    first_ackt: u64,
    last_ackt: u64,
    pkts_acked: u32,
    fully_acked: bool,
    /// Lowest acknowledged segment that was neither retransmitted nor SACKed.
    reord: SeqNum,
}

/// How many segments of the head super-packet are acknowledged; they are cut off.
fn acked_pcount(tp: &mut TcpSock, net: &mut Net, fully: &mut bool) -> u32 {
    let Some(skb) = tp.rtx_queue.front() else { return 0 };
    let pcount = tcp_skb_pcount(skb);
    if !skb.end_seq.after(tp.snd_una) {
        return pcount;
    }
    if pcount == 1 || !tp.snd_una.after(skb.seq) {
        return 0;
    }
    // A part of it (tcp_tso_acked): segments count when they are acknowledged as a whole.
    let len = tp.snd_una.since(skb.seq);
    tcp_trim_head(tp, net, 0, len);
    *fully = false;
    pcount.saturating_sub(tp.rtx_queue.front().map_or(0, tcp_skb_pcount))
}

/// Accounts for the head segment, `pcount` of whose segments are acknowledged.
fn account_acked(
    tp: &mut TcpSock,
    seen: &TcpSkb,
    pcount: u32,
    c: &mut Cleaned,
    sack: &mut SacktagState,
    ece_ack: bool,
) {
    let sacked = seen.sacked;
    if sacked & TCPCB_RETRANS != 0 {
        if sacked & TCPCB_SACKED_RETRANS != 0 {
            tp.retrans_out = tp.retrans_out.saturating_sub(pcount);
        }
        c.flag |= FLAG_RETRANS_DATA_ACKED;
    } else if sacked & TCPCB_SACKED_ACKED == 0 {
        c.last_ackt = tcp_skb_timestamp_us(seen);
        if c.first_ackt == 0 {
            c.first_ackt = c.last_ackt;
        }
        c.reord = c.reord.min(seen.seq);
        if !seen.end_seq.after(tp.high_seq) {
            c.flag |= FLAG_ORIG_SACK_ACKED;
        }
    }
    if sacked & TCPCB_SACKED_ACKED != 0 {
        tp.sacked_out = tp.sacked_out.saturating_sub(pcount);
    } else if tp.is_sack() {
        tcp_count_delivered(tp, pcount, ece_ack);
        if !tcp_skb_spurious_retrans(tp, seen) {
            tcp_rack_advance(tp, sacked, seen.end_seq, tcp_skb_timestamp_us(seen));
        }
    }
    if sacked & TCPCB_LOST != 0 {
        tp.lost_out = tp.lost_out.saturating_sub(pcount);
    }
    tp.packets_out = tp.packets_out.saturating_sub(pcount);
    c.pkts_acked += pcount;
    let mut stamp = stamp_of(seen);
    tcp_rate_skb_delivered(tp, &mut stamp, &mut sack.rate);
    if let Some(head) = tp.rtx_queue.front_mut() {
        head.tx = stamp.tx;
    }
    if seen.tcp_flags & TCPHDR_SYN != 0 {
        c.flag |= FLAG_SYN_ACKED;
        tp.retrans_stamp = 0;
    } else {
        c.flag |= FLAG_DATA_ACKED;
    }
}

/// Stamps the ACK of the byte that asked for it, if this one is it and it is in the head segment.
fn tcp_ack_tstamp(tp: &TcpSock, net: &mut Net, prior_snd_una: SeqNum) {
    let Some(skb) = tp.rtx_queue.front().filter(|skb| skb.txstamp_ack) else { return };
    let key = SeqNum(skb.tx_tstamp.key);
    if !key.before(prior_snd_una) && key.before(tp.snd_una) {
        let payload = skb.frags.iter().flat_map(|frag| frag.bytes()).copied().collect();
        __skb_tstamp_tx(net, tp.sk.id, SCM_TSTAMP_ACK, key.0, payload, skb.truesize);
    }
}

/// Frees acknowledged segments, takes RTT samples, and says what the ACK was (`FLAG_*`).
pub(crate) fn tcp_clean_rtx_queue(
    tp: &mut TcpSock,
    net: &mut Net,
    prior_fack: SeqNum,
    prior_snd_una: SeqNum,
    sack: &mut SacktagState,
    ece_ack: bool,
) -> u32 {
    let prior_sacked = tp.sacked_out;
    let mut c = Cleaned { fully_acked: true, reord: tp.snd_nxt, ..Cleaned::default() };
    while let Some(skb) = tp.rtx_queue.front() {
        let seen = stamp_of(skb);
        let pcount = acked_pcount(tp, net, &mut c.fully_acked);
        if pcount == 0 {
            break;
        }
        account_acked(tp, &seen, pcount, &mut c, sack, ece_ack);
        if !c.fully_acked {
            break;
        }
        tcp_ack_tstamp(tp, net, prior_snd_una);
        tcp_rtx_queue_unlink_and_free(tp, net, 0);
    }
    tcp_ack_tstamp(tp, net, prior_snd_una);
    if tp.rtx_queue.is_empty() {
        tcp_chrono_stop(tp, net, TCP_CHRONO_BUSY);
    }
    if tp.snd_up.between(prior_snd_una, tp.snd_una) {
        tp.snd_up = tp.snd_una;
    }
    if tp.rtx_queue.front().is_some_and(|skb| skb.sacked & TCPCB_SACKED_ACKED != 0) {
        c.flag |= FLAG_SACK_RENEGING;
    }
    let (rtt_update, sack_rtt_us) =
        take_rtt_samples(tp, net, &mut c, prior_sacked, prior_snd_una, sack);
    after_clean(tp, net, &mut c, prior_fack, ece_ack);
    if c.flag & FLAG_ACKED == 0
        && rtt_update
        && let Some(head) = tp.rtx_queue.front()
        && sack_rtt_us > tp.tcp_mstamp.saturating_sub(tcp_skb_timestamp_us(head)) as i64
    {
        // The sample is older than the head's last transmission: the RTO may start anew.
        c.flag |= FLAG_SET_XMIT_TIMER;
    }
    ca_pkts_acked(tp, net, AckSample { rtt_us: sack.rate.rtt_us });
    c.flag
}

/// RTT samples of segments that were sent once; whether the RTO was recomputed, and the sample
/// that SACK gave.
fn take_rtt_samples(
    tp: &mut TcpSock,
    net: &mut Net,
    c: &mut Cleaned,
    prior_sacked: u32,
    prior_snd_una: SeqNum,
    sack: &mut SacktagState,
) -> (bool, i64) {
    let since = |t: u64| tp.tcp_mstamp.saturating_sub(t) as i64;
    let (mut seq_rtt_us, mut sack_rtt_us, mut ca_rtt_us) = (-1, -1, -1);
    if c.first_ackt != 0 && c.flag & FLAG_RETRANS_DATA_ACKED == 0 {
        seq_rtt_us = since(c.first_ackt);
        ca_rtt_us = since(c.last_ackt);
        let runt = c.pkts_acked == 1
            && c.fully_acked
            && prior_sacked == 0
            && tp.snd_una.since(prior_snd_una) < tp.mss_cache
            && sack.rate.prior_delivered.wrapping_add(1) == tp.delivered;
        if runt && c.flag & (FLAG_CA_ALERT | FLAG_SYN_ACKED) == 0 {
            c.flag |= FLAG_ACK_MAYBE_DELAYED;
        }
    }
    if sack.first_sackt != 0 {
        sack_rtt_us = since(sack.first_sackt);
        ca_rtt_us = since(sack.last_sackt);
    }
    let updated =
        tcp_ack_update_rtt(tp, net, c.flag, seq_rtt_us, sack_rtt_us, ca_rtt_us, &mut sack.rate);
    (updated && sack_rtt_us >= 0, sack_rtt_us)
}

/// What progress means for timer, MTU probe, and the scoreboard.
fn after_clean(tp: &mut TcpSock, net: &mut Net, c: &mut Cleaned, prior_fack: SeqNum, ece: bool) {
    if c.flag & FLAG_ACKED == 0 {
        return;
    }
    c.flag |= FLAG_SET_XMIT_TIMER;
    if tp.icsk.icsk_mtup.probe_size != 0 && !tp.mtu_probe_end.after(tp.snd_una) {
        tcp_mtup_probe_success(tp, net);
    }
    if tp.is_reno() {
        tcp_remove_reno_sacks(tp, net, c.pkts_acked, ece);
        // Without SACK, nobody can say which of two transmissions arrived.
        if c.flag & FLAG_RETRANS_DATA_ACKED != 0 {
            c.flag &= !FLAG_ORIG_SACK_ACKED;
        }
    } else if c.reord.before(prior_fack) {
        tcp_check_sack_reordering(tp, net, c.reord, false);
    }
}
