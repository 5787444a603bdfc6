//! The kernel: owns the parts, boots them, runs softirqs, wakes waiters.

mod admin;
mod boot;
pub(crate) mod delays;
mod gauges;
mod link;
mod observe;
mod run;
mod task;

pub use admin::{AdminError, Route6Spec, RouteSpec, RouteVerb};
pub use boot::{BootConfig, NicConfig, NicKind};
pub use delays::RandomDelay;
pub use gauges::Gauge;
pub use link::QdiscKind;
pub use observe::EventLog;
pub use task::Completion;

use crate::Nanos;
use crate::fs::Fs;
use crate::net::Net;
use crate::net::core::sock::Socks;
use crate::net::socket::NetFamilies;
use std::sync::Arc;
use task::Tasks;

/// A point where frames enter and leave a machine: the number of the NIC in the boot
/// configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Port(pub u32);

/// A frame to a machine.
#[derive(Clone, Debug)]
pub struct FrameIn {
    /// The bytes: Ethernet without FCS, or an IP packet for a TUN.
    pub bytes: Vec<u8>,
    /// Not 0: a super-packet of segments with this much payload (TUN with GSO).
    pub gso_size: u16,
}

/// A frame from a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameOut {
    /// Where it left.
    pub port: Port,
    /// When its last bit left.
    pub at: Nanos,
    /// The bytes: Ethernet without FCS, or an IP packet from a TUN. Checksums are complete.
    pub bytes: Vec<u8>,
    /// Not 0: a super-packet of segments with this much payload.
    pub gso_size: u16,
}

/// A machine: Linux on its board. `clone` is a snapshot.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub(crate) tasks: Tasks,
    pub(crate) fs: Fs,
    pub(crate) socks: Socks,
    pub(crate) net: Net,
    pub(crate) families: NetFamilies,
    /// Name of the timer that ran last, until it is asked for.
    pub(crate) last_timer: Option<&'static str>,
    /// The boot's console lines, with their times.
    pub(crate) console: Arc<Vec<(Nanos, String)>>,
}
