//! `cargo xtask trace`: the way of a system call, from a real run.

mod draw;

use crate::Outcome;
use crate::cli::TraceArgs;
use crate::error::CouldNotRun;

pub(crate) fn run(args: &TraceArgs) -> miette::Result<Outcome> {
    let _ = args;
    let _ = draw::tree;
    Err(CouldNotRun::NotBuiltYet { what: "trace".to_owned(), built: "nothing" }.into())
}
