//! Network devices, transmission, softirqs and NAPI (Linux `net/core/dev.c`).
//!
//! This file has the devices and their administration; `xmit` the way down, `rx` the way up.

mod rx;
pub(crate) mod xmit;

pub(crate) use rx::{
    __napi_schedule_irqoff, __netif_receive_skb_core, Napi, NapiPoll, PacketType, Softnet,
    frame_in, frame_in_damaged, napi_disable, napi_schedule, napi_schedule_prep, net_rx_action,
    netif_receive_skb, netif_rx,
};
pub(crate) use xmit::{
    NetdevTx, dev_queue_xmit, netif_stop_queue, netif_wake_queue, skb_checksum_help, tx_frame,
};

use crate::Nanos;
use crate::drivers::net::ethernet::faraday::ftgmac100;
use crate::errno::Errno;
use crate::kernel::{FrameOut, NicConfig, NicKind, Port};
use crate::lib::shared::Arc;
use crate::net::Net;
use crate::net::core::neighbour;
use crate::net::core::skbuff::{DropReason, kfree_skb};
use crate::net::ipv4::devinet::InDevice;
use crate::net::ipv4::fib_frontend;
use crate::net::ipv6::addrconf::{self, Inet6Dev};
use crate::net::sched::Qdisc;
use crate::time::HrtimerId;
use hw_model::Mac;
use std::ops::Index;

/// A device's position in the table; its `ifindex` is one more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DevId(pub u32);

impl DevId {
    /// The number that user space knows the device by.
    pub(crate) fn ifindex(self) -> u32 {
        self.0 + 1
    }

    /// The device of an `ifindex`, which need not exist.
    pub(crate) fn from_ifindex(ifindex: u32) -> Option<Self> {
        ifindex.checked_sub(1).map(Self)
    }
}

/// The loopback device: it is registered first (`net->loopback_dev`).
pub(crate) const LOOPBACK_DEV: DevId = DevId(0);

pub(crate) const IFF_UP: u32 = 0x1;
pub(crate) const IFF_BROADCAST: u32 = 0x2;
pub(crate) const IFF_LOOPBACK: u32 = 0x8;
pub(crate) const IFF_POINTOPOINT: u32 = 0x10;
pub(crate) const IFF_NOARP: u32 = 0x80;
pub(crate) const IFF_MULTICAST: u32 = 0x1000;

pub(crate) const ARPHRD_ETHER: u16 = 1;
pub(crate) const ARPHRD_LOOPBACK: u16 = 772;
/// `ARPHRD_NONE`: no link header (TUN).
pub(crate) const ARPHRD_NONE: u16 = 0xfffe;

/// `NETIF_F_SG`: takes packets in pieces.
pub(crate) const NETIF_F_SG: u32 = 1 << 0;
/// `NETIF_F_HW_CSUM`: fills the transport checksum.
pub(crate) const NETIF_F_HW_CSUM: u32 = 1 << 1;
/// `NETIF_F_TSO`: cuts TCP super-packets, or takes them whole.
pub(crate) const NETIF_F_TSO: u32 = 1 << 2;
/// `NETIF_F_RXCSUM`: checks the transport checksum of what it receives.
pub(crate) const NETIF_F_RXCSUM: u32 = 1 << 3;
/// `NETIF_F_GRO`.
pub(crate) const NETIF_F_GRO: u32 = 1 << 4;
/// `NETIF_F_HW_VLAN_CTAG_TX`: inserts the 802.1Q tag.
pub(crate) const NETIF_F_HW_VLAN_CTAG_TX: u32 = 1 << 5;
/// `NETIF_F_HW_VLAN_CTAG_RX`: takes the 802.1Q tag off.
pub(crate) const NETIF_F_HW_VLAN_CTAG_RX: u32 = 1 << 6;

/// `ETH_HLEN`, bytes.
pub(crate) const ETH_HLEN: usize = 14;
/// `ETH_MIN_MTU` and the smallest MTU that IPv4 works on.
pub(crate) const ETH_MIN_MTU: u32 = 68;

/// What the driver of a device does, and its private state (`netdev_ops`, `netdev_priv`).
#[derive(Clone, Debug)]
pub(crate) enum Driver {
    /// `drivers/net/loopback.c`.
    Loopback,
    /// `drivers/net/tun.c` in TUN mode: IP packets.
    Tun,
    /// `drivers/net/tun.c` in TAP mode: Ethernet frames.
    Tap,
    /// `drivers/net/veth.c`; the other end is outside of the machine.
    Veth,
    /// `drivers/net/ethernet/faraday/ftgmac100.c`.
    Ftgmac100(Box<ftgmac100::Ftgmac100>),
}

/// `struct net_device_stats`, the columns of /proc/net/dev.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "Linux's names")]
pub(crate) struct NetDeviceStats {
    pub(crate) rx_packets: u64,
    pub(crate) tx_packets: u64,
    pub(crate) rx_bytes: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) rx_errors: u64,
    pub(crate) tx_errors: u64,
    pub(crate) rx_dropped: u64,
    pub(crate) tx_dropped: u64,
    pub(crate) multicast: u64,
    pub(crate) collisions: u64,
    pub(crate) rx_length_errors: u64,
    pub(crate) rx_over_errors: u64,
    pub(crate) rx_crc_errors: u64,
    pub(crate) rx_frame_errors: u64,
    pub(crate) rx_fifo_errors: u64,
    pub(crate) tx_carrier_errors: u64,
    pub(crate) tx_fifo_errors: u64,
}

/// `struct net_device`.
#[derive(Clone, Debug)]
pub(crate) struct NetDevice {
    pub(crate) name: Arc<str>,
    pub(crate) id: DevId,
    /// `IFF_*`.
    pub(crate) flags: u32,
    /// `ARPHRD_*`.
    pub(crate) arp_type: u16,
    pub(crate) mtu: u32,
    pub(crate) min_mtu: u32,
    pub(crate) max_mtu: u32,
    pub(crate) dev_addr: [u8; 6],
    pub(crate) broadcast: [u8; 6],
    /// Bytes of the link header; 0: there is none (`header_ops` is NULL).
    pub(crate) hard_header_len: usize,
    /// `NETIF_F_*`.
    pub(crate) features: u32,
    pub(crate) tx_queue_len: usize,
    /// `netif_carrier_ok`.
    pub(crate) carrier: bool,
    /// `__QUEUE_STATE_DRV_XOFF` of the one transmit queue.
    pub(crate) xoff: bool,
    /// `jiffies` when the queue last sent (`trans_start`), for the watchdog.
    pub(crate) trans_start: crate::time::Jiffies,
    pub(crate) qdisc: Qdisc,
    pub(crate) stats: NetDeviceStats,
    /// Where its frames enter and leave the machine; `None` for loopback.
    pub(crate) port: Option<Port>,
    /// `struct in_device`: its IPv4 addresses.
    pub(crate) in_dev: InDevice,
    /// `struct inet6_dev`: its IPv6 addresses and groups.
    pub(crate) ip6_ptr: Inet6Dev,
    /// A packet socket listens to everything (`ptype_all`).
    pub(crate) tapped: bool,
    pub(crate) driver: Driver,
}

impl NetDevice {
    /// An Ethernet device that is down (`alloc_etherdev`, `ether_setup`).
    pub(crate) fn ether(name: &str, dev_addr: [u8; 6], mtu: u32, driver: Driver) -> Self {
        Self {
            name: name.into(),
            id: DevId(0),
            flags: IFF_BROADCAST | IFF_MULTICAST,
            arp_type: ARPHRD_ETHER,
            mtu,
            min_mtu: ETH_MIN_MTU,
            max_mtu: 65535,
            dev_addr,
            broadcast: [0xff; 6],
            hard_header_len: ETH_HLEN,
            features: 0,
            tx_queue_len: 1000,
            carrier: true,
            xoff: false,
            trans_start: 0,
            qdisc: Qdisc::Noop,
            stats: NetDeviceStats::default(),
            port: None,
            in_dev: InDevice::default(),
            ip6_ptr: Inet6Dev::default(),
            tapped: false,
            driver,
        }
    }

    /// Bytes of the largest frame (`psched_mtu`).
    pub(crate) fn frame_len(&self) -> u32 {
        self.mtu + self.hard_header_len as u32
    }

    /// Whether an administrator set it up.
    pub(crate) fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// The name of the queueing discipline that it runs with when it is up.
    fn default_qdisc(&self) -> Qdisc {
        match self.driver {
            // IFF_NO_QUEUE
            Driver::Loopback | Driver::Veth => Qdisc::Noqueue,
            Driver::Tun | Driver::Tap | Driver::Ftgmac100(_) => {
                Qdisc::pfifo_fast(self.tx_queue_len)
            }
        }
    }
}

/// The devices of a machine. A device stays until the machine ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetDevices {
    list: Vec<Arc<NetDevice>>,
}

impl NetDevices {
    pub(crate) fn get(&self, id: DevId) -> Option<&NetDevice> {
        self.list.get(id.0 as usize).map(|d| &**d)
    }

    /// The device, to change; one shared with a snapshot is copied first.
    pub(crate) fn get_mut(&mut self, id: DevId) -> &mut NetDevice {
        Arc::make_mut(&mut self.list[id.0 as usize])
    }

    /// `dev_get_by_index`.
    pub(crate) fn by_index(&self, ifindex: u32) -> Option<&NetDevice> {
        self.get(DevId::from_ifindex(ifindex)?)
    }

    /// `dev_get_by_name`.
    pub(crate) fn by_name(&self, name: &str) -> Option<DevId> {
        self.list.iter().find(|d| &*d.name == name).map(|d| d.id)
    }

    /// The device at a port.
    pub(crate) fn by_port(&self, port: Port) -> Option<DevId> {
        self.list.iter().find(|d| d.port == Some(port)).map(|d| d.id)
    }

    /// Every device, in order of `ifindex`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &NetDevice> {
        self.list.iter().map(|d| &**d)
    }

    /// Every device's number.
    pub(crate) fn ids(&self) -> impl Iterator<Item = DevId> + use<> {
        (0..self.list.len() as u32).map(DevId)
    }
}

/// A [`DevId`] is only made by [`register_netdevice`], and devices never go away.
impl Index<DevId> for NetDevices {
    type Output = NetDevice;
    fn index(&self, id: DevId) -> &NetDevice {
        &self.list[id.0 as usize]
    }
}

/// Adds a device to the machine, down.
pub(crate) fn register_netdevice(net: &mut Net, mut dev: NetDevice) -> DevId {
    let id = DevId(net.devs.list.len() as u32);
    dev.id = id;
    net.devs.list.push(Arc::new(dev));
    id
}

/// Registers the loopback device and sets it up with 127.0.0.1/8 (`net_dev_init`,
/// `loopback_net_init`; the address is user space's first act, and `inetdev_event` does it too).
pub(crate) fn net_dev_init(net: &mut Net) {
    let lo = crate::drivers::net::loopback::loopback_setup();
    let id = register_netdevice(net, lo);
    dev_open(net, id);
}

/// Registers a configured interface, down. Returns the console lines of its driver's probe.
pub(crate) fn register_nic(net: &mut Net, port: Port, nic: &NicConfig) -> Vec<String> {
    use crate::drivers::net::{tun, veth};
    let (mut dev, lines) = match nic.kind {
        NicKind::Tun => (tun::tun_setup(nic), Vec::new()),
        NicKind::Tap => (tun::tap_setup(nic), Vec::new()),
        NicKind::Veth => (veth::veth_setup(nic), Vec::new()),
        NicKind::Ftgmac100 { mac } => ftgmac100::ftgmac100_probe(net, mac, nic),
    };
    dev.port = Some(port);
    register_netdevice(net, dev);
    lines
}

/// Sets every device up, as user space does at its start.
pub(crate) fn dev_open_all(net: &mut Net) {
    for id in net.devs.ids() {
        dev_open(net, id);
    }
}

/// The console line of a PHY that found its link (`phy_print_status`), for a port's device.
pub(crate) fn phy_link_line(net: &Net, port: Port) -> String {
    match net.devs.by_port(port).map(|id| &net.devs[id]) {
        Some(dev) => ftgmac100::phy_link_line(net, dev),
        None => String::new(),
    }
}

/// Sets a device up (`dev_open`): the driver starts, the queueing discipline is attached, the
/// addresses' routes come back.
pub(crate) fn dev_open(net: &mut Net, id: DevId) {
    if net.devs[id].is_up() {
        return;
    }
    if let Driver::Ftgmac100(_) = net.devs[id].driver
        && ftgmac100::ftgmac100_open(net, id).is_err()
    {
        return;
    }
    let now = net.jiffies();
    let dev = net.devs.get_mut(id);
    dev.flags |= IFF_UP;
    dev.xoff = false;
    dev.trans_start = now;
    dev.qdisc = dev.default_qdisc();
    fib_frontend::fib_netdev_up(net, id);
    addrconf::addrconf_ifup(net, id);
}

/// Sets a device down (`dev_close`): its queue is emptied, its neighbours and routes go.
pub(crate) fn dev_close(net: &mut Net, id: DevId) {
    if !net.devs[id].is_up() {
        return;
    }
    if let Driver::Ftgmac100(_) = net.devs[id].driver {
        ftgmac100::ftgmac100_stop(net, id);
    }
    let dev = net.devs.get_mut(id);
    dev.flags &= !IFF_UP;
    let mut qdisc = std::mem::take(&mut dev.qdisc);
    for skb in qdisc.drain() {
        kfree_skb(net, skb, DropReason::QdiscDrop);
    }
    fib_frontend::fib_netdev_down(net, id);
    addrconf::addrconf_ifdown(net, id);
    neighbour::neigh_ifdown(net, id);
}

/// Gives a device another queueing discipline, `None`: its own (`dev_graft_qdisc`); what the old one held is dropped.
pub(crate) fn dev_graft_qdisc(net: &mut Net, id: DevId, qdisc: Option<Qdisc>) {
    if !net.devs[id].is_up() {
        return;
    }
    let dev = net.devs.get_mut(id);
    let new = qdisc.unwrap_or_else(|| dev.default_qdisc());
    let mut old = std::mem::replace(&mut dev.qdisc, new);
    net.time.hrtimers.cancel(HrtimerId::Qdisc(id));
    for skb in old.drain() {
        kfree_skb(net, skb, DropReason::QdiscDrop);
    }
}

/// Changes a device's MTU (`dev_set_mtu`).
///
/// # Errors
/// EINVAL: outside of what the device takes.
pub(crate) fn dev_set_mtu(net: &mut Net, id: DevId, mtu: u32) -> Result<(), Errno> {
    let dev = net.devs.get_mut(id);
    if mtu < dev.min_mtu || (dev.max_mtu > 0 && mtu > dev.max_mtu) {
        return Err(Errno::EINVAL);
    }
    dev.mtu = mtu;
    fib_frontend::fib_sync_mtu(net, id);
    Ok(())
}

/// Plugs the cable of a port in or out.
pub(crate) fn set_link(net: &mut Net, port: Port, up: bool) {
    let Some(id) = net.devs.by_port(port) else { return };
    if let Driver::Ftgmac100(_) = net.devs[id].driver {
        ftgmac100::set_link(net, id, up);
        return;
    }
    netif_carrier_set(net, id, up);
}

/// `netif_carrier_on`, `netif_carrier_off`.
pub(crate) fn netif_carrier_set(net: &mut Net, id: DevId, up: bool) {
    net.devs.get_mut(id).carrier = up;
    if !up {
        neighbour::neigh_carrier_down(net, id);
    }
}

/// The groups that a device listens to changed (`dev_set_rx_mode`).
pub(crate) fn dev_set_rx_mode(net: &mut Net, id: DevId) {
    if let Driver::Ftgmac100(_) = net.devs[id].driver {
        ftgmac100::ftgmac100_set_rx_mode(net, id);
    }
}

/// `dev_watchdog` of a device: the driver's transmit timer.
pub(crate) fn dev_watchdog(net: &mut Net, id: DevId) {
    if let Driver::Ftgmac100(_) = net.devs[id].driver {
        ftgmac100::dev_watchdog(net, id);
    }
}

/// `phy_state_machine` of a device's PHY.
pub(crate) fn phy_state_machine(net: &mut Net, id: DevId) {
    if let Driver::Ftgmac100(_) = net.devs[id].driver {
        ftgmac100::phy_state_machine(net, id);
    }
}

/// Takes the frames that left the machine, in order of leaving.
pub(crate) fn frames_out(net: &mut Net) -> Vec<FrameOut> {
    let mut frames = std::mem::take(&mut net.softnet.frames_out);
    if net.hw.macs.iter().any(Mac::has_sent) {
        ftgmac100::collect_frames(net, &mut frames);
    }
    frames
}

/// When the hardware has something to do next.
pub(crate) fn next_event(net: &Net) -> Option<Nanos> {
    ftgmac100::next_event(net)
}

/// Lets the hardware do what is due now; its interrupts schedule what they schedule, and a poll
/// that waited for it is tried again.
pub(crate) fn advance(net: &mut Net) {
    ftgmac100::advance(net);
    rx::retry_stalled_polls(net);
}

impl Net {
    /// Buffers that stand in a queue below the sockets, where they may.
    pub(crate) fn queued_skbs(&self) -> usize {
        let devices: usize =
            self.devs.iter().map(|d| d.qdisc.len() + ftgmac100::queued_skbs(d)).sum();
        devices
            + self.softnet.queued()
            + self.neigh.queued()
            + self.ip.frags.queued()
            + self.ip6.frags.queued()
    }
}
