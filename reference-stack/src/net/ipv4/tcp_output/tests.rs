//! Sizes and windows, held against figures of captures of Linux 6.18.

use super::*;
use crate::kernel::NicKind;
use crate::net::core::sock::SockId;
use crate::net::ipv4::tcp::tcp_init_sock;
use crate::net::testing::machine;
use crate::profile::{Profile, Version};
use std::sync::Arc;

fn socket(version: Version) -> (TcpSock, Net) {
    let (mut net, _) = machine(NicKind::Tap);
    net.profile = Arc::new(Profile::new(version));
    net.sysctl = Arc::new(crate::net::core::sysctl::Sysctl::new(&net.profile));
    let tp = tcp_init_sock(&mut net, SockId(0));
    (tp, net)
}

#[test]
fn the_first_window_is_a_multiple_of_the_segment_size() {
    let (tp, net) = socket(Version::V6_18);
    let space = tcp_full_space(&tp, &net);
    assert_eq!(space, 65536);
    let syn = tcp_select_initial_window(&net, space, 1460, 0, true, 0);
    assert_eq!((syn.rcv_wnd, syn.rcv_wscale), (64240, 10));
    let synack = tcp_select_initial_window(&net, space, 1448, 0, true, 0);
    assert_eq!(synack.rcv_wnd, 65160);
    // SO_RCVBUF of 12000 bounds the clamp, and so the scale.
    let small = tcp_select_initial_window(&net, 12000, 1448, 12000, true, 0);
    assert_eq!(small, InitialWindow { rcv_wnd: 11584, window_clamp: 12000, rcv_wscale: 0 });
}

/// Capture 08: a buffer of 24000 bytes, ratio 170, no scaling.
#[test]
fn a_window_shrinks_with_the_buffer_and_closes_below_a_segment() {
    let (mut tp, mut net) = socket(Version::V6_18);
    tp.sk.sk_rcvbuf = 24000;
    tp.scaling_ratio = 170;
    tp.window_clamp = 15937;
    tp.rcv_ssthresh = 15937;
    tp.icsk.icsk_ack.rcv_mss = 1448;
    tp.rcv_wnd = 14480;
    for (rmem, want) in [(2176, 14480), (23296, 0)] {
        tp.sk.sk_rmem_alloc = rmem;
        assert_eq!(__tcp_select_window(&mut tp, &mut net), want, "{rmem}");
    }
    assert_eq!(tp.icsk.icsk_ack.quick, 0);
}

#[test]
fn a_window_is_never_taken_back() {
    let (mut tp, mut net) = socket(Version::V6_18);
    tp.rx_opt.rcv_wscale = 10;
    tp.window_clamp = 64076;
    tp.rcv_ssthresh = 64076;
    tp.icsk.icsk_ack.rcv_mss = 1448;
    tp.rcv_wnd = 65160;
    // 63 after the first segment of 187 bytes: rounded up to 1024.
    tp.rcv_nxt += 187;
    assert_eq!(tcp_select_window(&mut tp, &mut net), 64);
    tp.sk.sk_rmem_alloc = 131_072;
    assert_eq!(tcp_select_window(&mut tp, &mut net), 64);
    assert_eq!(net.mib.by_name("TcpExtTCPWantZeroWindowAdv"), Some(1));
}

/// Capture 03: at 48 ms a burst is the least, two segments; with no rate yet it is 64 KiB.
#[test]
fn a_burst_is_a_millisecond_of_the_rate() {
    let (mut tp, net) = socket(Version::V6_18);
    assert_eq!(tcp_tso_segs(&tp, &net, 1448), 45);
    tp.sk.sk_pacing_rate = 2 * 10 * 1448 * 1000 / 48;
    tp.rtt_min = [MinmaxSample { t: 0, v: 48_000 }; 3];
    assert_eq!(tcp_tso_segs(&tp, &net, 1448), 2);
    // Half a millisecond away: whole super-packets again.
    tp.rtt_min = [MinmaxSample { t: 0, v: 500 }; 3];
    assert_eq!(tcp_tso_segs(&tp, &net, 1448), 45);
}

#[test]
fn a_skb_takes_half_of_the_window_and_a_lone_fin_none_before_6_12() {
    for (version, fin) in [(Version::V6_1, 1), (Version::V6_18, 0)] {
        let (mut tp, net) = socket(version);
        let mut skb = tcp_init_nondata_skb(&net, SeqNum(1), TCPHDR_ACK);
        assert_eq!(tcp_cwnd_test(&tp, &net, &skb), 5);
        tp.packets_out = 8;
        assert_eq!(tcp_cwnd_test(&tp, &net, &skb), 2);
        tp.packets_out = 10;
        skb.tcp_flags |= TCPHDR_FIN;
        assert_eq!(tcp_cwnd_test(&tp, &net, &skb), fin);
    }
}

#[test]
fn nagle_holds_a_small_segment_only_behind_a_small_one() {
    let (mut tp, net) = socket(Version::V5_15);
    let skb = TcpSkb { len: 10, ..tcp_init_nondata_skb(&net, SeqNum(1), TCPHDR_ACK) };
    tp.packets_out = 1;
    assert!(tcp_nagle_test(&tp, &skb, 1448, 0));
    tp.snd_nxt = SeqNum(100);
    tp.snd_sml = SeqNum(100);
    assert!(!tcp_nagle_test(&tp, &skb, 1448, 0));
    assert!(tcp_nagle_test(&tp, &skb, 1448, TCP_NAGLE_OFF));
    assert!(!tcp_nagle_test(&tp, &skb, 1448, TCP_NAGLE_CORK));
}

#[test]
fn options_stand_in_linux_s_order_and_sack_gives_way_to_timestamps() {
    let (mut tp, mut net) = socket(Version::V5_15);
    tp.advmss = 1460;
    tp.rx_opt.rcv_wscale = 7;
    let opts = tcp_syn_options(&mut tp, &mut net, 5);
    let mut bytes = vec![0; opts.len() as usize];
    tcp_options_write(&opts, &mut bytes);
    assert_eq!(bytes, [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 5, 0, 0, 0, 0, 1, 3, 3, 7]);
    tp.rx_opt.tstamp_ok = true;
    tp.rx_opt.num_sacks = 4;
    assert_eq!(tcp_established_options(&tp, 0).sack.len(), 3);
    tp.rx_opt.tstamp_ok = false;
    assert_eq!(tcp_established_options(&tp, 0).sack.len(), 4);
}

#[test]
fn zero_window_probes_double_up_to_two_minutes() {
    let (mut tp, net) = socket(Version::V5_15);
    tp.icsk.icsk_rto = 204;
    let max = 120_000;
    assert_eq!(tcp_probe0_when(&tp, &net, max), 204);
    tp.icsk.icsk_backoff = 3;
    assert_eq!(tcp_probe0_when(&tp, &net, max), 1632);
    tp.icsk.icsk_backoff = 15;
    assert_eq!(tcp_probe0_when(&tp, &net, max), max);
}
