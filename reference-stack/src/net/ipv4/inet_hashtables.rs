//! The tables that find a TCP socket (Linux `inet_hashtables.c`, 5.15): bound ports, listeners,
//! and connections (established, request and TIME-WAIT sockets alike) by their four-tuple.

use crate::errno::Errno;
use crate::lib::hash::DetHashMap;
use crate::lib::shared::Arc;
use crate::lib::siphash::siphash;
use crate::net::Net;
use crate::net::core::sock::{Sock, SockCommon, SockId, Socks, TcpState};
use crate::net::ipv4::inet_timewait_sock::inet_twsk_deschedule_put;
use crate::net::ipv4::mib::TcpExt;
use crate::net::ipv4::tcp_ipv4::tcp_twsk_unique;
use crate::net::ipv4::tcp_md5::Ends;
use crate::net::ipv4::tcp_sock::{RequestSock, TimewaitSock, V6Addrs};
use smallvec::SmallVec;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A connection's key, seen from this host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FourTuple {
    pub(crate) saddr: Ipv4Addr,
    pub(crate) sport: u16,
    pub(crate) daddr: Ipv4Addr,
    pub(crate) dport: u16,
}

/// The key of a connection over IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FourTuple6 {
    pub(crate) saddr: Ipv6Addr,
    pub(crate) sport: u16,
    pub(crate) daddr: Ipv6Addr,
    pub(crate) dport: u16,
}

/// A connection's key of either family. One under mapped addresses has IPv4's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConnKey {
    V4(FourTuple),
    V6(FourTuple6),
}

impl From<FourTuple> for ConnKey {
    fn from(key: FourTuple) -> Self {
        Self::V4(key)
    }
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
    /// The same for IPv6: apart, so that IPv4's keys stay short.
    pub(crate) ehash6: Arc<DetHashMap<FourTuple6, SockId>>,
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
fn key_of(sock: &Sock) -> Option<ConnKey> {
    Some(match sock {
        Sock::Tcp(tp) => conn_key(&tp.sk, tp.sk.inet_num),
        Sock::Req(req) => req.key(),
        Sock::Tw(tw) => tw.key(),
        Sock::Udp(_) => return None,
    })
}

/// A connection's key, under this local port.
pub(crate) fn conn_key(sk: &SockCommon, sport: u16) -> ConnKey {
    let dport = sk.inet_dport;
    match sk.ipv6_specific() {
        Some(np) => ConnKey::V6(FourTuple6 {
            saddr: np.sk_v6_rcv_saddr,
            sport,
            daddr: np.sk_v6_daddr,
            dport,
        }),
        None => {
            let (saddr, daddr) = (sk.inet_rcv_saddr, sk.inet_daddr);
            ConnKey::V4(FourTuple { saddr, sport, daddr, dport })
        }
    }
}

impl RequestSock {
    /// The addresses of its answers.
    pub(crate) fn ends(&self) -> Ends {
        match self.ir_v6 {
            Some(V6Addrs { saddr, daddr }) => Ends { saddr: saddr.into(), daddr: daddr.into() },
            None => Ends { saddr: self.ir_loc_addr.into(), daddr: self.ir_rmt_addr.into() },
        }
    }

    /// The key of the connection that it asks for.
    pub(crate) fn key(&self) -> ConnKey {
        let (sport, dport) = (self.ir_num, self.ir_rmt_port);
        match self.ir_v6 {
            Some(V6Addrs { saddr, daddr }) => {
                ConnKey::V6(FourTuple6 { saddr, sport, daddr, dport })
            }
            None => {
                let (saddr, daddr) = (self.ir_loc_addr, self.ir_rmt_addr);
                ConnKey::V4(FourTuple { saddr, sport, daddr, dport })
            }
        }
    }
}

impl TimewaitSock {
    fn key(&self) -> ConnKey {
        let (sport, dport) = (self.tw_num, self.tw_dport);
        match &self.tw_v6 {
            Some(v6) => {
                let (saddr, daddr) = (v6.saddr, v6.daddr);
                ConnKey::V6(FourTuple6 { saddr, sport, daddr, dport })
            }
            None => {
                let (saddr, daddr) = (self.tw_saddr, self.tw_daddr);
                ConnKey::V4(FourTuple { saddr, sport, daddr, dport })
            }
        }
    }
}

impl Socks {
    /// Enters a connection (`inet_ehash_insert`); it takes the place of what had the same tuple.
    pub(crate) fn ehash_insert(&mut self, id: SockId) {
        match self.get(id).and_then(key_of) {
            Some(ConnKey::V4(key)) => {
                Arc::make_mut(&mut self.tcp.ehash).insert(key, id);
                if let Some(tp) = self.tcp_mut(id) {
                    tp.sk.sk_hash = Some(key);
                }
            }
            Some(ConnKey::V6(key)) => {
                Arc::make_mut(&mut self.tcp.ehash6).insert(key, id);
                if let Some(np) = self.tcp_mut(id).and_then(|tp| tp.sk.pinet6.as_mut()) {
                    np.sk_hash = Some(key);
                }
            }
            None => {}
        }
    }

    /// Takes a connection out, if it is the one that is entered; whether it was.
    pub(crate) fn ehash_remove(&mut self, id: SockId) -> bool {
        // A socket's addresses may have changed since it was entered.
        let key = match self.tcp_mut(id) {
            Some(tp) => {
                let v6 = tp.sk.pinet6.as_mut().and_then(|np| np.sk_hash.take());
                v6.map(ConnKey::V6).or_else(|| tp.sk.sk_hash.take().map(ConnKey::V4))
            }
            None => self.get(id).and_then(key_of),
        };
        let Some(key) = key else { return false };
        if self.ehash_get(&key) != Some(id) {
            return false;
        }
        match key {
            ConnKey::V4(key) => Arc::make_mut(&mut self.tcp.ehash).remove(&key),
            ConnKey::V6(key) => Arc::make_mut(&mut self.tcp.ehash6).remove(&key),
        };
        true
    }

    /// The connection of a key of either family.
    pub(crate) fn ehash_get(&self, key: &ConnKey) -> Option<SockId> {
        match key {
            ConnKey::V4(key) => inet_lookup_established(self, key),
            ConnKey::V6(key) => inet6_lookup_established(self, key),
        }
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

/// The listener for a destination of either family.
pub(crate) fn lookup_listener(socks: &Socks, net: &Net, key: &ConnKey, dif: u32) -> Option<SockId> {
    match key {
        ConnKey::V4(key) => inet_lookup_listener(socks, net, key, dif),
        ConnKey::V6(key) => inet6_lookup_listener(socks, net, key, dif),
    }
}

/// The connection of this tuple over IPv6 (`__inet6_lookup_established`).
pub(crate) fn inet6_lookup_established(socks: &Socks, key: &FourTuple6) -> Option<SockId> {
    socks.tcp.ehash6.get(key).copied()
}

/// The listener for a destination (`__inet_lookup_listener`): one bound to the address before
/// one bound to any, then one bound to the device or of this family. An AF_INET6 socket takes
/// IPv4 too, unless it has IPV6_V6ONLY.
pub(crate) fn inet_lookup_listener(
    socks: &Socks,
    net: &Net,
    key: &FourTuple,
    dif: u32,
) -> Option<SockId> {
    let listeners = socks.tcp.lhash.get(&key.sport)?;
    let score = |sk: &SockCommon| -> Option<u32> {
        let any = sk.inet_rcv_saddr.is_unspecified();
        let np = sk.pinet6.as_deref();
        if (!any && sk.inet_rcv_saddr != key.saddr) || np.is_some_and(|np| np.ipv6only) {
            return None;
        }
        Some(u32::from(!any) * 8 + device_score(sk, dif)? + u32::from(np.is_none()))
    };
    best_listener(socks, listeners, score, || inet_ehashfn(net, key))
}

/// The listener for a destination over IPv6 (`inet6_lookup_listener`).
pub(crate) fn inet6_lookup_listener(
    socks: &Socks,
    net: &Net,
    key: &FourTuple6,
    dif: u32,
) -> Option<SockId> {
    let listeners = socks.tcp.lhash.get(&key.sport)?;
    let score = |sk: &SockCommon| -> Option<u32> {
        let bound = sk.pinet6.as_deref()?.sk_v6_rcv_saddr;
        let any = bound.is_unspecified();
        if !any && bound != key.saddr {
            return None;
        }
        Some(u32::from(!any) * 8 + device_score(sk, dif)?)
    };
    best_listener(socks, listeners, score, || inet6_ehashfn(net, key))
}

/// 2 for a socket bound to the device, 1 for one bound to none.
fn device_score(sk: &SockCommon, dif: u32) -> Option<u32> {
    match sk.bound_dev_if {
        0 => Some(1),
        bound => (bound == dif).then_some(2),
    }
}

/// Of the sockets with the highest score, those that share the port by SO_REUSEPORT are chosen
/// from by the hash; else it is the most recent.
fn best_listener(
    socks: &Socks,
    listeners: &PortSocks,
    score: impl Fn(&SockCommon) -> Option<u32>,
    hash: impl FnOnce() -> u64,
) -> Option<SockId> {
    let scored = |id: SockId| score(&socks.tcp(id)?.sk);
    let best = listeners.iter().filter_map(|&id| scored(id)).max()?;
    let group: PortSocks =
        listeners.iter().copied().filter(|&id| scored(id) == Some(best)).collect();
    let shared = group.iter().all(|&id| socks.tcp(id).is_some_and(|tp| tp.sk.sk_reuseport));
    if group.len() > 1 && shared {
        let at = ((hash() & 0xffff_ffff) * group.len() as u64) >> 32;
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

/// `inet6_ehashfn`.
pub(crate) fn inet6_ehashfn(net: &Net, key: &FourTuple6) -> u64 {
    let [s1, s2] = halves(key.saddr);
    let [d1, d2] = halves(key.daddr);
    let ports = u64::from(key.sport) << 16 | u64::from(key.dport);
    siphash(&[s1, s2, d1, d2, ports], net.ip.secrets.port_secret)
}

/// The two 64-bit words of an address, for hashing.
pub(crate) fn halves(addr: Ipv6Addr) -> [u64; 2] {
    let bits = addr.to_bits();
    [(bits >> 64) as u64, bits as u64]
}

/// Where the search for an ephemeral port starts, by destination (`inet_sk_port_offset`,
/// `inet6_sk_port_offset`).
fn port_offset(net: &Net, key: &ConnKey) -> u64 {
    let secret = net.ip.secrets.net_secret;
    match key {
        ConnKey::V4(k) => {
            let addrs = u64::from(u32::from(k.saddr)) << 32 | u64::from(u32::from(k.daddr));
            siphash(&[addrs, u64::from(k.dport)], secret)
        }
        ConnKey::V6(k) => {
            let ([s1, s2], [d1, d2]) = (halves(k.saddr), halves(k.daddr));
            siphash(&[s1, s2, d1, d2, u64::from(k.dport)], secret)
        }
    }
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
    let key = conn_key(&tp.sk, port);
    if let Some(other) = socks.ehash_get(&key) {
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
    let (bound, key) = (tp.sk.inet_num, conn_key(&tp.sk, 0));
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
    let port_offset = port_offset(net, &key);
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
