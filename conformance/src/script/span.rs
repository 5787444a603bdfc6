//! Places in a script.

use std::sync::Arc;

use miette::{NamedSource, SourceSpan};

/// A range of bytes in a script's text.
///
/// All spans compare equal: two syntax trees are equal when they say the same, wherever in the text they say it.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Span {
    /// The span of `start..end`; texts are limited to 4 GiB by [`Source::new`]'s callers.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Span {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }

    /// The byte `at` bytes after the span's start.
    pub(crate) fn byte(self, at: usize) -> Self {
        let start = self.start.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
        Span { start, end: start.saturating_add(1) }
    }

    /// From the start of `self` to the end of `other`.
    pub(crate) fn to(self, other: Span) -> Self {
        Span { start: self.start, end: other.end.max(self.start) }
    }
}

impl From<Span> for SourceSpan {
    fn from(s: Span) -> Self {
        (s.start as usize, s.end.saturating_sub(s.start) as usize).into()
    }
}

/// A script's name and text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

impl Source {
    /// A source called `name`, as error reports show it.
    pub fn new(name: &str, text: &str) -> Self {
        Source { name: name.into(), text: text.into() }
    }

    /// The name given to [`Source::new`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty where the span does not lie in this source.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Line and column of a span's start, both counted from 1, the column in characters.
    pub fn line_col(&self, span: Span) -> (usize, usize) {
        let before = self.text.get(..(span.start as usize).min(self.text.len())).unwrap_or("");
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[start..].chars().count() + 1)
    }

    /// `name:line:column` of a span.
    pub fn place(&self, span: Span) -> String {
        let (line, col) = self.line_col(span);
        format!("{}:{line}:{col}", self.name)
    }

    pub(crate) fn named(&self) -> NamedSource<Arc<str>> {
        NamedSource::new(&*self.name, self.text.clone())
    }
}
