//! `cargo xtask diff`: captures of real Linux, replayed to a verdict.

use std::path::{Path, PathBuf};
use std::time::Instant;

use conformance::replay::{DiffOptions, Version, diff_capture, find_captures};
use conformance::results::{CaseResult, Status};

use crate::Outcome;
use crate::cli::DiffArgs;
use crate::error::CouldNotRun;
use crate::places::Places;
use crate::ui::{self, Ui};
use crate::{panics, pool};

pub(crate) fn run(args: &DiffArgs) -> miette::Result<Outcome> {
    let started = Instant::now();
    let places = Places::find()?;
    let mut ui = Ui::new(&args.output);
    let mut roots = args.captures.clone();
    if roots.is_empty() {
        roots = places.captures().into_iter().filter(|p| p.is_dir()).collect();
    }
    let mut work = Vec::new();
    for root in &roots {
        match find_captures(root) {
            Ok(found) => work.extend(found.into_iter().map(|m| (m, root.clone()))),
            Err(_) if !root.exists() => return Err(CouldNotRun::missing(root).into()),
            // The default folders need not hold captures.
            Err(_) if args.captures.is_empty() => {}
            Err(report) => return Err(report),
        }
    }
    let options = DiffOptions {
        version: args.kernel.as_deref().and_then(Version::from_name),
        pcap_dir: args.pcap.clone(),
    };
    ui.expect("captures", work.len() as u64);
    let shown = &ui;
    let ran = pool::run(
        super::jobs(args.jobs),
        &work,
        |(manifest, root)| one(manifest, root, &options),
        || shown.tick(),
        |ran| {
            if let Ok(case) = ran {
                shown.case(case, &again(&work, case));
            }
        },
    );
    ui.finish();
    let mut cases = Vec::new();
    let mut reports = Vec::new();
    for result in ran {
        match result {
            Ok(case) => cases.push(case),
            Err(report) => reports.push(report),
        }
    }
    if !args.keep_going && !reports.is_empty() {
        return Err(reports.remove(0));
    }
    for report in &reports {
        ui::print_error(report);
    }
    let kernel = args.kernel.as_deref().unwrap_or("of the manifests");
    super::conclude(&ui, &args.output, "diff", kernel, cases, started)
}

/// Replays one capture. A panic of the stack is the case's failure.
pub(crate) fn one(
    manifest: &Path,
    root: &Path,
    options: &DiffOptions,
) -> Result<CaseResult, miette::Report> {
    panics::caught(|| diff_capture(manifest, root, options)).unwrap_or_else(|message| {
        let id = manifest.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into());
        Ok(CaseResult::new(id, "reference").with_status(Status::Fail, message))
    })
}

/// The command that replays this capture alone.
fn again(work: &[(PathBuf, PathBuf)], case: &CaseResult) -> String {
    let path = work
        .iter()
        .map(|(manifest, _)| manifest)
        .find(|m| m.with_extension("").ends_with(&case.id))
        .map_or_else(|| case.id.clone(), |m| m.display().to_string());
    format!("cargo xtask diff {path}")
}
