//! Packets: IP information, TCP segments with their options, UDP, ICMP.

use super::ast::{
    Body, Direction, Echoed, Icmp, IpInfo, Packet, Ports, Tcp, TcpFlags, TcpOption, TcpOptions,
    Tos, Udp,
};
use super::error::ScriptError;
use super::lexer::Tok;
use super::parser::Parser;
use super::text;

/// The longest TCP option list, in bytes (RFC 9293 3.1: the data offset has four bits).
const MAX_TCP_OPTIONS: usize = 40;

impl Parser<'_> {
    pub(crate) fn packet(&mut self) -> Result<Packet, ScriptError> {
        let start = self.span();
        let direction = if self.eat('<') { Direction::Inbound } else { Direction::Outbound };
        if direction == Direction::Outbound {
            self.expect('>', "or `<` before a packet")?;
        }
        self.refuse_encapsulation()?;
        let ip_span = self.span();
        let ip = self.ip_info()?;
        if ip.tos == Tos::Ect01 && direction == Direction::Inbound {
            return Err(
                self.error(ip_span.to(self.last_span()), "[ect01] is for expected packets only")
            );
        }
        let ports = self.ports()?;
        let body = match self.peek() {
            Tok::Word("icmp") if ports.is_none() => {
                self.bump();
                Body::Icmp(self.icmp()?)
            }
            Tok::Word("udp") => {
                self.bump();
                let ports = self.ports()?.or(ports);
                if matches!(ip.tos, Tos::Ecn(_)) {
                    let span = ip_span.to(self.last_span());
                    return Err(self.error(span, "ECN can be given for TCP and ICMP packets only"));
                }
                self.expect('(', "and the payload length")?;
                let len = self.number_u16("the payload length")?;
                self.expect(')', "after the payload length")?;
                Body::Udp(Udp { ports, len })
            }
            Tok::Word("encap") => {
                return Err(self.error(self.span(), "PSP encapsulation is not supported"));
            }
            _ => Body::Tcp(self.tcp(ports, direction)?),
        };
        Ok(Packet { direction, ip, body, span: start.to(self.last_span()) })
    }

    fn refuse_encapsulation(&self) -> Result<(), ScriptError> {
        let what = match self.peek() {
            Tok::Word("ipv4" | "ipv6") => "IP-in-IP",
            Tok::Word("gre" | "GREv0") => "GRE",
            Tok::Word("mpls") => "MPLS",
            _ => return Ok(()),
        };
        let error = self.error(self.span(), format!("{what} encapsulation is not supported"));
        Err(error.with_help("the packet would have to be carried inside another header"))
    }

    fn ip_info(&mut self) -> Result<IpInfo, ScriptError> {
        let close = match self.peek() {
            Tok::Punct('(') => ')',
            Tok::Punct('[') => ']',
            _ => return Ok(IpInfo::default()),
        };
        self.bump();
        let mut info = IpInfo::default();
        loop {
            let span = self.span();
            let Tok::Word(word) = self.bump() else {
                return Err(self
                    .error(span, "expected ect0, ect1, ect01, ce, noecn, tos, ttl or flowlabel"));
            };
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
                (_, Some(_)) | ("ttl" | "flowlabel", _) => {
                    return Err(self.error(span, format!("`{word}` is said twice")));
                }
                _ => {
                    let message = format!("`{word}` is nothing that can be said of an IP header");
                    let help =
                        "known are ect0, ect1, ect01, ce, noecn, tos 0xN, ttl N and flowlabel 0xN";
                    return Err(self.error(span, message).with_help(help));
                }
            }
            if !self.eat(',') {
                break;
            }
        }
        self.expect(close, "after what is said of the IP header")?;
        Ok(info)
    }

    fn hex(&mut self, what: &str, max: u64) -> Result<u64, ScriptError> {
        let Tok::Hex(digits) = self.peek() else {
            return Err(self.unexpected(&format!("{what} as 0x...")));
        };
        match u64::from_str_radix(digits, 16) {
            Ok(n) if n <= max => {
                self.bump();
                Ok(n)
            }
            _ => Err(self.error(self.span(), format!("{what} is not between 0 and {max:#x}"))),
        }
    }

    fn ports(&mut self) -> Result<Option<Ports>, ScriptError> {
        if !matches!((self.peek(), self.peek_at(1)), (Tok::Int(_), Tok::Punct('>'))) {
            return Ok(None);
        }
        let source = self.number_u16("the source port")?;
        self.bump();
        let destination = self.number_u16("the destination port")?;
        Ok(Some(Ports { source, destination }))
    }

    fn tcp(&mut self, ports: Option<Ports>, direction: Direction) -> Result<Tcp, ScriptError> {
        let flags_start = self.span();
        let flags = self.flags()?;
        let flags_span = flags_start.to(self.last_span());
        let seq_start = self.span();
        let (seq, len) = self.seq()?;
        let seq_span = seq_start.to(self.last_span());
        let ack = if self.eat_word("ack") {
            Some(self.number_u32("the acknowledgement number")?)
        } else {
            None
        };
        let window = if self.eat_word("win") { Some(self.number_u16("the window")?) } else { None };
        if window.is_none() && direction == Direction::Inbound {
            let error = self.error(seq_span, "a packet to the stack needs a window");
            return Err(error.with_help("write `win N`, the raw 16-bit field"));
        }
        let urgent =
            if self.eat_word("urg") { Some(self.number_u16("the urgent pointer")?) } else { None };
        let options = self.tcp_options(direction)?;
        Ok(Tcp { ports, flags, flags_span, seq, len, seq_span, ack, window, urgent, options })
    }

    /// Flag letters `FSRPEWAU`, `.` for ACK, one digit for the ACE counter; `-` for none.
    fn flags(&mut self) -> Result<TcpFlags, ScriptError> {
        let start = self.span();
        let mut written = String::new();
        match self.peek() {
            Tok::Punct('-') => {
                self.bump();
                return Ok(TcpFlags::default());
            }
            Tok::Punct('.') => {}
            Tok::Word(word) => {
                written.push_str(word);
                self.bump();
            }
            Tok::Float(_) => {}
            _ => return Err(self.unexpected("TCP flags, `udp` or `icmp`")),
        }
        match self.peek() {
            Tok::Punct('.') => {
                written.push('.');
                self.bump();
            }
            Tok::Float(text) => {
                written.push_str(text);
                self.bump();
            }
            _ => {}
        }
        let span = start.to(self.last_span());
        let mut flags = TcpFlags::default();
        let (mut ecn, mut ace) = (false, false);
        for c in written.chars() {
            match c {
                'F' => flags.fin = true,
                'S' => flags.syn = true,
                'R' => flags.rst = true,
                'P' => flags.psh = true,
                '.' => flags.ack = true,
                'U' => flags.urg = true,
                'E' | 'W' | 'A' if ace => {
                    return Err(self.error(
                        span,
                        format!("the flag {c} is part of the ACE digit already given"),
                    ));
                }
                'E' => (flags.ece, ecn) = (true, true),
                'W' => (flags.cwr, ecn) = (true, true),
                'A' => (flags.ae, ecn) = (true, true),
                '0'..='7' if ace || ecn => {
                    return Err(self.error(
                        span,
                        "an ACE digit goes with no second digit and none of E, W, A",
                    ));
                }
                '0'..='7' => {
                    let value = c as u8 - b'0';
                    flags.ece = value & 1 != 0;
                    flags.cwr = value & 2 != 0;
                    flags.ae = value & 4 != 0;
                    // Upstream keeps no mark for a zero digit: the three flags are then compared like any other.
                    flags.ace = value != 0;
                    ace = true;
                }
                _ => {
                    let error = self.error(span, format!("`{c}` is not a TCP flag"));
                    return Err(error.with_help(
                        "flags are F S R P . U E W A, a digit 0-7 for ACE, or - for none",
                    ));
                }
            }
        }
        Ok(flags)
    }

    /// `seq:end(len)`
    fn seq(&mut self) -> Result<(u32, u16), ScriptError> {
        let start = self.span();
        let seq = self.number_u32("the first sequence number, as in `1:1001(1000)`")?;
        self.expect(':', "after the first sequence number")?;
        let end = self.number_u32("the sequence number after the last byte")?;
        self.expect('(', "and the payload length")?;
        let len = self.number_u16("the payload length")?;
        self.expect(')', "after the payload length")?;
        if u64::from(seq) + u64::from(len) != u64::from(end) {
            let message =
                format!("{seq}:{end} are {} bytes, not {len}", i64::from(end) - i64::from(seq));
            return Err(self.error(start.to(self.last_span()), message));
        }
        Ok((seq, len))
    }

    fn tcp_options(&mut self, direction: Direction) -> Result<TcpOptions, ScriptError> {
        let start = self.span();
        if !self.eat('<') {
            return Ok(TcpOptions::List(Vec::new()));
        }
        if self.peek() == Tok::Ellipsis {
            self.bump();
            self.expect('>', "after the options")?;
            if direction == Direction::Inbound {
                let span = start.to(self.last_span());
                return Err(self.error(span, "`<...>` is for expected packets only"));
            }
            return Ok(TcpOptions::Unchecked);
        }
        let mut list = vec![self.tcp_option()?];
        while self.eat(',') {
            list.push(self.tcp_option()?);
        }
        self.expect('>', "after the options")?;
        let bytes: usize = list.iter().map(TcpOption::wire_len).sum();
        let span = start.to(self.last_span());
        if bytes > MAX_TCP_OPTIONS {
            return Err(self.error(
                span,
                format!("{bytes} bytes of options, where a TCP header has room for 40"),
            ));
        }
        if !bytes.is_multiple_of(4) {
            let error = self
                .error(span, format!("{bytes} bytes of options do not end at a multiple of four"));
            return Err(
                error.with_help("fill up with nop or eol, in the place where the stack does it")
            );
        }
        Ok(TcpOptions::List(list))
    }

    fn tcp_option(&mut self) -> Result<TcpOption, ScriptError> {
        let span = self.span();
        let Tok::Word(word) = self.peek() else { return Err(self.unexpected("a TCP option")) };
        self.bump();
        Ok(match word {
            "eol" => TcpOption::Eol,
            "nop" => TcpOption::Nop,
            "mss" => TcpOption::Mss(self.number_u16("the maximum segment size")?),
            "wscale" => TcpOption::Wscale(self.number("the window scale", 255)? as u8),
            "sackOK" => TcpOption::SackOk,
            "sack" => TcpOption::Sack(self.sack_blocks()?),
            "TS" => {
                self.expect_word("val")?;
                let val = self.number_u32("the timestamp")?;
                self.expect_word("ecr")?;
                TcpOption::Timestamp { val, ecr: self.number_u32("the echoed timestamp")? }
            }
            "FO" => TcpOption::FastOpen(self.cookie()?),
            "FOEXP" => TcpOption::FastOpenExp(self.cookie()?),
            "md5" => {
                let digest = self.blob()?;
                if digest.len() != 16 {
                    return Err(self.error(self.last_span(), "an MD5 digest has 16 bytes"));
                }
                TcpOption::Md5(digest)
            }
            "ECN" => self.acc_ecn()?,
            _ => {
                let error = self.error(span, format!("`{word}` is not a TCP option"));
                let help =
                    "options are mss, wscale, sackOK, sack, TS, nop, eol, FO, FOEXP, md5 and ECN";
                return Err(error.with_help(help));
            }
        })
    }

    fn expect_word(&mut self, word: &str) -> Result<(), ScriptError> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    fn sack_blocks(&mut self) -> Result<Vec<(u32, u32)>, ScriptError> {
        let mut blocks = Vec::new();
        while blocks.is_empty() || matches!(self.peek(), Tok::Int(_)) {
            let left = self.number_u32("the left edge of a SACK block")?;
            self.expect(':', "between the edges of a SACK block")?;
            blocks.push((left, self.number_u32("the right edge of a SACK block")?));
        }
        Ok(blocks)
    }

    fn blob(&mut self) -> Result<Vec<u8>, ScriptError> {
        let (Tok::Word(digits) | Tok::Int(digits)) = self.peek() else {
            return Err(self.unexpected("hexadecimal digits"));
        };
        let Some(bytes) = text::hex_bytes(digits) else {
            return Err(self.error(self.span(), "this is no even number of hexadecimal digits"));
        };
        self.bump();
        Ok(bytes)
    }

    fn cookie(&mut self) -> Result<Vec<u8>, ScriptError> {
        if matches!(self.peek(), Tok::Punct(_)) {
            return Ok(Vec::new());
        }
        self.blob()
    }

    fn acc_ecn(&mut self) -> Result<TcpOption, ScriptError> {
        let e0b_first = match self.peek() {
            Tok::Word("e0b") => true,
            Tok::Word("e1b") => false,
            _ => return Err(self.unexpected("`e0b` or `e1b`")),
        };
        let order = if e0b_first { ["e0b", "ceb", "e1b"] } else { ["e1b", "ceb", "e0b"] };
        let mut fields = Vec::new();
        for name in order {
            if !self.eat_word(name) {
                break;
            }
            fields.push(self.number("the byte counter", 0xff_ffff)? as u32);
        }
        Ok(TcpOption::AccEcn { e0b_first, fields })
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
        let mtu = if self.eat_word("mtu") { Some(self.number_u32("the MTU")?) } else { None };
        let id = if self.eat_word("id") { Some(self.number_u16("the identifier")?) } else { None };
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
                self.expect('(', "and the payload length")?;
                let len = self.number_u16("the payload length")?;
                self.expect(')', "after the payload length")?;
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

impl TcpOption {
    /// The option's length on the wire, in bytes.
    pub fn wire_len(&self) -> usize {
        match self {
            TcpOption::Eol | TcpOption::Nop => 1,
            TcpOption::Mss(_) => 4,
            TcpOption::Wscale(_) => 3,
            TcpOption::SackOk => 2,
            TcpOption::Sack(blocks) => 2 + 8 * blocks.len(),
            TcpOption::Timestamp { .. } => 10,
            TcpOption::FastOpen(cookie) => 2 + cookie.len(),
            TcpOption::FastOpenExp(cookie) => 4 + cookie.len(),
            TcpOption::Md5(_) => 18,
            TcpOption::AccEcn { fields, .. } => 2 + 3 * fields.len(),
        }
    }
}
