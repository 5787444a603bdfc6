//! Cases by targets: the same script asked of several stacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::terminal;
use crate::results::{CaseResult, Status};

/// A row a case and a column a target; the rows on which the targets do not agree are marked, and only they are listed
/// unless `all` rows are wanted.
pub fn table(cases: &[CaseResult], all: bool) -> String {
    let targets: BTreeSet<&str> = cases.iter().map(|case| case.target.as_str()).collect();
    let mut rows: BTreeMap<String, BTreeMap<&str, Status>> = BTreeMap::new();
    for case in cases {
        // Attachments of several targets are not the same thing: a target has one column for all of its.
        let row = rows.entry(name(case)).or_default();
        let status = row.entry(&case.target).or_insert(case.status);
        *status = worse(*status, case.status);
    }
    let shown: Vec<_> = rows.iter().filter(|(_, row)| all || !agree(row, &targets)).collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("case".len());
    let mut out = format!("  {:width$}", "case");
    for target in &targets {
        let _ = write!(out, "  {target:>11}");
    }
    out.push('\n');
    for (name, row) in &shown {
        let mark = if agree(row, &targets) { ' ' } else { '!' };
        let _ = write!(out, "{mark} {name:width$}");
        for target in &targets {
            let word = row.get(target).map_or("-", |status| status.word());
            let _ = write!(out, "  {word:>11}");
        }
        out.push('\n');
    }
    let agreed = rows.values().filter(|row| agree(row, &targets)).count();
    let _ =
        writeln!(out, "{agreed} of {} cases are alike on {} targets", rows.len(), targets.len());
    out
}

fn name(case: &CaseResult) -> String {
    terminal::full_name(&CaseResult { nic: Default::default(), ..case.clone() })
}

/// Whether the known failures of one target count does not matter here: it fails.
fn agree(row: &BTreeMap<&str, Status>, targets: &BTreeSet<&str>) -> bool {
    let passes = |status: &Status| matches!(status, Status::Pass | Status::Xpass);
    let mut outcomes = row.values().map(passes);
    let first = outcomes.next();
    row.len() == targets.len() && outcomes.all(|outcome| Some(outcome) == first)
}

/// The one of two results of a target that says more against it.
fn worse(a: Status, b: Status) -> Status {
    let rank = |status: Status| match status {
        Status::Pass => 0,
        Status::Xpass => 1,
        Status::Skip => 2,
        Status::Unsupported => 3,
        Status::Xfail => 4,
        Status::Fail => 5,
    };
    if rank(b) > rank(a) { b } else { a }
}
