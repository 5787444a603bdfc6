//! The search for a schedule: a bounded number of replays, each with one more choice made.

use std::collections::BTreeSet;

use super::case::Case;
use super::engine::{Ending, Engine};
use super::host::Host;
use super::plan::{self, Plan};
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
    s.levels(jiffy_ns)?;
    for &phase in phases.iter().skip(1) {
        if s.done() {
            break;
        }
        let with = Plan { jiffies_zero_ns: phase, ..s.best.clone() };
        if s.attempt(with)? {
            s.levels(jiffy_ns)?;
        }
    }
    for &edge in edges.iter().skip(1) {
        if s.done() {
            break;
        }
        s.attempt(Plan { ms_edge_ns: edge, ..s.best.clone() })?;
    }
    while !s.done() && s.decisions()? {}
    Ok(Found { ending: s.ending, plan: s.best, replays: s.replays })
}

fn replay<B: Boot>(case: &Case, boot: &B, plan: &Plan) -> miette::Result<Ending> {
    let (machine, base_ns) = boot.boot(plan)?;
    Ok(Engine::new(case, plan, machine, base_ns).run())
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
        let mut near: Vec<usize> = (0..self.case.calls.len())
            .filter(|&i| self.case.calls[i].entry_ns <= at + 1_000_000)
            .collect();
        near.reverse();
        near.truncate(8);
        let mut tried = BTreeSet::new();
        for &i in &near {
            let waited = plan::waited(self.case, i);
            if waited
                && matches!(self.case.calls[i].call, CallName::Recv { .. } | CallName::Send { .. })
            {
                for k in 1..=6 {
                    let mut with = self.best.clone();
                    let now = with.resume_after.get(&i).copied().unwrap_or(0);
                    with.resume_after.insert(i, (now + k) % 7);
                    if self.done() {
                        return Ok(false);
                    }
                    if self.attempt(with)? {
                        return Ok(true);
                    }
                }
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
        self.lags()
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
