//! One replay: events in order of time into the machine, what it sends held against the capture.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use reference_stack::syscalls::{PollFd, SockAddr as RefAddr, SysResult};
use reference_stack::{Call, TaskId};

use super::case::{CapFrame, Case, files_of};
use super::host::{Host, Sent};
use super::mapping::Mapping;
use super::plan::{self, Held, Plan};
use super::results_of;
use crate::capture::{CallName, FileId, Outcome, SockAddr};
use crate::frames::{decode, first_difference};
use crate::results::Divergence;

/// A frame may be stamped this much before it was made: the moments here are estimates.
const EARLY_NS: u64 = 200_000;
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
    /// Frames and results that were as recorded.
    pub(crate) frames: usize,
    pub(crate) results: usize,
    /// Capture clock at the end.
    pub(crate) at_ns: u64,
    pub(crate) slack: Slack,
    /// State of the connections, for a report.
    pub(crate) state: Vec<String>,
    /// Everything that the machine sent, in the capture's numbers and time.
    pub(crate) sent: Vec<(u64, Vec<u8>)>,
    /// Kinds of sockets that the machine does not have.
    pub(crate) missing: Vec<String>,
    /// When calls ran that may hold their socket for long: capture clock and call.
    pub(crate) moments: Vec<(u64, usize)>,
}

impl Ending {
    /// More is better.
    pub(crate) fn score(&self) -> (bool, usize, usize) {
        (self.divergence.is_none(), self.frames, self.results)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    Frame(u64),
    Call(u64),
    Timer,
}

#[derive(Clone, Debug)]
struct Waiting {
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
    case: &'a Case,
    plan: Arc<Plan>,
    host: H,
    map: Mapping,
    /// Capture clock at virtual time 0.
    base_ns: u64,
    jiffy_ns: u64,
    inbound: Arc<Vec<usize>>,
    outbound: Arc<Vec<usize>>,
    /// Calls with their moments, in order.
    order: Arc<Vec<(u64, usize)>>,
    /// When each call is over at the latest.
    exits: Arc<Vec<Option<u64>>>,
    next_in: usize,
    next_out: usize,
    next_call: usize,
    waiting: Vec<Waiting>,
    tasks: BTreeMap<u32, TaskId>,
    fds: BTreeMap<FileId, i32>,
    /// Sockets that the machine does not have.
    absent: BTreeMap<FileId, String>,
    cause: Cause,
    results: usize,
    slack: Slack,
    sent: Vec<(u64, Vec<u8>)>,
    moments: Vec<(u64, usize)>,
}

type Step = Result<(), Divergence>;

impl<'a, H: Host> Engine<'a, H> {
    /// A replay from the start. `base_ns` is the capture clock at the machine's time 0.
    pub(crate) fn new(case: &'a Case, plan: &Plan, host: H, base_ns: u64) -> Self {
        let index = |out: bool| -> Vec<usize> {
            (0..case.frames.len()).filter(|&i| case.frames[i].outbound == out).collect()
        };
        let mut order: Vec<(u64, usize)> = (0..case.calls.len())
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
            exits: Arc::new(exits(case)),
            next_in: 0,
            next_out: 0,
            next_call: 0,
            waiting: Vec::new(),
            tasks: BTreeMap::new(),
            fds: BTreeMap::new(),
            absent: BTreeMap::new(),
            cause: Cause::Timer,
            results: 0,
            slack: Slack::default(),
            sent: Vec::new(),
            moments: Vec::new(),
        }
    }

    /// Runs to the end of the capture or the first divergence.
    pub(crate) fn run(mut self) -> Ending {
        let outcome = self.events();
        let mut state = Vec::new();
        if let Some(&task) = self.tasks.values().next() {
            for &fd in self.fds.values() {
                state.extend(self.host.describe(task, fd));
            }
        }
        let mut missing: Vec<String> = self.absent.values().cloned().collect();
        missing.dedup();
        Ending {
            divergence: outcome.err(),
            frames: self.next_out,
            results: self.results,
            at_ns: self.base_ns + self.host.now(),
            slack: self.slack,
            state,
            sent: self.sent,
            missing,
            moments: self.moments,
        }
    }

    fn inbound_time(&self) -> Option<u64> {
        let &i = self.inbound.get(self.next_in)?;
        if let Some(held) = self.plan.backlog.get(&i) {
            return Some(held.at_ns);
        }
        let lag = self.plan.rx_lag.get(&i).copied().unwrap_or(plan::RX_LAG_NS);
        Some(self.case.frames[i].time_ns + lag)
    }

    fn events(&mut self) -> Step {
        loop {
            let inbound = self.inbound_time();
            let call = self.order.get(self.next_call).map(|&(at, _)| at);
            let back = self.next_return();
            let run = self.waiting.iter().filter_map(|w| w.run_at).min();
            let next = [inbound, call, back, run].into_iter().flatten().min();
            let Some(at) = next else { break };
            self.advance(at)?;
            if run == Some(at) {
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

    /// A frame that the capture has is overdue.
    fn missing(&mut self, now_ns: u64) -> Step {
        let Some(&i) = self.outbound.get(self.next_out) else { return Ok(()) };
        let f = &self.case.frames[i];
        let limit = f.time_ns.saturating_add(2 * self.jiffy_ns + EARLY_NS);
        if now_ns <= limit {
            return Ok(());
        }
        Err(Divergence {
            frame: f.number,
            layer: "time".to_owned(),
            field: "frame".to_owned(),
            expected: f.frame.summary(),
            got: format!("nothing until {}", self.clock(limit)),
        })
    }

    /// Time since the capture's first frame, as Wireshark shows it.
    fn clock(&self, ns: u64) -> String {
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
        self.feed();
        self.after()?;
        self.opportunities(at_ns)
    }

    /// Gives the next inbound frame to the machine.
    fn feed(&mut self) {
        let f = &self.case.frames[self.inbound[self.next_in]];
        self.next_in += 1;
        self.cause = Cause::Frame(f.time_ns);
        let bytes = self.map.inbound(&f.data);
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
            self.feed();
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
        for sent in self.host.frames_out() {
            self.frame_out(&sent)?;
        }
        for (task, result) in self.host.completed() {
            if let Some(n) = self.waiting.iter().position(|w| w.task == task) {
                let w = self.waiting.remove(n);
                self.result(w.call, &result)?;
            }
        }
        Ok(())
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
            self.cause = Cause::Call(self.case.calls[call].entry_ns);
            self.host.resume(task);
            self.after()?;
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
                results_of::compare(&self.case.calls[w.call], r, &mut self.map.clone()).is_ok()
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
            let others_ready = matches!(&c.call, CallName::Poll { others, .. } if *others > 0);
            if matches!(c.outcome, Outcome::Restart(_)) || others_ready {
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
            return Err(self.call_differs(
                w.call,
                "a return",
                &describe_outcome(&c.outcome),
                "still waiting",
            ));
        }
        Ok(())
    }

    fn frame_out(&mut self, sent: &Sent) -> Step {
        let at_ns = self.base_ns + sent.at;
        let Some(&i) = self.outbound.get(self.next_out) else {
            let last = self.case.frames.last().map_or(0, |f| f.time_ns);
            if at_ns > last + EARLY_NS {
                return Ok(());
            }
            let number = self.case.frames.last().map_or(0, |f| f.number) + 1;
            return Err(self.extra(number, at_ns, &sent.bytes, "no further frame"));
        };
        let f = &self.case.frames[i];
        if f.port != sent.port {
            return Err(self.extra(f.number, at_ns, &sent.bytes, "a frame on another interface"));
        }
        let connected = match (f.frame.addresses, f.frame.udp) {
            (Some((_, d)), Some((_, p))) => {
                self.case.connected_udp.contains(&SocketAddr::new(d, p))
            }
            _ => false,
        };
        let fixed = &self.case.fixed_ports;
        let before = self.map.clone();
        let mapped =
            self.map.outbound(&sent.bytes, &f.frame, f.time_ns, self.jiffy_ns, connected, |port| {
                !fixed.contains(&port)
            });
        let got = decode(&mapped);
        self.sent.push((at_ns, mapped));
        let early = f.time_ns.saturating_sub(at_ns);
        let limit = match self.cause {
            Cause::Timer => self.jiffy_ns + 1_000_000,
            Cause::Frame(_) | Cause::Call(_) => 1_000_000,
        };
        if let Some(d) = difference(f, &got) {
            self.map = before;
            if early > 2 * self.jiffy_ns {
                let what = format!("nothing until frame {} at {}", f.number, self.clock(f.time_ns));
                let mapped = self.sent.last().map(|(_, b)| b.clone()).unwrap_or_default();
                return Err(self.extra(f.number, at_ns, &mapped, &what));
            }
            return Err(Divergence { frame: f.number, ..d });
        }
        if early > limit || at_ns.saturating_sub(f.time_ns) > EARLY_NS + self.late_allowance() {
            return Err(Divergence {
                frame: f.number,
                layer: "frame".to_owned(),
                field: "time_relative".to_owned(),
                expected: self.clock(f.time_ns),
                got: self.clock(at_ns),
            });
        }
        let used = match self.cause {
            Cause::Timer => &mut self.slack.timer_ns,
            Cause::Frame(_) => &mut self.slack.rx_ns,
            Cause::Call(_) => &mut self.slack.call_ns,
        };
        *used = (*used).max(f.time_ns.abs_diff(at_ns));
        self.next_out += 1;
        Ok(())
    }

    /// How much later than its stamp a frame may be made here: a timer's tick is estimated.
    fn late_allowance(&self) -> u64 {
        match self.cause {
            Cause::Timer => self.jiffy_ns / 8,
            Cause::Frame(_) | Cause::Call(_) => 0,
        }
    }

    fn extra(&self, frame: u64, at_ns: u64, bytes: &[u8], expected: &str) -> Divergence {
        Divergence {
            frame,
            layer: "time".to_owned(),
            field: "frame".to_owned(),
            expected: expected.to_owned(),
            got: format!("{} at {}", decode(bytes).summary(), self.clock(at_ns)),
        }
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
        if let Some(w) = self.waiting.iter().find(|w| w.task == task).cloned() {
            // The trace goes on, so the call before must be over.
            let late = w.until.or_else(|| self.completion(task, at_ns));
            match late.filter(|&t| self.inbound_time().is_none_or(|i| i > t)) {
                Some(t) => self.advance(t.max(at_ns))?,
                None => self.overdue_calls(at_ns)?,
            }
            if self.waiting.iter().any(|x| x.task == task) {
                let was = describe_outcome(&self.case.calls[w.call].outcome);
                return Err(self.call_differs(w.call, "a return", &was, "still waiting"));
            }
        }
        let files = files_of(&c.call);
        let is_socket = matches!(c.call, CallName::Socket { .. });
        if !is_socket && !files.is_empty() && files.iter().all(|f| !self.fds.contains_key(f)) {
            return Ok(());
        }
        let Some(request) = self.request(i) else { return Ok(()) };
        self.cause = Cause::Call(c.entry_ns);
        if plan::may_send(&c.call) {
            self.moments.push((at_ns, i));
        }
        let result = self.host.call(task, request);
        for sent in self.host.frames_out() {
            self.frame_out(&sent)?;
        }
        match result {
            Some(r) => self.result(i, &r)?,
            None => {
                self.waiting.push(Waiting { call: i, task, resumed: 0, run_at: None, until: None });
            }
        }
        self.after()?;
        self.opportunities(at_ns)
    }

    /// The machine's form of a traced call; `None`: there is nothing to do.
    fn request(&mut self, i: usize) -> Option<Call> {
        let c = &self.case.calls[i];
        let fd = |f: &FileId| self.fds.get(f).copied();
        let payload = || Arc::new(self.case.payload.get(&i).cloned().unwrap_or_default());
        Some(match &c.call {
            // A socket that could not be made changed nothing.
            CallName::Socket { file: None, .. } => return None,
            CallName::Socket { domain, kind, protocol, .. } => {
                Call::Socket { family: *domain, ty: *kind, protocol: *protocol }
            }
            CallName::Bind { file, addr } => Call::Bind { fd: fd(file)?, addr: to_ref(*addr) },
            CallName::Listen { file, backlog } => Call::Listen { fd: fd(file)?, backlog: *backlog },
            CallName::Accept { file, flags, .. } => Call::Accept4 { fd: fd(file)?, flags: *flags },
            CallName::Connect { file, addr } => {
                Call::Connect { fd: fd(file)?, addr: to_ref(*addr) }
            }
            CallName::Getsockname { file, .. } => Call::Getsockname { fd: fd(file)? },
            CallName::Getpeername { file, .. } => Call::Getpeername { fd: fd(file)? },
            CallName::Setsockopt { file, level, name, value } => {
                Call::Setsockopt { fd: fd(file)?, level: *level, name: *name, value: value.clone() }
            }
            CallName::Getsockopt { file, level, name, len, .. } => {
                Call::Getsockopt { fd: fd(file)?, level: *level, name: *name, len: *len as usize }
            }
            CallName::Shutdown { file, how } => Call::Shutdown { fd: fd(file)?, how: *how },
            CallName::Send { file, flags, to, .. } => {
                Call::Sendto { fd: fd(file)?, data: payload(), flags: *flags, addr: to.map(to_ref) }
            }
            CallName::Sendfile { file, .. } => Call::Write { fd: fd(file)?, data: payload() },
            CallName::Recv { file, len, flags, .. } => Call::Recvfrom {
                fd: fd(file)?,
                len: usize::try_from((*len).min(1 << 30)).unwrap_or(0),
                flags: *flags,
            },
            CallName::Close { file } => Call::Close { fd: fd(file)? },
            CallName::SetNonblock { file, on } => Call::Fcntl {
                fd: fd(file)?,
                cmd: reference_stack::uapi::F_SETFL,
                arg: if *on { reference_stack::uapi::O_NONBLOCK } else { 0 },
            },
            CallName::Poll { fds, timeout_ns, .. } => Call::Poll {
                fds: fds
                    .iter()
                    .filter_map(|p| {
                        Some(PollFd { fd: fd(&p.file)?, events: p.events as i16, revents: 0 })
                    })
                    .collect(),
                timeout_ms: timeout_ms(*timeout_ns),
            },
            CallName::Select { read, write, except, timeout_ns } => {
                // select's sets in terms of poll: POLLIN_SET, POLLOUT_SET, POLLEX_SET.
                let sets = [(read, 0xc1), (write, 0x304), (except, 2)];
                let mut fds: Vec<PollFd> = Vec::new();
                for (set, events) in sets {
                    for f in &set.asked {
                        fds.push(PollFd { fd: fd(f)?, events, revents: 0 });
                    }
                }
                Call::Poll { fds, timeout_ms: timeout_ms(*timeout_ns) }
            }
            CallName::EpollCtl { .. } | CallName::EpollWait { .. } | CallName::Other { .. } => {
                return None;
            }
        })
    }

    /// Holds a call's result against the recorded one.
    fn result(&mut self, i: usize, got: &SysResult) -> Step {
        let c = &self.case.calls[i];
        if let (CallName::Socket { file: Some(f), domain, kind, protocol }, Err(e)) = (&c.call, got)
        {
            self.absent.insert(
                *f,
                format!(
                    "socket({domain}, {}, {protocol}) is refused with {}",
                    kind & 0xf,
                    e.name()
                ),
            );
            return Ok(());
        }
        let fds = &mut self.fds;
        match results_of::compare(c, got, &mut self.map) {
            Ok(new) => {
                if let Some((file, fd)) = new {
                    fds.insert(file, fd);
                }
                if let CallName::Close { file } = &c.call {
                    fds.remove(file);
                }
                self.results += 1;
                Ok(())
            }
            Err((what, expected, got)) => Err(self.call_differs(i, &what, &expected, &got)),
        }
    }

    fn call_differs(&self, i: usize, what: &str, expected: &str, got: &str) -> Divergence {
        let c = &self.case.calls[i];
        let frame = self.outbound.get(self.next_out).map_or(0, |&n| self.case.frames[n].number);
        Divergence {
            frame,
            layer: "syscall".to_owned(),
            field: format!("{} of {} (line {})", what, results_of::name(&c.call), c.line),
            expected: expected.to_owned(),
            got: format!("{got} at {}", self.clock(self.base_ns + self.host.now())),
        }
    }
}

/// When each call is over at the latest: its recorded return and what the recording may be off,
/// but before the thread's next call.
fn exits(case: &Case) -> Vec<Option<u64>> {
    const RETURN_SLACK_NS: u64 = 50_000;
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    let mut out: Vec<Option<u64>> = case
        .calls
        .iter()
        .rev()
        .map(|c| {
            let entry = next.insert(c.pid, c.entry_ns).unwrap_or(u64::MAX);
            let exit = c.exit_ns?;
            Some(exit.saturating_add(RETURN_SLACK_NS).min(entry.saturating_sub(1_000)).max(exit))
        })
        .collect();
    out.reverse();
    out
}

/// The first field that differs; a cut frame is compared as far as it was captured.
fn difference(expected: &CapFrame, got: &crate::frames::Frame) -> Option<Divergence> {
    let d = if expected.cut {
        let mut cut = got.clone();
        cut.payload.truncate(expected.frame.payload.len());
        let shorter = |f: &mut crate::frames::Frame| {
            f.fields.retain(|x| {
                !matches!(x.name, "tcp.payload" | "udp.payload" | "data.data" | "tcp.len")
            });
        };
        let mut want = expected.frame.clone();
        shorter(&mut want);
        shorter(&mut cut);
        first_difference(&want, &cut)?
    } else {
        first_difference(&expected.frame, got)?
    };
    let field = d.field.strip_prefix(d.layer).and_then(|f| f.strip_prefix('.'));
    Some(Divergence {
        frame: expected.number,
        layer: d.layer.to_owned(),
        field: field.unwrap_or(&d.field).to_owned(),
        expected: d.expected,
        got: d.got,
    })
}

fn to_ref(addr: SockAddr) -> RefAddr {
    match addr {
        SockAddr::Inet(a) => a.into(),
        SockAddr::Unspec => RefAddr::Unspec,
        SockAddr::Other => RefAddr::Other(0),
    }
}

fn timeout_ms(ns: Option<u64>) -> i32 {
    // Rounded up, as a wait lasts at least as long as asked for.
    ns.map_or(-1, |ns| i32::try_from(ns.div_ceil(1_000_000)).unwrap_or(i32::MAX))
}

pub(crate) fn describe_outcome(o: &Outcome) -> String {
    match o {
        Outcome::Ret(n) => n.to_string(),
        Outcome::Err(e) => format!("-1 {e}"),
        Outcome::Restart(e) => format!("? {e}"),
        Outcome::Unfinished => "nothing".to_owned(),
    }
}
