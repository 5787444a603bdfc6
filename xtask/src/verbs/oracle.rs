//! `cargo xtask oracle`: real kernels.

mod held;

use crate::Outcome;
use crate::cli::{Oracle, OracleArgs};

pub(crate) fn run(args: &OracleArgs) -> miette::Result<Outcome> {
    match &args.what {
        Oracle::Held(args) => held::run(args),
    }
}
