//! What is wrong with a script, and where.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::span::{Source, Span};

/// A place in the script with what is to be said of it.
#[derive(Clone, Debug)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What.
    pub text: String,
}

/// A diagnostic about a script: a message, the places it is about, and a way out where there is one.
#[derive(Debug)]
pub struct ScriptError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    message: String,
    labels: Vec<Label>,
    help: Option<String>,
    place: String,
    line_col: (usize, usize),
    source: NamedSource<Arc<str>>,
}

impl ScriptError {
    /// An error about one place.
    pub fn new(
        source: &Source,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        ScriptError(Box::new(Inner {
            message: message.into(),
            labels: vec![Label { span, text: label.into() }],
            help: None,
            place: source.place(span),
            line_col: source.line_col(span),
            source: source.named(),
        }))
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// The same with another place.
    #[must_use]
    pub fn with_label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.0.labels.push(Label { span, text: text.into() });
        self
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// `file:line:column` of the first label.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// Line and column of the first label, both from 1.
    pub fn line_col(&self) -> (usize, usize) {
        self.0.line_col
    }

    /// Place, message and label on one line, for logs and result files.
    pub fn one_line(&self) -> String {
        match self.0.labels.first() {
            Some(label) if !label.text.is_empty() => {
                format!("{}: {}: {}", self.0.place, self.0.message, label.text)
            }
            _ => format!("{}: {}", self.0.place, self.0.message),
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ScriptError {}

impl Diagnostic for ScriptError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.0.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.0.labels.iter().map(|l| {
            LabeledSpan::new_with_span(Some(l.text.clone()).filter(|t| !t.is_empty()), l.span)
        })))
    }
}
