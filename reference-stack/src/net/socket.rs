//! The socket layer (Linux `net/socket.c`): what stands between a file descriptor and a
//! protocol's socket, and the table of protocol families.

use super::core::sock::SockId;
use super::ipv4::af_inet;
use super::ipv4::tcp_sock::{IoResult, Progress, RecvMsg, SendMsg};
use super::ipv6::af_inet6;
use crate::errno::Errno;
use crate::fs::file::{__get_unused_fd_flags, FilesId, fd_install, sock_alloc_file};
use crate::fs::{File, FileId, FileKind};
use crate::kernel::Kernel;
use crate::syscalls::{Fd, SockAddr};
use crate::uapi::{
    MSG_EOR, NPROTO, O_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_PACKET, SOCK_SEQPACKET,
    SOCK_TYPE_MASK,
};
use reference_stack_macros::traced;

/// `socket->state`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum SocketState {
    /// `SS_UNCONNECTED`.
    #[default]
    Unconnected,
    /// `SS_CONNECTING`.
    Connecting,
    /// `SS_CONNECTED`.
    Connected,
    /// `SS_DISCONNECTING`.
    Disconnecting,
}

/// Whose calls a socket takes (`socket->ops`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProtoOps {
    /// `inet_stream_ops`.
    InetStream,
    /// `inet_dgram_ops`.
    InetDgram,
    /// `inet6_stream_ops`.
    Inet6Stream,
    /// `inet6_dgram_ops`.
    Inet6Dgram,
}

impl ProtoOps {
    /// Whether it is a stream of either family.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::InetStream | Self::Inet6Stream)
    }

    fn is_inet6(self) -> bool {
        matches!(self, Self::Inet6Stream | Self::Inet6Dgram)
    }
}

/// `struct socket`: the user's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    pub(crate) state: SocketState,
    /// `SOCK_STREAM` and so on.
    pub(crate) ty: i32,
    pub(crate) ops: ProtoOps,
    pub(crate) sk: SockId,
}

/// Whether a registered family's sockets can be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// `->create` is [`af_inet::inet_create`].
    Inet,
    /// `->create` is [`af_inet6::inet6_create`].
    Inet6,
    /// Registered at boot, but its sockets are not built: refuses as a kernel without it does.
    NotBuilt,
}

/// `net_families[]`.
#[derive(Clone, Debug)]
pub(crate) struct NetFamilies([Option<Family>; NPROTO as usize]);

impl Default for NetFamilies {
    fn default() -> Self {
        Self([None; NPROTO as usize])
    }
}

/// Adds a protocol family (`sock_register`); the name of the one that is there already is EEXIST.
#[traced]
pub(crate) fn sock_register(
    families: &mut NetFamilies,
    number: u16,
    family: Family,
) -> Result<(), Errno> {
    match families.0.get_mut(usize::from(number)) {
        None => Err(Errno::ENOBUFS),
        Some(Some(_)) => Err(Errno::EEXIST),
        Some(slot) => {
            *slot = Some(family);
            Ok(())
        }
    }
}

/// socket(2) without the call's decoding.
#[traced]
pub(crate) fn __sys_socket(
    k: &mut Kernel,
    files: FilesId,
    family: i32,
    ty: i32,
    protocol: i32,
) -> Result<Fd, Errno> {
    let flags = ty & !SOCK_TYPE_MASK;
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let sock = sock_create(k, family, ty & SOCK_TYPE_MASK, protocol)?;
    sock_map_fd(k, files, sock, flags)
}

#[traced]
fn sock_create(k: &mut Kernel, family: i32, ty: i32, protocol: i32) -> Result<Socket, Errno> {
    __sock_create(k, family, ty, protocol)
}

#[traced]
fn __sock_create(k: &mut Kernel, family: i32, ty: i32, protocol: i32) -> Result<Socket, Errno> {
    let number = u16::try_from(family).map_err(|_| Errno::EAFNOSUPPORT)?;
    let family = k.families.0.get(usize::from(number)).ok_or(Errno::EAFNOSUPPORT)?;
    // SOCK_MAX is one above SOCK_PACKET.
    if !(0..=SOCK_PACKET).contains(&ty) {
        return Err(Errno::EINVAL);
    }
    match family {
        Some(Family::Inet) => {
            let sock = sock_alloc();
            af_inet::inet_create(&mut k.socks, &mut k.net, sock, ty, protocol)
        }
        Some(Family::Inet6) => {
            let sock = sock_alloc();
            af_inet6::inet6_create(&mut k.socks, &mut k.net, sock, ty, protocol)
        }
        Some(Family::NotBuilt) | None => Err(Errno::EAFNOSUPPORT),
    }
}

/// A socket before its family has filled it (`sock_alloc`).
#[traced]
pub(crate) fn sock_alloc() -> Socket {
    Socket {
        state: SocketState::Unconnected,
        ty: 0,
        ops: ProtoOps::InetDgram,
        sk: SockId(u32::MAX),
    }
}

/// Gives a socket a file and a descriptor.
#[traced]
fn sock_map_fd(k: &mut Kernel, files: FilesId, sock: Socket, flags: i32) -> Result<Fd, Errno> {
    let fd = match __get_unused_fd_flags(&mut k.fs, files) {
        Ok(fd) => fd,
        Err(e) => {
            let mut sock = sock;
            af_inet::inet_release(&mut k.socks, &mut k.net, &mut sock)?;
            return Err(e);
        }
    };
    let file = sock_alloc_file(&mut k.fs, sock, flags);
    fd_install(&mut k.fs, files, fd, file);
    Ok(fd)
}

/// The socket behind a descriptor (`sockfd_lookup_light`).
#[traced]
pub(crate) fn sockfd_lookup_light(k: &Kernel, files: FilesId, fd: Fd) -> Result<FileId, Errno> {
    let file = k.fs.fdget(files, fd)?;
    match k.fs.file(file).map(|f| f.kind) {
        Some(FileKind::Socket(_)) => Ok(file),
        _ => Err(Errno::ENOTSOCK),
    }
}

/// Takes the caller's address over (`move_addr_to_kernel`). Addresses are typed here, so there
/// is no length left to check.
#[traced]
pub(crate) fn move_addr_to_kernel(addr: SockAddr) -> SockAddr {
    addr
}

/// Runs `f` on the socket of a file, with the parts below it.
pub(crate) fn with_socket<T>(
    k: &mut Kernel,
    file: FileId,
    f: impl FnOnce(&mut super::core::sock::Socks, &mut super::Net, &mut Socket, i32) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let Kernel { fs, socks, net, .. } = k;
    let Some(File { kind: FileKind::Socket(sock), f_flags, .. }) = fs.file_mut(file) else {
        return Err(Errno::ENOTSOCK);
    };
    f(socks, net, sock, *f_flags)
}

/// bind(2).
#[traced]
pub(crate) fn __sys_bind(
    k: &mut Kernel,
    files: FilesId,
    fd: Fd,
    addr: SockAddr,
) -> Result<(), Errno> {
    let file = sockfd_lookup_light(k, files, fd)?;
    let addr = move_addr_to_kernel(addr);
    with_socket(k, file, |socks, net, sock, _| match sock.ops.is_inet6() {
        true => af_inet6::inet6_bind(socks, net, sock, addr),
        false => af_inet::inet_bind(socks, net, sock, addr),
    })
}

/// A socket's name by its family's `->getname`; `peer` as [`af_inet::inet_getname`] takes it.
///
/// # Errors
/// ENOTCONN without a peer.
pub(crate) fn kernel_getname(
    socks: &super::core::sock::Socks,
    net: &super::Net,
    sock: &Socket,
    peer: u8,
) -> Result<SockAddr, Errno> {
    match sock.ops.is_inet6() {
        true => af_inet6::inet6_getname(socks, net, sock, peer),
        false => af_inet::inet_getname(socks, net, sock, peer),
    }
}

/// listen(2).
#[traced]
pub(crate) fn __sys_listen(
    k: &mut Kernel,
    files: FilesId,
    fd: Fd,
    backlog: i32,
) -> Result<(), Errno> {
    let file = sockfd_lookup_light(k, files, fd)?;
    let somaxconn = k.net.sysctl.somaxconn;
    // A negative backlog is as large as can be, compared unsigned.
    let backlog = i64::from(backlog as u32).min(somaxconn) as u32;
    with_socket(k, file, |socks, net, sock, _| af_inet::inet_listen(socks, net, sock, backlog))
}

/// connect(2), first call or after a wake-up.
#[traced]
pub(crate) fn __sys_connect_file(
    k: &mut Kernel,
    file: FileId,
    addr: SockAddr,
    nonblock: bool,
) -> IoResult<()> {
    with_socket(k, file, |socks, net, sock, f_flags| {
        let nonblock = nonblock || f_flags & O_NONBLOCK != 0;
        match sock.ops.is_stream() {
            true => af_inet::inet_stream_connect(socks, net, sock, addr, nonblock),
            false => af_inet::inet_dgram_connect(socks, net, sock, addr).map(Progress::Done),
        }
    })
}

/// accept4(2), first call or after a wake-up: the descriptor and the peer.
#[traced]
pub(crate) fn __sys_accept4_file(
    k: &mut Kernel,
    files: FilesId,
    file: FileId,
    flags: i32,
    nonblock: bool,
) -> IoResult<(Fd, SockAddr)> {
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let fd = __get_unused_fd_flags(&mut k.fs, files)?;
    let Progress::Done((newfile, peer)) = do_accept(k, file, flags, nonblock)? else {
        return Ok(Progress::Wait);
    };
    fd_install(&mut k.fs, files, fd, newfile);
    Ok(Progress::Done((fd, peer)))
}

#[traced]
fn do_accept(
    k: &mut Kernel,
    file: FileId,
    flags: i32,
    nonblock: bool,
) -> IoResult<(FileId, SockAddr)> {
    let newfile = sock_alloc_file(&mut k.fs, sock_alloc(), flags);
    match accept_into(k, file, newfile, nonblock) {
        Ok(Progress::Done(peer)) => Ok(Progress::Done((newfile, peer))),
        other => {
            // Nothing was accepted, or it is gone already: the file goes without a descriptor.
            k.fs.fput(newfile);
            other.map(|_| Progress::Wait)
        }
    }
}

/// Accepts a connection into the file that is ready for it, and names its peer.
fn accept_into(
    k: &mut Kernel,
    listener: FileId,
    newfile: FileId,
    nonblock: bool,
) -> IoResult<SockAddr> {
    let accepted = with_socket(k, listener, |socks, net, sock, f_flags| {
        af_inet::inet_accept(socks, net, sock, nonblock || f_flags & O_NONBLOCK != 0)
    })?;
    let Progress::Done(mut new) = accepted else { return Ok(Progress::Wait) };
    let Ok(peer) = kernel_getname(&k.socks, &k.net, &new, 2) else {
        // The peer reset it meanwhile: the connection is given back.
        af_inet::inet_release(&mut k.socks, &mut k.net, &mut new)?;
        return Err(Errno::ECONNABORTED);
    };
    if let Some(file) = k.fs.file_mut(newfile) {
        file.kind = FileKind::Socket(new);
    }
    Ok(Progress::Done(peer))
}

/// A socket's `write_iter`.
#[traced]
pub(crate) fn sock_write_iter(k: &mut Kernel, file: FileId, msg: &mut SendMsg) -> IoResult<usize> {
    if socket_type(k, file) == Some(SOCK_SEQPACKET) {
        msg.flags |= MSG_EOR;
    }
    sock_sendmsg(k, file, msg)
}

#[traced]
pub(crate) fn sock_sendmsg(k: &mut Kernel, file: FileId, msg: &mut SendMsg) -> IoResult<usize> {
    sock_sendmsg_nosec(k, file, msg)
}

#[traced]
fn sock_sendmsg_nosec(k: &mut Kernel, file: FileId, msg: &mut SendMsg) -> IoResult<usize> {
    with_socket(k, file, |socks, net, sock, f_flags| {
        msg.nonblock |= f_flags & O_NONBLOCK != 0;
        af_inet::inet_sendmsg(socks, net, sock, msg)
    })
}

/// A socket's `read_iter`.
#[traced]
pub(crate) fn sock_read_iter(k: &mut Kernel, file: FileId, msg: &mut RecvMsg) -> IoResult<usize> {
    // A read of nothing does not touch the socket.
    if msg.len == 0 {
        return Ok(Progress::Done(0));
    }
    sock_recvmsg(k, file, msg)
}

#[traced]
pub(crate) fn sock_recvmsg(k: &mut Kernel, file: FileId, msg: &mut RecvMsg) -> IoResult<usize> {
    sock_recvmsg_nosec(k, file, msg)
}

#[traced]
fn sock_recvmsg_nosec(k: &mut Kernel, file: FileId, msg: &mut RecvMsg) -> IoResult<usize> {
    with_socket(k, file, |socks, net, sock, f_flags| {
        msg.nonblock |= f_flags & O_NONBLOCK != 0;
        af_inet::inet_recvmsg(socks, net, sock, msg)
    })
}

fn socket_type(k: &Kernel, file: FileId) -> Option<i32> {
    match k.fs.file(file)?.kind {
        FileKind::Socket(ref sock) => Some(sock.ty),
        _ => None,
    }
}
