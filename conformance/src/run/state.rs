//! The open sockets of a script as ss(8) shows them, asked of the target by its own calls.

use std::fmt::Write as _;

use reference_stack::syscalls::SysResult;
use reference_stack::{Call, Ret};

use super::sample;
use crate::target::reference::{CA_STATES, STATES};
use crate::target::{Target, Thread};

const SOL_SOCKET: i32 = 1;
const SO_MEMINFO: i32 = 55;
const SOL_TCP: i32 = 6;
const TCP_INFO: i32 = 11;
const TCP_CONGESTION: i32 = 13;
/// Length of the `struct tcp_info` that is asked for, and of a congestion control's name.
const LENGTHS: (usize, usize) = (280, 16);

/// The longest line.
const WIDTH: usize = 96;

/// How ss writes a field of TCP_INFO: its name there, the field, and by what it is divided.
type Shown = (&'static str, &'static str, u64);

#[rustfmt::skip]
const SHOWN: &[Shown] = &[
    ("rto", "tcpi_rto", 1000), ("backoff", "tcpi_backoff", 1), ("ato", "tcpi_ato", 1000), ("mss", "tcpi_snd_mss", 1),
    ("pmtu", "tcpi_pmtu", 1), ("rcvmss", "tcpi_rcv_mss", 1), ("advmss", "tcpi_advmss", 1), ("cwnd", "tcpi_snd_cwnd", 1),
    ("ssthresh", "tcpi_snd_ssthresh", 1), ("bytes_sent", "tcpi_bytes_sent", 1), ("bytes_retrans", "tcpi_bytes_retrans", 1),
    ("bytes_acked", "tcpi_bytes_acked", 1), ("bytes_received", "tcpi_bytes_received", 1), ("segs_out", "tcpi_segs_out", 1),
    ("segs_in", "tcpi_segs_in", 1), ("data_segs_out", "tcpi_data_segs_out", 1), ("data_segs_in", "tcpi_data_segs_in", 1),
    ("delivered", "tcpi_delivered", 1), ("delivered_ce", "tcpi_delivered_ce", 1), ("unacked", "tcpi_unacked", 1),
    ("sacked", "tcpi_sacked", 1), ("lost", "tcpi_lost", 1), ("retrans", "tcpi_retrans", 1),
    ("total_retrans", "tcpi_total_retrans", 1), ("dsack_dups", "tcpi_dsack_dups", 1), ("reordering", "tcpi_reordering", 1),
    ("reord_seen", "tcpi_reord_seen", 1), ("notsent", "tcpi_notsent_bytes", 1), ("snd_wnd", "tcpi_snd_wnd", 1),
    ("rcv_space", "tcpi_rcv_space", 1), ("rcv_ssthresh", "tcpi_rcv_ssthresh", 1), ("probes", "tcpi_probes", 1),
];

/// What `ss` leaves out because it is what every connection starts with.
const USUAL: &[(&str, u64)] = &[("reordering", 3)];

/// The state of the socket `live_fd`, which the script calls `script_fd`: a line of addresses, a line of state.
pub(crate) fn of_socket(target: &mut dyn Target, script_fd: i32, live_fd: i32) -> Vec<String> {
    let mut ask = |call| match target.call(Thread::Main, call) {
        Ok(Some(result)) => Some(result),
        Ok(None) => {
            target.give_up(Thread::Main);
            None
        }
        Err(_) => None,
    };
    let address = |result: Option<SysResult>| match result {
        Some(Ok(Ret::Addr(addr))) => addr.inet().map_or("*".to_owned(), |addr| addr.to_string()),
        _ => "*".to_owned(),
    };
    let local = address(ask(Call::Getsockname { fd: live_fd }));
    let remote = address(ask(Call::Getpeername { fd: live_fd }));
    let mut option =
        |level, name, len| match ask(Call::Getsockopt { fd: live_fd, level, name, len }) {
            Some(Ok(Ret::Opt(bytes))) => Some(bytes),
            _ => None,
        };
    let info = option(SOL_TCP, TCP_INFO, LENGTHS.0);
    let control = info.as_ref().and_then(|_| option(SOL_TCP, TCP_CONGESTION, LENGTHS.1));
    let memory = option(SOL_SOCKET, SO_MEMINFO, 36);
    let fields = info.as_deref().map(sample::tcp_info).unwrap_or_default();
    let field = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    let state = field("tcpi_state").map_or("-", |state| name(&STATES, state));
    let mut lines = vec![format!("fd {script_fd}: {state} {local} - {remote}")];
    if info.is_some() && matches!(state, "LISTEN" | "CLOSED") {
        return lines;
    }
    if info.is_some() {
        lines.extend(folded(&tcp_line(&field, control.as_deref().unwrap_or_default())));
    }
    lines.extend(memory.as_deref().map(memory_line));
    lines
}

/// A line in pieces of at most [`WIDTH`] characters, broken at blanks.
fn folded(line: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match lines.last_mut() {
            Some(last) if last.len() + word.len() < WIDTH => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn name(names: &[&'static str], number: u64) -> &'static str {
    usize::try_from(number).ok().and_then(|n| names.get(n).copied()).unwrap_or("?")
}

/// `cubic Open wscale:7,7 rto:204 rtt:100/50 mss:1460 ...`, fields that are 0 left out.
fn tcp_line(field: &dyn Fn(&str) -> Option<u64>, control: &[u8]) -> String {
    let control: Vec<u8> = control.iter().copied().take_while(|byte| *byte != 0).collect();
    let mut out = String::from_utf8_lossy(&control).into_owned();
    let value = |name| field(name).unwrap_or(0);
    let _ = write!(
        out,
        " {} wscale:{},{} rtt:{}/{}",
        name(&CA_STATES, value("tcpi_ca_state")),
        value("tcpi_snd_wscale"),
        value("tcpi_rcv_wscale"),
        thousandths(value("tcpi_rtt"), 1000),
        thousandths(value("tcpi_rttvar"), 1000),
    );
    for (label, name, scale) in SHOWN {
        let value = value(name);
        let unlimited = *label == "ssthresh" && value >= 0x7fff_ffff;
        if value != 0 && !unlimited && !USUAL.contains(&(label, value)) {
            let _ = write!(out, " {label}:{}", thousandths(value, *scale));
        }
    }
    out
}

/// A value in thousandths of its unit, without needless zeros.
fn thousandths(value: u64, scale: u64) -> String {
    match (scale, value % 1000) {
        (1, _) => value.to_string(),
        (_, 0) => (value / 1000).to_string(),
        (_, rest) => format!("{}.{rest:03}", value / 1000).trim_end_matches('0').to_owned(),
    }
}

/// `skmem:(r0,rb131072,t0,tb87040,f0,w0,o0,bl0,d0)` as ss -m writes it.
fn memory_line(bytes: &[u8]) -> String {
    const NAMES: [&str; 9] = ["r", "rb", "t", "tb", "f", "w", "o", "bl", "d"];
    let values = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let parts: Vec<String> = NAMES.iter().zip(values).map(|(n, v)| format!("{n}{v}")).collect();
    format!("skmem:({})", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_ss() {
        assert_eq!(thousandths(204_000, 1000), "204");
        assert_eq!(thousandths(100_250, 1000), "100.25");
        assert_eq!(thousandths(17, 1), "17");
        let field = |name: &str| match name {
            "tcpi_snd_cwnd" => Some(10),
            "tcpi_snd_ssthresh" => Some(0x7fff_ffff),
            "tcpi_rtt" => Some(100_000),
            "tcpi_reordering" => Some(3),
            _ => None,
        };
        assert_eq!(tcp_line(&field, b"cubic\0\0"), "cubic Open wscale:0,0 rtt:100/0 cwnd:10");
        assert_eq!(memory_line(&[1, 0, 0, 0, 2, 0, 0, 0]), "skmem:(r1,rb2)");
    }
}
