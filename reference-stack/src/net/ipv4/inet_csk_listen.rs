//! Ports, listening, accepting and ending (the other half of Linux `inet_connection_sock.c`,
//! 5.15): what needs the table of all sockets.

use super::inet_connection_sock::*;
use super::inet_hashtables::*;
use super::mib::{Tcp, TcpExt};
use super::tcp::{tcp_disconnect, tcp_set_state, tcp_write_queue_purge};
use super::tcp_fastopen::{
    tcp_fastopen_active_disable_ofo_check, tcp_fastopen_forget_listener, tcp_passive_fastopen,
};
use super::tcp_input::purge_charged;
use super::tcp_ipv4::tcp_v4_send_synack;
use super::tcp_sock::*;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::errqueue::error_queue_purge;
use crate::net::core::sock::{Sock, SockCommon, SockId, Socks, TcpState};
use crate::net::core::stream::sk_mem_reclaim_final;
use crate::net::ipv6::addr::RcvSaddr;
use crate::time::{Jiffies, TimerId};

/// What matters of a socket for a conflict of ports.
#[derive(Clone, Copy)]
struct BindView {
    addr: RcvSaddr,
    dev: u32,
    reuse: bool,
    reuseport: bool,
    listening: bool,
}

impl BindView {
    fn of(sk: &SockCommon) -> Self {
        Self {
            addr: RcvSaddr::of(sk),
            dev: sk.bound_dev_if,
            reuse: sk.sk_reuse,
            reuseport: sk.sk_reuseport,
            listening: sk.sk_state == TcpState::Listen,
        }
    }

    fn of_sock(sock: &Sock) -> Option<Self> {
        match sock {
            Sock::Tcp(tp) => Some(Self::of(&tp.sk)),
            Sock::Tw(tw) => Some(Self {
                addr: RcvSaddr::of_tw(tw),
                dev: tw.tw_bound_dev_if,
                reuse: tw.tw_reuse,
                reuseport: false,
                listening: false,
            }),
            _ => None,
        }
    }

    /// `inet_bind_conflict`: both want SO_REUSEADDR and the other does not listen, or both
    /// SO_REUSEPORT, or addresses or devices keep them apart. `relax`: sharing is allowed.
    fn conflicts(&self, other: &Self, relax: bool, reuseport_ok: bool) -> bool {
        if self.dev != 0 && other.dev != 0 && self.dev != other.dev {
            return false;
        }
        let shared = if self.reuse && other.reuse && !other.listening {
            relax && (reuseport_ok || !(self.reuseport && other.reuseport))
        } else {
            reuseport_ok && self.reuseport && other.reuseport
        };
        !shared && self.addr.overlaps(&other.addr)
    }
}

/// `inet_csk_bind_conflict`: whether an owner of the port stands in the way.
fn inet_csk_bind_conflict(
    socks: &Socks,
    id: SockId,
    port: u16,
    relax: bool,
    reuseport_ok: bool,
) -> bool {
    let Some(mine) = socks.tcp(id).map(|tp| BindView::of(&tp.sk)) else { return true };
    let Some(owners) = socks.tcp.bhash.get(&port) else { return false };
    owners
        .iter()
        .filter(|&&owner| owner != id)
        .filter_map(|&owner| socks.get(owner).and_then(BindView::of_sock))
        .any(|other| mine.conflicts(&other, relax, reuseport_ok))
}

/// A free port for bind(0) (`inet_csk_find_open_port`): odd ones first, so that the even ones
/// are left to connect(); with SO_REUSEADDR the lower half of the range first.
fn inet_csk_find_open_port(socks: &Socks, net: &mut Net, id: SockId) -> Option<u16> {
    let [first, last] = net.sysctl.ip_local_port_range.map(u32::from);
    let (first, end) = (first, last + 1);
    let halve = socks.tcp(id)?.sk.sk_reuse && end - first >= 4;
    let middle = first + (((end - first) >> 2) << 1);
    let parts: &[(u32, u32)] =
        if halve { &[(first, middle), (middle, end)] } else { &[(first, end)] };
    for &(low, high) in parts {
        let mut remaining = high - low;
        if remaining > 1 {
            remaining &= !1;
        }
        let odd = net.rng.below(remaining) | 1;
        for offset in [odd, odd - 1] {
            let mut port = low + offset;
            let mut step = 0;
            while step < remaining {
                if port >= high {
                    port -= remaining;
                }
                if !inet_csk_bind_conflict(socks, id, port as u16, false, false) {
                    return Some(port as u16);
                }
                step += 2;
                port += 2;
            }
        }
    }
    None
}

/// Takes a local port for a socket (`inet_csk_get_port`); 0: any. A socket that has the port
/// keeps it, if nobody else's use conflicts (listen() asks again).
///
/// # Errors
/// EADDRINUSE.
#[reference_stack_macros::traced]
pub(crate) fn inet_csk_get_port(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
    snum: u16,
) -> Result<(), Errno> {
    let port = match snum {
        0 => inet_csk_find_open_port(socks, net, id).ok_or(Errno::EADDRINUSE)?,
        port if inet_csk_bind_conflict(socks, id, port, true, true) => {
            return Err(Errno::EADDRINUSE);
        }
        port => port,
    };
    socks.bhash_add(port, id);
    if let Some(tp) = socks.tcp_mut(id) {
        tp.sk.inet_num = port;
    }
    Ok(())
}

/// Starts listening (`inet_csk_listen_start`).
///
/// # Errors
/// EADDRINUSE if the port is another listener's.
#[reference_stack_macros::traced]
pub(crate) fn inet_csk_listen_start(
    socks: &mut Socks,
    net: &mut Net,
    id: SockId,
) -> Result<(), Errno> {
    let Some(tp) = socks.tcp_mut(id) else { return Err(Errno::EINVAL) };
    tp.icsk.accept_queue.clear();
    tp.icsk.reqsk_qlen = 0;
    tp.icsk.reqsk_young = 0;
    tp.sk.sk_ack_backlog = 0;
    inet_csk_delack_init(tp);
    tcp_set_state(tp, net, TcpState::Listen);
    let port = tp.sk.inet_num;
    match inet_csk_get_port(socks, net, id, port) {
        Ok(()) => {
            if let Some(tp) = socks.tcp_mut(id) {
                tp.sk.sk_dst = None;
            }
            inet_hash(socks, id);
            Ok(())
        }
        Err(e) => {
            if let Some(tp) = socks.tcp_mut(id) {
                tcp_set_state(tp, net, TcpState::Close);
            }
            Err(e)
        }
    }
}

/// Stops listening (`inet_csk_listen_stop`): connections that nobody accepted are reset, and
/// requests are forgotten.
pub(crate) fn inet_csk_listen_stop(socks: &mut Socks, net: &mut Net, id: SockId) {
    while let Some(child) = reqsk_queue_remove(socks, id) {
        if let Some(tp) = socks.tcp_mut(child) {
            let _ = tcp_disconnect(tp, net);
            tp.sk.dead = true;
            tp.icsk.listener = None;
            socks.orphans += 1;
        }
        inet_csk_destroy_sock(socks, net, child);
    }
    tcp_fastopen_forget_listener(socks, id);
    let requests: Vec<SockId> = socks
        .iter()
        .filter_map(|(at, sock)| match sock {
            Sock::Req(req) if req.listener == id => Some(at),
            _ => None,
        })
        .collect();
    for req in requests {
        inet_csk_reqsk_queue_drop(socks, net, id, req);
    }
}

/// Accepts a connection (`inet_csk_accept`).
///
/// # Errors
/// EINVAL if the socket does not listen, EAGAIN if nothing is there and it may not wait.
#[reference_stack_macros::traced]
pub(crate) fn inet_csk_accept(socks: &mut Socks, id: SockId, nonblock: bool) -> IoResult<SockId> {
    let Some(tp) = socks.tcp(id).filter(|tp| tp.sk.sk_state == TcpState::Listen) else {
        return Err(Errno::EINVAL);
    };
    if tp.icsk.accept_queue.is_empty() {
        if nonblock {
            return Err(Errno::EAGAIN);
        }
        return inet_csk_wait_for_connect();
    }
    let child = reqsk_queue_remove(socks, id).ok_or(Errno::EAGAIN)?;
    if let Some(tp) = socks.tcp_mut(child) {
        tp.icsk.listener = None;
    }
    Ok(Progress::Done(child))
}

/// The caller sleeps until the listener is woken, and then tries again
/// (`inet_csk_wait_for_connect`).
#[reference_stack_macros::traced]
fn inet_csk_wait_for_connect() -> IoResult<SockId> {
    Ok(Progress::Wait)
}

/// Takes the oldest connection from the accept queue (`reqsk_queue_remove`).
#[reference_stack_macros::traced]
fn reqsk_queue_remove(socks: &mut Socks, id: SockId) -> Option<SockId> {
    let tp = socks.tcp_mut(id)?;
    let child = tp.icsk.accept_queue.pop_front()?;
    tp.sk.sk_ack_backlog = tp.sk.sk_ack_backlog.saturating_sub(1);
    Some(child)
}

/// Ends a socket for good (`inet_csk_destroy_sock`): timers, queues, tables.
pub(crate) fn inet_csk_destroy_sock(socks: &mut Socks, net: &mut Net, id: SockId) {
    inet_unhash(socks, id);
    inet_put_port(socks, id);
    let Some(tp) = socks.tcp_mut(id) else { return };
    tcp_fastopen_active_disable_ofo_check(tp, net);
    tcp_clear_xmit_timers(tp, net);
    tcp_write_queue_purge(tp, net);
    purge_charged(tp, net, |tp| &mut tp.out_of_order_queue);
    purge_charged(tp, net, |tp| &mut tp.sk.sk_receive_queue);
    crate::net::core::sock::skb_queue_purge(net, &mut tp.sk.sk_backlog);
    error_queue_purge(&mut tp.sk);
    sk_mem_reclaim_final(&mut tp.sk, net);
    let dead = tp.sk.dead;
    socks.remove(id);
    if dead {
        socks.orphans = socks.orphans.saturating_sub(1);
    }
}

/// `reqsk_timeout`: how long a request waits this time, jiffies.
pub(crate) fn reqsk_timeout(req: &RequestSock, net: &Net) -> Jiffies {
    let timeout = u128::from(req.timeout) << req.num_timeout.min(63);
    timeout.min(u128::from(tcp_rto_max(net))) as Jiffies
}

/// Forgets a request (`inet_csk_reqsk_queue_drop`).
pub(crate) fn inet_csk_reqsk_queue_drop(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    req_id: SockId,
) {
    let Some(req) = socks.req(req_id) else { return };
    let young = req.num_timeout == 0;
    socks.ehash_remove(req_id);
    net.del_timer(TimerId::Reqsk(req_id));
    socks.remove(req_id);
    if let Some(tp) = socks.tcp_mut(listener) {
        tp.icsk.reqsk_qlen = tp.icsk.reqsk_qlen.saturating_sub(1);
        if young {
            tp.icsk.reqsk_young = tp.icsk.reqsk_young.saturating_sub(1);
        }
    }
}

/// A request became a connection: it waits to be accepted (`inet_csk_complete_hashdance`).
pub(crate) fn inet_csk_complete_hashdance(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    req_id: SockId,
    child: SockId,
) {
    inet_csk_reqsk_queue_drop(socks, net, listener, req_id);
    reqsk_queue_add(socks, listener, child);
}

/// A connection may be accepted (`inet_csk_reqsk_queue_add`).
pub(crate) fn reqsk_queue_add(socks: &mut Socks, listener: SockId, child: SockId) {
    if let Some(tp) = socks.tcp_mut(listener) {
        tp.icsk.accept_queue.push_back(child);
        tp.sk.sk_ack_backlog += 1;
    }
}

/// Sends a request's SYN-ACK again (`inet_rtx_syn_ack`); whether it was sent.
pub(crate) fn inet_rtx_syn_ack(
    socks: &mut Socks,
    net: &mut Net,
    listener: SockId,
    req_id: SockId,
) -> bool {
    let Some(mut req) = socks.req(req_id).cloned() else { return false };
    let Some(tp) = socks.tcp_mut(listener) else { return false };
    let sent = tcp_rtx_synack(tp, net, &mut req);
    if let Some(stored) = socks.req_mut(req_id) {
        *stored = req;
    }
    sent
}

/// The same for a request in hand, of a listener or of the child that Fast Open made of it
/// (`tcp_rtx_synack`).
pub(crate) fn tcp_rtx_synack(tp: &mut TcpSock, net: &mut Net, req: &mut RequestSock) -> bool {
    req.txhash = net.rng.next_u32().max(1);
    if !tcp_v4_send_synack(tp, net, req, None) {
        return false;
    }
    net.mib.inc(Tcp::RetransSegs);
    net.mib.inc(TcpExt::TCPSynRetrans);
    if tcp_passive_fastopen(tp) {
        tp.total_retrans = tp.total_retrans.wrapping_add(1);
    }
    req.num_retrans = req.num_retrans.saturating_add(1);
    true
}

/// How often a SYN-ACK is sent again: fewer times when a large part of the queue is old.
fn max_syn_ack_retries(tp: &TcpSock, net: &Net) -> u8 {
    let mut most = match tp.icsk.icsk_syn_retries {
        0 => net.sysctl.tcp_synack_retries.clamp(0, 255) as u8,
        n => n,
    };
    let qlen = tp.icsk.reqsk_qlen;
    if (qlen << 1) > tp.sk.sk_max_ack_backlog.max(8) {
        let mut young = u64::from(tp.icsk.reqsk_young) << 1;
        while most > 2 && u64::from(qlen) >= young {
            most -= 1;
            young <<= 1;
        }
    }
    most
}

/// A request's timer (`reqsk_timer_handler`): the SYN-ACK goes again, or the request ends. With
/// TCP_DEFER_ACCEPT one whose third ACK came waits for data instead.
pub(crate) fn reqsk_timer_handler(socks: &mut Socks, net: &mut Net, req_id: SockId) {
    let Some(req) = socks.req(req_id) else { return };
    let (listener, num_timeout, acked) = (req.listener, req.num_timeout, req.acked);
    let Some(tp) = socks.tcp(listener).filter(|tp| tp.sk.sk_state == TcpState::Listen) else {
        return inet_csk_reqsk_queue_drop(socks, net, listener, req_id);
    };
    let most = max_syn_ack_retries(tp, net);
    let defer = tp.defer_accept;
    // syn_ack_recalc()
    let (expire, resend) = if defer == 0 {
        (num_timeout >= most, true)
    } else {
        (
            num_timeout >= most && (!acked || num_timeout >= defer),
            !acked || num_timeout >= defer - 1,
        )
    };
    net.mib.inc(TcpExt::TCPTimeouts);
    if expire || (resend && !inet_rtx_syn_ack(socks, net, listener, req_id) && !acked) {
        return inet_csk_reqsk_queue_drop(socks, net, listener, req_id);
    }
    if num_timeout == 0
        && let Some(tp) = socks.tcp_mut(listener)
    {
        tp.icsk.reqsk_young = tp.icsk.reqsk_young.saturating_sub(1);
    }
    let Some(req) = socks.req_mut(req_id) else { return };
    req.num_timeout = req.num_timeout.saturating_add(1);
    let expires = net.jiffies() + reqsk_timeout(req, net);
    net.mod_timer(TimerId::Reqsk(req_id), expires);
}
