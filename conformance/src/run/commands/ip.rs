//! `ip route|addr|link|neigh|tcp_metrics`.

use std::net::IpAddr;

use super::CommandError;
use super::programs::not_supported;
use crate::target::{Admin, Refusal, RouteVerb, Target};

/// What ip(8) exits with when the kernel refuses; a shell goes on, and what it said is noted.
const REFUSED: i32 = 2;

pub(super) fn run(
    target: &mut dyn Target,
    args: &[&str],
    notes: &mut Vec<String>,
) -> Result<i32, CommandError> {
    let (v6, args) = match args {
        ["-4", rest @ ..] => (Some(false), rest),
        ["-6", rest @ ..] => (Some(true), rest),
        all => (None, all),
    };
    let what = match args {
        ["tcp_metrics" | "tcpmetrics", "flush", ..] => Admin::FlushTcpMetrics,
        ["route" | "r", verb, rest @ ..] => route(verb, rest, v6)?,
        ["addr" | "address" | "a", verb @ ("add" | "del"), address, rest @ ..] => {
            let (address, prefix) = prefix(address)?;
            match rest {
                [] | ["dev", _] | ["dev", _, "nodad"] | ["nodad", "dev", _] => {}
                _ => return Err(not_supported("ip", args)),
            }
            Admin::Address { add: *verb == "add", address, prefix }
        }
        ["link" | "l", "set", "dev", _, rest @ ..] | ["link" | "l", "set", _, rest @ ..] => {
            link(rest)?
        }
        ["neigh" | "neighbor" | "n", verb, rest @ ..] => neigh(verb, rest)?,
        _ => return Err(not_supported("ip", args)),
    };
    match target.administrate(&what) {
        Ok(()) => Ok(0),
        Err(Refusal::Invalid(why)) => {
            notes.push(format!("ip: {why}"));
            Ok(REFUSED)
        }
        Err(other) => Err(other.into()),
    }
}

/// `ip neigh add|replace|del ADDRESS [lladdr MAC] [dev X] [nud permanent]`.
fn neigh(verb: &str, args: &[&str]) -> Result<Admin, CommandError> {
    let refused = || not_supported(&format!("ip neigh {verb}"), args);
    let Some((address, rest)) = args.split_first() else { return Err(refused()) };
    let address = prefix(address)?.0;
    let mut lladdr = None;
    for pair in rest.chunks(2) {
        match pair {
            ["lladdr", mac] => lladdr = Some(hardware_address(mac)?),
            ["dev", _] | ["nud", "permanent"] => {}
            _ => return Err(refused()),
        }
    }
    match (verb, lladdr) {
        ("add" | "replace", Some(_)) => Ok(Admin::Neighbour { address, lladdr }),
        ("del" | "delete", _) => Ok(Admin::Neighbour { address, lladdr: None }),
        _ => Err(refused()),
    }
}

fn hardware_address(text: &str) -> Result<[u8; 6], CommandError> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| CommandError::invalid(format!("`{text}` is no hardware address")))
}

fn prefix(text: &str) -> Result<(IpAddr, u8), CommandError> {
    let invalid = || CommandError::invalid(format!("`{text}` is no address or prefix"));
    let (ip, len) = text.split_once('/').map_or((text, None), |(ip, len)| (ip, Some(len)));
    let ip: IpAddr = ip.parse().map_err(|_| invalid())?;
    let max = if ip.is_ipv4() { 32 } else { 128 };
    let len = match len {
        None => max,
        Some(len) => len.parse().ok().filter(|l| *l <= max).ok_or_else(invalid)?,
    };
    Ok((ip, len))
}

fn route(verb: &str, args: &[&str], v6: Option<bool>) -> Result<Admin, CommandError> {
    let verb = match verb {
        "add" => RouteVerb::Add,
        "replace" => RouteVerb::Replace,
        "change" => RouteVerb::Change,
        "del" | "delete" => RouteVerb::Delete,
        _ => return Err(CommandError::unsupported(format!("`ip route {verb}` is not supported"))),
    };
    let Some((to, mut rest)) = args.split_first() else {
        return Err(CommandError::invalid("`ip route` needs a prefix"));
    };
    let to = if *to == "default" { None } else { Some(prefix(to)?) };
    if let (Some((ip, _)), Some(v6)) = (to, v6)
        && ip.is_ipv6() != v6
    {
        return Err(CommandError::invalid(format!("{ip} is not of the family asked for")));
    }
    let mut via = None;
    let mut metrics = Vec::new();
    loop {
        match rest {
            [] => return Ok(Admin::Route { verb, to, via, metrics }),
            ["via", next, more @ ..] => {
                via = Some(prefix(next)?.0);
                rest = more;
            }
            // One interface is all there is.
            ["dev", _, more @ ..] => rest = more,
            [name, "lock", value, more @ ..] => {
                metrics.push((format!("{name} lock"), (*value).to_string()));
                rest = more;
            }
            [name, value, more @ ..] => {
                metrics.push(((*name).to_string(), (*value).to_string()));
                rest = more;
            }
            [name] => {
                return Err(CommandError::invalid(format!("`{name}` of `ip route` needs a value")));
            }
        }
    }
}

fn link(args: &[&str]) -> Result<Admin, CommandError> {
    match args {
        ["up"] => Ok(Admin::LinkUp(true)),
        ["down"] => Ok(Admin::LinkUp(false)),
        ["mtu", mtu] => match mtu.parse() {
            Ok(mtu) => Ok(Admin::LinkMtu(mtu)),
            Err(_) => Err(CommandError::invalid(format!("`{mtu}` is no MTU"))),
        },
        _ => Err(not_supported("ip link set ...", args)),
    }
}
