//! The files under /proc/net that the layers below the sockets fill.

use crate::net::Net;
use crate::net::ipv4::arp::arp_seq_show;
use crate::net::ipv4::fib_frontend::ifa_mask;
use crate::net::ipv4::fib_semantics::{FibInfo, RT_TABLE_MAIN};
use crate::net::ipv4::fib_trie::fib_trie_seq_show;
use crate::net::ipv4::mib::{Icmp, Icmp6, Ip, Ip6, IpExt, Tcp, TcpExt, Udp, Udp6};
use crate::net::ipv4::route::RtType;
use crate::net::ipv6::addrconf::if6_seq_show;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// The text of a file that the layers below the sockets fill; `None` if it is none of these.
pub(super) fn net_file(net: &Net, name: &str) -> Option<String> {
    match name {
        "fib_trie" => Some(fib_trie_seq_show(&net.ip.fib.trie)),
        "route" => Some(fib_route_seq_show(net)),
        "arp" => Some(arp_seq_show(net)),
        "dev" => Some(dev_seq_show(net)),
        "snmp" => Some(snmp_seq_show(net)),
        "netstat" => Some(netstat_seq_show(net)),
        "if_inet6" => Some(if6_seq_show(net)),
        "snmp6" => Some(snmp6_seq_show(net)),
        _ => None,
    }
}

/// An address as the kernel prints its bytes: a 32-bit number of the machine.
fn raw(addr: Ipv4Addr) -> u32 {
    u32::from_le_bytes(addr.octets())
}

/// `RTF_*` (`fib_flag_trans`).
fn route_flags(rt_type: RtType, plen: u8, info: &FibInfo) -> u32 {
    const RTF_UP: u32 = 0x1;
    const RTF_GATEWAY: u32 = 0x2;
    const RTF_HOST: u32 = 0x4;
    const RTF_REJECT: u32 = 0x200;
    let mut flags = RTF_UP;
    if matches!(rt_type, RtType::Unreachable | RtType::Prohibit) {
        flags |= RTF_REJECT;
    }
    if info.nh.is_some_and(|nh| nh.gw.is_some()) {
        flags |= RTF_GATEWAY;
    }
    if plen == 32 {
        flags |= RTF_HOST;
    }
    flags
}

fn fib_route_seq_show(net: &Net) -> String {
    let mut out = String::new();
    let head =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    let _ = writeln!(out, "{head:<127}");
    for route in net.ip.fib.trie.routes() {
        let fa = route.alias;
        let shown = !matches!(fa.rt_type, RtType::Broadcast | RtType::Multicast);
        if !shown || fa.tb_id != RT_TABLE_MAIN {
            continue;
        }
        let info = &fa.info;
        let name = info.nh.map_or("*", |nh| &*net.devs[nh.dev].name);
        let gw = info.nh.and_then(|nh| nh.gw).map_or(0, raw);
        let mask = raw(Ipv4Addr::from(ifa_mask(route.plen)));
        let mtu = match info.metrics.advmss {
            0 => 0,
            advmss => advmss + 40,
        };
        let line = format!(
            "{name}\t{:08X}\t{gw:08X}\t{:04X}\t0\t0\t{}\t{mask:08X}\t{mtu}\t{}\t{}",
            raw(route.prefix),
            route_flags(fa.rt_type, route.plen, info),
            info.priority,
            info.metrics.window,
            info.metrics.rtt >> 3,
        );
        let _ = writeln!(out, "{line:<127}");
    }
    out
}

fn dev_seq_show(net: &Net) -> String {
    let mut out = String::from(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs \
         drop fifo colls carrier compressed\n",
    );
    for dev in net.devs.iter() {
        let s = &dev.stats;
        let _ = writeln!(
            out,
            "{:>6}: {:7} {:7} {:4} {:4} {:4} {:5} {:10} {:9} {:8} {:7} {:4} {:4} {:4} {:5} {:7} {:10}",
            dev.name,
            s.rx_bytes,
            s.rx_packets,
            s.rx_errors,
            s.rx_dropped,
            s.rx_fifo_errors,
            s.rx_length_errors + s.rx_over_errors + s.rx_crc_errors + s.rx_frame_errors,
            0,
            s.multicast,
            s.tx_bytes,
            s.tx_packets,
            s.tx_errors,
            s.tx_dropped,
            s.tx_fifo_errors,
            s.collisions,
            s.tx_carrier_errors,
            0,
        );
    }
    out
}

/// Two lines: names, then values; `lead` stands before the table's own.
fn table(out: &mut String, prefix: &str, lead: &[(&str, i64)], names: &[&str], values: &[u64]) {
    let _ = write!(out, "{prefix}:");
    for name in lead.iter().map(|(name, _)| name).chain(names) {
        let _ = write!(out, " {name}");
    }
    let _ = write!(out, "\n{prefix}:");
    for (_, value) in lead {
        let _ = write!(out, " {value}");
    }
    for value in values {
        let _ = write!(out, " {value}");
    }
    out.push('\n');
}

fn snmp_seq_show(net: &Net) -> String {
    let mut out = String::new();
    let (mib, sysctl) = (&net.mib, &net.sysctl);
    let forwarding = if sysctl.ip_forward != 0 { 1 } else { 2 };
    let ip = [("Forwarding", forwarding), ("DefaultTTL", sysctl.ip_default_ttl)];
    table(&mut out, "Ip", &ip, Ip::NAMES, &mib.ip);
    table(&mut out, "Icmp", &[], Icmp::NAMES, &mib.icmp);
    let tcp = [("RtoAlgorithm", 1), ("RtoMin", 200), ("RtoMax", 120_000), ("MaxConn", -1)];
    table(&mut out, "Tcp", &tcp, Tcp::NAMES, &mib.tcp);
    table(&mut out, "Udp", &[], Udp::NAMES, &mib.udp);
    table(&mut out, "UdpLite", &[], Udp::NAMES, &[0; Udp::NAMES.len()]);
    out
}

fn snmp6_seq_show(net: &Net) -> String {
    let mut out = String::new();
    let mib = &net.mib;
    for (prefix, names, cells) in [
        (Ip6::PREFIX, Ip6::NAMES, &mib.ip6[..]),
        (Icmp6::PREFIX, Icmp6::NAMES, &mib.icmp6[..]),
        (Udp6::PREFIX, Udp6::NAMES, &mib.udp6[..]),
    ] {
        for (name, cell) in names.iter().zip(cells) {
            let _ = writeln!(out, "{:<32}\t{cell}", format!("{prefix}{name}"));
        }
    }
    out
}

fn netstat_seq_show(net: &Net) -> String {
    let mut out = String::new();
    table(&mut out, "TcpExt", &[], TcpExt::NAMES, &net.mib.tcp_ext);
    table(&mut out, "IpExt", &[], IpExt::NAMES, &net.mib.ip_ext);
    out
}
