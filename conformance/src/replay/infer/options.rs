//! Socket options that frames show.

use super::tcp::{Flow, IPPROTO_TCP, flags, has, len};
use super::{ACK, RST, SYN};
use crate::capture::sysctl_text;
use crate::replay::case::{CapFrame, Case};

/// An option: level, name, value.
type Opt = (i32, i32, i32);

const SOL_IP: i32 = 0;
const SOL_SOCKET: i32 = 1;
const IP_TOS: i32 = 1;
const SO_RCVBUF: i32 = 8;
const SO_KEEPALIVE: i32 = 9;
const TCP_MAXSEG: i32 = 2;
const TCP_KEEPIDLE: i32 = 4;
const TCP_KEEPINTVL: i32 = 5;
const TCP_KEEPCNT: i32 = 6;

/// Bytes of the timestamp option with its padding.
const TIMESTAMP_LEN: u32 = 12;
const SECOND_NS: u64 = 1_000_000_000;

fn option<T: std::str::FromStr>(f: &CapFrame, name: &str) -> Option<T> {
    f.value(name)?.parse().ok()
}

/// The most data of one of the host's segments, from the options of both SYNs.
pub(super) fn mss(flow: &Flow<'_>) -> u32 {
    let syns: Vec<&CapFrame> = flow.frames.iter().copied().filter(|f| has(f, SYN)).collect();
    let peer = syns.iter().find(|f| !f.outbound);
    let announced = peer.and_then(|f| option::<u32>(f, "tcp.options.mss_val")).unwrap_or(536);
    let stamped = [true, false].into_iter().all(|out| {
        syns.iter()
            .any(|f| f.outbound == out && f.frame.tcp.is_some_and(|t| t.timestamps.is_some()))
    });
    let longest = flow.frames.iter().filter(|f| f.outbound).map(|f| len(f)).max().unwrap_or(0);
    let most = announced.saturating_sub(if stamped { TIMESTAMP_LEN } else { 0 });
    // Path MTU discovery may have lowered it: then most segments have the lower length.
    let full = flow.frames.iter().filter(|f| f.outbound && len(f) == longest).count();
    if longest < most && full > 2 { longest } else { most }
}

/// What was set before the connection.
pub(super) fn socket_options(flow: &Flow<'_>, case: &Case) -> Vec<Opt> {
    let mut out: Vec<Opt> = rcvbuf(flow, case).into_iter().collect();
    let Some(syn) = flow.own_syn() else { return out };
    if let (Some(dscp), Some(0)) =
        (option::<i32>(syn, "ip.dsfield.dscp"), option::<i32>(syn, "ip.dsfield.ecn"))
        && dscp != 0
    {
        out.push((SOL_IP, IP_TOS, dscp << 2));
    }
    let mtu = case.manifest.interface.get(syn.port).map_or(1500, |i| i.mtu);
    let usual = mtu.saturating_sub(if flow.local.is_ipv4() { 40 } else { 60 });
    if let Some(mss) = option::<u32>(syn, "tcp.options.mss_val").filter(|m| *m < usual) {
        out.push((IPPROTO_TCP, TCP_MAXSEG, mss as i32));
    }
    out.extend(keepalive(flow));
    out
}

/// A receive buffer of the application's own: the first window is a multiple of the segment size
/// that fits half of what is set doubled.
pub(super) fn rcvbuf(flow: &Flow<'_>, case: &Case) -> Option<Opt> {
    const ROUND: [u32; 5] = [10_000, 4_096, 1_024, 1_000, 500];
    let syn = flow.own_syn()?;
    let window: u32 = option(syn, "tcp.window")?;
    let mtu = case.manifest.interface.get(syn.port).map_or(1500, |i| i.mtu);
    let stamps = syn.frame.tcp.is_some_and(|t| t.timestamps.is_some());
    let headers = if flow.local.is_ipv4() { 40 } else { 60 };
    let mut mss = mtu.saturating_sub(headers);
    // A request socket knows that there are timestamps.
    if flags(syn) & ACK != 0 && stamps {
        mss = mss.saturating_sub(TIMESTAMP_LEN);
    }
    let rmem = case.manifest.sysctl.get("net.ipv4.tcp_rmem").map(|v| sysctl_text(v.get_ref()));
    let rmem: u32 = rmem
        .and_then(|v| v.split_whitespace().nth(1).and_then(|w| w.parse().ok()))
        .unwrap_or(131_072);
    let usual = (rmem / 2).min(65_535).checked_div(mss)? * mss;
    if window >= usual || !window.is_multiple_of(mss) {
        return None;
    }
    let fits = |step: &u32| {
        let v = window.div_ceil(*step) * step;
        (v < window + mss).then_some(v)
    };
    let value = ROUND.iter().find_map(fits).unwrap_or(window);
    Some((SOL_SOCKET, SO_RCVBUF, value as i32))
}

/// Keepalive, from probes: segments without data from before what was sent last.
pub(super) fn keepalive(flow: &Flow<'_>) -> Vec<Opt> {
    let mut next = None::<u32>;
    let mut heard = 0;
    // Each probe with the time since the other end was heard, and since the probe before.
    let mut probes: Vec<(u64, u64, bool)> = Vec::new();
    let mut ended = false;
    for f in &flow.frames {
        let Some(t) = f.frame.tcp else { continue };
        if !f.outbound {
            heard = f.time_ns;
            continue;
        }
        ended |= t.flags & RST != 0;
        if t.len == 0 && t.flags & (SYN | RST) == 0 && next == Some(t.seq.wrapping_add(1)) {
            let again = probes.last().is_some_and(|p| p.0 > heard);
            let since = if again { probes.last().map_or(0, |p| p.0) } else { heard };
            probes.push((f.time_ns, f.time_ns.saturating_sub(since), again));
        } else if t.len > 0 || t.flags & (SYN | 1) != 0 {
            let end = t.seq.wrapping_add(t.len).wrapping_add(u32::from(t.flags & (SYN | 1) != 0));
            if next.is_none_or(|n| end.wrapping_sub(n) as i32 > 0) {
                next = Some(end);
            }
        }
    }
    let seconds = |p: &(u64, u64, bool)| ((p.1 / SECOND_NS).max(1)) as i32;
    let Some(idle) = probes.iter().find(|p| !p.2).map(seconds) else { return Vec::new() };
    let mut out = vec![(IPPROTO_TCP, TCP_KEEPIDLE, idle)];
    if let Some(interval) = probes.iter().find(|p| p.2).map(seconds) {
        out.push((IPPROTO_TCP, TCP_KEEPINTVL, interval));
    }
    if ended {
        let unanswered = probes.iter().rev().take_while(|p| p.2).count() + 1;
        out.push((IPPROTO_TCP, TCP_KEEPCNT, unanswered as i32));
    }
    out.push((SOL_SOCKET, SO_KEEPALIVE, 1));
    out
}
