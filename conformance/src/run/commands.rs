//! Back-quoted commands: the part of the shell and of the administrator's programs that scripts use, acting on the target.
//!
//! A target that has a shell of its own (a real kernel) runs them itself. For the others this module is the shell, and
//! `programs` has what it can call. Anything else is an error that names it, with its place in the script.

mod expand;
mod ip;
mod link;
mod nstat;
mod programs;
mod shell;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use shell::{Join, Part, Pipeline, Redirection, Simple, Word};

use crate::target::{Admin, Ran, Refusal, Target};

/// Why a command could not be carried out; a command that fails as it would in a shell has a status instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandError {
    /// Whether the harness or the target lacks it; else the command is wrong.
    pub(crate) unsupported: bool,
    /// What.
    pub(crate) message: String,
    /// The bytes of the command's text that it is about; `None` inside files.
    pub(crate) at: Option<Range<usize>>,
}

impl CommandError {
    fn unsupported(message: impl Into<String>) -> Self {
        CommandError { unsupported: true, message: message.into(), at: None }
    }

    fn invalid(message: impl Into<String>) -> Self {
        CommandError { unsupported: false, message: message.into(), at: None }
    }
}

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unsupported(what) | Refusal::Absent(what) => CommandError::unsupported(what),
            Refusal::Invalid(what) => CommandError::invalid(what),
        }
    }
}

/// How deep files and `$(commands)` may call each other.
const MAX_DEPTH: u32 = 4;
/// The largest file and the longest output, in bytes.
const MAX_FILE: usize = 1 << 20;

/// A shell that acts on a target.
pub(crate) struct Shell {
    /// The folder that relative paths start from: the script's.
    folder: PathBuf,
    /// What went wrong where a shell goes on, and what commands wrote: a line each.
    pub(crate) notes: Vec<String>,
    variables: BTreeMap<String, String>,
    /// Files that the script wrote.
    files: BTreeMap<String, Vec<u8>>,
    /// Values from before `set_sysctls.py`.
    saved: Vec<(String, String)>,
    /// The counters as nstat saw them last.
    counters: BTreeMap<String, u64>,
    status: i32,
}

/// The streams of a command.
struct Streams {
    input: String,
    output: String,
}

impl Shell {
    pub(crate) fn new(folder: &Path) -> Self {
        Shell {
            folder: folder.to_owned(),
            notes: Vec::new(),
            // Scripts only put it into the names of files.
            variables: BTreeMap::from([("PPID".to_string(), "1".to_string())]),
            files: BTreeMap::new(),
            saved: Vec::new(),
            counters: BTreeMap::new(),
            status: 0,
        }
    }

    /// Runs the text between back quotes; the result is its exit status.
    pub(crate) fn run(&mut self, target: &mut dyn Target, text: &str) -> Result<i32, CommandError> {
        if let Some(ran) = target.run_command(&self.folder, text) {
            let Ran { status, output } = ran?;
            self.notes.extend(output.lines().map(str::to_string));
            return Ok(status);
        }
        let mut output = String::new();
        let status = self.text(target, text, "", &mut output, 0)?;
        self.notes.extend(output.lines().map(str::to_string));
        Ok(status)
    }

    fn text(
        &mut self,
        target: &mut dyn Target,
        text: &str,
        input: &str,
        output: &mut String,
        depth: u32,
    ) -> Result<i32, CommandError> {
        if depth > MAX_DEPTH {
            let message = format!("commands call each other more than {MAX_DEPTH} deep");
            return Err(CommandError::unsupported(message));
        }
        let pipelines = shell::parse(text).map_err(|(at, message)| CommandError {
            at: Some(at),
            ..CommandError::unsupported(message)
        })?;
        self.status = 0;
        for (at, pipeline) in pipelines.iter().enumerate() {
            let wanted = match pipeline.join {
                Join::Always => true,
                Join::IfOk => self.status == 0,
                Join::IfFailed => self.status != 0,
            };
            if !wanted {
                continue;
            }
            let caught = pipelines.get(at + 1).is_some_and(|next| next.join == Join::IfFailed);
            self.status = match self.pipeline(target, pipeline, input, output, depth) {
                Ok(status) => status,
                // A shell goes on; upstream's defaults.sh counts on it where a kernel lacks a sysctl.
                Err(error) if !error.unsupported && (depth > 0 || caught) => {
                    self.notes.push(error.message);
                    255
                }
                Err(error) => return Err(error),
            };
        }
        Ok(self.status)
    }

    fn pipeline(
        &mut self,
        target: &mut dyn Target,
        pipeline: &Pipeline,
        input: &str,
        output: &mut String,
        depth: u32,
    ) -> Result<i32, CommandError> {
        let mut status = 0;
        let mut stream = input.to_string();
        for command in &pipeline.stages {
            let mut streams = Streams { input: stream, output: String::new() };
            let ran = self.simple(target, command, &mut streams, depth);
            status = ran.map_err(|error| CommandError {
                at: error.at.or(Some(command.at.clone())).filter(|_| depth == 0),
                ..error
            })?;
            if streams.output.len() > MAX_FILE {
                let message = format!("a command writes more than {MAX_FILE} bytes");
                return Err(CommandError::unsupported(message));
            }
            stream = streams.output;
        }
        output.push_str(&stream);
        Ok(if pipeline.negated { i32::from(status == 0) } else { status })
    }

    /// A command with its assignments and redirections.
    fn simple(
        &mut self,
        target: &mut dyn Target,
        command: &Simple,
        streams: &mut Streams,
        depth: u32,
    ) -> Result<i32, CommandError> {
        let mut words = Vec::new();
        for word in &command.words {
            self.expand(target, word, &mut words, depth)?;
        }
        for (name, value) in &command.assignments {
            let mut expanded = Vec::new();
            self.expand(target, value, &mut expanded, depth)?;
            if words.is_empty() {
                self.variables.insert(name.clone(), expanded.join(" "));
            }
        }
        let mut sink = None;
        for redirection in &command.redirections {
            match redirection {
                Redirection::Input { file } => {
                    let path = self.file_name(target, file, depth)?;
                    streams.input = self.read(target, &path)?;
                }
                Redirection::Output { file, append } => {
                    sink = Some((self.file_name(target, file, depth)?, *append));
                }
                Redirection::Both { file } => {
                    sink = Some((self.file_name(target, file, depth)?, false));
                }
                Redirection::Errors => {}
                Redirection::OutputToErrors => sink = Some(("/dev/stderr".to_string(), false)),
            }
        }
        let status = match words.split_first() {
            Some((name, args)) => {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                self.program(target, name, &args, streams, depth)?
            }
            None => 0,
        };
        if let Some((path, append)) = sink {
            let text = std::mem::take(&mut streams.output);
            self.write(target, &path, &text, append)?;
        }
        Ok(status)
    }

    /// The one word of a redirection.
    fn file_name(
        &mut self,
        target: &mut dyn Target,
        word: &Word,
        depth: u32,
    ) -> Result<String, CommandError> {
        let mut words = Vec::new();
        self.expand(target, word, &mut words, depth)?;
        match <[String; 1]>::try_from(words) {
            Ok([word]) => Ok(word),
            Err(_) => Err(CommandError::invalid("a redirection needs one file")),
        }
    }

    /// Expands a word to words: what is not quoted is split at blanks.
    fn expand(
        &mut self,
        target: &mut dyn Target,
        word: &Word,
        out: &mut Vec<String>,
        depth: u32,
    ) -> Result<(), CommandError> {
        let mut current: Option<String> = None;
        for part in &word.parts {
            let (text, is_quoted) = match part {
                Part::Text { text, .. } => {
                    current.get_or_insert_default().push_str(text);
                    continue;
                }
                Part::Variable { name, quoted } => (self.variable(name)?, *quoted),
                Part::Arithmetic(text) => {
                    let value = expand::arithmetic(text, &|name| self.variables.get(name).cloned());
                    (value.map_err(CommandError::unsupported)?.to_string(), true)
                }
                Part::Output { commands, quoted } => {
                    let mut output = String::new();
                    self.text(target, commands, "", &mut output, depth + 1)?;
                    (output.trim_end_matches('\n').to_string(), *quoted)
                }
            };
            if is_quoted {
                current.get_or_insert_default().push_str(&text);
                continue;
            }
            for (at, piece) in text.split([' ', '\t', '\n']).enumerate() {
                if at > 0 {
                    out.extend(current.take());
                }
                if !piece.is_empty() {
                    current.get_or_insert_default().push_str(piece);
                }
            }
        }
        out.extend(current);
        Ok(())
    }

    fn variable(&self, name: &str) -> Result<String, CommandError> {
        if name == "?" {
            return Ok(self.status.to_string());
        }
        self.variables
            .get(name)
            .cloned()
            .ok_or_else(|| CommandError::invalid(format!("the variable `{name}` is not set")))
    }

    /// Reads a file: of the target's kernel, of the script, or beside the script.
    fn read(&self, target: &mut dyn Target, path: &str) -> Result<String, CommandError> {
        if path == "/dev/null" {
            return Ok(String::new());
        }
        if path.starts_with("/proc/sys/") || path.starts_with("/sys/module/") {
            return Ok(format!("{}\n", target.sysctl(path)?));
        }
        if let Some(name) = path.strip_prefix("/proc/net/") {
            return Ok(target.proc_net(name)?);
        }
        if let Some(bytes) = self.files.get(path) {
            return Ok(String::from_utf8_lossy(bytes).into_owned());
        }
        if ["/proc/", "/sys/", "/dev/"].iter().any(|folder| path.starts_with(folder)) {
            return Err(CommandError::unsupported(format!("reading {path} is not supported")));
        }
        let path = self.folder.join(path);
        let invalid =
            |error: std::io::Error| CommandError::invalid(format!("{}: {error}", path.display()));
        let size = std::fs::metadata(&path).map_err(invalid)?.len();
        if size > MAX_FILE as u64 {
            let message = format!("{} has more than {MAX_FILE} bytes", path.display());
            return Err(CommandError::invalid(message));
        }
        std::fs::read_to_string(&path).map_err(invalid)
    }

    /// Writes a file: a setting of the target's kernel, or one that only this run sees.
    fn write(
        &mut self,
        target: &mut dyn Target,
        path: &str,
        text: &str,
        append: bool,
    ) -> Result<(), CommandError> {
        if path == "/dev/null" {
            return Ok(());
        }
        if matches!(path, "/dev/stderr" | "/dev/stdout") {
            self.notes.extend(text.lines().map(str::to_string));
            return Ok(());
        }
        if path.starts_with("/proc/sys/") || path.starts_with("/sys/module/") {
            return Ok(target.set_sysctl(path, text.trim_end_matches('\n'))?);
        }
        if !path.starts_with("/tmp/") {
            let message = format!("writing to {path} is not supported: only below /tmp, /proc/sys");
            return Err(CommandError::unsupported(message));
        }
        let old = self.files.remove(path).filter(|_| append).unwrap_or_default();
        let bytes = [old, text.as_bytes().to_vec()].concat();
        self.store(target, path, bytes)
    }

    /// A file of this run, which calls of the script can open.
    fn store(
        &mut self,
        target: &mut dyn Target,
        path: &str,
        bytes: Vec<u8>,
    ) -> Result<(), CommandError> {
        let total: usize = self.files.values().map(Vec::len).sum();
        if total + bytes.len() > MAX_FILE {
            let message = format!("the files of a run have more than {MAX_FILE} bytes together");
            return Err(CommandError::unsupported(message));
        }
        target.administrate(&Admin::WriteFile { path: path.to_string(), bytes: bytes.clone() })?;
        self.files.insert(path.to_string(), bytes);
        Ok(())
    }

    /// Runs a file of commands.
    fn source(
        &mut self,
        target: &mut dyn Target,
        name: &str,
        streams: &mut Streams,
        depth: u32,
    ) -> Result<i32, CommandError> {
        let text = self.read(target, name)?;
        let mut output = String::new();
        let input = std::mem::take(&mut streams.input);
        let done = self.text(target, &text, &input, &mut output, depth + 1);
        streams.output.push_str(&output);
        done.map_err(|error| {
            let line = error.at.as_ref().map(|at| text[..at.start.min(text.len())].lines().count());
            let line = line.map(|line| format!(":{}", line.max(1))).unwrap_or_default();
            CommandError { message: format!("{name}{line}: {}", error.message), at: None, ..error }
        })
    }
}

#[cfg(test)]
mod tests;
