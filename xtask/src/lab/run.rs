//! One capture: hosts, wire, tcpdump, programs, files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host_sys::Clock;

use super::LabError;
use super::host::{Node, Role, nodes};
use super::manifest::{self, Facts};
use super::namespace::Namespace;
use super::programs::{self, Running};
use super::relay::{Link, Relay, Tap};
use super::scenario::{Driver, Scenario};
use super::wire::Wire;

/// How long the programs of a host may run.
const LONGEST: Duration = Duration::from_secs(120);
/// What peers need until they wait for the host.
const PEERS_FIRST: Duration = Duration::from_millis(300);
/// An interface with IPv6 has its link-local address then, and has asked for routers.
const IPV6_SETTLES: Duration = Duration::from_millis(2300);
/// tcpdump is handed what was seen a second later at most; it then writes it at once.
const WRITTEN: Duration = Duration::from_millis(1300);

/// A capture that was made.
#[derive(Debug)]
pub(crate) struct Captured {
    /// Its manifest.
    pub(crate) manifest: PathBuf,
    /// Bytes of all its files.
    pub(crate) bytes: u64,
    /// The host's programs had not ended when their time was up.
    pub(crate) cut_short: bool,
}

/// Makes the capture of a scenario in the folder `out`; `own` is this program, which workloads
/// are run by.
///
/// # Errors
/// The scenario makes no sense here, or the host refused something.
pub(crate) fn capture(s: &Scenario, out: &Path, own: &Path) -> Result<Captured, LabError> {
    s.check()?;
    fs::create_dir_all(out).map_err(LabError::host(out.display().to_string()))?;
    let lab = Lab::build(s)?;
    if s.ipv6 {
        std::thread::sleep(IPV6_SETTLES);
    }
    let files = Files::new(s, out, &lab.nodes[0]);
    let dumps = lab.start_dumps(s, &files)?;
    let (cut_short, events) = lab.run_programs(s, &files, own)?;
    std::thread::sleep(Duration::from_millis(s.after_ms) + WRITTEN);
    for mut dump in dumps {
        dump.interrupt();
    }
    let manifest = lab.write_manifest(s, &files, &events)?;
    Ok(Captured { bytes: files.bytes(&manifest), manifest, cut_short })
}

/// The files of a capture.
struct Files {
    out: PathBuf,
    captures: Vec<String>,
    traces: Vec<String>,
}

impl Files {
    fn new(s: &Scenario, out: &Path, host: &Node) -> Self {
        let name = &s.name;
        let suffix = |n: usize| {
            if n == 0 { String::new() } else { format!("-{}", (b'a' + n as u8) as char) }
        };
        let captures =
            (0..host.interfaces.len()).map(|n| format!("{name}{}.pcap", suffix(n))).collect();
        let traces = (0..s.host.len()).map(|n| format!("{name}.L{}.strace", suffix(n))).collect();
        Files { out: out.to_owned(), captures, traces }
    }

    fn bytes(&self, manifest: &Path) -> u64 {
        let len = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
        let named = self.captures.iter().chain(&self.traces);
        named.map(|n| len(&self.out.join(n))).sum::<u64>() + len(manifest)
    }
}

/// Hosts that are set up, with the wire between them.
struct Lab {
    nodes: Vec<Node>,
    spaces: Vec<Namespace>,
    relay: Option<Relay>,
    /// When the interfaces of the captured host came up.
    up_ns: u64,
}

impl Lab {
    fn build(s: &Scenario) -> Result<Self, LabError> {
        let nodes = nodes(s);
        let spaces = nodes.iter().map(|_| Namespace::new()).collect::<Result<Vec<_>, _>>()?;
        let relay = match s.driver {
            Driver::Tun => Some(Relay::new(wires(s, &nodes, &spaces)?)),
            Driver::Veth => {
                veths(&nodes, &spaces)?;
                None
            }
        };
        let mut up_ns = 0;
        // The captured host comes last: it sees its peers up.
        for (node, space) in nodes.iter().zip(&spaces).rev() {
            let node = node.clone();
            up_ns = space.run(move || node.set_up())?;
        }
        Ok(Lab { nodes, spaces, relay, up_ns })
    }

    fn start_dumps(&self, s: &Scenario, files: &Files) -> Result<Vec<Running>, LabError> {
        let snaplen = s.snaplen;
        let interfaces = self.nodes[0].interfaces.iter().zip(&files.captures);
        interfaces
            .map(|(i, file)| {
                let (name, path) = (i.name.clone(), files.out.join(file));
                self.spaces[0].run(move || programs::start_tcpdump(&name, snaplen, &path))
            })
            .collect()
    }

    /// Runs the programs: whether the host's did not end in time, and when events were done.
    fn run_programs(
        &self,
        s: &Scenario,
        files: &Files,
        own: &Path,
    ) -> Result<(bool, Vec<(u64, String)>), LabError> {
        let mut others = Vec::new();
        for (node, space) in self.nodes.iter().zip(&self.spaces) {
            let wanted = match node.role {
                Role::Host => continue,
                Role::Peer => &s.peer,
                Role::Other => &s.far,
            };
            for program in wanted {
                let (program, own) = (program.clone(), own.to_owned());
                others.push(space.run(move || programs::start(&program, &own))?);
            }
        }
        std::thread::sleep(PEERS_FIRST);
        if let Some(relay) = &self.relay {
            relay.start();
        }
        let started = Instant::now();
        let mut running = Vec::new();
        for (program, trace) in s.host.iter().zip(&files.traces) {
            let (program, own) = (program.clone(), own.to_owned());
            let (flags, trace) = (s.strace.clone(), files.out.join(trace));
            let start = move || programs::start_traced(&program, &own, &flags, &trace);
            running.push(self.spaces[0].run(start)?);
        }
        let events = self.administrate(s, started)?;
        // Without a program of its own the host answers its peer's.
        let waited_for = if running.is_empty() { &mut others } else { &mut running };
        let until = started + LONGEST;
        let cut_short = waited_for.iter_mut().map(|p| p.wait(until)).filter(|ended| !ended).count();
        Ok((cut_short > 0, events))
    }

    /// Does what the administrator does, each at its time.
    fn administrate(&self, s: &Scenario, started: Instant) -> Result<Vec<(u64, String)>, LabError> {
        let mut done = Vec::new();
        let mut events = s.event.clone();
        events.sort_by_key(|e| e.at_ms);
        for event in events {
            let at = started + Duration::from_millis(event.at_ms);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let run = event.run.clone();
            let now = self.spaces[0].run(move || {
                let before = host_sys::now_ns(Clock::Realtime);
                programs::run(&run)?;
                // The command's effect lies between its start and its end, near the latter.
                Ok(before + (host_sys::now_ns(Clock::Realtime) - before) / 4 * 3)
            })?;
            done.push((now, event.run));
        }
        Ok(done)
    }

    fn write_manifest(
        &self,
        s: &Scenario,
        files: &Files,
        events: &[(u64, String)],
    ) -> Result<PathBuf, LabError> {
        let first = files
            .captures
            .iter()
            .filter_map(|c| first_stamp(&files.out.join(c)))
            .min()
            .ok_or_else(|| LabError::Scenario(format!("{}: no frame was captured", s.name)))?;
        let seconds = |from: u64, to: u64| (to as f64 - from as f64) / 1e9;
        let refused = || LabError::Scenario("the kernel does not say its version or HZ".to_owned());
        let facts = Facts {
            kernel: manifest::kernel_version().ok_or_else(refused)?,
            hz: manifest::kernel_hz().ok_or_else(refused)?,
            mem_mib: manifest::mem_mib(),
            sysctls: self.spaces[0].run(|| Ok(manifest::sysctl_facts()))?,
            up_before_s: seconds(self.up_ns, first),
            traces: files.traces.clone(),
            captures: files.captures.clone(),
            events: events.iter().map(|(t, run)| (seconds(first, *t), run.clone())).collect(),
        };
        let path = files.out.join(format!("{}.toml", s.name));
        fs::write(&path, manifest::text(s, &self.nodes[0], &facts))
            .map_err(LabError::host(path.display().to_string()))?;
        Ok(path)
    }
}

/// TAP devices for all interfaces, with their wires. The scenario's delays and rules are those of
/// link 0.
fn wires(s: &Scenario, nodes: &[Node], spaces: &[Namespace]) -> Result<Vec<Link>, LabError> {
    let links = 1 + nodes.iter().flat_map(|n| &n.interfaces).map(|i| i.link).max().unwrap_or(0);
    (0..links)
        .map(|link| {
            let mut ends = Vec::new();
            for (node, space) in nodes.iter().zip(spaces) {
                for i in node.interfaces.iter().filter(|i| i.link == link) {
                    let name = i.name.clone();
                    ends.push(space.run(move || Tap::open(&name))?);
                }
            }
            let wire = match link {
                0 => Wire::new(s.delay_ms, s.rate_mbit, s.queue, &s.rules, s.seed),
                _ => Wire::new(0.0, 0.0, s.queue, &[], s.seed),
            };
            let ends = ends
                .try_into()
                .map_err(|_| LabError::Scenario("a link has two ends".to_owned()))?;
            Ok(Link { ends, wire })
        })
        .collect()
}

/// veth pairs between the namespaces.
fn veths(nodes: &[Node], spaces: &[Namespace]) -> Result<(), LabError> {
    let mut open: Vec<Option<(usize, String)>> = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        for i in &node.interfaces {
            if open.len() <= i.link {
                open.resize(i.link + 1, None);
            }
            match open[i.link].take() {
                None => open[i.link] = Some((n, i.name.clone())),
                Some((other, name)) => {
                    let line = format!(
                        "ip link add {name} type veth peer name {} netns {}",
                        i.name, spaces[n].tid
                    );
                    spaces[other].run(move || programs::run(&line))?;
                }
            }
        }
    }
    Ok(())
}

/// The time stamp of a capture's first frame, nanoseconds. tcpdump wrote the file just now, in this
/// machine's byte order, with nanoseconds.
fn first_stamp(path: &Path) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let word = |at: usize| -> Option<u64> {
        Some(u64::from(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?)))
    };
    Some(word(24)? * 1_000_000_000 + word(28)?)
}
