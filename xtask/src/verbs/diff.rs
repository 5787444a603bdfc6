//! `cargo xtask diff`: captures of real Linux against the reference.

use crate::Outcome;
use crate::cli::DiffArgs;
use crate::error::CouldNotRun;

pub(crate) fn run(args: &DiffArgs) -> miette::Result<Outcome> {
    let _ = (&args.captures, &args.kernel, args.keep_going, &args.pcap, args.jobs, &args.output);
    Err(CouldNotRun::NotBuiltYet { what: "diff".to_owned(), built: "the other verbs" }.into())
}
