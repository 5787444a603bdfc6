//! The wire: full duplex, between two MACs, or a MAC and whoever is at the other end.
//!
//! Each direction takes a frame at the time its sender was done with it, sends one after another at its rate, and hands it
//! over a delay later. The FCS of the next frames of a direction can be damaged.

use crate::Nanos;
use crate::frame::{Fcs, Frame};
use crate::mac::Mac;
use crate::mem::DmaMem;
use crate::rx::RxOutcome;
use crate::tx::leaves;
use std::collections::VecDeque;

/// One end of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first.
    A,
    /// The second.
    B,
}

impl End {
    /// The other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One direction.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// Frames on their way and when their last bit arrives, in order.
    flying: VecDeque<(Nanos, Frame)>,
    busy_until: Nanos,
    damage: u32,
}

/// A full-duplex wire.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    rate_bps: Option<u64>,
    delay: Nanos,
    /// Towards A and towards B.
    lanes: [Lane; 2],
}

impl Wire {
    /// A wire of a rate in bits a second (`None`: a frame takes no time) and a delay.
    pub fn new(rate_bps: Option<u64>, delay: Nanos) -> Self {
        Self { rate_bps, delay, lanes: Default::default() }
    }

    fn towards(&mut self, end: End) -> &mut Lane {
        match end {
            End::A => &mut self.lanes[0],
            End::B => &mut self.lanes[1],
        }
    }

    /// Damages the FCS of the next `frames` frames that `from` sends.
    pub fn damage(&mut self, from: End, frames: u32) {
        self.towards(from.peer()).damage = frames;
    }

    /// `from` puts a frame on the wire at `now`.
    pub fn send(&mut self, from: End, now: Nanos, mut f: Frame) {
        let (rate, delay) = (self.rate_bps, self.delay);
        let lane = self.towards(from.peer());
        if lane.damage > 0 {
            lane.damage -= 1;
            f.fcs = Fcs::Bad;
        }
        // Never before the frame ahead of it, also when a sender's clock went back.
        let start = now.max(lane.busy_until);
        lane.busy_until = rate.map_or(start, |r| leaves(start, r, f.len()));
        let arrives = lane.busy_until.saturating_add(delay);
        lane.flying.push_back((arrives, f));
    }

    /// Takes all frames that a MAC has sent.
    pub fn collect(&mut self, from: End, mac: &mut Mac) -> usize {
        let mut n = 0;
        while let Some((at, f)) = mac.tx_pop() {
            self.send(from, at, f);
            n += 1;
        }
        n
    }

    /// The next frame that has arrived at `to` by `now`, and when it did.
    pub fn recv(&mut self, to: End, now: Nanos) -> Option<(Nanos, Frame)> {
        self.towards(to).flying.pop_front_if(|(at, _)| *at <= now)
    }

    /// Hands one frame that has arrived by `now` to a MAC; `None` when there is none.
    pub fn deliver(
        &mut self,
        to: End,
        mac: &mut Mac,
        mem: &mut DmaMem,
        now: Nanos,
    ) -> Option<RxOutcome> {
        let (at, f) = self.recv(to, now)?;
        Some(mac.rx(mem, at, &f))
    }

    /// When the next frame arrives at either end.
    pub fn next_event(&self) -> Option<Nanos> {
        self.lanes.iter().filter_map(|l| Some(l.flying.front()?.0)).min()
    }

    /// Carries frames both ways between two MACs that share a memory, up to `now`.
    pub fn advance(&mut self, mem: &mut DmaMem, [a, b]: [&mut Mac; 2], now: Nanos) {
        self.collect(End::A, a);
        self.collect(End::B, b);
        while self.deliver(End::A, a, mem, now).is_some() {}
        while self.deliver(End::B, b, mem, now).is_some() {}
    }

    /// Frames on their way.
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(|l| l.flying.len()).sum()
    }
}
