//! smoltcp's interface and sockets, and a table of descriptors over them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use reference_stack::syscalls::{PollFd, SockAddr, SysResult};
use reference_stack::{Call, Errno, Nanos, Ret};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp as smoltcp_tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};

use super::device::Wire;
use super::options::{self, Options};
use super::settings::Settings;
use super::tcp::Tcp;
use super::udp::Udp;
use crate::target::{Addresses, Refusal};

const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const SOCK_STREAM: i32 = 1;
const SOCK_DGRAM: i32 = 2;
/// Of the type of a socket; above it are flags.
const SOCK_TYPE: i32 = 0xf;
/// `SOCK_NONBLOCK` and `O_NONBLOCK`
const NONBLOCK: i32 = 0o4000;
const O_RDWR: i32 = 2;
const F_GETFL: i32 = 3;
const F_SETFL: i32 = 4;
const SIOCINQ: u32 = 0x541b;
const SIOCOUTQ: u32 = 0x5411;
const MSG_PEEK: i32 = 0x2;
const MSG_DONTWAIT: i32 = 0x40;
const MSG_NOSIGNAL: i32 = 0x4000;
/// The first ephemeral port, as on Linux.
const FIRST_PORT: u16 = 32_768;
/// The first descriptor that a process gets.
const FIRST_FD: i32 = 3;
const SEED: u64 = 1;
const MILLISECOND: Nanos = 1_000_000;

/// A call under way.
pub(super) struct Pending {
    pub(super) call: Call,
    /// How much of its data has been taken.
    pub(super) taken: usize,
    /// Whether it has been tried before.
    pub(super) tried: bool,
    /// When it returns in any case.
    pub(super) deadline: Option<Nanos>,
}

impl Pending {
    pub(super) fn new(call: Call, now: Nanos) -> Pending {
        let deadline = match &call {
            Call::Poll { timeout_ms, .. } => u64::try_from(*timeout_ms)
                .ok()
                .map(|ms| now.saturating_add(ms.saturating_mul(MILLISECOND))),
            _ => None,
        };
        Pending { call, taken: 0, tried: false, deadline }
    }
}

/// What a try of a call came to.
pub(super) enum Step {
    Done(SysResult),
    Wait,
}

impl Step {
    pub(super) fn number(n: usize) -> Step {
        Step::Done(Ok(Ret::Int(i64::try_from(n).unwrap_or(i64::MAX))))
    }

    pub(super) fn fails(errno: Errno) -> Step {
        Step::Done(Err(errno))
    }

    /// EAGAIN where a call must not wait.
    pub(super) fn wait_unless(nonblock: bool) -> Step {
        if nonblock { Step::fails(Errno::EAGAIN) } else { Step::Wait }
    }
}

/// The kind of a socket with what it keeps.
pub(super) enum Kind {
    Tcp(Tcp),
    Udp(Udp),
}

/// An open descriptor.
pub(super) struct Descriptor {
    pub(super) kind: Kind,
    pub(super) v6: bool,
    pub(super) nonblock: bool,
    pub(super) options: Options,
}

/// smoltcp with descriptors.
pub(super) struct Stack {
    pub(super) interface: Interface,
    wire: Wire,
    pub(super) sockets: SocketSet<'static>,
    descriptors: BTreeMap<i32, Descriptor>,
    /// TCP sockets that were closed and still have something to say.
    orphans: Vec<SocketHandle>,
    pub(super) settings: Settings,
    next_port: u16,
}

impl Stack {
    pub(super) fn new(addresses: &Addresses, now: Instant) -> Result<Stack, Refusal> {
        let mut wire = Wire::new(addresses.mtu as usize);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = SEED;
        let mut interface = Interface::new(config, &mut wire, now);
        let own = IpCidr::new(addresses.local.into(), addresses.prefix);
        let refused = || Refusal::Invalid(format!("smoltcp has no room for {own}"));
        let mut full = false;
        interface.update_ip_addrs(|list| full = list.push(own).is_err());
        let routes = interface.routes_mut();
        let routed = match addresses.gateway {
            IpAddr::V4(gateway) => routes.add_default_ipv4_route(gateway).is_ok(),
            IpAddr::V6(gateway) => routes.add_default_ipv6_route(gateway).is_ok(),
        };
        if full || !routed {
            return Err(refused());
        }
        Ok(Stack {
            interface,
            wire,
            sockets: SocketSet::new(Vec::new()),
            descriptors: BTreeMap::new(),
            orphans: Vec::new(),
            settings: Settings::default(),
            next_port: FIRST_PORT,
        })
    }

    pub(super) fn receive(&mut self, packet: Vec<u8>) {
        self.wire.inbound.push_back(packet);
    }

    pub(super) fn take_sent(&mut self) -> Vec<Vec<u8>> {
        self.wire.outbound.drain(..).collect()
    }

    /// One round of smoltcp, and what it did to the sockets.
    pub(super) fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        for descriptor in self.descriptors.values_mut() {
            if let Kind::Tcp(tcp) = &mut descriptor.kind {
                tcp.observe(&mut self.sockets, &descriptor.options);
            }
        }
        let sockets = &mut self.sockets;
        self.orphans.retain(|&handle| {
            let gone = sockets.get::<smoltcp_tcp::Socket<'_>>(handle).state()
                == smoltcp_tcp::State::Closed;
            if gone {
                sockets.remove(handle);
            }
            !gone
        });
    }

    /// When smoltcp wants the next round.
    pub(super) fn next(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }

    /// An ephemeral port.
    pub(super) fn port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        port
    }

    /// Tries a call.
    ///
    /// # Errors
    /// What smoltcp has no counterpart for; only at the first try.
    pub(super) fn step(&mut self, pending: &mut Pending, now: Nanos) -> Result<Step, Refusal> {
        let step = match &pending.call {
            Call::Socket { family, ty, protocol } => self.socket(*family, *ty, *protocol)?,
            Call::Close { fd } => self.close(*fd),
            Call::Poll { fds, .. } => self.poll_descriptors(fds, pending.deadline, now),
            _ => self.on_descriptor(pending)?,
        };
        pending.tried = true;
        Ok(step)
    }

    fn socket(&mut self, family: i32, ty: i32, protocol: i32) -> Result<Step, Refusal> {
        if family != AF_INET && family != AF_INET6 {
            return Ok(Step::fails(Errno::EAFNOSUPPORT));
        }
        let options = Options::new(&self.settings);
        let kind = match (ty & SOCK_TYPE, protocol) {
            (SOCK_STREAM, 0 | 6) => Kind::Tcp(Tcp::default()),
            (SOCK_DGRAM, 0 | 17) => Kind::Udp(Udp::new(&mut self.sockets, &options)),
            _ => return Err(Refusal::Unsupported("this target has TCP and UDP sockets".into())),
        };
        let nonblock = ty & NONBLOCK != 0;
        let fd = self.open(Descriptor { kind, v6: family == AF_INET6, nonblock, options });
        Ok(Step::Done(Ok(Ret::Int(fd.into()))))
    }

    /// Gives a socket the lowest free descriptor.
    pub(super) fn open(&mut self, descriptor: Descriptor) -> i32 {
        let mut fd = FIRST_FD;
        while self.descriptors.contains_key(&fd) {
            fd += 1;
        }
        self.descriptors.insert(fd, descriptor);
        fd
    }

    fn close(&mut self, fd: i32) -> Step {
        let Some(descriptor) = self.descriptors.remove(&fd) else {
            return Step::fails(Errno::EBADF);
        };
        match descriptor.kind {
            Kind::Tcp(tcp) => {
                self.orphans
                    .extend(tcp.close(&mut self.sockets, descriptor.options.abort_on_close));
            }
            Kind::Udp(udp) => udp.close(&mut self.sockets),
        }
        Step::number(0)
    }

    fn on_descriptor(&mut self, pending: &mut Pending) -> Result<Step, Refusal> {
        let Some(fd) = descriptor_of(&pending.call) else {
            let name = format!("{:?}", pending.call);
            let name = name.split([' ', '{', '(']).next().unwrap_or_default();
            return Err(Refusal::Unsupported(format!("this target has no call {name}")));
        };
        // Taken out while the call has all the rest of the stack.
        let Some(mut descriptor) = self.descriptors.remove(&fd) else {
            return Ok(Step::fails(Errno::EBADF));
        };
        let step = self.with(&mut descriptor, pending);
        self.descriptors.insert(fd, descriptor);
        match step? {
            Outcome::Step(step) => Ok(step),
            Outcome::Accepted { descriptor, peer } => {
                let fd = self.open(descriptor);
                Ok(Step::Done(Ok(Ret::Accepted { fd, peer })))
            }
        }
    }

    fn with(&mut self, d: &mut Descriptor, pending: &mut Pending) -> Result<Outcome, Refusal> {
        let step = match &pending.call {
            Call::Fcntl { cmd, arg, .. } => fcntl(d, *cmd, *arg)?,
            Call::Setsockopt { level, name, value, .. } => {
                options::set(self, d, *level, *name, value)?
            }
            Call::Getsockopt { level, name, len, .. } => {
                options::get(self, d, *level, *name, *len)?
            }
            Call::Ioctl { request, .. } => match (&d.kind, *request) {
                (Kind::Tcp(tcp), SIOCINQ) => Step::number(tcp.queues(&self.sockets).0),
                (Kind::Tcp(tcp), SIOCOUTQ) => Step::number(tcp.queues(&self.sockets).1),
                _ => return Err(Refusal::Unsupported("smoltcp has no such ioctl()".into())),
            },
            Call::Accept4 { flags, .. } => {
                let Kind::Tcp(tcp) = &mut d.kind else {
                    return Ok(Outcome::Step(Step::fails(Errno::EOPNOTSUPP)));
                };
                return Ok(tcp.accept(self, d.nonblock, d.v6, &d.options, flags & NONBLOCK != 0));
            }
            _ => match &mut d.kind {
                Kind::Tcp(tcp) => tcp.step(self, d.nonblock, d.v6, &d.options, pending)?,
                Kind::Udp(udp) => udp.step(self, d.nonblock, d.v6, pending)?,
            },
        };
        Ok(Outcome::Step(step))
    }

    fn poll_descriptors(&self, fds: &[PollFd], deadline: Option<Nanos>, now: Nanos) -> Step {
        const POLLNVAL: i16 = 0x20;
        const ALWAYS: i16 = 0x08 | 0x10;
        let events = |entry: &PollFd| match self.descriptors.get(&entry.fd) {
            _ if entry.fd < 0 => 0,
            None => POLLNVAL,
            Some(Descriptor { kind: Kind::Tcp(tcp), .. }) => {
                tcp.events(&self.sockets) & (entry.events | ALWAYS)
            }
            Some(Descriptor { kind: Kind::Udp(udp), .. }) => {
                udp.events(&self.sockets) & (entry.events | ALWAYS)
            }
        };
        let fds: Vec<PollFd> =
            fds.iter().map(|entry| PollFd { revents: events(entry), ..*entry }).collect();
        let ready = fds.iter().filter(|entry| entry.revents != 0).count();
        if ready == 0 && deadline.is_none_or(|at| at > now) {
            return Step::Wait;
        }
        Step::Done(Ok(Ret::Poll { ready: i32::try_from(ready).unwrap_or(i32::MAX), fds }))
    }
}

/// What a call on a descriptor came to.
pub(super) enum Outcome {
    Step(Step),
    /// A connection that wants a descriptor.
    Accepted {
        descriptor: Descriptor,
        peer: SockAddr,
    },
}

fn fcntl(d: &mut Descriptor, cmd: i32, arg: i32) -> Result<Step, Refusal> {
    match cmd {
        F_GETFL => {
            let flags = O_RDWR | if d.nonblock { NONBLOCK } else { 0 };
            Ok(Step::Done(Ok(Ret::Int(flags.into()))))
        }
        F_SETFL => {
            d.nonblock = arg & NONBLOCK != 0;
            Ok(Step::number(0))
        }
        _ => Err(Refusal::Unsupported("this target has F_GETFL and F_SETFL only".into())),
    }
}

fn descriptor_of(call: &Call) -> Option<i32> {
    match call {
        Call::Bind { fd, .. }
        | Call::Listen { fd, .. }
        | Call::Connect { fd, .. }
        | Call::Accept4 { fd, .. }
        | Call::Read { fd, .. }
        | Call::Readv { fd, .. }
        | Call::Recvfrom { fd, .. }
        | Call::Write { fd, .. }
        | Call::Writev { fd, .. }
        | Call::Sendto { fd, .. }
        | Call::Sendmsg { fd, .. }
        | Call::Recvmsg { fd, .. }
        | Call::Shutdown { fd, .. }
        | Call::Setsockopt { fd, .. }
        | Call::Getsockopt { fd, .. }
        | Call::Getsockname { fd }
        | Call::Getpeername { fd }
        | Call::Fcntl { fd, .. }
        | Call::Ioctl { fd, .. } => Some(*fd),
        _ => None,
    }
}

/// A call that sends.
pub(super) struct Sending {
    pub(super) data: Arc<Vec<u8>>,
    pub(super) dont_wait: bool,
    pub(super) to: Option<SockAddr>,
}

/// The call as one that sends; `None` if it does not.
pub(super) fn sending(call: &Call) -> Result<Option<Sending>, Refusal> {
    let (data, flags, to) = match call {
        Call::Write { data, .. } | Call::Writev { data, .. } => (data, 0, None),
        Call::Sendto { data, flags, addr, .. } => (data, *flags, *addr),
        Call::Sendmsg { data, flags, addr, control, .. } if control.is_empty() => {
            (data, *flags, *addr)
        }
        Call::Sendmsg { .. } => {
            return Err(Refusal::Unsupported("smoltcp has no control messages".into()));
        }
        _ => return Ok(None),
    };
    if flags & !(MSG_DONTWAIT | MSG_NOSIGNAL) != 0 {
        return Err(Refusal::Unsupported("smoltcp has no such flag of send()".into()));
    }
    let dont_wait = flags & MSG_DONTWAIT != 0;
    Ok(Some(Sending { data: Arc::clone(data), dont_wait, to }))
}

/// A call that receives.
pub(super) struct Receiving {
    /// Room, bytes.
    pub(super) len: usize,
    pub(super) dont_wait: bool,
    /// The bytes stay.
    pub(super) peek: bool,
}

/// The call as one that receives; `None` if it does not.
pub(super) fn receiving(call: &Call) -> Result<Option<Receiving>, Refusal> {
    let (len, flags) = match call {
        Call::Read { len, .. } | Call::Readv { len, .. } => (*len, 0),
        Call::Recvfrom { len, flags, .. } => (*len, *flags),
        Call::Recvmsg { len, flags, controllen: 0, .. } => (*len, *flags),
        Call::Recvmsg { .. } => {
            return Err(Refusal::Unsupported("smoltcp has no control messages".into()));
        }
        _ => return Ok(None),
    };
    if flags & !(MSG_DONTWAIT | MSG_PEEK) != 0 {
        return Err(Refusal::Unsupported("smoltcp has no such flag of recv()".into()));
    }
    let (dont_wait, peek) = (flags & MSG_DONTWAIT != 0, flags & MSG_PEEK != 0);
    Ok(Some(Receiving { len, dont_wait, peek }))
}
