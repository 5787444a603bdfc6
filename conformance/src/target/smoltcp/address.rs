//! Addresses, from a script's to smoltcp's and back.

use std::net::{IpAddr, SocketAddr};

use reference_stack::syscalls::SockAddr;
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// Where to connect or send to. IPv4 in an IPv6 address is IPv4.
pub(super) fn endpoint(addr: SockAddr) -> Option<IpEndpoint> {
    let inet = addr.inet()?;
    Some(IpEndpoint::new(inet.ip().to_canonical().into(), inet.port()))
}

/// Where to listen: any address where it is the unspecified one.
pub(super) fn listen_endpoint(addr: SockAddr) -> Option<IpListenEndpoint> {
    let inet = addr.inet()?;
    let ip = inet.ip().to_canonical();
    Some(IpListenEndpoint { addr: (!ip.is_unspecified()).then(|| ip.into()), port: inet.port() })
}

/// An address as a socket of this family tells it.
pub(super) fn told(at: IpEndpoint, v6: bool) -> SockAddr {
    let ip = match (IpAddr::from(at.addr), v6) {
        (IpAddr::V4(ip), true) => ip.to_ipv6_mapped().into(),
        (ip, _) => ip,
    };
    SocketAddr::new(ip, at.port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_ipv4_inside() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:80".parse().unwrap();
        let inside = endpoint(mapped.into()).unwrap();
        assert_eq!(inside.to_string(), "192.0.2.1:80");
        assert_eq!(told(inside, true).inet(), Some(mapped));
        assert_eq!(
            listen_endpoint("0.0.0.0:80".parse::<SocketAddr>().unwrap().into()).unwrap().addr,
            None
        );
        assert_eq!(endpoint(SockAddr::Unspec), None);
    }
}
