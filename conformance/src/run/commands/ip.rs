//! `ip route|addr|link|tcp_metrics`.

use std::net::IpAddr;

use super::{CommandError, flush_metrics};
use crate::target::{Admin, RouteVerb, Target};

pub(super) fn run(target: &mut dyn Target, args: &[&str]) -> Result<(), CommandError> {
    let args = match args {
        ["-4", rest @ ..] => rest,
        ["-6", ..] => return Err(CommandError::Unsupported("`ip -6` is not supported yet".into())),
        all => all,
    };
    let what = match args {
        ["tcp_metrics", "flush", ..] => return Ok(flush_metrics(target)?),
        ["route" | "r", verb, rest @ ..] => route(verb, rest)?,
        ["addr" | "address" | "a", verb @ ("add" | "del"), address, ..] => {
            let (address, prefix) = prefix(address)?;
            Admin::Address { add: *verb == "add", address, prefix }
        }
        ["link" | "l", "set", "dev", _, rest @ ..] | ["link" | "l", "set", _, rest @ ..] => {
            link(rest)?
        }
        _ => {
            return Err(CommandError::Unsupported(format!(
                "`ip {}` is not supported",
                args.join(" ")
            )));
        }
    };
    Ok(target.administrate(&what)?)
}

fn prefix(text: &str) -> Result<(IpAddr, u8), CommandError> {
    let invalid = || CommandError::Invalid(format!("`{text}` is no address or prefix"));
    let (ip, len) = text.split_once('/').map_or((text, None), |(ip, len)| (ip, Some(len)));
    let ip: IpAddr = ip.parse().map_err(|_| invalid())?;
    let max = if ip.is_ipv4() { 32 } else { 128 };
    let len = match len {
        None => max,
        Some(len) => len.parse().ok().filter(|l| *l <= max).ok_or_else(invalid)?,
    };
    Ok((ip, len))
}

fn route(verb: &str, args: &[&str]) -> Result<Admin, CommandError> {
    let verb = match verb {
        "add" => RouteVerb::Add,
        "replace" => RouteVerb::Replace,
        "change" => RouteVerb::Change,
        "del" | "delete" => RouteVerb::Delete,
        _ => return Err(CommandError::Unsupported(format!("`ip route {verb}` is not supported"))),
    };
    let Some((to, mut rest)) = args.split_first() else {
        return Err(CommandError::Invalid("`ip route` needs a prefix".into()));
    };
    let to = if *to == "default" { None } else { Some(prefix(to)?) };
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
                return Err(CommandError::Invalid(format!("`{name}` of `ip route` needs a value")));
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
            Err(_) => Err(CommandError::Invalid(format!("`{mtu}` is no MTU"))),
        },
        _ => Err(CommandError::Unsupported(format!(
            "`ip link set ... {}` is not supported",
            args.join(" ")
        ))),
    }
}
