//! `cargo xtask fuzz`: libFuzzer over the targets of `fuzz/`, on stable Rust.
//!
//! Coverage instrumentation is LLVM's SanitizerCoverage pass, which stable rustc has and runs
//! when told so by flags (docs/decisions/0004). The flags go to this build alone, in its own
//! target folder, and with `--target` they stay off build scripts and procedural macros.

mod libfuzzer;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use conformance::fuzz::{self, FuzzTarget};
use conformance::report::terminal;
use conformance::results::{CaseResult, Status};

use crate::Outcome;
use crate::cli::{FuzzArgs, Reports};
use crate::error::CouldNotRun;
use crate::panics;
use crate::places::Places;
use crate::ui::Ui;
use libfuzzer::{Ended, Session, Tally};

/// What makes rustc instrument: counters at every edge, and their table.
const SANCOV: [&str; 4] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
];

/// With it libFuzzer sees every comparison, and tries the values that inputs are compared with.
/// Structured inputs have few magic values, and the calls cost half of the speed.
const COMPARES: &str = "-Cllvm-args=-sanitizer-coverage-trace-compares";

/// What else a fuzzing build has: checks that a release build leaves out.
const CHECKS: [&str; 3] = ["--cfg=fuzzing", "-Cdebug-assertions=yes", "-Coverflow-checks=yes"];

pub(crate) fn run(args: &FuzzArgs) -> miette::Result<Outcome> {
    let places = Places::find()?;
    let mut ui = Ui::new(&args.output);
    if args.list {
        for target in fuzz::TARGETS {
            ui.print(&format!("{:<12} {}", target.name, target.about));
        }
        return Ok(Outcome::AsExpected);
    }
    let targets = chosen(&args.targets)?;
    if let Some(input) = &args.replay {
        return replay(&ui, &targets, input);
    }
    if args.write_seeds {
        for target in targets {
            write_seeds(&places, &ui, target)?;
        }
        return Ok(Outcome::AsExpected);
    }
    let started = Instant::now();
    let mut cases = Vec::new();
    for target in targets {
        ui.line(&format!("building {} with coverage counters", target.name));
        let program = build(&places, target, args.compares)?;
        let case = one(&places, &mut ui, args, target, &program)?;
        ui.print_case(&case, target);
        cases.push(case);
    }
    super::conclude(&ui, &args.output, &Reports::default(), "fuzz", "5.15", cases, started)
}

fn chosen(names: &[String]) -> Result<Vec<&'static FuzzTarget>, CouldNotRun> {
    if names.is_empty() {
        return Ok(fuzz::TARGETS.iter().collect());
    }
    names.iter().map(|name| known(name)).collect()
}

fn known(name: &str) -> Result<&'static FuzzTarget, CouldNotRun> {
    fuzz::TARGETS.iter().find(|target| target.name == name).ok_or_else(|| {
        let names: Vec<&str> = fuzz::TARGETS.iter().map(|target| target.name).collect();
        CouldNotRun::Usage {
            what: format!("there is no fuzz target `{name}`"),
            help: Some(format!("there is: {}", names.join(", "))),
        }
    })
}

/// Runs one input through the body in this process, and says what it holds.
fn replay(ui: &Ui, targets: &[&FuzzTarget], input: &Path) -> miette::Result<Outcome> {
    let [target] = targets else {
        return Err(CouldNotRun::Usage {
            what: "--replay runs one input through one target".to_owned(),
            help: Some("name the target: `cargo xtask fuzz wire_rx --replay FILE`".to_owned()),
        }
        .into());
    };
    let bytes = std::fs::read(input).map_err(CouldNotRun::io(input, "cannot be read"))?;
    ui.line((target.describe)(&bytes).trim_end());
    match panics::caught(|| (target.run)(&bytes)) {
        Ok(()) => {
            ui.line(&format!("{}: {} passes", target.name, input.display()));
            Ok(Outcome::AsExpected)
        }
        Err(message) => {
            ui.print(&format!("{}: {}: {message}", target.name, input.display()));
            Ok(Outcome::Finding)
        }
    }
}

fn write_seeds(places: &Places, ui: &Ui, target: &FuzzTarget) -> Result<(), CouldNotRun> {
    let folder = places.corpus(target.name);
    std::fs::create_dir_all(&folder).map_err(CouldNotRun::io(&folder, "cannot be made"))?;
    let seeds = (target.seeds)();
    for (name, input) in &seeds {
        let path = folder.join(name);
        std::fs::write(&path, input).map_err(CouldNotRun::io(&path, "cannot be written"))?;
    }
    ui.line(&format!("{}: {} seeds in {}", target.name, seeds.len(), places.short(&folder)));
    Ok(())
}

/// Builds the target's program, instrumented, and returns its path.
fn build(places: &Places, target: &FuzzTarget, compares: bool) -> Result<PathBuf, CouldNotRun> {
    let host = host_triple()?;
    let folder = places.target().join(if compares { "fuzz-compares" } else { "fuzz" });
    let mut flags: OsString = std::env::var_os("RUSTFLAGS").unwrap_or_default();
    for flag in CHECKS.iter().chain(&SANCOV).chain(compares.then_some(&COMPARES)) {
        flags.push(" ");
        flags.push(flag);
    }
    let status = Command::new(cargo())
        .current_dir(places.root())
        .args(["build", "--quiet", "--release", "--package", "netplumb-fuzz", "--bin", target.name])
        .args(["--target", &host])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", flags)
        // The pass runs a module at a time; link-time optimization would move code behind it.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "4")
        .stdin(Stdio::null())
        .status()
        .map_err(|e| program("cargo", e.to_string(), None))?;
    if !status.success() {
        return Err(program(
            "cargo build",
            "the instrumented build failed, see above".to_owned(),
            Some("libFuzzer needs a C++ compiler: is `c++` there?".to_owned()),
        ));
    }
    Ok(folder.join(host).join("release").join(target.name))
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn program(name: &str, what: String, help: Option<String>) -> CouldNotRun {
    CouldNotRun::Program { program: name.to_owned(), what, help }
}

fn host_triple() -> Result<String, CouldNotRun> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .map_err(|e| program("rustc", e.to_string(), None))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| program("rustc -vV", "names no host".to_owned(), None))
}

/// Fuzzes one target for its time.
fn one(
    places: &Places,
    ui: &mut Ui,
    args: &FuzzArgs,
    target: &FuzzTarget,
    program: &Path,
) -> Result<CaseResult, CouldNotRun> {
    let seeds = places.corpus(target.name);
    let grown =
        if args.into_corpora { seeds.clone() } else { places.cache("corpora").join(target.name) };
    let artifacts = places.root().join("fuzz/artifacts").join(target.name);
    for folder in [&seeds, &grown, &artifacts] {
        std::fs::create_dir_all(folder).map_err(CouldNotRun::io(folder, "cannot be made"))?;
    }
    let session = Session {
        program: program.to_owned(),
        // libFuzzer writes what is new into the first.
        corpora: if grown == seeds { vec![seeds] } else { vec![grown, seeds] },
        artifacts,
        time: args.time,
        seed: args.seed,
        jobs: args.jobs,
        max_len: target.max_len,
    };
    ui.expect(target.name, args.time.as_secs());
    let started = Instant::now();
    let mut last_line = Instant::now();
    let (tally, ended) = session.run(|tally| {
        let seconds = started.elapsed().as_secs();
        ui.show(seconds, format!("{}: {}", target.name, tally.line(seconds)));
        if !ui.has_bar() && last_line.elapsed().as_secs() >= 10 {
            last_line = Instant::now();
            ui.line(&format!("{} {seconds} s: {}", target.name, tally.line(seconds)));
        }
    })?;
    ui.finish();
    Ok(result(places, target, started, &tally, ended))
}

fn result(
    places: &Places,
    target: &FuzzTarget,
    started: Instant,
    tally: &Tally,
    ended: Ended,
) -> CaseResult {
    let elapsed = started.elapsed();
    let mut case = CaseResult {
        wall_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        ..CaseResult::new(target.name, "reference")
    };
    match ended {
        Ended::Time => case.with_status(Status::Pass, tally.line(elapsed.as_secs())),
        Ended::Crash { what, artifact, output } => {
            let mut detail = output;
            if let Some(path) = &artifact {
                detail += &format!("\nkept in {}", places.short(path));
            }
            case.detail = Some(detail);
            case.with_status(Status::Fail, what)
        }
    }
}

impl Ui {
    fn print_case(&self, case: &CaseResult, target: &FuzzTarget) {
        let kept = case.detail.as_deref().and_then(|d| d.rsplit_once("\nkept in ")).map(|d| d.1);
        let again = kept.map_or_else(String::new, |path| {
            format!("cargo xtask fuzz {} --replay {path}", target.name)
        });
        if case.status == Status::Pass {
            self.line(&terminal::case_line(case, self.style()));
        } else {
            self.case(case, &again);
        }
    }
}
