//! The routing tables as addresses, devices and administrators change them, and as a look-up
//! asks them (Linux `fib_frontend.c`).

use super::devinet::{InIfaddr, inet_del_ifa, inet_insert_ifa, inet_lookup_ifaddr};
use super::fib_semantics::{
    FibInfo, FibNh, Metrics, RT_TABLE_LOCAL, RT_TABLE_MAIN, RtScope, fib_error,
};
use super::fib_trie::{AliasKey, FibAlias, Trie};
use super::route::{RtType, rt_cache_flush};
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::dev::{DevId, IFF_LOOPBACK};
use crate::net::core::sysctl::CongestionName;
use reference_stack_macros::traced;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The routing tables. Without an administrator's rules, local and main share one trie.
#[derive(Clone, Debug, Default)]
pub(crate) struct FibTables {
    pub(crate) trie: Trie,
    /// Whether the tables local and main were made (`fib_new_table`).
    tables: [bool; 2],
}

/// A route as ip(8) names it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteSpec {
    /// The prefix; `None` is the default route.
    pub dst: Option<(Ipv4Addr, u8)>,
    /// The gateway.
    pub via: Option<Ipv4Addr>,
    /// The interface; may be left out where `via` tells it.
    pub dev: Option<String>,
    /// `src`: preferred source address.
    pub src: Option<Ipv4Addr>,
    /// `metric`: the smaller wins.
    pub metric: u32,
    /// Only for packets with this TOS; 0: all.
    pub tos: u8,
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
    /// `quickack`.
    pub quickack: bool,
    /// `congctl`: the congestion control of connections on this route, by its name.
    pub congctl: Option<String>,
    /// `rto_min`, milliseconds.
    pub rto_min_ms: Option<u32>,
    /// What becomes of packets that match.
    pub kind: RouteKind,
}

/// What becomes of packets on a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RouteKind {
    /// They are sent.
    #[default]
    Unicast,
    /// They are this host's own (`ip route add local`).
    Local,
    /// Refused with EHOSTUNREACH.
    Unreachable,
    /// Refused with EACCES.
    Prohibit,
    /// Dropped, EINVAL to the sender.
    Blackhole,
}

impl RouteSpec {
    fn rt_type(&self) -> RtType {
        match self.kind {
            RouteKind::Unicast => RtType::Unicast,
            RouteKind::Local => RtType::Local,
            RouteKind::Unreachable => RtType::Unreachable,
            RouteKind::Prohibit => RtType::Prohibit,
            RouteKind::Blackhole => RtType::Blackhole,
        }
    }

    fn prefix(&self) -> (Ipv4Addr, u8) {
        self.dst.unwrap_or((Ipv4Addr::UNSPECIFIED, 0))
    }
}

/// What a look-up asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FibFlow {
    pub(crate) daddr: Ipv4Addr,
    pub(crate) oif: u32,
    pub(crate) tos: u8,
    pub(crate) scope: RtScope,
}

/// What a look-up finds (`struct fib_result`).
#[derive(Clone, Debug)]
pub(crate) struct FibResult {
    pub(crate) rt_type: RtType,
    pub(crate) info: Arc<FibInfo>,
    pub(crate) nh: FibNh,
}

/// The netmask of a prefix length.
pub(crate) fn ifa_mask(plen: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(plen.min(32))).unwrap_or(0)
}

/// Finds the route of a destination in the tables local and main.
///
/// # Errors
/// ENETUNREACH: none; else what a route of its type gives (EHOSTUNREACH, EACCES, EINVAL).
pub(crate) fn fib_lookup(net: &Net, fl: &FibFlow) -> Result<FibResult, Errno> {
    let trie = &net.ip.fib.trie;
    let hit = trie.lookup(fl.daddr.into(), |fa| {
        if (fa.tos != 0 && fa.tos != fl.tos & 0x1c) || fa.info.scope < fl.scope {
            return None;
        }
        if let Some(e) = fib_error(fa.rt_type) {
            return Some(Err(e));
        }
        let nh = fa.info.nh?;
        if (fl.oif != 0 && fl.oif != nh.dev.ifindex()) || !net.devs[nh.dev].is_up() {
            return None;
        }
        Some(Ok(FibResult { rt_type: fa.rt_type, info: fa.info.clone(), nh }))
    });
    hit.unwrap_or(Err(Errno::ENETUNREACH))
}

/// What kind of address this is to this host (`inet_addr_type`): by the table local alone, in
/// which everything unknown is unicast.
pub(crate) fn inet_addr_type(net: &Net, addr: Ipv4Addr) -> RtType {
    inet_addr_type_dev(net, None, addr)
}

/// [`inet_addr_type`], of one device's addresses only (`inet_addr_type_dev_table`).
pub(crate) fn inet_addr_type_dev(net: &Net, dev: Option<DevId>, addr: Ipv4Addr) -> RtType {
    if addr.octets()[0] == 0 || addr == Ipv4Addr::BROADCAST {
        return RtType::Broadcast;
    }
    if addr.is_multicast() {
        return RtType::Multicast;
    }
    local_table(net, addr)
        .filter(|(_, at)| dev.is_none_or(|d| d == *at))
        .map_or(RtType::Unicast, |(rt_type, _)| rt_type)
}

fn local_table(net: &Net, addr: Ipv4Addr) -> Option<(RtType, DevId)> {
    net.ip.fib.trie.lookup(addr.into(), |fa| {
        if fa.tb_id != RT_TABLE_LOCAL {
            return None;
        }
        fa.info.nh.map(|nh| (fa.rt_type, nh.dev))
    })
}

/// The device whose local route covers an address.
pub(crate) fn fib_local_dev(net: &Net, addr: Ipv4Addr) -> Option<DevId> {
    local_table(net, addr).filter(|(t, _)| *t == RtType::Local).map(|(_, dev)| dev)
}

/// The table of a number, made if it is not there.
#[traced]
fn fib_new_table(net: &mut Net, id: u32) -> u32 {
    if let Some(id) = fib_get_table(net, id) {
        return id;
    }
    fib_trie_table(net, id)
}

#[traced]
fn fib_get_table(net: &Net, id: u32) -> Option<u32> {
    net.ip.fib.tables[usize::from(id == RT_TABLE_LOCAL)].then_some(id)
}

#[traced]
fn fib_trie_table(net: &mut Net, id: u32) -> u32 {
    Arc::make_mut(&mut net.ip.fib).tables[usize::from(id == RT_TABLE_LOCAL)] = true;
    id
}

/// What a route is inserted or deleted by (`struct fib_config`).
#[derive(Clone, Debug)]
struct FibConfig {
    table: u32,
    rt_type: RtType,
    dst: Ipv4Addr,
    plen: u8,
    tos: u8,
    info: FibInfo,
    /// `NLM_F_EXCL`, `NLM_F_APPEND`, `NLM_F_REPLACE`.
    mode: Insert,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Insert {
    Exclusive,
    Append,
    Replace,
}

#[traced]
fn fib_table_insert(net: &mut Net, cfg: FibConfig) -> Result<(), Errno> {
    let k = alias_key(&cfg);
    let fib = &mut Arc::make_mut(&mut net.ip.fib).trie;
    let alias = FibAlias {
        slen: 32 - cfg.plen,
        tos: cfg.tos,
        rt_type: cfg.rt_type,
        tb_id: cfg.table,
        info: Arc::new(cfg.info),
    };
    match cfg.mode {
        Insert::Exclusive if fib.same_key(&k).next().is_some() => return Err(Errno::EEXIST),
        Insert::Append if fib.same_key(&k).any(|fa| *fa == alias) => return Err(Errno::EEXIST),
        Insert::Replace => {
            let priority = k.priority;
            fib.remove(&k, |fa| fa.tos == k.tos && fa.info.priority == priority);
        }
        _ => {}
    }
    fib.insert(&k, alias, cfg.mode == Insert::Append);
    rt_cache_flush(net);
    Ok(())
}

#[traced]
fn fib_table_delete(net: &mut Net, cfg: &FibConfig, exact: bool) -> Result<(), Errno> {
    let k = alias_key(cfg);
    let wanted = cfg.info.clone();
    let removed = Arc::make_mut(&mut net.ip.fib).trie.remove(&k, |fa| {
        let info = &fa.info;
        fa.tos == cfg.tos
            && fa.rt_type == cfg.rt_type
            && (wanted.priority == 0 || info.priority == wanted.priority)
            && (!exact || info.scope == wanted.scope)
            && (wanted.prefsrc.is_none() || info.prefsrc == wanted.prefsrc)
            && match (wanted.nh, info.nh) {
                (Some(w), Some(nh)) => w.dev == nh.dev && (w.gw.is_none() || w.gw == nh.gw),
                (Some(_), None) => false,
                (None, _) => true,
            }
    });
    rt_cache_flush(net);
    removed.map(|_| ()).ok_or(Errno::ESRCH)
}

fn alias_key(cfg: &FibConfig) -> AliasKey {
    AliasKey {
        key: u32::from(cfg.dst) & ifa_mask(cfg.plen),
        plen: cfg.plen.min(32),
        tos: cfg.tos,
        priority: cfg.info.priority,
        tb_id: cfg.table,
    }
}

/// Adds or deletes a route that follows from an address.
#[traced]
fn fib_magic(net: &mut Net, add: bool, rt_type: RtType, dst: Ipv4Addr, plen: u8, of: &Origin) {
    let table = if rt_type == RtType::Unicast { RT_TABLE_MAIN } else { RT_TABLE_LOCAL };
    let table = fib_new_table(net, table);
    let host = rt_type == RtType::Local;
    let nh =
        FibNh { dev: of.dev, gw: None, scope: if host { RtScope::Nowhere } else { RtScope::Host } };
    let cfg = FibConfig {
        table,
        rt_type,
        dst,
        plen,
        tos: 0,
        info: FibInfo {
            scope: if host { RtScope::Host } else { RtScope::Link },
            priority: 0,
            prefsrc: Some(of.local),
            nh: Some(nh),
            metrics: Metrics::default(),
            by_kernel: true,
        },
        mode: Insert::Append,
    };
    // Another address may have made the same route, or taken it away, before.
    let _ = if add { fib_table_insert(net, cfg) } else { fib_table_delete(net, &cfg, true) };
}

/// The primary address that a route follows from.
struct Origin {
    dev: DevId,
    local: Ipv4Addr,
}

/// The routes of a new address: itself, its broadcast addresses, its subnet.
#[traced]
pub(crate) fn fib_add_ifaddr(net: &mut Net, id: DevId, ifa: &InIfaddr) {
    let prim = primary_of(net, id, ifa);
    let of = Origin { dev: id, local: prim };
    fib_magic(net, true, RtType::Local, ifa.local, 32, &of);
    if !net.devs[id].is_up() {
        return;
    }
    if let Some(brd) = ifa.broadcast.filter(|&b| b != Ipv4Addr::BROADCAST) {
        fib_magic(net, true, RtType::Broadcast, brd, 32, &of);
    }
    let prefix = ifa.prefix();
    if prefix.octets()[0] != 0 && !ifa.secondary && (prefix != ifa.local || ifa.prefixlen < 32) {
        fib_magic(net, true, prefix_type(net, id), prefix, ifa.prefixlen, &of);
        if ifa.prefixlen < 31 {
            fib_magic(net, true, RtType::Broadcast, directed_broadcast(ifa), 32, &of);
        }
    }
}

fn prefix_type(net: &Net, id: DevId) -> RtType {
    match net.devs[id].flags & IFF_LOOPBACK {
        0 => RtType::Unicast,
        _ => RtType::Local,
    }
}

fn directed_broadcast(ifa: &InIfaddr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(ifa.prefix()) | !ifa_mask(ifa.prefixlen))
}

/// The first address of the same subnet, whose address the routes prefer as source.
fn primary_of(net: &Net, id: DevId, ifa: &InIfaddr) -> Ipv4Addr {
    if !ifa.secondary {
        return ifa.local;
    }
    net.devs[id]
        .in_dev
        .ifa_list
        .iter()
        .find(|i| !i.secondary && i.prefixlen == ifa.prefixlen && i.matches(ifa.local))
        .map_or(ifa.local, |i| i.local)
}

/// Takes the routes of an address away, except those that another address still needs. The
/// address is not in the device's list any more.
#[traced]
pub(crate) fn fib_del_ifaddr(net: &mut Net, id: DevId, ifa: &InIfaddr) {
    let of = Origin { dev: id, local: primary_of(net, id, ifa) };
    let prefix = ifa.prefix();
    let mut others = net.devs[id].in_dev.ifa_list.clone();
    let subnet_stays =
        others.iter().any(|o| !o.secondary && o.prefixlen == ifa.prefixlen && o.matches(prefix));
    let has_subnet = prefix.octets()[0] != 0 && (prefix != ifa.local || ifa.prefixlen < 32);
    if has_subnet && !ifa.secondary && !subnet_stays {
        fib_magic(net, false, prefix_type(net, id), prefix, ifa.prefixlen, &of);
    }
    // Each address has routes of its own, except where it prefers the same source.
    others.retain(|o| primary_of(net, id, o) == of.local);
    let mut broadcasts: Vec<Ipv4Addr> = ifa.broadcast.into_iter().collect();
    if has_subnet && ifa.prefixlen < 31 {
        broadcasts.push(directed_broadcast(ifa));
    }
    broadcasts.dedup();
    for brd in broadcasts {
        let needed = others.iter().any(|o| {
            o.broadcast == Some(brd) || (o.prefixlen < 31 && directed_broadcast(o) == brd)
        });
        if !needed && brd != Ipv4Addr::BROADCAST {
            fib_magic(net, false, RtType::Broadcast, brd, 32, &of);
        }
    }
    if !others.iter().any(|o| o.local == ifa.local) {
        fib_magic(net, false, RtType::Local, ifa.local, 32, &of);
        // Routes that prefer the address as source go with it (fib_sync_down_addr).
        if !inet_lookup_ifaddr(net, ifa.local) {
            let gone = ifa.local;
            Arc::make_mut(&mut net.ip.fib)
                .trie
                .flush(|_, fa| fa.info.prefsrc == Some(gone) && !fa.info.by_kernel);
        }
    }
}

/// An address came (`up`) or went.
#[traced]
pub(crate) fn fib_inetaddr_event(net: &mut Net, id: DevId, ifa: &InIfaddr, up: bool) {
    if up {
        fib_add_ifaddr(net, id, ifa);
    } else {
        fib_del_ifaddr(net, id, ifa);
        if net.devs[id].in_dev.ifa_list.is_empty() {
            fib_disable_ip(net, id);
        }
    }
    rt_cache_flush(net);
}

/// A device came up: the routes of its addresses come (back). The loopback device gets its
/// address if it has none.
pub(crate) fn fib_netdev_up(net: &mut Net, id: DevId) {
    let dev = &net.devs[id];
    if dev.flags & IFF_LOOPBACK != 0 && dev.in_dev.ifa_list.is_empty() {
        let lo = InIfaddr {
            local: Ipv4Addr::LOCALHOST,
            prefixlen: 8,
            broadcast: None,
            scope: RtScope::Host,
            secondary: false,
        };
        // The list is empty, so it cannot be refused.
        let _ = inet_insert_ifa(net, id, lo);
        return;
    }
    for ifa in net.devs[id].in_dev.ifa_list.clone() {
        fib_add_ifaddr(net, id, &ifa);
    }
    rt_cache_flush(net);
}

/// A device went down: routes through it go, its own addresses stay local.
pub(crate) fn fib_netdev_down(net: &mut Net, id: DevId) {
    fib_disable_ip(net, id);
}

/// `fib_sync_down_dev` and `fib_flush`: a host route's next hop has scope nowhere and stays.
fn fib_disable_ip(net: &mut Net, id: DevId) {
    Arc::make_mut(&mut net.ip.fib)
        .trie
        .flush(|_, fa| fa.info.nh.is_some_and(|nh| nh.dev == id && nh.scope != RtScope::Nowhere));
    rt_cache_flush(net);
}

/// A device's MTU changed: learned path MTUs that exceed it go (`fib_sync_mtu`).
pub(crate) fn fib_sync_mtu(net: &mut Net, id: DevId) {
    let mtu = net.devs[id].mtu;
    net.ip.fnhe.retain_below(id, mtu);
    rt_cache_flush(net);
}

/// `ip addr add ADDR/PLEN brd + dev DEV`.
///
/// # Errors
/// EEXIST: it is there already. EINVAL: no address or no prefix length of IPv4.
pub(crate) fn ip_addr_add(net: &mut Net, id: DevId, addr: Ipv4Addr, plen: u8) -> Result<(), Errno> {
    if plen > 32 || addr.is_unspecified() || addr.is_multicast() || addr.is_broadcast() {
        return Err(Errno::EINVAL);
    }
    let loopback = net.devs[id].flags & IFF_LOOPBACK != 0;
    let brd = u32::from(addr) | !ifa_mask(plen);
    let ifa = InIfaddr {
        local: addr,
        prefixlen: plen,
        broadcast: (plen < 31 && !loopback).then(|| brd.into()),
        scope: if addr.is_loopback() { RtScope::Host } else { RtScope::Universe },
        secondary: false,
    };
    inet_insert_ifa(net, id, ifa)
}

/// `ip addr del ADDR/PLEN dev DEV`.
///
/// # Errors
/// EADDRNOTAVAIL: it is not there.
pub(crate) fn ip_addr_del(net: &mut Net, id: DevId, addr: Ipv4Addr, plen: u8) -> Result<(), Errno> {
    inet_del_ifa(net, id, addr, plen)
}

/// `ip route add` (`replace`: `ip route replace`).
///
/// # Errors
/// EEXIST: the same prefix, TOS and metric is there. ENODEV: no such interface. ENETDOWN: it is
/// down. ENETUNREACH: the gateway is not reachable on a link. EINVAL: what the prefix or the
/// preferred source may not be.
pub(crate) fn ip_route_add(net: &mut Net, route: &RouteSpec, replace: bool) -> Result<(), Errno> {
    let mode = if replace { Insert::Replace } else { Insert::Exclusive };
    let cfg = fib_create_info(net, route, mode)?;
    fib_new_table(net, cfg.table);
    fib_table_insert(net, cfg)
}

/// `ip route del`: the first route of the prefix that has all that is named.
///
/// # Errors
/// ESRCH: there is none. ENODEV: no such interface.
pub(crate) fn ip_route_del(net: &mut Net, route: &RouteSpec) -> Result<(), Errno> {
    let dev = route_dev(net, route)?;
    let (dst, plen) = route.prefix();
    let cfg = FibConfig {
        table: table_of(route),
        rt_type: route.rt_type(),
        dst,
        plen: plen.min(32),
        tos: route.tos,
        info: FibInfo {
            scope: RtScope::Universe,
            priority: route.metric,
            prefsrc: route.src,
            nh: dev.map(|dev| FibNh { dev, gw: route.via, scope: RtScope::Link }),
            metrics: Metrics::default(),
            by_kernel: false,
        },
        mode: Insert::Exclusive,
    };
    if dev.is_none() && route.via.is_some() {
        let via = route.via;
        let k = alias_key(&cfg);
        let removed = Arc::make_mut(&mut net.ip.fib)
            .trie
            .remove(&k, |fa| fa.info.nh.is_some_and(|nh| nh.gw == via));
        rt_cache_flush(net);
        return removed.map(|_| ()).ok_or(Errno::ESRCH);
    }
    fib_table_delete(net, &cfg, false)
}

fn table_of(route: &RouteSpec) -> u32 {
    match route.rt_type() {
        RtType::Local | RtType::Broadcast => RT_TABLE_LOCAL,
        _ => RT_TABLE_MAIN,
    }
}

/// The congestion control that a route names; an unknown one is refused (`tcp_ca_get_key_by_name`).
pub(crate) fn congctl(name: Option<&str>) -> Result<Option<CongestionName>, Errno> {
    name.map(|name| CongestionName::from_name(name).ok_or(Errno::EINVAL)).transpose()
}

fn route_dev(net: &Net, route: &RouteSpec) -> Result<Option<DevId>, Errno> {
    route.dev.as_ref().map(|n| net.devs.by_name(n).ok_or(Errno::ENODEV)).transpose()
}

/// Checks a route and finds its next hop (`fib_create_info`, `fib_check_nh`).
fn fib_create_info(net: &Net, route: &RouteSpec, mode: Insert) -> Result<FibConfig, Errno> {
    let (dst, plen) = route.prefix();
    if plen > 32 || u32::from(dst) & !ifa_mask(plen) != 0 {
        return Err(Errno::EINVAL);
    }
    let scope = match (route.rt_type(), route.via) {
        (RtType::Local, _) => RtScope::Host,
        (RtType::Unicast, None) | (RtType::Broadcast | RtType::Multicast, _) => RtScope::Link,
        _ => RtScope::Universe,
    };
    let nh = match fib_error(route.rt_type()) {
        Some(_) => None,
        None => Some(fib_check_nh(net, route, scope)?),
    };
    let ours = |a: Ipv4Addr| inet_addr_type(net, a) == RtType::Local;
    if route.src.is_some_and(|src| !ours(src) && route.rt_type() != RtType::Local) {
        return Err(Errno::EINVAL);
    }
    Ok(FibConfig {
        table: table_of(route),
        rt_type: route.rt_type(),
        dst,
        plen,
        tos: route.tos,
        info: FibInfo {
            scope,
            priority: route.metric,
            prefsrc: route.src,
            nh,
            metrics: Metrics {
                mtu: route.mtu.unwrap_or(0).min(65535 - 15),
                mtu_lock: route.mtu_locked,
                advmss: route.advmss.unwrap_or(0).min(65535 - 40),
                window: route.window.unwrap_or(0),
                rtt: 0,
                hoplimit: route.hoplimit.unwrap_or(0),
                initcwnd: route.initcwnd.unwrap_or(0),
                initrwnd: route.initrwnd.unwrap_or(0),
                quickack: route.quickack,
                cc_algo: congctl(route.congctl.as_deref())?,
                rto_min_ms: route.rto_min_ms.unwrap_or(0),
            },
            by_kernel: false,
        },
        mode,
    })
}

fn fib_check_nh(net: &Net, route: &RouteSpec, scope: RtScope) -> Result<FibNh, Errno> {
    let named = route_dev(net, route)?;
    let Some(gw) = route.via else {
        let dev = named.ok_or(Errno::ENODEV)?;
        if !net.devs[dev].is_up() {
            return Err(Errno::ENETDOWN);
        }
        let nh_scope = if scope == RtScope::Host { RtScope::Nowhere } else { RtScope::Host };
        return Ok(FibNh { dev, gw: None, scope: nh_scope });
    };
    if scope >= RtScope::Link {
        return Err(Errno::EINVAL);
    }
    // The gateway must be on a link: the look-up asks for a nearer scope than the route's.
    let fl =
        FibFlow { daddr: gw, oif: named.map_or(0, DevId::ifindex), tos: 0, scope: RtScope::Link };
    let found = fib_lookup(net, &fl).map_err(|_| Errno::ENETUNREACH)?;
    if !matches!(found.rt_type, RtType::Unicast | RtType::Local) {
        return Err(Errno::EINVAL);
    }
    if !net.devs[found.nh.dev].is_up() {
        return Err(Errno::ENETDOWN);
    }
    Ok(FibNh { dev: found.nh.dev, gw: Some(gw), scope: found.info.scope })
}

/// Whether a packet may have this source (`fib_validate_source` with `rp_filter` 0): this host's
/// own addresses do not come from outside.
pub(crate) fn fib_validate_source(net: &Net, saddr: Ipv4Addr) -> Result<(), Errno> {
    match inet_lookup_ifaddr(net, saddr) {
        true => Err(Errno::EINVAL),
        false => Ok(()),
    }
}
