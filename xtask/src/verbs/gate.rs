//! `cargo xtask gate`.

use crate::Outcome;
use crate::cli::GateArgs;
use crate::error::CouldNotRun;

pub(crate) fn run(args: &GateArgs) -> miette::Result<Outcome> {
    let _ = args;
    Err(CouldNotRun::NotBuiltYet { what: "gate".to_owned(), built: "nothing" }.into())
}
