//! What a replay needs of the machine that stands in for the captured host.

use reference_stack::{Call, RandomDelay, TaskId};

use super::admin::Admin;
use crate::results::story::Sample;
use reference_stack::syscalls::SysResult;

/// A frame that the machine sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Index of the interface.
    pub(crate) port: usize,
    /// When, virtual nanoseconds.
    pub(crate) at: u64,
    /// Ethernet frame.
    pub(crate) bytes: Vec<u8>,
}

/// A delay of the machine that was drawn at random and is not over; jiffies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay {
    /// Counts all delays of the machine, from 0.
    pub(crate) number: u32,
    /// It ends here or later.
    pub(crate) earliest: u64,
    /// It ends here or earlier.
    pub(crate) latest: u64,
    /// The machine's own name for it.
    pub(crate) handle: Option<RandomDelay>,
}

/// A machine in virtual time. A clone is a snapshot.
pub(crate) trait Host: Clone {
    /// Virtual time, nanoseconds since boot.
    fn now(&self) -> u64;
    /// When it has something to do next without being asked.
    fn next_event(&self) -> Option<u64>;
    /// Lets time go on.
    fn advance(&mut self, to: u64);
    /// Lets time go on while the processor does something else: what is due runs after.
    fn stall(&mut self, to: u64);
    /// The timer that ran last, by name, if one did since this was last asked.
    fn timer_name(&mut self) -> Option<&'static str>;
    /// A frame arrives.
    fn frame_in(&mut self, port: usize, bytes: Vec<u8>);
    /// Takes the frames sent.
    fn frames_out(&mut self) -> Vec<Sent>;
    /// Another thread; all share their descriptors.
    fn new_task(&mut self) -> TaskId;
    /// Makes a call; `None`: it waits.
    fn call(&mut self, task: TaskId, call: Call) -> Option<SysResult>;
    /// Whether a waiting task was woken and is held until [`Host::resume`].
    fn woken(&self, task: TaskId) -> bool;
    /// Lets a woken task run.
    fn resume(&mut self, task: TaskId);
    /// A task's next call, or the one in which it waits, holds the socket of `fd` from now on.
    fn lock_sock(&mut self, task: TaskId, fd: i32);
    /// The task lets its socket go without a call.
    fn release_sock(&mut self, task: TaskId);
    /// Ends a task's wait as a signal does.
    fn interrupt(&mut self, task: TaskId);
    /// Takes the results of calls that had waited.
    fn completed(&mut self) -> Vec<(TaskId, SysResult)>;
    /// Once so many more frames were sent the processor is elsewhere for so long, nanoseconds.
    fn pause(&mut self, _after: Option<(u32, u64)>) {}
    /// The random delays that are not over.
    fn random_delays(&self) -> Vec<Delay> {
        Vec::new()
    }
    /// When a delay that ends in this jiffy has its timer fire.
    fn delay_fires_at(&self, _jiffy: u64) -> u64 {
        self.now()
    }
    /// Lets a delay end in this jiffy.
    fn choose_delay(&mut self, _delay: &Delay, _jiffy: u64) {}
    /// An administrator's command; why it failed.
    fn admin(&mut self, command: &Admin) -> Result<(), String>;
    /// State of a connection, its time left out.
    fn sample(&self, task: TaskId, fd: i32) -> Option<Sample>;
    /// State of a connection in one line, for a report.
    fn describe(&self, task: TaskId, fd: i32) -> Option<String>;
}
