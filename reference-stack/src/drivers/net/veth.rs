//! One end of a veth pair (Linux `drivers/net/veth.c`) whose other end is outside of the machine.

use crate::kernel::{FrameIn, NicConfig};
use crate::net::Net;
use crate::net::core::dev::{
    DevId, Driver, ETH_HLEN, NETIF_F_SG, NetDevice, NetdevTx, netif_rx, tx_frame,
};
use crate::net::core::skbuff::{DropReason, NET_SKB_PAD, Skb, alloc_skb_truesize, kfree_skb};
use crate::net::core::timestamping::skb_tx_timestamp;
use crate::net::ethernet::eth_type_trans;

/// The device, with its offloads off.
pub(crate) fn veth_setup(nic: &NicConfig) -> NetDevice {
    let mut dev = NetDevice::ether(&nic.name, nic.mac, nic.mtu, Driver::Veth);
    dev.features = NETIF_F_SG;
    dev
}

/// Sends to the other end. The owner is charged until the other end's IP input has the packet
/// (Linux 4.19 on); outside of the machine that is at once.
pub(crate) fn veth_xmit(net: &mut Net, id: DevId, skb: Skb) -> NetdevTx {
    if !net.devs[id].carrier {
        net.devs.get_mut(id).stats.tx_dropped += 1;
        kfree_skb(net, skb, DropReason::DevReady);
        return NetdevTx::Ok;
    }
    skb_tx_timestamp(net, &skb);
    tx_frame(net, id, skb);
    NetdevTx::Ok
}

/// The other end sends a frame, which comes through the backlog (`dev_forward_skb`).
pub(crate) fn veth_forward_skb(net: &mut Net, id: DevId, frame: FrameIn) {
    let len = frame.bytes.len();
    if !net.devs[id].is_up() || len < ETH_HLEN {
        net.devs.get_mut(id).stats.rx_dropped += 1;
        return;
    }
    // The sender's buffer: a head for what it sent, as a socket without fragments makes it.
    let truesize = alloc_skb_truesize(&net.profile, len + NET_SKB_PAD);
    let mut skb = super::receive(net, id, frame, truesize);
    skb.protocol = eth_type_trans(&mut skb, &net.devs[id]);
    netif_rx(net, skb);
}
