//! Expressions in system calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ast::{Expr, ExprKind, Field};
use super::error::ScriptError;
use super::lexer::Tok;
use super::parser::Parser;
use super::span::Span;
use super::text;

/// How deep lists and structures may be nested.
const MAX_DEPTH: u32 = 32;

/// The members of the structures that calls take: name of the structure, then its members in any order. A literal whose
/// first known member is in one of them has no members that are not.
const STRUCTURES: &[(&str, &[&str])] = &[
    (
        "sockaddr",
        &[
            "sa_family",
            "sin_family",
            "sin_port",
            "sin_addr",
            "sin6_family",
            "sin6_port",
            "sin6_addr",
            "sin6_flowinfo",
            "sin6_scope_id",
        ],
    ),
    (
        "msghdr",
        &[
            "msg_name",
            "msg_namelen",
            "msg_iov",
            "msg_iovlen",
            "msg_control",
            "msg_controllen",
            "msg_flags",
        ],
    ),
    ("iovec", &["iov_base", "iov_len"]),
    ("cmsghdr", &["cmsg_len", "cmsg_level", "cmsg_type", "cmsg_data"]),
    (
        "sock_extended_err",
        &[
            "ee_errno",
            "ee_origin",
            "ee_type",
            "ee_code",
            "ee_pad",
            "ee_info",
            "ee_data",
            "ee_offender",
        ],
    ),
    ("scm_timestamping", &["scm_sec", "scm_nsec"]),
    ("timespec", &["tv_sec", "tv_nsec", "tv_usec"]),
    ("pollfd or epoll_event", &["fd", "events", "revents", "ptr", "u32", "u64"]),
    ("linger", &["onoff", "linger", "l_onoff", "l_linger"]),
    ("in_pktinfo", &["ipi_ifindex", "ipi_spec_dst", "ipi_addr", "ipi6_addr", "ipi6_ifindex"]),
    ("ip_mreqn", &["imr_multiaddr", "imr_address", "imr_interface", "imr_ifindex"]),
    ("ipv6_mreq", &["ipv6mr_multiaddr", "ipv6mr_interface"]),
    ("flock", &["l_type", "l_whence", "l_start", "l_len", "l_pid"]),
];

/// Functions of the C library in expressions.
const FUNCTIONS: &[&str] = &["htonl", "ntohl", "ntohs", "CMSG_LEN", "CMSG_SPACE", "CMSG_ALIGN"];

/// Words that begin a type in a cast or `sizeof`.
const TYPES: &[&str] = &[
    "void",
    "char",
    "short",
    "int",
    "long",
    "unsigned",
    "signed",
    "struct",
    "union",
    "const",
    "size_t",
    "ssize_t",
    "socklen_t",
    "off_t",
    "u8",
    "u16",
    "u32",
    "u64",
    "s32",
    "s64",
    "uint8_t",
    "uint16_t",
    "uint32_t",
    "uint64_t",
    "int32_t",
    "int64_t",
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
            let message = format!("expressions are nested more than {MAX_DEPTH} deep");
            return Err(self.error(start, message));
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
                self.structure(depth)?
            }
            Tok::Punct('(') => self.cast(depth)?,
            Tok::Value(_) => ExprKind::Value(self.value_ref()?),
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

    /// After a word: a function's arguments, an assignment, or nothing.
    fn word(&mut self, word: &str, depth: u32) -> Result<ExprKind, ScriptError> {
        if self.peek() == Tok::Punct('(') {
            match word {
                "htons" => {
                    self.bump();
                    let port = self.number_u16("a port")?;
                    self.expect(')', "after the port")?;
                    return Ok(ExprKind::Htons(port));
                }
                "inet_addr" | "inet6_addr" => {
                    self.bump();
                    let address = self.address(word == "inet6_addr")?;
                    self.expect(')', "after the address")?;
                    return Ok(ExprKind::Address(address));
                }
                "sizeof" => {
                    self.bump();
                    let name = self.type_name()?;
                    self.expect(')', "after the type")?;
                    return Ok(ExprKind::Sizeof(name));
                }
                _ if FUNCTIONS.contains(&word) => {
                    self.bump();
                    let args = self.expr_list(self.deeper(depth)?)?;
                    self.expect(')', "after the arguments")?;
                    return Ok(ExprKind::Apply(word.to_string(), args));
                }
                _ => {}
            }
        }
        if self.eat('=') {
            // As in `[SOME_FLAG=1]`; a member of a structure does not come here.
            let value = self.expr(self.deeper(depth)?)?;
            return Ok(ExprKind::Assign(word.to_string(), Box::new(value)));
        }
        Ok(ExprKind::Word(word.to_string()))
    }

    fn deeper(&self, depth: u32) -> Result<u32, ScriptError> {
        if depth >= MAX_DEPTH {
            let message = format!("expressions are nested more than {MAX_DEPTH} deep");
            return Err(self.error(self.span(), message));
        }
        Ok(depth + 1)
    }

    /// `(TYPE)value`
    fn cast(&mut self, depth: u32) -> Result<ExprKind, ScriptError> {
        self.bump();
        if !matches!(self.peek(), Tok::Word(word) if TYPES.contains(&word)) {
            let error = self.unexpected("a type in parentheses, for a cast");
            return Err(error.with_help("expressions are not grouped: `|` is the only operator"));
        }
        let name = self.type_name()?;
        self.expect(')', "after the type")?;
        Ok(ExprKind::Cast(name, Box::new(self.operand(self.deeper(depth)?)?)))
    }

    /// The words of a type, then its stars.
    fn type_name(&mut self) -> Result<String, ScriptError> {
        let mut name = String::new();
        while let Tok::Word(word) = self.peek() {
            if !name.is_empty() {
                name.push(' ');
            }
            name.push_str(word);
            self.bump();
        }
        if name.is_empty() {
            return Err(self.unexpected("a type"));
        }
        if self.peek() == Tok::Punct('*') {
            name.push(' ');
        }
        while self.eat('*') {
            name.push('*');
        }
        Ok(name)
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

    fn structure(&mut self, depth: u32) -> Result<ExprKind, ScriptError> {
        match (self.peek(), self.peek_at(1)) {
            (Tok::Punct('}'), _) => {
                self.bump();
                return Ok(ExprKind::Struct(Vec::new()));
            }
            (Tok::Word("flags" | "Flags"), Tok::Punct('[') | Tok::Int(_) | Tok::Hex(_)) => {
                let header = self.gre()?;
                self.expect('}', "after the GRE header")?;
                return Ok(ExprKind::Gre(header));
            }
            (Tok::Punct('('), Tok::Word("label")) => {
                let stack = self.mpls()?;
                self.expect('}', "after the label stack")?;
                return Ok(ExprKind::Mpls(stack));
            }
            _ => {}
        }
        let depth = self.deeper(depth)?;
        let mut fields: Vec<Field> = Vec::new();
        let mut structure = None;
        loop {
            let name_span = self.span();
            let field = self.field(depth)?;
            self.check_field(&field, name_span, &fields, &mut structure)?;
            fields.push(field);
            if self.eat('}') {
                return Ok(ExprKind::Struct(fields));
            }
            if !self.eat(',') {
                return Err(self.unexpected("`,` or `}` after the member"));
            }
        }
    }

    /// A member is written once, and all are of one structure.
    fn check_field(
        &self,
        field: &Field,
        name_span: Span,
        before: &[Field],
        structure: &mut Option<&(&str, &[&str])>,
    ) -> Result<(), ScriptError> {
        let Some(name) = field.name.as_deref() else { return Ok(()) };
        if before.iter().any(|f| f.name.as_deref() == Some(name)) {
            return Err(self.error(name_span, format!("the member `{name}` is given twice")));
        }
        match structure {
            None => *structure = STRUCTURES.iter().find(|(_, members)| members.contains(&name)),
            Some((_, members)) if members.contains(&name) => {}
            Some((known, members)) => {
                let message = format!("`{name}` is no member of {known}");
                let help = text::did_you_mean(name, members)
                    .unwrap_or_else(|| format!("members are {}", members.join(", ")));
                return Err(self.error(name_span, message).with_help(help));
            }
        }
        Ok(())
    }

    fn field(&mut self, depth: u32) -> Result<Field, ScriptError> {
        let start = self.span();
        let (mut name, mut arg) = (None, None);
        let dotted = self.peek() == Tok::Punct('.');
        if dotted {
            self.member_path()?;
        }
        if let Tok::Word(word) = self.peek() {
            match self.peek_at(1) {
                Tok::Punct('=') => {
                    self.bump();
                    self.bump();
                    name = Some(word.to_string());
                }
                Tok::Punct('(') if matches!(word, "msg_name" | "msg_iov" | "msg_control") => {
                    self.bump();
                    self.bump();
                    name = Some(word.to_string());
                    arg = Some(self.expr(depth)?);
                    self.expect(')', "after the count")?;
                    self.expect('=', "after the member's name")?;
                }
                _ if dotted => {
                    self.bump();
                    return Err(self.unexpected("`=` after the member's name"));
                }
                _ => {}
            }
        }
        let value = self.expr(depth)?;
        Ok(Field { name, arg, value, span: start.to(self.last_span()) })
    }

    /// `.name` or `.data.name`, up to the last name.
    fn member_path(&mut self) -> Result<(), ScriptError> {
        self.bump();
        if self.peek() == Tok::Word("data") && self.peek_at(1) == Tok::Punct('.') {
            self.bump();
            self.bump();
        }
        match self.peek() {
            Tok::Word(_) => Ok(()),
            _ => Err(self.unexpected("the name of a member after `.`")),
        }
    }
}
