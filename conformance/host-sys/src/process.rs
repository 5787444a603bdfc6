//! Threads, namespaces and clocks.

use std::ffi::CString;

use crate::{Errno, Result, check};

/// A clock of clock_gettime(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Wall-clock time, the one of packet time stamps.
    Realtime,
    /// Time since boot as of the last tick: it changes once a jiffy.
    MonotonicCoarse,
}

/// A clock's time, nanoseconds.
pub fn now_ns(clock: Clock) -> u64 {
    let id = match clock {
        Clock::Realtime => libc::CLOCK_REALTIME,
        Clock::MonotonicCoarse => libc::CLOCK_MONOTONIC_COARSE,
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel stores one `timespec`. It cannot fail for these clocks.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Moves the calling thread into a new, empty network namespace. It goes when the last thread and descriptor in it do.
///
/// # Errors
/// EPERM without the right to administrate.
pub fn unshare_net() -> Result<()> {
    // SAFETY: changes the namespace of this thread alone.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(|_| ())
}

/// The kernel's number of the calling thread.
pub fn thread_id() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::gettid() }
}

/// Lets sleeps of the calling thread end when they are due, instead of up to 50 microseconds later.
pub fn no_timer_slack() {
    // SAFETY: this option takes a number. It cannot fail.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, 0, 0, 0) };
}

/// Puts the calling thread before all ordinary ones, at the lowest real-time priority.
///
/// # Errors
/// EPERM without the right to.
pub fn real_time_priority() -> Result<()> {
    let param = libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread; the parameter lives until the call returns.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const param) }).map(|_| ())
}

extern "C" fn nothing(_: libc::c_int) {}

/// Makes [`wake`] interrupt waiting calls of this process's threads with EINTR, instead of ending the process.
///
/// # Errors
/// As sigaction(2) says.
pub fn wakeable() -> Result<()> {
    // SAFETY: all zeros is a valid `sigaction`: no flags, no restorer, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler does nothing, so it is async-signal-safe. Without SA_RESTART calls return EINTR.
    check(unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()) })
        .map(|_| ())
}

/// Interrupts the call in which a thread of this process waits; [`wakeable`] was called before.
///
/// # Errors
/// ESRCH if there is no such thread.
pub fn wake(thread: i32) -> Result<()> {
    // SAFETY: sends a signal that this process handles to a thread of this process.
    let value = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2) };
    check(i32::try_from(value).unwrap_or(-1)).map(|_| ())
}

/// mount(2) of a file system without a device; `data` is its options.
///
/// # Errors
/// As the manual page says.
pub fn mount_fs(kind: &str, at: &str, data: &str) -> Result<()> {
    let c = |text: &str| CString::new(text).map_err(|_| Errno(libc::EINVAL));
    let (kind, at, data) = (c(kind)?, c(at)?, c(data)?);
    // SAFETY: C strings that live until the call returns; file systems without a device take their options as one.
    check(unsafe {
        libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, data.as_ptr().cast())
    })
    .map(|_| ())
}

/// Switches the machine off. For the first process of a guest; elsewhere it fails.
///
/// # Errors
/// EPERM without the right to, or in a process that is not number 1.
pub fn power_off() -> Result<()> {
    if std::process::id() != 1 {
        return Err(Errno(libc::EPERM));
    }
    // SAFETY: takes a number only.
    check(unsafe { libc::reboot(libc::RB_POWER_OFF) }).map(|_| ())
}

/// Kills the process group `group`: a child that was started in a group of its own, and its children.
///
/// # Errors
/// ESRCH if there is none of it left; EINVAL for a number that is no child's group.
pub fn kill_group(group: u32) -> Result<()> {
    let group = i32::try_from(group).ok().filter(|&g| g > 1).ok_or(Errno(libc::EINVAL))?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(-group, libc::SIGKILL) }).map(|_| ())
}

/// Interrupts the process group `group` as Ctrl-C does: a child that was started in a group of its own.
///
/// # Errors
/// As [`kill_group`].
pub fn interrupt_group(group: u32) -> Result<()> {
    let group = i32::try_from(group).ok().filter(|&g| g > 1).ok_or(Errno(libc::EINVAL))?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(-group, libc::SIGINT) }).map(|_| ())
}
