//! Boot: from a configuration to a machine whose initcalls have run.

use super::{EventLog, Kernel};
use crate::Nanos;
use crate::fs::Fs;
use crate::init;
use crate::lib::random::Random;
use crate::lib::siphash::SipKey;
use crate::net::Net;
use crate::net::core::dev::{NetDevices, Softnet};
use crate::net::core::neighbour::NeighTable;
use crate::net::core::skbuff::SkbAccounting;
use crate::net::core::sock::{Socks, Wmem};
use crate::net::core::sysctl::Sysctl;
use crate::net::ipv4::mib::Mib;
use crate::net::ipv4::{Ipv4, Secrets};
use crate::net::ipv6::Ipv6;
use crate::net::socket::NetFamilies;
use crate::profile::Profile;
use crate::time::Clock;
use hw_model::Board;
use smallvec::SmallVec;
use std::sync::Arc;

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
    /// The interfaces, in order of their [`Port`](super::Port) numbers, up from the start.
    /// Addresses come later, by [`Kernel::ip_addr_add`].
    pub nics: Vec<NicConfig>,
    /// Time of the first tick, ns after boot (less than a jiffy).
    pub jiffies_phase: Nanos,
    /// Whether interfaces get IPv6 addresses by themselves, as they come up; false is a kernel
    /// with `ipv6.disable_ipv6=1`, whose sysctl can enable it later.
    pub ipv6: bool,
    /// `jiffies` at boot; its low bits decide where the coarser wheel levels round to.
    pub jiffies: u64,
    /// `CLOCK_MONOTONIC` at boot, ns: its milliseconds are TSval's.
    pub monotonic_offset: Nanos,
    /// `CLOCK_REALTIME` at boot, ns since the epoch.
    pub realtime: Nanos,
}

impl BootConfig {
    /// A machine of this profile with the given interfaces and all else at rest.
    pub fn new(profile: Profile, nics: Vec<NicConfig>) -> Self {
        let hz = u64::from(profile.hz);
        Self {
            profile,
            seed: 1,
            nics,
            ipv6: false,
            jiffies_phase: 0,
            // INITIAL_JIFFIES: five minutes before a 32-bit counter wraps.
            jiffies: (1 << 32) - 300 * hz,
            // Some time has passed since power-on, so that no stamp is zero.
            monotonic_offset: 1_000_000_000,
            realtime: crate::time::BOOT_REAL_NS,
        }
    }
}

impl Kernel {
    /// Boots a machine: the initcalls run in Linux's order, the devices are probed and opened.
    pub fn boot(config: &BootConfig) -> Self {
        let mut rng = Random::new(config.seed);
        let mut key = || SipKey([rng.next_u64(), rng.next_u64()]);
        let secrets =
            Secrets { net_secret: key(), ts_secret: key(), ip_id_key: key(), port_secret: key() };
        let profile = Arc::new(config.profile.clone());
        let net = Net {
            time: Clock::new(
                profile.hz,
                config.jiffies_phase,
                config.jiffies,
                config.monotonic_offset,
            ),
            sysctl: Arc::new(Sysctl {
                disable_ipv6: i64::from(!config.ipv6),
                ..Sysctl::new(&profile)
            }),
            mib: Mib::default(),
            ip: Ipv4 { secrets: Arc::new(secrets), ..Ipv4::default() },
            ip6: Ipv6::default(),
            neigh: NeighTable::default(),
            devs: NetDevices::default(),
            softnet: Softnet::default(),
            wmem: Wmem::default(),
            skbs: SkbAccounting::default(),
            hw: Board::default(),
            wake: SmallVec::new(),
            log: EventLog::default(),
            delays: Default::default(),
            tcp_mem_allocated: 0,
            rng,
            profile,
        };
        let mut kernel = Self {
            tasks: super::task::Tasks::default(),
            fs: Fs::default(),
            socks: Socks::default(),
            net,
            families: NetFamilies::default(),
            last_timer: None,
            console: Arc::new(Vec::new()),
        };
        kernel.net.time.set_boot_real_ns(config.realtime);
        init::do_initcalls(&mut kernel, config);
        kernel.run_softirqs();
        kernel
    }

    /// Writes a line to the console (`printk`).
    pub(crate) fn printk(&mut self, line: impl Into<String>) {
        let now = self.net.time.now();
        Arc::make_mut(&mut self.console).push((now, line.into()));
    }
}
