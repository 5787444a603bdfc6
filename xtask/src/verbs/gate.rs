//! `cargo xtask gate`: what CI runs. Own scripts on both attachments, the captures at hand, and
//! every input of `corpora/`, against one list of known results.

use std::path::{Path, PathBuf};
use std::time::Instant;

use conformance::fuzz;
use conformance::replay::DiffOptions;
use conformance::results::{CaseResult, KnownResult, KnownResults, Status};
use conformance::script::Defines;
use reference_stack::Version;

use super::{conformance as scripts, diff, profiles};
use crate::cli::{GateArgs, NicName, TargetName};
use crate::error::CouldNotRun;
use crate::places::Places;
use crate::ui::Ui;
use crate::{Outcome, panics, pool, selection};

/// The profile that the list of known results is for.
const KERNEL: Version = Version::V5_15;

pub(crate) fn run(args: &GateArgs) -> miette::Result<Outcome> {
    let started = Instant::now();
    let places = Places::find()?;
    let list = args.baseline.clone().unwrap_or_else(|| places.expected("reference"));
    if args.baseline.is_some() && !args.update_baseline && !list.exists() {
        return Err(CouldNotRun::missing(&list).into());
    }
    let known = scripts::known(&list)?;
    // What a rewritten list is made from is seen without the old one.
    let applied = if args.update_baseline { KnownResults::default() } else { known.clone() };
    let mut ui = Ui::new(&args.output).without_lines(args.reports.ktap);
    let mut run = Run { places: &places, args, known: &applied, cases: Vec::new() };
    let mut reports = run.scripts(&mut ui)?;
    let captures = run.captures(&mut ui)?;
    let compared = captures.is_some();
    reports.extend(captures.unwrap_or_default());
    run.corpora(&mut ui)?;
    let mut cases = run.cases;
    if let Some(report) = scripts::could_not_run(reports) {
        return Err(report);
    }
    let stale = |entry: &KnownResult| compared || entry.id.contains('/');
    if args.update_baseline {
        let mut updated = known.updated(&cases);
        let gone: Vec<KnownResult> =
            known.unused(&cases).filter(|entry| stale(entry)).cloned().collect();
        updated.known.retain(|entry| !gone.contains(entry));
        write_list(&list, &updated)?;
        ui.line(&format!("{}: {} known results", places.short(&list), updated.known.len()));
        updated.apply(&mut cases);
    } else {
        let missing: Vec<CaseResult> =
            known.unused(&cases).filter(|entry| stale(entry)).map(names_no_case).collect();
        for case in &missing {
            ui.case(case, "");
        }
        cases.extend(missing);
    }
    super::conclude(&ui, &args.output, &args.reports, "gate", KERNEL.name(), cases, started)
}

/// The parts of a gate.
struct Run<'a> {
    places: &'a Places,
    args: &'a GateArgs,
    known: &'a KnownResults,
    cases: Vec<CaseResult>,
}

impl Run<'_> {
    /// Every own script, on both attachments; those that are not true of the default kernel, on the first of theirs.
    fn scripts(&mut self, ui: &mut Ui) -> miette::Result<Vec<miette::Report>> {
        let scripts = selection::scripts(self.places, &[])?;
        let mut all = Vec::new();
        for version in Version::ALL {
            let mut work =
                scripts::jobs_of(&scripts, scripts::nics(NicName::All), scripts::variants(None));
            work.retain(|job| profiles::kernel_of(job, KERNEL) == version);
            let how = scripts::How {
                target: TargetName::Reference,
                version,
                parse_only: false,
                twice: false,
                pcap: None,
                failures: &self.places.failures(),
                record: false,
                bless: false,
                defines: Defines::new(),
                options: Vec::new(),
                known: self.known,
                jobs: super::jobs(self.args.jobs),
            };
            if !work.is_empty() {
                let (cases, reports) = scripts::run_all(ui, self.places, &work, &how);
                self.cases.extend(cases);
                all.extend(reports);
            }
        }
        Ok(all)
    }

    /// Every capture; none when there are no captures, which is said.
    fn captures(&mut self, ui: &mut Ui) -> miette::Result<Option<Vec<miette::Report>>> {
        let folders = if self.args.captures.is_empty() {
            diff::at_hand(self.places)
        } else {
            self.args.captures.clone()
        };
        if folders.is_empty() {
            ui.line("captures: not compared, there is no ../shared/pcaps and none in pcaps/");
            return Ok(None);
        }
        let work = diff::captures(&folders)?;
        let how = diff::How {
            options: DiffOptions::default(),
            jobs: super::jobs(self.args.jobs),
            keep_going: true,
        };
        let (cases, reports) =
            diff::run_all(ui, &work, &how, |case| self.known.apply(std::slice::from_mut(case)));
        self.cases.extend(cases);
        Ok(Some(reports))
    }

    /// Every input of every fuzz target, through its body.
    fn corpora(&mut self, ui: &mut Ui) -> miette::Result<()> {
        let mut work = Vec::new();
        for target in fuzz::TARGETS {
            for input in inputs(&self.places.corpus(target.name))? {
                work.push((target, input));
            }
        }
        ui.expect("corpora", work.len() as u64);
        let ui = &*ui;
        let cases = pool::run(
            super::jobs(self.args.jobs),
            &work,
            |(target, input)| self.input(target, input),
            || ui.tick(),
            |case| {
                if let Ok(case) = case {
                    let input = &case.id;
                    let target = input.split('/').nth(1).unwrap_or_default();
                    ui.case(case, &format!("cargo xtask fuzz {target} --replay {input}"));
                }
            },
        );
        ui.finish();
        for case in cases {
            self.cases.push(case?);
        }
        Ok(())
    }

    fn input(&self, target: &fuzz::FuzzTarget, path: &Path) -> Result<CaseResult, CouldNotRun> {
        let bytes = std::fs::read(path).map_err(CouldNotRun::io(path, "cannot be read"))?;
        let started = Instant::now();
        let mut case = CaseResult::new(self.places.short(path), "reference");
        if let Err(message) = panics::caught(|| (target.run)(&bytes)) {
            case = case.with_status(Status::Fail, message);
            case.detail = Some((target.describe)(&bytes));
        }
        case.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.known.apply(std::slice::from_mut(&mut case));
        Ok(case)
    }
}

/// The files of a corpus, sorted.
fn inputs(folder: &Path) -> Result<Vec<PathBuf>, CouldNotRun> {
    let unreadable = || CouldNotRun::io(folder, "cannot be listed");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable())? {
        let path = entry.map_err(unreadable())?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// An entry of the list that no case answers to.
fn names_no_case(entry: &KnownResult) -> CaseResult {
    CaseResult {
        nic: entry.nic.unwrap_or_default(),
        variant: entry.variant.unwrap_or_default(),
        ..CaseResult::new(&entry.id, "reference").with_status(
            Status::Fail,
            "the list of known results names it, but there is no such case",
        )
    }
}

/// Writes the list under the comment that the file starts with.
fn write_list(path: &Path, list: &KnownResults) -> Result<(), CouldNotRun> {
    let old = std::fs::read_to_string(path).unwrap_or_default();
    let mut text: String = old
        .lines()
        .take_while(|line| line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    if !list.known.is_empty() {
        text.push('\n');
        text.push_str(&list.to_toml());
    }
    std::fs::write(path, text).map_err(CouldNotRun::io(path, "cannot be written"))
}
