//! One replay: events in order of time into the machine, what it sends held against the capture.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use reference_stack::TaskId;

use super::calls::describe_outcome;
use super::case::{Case, files_of};
use super::host::Host;
use super::judge::NO_FRAME;
use super::mapping::Mapping;
use super::plan::{self, Held, Plan};
use super::results_of;
use super::trail::{Event, Trail};
use crate::capture::{CallName, FileId, Outcome};
use crate::results::Divergence;
use crate::results::story::Sample;

/// A frame may be stamped this much before it was made: the moments here are estimates.
pub(super) const EARLY_NS: u64 = 200_000;
/// Time that a machine that is on track may need for what is left after the last event.
const TAIL_NS: u64 = 2_000_000;

/// How much of the uncertainty a replay used, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slack {
    /// From an inbound frame's handling to the frame that answers it.
    pub(crate) rx_ns: u64,
    /// From a call's effect to the frame that it sends.
    pub(crate) call_ns: u64,
    /// From a timer's tick to the frame that it sends.
    pub(crate) timer_ns: u64,
}

/// How a replay ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Where it left the capture; `None`: it did not.
    pub(crate) divergence: Option<Divergence>,
    /// In how many fields the diverging frame differs; many where it is no frame of the capture.
    pub(crate) fields: usize,
    /// The call that was running, and how many of its frames were as captured.
    pub(crate) in_call: Option<(usize, u32)>,
    /// How much too late a timer was there, nanoseconds.
    pub(crate) timer_late_ns: i64,
    /// All divergences, where the replay went on past them.
    pub(crate) found: Vec<Divergence>,
    /// Which of the manifest's accepted divergences happened.
    pub(crate) accepted: BTreeSet<usize>,
    /// What led to the end, oldest first.
    pub(crate) trail: Vec<String>,
    /// Frames and results that were as recorded.
    pub(crate) frames: usize,
    pub(crate) results: usize,
    /// Capture clock at the end.
    pub(crate) at_ns: u64,
    pub(crate) slack: Slack,
    /// State of the connections, for a report.
    pub(crate) state: Vec<String>,
    /// What the machine sent, in the capture's numbers and time: everything where the replay went
    /// on past divergences, else the last frame.
    pub(crate) sent: Vec<(u64, Vec<u8>)>,
    /// Kinds of sockets that the machine does not have.
    pub(crate) missing: Vec<String>,
    /// When calls ran that may hold their socket for long: capture clock and call.
    pub(crate) moments: Vec<(u64, usize)>,
    /// State of the connections whenever it changed, capture clock, of a recording replay.
    pub(crate) samples: Vec<(u64, Sample)>,
    /// Random delays of which the capture shows nothing.
    pub(crate) free_delays: Vec<u32>,
}

impl Ending {
    /// More is better.
    pub(crate) fn score(&self) -> (bool, usize, std::cmp::Reverse<usize>, usize) {
        let fields = std::cmp::Reverse(self.fields);
        (self.divergence.is_none(), self.frames, fields, self.results)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    Frame(u64),
    Call(u64),
    Timer,
}

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    call: usize,
    task: TaskId,
    /// How often it ran after a wake-up.
    resumed: u32,
    /// When it runs, capture clock, once that is decided.
    run_at: Option<u64>,
    /// When a time-out ends it that comes later than the recorded one, capture clock.
    until: Option<u64>,
}

/// A replay under way.
#[derive(Clone)]
pub(crate) struct Engine<'a, H> {
    pub(super) case: &'a Case,
    pub(super) plan: Arc<Plan>,
    pub(super) host: H,
    pub(super) map: Mapping,
    /// Capture clock at virtual time 0.
    pub(super) base_ns: u64,
    pub(super) jiffy_ns: u64,
    pub(super) inbound: Arc<Vec<usize>>,
    pub(super) outbound: Arc<Vec<usize>>,
    /// Calls with their moments, in order.
    pub(super) order: Arc<Vec<(u64, usize)>>,
    /// When each call is over at the latest.
    pub(super) exits: Arc<Vec<Option<u64>>>,
    pub(super) next_in: usize,
    pub(super) next_out: usize,
    pub(super) next_call: usize,
    pub(super) next_event: usize,
    pub(super) waiting: Vec<Waiting>,
    /// Inferred calls of tasks that wait in another.
    pub(super) deferred: BTreeMap<u32, VecDeque<usize>>,
    pub(super) tasks: BTreeMap<u32, TaskId>,
    pub(super) fds: BTreeMap<FileId, i32>,
    /// Sockets that the machine does not have.
    pub(super) absent: BTreeMap<FileId, String>,
    pub(super) cause: Cause,
    pub(super) results: usize,
    pub(super) slack: Slack,
    pub(super) sent: Vec<(u64, Vec<u8>)>,
    pub(super) moments: Vec<(u64, usize)>,
    pub(super) trail: Trail,
    /// Every divergence is wanted, not the first alone.
    pub(super) keep_going: bool,
    /// A side track: it ends when more captured frames than these were sent.
    pub(super) probing: Option<usize>,
    pub(super) found: Vec<Divergence>,
    pub(super) accepted: BTreeSet<usize>,
    pub(super) fields: usize,
    /// The connections' states, where they are written down.
    pub(super) samples: Option<Vec<(u64, Sample)>>,
    pub(super) in_call: Option<(usize, u32)>,
    pub(super) timer_late_ns: i64,
    /// Random delays below this number are decided.
    pub(super) next_delay: u32,
    /// Captured frames that a random delay sends.
    pub(super) claimed: BTreeSet<usize>,
    /// Random delays of which the capture shows nothing.
    pub(super) free_delays: Vec<u32>,
}

pub(super) type Step = Result<(), Divergence>;

impl<'a, H: Host> Engine<'a, H> {
    /// A replay from the start. `base_ns` is the capture clock at the machine's time 0.
    pub(crate) fn new(case: &'a Case, plan: &Plan, host: H, base_ns: u64) -> Self {
        let index = |out: bool| -> Vec<usize> {
            (0..case.frames.len()).filter(|&i| case.frames[i].outbound == out).collect()
        };
        let made = |i: &usize| case.tentative.contains(i) == plan.toggled.contains(i);
        let mut order: Vec<(u64, usize)> = (0..case.calls.len())
            .filter(made)
            .map(|i| {
                let at = plan.effect.get(&i).copied();
                (at.unwrap_or_else(|| plan::default_effect(case, i)), i)
            })
            .collect();
        order.sort_unstable();
        Self {
            case,
            plan: Arc::new(plan.clone()),
            host,
            map: Mapping::default(),
            base_ns,
            jiffy_ns: 1_000_000_000 / u64::from(*case.manifest.hz.get_ref()),
            inbound: Arc::new(index(false)),
            outbound: Arc::new(index(true)),
            order: Arc::new(order),
            exits: Arc::new((0..case.calls.len()).map(|i| plan::latest_exit(case, i)).collect()),
            next_in: 0,
            next_out: 0,
            next_call: 0,
            next_event: 0,
            waiting: Vec::new(),
            deferred: BTreeMap::new(),
            tasks: BTreeMap::new(),
            fds: BTreeMap::new(),
            absent: BTreeMap::new(),
            cause: Cause::Timer,
            results: 0,
            slack: Slack::default(),
            sent: Vec::new(),
            moments: Vec::new(),
            trail: Trail::default(),
            keep_going: false,
            probing: None,
            found: Vec::new(),
            accepted: BTreeSet::new(),
            fields: 0,
            samples: None,
            in_call: None,
            timer_late_ns: 0,
            next_delay: 0,
            claimed: BTreeSet::new(),
            free_delays: Vec::new(),
        }
    }

    /// From now on the replay goes on past divergences where it can.
    pub(crate) fn keep_going(mut self) -> Self {
        self.keep_going = true;
        self
    }

    /// From now on the connections' states are written down.
    pub(crate) fn recording(mut self) -> Self {
        self.samples = Some(Vec::new());
        self
    }

    /// The way through the capture, every event of it.
    pub(crate) fn way(mut self) -> Vec<(u64, Event)> {
        self.trail = Trail::whole();
        // Where it leaves the capture, the way ends.
        let _ = self.events();
        self.trail.into_events()
    }

    /// Writes down the connections whose state is not what it was.
    fn sample(&mut self) {
        let Some(&task) = self.tasks.values().next() else { return };
        let Some(samples) = &mut self.samples else { return };
        let at_ns = self.base_ns + self.host.now();
        for &fd in self.fds.values() {
            let Some(now) = self.host.sample(task, fd) else { continue };
            let last = samples.iter().rev().find(|(_, s)| s.socket == fd);
            if last.is_none_or(|(_, last)| *last != now) {
                samples.push((at_ns, now));
            }
        }
    }

    /// The same machine with other numbers, to try a frame against them.
    pub(super) fn judging(&self, map: Mapping) -> Self {
        let mut other = self.clone();
        other.map = map;
        other
    }

    /// Runs to the end of the capture or the first divergence.
    pub(crate) fn run(mut self) -> Ending {
        self.settle_delays();
        let outcome = self.events();
        let mut state = Vec::new();
        if let Some(&task) = self.tasks.values().next() {
            for &fd in self.fds.values() {
                state.extend(self.host.describe(task, fd));
            }
        }
        let mut missing: Vec<String> = self.absent.values().cloned().collect();
        missing.dedup();
        let mut found = std::mem::take(&mut self.found);
        found.extend(outcome.err());
        let clock = |ns| self.clock(ns);
        Ending {
            divergence: found.first().cloned(),
            fields: self.fields,
            in_call: self.in_call,
            timer_late_ns: self.timer_late_ns,
            found,
            accepted: self.accepted.clone(),
            trail: self.trail.lines(clock),
            frames: self.next_out,
            results: self.results,
            at_ns: self.base_ns + self.host.now(),
            slack: self.slack,
            state,
            sent: self.sent,
            missing,
            moments: self.moments,
            samples: self.samples.unwrap_or_default(),
            free_delays: self.free_delays,
        }
    }

    pub(super) fn inbound_time(&self) -> Option<u64> {
        let &i = self.inbound.get(self.next_in)?;
        if let Some(held) = self.plan.backlog.get(&i) {
            return Some(held.at_ns);
        }
        let lag = self.plan.rx_lag.get(&i).copied();
        let lag = lag.unwrap_or_else(|| plan::default_rx_lag(self.case, i));
        Some(self.case.frames[i].time_ns + lag)
    }

    pub(super) fn events(&mut self) -> Step {
        loop {
            if self.probing.is_some_and(|n| self.next_out > n) {
                return Ok(());
            }
            let inbound = self.inbound_time();
            let call = self.order.get(self.next_call).map(|&(at, _)| at);
            let back = self.next_return();
            let run = self.waiting.iter().filter_map(|w| w.run_at).min();
            let event = self.case.events.get(self.next_event).map(|e| e.at_ns);
            let next = [event, inbound, call, back, run].into_iter().flatten().min();
            let Some(at) = next else { break };
            self.advance(at)?;
            if event == Some(at) {
                self.administrate(at)?;
            } else if run == Some(at) {
                self.run_waiting(at)?;
            } else if inbound == Some(at) {
                self.frame_in(at)?;
            } else if call == Some(at) {
                self.call(at)?;
            } else {
                self.overdue_calls(at)?;
            }
        }
        let last = self.outbound.last().map_or(0, |&i| self.case.frames[i].time_ns);
        let end = (self.base_ns + self.host.now()).max(last) + TAIL_NS;
        if self.next_out < self.outbound.len() {
            self.advance(end + self.jiffy_ns)?;
            self.missing(u64::MAX)?;
        }
        Ok(())
    }

    /// When the first waiting call returned in the trace.
    fn next_return(&self) -> Option<u64> {
        self.waiting.iter().filter_map(|w| w.until.or(self.exits[w.call])).min()
    }

    /// When a waiting call comes to its end by itself, if that is within the uncertainty of a
    /// timer.
    fn completion(&self, task: TaskId, at_ns: u64) -> Option<u64> {
        let end = at_ns + 2 * self.jiffy_ns + EARLY_NS;
        let mut host = self.host.clone();
        while let Some(next) = host.next_event().filter(|n| self.base_ns + n <= end) {
            host.advance(next);
            if host.completed().iter().any(|(t, _)| *t == task) {
                return Some(self.base_ns + next + 1);
            }
        }
        None
    }

    /// Lets time go on, one event of the machine at a time.
    fn advance(&mut self, to_ns: u64) -> Step {
        let to = to_ns.saturating_sub(self.base_ns);
        while let Some(mut next) = self.host.next_event().filter(|&n| n < to) {
            self.cause = Cause::Timer;
            if self.late_timer(next) {
                next = (next + self.jiffy_ns).min(to);
                self.host.stall(next);
            }
            self.host.advance(next);
            if let Some(name) = self.host.timer_name() {
                self.trail.note(self.base_ns + next, Event::Timer(name));
            }
            self.after()?;
            self.missing(self.base_ns + next)?;
        }
        self.host.advance(to);
        self.cause = Cause::Timer;
        self.after()?;
        self.missing(to_ns)
    }

    /// Whether the plan has the timer of the next frame run a tick late, and this is it.
    fn late_timer(&self, next: u64) -> bool {
        let Some(&i) = self.outbound.get(self.next_out) else { return false };
        let due = self.case.frames[i].time_ns.saturating_sub(self.base_ns + next);
        self.plan.late.contains(&i) && due > self.jiffy_ns * 3 / 4 && due < self.jiffy_ns * 3 / 2
    }

    /// Time since the capture's first frame, as Wireshark shows it.
    pub(super) fn clock(&self, ns: u64) -> String {
        let start = self.case.frames.first().map_or(0, |f| f.time_ns);
        let d = i128::from(ns) - i128::from(start);
        format!(
            "{}{}.{:06}",
            if d < 0 { "-" } else { "" },
            d.abs() / 1_000_000_000,
            d.abs() % 1_000_000_000 / 1000
        )
    }

    fn frame_in(&mut self, at_ns: u64) -> Step {
        let i = self.inbound[self.next_in];
        if let Some(held) = self.plan.backlog.get(&i).copied() {
            return self.frames_in_backlog(held);
        }
        self.feed(at_ns, false);
        self.after()?;
        self.opportunities(at_ns)
    }

    /// Gives the next inbound frame to the machine.
    fn feed(&mut self, at_ns: u64, held: bool) {
        let f = &self.case.frames[self.inbound[self.next_in]];
        self.next_in += 1;
        self.cause = Cause::Frame(f.time_ns);
        self.trail.note(at_ns, Event::In { number: f.number, held });
        let bytes = self.map.inbound(&f.data());
        self.host.frame_in(f.port, bytes);
    }

    /// The frames that found their socket held by one call, all at its release.
    fn frames_in_backlog(&mut self, held: Held) -> Step {
        let c = &self.case.calls[held.call];
        let task = self.task(c.pid);
        let fd = files_of(&c.call).first().and_then(|f| self.fds.get(f)).copied();
        if let Some(fd) = fd {
            self.host.lock_sock(task, fd);
        }
        while let Some(i) = self.inbound.get(self.next_in)
            && self.plan.backlog.get(i) == Some(&held)
        {
            self.feed(held.at_ns, true);
        }
        if !held.inside {
            self.host.release_sock(task);
        } else if let Some(n) = self.waiting.iter().position(|w| w.call == held.call) {
            self.waiting[n].run_at = None;
            self.waiting[n].resumed += 1;
            self.host.resume(task);
            // It does nothing for a task that nothing woke.
            self.host.release_sock(task);
        }
        self.after()?;
        self.opportunities(held.at_ns)
    }

    /// After anything that the machine did: its frames and results.
    fn after(&mut self) -> Step {
        self.sample();
        self.take_frames()?;
        for (task, result) in self.host.completed() {
            if let Some(n) = self.waiting.iter().position(|w| w.task == task) {
                let w = self.waiting.remove(n);
                self.result(w.call, &result)?;
                self.run_deferred(self.case.calls[w.call].pid)?;
            }
        }
        self.settle_delays();
        Ok(())
    }

    /// Does what the administrator did now.
    fn administrate(&mut self, at_ns: u64) -> Step {
        let event = &self.case.events[self.next_event];
        self.next_event += 1;
        self.cause = Cause::Call(at_ns);
        let name = "the administrator";
        self.trail.note(at_ns, Event::Call { index: None, name, line: 0, again: false });
        if let Err(why) = self.host.admin(&event.command) {
            let frame = self.outbound.get(self.next_out).map_or(0, |&n| self.case.frames[n].number);
            let d = Divergence {
                frame,
                layer: "event".to_owned(),
                field: format!("at_s = {}", event.at_s),
                expected: "done".to_owned(),
                got: why,
            };
            self.diverge(d, NO_FRAME)?;
        }
        self.after()?;
        self.opportunities(at_ns)
    }

    /// Judges what the machine sent.
    fn take_frames(&mut self) -> Step {
        let sent = self.host.frames_out();
        for n in 0..sent.len() {
            self.frame_out(&sent[n], &sent[n + 1..])?;
        }
        Ok(())
    }

    /// When the next call takes effect.
    pub(super) fn next_call_time(&self) -> Option<u64> {
        let run = self.waiting.iter().filter_map(|w| w.run_at).min();
        let call = self.order.get(self.next_call).map(|&(at, _)| at);
        [run, call].into_iter().flatten().min()
    }

    /// A woken call runs when its result would be the recorded one, a little later.
    fn opportunities(&mut self, at_ns: u64) -> Step {
        for n in 0..self.waiting.len() {
            let w = self.waiting[n].clone();
            if w.run_at.is_some() || !self.host.woken(w.task) {
                continue;
            }
            let exit = self.exits[w.call].unwrap_or(u64::MAX);
            if let Some(&t) = self.plan.resume_at.get(&(w.call, w.resumed)) {
                self.waiting[n].run_at = Some(t.max(at_ns));
                continue;
            }
            let last = exit <= at_ns + 2_000;
            if !last && !self.would_match(&w) {
                continue;
            }
            self.waiting[n].run_at = Some(self.run_time(at_ns, exit));
        }
        Ok(())
    }

    /// When a call that could run from now on does: just before the frame that it may cause,
    /// else after the usual time for a task to wake up, but before the next frame comes in.
    fn run_time(&self, at_ns: u64, exit: u64) -> u64 {
        const WAKE_NS: u64 = 15_000;
        let next_out = self.outbound.get(self.next_out).map(|&i| self.case.frames[i].time_ns);
        let next_out = next_out.filter(|s| exit != u64::MAX || *s < at_ns + 1_000_000);
        let wanted = match next_out {
            Some(s) if s > at_ns && s <= exit.saturating_add(20_000) => s - plan::TX_LAG_NS.min(s),
            _ => at_ns + WAKE_NS,
        };
        let next_in = self.inbound_time().unwrap_or(u64::MAX).saturating_sub(500);
        wanted.min(exit.saturating_sub(500)).min(next_in).max(at_ns)
    }

    /// Runs the calls whose moment is now.
    fn run_waiting(&mut self, at_ns: u64) -> Step {
        let due = |w: &Waiting| w.run_at.is_some_and(|t| t <= at_ns);
        while let Some(n) = self.waiting.iter().position(due) {
            self.waiting[n].run_at = None;
            self.waiting[n].resumed += 1;
            let Waiting { call, task, .. } = self.waiting[n];
            self.moments.push((at_ns, call));
            let c = &self.case.calls[call];
            self.cause = Cause::Call(c.entry_ns);
            let name = results_of::name(&c.call);
            let (index, line) = (Some(call), c.line);
            self.trail.note(at_ns, Event::Call { index, name, line, again: true });
            self.begin(call);
            self.host.resume(task);
            self.after()?;
            self.end();
        }
        self.opportunities(at_ns)
    }

    /// Whether a woken call, run now, would return what it returned.
    fn would_match(&self, w: &Waiting) -> bool {
        if matches!(self.case.calls[w.call].call, CallName::Send { .. } | CallName::Sendfile { .. })
        {
            return true;
        }
        let mut host = self.host.clone();
        host.resume(w.task);
        let done = host.completed();
        match done.iter().find(|(t, _)| *t == w.task) {
            Some((_, r)) => {
                let c = &self.case.calls[w.call];
                results_of::compare(c, r, &mut self.map.clone(), &self.fds).is_ok()
            }
            // It goes on waiting, whenever it runs.
            None => true,
        }
    }

    /// Calls that returned by now in the trace but still wait here.
    fn overdue_calls(&mut self, at_ns: u64) -> Step {
        self.opportunities(at_ns)?;
        self.run_waiting(at_ns)?;
        let mut n = 0;
        while n < self.waiting.len() {
            let w = self.waiting[n].clone();
            let c = &self.case.calls[w.call];
            if w.until.or(self.exits[w.call]).is_none_or(|e| e > at_ns) {
                n += 1;
                continue;
            }
            let others_ready = match &c.call {
                CallName::Poll { others, .. }
                | CallName::Select { others, .. }
                | CallName::EpollWait { others, .. } => *others > 0,
                _ => false,
            };
            let by_signal = match &c.outcome {
                Outcome::Restart(_) => true,
                Outcome::Err(e) => e == "EINTR",
                _ => false,
            };
            if by_signal || others_ready {
                self.waiting.remove(n);
                self.host.interrupt(w.task);
                let _ = self.host.completed();
                continue;
            }
            // A time-out of the machine may come a tick later than the recorded one.
            if w.until.is_none()
                && let Some(until) = self.completion(w.task, at_ns)
            {
                self.waiting[n].until = Some(until);
                n += 1;
                continue;
            }
            let was = describe_outcome(&c.outcome);
            let d = self.call_differs(w.call, "a return", &was, "still waiting");
            self.diverge(d, NO_FRAME)?;
            self.waiting.remove(n);
            self.host.interrupt(w.task);
            let _ = self.host.completed();
        }
        Ok(())
    }

    /// Makes the calls that a task had no time for, up to the next that waits.
    fn run_deferred(&mut self, pid: u32) -> Step {
        let Some(&task) = self.tasks.get(&pid) else { return Ok(()) };
        while !self.waiting.iter().any(|w| w.task == task)
            && let Some(i) = self.deferred.get_mut(&pid).and_then(VecDeque::pop_front)
        {
            self.make_call(self.base_ns + self.host.now(), i)?;
        }
        Ok(())
    }

    fn task(&mut self, pid: u32) -> TaskId {
        if let Some(&t) = self.tasks.get(&pid) {
            return t;
        }
        let t = self.host.new_task();
        self.tasks.insert(pid, t);
        t
    }

    fn call(&mut self, at_ns: u64) -> Step {
        let (_, i) = self.order[self.next_call];
        self.next_call += 1;
        let c = &self.case.calls[i];
        let task = self.task(c.pid);
        let busy = self.waiting.iter().find(|w| w.task == task).cloned();
        if busy.is_some() && c.line == 0 {
            self.deferred.entry(c.pid).or_default().push_back(i);
            return Ok(());
        }
        if let Some(w) = busy {
            // The trace goes on, so the call before must be over.
            let late = w.until.or_else(|| self.completion(task, at_ns));
            match late.filter(|&t| self.inbound_time().is_none_or(|i| i > t)) {
                Some(t) => self.advance(t.max(at_ns))?,
                None => self.overdue_calls(at_ns)?,
            }
            if self.waiting.iter().any(|x| x.task == task) {
                let was = describe_outcome(&self.case.calls[w.call].outcome);
                let d = self.call_differs(w.call, "a return", &was, "still waiting");
                self.diverge(d, NO_FRAME)?;
                self.waiting.retain(|x| x.task != task);
                self.host.interrupt(task);
                let _ = self.host.completed();
            }
        }
        self.make_call(at_ns, i)
    }

    /// A call runs from now on, in whose middle the plan may have the processor elsewhere.
    fn begin(&mut self, call: usize) {
        self.in_call = Some((call, 0));
        self.host.pause(self.plan.pauses.get(&call).copied());
    }

    fn end(&mut self) {
        self.in_call = None;
        self.host.pause(None);
    }

    /// Makes a call in its task, which is free.
    fn make_call(&mut self, at_ns: u64, i: usize) -> Step {
        let c = &self.case.calls[i];
        let task = self.task(c.pid);
        let files = files_of(&c.call);
        let is_socket = matches!(c.call, CallName::Socket { .. } | CallName::EpollCreate { .. });
        if !is_socket && !files.is_empty() && files.iter().all(|f| !self.fds.contains_key(f)) {
            return Ok(());
        }
        let Some(request) = self.request(i) else { return Ok(()) };
        self.cause = Cause::Call(c.entry_ns);
        let name = results_of::name(&c.call);
        let (index, line) = (Some(i), c.line);
        self.trail.note(at_ns, Event::Call { index, name, line, again: false });
        if plan::may_send(&c.call) {
            self.moments.push((at_ns, i));
        }
        self.begin(i);
        let result = self.host.call(task, request);
        self.take_frames()?;
        self.end();
        match result {
            Some(r) => self.result(i, &r)?,
            None => {
                self.waiting.push(Waiting { call: i, task, resumed: 0, run_at: None, until: None });
            }
        }
        self.after()?;
        self.opportunities(at_ns)
    }
}
