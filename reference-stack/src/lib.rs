//! A deterministic reference implementation of Linux 5.15's network stack, from the socket
//! layer to the FTGMAC100 driver, on the board model of [`hw_model`].
//!
//! If you know where something is in Linux, you know where it is here: modules, functions and
//! constants carry Linux's names. The code is ours, written from the behaviour, the RFCs and
//! measurements of real kernels.
//!
//! **The face.** A [`Kernel`] is booted from a [`BootConfig`], takes system calls
//! ([`Kernel::syscall`]) and frames ([`Kernel::frame_in`]), gives frames
//! ([`Kernel::frames_out`]), says when it wants to run again ([`Kernel::next_event`]) and is told
//! how far time went ([`Kernel::advance`]). It does no I/O, reads no clock, draws no randomness
//! from the host, and a `clone` of it is a snapshot.
//!
//! **Down is a call, up is a return.** A layer calls the one below through `&mut` and hands its
//! result up by returning it, so there is no `Rc`, no `RefCell`, no callback and no lock.

pub mod errno;
pub mod fs;
pub mod init;
pub mod kernel;
#[path = "lib/mod.rs"]
pub mod lib;
pub mod net;
pub mod proc;
pub mod profile;
pub mod syscalls;
pub mod time;
pub mod trace;
pub mod uapi;

mod drivers;

pub use errno::Errno;
pub use hw_model::Nanos;
pub use kernel::{
    AdminError, BootConfig, Completion, EventLog, FrameIn, FrameOut, Gauge, Kernel, NicConfig,
    NicKind, Port, QdiscKind, RandomDelay, Route6Spec, RouteSpec, RouteVerb,
};
pub use profile::{Profile, Version};
pub use syscalls::{Call, Ret, TaskId};
