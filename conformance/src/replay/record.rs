//! A capture as scripts, one a TCP connection: what the host was sent and told is what the script does, what it sent and
//! returned is what the script expects.
//!
//! The order of events and the moments of calls are those of the schedule that reproduces the capture, so a script is as
//! exact as the verdict on its capture. Payloads become zeros, as the language has it; the clocks of TSval are mapped.

mod calls;
mod flows;

use std::fmt::Write as _;
use std::path::Path;

use miette::miette;

use super::case::{CapFrame, Case};
use super::load::Input;
use super::reference::ReferenceBoot;
use super::search;
use super::trail::Event;
use crate::capture::{CallName, sysctl_text};
use crate::script::{self, Defines, Source};
use flows::Flow;

/// How early or late an event of a recorded script may be, microseconds: a tick of the usual kernels, and a host's own
/// slowness.
const TOLERANCE_US: u32 = 12_000;
/// Nanoseconds from a script's start to the first thing that its connection does.
const BEFORE_NS: u64 = 100_000_000;
/// Sysctls of a manifest that say nothing to one connection.
const UNUSED_SYSCTLS: &[&str] = &["net.ipv4.ip_local_port_range"];

/// A script made from a capture.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The capture's id, with the number of the connection where there are several.
    pub id: String,
    /// The script.
    pub text: String,
    /// The kernel that it is true of, as `6.18`.
    pub kernel: String,
    /// How far the capture is reproduced, if it is not wholly: the first difference.
    pub divergence: Option<String>,
}

/// Writes the TCP connections over IPv4 of a capture as scripts. It is named by its manifest, or itself; then the manifest
/// is the one beside it, or guessed.
///
/// # Errors
/// A file cannot be read or is not what it should be, or the capture has no such connection.
pub fn record(path: &Path, input: &Input) -> miette::Result<Vec<Recorded>> {
    let manifest = path.with_extension("toml");
    let path = if manifest.is_file() { manifest.as_path() } else { path };
    let id = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let mut case = Case::load(path, id, input)?;
    if case.manifest.interface.len() != 1 {
        return Err(miette!("{}: a script has one interface", path.display()));
    }
    if let Some(frame) = case.frames.iter().find(|frame| frame.cut) {
        return Err(miette!(
            help = "capture whole frames: tcpdump -s 0",
            "{}: frame {} is cut",
            path.display(),
            frame.number
        ));
    }
    let found = super::schedule_of(&mut case, None)?;
    let boot = ReferenceBoot::new(&case, None);
    let way = search::way(&case, &boot, &found.plan)?;
    let flows = flows::of(&case);
    if flows.is_empty() {
        return Err(miette!(
            help = "scripts are made of connections whose first SYN is in the capture",
            "{}: there is no TCP connection over IPv4",
            path.display()
        ));
    }
    let several = flows.len() > 1;
    let scripts = flows.iter().enumerate().map(|(n, flow)| Recorded {
        id: if several { format!("{}-{}", case.id, n + 1) } else { case.id.clone() },
        text: Writer::new(&case, flow).script(&way),
        kernel: case.manifest.kernel.get_ref().clone(),
        divergence: found.ending.divergence.as_ref().map(ToString::to_string),
    });
    Ok(scripts.collect())
}

/// Writes one connection's script.
struct Writer<'a> {
    case: &'a Case,
    flow: &'a Flow,
    /// Events: capture clock, and what happens behind the time.
    events: Vec<(u64, String)>,
}

impl<'a> Writer<'a> {
    fn new(case: &'a Case, flow: &'a Flow) -> Self {
        Writer { case, flow, events: Vec::new() }
    }

    fn script(mut self, way: &[(u64, Event)]) -> String {
        self.listener();
        self.follow(way);
        let mut text = self.head();
        let start = self.events.first().map_or(0, |(at, _)| *at);
        let mut due = 0;
        for (at, event) in &self.events {
            // The order is what the schedule had; a stamp may be a little off.
            due = at.saturating_sub(start).max(due);
            let _ = writeln!(text, "{} {event}", seconds(due));
        }
        script::format(&Source::new("recorded", &text), &Defines::new()).unwrap_or(text)
    }

    /// What the script says before its events.
    fn head(&self) -> String {
        let manifest = &self.case.manifest;
        let mut out = String::new();
        let _ = writeln!(out, "// {}", manifest.description.replace('\n', " "));
        let _ = writeln!(out, "// Recorded from {}.", self.flow);
        let _ = writeln!(out, "// profiles: {}", manifest.kernel.get_ref());
        let _ = writeln!(out, "--tolerance_usecs={TOLERANCE_US}\n--hz={}", manifest.hz.get_ref());
        let arp_ns = self.flow.arp_ns(self.case);
        if arp_ns > 0 {
            let _ = writeln!(out, "--arp_usecs={}", arp_ns / 1000);
        }
        let (local, remote) = (self.flow.local, self.flow.remote);
        let interface = &manifest.interface[0];
        let len = interface
            .prefixes()
            .into_iter()
            .find(|(address, _)| *address == local.ip())
            .map_or(24, |(_, len)| len.min(32));
        let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
        let _ = writeln!(out, "--local_ip={}\n--gateway_ip={0}", local.ip());
        let _ = writeln!(out, "--netmask_ip={}", std::net::Ipv4Addr::from_bits(mask));
        let _ = writeln!(out, "--remote_ip={}\n--mtu={}", remote.ip(), interface.mtu);
        let ports = (local.port(), remote.port());
        let _ = writeln!(out, "--bind_port={}\n--connect_port={}\n", ports.0, ports.1);
        let mut commands = Vec::new();
        for (name, value) in &manifest.sysctl {
            if !UNUSED_SYSCTLS.contains(&name.as_str()) {
                commands.push(format!("sysctl -q {name}=\"{}\"", sysctl_text(value.get_ref())));
            }
        }
        if !interface.offloads.iter().any(|name| name == "tso") {
            commands.push("ethtool -K tun0 tso off".to_owned());
        }
        if !commands.is_empty() {
            let _ = writeln!(out, "`{}`\n", commands.join("\n"));
        }
        out
    }

    /// The listening socket of a connection that came from outside, ready before it begins.
    fn listener(&mut self) {
        let Some(file) = self.flow.listener else { return };
        let at = self.flow.start_ns.saturating_sub(BEFORE_NS);
        for (index, call) in self.case.calls.iter().enumerate() {
            let wanted = matches!(
                &call.call,
                CallName::Socket { file: Some(f), .. }
                    | CallName::Bind { file: f, .. }
                    | CallName::Listen { file: f, .. }
                    | CallName::Setsockopt { file: f, .. }
                    | CallName::SetNonblock { file: f, .. }
                    if Some(*f) == Some(file)
            );
            if wanted && call.entry_ns < self.flow.start_ns {
                self.events.extend(calls::text(self.case, self.flow, index, None).map(|t| (at, t)));
            }
        }
    }

    /// The connection's part of what happened.
    fn follow(&mut self, way: &[(u64, Event)]) {
        for (n, (at, event)) in way.iter().enumerate() {
            match event {
                Event::In { number, .. } => self.frame(*at, *number, false),
                Event::Out { number } => self.frame(*at, *number, true),
                Event::Call { index: Some(index), again, .. } => {
                    self.call(&way[n + 1..], *at, *index, *again);
                }
                Event::Call { index: None, .. } | Event::Timer(_) => {}
            }
        }
    }

    fn frame(&mut self, at: u64, number: u64, outbound: bool) {
        let frame = self.case.frames.iter().find(|f| f.number == number && f.outbound == outbound);
        let Some(frame) = frame else { return };
        let Some(text) = self.flow.packet(frame) else { return };
        // What the host sent has the capture's time; what it was sent, that of its handling.
        let at = if outbound { frame.time_ns } else { at };
        self.events.push((at, text));
    }

    /// A call that did not wait stands where it was made. One that did stands where it came to its end if it only takes
    /// what is there; else its script's call waits too.
    fn call(&mut self, rest: &[(u64, Event)], at: u64, index: usize, again: bool) {
        let last = rest.iter().rev().find_map(|(at, event)| match event {
            Event::Call { index: Some(i), again: true, .. } if *i == index => Some(*at),
            _ => None,
        });
        let call = &self.case.calls[index];
        if Some(true) == self.flow.listener.map(|file| calls::file_of(&call.call) == Some(file))
            && !matches!(call.call, CallName::Accept { .. })
        {
            // It is in the script already.
            return;
        }
        let takes = matches!(call.call, CallName::Recv { .. } | CallName::Accept { .. });
        let end = match (again, last, takes) {
            (false, None, _) | (true, None, true) => None,
            (false, Some(last), false) => Some(last),
            _ => return,
        };
        let end = end.map(|end| end.saturating_sub(self.events.first().map_or(at, |e| e.0)));
        self.events.extend(calls::text(self.case, self.flow, index, end).map(|text| (at, text)));
    }
}

/// Nanoseconds as seconds with six decimals, rounded.
pub(super) fn seconds(ns: u64) -> String {
    let us = (ns + 500) / 1000;
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// The IPv4 packet of a frame, without link padding.
fn ip_packet(frame: &CapFrame) -> Option<Vec<u8>> {
    let data = frame.data();
    let packet = data.get(14..)?;
    let len = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let packet = packet.get(..len)?.to_vec();
    (frame.frame.ether_type == 0x0800).then_some(packet)
}
