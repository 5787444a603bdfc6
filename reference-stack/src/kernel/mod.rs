//! The kernel: owns the parts, boots them, runs softirqs, wakes waiters.

use crate::Nanos;
use crate::fs::Fs;
use crate::net::Net;
use crate::net::core::sock::Socks;
use crate::profile::Profile;

/// A point where frames enter and leave a machine: the number of the NIC in the boot configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Port(pub u32);

/// What stands at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NicKind {
    /// The board's MAC of this number (0 or 1) with the ftgmac100 driver. Frames are Ethernet
    /// without FCS.
    Ftgmac100 {
        /// Which MAC of the board.
        mac: u8,
    },
    /// A TUN device: IP packets without link header; takes super-packets (TSO) and checksums
    /// left to the device, as packetdrill's TUN does.
    Tun,
    /// A TAP device: Ethernet frames, no offloads, a frame is sent within the transmit call.
    Tap,
    /// One end of a veth pair: Ethernet frames, received through the backlog.
    Veth,
}

/// One network interface.
#[derive(Clone, Debug)]
pub struct NicConfig {
    /// Interface name.
    pub name: String,
    /// What it is.
    pub kind: NicKind,
    /// Hardware address; ignored for TUN.
    pub mac: [u8; 6],
    /// MTU in bytes.
    pub mtu: u32,
}

/// What a machine is booted from.
#[derive(Clone, Debug)]
pub struct BootConfig {
    /// The kernel.
    pub profile: Profile,
    /// Seeds every random choice.
    pub seed: u64,
    /// The interfaces, in order of their [`Port`] numbers. Addresses come later, by
    /// [`Kernel::ip_addr_add`].
    pub nics: Vec<NicConfig>,
    /// Time of the first tick, ns after boot (less than a jiffy).
    pub jiffies_phase: Nanos,
    /// `jiffies` at boot; its low bits decide where the coarser wheel levels round to.
    pub jiffies: u64,
    /// `CLOCK_MONOTONIC` at boot, ns: its milliseconds are TSval's.
    pub monotonic_offset: Nanos,
}

impl BootConfig {
    /// A machine of this profile with the given interfaces and all else at rest.
    pub fn new(profile: Profile, nics: Vec<NicConfig>) -> Self {
        let hz = u64::from(profile.hz);
        // INITIAL_JIFFIES: five minutes before a 32-bit counter wraps.
        Self {
            profile,
            seed: 1,
            nics,
            jiffies_phase: 0,
            jiffies: (1 << 32) - 300 * hz,
            monotonic_offset: 0,
        }
    }
}

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

/// A hash over everything that a machine did, and how many things that were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventLog {
    hash: u64,
    events: u64,
}

/// A machine: Linux on its board. `clone` is a snapshot.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub(crate) fs: Fs,
    pub(crate) socks: Socks,
    pub(crate) net: Net,
}
