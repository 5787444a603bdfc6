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
    /// Build the kernel of `--target uml` from Debian's source package, once
    BuildUml(BuildUmlArgs),
    /// Hold our scripts against real kernels: are their heads true?
    Held(HeldArgs),
    /// Write the page of a public suite on several kernels, beside upstream's own answers
    Table(TableArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "\
The head of a script says where it passes, or why nowhere:

  // held-against: uml-6.1, linux-6.18, uml-7.2
  // not-held: frames on a link

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

#[derive(Args, Debug)]
#[command(after_help = "\
Takes about three minutes on two cores and 1.5 GB below the user's cache folder while it builds; the
kernel of 7 MB stays there, and `--target uml` finds it. It needs gcc, make, flex, bison and bc, and
apt for the package, but no root. Versions that Debian's stable suite does not have need --source.")]
pub(crate) struct BuildUmlArgs {
    /// The kernel's version: the package linux-source-VERSION
    #[arg(long, value_name = "VERSION", default_value = "6.1", value_parser = ["6.1", "7.2"])]
    pub(crate) kernel: String,
    /// A source tree, or an archive of one, instead of Debian's package
    #[arg(long, value_name = "PATH")]
    pub(crate) source: Option<PathBuf>,
    /// Build it although one is there
    #[arg(long)]
    pub(crate) again: bool,
    /// Compilers at a time; default: one a core
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(after_help = "\
The results are documents of `conformance FOLDER --ip all --json FILE`, one a kernel. A disagreement
without an explanation is a finding, and so is an explanation without a disagreement.")]
pub(crate) struct TableArgs {
    /// Result documents, one a kernel
    #[arg(value_name = "FILE", required = true)]
    pub(crate) results: Vec<PathBuf>,
    /// What upstream's tool says: tab-separated, with the columns suite, script, variant, linux_VERSION
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream: PathBuf,
    /// Explanations of the disagreements: `[[disagreement]]` with script, variant, kernel, reason
    #[arg(long, value_name = "FILE")]
    pub(crate) explanations: Option<PathBuf>,
    /// Lines that go below the title
    #[arg(long, value_name = "FILE")]
    pub(crate) intro: Option<PathBuf>,
    /// The page's title
    #[arg(long, default_value = "google/packetdrill on real kernels")]
    pub(crate) title: String,
    /// Where the page goes; default: standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}
