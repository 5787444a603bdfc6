//! SOL_TCP options (Linux `do_tcp_setsockopt()`, `do_tcp_getsockopt()`).

use super::*;
use crate::net::ipv4::inet_connection_sock::{
    inet_csk_ack_scheduled, inet_csk_enter_pingpong_mode, inet_csk_exit_pingpong_mode,
    inet_csk_in_pingpong_mode, inet_csk_reset_keepalive_timer, tcp_rto_max,
};
use crate::net::ipv4::tcp_cong::tcp_set_congestion_control;
use crate::net::ipv4::tcp_fastopen::*;
use crate::net::ipv4::tcp_md5::tcp_parse_md5_keys;
use crate::net::ipv4::tcp_output::tcp_push_pending_frames;
use crate::net::ipv4::tcp_timer::{
    keepalive_intvl_when, keepalive_probes, keepalive_time_elapsed, keepalive_time_when,
};

/// Longest keepalive time and interval, seconds (`MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`).
const MAX_TCP_KEEP: i32 = 32767;
const MAX_TCP_KEEPCNT: i32 = 127;
const MAX_TCP_SYNCNT: i32 = 127;
/// `TCP_FIN_TIMEOUT_MAX`, seconds.
const TCP_FIN_TIMEOUT_MAX: i32 = 120;
const MAX_TCP_WINDOW_MSS: i32 = 32767;

/// setsockopt(2) at SOL_TCP.
///
/// # Errors
/// EINVAL for a bad value or size, ENOENT for an unknown congestion control, ENOPROTOOPT.
pub(crate) fn tcp_setsockopt(
    tp: &mut TcpSock,
    net: &mut Net,
    name: i32,
    value: &[u8],
) -> Result<(), Errno> {
    if name == TCP_CONGESTION {
        let text = value.split(|b| *b == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| Errno::ENOENT)?;
        if value.is_empty() {
            return Err(Errno::EINVAL);
        }
        return tcp_set_congestion_control(tp, net, text);
    }
    if name == TCP_ULP {
        // No upper-layer protocol is built: every name is unknown, an empty value is none.
        return Err(if value.is_empty() { Errno::EINVAL } else { Errno::ENOENT });
    }
    if matches!(name, TCP_MD5SIG | TCP_MD5SIG_EXT) {
        return tcp_parse_md5_keys(tp, name, value);
    }
    if name == TCP_FASTOPEN_KEY {
        let keys = TcpFastopenContext::from_bytes(value).ok_or(Errno::EINVAL)?;
        tp.icsk.fastopenq_mut().ctx = Some(keys);
        return Ok(());
    }
    let bytes: [u8; 4] = value.get(..4).and_then(|b| b.try_into().ok()).ok_or(Errno::EINVAL)?;
    let val = i32::from_ne_bytes(bytes);
    match name {
        TCP_MAXSEG => set_maxseg(tp, val),
        TCP_NODELAY => {
            set_nodelay(tp, net, val != 0);
            Ok(())
        }
        TCP_CORK => {
            set_cork(tp, net, val != 0);
            Ok(())
        }
        TCP_KEEPIDLE => set_keepidle(tp, net, val),
        TCP_KEEPINTVL => {
            let v = within(val, 1, MAX_TCP_KEEP)?;
            tp.keepalive_intvl = Some(v as u32 * net.time.hz());
            Ok(())
        }
        TCP_KEEPCNT => {
            tp.keepalive_probes = within(val, 1, MAX_TCP_KEEPCNT)? as u8;
            Ok(())
        }
        TCP_SYNCNT => {
            tp.icsk.icsk_syn_retries = within(val, 1, MAX_TCP_SYNCNT)? as u8;
            Ok(())
        }
        TCP_LINGER2 => {
            tp.linger2 = match val {
                ..0 => -1,
                v if v > TCP_FIN_TIMEOUT_MAX => TCP_FIN_TIMEOUT_MAX * net.time.hz() as i32,
                v => v * net.time.hz() as i32,
            };
            Ok(())
        }
        TCP_DEFER_ACCEPT => {
            let max = tcp_rto_max(net) / Jiffies::from(net.time.hz());
            tp.defer_accept = secs_to_retrans(val, 1, max as i32);
            Ok(())
        }
        TCP_WINDOW_CLAMP => set_window_clamp(tp, net, val),
        TCP_QUICKACK => {
            set_quickack(tp, net, val);
            Ok(())
        }
        TCP_THIN_LINEAR_TIMEOUTS => {
            tp.thin_lto = within(val, 0, 1)? != 0;
            Ok(())
        }
        // Taken and without effect since RACK (4.19).
        TCP_THIN_DUPACK => within(val, 0, 1).map(drop),
        TCP_USER_TIMEOUT => {
            tp.icsk.icsk_user_timeout = u32::try_from(val).map_err(|_| Errno::EINVAL)?;
            Ok(())
        }
        TCP_NOTSENT_LOWAT => {
            tp.notsent_lowat = val as u32;
            net.sk_write_space(tp.sk.id);
            Ok(())
        }
        TCP_INQ if !(0..=1).contains(&val) => Err(Errno::EINVAL),
        TCP_INQ => {
            tp.recvmsg_inq = val == 1;
            Ok(())
        }
        TCP_FASTOPEN | TCP_FASTOPEN_CONNECT | TCP_FASTOPEN_NO_COOKIE => {
            set_fastopen(tp, net, name, val)
        }
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// The options of Fast Open that are a number; for a socket that is not connected.
fn set_fastopen(tp: &mut TcpSock, net: &mut Net, name: i32, val: i32) -> Result<(), Errno> {
    let idle = matches!(tp.sk.sk_state, TcpState::Close | TcpState::Listen);
    match name {
        TCP_FASTOPEN => {
            let backlog = u32::try_from(val).map_err(|_| Errno::EINVAL)?;
            if !idle {
                return Err(Errno::EINVAL);
            }
            tcp_fastopen_init_key_once(net);
            fastopen_queue_tune(tp, net, backlog);
        }
        TCP_FASTOPEN_CONNECT => {
            let on = within(val, 0, 1)? != 0;
            if net.sysctl.tcp_fastopen & TFO_CLIENT_ENABLE == 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if tp.sk.sk_state != TcpState::Close {
                return Err(Errno::EINVAL);
            }
            tp.fastopen.fastopen_connect = on;
        }
        _ => {
            let on = within(val, 0, 1)? != 0;
            if !idle {
                return Err(Errno::EINVAL);
            }
            tp.fastopen.fastopen_no_cookie = on;
        }
    }
    Ok(())
}

fn within(val: i32, low: i32, high: i32) -> Result<i32, Errno> {
    if (low..=high).contains(&val) { Ok(val) } else { Err(Errno::EINVAL) }
}

fn set_maxseg(tp: &mut TcpSock, val: i32) -> Result<(), Errno> {
    if val != 0 {
        within(val, TCP_MIN_MSS.into(), MAX_TCP_WINDOW_MSS)?;
    }
    tp.rx_opt.user_mss = val as u16;
    Ok(())
}

/// Off, and with what was held back pushed once (Linux `__tcp_sock_set_nodelay()`).
fn set_nodelay(tp: &mut TcpSock, net: &mut Net, on: bool) {
    if on {
        tp.nonagle |= TCP_NAGLE_OFF | TCP_NAGLE_PUSH;
        tcp_push_pending_frames(tp, net);
    } else {
        tp.nonagle &= !TCP_NAGLE_OFF;
    }
}

/// Linux `__tcp_sock_set_cork()`.
fn set_cork(tp: &mut TcpSock, net: &mut Net, on: bool) {
    if on {
        tp.nonagle |= TCP_NAGLE_CORK;
    } else {
        tp.nonagle &= !TCP_NAGLE_CORK;
        if tp.nonagle & TCP_NAGLE_OFF != 0 {
            tp.nonagle |= TCP_NAGLE_PUSH;
        }
        tcp_push_pending_frames(tp, net);
    }
}

/// Linux `tcp_sock_set_keepidle_locked()`.
fn set_keepidle(tp: &mut TcpSock, net: &mut Net, val: i32) -> Result<(), Errno> {
    let v = within(val, 1, MAX_TCP_KEEP)?;
    tp.keepalive_time = Some(v as u32 * net.time.hz());
    if tp.sk.keepopen && !matches!(tp.sk.sk_state, TcpState::Close | TcpState::Listen) {
        let left = keepalive_time_when(tp, net).saturating_sub(keepalive_time_elapsed(tp, net));
        inet_csk_reset_keepalive_timer(tp, net, left);
    }
    Ok(())
}

/// Linux `tcp_set_window_clamp()`: 0 takes the clamp away, but only while closed.
fn set_window_clamp(tp: &mut TcpSock, net: &mut Net, val: i32) -> Result<(), Errno> {
    if val == 0 {
        if tp.sk.sk_state != TcpState::Close {
            return Err(Errno::EINVAL);
        }
        tp.window_clamp = 0;
        return Ok(());
    }
    let floor = crate::net::core::sock::SOCK_MIN_RCVBUF / 2;
    let old = tp.window_clamp;
    let new = val.max(floor) as u32;
    tp.window_clamp = new;
    if new == old {
        return Ok(());
    }
    // A smaller clamp takes back what was granted, a larger one gives the window again.
    if !net.profile.scaling_ratio {
        tp.rcv_ssthresh = tp.rcv_wnd.min(tp.window_clamp);
    } else if new < old {
        tp.rcv_ssthresh = tp.rcv_ssthresh.min(new);
    } else {
        tp.rcv_ssthresh = tp.rcv_wnd.min(new).max(tp.rcv_ssthresh);
    }
    Ok(())
}

/// Linux `__tcp_sock_set_quickack()`.
fn set_quickack(tp: &mut TcpSock, net: &mut Net, val: i32) {
    if val == 0 {
        return inet_csk_enter_pingpong_mode(tp, net);
    }
    inet_csk_exit_pingpong_mode(tp, net);
    let open = matches!(tp.sk.sk_state, TcpState::Established | TcpState::CloseWait);
    if open && inet_csk_ack_scheduled(tp) {
        tp.icsk.icsk_ack.pending |= ICSK_ACK_PUSHED;
        tcp_cleanup_rbuf(tp, net, 1);
        // An even value asks for one quick ACK only.
        if val & 1 == 0 {
            inet_csk_enter_pingpong_mode(tp, net);
        }
    }
}

/// Seconds to a number of retransmissions that take that long (`secs_to_retrans`).
fn secs_to_retrans(seconds: i32, timeout: i32, rto_max: i32) -> u8 {
    let mut res = 0u8;
    if seconds > 0 {
        let (mut period, mut timeout) = (i64::from(timeout), i64::from(timeout));
        res = 1;
        while i64::from(seconds) > period && res < 255 {
            res += 1;
            timeout = (timeout << 1).min(rto_max.into());
            period += timeout;
        }
    }
    res
}

/// The inverse (`retrans_to_secs`).
fn retrans_to_secs(retrans: u8, timeout: i32, rto_max: i32) -> i32 {
    let (mut period, mut timeout) = (0, timeout);
    for n in 0..retrans {
        if n > 0 {
            timeout = (timeout << 1).min(rto_max);
        }
        period += timeout;
    }
    period
}

/// getsockopt(2) at SOL_TCP: at most `len` bytes of the value.
///
/// # Errors
/// ENOPROTOOPT.
pub(crate) fn tcp_getsockopt(
    tp: &mut TcpSock,
    net: &mut Net,
    name: i32,
    len: usize,
) -> Result<Vec<u8>, Errno> {
    let hz = Jiffies::from(net.time.hz());
    let val: i64 = match name {
        TCP_INFO => {
            let mut bytes = tcp_get_info(tp, net).to_bytes();
            bytes.truncate(len);
            return Ok(bytes);
        }
        TCP_CONGESTION => {
            let mut bytes = tp.icsk.icsk_ca.name().as_bytes().to_vec();
            bytes.resize(16, 0);
            bytes.truncate(len);
            return Ok(bytes);
        }
        // Neither reno nor cubic has anything to tell, and no upper-layer protocol is loaded.
        TCP_CC_INFO | TCP_ULP => return Ok(Vec::new()),
        TCP_MAXSEG => maxseg(tp),
        TCP_NODELAY => i64::from(tp.nonagle & TCP_NAGLE_OFF != 0),
        TCP_CORK => i64::from(tp.nonagle & TCP_NAGLE_CORK != 0),
        TCP_KEEPIDLE => (keepalive_time_when(tp, net) / hz) as i64,
        TCP_KEEPINTVL => (keepalive_intvl_when(tp, net) / hz) as i64,
        TCP_KEEPCNT => keepalive_probes(tp, net).into(),
        TCP_SYNCNT => match tp.icsk.icsk_syn_retries {
            0 => net.sysctl.tcp_syn_retries,
            own => own.into(),
        },
        TCP_LINGER2 => match tp.linger2 {
            0 => net.sysctl.tcp_fin_timeout,
            v if v > 0 => i64::from(v) / hz as i64,
            v => v.into(),
        },
        TCP_DEFER_ACCEPT => {
            retrans_to_secs(tp.defer_accept, 1, (tcp_rto_max(net) / hz) as i32).into()
        }
        TCP_WINDOW_CLAMP => tp.window_clamp.into(),
        TCP_QUICKACK => i64::from(!inet_csk_in_pingpong_mode(tp, net)),
        TCP_THIN_LINEAR_TIMEOUTS => tp.thin_lto.into(),
        TCP_THIN_DUPACK => 0,
        TCP_USER_TIMEOUT => tp.icsk.icsk_user_timeout.into(),
        TCP_NOTSENT_LOWAT => tp.notsent_lowat.into(),
        TCP_INQ => tp.recvmsg_inq.into(),
        TCP_TIMESTAMP => {
            let now = (net.time.ktime_ns() / crate::time::NSEC_PER_MSEC) as u32;
            now.wrapping_add(tp.tsoffset).into()
        }
        TCP_FASTOPEN => fastopen_max_qlen(tp).into(),
        TCP_FASTOPEN_CONNECT => tp.fastopen.fastopen_connect.into(),
        TCP_FASTOPEN_NO_COOKIE => tp.fastopen.fastopen_no_cookie.into(),
        TCP_FASTOPEN_KEY => {
            let keys = tcp_fastopen_get_ctx(tp, net);
            let mut bytes = keys.map_or_else(Vec::new, TcpFastopenContext::to_bytes);
            bytes.truncate(len);
            return Ok(bytes);
        }
        _ => return Err(Errno::ENOPROTOOPT),
    };
    let mut bytes = (val as i32).to_ne_bytes().to_vec();
    bytes.truncate(len);
    Ok(bytes)
}

fn maxseg(tp: &TcpSock) -> i64 {
    let user = tp.rx_opt.user_mss;
    if user != 0 && matches!(tp.sk.sk_state, TcpState::Close | TcpState::Listen) {
        return user.into();
    }
    tp.mss_cache.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_of_defer_accept_become_tries_and_back() {
        assert_eq!(secs_to_retrans(0, 1, 120), 0);
        assert_eq!(secs_to_retrans(1, 1, 120), 1);
        assert_eq!(secs_to_retrans(5, 1, 120), 3);
        assert_eq!(retrans_to_secs(3, 1, 120), 7);
    }
}
