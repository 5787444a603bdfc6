//! From records to typed calls on sockets.
//!
//! A descriptor number says nothing by itself: opening of files is not traced, numbers are used
//! again, processes fork. So every process has a table here, as in Linux, and what is followed
//! is the open file ([`FileId`]). A call on a descriptor that is no known socket is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::consts::{
    COMMANDS, FAMILIES, ICMP_TYPES, LEVELS, MSG_FLAGS, OPTIONS, PROTOCOLS, SHUT, TYPES, has_flag,
    number,
};
use super::record::{Outcome, Record, TracedCall};
use super::value::Value;
use super::wait::set_revents;

const SOCK_CLOEXEC: i32 = 0o2_000_000;
const CLONE_FILES: i64 = 0x400;
const F_DUPFD: i32 = 0;
const F_SETFD: i32 = 2;
const F_SETFL: i32 = 4;
const F_DUPFD_CLOEXEC: i32 = 0x406;
const FIONBIO: i32 = 0x5421;
const FIONCLEX: i32 = 0x5450;
const FIOCLEX: i32 = 0x5451;
const O_NONBLOCK: i64 = 0o4000;

/// An open socket of the trace; the same through dup, fork and threads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct FileId(pub u32);

/// An address argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SockAddr {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// `AF_UNSPEC`: connect() dissolves an association with it.
    Unspec,
    /// Another family.
    Other,
}

/// A socket in a poll set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PollFd {
    /// Which socket.
    pub file: FileId,
    /// Events asked for.
    pub events: i32,
    /// Events returned.
    pub revents: i32,
}

/// The sockets of a select set, before and after.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FdSet {
    /// Asked for.
    pub asked: Vec<FileId>,
    /// Returned.
    pub ready: Vec<FileId>,
}

/// A call on sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the calls' own arguments")]
pub enum CallName {
    /// socket(2).
    Socket { file: Option<FileId>, domain: i32, kind: i32, protocol: i32 },
    /// bind(2).
    Bind { file: FileId, addr: SockAddr },
    /// listen(2).
    Listen { file: FileId, backlog: i32 },
    /// accept(2), accept4(2); `peer` is what it returned.
    Accept { file: FileId, new: Option<FileId>, peer: Option<SockAddr>, flags: i32 },
    /// connect(2).
    Connect { file: FileId, addr: SockAddr },
    /// getsockname(2).
    Getsockname { file: FileId, addr: Option<SockAddr> },
    /// getpeername(2).
    Getpeername { file: FileId, addr: Option<SockAddr> },
    /// setsockopt(2).
    Setsockopt { file: FileId, level: i32, name: i32, value: Vec<u8> },
    /// getsockopt(2); `value` is what it returned.
    Getsockopt { file: FileId, level: i32, name: i32, len: u32, value: Option<Vec<u8>> },
    /// shutdown(2).
    Shutdown { file: FileId, how: i32 },
    /// sendto(2), sendmsg(2), write(2), writev(2): `len` bytes, of which `data` is known.
    Send { file: FileId, len: u64, flags: i32, to: Option<SockAddr>, data: Vec<u8> },
    /// recvfrom(2), recvmsg(2), read(2), readv(2): up to `len` bytes; `data` is known of what came.
    Recv { file: FileId, len: u64, flags: i32, from: Option<SockAddr>, data: Vec<u8> },
    /// sendfile(2) to a socket.
    Sendfile { file: FileId, len: u64 },
    /// The last close(2) of the socket, or the exit of its last process.
    Close { file: FileId },
    /// fcntl(F_SETFL) or ioctl(FIONBIO).
    SetNonblock { file: FileId, on: bool },
    /// poll(2), ppoll(2); `others` counts descriptors that are no known sockets.
    Poll { fds: Vec<PollFd>, others: usize, timeout_ns: Option<u64> },
    /// select(2), pselect6(2); `others` counts descriptors asked for that are no known sockets.
    Select { read: FdSet, write: FdSet, except: FdSet, others: usize, timeout_ns: Option<u64> },
    /// epoll_create(2), epoll_create1(2).
    EpollCreate { file: Option<FileId> },
    /// epoll_ctl(2) on a socket.
    EpollCtl { epoll: FileId, op: i32, file: FileId, events: i32, data: u64 },
    /// epoll_wait(2), epoll_pwait(2): `ready` are the events and data of the sockets that it
    /// returned, `others` counts what else it returned.
    EpollWait {
        epoll: FileId,
        max: i32,
        timeout_ns: Option<u64>,
        ready: Vec<(i32, u64)>,
        others: usize,
    },
    /// A call that changes nothing on the wire (F_GETFL, FIOCLEX, ...) or has no type here.
    Other { file: FileId, name: String },
}

/// One call on sockets, with its times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketCall {
    /// Thread that made it.
    pub pid: u32,
    /// Entry, nanoseconds since the epoch.
    pub entry_ns: u64,
    /// Return, nanoseconds since the epoch; `None` if the trace ends before.
    pub exit_ns: Option<u64>,
    /// Line of the trace, from 1.
    pub line: usize,
    /// Which call, with what.
    pub call: CallName,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a descriptor refers to, and whether exec closes it.
#[derive(Clone, Copy)]
struct Slot {
    file: FileId,
    cloexec: bool,
}

type Table = BTreeMap<i64, Slot>;

#[derive(Default)]
pub(super) struct Tracker {
    /// Table of each thread; threads of a process share one.
    tables: BTreeMap<u32, usize>,
    slots: Vec<Table>,
    users: Vec<u32>,
    /// Descriptors that refer to each file, over all tables.
    refs: BTreeMap<FileId, u32>,
    files: u32,
    /// Entry of exit_group, by thread.
    exiting: BTreeMap<u32, (u64, usize)>,
    /// Calls that a signal interrupted and that restart_syscall() goes on with, by thread.
    interrupted: BTreeMap<u32, (u64, CallName)>,
    /// What the program put beside its sockets into epoll instances.
    pub(super) epoll_data: BTreeSet<(FileId, u64)>,
    out: Vec<SocketCall>,
}

/// The calls on sockets of a trace, in order of entry.
pub fn socket_calls(records: &[Record]) -> Vec<SocketCall> {
    let mut t = Tracker::default();
    for r in records {
        match r {
            Record::Call(c) => t.call(c),
            Record::Signal { .. } => {}
            Record::Exit { pid, time_ns } => t.exit(*pid, *time_ns),
        }
    }
    t.out.sort_by_key(|c| c.entry_ns);
    t.out
}

impl Tracker {
    fn table(&mut self, pid: u32) -> usize {
        if let Some(&t) = self.tables.get(&pid) {
            return t;
        }
        self.slots.push(Table::new());
        self.users.push(1);
        self.tables.insert(pid, self.slots.len() - 1);
        self.slots.len() - 1
    }

    pub(super) fn file(&mut self, pid: u32, fd: Option<&Value>) -> Option<FileId> {
        let fd = fd?.int()?;
        let t = self.table(pid);
        self.slots[t].get(&fd).map(|s| s.file)
    }

    pub(super) fn open(&mut self, pid: u32, fd: i64, cloexec: bool) -> FileId {
        let file = FileId(self.files);
        self.files += 1;
        self.install(pid, fd, Slot { file, cloexec });
        file
    }

    /// Puts a file at a descriptor; what was there must have been closed unseen.
    fn install(&mut self, pid: u32, fd: i64, slot: Slot) {
        let t = self.table(pid);
        *self.refs.entry(slot.file).or_default() += 1;
        if let Some(old) = self.slots[t].insert(fd, slot) {
            self.release(old.file);
        }
    }

    /// FD_CLOEXEC of a descriptor was set or cleared.
    fn set_cloexec(&mut self, pid: u32, fd: Option<&Value>, on: bool) {
        let t = self.table(pid);
        if let Some(slot) = fd.and_then(Value::int).and_then(|fd| self.slots[t].get_mut(&fd)) {
            slot.cloexec = on;
        }
    }

    /// execve(2): the process has its table alone from now on, without what closes on exec.
    fn exec(&mut self, c: &TracedCall) {
        let t = self.table(c.pid);
        if self.users[t] > 1 {
            let copy = self.slots[t].clone();
            for slot in copy.values() {
                *self.refs.entry(slot.file).or_default() += 1;
            }
            self.users[t] -= 1;
            self.slots.push(copy);
            self.users.push(1);
            self.tables.insert(c.pid, self.slots.len() - 1);
        }
        let t = self.table(c.pid);
        let (closed, kept) =
            std::mem::take(&mut self.slots[t]).into_iter().partition(|s| s.1.cloexec);
        self.slots[t] = kept;
        for slot in Table::into_values(closed) {
            if self.release(slot.file) {
                self.push(c, CallName::Close { file: slot.file });
            }
        }
    }

    /// Drops one reference; whether it was the last.
    fn release(&mut self, id: FileId) -> bool {
        let Some(n) = self.refs.get_mut(&id) else { return false };
        *n -= 1;
        *n == 0
    }

    fn exit(&mut self, pid: u32, time_ns: u64) {
        let (entry_ns, line) = self.exiting.remove(&pid).unwrap_or((time_ns, 0));
        let Some(t) = self.tables.remove(&pid) else { return };
        self.users[t] -= 1;
        if self.users[t] > 0 {
            return;
        }
        for Slot { file, .. } in std::mem::take(&mut self.slots[t]).into_values() {
            if self.release(file) {
                self.out.push(SocketCall {
                    pid,
                    entry_ns,
                    exit_ns: Some(time_ns),
                    line,
                    call: CallName::Close { file },
                    outcome: Outcome::Ret(0),
                });
            }
        }
    }

    fn call(&mut self, c: &TracedCall) {
        let ret = match c.outcome {
            Outcome::Ret(r) => Some(r),
            _ => None,
        };
        match c.name.as_str() {
            "clone" | "clone3" | "fork" | "vfork" => self.fork(c, ret),
            "exit_group" => {
                self.exiting.insert(c.pid, (c.entry_ns, c.line));
            }
            "execve" | "execveat" if ret == Some(0) => self.exec(c),
            "dup" | "dup2" | "dup3" => self.dup(c, ret),
            "fcntl" | "ioctl" => self.control(c, ret),
            "close" => {
                if let Some(fd) = c.args.first().and_then(Value::int) {
                    self.close(c, fd);
                }
            }
            "close_range" => self.close_range(c),
            "restart_syscall" => self.restart(c),
            "sendmmsg" | "recvmmsg" => self.messages(c),
            _ => {
                if let Some(call) = self.typed(c, ret) {
                    if matches!(c.outcome, Outcome::Restart(_)) {
                        self.interrupted.insert(c.pid, (c.entry_ns, call.clone()));
                    }
                    self.push(c, call);
                }
            }
        }
    }

    /// fcntl(2), ioctl(2): what changes descriptors, else a call on a socket.
    fn control(&mut self, c: &TracedCall, ret: Option<i64>) {
        let on = |i: usize| c.args.get(i).is_some_and(|v| has_flag(v, "FD_CLOEXEC", 1));
        match c.args.get(1).and_then(|v| number(v, COMMANDS)) {
            Some(F_DUPFD | F_DUPFD_CLOEXEC) if c.name == "fcntl" => self.dup(c, ret),
            Some(F_SETFD) if c.name == "fcntl" => self.set_cloexec(c.pid, c.args.first(), on(2)),
            Some(command @ (FIOCLEX | FIONCLEX)) => {
                self.set_cloexec(c.pid, c.args.first(), command == FIOCLEX);
            }
            _ => {
                if let Some(call) = self.typed(c, ret) {
                    self.push(c, call);
                }
            }
        }
    }

    fn close(&mut self, c: &TracedCall, fd: i64) {
        let t = self.table(c.pid);
        if let Some(Slot { file, .. }) = self.slots[t].remove(&fd)
            && self.release(file)
        {
            self.push(c, CallName::Close { file });
        }
    }

    /// Closes the descriptors of a range, or marks them for exec.
    fn close_range(&mut self, c: &TracedCall) {
        let bound = |n: usize| c.args.get(n).and_then(Value::int).unwrap_or(-1);
        // The upper one is unsigned: ~0 is printed as 4294967295 or -1.
        let (first, last) = (bound(0), if bound(1) < 0 { i64::MAX } else { bound(1) });
        if first < 0 || last < first || !matches!(c.outcome, Outcome::Ret(0)) {
            return;
        }
        let cloexec = c.args.get(2).is_some_and(|v| has_flag(v, "CLOSE_RANGE_CLOEXEC", 4));
        let t = self.table(c.pid);
        let fds: Vec<i64> = self.slots[t].range(first..=last).map(|(fd, _)| *fd).collect();
        for fd in fds {
            match cloexec {
                true => self.set_cloexec(c.pid, Some(&Value::Int(fd)), true),
                false => self.close(c, fd),
            }
        }
    }

    /// The rest of an interrupted poll or select: what is left of its time-out.
    fn restart(&mut self, c: &TracedCall) {
        let Some((began, mut call)) = self.interrupted.remove(&c.pid) else { return };
        let gone = c.entry_ns.saturating_sub(began);
        match &mut call {
            CallName::Poll { timeout_ns, fds, .. } => {
                *timeout_ns = timeout_ns.map(|t| t.saturating_sub(gone));
                set_revents(fds, c, |fd| self.file(c.pid, Some(fd)));
            }
            CallName::Select { timeout_ns, .. } | CallName::EpollWait { timeout_ns, .. } => {
                *timeout_ns = timeout_ns.map(|t| t.saturating_sub(gone));
            }
            _ => return,
        }
        self.push(c, call);
    }

    /// sendmmsg(2), recvmmsg(2): as many calls as messages went through.
    fn messages(&mut self, c: &TracedCall) {
        let (Some(file), Some(Value::Array(list))) =
            (self.file(c.pid, c.args.first()), c.args.get(1))
        else {
            return;
        };
        let through = match c.outcome {
            Outcome::Ret(n) => usize::try_from(n).unwrap_or(0),
            _ => 1,
        };
        for message in list.iter().take(through) {
            let Some(header) = message.member("msg_hdr") else { continue };
            let length = message.member("msg_len").and_then(Value::int);
            let one = TracedCall {
                name: if c.name == "sendmmsg" { "sendmsg" } else { "recvmsg" }.to_owned(),
                args: vec![
                    c.args[0].clone(),
                    header.clone(),
                    c.args.get(3).cloned().unwrap_or(Value::Int(0)),
                ],
                outcome: match (&c.outcome, length) {
                    (Outcome::Ret(_), Some(n)) => Outcome::Ret(n),
                    (other, _) => other.clone(),
                },
                ..c.clone()
            };
            if let Some(call) = on_file(&one, file) {
                self.push(&one, call);
            }
        }
    }

    pub(super) fn push(&mut self, c: &TracedCall, call: CallName) {
        self.out.push(SocketCall {
            pid: c.pid,
            entry_ns: c.entry_ns,
            exit_ns: c.duration_ns.map(|d| c.entry_ns.saturating_add(d).min(1 << 62)),
            line: c.line,
            call,
            outcome: c.outcome.clone(),
        });
    }

    fn fork(&mut self, c: &TracedCall, ret: Option<i64>) {
        let Some(child) = ret.and_then(|r| u32::try_from(r).ok()).filter(|&r| r > 0) else {
            return;
        };
        let t = self.table(c.pid);
        if shares_files(c) {
            self.users[t] += 1;
            self.tables.insert(child, t);
        } else {
            let copy = self.slots[t].clone();
            for slot in copy.values() {
                *self.refs.entry(slot.file).or_default() += 1;
            }
            self.slots.push(copy);
            self.users.push(1);
            self.tables.insert(child, self.slots.len() - 1);
        }
    }

    /// dup of a socket, or of something else over a socket's number.
    fn dup(&mut self, c: &TracedCall, ret: Option<i64>) {
        let (pid, from, Some(new)) = (c.pid, c.args.first(), ret) else { return };
        if from.and_then(Value::int) == Some(new) {
            return;
        }
        let cloexec = match c.name.as_str() {
            "dup3" => c.args.get(2).is_some_and(|v| has_flag(v, "O_CLOEXEC", SOCK_CLOEXEC.into())),
            _ => c.args.get(1).and_then(|v| number(v, COMMANDS)) == Some(F_DUPFD_CLOEXEC),
        };
        match self.file(pid, from) {
            Some(file) => self.install(pid, new, Slot { file, cloexec }),
            None => {
                let t = self.table(pid);
                if let Some(old) = self.slots[t].remove(&new) {
                    self.release(old.file);
                }
            }
        }
    }

    fn typed(&mut self, c: &TracedCall, ret: Option<i64>) -> Option<CallName> {
        let arg = |i: usize| c.args.get(i);
        if c.name == "socket" {
            let domain = number(arg(0)?, FAMILIES).unwrap_or(-1);
            let kind = number(arg(1)?, TYPES).unwrap_or(-1);
            let protocol = number(arg(2)?, PROTOCOLS).unwrap_or(0);
            let cloexec = kind & SOCK_CLOEXEC != 0;
            let file = ret.map(|fd| self.open(c.pid, fd, cloexec));
            return Some(CallName::Socket { file, domain, kind, protocol });
        }
        if matches!(c.name.as_str(), "poll" | "ppoll") {
            return self.poll(c);
        }
        if matches!(c.name.as_str(), "select" | "pselect6") {
            return self.select(c);
        }
        if c.name.starts_with("epoll_") {
            return self.epoll(c, ret);
        }
        let file = self.file(c.pid, arg(0))?;
        if matches!(c.name.as_str(), "accept" | "accept4") {
            let peer = arg(1).and_then(sock_addr);
            let flags = arg(3).and_then(|v| number(v, TYPES)).unwrap_or(0);
            let new = ret.map(|fd| self.open(c.pid, fd, flags & SOCK_CLOEXEC != 0));
            return Some(CallName::Accept { file, new, peer, flags });
        }
        Some(on_file(c, file).unwrap_or_else(|| CallName::Other { file, name: c.name.clone() }))
    }
}

/// The calls whose first argument is a socket.
fn on_file(c: &TracedCall, file: FileId) -> Option<CallName> {
    let arg = |i: usize| c.args.get(i);
    let ok = matches!(c.outcome, Outcome::Ret(_));
    Some(match c.name.as_str() {
        "bind" => CallName::Bind { file, addr: sock_addr(arg(1)?)? },
        "connect" => CallName::Connect { file, addr: sock_addr(arg(1)?)? },
        "listen" => CallName::Listen { file, backlog: arg(1)?.int()? as i32 },
        "getsockname" => CallName::Getsockname { file, addr: arg(1).and_then(sock_addr) },
        "getpeername" => CallName::Getpeername { file, addr: arg(1).and_then(sock_addr) },
        "shutdown" => CallName::Shutdown { file, how: number(arg(1)?, SHUT)? },
        "setsockopt" => {
            let (level, name) = option_name(arg(1)?, arg(2)?)?;
            let len = arg(4).and_then(Value::int).unwrap_or(4);
            CallName::Setsockopt { file, level, name, value: option_value(arg(3)?, len)? }
        }
        "getsockopt" => {
            let (level, name) = option_name(arg(1)?, arg(2)?)?;
            let len = arg(4).and_then(Value::int).unwrap_or(4);
            let value = if ok { option_value(arg(3)?, len) } else { None };
            CallName::Getsockopt { file, level, name, len: u32::try_from(len).ok()?, value }
        }
        "sendto" | "send" | "write" | "sendmsg" | "writev" => send(c, file)?,
        "recvfrom" | "recv" | "read" | "recvmsg" | "readv" => recv(c, file)?,
        "sendfile" | "sendfile64" => {
            CallName::Sendfile { file, len: u64::try_from(arg(3)?.int()?).ok()? }
        }
        "fcntl" if number(arg(1)?, COMMANDS) == Some(F_SETFL) => {
            CallName::SetNonblock { file, on: has_flag(arg(2)?, "O_NONBLOCK", O_NONBLOCK) }
        }
        "ioctl" if number(arg(1)?, COMMANDS) == Some(FIONBIO) => {
            CallName::SetNonblock { file, on: arg(2)?.int()? != 0 }
        }
        _ => return None,
    })
}

fn send(c: &TracedCall, file: FileId) -> Option<CallName> {
    let arg = |i: usize| c.args.get(i);
    let flags = |i: usize| arg(i).and_then(|v| number(v, MSG_FLAGS)).unwrap_or(0);
    let whole = |v: &Value| v.bytes().unwrap_or_default().to_vec();
    Some(match c.name.as_str() {
        "sendmsg" => {
            let (len, data) = iovec(arg(1)?.member("msg_iov")?);
            let to = arg(1)?.member("msg_name").and_then(sock_addr);
            CallName::Send { file, len, flags: flags(2), to, data }
        }
        "writev" => {
            let (len, data) = iovec(arg(1)?);
            CallName::Send { file, len, flags: 0, to: None, data }
        }
        name => {
            let len = u64::try_from(arg(2)?.int()?).ok()?;
            let flags = if name == "write" { 0 } else { flags(3) };
            let to = if name == "sendto" { arg(4).and_then(sock_addr) } else { None };
            CallName::Send { file, len, flags, to, data: whole(arg(1)?) }
        }
    })
}

fn recv(c: &TracedCall, file: FileId) -> Option<CallName> {
    let arg = |i: usize| c.args.get(i);
    let flags = |i: usize| arg(i).and_then(|v| number(v, MSG_FLAGS)).unwrap_or(0);
    let got = match c.outcome {
        Outcome::Ret(n) => usize::try_from(n).unwrap_or(0),
        _ => 0,
    };
    let cut = |mut d: Vec<u8>| {
        d.truncate(got);
        d
    };
    Some(match c.name.as_str() {
        "recvmsg" => {
            let m = arg(1)?;
            // A call that failed prints its argument as an address or without the parts; it had
            // room for something.
            let (len, data) = m.member("msg_iov").map_or((1, Vec::new()), iovec);
            let from = m.member("msg_name").and_then(sock_addr);
            CallName::Recv { file, len, flags: flags(2), from, data: cut(data) }
        }
        "readv" => {
            let (len, data) = iovec(arg(1)?);
            CallName::Recv { file, len, flags: 0, from: None, data: cut(data) }
        }
        name => {
            let len = u64::try_from(arg(2)?.int()?).ok()?;
            let data = cut(arg(1)?.bytes().unwrap_or_default().to_vec());
            let flags = if name == "read" { 0 } else { flags(3) };
            let from = if name == "recvfrom" { arg(4).and_then(sock_addr) } else { None };
            CallName::Recv { file, len, flags, from, data }
        }
    })
}

/// Total length and the bytes known up to the first that strace cut.
fn iovec(v: &Value) -> (u64, Vec<u8>) {
    let mut len = 0u64;
    let mut data = Vec::new();
    let mut whole = true;
    if let Value::Array(parts) = v {
        for p in parts {
            let n = p.member("iov_len").and_then(Value::int).unwrap_or(0);
            len = len.saturating_add(u64::try_from(n).unwrap_or(0));
            if let Some(Value::Str { bytes, truncated }) = p.member("iov_base")
                && whole
            {
                data.extend_from_slice(bytes);
                whole = !truncated;
            }
        }
    }
    (len, data)
}

/// Whether a child of clone(2) has its parent's descriptors rather than a copy of them.
fn shares_files(c: &TracedCall) -> bool {
    let flags =
        |v: &Value| v.member("flags").is_some_and(|f| has_flag(f, "CLONE_FILES", CLONE_FILES));
    c.args.iter().any(|v| match v {
        Value::Change(before, _) => flags(before),
        Value::Struct(_) => flags(v),
        // clone(child_stack=..., flags=...): the parts of the list have lost their names.
        Value::Sym(s) => s.split('|').any(|w| w == "CLONE_FILES"),
        _ => false,
    })
}

fn option_name(level: &Value, name: &Value) -> Option<(i32, i32)> {
    let number_of_level = number(level, LEVELS)?;
    let table = level
        .sym()
        .and_then(|l| OPTIONS.iter().find(|(n, _)| *n == l))
        .map_or(&[] as super::consts::Table, |(_, t)| t);
    Some((number_of_level, number(name, table)?))
}

/// An option's bytes, native order of the traced host (little-endian).
fn option_value(v: &Value, len: i64) -> Option<Vec<u8>> {
    match v {
        Value::Str { bytes, .. } => Some(bytes.clone()),
        Value::Array(items) if !items.is_empty() => {
            let mut out = Vec::new();
            for i in items {
                out.extend_from_slice(&(i.int()? as i32).to_le_bytes());
            }
            Some(out)
        }
        // A set of ICMP types, complemented: what the filter passes.
        Value::Call(name, args) if name == "~" => {
            let Some(Value::Array(types)) = args.first() else { return None };
            let mut mask = 0u32;
            for t in types {
                mask |= 1u32.checked_shl(number(t, ICMP_TYPES)? as u32)?;
            }
            Some((!mask).to_le_bytes().to_vec())
        }
        // struct timeval.
        Value::Struct(m) if v.member("tv_sec").is_some() => {
            let mut out = Vec::new();
            for (_, v) in m.iter().take(2) {
                out.extend_from_slice(&v.int()?.to_le_bytes());
            }
            Some(out)
        }
        // struct linger.
        Value::Struct(m) if len == 8 => {
            let mut out = Vec::new();
            for (_, v) in m.iter().take(2) {
                out.extend_from_slice(&(v.int()? as i32).to_le_bytes());
            }
            Some(out)
        }
        _ => None,
    }
}

fn sock_addr(v: &Value) -> Option<SockAddr> {
    if let Value::Change(_, after) = v {
        return sock_addr(after);
    }
    let port = || -> Option<u16> {
        let port = v.member("sin_port").or_else(|| v.member("sin6_port"))?;
        match port.bytes() {
            // Not decoded (-X raw): as it is in memory.
            Some(&[a, b]) => Some(u16::from_be_bytes([a, b])),
            _ => u16::try_from(port.int()?).ok(),
        }
    };
    Some(match number(v.member("sa_family")?, FAMILIES)? {
        0 => SockAddr::Unspec,
        2 | 10 => SockAddr::Inet(SocketAddr::new(address(v)?, port()?)),
        _ => SockAddr::Other,
    })
}

/// `sin_addr=inet_addr("1.2.3.4")`, `inet_pton(AF_INET6, "::", &sin6_addr)`, which has no name, or
/// the bytes.
fn address(v: &Value) -> Option<IpAddr> {
    let Value::Struct(members) = v else { return None };
    let text = members.iter().find_map(|(_, m)| match m {
        Value::Call(name, args) if name == "inet_addr" => args.first()?.bytes(),
        Value::Call(name, args) if name == "inet_pton" => args.get(1)?.bytes(),
        _ => None,
    });
    if let Some(text) = text {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let raw = v.member("sin_addr").or_else(|| v.member("sin6_addr"))?.bytes()?;
    let four = |b: &[u8]| <[u8; 4]>::try_from(b).ok().map(IpAddr::from);
    four(raw).or_else(|| <[u8; 16]>::try_from(raw).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::super::record::parse_strace;
    use super::*;

    fn calls(text: &str) -> Vec<SocketCall> {
        socket_calls(&parse_strace("t", text).unwrap())
    }

    #[test]
    fn only_sockets_are_followed_through_fork_and_threads() {
        let c = calls(
            "7 1.0 read(3, \"noise\", 832) = 5 <0.000001>\n\
             7 2.0 close(3) = 0 <0.000001>\n\
             7 3.0 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3 <0.000001>\n\
             7 4.0 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 8 <0.000001>\n\
             7 5.0 close(3) = 0 <0.000001>\n\
             7 6.0 read(3, \"file\", 4) = 4 <0.000001>\n\
             8 7.0 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, exit_signal=0}, 88) = 9 <0.000001>\n\
             9 8.0 write(3, \"data\", 4) = 4 <0.000001>\n\
             9 9.0 +++ exited with 0 +++\n\
             8 10.0 exit_group(0) = ?\n8 11.0 +++ exited with 0 +++\n",
        );
        let kinds: Vec<_> = c.iter().map(|c| (c.pid, c.entry_ns / 1_000_000_000)).collect();
        assert_eq!(kinds, [(7, 3), (9, 8), (8, 10)]);
        assert!(matches!(&c[1].call, CallName::Send { len: 4, data, .. } if data == b"data"));
        assert!(matches!(c[2].call, CallName::Close { file: FileId(0) }));
    }

    #[test]
    fn options_and_sets() {
        let c = calls(
            "7 1.0 socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) = 3 <0.000001>\n\
             7 2.0 setsockopt(3, SOL_RAW, ICMP_FILTER, ~[ICMP_ECHOREPLY ICMP_DEST_UNREACH], 4) = 0 <0.000001>\n\
             7 3.0 pselect6(4, [3], NULL, NULL, {tv_sec=2, tv_nsec=0}, NULL) = 1 (in [3], left {tv_sec=1, tv_nsec=7}) <0.2>\n\
             7 4.0 poll([{fd=3, events=POLLIN}, {fd=9, events=POLLIN}], 2, 199) = 1 ([{fd=3, revents=POLLIN}]) <0.1>\n\
             7 5.0 setsockopt(3, SOL_SOCKET, SO_RCVTIMEO_OLD, \"\\1\\0\\0\\0\\0\\0\\0\\0 \\241\\7\\0\\0\\0\\0\\0\", 16) = 0 <0.000004>\n",
        );
        assert!(
            matches!(&c[1].call, CallName::Setsockopt { value, .. } if value == &(!9u32).to_le_bytes())
        );
        let CallName::Select { read, timeout_ns, .. } = &c[2].call else { panic!() };
        assert_eq!((read.ready.len(), *timeout_ns), (1, Some(2_000_000_000)));
        let CallName::Poll { fds, others, .. } = &c[3].call else { panic!() };
        assert_eq!((fds[0].revents, *others), (1, 1));
        assert!(
            matches!(&c[4].call, CallName::Setsockopt { level: 1, name: 20, value, .. } if value.len() == 16)
        );
    }
}
