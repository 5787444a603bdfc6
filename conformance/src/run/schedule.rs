//! The run of one script: events in order, each at its time.

mod edits;
mod inbound;
mod link;
mod outbound;
mod owners;

use std::collections::VecDeque;

use reference_stack::syscalls::SysResult;

use super::calls::{CallError, Calls, Check, Prepared};
use super::commands::{CommandError, Shell};
use super::config::Config;
use super::connection::Sockets;
use super::icmp_names;
use super::matcher::Mismatch;
use super::recorder::Recorder;
use super::report::{self, Failure};
use super::sample;
use super::state;
use super::values::Values;
use crate::results::{Evidence, Timing};
use crate::script::ast::{Action, Body, Call, Direction, Event, Icmp, Packet, Script, Time};
use crate::script::code::{self, Env};
use crate::script::{ScriptError, Source, Span};
use crate::target::{Refusal, Target, Thread};
use link::Seen;

/// How long after its time an expected packet or the end of a call is waited for, nanoseconds.
const PATIENCE_NS: i64 = 2_000_000_000;
/// How long a packet that may come at any time is waited for, nanoseconds.
const ANY_TIME_LIMIT_NS: i64 = 3_600_000_000_000;
/// How long a call that is not marked as blocking may wait, nanoseconds.
const CALL_LIMIT_NS: i64 = 300_000_000_000;

/// Why a run ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The target does not do what the script says.
    Fail(Box<Failure>),
    /// The target or the harness cannot do what the script needs.
    Unsupported(String),
    /// The script is wrong.
    Broken(ScriptError),
}

impl From<ScriptError> for Stop {
    fn from(error: ScriptError) -> Self {
        Stop::Broken(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Fail(Box::new(failure))
    }
}

/// A time window in nanoseconds of the script.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: i64,
    to: i64,
    /// `*`
    any: bool,
}

/// A call that waits in the background.
struct Waiting<'a> {
    call: &'a Call,
    check: Check,
    /// When it was due to start and to return, nanoseconds of the script.
    start: i64,
    end: i64,
}

/// The state of a run.
pub(crate) struct Run<'a> {
    source: &'a Source,
    config: &'a Config,
    target: &'a mut dyn Target,
    shell: Shell,
    sockets: Sockets,
    env: Env,
    /// Packets of the target that no event has asked for yet.
    packets: VecDeque<Seen>,
    /// What earlier packets had that later ones use.
    values: Values,
    /// Whether packets of the script have owners, so that those of other sockets are kept for them.
    owned: bool,
    /// The target's clock at time 0 of the script.
    start: u64,
    waiting: Option<Waiting<'a>>,
    /// When the packet left that was looked at last.
    last_read: Option<u64>,
    /// When the event before was due, and whether it was an inbound packet.
    last: Option<(i64, bool)>,
    /// Number of the packet event at hand, from 1.
    packet_number: u64,
    /// The script's events, and which of them is at hand.
    events: &'a [Event],
    at: usize,
    /// What the relative time of the event at hand counts from, nanoseconds of the script.
    base: i64,
    /// The last events of every layer, where they are wanted.
    recorder: Option<Box<Recorder>>,
    evidence: Evidence,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        source: &'a Source,
        config: &'a Config,
        target: &'a mut dyn Target,
        shell: Shell,
    ) -> Self {
        let mut env = Env::default();
        sample::set_constants(&mut env);
        Run {
            source,
            config,
            target,
            shell,
            sockets: Sockets::default(),
            env,
            packets: VecDeque::new(),
            values: Values::default(),
            owned: false,
            start: 0,
            waiting: None,
            last_read: None,
            last: None,
            packet_number: 0,
            events: &[],
            at: 0,
            base: 0,
            recorder: None,
            evidence: Evidence::default(),
        }
    }

    /// The same with the last events of every layer, and the state of the sockets before they are closed.
    pub(crate) fn recorded(mut self) -> Self {
        self.recorder = Some(Box::default());
        self
    }

    /// Runs the script: init command, events, closing, cleanup command.
    pub(crate) fn script(&mut self, script: &'a Script) -> Result<(), Stop> {
        self.start = self.target.now();
        self.owned = owners::any(script);
        self.watch(script)?;
        for file in &self.config.init_scripts {
            self.command(file, Span::default(), "the init script")?;
        }
        if let Some(init) = &script.init {
            self.command(&init.text, init.span, "the init command")?;
        }
        self.target.start_clock();
        self.target.sent();
        self.target.frames();
        self.start = self.target.now();
        self.events = &script.events;
        let mut result = script.events.iter().enumerate().try_for_each(|(at, event)| {
            self.at = at;
            self.event(event)
        });
        if result.is_ok() {
            result = self.finish_waiting();
        }
        self.take_trace();
        self.observe();
        self.close();
        if let (Some(_), Some(cleanup)) = (&script.init, &script.cleanup) {
            let cleaned = self.command(&cleanup.text, cleanup.span, "the cleanup command");
            result = result.and(cleaned);
        }
        result
    }

    /// Notes of commands that failed where a shell goes on.
    pub(crate) fn notes(&self) -> &[String] {
        &self.shell.notes
    }

    /// Time of the target's clock since the script's start, nanoseconds.
    pub(crate) fn elapsed(&self) -> i64 {
        self.script_time(self.target.now())
    }

    fn script_time(&self, at: u64) -> i64 {
        i64::try_from(at)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(self.start).unwrap_or(i64::MAX))
    }

    fn live_time(&self, script: i64) -> u64 {
        self.start.saturating_add_signed(script)
    }

    /// Notes an event of the script's own level, where events are wanted.
    fn note(&mut self, layer: &'static str, text: impl FnOnce() -> String) {
        self.take_trace();
        let now = self.elapsed();
        if let Some(recorder) = &mut self.recorder {
            recorder.text(now, layer, text());
        }
    }

    /// Takes over what the target's layers did.
    fn take_trace(&mut self) {
        if self.recorder.is_none() {
            return;
        }
        for traced in self.target.trace() {
            let at = self.script_time(traced.at);
            if let Some(recorder) = &mut self.recorder {
                recorder.text(at, traced.layer, traced.text);
            }
        }
    }

    /// Asks for the state of the open sockets, where it is wanted: it ends with them.
    fn observe(&mut self) {
        let Some(recorder) = &self.recorder else { return };
        self.evidence.events = recorder.events(&self.sockets);
        for (script_fd, live_fd) in self.sockets.named_fds() {
            let lines = state::of_socket(&mut *self.target, script_fd, live_fd);
            self.evidence.sockets.push(lines);
        }
    }

    /// What is known of the run beside its failure.
    pub(crate) fn take_evidence(&mut self) -> Evidence {
        std::mem::take(&mut self.evidence)
    }

    fn event(&mut self, event: &'a Event) -> Result<(), Stop> {
        let inbound =
            matches!(&event.action, Action::Packet(p) if p.direction == Direction::Inbound);
        if self.last.is_none() {
            // The script's clock starts with its first event.
            self.start = self.target.now();
        }
        // Inbound packets in a row count from each other's due times, all else from where the clock stands.
        let base = match self.last {
            Some((due, true)) if inbound => due,
            Some(_) => self.elapsed(),
            None => 0,
        };
        self.base = base;
        let window = match event.time {
            Time::Absolute(t) => Window { from: t, to: t, any: false },
            Time::Relative(t) => Window { from: base + t, to: base + t, any: false },
            Time::AbsoluteRange(a, b) => Window { from: a, to: b, any: false },
            Time::RelativeRange(a, b) => Window { from: base + a, to: base + b, any: false },
            Time::Any => Window { from: base, to: base, any: true },
        };
        if let (None, true) = (self.last, window.from != 0) {
            let error = ScriptError::new(
                self.source,
                event.time_span,
                "the first event has to be at time 0",
                "",
            );
            return Err(error.into());
        }
        if let (Some((due, _)), Time::Absolute(_) | Time::AbsoluteRange(..)) =
            (self.last, event.time)
            && window.from < due
        {
            let error = ScriptError::new(
                self.source,
                event.time_span,
                "time goes backwards",
                "the event before is later",
            );
            return Err(error.into());
        }
        match &event.action {
            Action::Packet(packet) => {
                if let Some(what) = packet.beyond_plain() {
                    return Err(self.unsupported(packet.span, what));
                }
                self.packet_number += 1;
                if packet.direction == Direction::Outbound {
                    let result = self.expect(event, packet, window);
                    self.unless_fatal(result)?;
                } else {
                    self.wait_until(event, window)?;
                    self.send(packet)?;
                }
            }
            Action::Call(call) => {
                self.wait_until(event, window)?;
                self.call(call, window.from, base, event)?;
            }
            Action::Command(command) => {
                self.wait_until(event, window)?;
                self.command(&command.text, command.span, "the command")?;
            }
            Action::Code(block) => {
                self.wait_until(event, window)?;
                self.code(block)?;
            }
            Action::Link(link) => {
                self.wait_until(event, window)?;
                self.link_event(link)?;
            }
            Action::Fault(fault) => {
                self.wait_until(event, window)?;
                self.fault_event(fault)?;
            }
        }
        self.poll_target()?;
        self.last = Some((window.from, inbound));
        Ok(())
    }

    /// Sends a packet of the script.
    fn send(&mut self, packet: &Packet) -> Result<(), Stop> {
        if let Body::Eth(_) | Body::Raw(_) | Body::Link(_) = packet.body {
            return self.inbound_link(packet);
        }
        self.turn_to_owner(packet)?;
        if packet.is_open() {
            return self.inbound(&self.values.written_out(packet));
        }
        self.inbound(packet)
    }

    /// Waits for a packet of the target.
    fn expect(&mut self, event: &Event, packet: &Packet, window: Window) -> Result<(), Stop> {
        if let Body::Eth(_) | Body::Raw(_) | Body::Link(_) = packet.body {
            return self.outbound_link(event, packet, window);
        }
        self.turn_to_owner(packet)?;
        self.outbound(event, packet, window)
    }

    /// With `--non_fatal=packet` a packet that differs is only noted.
    fn unless_fatal(&mut self, result: Result<(), Stop>) -> Result<(), Stop> {
        match result {
            Err(Stop::Fail(failure)) if self.config.non_fatal_packet => {
                let place = self.source.place(failure.span);
                self.shell.notes.push(format!("not fatal: {place}: {}", failure.message));
                Ok(())
            }
            other => other,
        }
    }

    fn unsupported(&self, span: Span, what: &str) -> Stop {
        Stop::Unsupported(format!("{}: {what} is not supported", self.source.place(span)))
    }

    /// Type, code and bytes 4 to 7 of an ICMP message. A name that the IP version lacks is a mistake of the script, but
    /// not if the script did not choose that version.
    fn icmp_numbers(&self, icmp: &Icmp, v4: bool) -> Result<(u8, u8, [u8; 4]), Stop> {
        let read = || {
            let (kind, code) = icmp_names::numbers(self.source, icmp, v4)?;
            Ok((kind, code, icmp_names::rest(self.source, icmp, v4, kind, code)?))
        };
        read().map_err(|error: ScriptError| match self.config.variant_asked {
            true => Stop::Unsupported(error.one_line()),
            false => Stop::Broken(error),
        })
    }

    /// Lets time pass until an event is due; late ones fail.
    fn wait_until(&mut self, event: &Event, window: Window) -> Result<(), Stop> {
        let until = self.live_time(window.from);
        while self.target.now() < until {
            self.target.advance(until);
            self.poll_target()?;
        }
        let Some((before, _)) = self.last else { return Ok(()) };
        self.check_time(event.time_span, "the event", window, self.elapsed(), Some(before))
    }

    /// Fails if `at` is not in the window, with the tolerance that the time since `before` gives.
    fn check_time(
        &self,
        span: Span,
        what: &str,
        window: Window,
        at: i64,
        before: Option<i64>,
    ) -> Result<(), Stop> {
        let tolerance = self.config.tolerance(window.from, before);
        if window.any
            || (at >= window.from.saturating_sub(tolerance)
                && at <= window.to.saturating_add(tolerance))
        {
            return Ok(());
        }
        let expected = if window.from == window.to {
            report::seconds(window.from)
        } else {
            format!("{} to {}", report::seconds(window.from), report::seconds(window.to))
        };
        let got = report::seconds(at);
        let how = if at < window.from { "early" } else { "late" };
        let message = format!("{what} comes too {how}: it was due at {expected} s");
        let mismatch = Mismatch { layer: "time", field: "time", expected, got };
        let failure = self.failure(span, message, mismatch);
        let edits = self.edits_of_time(at);
        Err(Failure { timing: self.timing(window, at, before), edits, ..failure }.into())
    }

    /// When it was due and when it came; nothing where any time will do.
    fn timing(&self, window: Window, at: i64, before: Option<i64>) -> Option<Timing> {
        (!window.any).then(|| Timing {
            from_ns: window.from,
            to_ns: window.to,
            at_ns: at,
            tolerance_ns: self.config.tolerance(window.from, before),
        })
    }

    fn failure(&self, span: Span, message: String, first: Mismatch) -> Failure {
        let in_packet = !matches!(first.layer, "syscall" | "assert" | "command");
        Failure {
            span,
            message,
            label: match first.field {
                "time" if first.got != "no return" => format!("came at {} s", first.got),
                "result" | "errno" if first.got != "no return" => {
                    format!("returned {}", first.got)
                }
                _ => first.got.clone(),
            },
            frame: if in_packet { self.packet_number } else { 0 },
            differences: vec![first],
            ..Failure::default()
        }
    }

    /// Takes packets and finished calls over from the target.
    fn poll_target(&mut self) -> Result<(), Stop> {
        self.poll_packets();
        for finished in self.target.finished() {
            if finished.thread != Thread::Blocking {
                continue;
            }
            let Some(waiting) = self.waiting.take() else { continue };
            self.finished(&waiting, finished.at, &finished.result)?;
        }
        Ok(())
    }

    fn calls(&mut self) -> Calls<'_> {
        // Both clocks run alike.
        let real_start = self.target.real_time().saturating_sub(self.elapsed());
        Calls {
            source: self.source,
            config: self.config,
            sockets: &mut self.sockets,
            values: &self.values,
            real_start,
        }
    }

    /// Compares what a call that had waited returned, and when.
    fn finished(&mut self, waiting: &Waiting<'a>, at: u64, result: &SysResult) -> Result<(), Stop> {
        self.check_call(waiting.call, &waiting.check, result)?;
        let window = Window { from: waiting.end, to: waiting.end, any: false };
        let what = format!("the return of {}()", waiting.call.name);
        let at = self.script_time(at);
        let checked = self.check_time(waiting.call.span, &what, window, at, Some(waiting.start));
        checked.map_err(|stop| match stop {
            Stop::Fail(failure) => {
                let edits = self.edits_of_return(waiting.call, waiting.end, at);
                Failure { edits, ..*failure }.into()
            }
            other => other,
        })
    }

    fn check_call(&mut self, call: &Call, check: &Check, result: &SysResult) -> Result<(), Stop> {
        let source = self.source;
        self.note("call", || call_text(source, call, result));
        match self.calls().check(call, check, result)? {
            Ok(()) => Ok(()),
            Err(m) => {
                let message =
                    format!("{}(): {} is {}, expected {}", call.name, m.field, m.got, m.expected);
                let edits = self.edits_of_result(call, m.field, &m.got, result);
                Err(Failure { edits, ..self.failure(call.span, message, m) }.into())
            }
        }
    }

    fn call(&mut self, call: &'a Call, due: i64, base: i64, event: &Event) -> Result<(), Stop> {
        if call.end.is_none() {
            self.let_return()?;
        }
        let Prepared { call: live, check } = match self.calls().prepare(call) {
            Ok(prepared) => prepared,
            Err(CallError::Unsupported(what)) => {
                return Err(Stop::Unsupported(format!("{}: {what}", self.source.place(call.span))));
            }
            Err(CallError::Script(error)) => return Err(error.into()),
        };
        let thread = if call.end.is_some() { Thread::Blocking } else { Thread::Main };
        if thread == Thread::Blocking && self.waiting.is_some() {
            let message = "a blocking call starts while another one waits";
            return Err(ScriptError::new(self.source, call.span, message, "").into());
        }
        let started =
            self.target.call(thread, live).map_err(|refusal| self.refused(call.span, refusal))?;
        let end = call.end.map(|e| {
            if matches!(event.time, Time::Relative(_)) { base.saturating_add(e) } else { e }
        });
        match (started, end) {
            (Some(result), None) => self.check_call(call, &check, &result),
            (Some(result), Some(end)) => {
                let waiting = Waiting { call, check, start: due, end };
                self.finished(&waiting, self.target.now(), &result)
            }
            (None, Some(end)) => {
                self.waiting = Some(Waiting { call, check, start: due, end });
                Ok(())
            }
            (None, None) => self.wait_for_call(call, &check),
        }
    }

    /// Before another call: one that waits and whose time has come may return first, as upstream's main thread lets it.
    fn let_return(&mut self) -> Result<(), Stop> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let due =
            waiting.end.saturating_add(self.config.tolerance(waiting.end, Some(waiting.start)));
        if waiting.end > self.elapsed().saturating_add(self.config.tolerance_ns) {
            return Ok(());
        }
        let limit = self.live_time(due);
        while self.waiting.is_some() && self.target.now() < limit {
            self.target.advance(limit);
            self.poll_target()?;
        }
        Ok(())
    }

    /// Waits for a call that is not marked as blocking but does not return at once.
    fn wait_for_call(&mut self, call: &'a Call, check: &Check) -> Result<(), Stop> {
        let limit = self.target.now().saturating_add(CALL_LIMIT_NS as u64);
        while self.target.now() < limit && !self.target.is_idle() {
            self.target.advance(limit);
            self.poll_packets();
            for finished in self.target.finished() {
                match (finished.thread, self.waiting.take()) {
                    (Thread::Main, waiting) => {
                        self.waiting = waiting;
                        return self.check_call(call, check, &finished.result);
                    }
                    (Thread::Blocking, Some(waiting)) => {
                        self.finished(&waiting, finished.at, &finished.result)?;
                    }
                    (Thread::Blocking, None) => {}
                }
            }
        }
        self.target.give_up(Thread::Main);
        let mismatch = Mismatch {
            layer: "syscall",
            field: "result",
            expected: call.result.to_string(),
            got: "no return".into(),
        };
        let message = format!("{}() waits and does not return", call.name);
        Err(self.failure(call.span, message, mismatch).into())
    }

    /// At the end of the script: a call that waits still has its time to return.
    fn finish_waiting(&mut self) -> Result<(), Stop> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let (call, end) = (waiting.call, waiting.end);
        let tolerance = self.config.tolerance(end, Some(waiting.start));
        let limit = self.live_time(end.saturating_add(tolerance).saturating_add(PATIENCE_NS));
        while self.waiting.is_some() && self.target.now() < limit {
            self.target.advance(limit);
            self.poll_target()?;
        }
        if self.waiting.take().is_none() {
            return Ok(());
        }
        self.target.give_up(Thread::Blocking);
        let expected = report::seconds(end);
        let mismatch = Mismatch { layer: "time", field: "time", expected, got: "no return".into() };
        let message = format!(
            "{}() was due to return at {} s and waits still",
            call.name,
            report::seconds(end)
        );
        Err(self.failure(call.span, message, mismatch).into())
    }

    fn refused(&self, span: Span, refusal: Refusal) -> Stop {
        match refusal {
            Refusal::Unsupported(what) | Refusal::Absent(what) => {
                Stop::Unsupported(format!("{}: {what}", self.source.place(span)))
            }
            Refusal::Invalid(what) => Stop::Broken(ScriptError::new(self.source, span, what, "")),
        }
    }

    fn command(&mut self, text: &str, span: Span, what: &str) -> Result<(), Stop> {
        self.note("command", || {
            text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
        });
        match self.shell.run(&mut *self.target, text) {
            Ok(0) => Ok(()),
            Ok(status) => {
                let notes = self.shell.notes.clone();
                let mismatch = Mismatch {
                    layer: "command",
                    field: "status",
                    expected: "0".into(),
                    got: status.to_string(),
                };
                let message = format!("{what} fails with status {status}");
                let label = "this command".to_owned();
                let failure = self.failure(span, message, mismatch);
                Err(Failure { notes, label, ..failure }.into())
            }
            Err(CommandError { unsupported, message, at }) => {
                let place = self.command_span(text, span, at);
                if unsupported {
                    return Err(Stop::Unsupported(format!(
                        "{}: {message}",
                        self.source.place(place)
                    )));
                }
                Err(ScriptError::new(self.source, place, message, what).into())
            }
        }
    }

    /// The place in the script of a part of a command's text. A text that is not in the script (a define) has the place of
    /// the whole.
    fn command_span(&self, text: &str, span: Span, part: Option<std::ops::Range<usize>>) -> Span {
        let whole = self.source.slice(span);
        match (part, whole.find(text)) {
            (Some(part), Some(at)) if !text.is_empty() => {
                let start = span.start as usize + at + part.start;
                Span::new(start, start + part.len().max(1))
            }
            _ => span,
        }
    }

    /// Samples the socket under test and runs a block of assertions.
    fn code(&mut self, block: &crate::script::ast::Code) -> Result<(), Stop> {
        const SOL_TCP: i32 = 6;
        const TCP_INFO: i32 = 11;
        const SOL_SOCKET: i32 = 1;
        const SO_MEMINFO: i32 = 55;
        let fd = self.sockets.current().and_then(|s| s.live_fd);
        if let Some(fd) = fd {
            if let Some(info) = self.option(fd, SOL_TCP, TCP_INFO, 280) {
                sample::set_tcp_info(&mut self.env, &info);
            }
            if let Some(info) = self.option(fd, SOL_SOCKET, SO_MEMINFO, 36) {
                sample::set_meminfo(&mut self.env, &info);
            }
        }
        let Err(error) = self.env.run(&block.program) else { return Ok(()) };
        match error.failure {
            code::Failure::Error(message) => {
                let mut report = ScriptError::new(self.source, error.span, message, "");
                if fd.is_none() {
                    report = report.with_help("the socket under test has no descriptor now, so there is no TCP_INFO of it");
                }
                Err(report.into())
            }
            code::Failure::Assert { message, values } => {
                let values: Vec<String> =
                    values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                let said = message.map_or(String::new(), |m| format!(": {m}"));
                let expected = self.source.slice(error.span).trim().to_string();
                let mismatch =
                    Mismatch { layer: "assert", field: "assert", expected, got: values.join(", ") };
                let message = format!("the assertion does not hold{said}");
                Err(self.failure(error.span, message, mismatch).into())
            }
        }
    }

    fn option(&mut self, fd: i32, level: i32, name: i32, len: usize) -> Option<Vec<u8>> {
        match self
            .target
            .call(Thread::Main, reference_stack::Call::Getsockopt { fd, level, name, len })
        {
            Ok(Some(Ok(reference_stack::Ret::Opt(bytes)))) => Some(bytes),
            _ => None,
        }
    }

    /// Closes every descriptor and resets every connection, so that nothing of the script goes on.
    fn close(&mut self) {
        if self.waiting.take().is_some() {
            self.target.give_up(Thread::Blocking);
        }
        for fd in self.sockets.open_fds() {
            if matches!(
                self.target.call(Thread::Main, reference_stack::Call::Close { fd }),
                Ok(None)
            ) {
                self.target.give_up(Thread::Main);
            }
        }
        self.reset_connections();
    }
}

/// A call as the script writes it, with what it returned.
fn call_text(source: &Source, call: &Call, result: &SysResult) -> String {
    let returned = match result {
        Ok(ret) => ret.value().to_string(),
        Err(errno) => format!("-1 {errno}"),
    };
    let written = source.slice(Span { start: call.name_span.start, end: call.result.span.start });
    let written = written.trim_end().trim_end_matches('=').trim_end();
    let name = if written.is_empty() { &call.name } else { written };
    format!("{name} = {returned}")
}
