//! What a call returned against what the script expects.

use reference_stack::Errno;
use reference_stack::syscalls::{EpollEvent, Ret, SysResult};

use super::files::WantEvent;
use super::{Calls, Check, OptValue};
use crate::run::connection::{Socket, State};
use crate::run::constants;
use crate::run::matcher::Mismatch;
use crate::script::ScriptError;
use crate::script::ast::{self, ExprKind};

/// `Err`: the script is wrong; `Ok(Err(..))`: the result is another one than expected.
pub(crate) type Checked = Result<Result<(), Mismatch>, ScriptError>;

fn mismatch(
    field: &'static str,
    expected: impl ToString,
    got: impl ToString,
) -> Result<(), Mismatch> {
    Err(Mismatch { layer: "syscall", field, expected: expected.to_string(), got: got.to_string() })
}

impl Calls<'_> {
    /// Compares what a call returned, and takes over what it changed.
    pub(crate) fn check(&mut self, call: &ast::Call, check: &Check, result: &SysResult) -> Checked {
        // An expression of `...` as the result: whatever comes.
        let expected = match call.result.kind {
            ExprKind::Ellipsis => None,
            _ => Some(self.number(&call.result)?),
        };
        let is_fd = matches!(check, Check::NewSocket { .. } | Check::Accepted | Check::NewFd);
        let value = match (result, check) {
            (Err(_), _) => -1,
            (Ok(_), Check::Stored(_)) => 0,
            (Ok(ret), _) => ret.value(),
        };
        let fits = match expected {
            None => true,
            Some(fd) if is_fd && fd >= 0 => value >= 0,
            Some(n) => n == value,
        };
        if !fits {
            let got = match result {
                Err(errno) => format!("-1 {errno}"),
                Ok(_) => value.to_string(),
            };
            let name = call.errno.as_deref().map_or(String::new(), |e| format!(" {e}"));
            return Ok(mismatch("result", format!("{}{name}", expected.unwrap_or_default()), got));
        }
        if let Err(m) = self.check_errno(call, result)? {
            return Ok(Err(m));
        }
        let Ok(ret) = result else { return Ok(Ok(())) };
        if is_fd {
            self.new_fd(call, check, expected, value as i32)?;
        }
        Ok(self.take_over(check, ret))
    }

    fn check_errno(&self, call: &ast::Call, result: &SysResult) -> Checked {
        let Some(name) = &call.errno else { return Ok(Ok(())) };
        let Some(number) = constants::value(name).and_then(|n| i32::try_from(n).ok()) else {
            return Err(self.error(call.errno_span, format!("the errno `{name}` is not known")));
        };
        Ok(match result {
            Err(errno) if errno.raw() == number => Ok(()),
            Err(errno) => mismatch("errno", Errno::from_raw(number), errno),
            Ok(_) => mismatch("errno", name, "success"),
        })
    }

    /// What the call changed in the script's sockets, and what it returned besides its value.
    fn take_over(&mut self, check: &Check, ret: &Ret) -> Result<(), Mismatch> {
        let live = ret.value() as i32;
        match (check, ret) {
            (Check::NewSocket { protocol }, _) => {
                let addresses = &self.config.addresses;
                let mut socket = Socket::new(*protocol, addresses.local, addresses.remote);
                socket.live_fd = Some(live);
                self.sockets.add(socket);
            }
            (Check::Accepted, Ret::Accepted { peer, .. }) => {
                let port = peer.inet().map(|peer| peer.port());
                let is_child = |s: &&mut Socket| {
                    s.live_fd.is_none() && s.state != State::New && s.remote_port == port
                };
                if let Some(child) = self.sockets.list.iter_mut().find(is_child) {
                    child.live_fd = Some(live);
                }
            }
            (Check::Listen { script_fd }, _) => {
                if let Some(socket) = self.sockets.by_script_fd(*script_fd) {
                    socket.state = State::Listening;
                }
            }
            (Check::Close { script_fd }, _) => {
                if let Some(socket) = self.sockets.by_script_fd(*script_fd) {
                    socket.live_fd = None;
                }
                self.sockets.unmap_fd(*script_fd);
            }
            (Check::Opt { value, len }, Ret::Opt(bytes)) => return compare_opt(value, *len, bytes),
            (Check::Poll(expected), Ret::Poll { fds, .. }) => {
                let got: Vec<i16> = fds.iter().map(|f| f.revents).collect();
                if *expected != got {
                    return mismatch("revents", poll_text(expected), poll_text(&got));
                }
            }
            (Check::Message { flags, control }, Ret::Data { msg_flags, control: got, .. }) => {
                if flags != msg_flags {
                    return mismatch("msg_flags", format!("{flags:#x}"), format!("{msg_flags:#x}"));
                }
                return self.check_control(control, got);
            }
            (Check::Event(want), Ret::Epoll(events)) => return compare_event(want, events.first()),
            (Check::Pipe(script), Ret::Pipe(live)) => {
                self.sockets.map_fd(script[0], live[0]);
                self.sockets.map_fd(script[1], live[1]);
            }
            (Check::Stored(expected), ret) if *expected != ret.value() => {
                return mismatch("stored value", expected, ret.value());
            }
            _ => {}
        }
        Ok(())
    }

    /// Maps a new descriptor. Only accept() may take a number that is in use, as upstream has it.
    fn new_fd(
        &mut self,
        call: &ast::Call,
        check: &Check,
        expected: Option<i64>,
        live: i32,
    ) -> Result<(), ScriptError> {
        let script_fd = expected.map_or(live, |n| n as i32);
        if *check != Check::Accepted && self.sockets.live_fd(script_fd).is_some() {
            let message = format!("the descriptor {script_fd} is in use already");
            return Err(self.error(call.result.span, message));
        }
        self.sockets.map_fd(script_fd, live);
        Ok(())
    }
}

fn compare_opt(expected: &OptValue, len: usize, bytes: &[u8]) -> Result<(), Mismatch> {
    if bytes.len() != len {
        return mismatch("optlen", len, bytes.len());
    }
    match expected {
        OptValue::Any => Ok(()),
        OptValue::Bytes(want) if want == bytes => Ok(()),
        OptValue::Bytes(want) => mismatch("optval", want.escape_ascii(), bytes.escape_ascii()),
        OptValue::Int(want) => {
            let mut word = [0; 4];
            let have = bytes.len().min(4);
            word[..have].copy_from_slice(&bytes[..have]);
            let got = i32::from_ne_bytes(word);
            if got == *want { Ok(()) } else { mismatch("optval", want, got) }
        }
    }
}

/// Without an event its members are 0, as upstream's buffer is.
fn compare_event(want: &WantEvent, got: Option<&EpollEvent>) -> Result<(), Mismatch> {
    let got = got.copied().unwrap_or(EpollEvent { events: 0, data: 0 });
    if want.events != got.events {
        return mismatch("events", format!("{:#x}", want.events), format!("{:#x}", got.events));
    }
    if want.data != got.data & want.mask {
        return mismatch("epoll_data", want.data, got.data & want.mask);
    }
    Ok(())
}

fn poll_text(events: &[i16]) -> String {
    const NAMES: &[(&str, i16)] = &[
        ("POLLIN", 0x1),
        ("POLLPRI", 0x2),
        ("POLLOUT", 0x4),
        ("POLLERR", 0x8),
        ("POLLHUP", 0x10),
        ("POLLNVAL", 0x20),
        ("POLLRDNORM", 0x40),
        ("POLLWRNORM", 0x100),
        ("POLLRDHUP", 0x2000),
    ];
    let one = |e: &i16| {
        let names: Vec<&str> =
            NAMES.iter().filter(|(_, bit)| e & bit != 0).map(|(name, _)| *name).collect();
        if names.is_empty() { "0".to_string() } else { names.join("|") }
    };
    events.iter().map(one).collect::<Vec<_>>().join(", ")
}
