//! Linux's `net/`: the socket layer, the device layer, and the protocol families.

pub mod core;
pub(crate) mod ethernet;
pub mod ipv4;
pub(crate) mod ipv6;
pub(crate) mod sched;
pub(crate) mod socket;

use crate::fs::wait::{WaitKey, Wakes};
use crate::kernel::EventLog;
use crate::kernel::delays::RandomDelays;
use crate::lib::random::Random;
use crate::profile::Profile;
use crate::time::{Clock, HrtimerId, Jiffies, TimerId};
use crate::uapi::{
    POLLERR, POLLIN, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND, POLLWRNORM,
};
use core::dev::{NetDevices, Softnet};
use core::neighbour::NeighTable;
use core::skbuff::SkbAccounting;
use core::sock::{SockId, Wmem};
use core::sysctl::Sysctl;
use hw_model::Board;
use ipv4::Ipv4;
use ipv4::mib::Mib;
use ipv6::Ipv6;
use std::sync::Arc;

/// Everything below the sockets: what any layer may use while it holds one socket.
#[derive(Clone, Debug)]
pub struct Net {
    pub(crate) time: Clock,
    pub(crate) rng: Random,
    pub(crate) profile: Arc<Profile>,
    pub(crate) sysctl: Arc<Sysctl>,
    pub(crate) mib: Mib,
    pub(crate) ip: Ipv4,
    pub(crate) ip6: Ipv6,
    pub(crate) neigh: NeighTable,
    pub(crate) devs: NetDevices,
    pub(crate) softnet: Softnet,
    pub(crate) wmem: Wmem,
    pub(crate) skbs: SkbAccounting,
    pub(crate) hw: Board,
    /// Sockets on which something happened that a waiter may wait for (`sk_data_ready`,
    /// `sk_write_space`, `sk_state_change`, `sk_error_report`), in order.
    pub(crate) wake: Wakes,
    pub(crate) log: EventLog,
    pub(crate) delays: RandomDelays,
    /// `tcp_mstamp` of now: microseconds, taken once a softirq or call.
    pub(crate) tcp_mem_allocated: i64,
}

impl Net {
    /// `jiffies`.
    pub(crate) fn jiffies(&self) -> Jiffies {
        self.time.jiffies()
    }

    /// Arms a jiffy timer (`mod_timer`).
    pub(crate) fn mod_timer(&mut self, id: TimerId, expires: Jiffies) {
        // Most re-arm a timer for the jiffy that it has already.
        if self.time.timers.pending(id) != Some(expires) {
            let now = self.time.jiffies();
            self.time.timers.mod_timer(id, expires, now);
        }
    }

    /// Disarms a jiffy timer (`del_timer`); whether it was pending.
    pub(crate) fn del_timer(&mut self, id: TimerId) -> bool {
        self.time.timers.del_timer(id)
    }

    /// Whether a jiffy timer is pending.
    pub(crate) fn timer_pending(&self, id: TimerId) -> bool {
        self.time.timers.pending(id).is_some()
    }

    /// Arms a high-resolution timer `after_ns` from now.
    pub(crate) fn hrtimer_start(&mut self, id: HrtimerId, after_ns: u64) {
        let at = self.time.now().saturating_add(after_ns);
        self.time.hrtimers.start(id, at);
    }

    /// Notes that a waiter of this socket may have reason to run, whatever it waits for
    /// (`sk_state_change`).
    pub(crate) fn wake_up(&mut self, sk: SockId) {
        self.wake_up_poll(sk, 0);
    }

    /// There is something to read (`sk_data_ready`).
    pub(crate) fn sk_data_ready(&mut self, sk: SockId) {
        self.wake_up_poll(sk, POLLIN | POLLPRI | POLLRDNORM | POLLRDBAND);
    }

    /// There is room to write (`sk_write_space`).
    pub(crate) fn sk_write_space(&mut self, sk: SockId) {
        self.wake_up_poll(sk, POLLOUT | POLLWRNORM | POLLWRBAND);
    }

    /// There is an error, or something in the error queue (`sk_error_report`).
    pub(crate) fn sk_error_report(&mut self, sk: SockId) {
        self.wake_up_poll(sk, POLLERR);
    }

    /// Wakes those who wait for any of these `POLL*` (`wake_up_interruptible_poll`).
    fn wake_up_poll(&mut self, sk: SockId, key: i16) {
        let wake = (WaitKey::Sock(sk), key);
        if self.wake.last() != Some(&wake) {
            self.wake.push(wake);
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
