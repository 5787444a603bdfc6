//! What a failure looks like, for a reader and in the document.

use std::collections::BTreeSet;
use std::path::Path;

use conformance::report::evidence;
use conformance::results::{CaseResult, Nic, Status};
use conformance::run::{RunOptions, run_source};
use conformance::script::Source;

/// A connection to the reference, as far as the three-way handshake, and a first request.
const OPEN: &str = "\
`sysctl -q net.ipv4.tcp_sack=0`
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  bind(3, ..., ...) = 0
+0  listen(3, 1) = 0
+.1 < S 0:0(0) win 32792 <mss 1460,sackOK,nop,nop,nop,wscale 7>
+0  > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 257
+0  accept(3, ..., ...) = 4
+.1 < P. 1:1001(1000) ack 1 win 257
";

fn run(script: &str, record: bool) -> CaseResult {
    let text = format!("{OPEN}{script}");
    let options = RunOptions { nic: Nic::Ftgmac100, record, ..RunOptions::default() };
    run_source(&Source::new("t.pkt", &text), "t.pkt", Path::new("."), &options).unwrap()
}

/// The report of a script that fails, events and sockets apart: they are the stack's business.
fn brief(script: &str) -> String {
    let mut case = run(script, false);
    assert_eq!(case.status, Status::Fail);
    let evidence = case.evidence.as_mut().expect("a failure has evidence");
    evidence.events.clear();
    evidence.sockets.clear();
    evidence::text(&case).unwrap()
}

#[test]
fn a_field_that_differs() {
    insta::assert_snapshot!(brief("+0  > P. 1:1(0) ack 1000 win 501\n"));
}

#[test]
fn a_packet_that_comes_too_late() {
    insta::assert_snapshot!(brief(
        "+0 > . 1:1(0) ack 1001\n+.1 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1001\n\
         // The probe comes when two round trips and the delayed ACK are over.\n\
         +.1 > P. 1:101(100) ack 1001\n"
    ));
}

#[test]
fn a_packet_that_does_not_come() {
    insta::assert_snapshot!(brief("+0 > . 1:1(0) ack 1001\n+0 > . 1:1(0) ack 1001\n"));
}

#[test]
fn a_packet_that_nobody_expects() {
    insta::assert_snapshot!(brief(
        "+0 > . 1:1(0) ack 1001\n+0 write(4, ..., 2000) = 2000\n+0 > P. 1461:2001(540) ack 1001\n"
    ));
}

#[test]
fn a_call_that_returns_something_else() {
    insta::assert_snapshot!(brief("+0 read(4, ..., 2000) = -1 EAGAIN (Try again)\n"));
}

#[test]
fn an_assertion_that_does_not_hold() {
    insta::assert_snapshot!(brief("+.1 %{ assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd }%\n"));
}

#[test]
fn every_layer_tells_what_it_did() {
    let case = run("+0 > . 1:1(0) ack 1000\n", false);
    let evidence = case.evidence.expect("a failure has evidence");
    let layers: BTreeSet<&str> = evidence.events.iter().map(|e| e.layer.as_str()).collect();
    let all = ["call", "command", "wire", "tcp", "ip", "device", "driver", "mac"];
    assert!(all.iter().all(|layer| layers.contains(layer)), "{layers:?}");
    assert!(evidence.events.windows(2).all(|pair| pair[0].at_ns <= pair[1].at_ns));
    assert_eq!(evidence.sockets.len(), 2);
    assert!(evidence.sockets[1][0].contains("ESTABLISHED"), "{:?}", evidence.sockets);
    let sack = ("net.ipv4.tcp_sack".to_owned(), "0 (default 1)".to_owned());
    assert!(evidence.environment.contains(&sack), "{:?}", evidence.environment);
}

#[test]
fn what_passes_leaves_evidence_only_where_it_is_asked_for() {
    let script = "+0 > . 1:1(0) ack 1001\n";
    let plain = run(script, false);
    let told = run(script, true);
    assert_eq!((plain.status, told.status), (Status::Pass, Status::Pass));
    assert!(plain.evidence.is_none());
    assert!(told.evidence.is_some_and(|evidence| !evidence.events.is_empty()));
    assert_eq!(plain.virtual_us, told.virtual_us, "looking changes nothing");
}

#[test]
fn the_document_carries_the_evidence() {
    let case = run("+0  > . 1:1(0) ack 1000\n", false);
    let json = serde_json::to_string(&case).unwrap();
    let read: CaseResult = serde_json::from_str(&json).unwrap();
    assert_eq!(read, CaseResult { detail: None, ..case });
}
