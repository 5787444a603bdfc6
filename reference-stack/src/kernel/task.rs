//! Tasks: who makes calls, and the calls that wait.

use super::Kernel;
use crate::Nanos;
use crate::fs::FileKind;
use crate::fs::file::FilesId;
use crate::fs::wait::Wakes;
use crate::net::core::sock::SockId;
use crate::net::ipv4::af_inet;
use crate::net::ipv4::tcp::{lock_sock, release_sock};
use crate::syscalls::{self, Blocked, Call, Fd, Outcome, SysResult, TaskId};
use crate::time::{HrtimerId, TimerId};

#[derive(Clone, Debug)]
struct Task {
    files: FilesId,
    blocked: Option<Blocked>,
    /// Woken, but held back until [`Kernel::run_woken`].
    woken: bool,
    /// The socket that its next call finds held, and lets go.
    holds: Option<SockId>,
}

/// The tasks of a machine and the calls that finished since they were last asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    list: Vec<Option<Task>>,
    finished: Vec<Completion>,
    /// Woken tasks do not run by themselves.
    hold: bool,
}

/// A call that had waited and is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Whose call.
    pub task: TaskId,
    /// When it returned.
    pub at: Nanos,
    /// What it returned.
    pub result: SysResult,
}

impl Kernel {
    /// A new task with descriptors 0, 1 and 2 open on nothing.
    pub fn task_new(&mut self) -> TaskId {
        let files = self.fs.new_table();
        self.add_task(files)
    }

    /// A thread of `task`: it shares the descriptors.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn task_thread(&mut self, task: TaskId) -> TaskId {
        let files = self.files_of(task).expect("a task that exists");
        let files = self.fs.share_table(files);
        self.add_task(files)
    }

    /// A child of `task` by fork(2): it has a copy of the descriptors.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn task_fork(&mut self, task: TaskId) -> TaskId {
        let files = self.files_of(task).expect("a task that exists");
        let files = self.fs.copy_table(files);
        self.add_task(files)
    }

    fn add_task(&mut self, files: FilesId) -> TaskId {
        self.tasks.list.push(Some(Task { files, blocked: None, woken: false, holds: None }));
        TaskId(self.tasks.list.len() as u32 - 1)
    }

    pub(super) fn files_of(&self, task: TaskId) -> Option<FilesId> {
        self.task(task).map(|t| t.files)
    }

    fn task(&self, task: TaskId) -> Option<&Task> {
        self.tasks.list.get(task.0 as usize)?.as_ref()
    }

    /// Whether the task waits in a call.
    pub fn is_blocked(&self, task: TaskId) -> bool {
        self.task(task).is_some_and(|t| t.blocked.is_some())
    }

    /// Makes a system call. `None`: it waits, and its result comes by [`Kernel::completed`].
    ///
    /// # Panics
    /// If there is no such task, or it waits in a call already: both are the caller's mistake.
    pub fn syscall(&mut self, task: TaskId, call: Call) -> Option<SysResult> {
        let files = self.files_of(task).expect("a task that exists");
        assert!(!self.is_blocked(task), "a waiting task makes no calls");
        self.net.log.call(task, &call);
        self.net.softnet.in_task = true;
        let outcome = syscalls::start(self, task, files, call);
        self.release_sock(task);
        self.net.softnet.in_task = false;
        let result = match outcome {
            Outcome::Done(result) => Some(result),
            Outcome::Wait(blocked) => {
                self.set_blocked(task, Some(blocked));
                None
            }
        };
        if let Some(result) = &result {
            let now = self.net.time.now();
            self.net.log.result(task, now, result);
        }
        self.run_softirqs();
        result
    }

    /// Takes the results of calls that had waited, in order of their return.
    pub fn completed(&mut self) -> Vec<Completion> {
        std::mem::take(&mut self.tasks.finished)
    }

    /// Ends a task's wait as a signal does: the call returns what it has, or EINTR.
    pub fn interrupt(&mut self, task: TaskId) {
        if let Some(blocked) = self.take_blocked(task) {
            let result = blocked.interrupted();
            self.zerocopy_give_up(&blocked);
            self.finish(task, &blocked, result);
        }
    }

    /// Ends a task: a waiting call is given up, and what only it held open is closed.
    pub fn task_exit(&mut self, task: TaskId) {
        if let Some(blocked) = self.take_blocked(task) {
            self.zerocopy_give_up(&blocked);
            self.release_call(task, &blocked);
        }
        let Some(entry) = self.tasks.list.get_mut(task.0 as usize).and_then(Option::take) else {
            return;
        };
        for file in self.fs.drop_table(entry.files) {
            if let Some(FileKind::Socket(mut sock)) = self.fs.fput(file).map(|f| f.kind) {
                // An error of release() reaches nobody, as in Linux's exit.
                let _ = af_inet::inet_release(&mut self.socks, &mut self.net, &mut sock);
            }
        }
        self.run_softirqs();
    }

    /// Tells the epoll instances that watch what was woken, and tries the waiting calls again that
    /// wait for it.
    pub(super) fn wake_waiters(&mut self, mut woken: Wakes) {
        let mut at = 0;
        while let Some(&wake) = woken.get(at).filter(|_| self.fs.is_watching()) {
            // What an instance wakes is watched by other instances in turn.
            self.fs.ep_poll_callback(wake, &mut woken);
            at += 1;
        }
        for i in 0..self.tasks.list.len() {
            let task = TaskId(i as u32);
            let Some(Task { files, blocked: Some(blocked), .. }) = self.task(task) else {
                continue;
            };
            let waits_for = blocked.queues(self, *files);
            if !woken.iter().any(|(queue, _)| waits_for.contains(queue)) {
                continue;
            }
            if !self.tasks.hold {
                self.resume_task(task, false);
            } else if let Some(Some(entry)) = self.tasks.list.get_mut(i) {
                entry.woken = true;
            }
        }
    }

    /// From now on a woken task runs only when [`Kernel::run_woken`] says so: when a real
    /// task gets the processor after its wake-up is up to the scheduler, and a replay must
    /// be able to say.
    pub fn hold_woken(&mut self, hold: bool) {
        self.tasks.hold = hold;
    }

    /// Whether a waiting task was woken and is held back.
    pub fn is_woken(&self, task: TaskId) -> bool {
        self.task(task).is_some_and(|t| t.woken && t.blocked.is_some())
    }

    /// Lets a woken task that is held back run: its call is tried again.
    pub fn run_woken(&mut self, task: TaskId) {
        if self.is_woken(task) {
            self.resume_task(task, false);
            self.run_softirqs();
        }
    }

    /// The next call of `task`, or the one in which it waits, holds the TCP socket of `fd` from
    /// now on (`lock_sock`): segments for it go to its backlog until that call has run.
    pub fn lock_sock(&mut self, task: TaskId, fd: Fd) {
        let file = self.files_of(task).and_then(|files| self.fs.fdget(files, fd).ok());
        let Some(FileKind::Socket(sock)) = file.and_then(|f| self.fs.file(f)).map(|f| f.kind)
        else {
            return;
        };
        lock_sock(&mut self.socks, sock.sk);
        if let Some(Some(entry)) = self.tasks.list.get_mut(task.0 as usize) {
            entry.holds = Some(sock.sk);
        }
    }

    /// Ends what [`Kernel::lock_sock`] began: the backlog is handled. Each call of the task does
    /// so when it returns or waits.
    pub fn release_sock(&mut self, task: TaskId) {
        let entry = self.tasks.list.get_mut(task.0 as usize).and_then(Option::as_mut);
        if let Some(sk) = entry.and_then(|t| t.holds.take()) {
            release_sock(&mut self.socks, &mut self.net, sk);
        }
    }

    /// A task's time-out fired: its call returns.
    pub(super) fn task_timeout(&mut self, task: TaskId) {
        self.resume_task(task, true);
    }

    fn resume_task(&mut self, task: TaskId, timed_out: bool) {
        let Some(files) = self.files_of(task) else { return };
        let Some(mut blocked) = self.take_blocked(task) else { return };
        self.net.softnet.in_task = true;
        let result = syscalls::resume(self, files, &mut blocked, timed_out);
        self.net.softnet.in_task = false;
        self.release_sock(task);
        match result {
            Some(result) => self.finish(task, &blocked, result),
            None => self.set_blocked(task, Some(blocked)),
        }
    }

    fn finish(&mut self, task: TaskId, call: &Blocked, result: SysResult) {
        self.release_call(task, call);
        let at = self.net.time.now();
        self.net.log.result(task, at, &result);
        self.tasks.finished.push(Completion { task, at, result });
    }

    /// A waiting send that ends early refers to its pages no more.
    fn zerocopy_give_up(&mut self, call: &Blocked) {
        let (file, msg) = match call {
            Blocked::Send { file, msg } => (file, Some(msg)),
            Blocked::Sendmmsg(call) => (&call.file, call.left.front()),
            _ => return,
        };
        let Some(msg) = msg else { return };
        if let Some(FileKind::Socket(sock)) = self.fs.file(*file).map(|f| f.kind) {
            let failed = msg.taken() == 0;
            af_inet::zerocopy_end(&mut self.socks, &mut self.net, sock.sk, msg.uarg, failed);
        }
    }

    /// Gives back what a waiting call held: its time-outs and its file.
    fn release_call(&mut self, task: TaskId, call: &Blocked) {
        self.net.del_timer(TimerId::Task(task));
        self.net.time.hrtimers.cancel(HrtimerId::Task(task));
        for file in call.files().into_iter().flatten() {
            if let Some(FileKind::Socket(mut sock)) = self.fs.fput(file).map(|f| f.kind) {
                // The descriptor was closed meanwhile; nobody is left to hear of an error.
                let _ = af_inet::inet_release(&mut self.socks, &mut self.net, &mut sock);
            }
        }
    }

    fn take_blocked(&mut self, task: TaskId) -> Option<Blocked> {
        self.tasks.list.get_mut(task.0 as usize)?.as_mut()?.blocked.take()
    }

    fn set_blocked(&mut self, task: TaskId, blocked: Option<Blocked>) {
        if let Some(Some(entry)) = self.tasks.list.get_mut(task.0 as usize) {
            entry.blocked = blocked;
            entry.woken = false;
        }
    }
}
