//! The application's calls, inferred from the frames alone: who connects, what is written and
//! when, that everything is read at once, and how the connection is closed.
//!
//! A guess of each is made per TCP connection. Reads never wait (`MSG_DONTWAIT` after each
//! segment), so that a wrong one changes a window at most; results are not compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::case::{CapFrame, Case};
use crate::capture::{CallName, FileId, Outcome, SockAddr, SocketCall};

const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const SOCK_STREAM: i32 = 1;
const MSG_DONTWAIT: i32 = 0x40;
const SHUT_WR: i32 = 1;
const IPPROTO_TCP: i32 = 6;
const TCP_NODELAY: i32 = 1;

const SYN: u16 = 0x02;
const FIN: u16 = 0x01;
const RST: u16 = 0x04;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;

/// From a call's entry to the frame that it sends.
const CALL_NS: u64 = 20_000;
/// From a segment to the read that its arrival wakes.
const READ_NS: u64 = 20_000;
/// A segment this soon after an ACK was sent because of it.
const CLOCKED_NS: u64 = 1_000_000;

/// One connection as the host sees it.
struct Flow<'a> {
    local: SocketAddr,
    remote: SocketAddr,
    frames: Vec<&'a CapFrame>,
}

/// Inferred calls, in order of time.
pub(super) fn calls(case: &Case) -> Vec<SocketCall> {
    let flows = flows(case);
    let mut out = Calls::default();
    let start = case.frames.first().map_or(0, |f| f.time_ns);
    for flow in flows.values() {
        out.flow(flow, start, case);
    }
    out.list.sort_by_key(|c| c.entry_ns);
    out.list
}

fn flows(case: &Case) -> BTreeMap<(SocketAddr, SocketAddr), Flow<'_>> {
    let mut flows: BTreeMap<(SocketAddr, SocketAddr), Flow<'_>> = BTreeMap::new();
    for f in &case.frames {
        let (Some((src, dst)), Some(t)) = (f.frame.addresses, f.frame.tcp) else { continue };
        let (from, to) = (SocketAddr::new(src, t.source), SocketAddr::new(dst, t.destination));
        let (local, remote) = if f.outbound { (from, to) } else { (to, from) };
        let flow = || Flow { local, remote, frames: Vec::new() };
        flows.entry((local, remote)).or_insert_with(flow).frames.push(f);
    }
    flows
}

#[derive(Default)]
struct Calls {
    list: Vec<SocketCall>,
    files: u32,
    pids: u32,
    /// Listeners by local port, with the thread that made them.
    listeners: BTreeMap<u16, FileId>,
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
        self.list.push(SocketCall { pid, entry_ns, exit_ns, line: 0, call, outcome });
    }

    /// A call that waits as long as it takes.
    fn push_waiting(&mut self, pid: u32, entry_ns: u64, call: CallName) {
        self.push(pid, entry_ns, call);
        if let Some(c) = self.list.last_mut() {
            c.exit_ns = None;
        }
    }

    fn flow(&mut self, flow: &Flow<'_>, start: u64, case: &Case) {
        let flags = |f: &&&CapFrame| f.frame.tcp.map_or(0, |t| t.flags);
        let syn = flow.frames.iter().find(|f| flags(f) & (SYN | ACK) == SYN);
        let answer = flow.frames.iter().find(|f| flags(f) & (SYN | ACK) == SYN | ACK);
        let file = match (syn, answer) {
            (Some(s), _) if s.outbound => self.client(flow, s, case),
            (Some(s), Some(a)) if a.outbound => self.server(flow, s, start),
            // Refused by the host, or begun before the capture.
            _ => return,
        };
        let Some(established) = established(flow) else { return };
        self.writes(flow, file);
        self.reads(flow, file, established);
        self.close(flow, file);
    }

    fn domain(flow: &Flow<'_>) -> i32 {
        if flow.local.is_ipv4() { AF_INET } else { AF_INET6 }
    }

    fn client(&mut self, flow: &Flow<'_>, syn: &CapFrame, case: &Case) -> FileId {
        let (file, pid) = (self.file(), self.pid());
        // Address resolution comes before the SYN: connect() sent the request.
        let asked = case.frames.iter().rev().find(|f| {
            f.outbound
                && f.time_ns < syn.time_ns
                && f.time_ns + 5_000_000_000 > syn.time_ns
                && f.frame.value("arp.opcode") == Some("1")
                && f.frame.value("arp.dst.proto_ipv4") == Some(&flow.remote.ip().to_string())
        });
        let at = asked.map_or(syn.time_ns, |f| f.time_ns) - CALL_NS;
        let domain = Self::domain(flow);
        let kind = SOCK_STREAM;
        self.push(
            pid,
            at - 100_000,
            CallName::Socket { file: Some(file), domain, kind, protocol: 0 },
        );
        // Below the ephemeral ports: the application chose it.
        if flow.local.port() < 32_768 {
            let addr = SockAddr::Inet(SocketAddr::new(any(flow), flow.local.port()));
            self.push(pid, at - 50_000, CallName::Bind { file, addr });
        }
        self.push_waiting(pid, at, CallName::Connect { file, addr: SockAddr::Inet(flow.remote) });
        file
    }

    fn server(&mut self, flow: &Flow<'_>, syn: &CapFrame, start: u64) -> FileId {
        let port = flow.local.port();
        let listener = match self.listeners.get(&port) {
            Some(file) => *file,
            None => {
                let (file, pid) = (self.file(), self.pid());
                let at = start - 5_000_000;
                let (domain, kind) = (Self::domain(flow), SOCK_STREAM);
                self.push(
                    pid,
                    at,
                    CallName::Socket { file: Some(file), domain, kind, protocol: 0 },
                );
                let addr = SockAddr::Inet(SocketAddr::new(any(flow), port));
                self.push(pid, at + 10_000, CallName::Bind { file, addr });
                self.push(pid, at + 20_000, CallName::Listen { file, backlog: 128 });
                self.listeners.insert(port, file);
                file
            }
        };
        let (new, pid) = (self.file(), self.pid());
        let peer = Some(SockAddr::Inet(flow.remote));
        let call = CallName::Accept { file: listener, new: Some(new), peer, flags: 0 };
        self.push_waiting(pid, syn.time_ns - 10_000, call);
        new
    }

    /// What was written, and when. New data that an ACK let go belongs to the write before, all
    /// else is a write of its own.
    fn writes(&mut self, flow: &Flow<'_>, file: FileId) {
        let writes = written(flow);
        if writes.is_empty() {
            return;
        }
        let pid = self.pid();
        if no_delay(flow) {
            let value = 1i32.to_le_bytes().to_vec();
            let at = writes[0].0 - 10_000;
            let (level, name) = (IPPROTO_TCP, TCP_NODELAY);
            self.push(pid, at, CallName::Setsockopt { file, level, name, value });
        }
        for (at, len) in writes {
            let call = CallName::Send { file, len, flags: 0, to: None, data: Vec::new() };
            self.push_waiting(pid, at, call);
        }
    }

    /// A read after each segment with data.
    fn reads(&mut self, flow: &Flow<'_>, file: FileId, established: u64) {
        let fin_sent = |f: &&CapFrame| has(f, FIN | RST);
        let ours = flow.frames.iter().any(|f| f.outbound && fin_sent(f));
        let reset = flow.frames.iter().any(|f| f.outbound && has(f, RST));
        // A reset instead of a FIN: data was left unread.
        if ours && reset && !flow.frames.iter().any(|f| f.outbound && has(f, FIN)) {
            return;
        }
        let pid = self.pid();
        let data = flow.frames.iter().filter(|f| !f.outbound && len(f) > 0);
        for f in data {
            let at = (f.time_ns + READ_NS).max(established + 2 * READ_NS);
            let call = CallName::Recv {
                file,
                len: 1 << 24,
                flags: MSG_DONTWAIT,
                from: None,
                data: Vec::new(),
            };
            self.push(pid, at, call);
        }
    }

    fn close(&mut self, flow: &Flow<'_>, file: FileId) {
        let end = flow.frames.iter().find(|f| f.outbound && has(f, FIN | RST));
        let Some(end) = end else { return };
        let pid = self.pid();
        // A FIN in front of which ACKs had to make room was asked for before.
        let at = asked_for(flow, end);
        let more = flow.frames.iter().any(|f| !f.outbound && f.time_ns > end.time_ns && len(f) > 0);
        let reset_after =
            flow.frames.iter().any(|f| f.outbound && f.time_ns > end.time_ns && has(f, RST));
        if has(end, FIN) && more && !reset_after {
            self.push(pid, at, CallName::Shutdown { file, how: SHUT_WR });
            let last = flow.frames.last().map_or(at, |f| f.time_ns);
            self.push(pid, last + 1_000_000, CallName::Close { file });
        } else {
            self.push(pid, at, CallName::Close { file });
        }
    }
}

fn any(flow: &Flow<'_>) -> std::net::IpAddr {
    if flow.local.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    }
}

fn has(f: &CapFrame, flags: u16) -> bool {
    f.frame.tcp.is_some_and(|t| t.flags & flags != 0)
}

fn len(f: &CapFrame) -> u32 {
    f.frame.tcp.map_or(0, |t| t.len)
}

/// When the handshake was over.
fn established(flow: &Flow<'_>) -> Option<u64> {
    let third = flow
        .frames
        .iter()
        .skip_while(|f| !has(f, SYN))
        .find(|f| f.frame.tcp.is_some_and(|t| t.flags & (SYN | RST | ACK) == ACK));
    third.map(|f| f.time_ns)
}

/// The host's new data: segment, and whether an ACK for data in flight came just before it.
fn new_data<'a>(flow: &Flow<'a>) -> Vec<(&'a CapFrame, bool)> {
    let mut out = Vec::new();
    let mut next: Option<u32> = None;
    let (mut una, mut acked_at) = (None::<u32>, 0);
    for f in &flow.frames {
        let Some(t) = f.frame.tcp else { continue };
        if !f.outbound {
            if t.flags & ACK != 0 && una != Some(t.ack) {
                acked_at = f.time_ns;
                una = Some(t.ack);
            }
            continue;
        }
        if t.len == 0 || t.flags & SYN != 0 {
            continue;
        }
        let end = t.seq.wrapping_add(t.len);
        let new = next.is_none_or(|n| t.seq.wrapping_sub(n) as i32 >= 0);
        if new {
            let clocked = next.is_some() && f.time_ns < acked_at + CLOCKED_NS;
            out.push((*f, clocked));
            next = Some(end);
        }
    }
    out
}

/// The writes: when, and how many bytes.
fn written(flow: &Flow<'_>) -> Vec<(u64, u64)> {
    let segments = new_data(flow);
    let mss = segments.iter().map(|(f, _)| len(f)).max().unwrap_or(0);
    let mut writes: Vec<(u64, u64)> = Vec::new();
    let mut last: Option<&CapFrame> = None;
    for (f, clocked) in segments {
        let starts = match last {
            None => true,
            // A short segment ends a write; a pause without an ACK does so too.
            Some(l) => {
                let pushed = has(l, PSH);
                pushed
                    && (len(l) < mss || !clocked)
                    && (f.time_ns > l.time_ns + 60_000 || len(l) < mss)
            }
        };
        if starts {
            // What Nagle's rule held back was written before the ACK that let it go.
            let at = match last {
                Some(l) if clocked => l.time_ns + CALL_NS,
                _ => f.time_ns - CALL_NS,
            };
            writes.push((at, 0));
        }
        if let Some(w) = writes.last_mut() {
            w.1 += u64::from(len(f));
        }
        last = Some(f);
    }
    writes
}

/// Short segments in a row with none of them acknowledged: Nagle's rule is off.
fn no_delay(flow: &Flow<'_>) -> bool {
    let segments = new_data(flow);
    let mss = segments.iter().map(|(f, _)| len(f)).max().unwrap_or(0);
    let short = |f: &CapFrame| len(f) < mss;
    segments.windows(2).any(|w| {
        let (a, b) = (w[0].0, w[1].0);
        let acked = flow.frames.iter().any(|f| {
            !f.outbound
                && f.time_ns > a.time_ns
                && f.time_ns < b.time_ns
                && match (f.frame.tcp, a.frame.tcp) {
                    (Some(t), Some(s)) => t.ack.wrapping_sub(s.seq.wrapping_add(s.len)) as i32 >= 0,
                    _ => false,
                }
        });
        short(a) && short(b) && !acked && segments.len() > 2
    })
}

/// When the FIN was asked for: at its segment, or with the data before it if that was still
/// waiting for ACKs.
fn asked_for(flow: &Flow<'_>, end: &CapFrame) -> u64 {
    let segments = new_data(flow);
    let last = segments.last().filter(|(f, _)| f.time_ns <= end.time_ns);
    match last {
        // It rides on the last data, or right behind.
        Some((f, clocked)) if *clocked && end.time_ns < f.time_ns + 1_000_000 => {
            written(flow).last().map_or(end.time_ns - CALL_NS, |w| w.0 + 2_000)
        }
        _ => end.time_ns - CALL_NS,
    }
}
