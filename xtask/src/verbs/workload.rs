//! `netplumb workload STEPS`, hidden: the programs of scenarios.

use crate::Outcome;
use crate::cli::WorkloadArgs;
use crate::error::CouldNotRun;
use crate::workload;

pub(crate) fn run(args: &WorkloadArgs) -> miette::Result<Outcome> {
    let steps =
        workload::parse(&args.steps).map_err(|what| CouldNotRun::Usage { what, help: None })?;
    workload::run(&steps);
    Ok(Outcome::AsExpected)
}
