//! Scripts that are recorded from the captures at hand hold on the reference.

use std::path::{Path, PathBuf};

use conformance::replay::{Input, Version, record};
use conformance::report::evidence;
use conformance::results::{CaseResult, Nic, Status};
use conformance::run::{RunOptions, run_source};
use conformance::script::Source;

/// Captures of TCP over IPv4 whose scripts hold.
#[rustfmt::skip]
const CAPTURES: &[&str] = &[
    "01-http-get-client", "02-http-server", "03-bulk-send", "04-bulk-recv", "07-rto-backoff", "08-zero-window", "09-rst-unread",
    "10-refused", "11-half-close", "12-simultaneous-close", "13-delayed-ack", "14-nagle", "20-keepalive", "22-timestamps-off",
    "24-pmtud",
];

/// The folder that `NETPLUMB_CAPTURES` names (default `../shared/pcaps` beside the workspace), if it is there.
fn folder() -> Option<PathBuf> {
    let beside = format!("{}/../../shared/pcaps", env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("NETPLUMB_CAPTURES").map_or(beside.into(), PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn run(text: &str, kernel: &str) -> CaseResult {
    let version = Version::from_name(kernel).expect("a profile of the capture's kernel");
    let options = RunOptions { nic: Nic::Tap, version, ..RunOptions::default() };
    run_source(&Source::new("t.pkt", text), "t.pkt", Path::new("."), &options).unwrap()
}

#[test]
fn what_is_recorded_holds() {
    let Some(folder) = folder() else { return };
    let mut failed = Vec::new();
    for name in CAPTURES {
        for script in record(&folder.join(format!("{name}.pcap")), &Input::default()).unwrap() {
            let case = run(&script.text, &script.kernel);
            if case.status != Status::Pass {
                let report = evidence::text(&case).unwrap_or_default();
                failed.push(format!("{}: {:?}\n{report}", script.id, case.reason));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn what_no_script_can_say_is_refused() {
    let Some(folder) = folder() else { return };
    let error = record(&folder.join("15-ping-answer.pcap"), &Input::default()).unwrap_err();
    assert!(error.to_string().contains("no TCP connection over IPv4"), "{error}");
}
