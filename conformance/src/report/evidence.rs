//! The report of one run: the script's line, the packets, the time, what happened before, the state, how to see it again.

use std::fmt::Write as _;

use crate::results::{CaseResult, Evidence, Timing};

/// How wide the names on the left are.
pub(super) const MARGIN: usize = 8;

/// The names on the left.
pub(super) const SECTIONS: [&str; 10] =
    ["script", "actual", "differs", "timing", "notes", "events", "sockets", "ran", "pcap", "again"];

/// The report of several lines on a case, as far as there is more to say of it than its reason.
pub fn text(case: &CaseResult) -> Option<String> {
    match &case.evidence {
        Some(evidence) => Some(whole(evidence, case)),
        None => case.detail.clone(),
    }
}

fn whole(evidence: &Evidence, case: &CaseResult) -> String {
    let mut out = case.detail.as_ref().map_or(String::new(), |detail| format!("{detail}\n"));
    if let Some(place) = &evidence.place {
        let _ = writeln!(out, "{}", place.excerpt.trim_end());
    }
    difference(&mut out, evidence);
    if let Some(timing) = &evidence.timing {
        section(&mut out, "timing", &[time_line(timing)]);
    }
    section(&mut out, "notes", &evidence.notes);
    let events: Vec<String> = evidence
        .events
        .iter()
        .map(|event| format!("{} {:<8} {}", seconds(event.at_ns), event.layer, event.text))
        .collect();
    section(&mut out, "events", &events);
    let mut sockets = Vec::new();
    for socket in &evidence.sockets {
        for (n, line) in socket.iter().enumerate() {
            sockets.push(if n == 0 { line.clone() } else { format!("  {line}") });
        }
    }
    section(&mut out, "sockets", &sockets);
    section(&mut out, "ran", &environment(evidence));
    section(&mut out, "pcap", evidence.pcap.as_slice());
    section(&mut out, "again", evidence.replay.as_slice());
    out
}

/// The packets, and by name what differs.
fn difference(out: &mut String, evidence: &Evidence) {
    let mut lines = Vec::new();
    if let Some(packets) = &evidence.packets {
        let mut script = vec![packets.script.clone()];
        if packets.actual.is_empty() {
            script.push(packets.marks.clone());
        }
        section(out, "script", &script);
        let mut actual = packets.actual.clone();
        if !packets.actual.is_empty() {
            actual.push(packets.marks.clone());
        }
        section(out, "actual", &actual);
    }
    // A single one is in the message.
    if evidence.differences.len() < 2 {
        return;
    }
    let width =
        evidence.differences.iter().map(|d| d.layer.len() + d.field.len() + 1).max().unwrap_or(0);
    for d in &evidence.differences {
        let name = format!("{}.{}", d.layer, d.field);
        lines.push(format!("{name:width$}  expected {}, got {}", d.expected, d.got));
    }
    section(out, "differs", &lines);
}

fn environment(evidence: &Evidence) -> Vec<String> {
    let mut short = Vec::new();
    let mut lines = Vec::new();
    for (name, value) in &evidence.environment {
        // A sysctl has a line of its own.
        if name.contains('.') {
            lines.push(format!("{name} = {value}"));
        } else {
            short.push(format!("{name} {value}"));
        }
    }
    if !short.is_empty() {
        lines.insert(0, short.join(", "));
    }
    lines
}

/// Lines with the section's name before the first one; nothing without lines.
fn section(out: &mut String, name: &str, lines: &[String]) {
    let mut name = name;
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let _ = writeln!(out, "{name:<MARGIN$} {line}");
        name = "";
    }
}

fn time_line(timing: &Timing) -> String {
    let due = if timing.from_ns == timing.to_ns {
        seconds(timing.from_ns)
    } else {
        format!("{} to {}", seconds(timing.from_ns), seconds(timing.to_ns))
    };
    let tolerance = millis(timing.tolerance_ns);
    let came = seconds(timing.at_ns);
    let off = timing.off_ns();
    let how = match (off, timing.holds()) {
        (0, _) => format!("in time (tolerance {tolerance})"),
        (_, true) => format!(
            "{} {}, tolerance {tolerance}: in time",
            millis(off.saturating_abs()),
            side(off)
        ),
        (_, false) => {
            let beyond = off.saturating_abs().saturating_sub(timing.tolerance_ns);
            format!(
                "{} {}, tolerance {tolerance}: {} too {}",
                millis(off.saturating_abs()),
                side(off),
                millis(beyond),
                side(off)
            )
        }
    };
    format!("due {due} s, came {came} s: {how}")
}

fn side(off: i64) -> &'static str {
    if off < 0 { "early" } else { "late" }
}

/// Nanoseconds as seconds with six decimals.
pub(crate) fn seconds(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let us = ns.unsigned_abs() / 1000;
    format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Nanoseconds as milliseconds with three decimals.
fn millis(ns: i64) -> String {
    let us = ns.unsigned_abs() / 1000;
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_off_is_said() {
        let timing = |at_ns| Timing {
            from_ns: 1_000_000_000,
            to_ns: 1_000_000_000,
            at_ns,
            tolerance_ns: 4_000_000,
        };
        let line = |at| time_line(&timing(at));
        assert_eq!(
            line(1_000_000_000),
            "due 1.000000 s, came 1.000000 s: in time (tolerance 4.000 ms)"
        );
        assert_eq!(
            line(1_010_000_000),
            "due 1.000000 s, came 1.010000 s: 10.000 ms late, tolerance 4.000 ms: 6.000 ms too late"
        );
        assert_eq!(
            line(990_000_000),
            "due 1.000000 s, came 0.990000 s: 10.000 ms early, tolerance 4.000 ms: 6.000 ms too early"
        );
        assert!(line(1_003_000_000).ends_with("3.000 ms late, tolerance 4.000 ms: in time"));
    }

    #[test]
    fn times_have_six_decimals() {
        assert_eq!(seconds(1_500_000), "0.001500");
        assert_eq!(seconds(-2_000_001_000), "-2.000001");
    }
}
