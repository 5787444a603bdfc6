//! Round-trip time, retransmission time-out, and the smallest RTT of late (RFC 6298 with Linux's
//! changes: `tcp_rtt_estimator()`, `tcp_set_rto()`, `tcp_ack_update_rtt()`, 5.15).

use super::{FLAG_ACK_MAYBE_DELAYED, FLAG_ACKED};
use crate::net::Net;
use crate::net::ipv4::inet_connection_sock::tcp_rto_max;
use crate::net::ipv4::tcp_output::{tcp_rto_min_us, tcp_time_stamp};
use crate::net::ipv4::tcp_rate::{RateSample, tcp_min_rtt};
use crate::net::ipv4::tcp_sock::{MinmaxSample, TcpSock};
use crate::time::Jiffies;

/// Microseconds in a tick of the timestamp option's clock (`USEC_PER_SEC / TCP_TS_HZ`).
const USEC_PER_TS: u32 = 1000;
/// Largest difference of timestamps that is taken for an RTT (keeps the product in 31 bits).
const MAX_TS_DELTA: u32 = i32::MAX as u32 / USEC_PER_TS;

/// Feeds one RTT sample (microseconds) into the estimator.
///
/// `srtt_us` holds 8, `mdev_us` 4 times the value. A deviation that falls counts for an eighth
/// of its excess only, and `rttvar_us` falls at most once a window.
pub(crate) fn tcp_rtt_estimator(tp: &mut TcpSock, net: &Net, mrtt_us: i64) {
    let mut m = mrtt_us.min(i64::from(i32::MAX));
    let mut srtt = i64::from(tp.srtt_us);
    if srtt == 0 {
        srtt = m << 3;
        tp.mdev_us = clamp_u32(m << 1);
        tp.rttvar_us = tp.mdev_us.max(tcp_rto_min_us(tp, net) as u32);
        tp.mdev_max_us = tp.rttvar_us;
        tp.rtt_seq = tp.snd_nxt;
        tp.srtt_us = clamp_u32(srtt.max(1));
        return;
    }
    m -= srtt >> 3;
    srtt += m;
    if m < 0 {
        m = -m;
        m -= i64::from(tp.mdev_us >> 2);
        // The RTT fell: do not let that inflate the deviation.
        if m > 0 {
            m >>= 3;
        }
    } else {
        m -= i64::from(tp.mdev_us >> 2);
    }
    tp.mdev_us = clamp_u32(i64::from(tp.mdev_us) + m);
    if tp.mdev_us > tp.mdev_max_us {
        tp.mdev_max_us = tp.mdev_us;
        if tp.mdev_max_us > tp.rttvar_us {
            tp.rttvar_us = tp.mdev_max_us;
        }
    }
    if tp.snd_una.after(tp.rtt_seq) {
        if tp.mdev_max_us < tp.rttvar_us {
            tp.rttvar_us -= (tp.rttvar_us - tp.mdev_max_us) >> 2;
        }
        tp.rtt_seq = tp.snd_nxt;
        tp.mdev_max_us = tcp_rto_min_us(tp, net) as u32;
    }
    tp.srtt_us = clamp_u32(srtt.max(1));
}

fn clamp_u32(v: i64) -> u32 {
    v.clamp(0, i64::from(u32::MAX)) as u32
}

/// `__tcp_set_rto`: smoothed RTT plus deviation, jiffies, rounded up.
pub(crate) fn __tcp_set_rto(tp: &TcpSock, net: &Net) -> Jiffies {
    net.time.usecs_to_jiffies(u64::from(tp.srtt_us >> 3) + u64::from(tp.rttvar_us))
}

/// `tcp_set_rto`.
pub(crate) fn tcp_set_rto(tp: &mut TcpSock, net: &Net) {
    tp.icsk.icsk_rto = __tcp_set_rto(tp, net).min(tcp_rto_max(net));
}

/// `tcp_update_rtt_min`. A delayed ACK may only confirm a minimum, not raise it.
pub(crate) fn tcp_update_rtt_min(tp: &mut TcpSock, net: &Net, rtt_us: u32, flag: u32) {
    if flag & FLAG_ACK_MAYBE_DELAYED != 0 && rtt_us > tcp_min_rtt(tp) {
        return;
    }
    let hz = u64::from(net.time.hz());
    let window = (net.sysctl.tcp_min_rtt_wlen as u64 * hz) as u32;
    let rtt = if rtt_us == 0 { net.time.jiffies_to_usecs(1) as u32 } else { rtt_us };
    minmax_running_min(&mut tp.rtt_min, window, net.jiffies() as u32, rtt);
}

/// `minmax_running_min` (lib/win_minmax.c): the least value of a sliding window of time, kept as
/// the best three of it.
pub(crate) fn minmax_running_min(m: &mut [MinmaxSample; 3], window: u32, t: u32, v: u32) -> u32 {
    let val = MinmaxSample { t, v };
    if v <= m[0].v || t.wrapping_sub(m[2].t) > window {
        *m = [val; 3];
        return v;
    }
    if v <= m[1].v {
        m[1] = val;
        m[2] = val;
    } else if v <= m[2].v {
        m[2] = val;
    }
    minmax_subwin_update(m, window, val)
}

fn minmax_subwin_update(m: &mut [MinmaxSample; 3], window: u32, val: MinmaxSample) -> u32 {
    let dt = val.t.wrapping_sub(m[0].t);
    if dt > window {
        // The best is too old: the second takes its place, and perhaps the third after it.
        *m = [m[1], m[2], val];
        if val.t.wrapping_sub(m[0].t) > window {
            *m = [m[1], m[2], val];
        }
    } else if m[1].t == m[0].t && dt > window / 4 {
        m[1] = val;
        m[2] = val;
    } else if m[2].t == m[1].t && dt > window / 2 {
        m[2] = val;
    }
    m[0].v
}

/// The RTT that the echoed timestamp tells, microseconds, if it is one (`tcp_rtt_tsopt_us`).
pub(crate) fn tcp_rtt_tsopt_us(tp: &TcpSock) -> Option<u32> {
    let delta = tcp_time_stamp(tp).wrapping_sub(tp.rx_opt.rcv_tsecr);
    // A zero difference is less than a tick: half of that is nobody's guess, Linux takes one.
    (delta <= MAX_TS_DELTA).then(|| delta.max(1) * USEC_PER_TS)
}

/// Takes what an ACK says about the RTT (`tcp_ack_update_rtt`); whether the RTO was recomputed.
///
/// Karn's rule is the caller's: a sample of a retransmitted segment is -1. Then the echoed
/// timestamp is used, if the ACK moved SND.UNA.
pub(crate) fn tcp_ack_update_rtt(
    tp: &mut TcpSock,
    net: &Net,
    flag: u32,
    mut seq_rtt_us: i64,
    sack_rtt_us: i64,
    mut ca_rtt_us: i64,
    rs: &mut RateSample,
) -> bool {
    if seq_rtt_us < 0 {
        seq_rtt_us = sack_rtt_us;
    }
    if seq_rtt_us < 0
        && tp.rx_opt.saw_tstamp
        && tp.rx_opt.rcv_tsecr != 0
        && flag & FLAG_ACKED != 0
        && let Some(rtt) = tcp_rtt_tsopt_us(tp)
    {
        seq_rtt_us = i64::from(rtt);
        ca_rtt_us = seq_rtt_us;
    }
    rs.rtt_us = ca_rtt_us;
    if seq_rtt_us < 0 {
        return false;
    }
    tcp_update_rtt_min(tp, net, clamp_u32(ca_rtt_us), flag);
    tcp_rtt_estimator(tp, net, seq_rtt_us);
    tcp_set_rto(tp, net);
    tp.icsk.icsk_backoff = 0;
    true
}

/// The sample of a SYN-ACK that was sent once, at `snt_synack` us (`tcp_synack_rtt_meas`); 0: none.
pub(crate) fn tcp_synack_rtt_meas(tp: &mut TcpSock, net: &Net, snt_synack: u64) {
    let rtt_us = match snt_synack {
        0 => -1,
        at => tp.tcp_mstamp.saturating_sub(at) as i64,
    };
    let mut rs = RateSample::default();
    tcp_ack_update_rtt(tp, net, super::FLAG_SYN_ACKED, rtt_us, -1, rtt_us, &mut rs);
}
