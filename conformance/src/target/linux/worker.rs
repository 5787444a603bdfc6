//! The threads that make calls.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use host_sys::{Clock, PollFd};
use reference_stack::Call;

use super::calls::Caller;
use crate::target::{Finished, Refusal, Thread};

/// `POLLIN`
const POLLIN: i16 = 1;

/// Results of calls, from both threads, and a descriptor that is readable while there are any.
#[derive(Clone)]
pub(super) struct Results(Arc<Inner>);

struct Inner {
    queue: Mutex<VecDeque<Finished>>,
    event: i32,
}

impl Results {
    pub(super) fn new() -> host_sys::Result<Results> {
        let event = host_sys::eventfd(0, host_sys::EVENT_FLAGS)?;
        Ok(Results(Arc::new(Inner { queue: Mutex::default(), event })))
    }

    pub(super) fn readable(&self) -> PollFd {
        PollFd { fd: self.0.event, events: POLLIN, revents: 0 }
    }

    fn put(&self, finished: Finished) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(finished);
        // The counter is far from full.
        let _ = host_sys::write(self.0.event, &1_u64.to_ne_bytes());
    }

    pub(super) fn take(&self) -> Vec<Finished> {
        // Nothing to read is no error: it is non-blocking.
        let _ = host_sys::read(self.0.event, &mut [0; 8]);
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = host_sys::close(self.event);
    }
}

enum Job {
    Call(Call),
    Task(Box<dyn FnOnce() + Send>),
}

/// A thread that makes calls, one after another.
pub(super) struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    /// The kernel's number of the thread.
    id: i32,
    /// Set from before a call until its result is put down.
    in_call: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(thread: Thread, results: &Results) -> Result<Worker, Refusal> {
        let gone = |e: std::io::Error| Refusal::Absent(format!("a thread cannot be started: {e}"));
        host_sys::wakeable().map_err(|e| gone(e.into()))?;
        let (jobs, inbox) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let in_call = Arc::new(AtomicBool::new(false));
        let (results, flag) = (results.clone(), Arc::clone(&in_call));
        let body = move || {
            be_on_time();
            let _ = tell.send(host_sys::thread_id());
            work(thread, &inbox, &results, &flag);
        };
        let handle = std::thread::Builder::new().spawn(body).map_err(gone)?;
        let id = told.recv().map_err(|_| lost())?;
        Ok(Worker { jobs: Some(jobs), id, in_call, handle: Some(handle) })
    }

    fn send(&self, job: Job) -> Result<(), Refusal> {
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(lost)
    }

    /// Starts a call; its result comes by [`Results`].
    pub(super) fn call(&self, call: Call) -> Result<(), Refusal> {
        self.in_call.store(true, Ordering::SeqCst);
        self.send(Job::Call(call))
    }

    /// Does `task` on the thread, in its namespace, and waits for it.
    pub(super) fn run<R: Send + 'static>(
        &self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        let (tell, told) = mpsc::channel();
        self.send(Job::Task(Box::new(move || {
            let _ = tell.send(task());
        })))?;
        told.recv().map_err(|_| lost())
    }

    pub(super) fn in_call(&self) -> bool {
        self.in_call.load(Ordering::SeqCst)
    }

    /// Whether the thread sleeps in its call.
    pub(super) fn sleeps(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.id));
        // The name before the state is in parentheses and may hold spaces.
        let state = stat.as_deref().ok().and_then(|s| s.rsplit_once(") ")).map(|(_, s)| s);
        self.in_call() && state.is_some_and(|s| s.starts_with('S'))
    }

    pub(super) fn interrupt(&self) {
        // A thread that is gone needs no waking.
        let _ = host_sys::wake(self.id);
    }
}

/// Lets the calling thread run before others and wake when it is due: else the timing is that of the machine's load.
pub(super) fn be_on_time() {
    host_sys::no_timer_slack();
    // On a single processor a thread that goes first could keep all others away.
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
        // Without the right to, time is as good as it is.
        let _ = host_sys::real_time_priority();
    }
}

fn lost() -> Refusal {
    Refusal::Invalid("a thread of the target has ended".into())
}

fn work(thread: Thread, inbox: &mpsc::Receiver<Job>, results: &Results, in_call: &AtomicBool) {
    let mut caller = Caller::default();
    for job in inbox {
        match job {
            Job::Call(call) => {
                let result = caller.make(&call);
                let at = host_sys::now_ns(Clock::Realtime);
                in_call.store(false, Ordering::SeqCst);
                results.put(Finished { thread, at, result });
            }
            Job::Task(task) => task(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(handle) = self.handle.take() {
            // It may still wait in a call that was not given up.
            while !handle.is_finished() && self.in_call() {
                self.interrupt();
                std::thread::sleep(super::GIVE_UP.1);
            }
            let _ = handle.join();
        }
    }
}
