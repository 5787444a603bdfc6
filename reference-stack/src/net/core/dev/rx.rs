//! The way up: the backlog, NAPI and the NET_RX softirq.

use super::{DevId, Driver};
use crate::drivers::net::ethernet::faraday::ftgmac100;
use crate::drivers::net::{tun, veth};
use crate::kernel::{FrameIn, FrameOut, Port};
use crate::net::Net;
use crate::net::core::skbuff::{DropReason, PktType, SkBuff, Skb, kfree_skb};
use crate::net::core::sock::SkbQueue;
use crate::net::ethernet::{ETH_P_8021Q, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6};
use reference_stack_macros::traced;

/// Who can be on the poll list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Napi {
    /// `softnet_data.backlog`.
    Backlog,
    /// A device's `napi_struct`.
    Dev(DevId),
}

/// What a poll function says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NapiPoll {
    /// `napi_complete_done`: off the list until it is scheduled again.
    Complete,
    /// It used its weight, or moved something: poll again.
    Again,
    /// It stays scheduled, but nothing moved; the hardware has to do something first.
    Stalled,
}

/// `struct softnet_data`: the backlog and the NAPI poll list of the one CPU.
#[derive(Clone, Debug, Default)]
pub(crate) struct Softnet {
    pub(super) input_pkt_queue: SkbQueue,
    /// Packets that a driver hands up within its own call (`netif_receive_skb` from process
    /// context, as TUN's write does).
    direct: SkbQueue,
    poll_list: Vec<Napi>,
    /// The poll list that is being worked on; between softirqs it is empty and keeps its room.
    polling: Vec<Napi>,
    /// On the poll list, waiting for the hardware.
    stalled: Vec<Napi>,
    /// Packets on their way from the polls to their protocols; empty between softirqs too.
    pub(crate) received: SkbQueue,
    /// Devices whose qdisc is to run (`output_queue`).
    pub(super) output_queue: Vec<DevId>,
    /// A task's call runs, not a softirq.
    pub(crate) in_task: bool,
    /// What drivers without hardware sent.
    pub(super) frames_out: Vec<FrameOut>,
    /// A socket asked when packets arrive (`netstamp_needed_key`).
    pub(crate) netstamp_needed: bool,
    /// Packets taken from the backlog.
    pub(crate) processed: u32,
    /// Packets that found the backlog full.
    pub(crate) dropped: u32,
    /// How often the softirq's budget ended before the work did.
    pub(crate) time_squeeze: u32,
}

impl Softnet {
    /// Whether the NET_TX or NET_RX softirq has something to do.
    pub(crate) fn pending(&self) -> bool {
        !(self.poll_list.is_empty() && self.output_queue.is_empty() && self.direct.is_empty())
    }

    pub(super) fn queued(&self) -> usize {
        self.input_pkt_queue.len() + self.direct.len()
    }
}

/// Packets that one poll may take (`dev_weight` for the backlog, `NAPI_POLL_WEIGHT` for devices).
const NAPI_POLL_WEIGHT: usize = 64;

/// Puts a NAPI instance on the poll list, if it is not there (`napi_schedule_prep` and
/// `__napi_schedule_irqoff`); whether it was put there.
pub(crate) fn napi_schedule(net: &mut Net, napi: Napi) -> bool {
    if !napi_schedule_prep(net, napi) {
        return false;
    }
    __napi_schedule_irqoff(net, napi);
    true
}

/// Whether a NAPI instance may be scheduled: it is not yet.
#[traced]
pub(crate) fn napi_schedule_prep(net: &Net, napi: Napi) -> bool {
    !net.softnet.poll_list.contains(&napi) && !net.softnet.stalled.contains(&napi)
}

/// Takes a NAPI instance off the lists (`napi_disable`).
pub(crate) fn napi_disable(net: &mut Net, napi: Napi) {
    net.softnet.poll_list.retain(|&n| n != napi);
    net.softnet.stalled.retain(|&n| n != napi);
}

/// Puts a NAPI instance on the poll list; [`napi_schedule_prep`] has said that it may be.
#[traced]
pub(crate) fn __napi_schedule_irqoff(net: &mut Net, napi: Napi) {
    ____napi_schedule(net, napi);
}

#[traced]
fn ____napi_schedule(net: &mut Net, napi: Napi) {
    net.softnet.poll_list.push(napi);
    __raise_softirq_irqoff(net);
}

/// NET_RX is pending while the poll list is not empty, so there is no bit to set.
#[traced]
fn __raise_softirq_irqoff(_net: &mut Net) {}

/// A poll that waited for the hardware is tried again.
pub(super) fn retry_stalled_polls(net: &mut Net) {
    let stalled = std::mem::take(&mut net.softnet.stalled);
    net.softnet.poll_list.extend(stalled);
}

/// Queues a packet for the backlog (`netif_rx`, `enqueue_to_backlog`).
pub(crate) fn netif_rx(net: &mut Net, skb: Skb) {
    if net.softnet.input_pkt_queue.len() > net.sysctl.netdev_max_backlog.max(0) as usize {
        net.softnet.dropped = net.softnet.dropped.wrapping_add(1);
        if let Some(dev) = skb.dev {
            net.devs.get_mut(dev).stats.rx_dropped += 1;
        }
        kfree_skb(net, skb, DropReason::CpuBacklog);
        return;
    }
    net.softnet.input_pkt_queue.push_back(skb);
    napi_schedule(net, Napi::Backlog);
}

/// Hands a packet up from a driver's own call, outside of a poll.
pub(crate) fn netif_receive_skb(net: &mut Net, skb: Skb) {
    net.softnet.direct.push_back(skb);
}

/// A frame from outside reaches a port, now. An unknown port or a device that is down loses it.
pub(crate) fn frame_in(net: &mut Net, port: Port, frame: FrameIn) {
    let Some(id) = net.devs.by_port(port) else { return };
    match net.devs[id].driver {
        Driver::Tun | Driver::Tap => tun::tun_get_user(net, id, frame),
        Driver::Veth => veth::veth_forward_skb(net, id, frame),
        Driver::Ftgmac100(_) => ftgmac100::frame_in(net, id, frame),
        Driver::Loopback => {}
    }
}

/// A damaged frame reaches a port: only a MAC has one to count.
pub(crate) fn frame_in_damaged(net: &mut Net, port: Port, bytes: Vec<u8>) {
    let Some(id) = net.devs.by_port(port) else { return };
    if let Driver::Ftgmac100(_) = net.devs[id].driver {
        ftgmac100::frame_in_damaged(net, id, bytes);
    }
}

/// The NET_TX and NET_RX softirqs, once: packets for the protocols are put into `out`, in order.
pub(crate) fn net_rx_action(net: &mut Net, out: &mut SkbQueue) {
    super::xmit::net_tx_action(net);
    while let Some(skb) = net.softnet.direct.pop_front() {
        out.push_back(skb);
    }
    if !net.softnet.poll_list.is_empty() {
        poll_devices(net, out);
    }
}

/// Polls everything on the poll list once, within the softirq's budget.
fn poll_devices(net: &mut Net, out: &mut SkbQueue) {
    let mut budget = net.sysctl.netdev_budget.max(1) as usize;
    let spare = std::mem::take(&mut net.softnet.polling);
    let mut list = std::mem::replace(&mut net.softnet.poll_list, spare);
    // Those that are to be polled again are gathered at the list's front.
    let (mut polled, mut again) = (0, 0);
    while polled < list.len() && budget > 0 {
        let napi = list[polled];
        let before = out.len();
        let verdict = napi_poll(net, napi, out);
        budget = budget.saturating_sub(out.len() - before);
        polled += 1;
        match verdict {
            NapiPoll::Again if !net.softnet.poll_list.contains(&napi) => {
                list[again] = napi;
                again += 1;
            }
            NapiPoll::Stalled if !net.softnet.poll_list.contains(&napi) => {
                net.softnet.stalled.push(napi);
            }
            _ => {}
        }
    }
    if budget == 0 {
        net.softnet.time_squeeze = net.softnet.time_squeeze.wrapping_add(1);
    }
    // What the budget left comes first, then what was scheduled meanwhile, then the repolls.
    if polled < list.len() {
        net.softnet.poll_list.splice(..0, list[polled..].iter().copied());
    }
    net.softnet.poll_list.extend_from_slice(&list[..again]);
    list.clear();
    net.softnet.polling = list;
}

fn napi_poll(net: &mut Net, napi: Napi, out: &mut SkbQueue) -> NapiPoll {
    match napi {
        Napi::Backlog => process_backlog(net, out),
        Napi::Dev(id) => match net.devs[id].driver {
            Driver::Ftgmac100(_) => ftgmac100::ftgmac100_poll(net, id, NAPI_POLL_WEIGHT, out),
            _ => NapiPoll::Complete,
        },
    }
}

fn process_backlog(net: &mut Net, out: &mut SkbQueue) -> NapiPoll {
    let quota = net.sysctl.dev_weight.max(1) as usize;
    for _ in 0..quota {
        let Some(skb) = net.softnet.input_pkt_queue.pop_front() else {
            return NapiPoll::Complete;
        };
        net.softnet.processed = net.softnet.processed.wrapping_add(1);
        out.push_back(skb);
    }
    NapiPoll::Again
}

/// What every received packet goes through before its protocol sees it: the 802.1Q tag is taken
/// off, and a packet for a VLAN that has no device is for somebody else. Who takes it.
///
/// # Errors
/// Why it is to be dropped.
pub(crate) fn __netif_receive_skb_core(skb: &mut SkBuff) -> Result<PacketType, DropReason> {
    skb.reset_network_header();
    if skb.protocol == ETH_P_8021Q && !skb_vlan_untag(skb) {
        return Err(DropReason::HdrTrunc);
    }
    if let Some(tci) = skb.vlan_tci.take()
        && tci & 0x0fff != 0
    {
        skb.pkt_type = PktType::OtherHost;
    }
    packet_type(skb).ok_or(DropReason::UnhandledProto)
}

/// Takes the tag that stands in front of the packet; false if there is not a whole one.
fn skb_vlan_untag(skb: &mut SkBuff) -> bool {
    if !skb.may_pull(4) {
        return false;
    }
    let tag = skb.linear();
    let (tci, proto) = (u16::from_be_bytes([tag[0], tag[1]]), u16::from_be_bytes([tag[2], tag[3]]));
    skb.vlan_tci = Some(tci);
    skb.protocol = proto;
    skb.pull(4);
    skb.reset_network_header();
    true
}

/// The protocols that take packets (`struct packet_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PacketType {
    /// `ip_packet_type`: `ip_rcv`.
    Ip,
    /// `arp_packet_type`: `arp_rcv`.
    Arp,
    /// `ipv6_packet_type`: `ipv6_rcv`.
    Ipv6,
}

/// Who takes a packet; `None`: nobody.
fn packet_type(skb: &SkBuff) -> Option<PacketType> {
    match skb.protocol {
        ETH_P_IP => Some(PacketType::Ip),
        ETH_P_ARP => Some(PacketType::Arp),
        ETH_P_IPV6 => Some(PacketType::Ipv6),
        _ => None,
    }
}
