//! What scripts set by sysctl, as far as smoltcp has something like it.
//!
//! Scripts name the value of every knob that they rely on. A value that asks for what smoltcp does anyway is taken; one
//! that asks for anything else is refused, and the case counts as unsupported.

use std::collections::BTreeMap;

use smoltcp::socket::tcp::CongestionControl;

use crate::target::Refusal;

/// A knob: its name, the values that smoltcp meets, and what it has to say to others.
struct Knob {
    name: &'static str,
    meets: &'static [&'static str],
    why_not: &'static str,
}

/// The knobs that scripts set; what smoltcp 0.13 does decides on the values.
const KNOBS: &[Knob] = &[
    knob("net.ipv4.tcp_sack", &["1"], "smoltcp always offers SACK"),
    knob("net.ipv4.tcp_window_scaling", &["1"], "smoltcp always offers window scaling"),
    knob("net.ipv4.tcp_dsack", &["0"], "smoltcp sends no DSACK"),
    knob("net.ipv4.tcp_ecn", &["0", "2"], "smoltcp has no ECN"),
    knob("net.ipv4.tcp_fastopen", &["0"], "smoltcp has no TCP Fast Open"),
    knob("net.ipv4.tcp_syncookies", &["0", "1"], "smoltcp has no SYN cookies"),
    knob("net.ipv4.tcp_mtu_probing", &["0"], "smoltcp has no path MTU probing"),
    knob("net.ipv4.tcp_early_retrans", &["0"], "smoltcp has no tail loss probe"),
    knob("net.ipv4.tcp_recovery", &["0"], "smoltcp has no RACK"),
    knob("net.ipv4.tcp_frto", &["0"], "smoltcp has no F-RTO"),
    knob("net.ipv4.tcp_slow_start_after_idle", &["0"], "smoltcp does not restart after idle"),
    knob("net.ipv4.tcp_abort_on_overflow", &["0"], "smoltcp has no such choice"),
];

const fn knob(name: &'static str, meets: &'static [&'static str], why_not: &'static str) -> Knob {
    Knob { name, meets, why_not }
}

/// The settings of new sockets.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Sizes of a TCP socket's buffers, bytes.
    pub(super) receive: usize,
    pub(super) send: usize,
    pub(super) timestamps: bool,
    pub(super) congestion_control: CongestionControl,
    /// Every knob that was set, as text.
    set: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            receive: 65_535,
            send: 65_535,
            timestamps: true,
            congestion_control: CongestionControl::Cubic,
            set: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// The text of a knob.
    pub(super) fn get(&self, name: &str) -> Result<String, Refusal> {
        let text = self.set.get(name).cloned();
        text.ok_or_else(|| Refusal::Unsupported(format!("smoltcp has no {name} to read")))
    }

    /// Sets a knob of new sockets.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let value = value.trim();
        let unsupported = |why: &str| Err(Refusal::Unsupported(format!("{name}={value}: {why}")));
        match name {
            "net.ipv4.tcp_rmem" => self.receive = middle(name, value)?,
            "net.ipv4.tcp_wmem" => self.send = middle(name, value)?,
            "net.ipv4.tcp_timestamps" => self.timestamps = value != "0",
            "net.ipv4.tcp_congestion_control" => {
                self.congestion_control = match value {
                    "cubic" => CongestionControl::Cubic,
                    "reno" => CongestionControl::Reno,
                    _ => return unsupported("smoltcp has cubic and reno"),
                }
            }
            _ => match KNOBS.iter().find(|knob| knob.name == name) {
                Some(knob) if knob.meets.contains(&value) => {}
                Some(knob) => return unsupported(knob.why_not),
                None => return unsupported("smoltcp has no such knob"),
            },
        }
        self.set.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}

/// The default of "minimum default maximum".
fn middle(name: &str, value: &str) -> Result<usize, Refusal> {
    /// More than any script needs; smoltcp takes all of it at once.
    const MOST: usize = 1 << 24;
    let number = value.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
    number
        .map(|bytes: usize| bytes.min(MOST))
        .ok_or_else(|| Refusal::Invalid(format!("{name} is three numbers, not `{value}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_met_or_refused() {
        let mut settings = Settings::default();
        settings.set("net.ipv4.tcp_rmem", "4096 131072 6291456").unwrap();
        assert_eq!(settings.receive, 131_072);
        assert_eq!(settings.get("net.ipv4.tcp_rmem").unwrap(), "4096 131072 6291456");
        assert!(settings.set("net.ipv4.tcp_sack", "1").is_ok());
        let refused = |settings: &mut Settings, name, value| {
            matches!(settings.set(name, value), Err(Refusal::Unsupported(_)))
        };
        assert!(refused(&mut settings, "net.ipv4.tcp_sack", "0"));
        assert!(refused(&mut settings, "net.ipv4.no_such", "0"));
        assert!(matches!(settings.set("net.ipv4.tcp_wmem", "1"), Err(Refusal::Invalid(_))));
    }
}
