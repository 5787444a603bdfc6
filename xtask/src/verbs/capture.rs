//! `cargo xtask capture`: captures of this machine's kernel, with their manifests and traces.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::cli::CaptureArgs;
use crate::error::CouldNotRun;
use crate::lab::{self, Captured, LabError, Scenario, Scenarios};
use crate::places::Places;
use crate::ui::Ui;
use crate::workload;

pub(crate) fn run(args: &CaptureArgs) -> miette::Result<Outcome> {
    let lacks = lab::missing();
    if !lacks.is_empty() {
        return Err(CouldNotRun::Usage {
            what: format!("a capture cannot be made here; missing:\n  {}", lacks.join("\n  ")),
            help: Some("on Debian: apt install tcpdump strace iproute2 ethtool".to_owned()),
        }
        .into());
    }
    let out = match (&args.out, &args.scenarios) {
        (Some(folder), _) => folder.clone(),
        // Beside the list.
        (None, Some(list)) => list.parent().map_or_else(PathBuf::new, Path::to_owned),
        (None, None) => Places::find()?.root().join("pcaps"),
    };
    let wanted = match &args.scenarios {
        Some(list) => listed(list, &args.names)?,
        None => vec![flags::scenario(args)?],
    };
    let own = std::env::current_exe().map_err(CouldNotRun::io(Path::new("/proc/self/exe"), "?"))?;
    let mut ui = Ui::new(&args.output).with_every_line();
    ui.expect("captures", wanted.len() as u64);
    let mut refused = Vec::new();
    for scenario in &wanted {
        match lab::capture(scenario, &out, &own) {
            Ok(captured) => ui.line(&made(&captured)),
            Err(error) => refused.push(format!("{}: {error}", scenario.name)),
        }
        ui.tick();
    }
    ui.finish();
    if refused.is_empty() {
        return Ok(Outcome::AsExpected);
    }
    let what =
        format!("{} of {} not captured:\n  {}", refused.len(), wanted.len(), refused.join("\n  "));
    Err(CouldNotRun::Usage { what, help: None }.into())
}

fn made(captured: &Captured) -> String {
    let Captured { manifest, bytes, cut_short } = captured;
    let late = if *cut_short { "; its programs did not end and were stopped" } else { "" };
    format!("captured    {} and its files: {} kB{late}", manifest.display(), bytes.div_ceil(1000))
}

/// The scenarios of a list that are asked for: all without names.
fn listed(list: &Path, names: &[String]) -> miette::Result<Vec<Scenario>> {
    let all = Scenarios::read(list).map_err(could_not)?.scenario;
    if let Some(unknown) = names.iter().find(|n| !all.iter().any(|s| s.name == **n)) {
        return Err(CouldNotRun::Usage {
            what: format!("{}: there is no scenario {unknown}", list.display()),
            help: None,
        }
        .into());
    }
    let asked = |s: &Scenario| names.is_empty() || names.contains(&s.name);
    let wanted: Vec<Scenario> = all.into_iter().filter(asked).collect();
    for s in &wanted {
        for program in s.host.iter().chain(&s.peer).chain(&s.far).filter(|p| !p.starts_with("$ ")) {
            workload::parse(program).map_err(|why| CouldNotRun::Usage {
                what: format!("{}: scenario {}: {why}", list.display(), s.name),
                help: None,
            })?;
        }
    }
    Ok(wanted)
}

fn could_not(error: LabError) -> CouldNotRun {
    CouldNotRun::Usage { what: error.to_string(), help: None }
}

/// A scenario of the command line.
mod flags {
    use super::could_not;
    use crate::cli::{CaptureArgs, DriverName, TopologyName};
    use crate::error::CouldNotRun;
    use crate::lab::{Driver, Event, Rule, Scenario, Topology};

    pub(super) fn scenario(args: &CaptureArgs) -> Result<Scenario, CouldNotRun> {
        let usage = |what: String| CouldNotRun::Usage { what, help: None };
        let name = args.names.first().filter(|_| args.names.len() == 1).ok_or_else(|| {
            usage("a capture has one NAME; `--scenarios FILE` makes a list of them".to_owned())
        })?;
        if args.command.is_empty() && args.peer.is_empty() {
            return Err(usage("what should run? `capture NAME -- COMMAND`, or --peer".to_owned()));
        }
        let command = quoted(&args.command);
        let about = args.about.clone().unwrap_or_else(|| command.clone());
        let mut s = Scenario::named(name, &about);
        if !args.command.is_empty() {
            s.host = vec![format!("$ {command}")];
        }
        s.peer = args.peer.iter().map(|p| program(p)).collect();
        s.far = args.far.iter().map(|p| program(p)).collect();
        s.topology = match args.topology {
            TopologyName::Pair => Topology::Pair,
            TopologyName::BehindRouter => Topology::BehindRouter,
            TopologyName::Router => Topology::Router,
        };
        s.driver = match args.driver {
            DriverName::Tun => Driver::Tun,
            DriverName::Veth => Driver::Veth,
        };
        s.delay_ms = args.delay;
        s.rate_mbit = args.rate;
        s.queue = args.queue;
        s.mtu = args.mtu;
        s.far_mtu = args.far_mtu.unwrap_or(args.mtu);
        s.ipv6 = args.ipv6;
        s.addresses.clone_from(&args.addr);
        s.peer_addresses.clone_from(&args.peer_addr);
        s.seed = args.seed;
        s.snaplen = args.snaplen;
        s.after_ms = args.after;
        s.offloads.clone_from(&args.offload);
        s.strace =
            args.strace_flag.iter().flat_map(|f| f.split_whitespace()).map(Into::into).collect();
        s.rules = rules(args).map_err(usage)?;
        for (given, set) in [(&args.sysctl, &mut s.sysctl), (&args.peer_sysctl, &mut s.peer_sysctl)]
        {
            for text in given {
                let (name, value) = text
                    .split_once('=')
                    .ok_or_else(|| usage(format!("{text:?} is not NAME=VALUE")))?;
                set.insert(name.trim().to_owned(), toml::Value::String(value.trim().to_owned()));
            }
        }
        for text in &args.event {
            let event = text
                .split_once(' ')
                .and_then(|(at, run)| Some(Event { at_ms: at.parse().ok()?, run: run.to_owned() }))
                .ok_or_else(|| usage(format!("{text:?} is not `MS COMMAND`")))?;
            s.event.push(event);
        }
        s.check().map_err(could_not)?;
        Ok(s)
    }

    /// A peer's program: steps of a workload if they are some, else a shell command.
    fn program(text: &str) -> String {
        if crate::workload::parse(text).is_ok() { text.to_owned() } else { format!("$ {text}") }
    }

    /// Chances and single rules.
    fn rules(args: &CaptureArgs) -> Result<Vec<Rule>, String> {
        let chances = [
            ("drop", args.loss),
            ("dup", args.duplicate),
            ("ce", args.mark),
            ("corrupt", args.corrupt),
            // Late by so much that the frames behind it pass.
            ("delay:3", args.reorder),
        ];
        let drawn = chances
            .into_iter()
            .filter(|(_, percent)| *percent > 0.0)
            .map(|(action, percent)| format!("both {action} ip p:{}", percent / 100.0));
        drawn.chain(args.rule.iter().cloned()).map(|text| Rule::parse(&text)).collect()
    }

    /// Words as a shell reads them back.
    fn quoted(words: &[String]) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        let quote = |w: &String| {
            if !w.is_empty() && w.chars().all(plain) {
                w.clone()
            } else {
                format!("'{}'", w.replace('\'', "'\\''"))
            }
        };
        words.iter().map(quote).collect::<Vec<_>>().join(" ")
    }

    #[cfg(test)]
    mod tests {
        use clap::Parser as _;

        use super::*;
        use crate::cli::{Cli, Verb};

        fn of(line: &[&str]) -> Result<Scenario, CouldNotRun> {
            let cli = Cli::parse_from(["netplumb", "capture"].iter().chain(line));
            let Verb::Capture(args) = cli.verb else { panic!("another verb") };
            scenario(&args)
        }

        #[test]
        fn flags_are_a_scenario() {
            let s = of(&[
                "a",
                "--delay",
                "12.5",
                "--loss",
                "3",
                "--rule",
                "out drop data 4",
                "--peer",
                "tcp; listen 5",
                "--peer",
                "nc -l 80",
                "--sysctl",
                "net.ipv4.tcp_sack=0",
                "--",
                "nc",
                "it's",
                "80",
            ])
            .unwrap();
            assert_eq!(s.host, ["$ nc 'it'\\''s' 80"]);
            assert_eq!(s.peer, ["tcp; listen 5", "$ nc -l 80"]);
            let rules: Vec<String> = s.rules.iter().map(ToString::to_string).collect();
            assert_eq!(rules, ["both drop ip p:0.03", "out drop data 4"]);
            assert_eq!((s.delay_ms, s.sysctl.len()), (12.5, 1));
        }

        #[test]
        fn what_makes_no_sense_is_refused() {
            for bad in [
                &["a"][..],
                &["a", "b", "--", "true"],
                &["a/b", "--", "true"],
                &["a", "--sysctl", "x", "--", "true"],
                &["a", "--event", "soon ip link", "--", "true"],
                &["a", "--driver", "veth", "--loss", "1", "--", "true"],
            ] {
                assert!(of(bad).is_err(), "{bad:?}");
            }
        }
    }
}
