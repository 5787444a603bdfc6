//! Makes the calls of a workload's steps.

use std::collections::BTreeMap;
use std::time::Duration;

use host_sys::PollFd;

use super::address::sockaddr;
use super::steps::Step;

const O_NONBLOCK: i32 = 0o4000;
const F_SETFL: i32 = 4;
const AF_PACKET: i32 = 17;
const SOCK_RAW: i32 = 3;
const SOL_SOCKET: i32 = 1;
const SO_ERROR: i32 = 4;
/// IP_MULTICAST_IF, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP by level
/// and name: their values end with the number of an interface.
const ON_INTERFACE: [(i32, i32); 5] = [(0, 32), (0, 35), (0, 36), (41, 20), (41, 21)];
/// The largest datagram.
const DATAGRAM: usize = 65_536;
/// Bytes that one `recv` step asks for at a time.
const CHUNK: usize = 4096;

/// Makes the calls. What a call returns does not matter to the next one, as the scenario knows
/// what happens.
pub(crate) fn run(steps: &[Step]) {
    let mut program = Program { current: -1, named: BTreeMap::new(), sent: 0 };
    steps.iter().for_each(|step| program.step(step));
}

struct Program {
    current: i32,
    named: BTreeMap<String, i32>,
    /// Bytes sent: payloads go on where the last one ended.
    sent: usize,
}

impl Program {
    fn step(&mut self, step: &Step) {
        let fd = self.current;
        // Whatever comes of a call, `strace` writes it down.
        match step {
            Step::Socket { family, ty, protocol } => {
                self.current = host_sys::socket(*family, *ty, *protocol).unwrap_or(-1);
            }
            Step::Name(name) => {
                self.named.insert(name.clone(), fd);
            }
            Step::Use(name) => self.current = self.named.get(name).copied().unwrap_or(-1),
            Step::Nonblock => ignore(host_sys::fcntl(fd, F_SETFL, O_NONBLOCK)),
            Step::Opt { level, name, value } => set(fd, *level, *name, value),
            Step::Bind(addr) => ignore(host_sys::bind(fd, &sockaddr(*addr))),
            Step::Listen(backlog) => ignore(host_sys::listen(fd, *backlog)),
            Step::Accept => {
                self.named.insert("listener".to_owned(), fd);
                self.current = host_sys::accept4(fd, 0).map_or(-1, |(new, _)| new);
            }
            Step::Connect(addr) => ignore(host_sys::connect(fd, &sockaddr(*addr))),
            Step::Poll { events, timeout } => {
                let mut fds = [PollFd { fd, events: *events, revents: 0 }];
                ignore(host_sys::poll(&mut fds, Some(*timeout)));
            }
            Step::Shutdown(how) => ignore(host_sys::shutdown(fd, *how)),
            Step::Close => ignore(host_sys::close(fd)),
            Step::Sleep(time) => std::thread::sleep(*time),
            Step::Error => ignore(host_sys::getsockopt(fd, SOL_SOCKET, SO_ERROR, 4)),
            Step::Frame(bytes) => frame(bytes),
            Step::Repeat(count, steps) => {
                (0..*count).for_each(|_| steps.iter().for_each(|s| self.step(s)));
            }
            _ => self.transfer(step),
        }
    }

    /// The steps that move bytes.
    fn transfer(&mut self, step: &Step) {
        let fd = self.current;
        match step {
            Step::Send { len, count, gap } => repeat(*count, *gap, || {
                let bytes = self.payload(*len);
                write_all(fd, &bytes);
            }),
            Step::SendFlags { flags, len } => {
                let bytes = self.payload(*len);
                ignore(host_sys::sendto(fd, &bytes, *flags, None));
            }
            Step::Writev(lens) => {
                let bytes = self.payload(lens.iter().sum());
                ignore(host_sys::writev(fd, &bytes, lens));
            }
            Step::Recv(len) => recv(fd, *len),
            Step::Read { size, count, gap } => {
                let mut buffer = vec![0; *size];
                repeat(*count, *gap, || ignore(host_sys::read(fd, &mut buffer)));
            }
            Step::RecvFlags { flags, size } => {
                ignore(host_sys::recvmsg(fd, &mut vec![0; *size], 0, *flags));
            }
            Step::Drain(size) => {
                let mut buffer = vec![0; *size];
                while host_sys::read(fd, &mut buffer).is_ok_and(|n| n > 0) {}
            }
            Step::SendTo { to, len, count, gap } => {
                let addr = sockaddr(*to);
                repeat(*count, *gap, || {
                    let bytes = self.payload(*len);
                    ignore(host_sys::sendto(fd, &bytes, 0, Some(&addr)));
                });
            }
            Step::RecvFrom(count) => {
                let mut buffer = vec![0; DATAGRAM];
                repeat(*count, Duration::ZERO, || ignore(host_sys::recvmsg(fd, &mut buffer, 0, 0)));
            }
            Step::Echo(count) => {
                let mut buffer = vec![0; DATAGRAM];
                repeat(*count, Duration::ZERO, || echo(fd, &mut buffer));
            }
            _ => {}
        }
    }

    /// The next `len` bytes: letters in a row of a length that no segment size divides, so that
    /// bytes from a wrong place differ.
    fn payload(&mut self, len: usize) -> Vec<u8> {
        const ROW: usize = 61;
        let first = self.sent;
        self.sent = first.wrapping_add(len);
        (0..len).map(|n| b'!' + (first.wrapping_add(n) % ROW) as u8).collect()
    }
}

/// What a call returned is in the trace.
fn ignore<T>(_result: host_sys::Result<T>) {}

fn set(fd: i32, level: i32, name: i32, value: &[u8]) {
    let mut value = value.to_vec();
    if ON_INTERFACE.contains(&(level, name)) {
        value.extend(host_sys::if_index("eth0").unwrap_or(0).to_ne_bytes());
    }
    ignore(host_sys::setsockopt(fd, level, name, &value));
}

/// `count` times, with `gap` between the times.
fn repeat(count: usize, gap: Duration, mut call: impl FnMut()) {
    for n in 0..count {
        if n > 0 && !gap.is_zero() {
            std::thread::sleep(gap);
        }
        call();
    }
}

fn write_all(fd: i32, mut bytes: &[u8]) {
    while let Ok(n) = host_sys::write(fd, bytes) {
        bytes = bytes.get(n..).unwrap_or_default();
        if n == 0 || bytes.is_empty() {
            break;
        }
    }
}

fn recv(fd: i32, mut left: usize) {
    let mut buffer = [0; CHUNK];
    while left > 0 {
        match host_sys::read(fd, &mut buffer[..left.min(CHUNK)]) {
            Ok(n) if n > 0 => left -= n,
            _ => break,
        }
    }
}

fn echo(fd: i32, buffer: &mut [u8]) {
    if let Ok(got) = host_sys::recvmsg(fd, buffer, 0, 0) {
        ignore(host_sys::sendto(fd, &buffer[..got.len.min(DATAGRAM)], 0, Some(&got.addr)));
    }
}

/// Sends one frame out of `eth0`.
fn frame(bytes: &[u8]) {
    let Ok(fd) = host_sys::socket(AF_PACKET, SOCK_RAW, 0) else { return };
    // struct sockaddr_ll: family, protocol, interface, hardware type, packet type, address.
    let mut addr = [0; 20];
    addr[..2].copy_from_slice(&(AF_PACKET as u16).to_ne_bytes());
    addr[4..8].copy_from_slice(&host_sys::if_index("eth0").unwrap_or(0).to_ne_bytes());
    ignore(host_sys::sendto(fd, bytes, 0, Some(&addr)));
    ignore(host_sys::close(fd));
}
