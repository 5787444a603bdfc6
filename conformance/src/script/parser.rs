//! Tokens to a syntax tree: options, commands, events and calls. Packets are in `packet`, expressions in `expr`.

use std::collections::BTreeMap;

use super::ast::{
    Action, Call, Code, Command, Direction, Event, FaultEvent, LinkEvent, Loose, OptionLine,
    Script, Time,
};
use super::error::ScriptError;
use super::lexer::{Tok, Token, define_value, lex};
use super::span::{Source, Span};
use super::{code, text};

/// `-D NAME=value`: names that stand for an integer, a word, a `"string"` or a `` `command` ``.
pub type Defines = BTreeMap<String, String>;

/// Parses a script.
///
/// `defines` are the command line's; they win over the script's own `--define` lines.
///
/// # Errors
/// The first thing that is not packetdrill's language, with its place.
pub fn parse<'a>(source: &'a Source, defines: &'a Defines) -> Result<Script, ScriptError> {
    let mut parser = Parser {
        source,
        tokens: lex(source)?.tokens,
        at: 0,
        defines: Vec::new(),
        direction: Direction::Inbound,
        loose: Vec::new(),
        captured: Vec::new(),
    };
    let options = parser.options()?;
    parser.substitute(defines);
    parser.script(options)
}

pub(crate) struct Parser<'a> {
    pub(crate) source: &'a Source,
    tokens: Vec<Token<'a>>,
    at: usize,
    /// The script's own `--define=NAME=value` lines.
    defines: Vec<(&'a str, Tok<'a>)>,
    /// Of the packet at hand; inbound outside of packets, where values have to be known already too.
    pub(crate) direction: Direction,
    /// Fields of the packet at hand whose value is not written out.
    pub(crate) loose: Vec<Loose>,
    /// Names of values that packets so far capture.
    pub(crate) captured: Vec<String>,
}

/// Words of the language that upstream's lexer knows before it looks at defines, so that none of them can be defined.
const RESERVED: &[&str] = &[
    "sa_family",
    "sin_port",
    "sin_addr",
    "msg_name",
    "msg_iov",
    "msg_flags",
    "msg_control",
    "cmsg_data",
    "cmsg_level",
    "cmsg_type",
    "ee_errno",
    "ee_origin",
    "ee_type",
    "ee_code",
    "ee_info",
    "ee_data",
    "scm_sec",
    "scm_nsec",
    "fd",
    "u32",
    "u64",
    "ptr",
    "events",
    "revents",
    "onoff",
    "linger",
    "htons",
    "ipv4",
    "ipv6",
    "icmp",
    "udp",
    "GREv0",
    "gre",
    "raw",
    "sum",
    "off",
    "key",
    "seq",
    "none",
    "checksum",
    "sequence#",
    "present",
    "encap",
    "psp",
    "spi",
    "mpls",
    "label",
    "tc",
    "ttl",
    "inet_addr",
    "inet6_addr",
    "ack",
    "eol",
    "ecr",
    "mss",
    "mtu",
    "nop",
    "sack",
    "sackOK",
    "md5",
    "TS",
    "FO",
    "FOEXP",
    "ECN",
    "e0b",
    "e1b",
    "ceb",
    "tos",
    "flowlabel",
    "flags",
    "Flags",
    "val",
    "win",
    "urg",
    "wscale",
    "ect01",
    "ect0",
    "ect1",
    "noecn",
    "ce",
    "id",
];

/// What can go wrong in a device.
const FAULTS: &[&str] = &["rx_crc", "stall"];

impl<'a> Parser<'a> {
    pub(crate) fn peek(&self) -> Tok<'a> {
        self.peek_at(0)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Tok<'a> {
        self.tokens.get(self.at + ahead).map_or(Tok::End, |t| t.tok)
    }

    pub(crate) fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map(|t| t.span).unwrap_or_default()
    }

    /// The place of the token consumed last.
    pub(crate) fn last_span(&self) -> Span {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .map(|t| t.span)
            .unwrap_or_default()
    }

    pub(crate) fn bump(&mut self) -> Tok<'a> {
        let tok = self.peek();
        self.at = (self.at + 1).min(self.tokens.len());
        tok
    }

    pub(crate) fn eat(&mut self, c: char) -> bool {
        let is = self.peek() == Tok::Punct(c);
        if is {
            self.bump();
        }
        is
    }

    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let is = self.peek() == Tok::Word(word);
        if is {
            self.bump();
        }
        is
    }

    pub(crate) fn expect_word(&mut self, word: &str, place: &str) -> Result<(), ScriptError> {
        if self.eat_word(word) {
            return Ok(());
        }
        let error = self.unexpected(&format!("`{word}` {place}"));
        Err(match self.peek() {
            Tok::Word(near) if text::nearest(near, &[word]).is_some() => {
                error.with_help(format!("did you mean `{word}`?"))
            }
            _ => error,
        })
    }

    /// Whether the next token follows the last one without a blank.
    pub(crate) fn touches_last(&self) -> bool {
        self.last_span().end == self.span().start
    }

    pub(crate) fn begin_packet(&mut self, direction: Direction) {
        self.direction = direction;
        self.loose.clear();
    }

    /// The packet's fields whose value is not written out.
    pub(crate) fn end_packet(&mut self) -> Vec<Loose> {
        self.direction = Direction::Inbound;
        std::mem::take(&mut self.loose)
    }

    pub(crate) fn expect(&mut self, c: char, after: &str) -> Result<(), ScriptError> {
        if self.eat(c) { Ok(()) } else { Err(self.unexpected(&format!("`{c}` {after}"))) }
    }

    /// `expected X, found the next token`.
    pub(crate) fn unexpected(&self, expected: &str) -> ScriptError {
        let found = self.peek().name();
        ScriptError::new(
            self.source,
            self.span(),
            format!("expected {expected}, found {found}"),
            "here",
        )
    }

    pub(crate) fn error(&self, span: Span, message: impl Into<String>) -> ScriptError {
        ScriptError::new(self.source, span, message, "")
    }

    /// A decimal integer between 0 and `max`.
    pub(crate) fn number(&mut self, what: &str, max: u64) -> Result<u64, ScriptError> {
        let Tok::Int(digits) = self.peek() else { return Err(self.unexpected(what)) };
        match digits.parse::<u64>() {
            Ok(n) if n <= max => {
                self.bump();
                Ok(n)
            }
            _ => Err(self.error(self.span(), format!("{what} is not between 0 and {max}"))),
        }
    }

    /// An integer between 0 and `max`, decimal or hexadecimal.
    pub(crate) fn any_number(&mut self, what: &str, max: u64) -> Result<u64, ScriptError> {
        let Tok::Hex(digits) = self.peek() else { return self.number(what, max) };
        match u64::from_str_radix(digits, 16) {
            Ok(n) if n <= max => {
                self.bump();
                Ok(n)
            }
            _ => Err(self.error(self.span(), format!("{what} is not between 0 and {max:#x}"))),
        }
    }

    pub(crate) fn number_u32(&mut self, what: &str) -> Result<u32, ScriptError> {
        Ok(self.number(what, u64::from(u32::MAX))? as u32)
    }

    pub(crate) fn number_u16(&mut self, what: &str) -> Result<u16, ScriptError> {
        Ok(self.number(what, u64::from(u16::MAX))? as u16)
    }

    /// A number in seconds, as nanoseconds.
    fn time(&mut self) -> Result<i64, ScriptError> {
        let (Tok::Int(digits) | Tok::Float(digits)) = self.peek() else {
            return Err(self.unexpected("a time in seconds"));
        };
        let Some(ns) = text::seconds_to_ns(digits) else {
            return Err(self.error(self.span(), "a time has to be between 0 and 1000000 seconds"));
        };
        self.bump();
        Ok(ns)
    }

    fn options(&mut self) -> Result<Vec<OptionLine>, ScriptError> {
        let mut options = Vec::new();
        while let Tok::Option(name) = self.peek() {
            let start = self.span();
            self.bump();
            let value = if self.eat('=') {
                Some(self.option_value(name == "define")?)
            } else {
                self.no_value_without_sign(name)?;
                None
            };
            options.push(OptionLine {
                name: name.to_string(),
                value,
                span: start.to(self.last_span()),
            });
        }
        Ok(options)
    }

    /// Whether the next token stands on the line of the last one.
    fn same_line(&self) -> bool {
        let gap = Span { start: self.last_span().end, end: self.span().start };
        !self.source.slice(gap).contains('\n')
    }

    /// `--mss 1000`: what follows an option on its line is meant to be its value.
    fn no_value_without_sign(&self, name: &str) -> Result<(), ScriptError> {
        let apart = matches!(self.peek(), Tok::Option(_) | Tok::Command(_) | Tok::End);
        if apart || !self.same_line() {
            return Ok(());
        }
        let error = self.unexpected(&format!("the end of the line after `--{name}`"));
        Err(error.with_help(format!("a value follows `=`, as in `--{name}=value`")))
    }

    fn option_value(&mut self, define: bool) -> Result<String, ScriptError> {
        if !self.same_line() {
            let end = self.last_span().end as usize;
            let message = "expected a value for the option on its line";
            return Err(self.error(Span::new(end, end), message));
        }
        let named = matches!((self.peek(), self.peek_at(1)), (Tok::Word(_), Tok::Punct('=')));
        if define && !named {
            return Err(self.unexpected("NAME=value after `--define=`"));
        }
        let value = match self.peek() {
            Tok::Int(s) | Tok::Float(s) | Tok::Ipv4(s) | Tok::Ipv6(s) | Tok::Str(s) => {
                s.to_string()
            }
            Tok::Hex(s) => format!("0x{s}"),
            Tok::Word(word) => {
                self.bump();
                if !self.eat('=') {
                    return Ok(word.to_string());
                }
                let value = match self.peek() {
                    Tok::Word(s) | Tok::Int(s) => s.to_string(),
                    Tok::Hex(s) => format!("0x{s}"),
                    Tok::Str(s) => format!("\"{s}\""),
                    Tok::Command(s) => format!("`{s}`"),
                    _ => return Err(self.unexpected("a value")),
                };
                if define {
                    self.defines.push((word, self.peek()));
                }
                self.bump();
                return Ok(format!("{word}={value}"));
            }
            _ => return Err(self.unexpected("a value for the option")),
        };
        self.bump();
        Ok(value)
    }

    /// Puts the defines' values in place of their names, from here to the end.
    fn substitute(&mut self, defines: &'a Defines) {
        if defines.is_empty() && self.defines.is_empty() {
            return;
        }
        for token in self.tokens.iter_mut().skip(self.at) {
            let Tok::Word(word) = token.tok else { continue };
            if RESERVED.contains(&word) {
                continue;
            }
            if let Some(value) = defines.get(word) {
                token.tok = define_value(value);
            } else if let Some((_, value)) =
                self.defines.iter().rev().find(|(name, _)| *name == word)
            {
                token.tok = *value;
            }
        }
    }

    fn script(mut self, options: Vec<OptionLine>) -> Result<Script, ScriptError> {
        let mut script = Script { options, init: self.command(), ..Script::default() };
        loop {
            match self.peek() {
                Tok::End if !script.events.is_empty() => return Ok(script),
                Tok::Command(_) if !script.events.is_empty() => {
                    script.cleanup = self.command();
                    if self.peek() == Tok::End {
                        return Ok(script);
                    }
                    let cleanup = script.cleanup.map(|c| c.span).unwrap_or_default();
                    let error = self.error(
                        cleanup,
                        "a command without a time can only be the last thing in a script",
                    );
                    return Err(error.with_help("write a time before it, for example `+0`"));
                }
                Tok::Command(_) => {
                    let error = self.error(self.span(), "a second init command");
                    let help = "one command runs before the first event; it may have many lines";
                    return Err(error.with_help(help));
                }
                Tok::Option(name) => {
                    let message =
                        format!("the option `--{name}` comes after the first event or command");
                    return Err(self
                        .error(self.span(), message)
                        .with_help("options stand at the script's top"));
                }
                _ => {
                    let event = self.event()?;
                    script.events.push(event);
                }
            }
        }
    }

    fn command(&mut self) -> Option<Command> {
        let Tok::Command(text) = self.peek() else { return None };
        let span = self.span();
        self.bump();
        Some(Command { text: text.to_string(), span })
    }

    fn event(&mut self) -> Result<Event, ScriptError> {
        let start = self.span();
        let time = self.event_time()?;
        let time_span = start.to(self.last_span());
        let action = self.action()?;
        let outbound = matches!(&action, Action::Packet(p) if p.direction == Direction::Outbound);
        match time {
            Time::Any if !outbound => {
                return Err(self.error(time_span, "the time `*` is for expected packets only"));
            }
            Time::AbsoluteRange(..) | Time::RelativeRange(..) if !outbound => {
                return Err(self.error(time_span, "a range of times is for expected packets only"));
            }
            Time::AbsoluteRange(a, b) | Time::RelativeRange(a, b) if b < a => {
                return Err(self.error(time_span, "the range of times is backwards"));
            }
            _ => {}
        }
        let span = start.to(self.last_span());
        Ok(Event { time, time_span, action, span })
    }

    fn event_time(&mut self) -> Result<Time, ScriptError> {
        if self.eat('*') {
            return Ok(Time::Any);
        }
        if self.eat('+') {
            let from = self.time()?;
            if !self.eat('~') {
                return Ok(Time::Relative(from));
            }
            self.expect('+', "before the end of a relative range")?;
            return Ok(Time::RelativeRange(from, self.time()?));
        }
        if !matches!(self.peek(), Tok::Int(_) | Tok::Float(_)) {
            return Err(self.unexpected("an event's time (`0.1`, `+0.1`, `+0.1~+0.2` or `*`)"));
        }
        let from = self.time()?;
        if self.eat('~') {
            Ok(Time::AbsoluteRange(from, self.time()?))
        } else {
            Ok(Time::Absolute(from))
        }
    }

    fn action(&mut self) -> Result<Action, ScriptError> {
        match self.peek() {
            Tok::Punct('<' | '>') => Ok(Action::Packet(Box::new(self.packet()?))),
            Tok::Word("link") if self.peek_at(1) != Tok::Punct('(') => self.link_event(),
            Tok::Word("fault") if self.peek_at(1) != Tok::Punct('(') => self.fault_event(),
            Tok::Word(_) | Tok::Ellipsis => Ok(Action::Call(Box::new(self.call()?))),
            Tok::Code(text) => {
                let span = self.span();
                self.bump();
                let base = span.start as usize + 2;
                let program = code::parse(self.source, base, text)?;
                Ok(Action::Code(Code { text: text.to_string(), program, span }))
            }
            _ => match self.command() {
                Some(command) => Ok(Action::Command(command)),
                None => Err(self.unexpected("a packet, a system call, a command or a code block")),
            },
        }
    }

    fn call(&mut self) -> Result<Call, ScriptError> {
        let start = self.span();
        let end = if self.peek() == Tok::Ellipsis {
            self.bump();
            Some(self.time()?)
        } else {
            None
        };
        let name_span = self.span();
        let Tok::Word(name) = self.peek() else {
            return Err(self.unexpected("the name of a system call"));
        };
        self.bump();
        self.expect('(', "after the name of the system call")?;
        let mut args = Vec::new();
        if !self.eat(')') {
            args = self.expr_list(0)?;
            self.expect(')', "after the arguments")?;
        }
        self.expect('=', "and the expected result")?;
        let result = self.expr(0)?;
        let errno_span = self.span();
        let errno = match self.peek() {
            Tok::Word(word) => {
                self.bump();
                Some(word.to_string())
            }
            _ => None,
        };
        let note = self.note()?;
        let span = start.to(self.last_span());
        Ok(Call {
            end,
            name: name.to_string(),
            name_span,
            args,
            result,
            errno,
            errno_span,
            note,
            span,
        })
    }

    /// Text in parentheses.
    fn note(&mut self) -> Result<Option<String>, ScriptError> {
        if !self.eat('(') {
            return Ok(None);
        }
        let mut text = String::new();
        loop {
            match self.peek() {
                Tok::Punct(')') if !text.is_empty() => {
                    self.bump();
                    return Ok(Some(text));
                }
                Tok::Punct('(' | ')' | '<' | '>' | '`')
                | Tok::End
                | Tok::Command(_)
                | Tok::Code(_) => {
                    return Err(self.unexpected("words and a `)`"));
                }
                _ => {}
            }
            if !text.is_empty() && !self.touches_last() {
                text.push(' ');
            }
            text.push_str(self.source.slice(self.span()));
            self.bump();
        }
    }

    /// `link up [DEVICE]` or `link down [DEVICE]`
    fn link_event(&mut self) -> Result<Action, ScriptError> {
        let start = self.span();
        self.bump();
        let up = match self.peek() {
            Tok::Word("up") => true,
            Tok::Word("down") => false,
            _ => return Err(self.unexpected("`up` or `down` after `link`")),
        };
        self.bump();
        let device = match self.peek() {
            Tok::Word(device) => {
                self.bump();
                Some(device.to_string())
            }
            _ => None,
        };
        Ok(Action::Link(LinkEvent { up, device, span: start.to(self.last_span()) }))
    }

    /// `fault NAME` or `fault NAME(N, N)`
    fn fault_event(&mut self) -> Result<Action, ScriptError> {
        let start = self.span();
        self.bump();
        let name_span = self.span();
        let Tok::Word(name) = self.peek() else {
            return Err(self.unexpected("the name of a fault"));
        };
        if !FAULTS.contains(&name) {
            let error = self.error(name_span, format!("there is no fault `{name}`"));
            let known = || format!("known are {}", FAULTS.join(", "));
            return Err(error.with_help(text::did_you_mean(name, FAULTS).unwrap_or_else(known)));
        }
        self.bump();
        let mut args = Vec::new();
        if self.eat('(') {
            loop {
                args.push(self.any_number("a fault's number", i64::MAX as u64)? as i64);
                if !self.eat(',') {
                    break;
                }
            }
            self.expect(')', "after the numbers")?;
        }
        let span = start.to(self.last_span());
        Ok(Action::Fault(FaultEvent { name: name.to_string(), name_span, args, span }))
    }
}
