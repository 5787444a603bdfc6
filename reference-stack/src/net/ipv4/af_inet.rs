//! The INET family (Linux `af_inet.c`, 5.15): what the socket layer calls, and the table of
//! socket types.

use super::fib_frontend::inet_addr_type;
use super::inet_csk_listen::*;
use super::inet_hashtables::inet_unhash;
use super::ip_sockglue::ip_recv_error;
use super::raw;
use super::route::RtType;
use super::tcp::{
    has_backlog, sk_flush_backlog, tcp_close, tcp_disconnect, tcp_ioctl, tcp_recvmsg, tcp_sendmsg,
    tcp_set_state, tcp_shutdown, tcp_zerocopy_begin,
};
use super::tcp_fastopen::*;
use super::tcp_ipv4::{tcp_v4_connect, tcp_v4_init_sock};
use super::tcp_minisocks::tcp_settle;
use super::tcp_output::tcp_connect;
use super::tcp_sock::*;
use super::udp::{
    udp_close, udp_connect, udp_disconnect, udp_init_sock, udp_inq, udp_recvmsg, udp_sendmsg,
    udp_v4_get_port,
};
use crate::errno::Errno;
use crate::lib::shared::Arc;
use crate::net::Net;
use crate::net::core::sock::{
    RCV_SHUTDOWN, SHUTDOWN_MASK, Sock, SockCommon, SockId, Socks, TcpState,
};
use crate::net::core::zerocopy::{UbufId, msg_zerocopy_put_abort};
use crate::net::ipv6::datagram::ipv6_recv_error;
use crate::net::ipv6::tcp_ipv6::tcp_v6_connect;
use crate::net::ipv6::udp::{ip6_datagram_connect, udpv6_recvmsg, udpv6_sendmsg};
use crate::net::socket::{ProtoOps, Socket, SocketState};
use crate::syscalls::SockAddr;
use crate::uapi::*;
use std::net::Ipv4Addr;

/// `struct inet_protosw`: a type of socket and its protocol.
struct InetProtosw {
    ty: i32,
    protocol: u8,
    ops: ProtoOps,
}

/// `inetsw_array`. Ping sockets are closed to everybody (`ping_group_range` of "1 0"), so they do
/// not stand here; of the raw ones only ICMP's is built.
const INETSW: [InetProtosw; 3] = [
    InetProtosw { ty: SOCK_STREAM, protocol: IPPROTO_TCP, ops: ProtoOps::InetStream },
    InetProtosw { ty: SOCK_DGRAM, protocol: IPPROTO_UDP, ops: ProtoOps::InetDgram },
    InetProtosw { ty: SOCK_RAW, protocol: IPPROTO_ICMP, ops: ProtoOps::InetDgram },
];

/// `IPPROTO_MAX` of 5.15 (MPTCP's number is 262).
const IPPROTO_MAX: i32 = 263;

/// The entry for a type and protocol; IPPROTO_IP takes the type's own.
fn inetsw_lookup(ty: i32, protocol: i32) -> Result<&'static InetProtosw, Errno> {
    let mut err = Errno::ESOCKTNOSUPPORT;
    for answer in INETSW.iter().filter(|a| a.ty == ty) {
        let any = protocol == i32::from(IPPROTO_IP) && ty != SOCK_RAW;
        if protocol == i32::from(answer.protocol) || any {
            return Ok(answer);
        }
        err = Errno::EPROTONOSUPPORT;
    }
    match (ty, protocol) {
        (SOCK_DGRAM, p) if p == i32::from(IPPROTO_ICMP) => Err(Errno::EACCES),
        (SOCK_RAW, _) => Err(Errno::EPROTONOSUPPORT),
        _ => Err(err),
    }
}

/// Makes a socket of this family (`inet_create`).
///
/// # Errors
/// EINVAL, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EACCES.
#[reference_stack_macros::traced]
pub(crate) fn inet_create(
    socks: &mut Socks,
    net: &mut Net,
    mut sock: Socket,
    ty: i32,
    protocol: i32,
) -> Result<Socket, Errno> {
    if !(0..IPPROTO_MAX).contains(&protocol) {
        return Err(Errno::EINVAL);
    }
    sock.state = SocketState::Unconnected;
    let answer = inetsw_lookup(ty, protocol)?;
    sock.ty = ty;
    sock.ops = answer.ops;
    sock.sk = match answer.protocol {
        IPPROTO_TCP => {
            let mut tp = tcp_v4_init_sock(net, SockId::default());
            if net.sysctl.ip_no_pmtu_disc != 0 {
                tp.sk.pmtudisc = IP_PMTUDISC_DONT;
            }
            socks.insert(&net.wmem, |id| {
                tp.sk.id = id;
                Sock::Tcp(Arc::new(tp))
            })
        }
        IPPROTO_ICMP => raw::raw_init_sock(socks, net),
        _ => udp_init_sock(socks, net, AF_INET),
    };
    Ok(sock)
}

pub(crate) fn common(socks: &Socks, id: SockId) -> Option<&SockCommon> {
    match socks.get(id)? {
        Sock::Tcp(tp) => Some(&tp.sk),
        Sock::Udp(up) => Some(&up.sk),
        _ => None,
    }
}

pub(crate) fn common_mut(socks: &mut Socks, id: SockId) -> Option<&mut SockCommon> {
    match socks.get(id)? {
        Sock::Tcp(_) => socks.tcp_mut(id).map(|tp| &mut tp.sk),
        Sock::Udp(_) => socks.udp_mut(id).map(|up| &mut up.sk),
        _ => None,
    }
}

/// bind(2) (`inet_bind`).
///
/// # Errors
/// EAFNOSUPPORT, EADDRNOTAVAIL for an address that is not this host's, EINVAL if the socket has
/// a port, EADDRINUSE.
#[reference_stack_macros::traced]
pub(crate) fn inet_bind(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    addr: SockAddr,
) -> Result<(), Errno> {
    let (addr, port) = match addr {
        SockAddr::In { addr, port } => (addr, port),
        // An old habit: a zeroed address means any.
        SockAddr::Unspec => (Ipv4Addr::UNSPECIFIED, 0),
        SockAddr::In6 { .. } | SockAddr::Other(_) => return Err(Errno::EAFNOSUPPORT),
    };
    __inet_bind(socks, net, sock.sk, addr, port)
}

/// Takes address and port (`__inet_bind`). Every task has CAP_NET_BIND_SERVICE.
#[reference_stack_macros::traced]
fn __inet_bind(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    addr: Ipv4Addr,
    port: u16,
) -> Result<(), Errno> {
    let ty = inet_addr_type(net, addr);
    let to_many = matches!(ty, RtType::Multicast | RtType::Broadcast);
    let sk = common_mut(socks, id).ok_or(Errno::EINVAL)?;
    let foreign = !addr.is_unspecified() && ty != RtType::Local && !to_many;
    if foreign && !sk.freebind && net.sysctl.ip_nonlocal_bind == 0 {
        return Err(Errno::EADDRNOTAVAIL);
    }
    if sk.sk_state != TcpState::Close || sk.inet_num != 0 {
        return Err(Errno::EINVAL);
    }
    sk.inet_rcv_saddr = addr;
    // Multicast and broadcast are for receiving; sending takes the route's choice.
    sk.inet_saddr = if to_many { Ipv4Addr::UNSPECIFIED } else { addr };
    if let Err(e) = get_port(socks, net, id, port) {
        if let Some(sk) = common_mut(socks, id) {
            sk.inet_saddr = Ipv4Addr::UNSPECIFIED;
            sk.inet_rcv_saddr = Ipv4Addr::UNSPECIFIED;
        }
        return Err(e);
    }
    let sk = common_mut(socks, id).ok_or(Errno::EINVAL)?;
    sk.bindaddr_lock |= !addr.is_unspecified();
    sk.bindport_lock |= port != 0;
    sk.inet_daddr = Ipv4Addr::UNSPECIFIED;
    sk.inet_dport = 0;
    sk.sk_dst = None;
    Ok(())
}

/// `sk_prot->get_port`.
pub(crate) fn get_port(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    port: u16,
) -> Result<(), Errno> {
    match socks.get(id) {
        Some(Sock::Tcp(_)) => inet_csk_get_port(socks, net, id, port),
        Some(Sock::Udp(_)) => udp_v4_get_port(socks, net, id, port),
        _ => Err(Errno::EINVAL),
    }
}

/// listen(2) (`inet_listen`); `backlog` is cut to `somaxconn` already.
///
/// # Errors
/// EOPNOTSUPP for datagrams, EINVAL in a state that cannot listen, EADDRINUSE.
#[reference_stack_macros::traced]
pub(crate) fn inet_listen(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    backlog: u32,
) -> Result<(), Errno> {
    if !sock.ops.is_stream() {
        return Err(Errno::EOPNOTSUPP);
    }
    if sock.state != SocketState::Unconnected || sock.ty != SOCK_STREAM {
        return Err(Errno::EINVAL);
    }
    let tp = socks.tcp_mut(sock.sk).ok_or(Errno::EINVAL)?;
    let old_state = tp.sk.sk_state;
    if !matches!(old_state, TcpState::Close | TcpState::Listen) {
        return Err(Errno::EINVAL);
    }
    tp.sk.sk_max_ack_backlog = backlog;
    let without_sockopt = TFO_SERVER_WO_SOCKOPT1 | TFO_SERVER_ENABLE;
    if old_state != TcpState::Listen
        && net.sysctl.tcp_fastopen & without_sockopt == without_sockopt
        && fastopen_max_qlen(tp) == 0
    {
        fastopen_queue_tune(tp, net, backlog);
        tcp_fastopen_init_key_once(net);
    }
    if old_state != TcpState::Listen {
        inet_csk_listen_start(socks, net, sock.sk)?;
    }
    Ok(())
}

/// connect(2) on a stream (`inet_stream_connect`); a call that waited comes again.
///
/// # Errors
/// EISCONN, EALREADY, EINPROGRESS (non-blocking), what opening gave, or how the connection ended.
#[reference_stack_macros::traced]
pub(crate) fn inet_stream_connect(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    addr: SockAddr,
    nonblock: bool,
) -> IoResult<()> {
    __inet_stream_connect(socks, net, sock, Some(addr), nonblock, false)
}

#[reference_stack_macros::traced]
fn __inet_stream_connect(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    addr: Option<SockAddr>,
    nonblock: bool,
    is_sendmsg: bool,
) -> IoResult<()> {
    let id = sock.sk;
    if addr == Some(SockAddr::Unspec) {
        let done = disconnect(socks, net, id);
        sock.state =
            if done.is_ok() { SocketState::Unconnected } else { SocketState::Disconnecting };
        return done.map(Progress::Done);
    }
    let defer = socks.tcp(id).is_some_and(|tp| tp.fastopen.defer_connect);
    let pending = match sock.state {
        SocketState::Disconnecting => return Err(Errno::EINVAL),
        SocketState::Connected => return Err(Errno::EISCONN),
        SocketState::Connecting if defer && is_sendmsg => Errno::EINPROGRESS,
        SocketState::Connecting if defer => Errno::EISCONN,
        SocketState::Connecting => Errno::EALREADY,
        SocketState::Unconnected => {
            let tp = socks.tcp(id).ok_or(Errno::EINVAL)?;
            if tp.sk.sk_state != TcpState::Close {
                return Err(Errno::EISCONN);
            }
            tcp_proto_connect(socks, net, id, addr.ok_or(Errno::EINVAL)?)?;
            sock.state = SocketState::Connecting;
            if socks.tcp(id).is_some_and(|tp| tp.fastopen.defer_connect) {
                return Ok(Progress::Done(()));
            }
            Errno::EINPROGRESS
        }
    };
    let tp = socks.tcp_mut(id).ok_or(Errno::EINVAL)?;
    match tp.sk.sk_state {
        TcpState::SynSent | TcpState::SynRecv if nonblock => Err(pending),
        TcpState::SynSent | TcpState::SynRecv => {
            // Data that waits behind a SYN lets the third ACK wait for it.
            let waits = tp.fastopen.fastopen_req.as_ref().is_some_and(|r| r.copied < r.data.len());
            tp.sk.sk_write_pending = waits.into();
            Ok(Progress::Wait)
        }
        TcpState::Close => {
            let err = tp.sk.sock_error().err().unwrap_or(Errno::ECONNABORTED);
            sock.state = SocketState::Unconnected;
            if disconnect(socks, net, id).is_err() {
                sock.state = SocketState::Disconnecting;
            }
            Err(err)
        }
        _ => {
            sock.state = SocketState::Connected;
            Ok(Progress::Done(()))
        }
    }
}

/// `sk->sk_prot->connect` of a stream.
fn tcp_proto_connect(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    addr: SockAddr,
) -> Result<(), Errno> {
    let inet6 = socks.tcp(id).ok_or(Errno::EINVAL)?.sk.pinet6.is_some();
    match addr {
        _ if inet6 => tcp_v6_connect(socks, net, id, addr),
        SockAddr::In { addr, port } => tcp_v4_connect(socks, net, id, addr, port),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// `tcp_disconnect` with the tables brought up to date.
fn disconnect(socks: &mut Socks, net: &mut Net, id: SockId) -> Result<(), Errno> {
    let tp = socks.tcp(id).ok_or(Errno::EINVAL)?;
    let listening = tp.sk.sk_state == TcpState::Listen;
    inet_unhash(socks, id);
    if listening {
        inet_csk_listen_stop(socks, net, id);
    }
    let tp = socks.tcp_mut(id).ok_or(Errno::EINVAL)?;
    tcp_disconnect(tp, net)?;
    tcp_settle(socks, net, id);
    Ok(())
}

/// connect(2) on a datagram socket (`inet_dgram_connect`).
///
/// # Errors
/// EAFNOSUPPORT, EAGAIN without a free port, what the route says.
pub(crate) fn inet_dgram_connect(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    addr: SockAddr,
) -> Result<(), Errno> {
    let inet6 = common(socks, sock.sk).ok_or(Errno::EINVAL)?.pinet6.is_some();
    match addr {
        SockAddr::In { .. } | SockAddr::In6 { .. } if inet6 => {
            inet_autobind(socks, net, sock.sk)?;
            let up = socks.udp_mut(sock.sk).ok_or(Errno::EINVAL)?;
            ip6_datagram_connect(up, net, addr)
        }
        SockAddr::In { addr, port } => {
            inet_autobind(socks, net, sock.sk)?;
            let up = socks.udp_mut(sock.sk).ok_or(Errno::EINVAL)?;
            udp_connect(up, net, addr, port)
        }
        SockAddr::Unspec => {
            let up = socks.udp_mut(sock.sk).ok_or(Errno::EINVAL)?;
            udp_disconnect(up);
            if !up.sk.bindport_lock {
                super::udp::udp_lib_unhash(socks, sock.sk);
            }
            Ok(())
        }
        SockAddr::In6 { .. } | SockAddr::Other(_) => Err(Errno::EAFNOSUPPORT),
    }
}

/// Gives a socket without a port one (`inet_autobind`).
pub(crate) fn inet_autobind(socks: &mut Socks, net: &mut Net, id: SockId) -> Result<(), Errno> {
    if common(socks, id).is_some_and(|sk| sk.inet_num == 0) {
        get_port(socks, net, id, 0).map_err(|_| Errno::EAGAIN)?;
    }
    Ok(())
}

/// accept(2) (`inet_accept`): the user's end of a connection.
///
/// # Errors
/// EOPNOTSUPP for datagrams, EINVAL if it does not listen, EAGAIN.
#[reference_stack_macros::traced]
pub(crate) fn inet_accept(
    socks: &mut Socks,
    _net: &mut Net,
    sock: &mut Socket,
    nonblock: bool,
) -> IoResult<Socket> {
    if !sock.ops.is_stream() {
        return Err(Errno::EOPNOTSUPP);
    }
    let Progress::Done(sk) = inet_csk_accept(socks, sock.sk, nonblock)? else {
        return Ok(Progress::Wait);
    };
    Ok(Progress::Done(Socket { state: SocketState::Connected, sk, ..*sock }))
}

/// shutdown(2) (`inet_shutdown`); `how` is SHUT_*.
///
/// # Errors
/// EINVAL, ENOTCONN.
pub(crate) fn inet_shutdown(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    how: i32,
) -> Result<(), Errno> {
    if !(SHUT_RD..=SHUT_RDWR).contains(&how) {
        return Err(Errno::EINVAL);
    }
    // RCV_SHUTDOWN and SEND_SHUTDOWN as bits.
    let how = (how + 1) as u8 & SHUTDOWN_MASK;
    let id = sock.sk;
    let state = common(socks, id).ok_or(Errno::EINVAL)?.sk_state;
    if sock.state == SocketState::Connecting {
        sock.state = match state {
            TcpState::SynSent | TcpState::SynRecv | TcpState::Close => SocketState::Disconnecting,
            _ => SocketState::Connected,
        };
    }
    let mut result = Ok(());
    match state {
        TcpState::Listen if how & RCV_SHUTDOWN == 0 => {}
        TcpState::Listen | TcpState::SynSent => {
            result = disconnect(socks, net, id);
            sock.state =
                if result.is_ok() { SocketState::Unconnected } else { SocketState::Disconnecting };
        }
        _ => {
            if state == TcpState::Close {
                result = Err(Errno::ENOTCONN);
            }
            if let Some(sk) = common_mut(socks, id) {
                sk.sk_shutdown |= how;
            }
            if let Some(tp) = socks.tcp_mut(id) {
                tcp_shutdown(tp, net, i32::from(how));
            }
        }
    }
    // Whoever sleeps on it has something to see.
    net.wake_up(id);
    result
}

/// The last close(2) (`inet_release`): the socket is the protocol's from now on.
///
/// # Errors
/// None today; the socket layer hands on what comes.
pub(crate) fn inet_release(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
) -> Result<(), Errno> {
    match socks.get(sock.sk) {
        Some(Sock::Tcp(_)) => tcp_close(socks, net, sock.sk),
        Some(Sock::Udp(_)) => udp_close(socks, net, sock.sk),
        _ => {}
    }
    Ok(())
}

/// getsockname(2) (`peer` 0), getpeername(2) (1), and the name that accept(2) gives (2), which a
/// connection has even if it is over (`inet_getname`).
///
/// # Errors
/// ENOTCONN without a peer.
pub(crate) fn inet_getname(
    socks: &Socks,
    _net: &Net,
    sock: &Socket,
    peer: u8,
) -> Result<SockAddr, Errno> {
    let sk = common(socks, sock.sk).ok_or(Errno::EINVAL)?;
    if peer == 0 {
        let bound = sk.inet_rcv_saddr;
        let addr = if bound.is_unspecified() { sk.inet_saddr } else { bound };
        return Ok(SockAddr::In { addr, port: sk.inet_num });
    }
    let no_peer =
        sk.sk_protocol == IPPROTO_TCP && matches!(sk.sk_state, TcpState::Close | TcpState::SynSent);
    if sk.inet_dport == 0 || (no_peer && peer == 1) {
        return Err(Errno::ENOTCONN);
    }
    Ok(SockAddr::In { addr: sk.inet_daddr, port: sk.inet_dport })
}

/// send(2) and its kin (`inet_sendmsg`).
///
/// # Errors
/// The protocol's.
#[reference_stack_macros::traced]
pub(crate) fn inet_sendmsg(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    msg: &mut SendMsg,
) -> IoResult<usize> {
    match socks.get(sock.sk) {
        Some(Sock::Tcp(_)) => {
            let tp = socks.tcp_mut(sock.sk).ok_or(Errno::EINVAL)?;
            tcp_zerocopy_begin(tp, net, msg)?;
            let sent = stream_sendmsg(socks, net, sock, msg);
            if sent != Ok(Progress::Wait) {
                zerocopy_end(socks, net, sock.sk, msg.uarg.take(), sent.is_err());
            }
            sent
        }
        _ => {
            inet_autobind(socks, net, sock.sk)?;
            let raw = raw::is_raw(socks, sock.sk);
            let up = socks.udp_mut(sock.sk).ok_or(Errno::EINVAL)?;
            match () {
                () if raw => raw::raw_sendmsg(up, net, msg),
                () if up.sk.pinet6.is_some() => udpv6_sendmsg(up, net, msg),
                () => udp_sendmsg(up, net, msg),
            }
        }
    }
}

/// A send on a stream, which may open it first, and which looks into the backlog before it waits.
fn stream_sendmsg(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    msg: &mut SendMsg,
) -> IoResult<usize> {
    loop {
        let tp = socks.tcp(sock.sk).ok_or(Errno::EINVAL)?;
        let opens = msg.flags & MSG_FASTOPEN != 0 || tp.fastopen.defer_connect;
        let started = msg.fastopen == FastopenSend::Connecting;
        if (opens || started)
            && msg.fastopen != FastopenSend::Connected
            && let Some(end) = tcp_sendmsg_fastopen(socks, net, sock, msg).transpose()
        {
            return end;
        }
        let tp = socks.tcp_mut(sock.sk).ok_or(Errno::EINVAL)?;
        let sent = tcp_sendmsg(tp, net, msg)?;
        if sent == Progress::Wait && has_backlog(socks, sock.sk) {
            sk_flush_backlog(socks, net, sock.sk);
            continue;
        }
        return Ok(sent);
    }
}

/// A call with MSG_ZEROCOPY is over and refers to its pages no more. `failed`: it took nothing.
pub(crate) fn zerocopy_end(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    uarg: Option<UbufId>,
    failed: bool,
) {
    match (uarg, common_mut(socks, id)) {
        (Some(uarg), Some(sk)) if failed => msg_zerocopy_put_abort(sk, net, uarg),
        _ => net.skbs.ubufs.net_zcopy_put(uarg, true),
    }
}

/// A send that opens the connection (`tcp_sendmsg_fastopen`): with MSG_FASTOPEN, or the first one
/// after a deferred connect(). `None`: connected, the rest goes as usual.
///
/// # Errors
/// EOPNOTSUPP if the sysctl does not allow it, EALREADY if one is under way, EINPROGRESS if
/// nothing went with the SYN and the caller does not wait, and connect()'s.
fn tcp_sendmsg_fastopen(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    msg: &mut SendMsg,
) -> Result<Option<Progress<usize>>, Errno> {
    if msg.fastopen == FastopenSend::Start {
        begin_fastopen(socks, net, sock, msg)?;
    }
    let addr = msg.addr.map(SockAddr::from);
    let again = msg.fastopen == FastopenSend::Connecting;
    msg.fastopen = FastopenSend::Connecting;
    let connected = match __inet_stream_connect(socks, net, sock, addr, msg.nonblock, true) {
        // The connection that this call began is still under way.
        Err(Errno::EALREADY) if again => Err(Errno::EINPROGRESS),
        other => other,
    };
    if connected == Ok(Progress::Wait) {
        return Ok(Some(Progress::Wait));
    }
    if let Some(tp) = socks.tcp_mut(sock.sk) {
        tp.sk.sk_write_pending = 0;
        if let Some(req) = tp.fastopen.fastopen_req.take() {
            msg.copied_syn = req.copied;
            tp.fastopen.defer_connect = false;
        }
    }
    msg.fastopen = FastopenSend::Connected;
    match connected {
        Err(Errno::EINPROGRESS) if msg.copied_syn > 0 => Ok(Some(Progress::Done(msg.copied_syn))),
        Err(e) => Err(e),
        Ok(_) => Ok(None),
    }
}

/// Notes what the SYN is to carry, and sends the one that connect() deferred.
fn begin_fastopen(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    msg: &SendMsg,
) -> Result<(), Errno> {
    let tp = socks.tcp_mut(sock.sk).ok_or(Errno::EINVAL)?;
    if net.sysctl.tcp_fastopen & TFO_CLIENT_ENABLE == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if tp.fastopen.fastopen_req.is_some() {
        return Err(Errno::EALREADY);
    }
    let request = TcpFastopenRequest {
        cookie: Some(TcpFastopenCookie::default()),
        data: msg.data.clone(),
        fault: msg.fault,
        copied: 0,
        uarg: msg.uarg,
    };
    tp.fastopen.fastopen_req = Some(Box::new(request));
    if tp.fastopen.defer_connect && tcp_connect(tp, net).is_err() {
        tcp_set_state(tp, net, TcpState::Close);
        tp.sk.inet_dport = 0;
    }
    Ok(())
}

/// recv(2) and its kin (`inet_recvmsg`).
///
/// # Errors
/// The protocol's.
#[reference_stack_macros::traced]
pub(crate) fn inet_recvmsg(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    msg: &mut RecvMsg,
) -> IoResult<usize> {
    if msg.flags & MSG_ERRQUEUE != 0 {
        let sk = common_mut(socks, sock.sk).ok_or(Errno::EINVAL)?;
        return inet_recv_error(sk, net, msg).map(Progress::Done);
    }
    match socks.get(sock.sk) {
        Some(Sock::Tcp(_)) => loop {
            let tp = socks.tcp_mut(sock.sk).ok_or(Errno::EINVAL)?;
            let read = tcp_recvmsg(tp, net, msg)?;
            if read == Progress::Wait && has_backlog(socks, sock.sk) {
                sk_flush_backlog(socks, net, sock.sk);
                continue;
            }
            return Ok(read);
        },
        _ => {
            let raw = raw::is_raw(socks, sock.sk);
            let up = socks.udp_mut(sock.sk).ok_or(Errno::EINVAL)?;
            match () {
                () if raw => raw::raw_recvmsg(up, net, msg),
                () if up.sk.pinet6.is_some() => udpv6_recvmsg(up, net, msg),
                () => udp_recvmsg(up, net, msg),
            }
        }
    }
}

/// Reads the error queue, which never waits (`inet_recv_error`).
///
/// # Errors
/// EAGAIN: it is empty.
fn inet_recv_error(sk: &mut SockCommon, net: &mut Net, msg: &mut RecvMsg) -> Result<usize, Errno> {
    match sk.pinet6 {
        Some(_) => ipv6_recv_error(sk, net, msg),
        None => ip_recv_error(sk, net, msg),
    }
}

/// ioctl(2) of the queues' lengths (`inet_ioctl`).
///
/// # Errors
/// ENOTTY for any other request, EINVAL on a listener.
pub(crate) fn inet_ioctl(
    socks: &mut Socks,
    net: &mut Net,
    sock: &mut Socket,
    request: u32,
) -> Result<i64, Errno> {
    match socks.get(sock.sk) {
        Some(Sock::Tcp(_)) => {
            let tp = socks.tcp_mut(sock.sk).ok_or(Errno::EINVAL)?;
            tcp_ioctl(tp, net, request)
        }
        Some(Sock::Udp(up)) => match request {
            SIOCINQ => Ok(udp_inq(up) as i64),
            SIOCOUTQ => Ok(i64::from(net.wmem.get(sock.sk))),
            _ => Err(Errno::ENOTTY),
        },
        _ => Err(Errno::EINVAL),
    }
}

/// poll(2)'s mask (`inet_stream_ops.poll`, `udp_poll`).
pub(crate) fn inet_poll(socks: &mut Socks, net: &mut Net, sock: &Socket) -> i16 {
    match socks.get(sock.sk) {
        Some(Sock::Tcp(_)) => socks.tcp_mut(sock.sk).map_or(0, |tp| super::tcp::tcp_poll(tp, net)),
        Some(Sock::Udp(up)) => super::udp::udp_poll(up, net),
        _ => 0,
    }
}
