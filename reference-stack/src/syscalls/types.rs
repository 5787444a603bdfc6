//! Structures that calls pass and return.

use super::{Fd, SockAddr};
use std::sync::Arc;

/// A control message of sendmsg(2) or recvmsg(2) (`struct cmsghdr` with its data).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cmsg {
    /// `cmsg_level`.
    pub level: i32,
    /// `cmsg_type`.
    pub ty: i32,
    /// The data's bytes in the machine's own order; fewer than the kernel had where the room
    /// ended (MSG_CTRUNC).
    pub data: Vec<u8>,
}

/// A message of sendmmsg(2) (`struct mmsghdr`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MmsgSend {
    /// The vector's bytes joined.
    pub data: Arc<Vec<u8>>,
    /// The vector's lengths; none: one buffer.
    pub iov: Vec<usize>,
    /// Control messages.
    pub control: Vec<Cmsg>,
    /// Where to.
    pub addr: Option<SockAddr>,
}

/// The room for a message of recvmmsg(2), bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MmsgRoom {
    /// For its data.
    pub len: usize,
    /// For its control messages.
    pub controllen: usize,
}

/// `struct epoll_event`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpollEvent {
    /// `EPOLL*`.
    pub events: u32,
    /// The caller's own (`epoll_data.u64`).
    pub data: u64,
}

/// The three sets of select(2), as lists of descriptors.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FdSets {
    /// Highest descriptor plus one.
    pub nfds: i32,
    /// `readfds`.
    pub read: Vec<Fd>,
    /// `writefds`.
    pub write: Vec<Fd>,
    /// `exceptfds`.
    pub except: Vec<Fd>,
}
