//! Socket options of the level SOL_IP (Linux `ip_sockglue.c`).

use super::devinet::ip_dev_find;
use super::icmp::{IcmpErr, fib_compute_spec_dst};
use super::ip_input::ip_hdr;
use super::route::{Flow4, dst_check, ip_route_output_flow};
use super::tcp_sock::RecvMsg;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::errqueue::{SockExtendedErr, SockExterr, recv_error, sock_queue_err_skb};
use crate::net::core::scm::{__sock_cmsg_send, SockcmCookie, put_cmsg};
use crate::net::core::skbuff::SkBuff;
use crate::net::core::sock::{SockCommon, TcpState};
use crate::syscalls::Cmsg;
use crate::uapi::{
    AF_INET, IP_FREEBIND, IP_MTU, IP_MTU_DISCOVER, IP_MULTICAST_IF, IP_MULTICAST_LOOP,
    IP_MULTICAST_TTL, IP_PKTINFO, IP_RECVERR, IP_RECVTOS, IP_RECVTTL, IP_TOS, IP_TTL, IPV6_PKTINFO,
    SO_EE_ORIGIN_ICMP, SOCK_STREAM, SOL_IP, SOL_IPV6, SOL_SOCKET,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `IP_CMSG_PKTINFO`, `IP_CMSG_TTL`, `IP_CMSG_TOS`.
const IP_CMSG_PKTINFO: u8 = 1 << 0;
const IP_CMSG_TTL: u8 = 1 << 1;
const IP_CMSG_TOS: u8 = 1 << 2;

/// `INET_ECN_MASK`: bits of the TOS that are TCP's own.
const INET_ECN_MASK: u8 = 3;

/// Values of these options may be one byte or an int.
fn value_of(value: &[u8]) -> Result<i32, Errno> {
    match value {
        [] => Err(Errno::EINVAL),
        [b0, b1, b2, b3, ..] => Ok(i32::from_ne_bytes([*b0, *b1, *b2, *b3])),
        [byte, ..] => Ok(i32::from(*byte)),
    }
}

/// setsockopt(2), level SOL_IP.
pub(crate) fn ip_setsockopt(
    sk: &mut SockCommon,
    net: &mut Net,
    name: i32,
    value: &[u8],
) -> Result<(), Errno> {
    let v = value_of(value)?;
    match name {
        IP_TOS => {
            let mut tos = v as u8;
            if sk.sk_type == SOCK_STREAM {
                tos = (tos & !INET_ECN_MASK) | (sk.tos & INET_ECN_MASK);
            }
            if sk.tos != tos {
                sk.tos = tos;
                sk.sk_priority = rt_tos2priority(tos);
                sk.sk_dst = None;
            }
        }
        IP_TTL => match v {
            -1 => sk.uc_ttl = None,
            1..=255 => sk.uc_ttl = Some(v as u8),
            _ => return Err(Errno::EINVAL),
        },
        IP_MTU_DISCOVER => match v {
            // DONT, WANT, DO, PROBE, INTERFACE, OMIT.
            0..=5 => sk.pmtudisc = v as u8,
            _ => return Err(Errno::EINVAL),
        },
        IP_RECVERR => sk.recverr = v != 0,
        IP_MULTICAST_IF => sk.mc_index = multicast_device(net, value)?,
        IP_MULTICAST_TTL if sk.sk_type == SOCK_STREAM => return Err(Errno::EINVAL),
        IP_MULTICAST_TTL => match v {
            -1 => sk.mc_ttl = 1,
            0..=255 => sk.mc_ttl = v as u8,
            _ => return Err(Errno::EINVAL),
        },
        IP_MULTICAST_LOOP => sk.mc_loop = v != 0,
        IP_FREEBIND => match v {
            0 | 1 => sk.freebind = v != 0,
            _ => return Err(Errno::EINVAL),
        },
        IP_PKTINFO | IP_RECVTTL | IP_RECVTOS => {
            let flag = cmsg_flag(name);
            sk.cmsg_flags = if v != 0 { sk.cmsg_flags | flag } else { sk.cmsg_flags & !flag };
        }
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// getsockopt(2), level SOL_IP.
pub(crate) fn ip_getsockopt(
    sk: &mut SockCommon,
    net: &mut Net,
    name: i32,
) -> Result<Vec<u8>, Errno> {
    let v = match name {
        IP_TOS => i32::from(sk.tos),
        IP_TTL => sk.uc_ttl.map_or(net.sysctl.ip_default_ttl as i32, i32::from),
        IP_MTU_DISCOVER => i32::from(sk.pmtudisc),
        IP_RECVERR => i32::from(sk.recverr),
        IP_MULTICAST_TTL => i32::from(sk.mc_ttl),
        IP_MULTICAST_LOOP => i32::from(sk.mc_loop),
        IP_FREEBIND => i32::from(sk.freebind),
        IP_PKTINFO | IP_RECVTTL | IP_RECVTOS => i32::from(sk.cmsg_flags & cmsg_flag(name) != 0),
        IP_MTU => connected_mtu(sk, net)?,
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(v.to_ne_bytes().to_vec())
}

/// The device that IP_MULTICAST_IF names: by `struct ip_mreqn`'s number, else by its address or
/// that of a `struct in_addr`; 0 for none in particular.
fn multicast_device(net: &Net, value: &[u8]) -> Result<u32, Errno> {
    let word = |at: usize| value.get(at..at + 4)?.first_chunk::<4>().copied();
    let index = word(8).map_or(0, u32::from_ne_bytes);
    if index != 0 {
        let device = net.devs.by_index(index).ok_or(Errno::EADDRNOTAVAIL)?;
        return Ok(device.id.ifindex());
    }
    let address = if value.len() >= 8 { word(4) } else { word(0) }.ok_or(Errno::EINVAL)?;
    match Ipv4Addr::from(address) {
        Ipv4Addr::UNSPECIFIED => Ok(0),
        own => Ok(ip_dev_find(net, own).ok_or(Errno::EADDRNOTAVAIL)?.ifindex()),
    }
}

/// The path MTU as it is known now; a socket without peer has none.
fn connected_mtu(sk: &mut SockCommon, net: &mut Net) -> Result<i32, Errno> {
    if sk.sk_state != TcpState::Established && sk.inet_daddr.is_unspecified() {
        return Err(Errno::ENOTCONN);
    }
    if !sk.sk_dst.as_ref().is_some_and(|dst| dst_check(net, dst)) {
        let mut fl = Flow4 {
            saddr: sk.inet_saddr,
            daddr: sk.inet_daddr,
            oif: sk.bound_dev_if,
            tos: sk.tos,
            proto: sk.sk_protocol,
            sport: sk.inet_num,
            dport: sk.inet_dport,
            mark: sk.sk_mark,
        };
        sk.sk_dst = Some(ip_route_output_flow(net, &mut fl)?);
    }
    sk.sk_dst.as_ref().map(|dst| dst.mtu as i32).ok_or(Errno::ENOTCONN)
}

/// The `IP_CMSG_*` bit of an option.
const fn cmsg_flag(name: i32) -> u8 {
    match name {
        IP_PKTINFO => IP_CMSG_PKTINFO,
        IP_RECVTTL => IP_CMSG_TTL,
        _ => IP_CMSG_TOS,
    }
}

/// What a call says of its datagram by control messages (`struct ipcm_cookie`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpcmCookie {
    pub(crate) sockc: SockcmCookie,
    /// The source address; unspecified: the socket's or the route's.
    pub(crate) addr: Ipv4Addr,
    /// The device to leave by; 0: any.
    pub(crate) oif: u32,
    /// IP_TTL and IP_TOS of this datagram alone.
    pub(crate) ttl: Option<u8>,
    pub(crate) tos: Option<u8>,
}

impl IpcmCookie {
    /// What the socket says (`ipcm_init_sk`).
    pub(crate) fn new(sk: &SockCommon) -> Self {
        Self {
            sockc: SockcmCookie::new(sk),
            addr: sk.inet_saddr,
            oif: sk.bound_dev_if,
            ttl: None,
            tos: None,
        }
    }
}

/// Reads what a sender says of its datagram (`ip_cmsg_send`). Levels that are neither the socket's nor
/// IP's say nothing here.
///
/// # Errors
/// EINVAL: a message that is not known, or whose size or value is wrong. IP options by IP_RETOPTS are
/// not built and are refused too.
pub(crate) fn ip_cmsg_send(sk: &SockCommon, control: &[Cmsg]) -> Result<IpcmCookie, Errno> {
    let mut ipc = IpcmCookie::new(sk);
    for cmsg in control {
        match cmsg.level {
            SOL_SOCKET => __sock_cmsg_send(cmsg, &mut ipc.sockc)?,
            SOL_IP => ip_cmsg_one(cmsg, &mut ipc)?,
            SOL_IPV6 if sk.pinet6.is_some() && cmsg.ty == IPV6_PKTINFO => {
                let (addr, ifindex) = in6_pktinfo(&cmsg.data).ok_or(Errno::EINVAL)?;
                ipc.addr = addr.to_ipv4_mapped().ok_or(Errno::EINVAL)?;
                ipc.oif = ifindex;
            }
            _ => {}
        }
    }
    Ok(ipc)
}

fn ip_cmsg_one(cmsg: &Cmsg, ipc: &mut IpcmCookie) -> Result<(), Errno> {
    let byte = |v: i32| u8::try_from(v).map_err(|_| Errno::EINVAL);
    match (cmsg.ty, cmsg.data.as_slice()) {
        (IP_PKTINFO, &[i0, i1, i2, i3, s0, s1, s2, s3, _, _, _, _]) => {
            ipc.oif = u32::from_ne_bytes([i0, i1, i2, i3]);
            ipc.addr = Ipv4Addr::new(s0, s1, s2, s3);
        }
        (IP_TTL, &[b0, b1, b2, b3]) => match byte(i32::from_ne_bytes([b0, b1, b2, b3]))? {
            0 => return Err(Errno::EINVAL),
            ttl => ipc.ttl = Some(ttl),
        },
        (IP_TOS, &[b0, b1, b2, b3]) => {
            ipc.tos = Some(byte(i32::from_ne_bytes([b0, b1, b2, b3]))?);
        }
        (IP_TOS, &[tos]) => ipc.tos = Some(tos),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// The address and the interface of a `struct in6_pktinfo`.
pub(crate) fn in6_pktinfo(data: &[u8]) -> Option<(Ipv6Addr, u32)> {
    let (addr, rest) = data.split_first_chunk::<16>()?;
    Some((Ipv6Addr::from(*addr), u32::from_ne_bytes(*rest.first_chunk()?)))
}

/// Tells a reader what it wants to know of a datagram's header (`ip_cmsg_recv_offset`).
pub(crate) fn ip_cmsg_recv(sk: &SockCommon, net: &Net, skb: &SkBuff, msg: &mut RecvMsg) {
    let Some(iph) = ip_hdr(skb).filter(|_| sk.cmsg_flags != 0) else { return };
    if sk.cmsg_flags & IP_CMSG_PKTINFO != 0 {
        let ifindex = skb.dev.map_or(0, |dev| dev.ifindex());
        let mut info = ifindex.to_ne_bytes().to_vec();
        info.extend(fib_compute_spec_dst(net, skb, &iph).octets());
        info.extend(iph.daddr.octets());
        put_cmsg(msg, SOL_IP, IP_PKTINFO, &info);
    }
    if sk.cmsg_flags & IP_CMSG_TTL != 0 {
        put_cmsg(msg, SOL_IP, IP_TTL, &i32::from(iph.ttl).to_ne_bytes());
    }
    if sk.cmsg_flags & IP_CMSG_TOS != 0 {
        put_cmsg(msg, SOL_IP, IP_TOS, &[iph.tos]);
    }
}

/// Reads the error queue of an AF_INET socket (`ip_recv_error`); bytes of data.
///
/// # Errors
/// EAGAIN: it is empty. EFAULT.
pub(crate) fn ip_recv_error(
    sk: &mut SockCommon,
    net: &mut Net,
    msg: &mut RecvMsg,
) -> Result<usize, Errno> {
    let entry = recv_error(sk, net, msg)?;
    let mut errhdr = entry.ee.to_bytes().to_vec();
    errhdr.extend(sockaddr_in(match entry.offender {
        Some(IpAddr::V4(offender)) => Some(offender),
        _ => None,
    }));
    put_cmsg(msg, SOL_IP, IP_RECVERR, &errhdr);
    Ok(msg.buf.len())
}

/// `struct sockaddr_in` of an address without port; zeros if there is none.
fn sockaddr_in(addr: Option<Ipv4Addr>) -> [u8; 16] {
    let mut bytes = [0; 16];
    if let Some(addr) = addr {
        bytes[0..2].copy_from_slice(&AF_INET.to_ne_bytes());
        bytes[4..8].copy_from_slice(&addr.octets());
    }
    bytes
}

/// Tells the user of an ICMP error, as IP_RECVERR asks for (`ip_icmp_error`). `skip`: bytes of the
/// transport header that was quoted.
pub(crate) fn ip_icmp_error(
    sk: &mut SockCommon,
    net: &mut Net,
    err: &IcmpErr,
    errno: Errno,
    skip: usize,
) {
    let ee = SockExtendedErr {
        ee_errno: errno.raw() as u32,
        ee_origin: SO_EE_ORIGIN_ICMP,
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

/// `rt_tos2priority`: the band of a TOS value.
pub(crate) const fn rt_tos2priority(tos: u8) -> u32 {
    match (tos >> 1) & 0xf {
        2 | 3 => 2,
        4..=7 => 6,
        8 | 9 => 6,
        10..=15 => 4,
        _ => 0,
    }
}
