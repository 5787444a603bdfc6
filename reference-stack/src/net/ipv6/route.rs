//! Routes of IPv6 (Linux `route.c`, `ip6_fib.c`, 5.15): a list in order of prefix length and
//! metric, of which the first that fits is taken. Multipath, policy rules and redirects are not
//! built.

use super::addr::{is_linklocal, prefix, prefix_equal};
use super::addrconf::{has_address, ipv6_dev_get_saddr};
use crate::errno::Errno;
use crate::lib::hash::DetHashMap;
use crate::net::Net;
use crate::net::core::dev::{DevId, IFF_LOOPBACK, LOOPBACK_DEV};
use crate::net::ipv4::fib_frontend::congctl;
use crate::net::ipv4::fib_semantics::{Metrics, fib_error};
use crate::net::ipv4::mib::Ip6;
use crate::net::ipv4::route::{Dst, RTCF_LOCAL, RTCF_MULTICAST, RtType, rt_cache_flush};
use crate::time::Jiffies;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// `IPV6_MIN_MTU`: every link carries packets of this size.
pub(crate) const IPV6_MIN_MTU: u32 = 1280;
/// `IP6_RT_PRIO_ADDRCONF`: metric of routes that come with an address.
const IP6_RT_PRIO_ADDRCONF: u32 = 256;
/// `IP6_RT_PRIO_USER`: metric of routes that an administrator adds without one.
const IP6_RT_PRIO_USER: u32 = 1024;
/// `IP6_MAX_MTU`: the longest packet with its header.
const IP6_MAX_MTU: u32 = 0xffff + 40;
/// Path MTUs that are remembered at most.
const EXCEPTIONS_MAX: usize = 4096;

/// A route to add or remove (`ip -6 route`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route6Spec {
    /// The prefix; `None` is the default route.
    pub dst: Option<(Ipv6Addr, u8)>,
    /// The gateway.
    pub via: Option<Ipv6Addr>,
    /// The interface; may be left out where `via` tells it.
    pub dev: Option<String>,
    /// `src`: preferred source address.
    pub src: Option<Ipv6Addr>,
    /// `metric`: the smaller wins; 0: 1024.
    pub metric: u32,
    /// `mtu`, bytes.
    pub mtu: Option<u32>,
    /// `mtu lock`: path MTU discovery does not lower it.
    pub mtu_locked: bool,
    /// `advmss`, bytes.
    pub advmss: Option<u32>,
    /// `window`, bytes.
    pub window: Option<u32>,
    /// `hoplimit`.
    pub hoplimit: Option<u8>,
    /// `initcwnd`, segments.
    pub initcwnd: Option<u32>,
    /// `initrwnd`, segments.
    pub initrwnd: Option<u32>,
    /// `quickack`: no delayed ACKs.
    pub quickack: bool,
    /// `congctl`: the congestion control of connections on this route, by its name.
    pub congctl: Option<String>,
    /// `rto_min`, milliseconds.
    pub rto_min_ms: Option<u32>,
}

/// A route (`struct fib6_info`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rt6 {
    pub(crate) dst: Ipv6Addr,
    pub(crate) plen: u8,
    metric: u32,
    gateway: Option<Ipv6Addr>,
    dev: DevId,
    rt_type: RtType,
    prefsrc: Option<Ipv6Addr>,
    metrics: Metrics,
}

/// A path MTU that was learned (`struct rt6_exception`).
#[derive(Clone, Copy, Debug)]
struct Exception {
    mtu: u32,
    expires: Jiffies,
}

/// All routes and what was learned of paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fib6 {
    routes: Arc<Vec<Rt6>>,
    exceptions: Arc<DetHashMap<(DevId, Ipv6Addr), Exception>>,
}

/// What a packet is to be routed by (`struct flowi6`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flow6 {
    /// Source; unspecified: the route's choice, which the look-up writes here.
    pub(crate) saddr: Ipv6Addr,
    pub(crate) daddr: Ipv6Addr,
    /// Device index to go out by; 0: any.
    pub(crate) oif: u32,
    pub(crate) proto: u8,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) flowlabel: u32,
}

impl Flow6 {
    /// A flow of a protocol without ports.
    pub(crate) fn new(saddr: Ipv6Addr, daddr: Ipv6Addr, oif: u32, proto: u8) -> Self {
        Self { saddr, daddr, oif, proto, sport: 0, dport: 0, flowlabel: 0 }
    }
}

/// `ip6_default_advmss`: the segment size that goes with an MTU.
pub(crate) fn ip6_default_advmss(net: &Net, mtu: u32) -> u32 {
    let floor = net.sysctl.ip6_rt_min_advmss as u32;
    match mtu.saturating_sub(40 + 20).max(floor) {
        mss if mss > 65535 - 20 => 65535,
        mss => mss,
    }
}

impl Fib6 {
    /// The best route to an address, by this device if one is given (`fib6_table_lookup`). A
    /// route whose device is down is passed over.
    fn lookup(&self, net: &Net, daddr: Ipv6Addr, oif: u32) -> Option<&Rt6> {
        let fits = |r: &&Rt6| {
            let by_dev = oif == 0 || r.dev.ifindex() == oif || r.rt_type == RtType::Local;
            prefix_equal(r.dst, daddr, r.plen) && by_dev && net.devs[r.dev].is_up()
        };
        self.routes.iter().find(fits)
    }

    fn insert(&mut self, route: Rt6) {
        let routes = Arc::make_mut(&mut self.routes);
        let key = |r: &Rt6| (std::cmp::Reverse(r.plen), r.metric);
        let at = routes.partition_point(|r| key(r) <= key(&route));
        routes.insert(at, route);
    }

    fn retain(&mut self, keep: impl Fn(&Rt6) -> bool) -> bool {
        let before = self.routes.len();
        Arc::make_mut(&mut self.routes).retain(keep);
        self.routes.len() != before
    }
}

/// Adds a route that comes with an address or an interface (`addrconf_prefix_route`,
/// `addrconf_add_mroute`, `addrconf_f6i_alloc`), unless it is there.
pub(crate) fn add_kernel_route(
    net: &mut Net,
    dev: DevId,
    addr: Ipv6Addr,
    plen: u8,
    rt_type: RtType,
) {
    let route = Rt6 {
        dst: prefix(addr, plen),
        plen,
        metric: if rt_type == RtType::Local { 0 } else { IP6_RT_PRIO_ADDRCONF },
        gateway: None,
        dev,
        rt_type,
        prefsrc: None,
        metrics: Metrics::default(),
    };
    if !net.ip6.fib6.routes.contains(&route) {
        net.ip6.fib6.insert(route);
        rt_cache_flush(net);
    }
}

/// Removes a route that came with an address.
pub(crate) fn del_kernel_route(net: &mut Net, dev: DevId, addr: Ipv6Addr, plen: u8, ty: RtType) {
    let dst = prefix(addr, plen);
    let gone = |r: &Rt6| (r.dst, r.plen, r.dev, r.rt_type) == (dst, plen, dev, ty);
    if net.ip6.fib6.retain(|r| !(gone(r) && r.gateway.is_none())) {
        rt_cache_flush(net);
    }
}

/// A device went down: its routes go (`rt6_disable_ip`).
pub(crate) fn rt6_disable_ip(net: &mut Net, dev: DevId) {
    if net.ip6.fib6.retain(|r| r.dev != dev) {
        rt_cache_flush(net);
    }
}

/// `ip -6 route add` and `replace` (`ip6_route_add`).
///
/// # Errors
/// EEXIST, ENODEV, EHOSTUNREACH for a gateway that is not on a link, EINVAL.
pub(crate) fn ip6_route_add(net: &mut Net, spec: &Route6Spec, replace: bool) -> Result<(), Errno> {
    let (dst, plen) = spec.dst.unwrap_or((Ipv6Addr::UNSPECIFIED, 0));
    if plen > 128 {
        return Err(Errno::EINVAL);
    }
    let named =
        spec.dev.as_deref().map(|d| net.devs.by_name(d).ok_or(Errno::ENODEV)).transpose()?;
    let dev = match (named, spec.via) {
        (dev, Some(via)) => gateway_dev(net, via, dev)?,
        (Some(dev), None) => dev,
        (None, None) => return Err(Errno::ENODEV),
    };
    let route = Rt6 {
        dst: prefix(dst, plen),
        plen,
        metric: if spec.metric == 0 { IP6_RT_PRIO_USER } else { spec.metric },
        gateway: spec.via,
        dev,
        rt_type: if dst.is_multicast() { RtType::Multicast } else { RtType::Unicast },
        prefsrc: spec.src,
        metrics: Metrics {
            mtu: spec.mtu.unwrap_or(0),
            mtu_lock: spec.mtu_locked,
            advmss: spec.advmss.unwrap_or(0),
            window: spec.window.unwrap_or(0),
            hoplimit: spec.hoplimit.unwrap_or(0),
            initcwnd: spec.initcwnd.unwrap_or(0),
            initrwnd: spec.initrwnd.unwrap_or(0),
            quickack: spec.quickack,
            cc_algo: congctl(spec.congctl.as_deref())?,
            rto_min_ms: spec.rto_min_ms.unwrap_or(0),
            ..Metrics::default()
        },
    };
    let same = |r: &Rt6| {
        (r.dst, r.plen, r.metric) == (route.dst, route.plen, route.metric)
            && r.rt_type != RtType::Local
    };
    if replace {
        net.ip6.fib6.retain(|r| !same(r));
    } else if net.ip6.fib6.routes.iter().any(same) {
        return Err(Errno::EEXIST);
    }
    net.ip6.fib6.insert(route);
    rt_cache_flush(net);
    Ok(())
}

/// The device that a gateway is on (`ip6_route_check_nh`).
fn gateway_dev(net: &Net, via: Ipv6Addr, dev: Option<DevId>) -> Result<DevId, Errno> {
    if is_linklocal(via) {
        return dev.ok_or(Errno::EINVAL);
    }
    let oif = dev.map_or(0, DevId::ifindex);
    match net.ip6.fib6.lookup(net, via, oif) {
        Some(r) if r.gateway.is_none() && r.rt_type == RtType::Unicast => Ok(r.dev),
        Some(r) if r.rt_type == RtType::Local => Err(Errno::EINVAL),
        _ => Err(Errno::EHOSTUNREACH),
    }
}

/// `ip -6 route del` (`ip6_route_del`).
///
/// # Errors
/// ESRCH: there is none. ENODEV.
pub(crate) fn ip6_route_del(net: &mut Net, spec: &Route6Spec) -> Result<(), Errno> {
    let (dst, plen) = spec.dst.unwrap_or((Ipv6Addr::UNSPECIFIED, 0));
    let dst = prefix(dst, plen);
    let dev = spec.dev.as_deref().map(|d| net.devs.by_name(d).ok_or(Errno::ENODEV)).transpose()?;
    let at = net.ip6.fib6.routes.iter().position(|r| {
        (r.dst, r.plen) == (dst, plen)
            && r.rt_type != RtType::Local
            && dev.is_none_or(|d| d == r.dev)
            && (spec.via.is_none() || spec.via == r.gateway)
            && (spec.metric == 0 || spec.metric == r.metric)
    });
    Arc::make_mut(&mut net.ip6.fib6.routes).remove(at.ok_or(Errno::ESRCH)?);
    rt_cache_flush(net);
    Ok(())
}

/// Finds the route of an outgoing packet and completes its source address
/// (`ip6_dst_lookup_flow`).
///
/// # Errors
/// ENETUNREACH and the like: there is none. EADDRNOTAVAIL: no source address fits.
pub(crate) fn ip6_route_output_flow(net: &mut Net, fl: &mut Flow6) -> Result<Dst, Errno> {
    let found = ip6_route_output(net, fl);
    if found == Err(Errno::ENETUNREACH) {
        net.mib.inc(Ip6::OutNoRoutes);
    }
    found
}

fn ip6_route_output(net: &Net, fl: &mut Flow6) -> Result<Dst, Errno> {
    if fl.daddr.is_unspecified() {
        fl.daddr = Ipv6Addr::LOCALHOST;
    }
    let found = net.ip6.fib6.lookup(net, fl.daddr, fl.oif).ok_or(Errno::ENETUNREACH);
    let usable = found.and_then(|route| fib_error(route.rt_type).map_or(Ok(route), Err));
    let route = match usable {
        Ok(route) => route,
        // A source is looked for before the route's error counts (`ip6_dst_lookup_tail`), so a
        // host without any IPv6 address says that, not that the network is unreachable.
        Err(_) if fl.saddr.is_unspecified() && !has_address(net) => {
            return Err(Errno::EADDRNOTAVAIL);
        }
        Err(e) => return Err(e),
    };
    let local = route.rt_type == RtType::Local;
    if fl.saddr.is_unspecified() {
        fl.saddr = match route.prefsrc {
            Some(src) => src,
            None => ipv6_dev_get_saddr(net, route.dev, fl.daddr).ok_or(Errno::EADDRNOTAVAIL)?,
        };
    }
    // What is for this host goes by loopback.
    let dev = if local { LOOPBACK_DEV } else { route.dev };
    Ok(dst_of(net, route, dev, fl.daddr))
}

/// A route as a socket or packet holds it (`ip6_rt_cache_alloc`, `ip6_mtu`).
fn dst_of(net: &Net, route: &Rt6, dev: DevId, daddr: Ipv6Addr) -> Dst {
    let device = &net.devs[dev];
    let metrics = route.metrics;
    let now = net.jiffies();
    let learned = net.ip6.fib6.exceptions.get(&(dev, daddr)).copied().filter(|e| now < e.expires);
    let route_mtu = match metrics.mtu {
        0 => device.mtu.max(IPV6_MIN_MTU),
        mtu => mtu,
    };
    let mtu = learned.map_or(route_mtu, |e| e.mtu);
    let loopback = device.flags & IFF_LOOPBACK != 0;
    let rt_type = if daddr.is_multicast() { RtType::Multicast } else { route.rt_type };
    let rt_flags = match rt_type {
        RtType::Multicast => RTCF_MULTICAST,
        _ if loopback => RTCF_LOCAL,
        _ => 0,
    };
    Dst {
        dev,
        nexthop: IpAddr::V6(route.gateway.unwrap_or(daddr)),
        gateway: route.gateway.map(IpAddr::V6),
        rt_type,
        rt_flags,
        prefsrc: std::net::Ipv4Addr::UNSPECIFIED,
        mtu: mtu.min(IP6_MAX_MTU),
        mtu_locked: metrics.mtu_lock,
        advmss_mtu: if net.profile.advmss_ignores_pmtu { route_mtu } else { mtu },
        metric_advmss: metrics.advmss,
        metric_window: metrics.window,
        hoplimit: match metrics.hoplimit {
            0 => net.sysctl.hop_limit as u8,
            hops => hops,
        },
        initcwnd: metrics.initcwnd,
        initrwnd: metrics.initrwnd,
        quickack: metrics.quickack,
        cc_algo: metrics.cc_algo,
        rto_min_ms: metrics.rto_min_ms,
        expires: learned.map(|e| e.expires),
        genid: net.ip.rt_genid,
    }
}

/// The route of a packet of the interface's own, such as neighbour discovery sends
/// (`icmp6_dst_alloc`): straight to its destination on the link.
pub(crate) fn icmp6_dst_alloc(net: &Net, dev: DevId, daddr: Ipv6Addr) -> Dst {
    let route = Rt6 {
        dst: daddr,
        plen: 128,
        metric: 0,
        gateway: None,
        dev,
        rt_type: RtType::Unicast,
        prefsrc: None,
        metrics: Metrics { hoplimit: 255, ..Metrics::default() },
    };
    dst_of(net, &route, dev, daddr)
}

/// The prefix length of the route to a destination; the wider, the more errors a peer may get.
pub(crate) fn prefix_length_to(net: &Net, daddr: Ipv6Addr) -> u8 {
    net.ip6.fib6.lookup(net, daddr, 0).map_or(128, |r| r.plen)
}

/// What becomes of a received packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Input6 {
    /// For this host; `RTCF_*`.
    Local(u32),
    /// For another host.
    Forward,
    /// Nobody's.
    Unreachable,
}

/// Decides what becomes of a received packet (`ip6_route_input`).
pub(crate) fn ip6_route_input(net: &Net, dev: DevId, daddr: Ipv6Addr) -> Input6 {
    if daddr.is_multicast() {
        return match net.devs[dev].ip6_ptr.has_group(daddr) {
            true => Input6::Local(RTCF_LOCAL | RTCF_MULTICAST),
            false => Input6::Unreachable,
        };
    }
    let oif = if is_linklocal(daddr) { dev.ifindex() } else { 0 };
    match net.ip6.fib6.lookup(net, daddr, oif) {
        // A link-local address is its own interface's alone.
        Some(r) if r.rt_type == RtType::Local && (oif == 0 || r.dev == dev) => {
            Input6::Local(RTCF_LOCAL)
        }
        Some(r) if r.rt_type == RtType::Unicast => Input6::Forward,
        _ => Input6::Unreachable,
    }
}

/// The path told its MTU for a destination (`__ip6_rt_update_pmtu`); one below 1280 is taken for
/// 1280.
pub(crate) fn ip6_update_pmtu(net: &mut Net, dst: &Dst, daddr: Ipv6Addr, mtu: u32) {
    let mtu = mtu.max(IPV6_MIN_MTU);
    if dst.mtu_locked || mtu >= dst.mtu {
        return;
    }
    let now = net.jiffies();
    let expires = now + net.sysctl.ip6_rt_mtu_expires.max(0) as u64 * u64::from(net.time.hz());
    let map = Arc::make_mut(&mut net.ip6.fib6.exceptions);
    if map.len() >= EXCEPTIONS_MAX {
        map.retain(|_, e| now < e.expires);
    }
    if map.len() < EXCEPTIONS_MAX {
        map.insert((dst.dev, daddr), Exception { mtu, expires });
    }
    rt_cache_flush(net);
}
