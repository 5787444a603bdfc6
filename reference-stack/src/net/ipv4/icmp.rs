//! The Internet Control Message Protocol (RFC 792, RFC 1122 3.2.2; Linux `icmp.c`).

use super::devinet::inet_select_addr;
use super::fib_semantics::RtScope;
use super::ip_input::{Iphdr, ip_hdr};
use super::ip_output::{
    __ip_select_ident, IP_HLEN, IP_OFFSET, IpHeader, ip_local_out, ip_select_ttl, push_ip_header,
};
use super::mib::Icmp;
use super::route::{
    Dst, Flow4, RTCF_BROADCAST, RTCF_LOCAL, RTCF_MULTICAST, ip_route_output_flow, ipv4_update_pmtu,
};
use crate::errno::Errno;
use crate::lib::hash::DetHashMap;
use crate::net::Net;
use crate::net::core::dev::{DevId, IFF_LOOPBACK};
use crate::net::core::skbuff::{
    DropReason, Frags, IpSummed, PktType, SKB_HEADROOM, SkBuff, Skb, consume_skb, kfree_skb,
    skb_data_align,
};
use crate::time::Jiffies;
use crate::uapi::{IP_PMTUDISC_DONT, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
use hw_model::Frag;
use std::net::Ipv4Addr;
use std::sync::Arc;

pub(crate) const ICMP_ECHOREPLY: u8 = 0;
pub(crate) const ICMP_DEST_UNREACH: u8 = 3;
pub(crate) const ICMP_SOURCE_QUENCH: u8 = 4;
pub(crate) const ICMP_REDIRECT: u8 = 5;
pub(crate) const ICMP_ECHO: u8 = 8;
pub(crate) const ICMP_TIME_EXCEEDED: u8 = 11;
pub(crate) const ICMP_PARAMETERPROB: u8 = 12;
pub(crate) const ICMP_TIMESTAMP: u8 = 13;
pub(crate) const ICMP_TIMESTAMPREPLY: u8 = 14;
pub(crate) const ICMP_ADDRESS: u8 = 17;
pub(crate) const ICMP_ADDRESSREPLY: u8 = 18;
/// `NR_ICMP_TYPES`.
const NR_ICMP_TYPES: u8 = 18;

pub(crate) const ICMP_NET_UNREACH: u8 = 0;
pub(crate) const ICMP_HOST_UNREACH: u8 = 1;
pub(crate) const ICMP_PROT_UNREACH: u8 = 2;
pub(crate) const ICMP_PORT_UNREACH: u8 = 3;
pub(crate) const ICMP_FRAG_NEEDED: u8 = 4;
/// `NR_ICMP_UNREACH`.
const NR_ICMP_UNREACH: u8 = 15;
/// The time of reassembly was over (`ICMP_EXC_FRAGTIME`).
pub(crate) const ICMP_EXC_FRAGTIME: u8 = 1;

/// Bytes of an ICMP header.
const ICMP_HLEN: usize = 8;
/// Bytes of an error with what it quotes, IP header included (RFC 1812 4.3.2.3).
const ICMP_ERROR_MAX: usize = 576;
/// Messages that a silent peer may have saved up for (`XRLIM_BURST_FACTOR`).
const XRLIM_BURST_FACTOR: u64 = 6;
/// Peers whose rate is remembered (`inet_peer_threshold`).
const PEERS_MAX: usize = 65536 + 128;

/// An ICMP error about a packet that this host sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IcmpErr {
    /// The packet's protocol, `IPPROTO_*`.
    pub(crate) proto: u8,
    /// ICMP type.
    pub(crate) icmp_type: u8,
    /// ICMP code.
    pub(crate) code: u8,
    /// The MTU of "fragmentation needed", the pointer of "parameter problem".
    pub(crate) info: u32,
    /// The packet's source: this host.
    pub(crate) saddr: Ipv4Addr,
    /// The packet's destination.
    pub(crate) daddr: Ipv4Addr,
    /// The packet's source port, where its protocol has ports.
    pub(crate) sport: u16,
    /// The packet's destination port.
    pub(crate) dport: u16,
    /// Sequence number, where the protocol is TCP.
    pub(crate) seq: u32,
    /// The packet's bytes from its transport header on, as many as were quoted; at least 8.
    pub(crate) quoted: Vec<u8>,
    /// Device that the error came by.
    pub(crate) ifindex: u32,
    /// Who sent the error.
    pub(crate) from: Ipv4Addr,
}

impl IcmpErr {
    /// What a datagram or raw socket makes of it (`icmp_err_convert`): the errno, and whether it
    /// is told to a socket that did not ask for errors. `None`: to nobody.
    pub(crate) fn error(&self, pmtudisc: u8) -> Option<(Errno, bool)> {
        match self.icmp_type {
            ICMP_PARAMETERPROB => Some((Errno::EPROTO, true)),
            ICMP_TIME_EXCEEDED => Some((Errno::EHOSTUNREACH, false)),
            ICMP_DEST_UNREACH if self.code == ICMP_FRAG_NEEDED => {
                (pmtudisc != IP_PMTUDISC_DONT).then_some((Errno::EMSGSIZE, true))
            }
            ICMP_DEST_UNREACH => icmp_err_convert(self.code),
            _ => None,
        }
    }
}

/// The errno of a "destination unreachable" by code, and whether it is fatal
/// (`icmp_err_convert`).
pub(crate) const fn icmp_err_convert(code: u8) -> Option<(Errno, bool)> {
    Some(match code {
        0 => (Errno::ENETUNREACH, false),
        1 => (Errno::EHOSTUNREACH, false),
        2 => (Errno::ENOPROTOOPT, true),
        3 => (Errno::ECONNREFUSED, true),
        4 => (Errno::EMSGSIZE, false),
        5 => (Errno::EOPNOTSUPP, false),
        6 => (Errno::ENETUNREACH, true),
        7 => (Errno::EHOSTDOWN, true),
        8 => (Errno::from_raw(64), true),
        9 => (Errno::ENETUNREACH, true),
        10 => (Errno::EHOSTUNREACH, true),
        11 => (Errno::ENETUNREACH, false),
        12 => (Errno::EHOSTUNREACH, false),
        13..=15 => (Errno::EHOSTUNREACH, true),
        _ => return None,
    })
}

/// Rate limits of what this host sends (`icmp_global`, `inet_peer`).
#[derive(Clone, Debug, Default)]
pub(crate) struct IcmpLimits {
    credit: u32,
    stamp: Jiffies,
    peers: Arc<DetHashMap<Ipv4Addr, Peer>>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    tokens: u64,
    last: Jiffies,
    /// `n_redirects`
    redirects: u32,
}

/// Whether a message of this kind is free of any limit (`icmpv4_mask_allow`).
fn icmpv4_mask_allow(net: &Net, icmp_type: u8, code: u8) -> bool {
    let limited = net.sysctl.icmp_ratemask & (1 << icmp_type) != 0;
    icmp_type > NR_ICMP_TYPES
        || (icmp_type == ICMP_DEST_UNREACH && code == ICMP_FRAG_NEEDED)
        || !limited
}

/// The limit of the whole host: a message costs one token on average, at random none to two, so
/// that nobody can count them.
fn icmpv4_global_allow(net: &mut Net, icmp_type: u8, code: u8) -> bool {
    icmpv4_mask_allow(net, icmp_type, code) || icmp_global_allow(net)
}

/// Takes a token of the host's, which both families share (`icmp_global_allow`).
pub(crate) fn icmp_global_allow(net: &mut Net) -> bool {
    let (now, hz) = (net.jiffies(), u64::from(net.time.hz()));
    let delta = now.saturating_sub(net.ip.icmp.stamp).min(hz);
    let mut credit = net.ip.icmp.credit;
    if delta >= hz / 50 {
        let incr = net.sysctl.icmp_msgs_per_sec.max(0) as u64 * delta / hz;
        if incr > 0 {
            net.ip.icmp.stamp = now;
        }
        credit = credit.saturating_add(incr.min(u32::MAX.into()) as u32);
    }
    credit = credit.min(net.sysctl.icmp_msgs_burst.max(0) as u32);
    let allowed = credit > 0;
    if allowed {
        credit = credit.saturating_sub(net.rng.below(3));
    }
    net.ip.icmp.credit = credit;
    allowed
}

/// The limit of one peer (`icmpv4_xrlim_allow`, `inet_peer_xrlim_allow`).
fn icmpv4_xrlim_allow(net: &mut Net, dst: &Dst, peer: Ipv4Addr, icmp_type: u8, code: u8) -> bool {
    if icmpv4_mask_allow(net, icmp_type, code) || net.devs[dst.dev].flags & IFF_LOOPBACK != 0 {
        return true;
    }
    let timeout = net.time.msecs_to_jiffies(net.sysctl.icmp_ratelimit.max(0) as u64);
    inet_peer_xrlim_allow(net, peer, timeout, XRLIM_BURST_FACTOR * timeout)
}

/// Whether a peer's bucket, which fills by one a jiffy up to `burst`, holds `cost`; it is taken.
pub(super) fn inet_peer_xrlim_allow(net: &mut Net, peer: Ipv4Addr, cost: u64, burst: u64) -> bool {
    let now = net.jiffies();
    with_peer(net, peer, |entry| {
        let tokens = entry.tokens + now.saturating_sub(entry.last);
        entry.last = now;
        entry.tokens = tokens.min(burst);
        let allowed = entry.tokens >= cost;
        if allowed {
            entry.tokens -= cost;
        }
        allowed
    })
}

/// Whether a peer is told of a better gateway once more: less and less often, and no more after
/// nine times that it did not heed (`ip_rt_send_redirect`).
pub(super) fn redirect_allow(net: &mut Net, peer: Ipv4Addr) -> bool {
    /// `ip_rt_redirect_number`
    const MOST: u32 = 9;
    let now = net.jiffies();
    // ip_rt_redirect_load, ip_rt_redirect_silence
    let load = u64::from(net.time.hz()) / 50;
    let silence = load << (MOST + 1);
    with_peer(net, peer, |entry| {
        if now > entry.last + silence {
            (entry.tokens, entry.redirects) = (0, 0);
        }
        if entry.redirects >= MOST {
            entry.last = now;
            return false;
        }
        let due = entry.redirects == 0 || now > entry.last + (load << entry.redirects);
        if due {
            entry.last = now;
            entry.redirects += 1;
        }
        due
    })
}

/// Does something with what is kept of a peer (`inet_getpeer`); of new ones nothing is kept while
/// there are too many.
fn with_peer<T>(net: &mut Net, peer: Ipv4Addr, act: impl FnOnce(&mut Peer) -> T) -> T {
    let now = net.jiffies();
    let hz = u64::from(net.time.hz());
    let peers = Arc::make_mut(&mut net.ip.icmp.peers);
    if peers.len() >= PEERS_MAX {
        peers.retain(|_, p| now.saturating_sub(p.last) < 60 * hz);
    }
    let fresh = Peer { tokens: 0, last: now.saturating_sub(60 * hz), redirects: 0 };
    let mut entry = peers.get(&peer).copied().unwrap_or(fresh);
    let result = act(&mut entry);
    if peers.len() < PEERS_MAX {
        peers.insert(peer, entry);
    }
    result
}

/// Whether a type reports an error; no error is sent about one (RFC 1122 3.2.2).
fn is_error(icmp_type: u8) -> bool {
    matches!(
        icmp_type,
        ICMP_DEST_UNREACH
            | ICMP_SOURCE_QUENCH
            | ICMP_REDIRECT
            | ICMP_TIME_EXCEEDED
            | ICMP_PARAMETERPROB
    )
}

/// Tells the sender of a packet what became of it. The packet stays with the caller; its
/// `network_header` is at its IP header. `info` is the header's second word.
pub(crate) fn icmp_send(net: &mut Net, skb: &SkBuff, icmp_type: u8, code: u8, info: u32) {
    let (Some(iph), Some(rt)) = (ip_hdr(skb), skb.rt) else { return };
    let refused = skb.pkt_type != PktType::Host
        || rt.rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST) != 0
        || iph.frag_off & IP_OFFSET != 0;
    if refused || (is_error(icmp_type) && quotes_an_error(skb, &iph)) {
        return;
    }
    let from_loopback = skb.dev.is_some_and(|d| net.devs[d].flags & IFF_LOOPBACK != 0);
    if !from_loopback && !icmpv4_global_allow(net, icmp_type, code) {
        net.mib.inc(Icmp::OutRateLimitGlobal);
        return;
    }
    let saddr = match rt.rt_flags & RTCF_LOCAL {
        0 => Ipv4Addr::UNSPECIFIED,
        _ => iph.daddr,
    };
    let tos = if is_error(icmp_type) { (iph.tos & 0x1e) | 0xc0 } else { iph.tos };
    let mut fl = icmp_flow(saddr, iph.saddr, tos);
    let Ok(dst) = ip_route_output_flow(net, &mut fl) else { return };
    if !icmpv4_xrlim_allow(net, &dst, iph.saddr, icmp_type, code) {
        net.mib.inc(Icmp::OutRateLimitHost);
        return;
    }
    let room = (dst.mtu as usize).min(ICMP_ERROR_MAX).saturating_sub(IP_HLEN + ICMP_HLEN);
    if room <= IP_HLEN {
        return;
    }
    let quoted = quote(skb, room);
    let mut head = [0; ICMP_HLEN];
    head[0] = icmp_type;
    head[1] = code;
    head[4..8].copy_from_slice(&info.to_be_bytes());
    icmp_push_reply(net, &dst, &fl, &head, frags_of(quoted), tos);
}

/// [`icmp_send`] of "port unreachable".
pub(crate) fn icmp_send_port_unreachable(net: &mut Net, skb: &SkBuff) {
    icmp_send(net, skb, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0);
}

/// Whether a packet is itself an ICMP error, or too short to tell.
fn quotes_an_error(skb: &SkBuff, iph: &Iphdr) -> bool {
    if iph.protocol != IPPROTO_ICMP {
        return false;
    }
    match quote(skb, iph.ihl + 1).get(iph.ihl) {
        Some(&t) => t > NR_ICMP_TYPES || is_error(t),
        None => true,
    }
}

/// The first bytes of a packet from its IP header on.
fn quote(skb: &SkBuff, len: usize) -> Vec<u8> {
    let linear = skb.head_at(skb.network_header);
    let mut bytes: Vec<u8> = linear.iter().copied().take(len).collect();
    for frag in &skb.frags {
        let rest = len - bytes.len();
        bytes.extend(frag.bytes().iter().copied().take(rest));
    }
    bytes
}

fn frags_of(bytes: Vec<u8>) -> Frags {
    let mut frags = Frags::new();
    if !bytes.is_empty() {
        frags.push(Frag::new(Arc::new(bytes)));
    }
    frags
}

fn icmp_flow(saddr: Ipv4Addr, daddr: Ipv4Addr, tos: u8) -> Flow4 {
    Flow4 { saddr, daddr, oif: 0, tos, proto: IPPROTO_ICMP, sport: 0, dport: 0, mark: 0 }
}

/// Sends a message (`icmp_push_reply`): no DF, identification from the shared counters.
fn icmp_push_reply(
    net: &mut Net,
    dst: &Dst,
    fl: &Flow4,
    head: &[u8; ICMP_HLEN],
    data: Frags,
    tos: u8,
) {
    let mut skb = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    for frag in data {
        skb.add_frag(frag);
    }
    skb.push(ICMP_HLEN).copy_from_slice(head);
    skb.reset_transport_header();
    let sum = skb.checksum(0).finish();
    skb.linear_mut()[2..4].copy_from_slice(&sum.to_be_bytes());
    skb.truesize = net.profile.skb_truesize(skb_data_align(skb.len() + 64) as u32);
    let (saddr, daddr) = (fl.saddr, fl.daddr);
    let header = IpHeader {
        saddr,
        daddr,
        protocol: IPPROTO_ICMP,
        tos,
        ttl: ip_select_ttl(net, None, dst),
        df: false,
        id: __ip_select_ident(net, saddr, daddr, IPPROTO_ICMP, 1),
    };
    push_ip_header(&mut skb, &header);
    icmp_out_count(net, head[0]);
    // Whether an answer got out is not asked.
    let _ = ip_local_out(net, skb, dst);
}

fn icmp_out_count(net: &mut Net, icmp_type: u8) {
    net.mib.inc(Icmp::OutMsgs);
    let cell = match icmp_type {
        ICMP_ECHOREPLY => Icmp::OutEchoReps,
        ICMP_DEST_UNREACH => Icmp::OutDestUnreachs,
        ICMP_SOURCE_QUENCH => Icmp::OutSrcQuenchs,
        ICMP_REDIRECT => Icmp::OutRedirects,
        ICMP_ECHO => Icmp::OutEchos,
        ICMP_TIME_EXCEEDED => Icmp::OutTimeExcds,
        ICMP_PARAMETERPROB => Icmp::OutParmProbs,
        ICMP_TIMESTAMP => Icmp::OutTimestamps,
        ICMP_TIMESTAMPREPLY => Icmp::OutTimestampReps,
        _ => return,
    };
    net.mib.inc(cell);
}

fn icmp_in_count(net: &mut Net, icmp_type: u8) {
    let cell = match icmp_type {
        ICMP_ECHOREPLY => Icmp::InEchoReps,
        ICMP_DEST_UNREACH => Icmp::InDestUnreachs,
        ICMP_SOURCE_QUENCH => Icmp::InSrcQuenchs,
        ICMP_REDIRECT => Icmp::InRedirects,
        ICMP_ECHO => Icmp::InEchos,
        ICMP_TIME_EXCEEDED => Icmp::InTimeExcds,
        ICMP_PARAMETERPROB => Icmp::InParmProbs,
        ICMP_TIMESTAMP => Icmp::InTimestamps,
        ICMP_TIMESTAMPREPLY => Icmp::InTimestampReps,
        ICMP_ADDRESS => Icmp::InAddrMasks,
        ICMP_ADDRESSREPLY => Icmp::InAddrMaskReps,
        _ => return,
    };
    net.mib.inc(cell);
}

/// A received message; an error about one of this host's packets is returned for its protocol.
pub(crate) fn icmp_rcv(net: &mut Net, mut skb: Skb) -> Option<IcmpErr> {
    net.mib.inc(Icmp::InMsgs);
    let good = skb.ip_summed != IpSummed::None || skb.checksum(0).finish() == 0;
    if !good {
        net.mib.inc(Icmp::InCsumErrors);
        net.mib.inc(Icmp::InErrors);
        kfree_skb(net, skb, DropReason::IcmpCsum);
        return None;
    }
    let Some((iph, head)) = pull_icmp(&mut skb) else {
        return in_error(net, skb);
    };
    if head[0] > NR_ICMP_TYPES {
        return in_error(net, skb);
    }
    icmp_in_count(net, head[0]);
    let to_many = skb.rt.is_some_and(|rt| rt.rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST) != 0);
    if to_many {
        let asks = matches!(head[0], ICMP_ECHO | ICMP_TIMESTAMP);
        let ignored = asks && net.sysctl.icmp_echo_ignore_broadcasts != 0;
        if ignored || !(asks || matches!(head[0], ICMP_ADDRESS | ICMP_ADDRESSREPLY)) {
            return in_error(net, skb);
        }
    }
    let mut found = None;
    match head[0] {
        ICMP_ECHO if net.sysctl.icmp_echo_ignore_all == 0 => icmp_echo(net, &mut skb, &iph, head),
        ICMP_TIMESTAMP => icmp_timestamp(net, &mut skb, &iph, head),
        ICMP_DEST_UNREACH | ICMP_TIME_EXCEEDED | ICMP_PARAMETERPROB | ICMP_SOURCE_QUENCH => {
            found = icmp_unreach(net, &mut skb, &iph, head);
        }
        _ => {}
    }
    consume_skb(net, skb);
    found
}

fn in_error(net: &mut Net, skb: Skb) -> Option<IcmpErr> {
    net.mib.inc(Icmp::InErrors);
    kfree_skb(net, skb, DropReason::NotSpecified);
    None
}

/// The IP header, and the ICMP header, which is taken off.
fn pull_icmp(skb: &mut SkBuff) -> Option<(Iphdr, [u8; ICMP_HLEN])> {
    if !skb.may_pull(ICMP_HLEN) {
        return None;
    }
    let head = *skb.linear().first_chunk()?;
    let iph = ip_hdr(skb)?;
    skb.pull(ICMP_HLEN);
    Some((iph, head))
}

fn icmp_echo(net: &mut Net, skb: &mut SkBuff, iph: &Iphdr, mut head: [u8; ICMP_HLEN]) {
    head[0] = ICMP_ECHOREPLY;
    let len = skb.len();
    let data = skb.take_payload(len);
    icmp_reply(net, skb, iph, head, data);
}

fn icmp_timestamp(net: &mut Net, skb: &mut SkBuff, iph: &Iphdr, mut head: [u8; ICMP_HLEN]) {
    let mut originate = [0; 4];
    if skb.copy_bits(0, &mut originate) < 4 {
        net.mib.inc(Icmp::InErrors);
        return;
    }
    // Milliseconds of the day (inet_current_timestamp).
    let now = (net.time.ktime_get_real_ns() / 1_000_000 % 86_400_000) as u32;
    let mut data = originate.to_vec();
    data.extend(now.to_be_bytes());
    data.extend(now.to_be_bytes());
    head[0] = ICMP_TIMESTAMPREPLY;
    icmp_reply(net, skb, iph, head, frags_of(data));
}

/// Answers a request: from the address that it was sent to, with its TOS.
fn icmp_reply(net: &mut Net, skb: &SkBuff, iph: &Iphdr, mut head: [u8; ICMP_HLEN], data: Frags) {
    let icmp_type = head[0];
    if !icmpv4_global_allow(net, icmp_type, 0) {
        net.mib.inc(Icmp::OutRateLimitGlobal);
        return;
    }
    let saddr = fib_compute_spec_dst(net, skb, iph);
    let mut fl = icmp_flow(saddr, iph.saddr, iph.tos);
    let Ok(dst) = ip_route_output_flow(net, &mut fl) else { return };
    if !icmpv4_xrlim_allow(net, &dst, iph.saddr, icmp_type, 0) {
        net.mib.inc(Icmp::OutRateLimitHost);
        return;
    }
    head[1] = 0;
    head[2..4].fill(0);
    icmp_push_reply(net, &dst, &fl, &head, data, iph.tos);
}

/// The source of an answer: where the packet was sent to, if that is one host's address.
pub(crate) fn fib_compute_spec_dst(net: &Net, skb: &SkBuff, iph: &Iphdr) -> Ipv4Addr {
    let many = RTCF_BROADCAST | RTCF_MULTICAST;
    if skb.rt.is_some_and(|rt| rt.rt_flags & (many | RTCF_LOCAL) == RTCF_LOCAL) {
        return iph.daddr;
    }
    let dev = skb.dev.unwrap_or(DevId(0));
    inet_select_addr(net, dev, iph.saddr, RtScope::Universe)
}

/// An error about a packet that this host sent (`icmp_unreach`, `icmp_socket_deliver`).
fn icmp_unreach(
    net: &mut Net,
    skb: &mut SkBuff,
    outer: &Iphdr,
    head: [u8; ICMP_HLEN],
) -> Option<IcmpErr> {
    let [icmp_type, code, ..] = head;
    let word = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let mut bytes = vec![0; skb.len().min(ICMP_ERROR_MAX * 2)];
    skb.copy_bits(0, &mut bytes);
    let Some(iph) = Iphdr::parse(&bytes).filter(|h| h.ihl >= IP_HLEN) else {
        net.mib.inc(Icmp::InErrors);
        return None;
    };
    let mut info = 0;
    match (icmp_type, code) {
        (ICMP_DEST_UNREACH, NR_ICMP_UNREACH..) if code > NR_ICMP_UNREACH => return None,
        (ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED) => match net.sysctl.ip_no_pmtu_disc {
            2 => return None,
            0 | 3 => info = word & 0xffff,
            _ => {}
        },
        (ICMP_PARAMETERPROB, _) => info = word >> 24,
        (ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME) => return None,
        _ => {}
    }
    let transport = bytes.get(iph.ihl..).unwrap_or_default();
    let Some(first) = transport.first_chunk::<8>().copied() else {
        net.mib.inc(Icmp::InErrors);
        return None;
    };
    let half = |i: usize| u16::from_be_bytes([first[i], first[i + 1]]);
    let ports = matches!(iph.protocol, IPPROTO_TCP | IPPROTO_UDP);
    let err = IcmpErr {
        proto: iph.protocol,
        icmp_type,
        code,
        info,
        saddr: iph.saddr,
        daddr: iph.daddr,
        sport: if ports { half(0) } else { 0 },
        dport: if ports { half(2) } else { 0 },
        seq: u32::from_be_bytes([first[4], first[5], first[6], first[7]]),
        quoted: transport.to_vec(),
        ifindex: skb.dev.map_or(0, DevId::ifindex),
        from: outer.saddr,
    };
    // icmp_err(): what this host's own ICMP messages learn.
    if iph.protocol == IPPROTO_ICMP && (icmp_type, code) == (ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED) {
        update_pmtu(net, &err);
    }
    Some(err)
}

/// Lowers the path MTU that a socket's peer is sent with, as an error told (`ipv4_sk_update_pmtu`
/// for datagram sockets, `inet_csk_update_pmtu` for TCP).
pub(crate) fn update_pmtu(net: &mut Net, err: &IcmpErr) {
    let mut fl = icmp_flow(err.saddr, err.daddr, 0);
    if let Ok(dst) = ip_route_output_flow(net, &mut fl) {
        ipv4_update_pmtu(net, &dst, err.daddr, err.info);
    }
}
