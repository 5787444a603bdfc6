//! The contract with scripts and CI: 0 all as expected, 1 a finding, 2 could not run, and in the
//! last case one report that says where.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn netplumb(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netplumb"))
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program that cargo built")
}

/// A file of this test alone.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).expect("a writable target folder");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Runs it, expects exit code 2 and one report with all of `says`.
fn could_not_run(args: &[&str], says: &[&str]) {
    let output = netplumb(args);
    let report = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {report}");
    for word in says {
        assert!(report.contains(word), "{args:?} does not say {word:?}:\n{report}");
    }
    assert_eq!(report.matches(" × ").count(), 1, "{args:?}: one report:\n{report}");
}

/// A connection to the reference, as far as the three-way handshake.
const HANDSHAKE: &str = "\
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0  bind(3, ..., ...) = 0
+0  listen(3, 1) = 0
+.1 < S 0:0(0) win 32792 <mss 1460,sackOK,nop,nop,nop,wscale 7>
+0  > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 257
";

#[test]
fn a_script_that_holds_is_0_and_one_that_does_not_is_1() {
    let holds = file("holds.pkt", format!("{HANDSHAKE}+0 accept(3, ..., ...) = 4\n").as_bytes());
    let output = netplumb(&["conformance", text(&holds), "--nic", "all", "--check-determinism"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    let fails =
        file("fails.pkt", HANDSHAKE.replace("S. 0:0(0) ack 1", "S. 0:0(0) ack 2").as_bytes());
    let json = fails.with_extension("json");
    let output = netplumb(&["conformance", text(&fails), "--json", text(&json)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("fails.pkt") && said.contains("again    cargo xtask conformance"),
        "{said}"
    );
    let document = std::fs::read_to_string(json).expect("the document");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["summary"]["fail"], 1);
    assert_eq!(document["cases"][0]["id"], "fails.pkt");
}

#[test]
fn a_script_that_fails_can_be_rewritten_from_what_happens() {
    let wrong = HANDSHAKE.replace("S. 0:0(0) ack 1", "S. 0:0(0) ack 2");
    let fails = file("bless.pkt", wrong.as_bytes());
    let output = netplumb(&["conformance", text(&fails), "--bless"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said.contains("bless.pkt (ftgmac100): blessed: 1 change"), "{said}");
    assert_eq!(std::fs::read_to_string(&fails).unwrap(), HANDSHAKE);
    could_not_run(&["conformance", text(&fails), "--bless", "--nic", "all"], &["--nic"]);
}

#[test]
fn what_cannot_be_run_is_a_row_with_its_reason() {
    let script = file("row.pkt", b"0 socket(..., SOCK_STREAM, IPPROTO_TCP = 3\n");
    let json = script.with_extension("json");
    let output = netplumb(&["conformance", text(&script), "--json", text(&json)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let document = std::fs::read_to_string(json).expect("the document");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    let case = &document["cases"][0];
    assert_eq!((&case["id"], &case["not_run"]), (&"row.pkt".into(), &true.into()));
    assert!(
        case["reason"].as_str().is_some_and(|r| r.contains("row.pkt:2:1: expected `)`")),
        "{case}"
    );
    assert_eq!(case["evidence"]["place"]["line"], 2, "{case}");
}

#[test]
fn a_syntax_error_is_shown_in_its_line() {
    let script = file("syntax.pkt", b"0 socket(..., SOCK_STREAM, IPPROTO_TCP = 3\n");
    could_not_run(&["conformance", text(&script)], &["syntax.pkt", "IPPROTO_TCP = 3"]);
}

#[test]
fn an_unknown_sysctl_is_shown_in_its_line() {
    let script = format!("`sysctl -q net.ipv4.tcp_no_such_thing=1`\n{HANDSHAKE}");
    let script = file("sysctl.pkt", script.as_bytes());
    could_not_run(&["conformance", text(&script)], &["sysctl.pkt", "tcp_no_such_thing"]);
}

#[test]
fn a_missing_file_is_named() {
    could_not_run(&["conformance", "no/such/script.pkt"], &["no/such/script.pkt"]);
    could_not_run(&["diff", "no/such/capture.pcap"], &["no/such/capture.pcap"]);
    could_not_run(&["gate", "--baseline", "no/such/list.toml"], &["no/such/list.toml"]);
    could_not_run(&["fuzz", "wire_rx", "--replay", "no/such/input"], &["no/such/input"]);
}

#[test]
fn a_truncated_capture_is_told_by_packet_and_byte() {
    let mut pcap = Vec::new();
    pcap.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    pcap.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    // A packet that claims 60 bytes and has 10.
    pcap.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0]);
    pcap.extend_from_slice(&[0; 10]);
    let pcap = file("truncated.pcap", &pcap);
    file(
        "truncated.toml",
        b"description = \"cut\"\nstrace = []\n[[interface]]\nname = \"eth0\"\n\
          capture = \"truncated.pcap\"\nmac = \"52:54:00:12:34:56\"\nmtu = 1500\n\
          addresses = [\"10.0.2.15/24\"]\ndriver = \"veth\"\n",
    );
    could_not_run(&["diff", text(&pcap)], &["truncated.pcap", "packet 1"]);
}

#[test]
fn reading_alone_finds_what_is_not_the_language() {
    let good = file("good.pkt", HANDSHAKE.as_bytes());
    let bad =
        file("bad.pkt", b"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 > S. 0:0(0 ack 1\n");
    let output = netplumb(&["conformance", "--parse-only", text(&good)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = netplumb(&["conformance", "--parse-only", "--ktap", text(&good), text(&bad)]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.starts_with("KTAP version 1\n1..2\n") && said.contains("bad.pkt:2:"), "{said}");
}

#[test]
fn what_is_not_built_is_refused() {
    let script = file("plain.pkt", HANDSHAKE.as_bytes());
    could_not_run(
        &["conformance", text(&script), "--wire_client"],
        &["--wire_client", "wire mode"],
    );
    could_not_run(&["fuzz", "no_such_target"], &["no_such_target", "wire_rx"]);
}

#[test]
fn the_boot_log_has_every_family() {
    let output = netplumb(&["boot"]);
    let log = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for family in ["NETLINK/PF_ROUTE", "INET", "UNIX/PF_LOCAL", "ALG", "INET6", "PACKET"] {
        let line = format!("NET: Registered PF_{family} protocol family");
        assert!(log.contains(&line), "no {line}:\n{log}");
    }
}
