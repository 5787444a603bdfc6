//! The hosts of a scenario: who has which interface, address and route, and how that is set up.

use std::collections::BTreeMap;

use conformance::capture::sysctl_text;
use host_sys::Clock;

use super::LabError;
use super::programs::run;
use super::scenario::{Scenario, Topology};

/// What a host has to do in the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is captured.
    Host,
    /// Its programs talk with the host.
    Peer,
    /// Between host and peer, or beyond the captured router.
    Other,
}

/// An interface and its addresses.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) mac: String,
    pub(super) mtu: u32,
    pub(super) addresses: Vec<String>,
    /// The link that it is an end of.
    pub(super) link: usize,
}

/// A host.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) role: Role,
    pub(super) interfaces: Vec<Interface>,
    /// Destination and gateway.
    pub(super) routes: Vec<(String, String)>,
    pub(super) sysctls: BTreeMap<String, toml::Value>,
    pub(super) ipv6: bool,
    pub(super) offloads: Vec<String>,
}

/// The hosts of a scenario, the captured one first. Link 0 is the one that `eth0` of the captured
/// host is on.
pub(super) fn nodes(s: &Scenario) -> Vec<Node> {
    let near = |last: &str| own(s.ipv6, &format!("10.9.0.{last}/24"), &format!("fd09::{last}/64"));
    let beyond =
        |last: &str| own(s.ipv6, &format!("10.9.1.{last}/24"), &format!("fd09:1::{last}/64"));
    let given = |own: Vec<String>, other: &[String]| {
        if other.is_empty() { own } else { other.to_vec() }
    };
    let eth = |n: usize, mac: u8, mtu: u32, addresses: Vec<String>, link: usize| Interface {
        name: format!("eth{n}"),
        mac: format!("02:4e:50:00:09:{mac:02x}"),
        mtu,
        addresses,
        link,
    };
    let via = |n: u8| own_routes(s.ipv6, n);
    let node = |role, interfaces, routes, sysctls: &BTreeMap<String, toml::Value>| Node {
        role,
        interfaces,
        routes,
        sysctls: sysctls.clone(),
        ipv6: s.ipv6,
        offloads: if role == Role::Host { s.offloads.clone() } else { Vec::new() },
    };
    let none = BTreeMap::new();
    let host_addresses = |usual: &str| given(near(usual), &s.addresses);
    let peer_addresses = |usual: Vec<String>| given(usual, &s.peer_addresses);
    match s.topology {
        Topology::Pair => vec![
            node(Role::Host, vec![eth(0, 1, s.mtu, host_addresses("1"), 0)], vec![], &s.sysctl),
            node(
                Role::Peer,
                vec![eth(0, 2, s.mtu, peer_addresses(near("2")), 0)],
                vec![],
                &s.peer_sysctl,
            ),
        ],
        Topology::BehindRouter => vec![
            node(Role::Host, vec![eth(0, 1, s.mtu, host_addresses("1"), 0)], via(0), &s.sysctl),
            node(
                Role::Peer,
                vec![eth(0, 2, s.mtu, peer_addresses(beyond("2")), 1)],
                via(1),
                &s.peer_sysctl,
            ),
            node(
                Role::Other,
                vec![
                    eth(0, 0xfe, s.mtu, near("254"), 0),
                    eth(1, 0xfd, s.far_mtu, beyond("254"), 1),
                ],
                vec![],
                &forwarding(&none, s.ipv6),
            ),
        ],
        Topology::Router => vec![
            node(
                Role::Host,
                vec![
                    eth(0, 0xfe, s.mtu, host_addresses("254"), 0),
                    eth(1, 0xfd, s.far_mtu, beyond("254"), 1),
                ],
                vec![],
                &forwarding(&s.sysctl, s.ipv6),
            ),
            node(
                Role::Peer,
                vec![eth(0, 2, s.mtu, peer_addresses(near("2")), 0)],
                via(0),
                &s.peer_sysctl,
            ),
            node(Role::Other, vec![eth(0, 3, s.mtu, beyond("2"), 1)], via(1), &none),
        ],
    }
}

fn own(ipv6: bool, v4: &str, v6: &str) -> Vec<String> {
    let mut all = vec![v4.to_owned()];
    all.extend(ipv6.then(|| v6.to_owned()));
    all
}

/// Default routes by the router on net `n`.
fn own_routes(ipv6: bool, n: u8) -> Vec<(String, String)> {
    let mut all = vec![("default".to_owned(), format!("10.9.{n}.254"))];
    let v6 = if n == 0 { "fd09::254".to_owned() } else { format!("fd09:{n}::254") };
    all.extend(ipv6.then(|| ("default".to_owned(), v6)));
    all
}

fn forwarding(
    sysctls: &BTreeMap<String, toml::Value>,
    ipv6: bool,
) -> BTreeMap<String, toml::Value> {
    let mut all = sysctls.clone();
    let on = || toml::Value::String("1".to_owned());
    all.entry("net.ipv4.ip_forward".to_owned()).or_insert_with(on);
    if ipv6 {
        all.entry("net.ipv6.conf.all.forwarding".to_owned()).or_insert_with(on);
    }
    all
}

impl Node {
    /// Sets the host up, in its namespace, whose devices are there. Gives the time at which the
    /// interfaces came up.
    pub(super) fn set_up(&self) -> Result<u64, LabError> {
        run("ip link set lo up")?;
        let congctl = if cubic() { "" } else { " congctl cubic" };
        for (name, value) in &self.sysctls {
            write_sysctl(name, &sysctl_text(value))?;
        }
        for i in &self.interfaces {
            let off = if self.ipv6 { "0" } else { "1" };
            write_sysctl(&format!("net.ipv6.conf.{}.disable_ipv6", i.name), off)?;
            run(&format!("ip link set {} address {} mtu {}", i.name, i.mac, i.mtu))?;
            self.set_offloads(&i.name)?;
        }
        let up_ns = host_sys::now_ns(Clock::Realtime);
        for i in &self.interfaces {
            run(&format!("ip link set {} up", i.name))?;
            i.addresses.iter().try_for_each(|a| add_address(&i.name, a, congctl))?;
        }
        for (to, via) in &self.routes {
            run(&format!("ip route add {to} via {via}{congctl}"))?;
        }
        Ok(up_ns)
    }

    /// Offloads are off but for those of the scenario: frames are captured as they are on a wire.
    fn set_offloads(&self, device: &str) -> Result<(), LabError> {
        for name in ["rx", "tx", "sg", "tso", "gso", "gro"] {
            let word = if self.offloads.iter().any(|o| o == name) { "on" } else { "off" };
            // A device without the offload has it off.
            let done = run(&format!("ethtool -K {device} {name} {word}"));
            if word == "on" {
                done?;
            }
        }
        Ok(())
    }
}

/// An address whose network's route asks for the congestion control of captures.
fn add_address(device: &str, address: &str, congctl: &str) -> Result<(), LabError> {
    let v6 = address.contains(':');
    let nodad = if v6 { " nodad" } else { "" };
    run(&format!("ip addr add {address} dev {device}{nodad}"))?;
    if congctl.is_empty() {
        return Ok(());
    }
    let (ip, prefix) = address.split_once('/').unwrap_or((address, ""));
    let Some(network) = network(ip, prefix) else { return Ok(()) };
    let source = if v6 { String::new() } else { format!(" scope link src {ip}") };
    run(&format!("ip route replace {network} dev {device} proto kernel{source}{congctl}"))
}

/// `network/prefix` of an address, if it is not the host alone.
fn network(ip: &str, prefix: &str) -> Option<String> {
    let prefix: u8 = prefix.parse().ok()?;
    Some(match ip.parse().ok()? {
        std::net::IpAddr::V4(ip) if prefix < 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            format!("{}/{prefix}", std::net::Ipv4Addr::from(ip.to_bits() & mask))
        }
        std::net::IpAddr::V6(ip) if prefix < 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            format!("{}/{prefix}", std::net::Ipv6Addr::from(ip.to_bits() & mask))
        }
        _ => return None,
    })
}

/// Makes cubic the namespace's congestion control, as everywhere; whether that was allowed. Where
/// it is not, routes ask for it.
fn cubic() -> bool {
    const NAME: &str = "net.ipv4.tcp_congestion_control";
    read_sysctl(NAME).as_deref() == Some("cubic") || write_sysctl(NAME, "cubic").is_ok()
}

fn file(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

/// A sysctl of the calling thread's namespace, else of the host.
pub(super) fn read_sysctl(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file(name)).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn write_sysctl(name: &str, value: &str) -> Result<(), LabError> {
    std::fs::write(file(name), value).map_err(LabError::host(format!("sysctl {name}={value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topologies_have_their_hosts_on_the_same_links() {
        let mut s = Scenario::named("a", "b");
        for (topology, hosts) in
            [(Topology::Pair, 2), (Topology::BehindRouter, 3), (Topology::Router, 3)]
        {
            s.topology = topology;
            let nodes = nodes(&s);
            assert_eq!(nodes.len(), hosts);
            assert_eq!((nodes[0].role, nodes[1].role), (Role::Host, Role::Peer));
            assert_eq!(nodes[0].interfaces[0].link, 0);
            for link in 0..hosts - 1 {
                let ends = nodes.iter().flat_map(|n| &n.interfaces).filter(|i| i.link == link);
                assert_eq!(ends.count(), 2, "{topology:?} link {link}");
            }
        }
    }

    #[test]
    fn networks() {
        assert_eq!(network("10.9.3.7", "24").as_deref(), Some("10.9.3.0/24"));
        assert_eq!(network("fd09::7", "64").as_deref(), Some("fd09::/64"));
        assert_eq!(network("10.9.3.7", "32"), None);
        assert_eq!(network("10.9.3.7", "x"), None);
    }
}
