//! Routes as the layers above see them (Linux `route.c`, `struct dst_entry`, `struct rtable`).

use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::dev::DevId;
use std::net::Ipv4Addr;

/// What a packet is to be routed by (`struct flowi4`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flow4 {
    /// Source; unspecified: the route's choice, which the look-up writes here.
    pub(crate) saddr: Ipv4Addr,
    pub(crate) daddr: Ipv4Addr,
    /// Device index to go out by; 0: any.
    pub(crate) oif: u32,
    pub(crate) tos: u8,
    pub(crate) proto: u8,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) mark: u32,
}

/// What becomes of a packet on this route (`rt_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RtType {
    Unicast,
    Local,
    Broadcast,
    Multicast,
    Unreachable,
    Prohibit,
    Blackhole,
}

/// A route that a socket or packet holds (`struct rtable`). Plain data; it is valid while
/// `genid` is the table's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dst {
    pub(crate) dev: DevId,
    /// The next hop's address on the link: the gateway, or the destination itself.
    pub(crate) nexthop: Ipv4Addr,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) rt_type: RtType,
    /// Preferred source address.
    pub(crate) prefsrc: Ipv4Addr,
    /// `dst_mtu`: path MTU, else the route's, else the device's. Bytes.
    pub(crate) mtu: u32,
    /// `ip_mtu_locked`.
    pub(crate) mtu_locked: bool,
    /// RTAX_ADVMSS of the route; 0: from the MTU.
    pub(crate) metric_advmss: u32,
    pub(crate) initcwnd: u32,
    pub(crate) initrwnd: u32,
    pub(crate) quickack: bool,
    pub(crate) genid: u32,
}

/// The routing tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteTables {}

impl Dst {
    /// `dst_metric_advmss` (ipv4_default_advmss): largest segment to announce, bytes.
    pub(crate) fn advmss(&self, net: &Net) -> u32 {
        if self.metric_advmss != 0 {
            return self.metric_advmss;
        }
        let floor = net.sysctl.min_adv_mss as u32;
        self.mtu.saturating_sub(40).max(floor).min(65535 - 40)
    }
}

/// Finds the route of an outgoing packet and completes its source address
/// (`ip_route_output_flow`).
pub(crate) fn ip_route_output_flow(_net: &mut Net, _fl: &mut Flow4) -> Result<Dst, Errno> {
    Err(Errno::ENETUNREACH)
}
