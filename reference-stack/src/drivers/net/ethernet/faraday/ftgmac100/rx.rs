//! Reception: descriptors to skbs, and the NAPI poll.

use super::regs::*;
use super::ring::{DriverIo, Ftgmac100, RX_BUF_SIZE, RX_QUEUE_ENTRIES, ftgmac100_start_hw};
use super::tx::ftgmac100_tx_complete;
use crate::net::core::skbuff::{Frags, IpSummed, SKB_HEAD, Skb};
use crate::net::core::sock::SkbQueue;
use hw_model::{DmaAddr, Frag, Reg};
use std::sync::Arc;

/// What a poll came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Polled {
    /// What the driver reports to NAPI: its whole budget to stay scheduled.
    pub(super) work: usize,
    /// Whether anything moved. A poll that must be repeated but made no progress waits for the
    /// next event of the hardware.
    pub(super) progress: bool,
}

/// Gives the hardware a fresh buffer.
pub(super) fn alloc_rx_buf(io: &mut DriverIo<'_>) -> DmaAddr {
    io.hw.mem.map(Frag::new(Arc::new(vec![0; RX_BUF_SIZE as usize])))
}

/// The NAPI poll: transmit completion, up to `budget` frames, restart after trouble, and the
/// look back before interrupts are enabled again. The caller completes NAPI when the work is
/// under the budget.
pub(super) fn poll(
    p: &mut Ftgmac100,
    io: &mut DriverIo<'_>,
    budget: usize,
    out: &mut SkbQueue,
) -> Polled {
    let completed = ftgmac100_tx_complete(p, io);
    let mut work = 0;
    while work < budget && ftgmac100_rx_packet(p, io, &mut work, out) {}
    let progress = completed > 0 || work > 0;
    if std::mem::take(&mut p.need_mac_restart) {
        ftgmac100_start_hw(p, io);
        // The interrupts that told of the trouble were masked.
        io.write(p.mac, Reg::IER, INT_BAD);
    }
    if p.tx_buf_cleanable() || work == budget {
        return Polled { work: budget, progress };
    }
    // What arrived since the last look would raise no interrupt once its bit is cleared, so
    // the bits are cleared first and the rings looked at after.
    io.write(p.mac, Reg::ISR, INT_RXTX);
    if ftgmac100_check_rx(p, io) {
        return Polled { work: budget, progress: true };
    }
    io.write(p.mac, Reg::IER, INT_ALL);
    Polled { work, progress }
}

fn ftgmac100_check_rx(p: &Ftgmac100, io: &DriverIo<'_>) -> bool {
    io.desc0(p.rxdes, p.rx_pointer) & RXDES0_RXPKT_RDY != 0
}

/// Takes one descriptor; false if none is ready.
fn ftgmac100_rx_packet(
    p: &mut Ftgmac100,
    io: &mut DriverIo<'_>,
    work: &mut usize,
    out: &mut SkbQueue,
) -> bool {
    let i = p.rx_pointer;
    let [status, csum_vlan, ..] = io.read_desc(p.rxdes, i);
    if status & RXDES0_RXPKT_RDY == 0 || p.rx_maps.len() != RX_QUEUE_ENTRIES {
        return false;
    }
    *work += 1;
    match accept(io, status, csum_vlan) {
        Some(len) => out.push_back(take_packet(p, io, len, csum_vlan)),
        None => io.stats.rx_dropped += 1,
    }
    let end = if i + 1 == RX_QUEUE_ENTRIES { RXDES0_EDORR } else { 0 };
    io.write_desc(p.rxdes, i, [end, 0, 0, p.rx_maps[i].0]);
    p.rx_pointer = (i + 1) % RX_QUEUE_ENTRIES;
    true
}

/// The length of a frame that is to be taken; `None` for one to drop.
fn accept(io: &mut DriverIo<'_>, status: u32, csum_vlan: u32) -> Option<u32> {
    if status & RXDES0_FRS == 0 || status & RXDES0_LRS == 0 {
        return None;
    }
    let len = status & RXDES0_VDBC;
    if status & RXDES0_ANY_ERROR != 0 && !harmless_runt(status, csum_vlan, len) {
        count_error(io, status);
        return None;
    }
    // Linux trusts the count and would stop in skb_over_panic().
    if len > RX_BUF_SIZE {
        io.stats.rx_length_errors += 1;
        return None;
    }
    if status & RXDES0_MULTICAST != 0 {
        io.stats.multicast += 1;
    }
    Some(len)
}

/// A frame of 60 to 63 bytes from which the hardware took a VLAN tag is no runt.
fn harmless_runt(status: u32, csum_vlan: u32, len: u32) -> bool {
    status & RXDES0_ANY_ERROR == RXDES0_RUNT && csum_vlan & RXDES1_VLANTAG_AVAIL != 0 && len >= 60
}

/// `ftgmac100_rx_packet_error`.
fn count_error(io: &mut DriverIo<'_>, status: u32) {
    if status & RXDES0_RX_ERR != 0 {
        io.stats.rx_errors += 1;
    }
    if status & RXDES0_CRC_ERR != 0 {
        io.stats.rx_crc_errors += 1;
    }
    if status & (RXDES0_FTL | RXDES0_RUNT | RXDES0_RX_ODD_NB) != 0 {
        io.stats.rx_length_errors += 1;
    }
}

/// Turns the descriptor's buffer into an skb. A short frame is copied into the skb's own head and
/// the buffer stays; a longer one is handed up as it is, and a fresh buffer takes its place. The
/// four bytes of the FCS stay behind the packet; IP trims them.
fn take_packet(p: &mut Ftgmac100, io: &mut DriverIo<'_>, len: u32, csum_vlan: u32) -> Skb {
    let mut skb = match copy_short(p, io, len) {
        Some(skb) => skb,
        None => hand_over(p, io, len),
    };
    skb.truesize = p.rx_truesize;
    if csum_vlan & RXDES1_VLANTAG_AVAIL != 0 {
        skb.vlan_tci = Some((csum_vlan & RXDES1_VLAN_TAG) as u16);
    }
    let prot = (csum_vlan >> RXDES1_PROT_SHIFT) & 3;
    if prot != 0 && csum_vlan & RXDES1_ANY_CHKSUM_ERR == 0 {
        skb.ip_summed = IpSummed::Unnecessary;
    }
    io.stats.rx_packets += 1;
    io.stats.rx_bytes += u64::from(len);
    skb
}

/// A frame that fits the linear head, copied there.
fn copy_short(p: &Ftgmac100, io: &mut DriverIo<'_>, len: u32) -> Option<Skb> {
    if len as usize > SKB_HEAD {
        return None;
    }
    let bytes = io.hw.mem.bytes(p.rx_maps[p.rx_pointer], len).ok()?;
    let mut skb = Skb::alloc(io.skbs, 0);
    if let Some(room) = skb.put(len as usize) {
        room.copy_from_slice(bytes);
    }
    Some(skb)
}

/// The buffer itself as the skb's payload.
fn hand_over(p: &mut Ftgmac100, io: &mut DriverIo<'_>, len: u32) -> Skb {
    let i = p.rx_pointer;
    let mut frags = Frags::new();
    if let Some(frag) = io.hw.mem.unmap(p.rx_maps[i]) {
        frags.push(frag.slice(0, len.min(frag.len)));
    }
    p.rx_maps[i] = alloc_rx_buf(io);
    Skb::from_frags(io.skbs, frags)
}
