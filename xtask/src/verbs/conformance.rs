//! `cargo xtask conformance`: packetdrill scripts.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use conformance::results::{CaseResult, KnownResults, Nic, Status, Variant};
use conformance::run::{self, RunOptions};
use conformance::script::Source;
use reference_stack::Version;

use crate::Outcome;
use crate::cli::{ConformanceArgs, IpName, NicName, TargetName};
use crate::error::{CouldNotRun, read_text};
use crate::places::Places;
use crate::selection::{self, Script};
use crate::ui::{self, Ui};
use crate::{panics, pool};

/// Reports of scripts that cannot be run which are printed whole.
const WHOLE_REPORTS: usize = 5;

pub(crate) fn run(args: &ConformanceArgs) -> miette::Result<Outcome> {
    refuse_what_is_not_built(args)?;
    let started = Instant::now();
    let places = Places::find()?;
    let scripts = selection::scripts(&places, &args.select)?;
    let mut ui = Ui::new(&args.output);
    let mut work: Vec<Job<'_>> = jobs_of(&scripts, nics(args.nic));
    if let Some(shard) = args.shard {
        let mut n = 0..;
        work.retain(|_| n.next().is_some_and(|n| shard.holds(n)));
    }
    if args.list {
        for job in &work {
            ui.print(&job.script.id);
        }
        return Ok(Outcome::AsExpected);
    }
    if let Some(folder) = &args.pcap {
        std::fs::create_dir_all(folder).map_err(CouldNotRun::io(folder, "cannot be made"))?;
    }
    let how = How {
        version: super::version(&args.kernel.kernel)?,
        twice: args.check_determinism,
        pcap: args.pcap.as_deref(),
        known: &known(&places.expected(args.target.word()))?,
        jobs: super::jobs(args.jobs),
    };
    let (cases, reports) = run_all(&mut ui, &places, &work, &how);
    let outcome =
        super::conclude(&ui, &args.output, "conformance", how.version.name(), cases, started)?;
    match could_not_run(reports) {
        Some(report) => Err(report),
        None => Ok(outcome),
    }
}

/// One script on one attachment.
pub(crate) struct Job<'a> {
    script: &'a Script,
    nic: Nic,
}

/// How scripts are run.
pub(crate) struct How<'a> {
    pub(crate) version: Version,
    /// Twice each, and the event logs must be equal.
    pub(crate) twice: bool,
    /// Where captures go.
    pub(crate) pcap: Option<&'a Path>,
    pub(crate) known: &'a KnownResults,
    pub(crate) jobs: NonZeroUsize,
}

/// The attachments that the command line means.
pub(crate) fn nics(name: NicName) -> &'static [Nic] {
    match name {
        NicName::Tun => &[Nic::Tun],
        NicName::Ftgmac100 => &[Nic::Ftgmac100],
        NicName::All => &[Nic::Tun, Nic::Ftgmac100],
    }
}

pub(crate) fn jobs_of<'a>(scripts: &'a [Script], nics: &[Nic]) -> Vec<Job<'a>> {
    scripts.iter().flat_map(|script| nics.iter().map(move |&nic| Job { script, nic })).collect()
}

/// The known results of a file; none without the file.
pub(crate) fn known(path: &Path) -> miette::Result<KnownResults> {
    if !path.exists() {
        return Ok(KnownResults::default());
    }
    let text = read_text(path)?;
    Ok(KnownResults::parse(&path.display().to_string(), &text)?)
}

/// Runs the scripts; what could not be run comes apart from the results.
pub(crate) fn run_all(
    ui: &mut Ui,
    places: &Places,
    work: &[Job<'_>],
    how: &How<'_>,
) -> (Vec<CaseResult>, Vec<miette::Report>) {
    ui.expect("scripts", work.len() as u64);
    let ui = &*ui;
    let ran = pool::run(
        how.jobs,
        work,
        |job| one(job, how),
        || ui.tick(),
        |ran| {
            if let Ok(case) = ran {
                ui.case(case, &again(places, work, case, how.version));
            }
        },
    );
    ui.finish();
    let (mut cases, mut reports) = (Vec::new(), Vec::new());
    for result in ran {
        match result {
            Ok(case) => cases.push(case),
            // A script that cannot be read is the same on every attachment: one report.
            Err((script, report)) => {
                if reports.last().is_none_or(|(last, _)| *last != script) {
                    reports.push((script, report));
                }
            }
        }
    }
    (cases, reports.into_iter().map(|(_, report)| report).collect())
}

/// The command that runs this case alone.
fn again(places: &Places, work: &[Job<'_>], case: &CaseResult, version: Version) -> String {
    let path = work
        .iter()
        .find(|job| job.script.id == case.id)
        .map_or(PathBuf::from(&case.id), |job| job.script.path.clone());
    let name = match path.strip_prefix(places.suites()) {
        Ok(below) => below.display().to_string(),
        Err(_) => path.display().to_string(),
    };
    let kernel = match version {
        Version::V5_15 => String::new(),
        other => format!(" --kernel {}", other.name()),
    };
    format!("cargo xtask conformance {name} --nic {}{kernel}", case.nic)
}

fn one(job: &Job<'_>, how: &How<'_>) -> Result<CaseResult, (PathBuf, miette::Report)> {
    let at = |report: miette::Report| (job.script.path.clone(), report);
    let text = read_text(&job.script.path).map_err(|e| at(e.into()))?;
    let started = Instant::now();
    let mut case = execute(job, &text, how, how.pcap).map_err(at)?;
    case.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if how.twice && matches!(case.status, Status::Pass | Status::Fail) {
        let second = execute(job, &text, how, None).map_err(at)?;
        case = compared(case, &second);
    }
    how.known.apply(std::slice::from_mut(&mut case));
    Ok(case)
}

/// Runs the script once. A panic of the stack is the case's failure.
fn execute(
    job: &Job<'_>,
    text: &str,
    how: &How<'_>,
    pcap: Option<&Path>,
) -> Result<CaseResult, miette::Report> {
    let Job { script, nic } = job;
    let source = Source::new(&script.path.display().to_string(), text);
    let folder = script.path.parent().unwrap_or(Path::new("."));
    let options = RunOptions {
        nic: *nic,
        version: how.version,
        seed: super::SEED,
        pcap: pcap.map(|folder| folder.join(capture_name(&script.id, *nic))),
        ..RunOptions::default()
    };
    match panics::caught(|| run::run_source(&source, &script.id, folder, &options)) {
        Ok(result) => Ok(result?),
        Err(message) => Ok(CaseResult {
            nic: *nic,
            variant: Variant::Ipv4,
            ..CaseResult::new(&script.id, "reference").with_status(Status::Fail, message)
        }),
    }
}

/// The file of a case's capture: its id with the attachment, in one folder for all.
fn capture_name(id: &str, nic: Nic) -> String {
    format!("{}.{nic}.pcap", id.trim_end_matches(".pkt").replace('/', "."))
}

/// The first run's result, unless the second differs.
fn compared(first: CaseResult, second: &CaseResult) -> CaseResult {
    let why = match (&first.event_log, &second.event_log) {
        (None, _) | (_, None) => "the target keeps no event log to compare".to_owned(),
        (Some(a), Some(b)) if a != b => {
            format!("two runs differ: their event logs are {a} and {b}")
        }
        _ if (first.status, &first.reason) != (second.status, &second.reason) => {
            format!("two runs differ: {} and {}", first.status, second.status)
        }
        _ => return first,
    };
    first.with_status(Status::Fail, why)
}

/// One report of what could not be run, after the others were printed.
pub(crate) fn could_not_run(mut reports: Vec<miette::Report>) -> Option<miette::Report> {
    let more = reports.len().saturating_sub(WHOLE_REPORTS);
    reports.truncate(WHOLE_REPORTS);
    let last = reports.pop()?;
    for report in &reports {
        ui::print_error(report);
    }
    Some(if more == 0 {
        last
    } else {
        last.wrap_err(format!("{more} more could not be run; the last one shown:"))
    })
}

fn refuse_what_is_not_built(args: &ConformanceArgs) -> Result<(), CouldNotRun> {
    if args.target != TargetName::Reference {
        return Err(CouldNotRun::NotBuiltYet {
            what: format!("--target {}", args.target.word()),
            built: "--target reference",
        });
    }
    if args.ip != IpName::Ipv4 {
        return Err(CouldNotRun::NotBuiltYet {
            what: format!("--ip {}", args.ip.word()),
            built: "--ip ipv4",
        });
    }
    Ok(())
}
