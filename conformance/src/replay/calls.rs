//! Traced calls as the machine makes them, and their results held against the trace.

use std::sync::Arc;

use reference_stack::Call;
use reference_stack::syscalls::{EpollEvent, FdSets, PollFd, SockAddr as RefAddr, SysResult};

use super::engine::{Engine, Step};
use super::host::Host;
use super::judge::NO_FRAME;
use super::results_of;
use crate::capture::{CallName, FdSet, FileId, Outcome, SockAddr};
use crate::results::Divergence;

impl<H: Host> Engine<'_, H> {
    /// The machine's form of a traced call; `None`: there is nothing to do.
    pub(super) fn request(&mut self, i: usize) -> Option<Call> {
        let c = &self.case.calls[i];
        let fd = |f: &FileId| self.fds.get(f).copied();
        let payload = || Arc::new(self.case.payload.get(&i).cloned().unwrap_or_default());
        Some(match &c.call {
            // A socket that could not be made changed nothing.
            CallName::Socket { file: None, .. } => return None,
            CallName::Socket { domain, kind, protocol, .. } => {
                Call::Socket { family: *domain, ty: *kind, protocol: *protocol }
            }
            CallName::Bind { file, addr } => Call::Bind { fd: fd(file)?, addr: to_ref(*addr) },
            CallName::Listen { file, backlog } => Call::Listen { fd: fd(file)?, backlog: *backlog },
            CallName::Accept { file, flags, .. } => Call::Accept4 { fd: fd(file)?, flags: *flags },
            CallName::Connect { file, addr } => {
                Call::Connect { fd: fd(file)?, addr: to_ref(*addr) }
            }
            CallName::Getsockname { file, .. } => Call::Getsockname { fd: fd(file)? },
            CallName::Getpeername { file, .. } => Call::Getpeername { fd: fd(file)? },
            CallName::Setsockopt { file, level, name, value } => {
                Call::Setsockopt { fd: fd(file)?, level: *level, name: *name, value: value.clone() }
            }
            CallName::Getsockopt { file, level, name, len, .. } => {
                Call::Getsockopt { fd: fd(file)?, level: *level, name: *name, len: *len as usize }
            }
            CallName::Shutdown { file, how } => Call::Shutdown { fd: fd(file)?, how: *how },
            CallName::Send { file, flags, to, .. } => {
                Call::Sendto { fd: fd(file)?, data: payload(), flags: *flags, addr: to.map(to_ref) }
            }
            CallName::Sendfile { file, .. } => Call::Write { fd: fd(file)?, data: payload() },
            CallName::Recv { file, len, flags, .. } => Call::Recvfrom {
                fd: fd(file)?,
                len: self.plan.lengths.get(&i).unwrap_or(len).min(&(1 << 30)).to_owned() as usize,
                flags: *flags,
            },
            CallName::Close { file } => Call::Close { fd: fd(file)? },
            CallName::SetNonblock { file, on } => Call::Fcntl {
                fd: fd(file)?,
                cmd: reference_stack::uapi::F_SETFL,
                arg: if *on { reference_stack::uapi::O_NONBLOCK } else { 0 },
            },
            CallName::Poll { fds, timeout_ns, .. } => Call::Poll {
                fds: fds
                    .iter()
                    .filter_map(|p| {
                        Some(PollFd { fd: fd(&p.file)?, events: p.events as i16, revents: 0 })
                    })
                    .collect(),
                timeout_ms: timeout_ms(*timeout_ns),
            },
            CallName::Select { read, write, except, timeout_ns, .. } => {
                let set = |s: &FdSet| s.asked.iter().filter_map(fd).collect::<Vec<_>>();
                let (read, write, except) = (set(read), set(write), set(except));
                let nfds =
                    [&read, &write, &except].into_iter().flatten().max().map_or(0, |n| n + 1);
                Call::Select { sets: FdSets { nfds, read, write, except }, timeout: *timeout_ns }
            }
            CallName::EpollCreate { file: None } | CallName::Other { .. } => return None,
            CallName::EpollCreate { .. } => Call::EpollCreate1 { flags: 0 },
            CallName::EpollCtl { epoll, op, file, events, data } => Call::EpollCtl {
                epfd: fd(epoll)?,
                op: *op,
                fd: fd(file)?,
                event: Some(EpollEvent { events: *events as u32, data: *data }),
            },
            CallName::EpollWait { epoll, max, timeout_ns, .. } => Call::EpollWait {
                epfd: fd(epoll)?,
                maxevents: *max,
                timeout_ms: timeout_ms(*timeout_ns),
            },
        })
    }

    /// Holds a call's result against the recorded one.
    pub(super) fn result(&mut self, i: usize, got: &SysResult) -> Step {
        let c = &self.case.calls[i];
        if let (CallName::Socket { file: Some(f), domain, kind, protocol }, Err(e)) = (&c.call, got)
        {
            self.absent.insert(
                *f,
                format!(
                    "socket({domain}, {}, {protocol}) is refused with {}",
                    kind & 0xf,
                    e.name()
                ),
            );
            return Ok(());
        }
        let fds = &self.fds;
        match results_of::compare(c, got, &mut self.map, fds) {
            Ok(new) => {
                if let Some((file, fd)) = new {
                    self.fds.insert(file, fd);
                }
                if let CallName::Close { file } = &c.call {
                    self.fds.remove(file);
                }
                self.results += 1;
                Ok(())
            }
            Err((what, expected, got)) => {
                let d = self.call_differs(i, &what, &expected, &got);
                self.diverge(d, NO_FRAME)?;
                self.take_over(i);
                Ok(())
            }
        }
    }

    /// After a result that differs, what the trace says of descriptors still holds.
    fn take_over(&mut self, i: usize) {
        if let CallName::Close { file } = &self.case.calls[i].call {
            self.fds.remove(file);
        }
    }

    pub(super) fn call_differs(
        &self,
        i: usize,
        what: &str,
        expected: &str,
        got: &str,
    ) -> Divergence {
        let c = &self.case.calls[i];
        let frame = self.outbound.get(self.next_out).map_or(0, |&n| self.case.frames[n].number);
        Divergence {
            frame,
            layer: "syscall".to_owned(),
            field: format!("{} of {} (line {})", what, results_of::name(&c.call), c.line),
            expected: expected.to_owned(),
            got: format!("{got} at {}", self.clock(self.base_ns + self.host.now())),
        }
    }
}

fn to_ref(addr: SockAddr) -> RefAddr {
    match addr {
        SockAddr::Inet(a) => a.into(),
        SockAddr::Unspec => RefAddr::Unspec,
        SockAddr::Other => RefAddr::Other(0),
    }
}

fn timeout_ms(ns: Option<u64>) -> i32 {
    // Rounded up, as a wait lasts at least as long as asked for.
    ns.map_or(-1, |ns| i32::try_from(ns.div_ceil(1_000_000)).unwrap_or(i32::MAX))
}

pub(crate) fn describe_outcome(o: &Outcome) -> String {
    match o {
        Outcome::Ret(n) => n.to_string(),
        Outcome::Err(e) => format!("-1 {e}"),
        Outcome::Restart(e) => format!("? {e}"),
        Outcome::Unfinished => "nothing".to_owned(),
    }
}
