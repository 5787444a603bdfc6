//! UDP over IPv6 (Linux `net/ipv6/udp.c`, `datagram.c`, 5.15). Sockets of both families stand in
//! one table.

use super::AfOps;
use super::addr::{is_linklocal, v4mapped};
use super::datagram::{ip6_datagram_send_ctl, ipv6_icmp_error};
use super::icmp::{
    ICMPV6_DEST_UNREACH, ICMPV6_PKT_TOOBIG, ICMPV6_PORT_UNREACH, Icmp6Err, icmpv6_err_convert,
    icmpv6_send, update_pmtu,
};
use super::ip6_input::ipv6_hdr;
use super::ip6_output::ip6_xmit_hops;
use super::route::{Flow6, ip6_route_output_flow};
use super::tcp_ipv6::any_is_loopback;
use crate::errno::Errno;
use crate::lib::checksum::csum_ipv6_pseudo;
use crate::net::Net;
use crate::net::core::dev::DevId;
use crate::net::core::skbuff::{
    DropReason, IpSummed, SKB_HEADROOM, SkBuff, Skb, kfree_skb, skb_data_align,
};
use crate::net::core::sock::{SockCommon, SockId, Socks, TcpState};
use crate::net::core::timestamping::datagram_tstamp;
use crate::net::ethernet::ETH_P_IPV6;
use crate::net::ipv4::mib::Udp6;
use crate::net::ipv4::route::{Dst, dst_check};
use crate::net::ipv4::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use crate::net::ipv4::udp::{
    Pending, UDP_HLEN, UdpSock, udp_connect, udp_queue_rcv_skb, udp_recvmsg, udp_sendmsg,
    udp_zerocopy,
};
use crate::syscalls::SockAddr;
use crate::uapi::{IPPROTO_UDP, IPV6_PMTUDISC_DO, IPV6_PMTUDISC_DONT, MSG_MORE, MSG_OOB};
use hw_model::Frag;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

/// Where the checksum stands in a UDP header.
const UDP_CSUM_OFFSET: u16 = 6;

/// Fixes the peer (`ip6_datagram_connect`).
///
/// # Errors
/// EAFNOSUPPORT or ENETUNREACH for IPv4 on an IPv6-only socket, EINVAL for a link-local address
/// without its interface, and what the route says.
pub(crate) fn ip6_datagram_connect(
    up: &mut UdpSock,
    net: &mut Net,
    addr: SockAddr,
) -> Result<(), Errno> {
    let np = up.sk.pinet6.as_deref().ok_or(Errno::EINVAL)?;
    let (daddr, port, scope_id) = match addr {
        SockAddr::In { .. } if np.ipv6only => return Err(Errno::EAFNOSUPPORT),
        SockAddr::In { addr, port } => (addr.to_ipv6_mapped(), port, 0),
        SockAddr::In6 { addr, port, scope_id, .. } => {
            (any_is_loopback(addr, np.sk_v6_rcv_saddr), port, scope_id)
        }
        SockAddr::Unspec | SockAddr::Other(_) => return Err(Errno::EAFNOSUPPORT),
    };
    if let Some(v4) = v4mapped(daddr) {
        if np.ipv6only {
            return Err(Errno::ENETUNREACH);
        }
        udp_connect(up, net, v4, port)?;
        up.sk.set_mapped();
        return Ok(());
    }
    if is_linklocal(daddr) {
        if scope_id != 0 {
            if up.sk.bound_dev_if != 0 && up.sk.bound_dev_if != scope_id {
                return Err(Errno::EINVAL);
            }
            up.sk.bound_dev_if = scope_id;
        }
        if up.sk.bound_dev_if == 0 {
            return Err(Errno::EINVAL);
        }
    }
    let mut fl = flow_of(&up.sk, daddr, port);
    let dst = ip6_route_output_flow(net, &mut fl)?;
    let np = up.sk.pinet6.as_mut().ok_or(Errno::EINVAL)?;
    np.icsk_af_ops = AfOps::Specific;
    np.sk_v6_daddr = daddr;
    if np.saddr.is_unspecified() {
        np.saddr = fl.saddr;
    }
    if np.sk_v6_rcv_saddr.is_unspecified() {
        np.sk_v6_rcv_saddr = fl.saddr;
        up.sk.inet_rcv_saddr = super::LOOPBACK4_IPV6;
    }
    up.sk.inet_dport = port;
    up.sk.sk_state = TcpState::Established;
    up.sk.sk_txhash = net.rng.next_u32().max(1);
    up.sk.sk_dst = Some(dst);
    Ok(())
}

fn flow_of(sk: &SockCommon, daddr: Ipv6Addr, dport: u16) -> Flow6 {
    let np = sk.pinet6.as_deref();
    Flow6 {
        saddr: np.map_or(Ipv6Addr::UNSPECIFIED, |np| np.saddr),
        daddr,
        oif: sk.bound_dev_if,
        proto: IPPROTO_UDP,
        sport: sk.inet_num,
        dport,
        flowlabel: np.map_or(0, |np| np.flow_label),
    }
}

/// Sends one datagram (`udpv6_sendmsg`), over IPv4 for a mapped address, or gathers a part of
/// one (MSG_MORE).
///
/// # Errors
/// ENETUNREACH for IPv4 on an IPv6-only socket, EDESTADDRREQ, EMSGSIZE, and what sending says.
pub(crate) fn udpv6_sendmsg(up: &mut UdpSock, net: &mut Net, msg: &mut SendMsg) -> IoResult<usize> {
    let np = up.sk.pinet6.as_deref().ok_or(Errno::EINVAL)?;
    let to = match (&up.pending, msg.addr) {
        (Some(pending), _) => pending.to,
        (None, Some(to)) if to.port() == 0 => return Err(Errno::EINVAL),
        (None, Some(to)) => to,
        (None, None) if up.sk.sk_state != TcpState::Established => {
            return Err(Errno::EDESTADDRREQ);
        }
        (None, None) => SocketAddr::new(np.sk_v6_daddr.into(), up.sk.inet_dport),
    };
    match to.ip().to_canonical() {
        IpAddr::V4(_) if np.ipv6only => Err(Errno::ENETUNREACH),
        IpAddr::V4(_) => udp_sendmsg(up, net, msg),
        IpAddr::V6(_) => send(up, net, msg, to),
    }
}

fn send(up: &mut UdpSock, net: &mut Net, msg: &mut SendMsg, to: SocketAddr) -> IoResult<usize> {
    let SocketAddr::V6(to6) = to else { return Err(Errno::EINVAL) };
    let len = msg.data.len();
    if len > 0xffff {
        return Err(Errno::EMSGSIZE);
    }
    if msg.flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let ipc = ip6_datagram_send_ctl(&up.sk, net, &msg.control)?;
    let np = up.sk.pinet6.as_deref().ok_or(Errno::EINVAL)?;
    let (tclass, pmtudisc) = (ipc.tclass.unwrap_or(np.tclass), np.pmtudisc);
    let dontfrag = ipc.dontfrag.unwrap_or(np.dontfrag);
    let mut fl = flow_of(&up.sk, any_is_loopback(*to6.ip(), np.saddr), to6.port());
    fl.saddr = ipc.saddr.unwrap_or(fl.saddr);
    fl.oif = ipc.oif;
    if is_linklocal(fl.daddr) && to6.scope_id() != 0 {
        fl.oif = to6.scope_id();
    }
    let dst = route(up, net, &mut fl, msg.addr.is_none() && msg.control.is_empty())?;
    let gathered = up.pending.as_ref().map_or(0, |p| p.data.len());
    let total = gathered + len + UDP_HLEN + 40;
    let whole = total <= dst.mtu as usize;
    if total - 40 > 0xffff || (!whole && (dontfrag || pmtudisc == IPV6_PMTUDISC_DO)) {
        return Err(Errno::EMSGSIZE);
    }
    up.sk.sock_error()?;
    if net.wmem.get(up.sk.id) >= up.sk.sk_sndbuf as u32 {
        if msg.nonblock {
            return Err(Errno::EAGAIN);
        }
        net.wmem.throttled.push(up.sk.id);
        return Ok(Progress::Wait);
    }
    if msg.flags & MSG_MORE != 0 || up.corkflag {
        let fresh = || Pending { data: Vec::new(), to, ipc: None };
        up.pending.get_or_insert_with(fresh).data.extend_from_slice(&msg.data);
        return Ok(Progress::Done(len));
    }
    let data = match up.pending.take() {
        Some(mut pending) => {
            pending.data.extend_from_slice(&msg.data);
            Arc::new(pending.data)
        }
        None => msg.data.clone(),
    };
    let uarg = udp_zerocopy(up, net, msg, whole, &dst)?;
    let mut skb = build(up, net, &data, &fl, whole);
    skb.uarg = uarg;
    skb.tx_tstamp = datagram_tstamp(&mut up.sk, ipc.sockc.tsflags);
    match ip6_xmit_hops(net, Some(&up.sk), skb, &fl, &dst, (tclass, ipc.hlimit)) {
        Ok(()) => net.mib.inc(Udp6::OutDatagrams),
        Err(Errno::ENOBUFS) if !recverr(&up.sk) => net.mib.inc(Udp6::SndbufErrors),
        Err(e) => return Err(e),
    }
    Ok(Progress::Done(len))
}

fn recverr(sk: &SockCommon) -> bool {
    sk.pinet6.as_deref().is_some_and(|np| np.recverr)
}

/// The route: a connected socket's own as long as it is good, else a fresh one.
fn route(up: &mut UdpSock, net: &mut Net, fl: &mut Flow6, connected: bool) -> Result<Dst, Errno> {
    if let Some(dst) = up.sk.sk_dst.clone().filter(|d| connected && dst_check(net, d)) {
        return Ok(dst);
    }
    let dst = ip6_route_output_flow(net, fl)?;
    if connected {
        up.sk.sk_dst = Some(dst.clone());
    }
    Ok(dst)
}

/// The datagram with its header; the checksum is left to the device where it goes in one piece.
fn build(up: &UdpSock, net: &mut Net, data: &Arc<Vec<u8>>, fl: &Flow6, whole: bool) -> Skb {
    let len = data.len();
    let mut skb = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    skb.add_frag(Frag::new(data.clone()));
    let room = skb_data_align(len + UDP_HLEN + 40 + 16 + 15) as u32;
    skb.truesize = net.profile.skb_truesize(room);
    skb.owner = Some(up.sk.id);
    skb.ignore_df = true;
    skb.hash = up.sk.sk_txhash;
    net.wmem.charge(up.sk.id, skb.truesize);
    let ulen = (len + UDP_HLEN) as u16;
    let mut sum = csum_ipv6_pseudo(fl.saddr, fl.daddr, ulen.into(), IPPROTO_UDP);
    let header = skb.push(UDP_HLEN);
    header[0..2].copy_from_slice(&fl.sport.to_be_bytes());
    header[2..4].copy_from_slice(&fl.dport.to_be_bytes());
    header[4..6].copy_from_slice(&ulen.to_be_bytes());
    skb.reset_transport_header();
    let check = if whole {
        skb.ip_summed = IpSummed::Partial { offset: UDP_CSUM_OFFSET };
        sum.folded()
    } else {
        skb.slices().for_each(|part| sum.add(part));
        // Zero would say that there is no checksum.
        match sum.finish() {
            0 => 0xffff,
            sum => sum,
        }
    };
    skb.linear_mut()[6..8].copy_from_slice(&check.to_be_bytes());
    skb
}

/// Takes one datagram from the queue (`udpv6_recvmsg`): IPv4 senders are named by mapped
/// addresses.
///
/// # Errors
/// The socket's error, EAGAIN.
pub(crate) fn udpv6_recvmsg(up: &mut UdpSock, net: &mut Net, msg: &mut RecvMsg) -> IoResult<usize> {
    let from = up.sk.sk_receive_queue.front().and_then(|skb| sender(skb));
    let result = udp_recvmsg(up, net, msg);
    msg.addr = msg.addr.map(|seen| match (from, seen) {
        (Some(from), _) => from.into(),
        (None, SocketAddr::V4(v4)) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        (None, v6) => v6,
    });
    result
}

/// Who sent a datagram over IPv6.
fn sender(skb: &SkBuff) -> Option<SocketAddrV6> {
    let ip = ipv6_hdr(skb).filter(|_| skb.protocol == ETH_P_IPV6)?;
    let port = skb.head_at(skb.transport_header).first_chunk().map(|b| u16::from_be_bytes(*b))?;
    let scope_id = match is_linklocal(ip.saddr) {
        true => skb.dev.map_or(0, DevId::ifindex),
        false => 0,
    };
    Some(SocketAddrV6::new(ip.saddr, port, 0, scope_id))
}

/// Whether a socket takes what comes from `saddr` to `daddr`, and how much of that it names
/// (`compute_score`); 0: it does not.
fn score(sk: &SockCommon, (saddr, sport): (Ipv6Addr, u16), daddr: Ipv6Addr, ifindex: u32) -> u32 {
    let Some(np) = sk.pinet6.as_deref() else { return 0 };
    let connected = sk.inet_dport != 0;
    let mut score = 1;
    for (has, given) in [
        (!np.sk_v6_rcv_saddr.is_unspecified(), np.sk_v6_rcv_saddr == daddr),
        (connected && !np.sk_v6_daddr.is_unspecified(), np.sk_v6_daddr == saddr),
        (connected, sk.inet_dport == sport),
        (sk.bound_dev_if != 0, sk.bound_dev_if == ifindex),
    ] {
        match (has, given) {
            (true, false) => return 0,
            (true, true) => score += 4,
            (false, _) => {}
        }
    }
    score
}

/// The socket that a datagram is for (`__udp6_lib_lookup`); of equals the first bound.
fn lookup(
    socks: &Socks,
    from: (Ipv6Addr, u16),
    daddr: Ipv6Addr,
    dport: u16,
    ifindex: u32,
) -> Option<SockId> {
    let mut best = (0, None);
    for &id in socks.udp.get(&dport)? {
        let score = socks.udp(id).map_or(0, |up| score(&up.sk, from, daddr, ifindex));
        if score > best.0 {
            best = (score, Some(id));
        }
    }
    best.1
}

/// A datagram for this host (`udpv6_rcv`).
pub(crate) fn udpv6_rcv(socks: &mut Socks, net: &mut Net, mut skb: Skb) {
    skb.reset_transport_header();
    let Some(ip) = ipv6_hdr(&skb).filter(|_| skb.may_pull(UDP_HLEN)) else {
        net.mib.inc(Udp6::InErrors);
        return kfree_skb(net, skb, DropReason::HdrTrunc);
    };
    let h = skb.linear();
    let field = |i: usize| u16::from_be_bytes([h[2 * i], h[2 * i + 1]]);
    let (sport, dport, ulen, check) = (field(0), field(1), usize::from(field(2)), field(3));
    if ulen > skb.len() || ulen < UDP_HLEN {
        net.mib.inc(Udp6::InErrors);
        return kfree_skb(net, skb, DropReason::PktTooSmall);
    }
    skb.trim(ulen);
    // Over IPv6 there has to be a checksum (RFC 8200 8.1).
    let unchecked = skb.ip_summed == IpSummed::None;
    if check == 0 || (unchecked && !checksum_ok(&skb, ip.saddr, ip.daddr)) {
        net.mib.inc(Udp6::InCsumErrors);
        net.mib.inc(Udp6::InErrors);
        return kfree_skb(net, skb, DropReason::UdpCsum);
    }
    let ifindex = skb.dev.map_or(0, DevId::ifindex);
    let from = (ip.saddr, sport);
    if ip.daddr.is_multicast() {
        return mcast_deliver(socks, net, skb, from, ip.daddr, dport, ifindex);
    }
    match lookup(socks, from, ip.daddr, dport, ifindex) {
        Some(id) => udp_queue_rcv_skb(socks, net, id, skb),
        None => {
            net.mib.inc(Udp6::NoPorts);
            icmpv6_send(net, &skb, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0);
            kfree_skb(net, skb, DropReason::NoSocket);
        }
    }
}

fn checksum_ok(skb: &SkBuff, saddr: Ipv6Addr, daddr: Ipv6Addr) -> bool {
    let mut sum = csum_ipv6_pseudo(saddr, daddr, skb.len(), IPPROTO_UDP);
    skb.slices().for_each(|part| sum.add(part));
    sum.finish() == 0
}

/// A datagram to a group: every socket that it fits gets one (`__udp6_lib_mcast_deliver`).
fn mcast_deliver(
    socks: &mut Socks,
    net: &mut Net,
    skb: Skb,
    from: (Ipv6Addr, u16),
    daddr: Ipv6Addr,
    dport: u16,
    ifindex: u32,
) {
    let fits =
        |id: &SockId| socks.udp(*id).is_some_and(|up| score(&up.sk, from, daddr, ifindex) > 0);
    let ids: Vec<SockId> =
        socks.udp.get(&dport).into_iter().flatten().copied().filter(fits).collect();
    let Some((&last, others)) = ids.split_last() else {
        net.mib.inc(Udp6::IgnoredMulti);
        return kfree_skb(net, skb, DropReason::NoSocket);
    };
    for &id in others {
        let copy = skb.copy(&mut net.skbs);
        udp_queue_rcv_skb(socks, net, id, copy);
    }
    udp_queue_rcv_skb(socks, net, last, skb);
}

/// An ICMPv6 error about a datagram that was sent (`__udp6_lib_err`).
pub(crate) fn udpv6_err(socks: &mut Socks, net: &mut Net, err: &Icmp6Err) {
    let from = (err.daddr, err.dport);
    let Some(id) = lookup(socks, from, err.saddr, err.sport, err.ifindex) else { return };
    let (error, mut hard) = icmpv6_err_convert(err.icmp_type, err.code);
    if err.icmp_type == ICMPV6_PKT_TOOBIG {
        update_pmtu(net, err);
    }
    let Some(up) = socks.udp_mut(id) else { return };
    let Some(np) = up.sk.pinet6.as_deref() else { return };
    if err.icmp_type == ICMPV6_PKT_TOOBIG {
        hard = np.pmtudisc != IPV6_PMTUDISC_DONT;
    }
    // Without IPV6_RECVERR only a connected socket hears, and only of hard errors.
    if np.recverr {
        ipv6_icmp_error(&mut up.sk, net, err, error, UDP_HLEN);
    } else if !hard || up.sk.sk_state != TcpState::Established {
        return;
    }
    up.sk.sk_err = Some(error);
    net.sk_error_report(id);
}
