//! The side that runs the cases of a plan.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::leftovers::Shared;
use crate::results::{CaseResult, Status, Variant};
use crate::run::{RunOptions, run_on};
use crate::script::{Defines, Source};
use crate::target::linux::{Host, Linux, SHELL_FUNCTIONS};

/// The file of a plan in its folder.
pub(super) const PLAN: &str = "plan.json";
/// The file of the answers.
pub(super) const ANSWERS: &str = "answers.jsonl";
/// What a guest's shells read first.
const FUNCTIONS: &str = include_str!("guest.sh");
/// How long a guest waits after a script, in its virtual time, for a namespace to go.
const GOING: Duration = Duration::from_millis(500);
/// Where a guest of a user-mode kernel finds the plan's folder.
const FOLDER: &str = "/tmp/.plan";
/// Where it finds the host's files below /tmp, which it covers.
const HOST_TMP: &str = "/tmp/.host";

const EBUSY: host_sys::Errno = host_sys::Errno(16);

/// What to run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The cases, in this order.
    pub cases: Vec<Planned>,
    /// `-D NAME=value`
    pub defines: Defines,
    /// `--name=value`
    pub options: Vec<(String, Option<String>)>,
    /// Whether each case leaves a capture.
    pub pcap: bool,
    /// Whether events and state are wanted of what passes too.
    #[serde(default)]
    pub record: bool,
}

/// A case of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Planned {
    /// Its id in results.
    pub id: String,
    /// The script, absolute.
    pub path: PathBuf,
    /// The IP version that is asked for.
    pub variant: Option<Variant>,
}

/// A line of the answers; cases by their place in the plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    /// A case begins.
    Start(usize),
    /// It was run.
    Case {
        /// Which.
        n: usize,
        /// How it ended.
        case: Box<CaseResult>,
        /// Its report, which is no part of a result document.
        detail: Option<String>,
    },
    /// It could not be run: the script is wrong.
    Refused {
        /// Which.
        n: usize,
        /// The whole report.
        report: String,
    },
    /// All are done, or the kernel is no longer as it was.
    End,
}

/// The name of a case's capture in the plan's folder.
pub(super) fn capture(n: usize) -> String {
    format!("{n}.pcap")
}

/// Runs the plan in `folder`. As process number 1, which it is in a user-mode kernel, it sets the machine up first and
/// switches it off in the end. `caught` runs a case so that a panic comes back as its message.
///
/// # Errors
/// The plan cannot be read or the answers not be written.
pub fn run(
    folder: &Path,
    caught: impl Fn(&dyn Fn() -> Outcome) -> Result<Outcome, String>,
) -> io::Result<()> {
    let first = std::process::id() == 1;
    let folder = if first { set_up(folder)? } else { folder.to_owned() };
    let result = answer(&folder, if first { Host::UserMode } else { Host::Machine }, caught);
    if first {
        if let Err(error) = &result {
            eprintln!("guest: {error}");
        }
        host_sys::power_off()?;
    }
    result
}

/// An answer without its place in the plan.
#[derive(Debug)]
pub struct Outcome(Result<CaseResult, String>);

fn answer(
    folder: &Path,
    host: Host,
    caught: impl Fn(&dyn Fn() -> Outcome) -> Result<Outcome, String>,
) -> io::Result<()> {
    let plan: Plan = serde_json::from_reader(File::open(folder.join(PLAN))?)?;
    let mut answers = OpenOptions::new().append(true).create(true).open(folder.join(ANSWERS))?;
    let mut put = |line: &Line| -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        answers.write_all(text.as_bytes())
    };
    let before = Shared::read(host == Host::UserMode);
    for (n, planned) in plan.cases.iter().enumerate() {
        put(&Line::Start(n))?;
        let pcap = folder.join(capture(n));
        let outcome = caught(&|| Outcome(case(&plan, planned, host, &pcap)));
        let left = left_behind(&before, host);
        put(&match outcome {
            Ok(Outcome(Ok(mut case))) => {
                let detail = case.detail.take();
                if let (Status::Pass, Some(left)) = (case.status, left.first()) {
                    case.reason = Some(format!("left behind in the kernel: {left}"));
                }
                Line::Case { n, case: Box::new(case), detail }
            }
            Ok(Outcome(Err(report))) => Line::Refused { n, report },
            Err(panic) => Line::Refused { n, report: format!("{}: {panic}", planned.id) },
        })?;
        // The next script gets a kernel without what this one left.
        if !left.is_empty() {
            break;
        }
    }
    put(&Line::End)
}

/// What a script left in the kernel, a line each. A machine gets its values back.
fn left_behind(before: &Shared, host: Host) -> Vec<String> {
    if host == Host::UserMode {
        std::thread::sleep(GOING);
    }
    let after = Shared::read(host == Host::UserMode);
    if host == Host::Machine {
        before.restore(&after);
    }
    before.changed(&after)
}

fn case(plan: &Plan, planned: &Planned, host: Host, pcap: &Path) -> Result<CaseResult, String> {
    let path = match (host, planned.path.strip_prefix("/tmp")) {
        (Host::UserMode, Ok(below)) => Path::new(HOST_TMP).join(below),
        _ => planned.path.clone(),
    };
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let source = Source::new(&planned.path.display().to_string(), &text);
    let options = RunOptions {
        variant: planned.variant,
        defines: plan.defines.clone(),
        options: plan.options.clone(),
        pcap: plan.pcap.then(|| pcap.to_owned()),
        failure_pcap: Some(pcap.to_owned()),
        // What happens does not happen again: it is recorded at once.
        record: true,
        ..RunOptions::default()
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    run_on(&source, &planned.id, folder, &options, |addresses| Linux::new(addresses, host, true))
        .map(|case| match case.status {
            Status::Pass if !plan.record => CaseResult { evidence: None, ..case },
            _ => case,
        })
        .map_err(|error| format!("{:?}", miette::Report::new(error)))
}

/// Mounts what a system has, and the plan's folder, which alone can be written to.
fn set_up(folder: &Path) -> io::Result<PathBuf> {
    for (kind, at) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")]
    {
        match host_sys::mount_fs(kind, at, "") {
            // The kernel has mounted it itself.
            Ok(()) | Err(EBUSY) => {}
            Err(errno) => return Err(io::Error::other(format!("{at}: {errno}"))),
        }
    }
    for (at, of) in [(FOLDER, folder), (HOST_TMP, Path::new("/tmp"))] {
        std::fs::create_dir(at)?;
        host_sys::mount_fs("hostfs", at, &of.display().to_string())?;
    }
    std::fs::write(SHELL_FUNCTIONS, FUNCTIONS)?;
    Ok(PathBuf::from(FOLDER))
}
