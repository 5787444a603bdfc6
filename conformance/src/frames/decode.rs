//! One frame, layer by layer.

use std::net::IpAddr;

use etherparse::{
    ArpPacketSlice, Icmpv4Slice, Icmpv6Slice, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket,
    LinkSlice, TcpOptionElement, TcpSlice, TransportSlice, UdpSlice,
};

/// A layer of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// Ethernet.
    Eth,
    /// IEEE 802.1Q tag.
    Vlan,
    /// ARP.
    Arp,
    /// IPv4.
    Ip,
    /// IPv6 with its extension headers.
    Ipv6,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// ICMPv6.
    Icmpv6,
    /// What no layer above decodes.
    Data,
}

impl Layer {
    /// As Wireshark's filters name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eth => "eth",
            Self::Vlan => "vlan",
            Self::Arp => "arp",
            Self::Ip => "ip",
            Self::Ipv6 => "ipv6",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Icmpv6 => "icmpv6",
            Self::Data => "data",
        }
    }
}

/// One field of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its layer.
    pub layer: Layer,
    /// Its name in Wireshark's filters.
    pub name: &'static str,
    /// Its value, as text.
    pub value: String,
}

/// The parts of a TCP header that a replay maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tcp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number, meaningful with the ACK flag.
    pub ack: u32,
    /// Flags, the low 12 bits of the word that holds them.
    pub flags: u16,
    /// Payload bytes.
    pub len: u32,
    /// Timestamp option: TSval and TSecr.
    pub timestamps: Option<(u32, u32)>,
}

/// A decoded frame.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// All fields in the order of the wire.
    pub fields: Vec<Field>,
    /// Source hardware address.
    pub eth_src: [u8; 6],
    /// Destination hardware address.
    pub eth_dst: [u8; 6],
    /// EtherType, after any tag.
    pub ether_type: u16,
    /// Identifier of the VLAN tag.
    pub vlan: Option<u16>,
    /// Network addresses, source and destination.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// IP protocol (IPv6: of the payload).
    pub protocol: Option<u8>,
    /// IPv4 identification.
    pub ip_id: Option<u16>,
    /// Identification of an IPv6 fragment.
    pub fragment_id: Option<u32>,
    /// Fragment offset, bytes, and whether more follow.
    pub fragment: Option<(u16, bool)>,
    /// The TCP header.
    pub tcp: Option<Tcp>,
    /// UDP ports.
    pub udp: Option<(u16, u16)>,
    /// ICMP or ICMPv6 type and code.
    pub icmp: Option<(u8, u8)>,
    /// What is above the last decoded header.
    pub payload: Vec<u8>,
    /// Fields are not listed.
    unlisted: bool,
}

impl Frame {
    fn push(&mut self, layer: Layer, name: &'static str, value: impl ToString) {
        if !self.unlisted {
            self.fields.push(Field { layer, name, value: value.to_string() });
        }
    }

    /// The value of a field, if the frame has it.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|f| f.name == name).map(|f| f.value.as_str())
    }

    /// One line that says what the frame is.
    pub fn summary(&self) -> String {
        if let (Some(t), Some((s, d))) = (self.tcp, self.addresses) {
            let mut names = String::new();
            for (bit, c) in [(2, 'S'), (1, 'F'), (4, 'R'), (8, 'P'), (0x10, '.'), (0x20, 'U')] {
                if t.flags & bit != 0 {
                    names.push(c);
                }
            }
            return format!(
                "TCP {s}:{} > {d}:{} [{names}] seq {} ack {} len {} win {}",
                t.source,
                t.destination,
                t.seq,
                t.ack,
                t.len,
                self.value("tcp.window").unwrap_or("?")
            );
        }
        let kind = self.fields.last().map_or("empty", |f| f.layer.name());
        match (self.addresses, self.icmp) {
            (Some((s, d)), Some((t, c))) => format!("ICMP {s} > {d} type {t} code {c}"),
            (Some((s, d)), None) => match self.udp {
                Some((sp, dp)) => format!("UDP {s}:{sp} > {d}:{dp} len {}", self.payload.len()),
                None => format!("{kind} {s} > {d}"),
            },
            (None, _) => match self.value("arp.opcode") {
                Some("1") => {
                    format!("ARP who-has {}", self.value("arp.dst.proto_ipv4").unwrap_or("?"))
                }
                Some("2") => {
                    format!("ARP {} is-at", self.value("arp.src.proto_ipv4").unwrap_or("?"))
                }
                _ => kind.to_owned(),
            },
        }
    }
}

/// Decodes an Ethernet frame as far as it goes.
pub fn decode(bytes: &[u8]) -> Frame {
    decode_into(Frame::default(), bytes)
}

/// What [`decode`] says of addresses, ports, numbers and flags, without the list of fields and the
/// payload: for frames of which there are many.
pub(crate) fn decode_unlisted(bytes: &[u8]) -> Frame {
    let mut f = decode_into(Frame { unlisted: true, ..Frame::default() }, bytes);
    (f.payload, f.unlisted) = (Vec::new(), false);
    f
}

fn decode_into(mut f: Frame, bytes: &[u8]) -> Frame {
    let Ok(p) = LaxSlicedPacket::from_ethernet(bytes) else {
        f.push(Layer::Data, "data.data", hex(bytes));
        f.payload = bytes.to_vec();
        return f;
    };
    if let Some(LinkSlice::Ethernet2(e)) = &p.link {
        f.eth_dst = e.destination();
        f.eth_src = e.source();
        f.ether_type = e.ether_type().0;
        f.push(Layer::Eth, "eth.dst", mac(&e.destination()));
        f.push(Layer::Eth, "eth.src", mac(&e.source()));
        f.push(Layer::Eth, "eth.type", format!("0x{:04x}", f.ether_type));
        f.payload = bytes.get(14..).unwrap_or_default().to_vec();
    }
    for ext in &p.link_exts {
        if let LaxLinkExtSlice::Vlan(v) = ext {
            f.ether_type = v.ether_type().0;
            f.vlan = f.vlan.or(Some(v.vlan_identifier().value()));
            f.push(Layer::Vlan, "vlan.id", v.vlan_identifier().value());
            f.push(Layer::Vlan, "vlan.priority", v.priority_code_point().value());
            f.push(Layer::Vlan, "vlan.etype", format!("0x{:04x}", f.ether_type));
            f.payload = v.payload_slice().to_vec();
        }
    }
    match &p.net {
        Some(LaxNetSlice::Arp(a)) => arp(&mut f, a),
        Some(LaxNetSlice::Ipv4(ip)) => {
            ipv4(&mut f, &ip.header());
            f.payload = ip.payload().payload.to_vec();
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            ipv6(&mut f, ip);
            f.payload = ip.payload().payload.to_vec();
        }
        None => {}
    }
    match &p.transport {
        Some(TransportSlice::Tcp(t)) => tcp(&mut f, t),
        Some(TransportSlice::Udp(u)) => udp(&mut f, u),
        Some(TransportSlice::Icmpv4(i)) => icmpv4(&mut f, i),
        Some(TransportSlice::Icmpv6(i)) => icmpv6(&mut f, i),
        _ => {}
    }
    if !f.payload.is_empty() && !f.unlisted {
        let data = hex(&f.payload);
        let (layer, name) = match (f.tcp, f.udp) {
            (Some(_), _) => (Layer::Tcp, "tcp.payload"),
            (None, Some(_)) => (Layer::Udp, "udp.payload"),
            _ => (Layer::Data, "data.data"),
        };
        f.push(layer, name, data);
    }
    // A first fragment has the ports, though not all that its header speaks of.
    if f.udp.is_none()
        && f.protocol == Some(17)
        && let (Some((0, true)), Some(&[a, b, c, d])) = (f.fragment, f.payload.first_chunk::<4>())
    {
        f.udp = Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
    }
    f
}

fn arp(f: &mut Frame, a: &ArpPacketSlice<'_>) {
    const L: Layer = Layer::Arp;
    f.push(L, "arp.hw.type", a.hw_addr_type().0);
    f.push(L, "arp.proto.type", format!("0x{:04x}", a.proto_addr_type().0));
    f.push(L, "arp.opcode", a.operation().0);
    f.push(L, "arp.src.hw_mac", mac(a.sender_hw_addr()));
    f.push(L, "arp.src.proto_ipv4", dotted(a.sender_protocol_addr()));
    f.push(L, "arp.dst.hw_mac", mac(a.target_hw_addr()));
    f.push(L, "arp.dst.proto_ipv4", dotted(a.target_protocol_addr()));
    // Padding to the minimum frame is the link's, not ARP's.
    f.payload.clear();
}

fn ipv4(f: &mut Frame, h: &etherparse::Ipv4HeaderSlice<'_>) {
    const L: Layer = Layer::Ip;
    f.push(L, "ip.hdr_len", u32::from(h.ihl()) * 4);
    f.push(L, "ip.dsfield.dscp", h.dcp().value());
    f.push(L, "ip.dsfield.ecn", h.ecn().value());
    f.push(L, "ip.id", h.identification());
    f.push(L, "ip.flags.df", u8::from(h.dont_fragment()));
    f.push(L, "ip.flags.mf", u8::from(h.more_fragments()));
    f.push(L, "ip.frag_offset", u32::from(h.fragments_offset().value()) * 8);
    f.push(L, "ip.ttl", h.ttl());
    f.push(L, "ip.proto", h.protocol().0);
    f.push(L, "ip.src", h.source_addr());
    f.push(L, "ip.dst", h.destination_addr());
    if !h.options().is_empty() {
        f.push(L, "ip.options", hex(h.options()));
    }
    f.push(L, "ip.len", h.total_len());
    f.push(L, "ip.checksum", format!("0x{:04x}", h.header_checksum()));
    f.addresses = Some((h.source_addr().into(), h.destination_addr().into()));
    f.protocol = Some(h.protocol().0);
    f.ip_id = Some(h.identification());
    f.fragment = Some((h.fragments_offset().value().wrapping_mul(8), h.more_fragments()));
}

fn ipv6(f: &mut Frame, ip: &etherparse::LaxIpv6Slice<'_>) {
    const L: Layer = Layer::Ipv6;
    let h = ip.header();
    f.push(L, "ipv6.tclass", h.traffic_class());
    f.push(L, "ipv6.flow", h.flow_label().value());
    f.push(L, "ipv6.nxt", h.next_header().0);
    f.push(L, "ipv6.hlim", h.hop_limit());
    f.push(L, "ipv6.src", h.source_addr());
    f.push(L, "ipv6.dst", h.destination_addr());
    if !ip.extensions().is_empty() {
        let bytes = ip.extensions().slice();
        f.push(L, "ipv6.exthdr", hex(bytes));
        if let Some((offset, more, id)) = fragment6(h.next_header().0, bytes) {
            f.fragment = Some((offset, more));
            f.fragment_id = Some(id);
        }
    }
    f.push(L, "ipv6.plen", h.payload_length());
    f.addresses = Some((h.source_addr().into(), h.destination_addr().into()));
    f.protocol = Some(ip.payload().ip_number.0);
}

/// Offset, more fragments and identification of the fragment header among extension headers.
fn fragment6(mut next: u8, mut b: &[u8]) -> Option<(u16, bool, u32)> {
    loop {
        let head: [u8; 8] = b.get(..8)?.try_into().ok()?;
        let [following, len, o, m, id @ ..] = head;
        match next {
            44 => {
                let word = u16::from_be_bytes([o, m]);
                return Some((word & 0xfff8, word & 1 != 0, u32::from_be_bytes(id)));
            }
            0 | 43 | 60 => b = b.get((usize::from(len) + 1) * 8..)?,
            _ => return None,
        }
        next = following;
    }
}

fn tcp(f: &mut Frame, t: &TcpSlice<'_>) {
    const L: Layer = Layer::Tcp;
    let word = t.slice().get(12..14).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let flags = word & 0x0fff;
    f.push(L, "tcp.srcport", t.source_port());
    f.push(L, "tcp.dstport", t.destination_port());
    // First what says which segment it is, then what it carries.
    for (bit, name) in [
        (0x002, "tcp.flags.syn"),
        (0x001, "tcp.flags.fin"),
        (0x004, "tcp.flags.reset"),
        (0x010, "tcp.flags.ack"),
    ] {
        f.push(L, name, u8::from(flags & bit != 0));
    }
    f.push(L, "tcp.seq_raw", t.sequence_number());
    f.push(L, "tcp.len", t.payload().len());
    f.push(L, "tcp.ack_raw", t.acknowledgment_number());
    for (bit, name) in [
        (0x008, "tcp.flags.push"),
        (0x020, "tcp.flags.urg"),
        (0x040, "tcp.flags.ece"),
        (0x080, "tcp.flags.cwr"),
        (0x100, "tcp.flags.ae"),
        (0xe00, "tcp.flags.res"),
    ] {
        f.push(L, name, u8::from(flags & bit != 0));
    }
    f.push(L, "tcp.hdr_len", u32::from(t.data_offset()) * 4);
    f.push(L, "tcp.window", t.window_size());
    let mut timestamps = None;
    let mut kinds = Vec::new();
    for option in t.options_iterator() {
        match option {
            Ok(TcpOptionElement::Noop) => kinds.push("nop".to_owned()),
            Ok(TcpOptionElement::MaximumSegmentSize(mss)) => {
                kinds.push("mss".to_owned());
                f.push(L, "tcp.options.mss_val", mss);
            }
            Ok(TcpOptionElement::WindowScale(shift)) => {
                kinds.push("wscale".to_owned());
                f.push(L, "tcp.options.wscale.shift", shift);
            }
            Ok(TcpOptionElement::SelectiveAcknowledgementPermitted) => {
                kinds.push("sackOK".to_owned());
            }
            Ok(TcpOptionElement::SelectiveAcknowledgement(first, rest)) => {
                kinds.push("sack".to_owned());
                for (l, r) in std::iter::once(first).chain(rest.into_iter().flatten()) {
                    f.push(L, "tcp.options.sack_le", l);
                    f.push(L, "tcp.options.sack_re", r);
                }
            }
            Ok(TcpOptionElement::Timestamp(val, ecr)) => {
                kinds.push("ts".to_owned());
                timestamps = Some((val, ecr));
                f.push(L, "tcp.options.timestamp.tsval", val);
                f.push(L, "tcp.options.timestamp.tsecr", ecr);
            }
            Err(_) => {
                kinds.push(format!("unknown {}", hex(t.options())));
                break;
            }
        }
    }
    f.push(L, "tcp.options", kinds.join(","));
    f.push(L, "tcp.urgent_pointer", t.urgent_pointer());
    f.push(L, "tcp.checksum", format!("0x{:04x}", t.checksum()));
    f.tcp = Some(Tcp {
        source: t.source_port(),
        destination: t.destination_port(),
        seq: t.sequence_number(),
        ack: t.acknowledgment_number(),
        flags,
        len: t.payload().len() as u32,
        timestamps,
    });
    f.payload = t.payload().to_vec();
}

fn udp(f: &mut Frame, u: &UdpSlice<'_>) {
    const L: Layer = Layer::Udp;
    f.push(L, "udp.srcport", u.source_port());
    f.push(L, "udp.dstport", u.destination_port());
    f.push(L, "udp.length", u.length());
    f.push(L, "udp.checksum", format!("0x{:04x}", u.checksum()));
    f.udp = Some((u.source_port(), u.destination_port()));
    f.payload = u.payload().to_vec();
}

fn icmpv4(f: &mut Frame, i: &Icmpv4Slice<'_>) {
    const L: Layer = Layer::Icmp;
    let s = i.slice();
    f.push(L, "icmp.type", i.type_u8());
    f.push(L, "icmp.code", i.code_u8());
    icmp_rest(f, L, i.type_u8(), s, [0, 8]);
    f.push(L, "icmp.checksum", format!("0x{:04x}", i.checksum()));
    f.icmp = Some((i.type_u8(), i.code_u8()));
    f.payload = s.get(8..).unwrap_or_default().to_vec();
}

fn icmpv6(f: &mut Frame, i: &Icmpv6Slice<'_>) {
    const L: Layer = Layer::Icmpv6;
    let s = i.slice();
    f.push(L, "icmpv6.type", i.type_u8());
    f.push(L, "icmpv6.code", i.code_u8());
    icmp_rest(f, L, i.type_u8(), s, [128, 129]);
    f.push(L, "icmpv6.checksum", format!("0x{:04x}", i.checksum()));
    f.icmp = Some((i.type_u8(), i.code_u8()));
    f.payload = s.get(8..).unwrap_or_default().to_vec();
}

/// Bytes 4 to 7: identifier and sequence of an echo, else a word with the type's own meaning.
fn icmp_rest(f: &mut Frame, layer: Layer, kind: u8, s: &[u8], echo: [u8; 2]) {
    let Some(b) = s.get(4..8) else { return };
    let v6 = layer == Layer::Icmpv6;
    if echo.contains(&kind) {
        let (id, seq) = if v6 {
            ("icmpv6.echo.identifier", "icmpv6.echo.sequence_number")
        } else {
            ("icmp.ident", "icmp.seq")
        };
        f.push(layer, id, u16::from_be_bytes([b[0], b[1]]));
        f.push(layer, seq, u16::from_be_bytes([b[2], b[3]]));
    } else {
        let name = if v6 { "icmpv6.reserved" } else { "icmp.unused" };
        f.push(layer, name, format!("0x{}", hex(b)));
    }
}

fn mac(b: &[u8]) -> String {
    b.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

fn dotted(b: &[u8]) -> String {
    b.iter().map(u8::to_string).collect::<Vec<_>>().join(".")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut s = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        s.push(char::from(DIGITS[usize::from(b >> 4)]));
        s.push(char::from(DIGITS[usize::from(b & 15)]));
    }
    s
}
