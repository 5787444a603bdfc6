//! Packets that go on to another host (Linux `ip_forward.c`; `ip_error` and `ip_rt_send_redirect`
//! of `route.c`). Source routes and the hooks of netfilter are not built.

use super::icmp::{
    ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP_HOST_UNREACH, ICMP_NET_UNREACH, ICMP_REDIRECT,
    ICMP_TIME_EXCEEDED, icmp_send, inet_peer_xrlim_allow, redirect_allow,
};
use super::ip_input::Iphdr;
use super::ip_output::{IP_DF, dst_output};
use super::ip_sockglue::rt_tos2priority;
use super::mib::{Ip, IpExt};
use super::route::{Dst, ip_route_forward, is_onlink};
use crate::errno::Errno;
use crate::lib::checksum::ip_compute_csum;
use crate::net::Net;
use crate::net::core::skbuff::{DropReason, PktType, SkBuff, Skb, kfree_skb};
use reference_stack_macros::traced;
use std::net::IpAddr;

/// `ICMP_PKT_FILTERED`
const ICMP_PKT_FILTERED: u8 = 13;
/// `ICMP_EXC_TTL`
const ICMP_EXC_TTL: u8 = 0;
/// `ICMP_REDIR_HOST`
const ICMP_REDIR_HOST: u8 = 1;

/// Sends a packet on, or tells its sender why not.
#[traced]
pub(super) fn ip_forward(net: &mut Net, mut skb: Skb, iph: &Iphdr) {
    if skb.pkt_type != PktType::Host {
        return kfree_skb(net, skb, DropReason::NotSpecified);
    }
    if iph.ttl <= 1 {
        net.mib.inc(Ip::InHdrErrors);
        icmp_send(net, &skb, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0);
        return kfree_skb(net, skb, DropReason::IpInHdr);
    }
    let dst = match ip_route_forward(net, iph) {
        Ok(dst) => dst,
        Err(e) => return ip_error(net, skb, iph, e),
    };
    let mtu = dst.mtu.min(net.devs[dst.dev].mtu);
    if ip_exceeds_mtu(&skb, iph, mtu) {
        net.mib.inc(Ip::FragFails);
        icmp_send(net, &skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu);
        return kfree_skb(net, skb, DropReason::PktTooBig);
    }
    ip_decrease_ttl(&mut skb);
    if wants_redirect(net, &skb, iph, &dst) {
        ip_rt_send_redirect(net, &skb, iph, &dst);
    }
    skb.priority = rt_tos2priority(iph.tos);
    net.mib.inc(Ip::ForwDatagrams);
    // What becomes of it is not asked.
    let _ = dst_output(net, skb, &dst);
}

/// Whether a packet does not fit and must not be cut. What GRO put together fits if its segments do.
fn ip_exceeds_mtu(skb: &SkBuff, iph: &Iphdr, mtu: u32) -> bool {
    skb.len() > mtu as usize && iph.frag_off & IP_DF != 0 && skb.gso_size == 0
}

/// One hop less, in the header and its checksum.
fn ip_decrease_ttl(skb: &mut SkBuff) {
    let at = skb.network_header;
    let header = skb.head_at_mut(at);
    let ihl = usize::from(header.first().copied().unwrap_or(0) & 0x0f) * 4;
    if let Some(header) = header.get_mut(..ihl).filter(|h| h.len() >= 20) {
        header[8] = header[8].saturating_sub(1);
        header[10..12].fill(0);
        let sum = ip_compute_csum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// A packet goes back by the link that it came from: its sender, if it is on that link, knows a
/// better way then (`__mkroute_input`).
fn wants_redirect(net: &Net, skb: &SkBuff, iph: &Iphdr, dst: &Dst) -> bool {
    skb.dev == Some(dst.dev) && is_onlink(net, iph.saddr, dst.dev)
}

/// Tells the sender of the gateway, or that the destination is on its own link.
fn ip_rt_send_redirect(net: &mut Net, skb: &SkBuff, iph: &Iphdr, dst: &Dst) {
    let IpAddr::V4(gateway) = dst.nexthop else { return };
    if redirect_allow(net, iph.saddr) {
        icmp_send(net, skb, ICMP_REDIRECT, ICMP_REDIR_HOST, gateway.to_bits());
    }
}

/// A packet that has no way on: its sender is told so, unless this host does not forward at all.
#[traced]
pub(super) fn ip_error(net: &mut Net, skb: Skb, iph: &Iphdr, error: Errno) {
    if net.sysctl.ip_forward == 0 {
        match error {
            Errno::ENETUNREACH => net.mib.inc(IpExt::InNoRoutes),
            _ => net.mib.inc(Ip::InAddrErrors),
        }
        return kfree_skb(net, skb, DropReason::IpInAddrErrors);
    }
    let code = match error {
        Errno::EHOSTUNREACH => ICMP_HOST_UNREACH,
        Errno::ENETUNREACH => {
            net.mib.inc(IpExt::InNoRoutes);
            ICMP_NET_UNREACH
        }
        Errno::EACCES => ICMP_PKT_FILTERED,
        _ => return kfree_skb(net, skb, DropReason::IpInNoRoutes),
    };
    // ip_rt_error_cost, ip_rt_error_burst
    let hz = u64::from(net.time.hz());
    if inet_peer_xrlim_allow(net, iph.saddr, hz, 5 * hz) {
        icmp_send(net, &skb, ICMP_DEST_UNREACH, code, 0);
    }
    kfree_skb(net, skb, DropReason::IpInNoRoutes);
}
