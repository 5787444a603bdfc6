//! Replay of a capture into a machine in virtual time, and the verdict.
//!
//! A capture is *reproduced* when there is a schedule of its events, each within its
//! uncertainty, in which the machine sends exactly the captured frames in order and every call
//! returns what it returned. What is random by design is mapped (`mapping`); what the inputs
//! leave open is searched (`search`, bounded); everything else is exact.

mod admin;
mod bytes;
mod calls;
mod case;
mod delays;
mod engine;
mod guess;
mod host;
mod infer;
mod judge;
mod load;
mod mapping;
mod mapping6;
mod neighbours;
mod plan;
mod record;
mod reference;
mod results_of;
mod search;
mod story;
#[cfg(test)]
mod tests;
mod trail;

use std::path::{Path, PathBuf};
use std::time::Instant;

use miette::{Context, IntoDiagnostic, miette};
pub use reference_stack::Version;

use crate::frames::PcapWriter;
use crate::results::{CaseResult, Nic, Status, Variant};
use case::Case;
pub use load::Input;
pub use record::{Recorded, record};
use reference::ReferenceBoot;

/// What may be chosen for a comparison.
#[derive(Clone, Debug, Default)]
pub struct DiffOptions {
    /// Kernel profile instead of the manifest's.
    pub version: Option<Version>,
    /// Folder for captures of what the reference sent, in the capture's numbers and time.
    pub pcap_dir: Option<PathBuf>,
    /// All divergences are wanted, not the first alone.
    pub keep_going: bool,
    /// The replay is wanted in full, as a [`Story`](crate::results::story::Story).
    pub story: bool,
    /// What the user says of the captures beside their files.
    pub input: Input,
}

/// The manifests that a path names: itself, the one beside a capture, or those of a folder.
///
/// # Errors
/// The path does not exist, or there is no manifest.
pub fn find_captures(path: &Path) -> miette::Result<Vec<PathBuf>> {
    let meta = std::fs::metadata(path)
        .into_diagnostic()
        .wrap_err_with(|| format!("{}: cannot be read", path.display()))?;
    if !meta.is_dir() {
        let manifest = path.with_extension("toml");
        if manifest.is_file() {
            return Ok(vec![manifest]);
        }
        // Without a manifest it is guessed; a damaged capture is refused when it is read.
        return Ok(vec![path.to_owned()]);
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(path)
        .into_diagnostic()
        .wrap_err_with(|| format!("{}: cannot be read", path.display()))?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| {
            let manifest = p.extension().is_some_and(|e| e == "toml");
            manifest && p.file_stem().is_none_or(|s| s != "SCENARIOS")
        })
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(miette!("{}: no manifest (*.toml) in this folder", path.display()));
    }
    Ok(found)
}

/// Replays every capture that a path names into the reference.
///
/// # Errors
/// A file could not be read or is not what it should be. A divergence is a result, not an error.
pub fn diff_path(path: &Path, options: &DiffOptions) -> miette::Result<Vec<CaseResult>> {
    find_captures(path)?.iter().map(|m| diff_capture(m, path, options)).collect()
}

/// Replays one capture, named by its manifest, into the reference. `root` is what the user
/// named: the case's id is the path below it.
///
/// # Errors
/// As [`diff_path`].
pub fn diff_capture(
    manifest: &Path,
    root: &Path,
    options: &DiffOptions,
) -> miette::Result<CaseResult> {
    let started = Instant::now();
    let below = manifest.strip_prefix(root).ok().filter(|p| !p.as_os_str().is_empty());
    let below = below.or_else(|| manifest.file_name().map(Path::new)).unwrap_or(manifest);
    let id = below.with_extension("").display().to_string().replace('\\', "/");
    let mut case = Case::load(manifest, id, &options.input)?;
    let version = options.version;
    let mut found = schedule_of(&mut case, version)?;
    let boot = ReferenceBoot::new(&case, version);
    if options.keep_going && found.ending.divergence.is_some() {
        found.ending = search::replay_past(&case, &boot, &found.plan)?;
    }
    if let Some(dir) = &options.pcap_dir {
        let all = search::replay_past(&case, &boot, &found.plan)?;
        write_sent(&case, dir, &all.sent)?;
    }
    let mut result = verdict(&case, &found, started)?;
    if options.story {
        result.story = Some(Box::new(story::tell(&case, &boot, &found)?));
    }
    Ok(result)
}

/// Looks for a schedule of a capture; where there are no traces the calls are inferred, and the
/// notes say so.
fn schedule_of(case: &mut Case, version: Option<Version>) -> miette::Result<search::Found> {
    if !case.inferred {
        return search::search(case, &ReferenceBoot::new(case, version), search::EFFORT);
    }
    let (found, assumed) = search::search_inferred(case, |case| ReferenceBoot::new(case, version))?;
    let n = case.calls.len();
    case.notes.push(format!("the application's {n} calls are inferred from the frames: {assumed}"));
    Ok(found)
}

/// The case's result: reproduced, reproduced but for accepted divergences, or diverged.
fn verdict(case: &Case, found: &search::Found, started: Instant) -> miette::Result<CaseResult> {
    let ending = &found.ending;
    let us = |ns: u64| ns / 1000;
    let slack = format!(
        "slack rx {} us, calls {} us, timers {} us",
        us(ending.slack.rx_ns),
        us(ending.slack.call_ns),
        us(ending.slack.timer_ns)
    );
    let counts = format!(
        "{} of {} frames, {} results, {} replays",
        ending.frames,
        case.frames.iter().filter(|f| f.outbound).count(),
        ending.results,
        found.replays
    );
    let accepts = &case.manifest.accept;
    if ending.divergence.is_none()
        && let Some((_, unused)) =
            accepts.iter().enumerate().find(|(n, _)| !ending.accepted.contains(n))
    {
        return Err(miette!(
            help = "an accepted divergence that does not happen hides nothing: remove it",
            "{}: [[accept]] of frame {} {} is not used",
            case.path.display(),
            unused.frame,
            unused.field
        ));
    }
    let (status, reason) = match &ending.divergence {
        None if ending.accepted.is_empty() => {
            (Status::Pass, format!("reproduced: {counts}; {slack}"))
        }
        None => {
            let of = |n: &usize| format!("frame {}: {}", accepts[*n].frame, accepts[*n].reason);
            let all = ending.accepted.iter().map(of).collect::<Vec<_>>().join("; ");
            (Status::Pass, format!("reproduced but for accepted: {all}"))
        }
        Some(_) => {
            let mut reason = format!("diverged: {counts}");
            if ending.found.len() > 1 {
                reason.push_str(&format!("; {} divergences", ending.found.len()));
            }
            for m in &ending.missing {
                reason.push_str("; ");
                reason.push_str(m);
            }
            (Status::Fail, reason)
        }
    };
    let start = case.start_ns();
    Ok(CaseResult {
        id: case.id.clone(),
        variant: Variant::None,
        target: "reference".to_owned(),
        nic: Nic::None,
        status,
        reason: Some(reason),
        wall_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        virtual_us: us(ending.at_ns.saturating_sub(start)),
        divergence: ending.divergence.clone(),
        event_log: None,
        not_run: false,
        evidence: None,
        detail: Some(detail(case, found)),
        story: None,
    })
}

/// What led to the verdict, for the terminal: the frames before it and the connections.
fn detail(case: &Case, found: &search::Found) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let start = case.frames.first().map_or(0, |f| f.time_ns);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}", case.manifest.description);
    for note in &case.notes {
        let _ = writeln!(text, "{}", note.trim_end());
    }
    let _ = writeln!(
        text,
        "jiffies at {} us of their span, millisecond edge at {} us",
        found.plan.jiffies_zero_ns / 1000,
        found.plan.ms_edge_ns / 1000
    );
    let Some(d) = &found.ending.divergence else { return text };
    let at = case.frames.iter().position(|f| f.outbound && f.number == d.frame);
    let upto = at.map_or(case.frames.len(), |n| n + 1);
    for f in &case.frames[upto.saturating_sub(6)..upto] {
        let t = f.time_ns.saturating_sub(start);
        let _ = writeln!(
            text,
            "{:>5} {} {:>4}.{:06} {}",
            f.number,
            if f.outbound { '>' } else { '<' },
            t / 1_000_000_000,
            t % 1_000_000_000 / 1000,
            f.full().summary()
        );
    }
    if let Some((_, bytes)) = found.ending.sent.last() {
        let _ = writeln!(text, "  got {}", crate::frames::decode(bytes).summary());
    }
    for line in &found.ending.state {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "what led there:");
    for line in &found.ending.trail {
        let _ = writeln!(text, "  {line}");
    }
    for d in found.ending.found.iter().skip(1) {
        let _ = writeln!(text, "then: {d}");
    }
    text
}

fn write_sent(case: &Case, dir: &Path, sent: &[(u64, Vec<u8>)]) -> miette::Result<()> {
    let name = format!("{}.reference.pcap", case.id.replace('/', "-"));
    let path = dir.join(name);
    let put = || -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        let mut w = PcapWriter::new(file)?;
        sent.iter().try_for_each(|(t, b)| w.frame(*t, b))
    };
    put().into_diagnostic().wrap_err_with(|| format!("{}: cannot be written", path.display()))
}
