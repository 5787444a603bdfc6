//! The Address Resolution Protocol (RFC 826; Linux `arp.c`).

use super::devinet::inet_select_addr;
use super::fib_frontend::{inet_addr_type, inet_addr_type_dev};
use super::fib_semantics::RtScope;
use super::icmp::{ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, icmp_send};
use super::route::{InputRoute, RtType, ip_route_input};
use crate::net::Net;
use crate::net::core::dev::{ARPHRD_ETHER, DevId, IFF_NOARP, dev_queue_xmit};
use crate::net::core::neighbour::{
    NEIGH_UPDATE_F_OVERRIDE, NUD_NOARP, NUD_PERMANENT, NUD_REACHABLE, NUD_STALE, NUD_VALID,
    NeighId, neigh_event_ns, neigh_update,
};
use crate::net::core::skbuff::{
    DropReason, PktType, SKB_HEADROOM, SkBuff, Skb, consume_skb, kfree_skb,
};
use crate::net::ethernet::{ETH_P_ARP, ETH_P_IP, eth_header};
use std::net::{IpAddr, Ipv4Addr};

const ARPOP_REQUEST: u16 = 1;
const ARPOP_REPLY: u16 = 2;
/// Bytes of an ARP packet for IPv4 on Ethernet.
const ARP_LEN: usize = 28;

/// A packet's fields that matter.
#[derive(Clone, Copy, Debug)]
struct Arp {
    op: u16,
    sha: [u8; 6],
    sip: Ipv4Addr,
    tha: [u8; 6],
    tip: Ipv4Addr,
}

fn parse(skb: &mut SkBuff) -> Option<Arp> {
    if !skb.may_pull(ARP_LEN) {
        return None;
    }
    let b = skb.linear().first_chunk::<ARP_LEN>()?;
    let half = |i: usize| u16::from_be_bytes([b[i], b[i + 1]]);
    let mac = |i: usize| [b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5]];
    let ip = |i: usize| Ipv4Addr::new(b[i], b[i + 1], b[i + 2], b[i + 3]);
    // Ethernet, or IEEE 802 networks, which may call themselves 6.
    let hrd = half(0);
    if (hrd != ARPHRD_ETHER && hrd != 6) || half(2) != ETH_P_IP || b[4] != 6 || b[5] != 4 {
        return None;
    }
    Some(Arp { op: half(6), sha: mac(8), sip: ip(14), tha: mac(18), tip: ip(24) })
}

/// A received ARP packet.
pub(crate) fn arp_rcv(net: &mut Net, mut skb: Skb) {
    let Some(dev) = skb.dev else { return kfree_skb(net, skb, DropReason::ArpInvalid) };
    let device = &net.devs[dev];
    if device.flags & IFF_NOARP != 0 || skb.pkt_type == PktType::OtherHost {
        return consume_skb(net, skb);
    }
    match parse(&mut skb).filter(|a| matches!(a.op, ARPOP_REQUEST | ARPOP_REPLY)) {
        Some(arp) => {
            arp_process(net, dev, &arp, skb.pkt_type);
            consume_skb(net, skb);
        }
        None => kfree_skb(net, skb, DropReason::ArpInvalid),
    }
}

fn arp_process(net: &mut Net, dev: DevId, arp: &Arp, pkt_type: PktType) {
    let Arp { op, sha, sip, tip, .. } = *arp;
    if tip.is_multicast() || tip.is_loopback() {
        return;
    }
    if sip.is_unspecified() {
        // Duplicate address detection (RFC 2131).
        if op == ARPOP_REQUEST
            && inet_addr_type_dev(net, Some(dev), tip) == RtType::Local
            && !arp_ignore(net, dev, sip, tip)
        {
            arp_send(net, ARPOP_REPLY, dev, (tip, None), (sip, Some(sha)), Some(sha));
        }
        return;
    }
    if op == ARPOP_REQUEST
        && ip_route_input(net, tip, sip, 0, dev) == Ok(InputRoute::Local(RtType::Local))
    {
        if !arp_ignore(net, dev, sip, tip) && neigh_event_ns(net, sha, sip.into(), dev).is_some() {
            arp_send(net, ARPOP_REPLY, dev, (tip, None), (sip, Some(sha)), Some(sha));
        }
        return;
    }
    arp_learn(net, dev, arp, pkt_type);
}

/// Whether `arp_ignore` forbids an answer for the address `tip` on this device.
fn arp_ignore(net: &Net, dev: DevId, sip: Ipv4Addr, tip: Ipv4Addr) -> bool {
    let here = || net.devs[dev].in_dev.ifa_list.iter().find(|ifa| ifa.local == tip);
    match net.sysctl.arp_ignore {
        // Only for addresses of the device that was asked on.
        1 => here().is_none(),
        // And only to those of the address's own subnet.
        2 => !here().is_some_and(|ifa| ifa.matches(sip)),
        // Not for addresses of the host's scope.
        3 => !net
            .devs
            .iter()
            .flat_map(|d| &d.in_dev.ifa_list)
            .any(|ifa| ifa.local == tip && ifa.scope <= RtScope::Link),
        8 => true,
        _ => false,
    }
}

/// Announces the addresses of a device that came up, if `arp_notify` says so
/// (`inetdev_send_gratuitous_arp`).
pub(crate) fn arp_notify(net: &mut Net, dev: DevId) {
    if net.sysctl.arp_notify == 0 {
        return;
    }
    let own: Vec<Ipv4Addr> = net.devs[dev].in_dev.ifa_list.iter().map(|ifa| ifa.local).collect();
    for address in own {
        arp_send(net, ARPOP_REQUEST, dev, (address, None), (address, None), None);
    }
}

/// What a packet tells about its sender, if there is an entry for it already.
fn arp_learn(net: &mut Net, dev: DevId, arp: &Arp, pkt_type: PktType) {
    let Some(id) = net.neigh.lookup(dev, arp.sip.into()) else { return };
    let Some(n) = net.neigh.get(id) else { return };
    let locktime = net.time.msecs_to_jiffies(net.sysctl.neigh_locktime.max(0) as u64 * 10);
    let unlocked = net.jiffies() > n.updated + locktime;
    let over = unlocked || arp_is_garp(net, arp);
    // Only a reply to us shows that the neighbour hears us.
    let heard = arp.op == ARPOP_REPLY && pkt_type == PktType::Host;
    let state = if heard { NUD_REACHABLE } else { NUD_STALE };
    let flags = if over { NEIGH_UPDATE_F_OVERRIDE } else { 0 };
    neigh_update(net, id, Some(arp.sha), state, flags);
}

/// Gratuitous: about the sender itself, and the address is not ours.
fn arp_is_garp(net: &Net, arp: &Arp) -> bool {
    arp.sip == arp.tip
        && (arp.op != ARPOP_REPLY || arp.tha == arp.sha)
        && inet_addr_type(net, arp.sip) == RtType::Unicast
}

/// Asks for the hardware address of an entry: its known holder first, then everyone. `waiting`
/// is the source address of a packet that waits, if one does.
pub(crate) fn arp_solicit(net: &mut Net, id: NeighId, waiting: Option<Ipv4Addr>, probes: u32) {
    let Some(n) = net.neigh.get(id) else { return };
    let (dev, IpAddr::V4(target)) = (n.dev, n.primary_key) else { return };
    let unicast = (u64::from(probes) < net.sysctl.ucast_solicit.max(0) as u64).then_some(n.ha);
    // arp_announce = 0: the packet's own source, if it is an address of the device's host.
    let saddr = waiting
        .filter(|&a| inet_addr_type_dev(net, Some(dev), a) == RtType::Local)
        .unwrap_or_else(|| inet_select_addr(net, dev, target, RtScope::Link));
    arp_send(net, ARPOP_REQUEST, dev, (saddr, None), (target, None), unicast);
}

/// Sends an ARP packet. Hardware addresses that are not given: the device's own as sender, zeros
/// as target, the broadcast address as destination.
fn arp_send(
    net: &mut Net,
    op: u16,
    dev: DevId,
    sender: (Ipv4Addr, Option<[u8; 6]>),
    target: (Ipv4Addr, Option<[u8; 6]>),
    dest_hw: Option<[u8; 6]>,
) {
    let device = &net.devs[dev];
    if device.flags & IFF_NOARP != 0 {
        return;
    }
    let (own, broadcast) = (device.dev_addr, device.broadcast);
    let mut skb = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    if let Some(b) = skb.put(ARP_LEN) {
        b[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, op as u8]);
        b[8..14].copy_from_slice(&sender.1.unwrap_or(own));
        b[14..18].copy_from_slice(&sender.0.octets());
        b[18..24].copy_from_slice(&target.1.unwrap_or([0; 6]));
        b[24..28].copy_from_slice(&target.0.octets());
    }
    skb.truesize = net.profile.skb_truesize(512 - net.profile.sizeof_skb_shared_info);
    skb.reset_network_header();
    skb.dev = Some(dev);
    skb.protocol = ETH_P_ARP;
    eth_header(&mut skb, ETH_P_ARP, dest_hw.unwrap_or(broadcast), own);
    // Like any datagram: whether the device took it is not asked.
    let _ = dev_queue_xmit(net, skb);
}

/// A packet that waited for an address that nobody has (`arp_error_report`,
/// `ipv4_link_failure`): its sender hears "host unreachable".
pub(crate) fn arp_error_report(net: &mut Net, skb: Skb) {
    icmp_send(net, &skb, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0);
    kfree_skb(net, skb, DropReason::NeighFailed);
}

/// The text of /proc/net/arp.
pub(crate) fn arp_seq_show(net: &Net) -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "IP address       HW type     Flags       HW address            Mask     Device\n",
    );
    for n in net.neigh.iter().filter(|n| n.primary_key.is_ipv4() && n.nud_state & NUD_NOARP == 0) {
        let device = &net.devs[n.dev];
        // ATF_COM and ATF_PERM
        let flags = match n.nud_state {
            s if s & NUD_PERMANENT != 0 => 0x6,
            s if s & NUD_VALID != 0 => 0x2,
            _ => 0x0,
        };
        let ha: Vec<String> = n.ha.iter().map(|b| format!("{b:02x}")).collect();
        let _ = writeln!(
            out,
            "{:<16} 0x{:<10x}0x{flags:<10x}{:<17}     *        {}",
            n.primary_key.to_string(),
            device.arp_type,
            ha.join(":"),
            device.name,
        );
    }
    out
}
