//! What happened becomes what is expected: a failing script is changed failure by failure until it passes.

use crate::results::{CaseResult, Edit, Status};

/// How many changes one script may need.
const MOST: usize = 1000;

/// A script that was changed.
#[derive(Clone, Debug)]
pub struct Blessed {
    /// Its text.
    pub text: String,
    /// How many changes it took.
    pub changes: usize,
    /// How it ends now: a pass, or the failure that cannot be written down as expected.
    pub case: CaseResult,
}

/// Changes expected packets, times and results of `text` to what happens when `run` runs it, recorded; everything else
/// stays as it is, comments and layout included. A script that passes is not changed.
///
/// # Errors
/// The script cannot be run.
pub fn bless<E>(
    text: &str,
    mut run: impl FnMut(&str) -> Result<CaseResult, E>,
) -> Result<Blessed, E> {
    let mut blessed = Blessed { text: text.to_owned(), changes: 0, case: run(text)? };
    while blessed.case.status == Status::Fail && blessed.changes < MOST {
        let edits = blessed.case.evidence.as_ref().map_or(&[][..], |e| e.edits.as_slice());
        let changed = apply(&blessed.text, edits);
        if changed == blessed.text {
            break;
        }
        // A time that would go backwards, say: the failure before it is what there is to see.
        let Ok(case) = run(&changed) else { break };
        blessed = Blessed { text: changed, changes: blessed.changes + 1, case };
    }
    Ok(blessed)
}

/// The text with the edits, of which no two overlap.
fn apply(text: &str, edits: &[Edit]) -> String {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.start, edit.end));
    let mut out = text.to_owned();
    for edit in edits.into_iter().rev() {
        if out.get(edit.start..edit.end).is_some() {
            out.replace_range(edit.start..edit.end, &edit.text);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::results::Nic;
    use crate::run::{RunError, RunOptions, run_source};
    use crate::script::Source;

    const OPEN: &str = "\
// A connection.
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  bind(3, ..., ...) = 0
+0  listen(3, 1) = 0
+.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0    > S. 0:0(0) ack 1 <...>   // any options
+.1 < . 1:1(0) ack 1 win 257
+0  accept(3, ..., ...) = 4
+.1 < P. 1:1001(1000) ack 1 win 257
";

    fn blessed(script: &str) -> Blessed {
        let text = format!("{OPEN}{script}");
        let options = RunOptions { nic: Nic::Tun, record: true, ..RunOptions::default() };
        let run = |text: &str| -> Result<CaseResult, RunError> {
            run_source(&Source::new("t.pkt", text), "t.pkt", Path::new("."), &options)
        };
        bless(&text, run).unwrap()
    }

    /// The script becomes `good` and passes then.
    fn becomes(script: &str, good: &str) {
        let blessed = blessed(script);
        assert_eq!(blessed.text.strip_prefix(OPEN), Some(good), "{:?}", blessed.case.reason);
        assert_eq!(blessed.case.status, Status::Pass, "{:?}", blessed.case.reason);
    }

    #[test]
    fn fields_and_results() {
        becomes(
            "+0  >  P. 1:1(0) ack 1000   // the answer\n+.1 read(4, ..., 500) = -1 EAGAIN (Try again) // x\n",
            "+0  > . 1:1(0) ack 1001   // the answer\n+.1 read(4, ..., 500) = 500 // x\n",
        );
        becomes(
            "+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0\n",
            "+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [0], [4]) = 0\n",
        );
        becomes(
            "+0 read(3, ..., 500) = 500\n",
            "+0 read(3, ..., 500) = -1 ENOTCONN (Transport endpoint is not connected)\n",
        );
    }

    #[test]
    fn packets_that_are_too_many_or_too_few() {
        becomes(
            "+0 > . 1:1(0) ack 1001\n+.1 > . 1:1(0) ack 1001 // twice\n\n+.1 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1001\n",
            "+0 > . 1:1(0) ack 1001\n\n+0.2 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1001\n",
        );
        becomes(
            "+0 > . 1:1(0) ack 1001\n+.1 write(4, ..., 100) = 100\n  +0.6 > P. 1:101(100) ack 1001 <...>\n",
            "+0 > . 1:1(0) ack 1001\n+.1 write(4, ..., 100) = 100\n  +0 > P. 1:101(100) ack 1001 <...>\n",
        );
    }

    #[test]
    fn one_segment_for_two_and_two_for_one() {
        becomes(
            "+0 > . 1:1(0) ack 1001\n+.1 write(4, ..., 1500) = 1500\n+0 > . 1:1101(1100) ack 1001\n",
            "+0 > . 1:1(0) ack 1001\n+.1 write(4, ..., 1500) = 1500\n+0 > P. 1:1501(1500) ack 1001\n",
        );
    }

    #[test]
    fn times() {
        becomes(
            "+0 > . 1:1(0) ack 1001\n+.1...0.2 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1001\n+.5 > P. 1:101(100) ack 1001\n",
            "+0 > . 1:1(0) ack 1001\n+.1...0.1 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1001\n+0.303 > P. 1:101(100) ack 1001\n",
        );
    }

    #[test]
    fn what_passes_and_what_is_no_expectation_stays() {
        let good = blessed("+0 > . 1:1(0) ack 1001\n");
        assert_eq!((good.changes, good.case.status), (0, Status::Pass));
        let asserts = blessed("+0 %{ assert tcpi_snd_cwnd == 1 }%\n");
        assert_eq!((asserts.changes, asserts.case.status), (0, Status::Fail));
    }
}
