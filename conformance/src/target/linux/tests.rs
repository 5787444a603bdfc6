use std::path::Path;

use super::{Host, Linux};
use crate::results::{CaseResult, Status};
use crate::run::{RunOptions, run_on};
use crate::script::Source;

/// Runs a script on this machine's kernel, up to three times, because time is real. `None`: not here, and why is printed.
fn run(text: &str) -> Option<CaseResult> {
    let source = Source::new("test.pkt", text);
    let options = RunOptions::default();
    let once = || {
        run_on(&source, "test.pkt", Path::new("/"), &options, |addresses| {
            Linux::new(addresses, Host::Machine, false)
        })
        .unwrap()
    };
    let case = (0..3).map(|_| once()).find(|case| case.status != Status::Fail).unwrap_or_else(once);
    if case.status == Status::Skip {
        eprintln!("skipped: {}", case.reason.as_deref().unwrap_or_default());
        return None;
    }
    Some(case)
}

const LISTEN: &str = "\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
";

#[test]
fn a_connection_on_the_kernel_of_this_machine() {
    let script = format!(
        "`sysctl -q net.ipv4.tcp_timestamps=0`\n{LISTEN}\
         +0...0.02 accept(3, ..., ...) = 4\n\
         +0 < S 0:0(0) win 65535 <mss 1000>\n\
         +0 > S. 0:0(0) ack 1 <mss 1460>\n\
         +.02 < . 1:1(0) ack 1 win 65535\n\
         +0 write(4, ..., 3000) = 3000\n\
         +0 > P. 1:3001(3000) ack 1\n\
         +.01 < R. 1:1(0) ack 3001 win 65535\n\
         +.01 read(4, ..., 10) = -1 ECONNRESET (Connection reset by peer)\n\
         +0 `test $(cat /proc/sys/net/ipv4/tcp_timestamps) = 0`\n"
    );
    let Some(case) = run(&script) else { return };
    assert_eq!((case.status, case.target.as_str()), (Status::Pass, "linux"), "{:?}", case.detail);
}

#[test]
fn what_differs_is_named_and_a_call_that_waits_is_given_up() {
    let script = format!("{LISTEN}+0...0.01 accept(3, ..., ...) = 4\n+.05 close(3) = 0\n");
    let Some(case) = run(&script) else { return };
    assert_eq!(case.status, Status::Fail);
    assert!(case.reason.unwrap_or_default().contains("accept"), "{:?}", case.detail);
    let script =
        format!("{LISTEN}+0 < S 0:0(0) win 65535 <mss 1000>\n+0 > S. 0:0(0) ack 7 <mss 1460>\n");
    let Some(case) = run(&script) else { return };
    assert_eq!(case.divergence.map(|d| d.field).as_deref(), Some("ack"));
}
