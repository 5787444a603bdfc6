//! poll(2) and select(2) (Linux `fs/select.c`).

use super::eventfd::eventfd_poll;
use super::eventpoll::ep_eventpoll_poll;
use super::file::{FileId, FileKind, FilesId};
use super::pipe::pipe_poll;
use super::wait::{WaitKey, WaitKeys};
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::net::ipv4::af_inet::inet_poll;
use crate::syscalls::{Fd, FdSets, PollFd};
use crate::uapi::{
    POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND,
    POLLWRNORM,
};

/// `DEFAULT_POLLMASK`: files without a poll of their own are always ready.
const DEFAULT_POLLMASK: i16 = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
/// `POLLIN_SET`, `POLLOUT_SET`, `POLLEX_SET`: what the three sets of select(2) stand for.
const POLLIN_SET: i16 = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
const POLLOUT_SET: i16 = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
const POLLEX_SET: i16 = POLLPRI;

/// Which events hold on a file (`vfs_poll`).
pub(crate) fn vfs_poll(k: &mut Kernel, file: FileId) -> i16 {
    match k.fs.file(file).map(|f| f.kind) {
        None => POLLNVAL,
        Some(FileKind::Null | FileKind::Zero | FileKind::Regular(_)) => DEFAULT_POLLMASK,
        Some(FileKind::Socket(sock)) => inet_poll(&mut k.socks, &mut k.net, &sock),
        Some(FileKind::Pipe { pipe, write }) => {
            k.fs.pipes.get(pipe.0).map_or(POLLERR, |p| pipe_poll(p, write))
        }
        Some(FileKind::Eventfd(id)) => k.fs.eventfds.get(id.0).map_or(POLLERR, eventfd_poll),
        Some(FileKind::Epoll(id)) => ep_eventpoll_poll(k, id),
    }
}

/// Fills `revents` of every entry (`do_poll` without the wait); how many have some.
pub(crate) fn do_poll(k: &mut Kernel, table: FilesId, fds: &mut [PollFd]) -> i32 {
    let mut ready = 0;
    for entry in fds {
        entry.revents = do_pollfd(k, table, *entry);
        ready += i32::from(entry.revents != 0);
    }
    ready
}

fn do_pollfd(k: &mut Kernel, table: FilesId, entry: PollFd) -> i16 {
    if entry.fd < 0 {
        return 0;
    }
    match k.fs.fdget(table, entry.fd) {
        Ok(file) => vfs_poll(k, file) & (entry.events | POLLERR | POLLHUP),
        Err(_) => POLLNVAL,
    }
}

/// The wait queues behind the entries.
pub(crate) fn poll_queues(k: &Kernel, table: FilesId, fds: &[PollFd]) -> WaitKeys {
    fds.iter().filter_map(|e| queue_of(k, table, e.fd)).collect()
}

fn queue_of(k: &Kernel, table: FilesId, fd: Fd) -> Option<WaitKey> {
    let file = k.fs.fdget(table, fd).ok()?;
    WaitKey::of(&k.fs.file(file)?.kind)
}

/// Keeps of each set what is ready (`do_select` without the wait); how many in all.
///
/// # Errors
/// EINVAL for a negative count, EBADF for a descriptor that is not open.
pub(crate) fn do_select(
    k: &mut Kernel,
    table: FilesId,
    sets: &FdSets,
) -> Result<(i32, FdSets), Errno> {
    if sets.nfds < 0 {
        return Err(Errno::EINVAL);
    }
    let mut ready = |wanted: &[Fd], set: i16| {
        let mut found = Vec::new();
        for &fd in wanted.iter().filter(|&&fd| fd < sets.nfds) {
            let file = k.fs.fdget(table, fd)?;
            if vfs_poll(k, file) & set != 0 {
                found.push(fd);
            }
        }
        Ok(found)
    };
    let read = ready(&sets.read, POLLIN_SET)?;
    let write = ready(&sets.write, POLLOUT_SET)?;
    let except = ready(&sets.except, POLLEX_SET)?;
    let count = read.len() + write.len() + except.len();
    Ok((count as i32, FdSets { nfds: sets.nfds, read, write, except }))
}

/// The wait queues behind the sets.
pub(crate) fn select_queues(k: &Kernel, table: FilesId, sets: &FdSets) -> WaitKeys {
    let all = sets.read.iter().chain(&sets.write).chain(&sets.except);
    all.filter_map(|&fd| queue_of(k, table, fd)).collect()
}
