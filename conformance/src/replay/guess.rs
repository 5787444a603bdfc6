//! A manifest for a capture that has none: which of the hosts is ours, and what its frames say
//! of how it was set up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use miette::miette;

use super::load::Input;
use crate::capture::{Link, Packet, PacketReader};
use crate::frames::{Frame, decode};

/// So many frames say who the host is.
const ENOUGH: usize = 20_000;
/// Two frames this close are question and answer of one host.
const PROMPT_NS: u64 = 500_000;

/// The manifest's text.
///
/// # Errors
/// The capture cannot be read, or has no unicast frame.
pub(super) fn manifest(path: &Path, input: &Input) -> miette::Result<String> {
    let packets = PacketReader::open(path)?.take(ENOUGH).collect::<Result<Vec<_>, _>>()?;
    let frames: Vec<(Packet, Frame)> = packets
        .into_iter()
        .map(|p| {
            let frame = decode(&p.data);
            (p, frame)
        })
        .collect();
    let mac = match &input.mac {
        Some(mac) => mac.clone(),
        None => host_mac(&frames).map(mac_text).ok_or_else(|| {
            miette!(help = "name it: --mac", "{}: no host stands out", path.display())
        })?,
    };
    let ours = |f: &&(Packet, Frame)| match f.0.link {
        Link::Ethernet => mac_text(f.1.eth_src) == mac,
        _ => f.0.outgoing.unwrap_or(false),
    };
    let sent: Vec<&Frame> = frames.iter().filter(ours).map(|f| &f.1).collect();
    let addresses = if input.addresses.is_empty() {
        addresses(&sent, &frames)
    } else {
        input.addresses.clone()
    };
    let kernel = input.kernel.clone().unwrap_or_else(|| kernel(&sent).to_owned());
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let list = addresses.iter().map(|a| format!("{a:?}")).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ =
        writeln!(text, "kernel = {kernel:?}\n[[interface]]\nname = \"eth0\"\ncapture = {file:?}");
    let _ = writeln!(text, "mac = {mac:?}\naddresses = [{list}]");
    if addresses.iter().any(|a| a.contains(':')) {
        let _ = writeln!(text, "ipv6 = true\ndad = false");
    }
    if let Some(via) = gateway(&sent, &addresses) {
        let _ = writeln!(text, "[[route]]\nto = \"default\"\nvia = \"{via}\"");
    }
    let sysctls = sysctls(&sent);
    if !sysctls.is_empty() {
        let _ = writeln!(text, "[sysctl]");
        for (name, value) in sysctls {
            let _ = writeln!(text, "{name:?} = \"{value}\"");
        }
    }
    Ok(text)
}

/// The host that answers at once: its frames follow those to it by far less than a round trip.
fn host_mac(frames: &[(Packet, Frame)]) -> Option<[u8; 6]> {
    let mut prompt: BTreeMap<[u8; 6], i64> = BTreeMap::new();
    for (_, f) in frames {
        for mac in [f.eth_src, f.eth_dst] {
            if mac[0] & 1 == 0 && mac != [0; 6] {
                *prompt.entry(mac).or_default() += 1;
            }
        }
    }
    // Every frame of a capture on a host's interface is to or from it.
    let most = prompt.values().copied().max()?;
    let mut candidates: BTreeMap<[u8; 6], i64> =
        prompt.into_iter().filter(|(_, n)| *n == most).map(|(mac, _)| (mac, 0)).collect();
    for w in frames.windows(2) {
        let close = w[1].0.time_ns.saturating_sub(w[0].0.time_ns) < PROMPT_NS;
        if close
            && w[0].1.eth_src != w[1].1.eth_src
            && let Some(n) = candidates.get_mut(&w[1].1.eth_src)
        {
            *n += 1;
        }
    }
    let first = frames.first().map(|f| f.1.eth_src);
    candidates.into_iter().max_by_key(|&(mac, n)| (n, Some(mac) == first)).map(|(mac, _)| mac)
}

fn addresses(sent: &[&Frame], all: &[(Packet, Frame)]) -> Vec<String> {
    let mut own: BTreeSet<IpAddr> = BTreeSet::new();
    for f in sent {
        let source = f.addresses.map(|(src, _)| src);
        let asker = f.value("arp.src.proto_ipv4").and_then(|v| v.parse::<IpAddr>().ok());
        // The link-local address follows from the hardware address.
        let given = |a: &IpAddr| match a {
            IpAddr::V4(a) => !a.is_unspecified(),
            IpAddr::V6(a) => !a.is_unspecified() && !a.is_unicast_link_local(),
        };
        own.extend(source.into_iter().chain(asker).filter(given));
    }
    // The host sent nothing: it is whom the others asked for.
    if own.is_empty()
        && let Some((dst, _)) = all.iter().find_map(|(_, f)| f.addresses.map(|(s, d)| (d, s)))
    {
        own.insert(dst);
    }
    own.into_iter().map(|a| format!("{a}/{}", if a.is_ipv4() { 24 } else { 64 })).collect()
}

/// The neighbour that frames to another network went to, if its address is known from ARP.
fn gateway(sent: &[&Frame], addresses: &[String]) -> Option<Ipv4Addr> {
    let own: Vec<[u8; 4]> = addresses
        .iter()
        .filter_map(|a| a.split('/').next()?.parse::<Ipv4Addr>().ok().map(|a| a.octets()))
        .collect();
    let beside = |a: Ipv4Addr| own.iter().any(|o| o[..3] == a.octets()[..3]);
    let far = sent.iter().any(|f| {
        matches!(f.addresses, Some((_, IpAddr::V4(d))) if !beside(d) && !d.is_multicast() && !d.is_broadcast())
    });
    if !far {
        return None;
    }
    let asked = sent.iter().filter(|f| f.value("arp.opcode") == Some("1"));
    asked
        .filter_map(|f| f.value("arp.dst.proto_ipv4")?.parse::<Ipv4Addr>().ok())
        .find(|a| beside(*a))
}

/// A window scale of 10 is 32 MiB of receive buffer, the default of 6.16 and later.
fn kernel(sent: &[&Frame]) -> &'static str {
    let scale = sent.iter().find_map(|f| f.value("tcp.options.wscale.shift"));
    match scale {
        Some("10") => "6.18",
        _ => "5.15",
    }
}

/// What a SYN shows of the sysctls.
fn sysctls(sent: &[&Frame]) -> Vec<(&'static str, &'static str)> {
    let mut out = Vec::new();
    let Some((f, t)) =
        sent.iter().find_map(|f| f.tcp.filter(|t| t.flags & 0x12 == 0x02).map(|t| (f, t)))
    else {
        return out;
    };
    let options = f.value("tcp.options").unwrap_or_default();
    for (option, name) in [
        ("ts", "net.ipv4.tcp_timestamps"),
        ("sackOK", "net.ipv4.tcp_sack"),
        ("wscale", "net.ipv4.tcp_window_scaling"),
    ] {
        if !options.split(',').any(|o| o == option) {
            out.push((name, "0"));
        }
    }
    if t.flags & 0xc0 == 0xc0 {
        out.push(("net.ipv4.tcp_ecn", "1"));
    }
    out
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}
