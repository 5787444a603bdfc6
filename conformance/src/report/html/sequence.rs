//! Sequence numbers over time, one plot for each direction of a connection that carried data: what
//! was sent, sent again, acknowledged, selectively acknowledged and allowed by the window, and over
//! it what the reference did.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::markup::Markup;
use super::plot::{Plot, Range, legend};
use super::seconds;
use crate::frames::{Frame, Tcp};
use crate::results::story::{Story, StoryFrame};

/// Plots of one capture; more connections than these are not drawn.
const FLOWS: usize = 8;
const SYN: u16 = 2;
const FIN: u16 = 1;
const ACK: u16 = 0x10;
const HEIGHT: f64 = 380.0;

/// One direction of a connection.
pub(super) struct Flow<'a> {
    from: SocketAddr,
    to: SocketAddr,
    /// Number from which the plot counts.
    base: u32,
    /// Segments of this direction, then those that acknowledge them.
    data: Vec<&'a StoryFrame>,
    acks: Vec<&'a StoryFrame>,
    /// The acknowledging side's window scale; absent where the handshake was not captured.
    shift: Option<u32>,
}

/// Source and destination of a segment.
fn ends(frame: &Frame) -> Option<(SocketAddr, SocketAddr)> {
    let (source, destination): (IpAddr, IpAddr) = frame.addresses?;
    let t = frame.tcp?;
    Some((SocketAddr::new(source, t.source), SocketAddr::new(destination, t.destination)))
}

/// The directions that carried data, in the order of their first segments.
pub(super) fn flows(story: &Story) -> Vec<Flow<'_>> {
    let mut by_ends: BTreeMap<(SocketAddr, SocketAddr), Vec<&StoryFrame>> = BTreeMap::new();
    for f in &story.frames {
        if let Some(ends) = ends(&f.frame) {
            by_ends.entry(ends).or_default().push(f);
        }
    }
    let mut flows: Vec<Flow<'_>> = by_ends
        .iter()
        .filter(|(_, data)| data.iter().any(|f| f.frame.tcp.is_some_and(|t| t.len > 0)))
        .filter_map(|(&(from, to), data)| {
            let acks = by_ends.get(&(to, from)).cloned().unwrap_or_default();
            let base = data.first()?.frame.tcp?.seq;
            Some(Flow { from, to, base, data: data.clone(), shift: shift(data, &acks), acks })
        })
        .collect();
    flows.sort_by_key(|f| f.data.first().map_or(0, |d| d.number));
    flows.truncate(FLOWS);
    flows
}

/// The window scale of the acknowledging side: its own, if both offered one.
fn shift(data: &[&StoryFrame], acks: &[&StoryFrame]) -> Option<u32> {
    let offered = |frames: &[&StoryFrame]| -> Option<Option<u32>> {
        let syn = frames.iter().find(|f| f.frame.tcp.is_some_and(|t| t.flags & SYN != 0))?;
        Some(syn.frame.value("tcp.options.wscale.shift").and_then(|v| v.parse().ok()))
    };
    match (offered(data)?, offered(acks)?) {
        (Some(_), Some(shift)) => Some(shift),
        _ => Some(0),
    }
}

/// Sequence numbers that a segment takes.
fn space(t: Tcp) -> u32 {
    let flags = u32::from(t.flags & SYN != 0) + u32::from(t.flags & FIN != 0);
    t.len.wrapping_add(flags)
}

fn at(us: i64) -> f64 {
    us as f64 / 1e6
}

impl Flow<'_> {
    pub(super) fn title(&self) -> String {
        format!("Sequence numbers over time, {} to {}", self.from, self.to)
    }

    /// A number counted from the flow's first, which may have wrapped.
    fn relative(&self, seq: u32) -> f64 {
        f64::from(seq.wrapping_sub(self.base) as i32)
    }

    pub(super) fn draw(&self, page: &mut Markup) {
        legend(
            page,
            &[
                ("sent", "sent"),
                ("again", "sent again"),
                ("acked", "acknowledged"),
                ("sacked", "SACK blocks"),
                ("window", "window's end"),
                ("reference", "the reference's segments"),
                ("reference-ack", "the reference's acknowledgements"),
            ],
        );
        let all = self.data.iter().chain(&self.acks);
        let x = Range::of(all.map(|f| at(f.at_us)));
        let tops = self.data.iter().filter_map(|f| f.frame.tcp);
        let y = Range::of(tops.map(|t| self.relative(t.seq.wrapping_add(space(t)))).chain([0.0]));
        // Some room above, for the window.
        let y = Range { to: y.to + (y.to - y.from) * 0.15, ..y };
        let mut plot = Plot::start(page, HEIGHT, x, y, "bytes");
        self.acknowledged(&mut plot);
        self.segments(&mut plot);
        plot.end();
    }

    fn segments(&self, plot: &mut Plot<'_>) {
        let mut highest = f64::NEG_INFINITY;
        for f in &self.data {
            let Some(t) = f.frame.tcp.filter(|t| space(*t) > 0) else { continue };
            let (from, to) = (self.relative(t.seq), self.relative(t.seq.wrapping_add(space(t))));
            let class = if to <= highest { "again" } else { "sent" };
            highest = highest.max(to);
            let says = format!("frame {} at {}: {}", f.number, seconds(f.at_us), f.frame.summary());
            plot.bar(class, at(f.at_us), from, to, &says);
        }
        for f in &self.data {
            let Some(r) = &f.reference else { continue };
            let Some(t) = r.frame.tcp.filter(|t| space(*t) > 0) else { continue };
            let middle = self.relative(t.seq.wrapping_add(space(t) / 2));
            let says = format!("reference at {}: {}", seconds(r.at_us), r.frame.summary());
            plot.point("reference", at(r.at_us), middle, &says);
        }
    }

    fn acknowledged(&self, plot: &mut Plot<'_>) {
        let (mut acked, mut edge, mut reference) = (Vec::new(), Vec::new(), Vec::new());
        for f in &self.acks {
            let Some(t) = f.frame.tcp.filter(|t| t.flags & ACK != 0) else { continue };
            let (x, ack) = (at(f.at_us), self.relative(t.ack));
            acked.push((x, ack));
            edge.extend(self.window(&f.frame, t).map(|window| (x, ack + window)));
            for (from, to) in sack_blocks(&f.frame) {
                let says = format!("frame {}: SACK {from}-{to}", f.number);
                plot.bar("sacked", x, self.relative(from), self.relative(to), &says);
            }
            if let Some(r) = &f.reference
                && let Some(t) = r.frame.tcp.filter(|t| t.flags & ACK != 0)
            {
                reference.push((at(r.at_us), self.relative(t.ack)));
            }
        }
        plot.steps("window", &edge);
        plot.steps("acked", &acked);
        plot.steps("reference-ack", &reference);
    }

    /// The window that an acknowledgement allows, bytes. That of a SYN is not scaled.
    fn window(&self, frame: &Frame, t: Tcp) -> Option<f64> {
        let window: u32 = frame.value("tcp.window")?.parse().ok()?;
        let shift = if t.flags & SYN != 0 { 0 } else { self.shift? };
        Some(f64::from(window) * f64::from(shift.min(14)).exp2())
    }
}

/// Left and right edges.
fn sack_blocks(frame: &Frame) -> Vec<(u32, u32)> {
    let edges = |name: &str| -> Vec<u32> {
        let of_name = frame.fields.iter().filter(|f| f.name == name);
        of_name.filter_map(|f| f.value.parse().ok()).collect()
    };
    edges("tcp.options.sack_le").into_iter().zip(edges("tcp.options.sack_re")).collect()
}
