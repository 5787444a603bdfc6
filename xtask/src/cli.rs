//! The command line: verbs, flags, and what `--help` says.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use conformance::run::{OPTIONS, ToolOption};

const EXAMPLES: &str = "\
Exit codes: 0 all as expected, 1 a finding, 2 could not run.

Examples:
  cargo xtask conformance                    every own script on the reference
  cargo xtask conformance tcp/close          one area
  cargo xtask conformance ~/packetdrill/gtests/net/tcp --nic tun
  cargo xtask diff ../shared/pcaps           captures of real Linux against the reference
  cargo xtask fuzz wire_rx --for 60s         frames and time into the MAC
  cargo xtask gate                           what CI runs
  cargo xtask trace write                    the way of write(), from a real run";

/// Conformance and fuzz harness for TCP/IP stacks, with a deterministic reference of Linux's.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Run packetdrill scripts
    Conformance(ConformanceArgs),
    /// Replay captures of real Linux and name the first difference
    Diff(DiffArgs),
    /// Fuzz the receive paths with libFuzzer, on stable Rust
    Fuzz(FuzzArgs),
    /// Scripts against known results, captures, corpora: for CI
    Gate(GateArgs),
    /// Print the call tree of a system call, recorded in a real run
    Trace(TraceArgs),
    /// Print the boot log of the reference
    Boot(BootArgs),
    /// Run the plan of another run on the kernel that this process is on
    #[command(hide = true)]
    Guest(GuestArgs),
    /// Give scripts the common layout; comments stay
    Fmt(FmtArgs),
}

/// What every verb has.
#[derive(Args, Debug, Clone)]
pub(crate) struct Output {
    /// Write the result document to FILE
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) json: Option<PathBuf>,
    /// Print findings only
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Print a line for every case, on a terminal too
    #[arg(long, short, conflicts_with = "quiet", help_heading = "Output")]
    pub(crate) verbose: bool,
}

/// Forms of the result document besides JSON.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Reports {
    /// Write the results to FILE as JUnit XML
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) junit: Option<PathBuf>,
    /// Print the results as KTAP, and nothing else
    #[arg(long, help_heading = "Output")]
    pub(crate) ktap: bool,
}

/// What the scripts run against.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetName {
    /// The reference stack, in virtual time
    Reference,
    /// The kernel of this host, in real time; needs root
    Linux,
    /// A user-mode Linux kernel in virtual time
    Uml,
    /// smoltcp (not built yet)
    Smoltcp,
}

impl TargetName {
    pub(crate) fn word(self) -> &'static str {
        match self {
            TargetName::Reference => "reference",
            TargetName::Linux => "linux",
            TargetName::Uml => "uml",
            TargetName::Smoltcp => "smoltcp",
        }
    }
}

/// How frames reach the stack.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NicName {
    /// An L3 device that takes super-packets, as a TUN with TSO does
    Tun,
    /// Ethernet frames through the rings and interrupts of the MAC model
    Ftgmac100,
    /// Each script on both
    All,
}

/// Upstream's runner's ways of running a script.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpName {
    /// IPv4 sockets, IPv4 packets
    Ipv4,
    /// IPv6 sockets, IPv4 packets
    #[value(name = "ipv4-mapped-ipv6")]
    Ipv4MappedIpv6,
    /// IPv6 sockets, IPv6 packets
    Ipv6,
    /// Each script in all three; a name that ends in v4 or v6 is for that family alone
    All,
}

/// The options of upstream's tool, which win over those of a script.
#[derive(Debug, Default)]
pub(crate) struct ToolOptions(pub(crate) Vec<(String, Option<String>)>);

/// Upstream's options that are flags of this command line by themselves.
const OWN_FLAGS: [&str; 2] = ["define", "verbose"];

fn tool_options() -> impl Iterator<Item = &'static ToolOption> {
    OPTIONS.iter().filter(|option| !OWN_FLAGS.contains(&option.name))
}

impl FromArgMatches for ToolOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for option in tool_options() {
            let name = option.name.to_owned();
            if option.value.is_none() && matches.get_flag(option.name) {
                given.push((name, None));
            } else if option.value.is_some()
                && let Some(value) = matches.get_one::<String>(option.name)
            {
                given.push((name, Some(value.clone())));
            }
        }
        Ok(ToolOptions(given))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ToolOptions {
    fn augment_args(command: clap::Command) -> clap::Command {
        let argument = |option: &ToolOption| {
            let argument = Arg::new(option.name)
                .long(option.name)
                .help(option.help)
                .hide_short_help(true)
                .help_heading("packetdrill's own options, which win over a script's");
            match option.value {
                Some(value) => argument.value_name(value),
                None => argument.action(ArgAction::SetTrue),
            }
        };
        command.args(tool_options().map(argument))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// `NAME=value` of `-D`.
fn define(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a define is NAME=VALUE".to_owned()),
    }
}

/// Kernel version whose behaviour is asked for.
#[derive(Args, Debug, Clone)]
pub(crate) struct KernelArg {
    /// Kernel version whose behaviour is asked for
    #[arg(long, value_name = "VERSION", default_value = "5.15",
          value_parser = ["5.15", "6.1", "6.18", "7.2"])]
    pub(crate) kernel: String,
}

#[derive(Args, Debug)]
#[command(after_help = "\
A PATH is a script or a folder anywhere; an AREA is a folder below conformance/suites (tcp/close);
an ID is a script there (tcp/close/rst.pkt, with or without .pkt). Without any, all of them run.

Cases listed in conformance/expected/TARGET.toml are known to fail: they count as xfail, and as
xpass, a finding, when they pass.")]
pub(crate) struct ConformanceArgs {
    /// Scripts to run: files, folders, areas or ids
    #[arg(value_name = "PATH|AREA|ID")]
    pub(crate) select: Vec<PathBuf>,
    /// What the scripts run against; several with commas between them
    #[arg(
        long,
        value_enum,
        value_name = "TARGET",
        value_delimiter = ',',
        default_value = "reference"
    )]
    pub(crate) target: Vec<TargetName>,
    /// Print cases by targets, and how many are alike; with one target only, uml is the other
    #[arg(long)]
    pub(crate) matrix: bool,
    /// Read the scripts and their options, and run nothing
    #[arg(long, conflicts_with_all = ["matrix", "check_determinism", "pcap"])]
    pub(crate) parse_only: bool,
    /// How frames reach the stack
    #[arg(long, value_enum, default_value = "ftgmac100")]
    pub(crate) nic: NicName,
    /// IP version of sockets and packets, with the addresses and defines of upstream's runner;
    /// default: what each script says, else IPv4
    #[arg(long, value_enum)]
    pub(crate) ip: Option<IpName>,
    /// A word of the scripts stands for an integer, a word, a "string" or a `command`
    #[arg(short = 'D', long = "define", value_name = "NAME=VALUE", value_parser = define)]
    pub(crate) defines: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) tool: ToolOptions,
    #[command(flatten)]
    pub(crate) kernel: KernelArg,
    /// The user-mode Linux kernel of `--target uml`; default: NETPLUMB_UML (NETPLUMB_UML_7_2), or
    /// what `cargo xtask oracle build-uml` built
    #[arg(long, value_name = "PATH")]
    pub(crate) uml: Option<PathBuf>,
    /// Threads; default: one a core
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Run the I-th of N equal parts
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Run each case twice; unequal event logs are a finding
    #[arg(long)]
    pub(crate) check_determinism: bool,
    /// Write what each case had on the wire to a capture in DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) pcap: Option<PathBuf>,
    /// List the cases instead of running them
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) reports: Reports,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(after_help = "\
A capture is NAME.pcap with its manifest NAME.toml and, optionally, NAME.*strace beside it.
It is reproduced when the reference, given the inbound frames and the system calls, sends exactly
the captured frames; otherwise the first difference is named: frame, layer, field.")]
pub(crate) struct DiffArgs {
    /// Captures, or folders of captures; default: ../shared/pcaps and pcaps/
    #[arg(value_name = "FILE|DIR")]
    pub(crate) captures: Vec<PathBuf>,
    /// Kernel version whose behaviour is asked for; default: the manifest's
    #[arg(long, value_name = "VERSION", value_parser = ["5.15", "6.1", "6.18", "7.2"])]
    pub(crate) kernel: Option<String>,
    /// Go on past divergences and list them all, and after a capture that cannot be read
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Infer the applications' calls from the frames, whatever traces there are
    #[arg(long, conflicts_with = "strace", help_heading = "Input")]
    pub(crate) no_strace: bool,
    /// Trace of the host's programs instead of the manifest's; may be repeated
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) strace: Vec<PathBuf>,
    /// Hardware address of the host, for a capture without a manifest; default: guessed
    #[arg(long, value_name = "MAC", help_heading = "Input")]
    pub(crate) mac: Option<String>,
    /// Address of the host with its prefix length, for a capture without a manifest
    #[arg(long, value_name = "ADDR/LEN", help_heading = "Input")]
    pub(crate) addr: Vec<String>,
    /// A sysctl of the host, after the manifest's; may be repeated
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Input")]
    pub(crate) sysctl: Vec<String>,
    /// Write what the reference sent to a capture in DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) pcap: Option<PathBuf>,
    /// Threads; default: one a core
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Needs a C++ compiler, which builds libFuzzer, and no nightly Rust: the coverage instrumentation is
rustc's own pass, switched on by flags for this build only.

Seeds come from corpora/TARGET; inputs that reach new code go to the user's cache folder, where the
next run finds them, or to corpora/TARGET with --into-corpora. An input that crashes is kept in
fuzz/artifacts/TARGET, and `cargo xtask fuzz TARGET --replay FILE` runs it again in a second.")]
pub(crate) struct FuzzArgs {
    /// Fuzz targets; default: all
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Time for each target, as 45s, 10m, 8h
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) time: Duration,
    /// Processes that fuzz one target together
    #[arg(long, short, value_name = "N", default_value = "1")]
    pub(crate) jobs: NonZeroUsize,
    /// Seed of libFuzzer's choices; 0: another one each time
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u32,
    /// Let libFuzzer see compared values too: slower, finds magic values
    #[arg(long)]
    pub(crate) compares: bool,
    /// Keep new inputs in corpora/TARGET
    #[arg(long)]
    pub(crate) into_corpora: bool,
    /// Run one input through the target's body and say what it does
    #[arg(long, value_name = "FILE", conflicts_with = "into_corpora")]
    pub(crate) replay: Option<PathBuf>,
    /// Write the seeds to corpora/TARGET instead of fuzzing
    #[arg(long, conflicts_with = "replay")]
    pub(crate) write_seeds: bool,
    /// List the targets
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Runs every own script on both attachments, compares the captures, and puts every seed of corpora/
through its fuzz target's body. A case that fails and is not in the list of known results is a
regression; one that is in the list and passes is out of date. Both are findings: exit code 1.")]
pub(crate) struct GateArgs {
    /// List of known results; default: conformance/expected/reference.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Rewrite the list so that this run is as expected
    #[arg(long)]
    pub(crate) update_baseline: bool,
    /// Folders of captures; default: ../shared/pcaps and pcaps/, as far as they are there
    #[arg(long, value_name = "DIR")]
    pub(crate) captures: Vec<PathBuf>,
    /// Threads; default: one a core
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) reports: Reports,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(after_help = "\
A connection between two machines is opened and used, and the functions that the call went through
are recorded. The recorder is compiled in on demand, so the first use builds once more.")]
pub(crate) struct TraceArgs {
    /// The system call or event
    #[arg(value_enum)]
    pub(crate) name: TraceName,
    /// Also what other machines and interrupts did meanwhile
    #[arg(long)]
    pub(crate) all: bool,
    /// One wide drawing instead of one a layer
    #[arg(long)]
    pub(crate) whole: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// System calls and events whose way is recorded.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TraceName {
    Socket,
    Bind,
    Listen,
    Connect,
    Accept,
    Write,
    Read,
    /// A segment arrives: interrupt, poll, receive queue
    Receive,
    /// An address is set: the routing table follows
    Addr,
}

#[derive(Args, Debug)]
pub(crate) struct GuestArgs {
    /// The plan's folder
    pub(crate) folder: PathBuf,
    /// What a user-mode kernel appends to the words of its first process
    pub(crate) ignored: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct FmtArgs {
    /// Scripts, folders of scripts, areas or ids of our own; all of our own without any
    #[arg(value_name = "PATH")]
    pub(crate) select: Vec<PathBuf>,
    /// Change nothing: name the scripts that have another layout, and exit with 1 if there are any
    #[arg(long)]
    pub(crate) check: bool,
    /// A define that scripts need to be read; its name stays in them
    #[arg(long = "define", short = 'D', value_name = "NAME=VALUE")]
    pub(crate) defines: Vec<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct BootArgs {
    #[command(flatten)]
    pub(crate) kernel: KernelArg,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Part `index` (from 1) of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    index: usize,
    count: NonZeroUsize,
}

impl Shard {
    /// Whether the `n`-th case, from 0, is in this part.
    pub(crate) fn holds(self, n: usize) -> bool {
        n % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        text.split_once('/')
            .and_then(|(index, count)| {
                let shard = Shard { index: index.parse().ok()?, count: count.parse().ok()? };
                (1..=shard.count.get()).contains(&shard.index).then_some(shard)
            })
            .ok_or_else(|| "a part is I/N with 1 <= I <= N, as 2/4".to_owned())
    }
}

/// `45s`, `10m`, `8h`, `2d`, or seconds without a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale: u64 = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a time is a number with s, m, h or d, as 45s".to_owned()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .filter(|&seconds| seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| "a time is a number with s, m, h or d, as 45s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_and_parts() {
        assert_eq!(duration("8h"), Ok(Duration::from_secs(28_800)));
        assert_eq!(duration("45"), Ok(Duration::from_secs(45)));
        for bad in ["", "s", "0s", "1w", "-1s", "18446744073709551615h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        let part: Shard = "2/3".parse().unwrap();
        assert_eq!((0..6).filter(|&n| part.holds(n)).collect::<Vec<_>>(), [1, 4]);
        for bad in ["", "0/3", "4/3", "1/0", "1"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
