//! Calls that make descriptors of files other than sockets, or move descriptors.

use super::file::{__get_unused_fd_flags, FileId, FileKind, FilesId, Fs, expand_files, fd_install};
use super::pipe::create_pipe;
use crate::errno::Errno;
use crate::syscalls::Fd;
use crate::uapi::{EFD_SEMAPHORE, O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};

/// Gives a file a descriptor; the file goes if there is none left.
fn map_fd(fs: &mut Fs, files: FilesId, file: FileId) -> Result<Fd, Errno> {
    match __get_unused_fd_flags(fs, files) {
        Ok(fd) => {
            fd_install(fs, files, fd, file);
            Ok(fd)
        }
        Err(e) => {
            fs.fput(file);
            Err(e)
        }
    }
}

/// open(2).
///
/// # Errors
/// ENOENT, EEXIST, EMFILE.
pub(crate) fn do_sys_open(
    fs: &mut Fs,
    files: FilesId,
    path: &str,
    flags: i32,
) -> Result<Fd, Errno> {
    let file = fs.open(path, flags)?;
    map_fd(fs, files, file)
}

/// pipe2(2) (`do_pipe2`); packet mode (O_DIRECT) is refused.
///
/// # Errors
/// EINVAL, EMFILE.
pub(crate) fn do_pipe2(fs: &mut Fs, files: FilesId, flags: i32) -> Result<[Fd; 2], Errno> {
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 || flags & O_DIRECT != 0 {
        return Err(Errno::EINVAL);
    }
    let pipe = create_pipe(&mut fs.pipes);
    let keep = flags & O_NONBLOCK;
    let reader = fs.new_file(FileKind::Pipe { pipe, write: false }, O_RDONLY | keep);
    let writer = fs.new_file(FileKind::Pipe { pipe, write: true }, O_WRONLY | keep);
    match map_fd(fs, files, reader) {
        Ok(rfd) => match map_fd(fs, files, writer) {
            Ok(wfd) => Ok([rfd, wfd]),
            Err(e) => {
                if let Ok(file) = fs.take_fd(files, rfd) {
                    fs.fput(file);
                }
                Err(e)
            }
        },
        Err(e) => {
            fs.fput(writer);
            Err(e)
        }
    }
}

/// eventfd2(2) (`do_eventfd`).
///
/// # Errors
/// EINVAL, EMFILE.
pub(crate) fn do_eventfd(fs: &mut Fs, files: FilesId, count: u32, flags: i32) -> Result<Fd, Errno> {
    if flags & !(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    let id = fs.new_eventfd(count, flags);
    let file = fs.new_file(FileKind::Eventfd(id), O_RDWR | (flags & O_NONBLOCK));
    map_fd(fs, files, file)
}

/// epoll_create1(2).
///
/// # Errors
/// EINVAL, EMFILE.
pub(crate) fn epoll_create(fs: &mut Fs, files: FilesId, flags: i32) -> Result<Fd, Errno> {
    let file = fs.do_epoll_create(flags)?;
    map_fd(fs, files, file)
}

/// dup3(2), and dup2(2) (`flags` `None`). Gives the file that stood at `new` before, whose
/// reference is the caller's to give up.
///
/// # Errors
/// EBADF, EINVAL.
pub(crate) fn ksys_dup3(
    fs: &mut Fs,
    files: FilesId,
    old: Fd,
    new: Fd,
    flags: Option<i32>,
) -> Result<Option<FileId>, Errno> {
    if flags.is_some_and(|f| f & !O_CLOEXEC != 0 || old == new) {
        return Err(Errno::EINVAL);
    }
    if old == new {
        return fs.fdget(files, old).map(|_| None);
    }
    expand_files(new)?;
    let file = fs.fdget(files, old)?;
    let before = fs.take_fd(files, new).ok();
    fs.get_file(file);
    fd_install(fs, files, new, file);
    Ok(before)
}
