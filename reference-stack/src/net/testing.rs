//! What the tests of the layers below the sockets share: a machine's lower half with one
//! interface, and packets.

use super::Net;
use super::core::dev::{self, DevId, PacketType};
use super::core::skbuff::{Skb, SkbAccounting};
use super::core::sock::{SkbQueue, Wmem};
use super::core::sysctl::Sysctl;
use super::ipv4::icmp::{IcmpErr, icmp_rcv};
use super::ipv4::ip_input::{IpRcv, ip_rcv};
use super::ipv4::{Ipv4, arp, fib_frontend, ip_fragment};
use crate::kernel::{EventLog, FrameIn, FrameOut, NicConfig, NicKind, Port};
use crate::lib::checksum::ip_compute_csum;
use crate::lib::random::Random;
use crate::net::core::neighbour::neigh_timer_handler;
use crate::net::ipv6::icmp::icmpv6_rcv;
use crate::net::ipv6::ip6_input::{Ip6Rcv, ipv6_rcv};
use crate::net::ipv6::{addrconf, mcast, reassembly};
use crate::profile::{Profile, Version};
use crate::time::{Clock, TimerId};
use crate::uapi::{IPPROTO_ICMP, IPPROTO_ICMPV6};
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// This host's hardware address.
pub(crate) const OUR_MAC: [u8; 6] = [2, 0x77, 0, 0, 2, 15];
/// The peer's.
pub(crate) const PEER_MAC: [u8; 6] = [2, 0x77, 0, 0, 2, 2];
/// This host: 10.0.2.15/24.
pub(crate) const OUR_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The peer.
pub(crate) const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// A machine's lower half whose second device is `eth0` of this kind, up, with [`OUR_IP`].
pub(crate) fn machine(kind: NicKind) -> (Net, DevId) {
    let profile = Arc::new(Profile::new(Version::V5_15));
    let mut net = Net {
        time: Clock::new(profile.hz, 0, 1 << 20, 0),
        rng: Random::new(7),
        sysctl: Arc::new(Sysctl { disable_ipv6: 1, ..Sysctl::new(&profile) }),
        profile,
        mib: Default::default(),
        ip: Ipv4::default(),
        ip6: Default::default(),
        neigh: Default::default(),
        devs: Default::default(),
        softnet: Default::default(),
        wmem: Wmem::default(),
        skbs: SkbAccounting::default(),
        hw: Default::default(),
        wake: SmallVec::new(),
        log: EventLog::default(),
        delays: Default::default(),
        tcp_mem_allocated: 0,
    };
    dev::net_dev_init(&mut net);
    let nic = NicConfig { name: "eth0".into(), kind, mac: OUR_MAC, mtu: 1500 };
    dev::register_nic(&mut net, Port(0), &nic);
    let id = net.devs.by_name("eth0").unwrap();
    dev::dev_open(&mut net, id);
    fib_frontend::ip_addr_add(&mut net, id, OUR_IP, 24).unwrap();
    (net, id)
}

/// What reached this host's protocols, and the errors that its packets got.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) local: Vec<(u8, Skb)>,
    pub(crate) errors: Vec<IcmpErr>,
}

/// Runs the softirqs until nothing is left; ICMP is answered here, TCP and UDP are collected.
pub(crate) fn softirqs(net: &mut Net) -> Received {
    let mut received = Received::default();
    let mut skbs = SkbQueue::default();
    while net.softnet.pending() {
        dev::net_rx_action(net, &mut skbs);
        while let Some(mut skb) = skbs.pop_front() {
            match dev::__netif_receive_skb_core(&mut skb) {
                Ok(PacketType::Arp) => arp::arp_rcv(net, skb),
                Ok(PacketType::Ip) => match ip_rcv(net, skb) {
                    IpRcv::Local { proto: IPPROTO_ICMP, skb } => {
                        received.errors.extend(icmp_rcv(net, skb));
                    }
                    IpRcv::Local { proto, skb } => received.local.push((proto, skb)),
                    IpRcv::Done => {}
                },
                Ok(PacketType::Ipv6) => match ipv6_rcv(net, skb) {
                    Ip6Rcv::Local { proto: IPPROTO_ICMPV6, skb } => drop(icmpv6_rcv(net, skb)),
                    Ip6Rcv::Local { proto, skb } => received.local.push((proto, skb)),
                    Ip6Rcv::Done => {}
                },
                Err(_) => drop_skb(net, skb),
            }
        }
    }
    received
}

/// Frees a packet that a test has looked at.
pub(crate) fn drop_skb(net: &mut Net, skb: Skb) {
    super::core::skbuff::consume_skb(net, skb);
}

/// A frame reaches `eth0`.
pub(crate) fn frame(net: &mut Net, bytes: Vec<u8>) -> Received {
    dev::frame_in(net, Port(0), FrameIn { bytes, gso_size: 0 });
    softirqs(net)
}

/// The frames that left since the last call.
pub(crate) fn sent(net: &mut Net) -> Vec<FrameOut> {
    dev::frames_out(net)
}

/// Lets time pass, with the timers of these layers.
pub(crate) fn pass(net: &mut Net, ms: u64) -> Received {
    let until = net.time.now() + ms * 1_000_000;
    let mut all = Received::default();
    while let Some(at) = net.time.next_event().filter(|&at| at <= until) {
        net.time.set_now(at);
        let now = net.time.jiffies();
        while let Some(id) = net.time.timers.pop_due(now) {
            match id {
                TimerId::Neigh(n) => neigh_timer_handler(net, n),
                TimerId::Frag(q) => ip_fragment::ip_expire(net, q),
                TimerId::Frag6(q) => reassembly::ip6_frag_expire(net, q),
                TimerId::Dad(dev, ifa) => addrconf::addrconf_dad_work(net, dev, ifa),
                TimerId::RouterSolicit(dev) => addrconf::addrconf_rs_timer(net, dev),
                TimerId::MldIfc(dev) => mcast::mld_ifc_work(net, dev),
                TimerId::MldDad(dev) => mcast::mld_dad_work(net, dev),
                _ => {}
            }
            let some = softirqs(net);
            all.local.extend(some.local);
            all.errors.extend(some.errors);
        }
    }
    net.time.set_now(until);
    all
}

/// An Ethernet frame to this host.
pub(crate) fn ether(proto: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = Vec::from(OUR_MAC);
    f.extend(PEER_MAC);
    f.extend(proto.to_be_bytes());
    f.extend(payload);
    f
}

/// An IPv4 packet from the peer to this host.
pub(crate) fn ip_packet(proto: u8, id: u16, frag_off: u16, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x45, 0];
    p.extend(((20 + payload.len()) as u16).to_be_bytes());
    p.extend(id.to_be_bytes());
    p.extend(frag_off.to_be_bytes());
    p.extend([64, proto, 0, 0]);
    p.extend(PEER_IP.octets());
    p.extend(OUR_IP.octets());
    let sum = ip_compute_csum(&p);
    p[10..12].copy_from_slice(&sum.to_be_bytes());
    p.extend(payload);
    p
}

/// An ARP packet of the peer.
pub(crate) fn arp_packet(op: u8, tip: Ipv4Addr) -> Vec<u8> {
    let mut p = vec![0, 1, 8, 0, 6, 4, 0, op];
    p.extend(PEER_MAC);
    p.extend(PEER_IP.octets());
    p.extend(if op == 2 { OUR_MAC } else { [0; 6] });
    p.extend(tip.octets());
    p
}

/// An ICMP message with its checksum.
pub(crate) fn icmp_message(icmp_type: u8, code: u8, word: u32, data: &[u8]) -> Vec<u8> {
    let mut m = vec![icmp_type, code, 0, 0];
    m.extend(word.to_be_bytes());
    m.extend(data);
    let sum = ip_compute_csum(&m);
    m[2..4].copy_from_slice(&sum.to_be_bytes());
    m
}
