//! The Internet Control Message Protocol for IPv6 (RFC 4443; Linux `net/ipv6/icmp.c`, 5.15).

use super::addr::is_linklocal;
use super::addrconf::ipv6_chk_addr;
use super::exthdrs::ipv6_skip_exthdr;
use super::ip6_input::{Ipv6hdr, ipv6_hdr};
use super::ip6_output::{Ip6Args, ip6_local_out, ip6_make_flowlabel, push_ip6_header};
use super::ndisc::{
    NDISC_NEIGHBOUR_ADVERTISEMENT, NDISC_NEIGHBOUR_SOLICITATION, NDISC_REDIRECT,
    NDISC_ROUTER_ADVERTISEMENT, NDISC_ROUTER_SOLICITATION, ndisc_rcv,
};
use super::route::{
    Flow6, icmp6_dst_alloc, ip6_route_output_flow, ip6_update_pmtu, prefix_length_to,
};
use crate::errno::Errno;
use crate::lib::checksum::csum_ipv6_pseudo;
use crate::lib::hash::DetHashMap;
use crate::net::Net;
use crate::net::core::dev::{DevId, IFF_LOOPBACK};
use crate::net::core::skbuff::{
    DropReason, IpSummed, PktType, SKB_HEADROOM, SkBuff, Skb, consume_skb, kfree_skb,
    skb_data_align,
};
use crate::net::ipv4::icmp::icmp_global_allow;
use crate::net::ipv4::mib::Icmp6;
use crate::net::ipv4::route::{Dst, RTCF_MULTICAST};
use crate::time::Jiffies;
use crate::uapi::{IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP};
use hw_model::Frag;
use std::net::Ipv6Addr;
use std::sync::Arc;

pub(crate) const ICMPV6_DEST_UNREACH: u8 = 1;
pub(crate) const ICMPV6_PKT_TOOBIG: u8 = 2;
pub(crate) const ICMPV6_TIME_EXCEED: u8 = 3;
pub(crate) const ICMPV6_PARAMPROB: u8 = 4;
pub(crate) const ICMPV6_ECHO_REQUEST: u8 = 128;
pub(crate) const ICMPV6_ECHO_REPLY: u8 = 129;
pub(crate) const ICMPV6_MGM_QUERY: u8 = 130;
pub(crate) const ICMPV6_MGM_REPORT: u8 = 131;
pub(crate) const ICMPV6_MGM_REDUCTION: u8 = 132;
pub(crate) const ICMPV6_MLD2_REPORT: u8 = 143;
/// Types with this bit inform, the others report errors.
const ICMPV6_INFOMSG_MASK: u8 = 0x80;

pub(crate) const ICMPV6_NOROUTE: u8 = 0;
pub(crate) const ICMPV6_ADDR_UNREACH: u8 = 3;
pub(crate) const ICMPV6_PORT_UNREACH: u8 = 4;
pub(crate) const ICMPV6_UNK_NEXTHDR: u8 = 1;
pub(crate) const ICMPV6_UNK_OPTION: u8 = 2;
pub(crate) const ICMPV6_HDR_FIELD: u8 = 0;
/// The time of reassembly was over.
pub(crate) const ICMPV6_EXC_FRAGTIME: u8 = 1;

/// Bytes of an ICMPv6 header.
const ICMP6_HLEN: usize = 8;
/// What an error quotes at most: it fits the smallest MTU.
const ICMP6_QUOTE_MAX: usize = 1280 - 40 - ICMP6_HLEN;
/// Messages that a silent peer may have saved up for (`XRLIM_BURST_FACTOR`).
const XRLIM_BURST_FACTOR: u64 = 6;
/// Peers whose rate is remembered (`inet_peer_threshold`).
const PEERS_MAX: usize = 65536 + 128;

/// An ICMPv6 error about a packet that this host sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Icmp6Err {
    /// The packet's protocol, `IPPROTO_*`.
    pub(crate) proto: u8,
    pub(crate) icmp_type: u8,
    pub(crate) code: u8,
    /// The MTU of "packet too big", the pointer of "parameter problem".
    pub(crate) info: u32,
    /// The packet's source: this host.
    pub(crate) saddr: Ipv6Addr,
    /// The packet's destination.
    pub(crate) daddr: Ipv6Addr,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    /// Sequence number, where the protocol is TCP.
    pub(crate) seq: u32,
    /// The packet's bytes from its transport header on, as many as were quoted; at least 8.
    pub(crate) quoted: Vec<u8>,
    /// Who sent the error.
    pub(crate) from: Ipv6Addr,
    /// Device that the error came by.
    pub(crate) ifindex: u32,
}

/// The errno of an error, and whether it is fatal (`icmpv6_err_convert`).
pub(crate) const fn icmpv6_err_convert(icmp_type: u8, code: u8) -> (Errno, bool) {
    match (icmp_type, code) {
        (ICMPV6_DEST_UNREACH, 0) => (Errno::ENETUNREACH, false),
        (ICMPV6_DEST_UNREACH, 1) => (Errno::EACCES, true),
        (ICMPV6_DEST_UNREACH, 2 | 3) => (Errno::EHOSTUNREACH, false),
        (ICMPV6_DEST_UNREACH, 4) => (Errno::ECONNREFUSED, true),
        (ICMPV6_DEST_UNREACH, 5 | 6) => (Errno::EACCES, true),
        (ICMPV6_PKT_TOOBIG, _) => (Errno::EMSGSIZE, false),
        (ICMPV6_PARAMPROB | ICMPV6_DEST_UNREACH, _) => (Errno::EPROTO, true),
        (ICMPV6_TIME_EXCEED, _) => (Errno::EHOSTUNREACH, false),
        _ => (Errno::EPROTO, false),
    }
}

/// Rates of what this host sends, by peer (`inet_peer`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Icmp6Limits(Arc<DetHashMap<Ipv6Addr, Peer>>);

#[derive(Clone, Copy, Debug)]
struct Peer {
    tokens: u64,
    last: Jiffies,
}

/// Whether a type is free of any limit: what informs, and "packet too big" (`icmpv6_mask_allow`).
fn icmpv6_mask_allow(icmp_type: u8) -> bool {
    icmp_type & ICMPV6_INFOMSG_MASK != 0 || icmp_type == ICMPV6_PKT_TOOBIG
}

/// The limit of one peer (`icmpv6_xrlim_allow`): the wider the route to it, the more it may get.
fn icmpv6_xrlim_allow(net: &mut Net, dst: &Dst, peer: Ipv6Addr, icmp_type: u8) -> bool {
    if icmpv6_mask_allow(icmp_type) || net.devs[dst.dev].flags & IFF_LOOPBACK != 0 {
        return true;
    }
    let (now, hz) = (net.jiffies(), u64::from(net.time.hz()));
    let base = net.time.msecs_to_jiffies(net.sysctl.icmpv6_ratelimit.max(0) as u64);
    let timeout = base >> ((128 - u32::from(prefix_length_to(net, peer).min(128))) >> 5);
    let peers = Arc::make_mut(&mut net.ip6.icmp.0);
    if peers.len() >= PEERS_MAX {
        peers.retain(|_, p| now.saturating_sub(p.last) < 60 * hz);
    }
    let fresh = Peer { tokens: 0, last: now.saturating_sub(60 * hz) };
    let mut entry = peers.get(&peer).copied().unwrap_or(fresh);
    entry.tokens =
        (entry.tokens + now.saturating_sub(entry.last)).min(XRLIM_BURST_FACTOR * timeout);
    entry.last = now;
    let allowed = entry.tokens >= timeout;
    if allowed {
        entry.tokens -= timeout;
    }
    if peers.len() < PEERS_MAX {
        peers.insert(peer, entry);
    }
    allowed
}

/// Tells the sender of a packet what became of it (`icmp6_send`). The packet stays with the
/// caller; its `network_header` is at its IPv6 header.
pub(crate) fn icmpv6_send(net: &mut Net, skb: &SkBuff, icmp_type: u8, code: u8, info: u32) {
    let Some(ip) = ipv6_hdr(skb) else { return };
    let ifindex = skb.dev.map_or(0, DevId::ifindex);
    let to_many = ip.daddr.is_multicast() || skb.pkt_type != PktType::Host;
    let answers_many = icmp_type == ICMPV6_PKT_TOOBIG
        || (icmp_type == ICMPV6_PARAMPROB && code == ICMPV6_UNK_OPTION);
    if (to_many && !answers_many)
        || ip.saddr.is_unspecified()
        || ip.saddr.is_multicast()
        || quotes_an_error(skb)
    {
        return;
    }
    let from_loopback = skb.dev.is_some_and(|d| net.devs[d].flags & IFF_LOOPBACK != 0);
    if !from_loopback && !icmpv6_mask_allow(icmp_type) && !icmp_global_allow(net) {
        return;
    }
    let ours = !to_many && ipv6_chk_addr(net, ip.daddr, 0);
    let saddr = if ours { ip.daddr } else { Ipv6Addr::UNSPECIFIED };
    let oif = if is_linklocal(ip.saddr) { ifindex } else { 0 };
    let mut fl = Flow6::new(saddr, ip.saddr, oif, IPPROTO_ICMPV6);
    let Ok(dst) = ip6_route_output_flow(net, &mut fl) else { return };
    if !icmpv6_xrlim_allow(net, &dst, ip.saddr, icmp_type) {
        net.mib.inc(Icmp6::OutRateLimitHost);
        return;
    }
    let mut message = vec![icmp_type, code, 0, 0];
    message.extend(info.to_be_bytes());
    message.extend(quote(skb, ICMP6_QUOTE_MAX));
    icmpv6_push_pending_frames(net, &dst, &fl, message, 0);
}

/// Whether a packet is itself an ICMPv6 error, or too short to tell (`is_ineligible`).
fn quotes_an_error(skb: &SkBuff) -> bool {
    let bytes = quote(skb, 40 + 512);
    match ipv6_skip_exthdr(&bytes) {
        Some(found) if found.nexthdr == IPPROTO_ICMPV6 && !found.later_fragment => {
            bytes.get(found.offset).is_none_or(|t| t & ICMPV6_INFOMSG_MASK == 0)
        }
        _ => false,
    }
}

/// The first bytes of a packet from its IPv6 header on.
fn quote(skb: &SkBuff, len: usize) -> Vec<u8> {
    let linear = skb.head_at(skb.network_header);
    let mut bytes: Vec<u8> = linear.iter().copied().take(len).collect();
    for frag in &skb.frags {
        let rest = len - bytes.len();
        bytes.extend(frag.bytes().iter().copied().take(rest));
    }
    bytes
}

/// Sends a message of this host with its checksum (`icmpv6_push_pending_frames`).
fn icmpv6_push_pending_frames(net: &mut Net, dst: &Dst, fl: &Flow6, message: Vec<u8>, tclass: u8) {
    let byte = |n: usize| message.get(n).copied().unwrap_or(0);
    let (kind, code) = (byte(0), byte(1));
    let skb = icmpv6_skb(net, fl.saddr, fl.daddr, message);
    // Type and code are in the flow where others have their ports (`fl6_icmp_type`).
    let hashed = Flow6 { sport: u16::from_be_bytes([kind, code]), ..*fl };
    let label = ip6_make_flowlabel(net, None, &hashed, None);
    let args = Ip6Args { tclass, hop_limit: dst.hoplimit, label, nexthdr: IPPROTO_ICMPV6 };
    icmpv6_out_count(net, kind);
    send(net, skb, dst, fl, &args);
}

fn send(net: &mut Net, mut skb: Skb, dst: &Dst, fl: &Flow6, args: &Ip6Args) {
    push_ip6_header(&mut skb, fl.saddr, fl.daddr, args);
    // Whether an answer got out is not asked.
    let _ = ip6_local_out(net, skb, dst);
}

/// A buffer with a message, its checksum filled.
fn icmpv6_skb(net: &mut Net, saddr: Ipv6Addr, daddr: Ipv6Addr, mut message: Vec<u8>) -> Skb {
    let mut sum = csum_ipv6_pseudo(saddr, daddr, message.len(), IPPROTO_ICMPV6);
    sum.add(&message);
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum.finish().to_be_bytes());
    }
    let mut skb = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    skb.truesize = net.profile.skb_truesize(skb_data_align(message.len() + 128) as u32);
    skb.add_frag(Frag::new(Arc::new(message)));
    skb.reset_transport_header();
    skb
}

/// Sends a message of the interface itself (`ndisc_send_skb`, `mld_sendpack`): no flow label, and
/// a hop limit of 255 that shows that it comes from the link; MLD's has 1 and a router alert.
pub(crate) fn icmpv6_send_from_interface(
    net: &mut Net,
    dev: DevId,
    saddr: Ipv6Addr,
    daddr: Ipv6Addr,
    message: Vec<u8>,
    router_alert: bool,
) {
    let kind = message.first().copied().unwrap_or(0);
    let dst = icmp6_dst_alloc(net, dev, daddr);
    let fl = Flow6::new(saddr, daddr, dev.ifindex(), IPPROTO_ICMPV6);
    let mut skb = icmpv6_skb(net, saddr, daddr, message);
    let mut args = Ip6Args { tclass: 0, hop_limit: 255, label: 0, nexthdr: IPPROTO_ICMPV6 };
    if router_alert {
        args = Ip6Args { hop_limit: 1, nexthdr: 0, ..args };
        // Hop-by-hop options: router alert for MLD (RFC 2711), padding.
        skb.push(8).copy_from_slice(&[IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0]);
    }
    icmpv6_out_count(net, kind);
    send(net, skb, &dst, &fl, &args);
}

fn icmpv6_out_count(net: &mut Net, icmp_type: u8) {
    net.mib.inc(Icmp6::OutMsgs);
    let cell = match icmp_type {
        ICMPV6_DEST_UNREACH => Icmp6::OutDestUnreachs,
        ICMPV6_PKT_TOOBIG => Icmp6::OutPktTooBigs,
        ICMPV6_TIME_EXCEED => Icmp6::OutTimeExcds,
        ICMPV6_PARAMPROB => Icmp6::OutParmProblems,
        ICMPV6_ECHO_REQUEST => Icmp6::OutEchos,
        ICMPV6_ECHO_REPLY => Icmp6::OutEchoReplies,
        NDISC_ROUTER_SOLICITATION => Icmp6::OutRouterSolicits,
        NDISC_NEIGHBOUR_SOLICITATION => Icmp6::OutNeighborSolicits,
        NDISC_NEIGHBOUR_ADVERTISEMENT => Icmp6::OutNeighborAdvertisements,
        ICMPV6_MLD2_REPORT => Icmp6::OutMLDv2Reports,
        _ => return,
    };
    net.mib.inc(cell);
}

fn icmpv6_in_count(net: &mut Net, icmp_type: u8) {
    let cell = match icmp_type {
        ICMPV6_DEST_UNREACH => Icmp6::InDestUnreachs,
        ICMPV6_PKT_TOOBIG => Icmp6::InPktTooBigs,
        ICMPV6_TIME_EXCEED => Icmp6::InTimeExcds,
        ICMPV6_PARAMPROB => Icmp6::InParmProblems,
        ICMPV6_ECHO_REQUEST => Icmp6::InEchos,
        ICMPV6_ECHO_REPLY => Icmp6::InEchoReplies,
        ICMPV6_MGM_QUERY => Icmp6::InGroupMembQueries,
        ICMPV6_MGM_REPORT => Icmp6::InGroupMembResponses,
        ICMPV6_MGM_REDUCTION => Icmp6::InGroupMembReductions,
        NDISC_ROUTER_SOLICITATION => Icmp6::InRouterSolicits,
        NDISC_ROUTER_ADVERTISEMENT => Icmp6::InRouterAdvertisements,
        NDISC_NEIGHBOUR_SOLICITATION => Icmp6::InNeighborSolicits,
        NDISC_NEIGHBOUR_ADVERTISEMENT => Icmp6::InNeighborAdvertisements,
        NDISC_REDIRECT => Icmp6::InRedirects,
        ICMPV6_MLD2_REPORT => Icmp6::InMLDv2Reports,
        _ => return,
    };
    net.mib.inc(cell);
}

/// A received message (`icmpv6_rcv`); an error about one of this host's packets is returned for
/// its protocol.
pub(crate) fn icmpv6_rcv(net: &mut Net, mut skb: Skb) -> Option<Icmp6Err> {
    net.mib.inc(Icmp6::InMsgs);
    let ip = ipv6_hdr(&skb)?;
    if skb.ip_summed == IpSummed::None {
        let mut sum = csum_ipv6_pseudo(ip.saddr, ip.daddr, skb.len(), IPPROTO_ICMPV6);
        skb.slices().for_each(|part| sum.add(part));
        if sum.finish() != 0 {
            net.mib.inc(Icmp6::InCsumErrors);
            net.mib.inc(Icmp6::InErrors);
            kfree_skb(net, skb, DropReason::IcmpCsum);
            return None;
        }
    }
    let mut head = [0; ICMP6_HLEN];
    if skb.copy_bits(0, &mut head) < ICMP6_HLEN {
        net.mib.inc(Icmp6::InErrors);
        kfree_skb(net, skb, DropReason::PktTooSmall);
        return None;
    }
    let (icmp_type, code) = (head[0], head[1]);
    icmpv6_in_count(net, icmp_type);
    let mut found = None;
    match icmp_type {
        NDISC_ROUTER_SOLICITATION..=NDISC_REDIRECT => {
            ndisc_rcv(net, skb, icmp_type, code);
            return None;
        }
        ICMPV6_ECHO_REQUEST => icmpv6_echo_reply(net, &mut skb, &ip),
        ICMPV6_PKT_TOOBIG | ICMPV6_DEST_UNREACH | ICMPV6_TIME_EXCEED | ICMPV6_PARAMPROB => {
            found = icmpv6_notify(net, &mut skb, head);
        }
        // Errors that are not known are told as well.
        t if t & ICMPV6_INFOMSG_MASK == 0 => found = icmpv6_notify(net, &mut skb, head),
        _ => {}
    }
    consume_skb(net, skb);
    found
}

/// Answers from the address that was asked, with the traffic class of the question
/// (`icmpv6_echo_reply`).
fn icmpv6_echo_reply(net: &mut Net, skb: &mut SkBuff, ip: &Ipv6hdr) {
    let many =
        ip.daddr.is_multicast() || skb.rt.is_some_and(|rt| rt.rt_flags & RTCF_MULTICAST != 0);
    if net.sysctl.icmpv6_echo_ignore_all != 0
        || (many && net.sysctl.icmpv6_echo_ignore_multicast != 0)
    {
        return;
    }
    let saddr = if many { Ipv6Addr::UNSPECIFIED } else { ip.daddr };
    let ifindex = skb.dev.map_or(0, DevId::ifindex);
    let oif = if is_linklocal(ip.saddr) { ifindex } else { 0 };
    let mut fl = Flow6::new(saddr, ip.saddr, oif, IPPROTO_ICMPV6);
    let Ok(dst) = ip6_route_output_flow(net, &mut fl) else { return };
    let mut message = vec![0; skb.len()];
    skb.copy_bits(0, &mut message);
    if let Some(head) = message.first_chunk_mut::<4>() {
        *head = [ICMPV6_ECHO_REPLY, 0, 0, 0];
    }
    icmpv6_push_pending_frames(net, &dst, &fl, message, ip.tclass);
}

/// An error about a packet of this host (`icmpv6_notify`): whose it is.
fn icmpv6_notify(net: &mut Net, skb: &mut SkBuff, head: [u8; ICMP6_HLEN]) -> Option<Icmp6Err> {
    let mut bytes = vec![0; skb.len().saturating_sub(ICMP6_HLEN).min(ICMP6_QUOTE_MAX)];
    skb.copy_bits(ICMP6_HLEN, &mut bytes);
    let parsed = Ipv6hdr::parse(&bytes).zip(ipv6_skip_exthdr(&bytes));
    let Some((ip, inner)) = parsed.filter(|(_, i)| !i.later_fragment) else {
        net.mib.inc(Icmp6::InErrors);
        return None;
    };
    let Some(first) = bytes.get(inner.offset..).and_then(|b| b.first_chunk::<8>()).copied() else {
        net.mib.inc(Icmp6::InErrors);
        return None;
    };
    let from = ipv6_hdr(skb).map_or(Ipv6Addr::UNSPECIFIED, |outer| outer.saddr);
    let half = |i: usize| u16::from_be_bytes([first[i], first[i + 1]]);
    let ports = matches!(inner.nexthdr, IPPROTO_TCP | IPPROTO_UDP);
    Some(Icmp6Err {
        proto: inner.nexthdr,
        icmp_type: head[0],
        code: head[1],
        info: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        saddr: ip.saddr,
        daddr: ip.daddr,
        sport: if ports { half(0) } else { 0 },
        dport: if ports { half(2) } else { 0 },
        seq: u32::from_be_bytes([first[4], first[5], first[6], first[7]]),
        quoted: bytes.split_off(inner.offset),
        from,
        ifindex: skb.dev.map_or(0, DevId::ifindex),
    })
}

/// Lowers the path MTU that a socket's peer is sent with, as an error told
/// (`ip6_sk_update_pmtu`).
pub(crate) fn update_pmtu(net: &mut Net, err: &Icmp6Err) {
    let oif = if is_linklocal(err.daddr) { err.ifindex } else { 0 };
    let mut fl = Flow6::new(err.saddr, err.daddr, oif, err.proto);
    if let Ok(dst) = ip6_route_output_flow(net, &mut fl) {
        ip6_update_pmtu(net, &dst, err.daddr, err.info);
    }
}
