//! The application's calls, inferred from the frames alone: who connects, what is written and
//! when, when it is read, and how a connection is closed.
//!
//! Results are not compared. What frames do not say is an [`Assumptions`] for the whole capture,
//! of which `guesses` lists those worth trying, or a *tentative* call that the search may make or
//! leave out one by one.

mod datagrams;
mod options;
mod tcp;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::case::{CapFrame, Case};
use crate::capture::{CallName, FileId, Outcome, SockAddr, SocketCall};

const ETH_P_ARP: u16 = 0x0806;
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const SOCK_STREAM: i32 = 1;
const SOCK_DGRAM: i32 = 2;
const SOCK_RAW: i32 = 3;
const MSG_DONTWAIT: i32 = 0x40;
const EVERYTHING: u64 = 1 << 24;

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;

/// From a call's entry to the frame that it sends.
const CALL_NS: u64 = 20_000;
/// From a segment to the read that its arrival wakes.
const READ_NS: u64 = 20_000;

/// What is taken for true of the applications of a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Assumptions {
    /// Long writes are made of pieces of so many bytes.
    pub(super) chunk: Option<u64>,
    /// A read takes at most so many bytes.
    pub(super) read_len: u64,
    /// Data is read when a frame shows that it was, not when it comes.
    pub(super) lazy: bool,
    /// UDP sockets with one other end are connected to it.
    pub(super) connected: bool,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { chunk: None, read_len: EVERYTHING, lazy: false, connected: false }
    }
}

impl std::fmt::Display for Assumptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.lazy { "read when frames show it" } else { "read as it comes" })?;
        if self.read_len != EVERYTHING {
            write!(f, ", at most {} bytes at a time", self.read_len)?;
        }
        if let Some(n) = self.chunk {
            write!(f, ", written in pieces of {n} bytes")?;
        }
        if self.connected {
            f.write_str(", UDP sockets connected")?;
        }
        Ok(())
    }
}

/// Assumptions worth trying from one on: they differ from it in one thing.
pub(super) fn guesses(case: &Case, from: Assumptions) -> Vec<Assumptions> {
    const SIZES: [u64; 14] = [
        1_000, 1_024, 2_000, 2_048, 4_096, 5_000, 8_192, 10_000, 16_384, 20_000, 32_768, 50_000,
        65_536, 100_000,
    ];
    let mut out = vec![Assumptions { lazy: !from.lazy, ..from }];
    let any = |protocol: u8| case.frames.iter().any(|f| f.frame.protocol == Some(protocol));
    if any(17) {
        out.push(Assumptions { connected: !from.connected, ..from });
    }
    if any(6) {
        out.extend(SIZES.map(|n| Assumptions { chunk: Some(n), ..from }));
        out.extend(SIZES.map(|n| Assumptions { read_len: n, ..from }));
    }
    out
}

/// Inferred calls in order of time, and which of them are not made unless the search says so.
pub(super) fn calls(case: &Case, assume: Assumptions) -> (Vec<SocketCall>, BTreeSet<usize>) {
    let start = case.frames.first().map_or(0, |f| f.time_ns);
    let mut out = Calls { assume, start, ..Calls::default() };
    tcp::infer(case, &mut out);
    datagrams::infer(case, &mut out);
    out.list.sort_by_key(|(c, _)| c.entry_ns);
    let tentative = out.list.iter().enumerate().filter(|(_, c)| c.1).map(|(n, _)| n).collect();
    (out.list.into_iter().map(|c| c.0).collect(), tentative)
}

/// Calls under construction.
#[derive(Default)]
struct Calls {
    list: Vec<(SocketCall, bool)>,
    assume: Assumptions,
    /// The first frame's time.
    start: u64,
    files: u32,
    pids: u32,
    /// Listeners by local port, with the thread that made them.
    listeners: BTreeMap<u16, (FileId, u32)>,
}

impl Calls {
    fn file(&mut self) -> FileId {
        self.files += 1;
        FileId(self.files - 1)
    }

    fn pid(&mut self) -> u32 {
        self.pids += 1;
        self.pids
    }

    /// Line 0 tells an inferred call.
    fn push(&mut self, pid: u32, entry_ns: u64, call: CallName) {
        let exit_ns = Some(entry_ns + 300_000);
        let outcome = Outcome::Unfinished;
        let call = SocketCall { pid, entry_ns, exit_ns, line: 0, call, outcome };
        self.list.push((call, false));
    }

    /// A call that waits as long as it takes.
    fn push_waiting(&mut self, pid: u32, entry_ns: u64, call: CallName) {
        self.push(pid, entry_ns, call);
        if let Some((c, _)) = self.list.last_mut() {
            c.exit_ns = None;
        }
    }

    /// The last call is one that the search may make.
    fn tentative(&mut self, is: bool) {
        if let Some((_, tentative)) = self.list.last_mut() {
            *tentative = is;
        }
    }

    fn option(&mut self, pid: u32, at: u64, file: FileId, option: (i32, i32, i32)) {
        let (level, name, value) = option;
        let value = value.to_le_bytes().to_vec();
        self.push(pid, at, CallName::Setsockopt { file, level, name, value });
    }

    /// Takes what is there, and does not wait for more.
    fn read(&mut self, pid: u32, at: u64, file: FileId, len: u64) {
        let flags = MSG_DONTWAIT;
        self.push(pid, at, CallName::Recv { file, len, flags, from: None, data: Vec::new() });
    }

    /// A socket bound to a port that the application chose: below the ephemeral ones, or where
    /// others knew it before.
    fn socket(&mut self, pid: u32, at: u64, local: SocketAddr, kind: i32, bind: bool) -> FileId {
        let file = self.file();
        let domain = if local.is_ipv4() { AF_INET } else { AF_INET6 };
        self.push(pid, at, CallName::Socket { file: Some(file), domain, kind, protocol: 0 });
        if bind {
            let addr = SockAddr::Inet(SocketAddr::new(any(local.ip()), local.port()));
            self.push(pid, at + 1_000, CallName::Bind { file, addr });
        }
        file
    }
}

fn any(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Below the ephemeral ports: the application chose it.
fn chosen(port: u16) -> bool {
    port < 32_768
}

/// The address that a frame asks for by ARP or neighbour discovery.
pub(super) fn asks_for(f: &CapFrame) -> Option<IpAddr> {
    if f.frame.ether_type == ETH_P_ARP {
        let frame = f.full();
        let request = frame.value("arp.opcode") == Some("1");
        return frame.value("arp.dst.proto_ipv4").filter(|_| request)?.parse().ok();
    }
    ndisc_target(f, 135)
}

/// Whether a frame answers such a question about an address.
pub(super) fn tells_of(f: &CapFrame, ip: IpAddr) -> bool {
    if f.frame.ether_type == ETH_P_ARP {
        let frame = f.full();
        let source = frame.value("arp.src.proto_ipv4").and_then(|v| v.parse().ok());
        return frame.value("arp.opcode") == Some("2") && source == Some(ip);
    }
    ndisc_target(f, 136) == Some(ip)
}

/// The target of a neighbour solicitation (135) or advertisement (136).
fn ndisc_target(f: &CapFrame, kind: u8) -> Option<IpAddr> {
    if f.frame.protocol != Some(58) || f.frame.icmp.map(|(k, _)| k) != Some(kind) {
        return None;
    }
    let target: [u8; 16] = f.full().payload.get(..16)?.try_into().ok()?;
    Some(IpAddr::from(target))
}

/// When the call was made that sent a packet at `sent`: at once, or where the neighbour's address
/// was asked for first, before the question.
pub(super) fn asked_before(case: &Case, to: IpAddr, sent: u64) -> u64 {
    const ANSWER_NS: u64 = 1_000_000;
    const LONGEST_NS: u64 = 4_000_000_000;
    let hop = next_hop(case, to);
    let answer = case
        .frames_in(sent.saturating_sub(ANSWER_NS), sent)
        .iter()
        .any(|f| !f.outbound && tells_of(f, hop));
    if !answer {
        return sent;
    }
    let before = case.frames_in(sent.saturating_sub(LONGEST_NS), sent);
    let question = before.iter().find(|f| f.outbound && asks_for(f) == Some(hop));
    question.map_or(sent, |f| f.time_ns)
}

/// The neighbour that a packet goes to.
pub(super) fn next_hop(case: &Case, to: IpAddr) -> IpAddr {
    let beside = case.manifest.interface.iter().flat_map(|i| i.prefixes()).any(|p| covers(p, to));
    let route = case.manifest.route.iter().find(|r| r.prefix().is_some_and(|p| covers(p, to)));
    match route {
        Some(r) if !beside => r.via,
        _ => to,
    }
}

/// Whether a prefix holds an address.
fn covers((prefix, len): (IpAddr, u8), ip: IpAddr) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
        IpAddr::V6(a) => a.to_bits(),
    };
    let differ = bits(prefix) ^ bits(ip);
    prefix.is_ipv4() == ip.is_ipv4() && (len == 0 || differ.leading_zeros() >= u32::from(len))
}
