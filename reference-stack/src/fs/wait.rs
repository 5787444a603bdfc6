//! Wait queues (`wait_queue_head_t`): what a call or an epoll instance may wait on.

use super::eventfd::EventfdId;
use super::eventpoll::EpollId;
use super::file::FileKind;
use super::pipe::PipeId;
use crate::net::core::sock::SockId;

/// Whose wait queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum WaitKey {
    /// `sk_wq`.
    Sock(SockId),
    /// `pipe->rd_wait` and `wr_wait` as one.
    Pipe(PipeId),
    /// `ctx->wqh`.
    Eventfd(EventfdId),
    /// `ep->wq` and `poll_wait` as one.
    Epoll(EpollId),
}

impl WaitKey {
    /// The queue that a poll of a file waits on; files that are always ready have none.
    pub(crate) fn of(kind: &FileKind) -> Option<Self> {
        match *kind {
            FileKind::Socket(sock) => Some(Self::Sock(sock.sk)),
            FileKind::Pipe { pipe, .. } => Some(Self::Pipe(pipe)),
            FileKind::Eventfd(id) => Some(Self::Eventfd(id)),
            FileKind::Epoll(id) => Some(Self::Epoll(id)),
            FileKind::Null | FileKind::Zero | FileKind::Regular(_) => None,
        }
    }
}

/// A wake-up: whose queue, and which `POLL*` it is about (0: whatever).
pub(crate) type Wake = (WaitKey, i16);

/// Wake-ups in order; a frame makes few.
pub(crate) type Wakes = smallvec::SmallVec<[Wake; 4]>;

/// The queues that a call waits on: most wait on one.
pub(crate) type WaitKeys = smallvec::SmallVec<[WaitKey; 2]>;
