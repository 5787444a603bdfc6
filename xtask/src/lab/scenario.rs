//! Scenarios: what a capture is made of. TOML, or flags of the command line.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::LabError;
use super::rules::Rule;

/// A file of scenarios.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenarios {
    /// In the order in which they are made.
    pub(crate) scenario: Vec<Scenario>,
}

/// Who is between the captured host and its peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Topology {
    /// Nobody: one wire.
    #[default]
    Pair,
    /// A router, whose link to the peer may have another MTU. The host is captured.
    BehindRouter,
    /// The captured host itself is the router: `eth0` to the peer, `eth1` to a far host.
    Router,
}

/// How the host is attached to the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Driver {
    /// A TAP device, whose other end this program reads and writes: the wire can do anything.
    #[default]
    Tun,
    /// A veth pair: the kernel's own wire, without delay or loss.
    Veth,
}

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Name of the capture's files.
    pub(crate) name: String,
    /// What it shows, in one line.
    pub(crate) about: String,
    /// Who is in between.
    #[serde(default)]
    pub(crate) topology: Topology,
    /// How the host is attached.
    #[serde(default)]
    pub(crate) driver: Driver,
    /// Programs of the host, each under a strace of its own: steps of `netplumb workload`, or a
    /// shell command after `$ `.
    #[serde(default)]
    pub(crate) host: Vec<String>,
    /// Programs of the peer, started before the host's.
    #[serde(default)]
    pub(crate) peer: Vec<String>,
    /// Programs of the far host of a router.
    #[serde(default)]
    pub(crate) far: Vec<String>,
    /// Milliseconds that are captured after the host's programs have ended.
    #[serde(default = "after_ms")]
    pub(crate) after_ms: u64,
    /// MTU of host and peer.
    #[serde(default = "mtu")]
    pub(crate) mtu: u32,
    /// MTU of the router on the far link; the host beyond has `mtu`.
    #[serde(default = "mtu")]
    pub(crate) far_mtu: u32,
    /// Whether IPv6 is on.
    #[serde(default)]
    pub(crate) ipv6: bool,
    /// Addresses of the host's `eth0` instead of the usual ones.
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    /// Addresses of the peer instead of the usual ones.
    #[serde(default)]
    pub(crate) peer_addresses: Vec<String>,
    /// One-way delay, milliseconds, in each direction.
    #[serde(default)]
    pub(crate) delay_ms: f64,
    /// Rate, Mbit/s; 0: unlimited.
    #[serde(default)]
    pub(crate) rate_mbit: f64,
    /// Frames that wait for the rate at most.
    #[serde(default = "queue")]
    pub(crate) queue: usize,
    /// What the wire does to frames.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
    /// Seed of the rules that draw lots.
    #[serde(default = "seed")]
    pub(crate) seed: u64,
    /// Sysctls of the host.
    #[serde(default)]
    pub(crate) sysctl: BTreeMap<String, toml::Value>,
    /// Sysctls of the peer.
    #[serde(default)]
    pub(crate) peer_sysctl: BTreeMap<String, toml::Value>,
    /// What an administrator does on the host meanwhile.
    #[serde(default)]
    pub(crate) event: Vec<Event>,
    /// Offloads that are on, as ethtool's short names: `tso`, `gso`, `gro`, `rx`, `tx`, `sg`.
    #[serde(default)]
    pub(crate) offloads: Vec<String>,
    /// Flags of strace besides those that a capture needs.
    #[serde(default)]
    pub(crate) strace: Vec<String>,
    /// Bytes of each frame that the capture keeps; 0: all.
    #[serde(default)]
    pub(crate) snaplen: u32,
}

/// What an administrator does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    /// Milliseconds after the start of the host's programs.
    pub(crate) at_ms: u64,
    /// A command.
    pub(crate) run: String,
}

fn after_ms() -> u64 {
    300
}
fn mtu() -> u32 {
    1500
}
fn queue() -> usize {
    1000
}
fn seed() -> u64 {
    1
}

impl Scenarios {
    /// Reads a file of scenarios.
    ///
    /// # Errors
    /// It cannot be read, or what it says makes no sense.
    pub(crate) fn read(path: &Path) -> Result<Self, LabError> {
        let named = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(LabError::host(named.clone()))?;
        Self::parse(&text).map_err(|e| LabError::Scenario(format!("{named}: {e}")))
    }

    fn parse(text: &str) -> Result<Self, LabError> {
        let all: Self = toml::from_str(text).map_err(|e| LabError::Scenario(e.to_string()))?;
        let mut names = std::collections::BTreeSet::new();
        for s in &all.scenario {
            s.check()?;
            if !names.insert(&s.name) {
                return Err(LabError::Scenario(format!("{}: there are two of that name", s.name)));
            }
        }
        Ok(all)
    }
}

impl Scenario {
    /// A scenario with everything as usual.
    pub(crate) fn named(name: &str, about: &str) -> Self {
        let text = format!("name = {name:?}\nabout = {about:?}");
        toml::from_str(&text).expect("a name and a line are a scenario")
    }

    /// Whether its values can be used.
    ///
    /// # Errors
    /// What cannot, and why.
    pub(crate) fn check(&self) -> Result<(), LabError> {
        let wrong = |why: String| Err(LabError::Scenario(format!("{}: {why}", self.name)));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || !self.name.chars().all(plain) || self.name.starts_with('.') {
            return wrong(
                "a name is letters, digits, -, _ and dots: files are called so".to_owned(),
            );
        }
        if !(68..=65_535).contains(&self.mtu) || !(68..=65_535).contains(&self.far_mtu) {
            return wrong("an MTU is 68 to 65535".to_owned());
        }
        if !(0.0..=60_000.0).contains(&self.delay_ms) || !(0.0..=1e6).contains(&self.rate_mbit) {
            return wrong("delay_ms is 0 to 60000, rate_mbit 0 to 1000000".to_owned());
        }
        if self.driver == Driver::Veth && self.shapes() {
            return wrong("a veth pair has no wire that could delay or alter".to_owned());
        }
        Ok(())
    }

    /// Whether the wire does anything to frames.
    pub(crate) fn shapes(&self) -> bool {
        self.delay_ms > 0.0 || self.rate_mbit > 0.0 || !self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_needs_a_name_and_a_line() {
        let all = Scenarios::parse("[[scenario]]\nname = \"a\"\nabout = \"b\"\n").unwrap();
        let s = &all.scenario[0];
        assert_eq!((s.mtu, s.topology, s.driver), (1500, Topology::Pair, Driver::Tun));
        assert_eq!(Scenario::named("x\"y", "z").name, "x\"y");
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let one = |more: &str| {
            Scenarios::parse(&format!("[[scenario]]\nname = \"a\"\nabout = \"b\"\n{more}\n"))
        };
        for bad in [
            "mtu = 20",
            "delay_ms = -1.0",
            "driver = \"veth\"\ndelay_ms = 3.0",
            "colour = 1",
            "rules = [\"out drop\"]",
            "[[scenario]]\nname = \"a\"\nabout = \"twice\"",
            "[[scenario]]\nname = \"../a\"\nabout = \"a path\"",
        ] {
            assert!(one(bad).is_err(), "{bad}");
        }
    }
}
