//! TCP's timers (Linux `tcp_timer.c`): retransmission, delayed ACK, zero-window probes, keepalive.
//!
//! The functions that the kernel calls take the table of sockets, since a connection may end.

use super::inet_connection_sock::*;
use super::inet_csk_listen::tcp_rtx_synack;
use super::mib::TcpExt;
use super::tcp::tcp_done;
use super::tcp_fastopen::tcp_fastopen_active_detect_blackhole;
use super::tcp_input::{tcp_enter_loss, tcp_fin_time, tcp_timewait_len};
use super::tcp_minisocks::{tcp_settle, tcp_time_wait};
use super::tcp_output::*;
use super::tcp_recovery::tcp_rack_reo_timeout;
use super::tcp_sock::*;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::sock::{SockId, Socks, TcpState};
use crate::net::core::stream::{sk_mem_reclaim, tcp_under_memory_pressure};
use crate::time::{Jiffies, TimerId};
use reference_stack_macros::traced;

/// `TCP_RESOURCE_PROBE_INTERVAL`: half a second, jiffies.
fn tcp_resource_probe_interval(net: &Net) -> Jiffies {
    Jiffies::from(net.time.hz()) / 2
}

/// Milliseconds between two readings of the timestamp clock.
fn since_ms(now: u32, then: u32) -> u32 {
    now.wrapping_sub(then)
}

/// `TCP_USER_TIMEOUT` makes the RTO fire when it runs out (`tcp_clamp_rto_to_user_timeout`).
pub(crate) fn tcp_clamp_rto_to_user_timeout(tp: &TcpSock, net: &Net) -> Jiffies {
    let rto = tp.icsk.icsk_rto;
    if tp.icsk.icsk_user_timeout == 0 {
        return rto;
    }
    let elapsed = since_ms(tcp_time_stamp(tp), tp.retrans_stamp);
    match tp.icsk.icsk_user_timeout.checked_sub(elapsed) {
        // It has run out: fire at once.
        None | Some(0) => 1,
        Some(left) => rto.min(net.time.msecs_to_jiffies(left.into())),
    }
}

/// The connection failed: its error is the last soft one, or ETIMEDOUT (`tcp_write_err`).
fn tcp_write_err(tp: &mut TcpSock, net: &mut Net) {
    tp.sk.sk_err = Some(tp.sk.sk_err_soft.unwrap_or(Errno::ETIMEDOUT));
    net.sk_error_report(tp.sk.id);
    super::tcp::tcp_write_queue_purge(tp, net);
    tcp_done(tp, net);
    net.mib.inc(TcpExt::TCPAbortOnTimeout);
}

/// An orphan is ended early if there are too many of them (`tcp_out_of_resources`).
fn tcp_out_of_resources(tp: &mut TcpSock, net: &mut Net, orphans: u32, mut do_reset: bool) -> bool {
    let mut shift = 0;
    // Long without any sign of life, or waiting for a window: penalties.
    let silent = net.jiffies().saturating_sub(tp.lsndtime) > 2 * tcp_rto_max(net);
    if silent || do_reset {
        shift += 1;
    }
    if tp.sk.sk_err_soft.is_some() {
        shift += 1;
    }
    if !super::tcp::tcp_check_oom(tp, net, orphans, shift) {
        return false;
    }
    if net.jiffies().saturating_sub(tp.lsndtime) <= 60 * Jiffies::from(net.time.hz())
        || (tp.snd_wnd == 0 && tp.packets_out == 0)
    {
        do_reset = true;
    }
    if do_reset {
        tcp_send_active_reset(tp, net);
    }
    tcp_done(tp, net);
    net.mib.inc(TcpExt::TCPAbortOnMemory);
    true
}

/// Retransmissions that an orphan is given (`tcp_orphan_retries`).
fn tcp_orphan_retries(tp: &TcpSock, net: &Net, alive: bool) -> u32 {
    let retries = net.sysctl.tcp_orphan_retries as u32;
    if tp.sk.sk_err_soft.is_some() && !alive {
        return 0;
    }
    if retries == 0 && alive { 8 } else { retries }
}

/// Time that so many retransmissions with doubling take, jiffies (`tcp_model_timeout`).
pub(crate) fn tcp_model_timeout(boundary: u32, rto_base: Jiffies, rto_max: Jiffies) -> Jiffies {
    let thresh = (rto_max / rto_base.max(1)).checked_ilog2().unwrap_or(0);
    if boundary <= thresh {
        ((2u64 << boundary) - 1) * rto_base
    } else {
        ((2u64 << thresh) - 1) * rto_base + u64::from(boundary - thresh) * rto_max
    }
}

/// Whether retransmission has gone on for as long as `boundary` tries take, or for a time-out of
/// the user (`retransmits_timed_out`).
pub(crate) fn retransmits_timed_out(
    tp: &TcpSock,
    net: &Net,
    boundary: u32,
    user_timeout_ms: u32,
) -> bool {
    if tp.icsk.icsk_retransmits == 0 {
        return false;
    }
    let hz = u64::from(net.time.hz());
    let timeout_ms = if user_timeout_ms == 0 {
        let syn = matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv);
        let rto_base = if syn { tcp_timeout_init(net) } else { hz / 5 };
        net.time.jiffies_to_msecs(tcp_model_timeout(boundary, rto_base, tcp_rto_max(net)))
    } else {
        user_timeout_ms.into()
    };
    i64::from(since_ms(tcp_time_stamp(tp), tp.retrans_stamp) as i32) >= timeout_ms as i64
}

/// How many retransmissions are allowed, and whether they are used up; then the connection is
/// ended (`tcp_write_timeout`).
fn tcp_write_timeout(tp: &mut TcpSock, net: &mut Net, orphans: u32) -> bool {
    let tries = u32::from(tp.icsk.icsk_retransmits);
    let mut retry_until;
    let mut expired = false;
    if matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv) {
        retry_until = match tp.icsk.icsk_syn_retries {
            0 => net.sysctl.tcp_syn_retries as u32,
            own => own.into(),
        };
        let linear = match tp.sk.sk_state {
            TcpState::SynSent => net.sysctl.tcp_syn_linear_timeouts as u32,
            _ => 0,
        };
        expired = tries >= retry_until + linear;
    } else {
        if retransmits_timed_out(tp, net, net.sysctl.tcp_retries1 as u32, 0) {
            tcp_mtu_probing(tp, net);
            // Another route may serve (__dst_negative_advice).
            tp.sk.sk_dst = None;
        }
        retry_until = net.sysctl.tcp_retries2 as u32;
        if tp.sk.dead {
            let alive = tp.icsk.icsk_rto < tcp_rto_max(net);
            retry_until = tcp_orphan_retries(tp, net, alive);
            let do_reset = alive || !retransmits_timed_out(tp, net, retry_until, 0);
            if tcp_out_of_resources(tp, net, orphans, do_reset) {
                return true;
            }
        }
    }
    // By number or by the time that so many would take with doubling, whichever comes first.
    expired |= retransmits_timed_out(tp, net, retry_until, tp.icsk.icsk_user_timeout);
    tcp_fastopen_active_detect_blackhole(tp, net, expired);
    if expired {
        tcp_write_err(tp, net);
        return true;
    }
    rehash(tp, net);
    false
}

/// A new transmit hash, so that paths with several links may change (`sk_rethink_txhash`).
fn rehash(tp: &mut TcpSock, net: &mut Net) {
    tp.sk.sk_txhash = net.rng.next_u32().max(1);
    tp.timeout_rehash = tp.timeout_rehash.saturating_add(1);
    net.mib.inc(TcpExt::TcpTimeoutRehash);
}

/// The delayed ACK is due (`tcp_delack_timer_handler`).
pub(crate) fn tcp_delack_timer_handler(tp: &mut TcpSock, net: &mut Net) {
    if tcp_under_memory_pressure(net) {
        sk_mem_reclaim(&mut tp.sk, net);
    }
    let idle = matches!(tp.sk.sk_state, TcpState::Close | TcpState::Listen);
    if idle || tp.icsk.icsk_ack.pending & ICSK_ACK_TIMER == 0 {
        return;
    }
    if tp.icsk.icsk_ack.timeout > net.jiffies() {
        let at = tp.icsk.icsk_ack.timeout;
        net.mod_timer(TimerId::Delack(tp.sk.id), at);
        return;
    }
    tp.icsk.icsk_ack.pending &= !ICSK_ACK_TIMER;
    if !inet_csk_ack_scheduled(tp) {
        return;
    }
    if inet_csk_in_pingpong_mode(tp, net) {
        // The reply did not come in time: this is no ping-pong.
        inet_csk_exit_pingpong_mode(tp, net);
        tp.icsk.icsk_ack.ato = tcp_ato_min(net);
    } else {
        let most = if net.profile.ato_below_delack_max {
            tcp_delack_max_default(net)
        } else {
            tp.icsk.icsk_rto
        };
        tp.icsk.icsk_ack.ato = (tp.icsk.icsk_ack.ato << 1).min(most.min(1 << 30) as u32);
    }
    tcp_mstamp_refresh(tp, net);
    tcp_send_ack(tp, net);
    net.mib.inc(TcpExt::DelayedACKs);
}

/// `icsk_delack_timer` fired.
#[traced]
pub(crate) fn tcp_delack_timer(socks: &mut Socks, net: &mut Net, id: SockId) {
    if let Some(tp) = socks.tcp_mut(id) {
        if tp.sk.sk_lock_owned {
            net.mib.inc(TcpExt::DelayedACKLocked);
            tp.deferred.delack_timer = true;
            return;
        }
        tcp_delack_timer_handler(tp, net);
    }
    tcp_settle(socks, net, id);
}

/// Zero-window probing (`tcp_probe_timer`).
fn tcp_probe_timer(tp: &mut TcpSock, net: &mut Net, orphans: u32) {
    if tp.packets_out != 0 || tp.write_queue.is_empty() {
        tp.icsk.icsk_probes_out = 0;
        tp.icsk.icsk_probes_tstamp = None;
        return;
    }
    let now = net.jiffies();
    let since = *tp.icsk.icsk_probes_tstamp.get_or_insert(now);
    let user = net.time.msecs_to_jiffies(tp.icsk.icsk_user_timeout.into());
    let mut expired = tp.icsk.icsk_user_timeout != 0 && now - since >= user;
    let mut max_probes = net.sysctl.tcp_retries2 as u32;
    if !expired && tp.sk.dead {
        let max = tcp_rto_max(net);
        let alive = inet_csk_rto_backoff(tp, max) < max;
        max_probes = tcp_orphan_retries(tp, net, alive);
        if !alive && u32::from(tp.icsk.icsk_backoff) >= max_probes {
            expired = true;
        } else if tcp_out_of_resources(tp, net, orphans, true) {
            return;
        }
    }
    if expired || u32::from(tp.icsk.icsk_probes_out) >= max_probes {
        tcp_write_err(tp, net);
    } else {
        tcp_send_probe0(tp, net);
    }
}

/// The counter that says what a time-out met (`tcp_retransmit_timer`).
fn timeout_mib(tp: &TcpSock) -> Option<TcpExt> {
    if tp.icsk.icsk_retransmits != 0 {
        return None;
    }
    Some(match tp.icsk.icsk_ca_state {
        CaState::Recovery if tp.is_sack() => TcpExt::TCPSackRecoveryFail,
        CaState::Recovery => TcpExt::TCPRenoRecoveryFail,
        CaState::Loss => TcpExt::TCPLossFailures,
        CaState::Disorder if tp.is_sack() => TcpExt::TCPSackFailures,
        CaState::Disorder => TcpExt::TCPRenoFailures,
        _ if tp.sacked_out != 0 && tp.is_sack() => TcpExt::TCPSackFailures,
        _ if tp.sacked_out != 0 => TcpExt::TCPRenoFailures,
        _ => return None,
    })
}

/// The retransmission time-out (`tcp_retransmit_timer`).
#[traced]
pub(crate) fn tcp_retransmit_timer(tp: &mut TcpSock, net: &mut Net, orphans: u32) {
    if tp.fastopen.fastopen_rsk.is_some() {
        // Before the third ACK nothing else goes again.
        return tcp_fastopen_synack_timer(tp, net);
    }
    if tp.packets_out == 0 || tp.rtx_queue.is_empty() {
        return;
    }
    let max = tcp_rto_max(net);
    let syn = matches!(tp.sk.sk_state, TcpState::SynSent | TcpState::SynRecv);
    if tp.snd_wnd == 0 && !tp.sk.dead && !syn {
        return shrunk_to_zero(tp, net);
    }
    net.mib.inc(TcpExt::TCPTimeouts);
    if tcp_write_timeout(tp, net, orphans) {
        return;
    }
    if let Some(mib) = timeout_mib(tp) {
        net.mib.inc(mib);
    }
    tcp_enter_loss(tp, net);
    tp.icsk.icsk_retransmits = tp.icsk.icsk_retransmits.saturating_add(1);
    tp.total_rto = tp.total_rto.saturating_add(1);
    if tcp_retransmit_skb(tp, net, 0, 1) == Err(Errno::ENOBUFS) {
        // Local congestion is no loss: no backoff.
        let soon = tcp_resource_probe_interval(net);
        inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, soon, max);
        return;
    }
    backoff(tp, net);
}

/// The SYN-ACK of a Fast Open child goes again (`tcp_fastopen_synack_timer`), once more often than
/// others.
fn tcp_fastopen_synack_timer(tp: &mut TcpSock, net: &mut Net) {
    let Some(mut req) = tp.fastopen.fastopen_rsk.take() else { return };
    net.mib.inc(TcpExt::TCPTimeouts);
    let max_retries = match tp.icsk.icsk_syn_retries {
        0 => net.sysctl.tcp_synack_retries + 1,
        own => own.into(),
    };
    let expired = i64::from(req.num_timeout) >= max_retries;
    if !expired {
        if tp.icsk.icsk_retransmits == 1 {
            tcp_enter_loss(tp, net);
        }
        tp.fastopen.fastopen_rsk = Some(req.clone());
        tcp_rtx_synack(tp, net, &mut req);
        req.num_timeout = req.num_timeout.saturating_add(1);
    }
    let when = u128::from(req.timeout) << req.num_timeout.min(63);
    tp.fastopen.fastopen_rsk = Some(req);
    if expired {
        return tcp_write_err(tp, net);
    }
    tp.icsk.icsk_retransmits = tp.icsk.icsk_retransmits.saturating_add(1);
    if tp.retrans_stamp == 0 {
        tp.retrans_stamp = tcp_time_stamp(tp);
    }
    let max = tcp_rto_max(net);
    let when = when.min(u128::from(max)) as Jiffies;
    inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, when, max);
}

/// Whether a peer with a window of zero was silent for too long while data went again, or did not
/// take it within TCP_USER_TIMEOUT, however often it answers (`tcp_rtx_probe0_timed_out`).
fn tcp_rtx_probe0_timed_out(tp: &TcpSock, net: &Net) -> bool {
    let mut timeout = 2 * tcp_rto_max(net);
    let since = match tp.retrans_stamp {
        0 => tp.rtx_queue.front().map_or(0, tcp_skb_timestamp),
        stamp => stamp,
    };
    let rtx_delta_ms = since_ms(tcp_time_stamp(tp), since);
    let user_timeout_ms = tp.icsk.icsk_user_timeout;
    if user_timeout_ms != 0 {
        if rtx_delta_ms > user_timeout_ms {
            return true;
        }
        timeout = timeout.min(net.time.msecs_to_jiffies(user_timeout_ms.into()));
    }
    tp.icsk.icsk_timeout.saturating_sub(tp.rcv_tstamp) > timeout
        && net.time.msecs_to_jiffies(rtx_delta_ms.into()) > timeout
}

/// The peer shrank its window to nothing with data in flight: probe with that data.
fn shrunk_to_zero(tp: &mut TcpSock, net: &mut Net) {
    if tcp_rtx_probe0_timed_out(tp, net) {
        return tcp_write_err(tp, net);
    }
    tcp_enter_loss(tp, net);
    let _ = tcp_retransmit_skb(tp, net, 0, 1);
    tp.sk.sk_dst = None;
    backoff(tp, net);
}

/// Too little in flight for duplicate ACKs (`tcp_stream_is_thin`).
fn tcp_is_thin_stream(tp: &TcpSock) -> bool {
    tp.packets_out < 4 && !tp.in_initial_slowstart()
}

/// Doubles the RTO, except for thin streams that want it linear and the first SYNs of newer
/// kernels, and arms it.
fn backoff(tp: &mut TcpSock, net: &mut Net) {
    let max = tcp_rto_max(net);
    let retransmits = i64::from(tp.icsk.icsk_retransmits);
    let thin = tp.sk.sk_state == TcpState::Established
        && (tp.thin_lto || net.sysctl.tcp_thin_linear_timeouts != 0)
        && tcp_is_thin_stream(tp)
        && retransmits <= 6;
    let linear_syn =
        tp.sk.sk_state == TcpState::SynSent && retransmits <= net.sysctl.tcp_syn_linear_timeouts;
    tp.icsk.icsk_backoff = tp.icsk.icsk_backoff.saturating_add(1);
    if thin {
        tp.icsk.icsk_backoff = 0;
        tp.icsk.icsk_rto =
            super::tcp_input::__tcp_set_rto(tp, net).clamp(tcp_rto_min(tp, net).min(max), max);
    } else if !linear_syn {
        tp.icsk.icsk_rto = (tp.icsk.icsk_rto << 1).min(max);
    } else {
        tp.icsk.icsk_backoff -= 1;
    }
    let when = tcp_clamp_rto_to_user_timeout(tp, net);
    inet_csk_reset_xmit_timer(tp, net, IcskPending::Retrans, when, max);
    if retransmits_timed_out(tp, net, net.sysctl.tcp_retries1 as u32 + 1, 0) {
        tp.sk.sk_dst = None;
    }
}

/// What the retransmit timer was armed for is due (`tcp_write_timer_handler`).
pub(crate) fn tcp_write_timer_handler(tp: &mut TcpSock, net: &mut Net, orphans: u32) {
    let idle = matches!(tp.sk.sk_state, TcpState::Close | TcpState::Listen);
    if idle || tp.icsk.icsk_pending == IcskPending::None {
        return;
    }
    if tp.icsk.icsk_timeout > net.jiffies() {
        let at = tp.icsk.icsk_timeout;
        net.mod_timer(TimerId::Retransmit(tp.sk.id), at);
        return;
    }
    tcp_mstamp_refresh(tp, net);
    match tp.icsk.icsk_pending {
        IcskPending::ReoTimeout => tcp_rack_reo_timeout(tp, net),
        IcskPending::LossProbe => tcp_send_loss_probe(tp, net),
        IcskPending::Retrans => {
            tp.icsk.icsk_pending = IcskPending::None;
            tcp_retransmit_timer(tp, net, orphans);
        }
        IcskPending::Probe0 => {
            tp.icsk.icsk_pending = IcskPending::None;
            tcp_probe_timer(tp, net, orphans);
        }
        IcskPending::None | IcskPending::Dack => {}
    }
}

/// `icsk_retransmit_timer` fired.
#[traced]
pub(crate) fn tcp_write_timer(socks: &mut Socks, net: &mut Net, id: SockId) {
    let orphans = socks.orphans;
    if let Some(tp) = socks.tcp_mut(id) {
        if tp.sk.sk_lock_owned {
            tp.deferred.write_timer = true;
            return;
        }
        tcp_write_timer_handler(tp, net, orphans);
    }
    tcp_settle(socks, net, id);
}

/// Idle time before the first keepalive probe, jiffies (`keepalive_time_when`).
pub(crate) fn keepalive_time_when(tp: &TcpSock, net: &Net) -> Jiffies {
    let default = || net.sysctl.tcp_keepalive_time as u64 * Jiffies::from(net.time.hz());
    tp.keepalive_time.map_or_else(default, Jiffies::from)
}

/// Time between probes, jiffies (`keepalive_intvl_when`).
pub(crate) fn keepalive_intvl_when(tp: &TcpSock, net: &Net) -> Jiffies {
    let default = || net.sysctl.tcp_keepalive_intvl as u64 * Jiffies::from(net.time.hz());
    tp.keepalive_intvl.map_or_else(default, Jiffies::from)
}

/// Probes without answer that end a connection (`keepalive_probes`).
pub(crate) fn keepalive_probes(tp: &TcpSock, net: &Net) -> u32 {
    match tp.keepalive_probes {
        0 => net.sysctl.tcp_keepalive_probes as u32,
        own => own.into(),
    }
}

/// How long nothing came from the peer, jiffies (`keepalive_time_elapsed`).
pub(crate) fn keepalive_time_elapsed(tp: &TcpSock, net: &Net) -> Jiffies {
    let now = net.jiffies();
    now.saturating_sub(tp.icsk.icsk_ack.lrcvtime).min(now.saturating_sub(tp.rcv_tstamp))
}

/// `SO_KEEPALIVE` changed (`tcp_set_keepalive`).
pub(crate) fn tcp_set_keepalive(tp: &mut TcpSock, net: &mut Net, on: bool) {
    if matches!(tp.sk.sk_state, TcpState::Close | TcpState::Listen) {
        return;
    }
    if on && !tp.sk.keepopen {
        let when = keepalive_time_when(tp, net);
        inet_csk_reset_keepalive_timer(tp, net, when);
    } else if !on {
        inet_csk_delete_keepalive_timer(tp, net);
    }
}

/// `sk_timer` fired: keepalive, or an orphan's FIN-WAIT-2 is over.
#[traced]
pub(crate) fn tcp_keepalive_timer(socks: &mut Socks, net: &mut Net, id: SockId) {
    if let Some(tp) = socks.tcp_mut(id) {
        if tp.sk.sk_lock_owned {
            // Try again later.
            let soon = Jiffies::from(net.time.hz()) / 20;
            return inet_csk_reset_keepalive_timer(tp, net, soon);
        }
        keepalive(tp, net);
    }
    tcp_settle(socks, net, id);
}

fn keepalive(tp: &mut TcpSock, net: &mut Net) {
    if tp.sk.sk_state == TcpState::Listen {
        return;
    }
    tcp_mstamp_refresh(tp, net);
    if tp.sk.sk_state == TcpState::FinWait2 && tp.sk.dead {
        if tp.linger2 >= 0 {
            let left = tcp_fin_time(tp, net).saturating_sub(tcp_timewait_len(net));
            if left > 0 {
                return tcp_time_wait(tp, net, TcpState::FinWait2, left);
            }
        }
        tcp_send_active_reset(tp, net);
        return tcp_done(tp, net);
    }
    if !tp.sk.keepopen || matches!(tp.sk.sk_state, TcpState::Close | TcpState::SynSent) {
        return;
    }
    let mut next = keepalive_time_when(tp, net);
    // Data in flight proves the path by itself.
    if tp.packets_out == 0 && tp.write_queue.is_empty() {
        let elapsed = keepalive_time_elapsed(tp, net);
        if elapsed >= next {
            if keepalive_expired(tp, net, elapsed) {
                tcp_send_active_reset(tp, net);
                return tcp_write_err(tp, net);
            }
            if tcp_write_wakeup(tp, net, TcpExt::TCPKeepAlive) == Err(Errno::ENOBUFS) {
                next = tcp_resource_probe_interval(net);
            } else {
                tp.icsk.icsk_probes_out = tp.icsk.icsk_probes_out.saturating_add(1);
                next = keepalive_intvl_when(tp, net);
            }
        } else {
            next -= elapsed;
        }
    }
    sk_mem_reclaim(&mut tp.sk, net);
    inet_csk_reset_keepalive_timer(tp, net, next);
}

fn keepalive_expired(tp: &TcpSock, net: &Net, elapsed: Jiffies) -> bool {
    let probes = u32::from(tp.icsk.icsk_probes_out);
    match tp.icsk.icsk_user_timeout {
        0 => probes >= keepalive_probes(tp, net),
        user => elapsed >= net.time.msecs_to_jiffies(user.into()) && probes > 0,
    }
}

/// The held SACK is due (`tcp_compressed_ack_kick`).
#[traced]
pub(crate) fn tcp_compressed_ack_kick(socks: &mut Socks, net: &mut Net, id: SockId) {
    let Some(tp) = socks.tcp_mut(id) else { return };
    if tp.sk.sk_lock_owned {
        tp.deferred.delack_timer = true;
        return;
    }
    if tp.compressed_ack != 0 {
        // This ACK is not one of those that were held back.
        tp.compressed_ack -= 1;
        tcp_mstamp_refresh(tp, net);
        tcp_send_ack(tp, net);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1122's and Linux's documented figure: 15 retries with an RTO of 200 ms are 924.6 s.
    #[test]
    fn fifteen_retries_take_924_seconds() {
        assert_eq!(tcp_model_timeout(15, 200, 120_000), 924_600);
        assert_eq!(tcp_model_timeout(0, 200, 120_000), 200);
        assert_eq!(tcp_model_timeout(6, 1000, 120_000), 127_000);
    }
}
