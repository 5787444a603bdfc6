//! Socket options, as far as smoltcp has them.

use reference_stack::{Errno, Ret};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::Duration;

use super::settings::Settings;
use super::stack::{Descriptor, Kind, Stack, Step};
use crate::target::Refusal;

const SOL_IP: i32 = 0;
const SOL_SOCKET: i32 = 1;
const SOL_TCP: i32 = 6;

const SO_REUSEADDR: i32 = 2;
const SO_TYPE: i32 = 3;
const SO_ERROR: i32 = 4;
const SO_SNDBUF: i32 = 7;
const SO_RCVBUF: i32 = 8;
const SO_KEEPALIVE: i32 = 9;
const SO_LINGER: i32 = 13;
const SO_REUSEPORT: i32 = 15;
const SO_ACCEPTCONN: i32 = 30;
const TCP_NODELAY: i32 = 1;
const TCP_KEEPIDLE: i32 = 4;
const TCP_KEEPINTVL: i32 = 5;
const TCP_QUICKACK: i32 = 12;
const TCP_CONGESTION: i32 = 13;
const TCP_USER_TIMEOUT: i32 = 18;
const IP_TTL: i32 = 2;

/// Linux's default of tcp_keepalive_time.
const KEEPALIVE_S: i32 = 7200;

/// The options of a descriptor, and of the connections that a listener makes.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) receive: usize,
    pub(super) send: usize,
    timestamps: bool,
    congestion_control: CongestionControl,
    nodelay: bool,
    quickack: bool,
    /// Idle time of keepalive in seconds, and whether it is on.
    keepalive: (i32, bool),
    user_timeout_ms: i32,
    hop_limit: Option<u8>,
    /// SO_LINGER with no time.
    pub(super) abort_on_close: bool,
}

impl Options {
    pub(super) fn new(settings: &Settings) -> Options {
        Options {
            receive: settings.receive,
            send: settings.send,
            timestamps: settings.timestamps,
            congestion_control: settings.congestion_control,
            nodelay: false,
            quickack: false,
            keepalive: (KEEPALIVE_S, false),
            user_timeout_ms: 0,
            hop_limit: None,
            abort_on_close: false,
        }
    }

    /// A new socket with them.
    pub(super) fn socket(&self) -> Socket<'static> {
        let buffer = |bytes: usize| SocketBuffer::new(vec![0; bytes.max(1)]);
        let mut socket = Socket::new(buffer(self.receive), buffer(self.send));
        if self.timestamps {
            socket.set_tsval_generator(Some(super::tsval));
        }
        socket.set_congestion_control(self.congestion_control);
        self.apply(&mut socket);
        socket
    }

    /// Sets what can be set on a socket in use.
    fn apply(&self, socket: &mut Socket<'static>) {
        let positive = |n: i32| u64::try_from(n).ok().filter(|&n| n > 0);
        socket.set_nagle_enabled(!self.nodelay);
        if self.quickack {
            socket.set_ack_delay(None);
        }
        let (idle, on) = self.keepalive;
        socket.set_keep_alive(positive(idle).filter(|_| on).map(Duration::from_secs));
        socket.set_timeout(positive(self.user_timeout_ms).map(Duration::from_millis));
        socket.set_hop_limit(self.hop_limit);
    }
}

fn unsupported(level: i32, name: i32) -> Refusal {
    Refusal::Unsupported(format!("smoltcp has no socket option {name} of level {level}"))
}

pub(super) fn set(
    stack: &mut Stack,
    d: &mut Descriptor,
    level: i32,
    name: i32,
    value: &[u8],
) -> Result<Step, Refusal> {
    if (level, name) == (SOL_TCP, TCP_CONGESTION) {
        d.options.congestion_control = match value.trim_ascii_end() {
            b"cubic" => CongestionControl::Cubic,
            b"reno" => CongestionControl::Reno,
            _ => return Ok(Step::fails(Errno::ENOENT)),
        };
        return applied(stack, d);
    }
    let Some(number) = value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) else {
        return Ok(Step::fails(Errno::EINVAL));
    };
    let on = number != 0;
    match (level, name) {
        // An address in use does not keep smoltcp from listening.
        (SOL_SOCKET, SO_REUSEADDR | SO_REUSEPORT) => return Ok(Step::number(0)),
        // A buffer has its size from the start.
        (SOL_SOCKET, SO_RCVBUF | SO_SNDBUF) if matches!(&d.kind, Kind::Udp(_)) || is_open(d) => {
            return Err(Refusal::Unsupported("smoltcp's buffers keep their size".into()));
        }
        (SOL_SOCKET, SO_RCVBUF) => d.options.receive = size(number),
        (SOL_SOCKET, SO_SNDBUF) => d.options.send = size(number),
        (SOL_SOCKET, SO_KEEPALIVE) => d.options.keepalive.1 = on,
        (SOL_SOCKET, SO_LINGER) => {
            let seconds = value.get(4..8).and_then(|bytes| bytes.try_into().ok());
            match seconds.map(i32::from_ne_bytes) {
                Some(0) | None => d.options.abort_on_close = on,
                Some(_) if !on => d.options.abort_on_close = false,
                Some(_) => {
                    return Err(Refusal::Unsupported("smoltcp's close() does not wait".into()));
                }
            }
        }
        (SOL_TCP, TCP_NODELAY) => d.options.nodelay = on,
        (SOL_TCP, TCP_QUICKACK) => d.options.quickack = on,
        (SOL_TCP, TCP_KEEPIDLE | TCP_KEEPINTVL) if number <= 0 => {
            return Ok(Step::fails(Errno::EINVAL));
        }
        (SOL_TCP, TCP_KEEPIDLE) => d.options.keepalive.0 = number,
        (SOL_TCP, TCP_USER_TIMEOUT) if number < 0 => return Ok(Step::fails(Errno::EINVAL)),
        (SOL_TCP, TCP_USER_TIMEOUT) => d.options.user_timeout_ms = number,
        (SOL_IP, IP_TTL) => match u8::try_from(number) {
            Ok(limit) if limit > 0 => d.options.hop_limit = Some(limit),
            _ => return Ok(Step::fails(Errno::EINVAL)),
        },
        _ => return Err(unsupported(level, name)),
    }
    applied(stack, d)
}

fn size(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0).clamp(1, 1 << 24)
}

fn is_open(d: &Descriptor) -> bool {
    matches!(&d.kind, Kind::Tcp(tcp) if tcp.handle().is_some() || tcp.is_listening())
}

/// Puts the options into the socket of the descriptor, if there is one already.
fn applied(stack: &mut Stack, d: &Descriptor) -> Result<Step, Refusal> {
    match &d.kind {
        Kind::Tcp(tcp) => {
            if let Some(handle) = tcp.handle() {
                d.options.apply(stack.sockets.get_mut(handle));
            }
        }
        Kind::Udp(udp) => udp.set_hop_limit(&mut stack.sockets, d.options.hop_limit),
    }
    Ok(Step::number(0))
}

pub(super) fn get(
    stack: &Stack,
    d: &mut Descriptor,
    level: i32,
    name: i32,
    len: usize,
) -> Result<Step, Refusal> {
    let _ = stack;
    let number = match (level, name) {
        (SOL_SOCKET, SO_TYPE) => match &d.kind {
            Kind::Tcp(_) => 1,
            Kind::Udp(_) => 2,
        },
        (SOL_SOCKET, SO_ERROR) => match &mut d.kind {
            Kind::Tcp(tcp) => tcp.take_error().map_or(0, Errno::raw),
            Kind::Udp(_) => 0,
        },
        (SOL_SOCKET, SO_ACCEPTCONN) => {
            i32::from(matches!(&d.kind, Kind::Tcp(tcp) if tcp.is_listening()))
        }
        (SOL_SOCKET, SO_KEEPALIVE) => i32::from(d.options.keepalive.1),
        (SOL_SOCKET, SO_RCVBUF) => i32::try_from(d.options.receive).unwrap_or(i32::MAX),
        (SOL_SOCKET, SO_SNDBUF) => i32::try_from(d.options.send).unwrap_or(i32::MAX),
        (SOL_TCP, TCP_NODELAY) => i32::from(d.options.nodelay),
        (SOL_TCP, TCP_KEEPIDLE) => d.options.keepalive.0,
        (SOL_TCP, TCP_USER_TIMEOUT) => d.options.user_timeout_ms,
        _ => return Err(unsupported(level, name)),
    };
    let bytes = number.to_ne_bytes();
    Ok(Step::Done(Ok(Ret::Opt(bytes[..len.min(bytes.len())].to_vec()))))
}
