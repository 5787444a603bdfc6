//! The relay: frames from one TAP device to another, by way of a [`Wire`], in real time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use host_sys::{Clock, PollFd};

use super::LabError;
use super::wire::{Dir, Wire};

/// Requests and flags of `linux/if_tun.h`.
const TUNSETIFF: u32 = 0x4004_54ca;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
/// Size of `struct ifreq`.
const IFREQ: usize = 40;

const O_RDWR: i32 = 2;
const O_NONBLOCK: i32 = 0o4000;
const O_CLOEXEC: i32 = 0o2_000_000;
const POLLIN: i16 = 1;
/// The largest frame, with room for a tag.
const FRAME: usize = 65_600;
/// How long the relay sleeps at most before it looks whether it should end.
const PAUSE_NS: u64 = 20_000_000;
/// Before a frame is due the last microseconds are waited for without sleep.
const SPIN_NS: u64 = 60_000;

/// A TAP device; it goes with its descriptor.
#[derive(Debug)]
pub(super) struct Tap(i32);

impl Tap {
    /// Makes the device in the calling thread's namespace. Frames written are taken up as by a
    /// writer that does not wait: the kernel builds them in page fragments.
    pub(super) fn open(name: &str) -> Result<Self, LabError> {
        let failed = |what: &str| LabError::host(format!("{name}: {what}"));
        let fd = host_sys::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC, 0)
            .map_err(failed("/dev/net/tun"))?;
        let tap = Tap(fd);
        let mut request = [0; IFREQ];
        // Names of interfaces have at most 15 bytes.
        for (place, byte) in request[..15].iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        request[16..18].copy_from_slice(&(IFF_TAP | IFF_NO_PI).to_ne_bytes());
        host_sys::ioctl(fd, TUNSETIFF, &mut request).map_err(failed("TUNSETIFF"))?;
        Ok(tap)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = host_sys::close(self.0);
    }
}

/// A wire between two devices; the first one is the captured host's, if any is.
pub(super) struct Link {
    pub(super) ends: [Tap; 2],
    pub(super) wire: Wire,
}

/// A relay at work; it ends when it is dropped.
pub(super) struct Relay {
    end: Arc<AtomicBool>,
    start: Arc<Mutex<Option<u64>>>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts to carry frames.
    pub(super) fn new(links: Vec<Link>) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let start = Arc::new(Mutex::new(None));
        let carrier = Carrier {
            links,
            waiting: BinaryHeap::new(),
            entered: 0,
            buffer: vec![0; FRAME],
            end: Arc::clone(&end),
            start: Arc::clone(&start),
        };
        let thread = std::thread::spawn(move || carrier.run());
        Relay { end, start, thread: Some(thread) }
    }

    /// The host's programs start now: the times of rules count from here.
    pub(super) fn start(&self) {
        let now = host_sys::now_ns(Clock::Realtime);
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A frame on its way, by when it is due and the order in which it came.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct OnWire {
    at_ns: u64,
    entered: u64,
    link: usize,
    /// The end at which it comes out.
    to: usize,
    frame: Vec<u8>,
}

struct Carrier {
    links: Vec<Link>,
    waiting: BinaryHeap<Reverse<OnWire>>,
    entered: u64,
    buffer: Vec<u8>,
    end: Arc<AtomicBool>,
    start: Arc<Mutex<Option<u64>>>,
}

impl Carrier {
    fn run(mut self) {
        host_sys::no_timer_slack();
        // Without the right to, the relay is a little less exact.
        let _ = host_sys::real_time_priority();
        while !self.end.load(Ordering::Relaxed) {
            self.wait();
            if let Some(start) = *self.start.lock().unwrap_or_else(PoisonError::into_inner) {
                self.links.iter_mut().for_each(|l| l.wire.start(start));
            }
            self.take_in();
            self.hand_out();
        }
    }

    /// Sleeps until a frame is there or due.
    fn wait(&mut self) {
        let now = host_sys::now_ns(Clock::Realtime);
        let due = self.waiting.peek().map_or(now + PAUSE_NS, |w| w.0.at_ns);
        let pause = due.saturating_sub(now + SPIN_NS).min(PAUSE_NS);
        let mut fds: Vec<PollFd> = self
            .links
            .iter()
            .flat_map(|l| &l.ends)
            .map(|tap| PollFd { fd: tap.0, events: POLLIN, revents: 0 })
            .collect();
        // An interrupted wait is a short one.
        let _ = host_sys::poll(&mut fds, Some(Duration::from_nanos(pause)));
    }

    fn take_in(&mut self) {
        for link in 0..self.links.len() {
            for from in 0..2 {
                while let Ok(len) = host_sys::read(self.links[link].ends[from].0, &mut self.buffer)
                {
                    let now = host_sys::now_ns(Clock::Realtime);
                    let dir = if from == 0 { Dir::Out } else { Dir::In };
                    let frame = self.buffer[..len.min(FRAME)].to_vec();
                    for due in self.links[link].wire.enter(now, dir, frame) {
                        let (at_ns, entered, to) = (due.at_ns, self.entered, 1 - from);
                        self.entered += 1;
                        let frame = due.frame;
                        self.waiting.push(Reverse(OnWire { at_ns, entered, link, to, frame }));
                    }
                }
            }
        }
    }

    fn hand_out(&mut self) {
        while let Some(next) = self.waiting.peek() {
            if next.0.at_ns > host_sys::now_ns(Clock::Realtime) {
                break;
            }
            if let Some(Reverse(due)) = self.waiting.pop() {
                // A device that is down refuses frames: they are lost, as on a wire to it.
                let _ = host_sys::write(self.links[due.link].ends[due.to].0, &due.frame);
            }
        }
    }
}
