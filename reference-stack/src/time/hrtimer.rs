//! High-resolution timers: they fire at the nanosecond, in order of time and then of arming.

use super::super::syscalls::TaskId;
use crate::Nanos;
use crate::net::core::dev::DevId;
use crate::net::core::sock::SockId;
use std::collections::BTreeMap;

/// What a high-resolution timer belongs to. At most one is pending for each value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HrtimerId {
    /// `tcp_pace_kick`: the connection may send again.
    Pacing(SockId),
    /// `tcp_compressed_ack_kick`: the held SACK is due.
    CompressedAck(SockId),
    /// A task's time-out in poll(2) or a sleep.
    Task(TaskId),
    /// `qdisc_watchdog`: a queued packet's time to leave has come.
    Qdisc(DevId),
}

/// The pending high-resolution timers of a machine.
#[derive(Clone, Debug, Default)]
pub struct Hrtimers {
    by_time: BTreeMap<(Nanos, u64), HrtimerId>,
    by_id: BTreeMap<HrtimerId, (Nanos, u64)>,
    seq: u64,
}

impl Hrtimers {
    /// Arms a timer for an absolute virtual time, replacing an earlier arming.
    pub fn start(&mut self, id: HrtimerId, at: Nanos) {
        self.cancel(id);
        self.seq += 1;
        self.by_time.insert((at, self.seq), id);
        self.by_id.insert(id, (at, self.seq));
    }

    /// Disarms a timer; whether it was pending.
    pub fn cancel(&mut self, id: HrtimerId) -> bool {
        match self.by_id.remove(&id) {
            Some(key) => {
                self.by_time.remove(&key);
                true
            }
            None => false,
        }
    }

    /// When a timer is due, if it is pending.
    pub fn pending(&self, id: HrtimerId) -> Option<Nanos> {
        self.by_id.get(&id).map(|&(at, _)| at)
    }

    /// When the first of all timers is due.
    pub fn next_expiry(&self) -> Option<Nanos> {
        self.by_time.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Takes the first timer that is due at `now`.
    pub fn pop_due(&mut self, now: Nanos) -> Option<HrtimerId> {
        let (&key, &id) = self.by_time.first_key_value()?;
        if key.0 > now {
            return None;
        }
        self.by_time.remove(&key);
        self.by_id.remove(&id);
        Some(id)
    }

    /// Number of pending timers, for the leak check.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
