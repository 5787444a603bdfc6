//! The document as JUnit XML, for CI servers.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{evidence, terminal};
use crate::results::{CaseResult, Document, Status};

/// The document as XML: a suite an area, a test a case. What is known to fail and what the target lacks count as skipped.
///
/// # Errors
///
/// None that a document can cause; the serializer's signature has one.
pub fn to_string(document: &Document) -> io::Result<String> {
    let mut report = Report::new(format!("netplumb {}", document.command));
    report.set_time(Duration::from_millis(document.summary.wall_ms));
    let mut suites: BTreeMap<String, TestSuite> = BTreeMap::new();
    for case in &document.cases {
        let area = format!("{}.{}", case.target, terminal::area(&case.id).replace('/', "."));
        let suite = suites.entry(area.clone()).or_insert_with(|| TestSuite::new(area.clone()));
        let mut test = TestCase::new(terminal::full_name(case), status(case));
        test.set_classname(area).set_time(Duration::from_micros(case.wall_us));
        suite.add_test_case(test);
    }
    report.add_test_suites(suites.into_values());
    report.to_string().map_err(io::Error::other)
}

fn status(case: &CaseResult) -> TestCaseStatus {
    let reason = case.reason.clone().unwrap_or_default();
    let mut status = match case.status {
        Status::Pass => return TestCaseStatus::success(),
        _ if case.not_run => TestCaseStatus::non_success(NonSuccessKind::Error),
        Status::Fail | Status::Xpass => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Status::Xfail | Status::Skip | Status::Unsupported => TestCaseStatus::skipped(),
    };
    status.set_message(format!("{}: {reason}", case.status)).set_type(case.status.word());
    if let Some(detail) = evidence::text(case).filter(|_| case.status.is_finding()) {
        status.set_description(detail);
    }
    status
}

/// Writes the document to `path`.
///
/// # Errors
///
/// Those of writing the file.
pub fn write(document: &Document, path: &Path) -> io::Result<()> {
    std::fs::write(path, to_string(document)?)
}
