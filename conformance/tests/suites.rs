//! Every script of ours on both attachments, a test each: what fails has to be on the list of known results, and what is on
//! the list has to fail.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::results::{KnownResults, Nic};
use conformance::run::{CaseId, RunOptions, discover, profiles, run_file};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let suites = crate_dir.join("suites");
    let scripts = match discover(std::slice::from_ref(&suites), &suites) {
        Ok(scripts) => scripts,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let trials = scripts.iter().flat_map(|script| {
        [Nic::Tun, Nic::Ftgmac100].map(|nic| {
            let script = script.clone();
            Trial::test(format!("{nic}::{}", script.id), move || case(&script, nic))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn known() -> Result<KnownResults, Failed> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected/reference.toml");
    let text = std::fs::read_to_string(&path)?;
    Ok(KnownResults::parse(&path.display().to_string(), &text)?)
}

fn case(script: &CaseId, nic: Nic) -> Result<(), Failed> {
    let defaults = RunOptions::default();
    // On the default kernel, or the first that the script is true of.
    let kernels = profiles(&std::fs::read_to_string(&script.path)?);
    let other = kernels.filter(|kernels| !kernels.contains(&defaults.version));
    let version = other.and_then(|kernels| kernels.first().copied()).unwrap_or(defaults.version);
    let options = RunOptions { nic, version, ..defaults };
    let mut case = run_file(&script.path, &options)?;
    case.id.clone_from(&script.id);
    known()?.apply(std::slice::from_mut(&mut case));
    if !case.status.is_finding() {
        return Ok(());
    }
    let report = conformance::report::evidence::text(&case).unwrap_or_default();
    let reason = case.reason.unwrap_or_default();
    Err(Failed::from(format!("{}: {reason}\n{report}", case.status)))
}
