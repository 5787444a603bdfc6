//! Neighbours that the host knew before the capture began: it sent to their hardware addresses,
//! and nothing in the capture had told it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::case::Case;
use super::infer::{asks_for, next_hop, tells_of};
use crate::capture::Link;

/// A neighbour: interface, address, hardware address.
pub(super) type Known = (usize, IpAddr, [u8; 6]);

/// The neighbours known from before, in the order in which they were first sent to.
pub(super) fn known_before(case: &Case) -> Vec<Known> {
    let mut out: Vec<Known> = Vec::new();
    // Asked for, or heard of.
    let mut told: BTreeSet<(usize, IpAddr)> = BTreeSet::new();
    for f in case.frames.iter().filter(|f| f.link == Link::Ethernet) {
        if let Some(target) = asks_for(f) {
            told.insert((f.port, target));
        }
        if !f.outbound {
            told.extend(speaker(f).map(|ip| (f.port, ip)));
            continue;
        }
        let unicast = f.frame.eth_dst[0] & 1 == 0;
        let Some((_, to)) = f.frame.addresses.filter(|_| unicast) else { continue };
        let hop = next_hop(case, to);
        if told.insert((f.port, hop)) {
            out.push((f.port, hop, f.frame.eth_dst));
        }
    }
    out
}

/// Who tells its hardware address in a frame.
fn speaker(f: &super::case::CapFrame) -> Option<IpAddr> {
    if f.frame.ether_type == 0x0806 {
        return f.value("arp.src.proto_ipv4")?.parse().ok();
    }
    let (source, _) = f.frame.addresses?;
    match f.frame.icmp {
        // Solicitations and router advertisements; an advertisement tells of its target.
        Some((133..=135, _)) if f.frame.protocol == Some(58) => Some(source),
        Some((136, _)) if tells_of(f, source) => Some(source),
        _ => None,
    }
}
