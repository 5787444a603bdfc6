//! `cargo xtask oracle held`: our scripts against real kernels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use conformance::oracle::Asked;
use conformance::oracle::held::{Answers, Claim, List, corrected, findings};
use conformance::results::{CaseResult, KnownResults, Nic, Status};
use reference_stack::Version;
use serde::Serialize;

use crate::Outcome;
use crate::cli::{HeldArgs, TargetName};
use crate::error::{CouldNotRun, read_text};
use crate::places::Places;
use crate::selection::{self, Script};
use crate::ui::Ui;
use crate::verbs::conformance::{How, jobs_of};
use crate::verbs::{jobs, real, write_json};

/// The list, below the suites' folder.
const LIST: &str = "HELD-AGAINST.tsv";

pub(crate) fn run(args: &HeldArgs) -> miette::Result<Outcome> {
    let started = Instant::now();
    let places = Places::find()?;
    let scripts = selection::scripts(&places, &args.select)?;
    let mut ui = Ui::new(&args.output);
    let mut answers: BTreeMap<String, Answers> = BTreeMap::new();
    let mut kernels = Vec::new();
    for word in &args.against {
        let asked = match whom(&places, word) {
            Ok(asked) => asked,
            Err(report) => {
                ui.line(&format!("{word}: not asked: {report}"));
                continue;
            }
        };
        let name = name(&asked);
        ui.line(&format!("asking {name} ({})", asked.release()));
        let cases = ask(args, &mut ui, &scripts, &asked)?;
        for case in cases {
            answers.entry(case.id.clone()).or_default().insert(name.clone(), case);
        }
        for script in &scripts {
            // One that cannot be run has been reported.
            let refused =
                || CaseResult::new(&script.id, word).with_status(Status::Fail, "it cannot be run");
            answers
                .entry(script.id.clone())
                .or_default()
                .entry(name.clone())
                .or_insert_with(refused);
        }
        kernels.push(format!("{name} is {}", asked.release()));
    }
    if kernels.is_empty() {
        let what = "none of these kernels is here".to_owned();
        return Err(CouldNotRun::Usage { what, help: None }.into());
    }
    let mut found = Vec::new();
    for script in &scripts {
        let answers = answers.remove(&script.id).unwrap_or_default();
        found.push(Held::of(script, answers, args.write)?);
    }
    if args.write {
        write_list(&places.suites(), &found, &kernels)?;
    }
    report(args, &ui, &found);
    ui.line(&format!("{} scripts in {} ms", found.len(), started.elapsed().as_millis()));
    write_json(&args.output, &found)?;
    Ok(Outcome::found(found.iter().any(|held| !held.findings.is_empty())))
}

/// The kernel of a word of the command line.
fn whom(places: &Places, word: &str) -> miette::Result<Asked> {
    match word.strip_prefix("uml-") {
        Some(version) => real::asked(places, TargetName::Uml, version, None),
        None => real::asked(places, TargetName::Linux, "", None),
    }
}

/// What heads call it: `uml-6.1`, `linux-6.18`.
fn name(asked: &Asked) -> String {
    let release = asked.release();
    let version: Vec<&str> = release.split('.').take(2).collect();
    let kind = if matches!(asked, Asked::Machine) { "linux" } else { "uml" };
    format!("{kind}-{}", version.join("."))
}

/// Runs every script once (in real time up to three times).
fn ask(
    args: &HeldArgs,
    ui: &mut Ui,
    scripts: &[Script],
    asked: &Asked,
) -> miette::Result<Vec<CaseResult>> {
    let known = KnownResults::default();
    let places = Places::find()?;
    let how = How {
        target: TargetName::Uml,
        version: Version::V6_1,
        parse_only: false,
        twice: false,
        pcap: None,
        failures: &places.failures(),
        record: false,
        bless: false,
        defines: Default::default(),
        options: Vec::new(),
        known: &known,
        jobs: jobs(args.jobs),
    };
    let work = jobs_of(scripts, &[Nic::Tun], &[None]);
    let (cases, reports) = real::run_all(ui, &work, &how, asked, real::Lines::None)?;
    for report in reports {
        ui.print(&format!("{report:?}"));
    }
    Ok(cases)
}

/// A script, what it claims, and what was answered.
#[derive(Debug, Serialize)]
struct Held {
    id: String,
    claim: String,
    answers: BTreeMap<String, Status>,
    findings: Vec<String>,
    #[serde(skip)]
    cases: Answers,
}

impl Held {
    fn of(script: &Script, cases: Answers, correct: bool) -> miette::Result<Held> {
        let text = read_text(&script.path)?;
        let mut claim = Claim::of(&text);
        if correct {
            claim = corrected(&claim, &cases);
            let new = claim.write(&text);
            if new != text {
                std::fs::write(&script.path, new)
                    .map_err(CouldNotRun::io(&script.path, "cannot be written"))?;
            }
        }
        Ok(Held {
            id: script.id.clone(),
            claim: match &claim {
                Claim::Passes(names) => names.iter().cloned().collect::<Vec<_>>().join(", "),
                Claim::Nowhere(reason) => format!("none: {reason}"),
                Claim::Missing => String::new(),
            },
            answers: cases.iter().map(|(name, case)| (name.clone(), case.status)).collect(),
            findings: findings(&claim, &cases).iter().map(ToString::to_string).collect(),
            cases,
        })
    }

    fn line(&self) -> String {
        let answers: Vec<String> =
            self.answers.iter().map(|(name, status)| format!("{name} {status}")).collect();
        format!("{}: {}", self.id, answers.join(", "))
    }
}

fn report(args: &HeldArgs, ui: &Ui, found: &[Held]) {
    for held in found {
        if args.output.verbose {
            ui.line(&held.line());
        }
        for finding in &held.findings {
            ui.print(&format!("{}: {finding}", held.id));
        }
        if let Some(reason) = held.claim.strip_prefix("none") {
            ui.line(&format!("{}: on no kernel{reason}", held.id));
        }
    }
    let mut counts: BTreeMap<(&str, Status), usize> = BTreeMap::new();
    for (name, status) in found.iter().flat_map(|held| &held.answers) {
        *counts.entry((name, *status)).or_default() += 1;
    }
    for ((name, status), count) in counts {
        ui.line(&format!("{name}: {count} {status}"));
    }
}

fn write_list(suites: &Path, found: &[Held], kernels: &[String]) -> miette::Result<()> {
    let path: PathBuf = suites.join(LIST);
    let mut list = if path.exists() { List::parse(&read_text(&path)?) } else { List::default() };
    for held in found {
        list.set(&held.id, &held.cases);
    }
    list.keep(|id| suites.join(id).is_file());
    let mut head = vec![
        "What our scripts come to on real kernels; written by `cargo xtask oracle held --write`.".to_owned(),
        "uml: user-mode Linux, HZ=1000, virtual time. linux: this machine's kernel, real time, up to three tries.".to_owned(),
        format!("Of the last run: {}.", kernels.join(", ")),
    ];
    head.push("'-': not asked.".to_owned());
    std::fs::write(&path, list.text(&head)).map_err(CouldNotRun::io(&path, "cannot be written"))?;
    Ok(())
}
