//! SYN, SYN-ACK, FIN and RST (Linux `tcp_output.c`).

use super::*;
use crate::net::core::sock::SOCK_RCVBUF_LOCK;
use crate::net::core::stream::{sk_forced_mem_schedule, tcp_under_memory_pressure};
use crate::net::ipv4::inet_connection_sock::{
    inet_csk_reset_xmit_timer, tcp_rto_max, tcp_timeout_init,
};
use crate::net::ipv4::route::Dst;
use crate::net::ipv4::syncookies::cookie_init_timestamp;
use crate::net::ipv4::tcp_cong::{CongestionOps, tcp_assign_congestion_control};
use crate::net::ipv4::tcp_fastopen::{TcpFastopenCookie, tcp_fastopen_cookie_check};
use crate::net::ipv4::tcp_input::{tcp_clear_retrans, tcp_initialize_rcv_mss};
use crate::net::ipv4::tcp_md5::{TCPOLEN_MD5SIG_ALIGNED, tcp_md5_do_lookup};

/// Header flags of a SYN that asks for ECN.
const TCPHDR_SYN_ECN: u8 = TCPHDR_SYN | TCPHDR_ECE | TCPHDR_CWR;

/// Sets up sizes, windows and sequence variables of an active open
/// (Linux `tcp_connect_init()`). The route is in the socket, `write_seq` is the ISN.
pub(crate) fn tcp_connect_init(tp: &mut TcpSock, net: &mut Net) {
    let ts = net.sysctl.tcp_timestamps != 0;
    tp.tcp_header_len = if ts { 20 + 12 } else { 20 };
    if md5_key_of(tp).is_some() {
        tp.tcp_header_len += TCPOLEN_MD5SIG_ALIGNED as u16;
    }
    if tp.rx_opt.user_mss != 0 {
        tp.rx_opt.mss_clamp = tp.rx_opt.user_mss;
    }
    tp.max_window = 0;
    tcp_mtup_init(tp, net);
    let (mtu, advmss, initrwnd) = match &tp.sk.sk_dst {
        Some(dst) => (dst.mtu, dst.advmss(net), dst.initrwnd),
        None => (1500, 1460, 0),
    };
    tcp_sync_mss(tp, net, mtu);
    tcp_ca_dst_init(tp, net);
    tp.advmss = tcp_mss_clamp(tp, advmss).min(u32::from(u16::MAX)) as u16;
    tcp_initialize_rcv_mss(tp);
    let full = tcp_full_space(tp, net);
    let clamped = tp.window_clamp == 0 || i64::from(tp.window_clamp) > i64::from(full);
    if tp.sk.sk_userlocks & SOCK_RCVBUF_LOCK != 0 && clamped {
        tp.window_clamp = full.max(0) as u32;
    }
    let options =
        if tp.rx_opt.ts_recent_stamp != 0 { u32::from(tp.tcp_header_len) - 20 } else { 0 };
    let mss = u32::from(tp.advmss).saturating_sub(options);
    let scaling = net.sysctl.tcp_window_scaling != 0;
    let first = tcp_select_initial_window(net, full, mss, tp.window_clamp, scaling, initrwnd);
    tp.rcv_wnd = first.rcv_wnd;
    tp.window_clamp = first.window_clamp;
    tp.rx_opt.rcv_wscale = first.rcv_wscale;
    tp.rcv_ssthresh = tp.rcv_wnd;
    tp.sk.sk_err = None;
    tp.sk.done = false;
    tp.snd_wnd = 0;
    tp.snd_wl1 = SeqNum(0);
    tp.snd_una = tp.write_seq;
    tp.snd_sml = tp.write_seq;
    tp.snd_up = tp.write_seq;
    tp.snd_nxt = tp.write_seq;
    tp.rcv_nxt = SeqNum(0);
    tp.rcv_wup = tp.rcv_nxt;
    tp.copied_seq = tp.rcv_nxt;
    tp.icsk.icsk_rto = tcp_timeout_init(net);
    tp.icsk.icsk_retransmits = 0;
    tcp_clear_retrans(tp);
}

/// The congestion control that the route names, else the namespace's (Linux `tcp_ca_dst_init()`).
fn tcp_ca_dst_init(tp: &mut TcpSock, net: &mut Net) {
    if let Some(named) = tp.sk.sk_dst.as_ref().and_then(|dst| dst.cc_algo) {
        tp.icsk.icsk_ca = CongestionOps::new(named);
    } else if !tp.icsk.icsk_ca_setsockopt && !tp.icsk.icsk_ca_initialized {
        tcp_assign_congestion_control(tp, net);
    }
}

/// Sends the SYN and waits for its answer (Linux `tcp_connect()`).
///
/// # Errors
/// What sending the SYN gave, only if it is ECONNREFUSED; other failures are left to the timer.
#[traced]
pub(crate) fn tcp_connect(tp: &mut TcpSock, net: &mut Net) -> Result<(), Errno> {
    tcp_connect_init(tp, net);
    let mut syn = tcp_init_nondata_skb(net, tp.write_seq, TCPHDR_SYN);
    tcp_mstamp_refresh(tp, net);
    tp.retrans_stamp = tcp_time_stamp(tp);
    sk_forced_mem_schedule(&mut tp.sk, net, syn.truesize);
    tcp_wmem_charge(tp, syn.truesize);
    tp.write_seq = syn.end_seq;
    tp.packets_out += 1;
    tcp_ecn_send_syn(tp, net, &mut syn);
    let sent = if tp.fastopen.fastopen_req.is_some() {
        tcp_send_syn_data(tp, net, syn)
    } else {
        let sent = tcp_transmit_skb(tp, net, &mut syn, true);
        tp.rtx_queue.push_back(syn);
        sent
    };
    if sent == Err(Errno::ECONNREFUSED) {
        return sent;
    }
    // A SYN that could not be sent is sent again by the timer.
    tp.snd_nxt = tp.write_queue.front().map_or(tp.write_seq, |skb| skb.seq);
    tp.pushed_seq = tp.snd_nxt;
    net.mib.inc(Tcp::ActiveOpens);
    let (rto, max) = (tp.icsk.icsk_rto, tcp_rto_max(net));
    inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, rto, max);
    Ok(())
}

/// Sends the SYN with data and cookie, or asking for a cookie (Linux `tcp_send_syn_data()`). What
/// goes again by the timer is a plain SYN, and the data as a segment of its own.
fn tcp_send_syn_data(tp: &mut TcpSock, net: &mut Net, mut syn: TcpSkb) -> Result<(), Errno> {
    let Some(req) = tp.fastopen.fastopen_req.as_ref() else { return Err(Errno::EINVAL) };
    let mut cookie = req.cookie;
    let unreadable = req.fault && !req.data.is_empty();
    let mut mss = tp.advmss;
    // Data that cannot be copied leaves a plain SYN that asks for a cookie.
    let may_send_data = tcp_fastopen_cookie_check(tp, net, &mut mss, &mut cookie) && !unreadable;
    tp.rx_opt.mss_clamp = mss;
    set_cookie(tp, if may_send_data { cookie } else { cookie.map(|c| c.request()) });
    if may_send_data {
        let sent = send_with_data(tp, net, &mut syn);
        set_cookie(tp, None);
        return sent;
    }
    let sent = tcp_transmit_skb(tp, net, &mut syn, true);
    if sent.is_err() {
        tp.fastopen.syn_fastopen = false;
    }
    tp.rtx_queue.push_back(syn);
    set_cookie(tp, None);
    sent
}

fn set_cookie(tp: &mut TcpSock, cookie: Option<TcpFastopenCookie>) {
    if let Some(req) = &mut tp.fastopen.fastopen_req {
        req.cookie = cookie;
    }
}

/// A SYN with as much data as one packet holds, room for options of middleboxes left aside.
fn send_with_data(tp: &mut TcpSock, net: &mut Net, syn: &mut TcpSkb) -> Result<(), Errno> {
    tp.rx_opt.mss_clamp = tcp_mss_clamp(tp, tp.rx_opt.mss_clamp.into()) as u16;
    let pmtu = tp.icsk.icsk_pmtu_cookie;
    tcp_sync_mss(tp, net, pmtu);
    let room = mtu_to_mss_without_options(tp, net, pmtu).saturating_sub(MAX_TCP_OPTION_SPACE);
    let Some(req) = tp.fastopen.fastopen_req.as_mut() else { return Err(Errno::EINVAL) };
    let space = (room as usize).min(req.data.len());
    req.copied = space;
    let space = space as u32;
    let mut syn_data = TcpSkb { uarg: req.uarg.filter(|_| space > 0), ..syn.clone() };
    net.skbs.ubufs.net_zcopy_get(syn_data.uarg);
    frags::append(&mut syn_data.frags, &req.data, 0, space);
    syn_data.len = space;
    syn_data.truesize += space;
    syn_data.end_seq += space;
    sk_forced_mem_schedule(&mut tp.sk, net, syn_data.truesize);
    tcp_wmem_charge(tp, syn_data.truesize);
    tp.write_seq = syn_data.end_seq;
    tp.packets_out += 1;
    if space > 0 {
        tcp_chrono_start(tp, net, TCP_CHRONO_BUSY);
    }
    let sent = tcp_transmit_skb(tp, net, &mut syn_data, true);
    syn.skb_mstamp_ns = syn_data.skb_mstamp_ns;
    syn_data.seq += 1;
    syn_data.tcp_flags = TCPHDR_ACK | TCPHDR_PSH;
    tp.rtx_queue.push_back(syn.clone());
    if sent.is_ok() {
        tp.fastopen.syn_data = space > 0;
        tp.rtx_queue.push_back(syn_data);
        net.mib.inc(TcpExt::TCPOrigDataSent);
        return Ok(());
    }
    // The data was not sent, and a plain SYN asks for a cookie.
    tp.write_queue.push_back(syn_data);
    tp.packets_out -= 1;
    set_cookie(tp, Some(TcpFastopenCookie::default()));
    let Some(mut syn) = tp.rtx_queue.pop_back() else { return sent };
    let sent = tcp_transmit_skb(tp, net, &mut syn, true);
    if sent.is_err() {
        tp.fastopen.syn_fastopen = false;
    }
    tp.rtx_queue.push_back(syn);
    sent
}

/// Linux `tcp_ecn_send_syn()`.
fn tcp_ecn_send_syn(tp: &mut TcpSock, net: &Net, syn: &mut TcpSkb) {
    tp.ecn_flags = 0;
    if net.sysctl.tcp_ecn == 1 {
        syn.tcp_flags |= TCPHDR_ECE | TCPHDR_CWR;
        tp.ecn_flags = TCP_ECN_OK;
    }
}

/// A SYN that is retransmitted without answer stops asking for ECN
/// (Linux `tcp_ecn_clear_syn()`).
pub(super) fn tcp_ecn_clear_syn(net: &Net, syn: &mut TcpSkb) {
    if syn.tcp_flags & TCPHDR_SYN_ECN == TCPHDR_SYN_ECN && net.sysctl.tcp_ecn_fallback != 0 {
        syn.tcp_flags &= !(TCPHDR_ECE | TCPHDR_CWR);
    }
}

/// Builds the SYN-ACK of a request, its checksum partial (Linux `tcp_make_synack()`). `tp` is the
/// listener or the Fast Open child, `dst` the route to the peer.
pub(crate) fn tcp_make_synack(
    tp: &mut TcpSock,
    net: &mut Net,
    dst: &Dst,
    req: &mut RequestSock,
    foc: Option<TcpFastopenCookie>,
) -> Skb {
    let now = net.time.ktime_ns();
    if req.snt_synack == 0 {
        req.snt_synack = now / 1000;
    }
    let mss = tcp_mss_clamp(tp, dst.advmss(net)).min(u32::from(u16::MAX)) as u16;
    let tsval = match req.cookie && req.tstamp_ok {
        true => cookie_init_timestamp(req, now),
        false => (now / NSEC_PER_MSEC) as u32,
    };
    let ends = req.ends();
    let key = tcp_md5_do_lookup(&req.md5sig_info, ends.daddr).cloned();
    if key.is_some() && !req.cookie {
        // A signature, timestamps and SACK blocks do not fit together.
        req.tstamp_ok &= !req.sack_ok;
    }
    let opts = tcp_synack_options(req, mss, tsval, foc, key.is_some());
    let header = TcpHeader {
        source: req.ir_num,
        dest: req.ir_rmt_port,
        seq: req.snt_isn,
        ack_seq: req.rcv_nxt,
        flags: TCPHDR_SYN | TCPHDR_ACK | if req.ecn_ok { TCPHDR_ECE } else { 0 },
        window: req.rsk_rcv_wnd.min(65535) as u16,
        urg_ptr: 0,
    };
    let mut skb = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    header.write(skb.push(20 + opts.len() as usize), &opts);
    skb.reset_transport_header();
    if let Some(key) = key {
        tcp_md5_sign(&mut skb, &key, ends);
    }
    skb.hash = req.txhash;
    skb.priority = tp.sk.sk_priority;
    skb.tstamp = now;
    skb.truesize = net.profile.tcp_skb_head;
    match req.ir_v6 {
        Some(v6) => tcp_v6_send_check(&mut skb, v6.saddr, v6.daddr),
        None => tcp_v4_send_check(&mut skb, req.ir_loc_addr, req.ir_rmt_addr),
    }
    net.mib.inc(Tcp::OutSegs);
    skb
}

/// Answers the SYN of a simultaneous open (Linux `tcp_send_synack()`): the queued SYN becomes a
/// SYN-ACK.
///
/// # Errors
/// EFAULT in Linux's place if no SYN is queued; what sending gave.
pub(crate) fn tcp_send_synack(tp: &mut TcpSock, net: &mut Net) -> Result<(), Errno> {
    let Some(mut syn) = tp.rtx_queue.pop_front() else { return Err(Errno::EFAULT) };
    if syn.tcp_flags & TCPHDR_SYN == 0 {
        tp.rtx_queue.push_front(syn);
        return Err(Errno::EFAULT);
    }
    if syn.tcp_flags & TCPHDR_ACK == 0 {
        syn.tcp_flags |= TCPHDR_ACK;
        if tp.ecn_flags & TCP_ECN_OK == 0 {
            syn.tcp_flags &= !TCPHDR_ECE;
        }
        syn.tcp_flags &= !TCPHDR_CWR;
    }
    let sent = tcp_transmit_skb(tp, net, &mut syn, true);
    tp.rtx_queue.push_front(syn);
    sent
}

/// Ends the sending direction: FIN on the last unsent segment if there is one
/// (Linux `tcp_send_fin()`).
#[traced]
pub(crate) fn tcp_send_fin(tp: &mut TcpSock, net: &mut Net) {
    let pressure = tcp_under_memory_pressure(net);
    let unsent = !tp.write_queue.is_empty();
    let tail = match tp.write_queue.back_mut() {
        Some(tail) => Some(tail),
        None if pressure => tp.rtx_queue.back_mut(),
        None => None,
    };
    if let Some(tail) = tail {
        tail.tcp_flags |= TCPHDR_FIN;
        tail.end_seq += 1;
        tp.write_seq += 1;
        if !unsent {
            // It was sent already without the FIN; the retransmission will carry it.
            tp.snd_nxt += 1;
            return;
        }
    } else {
        let fin = tcp_init_nondata_skb(net, tp.write_seq, TCPHDR_ACK | TCPHDR_FIN);
        sk_forced_mem_schedule(&mut tp.sk, net, fin.truesize);
        tcp_queue_skb(tp, net, fin);
    }
    let mss = tcp_current_mss(tp, net);
    __tcp_push_pending_frames(tp, net, mss, TCP_NAGLE_OFF);
}

/// Puts a segment at the end of the write queue (Linux `tcp_queue_skb()`).
pub(crate) fn tcp_queue_skb(tp: &mut TcpSock, net: &mut Net, skb: TcpSkb) {
    tp.write_seq = skb.end_seq;
    tcp_wmem_charge(tp, skb.truesize);
    tcp_add_write_queue_tail(tp, net, skb);
}

/// `tcp_add_write_queue_tail`.
pub(crate) fn tcp_add_write_queue_tail(tp: &mut TcpSock, net: &Net, skb: TcpSkb) {
    tp.write_queue.push_back(skb);
    if tp.write_queue.len() == 1 {
        tcp_chrono_start(tp, net, TCP_CHRONO_BUSY);
    }
}

/// Resets the connection: close with unread data, linger of zero, abort
/// (Linux `tcp_send_active_reset()`).
#[traced]
pub(crate) fn tcp_send_active_reset(tp: &mut TcpSock, net: &mut Net) {
    net.mib.inc(Tcp::OutRsts);
    let mut rst = tcp_init_nondata_skb(net, tcp_acceptable_seq(tp), TCPHDR_ACK | TCPHDR_RST);
    tcp_mstamp_refresh(tp, net);
    if tcp_transmit_skb(tp, net, &mut rst, false).is_err() {
        net.mib.inc(TcpExt::TCPAbortFailed);
    }
}
