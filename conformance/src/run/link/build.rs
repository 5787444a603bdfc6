//! Messages as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Defaults;
use crate::run::build::{self, IpParts};
use crate::run::wire::sum;
use crate::script::ast::{LinkMessage, LinkProtocol, LinkValue};

const BROADCAST: [u8; 6] = [0xff; 6];
const ICMPV6: u8 = 58;
/// Router alert, which hosts look for in reports and queries (RFC 2113).
const ROUTER_ALERT: [u8; 4] = [0x94, 4, 0, 0];
const SOURCE_LLADDR: u8 = 1;
const TARGET_LLADDR: u8 = 2;

/// The written fields, and what stands for the others.
struct Fields<'a> {
    message: &'a LinkMessage,
    defaults: &'a Defaults,
}

impl Fields<'_> {
    fn value(&self, name: &str) -> Option<&LinkValue> {
        self.message.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    fn mac(&self, name: &str, default: [u8; 6]) -> [u8; 6] {
        match self.value(name) {
            Some(LinkValue::Mac(mac)) => *mac,
            _ => default,
        }
    }

    fn number(&self, name: &str, default: u32) -> u32 {
        match self.value(name) {
            Some(LinkValue::Number(n)) => *n,
            _ => default,
        }
    }

    fn v4(&self, name: &str, default: Ipv4Addr) -> Ipv4Addr {
        match self.value(name) {
            Some(LinkValue::Ip(IpAddr::V4(ip))) => *ip,
            _ => default,
        }
    }

    fn v6(&self, name: &str, default: Ipv6Addr) -> Ipv6Addr {
        match self.value(name) {
            Some(LinkValue::Ip(IpAddr::V6(ip))) => *ip,
            _ => default,
        }
    }

    /// The target's address, and its neighbour's; unspecified where the run has the other IP version.
    fn own_v4(&self) -> (Ipv4Addr, Ipv4Addr) {
        let v4 = |ip| if let IpAddr::V4(ip) = ip { ip } else { Ipv4Addr::UNSPECIFIED };
        (v4(self.defaults.local), v4(self.defaults.neighbour))
    }

    fn own_v6(&self) -> (Ipv6Addr, Ipv6Addr) {
        let v6 = |ip| if let IpAddr::V6(ip) = ip { ip } else { Ipv6Addr::UNSPECIFIED };
        (v6(self.defaults.local), v6(self.defaults.neighbour))
    }
}

/// A message: the frame, and its IP packet if it is in one.
pub(crate) fn build(message: &LinkMessage, defaults: &Defaults) -> (Vec<u8>, Option<Vec<u8>>) {
    let fields = Fields { message, defaults };
    match message.protocol {
        LinkProtocol::Arp => (arp(&fields), None),
        LinkProtocol::Igmp => {
            let (to, packet) = igmp(&fields);
            (frame(&fields, to, 0x0800, &packet), Some(packet))
        }
        LinkProtocol::Ndp => {
            let (to, packet) = ndp(&fields);
            (frame(&fields, to, 0x86dd, &packet), Some(packet))
        }
    }
}

fn frame(fields: &Fields<'_>, to: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &fields.defaults.hardware.peer, &ether_type.to_be_bytes(), payload].concat()
}

/// RFC 826.
fn arp(fields: &Fields<'_>) -> Vec<u8> {
    let hardware = fields.defaults.hardware;
    let (local, neighbour) = fields.own_v4();
    let request = fields.message.kind == "request";
    let (asked, to) = if request { ([0; 6], BROADCAST) } else { (hardware.own, hardware.own) };
    let sender = fields.mac("sender_mac", hardware.peer);
    let mut out = Vec::with_capacity(42);
    out.extend(fields.mac("dst_mac", to));
    out.extend(fields.mac("src_mac", sender));
    out.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, if request { 1 } else { 2 }]);
    out.extend(sender);
    out.extend(fields.v4("sender", neighbour).octets());
    out.extend(fields.mac("target_mac", asked));
    out.extend(fields.v4("target", local).octets());
    out
}

/// RFC 1112, RFC 2236, RFC 3376: the destination's hardware address and the packet.
fn igmp(fields: &Fields<'_>) -> ([u8; 6], Vec<u8>) {
    const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
    const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
    const ALL_IGMPV3: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
    let group = fields.v4("group", Ipv4Addr::UNSPECIFIED);
    let (kind, to) = match fields.message.kind.as_str() {
        "query" if group.is_unspecified() => (0x11, ALL_HOSTS),
        "query" => (0x11, group),
        "v1_report" => (0x12, group),
        "v2_report" => (0x16, group),
        "leave" => (0x17, ALL_ROUTERS),
        _ => (0x22, ALL_IGMPV3),
    };
    let response = if kind == 0x11 { 100 } else { 0 };
    let mut body = vec![kind, fields.number("max_resp", response) as u8, 0, 0];
    if kind == 0x22 {
        // One record, no sources.
        body.extend([0, 0, 0, 1, fields.number("record", 4) as u8, 0, 0, 0]);
    }
    body.extend(group.octets());
    let check = !(sum(0, &body) as u16);
    body[2..4].copy_from_slice(&check.to_be_bytes());

    let destination = fields.v4("dst", to);
    let source = fields.v4("src", fields.own_v4().1);
    let total = (24 + body.len()) as u8;
    let mut packet = vec![0x46, 0xc0, 0, total, 0, 0, 0x40, 0, 1, 2, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(ROUTER_ALERT);
    let check = !(sum(0, &packet) as u16);
    packet[10..12].copy_from_slice(&check.to_be_bytes());
    packet.extend(body);
    (v4_mac(fields, destination), packet)
}

/// RFC 1112 6.4.
fn v4_mac(fields: &Fields<'_>, to: Ipv4Addr) -> [u8; 6] {
    let [_, b, c, d] = to.octets();
    if to.is_multicast() {
        [0x01, 0x00, 0x5e, b & 0x7f, c, d]
    } else {
        fields.defaults.hardware.own
    }
}

/// RFC 2464 7.
fn v6_mac(fields: &Fields<'_>, to: Ipv6Addr) -> [u8; 6] {
    let octets = to.octets();
    if to.is_multicast() {
        [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]]
    } else {
        fields.defaults.hardware.own
    }
}

/// RFC 4861 4: the destination's hardware address and the packet.
fn ndp(fields: &Fields<'_>) -> ([u8; 6], Vec<u8>) {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    let (local, neighbour) = fields.own_v6();
    let router = link_local(fields.defaults.hardware.peer);
    let (kind, source, to) = match fields.message.kind.as_str() {
        "router_solicit" => (133, neighbour, ALL_ROUTERS),
        "router_advert" => (134, router, ALL_NODES),
        "neighbor_solicit" => (135, neighbour, solicited_node(fields.v6("target", local))),
        "neighbor_advert" => (136, neighbour, local),
        _ => (137, router, local),
    };
    let source = fields.v6("src", source);
    let destination = fields.v6("dst", to);
    let (rest, mut body) = ndp_body(fields, kind, local, neighbour);
    // Who has no address yet says no hardware address (RFC 4861 4.3).
    if !source.is_unspecified() || fields.value("lladdr").is_some() {
        let option = if matches!(kind, 136 | 137) { TARGET_LLADDR } else { SOURCE_LLADDR };
        body.extend([option, 1]);
        body.extend(fields.mac("lladdr", fields.defaults.hardware.peer));
    }
    let ip = IpParts {
        source: source.into(),
        destination: destination.into(),
        tos: 0,
        ttl: fields.number("hop_limit", 255) as u8,
        flow_label: 0,
    };
    debug_assert_eq!(ip.icmp_protocol(), ICMPV6);
    (v6_mac(fields, destination), build::icmp(&ip, kind, 0, rest, &body))
}

/// Bytes 4 to 7 of the message, and what follows up to the option with the hardware address.
fn ndp_body(
    fields: &Fields<'_>,
    kind: u8,
    local: Ipv6Addr,
    neighbour: Ipv6Addr,
) -> ([u8; 4], Vec<u8>) {
    match kind {
        133 => ([0; 4], Vec::new()),
        134 => {
            let lifetime = (fields.number("lifetime", 1800) as u16).to_be_bytes();
            let limit = fields.number("cur_hop_limit", 64) as u8;
            let flags = fields.number("flags", 0) as u8;
            // Reachable time and retransmission timer: not said.
            let mut body = vec![0; 8];
            if fields.value("mtu").is_some() {
                body.extend([5, 1, 0, 0]);
                body.extend(fields.number("mtu", 0).to_be_bytes());
            }
            if fields.value("prefix").is_some() {
                // On the link, for addresses; 30 and 7 days (RFC 4861 6.2.1).
                body.extend([3, 4, fields.number("prefix_len", 64) as u8, 0xc0]);
                body.extend(2_592_000u32.to_be_bytes());
                body.extend(604_800u32.to_be_bytes());
                body.extend([0; 4]);
                body.extend(fields.v6("prefix", Ipv6Addr::UNSPECIFIED).octets());
            }
            ([limit, flags, lifetime[0], lifetime[1]], body)
        }
        135 => ([0; 4], fields.v6("target", local).octets().to_vec()),
        136 => {
            // Solicited, override.
            let flags = (fields.number("flags", 3) as u8) << 5;
            ([flags, 0, 0, 0], fields.v6("target", neighbour).octets().to_vec())
        }
        _ => {
            let mut body = fields.v6("target", neighbour).octets().to_vec();
            body.extend(fields.v6("destination", neighbour).octets());
            ([0; 4], body)
        }
    }
}

/// RFC 4291 2.7.1.
fn solicited_node(of: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = of.octets();
    let (a, rest) = (u16::from(a), u16::from_be_bytes([b, c]));
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a, rest)
}

/// The link-local address of a hardware address (RFC 4291 appendix A).
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let word = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f))
}
