//! Scripts in one layout, comments kept: what `cargo xtask fmt` writes.
//!
//! It works on tokens and not on the syntax tree, so that names of defines, the way numbers are written, comments and
//! line breaks inside an event stay. A statement (option, command, event) begins a line; its further lines are indented
//! by how many brackets are open; blanks between tokens follow `spacing`; runs of empty lines become one.

mod spacing;

#[cfg(test)]
mod tests;

use std::iter::Peekable;

use super::ast::Script;
use super::error::ScriptError;
use super::lexer::{Tok, Token, lex};
use super::parser::{Defines, parse};
use super::span::{Source, Span};
use spacing::Spacing;

/// Indentation of a statement's further lines, and what each open bracket adds.
const INDENT: usize = 4;

/// The script in the common layout. `defines` are those that it needs to be parsed; their names stay as they are.
///
/// # Errors
/// What is wrong with the script: only a whole one has a layout.
pub fn format(source: &Source, defines: &Defines) -> Result<String, ScriptError> {
    let script = parse(source, defines)?;
    let lexed = lex(source)?;
    let mut writer = Writer {
        source,
        statements: statements(&script).into_iter().peekable(),
        out: String::with_capacity(source.text().len() + 64),
        last: None,
        spacing: None,
        line_comment: false,
    };
    let mut comments = lexed.comments.iter().copied().peekable();
    for token in &lexed.tokens {
        while let Some(comment) = comments.next_if(|c| c.start < token.span.start) {
            writer.comment(comment);
        }
        if token.tok != Tok::End {
            writer.token(token);
        }
    }
    comments.for_each(|comment| writer.comment(comment));
    writer.out.push('\n');
    let text = if writer.last.is_some() { writer.out } else { String::new() };
    check(source, &script, &text, defines)?;
    Ok(text)
}

/// The spans of the script's statements, in order.
fn statements(script: &Script) -> Vec<Span> {
    let mut spans: Vec<Span> = script.options.iter().map(|o| o.span).collect();
    spans.extend(script.init.as_ref().map(|c| c.span));
    spans.extend(script.events.iter().map(|e| e.span));
    spans.extend(script.cleanup.as_ref().map(|c| c.span));
    spans
}

/// The formatted text says the same. A difference would be a mistake of this module, and better refused than written.
fn check(
    source: &Source,
    script: &Script,
    text: &str,
    defines: &Defines,
) -> Result<(), ScriptError> {
    let same =
        parse(&Source::new(source.name(), text), defines).is_ok_and(|again| again == *script);
    if same {
        return Ok(());
    }
    let whole = Span::new(0, 0);
    Err(ScriptError::new(source, whole, "the layout of this script cannot be changed safely", ""))
}

struct Writer<'a> {
    source: &'a Source,
    /// Those that have not begun.
    statements: Peekable<std::vec::IntoIter<Span>>,
    out: String,
    /// The end of the last token or comment.
    last: Option<u32>,
    /// The statement at hand.
    spacing: Option<(Span, Spacing<'a>)>,
    /// Whether the last piece is a comment up to the line's end.
    line_comment: bool,
}

impl<'a> Writer<'a> {
    fn token(&mut self, token: &Token<'a>) {
        let starts = self.statements.next_if(|s| s.start == token.span.start);
        let text = self.source.slice(token.span);
        if let Some(span) = starts {
            self.break_line(token.span, 0);
            self.spacing = Some((span, Spacing::new(token)));
        } else {
            let breaks = self.line_comment || self.newlines_before(token.span) > 0;
            let Some((_, spacing)) = &mut self.spacing else { return };
            let blank = spacing.next(token, self.last == Some(token.span.start));
            let glued = spacing.is_option() && !self.line_comment;
            let depth = spacing.depth();
            if breaks && !glued {
                self.new_line(INDENT + INDENT * depth);
            } else if blank {
                self.out.push(' ');
            }
        }
        self.out.push_str(text);
        self.last = Some(token.span.end);
        self.line_comment = false;
    }

    fn comment(&mut self, span: Span) {
        let text = self.source.slice(span).trim_end();
        let inside = self.spacing.as_ref().is_some_and(|(s, _)| span.start < s.end);
        let own_line = self.line_comment || self.newlines_before(span) > 0 || self.last.is_none();
        match (own_line, inside) {
            (true, true) => {
                let depth = self.spacing.as_ref().map_or(0, |(_, s)| s.open());
                self.new_line(INDENT + INDENT * depth);
            }
            (true, false) => self.break_line(span, 0),
            (false, _) => self.out.push(' '),
        }
        self.out.push_str(text);
        self.last = Some(span.end);
        self.line_comment = !text.starts_with("/*");
    }

    /// Line breaks between the last piece and `span`.
    fn newlines_before(&self, span: Span) -> usize {
        let gap = Span { start: self.last.unwrap_or(0), end: span.start };
        self.source.slice(gap).bytes().filter(|b| *b == b'\n').count()
    }

    /// A new line, after an empty one if there were some.
    fn break_line(&mut self, span: Span, indent: usize) {
        if self.last.is_none() {
            return;
        }
        if self.newlines_before(span) > 1 {
            self.out.push('\n');
        }
        self.new_line(indent);
    }

    fn new_line(&mut self, indent: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
    }
}
