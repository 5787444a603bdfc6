//! Sockets that are less than a connection: requests and TIME-WAIT, and the child that a request
//! becomes (Linux `tcp_minisocks.c`, 5.15).

use super::tcp_input::*;
use super::tcp_sock::*;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::core::skbuff::Skb;
use crate::net::core::sock::{SOCK_RCVBUF_LOCK, SkbQueue, SockId, Socks, TcpState};
use crate::net::ipv4::inet_connection_sock::*;
use crate::net::ipv4::inet_csk_listen::*;
use crate::net::ipv4::inet_timewait_sock::*;
use crate::net::ipv4::mib::{Tcp, TcpExt};
use crate::net::ipv4::route::Dst;
use crate::net::ipv4::tcp::tcp_done;
use crate::net::ipv4::tcp_fastopen::{Fastopen, reqsk_fastopen_remove, tcp_fastopen_settle};
use crate::net::ipv4::tcp_ipv4::*;
use crate::net::ipv4::tcp_metrics::tcp_update_metrics;
use crate::net::ipv4::tcp_output::*;
use crate::net::ipv4::tcp_timer::keepalive_time_when;
use crate::time::{Jiffies, TimerId};
use std::collections::VecDeque;

/// What a segment for a TIME-WAIT socket asks for (`enum tcp_tw_status`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TcpTwStatus {
    Success,
    Rst,
    Ack,
    /// A new connection, whose own numbers start at this one.
    Syn(SeqNum),
    /// A valid reset: the socket is to end.
    Kill,
}

/// `tcp_in_window`: some of `seq..end_seq` lies in `s_win..e_win`, or it is an empty segment at
/// its end.
fn tcp_in_window(seq: SeqNum, end_seq: SeqNum, s_win: SeqNum, e_win: SeqNum) -> bool {
    seq == s_win || (end_seq.after(s_win) && seq.before(e_win)) || (seq == e_win && seq == end_seq)
}

/// The timestamp of a segment against what was remembered; whether it is too old, and the value.
fn paws(
    net: &Net,
    skb: &Skb,
    ts_recent: u32,
    ts_recent_stamp: u64,
    rst: bool,
) -> (bool, Option<u32>) {
    let mut opt = TcpOptionsReceived::default();
    tcp_parse_options(net, tcp_options(skb), &mut opt, false, false);
    if !opt.saw_tstamp {
        return (false, None);
    }
    opt.ts_recent = ts_recent;
    opt.ts_recent_stamp = ts_recent_stamp;
    (tcp_paws_reject(&opt, net, rst), Some(opt.rcv_tsval))
}

/// A segment for a TIME-WAIT socket (`tcp_timewait_state_process`, RFC 9293 3.10.7.4,
/// RFC 6191, RFC 1337).
pub(crate) fn tcp_timewait_state_process(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    skb: &Skb,
) -> TcpTwStatus {
    let seg = Seg::new(skb);
    let th = seg.th;
    let Some(tw) = socks.tw_mut(id) else { return TcpTwStatus::Success };
    let (paws_reject, tsval) = if tw.tw_ts_recent_stamp != 0 {
        paws(net, skb, tw.tw_ts_recent, tw.tw_ts_recent_stamp, th.rst())
    } else {
        (false, None)
    };
    if tw.tw_substate == TcpState::FinWait2 {
        return fin_wait2(tw, net, &seg, paws_reject, tsval);
    }
    if !paws_reject && seg.seq == tw.tw_rcv_nxt && (seg.seq == seg.end_seq || th.rst()) {
        if th.rst() {
            if net.sysctl.tcp_rfc1337 == 0 {
                return TcpTwStatus::Kill;
            }
        } else {
            inet_twsk_reschedule(net, id, tcp_timewait_len(net));
        }
        remember(tw, net, tsval);
        return TcpTwStatus::Success;
    }
    let newer = tsval.is_some_and(|v| (tw.tw_ts_recent.wrapping_sub(v) as i32) < 0);
    if th.syn() && !th.rst() && !th.ack() && !paws_reject && (seg.seq.after(tw.tw_rcv_nxt) || newer)
    {
        let isn = tw.tw_snd_nxt + (65535 + 2);
        return TcpTwStatus::Syn(if isn.0 == 0 { SeqNum(1) } else { isn });
    }
    if paws_reject {
        net.mib.inc(TcpExt::PAWSEstab);
    }
    if th.rst() {
        return TcpTwStatus::Success;
    }
    if paws_reject || th.ack() {
        inet_twsk_reschedule(net, id, tcp_timewait_len(net));
    }
    oow_answer(tw, net, &seg, TcpExt::TCPACKSkippedTimeWait)
}

fn remember(tw: &mut TimewaitSock, net: &Net, tsval: Option<u32>) {
    if let Some(tsval) = tsval {
        tw.tw_ts_recent = tsval;
        tw.tw_ts_recent_stamp = ktime_get_seconds(net);
    }
}

/// `tcp_timewait_check_oow_rate_limit`.
fn oow_answer(tw: &mut TimewaitSock, net: &mut Net, seg: &Seg, mib: TcpExt) -> TcpTwStatus {
    if tcp_oow_rate_limited(net, seg, mib, &mut tw.tw_last_oow_ack_time) {
        TcpTwStatus::Success
    } else {
        TcpTwStatus::Ack
    }
}

/// A segment in FIN-WAIT-2 that has no full socket any more.
fn fin_wait2(
    tw: &mut TimewaitSock,
    net: &mut Net,
    seg: &Seg,
    paws_reject: bool,
    tsval: Option<u32>,
) -> TcpTwStatus {
    let th = seg.th;
    let window_end = tw.tw_rcv_nxt + tw.tw_rcv_wnd;
    if paws_reject || !tcp_in_window(seg.seq, seg.end_seq, tw.tw_rcv_nxt, window_end) {
        return oow_answer(tw, net, seg, TcpExt::TCPACKSkippedFinWait2);
    }
    if th.rst() {
        return TcpTwStatus::Kill;
    }
    if th.syn() && !seg.seq.before(tw.tw_rcv_nxt) {
        return TcpTwStatus::Rst;
    }
    if !th.ack() || !seg.end_seq.after(tw.tw_rcv_nxt) || seg.end_seq == seg.seq {
        return TcpTwStatus::Success;
    }
    // Data for nobody.
    if !th.fin() || seg.end_seq != tw.tw_rcv_nxt + 1 {
        return TcpTwStatus::Rst;
    }
    tw.tw_substate = TcpState::TimeWait;
    tw.tw_rcv_nxt = seg.end_seq;
    remember(tw, net, tsval);
    inet_twsk_reschedule(net, tw.id, tcp_timewait_len(net));
    TcpTwStatus::Ack
}

/// Turns a connection into a TIME-WAIT socket (`tcp_time_wait`) for `timeo` jiffies (FIN-WAIT-2;
/// TIME-WAIT takes 60 s). The socket is closed here; its place in the tables changes when
/// [`tcp_settle`] sees it.
pub(crate) fn tcp_time_wait(tp: &mut TcpSock, net: &mut Net, state: TcpState, timeo: Jiffies) {
    tcp_update_metrics(tp, net);
    let rto = (tp.icsk.icsk_rto << 2) - (tp.icsk.icsk_rto >> 1);
    let timeo = if state == TcpState::TimeWait { tcp_timewait_len(net) } else { timeo.max(rto) };
    // What the minisock needs is still in the closed socket.
    tp.time_wait = Some((state, timeo));
    tcp_done(tp, net);
}

/// Brings the tables up to date with what a handler did to a connection: a closed one leaves
/// them, one in TIME-WAIT is replaced, and an orphan that is closed ends (what Linux's
/// `tcp_set_state()` and `tcp_done()` do at once, where the tables are at hand).
pub(crate) fn tcp_settle(socks: &mut Socks, net: &mut Net, id: SockId) {
    let Some(tp) = socks.tcp(id) else { return };
    let closed = tp.sk.sk_state == TcpState::Close;
    if tp.fastopen.removed.is_some() {
        tcp_fastopen_settle(socks, net, id);
    }
    let Some(tp) = socks.tcp(id).filter(|_| closed) else { return };
    let (time_wait, dead, keep_port) = (tp.time_wait, tp.sk.dead, tp.sk.bindport_lock);
    if let Some((state, timeo)) = time_wait {
        inet_twsk_hashdance(socks, net, id, state, timeo);
        if let Some(tp) = socks.tcp_mut(id) {
            tp.time_wait = None;
        }
    }
    super::inet_hashtables::inet_unhash(socks, id);
    if !keep_port {
        super::inet_hashtables::inet_put_port(socks, id);
    }
    if dead {
        inet_csk_destroy_sock(socks, net, id);
    }
}

/// Chooses the window of a request (`tcp_openreq_init_rwin`).
pub(crate) fn tcp_openreq_init_rwin(req: &mut RequestSock, tp: &TcpSock, net: &Net, dst: &Dst) {
    let full_space = tcp_full_space(tp, net);
    let advmss = dst.advmss(net).max(u32::from(TCP_MIN_MSS));
    let mss = tcp_mss_clamp(tp, advmss);
    let mut clamp = tp.window_clamp;
    if tp.sk.sk_userlocks & SOCK_RCVBUF_LOCK != 0
        && (i64::from(clamp) > i64::from(full_space) || clamp == 0)
    {
        clamp = full_space.max(0) as u32;
    }
    let options = if req.tstamp_ok { TCPOLEN_TSTAMP_ALIGNED as u32 } else { 0 };
    let mss = mss.saturating_sub(options);
    let first = tcp_select_initial_window(net, full_space, mss, clamp, req.wscale_ok, dst.initrwnd);
    req.rsk_rcv_wnd = first.rcv_wnd;
    req.rsk_window_clamp = first.window_clamp;
    req.rcv_wscale = first.rcv_wscale;
}

/// Makes the socket of an accepted request: the listener's copy with the request's numbers
/// (`tcp_create_openreq_child`).
pub(crate) fn tcp_create_openreq_child(
    listener: &TcpSock,
    net: &mut Net,
    req: &RequestSock,
    seg: &Seg,
    id: SockId,
) -> TcpSock {
    let mut tp = listener.clone();
    inet_csk_clone(&mut tp, req, id);
    let now = net.jiffies();
    tp.pred_flags = 0;
    tp.rcv_nxt = req.rcv_isn + 1;
    tp.rcv_wup = tp.rcv_nxt;
    tp.copied_seq = tp.rcv_nxt;
    tp.segs_in = 1;
    let seq = req.snt_isn + 1;
    tp.snd_sml = seq;
    tp.snd_una = seq;
    tp.snd_nxt = seq;
    tp.snd_up = seq;
    tp.write_seq = seq;
    tp.pushed_seq = seq;
    tp.snd_wl1 = req.rcv_isn;
    tp.rtt_min = [MinmaxSample { t: now as u32, v: u32::MAX }; 3];
    tp.icsk.icsk_ack.lrcvtime = now;
    tp.lsndtime = now;
    tp.sk.sk_txhash = req.txhash;
    tp.total_retrans = u32::from(req.num_retrans);
    if tp.sk.keepopen {
        let when = keepalive_time_when(&tp, net);
        inet_csk_reset_keepalive_timer(&mut tp, net, when);
    }
    tp.rx_opt.tstamp_ok = req.tstamp_ok;
    tp.rx_opt.sack_ok = u8::from(req.sack_ok);
    tp.window_clamp = req.rsk_window_clamp;
    tp.rcv_ssthresh = req.rsk_rcv_wnd;
    tp.rcv_wnd = req.rsk_rcv_wnd;
    tp.rx_opt.wscale_ok = req.wscale_ok;
    if req.wscale_ok {
        tp.rx_opt.snd_wscale = req.snd_wscale;
        tp.rx_opt.rcv_wscale = req.rcv_wscale;
    } else {
        tp.rx_opt.snd_wscale = 0;
        tp.rx_opt.rcv_wscale = 0;
        tp.window_clamp = tp.window_clamp.min(65535);
    }
    tp.snd_wnd = u32::from(seg.th.window) << tp.rx_opt.snd_wscale;
    tp.max_window = tp.snd_wnd;
    tp.tcp_header_len = 20;
    tp.rx_opt.ts_recent_stamp = 0;
    if req.tstamp_ok {
        tp.rx_opt.ts_recent = req.ts_recent;
        tp.rx_opt.ts_recent_stamp = ktime_get_seconds(net);
        tp.tcp_header_len += TCPOLEN_TSTAMP_ALIGNED as u16;
    }
    if req.num_timeout != 0 {
        tp.undo_marker = Some(req.snt_isn);
        tp.retrans_stamp = (req.snt_synack / 1000) as u32;
    }
    tp.tsoffset = req.ts_off;
    let seg_len = u32::from(seg.th.doff) + seg.len;
    if seg_len >= u32::from(TCP_MSS_DEFAULT + tp.tcp_header_len) {
        tp.icsk.icsk_ack.last_seg_size = (seg_len - u32::from(tp.tcp_header_len)) as u16;
    }
    tp.rx_opt.mss_clamp = req.mss;
    tp.ecn_flags = if req.ecn_ok { TCP_ECN_OK } else { 0 };
    net.mib.inc(Tcp::PassiveOpens);
    tp
}

/// What a child does not take over from its listener (`inet_csk_clone_lock`, `sk_clone_lock`).
fn inet_csk_clone(tp: &mut TcpSock, req: &RequestSock, id: SockId) {
    let sk = &mut tp.sk;
    sk.id = id;
    sk.sk_state = TcpState::SynRecv;
    sk.inet_dport = req.ir_rmt_port;
    sk.inet_num = req.ir_num;
    sk.inet_daddr = req.ir_rmt_addr;
    sk.inet_rcv_saddr = req.ir_loc_addr;
    sk.inet_saddr = req.ir_loc_addr;
    sk.bound_dev_if = req.ir_iif;
    sk.sk_mark = req.mark;
    sk.bindport_lock = false;
    sk.port_by_connect = false;
    sk.sk_hash = None;
    if let Some(np) = &mut sk.pinet6 {
        np.sk_hash = None;
    }
    sk.done = false;
    sk.nospace = false;
    sk.sk_err = None;
    sk.sk_err_soft = None;
    sk.sk_shutdown = 0;
    sk.sk_rmem_alloc = 0;
    sk.sk_wmem_queued = 0;
    sk.sk_forward_alloc = 0;
    sk.sk_lock_owned = false;
    sk.sk_backlog = SkbQueue::default();
    sk.sk_backlog_len = 0;
    sk.sk_ack_backlog = 0;
    sk.sk_drops = 0;
    sk.sk_receive_queue = SkbQueue::default();
    sk.sk_error_queue = VecDeque::new();
    sk.sk_zckey = 0;
    sk.sk_omem_alloc = 0;
    sk.sk_dst = None;
    let icsk = &mut tp.icsk;
    icsk.accept_queue = VecDeque::new();
    icsk.reqsk_qlen = 0;
    icsk.reqsk_young = 0;
    icsk.fastopenq = None;
    icsk.listener = Some(req.listener);
    icsk.icsk_retransmits = 0;
    icsk.icsk_backoff = 0;
    icsk.icsk_probes_out = 0;
    icsk.icsk_probes_tstamp = None;
    icsk.icsk_pending = IcskPending::None;
    tp.fastopen =
        Fastopen { fastopen_no_cookie: tp.fastopen.fastopen_no_cookie, ..Fastopen::default() };
    // TCP_DEFER_ACCEPT is the listener's.
    tp.defer_accept = 0;
}

/// What a segment for a request came to.
pub(crate) enum CheckReq {
    /// Nothing more to do; the segment is dropped.
    Drop,
    /// The listener's: it answers with a reset.
    Listener,
    /// The handshake is complete: the new socket takes the segment.
    Child(SockId),
}

/// A segment for a request (`tcp_check_req`, RFC 9293 3.10.7.4 for SYN-RECEIVED).
pub(crate) fn tcp_check_req(
    socks: &mut Socks,
    net: &mut Net,
    req_id: SockId,
    skb: &Skb,
) -> CheckReq {
    let seg = Seg::new(skb);
    let Some(mut req) = socks.req(req_id).cloned() else { return CheckReq::Drop };
    let listener = req.listener;
    let mut flg = seg.th.flags & (TCPHDR_RST | TCPHDR_SYN | TCPHDR_ACK);
    let age = reqsk_timeout(&req, net) / u64::from(net.time.hz());
    let stamp = ktime_get_seconds(net).saturating_sub(age);
    let (paws_reject, tsval) = paws(net, skb, req.ts_recent, stamp, seg.th.rst());
    if seg.seq == req.rcv_isn && flg == TCPHDR_SYN && !paws_reject {
        syn_again(socks, net, &mut req, &seg);
        return CheckReq::Drop;
    }
    if flg & (TCPHDR_ACK | TCPHDR_RST) == TCPHDR_ACK && seg.ack_seq != req.snt_isn + 1 {
        return CheckReq::Listener;
    }
    let window_end = req.rcv_nxt + req.rsk_rcv_wnd;
    if paws_reject || !tcp_in_window(seg.seq, seg.end_seq, req.rcv_nxt, window_end) {
        if flg & TCPHDR_RST == 0 {
            challenge(socks, net, &mut req, skb, &seg);
        }
        if paws_reject {
            net.mib.inc(TcpExt::PAWSEstab);
        }
        return CheckReq::Drop;
    }
    if seg.seq == req.rcv_isn {
        flg &= !TCPHDR_SYN;
    }
    if flg & TCPHDR_RST != 0 && net.profile.reqsk_rst_exact && seg.seq != req.rcv_nxt {
        challenge(socks, net, &mut req, skb, &seg);
        return CheckReq::Drop;
    }
    if flg & (TCPHDR_RST | TCPHDR_SYN) != 0 {
        net.mib.inc(Tcp::AttemptFails);
        return embryonic_reset(socks, net, listener, req_id, skb, flg);
    }
    if flg & TCPHDR_ACK == 0 {
        return CheckReq::Drop;
    }
    let defer = socks.tcp(listener).map_or(0, |tp| tp.defer_accept);
    if req.num_timeout < defer && seg.end_seq == req.rcv_isn + 1 {
        mark_acked(socks, req_id);
        net.mib.inc(TcpExt::TCPDeferAcceptDrop);
        return CheckReq::Drop;
    }
    let Some(child) = tcp_v4_syn_recv_sock(socks, net, &req, &seg) else {
        if net.sysctl.tcp_abort_on_overflow == 0 {
            mark_acked(socks, req_id);
            return CheckReq::Drop;
        }
        return embryonic_reset(socks, net, listener, req_id, skb, flg);
    };
    if let Some(tp) = socks.tcp_mut(child) {
        if let Some(tsval) = tsval.filter(|_| !seg.seq.after(req.rcv_nxt)) {
            tp.rx_opt.ts_recent = tsval;
        }
        // A SYN-ACK that was sent twice gives no sample (Karn).
        tcp_mstamp_refresh(tp, net);
        tcp_synack_rtt_meas(tp, net, if req.num_retrans == 0 { req.snt_synack } else { 0 });
    }
    inet_csk_complete_hashdance(socks, net, listener, req_id, child);
    CheckReq::Child(child)
}

/// A segment for a Fast Open child before its third ACK (`tcp_check_req` with `fastopen`): whether
/// the child's state takes it.
pub(crate) fn tcp_check_req_fastopen(tp: &mut TcpSock, net: &mut Net, skb: &Skb) -> bool {
    let Some(mut req) = tp.fastopen.fastopen_rsk.take() else { return true };
    let checked = check_child_request(tp, net, &mut req, skb);
    tp.fastopen.fastopen_rsk = Some(req);
    if checked == ChildRequest::Abort {
        reqsk_fastopen_remove(tp, true);
        tcp_reset(tp, net);
    }
    checked == ChildRequest::Go
}

/// What a segment means to the request of a Fast Open child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChildRequest {
    Go,
    Drop,
    /// A valid reset.
    Abort,
}

fn check_child_request(
    tp: &mut TcpSock,
    net: &mut Net,
    req: &mut RequestSock,
    skb: &Skb,
) -> ChildRequest {
    let seg = Seg::new(skb);
    let mib = TcpExt::TCPACKSkippedSynRecv;
    let mut flg = seg.th.flags & (TCPHDR_RST | TCPHDR_SYN | TCPHDR_ACK);
    let age = reqsk_timeout(req, net) / u64::from(net.time.hz());
    let stamp = ktime_get_seconds(net).saturating_sub(age);
    let (paws_reject, tsval) = paws(net, skb, req.ts_recent, stamp, seg.th.rst());
    if seg.seq == req.rcv_isn && flg == TCPHDR_SYN && !paws_reject {
        if !tcp_oow_rate_limited(net, &seg, mib, &mut req.last_oow_ack_time) {
            tcp_rtx_synack(tp, net, req);
        }
        return ChildRequest::Drop;
    }
    let window_end = req.rcv_nxt + req.rsk_rcv_wnd;
    let outside = !tcp_in_window(seg.seq, seg.end_seq, req.rcv_nxt, window_end);
    let wrong_rst = flg & TCPHDR_RST != 0 && net.profile.reqsk_rst_exact && seg.seq != req.rcv_nxt;
    if paws_reject || outside || wrong_rst {
        if (flg & TCPHDR_RST == 0 || (wrong_rst && !outside && !paws_reject))
            && !tcp_oow_rate_limited(net, &seg, mib, &mut req.last_oow_ack_time)
        {
            tcp_v4_reqsk_send_ack(net, skb, req, tp.snd_nxt);
        }
        if paws_reject {
            net.mib.inc(TcpExt::PAWSEstab);
        }
        return ChildRequest::Drop;
    }
    if let Some(tsval) = tsval.filter(|_| !seg.seq.after(req.rcv_nxt)) {
        req.ts_recent = tsval;
    }
    if seg.seq == req.rcv_isn {
        flg &= !TCPHDR_SYN;
    }
    if flg & TCPHDR_RST != 0 {
        net.mib.inc(Tcp::AttemptFails);
        return ChildRequest::Abort;
    }
    if flg & TCPHDR_SYN != 0 {
        net.mib.inc(Tcp::AttemptFails);
        tcp_v4_send_reset(net, Some(reply_context(tp)), skb);
        return ChildRequest::Drop;
    }
    if flg & TCPHDR_ACK == 0 { ChildRequest::Drop } else { ChildRequest::Go }
}

/// The SYN came again: the SYN-ACK goes again, and its timer starts anew.
fn syn_again(socks: &mut Socks, net: &mut Net, req: &mut RequestSock, seg: &Seg) {
    let limited =
        tcp_oow_rate_limited(net, seg, TcpExt::TCPACKSkippedSynRecv, &mut req.last_oow_ack_time);
    save_oow_time(socks, req);
    if limited || !inet_rtx_syn_ack(socks, net, req.listener, req.id) {
        return;
    }
    let expires = net.jiffies() + reqsk_timeout(req, net);
    if net.timer_pending(TimerId::Reqsk(req.id)) {
        net.mod_timer(TimerId::Reqsk(req.id), expires);
    }
}

fn save_oow_time(socks: &mut Socks, req: &RequestSock) {
    if let Some(stored) = socks.req_mut(req.id) {
        stored.last_oow_ack_time = req.last_oow_ack_time;
    }
}

fn mark_acked(socks: &mut Socks, req_id: SockId) {
    if let Some(req) = socks.req_mut(req_id) {
        req.acked = true;
    }
}

/// An unacceptable segment is answered with an ACK, not too often.
fn challenge(socks: &mut Socks, net: &mut Net, req: &mut RequestSock, skb: &Skb, seg: &Seg) {
    let mib = TcpExt::TCPACKSkippedSynRecv;
    if !tcp_oow_rate_limited(net, seg, mib, &mut req.last_oow_ack_time) {
        let seq = req.snt_isn + 1;
        tcp_v4_reqsk_send_ack(net, skb, req, seq);
    }
    save_oow_time(socks, req);
}

fn embryonic_reset(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    req_id: SockId,
    skb: &Skb,
    flg: u8,
) -> CheckReq {
    if flg & TCPHDR_RST == 0 {
        let args = socks.tcp(listener).map(reply_context);
        tcp_v4_send_reset(net, args, skb);
    }
    inet_csk_reqsk_queue_drop(socks, net, listener, req_id);
    net.mib.inc(TcpExt::EmbryonicRsts);
    CheckReq::Drop
}

/// Feeds the segment that completed a handshake to the new socket, and tells the listener
/// (`tcp_child_process`).
pub(crate) fn tcp_child_process(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    child: SockId,
    skb: Skb,
) -> Verdict {
    let Some(tp) = socks.tcp_mut(child) else {
        crate::net::core::skbuff::kfree_skb(
            net,
            skb,
            crate::net::core::skbuff::DropReason::NoSocket,
        );
        return Verdict::Done;
    };
    let state = tp.sk.sk_state;
    tcp_segs_in(tp, &skb);
    let verdict = tcp_rcv_state_process(tp, net, skb);
    if state == TcpState::SynRecv && tp.sk.sk_state != state {
        net.sk_data_ready(listener);
    }
    verdict
}

/// Counts a segment for the socket (`tcp_segs_in`).
pub(crate) fn tcp_segs_in(tp: &mut TcpSock, skb: &Skb) {
    let segs = u32::from(skb.gso_segs.max(1));
    tp.segs_in = tp.segs_in.wrapping_add(segs);
    if skb.len() > usize::from(skb.tcp_cb().doff) {
        tp.data_segs_in = tp.data_segs_in.wrapping_add(segs);
    }
}
