//! Transmission: skb to descriptors, and back when the frame is on the wire.

use super::regs::*;
use super::ring::{DriverIo, Ftgmac100, RX_BUF_SIZE, TX_HEADS_A_PAGE, TX_QUEUE_ENTRIES};
use crate::net::core::dev::skb_checksum_help;
use crate::net::core::skbuff::{DropReason, IpSummed, MAX_SKB_FRAGS, SKB_HEAD, Skb, skb_free};
use crate::net::ethernet::ETH_P_IP;
use crate::uapi::{IPPROTO_TCP, IPPROTO_UDP};
use hw_model::{DmaAddr, Frag, Reg};
use reference_stack_macros::traced;
use std::sync::Arc;

/// Shortest frame without FCS (`ETH_ZLEN`).
const ETH_ZLEN: usize = 60;
/// Free descriptors under which the queue stops.
const TX_THRESHOLD: usize = MAX_SKB_FRAGS + 1;

const _: () = assert!(TX_THRESHOLD < TX_QUEUE_ENTRIES);

impl Ftgmac100 {
    /// `ftgmac100_tx_buf_avail`: free descriptors; one always stays free.
    fn tx_buf_avail(&self) -> usize {
        (self.tx_clean_pointer + TX_QUEUE_ENTRIES - self.tx_pointer - 1) % TX_QUEUE_ENTRIES
    }

    /// `ftgmac100_tx_buf_cleanable`: whether a frame is outstanding.
    pub(super) fn tx_buf_cleanable(&self) -> bool {
        self.tx_pointer != self.tx_clean_pointer
    }

    /// Whether the queue is to stop, for want of descriptors.
    pub(super) fn tx_queue_full(&self) -> bool {
        self.tx_buf_avail() < TX_THRESHOLD
    }
}

/// Puts a frame into the ring and rings the doorbell. The caller stops the queue when
/// [`Ftgmac100::tx_queue_full`] says so afterwards.
pub(super) fn xmit(p: &mut Ftgmac100, io: &mut DriverIo<'_>, mut skb: Skb) {
    pad_to(&mut skb, ETH_ZLEN);
    let pieces = skb.frags.len() + 1;
    if skb.len() > RX_BUF_SIZE as usize || pieces > p.tx_buf_avail() || !p.running {
        io.stats.tx_dropped += 1;
        skb_free(io.skbs, io.wmem, skb, DropReason::FullRing);
        return;
    }
    let flags = prep_tx_csum(&mut skb) | vlan_flags(&skb);
    let first = p.tx_pointer;
    let head = dma_map_single(p, io, &skb);
    let mut pointer = next(first);
    // The slices go into their mappings; of the skb, its length and its charge are what is left.
    for (i, frag) in std::mem::take(&mut skb.frags).into_iter().enumerate() {
        let len = frag.len;
        let map = io.hw.mem.map(frag);
        let ctl = TXDES0_OWN | if i + 2 == pieces { TXDES0_LTS } else { 0 };
        write_descriptor(p, io, pointer, 0, map, len, ctl);
        pointer = next(pointer);
    }
    // The first descriptor is given to the hardware last, so that it never sees half a frame.
    let ctl = TXDES0_OWN | TXDES0_FTS | if pieces == 1 { TXDES0_LTS } else { 0 };
    write_descriptor(p, io, first, flags, head, skb.headlen() as u32, ctl);
    p.tx_pointer = pointer;
    p.tx_skbs.push_back(skb);
    io.write(p.mac, Reg::NPTXPD, 1);
}

fn next(pointer: usize) -> usize {
    (pointer + 1) % TX_QUEUE_ENTRIES
}

/// Makes the linear part reachable for the device: it is copied to the descriptor's own place,
/// because the head belongs to the skb and not to a page that could be shared.
#[traced]
fn dma_map_single(p: &Ftgmac100, io: &mut DriverIo<'_>, skb: &Skb) -> DmaAddr {
    let (page, place) = (p.tx_pointer / TX_HEADS_A_PAGE, p.tx_pointer % TX_HEADS_A_PAGE);
    let place = p.tx_heads[page].offset((place * SKB_HEAD) as u32);
    // The places are our own coherent memory, as the rings are.
    let _ = io.hw.mem.write(place, skb.linear());
    place
}

fn write_descriptor(
    p: &Ftgmac100,
    io: &mut DriverIo<'_>,
    index: usize,
    flags: u32,
    map: DmaAddr,
    len: u32,
    ctl: u32,
) {
    let end = if index + 1 == TX_QUEUE_ENTRIES { TXDES0_EDOTR } else { 0 };
    io.write_desc(p.txdes, index, [(len & TXDES0_SIZE) | ctl | end, flags, 0, map.0]);
}

/// `skb_put_padto`: a frame is at least 60 bytes long.
fn pad_to(skb: &mut Skb, len: usize) {
    let missing = len.saturating_sub(skb.len());
    if missing > 0 && skb.put(missing).is_none() {
        skb.add_frag(Frag::new(Arc::new(vec![0; missing])));
    }
}

/// `ftgmac100_prep_tx_csum`: the hardware fills IPv4's TCP and UDP checksums; whatever else was
/// left to the device is summed here.
fn prep_tx_csum(skb: &mut Skb) -> u32 {
    if !matches!(skb.ip_summed, IpSummed::Partial { .. }) {
        return 0;
    }
    let protocol = skb.head_at(skb.network_header).get(9).filter(|_| skb.protocol == ETH_P_IP);
    match protocol {
        Some(&IPPROTO_TCP) => TXDES1_IP_CHKSUM | TXDES1_TCP_CHKSUM,
        Some(&IPPROTO_UDP) => TXDES1_IP_CHKSUM | TXDES1_UDP_CHKSUM,
        _ => {
            skb_checksum_help(skb);
            0
        }
    }
}

fn vlan_flags(skb: &Skb) -> u32 {
    skb.vlan_tci.map_or(0, |tci| TXDES1_INS_VLANTAG | u32::from(tci))
}

/// `ftgmac100_tx_complete`: takes back what the hardware has sent. How many frames ended.
pub(super) fn ftgmac100_tx_complete(p: &mut Ftgmac100, io: &mut DriverIo<'_>) -> usize {
    let mut frames = 0;
    while p.tx_buf_cleanable() {
        let i = p.tx_clean_pointer;
        if io.desc0(p.txdes, i) & TXDES0_OWN != 0 {
            break;
        }
        if ftgmac100_free_tx_packet(p, io)
            && let Some(skb) = p.tx_skbs.pop_front()
        {
            io.stats.tx_packets += 1;
            io.stats.tx_bytes += skb.len() as u64;
            frames += 1;
            skb_free(io.skbs, io.wmem, skb, DropReason::Consumed);
        }
    }
    frames
}

/// Takes the oldest descriptor out of the ring, and a slice out of its mapping; whether it was
/// its frame's last.
pub(super) fn ftgmac100_free_tx_packet(p: &mut Ftgmac100, io: &mut DriverIo<'_>) -> bool {
    let [ctl, .., map] = io.read_desc(p.txdes, p.tx_clean_pointer);
    if ctl & TXDES0_FTS == 0 {
        io.hw.mem.unmap(DmaAddr(map));
    }
    p.tx_clean_pointer = next(p.tx_clean_pointer);
    ctl & TXDES0_LTS != 0
}
