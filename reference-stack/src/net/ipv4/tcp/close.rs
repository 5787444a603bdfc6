//! Ending a connection (Linux `tcp.c`): shutdown, close, disconnect,
//! orphans.

use super::*;
use crate::net::core::skbuff::DropReason;
use crate::net::core::sock::{SOCK_MIN_SNDBUF, Socks};
use crate::net::ipv4::inet_connection_sock::{
    inet_csk_delack_init, inet_csk_reset_keepalive_timer,
};
use crate::net::ipv4::inet_csk_listen::inet_csk_listen_stop;
use crate::net::ipv4::mib::TcpExt;
use crate::net::ipv4::tcp_cong::{tcp_cleanup_congestion_control, tcp_set_ca_state};
use crate::net::ipv4::tcp_fastopen::reqsk_fastopen_remove;
use crate::net::ipv4::tcp_input::{sock_rfree, tcp_clear_retrans, tcp_fin_time, tcp_timewait_len};
use crate::net::ipv4::tcp_minisocks::{tcp_settle, tcp_time_wait};
use crate::net::ipv4::tcp_output::{tcp_send_active_reset, tcp_send_fin};
use reference_stack_macros::traced;

/// The state that closing the sending side leads to; whether a FIN is to be sent
/// (Linux `tcp_close_state()`).
fn tcp_close_state(tp: &mut TcpSock, net: &mut Net) -> bool {
    let (next, fin) = match tp.sk.sk_state {
        TcpState::Established | TcpState::SynRecv => (TcpState::FinWait1, true),
        TcpState::CloseWait => (TcpState::LastAck, true),
        TcpState::SynSent | TcpState::Close | TcpState::Listen | TcpState::TimeWait => {
            (TcpState::Close, false)
        }
        same => (same, false),
    };
    tcp_set_state(tp, net, next);
    fin
}

/// shutdown(2): `how` is a mask of `RCV_SHUTDOWN` and `SEND_SHUTDOWN`
/// (Linux `tcp_shutdown()`).
#[traced]
pub(crate) fn tcp_shutdown(tp: &mut TcpSock, net: &mut Net, how: i32) {
    if how & i32::from(SEND_SHUTDOWN) == 0 {
        return;
    }
    let open = matches!(
        tp.sk.sk_state,
        TcpState::Established | TcpState::SynSent | TcpState::SynRecv | TcpState::CloseWait
    );
    if open && tcp_close_state(tp, net) {
        tcp_send_fin(tp, net);
    }
}

/// Whether there are too many orphans, or this one holds much while memory is short
/// (Linux `tcp_check_oom()`).
pub(crate) fn tcp_check_oom(tp: &TcpSock, net: &Net, orphans: u32, shift: u32) -> bool {
    let too_many = i64::from(orphans) << shift > net.sysctl.tcp_max_orphans;
    let no_memory =
        tp.sk.sk_wmem_queued > SOCK_MIN_SNDBUF && net.tcp_mem_allocated > net.sysctl.tcp_mem[2];
    too_many || no_memory
}

/// Drops what was received and not read; how many bytes those were.
fn purge_receive_queue(tp: &mut TcpSock, net: &mut Net) -> u32 {
    let mut unread = 0;
    while let Some(skb) = tp.sk.sk_receive_queue.pop_front() {
        let cb = skb.tcp_cb();
        let fin = u32::from(cb.tcp_flags & TCPHDR_FIN != 0);
        unread += cb.end_seq.since(cb.seq).saturating_sub(fin);
        sock_rfree(tp, net, skb, DropReason::Purge);
    }
    unread
}

/// close(2) of the last descriptor (Linux `tcp_close()`): the socket becomes an orphan, which the
/// protocol ends by itself. With SO_LINGER it stays the caller's while its FIN is not acknowledged
/// ([`tcp_lingering`]); the caller waits and then calls [`tcp_adjudge_to_death`].
#[traced]
pub(crate) fn tcp_close(socks: &mut Socks, net: &mut Net, id: SockId) {
    let Some(tp) = socks.tcp_mut(id) else { return };
    tp.sk.sk_shutdown = SHUTDOWN_MASK;
    if tp.sk.sk_state == TcpState::Listen {
        tcp_set_state(tp, net, TcpState::Close);
        inet_csk_listen_stop(socks, net, id);
    } else {
        finish_streams(tp, net);
    }
    // What came meanwhile meets the closing state, before the socket is an orphan.
    __release_sock(socks, net, id);
    if !tcp_lingering(socks, id) {
        tcp_adjudge_to_death(socks, net, id);
    }
}

/// Whether close(2) waits for the end of sending (`sk_stream_wait_close()`, `sk_stream_closing()`).
pub(crate) fn tcp_lingering(socks: &Socks, id: SockId) -> bool {
    let closing = TcpState::FinWait1.mask() | TcpState::Closing.mask() | TcpState::LastAck.mask();
    socks.tcp(id).is_some_and(|tp| {
        tp.sk.linger.is_some_and(|time| time > 0) && tp.sk.sk_state.is_in(closing)
    })
}

/// Ends both streams: reset if something was left unread or SO_LINGER is 0, else FIN.
fn finish_streams(tp: &mut TcpSock, net: &mut Net) {
    let unread = purge_receive_queue(tp, net);
    if tp.sk.sk_state == TcpState::Close {
        return;
    }
    if unread > 0 {
        // RFC 2525 2.17: data that nobody will read is answered by a reset.
        net.mib.inc(TcpExt::TCPAbortOnClose);
        tcp_set_state(tp, net, TcpState::Close);
        tcp_send_active_reset(tp, net);
    } else if tp.sk.linger == Some(0) {
        // It cannot fail.
        let _ = tcp_disconnect(tp, net);
        net.mib.inc(TcpExt::TCPAbortOnData);
    } else if tcp_close_state(tp, net) {
        tcp_send_fin(tp, net);
    }
}

/// The user is gone: the socket is an orphan that the protocol ends by itself (the label
/// `adjudge_to_death` in Linux `__tcp_close()`).
pub(crate) fn tcp_adjudge_to_death(socks: &mut Socks, net: &mut Net, id: SockId) {
    socks.orphans += 1;
    let orphans = socks.orphans;
    let Some(tp) = socks.tcp_mut(id) else { return };
    tp.sk.dead = true;
    if tp.sk.sk_state == TcpState::Close {
        reqsk_fastopen_remove(tp, false);
    }
    if tp.sk.sk_state == TcpState::FinWait2 {
        if tp.linger2 < 0 {
            tcp_set_state(tp, net, TcpState::Close);
            tcp_send_active_reset(tp, net);
            net.mib.inc(TcpExt::TCPAbortOnLinger);
        } else {
            let (tmo, timewait) = (tcp_fin_time(tp, net), tcp_timewait_len(net));
            if tmo > timewait {
                inet_csk_reset_keepalive_timer(tp, net, tmo - timewait);
            } else {
                tcp_time_wait(tp, net, TcpState::FinWait2, tmo);
                return tcp_settle(socks, net, id);
            }
        }
    }
    if tp.sk.sk_state != TcpState::Close && tcp_check_oom(tp, net, orphans, 0) {
        tcp_set_state(tp, net, TcpState::Close);
        tcp_send_active_reset(tp, net);
        net.mib.inc(TcpExt::TCPAbortOnMemory);
    }
    tcp_settle(socks, net, id);
}

/// Whether a state's end is told to the peer (`tcp_need_reset`).
fn tcp_need_reset(state: TcpState) -> bool {
    matches!(
        state,
        TcpState::Established
            | TcpState::CloseWait
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::SynRecv
    )
}

/// Dissolves a connection so that the socket can be used again (Linux `tcp_disconnect()`):
/// connect(2) with AF_UNSPEC, SO_LINGER of 0. A listener's queue is the caller's to end.
///
/// # Errors
/// None today.
pub(crate) fn tcp_disconnect(tp: &mut TcpSock, net: &mut Net) -> Result<(), Errno> {
    let old = tp.sk.sk_state;
    if old != TcpState::Close {
        tcp_set_state(tp, net, TcpState::Close);
    }
    let unsent = tp.snd_nxt != tp.write_seq && matches!(old, TcpState::Closing | TcpState::LastAck);
    if tcp_need_reset(old) || unsent {
        tcp_send_active_reset(tp, net);
        tp.sk.sk_err = Some(Errno::ECONNRESET);
    } else if old == TcpState::SynSent {
        tp.sk.sk_err = Some(Errno::ECONNRESET);
    }
    tcp_clear_xmit_timers(tp, net);
    reqsk_fastopen_remove(tp, false);
    purge_receive_queue(tp, net);
    tp.copied_seq = tp.rcv_nxt;
    tp.urg_data = 0;
    tcp_write_queue_purge(tp, net);
    purge_out_of_order(tp, net);
    tp.sk.inet_dport = 0;
    if !tp.sk.bindaddr_lock {
        tp.sk.inet_reset_saddr();
    }
    tp.sk.sk_shutdown = 0;
    tp.sk.done = false;
    forget_connection(tp, net);
    net.sk_error_report(tp.sk.id);
    Ok(())
}

fn purge_out_of_order(tp: &mut TcpSock, net: &mut Net) {
    while let Some(skb) = tp.out_of_order_queue.pop_front() {
        sock_rfree(tp, net, skb, DropReason::Purge);
    }
}

/// Everything that was learnt on the connection.
fn forget_connection(tp: &mut TcpSock, net: &mut Net) {
    tcp_cleanup_congestion_control(tp, net);
    tcp_set_ca_state(tp, net, CaState::Open);
    tcp_clear_retrans(tp);
    let id = tp.sk.id;
    let seq = tp.write_seq + (tp.max_window + 2);
    let fresh = tcp_init_sock(net, id);
    let old = std::mem::replace(tp, fresh);
    // What the user set stays.
    tp.sk = old.sk;
    tp.sk.sk_dst = None;
    tp.write_seq = if seq == SeqNum(0) { SeqNum(1) } else { seq };
    tp.copied_seq = old.copied_seq;
    tp.rcv_nxt = old.rcv_nxt;
    tp.nonagle = old.nonagle;
    tp.thin_lto = old.thin_lto;
    tp.recvmsg_inq = old.recvmsg_inq;
    tp.save_syn = old.save_syn;
    tp.linger2 = old.linger2;
    tp.keepalive_time = old.keepalive_time;
    tp.keepalive_intvl = old.keepalive_intvl;
    tp.keepalive_probes = old.keepalive_probes;
    tp.notsent_lowat = old.notsent_lowat;
    tp.defer_accept = old.defer_accept;
    tp.tcp_wstamp_ns = old.tcp_wstamp_ns;
    tp.tcp_clock_cache = old.tcp_clock_cache;
    tp.tcp_mstamp = old.tcp_mstamp;
    tp.icsk.icsk_ca = old.icsk.icsk_ca;
    tp.icsk.icsk_ca_setsockopt = old.icsk.icsk_ca_setsockopt;
    tp.icsk.icsk_user_timeout = old.icsk.icsk_user_timeout;
    tp.icsk.icsk_syn_retries = old.icsk.icsk_syn_retries;
    tp.icsk.fastopenq = old.icsk.fastopenq;
    tp.fastopen.fastopen_connect = old.fastopen.fastopen_connect;
    tp.fastopen.fastopen_no_cookie = old.fastopen.fastopen_no_cookie;
    tp.fastopen.removed = old.fastopen.removed;
    inet_csk_delack_init(tp);
    tp.icsk.icsk_ack.rcv_mss = TCP_MIN_MSS;
}
