//! What would have to stand in the script for what happened to be the expected: `--bless` writes it.
//!
//! Only runs that are recorded look for it. One failure gives one change; the next run shows the next failure.

use super::{Run, Window};
use crate::results::Edit;
use crate::run::wire;
use crate::script::Span;
use crate::script::ast::{Action, Body, Call, Direction, Event, ExprKind, Packet, Time};
use reference_stack::syscalls::SysResult;

/// How exactly times are written, nanoseconds: what the tool itself takes between two events is less.
const EXACT: i64 = 10_000;

impl<'a> Run<'a> {
    /// The event at hand.
    fn at_hand(&self) -> Option<&'a Event> {
        self.events.get(self.at)
    }

    /// An expected packet that is not what came: it comes after this one, or does not come at all, or is another one.
    pub(super) fn edits_of_packet(
        &mut self,
        packet: &Packet,
        actual: &wire::Packet,
        text: &str,
        window: Window,
    ) -> Vec<Edit> {
        if self.recorder.is_none() || !matches!(packet.body, Body::Tcp(_) | Body::Udp(_)) {
            return Vec::new();
        }
        self.look_ahead(window);
        let candidates: Vec<wire::Packet> =
            self.packets.iter().take(4).map(|seen| seen.packet.clone()).collect();
        for next in &candidates {
            let next = self.in_script(next);
            if self.fits(packet, &next, window) {
                return self.inserted(text, actual.at);
            }
        }
        let events = self.events;
        let following = events.iter().skip(self.at + 1).map_while(|event| match &event.action {
            Action::Packet(next) if next.direction == Direction::Outbound => Some(next),
            _ => None,
        });
        for next in following {
            if self.fits(next, actual, window) {
                return self.deleted();
            }
        }
        vec![edit(packet.span, text)]
    }

    /// Segments that do not make up the expected one: a line each.
    pub(super) fn edits_of_parts(&self, packet: &Packet, texts: &[String]) -> Vec<Edit> {
        let (Some((first, rest)), Some(_)) = (texts.split_first(), &self.recorder) else {
            return Vec::new();
        };
        // The first of them stands behind the event's time, as the packet did.
        let mut lines = first.clone();
        for text in rest {
            lines.push('\n');
            lines.push_str(self.line(text, None).trim_end());
        }
        vec![edit(packet.span, &lines)]
    }

    /// A packet that did not come.
    pub(super) fn edits_of_missing(&self) -> Vec<Edit> {
        if self.recorder.is_none() { Vec::new() } else { self.deleted() }
    }

    /// An event that came at another time.
    pub(super) fn edits_of_time(&self, at: i64) -> Vec<Edit> {
        let (Some(event), Some(_)) = (self.at_hand(), &self.recorder) else { return Vec::new() };
        let at = rounded(at);
        let since = rounded(at.saturating_sub(self.base).max(0));
        let time = match event.time {
            Time::Absolute(_) => Time::Absolute(at),
            Time::AbsoluteRange(from, to) => Time::AbsoluteRange(from.min(at), to.max(at)),
            Time::Relative(_) => Time::Relative(since),
            Time::RelativeRange(from, to) => Time::RelativeRange(from.min(since), to.max(since)),
            Time::Any => return Vec::new(),
        };
        vec![edit(event.time_span, &time.to_string())]
    }

    /// A call that waited and returned at another time than it was due: `start...end`.
    pub(super) fn edits_of_return(&self, call: &Call, due: i64, at: i64) -> Vec<Edit> {
        let (Some(end), Some(_)) = (call.end, &self.recorder) else { return Vec::new() };
        let end = rounded(end.saturating_add(at.saturating_sub(due)).max(0));
        let span = Span { start: call.span.start, end: call.name_span.start };
        vec![edit(span, &format!("...{} ", Time::Absolute(end)))]
    }

    /// A call that returned something else. What only the target's memory shows is nothing that can be written down here.
    pub(super) fn edits_of_result(
        &self,
        call: &Call,
        field: &str,
        got: &str,
        result: &SysResult,
    ) -> Vec<Edit> {
        if self.recorder.is_none() {
            return Vec::new();
        }
        match field {
            "result" | "errno" => {
                let value = match result {
                    Ok(ret) => ret.value().to_string(),
                    Err(errno) => format!("-1 {errno}"),
                };
                let span = Span { start: call.result.span.start, end: call.span.end };
                vec![edit(span, &value)]
            }
            "optval" => match call.args.get(3).map(|arg| (&arg.kind, arg.span)) {
                Some((ExprKind::List(items), _)) if items.len() == 1 => {
                    vec![edit(items[0].span, got)]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Lets what belongs to the same moment come.
    fn look_ahead(&mut self, window: Window) {
        let until = window.to.saturating_add(self.config.tolerance(window.to, None));
        let until = self.live_time(until);
        while self.target.now() < until && !self.target.is_idle() {
            self.target.advance(until);
            self.poll_packets();
        }
    }

    /// A packet of the target in the numbers of the socket under test.
    fn in_script(&self, found: &wire::Packet) -> wire::Packet {
        let mut found = found.clone();
        if let (wire::Body::Tcp(live), Some(socket)) = (&mut found.body, self.sockets.current()) {
            *live = crate::run::matcher::to_script(socket, live);
        }
        found
    }

    /// Whether `found`, in the script's numbers, is what `packet` expects. Nothing is learned from it.
    fn fits(&mut self, packet: &Packet, found: &wire::Packet, window: Window) -> bool {
        let sockets = self.sockets.clone();
        let compared = self.compare(packet, found, window);
        self.sockets = sockets;
        matches!(compared, Ok((differences, _)) if differences.0.is_empty())
    }

    /// A line of the event at hand with another text; `time` instead of its own.
    fn line(&self, text: &str, time: Option<Time>) -> String {
        let Some(event) = self.at_hand() else { return String::new() };
        let time_text = match time {
            Some(time) => time.to_string(),
            None => match event.time {
                Time::Absolute(_) | Time::AbsoluteRange(..) | Time::Any => {
                    self.source.slice(event.time_span).to_owned()
                }
                Time::Relative(_) | Time::RelativeRange(..) => "+0".to_owned(),
            },
        };
        let start = self.line_start(event.span);
        let indent = self.source.slice(Span { start, end: event.span.start });
        let action = event.span.end.min(action_start(event));
        let gap = self.source.slice(Span { start: event.time_span.end, end: action });
        let gap = if gap.trim().is_empty() && !gap.is_empty() { gap } else { " " };
        format!("{indent}{time_text}{gap}{text}\n")
    }

    /// A line for `text`, which came at `at` of the target's clock, before the event at hand.
    fn inserted(&self, text: &str, at: u64) -> Vec<Edit> {
        let Some(event) = self.at_hand() else { return Vec::new() };
        let at = rounded(self.script_time(at));
        let since = rounded(at.saturating_sub(self.base).max(0));
        let mut edits = Vec::new();
        let time = match event.time {
            Time::Absolute(_) | Time::AbsoluteRange(..) => Time::Absolute(at),
            Time::Any => Time::Any,
            Time::Relative(_) | Time::RelativeRange(..) => Time::Relative(since),
        };
        let start = self.line_start(event.span);
        edits.push(edit(Span { start, end: start }, &self.line(text, Some(time))));
        let rest = match event.time {
            Time::Relative(t) => Some(Time::Relative((t - since).max(0))),
            Time::RelativeRange(a, b) => {
                Some(Time::RelativeRange((a - since).max(0), (b - since).max(0)))
            }
            _ => None,
        };
        edits.extend(rest.filter(|_| since > 0).map(|t| edit(event.time_span, &t.to_string())));
        edits
    }

    /// The event at hand goes; the next one takes over the time that it counted from it.
    fn deleted(&self) -> Vec<Edit> {
        let Some(event) = self.at_hand() else { return Vec::new() };
        let mut edits = vec![edit(self.lines_of(event.span), "")];
        let Some(next) = self.events.get(self.at + 1) else { return edits };
        let moved = match (event.time, next.time) {
            (Time::Relative(t) | Time::RelativeRange(t, _), Time::Relative(u)) if t > 0 => {
                Some(Time::Relative(t + u))
            }
            (Time::Relative(t) | Time::RelativeRange(t, _), Time::RelativeRange(a, b)) if t > 0 => {
                Some(Time::RelativeRange(t + a, t + b))
            }
            (Time::Absolute(t) | Time::AbsoluteRange(t, _), Time::Relative(u)) => {
                Some(Time::Absolute(t + u))
            }
            _ => None,
        };
        edits.extend(moved.map(|time| edit(next.time_span, &time.to_string())));
        edits
    }

    fn line_start(&self, span: Span) -> u32 {
        let before = &self.source.text()[..span.start as usize];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        // Something else before it on its line stays there.
        if before[start..].trim().is_empty() { start as u32 } else { span.start }
    }

    /// The lines of an event with the comment behind it, or the event alone where something else is on them.
    fn lines_of(&self, span: Span) -> Span {
        let start = self.line_start(span);
        let after = &self.source.text()[span.end as usize..];
        let rest = after.split('\n').next().unwrap_or("");
        let told = rest.trim_start();
        let alone = told.is_empty() || told.starts_with("//") || told.starts_with('#');
        let end = if alone { (rest.len() + 1).min(after.len()) } else { 0 };
        Span { start, end: span.end + end as u32 }
    }
}

fn action_start(event: &Event) -> u32 {
    match &event.action {
        Action::Packet(packet) => packet.span.start,
        Action::Call(call) => call.span.start,
        Action::Command(command) => command.span.start,
        Action::Code(code) => code.span.start,
        Action::Link(link) => link.span.start,
        Action::Fault(fault) => fault.span.start,
    }
}

fn edit(span: Span, text: &str) -> Edit {
    Edit { start: span.start as usize, end: span.end as usize, text: text.to_owned() }
}

fn rounded(ns: i64) -> i64 {
    ns.saturating_add(EXACT / 2) / EXACT * EXACT
}
