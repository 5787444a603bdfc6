//! The search for a schedule: a bounded number of replays, each with one more choice made.

use std::collections::BTreeSet;

use super::case::Case;
use super::engine::{Ending, Engine};
use super::host::Host;
use super::plan::{self, Held, Plan};
use super::trail::Event;
use crate::capture::CallName;

/// The most replays for one capture.
const EFFORT: usize = 1500;

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
}

/// Looks for a schedule in which the machine does what was captured; else gives the one that
/// follows the capture longest.
pub(crate) fn search<B: Boot>(case: &Case, boot: &B) -> miette::Result<Found> {
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
    let mut s = Search { case, boot, best: first, ending, replays: 1 };
    // What is one value for the whole capture first; each may hide the other's effect, and a
    // choice may show that an earlier one was for the wrong reason.
    loop {
        let before = s.ending.score();
        s.everywhere(&edges, &phases, jiffy_ns)?;
        while !s.done() && s.decisions()? {}
        if s.done() || s.ending.score() == before {
            break;
        }
    }
    Ok(Found { ending: s.ending, plan: s.best, replays: s.replays })
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
        self.ending.divergence.is_none() || self.replays >= EFFORT
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

    /// Where the coarser levels of the timer wheel round to: eight places for each.
    fn levels(&mut self, jiffy_ns: u64) -> miette::Result<()> {
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

    /// When a call that waited runs again after one of its first wake-ups: before each frame
    /// around the divergence.
    fn wake_ups(&mut self, i: usize) -> miette::Result<bool> {
        const AROUND_NS: u64 = 1_000_000;
        let c = &self.case.calls[i];
        let kind = matches!(c.call, CallName::Recv { .. } | CallName::Send { .. });
        if !kind || !plan::waited(self.case, i) {
            return Ok(false);
        }
        let at = self.ending.at_ns;
        let exit = c.exit_ns.unwrap_or(u64::MAX).saturating_add(70_000);
        let moments: Vec<u64> = self
            .case
            .frames
            .iter()
            .map(|f| f.time_ns)
            .filter(|t| t.abs_diff(at) < AROUND_NS && *t > c.entry_ns && *t <= exit)
            .map(|t| t.saturating_sub(plan::TX_LAG_NS))
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
