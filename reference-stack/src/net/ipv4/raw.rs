//! Raw sockets for ICMP (Linux `raw.c`), as ping(8) uses them: messages go out under this
//! host's IP header, and every ICMP message for this host that the filter passes is given with
//! its IP header. Other protocols, IP_HDRINCL and bind(2) are not built.

use super::icmp::IcmpErr;
use super::ip_input::ip_hdr;
use super::ip_output::{IP_HLEN, ip_send_skb};
use super::ip_sockglue::{ip_cmsg_recv, ip_cmsg_send, ip_icmp_error};
use super::route::{Flow4, RtType, ip_route_output_flow};
use super::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use super::udp::UdpSock;
use crate::errno::Errno;
use crate::lib::shared::Arc;
use crate::net::Net;
use crate::net::core::skbuff::{DropReason, SKB_HEADROOM, Skb, kfree_skb, skb_data_align};
use crate::net::core::sock::{RCV_SHUTDOWN, Sock, SockCommon, SockId, Socks, TcpState};
use crate::net::core::timestamping::{datagram_tstamp, sock_recv_timestamp};
use crate::uapi::{AF_INET, ICMP_FILTER, IPPROTO_ICMP, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_RAW};
use hw_model::Frag;
use std::net::{Ipv4Addr, SocketAddr};

/// A fresh raw socket for ICMP (`raw_sk_init`). Its "port" is the protocol, so that it is never
/// given one.
pub(crate) fn raw_init_sock(socks: &mut Socks, net: &mut Net) -> SockId {
    let bufs = (net.sysctl.rmem_default as i32, net.sysctl.wmem_default as i32);
    let id = socks.insert(&net.wmem, |id| {
        let mut sk = SockCommon::new(id, AF_INET, SOCK_RAW, IPPROTO_ICMP, bufs);
        sk.inet_num = IPPROTO_ICMP.into();
        Sock::Udp(Arc::new(UdpSock::new(sk)))
    });
    socks.raw.push(id);
    id
}

/// Whether a socket is a raw one.
pub(crate) fn is_raw(socks: &Socks, id: SockId) -> bool {
    socks.raw.contains(&id)
}

/// setsockopt(2) at SOL_RAW (`raw_setsockopt`): a set bit of ICMP_FILTER keeps a type away.
///
/// # Errors
/// ENOPROTOOPT, EINVAL for less than four bytes.
pub(crate) fn raw_setsockopt(up: &mut UdpSock, name: i32, value: &[u8]) -> Result<(), Errno> {
    if name != ICMP_FILTER {
        return Err(Errno::ENOPROTOOPT);
    }
    up.icmp_filter = u32::from_le_bytes(*value.first_chunk().ok_or(Errno::EINVAL)?);
    Ok(())
}

/// Sends one message (`raw_sendmsg`).
///
/// # Errors
/// EMSGSIZE, EOPNOTSUPP, EDESTADDRREQ, EACCES, the socket's error, what routing says.
pub(crate) fn raw_sendmsg(up: &mut UdpSock, net: &mut Net, msg: &mut SendMsg) -> IoResult<usize> {
    let len = msg.data.len();
    if len + IP_HLEN > 0xffff {
        return Err(Errno::EMSGSIZE);
    }
    if msg.flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    up.sk.sock_error()?;
    let daddr = match msg.addr {
        Some(SocketAddr::V4(addr)) => *addr.ip(),
        Some(SocketAddr::V6(_)) => return Err(Errno::EAFNOSUPPORT),
        None if up.sk.sk_state != TcpState::Established => return Err(Errno::EDESTADDRREQ),
        None => up.sk.inet_daddr,
    };
    let ipc = ip_cmsg_send(&up.sk, &msg.control)?;
    if net.wmem.get(up.sk.id) >= up.sk.sk_sndbuf as u32 {
        if msg.nonblock {
            return Err(Errno::EAGAIN);
        }
        net.wmem.throttled.push(up.sk.id);
        return Ok(Progress::Wait);
    }
    let mut fl = Flow4 {
        saddr: ipc.addr,
        daddr,
        oif: ipc.oif,
        tos: ipc.tos.unwrap_or(up.sk.tos),
        proto: IPPROTO_ICMP,
        sport: 0,
        dport: 0,
        mark: ipc.sockc.mark,
    };
    let dst = ip_route_output_flow(net, &mut fl)?;
    if dst.rt_type == RtType::Broadcast && !up.sk.broadcast {
        return Err(Errno::EACCES);
    }
    let mut skb = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    skb.add_frag(Frag::new(msg.data.clone()));
    skb.reset_transport_header();
    skb.truesize = net.profile.skb_truesize(skb_data_align(len + IP_HLEN + 16 + 15) as u32);
    skb.owner = Some(up.sk.id);
    net.wmem.charge(up.sk.id, skb.truesize);
    skb.tx_tstamp = datagram_tstamp(&mut up.sk, ipc.sockc.tsflags);
    ip_send_skb(net, &mut up.sk, skb, &dst, fl.saddr, fl.daddr, &ipc)?;
    Ok(Progress::Done(len))
}

/// Gives every raw socket that wants it a copy of an ICMP message, before ICMP itself sees it
/// (`raw_local_deliver`, `raw_v4_input`). The packet's data starts at its ICMP header.
pub(crate) fn raw_local_deliver(socks: &mut Socks, net: &mut Net, skb: &Skb) {
    let Some(iph) = ip_hdr(skb) else { return };
    let icmp_type = skb.slices().find_map(|s| s.first().copied());
    let ifindex = skb.dev.map_or(0, |d| d.ifindex());
    for id in socks.raw.clone() {
        let Some(up) = socks.udp_mut(id) else { continue };
        let fits = |bound: Ipv4Addr, addr: Ipv4Addr| bound.is_unspecified() || bound == addr;
        let filtered = match icmp_type {
            Some(t) => t < 32 && up.icmp_filter >> t & 1 != 0,
            None => true,
        };
        if filtered
            || !fits(up.sk.inet_daddr, iph.saddr)
            || !fits(up.sk.inet_rcv_saddr, iph.daddr)
            || (up.sk.bound_dev_if != 0 && up.sk.bound_dev_if != ifindex)
        {
            continue;
        }
        let copy = skb.copy(&mut net.skbs);
        let size = copy.truesize as i32;
        if up.sk.sk_rmem_alloc > up.sk.sk_rcvbuf || up.sk.sk_rmem_alloc > i32::MAX - size {
            up.sk.sk_drops += 1;
            kfree_skb(net, copy, DropReason::SocketRcvbuff);
            continue;
        }
        up.sk.sk_rmem_alloc += size;
        up.sk.sk_receive_queue.push_back(copy);
        net.sk_data_ready(id);
    }
}

/// An ICMP error about a message that was sent, for every socket that may have sent it
/// (`raw_icmp_error`, `raw_err`).
pub(crate) fn raw_err(socks: &mut Socks, net: &mut Net, err: &IcmpErr) {
    for id in socks.raw.clone() {
        let Some(up) = socks.udp_mut(id) else { continue };
        let sk = &mut up.sk;
        let fits = |bound: Ipv4Addr, addr: Ipv4Addr| bound.is_unspecified() || bound == addr;
        let sent_it = fits(sk.inet_daddr, err.daddr) && fits(sk.inet_rcv_saddr, err.saddr);
        let Some((errno, hard)) = err.error(sk.pmtudisc).filter(|_| sent_it) else { continue };
        // Without IP_RECVERR only a connected socket hears of it.
        if !sk.recverr && sk.sk_state != TcpState::Established {
            continue;
        }
        if sk.recverr {
            ip_icmp_error(sk, net, err, errno, 0);
        }
        if sk.recverr || hard {
            sk.sk_err = Some(errno);
            net.sk_error_report(id);
        }
    }
}

/// Takes one message from the queue, with its IP header (`raw_recvmsg`).
///
/// # Errors
/// The socket's error, EAGAIN.
pub(crate) fn raw_recvmsg(up: &mut UdpSock, net: &mut Net, msg: &mut RecvMsg) -> IoResult<usize> {
    let Some(skb) = up.sk.sk_receive_queue.front() else {
        up.sk.sock_error()?;
        return match () {
            () if up.sk.sk_shutdown & RCV_SHUTDOWN != 0 => Ok(Progress::Done(0)),
            () if msg.nonblock => Err(Errno::EAGAIN),
            () => Ok(Progress::Wait),
        };
    };
    let iph = ip_hdr(skb);
    let ihl = iph.map_or(IP_HLEN, |h| h.ihl);
    let header = skb.head_at(skb.network_header);
    let mut whole: Vec<u8> = header.iter().copied().take(ihl).collect();
    whole.extend(skb.slices().flatten());
    let len = whole.len();
    whole.truncate(msg.len);
    if whole.len() < len {
        msg.msg_flags |= MSG_TRUNC;
    }
    let copied = whole.len();
    msg.buf = whole;
    msg.addr = iph.map(|h| (h.saddr, 0).into());
    let tstamp = skb.tstamp;
    sock_recv_timestamp(&up.sk, net, msg, tstamp);
    ip_cmsg_recv(&up.sk, net, skb, msg);
    if msg.flags & MSG_PEEK == 0
        && let Some(skb) = up.sk.sk_receive_queue.pop_front()
    {
        up.sk.sk_rmem_alloc -= skb.truesize as i32;
        kfree_skb(net, skb, DropReason::Consumed);
    }
    Ok(Progress::Done(if msg.flags & MSG_TRUNC != 0 { len } else { copied }))
}
