//! Own scripts on user-mode Linux, where there is one: built by `cargo xtask oracle build-uml`, named by NETPLUMB_UML, or in
//! ../shared/oracles beside the checkout. Without one the test says so and passes.

use std::process::Command;

/// A few scripts of every kind: a handshake, timers, errors by ICMP, datagrams.
const AREAS: [&str; 4] = ["tcp/handshake", "tcp/keepalive", "icmp", "udp"];

/// What a run printed, and its exit code.
fn netplumb(arguments: &[&str]) -> (String, Option<i32>) {
    let out = Command::new(env!("CARGO_BIN_EXE_netplumb")).args(arguments).output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), out.status.code())
}

/// Whether the kernel is there; if not, why is printed.
fn is_there(kernel: &str) -> bool {
    let (text, code) =
        netplumb(&["oracle", "held", "udp/boundaries-are-kept", "--against", kernel]);
    let there = code != Some(2) || !text.contains("not asked");
    if !there {
        eprintln!("skipped: {text}");
    }
    there
}

#[test]
fn heads_of_scripts_are_true_of_user_mode_linux() {
    if !is_there("uml-6.1") {
        return;
    }
    let (text, code) =
        netplumb(&[&["oracle", "held"], &AREAS[..], &["--against", "uml-6.1"]].concat());
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn two_runs_have_equal_logs() {
    if !is_there("uml-6.1") {
        return;
    }
    let (text, code) = netplumb(&[
        "conformance",
        "tcp/handshake",
        "--target",
        "uml",
        "--kernel",
        "6.1",
        "--check-determinism",
    ]);
    assert!(!text.contains("two runs differ"), "{text}");
    assert_ne!(code, Some(2), "{text}");
}
