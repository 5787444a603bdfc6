//! IPv6 input (Linux `ip6_input.c`, 5.15).

use super::addr;
use super::exthdrs::{EXTHDRS_MAX, ipv6_rthdr_rcv, options_rcv};
use super::icmp::{
    ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE, ICMPV6_PARAMPROB, ICMPV6_UNK_NEXTHDR, icmpv6_send,
};
use super::reassembly::ipv6_frag_rcv;
use super::route::{Input6, ip6_route_input};
use crate::net::Net;
use crate::net::core::dev::IFF_LOOPBACK;
use crate::net::core::skbuff::{Cb, DropReason, Ip6Cb, PktType, SkBuff, Skb, SkbRt, kfree_skb};
use crate::net::ipv4::mib::Ip6;
use crate::net::ipv4::route::RTCF_MULTICAST;
use crate::uapi::{
    IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_HOPOPTS, IPPROTO_ICMPV6, IPPROTO_NONE,
    IPPROTO_ROUTING, IPPROTO_TCP, IPPROTO_UDP,
};
use reference_stack_macros::traced;
use std::net::Ipv6Addr;

/// Bytes of an IPv6 header.
pub(crate) const IPV6_HLEN: usize = 40;

/// What became of a received packet.
#[derive(Debug)]
#[must_use]
pub(crate) enum Ip6Rcv {
    /// It is this host's: the protocol is TCP, UDP or ICMPv6, `data` is at its header, the IPv6
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

/// An IPv6 header as it stands in a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ipv6hdr {
    pub(crate) version: u8,
    pub(crate) tclass: u8,
    pub(crate) flowlabel: u32,
    pub(crate) payload_len: u16,
    pub(crate) nexthdr: u8,
    pub(crate) hop_limit: u8,
    pub(crate) saddr: Ipv6Addr,
    pub(crate) daddr: Ipv6Addr,
}

impl Ipv6hdr {
    /// Reads a header; `None` if there are less than 40 bytes.
    pub(crate) fn parse(b: &[u8]) -> Option<Self> {
        let b = b.first_chunk::<IPV6_HLEN>()?;
        let word = u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        Some(Self {
            version: b[0] >> 4,
            tclass: (word >> 20) as u8,
            flowlabel: word & 0xf_ffff,
            payload_len: u16::from_be_bytes([b[4], b[5]]),
            nexthdr: b[6],
            hop_limit: b[7],
            saddr: addr::read(&b[8..24])?,
            daddr: addr::read(&b[24..40])?,
        })
    }
}

/// The header at a packet's `network_header` (`ipv6_hdr`).
pub(crate) fn ipv6_hdr(skb: &SkBuff) -> Option<Ipv6hdr> {
    Ipv6hdr::parse(skb.head_at(skb.network_header))
}

/// A received IPv6 packet.
#[traced]
pub(crate) fn ipv6_rcv(net: &mut Net, skb: Skb) -> Ip6Rcv {
    match ip6_rcv_core(net, skb) {
        Some((skb, ip)) => ip6_rcv_finish(net, skb, &ip),
        None => Ip6Rcv::Done,
    }
}

/// Checks the header and cuts the packet to its length.
#[traced]
fn ip6_rcv_core(net: &mut Net, mut skb: Skb) -> Option<(Skb, Ipv6hdr)> {
    if skb.pkt_type == PktType::OtherHost {
        kfree_skb(net, skb, DropReason::OtherHost);
        return None;
    }
    net.mib.inc(Ip6::InReceives);
    net.mib.add(Ip6::InOctets, skb.len() as u64);
    let Some(dev) = skb.dev.filter(|&d| net.devs[d].ip6_ptr.up) else {
        net.mib.inc(Ip6::InDiscards);
        kfree_skb(net, skb, DropReason::Ipv6Disabled);
        return None;
    };
    skb.reset_network_header();
    let header = match skb.may_pull(IPV6_HLEN) {
        true => Ipv6hdr::parse(skb.linear()).filter(|ip| ip.version == 6),
        false => None,
    };
    let loopback = net.devs[dev].flags & IFF_LOOPBACK != 0;
    let Some(ip) = header.filter(|ip| addresses_are_sane(&skb, ip, loopback)) else {
        net.mib.inc(Ip6::InHdrErrors);
        kfree_skb(net, skb, DropReason::IpInHdr);
        return None;
    };
    let segs = u64::from(skb.gso_segs.max(1));
    net.mib.add(
        match ip.tclass & 3 {
            0 => Ip6::InNoECTPkts,
            1 => Ip6::InECT1Pkts,
            2 => Ip6::InECT0Pkts,
            _ => Ip6::InCEPkts,
        },
        segs,
    );
    let len = usize::from(ip.payload_len);
    // A super-packet's length may not fit the field; jumbograms are not taken.
    if skb.gso_size == 0 {
        if len + IPV6_HLEN > skb.len() {
            net.mib.inc(Ip6::InTruncatedPkts);
            kfree_skb(net, skb, DropReason::PktTooSmall);
            return None;
        }
        skb.trim(len + IPV6_HLEN);
    }
    skb.cb = Cb::Ip6(Ip6Cb { nhoff: 6, fragmented: false });
    Some((skb, ip))
}

/// Addresses that no packet can carry on a link (RFC 4291 2.5.3, 2.7).
fn addresses_are_sane(skb: &SkBuff, ip: &Ipv6hdr, loopback: bool) -> bool {
    let host_alone = |a: Ipv6Addr| a.octets()[0] == 0xff && a.octets()[1] & 0x0f == 1;
    let outside = !loopback && skb.rt.is_none();
    !(outside && (ip.saddr.is_loopback() || ip.daddr.is_loopback() || host_alone(ip.daddr)))
        && !ip.saddr.is_multicast()
        && !(ip.daddr.is_multicast() && ip.daddr.octets()[1] & 0x0f == 0)
        // Unicast must not come by a link-layer multicast (RFC 1122 3.3.6 in spirit).
        && (skb.pkt_type == PktType::Host || ip.daddr.is_multicast())
}

#[traced]
fn ip6_rcv_finish(net: &mut Net, mut skb: Skb, ip: &Ipv6hdr) -> Ip6Rcv {
    let Some(dev) = skb.dev else {
        kfree_skb(net, skb, DropReason::NotSpecified);
        return Ip6Rcv::Done;
    };
    match ip6_route_input(net, dev, ip.daddr) {
        Input6::Local(rt_flags) => {
            if rt_flags & RTCF_MULTICAST != 0 {
                net.mib.inc(Ip6::InMcastPkts);
                net.mib.add(Ip6::InMcastOctets, skb.len() as u64);
            }
            skb.rt = Some(SkbRt { rt_flags, is_input: true });
            skb.pull(IPV6_HLEN);
            ip6_protocol_deliver_rcu(net, skb, ip.nexthdr)
        }
        // There is no forwarding: the packet ends here, counted.
        Input6::Forward => {
            net.mib.inc(Ip6::InAddrErrors);
            kfree_skb(net, skb, DropReason::IpInAddrErrors);
            Ip6Rcv::Done
        }
        Input6::Unreachable => {
            if !ip.daddr.is_multicast() {
                net.mib.inc(Ip6::InNoRoutes);
                skb.rt = Some(SkbRt { rt_flags: 0, is_input: true });
                icmpv6_send(net, &skb, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE, 0);
            }
            kfree_skb(net, skb, DropReason::IpInNoRoutes);
            Ip6Rcv::Done
        }
    }
}

/// Goes through the extension headers to a protocol of this host.
#[traced]
fn ip6_protocol_deliver_rcu(net: &mut Net, mut skb: Skb, first: u8) -> Ip6Rcv {
    let mut nexthdr = first;
    for n in 0..EXTHDRS_MAX {
        let passed = match nexthdr {
            IPPROTO_TCP | IPPROTO_UDP | IPPROTO_ICMPV6 => {
                skb.reset_transport_header();
                net.mib.inc(Ip6::InDelivers);
                return Ip6Rcv::Local { proto: nexthdr, skb };
            }
            // Only directly behind the IPv6 header.
            IPPROTO_HOPOPTS if n == 0 => options_rcv(net, skb),
            IPPROTO_DSTOPTS => options_rcv(net, skb),
            IPPROTO_ROUTING => ipv6_rthdr_rcv(net, skb),
            IPPROTO_FRAGMENT => ipv6_frag_rcv(net, skb),
            IPPROTO_NONE => {
                net.mib.inc(Ip6::InDelivers);
                kfree_skb(net, skb, DropReason::Consumed);
                return Ip6Rcv::Done;
            }
            _ => {
                net.mib.inc(Ip6::InUnknownProtos);
                let at = u32::from(skb.ip6_cb().nhoff);
                icmpv6_send(net, &skb, ICMPV6_PARAMPROB, ICMPV6_UNK_NEXTHDR, at);
                kfree_skb(net, skb, DropReason::IpNoProto);
                return Ip6Rcv::Done;
            }
        };
        let Some((next, rest)) = passed else { return Ip6Rcv::Done };
        (nexthdr, skb) = (next, rest);
    }
    net.mib.inc(Ip6::InHdrErrors);
    kfree_skb(net, skb, DropReason::Ipv6BadExthdr);
    Ip6Rcv::Done
}
