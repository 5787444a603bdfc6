//! The virtual clock: nanoseconds, jiffies with the timer wheel, and high-resolution timers.

mod hrtimer;
mod timer;

pub use hrtimer::{HrtimerId, Hrtimers};
pub use timer::{TimerId, TimerWheel};

use crate::Nanos;
use crate::lib::shared::Shared;

/// A count of ticks since boot (64 bits, so it never wraps), starting at `INITIAL_JIFFIES`.
pub type Jiffies = u64;

/// Nanoseconds in a millisecond.
pub const NSEC_PER_MSEC: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

/// CLOCK_REALTIME at virtual time 0: 2021-10-31, when Linux 5.15 came out.
pub(crate) const BOOT_REAL_NS: Nanos = 1_635_638_400 * NSEC_PER_SEC;

/// All clocks of a machine. Time moves only by [`Clock::set_now`].
#[derive(Clone, Debug)]
pub struct Clock {
    now: Nanos,
    hz: u32,
    /// Time of the tick that counted `jiffies_base`.
    phase: Nanos,
    jiffies_base: Jiffies,
    jiffies: Jiffies,
    /// Added to `now` to give `CLOCK_MONOTONIC`.
    monotonic_offset: Nanos,
    /// Added to `now` to give `CLOCK_REALTIME`.
    real_offset: Nanos,
    /// Jiffy timers (`struct timer_list`).
    pub timers: Shared<TimerWheel>,
    /// High-resolution timers.
    pub hrtimers: Shared<Hrtimers>,
}

impl Clock {
    /// A clock at virtual time 0 whose first tick after that comes at `phase` (less than a
    /// jiffy), with `jiffies` counted so far.
    pub fn new(hz: u32, phase: Nanos, jiffies: Jiffies, monotonic_offset: Nanos) -> Self {
        let tick = NSEC_PER_SEC / u64::from(hz);
        let phase = phase % tick;
        Self {
            now: 0,
            hz,
            phase,
            // The tick at `phase` makes it `jiffies + 1`.
            jiffies_base: jiffies + 1,
            jiffies,
            monotonic_offset,
            real_offset: BOOT_REAL_NS,
            timers: Shared::new(TimerWheel::new(jiffies + 1)),
            hrtimers: Shared::default(),
        }
    }

    /// Virtual time since boot, nanoseconds.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// `CONFIG_HZ`.
    pub fn hz(&self) -> u32 {
        self.hz
    }

    /// `jiffies`.
    pub fn jiffies(&self) -> Jiffies {
        self.jiffies
    }

    /// `ktime_get_ns`: monotonic time, nanoseconds.
    pub fn ktime_ns(&self) -> Nanos {
        self.now + self.monotonic_offset
    }

    /// `ktime_get_real_ns`: CLOCK_REALTIME, nanoseconds.
    pub fn ktime_get_real_ns(&self) -> Nanos {
        self.now.wrapping_add(self.real_offset)
    }

    /// Sets CLOCK_REALTIME at virtual time 0, nanoseconds since the epoch.
    pub(crate) fn set_boot_real_ns(&mut self, ns: Nanos) {
        self.real_offset = ns;
    }

    /// Length of a tick in nanoseconds.
    pub fn tick_ns(&self) -> Nanos {
        NSEC_PER_SEC / u64::from(self.hz)
    }

    /// The virtual time at which `jiffies` becomes `j`.
    pub fn time_of(&self, j: Jiffies) -> Nanos {
        match j.checked_sub(self.jiffies_base) {
            Some(ticks) => self.phase.saturating_add(ticks.saturating_mul(self.tick_ns())),
            None => 0,
        }
    }

    /// Moves time forward; a time in the past leaves it. Jiffies follow.
    pub fn set_now(&mut self, now: Nanos) {
        self.now = self.now.max(now);
        if self.now >= self.phase {
            self.jiffies = self.jiffies_base + (self.now - self.phase) / self.tick_ns();
        }
    }

    /// When the next timer of either kind is due.
    pub fn next_event(&self) -> Option<Nanos> {
        let wheel = self.timers.next_expiry().map(|j| self.time_of(j));
        [wheel, self.hrtimers.next_expiry()].into_iter().flatten().min()
    }

    /// `msecs_to_jiffies`.
    pub fn msecs_to_jiffies(&self, ms: u64) -> Jiffies {
        (ms * u64::from(self.hz)).div_ceil(1000)
    }

    /// `usecs_to_jiffies`.
    pub fn usecs_to_jiffies(&self, us: u64) -> Jiffies {
        (us * u64::from(self.hz)).div_ceil(1_000_000)
    }

    /// `jiffies_to_usecs`.
    pub fn jiffies_to_usecs(&self, j: Jiffies) -> u64 {
        j.saturating_mul(1_000_000 / u64::from(self.hz))
    }

    /// `jiffies_to_msecs`.
    pub fn jiffies_to_msecs(&self, j: Jiffies) -> u64 {
        j.saturating_mul(1000) / u64::from(self.hz)
    }
}
