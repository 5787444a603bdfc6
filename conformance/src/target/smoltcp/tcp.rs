//! TCP calls on smoltcp's sockets.
//!
//! smoltcp has no listening socket with a queue: a socket that listens becomes the connection. So a listener here is as
//! many of them as its backlog says, and each that was taken is replaced.

use std::collections::VecDeque;

use reference_stack::{Call, Errno, Ret};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{RecvError, Socket, State};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

use super::address;
use super::options::Options;
use super::stack::{Descriptor, Kind, Outcome, Pending, Stack, Step, receiving, sending};
use crate::target::Refusal;

/// The most sockets that stand in for a backlog.
const MOST_LISTENING: usize = 16;
const SHUT_RD: i32 = 0;
const SHUT_RDWR: i32 = 2;
const POLLIN: i16 = 0x1;
const POLLOUT: i16 = 0x4;
const POLLERR: i16 = 0x8;
const POLLHUP: i16 = 0x10;
const POLLRDHUP: i16 = 0x2000;

/// A TCP descriptor.
#[derive(Default)]
pub(super) struct Tcp {
    local: Option<IpListenEndpoint>,
    state: Mode,
}

#[derive(Default)]
enum Mode {
    /// Neither listening nor connected.
    #[default]
    Fresh,
    Listening {
        local: IpListenEndpoint,
        waiting: Vec<SocketHandle>,
        ready: VecDeque<SocketHandle>,
    },
    Open(Connection),
}

/// A connection, or an attempt at one.
struct Connection {
    handle: SocketHandle,
    /// The state at the last look.
    last: State,
    /// connect() has not reported success yet.
    connecting: bool,
    /// What the next call reports.
    error: Option<Errno>,
}

impl Tcp {
    /// Looks at what smoltcp did to the sockets.
    pub(super) fn observe(&mut self, sockets: &mut SocketSet<'static>, options: &Options) {
        match &mut self.state {
            Mode::Fresh => {}
            Mode::Open(connection) => connection.observe(sockets),
            Mode::Listening { local, waiting, ready } => {
                for slot in waiting {
                    let state = sockets.get::<Socket<'_>>(*slot).state();
                    if !matches!(state, State::Listen | State::SynReceived) {
                        ready.push_back(*slot);
                        *slot = listening(sockets, *local, options);
                    }
                }
            }
        }
    }

    pub(super) fn step(
        &mut self,
        stack: &mut Stack,
        nonblock: bool,
        v6: bool,
        options: &Options,
        pending: &mut Pending,
    ) -> Result<Step, Refusal> {
        if let Some(call) = sending(&pending.call)? {
            let nonblock = nonblock || call.dont_wait;
            return Ok(self.send(stack, &call.data, nonblock, &mut pending.taken));
        }
        if let Some(call) = receiving(&pending.call)? {
            return Ok(self.receive(stack, call.len, nonblock || call.dont_wait, call.peek));
        }
        match &pending.call {
            Call::Bind { addr, .. } => {
                let Some(local) = address::listen_endpoint(*addr) else {
                    return Ok(Step::fails(Errno::EINVAL));
                };
                self.local = Some(local);
                Ok(Step::number(0))
            }
            Call::Listen { backlog, .. } => Ok(self.listen(stack, options, *backlog)),
            Call::Connect { addr, .. } => {
                let Some(remote) = address::endpoint(*addr) else {
                    return Err(Refusal::Unsupported(
                        "smoltcp cannot dissolve a connection".into(),
                    ));
                };
                Ok(self.connect(stack, options, remote, nonblock, pending.tried))
            }
            Call::Shutdown { how, .. } => self.shutdown(stack, *how),
            Call::Getsockname { .. } => Ok(self.names(stack, v6).0),
            Call::Getpeername { .. } => Ok(self.names(stack, v6).1),
            _ => Ok(Step::fails(Errno::EOPNOTSUPP)),
        }
    }

    fn listen(&mut self, stack: &mut Stack, options: &Options, backlog: i32) -> Step {
        match self.state {
            Mode::Listening { .. } => return Step::number(0),
            Mode::Open(_) => return Step::fails(Errno::EINVAL),
            Mode::Fresh => {}
        }
        let mut local = self.local.unwrap_or_default();
        if local.port == 0 {
            local.port = stack.port();
        }
        let count = usize::try_from(backlog).unwrap_or(0).clamp(1, MOST_LISTENING);
        let waiting = (0..count).map(|_| listening(&mut stack.sockets, local, options)).collect();
        self.state = Mode::Listening { local, waiting, ready: VecDeque::new() };
        Step::number(0)
    }

    pub(super) fn accept(
        &mut self,
        stack: &mut Stack,
        nonblock: bool,
        v6: bool,
        options: &Options,
        child_nonblock: bool,
    ) -> Outcome {
        let Mode::Listening { ready, .. } = &mut self.state else {
            return Outcome::Step(Step::fails(Errno::EINVAL));
        };
        let Some(handle) = ready.pop_front() else {
            return Outcome::Step(Step::wait_unless(nonblock));
        };
        let socket = stack.sockets.get::<Socket<'_>>(handle);
        let state = socket.state();
        let peer = socket.remote_endpoint().map(|at| address::told(at, v6));
        let error = (state == State::Closed).then_some(Errno::ECONNRESET);
        let connection = Connection { handle, last: state, connecting: false, error };
        Outcome::Accepted {
            descriptor: Descriptor {
                kind: Kind::Tcp(Tcp { local: None, state: Mode::Open(connection) }),
                v6,
                nonblock: child_nonblock,
                options: options.clone(),
            },
            peer: peer.unwrap_or(reference_stack::syscalls::SockAddr::Unspec),
        }
    }

    fn connect(
        &mut self,
        stack: &mut Stack,
        options: &Options,
        remote: IpEndpoint,
        nonblock: bool,
        tried: bool,
    ) -> Step {
        match &mut self.state {
            Mode::Listening { .. } => return Step::fails(Errno::EISCONN),
            Mode::Open(connection) => return connection.connect_again(tried),
            Mode::Fresh => {}
        }
        let mut local = self.local.unwrap_or_default();
        if local.port == 0 {
            local.port = stack.port();
        }
        let mut socket = options.socket();
        if socket.connect(stack.interface.context(), remote, local).is_err() {
            return Step::fails(Errno::ENETUNREACH);
        }
        let last = socket.state();
        let handle = stack.sockets.add(socket);
        self.state = Mode::Open(Connection { handle, last, connecting: true, error: None });
        if nonblock { Step::fails(Errno::EINPROGRESS) } else { Step::Wait }
    }

    fn send(&mut self, stack: &mut Stack, data: &[u8], nonblock: bool, taken: &mut usize) -> Step {
        let Mode::Open(connection) = &mut self.state else { return Step::fails(Errno::EPIPE) };
        if let Some(errno) = connection.error.take() {
            return Step::fails(errno);
        }
        let socket = stack.sockets.get_mut::<Socket<'_>>(connection.handle);
        if matches!(socket.state(), State::SynSent | State::SynReceived) {
            return Step::wait_unless(nonblock);
        }
        let rest = data.get(*taken..).unwrap_or_default();
        match socket.send_slice(rest) {
            Err(_) if *taken > 0 => Step::number(*taken),
            Err(_) => Step::fails(Errno::EPIPE),
            Ok(n) => {
                *taken += n;
                match *taken {
                    all if all == data.len() => Step::number(all),
                    some if nonblock && some > 0 => Step::number(some),
                    _ => Step::wait_unless(nonblock),
                }
            }
        }
    }

    fn receive(&mut self, stack: &mut Stack, len: usize, nonblock: bool, peek: bool) -> Step {
        let Mode::Open(connection) = &mut self.state else { return Step::fails(Errno::ENOTCONN) };
        let socket = stack.sockets.get_mut::<Socket<'_>>(connection.handle);
        if matches!(socket.state(), State::SynSent | State::SynReceived) {
            return Step::wait_unless(nonblock);
        }
        let mut data = vec![0; len.min(socket.recv_queue())];
        if data.is_empty() && len > 0 && socket.may_recv() {
            return Step::wait_unless(nonblock);
        }
        let got = if peek { socket.peek_slice(&mut data) } else { socket.recv_slice(&mut data) };
        match (got, connection.error.take()) {
            (Ok(len), error) => {
                connection.error = error;
                data.truncate(len);
                let control = Vec::new();
                Step::Done(Ok(Ret::Data { data, len, addr: None, msg_flags: 0, control }))
            }
            (Err(_), Some(errno)) => Step::fails(errno),
            (Err(RecvError::Finished | RecvError::InvalidState), None) => {
                let (data, control) = (Vec::new(), Vec::new());
                Step::Done(Ok(Ret::Data { data, len: 0, addr: None, msg_flags: 0, control }))
            }
        }
    }

    fn shutdown(&mut self, stack: &mut Stack, how: i32) -> Result<Step, Refusal> {
        let Mode::Open(connection) = &mut self.state else {
            return Ok(Step::fails(Errno::ENOTCONN));
        };
        match how {
            SHUT_RD => Err(Refusal::Unsupported("smoltcp has no shutdown(SHUT_RD)".into())),
            ..=SHUT_RDWR => {
                let socket = stack.sockets.get_mut::<Socket<'_>>(connection.handle);
                if socket.state() == State::Closed {
                    return Ok(Step::fails(Errno::ENOTCONN));
                }
                socket.close();
                connection.last = socket.state();
                Ok(Step::number(0))
            }
            _ => Ok(Step::fails(Errno::EINVAL)),
        }
    }

    /// The socket's own address, and its peer's.
    fn names(&self, stack: &Stack, v6: bool) -> (Step, Step) {
        let told =
            |at: Option<IpEndpoint>| at.map(|at| Step::Done(Ok(Ret::Addr(address::told(at, v6)))));
        let (local, remote) = match &self.state {
            Mode::Open(connection) => {
                let socket = stack.sockets.get::<Socket<'_>>(connection.handle);
                (socket.local_endpoint(), socket.remote_endpoint())
            }
            _ => (None, None),
        };
        let bound = self.local.unwrap_or_default();
        let any = match v6 {
            true => std::net::Ipv6Addr::UNSPECIFIED.into(),
            false => std::net::Ipv4Addr::UNSPECIFIED.into(),
        };
        let local = local.unwrap_or(IpEndpoint::new(bound.addr.unwrap_or(any), bound.port));
        (
            told(Some(local)).unwrap_or(Step::fails(Errno::EINVAL)),
            told(remote).unwrap_or(Step::fails(Errno::ENOTCONN)),
        )
    }

    /// The socket of a connection.
    pub(super) fn handle(&self) -> Option<SocketHandle> {
        match &self.state {
            Mode::Open(connection) => Some(connection.handle),
            _ => None,
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, Mode::Listening { .. })
    }

    /// SO_ERROR
    pub(super) fn take_error(&mut self) -> Option<Errno> {
        match &mut self.state {
            Mode::Open(connection) => connection.error.take(),
            _ => None,
        }
    }

    /// Bytes that can be read, and bytes that are not acknowledged.
    pub(super) fn queues(&self, sockets: &SocketSet<'static>) -> (usize, usize) {
        let Some(handle) = self.handle() else { return (0, 0) };
        let socket = sockets.get::<Socket<'_>>(handle);
        (socket.recv_queue(), socket.send_queue())
    }

    pub(super) fn events(&self, sockets: &SocketSet<'static>) -> i16 {
        let (handle, error) = match &self.state {
            Mode::Fresh => return POLLOUT | POLLHUP,
            Mode::Listening { ready, .. } => return if ready.is_empty() { 0 } else { POLLIN },
            Mode::Open(connection) => (connection.handle, connection.error),
        };
        let socket = sockets.get::<Socket<'_>>(handle);
        let state = socket.state();
        if matches!(state, State::SynSent | State::SynReceived) {
            return 0;
        }
        let mut events = 0;
        if socket.can_recv() || !socket.may_recv() {
            events |= POLLIN;
        }
        if !socket.may_recv() {
            events |= POLLRDHUP;
        }
        if socket.can_send() || !socket.may_send() {
            events |= POLLOUT;
        }
        if error.is_some() {
            events |= POLLERR;
        }
        if !socket.may_recv() && !socket.may_send() {
            events |= POLLHUP;
        }
        events
    }

    /// Closes all; the sockets have the rest of their life without a descriptor.
    pub(super) fn close(self, sockets: &mut SocketSet<'static>, abort: bool) -> Vec<SocketHandle> {
        let (handles, abort) = match self.state {
            Mode::Fresh => return Vec::new(),
            Mode::Open(connection) => (vec![connection.handle], abort),
            Mode::Listening { waiting, ready, .. } => {
                (waiting.into_iter().chain(ready).collect(), true)
            }
        };
        for &handle in &handles {
            let socket = sockets.get_mut::<Socket<'_>>(handle);
            if abort { socket.abort() } else { socket.close() }
        }
        handles
    }
}

impl Connection {
    /// A connection that is gone without us has an error, by the state that it was in.
    fn observe(&mut self, sockets: &SocketSet<'static>) {
        let state = sockets.get::<Socket<'_>>(self.handle).state();
        if state == State::Closed {
            self.error = match self.last {
                State::SynSent => Some(Errno::ECONNREFUSED),
                State::CloseWait => Some(Errno::EPIPE),
                State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 => {
                    Some(Errno::ECONNRESET)
                }
                _ => self.error,
            };
        }
        self.last = state;
    }

    /// connect() on a socket that has connected, or tries to.
    fn connect_again(&mut self, tried: bool) -> Step {
        if let Some(errno) = self.error.take() {
            return Step::fails(errno);
        }
        match self.last {
            State::SynSent | State::SynReceived if tried => Step::Wait,
            State::SynSent | State::SynReceived => Step::fails(Errno::EALREADY),
            State::Closed => Step::fails(Errno::ECONNABORTED),
            _ if self.connecting => {
                self.connecting = false;
                Step::number(0)
            }
            _ => Step::fails(Errno::EISCONN),
        }
    }
}

/// A socket that listens.
fn listening(
    sockets: &mut SocketSet<'static>,
    local: IpListenEndpoint,
    options: &Options,
) -> SocketHandle {
    let mut socket = options.socket();
    // The port is not 0 and the socket is new: there is nothing else that it refuses.
    let _ = socket.listen(local);
    sockets.add(socket)
}
