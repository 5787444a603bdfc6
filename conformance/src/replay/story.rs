//! Tells a replay in full: captured frames beside those of the reference, calls, connections.

use std::collections::VecDeque;

use super::calls::describe_outcome;
use super::case::Case;
use super::engine::Ending;
use super::results_of;
use super::search::{self, Boot, Found};
use crate::frames::{Frame, decode, differences};
use crate::results::story::{Replayed, Sample, Story, StoryCall, StoryFrame};

/// How many frames of the reference may lie between two that the capture has one after another.
const AHEAD: usize = 4;

/// Replays the schedule that was found once more, past its divergences, and writes down
/// everything.
pub(super) fn tell<B: Boot>(case: &Case, boot: &B, found: &Found) -> miette::Result<Story> {
    let ending = search::record(case, boot, &found.plan)?;
    let start = case.frames.first().map_or(0, |f| f.time_ns);
    let us = |ns: u64| micros(start, ns);
    let (frames, unmatched) = side_by_side(case, &ending, us);
    let calls = case
        .calls
        .iter()
        .map(|c| StoryCall {
            at_us: us(c.entry_ns),
            until_us: c.exit_ns.map(us),
            text: format!("{} = {}", results_of::name(&c.call), describe_outcome(&c.outcome)),
        })
        .collect();
    let sample = |(ns, sample): (u64, Sample)| Sample { at_us: us(ns), ..sample };
    Ok(Story {
        about: case.manifest.description.clone(),
        network: case.manifest.network.clone(),
        notes: case.notes.clone(),
        frames,
        unmatched,
        calls,
        samples: ending.samples.into_iter().map(sample).collect(),
        divergences: ending.found,
        trail: found.ending.trail.clone(),
        state: found.ending.state.clone(),
    })
}

fn micros(start_ns: u64, ns: u64) -> i64 {
    let difference = i128::from(ns) - i128::from(start_ns);
    i64::try_from(difference / 1000).unwrap_or(i64::MAX)
}

/// The captured frames with the reference's for each, and those of the reference that are left.
fn side_by_side(
    case: &Case,
    ending: &Ending,
    us: impl Fn(u64) -> i64,
) -> (Vec<StoryFrame>, Vec<Replayed>) {
    let mut sent: VecDeque<Replayed> = ending
        .sent
        .iter()
        .map(|(at, bytes)| Replayed { at_us: us(*at), frame: decode(bytes) })
        .collect();
    let mut unmatched = Vec::new();
    let outbound: Vec<&Frame> =
        case.frames.iter().filter(|f| f.outbound).map(|f| &f.frame).collect();
    let mut nth = 0;
    let mut frames = Vec::new();
    for f in &case.frames {
        let reference = if f.outbound {
            nth += 1;
            take_match(&f.frame, outbound.get(nth).copied(), &mut sent, &mut unmatched)
        } else {
            None
        };
        let interface = case.manifest.interface.get(f.port);
        frames.push(StoryFrame {
            number: f.number,
            at_us: us(f.time_ns),
            interface: interface.map_or_else(String::new, |i| i.name.clone()),
            outbound: f.outbound,
            cut: f.cut,
            frame: f.frame.clone(),
            reference,
        });
    }
    unmatched.extend(sent);
    (frames, unmatched)
}

/// Takes what the reference sent for a captured frame: the same one, one that it sent after a few
/// that the capture lacks, or another one in its place; nothing where its next frame is that of
/// the capture's next.
fn take_match(
    captured: &Frame,
    next: Option<&Frame>,
    sent: &mut VecDeque<Replayed>,
    unmatched: &mut Vec<Replayed>,
) -> Option<Replayed> {
    let same = |r: &Replayed| differences(captured, &r.frame) == 0;
    if let Some(at) = sent.iter().take(AHEAD).position(same) {
        unmatched.extend(sent.drain(..at));
        return sent.pop_front();
    }
    let first = sent.front()?;
    let of_next = next.is_some_and(|n| differences(n, &first.frame) == 0);
    let alike = first.frame.ether_type == captured.ether_type
        && first.frame.protocol == captured.protocol
        && first.frame.tcp.is_some() == captured.tcp.is_some();
    if of_next || !alike { None } else { sent.pop_front() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: u16) -> Frame {
        let b = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(id, 9);
        let mut bytes = Vec::new();
        b.write(&mut bytes, b"x").unwrap();
        decode(&bytes)
    }

    #[test]
    fn frames_find_their_like() {
        let mut sent: VecDeque<Replayed> =
            [1, 7, 2, 8, 4].map(|n| Replayed { at_us: 0, frame: frame(n) }).into();
        let mut unmatched = Vec::new();
        let captured = [1, 2, 3, 4, 5].map(frame);
        let got: Vec<Option<String>> = (0..5)
            .map(|n| take_match(&captured[n], captured.get(n + 1), &mut sent, &mut unmatched))
            .map(|r| r.and_then(|r| r.frame.value("udp.srcport").map(str::to_owned)))
            .collect();
        // 7 was too much, 8 came for 3, and for 5 there was nothing.
        let want = [Some("1"), Some("2"), Some("8"), Some("4"), None];
        assert_eq!(got, want.map(|w| w.map(str::to_owned)));
        assert_eq!(unmatched.len(), 1);
    }
}
