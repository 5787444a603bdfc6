//! Interface addresses (Linux `devinet.c`).

use super::fib_frontend::{fib_inetaddr_event, ifa_mask};
use super::fib_semantics::RtScope;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::dev::DevId;
use std::net::Ipv4Addr;

/// An address of an interface (`struct in_ifaddr`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InIfaddr {
    /// `ifa_local` and `ifa_address`; there is no peer address.
    pub(crate) local: Ipv4Addr,
    pub(crate) prefixlen: u8,
    /// `ifa_broadcast`.
    pub(crate) broadcast: Option<Ipv4Addr>,
    pub(crate) scope: RtScope,
    /// `IFA_F_SECONDARY`: another address of the same subnet came first.
    pub(crate) secondary: bool,
}

impl InIfaddr {
    /// The subnet's address.
    pub(crate) fn prefix(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.local) & ifa_mask(self.prefixlen))
    }

    /// `inet_ifa_match`: whether an address is in this one's subnet.
    pub(crate) fn matches(&self, addr: Ipv4Addr) -> bool {
        (u32::from(addr) ^ u32::from(self.local)) & ifa_mask(self.prefixlen) == 0
    }
}

/// `struct in_device`.
#[derive(Clone, Debug, Default)]
pub(crate) struct InDevice {
    pub(crate) ifa_list: Vec<InIfaddr>,
}

/// Adds an address to a device and tells the routing (`inet_insert_ifa`).
///
/// # Errors
/// EEXIST: it is there already. EINVAL: a subnet's addresses differ in scope.
pub(crate) fn inet_insert_ifa(net: &mut Net, id: DevId, mut ifa: InIfaddr) -> Result<(), Errno> {
    let list = &net.devs[id].in_dev.ifa_list;
    let mut last_primary = 0;
    for (i, other) in list.iter().enumerate() {
        if !other.secondary && ifa.scope <= other.scope {
            last_primary = i + 1;
        }
        if other.prefixlen == ifa.prefixlen && other.matches(ifa.local) {
            if other.local == ifa.local {
                return Err(Errno::EEXIST);
            }
            if other.scope != ifa.scope {
                return Err(Errno::EINVAL);
            }
            ifa.secondary = true;
        }
    }
    let at = if ifa.secondary { list.len() } else { last_primary };
    net.devs.get_mut(id).in_dev.ifa_list.insert(at, ifa);
    fib_inetaddr_event(net, id, &ifa, true);
    Ok(())
}

/// Takes an address from a device; with a primary one go the secondaries of its subnet
/// (`promote_secondaries` = 0).
///
/// # Errors
/// EADDRNOTAVAIL: it is not there.
pub(crate) fn inet_del_ifa(
    net: &mut Net,
    id: DevId,
    addr: Ipv4Addr,
    plen: u8,
) -> Result<(), Errno> {
    let list = &net.devs[id].in_dev.ifa_list;
    let at = list
        .iter()
        .position(|i| i.local == addr && i.prefixlen == plen)
        .ok_or(Errno::EADDRNOTAVAIL)?;
    let ifa = list[at];
    let mut gone = Vec::new();
    if !ifa.secondary {
        gone.extend(
            list.iter()
                .filter(|i| i.secondary && i.prefixlen == ifa.prefixlen && i.matches(ifa.local)),
        );
    }
    gone.push(ifa);
    for ifa in gone {
        net.devs.get_mut(id).in_dev.ifa_list.retain(|i| *i != ifa);
        fib_inetaddr_event(net, id, &ifa, false);
    }
    Ok(())
}

/// Chooses the source address for a destination (`inet_select_addr`): one of the device's in the
/// destination's subnet, else its first, else one of another device; unspecified if there is none.
pub(crate) fn inet_select_addr(net: &Net, id: DevId, dst: Ipv4Addr, scope: RtScope) -> Ipv4Addr {
    let mut first = None;
    for ifa in &net.devs[id].in_dev.ifa_list {
        if ifa.secondary || ifa.scope.min(RtScope::Host) > scope {
            continue;
        }
        if dst.is_unspecified() || ifa.matches(dst) {
            return ifa.local;
        }
        first = first.or(Some(ifa.local));
    }
    first
        .or_else(|| {
            net.devs
                .iter()
                .flat_map(|d| &d.in_dev.ifa_list)
                .find(|i| !i.secondary && i.scope != RtScope::Link && i.scope <= scope)
                .map(|i| i.local)
        })
        .unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// The device that has this address (`__ip_dev_find`).
pub(crate) fn ip_dev_find(net: &Net, addr: Ipv4Addr) -> Option<DevId> {
    if let Some(dev) = net.devs.iter().find(|d| d.in_dev.ifa_list.iter().any(|i| i.local == addr)) {
        return Some(dev.id);
    }
    // Any address of a local subnet route, such as 127.0.0.2, is this host's too.
    super::fib_frontend::fib_local_dev(net, addr)
}

/// Whether an interface has exactly this address (`inet_lookup_ifaddr_rcu`).
pub(crate) fn inet_lookup_ifaddr(net: &Net, addr: Ipv4Addr) -> bool {
    net.devs.iter().any(|d| d.in_dev.ifa_list.iter().any(|i| i.local == addr))
}
