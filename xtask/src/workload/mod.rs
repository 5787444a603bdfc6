//! `netplumb workload STEPS`, hidden: a small program that makes the socket calls it is told to,
//! one after another. Captures are made of it: it needs nothing on the host, its start makes few
//! calls, and the whole of what it does stands in the list of scenarios.
//!
//! Steps are words separated by `;`, as `tcp; connect 10.9.0.2:7000; send 3000; recv 100; close`.
//! A call that fails is part of the scenario: the next step follows.

mod address;
mod run;
mod steps;

pub(crate) use run::run;
pub(crate) use steps::parse;
