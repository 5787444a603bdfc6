//! Queueing disciplines (Linux `net/sched/sch_generic.c`).

mod sch_fq;

pub(crate) use sch_fq::Fq;

use super::core::skbuff::Skb;
use super::core::sock::SkbQueue;
use crate::time::Clock;

/// The queueing discipline of a device's one transmit queue.
#[derive(Clone, Debug, Default)]
pub(crate) enum Qdisc {
    /// `noop`: the device is down, packets vanish.
    #[default]
    Noop,
    /// `noqueue`: straight to the driver.
    Noqueue,
    /// `pfifo_fast` or `pfifo`.
    Fifo(Fifo),
    /// `fq`.
    Fq(Box<Fq>),
}

/// Three bands, each a queue; a band is only served while those before it are empty. `pfifo` has only the first.
#[derive(Clone, Debug)]
pub(crate) struct Fifo {
    bands: [SkbQueue; 3],
    /// Packets that the driver had no room for (`gso_skb`).
    requeued: SkbQueue,
    /// Packets that a band holds.
    limit: usize,
    /// The band of a packet's priority.
    prio2band: &'static [u8; 16],
}

/// `prio2band` of `pfifo_fast`.
const PRIO2BAND: [u8; 16] = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

impl Qdisc {
    pub(crate) fn pfifo_fast(limit: usize) -> Self {
        Self::fifo(limit, &PRIO2BAND)
    }

    pub(crate) fn pfifo(limit: usize) -> Self {
        Self::fifo(limit, &[0; 16])
    }

    fn fifo(limit: usize, prio2band: &'static [u8; 16]) -> Self {
        let bands = Default::default();
        Self::Fifo(Fifo { bands, requeued: SkbQueue::default(), limit, prio2band })
    }

    /// Queues a packet; gives it back if there is no room for it.
    pub(crate) fn enqueue(&mut self, skb: Skb, clock: &Clock) -> Option<Skb> {
        let q = match self {
            Self::Fifo(q) => q,
            Self::Fq(q) => return q.enqueue(skb, clock.ktime_ns(), clock.jiffies()),
            Self::Noop | Self::Noqueue => return Some(skb),
        };
        let band = &mut q.bands[usize::from(q.prio2band[skb.priority as usize & 15])];
        if band.len() >= q.limit {
            return Some(skb);
        }
        band.push_back(skb);
        None
    }

    /// The next packet that may leave now.
    pub(crate) fn dequeue(&mut self, clock: &Clock) -> Option<Skb> {
        match self {
            Self::Fifo(q) => q.bands.iter_mut().find_map(SkbQueue::pop_front),
            Self::Fq(q) => q.dequeue(clock.ktime_ns(), clock.jiffies()),
            Self::Noop | Self::Noqueue => None,
        }
    }

    /// When to ask again though nothing may leave now, monotonic nanoseconds (`qdisc_watchdog`).
    pub(crate) fn watchdog(&self) -> Option<u64> {
        match self {
            Self::Fq(q) => q.watchdog(),
            _ => None,
        }
    }

    /// Whether it keeps the times that TCP gives its packets, so that TCP need not
    /// (`SK_PACING_FQ`).
    pub(crate) fn paces(&self) -> bool {
        matches!(self, Self::Fq(_))
    }

    /// Puts packets back that the driver had no room for; they are the next to go.
    pub(crate) fn requeue(&mut self, list: SkbQueue) {
        match self {
            Self::Fifo(q) => q.requeued = list,
            Self::Fq(q) => q.requeued = list,
            Self::Noop | Self::Noqueue => {}
        }
    }

    /// What [`requeue`](Self::requeue) put back.
    pub(crate) fn take_requeued(&mut self) -> SkbQueue {
        match self {
            Self::Fifo(q) => std::mem::take(&mut q.requeued),
            Self::Fq(q) => std::mem::take(&mut q.requeued),
            Self::Noop | Self::Noqueue => SkbQueue::default(),
        }
    }

    /// Number of packets that wait.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Fifo(q) => q.requeued.len() + q.bands.iter().map(SkbQueue::len).sum::<usize>(),
            Self::Fq(q) => q.requeued.len() + q.len(),
            Self::Noop | Self::Noqueue => 0,
        }
    }

    /// Whether no packet waits (`nolock_qdisc_is_empty`).
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Fifo(q) => q.requeued.is_empty() && q.bands.iter().all(SkbQueue::is_empty),
            Self::Fq(q) => q.requeued.is_empty() && q.len() == 0,
            Self::Noop | Self::Noqueue => true,
        }
    }

    /// Whether a packet may pass by while none waits (`TCQ_F_CAN_BYPASS`, `fifo_init`): where it
    /// could have been queued.
    pub(crate) fn can_bypass(&self) -> bool {
        matches!(self, Self::Fifo(q) if q.limit > 0)
    }

    /// Takes every packet out.
    pub(crate) fn drain(&mut self) -> Vec<Skb> {
        let mut all = Vec::new();
        let mut requeued = self.take_requeued();
        while let Some(skb) = requeued.pop_front() {
            all.push(skb);
        }
        match self {
            Self::Fifo(q) => {
                while let Some(skb) = q.bands.iter_mut().find_map(SkbQueue::pop_front) {
                    all.push(skb);
                }
            }
            Self::Fq(q) => all.extend(q.drain()),
            Self::Noop | Self::Noqueue => {}
        }
        all
    }
}
