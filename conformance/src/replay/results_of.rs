//! Comparison of a call's result with the recorded one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use reference_stack::syscalls::{Ret, SockAddr as RefAddr, SysResult};

use super::calls::describe_outcome;
use super::mapping::Mapping;
use crate::capture::{CallName, FileId, Outcome, SockAddr, SocketCall};

/// What differs: the thing, its recorded value, its value here.
type Differs = (String, String, String);

/// A descriptor that a call made.
type New = Option<(FileId, i32)>;

/// Holds a result against the recorded one; gives the descriptor that the call made.
pub(crate) fn compare(
    c: &SocketCall,
    got: &SysResult,
    map: &mut Mapping,
    fds: &BTreeMap<FileId, i32>,
) -> Result<New, Differs> {
    let shown = match got {
        Ok(r) => r.value().to_string(),
        Err(e) => format!("-1 {}", e.name()),
    };
    let differs = || Err(("result".to_owned(), describe_outcome(&c.outcome), shown.clone()));
    let ret = match (&c.outcome, got) {
        // What an unfinished call would have returned is not known.
        (Outcome::Unfinished | Outcome::Restart(_), _) => return Ok(new_file(c, got)),
        (Outcome::Err(want), Err(e)) => {
            return if e.name() == want { Ok(None) } else { differs() };
        }
        (Outcome::Ret(_), Err(_)) | (Outcome::Err(_), Ok(_)) => return differs(),
        (Outcome::Ret(want), Ok(ret)) => {
            let is_fd = matches!(c.call, CallName::Socket { .. } | CallName::Accept { .. });
            // Descriptors that are not followed here count too.
            let counts = match &c.call {
                CallName::Poll { .. } => true,
                CallName::EpollWait { others, .. } | CallName::Select { others, .. } => *others > 0,
                CallName::EpollCreate { .. } => true,
                _ => false,
            };
            if !is_fd && !counts && ret.value() != *want {
                return differs();
            }
            ret
        }
    };
    match (&c.call, ret) {
        (CallName::Recv { data, .. }, Ret::Data { data: bytes, .. }) => {
            let n = data.len().min(bytes.len());
            // A raw socket gives the IP header too, whose numbers may be mapped ones.
            if bytes[..n] != data[..n] && data.first().is_none_or(|b| b >> 4 != 4) {
                let at = data.iter().zip(bytes).take_while(|(a, b)| a == b).count();
                return Err((
                    format!("byte {at}"),
                    format!("{:#04x}", data[at]),
                    format!("{:#04x}", bytes[at]),
                ));
            }
        }
        (CallName::Poll { fds, .. }, Ret::Poll { fds: ready, .. }) => {
            for (want, have) in fds.iter().zip(ready) {
                if want.revents != i32::from(have.revents) {
                    return Err((
                        "revents".to_owned(),
                        format!("{:#x}", want.revents),
                        format!("{:#x}", have.revents),
                    ));
                }
            }
        }
        (CallName::EpollWait { ready, .. }, Ret::Epoll(have)) => {
            let mut want: Vec<(u32, u64)> = ready.iter().map(|(e, d)| (*e as u32, *d)).collect();
            let mut have: Vec<(u32, u64)> = have.iter().map(|e| (e.events, e.data)).collect();
            want.sort_unstable();
            have.sort_unstable();
            if want != have {
                let text = |list: &[(u32, u64)]| {
                    let each = list.iter().map(|(e, d)| format!("{e:#x} of {d:#x}"));
                    each.collect::<Vec<_>>().join(", ")
                };
                return Err(("events".to_owned(), text(&want), text(&have)));
            }
        }
        (CallName::Select { read, write, except, .. }, Ret::Select { sets, .. }) => {
            let have = [&sets.read, &sets.write, &sets.except];
            for ((want, have), name) in
                [read, write, except].into_iter().zip(have).zip(["read", "write", "except"])
            {
                let want: BTreeSet<i32> =
                    want.ready.iter().filter_map(|f| fds.get(f)).copied().collect();
                let have: BTreeSet<i32> = have.iter().copied().collect();
                if want != have {
                    return Err((format!("{name} set"), format!("{want:?}"), format!("{have:?}")));
                }
            }
        }
        (CallName::Getsockopt { value: Some(want), .. }, Ret::Opt(have)) if want != have => {
            return Err(("value".to_owned(), format!("{want:?}"), format!("{have:?}")));
        }
        (CallName::Getsockname { addr: Some(want), .. }, Ret::Addr(have)) => {
            address(*want, *have, Some(map))?;
        }
        (CallName::Getpeername { addr: Some(want), .. }, Ret::Addr(have)) => {
            address(*want, *have, None)?;
        }
        (CallName::Accept { peer: Some(want), .. }, Ret::Accepted { peer, .. }) => {
            address(*want, *peer, None)?;
        }
        _ => {}
    }
    Ok(new_file(c, got))
}

fn new_file(c: &SocketCall, got: &SysResult) -> New {
    match (&c.call, got) {
        (
            CallName::Socket { file: Some(f), .. } | CallName::EpollCreate { file: Some(f) },
            Ok(Ret::Int(fd)),
        ) => Some((*f, i32::try_from(*fd).ok()?)),
        (CallName::Accept { new: Some(f), .. }, Ok(Ret::Accepted { fd, .. })) => Some((*f, *fd)),
        _ => None,
    }
}

/// Compares addresses; a local ephemeral port is mapped.
fn address(want: SockAddr, have: RefAddr, map: Option<&mut Mapping>) -> Result<(), Differs> {
    let (SockAddr::Inet(want), Some(have)) = (want, have.inet()) else { return Ok(()) };
    let have = SocketAddr::new(have.ip(), have.port());
    if want == have {
        return Ok(());
    }
    if let Some(map) = map
        && want.ip() == have.ip()
        && want.port() != 0
        && have.port() != 0
    {
        // TCP or UDP: the port is known from a frame, or it is seen here for the first time.
        let known = [6, 17].into_iter().any(|p| map.port_out(p, have.port()) == want.port());
        let taken = [6, 17].into_iter().any(|p| map.port_out(p, have.port()) != have.port());
        if known {
            return Ok(());
        }
        if !taken {
            map.learn_port(6, want.port(), have.port());
            map.learn_port(17, want.port(), have.port());
            return Ok(());
        }
    }
    Err(("address".to_owned(), want.to_string(), have.to_string()))
}

/// The call's name, for reports.
pub(crate) fn name(call: &CallName) -> &'static str {
    match call {
        CallName::Socket { .. } => "socket()",
        CallName::Bind { .. } => "bind()",
        CallName::Listen { .. } => "listen()",
        CallName::Accept { .. } => "accept()",
        CallName::Connect { .. } => "connect()",
        CallName::Getsockname { .. } => "getsockname()",
        CallName::Getpeername { .. } => "getpeername()",
        CallName::Setsockopt { .. } => "setsockopt()",
        CallName::Getsockopt { .. } => "getsockopt()",
        CallName::Shutdown { .. } => "shutdown()",
        CallName::Send { .. } => "send()",
        CallName::Recv { .. } => "recv()",
        CallName::Sendfile { .. } => "sendfile()",
        CallName::Close { .. } => "close()",
        CallName::SetNonblock { .. } => "fcntl()",
        CallName::Poll { .. } => "poll()",
        CallName::Select { .. } => "select()",
        CallName::EpollCreate { .. } => "epoll_create1()",
        CallName::EpollCtl { .. } => "epoll_ctl()",
        CallName::EpollWait { .. } => "epoll_wait()",
        CallName::Other { .. } => "a call",
    }
}
