//! CUBIC (Linux `tcp_cubic.c`, RFC 9438), with Linux's fixed-point arithmetic and HyStart.
//!
//! Times of the epoch are jiffies scaled to 1/1024 s, those of HyStart microseconds.

use super::mib::TcpExt;
use super::tcp_cong::{
    AckSample, CongestionOps, tcp_cong_avoid_ai, tcp_in_slow_start, tcp_is_cwnd_limited,
    tcp_slow_start,
};
use super::tcp_sock::TcpSock;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::core::sock::PacingStatus;
use crate::time::Jiffies;

/// Scale of `beta` (`BICTCP_BETA_SCALE`).
const BETA_SCALE: u32 = 1024;
/// 717/1024: what is left of the window after a loss.
const BETA: u32 = 717;
/// log2 of the time unit's rate (`BICTCP_HZ`).
const BICTCP_HZ: u32 = 10;
const BIC_SCALE: u32 = 41;
/// `cube_rtt_scale`: C/8 in 1/2^10 units, from `bic_scale * 10`.
const CUBE_RTT_SCALE: u64 = (BIC_SCALE * 10) as u64;
/// `beta_scale`: 8 * (scale + beta) / 3 / (scale - beta).
const RENO_SCALE: u32 = 8 * (BETA_SCALE + BETA) / 3 / (BETA_SCALE - BETA);
/// `cube_factor`: 2^(10 + 3 * 10) / (bic_scale * 10).
const CUBE_FACTOR: u64 = (1 << (10 + 3 * BICTCP_HZ)) / CUBE_RTT_SCALE;

/// HyStart needs a window of 16 segments (`hystart_low_window`).
const HYSTART_LOW_WINDOW: u32 = 16;
/// ACKs at most this far apart belong to one train (`hystart_ack_delta_us`).
const HYSTART_ACK_DELTA_US: u32 = 2000;
const HYSTART_MIN_SAMPLES: u8 = 8;
const HYSTART_DELAY_MIN_US: u32 = 4000;
const HYSTART_DELAY_MAX_US: u32 = 16_000;

/// `struct bictcp`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bictcp {
    /// Window is increased by one per this many ACKed segments.
    cnt: u32,
    last_max_cwnd: u32,
    last_cwnd: u32,
    last_time: Jiffies,
    bic_origin_point: u32,
    /// Time to the origin point, 1/1024 s.
    bic_k: u32,
    /// Minimum delay, us; 0: unknown.
    delay_min: u32,
    /// Beginning of the epoch; `None`: none.
    epoch_start: Option<Jiffies>,
    ack_cnt: u32,
    tcp_cwnd: u32,
    sample_cnt: u8,
    found: bool,
    round_start: u32,
    end_seq: SeqNum,
    last_ack: u32,
    curr_rtt: u32,
}

impl Bictcp {
    /// `bictcp_reset`.
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Cubic's state beside a copy of the numbers that it reads; `None` if another module is chosen.
pub(super) fn taken(tp: &mut TcpSock) -> Option<(&mut Bictcp, CubicView)> {
    let view = CubicView {
        snd_cwnd: tp.snd_cwnd,
        mstamp: tp.tcp_mstamp as u32,
        snd_nxt: tp.snd_nxt,
        in_slow_start: tcp_in_slow_start(tp),
    };
    match &mut tp.icsk.icsk_ca {
        CongestionOps::Cubic(ca) => Some((ca, view)),
        CongestionOps::Reno => None,
    }
}

/// What cubic reads of its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct CubicView {
    snd_cwnd: u32,
    mstamp: u32,
    snd_nxt: SeqNum,
    in_slow_start: bool,
}

fn hystart_reset(ca: &mut Bictcp, v: CubicView) {
    ca.round_start = v.mstamp;
    ca.last_ack = v.mstamp;
    ca.end_seq = v.snd_nxt;
    ca.curr_rtt = u32::MAX;
    ca.sample_cnt = 0;
}

/// Linux `cubictcp_init()`.
pub(super) fn cubictcp_init(ca: &mut Bictcp, v: CubicView) {
    ca.reset();
    hystart_reset(ca, v);
}

/// The epoch does not count idle time (Linux `cubictcp_cwnd_event()`, CA_EVENT_TX_START).
pub(super) fn cubictcp_tx_start(tp: &mut TcpSock, net: &Net) {
    let now = net.jiffies();
    let idle = now as i64 - tp.lsndtime as i64;
    let CongestionOps::Cubic(ca) = &mut tp.icsk.icsk_ca else { return };
    if let Some(start) = ca.epoch_start
        && idle > 0
    {
        ca.epoch_start = Some((start + idle as u64).min(now));
    }
}

/// Linux `bictcp_update()`.
fn bictcp_update(ca: &mut Bictcp, net: &Net, cwnd: u32, acked: u32) {
    let now = net.jiffies();
    let hz = u64::from(net.time.hz());
    ca.ack_cnt += acked;
    if ca.last_cwnd == cwnd && now - ca.last_time <= hz / 32 {
        return;
    }
    // Recomputed at most once a jiffy, but Reno's estimate always.
    if ca.epoch_start.is_none() || now != ca.last_time {
        ca.last_cwnd = cwnd;
        ca.last_time = now;
        let start = match ca.epoch_start {
            Some(start) => start,
            None => {
                ca.ack_cnt = acked;
                ca.tcp_cwnd = cwnd;
                if ca.last_max_cwnd <= cwnd {
                    ca.bic_k = 0;
                    ca.bic_origin_point = cwnd;
                } else {
                    let distance = u64::from(ca.last_max_cwnd - cwnd);
                    ca.bic_k = cubic_root(CUBE_FACTOR * distance);
                    ca.bic_origin_point = ca.last_max_cwnd;
                }
                ca.epoch_start = Some(now);
                now
            }
        };
        cubic_growth(ca, cwnd, now - start, hz);
    }
    tcp_friendliness(ca, cwnd);
    ca.cnt = ca.cnt.max(2);
}

/// The cubic function itself: `cnt` from the distance to the target one RTT ahead.
fn cubic_growth(ca: &mut Bictcp, cwnd: u32, since_epoch: Jiffies, hz: u64) {
    // The minimum delay is added in jiffies, then the unit becomes 2^-10 s.
    let jiffies = since_epoch + (u64::from(ca.delay_min) * hz).div_ceil(1_000_000);
    let t = (jiffies << BICTCP_HZ) / hz;
    let k = u64::from(ca.bic_k);
    let offs = t.abs_diff(k);
    let cube = u128::from(CUBE_RTT_SCALE) * u128::from(offs).pow(3);
    let delta = (cube >> (10 + 3 * BICTCP_HZ)).min(u128::from(u32::MAX)) as u32;
    let target = if t < k {
        ca.bic_origin_point.saturating_sub(delta)
    } else {
        ca.bic_origin_point.saturating_add(delta)
    };
    ca.cnt = if target > cwnd { cwnd / (target - cwnd) } else { cwnd.saturating_mul(100) };
    if ca.last_max_cwnd == 0 && ca.cnt > 20 {
        ca.cnt = 20;
    }
}

/// Never slower than Reno would be (`tcp_friendliness`).
fn tcp_friendliness(ca: &mut Bictcp, cwnd: u32) {
    let delta = ((u64::from(cwnd) * u64::from(RENO_SCALE)) >> 3).min(u64::from(u32::MAX)) as u32;
    if let Some(steps) = ca.ack_cnt.saturating_sub(1).checked_div(delta)
        && delta > 0
    {
        ca.ack_cnt -= steps * delta;
        ca.tcp_cwnd = ca.tcp_cwnd.saturating_add(steps);
    }
    if ca.tcp_cwnd > cwnd {
        let max_cnt = cwnd / (ca.tcp_cwnd - cwnd);
        ca.cnt = ca.cnt.min(max_cnt);
    }
}

/// The cube root to within 0.2 % (Linux `cubic_root()`): a table for the first six bits, then one
/// Newton-Raphson step.
pub(super) fn cubic_root(a: u64) -> u32 {
    let b = 64 - a.leading_zeros();
    if b < 7 {
        return (u32::from(ROOTS[a as usize]) + 35) >> 6;
    }
    let b = ((b * 84) >> 8) - 1;
    let shift = (a >> (b * 3)) as usize;
    let x = ((u32::from(ROOTS[shift & 63]) + 10) << b) >> 6;
    // x' = (2x + a / x^2) / 3, with the division by three as a multiplication by 341/1024.
    let x = u64::from(x);
    let x = 2 * x + a / (x * (x - 1));
    ((x * 341) >> 10) as u32
}

/// `ROOTS[i]`: 64 times the cube root of i, as Linux's table has it (avg error 0.2 %).
const ROOTS: [u8; 64] = [
    0, 54, 54, 54, 118, 118, 118, 118, 123, 129, 134, 138, 143, 147, 151, 156, 157, 161, 164, 168,
    170, 173, 176, 179, 181, 185, 187, 190, 192, 194, 197, 199, 200, 202, 204, 206, 209, 211, 213,
    215, 217, 219, 221, 222, 224, 225, 227, 229, 231, 232, 234, 236, 237, 239, 240, 242, 244, 245,
    246, 248, 250, 251, 252, 254,
];

/// Linux `cubictcp_cong_avoid()`.
pub(super) fn cubictcp_cong_avoid(tp: &mut TcpSock, net: &mut Net, mut acked: u32) {
    if !tcp_is_cwnd_limited(tp) {
        return;
    }
    if tcp_in_slow_start(tp) {
        acked = tcp_slow_start(tp, acked);
        if acked == 0 {
            return;
        }
    }
    let cwnd = tp.snd_cwnd;
    let CongestionOps::Cubic(ca) = &mut tp.icsk.icsk_ca else { return };
    bictcp_update(ca, net, cwnd, acked);
    let cnt = ca.cnt;
    tcp_cong_avoid_ai(tp, cnt, acked);
}

/// Linux `cubictcp_recalc_ssthresh()`: seven tenths, and with fast convergence a lower origin.
pub(super) fn cubictcp_recalc_ssthresh(ca: &mut Bictcp, v: CubicView) -> u32 {
    let cwnd = v.snd_cwnd;
    ca.epoch_start = None;
    ca.last_max_cwnd = if cwnd < ca.last_max_cwnd {
        (u64::from(cwnd) * u64::from(BETA_SCALE + BETA) / u64::from(2 * BETA_SCALE)) as u32
    } else {
        cwnd
    };
    ((u64::from(cwnd) * u64::from(BETA) / u64::from(BETA_SCALE)) as u32).max(2)
}

/// Linux `cubictcp_state()`: a time-out starts all over.
pub(super) fn cubictcp_loss_state(ca: &mut Bictcp, v: CubicView) {
    ca.reset();
    hystart_reset(ca, v);
}

/// Linux `cubictcp_acked()`: the minimum delay, and HyStart.
pub(super) fn cubictcp_acked(tp: &mut TcpSock, net: &mut Net, sample: AckSample) {
    if sample.rtt_us < 0 {
        return;
    }
    let Some((ca, v)) = taken(tp) else { return };
    // The first second after a recovery has no clean delays.
    if ca.epoch_start.is_some_and(|s| net.jiffies().saturating_sub(s) < net.time.hz().into()) {
        return;
    }
    let delay = (sample.rtt_us.min(i64::from(u32::MAX)) as u32).max(1);
    if ca.delay_min == 0 || ca.delay_min > delay {
        ca.delay_min = delay;
    }
    if !ca.found && v.in_slow_start {
        hystart_update(tp, net, delay);
    }
}

/// `hystart_ack_delay`: how long the sender's own batching may hold ACKs back, us.
fn hystart_ack_delay(rate: u64, gso_max_size: u32) -> u32 {
    if rate == 0 {
        return 0;
    }
    (u64::from(gso_max_size) * 4 * 1_000_000 / rate).min(1000) as u32
}

/// Linux `hystart_update()`: leaves slow start when a train of ACKs is as long as half the
/// minimum delay, or the delay has risen by an eighth.
fn hystart_update(tp: &mut TcpSock, net: &mut Net, delay: u32) {
    let pacing = tp.sk.sk_pacing_status;
    let ack_delay = hystart_ack_delay(tp.sk.sk_pacing_rate, 65536);
    let una = tp.snd_una;
    let Some((ca, v)) = taken(tp) else { return };
    if una.after(ca.end_seq) {
        hystart_reset(ca, v);
    }
    // Rounds begin below this window too (stable kernels since 2025).
    if v.snd_cwnd < HYSTART_LOW_WINDOW {
        return;
    }
    let mut found = None;
    let now = v.mstamp;
    if now.wrapping_sub(ca.last_ack) as i32 <= HYSTART_ACK_DELTA_US as i32 {
        ca.last_ack = now;
        let mut threshold = ca.delay_min.saturating_add(ack_delay);
        // Without pacing a train is only half as long.
        if pacing == PacingStatus::None {
            threshold >>= 1;
        }
        if now.wrapping_sub(ca.round_start) as i32 > threshold as i32 {
            ca.found = true;
            found = Some((TcpExt::TCPHystartTrainDetect, TcpExt::TCPHystartTrainCwnd));
        }
    }
    ca.curr_rtt = ca.curr_rtt.min(delay);
    if ca.sample_cnt < HYSTART_MIN_SAMPLES {
        ca.sample_cnt += 1;
    } else if ca.curr_rtt > ca.delay_min.saturating_add(hystart_delay_thresh(ca.delay_min >> 3)) {
        ca.found = true;
        found = Some((TcpExt::TCPHystartDelayDetect, TcpExt::TCPHystartDelayCwnd));
    }
    if let Some((detect, cwnd)) = found {
        net.mib.inc(detect);
        net.mib.add(cwnd, u64::from(tp.snd_cwnd));
        tp.snd_ssthresh = tp.snd_cwnd;
    }
}

fn hystart_delay_thresh(us: u32) -> u32 {
    us.clamp(HYSTART_DELAY_MIN_US, HYSTART_DELAY_MAX_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cube_root_is_within_one_per_cent_of_the_true_one() {
        assert_eq!(cubic_root(0), 0);
        for a in [1_000u64, 27_000, 1 << 20, 1 << 30, 1 << 40, CUBE_FACTOR * 300] {
            let exact = (a as f64).cbrt();
            let got = f64::from(cubic_root(a));
            assert!((got - exact).abs() / exact < 0.02, "{a}: {got} for {exact}");
        }
    }

    #[test]
    fn constants_are_those_of_the_default_parameters() {
        assert_eq!(RENO_SCALE, 15);
        assert_eq!(CUBE_FACTOR, (1 << 40) / 410);
    }

    #[test]
    fn a_loss_leaves_seven_tenths_and_a_second_one_lowers_the_origin() {
        let mut ca = Bictcp::default();
        let view =
            |snd_cwnd| CubicView { snd_cwnd, mstamp: 0, snd_nxt: SeqNum(0), in_slow_start: false };
        assert_eq!(cubictcp_recalc_ssthresh(&mut ca, view(100)), 70);
        assert_eq!(ca.last_max_cwnd, 100);
        assert_eq!(cubictcp_recalc_ssthresh(&mut ca, view(80)), 56);
        assert_eq!(ca.last_max_cwnd, 68);
    }

    #[test]
    fn before_any_loss_the_window_grows_at_least_five_per_cent_a_round() {
        let mut ca = Bictcp { bic_origin_point: 50, ..Bictcp::default() };
        cubic_growth(&mut ca, 50, 0, 1000);
        assert_eq!(ca.cnt, 20);
        ca.last_max_cwnd = 50;
        cubic_growth(&mut ca, 50, 0, 1000);
        assert_eq!(ca.cnt, 5000);
    }

    #[test]
    fn hystart_allows_for_batches_of_at_most_a_millisecond() {
        assert_eq!(hystart_ack_delay(65536 * 4 * 2000, 65536), 500);
        assert_eq!(hystart_ack_delay(1, 65536), 1000);
        assert_eq!(hystart_delay_thresh(100), 4000);
    }
}
