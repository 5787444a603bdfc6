//! The host's system calls with plain numbers and bytes.
//!
//! A conformance script says `setsockopt(3, SOL_TCP, 77, [1], 4)` with any level, name and length, and wants to know
//! what the kernel answers. Typed wrappers refuse just that, so this crate has the calls as the kernel takes them:
//! descriptors are numbers, addresses, options and control messages are bytes. What must hold for memory's sake, that
//! every pointer comes with the length of what it points to, is kept here; this is the only crate with `unsafe`.
//!
//! Descriptors are not owned: who opens one closes it.

#![cfg(target_os = "linux")]

mod process;
mod socket;

pub use process::*;
pub use socket::*;

/// A Linux error number, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.0)
    }
}

/// A call's value, or its errno.
pub type Result<T> = std::result::Result<T, Errno>;

/// The errno of the call that just failed.
fn last() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// A C call's `int` as a result: negative is a failure.
fn check(value: libc::c_int) -> Result<i32> {
    if value < 0 { Err(last()) } else { Ok(value) }
}

/// Likewise for calls that return a count.
fn count(value: isize) -> Result<usize> {
    usize::try_from(value).map_err(|_| last())
}
