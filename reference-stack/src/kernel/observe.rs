//! What can be seen of a machine from outside: /proc, counters, TCP_INFO, the event log, and
//! whether everything came home.

use super::{FrameOut, Kernel, Port};
use crate::Nanos;
use crate::fs::FileKind;
use crate::net::core::skbuff::DropReason;
use crate::net::core::sock::Sock;
use crate::net::core::sockopt::sk_get_meminfo;
use crate::net::ipv4::mib::Mib;
use crate::net::ipv4::tcp::{TcpInfo, tcp_get_info};
use crate::proc;
use crate::syscalls::{Call, Fd, SysResult, TaskId};
use std::fmt::Write as _;
use std::hash::Hasher;

/// A hash over everything that a machine was told and did, and how many things that were. It
/// is kept for those who asked by [`Kernel::record_events`]: a fuzzer's machine pays nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventLog {
    recording: bool,
    hash: u64,
    events: u64,
}

impl EventLog {
    /// The hash: equal histories have equal hashes.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of events.
    pub fn events(&self) -> u64 {
        self.events
    }

    #[inline]
    fn add(&mut self, kind: u8, who: u32, at: Nanos, bytes: &[u8]) {
        if self.recording {
            self.record(kind, who, at, bytes);
        }
    }

    #[inline(never)]
    fn record(&mut self, kind: u8, who: u32, at: Nanos, bytes: &[u8]) {
        let mut hasher = crate::lib::hash::DetHasher::default();
        hasher.write_u64(self.hash);
        hasher.write_u64(u64::from(kind) << 32 | u64::from(who));
        hasher.write_u64(at);
        hasher.write_u64(bytes.len() as u64);
        hasher.write(bytes);
        self.hash = hasher.finish();
        self.events += 1;
    }

    pub(super) fn frame_in(&mut self, port: Port, at: Nanos, bytes: &[u8]) {
        self.add(b'<', port.0, at, bytes);
    }

    pub(super) fn frame_out(&mut self, frame: &FrameOut) {
        self.add(b'>', frame.port.0, frame.at, &frame.bytes);
    }

    pub(super) fn call(&mut self, task: TaskId, call: &Call) {
        self.add(b'(', task.0, 0, call.name().as_bytes());
    }

    pub(super) fn result(&mut self, task: TaskId, at: Nanos, result: &SysResult) {
        let value = match result {
            Ok(ret) => ret.value(),
            Err(e) => -i64::from(e.raw()),
        };
        self.add(b'=', task.0, at, &value.to_le_bytes());
    }
}

impl Kernel {
    /// Starts the log of events.
    pub fn record_events(&mut self) {
        self.net.log.recording = true;
    }

    /// The log of what happened since [`Kernel::record_events`].
    pub fn event_log(&self) -> &EventLog {
        &self.net.log
    }

    /// The console: time and text of every line.
    pub fn console(&self) -> &[(Nanos, String)] {
        &self.console
    }

    /// The text of a file under `/proc/net`, such as `"fib_trie"` or `"snmp"`.
    pub fn proc_net(&self, name: &str) -> Option<String> {
        proc::net_file(&self.socks, &self.net, name)
    }

    /// The counters.
    pub fn mib(&self) -> &Mib {
        &self.net.mib
    }

    /// TCP_INFO of a descriptor, if it is a TCP socket.
    pub fn tcp_info(&self, task: TaskId, fd: Fd) -> Option<TcpInfo> {
        let sk = self.socket_of(task, fd)?;
        Some(tcp_get_info(self.socks.tcp(sk)?, &self.net))
    }

    /// SO_MEMINFO of a descriptor: the nine `SK_MEMINFO_*` values.
    pub fn sk_meminfo(&self, task: TaskId, fd: Fd) -> Option<[u32; 9]> {
        match self.socks.get(self.socket_of(task, fd)?)? {
            Sock::Tcp(tp) => Some(sk_get_meminfo(&self.net, &tp.sk)),
            Sock::Udp(up) => Some(sk_get_meminfo(&self.net, &up.sk)),
            Sock::Req(_) | Sock::Tw(_) => None,
        }
    }

    fn socket_of(&self, task: TaskId, fd: Fd) -> Option<crate::net::core::sock::SockId> {
        let file = self.fs.fdget(self.files_of(task)?, fd).ok()?;
        match self.fs.file(file)?.kind {
            FileKind::Socket(ref sock) => Some(sock.sk),
            _ => None,
        }
    }

    /// Drops by reason, as far as there were any.
    pub fn drops(&self) -> Vec<(&'static str, u32)> {
        let consumed = DropReason::Consumed as usize;
        DropReason::NAMES
            .iter()
            .zip(self.net.skbs.drops)
            .enumerate()
            .filter(|&(i, (_, n))| n > 0 && i != consumed)
            .map(|(_, (name, n))| (*name, n))
            .collect()
    }

    /// Whether everything came home: one line for each kind of thing that is still out although
    /// nothing that may hold it is left. Meant for the end of a run.
    pub fn leak_check(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        let queued = self.queued_skbs();
        let alive = self.net.skbs.alive();
        if alive != queued {
            leaks.push(format!("{alive} buffers are alive, {queued} of them are in queues"));
        }
        let ubufs = self.net.skbs.ubufs.alive();
        if ubufs != 0 && queued == 0 && self.socks.iter().next().is_none() {
            leaks.push(format!("{ubufs} calls with MSG_ZEROCOPY still refer to their pages"));
        }
        for (id, sock) in self.socks.iter() {
            let mut held = String::new();
            if let Sock::Tcp(tp) = sock
                && tp.sk.sk_rmem_alloc < 0
            {
                let _ = write!(held, "sk_rmem_alloc {}", tp.sk.sk_rmem_alloc);
            }
            if !held.is_empty() {
                leaks.push(format!("socket {}: {held}", id.0));
            }
        }
        leaks
    }

    /// Buffers that stand in a queue where they may: sockets, neighbours, reassembly, devices.
    fn queued_skbs(&self) -> u64 {
        let sockets: usize = self
            .socks
            .iter()
            .map(|(_, sock)| match sock {
                Sock::Tcp(tp) => tp.sk.sk_receive_queue.len() + tp.out_of_order_queue.len(),
                Sock::Udp(up) => up.sk.sk_receive_queue.len(),
                Sock::Req(_) | Sock::Tw(_) => 0,
            })
            .sum();
        (sockets + self.net.queued_skbs()) as u64
    }
}
