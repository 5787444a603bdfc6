//! `/proc/net/snmp` and `/proc/net/netstat` (Linux `net/ipv4/proc.c`).

use crate::net::Net;
use crate::net::ipv4::mib::{Icmp, Ip, IpExt, Tcp, TcpExt, Udp};

fn lines(prefix: &str, names: &[&str], values: &[u64]) -> String {
    let values: Vec<String> = values.iter().map(u64::to_string).collect();
    format!("{prefix}: {}\n{prefix}: {}\n", names.join(" "), values.join(" "))
}

/// A group with constants in front of its counters.
fn lines_with(
    prefix: &str,
    constants: &[(&str, i64)],
    names: &[&str],
    values: &[u64],
) -> String {
    let head: Vec<&str> = constants.iter().map(|c| c.0).chain(names.iter().copied()).collect();
    let body: Vec<String> =
        constants.iter().map(|c| c.1.to_string()).chain(values.iter().map(u64::to_string)).collect();
    format!("{prefix}: {}\n{prefix}: {}\n", head.join(" "), body.join(" "))
}

/// `/proc/net/snmp`: Ip, Icmp, Tcp, Udp.
pub(super) fn snmp(net: &Net) -> String {
    let mib = &net.mib;
    // 1: forwarding, 2: not.
    let forwarding = if net.sysctl.ip_forward != 0 { 1 } else { 2 };
    let ip = [("Forwarding", forwarding), ("DefaultTTL", net.sysctl.ip_default_ttl)];
    // RtoAlgorithm 1 is "other"; times in milliseconds; -1: no limit of connections.
    let tcp = [("RtoAlgorithm", 1), ("RtoMin", 200), ("RtoMax", 120_000), ("MaxConn", -1)];
    [
        lines_with(Ip::PREFIX, &ip, Ip::NAMES, &mib.ip),
        lines(Icmp::PREFIX, Icmp::NAMES, &mib.icmp),
        lines_with(Tcp::PREFIX, &tcp, Tcp::NAMES, &mib.tcp),
        lines(Udp::PREFIX, Udp::NAMES, &mib.udp),
    ]
    .concat()
}

/// `/proc/net/netstat`: TcpExt, IpExt.
pub(super) fn netstat(net: &Net) -> String {
    [
        lines(TcpExt::PREFIX, TcpExt::NAMES, &net.mib.tcp_ext),
        lines(IpExt::PREFIX, IpExt::NAMES, &net.mib.ip_ext),
    ]
    .concat()
}
