//! Packets of a script, as bytes for the target.

use std::net::IpAddr;

use super::wire::{pseudo_header_sum, sum};
use crate::script::ast::{Number, TcpFlags, TcpOption};

/// What every packet has: addresses, traffic class, TTL or hop limit, flow label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpParts {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) flow_label: u32,
}

/// What a TCP header holds, in the target's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpParts<'a> {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: &'a [u8],
    pub(crate) len: usize,
}

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

impl IpParts {
    pub(crate) fn icmp_protocol(&self) -> u8 {
        if self.source.is_ipv4() { 1 } else { 58 }
    }
}

/// An IP header in front of `payload_len` bytes: id 0 and DF clear, as upstream sends.
pub(crate) fn ip_header(ip: &IpParts, protocol: u8, payload_len: usize) -> Vec<u8> {
    match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(20 + payload_len).unwrap_or(u16::MAX).to_be_bytes();
            let mut h = vec![0x45, ip.tos, total[0], total[1], 0, 0, 0, 0, ip.ttl, protocol, 0, 0];
            h.extend(source.octets());
            h.extend(destination.octets());
            let check = !(sum(0, &h) as u16);
            h[10..12].copy_from_slice(&check.to_be_bytes());
            h
        }
        (source, destination) => {
            let word = 6u32 << 28 | u32::from(ip.tos) << 20 | ip.flow_label;
            let mut h = word.to_be_bytes().to_vec();
            h.extend(u16::try_from(payload_len).unwrap_or(u16::MAX).to_be_bytes());
            h.extend([protocol, ip.ttl]);
            for address in [source, destination] {
                let v6 = match address {
                    IpAddr::V4(a) => a.to_ipv6_mapped(),
                    IpAddr::V6(a) => a,
                };
                h.extend(v6.octets());
            }
            h
        }
    }
}

/// A header and its payload, with the checksum at `check_at` of the payload filled in.
fn finish(
    ip: &IpParts,
    protocol: u8,
    mut payload: Vec<u8>,
    check_at: usize,
    pseudo: bool,
) -> Vec<u8> {
    let start = if pseudo {
        pseudo_header_sum(ip.source, ip.destination, protocol, payload.len())
    } else {
        0
    };
    let mut check = !(sum(start, &payload) as u16);
    if protocol == UDP && check == 0 {
        check = 0xffff;
    }
    if let Some(field) = payload.get_mut(check_at..check_at + 2) {
        field.copy_from_slice(&check.to_be_bytes());
    }
    let mut packet = ip_header(ip, protocol, payload.len());
    packet.append(&mut payload);
    packet
}

/// A TCP segment; the payload is zeros.
pub(crate) fn tcp(ip: &IpParts, parts: &TcpParts<'_>) -> Vec<u8> {
    let mut segment = tcp_header(parts);
    segment.resize(segment.len() + parts.len, 0);
    finish(ip, TCP, segment, 16, true)
}

fn tcp_header(parts: &TcpParts<'_>) -> Vec<u8> {
    let f = parts.flags;
    let bits = [f.fin, f.syn, f.rst, f.psh, f.ack, f.urg, f.ece, f.cwr, f.ae];
    let flags = bits.iter().enumerate().fold(0u16, |all, (at, set)| all | u16::from(*set) << at);
    let offset = ((20 + parts.options.len()) / 4) as u16;
    let mut h = Vec::with_capacity(20 + parts.options.len() + parts.len);
    h.extend(parts.source.to_be_bytes());
    h.extend(parts.destination.to_be_bytes());
    h.extend(parts.seq.to_be_bytes());
    h.extend(parts.ack.to_be_bytes());
    h.extend((offset << 12 | flags).to_be_bytes());
    h.extend(parts.window.to_be_bytes());
    h.extend([0, 0]);
    h.extend(parts.urgent.to_be_bytes());
    h.extend(parts.options);
    h
}

/// A UDP datagram of `len` zeros.
pub(crate) fn udp(ip: &IpParts, source: u16, destination: u16, len: usize) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + len);
    datagram.extend(source.to_be_bytes());
    datagram.extend(destination.to_be_bytes());
    datagram.extend(u16::try_from(8 + len).unwrap_or(u16::MAX).to_be_bytes());
    datagram.resize(8 + len, 0);
    finish(ip, UDP, datagram, 6, true)
}

/// An ICMP or ICMPv6 message: type, code, bytes 4 to 7, and what follows.
pub(crate) fn icmp(ip: &IpParts, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    message.extend(body);
    finish(ip, ip.icmp_protocol(), message, 2, !ip.source.is_ipv4())
}

/// The start of a packet as an ICMP error quotes it: IP header and eight bytes.
pub(crate) fn quoted(
    ip: &IpParts,
    protocol: u8,
    first_eight: [u8; 8],
    payload_len: usize,
) -> Vec<u8> {
    let mut bytes = ip_header(ip, protocol, payload_len);
    bytes.extend(first_eight);
    bytes
}

/// The bytes of options; sequence numbers and times stand as they are given.
pub(crate) fn encode_options(options: &[TcpOption]) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    for option in options {
        if let TcpOption::Raw(bytes) = option {
            out.extend(bytes);
            continue;
        }
        let (kind, data) = encode_option(option);
        out.push(kind);
        if kind > 1 {
            out.push(data.len() as u8 + 2);
            out.extend(data);
        }
    }
    out
}

/// Kind and data of an option.
pub(crate) fn encode_option(option: &TcpOption) -> (u8, Vec<u8>) {
    match option {
        TcpOption::Eol => (0, Vec::new()),
        TcpOption::Nop => (1, Vec::new()),
        TcpOption::Mss(mss) => (2, mss.to_be_bytes().to_vec()),
        TcpOption::Wscale(shift) => (3, vec![*shift]),
        TcpOption::SackOk => (4, Vec::new()),
        TcpOption::Sack(blocks) => (
            5,
            blocks.iter().flat_map(|(l, r)| [l.to_be_bytes(), r.to_be_bytes()].concat()).collect(),
        ),
        TcpOption::Timestamp { val, ecr } => (8, [val.to_be_bytes(), ecr.to_be_bytes()].concat()),
        TcpOption::Md5(digest) => (19, digest.clone()),
        TcpOption::FastOpen(cookie) => (34, cookie.clone()),
        // RFC 6994: the experiment's number comes first.
        TcpOption::FastOpenExp(cookie) => (254, [[0xf9, 0x89].as_slice(), cookie].concat()),
        TcpOption::AccEcn { e0b_first, fields } => {
            let data = fields.iter().flat_map(|f| f.to_be_bytes()[1..].to_vec()).collect();
            (if *e0b_first { 172 } else { 174 }, data)
        }
        TcpOption::Other { kind, data } => (*kind, data.clone()),
        TcpOption::Raw(bytes) => {
            (bytes.first().copied().unwrap_or(0), bytes.get(2..).unwrap_or(&[]).to_vec())
        }
        TcpOption::TimestampLoose { val, ecr } => {
            let bytes = |n: &Number| if let Number::Is(n) = n { *n } else { 0 }.to_be_bytes();
            (8, [bytes(val), bytes(ecr)].concat())
        }
        // The run refuses a packet with a computed digest; `sack auto` is replaced by what came, or differs.
        TcpOption::Md5Computed { .. } => (19, vec![0; 16]),
        TcpOption::SackAny => (5, Vec::new()),
    }
}

/// An option's bytes as the script language writes it; `None` for what the language has no word for.
pub(crate) fn decode_option(kind: u8, data: &[u8]) -> Option<TcpOption> {
    let word =
        |at: usize| data.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    Some(match (kind, data.len()) {
        (0, _) => TcpOption::Eol,
        (1, _) => TcpOption::Nop,
        (2, 2) => TcpOption::Mss(u16::from_be_bytes([data[0], data[1]])),
        (3, 1) => TcpOption::Wscale(data[0]),
        (4, 0) => TcpOption::SackOk,
        (5, len) if len > 0 && len % 8 == 0 => TcpOption::Sack(
            (0..len).step_by(8).filter_map(|at| Some((word(at)?, word(at + 4)?))).collect(),
        ),
        (8, 8) => TcpOption::Timestamp { val: word(0)?, ecr: word(4)? },
        (19, 16) => TcpOption::Md5(data.to_vec()),
        (34, _) => TcpOption::FastOpen(data.to_vec()),
        (254, len) if len >= 2 && data[..2] == [0xf9, 0x89] => {
            TcpOption::FastOpenExp(data[2..].to_vec())
        }
        (172 | 174, 3 | 6 | 9) => TcpOption::AccEcn {
            e0b_first: kind == 172,
            fields: data
                .chunks_exact(3)
                .map(|c| u32::from_be_bytes([0, c[0], c[1], c[2]]))
                .collect(),
        },
        _ => return None,
    })
}
