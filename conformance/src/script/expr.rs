//! Expressions in system calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ast::{Expr, ExprKind, Field};
use super::error::ScriptError;
use super::lexer::Tok;
use super::parser::Parser;
use super::span::Span;

/// How deep lists and structures may be nested.
const MAX_DEPTH: u32 = 32;

/// The members of the structures that calls take, in order; `?` marks a member that may be left out.
const SHAPES: &[&[&str]] = &[
    &["sa_family", "sin_port", "sin_addr"],
    &["msg_name", "msg_iov", "msg_flags", "msg_control?"],
    &["cmsg_level", "cmsg_type", "cmsg_data"],
    &["ee_errno", "ee_origin", "ee_type", "ee_code", "ee_info", "ee_data"],
    &["scm_sec", "scm_nsec"],
    &["fd", "events", "revents?"],
    &["events", "fd"],
    &["events", "ptr"],
    &["events", "u32"],
    &["events", "u64"],
    &["onoff", "linger"],
];

impl Parser<'_> {
    pub(crate) fn expr_list(&mut self, depth: u32) -> Result<Vec<Expr>, ScriptError> {
        let mut list = vec![self.expr(depth)?];
        while self.eat(',') {
            list.push(self.expr(depth)?);
        }
        Ok(list)
    }

    /// `operand { | operand }`
    pub(crate) fn expr(&mut self, depth: u32) -> Result<Expr, ScriptError> {
        let start = self.span();
        if depth > MAX_DEPTH {
            return Err(
                self.error(start, format!("expressions are nested more than {MAX_DEPTH} deep"))
            );
        }
        let first = self.operand(depth)?;
        if self.peek() != Tok::Punct('|') {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat('|') {
            parts.push(self.operand(depth)?);
        }
        Ok(Expr { kind: ExprKind::Or(parts), span: start.to(self.last_span()) })
    }

    fn operand(&mut self, depth: u32) -> Result<Expr, ScriptError> {
        let start = self.span();
        let kind = match self.peek() {
            Tok::Ellipsis => {
                self.bump();
                ExprKind::Ellipsis
            }
            Tok::Int(digits) => {
                let value = digits
                    .parse()
                    .map_err(|_| self.error(start, "the number does not fit 64 bits"))?;
                self.bump();
                ExprKind::Int(value)
            }
            Tok::Hex(digits) => {
                let value = u64::from_str_radix(digits, 16);
                let value =
                    value.map_err(|_| self.error(start, "the number does not fit 64 bits"))?;
                self.bump();
                ExprKind::Hex(value)
            }
            Tok::Str(_) => self.strings(),
            Tok::Word(word) => {
                self.bump();
                self.word(word, depth)?
            }
            Tok::Punct('[') => {
                self.bump();
                let mut list = Vec::new();
                if !self.eat(']') {
                    list = self.expr_list(depth + 1)?;
                    self.expect(']', "after the list")?;
                }
                ExprKind::List(list)
            }
            Tok::Punct('{') => {
                self.bump();
                self.structure(start, depth)?
            }
            _ => return Err(self.unexpected("an expression")),
        };
        Ok(Expr { kind, span: start.to(self.last_span()) })
    }

    fn strings(&mut self) -> ExprKind {
        let mut parts = Vec::new();
        while let Tok::Str(text) = self.peek() {
            parts.push(text.to_string());
            self.bump();
        }
        match (self.peek(), parts.as_slice()) {
            (Tok::Ellipsis, [only]) => {
                self.bump();
                ExprKind::StrPrefix(only.clone())
            }
            _ => ExprKind::Str(parts),
        }
    }

    /// After a word: a function of an address or port, an assignment, or the word itself.
    fn word(&mut self, word: &str, depth: u32) -> Result<ExprKind, ScriptError> {
        if self.peek() == Tok::Punct('(') && matches!(word, "htons" | "inet_addr" | "inet6_addr") {
            self.bump();
            let kind = if word == "htons" {
                ExprKind::Htons(self.number_u16("a port")?)
            } else {
                ExprKind::Address(self.address(word == "inet6_addr")?)
            };
            self.expect(')', "after the value")?;
            return Ok(kind);
        }
        if self.eat('=') {
            // As in `[SOME_FLAG=1]`; a member of a structure does not come here.
            if depth >= MAX_DEPTH {
                return Err(self.error(
                    self.span(),
                    format!("expressions are nested more than {MAX_DEPTH} deep"),
                ));
            }
            return Ok(ExprKind::Assign(word.to_string(), Box::new(self.expr(depth + 1)?)));
        }
        Ok(ExprKind::Word(word.to_string()))
    }

    /// A quoted address. `sin_addr=inet_addr("::1")` goes with `AF_INET6`, so both families may stand in `inet_addr`.
    fn address(&mut self, v6_only: bool) -> Result<IpAddr, ScriptError> {
        let Tok::Str(text) = self.peek() else {
            return Err(self.unexpected("an address in double quotes"));
        };
        let address = if v6_only {
            text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        } else {
            text.parse::<Ipv4Addr>()
                .map(IpAddr::V4)
                .or_else(|_| text.parse::<Ipv6Addr>().map(IpAddr::V6))
                .ok()
        };
        let Some(address) = address else {
            return Err(self.error(self.span(), "this is not an IP address"));
        };
        self.bump();
        Ok(address)
    }

    fn structure(&mut self, start: Span, depth: u32) -> Result<ExprKind, ScriptError> {
        let mut fields = Vec::new();
        loop {
            fields.push(self.field(depth)?);
            if self.eat(',') {
                continue;
            }
            self.expect('}', "after the member")?;
            break;
        }
        let names: Vec<&str> = fields.iter().filter_map(|f| f.name.as_deref()).collect();
        if names.is_empty() {
            return Ok(ExprKind::Struct(fields));
        }
        if names.len() == fields.len() && SHAPES.iter().any(|shape| fits(shape, &names)) {
            return Ok(ExprKind::Struct(fields));
        }
        let known = SHAPES
            .iter()
            .find(|shape| shape.first().map(|n| n.trim_end_matches('?')) == names.first().copied());
        let error = self.error(
            start.to(self.last_span()),
            format!("no structure has the members {}", names.join(", ")),
        );
        Err(match known {
            Some(shape) => error.with_help(format!("known is {{{}}}", shape.join(", "))),
            None => error,
        })
    }

    fn field(&mut self, depth: u32) -> Result<Field, ScriptError> {
        let start = self.span();
        let (mut name, mut arg) = (None, None);
        if let Tok::Word(word) = self.peek() {
            match self.peek_at(1) {
                Tok::Punct('=') => {
                    self.bump();
                    self.bump();
                    name = Some(word.to_string());
                }
                Tok::Punct('(') if matches!(word, "msg_name" | "msg_iov") => {
                    self.bump();
                    self.bump();
                    name = Some(word.to_string());
                    arg = Some(self.expr(depth + 1)?);
                    self.expect(')', "after the count")?;
                    self.expect('=', "after the member's name")?;
                }
                _ => {}
            }
        }
        if self.peek() == Tok::Punct('(') {
            let message = "an MPLS label stack is not supported in a call";
            return Err(self.error(self.span(), message));
        }
        let value = self.expr(depth + 1)?;
        Ok(Field { name, arg, value, span: start.to(self.last_span()) })
    }
}

/// Whether `names` are the members of `shape`, in its order.
fn fits(shape: &[&str], names: &[&str]) -> bool {
    let mut names = names.iter();
    let mut next = names.next();
    for member in shape {
        if next.is_some_and(|n| *n == member.trim_end_matches('?')) {
            next = names.next();
        } else if !member.ends_with('?') {
            return false;
        }
    }
    next.is_none()
}
