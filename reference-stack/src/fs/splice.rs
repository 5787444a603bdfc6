//! splice(2), tee(2) and sendfile(2) (Linux `fs/splice.c`, `fs/read_write.c`, 5.15).

use super::file::{File, FileId, FileKind, FilesId};
use super::pipe::{PAGE_SIZE, PipeId};
use super::wait::{WaitKey, WaitKeys};
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::net::ipv4::tcp::tcp_splice_read;
use crate::net::ipv4::tcp_sock::{IoResult, Progress, SendMsg};
use crate::net::socket::{sock_sendmsg, with_socket};
use crate::syscalls::Fd;
use crate::uapi::{
    MSG_MORE, O_APPEND, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, SPLICE_F_GIFT, SPLICE_F_MORE,
    SPLICE_F_MOVE, SPLICE_F_NONBLOCK,
};
use hw_model::Frag;
use std::sync::Arc;

/// `SPLICE_F_ALL`.
const SPLICE_F_ALL: u32 = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
/// Pages that sendfile(2) moves at a time: the size of its internal pipe.
const SENDFILE_PAGES: usize = 16;

/// A splice, tee or sendfile that is under way: what it needs to be tried again.
#[derive(Clone, Debug)]
pub(crate) struct Splice {
    pub(crate) from: FileId,
    pub(crate) to: FileId,
    /// Position in the file that is read or written; `None`: the file's own.
    offset: Option<i64>,
    len: usize,
    flags: u32,
    done: usize,
    what: What,
    /// A send of one buffer that had to wait.
    sending: Option<SendMsg>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    ToPipe,
    FromPipe,
    PipeToPipe,
    Tee,
    Sendfile,
}

fn end(k: &Kernel, files: FilesId, fd: Fd) -> Result<(FileId, &File), Errno> {
    let id = k.fs.fdget(files, fd)?;
    k.fs.file(id).map(|f| (id, f)).ok_or(Errno::EBADF)
}

fn pipe_of(file: &File) -> Option<PipeId> {
    match file.kind {
        FileKind::Pipe { pipe, .. } => Some(pipe),
        _ => None,
    }
}

/// Checks the arguments of splice(2) (`__do_splice`, `do_splice`). `None`: nothing is asked for.
///
/// # Errors
/// EINVAL, EBADF, ESPIPE.
pub(crate) fn begin_splice(
    k: &Kernel,
    files: FilesId,
    (fd_in, off_in): (Fd, Option<i64>),
    (fd_out, off_out): (Fd, Option<i64>),
    len: usize,
    flags: u32,
) -> Result<Option<Splice>, Errno> {
    if len == 0 {
        return Ok(None);
    }
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, input) = end(k, files, fd_in)?;
    let (to, output) = end(k, files, fd_out)?;
    let (ipipe, opipe) = (pipe_of(input), pipe_of(output));
    if (ipipe.is_some() && off_in.is_some()) || (opipe.is_some() && off_out.is_some()) {
        return Err(Errno::ESPIPE);
    }
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    let seekable =
        |f: &File| matches!(f.kind, FileKind::Regular(_) | FileKind::Null | FileKind::Zero);
    let what = match (ipipe, opipe) {
        (Some(a), Some(b)) if a == b => return Err(Errno::EINVAL),
        (Some(_), Some(_)) => What::PipeToPipe,
        (Some(_), None) => {
            if (off_out.is_some() && !seekable(output)) || output.f_flags & O_APPEND != 0 {
                return Err(Errno::EINVAL);
            }
            What::FromPipe
        }
        (None, Some(_)) => {
            if off_in.is_some() && !seekable(input) {
                return Err(Errno::EINVAL);
            }
            What::ToPipe
        }
        (None, None) => return Err(Errno::EINVAL),
    };
    let mut flags = flags;
    if (what == What::PipeToPipe && input.nonblock()) || output.nonblock() {
        flags |= SPLICE_F_NONBLOCK;
    }
    let offset = off_in.or(off_out);
    Ok(Some(Splice { from, to, offset, len, flags, done: 0, what, sending: None }))
}

/// Checks the arguments of tee(2) (`do_tee`). `None`: nothing is asked for.
///
/// # Errors
/// EINVAL, EBADF.
pub(crate) fn begin_tee(
    k: &Kernel,
    files: FilesId,
    fd_in: Fd,
    fd_out: Fd,
    len: usize,
    flags: u32,
) -> Result<Option<Splice>, Errno> {
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Ok(None);
    }
    let (from, input) = end(k, files, fd_in)?;
    let (to, output) = end(k, files, fd_out)?;
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    match (pipe_of(input), pipe_of(output)) {
        (Some(a), Some(b)) if a != b => {}
        _ => return Err(Errno::EINVAL),
    }
    let nonblock = input.nonblock() || output.nonblock();
    let flags = if nonblock { flags | SPLICE_F_NONBLOCK } else { flags };
    let what = What::Tee;
    Ok(Some(Splice { from, to, offset: None, len, flags, done: 0, what, sending: None }))
}

/// Checks the arguments of sendfile(2) (`do_sendfile`).
///
/// # Errors
/// EBADF, ESPIPE, EINVAL.
pub(crate) fn begin_sendfile(
    k: &Kernel,
    files: FilesId,
    out_fd: Fd,
    in_fd: Fd,
    offset: Option<i64>,
    count: usize,
) -> Result<Splice, Errno> {
    let (from, input) = end(k, files, in_fd)?;
    if !input.readable() {
        return Err(Errno::EBADF);
    }
    let regular = matches!(input.kind, FileKind::Regular(_));
    if offset.is_some() && !regular && !matches!(input.kind, FileKind::Null | FileKind::Zero) {
        return Err(Errno::ESPIPE);
    }
    let (to, output) = end(k, files, out_fd)?;
    if !output.writable() {
        return Err(Errno::EBADF);
    }
    let opipe = pipe_of(output).is_some();
    if offset.is_some_and(|o| o < 0) || output.f_flags & O_APPEND != 0 || (!regular && !opipe) {
        return Err(Errno::EINVAL);
    }
    let (what, flags) = match (opipe, output.nonblock()) {
        (false, _) => (What::Sendfile, 0),
        (true, nonblock) => (What::ToPipe, if nonblock { SPLICE_F_NONBLOCK } else { 0 }),
    };
    Ok(Splice { from, to, offset, len: count, flags, done: 0, what, sending: None })
}

impl Splice {
    /// The wait queues whose wake-up may end the wait.
    pub(crate) fn queues(&self, k: &Kernel) -> WaitKeys {
        [self.from, self.to].iter().filter_map(|&f| WaitKey::of(&k.fs.file(f)?.kind)).collect()
    }

    /// What an interrupted call returns.
    pub(crate) fn moved(&self) -> usize {
        self.done
    }

    fn nonblock(&self) -> bool {
        self.flags & SPLICE_F_NONBLOCK != 0
    }

    /// What there is to say when nothing more can be moved now.
    fn stop(&self, err: Errno) -> IoResult<usize> {
        if self.done > 0 { Ok(Progress::Done(self.done)) } else { Err(err) }
    }
}

/// Tries, again or for the first time.
///
/// # Errors
/// EAGAIN, EPIPE, and those of the files.
pub(crate) fn do_splice(k: &mut Kernel, s: &mut Splice, timed_out: bool) -> IoResult<usize> {
    match s.what {
        What::ToPipe => file_to_pipe(k, s, timed_out),
        What::FromPipe => pipe_to_file(k, s),
        What::PipeToPipe | What::Tee => pipe_to_pipe(k, s),
        What::Sendfile => sendfile(k, s),
    }
}

fn pipe_id(k: &Kernel, file: FileId) -> Result<PipeId, Errno> {
    k.fs.file(file).and_then(pipe_of).ok_or(Errno::EBADF)
}

/// `splice_file_to_pipe`: waits for room, then reads once.
fn file_to_pipe(k: &mut Kernel, s: &mut Splice, timed_out: bool) -> IoResult<usize> {
    let id = pipe_id(k, s.to)?;
    let pipe = k.fs.pipes.get(id.0).ok_or(Errno::EBADF)?;
    if pipe.readers() == 0 {
        return s.stop(Errno::EPIPE);
    }
    let space = pipe.space();
    if space == 0 {
        return if s.nonblock() { s.stop(Errno::EAGAIN) } else { Ok(Progress::Wait) };
    }
    let want = (s.len - s.done).min(space * PAGE_SIZE);
    let file = k.fs.file(s.from).ok_or(Errno::EBADF)?;
    let nonblock = timed_out || file.nonblock();
    let frags = match file.kind {
        FileKind::Socket(_) if s.offset.is_some_and(|o| o != 0) => return Err(Errno::ESPIPE),
        FileKind::Socket(_) => {
            let first = s.done == 0;
            let read = with_socket(k, s.from, |socks, net, sock, _| {
                let tp = socks.tcp_mut(sock.sk).ok_or(Errno::EINVAL)?;
                tcp_splice_read(tp, net, want, space, nonblock, first)
            })?;
            match read {
                Progress::Wait => return Ok(Progress::Wait),
                Progress::Done(frags) => frags,
            }
        }
        FileKind::Regular(_) | FileKind::Null | FileKind::Zero => read_file(k, s, want)?,
        _ => return Err(Errno::EINVAL),
    };
    let moved: usize = frags.iter().map(|f| f.len as usize).sum();
    let Some(pipe) = k.fs.pipes.get_mut(id.0) else { return Err(Errno::EBADF) };
    frags.into_iter().for_each(|f| pipe.push(f));
    if moved > 0 {
        k.fs.wake(WaitKey::Pipe(id), POLLIN | POLLRDNORM);
    }
    s.done += moved;
    let blocking_socket =
        !nonblock && matches!(k.fs.file(s.from).map(|f| f.kind), Some(FileKind::Socket(_)));
    // tcp_splice_read() goes on until it has everything, unless it may not wait.
    if moved > 0 && s.done < s.len && blocking_socket {
        return file_to_pipe(k, s, timed_out);
    }
    Ok(Progress::Done(s.done))
}

/// The file's next bytes, a page at most in each slice; its position moves on.
fn read_file(k: &mut Kernel, s: &mut Splice, want: usize) -> Result<Vec<Frag>, Errno> {
    let file = k.fs.file(s.from).ok_or(Errno::EBADF)?;
    let pos = s.offset.unwrap_or(file.f_pos);
    let data = match file.kind {
        FileKind::Regular(inode) => k.fs.content(inode),
        FileKind::Zero => Arc::new(vec![0; want]),
        _ => Arc::default(),
    };
    let zero = matches!(file.kind, FileKind::Zero);
    let mut at = if zero { 0 } else { usize::try_from(pos).unwrap_or(usize::MAX).min(data.len()) };
    let end = at.saturating_add(want).min(data.len());
    let moved = end.saturating_sub(at);
    let mut frags = Vec::new();
    while at < end {
        let len = (PAGE_SIZE - at % PAGE_SIZE).min(end - at);
        frags.push(Frag { buf: Arc::clone(&data), off: at as u32, len: len as u32 });
        at += len;
    }
    set_pos(k, s, pos.saturating_add(moved as i64));
    Ok(frags)
}

fn set_pos(k: &mut Kernel, s: &mut Splice, pos: i64) {
    match (&mut s.offset, k.fs.file_mut(s.from)) {
        (Some(offset), _) => *offset = pos,
        (None, Some(file)) => file.f_pos = pos,
        (None, None) => {}
    }
}

/// `do_splice_from`: a buffer at a time, until the pipe is empty (`generic_splice_sendpage`).
fn pipe_to_file(k: &mut Kernel, s: &mut Splice) -> IoResult<usize> {
    let id = pipe_id(k, s.from)?;
    while s.done < s.len {
        let pipe = k.fs.pipes.get(id.0).ok_or(Errno::EBADF)?;
        let Some(frag) = pipe.peek(s.len - s.done).into_iter().next() else {
            return match () {
                () if pipe.writers() == 0 || s.done > 0 => Ok(Progress::Done(s.done)),
                () if s.nonblock() => Err(Errno::EAGAIN),
                () => Ok(Progress::Wait),
            };
        };
        let more_there = frag.len as usize + s.done < s.len && pipe.len() > frag.len as usize;
        let more = more_there || s.flags & SPLICE_F_MORE != 0;
        let sent = match write_frag(k, s, &frag, more) {
            Ok(Progress::Wait) => return Ok(Progress::Wait),
            Ok(Progress::Done(n)) => n,
            Err(e) => return s.stop(e),
        };
        if let Some(pipe) = k.fs.pipes.get_mut(id.0) {
            pipe.consume(sent);
        }
        k.fs.wake(WaitKey::Pipe(id), POLLOUT | POLLWRNORM);
        s.done += sent;
        if sent < frag.len as usize {
            break;
        }
    }
    Ok(Progress::Done(s.done))
}

/// Gives bytes to the file that is written (`pipe_to_sendpage`, `kernel_sendpage`).
fn write_frag(k: &mut Kernel, s: &mut Splice, frag: &Frag, more: bool) -> IoResult<usize> {
    let file = k.fs.file(s.to).ok_or(Errno::EBADF)?;
    match file.kind {
        FileKind::Socket(_) => {}
        FileKind::Null | FileKind::Zero => return Ok(Progress::Done(frag.len as usize)),
        FileKind::Regular(_) => {
            let data = Arc::new(frag.bytes().to_vec());
            let mut msg = SendMsg { data, ..SendMsg::default() };
            return super::read_write::ksys_write(k, s.to, &mut msg);
        }
        _ => return Err(Errno::EINVAL),
    }
    let mut msg = s.sending.take().unwrap_or_else(|| SendMsg {
        data: Arc::new(frag.bytes().to_vec()),
        flags: if more { MSG_MORE } else { 0 },
        ..SendMsg::default()
    });
    let sent = sock_sendmsg(k, s.to, &mut msg);
    if let Ok(Progress::Wait) = sent {
        s.sending = Some(msg);
    }
    sent
}

/// `splice_pipe_to_pipe` and `link_pipe`: buffers move, or are shared.
fn pipe_to_pipe(k: &mut Kernel, s: &mut Splice) -> IoResult<usize> {
    let (from, to) = (pipe_id(k, s.from)?, pipe_id(k, s.to)?);
    let (Some(input), Some(output)) = (k.fs.pipes.get(from.0), k.fs.pipes.get(to.0)) else {
        return Err(Errno::EBADF);
    };
    if output.readers() == 0 {
        return Err(Errno::EPIPE);
    }
    if input.is_empty() && input.writers() == 0 {
        return Ok(Progress::Done(0));
    }
    if input.is_empty() || output.is_full() {
        return if s.nonblock() { Err(Errno::EAGAIN) } else { Ok(Progress::Wait) };
    }
    let mut frags = input.peek(s.len);
    frags.truncate(output.space());
    let moved: usize = frags.iter().map(|f| f.len as usize).sum();
    if let Some(output) = k.fs.pipes.get_mut(to.0) {
        frags.into_iter().for_each(|f| output.push(f));
    }
    k.fs.wake(WaitKey::Pipe(to), POLLIN | POLLRDNORM);
    if s.what == What::PipeToPipe {
        if let Some(input) = k.fs.pipes.get_mut(from.0) {
            input.consume(moved);
        }
        k.fs.wake(WaitKey::Pipe(from), POLLOUT | POLLWRNORM);
    }
    Ok(Progress::Done(moved))
}

/// `do_splice_direct`: through an internal pipe, sixteen pages at a time.
fn sendfile(k: &mut Kernel, s: &mut Splice) -> IoResult<usize> {
    while s.done < s.len {
        let file = k.fs.file(s.from).ok_or(Errno::EBADF)?;
        let FileKind::Regular(inode) = file.kind else { return Err(Errno::EINVAL) };
        let pos = s.offset.unwrap_or(file.f_pos);
        let data = k.fs.content(inode);
        let at = usize::try_from(pos).unwrap_or(usize::MAX).min(data.len());
        let want = s.len - s.done;
        let len = want.min(SENDFILE_PAGES * PAGE_SIZE).min(data.len() - at);
        if len == 0 {
            break;
        }
        // A read that gave less than was asked for says that more will follow: even at the end
        // of the file, after which nothing does.
        let frag = Frag { buf: data, off: at as u32, len: len as u32 };
        let sent = match write_frag(k, s, &frag, len < want) {
            Ok(Progress::Wait) => return Ok(Progress::Wait),
            Ok(Progress::Done(n)) => n,
            Err(e) => return s.stop(e),
        };
        s.done += sent;
        set_pos(k, s, pos.saturating_add(sent as i64));
        if sent < len {
            break;
        }
    }
    Ok(Progress::Done(s.done))
}
