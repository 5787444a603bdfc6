//! `cargo xtask conformance`: packetdrill scripts.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use conformance::report::matrix;
use conformance::results::{CaseResult, Evidence, KnownResults, Nic, Status, Variant};
use conformance::run::{self, RunError, RunOptions};
use conformance::script::{Defines, Source};
use conformance::target::smoltcp::Smoltcp;
use reference_stack::Version;

use super::{profiles, real};
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
    let started = Instant::now();
    let places = Places::find()?;
    let targets = targets(args);
    let scripts = selection::scripts(&places, &args.select)?;
    let mut ui = Ui::new(&args.output).without_lines(args.reports.ktap);
    if args.bless {
        can_bless(args, &targets)?;
    }
    if args.list {
        for job in &work_of(args, targets[0], &scripts) {
            ui.print(&job.name());
        }
        return Ok(Outcome::AsExpected);
    }
    if let Some(folder) = &args.pcap {
        std::fs::create_dir_all(folder).map_err(CouldNotRun::io(folder, "cannot be made"))?;
    }
    let (mut cases, mut reports, mut kernels) = (Vec::new(), Vec::new(), Vec::new());
    for &target in &targets {
        let ran = on_target(args, target, &scripts, &places, &mut ui)?;
        cases.extend(ran.cases);
        reports.extend(ran.reports);
        kernels.push(ran.kernel);
    }
    kernels.dedup();
    if args.matrix {
        ui.finish();
        ui.print(&matrix::table(&cases, args.output.verbose));
    }
    let (command, kernel) = ("conformance", kernels.join(","));
    let outcome =
        super::conclude(&ui, &args.output, &args.reports, command, &kernel, cases, started)?;
    match could_not_run(reports) {
        Some(report) => Err(report),
        None => Ok(outcome),
    }
}

/// A script can be rewritten from one run of it alone.
fn can_bless(args: &ConformanceArgs, targets: &[TargetName]) -> Result<(), CouldNotRun> {
    let usage = |what: &str, help: &str| {
        Err(CouldNotRun::Usage { what: what.to_owned(), help: Some(help.to_owned()) })
    };
    if targets != [TargetName::Reference] {
        return usage("--bless is for --target reference", "what it does is repeatable");
    }
    if nics(args.nic).len() > 1 || variants(args.ip).len() > 1 {
        return usage(
            "--bless needs one run of each script",
            "name one attachment by --nic and one IP version by --ip",
        );
    }
    Ok(())
}

/// The targets that the command line means, each once.
fn targets(args: &ConformanceArgs) -> Vec<TargetName> {
    let mut targets: Vec<TargetName> = Vec::new();
    let other = (args.matrix && args.target.len() == 1).then_some(TargetName::Uml);
    for target in args.target.iter().copied().chain(other) {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}

/// This part of the scripts, as the target runs them.
fn work_of<'a>(args: &ConformanceArgs, target: TargetName, scripts: &'a [Script]) -> Vec<Job<'a>> {
    let nics = match target {
        TargetName::Linux | TargetName::Uml => &[Nic::Tun],
        TargetName::Smoltcp => &[Nic::None],
        TargetName::Reference => nics(args.nic),
    };
    let mut work = jobs_of(scripts, nics, variants(args.ip));
    if let Some(shard) = args.shard {
        let mut n = 0..;
        work.retain(|_| n.next().is_some_and(|n| shard.holds(n)));
    }
    work
}

/// What the scripts came to on one target.
struct Ran {
    cases: Vec<CaseResult>,
    /// What could not be run.
    reports: Vec<miette::Report>,
    kernel: String,
}

fn on_target(
    args: &ConformanceArgs,
    target: TargetName,
    scripts: &[Script],
    places: &Places,
    ui: &mut Ui,
) -> miette::Result<Ran> {
    let work = work_of(args, target, scripts);
    let version = super::version(&args.kernel.kernel)?;
    let of_kernel = format!("{}-{}", target.word(), version.name());
    let listed = known(&places.expected(target.word()))?.with(known(&places.expected(&of_kernel))?);
    let how = How {
        target,
        version,
        parse_only: args.parse_only,
        twice: args.check_determinism,
        pcap: args.pcap.as_deref(),
        failures: &places.failures(),
        record: args.output.verbose,
        bless: args.bless,
        defines: args.defines.iter().cloned().collect(),
        options: args.tool.0.clone(),
        known: &listed,
        jobs: super::jobs(args.jobs),
    };
    let real_kernel = matches!(target, TargetName::Linux | TargetName::Uml) && !args.parse_only;
    let asked = match real_kernel {
        true => Some(real::asked(places, target, how.version.name(), args.uml.as_deref())?),
        false => None,
    };
    let kernel = asked.as_ref().map_or(how.version.name().to_owned(), |asked| asked.release());
    let (work, skipped) = match args.parse_only {
        true => (work, Vec::new()),
        false => profiles::apart(work, target, &kernel),
    };
    let (mut cases, reports) = match &asked {
        Some(asked) => real::run_all(ui, &work, &how, asked, real::Lines::Cases)?,
        None => run_all(ui, places, &work, &how),
    };
    if !skipped.is_empty() {
        cases.extend(skipped);
        cases.sort_by(|a, b| a.id.cmp(&b.id));
    }
    Ok(Ran { cases, reports, kernel })
}

/// One script on one attachment, in one IP version.
pub(crate) struct Job<'a> {
    pub(super) script: &'a Script,
    pub(super) nic: Nic,
    /// `None`: what the script says.
    pub(super) variant: Option<Variant>,
}

impl Job<'_> {
    fn name(&self) -> String {
        match self.variant {
            None => self.script.id.clone(),
            Some(variant) => format!("{} ({variant})", self.script.id),
        }
    }
}

/// How scripts are run.
#[derive(Clone)]
pub(crate) struct How<'a> {
    pub(crate) target: TargetName,
    pub(crate) version: Version,
    /// They are only read.
    pub(crate) parse_only: bool,
    /// Twice each, and the event logs must be equal.
    pub(crate) twice: bool,
    /// Where captures go.
    pub(crate) pcap: Option<&'a Path>,
    /// Where those of runs that fail go, if they have no other place.
    pub(crate) failures: &'a Path,
    /// Events and state are wanted of what passes too.
    pub(crate) record: bool,
    /// Scripts that fail and are not known to are rewritten.
    pub(crate) bless: bool,
    /// The command line's `-D`.
    pub(crate) defines: Defines,
    /// The command line's options of upstream's tool.
    pub(crate) options: Vec<(String, Option<String>)>,
    pub(crate) known: &'a KnownResults,
    pub(crate) jobs: NonZeroUsize,
}

/// The attachments that the command line means.
pub(crate) fn nics(name: NicName) -> &'static [Nic] {
    match name {
        NicName::Tun => &[Nic::Tun],
        NicName::Tap => &[Nic::Tap],
        NicName::Ftgmac100 => &[Nic::Ftgmac100],
        NicName::All => &[Nic::Tun, Nic::Ftgmac100],
    }
}

/// The IP versions that the command line means.
pub(crate) fn variants(name: Option<IpName>) -> &'static [Option<Variant>] {
    match name {
        None => &[None],
        Some(IpName::Ipv4) => &[Some(Variant::Ipv4)],
        Some(IpName::Ipv4MappedIpv6) => &[Some(Variant::Ipv4MappedIpv6)],
        Some(IpName::Ipv6) => &[Some(Variant::Ipv6)],
        Some(IpName::All) => {
            &[Some(Variant::Ipv4), Some(Variant::Ipv4MappedIpv6), Some(Variant::Ipv6)]
        }
    }
}

/// Every script on every attachment in every IP version that it takes part in.
pub(crate) fn jobs_of<'a>(
    scripts: &'a [Script],
    nics: &[Nic],
    variants: &[Option<Variant>],
) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for script in scripts {
        for &variant in variants {
            if variant.is_some_and(|variant| !run::applies(variant, &script.id)) {
                continue;
            }
            jobs.extend(nics.iter().map(|&nic| Job { script, nic, variant }));
        }
    }
    jobs
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
        |job| one(places, job, how),
        || ui.tick(),
        |(case, _)| ui.case(case, ""),
    );
    ui.finish();
    let (mut cases, mut reports) = (Vec::new(), Vec::new());
    for (case, report) in ran {
        // A script that cannot be read is the same on every attachment: one report.
        if let Some(report) = report
            && reports.last().is_none_or(|(last, _)| *last != case.id)
        {
            reports.push((case.id.clone(), report));
        }
        cases.push(case);
    }
    (cases, reports.into_iter().map(|(_, report)| report).collect())
}

/// The command that runs this case alone.
fn again(places: &Places, job: &Job<'_>, how: &How<'_>) -> String {
    let path = &job.script.path;
    let name = path.strip_prefix(places.suites()).unwrap_or(path).display();
    let mut command = format!("cargo xtask conformance {name} --nic {}", job.nic);
    if let Some(variant) = job.variant {
        let _ = write!(command, " --ip {variant}");
    }
    if how.version != Version::V5_15 {
        let _ = write!(command, " --kernel {}", how.version.name());
    }
    for (name, value) in &how.defines {
        let _ = write!(command, " -D '{name}={value}'");
    }
    for (name, value) in &how.options {
        let value = value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
        let _ = write!(command, " --{name}{value}");
    }
    command
}

/// Runs the script: its result, and the report if it could not be run.
fn one(places: &Places, job: &Job<'_>, how: &How<'_>) -> (CaseResult, Option<miette::Report>) {
    let started = Instant::now();
    let ran = read_text(&job.script.path)
        .map_err(|error| NotRun { reason: error.to_string(), evidence: None, report: error.into() })
        .and_then(|text| repeated(job, &text, how));
    let (mut case, report) = match ran {
        Ok(mut case) => {
            how.known.apply(std::slice::from_mut(&mut case));
            match blessed(job, case, how) {
                Ok(case) => (case, None),
                Err(NotRun { reason, report, .. }) => (not_run(job, reason, None), Some(report)),
            }
        }
        Err(NotRun { reason, evidence, report }) => (not_run(job, reason, evidence), Some(report)),
    };
    case.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if let Some(evidence) = &mut case.evidence {
        evidence.replay = Some(again(places, job, how));
        evidence.pcap = evidence.pcap.take().map(|path| places.short(Path::new(&path)));
    }
    (case, report)
}

/// The row of a script that could not be run.
fn not_run(job: &Job<'_>, reason: String, evidence: Option<Box<Evidence>>) -> CaseResult {
    CaseResult {
        nic: job.nic,
        variant: job.variant.unwrap_or(Variant::Ipv4),
        not_run: true,
        evidence,
        ..CaseResult::new(&job.script.id, "reference").with_status(Status::Fail, reason)
    }
}

/// The case after its script was rewritten, where that is wanted and it fails.
fn blessed(job: &Job<'_>, case: CaseResult, how: &How<'_>) -> Result<CaseResult, NotRun> {
    if !how.bless || case.status != Status::Fail {
        return Ok(case);
    }
    let path = &job.script.path;
    let failed = |error: CouldNotRun| NotRun {
        reason: error.to_string(),
        evidence: None,
        report: error.into(),
    };
    let text = read_text(path).map_err(failed)?;
    let recorded = How { record: true, ..how.clone() };
    let blessed = run::bless(&text, |text| execute(job, text, &recorded, None))?;
    if blessed.changes == 0 {
        return Ok(case);
    }
    std::fs::write(path, &blessed.text)
        .map_err(|error| failed(CouldNotRun::io(path, "cannot be written")(error)))?;
    let changes = blessed.changes;
    let noun = if changes == 1 { "change" } else { "changes" };
    let reason = match blessed.case.reason {
        Some(reason) => format!("{reason} (after {changes} {noun} of the script)"),
        None => format!("blessed: {changes} {noun}"),
    };
    // What passes now has nothing more to tell.
    let evidence = blessed.case.evidence.filter(|_| blessed.case.status == Status::Fail);
    Ok(CaseResult { reason: Some(reason), evidence, ..blessed.case })
}

/// Why a script could not be run.
struct NotRun {
    /// In one line.
    reason: String,
    evidence: Option<Box<Evidence>>,
    report: miette::Report,
}

impl From<RunError> for NotRun {
    fn from(error: RunError) -> Self {
        NotRun {
            reason: error.one_line(),
            evidence: error.evidence().map(Box::new),
            report: error.into(),
        }
    }
}

/// Runs the script, twice where that is wanted.
fn repeated(job: &Job<'_>, text: &str, how: &How<'_>) -> Result<CaseResult, NotRun> {
    let started = Instant::now();
    let mut case = execute(job, text, how, how.pcap)?;
    case.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if how.twice && matches!(case.status, Status::Pass | Status::Fail) {
        let second = execute(job, text, how, None)?;
        case = compared(case, &second);
    }
    Ok(case)
}

/// Runs the script once. A panic of the stack is the case's failure.
fn execute(
    job: &Job<'_>,
    text: &str,
    how: &How<'_>,
    pcap: Option<&Path>,
) -> Result<CaseResult, NotRun> {
    let Job { script, nic, variant } = job;
    let source = Source::new(&script.path.display().to_string(), text);
    let folder = script.path.parent().unwrap_or(Path::new("."));
    let options = RunOptions {
        nic: *nic,
        version: how.version,
        seed: super::SEED,
        variant: *variant,
        defines: how.defines.clone(),
        options: how.options.clone(),
        pcap: pcap.map(|folder| folder.join(capture_name(job))),
        failure_pcap: Some(how.failures.join(capture_name(job))),
        record: how.record,
        ..RunOptions::default()
    };
    if how.parse_only {
        return Ok(run::read_source(&source, &script.id, &options));
    }
    let on_target = || match how.target {
        TargetName::Smoltcp => run::run_on(&source, &script.id, folder, &options, |addresses| {
            Smoltcp::new(addresses, options.pcap.is_some())
        }),
        _ => run::run_source(&source, &script.id, folder, &options),
    };
    match panics::caught(on_target) {
        Ok(result) => Ok(result?),
        Err(message) => Ok(CaseResult {
            nic: *nic,
            variant: variant.unwrap_or(Variant::Ipv4),
            ..CaseResult::new(&script.id, how.target.word()).with_status(Status::Fail, message)
        }),
    }
}

/// The file of a case's capture: its id with variant and attachment, in one folder for all.
pub(super) fn capture_name(job: &Job<'_>) -> String {
    let id = job.script.id.trim_end_matches(".pkt").replace('/', ".");
    match job.variant {
        None => format!("{id}.{}.pcap", job.nic),
        Some(variant) => format!("{id}.{variant}.{}.pcap", job.nic),
    }
}

/// The first run's result, unless the second differs.
pub(super) fn compared(first: CaseResult, second: &CaseResult) -> CaseResult {
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
