//! What datagram and stream sockets of IPv6 share (Linux `net/ipv6/datagram.c`, 5.15): the error
//! queue.

use super::icmp::Icmp6Err;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::errqueue::{SockExtendedErr, SockExterr, recv_error, sock_queue_err_skb};
use crate::net::core::scm::put_cmsg;
use crate::net::core::sock::SockCommon;
use crate::net::ipv4::tcp_sock::RecvMsg;
use crate::uapi::{AF_INET6, IPV6_RECVERR, SO_EE_ORIGIN_ICMP6, SOL_IPV6};
use std::net::{IpAddr, Ipv6Addr};

/// Reads the error queue of an AF_INET6 socket (`ipv6_recv_error`); bytes of data.
///
/// # Errors
/// EAGAIN: it is empty. EFAULT.
pub(crate) fn ipv6_recv_error(
    sk: &mut SockCommon,
    net: &mut Net,
    msg: &mut RecvMsg,
) -> Result<usize, Errno> {
    let entry = recv_error(sk, net, msg)?;
    let mut errhdr = entry.ee.to_bytes().to_vec();
    errhdr.extend(sockaddr_in6(entry.offender.map(mapped)));
    put_cmsg(msg, SOL_IPV6, IPV6_RECVERR, &errhdr);
    Ok(msg.buf.len())
}

/// An address as an AF_INET6 socket sees it.
fn mapped(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    }
}

/// `struct sockaddr_in6` of an address without port; zeros if there is none.
fn sockaddr_in6(addr: Option<Ipv6Addr>) -> [u8; 28] {
    let mut bytes = [0; 28];
    if let Some(addr) = addr {
        bytes[0..2].copy_from_slice(&AF_INET6.to_ne_bytes());
        bytes[8..24].copy_from_slice(&addr.octets());
    }
    bytes
}

/// Tells the user of an ICMPv6 error, as IPV6_RECVERR asks for (`ipv6_icmp_error`). `skip`: bytes of
/// the transport header that was quoted.
pub(crate) fn ipv6_icmp_error(
    sk: &mut SockCommon,
    net: &mut Net,
    err: &Icmp6Err,
    errno: Errno,
    skip: usize,
) {
    let ee = SockExtendedErr {
        ee_errno: errno.raw() as u32,
        ee_origin: SO_EE_ORIGIN_ICMP6,
        ee_type: err.icmp_type,
        ee_code: err.code,
        ee_info: err.info,
        ee_data: 0,
    };
    let entry = SockExterr {
        ee,
        payload: err.quoted.get(skip..).unwrap_or_default().to_vec(),
        name: Some((err.daddr, err.dport).into()),
        offender: Some(err.from.into()),
        ..SockExterr::default()
    };
    // Without room the user misses the details, not the error itself.
    sock_queue_err_skb(sk, net, entry);
}
