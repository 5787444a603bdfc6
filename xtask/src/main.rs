//! Netplumb's command line.
//!
//! One module a verb below [`verbs`]. A verb returns whether it found something; what keeps it
//! from running at all is one [`miette`] report. The exit codes are the contract with scripts
//! and CI: 0 all as expected, 1 a finding, 2 could not run.

mod cli;
mod error;
mod lab;
mod panics;
mod places;
mod pool;
mod selection;
mod ui;
mod verbs;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Verb};

/// Buffers come and go with every frame; this allocator makes that half as dear as the C
/// library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a verb that ran came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All as expected: exit code 0.
    AsExpected,
    /// Somebody should look: exit code 1.
    Finding,
}

impl Outcome {
    fn found(finding: bool) -> Outcome {
        if finding { Outcome::Finding } else { Outcome::AsExpected }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.verb {
        Verb::Conformance(args) => verbs::conformance::run(&args),
        Verb::Diff(args) => verbs::diff::run(&args),
        Verb::Record(args) => verbs::record::run(&args),
        Verb::Fuzz(args) => verbs::fuzz::run(&args),
        Verb::Gate(args) => verbs::gate::run(&args),
        Verb::Trace(args) => verbs::trace::run(&args),
        Verb::Boot(args) => verbs::boot::run(&args),
        Verb::Oracle(args) => verbs::oracle::run(&args),
        Verb::Guest(args) => verbs::guest::run(&args),
        Verb::Fmt(args) => verbs::fmt::run(&args),
        Verb::Capture(args) => verbs::capture::run(&args),
        Verb::Workload(args) => verbs::workload::run(&args),
    };
    match outcome {
        Ok(Outcome::AsExpected) => ExitCode::SUCCESS,
        Ok(Outcome::Finding) => ExitCode::from(1),
        Err(report) => {
            ui::print_error(&report);
            ExitCode::from(2)
        }
    }
}
