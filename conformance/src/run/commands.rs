//! Back-quoted commands: the part of the shell and of the administrator's programs that scripts use, acting on the target.
//!
//! Known are sysctl, `echo VALUE > /proc/sys/...`, `ip route|addr|link|tcp_metrics`, `tc qdisc ... pfifo` (which is what the
//! target has), sleep, echo, true, false, upstream's `set_sysctls.py` and the file that it leaves behind, and shell files
//! of such lines (`defaults.sh`). Lists by newline, `;`, `&&` and `||`, quoting, `$((arithmetic))` and comments work as in
//! the shell. Anything else is an error that names it.

mod ip;
mod shell;

use std::path::{Path, PathBuf};

use shell::{Join, Simple};

use crate::target::{Admin, Ran, Refusal, Target};

/// Why a command could not be carried out; a command that fails as it would in a shell has a status instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandError {
    /// The harness or the target has no such thing.
    Unsupported(String),
    /// The command is wrong.
    Invalid(String),
}

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unsupported(what) | Refusal::Absent(what) => CommandError::Unsupported(what),
            Refusal::Invalid(what) => CommandError::Invalid(what),
        }
    }
}

/// How deep files of commands may call each other.
const MAX_DEPTH: u32 = 4;
/// The largest file of commands, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The longest sleep, in nanoseconds.
const MAX_SLEEP_NS: i64 = 3_600_000_000_000;

/// A shell that acts on a target.
pub(crate) struct Shell {
    /// The folder that relative paths start from: the script's.
    pub(crate) folder: PathBuf,
    /// What went wrong inside files, where the shell goes on: a line each.
    pub(crate) notes: Vec<String>,
    /// Values from before `set_sysctls.py`.
    saved: Vec<(String, String)>,
}

impl Shell {
    pub(crate) fn new(folder: &Path) -> Self {
        Shell { folder: folder.to_owned(), notes: Vec::new(), saved: Vec::new() }
    }

    /// Runs the text between back quotes; the result is its exit status.
    pub(crate) fn run(&mut self, target: &mut dyn Target, text: &str) -> Result<i32, CommandError> {
        if let Some(ran) = target.run_command(&self.folder, text) {
            let Ran { status, output } = ran?;
            if status != 0 {
                self.notes.extend(output.lines().map(str::to_owned));
            }
            return Ok(status);
        }
        self.text(target, text, 0)
    }

    fn text(
        &mut self,
        target: &mut dyn Target,
        text: &str,
        depth: u32,
    ) -> Result<i32, CommandError> {
        let commands = shell::parse(text).map_err(CommandError::Unsupported)?;
        let mut status = 0;
        for (at, command) in commands.iter().enumerate() {
            let wanted = match command.join {
                Join::Always => true,
                Join::IfOk => status == 0,
                Join::IfFailed => status != 0,
            };
            if !wanted {
                continue;
            }
            let caught = commands.get(at + 1).is_some_and(|next| next.join == Join::IfFailed);
            status = match self.command(target, command, depth) {
                Ok(status) => status,
                // A shell goes on; upstream's defaults.sh counts on it where a kernel lacks a sysctl.
                Err(CommandError::Invalid(what)) if depth > 0 || caught => {
                    self.notes.push(what);
                    255
                }
                Err(error) => return Err(error),
            };
        }
        Ok(status)
    }

    fn command(
        &mut self,
        target: &mut dyn Target,
        command: &Simple,
        depth: u32,
    ) -> Result<i32, CommandError> {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let Some((name, args)) = words.split_first() else { return Ok(0) };
        if let Some(file) = command.output.as_deref().filter(|f| *f != "/dev/null") {
            if *name == "echo" && file.starts_with("/proc/sys/") {
                target.set_sysctl(file, &args.join(" "))?;
                return Ok(0);
            }
            return Err(CommandError::Unsupported(format!("writing to {file} is not supported")));
        }
        let program = name.rsplit('/').next().unwrap_or(name);
        match program {
            "sysctl" => sysctl(target, args),
            "ip" => {
                ip::run(target, args)?;
                Ok(0)
            }
            "tc" => tc(args),
            "sleep" => sleep(target, args),
            "echo" | "true" | ":" => Ok(0),
            "false" => Ok(1),
            "set_sysctls.py" => {
                for arg in args {
                    let Some((path, value)) = arg.split_once('=') else {
                        return Err(CommandError::Invalid(format!(
                            "set_sysctls.py takes FILE=VALUE, not `{arg}`"
                        )));
                    };
                    let before = target.sysctl(path)?;
                    self.saved.push((path.to_string(), before));
                    target.set_sysctl(path, value)?;
                }
                Ok(0)
            }
            _ if program.starts_with("sysctl_restore_") => {
                for (path, value) in std::mem::take(&mut self.saved).into_iter().rev() {
                    target.set_sysctl(&path, &value)?;
                }
                Ok(0)
            }
            _ if program.ends_with(".sh") => self.file(target, name, depth),
            _ => {
                Err(CommandError::Unsupported(format!("the command `{program}` is not supported")))
            }
        }
    }

    fn file(
        &mut self,
        target: &mut dyn Target,
        name: &str,
        depth: u32,
    ) -> Result<i32, CommandError> {
        let path = self.folder.join(name);
        if depth >= MAX_DEPTH {
            return Err(CommandError::Unsupported(format!(
                "{name}: files call each other more than {MAX_DEPTH} deep"
            )));
        }
        let invalid =
            |error: std::io::Error| CommandError::Invalid(format!("{}: {error}", path.display()));
        let size = std::fs::metadata(&path).map_err(invalid)?.len();
        if size > MAX_FILE {
            return Err(CommandError::Invalid(format!(
                "{} has more than {MAX_FILE} bytes",
                path.display()
            )));
        }
        let text = std::fs::read_to_string(&path).map_err(invalid)?;
        self.text(target, &text, depth + 1)
    }
}

fn sysctl(target: &mut dyn Target, args: &[&str]) -> Result<i32, CommandError> {
    let mut ignore_unknown = false;
    let mut status = 0;
    for arg in args {
        match *arg {
            "-q" | "-w" | "-n" | "-qw" | "-wq" => {}
            "-e" | "-eq" | "-qe" | "-eqw" => ignore_unknown = true,
            _ if arg.starts_with('-') => {
                return Err(CommandError::Unsupported(format!("`sysctl {arg}` is not supported")));
            }
            _ => {
                let done = match arg.split_once('=') {
                    Some((name, value)) => target.set_sysctl(name, value),
                    None => target.sysctl(arg).map(|_| ()),
                };
                match done {
                    Ok(()) => {}
                    Err(Refusal::Invalid(_)) if ignore_unknown => status = 0,
                    Err(refusal) => return Err(refusal.into()),
                }
            }
        }
    }
    Ok(status)
}

/// The target's queue is a plain FIFO that holds more than any script sends: asking for one changes nothing.
fn tc(args: &[&str]) -> Result<i32, CommandError> {
    match args {
        ["qdisc", "add" | "replace" | "change", "dev", _, "root", "pfifo" | "pfifo_fast"] => Ok(0),
        _ => Err(CommandError::Unsupported(format!("`tc {}` is not supported", args.join(" ")))),
    }
}

fn sleep(target: &mut dyn Target, args: &[&str]) -> Result<i32, CommandError> {
    let [time] = args else {
        return Err(CommandError::Invalid("sleep takes one time in seconds".into()));
    };
    let time = time.strip_suffix('s').unwrap_or(time);
    let ns = crate::script::seconds_to_ns(time).filter(|ns| *ns <= MAX_SLEEP_NS);
    let Some(ns) = ns else {
        return Err(CommandError::Invalid(format!("`{time}` is no time to sleep")));
    };
    let until = target.now() + ns as u64;
    while target.now() < until {
        target.advance(until);
    }
    Ok(0)
}

/// What a flush of the metrics cache is to the target; it is empty at the start of a run.
pub(crate) fn flush_metrics(target: &mut dyn Target) -> Result<(), Refusal> {
    target.administrate(&Admin::FlushTcpMetrics)
}
