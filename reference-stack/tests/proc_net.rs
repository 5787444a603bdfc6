//! /proc/net of a machine with 10.0.2.15/24 via 10.0.2.2, against what Linux 6.1 printed on the
//! AST2500 board, and against the study case's trie of Linux 5.15.

use reference_stack::{
    BootConfig, Kernel, NicConfig, NicKind, Profile, RouteSpec, RouteVerb, Version,
};
use std::net::Ipv4Addr;

fn board() -> Kernel {
    let nic = NicConfig {
        name: "eth0".into(),
        kind: NicKind::Ftgmac100 { mac: 0 },
        mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56],
        mtu: 1500,
    };
    let mut k = Kernel::boot(&BootConfig::new(Profile::new(Version::V5_15), vec![nic]));
    k.ip_addr_add("eth0", Ipv4Addr::new(10, 0, 2, 15), 24).unwrap();
    let default = RouteSpec { via: Some(Ipv4Addr::new(10, 0, 2, 2)), ..RouteSpec::default() };
    k.ip_route(RouteVerb::Add, &default).unwrap();
    k
}

#[test]
fn fib_trie_and_route_are_a_real_kernels() {
    let k = board();
    assert_eq!(k.proc_net("fib_trie").unwrap(), include_str!("fixtures/fib_trie.txt"));
    assert_eq!(k.proc_net("route").unwrap(), include_str!("fixtures/route.txt"));
}

/// The study case has host routes to the gateway and the name server besides.
#[test]
fn the_study_cases_trie_is_reproduced() {
    let mut k = board();
    for last in [2, 3] {
        let route = RouteSpec {
            dst: Some((Ipv4Addr::new(10, 0, 2, last), 32)),
            dev: Some("eth0".into()),
            ..RouteSpec::default()
        };
        k.ip_route(RouteVerb::Add, &route).unwrap();
    }
    let text = k.proc_net("fib_trie").unwrap();
    let main = text.split("Local:").next().unwrap();
    let expected = include_str!("fixtures/fib_trie-study-case.txt");
    assert_eq!(main, expected);
}

#[test]
fn snmp_of_a_fresh_machine_has_every_field() {
    let nothing = Kernel::boot(&BootConfig::new(Profile::new(Version::V5_15), vec![]));
    assert_eq!(nothing.proc_net("snmp").unwrap(), include_str!("fixtures/snmp.txt"));
}
