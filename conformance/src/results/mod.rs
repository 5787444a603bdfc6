//! What a run found: one [`CaseResult`] a case, one [`Document`] a run.
//!
//! The document is the only form in which results leave the harness; the terminal's table and
//! every report format are views of it. Its JSON is versioned by [`SCHEMA`].

mod evidence;
pub mod known;
pub mod story;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use evidence::{Edit, Evidence, LayerEvent, Packets, Place, Timing};
pub use known::{KnownError, KnownResult, KnownResults};

/// Version of the JSON document. A field that is added does not change it; a field that changes
/// its meaning or goes away does.
pub const SCHEMA: u32 = 1;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It did what it should.
    Pass,
    /// It did not, and nobody expected that: a finding.
    Fail,
    /// It did not, and the list of known results says why.
    Xfail,
    /// It passed although the list of known results says that it fails: a finding, because the
    /// list is out of date.
    Xpass,
    /// It was not run: it does not apply to this variant, version or attachment.
    Skip,
    /// The target has no such feature, and says so.
    Unsupported,
}

impl Status {
    /// Every status in the order in which summaries name them.
    pub const ALL: [Status; 6] = [
        Status::Pass,
        Status::Fail,
        Status::Xfail,
        Status::Xpass,
        Status::Skip,
        Status::Unsupported,
    ];

    /// The word that the JSON document and the terminal use.
    pub fn word(self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Fail => "fail",
            Status::Xfail => "xfail",
            Status::Xpass => "xpass",
            Status::Skip => "skip",
            Status::Unsupported => "unsupported",
        }
    }

    /// Whether somebody should look: exit code 1.
    pub fn is_finding(self) -> bool {
        matches!(self, Status::Fail | Status::Xpass)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The IP version in which a script ran; `-` where the question does not arise (a capture).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Variant {
    /// IPv4 sockets, IPv4 packets.
    #[serde(rename = "ipv4")]
    Ipv4,
    /// IPv6 sockets, IPv4 packets.
    #[serde(rename = "ipv4-mapped-ipv6")]
    Ipv4MappedIpv6,
    /// IPv6 sockets, IPv6 packets.
    #[serde(rename = "ipv6")]
    Ipv6,
    /// Not a script.
    #[default]
    #[serde(rename = "-")]
    None,
}

impl Variant {
    /// The word that the JSON document and the command line use.
    pub fn word(self) -> &'static str {
        match self {
            Variant::Ipv4 => "ipv4",
            Variant::Ipv4MappedIpv6 => "ipv4-mapped-ipv6",
            Variant::Ipv6 => "ipv6",
            Variant::None => "-",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The attachment between harness and stack; `-` where the target chooses (a real kernel).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Nic {
    /// An L3 device that takes super-packets, as a TUN with TSO does.
    Tun,
    /// Ethernet frames into and out of the stack, one buffer each, as a TAP does.
    Tap,
    /// Ethernet frames through the rings and interrupts of the MAC model.
    Ftgmac100,
    /// The target's own.
    #[default]
    #[serde(rename = "-")]
    None,
}

impl Nic {
    /// The word that the JSON document and the command line use.
    pub fn word(self) -> &'static str {
        match self {
            Nic::Tun => "tun",
            Nic::Tap => "tap",
            Nic::Ftgmac100 => "ftgmac100",
            Nic::None => "-",
        }
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The first difference between what was expected and what came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// Number of the frame, from 1: the capture's frame, or the script's packet event. 0 where
    /// the difference is not in a frame (a syscall's result, an assertion).
    pub frame: u64,
    /// Where in the frame: `eth`, `arp`, `ipv4`, `icmp`, `tcp`, `udp`, `payload`; `syscall`,
    /// `assert` or `time` outside of one.
    pub layer: String,
    /// The field's name, as `window` or `options.sack`.
    pub field: String,
    /// The value that the script or the capture holds.
    pub expected: String,
    /// The value that the target gave.
    pub got: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.frame != 0 {
            write!(f, "frame {} ", self.frame)?;
        }
        let Divergence { frame: _, layer, field, expected, got } = self;
        write!(f, "{layer}.{field}: expected {expected}, got {got}")
    }
}

/// How one case ended: a script on one target through one attachment, or one capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseResult {
    /// Path below the folder that was named, with `/` between its parts: `tcp/sack/shift.pkt`.
    pub id: String,
    /// IP version of the run.
    pub variant: Variant,
    /// The target's name: `reference`.
    pub target: String,
    /// The attachment.
    pub nic: Nic,
    /// How it ended.
    pub status: Status,
    /// Why, in one line; absent for a plain pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time that the run took here, in microseconds.
    pub wall_us: u64,
    /// Time that passed inside, in microseconds of the target's clock.
    pub virtual_us: u64,
    /// The first difference; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<Divergence>,
    /// Hash of the target's event log in hexadecimal; equal for equal runs. Absent where the
    /// target keeps no log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_log: Option<String>,
    /// Whether it could not be run at all: the reason says why, and the run's exit code is 2.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_run: bool,
    /// What is known of the run of a script that failed, or of any where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
    /// A report of several lines for the terminal, of what has no other place. Not part of the
    /// document.
    #[serde(skip)]
    pub detail: Option<String>,
    /// A replay in full, where it was asked for. Not part of the document.
    #[serde(skip)]
    pub story: Option<Box<story::Story>>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl CaseResult {
    /// A pass of the case `id`, on no particular attachment, that took no time: the start from
    /// which a runner fills in what it knows.
    pub fn new(id: impl Into<String>, target: impl Into<String>) -> CaseResult {
        CaseResult {
            id: id.into(),
            variant: Variant::None,
            target: target.into(),
            nic: Nic::None,
            status: Status::Pass,
            reason: None,
            wall_us: 0,
            virtual_us: 0,
            divergence: None,
            event_log: None,
            not_run: false,
            evidence: None,
            detail: None,
            story: None,
        }
    }

    /// The case ended so, for this reason.
    pub fn with_status(mut self, status: Status, reason: impl Into<String>) -> CaseResult {
        self.status = status;
        self.reason = Some(reason.into());
        self
    }

    /// The case failed with this first difference, which is also its reason.
    pub fn with_divergence(mut self, divergence: Divergence) -> CaseResult {
        self.status = Status::Fail;
        self.reason = Some(divergence.to_string());
        self.divergence = Some(divergence);
        self
    }
}

/// How many cases ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the fields are the statuses
pub struct Summary {
    pub pass: u64,
    pub fail: u64,
    pub xfail: u64,
    pub xpass: u64,
    pub skip: u64,
    pub unsupported: u64,
    /// Time of the whole run here, in milliseconds.
    pub wall_ms: u64,
}

impl Summary {
    /// Counts `cases`; the time of the run is the caller's to fill in.
    pub fn of(cases: &[CaseResult]) -> Summary {
        let mut summary = Summary::default();
        for case in cases {
            *summary.slot(case.status) += 1;
        }
        summary
    }

    fn slot(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Pass => &mut self.pass,
            Status::Fail => &mut self.fail,
            Status::Xfail => &mut self.xfail,
            Status::Xpass => &mut self.xpass,
            Status::Skip => &mut self.skip,
            Status::Unsupported => &mut self.unsupported,
        }
    }

    /// How many ended with `status`.
    pub fn count(mut self, status: Status) -> u64 {
        *self.slot(status)
    }

    /// How many cases there were.
    pub fn total(self) -> u64 {
        Status::ALL.iter().map(|&status| self.count(status)).sum()
    }

    /// How many somebody should look at.
    pub fn findings(self) -> u64 {
        self.fail + self.xpass
    }
}

/// What ran, where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Netplumb's version.
    pub version: String,
    /// The kernel version whose behaviour was asked for, as `5.15`.
    pub kernel: String,
    /// Seed of the generators.
    pub seed: u64,
}

/// The whole of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The verb: `conformance`, `diff`, `fuzz` or `gate`.
    pub command: String,
    /// What ran, where.
    pub environment: Environment,
    /// The counts.
    pub summary: Summary,
    /// Every case, in the order of their names.
    pub cases: Vec<CaseResult>,
}

impl Document {
    /// Sorts and counts the cases of a run that took `wall_ms`.
    pub fn new(
        command: &str,
        environment: Environment,
        mut cases: Vec<CaseResult>,
        wall_ms: u64,
    ) -> Document {
        cases.sort_by(|a, b| {
            (&a.id, a.variant, &a.target, a.nic).cmp(&(&b.id, b.variant, &b.target, b.nic))
        });
        let summary = Summary { wall_ms, ..Summary::of(&cases) };
        Document { schema: SCHEMA, command: command.to_owned(), environment, summary, cases }
    }
}

#[cfg(test)]
mod tests;
