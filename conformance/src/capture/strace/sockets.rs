//! From records to typed calls on sockets.
//!
//! A descriptor number says nothing by itself: opening of files is not traced, numbers are used
//! again, processes fork. So every process has a table here, as in Linux, and what is followed
//! is the open file ([`FileId`]). A call on a descriptor that is no known socket is left out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::consts::{
    FAMILIES, ICMP_TYPES, LEVELS, MSG_FLAGS, OPTIONS, POLL, PROTOCOLS, SHUT, TYPES, number,
};
use super::record::{Outcome, Record, TracedCall};
use super::value::{Cursor, Value};

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
    /// select(2), pselect6(2).
    Select { read: FdSet, write: FdSet, except: FdSet, timeout_ns: Option<u64> },
    /// epoll_ctl(2) on a socket.
    EpollCtl { epoll: i64, op: String, file: FileId, events: i32 },
    /// epoll_wait(2), epoll_pwait(2).
    EpollWait { epoll: i64, timeout_ms: i64 },
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

type Table = BTreeMap<i64, FileId>;

#[derive(Default)]
struct Tracker {
    /// Table of each thread; threads of a process share one.
    tables: BTreeMap<u32, usize>,
    slots: Vec<Table>,
    users: Vec<u32>,
    /// Descriptors that refer to each file, over all tables.
    refs: BTreeMap<FileId, u32>,
    files: u32,
    /// Entry of exit_group, by thread.
    exiting: BTreeMap<u32, (u64, usize)>,
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

    fn file(&mut self, pid: u32, fd: Option<&Value>) -> Option<FileId> {
        let fd = fd?.int()?;
        let t = self.table(pid);
        self.slots[t].get(&fd).copied()
    }

    fn open(&mut self, pid: u32, fd: i64) -> FileId {
        let id = FileId(self.files);
        self.files += 1;
        self.install(pid, fd, id);
        id
    }

    /// Puts a file at a descriptor; what was there must have been closed unseen (exec).
    fn install(&mut self, pid: u32, fd: i64, id: FileId) {
        let t = self.table(pid);
        *self.refs.entry(id).or_default() += 1;
        if let Some(old) = self.slots[t].insert(fd, id) {
            self.release(old);
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
        for (_, file) in std::mem::take(&mut self.slots[t]) {
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
            "dup" | "dup2" | "dup3" => self.dup(c.pid, c.args.first(), ret),
            "fcntl" if dup_command(c) => self.dup(c.pid, c.args.first(), ret),
            "close" => {
                let Some(fd) = c.args.first().and_then(Value::int) else { return };
                let t = self.table(c.pid);
                if let Some(file) = self.slots[t].remove(&fd)
                    && self.release(file)
                {
                    self.push(c, CallName::Close { file });
                }
            }
            _ => {
                if let Some(call) = self.typed(c, ret) {
                    self.push(c, call);
                }
            }
        }
    }

    fn push(&mut self, c: &TracedCall, call: CallName) {
        self.out.push(SocketCall {
            pid: c.pid,
            entry_ns: c.entry_ns,
            exit_ns: c.duration_ns.map(|d| c.entry_ns + d),
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
        if flags_of(c).contains("CLONE_FILES") {
            self.users[t] += 1;
            self.tables.insert(child, t);
        } else {
            let copy = self.slots[t].clone();
            for id in copy.values() {
                *self.refs.entry(*id).or_default() += 1;
            }
            self.slots.push(copy);
            self.users.push(1);
            self.tables.insert(child, self.slots.len() - 1);
        }
    }

    /// dup of a socket, or of something else over a socket's number.
    fn dup(&mut self, pid: u32, from: Option<&Value>, ret: Option<i64>) {
        let Some(new) = ret else { return };
        if from.and_then(Value::int) == Some(new) {
            return;
        }
        match self.file(pid, from) {
            Some(file) => self.install(pid, new, file),
            None => {
                let t = self.table(pid);
                if let Some(old) = self.slots[t].remove(&new) {
                    self.release(old);
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
            let file = ret.map(|fd| self.open(c.pid, fd));
            return Some(CallName::Socket { file, domain, kind, protocol });
        }
        if matches!(c.name.as_str(), "poll" | "ppoll") {
            return self.poll(c);
        }
        if matches!(c.name.as_str(), "select" | "pselect6") {
            return self.select(c);
        }
        if matches!(c.name.as_str(), "epoll_wait" | "epoll_pwait") {
            let timeout_ms = arg(3).and_then(Value::int).unwrap_or(-1);
            return Some(CallName::EpollWait { epoll: arg(0)?.int()?, timeout_ms });
        }
        if c.name == "epoll_ctl" {
            let file = self.file(c.pid, arg(2))?;
            let op = arg(1).and_then(Value::sym).unwrap_or_default().to_owned();
            let events =
                arg(3).and_then(|v| v.member("events")).and_then(|v| number(v, POLL)).unwrap_or(0);
            return Some(CallName::EpollCtl { epoll: arg(0)?.int()?, op, file, events });
        }
        let file = self.file(c.pid, arg(0))?;
        if matches!(c.name.as_str(), "accept" | "accept4") {
            let new = ret.map(|fd| self.open(c.pid, fd));
            let peer = arg(1).and_then(sock_addr);
            let flags = arg(3).and_then(|v| number(v, TYPES)).unwrap_or(0);
            return Some(CallName::Accept { file, new, peer, flags });
        }
        Some(on_file(c, file).unwrap_or_else(|| CallName::Other { file, name: c.name.clone() }))
    }

    fn poll(&mut self, c: &TracedCall) -> Option<CallName> {
        let Value::Array(set) = c.args.first()? else { return None };
        let mut fds = Vec::new();
        let mut others = 0;
        let ready = c.remark.as_deref().map(parse_remark).unwrap_or_default();
        for item in set {
            let fd = item.member("fd").and_then(Value::int);
            let Some(file) = self.file(c.pid, item.member("fd")) else {
                others += 1;
                continue;
            };
            let events = item.member("events").and_then(|v| number(v, POLL)).unwrap_or(0);
            let revents = ready
                .iter()
                .find(|r| r.member("fd").and_then(Value::int) == fd)
                .and_then(|r| number(r.member("revents")?, POLL))
                .unwrap_or(0);
            fds.push(PollFd { file, events, revents });
        }
        if fds.is_empty() {
            return None;
        }
        let timeout_ns = match c.args.get(2)? {
            Value::Int(ms) => u64::try_from(*ms).ok().map(|ms| ms.saturating_mul(1_000_000)),
            other => timespec_ns(other),
        };
        Some(CallName::Poll { fds, others, timeout_ns })
    }

    fn select(&mut self, c: &TracedCall) -> Option<CallName> {
        let ready = c.remark.clone().unwrap_or_default();
        let mut set = |index: usize, label: &str| {
            let asked = self.set(c.pid, c.args.get(index));
            let after = ready.split(label).nth(1).map(parse_remark).unwrap_or_default();
            let ready = after.first().map(|v| self.set(c.pid, Some(v))).unwrap_or_default();
            FdSet { asked, ready }
        };
        let (read, write, except) = (set(1, "in "), set(2, "out "), set(3, "exc "));
        if read.asked.is_empty() && write.asked.is_empty() && except.asked.is_empty() {
            return None;
        }
        let timeout_ns = c.args.get(4).and_then(timespec_ns);
        Some(CallName::Select { read, write, except, timeout_ns })
    }

    fn set(&mut self, pid: u32, v: Option<&Value>) -> Vec<FileId> {
        match v {
            Some(Value::Array(items)) => {
                items.iter().filter_map(|i| self.file(pid, Some(i))).collect()
            }
            _ => Vec::new(),
        }
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
        "fcntl" if arg(1)?.sym() == Some("F_SETFL") => {
            let on = match arg(2)? {
                Value::Sym(s) => s.split('|').any(|w| w == "O_NONBLOCK"),
                v => v.int()? & 0o4000 != 0,
            };
            CallName::SetNonblock { file, on }
        }
        "ioctl" if arg(1)?.sym() == Some("FIONBIO") => {
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

fn dup_command(c: &TracedCall) -> bool {
    matches!(c.args.get(1).and_then(Value::sym), Some("F_DUPFD" | "F_DUPFD_CLOEXEC"))
}

fn flags_of(c: &TracedCall) -> &str {
    c.args
        .iter()
        .find_map(|v| match v {
            Value::Change(before, _) => before.member("flags").and_then(Value::sym),
            Value::Struct(_) => v.member("flags").and_then(Value::sym),
            Value::Sym(s) if s.contains("CLONE_") => Some(s),
            _ => None,
        })
        .unwrap_or_default()
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
    let family = v.member("sa_family")?.sym()?;
    Some(match family {
        "AF_UNSPEC" => SockAddr::Unspec,
        "AF_INET" | "AF_INET6" => {
            let Value::Struct(members) = v else { return None };
            let port = v.member("sin_port").or_else(|| v.member("sin6_port"))?.int()?;
            // sin_addr=inet_addr("1.2.3.4"); inet_pton(AF_INET6, "::", &sin6_addr) has no name.
            let text = members.iter().find_map(|(_, m)| match m {
                Value::Call(name, args) if name == "inet_addr" => args.first()?.bytes(),
                Value::Call(name, args) if name == "inet_pton" => args.get(1)?.bytes(),
                _ => None,
            })?;
            let ip: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
            SockAddr::Inet(SocketAddr::new(ip, u16::try_from(port).ok()?))
        }
        _ => SockAddr::Other,
    })
}

fn timespec_ns(v: &Value) -> Option<u64> {
    let sec = v.member("tv_sec")?.int()?;
    let sub = match (v.member("tv_nsec"), v.member("tv_usec")) {
        (Some(n), _) => n.int()?,
        (None, Some(us)) => us.int()?.checked_mul(1000)?,
        _ => 0,
    };
    u64::try_from(sec.checked_mul(1_000_000_000)?.checked_add(sub)?).ok()
}

/// The values at the head of a remark; nothing where it is not a list of values.
fn parse_remark(text: &str) -> Vec<Value> {
    let mut cursor = Cursor::new(text);
    match cursor.value(0) {
        Ok(Value::Array(items)) if items.iter().all(|i| matches!(i, Value::Struct(_))) => items,
        Ok(v) => vec![v],
        Err(_) => Vec::new(),
    }
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
