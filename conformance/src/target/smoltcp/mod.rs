//! The smoltcp crate as a target: a stack with another interface than Linux's, behind the same scripts.
//!
//! smoltcp has no system calls, no wire and no clock of its own: it is polled. What is here is what an embedder of it
//! writes, in three steps: the wire is two queues of packets (`device`), time is a number that jumps to the next moment
//! at which smoltcp wants to be polled ([`Smoltcp::advance`]), and a system call is a few calls of its sockets (`stack`).
//! A script's call that waits is tried again after every poll. What smoltcp has no counterpart for is refused by name,
//! and the case counts as unsupported; nothing is imitated.

mod address;
mod device;
mod options;
mod settings;
mod stack;
mod tcp;
mod udp;

use std::cell::Cell;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::Path;

use reference_stack::syscalls::SysResult;
use reference_stack::{Call, Errno, Nanos};
use smoltcp::time::Instant;

use super::{Addresses, Admin, Finished, Refusal, Sent, Target, Thread, ethernet};
use crate::frames::PcapWriter;
use crate::results::Nic;
use stack::{Pending, Stack, Step};

/// The clock at the start.
const START: Nanos = 1_000_000_000;
const MICROSECOND: Nanos = 1_000;
/// How often smoltcp may ask to be polled again at the same instant.
const POLLS: u32 = 64;
/// The hardware address that a capture gives the target's side.
const OWN: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x00, 0x01];

thread_local! {
    /// smoltcp asks a plain function for time stamp values, which knows nothing but this.
    static MILLISECONDS: Cell<u32> = const { Cell::new(0) };
}

/// The value of an outbound time stamp: milliseconds, as on Linux.
fn tsval() -> u32 {
    MILLISECONDS.get()
}

/// A machine with smoltcp in virtual time.
pub struct Smoltcp {
    now: Nanos,
    stack: Stack,
    /// The calls that wait, of the two threads.
    waiting: [Option<Pending>; 2],
    sent: Vec<Sent>,
    finished: Vec<Finished>,
    log: DefaultHasher,
    capture: Option<Vec<(Nanos, Vec<u8>)>>,
}

impl Smoltcp {
    /// A machine with these addresses.
    ///
    /// # Errors
    /// Addresses that smoltcp does not take.
    pub fn new(addresses: &Addresses, capture: bool) -> Result<Self, Refusal> {
        Ok(Smoltcp {
            now: START,
            stack: Stack::new(addresses, instant(START))?,
            waiting: [None, None],
            sent: Vec::new(),
            finished: Vec::new(),
            log: DefaultHasher::new(),
            capture: capture.then(Vec::new),
        })
    }

    fn set_clock(&mut self, now: Nanos) {
        self.now = now;
        // It wraps, as the field on the wire does.
        MILLISECONDS.set((now / 1_000_000) as u32);
    }

    /// Lets smoltcp work until it wants nothing more at this instant, and the calls that wait go on.
    fn settle(&mut self) {
        for _ in 0..POLLS {
            self.stack.poll(instant(self.now));
            for packet in self.stack.take_sent() {
                self.record(&packet);
                self.sent.push(Sent { at: self.now, packet });
            }
            let went_on = self.retry(Thread::Main) | self.retry(Thread::Blocking);
            if !went_on
                && self.stack.next(instant(self.now)).is_none_or(|at| at > instant(self.now))
            {
                break;
            }
        }
    }

    /// Tries a waiting call again. True if it returned.
    fn retry(&mut self, thread: Thread) -> bool {
        let slot = &mut self.waiting[thread as usize];
        let Some(pending) = slot else { return false };
        let result = match self.stack.step(pending, self.now) {
            Ok(Step::Wait) => return false,
            Ok(Step::Done(result)) => result,
            // What smoltcp lacks is refused when a call starts.
            Err(_) => Err(Errno::EOPNOTSUPP),
        };
        *slot = None;
        self.log(&result);
        self.finished.push(Finished { thread, at: self.now, result });
        true
    }

    /// The next moment at which something happens by itself: smoltcp's, or the end of a call's patience.
    fn next(&mut self) -> Option<Nanos> {
        let deadlines = self.waiting.iter().flatten().filter_map(|pending| pending.deadline);
        let polled = self.stack.next(instant(self.now)).map(nanos);
        deadlines.chain(polled).min()
    }

    fn record(&mut self, packet: &[u8]) {
        self.log.write_u64(self.now);
        self.log.write(packet);
        if let Some(capture) = &mut self.capture {
            capture.push((self.now, ethernet::frame(OWN, packet)));
        }
    }

    fn log(&mut self, result: &SysResult) {
        self.log.write_u64(self.now);
        self.log.write(format!("{result:?}").as_bytes());
    }
}

fn instant(at: Nanos) -> Instant {
    Instant::from_micros(i64::try_from(at / MICROSECOND).unwrap_or(i64::MAX))
}

fn nanos(at: Instant) -> Nanos {
    u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(MICROSECOND)
}

impl Target for Smoltcp {
    fn name(&self) -> &'static str {
        "smoltcp"
    }

    fn nic(&self) -> Nic {
        Nic::None
    }

    fn now(&self) -> Nanos {
        self.now
    }

    fn advance(&mut self, until: Nanos) {
        while self.sent.is_empty() && self.finished.is_empty() && self.now < until {
            let next = self.next().map_or(until, |at| at.clamp(self.now, until));
            // What was due before is done by settle(), so there is always a step forward.
            self.set_clock(next.max(self.now + MICROSECOND).min(until));
            self.settle();
        }
    }

    fn is_idle(&self) -> bool {
        // smoltcp tells the next moment to who may change it only.
        false
    }

    fn inject(&mut self, packet: &[u8], gso_size: u16) -> Result<(), Refusal> {
        if gso_size != 0 {
            return Err(Refusal::Unsupported("smoltcp takes no super-packets".into()));
        }
        self.record(packet);
        self.stack.receive(packet.to_vec());
        self.settle();
        Ok(())
    }

    fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    fn call(&mut self, thread: Thread, call: Call) -> Result<Option<SysResult>, Refusal> {
        if self.waiting[thread as usize].is_some() {
            let what = "a call is made while another one of its thread waits";
            return Err(Refusal::Invalid(what.into()));
        }
        self.set_clock(self.now);
        let mut pending = Pending::new(call, self.now);
        let step = self.stack.step(&mut pending, self.now)?;
        match step {
            Step::Done(result) => {
                self.log(&result);
                self.settle();
                Ok(Some(result))
            }
            Step::Wait => {
                self.waiting[thread as usize] = Some(pending);
                self.settle();
                let at = self.finished.iter().position(|done| done.thread == thread);
                Ok(at.map(|at| self.finished.remove(at).result))
            }
        }
    }

    fn finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.finished)
    }

    fn give_up(&mut self, thread: Thread) {
        self.waiting[thread as usize] = None;
        self.finished.retain(|done| done.thread != thread);
    }

    fn sysctl(&mut self, name: &str) -> Result<String, Refusal> {
        self.stack.settings.get(name)
    }

    fn set_sysctl(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        self.stack.settings.set(name, value)
    }

    fn administrate(&mut self, what: &Admin) -> Result<(), Refusal> {
        match what {
            // Nothing of a connection is remembered for the next one.
            Admin::FlushTcpMetrics => Ok(()),
            other => Err(Refusal::Unsupported(format!("smoltcp has no {other:?}"))),
        }
    }

    fn event_log(&self) -> Option<String> {
        Some(format!("{:016x}", self.log.finish()))
    }

    fn write_pcap(&self, path: &Path) -> io::Result<()> {
        let mut writer = PcapWriter::new(io::BufWriter::new(File::create(path)?))?;
        for (at, frame) in self.capture.iter().flatten() {
            writer.frame(*at, frame)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
