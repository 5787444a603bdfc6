use super::*;
use crate::kernel::{BootConfig, Kernel};
use crate::net::core::sock::SockId;
use crate::net::ipv4::tcp::tcp_init_sock;
use crate::profile::{Profile, Version};
use proptest::prelude::*;
use std::sync::Arc;

fn machine(version: Version, hz: u32) -> Net {
    let profile = Profile { hz, ..Profile::new(version) };
    Kernel::boot(&BootConfig::new(profile, Vec::new())).net
}

fn established(net: &mut Net) -> TcpSock {
    let mut tp = tcp_init_sock(net, SockId(0));
    tp.sk.sk_state = TcpState::Established;
    tp
}

proptest! {
    /// Whatever the bytes, parsing ends; and a SYN's options are found behind any padding.
    #[test]
    fn options_of_any_bytes_are_parsed(junk: Vec<u8>, nops in 0..4usize, mss in 1..u16::MAX) {
        let net = machine(Version::V5_15, 250);
        let mut opt = TcpOptionsReceived::default();
        tcp_parse_options(&net, &junk, &mut opt, false, true);
        let mut opts = vec![TCPOPT_NOP; nops];
        opts.extend([TCPOPT_MSS, 4]);
        opts.extend(mss.to_be_bytes());
        opts.extend([TCPOPT_SACK_PERM, 2, TCPOPT_WINDOW, 3, 15]);
        let mut opt = TcpOptionsReceived::default();
        tcp_parse_options(&net, &opts, &mut opt, false, true);
        prop_assert_eq!((opt.mss_clamp, opt.sack_ok, opt.snd_wscale), (mss, 1, TCP_MAX_WSCALE));
    }
}

#[test]
fn an_option_that_is_too_long_ends_the_list_and_one_of_a_wrong_length_is_passed_over() {
    let net = machine(Version::V5_15, 250);
    let parse = |opts: &[u8]| {
        let mut opt = TcpOptionsReceived::default();
        tcp_parse_options(&net, opts, &mut opt, false, true);
        (opt.mss_clamp, opt.sack_ok)
    };
    assert_eq!(parse(&[TCPOPT_SACK_PERM, 2, TCPOPT_MSS, 5, 1, 2]), (0, 1));
    assert_eq!(parse(&[TCPOPT_MSS, 3, 9, TCPOPT_SACK_PERM, 2]), (0, 1));
    assert_eq!(parse(&[TCPOPT_MSS, 0, TCPOPT_SACK_PERM, 2]), (0, 0));
    assert_eq!(parse(&[TCPOPT_MSS, 1, TCPOPT_SACK_PERM, 2]), (0, 0));
    assert_eq!(parse(&[TCPOPT_MSS]), (0, 0));
    assert_eq!(parse(&[TCPOPT_EOL, TCPOPT_SACK_PERM, 2]), (0, 0));
}

/// Capture 07: srtt 124.2 ms and rttvar 279.1 ms give 101 jiffies at HZ 250; and the variance
/// never counts for less than 200 ms.
#[test]
fn the_rto_is_that_of_the_captures() {
    let mut net = machine(Version::V6_18, 250);
    let mut tp = established(&mut net);
    tp.srtt_us = 124_200 << 3;
    tp.rttvar_us = 279_100;
    assert_eq!(__tcp_set_rto(&tp, &net), 101);

    let mut tp = established(&mut net);
    tcp_rtt_estimator(&mut tp, &net, 54_000);
    assert_eq!((tp.srtt_us >> 3, tp.mdev_us, tp.rttvar_us), (54_000, 108_000, 200_000));
    tcp_set_rto(&mut tp, &net);
    assert_eq!(tp.icsk.icsk_rto, 64);
    // A falling RTT counts for an eighth of its excess over the deviation only.
    tp.mdev_us = 4_000;
    tcp_rtt_estimator(&mut tp, &net, 14_000);
    assert_eq!(tp.mdev_us, 4_000 + ((40_000 - 1_000) >> 3));
    assert_eq!(tp.srtt_us >> 3, 49_000);
}

#[test]
fn the_least_rtt_of_a_window_is_forgotten_with_it() {
    let mut m = [MinmaxSample { t: 0, v: u32::MAX }; 3];
    assert_eq!(minmax_running_min(&mut m, 100, 0, 50), 50);
    assert_eq!(minmax_running_min(&mut m, 100, 30, 70), 50);
    assert_eq!(minmax_running_min(&mut m, 100, 60, 80), 50);
    assert_eq!(minmax_running_min(&mut m, 100, 101, 90), 70);
    assert_eq!(minmax_running_min(&mut m, 100, 400, 95), 95);
}

#[test]
fn sack_blocks_come_newest_first_and_grow_together() {
    let mut net = machine(Version::V5_15, 250);
    let mut tp = established(&mut net);
    tp.rx_opt.sack_ok = 1;
    let mut arrive = |tp: &mut TcpSock, a: u32, b: u32| {
        tcp_sack_new_ofo_skb(tp, &mut net, SeqNum(a), SeqNum(b));
        let n = usize::from(tp.rx_opt.num_sacks);
        tp.selective_acks[..n].iter().map(|s| (s.start_seq.0, s.end_seq.0)).collect::<Vec<_>>()
    };
    arrive(&mut tp, 10, 20);
    assert_eq!(arrive(&mut tp, 30, 40), [(30, 40), (10, 20)]);
    assert_eq!(arrive(&mut tp, 50, 60), [(50, 60), (30, 40), (10, 20)]);
    assert_eq!(arrive(&mut tp, 20, 30), [(10, 40), (50, 60)]);
    for at in [70, 90, 110] {
        arrive(&mut tp, at, at + 10);
    }
    assert_eq!(arrive(&mut tp, 130, 140), [(130, 140), (110, 120), (90, 100), (70, 80)]);
}

/// A full segment of 1448 bytes in a TAP frame: 2176 bytes of memory.
fn segment(net: &mut Net, seq: u32) -> Skb {
    let mut skb = Skb::alloc(&mut net.skbs, 0);
    skb.add_frag(hw_model::Frag::new(Arc::new(vec![0; 1448])));
    skb.truesize = 2176;
    skb.cb = crate::net::core::skbuff::Cb::Tcp(crate::net::core::skbuff::TcpCb {
        seq: SeqNum(seq),
        end_seq: SeqNum(seq + 1448),
        tcp_flags: TCPHDR_ACK,
        ..Default::default()
    });
    skb
}

/// Capture 04 (6.18, window scale 10): the windows of the ACKs of the first five segments; the
/// first buffer of the queue costs its whole charge, what is merged 256 bytes less.
#[test]
fn the_receive_window_grows_as_captured() {
    let mut net = machine(Version::V6_18, 250);
    let mut tp = established(&mut net);
    tp.advmss = 1448;
    tp.rx_opt.rcv_wscale = 10;
    tp.rx_opt.sack_ok = 1;
    tp.icsk.icsk_ack.rcv_mss = 536;
    tp.rcv_wnd = 64_512;
    tp.rcv_ssthresh = 64_240;
    tp.window_clamp = 1 << 20;
    tcp_init_buffer_space(&mut tp, &mut net);
    assert_eq!(tp.rcv_ssthresh, 65_536 - 1448);
    let mut windows = Vec::new();
    let mut charges = Vec::new();
    for i in 0..5 {
        let skb = segment(&mut net, i * 1448);
        let before = tp.sk.sk_rmem_alloc;
        tcp_data_queue(&mut tp, &mut net, skb);
        charges.push(tp.sk.sk_rmem_alloc - before);
        windows.push(tp.rcv_ssthresh.div_ceil(1024));
        tp.rcv_wup = tp.rcv_nxt;
    }
    assert_eq!(tp.scaling_ratio, 170);
    assert_eq!(windows, [66, 69, 72, 75, 78]);
    assert_eq!(charges, [2176, 1920, 1920, 1920, 1920]);
    purge_charged(&mut tp, &mut net, |tp| &mut tp.sk.sk_receive_queue);
    assert_eq!((tp.sk.sk_rmem_alloc, net.skbs.alive()), (0, 0));
}

/// Segments in any order, overlapping as they like, give the stream once, and nothing is left
/// charged.
#[test]
fn out_of_order_segments_are_put_in_order() {
    let mut net = machine(Version::V5_15, 250);
    let mut tp = established(&mut net);
    tp.advmss = 1448;
    tp.icsk.icsk_ack.rcv_mss = 1448;
    tp.rcv_wnd = 100_000;
    tp.rx_opt.sack_ok = 1;
    for at in [3, 1, 5, 4, 1, 7, 2, 0, 6] {
        let skb = segment(&mut net, at * 1000);
        tcp_data_queue(&mut tp, &mut net, skb);
    }
    assert_eq!(tp.rcv_nxt, SeqNum(8448));
    assert!(tp.out_of_order_queue.is_empty() && tp.rx_opt.num_sacks == 0);
    purge_charged(&mut tp, &mut net, |tp| &mut tp.sk.sk_receive_queue);
    assert_eq!((tp.sk.sk_rmem_alloc, net.skbs.alive()), (0, 0));
}

/// RFC 6937 with Linux's bound: a reduction from 10 to 7 sends 7 for 10 delivered.
#[test]
fn prr_spreads_the_reduction() {
    let mut net = machine(Version::V5_15, 250);
    let mut tp = established(&mut net);
    (tp.prior_cwnd, tp.snd_ssthresh, tp.packets_out) = (10, 7, 10);
    let mut sent = 0;
    for _ in 0..10 {
        tp.packets_out -= 1;
        tcp_cwnd_reduction(&mut tp, 1, 0, FLAG_SND_UNA_ADVANCED);
        let may = tp.snd_cwnd - tp.packets_in_flight();
        tp.packets_out += may;
        tp.prr_out += may;
        sent += may;
    }
    assert_eq!((sent, tp.packets_out), (7, 7));
}
