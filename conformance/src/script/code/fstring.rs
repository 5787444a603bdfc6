//! `f'...{value:spec}...'`

use super::super::error::ScriptError;
use super::super::span::{Source, Span};
use super::Piece;
use super::parse::parse_expression;

/// The parts of the text inside the quotes, which starts at byte `base` of the script.
pub(super) fn pieces(
    source: &Source,
    base: usize,
    text: &str,
    depth: u32,
) -> Result<Vec<Piece>, ScriptError> {
    let error = |at: usize, message: &str| {
        let span = Span::new(base + at, base + at + 1);
        ScriptError::new(source, span, message, "in this code block")
    };
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &text[at..];
        match c {
            '{' | '}' if rest[1..].starts_with(c) => {
                plain.push(c);
                at += 2;
            }
            '}' => return Err(error(at, "a single `}` in an f-string")),
            '{' => {
                let Some(end) = rest.find('}') else {
                    return Err(error(at, "`{` without `}` in an f-string"));
                };
                let inside = &rest[1..end];
                // A colon in brackets or a string would belong to the value: neither is worth its own lexer here.
                let (value, spec) = inside.split_once(':').unwrap_or((inside, ""));
                let node = parse_expression(source, base + at + 1, value, depth)?;
                if !plain.is_empty() {
                    out.push(Piece::Text(std::mem::take(&mut plain)));
                }
                out.push(Piece::Value(node, spec.to_string()));
                at += end + 1;
            }
            _ => {
                plain.push(c);
                at += c.len_utf8();
            }
        }
    }
    if !plain.is_empty() {
        out.push(Piece::Text(plain));
    }
    Ok(out)
}
