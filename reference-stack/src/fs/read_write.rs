//! read(2) and write(2) (Linux `fs/read_write.c`), down to the socket layer.

use super::eventfd::{eventfd_read, eventfd_write};
use super::pipe::{pipe_read, pipe_write};
use super::ramfs::{ramfs_read, ramfs_write};
use super::{FileId, FileKind};
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::net::ipv4::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use crate::net::socket::{sock_read_iter, sock_write_iter};
use reference_stack_macros::traced;

/// `ksys_write`: the position is looked up and stored back, though a socket has none.
#[traced]
pub(crate) fn ksys_write(k: &mut Kernel, file: FileId, msg: &mut SendMsg) -> IoResult<usize> {
    let pos = file_ppos(k, file);
    let ret = vfs_write(k, file, msg);
    if let (Some(pos), Ok(Progress::Done(n)), Some(f)) = (pos, &ret, k.fs.file_mut(file)) {
        f.f_pos = pos.saturating_add(*n as i64);
    }
    ret
}

/// `ksys_read`.
#[traced]
pub(crate) fn ksys_read(k: &mut Kernel, file: FileId, msg: &mut RecvMsg) -> IoResult<usize> {
    let pos = file_ppos(k, file);
    let ret = vfs_read(k, file, msg);
    if let (Some(pos), Ok(Progress::Done(n)), Some(f)) = (pos, &ret, k.fs.file_mut(file)) {
        f.f_pos = pos.saturating_add(*n as i64);
    }
    ret
}

/// The file's position; a stream such as a socket has none (`FMODE_STREAM`).
#[traced]
fn file_ppos(k: &Kernel, file: FileId) -> Option<i64> {
    let file = k.fs.file(file)?;
    match file.kind {
        FileKind::Null | FileKind::Zero | FileKind::Regular(_) => Some(file.f_pos),
        FileKind::Socket(_) | FileKind::Pipe { .. } | FileKind::Eventfd(_) | FileKind::Epoll(_) => {
            None
        }
    }
}

#[traced]
fn vfs_write(k: &mut Kernel, file: FileId, msg: &mut SendMsg) -> IoResult<usize> {
    let f = k.fs.file(file).filter(|f| f.writable()).ok_or(Errno::EBADF)?;
    match f.kind {
        FileKind::Socket(_) => new_sync_write(k, file, msg),
        FileKind::Null | FileKind::Zero => Ok(Progress::Done(msg.data.len())),
        FileKind::Regular(_) => ramfs_write(&mut k.fs, file, msg).map(Progress::Done),
        FileKind::Epoll(_) => Err(Errno::EINVAL),
        FileKind::Pipe { pipe, .. } => {
            msg.nonblock |= f.nonblock();
            pipe_write(&mut k.fs, pipe, msg)
        }
        FileKind::Eventfd(id) => {
            msg.nonblock |= f.nonblock();
            eventfd_write(&mut k.fs, id, msg)
        }
    }
}

#[traced]
fn vfs_read(k: &mut Kernel, file: FileId, msg: &mut RecvMsg) -> IoResult<usize> {
    let f = k.fs.file(file).filter(|f| f.readable()).ok_or(Errno::EBADF)?;
    match f.kind {
        FileKind::Socket(_) => new_sync_read(k, file, msg),
        FileKind::Null => Ok(Progress::Done(0)),
        FileKind::Zero if msg.fault && msg.len > 0 => Err(Errno::EFAULT),
        FileKind::Zero => {
            msg.buf = vec![0; msg.len];
            Ok(Progress::Done(msg.len))
        }
        FileKind::Regular(inode) => ramfs_read(&k.fs, inode, f.f_pos, msg).map(Progress::Done),
        FileKind::Epoll(_) => Err(Errno::EINVAL),
        FileKind::Pipe { pipe, .. } => {
            msg.nonblock |= f.nonblock();
            pipe_read(&mut k.fs, pipe, msg)
        }
        FileKind::Eventfd(id) => {
            msg.nonblock |= f.nonblock();
            eventfd_read(&mut k.fs, id, msg)
        }
    }
}

#[traced]
fn new_sync_write(k: &mut Kernel, file: FileId, msg: &mut SendMsg) -> IoResult<usize> {
    call_write_iter(k, file, msg)
}

#[traced]
fn new_sync_read(k: &mut Kernel, file: FileId, msg: &mut RecvMsg) -> IoResult<usize> {
    call_read_iter(k, file, msg)
}

/// `file->f_op->write_iter`: of the files here only sockets have one.
#[traced]
fn call_write_iter(k: &mut Kernel, file: FileId, msg: &mut SendMsg) -> IoResult<usize> {
    sock_write_iter(k, file, msg)
}

/// `file->f_op->read_iter`.
#[traced]
fn call_read_iter(k: &mut Kernel, file: FileId, msg: &mut RecvMsg) -> IoResult<usize> {
    sock_read_iter(k, file, msg)
}
