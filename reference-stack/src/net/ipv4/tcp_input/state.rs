//! The states other than ESTABLISHED, and becoming established (Linux `tcp_rcv_state_process()`,
//! `tcp_rcv_synsent_state_process()`, `tcp_finish_connect()`, `tcp_init_transfer()`, 5.15).
//! LISTEN needs the table of sockets and is in [`super::conn_request`].

use super::*;
use crate::net::core::sock::{RCV_SHUTDOWN, SEND_SHUTDOWN};
use crate::net::ipv4::inet_connection_sock::*;
use crate::net::ipv4::tcp::{tcp_set_state, tcp_shutdown};
use crate::net::ipv4::tcp_cong::tcp_init_congestion_control;
use crate::net::ipv4::tcp_fastopen::{TcpFastopenCookie, tcp_fastopen_active_disable};
use crate::net::ipv4::tcp_metrics::{tcp_init_metrics, tcp_update_metrics};
use crate::net::ipv4::tcp_minisocks::{tcp_check_req_fastopen, tcp_time_wait};
use crate::net::ipv4::tcp_output::*;
use crate::net::ipv4::tcp_timer::keepalive_time_when;
use crate::time::Jiffies;

/// `tcp_init_cwnd`: the route's, or ten segments (RFC 6928).
pub(crate) fn tcp_init_cwnd(tp: &TcpSock) -> u32 {
    let route = tp.sk.sk_dst.as_ref().map_or(0, |d| d.initcwnd);
    let cwnd = if route == 0 { TCP_INIT_CWND } else { route };
    cwnd.min(tp.snd_cwnd_clamp)
}

/// `TCP_TIMEWAIT_LEN`: 60 s.
pub(crate) fn tcp_timewait_len(net: &Net) -> Jiffies {
    60 * Jiffies::from(net.time.hz())
}

/// `tcp_fin_time`: how long FIN-WAIT-2 lasts without a user, jiffies; at least 3.5 RTO.
pub(crate) fn tcp_fin_time(tp: &TcpSock, net: &Net) -> Jiffies {
    let hz = i64::from(net.time.hz());
    let configured = match tp.linger2 {
        0 => net.sysctl.tcp_fin_timeout * hz,
        // TCP_LINGER2 is kept in jiffies.
        linger2 => i64::from(linger2),
    };
    let rto = tp.icsk.icsk_rto;
    (configured.max(0) as u64).max((rto << 2) - (rto >> 1))
}

/// The handshake is done: windows, buffers and congestion control (`tcp_init_transfer`).
pub(crate) fn tcp_init_transfer(tp: &mut TcpSock, net: &mut Net) {
    tcp_mtup_init(tp, net);
    tcp_init_metrics(tp, net);
    // RFC 5681 3.1: a SYN that was sent again leaves one segment; Linux allows one retransmission.
    tp.snd_cwnd =
        if tp.total_retrans > 1 && tp.undo_marker.is_some() { 1 } else { tcp_init_cwnd(tp) };
    tp.snd_cwnd_stamp = net.jiffies();
    if !tp.icsk.icsk_ca_initialized {
        tcp_init_congestion_control(tp, net);
    }
    tcp_init_buffer_space(tp, net);
}

/// The active side's connection is established (`tcp_finish_connect`).
#[reference_stack_macros::traced]
pub(crate) fn tcp_finish_connect(tp: &mut TcpSock, net: &mut Net) {
    tcp_set_state(tp, net, TcpState::Established);
    tp.icsk.icsk_ack.lrcvtime = net.jiffies();
    tcp_init_transfer(tp, net);
    tp.lsndtime = net.jiffies();
    if tp.sk.keepopen {
        let when = keepalive_time_when(tp, net);
        inet_csk_reset_keepalive_timer(tp, net, when);
    }
    if tp.rx_opt.snd_wscale == 0 {
        let wnd = tp.snd_wnd;
        __tcp_fast_path_on(tp, wnd);
    } else {
        tp.pred_flags = 0;
    }
}

/// The SYN's time-out was spurious if the answer echoes the first SYN's timestamp.
fn tcp_try_undo_spurious_syn(tp: &mut TcpSock) {
    let syn_stamp = tp.retrans_stamp;
    if syn_stamp != 0 && tp.rx_opt.saw_tstamp && syn_stamp == tp.rx_opt.rcv_tsecr {
        tp.undo_marker = None;
    }
}

/// Forgets the options of a segment that was no answer to our SYN.
fn undo_options(tp: &mut TcpSock, saved_clamp: u16) {
    tcp_clear_options(&mut tp.rx_opt);
    tp.rx_opt.mss_clamp = saved_clamp;
}

/// A segment in SYN-SENT (`tcp_rcv_synsent_state_process`, RFC 9293 3.10.7.3). `Err`: the
/// connection is established and the rest of the segment is to be processed.
fn tcp_rcv_synsent_state_process(
    tp: &mut TcpSock,
    net: &mut Net,
    skb: Skb,
    seg: &mut Seg,
) -> Result<Verdict, Skb> {
    let saved_clamp = tp.rx_opt.mss_clamp;
    let mut foc = None;
    seg.sack = if seg.th.syn() {
        tcp_parse_syn_options(net, tcp_options(&skb), &mut tp.rx_opt, &mut foc)
    } else {
        tcp_parse_options(net, tcp_options(&skb), &mut tp.rx_opt, false, false)
    };
    if tp.rx_opt.saw_tstamp && tp.rx_opt.rcv_tsecr != 0 {
        tp.rx_opt.rcv_tsecr = tp.rx_opt.rcv_tsecr.wrapping_sub(tp.tsoffset);
    }
    let th = seg.th;
    if th.ack() {
        if let Some(verdict) = unacceptable_synack(tp, net, seg) {
            undo_options(tp, saved_clamp);
            return Ok(if verdict { Verdict::Reset(skb) } else { drop_segment(net, skb) });
        }
        if th.rst() {
            tcp_reset(tp, net);
            consume_skb(net, skb);
            return Ok(Verdict::Done);
        }
        if !th.syn() {
            undo_options(tp, saved_clamp);
            tcp_drop_reason(tp, net, skb, DropReason::TcpFlags);
            return Ok(Verdict::Done);
        }
        return synack_received(tp, net, skb, seg, foc);
    }
    let paws = tp.rx_opt.ts_recent_stamp != 0
        && tp.rx_opt.saw_tstamp
        && tcp_paws_reject(&tp.rx_opt, net, false);
    if th.rst() || paws || !th.syn() {
        undo_options(tp, saved_clamp);
        let reason = match (th.rst(), paws) {
            (true, _) => DropReason::TcpReset,
            (_, true) => DropReason::TcpRfc7323Paws,
            _ => DropReason::TcpFlags,
        };
        tcp_drop_reason(tp, net, skb, reason);
        return Ok(Verdict::Done);
    }
    crossed_syn(tp, net, seg);
    consume_skb(net, skb);
    Ok(Verdict::Done)
}

fn drop_segment(net: &mut Net, skb: Skb) -> Verdict {
    kfree_skb(net, skb, DropReason::TcpReset);
    Verdict::Done
}

/// An ACK that is not of our SYN, or echoes a timestamp that we did not send: `Some(true)` asks
/// for a reset, which a reset itself never gets.
fn unacceptable_synack(tp: &mut TcpSock, net: &mut Net, seg: &Seg) -> Option<bool> {
    if !seg.ack_seq.after(tp.snd_una) || seg.ack_seq.after(tp.snd_nxt) {
        // The peer may have an old connection: after our reset, try again soon.
        if tp.icsk.icsk_retransmits == 0 {
            let max = tcp_rto_max(net);
            inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, 2, max);
        }
        return Some(!seg.th.rst());
    }
    if tp.rx_opt.saw_tstamp && tp.rx_opt.rcv_tsecr != 0 {
        let (echo, now) = (SeqNum(tp.rx_opt.rcv_tsecr), SeqNum(tcp_time_stamp(tp)));
        if !echo.between(SeqNum(tp.retrans_stamp), now) {
            net.mib.inc(TcpExt::PAWSActive);
            return Some(!seg.th.rst());
        }
    }
    None
}

/// Our SYN is answered.
fn synack_received(
    tp: &mut TcpSock,
    net: &mut Net,
    skb: Skb,
    seg: &Seg,
    foc: Option<TcpFastopenCookie>,
) -> Result<Verdict, Skb> {
    // RFC 3168 6.1.1: a SYN-ACK agrees with ECE and without CWR.
    if seg.th.flags & (TCPHDR_ECE | TCPHDR_CWR) != TCPHDR_ECE {
        tp.ecn_flags &= !TCP_ECN_OK;
    }
    tp.snd_wl1 = seg.seq;
    tcp_try_undo_spurious_syn(tp);
    let _ = tcp_ack(tp, net, seg, FLAG_SLOWPATH);
    tp.rcv_nxt = seg.seq + 1;
    tp.rcv_wup = tp.rcv_nxt;
    tp.snd_wnd = u32::from(seg.th.window);
    if !tp.rx_opt.wscale_ok {
        tp.rx_opt.snd_wscale = 0;
        tp.rx_opt.rcv_wscale = 0;
        tp.window_clamp = tp.window_clamp.min(65535);
    }
    agree_on_timestamps(tp, net);
    if tp.rx_opt.tstamp_ok {
        tp.advmss = tp.advmss.saturating_sub(TCPOLEN_TSTAMP_ALIGNED as u16);
    }
    tcp_sync_mss(tp, net, tp.icsk.icsk_pmtu_cookie);
    tcp_initialize_rcv_mss(tp);
    tp.copied_seq = tp.rcv_nxt;
    tcp_finish_connect(tp, net);
    let fastopen_fail = (tp.fastopen.syn_fastopen || tp.fastopen.syn_data)
        && tcp_rcv_fastopen_synack(tp, net, &skb, foc);
    if !tp.sk.dead {
        net.wake_up(tp.sk.id);
    }
    if fastopen_fail {
        return Err(skb);
    }
    if tp.sk.sk_write_pending != 0 || tp.defer_accept != 0 || inet_csk_in_pingpong_mode(tp, net) {
        // Data will come soon and can carry the ACK.
        inet_csk_schedule_ack(tp, net);
        tcp_enter_quickack_mode(tp, net, TCP_MAX_QUICKACKS);
        let (delay, max) = (tcp_delack_max_default(net), tcp_rto_max(net));
        inet_csk_reset_xmit_timer(tp, net, IcskPending::Dack, delay, max);
        consume_skb(net, skb);
        return Ok(Verdict::Done);
    }
    tcp_send_ack(tp, net);
    Err(skb)
}

fn agree_on_timestamps(tp: &mut TcpSock, net: &Net) {
    tp.tcp_header_len = 20;
    if tp.rx_opt.saw_tstamp {
        tp.rx_opt.tstamp_ok = true;
        tp.tcp_header_len += TCPOLEN_TSTAMP_ALIGNED as u16;
        tcp_store_ts_recent(tp, net);
    }
}

/// Both sides opened at once (RFC 9293 3.5, figure 8).
fn crossed_syn(tp: &mut TcpSock, net: &mut Net, seg: &Seg) {
    tcp_set_state(tp, net, TcpState::SynRecv);
    agree_on_timestamps(tp, net);
    tp.rcv_nxt = seg.seq + 1;
    tp.copied_seq = tp.rcv_nxt;
    tp.rcv_wup = tp.rcv_nxt;
    tp.snd_wnd = u32::from(seg.th.window);
    tp.snd_wl1 = seg.seq;
    tp.max_window = tp.snd_wnd;
    if seg.th.flags & (TCPHDR_ECE | TCPHDR_CWR) != TCPHDR_ECE | TCPHDR_CWR {
        tp.ecn_flags &= !TCP_ECN_OK;
    }
    tcp_mtup_init(tp, net);
    tcp_sync_mss(tp, net, tp.icsk.icsk_pmtu_cookie);
    tcp_initialize_rcv_mss(tp);
    let _ = tcp_send_synack(tp, net);
}

/// Whether a segment has payload beyond what was received.
fn brings_new_data(tp: &TcpSock, seg: &Seg) -> bool {
    seg.end_seq != seg.seq && (seg.end_seq - u32::from(seg.th.fin())).after(tp.rcv_nxt)
}

/// A segment in any state but ESTABLISHED and LISTEN (`tcp_rcv_state_process`,
/// RFC 9293 3.10.7).
#[reference_stack_macros::traced]
pub(crate) fn tcp_rcv_state_process(tp: &mut TcpSock, net: &mut Net, skb: Skb) -> Verdict {
    let mut seg = Seg::new(&skb);
    match tp.sk.sk_state {
        TcpState::Close | TcpState::Listen => {
            tcp_drop_reason(tp, net, skb, DropReason::TcpClose);
            return Verdict::Done;
        }
        TcpState::SynSent => {
            tp.rx_opt.saw_tstamp = false;
            tcp_mstamp_refresh(tp, net);
            match tcp_rcv_synsent_state_process(tp, net, skb, &mut seg) {
                Ok(verdict) => return verdict,
                Err(skb) => {
                    tcp_urg(tp, net, &skb, &seg);
                    consume_skb(net, skb);
                    tcp_data_snd_check(tp, net);
                    return Verdict::Done;
                }
            }
        }
        _ => {}
    }
    tcp_mstamp_refresh(tp, net);
    tp.rx_opt.saw_tstamp = false;
    if !tcp_check_req_fastopen(tp, net, &skb) {
        tcp_drop_reason(tp, net, skb, DropReason::TcpFastopen);
        return Verdict::Done;
    }
    if seg.th.flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN) == 0 {
        tcp_drop_reason(tp, net, skb, DropReason::TcpFlags);
        return Verdict::Done;
    }
    let Some(skb) = tcp_validate_incoming(tp, net, skb, &mut seg, false) else {
        return Verdict::Done;
    };
    let flags = FLAG_SLOWPATH | FLAG_UPDATE_TS_RECENT | FLAG_NO_CHALLENGE_ACK;
    match tcp_ack(tp, net, &seg, flags) {
        Ok(true) => {}
        Ok(false) | Err(_) if tp.sk.sk_state == TcpState::SynRecv => return Verdict::Reset(skb),
        // An old ACK is taken while closing.
        Ok(false) => {}
        Err(reason) => {
            tcp_send_challenge_ack(tp, net);
            tcp_drop_reason(tp, net, skb, reason);
            return Verdict::Done;
        }
    }
    match after_ack(tp, net, &seg) {
        AfterAck::Go => {}
        AfterAck::Consume => {
            consume_skb(net, skb);
            return Verdict::Done;
        }
        AfterAck::Reset => return Verdict::Reset(skb),
    }
    tcp_urg(tp, net, &skb, &seg);
    segment_text(tp, net, skb, &seg)
}

enum AfterAck {
    Go,
    Consume,
    Reset,
}

/// What the acknowledgement of our SYN-ACK or FIN changes.
fn after_ack(tp: &mut TcpSock, net: &mut Net, seg: &Seg) -> AfterAck {
    match tp.sk.sk_state {
        TcpState::SynRecv => {
            synack_acknowledged(tp, net, seg);
            AfterAck::Go
        }
        TcpState::FinWait1 => {
            if tp.fastopen.fastopen_rsk.is_some() {
                tcp_rcv_synrecv_state_fastopen(tp, net);
            }
            if tp.snd_una == tp.write_seq { fin_acknowledged(tp, net, seg) } else { AfterAck::Go }
        }
        TcpState::Closing if tp.snd_una == tp.write_seq => {
            tcp_time_wait(tp, net, TcpState::TimeWait, 0);
            AfterAck::Consume
        }
        TcpState::LastAck if tp.snd_una == tp.write_seq => {
            tcp_update_metrics(tp, net);
            tcp_done(tp, net);
            AfterAck::Consume
        }
        _ => AfterAck::Go,
    }
}

/// The third ACK of a handshake, for a socket that was made for it or opened at once.
fn synack_acknowledged(tp: &mut TcpSock, net: &mut Net, seg: &Seg) {
    tp.delivered = tp.delivered.wrapping_add(1);
    let request = tp.fastopen.fastopen_rsk.as_ref();
    let fastopen = request.is_some();
    let snt_synack = request.filter(|req| req.num_retrans == 0).map_or(0, |req| req.snt_synack);
    if tp.srtt_us == 0 {
        tcp_synack_rtt_meas(tp, net, snt_synack);
    }
    if tp.rx_opt.tstamp_ok {
        tp.advmss = tp.advmss.saturating_sub(TCPOLEN_TSTAMP_ALIGNED as u16);
    }
    if fastopen {
        tcp_rcv_synrecv_state_fastopen(tp, net);
    } else {
        tcp_try_undo_spurious_syn(tp);
        tp.retrans_stamp = 0;
        tcp_init_transfer(tp, net);
        tp.copied_seq = tp.rcv_nxt;
    }
    tcp_set_state(tp, net, TcpState::Established);
    net.wake_up(tp.sk.id);
    tp.snd_una = seg.ack_seq;
    tp.snd_wnd = u32::from(seg.th.window) << tp.rx_opt.snd_wscale;
    tp.snd_wl1 = seg.seq;
    tcp_update_pacing_rate(tp, net);
    tp.lsndtime = net.jiffies();
    tcp_initialize_rcv_mss(tp);
    tcp_fast_path_on(tp);
    if tp.sk.sk_shutdown & SEND_SHUTDOWN != 0 {
        tcp_shutdown(tp, net, i32::from(SEND_SHUTDOWN));
    }
}

/// Our FIN is acknowledged: FIN-WAIT-2, or what an orphan does instead.
fn fin_acknowledged(tp: &mut TcpSock, net: &mut Net, seg: &Seg) -> AfterAck {
    tcp_set_state(tp, net, TcpState::FinWait2);
    tp.sk.sk_shutdown |= SEND_SHUTDOWN;
    tp.sk.dst_pending_confirm = true;
    if !tp.sk.dead {
        // A close() that lingers waits for this.
        net.wake_up(tp.sk.id);
        return AfterAck::Go;
    }
    if tp.linger2 < 0 || brings_new_data(tp, seg) {
        if tp.linger2 >= 0 && tp.fastopen.syn_fastopen && seg.th.fin() {
            tcp_fastopen_active_disable(net);
        }
        tcp_done(tp, net);
        net.mib.inc(TcpExt::TCPAbortOnData);
        return AfterAck::Reset;
    }
    let tmo = tcp_fin_time(tp, net);
    let timewait = tcp_timewait_len(net);
    if tmo > timewait {
        inet_csk_reset_keepalive_timer(tp, net, tmo - timewait);
    } else if seg.th.fin() {
        inet_csk_reset_keepalive_timer(tp, net, tmo);
    } else {
        tcp_time_wait(tp, net, TcpState::FinWait2, tmo);
        return AfterAck::Consume;
    }
    AfterAck::Go
}

/// The payload, where the state takes one.
fn segment_text(tp: &mut TcpSock, net: &mut Net, skb: Skb, seg: &Seg) -> Verdict {
    let takes = match tp.sk.sk_state {
        TcpState::CloseWait | TcpState::Closing | TcpState::LastAck => seg.seq.before(tp.rcv_nxt),
        TcpState::FinWait1 | TcpState::FinWait2 => true,
        TcpState::Established => {
            tcp_data_queue(tp, net, skb);
            return finish_segment(tp, net, None);
        }
        _ => false,
    };
    if !takes {
        return finish_segment(tp, net, Some(skb));
    }
    // RFC 9293 3.10.4: data for nobody is answered with a reset.
    if tp.sk.sk_shutdown & RCV_SHUTDOWN != 0 && brings_new_data(tp, seg) {
        net.mib.inc(TcpExt::TCPAbortOnData);
        tcp_reset(tp, net);
        return Verdict::Reset(skb);
    }
    tcp_data_queue(tp, net, skb);
    finish_segment(tp, net, None)
}

fn finish_segment(tp: &mut TcpSock, net: &mut Net, unused: Option<Skb>) -> Verdict {
    if tp.sk.sk_state != TcpState::Close {
        tcp_data_snd_check(tp, net);
        tcp_ack_snd_check(tp, net);
    }
    if let Some(skb) = unused {
        tcp_drop_reason(tp, net, skb, DropReason::NotSpecified);
    }
    Verdict::Done
}
