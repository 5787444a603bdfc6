//! TCP over IPv6 (Linux `tcp_ipv6.c`, 5.15).

use super::AfOps;
use super::addr::{is_linklocal, v4mapped};
use crate::errno::Errno;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::core::sock::{SockId, Socks};
use crate::net::ipv4::tcp_ipv4::tcp_v4_connect;
use crate::syscalls::SockAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The loopback address that connecting to "any" means (BSD'ism), of the family that the socket
/// is bound to.
pub(super) fn any_is_loopback(addr: Ipv6Addr, bound: Ipv6Addr) -> Ipv6Addr {
    match (addr.is_unspecified(), v4mapped(bound)) {
        (true, Some(_)) => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        (true, None) => Ipv6Addr::LOCALHOST,
        (false, _) => addr,
    }
}

/// Opens a connection of an AF_INET6 socket (`tcp_v6_connect`), over IPv4 for a mapped address.
///
/// # Errors
/// EINVAL for a shorter address or one without the scope that it needs, EAFNOSUPPORT,
/// ENETUNREACH, and what opening says.
pub(crate) fn tcp_v6_connect(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    addr: SockAddr,
) -> Result<(), Errno> {
    let (addr, port, scope_id) = match addr {
        SockAddr::In6 { addr, port, scope_id, .. } => (addr, port, scope_id),
        SockAddr::In { .. } | SockAddr::Unspec => return Err(Errno::EINVAL),
        SockAddr::Other(_) => return Err(Errno::EAFNOSUPPORT),
    };
    let tp = socks.tcp_mut(id).ok_or(Errno::EINVAL)?;
    let np = tp.sk.pinet6.as_mut().ok_or(Errno::EINVAL)?;
    let daddr = any_is_loopback(addr, np.sk_v6_rcv_saddr);
    if daddr.is_multicast() {
        return Err(Errno::ENETUNREACH);
    }
    if is_linklocal(daddr) {
        if scope_id != 0 {
            if tp.sk.bound_dev_if != 0 && tp.sk.bound_dev_if != scope_id {
                return Err(Errno::EINVAL);
            }
            tp.sk.bound_dev_if = scope_id;
        }
        if tp.sk.bound_dev_if == 0 {
            return Err(Errno::EINVAL);
        }
    }
    if tp.rx_opt.ts_recent_stamp != 0 && np.sk_v6_daddr != daddr {
        tp.rx_opt.ts_recent = 0;
        tp.rx_opt.ts_recent_stamp = 0;
        tp.write_seq = SeqNum(0);
    }
    np.sk_v6_daddr = daddr;
    let Some(v4) = v4mapped(daddr) else { return Err(Errno::ENETUNREACH) };
    if np.ipv6only {
        return Err(Errno::ENETUNREACH);
    }
    np.icsk_af_ops = AfOps::Mapped;
    tcp_v4_connect(socks, net, id, v4, port).inspect_err(|_| {
        if let Some(np) = socks.tcp_mut(id).and_then(|tp| tp.sk.pinet6.as_mut()) {
            np.icsk_af_ops = AfOps::Specific;
        }
    })
}
