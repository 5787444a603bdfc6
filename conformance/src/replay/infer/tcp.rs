//! Calls on TCP sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::options::{keepalive, mss, rcvbuf, socket_options};
use super::writes::{new_data, no_delay_from, written};
use super::{ACK, CALL_NS, Calls, FIN, READ_NS, RST, SOCK_STREAM, SYN, asked_before, chosen};
use crate::capture::{CallName, FileId, SockAddr};
use crate::replay::case::{CapFrame, Case};

const SHUT_WR: i32 = 1;
pub(super) const IPPROTO_TCP: i32 = 6;
const TCP_NODELAY: i32 = 1;
/// A frame of the host this soon after one to it was caused by that.
const CAUSED_NS: u64 = 300_000;

/// One connection as the host sees it.
pub(super) struct Flow<'a> {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) frames: Vec<&'a CapFrame>,
}

impl Flow<'_> {
    /// The host's SYN or SYN-ACK.
    pub(super) fn own_syn(&self) -> Option<&CapFrame> {
        self.frames.iter().copied().find(|f| f.outbound && has(f, SYN))
    }

    fn client(&self) -> bool {
        self.frames.first().is_some_and(|f| f.outbound)
    }

    fn sent(&self) -> impl Iterator<Item = &CapFrame> {
        self.frames.iter().copied().filter(|f| f.outbound)
    }

    fn came(&self) -> impl Iterator<Item = &CapFrame> {
        self.frames.iter().copied().filter(|f| !f.outbound)
    }

    /// When the handshake was over here.
    fn established(&self) -> Option<u64> {
        let third =
            |f: &&&CapFrame| f.outbound == self.client() && flags(f) & (SYN | RST | ACK) == ACK;
        self.frames.iter().find(third).map(|f| f.time_ns)
    }

    /// Whether nothing that came before a frame of the host explains it.
    fn by_itself(&self, f: &CapFrame) -> bool {
        !self.came().any(|i| i.time_ns <= f.time_ns && i.time_ns + CAUSED_NS > f.time_ns)
    }
}

pub(super) fn flags(f: &CapFrame) -> u16 {
    f.frame.tcp.map_or(0, |t| t.flags)
}

pub(super) fn has(f: &CapFrame, any_of: u16) -> bool {
    flags(f) & any_of != 0
}

pub(super) fn len(f: &CapFrame) -> u32 {
    f.frame.tcp.map_or(0, |t| t.len)
}

/// The connections whose beginning was captured, in order of time.
fn flows(case: &Case) -> Vec<Flow<'_>> {
    let mut flows: Vec<Flow<'_>> = Vec::new();
    let mut open: BTreeMap<(SocketAddr, SocketAddr), (usize, u32)> = BTreeMap::new();
    for f in &case.frames {
        let (Some((src, dst)), Some(t)) = (f.frame.addresses, f.frame.tcp) else { continue };
        let (from, to) = (SocketAddr::new(src, t.source), SocketAddr::new(dst, t.destination));
        let (local, remote) = if f.outbound { (from, to) } else { (to, from) };
        let known = open.get(&(local, remote)).copied();
        if t.flags & (SYN | ACK) == SYN && known.is_none_or(|(_, isn)| isn != t.seq) {
            open.insert((local, remote), (flows.len(), t.seq));
            flows.push(Flow { local, remote, frames: vec![f] });
        } else if let Some((n, _)) = known {
            flows[n].frames.push(f);
        }
    }
    flows
}

/// Infers the calls of all connections.
pub(super) fn infer(case: &Case, out: &mut Calls) {
    for flow in flows(case) {
        let file = match flow.client() {
            true => Some(client(out, &flow, case)),
            false => server(out, &flow, case),
        };
        let (Some(file), Some(established)) = (file, flow.established()) else { continue };
        let writer = write_calls(out, &flow, file);
        reads(out, &flow, file, established);
        close(out, &flow, file, writer);
    }
}

fn client(out: &mut Calls, flow: &Flow<'_>, case: &Case) -> FileId {
    let pid = out.pid();
    let syn = flow.frames.first().map_or(0, |f| f.time_ns);
    // Address resolution comes before the SYN: connect() sent the request.
    let at = asked_before(case, flow.remote.ip(), syn) - CALL_NS;
    let file = out.socket(pid, at - 100_000, flow.local, SOCK_STREAM, chosen(flow.local.port()));
    for (n, option) in socket_options(flow, case).into_iter().enumerate() {
        out.option(pid, at - 90_000 + n as u64, file, option);
    }
    out.push_waiting(pid, at, CallName::Connect { file, addr: SockAddr::Inet(flow.remote) });
    file
}

/// The accepted connection; the host refused it where there is no SYN-ACK.
fn server(out: &mut Calls, flow: &Flow<'_>, case: &Case) -> Option<FileId> {
    flow.own_syn()?;
    let port = flow.local.port();
    let (listener, pid) = match out.listeners.get(&port) {
        Some(known) => *known,
        None => {
            let pid = out.pid();
            let at = out.start - 5_000_000;
            let file = out.socket(pid, at, flow.local, SOCK_STREAM, true);
            if let Some(option) = rcvbuf(flow, case) {
                out.option(pid, at + 10_000, file, option);
            }
            out.push(pid, at + 20_000, CallName::Listen { file, backlog: 128 });
            out.listeners.insert(port, (file, pid));
            (file, pid)
        }
    };
    let at = flow.established()? + READ_NS;
    let new = out.file();
    let peer = Some(SockAddr::Inet(flow.remote));
    out.push(pid, at, CallName::Accept { file: listener, new: Some(new), peer, flags: 0 });
    for (n, option) in keepalive(flow).into_iter().enumerate() {
        out.option(pid, at + 1_000 + n as u64, new, option);
    }
    Some(new)
}

/// What was written, and when; gives the thread that wrote.
fn write_calls(out: &mut Calls, flow: &Flow<'_>, file: FileId) -> u32 {
    let mss = mss(flow);
    let writes = written(flow, mss);
    if writes.is_empty() {
        return out.pid();
    }
    if let Some(at) = no_delay_from(flow, mss) {
        let pid = out.pid();
        out.option(pid, at - CALL_NS - 2_000, file, (IPPROTO_TCP, TCP_NODELAY, 1));
    }
    let pid = out.pid();
    for (at, whole) in writes {
        let piece = out.assume.chunk.unwrap_or(whole).max(1);
        let mut left = whole;
        while left > 0 {
            let len = left.min(piece);
            let call = CallName::Send { file, len, flags: 0, to: None, data: Vec::new() };
            out.push_waiting(pid, at, call);
            left -= len;
        }
    }
    pid
}

/// Reads: after each segment with data, and just before each frame that the host sent by itself.
/// Which of the two kinds is made is assumed; the search may make or leave out single ones.
fn reads(out: &mut Calls, flow: &Flow<'_>, file: FileId, established: u64) {
    let reset = flow.sent().any(|f| has(f, RST));
    let fin = flow.sent().any(|f| has(f, FIN));
    // A reset instead of a FIN: data was left unread.
    if reset && !fin {
        return;
    }
    let first = established + 2 * READ_NS;
    let Some(data) = flow.came().find(|f| len(f) > 0).map(|f| f.time_ns) else { return };
    let (pid, size, lazy) = (out.pid(), out.assume.read_len, out.assume.lazy);
    for f in flow.came().filter(|f| len(f) > 0) {
        out.read(pid, (f.time_ns + READ_NS).max(first), file, size);
        out.tentative(lazy);
    }
    for f in flow.sent().filter(|f| f.time_ns > data && flow.by_itself(f)) {
        out.read(pid, (f.time_ns.saturating_sub(CALL_NS + 1_000)).max(first), file, size);
        out.tentative(!lazy);
    }
}

/// The end, by the thread that wrote: while a write waits there is none.
fn close(out: &mut Calls, flow: &Flow<'_>, file: FileId, pid: u32) {
    let Some(end) = flow.sent().find(|f| has(f, FIN | RST)) else { return };
    // A FIN in front of which ACKs had to make room was asked for before.
    let at = asked_for(flow, end);
    let more = flow.came().any(|f| f.time_ns > end.time_ns && len(f) > 0);
    let reset_after = flow.sent().any(|f| f.time_ns > end.time_ns && has(f, RST));
    if has(end, FIN) {
        // Nothing is left unread.
        let reader = out.pid();
        out.read(reader, at.saturating_sub(500), file, super::EVERYTHING);
    }
    if has(end, FIN) && more && !reset_after {
        out.push(pid, at, CallName::Shutdown { file, how: SHUT_WR });
        let last = flow.frames.last().map_or(at, |f| f.time_ns);
        out.push(pid, last + 1_000_000, CallName::Close { file });
    } else {
        out.push(pid, at, CallName::Close { file });
    }
}

/// When the FIN was asked for: at its segment, or with the data before it if that was still
/// waiting for ACKs.
fn asked_for(flow: &Flow<'_>, end: &CapFrame) -> u64 {
    let segments = new_data(flow);
    let last = segments.last().filter(|(f, _)| f.time_ns <= end.time_ns);
    match last {
        // It rides on the last data, or right behind.
        Some((f, clocked)) if *clocked && end.time_ns < f.time_ns + 1_000_000 => {
            written(flow, mss(flow))
                .last()
                .map_or(end.time_ns.saturating_sub(CALL_NS), |w| w.0 + 2_000)
        }
        _ => end.time_ns.saturating_sub(CALL_NS),
    }
}
