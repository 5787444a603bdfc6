//! TCP options.

use super::super::ast::{Direction, Number, TcpOption, TcpOptions};
use super::super::error::ScriptError;
use super::super::lexer::Tok;
use super::super::parser::Parser;
use super::super::text;

/// The longest TCP option list, in bytes (RFC 9293 3.1: the data offset has four bits).
const MAX_TCP_OPTIONS: usize = 40;

/// The options' names.
const NAMES: &[&str] = &[
    "mss", "wscale", "sackOK", "sack", "TS", "nop", "eol", "FO", "FOEXP", "md5", "ECN", "opt",
    "raw",
];

impl Parser<'_> {
    pub(super) fn tcp_options(&mut self, direction: Direction) -> Result<TcpOptions, ScriptError> {
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
        if !bytes.is_multiple_of(4) && !list.contains(&TcpOption::SackAny) {
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
        let Tok::Word(word) = self.peek() else {
            let error = self.unexpected("a TCP option");
            return Err(match (self.peek(), self.peek_at(1)) {
                (Tok::Int(_), Tok::Punct(':')) => {
                    error.with_help("SACK blocks have no comma between them: `sack 1:2 3:4`")
                }
                _ => error,
            });
        };
        self.bump();
        Ok(match word {
            "eol" => TcpOption::Eol,
            "nop" => TcpOption::Nop,
            "mss" => TcpOption::Mss(self.number_u16("the maximum segment size")?),
            "wscale" => TcpOption::Wscale(self.number("the window scale", 255)? as u8),
            "sackOK" => TcpOption::SackOk,
            "sack" => self.sack()?,
            "TS" => self.timestamp()?,
            "FO" => TcpOption::FastOpen(self.cookie()?),
            "FOEXP" => TcpOption::FastOpenExp(self.cookie()?),
            "md5" => self.md5()?,
            "ECN" => self.acc_ecn()?,
            "opt" => {
                let kind = self.number("the option's kind", 255)? as u8;
                TcpOption::Other { kind, data: self.plain_bytes()? }
            }
            "raw" => TcpOption::Raw(self.plain_bytes()?),
            _ => {
                let error = self.error(span, format!("`{word}` is not a TCP option"));
                return Err(error.with_help(text::did_you_mean(word, NAMES).unwrap_or_else(|| {
                    "options are mss, wscale, sackOK, sack, TS, nop, eol, FO, FOEXP, md5, ECN, opt and raw"
                        .into()
                })));
            }
        })
    }

    fn timestamp(&mut self) -> Result<TcpOption, ScriptError> {
        self.expect_word("val", "and the timestamp")?;
        let val = self.number_or_value("the timestamp")?;
        self.expect_word("ecr", "and the echoed timestamp")?;
        let ecr = self.number_or_value("the echoed timestamp")?;
        Ok(match (val, ecr) {
            (Number::Is(val), Number::Is(ecr)) => TcpOption::Timestamp { val, ecr },
            (val, ecr) => TcpOption::TimestampLoose { val, ecr },
        })
    }

    fn sack(&mut self) -> Result<TcpOption, ScriptError> {
        let span = self.span();
        if self.eat_word("auto") {
            return match self.direction {
                Direction::Outbound => Ok(TcpOption::SackAny),
                Direction::Inbound => {
                    Err(self.error(span, "`sack auto` is for expected packets only"))
                }
            };
        }
        let mut blocks = Vec::new();
        while blocks.is_empty() || matches!(self.peek(), Tok::Int(_)) {
            let left = self.number_u32("the left edge of a SACK block")?;
            self.expect(':', "between the edges of a SACK block")?;
            blocks.push((left, self.number_u32("the right edge of a SACK block")?));
        }
        Ok(TcpOption::Sack(blocks))
    }

    fn md5(&mut self) -> Result<TcpOption, ScriptError> {
        match self.peek() {
            Tok::Word(word @ ("valid" | "invalid")) => {
                self.bump();
                return Ok(TcpOption::Md5Computed { valid: word == "valid" });
            }
            Tok::Word("none") => {
                self.bump();
                return Ok(TcpOption::Md5(Vec::new()));
            }
            _ => {}
        }
        let digest = self.blob()?;
        if digest.len() == 16 {
            return Ok(TcpOption::Md5(digest));
        }
        let message = format!("an MD5 digest has 16 bytes, not {}", digest.len());
        let help = "or `md5 valid`, `md5 invalid`, `md5 none`";
        Err(self.error(self.last_span(), message).with_help(help))
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
}

impl TcpOption {
    /// The option's length on the wire, in bytes; 0 for `sack auto`, whose length is open.
    pub fn wire_len(&self) -> usize {
        match self {
            TcpOption::SackAny => 0,
            TcpOption::Eol | TcpOption::Nop => 1,
            TcpOption::Mss(_) => 4,
            TcpOption::Wscale(_) => 3,
            TcpOption::SackOk => 2,
            TcpOption::Sack(blocks) => 2 + 8 * blocks.len(),
            TcpOption::Timestamp { .. } | TcpOption::TimestampLoose { .. } => 10,
            TcpOption::FastOpen(cookie) => 2 + cookie.len(),
            TcpOption::FastOpenExp(cookie) => 4 + cookie.len(),
            TcpOption::Md5(digest) => 2 + digest.len(),
            TcpOption::Md5Computed { .. } => 18,
            TcpOption::AccEcn { fields, .. } => 2 + 3 * fields.len(),
            TcpOption::Other { data, .. } => 2 + data.len(),
            TcpOption::Raw(bytes) => bytes.len(),
        }
    }
}
