//! The device's private state, its rings, and its way from reset to running.

use super::regs::*;
use super::tx::ftgmac100_free_tx_packet;
use super::{mdio, rx};
use crate::Nanos;
use crate::net::core::dev::NetDeviceStats;
use crate::net::core::skbuff::{DropReason, SKB_HEAD, SkbAccounting, skb_free};
use crate::net::core::sock::{SkbQueue, Wmem};
use hw_model::{Board, DmaAddr, Reg};

/// `DEF_RX_QUEUE_ENTRIES`, `DEF_TX_QUEUE_ENTRIES`.
pub(super) const RX_QUEUE_ENTRIES: usize = 128;
pub(super) const TX_QUEUE_ENTRIES: usize = 128;
/// `RX_BUF_SIZE`: also the longest frame that is sent.
pub(super) const RX_BUF_SIZE: u32 = 1536;
const DESCRIPTOR_BYTES: u32 = 16;
/// Linear parts that a page takes, and the pages that all descriptors need.
pub(super) const TX_HEADS_A_PAGE: usize = 4096 / SKB_HEAD;
const TX_HEAD_PAGES: usize = TX_QUEUE_ENTRIES.div_ceil(TX_HEADS_A_PAGE);

/// What a driver reaches besides its own state.
pub(super) struct DriverIo<'a> {
    pub(super) hw: &'a mut Board,
    pub(super) skbs: &'a mut SkbAccounting,
    pub(super) wmem: &'a mut Wmem,
    pub(super) stats: &'a mut NetDeviceStats,
    pub(super) now: Nanos,
}

impl DriverIo<'_> {
    pub(super) fn read(&mut self, index: usize, reg: Reg) -> u32 {
        self.hw.macs[index].readl(&self.hw.mem, reg)
    }

    pub(super) fn write(&mut self, index: usize, reg: Reg, value: u32) {
        self.hw.macs[index].writel(&mut self.hw.mem, self.now, reg, value);
    }

    /// The first word of a descriptor. Rings are our own coherent memory, so a bus error means
    /// that the ring is gone; it reads as zero, which no path takes for work.
    pub(super) fn desc0(&self, ring: DmaAddr, index: usize) -> u32 {
        self.hw.mem.read_u32(desc_addr(ring, index)).unwrap_or(0)
    }

    /// A whole descriptor.
    pub(super) fn read_desc(&self, ring: DmaAddr, index: usize) -> [u32; 4] {
        match self.hw.mem.bytes(desc_addr(ring, index), DESCRIPTOR_BYTES) {
            Ok(bytes) => {
                let mut words = [0; 4];
                for (word, b) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = u32::from_le_bytes(*b);
                }
                words
            }
            Err(_) => [0; 4],
        }
    }

    /// Writes a whole descriptor; the hardware looks at it only when it is told to.
    pub(super) fn write_desc(&mut self, ring: DmaAddr, index: usize, words: [u32; 4]) {
        if let Ok(bytes) = self.hw.mem.bytes_mut(desc_addr(ring, index), DESCRIPTOR_BYTES) {
            for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
                *to = word.to_le_bytes();
            }
        }
    }
}

fn desc_addr(ring: DmaAddr, index: usize) -> DmaAddr {
    ring.offset(index as u32 * DESCRIPTOR_BYTES)
}

/// `struct ftgmac100`.
#[derive(Clone, Debug)]
pub(crate) struct Ftgmac100 {
    /// Which MAC of the board.
    pub(super) mac: usize,
    pub(super) dev_addr: [u8; 6],
    /// What a received buffer is charged.
    pub(super) rx_truesize: u32,
    pub(super) rxdes: DmaAddr,
    pub(super) txdes: DmaAddr,
    /// Where the linear parts of outgoing frames stand for the device, one place a descriptor, page by page: after a
    /// snapshot, only the page that is written is copied.
    pub(super) tx_heads: [DmaAddr; TX_HEAD_PAGES],
    /// Buffer of each receive descriptor.
    pub(super) rx_maps: Vec<DmaAddr>,
    pub(super) rx_pointer: usize,
    /// Frames in the ring, oldest first.
    pub(super) tx_skbs: SkbQueue,
    pub(super) tx_pointer: usize,
    pub(super) tx_clean_pointer: usize,
    pub(super) maccr: u32,
    /// Groups to let through, by their hash (`maht0`, `maht1`).
    pub(super) maht: u64,
    pub(super) running: bool,
    pub(super) link: bool,
    pub(super) cur_speed: u32,
    pub(super) need_mac_restart: bool,
    /// An AHB error asked for the reset task.
    pub(super) need_reset: bool,
}

impl Ftgmac100 {
    /// Which MAC of the board.
    pub(crate) fn mac(&self) -> usize {
        self.mac
    }

    /// Where it stands in its rings, under Linux's names.
    pub(crate) fn pointers(&self) -> [(&'static str, usize); 3] {
        [
            ("rx_pointer", self.rx_pointer),
            ("tx_pointer", self.tx_pointer),
            ("tx_clean_pointer", self.tx_clean_pointer),
        ]
    }

    /// `ftgmac100_probe`: the device at rest.
    pub(crate) fn new(mac: usize, dev_addr: [u8; 6], profile: &crate::profile::Profile) -> Self {
        // netdev_alloc_skb(): a page fragment with headroom, aligned to a cache line.
        let data = (RX_BUF_SIZE + profile.net_ip_align + 64).next_multiple_of(64);
        Self {
            mac,
            dev_addr,
            rx_truesize: profile.skb_truesize(data),
            rxdes: DmaAddr(0),
            txdes: DmaAddr(0),
            tx_heads: [DmaAddr(0); TX_HEAD_PAGES],
            rx_maps: Vec::new(),
            rx_pointer: 0,
            tx_skbs: SkbQueue::default(),
            tx_pointer: 0,
            tx_clean_pointer: 0,
            maccr: 0,
            maht: 0,
            running: false,
            link: false,
            cur_speed: 0,
            need_mac_restart: false,
            need_reset: false,
        }
    }

    /// The board's number of the MAC.
    pub(crate) fn mac_index(&self) -> usize {
        self.mac
    }

    /// Link state as the PHY last told it: speed in Mbit/s, `None` while it is down.
    pub(crate) fn link(&self) -> Option<u32> {
        self.link.then_some(self.cur_speed)
    }

    /// Whether the interrupt line asks for the handler.
    pub(crate) fn irq(&self, hw: &Board) -> bool {
        hw.macs[self.mac].irq()
    }

    /// Buffers in the transmit ring, for the leak check.
    pub(crate) fn queued_skbs(&self) -> usize {
        self.tx_skbs.len()
    }
}

/// `ftgmac100_open`: PHY, reset, rings, hardware, interrupts. False if the MAC does not come
/// out of its reset.
pub(super) fn ftgmac100_open(p: &mut Ftgmac100, io: &mut DriverIo<'_>) -> bool {
    if p.running {
        return true;
    }
    ftgmac100_alloc_rings(p, io);
    p.running = true;
    mdio::phy_start(p, io);
    ftgmac100_init_all(p, io)
}

/// `ftgmac100_stop`.
pub(super) fn ftgmac100_stop(p: &mut Ftgmac100, io: &mut DriverIo<'_>) {
    if !p.running {
        return;
    }
    p.running = false;
    io.write(p.mac, Reg::IER, 0);
    io.write(p.mac, Reg::MACCR, 0);
    ftgmac100_free_buffers(p, io);
    io.hw.mem.free_coherent(p.rxdes);
    io.hw.mem.free_coherent(p.txdes);
    for page in p.tx_heads {
        io.hw.mem.free_coherent(page);
    }
}

fn ftgmac100_alloc_rings(p: &mut Ftgmac100, io: &mut DriverIo<'_>) {
    p.rxdes = io.hw.mem.alloc_coherent(RX_QUEUE_ENTRIES * DESCRIPTOR_BYTES as usize);
    p.txdes = io.hw.mem.alloc_coherent(TX_QUEUE_ENTRIES * DESCRIPTOR_BYTES as usize);
    p.tx_heads = std::array::from_fn(|_| io.hw.mem.alloc_coherent(TX_HEADS_A_PAGE * SKB_HEAD));
}

/// Rings and registers from the start, after open or a reset.
fn ftgmac100_init_all(p: &mut Ftgmac100, io: &mut DriverIo<'_>) -> bool {
    if !ftgmac100_reset_and_config_mac(p, io) {
        return false;
    }
    ftgmac100_init_rings(p, io);
    ftgmac100_init_hw(p, io);
    ftgmac100_start_hw(p, io);
    io.write(p.mac, Reg::IER, INT_ALL);
    true
}

/// Software reset, twice with the speed bits as the hardware wants it; false if it never ends.
fn ftgmac100_reset_and_config_mac(p: &mut Ftgmac100, io: &mut DriverIo<'_>) -> bool {
    p.maccr = match p.cur_speed {
        1000 => MACCR_GIGA_MODE,
        100 => MACCR_FAST_MODE,
        _ => 0,
    };
    p.tx_clean_pointer = 0;
    p.tx_pointer = 0;
    p.rx_pointer = 0;
    ftgmac100_reset_mac(p, io) && ftgmac100_reset_mac(p, io)
}

fn ftgmac100_reset_mac(p: &Ftgmac100, io: &mut DriverIo<'_>) -> bool {
    io.write(p.mac, Reg::MACCR, p.maccr);
    io.write(p.mac, Reg::MACCR, p.maccr | MACCR_SW_RST);
    (0..50).any(|_| io.read(p.mac, Reg::MACCR) & MACCR_SW_RST == 0)
}

fn ftgmac100_init_rings(p: &mut Ftgmac100, io: &mut DriverIo<'_>) {
    p.rx_maps.clear();
    for i in 0..RX_QUEUE_ENTRIES {
        let map = rx::alloc_rx_buf(io);
        p.rx_maps.push(map);
        let end = if i + 1 == RX_QUEUE_ENTRIES { RXDES0_EDORR } else { 0 };
        io.write_desc(p.rxdes, i, [end, 0, 0, map.0]);
    }
    for i in 0..TX_QUEUE_ENTRIES {
        let end = if i + 1 == TX_QUEUE_ENTRIES { TXDES0_EDOTR } else { 0 };
        io.write_desc(p.txdes, i, [end, 0, 0, 0]);
    }
}

fn ftgmac100_init_hw(p: &Ftgmac100, io: &mut DriverIo<'_>) {
    let mac = p.mac;
    io.write(mac, Reg::ISR, INT_MASK);
    io.write(mac, Reg::RXR_BADR, p.rxdes.0);
    io.write(mac, Reg::NPTXR_BADR, p.txdes.0);
    io.write(mac, Reg::RBSR, RX_BUF_SIZE);
    // One automatic receive poll; interrupts after one frame, either way.
    io.write(mac, Reg::APTC, 1);
    let a = p.dev_addr;
    io.write(mac, Reg::MAC_MADR, u32::from_be_bytes([0, 0, a[0], a[1]]));
    io.write(mac, Reg::MAC_LADR, u32::from_be_bytes([a[2], a[3], a[4], a[5]]));
    write_multicast_hash(p, io);
    io.write(mac, Reg::ITC, (1 << 4) | (1 << 12));
    // Descriptors of 16 bytes, the largest bursts.
    io.write(mac, Reg::DBLAC, (2 << 12) | (2 << 16) | (3 << 8) | (3 << 10) | (1 << 6) | (2 << 3));
    io.write(mac, Reg::TPAFCR, 0xf1);
}

/// Programs which groups the MAC lets through.
pub(super) fn write_multicast_hash(p: &Ftgmac100, io: &mut DriverIo<'_>) {
    io.write(p.mac, Reg::MAHT0, p.maht as u32);
    io.write(p.mac, Reg::MAHT1, (p.maht >> 32) as u32);
}

pub(super) fn ftgmac100_start_hw(p: &mut Ftgmac100, io: &mut DriverIo<'_>) {
    let keep = io.read(p.mac, Reg::MACCR) & (MACCR_GIGA_MODE | MACCR_FAST_MODE);
    p.maccr = keep
        | MACCR_TXDMA_EN
        | MACCR_RXDMA_EN
        | MACCR_TXMAC_EN
        | MACCR_RXMAC_EN
        | MACCR_CRC_APD
        | MACCR_PHY_LINK_LEVEL
        | MACCR_RX_RUNT
        | MACCR_RX_BROADPKT
        | MACCR_FULLDUP
        | MACCR_HT_MULTI_EN
        | MACCR_RM_VLAN;
    io.write(p.mac, Reg::MACCR, p.maccr);
}

/// Gives every buffer of both rings back.
fn ftgmac100_free_buffers(p: &mut Ftgmac100, io: &mut DriverIo<'_>) {
    for map in p.rx_maps.drain(..) {
        io.hw.mem.unmap(map);
    }
    while p.tx_buf_cleanable() {
        ftgmac100_free_tx_packet(p, io);
    }
    while let Some(skb) = p.tx_skbs.pop_front() {
        skb_free(io.skbs, io.wmem, skb, DropReason::TxRing);
    }
}

/// Acknowledges an interrupt and notes trouble; whether NAPI is to be scheduled. All but the
/// trouble's interrupts are masked until the poll is done.
pub(super) fn acknowledge(p: &mut Ftgmac100, io: &mut DriverIo<'_>) -> bool {
    let status = io.read(p.mac, Reg::ISR);
    io.write(p.mac, Reg::ISR, status);
    let mut mask = INT_BAD;
    if status & INT_BAD != 0 {
        if status & INT_NO_RXBUF != 0 {
            io.stats.rx_over_errors += 1;
        }
        if status & INT_RPKT_LOST != 0 {
            io.stats.rx_fifo_errors += 1;
        }
        if status & INT_XPKT_LOST != 0 {
            io.stats.tx_fifo_errors += 1;
        }
        if status & INT_AHB_ERR != 0 {
            // The reset task takes over; until then no interrupt at all.
            io.write(p.mac, Reg::IER, 0);
            p.need_reset = true;
            return false;
        }
        p.need_mac_restart = true;
        mask &= !status;
    }
    io.write(p.mac, Reg::IER, mask);
    true
}

/// `ftgmac100_reset_task`, which an AHB error or the transmit watchdog asked for. A MAC that
/// does not come back stays silent until it is opened again.
pub(super) fn ftgmac100_reset_task(p: &mut Ftgmac100, io: &mut DriverIo<'_>) {
    p.need_reset = false;
    if !p.running {
        return;
    }
    io.write(p.mac, Reg::IER, 0);
    ftgmac100_free_buffers(p, io);
    p.running = ftgmac100_init_all(p, io);
}

/// `phy_state_machine`: asks the PHY for the link. True if that changed.
pub(super) fn ftgmac100_check_link(p: &mut Ftgmac100, io: &mut DriverIo<'_>) -> bool {
    if !p.running || !mdio::phy_check_link(p, io) {
        return false;
    }
    // adjust_link: a new speed resets the MAC.
    if p.link {
        ftgmac100_reset_task(p, io);
    }
    true
}
