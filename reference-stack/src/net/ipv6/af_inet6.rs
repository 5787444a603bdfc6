//! The INET6 family (Linux `af_inet6.c`, 5.15): sockets, their names, and bind(2).

use super::addr::{is_linklocal, v4mapped};
use super::addrconf::ipv6_chk_addr;
use super::{Ipv6Pinfo, LOOPBACK4_IPV6};
use crate::errno::Errno;
use crate::lib::shared::Arc;
use crate::net::Net;
use crate::net::core::sock::{Sock, SockCommon, SockId, Socks, TcpState};
use crate::net::ipv4::af_inet::{common, common_mut, get_port};
use crate::net::ipv4::fib_frontend::inet_addr_type;
use crate::net::ipv4::route::RtType;
use crate::net::ipv4::tcp::tcp_init_sock;
use crate::net::ipv4::udp::udp_init_sock;
use crate::net::socket::{ProtoOps, Socket, SocketState};
use crate::syscalls::SockAddr;
use crate::uapi::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The type's protocol and its operations (`inetsw6`). Raw sockets are not built.
fn inetsw6_lookup(ty: i32, protocol: i32) -> Result<(u8, ProtoOps), Errno> {
    let (own, ops) = match ty {
        SOCK_STREAM => (IPPROTO_TCP, ProtoOps::Inet6Stream),
        SOCK_DGRAM => (IPPROTO_UDP, ProtoOps::Inet6Dgram),
        SOCK_RAW => return Err(Errno::EPROTONOSUPPORT),
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    match protocol {
        0 => Ok((own, ops)),
        p if p == i32::from(own) => Ok((own, ops)),
        p if p == i32::from(IPPROTO_ICMPV6) && ty == SOCK_DGRAM => Err(Errno::EACCES),
        _ => Err(Errno::EPROTONOSUPPORT),
    }
}

/// Makes a socket of this family (`inet6_create`).
///
/// # Errors
/// EINVAL, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EACCES.
pub(crate) fn inet6_create(
    socks: &mut Socks,
    net: &mut Net,
    mut sock: Socket,
    ty: i32,
    protocol: i32,
) -> Result<Socket, Errno> {
    // MPTCP's number, 262, is the highest.
    if !(0..=262).contains(&protocol) {
        return Err(Errno::EINVAL);
    }
    let (protocol, ops) = inetsw6_lookup(ty, protocol)?;
    sock.state = SocketState::Unconnected;
    sock.ty = ty;
    sock.ops = ops;
    sock.sk = match protocol {
        IPPROTO_TCP => {
            let mut tp = tcp_init_sock(net, SockId::default());
            tp.sk.sk_family = AF_INET6;
            socks.insert(&net.wmem, |id| {
                tp.sk.id = id;
                Sock::Tcp(Arc::new(tp))
            })
        }
        _ => udp_init_sock(socks, net, AF_INET6),
    };
    let sk = common_mut(socks, sock.sk).ok_or(Errno::EINVAL)?;
    sk.pinet6 =
        Some(Box::new(Ipv6Pinfo { ipv6only: net.sysctl.bindv6only != 0, ..Ipv6Pinfo::default() }));
    if net.sysctl.ip_no_pmtu_disc != 0 {
        sk.pmtudisc = IP_PMTUDISC_DONT;
    }
    Ok(sock)
}

/// bind(2) (`inet6_bind`).
///
/// # Errors
/// EINVAL for a shorter address, EAFNOSUPPORT, EADDRNOTAVAIL for an address that is not this
/// host's, EADDRINUSE, EINVAL if the socket has a port.
pub(crate) fn inet6_bind(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    addr: SockAddr,
) -> Result<(), Errno> {
    let (addr, port, scope_id) = match addr {
        SockAddr::In6 { addr, port, scope_id, .. } => (addr, port, scope_id),
        // A sockaddr_in is shorter than what RFC 2133 defined.
        SockAddr::In { .. } | SockAddr::Unspec => return Err(Errno::EINVAL),
        SockAddr::Other(_) => return Err(Errno::EAFNOSUPPORT),
    };
    if addr.is_multicast() && sock.ty == SOCK_STREAM {
        return Err(Errno::EINVAL);
    }
    let sk = common_mut(socks, sock.sk).ok_or(Errno::EINVAL)?;
    if sk.sk_state != TcpState::Close || sk.inet_num != 0 {
        return Err(Errno::EINVAL);
    }
    let v4addr = check_bind_addr(net, sk, addr, scope_id)?;
    sk.inet_rcv_saddr = v4addr;
    sk.inet_saddr = v4addr;
    let np = sk.pinet6.as_mut().ok_or(Errno::EINVAL)?;
    np.sk_v6_rcv_saddr = addr;
    if !addr.is_multicast() {
        np.saddr = addr;
    }
    let saved_ipv6only = np.ipv6only;
    np.ipv6only |= !addr.is_unspecified() && v4mapped(addr).is_none();
    if get_port(socks, net, sock.sk, port).is_err() {
        if let Some(sk) = common_mut(socks, sock.sk) {
            sk.inet_reset_saddr();
            if let Some(np) = &mut sk.pinet6 {
                np.ipv6only = saved_ipv6only;
            }
        }
        return Err(Errno::EADDRINUSE);
    }
    let sk = common_mut(socks, sock.sk).ok_or(Errno::EINVAL)?;
    sk.bindaddr_lock |= !addr.is_unspecified();
    sk.bindport_lock |= port != 0;
    sk.inet_daddr = Ipv4Addr::UNSPECIFIED;
    sk.inet_dport = 0;
    Ok(())
}

/// Whether a socket may be bound to an address; its IPv4 address then.
fn check_bind_addr(
    net: &Net,
    sk: &mut SockCommon,
    addr: Ipv6Addr,
    scope_id: u32,
) -> Result<Ipv4Addr, Errno> {
    if let Some(v4) = v4mapped(addr) {
        if sk.pinet6.as_deref().is_some_and(|np| np.ipv6only) {
            return Err(Errno::EINVAL);
        }
        let ours = matches!(
            inet_addr_type(net, v4),
            RtType::Local | RtType::Multicast | RtType::Broadcast
        );
        let free = sk.freebind || net.sysctl.ip_nonlocal_bind != 0;
        return match v4.is_unspecified() || ours || free {
            true => Ok(v4),
            false => Err(Errno::EADDRNOTAVAIL),
        };
    }
    if addr.is_unspecified() {
        return Ok(Ipv4Addr::UNSPECIFIED);
    }
    if is_linklocal(addr) {
        if scope_id != 0 {
            sk.bound_dev_if = scope_id;
        }
        if sk.bound_dev_if == 0 {
            return Err(Errno::EINVAL);
        }
    }
    if sk.bound_dev_if != 0 && net.devs.by_index(sk.bound_dev_if).is_none() {
        return Err(Errno::ENODEV);
    }
    let free = sk.freebind || net.sysctl.ip6_nonlocal_bind != 0;
    if !addr.is_multicast() && !free && !ipv6_chk_addr(net, addr, sk.bound_dev_if) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    Ok(LOOPBACK4_IPV6)
}

/// getsockname(2) and getpeername(2) (`inet6_getname`); `peer` as in IPv4's.
///
/// # Errors
/// ENOTCONN without a peer.
pub(crate) fn inet6_getname(
    socks: &Socks,
    _net: &Net,
    sock: &Socket,
    peer: u8,
) -> Result<SockAddr, Errno> {
    let sk = common(socks, sock.sk).ok_or(Errno::EINVAL)?;
    let np = sk.pinet6.as_deref().ok_or(Errno::EINVAL)?;
    let (addr, port) = if peer == 0 {
        let bound = np.sk_v6_rcv_saddr;
        (if bound.is_unspecified() { np.saddr } else { bound }, sk.inet_num)
    } else {
        let over = sk.sk_protocol == IPPROTO_TCP
            && matches!(sk.sk_state, TcpState::Close | TcpState::SynSent);
        if sk.inet_dport == 0 || (over && peer == 1) {
            return Err(Errno::ENOTCONN);
        }
        (np.sk_v6_daddr, sk.inet_dport)
    };
    let scope_id = if is_linklocal(addr) { sk.bound_dev_if } else { 0 };
    Ok(SockAddr::In6 { addr, port, flowinfo: 0, scope_id })
}
