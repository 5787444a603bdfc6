//! Neighbour discovery (RFC 4861; Linux `ndisc.c`, 5.15). Redirects and what router
//! advertisements say are not taken over.

use super::addr;
use super::addrconf::{
    IFA_F_TENTATIVE, LINKLOCAL_ALLNODES, LINKLOCAL_ALLROUTERS, addrconf_dad_failure, is_our_nonce,
};
use super::icmp::{
    ICMPV6_ADDR_UNREACH, ICMPV6_DEST_UNREACH, icmpv6_send, icmpv6_send_from_interface,
};
use super::ip6_input::ipv6_hdr;
use crate::net::Net;
use crate::net::core::dev::{DevId, IFF_LOOPBACK, IFF_NOARP, IFF_POINTOPOINT};
use crate::net::core::neighbour::{
    NEIGH_UPDATE_F_OVERRIDE, NEIGH_UPDATE_F_WEAK_OVERRIDE, NUD_FAILED, NUD_NOARP, NUD_REACHABLE,
    NUD_STALE, NeighId, neigh_lookup_or_create, neigh_update,
};
use crate::net::core::skbuff::{DropReason, SkBuff, Skb, consume_skb, kfree_skb};
use std::net::{IpAddr, Ipv6Addr};

/// `NDISC_ROUTER_SOLICITATION` and its kin: ICMPv6 types.
pub(crate) const NDISC_ROUTER_SOLICITATION: u8 = 133;
pub(crate) const NDISC_ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const NDISC_NEIGHBOUR_SOLICITATION: u8 = 135;
pub(crate) const NDISC_NEIGHBOUR_ADVERTISEMENT: u8 = 136;
pub(crate) const NDISC_REDIRECT: u8 = 137;

const ND_OPT_SOURCE_LL_ADDR: u8 = 1;
const ND_OPT_TARGET_LL_ADDR: u8 = 2;
/// RFC 7527.
const ND_OPT_NONCE: u8 = 14;
/// Bytes of a solicitation or advertisement without options.
const ND_MSG_LEN: usize = 24;

/// Who has an address listens to this group (`addrconf_addr_solict_mult`).
pub(crate) fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let base = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0);
    Ipv6Addr::from_bits(base.to_bits() | addr.to_bits() & 0xff_ffff)
}

/// The hardware address of a group (`ipv6_eth_mc_map`).
pub(crate) fn ipv6_eth_mc_map(addr: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = addr.octets();
    [0x33, 0x33, a, b, c, d]
}

/// What a neighbour's entry starts as (`ndisc_constructor`): only unicast addresses on a link
/// with addresses need to be asked for.
pub(crate) fn ndisc_constructor(net: &Net, dev: DevId, key: Ipv6Addr) -> (u8, [u8; 6]) {
    let device = &net.devs[dev];
    match () {
        () if device.hard_header_len == 0 => (NUD_NOARP, [0; 6]),
        () if key.is_multicast() => (NUD_NOARP, ipv6_eth_mc_map(key)),
        () if device.flags & (IFF_NOARP | IFF_LOOPBACK) != 0 => (NUD_NOARP, device.dev_addr),
        () if device.flags & IFF_POINTOPOINT != 0 => (NUD_NOARP, device.broadcast),
        () => (0, [0; 6]),
    }
}

/// Asks for the hardware address of an entry (`ndisc_solicit`): its known holder first, then all
/// who may have it. `waiting` is the source of a packet that waits.
pub(crate) fn ndisc_solicit(net: &mut Net, id: NeighId, waiting: Option<Ipv6Addr>, probes: u32) {
    let Some(n) = net.neigh.get(id) else { return };
    let (dev, IpAddr::V6(target)) = (n.dev, n.primary_key) else { return };
    let ours = |a: &Ipv6Addr| net.devs[dev].ip6_ptr.ifaddr(*a).is_some();
    let saddr = waiting.filter(ours);
    let unicast = u64::from(probes) < net.sysctl.ucast_solicit.max(0) as u64;
    let daddr = if unicast { target } else { solicited_node(target) };
    ndisc_send_ns(net, dev, target, daddr, saddr, None);
}

/// A packet that waited for an address that nobody has: its sender hears "address unreachable".
pub(crate) fn ndisc_error_report(net: &mut Net, skb: Skb) {
    icmpv6_send(net, &skb, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH, 0);
    kfree_skb(net, skb, DropReason::NeighFailed);
}

fn ll_option(net: &Net, dev: DevId, kind: u8) -> Vec<u8> {
    let device = &net.devs[dev];
    if device.hard_header_len == 0 || device.flags & IFF_LOOPBACK != 0 {
        return Vec::new();
    }
    [&[kind, 1][..], &device.dev_addr].concat()
}

/// Sends a neighbour solicitation. Without a source it is the interface's link-local address;
/// from the unspecified address (duplicate address detection) no hardware address is told.
pub(crate) fn ndisc_send_ns(
    net: &mut Net,
    dev: DevId,
    target: Ipv6Addr,
    daddr: Ipv6Addr,
    saddr: Option<Ipv6Addr>,
    nonce: Option<[u8; 6]>,
) {
    let Some(saddr) = saddr.or_else(|| net.devs[dev].ip6_ptr.lladdr()) else { return };
    let mut message = vec![NDISC_NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    if !saddr.is_unspecified() {
        message.extend(ll_option(net, dev, ND_OPT_SOURCE_LL_ADDR));
    }
    if let Some(nonce) = nonce {
        message.extend([ND_OPT_NONCE, 1]);
        message.extend(nonce);
    }
    icmpv6_send_from_interface(net, dev, saddr, daddr, message, false);
}

/// Sends a router solicitation.
pub(crate) fn ndisc_send_rs(net: &mut Net, dev: DevId, saddr: Ipv6Addr) {
    let mut message = vec![NDISC_ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(ll_option(net, dev, ND_OPT_SOURCE_LL_ADDR));
    icmpv6_send_from_interface(net, dev, saddr, LINKLOCAL_ALLROUTERS, message, false);
}

/// Sends a neighbour advertisement from the address that was asked for.
fn ndisc_send_na(
    net: &mut Net,
    dev: DevId,
    daddr: Ipv6Addr,
    target: Ipv6Addr,
    solicited: bool,
    override_: bool,
    inc_opt: bool,
) {
    let flags = u8::from(solicited) << 6 | u8::from(override_) << 5;
    let mut message = vec![NDISC_NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    if inc_opt {
        message.extend(ll_option(net, dev, ND_OPT_TARGET_LL_ADDR));
    }
    icmpv6_send_from_interface(net, dev, target, daddr, message, false);
}

/// The options that matter; the first of each kind counts.
#[derive(Clone, Copy, Default)]
struct Options {
    source: Option<[u8; 6]>,
    target: Option<[u8; 6]>,
    nonce: Option<[u8; 6]>,
}

/// Reads options (`ndisc_parse_options`); `None` where one has no length or runs over the end.
fn ndisc_parse_options(mut bytes: &[u8]) -> Option<Options> {
    let mut found = Options::default();
    while !bytes.is_empty() {
        let (kind, len) = (*bytes.first()?, usize::from(*bytes.get(1)?) * 8);
        if len == 0 {
            return None;
        }
        let data = bytes.get(2..len)?;
        let place = match kind {
            ND_OPT_SOURCE_LL_ADDR => Some(&mut found.source),
            ND_OPT_TARGET_LL_ADDR => Some(&mut found.target),
            ND_OPT_NONCE => Some(&mut found.nonce),
            _ => None,
        };
        if let Some(place @ None) = place {
            // An address of another length is not this link's.
            *place = data.try_into().ok();
        }
        bytes = bytes.get(len..)?;
    }
    Some(found)
}

/// A message as the handlers take it.
struct NdMsg {
    dev: DevId,
    saddr: Ipv6Addr,
    daddr: Ipv6Addr,
    target: Ipv6Addr,
    flags: u8,
    options: Options,
}

/// Reads a solicitation or advertisement whose data is at the ICMPv6 header.
fn parse(skb: &SkBuff) -> Option<NdMsg> {
    let mut bytes = vec![0; skb.len().min(1500)];
    skb.copy_bits(0, &mut bytes);
    let ip = ipv6_hdr(skb)?;
    Some(NdMsg {
        dev: skb.dev?,
        saddr: ip.saddr,
        daddr: ip.daddr,
        target: addr::read(bytes.get(8..ND_MSG_LEN)?)?,
        flags: *bytes.get(4)?,
        options: ndisc_parse_options(bytes.get(ND_MSG_LEN..)?)?,
    })
}

/// A received message (`ndisc_rcv`); its checksum is right, its data at the ICMPv6 header.
pub(crate) fn ndisc_rcv(net: &mut Net, skb: Skb, kind: u8, code: u8) {
    let hop_limit = ipv6_hdr(&skb).map_or(0, |ip| ip.hop_limit);
    // From farther than the link (RFC 4861 6.1, 7.1), or put together from fragments (RFC 6980).
    if hop_limit != 255 || skb.ip6_cb().fragmented {
        return kfree_skb(net, skb, DropReason::Ipv6NdiscHopLimit);
    }
    if code != 0 {
        return kfree_skb(net, skb, DropReason::Ipv6NdiscBadCode);
    }
    let done = match kind {
        NDISC_NEIGHBOUR_SOLICITATION => parse(&skb).and_then(|m| ndisc_recv_ns(net, &m)),
        NDISC_NEIGHBOUR_ADVERTISEMENT => parse(&skb).and_then(|m| ndisc_recv_na(net, &m)),
        NDISC_ROUTER_ADVERTISEMENT => {
            let from_router = ipv6_hdr(&skb).is_some_and(|ip| addr::is_linklocal(ip.saddr));
            match (from_router && net.sysctl.accept_ra != 0, skb.dev) {
                (true, Some(dev)) => {
                    net.devs.get_mut(dev).ip6_ptr.ra_rcvd = true;
                    Some(())
                }
                _ => None,
            }
        }
        _ => Some(()),
    };
    match done {
        Some(()) => consume_skb(net, skb),
        None => kfree_skb(net, skb, DropReason::Ipv6NdiscBadOptions),
    }
}

/// Somebody asks for one of our addresses (`ndisc_recv_ns`); `None`: the message is not valid.
fn ndisc_recv_ns(net: &mut Net, m: &NdMsg) -> Option<()> {
    let dad = m.saddr.is_unspecified();
    let inc = m.daddr.is_multicast();
    if m.target.is_multicast() || (dad && (m.options.source.is_some() || !is_solicited(m.daddr))) {
        return None;
    }
    let Some(ifa) = net.devs[m.dev].ip6_ptr.ifaddr(m.target).copied() else { return Some(()) };
    if ifa.flags & IFA_F_TENTATIVE != 0 {
        // Another one tries the address too, unless our own question came back.
        if dad && !is_our_nonce(net, m.dev, m.target, m.options.nonce) {
            addrconf_dad_failure(net, m.dev, m.target);
        }
        return Some(());
    }
    if dad {
        ndisc_send_na(net, m.dev, LINKLOCAL_ALLNODES, m.target, false, true, true);
        return Some(());
    }
    let has_link = net.devs[m.dev].hard_header_len != 0;
    let key = m.saddr.into();
    let create = !inc || m.options.source.is_some() || !has_link;
    let neigh = match create {
        true => neigh_lookup_or_create(net, m.dev, key).ok(),
        false => net.neigh.lookup(m.dev, key),
    };
    if let Some(id) = neigh {
        let flags = NEIGH_UPDATE_F_WEAK_OVERRIDE | NEIGH_UPDATE_F_OVERRIDE;
        neigh_update(net, id, m.options.source, NUD_STALE, flags);
    }
    if neigh.is_some() || !has_link {
        ndisc_send_na(net, m.dev, m.saddr, m.target, true, inc, inc);
    }
    Some(())
}

/// Whether an address is a solicited-node group (`ipv6_addr_is_solict_mult`).
fn is_solicited(addr: Ipv6Addr) -> bool {
    addr.to_bits() >> 24 == solicited_node(Ipv6Addr::UNSPECIFIED).to_bits() >> 24
}

/// Somebody tells its hardware address (`ndisc_recv_na`); `None`: the message is not valid.
fn ndisc_recv_na(net: &mut Net, m: &NdMsg) -> Option<()> {
    let (solicited, over) = (m.flags & 0x40 != 0, m.flags & 0x20 != 0);
    if m.target.is_multicast() || (m.daddr.is_multicast() && solicited) {
        return None;
    }
    if let Some(ifa) = net.devs[m.dev].ip6_ptr.ifaddr(m.target) {
        if ifa.flags & IFA_F_TENTATIVE != 0 {
            addrconf_dad_failure(net, m.dev, m.target);
        }
        return Some(());
    }
    let Some(id) = net.neigh.lookup(m.dev, m.target.into()) else { return Some(()) };
    if net.neigh.get(id).is_some_and(|n| n.nud_state & NUD_FAILED != 0) {
        return Some(());
    }
    let state = if solicited { NUD_REACHABLE } else { NUD_STALE };
    let over = if over { NEIGH_UPDATE_F_OVERRIDE } else { 0 };
    neigh_update(net, id, m.options.target, state, NEIGH_UPDATE_F_WEAK_OVERRIDE | over);
    Some(())
}
