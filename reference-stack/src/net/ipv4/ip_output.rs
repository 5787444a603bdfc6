//! IPv4 output (Linux `ip_output.c`).

use super::icmp::{ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, icmp_send};
use super::ip_fragment::ip_do_fragment;
use super::ip_sockglue::{IpcmCookie, rt_tos2priority};
use super::mib::{Ip, IpExt};
use super::route::{
    __sk_dst_check, Dst, Flow4, RTCF_BROADCAST, RTCF_LOCAL, RTCF_MULTICAST, RtType,
    dst_confirm_neigh, ip_route_output_flow,
};
use crate::errno::Errno;
use crate::lib::checksum::ip_compute_csum;
use crate::lib::hash::DetHashMap;
use crate::lib::siphash::siphash;
use crate::net::Net;
use crate::net::core::dev::LOOPBACK_DEV;
use crate::net::core::neighbour::{NeighId, neigh_lookup_or_create, neigh_output};
use crate::net::core::skbuff::{Cb, DropReason, IpCb, SkBuff, Skb, kfree_skb};
use crate::net::core::sock::SockCommon;
use crate::net::ethernet::ETH_P_IP;
use crate::time::Jiffies;
use crate::uapi::{IP_PMTUDISC_DO, IP_PMTUDISC_WANT};

use reference_stack_macros::traced;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The TOS bits of ECN.
const INET_ECN_MASK: u8 = 3;

/// `IP_PMTUDISC_OMIT`: like `IP_PMTUDISC_INTERFACE`, but longer packets are fragmented.
const IP_PMTUDISC_OMIT: u8 = 5;

/// Bytes of an IPv4 header without options.
pub(crate) const IP_HLEN: usize = 20;
/// Don't fragment, in the flags and offset field.
pub(crate) const IP_DF: u16 = 0x4000;
/// More fragments.
pub(crate) const IP_MF: u16 = 0x2000;
/// The offset, in units of 8 bytes.
pub(crate) const IP_OFFSET: u16 = 0x1fff;
/// `IP_IDENTS_SZ` with 512 MiB or more: the counters that unconnected packets share.
const IP_IDENTS_SZ: u64 = 8192;

/// What a packet without a full socket is sent with (SYN-ACK, RST, ACK of a TIME-WAIT socket).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyArgs {
    pub(crate) saddr: Ipv4Addr,
    pub(crate) daddr: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) tos: u8,
    /// `None`: `net.ipv4.ip_default_ttl`.
    pub(crate) ttl: Option<u8>,
    /// Device to go out by (`bound_dev_if`); 0: any.
    pub(crate) oif: u32,
    pub(crate) mark: u32,
    /// Ports, for the route look-up.
    pub(crate) sport: u16,
    pub(crate) dport: u16,
}

/// The fields of an IPv4 header that the sender chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpHeader {
    pub(crate) saddr: Ipv4Addr,
    pub(crate) daddr: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) df: bool,
    pub(crate) id: u16,
}

/// The shared identification counters (`ip_idents`, `ip_tstamps`), each made when it is first
/// used.
#[derive(Clone, Debug, Default)]
pub(crate) struct IpIdents(Arc<DetHashMap<u64, Ident>>);

#[derive(Clone, Copy, Debug)]
struct Ident {
    id: u32,
    stamp: Jiffies,
}

/// The next identification of packets between two hosts that no connection counts
/// (`__ip_select_ident`): the pair's counter, moved on by the number of segments and by up to as
/// many steps more as jiffies went by.
pub(crate) fn __ip_select_ident(
    net: &mut Net,
    saddr: Ipv4Addr,
    daddr: Ipv4Addr,
    protocol: u8,
    segs: u16,
) -> u16 {
    let pair = u64::from(u32::from(daddr)) << 32 | u64::from(u32::from(saddr));
    let key = net.ip.secrets.ip_id_key;
    let bucket = siphash(&[pair, protocol.into()], key) % IP_IDENTS_SZ;
    let now = net.jiffies();
    let first = Ident { id: siphash(&[bucket], key) as u32, stamp: 0 };
    let ident = net.ip.idents.0.get(&bucket).copied().unwrap_or(first);
    let steps = now.saturating_sub(ident.stamp).min(u32::MAX.into()) as u32;
    let step = u32::from(segs) + if steps > 0 { net.rng.below(steps) } else { 0 };
    let id = ident.id.wrapping_add(step);
    Arc::make_mut(&mut net.ip.idents.0).insert(bucket, Ident { id, stamp: now });
    id.wrapping_sub(segs.into()) as u16
}

/// The identification of a socket's packet (`ip_select_ident_segs`).
fn ip_select_ident(net: &mut Net, sk: &mut SockCommon, skb: &SkBuff, h: &IpHeader) -> u16 {
    let segs = skb.gso_segs.max(1);
    if !sk.inet_daddr.is_unspecified() {
        let id = sk.inet_id;
        sk.inet_id = id.wrapping_add(segs);
        return id;
    }
    if h.df && !skb.ignore_df {
        return 0;
    }
    __ip_select_ident(net, h.saddr, h.daddr, h.protocol, segs)
}

/// `ip_dont_fragment`: whether a socket's packets on this route carry DF.
pub(crate) fn ip_dont_fragment(sk: &SockCommon, dst: &Dst) -> bool {
    sk.pmtudisc == IP_PMTUDISC_DO || (sk.pmtudisc == IP_PMTUDISC_WANT && !dst.mtu_locked)
}

/// `ip_select_ttl`.
pub(crate) fn ip_select_ttl(net: &Net, uc_ttl: Option<u8>, dst: &Dst) -> u8 {
    uc_ttl.unwrap_or(match dst.hoplimit {
        0 => net.sysctl.ip_default_ttl as u8,
        hops => hops,
    })
}

/// Puts an IPv4 header in front; its length and checksum come in [`ip_local_out`].
pub(crate) fn push_ip_header(skb: &mut SkBuff, h: &IpHeader) {
    let b = skb.push(IP_HLEN);
    b[0] = 0x45;
    b[1] = h.tos;
    b[4..6].copy_from_slice(&h.id.to_be_bytes());
    b[6..8].copy_from_slice(&(if h.df { IP_DF } else { 0 }).to_be_bytes());
    b[8] = h.ttl;
    b[9] = h.protocol;
    b[12..16].copy_from_slice(&h.saddr.octets());
    b[16..20].copy_from_slice(&h.daddr.octets());
    skb.reset_network_header();
}

/// Sends a transport packet of a connected socket: routes it (the route is cached in the
/// socket), puts the IP header in front (DF by `pmtudisc`, id from the socket's counter) and
/// passes it down.
///
/// # Errors
/// EHOSTUNREACH: there is no route. Else what the way down says.
#[traced]
pub(crate) fn ip_queue_xmit(net: &mut Net, sk: &mut SockCommon, skb: Skb) -> Result<(), Errno> {
    let tos = sk.tos;
    __ip_queue_xmit(net, sk, skb, tos)
}

#[traced]
fn __ip_queue_xmit(net: &mut Net, sk: &mut SockCommon, mut skb: Skb, tos: u8) -> Result<(), Errno> {
    let dst = match __sk_dst_check(net, sk) {
        Some(dst) => dst,
        None => {
            let mut fl = Flow4 {
                saddr: sk.inet_saddr,
                daddr: sk.inet_daddr,
                oif: sk.bound_dev_if,
                tos,
                proto: sk.sk_protocol,
                sport: sk.inet_num,
                dport: sk.inet_dport,
                mark: sk.sk_mark,
            };
            let Ok(dst) = ip_route_output_flow(net, &mut fl) else {
                net.mib.inc(Ip::OutNoRoutes);
                kfree_skb(net, skb, DropReason::IpOutNoRoutes);
                return Err(Errno::EHOSTUNREACH);
            };
            sk.sk_dst = Some(dst.clone());
            dst
        }
    };
    if sk.dst_pending_confirm {
        // sock_confirm_neigh(): an acknowledgment showed that the next hop hears us.
        sk.dst_pending_confirm = false;
        dst_confirm_neigh(net, &dst, sk.inet_daddr.into());
    }
    let mut header = IpHeader {
        saddr: sk.inet_saddr,
        daddr: sk.inet_daddr,
        protocol: sk.sk_protocol,
        tos,
        ttl: ip_select_ttl(net, sk.uc_ttl, &dst),
        df: ip_dont_fragment(sk, &dst) && !skb.ignore_df,
        id: 0,
    };
    header.id = ip_select_ident(net, sk, &skb, &header);
    push_ip_header(&mut skb, &header);
    skb.priority = sk.sk_priority;
    ip_local_out(net, skb, &dst)
}

/// Sends a packet of a request socket over a route found before (SYN-ACK: id 0, DF).
///
/// # Errors
/// What the way down says.
pub(crate) fn ip_build_and_send_pkt(
    net: &mut Net,
    mut skb: Skb,
    args: &ReplyArgs,
    dst: &Dst,
) -> Result<(), Errno> {
    let header = IpHeader {
        saddr: args.saddr,
        daddr: args.daddr,
        protocol: args.protocol,
        tos: args.tos,
        ttl: ip_select_ttl(net, args.ttl, dst),
        df: !dst.mtu_locked,
        id: 0,
    };
    push_ip_header(&mut skb, &header);
    ip_local_out(net, skb, dst)
}

/// Answers a packet without a socket (RST, ACK of a TIME-WAIT socket: id 0, DF), as the
/// per-CPU control socket does. The transport checksum is `Partial`.
pub(crate) fn ip_send_unicast_reply(net: &mut Net, mut skb: Skb, args: &ReplyArgs) {
    let mut fl = Flow4 {
        saddr: args.saddr,
        daddr: args.daddr,
        oif: args.oif,
        tos: args.tos,
        proto: args.protocol,
        sport: args.sport,
        dport: args.dport,
        mark: args.mark,
    };
    let Ok(dst) = ip_route_output_flow(net, &mut fl) else {
        net.mib.inc(Ip::OutNoRoutes);
        return kfree_skb(net, skb, DropReason::IpOutNoRoutes);
    };
    // The control socket is not connected and wants path MTU discovery: DF, and so id 0. What it
    // sends is not ECN-capable, even if the TOS is that of a packet that was.
    let header = IpHeader {
        saddr: args.saddr,
        daddr: args.daddr,
        protocol: args.protocol,
        tos: args.tos & !INET_ECN_MASK,
        ttl: ip_select_ttl(net, args.ttl, &dst),
        df: !dst.mtu_locked,
        id: if dst.mtu_locked {
            __ip_select_ident(net, args.saddr, args.daddr, args.protocol, 1)
        } else {
            0
        },
    };
    push_ip_header(&mut skb, &header);
    // Nobody waits for the result of a reply.
    let _ = ip_local_out(net, skb, &dst);
}

/// Sends a datagram of a socket over a route found before (`ip_make_skb`, `ip_send_skb`): unless
/// the socket insists on path MTU discovery, it may be fragmented here although it carries DF.
///
/// # Errors
/// ENOBUFS: dropped by the queueing discipline; only a socket with IP_RECVERR is to hear of it.
/// Else what the way down says.
pub(crate) fn ip_send_skb(
    net: &mut Net,
    sk: &mut SockCommon,
    mut skb: Skb,
    dst: &Dst,
    saddr: Ipv4Addr,
    daddr: Ipv4Addr,
    ipc: &IpcmCookie,
) -> Result<(), Errno> {
    skb.ignore_df = sk.pmtudisc < IP_PMTUDISC_DO || sk.pmtudisc == IP_PMTUDISC_OMIT;
    let fits = skb.len() + IP_HLEN <= dst.mtu as usize;
    let mut header = IpHeader {
        saddr,
        daddr,
        protocol: sk.sk_protocol,
        tos: ipc.tos.unwrap_or(sk.tos),
        ttl: match (ipc.ttl, dst.rt_type) {
            (Some(ttl), _) => ttl,
            (None, RtType::Multicast) => sk.mc_ttl,
            (None, _) => ip_select_ttl(net, sk.uc_ttl, dst),
        },
        df: sk.pmtudisc >= IP_PMTUDISC_DO || (fits && ip_dont_fragment(sk, dst)),
        id: 0,
    };
    header.id = ip_select_ident(net, sk, &skb, &header);
    push_ip_header(&mut skb, &header);
    skb.priority = ipc.tos.map_or(sk.sk_priority, rt_tos2priority);
    ip_local_out(net, skb, dst)
}

/// Completes the header of a packet of this host (length, checksum) and sends it.
///
/// # Errors
/// What the way down says.
#[traced]
pub(crate) fn ip_local_out(net: &mut Net, mut skb: Skb, dst: &Dst) -> Result<(), Errno> {
    net.mib.inc(Ip::OutRequests);
    let len = skb.len();
    // A super-packet may be longer than the field says; it is cut before it is seen.
    ip_set_len(&mut skb, len.min(0xffff) as u16);
    skb.protocol = ETH_P_IP;
    skb.rt = Some(dst.skb_rt());
    skb.cb = Cb::Ip(IpCb::default());
    dst_output(net, skb, dst)
}

/// Writes the total length and, with it, the header's checksum (`ip_send_check`).
pub(crate) fn ip_set_len(skb: &mut SkBuff, len: u16) {
    let at = skb.network_header;
    let header = skb.head_at_mut(at);
    let ihl = usize::from(header.first().copied().unwrap_or(0) & 0x0f) * 4;
    if let Some(header) = header.get_mut(..ihl.max(IP_HLEN)) {
        header[2..4].copy_from_slice(&len.to_be_bytes());
        header[10..12].fill(0);
        let sum = ip_compute_csum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

#[traced]
pub(super) fn dst_output(net: &mut Net, skb: Skb, dst: &Dst) -> Result<(), Errno> {
    match dst.rt_type {
        RtType::Broadcast | RtType::Multicast => ip_mc_output(net, skb, dst),
        _ => ip_output(net, skb, dst),
    }
}

fn count_out(net: &mut Net, skb: &SkBuff) {
    net.mib.add(IpExt::OutOctets, skb.len() as u64);
}

#[traced]
fn ip_output(net: &mut Net, mut skb: Skb, dst: &Dst) -> Result<(), Errno> {
    count_out(net, &skb);
    skb.dev = Some(dst.dev);
    skb.protocol = ETH_P_IP;
    ip_finish_output(net, skb, dst)
}

/// Broadcasts are also for this host.
fn ip_mc_output(net: &mut Net, mut skb: Skb, dst: &Dst) -> Result<(), Errno> {
    count_out(net, &skb);
    skb.dev = Some(dst.dev);
    skb.protocol = ETH_P_IP;
    let len = skb.len() as u64;
    if dst.rt_flags & RTCF_BROADCAST != 0 {
        net.mib.inc(IpExt::OutBcastPkts);
        net.mib.add(IpExt::OutBcastOctets, len);
        if dst.rt_flags & RTCF_LOCAL != 0 && dst.dev != LOOPBACK_DEV {
            let copy = skb.copy(&mut net.skbs);
            super::ip_input::dev_loopback_xmit(net, copy);
        }
    } else if dst.rt_flags & RTCF_MULTICAST != 0 {
        net.mib.inc(IpExt::OutMcastPkts);
        net.mib.add(IpExt::OutMcastOctets, len);
    }
    ip_finish_output(net, skb, dst)
}

#[traced]
fn ip_finish_output(net: &mut Net, skb: Skb, dst: &Dst) -> Result<(), Errno> {
    __ip_finish_output(net, skb, dst)
}

#[traced]
fn __ip_finish_output(net: &mut Net, skb: Skb, dst: &Dst) -> Result<(), Errno> {
    let mtu = ip_skb_dst_mtu(net, dst);
    if skb.gso_size > 0 {
        return ip_finish_output_gso(net, skb, dst, mtu);
    }
    if skb.len() > mtu || skb.ip_cb().frag_max_size > 0 {
        return ip_fragment(net, skb, dst, mtu);
    }
    ip_finish_output2(net, skb, dst)
}

/// A super-packet goes on whole if its segments fit. Those of a path whose MTU became smaller
/// meanwhile are cut here and fragmented, or refused.
fn ip_finish_output_gso(net: &mut Net, skb: Skb, dst: &Dst, mtu: usize) -> Result<(), Errno> {
    let headers = usize::from(skb.transport_header.saturating_sub(skb.network_header))
        + super::ip_input::tcp_header_len(&skb);
    if headers + usize::from(skb.gso_size) <= mtu {
        return ip_finish_output2(net, skb, dst);
    }
    match crate::net::core::gso::skb_gso_segment(net, skb) {
        Ok(mut list) => {
            let mut result = Ok(());
            while let Some(segment) = list.pop_front() {
                let sent = ip_fragment(net, segment, dst, mtu);
                result = result.and(sent);
            }
            result
        }
        Err(skb) => {
            kfree_skb(net, skb, DropReason::SkbCsum);
            Err(Errno::EINVAL)
        }
    }
}

/// The largest packet that the route takes.
#[traced]
fn ip_skb_dst_mtu(net: &Net, dst: &Dst) -> usize {
    dst.mtu.min(net.devs[dst.dev].mtu.max(68)).min(0xffff) as usize
}

/// A packet that is too long: fragments, or an error to its sender if DF forbids that.
fn ip_fragment(net: &mut Net, skb: Skb, dst: &Dst, mtu: usize) -> Result<(), Errno> {
    let header = skb.head_at(skb.network_header);
    let frag_off = header.get(6..8).map_or(0, |f| u16::from_be_bytes([f[0], f[1]]));
    if frag_off & IP_DF != 0 && !skb.ignore_df {
        net.mib.inc(Ip::FragFails);
        icmp_send(net, &skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu as u32);
        kfree_skb(net, skb, DropReason::PktTooBig);
        return Err(Errno::EMSGSIZE);
    }
    ip_do_fragment(net, skb, dst, mtu)
}

/// Hands a packet that fits to the next hop.
#[traced]
pub(crate) fn ip_finish_output2(net: &mut Net, skb: Skb, dst: &Dst) -> Result<(), Errno> {
    match ip_neigh_for_gw(net, dst) {
        Ok(neigh) => neigh_output(net, neigh, skb),
        Err(e) => {
            kfree_skb(net, skb, DropReason::NeighCreateFail);
            Err(e)
        }
    }
}

/// The neighbour entry of a route's next hop.
#[traced]
fn ip_neigh_for_gw(net: &mut Net, dst: &Dst) -> Result<NeighId, Errno> {
    neigh_lookup_or_create(net, dst.dev, dst.nexthop)
}
