//! The verbs, a module each.

pub(crate) mod boot;
pub(crate) mod capture;
pub(crate) mod conformance;
pub(crate) mod diff;
pub(crate) mod fmt;
pub(crate) mod fuzz;
pub(crate) mod gate;
pub(crate) mod guest;
pub(crate) mod oracle;
mod profiles;
mod real;
pub(crate) mod record;
pub(crate) mod trace;
pub(crate) mod workload;

use std::num::NonZeroUsize;
use std::time::Instant;

use ::conformance::report::{json, junit, ktap};
use ::conformance::results::{CaseResult, Document, Environment};

use reference_stack::Version;

use crate::Outcome;
use crate::cli::{Output, Reports};
use crate::error::CouldNotRun;
use crate::ui::Ui;

/// One thread a core, unless the command line says otherwise.
fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// Ends a run: the document, the table, the file, the exit code.
fn conclude(
    ui: &Ui,
    output: &Output,
    reports: &Reports,
    command: &str,
    kernel: &str,
    cases: Vec<CaseResult>,
    started: Instant,
) -> miette::Result<Outcome> {
    let document = document(command, kernel, cases, started);
    ui.summary(&document);
    if let Some(path) = &output.json {
        json::write(&document, path).map_err(CouldNotRun::io(path, "cannot be written"))?;
    }
    if let Some(path) = &reports.junit {
        junit::write(&document, path).map_err(CouldNotRun::io(path, "cannot be written"))?;
    }
    if reports.ktap {
        ui.document(&ktap::to_string(&document));
    }
    Ok(Outcome::found(document.summary.findings() > 0))
}

/// The document of a run.
fn document(command: &str, kernel: &str, cases: Vec<CaseResult>, started: Instant) -> Document {
    let environment = Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: kernel.to_owned(),
        seed: SEED,
    };
    let wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Document::new(command, environment, cases, wall_ms)
}

/// The kernel version of a command line, which has checked the name.
fn version(name: &str) -> Result<Version, CouldNotRun> {
    Version::from_name(name).ok_or_else(|| CouldNotRun::Usage {
        what: format!("there is no profile of kernel {name}"),
        help: None,
    })
}

/// Writes the JSON file of a verb whose result is no list of cases.
fn write_json(output: &Output, value: &impl serde::Serialize) -> Result<(), CouldNotRun> {
    let Some(path) = &output.json else { return Ok(()) };
    let failed = || CouldNotRun::io(path, "cannot be written");
    let mut text =
        serde_json::to_string_pretty(value).map_err(|e| failed()(std::io::Error::other(e)))?;
    text.push('\n');
    std::fs::write(path, text).map_err(failed())
}

/// Seed of the reference's generator: the same in every run.
const SEED: u64 = 1;
