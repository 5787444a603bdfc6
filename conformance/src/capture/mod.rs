//! What was recorded of a real Linux host: frames (`pcap`, `pcapng`), system calls (`strace`) and
//! the manifest that says how the host was set up.
//!
//! All three are input from outside: every reader gives a clear error with its place (packet
//! number and byte offset, or file and line) and none of them panics.

mod link;
mod manifest;
mod pcap;
mod strace;

pub use link::Link;
pub use manifest::{
    Accept, AdminEvent, Interface, Manifest, ManifestError, Route, Uncertainty, sysctl_text,
};
pub use pcap::{Packet, PacketReader, PcapError, read_packets};
pub use strace::{
    CallName, FdSet, FileId, Outcome, PollFd, Record, SockAddr, SocketCall, StraceError,
    TracedCall, Value, parse_strace, socket_calls,
};
