//! System calls of a script: to the target's calls, and what they return against what the script expects.

mod check;
mod files;
mod message;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reference_stack::Call;
use reference_stack::syscalls::{PollFd, SockAddr};

use files::WantEvent;
use message::WantCmsg;

use super::config::Config;
use super::connection::{Sockets, State};
use super::constants;
use super::values::Values;
use crate::script::ast::{self, Expr, ExprKind};
use crate::script::{ScriptError, Source, unescape};

/// The largest buffer that a script may ask for, in bytes.
const MAX_BUFFER: i64 = 1 << 26;

/// Why a call cannot be made.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nothing is wrong with the script, but the harness or the target has no such call.
    Unsupported(String),
    /// The script is wrong.
    Script(ScriptError),
}

impl From<ScriptError> for CallError {
    fn from(error: ScriptError) -> Self {
        CallError::Script(error)
    }
}

/// What is compared besides the return value, and what the result changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Check {
    /// The return value alone.
    Value,
    /// socket(): the descriptor's number is the target's choice.
    NewSocket { protocol: u8 },
    /// dup(): likewise.
    NewFd,
    /// accept(): likewise.
    Accepted,
    /// listen() turns the socket into a listening one.
    Listen { script_fd: i32 },
    /// close() frees the descriptor.
    Close { script_fd: i32 },
    /// getsockopt(): value and length.
    Opt { value: OptValue, len: usize },
    /// poll(): the events that hold, by entry.
    Poll(Vec<i16>),
    /// recvmsg(): the message's flags and control messages.
    Message { flags: i32, control: Vec<WantCmsg> },
    /// epoll_wait(): the first event.
    Event(WantEvent),
    /// pipe(): the script's numbers of the two ends.
    Pipe([i32; 2]),
    /// ioctl(): the number that it stores.
    Stored(i64),
}

/// An expected option value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OptValue {
    /// `[N]`
    Int(i32),
    /// `"..."`
    Bytes(Vec<u8>),
    /// `...`
    Any,
}

/// A call that is ready to be made.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) call: Call,
    pub(crate) check: Check,
}

/// Translates calls.
pub(crate) struct Calls<'a> {
    pub(crate) source: &'a Source,
    pub(crate) config: &'a Config,
    pub(crate) sockets: &'a mut Sockets,
    pub(crate) values: &'a Values,
    /// CLOCK_REALTIME of the target at time 0 of the script, nanoseconds.
    pub(crate) real_start: i64,
}

/// Calls of packetdrill's language that nothing here has.
const UNSUPPORTED: &[&str] = &["cap_set", "psp_rx_assoc", "psp_tx_assoc"];

/// The call with a null pointer for its buffer, if the script says so.
fn at_null(call: &ast::Call, prepared: Prepared) -> Prepared {
    match call.args.get(1).map(|a| &a.kind) {
        Some(ExprKind::Word(w)) if w == "NULL" => {
            Prepared { call: Call::Fault(Box::new(prepared.call)), ..prepared }
        }
        _ => prepared,
    }
}

impl Calls<'_> {
    /// The target's call for the script's, after what the call changes before it is made.
    pub(crate) fn prepare(&mut self, call: &ast::Call) -> Result<Prepared, CallError> {
        if UNSUPPORTED.contains(&call.name.as_str()) {
            return Err(CallError::Unsupported(format!("{}() is not supported yet", call.name)));
        }
        if let Some(prepared) = self.file_call(call)? {
            return Ok(prepared);
        }
        let value = |call| Ok(Prepared { call, check: Check::Value });
        match call.name.as_str() {
            "socket" => self.socket(call),
            "bind" => {
                self.args(call, 3, 3)?;
                let fd = self.fd(call, 0)?;
                let addr = self.address(call, 1, self.config.bind_ip(), self.config.bind_port)?;
                self.bound(call, addr)?;
                value(Call::Bind { fd, addr })
            }
            "listen" => {
                self.args(call, 2, 2)?;
                let script_fd = self.int(call, 0)? as i32;
                let listen =
                    Call::Listen { fd: self.fd(call, 0)?, backlog: self.int(call, 1)? as i32 };
                Ok(Prepared { call: listen, check: Check::Listen { script_fd } })
            }
            "accept" | "accept4" => {
                let four = call.name == "accept4";
                self.args(call, 3 + usize::from(four), 3 + usize::from(four))?;
                let flags = if four { self.int(call, 3)? as i32 } else { 0 };
                Ok(Prepared {
                    call: Call::Accept4 { fd: self.fd(call, 0)?, flags },
                    check: Check::Accepted,
                })
            }
            "connect" => {
                self.args(call, 3, 3)?;
                let fd = self.fd(call, 0)?;
                let addr =
                    self.address(call, 1, self.config.connect_ip(), self.config.connect_port)?;
                self.connecting(call, addr)?;
                value(Call::Connect { fd, addr })
            }
            "close" => {
                self.args(call, 1, 1)?;
                let script_fd = self.int(call, 0)? as i32;
                Ok(Prepared {
                    call: Call::Close { fd: self.fd(call, 0)? },
                    check: Check::Close { script_fd },
                })
            }
            "shutdown" => {
                self.args(call, 2, 2)?;
                value(Call::Shutdown { fd: self.fd(call, 0)?, how: self.int(call, 1)? as i32 })
            }
            "fcntl" => {
                self.args(call, 2, 3)?;
                let arg = if call.args.len() > 2 { self.int(call, 2)? as i32 } else { 0 };
                value(Call::Fcntl { fd: self.fd(call, 0)?, cmd: self.int(call, 1)? as i32, arg })
            }
            "ioctl" => self.ioctl(call),
            "dup" => {
                self.args(call, 1, 1)?;
                Ok(Prepared { call: Call::Dup { fd: self.fd(call, 0)? }, check: Check::NewFd })
            }
            "getsockname" | "getpeername" => {
                self.args(call, 3, 3)?;
                let fd = self.fd(call, 0)?;
                let own = call.name == "getsockname";
                value(if own { Call::Getsockname { fd } } else { Call::Getpeername { fd } })
            }
            "read" | "readv" | "recv" | "recvfrom" | "recvmsg" => {
                self.receive(call).map(|p| at_null(call, p))
            }
            "write" | "writev" | "send" | "sendto" | "sendmsg" => {
                self.send(call).map(|p| at_null(call, p))
            }
            "setsockopt" => self.setsockopt(call),
            "getsockopt" => self.getsockopt(call),
            "poll" => self.poll(call),
            name => {
                let error = self.error(
                    call.name_span,
                    format!("`{name}` is not a system call of packetdrill's language"),
                );
                Err(error.into())
            }
        }
    }

    fn error(&self, span: crate::script::Span, message: impl Into<String>) -> ScriptError {
        ScriptError::new(self.source, span, message, "")
    }

    fn args(&self, call: &ast::Call, min: usize, max: usize) -> Result<(), ScriptError> {
        let have = call.args.len();
        if (min..=max).contains(&have) {
            return Ok(());
        }
        let want = if min == max { min.to_string() } else { format!("{min} to {max}") };
        Err(self.error(call.span, format!("{}() takes {want} arguments, not {have}", call.name)))
    }

    fn arg<'b>(&self, call: &'b ast::Call, at: usize) -> Result<&'b Expr, ScriptError> {
        call.args.get(at).ok_or_else(|| self.error(call.span, "an argument is missing"))
    }

    fn int(&self, call: &ast::Call, at: usize) -> Result<i64, ScriptError> {
        self.number(self.arg(call, at)?)
    }

    /// The number that an expression stands for.
    fn number(&self, expr: &Expr) -> Result<i64, ScriptError> {
        match &expr.kind {
            ExprKind::Int(n) => Ok(*n),
            ExprKind::Hex(n) => Ok(*n as i64),
            ExprKind::Value(value) => match self.values.of(value) {
                Some(n) => Ok(n.into()),
                None => Err(self.error(expr.span, "no packet has given this value yet")),
            },
            ExprKind::Htons(port) => Ok(i64::from(port.to_be())),
            ExprKind::Word(word) => constants::value(word).ok_or_else(|| {
                let error = self.error(expr.span, format!("the constant `{word}` is not known"));
                error.with_help(
                    "a name can be given a value with --define=NAME=VALUE or -D NAME=VALUE",
                )
            }),
            ExprKind::Or(parts) => {
                parts.iter().try_fold(0, |all, part| Ok(all | self.number(part)?))
            }
            _ => Err(self.error(expr.span, "expected a number")),
        }
    }

    /// `[N]`
    fn bracketed(&self, expr: &Expr) -> Result<i64, ScriptError> {
        match &expr.kind {
            ExprKind::List(items) if items.len() == 1 => self.number(&items[0]),
            _ => Err(self.error(expr.span, "expected one number in brackets")),
        }
    }

    /// The target's descriptor. One that the script never opened is passed on as it is: the call tells.
    fn fd(&self, call: &ast::Call, at: usize) -> Result<i32, ScriptError> {
        let script_fd = self.int(call, at)? as i32;
        match self.sockets.live_fd(script_fd) {
            Some(live) => Ok(live),
            None => {
                let error = self.error(
                    self.arg(call, at)?.span,
                    format!("the descriptor {script_fd} is not open"),
                );
                Err(error.with_help(
                    "descriptors come from socket() and accept() further up in the script",
                ))
            }
        }
    }

    fn length(&self, expr: &Expr) -> Result<usize, ScriptError> {
        let len = self.number(expr)?;
        if (0..=MAX_BUFFER).contains(&len) {
            return Ok(len as usize);
        }
        Err(self.error(expr.span, format!("a length is between 0 and {MAX_BUFFER}")))
    }

    fn socket(&mut self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 3, 3)?;
        let family = match self.arg(call, 0)?.kind {
            ExprKind::Ellipsis => self.config.socket_family(),
            _ => self.int(call, 0)? as i32,
        };
        let (ty, protocol) = (self.int(call, 1)? as i32, self.int(call, 2)? as i32);
        let ip_protocol = match (protocol, ty & 0xf) {
            (0, 1) => 6,
            (0, 2) => 17,
            (p, _) => u8::try_from(p).unwrap_or(255),
        };
        let check = Check::NewSocket { protocol: ip_protocol };
        Ok(Prepared { call: Call::Socket { family, ty, protocol }, check })
    }

    /// `...` is the run's own address; a number is a bare address family; a structure is itself.
    fn address(
        &self,
        call: &ast::Call,
        at: usize,
        ip: IpAddr,
        port: u16,
    ) -> Result<SockAddr, CallError> {
        let expr = self.arg(call, at)?;
        match &expr.kind {
            ExprKind::Ellipsis => Ok(SocketAddr::new(ip, port).into()),
            ExprKind::Struct(_) => {
                let port = match expr.field("sin_port").map(|e| &e.kind) {
                    Some(ExprKind::Htons(port)) => *port,
                    _ => {
                        return Err(self.error(expr.span, "sin_port has to be htons(PORT)").into());
                    }
                };
                match expr.field("sin_addr").map(|e| &e.kind) {
                    Some(ExprKind::Address(ip)) => Ok(SocketAddr::new(*ip, port).into()),
                    _ => Err(self
                        .error(expr.span, "sin_addr has to be inet_addr(\"ADDRESS\")")
                        .into()),
                }
            }
            _ => Ok(match self.number(expr)? {
                0 => SockAddr::Unspec,
                family => SockAddr::Other(family as u16),
            }),
        }
    }

    fn bound(&mut self, call: &ast::Call, addr: SockAddr) -> Result<(), ScriptError> {
        let fd = self.int(call, 0)? as i32;
        if let (Some(socket), Some(addr)) = (self.sockets.by_script_fd(fd), addr.inet()) {
            socket.local_port = Some(addr.port());
        }
        Ok(())
    }

    /// What connect() and the sends that connect change before they are made.
    fn connecting(&mut self, call: &ast::Call, addr: SockAddr) -> Result<(), ScriptError> {
        let fd = self.int(call, 0)? as i32;
        let Some(socket) = self.sockets.by_script_fd(fd) else { return Ok(()) };
        match addr.inet() {
            None if addr == SockAddr::Unspec => socket.state = State::New,
            Some(to) if socket.state == State::New => {
                socket.state = State::Connecting;
                // What a mapped address names is on the wire as IPv4.
                socket.remote = to.ip().to_canonical();
                socket.remote_port = Some(to.port());
            }
            _ => {}
        }
        Ok(())
    }

    fn ioctl(&mut self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 2, 3)?;
        let request = self.int(call, 1)? as u32;
        let check = match call.args.get(2) {
            Some(expr) => Check::Stored(self.bracketed(expr)?),
            None => Check::Value,
        };
        Ok(Prepared { call: Call::Ioctl { fd: self.fd(call, 0)?, request }, check })
    }

    fn receive(&mut self, call: &ast::Call) -> Result<Prepared, CallError> {
        let fd = self.fd(call, 0)?;
        let value = |call| Ok(Prepared { call, check: Check::Value });
        match call.name.as_str() {
            "read" => {
                self.args(call, 3, 3)?;
                value(Call::Read { fd, len: self.length(self.arg(call, 2)?)? })
            }
            "readv" => {
                self.args(call, 3, 3)?;
                value(Call::Readv { fd, len: self.vector(self.arg(call, 1)?)?.iter().sum() })
            }
            "recv" | "recvfrom" => {
                let count = if call.name == "recv" { 4 } else { 6 };
                self.args(call, count, count)?;
                let (len, flags) = (self.length(self.arg(call, 2)?)?, self.int(call, 3)? as i32);
                value(Call::Recvfrom { fd, len, flags })
            }
            _ => {
                self.args(call, 3, 3)?;
                let message = self.arg(call, 1)?;
                let len = self.message_len(message)?;
                let control = self.control(message)?;
                let controllen = message::space(&control);
                let expected = self.number(self.member(message, "msg_flags")?)? as i32;
                let flags = self.int(call, 2)? as i32;
                Ok(Prepared {
                    call: Call::Recvmsg { fd, len, controllen, flags },
                    check: Check::Message { flags: expected, control },
                })
            }
        }
    }

    fn send(&mut self, call: &ast::Call) -> Result<Prepared, CallError> {
        let fd = self.fd(call, 0)?;
        let value = |call| Ok(Prepared { call, check: Check::Value });
        let zeros = |len: usize| Arc::new(vec![0; len]);
        match call.name.as_str() {
            "write" => {
                self.args(call, 3, 3)?;
                value(Call::Write { fd, data: zeros(self.length(self.arg(call, 2)?)?) })
            }
            "writev" => {
                self.args(call, 3, 3)?;
                let iov = self.vector(self.arg(call, 1)?)?;
                value(Call::Writev { fd, data: zeros(iov.iter().sum()), iov })
            }
            "send" => {
                self.args(call, 4, 4)?;
                let (len, flags) = (self.length(self.arg(call, 2)?)?, self.int(call, 3)? as i32);
                value(Call::Sendto { fd, data: zeros(len), flags, addr: None })
            }
            "sendto" => {
                self.args(call, 6, 6)?;
                let (len, flags) = (self.length(self.arg(call, 2)?)?, self.int(call, 3)? as i32);
                let addr =
                    self.address(call, 4, self.config.connect_ip(), self.config.connect_port)?;
                self.connecting(call, addr)?;
                value(Call::Sendto { fd, data: zeros(len), flags, addr: Some(addr) })
            }
            _ => {
                self.args(call, 3, 3)?;
                let message = self.arg(call, 1)?;
                let iov = self.vector(self.member(message, "msg_iov")?)?;
                let flags = self.int(call, 2)? as i32;
                let addr =
                    SocketAddr::new(self.config.connect_ip(), self.config.connect_port).into();
                self.connecting(call, addr)?;
                value(Call::Sendmsg {
                    fd,
                    data: zeros(iov.iter().sum()),
                    iov,
                    control: self.control_to_send(message)?,
                    flags,
                    addr: Some(addr),
                })
            }
        }
    }

    fn member<'b>(&self, of: &'b Expr, name: &str) -> Result<&'b Expr, ScriptError> {
        of.field(name)
            .ok_or_else(|| self.error(of.span, format!("the structure has no member `{name}`")))
    }

    fn message_len(&self, message: &Expr) -> Result<usize, ScriptError> {
        Ok(self.vector(self.member(message, "msg_iov")?)?.iter().sum())
    }

    /// The lengths in `[{..., N}, {..., N}]`.
    fn vector(&self, expr: &Expr) -> Result<Vec<usize>, ScriptError> {
        let ExprKind::List(items) = &expr.kind else {
            return Err(self.error(expr.span, "expected a list of buffers"));
        };
        let mut lengths = Vec::new();
        for item in items {
            let ExprKind::Struct(fields) = &item.kind else {
                return Err(self.error(item.span, "expected a buffer, as in {..., 1000}"));
            };
            let Some(len) = fields.get(1) else {
                return Err(self.error(item.span, "expected a buffer, as in {..., 1000}"));
            };
            lengths.push(self.length(&len.value)?);
            if lengths.iter().sum::<usize>() > MAX_BUFFER as usize {
                return Err(self.error(
                    expr.span,
                    format!("the buffers have more than {MAX_BUFFER} bytes together"),
                ));
            }
        }
        Ok(lengths)
    }

    fn setsockopt(&mut self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 5, 5)?;
        let (level, name) = (self.int(call, 1)? as i32, self.int(call, 2)? as i32);
        let expr = self.arg(call, 3)?;
        let mut value = match &expr.kind {
            ExprKind::Struct(_) if expr.field("onoff").is_some() => {
                let part = |member| {
                    Ok::<_, ScriptError>(
                        (self.number(self.member(expr, member)?)? as i32).to_ne_bytes(),
                    )
                };
                [part("onoff")?, part("linger")?].concat()
            }
            ExprKind::Str(parts) => self.bytes(parts, expr)?,
            ExprKind::Address(IpAddr::V4(ip)) => ip.octets().to_vec(),
            ExprKind::Address(IpAddr::V6(ip)) => ip.octets().to_vec(),
            _ => (self.bracketed(expr)? as i32).to_ne_bytes().to_vec(),
        };
        let len = self.length(self.arg(call, 4)?)?.min(1 << 16);
        value.resize(len, 0);
        Ok(Prepared {
            call: Call::Setsockopt { fd: self.fd(call, 0)?, level, name, value },
            check: Check::Value,
        })
    }

    fn bytes(&self, parts: &[String], expr: &Expr) -> Result<Vec<u8>, ScriptError> {
        unescape(&parts.concat()).map_err(|message| self.error(expr.span, message))
    }

    fn getsockopt(&mut self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 5, 5)?;
        let (level, name) = (self.int(call, 1)? as i32, self.int(call, 2)? as i32);
        let expr = self.arg(call, 3)?;
        let value = match &expr.kind {
            ExprKind::Ellipsis => OptValue::Any,
            ExprKind::Str(parts) => OptValue::Bytes(self.bytes(parts, expr)?),
            _ => OptValue::Int(self.bracketed(expr)? as i32),
        };
        let len = self.bracketed(self.arg(call, 4)?)?.clamp(0, 1 << 16) as usize;
        Ok(Prepared {
            call: Call::Getsockopt { fd: self.fd(call, 0)?, level, name, len },
            check: Check::Opt { value, len },
        })
    }

    fn poll(&mut self, call: &ast::Call) -> Result<Prepared, CallError> {
        self.args(call, 3, 3)?;
        let list = self.arg(call, 0)?;
        let ExprKind::List(items) = &list.kind else {
            return Err(self
                .error(list.span, "expected a list of {fd=, events=, revents=}")
                .into());
        };
        let (mut fds, mut expected) = (Vec::new(), Vec::new());
        for item in items {
            let script_fd = self.number(self.member(item, "fd")?)? as i32;
            let fd = self.sockets.live_fd(script_fd).unwrap_or(script_fd);
            let events = self.number(self.member(item, "events")?)? as i16;
            expected.push(item.field("revents").map_or(Ok(0), |e| self.number(e))? as i16);
            fds.push(PollFd { fd, events, revents: 0 });
        }
        let timeout_ms = self.int(call, 2)? as i32;
        Ok(Prepared { call: Call::Poll { fds, timeout_ms }, check: Check::Poll(expected) })
    }
}
