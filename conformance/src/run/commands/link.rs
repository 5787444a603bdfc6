//! `tc qdisc` and `ethtool -K`.

use super::CommandError;
use super::programs::not_supported;
use crate::target::{Admin, Qdisc, Target};

/// `tc qdisc add|replace|change|del dev X root [KIND [limit N]]`.
pub(super) fn tc(target: &mut dyn Target, args: &[&str]) -> Result<i32, CommandError> {
    let refused = || not_supported("tc", args);
    let qdisc = match args {
        ["qdisc", "del" | "delete", "dev", _, "root"] => Qdisc::Default,
        ["qdisc", "add" | "replace" | "change", "dev", _, "root", kind, rest @ ..] => {
            let limit = match rest {
                [] => None,
                ["limit", n] => Some(n.parse().map_err(|_| refused())?),
                _ => return Err(refused()),
            };
            match (*kind, limit) {
                ("pfifo", limit) => Qdisc::Pfifo { limit },
                ("pfifo_fast", None) => Qdisc::Default,
                ("fq", limit) => Qdisc::Fq { limit },
                ("fq_codel", limit) => Qdisc::FqCodel { limit },
                _ => return Err(refused()),
            }
        }
        _ => return Err(refused()),
    };
    target.administrate(&Admin::Qdisc(qdisc))?;
    Ok(0)
}

/// `ethtool -K DEV FEATURE on|off ...`.
pub(super) fn ethtool(target: &mut dyn Target, args: &[&str]) -> Result<i32, CommandError> {
    let ["-K" | "--features" | "--offload", _, features @ ..] = args else {
        return Err(not_supported("ethtool", args));
    };
    let (pairs, odd) = features.as_chunks::<2>();
    if pairs.is_empty() || !odd.is_empty() {
        return Err(not_supported("ethtool", args));
    }
    for [feature, value] in pairs {
        let on = match *value {
            "on" => true,
            "off" => false,
            _ => return Err(not_supported("ethtool", args)),
        };
        target.administrate(&Admin::Feature { name: (*feature).to_string(), on })?;
    }
    Ok(0)
}
