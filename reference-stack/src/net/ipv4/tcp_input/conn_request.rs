//! Passive opening: a SYN at a listener becomes a request (Linux `tcp_conn_request()`, 5.15).

use super::*;
use crate::lib::shared::Arc;
use crate::net::core::sock::{Sock, SockId, Socks};
use crate::net::ethernet::ETH_P_IPV6;
use crate::net::ipv4::inet_connection_sock::tcp_timeout_init;
use crate::net::ipv4::syncookies::cookie_init_sequence;
use crate::net::ipv4::tcp_fastopen::{TcpFastopenCookie, TryFastopen, tcp_try_fastopen};
use crate::net::ipv4::tcp_ipv4::*;
use crate::net::ipv4::tcp_metrics::tcp_peer_is_proven;
use crate::net::ipv4::tcp_minisocks::tcp_openreq_init_rwin;
use crate::net::ipv6::LOOPBACK4_IPV6;
use crate::net::ipv6::addr::is_linklocal;
use crate::net::ipv6::route::IPV6_MIN_MTU;
use crate::time::TimerId;
use std::net::IpAddr;

/// Whether nobody may be added to the accept queue (`sk_acceptq_is_full`).
pub(crate) fn sk_acceptq_is_full(tp: &TcpSock) -> bool {
    tp.sk.sk_ack_backlog > tp.sk.sk_max_ack_backlog
}

/// Whether no request may be added: one more than the backlog may, as in the accept queue, so that
/// listen(0) takes one connection.
fn inet_csk_reqsk_queue_is_full(tp: &TcpSock) -> bool {
    tp.icsk.reqsk_qlen > tp.sk.sk_max_ack_backlog
}

fn tcp_listendrop(tp: &mut TcpSock, net: &mut Net) {
    tp.sk.sk_drops = tp.sk.sk_drops.wrapping_add(1);
    net.mib.inc(TcpExt::ListenDrops);
}

/// A SYN found the queue full: whether it is answered by a cookie (`tcp_syn_flood_action`).
fn tcp_syn_flood_action(net: &mut Net) -> bool {
    let cookies = net.sysctl.tcp_syncookies != 0;
    net.mib.inc(if cookies { TcpExt::TCPReqQFullDoCookies } else { TcpExt::TCPReqQFullDrop });
    cookies
}

/// ECN is agreed to if the SYN asks for it and is not itself marked (`tcp_ecn_create_request`).
fn ecn_ok(net: &Net, th: &TcpHdr, ip_dsfield: u8) -> bool {
    let asked = TCPHDR_ECE | TCPHDR_CWR;
    th.flags & asked == asked && net.sysctl.tcp_ecn != 0 && ip_dsfield & 3 == 0
}

/// Answers a SYN (`tcp_conn_request`). `tw_isn`: the number to start with after a TIME-WAIT
/// socket of the same four-tuple, which a SYN may replace without regard to the queue.
pub(crate) fn tcp_conn_request(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    skb: &Skb,
    tw_isn: Option<SeqNum>,
) {
    let tw_isn = tw_isn.filter(|_| net.profile.tw_isn_kept);
    let Some(tp) = socks.tcp_mut(listener) else { return };
    let full = net.sysctl.tcp_syncookies == 2 || inet_csk_reqsk_queue_is_full(tp);
    let want_cookie = full && tw_isn.is_none();
    if want_cookie && !tcp_syn_flood_action(net) {
        return tcp_listendrop(tp, net);
    }
    if sk_acceptq_is_full(tp) {
        net.mib.inc(TcpExt::ListenOverflows);
        return tcp_listendrop(tp, net);
    }
    let Some((mut req, foc)) = request_from_syn(tp, net, skb, want_cookie) else { return };
    let route = inet_csk_route_req(tp, net, &req);
    let Ok(dst) = route else { return tcp_listendrop(tp, net) };
    let (seq, ts_off) = secure_tcp_seq_and_ts_off(net, req.key());
    if req.tstamp_ok {
        req.ts_off = ts_off;
    }
    let max_syn_backlog = net.sysctl.tcp_max_syn_backlog;
    if !want_cookie
        && tw_isn.is_none()
        && net.sysctl.tcp_syncookies == 0
        && max_syn_backlog - i64::from(tp.icsk.reqsk_qlen) < max_syn_backlog >> 2
        && !tcp_peer_is_proven(&req, net)
    {
        // The last quarter is for peers that are known.
        return tcp_listendrop(tp, net);
    }
    req.snt_isn = tw_isn.unwrap_or(seq);
    req.ecn_ok = ecn_ok(net, &tcp_hdr(skb), skb.tcp_cb().ip_dsfield);
    if want_cookie {
        req.snt_isn = cookie_init_sequence(tp, net, &mut req);
        req.ecn_ok &= req.tstamp_ok;
    }
    req.txhash = net.rng.next_u32().max(1);
    tcp_openreq_init_rwin(&mut req, tp, net, &dst);
    if want_cookie {
        tcp_v4_send_synack(tp, net, &mut req, None);
        return;
    }
    match tcp_try_fastopen(socks, net, listener, skb, &mut req, foc) {
        TryFastopen::Child(child, foc) => fastopen_child(socks, net, listener, child, foc),
        TryFastopen::No(foc) => queue_request(socks, net, req, foc),
    }
}

/// Fast Open made a child at once: it answers the SYN, and waits to be accepted.
fn fastopen_child(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    child: SockId,
    foc: Option<TcpFastopenCookie>,
) {
    if let Some(tp) = socks.tcp_mut(child)
        && let Some(mut req) = tp.fastopen.fastopen_rsk.take()
    {
        tcp_v4_send_synack(tp, net, &mut req, foc);
        tp.fastopen.fastopen_rsk = Some(req);
    }
    if let Some(tp) = socks.tcp_mut(listener) {
        tp.icsk.accept_queue.push_back(child);
        tp.sk.sk_ack_backlog += 1;
    }
    net.wake_up(listener);
}

/// Keeps a request until its third ACK and answers the SYN (`inet_csk_reqsk_queue_hash_add`).
fn queue_request(
    socks: &mut Socks,
    net: &mut Net,
    mut req: RequestSock,
    foc: Option<TcpFastopenCookie>,
) {
    let Some(tp) = socks.tcp_mut(req.listener) else { return };
    req.timeout = tcp_timeout_init(net);
    tp.icsk.reqsk_qlen += 1;
    tp.icsk.reqsk_young += 1;
    tcp_v4_send_synack(tp, net, &mut req, foc);
    let timeout = net.jiffies() + req.timeout;
    let id = socks.insert(&net.wmem, |id| {
        req.id = id;
        Sock::Req(Arc::new(req))
    });
    socks.ehash_insert(id);
    net.mod_timer(TimerId::Reqsk(id), timeout);
}

/// The device that answers are bound to (`ir_iif`): the listener's, or where a link-local peer is.
fn request_bound_dev_if(tp: &TcpSock, skb: &Skb, rmt: IpAddr) -> u32 {
    match rmt {
        IpAddr::V6(rmt) if tp.sk.bound_dev_if == 0 && is_linklocal(rmt) => {
            skb.dev.map_or(0, |d| d.ifindex())
        }
        _ => tp.sk.bound_dev_if,
    }
}

/// The segment size of a peer that does not say (`af_ops->mss_clamp`): what the smallest MTU holds.
fn tcp_default_mss(skb: &Skb) -> u16 {
    match skb.protocol {
        ETH_P_IPV6 => (IPV6_MIN_MTU - 60) as u16,
        _ => TCP_MSS_DEFAULT,
    }
}

/// What a SYN says. For a cookie, only a timestamp can carry the options, and Fast Open is not
/// asked for.
fn request_from_syn(
    tp: &TcpSock,
    net: &Net,
    skb: &Skb,
    want_cookie: bool,
) -> Option<(RequestSock, Option<TcpFastopenCookie>)> {
    let mut opt = TcpOptionsReceived {
        mss_clamp: tcp_default_mss(skb),
        user_mss: tp.rx_opt.user_mss,
        ..TcpOptionsReceived::default()
    };
    let mut foc = None;
    tcp_parse_syn_options(net, tcp_options(skb), &mut opt, &mut foc);
    if want_cookie {
        foc = None;
        if !opt.saw_tstamp {
            tcp_clear_options(&mut opt);
        }
    }
    let mut req = reqsk_alloc(tp, skb, &opt)?;
    req.cookie = want_cookie;
    Some((req, foc))
}

/// A request by the options of a segment (`inet_reqsk_alloc`, `tcp_openreq_init`,
/// `tcp_v4_init_req`).
pub(crate) fn reqsk_alloc(
    tp: &TcpSock,
    skb: &Skb,
    opt: &TcpOptionsReceived,
) -> Option<RequestSock> {
    let th = tcp_hdr(skb);
    let (rmt, loc) = addresses(skb)?;
    let (ir_loc_addr, ir_rmt_addr, ir_v6) = match (loc, rmt) {
        (IpAddr::V4(loc), IpAddr::V4(rmt)) => (loc, rmt, None),
        (IpAddr::V6(saddr), IpAddr::V6(daddr)) => {
            (LOOPBACK4_IPV6, LOOPBACK4_IPV6, Some(V6Addrs { saddr, daddr }))
        }
        _ => return None,
    };
    Some(RequestSock {
        id: SockId::default(),
        listener: tp.sk.id,
        ir_loc_addr,
        ir_rmt_addr,
        ir_v6,
        ir_iif: request_bound_dev_if(tp, skb, rmt),
        ir_num: th.dest,
        ir_rmt_port: th.source,
        rcv_isn: th.seq,
        snt_isn: SeqNum(0),
        rcv_nxt: th.seq + 1,
        snt_synack: 0,
        last_oow_ack_time: None,
        txhash: 0,
        ts_off: 0,
        ts_recent: if opt.saw_tstamp { opt.rcv_tsval } else { 0 },
        mss: opt.mss_clamp,
        num_retrans: 0,
        num_timeout: 0,
        md5sig_info: tp.md5sig_info.clone(),
        cookie: false,
        snd_wscale: opt.snd_wscale,
        rcv_wscale: 0,
        rsk_rcv_wnd: 0,
        rsk_window_clamp: 0,
        tstamp_ok: opt.saw_tstamp,
        sack_ok: opt.sack_ok != 0,
        wscale_ok: opt.wscale_ok,
        ecn_ok: false,
        acked: false,
        mark: tp.sk.sk_mark,
        timeout: 0,
    })
}
