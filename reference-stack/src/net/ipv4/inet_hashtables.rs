//! The tables that find a TCP socket (Linux `inet_hashtables.c`, 5.15): bound ports, listeners,
//! and connections (established, request and TIME-WAIT sockets alike) by their four-tuple.

use crate::errno::Errno;
use crate::lib::hash::DetHashMap;
use crate::lib::siphash::siphash;
use crate::net::Net;
use crate::net::core::sock::{Sock, SockId, Socks, TcpState};
use crate::net::ipv4::inet_timewait_sock::inet_twsk_deschedule_put;
use crate::net::ipv4::mib::TcpExt;
use crate::net::ipv4::tcp_ipv4::tcp_twsk_unique;
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A connection's key, seen from this host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FourTuple {
    pub(crate) saddr: Ipv4Addr,
    pub(crate) sport: u16,
    pub(crate) daddr: Ipv4Addr,
    pub(crate) dport: u16,
}

/// Sockets of one port.
pub(crate) type PortSocks = SmallVec<[SockId; 2]>;

/// `INET_TABLE_PERTURB_SIZE`: counters that move ephemeral ports on, by destination.
const INET_TABLE_PERTURB_SIZE: usize = 256;

/// `struct inet_hashinfo`. Shared with snapshots until changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct InetHashinfo {
    /// `ehash`.
    pub(crate) ehash: Arc<DetHashMap<FourTuple, SockId>>,
    /// `lhash2`, by local port; most recent last.
    pub(crate) lhash: Arc<DetHashMap<u16, PortSocks>>,
    /// `bhash`: every socket that holds a local port.
    pub(crate) bhash: Arc<DetHashMap<u16, PortSocks>>,
    /// `table_perturb`, drawn at first use.
    table_perturb: Arc<Vec<u32>>,
    /// TIME-WAIT sockets alive (`tcp_death_row`).
    pub(crate) tw_count: u32,
}

fn add(table: &mut Arc<DetHashMap<u16, PortSocks>>, port: u16, id: SockId) {
    let socks = Arc::make_mut(table).entry(port).or_default();
    if !socks.contains(&id) {
        socks.push(id);
    }
}

fn remove(table: &mut Arc<DetHashMap<u16, PortSocks>>, port: u16, id: SockId) {
    if !table.get(&port).is_some_and(|s| s.contains(&id)) {
        return;
    }
    let table = Arc::make_mut(table);
    if let Some(socks) = table.get_mut(&port) {
        socks.retain(|s| *s != id);
        if socks.is_empty() {
            table.remove(&port);
        }
    }
}

/// The four-tuple of a socket that has one.
fn key_of(sock: &Sock) -> Option<FourTuple> {
    Some(match sock {
        Sock::Tcp(tp) => FourTuple {
            saddr: tp.sk.inet_rcv_saddr,
            sport: tp.sk.inet_num,
            daddr: tp.sk.inet_daddr,
            dport: tp.sk.inet_dport,
        },
        Sock::Req(req) => FourTuple {
            saddr: req.ir_loc_addr,
            sport: req.ir_num,
            daddr: req.ir_rmt_addr,
            dport: req.ir_rmt_port,
        },
        Sock::Tw(tw) => FourTuple {
            saddr: tw.tw_saddr,
            sport: tw.tw_num,
            daddr: tw.tw_daddr,
            dport: tw.tw_dport,
        },
        Sock::Udp(_) => return None,
    })
}

impl Socks {
    /// Enters a connection (`inet_ehash_insert`); it takes the place of what had the same tuple.
    pub(crate) fn ehash_insert(&mut self, id: SockId) {
        let Some(key) = self.get(id).and_then(key_of) else { return };
        Arc::make_mut(&mut self.tcp.ehash).insert(key, id);
        if let Some(tp) = self.tcp_mut(id) {
            tp.sk.sk_hash = Some(key);
        }
    }

    /// Takes a connection out, if it is the one that is entered; whether it was.
    pub(crate) fn ehash_remove(&mut self, id: SockId) -> bool {
        // A socket's addresses may have changed since it was entered.
        let key = match self.tcp_mut(id) {
            Some(tp) => tp.sk.sk_hash.take(),
            None => self.get(id).and_then(key_of),
        };
        let Some(key) = key else { return false };
        if self.tcp.ehash.get(&key) != Some(&id) {
            return false;
        }
        Arc::make_mut(&mut self.tcp.ehash).remove(&key);
        true
    }

    /// `inet_bind_hash`: the socket holds this port.
    pub(crate) fn bhash_add(&mut self, port: u16, id: SockId) {
        add(&mut self.tcp.bhash, port, id);
    }

    /// The port is given back.
    pub(crate) fn bhash_remove(&mut self, port: u16, id: SockId) {
        remove(&mut self.tcp.bhash, port, id);
    }
}

/// Enters a listener (`inet_hash`).
#[reference_stack_macros::traced]
pub(crate) fn inet_hash(socks: &mut Socks, id: SockId) {
    let Some(tp) = socks.tcp(id) else { return };
    if tp.sk.sk_state == TcpState::Listen {
        let port = tp.sk.inet_num;
        add(&mut socks.tcp.lhash, port, id);
    } else if tp.sk.sk_state != TcpState::Close {
        socks.ehash_insert(id);
    }
}

/// Takes a socket out of the tables of listeners and connections (`inet_unhash`).
pub(crate) fn inet_unhash(socks: &mut Socks, id: SockId) {
    let Some(tp) = socks.tcp(id) else { return };
    let port = tp.sk.inet_num;
    remove(&mut socks.tcp.lhash, port, id);
    socks.ehash_remove(id);
}

/// Gives the local port back (`inet_put_port`).
pub(crate) fn inet_put_port(socks: &mut Socks, id: SockId) {
    let Some(tp) = socks.tcp_mut(id) else { return };
    let port = std::mem::take(&mut tp.sk.inet_num);
    socks.bhash_remove(port, id);
}

/// The connection of this tuple (`__inet_lookup_established`).
pub(crate) fn inet_lookup_established(socks: &Socks, key: &FourTuple) -> Option<SockId> {
    socks.tcp.ehash.get(key).copied()
}

/// The listener for a destination (`__inet_lookup_listener`): one bound to the address before
/// one bound to any, one bound to the device before one that is not; among equals with
/// SO_REUSEPORT the hash chooses, else the most recent.
pub(crate) fn inet_lookup_listener(
    socks: &Socks,
    net: &Net,
    key: &FourTuple,
    dif: u32,
) -> Option<SockId> {
    let listeners = socks.tcp.lhash.get(&key.sport)?;
    let score = |id: SockId| -> Option<(u32, bool)> {
        let sk = &socks.tcp(id)?.sk;
        let any = sk.inet_rcv_saddr.is_unspecified();
        if (!any && sk.inet_rcv_saddr != key.saddr)
            || (sk.bound_dev_if != 0 && sk.bound_dev_if != dif)
        {
            return None;
        }
        Some((u32::from(!any) * 2 + u32::from(sk.bound_dev_if != 0), sk.sk_reuseport))
    };
    let best = listeners.iter().filter_map(|&id| score(id)).map(|(s, _)| s).max()?;
    let group: PortSocks =
        listeners.iter().copied().filter(|&id| score(id).is_some_and(|(s, _)| s == best)).collect();
    let shared = group.iter().all(|&id| score(id).is_some_and(|(_, reuseport)| reuseport));
    if group.len() > 1 && shared {
        let hash = inet_ehashfn(net, key) as u32;
        let at = (u64::from(hash) * group.len() as u64) >> 32;
        return group.get(at as usize).copied();
    }
    group.last().copied()
}

/// `inet_ehashfn`: a keyed hash of a tuple.
pub(crate) fn inet_ehashfn(net: &Net, key: &FourTuple) -> u64 {
    let addrs = u64::from(u32::from(key.saddr)) << 32 | u64::from(u32::from(key.daddr));
    let ports = u64::from(key.sport) << 16 | u64::from(key.dport);
    siphash(&[addrs, ports], net.ip.secrets.port_secret)
}

/// `inet_sk_port_offset`: where the search for an ephemeral port starts, by destination.
fn inet_sk_port_offset(net: &Net, saddr: Ipv4Addr, daddr: Ipv4Addr, dport: u16) -> u64 {
    let addrs = u64::from(u32::from(saddr)) << 32 | u64::from(u32::from(daddr));
    siphash(&[addrs, u64::from(dport)], net.ip.secrets.net_secret)
}

/// Enters a connection under a local port, if the tuple is free or held by a TIME-WAIT socket
/// that may be replaced (`__inet_check_established`). `bound`: the port was chosen before.
fn inet_check_established(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    port: u16,
    bound: bool,
) -> bool {
    let Some(tp) = socks.tcp(id) else { return false };
    let key = FourTuple {
        saddr: tp.sk.inet_rcv_saddr,
        sport: port,
        daddr: tp.sk.inet_daddr,
        dport: tp.sk.inet_dport,
    };
    if let Some(other) = inet_lookup_established(socks, &key) {
        let Some(Sock::Tw(tw)) = socks.get(other) else { return false };
        let tw = tw.clone();
        let Some(tp) = socks.tcp_mut(id) else { return false };
        if !tcp_twsk_unique(tp, net, &tw, !bound) {
            return false;
        }
        net.mib.inc(TcpExt::TWRecycled);
        inet_twsk_deschedule_put(socks, net, other);
    }
    if let Some(tp) = socks.tcp_mut(id) {
        tp.sk.inet_num = port;
    }
    socks.ehash_insert(id);
    true
}

/// Whether connect() may take this port: unused, or held only by sockets that connect() bound.
fn port_is_shareable(socks: &Socks, port: u16) -> bool {
    let Some(owners) = socks.tcp.bhash.get(&port) else { return true };
    owners.iter().all(|&o| match socks.get(o) {
        Some(Sock::Tcp(tp)) => tp.sk.port_by_connect,
        Some(Sock::Tw(tw)) => tw.tw_port_by_connect,
        _ => true,
    })
}

/// Gives a connecting socket its local port and enters it (`inet_hash_connect`).
///
/// # Errors
/// EADDRNOTAVAIL if no port is left for this destination.
#[reference_stack_macros::traced]
pub(crate) fn inet_hash_connect(socks: &mut Socks, net: &mut Net, id: SockId) -> Result<(), Errno> {
    let Some(tp) = socks.tcp(id) else { return Err(Errno::EINVAL) };
    let (saddr, daddr) = (tp.sk.inet_rcv_saddr, tp.sk.inet_daddr);
    let (bound, dport) = (tp.sk.inet_num, tp.sk.inet_dport);
    if bound != 0 {
        return match inet_check_established(socks, net, id, bound, true) {
            true => Ok(()),
            false => Err(Errno::EADDRNOTAVAIL),
        };
    }
    if socks.tcp.table_perturb.is_empty() {
        let table = (0..INET_TABLE_PERTURB_SIZE).map(|_| net.rng.next_u32()).collect();
        socks.tcp.table_perturb = Arc::new(table);
    }
    let port_offset = inet_sk_port_offset(net, saddr, daddr, dport);
    let [low, high] = net.sysctl.ip_local_port_range.map(u32::from);
    let high = high + 1;
    let mut remaining = high - low;
    if remaining > 1 {
        remaining &= !1;
    }
    let index = (port_offset % INET_TABLE_PERTURB_SIZE as u64) as usize;
    let start = socks.tcp.table_perturb[index].wrapping_add((port_offset >> 32) as u32);
    // Even offsets first; bind(0) begins with the odd ones.
    let even = (start % remaining) & !1;
    for parity in 0..2.min(remaining) {
        let mut step = 0;
        let mut port = low + even + parity;
        while step < remaining {
            if port >= high {
                port -= remaining;
            }
            let candidate = port as u16;
            if port_is_shareable(socks, candidate)
                && inet_check_established(socks, net, id, candidate, false)
            {
                // A little randomness for the next one, none when ports are scarce.
                let moved = step.max(net.rng.below(8) * 2) + 2;
                let cell = &mut Arc::make_mut(&mut socks.tcp.table_perturb)[index];
                *cell = cell.wrapping_add(moved);
                if let Some(tp) = socks.tcp_mut(id) {
                    tp.sk.port_by_connect = true;
                }
                socks.bhash_add(candidate, id);
                return Ok(());
            }
            step += 2;
            port += 2;
        }
    }
    Err(Errno::EADDRNOTAVAIL)
}
