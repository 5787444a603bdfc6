//! The layers below TCP, exercised through frames.

use super::fib_frontend::{RouteSpec, ip_addr_add, ip_addr_del, ip_route_add, ip_route_del};
use super::fib_trie::fib_trie_seq_show;
use super::icmp::{ICMP_DEST_UNREACH, ICMP_ECHO, ICMP_FRAG_NEEDED, ICMP_HOST_UNREACH};
use super::ip_input::ip_hdr;
use super::ip_output::{IP_DF, IP_MF, ip_queue_xmit};
use super::route::{Flow4, ip_route_output_flow};
use crate::errno::Errno;
use crate::kernel::NicKind;
use crate::net::Net;
use crate::net::core::dev;
use crate::net::core::skbuff::{IpSummed, SKB_HEADROOM, Skb};
use crate::net::core::sock::{SockCommon, SockId};
use crate::net::ethernet::{ETH_P_ARP, ETH_P_IP};
use crate::net::testing::*;
use crate::uapi::{AF_INET, IPPROTO_TCP, IPPROTO_UDP, SOCK_STREAM};
use hw_model::Frag;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::sync::Arc;

fn socket(daddr: Ipv4Addr) -> SockCommon {
    let mut sk = SockCommon::new(SockId(0), AF_INET, SOCK_STREAM, IPPROTO_TCP, (65536, 65536));
    sk.inet_saddr = OUR_IP;
    sk.inet_daddr = daddr;
    sk.inet_num = 4000;
    sk.inet_dport = 80;
    sk
}

/// A TCP packet with this much payload; more than `mss` makes it a super-packet.
fn segment(net: &mut Net, len: usize, mss: u16, flags: u8) -> Skb {
    let mut skb = Skb::alloc(&mut net.skbs, SKB_HEADROOM);
    let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
    skb.add_frag(Frag::new(Arc::new(bytes)));
    let header = skb.push(20);
    header[..4].copy_from_slice(&[0x0f, 0xa0, 0, 80]);
    header[4..8].copy_from_slice(&1000_u32.to_be_bytes());
    header[12] = 0x50;
    header[13] = flags;
    skb.reset_transport_header();
    skb.ip_summed = IpSummed::Partial { offset: 16 };
    let sum = crate::lib::checksum::csum_pseudo(OUR_IP, PEER_IP, len + 20, IPPROTO_TCP).folded();
    skb.linear_mut()[16..18].copy_from_slice(&sum.to_be_bytes());
    skb.truesize = 1000 + len as u32;
    if len > usize::from(mss) {
        skb.gso_size = mss;
        skb.gso_segs = len.div_ceil(mss.into()) as u16;
    }
    skb
}

fn learn_peer(net: &mut Net) {
    frame(net, ether(ETH_P_ARP, &arp_packet(1, OUR_IP)));
    sent(net);
}

fn ip_of(frame: &[u8]) -> &[u8] {
    &frame[14..]
}

#[test]
fn the_first_packet_waits_for_arp_and_goes_when_it_is_answered() {
    let (mut net, _) = machine(NicKind::Tap);
    let mut sk = socket(PEER_IP);
    let skb = segment(&mut net, 100, 1460, 0x10);
    ip_queue_xmit(&mut net, &mut sk, skb).unwrap();
    let asked = sent(&mut net);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].bytes[..6], [0xff; 6]);
    assert_eq!(asked[0].bytes[28..32], OUR_IP.octets(), "the packet's own source asks");
    assert_eq!(asked[0].bytes[38..42], PEER_IP.octets());
    frame(&mut net, ether(ETH_P_ARP, &arp_packet(2, OUR_IP)));
    let data = sent(&mut net);
    assert_eq!(data.len(), 1);
    assert_eq!(data[0].bytes[..6], PEER_MAC);
    let ip = ip_of(&data[0].bytes);
    let mut sum = crate::lib::checksum::csum_pseudo(OUR_IP, PEER_IP, 120, IPPROTO_TCP);
    sum.add(&ip[20..]);
    assert_eq!(sum.finish(), 0, "the transport checksum was filled");
    assert_eq!(net.skbs.alive(), 0);
}

/// Three requests, each a second of the timer wheel apart, then the sender hears.
#[test]
fn a_neighbour_that_does_not_answer_is_an_error_to_the_sender() {
    let (mut net, _) = machine(NicKind::Tap);
    let mut sk = socket(PEER_IP);
    let skb = segment(&mut net, 10, 1460, 0x10);
    ip_queue_xmit(&mut net, &mut sk, skb).unwrap();
    assert!(pass(&mut net, 2900).errors.is_empty());
    assert_eq!(sent(&mut net).len(), 3);
    let after = pass(&mut net, 400);
    assert_eq!(after.errors.len(), 1);
    let err = &after.errors[0];
    assert_eq!((err.icmp_type, err.code), (ICMP_DEST_UNREACH, ICMP_HOST_UNREACH));
    assert_eq!((err.proto, err.saddr, err.daddr), (IPPROTO_TCP, OUR_IP, PEER_IP));
    assert_eq!((err.sport, err.dport, err.seq), (4000, 80, 1000));
    assert!(sent(&mut net).is_empty(), "the error stays in this host");
    assert_eq!(net.skbs.alive(), 0);
}

#[test]
fn a_super_packet_is_cut_for_a_device_that_cannot() {
    let (mut net, _) = machine(NicKind::Tap);
    learn_peer(&mut net);
    let mut sk = socket(PEER_IP);
    sk.inet_id = 0xffff;
    // FIN, PSH, ACK, CWR
    let skb = segment(&mut net, 3000, 1460, 0x99);
    ip_queue_xmit(&mut net, &mut sk, skb).unwrap();
    assert_eq!(sk.inet_id, 2, "an id for each segment");
    let frames = sent(&mut net);
    let parts: Vec<_> = frames.iter().map(|f| ip_of(&f.bytes)).collect();
    assert_eq!(parts.len(), 3);
    let flags: Vec<u8> = parts.iter().map(|p| p[33]).collect();
    assert_eq!(flags, [0x90, 0x10, 0x19], "CWR first, PSH and FIN last");
    for (i, part) in parts.iter().enumerate() {
        let len = if i == 2 { 80 } else { 1460 };
        assert_eq!(part.len(), 40 + len);
        assert_eq!(part[2..4], (40 + len as u16).to_be_bytes());
        assert_eq!(part[4..6], 0xffff_u16.wrapping_add(i as u16).to_be_bytes());
        assert_eq!(part[24..28], (1000 + 1460 * i as u32).to_be_bytes());
        let mut sum =
            crate::lib::checksum::csum_pseudo(OUR_IP, PEER_IP, part.len() - 20, IPPROTO_TCP);
        sum.add(&part[20..]);
        assert_eq!(sum.finish(), 0);
        assert_eq!(crate::lib::checksum::ip_compute_csum(&part[..20]), 0);
    }
    assert_eq!(net.skbs.alive(), 0);
}

#[test]
fn a_tun_takes_the_super_packet_whole() {
    let (mut net, _) = machine(NicKind::Tun);
    let mut sk = socket(PEER_IP);
    let skb = segment(&mut net, 3000, 1460, 0x18);
    ip_queue_xmit(&mut net, &mut sk, skb).unwrap();
    let frames = sent(&mut net);
    assert_eq!((frames.len(), frames[0].bytes.len(), frames[0].gso_size), (1, 3040, 1460));
    assert_eq!(net.skbs.alive(), 0);
}

#[test]
fn a_long_echo_comes_back_in_fragments_that_make_it_again() {
    let (mut net, _) = machine(NicKind::Tap);
    learn_peer(&mut net);
    let data: Vec<u8> = (0..4000).map(|i| (i * 7) as u8).collect();
    let echo = icmp_message(ICMP_ECHO, 0, 0x1234_0001, &data);
    // The request, cut in three, the pieces out of order.
    let pieces = [(2960, 4008, 0), (0, 1480, IP_MF), (1480, 2960, IP_MF)];
    for (from, to, more) in pieces {
        let packet = ip_packet(1, 77, (from / 8) as u16 | more, &echo[from..to]);
        frame(&mut net, ether(ETH_P_IP, &packet));
    }
    let frames = sent(&mut net);
    assert_eq!(frames.len(), 3);
    let mut again = Vec::new();
    for (i, f) in frames.iter().enumerate() {
        let ip = ip_of(&f.bytes);
        let field = u16::from_be_bytes([ip[6], ip[7]]);
        assert_eq!(field & IP_DF, 0);
        assert_eq!(field & IP_MF != 0, i < 2);
        assert_eq!(usize::from(field & 0x1fff) * 8, again.len());
        assert_eq!(crate::lib::checksum::ip_compute_csum(&ip[..20]), 0);
        again.extend(&ip[20..]);
    }
    assert_eq!(again[0], 0, "an echo reply");
    assert_eq!(crate::lib::checksum::ip_compute_csum(&again), 0);
    assert_eq!(again[8..], data);
    let mib = &mut net.mib;
    assert_eq!(mib.by_name("IpReasmOKs"), Some(1));
    assert_eq!(mib.by_name("IpFragCreates"), Some(3));
    assert_eq!(net.skbs.alive(), 0);
}

#[test]
fn an_unfinished_packet_is_reported_when_its_time_is_over() {
    let (mut net, _) = machine(NicKind::Tap);
    learn_peer(&mut net);
    frame(&mut net, ether(ETH_P_IP, &ip_packet(IPPROTO_UDP, 9, IP_MF, &[0; 64])));
    assert_eq!(net.ip.frags.queued(), 1);
    pass(&mut net, 33_000);
    let frames = sent(&mut net);
    assert_eq!(frames.len(), 1);
    assert_eq!(ip_of(&frames[0].bytes)[20..22], [11, 1], "time exceeded in reassembly");
    assert_eq!(net.ip.frags.queued(), 0);
    assert_eq!(net.mib.by_name("IpReasmTimeout"), Some(1));
    assert_eq!(net.skbs.alive(), 0);
}

#[test]
fn an_overlap_ends_the_packet_and_a_repetition_does_not() {
    let (mut net, _) = machine(NicKind::Tap);
    for (id, second) in [(1, 8), (2, 0)] {
        let first = ip_packet(IPPROTO_UDP, id, IP_MF, &[1; 16]);
        frame(&mut net, ether(ETH_P_IP, &first));
        let next = ip_packet(IPPROTO_UDP, id, (second / 8) | IP_MF, &[2; 16]);
        frame(&mut net, ether(ETH_P_IP, &next));
    }
    assert_eq!(net.mib.by_name("IpExtReasmOverlaps"), Some(1));
    assert_eq!(net.ip.frags.queued(), 1, "the repeated one still waits");
}

#[test]
fn a_path_mtu_is_learned_and_forgotten() {
    let (mut net, _) = machine(NicKind::Tap);
    let far = Ipv4Addr::new(192, 0, 2, 9);
    let route = RouteSpec { via: Some(PEER_IP), ..RouteSpec::default() };
    ip_route_add(&mut net, &route, false).unwrap();
    let mut fl = flow(far);
    let before = ip_route_output_flow(&mut net, &mut fl).unwrap();
    assert_eq!((before.mtu, before.gateway, fl.saddr), (1500, Some(PEER_IP.into()), OUR_IP));
    super::route::ipv4_update_pmtu(&mut net, &before, far, 1000);
    assert!(!before.valid(&net));
    let after = ip_route_output_flow(&mut net, &mut flow(far)).unwrap();
    assert_eq!((after.mtu, after.mtu_locked), (1000, false));
    // Below min_pmtu it is locked instead, and DF is not set any more.
    super::route::ipv4_update_pmtu(&mut net, &after, far, 300);
    let low = ip_route_output_flow(&mut net, &mut flow(far)).unwrap();
    assert_eq!((low.mtu, low.mtu_locked), (552, true));
    pass(&mut net, 601_000);
    assert!(!low.valid(&net));
    assert_eq!(ip_route_output_flow(&mut net, &mut flow(far)).unwrap().mtu, 1500);
}

fn flow(daddr: Ipv4Addr) -> Flow4 {
    let saddr = Ipv4Addr::UNSPECIFIED;
    Flow4 { saddr, daddr, oif: 0, tos: 0, proto: 17, sport: 0, dport: 0, mark: 0 }
}

#[test]
fn errors_are_limited_and_answers_to_errors_never_sent() {
    let (mut net, _) = machine(NicKind::Tap);
    learn_peer(&mut net);
    // Unknown protocol 200, a hundred times at once: the peer may have six saved up.
    for i in 0..100 {
        frame(&mut net, ether(ETH_P_IP, &ip_packet(200, i, 0, &[0; 32])));
    }
    assert_eq!(sent(&mut net).len(), 6);
    pass(&mut net, 1000);
    let quoted = ip_packet(200, 1, 0, &[0; 32]);
    let error = icmp_message(ICMP_DEST_UNREACH, 2, 0, &quoted);
    let received = frame(&mut net, ether(ETH_P_IP, &ip_packet(1, 1, 0, &error)));
    assert!(sent(&mut net).is_empty());
    assert_eq!(received.errors[0].proto, 200);
    assert_eq!(net.mib.by_name("IcmpOutMsgs"), Some(6));
}

#[test]
fn fragmentation_needed_reaches_the_sender_with_its_mtu() {
    let (mut net, _) = machine(NicKind::Tap);
    let mut ours = ip_packet(IPPROTO_TCP, 5, IP_DF, &[0x0f, 0xa0, 0, 80, 0, 0, 3, 232]);
    ours[12..16].copy_from_slice(&OUR_IP.octets());
    ours[16..20].copy_from_slice(&PEER_IP.octets());
    let error = icmp_message(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1300, &ours);
    let received = frame(&mut net, ether(ETH_P_IP, &ip_packet(1, 1, 0, &error)));
    let err = &received.errors[0];
    assert_eq!((err.info, err.seq, err.sport, err.dport), (1300, 1000, 4000, 80));
    assert_eq!(err.error(crate::uapi::IP_PMTUDISC_WANT), Some((Errno::EMSGSIZE, true)));
    super::icmp::update_pmtu(&mut net, err);
    assert_eq!(ip_route_output_flow(&mut net, &mut flow(PEER_IP)).unwrap().mtu, 1300);
}

#[test]
fn addresses_make_routes_and_take_them_away() {
    let (mut net, eth) = machine(NicKind::Tap);
    let (before, listed) = (fib_trie_seq_show(&net.ip.fib.trie), routes(&net));
    let other = Ipv4Addr::new(10, 0, 2, 16);
    ip_addr_add(&mut net, eth, other, 24).unwrap();
    assert_eq!(ip_addr_add(&mut net, eth, other, 24), Err(Errno::EEXIST));
    assert_ne!(fib_trie_seq_show(&net.ip.fib.trie), before);
    ip_addr_del(&mut net, eth, other, 24).unwrap();
    assert_eq!(routes(&net), listed);
    assert_eq!(ip_addr_del(&mut net, eth, other, 24), Err(Errno::EADDRNOTAVAIL));
    let via_nowhere = RouteSpec { via: Some(Ipv4Addr::new(192, 0, 2, 1)), ..RouteSpec::default() };
    assert_eq!(ip_route_add(&mut net, &via_nowhere, false), Err(Errno::ENETUNREACH));
    let default = RouteSpec { via: Some(PEER_IP), ..RouteSpec::default() };
    ip_route_add(&mut net, &default, false).unwrap();
    assert_eq!(ip_route_add(&mut net, &default, false), Err(Errno::EEXIST));
    ip_route_add(&mut net, &default, true).unwrap();
    // Down: what led through the device is gone, its own address is still this host's.
    dev::dev_close(&mut net, eth);
    let far = Ipv4Addr::new(192, 0, 2, 9);
    assert_eq!(ip_route_output_flow(&mut net, &mut flow(far)).unwrap_err(), Errno::ENETUNREACH);
    assert_eq!(ip_route_del(&mut net, &default), Err(Errno::ESRCH));
    dev::dev_open(&mut net, eth);
    assert_eq!(routes(&net), listed);
}

/// What the tables hold, whatever shape the trie has: nodes do not shrink as they grew.
fn routes(net: &Net) -> Vec<(Ipv4Addr, u8, String)> {
    let trie = &net.ip.fib.trie;
    trie.routes().map(|r| (r.prefix, r.plen, r.alias.rt_type.name().to_owned())).collect()
}

#[test]
fn loopback_carries_a_packet_back() {
    let (mut net, _) = machine(NicKind::Tap);
    let mut sk = socket(OUR_IP);
    let skb = segment(&mut net, 5000, 1460, 0x10);
    ip_queue_xmit(&mut net, &mut sk, skb).unwrap();
    let mut received = softirqs(&mut net);
    let (proto, skb) = received.local.pop().unwrap();
    assert_eq!((proto, skb.len(), skb.gso_size), (IPPROTO_TCP, 5020, 1460));
    assert_eq!(ip_hdr(&skb).unwrap().daddr, OUR_IP);
    drop_skb(&mut net, skb);
    assert!(sent(&mut net).is_empty());
    assert_eq!(net.skbs.alive(), 0);
}

/// The identification of connections, of strangers, and of packets with DF alone.
#[test]
fn identifications_are_counted_as_linux_counts_them() {
    let (mut net, _) = machine(NicKind::Tap);
    let first = super::ip_output::__ip_select_ident(&mut net, OUR_IP, PEER_IP, 1, 1);
    let next = super::ip_output::__ip_select_ident(&mut net, OUR_IP, PEER_IP, 1, 3);
    assert_eq!(next.wrapping_sub(first), 1, "within a jiffy the counter goes on by the segments");
    let after = super::ip_output::__ip_select_ident(&mut net, OUR_IP, PEER_IP, 1, 1);
    assert_eq!(after.wrapping_sub(next), 3);
    pass(&mut net, 100);
    let later = super::ip_output::__ip_select_ident(&mut net, OUR_IP, PEER_IP, 1, 1);
    assert!((1..=100).contains(&later.wrapping_sub(after)));
}

#[test]
fn the_mib_tells_why_a_packet_was_dropped() {
    let (mut net, _) = machine(NicKind::Tap);
    let good = ip_packet(IPPROTO_UDP, 1, 0, &[0; 16]);
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 5] = [
        ("IpInHdrErrors", |p| p[0] = 0x44),
        ("IpExtInCsumErrors", |p| p[8] ^= 1),
        ("IpExtInTruncatedPkts", |p| {
            p.truncate(30);
        }),
        ("IpInAddrErrors", |p| {
            p[19] = 77;
            let sum = u16::from_be_bytes([p[10], p[11]]);
            let sum = !((u32::from(!sum) + 77 - 15) as u16);
            p[10..12].copy_from_slice(&sum.to_be_bytes());
        }),
        ("IpInUnknownProtos", |p| {
            p[9] = 99;
            let sum = u16::from_be_bytes([p[10], p[11]]);
            let sum = !((u32::from(!sum) + 99 - 17) as u16);
            p[10..12].copy_from_slice(&sum.to_be_bytes());
        }),
    ];
    for (name, damage) in cases {
        let mut packet = good.clone();
        damage(&mut packet);
        let before = net.mib.by_name(name).unwrap();
        frame(&mut net, ether(ETH_P_IP, &packet));
        assert_eq!(net.mib.by_name(name).unwrap(), before + 1, "{name}");
    }
}

/// Frames with right checksums around hostile fields, and plain noise.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let ip = (any::<u8>(), 0_u8..16, any::<[u8; 19]>(), bytes(), any::<bool>()).prop_map(
        |(proto, ihl, header, payload, ours)| {
            let mut p = vec![0x40 | ihl];
            p.extend(header);
            p.extend(payload);
            let hlen = (usize::from(ihl) * 4).clamp(20, p.len());
            if ours {
                p[9] = [1, 6, 17, proto][usize::from(proto % 4)];
                p[12..16].copy_from_slice(&PEER_IP.octets());
                p[16..20].copy_from_slice(&OUR_IP.octets());
                let len = p.len() as u16;
                p[2..4].copy_from_slice(&len.to_be_bytes());
            }
            p[10..12].fill(0);
            let sum = crate::lib::checksum::ip_compute_csum(&p[..hlen]);
            p[10..12].copy_from_slice(&sum.to_be_bytes());
            ether(ETH_P_IP, &p)
        },
    );
    let icmp = (any::<[u8; 2]>(), any::<u32>(), bytes()).prop_map(|([t, c], w, d)| {
        ether(ETH_P_IP, &ip_packet(1, 3, 0, &icmp_message(t, c, w, &d)))
    });
    let arp = prop::collection::vec(any::<u8>(), 0..60).prop_map(|b| ether(ETH_P_ARP, &b));
    let fragments = (0_u16..4, 0_u16..40, any::<bool>(), bytes()).prop_map(|(id, at, more, d)| {
        let more = if more { IP_MF } else { 0 };
        ether(ETH_P_IP, &ip_packet(1, id, at | more, &d))
    });
    prop_oneof![bytes(), ip, icmp, arp, fragments]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_frame_panics_and_none_is_lost(
        frames in prop::collection::vec((hostile(), 0_u64..3000), 1..30),
        tun in any::<bool>(),
    ) {
        let kind = if tun { NicKind::Tun } else { NicKind::Tap };
        let (mut net, _) = machine(kind);
        for (bytes, ms) in frames {
            let bytes = if tun { bytes.get(14..).unwrap_or_default().to_vec() } else { bytes };
            let received = frame(&mut net, bytes);
            for (_, skb) in received.local {
                drop_skb(&mut net, skb);
            }
            for (_, skb) in pass(&mut net, ms).local {
                drop_skb(&mut net, skb);
            }
            sent(&mut net);
        }
        prop_assert_eq!(net.skbs.alive(), net.queued_skbs() as u64);
        pass(&mut net, 100_000);
        prop_assert_eq!(net.skbs.alive(), net.queued_skbs() as u64);
    }
}
