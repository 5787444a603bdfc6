//! What every layer counts and holds, as numbers: the differences between two moments say which layer did what in
//! between. Nothing is kept for it; reading them all is for runs that somebody has to understand.

use super::Kernel;
use crate::net::core::dev::{Driver, NetDevice};
use crate::net::core::sock::Sock;
use crate::net::ipv4::mib::{Icmp, Icmp6, Ip, Ip6, IpExt, Tcp, TcpExt, Udp, Udp6};
use crate::net::ipv4::tcp::{TcpInfo, tcp_get_info};

/// A number that a layer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// `tcp`, `udp`, `icmp`, `ip`, `skb` (drops by reason), `device`, `driver` or `mac`.
    pub layer: &'static str,
    /// The socket's ports or the device's name; `IPv6` or nothing for the machine's own counters.
    pub of: String,
    /// Linux's name of it, the hardware model's for `mac`.
    pub name: &'static str,
    /// Its value; counters only grow.
    pub value: i64,
}

/// The fields of TCP_INFO whose change tells something.
const TOLD: &[&str] = &[
    "tcpi_state",
    "tcpi_ca_state",
    "tcpi_backoff",
    "tcpi_probes",
    "tcpi_rto",
    "tcpi_snd_mss",
    "tcpi_unacked",
    "tcpi_sacked",
    "tcpi_lost",
    "tcpi_retrans",
    "tcpi_snd_ssthresh",
    "tcpi_snd_cwnd",
    "tcpi_reordering",
    "tcpi_notsent_bytes",
];

impl Kernel {
    /// Every layer's numbers, the highest layer first, always in the same order for the same sockets and devices.
    pub fn gauges(&self) -> Vec<Gauge> {
        let mut out = Vec::new();
        for (_, sock) in self.socks.iter() {
            if let Sock::Tcp(tp) = sock {
                let of = format!("{}-{}", tp.sk.inet_num, tp.sk.inet_dport);
                tcp_gauges(&mut out, &of, &tcp_get_info(tp, &self.net));
            }
        }
        self.counters(&mut out);
        for dev in self.net.devs.iter().filter(|dev| dev.port.is_some()) {
            self.device_gauges(&mut out, dev);
        }
        out
    }

    /// The counters of /proc/net/snmp and netstat.
    fn counters(&self, out: &mut Vec<Gauge>) {
        let mib = &self.net.mib;
        let groups: [(&'static str, &str, &[&'static str], &[u64]); 9] = [
            ("tcp", "", Tcp::NAMES, &mib.tcp),
            ("tcp", "", TcpExt::NAMES, &mib.tcp_ext),
            ("udp", "", Udp::NAMES, &mib.udp),
            ("udp", "IPv6", Udp6::NAMES, &mib.udp6),
            ("icmp", "", Icmp::NAMES, &mib.icmp),
            ("icmp", "IPv6", Icmp6::NAMES, &mib.icmp6),
            ("ip", "", Ip::NAMES, &mib.ip),
            ("ip", "", IpExt::NAMES, &mib.ip_ext),
            ("ip", "IPv6", Ip6::NAMES, &mib.ip6),
        ];
        for (layer, of, names, cells) in groups {
            out.extend(names.iter().zip(cells).map(|(&name, &cell)| gauge(layer, of, name, cell)));
        }
        out.extend(self.drops().into_iter().map(|(name, n)| gauge("skb", "drop", name, n.into())));
    }

    fn device_gauges(&self, out: &mut Vec<Gauge>, dev: &NetDevice) {
        let name = &*dev.name;
        let stats = &dev.stats;
        for (what, value) in [
            ("rx_packets", stats.rx_packets),
            ("rx_bytes", stats.rx_bytes),
            ("rx_dropped", stats.rx_dropped),
            ("rx_errors", stats.rx_errors),
            ("qlen", dev.qdisc.len() as u64),
            ("tx_packets", stats.tx_packets),
            ("tx_bytes", stats.tx_bytes),
            ("tx_dropped", stats.tx_dropped),
            ("tx_errors", stats.tx_errors),
        ] {
            out.push(gauge("device", name, what, value));
        }
        let Driver::Ftgmac100(private) = &dev.driver else { return };
        for (what, value) in private.pointers() {
            out.push(gauge("driver", "ftgmac100", what, value as u64));
        }
        let Some(mac) = self.net.hw.macs.get(private.mac()) else { return };
        let stats = mac.stats();
        for (what, value) in [
            ("rx_frames", stats.rx_frames),
            ("rx_filtered", stats.rx_filtered),
            ("rx_lost", stats.rx_lost),
            ("tx_frames", stats.tx_frames),
            ("tx_lost", stats.tx_lost),
            ("tx_orphans", stats.tx_orphans),
            ("ahb_errors", stats.ahb_errors),
            ("bad_offset", stats.bad_offset.into()),
        ] {
            out.push(gauge("mac", "ftgmac100", what, value));
        }
    }
}

fn tcp_gauges(out: &mut Vec<Gauge>, of: &str, info: &TcpInfo) {
    for (name, value) in info.fields() {
        if TOLD.contains(&name) {
            out.push(Gauge { layer: "tcp", of: of.to_owned(), name, value });
        }
    }
}

fn gauge(layer: &'static str, of: &str, name: &'static str, value: u64) -> Gauge {
    Gauge { layer, of: of.to_owned(), name, value: i64::try_from(value).unwrap_or(i64::MAX) }
}
