//! Congestion control modules (Linux `tcp_cong.c`): the dispatch, and Reno.

use super::tcp_cubic::Bictcp;
use super::tcp_sock::{CaState, TcpSock};
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::sysctl::CongestionName;

/// The chosen module and its state (`icsk_ca_ops`, `icsk_ca_priv`).
#[derive(Clone, Debug, Default)]
pub(crate) enum CongestionOps {
    /// `reno`.
    #[default]
    Reno,
    /// `cubic`.
    Cubic(Box<Bictcp>),
}

/// What congestion control is told of (`enum tcp_ca_event`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CaEvent {
    /// First transmission with nothing in flight.
    TxStart,
    /// The congestion window is restarted after idle.
    CwndRestart,
    /// A congestion episode ends.
    CompleteCwr,
    /// A retransmission time-out.
    Loss,
}

/// `struct ack_sample`, as far as a module here reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    /// Microseconds; negative: none.
    pub(crate) rtt_us: i64,
}

impl CongestionOps {
    pub(crate) fn new(name: CongestionName) -> Self {
        match name {
            CongestionName::Reno => Self::Reno,
            CongestionName::Cubic => Self::Cubic(Box::default()),
        }
    }

    /// `ca_ops->name`.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Reno => CongestionName::Reno.name(),
            Self::Cubic(_) => CongestionName::Cubic.name(),
        }
    }
}

/// Gives a new socket the default module (Linux `tcp_assign_congestion_control()`).
pub(crate) fn tcp_assign_congestion_control(tp: &mut TcpSock, net: &mut Net) {
    tp.icsk.icsk_ca = CongestionOps::new(net.sysctl.tcp_congestion_control);
}

/// Starts the module at establishment (Linux `tcp_init_congestion_control()`).
pub(crate) fn tcp_init_congestion_control(tp: &mut TcpSock, _net: &mut Net) {
    tp.prior_ssthresh = 0;
    if let Some((ca, view)) = super::tcp_cubic::taken(tp) {
        super::tcp_cubic::cubictcp_init(ca, view);
    }
    tp.icsk.icsk_ca_initialized = true;
}

/// Linux `tcp_cleanup_congestion_control()`.
pub(crate) fn tcp_cleanup_congestion_control(tp: &mut TcpSock, _net: &mut Net) {
    tp.icsk.icsk_ca_initialized = false;
}

/// `TCP_CONGESTION` (Linux `tcp_set_congestion_control()`).
///
/// # Errors
/// ENOENT for an unknown name.
pub(crate) fn tcp_set_congestion_control(
    tp: &mut TcpSock,
    net: &mut Net,
    name: &str,
) -> Result<(), Errno> {
    let chosen = CongestionName::from_name(name).ok_or(Errno::ENOENT)?;
    if tp.icsk.icsk_ca.name() == name {
        tp.icsk.icsk_ca_setsockopt = true;
        return Ok(());
    }
    tcp_cleanup_congestion_control(tp, net);
    tp.icsk.icsk_ca = CongestionOps::new(chosen);
    tp.icsk.icsk_ca_setsockopt = true;
    use crate::net::core::sock::TcpState;
    if !matches!(tp.sk.sk_state, TcpState::Close | TcpState::Listen) {
        tcp_init_congestion_control(tp, net);
    }
    Ok(())
}

/// `ca_ops->ssthresh`: slow start threshold after a loss, segments.
pub(crate) fn ca_ssthresh(tp: &mut TcpSock, net: &mut Net) -> u32 {
    let _ = net;
    match super::tcp_cubic::taken(tp) {
        Some((ca, tp)) => super::tcp_cubic::cubictcp_recalc_ssthresh(ca, tp),
        None => tcp_reno_ssthresh(tp),
    }
}

/// `ca_ops->cong_avoid`: new data up to `ack` was acknowledged, `acked` segments.
pub(crate) fn ca_cong_avoid(tp: &mut TcpSock, net: &mut Net, ack: u32, acked: u32) {
    if matches!(tp.icsk.icsk_ca, CongestionOps::Reno) {
        return tcp_reno_cong_avoid(tp, ack, acked);
    }
    super::tcp_cubic::cubictcp_cong_avoid(tp, net, acked);
}

/// `ca_ops->undo_cwnd`: the window to go back to when a reduction was for nothing.
pub(crate) fn ca_undo_cwnd(tp: &mut TcpSock, net: &mut Net) -> u32 {
    // Reno and cubic alike.
    let _ = net;
    tcp_reno_undo_cwnd(tp)
}

/// Moves to another congestion state and tells the module (Linux `tcp_set_ca_state()`).
pub(crate) fn tcp_set_ca_state(tp: &mut TcpSock, _net: &mut Net, state: CaState) {
    if state == CaState::Loss
        && let Some((ca, view)) = super::tcp_cubic::taken(tp)
    {
        super::tcp_cubic::cubictcp_loss_state(ca, view);
    }
    tp.icsk.icsk_ca_state = state;
}

/// `ca_ops->pkts_acked`, if the module has one.
pub(crate) fn ca_pkts_acked(tp: &mut TcpSock, net: &mut Net, sample: AckSample) {
    super::tcp_cubic::cubictcp_acked(tp, net, sample);
}

/// Tells the module of an event (Linux `tcp_ca_event()`).
pub(crate) fn tcp_ca_event(tp: &mut TcpSock, net: &mut Net, event: CaEvent) {
    if event == CaEvent::TxStart {
        super::tcp_cubic::cubictcp_tx_start(tp, net);
    }
}

/// Linux `tcp_ca_needs_ecn()`: neither module does.
pub(crate) fn tcp_ca_needs_ecn(_tp: &TcpSock) -> bool {
    false
}

/// Linux `tcp_in_slow_start()`.
pub(crate) fn tcp_in_slow_start(tp: &TcpSock) -> bool {
    tp.snd_cwnd < tp.snd_ssthresh
}

/// Grows the window by what was acknowledged, up to `ssthresh`; what remains of `acked`
/// (Linux `tcp_slow_start()`).
pub(crate) fn tcp_slow_start(tp: &mut TcpSock, acked: u32) -> u32 {
    let cwnd = tp.snd_cwnd.saturating_add(acked).min(tp.snd_ssthresh);
    let rest = acked - (cwnd - tp.snd_cwnd);
    tp.snd_cwnd = cwnd.min(tp.snd_cwnd_clamp);
    rest
}

/// Grows the window by one segment for every `w` acknowledged (Linux `tcp_cong_avoid_ai()`).
pub(crate) fn tcp_cong_avoid_ai(tp: &mut TcpSock, w: u32, acked: u32) {
    // Credits may be left over from a larger `w`.
    if tp.snd_cwnd_cnt >= w {
        tp.snd_cwnd_cnt = 0;
        tp.snd_cwnd += 1;
    }
    tp.snd_cwnd_cnt = tp.snd_cwnd_cnt.saturating_add(acked);
    if let Some(delta) = tp.snd_cwnd_cnt.checked_div(w)
        && delta > 0
    {
        tp.snd_cwnd_cnt -= delta * w;
        tp.snd_cwnd = tp.snd_cwnd.saturating_add(delta);
    }
    tp.snd_cwnd = tp.snd_cwnd.min(tp.snd_cwnd_clamp);
}

/// Linux `tcp_reno_cong_avoid()`.
pub(crate) fn tcp_reno_cong_avoid(tp: &mut TcpSock, _ack: u32, mut acked: u32) {
    if !tcp_is_cwnd_limited(tp) {
        return;
    }
    if tcp_in_slow_start(tp) {
        acked = tcp_slow_start(tp, acked);
        if acked == 0 {
            return;
        }
    }
    tcp_cong_avoid_ai(tp, tp.snd_cwnd, acked);
}

/// Half the window, at least 2 (Linux `tcp_reno_ssthresh()`).
pub(crate) fn tcp_reno_ssthresh(tp: &TcpSock) -> u32 {
    (tp.snd_cwnd >> 1).max(2)
}

/// Linux `tcp_reno_undo_cwnd()`.
pub(crate) fn tcp_reno_undo_cwnd(tp: &TcpSock) -> u32 {
    tp.snd_cwnd.max(tp.prior_cwnd)
}

/// Whether the window, not the application, held the sender back; in slow start it may double
/// beyond what was used (Linux `tcp_is_cwnd_limited()`).
pub(crate) fn tcp_is_cwnd_limited(tp: &TcpSock) -> bool {
    tp.is_cwnd_limited
        || (tcp_in_slow_start(tp) && tp.snd_cwnd < tp.max_packets_out.saturating_mul(2))
}

/// `tcp_in_cwnd_reduction`.
pub(crate) fn tcp_in_cwnd_reduction(tp: &TcpSock) -> bool {
    matches!(tp.icsk.icsk_ca_state, CaState::Cwr | CaState::Recovery)
}

/// `tcp_current_ssthresh`: while the window is being reduced, the threshold as it is; else the
/// larger of it and three quarters of the window.
pub(crate) fn tcp_current_ssthresh(tp: &TcpSock) -> u32 {
    if tcp_in_cwnd_reduction(tp) {
        tp.snd_ssthresh
    } else {
        tp.snd_ssthresh.max((tp.snd_cwnd >> 1) + (tp.snd_cwnd >> 2))
    }
}
