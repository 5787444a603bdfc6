//! A script's calls as real system calls.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use host_sys::{Control, Received};
use reference_stack::syscalls::{Cmsg, EpollEvent, FdSets, PollFd, SockAddr, SysResult};
use reference_stack::{Call, Errno, Ret};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Size of `struct sockaddr_in`.
const SOCKADDR_IN: usize = 16;
/// Bytes of a `struct sockaddr_in6`.
const SOCKADDR_IN6: usize = 28;
const MSG_ZEROCOPY: i32 = 0x400_0000;
/// The longest buffer that a script can ask for.
const MAX_BUFFER: usize = 1 << 26;
/// Likewise for control messages.
const MAX_CONTROL: usize = 1 << 16;
const EINVAL: host_sys::Errno = host_sys::Errno(22);
const ENOSYS: host_sys::Errno = host_sys::Errno(38);

/// Makes calls, and keeps what they must leave behind.
#[derive(Default)]
pub(super) struct Caller {
    /// Buffers that the kernel may still send from.
    lent: Vec<Arc<Vec<u8>>>,
}

impl Caller {
    /// Makes the call and waits for it.
    pub(super) fn make(&mut self, call: &Call) -> SysResult {
        self.call(call).map_err(|errno| Errno::from_raw(errno.0))
    }

    fn call(&mut self, call: &Call) -> host_sys::Result<Ret> {
        match call {
            Call::Socket { family, ty, protocol } => fd(host_sys::socket(*family, *ty, *protocol)?),
            Call::Bind { fd, addr } => done(host_sys::bind(*fd, &to_bytes(*addr))?),
            Call::Listen { fd, backlog } => done(host_sys::listen(*fd, *backlog)?),
            Call::Connect { fd, addr } => done(host_sys::connect(*fd, &to_bytes(*addr))?),
            Call::Accept4 { fd, flags } => {
                let (fd, peer) = host_sys::accept4(*fd, *flags)?;
                Ok(Ret::Accepted { fd, peer: from_bytes(&peer).unwrap_or(SockAddr::Unspec) })
            }
            Call::Read { fd, len } => {
                let mut buf = buffer(*len);
                let len = host_sys::read(*fd, &mut buf)?;
                Ok(data(buf, Received { len, ..Received::default() }))
            }
            Call::Write { fd, data } => number(host_sys::write(*fd, data)?),
            Call::Sendto { fd, data, flags, addr } => {
                self.lend(data, *flags);
                let addr = addr.map(to_bytes);
                number(host_sys::sendto(*fd, data, *flags, addr.as_deref())?)
            }
            Call::Writev { fd, data, iov } => number(host_sys::writev(*fd, data, iov)?),
            Call::Sendmsg { fd, data, iov, control, flags, addr } => {
                let buffers = apart(data, iov);
                let addr = addr.map(to_bytes);
                let control: Vec<Control> = control.iter().map(to_control).collect();
                let parts: Vec<&[u8]> = buffers.iter().map(|buffer| buffer.as_slice()).collect();
                let sent = host_sys::sendmsg(*fd, &parts, *flags, addr.as_deref(), &control);
                drop(parts);
                for buffer in &buffers {
                    self.lend(buffer, *flags);
                }
                number(sent?)
            }
            Call::Recvfrom { fd, len, flags } => receive(*fd, *len, 0, *flags),
            Call::Recvmsg { fd, len, controllen, flags } => {
                receive(*fd, *len, (*controllen).min(MAX_CONTROL), *flags)
            }
            Call::Readv { fd, len } => {
                let mut buf = buffer(*len);
                let len = host_sys::read(*fd, &mut buf)?;
                Ok(data(buf, Received { len, ..Received::default() }))
            }
            // The scripts' language has neither.
            Call::Sendmmsg { .. } | Call::Recvmmsg { .. } => Err(ENOSYS),
            Call::Close { fd } => done(host_sys::close(*fd)?),
            Call::Shutdown { fd, how } => done(host_sys::shutdown(*fd, *how)?),
            Call::Setsockopt { fd, level, name, value } => {
                done(host_sys::setsockopt(*fd, *level, *name, value)?)
            }
            Call::Getsockopt { fd, level, name, len } => {
                Ok(Ret::Opt(host_sys::getsockopt(*fd, *level, *name, (*len).min(MAX_BUFFER))?))
            }
            Call::Getsockname { fd } => address(&host_sys::getsockname(*fd)?),
            Call::Getpeername { fd } => address(&host_sys::getpeername(*fd)?),
            Call::Poll { fds, timeout_ms } => poll(fds, *timeout_ms),
            Call::Fcntl { fd, cmd, arg } => Ok(Ret::Int(host_sys::fcntl(*fd, *cmd, *arg)?.into())),
            Call::Ioctl { fd, request } => {
                let mut stored = [0; 4];
                host_sys::ioctl(*fd, *request, &mut stored)?;
                Ok(Ret::Int(i32::from_ne_bytes(stored).into()))
            }
            Call::Dup { fd: old } => fd(host_sys::dup(*old)?),
            Call::Dup3 { old, new, flags } => fd(host_sys::dup3(*old, *new, *flags)?),
            Call::Open { path, flags, mode } => fd(host_sys::open(path, *flags, *mode)?),
            Call::Pipe2 { flags } => {
                let (read, write) = host_sys::pipe2(*flags)?;
                Ok(Ret::Pipe([read, write]))
            }
            Call::Eventfd2 { initval, flags } => fd(host_sys::eventfd(*initval, *flags)?),
            Call::Splice { fd_in, off_in, fd_out, off_out, len, flags } => {
                let (from, to) = ((*fd_in, *off_in), (*fd_out, *off_out));
                number(host_sys::splice(from, to, *len, *flags)?)
            }
            Call::Tee { fd_in, fd_out, len, flags } => {
                number(host_sys::tee(*fd_in, *fd_out, *len, *flags)?)
            }
            Call::Sendfile { out_fd, in_fd, offset, count } => {
                number(host_sys::sendfile(*out_fd, *in_fd, *offset, *count)?)
            }
            Call::EpollCreate { .. }
            | Call::EpollCreate1 { .. }
            | Call::EpollCtl { .. }
            | Call::EpollWait { .. } => epoll(call),
            Call::Select { sets, timeout } => select(sets, *timeout),
            Call::Fault(inner) => fault(inner),
        }
    }

    /// Keeps a buffer that the kernel sends from without copying it, so that the bytes stay as they are.
    fn lend(&mut self, data: &Arc<Vec<u8>>, flags: i32) {
        if flags & MSG_ZEROCOPY != 0 {
            self.lent.push(Arc::clone(data));
        }
    }
}

/// The buffers of a vector, each in memory of its own: from neighbours the kernel would make one fragment.
fn apart(data: &Arc<Vec<u8>>, lens: &[usize]) -> Vec<Arc<Vec<u8>>> {
    if lens.is_empty() {
        return vec![Arc::clone(data)];
    }
    let mut rest = data.as_slice();
    let mut cut = |len: &usize| {
        let (part, after) = rest.split_at(rest.len().min(*len));
        rest = after;
        Arc::new(part.to_vec())
    };
    lens.iter().map(&mut cut).collect()
}

fn done((): ()) -> host_sys::Result<Ret> {
    Ok(Ret::Int(0))
}

fn fd(fd: i32) -> host_sys::Result<Ret> {
    Ok(Ret::Int(fd.into()))
}

fn number(n: usize) -> host_sys::Result<Ret> {
    Ok(Ret::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn buffer(len: usize) -> Vec<u8> {
    vec![0; len.min(MAX_BUFFER)]
}

fn data(mut buf: Vec<u8>, got: Received) -> Ret {
    buf.truncate(got.len);
    let control = host_sys::control_messages(&got.control).into_iter().map(from_control).collect();
    let Received { len, addr, flags, .. } = got;
    Ret::Data { data: buf, len, addr: from_bytes(&addr), msg_flags: flags, control }
}

fn receive(fd: i32, len: usize, control: usize, flags: i32) -> host_sys::Result<Ret> {
    let mut buf = buffer(len);
    let got = host_sys::recvmsg(fd, &mut buf, control, flags)?;
    Ok(data(buf, got))
}

fn to_control(Cmsg { level, ty, data }: &Cmsg) -> Control {
    Control { level: *level, ty: *ty, data: data.clone() }
}

fn from_control(Control { level, ty, data }: Control) -> Cmsg {
    Cmsg { level, ty, data }
}

fn epoll(call: &Call) -> host_sys::Result<Ret> {
    match call {
        // The size has to be positive and means nothing else.
        Call::EpollCreate { size } if *size <= 0 => Err(EINVAL),
        Call::EpollCreate { .. } => fd(host_sys::epoll_create1(0)?),
        Call::EpollCreate1 { flags } => fd(host_sys::epoll_create1(*flags)?),
        Call::EpollCtl { epfd, op, fd, event: None } => {
            done(host_sys::epoll_ctl_null(*epfd, *op, *fd)?)
        }
        Call::EpollCtl { epfd, op, fd, event: Some(EpollEvent { events, data }) } => {
            done(host_sys::epoll_ctl(*epfd, *op, *fd, *events, *data)?)
        }
        Call::EpollWait { epfd, maxevents, timeout_ms } => {
            let max = usize::try_from(*maxevents).map_err(|_| EINVAL)?;
            let got = host_sys::epoll_wait(*epfd, max, *timeout_ms)?;
            let events = got.into_iter().map(|(events, data)| EpollEvent { events, data });
            Ok(Ret::Epoll(events.collect()))
        }
        _ => Err(ENOSYS),
    }
}

fn select(sets: &FdSets, timeout: Option<u64>) -> host_sys::Result<Ret> {
    let FdSets { nfds, read, write, except } = sets;
    let timeout = timeout.map(Duration::from_nanos);
    let (ready, [read, write, except]) = host_sys::select(*nfds, [read, write, except], timeout)?;
    Ok(Ret::Select { ready, sets: FdSets { nfds: *nfds, read, write, except } })
}

/// A call whose buffer is the null pointer.
fn fault(call: &Call) -> host_sys::Result<Ret> {
    match call {
        Call::Write { fd, data } => number(host_sys::write_null(*fd, data.len())?),
        Call::Sendto { fd, data, flags, addr } => {
            let addr = addr.map(to_bytes);
            number(host_sys::sendto_null(*fd, data.len(), *flags, addr.as_deref())?)
        }
        Call::Read { fd, len } => number(host_sys::read_null(*fd, *len)?),
        Call::Recvfrom { fd, len, flags } => number(host_sys::recv_null(*fd, *len, *flags)?),
        _ => Err(ENOSYS),
    }
}

fn address(bytes: &[u8]) -> host_sys::Result<Ret> {
    Ok(Ret::Addr(from_bytes(bytes).unwrap_or(SockAddr::Unspec)))
}

fn poll(fds: &[PollFd], timeout_ms: i32) -> host_sys::Result<Ret> {
    let entry = |f: &PollFd| host_sys::PollFd { fd: f.fd, events: f.events, revents: 0 };
    let mut list: Vec<host_sys::PollFd> = fds.iter().map(entry).collect();
    let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
    let ready = host_sys::poll(&mut list, timeout)?;
    let back = |f: &host_sys::PollFd| PollFd { fd: f.fd, events: f.events, revents: f.revents };
    Ok(Ret::Poll { ready, fds: list.iter().map(back).collect() })
}

/// An address as the kernel reads it.
fn to_bytes(addr: SockAddr) -> Vec<u8> {
    let mut bytes = vec![0; SOCKADDR_IN];
    let family = match addr {
        SockAddr::In { addr, port } => {
            bytes[2..4].copy_from_slice(&port.to_be_bytes());
            bytes[4..8].copy_from_slice(&addr.octets());
            AF_INET
        }
        SockAddr::In6 { addr, port, flowinfo, scope_id } => {
            bytes.resize(SOCKADDR_IN6, 0);
            bytes[2..4].copy_from_slice(&port.to_be_bytes());
            bytes[4..8].copy_from_slice(&flowinfo.to_be_bytes());
            bytes[8..24].copy_from_slice(&addr.octets());
            bytes[24..28].copy_from_slice(&scope_id.to_ne_bytes());
            AF_INET6
        }
        SockAddr::Unspec => 0,
        SockAddr::Other(family) => family,
    };
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    bytes
}

/// An address as the kernel writes it; `None` for no address at all.
fn from_bytes(bytes: &[u8]) -> Option<SockAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    match family {
        0 => Some(SockAddr::Unspec),
        AF_INET => {
            let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SockAddr::In { addr: Ipv4Addr::from(ip), port })
        }
        AF_INET6 => {
            let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok();
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Some(SockAddr::In6 {
                addr: Ipv6Addr::from(ip),
                port: u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?),
                flowinfo: u32::from_be_bytes(word(4)?),
                scope_id: u32::from_ne_bytes(word(24)?),
            })
        }
        other => Some(SockAddr::Other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_there_and_back() {
        let addr = SockAddr::In { addr: Ipv4Addr::new(192, 0, 2, 1), port: 8080 };
        assert_eq!(from_bytes(&to_bytes(addr)), Some(addr));
        assert_eq!(from_bytes(&to_bytes(SockAddr::Unspec)), Some(SockAddr::Unspec));
        assert_eq!(from_bytes(&to_bytes(SockAddr::Other(38))), Some(SockAddr::Other(38)));
        assert_eq!(from_bytes(&[]), None);
        assert_eq!(from_bytes(&[2, 0, 1]), None);
    }
}
