//! What kind an IPv6 address is, and whether the addresses of two sockets overlap
//! (Linux `addrconf_core.c`, `inet_connection_sock.c`).

use crate::net::core::sock::SockCommon;
use crate::net::ipv4::tcp_sock::TimewaitSock;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The address of an IPv4-mapped one (`ipv6_addr_v4mapped`).
pub(crate) fn v4mapped(addr: Ipv6Addr) -> Option<Ipv4Addr> {
    addr.to_ipv4_mapped()
}

/// Whether an address is link-local (`IPV6_ADDR_LINKLOCAL`), unicast or multicast.
pub(crate) fn is_linklocal(addr: Ipv6Addr) -> bool {
    let [a, b, ..] = addr.octets();
    (a == 0xfe && b & 0xc0 == 0x80) || (a == 0xff && b & 0x0f == 2)
}

/// An address by its first bytes of a packet; the slice has to be 16 long.
pub(crate) fn read(bytes: &[u8]) -> Option<Ipv6Addr> {
    bytes.first_chunk::<16>().map(|b| Ipv6Addr::from(*b))
}

/// Whether two addresses agree in their first `plen` bits (`ipv6_prefix_equal`).
pub(crate) fn prefix_equal(a: Ipv6Addr, b: Ipv6Addr, plen: u8) -> bool {
    let mask = prefix_mask(plen);
    (a.to_bits() ^ b.to_bits()) & mask == 0
}

/// The bits of a prefix.
pub(crate) fn prefix_mask(plen: u8) -> u128 {
    match plen {
        0 => 0,
        n => u128::MAX << (128 - u32::from(n.min(128))),
    }
}

/// The first `plen` bits of an address (`ipv6_addr_prefix`).
pub(crate) fn prefix(addr: Ipv6Addr, plen: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(addr.to_bits() & prefix_mask(plen))
}

/// What a socket listens to, as far as a conflict of ports is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RcvSaddr {
    v4: Ipv4Addr,
    /// `None`: an AF_INET socket.
    v6: Option<Ipv6Addr>,
    ipv6only: bool,
}

impl RcvSaddr {
    /// The addresses of a socket.
    pub(crate) fn of(sk: &SockCommon) -> Self {
        let np = sk.pinet6.as_deref();
        Self {
            v4: sk.inet_rcv_saddr,
            v6: np.map(|np| np.sk_v6_rcv_saddr),
            ipv6only: np.is_some_and(|np| np.ipv6only),
        }
    }

    /// Those of a TIME-WAIT socket.
    pub(crate) fn of_tw(tw: &TimewaitSock) -> Self {
        Self { v4: tw.tw_saddr, v6: tw.tw_v6.as_ref().map(|v6| v6.saddr), ipv6only: false }
    }

    fn is_mapped(&self) -> bool {
        self.v6.is_none_or(|a| v4mapped(a).is_some())
    }

    /// Whether packets for the one may be for the other (`inet_rcv_saddr_equal` with wildcards
    /// on both sides): equal addresses, or a wildcard that takes the other's family.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match self.v6 {
            Some(v6) => self.overlaps_v6(v6, other),
            None => !other.ipv6only && v4_overlaps(self.v4, other.v4),
        }
    }

    fn overlaps_v6(&self, mine: Ipv6Addr, other: &Self) -> bool {
        if self.is_mapped() && other.is_mapped() {
            return !other.ipv6only && v4_overlaps(self.v4, other.v4);
        }
        let theirs = other.v6.unwrap_or(Ipv6Addr::LOCALHOST);
        let any = |a: Ipv6Addr, of: &Self| of.v6.is_some() && a.is_unspecified();
        (any(mine, self) && any(theirs, other))
            || (any(theirs, other) && !(other.ipv6only && self.is_mapped()))
            || (any(mine, self) && !(self.ipv6only && other.is_mapped()))
            || (other.v6.is_some() && mine == theirs)
    }
}

fn v4_overlaps(a: Ipv4Addr, b: Ipv4Addr) -> bool {
    a == b || a.is_unspecified() || b.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(v4: [u8; 4], v6: Option<&str>, ipv6only: bool) -> RcvSaddr {
        RcvSaddr { v4: v4.into(), v6: v6.map(|a| a.parse().unwrap()), ipv6only }
    }

    #[test]
    fn a_wildcard_takes_the_other_family_unless_it_is_ipv6_only() {
        let v4_any = at([0; 4], None, false);
        let v4_one = at([10, 0, 0, 1], None, false);
        let dual = at([0; 4], Some("::"), false);
        let v6_only = at([0; 4], Some("::"), true);
        // bind(2) makes a socket with an IPv6 address IPv6-only.
        let v6_one = at([127, 0, 0, 6], Some("fd00::1"), true);
        let mapped = at([10, 0, 0, 1], Some("::ffff:10.0.0.1"), false);
        for (a, b, overlap) in [
            (dual, v4_any, true),
            (dual, v4_one, true),
            (dual, v6_one, true),
            (v6_only, v4_any, false),
            (v6_only, v4_one, false),
            (v6_only, mapped, false),
            (v6_only, v6_one, true),
            (v6_only, dual, true),
            (mapped, v4_one, true),
            (mapped, v6_one, false),
            (v6_one, v4_any, false),
        ] {
            assert_eq!(a.overlaps(&b), overlap, "{a:?} {b:?}");
            assert_eq!(b.overlaps(&a), overlap, "{b:?} {a:?}");
        }
    }

    #[test]
    fn prefixes() {
        let a: Ipv6Addr = "fd00:1:2:3::1".parse().unwrap();
        let b: Ipv6Addr = "fd00:1:2:4::1".parse().unwrap();
        assert!(prefix_equal(a, b, 61) && !prefix_equal(a, b, 62));
        assert!(prefix_equal(a, b, 0) && !prefix_equal(a, b, 128));
        assert_eq!(prefix(a, 48), "fd00:1:2::".parse::<Ipv6Addr>().unwrap());
    }
}
