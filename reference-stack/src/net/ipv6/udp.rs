//! UDP over IPv6 (Linux `net/ipv6/udp.c`, `datagram.c`, 5.15).

use super::addr::v4mapped;
use super::tcp_ipv6::any_is_loopback;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::sock::TcpState;
use crate::net::ipv4::tcp_sock::{IoResult, RecvMsg, SendMsg};
use crate::net::ipv4::udp::{UdpSock, udp_connect, udp_recvmsg, udp_sendmsg};
use crate::syscalls::SockAddr;
use std::net::{IpAddr, SocketAddr};

/// Fixes the peer (`ip6_datagram_connect`).
///
/// # Errors
/// EAFNOSUPPORT or ENETUNREACH for IPv4 on an IPv6-only socket, and what the route says.
pub(crate) fn ip6_datagram_connect(
    up: &mut UdpSock,
    net: &mut Net,
    addr: SockAddr,
) -> Result<(), Errno> {
    let np = up.sk.pinet6.as_deref().ok_or(Errno::EINVAL)?;
    let (v4, port) = match addr {
        SockAddr::In { .. } if np.ipv6only => return Err(Errno::EAFNOSUPPORT),
        SockAddr::In { addr, port } => (Some(addr), port),
        SockAddr::In6 { addr, port, .. } => {
            (v4mapped(any_is_loopback(addr, np.sk_v6_rcv_saddr)), port)
        }
        SockAddr::Unspec | SockAddr::Other(_) => return Err(Errno::EAFNOSUPPORT),
    };
    let Some(v4) = v4.filter(|_| !np.ipv6only) else { return Err(Errno::ENETUNREACH) };
    udp_connect(up, net, v4, port)?;
    up.sk.set_mapped();
    Ok(())
}

/// Sends one datagram (`udpv6_sendmsg`), over IPv4 for a mapped address.
///
/// # Errors
/// ENETUNREACH for IPv4 on an IPv6-only socket, EDESTADDRREQ, and what sending says.
pub(crate) fn udpv6_sendmsg(up: &mut UdpSock, net: &mut Net, msg: &mut SendMsg) -> IoResult<usize> {
    let np = up.sk.pinet6.as_deref().ok_or(Errno::EINVAL)?;
    let to = match (&up.pending, msg.addr) {
        (Some(pending), _) => pending.to,
        (None, Some(to)) => to,
        (None, None) if up.sk.sk_state != TcpState::Established => {
            return Err(Errno::EDESTADDRREQ);
        }
        (None, None) => SocketAddr::new(np.sk_v6_daddr.into(), up.sk.inet_dport),
    };
    match to.ip().to_canonical() {
        IpAddr::V4(_) if np.ipv6only => Err(Errno::ENETUNREACH),
        IpAddr::V4(_) => udp_sendmsg(up, net, msg),
        IpAddr::V6(_) => Err(Errno::ENETUNREACH),
    }
}

/// Takes one datagram from the queue (`udpv6_recvmsg`): IPv4 senders are named by mapped
/// addresses.
///
/// # Errors
/// The socket's error, EAGAIN.
pub(crate) fn udpv6_recvmsg(up: &mut UdpSock, net: &mut Net, msg: &mut RecvMsg) -> IoResult<usize> {
    let result = udp_recvmsg(up, net, msg);
    msg.addr = msg.addr.map(|from| match from {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        v6 => v6,
    });
    result
}
