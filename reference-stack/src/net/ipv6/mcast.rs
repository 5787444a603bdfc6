//! Multicast groups of interfaces and MLDv2 reports of joining and leaving (RFC 3810; Linux
//! `mcast.c`, 5.15). Queries are counted and not answered; source filters are not built.

use super::icmp::{ICMPV6_MLD2_REPORT, icmpv6_send_from_interface};
use super::ndisc::ipv6_eth_mc_map;
use crate::net::Net;
use crate::net::core::dev::DevId;
use crate::time::{Jiffies, TimerId};
use std::net::Ipv6Addr;

/// Where MLDv2 reports go: all routers that understand them.
const MLD2_ALL_MCR: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// `MLD2_CHANGE_TO_EXCLUDE`: everything to this group is wanted.
const MLD2_CHANGE_TO_EXCLUDE: u8 = 4;
/// `MLD2_CHANGE_TO_INCLUDE`, with no source: nothing is wanted any more.
const MLD2_CHANGE_TO_INCLUDE: u8 = 3;

/// A group that an interface listens to (`struct ifmcaddr6`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct McGroup {
    pub(crate) addr: Ipv6Addr,
    users: u32,
    /// Reports of the last change still to be sent (`mca_crcount`).
    crcount: u32,
    /// It was left; the entry stays until that was reported.
    left: bool,
}

impl McGroup {
    /// Groups of one host or one link's every node are not reported (`MAF_NOREPORT`).
    fn is_reported(&self) -> bool {
        self.addr != super::addrconf::LINKLOCAL_ALLNODES && self.addr.octets()[1] & 0x0f >= 2
    }
}

fn qrv(net: &Net) -> u32 {
    net.sysctl.mld_qrv.clamp(1, 7) as u32
}

/// `unsolicited_report_interval` of MLDv2: a second.
fn unsolicited_report_interval(net: &Net) -> Jiffies {
    net.time.hz().into()
}

/// Joins a group (`ipv6_dev_mc_inc`).
pub(crate) fn ipv6_dev_mc_inc(net: &mut Net, dev: DevId, addr: Ipv6Addr) {
    let crcount = qrv(net);
    let list = &mut net.devs.get_mut(dev).ip6_ptr.mc_list;
    match list.iter_mut().find(|g| g.addr == addr) {
        Some(group) if !group.left => {
            group.users += 1;
            return;
        }
        Some(group) => *group = McGroup { addr, users: 1, crcount, left: false },
        // A report names the newest first.
        None => list.insert(0, McGroup { addr, users: 1, crcount, left: false }),
    }
    crate::net::core::dev::dev_set_rx_mode(net, dev);
    mld_ifc_event(net, dev);
}

/// Leaves a group (`__ipv6_dev_mc_dec`).
pub(crate) fn ipv6_dev_mc_dec(net: &mut Net, dev: DevId, addr: Ipv6Addr) {
    let crcount = qrv(net);
    let list = &mut net.devs.get_mut(dev).ip6_ptr.mc_list;
    let Some(group) = list.iter_mut().find(|g| g.addr == addr && !g.left) else { return };
    group.users = group.users.saturating_sub(1);
    if group.users > 0 {
        return;
    }
    group.left = true;
    group.crcount = crcount;
    crate::net::core::dev::dev_set_rx_mode(net, dev);
    mld_ifc_event(net, dev);
}

/// The groups that the interface's filter has to let through, as hardware addresses.
pub(crate) fn link_groups(net: &Net, dev: DevId) -> impl Iterator<Item = [u8; 6]> + '_ {
    net.devs[dev].ip6_ptr.mc_list.iter().filter(|g| !g.left).map(|g| ipv6_eth_mc_map(g.addr))
}

/// Something changed: it is reported soon, and again (`mld_ifc_event`).
fn mld_ifc_event(net: &mut Net, dev: DevId) {
    let count = qrv(net);
    net.devs.get_mut(dev).ip6_ptr.mc_ifc_count = count;
    let at = net.jiffies() + 2;
    net.mod_timer(TimerId::MldIfc(dev), at);
}

/// Arms a timer for some time of up to a report interval from now.
fn mod_timer_later(net: &mut Net, timer: TimerId) {
    let from = net.jiffies() + 2;
    let most = unsolicited_report_interval(net);
    net.mod_timer_random(timer, from, most);
}

/// Reports what changed (`mld_ifc_work`, `mld_send_cr`).
pub(crate) fn mld_ifc_work(net: &mut Net, dev: DevId) {
    let idev = &mut net.devs.get_mut(dev).ip6_ptr;
    let mut records = Vec::new();
    for group in idev.mc_list.iter_mut().filter(|g| g.crcount > 0) {
        group.crcount -= 1;
        if group.is_reported() {
            let kind = if group.left { MLD2_CHANGE_TO_INCLUDE } else { MLD2_CHANGE_TO_EXCLUDE };
            records.push((kind, group.addr));
        }
    }
    idev.mc_list.retain(|g| !(g.left && g.crcount == 0));
    idev.mc_ifc_count = idev.mc_ifc_count.saturating_sub(1);
    let again = idev.mc_ifc_count > 0;
    mld_sendpack(net, dev, &records);
    if again {
        mod_timer_later(net, TimerId::MldIfc(dev));
    }
}

/// The link-local address can be used now: every group is reported from it
/// (`ipv6_mc_dad_complete`).
pub(crate) fn ipv6_mc_dad_complete(net: &mut Net, dev: DevId) {
    net.devs.get_mut(dev).ip6_ptr.mc_dad_count = qrv(net);
    mld_dad_work(net, dev);
}

/// `mld_dad_work`, `mld_send_initial_cr`.
pub(crate) fn mld_dad_work(net: &mut Net, dev: DevId) {
    let idev = &mut net.devs.get_mut(dev).ip6_ptr;
    let records: Vec<_> = idev
        .mc_list
        .iter()
        .filter(|g| g.is_reported() && !g.left)
        .map(|g| (MLD2_CHANGE_TO_EXCLUDE, g.addr))
        .collect();
    idev.mc_dad_count = idev.mc_dad_count.saturating_sub(1);
    let again = idev.mc_dad_count > 0;
    mld_sendpack(net, dev, &records);
    if again {
        mod_timer_later(net, TimerId::MldDad(dev));
    }
}

/// Sends a report of these records (`mld_newpack`, `add_grec`, `mld_sendpack`).
fn mld_sendpack(net: &mut Net, dev: DevId, records: &[(u8, Ipv6Addr)]) {
    if records.is_empty() {
        return;
    }
    let saddr = net.devs[dev].ip6_ptr.lladdr().unwrap_or(Ipv6Addr::UNSPECIFIED);
    // A record is 20 bytes; a packet carries as many as its MTU allows.
    let most = (net.devs[dev].mtu as usize).saturating_sub(40 + 8 + 8) / 20;
    for part in records.chunks(most.max(1)) {
        let mut message = vec![ICMPV6_MLD2_REPORT, 0, 0, 0, 0, 0];
        message.extend((part.len() as u16).to_be_bytes());
        for (kind, group) in part {
            message.extend([*kind, 0, 0, 0]);
            message.extend(group.octets());
        }
        icmpv6_send_from_interface(net, dev, saddr, MLD2_ALL_MCR, message, true);
    }
}
