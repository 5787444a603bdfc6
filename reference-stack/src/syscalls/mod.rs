//! The system call table: typed calls in, typed results or an errno out.

mod calls;
mod files;
mod mmsg;
mod types;

pub(crate) use calls::{Blocked, Outcome, resume, start};
pub use types::{Cmsg, EpollEvent, FdSets, MmsgRoom, MmsgSend};

use crate::errno::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
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
    /// `struct sockaddr_in6`.
    In6 {
        /// Address.
        addr: Ipv6Addr,
        /// Port, host order.
        port: u16,
        /// `sin6_flowinfo`, host order.
        flowinfo: u32,
        /// Interface index of a link-local address; 0: none.
        scope_id: u32,
    },
    /// `AF_UNSPEC` (connect: dissolve the association).
    Unspec,
    /// Another family's address, of which only the family is known here.
    Other(u16),
}

impl From<SocketAddr> for SockAddr {
    fn from(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(a) => Self::In { addr: *a.ip(), port: a.port() },
            SocketAddr::V6(a) => Self::In6 {
                addr: *a.ip(),
                port: a.port(),
                flowinfo: a.flowinfo(),
                scope_id: a.scope_id(),
            },
        }
    }
}

impl SockAddr {
    /// Address and port, if it is of a family that has them.
    pub fn inet(self) -> Option<SocketAddr> {
        match self {
            Self::In { addr, port } => Some(SocketAddrV4::new(addr, port).into()),
            Self::In6 { addr, port, flowinfo, scope_id } => {
                Some(SocketAddrV6::new(addr, port, flowinfo, scope_id).into())
            }
            Self::Unspec | Self::Other(_) => None,
        }
    }
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
    /// writev(2): the vector's bytes joined, and its buffers' lengths.
    Writev {
        fd: Fd,
        data: Arc<Vec<u8>>,
        iov: Vec<usize>,
    },
    /// readv(2): the vector's room together.
    Readv {
        fd: Fd,
        len: usize,
    },
    /// sendmsg(2): the vector's bytes joined, its buffers' lengths (none: one buffer), and the
    /// control messages.
    Sendmsg {
        fd: Fd,
        data: Arc<Vec<u8>>,
        iov: Vec<usize>,
        control: Vec<Cmsg>,
        flags: i32,
        addr: Option<SockAddr>,
    },
    /// recv(2) and recvfrom(2).
    Recvfrom {
        fd: Fd,
        len: usize,
        flags: i32,
    },
    /// recvmsg(2); `controllen` is the room for control messages, bytes.
    Recvmsg {
        fd: Fd,
        len: usize,
        controllen: usize,
        flags: i32,
    },
    /// sendmmsg(2).
    Sendmmsg {
        fd: Fd,
        msgs: Vec<MmsgSend>,
        flags: i32,
    },
    /// recvmmsg(2); `timeout` in nanoseconds, `None` where the pointer is NULL.
    Recvmmsg {
        fd: Fd,
        rooms: Vec<MmsgRoom>,
        flags: i32,
        timeout: Option<u64>,
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
    /// dup3(2), and dup2(2), which differs for equal descriptors: `flags` `None`.
    Dup3 {
        old: Fd,
        new: Fd,
        flags: Option<i32>,
    },
    /// open(2) of an absolute path.
    Open {
        path: String,
        flags: i32,
        mode: u32,
    },
    /// pipe2(2).
    Pipe2 {
        flags: i32,
    },
    /// eventfd2(2).
    Eventfd2 {
        initval: u32,
        flags: i32,
    },
    /// splice(2); offsets are `None` where the pointer is NULL.
    Splice {
        fd_in: Fd,
        off_in: Option<i64>,
        fd_out: Fd,
        off_out: Option<i64>,
        len: usize,
        flags: u32,
    },
    /// tee(2).
    Tee {
        fd_in: Fd,
        fd_out: Fd,
        len: usize,
        flags: u32,
    },
    /// sendfile(2); `offset` is `None` where the pointer is NULL.
    Sendfile {
        out_fd: Fd,
        in_fd: Fd,
        offset: Option<i64>,
        count: usize,
    },
    /// epoll_create(2).
    EpollCreate {
        size: i32,
    },
    /// epoll_create1(2).
    EpollCreate1 {
        flags: i32,
    },
    /// epoll_ctl(2); `event` is `None` where the pointer is NULL.
    EpollCtl {
        epfd: Fd,
        op: i32,
        fd: Fd,
        event: Option<EpollEvent>,
    },
    /// epoll_wait(2); `timeout_ms` negative: for ever.
    EpollWait {
        epfd: Fd,
        maxevents: i32,
        timeout_ms: i32,
    },
    /// select(2) and pselect(2); `timeout` in nanoseconds, `None`: for ever.
    Select {
        sets: FdSets,
        timeout: Option<u64>,
    },
    /// A call of the kind read or write whose buffer's address is NULL; the data that the call
    /// carries says only how long the buffer is said to be.
    Fault(Box<Call>),
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
        /// Control messages, as far as there was room for them.
        control: Vec<Cmsg>,
    },
    /// recvmmsg(2)'s messages, each a [`Ret::Data`].
    Messages(Vec<Ret>),
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
    /// epoll_wait(2)'s events.
    Epoll(Vec<EpollEvent>),
    /// select(2): how many descriptors are ready, and which.
    Select {
        /// The call's value.
        ready: i32,
        /// The sets as they are returned.
        sets: FdSets,
    },
    /// pipe2(2): the end to read from and the end to write to.
    Pipe([Fd; 2]),
}

impl Ret {
    /// A count of bytes.
    pub(crate) fn count(n: usize) -> Self {
        Self::Int(n as i64)
    }

    /// The number that the C call returns.
    pub fn value(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            Self::Accepted { fd, .. } => i64::from(*fd),
            Self::Data { len, .. } => *len as i64,
            Self::Poll { ready, .. } | Self::Select { ready, .. } => i64::from(*ready),
            Self::Epoll(events) => events.len() as i64,
            Self::Messages(messages) => messages.len() as i64,
            Self::Opt(_) | Self::Addr(_) | Self::Pipe(_) => 0,
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
            Self::Sendmmsg { .. } => "sendmmsg",
            Self::Recvmmsg { .. } => "recvmmsg",
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
            Self::Writev { .. } => "writev",
            Self::Readv { .. } => "readv",
            Self::Dup3 { flags: None, .. } => "dup2",
            Self::Dup3 { .. } => "dup3",
            Self::Open { .. } => "open",
            Self::Pipe2 { .. } => "pipe2",
            Self::Eventfd2 { .. } => "eventfd2",
            Self::Splice { .. } => "splice",
            Self::Tee { .. } => "tee",
            Self::Sendfile { .. } => "sendfile",
            Self::EpollCreate { .. } => "epoll_create",
            Self::EpollCreate1 { .. } => "epoll_create1",
            Self::EpollCtl { .. } => "epoll_ctl",
            Self::EpollWait { .. } => "epoll_wait",
            Self::Select { .. } => "select",
            Self::Fault(call) => call.name(),
        }
    }
}
