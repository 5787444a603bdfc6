//! A real Linux kernel as a target: the one that this process runs on.
//!
//! A thread of its own moves into a fresh network namespace and opens a TUN device there, as upstream's tool does: with
//! checksum and segmentation offload, so that super-packets are seen whole. Calls are real system calls of that thread,
//! or of a second one where the script lets a call wait; commands run in a real shell; what leaves is sniffed on the
//! device with the kernel's time stamps. All of it ends with the target: the namespace lives as long as its thread.
//!
//! On a host, time is real. In a user-mode Linux with time travel the same code runs in virtual time, because every
//! wait here is a sleep of the kernel and nothing spins.

mod calls;
mod setup;
mod tun;
mod worker;

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::Path;
use std::time::Duration;

use host_sys::Clock;
use reference_stack::syscalls::SysResult;
use reference_stack::{Call, Nanos};

use super::{Addresses, Admin, Finished, Ran, Refusal, RouteVerb, Sent, Target, Thread, ethernet};
use crate::frames::PcapWriter;
use crate::results::Nic;
use tun::Tun;
use worker::{Results, Worker};

/// How long a call may take before the harness looks whether it waits. Where time is virtual, it passes only when
/// nothing can run: then the call does wait.
const LOOK: Duration = Duration::from_micros(100);
/// How often a thread that waits is interrupted at the end of a run, and how long it is waited for each time.
const GIVE_UP: (u32, Duration) = (100, Duration::from_millis(2));
/// How far into a tick a script starts, nanoseconds, as with upstream's tool: away from the edges, where a little delay
/// would change by one what the kernel counts in ticks.
const INTO_TICK: Duration = Duration::from_micros(250);
/// The longest wait for a tick's edge.
const EDGE_STEPS: u32 = 400;
/// How often the clock that shows a tick's edge is read.
const EDGE_STEP: Duration = Duration::from_micros(50);
/// The hardware address that a capture gives the target's side.
const OWN: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x00, 0x01];

/// Shell functions for the commands of scripts in a guest: programs that take long to start there.
pub(crate) const SHELL_FUNCTIONS: &str = "/tmp/.netplumb.sh";

/// Which kernel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The kernel of the machine, in real time.
    Machine,
    /// A user-mode Linux in virtual time, inside of which this process runs.
    UserMode,
}

/// A network namespace of the running kernel with a TUN device and a process of two threads.
pub struct Linux {
    host: Host,
    device: Tun,
    results: Results,
    main: Worker,
    blocking: Worker,
    sent: Vec<Sent>,
    finished: Vec<Finished>,
    /// What happened, as a hash; virtual time only.
    log: DefaultHasher,
    /// Every packet with its time, if a capture is wanted.
    capture: Option<Vec<(Nanos, Vec<u8>)>>,
}

impl Linux {
    /// Makes the namespace and sets its interface up.
    ///
    /// # Errors
    /// [`Refusal::Absent`] without root's rights or a TUN driver; [`Refusal::Invalid`] for addresses that `ip` refuses.
    pub fn new(addresses: &Addresses, host: Host, capture: bool) -> Result<Self, Refusal> {
        // The caller's thread keeps the script's time.
        worker::be_on_time();
        let results = Results::new().map_err(absent("eventfd"))?;
        let main = Worker::start(Thread::Main, &results)?;
        let wanted = addresses.clone();
        let device = main.run(move || {
            host_sys::unshare_net().map_err(absent("a network namespace cannot be made"))?;
            let device = Tun::open()?;
            setup::interface(&wanted)?;
            Ok::<_, Refusal>(device)
        })??;
        let for_blocking = results.clone();
        // Started by the thread in the namespace, so it is in it as well.
        let blocking = main.run(move || Worker::start(Thread::Blocking, &for_blocking))??;
        let mut target = Linux {
            host,
            device,
            results,
            main,
            blocking,
            sent: Vec::new(),
            finished: Vec::new(),
            log: DefaultHasher::new(),
            capture: capture.then(Vec::new),
        };
        target.collect();
        target.sent.clear();
        Ok(target)
    }

    fn worker(&mut self, thread: Thread) -> &mut Worker {
        match thread {
            Thread::Main => &mut self.main,
            Thread::Blocking => &mut self.blocking,
        }
    }

    /// Takes over what left the kernel and which calls returned.
    fn collect(&mut self) {
        while let Some(sent) = self.device.next() {
            self.record(sent.at, &sent.packet);
            self.sent.push(sent);
        }
        self.finished.extend(self.results.take());
    }

    fn record(&mut self, at: Nanos, packet: &[u8]) {
        if self.host == Host::UserMode {
            self.log.write_u64(at);
            self.log.write(packet);
        }
        if let Some(capture) = &mut self.capture {
            capture.push((at, ethernet::frame(OWN, packet)));
        }
    }

    fn record_result(&mut self, at: Nanos, result: &SysResult) {
        if self.host == Host::UserMode {
            self.log.write_u64(at);
            self.log.write(format!("{result:?}").as_bytes());
        }
    }

    /// The result of `thread`'s call, if it is there.
    fn take_result(&mut self, thread: Thread) -> Option<SysResult> {
        self.collect();
        let at = self.finished.iter().position(|done| done.thread == thread)?;
        let done = self.finished.remove(at);
        self.record_result(done.at, &done.result);
        Some(done.result)
    }

    /// Sleeps until a packet, a result, or the end of `time`.
    fn wait(&self, time: Duration) {
        let mut on = [self.device.readable(), self.results.readable()];
        // Interrupted or not: the callers look at what there is.
        let _ = host_sys::poll(&mut on, Some(time));
    }

    fn shell(&mut self, folder: &Path, text: &str) -> Result<Ran, Refusal> {
        let (folder, text) = (folder.to_owned(), text.to_owned());
        let functions = (self.host == Host::UserMode).then_some(SHELL_FUNCTIONS);
        self.main.run(move || setup::shell(&folder, &text, functions))?
    }

    /// Runs `ip` with `line`.
    fn ip(&mut self, line: String) -> Result<(), Refusal> {
        self.main.run(move || setup::ip(&line))?
    }
}

/// "`what`, and the system says why", for what the machine lacks.
fn absent(what: &str) -> impl Fn(host_sys::Errno) -> Refusal {
    move |errno| Refusal::Absent(format!("{what}: {errno}"))
}

impl Target for Linux {
    fn name(&self) -> &'static str {
        match self.host {
            Host::Machine => "linux",
            Host::UserMode => "uml",
        }
    }

    fn nic(&self) -> Nic {
        Nic::Tun
    }

    fn now(&self) -> Nanos {
        host_sys::now_ns(Clock::Realtime)
    }

    fn start_clock(&mut self) {
        let edge = || host_sys::now_ns(Clock::MonotonicCoarse);
        let before = edge();
        for _ in 0..EDGE_STEPS {
            std::thread::sleep(EDGE_STEP);
            if edge() != before {
                break;
            }
        }
        std::thread::sleep(INTO_TICK);
    }

    fn advance(&mut self, until: Nanos) {
        loop {
            self.collect();
            // Some may have been collected before, in the middle of a call.
            if !self.sent.is_empty() || !self.finished.is_empty() {
                return;
            }
            let left = until.saturating_sub(self.now());
            if left == 0 {
                return;
            }
            self.wait(Duration::from_nanos(left));
        }
    }

    /// Nobody knows what a kernel is going to do.
    fn is_idle(&self) -> bool {
        false
    }

    fn inject(&mut self, packet: &[u8], gso_size: u16) -> Result<(), Refusal> {
        let now = self.now();
        self.record(now, packet);
        self.device.write(packet, gso_size)
    }

    fn sent(&mut self) -> Vec<Sent> {
        self.collect();
        std::mem::take(&mut self.sent)
    }

    fn call(&mut self, thread: Thread, call: Call) -> Result<Option<SysResult>, Refusal> {
        if self.worker(thread).in_call() {
            return Err(Refusal::Invalid(
                "a call is made while another one of its thread waits".into(),
            ));
        }
        self.worker(thread).call(call)?;
        loop {
            if let Some(result) = self.take_result(thread) {
                return Ok(Some(result));
            }
            let mut on = [self.results.readable()];
            let _ = host_sys::poll(&mut on, Some(LOOK));
            if on[0].revents == 0 && self.worker(thread).sleeps() {
                return Ok(self.take_result(thread));
            }
        }
    }

    fn finished(&mut self) -> Vec<Finished> {
        self.collect();
        let done = std::mem::take(&mut self.finished);
        for finished in &done {
            self.record_result(finished.at, &finished.result);
        }
        done
    }

    fn give_up(&mut self, thread: Thread) {
        let (tries, pause) = GIVE_UP;
        for _ in 0..tries {
            if !self.worker(thread).in_call() {
                break;
            }
            self.worker(thread).interrupt();
            self.wait(pause);
            self.collect();
        }
        self.collect();
        self.finished.retain(|done| done.thread != thread);
    }

    fn sysctl(&mut self, name: &str) -> Result<String, Refusal> {
        let name = name.to_owned();
        self.main.run(move || setup::sysctl(&name))?
    }

    fn set_sysctl(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.main.run(move || setup::set_sysctl(&name, &value))?
    }

    fn administrate(&mut self, what: &Admin) -> Result<(), Refusal> {
        let line = match what {
            Admin::FlushTcpMetrics => "tcp_metrics flush all".to_owned(),
            Admin::Route { verb, to, via, metrics } => {
                let verb = match verb {
                    RouteVerb::Add => "add",
                    RouteVerb::Replace => "replace",
                    RouteVerb::Change => "change",
                    RouteVerb::Delete => "del",
                };
                let to = to.map_or("default".to_owned(), |(ip, len)| format!("{ip}/{len}"));
                let via = via.map_or(String::new(), |ip| format!(" via {ip}"));
                let metrics: String = metrics.iter().map(|(n, v)| format!(" {n} {v}")).collect();
                format!("route {verb} {to} dev {}{via}{metrics}", setup::DEVICE)
            }
            Admin::Address { add, address, prefix } => {
                let verb = if *add { "add" } else { "del" };
                format!("addr {verb} {address}/{prefix} dev {}", setup::DEVICE)
            }
            Admin::LinkMtu(mtu) => format!("link set dev {} mtu {mtu}", setup::DEVICE),
            Admin::LinkUp(true) => format!("link set dev {} up", setup::DEVICE),
            Admin::LinkUp(false) => format!("link set dev {} down", setup::DEVICE),
            // A script's commands run in this target's own shell.
            other => return Err(Refusal::Unsupported(format!("{other:?} by request"))),
        };
        self.ip(line)
    }

    fn run_command(&mut self, folder: &Path, text: &str) -> Option<Result<Ran, Refusal>> {
        Some(self.shell(folder, text))
    }

    fn environment(&mut self) -> Vec<(String, String)> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        let release = release.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
        vec![("kernel".to_owned(), release)]
    }

    fn event_log(&self) -> Option<String> {
        (self.host == Host::UserMode).then(|| format!("{:016x}", self.log.finish()))
    }

    fn write_pcap(&self, path: &Path) -> io::Result<()> {
        let mut writer = PcapWriter::new(io::BufWriter::new(File::create(path)?))?;
        for (at, frame) in self.capture.iter().flatten() {
            writer.frame(*at, frame)?;
        }
        Ok(())
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        self.give_up(Thread::Blocking);
        self.give_up(Thread::Main);
    }
}

#[cfg(test)]
mod tests;
