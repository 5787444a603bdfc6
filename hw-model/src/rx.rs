//! Reception: from the wire to the ring.
//!
//! A frame that passes the filters goes into as many descriptors as its length over RBSR asks for. While the ring has not
//! that many, NO_RXBUF is raised and the frame waits in the FIFO (RPKT_FIFO); one that the FIFO has no room for is lost with
//! RPKT_LOST. The FIFO is looked at again with every frame, RXPD or MACCR write, and by APTC. It holds 2 KiB shifted by
//! FEAR's field, in order, and RBSR of 0 or a ring too short for a frame loses it.
//!
//! In the buffer are the frame and the four FCS bytes as they were on the wire; VDBC of each descriptor counts what is in its
//! buffer. A frame over the limit, FCS and all, is cut there, with FTL. With RM_VLAN the tag is not in the buffer; RUNT
//! is decided on what is left, so a 64-byte tagged frame arrives as a runt of 60, as on the real chip. Status bits are in the
//! first and the last descriptor of a frame.
//!
//! Not modelled: RX_ERR and RX_ODD_NB (no line code), FIFO_FULL, pause frames.

use crate::Nanos;
use crate::descriptor::{self, Desc, rxdes0, rxdes1};
use crate::filter::{self, Dst};
use crate::frame::{Fcs, Frame};
use crate::mac::Core;
use crate::mem::{BusError, DmaAddr, DmaMem};
use crate::mitigation::Fields;
use crate::offload;
use crate::regs::{Reg, int, maccr};

/// What became of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxOutcome {
    /// In receive buffers.
    Stored,
    /// In the FIFO until a descriptor is free.
    Waiting,
    /// Kept out.
    Filtered(Filtered),
    /// Lost.
    Lost(Lost),
}

/// Why a frame was kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// For somebody else.
    Address,
    /// A wrong FCS, with DISCARD_CRCERR.
    Fcs,
    /// Under 64 bytes with the FCS, without RX_RUNT; or too short for an Ethernet header.
    Runt,
}

/// Why a frame was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The PHY has no link.
    NoLink,
    /// RXMAC_EN is off.
    MacOff,
    /// No descriptor was free and the FIFO was full.
    FifoFull,
    /// The ring or RBSR can never hold it.
    Unfit,
    /// A descriptor or a buffer could not be reached.
    Bus,
}

/// Why a frame is not in the ring.
enum Refused {
    NoDescriptor,
    Unfit,
    Bus,
}

impl From<BusError> for Refused {
    fn from(_: BusError) -> Self {
        Self::Bus
    }
}

/// What is put into the buffers.
struct Image {
    /// Bytes of the frame before and after the hole that a removed tag leaves.
    front: usize,
    back: (usize, usize),
    fcs: [u8; 4],
    fcs_len: usize,
    w0: u32,
    w1: u32,
}

impl Image {
    fn len(&self) -> usize {
        self.front + self.back.1 + self.fcs_len
    }
}

impl Core {
    /// A frame arrives; its last bit is here at `now`.
    pub(crate) fn rx(&mut self, mem: &mut DmaMem, now: Nanos, f: &Frame) -> RxOutcome {
        if !self.link() {
            self.stats.rx_lost += 1;
            return RxOutcome::Lost(Lost::NoLink);
        }
        self.rx_inside(mem, now, f)
    }

    /// A frame arrives from the PHY or the loopback.
    pub(crate) fn rx_inside(&mut self, mem: &mut DmaMem, now: Nanos, f: &Frame) -> RxOutcome {
        if !self.s.on(maccr::RXMAC_EN) {
            self.stats.rx_lost += 1;
            return RxOutcome::Lost(Lost::MacOff);
        }
        if let Some(why) = self.keep_out(f) {
            self.stats.rx_filtered += 1;
            return RxOutcome::Filtered(why);
        }
        if !self.fifo.is_empty() {
            self.rx_drain(mem, now);
        }
        if !self.fifo.is_empty() || !self.s.on(maccr::RXDMA_EN) {
            return self.enqueue(now, f);
        }
        match self.store(mem, now, f) {
            Ok(()) => RxOutcome::Stored,
            Err(Refused::NoDescriptor) => {
                self.s.raise(int::NO_RXBUF);
                self.enqueue(now, f)
            }
            Err(why) => self.lose(&why),
        }
    }

    /// Moves what waits in the FIFO to the ring.
    pub(crate) fn rx_drain(&mut self, mem: &mut DmaMem, now: Nanos) {
        while self.s.on(maccr::RXDMA_EN | maccr::RXMAC_EN) {
            let Some(f) = self.fifo.pop_front() else {
                break;
            };
            match self.store(mem, now, &f) {
                Ok(()) => {}
                Err(Refused::NoDescriptor) => {
                    self.s.raise(int::NO_RXBUF);
                    self.fifo.push_front(f);
                    break;
                }
                Err(why) => {
                    self.lose(&why);
                }
            }
            self.fifo_bytes -= f.len();
        }
    }

    fn lose(&mut self, why: &Refused) -> RxOutcome {
        self.stats.rx_lost += 1;
        RxOutcome::Lost(match why {
            Refused::Bus => {
                self.ahb_error();
                Lost::Bus
            }
            Refused::Unfit | Refused::NoDescriptor => {
                self.s.raise(int::NO_RXBUF | int::RPKT_LOST);
                Lost::Unfit
            }
        })
    }

    fn enqueue(&mut self, now: Nanos, f: &Frame) -> RxOutcome {
        let room = 2048usize << (self.s.get(Reg::FEAR) & 7);
        if self.fifo_bytes + f.len() > room {
            self.s.raise(int::RPKT_LOST);
            self.stats.rx_lost += 1;
            return RxOutcome::Lost(Lost::FifoFull);
        }
        self.s.raise(int::RPKT_FIFO);
        self.fifo_bytes += f.len();
        self.fifo.push_back(f.clone());
        self.arm_polls(now);
        RxOutcome::Waiting
    }

    fn keep_out(&self, f: &Frame) -> Option<Filtered> {
        let mut scratch = [0; 14];
        let h = f.header(&mut scratch);
        let Some(dst) = h.first_chunk::<6>().filter(|_| h.len() >= 14) else {
            return Some(Filtered::Runt);
        };
        if f.len() < 60 && !self.s.on(maccr::RX_RUNT) {
            return Some(Filtered::Runt);
        }
        if f.fcs == Fcs::Bad && self.s.on(maccr::DISCARD_CRCERR) {
            return Some(Filtered::Fcs);
        }
        if !filter::accepts(&self.s, dst, Dst::of(dst)) {
            return Some(Filtered::Address);
        }
        None
    }

    /// What the buffers and the status words get of a frame.
    fn image(&self, f: &Frame) -> Image {
        let mut scratch = [0; 18];
        let h = f.header(&mut scratch);
        let tci = offload::vlan_tci(h);
        let (mut w0, mut w1) = (0, offload::check(f));
        if let Some(dst) = h.first_chunk::<6>() {
            w0 |= match Dst::of(dst) {
                Dst::Unicast => 0,
                Dst::Multicast => rxdes0::MULTICAST,
                Dst::Broadcast => rxdes0::BROADCAST,
            };
        }
        let limit = if self.s.on(maccr::JUMBO_LF) { 9216 } else { 1518 }
            + if tci.is_some() { 4 } else { 0 };
        // The cut may fall into the FCS.
        let end = f.len().min(limit);
        let fcs_len = (limit - end).min(4);
        let mut fcs = [0; 4];
        if fcs_len > 0 {
            fcs = f.crc();
        }
        if fcs_len < 4 {
            w0 |= rxdes0::FTL;
        }
        if f.fcs == Fcs::Bad {
            w0 |= rxdes0::CRC_ERR;
            fcs = fcs.map(|b| !b);
        }
        let (mut front, mut back) = (end, (end, 0));
        if let Some(tci) = tci {
            w1 |= rxdes1::VLANTAG_AVAIL | u32::from(tci);
            if self.s.on(maccr::RM_VLAN) {
                (front, back) = (12, (16, end.saturating_sub(16)));
            }
        }
        let image = Image { front, back, fcs, fcs_len, w0, w1 };
        if image.len() < 64 {
            return Image { w0: image.w0 | rxdes0::RUNT, ..image };
        }
        image
    }

    /// The descriptor behind one.
    fn rx_next(&self, at: DmaAddr, w0: u32) -> DmaAddr {
        if w0 & self.descriptors.end_of_ring() != 0 {
            DmaAddr(self.s.get(Reg::RXR_BADR))
        } else {
            at.offset((self.s.get(Reg::DBLAC) >> 12 & 0xf) * 8)
        }
    }

    /// Whether the next `need` descriptors are free.
    fn rx_free(&self, mem: &DmaMem, need: usize) -> Result<(), Refused> {
        let mut at = self.s.rx_ptr;
        for i in 0..need {
            if i > 0 && at == self.s.rx_ptr {
                return Err(Refused::Unfit);
            }
            let d = Desc::load(mem, at)?;
            if d.w0 & rxdes0::RXPKT_RDY != 0 {
                return Err(Refused::NoDescriptor);
            }
            at = self.rx_next(at, d.w0);
        }
        Ok(())
    }

    /// Puts a frame into the ring.
    fn store(&mut self, mem: &mut DmaMem, now: Nanos, f: &Frame) -> Result<(), Refused> {
        let size = self.s.get(Reg::RBSR) as usize;
        if size == 0 {
            return Err(Refused::Unfit);
        }
        // A frame that finds no descriptor costs the look only.
        self.rx_free(mem, 1)?;
        let image = self.image(f);
        let need = image.len().div_ceil(size).max(1);
        if need > 1 {
            self.rx_free(mem, need)?;
        }
        let mut at = self.s.rx_ptr;
        let mut parts = Parts::new(f, &image);
        for i in 0..need {
            let d = Desc::load(mem, at)?;
            let n = size.min(image.len() - i * size);
            parts.fill(mem.bytes_mut(d.buf, n as u32)?);
            let (first, last) = (i == 0, i + 1 == need);
            let mut w0 = d.w0 & self.descriptors.end_of_ring();
            w0 |= rxdes0::RXPKT_RDY | n as u32 & rxdes0::VDBC;
            let mut w1 = 0;
            if first || last {
                w0 |= image.w0;
                w1 = image.w1;
            }
            w0 |= if first { rxdes0::FRS } else { 0 } | if last { rxdes0::LRS } else { 0 };
            descriptor::store(mem, at, w0, w1)?;
            at = self.rx_next(at, d.w0);
            self.s.rx_ptr = at;
        }
        self.stats.rx_frames += 1;
        let itc = Fields::rx(self.s.get(Reg::ITC), self.s.get(Reg::MACCR));
        if itc.off() || self.s.rx_pending.count(itc, now) {
            self.s.raise(int::RPKT_BUF);
        }
        Ok(())
    }
}

/// The bytes of an [`Image`], handed out buffer by buffer.
struct Parts<'a> {
    f: &'a Frame,
    /// Ranges of the frame that are still to come.
    ranges: [(usize, usize); 2],
    fcs: &'a [u8],
}

impl<'a> Parts<'a> {
    fn new(f: &'a Frame, i: &'a Image) -> Self {
        Self { f, ranges: [(0, i.front), i.back], fcs: &i.fcs[..i.fcs_len] }
    }

    fn fill(&mut self, out: &mut [u8]) {
        let mut done = 0;
        for (at, left) in &mut self.ranges {
            let n = (*left).min(out.len() - done);
            if n == 0 {
                continue;
            }
            if let Some(whole) = self.f.in_head(*at, n) {
                out[done..done + n].copy_from_slice(whole);
                done += n;
            } else {
                for c in self.f.range(*at, n) {
                    out[done..done + c.len()].copy_from_slice(c);
                    done += c.len();
                }
            }
            *at += n;
            *left -= n;
        }
        let n = self.fcs.len().min(out.len() - done);
        out[done..done + n].copy_from_slice(&self.fcs[..n]);
        self.fcs = &self.fcs[n..];
    }
}
