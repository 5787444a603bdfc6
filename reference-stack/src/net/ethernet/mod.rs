//! Ethernet (Linux `net/ethernet/eth.c`).

use super::core::dev::{ETH_HLEN, NetDevice};
use super::core::skbuff::{PktType, SkBuff};

pub(crate) const ETH_P_IP: u16 = 0x0800;
pub(crate) const ETH_P_ARP: u16 = 0x0806;
pub(crate) const ETH_P_8021Q: u16 = 0x8100;
pub(crate) const ETH_P_IPV6: u16 = 0x86dd;
/// Below this, the type field is a length (IEEE 802.3).
const ETH_P_802_3_MIN: u16 = 0x0600;
const ETH_P_802_3: u16 = 0x0001;
const ETH_P_802_2: u16 = 0x0004;

/// Takes the Ethernet header off a received frame: who it was for, and its protocol, which is
/// returned. A frame without a whole header gives protocol 0.
pub(crate) fn eth_type_trans(skb: &mut SkBuff, dev: &NetDevice) -> u16 {
    skb.dev = Some(dev.id);
    skb.reset_mac_header();
    if !skb.may_pull(ETH_HLEN) {
        return 0;
    }
    let mut dest = [0; 6];
    dest.copy_from_slice(&skb.linear()[..6]);
    let proto = u16::from_be_bytes([skb.linear()[12], skb.linear()[13]]);
    skb.pull(ETH_HLEN);
    if dest != dev.dev_addr {
        skb.pkt_type = if dest[0] & 1 == 0 {
            PktType::OtherHost
        } else if dest == dev.broadcast {
            PktType::Broadcast
        } else {
            PktType::Multicast
        };
    }
    if proto >= ETH_P_802_3_MIN {
        return proto;
    }
    let mut llc = [0; 2];
    if skb.copy_bits(0, &mut llc) == 2 && llc == [0xff, 0xff] { ETH_P_802_3 } else { ETH_P_802_2 }
}

/// Puts an Ethernet header in front (`eth_header`).
pub(crate) fn eth_header(skb: &mut SkBuff, proto: u16, daddr: [u8; 6], saddr: [u8; 6]) {
    let header = skb.push(ETH_HLEN);
    header[..6].copy_from_slice(&daddr);
    header[6..12].copy_from_slice(&saddr);
    header[12..].copy_from_slice(&proto.to_be_bytes());
}
