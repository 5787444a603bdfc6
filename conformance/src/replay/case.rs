//! A capture with everything that was recorded beside it, and what the calls sent.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use miette::NamedSource;

use super::admin::Admin;
use super::bytes::FrameBytes;
use super::infer::{self, Assumptions};
use super::mapping::offsets;
use crate::capture::{CallName, FileId, Link, Manifest, Outcome, SockAddr, SocketCall};
use crate::frames::{Frame, decode};

/// `AF_INET`, `AF_INET6`.
const INET: [i32; 2] = [2, 10];
const SOCK_STREAM: i32 = 1;
const MSG_FASTOPEN: i32 = 0x2000_0000;
const SOCK_DGRAM: i32 = 2;
const SOCK_RAW: i32 = 3;

/// One captured frame.
#[derive(Clone, Debug)]
pub(crate) struct CapFrame {
    /// Index of the interface.
    pub(crate) port: usize,
    /// Number in its file, as Wireshark counts.
    pub(crate) number: u64,
    /// Stamp, nanoseconds since the epoch.
    pub(crate) time_ns: u64,
    /// The bytes captured.
    pub(crate) bytes: FrameBytes,
    /// What it was captured on.
    pub(crate) link: Link,
    /// Whether the capture cut it.
    pub(crate) cut: bool,
    /// Whether the host sent it.
    pub(crate) outbound: bool,
    /// What it says; of a frame that stays on disk without the list of fields and the payload.
    pub(crate) frame: Frame,
}

impl CapFrame {
    /// The bytes captured.
    pub(crate) fn data(&self) -> Cow<'_, [u8]> {
        self.bytes.get()
    }

    /// All that the frame says.
    pub(crate) fn full(&self) -> Cow<'_, Frame> {
        match self.bytes.on_disk() {
            true => Cow::Owned(decode(&self.data())),
            false => Cow::Borrowed(&self.frame),
        }
    }

    /// The value of a field, if the frame has it.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.full().value(name).map(str::to_owned)
    }
}

/// What is known of a socket of the trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileInfo {
    pub(crate) kind: i32,
    pub(crate) protocol: i32,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
}

/// Something that an administrator did.
#[derive(Clone, Debug)]
pub(crate) struct AdminEvent {
    /// When, capture clock.
    pub(crate) at_ns: u64,
    /// The same as the manifest has it.
    pub(crate) at_s: f64,
    pub(crate) command: Admin,
}

/// A capture to replay.
pub(crate) struct Case {
    /// Path below the folder that was named, without extension.
    pub(crate) id: String,
    pub(crate) manifest: Manifest,
    /// The manifest's text, for reports.
    pub(crate) source: NamedSource<String>,
    /// Frames of all interfaces in order of time.
    pub(crate) frames: Vec<CapFrame>,
    /// Calls on sockets of the Internet families, in order of entry.
    pub(crate) calls: Vec<SocketCall>,
    /// Inferred calls that are not made unless the search says so.
    pub(crate) tentative: BTreeSet<usize>,
    /// The bytes of each sending call.
    pub(crate) payload: BTreeMap<usize, Vec<u8>>,
    /// Ports that the applications chose themselves.
    pub(crate) fixed_ports: BTreeSet<u16>,
    /// Remote ends of connected datagram sockets.
    pub(crate) connected_udp: BTreeSet<SocketAddr>,
    /// What an administrator did, in order of time.
    pub(crate) events: Vec<AdminEvent>,
    /// What was repaired or guessed, for the report.
    pub(crate) notes: Vec<String>,
    /// There are no traces: the calls are inferred.
    pub(crate) inferred: bool,
    /// Where the manifest's relative names start.
    pub(crate) path: PathBuf,
}

impl Case {
    /// Time of the first frame or call, nanoseconds since the epoch.
    pub(crate) fn start_ns(&self) -> u64 {
        let frame = self.frames.first().map(|f| f.time_ns);
        let call = self.calls.first().map(|c| c.entry_ns);
        frame.into_iter().chain(call).min().unwrap_or(0)
    }

    /// The frames from a time on: they are in order.
    pub(crate) fn frames_from(&self, at_ns: u64) -> &[CapFrame] {
        let first = self.frames.partition_point(|f| f.time_ns < at_ns);
        &self.frames[first..]
    }

    /// The frames of a span of time, its ends included.
    pub(crate) fn frames_in(&self, from_ns: u64, to_ns: u64) -> &[CapFrame] {
        let from = self.frames_from(from_ns);
        &from[..from.partition_point(|f| f.time_ns <= to_ns)]
    }

    /// Infers the calls from the frames, under assumptions of what those do not show.
    pub(super) fn infer(&mut self, assume: Assumptions) {
        (self.calls, self.tentative) = infer::calls(self, assume);
        self.payload.clear();
        self.fixed_ports.clear();
        self.connected_udp.clear();
        self.find_payloads();
    }

    /// Drops the calls on sockets of other families.
    pub(super) fn keep_inet(&mut self) {
        let mut other: BTreeSet<FileId> = BTreeSet::new();
        for c in &self.calls {
            if let CallName::Socket { file: Some(f), domain, .. } = &c.call
                && !INET.contains(domain)
            {
                other.insert(*f);
            }
        }
        self.calls.retain(|c| match &c.call {
            CallName::Socket { domain, .. } => INET.contains(domain),
            CallName::Other { .. } => false,
            call => files_of(call).iter().all(|f| !other.contains(f)),
        });
    }

    /// Finds what each sending call sent: strace shows the first bytes only.
    pub(super) fn find_payloads(&mut self) {
        let files = self.follow_files();
        let mut used = BTreeSet::new();
        let datagrams = self.datagrams();
        let mut offsets: BTreeMap<FileId, usize> = BTreeMap::new();
        let mut streams: BTreeMap<FileId, Vec<u8>> = BTreeMap::new();
        // Datagrams that are put together by several calls (MSG_MORE, UDP_CORK): which, and how
        // far.
        let mut corked: BTreeMap<FileId, (usize, usize)> = BTreeMap::new();
        for (i, c) in self.calls.iter().enumerate() {
            let (file, len, to, known) = match &c.call {
                CallName::Send { file, len, to, data, .. } => (*file, *len, *to, data.as_slice()),
                CallName::Sendfile { file, len } => {
                    // The file may have been shorter than what was asked for.
                    let sent = match c.outcome {
                        Outcome::Ret(n) => u64::try_from(n).unwrap_or(0),
                        _ => *len,
                    };
                    (*file, sent, None, &[][..])
                }
                _ => continue,
            };
            let len = usize::try_from(len.min(1 << 30)).unwrap_or(0);
            let mut bytes = vec![0; len];
            let info = files.get(&file).cloned().unwrap_or_default();
            if info.kind & 0xf == SOCK_STREAM {
                let stream = streams.entry(file).or_insert_with(|| self.stream(&info));
                let at = offsets.entry(file).or_default();
                for (b, s) in bytes.iter_mut().zip(stream.iter().skip(*at)) {
                    *b = *s;
                }
                *at += match c.outcome {
                    Outcome::Ret(n) => usize::try_from(n).unwrap_or(0),
                    Outcome::Err(_) | Outcome::Restart(_) => 0,
                    Outcome::Unfinished => len,
                };
            } else {
                let to = match to {
                    Some(SockAddr::Inet(a)) => Some(a),
                    _ => info.remote,
                };
                let found = datagrams.iter().enumerate().find(|(n, d)| {
                    !used.contains(n)
                        && d.payload.len() == len
                        && d.sent_by(&info, &known[..known.len().min(len)])
                        && to.is_none_or(|t| {
                            t.ip() == d.to.ip() && (d.raw || t.port() == d.to.port())
                        })
                });
                let part = || {
                    let (n, at) = corked.get(&file).copied().or_else(|| {
                        let next = datagrams.iter().enumerate().find(|(n, d)| {
                            let goes = to.is_none_or(|t| t.ip() == d.to.ip());
                            !used.contains(n) && goes && d.payload.len() > len && !d.raw
                        });
                        next.map(|(n, _)| (n, 0))
                    })?;
                    Some((n, at, datagrams[n].payload.get(at..at + len)?))
                };
                if let Some((n, d)) = found {
                    used.insert(n);
                    bytes.clone_from(&d.payload);
                } else if let Some((n, at, payload)) = part() {
                    bytes.copy_from_slice(payload);
                    corked.insert(file, (n, at + len));
                    if at + len == datagrams[n].payload.len() {
                        corked.remove(&file);
                        used.insert(n);
                    }
                }
            }
            for (b, k) in bytes.iter_mut().zip(known) {
                *b = *k;
            }
            self.payload.insert(i, bytes);
        }
    }

    /// Kind and addresses of every socket; fills the sets of ports on the way.
    fn follow_files(&mut self) -> BTreeMap<FileId, FileInfo> {
        let mut files: BTreeMap<FileId, FileInfo> = BTreeMap::new();
        let mut syns = BTreeSet::new();
        for c in &self.calls {
            // What was inferred went well.
            let ok = matches!(c.outcome, Outcome::Ret(_)) || c.line == 0;
            match &c.call {
                CallName::Socket { file: Some(f), kind, protocol, .. } => {
                    let (kind, protocol) = (*kind, *protocol);
                    files.insert(*f, FileInfo { kind, protocol, ..FileInfo::default() });
                }
                CallName::Bind { file, addr: SockAddr::Inet(a) } if ok && a.port() != 0 => {
                    self.fixed_ports.insert(a.port());
                    files.entry(*file).or_default().local = Some(*a);
                }
                CallName::Connect { file, addr: SockAddr::Inet(a) } => {
                    let info = files.entry(*file).or_default();
                    info.remote = Some(*a);
                    if info.kind & 0xf != SOCK_STREAM {
                        self.connected_udp.insert(*a);
                    } else if let Some((n, local)) = self.find_syn(*a, c.entry_ns, &syns) {
                        syns.insert(n);
                        info.local = Some(local);
                    }
                }
                CallName::Send { file, flags, to: Some(SockAddr::Inet(a)), .. }
                    if flags & MSG_FASTOPEN != 0 =>
                {
                    let found = self.find_syn(*a, c.entry_ns, &syns);
                    let info = files.entry(*file).or_default();
                    if let (SOCK_STREAM, Some((n, local))) = (info.kind & 0xf, found) {
                        syns.insert(n);
                        (info.remote, info.local) = (Some(*a), Some(local));
                    }
                }
                CallName::Accept {
                    file, new: Some(new), peer: Some(SockAddr::Inet(p)), ..
                } => {
                    let listener = files.get(file).cloned().unwrap_or_default();
                    files.insert(*new, FileInfo { remote: Some(*p), ..listener });
                }
                _ => {}
            }
        }
        files
    }

    fn find_syn(
        &self,
        to: SocketAddr,
        after_ns: u64,
        used: &BTreeSet<usize>,
    ) -> Option<(usize, SocketAddr)> {
        let first = self.frames.len() - self.frames_from(after_ns).len();
        self.frames.iter().enumerate().skip(first).find_map(|(n, f)| {
            let t = f.frame.tcp?;
            let (src, dst) = f.frame.addresses?;
            let hit = f.outbound
                && t.flags & 0x12 == 0x02
                && SocketAddr::new(dst, t.destination) == plain(to)
                && !used.contains(&n);
            hit.then(|| (n, SocketAddr::new(src, t.source)))
        })
    }

    /// The bytes that a connection sent, from its own segments.
    fn stream(&self, info: &FileInfo) -> Vec<u8> {
        let (Some(remote), Some(local)) = (info.remote, info.local) else { return Vec::new() };
        let ours = |f: &&CapFrame| {
            let Some((_, dst)) = f.frame.addresses else { return false };
            f.outbound
                && f.frame.tcp.is_some_and(|t| {
                    t.source == local.port() && SocketAddr::new(dst, t.destination) == plain(remote)
                })
        };
        let mut isn = None;
        let mut bytes: Vec<u8> = Vec::new();
        for f in self.frames.iter().filter(ours) {
            let Some(t) = f.frame.tcp else { continue };
            let syn = t.flags & 0x02 != 0;
            if syn {
                isn = Some(t.seq);
            }
            let first = *isn.get_or_insert(t.seq.wrapping_sub(1));
            // Data of a SYN comes after it.
            let seq = t.seq.wrapping_add(u32::from(syn));
            let at = seq.wrapping_sub(first).wrapping_sub(1) as usize;
            let full = f.full();
            let end = at.saturating_add(full.payload.len());
            // Far outside: an old duplicate or a keepalive, one before the first byte.
            if end > 1 << 30 {
                continue;
            }
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(place) = bytes.get_mut(at..end) {
                place.copy_from_slice(&full.payload);
            }
        }
        bytes
    }

    /// What was sent outside of TCP, fragments put together.
    fn datagrams(&self) -> Vec<Datagram> {
        let mut out: Vec<Datagram> = Vec::new();
        for f in self.frames.iter().filter(|f| f.outbound) {
            let Some((_, dst)) = f.frame.addresses else { continue };
            let offset = f.frame.fragment.map_or(0, |(o, _)| usize::from(o));
            let id = f.frame.fragment_id.unwrap_or(f.frame.ip_id.unwrap_or(0).into());
            let protocol = f.frame.protocol.unwrap_or(0);
            if !matches!(protocol, 1 | 17 | 58) {
                continue;
            }
            if offset > 0 {
                let whole = out.iter_mut().rev().find(|d| {
                    d.id == id && d.to.ip() == dst && d.protocol == protocol && d.fragmented
                });
                if let Some(d) = whole {
                    let at = offset.saturating_sub(d.header);
                    let full = f.full();
                    let end = at + full.payload.len();
                    if d.payload.len() < end {
                        d.payload.resize(end, 0);
                    }
                    if let Some(place) = d.payload.get_mut(at..end) {
                        place.copy_from_slice(&full.payload);
                    }
                }
                continue;
            }
            let fragmented = f.frame.fragment.is_some_and(|(_, more)| more);
            out.push(datagram(f, dst, protocol, id, fragmented));
        }
        out
    }
}

/// An address as it is on the wire: IPv4's without the form of IPv6.
fn plain(a: SocketAddr) -> SocketAddr {
    SocketAddr::new(a.ip().to_canonical(), a.port())
}

/// One datagram that the host sent.
struct Datagram {
    to: SocketAddr,
    protocol: u8,
    raw: bool,
    id: u32,
    fragmented: bool,
    /// Bytes of the transport header that are not in `payload`.
    header: usize,
    payload: Vec<u8>,
}

impl Datagram {
    /// Whether a socket can have sent it whose call began with these bytes. The kernel fills in
    /// the checksum of ICMPv6, and of a ping socket the identifier too.
    fn sent_by(&self, info: &FileInfo, known: &[u8]) -> bool {
        let filled = match info.kind & 0xf {
            SOCK_RAW if self.raw && self.protocol == 58 => 2..4,
            SOCK_RAW if self.raw => 0..0,
            SOCK_DGRAM if self.raw && matches!(info.protocol, 1 | 58) => 2..6,
            SOCK_DGRAM if !self.raw => 0..0,
            _ => return false,
        };
        let same = |(n, (a, b)): (usize, (&u8, &u8))| a == b || filled.contains(&n);
        self.payload.iter().zip(known).enumerate().all(same)
    }
}

fn datagram(f: &CapFrame, dst: IpAddr, protocol: u8, id: u32, fragmented: bool) -> Datagram {
    let data = f.data();
    let l4 = offsets(&data, 14).map_or(34, |o| o.l4);
    let raw = protocol != 17;
    // A first fragment's transport header may not be decoded, so the bytes are taken as they are.
    let header = if raw { 0 } else { 8 };
    let number = |name| f.value(name).and_then(|v| v.parse::<usize>().ok());
    let total = match (number("ip.len"), number("ipv6.plen")) {
        (Some(len), _) => 14 + len,
        (None, Some(len)) => 54 + len,
        (None, None) => data.len(),
    };
    let bytes = data.get(..total.min(data.len())).unwrap_or_default();
    let port = bytes.get(l4 + 2..l4 + 4).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    Datagram {
        to: SocketAddr::new(dst, port),
        protocol,
        raw,
        id,
        fragmented,
        header,
        payload: bytes.get(l4 + header..).unwrap_or_default().to_vec(),
    }
}

/// The sockets that a call names.
pub(crate) fn files_of(call: &CallName) -> Vec<FileId> {
    match call {
        CallName::Socket { file, .. } | CallName::EpollCreate { file } => {
            file.iter().copied().collect()
        }
        CallName::Bind { file, .. }
        | CallName::Listen { file, .. }
        | CallName::Accept { file, .. }
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
        | CallName::Other { file, .. } => vec![*file],
        CallName::Poll { fds, .. } => fds.iter().map(|f| f.file).collect(),
        CallName::Select { read, write, except, .. } => {
            [read, write, except].iter().flat_map(|s| s.asked.iter().copied()).collect()
        }
        CallName::EpollCtl { epoll, file, .. } => vec![*epoll, *file],
        CallName::EpollWait { epoll, .. } => vec![*epoll],
    }
}
