//! A capture with its manifest and traces, from files to a [`Case`]: what is damaged is repaired
//! with a note, or refused with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Context, IntoDiagnostic, LabeledSpan, MietteDiagnostic, NamedSource, Report, miette};

use super::admin::Admin;
use super::bytes::{FrameBytes, LARGE};
use super::case::{AdminEvent, CapFrame, Case};
use super::guess;
use super::infer::Assumptions;
use super::mapping::offsets;
use crate::capture::{
    CallName, FileId, Link, Manifest, Packet, PacketReader, Record, SocketCall, parse_strace,
    socket_calls,
};
use crate::frames::{decode, decode_unlisted};

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
        let mut frames = read_frames(&manifest, base, &mut notes)?;
        let mut calls = if input.no_strace { Vec::new() } else { traced(&manifest, base, input)? };
        away_from_zero(&mut frames, &mut calls);
        if frames.iter().any(|f| f.cut && !f.outbound) {
            notes.push("frames to the host were cut: zeros stand for what is missing".to_owned());
            forget_data(&mut calls);
        }
        times_of_day(&mut calls, &frames, &mut notes);
        let start = frames.first().map_or(0, |f| f.time_ns);
        let mut case = Self {
            id,
            events: events(&manifest, &source, start)?,
            manifest,
            source,
            frames,
            calls,
            tentative: BTreeSet::new(),
            payload: BTreeMap::new(),
            inferred: input.no_strace || (input.strace.is_empty() && guessed),
            fixed_ports: BTreeSet::new(),
            connected_udp: BTreeSet::new(),
            notes,
            path: path.to_owned(),
        };
        if case.inferred {
            case.infer(Assumptions::default());
        } else {
            case.keep_inet();
            case.find_payloads();
        }
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
        let mac = interface.mac_bytes();
        let own: Vec<IpAddr> = interface.prefixes().into_iter().map(|p| p.0).collect();
        let on_disk = disk_file(&path);
        let mut order = Order::default();
        let mut of_file = Vec::new();
        for packet in PacketReader::open(&path)?.only(mac) {
            let packet = packet?;
            order.next(&packet);
            of_file.push(captured(packet, port, mac, &own, on_disk.as_ref()));
        }
        if of_file.is_empty() {
            if manifest.interface.len() == 1 {
                return Err(miette!("{}: no frames in this capture", path.display()));
            }
            // A router may hear and say nothing on one of its interfaces.
            notes.push(format!("{}: no frames on {}", path.display(), interface.name));
            continue;
        }
        order.check(&path, notes)?;
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

/// The file of a large capture, whose frames stay there.
fn disk_file(path: &Path) -> Option<Arc<File>> {
    let file = File::open(path).ok()?;
    let large = file.metadata().ok()?.len() > LARGE;
    large.then(|| Arc::new(file))
}

fn captured(
    p: Packet,
    port: usize,
    mac: [u8; 6],
    own: &[IpAddr],
    on_disk: Option<&Arc<File>>,
) -> CapFrame {
    let mut frame = match on_disk {
        Some(_) => decode_unlisted(&p.data),
        None => decode(&p.data),
    };
    let from_own = frame.addresses.is_some_and(|(src, _)| own.contains(&src));
    let outbound = match p.link {
        Link::Ethernet => frame.eth_src == mac,
        _ => p.outgoing.unwrap_or(from_own),
    };
    let cut = (p.data.len() as u64) < u64::from(p.orig_len);
    let mut data = p.data;
    if cut && !outbound && p.link == Link::Ethernet {
        fill_cut(&mut data);
        frame = decode(&data);
    }
    if p.link != Link::Ethernet {
        // Cooked headers have the sender's address: there is nothing to hold it against.
        data[..12].fill(0);
        frame = decode(&data);
    }
    let bytes = match (on_disk, p.at) {
        (Some(file), Some(at)) if !cut => {
            FrameBytes::OnDisk { file: Arc::clone(file), at, len: data.len() as u32 }
        }
        _ => {
            if on_disk.is_some() {
                frame = decode(&data);
            }
            FrameBytes::Held(data)
        }
    };
    let (number, time_ns, link) = (p.number, p.time_ns, p.link);
    CapFrame { port, number, time_ns, cut, outbound, link, bytes, frame }
}

/// Gives a packet that the capture cut its whole length: zeros for what is missing, with a
/// checksum to match. Nothing is done where headers are missing too.
fn fill_cut(data: &mut Vec<u8>) {
    let Some(o) = offsets(data, 14) else { return };
    let word = |b: &[u8], at: usize| b.get(at..at + 2).map(|w| u16::from_be_bytes([w[0], w[1]]));
    let (length, addresses) = match o.v6 {
        true => (word(data, o.l3 + 4).map(|n| 40 + usize::from(n)), o.l3 + 8..o.l3 + 40),
        false => (word(data, o.l3 + 2).map(usize::from), o.l3 + 12..o.l3 + 20),
    };
    let sum_at = match o.protocol {
        6 => o.l4 + 16,
        17 => o.l4 + 6,
        1 | 58 => o.l4 + 2,
        _ => 0,
    };
    let whole = length.map(|n| o.l3 + n).filter(|n| *n > data.len());
    let (Some(whole), Some(sum)) = (whole, word(data, sum_at)) else { return };
    data.resize(whole, 0);
    if o.later_fragment || sum_at == 0 || (o.protocol == 17 && sum == 0) {
        return;
    }
    data[sum_at..sum_at + 2].fill(0);
    let mut total: u32 = data[o.l4..]
        .chunks(2)
        .map(|w| word(&[w[0], *w.get(1).unwrap_or(&0)], 0))
        .map(|w| u32::from(w.unwrap_or(0)))
        .sum();
    if o.protocol != 1 {
        total += (whole - o.l4) as u32 + u32::from(o.protocol);
        total += data[addresses]
            .chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum::<u32>();
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    let sum = match !(total as u16) {
        0 => 0xffff,
        sum => sum,
    };
    data[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Stamps that go back: a little is the capture's own disorder and is sorted; one step is the
/// clock's; many are a file whose frames were shuffled.
#[derive(Default)]
struct Order {
    last_ns: u64,
    back: u64,
    /// The longest way back, and the frame that it comes before.
    most: (u64, u64),
}

impl Order {
    fn next(&mut self, p: &Packet) {
        if p.time_ns < self.last_ns {
            self.back += 1;
            self.most = self.most.max((self.last_ns - p.time_ns, p.number));
        }
        self.last_ns = p.time_ns;
    }

    fn check(&self, path: &Path, notes: &mut Vec<String>) -> miette::Result<()> {
        let (most, number) = self.most;
        if self.back == 0 {
            return Ok(());
        }
        if self.back == 1 && most >= STEP_NS {
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
            self.back,
            most as f64 / 1e9
        ));
        Ok(())
    }
}

/// A capture on the device below a VLAN: the host's own tag is taken off all its frames, and
/// frames of other VLANs are left out.
fn strip_vlan(frames: &mut Vec<CapFrame>, mac: [u8; 6], path: &Path, notes: &mut Vec<String>) {
    // The identifier; priorities may differ.
    let tag = |f: &CapFrame| -> Option<[u8; 2]> {
        let id = f.frame.vlan?;
        Some(id.to_be_bytes())
    };
    let Some(own) = frames.iter().filter(|f| f.frame.eth_src == mac).find_map(&tag) else { return };
    let before = frames.len();
    frames.retain(|f| tag(f) == Some(own));
    for f in frames.iter_mut() {
        let mut data = f.data().into_owned();
        data.drain(12..16);
        f.frame = decode(&data);
        f.bytes = FrameBytes::Held(data);
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
    // A file for each thread (strace -ff): NAME.PID.
    let mut threads = Vec::new();
    for (n, path) in named.iter().enumerate() {
        let bytes = std::fs::read(path)
            .into_diagnostic()
            .wrap_err_with(|| format!("{}: not readable", path.display()))?;
        // A program may have printed anything into its arguments.
        let text = String::from_utf8_lossy(&bytes);
        let mut records = parse_strace(&path.display().to_string(), &text)?;
        refuse_relative(path, &records)?;
        if let Some(pid) = path.extension().and_then(|e| e.to_str()?.parse::<u32>().ok()) {
            records.iter_mut().for_each(|r| r.set_pid(pid));
            threads.extend(records);
            continue;
        }
        let mut of_file = socket_calls(&records);
        for c in &mut of_file {
            renumber(c, n as u32);
        }
        calls.extend(of_file);
    }
    threads.sort_by_key(Record::time_ns);
    let mut of_threads = socket_calls(&threads);
    for c in &mut of_threads {
        renumber(c, named.len() as u32);
    }
    calls.extend(of_threads);
    calls.sort_by_key(|c| c.entry_ns);
    Ok(calls)
}

/// Times since the line before (-r) do not say when a call was made.
fn refuse_relative(path: &Path, records: &[Record]) -> miette::Result<()> {
    const DAYS_NS: u64 = 3 * 86_400_000_000_000;
    let mut lines: Vec<(usize, u64)> = records
        .iter()
        .filter_map(|r| match r {
            Record::Call(c) => Some((c.line, c.entry_ns)),
            _ => None,
        })
        .collect();
    lines.sort_unstable();
    let back = lines.windows(2).filter(|w| w[1].1 < w[0].1).count();
    if lines.iter().all(|l| l.1 < DAYS_NS) && lines.len() > 4 && back * 4 > lines.len() {
        return Err(miette!(
            help = "record with `strace -f -ttt -T`",
            "{}: its times go back at {back} of {} lines, as relative ones (-r) do",
            path.display(),
            lines.len()
        ));
    }
    Ok(())
}

/// What was received is not known where the capture cut it.
fn forget_data(calls: &mut [SocketCall]) {
    for c in calls {
        if let CallName::Recv { data, .. } = &mut c.call {
            data.clear();
        }
    }
}

/// A clock that starts at 0 leaves no time for what was before: it is taken for a later one.
fn away_from_zero(frames: &mut [CapFrame], calls: &mut [SocketCall]) {
    const EARLY_NS: u64 = 30 * 86_400_000_000_000;
    if frames.first().is_none_or(|f| f.time_ns >= EARLY_NS) {
        return;
    }
    for f in frames {
        f.time_ns += EARLY_NS;
    }
    for c in calls {
        c.entry_ns = c.entry_ns.saturating_add(EARLY_NS);
        c.exit_ns = c.exit_ns.map(|t| t.saturating_add(EARLY_NS));
    }
}

/// A trace with times of day (-tt) is brought to the capture's day, and to its zone, which is a
/// multiple of a quarter of an hour away.
fn times_of_day(calls: &mut [SocketCall], frames: &[CapFrame], notes: &mut Vec<String>) {
    const QUARTER_NS: i128 = 900_000_000_000;
    const DAYS_NS: u64 = 3 * 86_400_000_000_000;
    let (Some(first), Some(start)) = (calls.first(), frames.first()) else { return };
    if calls.iter().any(|c| c.entry_ns >= DAYS_NS) {
        return;
    }
    let away = i128::from(start.time_ns) - i128::from(first.entry_ns);
    let shift = (away + QUARTER_NS / 2).div_euclid(QUARTER_NS) * QUARTER_NS;
    let moved = |ns: u64| u64::try_from(i128::from(ns) + shift).unwrap_or(0);
    for c in calls.iter_mut() {
        c.entry_ns = moved(c.entry_ns);
        c.exit_ns = c.exit_ns.map(moved);
    }
    let hours = shift.rem_euclid(86_400_000_000_000) as f64 / 3.6e12;
    notes.push(format!(
        "the trace has times of day: taken as the capture's, {hours:.2} h ahead of the trace's"
    ));
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
        CallName::Socket { file, .. } | CallName::EpollCreate { file } => {
            file.iter_mut().for_each(fix);
        }
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
        | CallName::Other { file, .. } => fix(file),
        CallName::Poll { fds, .. } => fds.iter_mut().for_each(|f| fix(&mut f.file)),
        CallName::Select { read, write, except, .. } => {
            for s in [read, write, except] {
                s.asked.iter_mut().for_each(fix);
                s.ready.iter_mut().for_each(fix);
            }
        }
        CallName::EpollCtl { epoll, file, .. } => {
            fix(epoll);
            fix(file);
        }
        CallName::EpollWait { epoll, .. } => fix(epoll),
    }
}
