//! A laboratory of network namespaces: the host that is captured, its peer, a router where one is
//! wanted, and a wire of ours between them that delays, drops and alters frames as a scenario says.
//!
//! Everything runs on this machine's kernel and goes with the process: a namespace lives as long
//! as the thread that made it.

mod host;
mod manifest;
mod namespace;
mod needs;
mod programs;
mod relay;
mod rules;
mod run;
mod scenario;
mod wire;

pub(crate) use needs::missing;
pub(crate) use rules::Rule;
pub(crate) use run::{Captured, capture};
pub(crate) use scenario::{Driver, Event, Scenario, Scenarios, Topology};

/// Why a capture could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LabError {
    /// Something in the scenario makes no sense.
    #[error("{0}")]
    Scenario(String),
    /// The host or one of its programs refused.
    #[error("{what}: {why}")]
    Host { what: String, why: String },
}

impl LabError {
    /// For `map_err`: `what` was not possible.
    pub(crate) fn host<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |why| LabError::Host { what, why: why.to_string() }
    }
}
