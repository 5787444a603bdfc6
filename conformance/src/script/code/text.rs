//! Values as text: `%`, `.format()` and `f''`.

use super::super::span::Span;
use super::eval::{CodeError, MAX_LEN, Value, error};

/// The widest a value is made.
const MAX_WIDTH: usize = 256;

/// Zeros between sign and digits.
fn zeros(number: &str, width: usize) -> String {
    match number.strip_prefix('-') {
        Some(digits) => format!("-{digits:0>0$}", width.saturating_sub(1)),
        None => format!("{number:0>width$}"),
    }
}

/// `'{} {0} {:5d}'.format(values)`
pub(super) fn format_braces(text: &str, values: &[Value], span: Span) -> Result<String, CodeError> {
    let mut out = String::new();
    let mut rest = text;
    let (mut next, mut numbered) = (0, false);
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let end = after.find('}').filter(|_| brace == "{");
        let Some(end) = end else { return Err(error(span, "a single brace in a format")) };
        let (which, spec) = after[..end].split_once(':').unwrap_or((&after[..end], ""));
        let index = if which.is_empty() { Some(next) } else { which.parse::<usize>().ok() };
        if which.is_empty() {
            next += 1;
        } else {
            numbered = true;
        }
        if numbered && next > 0 {
            return Err(error(span, "a format has numbers in all of its braces or in none"));
        }
        let Some(index) = index else {
            return Err(error(span, format!("the format's `{{{which}}}` is not supported")));
        };
        let Some(value) = values.get(index) else {
            return Err(error(span, "the format wants more values than there are"));
        };
        out.push_str(&with_spec(value, spec, span)?);
        if out.len() > MAX_LEN {
            return Err(error(span, "the formatted string is too long"));
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// A value by `[<>^][0][width][d x X o b s]`.
pub(super) fn with_spec(value: &Value, spec: &str, span: Span) -> Result<String, CodeError> {
    let unknown = || error(span, format!("the format `{spec}` is not supported"));
    let (align, rest) = match spec.chars().next() {
        Some(c @ ('<' | '>' | '^')) => (Some(c), &spec[1..]),
        _ => (None, spec),
    };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (digits, kind) = rest.split_at(digits);
    let width: usize = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| unknown())? };
    if width > MAX_WIDTH {
        return Err(error(span, "the format is too wide"));
    }
    let int = || {
        value.int().ok_or_else(|| error(span, format!("the format `{spec}` of {}", value.kind())))
    };
    let piece = match kind {
        "" | "s" => value.to_string(),
        "d" => int()?.to_string(),
        "x" => radix(int()?, |n| format!("{n:x}")),
        "X" => radix(int()?, |n| format!("{n:X}")),
        "o" => radix(int()?, |n| format!("{n:o}")),
        "b" => radix(int()?, |n| format!("{n:b}")),
        _ => return Err(unknown()),
    };
    let number = kind != "s" && value.int().is_some() && !matches!(value, Value::Bool(_));
    Ok(match align {
        None if digits.starts_with('0') && number => zeros(&piece, width),
        Some('<') => format!("{piece:<width$}"),
        Some('^') => format!("{piece:^width$}"),
        Some(_) => format!("{piece:>width$}"),
        None if number => format!("{piece:>width$}"),
        None => format!("{piece:<width$}"),
    })
}

/// Python writes a sign before the digits, whatever the base.
fn radix(n: i128, digits: impl Fn(u128) -> String) -> String {
    let sign = if n < 0 { "-" } else { "" };
    format!("{sign}{}", digits(n.unsigned_abs()))
}

/// `'text %d' % values`: `%d %i %u %x %X %o %s %r %%`, with `-` and `0` flags and a width.
pub(super) fn format_percent(text: &str, values: &Value, span: Span) -> Result<String, CodeError> {
    let single = [values.clone()];
    let mut values = match values {
        Value::List(list) => list.iter(),
        _ => single.iter(),
    };
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (mut left, mut zero, mut width) = (false, false, 0usize);
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '0')) {
            left |= flag == '-';
            zero |= flag == '0';
        }
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            width = (width * 10 + digit as usize - '0' as usize).min(256);
        }
        let Some(kind) = chars.next() else {
            return Err(error(span, "`%` at the end of a format"));
        };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = values
            .next()
            .ok_or_else(|| error(span, "the format wants more values than there are"))?;
        let int =
            || value.int().ok_or_else(|| error(span, format!("`%{kind}` of {}", value.kind())));
        let piece = match kind {
            'd' | 'i' | 'u' => int()?.to_string(),
            'x' => radix(int()?, |n| format!("{n:x}")),
            'X' => radix(int()?, |n| format!("{n:X}")),
            'o' => radix(int()?, |n| format!("{n:o}")),
            's' => value.to_string(),
            'r' => value.repr(),
            _ => return Err(error(span, format!("the format `%{kind}` is not supported"))),
        };
        out.push_str(&match (left, zero) {
            (true, _) => format!("{piece:<width$}"),
            (false, true) => zeros(&piece, width),
            (false, false) => format!("{piece:>width$}"),
        });
        if out.len() > MAX_LEN {
            return Err(error(span, "the formatted string is too long"));
        }
    }
    if values.next().is_some() {
        return Err(error(span, "the format wants fewer values than there are"));
    }
    Ok(out)
}
