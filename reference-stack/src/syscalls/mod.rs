//! The system call table: typed calls in, typed results or an errno out.

mod calls;

pub(crate) use calls::{Blocked, Outcome, resume, start};

use crate::errno::Errno;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A task (a thread with its file table).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TaskId(pub u32);

/// A file descriptor.
pub type Fd = i32;

/// A socket address as user space passes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SockAddr {
    /// `struct sockaddr_in`.
    In {
        /// Address.
        addr: Ipv4Addr,
        /// Port, host order.
        port: u16,
    },
    /// `AF_UNSPEC` (connect: dissolve the association).
    Unspec,
    /// Another family's address, of which only the family is known here.
    Other(u16),
}

/// One entry of poll(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PollFd {
    /// Descriptor; negative ones are ignored.
    pub fd: Fd,
    /// `POLL*` asked for.
    pub events: i16,
    /// `POLL*` that hold.
    pub revents: i16,
}

/// A system call with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the arguments' names are those of the manual pages")]
pub enum Call {
    Socket {
        family: i32,
        ty: i32,
        protocol: i32,
    },
    Bind {
        fd: Fd,
        addr: SockAddr,
    },
    Listen {
        fd: Fd,
        backlog: i32,
    },
    Connect {
        fd: Fd,
        addr: SockAddr,
    },
    Accept4 {
        fd: Fd,
        flags: i32,
    },
    Read {
        fd: Fd,
        len: usize,
    },
    Write {
        fd: Fd,
        data: Arc<Vec<u8>>,
    },
    /// send(2) and sendto(2).
    Sendto {
        fd: Fd,
        data: Arc<Vec<u8>>,
        flags: i32,
        addr: Option<SockAddr>,
    },
    /// sendmsg(2) and writev(2): the vector's bytes joined.
    Sendmsg {
        fd: Fd,
        data: Arc<Vec<u8>>,
        flags: i32,
        addr: Option<SockAddr>,
    },
    /// recv(2) and recvfrom(2).
    Recvfrom {
        fd: Fd,
        len: usize,
        flags: i32,
    },
    /// recvmsg(2) and readv(2).
    Recvmsg {
        fd: Fd,
        len: usize,
        flags: i32,
    },
    Close {
        fd: Fd,
    },
    Shutdown {
        fd: Fd,
        how: i32,
    },
    Setsockopt {
        fd: Fd,
        level: i32,
        name: i32,
        value: Vec<u8>,
    },
    Getsockopt {
        fd: Fd,
        level: i32,
        name: i32,
        len: usize,
    },
    Getsockname {
        fd: Fd,
    },
    Getpeername {
        fd: Fd,
    },
    /// poll(2); `timeout_ms` negative: for ever.
    Poll {
        fds: Vec<PollFd>,
        timeout_ms: i32,
    },
    Fcntl {
        fd: Fd,
        cmd: i32,
        arg: i32,
    },
    /// ioctl(2) of SIOCINQ, SIOCOUTQ, SIOCOUTQNSD.
    Ioctl {
        fd: Fd,
        request: u32,
    },
    Dup {
        fd: Fd,
    },
}

/// What a system call returned, when it did not fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ret {
    /// A number: 0, a descriptor, a count of bytes.
    Int(i64),
    /// accept4(2): the descriptor and the peer's address.
    Accepted {
        /// The new descriptor.
        fd: Fd,
        /// The peer.
        peer: SockAddr,
    },
    /// A receive call's bytes.
    Data {
        /// The bytes.
        data: Vec<u8>,
        /// What the call returns: usually `data.len()`, more with MSG_TRUNC.
        len: usize,
        /// Sender's address, for datagrams.
        addr: Option<SockAddr>,
        /// `MSG_*`.
        msg_flags: i32,
    },
    /// getsockopt(2)'s value.
    Opt(Vec<u8>),
    /// getsockname(2), getpeername(2).
    Addr(SockAddr),
    /// poll(2): how many entries have events, and the entries.
    Poll {
        /// The call's value.
        ready: i32,
        /// The entries with `revents`.
        fds: Vec<PollFd>,
    },
}

impl Ret {
    /// The number that the C call returns.
    pub fn value(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            Self::Accepted { fd, .. } => i64::from(*fd),
            Self::Data { len, .. } => *len as i64,
            Self::Poll { ready, .. } => i64::from(*ready),
            Self::Opt(_) | Self::Addr(_) => 0,
        }
    }
}

/// A finished call's result.
pub type SysResult = Result<Ret, Errno>;

impl Call {
    /// The system call's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Socket { .. } => "socket",
            Self::Bind { .. } => "bind",
            Self::Listen { .. } => "listen",
            Self::Connect { .. } => "connect",
            Self::Accept4 { .. } => "accept4",
            Self::Read { .. } => "read",
            Self::Write { .. } => "write",
            Self::Sendto { .. } => "sendto",
            Self::Sendmsg { .. } => "sendmsg",
            Self::Recvfrom { .. } => "recvfrom",
            Self::Recvmsg { .. } => "recvmsg",
            Self::Close { .. } => "close",
            Self::Shutdown { .. } => "shutdown",
            Self::Setsockopt { .. } => "setsockopt",
            Self::Getsockopt { .. } => "getsockopt",
            Self::Getsockname { .. } => "getsockname",
            Self::Getpeername { .. } => "getpeername",
            Self::Poll { .. } => "poll",
            Self::Fcntl { .. } => "fcntl",
            Self::Ioctl { .. } => "ioctl",
            Self::Dup { .. } => "dup",
        }
    }
}
