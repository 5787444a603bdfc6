//! Files by path, kept in memory: enough of a file system for what scripts open. There are no
//! folders, owners or modes.

use super::file::{File, FileId, FileKind, Fs};
use crate::errno::Errno;
use crate::net::ipv4::tcp_sock::{RecvMsg, SendMsg};
use crate::uapi::{O_ACCMODE, O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_TRUNC};
use std::sync::Arc;

/// A file's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct InodeId(u32);

/// Largest size of a file, bytes.
const MAX_SIZE: usize = 1 << 28;

#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    /// `None`: removed, but perhaps still open.
    path: Option<String>,
    data: Arc<Vec<u8>>,
}

impl Fs {
    fn lookup(&self, path: &str) -> Option<InodeId> {
        let at = self.inodes.iter().position(|i| i.path.as_deref() == Some(path))?;
        Some(InodeId(at as u32))
    }

    /// Makes a file with this content, or gives it new content.
    pub(crate) fn write_file(&mut self, path: &str, data: Vec<u8>) {
        let id = self.lookup(path).unwrap_or_else(|| self.create(path));
        if let Some(inode) = self.inodes.get_mut(id.0 as usize) {
            inode.data = Arc::new(data);
        }
    }

    /// Removes a file's name; false if there is none.
    pub(crate) fn unlink(&mut self, path: &str) -> bool {
        let inode = self.lookup(path).and_then(|id| self.inodes.get_mut(id.0 as usize));
        inode.is_some_and(|inode| inode.path.take().is_some())
    }

    fn create(&mut self, path: &str) -> InodeId {
        self.inodes.push(Inode { path: Some(path.to_owned()), data: Arc::default() });
        InodeId(self.inodes.len() as u32 - 1)
    }

    /// A file's content; empty if there is no such file.
    pub(crate) fn content(&self, id: InodeId) -> Arc<Vec<u8>> {
        self.inodes.get(id.0 as usize).map(|i| Arc::clone(&i.data)).unwrap_or_default()
    }

    /// open(2) (`do_filp_open`).
    ///
    /// # Errors
    /// ENOENT, EEXIST.
    pub(super) fn open(&mut self, path: &str, flags: i32) -> Result<FileId, Errno> {
        let kind = match path {
            "" => return Err(Errno::ENOENT),
            "/dev/null" => FileKind::Null,
            "/dev/zero" => FileKind::Zero,
            _ => {
                let id = match self.lookup(path) {
                    Some(_) if flags & O_CREAT != 0 && flags & O_EXCL != 0 => {
                        return Err(Errno::EEXIST);
                    }
                    Some(id) => id,
                    None if flags & O_CREAT != 0 => self.create(path),
                    None => return Err(Errno::ENOENT),
                };
                if flags & O_TRUNC != 0
                    && flags & O_ACCMODE != O_RDONLY
                    && let Some(inode) = self.inodes.get_mut(id.0 as usize)
                {
                    inode.data = Arc::default();
                }
                FileKind::Regular(id)
            }
        };
        let f_flags = flags & !(O_CREAT | O_EXCL | O_TRUNC);
        Ok(self.alloc_file(File { f_count: 1, f_flags, f_pos: 0, kind }))
    }
}

/// read(2) from the file's position on.
pub(super) fn ramfs_read(
    fs: &Fs,
    id: InodeId,
    pos: i64,
    msg: &mut RecvMsg,
) -> Result<usize, Errno> {
    let data = fs.content(id);
    let from = usize::try_from(pos).unwrap_or(usize::MAX).min(data.len());
    let end = from.saturating_add(msg.len).min(data.len());
    if msg.fault && end > from {
        return Err(Errno::EFAULT);
    }
    msg.buf = data[from..end].to_vec();
    Ok(msg.buf.len())
}

/// write(2) at the file's position, or at its end with O_APPEND.
///
/// # Errors
/// EFAULT, EFBIG beyond the largest size.
pub(super) fn ramfs_write(fs: &mut Fs, id: FileId, msg: &mut SendMsg) -> Result<usize, Errno> {
    let Some(File { kind: FileKind::Regular(inode), f_flags, f_pos, .. }) = fs.file(id).cloned()
    else {
        return Err(Errno::EBADF);
    };
    if msg.data.is_empty() {
        return Ok(0);
    }
    if msg.fault {
        return Err(Errno::EFAULT);
    }
    let Some(inode) = fs.inodes.get_mut(inode.0 as usize) else { return Err(Errno::EBADF) };
    let size = inode.data.len();
    let at = if f_flags & O_APPEND != 0 { size } else { usize::try_from(f_pos).unwrap_or(0) };
    let end = at.checked_add(msg.data.len()).filter(|&e| e <= MAX_SIZE).ok_or(Errno::EFBIG)?;
    let data = Arc::make_mut(&mut inode.data);
    data.resize(size.max(end), 0);
    data[at..end].copy_from_slice(&msg.data);
    msg.done = msg.data.len();
    Ok(msg.done)
}
