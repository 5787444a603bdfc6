//! A script's settings: defaults, then the script's own options, then the command line's, which win.

use std::net::{IpAddr, Ipv4Addr};

use crate::script::ast::OptionLine;
use crate::script::{ScriptError, Source};
use crate::target::Addresses;

/// What options decide.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
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
}

impl Default for Config {
    fn default() -> Self {
        let local = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1));
        Config {
            addresses: Addresses {
                local,
                prefix: 16,
                gateway: local,
                remote: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
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
        }
    }
}

/// Options that only say how upstream's own tool goes about its work; they change nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    "send_omit_free",
    "code_command",
    "code_format",
    "code_sockopt",
    "debug",
    "verbose",
    "speed",
    "define",
    "non_fatal",
    "init_scripts",
];

/// Options of upstream's wire mode and plug-ins.
const UNSUPPORTED: &[&str] = &[
    "wire_client",
    "wire_server",
    "wire_server_ip",
    "wire_server_at",
    "wire_server_port",
    "wire_client_dev",
    "wire_server_dev",
    "so_filename",
    "so_flags",
    "psp_udp_port",
    "dry_run",
    "is_anyip",
];

impl Config {
    /// The settings of a script.
    ///
    /// # Errors
    /// An option that is not known, or a value that it does not take, with its place.
    pub(crate) fn new(
        source: &Source,
        own: &[OptionLine],
        command_line: &[(String, Option<String>)],
    ) -> Result<Self, ScriptError> {
        let mut config = Config::default();
        for line in own {
            config.set(&line.name, line.value.as_deref()).map_err(|message| {
                let error = ScriptError::new(source, line.span, message, "this option");
                error.with_help("options are set for the whole script, before its first event")
            })?;
        }
        for (name, value) in command_line {
            config.set(name, value.as_deref()).map_err(|message| {
                ScriptError::new(
                    source,
                    Default::default(),
                    format!("on the command line: {message}"),
                    "",
                )
            })?;
        }
        Ok(config)
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        let text = || value.ok_or_else(|| format!("the option `--{name}` needs a value"));
        let number = |max: i64| -> Result<i64, String> {
            let parsed = text()?.parse::<i64>().ok().filter(|n| (0..=max).contains(n));
            parsed.ok_or_else(|| format!("the option `--{name}` takes a number from 0 to {max}"))
        };
        match name {
            "local_ip" => self.addresses.local = address(name, text()?)?,
            "gateway_ip" => self.addresses.gateway = address(name, text()?)?,
            "remote_ip" => {
                let (ip, prefix) = match text()?.split_once('/') {
                    Some((ip, prefix)) => (ip, Some(prefix)),
                    None => (text()?, None),
                };
                self.addresses.remote = address(name, ip)?;
                if let Some(prefix) = prefix {
                    let max = if self.addresses.remote.is_ipv4() { 32 } else { 128 };
                    let parsed = prefix.parse().ok().filter(|p| *p <= max);
                    self.addresses.remote_prefix =
                        parsed.ok_or(format!("`{prefix}` is no prefix length"))?;
                }
            }
            "netmask_ip" => match address(name, text()?)? {
                IpAddr::V4(mask)
                    if u32::from(mask).leading_ones() + u32::from(mask).trailing_zeros() >= 32 =>
                {
                    self.addresses.prefix = u32::from(mask).leading_ones() as u8;
                }
                _ => return Err("this is no netmask".into()),
            },
            "ip_version" => match text()? {
                "ipv4" => {}
                "ipv4-mapped-ipv6" | "ipv6" => {
                    return Err(format!("`{}` is not supported yet: only ipv4", text()?));
                }
                _ => return Err("IP versions are ipv4, ipv4-mapped-ipv6 and ipv6".into()),
            },
            "bind_port" => self.bind_port = number(65_535)? as u16,
            "connect_port" => self.connect_port = number(65_535)? as u16,
            "mtu" => self.addresses.mtu = number(65_535)? as u32,
            "mss" => self.mss = number(65_535)? as u16,
            "tolerance_usecs" => self.tolerance_ns = number(1_000_000_000_000)? * 1000,
            "tolerance_percent" => {
                let parsed = text()?.parse::<f64>().ok().filter(|p| (0.0..=1e6).contains(p));
                let percent = parsed.ok_or(format!("the option `--{name}` takes a percentage"))?;
                self.tolerance_millipercent = (percent * 1000.0) as i64;
            }
            "tcp_ts_tick_usecs" => self.tcp_ts_tick_usecs = number(1_000_000)?,
            "tcp_ts_ecr_scaled" => self.tcp_ts_ecr_scaled = true,
            "strict_segments" => self.strict_segments = true,
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ if UNSUPPORTED.contains(&name) => {
                return Err(format!("the option `--{name}` is not supported"));
            }
            _ => return Err(format!("there is no option `--{name}`")),
        }
        Ok(())
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

fn address(option: &str, text: &str) -> Result<IpAddr, String> {
    let parsed =
        text.parse().map_err(|_| format!("the option `--{option}` takes an IP address"))?;
    match parsed {
        IpAddr::V6(_) => Err("IPv6 addresses are not supported yet".into()),
        v4 => Ok(v4),
    }
}
