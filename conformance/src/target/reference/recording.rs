//! What the layers of the reference do, seen from outside: the numbers that each holds are compared between two moments.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reference_stack::{Gauge, Kernel};

use crate::run::RunOptions;
use crate::target::Traced;

/// States of TCP as RFC 9293 names them, by Linux's numbers.
pub(crate) const STATES: [&str; 13] = [
    "",
    "ESTABLISHED",
    "SYN-SENT",
    "SYN-RECEIVED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "CLOSED",
    "CLOSE-WAIT",
    "LAST-ACK",
    "LISTEN",
    "CLOSING",
    "NEW-SYN-RECEIVED",
];
/// States of the congestion control (`enum tcp_ca_state`).
pub(crate) const CA_STATES: [&str; 5] = ["Open", "Disorder", "CWR", "Recovery", "Loss"];

/// Sysctls that scripts change and that are no single number.
const OTHER_SYSCTLS: &[&str] = &[
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_fastopen_key",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Numbers whose change says nothing that another one does not.
const UNTOLD: &[&str] = &["InOctets", "OutOctets", "InNoECTPkts", "TCPPureAcks", "TCPHPAcks"];
/// A timer that says nothing about a script.
const PHY_TIMER: &str = "PHY";

/// Which number of which layer, of whom.
type Key = (&'static str, String, &'static str);

/// The record of one run.
pub(super) struct Recording {
    last: BTreeMap<Key, i64>,
    events: Vec<Traced>,
    /// Sysctls as they were before the script.
    sysctls: Vec<(&'static str, String)>,
    version: &'static str,
    seed: u64,
}

impl Recording {
    /// Starts with what the booted machine has.
    pub(super) fn new(kernel: &mut Kernel, options: &RunOptions) -> Self {
        let value = |name: &&'static str| Some((*name, kernel.sysctl(name).ok()?));
        let sysctls =
            Kernel::sysctl_names().iter().chain(OTHER_SYSCTLS).filter_map(value).collect();
        let last = kernel.gauges().into_iter().map(keyed).collect();
        // What ran while the interface came up is not the script's.
        kernel.take_timer_name();
        Recording {
            last,
            events: Vec::new(),
            sysctls,
            version: options.version.name(),
            seed: options.seed,
        }
    }

    /// Notes what changed, an event a layer and owner.
    pub(super) fn look(&mut self, kernel: &mut Kernel) {
        let at = kernel.now();
        let gauges = kernel.gauges();
        if let Some(name) = kernel.take_timer_name().filter(|name| *name != PHY_TIMER) {
            self.events.push(Traced { at, layer: "timer", text: name.to_owned() });
        }
        let mut line: Option<(&'static str, String, String)> = None;
        for Gauge { layer, of, name, value } in gauges {
            let key = (layer, of, name);
            let known = self.last.get(&key).copied();
            if UNTOLD.contains(&name) || known == Some(value) || (known.is_none() && value == 0) {
                continue;
            }
            let change = change(name, known, value);
            let (_, of, _) = &key;
            match &mut line {
                Some((l, o, text)) if *l == layer && o == of => {
                    let _ = write!(text, ", {change}");
                }
                _ => {
                    self.put(at, line.take());
                    line = Some((layer, of.clone(), change));
                }
            }
            self.last.insert(key, value);
        }
        self.put(at, line);
    }

    fn put(&mut self, at: u64, line: Option<(&'static str, String, String)>) {
        let Some((layer, of, text)) = line else { return };
        let text = if of.is_empty() { text } else { format!("{of}: {text}") };
        self.events.push(Traced { at, layer, text });
    }

    /// Takes what was noted.
    pub(super) fn take(&mut self) -> Vec<Traced> {
        std::mem::take(&mut self.events)
    }

    /// Kernel, seed, and the sysctls that the script changed.
    pub(super) fn environment(&self, kernel: &Kernel) -> Vec<(String, String)> {
        let mut out = vec![
            ("kernel".to_owned(), format!("{} (profile)", self.version)),
            ("seed".to_owned(), self.seed.to_string()),
        ];
        for (name, before) in &self.sysctls {
            match kernel.sysctl(name) {
                Ok(now) if now != *before => {
                    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                    out.push((
                        (*name).to_owned(),
                        format!("{} (default {})", words(&now), words(before)),
                    ));
                }
                _ => {}
            }
        }
        out
    }
}

fn keyed(gauge: Gauge) -> (Key, i64) {
    ((gauge.layer, gauge.of, gauge.name), gauge.value)
}

/// A counter by what it grew, anything else by its values.
fn change(name: &'static str, before: Option<i64>, now: i64) -> String {
    let named = |names: &[&str], n: i64| {
        let name = usize::try_from(n).ok().and_then(|n| names.get(n).copied());
        name.map_or_else(|| n.to_string(), str::to_owned)
    };
    let Some(short) = name.strip_prefix("tcpi_") else {
        let pointer = name.ends_with("pointer") || name == "qlen";
        return match before {
            Some(before) if pointer => format!("{name} {before} → {now}"),
            _ => format!("{name} {:+}", now.saturating_sub(before.unwrap_or(0))),
        };
    };
    let shown = |n: i64| match short {
        "state" => named(&STATES, n),
        "ca_state" => named(&CA_STATES, n),
        "snd_ssthresh" if n >= 0x7fff_ffff => "∞".to_owned(),
        _ => n.to_string(),
    };
    match before {
        Some(before) => format!("{short} {} → {}", shown(before), shown(now)),
        None => format!("{short} {}", shown(now)),
    }
}
