//! `struct tcp_info` (Linux `tcp_get_info()`), with its fields of 6.x.

use super::*;
use crate::net::ipv4::tcp_output::{TCP_CHRONO_RWND_LIMITED, TCP_CHRONO_SNDBUF_LIMITED};
use crate::net::ipv4::tcp_rate::tcp_min_rtt;

macro_rules! tcp_info {
    ($($(#[$doc:meta])* $name:ident : $ty:ident),* $(,)?) => {
        /// What TCP_INFO tells, in the order of the C structure; names and units are C's
        /// (times in microseconds but for the `tcpi_last_*`, in milliseconds).
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names of tcp(7) and linux/tcp.h")]
        pub struct TcpInfo {
            $($(#[$doc])* pub $name: $ty,)*
        }

        impl TcpInfo {
            /// Every field's C name and value; a 64-bit "unlimited" is -1.
            #[allow(clippy::cast_lossless, reason = "one expression for every width")]
            pub fn fields(&self) -> Vec<(&'static str, i64)> {
                vec![$((stringify!($name), self.$name as i64)),*]
            }
        }
    };
}

tcp_info! {
    tcpi_state: u8, tcpi_ca_state: u8, tcpi_retransmits: u8, tcpi_probes: u8, tcpi_backoff: u8,
    tcpi_options: u8, tcpi_snd_wscale: u8, tcpi_rcv_wscale: u8,
    tcpi_delivery_rate_app_limited: u8, tcpi_fastopen_client_fail: u8,
    tcpi_rto: u32, tcpi_ato: u32, tcpi_snd_mss: u32, tcpi_rcv_mss: u32,
    tcpi_unacked: u32, tcpi_sacked: u32, tcpi_lost: u32, tcpi_retrans: u32, tcpi_fackets: u32,
    tcpi_last_data_sent: u32, tcpi_last_ack_sent: u32, tcpi_last_data_recv: u32,
    tcpi_last_ack_recv: u32,
    tcpi_pmtu: u32, tcpi_rcv_ssthresh: u32, tcpi_rtt: u32, tcpi_rttvar: u32,
    tcpi_snd_ssthresh: u32, tcpi_snd_cwnd: u32, tcpi_advmss: u32, tcpi_reordering: u32,
    tcpi_rcv_rtt: u32, tcpi_rcv_space: u32, tcpi_total_retrans: u32,
    tcpi_pacing_rate: u64, tcpi_max_pacing_rate: u64, tcpi_bytes_acked: u64,
    tcpi_bytes_received: u64, tcpi_segs_out: u32, tcpi_segs_in: u32, tcpi_notsent_bytes: u32,
    tcpi_min_rtt: u32, tcpi_data_segs_in: u32, tcpi_data_segs_out: u32, tcpi_delivery_rate: u64,
    tcpi_busy_time: u64, tcpi_rwnd_limited: u64, tcpi_sndbuf_limited: u64, tcpi_delivered: u32,
    tcpi_delivered_ce: u32, tcpi_bytes_sent: u64, tcpi_bytes_retrans: u64, tcpi_dsack_dups: u32,
    tcpi_reord_seen: u32, tcpi_rcv_ooopack: u32, tcpi_snd_wnd: u32, tcpi_rcv_wnd: u32,
    tcpi_rehash: u32, tcpi_total_rto: u16, tcpi_total_rto_recoveries: u16,
    tcpi_total_rto_time: u32,
}

/// `TCPI_OPT_*`.
const TCPI_OPT_TIMESTAMPS: u8 = 1;
const TCPI_OPT_SACK: u8 = 2;
const TCPI_OPT_WSCALE: u8 = 4;
const TCPI_OPT_ECN: u8 = 8;
const TCPI_OPT_ECN_SEEN: u8 = 16;
const TCPI_OPT_SYN_DATA: u8 = 32;
const TCPI_OPT_TFO_CHILD: u8 = 128;

impl TcpInfo {
    /// The C structure's bytes, as getsockopt(2) copies them (64-bit layout, host order).
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![
            self.tcpi_state,
            self.tcpi_ca_state,
            self.tcpi_retransmits,
            self.tcpi_probes,
            self.tcpi_backoff,
            self.tcpi_options,
            self.tcpi_snd_wscale | self.tcpi_rcv_wscale << 4,
            self.tcpi_delivery_rate_app_limited | self.tcpi_fastopen_client_fail << 1,
        ];
        for v in [
            self.tcpi_rto,
            self.tcpi_ato,
            self.tcpi_snd_mss,
            self.tcpi_rcv_mss,
            self.tcpi_unacked,
            self.tcpi_sacked,
            self.tcpi_lost,
            self.tcpi_retrans,
            self.tcpi_fackets,
            self.tcpi_last_data_sent,
            self.tcpi_last_ack_sent,
            self.tcpi_last_data_recv,
            self.tcpi_last_ack_recv,
            self.tcpi_pmtu,
            self.tcpi_rcv_ssthresh,
            self.tcpi_rtt,
            self.tcpi_rttvar,
            self.tcpi_snd_ssthresh,
            self.tcpi_snd_cwnd,
            self.tcpi_advmss,
            self.tcpi_reordering,
            self.tcpi_rcv_rtt,
            self.tcpi_rcv_space,
            self.tcpi_total_retrans,
        ] {
            out.extend_from_slice(&v.to_ne_bytes());
        }
        let wide = |out: &mut Vec<u8>, vs: &[u64]| {
            vs.iter().for_each(|v| out.extend_from_slice(&v.to_ne_bytes()));
        };
        let narrow = |out: &mut Vec<u8>, vs: &[u32]| {
            vs.iter().for_each(|v| out.extend_from_slice(&v.to_ne_bytes()));
        };
        wide(
            &mut out,
            &[
                self.tcpi_pacing_rate,
                self.tcpi_max_pacing_rate,
                self.tcpi_bytes_acked,
                self.tcpi_bytes_received,
            ],
        );
        narrow(
            &mut out,
            &[
                self.tcpi_segs_out,
                self.tcpi_segs_in,
                self.tcpi_notsent_bytes,
                self.tcpi_min_rtt,
                self.tcpi_data_segs_in,
                self.tcpi_data_segs_out,
            ],
        );
        wide(
            &mut out,
            &[
                self.tcpi_delivery_rate,
                self.tcpi_busy_time,
                self.tcpi_rwnd_limited,
                self.tcpi_sndbuf_limited,
            ],
        );
        narrow(&mut out, &[self.tcpi_delivered, self.tcpi_delivered_ce]);
        wide(&mut out, &[self.tcpi_bytes_sent, self.tcpi_bytes_retrans]);
        narrow(
            &mut out,
            &[
                self.tcpi_dsack_dups,
                self.tcpi_reord_seen,
                self.tcpi_rcv_ooopack,
                self.tcpi_snd_wnd,
                self.tcpi_rcv_wnd,
                self.tcpi_rehash,
            ],
        );
        out.extend_from_slice(&self.tcpi_total_rto.to_ne_bytes());
        out.extend_from_slice(&self.tcpi_total_rto_recoveries.to_ne_bytes());
        out.extend_from_slice(&self.tcpi_total_rto_time.to_ne_bytes());
        out
    }
}

/// Options in use, as `TCPI_OPT_*`.
fn options(tp: &TcpSock, tfo_child: bool) -> u8 {
    let mut o = 0;
    for (on, bit) in [
        (tp.rx_opt.tstamp_ok, TCPI_OPT_TIMESTAMPS),
        (tp.is_sack(), TCPI_OPT_SACK),
        (tp.rx_opt.wscale_ok, TCPI_OPT_WSCALE),
        (tp.ecn_flags & TCP_ECN_OK != 0, TCPI_OPT_ECN),
        (tp.ecn_flags & TCP_ECN_SEEN != 0, TCPI_OPT_ECN_SEEN),
        (tp.fastopen.syn_data_acked, TCPI_OPT_SYN_DATA),
        (tfo_child && tp.fastopen.tfo_child, TCPI_OPT_TFO_CHILD),
    ] {
        if on {
            o |= bit;
        }
    }
    o
}

/// How long one thing limited the sender, microseconds (Linux `tcp_get_info_chrono_stats()`).
fn chrono(tp: &TcpSock, net: &Net, kind: u8) -> u64 {
    let mut total = tp.chrono_stat[usize::from(kind) - 1];
    if tp.chrono_type == kind {
        total += net.jiffies().saturating_sub(tp.chrono_start);
    }
    net.time.jiffies_to_usecs(total)
}

/// Fills TCP_INFO (Linux `tcp_get_info()`).
pub(crate) fn tcp_get_info(tp: &TcpSock, net: &Net) -> TcpInfo {
    let mut info = TcpInfo {
        tcpi_state: tp.sk.sk_state as u8,
        tcpi_pacing_rate: tp.sk.sk_pacing_rate,
        tcpi_max_pacing_rate: tp.sk.sk_max_pacing_rate,
        tcpi_reordering: tp.reordering,
        tcpi_snd_cwnd: tp.snd_cwnd,
        ..TcpInfo::default()
    };
    if tp.sk.sk_state == TcpState::Listen {
        info.tcpi_unacked = tp.sk.sk_ack_backlog;
        info.tcpi_sacked = tp.sk.sk_max_ack_backlog;
        return info;
    }
    fill_congestion(tp, &mut info);
    info.tcpi_options = options(tp, net.profile.tcpi_tfo_child);
    fill_clocks(tp, net, &mut info);
    fill_counts(tp, &mut info);
    info
}

fn fill_congestion(tp: &TcpSock, info: &mut TcpInfo) {
    info.tcpi_ca_state = tp.icsk.icsk_ca_state as u8;
    info.tcpi_retransmits = tp.icsk.icsk_retransmits;
    info.tcpi_probes = tp.icsk.icsk_probes_out;
    info.tcpi_backoff = tp.icsk.icsk_backoff;
    info.tcpi_fastopen_client_fail = tp.fastopen.fastopen_client_fail;
    if tp.rx_opt.wscale_ok {
        info.tcpi_snd_wscale = tp.rx_opt.snd_wscale;
        info.tcpi_rcv_wscale = tp.rx_opt.rcv_wscale;
    }
    info.tcpi_delivery_rate_app_limited = tp.rate_app_limited.into();
    info.tcpi_snd_mss = tp.mss_cache;
    info.tcpi_rcv_mss = tp.icsk.icsk_ack.rcv_mss.into();
    info.tcpi_unacked = tp.packets_out;
    info.tcpi_sacked = tp.sacked_out;
    info.tcpi_lost = tp.lost_out;
    info.tcpi_retrans = tp.retrans_out;
    info.tcpi_pmtu = tp.icsk.icsk_pmtu_cookie;
    info.tcpi_rcv_ssthresh = tp.rcv_ssthresh;
    info.tcpi_rtt = tp.srtt_us >> 3;
    info.tcpi_rttvar = tp.mdev_us >> 2;
    info.tcpi_snd_ssthresh = tp.snd_ssthresh;
    info.tcpi_advmss = tp.advmss.into();
    info.tcpi_rcv_rtt = tp.rcvq_space.rtt_us >> 3;
    info.tcpi_rcv_space = tp.rcvq_space.space;
    info.tcpi_min_rtt = tcp_min_rtt(tp);
    if tp.rate_interval_us != 0 {
        let bytes = u64::from(tp.rate_delivered) * u64::from(tp.mss_cache);
        info.tcpi_delivery_rate = bytes * 1_000_000 / u64::from(tp.rate_interval_us);
    }
    info.tcpi_snd_wnd = tp.snd_wnd;
    info.tcpi_rcv_wnd = tp.rcv_wnd;
}

fn fill_clocks(tp: &TcpSock, net: &Net, info: &mut TcpInfo) {
    let us = |j: Jiffies| net.time.jiffies_to_usecs(j).min(u32::MAX.into()) as u32;
    let ms_since = |j: Jiffies| {
        net.time.jiffies_to_msecs(net.jiffies().saturating_sub(j)).min(u32::MAX.into()) as u32
    };
    info.tcpi_rto = us(tp.icsk.icsk_rto);
    info.tcpi_ato = us(tp.icsk.icsk_ack.ato.into());
    info.tcpi_last_data_sent = ms_since(tp.lsndtime);
    info.tcpi_last_data_recv = ms_since(tp.icsk.icsk_ack.lrcvtime);
    info.tcpi_last_ack_recv = ms_since(tp.rcv_tstamp);
    info.tcpi_rwnd_limited = chrono(tp, net, TCP_CHRONO_RWND_LIMITED);
    info.tcpi_sndbuf_limited = chrono(tp, net, TCP_CHRONO_SNDBUF_LIMITED);
    info.tcpi_busy_time =
        chrono(tp, net, TCP_CHRONO_BUSY) + info.tcpi_rwnd_limited + info.tcpi_sndbuf_limited;
}

fn fill_counts(tp: &TcpSock, info: &mut TcpInfo) {
    info.tcpi_total_retrans = tp.total_retrans;
    info.tcpi_bytes_acked = tp.bytes_acked;
    info.tcpi_bytes_received = tp.bytes_received;
    info.tcpi_notsent_bytes = tp.write_seq.diff(tp.snd_nxt).max(0) as u32;
    info.tcpi_segs_out = tp.segs_out;
    info.tcpi_segs_in = tp.segs_in;
    info.tcpi_data_segs_in = tp.data_segs_in;
    info.tcpi_data_segs_out = tp.data_segs_out;
    info.tcpi_delivered = tp.delivered;
    info.tcpi_delivered_ce = tp.delivered_ce;
    info.tcpi_bytes_sent = tp.bytes_sent;
    info.tcpi_bytes_retrans = tp.bytes_retrans;
    info.tcpi_dsack_dups = tp.dsack_dups;
    info.tcpi_reord_seen = tp.reord_seen;
    info.tcpi_rcv_ooopack = tp.rcv_ooopack;
    info.tcpi_rehash = tp.timeout_rehash.into();
    info.tcpi_total_rto = tp.total_rto;
}
