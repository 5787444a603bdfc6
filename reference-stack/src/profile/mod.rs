//! What differs between kernels: version, architecture, tick rate, memory. One named switch
//! each; no other module asks for a version.

use crate::time::Jiffies;

/// Kernel versions with a profile. The default is the study case's, 5.15.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    /// Linux 5.15.
    #[default]
    V5_15,
    /// Linux 6.1.
    V6_1,
    /// Linux 6.18.
    V6_18,
    /// Linux 7.2.
    V7_2,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 4] = [Self::V5_15, Self::V6_1, Self::V6_18, Self::V7_2];

    /// `"5.15"` and so on.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5_15 => "5.15",
            Self::V6_1 => "6.1",
            Self::V6_18 => "6.18",
            Self::V7_2 => "7.2",
        }
    }

    /// The version of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.name() == name)
    }
}

/// Architectures with a profile: structure sizes and alignment follow from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Arch {
    /// 32-bit ARM (the AST2500).
    Arm,
    /// 64-bit x86.
    #[default]
    X86_64,
}

/// The switches of one kernel build. Every field is a fact of that build, none is a preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The version that the switches below were taken from.
    pub version: Version,
    /// The architecture that the sizes below were taken from.
    pub arch: Arch,
    /// `CONFIG_HZ`.
    pub hz: u32,
    /// Memory of the host in MiB: sizes `tcp_mem`, `tcp_rmem[2]` and the hash tables.
    pub mem_mib: u32,
    /// `SKB_DATA_ALIGN(sizeof(struct sk_buff))`, bytes.
    pub sizeof_sk_buff: u32,
    /// `SKB_DATA_ALIGN(sizeof(struct skb_shared_info))`, bytes.
    pub sizeof_skb_shared_info: u32,
    /// `NET_IP_ALIGN`: 2 on ARM, 0 on x86_64.
    pub net_ip_align: u32,
    /// Receive window from buffer space by a measured ratio (6.6 and later) instead of
    /// `tcp_adv_win_scale`.
    pub scaling_ratio: bool,
    /// `rcv_ssthresh` is raised when the ratio changes (6.18).
    pub ssthresh_follows_ratio: bool,
    /// `SO_RCVBUF` on a live socket also sets the window clamp (7.2, `tcp_set_rcvbuf`).
    pub rcvbuf_sets_clamp: bool,
    /// Receive-buffer autotuning keeps a cushion of 16 MSS and reads the clock at each copy
    /// (5.15, 6.1); later ones use the time of the last packet and subtract what is queued.
    pub drs_cushion: bool,
    /// `tcp_rto_min_us` bounds the delayed ACK to one jiffy less (6.11 and later).
    pub delack_below_rto_min: bool,
    /// `tcp_syn_linear_timeouts` (6.5 and later): SYN retransmissions before the backoff starts.
    pub syn_linear_timeouts: u8,
    /// One ACK for a whole socket backlog (6.7 and later).
    pub backlog_ack_defer: bool,
    /// The backlog's limit takes the receive buffer twice (6.10 and later).
    pub backlog_twice_rcvbuf: bool,
    /// Share of the RTT, per cent, that a compressed SACK may wait.
    pub comp_sack_rtt_percent: u8,
    /// The timestamp offset's key contains the ports.
    pub ts_offset_by_ports: bool,
    /// A reply sent within `ato` enters ping-pong mode at the first time (6.x) or the third
    /// (`TCP_PINGPONG_THRESH`).
    pub pingpong_thresh: u8,
    /// A zero window is advertised, and the ACK says why, when memory is short (6.18).
    pub ack_nomem: bool,
    /// Truesize of an empty send buffer: the fclone's head comes from a cache of its own (6.3 and
    /// later) or from the next power of two.
    pub tcp_skb_head: u32,
    /// `MAX_TCP_HEADER`: room for all headers, taken off the largest super-packet.
    pub max_tcp_header: u32,
    /// The window that a connection starts with is not above 65535 (asked of 6.1 and 7.2).
    pub initial_window_u16: bool,
    /// A lone FIN is sent without regard to the congestion window (before 6.12); later ones let
    /// one skb take at most half of it.
    pub fin_ignores_cwnd: bool,
    /// A late delayed ACK doubles `ato` up to `TCP_DELACK_MAX` instead of the RTO.
    pub ato_below_delack_max: bool,
    /// The small-queue limit lets a second skb pass (`tcp_rtx_queue_empty_or_single_skb`).
    pub tsq_allows_single: bool,
    /// TSO deferral asks how far off the next ACK is, at most 1 ms (6.18, and stable 6.1).
    pub tso_defer_how_far: bool,
    /// A segment that reaches beyond the window is taken only into an empty receive queue (6.17
    /// and later).
    pub reject_beyond_window: bool,
    /// A larger sample of the receiver's RTT counts only with an empty receive queue (6.15 and
    /// later).
    pub rcv_rtt_wants_empty_queue: bool,
    /// Receive-buffer growth doubles before it divides (7.2).
    pub drs_doubles_first: bool,
    /// A reset of a request has to stand at RCV.NXT exactly (later stable kernels; held against
    /// 6.1.192).
    pub reqsk_rst_exact: bool,
    /// A burst takes bytes of the next super-packet to be as long as it may (`tcp_grow_skb`, 6.10
    /// and later).
    pub tcp_grow_skb: bool,
    /// A path MTU that was learned does not lower the segment size that is announced (asked of
    /// 7.2; 6.1 and 6.18 announce less).
    pub advmss_ignores_pmtu: bool,
    /// TCP_INFO tells that a socket was made by Fast Open (`TCPI_OPT_TFO_CHILD`, 6.16 and later).
    pub tcpi_tfo_child: bool,
    /// A connection that replaces one in TIME-WAIT starts beyond its last number, and whatever the
    /// listener's queue (6.10 and later; before, the number was overwritten on its way: asked of
    /// 6.1.192).
    pub tw_isn_kept: bool,
    /// An ACK of data that was never sent is answered with a challenge ACK (later 6.18, 7.x; asked
    /// of 6.18.44 and 7.2.13).
    pub challenge_unsent_ack: bool,
    /// A window of zero counts although an older segment offered more (6.6 and later; asked of
    /// 7.2.13).
    pub zero_window_counts: bool,
    /// Small buffers come from a cache of their own (`skb_small_head_cache`, 6.3 and later).
    pub skb_small_head: bool,
    /// The last `SOF_TIMESTAMPING_*` flag: `BIND_PHC`, or `TX_COMPLETION` (6.15 and later).
    pub sof_timestamping_last: u32,
}

impl Profile {
    /// The profile of a version on x86_64 with 1 GiB; HZ is that of the kernel which was asked:
    /// 1000 of the virtual-time oracle, 250 of the 6.18 that ran on a machine.
    pub fn new(version: Version) -> Self {
        let modern = version >= Version::V6_18;
        Self {
            version,
            arch: Arch::X86_64,
            hz: if version == Version::V6_18 { 250 } else { 1000 },
            mem_mib: 1024,
            sizeof_sk_buff: 256,
            sizeof_skb_shared_info: 320,
            net_ip_align: 0,
            scaling_ratio: modern,
            ssthresh_follows_ratio: version == Version::V6_18,
            rcvbuf_sets_clamp: version == Version::V7_2,
            drs_cushion: !modern,
            delack_below_rto_min: modern,
            syn_linear_timeouts: if modern { 4 } else { 0 },
            backlog_ack_defer: modern,
            backlog_twice_rcvbuf: modern,
            comp_sack_rtt_percent: if version == Version::V7_2 { 33 } else { 5 },
            ts_offset_by_ports: version > Version::V5_15,
            pingpong_thresh: 1,
            ack_nomem: modern,
            tcp_skb_head: if modern { 832 } else { 1280 },
            max_tcp_header: 256,
            initial_window_u16: !modern,
            fin_ignores_cwnd: !modern,
            ato_below_delack_max: modern,
            tsq_allows_single: modern,
            tso_defer_how_far: version > Version::V5_15,
            reject_beyond_window: modern,
            rcv_rtt_wants_empty_queue: modern,
            drs_doubles_first: version == Version::V7_2,
            reqsk_rst_exact: version > Version::V5_15,
            tcpi_tfo_child: modern,
            tw_isn_kept: modern,
            zero_window_counts: modern,
            skb_small_head: modern,
            sof_timestamping_last: if modern { 1 << 18 } else { 1 << 15 },
            tcp_grow_skb: modern,
            challenge_unsent_ack: modern,
            advmss_ignores_pmtu: version == Version::V7_2,
        }
    }

    /// The same kernel on another architecture.
    pub fn with_arch(mut self, arch: Arch) -> Self {
        self.arch = arch;
        (self.sizeof_sk_buff, self.sizeof_skb_shared_info, self.net_ip_align) = match arch {
            Arch::X86_64 => (256, 320, 0),
            Arch::Arm => (192, 192, 2),
        };
        self
    }

    /// `SKB_TRUESIZE(size)`: what a buffer of `size` bytes is charged.
    pub const fn skb_truesize(&self, size: u32) -> u32 {
        size + self.sizeof_sk_buff + self.sizeof_skb_shared_info
    }

    /// Jiffies of so many milliseconds, rounded up (`msecs_to_jiffies`).
    pub const fn msecs_to_jiffies(&self, ms: u64) -> Jiffies {
        (ms * self.hz as u64).div_ceil(1000)
    }

    /// Jiffies of so many microseconds, rounded up (`usecs_to_jiffies`).
    pub const fn usecs_to_jiffies(&self, us: u64) -> Jiffies {
        (us * self.hz as u64).div_ceil(1_000_000)
    }
}
