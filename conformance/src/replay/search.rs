//! The search for a schedule: a bounded number of replays, each with one more choice made.

use std::collections::BTreeSet;

use super::case::Case;
use super::engine::{Ending, Engine};
use super::host::Host;
use super::infer::{self, Assumptions};
use super::plan::{self, Held, Plan};
use super::trail::Event;
use crate::capture::CallName;

/// The most replays for one capture.
pub(crate) const EFFORT: usize = 1500;
/// Frames that all replays together handle.
const FRAMES: usize = 20_000_000;
/// Replays that tell whether an assumption is better than another.
const GLANCE: usize = 40;

/// Boots a machine for a plan; gives it with the capture clock at its time 0.
pub(crate) trait Boot {
    /// The machine.
    type Machine: Host;
    /// Boots it.
    fn boot(&self, plan: &Plan) -> miette::Result<(Self::Machine, u64)>;
}

/// What a search found.
pub(crate) struct Found {
    /// The best ending.
    pub(crate) ending: Ending,
    /// Its schedule.
    pub(crate) plan: Plan,
    /// Replays made.
    pub(crate) replays: usize,
}

struct Search<'a, B> {
    case: &'a Case,
    boot: &'a B,
    best: Plan,
    ending: Ending,
    replays: usize,
    /// The most replays.
    effort: usize,
}

/// Looks for a schedule in which the machine does what was captured; else gives the one that
/// follows the capture longest.
pub(crate) fn search<B: Boot>(case: &Case, boot: &B, effort: usize) -> miette::Result<Found> {
    // Of a long capture fewer replays.
    let effort = effort.min((FRAMES / case.frames.len().max(1)).max(20));
    let jiffy_ns = 1_000_000_000 / u64::from(*case.manifest.hz.get_ref());
    let phases = match case.manifest.jiffies_phase {
        Some(s) => {
            let ns = (s * 1e9).clamp(0.0, 1e9) as u64;
            vec![(case.start_ns() + ns) % jiffy_ns]
        }
        None => plan::tick_phases(case, jiffy_ns),
    };
    let edges = plan::ms_edges(case);
    let first = Plan {
        jiffies_zero_ns: phases.first().copied().unwrap_or(0),
        ms_edge_ns: edges.first().copied().unwrap_or(0),
        ..Plan::default()
    };
    let ending = replay(case, boot, &first)?;
    let mut s = Search { case, boot, best: first, ending, replays: 1, effort };
    // What is one value for the whole capture first; each may hide the other's effect, and a
    // choice may show that an earlier one was for the wrong reason.
    loop {
        let before = s.ending.score();
        s.everywhere(&edges, &phases, jiffy_ns)?;
        s.delays()?;
        while !s.done() && s.decisions()? {}
        if s.done() || s.ending.score() == before {
            break;
        }
    }
    Ok(Found { ending: s.ending, plan: s.best, replays: s.replays })
}

/// Plans that differ from one in the inferred reads before a moment: made or left out, one or
/// several in a row, made at another moment, or of another length.
fn read_plans(case: &Case, best: &Plan, at: u64) -> Vec<Plan> {
    const LENGTHS: [u64; 16] = [
        1_000, 1_024, 1_448, 2_000, 2_896, 3_000, 4_000, 4_344, 5_000, 6_000, 8_000, 8_192, 10_000,
        12_000, 14_000, 16_384,
    ];
    const AFTER_NS: u64 = 1_000_000;
    let read = |i: &usize| matches!(case.calls[*i].call, CallName::Recv { .. });
    let before = |i: &usize| case.calls[*i].entry_ns <= at + AFTER_NS;
    let near: Vec<usize> =
        (0..case.calls.len()).filter(read).filter(before).rev().take(12).collect();
    let made = |i: usize| case.tentative.contains(&i) == best.toggled.contains(&i);
    let toggle = |plan: &mut Plan, i: usize| {
        if !plan.toggled.remove(&i) {
            plan.toggled.insert(i);
        }
    };
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut plan = best.clone();
        change(&mut plan);
        plan
    };
    let mut plans: Vec<Plan> = near.iter().map(|&i| with(&|p| toggle(p, i))).collect();
    let taken: Vec<usize> = near.iter().copied().filter(|&i| made(i)).collect();
    for first in 0..taken.len().min(3) {
        for last in first + 1..taken.len().min(first + 6) {
            plans.push(with(&|p| taken[first..=last].iter().for_each(|&i| toggle(p, i))));
        }
    }
    for &i in taken.iter().take(3) {
        plans.extend(LENGTHS.map(|len| {
            with(&|p| {
                p.lengths.insert(i, len);
            })
        }));
    }
    // Just after each of the last frames that came.
    let came = case.frames.iter().rev().filter(|f| !f.outbound && f.time_ns <= at);
    let moments: Vec<u64> = came.take(6).map(|f| f.time_ns + plan::RX_LAG_NS + 500).collect();
    for (n, &i) in near.iter().take(3).enumerate() {
        for &moment in &moments {
            let moved = |p: &mut Plan| {
                p.effect.insert(i, moment);
                if !made(i) {
                    toggle(p, i);
                }
            };
            plans.push(with(&moved));
            if n == 0 {
                plans.extend(LENGTHS.map(|len| {
                    with(&|p| {
                        moved(p);
                        p.lengths.insert(i, len);
                    })
                }));
            }
        }
    }
    plans
}

/// Infers the calls of a capture without traces and looks for a schedule: first under the usual
/// assumptions, then under the others that follow the capture longest. Gives them too.
pub(crate) fn search_inferred<B: Boot>(
    case: &mut Case,
    boot: impl Fn(&Case) -> B,
) -> miette::Result<(Found, Assumptions)> {
    let usual = Assumptions::default();
    let mut best: Option<(Found, Assumptions)> = None;
    let mut replays = 0;
    for assume in [usual, Assumptions { lazy: true, ..usual }] {
        attempt_assumed(case, &boot, assume, EFFORT / 2, &mut best, &mut replays)?;
    }
    for _ in 0..2 {
        let Some((found, from)) = &best else { break };
        if found.ending.divergence.is_none() {
            break;
        }
        for assume in infer::guesses(case, *from) {
            attempt_assumed(case, &boot, assume, GLANCE, &mut best, &mut replays)?;
        }
        if let Some((_, assume)) = &best {
            attempt_assumed(case, &boot, *assume, 2 * EFFORT, &mut best, &mut replays)?;
        }
    }
    let Some((mut found, assume)) = best else {
        return Err(miette::miette!("nothing was assumed of the applications"));
    };
    case.infer(assume);
    found.replays = replays;
    Ok((found, assume))
}

/// Looks for a schedule under one assumption; keeps it if it is the best so far.
fn attempt_assumed<B: Boot>(
    case: &mut Case,
    boot: &impl Fn(&Case) -> B,
    assume: Assumptions,
    effort: usize,
    best: &mut Option<(Found, Assumptions)>,
    replays: &mut usize,
) -> miette::Result<()> {
    if best.as_ref().is_some_and(|(f, _)| f.ending.divergence.is_none()) {
        return Ok(());
    }
    case.infer(assume);
    let found = search(case, &boot(case), effort)?;
    *replays += found.replays;
    if best.as_ref().is_none_or(|(b, _)| found.ending.score() > b.ending.score()) {
        *best = Some((found, assume));
    }
    Ok(())
}

fn replay<B: Boot>(case: &Case, boot: &B, plan: &Plan) -> miette::Result<Ending> {
    let (machine, base_ns) = boot.boot(plan)?;
    Ok(Engine::new(case, plan, machine, base_ns).run())
}

/// The way of a plan through the capture, every event of it with its time on the capture's clock.
pub(crate) fn way<B: Boot>(
    case: &Case,
    boot: &B,
    plan: &Plan,
) -> miette::Result<Vec<(u64, Event)>> {
    let (machine, base_ns) = boot.boot(plan)?;
    Ok(Engine::new(case, plan, machine, base_ns).way())
}

/// Replays a plan past its divergences and lists them all.
pub(crate) fn replay_past<B: Boot>(case: &Case, boot: &B, plan: &Plan) -> miette::Result<Ending> {
    let (machine, base_ns) = boot.boot(plan)?;
    Ok(Engine::new(case, plan, machine, base_ns).keep_going().run())
}

/// Replays a plan past its divergences and writes down the state of the connections on the way.
pub(crate) fn record<B: Boot>(case: &Case, boot: &B, plan: &Plan) -> miette::Result<Ending> {
    let (machine, base_ns) = boot.boot(plan)?;
    Ok(Engine::new(case, plan, machine, base_ns).keep_going().recording().run())
}

impl<B: Boot> Search<'_, B> {
    fn done(&self) -> bool {
        self.ending.divergence.is_none() || self.replays >= self.effort
    }

    /// Tries a plan; whether it follows the capture longer than the best so far.
    fn attempt(&mut self, plan: Plan) -> miette::Result<bool> {
        self.replays += 1;
        let ending = replay(self.case, self.boot, &plan)?;
        let better = ending.score() > self.ending.score();
        if better {
            self.best = plan;
            self.ending = ending;
        }
        Ok(better)
    }

    /// Tries the values that hold for the whole capture.
    fn everywhere(&mut self, edges: &[u64], phases: &[u64], jiffy_ns: u64) -> miette::Result<()> {
        for &edge in edges {
            if self.done() {
                return Ok(());
            }
            self.attempt(Plan { ms_edge_ns: edge, ..self.best.clone() })?;
        }
        self.levels(jiffy_ns)?;
        for &phase in phases {
            if self.done() {
                return Ok(());
            }
            let whole = self.best.jiffies_zero_ns / jiffy_ns * jiffy_ns;
            if self.attempt(Plan { jiffies_zero_ns: whole + phase, ..self.best.clone() })? {
                self.levels(jiffy_ns)?;
            }
        }
        Ok(())
    }

    /// Where the random delays ended that the capture shows nothing of; those that come after
    /// may depend on it.
    fn delays(&mut self) -> miette::Result<()> {
        for number in self.ending.free_delays.clone().into_iter().take(6) {
            for part in [25, 50, 75, 100] {
                if self.done() {
                    return Ok(());
                }
                let mut with = self.best.clone();
                with.delays.insert(number, part);
                self.attempt(with)?;
            }
        }
        Ok(())
    }

    /// Where the coarser levels of the timer wheel round to: eight places for each.
    fn levels(&mut self, jiffy_ns: u64) -> miette::Result<()> {
        // The timer of the divergence says how far off they are.
        let span = 512 * jiffy_ns as i64;
        let late = self.ending.timer_late_ns;
        let jiffies = (late + late.signum() * jiffy_ns as i64 / 2) / jiffy_ns as i64;
        if jiffies != 0 && !self.done() {
            let zero = self.best.jiffies_zero_ns as i64 - jiffies % 512 * jiffy_ns as i64;
            let jiffies_zero_ns = zero.rem_euclid(span) as u64;
            self.attempt(Plan { jiffies_zero_ns, ..self.best.clone() })?;
        }
        for step in [1, 8, 64] {
            let from = self.best.jiffies_zero_ns;
            for k in 1..8 {
                if self.done() {
                    return Ok(());
                }
                let zero = (from + k * step * jiffy_ns) % (512 * jiffy_ns);
                self.attempt(Plan { jiffies_zero_ns: zero, ..self.best.clone() })?;
            }
        }
        Ok(())
    }

    /// One more choice: the calls around the divergence, nearest first, each at every other
    /// moment that it may have had. Whether one of them helped.
    fn decisions(&mut self) -> miette::Result<bool> {
        let at = self.ending.at_ns;
        // The next frame's timer may have run a tick late.
        let mut next = (0..self.case.frames.len()).filter(|&i| self.case.frames[i].outbound);
        if let Some(i) = next.nth(self.ending.frames) {
            let mut with = self.best.clone();
            if with.late.insert(i) && self.attempt(with)? {
                return Ok(true);
            }
        }
        if self.pauses()? {
            return Ok(true);
        }
        if self.case.inferred && self.reads()? {
            return Ok(true);
        }
        let mut near: Vec<usize> = (0..self.case.calls.len())
            .filter(|&i| self.case.calls[i].entry_ns <= at + 1_000_000)
            .collect();
        near.reverse();
        near.truncate(8);
        let mut tried = BTreeSet::new();
        for &i in &near {
            if self.wake_ups(i)? {
                return Ok(true);
            }
            for moment in plan::other_effects(self.case, i) {
                if self.done() || !tried.insert((i, moment)) {
                    continue;
                }
                let mut with = self.best.clone();
                with.effect.insert(i, moment);
                if self.attempt(with)? {
                    return Ok(true);
                }
            }
        }
        Ok(self.lags()? || self.backlogs()?)
    }

    /// The processor was elsewhere between two frames of the call of the divergence.
    fn pauses(&mut self) -> miette::Result<bool> {
        const SHORT_NS: u64 = 30_000;
        let Some((call, frames)) = self.ending.in_call.filter(|c| c.1 > 0) else {
            return Ok(false);
        };
        let sent: Vec<u64> = self
            .case
            .frames
            .iter()
            .filter(|f| f.outbound)
            .map(|f| f.time_ns)
            .skip(self.ending.frames - 1)
            .take(2)
            .collect();
        let &[before, after] = sent.as_slice() else { return Ok(false) };
        let gap = after.saturating_sub(before);
        if gap < SHORT_NS || self.done() {
            return Ok(false);
        }
        let mut with = self.best.clone();
        with.pauses.insert(call, (frames, gap));
        self.attempt(with)
    }

    /// Inferred reads around the divergence: each plan that changes one thing of them is tried.
    fn reads(&mut self) -> miette::Result<bool> {
        for plan in read_plans(self.case, &self.best, self.ending.at_ns) {
            if self.done() {
                return Ok(false);
            }
            if self.attempt(plan)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// When a call that waited runs again after one of its first wake-ups: before each frame
    /// around the divergence.
    fn wake_ups(&mut self, i: usize) -> miette::Result<bool> {
        const AROUND_NS: u64 = 1_000_000;
        let c = &self.case.calls[i];
        let kind = matches!(
            c.call,
            CallName::Recv { .. } | CallName::Send { .. } | CallName::Close { .. }
        );
        if !kind || !plan::waited(self.case, i) {
            return Ok(false);
        }
        let at = self.ending.at_ns;
        let exit = c.exit_ns.unwrap_or(u64::MAX).saturating_add(70_000);
        // A busy host may let it wait until the next frame that it sent.
        let mut sent = self.case.frames.iter().filter(|f| f.outbound);
        let next = sent.nth(self.ending.frames).map(|f| f.time_ns).filter(|t| *t <= exit);
        let moments: Vec<u64> = self
            .case
            .frames
            .iter()
            .filter(|f| {
                let t = f.time_ns;
                t.abs_diff(at) < AROUND_NS && t > c.entry_ns && t <= exit
            })
            .map(|f| match f.outbound {
                true => f.time_ns.saturating_sub(plan::TX_LAG_NS),
                // Just after it was handled.
                false => f.time_ns + plan::RX_LAG_NS + 1_000,
            })
            .chain(next.map(|t| t.saturating_sub(plan::TX_LAG_NS)))
            .collect();
        for nth in 0..3 {
            for &moment in &moments {
                if self.done() {
                    return Ok(false);
                }
                let mut with = self.best.clone();
                with.resume_at.insert((i, nth), moment);
                if self.attempt(with)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Frames around a call that found its socket held; the calls nearest before the divergence
    /// first.
    fn backlogs(&mut self) -> miette::Result<bool> {
        const AFTER_NS: u64 = 60_000;
        let at = self.ending.at_ns;
        let mut moments: Vec<(u64, usize)> = self.waiting_at(at);
        let ran = self.ending.moments.iter().rev().filter(|&&(m, _)| m <= at + AFTER_NS);
        moments.extend(ran.take(30));
        for (moment, call) in moments {
            for frames in self.runs_of_frames(moment, AFTER_NS) {
                if self.held_by(call, moment, &frames)? {
                    return Ok(true);
                }
                if self.done() {
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// The calls that wait at a time and hold their socket when they are woken.
    fn waiting_at(&self, at: u64) -> Vec<(u64, usize)> {
        (0..self.case.calls.len())
            .filter(|&i| {
                let c = &self.case.calls[i];
                matches!(c.call, CallName::Recv { .. } | CallName::Send { .. })
                    && c.entry_ns < at
                    && c.exit_ns.is_none_or(|e| e + 100_000 > at)
            })
            .map(|i| (at, i))
            .collect()
    }

    /// Up to six inbound frames in a row around a moment, the latest first.
    fn runs_of_frames(&self, moment: u64, after_ns: u64) -> Vec<Vec<usize>> {
        const BEFORE_NS: u64 = 150_000;
        let near = |t: u64| t + BEFORE_NS > moment && t < moment + after_ns;
        let around: Vec<usize> = (0..self.case.frames.len())
            .filter(|&i| !self.case.frames[i].outbound && near(self.case.frames[i].time_ns))
            .collect();
        let mut runs = Vec::new();
        for last in (0..around.len()).rev() {
            for first in (last.saturating_sub(5)..=last).rev() {
                runs.push(around[first..=last].to_vec());
            }
        }
        runs
    }

    /// Tries these frames as ones that found their socket held by a call.
    fn held_by(&mut self, call: usize, moment: u64, frames: &[usize]) -> miette::Result<bool> {
        let Some(&last) = frames.last() else { return Ok(false) };
        let stamp = self.case.frames[last].time_ns;
        for inside in [false, true] {
            let at_ns = if inside { stamp + 1_000 } else { (moment + 500).max(stamp + 1_000) };
            let mut with = self.best.clone();
            for &i in frames {
                with.backlog.insert(i, Held { call, at_ns, inside });
            }
            if inside && !plan::waited(self.case, call) {
                with.effect.insert(call, at_ns + 1);
            }
            if self.done() {
                return Ok(false);
            }
            if with != self.best && self.attempt(with)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The handling lag of the last frames before the divergence.
    fn lags(&mut self) -> miette::Result<bool> {
        let at = self.ending.at_ns;
        let mut near: Vec<usize> = (0..self.case.frames.len())
            .filter(|&i| !self.case.frames[i].outbound && self.case.frames[i].time_ns <= at)
            .collect();
        near.reverse();
        near.truncate(4);
        for i in near {
            for lag in [2_000, 30_000, 60_000, 100_000] {
                if self.done() {
                    return Ok(false);
                }
                let mut with = self.best.clone();
                with.rx_lag.insert(i, lag);
                if self.attempt(with)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
