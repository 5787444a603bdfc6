//! Runs scripts: schedule, matching, calls, commands and assertions, in the target's time.
//!
//! The rules are packetdrill's own. Timing has a tolerance, relative times count from when the event before was finished,
//! packets of the socket under test have to come in the script's order, and consecutive segments make up one larger packet
//! of the script. On an attachment that carries frames a super-packet always comes in such parts.

mod bless;
mod build;
mod calls;
mod commands;
mod config;
mod connection;
mod constants;
mod header;
mod icmp_names;
mod link;
pub(crate) mod matcher;
mod options;
mod recorder;
mod report;
mod sample;
mod schedule;
mod state;
mod values;
mod variant;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use miette::Diagnostic;
use reference_stack::Version;

use crate::results::{CaseResult, Evidence, Nic, Status, Variant};
use crate::script::{self, Defines, Script, ScriptError, Source};
use crate::target::reference::Reference;
use crate::target::{Addresses, Refusal, Target};
pub use bless::{Blessed, bless};
use config::Config;
pub use header::profiles;
pub use options::{OPTIONS, ToolOption};
use schedule::{Run, Stop};
pub use variant::applies;

/// How scripts are run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The attachment.
    pub nic: Nic,
    /// The kernel that the reference stands in for.
    pub version: Version,
    /// Seeds the target's random choices.
    pub seed: u64,
    /// The IP version that the runner asks for, with the addresses and defines of upstream's runner, which win over the
    /// script's; `None`: what the script says itself, else IPv4.
    pub variant: Option<Variant>,
    /// `-D NAME=value`; they win over the script's and over upstream's runner's.
    pub defines: Defines,
    /// `--name=value` as in scripts; they win over the script's.
    pub options: Vec<(String, Option<String>)>,
    /// Where to write a capture of the run.
    pub pcap: Option<PathBuf>,
    /// Where to write one if it fails.
    pub failure_pcap: Option<PathBuf>,
    /// Ticks a second of the kernel, if not the profile's.
    pub hz: Option<u32>,
    /// How late the far end of a link answers ARP, microseconds.
    pub arp_usecs: u32,
    /// Whether the last events of every layer and the state are wanted of a run that passes too.
    pub record: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            nic: Nic::Ftgmac100,
            version: Version::V5_15,
            seed: 1,
            variant: None,
            defines: Defines::new(),
            options: Vec::new(),
            pcap: None,
            failure_pcap: None,
            hz: None,
            arp_usecs: 0,
            record: false,
        }
    }
}

impl RunOptions {
    /// Where the capture of a run goes, if it has one.
    fn pcap_for(&self, failed: bool) -> Option<&Path> {
        let on_failure = self.failure_pcap.as_ref().filter(|_| failed && self.record);
        self.pcap.as_ref().or(on_failure).map(PathBuf::as_path)
    }

    /// Whether the target is to keep its packets for a capture.
    pub(crate) fn captures(&self) -> bool {
        self.pcap.is_some() || (self.record && self.failure_pcap.is_some())
    }
}

/// Why a script could not be run.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RunError {
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The script is wrong: its language, an unknown sysctl, a file that is not there.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Script(#[from] ScriptError),
    /// The settings of the run are wrong.
    #[error("{0}")]
    Setting(String),
}

impl RunError {
    /// The place and the report in a result's form, where the script is what is wrong.
    pub fn evidence(&self) -> Option<Evidence> {
        match self {
            RunError::Script(error) => Some(report::error_evidence(error)),
            RunError::Read { .. } | RunError::Setting(_) => None,
        }
    }

    /// What is wrong, in one line with its place.
    pub fn one_line(&self) -> String {
        match self {
            RunError::Script(error) => error.one_line(),
            RunError::Read { .. } | RunError::Setting(_) => self.to_string(),
        }
    }
}

/// A script below a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaseId {
    /// Path below the folder, with `/` between its parts.
    pub id: String,
    /// The file.
    pub path: PathBuf,
}

/// All `*.pkt` files that `paths` name or hold, each once, in the order of their ids, which are paths below `root`
/// or, outside of it, below the folder that was named.
///
/// # Errors
/// A path that cannot be read.
pub fn discover(paths: &[PathBuf], root: &Path) -> Result<Vec<CaseId>, RunError> {
    let mut found = Vec::new();
    for path in paths {
        let base = if path.starts_with(root) {
            root
        } else if path.is_dir() {
            path
        } else {
            path.parent().unwrap_or(path)
        };
        let mut open = vec![path.clone()];
        while let Some(path) = open.pop() {
            let read = |error| RunError::Read { path: path.clone(), error };
            if !std::fs::metadata(&path).map_err(read)?.is_dir() {
                let below = path.strip_prefix(base).unwrap_or(&path);
                let id = below.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join("/");
                found.push(CaseId { id, path });
                continue;
            }
            for entry in std::fs::read_dir(&path).map_err(read)? {
                let entry = entry.map_err(read)?;
                let (path, kind) = (entry.path(), entry.file_type().map_err(read)?);
                // A link to a folder may lead in a circle.
                if kind.is_dir() || (path.extension().is_some_and(|e| e == "pkt") && path.is_file())
                {
                    open.push(path);
                }
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Runs a script file on the reference. Its id is the file's name; its working folder is its own.
///
/// # Errors
/// What keeps the script from being run; a script that fails is a result.
pub fn run_file(path: &Path, options: &RunOptions) -> Result<CaseResult, RunError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| RunError::Read { path: path.to_owned(), error })?;
    let source = Source::new(&path.display().to_string(), &text);
    let id = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    run_source(&source, &id, path.parent().unwrap_or(Path::new(".")), options)
}

/// Runs a script from its text on the reference. `folder` is where relative paths in its commands start.
///
/// # Errors
/// Likewise.
pub fn run_source(
    source: &Source,
    id: &str,
    folder: &Path,
    options: &RunOptions,
) -> Result<CaseResult, RunError> {
    let given = |name| options::before_boot(source, &options.options, name);
    let (hz, arp_usecs) = (given("hz"), given("arp_usecs"));
    let with_boot;
    let options = if hz.is_some() || arp_usecs.is_some() {
        with_boot = RunOptions {
            hz: hz.or(options.hz),
            arp_usecs: arp_usecs.unwrap_or(options.arp_usecs),
            ..options.clone()
        };
        &with_boot
    } else {
        options
    };
    let boot = |options: &RunOptions| {
        run_on(source, id, folder, options, |addresses| Reference::new(addresses, options))
    };
    let case = boot(options)?;
    if case.status != Status::Fail || options.record {
        return Ok(case);
    }
    // Time is virtual: the same happens again, and only now it is worth recording.
    let again = boot(&RunOptions { record: true, ..options.clone() })?;
    Ok(CaseResult { evidence: again.evidence, ..case })
}

/// Reads a script and its settings without running it: a pass, or a failure that names what is not the language.
pub fn read_source(source: &Source, id: &str, options: &RunOptions) -> CaseResult {
    let mut case = CaseResult::new(id, "parser");
    match read(source, options) {
        Ok((_, config)) => case.variant = config.variant,
        Err(error) => {
            case.variant = options.variant.unwrap_or_default();
            case = case.with_status(Status::Fail, error.one_line());
            case.evidence = Some(Box::new(report::error_evidence(&error)));
        }
    }
    case
}

/// The syntax tree of a script with the defines of its variant, and its settings.
fn read(source: &Source, options: &RunOptions) -> Result<(Script, Config), ScriptError> {
    let version = options.variant.unwrap_or_else(|| variant::of_script(source));
    let mut defines: Defines =
        variant::defines(version).iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    defines.extend(options.defines.clone());
    let tree = script::parse(source, &defines)?;
    let config = Config::new(source, &tree.options, options.variant, &options.options)?;
    Ok((tree, config))
}

/// Runs a script from its text on the target that `boot` makes for its addresses.
///
/// # Errors
/// What keeps the script from being run; a script that fails is a result.
pub fn run_on<T: Target>(
    source: &Source,
    id: &str,
    folder: &Path,
    options: &RunOptions,
    boot: impl FnOnce(&Addresses) -> Result<T, Refusal>,
) -> Result<CaseResult, RunError> {
    let started = Instant::now();
    let (tree, config) = read(source, options)?;
    let mut case = CaseResult::new(id, "reference");
    case.variant = config.variant;
    case.nic = options.nic;
    if config.dry_run {
        return Ok(case.with_status(Status::Skip, "--dry_run: read and not run"));
    }
    let mut target = match boot(&config.addresses) {
        Ok(target) => target,
        Err(Refusal::Unsupported(what)) => return Ok(case.with_status(Status::Unsupported, what)),
        Err(Refusal::Absent(what)) => return Ok(case.with_status(Status::Skip, what)),
        Err(Refusal::Invalid(what)) => return Err(RunError::Setting(what)),
    };
    case.target = target.name().to_string();
    case.nic = target.nic();
    let shell = commands::Shell::new(folder);
    let mut run = Run::new(source, &config, &mut target, shell);
    if options.record {
        run = run.recorded();
    }
    let result = run.script(&tree);
    case.virtual_us = u64::try_from(run.elapsed() / 1000).unwrap_or(0);
    case.detail = Some(run.notes().join("\n")).filter(|notes| !notes.is_empty());
    let mut evidence = run.take_evidence();
    case.event_log = target.event_log();
    let failed = matches!(result, Err(Stop::Fail(_)));
    if let Some(path) = options.pcap_for(failed) {
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        written
            .and_then(|()| target.write_pcap(path))
            .map_err(|error| RunError::Read { path: path.to_owned(), error })?;
        evidence.pcap = Some(path.display().to_string());
    }
    if options.record {
        evidence.environment = environment(&mut target, &case, &config);
        case.evidence = Some(Box::new(evidence));
    }
    let leaks = target.leaks();
    case.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    match result {
        Ok(()) if leaks.is_empty() => Ok(case),
        Ok(()) => Ok(case
            .with_status(Status::Fail, format!("not everything came home: {}", leaks.join("; ")))),
        Err(Stop::Broken(error)) => Err(error.into()),
        Err(Stop::Unsupported(what)) => Ok(case.with_status(Status::Unsupported, what)),
        Err(Stop::Fail(failure)) => {
            let reason = format!("{}: {}", source.place(failure.span), failure.message);
            case.divergence = failure.divergence();
            if let Some(evidence) = &mut case.evidence {
                let Evidence { place, packets, differences, timing, notes, edits, .. } =
                    failure.evidence(source);
                **evidence = Evidence {
                    place,
                    packets,
                    differences,
                    timing,
                    notes,
                    edits,
                    ..std::mem::take(&mut **evidence)
                };
            }
            Ok(case.with_status(Status::Fail, reason))
        }
    }
}

/// What ran: the target, and what of the script's settings decides.
fn environment(
    target: &mut dyn Target,
    case: &CaseResult,
    config: &Config,
) -> Vec<(String, String)> {
    let addresses = &config.addresses;
    let mut out: Vec<(String, String)> = [
        ("target", case.target.clone()),
        ("nic", case.nic.to_string()),
        ("ip", case.variant.to_string()),
        ("mtu", addresses.mtu.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    out.extend(target.environment());
    out
}
