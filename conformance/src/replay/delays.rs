//! Random delays of the machine: each may end anywhere in its interval, so it ends where the
//! capture shows what it sends; one whose frame the capture does not have ended before it began.

use super::engine::Engine;
use super::host::{Delay, Host};

impl<H: Host> Engine<'_, H> {
    /// Decides where the delays end that were drawn since this was last asked.
    pub(super) fn settle_delays(&mut self) {
        for delay in self.host.random_delays() {
            if delay.number < self.next_delay {
                continue;
            }
            self.next_delay = delay.number + 1;
            match self.captured_end(&delay) {
                Some((frame, jiffy)) => {
                    self.claimed.insert(frame);
                    self.host.choose_delay(&delay, jiffy);
                }
                None => {
                    let part = self.plan.delays.get(&delay.number).copied().unwrap_or(0);
                    let span = delay.latest - delay.earliest;
                    let jiffy = delay.earliest + span * u64::from(part.min(100)) / 100;
                    self.host.choose_delay(&delay, jiffy);
                    self.free_delays.push(delay.number);
                }
            }
        }
    }

    /// The captured frame that the end of a delay sends, and the jiffy of its end.
    fn captured_end(&self, delay: &Delay) -> Option<(usize, u64)> {
        let fires = |jiffy| self.base_ns + self.host.delay_fires_at(jiffy);
        let (first, last) = (fires(delay.earliest), fires(delay.latest));
        let mut probe = self.host.clone();
        probe.choose_delay(delay, delay.earliest);
        let at = first - self.base_ns;
        probe.advance(at);
        let sent = probe.frames_out().into_iter().find(|s| s.at >= at)?;
        let in_span = |t: u64| t + self.jiffy_ns >= first && t <= last + 2 * self.jiffy_ns;
        let frame = self.outbound.iter().copied().skip(self.next_out).find(|i| {
            let f = &self.case.frames[*i];
            in_span(f.time_ns) && !self.claimed.contains(i) && self.would_be(&sent, f, &self.map)
        })?;
        let stamp = self.case.frames[frame].time_ns;
        let jiffy = (delay.earliest..=delay.latest).min_by_key(|&j| fires(j).abs_diff(stamp))?;
        Some((frame, jiffy))
    }
}
