//! `cargo xtask diff`.

use crate::Outcome;
use crate::cli::DiffArgs;
use crate::error::CouldNotRun;

pub(crate) fn run(args: &DiffArgs) -> miette::Result<Outcome> {
    let _ = args;
    Err(CouldNotRun::NotBuiltYet { what: "diff".to_owned(), built: "nothing" }.into())
}
