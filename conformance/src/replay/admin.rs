//! What an administrator did while a capture ran: `ip` and `sysctl` as far as the reference
//! does them.

use std::net::{IpAddr, Ipv4Addr};

use reference_stack::{AdminError, Kernel, RouteSpec, RouteVerb};

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admin {
    /// `ip addr add|del ADDR/LEN dev DEV`.
    Addr { add: bool, addr: Ipv4Addr, len: u8, dev: String },
    /// `ip link set DEV up|down`.
    Link { dev: String, up: bool },
    /// `ip link set DEV mtu N`.
    Mtu { dev: String, mtu: u32 },
    /// `ip route add|replace|del PREFIX [via GATEWAY]`.
    Route { verb: RouteVerb, to: Option<(Ipv4Addr, u8)>, via: Option<Ipv4Addr> },
    /// `sysctl -w NAME=VALUE`.
    Sysctl { name: String, value: String },
}

impl Admin {
    /// Reads a command line.
    ///
    /// # Errors
    /// What is not understood of it.
    pub(crate) fn parse(run: &str) -> Result<Self, String> {
        let words: Vec<&str> = run.split_whitespace().collect();
        let unknown = || {
            format!(
                "{run:?} is not one of: ip addr add|del, ip link set, ip route add|replace|del, sysctl -w"
            )
        };
        match words.as_slice() {
            ["ip", "addr" | "address" | "a", verb @ ("add" | "del"), prefix, rest @ ..] => {
                let (addr, len) = prefix4(prefix)?;
                let dev = after(rest, "dev").ok_or("`dev NAME` is missing")?.to_owned();
                Ok(Self::Addr { add: *verb == "add", addr, len, dev })
            }
            ["ip", "link", "set", rest @ ..] => {
                let rest = rest.strip_prefix(&["dev"]).unwrap_or(rest);
                match rest {
                    [dev, "up"] => Ok(Self::Link { dev: (*dev).to_owned(), up: true }),
                    [dev, "down"] => Ok(Self::Link { dev: (*dev).to_owned(), up: false }),
                    [dev, "mtu", n] => {
                        let mtu = n.parse().map_err(|_| format!("{n:?} is no MTU"))?;
                        Ok(Self::Mtu { dev: (*dev).to_owned(), mtu })
                    }
                    _ => Err(unknown()),
                }
            }
            ["ip", "route" | "r", verb, to, rest @ ..] => {
                let verb = match *verb {
                    "add" => RouteVerb::Add,
                    "replace" | "change" => RouteVerb::Replace,
                    "del" => RouteVerb::Del,
                    _ => return Err(unknown()),
                };
                let to = if *to == "default" { None } else { Some(prefix4(to)?) };
                let via = match after(rest, "via") {
                    Some(v) => Some(v.parse().map_err(|_| format!("{v:?} is no IPv4 address"))?),
                    None => None,
                };
                Ok(Self::Route { verb, to, via })
            }
            ["sysctl", rest @ ..] => {
                let text = rest.strip_prefix(&["-w"]).unwrap_or(rest).join(" ");
                let (name, value) = text.split_once('=').ok_or("sysctl needs NAME=VALUE")?;
                Ok(Self::Sysctl { name: name.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(unknown()),
        }
    }

    /// Does it.
    pub(crate) fn run(&self, kernel: &mut Kernel) -> Result<(), AdminError> {
        match self {
            Self::Addr { add: true, addr, len, dev } => kernel.ip_addr_add(dev, *addr, *len),
            Self::Addr { add: false, addr, len, dev } => kernel.ip_addr_del(dev, *addr, *len),
            Self::Link { dev, up } => kernel.ip_link_set_up(dev, *up),
            Self::Mtu { dev, mtu } => kernel.ip_link_set_mtu(dev, *mtu),
            Self::Route { verb, to, via } => {
                let spec = RouteSpec { dst: *to, via: *via, ..RouteSpec::default() };
                kernel.ip_route(*verb, &spec)
            }
            Self::Sysctl { name, value } => Ok(kernel.sysctl_set(name, value)?),
        }
    }
}

/// The word after another.
fn after<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let at = words.iter().position(|w| *w == name)?;
    words.get(at + 1).copied()
}

fn prefix4(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let bad = || format!("{text:?} is no IPv4 prefix");
    let (addr, len) = text.split_once('/').unwrap_or((text, "32"));
    let len: u8 = len.parse().ok().filter(|l| *l <= 32).ok_or_else(bad)?;
    match addr.parse() {
        Ok(IpAddr::V4(a)) => Ok((a, len)),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_or_refused_with_a_reason() {
        let addr = |s: &str| s.parse().unwrap();
        assert_eq!(
            Admin::parse("ip addr add 10.0.2.16/24 dev eth0"),
            Ok(Admin::Addr { add: true, addr: addr("10.0.2.16"), len: 24, dev: "eth0".into() })
        );
        assert_eq!(
            Admin::parse("ip route replace default via 10.0.2.1"),
            Ok(Admin::Route { verb: RouteVerb::Replace, to: None, via: Some(addr("10.0.2.1")) })
        );
        assert_eq!(
            Admin::parse("sysctl -w net.ipv4.tcp_sack=0"),
            Ok(Admin::Sysctl { name: "net.ipv4.tcp_sack".into(), value: "0".into() })
        );
        for bad in ["", "ip", "ip addr add x dev eth0", "ip link set eth0 sideways", "reboot"] {
            assert!(Admin::parse(bad).is_err(), "{bad}");
        }
    }
}
