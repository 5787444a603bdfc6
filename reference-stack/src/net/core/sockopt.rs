//! setsockopt(2) and getsockopt(2): the level SOL_SOCKET (Linux `net/core/sock.c`), and the
//! hand-over to the protocols' levels.

use super::sock::{
    MAX_SCHEDULE_TIMEOUT, SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF, SOCK_RCVBUF_LOCK, SOCK_SNDBUF_LOCK,
    SockCommon, Socks, TcpState,
};
use super::timestamping::{sock_get_timestamp, sock_set_timestamp, sock_set_timestamping};
use crate::errno::Errno;
use crate::net::Net;
use crate::net::ipv4::tcp_sock::TcpSock;
use crate::net::ipv4::{ip_sockglue, raw, tcp, tcp_timer, udp_sockopt};
use crate::net::ipv6::ipv6_sockglue;
use crate::net::socket::Socket;
use crate::time::Jiffies;
use crate::uapi::{
    IPPROTO_TCP, IPPROTO_UDP, SO_ACCEPTCONN, SO_BINDTODEVICE, SO_BROADCAST, SO_BUSY_POLL,
    SO_DOMAIN, SO_DONTROUTE, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_MARK, SO_MAX_PACING_RATE,
    SO_MEMINFO, SO_NO_CHECK, SO_OOBINLINE, SO_PRIORITY, SO_PROTOCOL, SO_RCVBUF, SO_RCVBUFFORCE,
    SO_RCVLOWAT, SO_RCVTIMEO, SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF, SO_SNDBUFFORCE, SO_SNDLOWAT,
    SO_SNDTIMEO, SO_TIMESTAMP, SO_TIMESTAMP_NEW, SO_TIMESTAMPING, SO_TIMESTAMPING_NEW,
    SO_TIMESTAMPNS, SO_TIMESTAMPNS_NEW, SO_TYPE, SO_ZEROCOPY, SOL_IP, SOL_IPV6, SOL_RAW,
    SOL_SOCKET, SOL_TCP, SOL_UDP,
};

/// The first four bytes as the C int they are; EINVAL if there are fewer.
pub(crate) fn int_value(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk().map(|b| i32::from_ne_bytes(*b)).ok_or(Errno::EINVAL)
}

fn common<'a>(socks: &'a mut Socks, sock: &Socket) -> Result<&'a mut SockCommon, Errno> {
    // Two look-ups, because a borrow that is returned cannot be given up again.
    if socks.tcp(sock.sk).is_some() {
        return socks.tcp_mut(sock.sk).map(|tp| &mut tp.sk).ok_or(Errno::EBADF);
    }
    socks.udp_mut(sock.sk).map(|up| &mut up.sk).ok_or(Errno::EBADF)
}

/// setsockopt(2) of any level.
pub(crate) fn sock_setsockopt(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    level: i32,
    name: i32,
    value: &[u8],
) -> Result<(), Errno> {
    match level {
        SOL_SOCKET if name == SO_RCVLOWAT && socks.tcp(sock.sk).is_some() => {
            let v = int_value(value)?;
            let tp = socks.tcp_mut(sock.sk).ok_or(Errno::EBADF)?;
            let v = if v < 0 { i32::MAX } else { v.max(1) };
            tcp::tcp_set_rcvlowat(tp, net, v);
            Ok(())
        }
        SOL_SOCKET if matches!(name, SO_TIMESTAMPING | SO_TIMESTAMPING_NEW) => {
            let connected =
                |tp: &&TcpSock| !matches!(tp.sk.sk_state, TcpState::Close | TcpState::Listen);
            let stream = socks.tcp(sock.sk).filter(connected).map(|tp| (tp.snd_una, tp.write_seq));
            let val = int_value(value)? as u32;
            sock_set_timestamping(common(socks, sock)?, net, name, val, stream)
        }
        SOL_SOCKET => {
            if let (SO_KEEPALIVE, Some(tp)) = (name, socks.tcp_mut(sock.sk)) {
                tcp_timer::tcp_set_keepalive(tp, net, int_value(value)? != 0);
            }
            set_socket_level(net, common(socks, sock)?, name, value)
        }
        SOL_TCP => match socks.tcp_mut(sock.sk) {
            Some(tp) => tcp::tcp_setsockopt(tp, net, name, value),
            None => Err(Errno::ENOPROTOOPT),
        },
        SOL_RAW if raw::is_raw(socks, sock.sk) => {
            raw::raw_setsockopt(socks.udp_mut(sock.sk).ok_or(Errno::EBADF)?, name, value)
        }
        SOL_UDP if !raw::is_raw(socks, sock.sk) => {
            let up = socks.udp_mut(sock.sk).ok_or(Errno::ENOPROTOOPT)?;
            udp_sockopt::udp_setsockopt(up, net, name, value)
        }
        SOL_IPV6 => ipv6_sockglue::ipv6_setsockopt(common(socks, sock)?, name, value),
        SOL_IP => ip_sockglue::ip_setsockopt(common(socks, sock)?, net, name, value),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// getsockopt(2) of any level: at most `len` bytes.
pub(crate) fn sock_getsockopt(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    level: i32,
    name: i32,
    len: usize,
) -> Result<Vec<u8>, Errno> {
    let mut value = match level {
        SOL_SOCKET => get_socket_level(net, common(socks, sock)?, name)?,
        SOL_TCP => match socks.tcp_mut(sock.sk) {
            Some(tp) => tcp::tcp_getsockopt(tp, net, name, len)?,
            None => return Err(Errno::ENOPROTOOPT),
        },
        SOL_UDP if !raw::is_raw(socks, sock.sk) => {
            let up = socks.udp(sock.sk).ok_or(Errno::ENOPROTOOPT)?;
            udp_sockopt::udp_getsockopt(up, name)?
        }
        SOL_IPV6 => ipv6_sockglue::ipv6_getsockopt(common(socks, sock)?, net, name)?,
        SOL_IP => ip_sockglue::ip_getsockopt(common(socks, sock)?, net, name)?,
        _ => return Err(Errno::ENOPROTOOPT),
    };
    value.truncate(len);
    Ok(value)
}

fn set_socket_level(
    net: &mut Net,
    sk: &mut SockCommon,
    name: i32,
    value: &[u8],
) -> Result<(), Errno> {
    match name {
        SO_LINGER => return set_linger(net, sk, value),
        SO_RCVTIMEO | SO_SNDTIMEO => {
            let time = timeval_to_jiffies(net, value)?;
            *(if name == SO_RCVTIMEO { &mut sk.sk_rcvtimeo } else { &mut sk.sk_sndtimeo }) = time;
            return Ok(());
        }
        SO_BINDTODEVICE => {
            let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
            let dev = String::from_utf8_lossy(&value[..end]);
            sk.bound_dev_if = match dev.as_ref() {
                "" => 0,
                name => net.devs.by_name(name).ok_or(Errno::ENODEV)?.ifindex(),
            };
            sk.sk_dst = None;
            return Ok(());
        }
        _ => {}
    }
    let v = int_value(value)?;
    let on = v != 0;
    match name {
        SO_REUSEADDR => sk.sk_reuse = on,
        SO_REUSEPORT => sk.sk_reuseport = on,
        SO_TYPE | SO_PROTOCOL | SO_DOMAIN | SO_ERROR => return Err(Errno::ENOPROTOOPT),
        SO_DONTROUTE => {}
        SO_BROADCAST => sk.broadcast = on,
        SO_NO_CHECK => sk.no_check_tx = on,
        SO_SNDBUF => set_sndbuf(sk, i64::from(v).min(net.sysctl.wmem_max)),
        SO_SNDBUFFORCE => set_sndbuf(sk, v.max(0).into()),
        SO_RCVBUF => set_rcvbuf(sk, i64::from(v as u32).min(net.sysctl.rmem_max)),
        SO_RCVBUFFORCE => set_rcvbuf(sk, v.max(0).into()),
        SO_KEEPALIVE => sk.keepopen = on,
        SO_OOBINLINE => sk.oobinline = on,
        SO_PRIORITY => sk.sk_priority = v as u32,
        SO_RCVLOWAT => sk.sk_rcvlowat = if v < 0 { i32::MAX } else { v.max(1) },
        SO_MARK => {
            sk.sk_mark = v as u32;
            sk.sk_dst = None;
        }
        SO_BUSY_POLL => {}
        SO_TIMESTAMP | SO_TIMESTAMPNS | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW => {
            sock_set_timestamp(sk, net, name, on);
        }
        SO_MAX_PACING_RATE => {
            sk.sk_max_pacing_rate = match v as u32 {
                u32::MAX => u64::MAX,
                rate => rate.into(),
            };
            sk.sk_pacing_rate = sk.sk_pacing_rate.min(sk.sk_max_pacing_rate);
            if sk.sk_pacing_status == super::sock::PacingStatus::None && v as u32 != u32::MAX {
                sk.sk_pacing_status = super::sock::PacingStatus::Needed;
            }
        }
        // ENOTSUPP, which user space has no name for.
        SO_ZEROCOPY if !matches!(sk.sk_protocol, IPPROTO_TCP | IPPROTO_UDP) => {
            return Err(Errno::from_raw(524));
        }
        SO_ZEROCOPY if !(0..=1).contains(&v) => return Err(Errno::EINVAL),
        SO_ZEROCOPY => sk.zerocopy = on,
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// The kernel doubles what was asked for, to pay for its own overhead.
fn set_sndbuf(sk: &mut SockCommon, v: i64) {
    let v = v.clamp(0, i64::from(i32::MAX / 2)) as i32;
    sk.sk_userlocks |= SOCK_SNDBUF_LOCK;
    sk.sk_sndbuf = (v * 2).max(SOCK_MIN_SNDBUF);
}

fn set_rcvbuf(sk: &mut SockCommon, v: i64) {
    let v = v.clamp(0, i64::from(i32::MAX / 2)) as i32;
    sk.sk_userlocks |= SOCK_RCVBUF_LOCK;
    sk.sk_rcvbuf = (v * 2).max(SOCK_MIN_RCVBUF);
}

fn set_linger(net: &Net, sk: &mut SockCommon, value: &[u8]) -> Result<(), Errno> {
    let on = int_value(value)?;
    let seconds = int_value(value.get(4..).unwrap_or_default())?;
    sk.linger = (on != 0).then(|| match u64::try_from(seconds) {
        Ok(s) => s * u64::from(net.time.hz()),
        Err(_) => MAX_SCHEDULE_TIMEOUT - 1,
    });
    Ok(())
}

/// A `struct timeval` of two 64-bit fields; zero means for ever.
fn timeval_to_jiffies(net: &Net, value: &[u8]) -> Result<Jiffies, Errno> {
    let field = |at: usize| {
        let bytes = value.get(at..).and_then(|v| v.first_chunk()).ok_or(Errno::EINVAL)?;
        Ok(i64::from_ne_bytes(*bytes))
    };
    let (sec, usec) = (field(0)?, field(8)?);
    if !(0..1_000_000).contains(&usec) {
        return Err(Errno::EDOM);
    }
    if sec < 0 {
        return Ok(0);
    }
    if sec == 0 && usec == 0 {
        return Ok(MAX_SCHEDULE_TIMEOUT);
    }
    let jiffies = (sec as u64).saturating_mul(net.time.hz().into());
    Ok(jiffies.saturating_add(net.time.usecs_to_jiffies(usec as u64)).min(MAX_SCHEDULE_TIMEOUT - 1))
}

fn get_socket_level(net: &Net, sk: &mut SockCommon, name: i32) -> Result<Vec<u8>, Errno> {
    let int = |v: i32| Ok(v.to_ne_bytes().to_vec());
    let timeval = |t: Jiffies| {
        let usec = if t == MAX_SCHEDULE_TIMEOUT { 0 } else { net.time.jiffies_to_usecs(t) };
        let (sec, usec) = ((usec / 1_000_000) as i64, (usec % 1_000_000) as i64);
        Ok([sec.to_ne_bytes(), usec.to_ne_bytes()].concat())
    };
    match name {
        SO_REUSEADDR => int(sk.sk_reuse.into()),
        SO_REUSEPORT => int(sk.sk_reuseport.into()),
        SO_BROADCAST => int(sk.broadcast.into()),
        SO_NO_CHECK => int(sk.no_check_tx.into()),
        SO_KEEPALIVE => int(sk.keepopen.into()),
        SO_OOBINLINE => int(sk.oobinline.into()),
        SO_DONTROUTE | SO_BUSY_POLL => int(0),
        SO_TYPE => int(sk.sk_type),
        SO_PROTOCOL => int(sk.sk_protocol.into()),
        SO_DOMAIN => int(sk.sk_family.into()),
        SO_ERROR => {
            let error = sk.sk_err.take().or_else(|| sk.sk_err_soft.take());
            int(error.map_or(0, Errno::raw))
        }
        SO_SNDBUF => int(sk.sk_sndbuf),
        SO_RCVBUF => int(sk.sk_rcvbuf),
        SO_PRIORITY => int(sk.sk_priority as i32),
        SO_MARK => int(sk.sk_mark as i32),
        SO_RCVLOWAT => int(sk.sk_rcvlowat),
        SO_SNDLOWAT => int(1),
        SO_RCVTIMEO => timeval(sk.sk_rcvtimeo),
        SO_SNDTIMEO => timeval(sk.sk_sndtimeo),
        SO_ACCEPTCONN => int((sk.sk_state == TcpState::Listen).into()),
        SO_ZEROCOPY => int(sk.zerocopy.into()),
        SO_TIMESTAMP | SO_TIMESTAMPNS | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW => {
            int(sock_get_timestamp(sk, name).into())
        }
        // struct so_timestamping: the flags, and the number of a clock.
        SO_TIMESTAMPING => Ok([sk.tstamp.tsflags.to_ne_bytes(), 0u32.to_ne_bytes()].concat()),
        SO_LINGER => {
            let seconds = sk.linger.map_or(0, |t| t / u64::from(net.time.hz())) as i32;
            let on = i32::from(sk.linger.is_some());
            Ok([on.to_ne_bytes(), seconds.to_ne_bytes()].concat())
        }
        SO_MAX_PACING_RATE => {
            let rate = u32::try_from(sk.sk_max_pacing_rate).unwrap_or(u32::MAX);
            Ok(rate.to_ne_bytes().to_vec())
        }
        SO_MEMINFO => Ok(sk_get_meminfo(net, sk).iter().flat_map(|v| v.to_ne_bytes()).collect()),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// `sk_get_meminfo`: the nine `SK_MEMINFO_*` values, in order.
pub(crate) fn sk_get_meminfo(net: &Net, sk: &SockCommon) -> [u32; 9] {
    [
        sk.sk_rmem_alloc as u32,
        sk.sk_rcvbuf as u32,
        net.wmem.get(sk.id),
        sk.sk_sndbuf as u32,
        sk.sk_forward_alloc as u32,
        sk.sk_wmem_queued as u32,
        sk.sk_omem_alloc,
        sk.sk_backlog_len as u32,
        sk.sk_drops,
    ]
}
