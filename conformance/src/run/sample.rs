//! What code blocks see: TCP_INFO and SO_MEMINFO of the socket under test, at the block's time.

use super::constants::CODE_NAMES;
use crate::script::code::Env;

/// A field of `struct tcp_info`: name, offset, and size in bytes.
type Field = (&'static str, usize, usize);

/// `struct tcp_info` of `include/uapi/linux/tcp.h`, as far as Linux 6.1 has it (7.2 appends to it).
#[rustfmt::skip]
const TCP_INFO: &[Field] = &[
    ("tcpi_state", 0, 1), ("tcpi_ca_state", 1, 1), ("tcpi_retransmits", 2, 1), ("tcpi_probes", 3, 1), ("tcpi_backoff", 4, 1),
    ("tcpi_options", 5, 1),
    ("tcpi_rto", 8, 4), ("tcpi_ato", 12, 4), ("tcpi_snd_mss", 16, 4), ("tcpi_rcv_mss", 20, 4), ("tcpi_unacked", 24, 4),
    ("tcpi_sacked", 28, 4), ("tcpi_lost", 32, 4), ("tcpi_retrans", 36, 4), ("tcpi_fackets", 40, 4),
    ("tcpi_last_data_sent", 44, 4), ("tcpi_last_ack_sent", 48, 4), ("tcpi_last_data_recv", 52, 4), ("tcpi_last_ack_recv", 56, 4),
    ("tcpi_pmtu", 60, 4), ("tcpi_rcv_ssthresh", 64, 4), ("tcpi_rtt", 68, 4), ("tcpi_rttvar", 72, 4), ("tcpi_snd_ssthresh", 76, 4),
    ("tcpi_snd_cwnd", 80, 4), ("tcpi_advmss", 84, 4), ("tcpi_reordering", 88, 4), ("tcpi_rcv_rtt", 92, 4),
    ("tcpi_rcv_space", 96, 4), ("tcpi_total_retrans", 100, 4),
    ("tcpi_pacing_rate", 104, 8), ("tcpi_max_pacing_rate", 112, 8), ("tcpi_bytes_acked", 120, 8), ("tcpi_bytes_received", 128, 8),
    ("tcpi_segs_out", 136, 4), ("tcpi_segs_in", 140, 4), ("tcpi_notsent_bytes", 144, 4), ("tcpi_min_rtt", 148, 4),
    ("tcpi_data_segs_in", 152, 4), ("tcpi_data_segs_out", 156, 4), ("tcpi_delivery_rate", 160, 8), ("tcpi_busy_time", 168, 8),
    ("tcpi_rwnd_limited", 176, 8), ("tcpi_sndbuf_limited", 184, 8), ("tcpi_delivered", 192, 4), ("tcpi_delivered_ce", 196, 4),
    ("tcpi_bytes_sent", 200, 8), ("tcpi_bytes_retrans", 208, 8), ("tcpi_dsack_dups", 216, 4), ("tcpi_reord_seen", 220, 4),
    ("tcpi_rcv_ooopack", 224, 4), ("tcpi_snd_wnd", 228, 4), ("tcpi_rcv_wnd", 232, 4), ("tcpi_rehash", 236, 4),
];

const SK_MEMINFO: &[&str] = &[
    "SK_MEMINFO_RMEM_ALLOC",
    "SK_MEMINFO_RCVBUF",
    "SK_MEMINFO_WMEM_ALLOC",
    "SK_MEMINFO_SNDBUF",
    "SK_MEMINFO_FWD_ALLOC",
    "SK_MEMINFO_WMEM_QUEUED",
    "SK_MEMINFO_OPTMEM",
    "SK_MEMINFO_BACKLOG",
    "SK_MEMINFO_DROPS",
];

/// The constants that every block knows.
pub(crate) fn set_constants(env: &mut Env) {
    for (name, value) in CODE_NAMES {
        env.set(name, i128::from(*value));
    }
}

/// Sets the fields of a `struct tcp_info`, as far as the target's goes.
pub(crate) fn set_tcp_info(env: &mut Env, info: &[u8]) {
    for (name, value) in tcp_info(info) {
        env.set(name, i128::from(value));
    }
}

/// The fields of a `struct tcp_info` by name, as far as the target's goes.
pub(crate) fn tcp_info(info: &[u8]) -> Vec<(&'static str, u64)> {
    let mut fields = Vec::new();
    for (name, at, size) in TCP_INFO {
        let Some(bytes) = info.get(*at..at + size) else { continue };
        let mut word = [0; 8];
        word[..*size].copy_from_slice(bytes);
        fields.push((*name, u64::from_le_bytes(word)));
    }
    // Two bit fields of four bits each, then a single bit.
    if let [scales, limited] = info.get(6..8).unwrap_or(&[]) {
        fields.push(("tcpi_snd_wscale", u64::from(scales & 0xf)));
        fields.push(("tcpi_rcv_wscale", u64::from(scales >> 4)));
        fields.push(("tcpi_delivery_rate_app_limited", u64::from(limited & 1)));
    }
    fields
}

/// Sets the values of SO_MEMINFO.
pub(crate) fn set_meminfo(env: &mut Env, info: &[u8]) {
    for (name, bytes) in SK_MEMINFO.iter().zip(info.chunks_exact(4)) {
        env.set(name, i128::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
    }
}
