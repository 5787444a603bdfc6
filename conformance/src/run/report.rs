//! What a reader sees of a failed run.

use std::fmt::Write;

use miette::{GraphicalReportHandler, GraphicalTheme};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::matcher::Mismatch;
pub(crate) use crate::report::evidence::seconds;
use crate::results::{Divergence, Edit, Evidence, Packets, Place, Timing};
use crate::script::{ScriptError, Source, Span};

/// Where a run failed, and how.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    pub(crate) span: Span,
    pub(crate) message: String,
    /// What is said at the place itself.
    pub(crate) label: String,
    /// Number of the packet event, from 1; 0 outside of packets.
    pub(crate) frame: u64,
    /// The differences, the first one first.
    pub(crate) differences: Vec<Mismatch>,
    /// The packets side by side.
    pub(crate) packets: Option<Packets>,
    pub(crate) timing: Option<Timing>,
    pub(crate) notes: Vec<String>,
    /// What would make it pass.
    pub(crate) edits: Vec<Edit>,
}

impl Failure {
    /// The first difference.
    pub(crate) fn divergence(&self) -> Option<Divergence> {
        self.differences.first().map(|first| self.named(first))
    }

    fn named(&self, mismatch: &Mismatch) -> Divergence {
        let Mismatch { layer, field, expected, got } = mismatch;
        Divergence {
            frame: self.frame,
            layer: (*layer).to_string(),
            field: (*field).to_string(),
            expected: expected.clone(),
            got: got.clone(),
        }
    }

    /// What is known of the failure itself.
    pub(crate) fn evidence(self, source: &Source) -> Evidence {
        let differences = self.differences.iter().map(|m| self.named(m)).collect();
        Evidence {
            place: Some(place(source, self.span, &self.message, &self.label)),
            packets: self.packets,
            differences,
            timing: self.timing,
            notes: self.notes,
            edits: self.edits,
            ..Evidence::default()
        }
    }
}

/// A place of a script, with its lines and a message.
fn place(source: &Source, span: Span, message: &str, label: &str) -> Place {
    let (line, column) = source.line_col(span);
    Place {
        file: source.name().to_owned(),
        line,
        column,
        text: source.slice(span).to_owned(),
        excerpt: render(&ScriptError::new(source, span, message, label)),
    }
}

/// The place of an error with its report.
pub(crate) fn error_evidence(error: &ScriptError) -> Evidence {
    let (line, column) = error.line_col();
    let file = error.place().rsplitn(3, ':').nth(2).unwrap_or_default().to_owned();
    let place = Place { file, line, column, text: String::new(), excerpt: render(error) };
    Evidence { place: Some(place), ..Evidence::default() }
}

/// A diagnostic as text, without colours.
pub(crate) fn render(error: &ScriptError) -> String {
    let mut out = String::new();
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(120);
    if handler.render_report(&mut out, error).is_err() {
        out = error.one_line();
    }
    out
}

/// Two packets one above the other, equal words in equal columns, the words that differ marked below.
pub(crate) fn aligned(expected: &str, actual: &str) -> Packets {
    let (want, have) = (words(expected), words(actual));
    let (mut top, mut bottom, mut marks) = (String::new(), String::new(), String::new());
    let mut column = |a: &str, b: &str, differ: bool| {
        let width = a.chars().count().max(b.chars().count());
        let _ = write!(top, "{a:<width$}");
        let _ = write!(bottom, "{b:<width$}");
        let _ = write!(
            marks,
            "{:<width$}",
            if differ { "^".repeat(width.saturating_sub(1).max(1)) } else { String::new() }
        );
    };
    for op in capture_diff_slices(Algorithm::Myers, &want, &have) {
        match op {
            DiffOp::Equal { old_index, len, .. } => {
                (old_index..old_index + len).for_each(|at| column(&want[at], &want[at], false));
            }
            DiffOp::Delete { old_index, old_len, .. } => {
                (old_index..old_index + old_len).for_each(|at| column(&want[at], "", true));
            }
            DiffOp::Insert { new_index, new_len, .. } => {
                (new_index..new_index + new_len).for_each(|at| column("", &have[at], true));
            }
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                for at in 0..old_len.max(new_len) {
                    let part = |list: &[String], from: usize, len: usize| {
                        if at < len { list[from + at].clone() } else { String::new() }
                    };
                    column(
                        &part(&want, old_index, old_len),
                        &part(&have, new_index, new_len),
                        true,
                    );
                }
            }
        }
    }
    let [script, actual, marks] = [top, bottom, marks].map(|line| line.trim_end().to_string());
    Packets { script, actual: vec![actual], marks }
}

/// Words with the space or comma behind them.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive([' ', ','])
        .map(|w| if w.ends_with([' ', ',']) { w.to_string() } else { format!("{w} ") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_stand_in_columns() {
        let packets =
            aligned("> P. 1:1001(1000) ack 1 <nop,nop>", "> . 1:1001(1000) ack 12 <nop,nop>");
        assert_eq!(packets.script, "> P. 1:1001(1000) ack 1  <nop,nop>");
        assert_eq!(packets.actual, ["> .  1:1001(1000) ack 12 <nop,nop>"]);
        assert_eq!(packets.marks, "  ^^                  ^^");
    }
}
