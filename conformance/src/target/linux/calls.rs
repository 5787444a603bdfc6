//! A script's calls as real system calls.

use std::net::Ipv4Addr;
use std::sync::Arc;

use host_sys::Received;
use reference_stack::syscalls::{Errno, PollFd, SockAddr, SysResult};
use reference_stack::{Call, Ret};

const AF_INET: u16 = 2;
/// Size of `struct sockaddr_in`.
const SOCKADDR_IN: usize = 16;
const MSG_ZEROCOPY: i32 = 0x400_0000;
/// `RWF`-like calls may not allocate without bound: the longest buffer that a script can ask for.
const MAX_BUFFER: usize = 1 << 26;

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
            Call::Sendmsg { fd, data, flags, addr } => {
                self.lend(data, *flags);
                let addr = addr.map(to_bytes);
                number(host_sys::sendmsg(*fd, data, *flags, addr.as_deref(), &[])?)
            }
            Call::Recvfrom { fd, len, flags } | Call::Recvmsg { fd, len, flags } => {
                let mut buf = buffer(*len);
                let got = host_sys::recvmsg(*fd, &mut buf, 0, *flags)?;
                Ok(data(buf, got))
            }
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
        }
    }

    /// Keeps a buffer that the kernel sends from without copying it, so that the bytes stay as they are.
    fn lend(&mut self, data: &Arc<Vec<u8>>, flags: i32) {
        if flags & MSG_ZEROCOPY != 0 {
            self.lent.push(Arc::clone(data));
        }
    }
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
    Ret::Data { data: buf, len: got.len, addr: from_bytes(&got.addr), msg_flags: got.flags }
}

fn address(bytes: &[u8]) -> host_sys::Result<Ret> {
    Ok(Ret::Addr(from_bytes(bytes).unwrap_or(SockAddr::Unspec)))
}

fn poll(fds: &[PollFd], timeout_ms: i32) -> host_sys::Result<Ret> {
    let entry = |f: &PollFd| host_sys::PollFd { fd: f.fd, events: f.events, revents: 0 };
    let mut list: Vec<host_sys::PollFd> = fds.iter().map(entry).collect();
    let timeout = u64::try_from(timeout_ms).ok().map(std::time::Duration::from_millis);
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
