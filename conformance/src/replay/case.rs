//! A capture with everything that was recorded beside it, and what the calls sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use miette::NamedSource;

use super::admin::Admin;
use crate::capture::{CallName, FileId, Link, Manifest, Outcome, SockAddr, SocketCall};
use crate::frames::{Frame, decode};

/// `AF_INET`, `AF_INET6`.
const INET: [i32; 2] = [2, 10];
const SOCK_STREAM: i32 = 1;
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
    pub(crate) data: Vec<u8>,
    /// What it was captured on.
    pub(crate) link: Link,
    /// Whether the capture cut it.
    pub(crate) cut: bool,
    /// Whether the host sent it.
    pub(crate) outbound: bool,
    /// What it says.
    pub(crate) frame: Frame,
}

impl CapFrame {
    /// The frame decoded anew.
    pub(crate) fn frame(&self) -> Frame {
        decode(&self.data)
    }
}

/// What is known of a socket of the trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileInfo {
    pub(crate) kind: i32,
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
            CallName::Other { .. } | CallName::EpollWait { .. } => false,
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
        for (i, c) in self.calls.iter().enumerate() {
            let (file, len, to, known) = match &c.call {
                CallName::Send { file, len, to, data, .. } => (*file, *len, *to, data.as_slice()),
                CallName::Sendfile { file, len } => (*file, *len, None, &[][..]),
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
                let raw = info.kind & 0xf == SOCK_RAW;
                let found = datagrams.iter().enumerate().find(|(n, d)| {
                    !used.contains(n)
                        && d.payload.len() == len
                        && d.raw == raw
                        && d.payload.starts_with(&known[..known.len().min(len)])
                        && to
                            .is_none_or(|t| t.ip() == d.to.ip() && (raw || t.port() == d.to.port()))
                });
                if let Some((n, d)) = found {
                    used.insert(n);
                    bytes.clone_from(&d.payload);
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
            let ok = matches!(c.outcome, Outcome::Ret(_));
            match &c.call {
                CallName::Socket { file: Some(f), kind, .. } => {
                    files.insert(*f, FileInfo { kind: *kind, ..FileInfo::default() });
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
        self.frames.iter().enumerate().find_map(|(n, f)| {
            let t = f.frame.tcp?;
            let (src, dst) = f.frame.addresses?;
            let hit = f.outbound
                && f.time_ns >= after_ns
                && t.flags & 0x12 == 0x02
                && SocketAddr::new(dst, t.destination) == to
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
                    t.source == local.port() && SocketAddr::new(dst, t.destination) == remote
                })
        };
        let mut isn = None;
        let mut bytes: Vec<u8> = Vec::new();
        for f in self.frames.iter().filter(ours) {
            let Some(t) = f.frame.tcp else { continue };
            if t.flags & 0x02 != 0 {
                isn = Some(t.seq);
                continue;
            }
            let first = *isn.get_or_insert(t.seq.wrapping_sub(1));
            let at = t.seq.wrapping_sub(first).wrapping_sub(1) as usize;
            let end = at.saturating_add(f.frame.payload.len());
            // Far outside: an old duplicate or a keepalive, one before the first byte.
            if end > 1 << 30 {
                continue;
            }
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(place) = bytes.get_mut(at..end) {
                place.copy_from_slice(&f.frame.payload);
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
            let id = f.frame.ip_id.unwrap_or(0);
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
                    let end = at + f.frame.payload.len();
                    if d.payload.len() < end {
                        d.payload.resize(end, 0);
                    }
                    if let Some(place) = d.payload.get_mut(at..end) {
                        place.copy_from_slice(&f.frame.payload);
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

/// One datagram that the host sent.
struct Datagram {
    to: SocketAddr,
    protocol: u8,
    raw: bool,
    id: u16,
    fragmented: bool,
    /// Bytes of the transport header that are not in `payload`.
    header: usize,
    payload: Vec<u8>,
}

fn datagram(f: &CapFrame, dst: IpAddr, protocol: u8, id: u16, fragmented: bool) -> Datagram {
    let l4 = 14 + f.frame.value("ip.hdr_len").and_then(|v| v.parse().ok()).unwrap_or(40);
    let raw = protocol != 17;
    // A first fragment's transport header may not be decoded, so the bytes are taken as they are.
    let header = if raw { 0 } else { 8 };
    let total = match f.frame.value("ip.len").and_then(|v| v.parse::<usize>().ok()) {
        Some(len) => 14 + len,
        None => f.data.len(),
    };
    let bytes = f.data.get(..total.min(f.data.len())).unwrap_or_default();
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
        CallName::Socket { file, .. } => file.iter().copied().collect(),
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
        | CallName::EpollCtl { file, .. }
        | CallName::Other { file, .. } => vec![*file],
        CallName::Poll { fds, .. } => fds.iter().map(|f| f.file).collect(),
        CallName::Select { read, write, except, .. } => {
            [read, write, except].iter().flat_map(|s| s.asked.iter().copied()).collect()
        }
        CallName::EpollWait { .. } => Vec::new(),
    }
}
