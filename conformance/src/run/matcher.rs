//! Does a packet of the target fit the packet that the script expects?
//!
//! Fields are compared in upstream's order; all differences are collected, the first one is the divergence.

use super::build::{decode_option, encode_option};
use super::config::Config;
use super::connection::Socket;
use super::wire::{self, ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG};
use crate::script::ast;

/// A field that is not as the script says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mismatch {
    pub(crate) layer: &'static str,
    pub(crate) field: &'static str,
    pub(crate) expected: String,
    pub(crate) got: String,
}

/// The differences between a script's packet and a target's, in order of comparison.
#[derive(Default)]
pub(crate) struct Differences(pub(crate) Vec<Mismatch>);

impl Differences {
    pub(crate) fn add(
        &mut self,
        layer: &'static str,
        field: &'static str,
        expected: impl ToString,
        got: impl ToString,
    ) {
        self.0.push(Mismatch {
            layer,
            field,
            expected: expected.to_string(),
            got: got.to_string(),
        });
    }

    pub(crate) fn check<T: PartialEq + ToString>(
        &mut self,
        layer: &'static str,
        field: &'static str,
        expected: T,
        got: T,
    ) {
        if expected != got {
            self.add(layer, field, expected, got);
        }
    }
}

/// A TCP segment of the target in the script's numbers.
pub(crate) fn to_script(socket: &Socket, t: &wire::Tcp) -> wire::Tcp {
    let syn = t.has(SYN);
    let mut mapped = t.clone();
    mapped.seq = t.seq.wrapping_sub(socket.local_offset(syn));
    let remote = socket.remote_offset(syn);
    if t.has(ACK) {
        mapped.ack = t.ack.wrapping_sub(remote);
    }
    for option in mapped.options.iter_mut().filter(|o| o.kind == 5) {
        for edge in option.data.chunks_exact_mut(4) {
            let value =
                u32::from_be_bytes([edge[0], edge[1], edge[2], edge[3]]).wrapping_sub(remote);
            edge.copy_from_slice(&value.to_be_bytes());
        }
    }
    mapped
}

/// Learns how the script's TSval maps to the target's, and puts the script's into `actual`.
pub(crate) fn map_timestamp(socket: &mut Socket, expected: &ast::Tcp, actual: &mut wire::Tcp) {
    let ast::TcpOptions::List(list) = &expected.options else { return };
    let script_val = list.iter().find_map(|o| match o {
        ast::TcpOption::Timestamp { val, .. } => Some(*val),
        _ => None,
    });
    let live = actual.options.iter_mut().find(|o| o.kind == 8 && o.data.len() == 8);
    let (Some(script_val), Some(live)) = (script_val, live) else { return };
    let val = u32::from_be_bytes([live.data[0], live.data[1], live.data[2], live.data[3]]);
    socket.ts_vals.insert(script_val, val);
    let (first_script, first_live) = *socket.first_ts.get_or_insert((script_val, val));
    let mapped = first_script.wrapping_add(val.wrapping_sub(first_live));
    live.data[..4].copy_from_slice(&mapped.to_be_bytes());
}

/// Compares the IP header.
pub(crate) fn compare_ip(expected: &ast::IpInfo, actual: &wire::Ip, out: &mut Differences) {
    let layer = if actual.source.is_ipv4() { "ipv4" } else { "ipv6" };
    if layer == "ipv4" {
        out.check(layer, "ihl", 20, actual.header_len);
    }
    match expected.tos {
        ast::Tos::Unchecked => {}
        ast::Tos::Ecn(ecn) => out.check(layer, "ecn", ecn_name(ecn), ecn_name(actual.tos & 3)),
        ast::Tos::Ect01 if matches!(actual.tos & 3, 1 | 2) => {}
        ast::Tos::Ect01 => out.add(layer, "ecn", "ect0 or ect1", ecn_name(actual.tos & 3)),
        ast::Tos::Byte(tos) if tos == actual.tos => {}
        ast::Tos::Byte(tos) => {
            out.add(layer, "tos", format!("{tos:#x}"), format!("{:#x}", actual.tos));
        }
    }
    if let Some(ttl) = expected.ttl.filter(|t| *t != 255 && *t != 0) {
        out.check(layer, "ttl", ttl, actual.ttl);
    }
}

fn ecn_name(bits: u8) -> &'static str {
    match bits {
        0 => "noecn",
        1 => "ect1",
        2 => "ect0",
        _ => "ce",
    }
}

/// Compares a segment that [`to_script`] and [`map_timestamp`] translated. `since_start_ns` is the event's time.
pub(crate) fn compare_tcp(
    expected: &ast::Tcp,
    actual: &wire::Tcp,
    config: &Config,
    since_start_ns: i64,
    out: &mut Differences,
) {
    const L: &str = "tcp";
    let bit = |flag: u16| u8::from(actual.has(flag));
    let f = expected.flags;
    if let ast::TcpOptions::List(list) = &expected.options {
        let bytes: usize = list.iter().map(ast::TcpOption::wire_len).sum();
        out.check(L, "data_offset", (20 + bytes) / 4, (20 + actual.options_len) / 4);
    }
    out.check(L, "flags.fin", u8::from(f.fin), bit(FIN));
    out.check(L, "flags.syn", u8::from(f.syn), bit(SYN));
    out.check(L, "flags.rst", u8::from(f.rst), bit(RST));
    out.check(L, "flags.psh", u8::from(f.psh), bit(PSH));
    out.check(L, "flags.ack", u8::from(f.ack), bit(ACK));
    out.check(L, "flags.urg", u8::from(f.urg), bit(URG));
    if f.ace {
        out.check(L, "ace", f.ace_value(), bit(AE) << 2 | bit(CWR) << 1 | bit(ECE));
    } else {
        out.check(L, "flags.ece", u8::from(f.ece), bit(ECE));
        out.check(L, "flags.cwr", u8::from(f.cwr), bit(CWR));
        out.check(L, "flags.ae", u8::from(f.ae), bit(AE));
    }
    out.check(L, "reserved", 0, actual.flags >> 9);
    out.check(L, "seq", expected.seq, actual.seq);
    out.check(L, "ack", expected.ack.unwrap_or(0), actual.ack);
    if let Some(window) = expected.window {
        out.check(L, "window", window, actual.window);
    }
    out.check(L, "urgent_pointer", expected.urgent.unwrap_or(0), actual.urgent);
    out.check(L, "len", usize::from(expected.len), actual.len);
    if let ast::TcpOptions::List(list) = &expected.options {
        compare_options(list, &actual.options, config, since_start_ns, out);
    }
    if !actual.zeros {
        out.add("payload", "bytes", "zeros", "other bytes");
    }
}

fn compare_options(
    expected: &[ast::TcpOption],
    actual: &[wire::RawOption],
    config: &Config,
    since_start_ns: i64,
    out: &mut Differences,
) {
    let text = |option: Option<&wire::RawOption>| option.map_or("nothing".to_string(), option_text);
    for at in 0..expected.len().max(actual.len()) {
        let (want, have) = (expected.get(at), actual.get(at));
        let encoded = want.map(encode_option);
        match (want, encoded, have) {
            (Some(ast::TcpOption::Timestamp { val, .. }), _, Some(have))
                if have.kind == 8 && have.data.len() == 8 =>
            {
                let got =
                    u32::from_be_bytes([have.data[0], have.data[1], have.data[2], have.data[3]]);
                let off_ticks = i64::from(got.wrapping_sub(*val) as i32).abs();
                let tolerance = config.tolerance(since_start_ns, Some(0));
                if off_ticks.saturating_mul(config.tcp_ts_tick_usecs).saturating_mul(1000)
                    > tolerance
                {
                    out.add("tcp", "options.timestamp.val", val, got);
                }
            }
            (_, Some((kind, data)), Some(have))
                if kind == have.kind && (kind < 2 || data == have.data) => {}
            (Some(want), Some((kind, _)), Some(have)) if kind == have.kind => {
                out.add("tcp", option_field(kind), want, text(Some(have)));
            }
            _ => {
                // From here on the lists are shifted against each other: one difference says it.
                let list = |options: Vec<String>| {
                    if options.is_empty() { "none".into() } else { options.join(",") }
                };
                let expected_text = list(expected.iter().map(ToString::to_string).collect());
                out.add(
                    "tcp",
                    "options",
                    expected_text,
                    list(actual.iter().map(option_text).collect()),
                );
                return;
            }
        }
    }
}

fn option_field(kind: u8) -> &'static str {
    match kind {
        2 => "options.mss",
        3 => "options.wscale",
        5 => "options.sack",
        19 => "options.md5",
        34 | 254 => "options.fastopen",
        172 | 174 => "options.accecn",
        _ => "options",
    }
}

/// An option of the target as the script language writes it.
pub(crate) fn option_text(option: &wire::RawOption) -> String {
    match decode_option(option.kind, &option.data) {
        Some(known) => known.to_string(),
        None => format!("kind {} {:02x?}", option.kind, option.data),
    }
}

/// Whether two segments have the same addresses and ports.
pub(crate) fn same_connection(a: &wire::Packet, b: &wire::Packet) -> bool {
    let ports = |p: &wire::Packet| match &p.body {
        wire::Body::Tcp(t) => Some((t.source, t.destination)),
        _ => None,
    };
    ports(a) == ports(b) && (a.ip.source, a.ip.destination) == (b.ip.source, b.ip.destination)
}

/// Whether `next` may be joined to `before` into one larger segment; else what stands against it.
pub(crate) fn joins(
    before: &wire::Packet,
    next: &wire::Packet,
    missing: usize,
) -> Result<(), Mismatch> {
    let (wire::Body::Tcp(a), wire::Body::Tcp(b)) = (&before.body, &next.body) else {
        return Err(Mismatch {
            layer: "ip",
            field: "protocol",
            expected: "TCP".into(),
            got: "another".into(),
        });
    };
    let mut out = Differences::default();
    const EXEMPT: u16 = FIN | PSH | CWR;
    out.check("tcp", "data_offset", (20 + a.options_len) / 4, (20 + b.options_len) / 4);
    out.check("tcp", "flags", a.flags & !EXEMPT, b.flags & !EXEMPT);
    out.check("tcp", "seq", a.seq.wrapping_add(a.len as u32), b.seq);
    out.check("tcp", "ack", a.ack, b.ack);
    out.check("tcp", "window", a.window, b.window);
    out.check("tcp", "urgent_pointer", a.urgent, b.urgent);
    if b.len < missing && b.len != a.len {
        out.check("tcp", "len", a.len, b.len);
    }
    match out.0.into_iter().next() {
        None => Ok(()),
        Some(first) => Err(first),
    }
}

/// Joins segments: the last one's header with the first one's sequence number and CWR.
pub(crate) fn join(parts: &[wire::Packet]) -> Option<wire::Packet> {
    let (first, last) = (parts.first()?, parts.last()?);
    let mut whole = last.clone();
    whole.fault = parts.iter().find_map(|p| p.fault.clone());
    let (wire::Body::Tcp(a), wire::Body::Tcp(out)) = (&first.body, &mut whole.body) else {
        return Some(first.clone());
    };
    out.seq = a.seq;
    out.flags = (out.flags & !CWR) | (a.flags & CWR);
    out.len = 0;
    for part in parts {
        if let wire::Body::Tcp(t) = &part.body {
            out.len += t.len;
            out.zeros &= t.zeros;
        }
    }
    Some(whole)
}

/// A segment of the target as the script language writes it; what the script does not say (`like`) is left out.
pub(crate) fn tcp_text(ip: &wire::Ip, t: &wire::Tcp, like: &ast::Packet) -> String {
    let (ace, window, options) = match &like.body {
        ast::Body::Tcp(tcp) => {
            (tcp.flags.ace, tcp.window.is_some(), matches!(tcp.options, ast::TcpOptions::List(_)))
        }
        _ => (false, true, true),
    };
    segment_text(&ip_text(ip, &like.ip), t, ace, window, options)
}

/// The same with everything that it says but the IP header, whose ECN bits are told where there are any.
pub(crate) fn full_tcp_text(ip: &wire::Ip, t: &wire::Tcp) -> String {
    let tos = if ip.tos & 3 == 0 { ast::Tos::Unchecked } else { ast::Tos::Ecn(ip.tos & 3) };
    let info = ast::IpInfo { tos, ..ast::IpInfo::default() };
    segment_text(&info.to_string(), t, false, true, true)
}

fn segment_text(ip: &str, t: &wire::Tcp, ace: bool, window: bool, options: bool) -> String {
    let flags = ast::TcpFlags {
        fin: t.has(FIN),
        syn: t.has(SYN),
        rst: t.has(RST),
        psh: t.has(PSH),
        ack: t.has(ACK),
        urg: t.has(URG),
        ece: t.has(ECE),
        cwr: t.has(CWR),
        ae: t.has(AE),
        ace,
    };
    let mut out = format!(">{ip} {flags} {}:{}({})", t.seq, u64::from(t.seq) + t.len as u64, t.len);
    if t.has(ACK) || t.ack != 0 {
        out.push_str(&format!(" ack {}", t.ack));
    }
    if window {
        out.push_str(&format!(" win {}", t.window));
    }
    if t.has(URG) || t.urgent != 0 {
        out.push_str(&format!(" urg {}", t.urgent));
    }
    if !options {
        out.push_str(" <...>");
    } else if !t.options.is_empty() {
        let texts: Vec<String> = t.options.iter().map(option_text).collect();
        out.push_str(&format!(" <{}>", texts.join(",")));
    }
    out
}

/// A packet by its own numbers.
pub(crate) fn describe(found: &wire::Packet) -> String {
    let (source, destination) = (found.ip.source, found.ip.destination);
    match &found.body {
        wire::Body::Tcp(t) => {
            let options = t.options.len();
            format!(
                "TCP {source}:{} > {destination}:{} flags {:#05x} seq {} ack {} len {} win {} ({options} options)",
                t.source, t.destination, t.flags, t.seq, t.ack, t.len, t.window
            )
        }
        wire::Body::Udp(u) => {
            format!("UDP {source}:{} > {destination}:{} len {}", u.source, u.destination, u.len)
        }
        wire::Body::Icmp(i) => {
            format!("ICMP {source} > {destination} type {} code {} len {}", i.kind, i.code, i.len)
        }
        wire::Body::Other(protocol) => match &found.fault {
            Some(fault) => format!("{}: {}", fault.expected, fault.got),
            None => format!("protocol {protocol} {source} > {destination}"),
        },
    }
}

/// What the script says of an IP header, as the target's has it.
pub(crate) fn ip_text(ip: &wire::Ip, like: &ast::IpInfo) -> String {
    let info = ast::IpInfo {
        tos: match like.tos {
            ast::Tos::Unchecked => ast::Tos::Unchecked,
            ast::Tos::Byte(_) => ast::Tos::Byte(ip.tos),
            ast::Tos::Ecn(_) | ast::Tos::Ect01 => ast::Tos::Ecn(ip.tos & 3),
        },
        ttl: like.ttl.map(|_| ip.ttl),
        flow_label: like.flow_label.map(|_| ip.flow_label),
    };
    info.to_string()
}
