//! What a script runs against: the reference stack now; real kernels and foreign stacks by the same trait.
//!
//! A target speaks IP packets, whatever carries them: an attachment that has a link layer frames them, resolves
//! addresses and takes the frame apart again below this trait.

pub(crate) mod ethernet;
pub mod linux;
pub mod reference;
pub mod smoltcp;

use std::io;
use std::net::IpAddr;
use std::path::Path;

use reference_stack::syscalls::SysResult;
use reference_stack::{Call, Nanos};

use crate::results::Nic;

/// Which of the two threads of the script's process makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// The one that runs the script.
    Main,
    /// The one that may wait in a blocking call meanwhile.
    Blocking,
}

/// A packet that the target sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When it was on the wire.
    pub at: Nanos,
    /// From the IP header on, without link padding.
    pub packet: Vec<u8>,
}

/// A call that had waited and returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Whose call.
    pub thread: Thread,
    /// When it returned.
    pub at: Nanos,
    /// What it returned.
    pub result: SysResult,
}

/// Something that a layer of the target did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// When.
    pub at: Nanos,
    /// `tcp`, `ip`, `device`, ...
    pub layer: &'static str,
    /// What.
    pub text: String,
}

/// Why a target does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The target or its attachment has no such feature: the case counts as unsupported.
    #[error("{0}")]
    Unsupported(String),
    /// The request names something that does not exist or does not take the value: the case cannot be run.
    #[error("{0}")]
    Invalid(String),
    /// The machine lacks what the target needs, rights for instance: the case is skipped.
    #[error("{0}")]
    Absent(String),
}

/// Which of a link's own protocols a script speaks, so that the far end leaves them to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Requests for addresses are not answered.
    pub arp: bool,
    /// Neighbour solicitations are not answered.
    pub ndp: bool,
}

/// The hardware addresses of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddresses {
    /// The target's.
    pub own: [u8; 6],
    /// Everybody else's.
    pub peer: [u8; 6],
}

/// Something that goes wrong in or around the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceFault {
    /// So many of the next frames to the target arrive damaged.
    RxCrc(u32),
    /// The processor is busy elsewhere for so long: what falls due meanwhile is late.
    Stall(Nanos),
}

/// What a command came to that the target's own shell ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; -1 for a command that a signal ended.
    pub status: i32,
    /// What it wrote.
    pub output: String,
}

/// The addresses of a run and how they are set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The target's address.
    pub local: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// The router towards the remote prefix; the remote addresses are on the link where this is the target's own.
    pub gateway: IpAddr,
    /// The script's side.
    pub remote: IpAddr,
    /// Prefix length of the route to it.
    pub remote_prefix: u8,
    /// The device's MTU in bytes.
    pub mtu: u32,
}

/// What an administrator does to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// `ip tcp_metrics flush all`
    FlushTcpMetrics,
    /// `ip route add|replace|change|del`
    Route {
        /// The verb.
        verb: RouteVerb,
        /// Prefix; `None` is the default route.
        to: Option<(IpAddr, u8)>,
        /// Next hop.
        via: Option<IpAddr>,
        /// Attributes as name and value (`mtu`, `advmss`, `initcwnd`, ...), the flag `lock` kept in the name: `mtu lock`.
        metrics: Vec<(String, String)>,
    },
    /// `ip addr add|del ADDRESS/PREFIX`
    Address {
        /// Whether it is added.
        add: bool,
        /// Address.
        address: IpAddr,
        /// Prefix length.
        prefix: u8,
    },
    /// `ip link set dev X mtu N`
    LinkMtu(u32),
    /// `ip link set dev X up|down`
    LinkUp(bool),
    /// `ip neigh replace|del ADDRESS lladdr MAC`
    Neighbour {
        /// The neighbour.
        address: IpAddr,
        /// Its hardware address; `None`: away with it.
        lladdr: Option<[u8; 6]>,
    },
    /// `tc qdisc replace|del dev X root ...`
    Qdisc(Qdisc),
    /// `ethtool -K X NAME on|off`
    Feature {
        /// The feature's short name: `tso`, `gso`, `gro`, ...
        name: String,
        /// On or off.
        on: bool,
    },
    /// A file that calls of the script can open.
    WriteFile {
        /// Absolute.
        path: String,
        /// What it holds.
        bytes: Vec<u8>,
    },
    /// The file goes away.
    RemoveFile(String),
}

/// A queueing discipline of the device; `limit` is its length in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "tc's names")]
pub enum Qdisc {
    /// What the device starts with.
    Default,
    Pfifo {
        limit: Option<u32>,
    },
    Fq {
        limit: Option<u32>,
    },
    FqCodel {
        limit: Option<u32>,
    },
}

/// What `ip route` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteVerb {
    /// A new one; an error if there is one.
    Add,
    /// A new one or in place of the old.
    Replace,
    /// In place of one that exists.
    Change,
    /// Away with it.
    Delete,
}

/// A stack under test with a clock, a wire and a process that makes system calls.
pub trait Target {
    /// The name in results.
    fn name(&self) -> &'static str;

    /// The attachment in use.
    fn nic(&self) -> Nic;

    /// The present time, nanoseconds.
    fn now(&self) -> Nanos;

    /// CLOCK_REALTIME of now, nanoseconds; [`Target::now`] where a target has no other.
    fn real_time(&self) -> i64 {
        i64::try_from(self.now()).unwrap_or(i64::MAX)
    }

    /// Lets time pass until `until`, or less: it returns after anything that a script may wait for.
    fn advance(&mut self, until: Nanos);

    /// Whether anything is going to happen by itself.
    fn is_idle(&self) -> bool;

    /// Delivers an IP packet; it has been received when this returns.
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] for a packet that the attachment cannot carry.
    fn inject(&mut self, packet: &[u8], gso_size: u16) -> Result<(), Refusal>;

    /// From now on [`Target::frames`] has all that the target sends, and [`Target::sent`] nothing. The far end answers no
    /// questions of the protocols that the script speaks itself.
    ///
    /// # Errors
    /// [`Refusal::Unsupported`]: the attachment does not show its frames.
    fn watch(&mut self, _watch: Watch) -> Result<(), Refusal> {
        Err(Refusal::Unsupported("the target does not show its frames".into()))
    }

    /// Takes what was sent since the last time, in order: frames from the destination address on, or IP packets where the
    /// attachment has no link layer.
    fn frames(&mut self) -> Vec<Sent> {
        Vec::new()
    }

    /// Delivers a frame from its destination address on, without FCS.
    ///
    /// # Errors
    /// [`Refusal::Unsupported`]: the attachment has no link layer.
    fn inject_frame(&mut self, _frame: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Unsupported(
            "the attachment carries no frames: run it with --nic ftgmac100".into(),
        ))
    }

    /// The hardware addresses of the link.
    fn link_addresses(&self) -> LinkAddresses {
        LinkAddresses { own: ethernet::OWN, peer: ethernet::PEER }
    }

    /// The cable of a device (`None`: the only one) is plugged in or out.
    ///
    /// # Errors
    /// No such device, or a link whose state is not the target's to set.
    fn set_carrier(&mut self, _device: Option<&str>, _up: bool) -> Result<(), Refusal> {
        Err(Refusal::Unsupported("the target's link has no cable".into()))
    }

    /// Something goes wrong.
    ///
    /// # Errors
    /// [`Refusal::Unsupported`]: it cannot go wrong in this target.
    fn device_fault(&mut self, _fault: DeviceFault) -> Result<(), Refusal> {
        Err(Refusal::Unsupported("the target has no faults to order".into()))
    }

    /// Takes the packets that were sent since the last time, in order.
    fn sent(&mut self) -> Vec<Sent>;

    /// Starts a system call. `None`: it waits, and its result comes by [`Target::finished`].
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] for a call that the target does not have.
    fn call(&mut self, thread: Thread, call: Call) -> Result<Option<SysResult>, Refusal>;

    /// Takes the results of calls that had waited.
    fn finished(&mut self) -> Vec<Finished>;

    /// Interrupts a waiting call for good, at the end of a run.
    fn give_up(&mut self, thread: Thread);

    /// The text of a sysctl.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if there is none of this name.
    fn sysctl(&mut self, name: &str) -> Result<String, Refusal>;

    /// Sets a sysctl.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if there is none of this name, or it does not take the value.
    fn set_sysctl(&mut self, name: &str, value: &str) -> Result<(), Refusal>;

    /// Does what an administrator would.
    ///
    /// # Errors
    /// What the target does not have, or what the request gets wrong.
    fn administrate(&mut self, what: &Admin) -> Result<(), Refusal>;

    /// The text of /proc/net/`name`.
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] if the target has no such file.
    fn proc_net(&mut self, name: &str) -> Result<String, Refusal> {
        Err(Refusal::Unsupported(format!("the target has no /proc/net/{name}")))
    }

    /// The harness has looked at a packet that left together with the one before. That takes a moment on a host, so in
    /// virtual time a moment has to pass too: else the answer to a burst would come exactly as soon as the answer to a
    /// single packet.
    fn burst_was_read(&mut self) {}

    /// Waits for a moment from which a script's clock runs well: on a real kernel, some way into a tick.
    fn start_clock(&mut self) {}

    /// Runs a command of a script in `folder` by the target's own shell. `None`: it has none, and the harness's
    /// interpreter acts on the target by the methods above.
    ///
    /// # Errors
    /// The shell cannot be run; a command that fails has a status.
    fn run_command(&mut self, _folder: &Path, _text: &str) -> Option<Result<Ran, Refusal>> {
        None
    }

    /// Hash of everything that happened, in hexadecimal, for targets that keep a log.
    fn event_log(&self) -> Option<String>;

    /// Takes what the layers did since the last time, where the target was made to record it.
    fn trace(&mut self) -> Vec<Traced> {
        Vec::new()
    }

    /// What this target is, by name and value, for reports: kernel, seed, sysctls that are not at their defaults.
    fn environment(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// What did not come home at the end of a run, a line each.
    fn leaks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Writes what was on the wire as a capture. Targets that cannot do nothing.
    ///
    /// # Errors
    /// What the file system says.
    fn write_pcap(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}
