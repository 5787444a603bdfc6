//! Two machines whose first MACs are joined by a cable, for tests and benchmarks.
#![allow(dead_code, reason = "each user takes what it needs")]

use reference_stack::syscalls::{Call, Fd, Ret, SockAddr, SysResult, TaskId};
use reference_stack::uapi::{AF_INET, SOCK_STREAM};
use reference_stack::{
    BootConfig, FrameIn, FrameOut, Kernel, Nanos, NicConfig, NicKind, Port, Profile, Version,
};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Where machine 1 listens.
pub(crate) const PORT: u16 = 8080;

/// Two machines, a task on each, and the cable.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) machines: [Kernel; 2],
    pub(crate) tasks: [TaskId; 2],
    /// One-way delay of the cable.
    pub(crate) delay: Nanos,
    /// Frames on the cable: when they arrive, at which machine.
    flying: VecDeque<(Nanos, usize, FrameOut)>,
    /// The last port that machine 1 listens at.
    port: u16,
}

/// Both ends of a connection: whose they are, and their descriptors.
#[derive(Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) tasks: [TaskId; 2],
    pub(crate) fds: [Fd; 2],
}

/// A machine's address.
pub(crate) fn address(machine: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, 15 + machine as u8)
}

/// A machine's hardware address.
fn hardware_address(machine: usize) -> [u8; 6] {
    [0x52, 0x54, 0, 0x12, 0x34, 0x56 + machine as u8]
}

/// The listener's address.
pub(crate) fn server() -> SockAddr {
    SockAddr::In { addr: address(1), port: PORT }
}

impl Pair {
    /// Boots both with one address each.
    pub(crate) fn boot(version: Version) -> Self {
        let boot = |i: usize| {
            let nic = NicConfig {
                name: "eth0".into(),
                kind: NicKind::Ftgmac100 { mac: 0 },
                mac: hardware_address(i),
                mtu: 1500,
            };
            let mut config = BootConfig::new(Profile::new(version), vec![nic]);
            config.seed = i as u64 + 1;
            let mut machine = Kernel::boot(&config);
            machine.ip_addr_add("eth0", address(i), 24).expect("a fresh address");
            machine
        };
        let mut machines = [boot(0), boot(1)];
        let tasks = [machines[0].task_new(), machines[1].task_new()];
        Self { machines, tasks, delay: 0, flying: VecDeque::new(), port: PORT }
    }

    /// Gives each machine the other's hardware address for good.
    pub(crate) fn know_each_other(&mut self) {
        for (i, machine) in self.machines.iter_mut().enumerate() {
            let other = (address(1 - i), hardware_address(1 - i));
            machine.ip_neigh_add("eth0", other.0, other.1).expect("the interface is there");
        }
    }

    /// Makes a call; `None` if it waits.
    pub(crate) fn start(&mut self, machine: usize, call: Call) -> Option<SysResult> {
        self.machines[machine].syscall(self.tasks[machine], call)
    }

    /// A call that returns at once, with success.
    pub(crate) fn call(&mut self, machine: usize, call: Call) -> Ret {
        self.start(machine, call).expect("it does not wait").expect("it succeeds")
    }

    /// The result of the call that waited on a machine.
    pub(crate) fn completed(&mut self, machine: usize) -> SysResult {
        self.machines[machine].completed().pop().expect("the call returned").result
    }

    /// Carries frames both ways at once, without time, until the cable is quiet.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        let mut from = 0;
        while quiet < 2 {
            quiet = if self.carry(from) { 1 } else { quiet + 1 };
            from = 1 - from;
        }
    }

    /// Carries what a machine has sent to the other; whether that was anything.
    fn carry(&mut self, from: usize) -> bool {
        let frames = self.machines[from].frames_out();
        let any = !frames.is_empty();
        for frame in frames {
            let frame = FrameIn { bytes: frame.bytes, gso_size: 0 };
            self.machines[1 - from].frame_in(Port(0), frame);
        }
        any
    }

    /// Lets both machines run in virtual time, over the cable's delay, until `to` or until
    /// nothing is left to happen. `keep` decides which frames the cable carries.
    pub(crate) fn run(&mut self, to: Nanos, mut keep: impl FnMut(usize, &FrameOut) -> bool) {
        loop {
            for i in 0..2 {
                for frame in self.machines[i].frames_out() {
                    if keep(i, &frame) {
                        self.flying.push_back((frame.at + self.delay, 1 - i, frame));
                    }
                }
            }
            let events = self.machines.iter().filter_map(Kernel::next_event);
            let arrival = self.flying.iter().map(|f| f.0);
            let Some(next) = events.chain(arrival).min().filter(|&at| at <= to) else { break };
            for machine in &mut self.machines {
                machine.advance(next);
            }
            while let Some(i) = self.flying.iter().position(|f| f.0 <= next) {
                let Some((_, machine, frame)) = self.flying.remove(i) else { break };
                let frame = FrameIn { bytes: frame.bytes, gso_size: 0 };
                self.machines[machine].frame_in(Port(0), frame);
            }
        }
        for machine in &mut self.machines {
            machine.advance(to);
        }
    }

    /// A fresh TCP socket.
    pub(crate) fn socket(&mut self, machine: usize) -> Fd {
        let call = Call::Socket { family: AF_INET.into(), ty: SOCK_STREAM, protocol: 0 };
        self.call(machine, call).value() as Fd
    }

    /// A listener on machine 1.
    pub(crate) fn listen(&mut self) -> Fd {
        self.listen_on(PORT)
    }

    /// A listener on machine 1, at another port.
    pub(crate) fn listen_on(&mut self, port: u16) -> Fd {
        let fd = self.socket(1);
        self.call(1, Call::Bind { fd, addr: SockAddr::In { addr: address(1), port } });
        self.call(1, Call::Listen { fd, backlog: 128 });
        fd
    }

    /// A connection from machine 0 to the listener, without time: both descriptors.
    pub(crate) fn connect(&mut self, listener: Fd) -> [Fd; 2] {
        self.connect_to(listener, PORT)
    }

    /// A connection from machine 0 to the listener at this port.
    pub(crate) fn connect_to(&mut self, listener: Fd, port: u16) -> [Fd; 2] {
        let client = self.socket(0);
        let addr = SockAddr::In { addr: address(1), port };
        if self.start(0, Call::Connect { fd: client, addr }).is_none() {
            self.settle();
            self.completed(0).expect("the connection is made");
        }
        let accepted = self.call(1, Call::Accept4 { fd: listener, flags: 0 });
        [client, accepted.value() as Fd]
    }

    /// Connections beside those there are, in tasks of their own: a task has only so many
    /// descriptors.
    pub(crate) fn connect_many(&mut self, count: usize) -> Vec<Connection> {
        const A_TASK: usize = 1000;
        let own = self.tasks;
        let mut made = Vec::with_capacity(count);
        for start in (0..count).step_by(A_TASK) {
            self.tasks = [self.machines[0].task_new(), self.machines[1].task_new()];
            self.port += 1;
            let port = self.port;
            let listener = self.listen_on(port);
            for _ in start..count.min(start + A_TASK) {
                made.push(Connection { tasks: self.tasks, fds: self.connect_to(listener, port) });
            }
        }
        self.tasks = own;
        made
    }

    /// Writes on one machine and carries the frames.
    pub(crate) fn send(&mut self, machine: usize, fd: Fd, data: &Arc<Vec<u8>>) {
        self.call(machine, Call::Write { fd, data: data.clone() });
        // The receiver may answer at once, the sender again.
        let mut from = machine;
        while self.carry(from) {
            from = 1 - from;
        }
    }

    /// What did not come home on either machine.
    pub(crate) fn leaks(&self) -> Vec<String> {
        self.machines.iter().flat_map(Kernel::leak_check).collect()
    }
}
