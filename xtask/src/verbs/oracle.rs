//! `cargo xtask oracle`: real kernels.

mod build;
mod held;
mod table;

use crate::Outcome;
use crate::cli::{Oracle, OracleArgs};

pub(crate) fn run(args: &OracleArgs) -> miette::Result<Outcome> {
    match &args.what {
        Oracle::BuildUml(args) => build::run(args),
        Oracle::Held(args) => held::run(args),
        Oracle::Table(args) => table::run(args),
    }
}
