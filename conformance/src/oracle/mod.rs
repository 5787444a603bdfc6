//! Asking real kernels: scripts in a process of their own, on this machine's kernel or inside a user-mode Linux.
//!
//! The asking side ([`ask()`]) writes a plan and starts a process for it; that process, the guest ([`guest::run`]), runs
//! the plan's cases with the target [`crate::target::linux`] and puts each answer down as a line of JSON in a file that
//! both see. A guest that dies or hangs costs the case that it was at, and the rest is asked again of a new one.

mod ask;
pub mod build;
pub mod guest;
pub mod held;
mod leftovers;
pub mod table;
pub mod uml;

pub use ask::{Answer, Asked, OracleError, ask};
