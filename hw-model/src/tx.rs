//! Transmission: from the ring to the wire.
//!
//! A doorbell walks the ring from the current descriptor while the hardware owns it, gathers the segments from FTS to LTS
//! into a frame, gives each descriptor back as it is fetched, wraps behind EDOTR and stops at a descriptor that the
//! software owns, with NO_NPTXBUF. A frame whose last segment is not there yet stays in the FIFO until the next doorbell.
//! Short frames are not padded, as on the real chip. A frame over [`MAX_FRAME`] bytes is lost with XPKT_LOST, one of no
//! bytes is given back and nothing is sent.

use crate::Nanos;
use crate::descriptor::{self, Desc, txdes0, txdes1};
use crate::frame::{Fcs, Frame};
use crate::mac::Core;
use crate::mem::DmaMem;
use crate::mitigation::Fields;
use crate::offload;
use crate::regs::{Reg, int, maccr};

/// Descriptors that a doorbell walks at most.
pub const MAX_WALK: u32 = 0x1_0000;
/// The longest frame that is sent, bytes.
pub const MAX_FRAME: usize = 0xffff;
/// Preamble and gap between frames, bytes.
const OVERHEAD: u64 = 20;

/// A frame on its way: being gathered, or leaving bit by bit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sending {
    frame: Frame,
    /// Word 1 of its first descriptor.
    des1: u32,
    /// Over [`MAX_FRAME`].
    oversize: bool,
    /// When its last bit leaves.
    done: Nanos,
}

/// State of the transmitter that no register shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TxState {
    gathered: Option<Box<Sending>>,
    leaving: Option<Box<Sending>>,
}

impl TxState {
    /// When the frame on the line is gone.
    pub(crate) fn done_at(&self) -> Option<Nanos> {
        self.leaving.as_ref().map(|s| s.done)
    }

    /// Frames that are on their way.
    pub(crate) fn frames(&self) -> u64 {
        u64::from(self.gathered.is_some()) + u64::from(self.leaving.is_some())
    }
}

/// What a look at a descriptor led to.
enum Step {
    More,
    Stop,
    Frame(Sending),
}

/// When the last bit of a frame leaves that starts now.
pub(crate) fn leaves(now: Nanos, rate_bps: u64, len: usize) -> Nanos {
    let bits = ((len as u64 + 4).max(64) + OVERHEAD) * 8;
    now.saturating_add(bits.saturating_mul(1_000_000_000).div_ceil(rate_bps.max(1)))
}

impl Core {
    /// The doorbell.
    pub(crate) fn tx_poll(&mut self, mem: &mut DmaMem, now: Nanos) {
        let mut sending = self.tx.gathered.take().map(|b| *b);
        for _ in 0..MAX_WALK {
            if self.tx.leaving.is_some() || !self.s.on(maccr::TXDMA_EN | maccr::TXMAC_EN) {
                break;
            }
            match self.tx_step(mem, &mut sending) {
                Step::More => {}
                Step::Stop => break,
                Step::Frame(f) => self.tx_frame(mem, now, f),
            }
        }
        self.tx.gathered = sending.map(Box::new);
    }

    /// Fetches one descriptor and its segment.
    fn tx_step(&mut self, mem: &mut DmaMem, sending: &mut Option<Sending>) -> Step {
        let at = self.s.tx_ptr;
        let Ok(d) = Desc::load(mem, at) else {
            self.ahb_error();
            *sending = None;
            return Step::Stop;
        };
        if d.w0 & txdes0::TXDMA_OWN == 0 {
            self.s.raise(int::NO_NPTXBUF);
            return Step::Stop;
        }
        let len = d.w0 & txdes0::TXBUF_SIZE;
        let seg = match mem.bytes(d.buf, len) {
            Ok(seg) => seg,
            Err(_) if len == 0 => &[],
            // The descriptor stays the hardware's, so that the driver finds where it went wrong.
            Err(_) => {
                self.ahb_error();
                *sending = None;
                return Step::Stop;
            }
        };
        if d.w0 & txdes0::FTS != 0 {
            self.stats.tx_lost += u64::from(sending.is_some());
            *sending =
                Some(Sending { frame: Frame::default(), des1: d.w1, oversize: false, done: 0 });
        }
        match sending {
            Some(s) if s.frame.len() + seg.len() > MAX_FRAME => s.oversize = true,
            Some(s) => {
                let own = s.frame.room(len);
                s.frame.append(&seg[..own as usize]);
                if own < len
                    && let Ok(rest) = mem.slice(d.buf.offset(own), len - own)
                {
                    s.frame.push(rest);
                }
            }
            None => self.stats.tx_orphans += 1,
        }
        if descriptor::store(mem, at, d.w0 & !txdes0::TXDMA_OWN, d.w1).is_err() {
            self.ahb_error();
            return Step::Stop;
        }
        self.s.tx_ptr = if d.w0 & self.descriptors.end_of_ring() != 0 {
            crate::mem::DmaAddr(self.s.get(Reg::NPTXR_BADR))
        } else {
            at.offset((self.s.get(Reg::DBLAC) >> 16 & 0xf) * 8)
        };
        match sending.take() {
            Some(s) if d.w0 & txdes0::LTS != 0 => Step::Frame(s),
            s => {
                *sending = s;
                Step::More
            }
        }
    }

    /// A frame is whole: offload, then onto the line.
    fn tx_frame(&mut self, mem: &mut DmaMem, now: Nanos, mut s: Sending) {
        if s.oversize {
            self.stats.tx_lost += 1;
            self.s.raise(int::XPKT_LOST);
            return;
        }
        if s.des1 & txdes1::TX2FIC != 0 {
            self.s.raise(int::XPKT_FIFO);
        }
        if s.frame.is_empty() {
            self.stats.tx_lost += 1;
            return;
        }
        offload::insert_checksums(&mut s.frame, s.des1);
        if s.des1 & txdes1::INS_VLANTAG != 0 {
            offload::insert_vlan(&mut s.frame, s.des1 as u16);
        }
        if !self.s.on(maccr::CRC_APD) {
            // The software brought its own FCS.
            let fcs = s.frame.take_trailer();
            s.frame.fcs = if fcs == Some(s.frame.crc()) { Fcs::Good } else { Fcs::Bad };
        }
        match self.rate_bps {
            Some(bps) => {
                s.done = leaves(now, bps, s.frame.len());
                self.tx.leaving = Some(Box::new(s));
            }
            None => self.tx_sent(mem, now, s),
        }
    }

    /// The last bit has left.
    fn tx_sent(&mut self, mem: &mut DmaMem, now: Nanos, s: Sending) {
        if s.des1 & txdes1::TXIC != 0 {
            self.s.tx_pending.clear();
            self.s.raise(int::XPKT_ETH);
        } else {
            let f = Fields::tx(self.s.get(Reg::ITC), self.s.get(Reg::MACCR));
            if !f.off() && self.s.tx_pending.count(f, now) {
                self.s.raise(int::XPKT_ETH);
            }
        }
        if self.s.on(maccr::LOOP_EN) {
            self.stats.tx_frames += 1;
            self.rx_inside(mem, now, &s.frame);
        } else if self.link() {
            self.stats.tx_frames += 1;
            self.out.push_back((now, s.frame));
        } else {
            self.stats.tx_lost += 1;
        }
    }

    /// The line is free again.
    pub(crate) fn tx_done(&mut self, mem: &mut DmaMem, now: Nanos) {
        if let Some(s) = self.tx.leaving.take() {
            self.tx_sent(mem, now, *s);
            self.tx_poll(mem, now);
        }
    }
}
