//! Scripts on real kernels: this machine's, or a user-mode Linux.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use conformance::oracle::guest::{Plan, Planned};
use conformance::oracle::uml::Uml;
use conformance::oracle::{Answer, Asked, OracleError, ask};
use conformance::results::{CaseResult, Nic, Status, Variant};

use super::conformance::{How, Job, compared};
use crate::cli::TargetName;
use crate::error::CouldNotRun;
use crate::places::Places;
use crate::pool;
use crate::ui::Ui;

/// How many scripts one boot of a user-mode Linux runs. The same scripts are always booted together, whatever the number
/// of jobs, so that the results are the same.
const A_BOOT: usize = 24;
/// How often a script is tried where time is real and the machine may be busy.
const TRIES: usize = 3;

/// Where to find the kernel that a target means.
///
/// # Errors
/// None is there, or it does not run.
pub(crate) fn asked(
    places: &Places,
    target: TargetName,
    version: &str,
    named: Option<&Path>,
) -> miette::Result<Asked> {
    if target != TargetName::Uml {
        return Ok(Asked::Machine);
    }
    let version = if version == "7.2" { "7.2" } else { "6.1" };
    let kernel = kernel(places, version, named)?;
    Ok(Asked::Uml(Uml::new(&kernel, &places.cache("uml"))?))
}

/// The command line's, that of the environment, the one that was built, or the one beside the checkout.
fn kernel(places: &Places, version: &str, named: Option<&Path>) -> miette::Result<PathBuf> {
    let variable = if version == "7.2" { "NETPLUMB_UML_7_2" } else { "NETPLUMB_UML" };
    let from_environment = std::env::var_os(variable).map(PathBuf::from);
    if let Some(path) = named.map(Path::to_owned).or(from_environment) {
        if path.is_file() {
            return Ok(path);
        }
        let help = Some(format!("named by --uml or {variable}"));
        return Err(CouldNotRun::MissingFile { path, help }.into());
    }
    let name = format!("linux-uml-{version}");
    let beside = places.root().parent().map(|p| p.join("shared/oracles").join(&name));
    [Some(places.cache("uml").join(&name)), beside]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let what = format!("there is no user-mode Linux {version}");
            let help = Some(format!(
                "`cargo xtask oracle build-uml --kernel {version}` builds one; {variable} or --uml name a ready one"
            ));
            CouldNotRun::Usage { what, help }.into()
        })
}

/// What [`run_all`] prints while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Findings, and the other cases where they are wanted.
    Cases,
    /// Nothing: the caller has its own view of them.
    None,
}

/// Runs the scripts; what could not be run comes apart from the results.
pub(crate) fn run_all(
    ui: &mut Ui,
    work: &[Job<'_>],
    how: &How<'_>,
    asked: &Asked,
    lines: Lines,
) -> miette::Result<(Vec<CaseResult>, Vec<miette::Report>)> {
    let program = std::env::current_exe()
        .map_err(CouldNotRun::io(Path::new("/proc/self/exe"), "cannot be found"))?;
    ui.expect("scripts", work.len() as u64);
    let ui = &*ui;
    let size = if matches!(asked, Asked::Uml(_)) { A_BOOT } else { 1 };
    let parts: Vec<&[Job<'_>]> = work.chunks(size).collect();
    let jobs = NonZeroUsize::max(how.jobs, NonZeroUsize::MIN);
    let ran = pool::run(
        jobs,
        &parts,
        |part| part_of(ui, part, how, asked, &program),
        || {},
        |answers| {
            for (case, _) in answers.iter().flatten().filter(|_| lines == Lines::Cases) {
                ui.case(case, "");
            }
        },
    );
    ui.finish();
    let (mut cases, mut reports) = (Vec::new(), Vec::new());
    for answers in ran {
        for (case, report) in answers? {
            cases.push(case);
            reports.extend(report.map(miette::Report::msg));
        }
    }
    Ok((cases, reports))
}

/// The row of a script that could not be run.
fn not_run(job: &Job<'_>, report: &str, asked: &Asked) -> CaseResult {
    let message = report.lines().find_map(|line| line.trim_start().strip_prefix("× "));
    let reason = message.or_else(|| report.lines().next()).unwrap_or("it could not be run");
    CaseResult {
        variant: job.variant.unwrap_or(Variant::Ipv4),
        nic: Nic::Tun,
        not_run: true,
        detail: Some(report.to_owned()),
        ..CaseResult::new(&job.script.id, asked.name()).with_status(Status::Fail, reason)
    }
}

fn part_of(
    ui: &Ui,
    part: &[Job<'_>],
    how: &How<'_>,
    asked: &Asked,
    program: &Path,
) -> Result<Vec<(CaseResult, Option<String>)>, OracleError> {
    let planned = |job: &Job<'_>| Planned {
        id: job.script.id.clone(),
        path: std::path::absolute(&job.script.path).unwrap_or_else(|_| job.script.path.clone()),
        variant: job.variant,
    };
    let plan = Plan {
        cases: part.iter().map(planned).collect(),
        defines: how.defines.clone(),
        options: how.options.clone(),
        pcap: how.pcap.is_some(),
        record: how.record,
    };
    let folder = how.pcap.unwrap_or(how.failures);
    std::fs::create_dir_all(folder)?;
    let capture = |n: usize| folder.join(super::conformance::capture_name(&part[n]));
    let captures = Some(&capture as &dyn Fn(usize) -> PathBuf);
    let started = Instant::now();
    let mut answers = ask(asked, program, &plan, captures, |_, _| ui.tick())?;
    if how.twice && matches!(asked, Asked::Uml(_)) {
        let second = ask(asked, program, &plan, None, |_, _| {})?;
        for (first, second) in answers.iter_mut().zip(&second) {
            if let (Answer::Case(first), Answer::Case(second)) = (first, second)
                && matches!(first.status, Status::Pass | Status::Fail)
            {
                **first = compared((**first).clone(), second);
            }
        }
    }
    for (n, (answer, planned)) in answers.iter_mut().zip(&plan.cases).enumerate() {
        let own = |_: usize| capture(n);
        let own = Some(&own as &dyn Fn(usize) -> PathBuf);
        let again_with = |plan: &Plan| ask(asked, program, plan, own, |_, _| {});
        let alone = Plan { cases: vec![planned.clone()], ..plan.clone() };
        match asked {
            Asked::Machine => try_again(answer, again_with, &alone, started)?,
            Asked::Uml(_) if plan.cases.len() > 1 => ask_alone(answer, asked, program, &alone)?,
            Asked::Uml(_) => {}
        }
    }
    Ok(part
        .iter()
        .zip(answers)
        .enumerate()
        .map(|(n, (job, answer))| match answer {
            Answer::Case(mut case) => {
                how.known.apply(std::slice::from_mut(&mut *case));
                if let Some(evidence) = &mut case.evidence {
                    evidence.replay = Some(again(job, asked));
                    evidence.pcap = evidence.pcap.take().map(|_| capture(n).display().to_string());
                }
                (*case, None)
            }
            Answer::Refused(report) => (not_run(job, &report, asked), Some(report)),
        })
        .collect())
}

/// In real time a failure may be the machine's: the script is tried again, and a pass says how often it was.
fn try_again(
    answer: &mut Answer,
    ask: impl Fn(&Plan) -> Result<Vec<Answer>, OracleError>,
    plan: &Plan,
    started: Instant,
) -> Result<(), OracleError> {
    for n in 2..=TRIES {
        if !matches!(answer, Answer::Case(case) if case.status == Status::Fail) {
            break;
        }
        let Some(Answer::Case(mut case)) = ask(plan)?.pop() else { break };
        if case.status == Status::Pass {
            case.reason =
                Some(format!("passed in try {n}: time is real, and the machine may be busy"));
        }
        if case.status == Status::Pass || n == TRIES {
            case.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            *answer = Answer::Case(case);
        }
    }
    Ok(())
}

/// A script that failed after others in one boot is asked again in a boot of its own, which has the last word.
fn ask_alone(
    answer: &mut Answer,
    asked: &Asked,
    program: &Path,
    alone: &Plan,
) -> Result<(), OracleError> {
    if !matches!(answer, Answer::Case(case) if case.status == Status::Fail) {
        return Ok(());
    }
    if let Some(Answer::Case(mut case)) = ask(asked, program, alone, None, |_, _| {})?.pop()
        && case.status == Status::Pass
    {
        case.reason = Some("passed in a boot of its own, and not after other scripts".to_owned());
        *answer = Answer::Case(case);
    }
    Ok(())
}

/// The command that runs this case alone.
fn again(job: &Job<'_>, asked: &Asked) -> String {
    let path = job.script.path.display();
    let mut command = format!("cargo xtask conformance {path} --target {}", asked.name());
    if let Some(variant) = job.variant {
        command.push_str(&format!(" --ip {variant}"));
    }
    if let Asked::Uml(uml) = asked {
        let version: Vec<&str> = uml.release().split('.').take(2).collect();
        command.push_str(&format!(" --kernel {}", version.join(".")));
    }
    command
}
