//! A block's text to tokens, with Python's line structure: newlines, indents and dedents.

use super::super::error::ScriptError;
use super::super::span::{Source, Span};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tok {
    Name(String),
    Int(i128),
    Str(String),
    /// The inside of `f'...'`, as written.
    FStr(String),
    /// An operator or punctuation mark.
    Op(&'static str),
    /// The end of a statement: a newline or `;`.
    Newline,
    Indent,
    Dedent,
    End,
}

/// Longest first, so that the first that fits is the right one.
const OPERATORS: &[&str] = &[
    "**=", "//=", "<<=", ">>=", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "+=", "-=", "*=",
    "/=", "%=", "&=", "|=", "^=", ":=", "->", "+", "-", "*", "/", "%", "&", "|", "^", "~", "<",
    ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "@",
];

pub(crate) struct Lexed {
    pub(crate) tokens: Vec<(Tok, Span)>,
}

/// Lexes the block `text`, which starts at byte `base` of the script.
pub(crate) fn lex(source: &Source, base: usize, text: &str) -> Result<Lexed, ScriptError> {
    // As upstream does, blanks around the block are no indentation.
    let skipped = text.len() - text.trim_start_matches([' ', '\t']).len();
    let mut lexer = Lexer {
        source,
        base,
        text,
        at: skipped,
        brackets: 0,
        tokens: Vec::new(),
        indents: vec![0],
    };
    lexer.run()?;
    Ok(Lexed { tokens: lexer.tokens })
}

struct Lexer<'a> {
    source: &'a Source,
    base: usize,
    text: &'a str,
    at: usize,
    /// Open brackets: inside them newlines do not end a statement.
    brackets: usize,
    tokens: Vec<(Tok, Span)>,
    indents: Vec<usize>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.base + start, self.base + end)
    }

    fn error(&self, start: usize, end: usize, message: impl Into<String>) -> ScriptError {
        ScriptError::new(self.source, self.span(start, end), message, "in this code block")
    }

    fn push(&mut self, tok: Tok, len: usize) {
        let span = self.span(self.at, self.at + len);
        self.tokens.push((tok, span));
        self.at += len;
    }

    fn run(&mut self) -> Result<(), ScriptError> {
        let mut line_start = false;
        while self.at < self.text.len() {
            if line_start && self.brackets == 0 {
                self.indentation()?;
            }
            line_start = false;
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { break };
            match first {
                ' ' | '\t' | '\r' => self.at += 1,
                '#' => self.at += rest.find('\n').unwrap_or(rest.len()),
                '\n' => {
                    if self.brackets == 0 {
                        self.push(Tok::Newline, 1);
                        line_start = true;
                    } else {
                        self.at += 1;
                    }
                }
                ';' => self.push(Tok::Newline, 1),
                '\\' => {
                    let after = rest[1..].trim_start_matches(['\r', ' ', '\t']);
                    if !after.starts_with('\n') {
                        return Err(self.error(
                            self.at,
                            self.at + 1,
                            "a backslash is not at the end of its line",
                        ));
                    }
                    self.at = self.text.len() - after.len() + 1;
                }
                '"' | '\'' => self.string(first)?,
                'f' if rest[1..].starts_with(['"', '\'']) => self.fstring()?,
                c if c.is_ascii_digit() => self.number()?,
                c if c.is_ascii_alphabetic() || c == '_' => {
                    let len = rest
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(rest.len());
                    let name = rest[..len].to_string();
                    self.push(Tok::Name(name), len);
                }
                _ => self.operator(first)?,
            }
        }
        self.push(Tok::Newline, 0);
        for _ in 1..self.indents.len() {
            self.push(Tok::Dedent, 0);
        }
        self.push(Tok::End, 0);
        Ok(())
    }

    fn indentation(&mut self) -> Result<(), ScriptError> {
        let rest = self.rest();
        let body = rest.trim_start_matches([' ', '\t']);
        let width = rest.len() - body.len();
        if body.is_empty() || body.starts_with(['\n', '#', '\r']) {
            return Ok(());
        }
        let current = self.indents.last().copied().unwrap_or(0);
        if width > current {
            self.indents.push(width);
            self.push(Tok::Indent, 0);
        }
        while self.indents.len() > 1 && width < self.indents.last().copied().unwrap_or(0) {
            self.indents.pop();
            self.push(Tok::Dedent, 0);
        }
        if width < current && self.indents.last().copied() != Some(width) && width != 0 {
            return Err(self.error(
                self.at,
                self.at + width,
                "this indentation matches no line before",
            ));
        }
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), ScriptError> {
        let rest = self.rest();
        let mut value = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.push(Tok::Str(value), at + 1);
                    return Ok(());
                }
                '\n' => break,
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, c @ ('\\' | '\'' | '"'))) => value.push(c),
                    Some((_, '\n')) => {}
                    Some((_, c)) => value.extend(['\\', c]),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err(self.error(self.at, self.at + 1, "a string has no end on its line"))
    }

    fn fstring(&mut self) -> Result<(), ScriptError> {
        let rest = self.rest();
        let quote = rest[1..].chars().next().unwrap_or('"');
        let inside = rest.get(2..).unwrap_or("");
        let end = inside.find([quote, '\n', '\\']);
        match end.map(|end| (end, inside[end..].starts_with(quote))) {
            Some((end, true)) => {
                let text = inside[..end].to_string();
                self.push(Tok::FStr(text), end + 3);
                Ok(())
            }
            Some((end, false)) if inside[end..].starts_with('\\') => {
                let at = self.at + 2 + end;
                Err(self.error(at, at + 1, "a backslash in an f-string is not supported"))
            }
            _ => Err(self.error(self.at, self.at + 2, "a string has no end on its line")),
        }
    }

    fn number(&mut self) -> Result<(), ScriptError> {
        let rest = self.rest();
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = rest[..len].replace('_', "").to_ascii_lowercase();
        let fraction = rest[len..].starts_with('.');
        let value = match (word.get(..2), word.get(2..)) {
            (Some("0x"), Some(digits)) => i128::from_str_radix(digits, 16),
            (Some("0b"), Some(digits)) => i128::from_str_radix(digits, 2),
            (Some("0o"), Some(digits)) => i128::from_str_radix(digits, 8),
            _ => word.parse(),
        };
        match value {
            Ok(_) if fraction => Err(self.error(
                self.at,
                self.at + len + 1,
                "numbers with a decimal point are not supported",
            )),
            Ok(value) => {
                self.push(Tok::Int(value), len);
                Ok(())
            }
            Err(_) => Err(self.error(self.at, self.at + len, "this is not a number")),
        }
    }

    fn operator(&mut self, first: char) -> Result<(), ScriptError> {
        let rest = self.rest();
        let Some(op) = OPERATORS.iter().find(|op| rest.starts_with(**op)) else {
            let message = format!("{first:?} is not supported");
            return Err(self.error(self.at, self.at + first.len_utf8(), message));
        };
        match *op {
            "(" | "[" | "{" => self.brackets += 1,
            ")" | "]" | "}" => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.push(Tok::Op(op), op.len());
        Ok(())
    }
}
