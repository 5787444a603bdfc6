//! The document as KTAP, the kernel's test protocol (Linux `Documentation/dev-tools/ktap.rst`).

use std::fmt::Write;

use super::{evidence, terminal};
use crate::results::{Document, Status};

/// One line a case, its report as diagnostic lines before it.
pub fn to_string(document: &Document) -> String {
    let mut out = format!("KTAP version 1\n1..{}\n", document.cases.len());
    for (number, case) in (1..).zip(&document.cases) {
        let name = format!("{} [{}]", terminal::full_name(case), case.target).replace('#', "%23");
        let reason = case.reason.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
        let (word, directive) = match case.status {
            Status::Pass => ("ok", String::new()),
            Status::Fail | Status::Xpass => ("not ok", String::new()),
            Status::Xfail => ("not ok", format!(" # XFAIL {reason}")),
            Status::Skip => ("ok", format!(" # SKIP {reason}")),
            Status::Unsupported => ("ok", format!(" # SKIP unsupported: {reason}")),
        };
        if case.status.is_finding() {
            let detail = evidence::text(case).or_else(|| case.reason.clone()).unwrap_or_default();
            for line in detail.lines() {
                let _ = writeln!(out, "# {line}");
            }
        }
        let _ = writeln!(out, "{word} {number} {name}{directive}");
    }
    out
}
