//! Linux's `net/ipv6/`.

pub(crate) mod addr;
pub(crate) mod addrconf;
pub(crate) mod af_inet6;
pub(crate) mod datagram;
pub(crate) mod exthdrs;
pub(crate) mod icmp;
pub(crate) mod ip6_input;
pub(crate) mod ip6_output;
pub(crate) mod ipv6_sockglue;
pub(crate) mod mcast;
pub(crate) mod ndisc;
pub(crate) mod reassembly;
pub(crate) mod route;
pub(crate) mod tcp_ipv6;
pub(crate) mod udp;

use std::net::{Ipv4Addr, Ipv6Addr};

/// State of the IPv6 layer: routes, reassembly, rates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ipv6 {
    pub(crate) fib6: route::Fib6,
    /// Packets that wait for their other fragments.
    pub(crate) frags: reassembly::FragQueues,
    /// Rates of what ICMPv6 sends.
    pub(crate) icmp: icmp::Icmp6Limits,
}

/// `LOOPBACK4_IPV6`: what an IPv6 socket has where its IPv4 address would be, so that it is not
/// taken for one bound to any.
pub(crate) const LOOPBACK4_IPV6: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);

/// Whose packets a connection of an AF_INET6 socket sends (`icsk_af_ops`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum AfOps {
    /// `ipv6_specific`: IPv6.
    #[default]
    Specific,
    /// `ipv6_mapped`: IPv4, under IPv4-mapped addresses.
    Mapped,
}

/// `struct ipv6_pinfo` with the IPv6 addresses of `struct sock`: what only AF_INET6 sockets have.
#[derive(Clone, Debug)]
pub(crate) struct Ipv6Pinfo {
    /// `np->saddr`: the source that bind(2) or the route chose.
    pub(crate) saddr: Ipv6Addr,
    pub(crate) sk_v6_rcv_saddr: Ipv6Addr,
    pub(crate) sk_v6_daddr: Ipv6Addr,
    pub(crate) icsk_af_ops: AfOps,
    /// `IPV6_V6ONLY`.
    pub(crate) ipv6only: bool,
    /// `IPV6_UNICAST_HOPS`; `None`: the route's.
    pub(crate) hop_limit: Option<u8>,
    /// `IPV6_MULTICAST_HOPS`.
    pub(crate) mcast_hops: Option<u8>,
    pub(crate) tclass: u8,
    /// `IPV6_PMTUDISC_*`.
    pub(crate) pmtudisc: u8,
    /// `IPV6_RECVERR`.
    pub(crate) recverr: bool,
    pub(crate) dontfrag: bool,
    /// What a reader is told of a datagram's header (`rxopt`).
    pub(crate) rxopt: u8,
    /// `IPV6_AUTOFLOWLABEL`; `None`: `net.ipv6.auto_flowlabels` decides.
    pub(crate) autoflowlabel: Option<bool>,
    /// `IPV6_MTU`: no larger packets; 0: no limit.
    pub(crate) frag_size: u32,
    /// `IPV6_MINHOPCOUNT`.
    pub(crate) min_hopcount: u8,
    /// The label that arrived with a SYN, to be sent back (`IPV6_FLOWINFO_SEND` is not built).
    pub(crate) flow_label: u32,
    /// The tuple under which it stands in `ehash`.
    pub(crate) sk_hash: Option<super::ipv4::inet_hashtables::FourTuple6>,
}

impl Default for Ipv6Pinfo {
    /// What `inet6_create()` sets.
    fn default() -> Self {
        Self {
            saddr: Ipv6Addr::UNSPECIFIED,
            sk_v6_rcv_saddr: Ipv6Addr::UNSPECIFIED,
            sk_v6_daddr: Ipv6Addr::UNSPECIFIED,
            icsk_af_ops: AfOps::Specific,
            ipv6only: false,
            hop_limit: None,
            mcast_hops: None,
            tclass: 0,
            pmtudisc: crate::uapi::IPV6_PMTUDISC_WANT,
            recverr: false,
            dontfrag: false,
            rxopt: 0,
            autoflowlabel: None,
            frag_size: 0,
            min_hopcount: 0,
            flow_label: 0,
            sk_hash: None,
        }
    }
}
