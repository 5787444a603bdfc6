use std::path::Path;

use super::Smoltcp;
use crate::results::{CaseResult, Status};
use crate::run::{RunOptions, run_on};
use crate::script::Source;

fn run(text: &str) -> CaseResult {
    let source = Source::new("test.pkt", text);
    let options = RunOptions::default();
    run_on(&source, "test.pkt", Path::new("/"), &options, |addresses| {
        Smoltcp::new(addresses, false)
    })
    .unwrap()
}

const LISTEN: &str = "\
`sysctl -q net.ipv4.tcp_rmem=\"4096 65535 6291456\" net.ipv4.tcp_timestamps=0`
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
";

#[test]
fn a_connection_from_its_start_to_its_end() {
    let script = format!(
        "{LISTEN}\
         +0...0.02 accept(3, ..., ...) = 4\n\
         +0 < S 0:0(0) win 65535 <mss 1000>\n\
         +0 > S. 0:0(0) ack 1 <...>\n\
         +.02 < . 1:1(0) ack 1 win 65535\n\
         +0 write(4, ..., 900) = 900\n\
         +0 > P. 1:901(900) ack 1\n\
         +.01 < P. 1:101(100) ack 901 win 65535\n\
         +0 read(4, ..., 1000) = 100\n\
         +0~+.02 > . 901:901(0) ack 101\n\
         +0 close(4) = 0\n\
         +0 > F. 901:901(0) ack 101\n"
    );
    let case = run(&script);
    assert_eq!((case.status, case.target.as_str()), (Status::Pass, "smoltcp"), "{:?}", case.detail);
    assert_eq!(case.event_log, run(&script).event_log);
}

#[test]
fn a_refused_connection_and_a_lost_segment() {
    let case = run("\
        `sysctl -q net.ipv4.tcp_timestamps=0`\n\
        0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
        +0...1.01 connect(3, ..., ...) = -1 ECONNREFUSED (Connection refused)\n\
        +0 > S 0:0(0) <...>\n\
        +1 > S 0:0(0) <...>\n\
        +.01 < R. 0:0(0) ack 1 win 0\n");
    assert_eq!(case.status, Status::Pass, "{:?}", case.detail);
}

#[test]
fn what_smoltcp_lacks_is_named() {
    let lacks = [
        "`sysctl -q net.ipv4.tcp_sack=0`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n",
        "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 setsockopt(3, SOL_TCP, TCP_CORK, [1], 4) = 0\n",
        "0 socket(..., SOCK_RAW, IPPROTO_TCP) = 3\n",
        "`ip route add 10.0.0.0/8 dev tun0`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n",
    ];
    for script in lacks {
        let case = run(script);
        assert_eq!(case.status, Status::Unsupported, "{script}: {:?}", case.reason);
        assert!(case.reason.unwrap_or_default().contains("test.pkt:"), "{script}");
    }
}

#[test]
fn datagrams_and_poll() {
    let case = run("\
        0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n\
        +0 bind(3, ..., ...) = 0\n\
        +0 connect(3, ..., ...) = 0\n\
        +0 send(3, ..., 100, 0) = 100\n\
        +0 > udp (100)\n\
        +0 poll([{fd=3, events=POLLIN, revents=0}], 1, 0) = 0\n\
        +.1 < udp (200)\n\
        +0 poll([{fd=3, events=POLLIN, revents=POLLIN}], 1, 0) = 1\n\
        +0 read(3, ..., 1000) = 200\n");
    assert_eq!(case.status, Status::Pass, "{:?}", case.detail);
}
