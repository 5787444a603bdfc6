//! The loopback device (Linux `drivers/net/loopback.c`).

use crate::net::Net;
use crate::net::core::dev::{
    ARPHRD_LOOPBACK, DevId, Driver, IFF_LOOPBACK, NETIF_F_HW_CSUM, NETIF_F_SG, NETIF_F_TSO,
    NetDevice, NetdevTx, netif_rx,
};
use crate::net::core::skbuff::{PktType, Skb, skb_orphan};
use crate::net::core::timestamping::{TxTstamp, skb_tx_timestamp};
use crate::net::core::zerocopy::skb_orphan_frags_rx;
use crate::net::ethernet::eth_type_trans;

/// The device as it is registered.
pub(crate) fn loopback_setup() -> NetDevice {
    let mut dev = NetDevice::ether("lo", [0; 6], 64 * 1024, Driver::Loopback);
    dev.flags = IFF_LOOPBACK;
    dev.arp_type = ARPHRD_LOOPBACK;
    dev.broadcast = [0; 6];
    dev.min_mtu = 0;
    dev.max_mtu = 0;
    dev.features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO;
    dev
}

/// Gives a sent packet to the backlog.
pub(crate) fn loopback_xmit(net: &mut Net, id: DevId, mut skb: Skb) -> NetdevTx {
    skb_tx_timestamp(net, &skb);
    skb.tstamp = 0;
    skb.tx_tstamp = TxTstamp::default();
    skb_orphan(&mut net.wmem, &mut skb);
    skb_orphan_frags_rx(&mut net.skbs, &mut skb);
    skb.pkt_type = PktType::Host;
    let len = skb.len() as u64;
    let dev = net.devs.get_mut(id);
    skb.protocol = eth_type_trans(&mut skb, dev);
    dev.stats.tx_packets += 1;
    dev.stats.tx_bytes += len;
    dev.stats.rx_packets += 1;
    dev.stats.rx_bytes += len;
    netif_rx(net, skb);
    NetdevTx::Ok
}
