//! What a run of a script leaves for the one who has to understand it.

use serde::{Deserialize, Serialize};

use super::Divergence;

/// Everything that is known of a run that failed, or that is wanted of one that passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The script's line, where one is to be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The packets one above the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<Packets>,
    /// Every difference; the first one is the case's divergence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Divergence>,
    /// When the event was due and when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// What else is to be said: values of an assertion, what commands wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The last events of every layer, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<LayerEvent>,
    /// Every open socket, as ss(8) shows one: addresses first, then its state, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<Vec<String>>,
    /// What ran, by name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// The capture of what was on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcap: Option<String>,
    /// The command that runs this case alone again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// The changes of the script that make what happened the expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
}

/// A place in a script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The script's file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What stands there.
    pub text: String,
    /// The lines around it with the place marked, for a person.
    pub excerpt: String,
}

/// An expected packet and the one that came, in the script's language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    /// What the script expects; equal words stand in the same columns as in `actual`.
    pub script: String,
    /// What came; several lines for segments that should be one.
    pub actual: Vec<String>,
    /// `^` below what differs.
    pub marks: String,
}

/// When something was due and when it came, in nanoseconds of the script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Due from here.
    pub from_ns: i64,
    /// To here; the same without a range.
    pub to_ns: i64,
    /// When it came.
    pub at_ns: i64,
    /// How much earlier or later it may come.
    pub tolerance_ns: i64,
}

impl Timing {
    /// How far it is from when it was due, tolerance apart; negative: too early.
    pub fn off_ns(&self) -> i64 {
        if self.at_ns > self.to_ns {
            self.at_ns.saturating_sub(self.to_ns)
        } else {
            self.at_ns.saturating_sub(self.from_ns).min(0)
        }
    }

    /// Whether it came within its tolerance.
    pub fn holds(&self) -> bool {
        self.off_ns().saturating_abs() <= self.tolerance_ns
    }
}

/// Something that a layer did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerEvent {
    /// When, nanoseconds of the script.
    pub at_ns: i64,
    /// `call`, `command`, `wire`, `tcp`, `udp`, `icmp`, `ip`, `device`, `driver`, `mac`.
    pub layer: String,
    /// What.
    pub text: String,
}

/// A change of a script's text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// First byte that goes.
    pub start: usize,
    /// One past the last byte that goes.
    pub end: usize,
    /// What stands there instead.
    pub text: String,
}
