//! A capture with its manifest and traces, from files to a [`Case`]: what is damaged is repaired
//! with a note, or refused with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use miette::{Context, IntoDiagnostic, LabeledSpan, MietteDiagnostic, NamedSource, Report, miette};

use super::admin::Admin;
use super::case::{AdminEvent, CapFrame, Case};
use super::{guess, infer};
use crate::capture::{
    CallName, FileId, Link, Manifest, Packet, SocketCall, parse_strace, read_packets, socket_calls,
};
use crate::frames::decode;

/// What the user says of a capture beside its files.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The traces are not looked at: the calls are inferred from the frames.
    pub no_strace: bool,
    /// Traces instead of the manifest's.
    pub strace: Vec<PathBuf>,
    /// Without a manifest: the host's hardware address, `02:00:00:00:00:01`.
    pub mac: Option<String>,
    /// Without a manifest: the host's addresses, `10.0.2.15/24`.
    pub addresses: Vec<String>,
    /// Sysctls, `NAME=VALUE`, after the manifest's.
    pub sysctls: Vec<String>,
    /// Without a manifest: the kernel version.
    pub kernel: Option<String>,
}

/// A step of the clock, rather than frames out of order.
const STEP_NS: u64 = 1_000_000_000;

impl Case {
    /// Reads a capture: by its manifest, or the file itself, whose manifest is then guessed.
    pub(crate) fn load(path: &Path, id: String, input: &Input) -> miette::Result<Self> {
        let mut notes = Vec::new();
        let guessed = path.extension().is_none_or(|e| e != "toml");
        let (mut manifest, source) = if guessed {
            let text = guess::manifest(path, input)?;
            notes.push(format!("there is no manifest; guessed from the capture:\n{text}"));
            let name = format!("{} (guessed)", path.display());
            (Manifest::parse(&name, &text)?, NamedSource::new(name, text))
        } else {
            Manifest::read(path)?
        };
        for s in &input.sysctls {
            let (name, value) = s.split_once('=').ok_or_else(|| {
                miette!(help = "as in `--sysctl net.ipv4.tcp_sack=0`", "{s:?} is not NAME=VALUE")
            })?;
            let value = toml::Spanned::new(0..0, toml::Value::String(value.trim().to_owned()));
            manifest.sysctl.insert(name.trim().to_owned(), value);
        }
        let base = path.parent().unwrap_or(Path::new("."));
        let frames = read_frames(&manifest, base, &mut notes)?;
        let calls = if input.no_strace { Vec::new() } else { traced(&manifest, base, input)? };
        let start = frames.first().map_or(0, |f| f.time_ns);
        let mut case = Self {
            id,
            events: events(&manifest, &source, start)?,
            manifest,
            source,
            frames,
            calls,
            payload: BTreeMap::new(),
            fixed_ports: BTreeSet::new(),
            connected_udp: BTreeSet::new(),
            notes,
            path: path.to_owned(),
        };
        let traceless = input.strace.is_empty() && guessed;
        if input.no_strace || traceless {
            case.calls = infer::calls(&case);
            let n = case.calls.len();
            case.notes.push(format!("the application's {n} calls are inferred from the frames"));
        }
        case.keep_inet();
        case.find_payloads();
        Ok(case)
    }
}

/// The frames of all interfaces in order of time.
fn read_frames(
    manifest: &Manifest,
    base: &Path,
    notes: &mut Vec<String>,
) -> miette::Result<Vec<CapFrame>> {
    let mut frames = Vec::new();
    for (port, interface) in manifest.interface.iter().enumerate() {
        let path = base.join(&interface.capture);
        let packets = read_packets(&path)?;
        if packets.is_empty() {
            if manifest.interface.len() == 1 {
                return Err(miette!("{}: no frames in this capture", path.display()));
            }
            // A router may hear and say nothing on one of its interfaces.
            notes.push(format!("{}: no frames on {}", path.display(), interface.name));
            continue;
        }
        check_order(&path, &packets, notes)?;
        let mac = interface.mac_bytes();
        let own: Vec<IpAddr> = interface.prefixes().into_iter().map(|p| p.0).collect();
        let mut of_file: Vec<CapFrame> =
            packets.into_iter().map(|p| captured(p, port, mac, &own)).collect();
        strip_vlan(&mut of_file, mac, &path, notes);
        if of_file.iter().any(|f| f.link != Link::Ethernet) {
            of_file.retain(|f| matches!(f.frame.ether_type, 0x0800 | 0x86dd));
            notes.push(format!(
                "{}: captured without Ethernet headers: IP is compared, and no link below it",
                path.display()
            ));
        } else if !of_file.iter().any(|f| f.frame.eth_src == mac || f.frame.eth_dst == mac) {
            return Err(miette!(
                help = "is `mac` in the manifest (or --mac) that of the host it was captured on?",
                "{}: no frame to or from {}",
                path.display(),
                interface.mac.get_ref()
            ));
        }
        frames.extend(of_file);
    }
    if frames.is_empty() {
        return Err(miette!("no frames in the captures of any interface"));
    }
    // Frames of one interface stay in the order of the file where stamps are equal.
    frames.sort_by_key(|f| f.time_ns);
    Ok(frames)
}

fn captured(p: Packet, port: usize, mac: [u8; 6], own: &[IpAddr]) -> CapFrame {
    let frame = decode(&p.data);
    let from_own = frame.addresses.is_some_and(|(src, _)| own.contains(&src));
    let outbound = match p.link {
        Link::Ethernet => frame.eth_src == mac,
        _ => p.outgoing.unwrap_or(from_own),
    };
    let cut = (p.data.len() as u64) < u64::from(p.orig_len);
    let mut data = p.data;
    let mut frame = frame;
    if p.link != Link::Ethernet {
        // Cooked headers have the sender's address: there is nothing to hold it against.
        data[..12].fill(0);
        frame = decode(&data);
    }
    CapFrame {
        port,
        number: p.number,
        time_ns: p.time_ns,
        cut,
        outbound,
        link: p.link,
        data,
        frame,
    }
}

/// Stamps that go back: a little is the capture's own disorder and is sorted; one step is the
/// clock's; many are a file whose frames were shuffled.
fn check_order(path: &Path, packets: &[Packet], notes: &mut Vec<String>) -> miette::Result<()> {
    let back: Vec<(u64, u64)> = packets
        .windows(2)
        .filter(|w| w[1].time_ns < w[0].time_ns)
        .map(|w| (w[1].number, w[0].time_ns - w[1].time_ns))
        .collect();
    let Some(&(number, most)) = back.iter().max_by_key(|b| b.1) else { return Ok(()) };
    if back.len() == 1 && most >= STEP_NS {
        return Err(miette!(
            help = "cut the file there (editcap) and compare its parts",
            "{}: the clock was set back by {:.6} s before frame {number}",
            path.display(),
            most as f64 / 1e9
        ));
    }
    notes.push(format!(
        "{}: {} frames were not in order of time, by up to {:.6} s: sorted",
        path.display(),
        back.len(),
        most as f64 / 1e9
    ));
    Ok(())
}

/// A capture on the device below a VLAN: the host's own tag is taken off all its frames, and
/// frames of other VLANs are left out.
fn strip_vlan(frames: &mut Vec<CapFrame>, mac: [u8; 6], path: &Path, notes: &mut Vec<String>) {
    let tag = |f: &CapFrame| -> Option<[u8; 2]> {
        let tagged = f.data.get(12..14) == Some(&[0x81, 0][..]);
        // The identifier; priorities may differ.
        tagged
            .then(|| [f.data.get(14).map_or(0, |b| b & 0x0f), f.data.get(15).copied().unwrap_or(0)])
    };
    let Some(own) = frames.iter().filter(|f| f.frame.eth_src == mac).find_map(&tag) else { return };
    let before = frames.len();
    frames.retain(|f| tag(f) == Some(own));
    for f in frames.iter_mut() {
        f.data.drain(12..16);
        f.frame = decode(&f.data);
    }
    notes.push(format!(
        "{}: VLAN {} taken off; {} frames of other VLANs or none left out",
        path.display(),
        u16::from_be_bytes(own),
        before - frames.len()
    ));
}

fn traced(manifest: &Manifest, base: &Path, input: &Input) -> miette::Result<Vec<SocketCall>> {
    let named: Vec<PathBuf> = if input.strace.is_empty() {
        manifest.strace.iter().map(|s| base.join(s)).collect()
    } else {
        input.strace.clone()
    };
    let mut calls = Vec::new();
    for (n, path) in named.iter().enumerate() {
        let bytes = std::fs::read(path)
            .into_diagnostic()
            .wrap_err_with(|| format!("{}: not readable", path.display()))?;
        // A program may have printed anything into its arguments.
        let text = String::from_utf8_lossy(&bytes);
        let mut of_file = socket_calls(&parse_strace(&path.display().to_string(), &text)?);
        for c in &mut of_file {
            renumber(c, n as u32);
        }
        calls.extend(of_file);
    }
    calls.sort_by_key(|c| c.entry_ns);
    Ok(calls)
}

fn events(
    manifest: &Manifest,
    source: &NamedSource<String>,
    start_ns: u64,
) -> miette::Result<Vec<AdminEvent>> {
    let mut events = Vec::new();
    for e in &manifest.event {
        let command = Admin::parse(e.run.get_ref()).map_err(|why| {
            let label = LabeledSpan::at(e.run.span(), "here");
            Report::new(MietteDiagnostic::new(why).with_label(label))
                .with_source_code(source.clone())
        })?;
        let at_ns = start_ns.saturating_add((e.at_s.clamp(0.0, 1e6) * 1e9) as u64);
        events.push(AdminEvent { at_ns, at_s: e.at_s, command });
    }
    events.sort_by_key(|e| e.at_ns);
    Ok(events)
}

/// Keeps the sockets of several traces apart.
fn renumber(c: &mut SocketCall, trace: u32) {
    let base = trace << 20;
    let fix = |f: &mut FileId| f.0 = f.0.wrapping_add(base);
    match &mut c.call {
        CallName::Socket { file, .. } => file.iter_mut().for_each(fix),
        CallName::Accept { file, new, .. } => {
            fix(file);
            new.iter_mut().for_each(fix);
        }
        CallName::Bind { file, .. }
        | CallName::Listen { file, .. }
        | CallName::Connect { file, .. }
        | CallName::Getsockname { file, .. }
        | CallName::Getpeername { file, .. }
        | CallName::Setsockopt { file, .. }
        | CallName::Getsockopt { file, .. }
        | CallName::Shutdown { file, .. }
        | CallName::Send { file, .. }
        | CallName::Recv { file, .. }
        | CallName::Sendfile { file, .. }
        | CallName::Close { file }
        | CallName::SetNonblock { file, .. }
        | CallName::EpollCtl { file, .. }
        | CallName::Other { file, .. } => fix(file),
        CallName::Poll { fds, .. } => fds.iter_mut().for_each(|f| fix(&mut f.file)),
        CallName::Select { read, write, except, .. } => {
            for s in [read, write, except] {
                s.asked.iter_mut().for_each(fix);
                s.ready.iter_mut().for_each(fix);
            }
        }
        CallName::EpollWait { .. } => {}
    }
}
