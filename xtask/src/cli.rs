//! The command line: verbs, flags, and what `--help` says.

mod oracle;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use conformance::run::{OPTIONS, ToolOption};

pub(crate) use oracle::{BuildUmlArgs, HeldArgs, Oracle, OracleArgs, TableArgs};

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
    /// Write a script from a capture and its trace
    Record(RecordArgs),
    /// Fuzz the receive paths with libFuzzer, on stable Rust
    Fuzz(FuzzArgs),
    /// Scripts against known results, captures, corpora: for CI
    Gate(GateArgs),
    /// Print the call tree of a system call, recorded in a real run
    Trace(TraceArgs),
    /// Print the boot log of the reference
    Boot(BootArgs),
    /// Ask real kernels: what our scripts come to there
    Oracle(OracleArgs),
    /// Run the plan of another run on the kernel that this process is on
    #[command(hide = true)]
    Guest(GuestArgs),
    /// Give scripts the common layout; comments stay
    Fmt(FmtArgs),
    /// Capture this machine's kernel with frames, calls and manifest; needs root
    Capture(Box<CaptureArgs>),
    /// Make socket calls, one after another, as a scenario says
    #[command(hide = true)]
    Workload(WorkloadArgs),
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
    /// Print a line for every case, on a terminal too; of scripts that pass also events and state
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
    /// The smoltcp crate, in virtual time
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
    /// Ethernet frames, one buffer each, as a TAP does
    Tap,
    /// Ethernet frames through the rings and interrupts of the MAC model
    Ftgmac100,
    /// Each script on tun and ftgmac100
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
    /// Rewrite what failing scripts expect from what happens: packets, times, results. Everything
    /// else in them stays; known failures are not touched
    #[arg(long, conflicts_with_all = ["parse_only", "matrix", "list"])]
    pub(crate) bless: bool,
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
    /// Write a page to FILE that shows both sides: ladder, sequence numbers over time, every frame
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,
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

/// Who is between the captured host and its peer.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopologyName {
    /// One wire
    Pair,
    /// A router
    BehindRouter,
    /// The captured host is the router
    Router,
}

/// How the captured host is attached.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverName {
    /// A TAP device and a wire that delays, drops and alters
    Tun,
    /// A veth pair
    Veth,
}

#[derive(Args, Debug)]
#[command(after_help = "\
COMMAND runs on a host of its own (a network namespace: 10.9.0.1, fd09::1) under strace, while
tcpdump writes what its interface sees; --peer runs on the other host (10.9.0.2, fd09::2; behind a
router 10.9.1.2). The wire between them is this program. Beside NAME.pcap come NAME.L.strace and
NAME.toml, and `cargo xtask diff NAME.pcap` replays them.

A rule is DIRECTION ACTION KIND WHICH: out, in, both; drop, dup, delay:MS, ce, corrupt, vlan:ID,
ttl:N; any, arp, ip, ipv6, icmp, udp, tcp, syn, synack, data, ack, fin, rst, fragment; all, 4, 3-7,
a list of them, every:N, p:CHANCE, time:FROM-TO in seconds.

Examples:
  cargo xtask capture fetch --peer 'nc -l -p 80' --delay 20 --loss 2 -- nc -q1 10.9.0.2 80
  cargo xtask capture rto --rule 'out drop tcp time:0.3-2' --peer 'nc -l -p 9' -- nc 10.9.0.2 9
  cargo xtask capture --scenarios pcaps/SCENARIOS.toml tcp-cork")]
pub(crate) struct CaptureArgs {
    /// Name of the capture's files; with --scenarios the scenarios to make, all without any
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// What the host runs
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Make the captures of a list
    #[arg(long, value_name = "FILE")]
    pub(crate) scenarios: Option<PathBuf>,
    /// Folder for the files; default: pcaps/, or the list's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The capture's line of description
    #[arg(long, value_name = "TEXT")]
    pub(crate) about: Option<String>,
    /// A program of the peer; may be repeated
    #[arg(long, value_name = "COMMAND", help_heading = "Hosts")]
    pub(crate) peer: Vec<String>,
    /// A program of the host beyond a captured router; may be repeated
    #[arg(long, value_name = "COMMAND", help_heading = "Hosts")]
    pub(crate) far: Vec<String>,
    /// Who is in between
    #[arg(long, value_enum, default_value = "pair", help_heading = "Hosts")]
    pub(crate) topology: TopologyName,
    /// How the host is attached
    #[arg(long, value_enum, default_value = "tun", help_heading = "Hosts")]
    pub(crate) driver: DriverName,
    /// An address of the host instead of the usual ones; may be repeated
    #[arg(long, value_name = "ADDR/LEN", help_heading = "Hosts")]
    pub(crate) addr: Vec<String>,
    /// An address of the peer instead of the usual ones; may be repeated
    #[arg(long, value_name = "ADDR/LEN", help_heading = "Hosts")]
    pub(crate) peer_addr: Vec<String>,
    /// IPv6 as well
    #[arg(long, help_heading = "Hosts")]
    pub(crate) ipv6: bool,
    /// MTU of host and peer
    #[arg(long, value_name = "BYTES", default_value_t = 1500, help_heading = "Hosts")]
    pub(crate) mtu: u32,
    /// MTU of the router's far link
    #[arg(long, value_name = "BYTES", help_heading = "Hosts")]
    pub(crate) far_mtu: Option<u32>,
    /// A sysctl of the host; may be repeated
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Hosts")]
    pub(crate) sysctl: Vec<String>,
    /// A sysctl of the peer; may be repeated
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Hosts")]
    pub(crate) peer_sysctl: Vec<String>,
    /// An offload that is on, as ethtool's rx, tx, sg, tso, gso, gro; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "Hosts")]
    pub(crate) offload: Vec<String>,
    /// A command on the host so many milliseconds after the start: 'MS ip ...'; may be repeated
    #[arg(long, value_name = "MS COMMAND", help_heading = "Hosts")]
    pub(crate) event: Vec<String>,
    /// Delay in each direction, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0.0, help_heading = "Wire")]
    pub(crate) delay: f64,
    /// Rate, Mbit/s; 0: unlimited
    #[arg(long, value_name = "MBIT", default_value_t = 0.0, help_heading = "Wire")]
    pub(crate) rate: f64,
    /// Frames that wait for the rate at most
    #[arg(long, value_name = "FRAMES", default_value_t = 1000, help_heading = "Wire")]
    pub(crate) queue: usize,
    /// Chance that a packet is lost
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, help_heading = "Wire")]
    pub(crate) loss: f64,
    /// Chance that it comes twice
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, help_heading = "Wire")]
    pub(crate) duplicate: f64,
    /// Chance that it is 3 ms late, so that others pass it
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, help_heading = "Wire")]
    pub(crate) reorder: f64,
    /// Chance that it is marked as having met congestion, if it is ECN-capable
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, help_heading = "Wire")]
    pub(crate) mark: f64,
    /// Chance that its last byte is changed
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, help_heading = "Wire")]
    pub(crate) corrupt: f64,
    /// What happens to single frames; may be repeated
    #[arg(long, value_name = "RULE", help_heading = "Wire")]
    pub(crate) rule: Vec<String>,
    /// Seed of the chances
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Wire")]
    pub(crate) seed: u64,
    /// Bytes of each frame that are kept; 0: all
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) snaplen: u32,
    /// Flags of strace besides the usual ones, as '-yy -xx'
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub(crate) strace_flag: Vec<String>,
    /// Milliseconds to go on after the programs have ended
    #[arg(long, value_name = "MS", default_value_t = 300)]
    pub(crate) after: u64,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct WorkloadArgs {
    /// Steps with `;` between them
    pub(crate) steps: String,
}

#[derive(Args, Debug)]
pub(crate) struct GuestArgs {
    /// The plan's folder
    pub(crate) folder: PathBuf,
    /// What a user-mode kernel appends to the words of its first process
    pub(crate) ignored: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Each TCP connection over IPv4 becomes a script: what the host was sent and its programs called is what
the script does, what it sent and they returned is what it expects. The script is run at once, and it
is a finding if it fails on the reference.")]
pub(crate) struct RecordArgs {
    /// The capture, NAME.pcap or NAME.pcapng
    #[arg(value_name = "FILE")]
    pub(crate) capture: PathBuf,
    /// Trace of the host's programs instead of the manifest's; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) strace: Vec<PathBuf>,
    /// Its manifest; default: NAME.toml beside it, else one that is guessed
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Where the script goes; default: NAME.pkt here. With several connections their numbers are
    /// added: NAME-2.pkt
    #[arg(long = "out", short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Overwrite scripts that are there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) output: Output,
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
