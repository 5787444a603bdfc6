//! What the machine sent against what was captured: the same frame, another one, one too many,
//! one too few, or the right one at a wrong time.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::case::CapFrame;
use super::engine::{Cause, EARLY_NS, Engine, Step};
use super::host::{Host, Sent};
use super::mapping::Mapping;
use super::trail::Event;
use crate::frames::{Frame, decode, differences, first_difference};
use crate::results::Divergence;

/// Where the machine's time and the capture's differ.
const TIME: &str = "time_relative";
/// A frame of the capture that the machine does not send.
const MISSING: &str = "missing";
/// A frame of the machine that the capture does not have.
const UNEXPECTED: &str = "unexpected";
/// Counts as so many fields: a frame that nothing of the other side corresponds to.
pub(super) const NO_FRAME: usize = 1000;
/// The most divergences that one replay lists.
const MOST_FOUND: usize = 200;

impl<H: Host> Engine<'_, H> {
    /// Notes a divergence. `Ok`: the replay goes on past it, since it is accepted or all are
    /// wanted.
    pub(super) fn diverge(&mut self, d: Divergence, fields: usize) -> Step {
        let full = format!("{}.{}", d.layer, d.field);
        let fits = |a: &crate::capture::Accept| {
            a.frame == d.frame && (a.field == full || a.field == d.field)
        };
        if let Some(n) = self.case.manifest.accept.iter().position(fits) {
            self.accepted.insert(n);
            return Ok(());
        }
        if self.keep_going && self.probing.is_none() && self.found.len() < MOST_FOUND {
            self.found.push(d);
            return Ok(());
        }
        self.fields = fields;
        Err(d)
    }

    /// A frame that the machine sent; `rest` are those that it sent with it.
    pub(super) fn frame_out(&mut self, sent: &Sent, rest: &[Sent]) -> Step {
        let at_ns = self.base_ns + sent.at;
        if self.before_the_first(at_ns) {
            return Ok(());
        }
        let Some(&i) = self.outbound.get(self.next_out) else {
            return self.after_the_last(sent, at_ns);
        };
        let f = &self.case.frames[i];
        if f.port != sent.port {
            let d = self.unexpected(f.number, at_ns, &sent.bytes, "a frame on another interface");
            return self.diverge(d, NO_FRAME);
        }
        let before = self.map.clone();
        let mapped = self.mapped(sent, f);
        let same = !f.cut && mapped == *f.data();
        let differs = if same { None } else { difference(f, &decode(&mapped)) };
        if let Some((d, fields)) = differs {
            self.map = before;
            return self.another_frame(i, sent, rest, &mapped, d, fields);
        }
        self.note_sent(at_ns, mapped);
        self.trail.note(at_ns, Event::Out { number: f.number });
        if !self.in_time(f, at_ns) {
            let d = self.at_another_time(f, at_ns);
            if self.cause == Cause::Timer {
                self.timer_late_ns = late_by(f, at_ns);
            }
            self.diverge(d, 1)?;
        }
        let used = match self.cause {
            Cause::Timer => &mut self.slack.timer_ns,
            Cause::Frame(_) => &mut self.slack.rx_ns,
            Cause::Call(_) => &mut self.slack.call_ns,
        };
        *used = (*used).max(f.time_ns.abs_diff(at_ns));
        if let Some((_, frames)) = &mut self.in_call {
            *frames += 1;
        }
        self.next_out += 1;
        Ok(())
    }

    /// Keeps the frame for a report: all of them where the replay goes on past divergences, else
    /// the last.
    fn note_sent(&mut self, at_ns: u64, mapped: Vec<u8>) {
        if !self.keep_going {
            self.sent.clear();
        }
        self.sent.push((at_ns, mapped));
    }

    /// What a timer sends before the capture began was not recorded.
    fn before_the_first(&self, at_ns: u64) -> bool {
        let first = self.case.frames.first().map_or(0, |f| f.time_ns);
        self.cause == Cause::Timer && at_ns + self.early_limit() < first
    }

    /// Whatever the machine sends some time after the capture's end says nothing.
    fn after_the_last(&mut self, sent: &Sent, at_ns: u64) -> Step {
        let last = self.case.frames.last().map_or(0, |f| f.time_ns);
        if at_ns > last + EARLY_NS {
            return Ok(());
        }
        let number = self.case.frames.last().map_or(0, |f| f.number) + 1;
        let d = self.unexpected(number, at_ns, &sent.bytes, "no further frame");
        self.diverge(d, NO_FRAME)
    }

    /// Whether a frame that a router sent is of another host.
    fn is_forwarded(&self, f: &CapFrame) -> bool {
        let interfaces = &self.case.manifest.interface;
        let own = |source| interfaces.iter().flat_map(|i| i.prefixes()).any(|p| p.0 == source);
        interfaces.len() > 1 && f.frame.addresses.is_some_and(|(source, _)| !own(source))
    }

    /// A frame of the machine in the capture's numbers.
    fn mapped(&mut self, sent: &Sent, f: &CapFrame) -> Vec<u8> {
        if self.is_forwarded(f) {
            // It was another host that drew its numbers.
            return sent.bytes.clone();
        }
        let connected = match (f.frame.addresses, f.frame.udp) {
            (Some((_, d)), Some((_, p))) => {
                self.case.connected_udp.contains(&SocketAddr::new(d, p))
            }
            _ => false,
        };
        let fixed = &self.case.fixed_ports;
        // Of IPv4 the list of fields says nothing more.
        let expected = match f.frame.ether_type {
            0x0800 => Cow::Borrowed(&f.frame),
            _ => f.full(),
        };
        self.map.outbound(&sent.bytes, &expected, f.time_ns, self.jiffy_ns, connected, |port| {
            !fixed.contains(&port)
        })
    }

    /// The machine's frame is not the captured one: which of the two is one too many, or is it
    /// one frame with a field that differs?
    fn another_frame(
        &mut self,
        i: usize,
        sent: &Sent,
        rest: &[Sent],
        mapped: &[u8],
        d: Divergence,
        fields: usize,
    ) -> Step {
        let at_ns = self.base_ns + sent.at;
        let f = &self.case.frames[i];
        self.note_sent(at_ns, mapped.to_vec());
        if self.probing.is_none() && self.is_the_next_one(sent) {
            let d = Divergence {
                frame: f.number,
                layer: "frame".to_owned(),
                field: MISSING.to_owned(),
                expected: f.full().summary(),
                got: format!("the frame after it at {}", self.clock(at_ns)),
            };
            self.diverge(d, 1)?;
            self.sent.pop();
            self.next_out += 1;
            return self.frame_out(sent, rest);
        }
        let early = f.time_ns.saturating_sub(at_ns) > 2 * self.jiffy_ns;
        let comes_next = self.comes_next(rest);
        if early || comes_next {
            let what =
                format!("nothing before {} at {}", f.full().summary(), self.clock(f.time_ns));
            let d = self.unexpected(f.number, at_ns, mapped, &what);
            return self.diverge(d, if comes_next { 1 } else { NO_FRAME });
        }
        let in_time = self.in_time(f, at_ns);
        self.diverge(Divergence { frame: f.number, ..d }, fields + usize::from(!in_time))?;
        self.next_out += 1;
        Ok(())
    }

    /// Whether a frame of the machine is the captured one after the next, in all fields and at
    /// its time.
    fn is_the_next_one(&self, sent: &Sent) -> bool {
        let Some(&j) = self.outbound.get(self.next_out + 1) else { return false };
        let g = &self.case.frames[j];
        let at_ns = self.base_ns + sent.at;
        g.port == sent.port && self.in_time(g, at_ns) && self.would_be(sent, g, &self.map)
    }

    /// Whether the replay, without the frame at hand, comes to the captured one.
    fn comes_next(&self, rest: &[Sent]) -> bool {
        if self.probing.is_some() {
            return false;
        }
        let mut other = self.clone();
        other.probing = Some(self.next_out);
        for n in 0..rest.len() {
            if other.frame_out(&rest[n], &rest[n + 1..]).is_err() {
                return false;
            }
        }
        // Where it ends by a divergence, that comes after the frame or instead of it.
        let _ = other.events();
        other.next_out > self.next_out
    }

    pub(super) fn would_be(&self, sent: &Sent, f: &CapFrame, map: &Mapping) -> bool {
        let mut other = self.judging(map.clone());
        let mapped = other.mapped(sent, f);
        (!f.cut && mapped == *f.data()) || difference(f, &decode(&mapped)).is_none()
    }

    /// The next frame that the machine sends by itself until a time.
    fn next_sent(&self, end_ns: u64) -> Option<Sent> {
        let mut host = self.host.clone();
        loop {
            let next = host.next_event().filter(|n| self.base_ns + n <= end_ns)?;
            host.advance(next);
            if let Some(sent) = host.frames_out().into_iter().next() {
                return Some(sent);
            }
        }
    }

    /// A frame that the capture has is overdue.
    pub(super) fn missing(&mut self, now_ns: u64) -> Step {
        while let Some(&i) = self.outbound.get(self.next_out) {
            let f = &self.case.frames[i];
            let limit = f.time_ns.saturating_add(2 * self.jiffy_ns + EARLY_NS);
            if now_ns <= limit {
                return Ok(());
            }
            let (d, late) = self.overdue(f, limit);
            self.timer_late_ns = late;
            let fields = if d.field == TIME { 1 } else { NO_FRAME };
            self.diverge(d, fields)?;
            self.next_out += 1;
        }
        Ok(())
    }

    /// Late, or never? The machine is asked what it does until something else happens.
    fn overdue(&self, f: &CapFrame, limit: u64) -> (Divergence, i64) {
        const LATEST_NS: u64 = 300_000_000_000;
        let next = [self.inbound_time(), self.next_call_time(), Some(f.time_ns + LATEST_NS)];
        let until = next.into_iter().flatten().min().unwrap_or(0);
        let late = self.next_sent(until).filter(|sent| self.would_be(sent, f, &self.map));
        match late {
            Some(sent) => {
                let at = self.base_ns + sent.at;
                (self.at_another_time(f, at), late_by(f, at))
            }
            None => (
                Divergence {
                    frame: f.number,
                    layer: "frame".to_owned(),
                    field: MISSING.to_owned(),
                    expected: f.full().summary(),
                    got: format!("nothing until {}", self.clock(limit)),
                },
                0,
            ),
        }
    }

    /// Whether a frame made at this time may have its stamp.
    fn in_time(&self, f: &CapFrame, at_ns: u64) -> bool {
        f.time_ns.saturating_sub(at_ns) <= self.early_limit()
            && at_ns.saturating_sub(f.time_ns) <= self.late_limit()
    }

    /// How much earlier than its stamp a frame may be made here.
    fn early_limit(&self) -> u64 {
        match self.cause {
            Cause::Timer => self.jiffy_ns + 1_000_000,
            Cause::Frame(_) | Cause::Call(_) => {
                self.case.manifest.uncertainty.longest_us().max(1_000) * 1_000
            }
        }
    }

    /// How much later than its stamp a frame may be made here: a timer's tick is estimated.
    fn late_limit(&self) -> u64 {
        match self.cause {
            Cause::Timer => EARLY_NS + self.jiffy_ns / 8,
            Cause::Frame(_) | Cause::Call(_) => EARLY_NS,
        }
    }

    fn at_another_time(&self, f: &CapFrame, at_ns: u64) -> Divergence {
        Divergence {
            frame: f.number,
            layer: "frame".to_owned(),
            field: TIME.to_owned(),
            expected: self.clock(f.time_ns),
            got: self.clock(at_ns),
        }
    }

    fn unexpected(&self, frame: u64, at_ns: u64, bytes: &[u8], expected: &str) -> Divergence {
        Divergence {
            frame,
            layer: "frame".to_owned(),
            field: UNEXPECTED.to_owned(),
            expected: expected.to_owned(),
            got: format!("{} at {}", decode(bytes).summary(), self.clock(at_ns)),
        }
    }
}

/// How much later than a captured frame the machine's is.
fn late_by(f: &CapFrame, at_ns: u64) -> i64 {
    (i128::from(at_ns) - i128::from(f.time_ns)).clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// The first field that differs, and how many do; a cut frame is compared as far as it was
/// captured.
fn difference(expected: &CapFrame, got: &Frame) -> Option<(Divergence, usize)> {
    let whole = expected.full().into_owned();
    let (want, got) = if expected.cut {
        let shorter = |f: &Frame| {
            let mut f = f.clone();
            f.payload.truncate(whole.payload.len());
            f.fields.retain(|x| {
                // The sum is over what was not captured.
                let sum = matches!(x.layer.name(), "tcp" | "udp" | "icmp" | "icmpv6")
                    && x.name.ends_with("checksum");
                let payload =
                    matches!(x.name, "tcp.payload" | "udp.payload" | "data.data" | "tcp.len");
                !payload && !sum
            });
            f
        };
        (shorter(&whole), shorter(got))
    } else {
        (whole, got.clone())
    };
    let d = first_difference(&want, &got)?;
    let field = d.field.strip_prefix(d.layer).and_then(|f| f.strip_prefix('.'));
    let divergence = Divergence {
        frame: expected.number,
        layer: d.layer.to_owned(),
        field: field.unwrap_or(&d.field).to_owned(),
        expected: d.expected,
        got: d.got,
    };
    Some((divergence, differences(&want, &got)))
}
