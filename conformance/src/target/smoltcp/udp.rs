//! UDP calls on smoltcp's sockets.

use reference_stack::{Call, Errno, Ret};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, SendError, Socket};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

use super::address;
use super::options::Options;
use super::stack::{Pending, Stack, Step, receiving, sending};
use crate::target::Refusal;

/// How many datagrams a buffer holds.
const DATAGRAMS: usize = 64;
const MSG_TRUNC: i32 = 0x20;
const POLLIN: i16 = 0x1;
const POLLOUT: i16 = 0x4;

/// A UDP descriptor.
pub(super) struct Udp {
    handle: SocketHandle,
    /// The address of connect().
    peer: Option<IpEndpoint>,
}

impl Udp {
    pub(super) fn new(sockets: &mut SocketSet<'static>, options: &Options) -> Udp {
        let buffer = |bytes: usize| {
            PacketBuffer::new(vec![PacketMetadata::EMPTY; DATAGRAMS], vec![0; bytes])
        };
        let socket = Socket::new(buffer(options.receive), buffer(options.send));
        Udp { handle: sockets.add(socket), peer: None }
    }

    pub(super) fn step(
        &mut self,
        stack: &mut Stack,
        nonblock: bool,
        v6: bool,
        pending: &Pending,
    ) -> Result<Step, Refusal> {
        if let Some(call) = sending(&pending.call)? {
            let to = call.to.map_or(self.peer, address::endpoint);
            return Ok(match to {
                Some(to) => self.send(stack, &call.data, to, nonblock || call.dont_wait),
                None => Step::fails(Errno::EDESTADDRREQ),
            });
        }
        if let Some(call) = receiving(&pending.call)? {
            let nonblock = nonblock || call.dont_wait;
            return Ok(self.receive(stack, call.len, nonblock, call.peek, v6));
        }
        Ok(match &pending.call {
            Call::Bind { addr, .. } => match address::listen_endpoint(*addr) {
                Some(local) => self.bind(stack, local),
                None => Step::fails(Errno::EINVAL),
            },
            Call::Connect { addr, .. } => {
                self.peer = address::endpoint(*addr);
                self.bind_any(stack);
                Step::number(0)
            }
            Call::Getsockname { .. } => {
                let at = stack.sockets.get::<Socket<'_>>(self.handle).endpoint();
                let any = match v6 {
                    true => std::net::Ipv6Addr::UNSPECIFIED.into(),
                    false => std::net::Ipv4Addr::UNSPECIFIED.into(),
                };
                let at = IpEndpoint::new(at.addr.unwrap_or(any), at.port);
                Step::Done(Ok(Ret::Addr(address::told(at, v6))))
            }
            Call::Getpeername { .. } => match self.peer {
                Some(peer) => Step::Done(Ok(Ret::Addr(address::told(peer, v6)))),
                None => Step::fails(Errno::ENOTCONN),
            },
            Call::Shutdown { .. } => {
                return Err(Refusal::Unsupported("smoltcp has no shutdown() for UDP".into()));
            }
            _ => Step::fails(Errno::EOPNOTSUPP),
        })
    }

    fn bind(&self, stack: &mut Stack, mut local: IpListenEndpoint) -> Step {
        if local.port == 0 {
            local.port = stack.port();
        }
        match stack.sockets.get_mut::<Socket<'_>>(self.handle).bind(local) {
            Ok(()) => Step::number(0),
            Err(_) => Step::fails(Errno::EINVAL),
        }
    }

    /// A socket that sends has a port.
    fn bind_any(&self, stack: &mut Stack) {
        if !stack.sockets.get::<Socket<'_>>(self.handle).is_open() {
            self.bind(stack, IpListenEndpoint::default());
        }
    }

    fn send(&self, stack: &mut Stack, data: &[u8], to: IpEndpoint, nonblock: bool) -> Step {
        self.bind_any(stack);
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        if data.len() > socket.payload_send_capacity() {
            return Step::fails(Errno::EMSGSIZE);
        }
        match socket.send_slice(data, to) {
            Ok(()) => Step::number(data.len()),
            Err(SendError::BufferFull) => Step::wait_unless(nonblock),
            Err(SendError::Unaddressable) => Step::fails(Errno::EINVAL),
        }
    }

    fn receive(&self, stack: &mut Stack, len: usize, nonblock: bool, peek: bool, v6: bool) -> Step {
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.handle);
        // A connected socket hears its peer only.
        while let Ok((_, meta)) = socket.peek()
            && self.peer.is_some_and(|peer| peer != meta.endpoint)
        {
            let _ = socket.recv();
        }
        let got = match peek {
            true => socket.peek().ok().map(|(bytes, meta)| (bytes, meta.endpoint)),
            false => socket.recv().ok().map(|(bytes, meta)| (bytes, meta.endpoint)),
        };
        let Some((bytes, from)) = got else { return Step::wait_unless(nonblock) };
        let data = bytes[..len.min(bytes.len())].to_vec();
        let msg_flags = if data.len() < bytes.len() { MSG_TRUNC } else { 0 };
        let (len, addr) = (data.len(), Some(address::told(from, v6)));
        Step::Done(Ok(Ret::Data { data, len, addr, msg_flags, control: Vec::new() }))
    }

    pub(super) fn events(&self, sockets: &SocketSet<'static>) -> i16 {
        let socket = sockets.get::<Socket<'_>>(self.handle);
        let events = if socket.can_recv() { POLLIN } else { 0 };
        events | if socket.can_send() || !socket.is_open() { POLLOUT } else { 0 }
    }

    pub(super) fn close(self, sockets: &mut SocketSet<'static>) {
        sockets.remove(self.handle);
    }

    pub(super) fn set_hop_limit(&self, sockets: &mut SocketSet<'static>, limit: Option<u8>) {
        sockets.get_mut::<Socket<'_>>(self.handle).set_hop_limit(limit);
    }
}
