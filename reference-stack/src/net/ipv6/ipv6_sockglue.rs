//! Socket options of the level SOL_IPV6 (Linux `ipv6_sockglue.c`, 5.15).

use super::Ipv6Pinfo;
use super::datagram::{RXHLIM, RXINFO, RXTCLASS};
use super::ip6_output::flow_of;
use super::route::ip6_route_output_flow;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::sock::{SockCommon, TcpState};
use crate::net::core::sockopt::int_value;
use crate::net::ipv4::route::dst_check;
use crate::uapi::*;

/// `INET_ECN_MASK`: bits of the traffic class that are TCP's own.
const INET_ECN_MASK: u8 = 3;

/// A number of hops: -1 is the default again.
fn hops(v: i32) -> Result<Option<u8>, Errno> {
    match v {
        -1 => Ok(None),
        0..=255 => Ok(Some(v as u8)),
        _ => Err(Errno::EINVAL),
    }
}

/// The bit of `rxopt` of an option.
const fn rxopt_flag(name: i32) -> u8 {
    match name {
        IPV6_RECVPKTINFO => RXINFO,
        IPV6_RECVHOPLIMIT => RXHLIM,
        _ => RXTCLASS,
    }
}

/// setsockopt(2), level SOL_IPV6 (`do_ipv6_setsockopt`).
///
/// # Errors
/// ENOPROTOOPT, EINVAL.
pub(crate) fn ipv6_setsockopt(sk: &mut SockCommon, name: i32, value: &[u8]) -> Result<(), Errno> {
    if sk.pinet6.is_none() {
        return Err(Errno::ENOPROTOOPT);
    }
    let v = if value.is_empty() { 0 } else { int_value(value)? };
    let (bound, stream) = (sk.inet_num != 0, sk.sk_type == SOCK_STREAM);
    let np = sk.pinet6.as_deref_mut().ok_or(Errno::ENOPROTOOPT)?;
    match name {
        IPV6_V6ONLY if value.len() < 4 || bound => return Err(Errno::EINVAL),
        IPV6_V6ONLY => np.ipv6only = v != 0,
        IPV6_UNICAST_HOPS => np.hop_limit = hops(v)?,
        IPV6_MULTICAST_HOPS if stream => return Err(Errno::ENOPROTOOPT),
        IPV6_MULTICAST_HOPS => np.mcast_hops = hops(v)?,
        IPV6_TCLASS => {
            // RFC 3542 6.5: -1 is the kernel's own.
            let mut tclass = match v {
                -1 => 0,
                0..=255 => v as u8,
                _ => return Err(Errno::EINVAL),
            };
            if stream {
                tclass = (tclass & !INET_ECN_MASK) | (np.tclass & INET_ECN_MASK);
            }
            if np.tclass != tclass {
                np.tclass = tclass;
                sk.sk_dst = None;
            }
        }
        IPV6_RECVERR => np.recverr = v != 0,
        IPV6_MTU_DISCOVER => match v {
            // DONT, WANT, DO, PROBE, INTERFACE, OMIT.
            0..=5 => np.pmtudisc = v as u8,
            _ => return Err(Errno::EINVAL),
        },
        IPV6_MTU => match v {
            0 | 1280.. => np.frag_size = v as u32,
            _ => return Err(Errno::EINVAL),
        },
        IPV6_DONTFRAG => np.dontfrag = v != 0,
        IPV6_RECVPKTINFO | IPV6_RECVHOPLIMIT | IPV6_RECVTCLASS if value.len() < 4 => {
            return Err(Errno::EINVAL);
        }
        IPV6_RECVPKTINFO | IPV6_RECVHOPLIMIT | IPV6_RECVTCLASS => {
            let flag = rxopt_flag(name);
            np.rxopt = if v != 0 { np.rxopt | flag } else { np.rxopt & !flag };
        }
        IPV6_AUTOFLOWLABEL => np.autoflowlabel = Some(v != 0),
        IPV6_MINHOPCOUNT => match v {
            0..=255 => np.min_hopcount = v as u8,
            _ => return Err(Errno::EINVAL),
        },
        IPV6_FREEBIND => sk.freebind = v != 0,
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// getsockopt(2), level SOL_IPV6 (`do_ipv6_getsockopt`).
///
/// # Errors
/// ENOPROTOOPT, ENOTCONN for the MTU without a peer.
pub(crate) fn ipv6_getsockopt(
    sk: &mut SockCommon,
    net: &mut Net,
    name: i32,
) -> Result<Vec<u8>, Errno> {
    let np = sk.pinet6.as_deref().ok_or(Errno::ENOPROTOOPT)?;
    let v = match name {
        IPV6_V6ONLY => i32::from(np.ipv6only),
        IPV6_UNICAST_HOPS => unicast_hops(sk, np, net),
        IPV6_MULTICAST_HOPS => np.mcast_hops.map_or(1, i32::from),
        IPV6_TCLASS => i32::from(np.tclass),
        IPV6_RECVERR => i32::from(np.recverr),
        IPV6_MTU_DISCOVER => i32::from(np.pmtudisc),
        IPV6_MTU => connected_mtu(sk, net)?,
        IPV6_DONTFRAG => i32::from(np.dontfrag),
        IPV6_RECVPKTINFO | IPV6_RECVHOPLIMIT | IPV6_RECVTCLASS => {
            i32::from(np.rxopt & rxopt_flag(name) != 0)
        }
        IPV6_AUTOFLOWLABEL => {
            i32::from(np.autoflowlabel.unwrap_or(net.sysctl.auto_flowlabels == 1))
        }
        IPV6_MINHOPCOUNT => i32::from(np.min_hopcount),
        IPV6_FREEBIND => i32::from(sk.freebind),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(v.to_ne_bytes().to_vec())
}

/// The hop limit that packets have now.
fn unicast_hops(sk: &SockCommon, np: &Ipv6Pinfo, net: &Net) -> i32 {
    let of_route = || sk.sk_dst.as_ref().map(|dst| dst.hoplimit);
    np.hop_limit.or_else(of_route).map_or(net.sysctl.hop_limit as i32, i32::from)
}

/// The path MTU as it is known now; a socket without peer has none.
fn connected_mtu(sk: &mut SockCommon, net: &mut Net) -> Result<i32, Errno> {
    let connected = sk.sk_state == TcpState::Established || sk.inet_dport != 0;
    let np = sk.ipv6_specific().filter(|_| connected).ok_or(Errno::ENOTCONN)?;
    if !sk.sk_dst.as_ref().is_some_and(|dst| dst_check(net, dst)) {
        let mut fl = flow_of(sk, np);
        sk.sk_dst = Some(ip6_route_output_flow(net, &mut fl)?);
    }
    sk.sk_dst.as_ref().map(|dst| dst.mtu as i32).ok_or(Errno::ENOTCONN)
}
