//! What datagrams and streams of IPv6 share (Linux `net/ipv6/datagram.c`, 5.15): control messages of
//! both directions, and the error queue.

use super::addr::is_linklocal;
use super::addrconf::ipv6_chk_addr;
use super::icmp::Icmp6Err;
use super::ip6_input::ipv6_hdr;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::errqueue::{SockExtendedErr, SockExterr, recv_error, sock_queue_err_skb};
use crate::net::core::scm::{__sock_cmsg_send, SockcmCookie, put_cmsg};
use crate::net::core::skbuff::SkBuff;
use crate::net::core::sock::SockCommon;
use crate::net::ethernet::ETH_P_IPV6;
use crate::net::ipv4::ip_input::ip_hdr;
use crate::net::ipv4::ip_sockglue::in6_pktinfo;
use crate::net::ipv4::tcp_sock::RecvMsg;
use crate::syscalls::Cmsg;
use crate::uapi::{
    AF_INET6, IPV6_DONTFRAG, IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_RECVERR, IPV6_TCLASS,
    SO_EE_ORIGIN_ICMP6, SOL_IPV6, SOL_SOCKET,
};
use std::net::{IpAddr, Ipv6Addr};

/// What a call says of its datagram by control messages (`struct ipcm6_cookie`, and what
/// `ip6_datagram_send_ctl()` puts into the flow).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ipcm6Cookie {
    pub(crate) sockc: SockcmCookie,
    /// The source address; `None`: the socket's or the route's.
    pub(crate) saddr: Option<Ipv6Addr>,
    /// The device to leave by; 0: any.
    pub(crate) oif: u32,
    /// IPV6_HOPLIMIT, IPV6_TCLASS and IPV6_DONTFRAG of this datagram alone.
    pub(crate) hlimit: Option<u8>,
    pub(crate) tclass: Option<u8>,
    pub(crate) dontfrag: Option<bool>,
}

/// Reads what a sender says of its datagram (`ip6_datagram_send_ctl`). Levels that are neither the
/// socket's nor IPv6's say nothing here.
///
/// # Errors
/// EINVAL: a message that is not known, or whose size or value is wrong; an address that is not this
/// host's, or an interface other than the one the socket is bound to. Extension headers are not built and
/// are refused too.
pub(crate) fn ip6_datagram_send_ctl(
    sk: &SockCommon,
    net: &Net,
    control: &[Cmsg],
) -> Result<Ipcm6Cookie, Errno> {
    let mut ipc = Ipcm6Cookie {
        sockc: SockcmCookie::new(sk),
        saddr: None,
        oif: sk.bound_dev_if,
        hlimit: None,
        tclass: None,
        dontfrag: None,
    };
    for cmsg in control {
        match cmsg.level {
            SOL_SOCKET => __sock_cmsg_send(cmsg, &mut ipc.sockc)?,
            SOL_IPV6 => send_ctl_one(net, cmsg, &mut ipc)?,
            _ => {}
        }
    }
    Ok(ipc)
}

fn send_ctl_one(net: &Net, cmsg: &Cmsg, ipc: &mut Ipcm6Cookie) -> Result<(), Errno> {
    if cmsg.ty == IPV6_PKTINFO {
        let (addr, ifindex) = in6_pktinfo(&cmsg.data).ok_or(Errno::EINVAL)?;
        if ifindex != 0 && ipc.oif != 0 && ifindex != ipc.oif {
            return Err(Errno::EINVAL);
        }
        ipc.oif = if ifindex != 0 { ifindex } else { ipc.oif };
        if !addr.is_unspecified() {
            let ours = ipv6_chk_addr(net, addr, if is_linklocal(addr) { ifindex } else { 0 });
            ipc.saddr = Some(addr).filter(|_| ours);
            return ipc.saddr.map(|_| ()).ok_or(Errno::EINVAL);
        }
        return Ok(());
    }
    let bytes: [u8; 4] = cmsg.data.as_slice().try_into().map_err(|_| Errno::EINVAL)?;
    let v = i32::from_ne_bytes(bytes);
    // -1 is the socket's own.
    let byte = || match v {
        -1 => Ok(None),
        v => u8::try_from(v).map(Some).map_err(|_| Errno::EINVAL),
    };
    match cmsg.ty {
        IPV6_HOPLIMIT => ipc.hlimit = byte()?,
        IPV6_TCLASS => ipc.tclass = byte()?,
        IPV6_DONTFRAG if (0..=1).contains(&v) => ipc.dontfrag = Some(v == 1),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// `np->rxopt`: what a reader is told of a datagram's header.
pub(crate) const RXINFO: u8 = 1 << 0;
pub(crate) const RXHLIM: u8 = 1 << 1;
pub(crate) const RXTCLASS: u8 = 1 << 2;

/// Tells a reader where a datagram was sent to, over either family (`ip6_datagram_recv_common_ctl`), and
/// what else it wants to know of an IPv6 header (`ip6_datagram_recv_specific_ctl`).
pub(crate) fn ip6_datagram_recv_ctl(sk: &SockCommon, skb: &SkBuff, msg: &mut RecvMsg) {
    let Some(rxopt) = sk.pinet6.as_deref().map(|np| np.rxopt).filter(|&opt| opt != 0) else {
        return;
    };
    let ip6 = ipv6_hdr(skb).filter(|_| skb.protocol == ETH_P_IPV6);
    if rxopt & RXINFO != 0 {
        let daddr = match ip6 {
            Some(ip) => ip.daddr,
            None => ip_hdr(skb).map_or(Ipv6Addr::UNSPECIFIED, |ip| ip.daddr.to_ipv6_mapped()),
        };
        let mut info = daddr.octets().to_vec();
        info.extend(skb.dev.map_or(0, |dev| dev.ifindex()).to_ne_bytes());
        put_cmsg(msg, SOL_IPV6, IPV6_PKTINFO, &info);
    }
    let Some(ip) = ip6 else { return };
    if rxopt & RXHLIM != 0 {
        put_cmsg(msg, SOL_IPV6, IPV6_HOPLIMIT, &i32::from(ip.hop_limit).to_ne_bytes());
    }
    if rxopt & RXTCLASS != 0 {
        put_cmsg(msg, SOL_IPV6, IPV6_TCLASS, &i32::from(ip.tclass).to_ne_bytes());
    }
}

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
