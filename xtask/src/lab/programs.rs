//! Programs: those that set a host up, and those that run in a capture.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::LabError;
use super::needs::PATH;

/// System calls that a trace of a capture has.
const TRACED: &str = "trace=%network,read,write,readv,writev,close,poll,ppoll,select,pselect6,\
                      epoll_create1,epoll_ctl,epoll_wait,epoll_pwait,fcntl,ioctl,dup,dup2,dup3,\
                      sendfile,splice,clone,clone3,fork,vfork,exit_group";

/// How often a program is asked whether it has ended.
const GLANCE: Duration = Duration::from_millis(2);

/// A running program in a process group of its own, all of which ends with this.
pub(super) struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self, LabError> {
        use std::os::unix::process::CommandExt as _;
        let name = command.get_program().display().to_string();
        let child = command
            .env("PATH", PATH)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(LabError::host(name))?;
        Ok(Running(child))
    }

    /// Waits until it has ended by itself: whether it did.
    pub(super) fn wait(&mut self, until: Instant) -> bool {
        while Instant::now() < until {
            if self.0.try_wait().is_ok_and(|status| status.is_some()) {
                return true;
            }
            std::thread::sleep(GLANCE);
        }
        false
    }

    /// Asks it to end, as Ctrl-C does, and waits a while.
    pub(super) fn interrupt(&mut self) {
        let _ = host_sys::interrupt_group(self.0.id());
        self.wait(Instant::now() + Duration::from_secs(2));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = host_sys::kill_group(self.0.id());
        let _ = self.0.wait();
    }
}

/// The command of a program of a scenario.
fn words(program: &str, own: &Path) -> Vec<String> {
    match program.strip_prefix("$ ") {
        // The shell makes room for the program, so that the trace is the program's.
        Some(command) => vec!["/bin/sh".into(), "-c".into(), format!("exec {command}")],
        None => vec![own.display().to_string(), "workload".into(), program.to_owned()],
    }
}

/// Starts a program.
pub(super) fn start(program: &str, own: &Path) -> Result<Running, LabError> {
    let words = words(program, own);
    Running::start(Command::new(&words[0]).args(&words[1..]).stderr(Stdio::null()))
}

/// Starts a program with its system calls written to `trace`.
pub(super) fn start_traced(
    program: &str,
    own: &Path,
    flags: &[String],
    trace: &Path,
) -> Result<Running, LabError> {
    let length = if flags.iter().any(|f| f == "-s") { &[][..] } else { &["-s", "64"][..] };
    let mut strace = Command::new("strace");
    strace.args(["-f", "-ttt", "-T", "-e", TRACED]).args(length).args(flags);
    strace.arg("-o").arg(trace).args(words(program, own)).stderr(Stdio::null());
    Running::start(&mut strace)
}

/// Starts tcpdump on an interface; returns when it listens.
pub(super) fn start_tcpdump(
    interface: &str,
    snaplen: u32,
    file: &Path,
) -> Result<Running, LabError> {
    let mut tcpdump = Command::new("tcpdump");
    tcpdump
        .args(["-n", "-p", "-U", "-i", interface, "--time-stamp-precision", "nano", "-Z", "root"])
        .args(["-s", &snaplen.to_string(), "-B", "16384", "-w"])
        .arg(file)
        .stderr(Stdio::piped());
    let mut running = Running::start(&mut tcpdump)?;
    let mut said = Vec::new();
    if let Some(mut errors) = running.0.stderr.take() {
        let mut byte = [0];
        while errors.read(&mut byte).is_ok_and(|n| n == 1) {
            said.push(byte[0]);
            if said.ends_with(b"listening on") {
                // It goes on to talk: nobody needs to hear it, but it must not wait for a reader.
                std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
                return Ok(running);
            }
        }
    }
    let why = String::from_utf8_lossy(&said).trim().to_owned();
    Err(LabError::Host { what: "tcpdump".to_owned(), why })
}

/// Runs the words of a line and waits for the end.
pub(super) fn run(line: &str) -> Result<(), LabError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (program, rest) =
        words.split_first().ok_or_else(|| LabError::Scenario("an empty command".to_owned()))?;
    let done = Command::new(program)
        .args(rest)
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .output()
        .map_err(LabError::host(line))?;
    if done.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(LabError::Host { what: line.to_owned(), why })
}
