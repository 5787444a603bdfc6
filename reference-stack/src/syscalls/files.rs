//! Dispatch of the calls on files other than sockets, and of those that wait for several files.

use super::calls::{Blocked, Outcome, done, wait_start};
use super::{Call, Ret, TaskId};
use crate::errno::Errno;
use crate::fs::eventpoll::{do_epoll_ctl, ep_send_events, epoll_wait_file};
use crate::fs::file::FilesId;
use crate::fs::select::do_select;
use crate::fs::splice::{Splice, begin_sendfile, begin_splice, begin_tee, do_splice};
use crate::fs::{FileId, FileKind, do_eventfd, do_pipe2, do_sys_open, epoll_create, ksys_dup3};
use crate::kernel::Kernel;
use crate::net::ipv4::af_inet::inet_release;
use crate::net::ipv4::tcp_sock::{IoResult, Progress};
use crate::syscalls::FdSets;
use crate::time::{HrtimerId, NSEC_PER_MSEC};

/// Starts a call that may wait.
pub(super) fn begin(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    call: Call,
) -> Result<Outcome, Errno> {
    let splice = match call {
        Call::EpollWait { epfd, maxevents, timeout_ms } => {
            let file = epoll_wait_file(k, files, epfd, maxevents)?;
            let max = maxevents as usize;
            let timeout = u64::try_from(timeout_ms).ok().map(|ms| ms * NSEC_PER_MSEC);
            return Ok(begin_timed(k, task, files, Blocked::EpollWait { file, max }, timeout));
        }
        Call::Select { sets, timeout } => {
            return Ok(begin_timed(k, task, files, Blocked::Select { sets }, timeout));
        }
        Call::Splice { fd_in, off_in, fd_out, off_out, len, flags } => {
            begin_splice(k, files, (fd_in, off_in), (fd_out, off_out), len, flags)?
        }
        Call::Tee { fd_in, fd_out, len, flags } => begin_tee(k, files, fd_in, fd_out, len, flags)?,
        Call::Sendfile { out_fd, in_fd, offset, count } => {
            Some(begin_sendfile(k, files, out_fd, in_fd, offset, count)?)
        }
        other => return done(at_once(k, files, other)?),
    };
    match splice {
        Some(splice) => Ok(wait_start(k, task, files, Blocked::Splice(splice))),
        None => done(Ret::Int(0)),
    }
}

/// A call with a time-out of its own, in nanoseconds; `None`: for ever.
fn begin_timed(
    k: &mut Kernel,
    task: TaskId,
    files: FilesId,
    mut call: Blocked,
    timeout: Option<u64>,
) -> Outcome {
    if let Some(result) = super::calls::resume(k, files, &mut call, timeout == Some(0)) {
        return Outcome::Done(result);
    }
    call.files().into_iter().flatten().for_each(|f| k.fs.get_file(f));
    if let Some(ns) = timeout {
        k.net.hrtimer_start(HrtimerId::Task(task), ns);
    }
    Outcome::Wait(call)
}

/// The calls that never wait.
fn at_once(k: &mut Kernel, files: FilesId, call: Call) -> Result<Ret, Errno> {
    let fd = match call {
        Call::EpollCreate { size } if size <= 0 => return Err(Errno::EINVAL),
        Call::EpollCreate { .. } => epoll_create(&mut k.fs, files, 0)?,
        Call::EpollCreate1 { flags } => epoll_create(&mut k.fs, files, flags)?,
        Call::Open { path, flags, .. } => do_sys_open(&mut k.fs, files, &path, flags)?,
        Call::Eventfd2 { initval, flags } => do_eventfd(&mut k.fs, files, initval, flags)?,
        Call::Pipe2 { flags } => return do_pipe2(&mut k.fs, files, flags).map(Ret::Pipe),
        Call::EpollCtl { epfd, op, fd, event } => {
            do_epoll_ctl(k, files, epfd, op, fd, event)?;
            0
        }
        Call::Dup3 { old, new, flags } => {
            if let Some(before) = ksys_dup3(&mut k.fs, files, old, new, flags)? {
                filp_close(k, before);
            }
            new
        }
        // Every other call has been taken before.
        _ => return Err(Errno::ENOSYS),
    };
    Ok(Ret::Int(fd.into()))
}

/// Gives a file's reference up, without anybody to hear of an error (`filp_close`).
fn filp_close(k: &mut Kernel, file: FileId) {
    if let Some(FileKind::Socket(mut sock)) = k.fs.fput(file).map(|f| f.kind) {
        let _ = inet_release(&mut k.socks, &mut k.net, &mut sock);
    }
}

/// Tries epoll_wait(2).
pub(super) fn try_epoll_wait(
    k: &mut Kernel,
    file: FileId,
    max: usize,
    timed_out: bool,
) -> Progress<Ret> {
    let events = ep_send_events(k, file, max);
    if events.is_empty() && !timed_out {
        return Progress::Wait;
    }
    Progress::Done(Ret::Epoll(events))
}

/// Tries select(2).
pub(super) fn try_select(
    k: &mut Kernel,
    files: FilesId,
    sets: &FdSets,
    timed_out: bool,
) -> IoResult<Ret> {
    let (ready, found) = do_select(k, files, sets)?;
    if ready == 0 && !timed_out {
        return Ok(Progress::Wait);
    }
    Ok(Progress::Done(Ret::Select { ready, sets: found }))
}

/// Tries splice(2) and its kin.
pub(super) fn try_splice(k: &mut Kernel, splice: &mut Splice, timed_out: bool) -> IoResult<Ret> {
    match do_splice(k, splice, timed_out)? {
        Progress::Wait if timed_out && splice.moved() > 0 => {
            Ok(Progress::Done(Ret::count(splice.moved())))
        }
        Progress::Wait if timed_out => Err(Errno::EAGAIN),
        moved => Ok(moved.map(Ret::count)),
    }
}
