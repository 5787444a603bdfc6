//! The calls that wait for several descriptors: poll, select, epoll.

use super::consts::{POLL, has_flag, number};
use super::record::{Outcome, TracedCall};
use super::sockets::{CallName, FdSet, FileId, PollFd, Tracker};
use super::value::{Cursor, Value};

const EPOLL_CTL: super::consts::Table =
    &[("EPOLL_CTL_ADD", 1), ("EPOLL_CTL_DEL", 2), ("EPOLL_CTL_MOD", 3)];

impl Tracker {
    pub(super) fn poll(&mut self, c: &TracedCall) -> Option<CallName> {
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

    pub(super) fn select(&mut self, c: &TracedCall) -> Option<CallName> {
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
        let named = |i: usize| match c.args.get(i) {
            Some(Value::Array(list)) => list.len(),
            _ => 0,
        };
        let sockets = read.asked.len() + write.asked.len() + except.asked.len();
        let others = (1..4).map(named).sum::<usize>().saturating_sub(sockets);
        Some(CallName::Select { read, write, except, others, timeout_ns })
    }

    fn set(&mut self, pid: u32, v: Option<&Value>) -> Vec<FileId> {
        match v {
            Some(Value::Array(items)) => {
                items.iter().filter_map(|i| self.file(pid, Some(i))).collect()
            }
            _ => Vec::new(),
        }
    }
    /// epoll_create1(2), epoll_ctl(2), epoll_wait(2) and their kin. The instance is a file as a
    /// socket is.
    pub(super) fn epoll(&mut self, c: &TracedCall, ret: Option<i64>) -> Option<CallName> {
        let arg = |i: usize| c.args.get(i);
        match c.name.as_str() {
            "epoll_create" | "epoll_create1" => {
                let by_flags = c.name == "epoll_create1";
                let cloexec = by_flags && has_flag(arg(0)?, "EPOLL_CLOEXEC", 0o2_000_000);
                let file = ret.map(|fd| self.open(c.pid, fd, cloexec));
                Some(CallName::EpollCreate { file })
            }
            "epoll_ctl" => {
                let epoll = self.file(c.pid, arg(0))?;
                let file = self.file(c.pid, arg(2))?;
                let op = number(arg(1)?, EPOLL_CTL)?;
                let (events, data) = arg(3).map(event).unwrap_or_default();
                self.epoll_data.insert((epoll, data));
                Some(CallName::EpollCtl { epoll, op, file, events, data })
            }
            _ => {
                let epoll = self.file(c.pid, arg(0))?;
                let max = arg(2).and_then(Value::int).unwrap_or(1) as i32;
                let timeout_ns = match arg(3)? {
                    Value::Int(ms) => u64::try_from(*ms).ok().map(|n| n.saturating_mul(1_000_000)),
                    other => timespec_ns(other),
                };
                let all: Vec<(i32, u64)> = match (arg(1), &c.outcome) {
                    (Some(Value::Array(list)), Outcome::Ret(n)) => {
                        let n = usize::try_from(*n).unwrap_or(0);
                        list.iter().take(n).map(event).collect()
                    }
                    _ => Vec::new(),
                };
                let known = |e: &(i32, u64)| self.epoll_data.contains(&(epoll, e.1));
                let (ready, others): (Vec<_>, Vec<_>) = all.into_iter().partition(known);
                let others = others.len();
                Some(CallName::EpollWait { epoll, max, timeout_ns, ready, others })
            }
        }
    }
}

/// `{events=EPOLLIN, data={u32=5, u64=5}}`, or since strace 6 `data=0x5`.
fn event(v: &Value) -> (i32, u64) {
    let events = v.member("events").and_then(|v| number(v, POLL)).unwrap_or(0);
    let data = v.member("data");
    let whole = data.and_then(|d| d.member("u64").or_else(|| d.member("u32")).or(Some(d)));
    (events, whole.and_then(Value::int).unwrap_or(0) as u64)
}

/// The events that a poll which went on returned.
pub(super) fn set_revents(
    fds: &mut [PollFd],
    c: &TracedCall,
    mut file: impl FnMut(&Value) -> Option<FileId>,
) {
    for r in c.remark.as_deref().map(parse_remark).unwrap_or_default() {
        let (Some(fd), Some(revents)) = (r.member("fd"), r.member("revents")) else { continue };
        let id = file(fd);
        for p in fds.iter_mut().filter(|p| Some(p.file) == id) {
            p.revents = number(revents, POLL).unwrap_or(0);
        }
    }
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
