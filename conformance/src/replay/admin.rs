//! What an administrator did while a capture ran: `ip` and `sysctl` as far as the reference
//! does them.

use std::net::IpAddr;

use reference_stack::{AdminError, Kernel, Route6Spec, RouteSpec, RouteVerb};

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admin {
    /// `ip addr add|del ADDR/LEN dev DEV [nodad]`.
    Addr { add: bool, addr: IpAddr, len: u8, dev: String, nodad: bool },
    /// `ip link set DEV up|down`.
    Link { dev: String, up: bool },
    /// `ip link set DEV mtu N`.
    Mtu { dev: String, mtu: u32 },
    /// `ip route add|replace|del PREFIX [via GATEWAY]`.
    Route { verb: RouteVerb, to: Option<(IpAddr, u8)>, via: Option<IpAddr>, dev: Option<String> },
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
        // The addresses say which family is meant.
        let words: Vec<&str> =
            words.into_iter().filter(|w| !matches!(*w, "-4" | "-6" | "-br")).collect();
        match words.as_slice() {
            ["ip", "addr" | "address" | "a", verb @ ("add" | "del"), prefix, rest @ ..] => {
                let (addr, len) = ip_prefix(prefix)?;
                let dev = after(rest, "dev").ok_or("`dev NAME` is missing")?.to_owned();
                let nodad = rest.contains(&"nodad");
                Ok(Self::Addr { add: *verb == "add", addr, len, dev, nodad })
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
                let to = if *to == "default" { None } else { Some(ip_prefix(to)?) };
                let via = match after(rest, "via") {
                    Some(v) => Some(v.parse().map_err(|_| format!("{v:?} is no address"))?),
                    None => None,
                };
                let dev = after(rest, "dev").map(str::to_owned);
                Ok(Self::Route { verb, to, via, dev })
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
            Self::Addr { add, addr: IpAddr::V4(addr), len, dev, .. } => match add {
                true => kernel.ip_addr_add(dev, *addr, *len),
                false => kernel.ip_addr_del(dev, *addr, *len),
            },
            Self::Addr { add, addr: IpAddr::V6(addr), len, dev, nodad } => match add {
                true => kernel.ip6_addr_add(dev, *addr, *len, *nodad),
                false => kernel.ip6_addr_del(dev, *addr, *len),
            },
            Self::Link { dev, up } => kernel.ip_link_set_up(dev, *up),
            Self::Mtu { dev, mtu } => kernel.ip_link_set_mtu(dev, *mtu),
            Self::Route { verb, to, via, dev } => {
                let six =
                    matches!((to, via), (Some((IpAddr::V6(_), _)), _) | (_, Some(IpAddr::V6(_))));
                let dev = dev.clone();
                if six {
                    let dst = to.and_then(|(a, len)| v6(a).map(|a| (a, len)));
                    let via = via.and_then(v6);
                    return kernel
                        .ip6_route(*verb, &Route6Spec { dst, via, dev, ..Default::default() });
                }
                let dst = to.and_then(|(a, len)| v4(a).map(|a| (a, len)));
                let via = via.and_then(v4);
                kernel.ip_route(*verb, &RouteSpec { dst, via, dev, ..RouteSpec::default() })
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

fn v4(a: IpAddr) -> Option<std::net::Ipv4Addr> {
    match a {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(_) => None,
    }
}

fn v6(a: IpAddr) -> Option<std::net::Ipv6Addr> {
    match a {
        IpAddr::V6(a) => Some(a),
        IpAddr::V4(_) => None,
    }
}

/// `ADDRESS/LENGTH`; an address alone is a host.
fn ip_prefix(text: &str) -> Result<(IpAddr, u8), String> {
    let bad = || format!("{text:?} is no prefix");
    let (addr, len) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let addr: IpAddr = addr.parse().map_err(|_| bad())?;
    let most = if addr.is_ipv4() { 32 } else { 128 };
    let len = len.map_or(Ok(most), |l| l.parse().map_err(|_| bad()))?;
    if len > most { Err(bad()) } else { Ok((addr, len)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_or_refused_with_a_reason() {
        let addr = |s: &str| s.parse().unwrap();
        assert_eq!(
            Admin::parse("ip addr add 10.0.2.16/24 dev eth0"),
            Ok(Admin::Addr {
                add: true,
                addr: addr("10.0.2.16"),
                len: 24,
                dev: "eth0".into(),
                nodad: false
            })
        );
        assert_eq!(
            Admin::parse("ip route replace default via 10.0.2.1"),
            Ok(Admin::Route {
                verb: RouteVerb::Replace,
                to: None,
                via: Some(addr("10.0.2.1")),
                dev: None
            })
        );
        assert_eq!(
            Admin::parse("sysctl -w net.ipv4.tcp_sack=0"),
            Ok(Admin::Sysctl { name: "net.ipv4.tcp_sack".into(), value: "0".into() })
        );
        assert_eq!(
            Admin::parse("ip -6 addr del fd00::16/64 dev eth0"),
            Ok(Admin::Addr {
                add: false,
                addr: addr("fd00::16"),
                len: 64,
                dev: "eth0".into(),
                nodad: false
            })
        );
        for bad in ["", "ip", "ip addr add x dev eth0", "ip link set eth0 sideways", "reboot"] {
            assert!(Admin::parse(bad).is_err(), "{bad}");
        }
    }
}
