//! The manifest of a capture: how the host was set up. TOML; unknown keys are errors.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::Deserialize;
use toml::Spanned;

/// The manifest of one capture.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What was captured, in one line.
    #[serde(default)]
    pub description: String,
    /// Kernel version, which selects the profile: `5.15`, `6.1`, `6.18`, `7.2`.
    #[serde(default = "default_kernel")]
    pub kernel: Spanned<String>,
    /// `arm` or `x86_64`.
    #[serde(default = "default_arch")]
    pub arch: Spanned<String>,
    /// `CONFIG_HZ`.
    #[serde(default = "default_hz")]
    pub hz: Spanned<u32>,
    /// Memory of the host, MiB.
    pub mem_mib: Option<u32>,
    /// Where in a jiffy the capture's clock started, seconds; searched where absent.
    pub jiffies_phase: Option<f64>,
    /// The network in between, for the reader.
    #[serde(default)]
    pub network: String,
    /// strace files, relative to the manifest.
    #[serde(default)]
    pub strace: Vec<PathBuf>,
    /// Interfaces of the host.
    pub interface: Vec<Interface>,
    /// Routes besides those of the addresses.
    #[serde(default)]
    pub route: Vec<Route>,
    /// How slow the host was.
    #[serde(default)]
    pub uncertainty: Uncertainty,
    /// Sysctls that differ from the kernel's defaults.
    #[serde(default)]
    pub sysctl: BTreeMap<String, Spanned<toml::Value>>,
    /// What an administrator did meanwhile.
    #[serde(default)]
    pub event: Vec<AdminEvent>,
    /// Divergences that are accepted.
    #[serde(default)]
    pub accept: Vec<Accept>,
}

/// One interface of the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Its name, `eth0`.
    pub name: String,
    /// The capture taken on it, relative to the manifest.
    pub capture: PathBuf,
    /// Its hardware address.
    pub mac: Spanned<String>,
    /// MTU, bytes.
    #[serde(default = "default_mtu")]
    pub mtu: u32,
    /// Addresses with prefix lengths.
    #[serde(default)]
    pub addresses: Vec<Spanned<String>>,
    /// `tun`, `veth` or `ftgmac100`.
    #[serde(default = "default_driver")]
    pub driver: Spanned<String>,
    /// Whether IPv6 is enabled.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether addresses go through duplicate address detection.
    #[serde(default = "default_true")]
    pub dad: bool,
    /// When the interface came up, seconds before the capture; long ago where absent.
    pub up_before_s: Option<f64>,
    /// Offloads that were on, as ethtool names them.
    #[serde(default)]
    pub offloads: Vec<String>,
}

/// A route of the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `default` or a prefix.
    pub to: Spanned<String>,
    /// The gateway.
    pub via: IpAddr,
}

/// How slow the host was where it was slower than the usual bounds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uncertainty {
    /// Longest time from an inbound frame's stamp to its handling, microseconds.
    pub rx_us: Option<u64>,
    /// Longest time from a call's entry to the frames that it sends, microseconds.
    pub tx_us: Option<u64>,
}

impl Uncertainty {
    /// The longest of the times, microseconds; 0 where none is given.
    pub fn longest_us(&self) -> u64 {
        self.rx_us.unwrap_or(0).max(self.tx_us.unwrap_or(0))
    }
}

/// Something done to the host while it ran.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminEvent {
    /// When, seconds from the first frame.
    pub at_s: f64,
    /// The command, `ip addr add ...`.
    pub run: Spanned<String>,
}

/// A divergence that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Frame number as Wireshark counts.
    pub frame: u64,
    /// The field, as Wireshark names it.
    pub field: String,
    /// Why.
    pub reason: String,
}

fn default_kernel() -> Spanned<String> {
    Spanned::new(0..0, "5.15".to_owned())
}
fn default_arch() -> Spanned<String> {
    Spanned::new(0..0, "x86_64".to_owned())
}
fn default_hz() -> Spanned<u32> {
    Spanned::new(0..0, 250)
}
fn default_mtu() -> u32 {
    1500
}
fn default_driver() -> Spanned<String> {
    Spanned::new(0..0, "tun".to_owned())
}
fn default_true() -> bool {
    true
}

/// What is wrong with a manifest, and where.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ManifestError {
    /// It could not be read.
    #[error("{file}: {source}")]
    #[diagnostic(code(netplumb::manifest::io))]
    Io {
        /// Path of the file.
        file: String,
        /// What the host said.
        source: std::io::Error,
    },
    /// Its text is not what a manifest may say.
    #[error("{message}")]
    #[diagnostic(code(netplumb::manifest::invalid))]
    Invalid {
        /// What is wrong.
        message: String,
        /// The file's text.
        #[source_code]
        text: NamedSource<String>,
        /// Where.
        #[label("here")]
        span: Option<SourceSpan>,
    },
}

impl Manifest {
    /// Reads a manifest; gives its text too, for errors found later.
    pub fn read(path: &Path) -> Result<(Self, NamedSource<String>), ManifestError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ManifestError::Io { file: file.clone(), source })?;
        let manifest = Self::parse(&file, &text)?;
        Ok((manifest, NamedSource::new(file, text)))
    }

    /// Parses a manifest's text. `name` is how errors call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ManifestError> {
        let invalid =
            |message: String, span: Option<std::ops::Range<usize>>| ManifestError::Invalid {
                message,
                text: NamedSource::new(name, text.to_owned()),
                span: span.map(Into::into),
            };
        let m: Self =
            toml::from_str(text).map_err(|e| invalid(e.message().to_owned(), e.span()))?;
        if m.interface.is_empty() {
            return Err(invalid("a manifest needs at least one [[interface]]".to_owned(), None));
        }
        let hz = *m.hz.get_ref();
        if !matches!(hz, 100 | 250 | 300 | 1000) {
            let message = format!("hz = {hz}: CONFIG_HZ is 100, 250, 300 or 1000");
            return Err(invalid(message, Some(m.hz.span())));
        }
        if !matches!(m.arch.get_ref().as_str(), "arm" | "x86_64") {
            let message = format!("arch {:?} is neither arm nor x86_64", m.arch.get_ref());
            return Err(invalid(message, Some(m.arch.span())));
        }
        for i in &m.interface {
            if parse_mac(i.mac.get_ref()).is_none() {
                let message = format!("{:?} is not a MAC address", i.mac.get_ref());
                return Err(invalid(message, Some(i.mac.span())));
            }
            for a in &i.addresses {
                if parse_prefix(a.get_ref()).is_none() {
                    let message = format!("{:?} is not ADDRESS/LENGTH", a.get_ref());
                    return Err(invalid(message, Some(a.span())));
                }
            }
            if !matches!(i.driver.get_ref().as_str(), "tun" | "veth" | "ftgmac100") {
                let message =
                    format!("driver {:?} is none of tun, veth, ftgmac100", i.driver.get_ref());
                return Err(invalid(message, Some(i.driver.span())));
            }
        }
        for r in &m.route {
            if r.to.get_ref() != "default" && parse_prefix(r.to.get_ref()).is_none() {
                let message = format!("{:?} is neither default nor ADDRESS/LENGTH", r.to.get_ref());
                return Err(invalid(message, Some(r.to.span())));
            }
        }
        Ok(m)
    }
}

/// A sysctl's value as sysctl(8) would write it.
pub fn sysctl_text(v: &toml::Value) -> String {
    match v {
        toml::Value::String(s) => s.clone(),
        toml::Value::Boolean(b) => u8::from(*b).to_string(),
        other => other.to_string(),
    }
}

impl Interface {
    /// The hardware address.
    pub fn mac_bytes(&self) -> [u8; 6] {
        parse_mac(self.mac.get_ref()).unwrap_or_default()
    }

    /// The addresses with prefix lengths.
    pub fn prefixes(&self) -> Vec<(IpAddr, u8)> {
        self.addresses.iter().filter_map(|a| parse_prefix(a.get_ref())).collect()
    }
}

impl Route {
    /// The destination prefix; `default` is length 0 in the family of the gateway.
    pub fn prefix(&self) -> Option<(IpAddr, u8)> {
        if self.to.get_ref() == "default" {
            let any = match self.via {
                IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
            };
            Some((any, 0))
        } else {
            parse_prefix(self.to.get_ref())
        }
    }
}

fn parse_mac(s: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = s.split(':');
    for b in &mut mac {
        let p = parts.next()?;
        if p.len() != 2 {
            return None;
        }
        *b = u8::from_str_radix(p, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

fn parse_prefix(s: &str) -> Option<(IpAddr, u8)> {
    let (addr, len) = s.split_once('/')?;
    let addr: IpAddr = addr.parse().ok()?;
    let len: u8 = len.parse().ok()?;
    (len <= if addr.is_ipv4() { 32 } else { 128 }).then_some((addr, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "[[interface]]\nname = \"eth0\"\ncapture = \"a.pcap\"\n\
                           mac = \"52:54:00:12:34:56\"\naddresses = [\"10.0.2.15/24\"]\n";

    #[test]
    fn defaults() {
        let m = Manifest::parse("m", MINIMAL).unwrap();
        assert_eq!((m.kernel.get_ref().as_str(), *m.hz.get_ref()), ("5.15", 250));
        assert_eq!(m.interface[0].prefixes(), [("10.0.2.15".parse().unwrap(), 24)]);
        assert_eq!(m.interface[0].mac_bytes(), [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    }

    #[test]
    fn an_unknown_key_is_pointed_at() {
        let text = format!("{MINIMAL}mtuu = 1500\n");
        let Err(ManifestError::Invalid { message, span, .. }) = Manifest::parse("m", &text) else {
            panic!("accepted");
        };
        assert!(message.contains("mtuu"), "{message}");
        let span = span.unwrap();
        assert!(text[span.offset()..].starts_with("mtuu"));
    }

    #[test]
    fn impossible_values_are_pointed_at() {
        for (key, bad) in [("driver", "\"e1000\""), ("mac", "\"52:54\""), ("addresses", "[\"x\"]")]
        {
            let text = MINIMAL
                .lines()
                .filter(|l| !l.starts_with(key))
                .map(|l| format!("{l}\n"))
                .collect::<String>()
                + &format!("{key} = {bad}\n");
            let e = Manifest::parse("m", &text).unwrap_err();
            assert!(matches!(e, ManifestError::Invalid { span: Some(_), .. }), "{key}");
        }
    }
}
