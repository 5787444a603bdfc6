//! `wire_rx`: frames, time and calls to a booted board with a listening TCP socket, an
//! established connection and a bound UDP socket.
//!
//! An input is a list of operations (`op`). Raw frames go to the MAC as they are; structural ones
//! are built with right checksums by a peer that follows the connection (`peer`), so that an input
//! gets past the checks that random bytes die at. The machine is booted and connected once a
//! process; every input starts from a clone of it.
//!
//! Findings are panics: the stack's own, a machine that runs without time passing, a frame sent
//! that another decoder finds wrong (`check`), and what the leak check says at the end.

mod check;
mod frame;
mod op;
mod peer;
pub mod seeds;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use reference_stack::syscalls::{Fd, SockAddr, SysResult};
use reference_stack::uapi::{AF_INET, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM};
use reference_stack::{
    BootConfig, Call, FrameIn, Kernel, Nanos, NicConfig, NicKind, Port, Profile, Ret, TaskId,
    Version,
};

use frame::{BOARD, BOARD_MAC};
use op::{Op, TcpOptions};
use peer::{LISTEN_PORT, Peer, UDP_PORT};

const PORT: Port = Port(0);
/// Time that one input may take on the board's clock: TIME-WAIT and a fragment queue pass in it.
const MAX_TIME: Nanos = 130 * 1_000_000_000;
/// Times that a board may wake up in one step of time.
const MAX_EVENTS: u32 = 100_000;
/// Times that a board may wake up without time passing.
const MAX_EVENTS_AT_ONCE: u32 = 1_000;

/// Runs one input.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let mut world = World::start();
    for op in Op::read_all(data) {
        world.apply(&op);
    }
    world.end();
}

/// The operations of an input, one a line.
pub fn describe(data: &[u8]) -> String {
    let mut text = String::new();
    for (n, op) in Op::read_all(data).iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>3} {op:?}", n + 1);
    }
    text
}

/// The board and its peer.
#[derive(Clone)]
struct World {
    board: Kernel,
    peer: Peer,
    task: TaskId,
    listener: Fd,
    udp: Fd,
    /// The connection, until it is closed.
    connection: Option<Fd>,
    /// Whether the process has ended.
    exited: bool,
    /// When the input's time is up.
    until: Nanos,
}

impl World {
    /// A clone of the machine that was booted and connected once.
    fn start() -> World {
        static SNAPSHOT: OnceLock<World> = OnceLock::new();
        SNAPSHOT.get_or_init(World::boot).clone()
    }

    /// Boots the board and opens its sockets.
    fn boot() -> World {
        let nic = NicConfig {
            name: "eth0".to_owned(),
            kind: NicKind::Ftgmac100 { mac: 0 },
            mac: BOARD_MAC,
            mtu: 1500,
        };
        let mut board = Kernel::boot(&BootConfig::new(Profile::new(Version::V5_15), vec![nic]));
        board.ip_addr_add("eth0", Ipv4Addr::from(BOARD), 24).expect("eth0 was just booted");
        let task = board.task_new();
        let mut world = World {
            board,
            peer: Peer::default(),
            task,
            listener: -1,
            udp: -1,
            connection: None,
            exited: false,
            until: MAX_TIME,
        };
        world.listener = world.socket(SOCK_STREAM, LISTEN_PORT);
        world.call_now(Call::Listen { fd: world.listener, backlog: 8 });
        world.udp = world.socket(SOCK_DGRAM, UDP_PORT);
        world.pass(1_000_000_000);
        world.connect();
        world.until = world.board.now() + MAX_TIME;
        world
    }

    fn socket(&mut self, kind: i32, port: u16) -> Fd {
        let call =
            Call::Socket { family: i32::from(AF_INET), ty: kind | SOCK_NONBLOCK, protocol: 0 };
        let fd = self.call_now(call).value() as Fd;
        let addr = SockAddr::In { addr: Ipv4Addr::UNSPECIFIED, port };
        self.call_now(Call::Bind { fd, addr });
        fd
    }

    /// Three-way handshake from the peer, and accept(2).
    fn connect(&mut self) {
        let syn = TcpOptions::Syn { mss: 1460, scale: 7 };
        let ack = TcpOptions::Timestamp { clock: 1, echo_back: 0 };
        for (flags, options) in [(0x02, syn), (0x10, ack)] {
            self.apply(&Op::Tcp {
                flow: op::Flow::Established,
                flags,
                seq: 0,
                ack: 0,
                window: 502,
                urgent: 0,
                options,
                payload: 0,
                spoil: op::Spoil::No,
            });
            self.pass(1_000_000);
        }
        let accepted = self.call_now(Call::Accept4 { fd: self.listener, flags: SOCK_NONBLOCK });
        self.connection = Some(accepted.value() as Fd);
    }

    /// A call of the setting-up, which must succeed.
    fn call_now(&mut self, call: Call) -> Ret {
        let what = format!("{call:?}");
        match self.call(call) {
            Some(Ok(ret)) => ret,
            other => panic!("{what} at the start came to {other:?}"),
        }
    }

    /// Every descriptor is non-blocking, so no call waits. Nothing after the process has ended.
    fn call(&mut self, call: Call) -> Option<SysResult> {
        if self.exited {
            return None;
        }
        let result = self.board.syscall(self.task, call);
        self.drain();
        result
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Wait { scale, us } => self.pass((u64::from(*us) * 1000) << (scale % 12)),
            Op::WaitForEvent => {
                if let Some(at) = self.board.next_event() {
                    self.pass(at.saturating_sub(self.board.now()));
                }
            }
            Op::Read { udp, len } => {
                let len = usize::from(*len);
                match (udp & 1, self.connection) {
                    (1, _) => _ = self.call(Call::Recvfrom { fd: self.udp, len, flags: 0 }),
                    (_, Some(fd)) => _ = self.call(Call::Read { fd, len }),
                    (_, None) => {}
                }
            }
            Op::Write { len } => {
                if let Some(fd) = self.connection {
                    let data = Arc::new(frame::pattern(usize::from(*len)));
                    self.call(Call::Write { fd, data });
                }
            }
            Op::Accept => {
                self.call(Call::Accept4 { fd: self.listener, flags: SOCK_NONBLOCK });
            }
            Op::Shutdown { how } => {
                if let Some(fd) = self.connection {
                    self.call(Call::Shutdown { fd, how: i32::from(*how) });
                }
            }
            Op::Close => {
                if let Some(fd) = self.connection.take() {
                    self.call(Call::Close { fd });
                }
            }
            Op::Link { up } => {
                self.board.set_link(PORT, up & 1 == 1);
                self.drain();
            }
            Op::Exit => {
                self.exit();
                self.pass(MAX_TIME);
            }
            Op::Raw { .. }
            | Op::RawIp { .. }
            | Op::Arp { .. }
            | Op::Icmp { .. }
            | Op::Udp { .. }
            | Op::Tcp { .. }
            | Op::Fragment { .. }
            | Op::IpOptions { .. } => {
                if let Some(bytes) = self.peer.frame(op) {
                    self.deliver(bytes);
                }
            }
        }
    }

    fn deliver(&mut self, bytes: Vec<u8>) {
        self.board.frame_in(PORT, FrameIn { bytes, gso_size: 0 });
        self.drain();
    }

    /// Lets `ns` pass, event by event, until the input's time is up.
    fn pass(&mut self, ns: Nanos) {
        let to = self.board.now().saturating_add(ns).min(self.until);
        let (mut events, mut at_once) = (0, 0);
        while let Some(at) = self.board.next_event().filter(|&at| at <= to) {
            at_once = if at > self.board.now() { 0 } else { at_once + 1 };
            events += 1;
            assert!(at_once < MAX_EVENTS_AT_ONCE, "the board runs without time passing");
            assert!(events < MAX_EVENTS, "the board woke up {events} times in {ns} ns");
            self.board.advance(at);
            self.drain();
        }
        self.board.advance(to);
        self.drain();
    }

    /// Looks at what the board sent, and answers ARP for the peer.
    fn drain(&mut self) {
        for _ in 0..64 {
            let frames = self.board.frames_out();
            if frames.is_empty() {
                return;
            }
            for sent in frames {
                check::frame(&sent.bytes);
                self.peer.saw(&sent.bytes);
                if let Some(bytes) = Peer::arp_answer(&sent.bytes) {
                    self.board.frame_in(PORT, FrameIn { bytes, gso_size: 0 });
                }
            }
        }
        panic!("the board asks for the same hardware address again and again");
    }

    fn exit(&mut self) {
        if !self.exited {
            self.exited = true;
            self.connection = None;
            self.board.task_exit(self.task);
            self.drain();
        }
    }

    /// The process ends, and nothing may be lost.
    fn end(mut self) {
        self.exit();
        let leaks = self.board.leak_check();
        assert!(leaks.is_empty(), "left at the end: {leaks:?}");
    }
}

#[cfg(test)]
mod tests;
