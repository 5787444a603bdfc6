//! Text to tokens. Comments and white space fall away; every token keeps its span.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::ScriptError;
use super::span::{Source, Span};

/// A token; text is borrowed from the script or from a `-D` value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tok<'a> {
    /// `--name`, without the dashes.
    Option(&'a str),
    /// Digits with a decimal point; also the `.5` of TCP flags with an ACE digit.
    Float(&'a str),
    /// Decimal digits, perhaps after a minus sign.
    Int(&'a str),
    /// `0x...`, without the prefix.
    Hex(&'a str),
    /// A name: letters, digits and underscores.
    Word(&'a str),
    /// The inside of double quotes, escapes untouched.
    Str(&'a str),
    /// The inside of back quotes.
    Command(&'a str),
    /// The inside of `%{ }%`.
    Code(&'a str),
    /// A dotted quad.
    Ipv4(&'a str),
    /// An IPv6 address.
    Ipv6(&'a str),
    /// A link-layer address, six pairs of hexadecimal digits.
    Mac(&'a str),
    /// `$name`, without the dollar sign.
    Value(&'a str),
    /// `...`
    Ellipsis,
    /// Any other character.
    Punct(char),
    /// The end of the script.
    End,
}

impl Tok<'_> {
    /// What an error message calls it.
    pub(crate) fn name(&self) -> String {
        match self {
            Tok::Option(s) => format!("the option `--{s}`"),
            Tok::Float(s)
            | Tok::Int(s)
            | Tok::Word(s)
            | Tok::Ipv4(s)
            | Tok::Ipv6(s)
            | Tok::Mac(s) => format!("`{s}`"),
            Tok::Value(s) => format!("`${s}`"),
            Tok::Hex(s) => format!("`0x{s}`"),
            Tok::Str(_) => "a string".into(),
            Tok::Command(_) => "a command in back quotes".into(),
            Tok::Code(_) => "a code block".into(),
            Tok::Ellipsis => "`...`".into(),
            Tok::Punct(c) => format!("`{c}`"),
            Tok::End => "the end of the script".into(),
        }
    }
}

/// A token and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) tok: Tok<'a>,
    pub(crate) span: Span,
}

/// The tokens of a script, and its comments.
pub(crate) struct Lexed<'a> {
    /// In order, the last one being [`Tok::End`].
    pub(crate) tokens: Vec<Token<'a>>,
    /// In order, without the line break after a line's comment.
    pub(crate) comments: Vec<Span>,
}

/// Lexes a script.
pub(crate) fn lex<'a>(source: &'a Source) -> Result<Lexed<'a>, ScriptError> {
    let mut lexer = Lexer { source, text: source.text(), at: 0, comments: Vec::new() };
    let mut tokens = Vec::with_capacity(lexer.text.len() / 4);
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        if token.tok == Tok::End {
            return Ok(Lexed { tokens, comments: lexer.comments });
        }
    }
}

/// The token that the value of a define stands for: a string, a command, an integer, an address, else a word.
pub(crate) fn define_value(value: &str) -> Tok<'_> {
    let inside = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    if let Some(text) = inside('"') {
        return Tok::Str(text);
    }
    if let Some(text) = inside('`') {
        return Tok::Command(text);
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Tok::Int(value);
    }
    if value.parse::<Ipv4Addr>().is_ok() {
        return Tok::Ipv4(value);
    }
    if value.parse::<Ipv6Addr>().is_ok() {
        return Tok::Ipv6(value);
    }
    match value.strip_prefix("0x") {
        Some(hex) if !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) => Tok::Hex(hex),
        _ => Tok::Word(value),
    }
}

struct Lexer<'a> {
    source: &'a Source,
    text: &'a str,
    at: usize,
    comments: Vec<Span>,
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// Length of a link-layer address as text.
const MAC_LEN: usize = 17;

/// Six pairs of hexadecimal digits: five colons, which no range of sequence numbers has, too few for an IPv6 address.
fn is_mac(text: &[u8]) -> bool {
    text.len() == MAC_LEN
        && text.iter().enumerate().all(|(at, b)| match at % 3 {
            2 => *b == b':',
            _ => b.is_ascii_hexdigit(),
        })
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or(&[])
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.rest().get(ahead).copied().unwrap_or(0)
    }

    fn error(&self, start: usize, end: usize, message: &str, label: &str) -> ScriptError {
        ScriptError::new(self.source, Span::new(start, end), message, label)
    }

    /// Takes `len` bytes as a token.
    fn take(&mut self, len: usize, make: impl FnOnce(&'a str) -> Tok<'a>) -> Token<'a> {
        let (start, end) = (self.at, (self.at + len).min(self.text.len()));
        self.at = end;
        Token { tok: make(self.text.get(start..end).unwrap_or("")), span: Span::new(start, end) }
    }

    fn skip_blank(&mut self) -> Result<(), ScriptError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b' ' | b'\t' | b'\n' | b'\r', _) => self.at += 1,
                (b'/', b'/') | (b'#', _) => {
                    let rest = self.rest();
                    self.comment(rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()));
                }
                (b'/', b'*') => match self.text.get(self.at + 2..).and_then(|t| t.find("*/")) {
                    Some(len) => self.comment(len + 4),
                    None => {
                        let (at, label) = (self.at, "`/*` without `*/`");
                        return Err(self.error(at, at + 2, "a comment has no end", label));
                    }
                },
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self, len: usize) {
        self.comments.push(Span::new(self.at, self.at + len));
        self.at += len;
    }

    fn next(&mut self) -> Result<Token<'a>, ScriptError> {
        self.skip_blank()?;
        let Some(&first) = self.rest().first() else {
            return Ok(Token { tok: Tok::End, span: Span::new(self.at, self.at) });
        };
        if self.rest().starts_with(b"...") {
            return Ok(self.take(3, |_| Tok::Ellipsis));
        }
        match first {
            b'"' => return self.quoted(b'"', "a string"),
            b'`' => return self.quoted(b'`', "a command"),
            b'%' if self.peek(1) == b'{' => return self.code(),
            b'-' if self.peek(1) == b'-' && is_word(self.peek(2)) => {
                let len = 2 + self.word_len(2);
                return Ok(self.take(len, |t| Tok::Option(t.get(2..).unwrap_or(""))));
            }
            b'$' if is_word(self.peek(1)) && !self.peek(1).is_ascii_digit() => {
                let len = 1 + self.word_len(1);
                return Ok(self.take(len, |t| Tok::Value(t.get(1..).unwrap_or(""))));
            }
            _ => {}
        }
        let after = self.peek(MAC_LEN);
        if self.rest().get(..MAC_LEN).is_some_and(is_mac) && !is_word(after) && after != b':' {
            return Ok(self.take(MAC_LEN, Tok::Mac));
        }
        if let Some(len) = self.ipv6_len() {
            return Ok(self.take(len, Tok::Ipv6));
        }
        if let Some(token) = self.number() {
            return Ok(token);
        }
        if is_word(first) {
            let len = self.word_len(0);
            // The one name with another character, a flag of GRE headers.
            let sequence = self.rest().get(..len) == Some(b"sequence") && self.peek(len) == b'#';
            return Ok(self.take(len + usize::from(sequence), Tok::Word));
        }
        let c = self.text.get(self.at..).and_then(|t| t.chars().next()).unwrap_or('\0');
        if !c.is_ascii_graphic() {
            let (start, end) = (self.at, self.at + c.len_utf8());
            let label = format!("{c:?} has no place here");
            return Err(self.error(start, end, "a character that scripts do not use", &label));
        }
        Ok(self.take(1, |_| Tok::Punct(c)))
    }

    fn word_len(&self, from: usize) -> usize {
        self.rest().iter().skip(from).take_while(|b| is_word(**b)).count()
    }

    fn digits(&self, from: usize) -> usize {
        self.rest().iter().skip(from).take_while(|b| b.is_ascii_digit()).count()
    }

    /// An integer, float, hexadecimal integer or dotted quad, unless a longer word starts here.
    fn number(&mut self) -> Option<Token<'a>> {
        let sign = usize::from(self.peek(0) == b'-');
        let whole = sign + self.digits(sign);
        let fraction = if self.peek(whole) == b'.' { self.digits(whole + 1) } else { 0 };
        if fraction > 0 {
            let float = whole + 1 + fraction;
            return Some(match self.ipv4_len() {
                Some(len) if len > float => self.take(len, Tok::Ipv4),
                _ => self.take(float, Tok::Float),
            });
        }
        if whole == sign {
            return None;
        }
        let word = if sign == 0 { self.word_len(0) } else { 0 };
        if word > whole {
            let hex = self.peek(0) == b'0' && self.peek(1) == b'x' && word > 2;
            let all_hex = self.rest().iter().take(word).skip(2).all(u8::is_ascii_hexdigit);
            return (hex && all_hex).then(|| self.take(word, |t| Tok::Hex(&t[2..])));
        }
        Some(self.take(whole, Tok::Int))
    }

    fn ipv4_len(&self) -> Option<usize> {
        let len =
            self.rest().iter().take(15).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        self.text.get(self.at..self.at + len)?.parse::<Ipv4Addr>().ok().map(|_| len)
    }

    /// The longest IPv6 address that starts here. `1:1001` is a sequence range, so an address has `::` or seven colons.
    fn ipv6_len(&self) -> Option<usize> {
        let run: &[u8] = self.rest();
        let run = &run[..run.len().min(45)];
        let len =
            run.iter().take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')).count();
        let run = &run[..len];
        let colons = run.iter().filter(|b| **b == b':').count();
        if colons < 2 || (colons < 7 && !run.windows(2).any(|w| w == b"::")) {
            return None;
        }
        let text = std::str::from_utf8(run).ok()?;
        (2..=len).rev().find(|l| text.get(..*l).is_some_and(|t| t.parse::<Ipv6Addr>().is_ok()))
    }

    fn quoted(&mut self, quote: u8, what: &str) -> Result<Token<'a>, ScriptError> {
        let mut len = 1;
        loop {
            match self.peek(len) {
                b'\\' if self.at + len + 1 < self.text.len() => len += 2,
                b if b == quote => break,
                _ if self.at + len >= self.text.len() => {
                    let at = self.at;
                    return Err(self.error(
                        at,
                        at + 1,
                        &format!("{what} has no end"),
                        "it starts here",
                    ));
                }
                _ => len += 1,
            }
        }
        let make = |t: &'a str| {
            let inside = t.get(1..t.len().saturating_sub(1)).unwrap_or("");
            if quote == b'"' { Tok::Str(inside) } else { Tok::Command(inside) }
        };
        Ok(self.take(len + 1, make))
    }

    fn code(&mut self) -> Result<Token<'a>, ScriptError> {
        match self.text.get(self.at + 2..).and_then(|t| t.find("}%")) {
            Some(len) => Ok(self
                .take(len + 4, |t| Tok::Code(t.get(2..t.len().saturating_sub(2)).unwrap_or("")))),
            None => {
                let at = self.at;
                Err(self.error(at, at + 2, "a code block has no end", "`%{` without `}%`"))
            }
        }
    }
}
