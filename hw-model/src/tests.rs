//! The MAC as a driver and a wire see it.

use crate::regs::{Access, Model, TABLE, aptc, int, itc, maccr, phycr};
use crate::*;
use proptest::prelude::*;
use std::sync::Arc;

const RING: u32 = 8;
const BUF: u32 = 1600;
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const ON: u32 = maccr::TXDMA_EN
    | maccr::RXDMA_EN
    | maccr::TXMAC_EN
    | maccr::RXMAC_EN
    | maccr::CRC_APD
    | maccr::FULLDUP
    | maccr::FAST_MODE
    | maccr::RX_BROADPKT;

/// A board whose first MAC has rings and runs.
struct Rig {
    b: Board,
    tx: DmaAddr,
    rx: DmaAddr,
    next: u32,
    kind: Descriptors,
}

impl Rig {
    fn new() -> Self {
        Self::with(Descriptors::Aspeed)
    }

    fn with(kind: Descriptors) -> Self {
        let mut b = Board::new(MAC_STRAP, kind);
        let tx = b.mem.alloc_coherent((RING * DESC_SIZE) as usize);
        let rx = b.mem.alloc_coherent((RING * DESC_SIZE) as usize);
        let mut r = Self { b, tx, rx, next: 0, kind };
        for i in 0..RING {
            let buf = r.b.mem.map(Frag::new(Arc::new(vec![0xee; BUF as usize])));
            r.desc(r.rx, i, [0, 0, 0, buf.0]);
            r.desc(r.tx, i, [0; 4]);
        }
        r.w(Reg::NPTXR_BADR, r.tx.0);
        r.w(Reg::RXR_BADR, r.rx.0);
        r.w(Reg::MACCR, ON);
        r
    }

    fn w(&mut self, reg: Reg, v: u32) {
        self.b.macs[0].writel(&mut self.b.mem, 0, reg, v);
    }

    fn r(&mut self, reg: Reg) -> u32 {
        self.b.macs[0].readl(&self.b.mem, reg)
    }

    /// Reads and clears the status.
    fn isr(&mut self) -> u32 {
        let v = self.r(Reg::ISR);
        self.w(Reg::ISR, v);
        v
    }

    fn desc(&mut self, ring: DmaAddr, i: u32, mut words: [u32; 4]) {
        if i == RING - 1 {
            words[0] |= self.kind.end_of_ring();
        }
        for (k, w) in words.into_iter().enumerate() {
            self.b.mem.write_u32(ring.offset(i * DESC_SIZE + k as u32 * 4), w).unwrap();
        }
    }

    fn word(&self, ring: DmaAddr, i: u32, k: u32) -> u32 {
        self.b.mem.read_u32(ring.offset(i * DESC_SIZE + k * 4)).unwrap()
    }

    fn rx_bytes(&self, i: u32) -> Vec<u8> {
        let n = self.word(self.rx, i, 0) & rxdes0::VDBC;
        self.b.mem.bytes(DmaAddr(self.word(self.rx, i, 3)), n).unwrap().to_vec()
    }

    /// Puts segments into the next transmit descriptors, without the doorbell.
    fn put(&mut self, segs: &[&[u8]], des1: u32) {
        for (k, seg) in segs.iter().enumerate() {
            let a = self.b.mem.map(Frag::new(Arc::new(seg.to_vec())));
            let mut w0 = txdes0::TXDMA_OWN | seg.len() as u32;
            w0 |= if k == 0 { txdes0::FTS } else { 0 };
            w0 |= if k + 1 == segs.len() { txdes0::LTS } else { 0 };
            self.desc(self.tx, self.next % RING, [w0, des1, 0, a.0]);
            self.next += 1;
        }
    }

    fn send(&mut self, segs: &[&[u8]], des1: u32) -> Option<Vec<u8>> {
        self.put(segs, des1);
        self.w(Reg::NPTXPD, 1);
        self.pop()
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        self.b.macs[0].tx_pop().map(|(_, f)| f.to_vec())
    }

    fn recv(&mut self, bytes: &[u8]) -> RxOutcome {
        self.b.macs[0].rx(&mut self.b.mem, 0, &Frame::from_bytes(bytes))
    }

    fn free(&mut self, i: u32) {
        let w0 = self.word(self.rx, i, 0) & !rxdes0::RXPKT_RDY;
        self.b.mem.write_u32(self.rx.offset(i * DESC_SIZE), w0).unwrap();
    }

    fn phy(&mut self, addr: u32, reg: u8) -> u32 {
        self.w(Reg::PHYCR, phycr::MIIRD | phycr::phyad(addr) | phycr::regad(reg.into()));
        assert_eq!(self.r(Reg::PHYCR) & phycr::MIIRD, 0);
        self.r(Reg::PHYDATA) >> 16
    }
}

fn eth(dst: [u8; 6], ty: u16, body: &[u8]) -> Vec<u8> {
    [&dst[..], &PEER, &ty.to_be_bytes(), body].concat()
}

/// An IPv4 datagram with right checksums.
fn ip4(proto: u8, frag: u16, body: &[u8]) -> Vec<u8> {
    let mut h = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15];
    h[2..4].copy_from_slice(&(20 + body.len() as u16).to_be_bytes());
    h[6..8].copy_from_slice(&frag.to_be_bytes());
    let c = checksum(&h).to_be_bytes();
    h[10..12].copy_from_slice(&c);
    let mut body = body.to_vec();
    let field = if proto == 6 { 16 } else { 6 };
    if frag & 0x3fff == 0 && body.len() > field + 1 {
        body[field..field + 2].fill(0);
        let mut s = Sum::new();
        s.add(&h[12..20]);
        s.add_u16(proto.into());
        s.add_u16(body.len() as u16);
        s.add(&body);
        body[field..field + 2].copy_from_slice(&s.checksum().to_be_bytes());
    }
    h.extend(body);
    h
}

fn tcp(payload: usize) -> Vec<u8> {
    let mut t = vec![0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
    t.extend((0..payload).map(|i| i as u8));
    t
}

fn udp(payload: usize) -> Vec<u8> {
    let mut u = vec![0x12, 0x34, 0, 53];
    u.extend((8 + payload as u16).to_be_bytes());
    u.extend([0, 0]);
    u.extend((0..payload).map(|i| i as u8));
    u
}

#[test]
fn every_register_resets_masks_and_reads_as_its_row_says() {
    let mut b = Board::default();
    let Board { mem, macs: [mac, _] } = &mut b;
    assert!(TABLE.windows(2).all(|w| w[0].reg < w[1].reg));
    for i in TABLE {
        assert_eq!(i.reg.info(), Some(i));
        let reset = match i.reg {
            Reg::MAC_MADR => 0x5254,
            Reg::MAC_LADR => 0x0012_3456,
            _ => i.reset,
        };
        assert_eq!(mac.readl(mem, i.reg), reset, "{}", i.name);
    }
    for i in TABLE {
        let aligned = [Reg::NPTXR_BADR, Reg::RXR_BADR, Reg::HPTXR_BADR];
        let v = match i.reg {
            Reg::MACCR => !maccr::SW_RST,
            r if aligned.contains(&r) => {
                mac.writel(mem, 0, r, u32::MAX);
                assert_eq!(mac.readl(mem, r), 0, "misaligned {}", i.name);
                i.mask
            }
            _ => u32::MAX,
        };
        mac.writel(mem, 0, i.reg, v);
        let want = match (i.reg, i.access) {
            (Reg::PHYCR, _) => i.mask & !(phycr::MIIRD | phycr::MIIWR),
            (Reg::NPTXR_PTR | Reg::RXR_PTR, _) => 0xffff_fff0,
            // The MDIO read that the write to PHYCR before it started found no PHY at address 31.
            (Reg::PHYDATA, _) => u32::MAX,
            // A doorbell on a ring that is nowhere.
            (Reg::ISR, _) | (_, Access::Wo) => 0,
            (_, Access::Ro) => i.reset,
            (_, Access::Rw1c) => i.reset & !i.mask,
            (_, Access::Rw) => v & i.mask,
        };
        assert_eq!(mac.readl(mem, i.reg), want, "{}", i.name);
    }
    let not_yet: Vec<_> =
        TABLE.iter().filter(|i| i.model == Model::NotYet).map(|i| i.name).collect();
    assert!(
        not_yet.contains(&"HPTXPD") && not_yet.contains(&"FCR") && not_yet.contains(&"RX_RUNT")
    );
    for bad in [0x5c, 0x9c, 0xcc, 0x1fc, 0x51, u32::MAX] {
        assert_eq!(mac.readl(mem, Reg(bad)), 0);
    }
    assert_eq!(mac.stats().bad_offset, 6);
}

/// Seen equal on QEMU's model.
#[test]
fn soft_reset_keeps_speed_and_address() {
    let mut r = Rig::new();
    r.w(Reg::MAC_MADR, 0x0203);
    r.w(Reg::IER, 0x3f);
    r.w(Reg::FCR, 7);
    r.w(Reg::MACCR, ON | maccr::SW_RST | maccr::GIGA_MODE);
    assert_eq!(r.r(Reg::MACCR), maccr::GIGA_MODE | maccr::FAST_MODE);
    assert_eq!(r.r(Reg::MAC_MADR), 0x0203);
    assert_eq!((r.r(Reg::IER), r.r(Reg::FCR), r.r(Reg::DBLAC)), (0, 0x400, 0x22f00));
    assert_eq!((r.r(Reg::NPTXR_BADR), r.r(Reg::NPTXR_PTR)), (0, 0));
    r.b.macs[0].power_on();
    assert_eq!((r.r(Reg::MACCR), r.r(Reg::MAC_MADR)), (0, 0x5254));
}

#[test]
fn status_is_write_one_to_clear_and_the_line_is_its_masked_level() {
    let mut r = Rig::new();
    r.w(Reg::NPTXPD, 1);
    assert_eq!(r.r(Reg::ISR), int::NO_NPTXBUF);
    assert!(!r.b.macs[0].irq());
    r.w(Reg::IER, int::NO_NPTXBUF);
    assert!(r.b.macs[0].irq());
    r.w(Reg::ISR, !int::NO_NPTXBUF);
    assert!(r.b.macs[0].irq());
    r.w(Reg::ISR, int::NO_NPTXBUF);
    assert!(!r.b.macs[0].irq());
}

#[test]
fn transmit_gathers_segments_gives_descriptors_back_and_wraps() {
    for kind in [Descriptors::Aspeed, Descriptors::Faraday] {
        let mut r = Rig::with(kind);
        let f = eth(PEER, 0x88b5, &[7; 300]);
        for i in 0..2 * RING {
            let segs: [&[u8]; 3] = [&f[..20], &f[20..200], &f[200..]];
            assert_eq!(r.send(&segs, 0), Some(f.clone()), "{kind:?} {i}");
            assert_eq!(r.pop(), None);
        }
        assert!((0..RING).all(|i| r.word(r.tx, i, 0) & txdes0::TXDMA_OWN == 0));
        assert_eq!(r.r(Reg::NPTXR_PTR), r.tx.0 + r.next % RING * DESC_SIZE);
        assert_eq!(r.b.macs[0].stats().tx_frames, 16);
    }
}

#[test]
fn a_frame_waits_for_its_last_segment_and_orphans_are_given_back() {
    let mut r = Rig::new();
    let f = eth(PEER, 0x88b5, &[7; 100]);
    r.put(&[&f[..50], &f[50..]], 0);
    let second = r.word(r.tx, 1, 0);
    r.b.mem.write_u32(r.tx.offset(16), second & !txdes0::TXDMA_OWN).unwrap();
    r.w(Reg::NPTXPD, 1);
    assert_eq!((r.pop(), r.isr()), (None, int::NO_NPTXBUF));
    r.b.mem.write_u32(r.tx.offset(16), second).unwrap();
    r.w(Reg::NPTXPD, 1);
    assert_eq!(r.pop(), Some(f));
    r.next = 2;
    r.put(&[b"orphan"], 0);
    let w0 = r.word(r.tx, 2, 0);
    r.b.mem.write_u32(r.tx.offset(32), w0 & !txdes0::FTS).unwrap();
    r.w(Reg::NPTXPD, 1);
    assert_eq!((r.pop(), r.b.macs[0].stats().tx_orphans), (None, 1));
    assert_eq!(r.send(&[b""], 0), None, "a frame of no bytes is not sent");
    r.w(Reg::MACCR, ON & !maccr::TXMAC_EN);
    assert_eq!(r.send(&[&[1; 60]], 0), None);
    assert_ne!(r.word(r.tx, 4, 0) & txdes0::TXDMA_OWN, 0, "a stopped transmitter fetches nothing");
}

/// Seen equal on QEMU's model: the descriptor whose buffer is nowhere stays the hardware's.
#[test]
fn a_bad_address_is_an_ahb_error() {
    let mut r = Rig::new();
    r.desc(r.tx, 0, [txdes0::TXDMA_OWN | txdes0::FTS | txdes0::LTS | 60, 0, 0, 0x1000]);
    r.w(Reg::NPTXPD, 1);
    assert_eq!(r.isr(), int::AHB_ERR);
    assert_ne!(r.word(r.tx, 0, 0) & txdes0::TXDMA_OWN, 0);
    r.w(Reg::NPTXR_BADR, 0xffff_fff0);
    r.w(Reg::NPTXPD, 1);
    assert_eq!(r.isr(), int::AHB_ERR);
    let own = MAC_STRAP[0];
    r.desc(r.rx, 0, [0, 0, 0, 0]);
    assert_eq!(r.recv(&eth(own, 0x88b5, &[1; 50])), RxOutcome::Lost(Lost::Bus));
    assert_eq!((r.isr(), r.b.macs[0].stats().ahb_errors), (int::AHB_ERR, 3));
}

#[test]
fn a_ring_without_an_end_stops_where_memory_does() {
    let mut r = Rig::new();
    let big = r.b.mem.alloc_coherent(2 << 20);
    for i in 0..0x2_0000 {
        r.b.mem.write_u32(big.offset(i * 16), txdes0::TXDMA_OWN).unwrap();
    }
    r.w(Reg::NPTXR_BADR, big.0);
    r.w(Reg::NPTXPD, 1);
    assert_eq!(r.r(Reg::NPTXR_PTR), big.0 + MAX_WALK * 16);
    r.w(Reg::NPTXPD, 1);
    r.w(Reg::NPTXPD, 1);
    assert_eq!(r.isr(), int::AHB_ERR);
}

#[test]
fn interrupts_on_transmit_come_by_threshold_timer_or_txic() {
    let mut r = Rig::new();
    let f = eth(PEER, 0x88b5, &[7; 50]);
    let xpkt = |r: &mut Rig, des1| {
        r.send(&[&f], des1);
        r.isr() & (int::XPKT_ETH | int::XPKT_FIFO)
    };
    assert_eq!(xpkt(&mut r, 0), 0, "nothing mitigates, nothing asks");
    assert_eq!(xpkt(&mut r, txdes1::TXIC), int::XPKT_ETH);
    assert_eq!(xpkt(&mut r, txdes1::TX2FIC), int::XPKT_FIFO);
    r.w(Reg::ITC, itc::txint_thr(1));
    assert_eq!(xpkt(&mut r, 0), int::XPKT_ETH);
    r.w(Reg::ITC, itc::txint_thr(3) | itc::txint_cnt(2));
    assert_eq!([0; 3].map(|d| xpkt(&mut r, d)), [0, 0, int::XPKT_ETH]);
    assert_eq!(xpkt(&mut r, 0), 0);
    // Two units of 5.12 us at 100 Mbit/s.
    assert_eq!(r.b.macs[0].next_event(), Some(10_240));
    r.b.macs[0].advance(&mut r.b.mem, 10_239);
    assert_eq!(r.isr(), 0);
    r.b.macs[0].advance(&mut r.b.mem, 10_240);
    assert_eq!((r.isr(), r.b.macs[0].next_event()), (int::XPKT_ETH, None));
}

#[test]
fn interrupts_on_receive_come_by_threshold_or_timer() {
    let mut r = Rig::new();
    let f = eth(MAC_STRAP[0], 0x88b5, &[7; 50]);
    let rpkt = |r: &mut Rig| {
        assert_eq!(r.recv(&f), RxOutcome::Stored);
        r.isr()
    };
    assert_eq!(rpkt(&mut r), int::RPKT_BUF);
    r.w(Reg::ITC, itc::rxint_thr(2) | itc::rxint_cnt(1) | itc::RXINT_TIME_SEL);
    assert_eq!([(); 3].map(|()| rpkt(&mut r)), [0, int::RPKT_BUF, 0]);
    assert_eq!(r.b.macs[0].next_event(), Some(81_920));
    r.b.macs[0].advance(&mut r.b.mem, u64::MAX);
    assert_eq!(r.isr(), int::RPKT_BUF);
}

#[test]
fn receive_writes_the_frame_its_fcs_and_its_status() {
    let mut r = Rig::new();
    let f = eth(MAC_STRAP[0], 0x88b5, &[7; 50]);
    for i in 0..RING + 1 {
        let i = i % RING;
        assert_eq!(r.recv(&f), RxOutcome::Stored);
        let w0 = r.word(r.rx, i, 0);
        let end = if i == RING - 1 { 1 << 30 } else { 0 };
        assert_eq!(w0, rxdes0::RXPKT_RDY | rxdes0::FRS | rxdes0::LRS | end | 68);
        let got = r.rx_bytes(i);
        assert_eq!(got[..64], f[..]);
        assert_eq!(got[64..], crc32fast::hash(&f).to_le_bytes());
        r.free(i);
    }
    assert_eq!(r.r(Reg::RXR_PTR), r.rx.0 + DESC_SIZE);
    let bad = Frame::from_bytes(&eth([0xff; 6], 0x88b5, &[7; 50])).with_fcs(Fcs::Bad);
    r.b.macs[0].rx(&mut r.b.mem, 0, &bad);
    let w0 = r.word(r.rx, 1, 0);
    assert_eq!(w0 & (rxdes0::CRC_ERR | rxdes0::BROADCAST), rxdes0::CRC_ERR | rxdes0::BROADCAST);
    r.w(Reg::MACCR, ON | maccr::DISCARD_CRCERR);
    let out = r.b.macs[0].rx(&mut r.b.mem, 0, &bad);
    assert_eq!(out, RxOutcome::Filtered(Filtered::Fcs));
}

#[test]
fn a_long_frame_goes_over_several_descriptors() {
    let mut r = Rig::new();
    r.w(Reg::RBSR, 512);
    let f = eth(MAC_STRAP[0], 0x88b5, &[9; 1010]);
    assert_eq!(r.recv(&f), RxOutcome::Stored);
    let w: Vec<u32> = (0..3).map(|i| r.word(r.rx, i, 0) & !rxdes0::RXPKT_RDY).collect();
    assert_eq!(w, [rxdes0::FRS | 512, 512, rxdes0::LRS | 4]);
    let got = [r.rx_bytes(0), r.rx_bytes(1), r.rx_bytes(2)].concat();
    assert_eq!(got, [&f[..], &crc32fast::hash(&f).to_le_bytes()].concat());
    assert_eq!(r.isr(), int::RPKT_BUF);
    // Five left, of which a frame of eight can never have enough while three are the software's.
    r.w(Reg::RBSR, 128);
    assert_eq!(r.recv(&f[..1000]), RxOutcome::Waiting);
    r.w(Reg::RBSR, 64);
    for i in 0..RING {
        r.free(i);
    }
    r.w(Reg::RXPD, 1);
    assert_eq!(r.b.macs[0].stats().rx_lost, 1, "a ring of eight cannot hold sixteen parts");
    r.w(Reg::RBSR, 0);
    assert_eq!(r.recv(&f), RxOutcome::Lost(Lost::Unfit));
}

#[test]
fn lengths_are_cut_at_the_limit_and_runts_are_kept_out() {
    let mut r = Rig::new();
    let own = MAC_STRAP[0];
    let cases: [(usize, u16, u32, u32); 4] = [
        (1514, 0x88b5, 1518, 0),
        (1515, 0x88b5, 1518, rxdes0::FTL),
        (1518, 0x8100, 1522, 0),
        (1519, 0x8100, 1522, rxdes0::FTL),
    ];
    for (i, (len, ty, vdbc, ftl)) in cases.into_iter().enumerate() {
        assert_eq!(r.recv(&eth(own, ty, &vec![1; len - 14])), RxOutcome::Stored);
        let w0 = r.word(r.rx, i as u32, 0);
        assert_eq!((w0 & rxdes0::VDBC, w0 & rxdes0::FTL), (vdbc, ftl), "{len} {ty:#x}");
    }
    r.w(Reg::MACCR, ON | maccr::JUMBO_LF);
    r.w(Reg::RBSR, 0x2800);
    assert_eq!(
        r.recv(&eth(own, 0x88b5, &[0; 9300])),
        RxOutcome::Lost(Lost::Bus),
        "over the buffer"
    );
    r.w(Reg::MACCR, ON);
    r.w(Reg::RBSR, 1536);
    let short = eth(own, 0x88b5, &[1; 45]);
    assert_eq!(r.recv(&short), RxOutcome::Filtered(Filtered::Runt));
    r.w(Reg::MACCR, ON | maccr::RX_RUNT);
    assert_eq!(r.recv(&short), RxOutcome::Stored);
    assert_eq!(r.word(r.rx, 4, 0) & (rxdes0::RUNT | rxdes0::VDBC), rxdes0::RUNT | 63);
    assert_eq!(r.recv(&short[..13]), RxOutcome::Filtered(Filtered::Runt));
}

#[test]
fn a_full_ring_fills_the_fifo_and_then_loses() {
    let mut r = Rig::new();
    let f = eth(MAC_STRAP[0], 0x88b5, &[7; 900]);
    for _ in 0..RING {
        r.recv(&f);
    }
    r.isr();
    assert_eq!(
        [(); 3].map(|()| r.recv(&f)),
        [RxOutcome::Waiting, RxOutcome::Waiting, RxOutcome::Lost(Lost::FifoFull)]
    );
    assert_eq!(r.isr(), int::NO_RXBUF | int::RPKT_LOST | int::RPKT_FIFO);
    // Automatic polling finds the freed descriptor; its unit is 5.12 ms at 100 Mbit/s.
    r.free(0);
    assert_eq!(r.b.macs[0].next_event(), Some(5_120_000));
    r.b.macs[0].advance(&mut r.b.mem, 5_120_000);
    assert_eq!(r.isr(), int::RPKT_BUF | int::NO_RXBUF);
    r.b.macs[0].advance(&mut r.b.mem, u64::MAX / 2);
    r.w(Reg::APTC, aptc::rxpoll_cnt(0));
    assert_eq!(r.b.macs[0].next_event(), None);
    r.free(1);
    r.w(Reg::MACCR, ON);
    assert_eq!((r.isr() & int::RPKT_BUF, r.b.macs[0].stats().rx_frames), (1, 10));
}

/// Seen equal on QEMU's model.
#[test]
fn filters_let_in_what_is_enabled() {
    let hash = |a: [u8; 6]| {
        let mut r = Rig::new();
        let h = multicast_hash(&a);
        r.w(if h < 32 { Reg::MAHT0 } else { Reg::MAHT1 }, 1 << (h % 32));
        r
    };
    let group = [1, 0, 0x5e, 0, 0, 1];
    let f = |dst| eth(dst, 0x88b5, &[0; 50]);
    let no = RxOutcome::Filtered(Filtered::Address);
    let mut r = hash(group);
    assert_eq!(r.recv(&f(PEER)), no);
    assert_eq!(r.recv(&f(MAC_STRAP[0])), RxOutcome::Stored);
    assert_eq!(r.recv(&f([0xff; 6])), RxOutcome::Stored);
    assert_eq!(r.recv(&f(group)), no);
    r.w(Reg::MACCR, ON & !maccr::RX_BROADPKT | maccr::HT_MULTI_EN);
    assert_eq!(r.recv(&f([0xff; 6])), no);
    assert_eq!(r.recv(&f(group)), RxOutcome::Stored);
    assert_ne!(r.word(r.rx, 2, 0) & rxdes0::MULTICAST, 0);
    assert_eq!(r.recv(&f([0x33, 0x33, 0, 0, 0, 1])), no);
    r.w(Reg::MACCR, ON | maccr::RX_MULTIPKT);
    assert_eq!(r.recv(&f([0x33, 0x33, 0, 0, 0, 1])), RxOutcome::Stored);
    r.w(Reg::MACCR, ON | maccr::RX_ALL);
    assert_eq!(r.recv(&f(PEER)), RxOutcome::Stored);
    r.w(Reg::MACCR, ON & !maccr::RXMAC_EN);
    assert_eq!(r.recv(&f(MAC_STRAP[0])), RxOutcome::Lost(Lost::MacOff));
}

#[test]
fn vlan_tags_go_in_and_out() {
    let mut r = Rig::new();
    let plain = eth(MAC_STRAP[0], 0x88b5, &[5; 46]);
    let tagged = [&plain[..12], &[0x81, 0, 0xaf, 0xfe], &plain[12..]].concat();
    assert_eq!(
        r.send(&[&plain[..7], &plain[7..]], txdes1::INS_VLANTAG | 0xaffe),
        Some(tagged.clone())
    );
    r.recv(&tagged);
    assert_eq!(r.word(r.rx, 0, 1), rxdes1::VLANTAG_AVAIL | 0xaffe);
    assert_eq!(r.rx_bytes(0)[..64], tagged);
    r.w(Reg::MACCR, ON | maccr::RM_VLAN);
    r.recv(&tagged[..60]);
    assert_eq!(r.word(r.rx, 1, 1), rxdes1::VLANTAG_AVAIL | 0xaffe);
    // 64 bytes on the wire, a runt in the buffer; the FCS is the wire's.
    assert_eq!(r.word(r.rx, 1, 0) & (rxdes0::RUNT | rxdes0::VDBC), rxdes0::RUNT | 60);
    let got = r.rx_bytes(1);
    assert_eq!(got[..56], plain[..56]);
    assert_eq!(got[56..], crc32fast::hash(&tagged[..60]).to_le_bytes());
}

/// Insertion seen equal on QEMU's model for IPv4 with TCP.
#[test]
fn checksums_are_inserted() {
    let all = txdes1::IP_CHKSUM | txdes1::TCP_CHKSUM | txdes1::UDP_CHKSUM;
    for (proto, l4, at) in [(6, tcp(1000), 16), (17, udp(333), 6)] {
        for tag in [&[][..], &[0x81, 0, 0, 7]] {
            let good = [&PEER[..], &PEER, tag, &[8, 0], &ip4(proto, 0, &l4), &[0; 3]].concat();
            let mut f = good.clone();
            let ip = 14 + tag.len();
            // A driver leaves the pseudo header's sum there.
            f[ip + 10] ^= 0x55;
            f[ip + 20 + at] ^= 0xaa;
            let mut r = Rig::new();
            for cut in [1, 15, ip + 19, ip + 20 + at + 1, 130] {
                assert_eq!(r.send(&[&f[..cut], &f[cut..]], all).as_ref(), Some(&good), "{cut}");
            }
            assert_eq!(r.send(&[&f], 0), Some(f));
        }
    }
    // A sum of zero is sent as ones by UDP; a fragment and a length beyond the frame stay as they are.
    let mut u = udp(2);
    u[8..].fill(0);
    let mut r = Rig::new();
    let zero = eth(PEER, 0x800, &ip4(17, 0, &u));
    let c = !u16::from_be_bytes([zero[40], zero[41]]);
    let mut z = zero.clone();
    let flip = (!c).to_be_bytes();
    z[42..44].copy_from_slice(&flip);
    let out = r.send(&[&z], all).unwrap();
    assert_eq!(out[40..42], [0xff, 0xff]);
    for keep in [eth(PEER, 0x800, &ip4(6, 0x2000, &tcp(8))), eth(PEER, 0x86dd, &[0x60; 60])] {
        assert_eq!(r.send(&[&keep], all), Some(keep));
    }
}

#[test]
fn checksums_are_checked() {
    use rxdes1::*;
    let own = MAC_STRAP[0];
    let bad = |mut v: Vec<u8>, at: usize| {
        v[at] ^= 1;
        v
    };
    let t = eth(own, 0x800, &ip4(6, 0, &tcp(31)));
    let u = eth(own, 0x800, &ip4(17, 0, &udp(31)));
    let mut free = u.clone();
    free[40..42].fill(0);
    let llc = eth(own, 46, &[0xaa; 46]);
    let cases = [
        (t.clone(), PROT_TCPIP),
        (bad(t.clone(), 60), PROT_TCPIP | TCP_CHKSUM_ERR),
        (bad(t.clone(), 24), PROT_TCPIP | IP_CHKSUM_ERR),
        (u.clone(), PROT_UDPIP),
        (bad(u, 44), PROT_UDPIP | UDP_CHKSUM_ERR),
        (free, PROT_UDPIP),
        (eth(own, 0x800, &ip4(6, 0x2000, &tcp(40))), PROT_IP | DF),
        (eth(own, 0x800, &ip4(1, 0, &[8; 40])), PROT_IP),
        (eth(own, 0x86dd, &[0x60; 60]), PROT_NONIP),
        (llc, PROT_NONIP | LLC),
        ([&t[..12], &[0x81, 0, 0, 7], &t[12..]].concat(), PROT_TCPIP | VLANTAG_AVAIL | 7),
        // The end is missing.
        (t[..80].to_vec(), PROT_TCPIP | TCP_CHKSUM_ERR),
    ];
    for (i, (f, want)) in cases.into_iter().enumerate() {
        let mut r = Rig::new();
        assert_eq!(r.recv(&f), RxOutcome::Stored);
        assert_eq!(r.word(r.rx, 0, 1), want, "case {i}");
        // The same frame in slices of odd sizes.
        let b = Frag::new(Arc::new(f.clone()));
        let f = Frame::from_parts(&f[..1], [b.slice(1, 44), b.slice(45, u32::MAX)]);
        r.b.macs[0].rx(&mut r.b.mem, 0, &f);
        assert_eq!(r.word(r.rx, 1, 1), want, "case {i} in slices");
    }
}

/// Identifiers and link state seen equal on QEMU's model; the PHY's address is not looked at there.
#[test]
fn the_phy_answers_over_the_old_interface() {
    let mut r = Rig::new();
    assert_eq!((r.phy(0, mii::PHYSID1), r.phy(0, mii::PHYSID2)), (0x001c, 0xc915));
    assert_eq!(r.phy(1, mii::PHYSID1), 0xffff);
    assert_eq!(r.phy(0, mii::BMSR), 0x796d);
    assert_eq!(r.phy(0, mii::ADVERTISE) & r.phy(0, mii::LPA) & 0x1e0, 0x1e0);
    assert_eq!(r.phy(0, mii::STAT1000), 0);
    r.w(Reg::PHYDATA, 1 << 10);
    r.w(Reg::PHYCR, phycr::MIIWR | phycr::regad(mii::INER.into()));
    r.b.macs[0].set_link(false);
    assert_eq!(r.isr(), int::PHYSTS_CHG);
    assert_eq!(r.recv(&eth(MAC_STRAP[0], 0x88b5, &[0; 50])), RxOutcome::Lost(Lost::NoLink));
    assert_eq!(r.send(&[&[0; 60]], 0), None);
    assert_eq!(r.phy(0, mii::BMSR), 0x7949);
    assert_eq!(r.phy(0, mii::INSR), 1 << 10);
    r.b.macs[0].set_link(true);
    r.b.macs[0].set_link(false);
    r.b.macs[0].set_link(true);
    assert_eq!(r.phy(0, mii::BMSR) & 4, 0, "the loss is latched");
    assert_eq!(r.phy(0, mii::BMSR) & 4, 4);
    r.w(Reg::PHYDATA, 0x9140);
    r.w(Reg::PHYCR, phycr::MIIWR | phycr::regad(mii::BMCR.into()));
    assert_eq!(r.phy(0, mii::BMCR), 0x1140, "reset clears itself");
}

#[test]
fn loopback_and_an_fcs_of_the_softwares_own() {
    let mut r = Rig::new();
    r.w(Reg::MACCR, ON | maccr::LOOP_EN);
    let f = eth(MAC_STRAP[0], 0x88b5, &[3; 50]);
    assert_eq!(r.send(&[&f], 0), None);
    assert_eq!(r.rx_bytes(0)[..64], f);
    r.w(Reg::MACCR, ON & !maccr::CRC_APD);
    r.put(&[&f, &crc32fast::hash(&f).to_le_bytes()], 0);
    r.put(&[&f, &[0; 4]], 0);
    r.w(Reg::NPTXPD, 1);
    let [(_, a), (_, b)] = [(); 2].map(|()| r.b.macs[0].tx_pop().unwrap());
    assert_eq!((a.to_vec(), a.fcs, b.fcs), (f, Fcs::Good, Fcs::Bad));
}

#[test]
fn a_rate_spaces_frames_and_the_wire_delays_them() {
    let mut r = Rig::new();
    r.w(Reg::ITC, itc::txint_thr(1));
    r.b.macs[0].set_rate(Some(100_000_000));
    let f = eth(MAC_STRAP[1], 0x88b5, &[3; 46]);
    r.put(&[&f], 0);
    r.put(&[&f], 0);
    r.w(Reg::NPTXPD, 1);
    assert_eq!((r.isr(), r.pop()), (0, None));
    assert_ne!(r.word(r.tx, 1, 0) & txdes0::TXDMA_OWN, 0);
    // 64 bytes, preamble and gap: 672 bits.
    assert_eq!(r.b.macs[0].next_event(), Some(6_720));
    let Board { mem, macs: [a, b] } = &mut r.b;
    a.advance(mem, 20_000);
    let mut wire = Wire::new(None, 500);
    wire.damage(End::A, 1);
    wire.advance(mem, [a, b], 20_000);
    assert_eq!((wire.in_flight(), wire.next_event()), (0, None));
    assert_eq!(b.stats().rx_lost, 2, "the other MAC is off");
    let mut wire = Wire::new(Some(100_000_000), 500);
    for _ in 0..2 {
        wire.send(End::B, 0, Frame::from_bytes(&f));
    }
    assert_eq!(wire.next_event(), Some(7_220));
    assert_eq!(wire.recv(End::A, 7_219), None);
    assert_eq!(wire.recv(End::A, 20_000).unwrap().0, 7_220);
    assert_eq!(wire.recv(End::A, 20_000).unwrap().0, 13_940);
}

#[test]
fn a_snapshot_goes_its_own_way() {
    let mut r = Rig::new();
    let snap = r.b.clone();
    r.recv(&eth(MAC_STRAP[0], 0x88b5, &[3; 50]));
    assert_eq!(snap.mem.read_u32(r.rx).unwrap(), 0);
    assert_eq!((snap.macs[0].stats().rx_frames, r.b.macs[0].stats().rx_frames), (0, 1));
    r.b = snap;
    assert_eq!(r.recv(&eth(MAC_STRAP[0], 0x88b5, &[4; 50])), RxOutcome::Stored);
    assert_eq!(r.rx_bytes(0)[14], 4);
}

#[derive(Clone, Debug)]
enum Op {
    Write(u32, u32),
    Ring(u32, u32, [u32; 4]),
    Frame(Vec<u8>, bool),
    Pass(u64),
    Link(bool),
    Rate(Option<u64>),
}

fn op() -> impl Strategy<Value = Op> {
    // Values that hit something more often than random ones do: addresses of rings, buffers and their ends.
    let word = prop_oneof![
        any::<u32>(),
        (0u32..0x10_0000).prop_map(|v| DRAM_BASE + v),
        (0u32..64).prop_map(|v| DRAM_BASE + v * 16),
        Just(ON),
        (0u32..32).prop_map(|b| 1 << b),
    ];
    let w0 = (any::<u32>(), 0u32..2000).prop_map(|(f, n)| f & 0xffff_c000 | n);
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        (0usize..10_000).prop_map(|n| eth(MAC_STRAP[0], 0x800, &vec![0x45; n])),
        (0usize..1500, any::<u8>(), any::<u16>()).prop_map(|(n, p, f)| eth(
            [0xff; 6],
            0x800,
            &ip4(p, f, &tcp(n))
        )),
    ];
    prop_oneof![
        4 => (0u32..0x34, word.clone()).prop_map(|(r, v)| Op::Write(r * 4, v)),
        1 => (any::<u32>(), word.clone()).prop_map(|(r, v)| Op::Write(r, v)),
        2 => Just(Op::Write(Reg::NPTXPD.0, 1)),
        1 => Just(Op::Write(Reg::MACCR.0, ON | maccr::LOOP_EN)),
        4 => (0u32..2, 0..RING, w0, any::<u32>(), word).prop_map(|(k, i, a, b, d)| Op::Ring(k, i, [a, b, 0, d])),
        4 => (body, any::<bool>()).prop_map(|(b, good)| Op::Frame(b, good)),
        2 => prop_oneof![0u64..100_000_000, any::<u64>()].prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Link),
        1 => any::<Option<u64>>().prop_map(Op::Rate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]
    #[test]
    fn nothing_a_driver_or_a_peer_does_panics(ops in proptest::collection::vec(op(), 1..120)) {
        let mut r = Rig::new();
        let mut now = 0u64;
        for o in ops {
            let Board { mem, macs: [mac, _] } = &mut r.b;
            match o {
                Op::Write(reg, v) => {
                    mac.writel(mem, now, Reg(reg), v);
                    mac.readl(mem, Reg(reg));
                }
                Op::Ring(k, i, words) => {
                    let ring = if k == 0 { r.tx } else { r.rx };
                    r.desc(ring, i, words);
                }
                Op::Frame(b, good) => {
                    let fcs = if good { Fcs::Good } else { Fcs::Bad };
                    mac.rx(mem, now, &Frame::from_bytes(&b).with_fcs(fcs));
                }
                Op::Pass(d) => {
                    now = now.wrapping_add(d);
                    mac.advance(mem, now);
                    prop_assert!(mac.next_event().is_none_or(|at| at > now));
                }
                Op::Link(up) => mac.set_link(up),
                Op::Rate(bps) => mac.set_rate(bps),
            }
            let mac = &mut r.b.macs[0];
            while mac.tx_pop().is_some() {}
        }
        prop_assert_eq!(r.b.mem.mapped(), RING as usize);
    }
}
