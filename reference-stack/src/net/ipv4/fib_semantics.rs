//! Routes' next hops and metrics (Linux `fib_semantics.c`).

use super::route::RtType;
use crate::errno::Errno;
use crate::net::core::dev::DevId;
use crate::net::core::sysctl::CongestionName;
use std::net::Ipv4Addr;

/// `RT_TABLE_MAIN`.
pub(crate) const RT_TABLE_MAIN: u32 = 254;
/// `RT_TABLE_LOCAL`.
pub(crate) const RT_TABLE_LOCAL: u32 = 255;

/// How far a destination is away (`enum rt_scope_t`); the nearer, the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub(crate) enum RtScope {
    #[default]
    Universe = 0,
    Link = 253,
    Host = 254,
    Nowhere = 255,
}

impl RtScope {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Universe => "universe",
            Self::Link => "link",
            Self::Host => "host",
            Self::Nowhere => "nowhere",
        }
    }
}

/// `RTAX_*` of a route; 0: not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) mtu: u32,
    /// `RTAX_LOCK` of the MTU.
    pub(crate) mtu_lock: bool,
    pub(crate) advmss: u32,
    pub(crate) window: u32,
    pub(crate) rtt: u32,
    pub(crate) hoplimit: u8,
    pub(crate) initcwnd: u32,
    pub(crate) initrwnd: u32,
    pub(crate) quickack: bool,
    /// RTAX_CC_ALGO: the congestion control of connections on this route.
    pub(crate) cc_algo: Option<CongestionName>,
    /// RTAX_RTO_MIN, locked; milliseconds.
    pub(crate) rto_min_ms: u32,
}

/// The next hop of a route (`struct fib_nh`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FibNh {
    pub(crate) dev: DevId,
    pub(crate) gw: Option<Ipv4Addr>,
    /// Scope of the gateway's own route; `Nowhere` on a host route.
    pub(crate) scope: RtScope,
}

/// What a route leads to (`struct fib_info`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FibInfo {
    pub(crate) scope: RtScope,
    pub(crate) priority: u32,
    pub(crate) prefsrc: Option<Ipv4Addr>,
    /// `None`: the route's type says all (unreachable and the like).
    pub(crate) nh: Option<FibNh>,
    pub(crate) metrics: Metrics,
    /// `RTPROT_KERNEL`: made from an address, not by an administrator.
    pub(crate) by_kernel: bool,
}

/// What a look-up of a route of this type gives instead of a route (`fib_props`).
pub(crate) fn fib_error(rt_type: RtType) -> Option<Errno> {
    match rt_type {
        RtType::Unreachable => Some(Errno::EHOSTUNREACH),
        RtType::Prohibit => Some(Errno::EACCES),
        RtType::Blackhole => Some(Errno::EINVAL),
        RtType::Unicast | RtType::Local | RtType::Broadcast | RtType::Multicast => None,
    }
}
