//! Pipes (Linux `fs/pipe.c`): a ring of up to sixteen pages between two descriptors.

use super::file::{Fs, Slab};
use super::wait::WaitKey;
use crate::errno::Errno;
use crate::net::ipv4::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use crate::uapi::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
use hw_model::Frag;
use std::collections::VecDeque;
use std::sync::Arc;

/// `PIPE_DEF_BUFFERS`: pages that a pipe holds.
const PIPE_DEF_BUFFERS: usize = 16;
/// `PAGE_SIZE`.
pub(crate) const PAGE_SIZE: usize = 4096;

/// A pipe's number in the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PipeId(pub(super) u32);

/// `struct pipe_buffer`.
#[derive(Clone, Debug)]
pub(crate) struct PipeBuf {
    pub(crate) frag: Frag,
    /// `PIPE_BUF_FLAG_CAN_MERGE`: write(2) may append to the page.
    can_merge: bool,
}

/// `struct pipe_inode_info`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe {
    bufs: VecDeque<PipeBuf>,
    readers: u32,
    writers: u32,
}

impl Pipe {
    pub(crate) fn is_empty(&self) -> bool {
        self.bufs.is_empty()
    }

    /// `pipe_full`.
    pub(crate) fn is_full(&self) -> bool {
        self.bufs.len() >= PIPE_DEF_BUFFERS
    }

    /// Buffers that still fit.
    pub(crate) fn space(&self) -> usize {
        PIPE_DEF_BUFFERS.saturating_sub(self.bufs.len())
    }

    pub(crate) fn readers(&self) -> u32 {
        self.readers
    }

    pub(crate) fn writers(&self) -> u32 {
        self.writers
    }

    /// Bytes in it (FIONREAD).
    pub(crate) fn len(&self) -> usize {
        self.bufs.iter().map(|b| b.frag.len as usize).sum()
    }

    /// The first buffers, of at most `len` bytes together, without taking them.
    pub(crate) fn peek(&self, len: usize) -> Vec<Frag> {
        let mut left = len;
        let mut found = Vec::new();
        for buf in &self.bufs {
            let take = left.min(buf.frag.len as usize);
            if take == 0 {
                break;
            }
            found.push(buf.frag.slice(0, take as u32));
            left -= take;
        }
        found
    }

    /// Drops the first `len` bytes.
    pub(crate) fn consume(&mut self, len: usize) {
        let mut left = len;
        while let Some(first) = self.bufs.front_mut().filter(|_| left > 0) {
            let take = left.min(first.frag.len as usize);
            first.frag.off += take as u32;
            first.frag.len -= take as u32;
            left -= take;
            if first.frag.len == 0 {
                self.bufs.pop_front();
            }
        }
    }

    /// Appends a spliced buffer, to which nothing is ever merged.
    pub(crate) fn push(&mut self, frag: Frag) {
        self.bufs.push_back(PipeBuf { frag, can_merge: false });
    }

    /// Appends what fits of written bytes; how many.
    fn write(&mut self, data: &[u8]) -> usize {
        let mut done = 0;
        // The odd end of a write goes into the last page if it fits there whole.
        let odd = data.len() % PAGE_SIZE;
        if let Some(last) = self.bufs.back_mut()
            && odd > 0
            && last.can_merge
            && last.frag.off as usize + last.frag.len as usize + odd <= PAGE_SIZE
        {
            let mut bytes = last.frag.bytes().to_vec();
            bytes.extend_from_slice(&data[..odd]);
            last.frag = Frag::new(Arc::new(bytes));
            done = odd;
        }
        while done < data.len() && !self.is_full() {
            let end = data.len().min(done + PAGE_SIZE);
            let frag = Frag::new(Arc::new(data[done..end].to_vec()));
            self.bufs.push_back(PipeBuf { frag, can_merge: true });
            done = end;
        }
        done
    }
}

/// A new pipe with one reader and one writer (`create_pipe_files`).
pub(crate) fn create_pipe(pipes: &mut Slab<Pipe>) -> PipeId {
    PipeId(pipes.insert(Pipe { bufs: VecDeque::new(), readers: 1, writers: 1 }))
}

/// An end is closed for good (`pipe_release`).
pub(crate) fn pipe_release(fs: &mut Fs, id: PipeId, write: bool) {
    let Some(pipe) = fs.pipes.get_mut(id.0) else { return };
    if write {
        pipe.writers = pipe.writers.saturating_sub(1);
    } else {
        pipe.readers = pipe.readers.saturating_sub(1);
    }
    if pipe.readers == 0 && pipe.writers == 0 {
        fs.pipes.remove(id.0);
        return;
    }
    // Whoever waits at the other end sees end of file or EPIPE.
    fs.wake(WaitKey::Pipe(id), 0);
}

/// read(2) (`pipe_read`).
pub(crate) fn pipe_read(fs: &mut Fs, id: PipeId, msg: &mut RecvMsg) -> IoResult<usize> {
    let pipe = fs.pipes.get_mut(id.0).ok_or(Errno::EBADF)?;
    if msg.len == 0 {
        return Ok(Progress::Done(0));
    }
    if pipe.is_empty() {
        return match () {
            () if pipe.writers == 0 => Ok(Progress::Done(0)),
            () if msg.nonblock => Err(Errno::EAGAIN),
            () => Ok(Progress::Wait),
        };
    }
    if msg.fault {
        return Err(Errno::EFAULT);
    }
    for frag in pipe.peek(msg.len) {
        msg.buf.extend_from_slice(frag.bytes());
    }
    let was_full = pipe.is_full();
    pipe.consume(msg.buf.len());
    if was_full && !pipe.is_full() {
        fs.wake(WaitKey::Pipe(id), POLLOUT | POLLWRNORM);
    }
    Ok(Progress::Done(msg.buf.len()))
}

/// write(2) (`pipe_write`). SIGPIPE is not modelled.
pub(crate) fn pipe_write(fs: &mut Fs, id: PipeId, msg: &mut SendMsg) -> IoResult<usize> {
    let pipe = fs.pipes.get_mut(id.0).ok_or(Errno::EBADF)?;
    if msg.data.is_empty() {
        return Ok(Progress::Done(0));
    }
    let finished = |msg: &SendMsg, err| match msg.done {
        0 => Err(err),
        done => Ok(Progress::Done(done)),
    };
    if pipe.readers == 0 {
        return finished(msg, Errno::EPIPE);
    }
    if msg.fault {
        return Err(Errno::EFAULT);
    }
    let was_empty = pipe.is_empty();
    let wrote = pipe.write(&msg.data[msg.done..]);
    msg.done += wrote;
    if was_empty && wrote > 0 {
        fs.wake(WaitKey::Pipe(id), POLLIN | POLLRDNORM);
    }
    match () {
        () if msg.done == msg.data.len() => Ok(Progress::Done(msg.done)),
        () if msg.nonblock => finished(msg, Errno::EAGAIN),
        () => Ok(Progress::Wait),
    }
}

/// poll(2)'s mask of an end (`pipe_poll`).
pub(crate) fn pipe_poll(pipe: &Pipe, write: bool) -> i16 {
    let mut mask = 0;
    if write {
        if !pipe.is_full() {
            mask |= POLLOUT | POLLWRNORM;
        }
        if pipe.readers == 0 {
            mask |= POLLERR;
        }
    } else {
        if !pipe.is_empty() {
            mask |= POLLIN | POLLRDNORM;
        }
        if pipe.writers == 0 {
            mask |= POLLHUP;
        }
    }
    mask
}
