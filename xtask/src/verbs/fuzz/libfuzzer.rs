//! Running libFuzzer programs and reading what they print.

use std::io::{BufRead as _, BufReader};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::error::CouldNotRun;

/// Lines of a crashed process that its report shows at most.
const REPORT_LINES: usize = 40;

/// One run of a target: how it is started.
pub(super) struct Session {
    pub(super) program: PathBuf,
    /// Folders of inputs; new inputs go into the first.
    pub(super) corpora: Vec<PathBuf>,
    pub(super) artifacts: PathBuf,
    pub(super) time: Duration,
    /// libFuzzer's seed; 0: its own choice.
    pub(super) seed: u32,
    pub(super) jobs: NonZeroUsize,
    pub(super) max_len: usize,
}

/// What the processes of a run came to so far, each by its last line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    processes: Vec<Progress>,
    /// Edges of the program that have counters.
    edges: u64,
    /// Inputs that the folders held at the start.
    inputs: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    executions: u64,
    /// Edges reached.
    covered: u64,
    /// Inputs that were written to the first folder.
    new: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its time was up.
    Time,
    /// A process died on an input.
    Crash {
        /// In one line.
        what: String,
        /// The input that did it.
        artifact: Option<PathBuf>,
        /// What the process said last.
        output: String,
    },
}

impl Tally {
    /// One line for a person.
    pub(super) fn line(&self, seconds: u64) -> String {
        let executions: u64 = self.processes.iter().map(|p| p.executions).sum();
        let covered = self.processes.iter().map(|p| p.covered).max().unwrap_or(0);
        let new: u64 = self.processes.iter().map(|p| p.new).sum();
        let percent = covered as f64 * 100.0 / self.edges.max(1) as f64;
        format!(
            "{executions} executions, {}/s, {covered} of {} edges ({percent:.1} %), \
             {} inputs, {new} new",
            executions / seconds.max(1),
            self.edges,
            self.inputs,
        )
    }

    /// Takes in a line of process `n`.
    fn read(&mut self, n: usize, line: &str) {
        if self.processes.len() <= n {
            self.processes.resize(n + 1, Progress::default());
        }
        let process = &mut self.processes[n];
        if let Some(rest) = line.strip_prefix("stat::number_of_executed_units:") {
            process.executions = rest.trim().parse().unwrap_or(process.executions);
        } else if let Some(rest) = line.strip_prefix("stat::new_units_added:") {
            process.new = rest.trim().parse().unwrap_or(process.new);
        } else if let Some(rest) = line.strip_prefix("INFO: seed corpus: files: ") {
            self.inputs = rest.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        } else if let Some((_, rest)) = line.split_once(" PC tables (") {
            self.edges = rest.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        } else if let Some(rest) = line.strip_prefix('#') {
            let mut words = rest.split_whitespace();
            if let Some(executions) = words.next().and_then(|word| word.parse().ok()) {
                process.executions = executions;
            }
            if words.next() == Some("NEW") {
                process.new += 1;
            }
            let covered = words.skip_while(|&word| word != "cov:").nth(1);
            process.covered = covered.and_then(|n| n.parse().ok()).unwrap_or(process.covered);
        }
    }
}

impl Session {
    /// Runs until the time is up or a process crashed; `tick` sees the tally about once a second
    /// and when it changes.
    pub(super) fn run(&self, mut tick: impl FnMut(&Tally)) -> Result<(Tally, Ended), CouldNotRun> {
        let mut tally = Tally::default();
        let (sender, receiver) = mpsc::channel();
        let mut children = Vec::new();
        for n in 0..self.jobs.get() {
            let mut child = self.start(n)?;
            if let Some(output) = child.stderr.take() {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(output);
                    let mut line = Vec::new();
                    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                        if sender.send((n, text)).is_err() {
                            return;
                        }
                        line.clear();
                    }
                });
            }
            children.push((child, Vec::new()));
        }
        drop(sender);
        loop {
            match receiver.recv_timeout(Duration::from_secs(1)) {
                Ok((n, line)) => {
                    tally.read(n, &line);
                    remember(&mut children[n].1, line);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            tick(&tally);
            if children.iter_mut().any(|(child, _)| crashed(child)) {
                break;
            }
        }
        let ended = self.end(children, &receiver, &mut tally)?;
        Ok((tally, ended))
    }

    fn start(&self, n: usize) -> Result<Child, CouldNotRun> {
        let mut prefix = self.artifacts.clone().into_os_string();
        prefix.push("/");
        let mut artifact = std::ffi::OsString::from("-artifact_prefix=");
        artifact.push(prefix);
        let seed = match (self.seed, u32::try_from(n)) {
            (0, _) | (_, Err(_)) => 0,
            (seed, Ok(n)) => seed.wrapping_add(n).max(1),
        };
        Command::new(&self.program)
            .args(&self.corpora)
            .arg(format!("-max_total_time={}", self.time.as_secs()))
            .arg(format!("-max_len={}", self.max_len))
            .arg(format!("-seed={seed}"))
            .args(["-timeout=10", "-print_final_stats=1", "-reload=1", "-use_value_profile=0"])
            .arg(artifact)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| CouldNotRun::Program {
                program: self.program.display().to_string(),
                what: e.to_string(),
                help: None,
            })
    }

    /// Stops what still runs, reads the rest, and says how it ended.
    fn end(
        &self,
        mut children: Vec<(Child, Vec<String>)>,
        receiver: &mpsc::Receiver<(usize, String)>,
        tally: &mut Tally,
    ) -> Result<Ended, CouldNotRun> {
        let culprit = children.iter_mut().position(|(child, _)| crashed(child));
        for (n, (child, _)) in children.iter_mut().enumerate() {
            if culprit.is_some_and(|culprit| culprit != n) {
                // It may have ended meanwhile, which is as good.
                let _ = child.kill();
            }
        }
        while let Ok((n, line)) = receiver.recv() {
            tally.read(n, &line);
            remember(&mut children[n].1, line);
        }
        for (child, output) in &mut children {
            let status = child.wait().map_err(|e| CouldNotRun::Program {
                program: self.program.display().to_string(),
                what: e.to_string(),
                help: None,
            })?;
            if !status.success() && (culprit.is_none() || said(output).is_some()) {
                return Ok(crash(output, &status.to_string()));
            }
        }
        Ok(match culprit {
            Some(n) => crash(&children[n].1, "it ended"),
            None => Ended::Time,
        })
    }
}

fn crashed(child: &mut Child) -> bool {
    child.try_wait().is_ok_and(|status| status.is_some_and(|status| !status.success()))
}

/// Keeps the lines that explain a crash: those of a panic and after it, not the progress.
fn remember(output: &mut Vec<String>, line: String) {
    if line.starts_with('#') && line.contains(" cov: ") || line.starts_with("WARNING: Failed") {
        return;
    }
    output.push(line);
    if output.len() > 400 {
        output.drain(..200);
    }
}

/// The line that says why a process died.
fn said(output: &[String]) -> Option<&str> {
    output
        .iter()
        .find(|line| line.contains("panicked at"))
        .or_else(|| output.iter().find(|line| line.contains("ERROR: libFuzzer:")))
        .map(String::as_str)
}

fn crash(output: &[String], status: &str) -> Ended {
    let artifact = output
        .iter()
        .rev()
        .find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path))
        .map(|path| Path::new(path.trim()).to_owned());
    let start = output
        .iter()
        .position(|line| line.contains("panicked at") || line.contains("ERROR: libFuzzer:"))
        .unwrap_or(output.len().saturating_sub(REPORT_LINES));
    // A panic's message stands on the line after its place.
    let what = match said(output) {
        Some(line) if line.contains("panicked at") => {
            let message = output.get(start + 1).map_or("", String::as_str);
            format!("{} {message}", line.trim_start_matches('\n'))
        }
        Some(line) => line.trim_start_matches('=').to_owned(),
        None => format!("the fuzzer ended: {status}"),
    };
    let output = output[start..].iter().take(REPORT_LINES).cloned().collect::<Vec<_>>().join("\n");
    Ended::Crash { what, artifact, output }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_read() {
        let mut tally = Tally::default();
        for line in [
            "INFO: Loaded 1 PC tables (150 PCs): 150 [0x55,0x56), ",
            "INFO: seed corpus: files: 12 min: 1b max: 90b total: 400b rss: 27Mb",
            "#13\tINITED cov: 6 ft: 6 corp: 1/1b exec/s: 0 rss: 27Mb",
            "#40\tNEW    cov: 9 ft: 11 corp: 2/3b lim: 4096 exec/s: 0 rss: 27Mb L: 2/2 MS: 1",
            "#6198752\tDONE   cov: 75 ft: 90 corp: 9/1b lim: 4096 exec/s: 1549688 rss: 27Mb",
        ] {
            tally.read(0, line);
        }
        tally.read(1, "stat::number_of_executed_units: 1248");
        assert_eq!(
            tally.line(2),
            "6200000 executions, 3100000/s, 75 of 150 edges (50.0 %), 12 inputs, 1 new"
        );
    }

    #[test]
    fn a_panic_is_told_with_its_message_and_input() {
        let output: Vec<String> = [
            "INFO: Seed: 1",
            "thread '<unnamed>' panicked at hw-model/src/rx.rs:10:5:",
            "ring is full",
            "==7== ERROR: libFuzzer: deadly signal",
            "Test unit written to fuzz/artifacts/wire_rx/crash-00ff",
        ]
        .map(str::to_owned)
        .to_vec();
        let Ended::Crash { what, artifact, output } = crash(&output, "signal 6") else {
            panic!("no crash")
        };
        assert_eq!(what, "thread '<unnamed>' panicked at hw-model/src/rx.rs:10:5: ring is full");
        assert_eq!(artifact, Some(PathBuf::from("fuzz/artifacts/wire_rx/crash-00ff")));
        assert!(output.starts_with("thread") && output.ends_with("crash-00ff"), "{output}");
    }
}
