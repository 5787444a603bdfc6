//! The words of `cargo xtask oracle`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;

#[derive(Args, Debug)]
pub(crate) struct OracleArgs {
    #[command(subcommand)]
    pub(crate) what: Oracle,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Oracle {
    /// Hold our scripts against real kernels: are their heads true?
    Held(HeldArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "\
The head of a script says where it passes, or why nowhere:

  // held-against: uml-6.1, linux-6.18, uml-7.2
  // held-against: none (needs the MAC's rings)

A head that is not true of a kernel that was asked is a finding. Kernels that are not here are
named and left out: user-mode Linux as for `conformance --target uml`, this machine's with root.")]
pub(crate) struct HeldArgs {
    /// Scripts, folders, areas or ids; all of our own without any
    #[arg(value_name = "PATH|AREA|ID")]
    pub(crate) select: Vec<PathBuf>,
    /// Whom to ask; several with commas between them
    #[arg(
        long,
        value_name = "KERNEL",
        value_delimiter = ',',
        default_value = "uml-6.1,uml-7.2,linux",
        value_parser = ["uml-6.1", "uml-7.2", "linux"]
    )]
    pub(crate) against: Vec<String>,
    /// Correct the heads, and write conformance/suites/HELD-AGAINST.tsv
    #[arg(long)]
    pub(crate) write: bool,
    /// Threads; default: one a core
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) output: Output,
}
