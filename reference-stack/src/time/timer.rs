//! The timer wheel (Linux 5.15 `kernel/time/timer.c`): eight levels of 64 buckets, each eight
//! times coarser than the one before. A timer never moves between levels, so it fires late by
//! up to its level's granularity; that lateness is visible on the wire and is modelled exactly.

use super::super::syscalls::TaskId;
use super::Jiffies;
use crate::lib::hash::DetHashMap;
use crate::net::core::dev::DevId;
use crate::net::core::neighbour::NeighId;
use crate::net::core::sock::SockId;

/// What a jiffy timer belongs to. At most one is pending for each value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TimerId {
    /// `icsk_retransmit_timer`: RTO, loss probe, reordering, zero-window probe.
    Retransmit(SockId),
    /// `icsk_delack_timer`.
    Delack(SockId),
    /// `sk_timer`: keepalive, FIN-WAIT-2.
    Keepalive(SockId),
    /// `rsk_timer` of a request socket: SYN-ACK retransmission.
    Reqsk(SockId),
    /// `tw_timer` of a TIME-WAIT socket.
    Timewait(SockId),
    /// `neighbour.timer`.
    Neigh(NeighId),
    /// A reassembly queue's `ipfrag_time`.
    Frag(u32),
    /// A task's schedule_timeout() (SO_RCVTIMEO, SO_SNDTIMEO, SO_LINGER).
    Task(TaskId),
    /// `dev_watchdog` of a device.
    Watchdog(DevId),
    /// `dad_work` of an interface's IPv6 address, by its number.
    Dad(DevId, u32),
    /// `rs_timer`: router solicitation.
    RouterSolicit(DevId),
    /// `mc_ifc_work`: MLDv2 reports of changes.
    MldIfc(DevId),
    /// `mc_dad_work`: the groups again, after the link-local address is known to be ours.
    MldDad(DevId),
    /// A reassembly queue of IPv6.
    Frag6(u32),
    /// `phy_state_machine` of a device's PHY.
    Phy(DevId),
}

const LVL_BITS: u32 = 6;
const LVL_SIZE: usize = 1 << LVL_BITS;
const LVL_MASK: u64 = LVL_SIZE as u64 - 1;
const LVL_CLK_SHIFT: u32 = 3;
const LVL_DEPTH: usize = 9;
const NIL: u32 = u32::MAX;

const fn lvl_shift(level: usize) -> u32 {
    level as u32 * LVL_CLK_SHIFT
}

/// First distance, in jiffies, that belongs to `level` (`LVL_START`).
const fn lvl_start(level: usize) -> u64 {
    LVL_MASK << ((level as u32 - 1) * LVL_CLK_SHIFT)
}

#[derive(Clone, Debug)]
struct Node {
    id: TimerId,
    expires: Jiffies,
    /// When the bucket that holds it runs.
    bucket_expiry: Jiffies,
    bucket: u16,
    prev: u32,
    next: u32,
}

/// The pending jiffy timers of a machine.
#[derive(Clone, Debug)]
pub struct TimerWheel {
    clk: Jiffies,
    heads: [u32; LVL_DEPTH * LVL_SIZE],
    /// One bit a bucket, set while it holds a timer.
    pending: [u64; LVL_DEPTH],
    nodes: Vec<Node>,
    free: Vec<u32>,
    index: DetHashMap<TimerId, u32>,
}

impl TimerWheel {
    pub(super) fn new(clk: Jiffies) -> Self {
        Self {
            clk,
            heads: [NIL; LVL_DEPTH * LVL_SIZE],
            pending: [0; LVL_DEPTH],
            nodes: Vec::new(),
            free: Vec::new(),
            index: DetHashMap::default(),
        }
    }

    /// Arms or re-arms a timer (`mod_timer`) for `expires`, at time `now`; whether it was pending.
    pub fn mod_timer(&mut self, id: TimerId, expires: Jiffies, now: Jiffies) -> bool {
        if let Some(&n) = self.index.get(&id) {
            if self.nodes[n as usize].expires == expires {
                return true;
            }
            self.del_timer(id);
            self.enqueue(id, expires, now);
            return true;
        }
        self.enqueue(id, expires, now);
        false
    }

    /// Disarms a timer; whether it was pending.
    pub fn del_timer(&mut self, id: TimerId) -> bool {
        let Some(n) = self.index.remove(&id) else { return false };
        let Node { prev, next, bucket, .. } = self.nodes[n as usize];
        match prev {
            NIL => self.heads[usize::from(bucket)] = next,
            p => self.nodes[p as usize].next = next,
        }
        if next != NIL {
            self.nodes[next as usize].prev = prev;
        }
        if self.heads[usize::from(bucket)] == NIL {
            let (level, bit) = (usize::from(bucket) / LVL_SIZE, usize::from(bucket) % LVL_SIZE);
            self.pending[level] &= !(1 << bit);
        }
        self.free.push(n);
        true
    }

    /// The jiffy that a pending timer was armed for (it fires at its bucket's time, later).
    pub fn pending(&self, id: TimerId) -> Option<Jiffies> {
        self.index.get(&id).map(|&n| self.nodes[n as usize].expires)
    }

    /// At which jiffy a timer runs that is armed now for `expires`.
    pub fn fires_at(&self, expires: Jiffies, now: Jiffies) -> Jiffies {
        let clk = self.clk.max(self.next_expiry().unwrap_or(now).min(now));
        let armed = Self { clk, ..Self::new(clk) };
        armed.bucket_of(expires, now).1
    }

    /// The jiffy at which the next bucket runs.
    pub fn next_expiry(&self) -> Option<Jiffies> {
        (0..LVL_DEPTH).filter_map(|level| self.level_expiry(level)).map(|(at, _)| at).min()
    }

    /// Takes the next timer that is due at `now`: earlier buckets first; within one jiffy the
    /// coarser level first, and within a bucket the last armed first, as `__run_timers` does.
    pub fn pop_due(&mut self, now: Jiffies) -> Option<TimerId> {
        let due = self.next_expiry().filter(|&at| at <= now)?;
        self.clk = due;
        let bucket = (0..LVL_DEPTH)
            .rev()
            .filter_map(|level| self.level_expiry(level))
            .find_map(|(at, bucket)| (at == due).then_some(bucket))?;
        let id = self.nodes[self.heads[bucket] as usize].id;
        self.del_timer(id);
        Some(id)
    }

    /// Number of pending timers, for the leak check.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The first pending bucket of a level and when it runs.
    fn level_expiry(&self, level: usize) -> Option<(Jiffies, usize)> {
        let map = self.pending[level];
        if map == 0 {
            return None;
        }
        // Buckets are used in a circle that starts at the clock's own position.
        let start = ((self.clk >> lvl_shift(level)) & LVL_MASK) as u32;
        let bit = (map.rotate_right(start).trailing_zeros() + start) % LVL_SIZE as u32;
        let bucket = level * LVL_SIZE + bit as usize;
        Some((self.nodes[self.heads[bucket] as usize].bucket_expiry, bucket))
    }

    fn enqueue(&mut self, id: TimerId, expires: Jiffies, now: Jiffies) {
        // forward_timer_base(): an idle wheel's clock lags behind; it may not pass a pending one.
        let limit = self.next_expiry().unwrap_or(now).min(now);
        self.clk = self.clk.max(limit);
        let (bucket, bucket_expiry) = self.bucket_of(expires, now);
        let head = self.heads[bucket];
        let node =
            Node { id, expires, bucket_expiry, bucket: bucket as u16, prev: NIL, next: head };
        let n = match self.free.pop() {
            Some(n) => {
                self.nodes[n as usize] = node;
                n
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        if head != NIL {
            self.nodes[head as usize].prev = n;
        }
        self.heads[bucket] = n;
        self.pending[bucket / LVL_SIZE] |= 1 << (bucket % LVL_SIZE);
        self.index.insert(id, n);
    }

    /// Which bucket a timer goes to, and when that runs (`calc_wheel_index`).
    fn bucket_of(&self, expires: Jiffies, now: Jiffies) -> (usize, Jiffies) {
        let Some(delta) = expires.checked_sub(self.clk) else {
            // Already past: the bucket of the next tick.
            let at = (now + 1).max(self.clk);
            return ((at & LVL_MASK) as usize, at);
        };
        let level = (1..LVL_DEPTH).find(|&l| delta < lvl_start(l)).unwrap_or(LVL_DEPTH) - 1;
        let reach = (LVL_MASK - 1) << lvl_shift(LVL_DEPTH - 1);
        let expires = if delta > reach { self.clk + reach } else { expires };
        let slot = (expires >> lvl_shift(level)) + 1;
        (level * LVL_SIZE + (slot & LVL_MASK) as usize, slot << lvl_shift(level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fires_at(now: Jiffies, after: u64) -> Jiffies {
        let mut wheel = TimerWheel::new(now);
        wheel.mod_timer(TimerId::Task(TaskId(0)), now + after, now);
        wheel.next_expiry().unwrap()
    }

    #[test]
    fn a_level_rounds_up_to_its_granularity() {
        assert_eq!(fires_at(1000, 10), 1011);
        assert_eq!(fires_at(1000, 62), 1063);
        assert_eq!(fires_at(1000, 63), ((1063 >> 3) + 1) << 3);
        assert_eq!(fires_at(1000, 503), ((1503 >> 3) + 1) << 3);
        assert_eq!(fires_at(1000, 504), ((1504 >> 6) + 1) << 6);
        assert_eq!(fires_at(1000, 4032), ((5032 >> 9) + 1) << 9);
    }

    #[test]
    fn the_last_armed_of_a_bucket_fires_first_and_a_deleted_one_never() {
        let mut wheel = TimerWheel::new(0);
        let id = |n| TimerId::Task(TaskId(n));
        for n in 0..4 {
            wheel.mod_timer(id(n), 5, 0);
        }
        wheel.del_timer(id(2));
        let fired: Vec<_> = std::iter::from_fn(|| wheel.pop_due(6)).collect();
        assert_eq!(fired, [id(3), id(1), id(0)]);
        assert!(wheel.is_empty() && wheel.next_expiry().is_none());
    }

    #[test]
    fn far_timers_come_in_order() {
        let mut wheel = TimerWheel::new(7);
        for n in 0..500u32 {
            wheel.mod_timer(TimerId::Task(TaskId(n)), 7 + u64::from(n) * u64::from(n) * 3, 7);
        }
        let mut last = 0;
        let mut count = 0;
        while let Some(at) = wheel.next_expiry() {
            assert!(at >= last);
            last = at;
            while wheel.pop_due(at).is_some() {
                count += 1;
            }
        }
        assert_eq!(count, 500);
    }
}
