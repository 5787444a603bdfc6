//! Lines for a person: one a case, and a table of areas at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::evidence;
use crate::results::{CaseResult, Document, Evidence, Nic, Status, Summary, Variant};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours may be used: on a terminal, and not refused by `NO_COLOR`.
    pub color: bool,
}

impl Style {
    /// Puts the ANSI code `code` around `text` where colours may be used.
    pub fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn status(self, status: Status) -> String {
        let code = match status {
            Status::Pass => "32",
            Status::Fail | Status::Xpass => "1;31",
            Status::Xfail => "33",
            Status::Skip | Status::Unsupported => "36",
        };
        self.paint(code, &format!("{:<11}", status.word()))
    }
}

/// One line for a case: status, case with variant and attachment, time inside, reason.
pub fn case_line(case: &CaseResult, style: Style) -> String {
    let mut line = format!("{} {}", style.status(case.status), full_name(case));
    if let Some(reason) = &case.reason {
        let first = reason.lines().next().unwrap_or_default();
        let _ = write!(line, ": {first}");
    }
    line
}

/// The case with its variant and attachment, where there is a choice.
pub(super) fn full_name(case: &CaseResult) -> String {
    let mut line = case.id.clone();
    let how: Vec<&str> = [
        (case.nic != Nic::None).then(|| case.nic.word()),
        (!matches!(case.variant, Variant::None | Variant::Ipv4)).then(|| case.variant.word()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !how.is_empty() {
        let _ = write!(line, " ({})", how.join(", "));
    }
    line
}

/// The whole report of a case that somebody should look at: its line, its detail, and the command
/// that runs only this case again.
pub fn finding(case: &CaseResult, replay: &str, style: Style) -> String {
    if let Some(evidence) = &case.evidence {
        return with_evidence(case, evidence, style);
    }
    let mut text = case_line(case, style);
    text.push('\n');
    let detail = case.detail.as_deref().or(case.reason.as_deref()).unwrap_or_default();
    for line in detail.lines().skip(usize::from(case.detail.is_none())) {
        let _ = writeln!(text, "    {line}");
    }
    if let Some(divergence) = &case.divergence {
        let said = divergence.to_string();
        if !text.contains(&said) {
            let _ = writeln!(text, "    first difference: {said}");
        }
    }
    if !replay.is_empty() {
        let _ = writeln!(text, "    again: {replay}");
    }
    text
}

/// The report of a script: where it names the place itself, the first line has no reason.
fn with_evidence(case: &CaseResult, evidence: &Evidence, style: Style) -> String {
    let mut text = if evidence.place.is_some() {
        case_line(&CaseResult { reason: None, ..case.clone() }, style)
    } else {
        case_line(case, style)
    };
    text.push('\n');
    for line in evidence::text(case).unwrap_or_default().lines() {
        let marks = line.chars().all(|c| c == ' ' || c == '^');
        match line.split_at_checked(evidence::MARGIN) {
            _ if marks => _ = writeln!(text, "  {}", style.paint("1;31", line)),
            Some((name, rest)) if evidence::SECTIONS.contains(&name.trim_end()) => {
                let _ = writeln!(text, "  {}{rest}", style.paint("1", name));
            }
            _ => _ = writeln!(text, "  {line}"),
        }
    }
    text
}

/// The area of a case: its folder, or `-` where it lies in none.
pub(super) fn area(id: &str) -> &str {
    id.rsplit_once('/').map_or("-", |(folder, _)| folder)
}

/// A table with a row an area and a column a status that occurs, and the totals.
///
/// Empty when every case lies in one area: the last line says it all then.
pub fn table(cases: &[CaseResult]) -> String {
    let mut areas: BTreeMap<&str, Summary> = BTreeMap::new();
    for case in cases {
        let row = areas.entry(area(&case.id)).or_default();
        let one = Summary::of(std::slice::from_ref(case));
        *row = add(*row, one);
    }
    if areas.len() < 2 {
        return String::new();
    }
    let whole = Summary::of(cases);
    let shown: Vec<Status> =
        Status::ALL.into_iter().filter(|&s| s == Status::Pass || whole.count(s) > 0).collect();
    let width = areas.keys().map(|name| name.len()).max().unwrap_or(0).max("area".len());
    let mut text = format!("{:width$}", "area");
    for status in &shown {
        let _ = write!(text, "  {:>7}", status.word());
    }
    text.push('\n');
    for (name, row) in areas.iter().map(|(&n, &r)| (n, r)).chain([("all", whole)]) {
        let _ = write!(text, "{name:width$}");
        for &status in &shown {
            let column = status.word().len().max(7);
            match row.count(status) {
                0 => _ = write!(text, "  {:>column$}", "."),
                n => _ = write!(text, "  {n:>column$}"),
            }
        }
        text.push('\n');
    }
    text
}

fn add(a: Summary, b: Summary) -> Summary {
    Summary {
        pass: a.pass + b.pass,
        fail: a.fail + b.fail,
        xfail: a.xfail + b.xfail,
        xpass: a.xpass + b.xpass,
        skip: a.skip + b.skip,
        unsupported: a.unsupported + b.unsupported,
        wall_ms: a.wall_ms + b.wall_ms,
    }
}

/// The last line: how many cases ended how, and how long the run took.
pub fn summary_line(document: &Document, style: Style) -> String {
    let summary = document.summary;
    let counts: Vec<String> = Status::ALL
        .into_iter()
        .filter(|&status| status == Status::Pass || summary.count(status) > 0)
        .map(|status| format!("{} {}", summary.count(status), status.word()))
        .collect();
    let total = summary.total();
    let noun = if total == 1 { "case" } else { "cases" };
    let seconds = summary.wall_ms as f64 / 1000.0;
    let line =
        format!("{}: {total} {noun}: {} in {seconds:.2} s", document.command, counts.join(", "));
    style.paint(if summary.findings() == 0 { "1;32" } else { "1;31" }, &line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Divergence, Environment};

    fn case(id: &str, nic: Nic) -> CaseResult {
        CaseResult { nic, variant: Variant::Ipv4, ..CaseResult::new(id, "reference") }
    }

    #[test]
    fn a_run_reads_well_without_colours() {
        let failed = CaseResult {
            detail: Some(
                "expected  > . 1:1(0) ack 1 win 500\ngot       > . 1:1(0) ack 1 win 499".into(),
            ),
            ..case("tcp/close/fin.pkt", Nic::Tun).with_divergence(Divergence {
                frame: 4,
                layer: "tcp".into(),
                field: "window".into(),
                expected: "500".into(),
                got: "499".into(),
            })
        };
        let cases = vec![
            case("tcp/close/rst.pkt", Nic::Ftgmac100),
            failed.clone(),
            case("udp/echo.pkt", Nic::Tun).with_status(Status::Unsupported, "needs AF_INET6"),
        ];
        let document = Document::new("conformance", Environment::default(), cases, 420);
        let style = Style::default();
        let mut text = String::new();
        for case in &document.cases {
            text += &case_line(case, style);
            text.push('\n');
        }
        text += &finding(&failed, "cargo xtask conformance tcp/close/fin.pkt --nic tun", style);
        text += &table(&document.cases);
        text += &summary_line(&document, style);
        insta::assert_snapshot!(text);
    }
}
