//! TCP over IPv6 (Linux `tcp_ipv6.c`, 5.15).

use super::addr::{is_linklocal, v4mapped};
use super::icmp::{
    ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE, ICMPV6_PKT_TOOBIG, Icmp6Err, icmpv6_err_convert,
};
use super::ip6_input::{Ipv6hdr, ipv6_hdr};
use super::ip6_output::{flow_of, ip6_xmit, tcp_v6_send_check};
use super::route::{Flow6, IPV6_MIN_MTU, ip6_route_output_flow, ip6_update_pmtu};
use super::{AfOps, LOOPBACK4_IPV6};
use crate::errno::Errno;
use crate::lib::checksum::csum_ipv6_pseudo;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::core::skbuff::{DropReason, IpSummed, PktType, Skb, kfree_skb};
use crate::net::core::sock::{Sock, SockCommon, SockId, Socks, TcpState};
use crate::net::ipv4::inet_hashtables::{
    ConnKey, FourTuple6, inet_hash_connect, inet6_lookup_established,
};
use crate::net::ipv4::mib::{Icmp6, Tcp, TcpExt};
use crate::net::ipv4::route::Dst;
use crate::net::ipv4::tcp::tcp_set_state;
use crate::net::ipv4::tcp_input::{tcp_hdr, tcp_simple_retransmit};
use crate::net::ipv4::tcp_ipv4::{
    ReplyContext, connect_failed, quotes_the_window, report_err, send_syn, tcp_ld_RTO_revert,
    tcp_rcv_lookup, tcp_req_err, tcp_v4_connect, tcp_v4_fill_cb,
};
use crate::net::ipv4::tcp_minisocks::tcp_settle;
use crate::net::ipv4::tcp_output::{TcpHeader, tcp_mtu_to_mss, tcp_sync_mss};
use crate::net::ipv4::tcp_sock::{RequestSock, TcpSock, V6Addrs};
use crate::syscalls::SockAddr;
use crate::uapi::{IPPROTO_TCP, IPV6_PMTUDISC_PROBE};
use reference_stack_macros::traced;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bits of the traffic class that a reply of its own does not have.
const INET_ECN_MASK: u8 = 3;

/// The loopback address that connecting to "any" means (BSD'ism), of the family that the socket
/// is bound to.
pub(super) fn any_is_loopback(addr: Ipv6Addr, bound: Ipv6Addr) -> Ipv6Addr {
    match (addr.is_unspecified(), v4mapped(bound)) {
        (true, Some(_)) => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        (true, None) => Ipv6Addr::LOCALHOST,
        (false, _) => addr,
    }
}

/// Opens a connection of an AF_INET6 socket (`tcp_v6_connect`), over IPv4 for a mapped address.
///
/// # Errors
/// EINVAL for a shorter address or one without the scope that it needs, EAFNOSUPPORT,
/// ENETUNREACH, and what opening says.
pub(crate) fn tcp_v6_connect(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    addr: SockAddr,
) -> Result<(), Errno> {
    let (addr, port, scope_id) = match addr {
        SockAddr::In6 { addr, port, scope_id, .. } => (addr, port, scope_id),
        SockAddr::In { .. } | SockAddr::Unspec => return Err(Errno::EINVAL),
        SockAddr::Other(_) => return Err(Errno::EAFNOSUPPORT),
    };
    let tp = socks.tcp_mut(id).ok_or(Errno::EINVAL)?;
    let np = tp.sk.pinet6.as_mut().ok_or(Errno::EINVAL)?;
    let daddr = any_is_loopback(addr, np.sk_v6_rcv_saddr);
    if daddr.is_multicast() {
        return Err(Errno::ENETUNREACH);
    }
    if is_linklocal(daddr) {
        if scope_id != 0 {
            if tp.sk.bound_dev_if != 0 && tp.sk.bound_dev_if != scope_id {
                return Err(Errno::EINVAL);
            }
            tp.sk.bound_dev_if = scope_id;
        }
        if tp.sk.bound_dev_if == 0 {
            return Err(Errno::EINVAL);
        }
    }
    if tp.rx_opt.ts_recent_stamp != 0 && np.sk_v6_daddr != daddr {
        tp.rx_opt.ts_recent = 0;
        tp.rx_opt.ts_recent_stamp = 0;
        tp.write_seq = SeqNum(0);
    }
    np.sk_v6_daddr = daddr;
    let Some(v4) = v4mapped(daddr) else { return connect_v6(socks, net, id, port) };
    if np.ipv6only {
        return Err(Errno::ENETUNREACH);
    }
    np.icsk_af_ops = AfOps::Mapped;
    tcp_v4_connect(socks, net, id, v4, port).inspect_err(|_| {
        if let Some(np) = socks.tcp_mut(id).and_then(|tp| tp.sk.pinet6.as_mut()) {
            np.icsk_af_ops = AfOps::Specific;
        }
    })
}

/// Opens a connection over IPv6 to the peer that the socket has (the second half of
/// `tcp_v6_connect`).
fn connect_v6(socks: &mut Socks, net: &mut Net, id: SockId, port: u16) -> Result<(), Errno> {
    let tp = socks.tcp_mut(id).ok_or(Errno::EINVAL)?;
    let np = tp.sk.pinet6.as_mut().ok_or(Errno::EINVAL)?;
    np.icsk_af_ops = AfOps::Specific;
    let mut fl = Flow6 {
        saddr: np.sk_v6_rcv_saddr,
        daddr: np.sk_v6_daddr,
        oif: tp.sk.bound_dev_if,
        proto: IPPROTO_TCP,
        sport: tp.sk.inet_num,
        dport: port,
        flowlabel: np.flow_label,
    };
    let dst = ip6_route_output_flow(net, &mut fl)?;
    np.sk_v6_rcv_saddr = fl.saddr;
    np.saddr = fl.saddr;
    tp.sk.inet_rcv_saddr = LOOPBACK4_IPV6;
    tp.icsk.icsk_ext_hdr_len = 0;
    tp.rx_opt.mss_clamp = (IPV6_MIN_MTU - 60) as u16;
    tp.sk.inet_dport = port;
    tcp_set_state(tp, net, TcpState::SynSent);
    let opened = inet_hash_connect(socks, net, id).and_then(|()| send_syn(socks, net, id, dst));
    if opened.is_err() {
        connect_failed(socks, net, id);
    }
    opened
}

/// Sums a segment that nobody checked; true if it is good.
fn tcp_checksum_ok(skb: &Skb, ip: &Ipv6hdr) -> bool {
    if skb.ip_summed != IpSummed::None {
        return true;
    }
    let mut sum = csum_ipv6_pseudo(ip.saddr, ip.daddr, skb.len(), IPPROTO_TCP);
    skb.slices().for_each(|part| sum.add(part));
    sum.folded() == 0xffff
}

/// Takes a segment from IPv6 (`tcp_v6_rcv`); `data` is at the TCP header.
#[traced]
pub(crate) fn tcp_v6_rcv(socks: &mut Socks, net: &mut Net, mut skb: Skb) {
    if skb.pkt_type != PktType::Host {
        return kfree_skb(net, skb, DropReason::OtherHost);
    }
    net.mib.inc(Tcp::InSegs);
    skb.reset_transport_header();
    let Some(ip) = ipv6_hdr(&skb).filter(|_| skb.may_pull(20)) else {
        return kfree_skb(net, skb, DropReason::PktTooSmall);
    };
    let th = tcp_hdr(&skb);
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
    tcp_v4_fill_cb(&mut skb, ip.tclass, &th);
    let key = FourTuple6 { saddr: ip.daddr, sport: th.dest, daddr: ip.saddr, dport: th.source };
    tcp_rcv_lookup(socks, net, skb, &ConnKey::V6(key));
}

/// The route of a request's answers (`inet6_csk_route_req`).
///
/// # Errors
/// What the look-up says.
pub(crate) fn inet6_csk_route_req(
    tp: &TcpSock,
    net: &mut Net,
    req: &RequestSock,
) -> Result<Dst, Errno> {
    let mut fl = request_flow(tp, req).ok_or(Errno::EINVAL)?;
    ip6_route_output_flow(net, &mut fl)
}

fn request_flow(tp: &TcpSock, req: &RequestSock) -> Option<Flow6> {
    let V6Addrs { saddr, daddr } = req.ir_v6?;
    Some(Flow6 {
        saddr,
        daddr,
        oif: req.ir_iif,
        proto: IPPROTO_TCP,
        sport: req.ir_num,
        dport: req.ir_rmt_port,
        flowlabel: tp.sk.pinet6.as_deref().map_or(0, |np| np.flow_label),
    })
}

/// Sends a SYN-ACK that is made (`tcp_v6_send_synack`); whether it was sent.
pub(crate) fn tcp_v6_send_synack(
    tp: &TcpSock,
    net: &mut Net,
    skb: Skb,
    req: &RequestSock,
    dst: &Dst,
) -> bool {
    let Some(fl) = request_flow(tp, req) else {
        kfree_skb(net, skb, DropReason::NotSpecified);
        return false;
    };
    let tclass = tp.sk.pinet6.as_deref().map_or(0, |np| np.tclass);
    // A full queue is no failure of the request (net_xmit_eval).
    !matches!(ip6_xmit(net, Some(&tp.sk), skb, &fl, dst, tclass), Err(e) if e != Errno::ENOBUFS)
}

/// Gives the child of a request its addresses (`tcp_v6_syn_recv_sock`).
pub(crate) fn tcp_v6_child(sk: &mut SockCommon, addrs: V6Addrs) {
    sk.inet_saddr = LOOPBACK4_IPV6;
    sk.inet_rcv_saddr = LOOPBACK4_IPV6;
    sk.inet_daddr = LOOPBACK4_IPV6;
    if let Some(np) = &mut sk.pinet6 {
        np.icsk_af_ops = AfOps::Specific;
        np.saddr = addrs.saddr;
        np.sk_v6_rcv_saddr = addrs.saddr;
        np.sk_v6_daddr = addrs.daddr;
    }
}

/// Sends a header of our own making in answer to a segment (`tcp_v6_send_response`), by no
/// socket's settings but its device, label and hash.
pub(crate) fn tcp_v6_send_response(
    net: &mut Net,
    skb: &Skb,
    mut reply: Skb,
    context: ReplyContext,
    header: &TcpHeader,
    tclass: u8,
) {
    let Some(ip) = ipv6_hdr(skb) else {
        return kfree_skb(net, reply, DropReason::NotSpecified);
    };
    tcp_v6_send_check(&mut reply, ip.daddr, ip.saddr);
    reply.hash = context.txhash;
    let on_link = is_linklocal(ip.saddr) && context.bound_dev_if == 0;
    let arrived = skb.dev.map_or(0, |d| d.ifindex());
    // FLOWLABEL_REFLECT_TCP_RESET, for a reset without a socket.
    let reflect = net.sysctl.flowlabel_reflect & 2 != 0 && context.txhash == 0;
    let mut fl = Flow6 {
        saddr: ip.daddr,
        daddr: ip.saddr,
        oif: if on_link { arrived } else { context.bound_dev_if },
        proto: IPPROTO_TCP,
        sport: header.source,
        dport: header.dest,
        flowlabel: if reflect { ip.flowlabel } else { context.flowlabel },
    };
    let Ok(dst) = ip6_route_output_flow(net, &mut fl) else {
        return kfree_skb(net, reply, DropReason::IpOutNoRoutes);
    };
    net.mib.inc(Tcp::OutSegs);
    // Nobody waits for the result of a reply.
    let _ = ip6_xmit(net, None, reply, &fl, &dst, tclass & !INET_ECN_MASK);
}

/// The path's MTU is known to be smaller (`tcp_v6_mtu_reduced`): shorter segments, and what is out
/// goes again at once.
pub(crate) fn tcp_v6_mtu_reduced(tp: &mut TcpSock, net: &mut Net, mtu: u32) {
    if matches!(tp.sk.sk_state, TcpState::Listen | TcpState::Close)
        // A path that takes the segments in use is no news.
        || tcp_mtu_to_mss(tp, net, mtu) >= tp.mss_cache
    {
        return;
    }
    let Some(dst) = inet6_csk_update_pmtu(tp, net, mtu) else { return };
    if tp.icsk.icsk_pmtu_cookie > dst.mtu {
        tcp_sync_mss(tp, net, dst.mtu);
        tcp_simple_retransmit(tp, net);
    }
}

/// Tells routing of a path MTU and takes the route anew (`inet6_csk_update_pmtu`).
fn inet6_csk_update_pmtu(tp: &mut TcpSock, net: &mut Net, mtu: u32) -> Option<Dst> {
    let mut fl = flow_of(&tp.sk, tp.sk.pinet6.as_deref()?);
    let dst = match tp.sk.sk_dst.take() {
        Some(dst) => dst,
        None => ip6_route_output_flow(net, &mut fl).ok()?,
    };
    ip6_update_pmtu(net, &dst, fl.daddr, mtu);
    let dst = ip6_route_output_flow(net, &mut fl).ok()?;
    tp.sk.sk_dst = Some(dst.clone());
    Some(dst)
}

/// An ICMPv6 error about a segment of ours (`tcp_v6_err`).
pub(crate) fn tcp_v6_err(socks: &mut Socks, net: &mut Net, err: &Icmp6Err) {
    let key = FourTuple6 { saddr: err.saddr, sport: err.sport, daddr: err.daddr, dport: err.dport };
    let Some(id) = inet6_lookup_established(socks, &key) else {
        net.mib.inc(Icmp6::InErrors);
        return;
    };
    match socks.get(id) {
        Some(Sock::Req(_)) => {
            let (_, fatal) = icmpv6_err_convert(err.icmp_type, err.code);
            tcp_req_err(socks, net, id, SeqNum(err.seq), fatal);
        }
        Some(Sock::Tcp(_)) => {
            if let Some(tp) = socks.tcp_mut(id) {
                err_for_connection(tp, net, err);
            }
            tcp_settle(socks, net, id);
        }
        _ => {}
    }
}

fn err_for_connection(tp: &mut TcpSock, net: &mut Net, err: &Icmp6Err) {
    let seq = SeqNum(err.seq);
    if tp.sk.sk_state == TcpState::Close || !quotes_the_window(tp, net, seq) {
        return;
    }
    let owned = tp.sk.sk_lock_owned;
    if err.icmp_type == ICMPV6_PKT_TOOBIG {
        let np = tp.sk.pinet6.as_deref();
        // IPV6_PMTUDISC_INTERFACE and _OMIT do not take the path's word.
        let takes = np.is_some_and(|np| np.pmtudisc <= IPV6_PMTUDISC_PROBE);
        if tp.sk.sk_state == TcpState::Listen || !takes || err.info < IPV6_MIN_MTU {
            return;
        }
        if owned {
            tp.deferred.mtu_reduced = Some(err.info);
        } else {
            // The clock of the last packet or call goes on: nothing reads it anew here.
            tcp_v6_mtu_reduced(tp, net, err.info);
        }
        return;
    }
    if owned {
        net.mib.inc(TcpExt::LockDroppedIcmps);
    }
    let no_route = err.icmp_type == ICMPV6_DEST_UNREACH && err.code == ICMPV6_NOROUTE;
    if no_route && tp.fastopen.fastopen_rsk.is_none() {
        tcp_ld_RTO_revert(tp, net, seq);
    }
    let (errno, _) = icmpv6_err_convert(err.icmp_type, err.code);
    let recverr = tp.sk.pinet6.as_deref().is_some_and(|np| np.recverr);
    report_err(tp, net, errno, recverr);
}
