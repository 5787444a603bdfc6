//! Headers around a packet: IP-in-IP, GRE, MPLS.

use std::net::IpAddr;

use super::super::ast::{Gre, MplsEntry, Outer};
use super::super::error::ScriptError;
use super::super::lexer::Tok;
use super::super::parser::Parser;

/// How many headers may stand around a packet, and entries in a label stack.
const MAX_HEADERS: usize = 16;

impl Parser<'_> {
    pub(super) fn outer_headers(&mut self) -> Result<Vec<Outer>, ScriptError> {
        let mut headers = Vec::new();
        loop {
            let span = self.span();
            let header = match self.peek() {
                Tok::Word(word @ ("ipv4" | "ipv6")) => self.ip_header(word == "ipv4")?,
                Tok::Word("gre" | "GREv0") => {
                    self.bump();
                    let header = if self.peek() == Tok::Punct(':') {
                        None
                    } else {
                        self.eat(',');
                        Some(self.gre()?)
                    };
                    Outer::Gre(header)
                }
                Tok::Word("mpls") => {
                    self.bump();
                    Outer::Mpls(self.mpls()?)
                }
                _ => return Ok(headers),
            };
            self.expect(':', "after the header")?;
            if headers.len() == MAX_HEADERS {
                return Err(self.error(span, format!("more than {MAX_HEADERS} headers")));
            }
            headers.push(header);
        }
    }

    fn ip_header(&mut self, v4: bool) -> Result<Outer, ScriptError> {
        self.bump();
        let info = self.ip_info()?;
        let source = self.bare_address(v4)?;
        self.expect('>', "between the addresses")?;
        let destination = self.bare_address(v4)?;
        Ok(Outer::Ip { info, source, destination })
    }

    fn bare_address(&mut self, v4: bool) -> Result<IpAddr, ScriptError> {
        let address = match self.peek() {
            Tok::Ipv4(text) if v4 => text.parse().ok(),
            Tok::Ipv6(text) if !v4 => text.parse().ok(),
            _ => None,
        };
        let family = if v4 { "an IPv4 address" } else { "an IPv6 address" };
        let address = address.ok_or_else(|| self.unexpected(family))?;
        self.bump();
        Ok(address)
    }

    /// `flags [..], sum N, off N, key N, seq N`; the commas may be left out.
    pub(crate) fn gre(&mut self) -> Result<Gre, ScriptError> {
        if !(self.eat_word("flags") || self.eat_word("Flags")) {
            return Err(self.unexpected("`flags`"));
        }
        let flags = if self.eat('[') {
            let flags = self.gre_flags()?;
            self.expect(']', "after the flags")?;
            flags
        } else {
            self.any_number("the flags", 0xffff)? as u16
        };
        let max = u64::from(u32::MAX);
        let checksum = self.gre_member("sum", "the checksum", 0xffff)? as u16;
        let offset = self.gre_member("off", "the offset", 0xffff)? as u16;
        let key = self.gre_member("key", "the key", max)? as u32;
        let sequence = self.gre_member("seq", "the sequence number", max)? as u32;
        Ok(Gre { flags, checksum, offset, key, sequence })
    }

    fn gre_flags(&mut self) -> Result<u16, ScriptError> {
        let mut flags = 0;
        loop {
            let Tok::Word(word) = self.peek() else {
                return Err(self.unexpected("`none`, `checksum`, `key` or `sequence#`"));
            };
            if word != "none" {
                let Some((_, bit)) = Gre::FLAGS.iter().find(|(name, _)| *name == word) else {
                    return Err(self.unexpected("`none`, `checksum`, `key` or `sequence#`"));
                };
                flags |= bit;
            }
            self.bump();
            if word != "none" {
                self.expect_word("present", "after the flag")?;
            }
            if !self.eat(',') {
                return Ok(flags);
            }
        }
    }

    fn gre_member(&mut self, name: &str, what: &str, max: u64) -> Result<u64, ScriptError> {
        self.eat(',');
        self.expect_word(name, "in the GRE header")?;
        if name == "key" {
            self.eat('=');
        }
        self.any_number(what, max)
    }

    /// `(label N, tc N, [S], ttl N)`, one after the other.
    pub(crate) fn mpls(&mut self) -> Result<Vec<MplsEntry>, ScriptError> {
        let mut stack = Vec::new();
        while self.peek() == Tok::Punct('(') {
            if stack.len() == MAX_HEADERS {
                return Err(self.error(self.span(), format!("more than {MAX_HEADERS} labels")));
            }
            self.bump();
            self.expect_word("label", "in the stack's entry")?;
            let label = self.number("the label", 0xf_ffff)? as u32;
            self.expect(',', "after the label")?;
            self.expect_word("tc", "in the stack's entry")?;
            let traffic_class = self.number("the traffic class", 7)? as u8;
            self.expect(',', "after the traffic class")?;
            let bottom = self.eat('[');
            if bottom {
                self.expect_word("S", "for the bottom of the stack")?;
                self.expect(']', "after `S`")?;
                self.expect(',', "after `[S]`")?;
            }
            self.expect_word("ttl", "in the stack's entry")?;
            let ttl = self.number("the time to live", 255)? as u8;
            self.expect(')', "after the stack's entry")?;
            stack.push(MplsEntry { label, traffic_class, bottom, ttl });
        }
        Ok(stack)
    }
}
