//! What the scheduler and chance decide, for a replay to say.
//!
//! Delays that Linux draws at random: duplicate address detection, router solicitation, MLD
//! reports. A host that was captured drew others, so a replay sees each one's interval here and
//! may say where in it the delay ends.

use super::Kernel;
use crate::Nanos;
use crate::net::Net;
use crate::time::{Jiffies, TimerId};

/// A delay that was drawn and is not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RandomDelay {
    timer: TimerId,
    armed_at: Jiffies,
    earliest: Jiffies,
    latest: Jiffies,
    /// The jiffy that was drawn or chosen.
    expires: Jiffies,
    /// Names it among all delays of the machine, from 0.
    number: u32,
}

impl RandomDelay {
    /// Names it among all delays of the machine, from 0.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// In which jiffies it may end, both included.
    pub fn span(&self) -> (Jiffies, Jiffies) {
        (self.earliest, self.latest)
    }
}

/// The drawn delays of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct RandomDelays {
    pending: Vec<RandomDelay>,
    drawn: u32,
    /// The processor is elsewhere for so long, ns, once so many more frames were sent.
    pause: Option<(u32, Nanos)>,
}

impl Net {
    /// Arms a jiffy timer for a random moment of `span` jiffies from `earliest` on.
    pub(crate) fn mod_timer_random(&mut self, timer: TimerId, earliest: Jiffies, span: u64) {
        let span = span.clamp(1, u32::MAX.into()) as u32;
        let expires = earliest + u64::from(self.rng.below(span));
        self.mod_timer(timer, expires);
        self.delays.pending.retain(|d| d.timer != timer);
        self.delays.pending.push(RandomDelay {
            timer,
            armed_at: self.jiffies(),
            earliest,
            latest: earliest + u64::from(span) - 1,
            expires,
            number: self.delays.drawn,
        });
        self.delays.drawn += 1;
    }

    /// A frame was handed to a driver.
    pub(crate) fn pause_after_xmit(&mut self) {
        if let Some((frames, ns)) = self.delays.pause {
            self.delays.pause = (frames > 1).then_some((frames.saturating_sub(1), ns));
            if frames <= 1 {
                let to = self.time.now().saturating_add(ns);
                self.time.set_now(to);
            }
        }
    }

    /// How long the last delay of a timer is that was chosen from outside, jiffies from when it
    /// was armed.
    pub(crate) fn random_delay_of(&self, timer: TimerId) -> Option<Jiffies> {
        let d = self.delays.pending.iter().find(|d| d.timer == timer)?;
        Some(d.expires.saturating_sub(d.armed_at))
    }
}

impl Kernel {
    /// The random delays that are not over, first drawn first.
    pub fn random_delays(&self) -> Vec<RandomDelay> {
        let pending = |d: &&RandomDelay| self.net.time.timers.pending(d.timer) == Some(d.expires);
        self.net.delays.pending.iter().filter(pending).copied().collect()
    }

    /// When a delay that ends in jiffy `expires` of its span has its timer fire: the wheel may
    /// round it up.
    pub fn delay_fires_at(&self, expires: Jiffies) -> Nanos {
        let time = &self.net.time;
        time.time_of(time.timers.fires_at(expires, time.jiffies()))
    }

    /// From now on, once `frames` frames were sent, the processor is elsewhere for `ns`: what
    /// else falls due meanwhile comes after. `None` takes it back. A busy host was so in the
    /// middle of a call.
    pub fn pause(&mut self, after: Option<(u32, Nanos)>) {
        self.net.delays.pause = after;
    }

    /// Lets a delay end in another jiffy of its span; others are brought into it.
    pub fn choose_delay(&mut self, delay: &RandomDelay, expires: Jiffies) {
        let expires = expires.clamp(delay.earliest, delay.latest);
        if self.net.time.timers.pending(delay.timer) != Some(delay.expires) {
            return;
        }
        self.net.mod_timer(delay.timer, expires);
        let known = self.net.delays.pending.iter_mut().find(|d| d.number == delay.number);
        if let Some(d) = known {
            d.expires = expires;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{BootConfig, Kernel, NicConfig, NicKind, Profile, Version};

    #[test]
    fn a_chosen_delay_ends_where_it_was_said() {
        let nic = NicConfig {
            name: "eth0".to_owned(),
            kind: NicKind::Tap,
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1500,
        };
        let mut config = BootConfig::new(Profile::new(Version::V6_18), vec![nic]);
        config.ipv6 = true;
        let mut kernel = Kernel::boot(&config);
        for delay in kernel.random_delays() {
            let (first, last) = delay.span();
            assert!(first < last);
            kernel.choose_delay(&delay, last + 7);
        }
        let ends: Vec<_> = kernel.random_delays().iter().map(|d| d.expires == d.latest).collect();
        assert!(!ends.is_empty() && ends.iter().all(|e| *e), "{ends:?}");
    }
}
