//! Calls of a trace in the script language.

use super::flows::Flow;
use super::{Case, seconds};
use crate::capture::{CallName, FileId, Outcome};

/// `SOCK_NONBLOCK`
const SOCK_NONBLOCK: i32 = 0o4000;
const SOL_SOCKET: i32 = 1;
const SO_ERROR: i32 = 4;

/// Options by level and number, as scripts write them.
#[rustfmt::skip]
const OPTIONS: &[(i32, i32, &str)] = &[
    (1, 2, "SOL_SOCKET, SO_REUSEADDR"), (1, 4, "SOL_SOCKET, SO_ERROR"), (1, 7, "SOL_SOCKET, SO_SNDBUF"),
    (1, 8, "SOL_SOCKET, SO_RCVBUF"), (1, 9, "SOL_SOCKET, SO_KEEPALIVE"), (1, 13, "SOL_SOCKET, SO_LINGER"),
    (1, 15, "SOL_SOCKET, SO_REUSEPORT"), (6, 1, "SOL_TCP, TCP_NODELAY"), (6, 3, "SOL_TCP, TCP_CORK"),
    (6, 4, "SOL_TCP, TCP_KEEPIDLE"), (6, 5, "SOL_TCP, TCP_KEEPINTVL"), (6, 6, "SOL_TCP, TCP_KEEPCNT"),
    (6, 12, "SOL_TCP, TCP_QUICKACK"), (6, 18, "SOL_TCP, TCP_USER_TIMEOUT"),
];

/// The socket that a call is made on.
pub(super) fn file_of(call: &CallName) -> Option<FileId> {
    match call {
        CallName::Socket { file, .. } => *file,
        CallName::Bind { file, .. }
        | CallName::Listen { file, .. }
        | CallName::Accept { file, .. }
        | CallName::Connect { file, .. }
        | CallName::Setsockopt { file, .. }
        | CallName::Getsockopt { file, .. }
        | CallName::Shutdown { file, .. }
        | CallName::Send { file, .. }
        | CallName::Recv { file, .. }
        | CallName::Sendfile { file, .. }
        | CallName::Close { file }
        | CallName::SetNonblock { file, .. } => Some(*file),
        _ => None,
    }
}

/// The call `index` if it matters to the connection: `...END` where it waits until `end_ns`, the call, its result.
pub(super) fn text(case: &Case, flow: &Flow, index: usize, end_ns: Option<u64>) -> Option<String> {
    let call = &case.calls[index];
    let file = file_of(&call.call)?;
    let fd = if Some(file) == flow.listener {
        3
    } else if Some(file) == flow.file {
        if flow.listener.is_some() { 4 } else { 3 }
    } else {
        return None;
    };
    let (result, ok) = match &call.outcome {
        Outcome::Ret(n) => (n.to_string(), true),
        Outcome::Err(name) => (format!("-1 {name}"), false),
        Outcome::Unfinished | Outcome::Restart(_) => return None,
    };
    let mut result = result;
    let said = match &call.call {
        CallName::Socket { kind, .. } => {
            result = "3".to_owned();
            let nonblock = if kind & SOCK_NONBLOCK != 0 { "|SOCK_NONBLOCK" } else { "" };
            format!("socket(..., SOCK_STREAM{nonblock}, IPPROTO_TCP)")
        }
        // A client's port is the script's own.
        CallName::Bind { .. } if flow.listener.is_none() => return None,
        CallName::Bind { .. } => format!("bind({fd}, ..., ...)"),
        CallName::Listen { backlog, .. } => format!("listen({fd}, {backlog})"),
        CallName::Accept { new, flags, .. } => {
            // Another connection's.
            if *new != flow.file {
                return None;
            }
            if ok {
                result = "4".to_owned();
            }
            if flags & SOCK_NONBLOCK != 0 {
                format!("accept4({fd}, ..., ..., SOCK_NONBLOCK)")
            } else {
                format!("accept({fd}, ..., ...)")
            }
        }
        CallName::Connect { .. } => format!("connect({fd}, ..., ...)"),
        CallName::Setsockopt { level, name, value, .. } => {
            let (option, value, len) = (option(*level, *name), bytes(value), value.len());
            format!("setsockopt({fd}, {option}, {value}, {len})")
        }
        CallName::Getsockopt { level: SOL_SOCKET, name: SO_ERROR, value: Some(value), .. } => {
            format!("getsockopt({fd}, SOL_SOCKET, SO_ERROR, {}, [4])", bytes(value))
        }
        CallName::Shutdown { how, .. } => {
            let how = ["SHUT_RD", "SHUT_WR", "SHUT_RDWR"].get(usize::try_from(*how).ok()?)?;
            format!("shutdown({fd}, {how})")
        }
        CallName::Send { len, flags: 0, .. } | CallName::Sendfile { len, .. } => {
            format!("write({fd}, ..., {})", sent(case, index, *len))
        }
        CallName::Send { len, flags, .. } => format!("send({fd}, ..., {len}, {})", msg(*flags)),
        CallName::Recv { len, flags: 0, .. } => format!("read({fd}, ..., {len})"),
        CallName::Recv { len, flags, .. } => format!("recv({fd}, ..., {len}, {})", msg(*flags)),
        CallName::Close { .. } => format!("close({fd})"),
        CallName::SetNonblock { on, .. } => {
            let flags = if *on { "O_RDWR|O_NONBLOCK" } else { "O_RDWR" };
            format!("fcntl({fd}, F_SETFL, {flags})")
        }
        _ => return None,
    };
    let end = end_ns.map_or(String::new(), |end| format!("...{} ", seconds(end)));
    Some(format!("{end}{said} = {result}"))
}

/// sendfile() is asked for more than the file has: what it sent is what there was.
fn sent(case: &Case, index: usize, len: u64) -> u64 {
    let call = &case.calls[index];
    match (&call.call, &call.outcome) {
        (CallName::Sendfile { .. }, Outcome::Ret(n)) => u64::try_from(*n).unwrap_or(len),
        _ => len,
    }
}

fn option(level: i32, name: i32) -> String {
    let known = OPTIONS.iter().find(|(l, n, _)| (*l, *n) == (level, name));
    known.map_or_else(|| format!("{level}, {name}"), |(_, _, words)| (*words).to_owned())
}

/// An option's value: a number in brackets, or its bytes.
fn bytes(value: &[u8]) -> String {
    match <[u8; 4]>::try_from(value) {
        Ok(word) => format!("[{}]", i32::from_ne_bytes(word)),
        Err(_) => {
            let hex: String = value.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("\"{hex}\"")
        }
    }
}

/// `MSG_*` by name.
fn msg(flags: i32) -> String {
    const NAMES: &[(&str, i32)] = &[
        ("MSG_PEEK", 2),
        ("MSG_DONTWAIT", 0x40),
        ("MSG_WAITALL", 0x100),
        ("MSG_NOSIGNAL", 0x4000),
        ("MSG_MORE", 0x8000),
    ];
    let names: Vec<&str> =
        NAMES.iter().filter(|(_, bit)| flags & bit != 0).map(|(name, _)| *name).collect();
    let known: i32 = NAMES.iter().map(|(_, bit)| bit).fold(0, |all, bit| all | bit);
    if flags & !known != 0 { flags.to_string() } else { names.join("|") }
}
