//! What a reader sees of a failed run.

use std::fmt::Write;

use miette::{GraphicalReportHandler, GraphicalTheme};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::matcher::Mismatch;
use crate::results::Divergence;
use crate::script::{ScriptError, Source, Span};

/// Where a run failed, and how.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) span: Span,
    pub(crate) message: String,
    /// Number of the packet event, from 1; 0 outside of packets.
    pub(crate) frame: u64,
    pub(crate) mismatch: Mismatch,
    /// The packets side by side, the other differences.
    pub(crate) lines: Vec<String>,
    /// What happened before.
    pub(crate) history: Vec<String>,
}

impl Failure {
    pub(crate) fn divergence(&self) -> Divergence {
        let Mismatch { layer, field, expected, got } = &self.mismatch;
        Divergence {
            frame: self.frame,
            layer: (*layer).to_string(),
            field: (*field).to_string(),
            expected: expected.clone(),
            got: got.clone(),
        }
    }

    /// The report for a terminal: the script's line with its place, the packets, what happened before.
    pub(crate) fn render(&self, source: &Source) -> String {
        let mut out =
            render(&ScriptError::new(source, self.span, &self.message, &*self.mismatch.got));
        for line in &self.lines {
            let _ = writeln!(out, "  {line}");
        }
        if !self.history.is_empty() {
            let _ = writeln!(out, "  before:");
            for line in &self.history {
                let _ = writeln!(out, "    {line}");
            }
        }
        out
    }
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

/// Nanoseconds as seconds with six decimals.
pub(crate) fn seconds(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let us = ns.unsigned_abs() / 1000;
    format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Two packets one above the other, equal words in equal columns, the words that differ marked below.
pub(crate) fn aligned(expected: &str, actual: &str) -> Vec<String> {
    let (want, have) = (words(expected), words(actual));
    let (mut top, mut bottom, mut marks) =
        ("script  ".to_string(), "actual  ".to_string(), "        ".to_string());
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
    [top, bottom, marks].into_iter().map(|line| line.trim_end().to_string()).collect()
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
        let lines =
            aligned("> P. 1:1001(1000) ack 1 <nop,nop>", "> . 1:1001(1000) ack 12 <nop,nop>");
        assert_eq!(
            lines,
            [
                "script  > P. 1:1001(1000) ack 1  <nop,nop>",
                "actual  > .  1:1001(1000) ack 12 <nop,nop>",
                "          ^^                  ^^",
            ]
        );
    }

    #[test]
    fn times_have_six_decimals() {
        assert_eq!(seconds(1_500_000), "0.001500");
        assert_eq!(seconds(-2_000_001_000), "-2.000001");
    }
}
