//! Messages from bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::run::wire::{pseudo_header_sum, sum};
use crate::script::ast::{LinkProtocol, LinkValue};
use crate::target::ethernet::ip_packet;

/// A message that the target sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) protocol: LinkProtocol,
    /// Its name in scripts; a number where it has none.
    pub(crate) kind: String,
    /// Its fields by their names in scripts.
    pub(crate) fields: Vec<(&'static str, LinkValue)>,
    /// What contradicts the rest of it.
    pub(crate) fault: Option<&'static str>,
}

impl Message {
    pub(crate) fn field(&self, name: &str) -> Option<&(&'static str, LinkValue)> {
        self.fields.iter().find(|(n, _)| *n == name)
    }

    /// As a script writes it.
    pub(crate) fn text(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("> {} {}{}", self.protocol.name(), self.kind, fields.collect::<String>())
    }
}

/// Reads what an attachment showed: a frame if it has a link layer (`framed`), else an IP packet.
pub(crate) fn read(bytes: &[u8], framed: bool) -> Option<Message> {
    if framed && bytes.get(12..14)? == [0x08, 0x06] {
        return arp(bytes);
    }
    let packet = if framed { ip_packet(bytes)? } else { bytes };
    match packet.first()? >> 4 {
        4 => igmp(packet),
        6 => ndp(packet),
        _ => None,
    }
}

/// Whether it is part of the link's own business.
pub(crate) fn is_link_packet(bytes: &[u8], framed: bool) -> bool {
    let ip = if framed { ip_packet(bytes) } else { Some(bytes) };
    let Some(ip) = ip else { return true };
    // Listener reports have no name in scripts, and are the link's all the same.
    let listener = ip.first().is_some_and(|b| b >> 4 == 6)
        && v6_payload(ip)
            .and_then(|p| p.first().copied())
            .is_some_and(|t| matches!(t, 130..=132 | 143));
    listener || read(bytes, framed).is_some()
}

fn mac_at(bytes: &[u8], at: usize) -> Option<LinkValue> {
    bytes.get(at..at + 6)?.try_into().ok().map(LinkValue::Mac)
}

fn v4_at(bytes: &[u8], at: usize) -> Option<LinkValue> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(LinkValue::Ip(IpAddr::V4(Ipv4Addr::from(octets))))
}

fn v6_at(bytes: &[u8], at: usize) -> Option<LinkValue> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(LinkValue::Ip(IpAddr::V6(Ipv6Addr::from(octets))))
}

fn byte(bytes: &[u8], at: usize) -> Option<LinkValue> {
    bytes.get(at).map(|b| LinkValue::Number((*b).into()))
}

fn arp(frame: &[u8]) -> Option<Message> {
    let kind = match frame.get(20..22)? {
        [0, 1] => "request".to_string(),
        [0, 2] => "reply".to_string(),
        [a, b] => u16::from_be_bytes([*a, *b]).to_string(),
        _ => return None,
    };
    let plain = frame.get(14..20)? == [0, 1, 8, 0, 6, 4];
    let fields = [
        ("sender_mac", mac_at(frame, 22)),
        ("sender", v4_at(frame, 28)),
        ("target_mac", mac_at(frame, 32)),
        ("target", v4_at(frame, 38)),
        ("src_mac", mac_at(frame, 6)),
        ("dst_mac", mac_at(frame, 0)),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let fault = (!plain).then_some("not Ethernet and IPv4");
    Some(Message { protocol: LinkProtocol::Arp, kind, fields, fault })
}

fn igmp(packet: &[u8]) -> Option<Message> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    if *packet.get(9)? != 2 {
        return None;
    }
    let body = packet.get(header..)?;
    let kind = match body.first()? {
        0x11 => "query".to_string(),
        0x12 => "v1_report".to_string(),
        0x16 => "v2_report".to_string(),
        0x17 => "leave".to_string(),
        0x22 => "v3_report".to_string(),
        other => other.to_string(),
    };
    let v3 = kind == "v3_report";
    let fields = [
        ("group", v4_at(body, if v3 { 12 } else { 4 })),
        ("record", byte(body, 8).filter(|_| v3)),
        ("max_resp", byte(body, 1).filter(|_| !v3)),
        ("src", v4_at(packet, 12)),
        ("dst", v4_at(packet, 16)),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let fault = (sum(0, body) != 0xffff).then_some("a wrong checksum");
    Some(Message { protocol: LinkProtocol::Igmp, kind, fields, fault })
}

/// What follows the IPv6 header and a hop-by-hop header, if it is ICMPv6.
fn v6_payload(packet: &[u8]) -> Option<&[u8]> {
    let (mut next, mut at) = (*packet.get(6)?, 40);
    if next == 0 {
        next = *packet.get(40)?;
        at += 8 + usize::from(*packet.get(41)?) * 8;
    }
    if next == 58 { packet.get(at..) } else { None }
}

fn ndp(packet: &[u8]) -> Option<Message> {
    let body = v6_payload(packet)?;
    let (kind, options_at) = match body.first()? {
        133 => ("router_solicit", 8),
        134 => ("router_advert", 16),
        135 => ("neighbor_solicit", 24),
        136 => ("neighbor_advert", 24),
        137 => ("redirect", 40),
        _ => return None,
    };
    let mut fields: Vec<(&'static str, Option<LinkValue>)> = Vec::new();
    match kind {
        "router_advert" => {
            let lifetime = body.get(6..8).map(|b| u32::from(b[0]) << 8 | u32::from(b[1]));
            fields.push(("cur_hop_limit", byte(body, 4)));
            fields.push(("flags", byte(body, 5)));
            fields.push(("lifetime", lifetime.map(LinkValue::Number)));
        }
        "router_solicit" => {}
        _ => {
            let flags = body.get(4).map(|b| LinkValue::Number(u32::from(b >> 5)));
            fields.push(("target", v6_at(body, 8)));
            fields.push(("flags", flags.filter(|_| kind == "neighbor_advert")));
            fields.push(("destination", v6_at(body, 24).filter(|_| kind == "redirect")));
        }
    }
    options(body.get(options_at..).unwrap_or_default(), &mut fields);
    fields.extend([
        ("src", v6_at(packet, 8)),
        ("dst", v6_at(packet, 24)),
        ("hop_limit", byte(packet, 7)),
    ]);
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let ip = |at| match v6_at(packet, at) {
        Some(LinkValue::Ip(ip)) => ip,
        _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let start = pseudo_header_sum(ip(8), ip(24), 58, body.len());
    let fault = (sum(start, body) != 0xffff).then_some("a wrong checksum");
    Some(Message { protocol: LinkProtocol::Ndp, kind: kind.to_string(), fields, fault })
}

/// RFC 4861 4.6.
fn options(mut rest: &[u8], fields: &mut Vec<(&'static str, Option<LinkValue>)>) {
    while let [kind, len, ..] = rest {
        let len = usize::from(*len) * 8;
        let Some(option) = rest.get(..len).filter(|_| len > 0) else { return };
        match kind {
            1 | 2 => fields.push(("lladdr", mac_at(option, 2))),
            3 => {
                fields.push(("prefix_len", byte(option, 2)));
                fields.push(("prefix", v6_at(option, 16)));
            }
            5 => {
                let mtu = option.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
                fields.push(("mtu", mtu.map(LinkValue::Number)));
            }
            _ => {}
        }
        rest = rest.get(len..).unwrap_or_default();
    }
}
