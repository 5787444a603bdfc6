//! Routes as the layers above see them (Linux `route.c`, `struct dst_entry`, `struct rtable`).

use super::devinet::{inet_select_addr, ip_dev_find};
use super::fib_frontend::{FibFlow, FibResult, FibTables, fib_lookup, fib_validate_source};
use super::fib_semantics::{Metrics, RtScope};
use super::ip_input::Iphdr;
use crate::errno::Errno;
use crate::lib::hash::DetHashMap;
use crate::net::Net;
use crate::net::core::dev::{DevId, IFF_BROADCAST, IFF_LOOPBACK, LOOPBACK_DEV};
use crate::net::core::neighbour;
use crate::net::core::skbuff::SkbRt;
use crate::net::core::sock::SockCommon;
use crate::net::core::sysctl::CongestionName;
use crate::time::Jiffies;
use reference_stack_macros::traced;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub(crate) type RouteTables = FibTables;

/// The packet was broadcast (`RTCF_BROADCAST`).
pub(crate) const RTCF_BROADCAST: u32 = 0x1000_0000;
/// `RTCF_MULTICAST`.
pub(crate) const RTCF_MULTICAST: u32 = 0x2000_0000;
/// The packet is for this host, too (`RTCF_LOCAL`).
pub(crate) const RTCF_LOCAL: u32 = 0x8000_0000;

/// `IPV4_MIN_MTU`: no path MTU below this is believed.
const IPV4_MIN_MTU: u32 = 68;
/// `IP_MAX_MTU`.
const IP_MAX_MTU: u32 = 0xffff;
/// Most path MTUs that are remembered (`FNHE_HASH_SIZE` times `FNHE_RECLAIM_DEPTH`).
const FNHE_MAX: usize = 2048 * 5;

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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum RtType {
    /// To a host by a gateway or on the link.
    #[default]
    Unicast,
    /// To this host.
    Local,
    /// To all on the link.
    Broadcast,
    /// To a group.
    Multicast,
    /// Refused with "host unreachable".
    Unreachable,
    /// Refused with "administratively prohibited".
    Prohibit,
    /// Dropped silently.
    Blackhole,
}

impl RtType {
    /// The name in /proc/net/fib_trie.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unicast => "UNICAST",
            Self::Local => "LOCAL",
            Self::Broadcast => "BROADCAST",
            Self::Multicast => "MULTICAST",
            Self::Unreachable => "UNREACHABLE",
            Self::Prohibit => "PROHIBIT",
            Self::Blackhole => "BLACKHOLE",
        }
    }
}

/// A route that a socket or packet holds (`struct rtable`). Plain data; it is valid while
/// `genid` is the table's and `expires` is not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dst {
    pub(crate) dev: DevId,
    /// The next hop's address on the link: the gateway, or the destination itself.
    pub(crate) nexthop: IpAddr,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) rt_type: RtType,
    /// `RTCF_*`.
    pub(crate) rt_flags: u32,
    /// Preferred source address.
    pub(crate) prefsrc: Ipv4Addr,
    /// `dst_mtu`: path MTU, else the route's, else the device's. Bytes.
    pub(crate) mtu: u32,
    /// `ip_mtu_locked`.
    pub(crate) mtu_locked: bool,
    /// The MTU that the segment size to announce follows from.
    pub(crate) advmss_mtu: u32,
    /// RTAX_ADVMSS of the route; 0: from the MTU.
    pub(crate) metric_advmss: u32,
    /// RTAX_WINDOW; 0: not set.
    pub(crate) metric_window: u32,
    /// RTAX_HOPLIMIT; 0: `net.ipv4.ip_default_ttl`.
    pub(crate) hoplimit: u8,
    pub(crate) initcwnd: u32,
    pub(crate) initrwnd: u32,
    pub(crate) quickack: bool,
    /// RTAX_CC_ALGO.
    pub(crate) cc_algo: Option<CongestionName>,
    /// RTAX_RTO_MIN where it is locked, milliseconds; 0: not set.
    pub(crate) rto_min_ms: u32,
    /// When `mtu` is forgotten, if it was learned.
    pub(crate) expires: Option<Jiffies>,
    pub(crate) genid: u32,
}

impl Dst {
    /// `dst_metric_advmss` (ipv4_default_advmss): largest segment to announce, bytes.
    pub(crate) fn advmss(&self, net: &Net) -> u32 {
        if self.metric_advmss != 0 {
            return self.metric_advmss;
        }
        if self.nexthop.is_ipv6() {
            return crate::net::ipv6::route::ip6_default_advmss(net, self.advmss_mtu);
        }
        let floor = net.sysctl.min_adv_mss as u32;
        self.advmss_mtu.saturating_sub(40).max(floor).min(65535 - 40)
    }

    /// Whether it still holds (`dst_check`).
    pub(crate) fn valid(&self, net: &Net) -> bool {
        self.genid == net.ip.rt_genid && self.expires.is_none_or(|e| net.jiffies() < e)
    }

    /// What a packet in hand keeps of it.
    pub(crate) fn skb_rt(&self) -> SkbRt {
        SkbRt { rt_flags: self.rt_flags, is_input: false }
    }
}

/// Path MTUs that were learned (`struct fib_nh_exception`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Fnhe {
    map: Arc<DetHashMap<(DevId, Ipv4Addr), Pmtu>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pmtu {
    mtu: u32,
    /// The path's MTU was told to be below `min_pmtu`; it is not lowered, and DF is not set.
    locked: bool,
    expires: Jiffies,
}

impl Fnhe {
    fn get(&self, dev: DevId, daddr: Ipv4Addr, now: Jiffies) -> Option<Pmtu> {
        self.map.get(&(dev, daddr)).copied().filter(|p| now < p.expires)
    }

    /// Forgets those through a device that exceed its MTU.
    pub(crate) fn retain_below(&mut self, dev: DevId, mtu: u32) {
        if self.map.keys().any(|k| k.0 == dev) {
            Arc::make_mut(&mut self.map).retain(|k, p| k.0 != dev || p.mtu < mtu);
        }
    }
}

/// Makes every cached route be looked up again (`rt_cache_flush`).
pub(crate) fn rt_cache_flush(net: &mut Net) {
    net.ip.rt_genid = net.ip.rt_genid.wrapping_add(1);
}

/// The route that a socket holds, if it is still valid.
#[traced]
pub(crate) fn __sk_dst_check(net: &Net, sk: &mut SockCommon) -> Option<Dst> {
    let dst = sk.sk_dst.as_ref()?;
    if dst.valid(net) {
        return Some(dst.clone());
    }
    sk.sk_dst = None;
    None
}

/// Whether a cached route may still be used (`ipv4_dst_check`).
pub(crate) fn dst_check(net: &Net, dst: &Dst) -> bool {
    dst.valid(net)
}

/// The route of a connection about to be made (`ip_route_connect`).
///
/// # Errors
/// Those of [`ip_route_output_flow`].
#[traced]
pub(crate) fn ip_route_connect(net: &mut Net, fl: &mut Flow4) -> Result<Dst, Errno> {
    ip_route_output_flow(net, fl)
}

/// Tells the neighbour of a route that its address works (`dst_confirm_neigh`).
pub(crate) fn dst_confirm_neigh(net: &mut Net, dst: &Dst, daddr: IpAddr) {
    let key = dst.gateway.unwrap_or(daddr);
    neighbour::neigh_confirm(net, dst.dev, key);
}

/// The path told its MTU for a destination (`ipv4_update_pmtu`, `__ip_rt_update_pmtu`).
pub(crate) fn ipv4_update_pmtu(net: &mut Net, dst: &Dst, daddr: Ipv4Addr, mtu: u32) {
    if dst.mtu_locked || dst.mtu < mtu {
        return;
    }
    let min_pmtu = net.sysctl.min_pmtu.max(0) as u32;
    let locked = mtu < min_pmtu;
    let mtu = if locked { dst.mtu.min(min_pmtu) } else { mtu }.max(IPV4_MIN_MTU);
    let now = net.jiffies();
    let expires = now + net.sysctl.mtu_expires.max(0) as u64 * u64::from(net.time.hz());
    // A value that is as small and still fresh is not written again.
    if dst.mtu == mtu && dst.expires.is_some_and(|e| now + (expires - now) / 2 < e) {
        return;
    }
    let map = Arc::make_mut(&mut net.ip.fnhe.map);
    if map.len() >= FNHE_MAX {
        map.retain(|_, p| now < p.expires);
    }
    if map.len() < FNHE_MAX {
        map.insert((dst.dev, daddr), Pmtu { mtu, locked, expires });
    }
    rt_cache_flush(net);
}

/// Finds the route of an outgoing packet and completes its source address
/// (`ip_route_output_flow`).
///
/// # Errors
/// ENETUNREACH and the like: there is none. EINVAL: the source may not be one.
pub(crate) fn ip_route_output_flow(net: &mut Net, fl: &mut Flow4) -> Result<Dst, Errno> {
    let no_source = fl.saddr.is_unspecified();
    if !no_source {
        if fl.saddr.is_multicast() || fl.saddr.is_broadcast() || fl.saddr.octets()[0] == 0 {
            return Err(Errno::EINVAL);
        }
        let dev = ip_dev_find(net, fl.saddr).ok_or(Errno::ENETUNREACH)?;
        if fl.oif == 0 && (fl.daddr.is_multicast() || fl.daddr.is_broadcast()) {
            fl.oif = dev.ifindex();
            return mkroute_output(net, fl, None, RtType::Unicast, dev);
        }
    }
    let mut oif = None;
    if fl.oif != 0 {
        let dev = net.devs.by_index(fl.oif).ok_or(Errno::ENODEV)?;
        let (id, up) = (dev.id, dev.is_up());
        if !up {
            return Err(Errno::ENETUNREACH);
        }
        oif = Some(id);
        let local_multicast = fl.daddr.octets()[..3] == [224, 0, 0];
        if local_multicast || fl.daddr.is_broadcast() {
            if no_source {
                fl.saddr = inet_select_addr(net, id, Ipv4Addr::UNSPECIFIED, RtScope::Link);
            }
            return mkroute_output(net, fl, None, RtType::Unicast, id);
        }
        if no_source && fl.daddr.is_multicast() {
            fl.saddr = inet_select_addr(net, id, Ipv4Addr::UNSPECIFIED, RtScope::Universe);
        } else if no_source && fl.daddr.is_unspecified() {
            fl.saddr = inet_select_addr(net, id, Ipv4Addr::UNSPECIFIED, RtScope::Host);
        }
    }
    if fl.daddr.is_unspecified() {
        fl.daddr = if fl.saddr.is_unspecified() { Ipv4Addr::LOCALHOST } else { fl.saddr };
        if fl.saddr.is_unspecified() {
            fl.saddr = fl.daddr;
        }
        return mkroute_output(net, fl, None, RtType::Local, LOOPBACK_DEV);
    }
    let ask = FibFlow { daddr: fl.daddr, oif: fl.oif, tos: fl.tos, scope: RtScope::Universe };
    let res = match (fib_lookup(net, &ask), oif) {
        (Ok(res), _) => res,
        (Err(_), Some(dev)) => {
            // Told where to send it: the destination is taken to be on that link.
            if fl.saddr.is_unspecified() {
                fl.saddr = inet_select_addr(net, dev, Ipv4Addr::UNSPECIFIED, RtScope::Link);
            }
            return mkroute_output(net, fl, None, RtType::Unicast, dev);
        }
        (Err(e), None) => return Err(e),
    };
    if res.rt_type == RtType::Local {
        if fl.saddr.is_unspecified() {
            fl.saddr = res.info.prefsrc.unwrap_or(fl.daddr);
        }
        return mkroute_output(net, fl, Some(&res), RtType::Local, LOOPBACK_DEV);
    }
    if fl.saddr.is_unspecified() {
        fl.saddr = fib_result_prefsrc(net, &res, fl.daddr);
    }
    mkroute_output(net, fl, Some(&res), res.rt_type, res.nh.dev)
}

/// The way on of a packet that is not of this host (`ip_mkroute_input`). Its MTU is that of the
/// route or the device: what was learned of the path is for this host's own packets, unless it is
/// locked (`ip_dst_mtu_maybe_forward`).
///
/// # Errors
/// Those of the look-up.
pub(super) fn ip_route_forward(net: &Net, iph: &Iphdr) -> Result<Dst, Errno> {
    let ask = FibFlow { daddr: iph.daddr, oif: 0, tos: iph.tos, scope: RtScope::Universe };
    let res = fib_lookup(net, &ask)?;
    let fl = Flow4 {
        saddr: iph.saddr,
        daddr: iph.daddr,
        oif: 0,
        tos: iph.tos,
        proto: iph.protocol,
        sport: 0,
        dport: 0,
        mark: 0,
    };
    let mut dst = mkroute_output(net, &fl, Some(&res), RtType::Unicast, res.nh.dev)?;
    if !dst.mtu_locked {
        dst.mtu = match res.info.metrics.mtu {
            0 => net.devs[dst.dev].mtu.min(IP_MAX_MTU),
            mtu => mtu.min(IP_MAX_MTU),
        };
    }
    Ok(dst)
}

/// Whether a host is on the link of a device, without a gateway in between.
pub(super) fn is_onlink(net: &Net, address: Ipv4Addr, dev: DevId) -> bool {
    let ask = FibFlow { daddr: address, oif: 0, tos: 0, scope: RtScope::Universe };
    fib_lookup(net, &ask)
        .is_ok_and(|res| res.rt_type == RtType::Unicast && res.nh.dev == dev && res.nh.gw.is_none())
}

/// The route's preferred source, or the best of its device's addresses (`fib_result_prefsrc`).
pub(crate) fn fib_result_prefsrc(net: &Net, res: &FibResult, daddr: Ipv4Addr) -> Ipv4Addr {
    res.info.prefsrc.unwrap_or_else(|| {
        let _ = daddr;
        let near = res.nh.gw.unwrap_or(Ipv4Addr::UNSPECIFIED);
        inet_select_addr(net, res.nh.dev, near, res.info.scope)
    })
}

/// `__mkroute_output` and `rt_set_nexthop`.
fn mkroute_output(
    net: &Net,
    fl: &Flow4,
    res: Option<&FibResult>,
    rt_type: RtType,
    dev: DevId,
) -> Result<Dst, Errno> {
    let device = &net.devs[dev];
    let loopback = device.flags & IFF_LOOPBACK != 0;
    if fl.saddr.is_loopback() && !loopback {
        return Err(Errno::EINVAL);
    }
    let rt_type = if fl.daddr.is_broadcast() {
        RtType::Broadcast
    } else if fl.daddr.is_multicast() {
        RtType::Multicast
    } else if fl.daddr.octets()[0] == 0 {
        return Err(Errno::EINVAL);
    } else {
        rt_type
    };
    let mut rt_flags = if loopback { RTCF_LOCAL } else { 0 };
    match rt_type {
        RtType::Broadcast => {
            rt_flags |= RTCF_BROADCAST;
            if device.flags & IFF_BROADCAST != 0 {
                rt_flags |= RTCF_LOCAL;
            }
        }
        RtType::Multicast => rt_flags |= RTCF_MULTICAST,
        RtType::Local => rt_flags |= RTCF_LOCAL,
        _ => {}
    }
    let by_route = matches!(rt_type, RtType::Unicast | RtType::Local);
    let res = res.filter(|_| by_route);
    let gateway = res.filter(|_| rt_type == RtType::Unicast).and_then(|r| r.nh.gw);
    let metrics = res.map_or_else(Metrics::default, |r| r.info.metrics);
    let learned = net.ip.fnhe.get(dev, fl.daddr, net.jiffies());
    let route_mtu = match metrics.mtu {
        0 => device.mtu.min(IP_MAX_MTU),
        mtu => mtu.min(IP_MAX_MTU),
    };
    let mtu = learned.map_or(route_mtu, |p| p.mtu);
    Ok(Dst {
        dev,
        nexthop: gateway.unwrap_or(fl.daddr).into(),
        gateway: gateway.map(IpAddr::V4),
        rt_type,
        rt_flags,
        prefsrc: fl.saddr,
        mtu,
        mtu_locked: metrics.mtu_lock || learned.is_some_and(|p| p.locked),
        advmss_mtu: if net.profile.advmss_ignores_pmtu { route_mtu } else { mtu },
        metric_advmss: metrics.advmss,
        metric_window: metrics.window,
        hoplimit: metrics.hoplimit,
        initcwnd: metrics.initcwnd,
        initrwnd: metrics.initrwnd,
        quickack: metrics.quickack,
        cc_algo: metrics.cc_algo,
        rto_min_ms: metrics.rto_min_ms,
        expires: learned.map(|p| p.expires),
        genid: net.ip.rt_genid,
    })
}

/// What becomes of a received packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InputRoute {
    /// For this host.
    Local(RtType),
    /// For another host, by this route's type and way; forwarding decides.
    Forward,
    /// Nobody's: `ip_error()` with this errno.
    Unreachable(Errno),
}

/// What a packet from one host to a local address was found to be: the next one like it needs
/// no look-up. Linux keeps the same with the socket (`sk_rx_dst`, which `tcp_v4_early_demux`
/// uses) and with the next hop (`nhc_rth_input`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RxRoute {
    daddr: Ipv4Addr,
    saddr: Ipv4Addr,
    tos: u8,
    dev: DevId,
    genid: u32,
}

/// Decides what becomes of a received packet (`ip_route_input_noref`).
///
/// # Errors
/// Those of [`ip_route_input_slow`].
pub(crate) fn ip_route_input(
    net: &mut Net,
    daddr: Ipv4Addr,
    saddr: Ipv4Addr,
    tos: u8,
    dev: DevId,
) -> Result<InputRoute, Errno> {
    let key = RxRoute { daddr, saddr, tos, dev, genid: net.ip.rt_genid };
    let local = InputRoute::Local(RtType::Local);
    if net.ip.rx_route == Some(key) {
        return Ok(local);
    }
    let route = ip_route_input_slow(net, daddr, saddr, tos, dev)?;
    if route == local {
        net.ip.rx_route = Some(key);
    }
    Ok(route)
}

/// Decides what becomes of a received packet by the tables.
///
/// # Errors
/// EINVAL: a martian, an address that cannot come from there or go there.
fn ip_route_input_slow(
    net: &Net,
    daddr: Ipv4Addr,
    saddr: Ipv4Addr,
    tos: u8,
    dev: DevId,
) -> Result<InputRoute, Errno> {
    let zeronet = |a: Ipv4Addr| a.octets()[0] == 0;
    let forward = net.sysctl.ip_forward != 0;
    if saddr.is_multicast() || saddr.is_broadcast() {
        return Err(Errno::EINVAL);
    }
    if daddr.is_multicast() {
        // ip_route_input_mc(): only groups that were joined.
        return multicast_input(net, daddr, saddr, dev);
    }
    if daddr.is_broadcast() || (saddr.is_unspecified() && daddr.is_unspecified()) {
        return broadcast_input(net, saddr);
    }
    if zeronet(saddr) || zeronet(daddr) || daddr.is_loopback() || saddr.is_loopback() {
        return Err(Errno::EINVAL);
    }
    let ask = FibFlow { daddr, oif: 0, tos, scope: RtScope::Universe };
    let res = match fib_lookup(net, &ask) {
        Ok(res) => res,
        Err(e) => {
            return Ok(InputRoute::Unreachable(if forward { e } else { Errno::EHOSTUNREACH }));
        }
    };
    match res.rt_type {
        RtType::Broadcast => broadcast_input(net, saddr),
        RtType::Local => {
            fib_validate_source(net, saddr)?;
            let _ = dev;
            Ok(InputRoute::Local(RtType::Local))
        }
        _ if !forward => Ok(InputRoute::Unreachable(Errno::EHOSTUNREACH)),
        RtType::Unicast => Ok(InputRoute::Forward),
        _ => Err(Errno::EINVAL),
    }
}

fn broadcast_input(net: &Net, saddr: Ipv4Addr) -> Result<InputRoute, Errno> {
    if saddr.octets()[0] != 0 {
        fib_validate_source(net, saddr)?;
    }
    Ok(InputRoute::Local(RtType::Broadcast))
}

/// The group of all systems is joined on every interface.
fn multicast_input(
    net: &Net,
    daddr: Ipv4Addr,
    saddr: Ipv4Addr,
    dev: DevId,
) -> Result<InputRoute, Errno> {
    if saddr.is_loopback() || net.devs[dev].in_dev.ifa_list.is_empty() {
        return Err(Errno::EINVAL);
    }
    if saddr.octets()[0] != 0 {
        fib_validate_source(net, saddr)?;
    } else if daddr.octets()[..3] != [224, 0, 0] {
        return Err(Errno::EINVAL);
    }
    match daddr == Ipv4Addr::new(224, 0, 0, 1) {
        true => Ok(InputRoute::Local(RtType::Multicast)),
        false => Err(Errno::EINVAL),
    }
}
