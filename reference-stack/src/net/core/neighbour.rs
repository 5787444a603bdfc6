//! The neighbour table (Linux `net/core/neighbour.c`): who has an address on a link, and how
//! sure that is.

use super::dev::{DevId, IFF_LOOPBACK, IFF_NOARP, IFF_POINTOPOINT, dev_queue_xmit};
use super::skbuff::{DropReason, Skb, kfree_skb};
use super::sock::SkbQueue;
use crate::errno::Errno;
use crate::lib::hash::DetHashMap;
use crate::lib::shared::Arc;
use crate::net::Net;
use crate::net::ethernet::eth_header;
use crate::net::ipv4::arp;
use crate::net::ipv4::fib_frontend::inet_addr_type_dev;
use crate::net::ipv4::route::RtType;
use crate::net::ipv6::{self, ndisc};
use crate::time::{Jiffies, TimerId};
use reference_stack_macros::traced;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A neighbour entry's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NeighId(pub u32);

pub(crate) const NUD_INCOMPLETE: u8 = 0x01;
pub(crate) const NUD_REACHABLE: u8 = 0x02;
pub(crate) const NUD_STALE: u8 = 0x04;
pub(crate) const NUD_DELAY: u8 = 0x08;
pub(crate) const NUD_PROBE: u8 = 0x10;
pub(crate) const NUD_FAILED: u8 = 0x20;
pub(crate) const NUD_NOARP: u8 = 0x40;
pub(crate) const NUD_PERMANENT: u8 = 0x80;
pub(crate) const NUD_IN_TIMER: u8 = NUD_INCOMPLETE | NUD_REACHABLE | NUD_DELAY | NUD_PROBE;
pub(crate) const NUD_VALID: u8 =
    NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;
pub(crate) const NUD_CONNECTED: u8 = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE;

/// Who tells [`neigh_update`] may override the address (`NEIGH_UPDATE_F_OVERRIDE`).
pub(crate) const NEIGH_UPDATE_F_OVERRIDE: u32 = 0x1;
/// Who tells may only put the address in doubt (`NEIGH_UPDATE_F_WEAK_OVERRIDE`).
pub(crate) const NEIGH_UPDATE_F_WEAK_OVERRIDE: u32 = 0x2;
/// An administrator tells (`NEIGH_UPDATE_F_ADMIN`).
pub(crate) const NEIGH_UPDATE_F_ADMIN: u32 = 0x8000_0000;

/// `struct neighbour`.
#[derive(Clone, Debug)]
pub(crate) struct Neighbour {
    pub(crate) dev: DevId,
    pub(crate) primary_key: IpAddr,
    /// `NUD_*`.
    pub(crate) nud_state: u8,
    /// Hardware address.
    pub(crate) ha: [u8; 6],
    pub(crate) probes: u32,
    /// When the address was last known to work, last changed, last used.
    pub(crate) confirmed: Jiffies,
    pub(crate) updated: Jiffies,
    pub(crate) used: Jiffies,
    /// The hardware header was made once (`hh.hh_len`).
    hh: bool,
    arp_queue: SkbQueue,
    /// Truesize of the queue.
    arp_queue_len_bytes: u32,
}

/// The neighbours of a machine (`arp_tbl` and `nd_tbl`, which have the same settings).
#[derive(Clone, Debug, Default)]
pub(crate) struct NeighTable {
    entries: Vec<Option<Arc<Neighbour>>>,
    free: Vec<u32>,
    hash: Arc<DetHashMap<(DevId, Ipv4Addr), NeighId>>,
    /// The same for `nd_tbl`.
    hash6: Arc<DetHashMap<(DevId, Ipv6Addr), NeighId>>,
    /// `parms.reachable_time`, drawn anew every 300 s; 0: not drawn yet.
    reachable_time: Jiffies,
    last_rand: Jiffies,
    /// Packets that an unresolved entry had no room for.
    pub(crate) unres_discards: u64,
}

impl NeighTable {
    pub(crate) fn get(&self, id: NeighId) -> Option<&Neighbour> {
        self.entries.get(id.0 as usize)?.as_deref()
    }

    fn get_mut(&mut self, id: NeighId) -> Option<&mut Neighbour> {
        self.entries.get_mut(id.0 as usize)?.as_mut().map(Arc::make_mut)
    }

    /// `neigh_lookup`.
    pub(crate) fn lookup(&self, dev: DevId, key: IpAddr) -> Option<NeighId> {
        match key {
            IpAddr::V4(key) => self.hash.get(&(dev, key)).copied(),
            IpAddr::V6(key) => self.hash6.get(&(dev, key)).copied(),
        }
    }

    /// Every entry, in order of number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Neighbour> {
        self.entries.iter().filter_map(|e| e.as_deref())
    }

    /// Buffers that wait for an address.
    pub(crate) fn queued(&self) -> usize {
        self.iter().map(|n| n.arp_queue.len()).sum()
    }

    fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

/// `parms.reachable_time`: between half and one and a half times the base, drawn anew every
/// 300 s (`neigh_rand_reach_time`).
fn reachable_time(net: &mut Net) -> Jiffies {
    let now = net.jiffies();
    let period = 300 * u64::from(net.time.hz());
    if net.neigh.reachable_time == 0 || now > net.neigh.last_rand + period {
        let base = net.time.msecs_to_jiffies(net.sysctl.base_reachable_time_ms.max(0) as u64);
        let base = base.min(u32::MAX.into()) as u32;
        net.neigh.reachable_time = (u64::from(net.rng.below(base)) + u64::from(base / 2)).max(1);
        net.neigh.last_rand = now;
    }
    net.neigh.reachable_time
}

pub(crate) fn retrans_time(net: &Net) -> Jiffies {
    let ms = net.sysctl.retrans_time_ms.max(0) as u64;
    net.time.msecs_to_jiffies(ms).max(u64::from(net.time.hz()) / 100)
}

fn delay_probe_time(net: &Net) -> Jiffies {
    net.sysctl.delay_first_probe_time.max(0) as u64 * u64::from(net.time.hz())
}

/// A link without addresses, or one with a single other end, has one entry for all.
fn neigh_key(net: &Net, dev: DevId, key: IpAddr) -> IpAddr {
    match net.devs[dev].flags & (IFF_LOOPBACK | IFF_POINTOPOINT) {
        0 => key,
        _ if key.is_ipv6() => key,
        _ => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// The entry of an address on a link, made if it is not there (`__neigh_create`).
///
/// # Errors
/// ENOBUFS: the table is full.
pub(crate) fn neigh_lookup_or_create(
    net: &mut Net,
    dev: DevId,
    key: IpAddr,
) -> Result<NeighId, Errno> {
    let key = neigh_key(net, dev, key);
    match net.neigh.lookup(dev, key) {
        Some(id) => Ok(id),
        None => neigh_create(net, dev, key),
    }
}

fn neigh_create(net: &mut Net, dev: DevId, key: IpAddr) -> Result<NeighId, Errno> {
    if net.neigh.len() >= net.sysctl.gc_thresh3.max(0) as usize && !neigh_forced_gc(net) {
        return Err(Errno::ENOBUFS);
    }
    let now = net.jiffies();
    let base = net.time.msecs_to_jiffies(net.sysctl.base_reachable_time_ms.max(0) as u64);
    let (nud_state, ha) = match key {
        IpAddr::V4(key) => arp_constructor(net, dev, key),
        IpAddr::V6(key) => ndisc::ndisc_constructor(net, dev, key),
    };
    let entry = Arc::new(Neighbour {
        dev,
        primary_key: key,
        nud_state,
        ha,
        probes: 0,
        confirmed: now.saturating_sub(base * 2),
        updated: now,
        used: now,
        hh: false,
        arp_queue: SkbQueue::default(),
        arp_queue_len_bytes: 0,
    });
    let id = match net.neigh.free.pop() {
        Some(i) => {
            net.neigh.entries[i as usize] = Some(entry);
            NeighId(i)
        }
        None => {
            net.neigh.entries.push(Some(entry));
            NeighId(net.neigh.entries.len() as u32 - 1)
        }
    };
    match key {
        IpAddr::V4(key) => Arc::make_mut(&mut net.neigh.hash).insert((dev, key), id),
        IpAddr::V6(key) => Arc::make_mut(&mut net.neigh.hash6).insert((dev, key), id),
    };
    Ok(id)
}

/// What an entry starts as (Linux `arp_constructor`): only unicast addresses on a link with
/// addresses need to be asked for.
fn arp_constructor(net: &Net, dev: DevId, key: Ipv4Addr) -> (u8, [u8; 6]) {
    let device = &net.devs[dev];
    if device.hard_header_len == 0 {
        return (NUD_NOARP, [0; 6]);
    }
    match inet_addr_type_dev(net, Some(dev), key) {
        RtType::Multicast => {
            let [_, b, c, d] = key.octets();
            (NUD_NOARP, [0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        _ if device.flags & (IFF_NOARP | IFF_LOOPBACK) != 0 => (NUD_NOARP, device.dev_addr),
        RtType::Broadcast => (NUD_NOARP, device.broadcast),
        _ if device.flags & IFF_POINTOPOINT != 0 => (NUD_NOARP, device.broadcast),
        _ => (0, [0; 6]),
    }
}

/// Frees what nobody needs: failed entries, and those unchanged for 5 s that no timer holds.
fn neigh_forced_gc(net: &mut Net) -> bool {
    let old = net.jiffies().saturating_sub(5 * u64::from(net.time.hz()));
    let gone: Vec<NeighId> = net
        .neigh
        .entries
        .iter()
        .enumerate()
        .filter_map(|(i, n)| n.as_ref().map(|n| (NeighId(i as u32), n)))
        .filter(|(_, n)| n.nud_state & (NUD_PERMANENT | NUD_IN_TIMER) == 0)
        .filter(|(_, n)| n.nud_state & (NUD_FAILED | NUD_NOARP) != 0 || n.updated < old)
        .map(|(id, _)| id)
        .collect();
    for &id in &gone {
        neigh_remove(net, id);
    }
    !gone.is_empty()
}

fn neigh_remove(net: &mut Net, id: NeighId) {
    net.del_timer(TimerId::Neigh(id));
    neigh_queue_purge(net, id, DropReason::NeighDead);
    let Some(n) = net.neigh.entries.get_mut(id.0 as usize).and_then(Option::take) else { return };
    match n.primary_key {
        IpAddr::V4(key) => Arc::make_mut(&mut net.neigh.hash).remove(&(n.dev, key)),
        IpAddr::V6(key) => Arc::make_mut(&mut net.neigh.hash6).remove(&(n.dev, key)),
    };
    net.neigh.free.push(id.0);
}

fn neigh_queue_purge(net: &mut Net, id: NeighId, reason: DropReason) {
    let Some(n) = net.neigh.get_mut(id) else { return };
    n.arp_queue_len_bytes = 0;
    let mut queue = std::mem::take(&mut n.arp_queue);
    while let Some(skb) = queue.pop_front() {
        kfree_skb(net, skb, reason);
    }
}

/// A device went down: its entries go (`neigh_ifdown`).
pub(crate) fn neigh_ifdown(net: &mut Net, dev: DevId) {
    flush_dev(net, dev, false);
}

/// A device lost its link: all but the permanent entries go (`neigh_carrier_down`).
pub(crate) fn neigh_carrier_down(net: &mut Net, dev: DevId) {
    flush_dev(net, dev, true);
}

fn flush_dev(net: &mut Net, dev: DevId, keep_permanent: bool) {
    for i in 0..net.neigh.entries.len() as u32 {
        let id = NeighId(i);
        let goes = net
            .neigh
            .get(id)
            .is_some_and(|n| n.dev == dev && !(keep_permanent && n.nud_state & NUD_PERMANENT != 0));
        if goes {
            neigh_remove(net, id);
        }
    }
}

/// Hands a packet to a neighbour: at once while its address is sure, else as its state says.
///
/// # Errors
/// What the device says; ENOBUFS, EHOSTUNREACH: it cannot wait here.
#[traced]
pub(crate) fn neigh_output(net: &mut Net, id: NeighId, skb: Skb) -> Result<(), Errno> {
    let Some(n) = net.neigh.get(id) else {
        kfree_skb(net, skb, DropReason::NeighDead);
        return Err(Errno::EINVAL);
    };
    let (connected, hh) = (n.nud_state & NUD_CONNECTED != 0, n.hh);
    if net.devs[n.dev].hard_header_len == 0 {
        return neigh_direct_output(net, id, skb);
    }
    match (connected, hh) {
        (true, true) => neigh_hh_output(net, id, skb),
        _ => neigh_resolve_output(net, id, skb),
    }
}

fn neigh_direct_output(net: &mut Net, id: NeighId, mut skb: Skb) -> Result<(), Errno> {
    skb.dev = net.neigh.get(id).map(|n| n.dev);
    dev_queue_xmit(net, skb)
}

/// Puts the header that was made before in front.
#[traced]
fn neigh_hh_output(net: &mut Net, id: NeighId, mut skb: Skb) -> Result<(), Errno> {
    put_header(net, id, &mut skb);
    dev_queue_xmit(net, skb)
}

fn put_header(net: &Net, id: NeighId, skb: &mut Skb) {
    if let Some(n) = net.neigh.get(id) {
        skb.dev = Some(n.dev);
        let proto = skb.protocol;
        eth_header(skb, proto, n.ha, net.devs[n.dev].dev_addr);
    }
}

fn neigh_resolve_output(net: &mut Net, id: NeighId, skb: Skb) -> Result<(), Errno> {
    let Some(mut skb) = neigh_event_send(net, id, skb)? else { return Ok(()) };
    if let Some(n) = net.neigh.get_mut(id) {
        n.hh = true;
    }
    put_header(net, id, &mut skb);
    dev_queue_xmit(net, skb)
}

/// A packet wants to go to a neighbour: gives it back if it may, else keeps it until the address
/// is known, and starts asking (`neigh_event_send`, `__neigh_event_send`).
fn neigh_event_send(net: &mut Net, id: NeighId, skb: Skb) -> Result<Option<Skb>, Errno> {
    let now = net.jiffies();
    let Some(n) = net.neigh.get_mut(id) else {
        kfree_skb(net, skb, DropReason::NeighDead);
        return Err(Errno::EINVAL);
    };
    if n.used != now {
        n.used = now;
    }
    let state = n.nud_state;
    if state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE) != 0 {
        return Ok(Some(skb));
    }
    let mut probe = false;
    if state & (NUD_STALE | NUD_INCOMPLETE) == 0 {
        if net.sysctl.mcast_solicit + net.sysctl.app_solicit == 0 {
            set_state(net, id, NUD_FAILED);
            kfree_skb(net, skb, DropReason::NeighFailed);
            return Err(Errno::EHOSTUNREACH);
        }
        let next = now + retrans_time(net);
        set_state(net, id, NUD_INCOMPLETE);
        if let Some(n) = net.neigh.get_mut(id) {
            n.probes = net.sysctl.ucast_solicit.max(0) as u32;
        }
        net.mod_timer(TimerId::Neigh(id), next);
        probe = true;
    } else if state & NUD_STALE != 0 {
        let next = now + delay_probe_time(net);
        set_state(net, id, NUD_DELAY);
        net.mod_timer(TimerId::Neigh(id), next);
        return Ok(Some(skb));
    }
    arp_queue_tail(net, id, skb);
    if probe {
        neigh_probe(net, id);
    }
    Ok(None)
}

/// Queues a packet behind an unresolved address; the oldest go if the queue is full.
fn arp_queue_tail(net: &mut Net, id: NeighId, skb: Skb) {
    let limit = net.sysctl.unres_qlen_bytes.clamp(0, i64::from(u32::MAX / 2)) as u32;
    loop {
        let Some(n) = net.neigh.get_mut(id) else {
            return kfree_skb(net, skb, DropReason::NeighDead);
        };
        if n.arp_queue_len_bytes + skb.truesize <= limit {
            break;
        }
        let Some(oldest) = n.arp_queue.pop_front() else { break };
        n.arp_queue_len_bytes -= oldest.truesize;
        net.neigh.unres_discards += 1;
        kfree_skb(net, oldest, DropReason::NeighQueueFull);
    }
    if let Some(n) = net.neigh.get_mut(id) {
        n.arp_queue_len_bytes += skb.truesize;
        n.arp_queue.push_back(skb);
    }
}

fn set_state(net: &mut Net, id: NeighId, state: u8) {
    let now = net.jiffies();
    if let Some(n) = net.neigh.get_mut(id) {
        n.nud_state = state;
        n.updated = now;
    }
}

/// Asks for the address (`neigh_probe`): the newest waiting packet lends its source address.
fn neigh_probe(net: &mut Net, id: NeighId) {
    let Some(n) = net.neigh.get_mut(id) else { return };
    let header = n.arp_queue.back().map(|skb| skb.head_at(skb.network_header));
    let (probes, ipv6) = (n.probes, n.primary_key.is_ipv6());
    if ipv6 {
        let waiting = header.and_then(|h| ipv6::addr::read(h.get(8..)?));
        n.probes += 1;
        return ndisc::ndisc_solicit(net, id, waiting, probes);
    }
    let waiting = header.map(|h| {
        h.get(12..16).map_or(Ipv4Addr::UNSPECIFIED, |a| Ipv4Addr::new(a[0], a[1], a[2], a[3]))
    });
    n.probes += 1;
    arp::arp_solicit(net, id, waiting, probes);
}

fn neigh_max_probes(net: &Net, state: u8) -> u32 {
    let s = &net.sysctl;
    let multicast = if state & NUD_PROBE != 0 { 0 } else { s.mcast_solicit };
    (s.ucast_solicit + s.app_solicit + multicast).max(0) as u32
}

/// The entry's timer.
pub(crate) fn neigh_timer_handler(net: &mut Net, id: NeighId) {
    let Some(n) = net.neigh.get(id) else { return };
    let (now, hz) = (net.jiffies(), u64::from(net.time.hz()));
    let (state, confirmed, used) = (n.nud_state, n.confirmed, n.used);
    if state & NUD_IN_TIMER == 0 {
        return;
    }
    let (reachable, delay) = (reachable_time(net), delay_probe_time(net));
    let mut next = now + hz;
    if state & NUD_REACHABLE != 0 {
        if now <= confirmed + reachable {
            next = confirmed + reachable;
        } else if now <= used + delay {
            set_state(net, id, NUD_DELAY);
            next = now + delay;
        } else {
            set_state(net, id, NUD_STALE);
        }
    } else if state & NUD_DELAY != 0 {
        if now <= confirmed + delay {
            set_state(net, id, NUD_REACHABLE);
            next = confirmed + reachable;
        } else {
            set_state(net, id, NUD_PROBE);
            if let Some(n) = net.neigh.get_mut(id) {
                n.probes = 0;
            }
            next = now + retrans_time(net);
        }
    } else {
        next = now + retrans_time(net);
    }
    let Some(n) = net.neigh.get(id) else { return };
    let (state, probes) = (n.nud_state, n.probes);
    let asking = state & (NUD_INCOMPLETE | NUD_PROBE) != 0;
    if asking && probes >= neigh_max_probes(net, state) {
        set_state(net, id, NUD_FAILED);
        neigh_invalidate(net, id);
        return;
    }
    if state & NUD_IN_TIMER != 0 {
        net.mod_timer(TimerId::Neigh(id), next.max(now + hz / 100));
    }
    if asking {
        neigh_probe(net, id);
    }
}

/// Nobody answered: what waited is returned to its senders as unreachable.
fn neigh_invalidate(net: &mut Net, id: NeighId) {
    let now = net.jiffies();
    let Some(n) = net.neigh.get_mut(id) else { return };
    n.updated = now;
    n.arp_queue_len_bytes = 0;
    let ipv6 = n.primary_key.is_ipv6();
    let mut queue = std::mem::take(&mut n.arp_queue);
    while let Some(skb) = queue.pop_front() {
        match ipv6 {
            true => ndisc::ndisc_error_report(net, skb),
            false => arp::arp_error_report(net, skb),
        }
    }
}

/// Something was learned about a neighbour (`neigh_update`): its address, its new state.
/// Without an address, only the state changes.
pub(crate) fn neigh_update(
    net: &mut Net,
    id: NeighId,
    lladdr: Option<[u8; 6]>,
    mut new: u8,
    flags: u32,
) {
    let now = net.jiffies();
    let Some(n) = net.neigh.get_mut(id) else { return };
    let old = n.nud_state;
    if flags & NEIGH_UPDATE_F_ADMIN == 0 && old & (NUD_NOARP | NUD_PERMANENT) != 0 {
        return;
    }
    if new & NUD_VALID == 0 {
        n.nud_state = new;
        net.del_timer(TimerId::Neigh(id));
        if old & (NUD_INCOMPLETE | NUD_PROBE) != 0 && new & NUD_FAILED != 0 {
            neigh_invalidate(net, id);
        }
        return;
    }
    if lladdr.is_none() && old & NUD_VALID == 0 {
        return;
    }
    let mut lladdr = lladdr.unwrap_or(n.ha);
    let mut moved = old & NUD_VALID == 0 || lladdr != n.ha;
    if new & NUD_CONNECTED != 0 {
        n.confirmed = now;
    }
    if old & NUD_VALID != 0 {
        if moved && flags & NEIGH_UPDATE_F_OVERRIDE == 0 {
            if flags & NEIGH_UPDATE_F_WEAK_OVERRIDE == 0 || old & NUD_CONNECTED == 0 {
                return;
            }
            // The address is in doubt, but stays.
            (lladdr, moved, new) = (n.ha, false, NUD_STALE);
        } else if !moved && new == NUD_STALE && flags & NEIGH_UPDATE_F_ADMIN == 0 {
            new = old;
        }
    }
    if new != old || moved {
        n.updated = now;
    }
    if new != old {
        if new & NUD_PROBE != 0 {
            n.probes = 0;
        }
        n.nud_state = new;
        net.del_timer(TimerId::Neigh(id));
        if new & NUD_IN_TIMER != 0 {
            let after = if new & NUD_REACHABLE != 0 { reachable_time(net) } else { 0 };
            net.mod_timer(TimerId::Neigh(id), now + after);
        }
    }
    let base = net.time.msecs_to_jiffies(net.sysctl.base_reachable_time_ms.max(0) as u64);
    let Some(n) = net.neigh.get_mut(id) else { return };
    if moved {
        n.ha = lladdr;
        if new & NUD_CONNECTED == 0 {
            n.confirmed = now.saturating_sub(base * 2);
        }
    }
    if new != old && old & NUD_VALID == 0 {
        neigh_flush_queue(net, id);
    }
}

/// The address is known: what waited goes out, in order.
fn neigh_flush_queue(net: &mut Net, id: NeighId) {
    let Some(n) = net.neigh.get_mut(id) else { return };
    n.arp_queue_len_bytes = 0;
    let mut queue = std::mem::take(&mut n.arp_queue);
    while let Some(skb) = queue.pop_front() {
        // The sender was told that it went when it was queued.
        let _ = neigh_resolve_output(net, id, skb);
    }
}

/// An ARP request of a neighbour tells its address (`neigh_event_ns`).
pub(crate) fn neigh_event_ns(
    net: &mut Net,
    lladdr: [u8; 6],
    saddr: IpAddr,
    dev: DevId,
) -> Option<NeighId> {
    let id = neigh_lookup_or_create(net, dev, saddr).ok()?;
    neigh_update(net, id, Some(lladdr), NUD_STALE, NEIGH_UPDATE_F_OVERRIDE);
    Some(id)
}

/// A reply of a higher protocol shows that the neighbour is there (`neigh_confirm`).
pub(crate) fn neigh_confirm(net: &mut Net, dev: DevId, key: IpAddr) {
    let (key, now) = (neigh_key(net, dev, key), net.jiffies());
    let Some(id) = net.neigh.lookup(dev, key) else { return };
    if net.neigh.get(id).is_some_and(|n| n.confirmed != now)
        && let Some(n) = net.neigh.get_mut(id)
    {
        n.confirmed = now;
    }
}

/// `ip neigh replace ADDR lladdr MAC dev DEV nud permanent`.
pub(crate) fn neigh_add_permanent(net: &mut Net, dev: DevId, addr: IpAddr, lladdr: [u8; 6]) {
    if let Ok(id) = neigh_lookup_or_create(net, dev, addr) {
        let flags = NEIGH_UPDATE_F_ADMIN | NEIGH_UPDATE_F_OVERRIDE;
        neigh_update(net, id, Some(lladdr), NUD_PERMANENT, flags);
    }
}
