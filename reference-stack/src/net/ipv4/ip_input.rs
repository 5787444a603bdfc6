//! IPv4 input (Linux `ip_input.c`).

use super::icmp::{ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, icmp_send};
use super::ip_forward::{ip_error, ip_forward};
use super::ip_fragment::ip_defrag;
use super::ip_options::ip_rcv_options;
use super::ip_output::{IP_HLEN, IP_MF, IP_OFFSET};
use super::mib::{Ip, IpExt};
use super::route::{
    InputRoute, RTCF_BROADCAST, RTCF_LOCAL, RTCF_MULTICAST, RtType, ip_route_input,
};
use crate::lib::checksum::ip_compute_csum;
use crate::net::Net;
use crate::net::core::dev::{LOOPBACK_DEV, netif_rx};
use crate::net::core::skbuff::{
    Cb, DropReason, IpCb, IpSummed, PktType, SkBuff, Skb, SkbRt, kfree_skb,
};
use crate::uapi::{IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
use reference_stack_macros::traced;
use std::net::Ipv4Addr;

/// What became of a received packet.
#[derive(Debug)]
#[must_use]
pub(crate) enum IpRcv {
    /// It is this host's: the protocol is TCP, UDP or ICMP, `data` is at its header, the IP
    /// header is at `network_header`.
    Local {
        /// `IPPROTO_*`.
        proto: u8,
        /// The packet.
        skb: Skb,
    },
    /// It was dropped, or kept for reassembly.
    Done,
}

/// An IPv4 header as it stands in a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Iphdr {
    /// Header length with options, bytes.
    pub(crate) ihl: usize,
    pub(crate) tos: u8,
    pub(crate) tot_len: u16,
    pub(crate) id: u16,
    /// Flags and offset.
    pub(crate) frag_off: u16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) saddr: Ipv4Addr,
    pub(crate) daddr: Ipv4Addr,
}

impl Iphdr {
    /// Reads a header; `None` if there are less than 20 bytes.
    pub(crate) fn parse(b: &[u8]) -> Option<Self> {
        let b = b.first_chunk::<IP_HLEN>()?;
        let half = |i: usize| u16::from_be_bytes([b[i], b[i + 1]]);
        let ip = |i: usize| Ipv4Addr::new(b[i], b[i + 1], b[i + 2], b[i + 3]);
        Some(Self {
            ihl: usize::from(b[0] & 0x0f) * 4,
            tos: b[1],
            tot_len: half(2),
            id: half(4),
            frag_off: half(6),
            ttl: b[8],
            protocol: b[9],
            saddr: ip(12),
            daddr: ip(16),
        })
    }

    /// `ip_is_fragment`.
    pub(crate) fn is_fragment(&self) -> bool {
        self.frag_off & (IP_MF | IP_OFFSET) != 0
    }
}

/// The header at a packet's `network_header` (`ip_hdr`).
pub(crate) fn ip_hdr(skb: &SkBuff) -> Option<Iphdr> {
    Iphdr::parse(skb.head_at(skb.network_header))
}

/// Bytes of the TCP header at a packet's `transport_header`, 20 if it cannot be read.
pub(crate) fn tcp_header_len(skb: &SkBuff) -> usize {
    let header = skb.head_at(skb.transport_header);
    header.get(12).map_or(20, |b| usize::from(b >> 4) * 4)
}

/// A received IPv4 packet.
#[traced]
pub(crate) fn ip_rcv(net: &mut Net, skb: Skb) -> IpRcv {
    match ip_rcv_core(net, skb) {
        Some((skb, iph)) => ip_rcv_finish(net, skb, &iph),
        None => IpRcv::Done,
    }
}

/// Checks the header and cuts the packet to its length.
#[traced]
fn ip_rcv_core(net: &mut Net, mut skb: Skb) -> Option<(Skb, Iphdr)> {
    if skb.pkt_type == PktType::OtherHost {
        kfree_skb(net, skb, DropReason::OtherHost);
        return None;
    }
    net.mib.inc(Ip::InReceives);
    net.mib.add(IpExt::InOctets, skb.len() as u64);
    let Some(iph) = pull_header(&mut skb) else {
        net.mib.inc(Ip::InHdrErrors);
        kfree_skb(net, skb, DropReason::IpInHdr);
        return None;
    };
    let segs = u64::from(skb.gso_segs.max(1));
    net.mib.add(
        match iph.tos & 3 {
            0 => IpExt::InNoECTPkts,
            1 => IpExt::InECT1Pkts,
            2 => IpExt::InECT0Pkts,
            _ => IpExt::InCEPkts,
        },
        segs,
    );
    if ip_compute_csum(&skb.linear()[..iph.ihl]) != 0 {
        net.mib.inc(IpExt::InCsumErrors);
        net.mib.inc(Ip::InHdrErrors);
        kfree_skb(net, skb, DropReason::IpCsum);
        return None;
    }
    let len = usize::from(iph.tot_len);
    // A super-packet's length may not fit the field.
    let whole = skb.gso_size > 0;
    if skb.len() < len {
        net.mib.inc(IpExt::InTruncatedPkts);
        kfree_skb(net, skb, DropReason::PktTooSmall);
        return None;
    }
    if len < iph.ihl && !whole {
        net.mib.inc(Ip::InHdrErrors);
        kfree_skb(net, skb, DropReason::IpInHdr);
        return None;
    }
    if !whole {
        skb.trim(len);
    }
    skb.transport_header = skb.network_header + iph.ihl as u16;
    skb.cb = Cb::Ip(IpCb::default());
    Some((skb, iph))
}

/// The header, all of it linear, if it is one.
fn pull_header(skb: &mut SkBuff) -> Option<Iphdr> {
    skb.reset_network_header();
    if !skb.may_pull(IP_HLEN) || skb.linear()[0] >> 4 != 4 {
        return None;
    }
    let iph = Iphdr::parse(skb.linear())?;
    (iph.ihl >= IP_HLEN && skb.may_pull(iph.ihl)).then_some(iph)
}

#[traced]
fn ip_rcv_finish(net: &mut Net, skb: Skb, iph: &Iphdr) -> IpRcv {
    match ip_rcv_finish_core(net, skb, iph) {
        Some((skb, route)) => dst_input(net, skb, iph, route),
        None => IpRcv::Done,
    }
}

/// Routes the packet, unless it came over loopback with its route, and looks at its options.
#[traced]
fn ip_rcv_finish_core(net: &mut Net, mut skb: Skb, iph: &Iphdr) -> Option<(Skb, InputRoute)> {
    let Some(dev) = skb.dev else {
        kfree_skb(net, skb, DropReason::NotSpecified);
        return None;
    };
    let route = match skb.rt {
        Some(rt) => InputRoute::Local(local_type(rt.rt_flags)),
        None => match ip_route_input(net, iph.daddr, iph.saddr, iph.tos, dev) {
            Ok(route) => route,
            Err(_) => {
                kfree_skb(net, skb, DropReason::IpInNoRoutes);
                return None;
            }
        },
    };
    if skb.rt.is_none() {
        let rt_flags = match route {
            InputRoute::Local(RtType::Broadcast) => RTCF_LOCAL | RTCF_BROADCAST,
            InputRoute::Local(RtType::Multicast) => RTCF_LOCAL | RTCF_MULTICAST,
            InputRoute::Local(_) => RTCF_LOCAL,
            InputRoute::Forward | InputRoute::Unreachable(_) => 0,
        };
        skb.rt = Some(SkbRt { rt_flags, is_input: true });
    }
    if iph.ihl > IP_HLEN && !ip_rcv_options(net, &mut skb, iph) {
        net.mib.inc(Ip::InHdrErrors);
        kfree_skb(net, skb, DropReason::IpInHdr);
        return None;
    }
    let len = skb.len() as u64;
    match route {
        InputRoute::Local(RtType::Multicast) => {
            net.mib.inc(IpExt::InMcastPkts);
            net.mib.add(IpExt::InMcastOctets, len);
        }
        InputRoute::Local(RtType::Broadcast) => {
            net.mib.inc(IpExt::InBcastPkts);
            net.mib.add(IpExt::InBcastOctets, len);
        }
        _ => {}
    }
    Some((skb, route))
}

fn local_type(rt_flags: u32) -> RtType {
    if rt_flags & RTCF_BROADCAST != 0 {
        RtType::Broadcast
    } else if rt_flags & RTCF_MULTICAST != 0 {
        RtType::Multicast
    } else {
        RtType::Local
    }
}

#[traced]
fn dst_input(net: &mut Net, skb: Skb, iph: &Iphdr, route: InputRoute) -> IpRcv {
    match route {
        InputRoute::Local(_) => ip_local_deliver(net, skb, iph),
        InputRoute::Unreachable(e) => {
            ip_error(net, skb, iph, e);
            IpRcv::Done
        }
        InputRoute::Forward => {
            ip_forward(net, skb, iph);
            IpRcv::Done
        }
    }
}

#[traced]
fn ip_local_deliver(net: &mut Net, skb: Skb, iph: &Iphdr) -> IpRcv {
    if !iph.is_fragment() {
        return ip_local_deliver_finish(net, skb);
    }
    match ip_defrag(net, skb) {
        Some(whole) => ip_local_deliver_finish(net, whole),
        None => IpRcv::Done,
    }
}

#[traced]
fn ip_local_deliver_finish(net: &mut Net, mut skb: Skb) -> IpRcv {
    let Some(iph) = ip_hdr(&skb) else {
        kfree_skb(net, skb, DropReason::IpInHdr);
        return IpRcv::Done;
    };
    skb.pull(iph.ihl);
    skb.reset_transport_header();
    ip_protocol_deliver_rcu(net, skb, iph.protocol)
}

#[traced]
fn ip_protocol_deliver_rcu(net: &mut Net, skb: Skb, proto: u8) -> IpRcv {
    match proto {
        IPPROTO_TCP | IPPROTO_UDP | IPPROTO_ICMP => {
            net.mib.inc(Ip::InDelivers);
            IpRcv::Local { proto, skb }
        }
        _ => {
            net.mib.inc(Ip::InUnknownProtos);
            icmp_send(net, &skb, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0);
            kfree_skb(net, skb, DropReason::IpNoProto);
            IpRcv::Done
        }
    }
}

/// A copy of a packet that was sent to all comes back to this host through the backlog.
pub(crate) fn dev_loopback_xmit(net: &mut Net, mut skb: Skb) {
    skb.pkt_type = PktType::Host;
    skb.ip_summed = match skb.ip_summed {
        IpSummed::Partial { offset } => IpSummed::Partial { offset },
        _ => IpSummed::Unnecessary,
    };
    skb.dev = skb.dev.or(Some(LOOPBACK_DEV));
    netif_rx(net, skb);
}
