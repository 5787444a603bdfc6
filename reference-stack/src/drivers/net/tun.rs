//! TUN and TAP devices (Linux `drivers/net/tun.c`). The program at the other end is outside of
//! the machine: what it writes comes as frames in, what it reads goes as frames out.

use crate::kernel::{FrameIn, NicConfig};
use crate::net::Net;
use crate::net::core::dev::{
    ARPHRD_NONE, DevId, Driver, ETH_HLEN, IFF_MULTICAST, IFF_NOARP, IFF_POINTOPOINT,
    NETIF_F_HW_CSUM, NETIF_F_SG, NETIF_F_TSO, NetDevice, NetdevTx, netif_receive_skb, tx_frame,
};
use crate::net::core::skbuff::{
    DropReason, NET_SKB_PAD, Skb, alloc_skb_truesize, kfree_skb, skb_data_align, skb_orphan,
};
use crate::net::core::timestamping::skb_tx_timestamp;
use crate::net::ethernet::{ETH_P_IP, ETH_P_IPV6, eth_type_trans};

/// `TUN_READQ_SIZE`.
const TUN_READQ_SIZE: usize = 500;
const PAGE_SIZE: usize = 4096;

/// A TUN device with TSO and checksums left to its reader.
pub(crate) fn tun_setup(nic: &NicConfig) -> NetDevice {
    let mut dev = NetDevice::ether(&nic.name, [0; 6], nic.mtu, Driver::Tun);
    dev.flags = IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST;
    dev.arp_type = ARPHRD_NONE;
    dev.broadcast = [0; 6];
    dev.hard_header_len = 0;
    dev.tx_queue_len = TUN_READQ_SIZE;
    dev.features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO;
    dev
}

/// A TAP device with its offloads off.
pub(crate) fn tap_setup(nic: &NicConfig) -> NetDevice {
    let mut dev = NetDevice::ether(&nic.name, nic.mac, nic.mtu, Driver::Tap);
    dev.tx_queue_len = TUN_READQ_SIZE;
    dev
}

/// The device's transmission: the reader takes the packet at once, so its owner is no longer
/// charged when this returns.
pub(crate) fn tun_net_xmit(net: &mut Net, id: DevId, mut skb: Skb) -> NetdevTx {
    if !net.devs[id].carrier {
        net.devs.get_mut(id).stats.tx_dropped += 1;
        kfree_skb(net, skb, DropReason::DevReady);
        return NetdevTx::Ok;
    }
    skb_tx_timestamp(net, &skb);
    skb_orphan(&mut net.wmem, &mut skb);
    tx_frame(net, id, skb);
    NetdevTx::Ok
}

/// The program writes a frame to the device.
pub(crate) fn tun_get_user(net: &mut Net, id: DevId, frame: FrameIn) {
    let len = frame.bytes.len();
    let tap = matches!(net.devs[id].driver, Driver::Tap);
    if !net.devs[id].is_up() || (tap && len < ETH_HLEN) || len == 0 {
        net.devs.get_mut(id).stats.rx_dropped += 1;
        return;
    }
    let protocol = match frame.bytes[0] >> 4 {
        4 => ETH_P_IP,
        6 => ETH_P_IPV6,
        _ if !tap => {
            net.devs.get_mut(id).stats.rx_dropped += 1;
            return;
        }
        _ => 0,
    };
    let built = tun_can_build_skb(net, len, tap);
    let truesize = tun_truesize(net, len, tap, built);
    let mut skb = super::receive(net, id, frame, truesize);
    // A packet of more than a page has its payload in pages.
    skb.head_is_locked = !built && NET_SKB_PAD + len < PAGE_SIZE;
    skb.protocol = if tap { eth_type_trans(&mut skb, &net.devs[id]) } else { protocol };
    netif_receive_skb(net, skb);
}

/// Whether a frame is built around a page fragment: a TAP's that fits a page.
fn tun_can_build_skb(net: &Net, len: usize, tap: bool) -> bool {
    let overhead = net.profile.sizeof_skb_shared_info as usize;
    tap && skb_data_align(len + NET_SKB_PAD) + overhead <= PAGE_SIZE
}

/// What the packet that a write makes is charged, in a page fragment (`tun_build_skb`) or else in
/// a `kmalloc`ed head (`tun_alloc_skb`).
fn tun_truesize(net: &Net, len: usize, tap: bool, built: bool) -> u32 {
    let overhead = net.profile.sizeof_skb_shared_info as usize;
    let sk_buff = net.profile.sizeof_sk_buff;
    if built {
        return (skb_data_align(len + NET_SKB_PAD) + overhead) as u32 + sk_buff;
    }
    let align = NET_SKB_PAD + if tap { net.profile.net_ip_align as usize } else { 0 };
    alloc_skb_truesize(&net.profile, align + len)
}
