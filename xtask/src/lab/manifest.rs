//! The manifest of a capture that was made here: DESIGN's format, as `conformance::capture` reads
//! it.

use std::fmt::Write as _;

use super::host::{Node, read_sysctl};
use super::scenario::{Driver, Scenario, Topology};

/// Sysctls whose defaults depend on the machine: they are facts of the host.
const FACTS: [&str; 11] = [
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_default",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_comp_sack_nr",
    "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// What a manifest says that the scenario does not.
pub(super) struct Facts {
    /// Kernel version as `6.18`.
    pub(super) kernel: String,
    pub(super) hz: u32,
    /// Memory of the machine, MiB.
    pub(super) mem_mib: Option<u64>,
    /// Names and values of [`FACTS`].
    pub(super) sysctls: Vec<(String, String)>,
    /// How long the interfaces were up before the first frame, seconds.
    pub(super) up_before_s: f64,
    /// Trace files.
    pub(super) traces: Vec<String>,
    /// Captures, one an interface.
    pub(super) captures: Vec<String>,
    /// Administrator's commands: seconds from the first frame.
    pub(super) events: Vec<(f64, String)>,
}

/// The facts of [`FACTS`] in the calling thread's namespace.
pub(super) fn sysctl_facts() -> Vec<(String, String)> {
    FACTS.iter().filter_map(|n| Some(((*n).to_owned(), read_sysctl(n)?))).collect()
}

/// `6.18` of `6.18.44-...`.
pub(super) fn kernel_version() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split('.');
    Some(format!("{}.{}", numbers.next()?, numbers.next()?))
}

/// `CONFIG_HZ`: what the kernel says of its timers, twice with a pause in between.
pub(super) fn kernel_hz() -> Option<u32> {
    let look = || -> Option<(u64, u64)> {
        let text = std::fs::read_to_string("/proc/timer_list").ok()?;
        let jiffies = text.lines().find_map(|l| l.trim().strip_prefix("jiffies: "))?;
        let now = text.lines().find_map(|l| l.strip_prefix("now at ")?.strip_suffix(" nsecs"))?;
        Some((jiffies.trim().parse().ok()?, now.trim().parse().ok()?))
    };
    let (jiffies, now) = look()?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    let (later, then) = look()?;
    let hz = (later - jiffies) as f64 / ((then - now) as f64 / 1e9);
    // The one that a kernel may be built with.
    [100, 250, 300, 1000].into_iter().min_by_key(|known| (f64::from(*known) - hz).abs() as u64)
}

/// Memory of the machine, MiB.
pub(super) fn mem_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|l| l.strip_prefix("MemTotal:")?.strip_suffix(" kB"))?;
    Some(kib.trim().parse::<u64>().ok()? / 1024)
}

/// A manifest's text.
pub(super) fn text(s: &Scenario, host: &Node, facts: &Facts) -> String {
    let mut t = String::new();
    // Writing to a String cannot fail; `{:?}` of these strings is TOML's quoting.
    let _ = writeln!(t, "description = {:?}", s.about);
    let _ = writeln!(t, "kernel = {:?}\nhz = {}", facts.kernel, facts.hz);
    if let Some(mem_mib) = facts.mem_mib {
        let _ = writeln!(t, "mem_mib = {mem_mib}");
    }
    let _ = writeln!(t, "network = {:?}", network(s));
    let _ = writeln!(t, "strace = {:?}", facts.traces);
    for (i, capture) in host.interfaces.iter().zip(&facts.captures) {
        let driver = if s.driver == Driver::Veth { "veth" } else { "tun" };
        let _ = writeln!(t, "\n[[interface]]\nname = {:?}\ncapture = {capture:?}", i.name);
        let _ = writeln!(t, "mac = {:?}\nmtu = {}", i.mac, i.mtu);
        let _ = writeln!(t, "addresses = {:?}\ndriver = {driver:?}", i.addresses);
        let _ = writeln!(t, "ipv6 = {}\noffloads = {:?}", s.ipv6, offload_names(&s.offloads));
        if s.ipv6 {
            let _ = writeln!(t, "dad = false\nup_before_s = {:.3}", facts.up_before_s);
        }
    }
    for (to, via) in &host.routes {
        let _ = writeln!(t, "\n[[route]]\nto = {to:?}\nvia = {via:?}");
    }
    let _ = writeln!(t, "\n[sysctl]");
    let set = |name: &str| host.sysctls.contains_key(name);
    for (name, value) in facts.sysctls.iter().filter(|f| !set(&f.0)) {
        let _ = writeln!(t, "{name:?} = {value:?}");
    }
    if !set("net.ipv4.tcp_congestion_control") {
        let _ = writeln!(t, "\"net.ipv4.tcp_congestion_control\" = \"cubic\"");
    }
    for (name, value) in &host.sysctls {
        let _ = writeln!(t, "{name:?} = {value}");
    }
    for (at_s, run) in &facts.events {
        let _ = writeln!(t, "\n[[event]]\nat_s = {at_s:.6}\nrun = {run:?}");
    }
    t
}

/// Names that a manifest has for ethtool's.
fn offload_names(offloads: &[String]) -> Vec<&str> {
    let name = |o: &String| match o.as_str() {
        "rx" => Some("rx-csum"),
        "tx" => Some("tx-csum"),
        "tso" => Some("tso"),
        "gso" => Some("gso"),
        "gro" => Some("gro"),
        _ => None,
    };
    offloads.iter().filter_map(name).collect()
}

/// The network in between, in a line.
fn network(s: &Scenario) -> String {
    let mut parts = vec![match s.topology {
        Topology::Pair => "one wire".to_owned(),
        Topology::BehindRouter => format!("a router, whose far link has MTU {}", s.far_mtu),
        Topology::Router => format!("the host routes; its far link has MTU {}", s.far_mtu),
    }];
    if s.delay_ms > 0.0 {
        parts.push(format!("{} ms each way", s.delay_ms));
    }
    if s.rate_mbit > 0.0 {
        parts.push(format!("{} Mbit/s, queue of {} frames", s.rate_mbit, s.queue));
    }
    parts.extend(s.rules.iter().map(ToString::to_string));
    if s.rules.iter().any(|r| matches!(r.which, super::rules::Which::Chance(_))) {
        parts.push(format!("seed {}", s.seed));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::host::nodes;

    #[test]
    fn the_differ_reads_what_is_written() {
        let mut s = Scenario::named("a-name", "it says \"so\"");
        s.topology = Topology::BehindRouter;
        s.ipv6 = true;
        s.delay_ms = 2.5;
        s.offloads = vec!["rx".to_owned(), "tso".to_owned(), "sg".to_owned()];
        s.sysctl.insert("net.ipv4.tcp_sack".to_owned(), toml::Value::Integer(0));
        let facts = Facts {
            kernel: "6.18".to_owned(),
            hz: 250,
            mem_mib: Some(2000),
            sysctls: vec![("net.ipv4.tcp_sack".to_owned(), "1".to_owned())],
            up_before_s: 2.3,
            traces: vec!["a-name.L.strace".to_owned()],
            captures: vec!["a-name.pcap".to_owned()],
            events: vec![(0.5, "ip link set eth0 mtu 1400".to_owned())],
        };
        let text = text(&s, &nodes(&s)[0], &facts);
        let m = conformance::capture::Manifest::parse("m", &text).unwrap();
        assert_eq!((m.description.as_str(), *m.hz.get_ref()), ("it says \"so\"", 250));
        assert_eq!(m.interface[0].offloads, ["rx-csum", "tso"]);
        assert_eq!((m.route.len(), m.event.len(), m.sysctl.len()), (2, 1, 2));
    }
}
