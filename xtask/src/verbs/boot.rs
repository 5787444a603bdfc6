//! `cargo xtask boot`.

use crate::Outcome;
use crate::cli::BootArgs;
use crate::error::CouldNotRun;

pub(crate) fn run(args: &BootArgs) -> miette::Result<Outcome> {
    let _ = args;
    Err(CouldNotRun::NotBuiltYet { what: "boot".to_owned(), built: "nothing" }.into())
}
