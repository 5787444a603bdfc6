//! Queueing disciplines (Linux `net/sched/sch_generic.c`).

use super::core::skbuff::Skb;
use super::core::sock::SkbQueue;

/// The queueing discipline of a device's one transmit queue.
#[derive(Clone, Debug, Default)]
pub(crate) enum Qdisc {
    /// `noop`: the device is down, packets vanish.
    #[default]
    Noop,
    /// `noqueue`: straight to the driver.
    Noqueue,
    /// `pfifo_fast`.
    PfifoFast(PfifoFast),
}

/// Three bands, each a queue; a band is only served while those before it are empty.
#[derive(Clone, Debug)]
pub(crate) struct PfifoFast {
    bands: [SkbQueue; 3],
    /// Packets that the driver had no room for (`gso_skb`).
    requeued: SkbQueue,
    /// Packets that a band holds (`tx_queue_len`).
    limit: usize,
}

/// `prio2band`: the band of a packet's priority.
const PRIO2BAND: [u8; 16] = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

impl Qdisc {
    pub(crate) fn pfifo_fast(limit: usize) -> Self {
        let bands = Default::default();
        Self::PfifoFast(PfifoFast { bands, requeued: SkbQueue::default(), limit })
    }

    /// Queues a packet; gives it back if its band is full.
    pub(crate) fn enqueue(&mut self, skb: Skb) -> Option<Skb> {
        let Self::PfifoFast(q) = self else { return Some(skb) };
        let band = &mut q.bands[usize::from(PRIO2BAND[skb.priority as usize & 15])];
        if band.len() >= q.limit {
            return Some(skb);
        }
        band.push_back(skb);
        None
    }

    pub(crate) fn dequeue(&mut self) -> Option<Skb> {
        let Self::PfifoFast(q) = self else { return None };
        q.bands.iter_mut().find_map(SkbQueue::pop_front)
    }

    /// Puts packets back that the driver had no room for; they are the next to go.
    pub(crate) fn requeue(&mut self, list: SkbQueue) {
        if let Self::PfifoFast(q) = self {
            q.requeued = list;
        }
    }

    /// What [`requeue`](Self::requeue) put back.
    pub(crate) fn take_requeued(&mut self) -> SkbQueue {
        match self {
            Self::PfifoFast(q) => std::mem::take(&mut q.requeued),
            _ => SkbQueue::default(),
        }
    }

    /// Number of packets that wait.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::PfifoFast(q) => {
                q.requeued.len() + q.bands.iter().map(SkbQueue::len).sum::<usize>()
            }
            _ => 0,
        }
    }

    /// Takes every packet out.
    pub(crate) fn drain(&mut self) -> Vec<Skb> {
        let mut all = Vec::new();
        let mut requeued = self.take_requeued();
        while let Some(skb) = requeued.pop_front() {
            all.push(skb);
        }
        while let Some(skb) = self.dequeue() {
            all.push(skb);
        }
        all
    }
}
