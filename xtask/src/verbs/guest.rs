//! `netplumb guest FOLDER`, hidden: the process that runs a plan's scripts on the kernel that it finds itself on.

use conformance::oracle::guest;

use crate::Outcome;
use crate::cli::GuestArgs;
use crate::error::CouldNotRun;
use crate::panics;

pub(crate) fn run(args: &GuestArgs) -> miette::Result<Outcome> {
    guest::run(&args.folder, |case| panics::caught(case))
        .map_err(CouldNotRun::io(&args.folder, "the plan there cannot be run"))?;
    Ok(Outcome::AsExpected)
}
