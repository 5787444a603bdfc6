//! Network drivers (Linux `drivers/net/`).

pub(crate) mod ethernet;
pub(crate) mod loopback;
pub(crate) mod tun;
pub(crate) mod veth;

use crate::kernel::FrameIn;
use crate::net::Net;
use crate::net::core::dev::DevId;
use crate::net::core::skbuff::{Frags, Skb};
use hw_model::Frag;
use std::sync::Arc;

/// A frame that came to a device without hardware, counted, as a buffer that is charged `truesize`.
fn receive(net: &mut Net, id: DevId, frame: FrameIn, truesize: u32) -> Skb {
    let stats = &mut net.devs.get_mut(id).stats;
    stats.rx_packets += 1;
    stats.rx_bytes += frame.bytes.len() as u64;
    let mut frags = Frags::new();
    frags.push(Frag::new(Arc::new(frame.bytes)));
    let mut skb = Skb::from_frags(&mut net.skbs, frags);
    skb.truesize = truesize;
    // SKB_GSO_DODGY: the number of segments is not known yet.
    skb.gso_size = frame.gso_size;
    skb.dev = Some(id);
    skb
}
