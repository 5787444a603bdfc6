//! The sysctls: one table with name, field, default and bounds, read by every layer as plain
//! fields of `Sysctl` (Linux `net/core/sysctl_net_core.c`, `net/ipv4/sysctl_net_ipv4.c`).

use crate::errno::Errno;
use crate::net::ipv4::tcp_fastopen::TcpFastopenContext;
use crate::profile::{Profile, Version};

macro_rules! sysctls {
    ($($name:literal $field:ident = $default:expr, $low:expr, $high:expr;)*) => {
        /// The value of every integer sysctl, and the few that are more than one integer.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct Sysctl {
            $(#[doc = $name] pub(crate) $field: i64,)*
            /// `net.ipv4.tcp_rmem`: min, default, max, bytes.
            pub(crate) tcp_rmem: [i32; 3],
            /// `net.ipv4.tcp_wmem`: min, default, max, bytes.
            pub(crate) tcp_wmem: [i32; 3],
            /// `net.ipv4.tcp_mem`: low, pressure, high, pages.
            pub(crate) tcp_mem: [i64; 3],
            /// `net.ipv4.ip_local_port_range`: first and last.
            pub(crate) ip_local_port_range: [u16; 2],
            /// `net.ipv4.tcp_congestion_control`.
            pub(crate) tcp_congestion_control: CongestionName,
            /// `net.ipv4.tcp_fastopen_key`; `None`: not drawn yet.
            pub(crate) tcp_fastopen_key: Option<TcpFastopenContext>,
        }

        impl Sysctl {
            fn int_field(&mut self, name: &str) -> Option<(&mut i64, i64, i64)> {
                match name {
                    $($name => Some((&mut self.$field, $low, $high)),)*
                    _ => None,
                }
            }

            /// The names of all sysctls that hold one integer.
            pub(crate) const INTEGERS: &'static [&'static str] = &[$($name),*];

            fn defaults(p: &Profile) -> Self {
                Self {
                    $($field: { let f: fn(&Profile) -> i64 = $default; f(p) },)*
                    tcp_rmem: [4096, 131_072, if p.version >= Version::V6_18 { 32 << 20 } else { 6 << 20 }],
                    tcp_wmem: [4096, 16_384, 4 << 20],
                    tcp_mem: tcp_mem_default(p),
                    ip_local_port_range: [32768, 60999],
                    tcp_congestion_control: CongestionName::Cubic,
                    tcp_fastopen_key: None,
                }
            }
        }
    };
}

/// The congestion controls that can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CongestionName {
    Reno,
    Cubic,
}

impl CongestionName {
    pub(crate) const ALL: [Self; 2] = [Self::Reno, Self::Cubic];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reno => "reno",
            Self::Cubic => "cubic",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

const INT: i64 = i32::MAX as i64;

sysctls! {
    "net.core.rmem_default" rmem_default = |_| 212_992, 2304, INT;
    "net.core.rmem_max" rmem_max = |p| if p.version >= Version::V6_18 { 4 << 20 } else { 212_992 }, 2304, INT;
    "net.core.wmem_default" wmem_default = |_| 212_992, 4608, INT;
    "net.core.wmem_max" wmem_max = |p| if p.version >= Version::V6_18 { 4 << 20 } else { 212_992 }, 4608, INT;
    "net.core.somaxconn" somaxconn = |_| 4096, 0, INT;
    "net.core.netdev_budget" netdev_budget = |_| 300, 0, INT;
    "net.core.netdev_max_backlog" netdev_max_backlog = |_| 1000, 0, INT;
    "net.core.dev_weight" dev_weight = |_| 64, 1, INT;
    "net.core.optmem_max" optmem_max = |p| if p.version >= Version::V6_18 { 128 << 10 } else { 20_480 }, 0, INT;
    "net.ipv4.ip_default_ttl" ip_default_ttl = |_| 64, 1, 255;
    "net.ipv4.ip_forward" ip_forward = |_| 0, 0, 1;
    "net.ipv4.ip_no_pmtu_disc" ip_no_pmtu_disc = |_| 0, 0, 3;
    "net.ipv4.ip_nonlocal_bind" ip_nonlocal_bind = |_| 0, 0, 1;
    "net.ipv4.route.min_pmtu" min_pmtu = |_| 552, 68, INT;
    "net.ipv4.route.mtu_expires" mtu_expires = |_| 600, 0, INT;
    "net.ipv4.route.min_adv_mss" min_adv_mss = |_| 256, 0, INT;
    "net.ipv4.ipfrag_high_thresh" ipfrag_high_thresh = |_| 4 << 20, 0, INT;
    "net.ipv4.ipfrag_low_thresh" ipfrag_low_thresh = |_| 3 << 20, 0, INT;
    "net.ipv4.ipfrag_time" ipfrag_time = |_| 30, 0, INT;
    "net.ipv4.ipfrag_max_dist" ipfrag_max_dist = |_| 64, 0, INT;
    "net.ipv4.icmp_echo_ignore_all" icmp_echo_ignore_all = |_| 0, 0, 1;
    "net.ipv4.icmp_echo_ignore_broadcasts" icmp_echo_ignore_broadcasts = |_| 1, 0, 1;
    "net.ipv4.icmp_ratelimit" icmp_ratelimit = |_| 1000, 0, INT;
    "net.ipv4.icmp_ratemask" icmp_ratemask = |_| 6168, 0, INT;
    "net.ipv4.icmp_msgs_per_sec" icmp_msgs_per_sec = |_| 1000, 0, INT;
    "net.ipv4.icmp_msgs_burst" icmp_msgs_burst = |_| 50, 0, INT;
    "net.ipv4.conf.all.arp_ignore" arp_ignore = |_| 0, 0, 8;
    "net.ipv4.conf.all.arp_notify" arp_notify = |_| 0, 0, 1;
    "net.ipv4.conf.all.force_igmp_version" force_igmp_version = |_| 0, 0, 3;
    "net.ipv4.neigh.default.base_reachable_time_ms" base_reachable_time_ms = |_| 30_000, 0, INT;
    "net.ipv4.neigh.default.retrans_time_ms" retrans_time_ms = |_| 1000, 0, INT;
    "net.ipv4.neigh.default.delay_first_probe_time" delay_first_probe_time = |_| 5, 0, INT;
    "net.ipv4.neigh.default.mcast_solicit" mcast_solicit = |_| 3, 0, INT;
    "net.ipv4.neigh.default.ucast_solicit" ucast_solicit = |_| 3, 0, INT;
    "net.ipv4.neigh.default.app_solicit" app_solicit = |_| 0, 0, INT;
    "net.ipv4.neigh.default.gc_stale_time" gc_stale_time = |_| 60, 0, INT;
    "net.ipv4.neigh.default.unres_qlen_bytes" unres_qlen_bytes = |_| 212_992, 0, INT;
    "net.ipv4.neigh.default.gc_thresh1" gc_thresh1 = |_| 128, 0, INT;
    "net.ipv4.neigh.default.gc_thresh2" gc_thresh2 = |_| 512, 0, INT;
    "net.ipv4.neigh.default.gc_thresh3" gc_thresh3 = |_| 1024, 0, INT;
    "net.ipv4.neigh.default.locktime" neigh_locktime = |_| 100, 0, INT;
    "net.ipv4.tcp_timestamps" tcp_timestamps = |_| 1, 0, 2;
    "net.ipv4.tcp_sack" tcp_sack = |_| 1, 0, 1;
    "net.ipv4.tcp_dsack" tcp_dsack = |_| 1, 0, 1;
    "net.ipv4.tcp_window_scaling" tcp_window_scaling = |_| 1, 0, 1;
    "net.ipv4.tcp_ecn" tcp_ecn = |_| 2, 0, 5;
    "net.ipv4.tcp_ecn_fallback" tcp_ecn_fallback = |_| 1, 0, 1;
    "net.ipv4.tcp_ecn_option" tcp_ecn_option = |_| 2, 0, 3;
    "net.ipv4.tcp_ecn_option_beacon" tcp_ecn_option_beacon = |_| 3, 0, 3;
    "net.ipv4.tcp_fastopen" tcp_fastopen = |_| 1, 0, INT;
    "net.ipv4.tcp_fastopen_blackhole_timeout_sec" tcp_fastopen_blackhole_timeout = |_| 0, 0, INT;
    "net.ipv4.tcp_syncookies" tcp_syncookies = |_| 1, 0, 2;
    "net.ipv4.tcp_syn_retries" tcp_syn_retries = |_| 6, 1, 127;
    "net.ipv4.tcp_synack_retries" tcp_synack_retries = |_| 5, 0, 255;
    "net.ipv4.tcp_syn_linear_timeouts" tcp_syn_linear_timeouts = |p| p.syn_linear_timeouts.into(), 0, 127;
    "net.ipv4.tcp_max_syn_backlog" tcp_max_syn_backlog = |_| 512, 0, INT;
    "net.ipv4.tcp_retries1" tcp_retries1 = |_| 3, 0, 255;
    "net.ipv4.tcp_retries2" tcp_retries2 = |_| 15, 0, 255;
    "net.ipv4.tcp_orphan_retries" tcp_orphan_retries = |_| 0, 0, 255;
    "net.ipv4.tcp_fin_timeout" tcp_fin_timeout = |_| 60, 0, INT;
    "net.ipv4.tcp_keepalive_time" tcp_keepalive_time = |_| 7200, 0, INT;
    "net.ipv4.tcp_keepalive_intvl" tcp_keepalive_intvl = |_| 75, 0, INT;
    "net.ipv4.tcp_keepalive_probes" tcp_keepalive_probes = |_| 9, 0, 255;
    "net.ipv4.tcp_tw_reuse" tcp_tw_reuse = |_| 2, 0, 2;
    "net.ipv4.tcp_max_tw_buckets" tcp_max_tw_buckets = |_| 4096, 0, INT;
    "net.ipv4.tcp_max_orphans" tcp_max_orphans = |_| 4096, 0, INT;
    "net.ipv4.tcp_rfc1337" tcp_rfc1337 = |_| 0, 0, 1;
    "net.ipv4.tcp_stdurg" tcp_stdurg = |_| 0, 0, 1;
    "net.ipv4.tcp_abort_on_overflow" tcp_abort_on_overflow = |_| 0, 0, 1;
    "net.ipv4.tcp_adv_win_scale" tcp_adv_win_scale = |_| 1, -31, 31;
    "net.ipv4.tcp_app_win" tcp_app_win = |_| 31, 0, 31;
    "net.ipv4.tcp_moderate_rcvbuf" tcp_moderate_rcvbuf = |_| 1, 0, 1;
    "net.ipv4.tcp_shrink_window" tcp_shrink_window = |_| 0, 0, 1;
    "net.ipv4.tcp_frto" tcp_frto = |_| 2, 0, 2;
    "net.ipv4.tcp_early_retrans" tcp_early_retrans = |_| 3, 0, 4;
    "net.ipv4.tcp_recovery" tcp_recovery = |_| 1, 0, INT;
    "net.ipv4.tcp_reordering" tcp_reordering = |_| 3, 0, INT;
    "net.ipv4.tcp_max_reordering" tcp_max_reordering = |_| 300, 0, INT;
    "net.ipv4.tcp_retrans_collapse" tcp_retrans_collapse = |_| 1, 0, 1;
    "net.ipv4.tcp_thin_linear_timeouts" tcp_thin_linear_timeouts = |_| 0, 0, 1;
    "net.ipv4.tcp_slow_start_after_idle" tcp_slow_start_after_idle = |_| 1, 0, 1;
    "net.ipv4.tcp_no_metrics_save" tcp_no_metrics_save = |_| 0, 0, 1;
    "net.ipv4.tcp_no_ssthresh_metrics_save" tcp_no_ssthresh_metrics_save = |_| 1, 0, 1;
    "net.ipv4.tcp_limit_output_bytes" tcp_limit_output_bytes = |p| if p.version >= Version::V6_18 { 4 << 20 } else { 1 << 20 }, 0, INT;
    "net.ipv4.tcp_challenge_ack_limit" tcp_challenge_ack_limit = |p| if p.version >= Version::V6_1 { INT } else { 1000 }, 0, INT;
    "net.ipv4.tcp_invalid_ratelimit" tcp_invalid_ratelimit = |_| 500, 0, INT;
    "net.ipv4.tcp_tso_win_divisor" tcp_tso_win_divisor = |_| 3, 0, INT;
    "net.ipv4.tcp_min_tso_segs" tcp_min_tso_segs = |_| 2, 1, 255;
    "net.ipv4.tcp_tso_rtt_log" tcp_tso_rtt_log = |p| if p.version >= Version::V6_1 { 9 } else { 0 }, 0, 255;
    "net.ipv4.tcp_min_rtt_wlen" tcp_min_rtt_wlen = |_| 300, 0, 86_400;
    "net.ipv4.tcp_autocorking" tcp_autocorking = |_| 1, 0, 1;
    "net.ipv4.tcp_notsent_lowat" tcp_notsent_lowat = |_| u32::MAX.into(), 0, u32::MAX.into();
    "net.ipv4.tcp_mtu_probing" tcp_mtu_probing = |_| 0, 0, 2;
    "net.ipv4.tcp_base_mss" tcp_base_mss = |_| 1024, 0, INT;
    "net.ipv4.tcp_min_snd_mss" tcp_min_snd_mss = |_| 48, 48, 65_535;
    "net.ipv4.tcp_mtu_probe_floor" tcp_mtu_probe_floor = |_| 48, 0, INT;
    "net.ipv4.tcp_probe_threshold" tcp_probe_threshold = |_| 8, 0, INT;
    "net.ipv4.tcp_probe_interval" tcp_probe_interval = |_| 600, 0, INT;
    "net.ipv4.tcp_pacing_ss_ratio" tcp_pacing_ss_ratio = |_| 200, 0, 1000;
    "net.ipv4.tcp_pacing_ca_ratio" tcp_pacing_ca_ratio = |_| 120, 0, 1000;
    "net.ipv4.tcp_comp_sack_delay_ns" tcp_comp_sack_delay_ns = |_| 1_000_000, 0, INT;
    "net.ipv4.tcp_comp_sack_slack_ns" tcp_comp_sack_slack_ns = |p| if p.version == Version::V7_2 { 10_000 } else { 100_000 }, 0, INT;
    "net.ipv4.tcp_comp_sack_nr" tcp_comp_sack_nr = |_| 44, 0, 255;
    "net.ipv4.tcp_pingpong_thresh" tcp_pingpong_thresh = |p| p.pingpong_thresh.into(), 1, 255;
    "net.ipv4.tcp_rto_min_us" tcp_rto_min_us = |_| 200_000, 1, INT;
    "net.ipv4.tcp_rto_max_ms" tcp_rto_max_ms = |_| 120_000, 1000, 120_000;
    "net.ipv4.tcp_reflect_tos" tcp_reflect_tos = |_| 0, 0, 1;
    "net.ipv4.tcp_workaround_signed_windows" tcp_workaround_signed_windows = |_| 0, 0, 1;
    "net.ipv4.tcp_plb_enabled" tcp_plb_enabled = |_| 0, 0, 1;
    "net.ipv4.tcp_backlog_ack_defer" tcp_backlog_ack_defer = |p| p.backlog_ack_defer.into(), 0, 1;
    "net.ipv4.udp_rmem_min" udp_rmem_min = |_| 4096, 1, INT;
    "net.ipv4.udp_wmem_min" udp_wmem_min = |_| 4096, 1, INT;
    "net.ipv6.auto_flowlabels" auto_flowlabels = |_| 1, 0, 3;
    "net.ipv6.conf.all.disable_ipv6" disable_ipv6 = |_| 0, 0, 1;
    "net.ipv6.conf.all.accept_dad" accept_dad = |_| 1, 0, 2;
    "net.ipv6.conf.all.accept_ra" accept_ra = |_| 1, 0, 2;
    "net.ipv6.conf.all.dad_transmits" dad_transmits = |_| 1, 0, INT;
    "net.ipv6.conf.all.enhanced_dad" enhanced_dad = |_| 1, 0, 1;
    "net.ipv6.conf.all.forwarding" ip6_forwarding = |_| 0, 0, 1;
    "net.ipv6.conf.all.hop_limit" hop_limit = |_| 64, 1, 255;
    "net.ipv6.conf.all.router_solicitations" rtr_solicits = |_| -1, -1, INT;
    "net.ipv6.conf.all.router_solicitation_interval" rtr_solicit_interval = |_| 4, 0, INT;
    "net.ipv6.conf.all.router_solicitation_max_interval" rtr_solicit_max_interval = |_| 3600, 0, INT;
    "net.ipv6.conf.all.router_solicitation_delay" rtr_solicit_delay = |_| 1, 0, INT;
    "net.ipv6.icmp.echo_ignore_all" icmpv6_echo_ignore_all = |_| 0, 0, 1;
    "net.ipv6.icmp.echo_ignore_multicast" icmpv6_echo_ignore_multicast = |_| 0, 0, 1;
    "net.ipv6.icmp.ratelimit" icmpv6_ratelimit = |_| 1000, 0, INT;
    "net.ipv6.ip6frag_high_thresh" ip6frag_high_thresh = |_| 4 << 20, 0, INT;
    "net.ipv6.ip6frag_low_thresh" ip6frag_low_thresh = |_| 3 << 20, 0, INT;
    "net.ipv6.ip6frag_time" ip6frag_time = |_| 60, 0, INT;
    "net.ipv6.flowlabel_reflect" flowlabel_reflect = |_| 0, 0, 7;
    "net.ipv6.mld_qrv" mld_qrv = |_| 2, 1, 7;
    "net.ipv6.route.mtu_expires" ip6_rt_mtu_expires = |_| 600, 0, INT;
    "net.ipv6.route.min_adv_mss" ip6_rt_min_advmss = |_| 1220, 0, 65_535;
    "net.ipv6.bindv6only" bindv6only = |_| 0, 0, 1;
    "net.ipv6.ip_nonlocal_bind" ip6_nonlocal_bind = |_| 0, 0, 1;
}

/// `tcp_init_mem`: a sixteenth of free memory is the pressure mark, in pages.
fn tcp_mem_default(p: &Profile) -> [i64; 3] {
    let pages = i64::from(p.mem_mib) * 256;
    let limit = (pages / 16).max(128);
    [limit / 4 * 3, limit, limit / 4 * 3 * 2]
}

/// Why a sysctl could not be read or set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SysctlError {
    /// There is no sysctl of this name.
    #[error("unknown sysctl `{0}`")]
    Unknown(String),
    /// The text is not a value of this sysctl.
    #[error("`{value}` is not a value of sysctl `{name}`: {expected}")]
    Invalid {
        /// The sysctl.
        name: String,
        /// The text given.
        value: String,
        /// What it takes.
        expected: String,
    },
}

impl SysctlError {
    /// The errno that a write to `/proc/sys` gives.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Unknown(_) => Errno::ENOENT,
            Self::Invalid { .. } => Errno::EINVAL,
        }
    }
}

impl Sysctl {
    /// The defaults of a kernel.
    pub(crate) fn new(profile: &Profile) -> Self {
        Self::defaults(profile)
    }

    /// The value as `/proc/sys` shows it.
    pub(crate) fn get(&self, name: &str) -> Result<String, SysctlError> {
        let name = &normalise(name);
        Ok(match name.as_str() {
            "net.ipv4.tcp_rmem" => join(&self.tcp_rmem),
            "net.ipv4.tcp_wmem" => join(&self.tcp_wmem),
            "net.ipv4.tcp_mem" => join(&self.tcp_mem),
            "net.ipv4.ip_local_port_range" => join(&self.ip_local_port_range),
            "net.ipv4.tcp_congestion_control" => self.tcp_congestion_control.name().to_owned(),
            "net.ipv4.tcp_fastopen_key" => match self.tcp_fastopen_key {
                Some(keys) => keys.to_text(),
                None => ["00000000"; 4].join("-"),
            },
            "net.ipv4.tcp_available_congestion_control"
            | "net.ipv4.tcp_allowed_congestion_control" => "reno cubic".to_owned(),
            // The table hands out `&mut`; reading goes through a copy.
            _ => match self.clone().int_field(name) {
                Some((value, ..)) => value.to_string(),
                None => return Err(SysctlError::Unknown(name.clone())),
            },
        })
    }

    /// Sets a value from the text that one would write to `/proc/sys`.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        let name = &normalise(name);
        let invalid = |expected: &str| SysctlError::Invalid {
            name: name.clone(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        };
        match name.as_str() {
            "net.ipv4.tcp_rmem" => {
                self.tcp_rmem = parse_list(value).ok_or_else(|| invalid("three integers"))?;
            }
            "net.ipv4.tcp_wmem" => {
                self.tcp_wmem = parse_list(value).ok_or_else(|| invalid("three integers"))?;
            }
            "net.ipv4.tcp_mem" => {
                self.tcp_mem = parse_list(value).ok_or_else(|| invalid("three integers"))?;
            }
            "net.ipv4.ip_local_port_range" => {
                let range: [u16; 2] = parse_list(value).ok_or_else(|| invalid("two ports"))?;
                if range[0] == 0 || range[0] > range[1] {
                    return Err(invalid("two ports, the first not above the second"));
                }
                self.ip_local_port_range = range;
            }
            "net.ipv4.tcp_congestion_control" => {
                self.tcp_congestion_control = CongestionName::from_name(value.trim())
                    .ok_or_else(|| invalid("reno or cubic"))?;
            }
            "net.ipv4.tcp_fastopen_key" => {
                let keys = TcpFastopenContext::from_text(value);
                self.tcp_fastopen_key =
                    Some(keys.ok_or_else(|| invalid("one or two keys of the form 1-2-3-4"))?);
            }
            _ => {
                let Some((field, low, high)) = self.int_field(name) else {
                    return Err(SysctlError::Unknown(name.clone()));
                };
                *field = parse_int(value)
                    .filter(|v| (low..=high).contains(v))
                    .ok_or_else(|| invalid(&format!("an integer from {low} to {high}")))?;
            }
        }
        Ok(())
    }
}

/// `/` and `.` both separate; a leading `/proc/sys/` is allowed; settings of an interface are
/// those of all, and both neighbour tables have the same.
fn normalise(name: &str) -> String {
    let name = name.trim().trim_start_matches("/proc/sys/").replace('/', ".");
    for (tree, common) in [
        ("net.ipv4.neigh.", "net.ipv4.neigh.default"),
        ("net.ipv6.neigh.", "net.ipv4.neigh.default"),
        ("net.ipv4.conf.", "net.ipv4.conf.all"),
        ("net.ipv6.conf.", "net.ipv6.conf.all"),
    ] {
        if let Some((_, setting)) = name.strip_prefix(tree).and_then(|rest| rest.split_once('.')) {
            return format!("{common}.{setting}");
        }
    }
    name
}

fn join<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join("\t")
}

fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn parse_list<T: std::str::FromStr + Copy, const N: usize>(text: &str) -> Option<[T; N]> {
    let values: Vec<T> = text.split_whitespace().map(|v| v.parse().ok()).collect::<Option<_>>()?;
    values.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_what_was_set() {
        let mut sysctl = Sysctl::new(&Profile::new(Version::V5_15));
        for name in Sysctl::INTEGERS {
            let value = sysctl.get(name).unwrap();
            sysctl.set(name, &value).unwrap();
            assert_eq!(sysctl.get(name).unwrap(), value, "{name}");
        }
        sysctl.set("net/ipv4/tcp_rmem", "4096 8192 16384").unwrap();
        assert_eq!(sysctl.tcp_rmem, [4096, 8192, 16384]);
    }

    #[test]
    fn an_unknown_name_and_a_bad_value_are_told_apart() {
        let mut sysctl = Sysctl::new(&Profile::new(Version::V5_15));
        assert_eq!(
            sysctl.set("net.ipv4.tcp_sacks", "1"),
            Err(SysctlError::Unknown("net.ipv4.tcp_sacks".into()))
        );
        let bad = sysctl.set("net.ipv4.tcp_sack", "7").unwrap_err();
        assert_eq!(bad.errno(), Errno::EINVAL);
    }
}
