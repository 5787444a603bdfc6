//! What ended connections leave for the next one to the same peer (Linux `tcp_metrics.c`, 5.15):
//! round-trip time, windows, reordering, and the Fast Open cookie.

use super::tcp_cong::tcp_in_slow_start;
use super::tcp_fastopen::TcpFastopenCookie;
use super::tcp_output::tcp_rto_min;
use super::tcp_sock::*;
use crate::lib::hash::DetHashMap;
use crate::net::Net;
use crate::time::Jiffies;
use std::net::IpAddr;
use std::sync::Arc;

/// `TCP_METRICS_RECLAIM_DEPTH`: a longer chain gives up its oldest entry instead of growing.
const TCP_METRICS_RECLAIM_DEPTH: usize = 5;
/// Chains of the table (`tcp_metrics_hash_log`, a machine with less than 512 MiB and more alike).
const CHAINS: u32 = 8192;

/// `struct tcp_metrics_block`; 0 is unknown.
#[derive(Clone, Copy, Debug, Default)]
struct Metrics {
    /// When it was used last.
    tcpm_stamp: Jiffies,
    /// 8 * microseconds.
    rtt: u32,
    /// 4 * microseconds.
    rttvar: u32,
    ssthresh: u32,
    cwnd: u32,
    reordering: u32,
    fastopen: FastopenMetrics,
}

/// `struct tcp_fastopen_metrics`.
#[derive(Clone, Copy, Debug, Default)]
struct FastopenMetrics {
    mss: u16,
    /// SYNs with data that were lost in a row.
    syn_loss: u16,
    /// 1: ask for a cookie by the experimental option next; 2: that failed too.
    try_exp: u8,
    cookie: TcpFastopenCookie,
}

/// A pair of addresses, the host's first.
type Key = (IpAddr, IpAddr);

/// `tcp_metrics_hash`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TcpMetrics {
    chains: Arc<DetHashMap<u32, Vec<(Key, Metrics)>>>,
}

fn key_of(tp: &TcpSock) -> Key {
    match tp.sk.ipv6_specific() {
        Some(np) => (np.saddr.into(), np.sk_v6_daddr.into()),
        None => (tp.sk.inet_saddr.into(), tp.sk.inet_daddr.into()),
    }
}

fn chain_of(key: &Key) -> u32 {
    let hash = match key.1 {
        IpAddr::V4(a) => u32::from(a),
        IpAddr::V6(a) => a.octets().as_chunks().0.iter().fold(0, |h, w| h ^ u32::from_be_bytes(*w)),
    };
    hash.wrapping_mul(0x61c8_8647) % CHAINS
}

impl TcpMetrics {
    fn get(&self, key: &Key, now: Jiffies, timeout: Jiffies) -> Option<Metrics> {
        let chain = self.chains.get(&chain_of(key))?;
        let (_, metrics) = chain.iter().find(|(k, _)| k == key)?;
        Some(aged(*metrics, now, timeout))
    }

    /// The entry, made if there is none (`tcpm_new`).
    fn entry(&mut self, key: Key, now: Jiffies, timeout: Jiffies) -> &mut Metrics {
        let chain = Arc::make_mut(&mut self.chains).entry(chain_of(&key)).or_default();
        let at = chain.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
            let fresh = (key, Metrics { tcpm_stamp: now, ..Metrics::default() });
            if chain.len() <= TCP_METRICS_RECLAIM_DEPTH {
                chain.push(fresh);
                return chain.len() - 1;
            }
            let oldest = (0..chain.len()).min_by_key(|&i| chain[i].1.tcpm_stamp).unwrap_or(0);
            chain[oldest] = fresh;
            oldest
        });
        let metrics = &mut chain[at].1;
        *metrics = aged(*metrics, now, timeout);
        metrics
    }

    /// `ip tcp_metrics flush all`.
    pub(crate) fn flush(&mut self) {
        self.chains = Arc::default();
    }
}

/// After an hour only the Fast Open part still counts (`tcpm_check_stamp`).
fn aged(metrics: Metrics, now: Jiffies, timeout: Jiffies) -> Metrics {
    if now <= metrics.tcpm_stamp + timeout {
        return metrics;
    }
    Metrics { tcpm_stamp: now, fastopen: metrics.fastopen, ..Metrics::default() }
}

/// `TCP_METRICS_TIMEOUT`: an hour.
fn timeout(net: &Net) -> Jiffies {
    3600 * Jiffies::from(net.time.hz())
}

fn tcp_get_metrics(tp: &TcpSock, net: &Net) -> Option<Metrics> {
    tp.sk.sk_dst.as_ref()?;
    net.ip.tcp_metrics.get(&key_of(tp), net.jiffies(), timeout(net))
}

fn tcp_get_metrics_create<'n>(tp: &TcpSock, net: &'n mut Net) -> Option<&'n mut Metrics> {
    tp.sk.sk_dst.as_ref()?;
    let (now, timeout) = (net.jiffies(), timeout(net));
    Some(net.ip.tcp_metrics.entry(key_of(tp), now, timeout))
}

/// Remembers what a connection learnt, when it ends well (`tcp_update_metrics`).
pub(crate) fn tcp_update_metrics(tp: &TcpSock, net: &mut Net) {
    if net.sysctl.tcp_no_metrics_save != 0 || tp.sk.sk_dst.is_none() {
        return;
    }
    let now = net.jiffies();
    if tp.icsk.icsk_backoff != 0 || tp.srtt_us == 0 {
        // It found no round-trip time, so the remembered one is doubtful.
        if tcp_get_metrics(tp, net).is_some()
            && let Some(m) = tcp_get_metrics_create(tp, net)
        {
            m.rtt = 0;
        }
        return;
    }
    let save_ssthresh = net.sysctl.tcp_no_ssthresh_metrics_save == 0;
    let default_reordering = net.sysctl.tcp_reordering;
    let Some(m) = tcp_get_metrics_create(tp, net) else { return };
    update_rtt(tp, m);
    update_windows(tp, m, save_ssthresh, default_reordering);
    m.tcpm_stamp = now;
}

/// A larger sample is taken as it is, a smaller one by an eighth: too long is better than too
/// short.
fn update_rtt(tp: &TcpSock, m: &mut Metrics) {
    let diff = i64::from(m.rtt) - i64::from(tp.srtt_us);
    if diff <= 0 {
        m.rtt = tp.srtt_us;
    } else {
        m.rtt -= (diff >> 3) as u32;
    }
    let deviation = ((diff.unsigned_abs() >> 1) as u32).max(tp.mdev_us);
    if deviation >= m.rttvar {
        m.rttvar = deviation;
    } else {
        m.rttvar -= (m.rttvar - deviation) >> 2;
    }
}

fn update_windows(tp: &TcpSock, m: &mut Metrics, save_ssthresh: bool, default_reordering: i64) {
    let half = tp.snd_cwnd >> 1;
    if tp.in_initial_slowstart() {
        if save_ssthresh && m.ssthresh != 0 && half > m.ssthresh {
            m.ssthresh = half;
        }
        m.cwnd = m.cwnd.max(tp.snd_cwnd);
    } else if !tcp_in_slow_start(tp) && tp.icsk.icsk_ca_state == CaState::Open {
        if save_ssthresh {
            m.ssthresh = half.max(tp.snd_ssthresh);
        }
        m.cwnd = m.cwnd.midpoint(tp.snd_cwnd);
    } else {
        // Slow start did not end, so the window says little.
        m.cwnd = m.cwnd.midpoint(tp.snd_ssthresh);
        if save_ssthresh && m.ssthresh != 0 {
            m.ssthresh = m.ssthresh.max(tp.snd_ssthresh);
        }
        if m.reordering < tp.reordering && i64::from(tp.reordering) != default_reordering {
            m.reordering = tp.reordering;
        }
    }
}

/// What a new connection starts with (`tcp_init_metrics`): a remembered round-trip time that is
/// longer than the handshake's sets the first RTO, and only that; without either it is 3 s
/// (RFC 6298 5.7).
pub(crate) fn tcp_init_metrics(tp: &mut TcpSock, net: &mut Net) {
    tp.snd_ssthresh = TCP_INFINITE_SSTHRESH;
    let mut cached_rtt = 0;
    if let Some(m) = tcp_get_metrics(tp, net) {
        if net.sysctl.tcp_no_ssthresh_metrics_save == 0 && m.ssthresh != 0 {
            tp.snd_ssthresh = m.ssthresh.min(tp.snd_cwnd_clamp);
        }
        if m.reordering != 0 {
            tp.reordering = m.reordering;
        }
        cached_rtt = m.rtt;
    }
    if cached_rtt > tp.srtt_us {
        let jiffy_us = 1_000_000 / net.time.hz();
        let rtt = Jiffies::from(cached_rtt / (8 * jiffy_us));
        tp.icsk.icsk_rto = rtt + (2 * rtt).max(tcp_rto_min(tp, net));
    } else if tp.srtt_us == 0 {
        let fallback = 3 * Jiffies::from(net.time.hz());
        tp.rttvar_us = net.time.jiffies_to_usecs(fallback) as u32;
        tp.mdev_us = tp.rttvar_us;
        tp.mdev_max_us = tp.rttvar_us;
        tp.icsk.icsk_rto = fallback;
    }
}

/// Whether a peer completed a connection before (`tcp_peer_is_proven`).
pub(crate) fn tcp_peer_is_proven(req: &RequestSock, net: &Net) -> bool {
    let key = match req.ir_v6 {
        Some(v6) => (v6.saddr.into(), v6.daddr.into()),
        None => (req.ir_loc_addr.into(), req.ir_rmt_addr.into()),
    };
    let m = net.ip.tcp_metrics.get(&key, net.jiffies(), timeout(net));
    m.is_some_and(|m| m.rtt != 0)
}

/// The remembered segment size and cookie (`tcp_fastopen_cache_get`); what is not known stays.
pub(crate) fn tcp_fastopen_cache_get(
    tp: &TcpSock,
    net: &Net,
    mss: &mut u16,
    cookie: &mut Option<TcpFastopenCookie>,
) {
    let Some(m) = tcp_get_metrics(tp, net) else { return };
    if m.fastopen.mss != 0 {
        *mss = m.fastopen.mss;
    }
    let mut known = m.fastopen.cookie;
    if known.is_request() && m.fastopen.try_exp == 1 {
        known.exp = true;
    }
    *cookie = Some(known);
}

/// Remembers what a SYN-ACK said (`tcp_fastopen_cache_set`).
pub(crate) fn tcp_fastopen_cache_set(
    tp: &TcpSock,
    net: &mut Net,
    mss: u16,
    cookie: Option<TcpFastopenCookie>,
    syn_lost: bool,
    try_exp: u8,
) {
    let Some(m) = tcp_get_metrics_create(tp, net) else { return };
    let f = &mut m.fastopen;
    if mss != 0 {
        f.mss = mss;
    }
    match cookie.filter(|c| !c.is_request()) {
        Some(cookie) => f.cookie = cookie,
        None if try_exp > f.try_exp && f.cookie.is_request() && !f.cookie.exp => {
            f.try_exp = try_exp;
        }
        None => {}
    }
    f.syn_loss = if syn_lost { f.syn_loss.saturating_add(1) } else { 0 };
}
