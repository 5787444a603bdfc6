//! The run in which calls are recorded: a server and a client on one wire.

use std::net::Ipv4Addr;
use std::sync::Arc;

use reference_stack::syscalls::{Fd, SockAddr, SysResult};
use reference_stack::trace::{self, Node};
use reference_stack::uapi::{AF_INET, SOCK_STREAM};
use reference_stack::{Call, FrameIn, Kernel, Nanos, NicConfig, NicKind, Port, TaskId, Version};

use crate::cli::TraceName;
use crate::error::CouldNotRun;

const WIRE: Port = Port(0);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const SERVER_PORT: u16 = 8080;
/// Longest wait for a call to return.
const PATIENCE: Nanos = 10_000_000_000;

/// A machine with one task.
struct Machine {
    kernel: Kernel,
    task: TaskId,
}

/// Both ends, the server first.
struct Scene {
    machines: [Machine; 2],
}

const SERVER_END: usize = 0;
const CLIENT_END: usize = 1;

/// Plays the scene up to the call and returns what the call went through.
pub(super) fn record(name: TraceName) -> Result<Vec<Node>, CouldNotRun> {
    let mut scene = Scene::new()?;
    if name == TraceName::Addr {
        let kernel = &mut scene.machines[SERVER_END].kernel;
        let (added, trees) =
            trace::record(|| kernel.ip_addr_add("eth0", Ipv4Addr::new(10, 0, 3, 15), 24));
        return added.map(|()| trees).map_err(|e| refused("ip addr add", &e.to_string()));
    }
    let mut trees = Vec::new();
    let mut step = |scene: &mut Scene, end, at, call| -> Result<i64, CouldNotRun> {
        if at != name {
            return scene.call(end, call);
        }
        let (result, nodes) = trace::record(|| scene.call(end, call));
        if trees.is_empty() {
            trees = nodes;
        }
        result
    };
    let listener = fd(step(&mut scene, SERVER_END, TraceName::Socket, socket())?);
    let addr = SockAddr::In { addr: Ipv4Addr::UNSPECIFIED, port: SERVER_PORT };
    step(&mut scene, SERVER_END, TraceName::Bind, Call::Bind { fd: listener, addr })?;
    step(&mut scene, SERVER_END, TraceName::Listen, Call::Listen { fd: listener, backlog: 8 })?;
    let client = fd(scene.call(CLIENT_END, socket())?);
    let addr = SockAddr::In { addr: SERVER, port: SERVER_PORT };
    step(&mut scene, CLIENT_END, TraceName::Connect, Call::Connect { fd: client, addr })?;
    let accept = Call::Accept4 { fd: listener, flags: 0 };
    let accepted = fd(step(&mut scene, SERVER_END, TraceName::Accept, accept)?);
    let data = Arc::new(b"GET / HTTP/1.0\r\n\r\n".to_vec());
    step(&mut scene, CLIENT_END, TraceName::Write, Call::Write { fd: client, data })?;
    if name == TraceName::Receive {
        return Ok(trace::record(|| scene.settle(1_000_000)).1);
    }
    scene.settle(1_000_000);
    step(&mut scene, SERVER_END, TraceName::Read, Call::Read { fd: accepted, len: 4096 })?;
    Ok(trees)
}

fn socket() -> Call {
    Call::Socket { family: i32::from(AF_INET), ty: SOCK_STREAM, protocol: 0 }
}

fn fd(value: i64) -> Fd {
    Fd::try_from(value).unwrap_or(-1)
}

impl Scene {
    fn new() -> Result<Scene, CouldNotRun> {
        let mut scene = Scene { machines: [machine(SERVER, 0x56)?, machine(CLIENT, 0x57)?] };
        // The link comes up.
        scene.settle(1_000_000_000);
        Ok(scene)
    }

    /// Makes a call and lets time pass until it has returned.
    fn call(&mut self, end: usize, call: Call) -> Result<i64, CouldNotRun> {
        let what = format!("{call:?}");
        let Machine { kernel, task } = &mut self.machines[end];
        let deadline = kernel.now() + PATIENCE;
        let mut result = kernel.syscall(*task, call);
        while result.is_none() {
            if !self.step(deadline) {
                break;
            }
            let task = self.machines[end].task;
            let finished = self.machines[end].kernel.completed();
            result = finished.into_iter().find(|done| done.task == task).map(|done| done.result);
        }
        self.exchange();
        value(&what, result)
    }

    /// Lets `ns` pass.
    fn settle(&mut self, ns: Nanos) {
        let until = self.machines[0].kernel.now() + ns;
        while self.step(until) {}
        for machine in &mut self.machines {
            machine.kernel.advance(until);
        }
    }

    /// Goes on to the next thing that happens on either machine; false when there is none up to
    /// `until`.
    fn step(&mut self, until: Nanos) -> bool {
        if self.exchange() {
            return true;
        }
        let next = self.machines.iter().filter_map(|m| m.kernel.next_event()).min();
        let Some(at) = next.filter(|&at| at <= until) else { return false };
        for machine in &mut self.machines {
            machine.kernel.advance(at);
        }
        true
    }

    /// Carries frames over the wire; whether there were any.
    fn exchange(&mut self) -> bool {
        let mut any = false;
        for (from, to) in [(SERVER_END, CLIENT_END), (CLIENT_END, SERVER_END)] {
            for frame in self.machines[from].kernel.frames_out() {
                any = true;
                let frame = FrameIn { bytes: frame.bytes, gso_size: frame.gso_size };
                self.machines[to].kernel.frame_in(WIRE, frame);
            }
        }
        any
    }
}

fn value(what: &str, result: Option<SysResult>) -> Result<i64, CouldNotRun> {
    let failed = |how: String| CouldNotRun::Program {
        program: what.to_owned(),
        what: how,
        help: Some("the reference stack itself fails here: run `cargo nextest run`".to_owned()),
    };
    match result {
        Some(Ok(ret)) => Ok(ret.value()),
        Some(Err(errno)) => Err(failed(format!("returned {}", errno.name()))),
        None => Err(failed("never returned".to_owned())),
    }
}

fn machine(addr: Ipv4Addr, last: u8) -> Result<Machine, CouldNotRun> {
    let mut config = crate::verbs::boot::board(Version::V5_15);
    config.nics = vec![NicConfig {
        name: "eth0".to_owned(),
        kind: NicKind::Ftgmac100 { mac: 0 },
        mac: [0x52, 0x54, 0x00, 0x12, 0x34, last],
        mtu: 1500,
    }];
    config.seed = u64::from(last);
    let mut kernel = Kernel::boot(&config);
    kernel.ip_addr_add("eth0", addr, 24).map_err(|e| refused("ip addr add", &e.to_string()))?;
    // The wire's other end is known, as after any earlier traffic.
    let (peer, peer_last) = if addr == SERVER { (CLIENT, 0x57) } else { (SERVER, 0x56) };
    kernel
        .ip_neigh_add("eth0", peer, [0x52, 0x54, 0x00, 0x12, 0x34, peer_last])
        .map_err(|e| refused("ip neigh add", &e.to_string()))?;
    let task = kernel.task_new();
    Ok(Machine { kernel, task })
}

fn refused(command: &str, why: &str) -> CouldNotRun {
    CouldNotRun::Program { program: command.to_owned(), what: why.to_owned(), help: None }
}
