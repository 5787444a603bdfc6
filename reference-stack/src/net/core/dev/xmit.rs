//! The way down: `dev_queue_xmit` to the driver.

use super::{DevId, Driver, NETIF_F_HW_CSUM, NETIF_F_TSO};
use crate::drivers::net::ethernet::faraday::ftgmac100;
use crate::drivers::net::{loopback, tun, veth};
use crate::errno::Errno;
use crate::kernel::FrameOut;
use crate::net::Net;
use crate::net::core::gso::skb_gso_segment;
use crate::net::core::skbuff::{DropReason, IpSummed, SkBuff, Skb, kfree_skb};
use crate::net::core::sock::SkbQueue;
use crate::net::core::timestamping::skb_sched_timestamp;
use crate::net::core::zerocopy::skb_orphan_frags_rx;
use crate::net::sched::Qdisc;
use crate::time::HrtimerId;
use reference_stack_macros::traced;

/// What a driver says to a packet (`netdev_tx_t`).
#[derive(Debug)]
pub(crate) enum NetdevTx {
    /// `NETDEV_TX_OK`: it took the packet, whatever becomes of it.
    Ok,
    /// `NETDEV_TX_BUSY`: no room; here it is again.
    #[expect(dead_code, reason = "every driver here stops its queue before it has no room")]
    Busy(Skb),
}

/// Packets that one run of a qdisc may send (`dev_tx_weight`).
const DEV_TX_WEIGHT: usize = 64;

/// Sends a packet through the device that it names (`skb->dev`).
///
/// # Errors
/// ENOBUFS: the queueing discipline dropped it (`NET_XMIT_DROP`). ENETDOWN: the device is down.
#[traced]
pub(crate) fn dev_queue_xmit(net: &mut Net, skb: Skb) -> Result<(), Errno> {
    __dev_queue_xmit(net, skb)
}

#[traced]
fn __dev_queue_xmit(net: &mut Net, mut skb: Skb) -> Result<(), Errno> {
    let Some(id) = skb.dev.filter(|&d| net.devs.get(d).is_some()) else {
        kfree_skb(net, skb, DropReason::DevReady);
        return Err(Errno::ENETDOWN);
    };
    skb.reset_mac_header();
    skb_sched_timestamp(net, &skb);
    let queue = netdev_core_pick_tx(net, id, &skb);
    match net.devs[id].qdisc {
        // noop_enqueue(): the device is down; NET_XMIT_CN is no error to the sender.
        Qdisc::Noop => {
            kfree_skb(net, skb, DropReason::DevReady);
            Ok(())
        }
        Qdisc::Noqueue => {
            if net.devs[id].xoff {
                kfree_skb(net, skb, DropReason::QdiscDrop);
                return Err(Errno::ENETDOWN);
            }
            let mut list = SkbQueue::default();
            if let Some(first) = validate_xmit_skb(net, id, skb, &mut list) {
                dev_hard_start_xmit(net, id, queue, first, &mut list);
            }
            while let Some(left) = list.pop_front() {
                kfree_skb(net, left, DropReason::QdiscDrop);
            }
            Ok(())
        }
        Qdisc::Fifo(_) | Qdisc::Fq(_) => __dev_xmit_skb(net, id, queue, skb),
    }
}

/// Selects the transmit queue; the devices here have one.
#[traced]
fn netdev_core_pick_tx(_net: &Net, _id: DevId, _skb: &SkBuff) -> u16 {
    0
}

/// An empty queue of a device that is ready is passed by.
fn __dev_xmit_skb(net: &mut Net, id: DevId, queue: u16, skb: Skb) -> Result<(), Errno> {
    let dev = &net.devs[id];
    if dev.qdisc.can_bypass() && dev.qdisc.is_empty() && !dev.xoff && dev.is_up() {
        sch_direct_xmit(net, id, queue, skb);
        return Ok(());
    }
    let refused = net.devs.get_mut(id).qdisc.enqueue(skb, &net.time);
    let dropped = refused.is_some();
    if let Some(skb) = refused {
        net.devs.get_mut(id).stats.tx_dropped += 1;
        kfree_skb(net, skb, DropReason::QdiscDrop);
    }
    __qdisc_run(net, id, queue);
    if dropped { Err(Errno::ENOBUFS) } else { Ok(()) }
}

/// Sends what a device's qdisc holds, until it is empty, the driver's queue stops, or the quota
/// is used up.
fn __qdisc_run(net: &mut Net, id: DevId, queue: u16) {
    for _ in 0..DEV_TX_WEIGHT {
        if net.devs[id].xoff || !net.devs[id].is_up() {
            return;
        }
        if net.devs[id].qdisc.is_empty() {
            return;
        }
        // Packets that were validated before and found the driver busy (`gso_skb`) go first.
        let mut list = net.devs.get_mut(id).qdisc.take_requeued();
        let sent = if let Some(first) = list.pop_front() {
            dev_hard_start_xmit(net, id, queue, first, &mut list);
            requeue_rest(net, id, list)
        } else if let Some(skb) = net.devs.get_mut(id).qdisc.dequeue(&net.time) {
            sch_direct_xmit(net, id, queue, skb)
        } else {
            return qdisc_watchdog_schedule(net, id);
        };
        if !sent {
            return;
        }
    }
    __netif_schedule(net, id);
}

/// What a qdisc holds is not due yet: it runs again when it is.
fn qdisc_watchdog_schedule(net: &mut Net, id: DevId) {
    if let Some(at) = net.devs[id].qdisc.watchdog() {
        net.hrtimer_start(HrtimerId::Qdisc(id), at.saturating_sub(net.time.ktime_ns()));
    }
}

/// The time of a qdisc's next packet has come (`qdisc_watchdog`).
pub(crate) fn qdisc_watchdog(net: &mut Net, id: DevId) {
    __netif_schedule(net, id);
}

/// Gives a packet to the driver; whether it took all of it. The rest is the next to go.
fn sch_direct_xmit(net: &mut Net, id: DevId, queue: u16, skb: Skb) -> bool {
    let mut list = SkbQueue::default();
    if let Some(first) = validate_xmit_skb(net, id, skb, &mut list) {
        dev_hard_start_xmit(net, id, queue, first, &mut list);
    }
    requeue_rest(net, id, list)
}

fn requeue_rest(net: &mut Net, id: DevId, list: SkbQueue) -> bool {
    let sent = list.is_empty();
    if !sent {
        net.devs.get_mut(id).qdisc.requeue(list);
    }
    sent
}

/// Has a device's qdisc run in the NET_TX softirq.
fn __netif_schedule(net: &mut Net, id: DevId) {
    if !net.softnet.output_queue.contains(&id) {
        net.softnet.output_queue.push(id);
    }
}

/// The driver has no more room (`netif_stop_queue`).
pub(crate) fn netif_stop_queue(net: &mut Net, id: DevId) {
    net.devs.get_mut(id).xoff = true;
}

/// The driver has room again (`netif_wake_queue`).
pub(crate) fn netif_wake_queue(net: &mut Net, id: DevId) {
    if net.devs[id].xoff {
        net.devs.get_mut(id).xoff = false;
        __netif_schedule(net, id);
    }
}

/// The NET_TX softirq; whether it had something to do.
pub(super) fn net_tx_action(net: &mut Net) {
    if net.softnet.output_queue.is_empty() {
        return;
    }
    for id in std::mem::take(&mut net.softnet.output_queue) {
        __qdisc_run(net, id, 0);
    }
}

/// Gives a packet and those behind it to the driver one by one; what it has no room for stays
/// in `list`.
#[traced]
fn dev_hard_start_xmit(net: &mut Net, id: DevId, queue: u16, first: Skb, list: &mut SkbQueue) {
    let mut next = Some(first);
    while let Some(skb) = next {
        let more = !list.is_empty();
        if let NetdevTx::Busy(skb) = xmit_one(net, id, queue, skb, more) {
            list.push_front(skb);
            return;
        }
        if more && net.devs[id].xoff {
            return;
        }
        next = list.pop_front();
    }
}

#[traced]
fn xmit_one(net: &mut Net, id: DevId, queue: u16, skb: Skb, more: bool) -> NetdevTx {
    if net.devs[id].tapped {
        dev_queue_xmit_nit(net, &skb);
    }
    netdev_start_xmit(net, id, queue, skb, more)
}

/// Whoever listens on the device gets the packet before the driver does. What it shows is not kept here,
/// but for that a caller's pages are copied (`skb_orphan_frags_rx`).
fn dev_queue_xmit_nit(net: &mut Net, skb: &SkBuff) {
    net.skbs.ubufs.set_copied(skb.uarg);
}

#[traced]
fn netdev_start_xmit(net: &mut Net, id: DevId, queue: u16, skb: Skb, more: bool) -> NetdevTx {
    let rc = __netdev_start_xmit(net, id, skb, more);
    if let NetdevTx::Ok = rc {
        net.pause_after_xmit();
        txq_trans_update(net, id, queue);
    }
    rc
}

fn txq_trans_update(net: &mut Net, id: DevId, _queue: u16) {
    let now = net.jiffies();
    if net.devs[id].trans_start != now {
        net.devs.get_mut(id).trans_start = now;
    }
}

/// `ndo_start_xmit`.
#[traced]
fn __netdev_start_xmit(net: &mut Net, id: DevId, skb: Skb, more: bool) -> NetdevTx {
    match net.devs[id].driver {
        Driver::Loopback => loopback::loopback_xmit(net, id, skb),
        Driver::Tun | Driver::Tap => tun::tun_net_xmit(net, id, skb),
        Driver::Veth => veth::veth_xmit(net, id, skb),
        Driver::Ftgmac100(_) => ftgmac100::ftgmac100_hard_start_xmit(net, id, skb, more),
    }
}

/// Makes a packet into what the device takes: super-packets are cut if it cannot, checksums are
/// filled if it does not. The first packet, and those behind it in `rest`; `None`: it was dropped.
fn validate_xmit_skb(net: &mut Net, id: DevId, mut skb: Skb, rest: &mut SkbQueue) -> Option<Skb> {
    let features = net.devs[id].features;
    let cut = skb.gso_size > 0
        && (features & NETIF_F_TSO == 0 || !matches!(skb.ip_summed, IpSummed::Partial { .. }));
    if cut {
        match skb_gso_segment(net, skb) {
            Ok(segments) => *rest = segments,
            Err(skb) => {
                net.devs.get_mut(id).stats.tx_dropped += 1;
                kfree_skb(net, skb, DropReason::SkbCsum);
            }
        }
        skb = rest.pop_front()?;
    }
    if features & NETIF_F_HW_CSUM == 0 {
        skb_checksum_help(&mut skb);
        for i in 0..rest.len() {
            if let Some(skb) = rest.get_mut(i) {
                skb_checksum_help(skb);
            }
        }
    }
    Some(skb)
}

/// Fills the transport checksum that was left to the device.
pub(crate) fn skb_checksum_help(skb: &mut SkBuff) {
    let IpSummed::Partial { offset } = skb.ip_summed else { return };
    skb.ip_summed = IpSummed::None;
    let Some(start) = skb.transport_header.checked_sub(skb.data_offset()) else { return };
    let sum = skb.checksum(start.into()).finish();
    let transport = skb.transport_header;
    if let Some(field) = skb.head_at_mut(transport).get_mut(offset.into()..usize::from(offset) + 2)
    {
        // CSUM_MANGLED_0: in UDP, zero says that there is no checksum.
        let sum = if sum == 0 { 0xffff } else { sum };
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

/// Counts a packet as sent by a device without hardware, and puts it on the wire at once.
pub(crate) fn tx_frame(net: &mut Net, id: DevId, mut skb: Skb) {
    skb_orphan_frags_rx(&mut net.skbs, &mut skb);
    skb_checksum_help(&mut skb);
    let mut bytes = Vec::with_capacity(skb.len());
    for part in skb.slices() {
        bytes.extend_from_slice(part);
    }
    let dev = net.devs.get_mut(id);
    dev.stats.tx_packets += 1;
    dev.stats.tx_bytes += bytes.len() as u64;
    if let Some(port) = dev.port {
        let at = net.time.now();
        let gso_size = skb.gso_size;
        net.softnet.frames_out.push(FrameOut { port, at, bytes, gso_size });
    }
    kfree_skb(net, skb, DropReason::Consumed);
}
