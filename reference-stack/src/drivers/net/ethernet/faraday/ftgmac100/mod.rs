//! The ftgmac100 driver (Linux 5.15 `drivers/net/ethernet/faraday/ftgmac100.c`): rings, NAPI,
//! MDIO. NC-SI, EEE, ethtool's ring sizes and the AST2600's own MDIO controller are not built.
//!
//! | who trusts whom | with what | if that is wrong |
//! | --- | --- | --- |
//! | the driver trusts the device | byte count of a received frame | Linux stops in skb_over_panic(); here the frame is dropped and counted (a named deviation) |
//! | | FRS and LRS | a frame without one of them is dropped and counted |
//! | | OWN given back in order | completion stops at the first descriptor that is still owned |
//! | | the self-clearing reset and MDIO bits | polled ten times, then an error |
//! | the device trusts the driver | ring and buffer addresses | AHB error; the driver resets the MAC |

mod mdio;
mod regs;
mod ring;
mod rx;
mod tx;

pub(crate) use ring::Ftgmac100;

use crate::Nanos;
use crate::errno::Errno;
use crate::kernel::{FrameIn, FrameOut, NicConfig};
use crate::net::Net;
use crate::net::core::dev::{
    self, DevId, Driver, NETIF_F_GRO, NETIF_F_HW_CSUM, NETIF_F_HW_VLAN_CTAG_RX,
    NETIF_F_HW_VLAN_CTAG_TX, NETIF_F_RXCSUM, NETIF_F_SG, Napi, NapiPoll, NetDevice, NetdevTx,
    netif_carrier_set, netif_stop_queue, netif_wake_queue,
};
use crate::net::core::skbuff::Skb;
use crate::net::core::sock::SkbQueue;
use crate::net::ethernet::eth_type_trans;
use crate::time::TimerId;
use hw_model::{Fcs, Frame, MAC_BASE, MAC_IRQ};
use reference_stack_macros::traced;
use ring::DriverIo;

/// Seconds that a stopped queue may stand still (`watchdog_timeo`).
const WATCHDOG_SECONDS: u64 = 5;
/// `PHY_STATE_TIME`, seconds: how often a PHY without interrupt is asked.
const PHY_STATE_SECONDS: u64 = 1;

/// Runs `f` on the device's private state and on what the driver reaches besides.
fn with<T>(
    net: &mut Net,
    id: DevId,
    f: impl FnOnce(&mut Ftgmac100, &mut DriverIo<'_>) -> T,
) -> Option<T> {
    let Net { devs, hw, skbs, wmem, time, .. } = net;
    let NetDevice { driver: Driver::Ftgmac100(p), stats, .. } = devs.get_mut(id) else {
        return None;
    };
    Some(f(p, &mut DriverIo { hw, skbs, wmem, stats, now: time.now() }))
}

fn private(dev: &NetDevice) -> Option<&Ftgmac100> {
    match &dev.driver {
        Driver::Ftgmac100(p) => Some(p),
        _ => None,
    }
}

/// Finds the device of a MAC: the device, and the console lines.
pub(crate) fn ftgmac100_probe(net: &mut Net, mac: u8, nic: &NicConfig) -> (NetDevice, Vec<String>) {
    let mac = usize::from(mac) % MAC_BASE.len();
    let p = Ftgmac100::new(mac, nic.mac, &net.profile);
    let mut dev = NetDevice::ether(&nic.name, nic.mac, nic.mtu, Driver::Ftgmac100(Box::new(p)));
    dev.features = NETIF_F_SG
        | NETIF_F_HW_CSUM
        | NETIF_F_RXCSUM
        | NETIF_F_GRO
        | NETIF_F_HW_VLAN_CTAG_TX
        | NETIF_F_HW_VLAN_CTAG_RX;
    dev.max_mtu = ring::RX_BUF_SIZE - 22;
    dev.carrier = false;
    let node = format!("{:x}.ethernet", MAC_BASE[mac]);
    let address = nic.mac.map(|b| format!("{b:02x}")).join(":");
    let lines = vec![
        format!("ftgmac100 {node}: Read MAC address {address} from chip"),
        format!(
            "RTL8211E Gigabit Ethernet {node}--1:00: attached PHY driver \
             (mii_bus:phy_addr={node}--1:00, irq=POLL)"
        ),
        format!("ftgmac100 {node} {}: irq {}, mapped at (ptrval)", nic.name, MAC_IRQ[mac]),
    ];
    (dev, lines)
}

/// `ndo_open`.
///
/// # Errors
/// EIO: the MAC does not come out of its reset.
pub(crate) fn ftgmac100_open(net: &mut Net, id: DevId) -> Result<(), Errno> {
    if with(net, id, ring::ftgmac100_open) != Some(true) {
        return Err(Errno::EIO);
    }
    phy_state_machine(net, id);
    Ok(())
}

/// `ndo_stop`.
pub(crate) fn ftgmac100_stop(net: &mut Net, id: DevId) {
    with(net, id, ring::ftgmac100_stop);
    net.del_timer(TimerId::Phy(id));
    net.del_timer(TimerId::Watchdog(id));
    dev::napi_disable(net, Napi::Dev(id));
}

/// `ndo_start_xmit`. `more`: another packet follows at once; the doorbell rings all the same,
/// as this driver does not ask.
#[traced]
pub(crate) fn ftgmac100_hard_start_xmit(
    net: &mut Net,
    id: DevId,
    skb: Skb,
    _more: bool,
) -> NetdevTx {
    let full = with(net, id, |p, io| {
        tx::xmit(p, io, skb);
        p.tx_queue_full()
    });
    if full == Some(true) {
        netif_stop_queue(net, id);
        let expires = net.jiffies() + WATCHDOG_SECONDS * u64::from(net.time.hz());
        net.mod_timer(TimerId::Watchdog(id), expires);
    }
    interrupt(net, id);
    NetdevTx::Ok
}

/// The NAPI poll: at most `budget` packets into `out`.
#[traced]
pub(crate) fn ftgmac100_poll(
    net: &mut Net,
    id: DevId,
    budget: usize,
    out: &mut SkbQueue,
) -> NapiPoll {
    let first = out.len();
    let polled = with(net, id, |p, io| {
        let polled = rx::poll(p, io, budget, out);
        (polled, p.tx_queue_full())
    });
    for i in first..out.len() {
        if let Some(skb) = out.get_mut(i) {
            skb.protocol = eth_type_trans(skb, &net.devs[id]);
        }
    }
    let Some((polled, full)) = polled else { return NapiPoll::Complete };
    if !full && net.devs[id].xoff {
        net.del_timer(TimerId::Watchdog(id));
        netif_wake_queue(net, id);
    }
    match polled {
        rx::Polled { work, .. } if work < budget => NapiPoll::Complete,
        rx::Polled { progress: true, .. } => NapiPoll::Again,
        _ => NapiPoll::Stalled,
    }
}

/// What the MACs have sent by now comes back, if a task's call is running: on the host the softirq
/// runs within the call, as soon as the driver has a packet (`local_bh_enable` at the end of
/// `__dev_queue_xmit`). Of that, a call can see only what its socket is charged, so it is done
/// when a charge is about to hold the socket back.
pub(crate) fn complete_in_task(net: &mut Net) {
    if !net.softnet.in_task {
        return;
    }
    for id in net.devs.ids() {
        with(net, id, tx::ftgmac100_tx_complete);
    }
}

/// Serves a device whose interrupt line is up, and resets it if an AHB error stopped it.
fn interrupt(net: &mut Net, id: DevId) {
    let Some(p) = private(&net.devs[id]) else { return };
    // A handler that leaves its line up would run for ever; what it cannot clear waits.
    if p.irq(&net.hw) {
        ftgmac100_interrupt(net, id);
    }
    if private(&net.devs[id]).is_some_and(|p| p.need_reset) {
        with(net, id, ring::ftgmac100_reset_task);
        dev::napi_schedule(net, Napi::Dev(id));
    }
}

/// The interrupt handler: acknowledges, notes trouble, and leaves the frames to NAPI.
#[traced]
fn ftgmac100_interrupt(net: &mut Net, id: DevId) {
    if with(net, id, ring::acknowledge) == Some(true) && dev::napi_schedule_prep(net, Napi::Dev(id))
    {
        dev::__napi_schedule_irqoff(net, Napi::Dev(id));
    }
}

/// A frame reaches the MAC's wire.
pub(crate) fn frame_in(net: &mut Net, id: DevId, frame: FrameIn) {
    receive(net, id, &Frame::from_vec(frame.bytes).padded());
}

/// A frame whose FCS does not fit reaches the MAC.
pub(crate) fn frame_in_damaged(net: &mut Net, id: DevId, bytes: Vec<u8>) {
    receive(net, id, &Frame::from_vec(bytes).padded().with_fcs(Fcs::Bad));
}

fn receive(net: &mut Net, id: DevId, frame: &Frame) {
    with(net, id, |p, io| {
        // What becomes of it shows in the MAC's own counters and interrupts.
        let _ = io.hw.macs[p.mac_index()].rx(&mut io.hw.mem, io.now, frame);
    });
    interrupt(net, id);
}

/// Moves what the MACs put on their wires to the machine's frames.
pub(crate) fn collect_frames(net: &mut Net, out: &mut Vec<FrameOut>) {
    for id in net.devs.ids() {
        let Some(port) = net.devs[id].port else { continue };
        let Some(mac) = private(&net.devs[id]).map(Ftgmac100::mac_index) else { continue };
        while let Some((at, frame)) = net.hw.macs[mac].tx_pop() {
            out.push(FrameOut { port, at, bytes: frame.into_vec(), gso_size: 0 });
        }
    }
}

/// When a MAC has something to do next.
pub(crate) fn next_event(net: &Net) -> Option<Nanos> {
    net.hw.macs.iter().filter_map(hw_model::Mac::next_event).min()
}

/// Lets the MACs do what is due, and runs the interrupt handlers of those that ask.
pub(crate) fn advance(net: &mut Net) {
    let now = net.time.now();
    let hw = &mut net.hw;
    for mac in &mut hw.macs {
        mac.advance(&mut hw.mem, now);
    }
    for id in net.devs.ids() {
        interrupt(net, id);
    }
}

/// Plugs the cable in or out.
pub(crate) fn set_link(net: &mut Net, id: DevId, up: bool) {
    with(net, id, |p, io| io.hw.macs[p.mac_index()].set_link(up));
    phy_state_machine(net, id);
}

/// The console line of a link that came up (`phy_print_status`).
pub(crate) fn phy_link_line(_net: &Net, dev: &NetDevice) -> String {
    let name = &dev.name;
    match private(dev).and_then(Ftgmac100::link) {
        Some(speed) if speed >= 1000 => {
            format!("ftgmac100 {name}: Link is Up - {}Gbps/Full - flow control rx/tx", speed / 1000)
        }
        Some(speed) => {
            format!("ftgmac100 {name}: Link is Up - {speed}Mbps/Full - flow control rx/tx")
        }
        None => format!("ftgmac100 {name}: Link is Down"),
    }
}

/// The transmit watchdog: a queue that stands still although frames wait has the MAC reset.
pub(crate) fn dev_watchdog(net: &mut Net, id: DevId) {
    if net.devs[id].xoff {
        with(net, id, |p, io| {
            p.need_reset = true;
            ring::ftgmac100_reset_task(p, io);
        });
        netif_wake_queue(net, id);
    }
}

/// The interface listens to other groups (`ftgmac100_set_rx_mode`).
pub(crate) fn ftgmac100_set_rx_mode(net: &mut Net, id: DevId) {
    let maht = crate::net::ipv6::mcast::link_groups(net, id)
        .fold(0, |bits, addr| bits | 1 << hw_model::multicast_hash(&addr));
    with(net, id, |p, io| {
        p.maht = maht;
        if p.running {
            ring::write_multicast_hash(p, io);
        }
    });
}

/// The PHY's state machine: asks for the link and comes again in a second.
pub(crate) fn phy_state_machine(net: &mut Net, id: DevId) {
    with(net, id, ring::ftgmac100_check_link);
    let up = private(&net.devs[id]).is_some_and(|p| p.link().is_some());
    if net.devs[id].carrier != up {
        netif_carrier_set(net, id, up);
    }
    if private(&net.devs[id]).is_some_and(|p| p.running) {
        let expires = net.jiffies() + PHY_STATE_SECONDS * u64::from(net.time.hz());
        net.mod_timer(TimerId::Phy(id), expires);
    }
}

/// Buffers that stand in the device's rings.
pub(crate) fn queued_skbs(dev: &NetDevice) -> usize {
    private(dev).map_or(0, Ftgmac100::queued_skbs)
}
