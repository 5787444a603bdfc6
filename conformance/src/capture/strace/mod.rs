//! strace's text (`strace -f -ttt -T -s N -o FILE PROGRAM`): from lines to records, from records
//! to what happened to sockets.
//!
//! Reading is in two steps. [`parse_strace`] joins unfinished and resumed lines and takes every
//! call apart into name, arguments and result, whatever the call is. [`socket_calls`] follows
//! which descriptor of which process is a socket, through dup, fork, threads and exit, and gives
//! typed calls on sockets only: the start-up noise of a program is on other files.

mod consts;
mod record;
mod sockets;
mod value;
mod wait;

pub use record::{Outcome, Record, StraceError, TracedCall, parse_strace};
pub use sockets::{CallName, FdSet, FileId, PollFd, SockAddr, SocketCall, socket_calls};
pub use value::Value;
