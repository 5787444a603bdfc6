//! `cargo xtask diff`: captures of real Linux against the reference.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use conformance::replay::{self, DiffOptions, Input};
use conformance::report::html;
use conformance::results::{CaseResult, Status};

use super::conformance::could_not_run;
use crate::Outcome;
use crate::cli::{DiffArgs, Reports};
use crate::error::CouldNotRun;
use crate::places::Places;
use crate::ui::Ui;
use crate::{panics, pool};

pub(crate) fn run(args: &DiffArgs) -> miette::Result<Outcome> {
    let started = Instant::now();
    let places = Places::find()?;
    let version = args.kernel.as_deref().map(super::version).transpose()?;
    if let Some(folder) = &args.pcap {
        std::fs::create_dir_all(folder).map_err(CouldNotRun::io(folder, "cannot be made"))?;
    }
    let named = if args.captures.is_empty() { at_hand(&places) } else { args.captures.clone() };
    if named.is_empty() {
        return Err(CouldNotRun::Usage {
            what: "there are no captures at hand".to_owned(),
            help: Some("name a capture or a folder: `cargo xtask diff DIR`".to_owned()),
        }
        .into());
    }
    let work = captures(&named)?;
    let mut ui = Ui::new(&args.output).with_every_line();
    let how = How {
        options: DiffOptions {
            version,
            pcap_dir: args.pcap.clone(),
            keep_going: args.keep_going,
            story: args.html.is_some(),
            input: Input {
                no_strace: args.no_strace,
                strace: args.strace.clone(),
                mac: args.mac.clone(),
                addresses: args.addr.clone(),
                sysctls: args.sysctl.clone(),
                kernel: args.kernel.clone(),
            },
        },
        jobs: super::jobs(args.jobs),
        keep_going: args.keep_going,
    };
    let (cases, reports) = run_all(&mut ui, &work, &how, |_| {});
    let kernel = args.kernel.as_deref().unwrap_or("as in the manifests");
    if let Some(file) = &args.html {
        let document = super::document("diff", kernel, cases.clone(), started);
        html::write(&document, file).map_err(CouldNotRun::io(file, "cannot be written"))?;
    }
    if !cases.is_empty() || reports.is_empty() {
        let outcome = super::conclude(
            &ui,
            &args.output,
            &Reports::default(),
            "diff",
            kernel,
            cases,
            started,
        )?;
        if reports.is_empty() {
            return Ok(outcome);
        }
    }
    could_not_run(reports).map_or(Ok(Outcome::AsExpected), Err)
}

/// One capture, by its manifest, below a folder that was named.
pub(crate) struct Capture {
    manifest: PathBuf,
    root: PathBuf,
}

/// How captures are compared.
pub(crate) struct How {
    pub(crate) options: DiffOptions,
    pub(crate) jobs: NonZeroUsize,
    /// Whether a capture that cannot be read stops the others.
    pub(crate) keep_going: bool,
}

/// The folders of captures that are there.
pub(crate) fn at_hand(places: &Places) -> Vec<PathBuf> {
    let holds = |folder: &PathBuf| folder.is_dir() && replay::find_captures(folder).is_ok();
    places.captures().into_iter().filter(holds).collect()
}

/// The captures that paths name.
pub(crate) fn captures(named: &[PathBuf]) -> miette::Result<Vec<Capture>> {
    let mut work = Vec::new();
    for path in named {
        if !path.exists() {
            return Err(CouldNotRun::missing(path).into());
        }
        for manifest in replay::find_captures(path)? {
            work.push(Capture { manifest, root: path.clone() });
        }
    }
    Ok(work)
}

/// Compares the captures; `adjust` sees each result before it is shown. What could not be
/// compared comes apart from the results.
pub(crate) fn run_all(
    ui: &mut Ui,
    work: &[Capture],
    how: &How,
    adjust: impl Fn(&mut CaseResult) + Sync,
) -> (Vec<CaseResult>, Vec<miette::Report>) {
    ui.expect("captures", work.len() as u64);
    let ui = &*ui;
    let stop = AtomicBool::new(false);
    let ran = pool::run(
        how.jobs,
        work,
        |capture| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let mut result = one(capture, how);
            match &mut result {
                Ok(case) => adjust(case),
                Err(_) => stop.store(!how.keep_going, Ordering::Relaxed),
            }
            Some((result, &capture.manifest))
        },
        || ui.tick(),
        |ran| {
            if let Some((Ok(case), manifest)) = ran {
                ui.case(case, &format!("cargo xtask diff {}", manifest.display()));
            }
        },
    );
    ui.finish();
    let (mut cases, mut reports) = (Vec::new(), Vec::new());
    for (result, _) in ran.into_iter().flatten() {
        match result {
            Ok(case) => cases.push(case),
            Err(report) => reports.push(report),
        }
    }
    (cases, reports)
}

fn one(capture: &Capture, how: &How) -> miette::Result<CaseResult> {
    let Capture { manifest, root } = capture;
    match panics::caught(|| replay::diff_capture(manifest, root, &how.options)) {
        Ok(result) => result,
        Err(message) => {
            let id = id(manifest, root);
            Ok(CaseResult::new(id, "reference").with_status(Status::Fail, message))
        }
    }
}

/// The name that the differ gives, for a capture whose replay panicked.
fn id(manifest: &Path, root: &Path) -> String {
    let below = manifest.strip_prefix(root).ok().filter(|path| !path.as_os_str().is_empty());
    let below = below.or_else(|| manifest.file_name().map(Path::new)).unwrap_or(manifest);
    below.with_extension("").display().to_string()
}
