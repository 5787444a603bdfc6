//! The window to advertise, and segment sizes (Linux `tcp_output.c`).

use crate::net::Net;
use crate::net::core::stream::tcp_under_memory_pressure;
use crate::net::ipv4::mib::TcpExt;
use crate::net::ipv4::tcp_sock::{ICSK_ACK_NOMEM, MAX_TCP_WINDOW, TcpSock};

/// Bytes of window that `space` bytes of buffer give (`tcp_win_from_space`): by the measured
/// ratio of payload to truesize (6.6 and later), or by `tcp_adv_win_scale`.
pub(crate) fn tcp_win_from_space(tp: &TcpSock, net: &Net, space: i32) -> i32 {
    if net.profile.scaling_ratio {
        return ((i64::from(space) * i64::from(tp.scaling_ratio)) >> 8) as i32;
    }
    let scale = net.sysctl.tcp_adv_win_scale as i32;
    if scale <= 0 { space >> -scale } else { space - (space >> scale) }
}

/// The inverse of [`tcp_win_from_space`] (`tcp_space_from_win`).
pub(crate) fn tcp_space_from_win(tp: &TcpSock, net: &Net, win: i32) -> i32 {
    if net.profile.scaling_ratio {
        let space = (i64::from(win) << 8) / i64::from(tp.scaling_ratio.max(1));
        return space.min(i64::from(i32::MAX)) as i32;
    }
    let scale = net.sysctl.tcp_adv_win_scale as i32;
    let space = if scale <= 0 {
        i64::from(win) << -scale
    } else {
        // Exact for a scale of 1; Linux has no inverse for larger ones.
        (i64::from(win) << scale) / ((1 << scale) - 1)
    };
    space.min(i64::from(i32::MAX)) as i32
}

/// Window that the free part of the receive buffer gives (`tcp_space`).
pub(crate) fn tcp_space(tp: &TcpSock, net: &Net) -> i32 {
    let free = tp.sk.sk_rcvbuf.wrapping_sub(tp.sk.sk_backlog_len).wrapping_sub(tp.sk.sk_rmem_alloc);
    tcp_win_from_space(tp, net, free)
}

/// Window that the whole receive buffer gives (`tcp_full_space`).
pub(crate) fn tcp_full_space(tp: &TcpSock, net: &Net) -> i32 {
    tcp_win_from_space(tp, net, tp.sk.sk_rcvbuf)
}

/// Under memory pressure the window is held at four segments (`tcp_adjust_rcv_ssthresh`).
pub(crate) fn tcp_adjust_rcv_ssthresh(tp: &mut TcpSock) {
    tp.rcv_ssthresh = tp.rcv_ssthresh.min(4 * u32::from(tp.advmss));
}

fn align_up(value: u32, shift: u8) -> u32 {
    let unit = 1u32 << shift;
    value.checked_next_multiple_of(unit).unwrap_or(value & !(unit - 1))
}

/// What the window could be, never mind what was promised (Linux `__tcp_select_window()`).
pub(crate) fn __tcp_select_window(tp: &mut TcpSock, net: &mut Net) -> u32 {
    let wscale = tp.rx_opt.rcv_wscale;
    let mut mss = i32::from(tp.icsk.icsk_ack.rcv_mss);
    let mut free_space = tcp_space(tp, net);
    let allowed_space = tcp_full_space(tp, net);
    let full_space = (tp.window_clamp.min(i32::MAX as u32) as i32).min(allowed_space);
    if mss > full_space {
        mss = full_space;
        if mss <= 0 {
            return 0;
        }
    }
    let shrink = net.sysctl.tcp_shrink_window != 0 && wscale != 0;
    if shrink {
        free_space &= !((1 << wscale) - 1);
    }
    if free_space < full_space >> 1 {
        tp.icsk.icsk_ack.quick = 0;
        if tcp_under_memory_pressure(net) {
            tcp_adjust_rcv_ssthresh(tp);
        }
        free_space &= !((1 << wscale) - 1);
        let too_small = free_space < allowed_space >> 4 || free_space < mss;
        if too_small || (shrink && free_space < 1 << wscale) {
            return 0;
        }
    }
    let free_space = (free_space.max(0) as u32).min(tp.rcv_ssthresh);
    if shrink {
        return align_up(free_space, wscale);
    }
    if wscale != 0 {
        // Rounded up, so that scaling does not lose what is free.
        return align_up(free_space, wscale);
    }
    unscaled_window(tp.rcv_wnd, free_space, mss as u32, full_space as u32)
}

/// Without scaling, the old window stays while it is within one segment of what is free.
fn unscaled_window(rcv_wnd: u32, free_space: u32, mss: u32, full_space: u32) -> u32 {
    let window = i64::from(rcv_wnd);
    let free = i64::from(free_space);
    if window <= free - i64::from(mss) || window > free {
        return free_space / mss * mss;
    }
    if mss == full_space && free > window + i64::from(full_space >> 1) {
        return free_space;
    }
    rcv_wnd
}

/// Chooses the window of a segment that is about to leave; the header's value
/// (Linux `tcp_select_window()`). The promise is never taken back unless `tcp_shrink_window`.
pub(crate) fn tcp_select_window(tp: &mut TcpSock, net: &mut Net) -> u16 {
    let old_win = tp.rcv_wnd;
    if net.profile.ack_nomem && tp.icsk.icsk_ack.pending & ICSK_ACK_NOMEM != 0 {
        tp.pred_flags = 0;
        tp.rcv_wnd = 0;
        tp.rcv_wup = tp.rcv_nxt;
        if old_win != 0 {
            net.mib.inc(TcpExt::TCPToZeroWindowAdv);
        }
        return 0;
    }
    let wscale = tp.rx_opt.rcv_wscale;
    let cur_win = tp.receive_window();
    let mut new_win = __tcp_select_window(tp, net);
    if new_win < cur_win && (net.sysctl.tcp_shrink_window == 0 || wscale == 0) {
        if new_win == 0 {
            net.mib.inc(TcpExt::TCPWantZeroWindowAdv);
        }
        new_win = align_up(cur_win, wscale);
    }
    tp.rcv_wnd = new_win;
    tp.rcv_wup = tp.rcv_nxt;
    let most = if wscale == 0 && net.sysctl.tcp_workaround_signed_windows != 0 {
        MAX_TCP_WINDOW
    } else {
        65535 << wscale
    };
    let field = new_win.min(most) >> wscale;
    if field == 0 {
        tp.pred_flags = 0;
        if old_win != 0 {
            net.mib.inc(TcpExt::TCPToZeroWindowAdv);
        }
    } else if old_win == 0 {
        net.mib.inc(TcpExt::TCPFromZeroWindowAdv);
    }
    field as u16
}

/// What [`tcp_select_initial_window`] decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InitialWindow {
    pub(crate) rcv_wnd: u32,
    pub(crate) window_clamp: u32,
    pub(crate) rcv_wscale: u8,
}

/// The window and its scale at a connection's beginning (Linux `tcp_select_initial_window()`).
/// `space` and `window_clamp` in bytes, a clamp of 0: none; `init_rcv_wnd` in segments, 0: none.
pub(crate) fn tcp_select_initial_window(
    net: &Net,
    space: i32,
    mss: u32,
    window_clamp: u32,
    wscale_ok: bool,
    init_rcv_wnd: u32,
) -> InitialWindow {
    let mut clamp = if window_clamp == 0 { 65535 << 14 } else { window_clamp };
    let mut space = clamp.min(space.max(0) as u32);
    if space > mss && mss > 0 {
        space = space / mss * mss;
    }
    let mut rcv_wnd = if net.sysctl.tcp_workaround_signed_windows != 0 {
        space.min(MAX_TCP_WINDOW)
    } else if net.profile.initial_window_u16 {
        space.min(65535)
    } else {
        space
    };
    if init_rcv_wnd != 0 {
        rcv_wnd = rcv_wnd.min(init_rcv_wnd.saturating_mul(mss));
    }
    let mut rcv_wscale = 0;
    if wscale_ok {
        let most = space
            .max(net.sysctl.tcp_rmem[2].max(0) as u32)
            .max(net.sysctl.rmem_max.clamp(0, i64::from(u32::MAX)) as u32)
            .min(clamp);
        rcv_wscale = most.checked_ilog2().unwrap_or(0).saturating_sub(15).min(14) as u8;
    }
    clamp = clamp.min(65535 << rcv_wscale);
    InitialWindow { rcv_wnd, window_clamp: clamp, rcv_wscale }
}

/// A segment is at most half of the largest window that the peer ever offered
/// (Linux `tcp_bound_to_half_wnd()`).
pub(crate) fn tcp_bound_to_half_wnd(tp: &TcpSock, pktsize: u32) -> u32 {
    // A peer with a tiny window is taken at its word.
    let cutoff = if tp.max_window > 536 { tp.max_window >> 1 } else { tp.max_window };
    if cutoff != 0 && pktsize > cutoff {
        cutoff.max(68u32.saturating_sub(tp.tcp_header_len.into()))
    } else {
        pktsize
    }
}

/// `icsk_af_ops->net_header_len`, bytes.
fn net_header_len(tp: &TcpSock) -> u32 {
    if tp.sk.ipv6_specific().is_some() { 40 } else { 20 }
}

/// Payload that a packet of `pmtu` bytes holds, options of SYNs aside (`__tcp_mtu_to_mss`).
pub(crate) fn mtu_to_mss_without_options(tp: &TcpSock, net: &Net, pmtu: u32) -> u32 {
    let mss = pmtu.saturating_sub(net_header_len(tp) + 20);
    let mss = mss.min(tp.rx_opt.mss_clamp.into());
    let mss = mss.saturating_sub(tp.icsk.icsk_ext_hdr_len.into());
    mss.max(net.sysctl.tcp_min_snd_mss as u32)
}

/// Linux `tcp_mtu_to_mss()`.
pub(crate) fn tcp_mtu_to_mss(tp: &TcpSock, net: &Net, pmtu: u32) -> u32 {
    let options = u32::from(tp.tcp_header_len).saturating_sub(20);
    mtu_to_mss_without_options(tp, net, pmtu).saturating_sub(options)
}

/// Linux `tcp_mss_to_mtu()`.
pub(crate) fn tcp_mss_to_mtu(tp: &TcpSock, mss: u32) -> u32 {
    let options = u32::from(tp.icsk.icsk_ext_hdr_len);
    mss + u32::from(tp.tcp_header_len) + options + net_header_len(tp)
}

/// Linux `tcp_mss_clamp()`: `TCP_MAXSEG` bounds what is announced and what is used.
pub(crate) fn tcp_mss_clamp(tp: &TcpSock, mss: u32) -> u32 {
    match tp.rx_opt.user_mss {
        0 => mss,
        user => mss.min(user.into()),
    }
}

/// Adopts a path MTU; the segment size that follows (Linux `tcp_sync_mss()`).
pub(crate) fn tcp_sync_mss(tp: &mut TcpSock, net: &mut Net, pmtu: u32) -> u32 {
    tp.icsk.icsk_mtup.search_high = tp.icsk.icsk_mtup.search_high.min(pmtu);
    let mut mss = tcp_bound_to_half_wnd(tp, tcp_mtu_to_mss(tp, net, pmtu));
    tp.icsk.icsk_pmtu_cookie = pmtu;
    if tp.icsk.icsk_mtup.enabled {
        mss = mss.min(tcp_mtu_to_mss(tp, net, tp.icsk.icsk_mtup.search_low));
    }
    tp.mss_cache = mss.max(1);
    tp.mss_cache
}

/// The size of a full segment now: path MTU and the options of this moment
/// (Linux `tcp_current_mss()`).
pub(crate) fn tcp_current_mss(tp: &mut TcpSock, net: &mut Net) -> u32 {
    let mut mss = tp.mss_cache;
    // A device whose MTU was lowered is seen at once, before the route is looked up anew.
    if let Some(mtu) = tp.sk.sk_dst.as_ref().map(|d| d.mtu.min(net.devs[d.dev].mtu))
        && mtu != tp.icsk.icsk_pmtu_cookie
    {
        mss = tcp_sync_mss(tp, net, mtu);
    }
    let header_len = 20 + super::options::established_options_size(tp);
    // Only SACK blocks make it longer than the usual one.
    let longer = header_len.saturating_sub(tp.tcp_header_len.into());
    let shorter = u32::from(tp.tcp_header_len).saturating_sub(header_len);
    (mss + shorter).saturating_sub(longer).max(1)
}

/// The largest MTU that the peer's segment size admits.
pub(super) fn mtup_search_high(tp: &TcpSock) -> u32 {
    u32::from(tp.rx_opt.mss_clamp) + 20 + net_header_len(tp)
}

/// Prepares path MTU probing (Linux `tcp_mtup_init()`).
pub(crate) fn tcp_mtup_init(tp: &mut TcpSock, net: &mut Net) {
    tp.icsk.icsk_mtup.enabled = net.sysctl.tcp_mtu_probing > 1;
    tp.icsk.icsk_mtup.search_high = mtup_search_high(tp);
    tp.icsk.icsk_mtup.search_low = tcp_mss_to_mtu(tp, net.sysctl.tcp_base_mss as u32);
    tp.icsk.icsk_mtup.probe_size = 0;
    if tp.icsk.icsk_mtup.enabled {
        tp.icsk.icsk_mtup.probe_timestamp = net.jiffies();
    }
}
