//! sendmmsg(2) and recvmmsg(2) (Linux `__sys_sendmmsg()`, `do_recvmmsg()`, 5.15): several messages by one
//! call, which counts those that were done before one failed.

use super::calls::{Blocked, Outcome, received, sendmsg_of, wait_start};
use super::{Call, MmsgRoom, MmsgSend, Ret, TaskId};
use crate::Nanos;
use crate::errno::Errno;
use crate::fs::file::FilesId;
use crate::fs::{FileId, FileKind};
use crate::kernel::Kernel;
use crate::net::ipv4::af_inet::common_mut;
use crate::net::ipv4::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use crate::net::socket::{sock_recvmsg, sock_sendmsg, sockfd_lookup_light};
use crate::uapi::{MSG_DONTWAIT, MSG_OOB, MSG_WAITFORONE};
use std::collections::VecDeque;

/// `UIO_MAXIOV`: more messages are not looked at.
const UIO_MAXIOV: usize = 1024;

/// A sendmmsg(2) under way.
#[derive(Clone, Debug)]
pub(crate) struct Sendmmsg {
    pub(crate) file: FileId,
    /// What is left to send; the first may be under way.
    pub(crate) left: VecDeque<SendMsg>,
    pub(crate) sent: usize,
}

/// A recvmmsg(2) under way.
#[derive(Clone, Debug)]
pub(crate) struct Recvmmsg {
    pub(crate) file: FileId,
    /// Rooms that are left to fill; the first may be partly filled.
    left: VecDeque<RecvMsg>,
    pub(crate) got: Vec<Ret>,
    flags: i32,
    /// When no further message is taken; looked at only after each, as Linux does.
    deadline: Option<Nanos>,
}

/// Starts one of the two calls.
///
/// # Errors
/// EBADF, ENOTSOCK, the socket's pending error, and those of the first message.
pub(super) fn begin(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    call: Call,
) -> Result<Outcome, Errno> {
    let blocked = match call {
        Call::Sendmmsg { fd, msgs, flags } => Blocked::Sendmmsg(Box::new(Sendmmsg {
            file: sockfd_lookup_light(k, files, fd)?,
            left: sends(msgs, flags)?,
            sent: 0,
        })),
        Call::Recvmmsg { fd, rooms, flags, timeout } => {
            let file = sockfd_lookup_light(k, files, fd)?;
            pending_error(k, file)?;
            let deadline = timeout.map(|t| k.net.time.now().saturating_add(t));
            let left = rooms.into_iter().take(UIO_MAXIOV).map(|room| receive(room, flags));
            let (left, got) = (left.collect(), Vec::new());
            Blocked::Recvmmsg(Box::new(Recvmmsg { file, left, got, flags, deadline }))
        }
        _ => return Err(Errno::ENOSYS),
    };
    Ok(wait_start(k, task, files, blocked))
}

fn sends(msgs: Vec<MmsgSend>, flags: i32) -> Result<VecDeque<SendMsg>, Errno> {
    let one = |m: MmsgSend| {
        let msg =
            SendMsg { data: m.data, iov: m.iov, control: m.control, flags, ..SendMsg::default() };
        sendmsg_of(msg, m.addr, false)
    };
    msgs.into_iter().take(UIO_MAXIOV).map(one).collect()
}

fn receive(room: MmsgRoom, flags: i32) -> RecvMsg {
    RecvMsg {
        len: room.len,
        controllen: room.controllen,
        flags: flags & !MSG_WAITFORONE,
        nonblock: flags & MSG_DONTWAIT != 0,
        ..RecvMsg::default()
    }
}

/// An error that waits is told before anything is read (`sock_error`).
fn pending_error(k: &mut Kernel, file: FileId) -> Result<(), Errno> {
    match k.fs.file(file).map(|f| f.kind) {
        Some(FileKind::Socket(sock)) => {
            common_mut(&mut k.socks, sock.sk).map_or(Ok(()), |sk| sk.sock_error())
        }
        _ => Err(Errno::ENOTSOCK),
    }
}

/// Sends on, first or after a wake-up. `timed_out`: nothing waits any more.
pub(super) fn try_sendmmsg(k: &mut Kernel, call: &mut Sendmmsg, timed_out: bool) -> IoResult<Ret> {
    while let Some(msg) = call.left.front_mut() {
        msg.nonblock |= timed_out;
        match sock_sendmsg(k, call.file, msg) {
            Ok(Progress::Done(_)) => call.sent += 1,
            Ok(Progress::Wait) => return Ok(Progress::Wait),
            Err(e) if call.sent == 0 => return Err(e),
            Err(_) => break,
        }
        call.left.pop_front();
    }
    Ok(Progress::Done(Ret::Int(call.sent as i64)))
}

/// Reads on, first or after a wake-up. `timed_out`: nothing waits any more.
pub(super) fn try_recvmmsg(k: &mut Kernel, call: &mut Recvmmsg, timed_out: bool) -> IoResult<Ret> {
    while let Some(msg) = call.left.front_mut() {
        msg.nonblock |= timed_out || (call.flags & MSG_WAITFORONE != 0 && !call.got.is_empty());
        match sock_recvmsg(k, call.file, msg) {
            Ok(Progress::Done(n)) => {
                let urgent = msg.msg_flags & MSG_OOB != 0;
                call.got.push(received(msg, n));
                call.left.pop_front();
                if urgent || call.deadline.is_some_and(|at| k.net.time.now() >= at) {
                    break;
                }
            }
            Ok(Progress::Wait) => return Ok(Progress::Wait),
            Err(e) if call.got.is_empty() => return Err(e),
            Err(e) => {
                keep_error(k, call.file, e);
                break;
            }
        }
    }
    Ok(Progress::Done(Ret::Messages(std::mem::take(&mut call.got))))
}

/// An error behind messages that were read is told by the next call.
fn keep_error(k: &mut Kernel, file: FileId, error: Errno) {
    if let Some(FileKind::Socket(sock)) = k.fs.file(file).map(|f| f.kind)
        && let Some(sk) = common_mut(&mut k.socks, sock.sk)
        && error != Errno::EAGAIN
    {
        sk.sk_err = Some(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::BootConfig;
    use crate::profile::{Profile, Version};
    use crate::syscalls::{Fd, SockAddr};
    use crate::uapi::{AF_INET, SOCK_DGRAM};
    use std::sync::Arc;

    fn socket(k: &mut Kernel, task: TaskId) -> Fd {
        let family = AF_INET.into();
        match k.syscall(task, Call::Socket { family, ty: SOCK_DGRAM, protocol: 0 }) {
            Some(Ok(Ret::Int(fd))) => fd as Fd,
            other => panic!("no socket: {other:?}"),
        }
    }

    #[test]
    fn a_batch_arrives_as_it_was_sent_and_an_error_waits_behind_it() {
        let mut k = Kernel::boot(&BootConfig::new(Profile::new(Version::V5_15), Vec::new()));
        let task = k.task_new();
        let (from, to) = (socket(&mut k, task), socket(&mut k, task));
        let addr = SockAddr::In { addr: [127, 0, 0, 1].into(), port: 4000 };
        assert_eq!(k.syscall(task, Call::Bind { fd: to, addr }), Some(Ok(Ret::Int(0))));
        let msg = |len: usize, addr| MmsgSend {
            data: Arc::new(vec![7; len]),
            iov: Vec::new(),
            control: Vec::new(),
            addr,
        };
        // The third has nowhere to go: two are sent.
        let msgs = vec![msg(10, Some(addr)), msg(20, Some(addr)), msg(30, None)];
        let call = Call::Sendmmsg { fd: from, msgs, flags: 0 };
        assert_eq!(k.syscall(task, call), Some(Ok(Ret::Int(2))));
        let rooms = vec![MmsgRoom { len: 15, controllen: 0 }; 4];
        let call = Call::Recvmmsg { fd: to, rooms, flags: MSG_WAITFORONE, timeout: None };
        let Some(Ok(Ret::Messages(got))) = k.syscall(task, call) else { panic!("nothing came") };
        let sizes: Vec<_> = got.iter().map(Ret::value).collect();
        assert_eq!(sizes, [10, 15]);
    }
}
