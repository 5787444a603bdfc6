//! Open files (`struct file`) and descriptor tables (`struct files_struct`).

use super::eventfd::{Eventfd, EventfdId};
use super::eventpoll::{EpollId, Eventpoll, Watches};
use super::pipe::{Pipe, PipeId, pipe_release};
use super::ramfs::{Inode, InodeId};
use super::wait::{WaitKey, Wake};
use crate::errno::Errno;
use crate::net::socket::Socket;
use crate::syscalls::Fd;
use crate::uapi::{O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY};
use reference_stack_macros::traced;

/// `RLIMIT_NOFILE` of a fresh task.
const RLIMIT_NOFILE: usize = 1024;

/// An open file's number in the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FileId(u32);

/// A descriptor table's number; threads share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FilesId(u32);

/// What a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FileKind {
    /// Descriptors 0, 1 and 2 of a fresh task: reads give end of file, writes vanish.
    Null,
    /// `/dev/zero`.
    Zero,
    /// A socket.
    Socket(Socket),
    /// An end of a pipe.
    Pipe {
        /// Which pipe.
        pipe: PipeId,
        /// The end to write to.
        write: bool,
    },
    /// eventfd(2).
    Eventfd(EventfdId),
    /// epoll_create(2).
    Epoll(EpollId),
    /// A file of the file system.
    Regular(InodeId),
}

/// `struct file`: an open file description, shared by the descriptors that dup(2) made.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(super) f_count: u32,
    /// `O_NONBLOCK` and the access mode.
    pub(crate) f_flags: i32,
    pub(crate) f_pos: i64,
    pub(crate) kind: FileKind,
}

impl File {
    /// `FMODE_READ`.
    pub(crate) fn readable(&self) -> bool {
        self.f_flags & O_ACCMODE != O_WRONLY
    }

    /// `FMODE_WRITE`.
    pub(crate) fn writable(&self) -> bool {
        self.f_flags & O_ACCMODE != O_RDONLY
    }

    /// Whether calls on it never wait.
    pub(crate) fn nonblock(&self) -> bool {
        self.f_flags & O_NONBLOCK != 0
    }
}

/// Things by number; numbers are given again.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T>(Vec<Option<T>>);

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let at = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push(None);
        }
        self.0[at] = Some(value);
        at as u32
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.0.get(at as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.0.get_mut(at as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, at: u32) {
        if let Some(slot) = self.0.get_mut(at as usize) {
            *slot = None;
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

#[derive(Clone, Debug, Default)]
struct FdTable {
    fds: Vec<Option<FileId>>,
    users: u32,
}

/// All files of the machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fs {
    files: Vec<Option<File>>,
    tables: Vec<FdTable>,
    pub(super) pipes: Slab<Pipe>,
    pub(super) eventfds: Slab<Eventfd>,
    pub(super) epolls: Slab<Eventpoll>,
    pub(super) watches: Watches,
    pub(super) inodes: Vec<Inode>,
    /// Wake-ups of what is not a socket, in order.
    pub(crate) wakes: Vec<Wake>,
}

impl Fs {
    /// A table with the three standard descriptors, for a fresh task.
    pub(crate) fn new_table(&mut self) -> FilesId {
        let null = self.alloc_file(File {
            f_count: 3,
            f_flags: crate::uapi::O_RDWR,
            f_pos: 0,
            kind: FileKind::Null,
        });
        self.tables.push(FdTable { fds: vec![Some(null); 3], users: 1 });
        FilesId(self.tables.len() as u32 - 1)
    }

    /// Another task uses the same table (`CLONE_FILES`).
    pub(crate) fn share_table(&mut self, table: FilesId) -> FilesId {
        self.tables[table.0 as usize].users += 1;
        table
    }

    /// A copy of a table, as fork(2) makes it.
    pub(crate) fn copy_table(&mut self, table: FilesId) -> FilesId {
        let fds = self.tables[table.0 as usize].fds.clone();
        for &file in fds.iter().flatten() {
            self.get_file(file);
        }
        self.tables.push(FdTable { fds, users: 1 });
        FilesId(self.tables.len() as u32 - 1)
    }

    /// Gives a table up; the last user's descriptors are returned to be closed.
    pub(crate) fn drop_table(&mut self, table: FilesId) -> Vec<FileId> {
        let table = &mut self.tables[table.0 as usize];
        table.users -= 1;
        match table.users {
            0 => std::mem::take(&mut table.fds).into_iter().flatten().collect(),
            _ => Vec::new(),
        }
    }

    /// A file with one reference and no descriptor yet.
    pub(super) fn new_file(&mut self, kind: FileKind, f_flags: i32) -> FileId {
        self.alloc_file(File { f_count: 1, f_flags, f_pos: 0, kind })
    }

    /// Whether somebody watches anything by epoll.
    pub(crate) fn is_watching(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Notes a wake-up of a wait queue (`wake_up_interruptible_poll`).
    pub(super) fn wake(&mut self, queue: WaitKey, key: i16) {
        self.wakes.push((queue, key));
    }

    pub(super) fn alloc_file(&mut self, file: File) -> FileId {
        match self.files.iter().position(Option::is_none) {
            Some(i) => {
                self.files[i] = Some(file);
                FileId(i as u32)
            }
            None => {
                self.files.push(Some(file));
                FileId(self.files.len() as u32 - 1)
            }
        }
    }

    pub(crate) fn file(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn file_mut(&mut self, id: FileId) -> Option<&mut File> {
        self.files.get_mut(id.0 as usize)?.as_mut()
    }

    /// The file of a descriptor (`fget` without the reference).
    pub(crate) fn fdget(&self, table: FilesId, fd: Fd) -> Result<FileId, Errno> {
        let fds = &self.tables[table.0 as usize].fds;
        usize::try_from(fd).ok().and_then(|i| *fds.get(i)?).ok_or(Errno::EBADF)
    }

    /// Takes a reference (`get_file`).
    pub(crate) fn get_file(&mut self, id: FileId) {
        if let Some(file) = self.file_mut(id) {
            file.f_count += 1;
        }
    }

    /// Gives a reference up (`fput`); the last one returns the file. A socket is to be released by
    /// the caller, everything else is released here.
    pub(crate) fn fput(&mut self, id: FileId) -> Option<File> {
        let file = self.file_mut(id)?;
        file.f_count -= 1;
        if file.f_count > 0 {
            return None;
        }
        self.eventpoll_release_file(id);
        let file = self.files[id.0 as usize].take()?;
        match file.kind {
            FileKind::Pipe { pipe, write } => pipe_release(self, pipe, write),
            FileKind::Eventfd(id) => self.eventfds.remove(id.0),
            FileKind::Epoll(id) => self.ep_free(id),
            FileKind::Null | FileKind::Zero | FileKind::Socket(_) | FileKind::Regular(_) => {}
        }
        Some(file)
    }

    /// Takes a descriptor out of its table (`close_fd_get_file`).
    pub(crate) fn take_fd(&mut self, table: FilesId, fd: Fd) -> Result<FileId, Errno> {
        let fds = &mut self.tables[table.0 as usize].fds;
        usize::try_from(fd).ok().and_then(|i| fds.get_mut(i)?.take()).ok_or(Errno::EBADF)
    }
}

/// The descriptor that dup2(2) names (`expand_files` lets it).
///
/// # Errors
/// EBADF beyond the table's limit.
pub(crate) fn expand_files(fd: Fd) -> Result<(), Errno> {
    let ok = usize::try_from(fd).is_ok_and(|fd| fd < RLIMIT_NOFILE);
    if ok { Ok(()) } else { Err(Errno::EBADF) }
}

/// The lowest free descriptor (`__get_unused_fd_flags`, `alloc_fd`).
#[traced]
pub(crate) fn __get_unused_fd_flags(fs: &mut Fs, table: FilesId) -> Result<Fd, Errno> {
    let fds = &mut fs.tables[table.0 as usize].fds;
    let fd = fds.iter().position(Option::is_none).unwrap_or(fds.len());
    if fd >= RLIMIT_NOFILE {
        return Err(Errno::EMFILE);
    }
    Ok(fd as Fd)
}

/// A file for a socket (`sock_alloc_file`).
#[traced]
pub(crate) fn sock_alloc_file(fs: &mut Fs, sock: Socket, flags: i32) -> FileId {
    let f_flags = crate::uapi::O_RDWR | (flags & O_NONBLOCK);
    fs.alloc_file(File { f_count: 1, f_flags, f_pos: 0, kind: FileKind::Socket(sock) })
}

/// Puts a file behind a descriptor that `__get_unused_fd_flags` gave.
#[traced]
pub(crate) fn fd_install(fs: &mut Fs, table: FilesId, fd: Fd, file: FileId) {
    let fds = &mut fs.tables[table.0 as usize].fds;
    let i = fd.max(0) as usize;
    if fds.len() <= i {
        fds.resize(i + 1, None);
    }
    fds[i] = Some(file);
}
