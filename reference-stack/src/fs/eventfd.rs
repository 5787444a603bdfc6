//! Counters to wait for (Linux `fs/eventfd.c`).

use super::file::Fs;
use super::wait::WaitKey;
use crate::errno::Errno;
use crate::net::ipv4::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use crate::uapi::{EFD_SEMAPHORE, POLLERR, POLLIN, POLLOUT};

/// An eventfd's number in the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct EventfdId(pub(super) u32);

/// `struct eventfd_ctx`.
#[derive(Clone, Debug)]
pub(crate) struct Eventfd {
    count: u64,
    flags: i32,
}

impl Fs {
    /// A new counter (`do_eventfd`).
    pub(super) fn new_eventfd(&mut self, count: u32, flags: i32) -> EventfdId {
        EventfdId(self.eventfds.insert(Eventfd { count: count.into(), flags }))
    }
}

/// read(2): takes the count, or one of it (`eventfd_read`).
pub(crate) fn eventfd_read(fs: &mut Fs, id: EventfdId, msg: &mut RecvMsg) -> IoResult<usize> {
    let ctx = fs.eventfds.get_mut(id.0).ok_or(Errno::EBADF)?;
    if msg.len < 8 {
        return Err(Errno::EINVAL);
    }
    if ctx.count == 0 {
        return if msg.nonblock { Err(Errno::EAGAIN) } else { Ok(Progress::Wait) };
    }
    let taken = if ctx.flags & EFD_SEMAPHORE != 0 { 1 } else { ctx.count };
    ctx.count -= taken;
    fs.wake(WaitKey::Eventfd(id), POLLOUT);
    // Linux copies after it has counted, so the count is gone even then.
    if msg.fault {
        return Err(Errno::EFAULT);
    }
    msg.buf = taken.to_ne_bytes().to_vec();
    Ok(Progress::Done(8))
}

/// write(2): adds to the count (`eventfd_write`).
pub(crate) fn eventfd_write(fs: &mut Fs, id: EventfdId, msg: &mut SendMsg) -> IoResult<usize> {
    let ctx = fs.eventfds.get_mut(id.0).ok_or(Errno::EBADF)?;
    let bytes = msg.data.first_chunk().ok_or(Errno::EINVAL)?;
    if msg.fault {
        return Err(Errno::EFAULT);
    }
    let add = u64::from_ne_bytes(*bytes);
    if add == u64::MAX {
        return Err(Errno::EINVAL);
    }
    // The highest count is never reached.
    if u64::MAX - ctx.count <= add {
        return if msg.nonblock { Err(Errno::EAGAIN) } else { Ok(Progress::Wait) };
    }
    ctx.count += add;
    if add > 0 {
        fs.wake(WaitKey::Eventfd(id), POLLIN);
    }
    msg.done = 8;
    Ok(Progress::Done(8))
}

/// poll(2)'s mask (`eventfd_poll`).
pub(crate) fn eventfd_poll(ctx: &Eventfd) -> i16 {
    let mut mask = 0;
    if ctx.count > 0 {
        mask |= POLLIN;
    }
    if ctx.count == u64::MAX {
        mask |= POLLERR;
    }
    if u64::MAX - 1 > ctx.count {
        mask |= POLLOUT;
    }
    mask
}
