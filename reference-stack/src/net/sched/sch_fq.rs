//! Fair queueing with pacing (Linux `sch_fq.c`): a queue a socket, served in turn by bytes, and no
//! packet before the time that its sender set (`skb->tstamp`).

use super::super::core::skbuff::{SkBuff, Skb};
use super::super::core::sock::{SkbQueue, SockId};
use crate::time::{Jiffies, NSEC_PER_SEC};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Packets that the whole queue holds (`sch->limit`).
const LIMIT: usize = 10_000;
/// Packets of one flow (`flow_plimit`).
const FLOW_PLIMIT: usize = 100;
/// Buckets of packets without a socket (`orphan_mask` + 1).
const ORPHANS: u32 = 1024;
/// How far ahead a packet may be timed (`horizon`), nanoseconds; a later one is dropped.
const HORIZON_NS: u64 = 10 * NSEC_PER_SEC;
/// How late a timer may be so as to serve several (`timer_slack`), nanoseconds.
const TIMER_SLACK_NS: u64 = 10_000;
/// Flows above which idle ones are forgotten (`fq_gc`), and how long one has to be idle, seconds.
const FLOWS_GC: usize = 2048;
const GC_AGE_S: u64 = 3;
/// The least significant bits of a packet's priority, and the one that is never queued behind
/// others (`TC_PRIO_MAX`, `TC_PRIO_CONTROL`).
const TC_PRIO_MAX: u32 = 15;
const TC_PRIO_CONTROL: u32 = 7;

/// Whose packets a flow holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum FlowId {
    Sock(SockId),
    /// Packets of no socket, by hash.
    Orphan(u32),
}

/// Which list a flow is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    /// It has no packet.
    #[default]
    Detached,
    /// In one of the two lists that are served.
    Queued,
    /// It waits for the time of its first packet.
    Throttled,
}

/// `struct fq_flow`.
#[derive(Clone, Debug, Default)]
struct Flow {
    queue: SkbQueue,
    /// When each packet of `queue` may leave, monotonic nanoseconds.
    times: VecDeque<u64>,
    /// Bytes that it may send before others have their turn.
    credit: i64,
    time_next_packet: u64,
    place: Place,
    /// When it became idle.
    age: Jiffies,
    /// Ports of the socket that it was made for; another socket of this number begins anew.
    ports: u32,
}

/// The state of the discipline (`struct fq_sched_data`).
#[derive(Clone, Debug)]
pub(crate) struct Fq {
    flows: BTreeMap<FlowId, Flow>,
    new_flows: VecDeque<FlowId>,
    old_flows: VecDeque<FlowId>,
    /// Throttled flows by time.
    delayed: BTreeSet<(u64, FlowId)>,
    /// Packets that wait for nobody.
    internal: SkbQueue,
    /// Packets that the driver had no room for (`gso_skb`).
    pub(super) requeued: SkbQueue,
    qlen: usize,
    limit: usize,
    quantum: i64,
    initial_quantum: i64,
    hz: u64,
}

/// Bytes that a packet takes on the wire, the headers of every segment counted (`qdisc_pkt_len`).
fn qdisc_pkt_len(skb: &SkBuff) -> i64 {
    let segs = i64::from(skb.gso_segs.max(1)) - 1;
    let header = skb.len() as i64 - i64::from(skb.data_len);
    skb.len() as i64 + segs * header.max(0)
}

fn ports(skb: &SkBuff) -> u32 {
    let bytes = skb.head_at(skb.transport_header).first_chunk::<4>().copied();
    u32::from_be_bytes(bytes.unwrap_or_default())
}

impl Fq {
    /// For a device of this MTU and header length (`fq_init`); `limit`: packets, `None`: 10,000.
    pub(crate) fn new(frame_len: u32, hz: u32, limit: Option<u32>) -> Self {
        Self {
            flows: BTreeMap::new(),
            new_flows: VecDeque::new(),
            old_flows: VecDeque::new(),
            delayed: BTreeSet::new(),
            internal: SkbQueue::default(),
            requeued: SkbQueue::default(),
            qlen: 0,
            limit: limit.map_or(LIMIT, |n| n as usize),
            quantum: 2 * i64::from(frame_len),
            initial_quantum: 10 * i64::from(frame_len),
            hz: u64::from(hz),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.qlen
    }

    /// Queues a packet; gives it back if there is no room or it is timed too far ahead
    /// (`fq_enqueue`).
    pub(crate) fn enqueue(&mut self, skb: Skb, now: u64, jiffies: Jiffies) -> Option<Skb> {
        if self.qlen >= self.limit {
            return Some(skb);
        }
        let at = if skb.tstamp == 0 { now } else { skb.tstamp };
        if at > now.saturating_add(HORIZON_NS) {
            return Some(skb);
        }
        if skb.priority & TC_PRIO_MAX == TC_PRIO_CONTROL {
            self.internal.push_back(skb);
            self.qlen += 1;
            return None;
        }
        let id = self.fq_classify(&skb, jiffies);
        let quantum = self.quantum;
        let refill_delay = self.hz / 25;
        let flow = self.flows.entry(id).or_default();
        if flow.queue.len() >= FLOW_PLIMIT {
            return Some(skb);
        }
        if flow.place == Place::Detached {
            if jiffies > flow.age + refill_delay {
                flow.credit = flow.credit.max(quantum);
            }
            flow.place = Place::Queued;
            self.new_flows.push_back(id);
        }
        // Nearly always the last one.
        let pos = flow.times.partition_point(|&t| t <= at);
        flow.times.insert(pos, at);
        flow.queue.insert(pos, skb);
        self.qlen += 1;
        None
    }

    /// The flow of a packet, made if there is none (`fq_classify`).
    fn fq_classify(&mut self, skb: &SkBuff, jiffies: Jiffies) -> FlowId {
        let id = match skb.owner {
            Some(sk) => FlowId::Sock(sk),
            None => FlowId::Orphan(skb.hash & (ORPHANS - 1)),
        };
        let ports = if skb.owner.is_some() { ports(skb) } else { 0 };
        match self.flows.get_mut(&id) {
            Some(flow) if flow.ports != ports => {
                // Another socket of the same number.
                flow.credit = self.initial_quantum;
                flow.ports = ports;
                if flow.place == Place::Throttled {
                    self.delayed.remove(&(flow.time_next_packet, id));
                    flow.place = Place::Queued;
                    self.old_flows.push_back(id);
                }
                flow.time_next_packet = 0;
            }
            Some(_) => {}
            None => {
                self.fq_gc(jiffies);
                let credit = self.initial_quantum;
                self.flows.insert(id, Flow { credit, ports, ..Flow::default() });
            }
        }
        id
    }

    fn fq_gc(&mut self, jiffies: Jiffies) {
        if self.flows.len() >= FLOWS_GC {
            let old = GC_AGE_S * self.hz;
            self.flows.retain(|_, f| f.place != Place::Detached || jiffies <= f.age + old);
        }
    }

    /// Flows whose time has come may be served again (`fq_check_throttled`).
    fn fq_check_throttled(&mut self, now: u64) {
        while let Some(&(at, id)) = self.delayed.first().filter(|(at, _)| *at <= now) {
            self.delayed.remove(&(at, id));
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.place = Place::Queued;
                self.old_flows.push_back(id);
            }
        }
    }

    /// The next packet that may leave (`fq_dequeue`).
    pub(crate) fn dequeue(&mut self, now: u64, jiffies: Jiffies) -> Option<Skb> {
        if let Some(skb) = self.internal.pop_front() {
            self.qlen -= 1;
            return Some(skb);
        }
        if self.qlen == 0 {
            return None;
        }
        self.fq_check_throttled(now);
        loop {
            let is_new = !self.new_flows.is_empty();
            let list = if is_new { &mut self.new_flows } else { &mut self.old_flows };
            let id = list.pop_front()?;
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            if flow.credit <= 0 {
                flow.credit += self.quantum;
                self.old_flows.push_back(id);
                continue;
            }
            let Some(&time_to_send) = flow.times.front() else {
                // A new flow passes through the old ones once, so that those are not starved.
                if is_new && !self.old_flows.is_empty() {
                    self.old_flows.push_back(id);
                } else {
                    flow.place = Place::Detached;
                    flow.age = jiffies;
                }
                continue;
            };
            let at = time_to_send.max(flow.time_next_packet);
            if now < at {
                flow.time_next_packet = at;
                flow.place = Place::Throttled;
                self.delayed.insert((at, id));
                continue;
            }
            flow.times.pop_front();
            let skb = flow.queue.pop_front()?;
            flow.credit -= qdisc_pkt_len(&skb);
            let list = if is_new { &mut self.new_flows } else { &mut self.old_flows };
            list.push_front(id);
            self.qlen -= 1;
            return Some(skb);
        }
    }

    /// When to look again though nothing may leave now (`qdisc_watchdog_schedule_range_ns`),
    /// monotonic nanoseconds.
    pub(crate) fn watchdog(&self) -> Option<u64> {
        self.delayed.first().map(|(at, _)| at.saturating_add(TIMER_SLACK_NS))
    }

    /// Takes every packet out (`fq_reset`).
    pub(crate) fn drain(&mut self) -> Vec<Skb> {
        let mut all = Vec::new();
        while let Some(skb) = self.internal.pop_front() {
            all.push(skb);
        }
        for flow in self.flows.values_mut() {
            while let Some(skb) = flow.queue.pop_front() {
                all.push(skb);
            }
        }
        self.flows.clear();
        self.new_flows.clear();
        self.old_flows.clear();
        self.delayed.clear();
        self.qlen = 0;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NicKind;
    use crate::net::core::skbuff::{DropReason, kfree_skb};
    use crate::net::testing;

    const MS: u64 = 1_000_000;

    #[test]
    fn flows_take_turns_and_nobody_is_early() {
        let (mut net, _) = testing::machine(NicKind::Tun);
        let mut fq = Fq::new(1514, 1000, None);
        let mut packet = |owner: u32, len: usize, at: u64| {
            let mut skb = Skb::alloc(&mut net.skbs, 128);
            skb.push(len.min(100));
            skb.reset_transport_header();
            (skb.owner, skb.tstamp) = (Some(SockId(owner)), at);
            skb
        };
        // Socket 1 may send its second packet at 5 ms only; socket 2 does not wait for it.
        for (owner, at) in [(1, MS), (1, 5 * MS), (2, MS)] {
            assert!(fq.enqueue(packet(owner, 100, at), MS, 1).is_none());
        }
        assert!(fq.enqueue(packet(3, 100, 11_000 * MS), 0, 1).is_some(), "beyond the horizon");
        let mut owners = Vec::new();
        while let Some(skb) = fq.dequeue(MS, 1) {
            owners.push(skb.owner.map(|o| o.0));
            kfree_skb(&mut net, skb, DropReason::Consumed);
        }
        assert_eq!(owners, [Some(1), Some(2)]);
        assert_eq!(fq.watchdog(), Some(5 * MS + TIMER_SLACK_NS));
        let last = fq.dequeue(5 * MS + TIMER_SLACK_NS, 5).expect("its time has come");
        kfree_skb(&mut net, last, DropReason::Consumed);
        assert_eq!(fq.len(), 0);
    }
}
