//! Addresses of interfaces (Linux `addrconf.c`, 5.15): the link-local one, those that an
//! administrator adds, duplicate address detection (RFC 4862 5.4), router solicitation, and the
//! choice of a source address (RFC 6724). Addresses from router advertisements are not made.

use super::addr::{is_linklocal, prefix_equal};
use super::mcast::{McGroup, ipv6_dev_mc_dec, ipv6_dev_mc_inc, ipv6_mc_dad_complete};
use super::ndisc::{ndisc_send_ns, ndisc_send_rs, solicited_node};
use super::route::{IPV6_MIN_MTU, add_kernel_route, del_kernel_route, rt6_disable_ip};
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::dev::{ARPHRD_ETHER, DevId, IFF_LOOPBACK, IFF_NOARP, dev_set_rx_mode};
use crate::net::core::neighbour::retrans_time;
use crate::net::ipv4::route::RtType;
use crate::time::{Jiffies, TimerId};
use std::net::Ipv6Addr;

/// `IFA_F_TENTATIVE`: not known to be ours alone.
pub(crate) const IFA_F_TENTATIVE: u32 = 0x40;
/// `IFA_F_PERMANENT`.
const IFA_F_PERMANENT: u32 = 0x80;
/// `IFA_F_DADFAILED`: somebody else has it.
const IFA_F_DADFAILED: u32 = 0x08;
/// `IFA_F_NODAD`: nobody is asked.
const IFA_F_NODAD: u32 = 0x02;

/// All nodes of a link.
pub(crate) const LINKLOCAL_ALLNODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of a link.
pub(crate) const LINKLOCAL_ALLROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// An address of an interface (`struct inet6_ifaddr`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inet6Ifaddr {
    pub(crate) addr: Ipv6Addr,
    pub(crate) prefix_len: u8,
    /// `IFA_F_*`.
    pub(crate) flags: u32,
    /// Names it in timers.
    number: u32,
    dad_probes: u32,
    /// RFC 7527: tells our own solicitation that came back from another's.
    dad_nonce: [u8; 6],
}

/// `struct inet6_dev`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inet6Dev {
    /// IPv6 runs on the interface.
    pub(crate) up: bool,
    pub(crate) addr_list: Vec<Inet6Ifaddr>,
    pub(crate) mc_list: Vec<McGroup>,
    /// Reports of changes still to be sent (`mc_ifc_count`, `mc_dad_count`).
    pub(crate) mc_ifc_count: u32,
    pub(crate) mc_dad_count: u32,
    rs_probes: i64,
    /// `IF_RA_RCVD`: a router answered.
    pub(crate) ra_rcvd: bool,
    next_number: u32,
}

impl Inet6Dev {
    /// Whether the interface listens to a group.
    pub(crate) fn has_group(&self, group: Ipv6Addr) -> bool {
        self.mc_list.iter().any(|g| g.addr == group)
    }

    /// Its link-local address, unless duplicates are still looked for (`ipv6_get_lladdr`).
    pub(crate) fn lladdr(&self) -> Option<Ipv6Addr> {
        let usable = |i: &&Inet6Ifaddr| is_linklocal(i.addr) && i.flags & IFA_F_TENTATIVE == 0;
        self.addr_list.iter().find(usable).map(|i| i.addr)
    }

    /// The entry of an address (`ipv6_get_ifaddr`).
    pub(crate) fn ifaddr(&self, addr: Ipv6Addr) -> Option<&Inet6Ifaddr> {
        self.addr_list.iter().find(|i| i.addr == addr)
    }
}

/// Whether an interface's device is fit for IPv6 and the administrator wants it.
fn wanted(net: &Net, dev: DevId) -> bool {
    let d = &net.devs[dev];
    net.sysctl.disable_ipv6 == 0 && d.is_up() && d.mtu >= IPV6_MIN_MTU
}

/// IPv6 starts on an interface that came up (`addrconf_notify` of NETDEV_UP, `addrconf_dev_config`).
pub(crate) fn addrconf_ifup(net: &mut Net, dev: DevId) {
    if net.devs[dev].ip6_ptr.up || !wanted(net, dev) {
        return;
    }
    net.devs.get_mut(dev).ip6_ptr.up = true;
    ipv6_dev_mc_inc(net, dev, LINKLOCAL_ALLNODES);
    if net.devs[dev].flags & IFF_LOOPBACK != 0 {
        add_addr(net, dev, Ipv6Addr::LOCALHOST, 128, IFA_F_PERMANENT | IFA_F_NODAD);
        return;
    }
    add_kernel_route(net, dev, Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, RtType::Multicast);
    let lladdr = addrconf_addr_gen(net, dev);
    add_addr(net, dev, lladdr, 64, IFA_F_PERMANENT | IFA_F_TENTATIVE);
}

/// The link-local address: by EUI-64 on Ethernet, a random one where there is no hardware
/// address (`IN6_ADDR_GEN_MODE_RANDOM`).
fn addrconf_addr_gen(net: &mut Net, dev: DevId) -> Ipv6Addr {
    let d = &net.devs[dev];
    let id = if d.arp_type == ARPHRD_ETHER {
        let [a, b, c, x, y, z] = d.dev_addr;
        u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, x, y, z])
    } else {
        net.rng.next_u64()
    };
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(id))
}

/// IPv6 stops on an interface (`addrconf_ifdown`).
pub(crate) fn addrconf_ifdown(net: &mut Net, dev: DevId) {
    let Inet6Dev { addr_list, .. } = std::mem::take(&mut net.devs.get_mut(dev).ip6_ptr);
    for ifa in addr_list {
        net.del_timer(TimerId::Dad(dev, ifa.number));
    }
    for timer in [TimerId::RouterSolicit(dev), TimerId::MldIfc(dev), TimerId::MldDad(dev)] {
        net.del_timer(timer);
    }
    rt6_disable_ip(net, dev);
    dev_set_rx_mode(net, dev);
}

/// `net.ipv6.conf.all.disable_ipv6` was written.
pub(crate) fn addrconf_disable_ipv6(net: &mut Net) {
    for dev in net.devs.ids() {
        match net.sysctl.disable_ipv6 {
            0 => addrconf_ifup(net, dev),
            _ => addrconf_ifdown(net, dev),
        }
    }
}

/// Adds an address for an administrator (`inet6_addr_add`).
///
/// # Errors
/// EINVAL for a prefix that is too long, EACCES where IPv6 is disabled, EEXIST,
/// EADDRNOTAVAIL for an address that no host can have.
pub(crate) fn inet6_addr_add(
    net: &mut Net,
    dev: DevId,
    addr: Ipv6Addr,
    plen: u8,
    nodad: bool,
) -> Result<(), Errno> {
    if plen > 128 {
        return Err(Errno::EINVAL);
    }
    if addr.is_multicast() || addr.is_unspecified() {
        return Err(Errno::EADDRNOTAVAIL);
    }
    if !net.devs[dev].ip6_ptr.up {
        return Err(Errno::EACCES);
    }
    if net.devs[dev].ip6_ptr.ifaddr(addr).is_some() {
        return Err(Errno::EEXIST);
    }
    let nodad = if nodad { IFA_F_NODAD } else { 0 };
    add_addr(net, dev, addr, plen, IFA_F_PERMANENT | IFA_F_TENTATIVE | nodad);
    Ok(())
}

/// Removes an address (`inet6_addr_del`) with its routes and group.
///
/// # Errors
/// EADDRNOTAVAIL: it is not there.
pub(crate) fn inet6_addr_del(
    net: &mut Net,
    dev: DevId,
    addr: Ipv6Addr,
    plen: u8,
) -> Result<(), Errno> {
    let list = &net.devs[dev].ip6_ptr.addr_list;
    let at = list.iter().position(|i| i.addr == addr && i.prefix_len == plen);
    let ifa = net.devs.get_mut(dev).ip6_ptr.addr_list.remove(at.ok_or(Errno::EADDRNOTAVAIL)?);
    net.del_timer(TimerId::Dad(dev, ifa.number));
    ipv6_dev_mc_dec(net, dev, solicited_node(addr));
    del_kernel_route(net, dev, addr, 128, RtType::Local);
    let list = &net.devs[dev].ip6_ptr.addr_list;
    let shared = list.iter().any(|i| i.prefix_len == plen && prefix_equal(i.addr, addr, plen));
    if !shared {
        del_kernel_route(net, dev, addr, plen, RtType::Unicast);
    }
    Ok(())
}

/// `ipv6_add_addr` with the prefix route, and the start of duplicate address detection.
fn add_addr(net: &mut Net, dev: DevId, addr: Ipv6Addr, plen: u8, flags: u32) {
    let idev = &mut net.devs.get_mut(dev).ip6_ptr;
    let number = idev.next_number;
    idev.next_number += 1;
    idev.addr_list.push(Inet6Ifaddr {
        addr,
        prefix_len: plen,
        flags,
        number,
        dad_probes: 0,
        dad_nonce: [0; 6],
    });
    if plen < 128 {
        add_kernel_route(net, dev, addr, plen, RtType::Unicast);
    }
    addrconf_dad_begin(net, dev, number);
}

fn ifa_mut(net: &mut Net, dev: DevId, number: u32) -> Option<&mut Inet6Ifaddr> {
    net.devs.get_mut(dev).ip6_ptr.addr_list.iter_mut().find(|i| i.number == number)
}

/// Joins the address's group and, unless that is not wanted, waits a random time of up to a
/// second before the first question (`addrconf_dad_begin`, `addrconf_dad_kick`).
fn addrconf_dad_begin(net: &mut Net, dev: DevId, number: u32) {
    let Some(ifa) = ifa_mut(net, dev, number).copied() else { return };
    let silent = net.devs[dev].flags & (IFF_NOARP | IFF_LOOPBACK) != 0;
    if !silent {
        ipv6_dev_mc_inc(net, dev, solicited_node(ifa.addr));
    }
    let ask = ifa.flags & IFA_F_TENTATIVE != 0 && ifa.flags & IFA_F_NODAD == 0;
    if silent || !ask || net.sysctl.accept_dad < 1 {
        return addrconf_dad_completed(net, dev, number);
    }
    let most = net.sysctl.rtr_solicit_delay.max(0) as u64 * u64::from(net.time.hz());
    let nonce = match net.sysctl.enhanced_dad {
        0 => [0; 6],
        _ => (net.rng.next_u64() | 1).to_le_bytes()[..6].try_into().unwrap_or_default(),
    };
    let probes = net.sysctl.dad_transmits.max(0) as u32;
    if let Some(ifa) = ifa_mut(net, dev, number) {
        ifa.dad_probes = probes;
        ifa.dad_nonce = nonce;
    }
    let now = net.jiffies();
    net.mod_timer_random(TimerId::Dad(dev, number), now, most);
}

/// The next question, or the end of a detection that nobody objected to (`addrconf_dad_work`).
pub(crate) fn addrconf_dad_work(net: &mut Net, dev: DevId, number: u32) {
    let Some(ifa) = ifa_mut(net, dev, number) else { return };
    if ifa.dad_probes == 0 {
        return addrconf_dad_completed(net, dev, number);
    }
    ifa.dad_probes -= 1;
    let ifa = *ifa;
    let at = net.jiffies() + retrans_time(net);
    net.mod_timer(TimerId::Dad(dev, number), at);
    let nonce = Some(ifa.dad_nonce).filter(|n| *n != [0; 6]);
    let group = solicited_node(ifa.addr);
    ndisc_send_ns(net, dev, ifa.addr, group, Some(Ipv6Addr::UNSPECIFIED), nonce);
}

/// An address is ours: packets for it are taken, and the interface's first one asks for routers
/// (`addrconf_dad_completed`).
fn addrconf_dad_completed(net: &mut Net, dev: DevId, number: u32) {
    let Some(ifa) = ifa_mut(net, dev, number) else { return };
    ifa.flags &= !(IFA_F_TENTATIVE | IFA_F_DADFAILED);
    let addr = ifa.addr;
    add_kernel_route(net, dev, addr, 128, RtType::Local);
    let d = &net.devs[dev];
    if !is_linklocal(addr) || d.flags & IFF_LOOPBACK != 0 {
        return;
    }
    let lonely = d.ip6_ptr.addr_list.iter().filter(|i| is_linklocal(i.addr)).count() == 1;
    if !lonely {
        return;
    }
    ipv6_mc_dad_complete(net, dev);
    if net.sysctl.accept_ra != 0 && net.sysctl.rtr_solicits != 0 {
        ndisc_send_rs(net, dev, addr);
        // rfc3315_s14_backoff_init(): 0.9 to 1.1 times.
        net.devs.get_mut(dev).ip6_ptr.rs_probes = 1;
        let interval = rtr_solicit_interval(net);
        mod_rs_timer(net, dev, interval, 900_000);
    }
}

fn rtr_solicit_interval(net: &Net) -> Jiffies {
    net.sysctl.rtr_solicit_interval.max(0) as u64 * u64::from(net.time.hz())
}

/// Arms the timer of solicitations for a time that is multiplied by a random factor of `least`
/// to `least + 200000` millionths.
fn mod_rs_timer(net: &mut Net, dev: DevId, time: Jiffies, least: u64) {
    let times = |factor: u64| (u128::from(time) * u128::from(factor) / 1_000_000) as Jiffies;
    let (first, last) = (times(least), times(least + 200_000));
    let from = net.jiffies() + first;
    net.mod_timer_random(TimerId::RouterSolicit(dev), from, last - first + 1);
}

/// No router answered (`addrconf_rs_timer`, RFC 7559): asks again, about twice as late each time.
pub(crate) fn addrconf_rs_timer(net: &mut Net, dev: DevId) {
    let idev = &net.devs[dev].ip6_ptr;
    if !idev.up || idev.ra_rcvd || net.sysctl.accept_ra == 0 {
        return;
    }
    let (probes, lladdr) = (idev.rs_probes, idev.lladdr());
    let interval = net.random_delay_of(TimerId::RouterSolicit(dev));
    let interval = interval.unwrap_or_else(|| rtr_solicit_interval(net));
    let most = net.sysctl.rtr_solicits;
    net.devs.get_mut(dev).ip6_ptr.rs_probes = probes + 1;
    if most >= 0 && probes >= most {
        return;
    }
    let Some(lladdr) = lladdr else { return };
    ndisc_send_rs(net, dev, lladdr);
    let hz = u64::from(net.time.hz());
    let longest = net.sysctl.rtr_solicit_max_interval.max(0) as u64 * hz;
    let last = most >= 0 && probes + 1 == most;
    if last {
        let at = net.jiffies() + net.sysctl.rtr_solicit_delay.max(0) as u64 * hz;
        net.mod_timer(TimerId::RouterSolicit(dev), at);
        return;
    }
    // rfc3315_s14_backoff_update(): 1.9 to 2.1 times, near the limit 0.9 to 1.1 times that.
    match 2 * interval > longest {
        true => mod_rs_timer(net, dev, longest, 900_000),
        false => mod_rs_timer(net, dev, interval, 1_900_000),
    }
}

/// Somebody else has a tentative address (`addrconf_dad_failure`): it stays unused.
pub(crate) fn addrconf_dad_failure(net: &mut Net, dev: DevId, addr: Ipv6Addr) {
    let idev = &mut net.devs.get_mut(dev).ip6_ptr;
    let Some(ifa) = idev.addr_list.iter_mut().find(|i| i.addr == addr) else { return };
    ifa.flags |= IFA_F_DADFAILED;
    let timer = TimerId::Dad(dev, ifa.number);
    net.del_timer(timer);
}

/// Whether a nonce is the one of our own question about an address.
pub(crate) fn is_our_nonce(net: &Net, dev: DevId, addr: Ipv6Addr, nonce: Option<[u8; 6]>) -> bool {
    let ours = net.devs[dev].ip6_ptr.ifaddr(addr).map(|i| i.dad_nonce);
    nonce.is_some_and(|n| ours == Some(n) && n != [0; 6])
}

/// Whether this host has an address, on this device if one is given (`ipv6_chk_addr`).
pub(crate) fn ipv6_chk_addr(net: &Net, addr: Ipv6Addr, ifindex: u32) -> bool {
    net.devs
        .iter()
        .filter(|d| ifindex == 0 || d.id.ifindex() == ifindex)
        .any(|d| d.ip6_ptr.ifaddr(addr).is_some_and(|i| i.flags & IFA_F_TENTATIVE == 0))
}

/// The scope of an address (RFC 4007): the greater, the wider.
fn scope(addr: Ipv6Addr) -> u8 {
    match addr.octets() {
        [0xff, s, ..] => s & 0x0f,
        _ if is_linklocal(addr) || addr.is_loopback() => 2,
        [0xfe, b, ..] if b & 0xc0 == 0xc0 => 5,
        _ => 14,
    }
}

/// The policy table of RFC 6724 2.1, as far as it labels addresses.
fn label(addr: Ipv6Addr) -> u8 {
    const TABLE: [(u128, u8, u8); 8] = [
        (1, 128, 0),
        (0xffff << 32, 96, 4),
        (0, 96, 3),
        (0x2001_0000 << 96, 32, 6),
        (0x2001_0010 << 96, 28, 7),
        (0x2002 << 112, 16, 2),
        (0xfec0 << 112, 10, 11),
        (0xfc << 120, 7, 5),
    ];
    let fits = |(p, len, _): &&(u128, u8, u8)| prefix_equal(Ipv6Addr::from_bits(*p), addr, *len);
    TABLE.iter().find(fits).map_or(1, |(_, _, label)| *label)
}

/// Chooses the source for a destination (`ipv6_dev_get_saddr`): the rules of RFC 6724 5 in
/// their order, each as a number of which the greatest wins.
pub(crate) fn ipv6_dev_get_saddr(net: &Net, out: DevId, daddr: Ipv6Addr) -> Option<Ipv6Addr> {
    let only_out = daddr.is_multicast() || scope(daddr) <= 2 && !daddr.is_loopback();
    let want = scope(daddr);
    let score = |dev: DevId, a: Ipv6Addr| {
        let s = scope(a);
        // Rule 2: of those that are wide enough the narrowest, else the widest.
        let fit = if s >= want { 64 - i32::from(s) } else { i32::from(s) - 64 };
        let common = (a.to_bits() ^ daddr.to_bits()).leading_zeros().min(128);
        (a == daddr, fit, dev == out, label(a) == label(daddr), common)
    };
    let mut best = None;
    for d in net.devs.iter().filter(|d| !only_out || d.id == out) {
        for ifa in d.ip6_ptr.addr_list.iter().filter(|i| i.flags & IFA_F_TENTATIVE == 0) {
            let this = score(d.id, ifa.addr);
            if best.is_none_or(|(s, _)| this > s) {
                best = Some((this, ifa.addr));
            }
        }
    }
    best.map(|(_, addr)| addr)
}

/// Whether any interface has an address that a packet may come from.
pub(crate) fn has_address(net: &Net) -> bool {
    let usable = |flags: u32| flags & IFA_F_TENTATIVE == 0;
    net.devs.iter().any(|d| d.ip6_ptr.addr_list.iter().any(|ifa| usable(ifa.flags)))
}

/// The text of /proc/net/if_inet6.
pub(crate) fn if6_seq_show(net: &Net) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for d in net.devs.iter() {
        for ifa in &d.ip6_ptr.addr_list {
            let kind = if ifa.addr.is_loopback() { 0x10 } else { 0 };
            let kind = if is_linklocal(ifa.addr) { 0x20 } else { kind };
            let _ = writeln!(
                out,
                "{:032x} {:02x} {:02x} {kind:02x} {:02x} {:>8}",
                ifa.addr.to_bits(),
                d.id.ifindex(),
                ifa.prefix_len,
                ifa.flags & 0xff,
                d.name
            );
        }
    }
    out
}
