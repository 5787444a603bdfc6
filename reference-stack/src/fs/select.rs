//! poll(2) (Linux `fs/select.c`).

use super::FileKind;
use super::file::FilesId;
use crate::kernel::Kernel;
use crate::net::core::sock::SockId;
use crate::net::ipv4::af_inet::inet_poll;
use crate::syscalls::PollFd;
use crate::uapi::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDNORM, POLLWRNORM};

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
    let Some(file) = k.fs.fdget(table, entry.fd).ok().and_then(|f| k.fs.file(f)) else {
        return POLLNVAL;
    };
    let mask = match file.kind {
        FileKind::Null => POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM,
        FileKind::Socket(sock) => inet_poll(&mut k.socks, &mut k.net, &sock),
    };
    mask & (entry.events | POLLERR | POLLHUP)
}

/// The sockets behind the entries, to wait for.
pub(crate) fn poll_sockets(k: &Kernel, table: FilesId, fds: &[PollFd]) -> Vec<SockId> {
    let file = |e: &PollFd| k.fs.fdget(table, e.fd).ok().and_then(|f| k.fs.file(f));
    fds.iter()
        .filter_map(|e| match file(e)?.kind {
            FileKind::Socket(ref sock) => Some(sock.sk),
            FileKind::Null => None,
        })
        .collect()
}
