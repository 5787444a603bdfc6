//! Packets: whose they are, headers around them, IP information, TCP, UDP and ICMP.
//!
//! TCP options are in `options`, encapsulations in `outer`, frames and the link's own messages in `link`.

mod link;
mod loose;
mod options;
mod outer;

use super::ast::{
    Body, Direction, Echoed, HeaderField, Icmp, IpInfo, Packet, Ports, Tcp, TcpFlags, Tos, Udp,
};
use super::error::ScriptError;
use super::lexer::Tok;
use super::parser::Parser;
use super::span::Span;
use super::text;

/// What can follow the direction, for suggestions.
const PACKET_WORDS: &[&str] = &[
    "icmp", "udp", "udplite", "eth", "raw", "arp", "igmp", "ndp", "ipv4", "ipv6", "gre", "mpls",
    "encap",
];

/// What can be said of an IP header, for suggestions.
const IP_WORDS: &[&str] = &["ect0", "ect1", "ect01", "ce", "noecn", "tos", "ttl", "flowlabel"];

impl Parser<'_> {
    pub(crate) fn packet(&mut self) -> Result<Packet, ScriptError> {
        let start = self.span();
        let direction = if self.eat('<') { Direction::Inbound } else { Direction::Outbound };
        if direction == Direction::Outbound {
            self.expect('>', "or `<` before a packet")?;
        }
        self.begin_packet(direction);
        let owner = self.owner()?;
        let outer = self.outer_headers()?;
        let ip_span = self.span();
        let ip = self.ip_info()?;
        let ip_span = ip_span.to(self.last_span());
        if ip.tos == Tos::Ect01 && direction == Direction::Inbound {
            return Err(self.error(ip_span, "[ect01] is for expected packets only"));
        }
        let psp = self.psp()?;
        let body = self.body(direction)?;
        let below_ip = matches!(body, Body::Eth(_) | Body::Raw(_) | Body::Link(_));
        if below_ip && (ip != IpInfo::default() || !outer.is_empty() || psp.is_some()) {
            let span = if ip == IpInfo::default() { start } else { ip_span };
            return Err(self.error(span, "nothing can be said of the headers of such a packet"));
        }
        if matches!((&body, ip.tos), (Body::Udp(_), Tos::Ecn(_))) {
            return Err(self.error(ip_span, "ECN can be given for TCP and ICMP packets only"));
        }
        let span = start.to(self.last_span());
        Ok(Packet { direction, owner, outer, ip, psp, body, loose: self.end_packet(), span })
    }

    fn body(&mut self, direction: Direction) -> Result<Body, ScriptError> {
        let ports = self.ports()?;
        let Tok::Word(word) = self.peek() else {
            return Ok(Body::Tcp(self.tcp(ports, direction)?));
        };
        match word {
            "icmp" if ports.is_none() => {
                self.bump();
                Ok(Body::Icmp(self.icmp()?))
            }
            "udp" | "udplite" => {
                self.bump();
                let ports = self.ports()?.or(ports);
                Ok(Body::Udp(self.udp(ports, word == "udplite")?))
            }
            "eth" | "raw" if ports.is_none() => self.frame(word == "eth", direction),
            "arp" | "igmp" | "ndp" if ports.is_none() => {
                Ok(Body::Link(self.link_message(direction)?))
            }
            "sctp" => {
                let error = self.error(self.span(), "SCTP is unsupported");
                Err(error.with_help("TCP, UDP, UDP-Lite and ICMP can be written"))
            }
            _ => Ok(Body::Tcp(self.tcp(ports, direction)?)),
        }
    }

    /// `encap psp spi N`
    fn psp(&mut self) -> Result<Option<u32>, ScriptError> {
        if !self.eat_word("encap") {
            return Ok(None);
        }
        self.expect_word("psp", "after `encap`")?;
        self.expect_word("spi", "and the security parameter index")?;
        Ok(Some(self.any_number("the security parameter index", u64::from(u32::MAX))? as u32))
    }

    pub(super) fn ip_info(&mut self) -> Result<IpInfo, ScriptError> {
        let close = match self.peek() {
            Tok::Punct('(') => ')',
            Tok::Punct('[') => ']',
            _ => return Ok(IpInfo::default()),
        };
        self.bump();
        let mut info = IpInfo::default();
        loop {
            let span = self.span();
            let Tok::Word(word) = self.peek() else {
                return Err(self.unexpected("ect0, ect1, ect01, ce, noecn, tos, ttl or flowlabel"));
            };
            self.bump();
            self.ip_word(word, span, &mut info)?;
            if !self.eat(',') {
                break;
            }
        }
        self.expect(close, "after what is said of the IP header")?;
        Ok(info)
    }

    fn ip_word(&mut self, word: &str, span: Span, info: &mut IpInfo) -> Result<(), ScriptError> {
        let tos = match word {
            "noecn" => Some(Tos::Ecn(0)),
            "ect1" => Some(Tos::Ecn(1)),
            "ect0" => Some(Tos::Ecn(2)),
            "ce" => Some(Tos::Ecn(3)),
            "ect01" => Some(Tos::Ect01),
            "tos" => Some(Tos::Byte(self.hex("the traffic class", 0xff)? as u8)),
            _ => None,
        };
        match (word, tos) {
            (_, Some(tos)) if info.tos == Tos::Unchecked => info.tos = tos,
            ("ttl", _) if info.ttl.is_none() => {
                info.ttl = Some(self.number("the TTL", 255)? as u8);
            }
            ("flowlabel", _) if info.flow_label.is_none() => {
                info.flow_label = Some(self.hex("the flow label", 0xfffff)? as u32);
            }
            ("tos" | "ttl" | "flowlabel", _) => {
                return Err(self.error(span, format!("`{word}` is said twice")));
            }
            (_, Some(_)) => {
                let message = format!("`{word}` comes after the ECN bits or the TOS were given");
                return Err(self.error(span, message));
            }
            _ => {
                let message = format!("`{word}` is nothing that can be said of an IP header");
                let help = text::did_you_mean(word, IP_WORDS).unwrap_or_else(|| {
                    "known are ect0, ect1, ect01, ce, noecn, tos 0xN, ttl N and flowlabel 0xN"
                        .into()
                });
                return Err(self.error(span, message).with_help(help));
            }
        }
        Ok(())
    }

    pub(super) fn hex(&mut self, what: &str, max: u64) -> Result<u64, ScriptError> {
        let digits = match self.peek() {
            Tok::Hex(digits) => digits,
            Tok::Int(digits) => {
                let error = self.unexpected(&format!("{what} as 0x..."));
                return Err(match digits.parse::<u64>() {
                    Ok(n) => error.with_help(format!("{n} is written {n:#x}")),
                    Err(_) => error,
                });
            }
            _ => return Err(self.unexpected(&format!("{what} as 0x..."))),
        };
        match u64::from_str_radix(digits, 16) {
            Ok(n) if n <= max => {
                self.bump();
                Ok(n)
            }
            _ => Err(self.error(self.span(), format!("{what} is not between 0 and {max:#x}"))),
        }
    }

    /// `SOURCE > DESTINATION`
    fn ports(&mut self) -> Result<Option<Ports>, ScriptError> {
        let first = matches!(
            (self.peek(), self.peek_at(1)),
            (Tok::Int(_), Tok::Punct('>')) | (Tok::Ellipsis | Tok::Value(_), _)
        );
        if !first {
            return Ok(None);
        }
        let source = self.loose_u16(HeaderField::SourcePort, "the source port")?;
        self.expect('>', "between the ports")?;
        let destination = self.loose_u16(HeaderField::DestinationPort, "the destination port")?;
        Ok(Some(Ports { source, destination }))
    }

    fn udp(&mut self, ports: Option<Ports>, lite: bool) -> Result<Udp, ScriptError> {
        self.expect('(', "and the payload length")?;
        let len = self.number_u16("the payload length")?;
        let mut coverage = lite.then_some(0);
        if lite && self.eat(',') {
            coverage = Some(self.number_u16("the checksum's coverage")?);
        }
        self.expect(')', "after the payload length")?;
        Ok(Udp { ports, len, coverage })
    }

    fn tcp(&mut self, ports: Option<Ports>, direction: Direction) -> Result<Tcp, ScriptError> {
        let flags_start = self.span();
        let flags = self.flags()?;
        let flags_span = flags_start.to(self.last_span());
        let seq_start = self.span();
        let (seq, len) = self.loose_seq()?;
        let seq_span = seq_start.to(self.last_span());
        let ack = if self.eat_word("ack") {
            Some(self.loose_u32(HeaderField::Ack, "the acknowledgement number")?)
        } else {
            None
        };
        let window = if self.eat_word("win") {
            Some(self.loose_u16(HeaderField::Window, "the window")?)
        } else {
            None
        };
        if window.is_none() && direction == Direction::Inbound {
            let error = self.error(seq_span, "a packet to the stack needs a window");
            return Err(error.with_help("write `win N`, the raw 16-bit field"));
        }
        let urgent = if self.eat_word("urg") {
            Some(self.loose_u16(HeaderField::Urgent, "the urgent pointer")?)
        } else {
            None
        };
        let options = self.tcp_options(direction)?;
        Ok(Tcp { ports, flags, flags_span, seq, len, seq_span, ack, window, urgent, options })
    }

    /// Flag letters `FSRPEWAU`, `.` for ACK, one digit for the ACE counter; `-` for none.
    fn flags(&mut self) -> Result<TcpFlags, ScriptError> {
        let mut letters: Vec<(char, Span)> = Vec::new();
        let mut push = |text: &str, span: Span| {
            letters.extend(text.chars().zip(0..).map(|(c, at)| (c, span.byte(at))));
        };
        let whole = self.span();
        match self.peek() {
            Tok::Punct('-') => {
                self.bump();
                return Ok(TcpFlags::default());
            }
            Tok::Punct('.') | Tok::Float(_) => {}
            Tok::Word(word) => {
                let flags = word.bytes().all(|b| b"FSRPUEWA01234567".contains(&b));
                if let Some(help) = text::did_you_mean(word, PACKET_WORDS).filter(|_| !flags) {
                    return Err(self.unexpected("TCP flags, `udp` or `icmp`").with_help(help));
                }
                push(word, whole);
                self.bump();
            }
            _ => return Err(self.unexpected("TCP flags, `udp` or `icmp`")),
        }
        match self.peek() {
            Tok::Punct('.') => {
                push(".", self.span());
                self.bump();
            }
            Tok::Float(text) => {
                push(text, self.span());
                self.bump();
            }
            _ => {}
        }
        let mut flags = FlagReader::default();
        for (letter, span) in letters {
            flags.letter(letter).map_err(|message| {
                let error = self.error(span, message);
                error.with_help(
                    "flags are F S R P . U E W A, a digit 0-7 for ACE instead of E W A, or - for none",
                )
            })?;
        }
        Ok(flags.flags)
    }

    /// `seq:end(len)`
    fn seq(&mut self) -> Result<(u32, u16), ScriptError> {
        let start = self.span();
        let seq = self.number_u32("the first sequence number, as in `1:1001(1000)`")?;
        self.expect(':', "after the first sequence number")?;
        let end = self.number_u32("the sequence number after the last byte")?;
        let len = self.payload_len()?;
        if u64::from(seq) + u64::from(len) != u64::from(end) {
            let message =
                format!("{seq}:{end} are {} bytes, not {len}", i64::from(end) - i64::from(seq));
            return Err(self.error(start.to(self.last_span()), message));
        }
        Ok((seq, len))
    }

    /// `(len)`
    pub(super) fn payload_len(&mut self) -> Result<u16, ScriptError> {
        self.expect('(', "and the payload length")?;
        let len = self.number_u16("the payload length")?;
        self.expect(')', "after the payload length")?;
        Ok(len)
    }

    fn icmp(&mut self) -> Result<Icmp, ScriptError> {
        let kind_span = self.span();
        let Tok::Word(kind) = self.peek() else { return Err(self.unexpected("an ICMP type")) };
        self.bump();
        let code_span = self.span();
        let code = match self.peek() {
            Tok::Word("mtu" | "id") => None,
            Tok::Word(code) => {
                self.bump();
                Some(code.to_string())
            }
            _ => None,
        };
        let mtu = if self.eat_word("mtu") {
            Some(self.loose_u32(HeaderField::IcmpMtu, "the MTU")?)
        } else {
            None
        };
        let id = if self.eat_word("id") {
            Some(self.loose_u16(HeaderField::IcmpId, "the identifier")?)
        } else {
            None
        };
        let echoed = self.echoed()?;
        Ok(Icmp { kind: kind.to_string(), kind_span, code, code_span, mtu, id, echoed })
    }

    fn echoed(&mut self) -> Result<Echoed, ScriptError> {
        if !self.eat('[') {
            return Ok(Echoed::Default);
        }
        let echoed = match self.peek() {
            Tok::Word(word @ ("udp" | "raw")) => {
                self.bump();
                let len = self.payload_len()?;
                if word == "udp" { Echoed::Udp(len) } else { Echoed::Raw(len) }
            }
            _ => {
                let (seq, len) = self.seq()?;
                Echoed::Tcp { seq, len }
            }
        };
        self.expect(']', "after what the message quotes")?;
        Ok(echoed)
    }
}

/// Collects flag letters.
#[derive(Default)]
struct FlagReader {
    flags: TcpFlags,
    /// Whether E, W or A was there.
    ecn: bool,
    /// Whether a digit was there.
    digit: bool,
}

impl FlagReader {
    fn letter(&mut self, letter: char) -> Result<(), String> {
        let flags = &mut self.flags;
        match letter {
            'F' => flags.fin = true,
            'S' => flags.syn = true,
            'R' => flags.rst = true,
            'P' => flags.psh = true,
            '.' => flags.ack = true,
            'U' => flags.urg = true,
            'E' | 'W' | 'A' if self.digit => {
                return Err(format!("the flag {letter} is part of the ACE digit already given"));
            }
            'E' => (flags.ece, self.ecn) = (true, true),
            'W' => (flags.cwr, self.ecn) = (true, true),
            'A' => (flags.ae, self.ecn) = (true, true),
            '0'..='7' if self.digit || self.ecn => {
                return Err("an ACE digit goes with no second digit and none of E, W, A".into());
            }
            '0'..='7' => {
                let value = letter as u8 - b'0';
                flags.ece = value & 1 != 0;
                flags.cwr = value & 2 != 0;
                flags.ae = value & 4 != 0;
                // Upstream keeps no mark for a zero digit: the three flags are then compared like any other.
                flags.ace = value != 0;
                self.digit = true;
            }
            _ => return Err(format!("`{letter}` is not a TCP flag")),
        }
        Ok(())
    }
}
