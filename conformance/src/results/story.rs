//! What a replay did, in full: for the views that draw it.

use super::Divergence;
use crate::frames::Frame;

/// A capture and its replay side by side. Times are microseconds from the capture's first frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// What was captured, in one line.
    pub about: String,
    /// The network in between.
    pub network: String,
    /// What was repaired, guessed or inferred.
    pub notes: Vec<String>,
    /// The captured frames, with what the reference sent for each.
    pub frames: Vec<StoryFrame>,
    /// What the reference sent beyond them.
    pub unmatched: Vec<Replayed>,
    /// The applications' calls.
    pub calls: Vec<StoryCall>,
    /// State of the reference's connections, whenever it changed.
    pub samples: Vec<Sample>,
    /// All differences, in order.
    pub divergences: Vec<Divergence>,
    /// What led to the first one, oldest first.
    pub trail: Vec<String>,
    /// The connections then.
    pub state: Vec<String>,
}

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryFrame {
    /// Its number as Wireshark counts.
    pub number: u64,
    /// Its time stamp.
    pub at_us: i64,
    /// Name of the interface.
    pub interface: String,
    /// Whether the host sent it.
    pub outbound: bool,
    /// Whether the capture cut it.
    pub cut: bool,
    /// What it says.
    pub frame: Frame,
    /// What the reference sent for it.
    pub reference: Option<Replayed>,
}

/// A frame of the reference, in the capture's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// When it was sent.
    pub at_us: i64,
    /// What it says.
    pub frame: Frame,
}

/// A call of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryCall {
    /// When it was made.
    pub at_us: i64,
    /// When it returned; absent: it did not.
    pub until_us: Option<i64>,
    /// The call and its result.
    pub text: String,
}

/// The state of a connection of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Since when.
    pub at_us: i64,
    /// Its descriptor.
    pub socket: i32,
    /// Congestion state: `Open`, `Recovery`.
    pub ca_state: &'static str,
    /// Congestion window, segments.
    pub cwnd: u32,
    /// Slow start threshold, segments; absent while it is infinite.
    pub ssthresh: Option<u32>,
    /// Segments in flight.
    pub unacked: u32,
    /// Retransmission timeout, microseconds.
    pub rto_us: u32,
    /// Smoothed round-trip time, microseconds.
    pub srtt_us: u32,
}
