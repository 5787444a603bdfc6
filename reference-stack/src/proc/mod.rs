//! The texts of /proc (Linux `net/ipv4/proc.c`, `net/core/net-procfs.c`).

mod net;
mod sockets;

use crate::net::Net;
use crate::net::core::sock::Socks;

/// The text of a file under /proc/net; `None` if there is none of this name.
pub(crate) fn net_file(socks: &Socks, net: &Net, name: &str) -> Option<String> {
    match name {
        "tcp" => Some(sockets::tcp_seq_show(socks, net, false)),
        "tcp6" => Some(sockets::tcp_seq_show(socks, net, true)),
        "udp" => Some(sockets::udp_seq_show(socks, net, false)),
        "udp6" => Some(sockets::udp_seq_show(socks, net, true)),
        _ => net::net_file(net, name),
    }
}
