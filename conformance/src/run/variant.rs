//! The three ways in which upstream's runner runs a script, and what it gives the script in each.
//!
//! A variant is a set of command-line options and defines: like all of the command line they win over the script's own.
//! A run without a variant leaves the addresses to the script.

use crate::results::Variant;
use crate::script::Source;

const IPV4_OPTIONS: &[(&str, &str)] = &[
    ("local_ip", "192.168.0.1"),
    ("gateway_ip", "192.168.0.1"),
    ("netmask_ip", "255.255.0.0"),
    ("remote_ip", "192.0.2.1"),
];

const IPV6_OPTIONS: &[(&str, &str)] = &[
    ("mtu", "1520"),
    ("local_ip", "fd3d:a0b:17d6::1"),
    ("gateway_ip", "fd3d:a0b:17d6:8888::1"),
    ("remote_ip", "fd3d:fa7b:d17d::1"),
];

const IPV4_DEFINES: &[(&str, &str)] = &[
    ("TFO_COOKIE", "3021b9d889017eeb"),
    ("TFO_COOKIE_ZERO", "b7c12350a90dc8f5"),
    ("CODE", "host_unreachable"),
    ("CMSG_LEVEL_IP", "SOL_IP"),
    ("CMSG_TYPE_RECVERR", "IP_RECVERR"),
];

const IPV4_MAPPED_IPV6_DEFINES: &[(&str, &str)] = &[
    ("TFO_COOKIE", "3021b9d889017eeb"),
    ("TFO_COOKIE_ZERO", "b7c12350a90dc8f5"),
    ("CODE", "host_unreachable"),
    ("CMSG_LEVEL_IP", "SOL_IPV6"),
    ("CMSG_TYPE_RECVERR", "IPV6_RECVERR"),
];

const IPV6_DEFINES: &[(&str, &str)] = &[
    ("TFO_COOKIE", "c1d1e9742a47a9bc"),
    ("TFO_COOKIE_ZERO", "82af1a8f9a205c34"),
    ("CMSG_LEVEL_IP", "SOL_IPV6"),
    ("CMSG_TYPE_RECVERR", "IPV6_RECVERR"),
];

/// The options that the runner passes, `--ip_version` apart.
pub(crate) fn options(variant: Variant) -> &'static [(&'static str, &'static str)] {
    match variant {
        Variant::Ipv4 | Variant::Ipv4MappedIpv6 => IPV4_OPTIONS,
        Variant::Ipv6 => IPV6_OPTIONS,
        Variant::None => &[],
    }
}

/// The names that the runner defines.
pub(crate) fn defines(variant: Variant) -> &'static [(&'static str, &'static str)] {
    match variant {
        Variant::Ipv4 | Variant::None => IPV4_DEFINES,
        Variant::Ipv4MappedIpv6 => IPV4_MAPPED_IPV6_DEFINES,
        Variant::Ipv6 => IPV6_DEFINES,
    }
}

/// Whether a script takes part in a variant: a name that ends in `v4` or `v6` is for that family alone.
pub fn applies(variant: Variant, id: &str) -> bool {
    let stem = id.strip_suffix(".pkt").unwrap_or(id);
    match variant {
        Variant::Ipv4 | Variant::Ipv4MappedIpv6 => !stem.ends_with("v6"),
        Variant::Ipv6 => !stem.ends_with("v4"),
        Variant::None => true,
    }
}

/// The variant that a script names itself by an `--ip_version` line; the last such line counts.
pub(crate) fn of_script(source: &Source) -> Variant {
    let mut named =
        source.text().lines().filter_map(|line| line.trim().strip_prefix("--ip_version="));
    named.next_back().and_then(|name| from_name(name.trim())).unwrap_or(Variant::Ipv4)
}

/// The variant of a value of `--ip_version`.
pub(crate) fn from_name(name: &str) -> Option<Variant> {
    [Variant::Ipv4, Variant::Ipv4MappedIpv6, Variant::Ipv6].into_iter().find(|v| v.word() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_the_family() {
        let of =
            |id| [Variant::Ipv4, Variant::Ipv4MappedIpv6, Variant::Ipv6].map(|v| applies(v, id));
        assert_eq!(of("mtu_probe/basic-v4.pkt"), [true, true, false]);
        assert_eq!(of("mtu_probe/basic-v6.pkt"), [false, false, true]);
        assert_eq!(of("sack/shift.pkt"), [true, true, true]);
    }

    #[test]
    fn a_script_may_name_its_version() {
        let of = |text| of_script(&Source::new("t.pkt", text));
        assert_eq!(of("// note\n--ip_version=ipv6\n0 socket"), Variant::Ipv6);
        assert_eq!(of("0 socket"), Variant::Ipv4);
    }
}
