//! A network namespace with a thread in it. What must happen inside is run on that thread;
//! programs that it starts are inside as well.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::LabError;

type Job = Box<dyn FnOnce() + Send>;

/// A namespace; it goes when this is dropped and its programs have ended.
pub(super) struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// The kernel's number of the thread, by which `ip link set netns` names the namespace.
    pub(super) tid: i32,
}

impl Namespace {
    /// Makes an empty one.
    pub(super) fn new() -> Result<Self, LabError> {
        let (jobs, to_do): (Sender<Job>, Receiver<Job>) = channel();
        let (ready, made) = channel();
        let thread = std::thread::spawn(move || {
            let _ = ready.send(host_sys::unshare_net().map(|()| host_sys::thread_id()));
            to_do.into_iter().for_each(|job| job());
        });
        let tid = made
            .recv()
            .map_err(LabError::host("network namespace"))?
            .map_err(LabError::host("network namespace"))?;
        Ok(Namespace { jobs: Some(jobs), thread: Some(thread), tid })
    }

    /// Runs `job` inside and waits for what it gives.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, LabError> + Send + 'static,
    ) -> Result<T, LabError> {
        let (give, result) = channel();
        let job: Job = Box::new(move || {
            let _ = give.send(job());
        });
        if let Some(jobs) = &self.jobs {
            jobs.send(job).map_err(LabError::host("namespace"))?;
        }
        result.recv().map_err(LabError::host("namespace"))?
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The thread ends with its queue.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
