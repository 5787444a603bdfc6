//! A script's settings: defaults, then the script's own options, then the command line's, which win.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::options::{self, Effect};
use super::variant;
use crate::results::Variant;
use crate::script::ast::OptionLine;
use crate::script::{ScriptError, Source, Span};
use crate::target::Addresses;

/// The prefix length of the target's IPv6 address; there is no option for it.
const IPV6_PREFIX: u8 = 48;

/// What options decide.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// IP version of sockets and packets.
    pub(crate) variant: Variant,
    /// The runner chose the IP version, not the script.
    pub(crate) variant_asked: bool,
    pub(crate) addresses: Addresses,
    pub(crate) bind_port: u16,
    pub(crate) connect_port: u16,
    /// Nanoseconds by which an event may be early or late.
    pub(crate) tolerance_ns: i64,
    /// Likewise, as a part of the time since the event before, in thousandths of a percent.
    pub(crate) tolerance_millipercent: i64,
    /// A tick of outbound TSval in microseconds; 0: not compared.
    pub(crate) tcp_ts_tick_usecs: i64,
    /// Whether an inbound TSecr without a known counterpart is interpolated.
    pub(crate) tcp_ts_ecr_scaled: bool,
    /// Whether consecutive segments may not be joined.
    pub(crate) strict_segments: bool,
    /// Segment size of inbound super-packets; 0: none.
    pub(crate) mss: u16,
    /// Whether a packet that differs is noted and the run goes on.
    pub(crate) non_fatal_packet: bool,
    /// Files of commands that run before the init command.
    pub(crate) init_scripts: Vec<String>,
    /// Whether the script is only read.
    pub(crate) dry_run: bool,
}

/// An address of an option with its prefix length, where one is written, and its place.
type Given<T> = Option<(T, Span)>;

/// The address options before the IP version is known.
#[derive(Default)]
struct GivenAddresses {
    local: Given<IpAddr>,
    gateway: Given<IpAddr>,
    remote: Given<(IpAddr, Option<u8>)>,
    netmask: Given<u8>,
}

impl Config {
    /// Defaults before any option.
    fn start() -> Self {
        let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Config {
            variant: Variant::Ipv4,
            variant_asked: false,
            addresses: Addresses {
                local: none,
                prefix: 16,
                gateway: none,
                remote: none,
                remote_prefix: 24,
                mtu: 1500,
            },
            bind_port: 8080,
            connect_port: 8080,
            tolerance_ns: 4_000_000,
            tolerance_millipercent: 12_500,
            tcp_ts_tick_usecs: 0,
            tcp_ts_ecr_scaled: false,
            strict_segments: false,
            mss: 0,
            non_fatal_packet: false,
            init_scripts: Vec::new(),
            dry_run: false,
        }
    }

    /// The settings of a script. `variant` is the one that the runner asks for, with its addresses.
    ///
    /// # Errors
    /// An option that is not known, or a value that it does not take, with its place.
    pub(crate) fn new(
        source: &Source,
        own: &[OptionLine],
        variant: Option<Variant>,
        command_line: &[(String, Option<String>)],
    ) -> Result<Self, ScriptError> {
        let mut config = Config { variant_asked: variant.is_some(), ..Config::start() };
        let mut given = GivenAddresses::default();
        for line in own {
            config.set(&mut given, &line.name, line.value.as_deref(), line.span).map_err(
                |message| {
                    let error = ScriptError::new(source, line.span, message, "this option");
                    error.with_help("options are set for the whole script, before its first event")
                },
            )?;
        }
        let runner = variant.map_or(&[][..], variant::options);
        let version = variant.map(|v| ("ip_version", v.word()));
        let runner = version.iter().chain(runner).map(|(name, value)| (*name, Some(*value)));
        let user = command_line.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let nowhere = Span::default();
        for (name, value) in runner.chain(user) {
            config
                .set(&mut given, name, value, nowhere)
                .map_err(|message| on_command_line(source, nowhere, &message))?;
        }
        config.resolve(&given).map_err(|(span, message)| {
            if span.end > span.start {
                ScriptError::new(source, span, message, "this option")
            } else {
                on_command_line(source, span, &message)
            }
        })?;
        Ok(config)
    }

    fn set(
        &mut self,
        given: &mut GivenAddresses,
        name: &str,
        value: Option<&str>,
        span: Span,
    ) -> Result<(), String> {
        let option = options::find(name).ok_or_else(|| format!("there is no option `--{name}`"))?;
        match (option.value, value) {
            (Some(_), None) => return Err(format!("the option `--{name}` needs a value")),
            (None, Some(_)) => return Err(format!("the option `--{name}` takes no value")),
            _ => {}
        }
        match option.effect {
            Effect::Here => {}
            Effect::Nothing => return Ok(()),
            Effect::Refused(why) => {
                return Err(format!("the option `--{name}` is not supported: {why}"));
            }
        }
        let text = value.unwrap_or_default();
        match name {
            "local_ip" => given.local = Some((address(name, text)?, span)),
            "gateway_ip" => given.gateway = Some((address(name, text)?, span)),
            "remote_ip" => given.remote = Some((prefix(name, text)?, span)),
            "netmask_ip" => given.netmask = Some((netmask(text)?, span)),
            _ => return self.set_value(name, text),
        }
        Ok(())
    }

    fn set_value(&mut self, name: &str, text: &str) -> Result<(), String> {
        let number = |min: i64, max: i64| -> Result<i64, String> {
            let parsed = text.parse::<i64>().ok().filter(|n| (min..=max).contains(n));
            parsed
                .ok_or_else(|| format!("the option `--{name}` takes a number from {min} to {max}"))
        };
        match name {
            "ip_version" => {
                self.variant = variant::from_name(text)
                    .ok_or("IP versions are ipv4, ipv4-mapped-ipv6 and ipv6")?;
            }
            "bind_port" => self.bind_port = number(1, 65_535)? as u16,
            "connect_port" => self.connect_port = number(1, 65_535)? as u16,
            "mtu" => self.addresses.mtu = number(0, 65_535)? as u32,
            "mss" => self.mss = number(1, 65_535)? as u16,
            "tolerance_usecs" => self.tolerance_ns = number(1, 1_000_000_000_000)? * 1000,
            "tolerance_percent" => {
                let parsed = text.parse::<f64>().ok().filter(|p| (0.0..=100.0).contains(p));
                let percent = parsed.ok_or(format!("the option `--{name}` takes a percentage"))?;
                self.tolerance_millipercent = (percent * 1000.0) as i64;
            }
            // They decide how the target is booted.
            "hz" => _ = number(24, 1000)?,
            "arp_usecs" => _ = number(0, 100_000_000)?,
            "tcp_ts_tick_usecs" => self.tcp_ts_tick_usecs = number(0, 1_000_000)?,
            "tcp_ts_ecr_scaled" => self.tcp_ts_ecr_scaled = true,
            "strict_segments" => self.strict_segments = true,
            "non_fatal" => {
                for kind in text.split([',', ' ']).filter(|kind| !kind.is_empty()) {
                    match kind {
                        "packet" => self.non_fatal_packet = true,
                        // Upstream reads this word and does nothing with it.
                        "syscall" => {}
                        _ => return Err(format!("`{kind}` is not one of packet and syscall")),
                    }
                }
            }
            "init_scripts" => {
                self.init_scripts =
                    text.split(',').filter(|f| !f.is_empty()).map(str::to_string).collect();
            }
            "dry_run" => self.dry_run = true,
            // Options that act elsewhere: defines in the parser, --verbose in the report.
            _ => {}
        }
        Ok(())
    }

    /// The addresses of the IP version that the options came to.
    fn resolve(&mut self, given: &GivenAddresses) -> Result<(), (Span, String)> {
        let v6 = self.variant == Variant::Ipv6;
        let family = if v6 { "an IPv6" } else { "an IPv4" };
        let check = |name: &str, given: Given<IpAddr>| match given {
            Some((ip, span)) if ip.is_ipv6() != v6 => {
                let version = self.variant.word();
                Err((span, format!("`--{name}` has to be {family} address with {version}")))
            }
            other => Ok(other.map(|(ip, _)| ip)),
        };
        let (local, gateway, remote) = if v6 {
            (
                Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1).into(),
                Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0x8888, 0, 0, 0, 0).into(),
                (IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 32),
            )
        } else {
            let local = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1));
            (local, local, (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 24))
        };
        let remote_ip = check("remote_ip", given.remote.map(|((ip, _), span)| (ip, span)))?;
        let addresses = &mut self.addresses;
        addresses.local = check("local_ip", given.local)?.unwrap_or(local);
        addresses.gateway = check("gateway_ip", given.gateway)?.unwrap_or(gateway);
        addresses.remote = remote_ip.unwrap_or(remote.0);
        // An address without a prefix length is a route to that host alone.
        addresses.remote_prefix = match given.remote {
            Some(((ip, len), _)) => len.unwrap_or(if ip.is_ipv4() { 32 } else { 128 }),
            None => remote.1,
        };
        addresses.prefix = if v6 { IPV6_PREFIX } else { given.netmask.map_or(16, |(len, _)| len) };
        Ok(())
    }

    /// The family of sockets whose domain is `...`.
    pub(crate) fn socket_family(&self) -> i32 {
        match self.variant {
            Variant::Ipv4 | Variant::None => 2,
            Variant::Ipv4MappedIpv6 | Variant::Ipv6 => 10,
        }
    }

    /// The address that `...` in bind() stands for.
    pub(crate) fn bind_ip(&self) -> IpAddr {
        self.as_socket_address(self.addresses.local)
    }

    /// The address that `...` in connect() and sendto() stands for.
    pub(crate) fn connect_ip(&self) -> IpAddr {
        self.as_socket_address(self.addresses.remote)
    }

    fn as_socket_address(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) if self.socket_family() == 10 => ip.to_ipv6_mapped().into(),
            ip => ip,
        }
    }

    /// How far an event may be from `expected`, whose predecessor was expected at `before` (nanoseconds of the script).
    pub(crate) fn tolerance(&self, expected: i64, before: Option<i64>) -> i64 {
        let dynamic = before.map_or(0, |b| {
            let delta = i128::from(expected.saturating_sub(b).max(0));
            i64::try_from(delta * i128::from(self.tolerance_millipercent) / 100_000)
                .unwrap_or(i64::MAX)
        });
        self.tolerance_ns.max(dynamic)
    }
}

fn on_command_line(source: &Source, span: Span, message: &str) -> ScriptError {
    ScriptError::new(source, span, format!("on the command line: {message}"), "")
}

fn address(option: &str, text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("the option `--{option}` takes an IP address"))
}

fn prefix(option: &str, text: &str) -> Result<(IpAddr, Option<u8>), String> {
    let Some((ip, len)) = text.split_once('/') else { return Ok((address(option, text)?, None)) };
    let ip = address(option, ip)?;
    let max = if ip.is_ipv4() { 32 } else { 128 };
    let parsed = len.parse().ok().filter(|l| *l <= max);
    Ok((ip, Some(parsed.ok_or_else(|| format!("`{len}` is no prefix length"))?)))
}

/// The prefix length of a netmask.
fn netmask(text: &str) -> Result<u8, String> {
    let mask = text.parse::<Ipv4Addr>().map(u32::from);
    let mask = mask.ok().filter(|m| m.leading_ones() + m.trailing_zeros() >= 32);
    mask.map(|m| m.leading_ones() as u8).ok_or_else(|| format!("`{text}` is no netmask"))
}

#[cfg(test)]
mod tests;
