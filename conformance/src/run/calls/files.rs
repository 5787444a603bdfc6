//! Calls on files other than sockets: open(), pipe(), splice(), sendfile(), epoll.

use reference_stack::Call;
use reference_stack::syscalls::EpollEvent;

use super::{CallError, Calls, Check, Prepared};
use crate::script::ScriptError;
use crate::script::ast::{self, Expr, ExprKind};

/// What a script expects in the event that epoll_wait() returns first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WantEvent {
    /// `EPOLL*`.
    pub(crate) events: u32,
    /// The data, as far as `mask` reaches: `fd` and `u32` have 32 bits.
    pub(crate) data: u64,
    pub(crate) mask: u64,
}

impl Calls<'_> {
    /// The calls of this room; `None` for another one.
    pub(super) fn file_call(&mut self, call: &ast::Call) -> Result<Option<Prepared>, CallError> {
        let prepared = match call.name.as_str() {
            "open" => self.open(call)?,
            "pipe" => self.pipe(call)?,
            "splice" => self.splice(call)?,
            "sendfile" => self.sendfile(call)?,
            "epoll_create" => {
                self.args(call, 1, 1)?;
                let size = self.int(call, 0)? as i32;
                Prepared { call: Call::EpollCreate { size }, check: Check::NewFd }
            }
            "epoll_create1" => {
                self.args(call, 1, 1)?;
                let flags = self.int(call, 0)? as i32;
                Prepared { call: Call::EpollCreate1 { flags }, check: Check::NewFd }
            }
            "epoll_ctl" => {
                self.args(call, 4, 4)?;
                let event = self.event(self.arg(call, 3)?)?;
                let event = event.map(|e| EpollEvent { events: e.events, data: e.data });
                let (epfd, fd) = (self.fd(call, 0)?, self.fd(call, 2)?);
                let op = self.int(call, 1)? as i32;
                Prepared { call: Call::EpollCtl { epfd, op, fd, event }, check: Check::Value }
            }
            "epoll_wait" => {
                self.args(call, 4, 4)?;
                let check = match self.event(self.arg(call, 1)?)? {
                    Some(event) => Check::Event(event),
                    None => Check::Value,
                };
                let epfd = self.fd(call, 0)?;
                let (maxevents, timeout_ms) =
                    (self.int(call, 2)? as i32, self.int(call, 3)? as i32);
                Prepared { call: Call::EpollWait { epfd, maxevents, timeout_ms }, check }
            }
            _ => return Ok(None),
        };
        Ok(Some(prepared))
    }

    fn open(&self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 2, 3)?;
        let expr = self.arg(call, 0)?;
        let ExprKind::Str(parts) = &expr.kind else {
            return Err(self.error(expr.span, "expected a path in double quotes").into());
        };
        let path = String::from_utf8_lossy(&self.bytes(parts, expr)?).into_owned();
        let flags = self.int(call, 1)? as i32;
        let mode = if call.args.len() > 2 { self.int(call, 2)? as u32 } else { 0 };
        Ok(Prepared { call: Call::Open { path, flags, mode }, check: Check::NewFd })
    }

    fn pipe(&self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 1, 1)?;
        let list = self.arg(call, 0)?;
        match &list.kind {
            ExprKind::List(items) if items.len() == 2 => {
                let fds = [self.number(&items[0])? as i32, self.number(&items[1])? as i32];
                Ok(Prepared { call: Call::Pipe2 { flags: 0 }, check: Check::Pipe(fds) })
            }
            _ => Err(self.error(list.span, "expected two descriptors, as in [5, 6]").into()),
        }
    }

    /// `NULL`, or the number behind the pointer, `[N]`.
    fn offset(&self, expr: &Expr) -> Result<Option<i64>, ScriptError> {
        match &expr.kind {
            ExprKind::Word(word) if word == "NULL" => Ok(None),
            _ => self.bracketed(expr).map(Some),
        }
    }

    fn splice(&self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 6, 6)?;
        let splice = Call::Splice {
            fd_in: self.fd(call, 0)?,
            off_in: self.offset(self.arg(call, 1)?)?,
            fd_out: self.fd(call, 2)?,
            off_out: self.offset(self.arg(call, 3)?)?,
            len: self.length(self.arg(call, 4)?)?,
            flags: self.int(call, 5)? as u32,
        };
        Ok(Prepared { call: splice, check: Check::Value })
    }

    fn sendfile(&self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 4, 4)?;
        let sendfile = Call::Sendfile {
            out_fd: self.fd(call, 0)?,
            in_fd: self.fd(call, 1)?,
            offset: self.offset(self.arg(call, 2)?)?,
            count: self.length(self.arg(call, 3)?)?,
        };
        Ok(Prepared { call: sendfile, check: Check::Value })
    }

    /// `{events=..., fd=N}` with `fd`, `ptr`, `u32` or `u64`; `NULL` is none.
    fn event(&self, expr: &Expr) -> Result<Option<WantEvent>, ScriptError> {
        if matches!(&expr.kind, ExprKind::Word(word) if word == "NULL") {
            return Ok(None);
        }
        let events = self.number(self.member(expr, "events")?)? as u32;
        for (name, mask) in [("fd", 0xffff_ffff), ("u32", 0xffff_ffff), ("ptr", !0), ("u64", !0)] {
            if let Some(value) = expr.field(name) {
                let data = self.number(value)? as u64 & mask;
                return Ok(Some(WantEvent { events, data, mask }));
            }
        }
        Err(self.error(expr.span, "the event has no fd, ptr, u32 or u64"))
    }
}
