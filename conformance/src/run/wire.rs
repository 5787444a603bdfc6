//! Packets from the target, decoded by etherparse: what a script is compared with.

use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use crate::target::Sent;

/// A decoded packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    /// When it was sent, nanoseconds of the target's clock.
    pub(crate) at: u64,
    pub(crate) ip: Ip,
    pub(crate) body: Body,
    /// What is wrong with it whatever a script expects: lengths and checksums.
    pub(crate) fault: Option<Fault>,
}

/// A field that contradicts the rest of its packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) layer: &'static str,
    pub(crate) field: &'static str,
    pub(crate) expected: String,
    pub(crate) got: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) flow_label: u32,
    /// IPv4 header length in bytes; 40 for IPv6.
    pub(crate) header_len: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Tcp(Tcp),
    Udp(Udp),
    Icmp(Icmp),
    /// Another protocol, or a fragment.
    Other(u8),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tcp {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    /// The low twelve bits of the word that holds data offset and flags.
    pub(crate) flags: u16,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Vec<RawOption>,
    /// Length of the options in bytes, padding included.
    pub(crate) options_len: usize,
    pub(crate) len: usize,
    /// Whether all payload bytes are zero, as the runner writes them.
    pub(crate) zeros: bool,
}

pub(crate) const FIN: u16 = 0x001;
pub(crate) const SYN: u16 = 0x002;
pub(crate) const RST: u16 = 0x004;
pub(crate) const PSH: u16 = 0x008;
pub(crate) const ACK: u16 = 0x010;
pub(crate) const URG: u16 = 0x020;
pub(crate) const ECE: u16 = 0x040;
pub(crate) const CWR: u16 = 0x080;
pub(crate) const AE: u16 = 0x100;

impl Tcp {
    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// A TCP option by its bytes; end-of-list and no-operation have no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawOption {
    pub(crate) kind: u8,
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Udp {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) len: usize,
    pub(crate) zeros: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Icmp {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// Bytes 4 to 7 of the header.
    pub(crate) rest: [u8; 4],
    pub(crate) len: usize,
}

/// Decodes what the target sent. What is no IP packet is a fault of protocol 255.
pub(crate) fn decode(sent: &Sent) -> Packet {
    let bytes = &sent.packet;
    let broken = |what: String| Packet {
        at: sent.at,
        ip: Ip {
            source: IpAddr::from([0, 0, 0, 0]),
            destination: IpAddr::from([0, 0, 0, 0]),
            tos: 0,
            ttl: 0,
            flow_label: 0,
            header_len: 0,
        },
        body: Body::Other(255),
        fault: Some(Fault {
            layer: "ipv4",
            field: "format",
            expected: "an IP packet".into(),
            got: what,
        }),
    };
    let sliced = match SlicedPacket::from_ip(bytes) {
        Ok(sliced) => sliced,
        Err(error) => return broken(error.to_string()),
    };
    let (ip, protocol, payload, mut fault, fragment) = match &sliced.net {
        Some(NetSlice::Ipv4(v4)) => {
            let h = v4.header();
            let ip = Ip {
                source: h.source_addr().into(),
                destination: h.destination_addr().into(),
                tos: h.dcp().value() << 2 | h.ecn().value(),
                ttl: h.ttl(),
                flow_label: 0,
                header_len: h.slice().len(),
            };
            let fault = ipv4_fault(bytes, &h);
            let payload = v4.payload();
            (
                ip,
                payload.ip_number.0,
                payload.payload,
                fault,
                h.more_fragments() || h.fragments_offset().value() != 0,
            )
        }
        Some(NetSlice::Ipv6(v6)) => {
            let h = v6.header();
            let ip = Ip {
                source: h.source_addr().into(),
                destination: h.destination_addr().into(),
                tos: h.traffic_class(),
                ttl: h.hop_limit(),
                flow_label: h.flow_label().value(),
                header_len: 40,
            };
            let payload = v6.payload();
            (ip, payload.ip_number.0, payload.payload, None, payload.fragmented)
        }
        _ => return broken("neither IPv4 nor IPv6".into()),
    };
    if fragment {
        return Packet { at: sent.at, ip, body: Body::Other(protocol), fault };
    }
    let body = match &sliced.transport {
        Some(TransportSlice::Tcp(t)) => {
            let word = payload.get(12..14).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
            Body::Tcp(Tcp {
                source: t.source_port(),
                destination: t.destination_port(),
                seq: t.sequence_number(),
                ack: t.acknowledgment_number(),
                flags: word & 0x0fff,
                window: t.window_size(),
                urgent: t.urgent_pointer(),
                options: raw_options(t.options()),
                options_len: t.options().len(),
                len: t.payload().len(),
                zeros: t.payload().iter().all(|b| *b == 0),
            })
        }
        Some(TransportSlice::Udp(u)) => Body::Udp(Udp {
            source: u.source_port(),
            destination: u.destination_port(),
            len: u.payload().len(),
            zeros: u.payload().iter().all(|b| *b == 0),
        }),
        Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)) => Body::Icmp(Icmp {
            kind: payload.first().copied().unwrap_or(0),
            code: payload.get(1).copied().unwrap_or(0),
            rest: payload.get(4..8).and_then(|b| b.try_into().ok()).unwrap_or_default(),
            len: payload.len().saturating_sub(8),
        }),
        _ => Body::Other(protocol),
    };
    fault = fault.or_else(|| transport_fault(&ip, protocol, payload, &body));
    Packet { at: sent.at, ip, body, fault }
}

fn ipv4_fault(bytes: &[u8], h: &etherparse::Ipv4HeaderSlice<'_>) -> Option<Fault> {
    if usize::from(h.total_len()) != bytes.len() {
        let (expected, got) = (bytes.len().to_string(), h.total_len().to_string());
        return Some(Fault { layer: "ipv4", field: "total_length", expected, got });
    }
    (sum(0, h.slice()) != 0xffff).then(|| Fault {
        layer: "ipv4",
        field: "checksum",
        expected: "a right checksum".into(),
        got: format!("{:#06x}", h.header_checksum()),
    })
}

/// The checksum of TCP, UDP and ICMP. A UDP checksum of zero over IPv4 says that there is none.
fn transport_fault(ip: &Ip, protocol: u8, payload: &[u8], body: &Body) -> Option<Fault> {
    let (layer, at) = match body {
        Body::Tcp(_) => ("tcp", 16),
        Body::Udp(_) => ("udp", 6),
        Body::Icmp(_) => ("icmp", 2),
        Body::Other(_) => return None,
    };
    let written = payload.get(at..at + 2)?;
    if layer == "udp" && ip.source.is_ipv4() && written == [0, 0] {
        return None;
    }
    let start = if layer == "icmp" && ip.source.is_ipv4() {
        0
    } else {
        pseudo_header_sum(ip.source, ip.destination, protocol, payload.len())
    };
    (sum(start, payload) != 0xffff).then(|| Fault {
        layer,
        field: "checksum",
        expected: "a right checksum".into(),
        got: format!("0x{:02x}{:02x}", written[0], written[1]),
    })
}

/// Options as they stand; one that is cut or too short ends the list with what is left of it.
pub(crate) fn raw_options(bytes: &[u8]) -> Vec<RawOption> {
    let mut list = Vec::new();
    let mut rest = bytes;
    while let Some(&kind) = rest.first() {
        let len = match (kind, rest.get(1)) {
            (0 | 1, _) => 1,
            (_, Some(&len)) if len >= 2 && usize::from(len) <= rest.len() => usize::from(len),
            _ => rest.len(),
        };
        let data = if len > 2 { rest[2..len].to_vec() } else { Vec::new() };
        list.push(RawOption { kind, data });
        rest = &rest[len..];
    }
    list
}

/// One's complement sum, folded to 16 bits (RFC 1071).
pub(crate) fn sum(start: u64, bytes: &[u8]) -> u64 {
    let mut total = start;
    let words = bytes.chunks_exact(2);
    if let [last] = words.remainder() {
        total += u64::from(*last) << 8;
    }
    for word in words {
        total += u64::from(u16::from_be_bytes([word[0], word[1]]));
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total
}

/// The sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1).
pub(crate) fn pseudo_header_sum(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    len: usize,
) -> u64 {
    let addresses = |a: IpAddr| match a {
        IpAddr::V4(a) => sum(0, &a.octets()),
        IpAddr::V6(a) => sum(0, &a.octets()),
    };
    addresses(source) + addresses(destination) + u64::from(protocol) + len as u64
}
