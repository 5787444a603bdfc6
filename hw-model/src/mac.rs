//! One MAC: its state, one match for reads, one for writes, reset and the interrupt line.

use crate::Nanos;
use crate::descriptor::Descriptors;
use crate::frame::Frame;
use crate::mem::{DmaAddr, DmaMem};
use crate::mitigation::Pending;
use crate::phy::Phy;
use crate::regs::{Access, RESET, Reg, WORDS, int, maccr};
use crate::rx::RxOutcome;
use crate::tx::TxState;
use crate::{mdio, mitigation};
use std::collections::VecDeque;

/// State that registers show; the default is that after power-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    words: [u32; WORDS],
    pub(crate) tx_ptr: DmaAddr,
    pub(crate) rx_ptr: DmaAddr,
    pub(crate) rx_pending: Pending,
    pub(crate) tx_pending: Pending,
    /// When automatic polling looks at a ring next.
    pub(crate) rx_poll: Option<Nanos>,
    pub(crate) tx_poll: Option<Nanos>,
    pub(crate) phy: Phy,
}

impl Default for State {
    fn default() -> Self {
        Self {
            words: RESET,
            tx_ptr: DmaAddr(0),
            rx_ptr: DmaAddr(0),
            rx_pending: Pending::default(),
            tx_pending: Pending::default(),
            rx_poll: None,
            tx_poll: None,
            phy: Phy::default(),
        }
    }
}

impl State {
    #[inline]
    pub(crate) fn get(&self, r: Reg) -> u32 {
        self.words.get((r.0 / 4) as usize).copied().unwrap_or(0)
    }

    /// Writes a register's writable bits.
    pub(crate) fn set(&mut self, r: Reg, v: u32) {
        if let Some(w) = self.words.get_mut((r.0 / 4) as usize) {
            *w = v;
        }
    }

    #[inline]
    pub(crate) fn on(&self, bits: u32) -> bool {
        self.get(Reg::MACCR) & bits == bits
    }

    #[inline]
    pub(crate) fn raise(&mut self, bits: u32) {
        self.words[0] |= bits;
    }

    /// The station address.
    pub(crate) fn mac_addr(&self) -> [u8; 6] {
        let [_, _, a, b] = self.get(Reg::MAC_MADR).to_be_bytes();
        let [c, d, e, f] = self.get(Reg::MAC_LADR).to_be_bytes();
        [a, b, c, d, e, f]
    }

    fn set_mac_addr(&mut self, [a, b, c, d, e, f]: [u8; 6]) {
        self.set(Reg::MAC_MADR, u32::from_be_bytes([0, 0, a, b]));
        self.set(Reg::MAC_LADR, u32::from_be_bytes([c, d, e, f]));
    }

    /// Software reset: all but the speed bits, the station address and the PHY, which is another chip.
    fn soft_reset(&mut self, speed: u32) {
        let (addr, phy) = (self.mac_addr(), self.phy);
        *self = Self { phy, ..Self::default() };
        self.set_mac_addr(addr);
        self.set(Reg::MACCR, speed & (maccr::GIGA_MODE | maccr::FAST_MODE));
    }
}

/// What happened in a MAC, for tests and reports; no driver sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Accesses to offsets where no register is.
    pub bad_offset: u32,
    /// Frames put on the wire.
    pub tx_frames: u64,
    /// Frames that were fetched and could not be sent: too long, cut short by a new first segment, no link.
    pub tx_lost: u64,
    /// Transmit descriptors outside a frame.
    pub tx_orphans: u64,
    /// Frames stored in receive buffers.
    pub rx_frames: u64,
    /// Frames that the filters kept out.
    pub rx_filtered: u64,
    /// Frames lost for want of a descriptor, FIFO room, a link or an enabled receiver.
    pub rx_lost: u64,
    /// Bus master accesses that failed.
    pub ahb_errors: u64,
}

/// An FTGMAC100 with its PHY.
#[derive(Clone, Debug, Default)]
pub struct Mac {
    core: Core,
}

impl Mac {
    /// A MAC after power-on, with the station address that its straps give it.
    pub fn new(strap: [u8; 6], descriptors: Descriptors) -> Self {
        let mut core = Core { strap, descriptors, ..Core::default() };
        core.s.set_mac_addr(strap);
        Self { core }
    }

    /// Power-on reset: everything but the board's wiring.
    pub fn power_on(&mut self) {
        let rate = self.core.rate_bps;
        *self = Self::new(self.core.strap, self.core.descriptors);
        self.set_rate(rate);
    }

    /// Reads a register; an offset where none is reads 0 and is counted.
    pub fn readl(&mut self, _mem: &DmaMem, reg: Reg) -> u32 {
        self.core.readl(reg)
    }

    /// Writes a register; what the write starts is done before it returns.
    pub fn writel(&mut self, mem: &mut DmaMem, now: Nanos, reg: Reg, v: u32) {
        self.core.writel(mem, now, reg, v);
    }

    /// A frame arrives; its last bit is here at `now`. A frame under 60 bytes is a runt: senders pad
    /// ([`Frame::padded`]).
    pub fn rx(&mut self, mem: &mut DmaMem, now: Nanos, f: &Frame) -> RxOutcome {
        self.core.rx(mem, now, f)
    }

    /// The interrupt line: level, high while an enabled status bit is set.
    pub fn irq(&self) -> bool {
        self.core.s.get(Reg::ISR) & self.core.s.get(Reg::IER) != 0
    }

    /// The next frame that was put on the wire, with the time its last bit left.
    pub fn tx_pop(&mut self) -> Option<(Nanos, Frame)> {
        self.core.out.pop_front()
    }

    /// Whether [`Mac::tx_pop`] has a frame.
    pub fn has_sent(&self) -> bool {
        !self.core.out.is_empty()
    }

    /// When the MAC wants [`Mac::advance`] next: a mitigation timer, a ring to be polled, a frame whose last bit leaves.
    pub fn next_event(&self) -> Option<Nanos> {
        self.core.next_event()
    }

    /// Does what is due up to `now`, each at its own time.
    pub fn advance(&mut self, mem: &mut DmaMem, now: Nanos) {
        if self.next_event().is_some_and(|at| at <= now) {
            self.core.advance(mem, now);
        }
    }

    /// Plugs or pulls the cable.
    pub fn set_link(&mut self, up: bool) {
        self.core.set_link(up);
    }

    /// Whether the PHY has a link.
    pub fn link(&self) -> bool {
        self.core.link()
    }

    /// Bits a second at which frames leave; `None`: at once. With a rate, a frame's XPKT_ETH comes when its last bit
    /// has left, and the next descriptors are fetched then.
    pub fn set_rate(&mut self, bps: Option<u64>) {
        self.core.rate_bps = bps;
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.core.stats
    }

    /// The station address as the registers have it.
    pub fn mac_addr(&self) -> [u8; 6] {
        self.core.s.mac_addr()
    }
}

/// All of a MAC.
#[derive(Clone, Debug, Default)]
pub(crate) struct Core {
    pub(crate) s: State,
    pub(crate) tx: TxState,
    /// Frames received that wait for a descriptor, and their bytes.
    pub(crate) fifo: VecDeque<Frame>,
    pub(crate) fifo_bytes: usize,
    /// Frames on the wire and when their last bit left.
    pub(crate) out: VecDeque<(Nanos, Frame)>,
    pub(crate) stats: Stats,
    pub(crate) descriptors: Descriptors,
    pub(crate) rate_bps: Option<u64>,
    strap: [u8; 6],
}

impl Core {
    /// Reads a register.
    fn readl(&mut self, reg: Reg) -> u32 {
        let Some(info) = reg.info() else {
            self.stats.bad_offset = self.stats.bad_offset.saturating_add(1);
            return 0;
        };
        match reg {
            Reg::NPTXR_PTR => self.s.tx_ptr.0,
            Reg::RXR_PTR => self.s.rx_ptr.0,
            _ if info.access == Access::Wo => 0,
            _ => self.s.get(reg),
        }
    }

    /// Writes a register; what the write starts is done before it returns.
    fn writel(&mut self, mem: &mut DmaMem, now: Nanos, reg: Reg, v: u32) {
        let Some(info) = reg.info() else {
            self.stats.bad_offset = self.stats.bad_offset.saturating_add(1);
            return;
        };
        let old = self.s.get(reg);
        let kept = old & !info.mask | v & info.mask;
        match reg {
            Reg::NPTXPD => self.tx_poll(mem, now),
            Reg::RXPD => self.rx_drain(mem, now),
            Reg::NPTXR_BADR if v & !info.mask == 0 => {
                self.s.set(reg, v);
                self.s.tx_ptr = DmaAddr(v);
            }
            Reg::RXR_BADR if v & !info.mask == 0 => {
                self.s.set(reg, v);
                self.s.rx_ptr = DmaAddr(v);
            }
            Reg::NPTXR_BADR | Reg::RXR_BADR => {}
            Reg::HPTXR_BADR if v & !info.mask != 0 => {}
            Reg::DBLAC => {
                // A descriptor shorter than its four words is refused with the whole write.
                if kept >> 12 & 0xf >= 2 && kept >> 16 & 0xf >= 2 {
                    self.s.set(reg, kept);
                }
            }
            Reg::MACCR if v & maccr::SW_RST != 0 => self.soft_reset(v),
            Reg::MACCR => {
                self.s.set(reg, kept);
                self.rx_drain(mem, now);
                self.arm_polls(now);
            }
            Reg::APTC => {
                self.s.set(reg, kept);
                self.arm_polls(now);
            }
            Reg::PHYCR => {
                let before = self.s.phy.interrupt();
                mdio::write_phycr(&mut self.s, v & info.mask);
                self.phy_interrupt(before);
            }
            _ => match info.access {
                Access::Rw => self.s.set(reg, kept),
                Access::Rw1c => self.s.set(reg, old & !(v & info.mask)),
                Access::Ro | Access::Wo => {}
            },
        }
    }

    /// When the MAC wants [`Core::advance`] next: a mitigation timer, a ring to be polled, a frame whose last bit leaves.
    fn next_event(&self) -> Option<Nanos> {
        let s = &self.s;
        [s.rx_pending.deadline, s.tx_pending.deadline, s.rx_poll, s.tx_poll, self.tx.done_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due up to `now`, each at its own time.
    fn advance(&mut self, mem: &mut DmaMem, now: Nanos) {
        while let Some(at) = self.next_event().filter(|&at| at <= now) {
            if self.tx.done_at() == Some(at) {
                self.tx_done(mem, at);
            }
            if self.s.rx_pending.expire(at) {
                self.s.raise(int::RPKT_BUF);
            }
            if self.s.tx_pending.expire(at) {
                self.s.raise(int::XPKT_ETH);
            }
            if self.s.rx_poll.is_some_and(|p| p <= at) {
                self.rx_drain(mem, at);
                self.s.rx_poll = self.rx_poll_period().and_then(|p| skip_to(at, p, now));
            }
            if self.s.tx_poll.is_some_and(|p| p <= at) {
                self.s.tx_poll = self.tx_poll_period().and_then(|p| skip_to(at, p, now));
                self.tx_poll(mem, at);
            }
        }
    }

    /// Plugs or pulls the cable.
    fn set_link(&mut self, up: bool) {
        let before = self.s.phy.interrupt();
        self.s.phy.set_cable(up);
        self.phy_interrupt(before);
    }

    /// Whether the PHY has a link.
    pub(crate) fn link(&self) -> bool {
        self.s.phy.link()
    }

    fn soft_reset(&mut self, speed: u32) {
        self.s.soft_reset(speed);
        self.stats.tx_lost += std::mem::take(&mut self.tx).frames();
        self.tx = TxState::default();
        self.stats.rx_lost += self.fifo.len() as u64;
        self.fifo.clear();
        self.fifo_bytes = 0;
    }

    fn phy_interrupt(&mut self, before: bool) {
        if !before && self.s.phy.interrupt() {
            self.s.raise(int::PHYSTS_CHG);
        }
    }

    pub(crate) fn ahb_error(&mut self) {
        self.stats.ahb_errors += 1;
        self.s.raise(int::AHB_ERR);
    }

    /// The receive ring is polled only while a frame waits for it.
    fn rx_poll_period(&self) -> Option<Nanos> {
        let on = !self.fifo.is_empty() && self.s.on(maccr::RXDMA_EN | maccr::RXMAC_EN);
        mitigation::poll_period(self.s.get(Reg::APTC), self.s.get(Reg::MACCR)).filter(|_| on)
    }

    fn tx_poll_period(&self) -> Option<Nanos> {
        let on = self.s.on(maccr::TXDMA_EN | maccr::TXMAC_EN);
        mitigation::poll_period(self.s.get(Reg::APTC) >> 8, self.s.get(Reg::MACCR)).filter(|_| on)
    }

    /// Starts the polling timers that have something to look for and stops the others.
    pub(crate) fn arm_polls(&mut self, now: Nanos) {
        let (rx, tx) = (self.rx_poll_period(), self.tx_poll_period());
        self.s.rx_poll = rx.map(|p| self.s.rx_poll.unwrap_or(now.saturating_add(p)));
        self.s.tx_poll = tx.map(|p| self.s.tx_poll.unwrap_or(now.saturating_add(p)));
    }
}

/// The next look at a ring after that at `at`. The looks between `at` and `now` would all see what the first one sees:
/// nobody writes descriptors while time passes.
fn skip_to(at: Nanos, period: Nanos, now: Nanos) -> Option<Nanos> {
    let behind = now.saturating_sub(at) / period.max(1);
    at.checked_add(period.max(1).checked_mul(behind + 1)?)
}
