//! TCP output (Linux `tcp_output.c`): every segment leaves through [`__tcp_transmit_skb`].
//!
//! The queues hold super-packets ([`TcpSkb`]); what goes down is a fresh [`Skb`] with the header
//! in front and the payload's slices shared. Segments of a super-packet are cut below, just
//! before the driver.

mod connect;
pub(crate) mod frags;
mod mtu_probe;
mod options;
mod probe;
mod retransmit;
#[cfg(test)]
mod tests;
mod tso;
mod window;
mod xmit;

pub(crate) use connect::*;
pub(crate) use mtu_probe::*;
pub(crate) use options::*;
pub(crate) use probe::*;
pub(crate) use retransmit::*;
pub(crate) use tso::*;
pub(crate) use window::*;
pub(crate) use xmit::*;

use super::inet_connection_sock::{
    inet_csk_ack_scheduled, inet_csk_clear_xmit_timer, inet_csk_in_pingpong_mode,
    inet_csk_inc_pingpong_cnt, tcp_ato_min, tcp_delack_max_default, tcp_delack_min,
};
use super::mib::{Tcp, TcpExt};
use super::tcp_cong::{CaEvent, tcp_ca_event, tcp_ca_needs_ecn, tcp_current_ssthresh};
use super::tcp_md5::{ends_of, md5_key_of, sk_gso_disable, tcp_md5_sign};
use super::tcp_rate::tcp_rate_skb_sent;
use super::tcp_sock::*;
use crate::errno::Errno;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::core::skbuff::{Frags, IpSummed, SKB_HEADROOM, Skb};
use crate::net::core::sock::{PacingStatus, SockCommon, TcpState};
use crate::net::core::stream::{sk_mem_charge, sk_mem_uncharge};
use crate::net::core::timestamping::TxTstamp;
use crate::net::ipv4::ip_output::ip_queue_xmit;
use crate::net::ipv4::tcp_input::{tcp_enter_cwr, tcp_init_cwnd};
use crate::net::ipv6::ip6_output::{inet6_csk_xmit, tcp_v6_send_check};
use crate::time::{HrtimerId, Jiffies, NSEC_PER_MSEC, NSEC_PER_SEC};
use crate::uapi::IPPROTO_TCP;
use reference_stack_macros::traced;
use std::net::Ipv4Addr;

/// ECT(0) in the TOS byte.
const INET_ECN_ECT_0: u8 = 2;
const INET_ECN_MASK: u8 = 3;

/// Reads the clock for this softirq or call (Linux `tcp_mstamp_refresh()`).
pub(crate) fn tcp_mstamp_refresh(tp: &mut TcpSock, net: &Net) {
    tp.tcp_clock_cache = net.time.ktime_ns();
    tp.tcp_mstamp = tp.tcp_clock_cache / 1000;
}

/// `tcp_time_stamp_ms`: the timestamp clock, milliseconds, without the connection's offset.
pub(crate) fn tcp_time_stamp(tp: &TcpSock) -> u32 {
    (tp.tcp_mstamp / 1000) as u32
}

/// When a segment was sent, on the timestamp clock (`tcp_skb_timestamp`).
pub(crate) fn tcp_skb_timestamp(skb: &TcpSkb) -> u32 {
    (skb.skb_mstamp_ns / NSEC_PER_MSEC) as u32
}

/// When a segment was sent, microseconds (`tcp_skb_timestamp_us`).
pub(crate) fn tcp_skb_timestamp_us(skb: &TcpSkb) -> u64 {
    skb.skb_mstamp_ns / 1000
}

/// A segment without payload (Linux `tcp_init_nondata_skb()`).
pub(crate) fn tcp_init_nondata_skb(net: &Net, seq: SeqNum, flags: u8) -> TcpSkb {
    let takes_number = flags & (TCPHDR_SYN | TCPHDR_FIN) != 0;
    TcpSkb {
        seq,
        end_seq: seq + u32::from(takes_number),
        tcp_flags: flags,
        gso_segs: 1,
        ..sk_stream_alloc_skb(net)
    }
}

/// An empty buffer of the write queue (Linux `sk_stream_alloc_skb()`).
#[traced]
pub(crate) fn sk_stream_alloc_skb(net: &Net) -> TcpSkb {
    TcpSkb {
        seq: SeqNum(0),
        end_seq: SeqNum(0),
        tcp_flags: 0,
        sacked: 0,
        eor: false,
        frags: Frags::new(),
        len: 0,
        truesize: net.profile.tcp_skb_head,
        gso_segs: 0,
        gso_size: 0,
        skb_mstamp_ns: 0,
        tx: TxRecord::default(),
        fclone_end: None,
        tsorted: false,
        uarg: None,
        tx_tstamp: TxTstamp::default(),
        txstamp_ack: false,
    }
}

/// Where an ACK without data says it is: SND.NXT, or the window's end if the peer shrank it
/// below that by more than scaling explains (Linux `tcp_acceptable_seq()`).
pub(crate) fn tcp_acceptable_seq(tp: &TcpSock) -> SeqNum {
    let end = tp.wnd_end();
    let rounding = tp.rx_opt.wscale_ok && tp.snd_nxt.since(end) < 1 << tp.rx_opt.rcv_wscale;
    if !end.before(tp.snd_nxt) || rounding { tp.snd_nxt } else { end }
}

/// `tcp_urg_mode`.
pub(crate) fn tcp_urg_mode(tp: &TcpSock) -> bool {
    tp.snd_una != tp.snd_up
}

/// `tcp_rtx_and_write_queues_empty`.
pub(crate) fn tcp_rtx_and_write_queues_empty(tp: &TcpSock) -> bool {
    tp.rtx_queue.is_empty() && tp.write_queue.is_empty()
}

/// `sk_wmem_alloc`, with the one that a socket itself holds.
pub(crate) fn sk_wmem_alloc(tp: &TcpSock, net: &Net) -> u64 {
    u64::from(net.wmem.get(tp.sk.id)) + 1
}

/// Frees a buffer of the write or retransmit queue (`tcp_wmem_free_skb`).
pub(crate) fn tcp_wmem_free_skb(tp: &mut TcpSock, net: &mut Net, skb: TcpSkb) {
    tp.sk.sk_wmem_queued -= skb.truesize as i32;
    sk_mem_uncharge(&mut tp.sk, net, skb.truesize);
    net.skbs.ubufs.net_zcopy_put(skb.uarg, true);
}

/// `tcp_rtx_queue_unlink_and_free`: the buffer at this place of the retransmit queue.
pub(crate) fn tcp_rtx_queue_unlink_and_free(tp: &mut TcpSock, net: &mut Net, at: usize) {
    if let Some(skb) = tp.rtx_queue.remove(at) {
        tcp_wmem_free_skb(tp, net, skb);
    }
}

/// Charges a new buffer to the socket.
pub(crate) fn tcp_wmem_charge(tp: &mut TcpSock, truesize: u32) {
    tp.sk.sk_wmem_queued += truesize as i32;
    sk_mem_charge(&mut tp.sk, truesize);
}

/// `tcp_chrono_start`: what limits the sender; the higher number wins.
pub(crate) fn tcp_chrono_start(tp: &mut TcpSock, net: &Net, kind: u8) {
    if kind > tp.chrono_type {
        tcp_chrono_set(tp, net, kind);
    }
}

/// `tcp_chrono_stop`.
pub(crate) fn tcp_chrono_stop(tp: &mut TcpSock, net: &Net, kind: u8) {
    if tcp_rtx_and_write_queues_empty(tp) {
        tcp_chrono_set(tp, net, 0);
    } else if kind == tp.chrono_type {
        tcp_chrono_set(tp, net, TCP_CHRONO_BUSY);
    }
}

fn tcp_chrono_set(tp: &mut TcpSock, net: &Net, kind: u8) {
    let now = net.jiffies();
    if let Some(stat) = usize::from(tp.chrono_type).checked_sub(1) {
        tp.chrono_stat[stat] += now - tp.chrono_start;
    }
    tp.chrono_start = now;
    tp.chrono_type = kind;
}

/// `TCP_CHRONO_BUSY`: data is outstanding.
pub(crate) const TCP_CHRONO_BUSY: u8 = 1;
/// `TCP_CHRONO_RWND_LIMITED`.
pub(crate) const TCP_CHRONO_RWND_LIMITED: u8 = 2;
/// `TCP_CHRONO_SNDBUF_LIMITED`.
pub(crate) const TCP_CHRONO_SNDBUF_LIMITED: u8 = 3;

/// Puts a header before a segment and sends it (Linux `__tcp_transmit_skb()`). `clone_it`: the
/// segment stays in a queue, so its time of sending is kept. `rcv_nxt` is what is acknowledged.
///
/// # Errors
/// ENOBUFS: dropped below for lack of room (Linux's positive results); others as routing gives.
#[traced]
pub(crate) fn __tcp_transmit_skb(
    tp: &mut TcpSock,
    net: &mut Net,
    skb: &mut TcpSkb,
    clone_it: bool,
    rcv_nxt: SeqNum,
) -> Result<(), Errno> {
    let prior_wstamp = tp.tcp_wstamp_ns;
    tp.tcp_wstamp_ns = tp.tcp_wstamp_ns.max(tp.tcp_clock_cache);
    skb.skb_mstamp_ns = tp.tcp_wstamp_ns;
    let tsval = tcp_skb_timestamp(skb);
    let syn = skb.tcp_flags & TCPHDR_SYN != 0;
    let opts =
        if syn { tcp_syn_options(tp, net, tsval) } else { tcp_established_options(tp, tsval) };
    let mut flags = skb.tcp_flags;
    if !syn && skb.gso_segs > 1 {
        // Shows where a super-packet ends, so that the receiver's GRO flushes there (5.5 and later).
        flags |= TCPHDR_PSH;
    }
    let window = if syn { tp.rcv_wnd.min(65535) as u16 } else { tcp_select_window(tp, net) };
    if !syn {
        tcp_ecn_send(tp, skb, &mut flags);
    }
    if opts.md5 {
        sk_gso_disable(tp);
    }
    let out = build_segment(tp, net, skb, &opts, flags, window, rcv_nxt);
    tp.wmem_charged = tp.wmem_charged.wrapping_add(out.truesize);
    skb.fclone_end = Some(tp.wmem_charged);
    if !opts.sack.is_empty() {
        tp.rx_opt.dsack = false;
    }
    count_sent(tp, net, skb, flags, rcv_nxt);
    let sent = queue_xmit(net, &mut tp.sk, out);
    if sent == Err(Errno::ENOBUFS) {
        tcp_enter_cwr(tp, net);
    }
    note_pacing_by_qdisc(tp, net);
    if sent.is_ok() && clone_it {
        skb.tsorted = true;
        tcp_update_skb_after_send(tp, skb, prior_wstamp);
        tcp_rate_skb_sent(tp, skb);
    }
    sent
}

/// fq tells a socket that it keeps the times of its packets (`fq_classify`).
fn note_pacing_by_qdisc(tp: &mut TcpSock, net: &Net) {
    if tp.sk.sk_pacing_status != PacingStatus::Fq
        && tp.sk.sk_dst.as_ref().is_some_and(|dst| net.devs[dst.dev].qdisc.paces())
    {
        tp.sk.sk_pacing_status = PacingStatus::Fq;
    }
}

/// `icsk_af_ops->queue_xmit`.
fn queue_xmit(net: &mut Net, sk: &mut SockCommon, skb: Skb) -> Result<(), Errno> {
    match sk.ipv6_specific() {
        Some(_) => inet6_csk_xmit(net, sk, skb),
        None => ip_queue_xmit(net, sk, skb),
    }
}

/// Sends with the acknowledgement of now (Linux `tcp_transmit_skb()`).
#[traced]
pub(crate) fn tcp_transmit_skb(
    tp: &mut TcpSock,
    net: &mut Net,
    skb: &mut TcpSkb,
    clone_it: bool,
) -> Result<(), Errno> {
    let rcv_nxt = tp.rcv_nxt;
    __tcp_transmit_skb(tp, net, skb, clone_it, rcv_nxt)
}

/// The packet of a segment: header, options and shared payload, charged to the socket.
fn build_segment(
    tp: &TcpSock,
    net: &mut Net,
    skb: &TcpSkb,
    opts: &TcpOutOptions,
    flags: u8,
    window: u16,
    ack: SeqNum,
) -> Skb {
    let header_len = 20 + opts.len() as usize;
    let mut out = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    out.frags = skb.frags.clone();
    out.data_len = skb.len;
    out.uarg = skb.uarg;
    out.tx_tstamp = skb.tx_tstamp;
    net.skbs.ubufs.net_zcopy_get(skb.uarg);
    let (urg, urg_ptr) = urgent_pointer(tp, skb.seq);
    let flags = if urg { flags | TCPHDR_URG } else { flags };
    let header = TcpHeader {
        source: tp.sk.inet_num,
        dest: tp.sk.inet_dport,
        seq: skb.seq,
        ack_seq: ack,
        flags,
        window,
        urg_ptr,
    };
    header.write(out.push(header_len), opts);
    out.reset_transport_header();
    if let Some(key) = md5_key_of(tp) {
        tcp_md5_sign(&mut out, key, ends_of(&tp.sk));
    }
    out.gso_segs = skb.gso_segs;
    out.gso_size = if skb.gso_segs > 1 { skb.gso_size } else { 0 };
    out.hash = tp.sk.sk_txhash;
    out.priority = tp.sk.sk_priority;
    out.tstamp = skb.skb_mstamp_ns;
    out.truesize = skb.truesize;
    out.owner = Some(tp.sk.id);
    net.wmem.charge(tp.sk.id, skb.truesize);
    match tp.sk.ipv6_specific() {
        Some(np) => tcp_v6_send_check(&mut out, np.saddr, np.sk_v6_daddr),
        None => tcp_v4_send_check(&mut out, tp.sk.inet_saddr, tp.sk.inet_daddr),
    }
    out
}

/// Where urgent data ends, if it lies within reach of the 16-bit pointer.
fn urgent_pointer(tp: &TcpSock, seq: SeqNum) -> (bool, u16) {
    if !tcp_urg_mode(tp) || !seq.before(tp.snd_up) {
        return (false, 0);
    }
    if tp.snd_up.before(seq + 0x10000) {
        (true, tp.snd_up.since(seq) as u16)
    } else if (seq + 0xffff).after(tp.snd_nxt) {
        (true, 0xffff)
    } else {
        (false, 0)
    }
}

/// The fixed part of a header (`struct tcphdr`), ports in host order.
pub(crate) struct TcpHeader {
    pub(crate) source: u16,
    pub(crate) dest: u16,
    pub(crate) seq: SeqNum,
    pub(crate) ack_seq: SeqNum,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urg_ptr: u16,
}

impl TcpHeader {
    /// Writes header and options; `to` is 20 bytes and the options' length. The checksum is 0.
    pub(crate) fn write(&self, to: &mut [u8], opts: &TcpOutOptions) {
        let doff = (to.len() / 4) as u8;
        let (fixed, rest) = to.split_at_mut(20);
        fixed[0..2].copy_from_slice(&self.source.to_be_bytes());
        fixed[2..4].copy_from_slice(&self.dest.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ack_seq.0.to_be_bytes());
        fixed[12] = doff << 4;
        fixed[13] = self.flags;
        fixed[14..16].copy_from_slice(&self.window.to_be_bytes());
        fixed[16..18].fill(0);
        fixed[18..20].copy_from_slice(&self.urg_ptr.to_be_bytes());
        tcp_options_write(opts, rest);
    }
}

/// Puts the pseudo-header's sum into a TCP header's checksum field and leaves the rest to the
/// device (Linux `tcp_v4_send_check()`).
pub(crate) fn tcp_v4_send_check(skb: &mut Skb, saddr: Ipv4Addr, daddr: Ipv4Addr) {
    let len = skb.len() as u32;
    let word = |a: Ipv4Addr| u32::from(a) >> 16;
    let low = |a: Ipv4Addr| u32::from(a) & 0xffff;
    let mut sum = word(saddr) + low(saddr) + word(daddr) + low(daddr) + u32::from(IPPROTO_TCP);
    sum += (len >> 16) + (len & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let mark = skb.transport_header;
    if let Some(field) = skb.head_at_mut(mark).get_mut(16..18) {
        field.copy_from_slice(&(sum as u16).to_be_bytes());
    }
    skb.ip_summed = IpSummed::Partial { offset: 16 };
}

/// Marks what is sent from now on (`INET_ECN_xmit`, `INET_ECN_dontxmit`), in either family's
/// header.
fn inet_ecn_xmit(sk: &mut SockCommon, bits: u8) {
    sk.tos = sk.tos & !INET_ECN_MASK | bits;
    if let Some(np) = &mut sk.pinet6 {
        np.tclass = np.tclass & !INET_ECN_MASK | bits;
    }
}

/// ECT on new data, CWR once after a reduction, ECE while the peer's mark is not answered
/// (Linux `tcp_ecn_send()`).
fn tcp_ecn_send(tp: &mut TcpSock, skb: &TcpSkb, flags: &mut u8) {
    if tp.ecn_flags & TCP_ECN_OK == 0 {
        return;
    }
    if skb.len > 0 && !skb.seq.before(tp.snd_nxt) {
        inet_ecn_xmit(&mut tp.sk, INET_ECN_ECT_0);
        if tp.ecn_flags & TCP_ECN_QUEUE_CWR != 0 {
            tp.ecn_flags &= !TCP_ECN_QUEUE_CWR;
            *flags |= TCPHDR_CWR;
        }
    } else if !tcp_ca_needs_ecn(tp) {
        inet_ecn_xmit(&mut tp.sk, 0);
    }
    if tp.ecn_flags & TCP_ECN_DEMAND_CWR != 0 {
        *flags |= TCPHDR_ECE;
    }
}

/// Counters and state that follow from a segment on its way.
fn count_sent(tp: &mut TcpSock, net: &mut Net, skb: &TcpSkb, flags: u8, rcv_nxt: SeqNum) {
    let segs = u32::from(skb.gso_segs);
    if flags & TCPHDR_ACK != 0 {
        tcp_event_ack_sent(tp, net, rcv_nxt);
    }
    if skb.len > 0 {
        tcp_event_data_sent(tp, net);
        tp.data_segs_out = tp.data_segs_out.wrapping_add(segs);
        tp.bytes_sent += u64::from(skb.len);
    }
    if skb.end_seq.after(tp.snd_nxt) || skb.seq == skb.end_seq {
        net.mib.add(Tcp::OutSegs, segs.into());
    }
    tp.segs_out = tp.segs_out.wrapping_add(segs);
}

/// Linux `tcp_event_data_sent()`: the idle clock, and ping-pong mode by a prompt reply.
fn tcp_event_data_sent(tp: &mut TcpSock, net: &mut Net) {
    let now = net.jiffies();
    if tp.packets_in_flight() == 0 {
        tcp_ca_event(tp, net, CaEvent::TxStart);
    }
    tp.lsndtime = now;
    if now.wrapping_sub(tp.icsk.icsk_ack.lrcvtime) < u64::from(tp.icsk.icsk_ack.ato) {
        inet_csk_inc_pingpong_cnt(tp, net);
    }
}

/// An acknowledgement left: nothing is owed any more (Linux `tcp_event_ack_sent()`).
pub(crate) fn tcp_event_ack_sent(tp: &mut TcpSock, net: &mut Net, rcv_nxt: SeqNum) {
    if tp.compressed_ack != 0 {
        net.mib.add(TcpExt::TCPAckCompressed, tp.compressed_ack.into());
        tp.compressed_ack = 0;
        net.time.hrtimers.cancel(HrtimerId::CompressedAck(tp.sk.id));
    }
    if rcv_nxt != tp.rcv_nxt {
        return;
    }
    tcp_dec_quickack_mode(tp, net);
    inet_csk_clear_xmit_timer(tp, net, IcskPending::Dack);
}

/// Only an ACK that was owed uses up quick-ACK budget (Linux `tcp_dec_quickack_mode()` of stable
/// 5.15 and later).
fn tcp_dec_quickack_mode(tp: &mut TcpSock, net: &Net) {
    let pkts = u8::from(inet_csk_ack_scheduled(tp));
    let ack = &mut tp.icsk.icsk_ack;
    if ack.quick == 0 {
        return;
    }
    if pkts >= ack.quick {
        ack.quick = 0;
        ack.ato = tcp_ato_min(net);
    } else {
        ack.quick -= pkts;
    }
}

/// Pacing: moves the next departure behind this one (Linux `tcp_update_skb_after_send()`).
fn tcp_update_skb_after_send(tp: &mut TcpSock, skb: &TcpSkb, prior_wstamp: u64) {
    if tp.sk.sk_pacing_status == PacingStatus::None {
        return;
    }
    let rate = tp.sk.sk_pacing_rate;
    if rate == u64::MAX || rate == 0 || tp.data_segs_out < TCP_INIT_CWND {
        return;
    }
    let mut len_ns = u64::from(skb.len).saturating_mul(NSEC_PER_SEC) / rate;
    let credit = tp.tcp_wstamp_ns - prior_wstamp;
    len_ns -= (len_ns / 2).min(credit);
    tp.tcp_wstamp_ns += len_ns;
}

/// Sends an ACK now (Linux `tcp_send_ack()`).
#[traced]
pub(crate) fn tcp_send_ack(tp: &mut TcpSock, net: &mut Net) {
    let rcv_nxt = tp.rcv_nxt;
    __tcp_send_ack(tp, net, rcv_nxt);
}

/// Sends an ACK of `rcv_nxt` (Linux `__tcp_send_ack()`).
pub(crate) fn __tcp_send_ack(tp: &mut TcpSock, net: &mut Net, rcv_nxt: SeqNum) {
    if tp.sk.sk_state == TcpState::Close {
        return;
    }
    let mut skb = tcp_init_nondata_skb(net, tcp_acceptable_seq(tp), TCPHDR_ACK);
    // Pure ACKs weigh nothing, so that they do not hold data back (skb_set_tcp_pure_ack).
    skb.truesize = 2;
    // A lost ACK is as good as one lost on the way.
    let _ = __tcp_transmit_skb(tp, net, &mut skb, false, rcv_nxt);
}

/// How long an ACK may wait at most, jiffies (`tcp_delack_max`).
fn tcp_delack_max(tp: &TcpSock, net: &Net) -> Jiffies {
    let most = tp.icsk.icsk_delack_max;
    if net.profile.delack_below_rto_min {
        most.min(tcp_rto_min(tp, net).saturating_sub(1).max(1))
    } else {
        most
    }
}

/// Arms the delayed ACK, or sends it if the one already armed is nearly due
/// (Linux `tcp_send_delayed_ack()`).
pub(crate) fn tcp_send_delayed_ack(tp: &mut TcpSock, net: &mut Net) {
    let mut ato = Jiffies::from(tp.icsk.icsk_ack.ato);
    if ato > tcp_delack_min(net) {
        let prompt =
            inet_csk_in_pingpong_mode(tp, net) || tp.icsk.icsk_ack.pending & ICSK_ACK_PUSHED != 0;
        let mut max_ato =
            if prompt { tcp_delack_max_default(net) } else { Jiffies::from(net.time.hz()) / 2 };
        if tp.srtt_us != 0 {
            let rtt = net.time.usecs_to_jiffies(u64::from(tp.srtt_us >> 3));
            max_ato = max_ato.min(rtt.max(tcp_delack_min(net)));
        }
        ato = ato.min(max_ato);
    }
    ato = ato.min(tcp_delack_max(tp, net));
    let now = net.jiffies();
    let mut timeout = now + ato;
    if tp.icsk.icsk_ack.pending & ICSK_ACK_TIMER != 0 {
        if tp.icsk.icsk_ack.timeout <= now + (ato >> 2) {
            return tcp_send_ack(tp, net);
        }
        timeout = timeout.min(tp.icsk.icsk_ack.timeout);
    }
    tp.icsk.icsk_ack.pending |= ICSK_ACK_SCHED | ICSK_ACK_TIMER;
    tp.icsk.icsk_ack.timeout = timeout;
    net.mod_timer(crate::time::TimerId::Delack(tp.sk.id), timeout);
}

/// After idle the window is not trusted: it halves once per RTO (Linux `tcp_cwnd_restart()`,
/// RFC 2861).
pub(crate) fn tcp_cwnd_restart(tp: &mut TcpSock, net: &mut Net, idle: Jiffies) {
    let restart = tcp_init_cwnd(tp).min(tp.snd_cwnd);
    let mut cwnd = tp.snd_cwnd;
    tcp_ca_event(tp, net, CaEvent::CwndRestart);
    tp.snd_ssthresh = tcp_current_ssthresh(tp);
    let rto = tp.icsk.icsk_rto.max(1);
    let mut left = idle;
    while left > rto && cwnd > restart {
        left -= rto;
        cwnd >>= 1;
    }
    tp.snd_cwnd = cwnd.max(restart).max(1);
    tp.snd_cwnd_stamp = net.jiffies();
    tp.snd_cwnd_used = 0;
}

/// Linux `tcp_slow_start_after_idle_check()`.
pub(crate) fn tcp_slow_start_after_idle_check(tp: &mut TcpSock, net: &mut Net) {
    if net.sysctl.tcp_slow_start_after_idle == 0 || tp.packets_out != 0 {
        return;
    }
    let idle = net.jiffies().saturating_sub(tp.lsndtime);
    if idle > tp.icsk.icsk_rto {
        tcp_cwnd_restart(tp, net, idle);
    }
}
