//! Calls on UDP and raw ICMP sockets, and those that only a question for an address shows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::{
    AF_INET, AF_INET6, CALL_NS, Calls, EVERYTHING, READ_NS, SOCK_DGRAM, SOCK_RAW, asked_before,
    asks_for, chosen, tells_of,
};
use crate::capture::{CallName, FileId, SockAddr};
use crate::replay::case::{CapFrame, Case};
use crate::replay::mapping::offsets;

const SOL_IP: i32 = 0;
const SOL_SOCKET: i32 = 1;
const SO_ERROR: i32 = 4;
const IP_TOS: i32 = 1;
const IP_MTU_DISCOVER: i32 = 10;
const IP_PMTUDISC_DONT: i32 = 0;
const IP_PMTUDISC_DO: i32 = 2;
const IPPROTO_ICMP: i32 = 1;
const IPPROTO_ICMPV6: i32 = 58;
/// RFC 863: a port that nobody listens to.
const DISCARD: u16 = 9;
/// An error follows the datagram that it is about within this.
const REFUSED_NS: u64 = 5_000_000;
/// Questions of one round follow each other within this; the next packet begins another.
const ROUND_NS: u64 = 1_100_000_000;

/// One UDP port of the host.
struct Port<'a> {
    local: SocketAddr,
    /// Whole datagrams and first fragments, with the other end.
    frames: Vec<(&'a CapFrame, SocketAddr)>,
}

/// Infers the calls outside of TCP.
pub(super) fn infer(case: &Case, out: &mut Calls) {
    for port in ports(case).into_values() {
        udp(out, &port, case);
    }
    echo_requests(out, case);
    unanswered(out, case);
}

fn ports(case: &Case) -> BTreeMap<(bool, u16), Port<'_>> {
    let mut ports: BTreeMap<(bool, u16), Port<'_>> = BTreeMap::new();
    for f in &case.frames {
        let (Some((src, dst)), Some((sport, dport))) = (f.frame.addresses, f.frame.udp) else {
            continue;
        };
        let (from, to) = (SocketAddr::new(src, sport), SocketAddr::new(dst, dport));
        let (local, remote) = if f.outbound { (from, to) } else { (to, from) };
        let port = || Port { local, frames: Vec::new() };
        let entry = ports.entry((local.is_ipv4(), local.port())).or_insert_with(port);
        if f.outbound {
            entry.local = local;
        }
        entry.frames.push((f, remote));
    }
    ports
}

fn udp(out: &mut Calls, port: &Port<'_>, case: &Case) {
    let sent = port.frames.iter().filter(|(f, _)| f.outbound);
    let Some((first, first_remote)) = port.frames.first() else { return };
    if sent.clone().count() == 0 && port.frames.iter().all(|(f, _)| refused(case, f)) {
        return;
    }
    let pid = out.pid();
    let server = !first.outbound;
    let at = match server {
        true => out.start - 5_000_000,
        false => asked_before(case, first_remote.ip(), first.time_ns) - CALL_NS - 100_000,
    };
    let bind = server || chosen(port.local.port());
    let file = out.socket(pid, at, port.local, SOCK_DGRAM, bind);
    for (n, option) in options(&port.frames).into_iter().enumerate() {
        out.option(pid, at + 10_000 + n as u64, file, option);
    }
    let one_end = port.frames.iter().all(|(_, r)| r == first_remote);
    let connected = out.assume.connected && one_end && !server;
    if connected {
        let addr = SockAddr::Inet(*first_remote);
        out.push(pid, at + 50_000, CallName::Connect { file, addr });
    }
    for (f, remote) in &port.frames {
        if f.outbound {
            let at = asked_before(case, remote.ip(), f.time_ns) - CALL_NS;
            let to = (!connected).then_some(SockAddr::Inet(*remote));
            send(out, pid, at, file, payload_len(f), to);
        } else {
            out.read(pid, f.time_ns + READ_NS, file, EVERYTHING);
        }
    }
    // An error would make the next call fail instead of sending.
    for e in case.frames.iter().filter(|f| !f.outbound && is_error(f)) {
        let (level, name) = (SOL_SOCKET, SO_ERROR);
        let call = CallName::Getsockopt { file, level, name, len: 4, value: None };
        out.push(pid, e.time_ns + READ_NS, call);
    }
}

fn send(out: &mut Calls, pid: u32, at: u64, file: FileId, len: u64, to: Option<SockAddr>) {
    out.push(pid, at, CallName::Send { file, len, flags: 0, to, data: Vec::new() });
}

/// Bytes of the datagram of a frame, which may be its first fragment.
fn payload_len(f: &CapFrame) -> u64 {
    // The payload of a first fragment begins with the UDP header.
    let frame = f.full();
    let header = match (frame.value("udp.length"), frame.payload.get(4..6)) {
        (Some(v), _) => v.parse().unwrap_or(8),
        (None, Some(&[a, b])) => u16::from_be_bytes([a, b]),
        _ => 8,
    };
    u64::from(header.saturating_sub(8))
}

fn is_error(f: &CapFrame) -> bool {
    match (f.frame.protocol, f.frame.icmp) {
        (Some(1), Some((kind, _))) => matches!(kind, 3 | 11 | 12),
        (Some(58), Some((kind, _))) => kind < 128,
        _ => false,
    }
}

/// Whether the host said that nobody takes a datagram.
fn refused(case: &Case, f: &CapFrame) -> bool {
    case.frames.iter().any(|e| {
        let answer = e.time_ns >= f.time_ns && e.time_ns < f.time_ns + REFUSED_NS;
        let back = e.frame.addresses.map(|(_, dst)| dst) == f.frame.addresses.map(|(src, _)| src);
        e.outbound && answer && back && is_error(e)
    })
}

/// Options that the header of the host's datagrams shows.
fn options(frames: &[(&CapFrame, SocketAddr)]) -> Vec<(i32, i32, i32)> {
    let mut out = Vec::new();
    let Some((f, _)) = frames.iter().find(|(f, _)| f.outbound) else { return out };
    let value = |name| f.value(name).and_then(|v| v.parse::<i32>().ok());
    let fragmented = f.frame.fragment.is_some_and(|(at, more)| at > 0 || more);
    match (value("ip.flags.df"), value("ip.id")) {
        (Some(0), _) if !fragmented => out.push((SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)),
        (Some(1), Some(0)) => out.push((SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)),
        _ => {}
    }
    let tos = value("ip.dsfield.dscp").unwrap_or(0) << 2 | value("ip.dsfield.ecn").unwrap_or(0);
    if tos != 0 {
        out.push((SOL_IP, IP_TOS, tos));
    }
    out
}

/// Pings of the host, each sequence from a raw socket of its own.
fn echo_requests(out: &mut Calls, case: &Case) {
    let mut files: BTreeMap<(bool, u16), (FileId, u32)> = BTreeMap::new();
    for f in case.frames.iter().filter(|f| f.outbound) {
        let (Some((_, dst)), Some((kind, ident))) = (f.frame.addresses, echo(f)) else { continue };
        let (domain, protocol) = match (kind, dst) {
            (8, IpAddr::V4(_)) => (AF_INET, IPPROTO_ICMP),
            (128, IpAddr::V6(_)) => (AF_INET6, IPPROTO_ICMPV6),
            _ => continue,
        };
        let key = (dst.is_ipv4(), ident);
        let at = asked_before(case, dst, f.time_ns) - CALL_NS;
        let (file, pid) = *files.entry(key).or_insert_with(|| {
            let (file, pid) = (out.file(), out.pid());
            let kind = SOCK_RAW;
            out.push(
                pid,
                at - 50_000,
                CallName::Socket { file: Some(file), domain, kind, protocol },
            );
            for (n, option) in options(&[(f, SocketAddr::new(dst, 0))]).into_iter().enumerate() {
                out.option(pid, at - 40_000 + n as u64, file, option);
            }
            (file, pid)
        });
        let to = Some(SockAddr::Inet(SocketAddr::new(dst, 0)));
        send(out, pid, at, file, message_len(case, f), to);
    }
}

/// Bytes of an ICMP message, its header and its later fragments included.
fn message_len(case: &Case, f: &CapFrame) -> u64 {
    const WITHIN_NS: u64 = 10_000_000;
    let id = |f: &CapFrame| (f.frame.addresses, f.frame.ip_id, f.frame.fragment_id);
    let first = f.frame.fragment.is_some_and(|(at, more)| at == 0 && more);
    let later = case.frames.iter().filter(|g| {
        let near = g.time_ns.abs_diff(f.time_ns) < WITHIN_NS;
        first && near && id(g) == id(f) && g.frame.fragment.is_some_and(|(at, _)| at > 0)
    });
    let more: usize = later.map(|g| g.full().payload.len()).sum();
    let header = if f.frame.icmp.is_some() { 8 } else { 0 };
    (f.full().payload.len() + header + more) as u64
}

/// Type and identifier of an echo request, from a first fragment too.
fn echo(f: &CapFrame) -> Option<(u8, u16)> {
    let data = f.data();
    let o = offsets(&data, 14).filter(|o| !o.later_fragment && matches!(o.protocol, 1 | 58))?;
    let b = data.get(o.l4..o.l4 + 6)?;
    Some((b[0], u16::from_be_bytes([b[4], b[5]])))
}

/// A neighbour that nobody answers for: something was sent to it that never left.
fn unanswered(out: &mut Calls, case: &Case) {
    let mut last: BTreeMap<IpAddr, u64> = BTreeMap::new();
    for f in case.frames.iter().filter(|f| f.outbound && f.frame.eth_dst[0] & 1 == 1) {
        let Some(target) = asks_for(f) else { continue };
        let source = f.value("arp.src.proto_ipv4");
        let probe = source.as_deref() == Some("0.0.0.0")
            || f.frame.addresses.is_some_and(|(src, _)| src.is_unspecified());
        let announced = source.and_then(|s| s.parse().ok()) == Some(target);
        let answered = case.frames.iter().any(|a| {
            !a.outbound
                && a.time_ns >= f.time_ns
                && a.time_ns < f.time_ns + 4 * ROUND_NS
                && tells_of(a, target)
        });
        let round = last.insert(target, f.time_ns).is_some_and(|t| f.time_ns < t + ROUND_NS);
        if probe || announced || answered || round {
            continue;
        }
        let (pid, at) = (out.pid(), f.time_ns.saturating_sub(CALL_NS));
        let local = SocketAddr::new(target, 0);
        let file = out.socket(pid, at - 50_000, local, SOCK_DGRAM, false);
        let to = Some(SockAddr::Inet(SocketAddr::new(target, DISCARD)));
        send(out, pid, at, file, 1, to);
    }
}
