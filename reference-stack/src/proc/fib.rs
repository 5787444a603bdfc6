//! `/proc/net/fib_trie` and `/proc/net/route` (Linux `fib_trie.c`).

use crate::net::Net;
use crate::net::ipv4::fib_frontend::mask;
use crate::net::ipv4::fib_trie::{FibTrie, RT_TABLE_MAIN, Visit};
use crate::net::ipv4::route::RtType;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Width that every line of /proc/net/route is padded to.
const ROUTE_WIDTH: usize = 127;
const RTF_UP: u32 = 1;
const RTF_GATEWAY: u32 = 2;
const RTF_HOST: u32 = 4;
const RTF_REJECT: u32 = 0x200;

/// The trie of both tables, which share it: it is shown once as Main and once as Local.
pub(super) fn fib_trie(net: &Net) -> String {
    let trie = trie_text(&net.ip.fib.trie);
    format!("Main:\n{trie}Local:\n{trie}")
}

fn trie_text(trie: &FibTrie) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    trie.walk_nodes(&mut |depth, node| match node {
        Visit::Tnode { key, plen, bits, full, empty } => {
            let indent = "   ".repeat(depth);
            let _ = writeln!(text, "{indent}  +-- {key}/{plen} {bits} {full} {empty}");
        }
        Visit::Leaf(key, aliases) => {
            let indent = "   ".repeat(depth);
            let _ = writeln!(text, "{indent}  |-- {key}");
            for a in aliases {
                let (scope, kind) = (a.info.scope.name(), a.rt_type.name());
                let _ = write!(text, "{indent}     /{} {scope} {kind}", a.plen());
                if a.tos != 0 {
                    let _ = write!(text, " tos={}", a.tos);
                }
                text.push('\n');
            }
        }
    });
    text
}

/// Addresses are shown as the number that their four bytes are in memory.
fn raw(addr: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(addr.octets())
}

/// The main table's routes, one a line.
pub(super) fn route(net: &Net) -> String {
    let header =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    let mut text = format!("{header:<ROUTE_WIDTH$}\n");
    net.ip.fib.trie.for_each(&mut |prefix, a| {
        let broadcast = matches!(a.rt_type, RtType::Broadcast | RtType::Multicast);
        if a.tb_id != RT_TABLE_MAIN || broadcast {
            return;
        }
        let rejects = matches!(a.rt_type, RtType::Unreachable | RtType::Prohibit);
        let mut flags = RTF_UP | if rejects { RTF_REJECT } else { 0 };
        if a.info.gateway.is_some() {
            flags |= RTF_GATEWAY;
        }
        if a.plen() == 32 {
            flags |= RTF_HOST;
        }
        let dev = net.devs.get(a.info.dev).map_or("*", |d| d.name.as_str());
        let gateway = raw(a.info.gateway.unwrap_or(Ipv4Addr::UNSPECIFIED));
        let mask = raw(mask(a.plen()).into());
        let mtu = if a.info.metrics.advmss == 0 { 0 } else { a.info.metrics.advmss + 40 };
        let line = format!(
            "{dev}\t{:08X}\t{gateway:08X}\t{flags:04X}\t0\t0\t{}\t{mask:08X}\t{mtu}\t0\t0",
            raw(prefix),
            a.info.priority,
        );
        let _ = writeln!(text, "{line:<ROUTE_WIDTH$}");
    });
    text
}
