//! `cargo xtask record`: a capture as scripts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use conformance::replay::{self, Input, Recorded};
use conformance::results::{CaseResult, Nic, Status};
use conformance::run::{self, RunOptions};
use conformance::script::Source;

use crate::Outcome;
use crate::cli::{RecordArgs, Reports};
use crate::error::CouldNotRun;
use crate::places::Places;
use crate::ui::Ui;

pub(crate) fn run(args: &RecordArgs) -> miette::Result<Outcome> {
    let started = Instant::now();
    let places = Places::find()?;
    let named = args.manifest.as_ref().unwrap_or(&args.capture);
    for path in [&args.capture, named] {
        if !path.is_file() {
            return Err(CouldNotRun::missing(path).into());
        }
    }
    let input = Input { strace: args.strace.clone(), ..Input::default() };
    let recorded = replay::record(named, &input)?;
    let ui = Ui::new(&args.output).with_every_line();
    let kernel = recorded.first().map(|script| script.kernel.clone()).unwrap_or_default();
    let mut cases = Vec::new();
    for (n, script) in recorded.iter().enumerate() {
        let path = place(args, script, n, recorded.len());
        if path.exists() && !args.force {
            return Err(CouldNotRun::Usage {
                what: format!("{} is there already", path.display()),
                help: Some("--force overwrites it, --out FILE names another one".to_owned()),
            }
            .into());
        }
        std::fs::write(&path, &script.text).map_err(CouldNotRun::io(&path, "cannot be written"))?;
        let case = tried(&places, script, &path)?;
        if let Some(divergence) = &script.divergence {
            ui.line(&format!("{}: the capture is not reproduced: {divergence}", path.display()));
        }
        ui.case(&case, "");
        cases.push(case);
    }
    super::conclude(&ui, &args.output, &Reports::default(), "record", &kernel, cases, started)
}

/// Where the `n`-th of `count` scripts goes.
fn place(args: &RecordArgs, script: &Recorded, n: usize, count: usize) -> PathBuf {
    let Some(out) = &args.out else { return PathBuf::from(format!("{}.pkt", script.id)) };
    if count == 1 {
        return out.clone();
    }
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}-{}.pkt", n + 1))
}

/// The script on the reference, as its head says to run it.
fn tried(places: &Places, script: &Recorded, path: &Path) -> miette::Result<CaseResult> {
    let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let options = RunOptions {
        nic: Nic::Tap,
        version: super::version(&script.kernel)?,
        seed: super::SEED,
        failure_pcap: Some(places.failures().join(&id).with_extension("pcap")),
        ..RunOptions::default()
    };
    let source = Source::new(&path.display().to_string(), &script.text);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut case = run::run_source(&source, &id, folder, &options)?;
    let again =
        format!("cargo xtask conformance {} --nic tap --kernel {}", path.display(), script.kernel);
    if let Some(evidence) = &mut case.evidence {
        evidence.replay = Some(again.clone());
    }
    if case.status == Status::Pass {
        case.reason = Some(format!("recorded; again: {again}"));
    }
    Ok(case)
}
