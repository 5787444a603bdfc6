//! Frames and packets as bytes; ARP, IGMP and neighbour discovery by name.

use std::net::IpAddr;

use super::super::ast::{
    Body, Bytes, Direction, LinkMessage, LinkProtocol, LinkValue, PatternByte,
};
use super::super::error::ScriptError;
use super::super::lexer::Tok;
use super::super::parser::Parser;
use super::super::text;

/// The longest frame or packet that can be written, in bytes.
const MAX_BYTES: usize = 0xffff;

/// What a field of a message holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// A number up to this.
    Number(u32),
    Mac,
    V4,
    V6,
}

/// The fields of a message.
type Fields = &'static [(&'static str, Holds)];

/// A message: its protocol, its name, its fields.
type Message = (LinkProtocol, &'static str, Fields);

const ARP: Fields = &[
    ("sender_mac", Holds::Mac),
    ("sender", Holds::V4),
    ("target_mac", Holds::Mac),
    ("target", Holds::V4),
    ("src_mac", Holds::Mac),
    ("dst_mac", Holds::Mac),
];
const IGMP: Fields = &[
    ("group", Holds::V4),
    ("max_resp", Holds::Number(255)),
    ("src", Holds::V4),
    ("dst", Holds::V4),
];
const IGMP3_REPORT: Fields =
    &[("group", Holds::V4), ("record", Holds::Number(255)), ("src", Holds::V4), ("dst", Holds::V4)];
const NEIGHBOUR: Fields = &[
    ("target", Holds::V6),
    ("lladdr", Holds::Mac),
    ("flags", Holds::Number(7)),
    ("src", Holds::V6),
    ("dst", Holds::V6),
    ("hop_limit", Holds::Number(255)),
];
const ROUTER: Fields = &[
    ("lladdr", Holds::Mac),
    ("lifetime", Holds::Number(0xffff)),
    ("cur_hop_limit", Holds::Number(255)),
    ("flags", Holds::Number(255)),
    ("mtu", Holds::Number(u32::MAX)),
    ("prefix", Holds::V6),
    ("prefix_len", Holds::Number(128)),
    ("src", Holds::V6),
    ("dst", Holds::V6),
    ("hop_limit", Holds::Number(255)),
];
const REDIRECT: Fields = &[
    ("target", Holds::V6),
    ("destination", Holds::V6),
    ("lladdr", Holds::Mac),
    ("src", Holds::V6),
    ("dst", Holds::V6),
    ("hop_limit", Holds::Number(255)),
];

/// Every message that has a name.
const MESSAGES: &[Message] = &[
    (LinkProtocol::Arp, "request", ARP),
    (LinkProtocol::Arp, "reply", ARP),
    (LinkProtocol::Igmp, "query", IGMP),
    (LinkProtocol::Igmp, "v1_report", IGMP),
    (LinkProtocol::Igmp, "v2_report", IGMP),
    (LinkProtocol::Igmp, "v3_report", IGMP3_REPORT),
    (LinkProtocol::Igmp, "leave", IGMP),
    (LinkProtocol::Ndp, "neighbor_solicit", NEIGHBOUR),
    (LinkProtocol::Ndp, "neighbor_advert", NEIGHBOUR),
    (LinkProtocol::Ndp, "router_solicit", ROUTER),
    (LinkProtocol::Ndp, "router_advert", ROUTER),
    (LinkProtocol::Ndp, "redirect", REDIRECT),
];

impl LinkProtocol {
    /// The protocol's name in a script.
    pub fn name(self) -> &'static str {
        match self {
            LinkProtocol::Arp => "arp",
            LinkProtocol::Igmp => "igmp",
            LinkProtocol::Ndp => "ndp",
        }
    }
}

impl Parser<'_> {
    /// `eth: [bytes]` or `raw: [bytes]`
    pub(super) fn frame(&mut self, eth: bool, direction: Direction) -> Result<Body, ScriptError> {
        self.bump();
        self.expect(':', "before the bytes")?;
        let bytes = self.bytes(direction == Direction::Outbound)?;
        Ok(if eth { Body::Eth(bytes) } else { Body::Raw(bytes) })
    }

    /// `[bytes]` that are all known.
    pub(super) fn plain_bytes(&mut self) -> Result<Vec<u8>, ScriptError> {
        Ok(self.bytes(false)?.bytes.iter().map(|b| b.value).collect())
    }

    /// Pairs of hexadecimal digits in brackets, in groups of any size; `?` for a digit that is not compared and `...` for
    /// what follows, if `masks`.
    fn bytes(&mut self, masks: bool) -> Result<Bytes, ScriptError> {
        if !self.eat('[') {
            return Err(self.unexpected("`[` and hexadecimal bytes"));
        }
        let mut out = Bytes::default();
        loop {
            match self.peek() {
                Tok::Punct(']') => break,
                Tok::Ellipsis if masks => {
                    self.bump();
                    out.open = true;
                    break;
                }
                _ => self.byte_group(masks, &mut out.bytes)?,
            }
            if out.bytes.len() > MAX_BYTES {
                return Err(self.error(self.span(), format!("more than {MAX_BYTES} bytes")));
            }
        }
        self.expect(']', "after the bytes")?;
        Ok(out)
    }

    /// Tokens without blanks between them. They are read as text: `00`, `1e0` and `4?` are a number, a word and two marks.
    fn byte_group(&mut self, masks: bool, out: &mut Vec<PatternByte>) -> Result<(), ScriptError> {
        let start = self.span();
        let mut half: Option<PatternByte> = None;
        loop {
            let span = self.span();
            for (at, c) in self.source.slice(span).char_indices() {
                let digit = match (c, c.to_digit(16)) {
                    (_, Some(digit)) => PatternByte { value: digit as u8, mask: 0xf },
                    ('?', _) if masks => PatternByte { value: 0, mask: 0 },
                    (':', _) if half.is_none() => continue,
                    ('?', _) => {
                        let message = "`?` is for expected packets only";
                        return Err(self.error(span.byte(at), message));
                    }
                    _ => {
                        let found = if self.peek() == Tok::End {
                            self.peek().name()
                        } else {
                            format!("`{c}`")
                        };
                        let message = format!("expected hexadecimal bytes or `]`, found {found}");
                        return Err(self.error(span.byte(at), message));
                    }
                };
                half = match half {
                    None => Some(digit),
                    Some(high) => {
                        out.push(PatternByte {
                            value: high.value << 4 | digit.value,
                            mask: high.mask << 4 | digit.mask,
                        });
                        None
                    }
                };
            }
            if self.peek() == Tok::End {
                return Err(self.unexpected("hexadecimal bytes or `]`"));
            }
            self.bump();
            if !self.touches_last() || matches!(self.peek(), Tok::Punct(']') | Tok::Ellipsis) {
                break;
            }
        }
        match half {
            None => Ok(()),
            Some(_) => {
                Err(self.error(start.to(self.last_span()), "a byte has two hexadecimal digits"))
            }
        }
    }

    /// `arp request target=192.0.2.1`
    pub(super) fn link_message(
        &mut self,
        direction: Direction,
    ) -> Result<LinkMessage, ScriptError> {
        let start = self.span();
        let protocol = match self.bump() {
            Tok::Word("arp") => LinkProtocol::Arp,
            Tok::Word("igmp") => LinkProtocol::Igmp,
            _ => LinkProtocol::Ndp,
        };
        let (kind, known) = self.message_kind(protocol)?;
        let mut fields: Vec<(String, LinkValue)> = Vec::new();
        while let (Tok::Word(name), Tok::Punct('=')) = (self.peek(), self.peek_at(1)) {
            let span = self.span();
            let Some((_, holds)) = known.iter().find(|(n, _)| *n == name) else {
                return Err(self.no_such_field(protocol, kind, name, known));
            };
            if fields.iter().any(|(n, _)| n == name) {
                return Err(self.error(span, format!("`{name}` is said twice")));
            }
            self.bump();
            self.bump();
            let value = self.link_value(name, *holds, direction)?;
            fields.push((name.to_string(), value));
        }
        let span = start.to(self.last_span());
        Ok(LinkMessage { protocol, kind: kind.to_string(), fields, span })
    }

    fn no_such_field(
        &self,
        protocol: LinkProtocol,
        kind: &str,
        name: &str,
        known: Fields,
    ) -> ScriptError {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let message = format!("`{name}` is no field of `{} {kind}`", protocol.name());
        let help = text::did_you_mean(name, &names)
            .unwrap_or_else(|| format!("fields are {}", names.join(", ")));
        self.error(self.span(), message).with_help(help)
    }

    /// The message's name and fields.
    fn message_kind(
        &mut self,
        protocol: LinkProtocol,
    ) -> Result<(&'static str, Fields), ScriptError> {
        let of_protocol = MESSAGES.iter().filter(|(p, _, _)| *p == protocol);
        if let Tok::Word(word) = self.peek()
            && let Some((_, kind, fields)) = of_protocol.clone().find(|(_, kind, _)| *kind == word)
        {
            self.bump();
            return Ok((kind, fields));
        }
        let names: Vec<&str> = of_protocol.map(|(_, kind, _)| *kind).collect();
        let error = self.unexpected(&format!("the name of {} message", protocol.article()));
        Err(error.with_help(format!("known are {}", names.join(", "))))
    }

    fn link_value(
        &mut self,
        name: &str,
        holds: Holds,
        direction: Direction,
    ) -> Result<LinkValue, ScriptError> {
        let value = match (holds, self.peek()) {
            (_, Tok::Ellipsis) if direction == Direction::Outbound => Some(LinkValue::Any),
            (Holds::Number(max), Tok::Int(_) | Tok::Hex(_)) => {
                let what = format!("`{name}`");
                return Ok(LinkValue::Number(self.any_number(&what, u64::from(max))? as u32));
            }
            (Holds::Mac, Tok::Mac(text)) => Some(LinkValue::Mac(mac(text))),
            (Holds::V4, Tok::Ipv4(text)) => {
                text.parse().ok().map(|ip| LinkValue::Ip(IpAddr::V4(ip)))
            }
            (Holds::V6, Tok::Ipv6(text)) => {
                text.parse().ok().map(|ip| LinkValue::Ip(IpAddr::V6(ip)))
            }
            _ => None,
        };
        let Some(value) = value else {
            return Err(self.unexpected(match holds {
                Holds::Number(_) => "a number",
                Holds::Mac => "a link-layer address as 02:00:00:00:00:01",
                Holds::V4 => "an IPv4 address",
                Holds::V6 => "an IPv6 address",
            }));
        };
        self.bump();
        Ok(value)
    }
}

impl LinkProtocol {
    fn article(self) -> &'static str {
        match self {
            LinkProtocol::Arp => "an ARP",
            LinkProtocol::Igmp => "an IGMP",
            LinkProtocol::Ndp => "a neighbour discovery",
        }
    }
}

/// The bytes of six pairs of digits.
fn mac(text: &str) -> [u8; 6] {
    let mut out = [0; 6];
    for (byte, pair) in out.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
    }
    out
}
