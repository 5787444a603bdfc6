//! TCP over IPv4 (Linux `tcp_ipv4.c`, 5.15): the entrance of segments, active opening, answers
//! without a socket, and ICMP errors.

mod err;

pub(crate) use err::*;

use super::icmp::{
    ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP_HOST_UNREACH, ICMP_NET_UNREACH, ICMP_PARAMETERPROB,
    ICMP_TIME_EXCEEDED, IcmpErr, icmp_err_convert,
};
use super::inet_connection_sock::*;
use super::inet_csk_listen::*;
use super::inet_hashtables::*;
use super::inet_timewait_sock::*;
use super::ip_output::{ReplyArgs, ip_build_and_send_pkt, ip_send_unicast_reply};
use super::route::{Dst, Flow4, RtType, ip_route_connect, ip_route_output_flow, ipv4_update_pmtu};
use super::syncookies::{CookieCheck, cookie_v4_check};
use super::tcp_fastopen::{TcpFastopenCookie, tcp_fastopen_defer_connect};
use super::tcp_input::*;
use super::tcp_md5::{
    Ends, Md5Info, md5_for_child, tcp_inbound_md5_hash, tcp_md5_do_lookup, tcp_md5_sign,
    tcp_parse_md5sig_option,
};
use super::tcp_minisocks::*;
use super::tcp_output::*;
use super::tcp_sock::*;
use crate::errno::Errno;
use crate::lib::checksum::csum_pseudo;
use crate::lib::seqnum::SeqNum;
use crate::lib::shared::Arc;
use crate::lib::siphash::siphash;
use crate::net::Net;
use crate::net::core::skbuff::{
    Cb, DropReason, IpSummed, PktType, SKB_HEADROOM, Skb, consume_skb, kfree_skb,
};
use crate::net::core::sock::{Sock, SockId, Socks, TcpState};
use crate::net::ethernet::ETH_P_IPV6;
use crate::net::ipv4::mib::{Icmp, Ip, Tcp, TcpExt};
use crate::net::ipv4::tcp::{tcp_add_backlog, tcp_done, tcp_init_sock, tcp_set_state};
use crate::net::ipv6::ip6_input::ipv6_hdr;
use crate::net::ipv6::tcp_ipv6::{
    inet6_csk_route_req, tcp_v6_child, tcp_v6_mtu_reduced, tcp_v6_send_response, tcp_v6_send_synack,
};
use crate::uapi::{IP_PMTUDISC_DO, IP_PMTUDISC_DONT, IP_PMTUDISC_WANT, IPPROTO_TCP};
use std::net::{IpAddr, Ipv4Addr};

/// What TCP reads of the IP header in front of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpHdr {
    pub(crate) saddr: Ipv4Addr,
    pub(crate) daddr: Ipv4Addr,
    pub(crate) tos: u8,
}

/// `ip_hdr(skb)`; `None` where there is no whole header.
pub(crate) fn ip_hdr(skb: &Skb) -> Option<IpHdr> {
    let b = skb.head_at(skb.network_header).get(..20)?;
    let addr = |i: usize| Ipv4Addr::new(b[i], b[i + 1], b[i + 2], b[i + 3]);
    Some(IpHdr { saddr: addr(12), daddr: addr(16), tos: b[1] })
}

/// Source and destination of a segment of either family.
pub(crate) fn addresses(skb: &Skb) -> Option<(IpAddr, IpAddr)> {
    match skb.protocol {
        ETH_P_IPV6 => ipv6_hdr(skb).map(|ip| (ip.saddr.into(), ip.daddr.into())),
        _ => ip_hdr(skb).map(|ip| (ip.saddr.into(), ip.daddr.into())),
    }
}

/// What an answer takes from the socket that it is sent for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplyContext {
    pub(crate) bound_dev_if: u32,
    mark: u32,
    /// What IPv6 chooses the flow label by: the socket's label, or its hash.
    pub(crate) flowlabel: u32,
    pub(crate) txhash: u32,
    /// Keys of TCP_MD5SIG.
    md5sig_info: Md5Info,
}

/// The context of a full socket.
pub(crate) fn reply_context(tp: &TcpSock) -> ReplyContext {
    ReplyContext {
        bound_dev_if: tp.sk.bound_dev_if,
        mark: tp.sk.sk_mark,
        flowlabel: 0,
        txhash: if tp.sk.sk_state == TcpState::Listen { 0 } else { tp.sk.sk_txhash },
        md5sig_info: tp.md5sig_info.clone(),
    }
}

/// The context of a TIME-WAIT socket.
fn tw_reply_context(tw: &TimewaitSock) -> ReplyContext {
    ReplyContext {
        bound_dev_if: tw.tw_bound_dev_if,
        mark: tw.tw_mark,
        flowlabel: tw.tw_v6.as_ref().map_or(0, |v6| v6.tw_flowlabel),
        txhash: tw.tw_v6.as_ref().map_or(0, |v6| v6.tw_txhash),
        md5sig_info: tw.tw_md5sig_info.clone(),
    }
}

/// A new TCP socket (`tcp_v4_init_sock`).
#[reference_stack_macros::traced]
pub(crate) fn tcp_v4_init_sock(net: &mut Net, id: SockId) -> TcpSock {
    tcp_init_sock(net, id)
}

/// Initial sequence number and timestamp offset of a connection
/// (`secure_tcp_seq`, `secure_tcp_ts_off`): a keyed hash, for the ISN plus a clock of 64 ns.
pub(crate) fn secure_tcp_seq_and_ts_off(net: &Net, key: ConnKey) -> (SeqNum, u32) {
    let secrets = &net.ip.secrets;
    let (hash, addrs_hash) = match key {
        ConnKey::V4(key) => {
            let addrs = u64::from(u32::from(key.saddr)) << 32 | u64::from(u32::from(key.daddr));
            let ports = u64::from(key.sport) << 16 | u64::from(key.dport);
            let hash = siphash(&[addrs, ports], secrets.net_secret);
            (hash, siphash(&[addrs], secrets.ts_secret))
        }
        ConnKey::V6(key) => {
            let ([s1, s2], [d1, d2]) = (halves(key.saddr), halves(key.daddr));
            let ports = u64::from(key.sport) << 16 | u64::from(key.dport);
            let hash = siphash(&[s1, s2, d1, d2, ports], secrets.net_secret);
            (hash, siphash(&[s1, s2, d1, d2], secrets.ts_secret))
        }
    };
    let clock = (net.time.ktime_ns() >> 6) as u32;
    let seq = SeqNum((hash as u32).wrapping_add(clock));
    let ts_off = match (net.sysctl.tcp_timestamps, net.profile.ts_offset_by_ports) {
        (1, true) => (hash >> 32) as u32,
        (1, false) => addrs_hash as u32,
        // 2: timestamps without offset.
        _ => 0,
    };
    (seq, ts_off)
}

/// Whether a TIME-WAIT socket may be replaced by a new connection (`tcp_twsk_unique`): with
/// timestamps a second later, if `tcp_tw_reuse` allows (2: on loopback). The new connection
/// takes over where its numbers end.
pub(crate) fn tcp_twsk_unique(
    tp: &mut TcpSock,
    net: &Net,
    tw: &TimewaitSock,
    searching: bool,
) -> bool {
    let loopback = match &tw.tw_v6 {
        Some(v6) => v6.daddr.is_loopback() || v6.saddr.is_loopback(),
        None => tw.tw_daddr.is_loopback() || tw.tw_saddr.is_loopback(),
    };
    let reuse = match net.sysctl.tcp_tw_reuse {
        0 => false,
        1 => tw.tw_substate != TcpState::FinWait2,
        _ => loopback && tw.tw_substate != TcpState::FinWait2,
    };
    let aged = ktime_get_seconds(net) > tw.tw_ts_recent_stamp;
    if tw.tw_ts_recent_stamp == 0 || (searching && !(reuse && aged)) {
        return false;
    }
    let seq = tw.tw_snd_nxt + (65535 + 2);
    tp.write_seq = if seq.0 == 0 { SeqNum(1) } else { seq };
    tp.rx_opt.ts_recent = tw.tw_ts_recent;
    tp.rx_opt.ts_recent_stamp = tw.tw_ts_recent_stamp;
    true
}

/// The flow of a connected socket.
fn flow_of(tp: &TcpSock) -> Flow4 {
    Flow4 {
        saddr: tp.sk.inet_saddr,
        daddr: tp.sk.inet_daddr,
        oif: tp.sk.bound_dev_if,
        tos: tp.sk.tos,
        proto: IPPROTO_TCP,
        sport: tp.sk.inet_num,
        dport: tp.sk.inet_dport,
        mark: tp.sk.sk_mark,
    }
}

/// Opens a connection (`tcp_v4_connect`): route, addresses, port, SYN.
///
/// # Errors
/// What the route look-up says (ENETUNREACH, EINVAL...), EADDRNOTAVAIL without a free port,
/// ECONNREFUSED from the SYN's sending.
#[reference_stack_macros::traced]
pub(crate) fn tcp_v4_connect(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    addr: Ipv4Addr,
    port: u16,
) -> Result<(), Errno> {
    let Some(tp) = socks.tcp_mut(id) else { return Err(Errno::EINVAL) };
    let mut fl = Flow4 { daddr: addr, dport: port, ..flow_of(tp) };
    let dst = ip_route_connect(net, &mut fl).inspect_err(|&e| {
        if e == Errno::ENETUNREACH {
            net.mib.inc(Ip::OutNoRoutes);
        }
    })?;
    if matches!(dst.rt_type, RtType::Multicast | RtType::Broadcast) {
        return Err(Errno::ENETUNREACH);
    }
    if tp.sk.inet_saddr.is_unspecified() {
        tp.sk.inet_saddr = fl.saddr;
    }
    tp.sk.inet_rcv_saddr = tp.sk.inet_saddr;
    if tp.rx_opt.ts_recent_stamp != 0 && tp.sk.inet_daddr != fl.daddr {
        tp.rx_opt.ts_recent = 0;
        tp.rx_opt.ts_recent_stamp = 0;
        tp.write_seq = SeqNum(0);
    }
    tp.sk.inet_dport = port;
    tp.sk.inet_daddr = fl.daddr;
    tp.sk.set_mapped();
    tp.icsk.icsk_ext_hdr_len = 0;
    tp.rx_opt.mss_clamp = TCP_MSS_DEFAULT;
    tcp_set_state(tp, net, TcpState::SynSent);
    let opened = inet_hash_connect(socks, net, id).and_then(|()| send_syn(socks, net, id, dst));
    if opened.is_err() {
        connect_failed(socks, net, id);
    }
    opened
}

/// The SYN of a connection that has its addresses and its port.
pub(crate) fn send_syn(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    dst: Dst,
) -> Result<(), Errno> {
    let Some(tp) = socks.tcp_mut(id) else { return Err(Errno::EINVAL) };
    tp.sk.sk_txhash = net.rng.next_u32().max(1);
    tp.sk.sk_dst = Some(dst);
    let key = conn_key(&tp.sk, tp.sk.inet_num);
    let (seq, ts_off) = secure_tcp_seq_and_ts_off(net, key);
    if tp.write_seq.0 == 0 {
        tp.write_seq = seq;
    }
    tp.tsoffset = ts_off;
    tp.sk.inet_id = net.rng.next_u32() as u16;
    if tcp_fastopen_defer_connect(tp, net) {
        return Ok(());
    }
    tcp_connect(tp, net)
}

/// The socket is as before connect(), with the port that bind() gave it.
pub(crate) fn connect_failed(socks: &mut Socks, net: &mut Net, id: SockId) {
    inet_unhash(socks, id);
    let Some(tp) = socks.tcp_mut(id) else { return };
    let keep_port = tp.sk.bindport_lock;
    tcp_set_state(tp, net, TcpState::Close);
    if !keep_port {
        inet_put_port(socks, id);
    }
    if let Some(tp) = socks.tcp_mut(id) {
        if !tp.sk.bindaddr_lock {
            tp.sk.inet_reset_saddr();
        }
        tp.sk.inet_dport = 0;
        tp.sk.sk_dst = None;
    }
}

/// Sums a segment that nobody checked; true if it is good.
fn tcp_checksum_ok(skb: &Skb, ip: &IpHdr) -> bool {
    if skb.ip_summed != IpSummed::None {
        return true;
    }
    let mut sum = csum_pseudo(ip.saddr, ip.daddr, skb.len(), IPPROTO_TCP);
    skb.slices().for_each(|part| sum.add(part));
    sum.folded() == 0xffff
}

/// Fills the buffer's TCP part (`tcp_v4_fill_cb`).
pub(crate) fn tcp_v4_fill_cb(skb: &mut Skb, dsfield: u8, th: &TcpHdr) {
    let payload = skb.len().saturating_sub(usize::from(th.doff)) as u32;
    let length = payload + u32::from(th.syn()) + u32::from(th.fin());
    skb.cb = Cb::Tcp(crate::net::core::skbuff::TcpCb {
        seq: th.seq,
        end_seq: th.seq + length,
        ack_seq: th.ack_seq,
        tcp_flags: th.flags,
        ip_dsfield: dsfield,
        has_rxtstamp: skb.tstamp != 0,
        doff: th.doff,
    });
}

/// Takes a segment from IP (`tcp_v4_rcv`); `data` is at the TCP header.
#[reference_stack_macros::traced]
pub(crate) fn tcp_v4_rcv(socks: &mut Socks, net: &mut Net, mut skb: Skb) {
    if skb.pkt_type != PktType::Host {
        return kfree_skb(net, skb, DropReason::OtherHost);
    }
    net.mib.inc(Tcp::InSegs);
    skb.reset_transport_header();
    if !skb.may_pull(20) {
        return kfree_skb(net, skb, DropReason::PktTooSmall);
    }
    let (th, Some(ip)) = (tcp_hdr(&skb), ip_hdr(&skb)) else {
        return kfree_skb(net, skb, DropReason::PktTooSmall);
    };
    if th.doff < 20 {
        net.mib.inc(Tcp::InErrs);
        return kfree_skb(net, skb, DropReason::PktTooSmall);
    }
    if !skb.may_pull(usize::from(th.doff)) {
        return kfree_skb(net, skb, DropReason::PktTooSmall);
    }
    if !tcp_checksum_ok(&skb, &ip) {
        net.mib.inc(Tcp::InCsumErrors);
        net.mib.inc(Tcp::InErrs);
        return kfree_skb(net, skb, DropReason::TcpCsum);
    }
    tcp_v4_fill_cb(&mut skb, ip.tos, &th);
    let key = FourTuple { saddr: ip.daddr, sport: th.dest, daddr: ip.saddr, dport: th.source };
    tcp_rcv_lookup(socks, net, skb, &key.into());
}

/// Gives a checked segment of either family to the socket that it is for.
pub(crate) fn tcp_rcv_lookup(socks: &mut Socks, net: &mut Net, skb: Skb, key: &ConnKey) {
    let dif = skb.dev.map_or(0, |d| d.0 + 1);
    match __inet_lookup_skb(socks, net, key, dif) {
        Some(id) => rcv_for_sock(socks, net, id, skb, key, dif),
        None => {
            tcp_v4_send_reset(net, None, &skb);
            kfree_skb(net, skb, DropReason::NoSocket);
        }
    }
}

/// The connection, or else the listener, that a segment is for.
fn __inet_lookup_skb(socks: &Socks, net: &Net, key: &ConnKey, dif: u32) -> Option<SockId> {
    socks.ehash_get(key).or_else(|| lookup_listener(socks, net, key, dif))
}

/// Whether a segment's signature is what the keys of its socket, or of its listener, ask for.
fn inbound_md5_ok(socks: &Socks, net: &mut Net, id: SockId, skb: &Skb) -> bool {
    let owner = match socks.get(id) {
        Some(Sock::Req(req)) => req.listener,
        Some(Sock::Tw(_)) => return true,
        _ => id,
    };
    let (Some(tp), Some((saddr, daddr))) = (socks.tcp(owner), addresses(skb)) else { return true };
    let ends = Ends { saddr, daddr };
    tcp_inbound_md5_hash(&tp.md5sig_info, net, skb, ends, tcp_options(skb))
}

fn rcv_for_sock(socks: &mut Socks, net: &mut Net, id: SockId, skb: Skb, key: &ConnKey, dif: u32) {
    if !inbound_md5_ok(socks, net, id, &skb) {
        return kfree_skb(net, skb, DropReason::NotSpecified);
    }
    match socks.get(id) {
        Some(Sock::Tw(_)) => do_time_wait(socks, net, id, skb, key, dif),
        Some(Sock::Req(req)) => {
            let listener = req.listener;
            rcv_for_request(socks, net, id, listener, skb, key, dif);
        }
        Some(Sock::Tcp(tp)) if tp.sk.sk_state == TcpState::Listen => {
            tcp_v4_do_rcv(socks, net, id, skb, None);
        }
        Some(Sock::Tcp(_)) => {
            if let Some(tp) = socks.tcp_mut(id) {
                tcp_segs_in(tp, &skb);
                if tp.sk.sk_lock_owned {
                    return tcp_add_backlog(tp, net, skb);
                }
            }
            tcp_v4_do_rcv(socks, net, id, skb, None);
            tcp_settle(socks, net, id);
        }
        _ => kfree_skb(net, skb, DropReason::NoSocket),
    }
}

fn rcv_for_request(
    socks: &mut Socks,
    net: &mut Net,
    req: SockId,
    listener: SockId,
    skb: Skb,
    key: &ConnKey,
    dif: u32,
) {
    if socks.tcp(listener).is_none_or(|tp| tp.sk.sk_state != TcpState::Listen) {
        // The listener is gone, and its requests with it.
        inet_csk_reqsk_queue_drop(socks, net, listener, req);
        return match __inet_lookup_skb(socks, net, key, dif) {
            Some(id) if id != req => rcv_for_sock(socks, net, id, skb, key, dif),
            _ => {
                tcp_v4_send_reset(net, None, &skb);
                kfree_skb(net, skb, DropReason::NoSocket);
            }
        };
    }
    match tcp_check_req(socks, net, req, &skb) {
        CheckReq::Drop => kfree_skb(net, skb, DropReason::NotSpecified),
        CheckReq::Listener => tcp_v4_do_rcv(socks, net, listener, skb, None),
        CheckReq::Child(child) => child_rcv(socks, net, listener, child, skb),
    }
}

/// The segment that completed a handshake, at the connection that it made.
fn child_rcv(socks: &mut Socks, net: &mut Net, listener: SockId, child: SockId, skb: Skb) {
    if let Verdict::Reset(skb) = tcp_child_process(socks, net, listener, child, skb) {
        let context = socks.tcp(child).map(reply_context);
        tcp_v4_send_reset(net, context, &skb);
        kfree_skb(net, skb, DropReason::NotSpecified);
    }
    tcp_settle(socks, net, child);
}

fn do_time_wait(socks: &mut Socks, net: &mut Net, id: SockId, skb: Skb, key: &ConnKey, dif: u32) {
    let mut status = tcp_timewait_state_process(socks, net, id, &skb);
    if let TcpTwStatus::Syn(isn) = status {
        if let Some(listener) = lookup_listener(socks, net, key, dif) {
            inet_twsk_deschedule_put(socks, net, id);
            return tcp_v4_do_rcv(socks, net, listener, skb, Some(isn));
        }
        status = TcpTwStatus::Ack;
    }
    match status {
        TcpTwStatus::Ack => tcp_v4_timewait_ack(socks, net, id, &skb),
        TcpTwStatus::Rst => {
            let context = match socks.get(id) {
                Some(Sock::Tw(tw)) => Some(tw_reply_context(tw)),
                _ => None,
            };
            tcp_v4_send_reset(net, context, &skb);
            inet_twsk_deschedule_put(socks, net, id);
        }
        TcpTwStatus::Kill => inet_twsk_deschedule_put(socks, net, id),
        TcpTwStatus::Success | TcpTwStatus::Syn(_) => {}
    }
    kfree_skb(net, skb, DropReason::NotSpecified);
}

/// Hands a segment to the handler of the socket's state (`tcp_v4_do_rcv`). `tw_isn`: a SYN that
/// replaces a TIME-WAIT socket.
#[reference_stack_macros::traced]
pub(crate) fn tcp_v4_do_rcv(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    skb: Skb,
    tw_isn: Option<SeqNum>,
) {
    let Some(tp) = socks.tcp_mut(id) else {
        return kfree_skb(net, skb, DropReason::NoSocket);
    };
    let verdict = match tp.sk.sk_state {
        TcpState::Established => {
            tcp_rcv_established(tp, net, skb);
            return;
        }
        TcpState::Listen => listen_rcv(socks, net, id, skb, tw_isn),
        _ => tcp_rcv_state_process(tp, net, skb),
    };
    if let Verdict::Reset(skb) = verdict {
        let context = socks.tcp(id).map(reply_context);
        tcp_v4_send_reset(net, context, &skb);
        kfree_skb(net, skb, DropReason::NotSpecified);
    }
}

/// A segment at a listener (the LISTEN part of `tcp_rcv_state_process`, RFC 9293 3.10.7.2).
fn listen_rcv(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    skb: Skb,
    tw_isn: Option<SeqNum>,
) -> Verdict {
    let th = tcp_hdr(&skb);
    if !th.syn() {
        match cookie_v4_check(socks, net, id, &skb) {
            CookieCheck::Listener => {}
            CookieCheck::Drop => {
                kfree_skb(net, skb, DropReason::NotSpecified);
                return Verdict::Done;
            }
            CookieCheck::Child(child) => {
                child_rcv(socks, net, id, child, skb);
                return Verdict::Done;
            }
        }
    }
    if th.ack() {
        return Verdict::Reset(skb);
    }
    if th.rst() || !th.syn() || th.fin() {
        let reason = if th.rst() { DropReason::TcpReset } else { DropReason::TcpFlags };
        kfree_skb(net, skb, reason);
        return Verdict::Done;
    }
    tcp_v4_conn_request(socks, net, id, &skb, tw_isn);
    consume_skb(net, skb);
    Verdict::Done
}

/// `tcp_v4_conn_request`: never for a broadcast or multicast destination.
pub(crate) fn tcp_v4_conn_request(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    skb: &Skb,
    tw_isn: Option<SeqNum>,
) {
    let to_many = addresses(skb).is_none_or(|(_, daddr)| match daddr {
        IpAddr::V4(a) => a.is_multicast() || a.is_broadcast(),
        IpAddr::V6(a) => a.is_multicast(),
    });
    if to_many {
        net.mib.inc(TcpExt::ListenDrops);
        return;
    }
    tcp_conn_request(socks, net, id, skb, tw_isn);
}

/// The route of a request's answers (`inet_csk_route_req`).
pub(crate) fn inet_csk_route_req(
    tp: &TcpSock,
    net: &mut Net,
    req: &RequestSock,
) -> Result<Dst, Errno> {
    if req.ir_v6.is_some() {
        return inet6_csk_route_req(tp, net, req);
    }
    let mut fl = Flow4 {
        saddr: req.ir_loc_addr,
        daddr: req.ir_rmt_addr,
        oif: tp.sk.bound_dev_if,
        tos: tp.sk.tos,
        proto: IPPROTO_TCP,
        sport: req.ir_num,
        dport: req.ir_rmt_port,
        mark: req.mark,
    };
    ip_route_output_flow(net, &mut fl).inspect_err(|_| net.mib.inc(Ip::OutNoRoutes))
}

/// Sends a request's SYN-ACK (`tcp_v4_send_synack`); whether it was sent. `tp` is the listener,
/// or the child that Fast Open made of the request; `foc` the cookie that goes with it.
pub(crate) fn tcp_v4_send_synack(
    tp: &mut TcpSock,
    net: &mut Net,
    req: &mut RequestSock,
    foc: Option<TcpFastopenCookie>,
) -> bool {
    let Ok(dst) = inet_csk_route_req(tp, net, req) else { return false };
    let skb = tcp_make_synack(tp, net, &dst, req, foc);
    if req.ir_v6.is_some() {
        return tcp_v6_send_synack(tp, net, skb, req, &dst);
    }
    let args = ReplyArgs {
        saddr: req.ir_loc_addr,
        daddr: req.ir_rmt_addr,
        protocol: IPPROTO_TCP,
        tos: tp.sk.tos,
        ttl: tp.sk.uc_ttl,
        oif: tp.sk.bound_dev_if,
        mark: req.mark,
        sport: req.ir_num,
        dport: req.ir_rmt_port,
    };
    // A full queue is no failure of the request (net_xmit_eval).
    !matches!(ip_build_and_send_pkt(net, skb, &args, &dst), Err(e) if e != Errno::ENOBUFS)
}

/// Makes the child of a request whose handshake is complete (`tcp_v4_syn_recv_sock`); `None` if
/// the accept queue is full or the peer cannot be reached.
pub(crate) fn tcp_v4_syn_recv_sock(
    socks: &mut Socks,
    net: &mut Net,
    req: &RequestSock,
    seg: &Seg,
) -> Option<SockId> {
    let listener = socks.tcp_mut(req.listener)?;
    if sk_acceptq_is_full(listener) {
        net.mib.inc(TcpExt::ListenOverflows);
        net.mib.inc(TcpExt::ListenDrops);
        listener.sk.sk_drops = listener.sk.sk_drops.wrapping_add(1);
        return None;
    }
    let Ok(dst) = inet_csk_route_req(listener, net, req) else {
        net.mib.inc(TcpExt::ListenDrops);
        return None;
    };
    let listener = listener.clone();
    let port = req.ir_num;
    // Its place in the table first, so that the child knows its number.
    let id = socks.insert(&net.wmem, |_| Sock::Tcp(Arc::new(listener.clone())));
    let mut tp = tcp_create_openreq_child(&listener, net, req, seg, id);
    tp.sk.inet_id = net.rng.next_u32() as u16;
    match req.ir_v6 {
        Some(addrs) => tcp_v6_child(&mut tp.sk, addrs),
        None => tp.sk.set_mapped(),
    }
    md5_for_child(&mut tp);
    let (mtu, advmss) = (dst.mtu, dst.advmss(net));
    tp.sk.sk_dst = Some(dst);
    tcp_ca_openreq_child(&mut tp, net);
    tcp_sync_mss(&mut tp, net, mtu);
    tp.advmss = tcp_mss_clamp(&tp, advmss).min(u32::from(u16::MAX)) as u16;
    tcp_initialize_rcv_mss(&mut tp);
    *socks.tcp_mut(id)? = tp;
    // __inet_inherit_port() and inet_ehash_nolisten(): the request's place is the child's.
    socks.bhash_add(port, id);
    socks.ehash_insert(id);
    Some(id)
}

/// `tcp_ca_openreq_child`.
fn tcp_ca_openreq_child(tp: &mut TcpSock, net: &mut Net) {
    use super::tcp_cong::{CongestionOps, tcp_assign_congestion_control, tcp_set_ca_state};
    if let Some(named) = tp.sk.sk_dst.as_ref().and_then(|dst| dst.cc_algo) {
        tp.icsk.icsk_ca = CongestionOps::new(named);
    } else if !tp.icsk.icsk_ca_setsockopt {
        tcp_assign_congestion_control(tp, net);
    }
    tp.icsk.icsk_ca_initialized = false;
    tcp_set_ca_state(tp, net, CaState::Open);
}

/// Sends a header of our own making in answer to a segment, signed if there is a key.
fn send_reply(
    net: &mut Net,
    skb: &Skb,
    context: ReplyContext,
    header: &TcpHeader,
    opts: &TcpOutOptions,
    tos: u8,
) {
    let Some((saddr, daddr)) = addresses(skb) else { return };
    let key = tcp_md5_do_lookup(&context.md5sig_info, saddr);
    let opts = TcpOutOptions { md5: key.is_some(), ..opts.clone() };
    let mut reply = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    header.write(reply.push(20 + opts.len() as usize), &opts);
    reply.reset_transport_header();
    if let Some(key) = key {
        tcp_md5_sign(&mut reply, key, Ends { saddr: daddr, daddr: saddr });
    }
    reply.truesize = net.profile.skb_truesize(SKB_HEADROOM as u32);
    if skb.protocol == ETH_P_IPV6 {
        return tcp_v6_send_response(net, skb, reply, context, header, tos);
    }
    let Some(ip) = ip_hdr(skb) else { return consume_skb(net, reply) };
    tcp_v4_send_check(&mut reply, ip.daddr, ip.saddr);
    let args = ReplyArgs {
        saddr: ip.daddr,
        daddr: ip.saddr,
        protocol: IPPROTO_TCP,
        tos,
        ttl: None,
        oif: context.bound_dev_if,
        mark: context.mark,
        sport: header.source,
        dport: header.dest,
    };
    net.mib.inc(Tcp::OutSegs);
    ip_send_unicast_reply(net, reply, &args);
}

/// Answers a segment with a reset, unless it is one (`tcp_v4_send_reset`, RFC 9293 3.5.2).
pub(crate) fn tcp_v4_send_reset(net: &mut Net, context: Option<ReplyContext>, skb: &Skb) {
    let th = tcp_hdr(skb);
    // A signed segment without a socket gets no answer that nobody can sign.
    if th.rst() || (context.is_none() && tcp_parse_md5sig_option(tcp_options(skb)).is_some()) {
        return;
    }
    let cb = skb.tcp_cb();
    let header = if th.ack() {
        TcpHeader {
            source: th.dest,
            dest: th.source,
            seq: th.ack_seq,
            ack_seq: SeqNum(0),
            flags: TCPHDR_RST,
            window: 0,
            urg_ptr: 0,
        }
    } else {
        TcpHeader {
            source: th.dest,
            dest: th.source,
            seq: SeqNum(0),
            ack_seq: cb.end_seq,
            flags: TCPHDR_RST | TCPHDR_ACK,
            window: 0,
            urg_ptr: 0,
        }
    };
    send_reply(
        net,
        skb,
        context.unwrap_or_default(),
        &header,
        &TcpOutOptions::default(),
        cb.ip_dsfield,
    );
    net.mib.inc(Tcp::OutRsts);
}

/// What an ACK without a full socket says.
struct AckReply {
    seq: SeqNum,
    ack: SeqNum,
    win: u32,
    tsval: u32,
    tsecr: u32,
    tos: u8,
}

/// Sends an ACK without a full socket (`tcp_v4_send_ack`); a timestamp goes with it only if the
/// peer's was ever seen.
fn tcp_v4_send_ack(net: &mut Net, skb: &Skb, context: ReplyContext, ack: &AckReply) {
    let th = tcp_hdr(skb);
    let opts = TcpOutOptions {
        ts: (ack.tsecr != 0).then_some((ack.tsval, ack.tsecr)),
        ..TcpOutOptions::default()
    };
    let header = TcpHeader {
        source: th.dest,
        dest: th.source,
        seq: ack.seq,
        ack_seq: ack.ack,
        flags: TCPHDR_ACK,
        window: ack.win.min(65535) as u16,
        urg_ptr: 0,
    };
    send_reply(net, skb, context, &header, &opts, ack.tos);
}

/// `tcp_time_stamp_raw`: milliseconds of the monotonic clock.
fn tcp_time_stamp_raw(net: &Net) -> u32 {
    (net.time.ktime_ns() / crate::time::NSEC_PER_MSEC) as u32
}

/// `tcp_v4_timewait_ack`.
fn tcp_v4_timewait_ack(socks: &Socks, net: &mut Net, id: SockId, skb: &Skb) {
    let Some(Sock::Tw(tw)) = socks.get(id) else { return };
    let ack = AckReply {
        seq: tw.tw_snd_nxt,
        ack: tw.tw_rcv_nxt,
        win: tw.tw_rcv_wnd >> tw.tw_rcv_wscale,
        tsval: tcp_time_stamp_raw(net).wrapping_add(tw.tw_ts_offset),
        tsecr: tw.tw_ts_recent,
        tos: tw.tw_v6.as_ref().map_or(tw.tw_tos, |v6| v6.tw_tclass),
    };
    let context = tw_reply_context(tw);
    tcp_v4_send_ack(net, skb, context, &ack);
}

/// Acknowledges what a request has (`tcp_v4_reqsk_send_ack`), standing at `seq`: its own SYN's
/// end, or what a Fast Open child has sent. The window is scaled (RFC 7323 2.3).
pub(crate) fn tcp_v4_reqsk_send_ack(net: &mut Net, skb: &Skb, req: &RequestSock, seq: SeqNum) {
    let ack = AckReply {
        seq,
        ack: req.rcv_nxt,
        win: req.rsk_rcv_wnd >> req.rcv_wscale,
        tsval: tcp_time_stamp_raw(net).wrapping_add(req.ts_off),
        tsecr: req.ts_recent,
        tos: skb.tcp_cb().ip_dsfield,
    };
    let context = ReplyContext {
        bound_dev_if: if req.ir_v6.is_some() { req.ir_iif } else { 0 },
        mark: req.mark,
        flowlabel: 0,
        txhash: req.txhash,
        md5sig_info: req.md5sig_info.clone(),
    };
    tcp_v4_send_ack(net, skb, context, &ack);
}
