//! The schedule of one replay: what the inputs leave open, each with the value to be tried.

use std::collections::{BTreeMap, BTreeSet};

use super::case::Case;
use super::infer::asked_before;
use crate::capture::{CallName, Outcome};

/// Usual time from an inbound frame's stamp to its handling, nanoseconds.
pub(crate) const RX_LAG_NS: u64 = 10_000;
/// Usual time from the moment that a frame is made to its stamp.
pub(crate) const TX_LAG_NS: u64 = 8_000;
/// Usual time from a read's entry to its copy.
const COPY_NS: u64 = 18_000;
/// Longest time from a call's entry to a frame that it sends at once.
pub(crate) const CALL_TO_FRAME_NS: u64 = 900_000;

/// The same on a host that was busy with other things.
const SLOW_CALL_NS: u64 = 10_000_000;

/// The open quantities of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Capture clock at a moment when `jiffies` is a multiple of 512, modulo that span.
    pub(crate) jiffies_zero_ns: u64,
    /// Capture clock at a millisecond edge of `CLOCK_MONOTONIC`, modulo 1 ms.
    pub(crate) ms_edge_ns: u64,
    /// When calls take effect, capture clock, where not the default.
    pub(crate) effect: BTreeMap<usize, u64>,
    /// When a call that waited runs after its nth wake-up, where not the default.
    pub(crate) resume_at: BTreeMap<(usize, u32), u64>,
    /// Inbound frames that found their socket held by a call.
    pub(crate) backlog: BTreeMap<usize, Held>,
    /// Frames whose timer ran a tick late.
    pub(crate) late: BTreeSet<usize>,
    /// Handling lag of single inbound frames, where not the default.
    pub(crate) rx_lag: BTreeMap<usize, u64>,
    /// Calls in whose middle the processor was elsewhere: after how many frames, and for how long.
    pub(crate) pauses: BTreeMap<usize, (u32, u64)>,
    /// Inferred calls that are made where they would be left out, or the other way round.
    pub(crate) toggled: BTreeSet<usize>,
    /// How much inferred reads take at most, where not what is assumed.
    pub(crate) lengths: BTreeMap<usize, u64>,
    /// Where random delays end of which the capture shows nothing, percent of their span.
    pub(crate) delays: BTreeMap<u32, u8>,
}

/// By which call a frame found its socket held, and when the call had the frame handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The call.
    pub(crate) call: usize,
    /// When the backlog is handled, capture clock.
    pub(crate) at_ns: u64,
    /// The frame came before the call looked at its socket for the last time, so that a read
    /// returns it; else it came after, and is handled when the call lets go.
    pub(crate) inside: bool,
}

/// When a call is over at the latest: strace takes its return for as much too early as it took
/// to print the arguments, but the thread's next call comes after it.
pub(crate) fn latest_exit(case: &Case, index: usize) -> Option<u64> {
    const PRINTING_NS: u64 = 80_000;
    let c = &case.calls[index];
    let exit = c.exit_ns?;
    let mut after = case.calls[index + 1..].iter();
    let next = after.find(|n| n.pid == c.pid).map_or(u64::MAX, |n| n.entry_ns);
    Some(exit.saturating_add(PRINTING_NS).min(next.saturating_sub(1_000)).max(exit))
}

/// Time from an inbound frame's stamp to its handling if the plan does not say otherwise: the
/// usual one, but less where an answer is stamped sooner.
pub(crate) fn default_rx_lag(case: &Case, index: usize) -> u64 {
    let at = case.frames[index].time_ns;
    let soon = case.frames[index + 1..].iter().take_while(|f| f.time_ns <= at + RX_LAG_NS);
    let answer = soon.into_iter().find(|f| f.outbound);
    answer.map_or(RX_LAG_NS, |f| (f.time_ns - at) / 2)
}

/// When a call takes effect if the plan does not say otherwise.
pub(crate) fn default_effect(case: &Case, index: usize) -> u64 {
    let c = &case.calls[index];
    let exit = latest_exit(case, index).unwrap_or(c.entry_ns + CALL_TO_FRAME_NS);
    let usual = match &c.call {
        CallName::Recv { .. } => c.entry_ns + COPY_NS,
        _ => c.entry_ns + 5_000,
    };
    let usual = usual.min(c.entry_ns + (exit - c.entry_ns) / 2);
    if !may_send(&c.call) || matches!(c.call, CallName::Recv { .. }) {
        return usual;
    }
    let until = exit.min(c.entry_ns + CALL_TO_FRAME_NS) + 20_000;
    match case.frames_in(c.entry_ns, until).first() {
        Some(f) if f.outbound => (f.time_ns - TX_LAG_NS.min(f.time_ns)).max(c.entry_ns),
        _ => usual,
    }
}

/// Moments worth trying for a call's effect, the default excluded.
pub(crate) fn other_effects(case: &Case, index: usize) -> Vec<u64> {
    let c = &case.calls[index];
    let exit = latest_exit(case, index).unwrap_or(c.entry_ns + SLOW_CALL_NS);
    let mut moments = vec![c.entry_ns + 1_000, exit.saturating_sub(1_000).max(c.entry_ns)];
    // A call that waited took effect soon; a quick one may lie anywhere in between.
    let until = exit.min(c.entry_ns + SLOW_CALL_NS);
    for f in case.frames_in(c.entry_ns, until + 20_000) {
        if f.outbound {
            moments.push(f.time_ns.saturating_sub(TX_LAG_NS).max(c.entry_ns));
        } else {
            moments.push((f.time_ns + RX_LAG_NS + 1_000).min(exit));
            moments.push((f.time_ns + RX_LAG_NS).saturating_sub(1_000).max(c.entry_ns));
        }
    }
    let default = default_effect(case, index);
    moments.retain(|&m| m != default && m >= c.entry_ns && m <= exit.max(c.entry_ns));
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// Whether a call can cause frames.
pub(crate) fn may_send(call: &CallName) -> bool {
    matches!(
        call,
        CallName::Connect { .. }
            | CallName::Send { .. }
            | CallName::Sendfile { .. }
            | CallName::Recv { .. }
            | CallName::Close { .. }
            | CallName::Shutdown { .. }
            | CallName::Setsockopt { .. }
    )
}

/// Whether the trace shows that a call waited: it took longer than calls take.
pub(crate) fn waited(case: &Case, index: usize) -> bool {
    let c = &case.calls[index];
    matches!(c.outcome, Outcome::Unfinished)
        || c.exit_ns.is_some_and(|e| e - c.entry_ns > CALL_TO_FRAME_NS)
}

/// Frames of the host that nothing before them explains: a timer sent them. Times of the
/// capture's clock.
pub(crate) fn timer_frames(case: &Case) -> Vec<u64> {
    const CAUSE_NS: u64 = 1_500_000;
    let mut out: Vec<u64> = Vec::new();
    let mut last_sent = 0;
    // Moments of calls that may have sent something, in order.
    let mut calls: Vec<u64> = case
        .calls
        .iter()
        .filter(|c| may_send(&c.call))
        .flat_map(|c| std::iter::once(c.entry_ns).chain(c.exit_ns))
        .collect();
    calls.sort_unstable();
    for f in case.frames.iter().filter(|f| f.outbound) {
        let t = f.time_ns;
        let (from, to) = (t.saturating_sub(CAUSE_NS), t + 1_000);
        let inbound = case.frames_in(from, to).iter().any(|i| !i.outbound);
        let call = calls.get(calls.partition_point(|&c| c < from)).is_some_and(|&c| c <= to);
        // The frames of one burst have one cause.
        if !inbound && !call && last_sent + 2 * CAUSE_NS < t {
            out.push(t);
        }
        last_sent = t;
    }
    out
}

/// Phases of the tick to try, capture clock modulo a jiffy: the one that the timers' frames
/// agree on, or a spread where there are none.
pub(crate) fn tick_phases(case: &Case, jiffy_ns: u64) -> Vec<u64> {
    let times = timer_frames(case);
    // A frame follows its tick by 20 to 90 us.
    const LAG_NS: u64 = 45_000;
    let spread = |n: u64| (0..n).map(|i| i * jiffy_ns / n).collect::<Vec<_>>();
    let phases: Vec<u64> = times.iter().map(|t| t.saturating_sub(LAG_NS) % jiffy_ns).collect();
    // The phase with most others within 80 us of it.
    let near = |a: u64, b: u64| {
        let d = a.abs_diff(b);
        d.min(jiffy_ns - d) < 80_000
    };
    let best = phases
        .iter()
        .take(500)
        .max_by_key(|&&p| phases.iter().filter(|&&q| near(p, q)).count())
        .copied();
    match best {
        Some(p) => {
            let group: Vec<u64> = phases.iter().copied().filter(|&q| near(p, q)).collect();
            // Mean of the offsets from p, which may wrap.
            let offsets: i64 = group
                .iter()
                .map(|&q| {
                    let d = (q + jiffy_ns - p) % jiffy_ns;
                    if d > jiffy_ns / 2 { d as i64 - jiffy_ns as i64 } else { d as i64 }
                })
                .sum();
            let mean = p as i64 + offsets / group.len() as i64;
            let first = mean.rem_euclid(jiffy_ns as i64) as u64;
            let mut all = vec![first];
            all.extend(spread(8));
            all
        }
        None => spread(8),
    }
}

/// Millisecond edges of TSval to try, capture clock modulo 1 ms, best first.
pub(crate) fn ms_edges(case: &Case) -> Vec<u64> {
    const MS: i64 = 1_000_000;
    // Each frame that follows its cause closely says: its TSval's millisecond began before it
    // was made, and ends after. Per connection the edge is the same, its offset is not.
    let mut by_flow: BTreeMap<(u16, u16), Vec<i64>> = BTreeMap::new();
    let mut previous_out = 0;
    for (i, f) in case.frames.iter().enumerate() {
        if !f.outbound {
            continue;
        }
        let (Some(t), true) = (f.frame.tcp, f.time_ns > previous_out + 100_000) else {
            previous_out = f.time_ns;
            continue;
        };
        previous_out = f.time_ns;
        let Some((val, _)) = t.timestamps else { continue };
        // A SYN keeps the stamp of connect(), after which address resolution may take long.
        if t.flags & 0x12 == 0x02 {
            let Some((_, to)) = f.frame.addresses else { continue };
            let at = asked_before(case, to, f.time_ns).saturating_sub(TX_LAG_NS) as i64;
            by_flow.entry((t.source, t.destination)).or_default().push(at - i64::from(val) * MS);
            continue;
        }
        let cause = (0..i).rev().find(|&p| !case.frames[p].outbound);
        let handled = cause.map_or(0, |p| case.frames[p].time_ns + default_rx_lag(case, p));
        let lag = if f.time_ns.saturating_sub(handled) < 1_000_000 {
            f.time_ns.saturating_sub(handled).min(60_000)
        } else {
            TX_LAG_NS
        };
        let at = (f.time_ns - lag) as i64;
        by_flow.entry((t.source, t.destination)).or_default().push(at - i64::from(val) * MS);
    }
    // Offsets within a flow agree up to 1 ms; the edge lies at or before the least, and less
    // than 1 ms before the greatest.
    let mut votes = vec![0i64; 200];
    for xs in by_flow.values_mut() {
        xs.sort_unstable();
        // One stamp that is far off says nothing of the edge.
        let middle = xs.get(xs.len() / 2).copied().unwrap_or(0);
        xs.retain(|x| (x - middle).abs() < 2 * MS);
        let sorted = &*xs;
        let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else { continue };
        for (slot, vote) in votes.iter_mut().enumerate() {
            let edge = slot as i64 * 5_000;
            // The latest edge of this phase at or before `low`.
            let e = low - (low - edge).rem_euclid(MS);
            let inside = xs.iter().filter(|&&x| x >= e && x < e + MS).count() as i64;
            let margin = (low - e).min(e + MS - high);
            *vote += inside * 10_000_000 + margin.clamp(-MS, MS) / xs.len() as i64;
        }
    }
    let mut slots: Vec<usize> = (0..votes.len()).collect();
    slots.sort_by_key(|&s| -votes[s]);
    let mut out: Vec<u64> = Vec::new();
    for s in slots {
        let e = s as u64 * 5_000;
        // Neighbours of one that is tried already add little.
        if out.iter().all(|o| o.abs_diff(e).min(MS as u64 - o.abs_diff(e)) >= 30_000) {
            out.push(e);
        }
        if out.len() == 12 {
            break;
        }
    }
    out
}
