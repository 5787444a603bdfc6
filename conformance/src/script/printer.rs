//! A syntax tree as a script.

use std::fmt::{self, Write};
use std::net::IpAddr;

use super::ast::{
    Action, Body, Call, Direction, Echoed, Event, Expr, ExprKind, Field, HeaderField, Icmp, IpInfo,
    Loose, Number, Packet, Ports, Script, Tcp, TcpFlags, TcpOption, TcpOptions, Time, Tos, Udp,
    ValueRef,
};

mod extra;

use extra::labels;

/// The script's text: one event a line, comments gone. It parses to a tree equal to `script`.
pub fn print(script: &Script) -> String {
    let mut out = String::new();
    for option in &script.options {
        let _ = match &option.value {
            Some(value) if option.name != "define" && needs_quotes(value) => {
                writeln!(out, "--{}=\"{value}\"", option.name)
            }
            Some(value) => writeln!(out, "--{}={value}", option.name),
            None => writeln!(out, "--{}", option.name),
        };
    }
    if let Some(init) = &script.init {
        let _ = writeln!(out, "`{}`\n", init.text);
    }
    for event in &script.events {
        let _ = writeln!(out, "{event}");
    }
    if let Some(cleanup) = &script.cleanup {
        let _ = writeln!(out, "\n`{}`", cleanup.text);
    }
    out
}

/// Whether an option's value is read back only as a string.
fn needs_quotes(value: &str) -> bool {
    let word = |v: &str| !v.is_empty() && v.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let digits = |v: &str| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit());
    let fraction = value.split_once('.').is_some_and(|(a, b)| digits(a) && digits(b));
    !(word(value) || fraction || value.parse::<IpAddr>().is_ok() || has_own_quotes(value))
}

/// Whether there is a quote without a backslash, as in `NAME="text"` and never inside a string.
fn has_own_quotes(value: &str) -> bool {
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return true,
            b'\\' => bytes.next(),
            _ => None,
        };
    }
    false
}

/// Nanoseconds as seconds, without needless zeros.
fn seconds(ns: i64) -> String {
    let (whole, part) = (ns / 1_000_000_000, ns % 1_000_000_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:09}").trim_end_matches('0').to_string()
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Time::Absolute(t) => write!(f, "{}", seconds(*t)),
            Time::Relative(t) => write!(f, "+{}", seconds(*t)),
            Time::AbsoluteRange(a, b) => write!(f, "{}~{}", seconds(*a), seconds(*b)),
            Time::RelativeRange(a, b) => write!(f, "+{}~+{}", seconds(*a), seconds(*b)),
            Time::Any => f.write_str("*"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.time)?;
        match &self.action {
            Action::Packet(packet) => write!(f, "{packet}"),
            Action::Call(call) => write!(f, "{call}"),
            Action::Command(command) => write!(f, "`{}`", command.text),
            Action::Code(code) => write!(f, "%{{{}}}%", code.text),
            Action::Link(link) => write!(f, "{link}"),
            Action::Fault(fault) => write!(f, "{fault}"),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.direction == Direction::Inbound { "<" } else { ">" })?;
        if let Some(owner) = &self.owner {
            write!(f, " {owner}")?;
        }
        for header in &self.outer {
            write!(f, " {header}")?;
        }
        write!(f, "{}", self.ip)?;
        if let Some(spi) = self.psp {
            write!(f, " encap psp spi {spi}")?;
        }
        match &self.body {
            Body::Tcp(tcp) => print_tcp(f, tcp, &self.loose),
            Body::Udp(udp) => print_udp(f, udp, &self.loose),
            Body::Icmp(icmp) => print_icmp(f, icmp, &self.loose),
            Body::Eth(bytes) => write!(f, " eth: {bytes}"),
            Body::Raw(bytes) => write!(f, " raw: {bytes}"),
            Body::Link(message) => write!(f, " {message}"),
        }
    }
}

/// A field's value: what stands for it, else its number.
fn value(loose: &[Loose], field: HeaderField, number: impl fmt::Display) -> String {
    match loose.iter().find(|l| l.field == field) {
        Some(l) => l.value.to_string(),
        None => number.to_string(),
    }
}

fn ports(f: &mut fmt::Formatter<'_>, ports: Option<Ports>, loose: &[Loose]) -> fmt::Result {
    let Some(p) = ports else { return Ok(()) };
    let source = value(loose, HeaderField::SourcePort, p.source);
    write!(f, " {source} > {}", value(loose, HeaderField::DestinationPort, p.destination))
}

impl fmt::Display for IpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tos = match self.tos {
            Tos::Unchecked => None,
            Tos::Ecn(0) => Some("noecn".to_string()),
            Tos::Ecn(1) => Some("ect1".to_string()),
            Tos::Ecn(2) => Some("ect0".to_string()),
            Tos::Ecn(_) => Some("ce".to_string()),
            Tos::Ect01 => Some("ect01".to_string()),
            Tos::Byte(b) => Some(format!("tos {b:#x}")),
        };
        let ttl = self.ttl.map(|t| format!("ttl {t}"));
        let label = self.flow_label.map(|l| format!("flowlabel {l:#x}"));
        let parts: Vec<String> = [tos, ttl, label].into_iter().flatten().collect();
        if parts.is_empty() { Ok(()) } else { write!(f, " [{}]", parts.join(", ")) }
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        let ecn = !self.ace;
        let letters = [
            (self.fin, 'F'),
            (self.syn, 'S'),
            (self.rst, 'R'),
            (self.psh, 'P'),
            (self.urg, 'U'),
            (self.ece && ecn, 'E'),
            (self.cwr && ecn, 'W'),
            (self.ae && ecn, 'A'),
        ];
        out.extend(letters.iter().filter(|(set, _)| *set).map(|(_, letter)| *letter));
        if self.ace && !self.ack {
            out.push(char::from(b'0' + self.ace_value()));
        }
        if self.ack {
            out.push('.');
        }
        if self.ace && self.ack {
            out.push(char::from(b'0' + self.ace_value()));
        }
        // A lone digit would be read as a number.
        f.write_str(if out.is_empty() { "-" } else { &out })
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_tcp(f, self, &[])
    }
}

fn print_tcp(f: &mut fmt::Formatter<'_>, tcp: &Tcp, loose: &[Loose]) -> fmt::Result {
    ports(f, tcp.ports, loose)?;
    write!(f, " {}", tcp.flags)?;
    match loose.iter().find(|l| l.field == HeaderField::Seq).map(|l| &l.value) {
        Some(Number::Value(start)) => {
            let offset = start.offset.saturating_add(i64::from(tcp.len));
            let end = ValueRef { offset, ..start.clone() };
            write!(f, " {start}:{end}({})", tcp.len)?;
        }
        _ => {
            let end = u64::from(tcp.seq) + u64::from(tcp.len);
            write!(f, " {}:{end}({})", tcp.seq, tcp.len)?;
        }
    }
    if let Some(ack) = tcp.ack {
        write!(f, " ack {}", value(loose, HeaderField::Ack, ack))?;
    }
    if let Some(window) = tcp.window {
        write!(f, " win {}", value(loose, HeaderField::Window, window))?;
    }
    if let Some(urgent) = tcp.urgent {
        write!(f, " urg {}", value(loose, HeaderField::Urgent, urgent))?;
    }
    match &tcp.options {
        TcpOptions::List(list) if list.is_empty() => Ok(()),
        options => write!(f, " {options}"),
    }
}

fn print_udp(f: &mut fmt::Formatter<'_>, udp: &Udp, loose: &[Loose]) -> fmt::Result {
    f.write_str(if udp.coverage.is_some() { " udplite" } else { " udp" })?;
    ports(f, udp.ports, loose)?;
    match udp.coverage {
        Some(coverage) if coverage != 0 => write!(f, " ({}, {coverage})", udp.len),
        _ => write!(f, " ({})", udp.len),
    }
}

impl fmt::Display for TcpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TcpOptions::Unchecked => f.write_str("<...>"),
            TcpOptions::List(list) => {
                let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
                write!(f, "<{}>", texts.join(","))
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]| match bytes {
            [] => f.write_str(name),
            bytes => write!(f, "{name} {}", hex(bytes)),
        };
        match self {
            TcpOption::Eol => f.write_str("eol"),
            TcpOption::Nop => f.write_str("nop"),
            TcpOption::Mss(mss) => write!(f, "mss {mss}"),
            TcpOption::Wscale(shift) => write!(f, "wscale {shift}"),
            TcpOption::SackOk => f.write_str("sackOK"),
            TcpOption::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            TcpOption::Timestamp { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            TcpOption::FastOpen(cookie) => named(f, "FO", cookie),
            TcpOption::FastOpenExp(cookie) => named(f, "FOEXP", cookie),
            TcpOption::Md5(digest) if digest.is_empty() => f.write_str("md5 none"),
            TcpOption::Md5(digest) => named(f, "md5", digest),
            TcpOption::Md5Computed { valid: true } => f.write_str("md5 valid"),
            TcpOption::Md5Computed { valid: false } => f.write_str("md5 invalid"),
            TcpOption::SackAny => f.write_str("sack auto"),
            TcpOption::TimestampLoose { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            TcpOption::Other { kind, data } => write!(f, "opt {kind} [{}]", hex(data)),
            TcpOption::Raw(bytes) => write!(f, "raw [{}]", hex(bytes)),
            TcpOption::AccEcn { e0b_first, fields } => {
                f.write_str("ECN")?;
                let order = if *e0b_first { ["e0b", "ceb", "e1b"] } else { ["e1b", "ceb", "e0b"] };
                order.iter().zip(fields).try_for_each(|(name, value)| write!(f, " {name} {value}"))
            }
        }
    }
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_icmp(f, self, &[])
    }
}

fn print_icmp(f: &mut fmt::Formatter<'_>, icmp: &Icmp, loose: &[Loose]) -> fmt::Result {
    write!(f, " icmp {}", icmp.kind)?;
    if let Some(code) = &icmp.code {
        write!(f, " {code}")?;
    }
    if let Some(mtu) = icmp.mtu {
        write!(f, " mtu {}", value(loose, HeaderField::IcmpMtu, mtu))?;
    }
    if let Some(id) = icmp.id {
        write!(f, " id {}", value(loose, HeaderField::IcmpId, id))?;
    }
    match icmp.echoed {
        Echoed::Default => Ok(()),
        Echoed::Tcp { seq, len } => {
            write!(f, " [{seq}:{}({len})]", u64::from(seq) + u64::from(len))
        }
        Echoed::Udp(len) => write!(f, " [udp ({len})]"),
        Echoed::Raw(len) => write!(f, " [raw ({len})]"),
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(end) = self.end {
            write!(f, "...{} ", seconds(end))?;
        }
        write!(f, "{}(", self.name)?;
        list(f, &self.args)?;
        write!(f, ") = {}", self.result)?;
        if let Some(errno) = &self.errno {
            write!(f, " {errno}")?;
        }
        match &self.note {
            Some(note) => write!(f, " ({note})"),
            None => Ok(()),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[Expr]) -> fmt::Result {
    items
        .iter()
        .enumerate()
        .try_for_each(|(at, item)| write!(f, "{}{item}", if at > 0 { ", " } else { "" }))
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Ellipsis => f.write_str("..."),
            ExprKind::Int(n) => write!(f, "{n}"),
            ExprKind::Hex(n) => write!(f, "{n:#x}"),
            ExprKind::Word(word) => f.write_str(word),
            ExprKind::Str(parts) => {
                let quoted: Vec<String> = parts.iter().map(|p| format!("\"{p}\"")).collect();
                f.write_str(&quoted.join(" "))
            }
            ExprKind::StrPrefix(text) => write!(f, "\"{text}\"..."),
            ExprKind::Or(parts) => parts
                .iter()
                .enumerate()
                .try_for_each(|(at, p)| write!(f, "{}{p}", if at > 0 { "|" } else { "" })),
            ExprKind::Assign(name, value) => write!(f, "{name}={value}"),
            ExprKind::List(items) => {
                f.write_str("[")?;
                list(f, items)?;
                f.write_str("]")
            }
            ExprKind::Struct(fields) => {
                f.write_str("{")?;
                for (at, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
            ExprKind::Htons(port) => write!(f, "htons({port})"),
            ExprKind::Address(ip @ IpAddr::V4(_)) => write!(f, "inet_addr(\"{ip}\")"),
            ExprKind::Address(ip @ IpAddr::V6(_)) => write!(f, "inet6_addr(\"{ip}\")"),
            ExprKind::Apply(name, args) => {
                write!(f, "{name}(")?;
                list(f, args)?;
                f.write_str(")")
            }
            ExprKind::Sizeof(name) => write!(f, "sizeof({name})"),
            ExprKind::Cast(name, value) => write!(f, "({name}){value}"),
            ExprKind::Gre(header) => write!(f, "{{{header}}}"),
            ExprKind::Mpls(stack) => {
                f.write_str("{")?;
                labels(f, stack)?;
                f.write_str("}")
            }
            ExprKind::Value(value) => write!(f, "{value}"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.arg) {
            (Some(name), Some(arg)) => write!(f, "{name}({arg})={}", self.value),
            (Some(name), None) => write!(f, "{name}={}", self.value),
            (None, _) => write!(f, "{}", self.value),
        }
    }
}
