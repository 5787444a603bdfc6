//! Interrupt mitigation (ITC) and automatic polling (APTC).
//!
//! A direction's interrupt comes when THR frames have gathered or CNT units have passed since the first of them,
//! whichever is first; a field of 0 switches its half off. With both off, a received frame interrupts at once and a
//! transmitted one only if its descriptor asks for it by TXIC. The datasheet's units are 51.2, 5.12 and 1.024
//! microseconds at 10, 100 and 1000 Mbit/s for ITC, and as many milliseconds for APTC, 16 times that with the time select
//! bit.

use crate::Nanos;
use crate::regs::{itc, maccr};

/// Frames of one direction whose interrupt is outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    frames: u8,
    pub(crate) deadline: Option<Nanos>,
}

/// One direction's fields of ITC.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    cnt: u32,
    thr: u32,
    unit: Nanos,
}

fn unit(maccr: u32) -> Nanos {
    if maccr & maccr::GIGA_MODE != 0 {
        1_024
    } else if maccr & maccr::FAST_MODE != 0 {
        5_120
    } else {
        51_200
    }
}

fn scaled(unit: Nanos, sel: bool) -> Nanos {
    if sel { unit * 16 } else { unit }
}

impl Fields {
    pub(crate) fn rx(itc: u32, maccr: u32) -> Self {
        Self {
            cnt: itc & 0xf,
            thr: itc >> 4 & 7,
            unit: scaled(unit(maccr), itc & itc::RXINT_TIME_SEL != 0),
        }
    }

    pub(crate) fn tx(itc: u32, maccr: u32) -> Self {
        Self {
            cnt: itc >> 8 & 0xf,
            thr: itc >> 12 & 7,
            unit: scaled(unit(maccr), itc & itc::TXINT_TIME_SEL != 0),
        }
    }

    /// Whether nothing is mitigated.
    pub(crate) fn off(self) -> bool {
        self.cnt == 0 && self.thr == 0
    }
}

/// The period of automatic polling from one direction's five bits of APTC; `None` when it is off.
pub(crate) fn poll_period(bits: u32, maccr: u32) -> Option<Nanos> {
    let cnt = Nanos::from(bits & 0xf);
    (cnt != 0).then(|| cnt * scaled(unit(maccr) * 1000, bits & 0x10 != 0))
}

impl Pending {
    /// One more frame; says whether the interrupt is due.
    pub(crate) fn count(&mut self, f: Fields, now: Nanos) -> bool {
        self.frames = self.frames.saturating_add(1);
        if f.thr != 0 && u32::from(self.frames) >= f.thr {
            *self = Self::default();
            return true;
        }
        if f.cnt != 0 && self.deadline.is_none() {
            self.deadline = Some(now.saturating_add(Nanos::from(f.cnt) * f.unit));
        }
        false
    }

    /// Whether the timer has run out.
    pub(crate) fn expire(&mut self, now: Nanos) -> bool {
        let due = self.deadline.is_some_and(|d| d <= now);
        if due {
            *self = Self::default();
        }
        due
    }

    /// An interrupt was raised for another reason: it covers the frames that waited.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
