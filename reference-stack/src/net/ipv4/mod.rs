//! Linux's `net/ipv4/`.

pub(crate) mod af_inet;
pub(crate) mod arp;
pub(crate) mod devinet;
pub(crate) mod fib_frontend;
pub(crate) mod fib_semantics;
pub(crate) mod fib_trie;
pub(crate) mod icmp;
pub(crate) mod inet_connection_sock;
pub(crate) mod inet_csk_listen;
pub(crate) mod inet_hashtables;
pub(crate) mod inet_timewait_sock;
pub(crate) mod ip_forward;
pub(crate) mod ip_fragment;
pub(crate) mod ip_input;
pub(crate) mod ip_options;
pub(crate) mod ip_output;
pub(crate) mod ip_sockglue;
pub mod mib;
pub(crate) mod raw;
pub(crate) mod route;
pub(crate) mod syncookies;
pub mod tcp;
pub(crate) mod tcp_cong;
pub(crate) mod tcp_cubic;
pub(crate) mod tcp_fastopen;
pub(crate) mod tcp_input;
pub(crate) mod tcp_ipv4;
pub(crate) mod tcp_md5;
pub(crate) mod tcp_metrics;
pub(crate) mod tcp_minisocks;
pub(crate) mod tcp_output;
pub(crate) mod tcp_rate;
pub(crate) mod tcp_recovery;
pub(crate) mod tcp_sock;
pub(crate) mod tcp_timer;
pub(crate) mod udp;
pub(crate) mod udp_sockopt;

use crate::lib::siphash::SipKey;
use std::sync::Arc;

/// State of the internet layer: tables, secrets, reassembly, rate limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ipv4 {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) fib: Arc<route::RouteTables>,
    /// Path MTUs that were learned.
    pub(crate) fnhe: route::Fnhe,
    /// `rt_genid`: a cached route of another number is looked up again.
    pub(crate) rt_genid: u32,
    /// The way in that was found last.
    pub(crate) rx_route: Option<route::RxRoute>,
    /// The shared identification counters.
    pub(crate) idents: ip_output::IpIdents,
    /// Packets that wait for their other fragments.
    pub(crate) frags: ip_fragment::FragQueues,
    /// Rate limits of what ICMP sends.
    pub(crate) icmp: icmp::IcmpLimits,
    /// Second (of jiffies) that the allowance of challenge ACKs is of, and what is left of it.
    pub(crate) challenge_timestamp: Option<u64>,
    pub(crate) challenge_count: u32,
    /// How Fast Open of connecting sockets fared.
    pub(crate) tfo_active: tcp_fastopen::TfoActive,
    /// What is remembered of peers.
    pub(crate) tcp_metrics: tcp_metrics::TcpMetrics,
}

/// Keys that Linux draws at boot or at first use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Secrets {
    /// `net_secret`: initial sequence numbers.
    pub(crate) net_secret: SipKey,
    /// `ts_secret`: timestamp offsets.
    pub(crate) ts_secret: SipKey,
    /// `ip_id_key`: IP identification buckets.
    pub(crate) ip_id_key: SipKey,
    /// `inet_ehash_secret` and the ephemeral ports' offsets.
    pub(crate) port_secret: SipKey,
}

#[cfg(test)]
mod tests;
