//! The asking side: a process for a plan, and its answers.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use miette::Diagnostic;

use super::guest::{ANSWERS, Line, PLAN, Plan, capture};
use super::uml::Uml;
use crate::results::{CaseResult, Nic, Status, Variant};

/// How often the answers are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How much of a console an error shows, in lines.
const TAIL: usize = 12;
/// The hidden verb of the program that runs a plan.
const VERB: &str = "guest";

/// Whom to ask.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The kernel of this machine.
    Machine,
    /// A user-mode Linux.
    Uml(Uml),
}

impl Asked {
    /// The target's name in results.
    pub fn name(&self) -> &'static str {
        match self {
            Asked::Machine => "linux",
            Asked::Uml(_) => "uml",
        }
    }

    /// The kernel's version, as `6.1.192`.
    pub fn release(&self) -> String {
        match self {
            Asked::Machine => std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".into(), |release| release.trim().to_owned()),
            Asked::Uml(uml) => uml.release().to_owned(),
        }
    }

    /// How long a case may take, of our time.
    fn limit(&self) -> Duration {
        match self {
            Asked::Machine => Duration::from_secs(300),
            Asked::Uml(_) => Duration::from_secs(120),
        }
    }
}

/// What came of a case.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was run.
    Case(Box<CaseResult>),
    /// It could not be: a report of several lines.
    Refused(String),
}

/// Why nothing could be asked.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum OracleError {
    /// The kernel does not run.
    #[error("{}: {what}", path.display())]
    #[diagnostic(
        code(netplumb::oracle::kernel),
        help(
            "a user-mode Linux kernel is built by `cargo xtask oracle build-uml`, or named by --uml or NETPLUMB_UML"
        )
    )]
    Kernel {
        /// The kernel.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The library that it needs cannot be made.
    #[error("the library for user-mode Linux cannot be compiled: {0}")]
    #[diagnostic(code(netplumb::oracle::shim))]
    Shim(String),
    /// The process for the plan came to nothing.
    #[error("{what}")]
    #[diagnostic(code(netplumb::oracle::guest))]
    Guest {
        /// What happened.
        what: String,
        /// The end of its console.
        #[help]
        console: Option<String>,
    },
}

impl OracleError {
    pub(super) fn kernel(path: &Path, what: String) -> OracleError {
        OracleError::Kernel { path: path.to_owned(), what }
    }

    fn guest(what: impl Into<String>) -> OracleError {
        OracleError::Guest { what: what.into(), console: None }
    }
}

impl From<io::Error> for OracleError {
    fn from(error: io::Error) -> Self {
        OracleError::guest(format!("the plan's folder: {error}"))
    }
}

/// Runs `plan` by `program`, which is this program, and gives an answer for every case, in order. Each is passed to
/// `seen` as soon as it is there. Captures go to `captures`, by the name that it gives for a case's place.
///
/// # Errors
/// Nothing can be asked at all. What happens to single cases is in their answers.
pub fn ask(
    asked: &Asked,
    program: &Path,
    plan: &Plan,
    captures: Option<&dyn Fn(usize) -> PathBuf>,
    mut seen: impl FnMut(usize, &Answer),
) -> Result<Vec<Answer>, OracleError> {
    let mut answers: Vec<Answer> = Vec::new();
    while answers.len() < plan.cases.len() {
        let offset = answers.len();
        let rest = Plan { cases: plan.cases[offset..].to_vec(), ..plan.clone() };
        let folder = Folder::new()?;
        let mut add = |answer: Answer| {
            let n = answers.len();
            if let Some(to) = captures {
                // A case that was not run has none.
                let _ = std::fs::copy(folder.0.join(capture(n - offset)), to(n));
            }
            seen(n, &answer);
            answers.push(answer);
        };
        let end = sitting(asked, program, &rest, &folder.0, &mut add)?;
        if let Some(what) = end {
            let Some(planned) = plan.cases.get(answers.len()) else { break };
            let mut case = CaseResult::new(&planned.id, asked.name());
            case.variant = planned.variant.unwrap_or(Variant::Ipv4);
            case.nic = Nic::Tun;
            let answer = Answer::Case(Box::new(case.with_status(Status::Fail, what)));
            seen(answers.len(), &answer);
            answers.push(answer);
        }
    }
    Ok(answers)
}

/// One process, from its start to its end. What comes back is what befell the case that it was at, if it did not end as
/// it should.
fn sitting(
    asked: &Asked,
    program: &Path,
    plan: &Plan,
    folder: &Path,
    add: &mut dyn FnMut(Answer),
) -> Result<Option<String>, OracleError> {
    std::fs::write(folder.join(PLAN), serde_json::to_vec(plan).map_err(io::Error::other)?)?;
    let mut answers =
        File::create_new(folder.join(ANSWERS)).and_then(|_| File::open(folder.join(ANSWERS)))?;
    let console = folder.join("console");
    let mut child = Process::start(asked, program, folder, &console)?;
    let (mut text, mut open, mut moved) = (String::new(), None, Instant::now());
    let mut began = moved;
    loop {
        let ended = child.ended()?;
        let before = text.len();
        answers.read_to_string(&mut text)?;
        if text.len() > before {
            moved = Instant::now();
        }
        while let Some((line, rest)) = text.split_once('\n') {
            let line = serde_json::from_str(line).map_err(io::Error::other)?;
            text = rest.to_owned();
            match line {
                Line::Start(n) => (open, began) = (Some(n), Instant::now()),
                Line::Case { case, detail, .. } => {
                    // The guest's own clock may be virtual.
                    let wall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    add(Answer::Case(Box::new(CaseResult { detail, wall_us, ..*case })));
                    open = None;
                }
                Line::Refused { report, .. } => {
                    add(Answer::Refused(report));
                    open = None;
                }
                Line::End => return Ok(None),
            }
        }
        let why = if let Some(status) = ended {
            format!("the process that ran it ended ({status}): {}", tail(&console))
        } else if moved.elapsed() > asked.limit() {
            format!("it did not end within {} s", asked.limit().as_secs())
        } else {
            std::thread::sleep(LOOK);
            continue;
        };
        return match open {
            Some(_) => Ok(Some(why)),
            None => {
                Err(OracleError::Guest { what: "no script was run".into(), console: Some(why) })
            }
        };
    }
}

/// The end of a console; of a kernel's last words, those before the call trace.
fn tail(console: &Path) -> String {
    let text = std::fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = text.split_once("\nCall Trace:").map_or(&*text, |(before, _)| before);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// A process with its children; all of them go with the value.
struct Process(Child);

impl Process {
    fn start(
        asked: &Asked,
        program: &Path,
        folder: &Path,
        console: &Path,
    ) -> Result<Process, OracleError> {
        let folder_text = folder.display().to_string();
        let mut command = match asked {
            Asked::Machine => {
                let output = File::create(console)?;
                let mut command = Command::new(program);
                command.args([VERB, &folder_text]).stdin(Stdio::null());
                command.stderr(output.try_clone()?).stdout(output);
                command
            }
            Asked::Uml(uml) => uml.boot(program, &[VERB, &folder_text], console)?,
        };
        // A group of its own: user-mode Linux has children that must not outlive it.
        command.process_group(0);
        match command.spawn() {
            Ok(child) => Ok(Process(child)),
            Err(error) => Err(OracleError::guest(format!(
                "{}: {error}",
                command.get_program().to_string_lossy()
            ))),
        }
    }

    fn ended(&mut self) -> io::Result<Option<std::process::ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A guest that has said everything switches itself off.
        for _ in 0..100 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = host_sys::kill_group(self.0.id());
        let _ = self.0.wait();
    }
}

/// A folder of a plan; it goes with the value.
struct Folder(PathBuf);

impl Folder {
    /// Its path is part of a guest's command line and so always of the same length.
    fn new() -> io::Result<Folder> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("netplumb-{:08x}-{n:06}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
