//! What was written, and when, from the segments of a connection.

use super::tcp::{Flow, flags, has, len};
use super::{ACK, CALL_NS, PSH, SYN};
use crate::replay::case::CapFrame;

/// A segment this soon after an ACK was sent because of it.
const CLOCKED_NS: u64 = 1_000_000;
/// Segments of one write follow each other within this.
const BURST_NS: u64 = 60_000;

/// The host's new data: segment, and whether an ACK for data in flight came just before it.
pub(super) fn new_data<'a>(flow: &Flow<'a>) -> Vec<(&'a CapFrame, bool)> {
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

/// The writes: when, and how many bytes. New data that an ACK let go belongs to the write before,
/// all else is a write of its own.
pub(super) fn written(flow: &Flow<'_>, mss: u32) -> Vec<(u64, u64)> {
    let mut writes: Vec<(u64, u64)> = Vec::new();
    let mut last: Option<&CapFrame> = None;
    for (f, clocked) in new_data(flow) {
        let starts = match last {
            None => true,
            // A short segment ends a write; a pause without an ACK does so too.
            Some(l) => {
                let short = len(l) < mss;
                let pause = f.time_ns > l.time_ns + BURST_NS;
                has(l, PSH) && (short || !clocked) && (pause || short)
            }
        };
        if starts {
            // What Nagle's rule held back was written before the ACK that let it go.
            let at = match last {
                Some(l) if clocked => l.time_ns + CALL_NS,
                _ => f.time_ns.saturating_sub(CALL_NS),
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

/// From when on short segments follow each other with none of them acknowledged: Nagle's rule
/// was switched off before.
pub(super) fn no_delay_from(flow: &Flow<'_>, mss: u32) -> Option<u64> {
    let segments = new_data(flow);
    let short = |f: &CapFrame| len(f) < mss && flags(f) & 1 == 0;
    let pair = segments.windows(2).find(|w| {
        let (a, b) = (w[0].0, w[1].0);
        short(a) && short(b) && !acked_between(flow, a, b)
    })?;
    // Both of the first two may be short: the switch came before the first write.
    let at_once = std::ptr::eq(pair[0].0, segments[0].0);
    Some(if at_once { pair[0].0.time_ns } else { pair[1].0.time_ns })
}

/// Whether an ACK for all of one segment came before another was sent.
fn acked_between(flow: &Flow<'_>, a: &CapFrame, b: &CapFrame) -> bool {
    let Some(s) = a.frame.tcp else { return false };
    let end = s.seq.wrapping_add(s.len);
    flow.frames.iter().any(|f| {
        let covers = |t: &crate::frames::Tcp| t.ack.wrapping_sub(end) as i32 >= 0;
        let between = f.time_ns > a.time_ns && f.time_ns < b.time_ns;
        !f.outbound && between && f.frame.tcp.as_ref().is_some_and(covers)
    })
}
