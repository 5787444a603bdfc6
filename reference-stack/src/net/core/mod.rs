//! Linux's `net/core/`: buffers, sockets' common part, devices, neighbours.

pub mod dev;
pub(crate) mod errqueue;
pub(crate) mod gso;
pub mod neighbour;
pub(crate) mod scm;
pub(crate) mod skbuff;
pub mod sock;
pub(crate) mod sockopt;
pub(crate) mod stream;
pub mod sysctl;
pub(crate) mod timestamping;
pub(crate) mod zerocopy;
