//! Dispatch: decodes a call, runs it, and keeps one that has to wait as plain data.

use super::files::{try_epoll_wait, try_select, try_splice};
use super::mmsg::{self, Recvmmsg, Sendmmsg};
use super::{Call, Fd, FdSets, PollFd, Ret, SockAddr, SysResult, TaskId};
use crate::errno::Errno;
use crate::fs::file::FilesId;
use crate::fs::read_write::{ksys_read, ksys_write};
use crate::fs::select::{do_poll, poll_queues, select_queues};
use crate::fs::splice::Splice;
use crate::fs::wait::{WaitKey, WaitKeys};
use crate::fs::{FileId, FileKind};
use crate::kernel::Kernel;
use crate::net::core::sock::{MAX_SCHEDULE_TIMEOUT, SockId};
use crate::net::ipv4::af_inet;
use crate::net::ipv4::tcp::{tcp_adjudge_to_death, tcp_lingering};
use crate::net::ipv4::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use crate::net::socket::{
    __sys_accept4_file, __sys_bind, __sys_connect_file, __sys_listen, __sys_socket, sock_recvmsg,
    sock_sendmsg, sockfd_lookup_light, with_socket,
};
use crate::time::{HrtimerId, NSEC_PER_MSEC, TimerId};
use crate::uapi::{F_GETFD, F_GETFL, F_SETFD, F_SETFL, MSG_DONTWAIT, MSG_FASTOPEN, O_NONBLOCK};
use reference_stack_macros::traced;

/// A call that waits: everything it needs to be tried again.
#[derive(Clone, Debug)]
pub(crate) enum Blocked {
    Connect {
        file: FileId,
        addr: SockAddr,
    },
    Accept {
        file: FileId,
        flags: i32,
    },
    Write {
        file: FileId,
        msg: SendMsg,
    },
    Read {
        file: FileId,
        msg: RecvMsg,
    },
    Send {
        file: FileId,
        msg: SendMsg,
    },
    Recv {
        file: FileId,
        msg: RecvMsg,
    },
    Poll {
        fds: Vec<PollFd>,
    },
    Select {
        sets: FdSets,
    },
    EpollWait {
        file: FileId,
        max: usize,
    },
    Splice(Splice),
    Sendmmsg(Box<Sendmmsg>),
    Recvmmsg(Box<Recvmmsg>),
    /// close(2) under SO_LINGER, after the FIN was queued.
    Close {
        sk: SockId,
    },
}

/// What a try came to.
pub(crate) enum Outcome {
    Done(SysResult),
    Wait(Blocked),
}

impl Blocked {
    /// The files that the call holds a reference to while it waits.
    pub(crate) fn files(&self) -> [Option<FileId>; 2] {
        match self {
            Self::Connect { file, .. }
            | Self::Accept { file, .. }
            | Self::Write { file, .. }
            | Self::Read { file, .. }
            | Self::Send { file, .. }
            | Self::Recv { file, .. }
            | Self::EpollWait { file, .. } => [Some(*file), None],
            Self::Splice(splice) => [Some(splice.from), Some(splice.to)],
            Self::Sendmmsg(call) => [Some(call.file), None],
            Self::Recvmmsg(call) => [Some(call.file), None],
            Self::Poll { .. } | Self::Select { .. } | Self::Close { .. } => [None, None],
        }
    }

    /// The wait queues whose wake-up may end the wait.
    pub(crate) fn queues(&self, k: &Kernel, files: FilesId) -> WaitKeys {
        match self {
            Self::Poll { fds } => poll_queues(k, files, fds),
            Self::Select { sets } => select_queues(k, files, sets),
            Self::Splice(splice) => splice.queues(k),
            Self::Close { sk } => std::iter::once(WaitKey::Sock(*sk)).collect(),
            other => {
                let file = other.files()[0].and_then(|f| k.fs.file(f));
                file.and_then(|f| WaitKey::of(&f.kind)).into_iter().collect()
            }
        }
    }

    /// The result that interrupts the wait (a signal without restart).
    pub(crate) fn interrupted(&self) -> SysResult {
        match self {
            Self::Write { msg, .. } | Self::Send { msg, .. } if msg.taken() > 0 => {
                Ok(Ret::Int(msg.taken() as i64))
            }
            Self::Read { msg, .. } | Self::Recv { msg, .. } if !msg.buf.is_empty() => {
                Ok(received(&mut msg.clone(), msg.buf.len()))
            }
            Self::Splice(splice) if splice.moved() > 0 => Ok(Ret::Int(splice.moved() as i64)),
            Self::Sendmmsg(call) if call.sent > 0 => Ok(Ret::Int(call.sent as i64)),
            Self::Recvmmsg(call) if !call.got.is_empty() => Ok(Ret::Messages(call.got.clone())),
            _ => Err(Errno::EINTR),
        }
    }
}

/// Starts a call of a task.
pub(crate) fn start(k: &mut Kernel, task: TaskId, files: FilesId, call: Call) -> Outcome {
    match begin(k, task, files, call) {
        Ok(outcome) => outcome,
        Err(e) => Outcome::Done(Err(e)),
    }
}

pub(super) fn done(ret: Ret) -> Result<Outcome, Errno> {
    Ok(Outcome::Done(Ok(ret)))
}

fn begin(k: &mut Kernel, task: TaskId, files: FilesId, call: Call) -> Result<Outcome, Errno> {
    match call {
        Call::Socket { family, ty, protocol } => {
            done(Ret::Int(sys_socket(k, files, family, ty, protocol)?.into()))
        }
        Call::Bind { fd, addr } => sys_bind(k, files, fd, addr).and_then(|()| done(Ret::Int(0))),
        Call::Listen { fd, backlog } => {
            sys_listen(k, files, fd, backlog).and_then(|()| done(Ret::Int(0)))
        }
        Call::Connect { fd, addr } => sys_connect(k, task, files, fd, addr),
        Call::Accept4 { fd, flags } => sys_accept(k, task, files, fd, flags),
        Call::Fault(inner) => begin_io(k, task, files, *inner, true),
        Call::Write { .. }
        | Call::Writev { .. }
        | Call::Read { .. }
        | Call::Readv { .. }
        | Call::Sendto { .. }
        | Call::Sendmsg { .. }
        | Call::Recvfrom { .. }
        | Call::Recvmsg { .. } => begin_io(k, task, files, call, false),
        Call::Poll { fds, timeout_ms } => Ok(sys_poll(k, task, files, fds, timeout_ms)),
        Call::Close { fd } => sys_close(k, task, files, fd),
        Call::Shutdown { .. }
        | Call::Setsockopt { .. }
        | Call::Getsockopt { .. }
        | Call::Getsockname { .. }
        | Call::Getpeername { .. }
        | Call::Fcntl { .. }
        | Call::Ioctl { .. }
        | Call::Dup { .. } => done(at_once(k, files, call)?),
        Call::Sendmmsg { .. } | Call::Recvmmsg { .. } => mmsg::begin(k, task, files, call),
        other => super::files::begin(k, task, files, other),
    }
}

/// The calls that read or write. `fault`: the caller's buffer has the address NULL.
fn begin_io(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    call: Call,
    fault: bool,
) -> Result<Outcome, Errno> {
    let send = |k: &mut Kernel, fd, addr, msg: SendMsg| {
        let file = sockfd_lookup_light(k, files, fd)?;
        let msg = sendmsg_of(msg, addr, fault)?;
        Ok(wait_start(k, task, files, Blocked::Send { file, msg }))
    };
    let receive = |k: &mut Kernel, fd, len, controllen, flags| {
        let file = sockfd_lookup_light(k, files, fd)?;
        let nonblock = flags & MSG_DONTWAIT != 0;
        let msg = RecvMsg { len, flags, nonblock, controllen, fault, ..RecvMsg::default() };
        Ok(wait_start(k, task, files, Blocked::Recv { file, msg }))
    };
    match call {
        // Where the caller's buffers end does not show in a stream or a datagram.
        Call::Write { fd, data } | Call::Writev { fd, data, iov: _ } => {
            sys_write(k, task, files, fd, SendMsg { data, fault, ..SendMsg::default() })
        }
        Call::Read { fd, len } | Call::Readv { fd, len } => {
            sys_read(k, task, files, fd, RecvMsg { len, fault, ..RecvMsg::default() })
        }
        Call::Sendto { fd, data, flags, addr } => {
            send(k, fd, addr, SendMsg { data, flags, ..SendMsg::default() })
        }
        Call::Sendmsg { fd, data, iov, control, flags, addr } => {
            send(k, fd, addr, SendMsg { data, iov, control, flags, ..SendMsg::default() })
        }
        Call::Recvfrom { fd, len, flags } => receive(k, fd, len, 0, flags),
        Call::Recvmsg { fd, len, controllen, flags } => receive(k, fd, len, controllen, flags),
        _ => Err(Errno::EFAULT),
    }
}

/// A message with its address as the protocols take it.
///
/// # Errors
/// EINVAL and EAFNOSUPPORT for an address of a family that cannot be sent to.
pub(super) fn sendmsg_of(
    msg: SendMsg,
    addr: Option<SockAddr>,
    fault: bool,
) -> Result<SendMsg, Errno> {
    let addr = match addr {
        Some(SockAddr::Unspec) if msg.flags & MSG_FASTOPEN != 0 => return Err(Errno::EOPNOTSUPP),
        Some(SockAddr::Unspec) => return Err(Errno::EINVAL),
        Some(SockAddr::Other(_)) => return Err(Errno::EAFNOSUPPORT),
        addr => addr.and_then(SockAddr::inet),
    };
    Ok(SendMsg { nonblock: msg.flags & MSG_DONTWAIT != 0, addr, fault, ..msg })
}

/// The calls that never wait.
fn at_once(k: &mut Kernel, files: FilesId, call: Call) -> Result<Ret, Errno> {
    match call {
        Call::Shutdown { fd, how } => {
            let file = sockfd_lookup_light(k, files, fd)?;
            with_socket(k, file, |socks, net, sock, _| {
                af_inet::inet_shutdown(socks, net, sock, how)
            })?;
            Ok(Ret::Int(0))
        }
        Call::Setsockopt { fd, level, name, value } => {
            let file = sockfd_lookup_light(k, files, fd)?;
            with_socket(k, file, |socks, net, sock, _| {
                crate::net::core::sockopt::sock_setsockopt(socks, net, sock, level, name, &value)
            })?;
            Ok(Ret::Int(0))
        }
        Call::Getsockopt { fd, level, name, len } => {
            let file = sockfd_lookup_light(k, files, fd)?;
            with_socket(k, file, |socks, net, sock, _| {
                crate::net::core::sockopt::sock_getsockopt(socks, net, sock, level, name, len)
            })
            .map(Ret::Opt)
        }
        Call::Getsockname { fd } | Call::Getpeername { fd } => {
            let peer = matches!(call, Call::Getpeername { .. });
            let file = sockfd_lookup_light(k, files, fd)?;
            with_socket(k, file, |socks, net, sock, _| {
                crate::net::socket::kernel_getname(socks, net, sock, peer.into())
            })
            .map(Ret::Addr)
        }
        Call::Fcntl { fd, cmd, arg } => sys_fcntl(k, files, fd, cmd, arg),
        Call::Ioctl { fd, request } => {
            let file = k.fs.fdget(files, fd)?;
            with_socket(k, file, |socks, net, sock, _| {
                af_inet::inet_ioctl(socks, net, sock, request)
            })
            .map_err(|e| if e == Errno::ENOTSOCK { Errno::ENOTTY } else { e })
            .map(Ret::Int)
        }
        Call::Dup { fd } => {
            let file = k.fs.fdget(files, fd)?;
            let new = crate::fs::file::__get_unused_fd_flags(&mut k.fs, files)?;
            k.fs.get_file(file);
            crate::fs::file::fd_install(&mut k.fs, files, new, file);
            Ok(Ret::Int(new.into()))
        }
        // begin() has taken every other call.
        _ => Err(Errno::ENOSYS),
    }
}

#[traced]
fn sys_socket(
    k: &mut Kernel,
    files: FilesId,
    family: i32,
    ty: i32,
    protocol: i32,
) -> Result<Fd, Errno> {
    __sys_socket(k, files, family, ty, protocol)
}

#[traced]
fn sys_bind(k: &mut Kernel, files: FilesId, fd: Fd, addr: SockAddr) -> Result<(), Errno> {
    __sys_bind(k, files, fd, addr)
}

#[traced]
fn sys_listen(k: &mut Kernel, files: FilesId, fd: Fd, backlog: i32) -> Result<(), Errno> {
    __sys_listen(k, files, fd, backlog)
}

#[traced]
fn sys_connect(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    fd: Fd,
    addr: SockAddr,
) -> Result<Outcome, Errno> {
    __sys_connect(k, task, files, fd, addr)
}

#[traced]
fn __sys_connect(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    fd: Fd,
    addr: SockAddr,
) -> Result<Outcome, Errno> {
    let file = sockfd_lookup_light(k, files, fd)?;
    let addr = crate::net::socket::move_addr_to_kernel(addr);
    Ok(wait_start(k, task, files, Blocked::Connect { file, addr }))
}

#[traced]
fn sys_accept(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    fd: Fd,
    flags: i32,
) -> Result<Outcome, Errno> {
    __sys_accept4(k, task, files, fd, flags)
}

#[traced]
fn __sys_accept4(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    fd: Fd,
    flags: i32,
) -> Result<Outcome, Errno> {
    let file = sockfd_lookup_light(k, files, fd)?;
    Ok(wait_start(k, task, files, Blocked::Accept { file, flags }))
}

#[traced]
fn sys_write(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    fd: Fd,
    msg: SendMsg,
) -> Result<Outcome, Errno> {
    let file = k.fs.fdget(files, fd)?;
    Ok(wait_start(k, task, files, Blocked::Write { file, msg }))
}

#[traced]
fn sys_read(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    fd: Fd,
    msg: RecvMsg,
) -> Result<Outcome, Errno> {
    let file = k.fs.fdget(files, fd)?;
    Ok(wait_start(k, task, files, Blocked::Read { file, msg }))
}

fn sys_fcntl(k: &mut Kernel, files: FilesId, fd: Fd, cmd: i32, arg: i32) -> Result<Ret, Errno> {
    let file = k.fs.fdget(files, fd)?;
    let file = k.fs.file_mut(file).ok_or(Errno::EBADF)?;
    match cmd {
        F_GETFL => Ok(Ret::Int(file.f_flags.into())),
        F_SETFL => {
            file.f_flags = (file.f_flags & !O_NONBLOCK) | (arg & O_NONBLOCK);
            Ok(Ret::Int(0))
        }
        // Close-on-exec means nothing where nothing is executed.
        F_GETFD | F_SETFD => Ok(Ret::Int(0)),
        _ => Err(Errno::EINVAL),
    }
}

fn sys_poll(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    mut fds: Vec<PollFd>,
    timeout_ms: i32,
) -> Outcome {
    let ready = do_poll(k, files, &mut fds);
    if ready > 0 || timeout_ms == 0 {
        return Outcome::Done(Ok(Ret::Poll { ready, fds }));
    }
    if let Ok(ms) = u64::try_from(timeout_ms) {
        k.net.hrtimer_start(HrtimerId::Task(task), ms * NSEC_PER_MSEC);
    }
    Outcome::Wait(Blocked::Poll { fds })
}

fn sys_close(k: &mut Kernel, task: TaskId, files: FilesId, fd: Fd) -> Result<Outcome, Errno> {
    let file = k.fs.take_fd(files, fd)?;
    match k.fs.fput(file).map(|f| f.kind) {
        Some(FileKind::Socket(sock)) => Ok(close_socket(k, task, sock)),
        _ => done(Ret::Int(0)),
    }
}

/// `sock_close`: releases the socket, and lingers where that was asked for.
fn close_socket(k: &mut Kernel, task: TaskId, mut sock: crate::net::socket::Socket) -> Outcome {
    let linger = k.socks.tcp(sock.sk).and_then(|tp| tp.sk.linger).filter(|&t| t > 0);
    let released = af_inet::inet_release(&mut k.socks, &mut k.net, &mut sock);
    if let Err(e) = released {
        return Outcome::Done(Err(e));
    }
    match linger {
        Some(time) if tcp_lingering(&k.socks, sock.sk) => {
            if time < MAX_SCHEDULE_TIMEOUT {
                let expires = k.net.jiffies().saturating_add(time);
                k.net.mod_timer(TimerId::Task(task), expires);
            }
            Outcome::Wait(Blocked::Close { sk: sock.sk })
        }
        _ => Outcome::Done(Ok(Ret::Int(0))),
    }
}

/// First try of a call that may wait: arms its time-out if it does.
pub(super) fn wait_start(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    mut call: Blocked,
) -> Outcome {
    if let Some(result) = resume(k, files, &mut call, false) {
        return Outcome::Done(result);
    }
    call.files().into_iter().flatten().for_each(|f| k.fs.get_file(f));
    if let Some(time) = timeout_of(k, &call) {
        let expires = k.net.jiffies().saturating_add(time);
        k.net.mod_timer(TimerId::Task(task), expires);
    }
    Outcome::Wait(call)
}

/// `SO_RCVTIMEO` or `SO_SNDTIMEO` of the call's socket, jiffies; `None`: for ever.
fn timeout_of(k: &Kernel, blocked: &Blocked) -> Option<u64> {
    let Some(FileKind::Socket(sock)) =
        blocked.files()[0].and_then(|f| k.fs.file(f)).map(|f| f.kind)
    else {
        return None;
    };
    let sk = match (k.socks.tcp(sock.sk), k.socks.udp(sock.sk)) {
        (Some(tp), _) => &tp.sk,
        (_, Some(up)) => &up.sk,
        _ => return None,
    };
    let time = match blocked {
        Blocked::Connect { .. }
        | Blocked::Write { .. }
        | Blocked::Send { .. }
        | Blocked::Sendmmsg(_) => sk.sk_sndtimeo,
        _ => sk.sk_rcvtimeo,
    };
    (time != MAX_SCHEDULE_TIMEOUT).then_some(time)
}

/// Tries a call, again or for the first time; `None`: it has to wait. `timed_out`: its time is
/// over, so it is to return what it has.
pub(crate) fn resume(
    k: &mut Kernel,
    files: FilesId,
    call: &mut Blocked,
    timed_out: bool,
) -> Option<SysResult> {
    match try_once(k, files, call, timed_out) {
        Ok(Progress::Done(ret)) => Some(Ok(ret)),
        Ok(Progress::Wait) => None,
        Err(e) => Some(Err(e)),
    }
}

fn try_once(k: &mut Kernel, files: FilesId, call: &mut Blocked, timed_out: bool) -> IoResult<Ret> {
    match call {
        Blocked::Connect { file, addr } => match __sys_connect_file(k, *file, *addr, timed_out) {
            // A connect whose SO_SNDTIMEO is over is in progress, not "already" so.
            Err(Errno::EALREADY) if timed_out => Err(Errno::EINPROGRESS),
            connected => connected.map(|p| p.map(|()| Ret::Int(0))),
        },
        Blocked::Accept { file, flags } => {
            let accepted = __sys_accept4_file(k, files, *file, *flags, timed_out)?;
            Ok(accepted.map(|(fd, peer)| Ret::Accepted { fd, peer }))
        }
        Blocked::Write { file, msg } => {
            msg.nonblock |= timed_out;
            Ok(ksys_write(k, *file, msg)?.map(Ret::count))
        }
        Blocked::Send { file, msg } => {
            msg.nonblock |= timed_out;
            Ok(sock_sendmsg(k, *file, msg)?.map(Ret::count))
        }
        Blocked::Read { file, msg } => {
            msg.nonblock |= timed_out;
            let read = ksys_read(k, *file, msg)?;
            Ok(read.map(|n| received(msg, n)))
        }
        Blocked::Recv { file, msg } => {
            msg.nonblock |= timed_out;
            let read = sock_recvmsg(k, *file, msg)?;
            Ok(read.map(|n| received(msg, n)))
        }
        Blocked::Poll { fds } => {
            let ready = do_poll(k, files, fds);
            if ready == 0 && !timed_out {
                return Ok(Progress::Wait);
            }
            Ok(Progress::Done(Ret::Poll { ready, fds: std::mem::take(fds) }))
        }
        Blocked::Select { sets } => try_select(k, files, sets, timed_out),
        Blocked::EpollWait { file, max } => Ok(try_epoll_wait(k, *file, *max, timed_out)),
        Blocked::Splice(splice) => try_splice(k, splice, timed_out),
        Blocked::Sendmmsg(call) => mmsg::try_sendmmsg(k, call, timed_out),
        Blocked::Recvmmsg(call) => mmsg::try_recvmmsg(k, call, timed_out),
        Blocked::Close { sk } => {
            if !timed_out && tcp_lingering(&k.socks, *sk) {
                return Ok(Progress::Wait);
            }
            tcp_adjudge_to_death(&mut k.socks, &mut k.net, *sk);
            Ok(Progress::Done(Ret::Int(0)))
        }
    }
}

/// What a receiving call returns: `len` is what it says, which MSG_TRUNC makes more than it took.
pub(super) fn received(msg: &mut RecvMsg, len: usize) -> Ret {
    let RecvMsg { buf, addr, msg_flags, control, .. } = std::mem::take(msg);
    Ret::Data { len, data: buf, addr: addr.map(SockAddr::from), msg_flags, control }
}
