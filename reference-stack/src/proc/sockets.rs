//! The tables of sockets: /proc/net/tcp, tcp6, udp and udp6 (Linux `tcp4_seq_show()`,
//! `tcp6_seq_show()`, `udp4_seq_show()`, `udp6_seq_show()`, 5.15). Addresses are printed as the 32-bit
//! numbers of a little-endian machine, as Linux prints them there. Inode and pointer, which say nothing here,
//! are made of the socket's number, and the bucket of a UDP socket of its port.

use crate::net::Net;
use crate::net::core::sock::{Sock, SockCommon, SockId, Socks, TcpState};
use crate::net::ipv4::inet_connection_sock::inet_csk_in_pingpong_mode;
use crate::net::ipv4::tcp_fastopen::fastopen_max_qlen;
use crate::net::ipv4::tcp_sock::{IcskPending, RequestSock, TcpSock, TimewaitSock};
use crate::net::ipv4::udp::UdpSock;
use crate::time::{Jiffies, TimerId};
use crate::uapi::IPPROTO_UDP;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// What `USER_HZ` clocks a second has.
const USER_HZ: u64 = 100;
/// Bytes of a line of /proc/net/tcp and of /proc/net/udp (`TMPSZ - 1`, and udp.c's own).
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;
const HEAD: &str = "sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const HEAD6: &str = "sl  local_address                         remote_address                        \
                     st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const HEAD_DGRAM: &str = " ref pointer drops";

/// The columns that every kind of socket has.
struct Row {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
    state: TcpState,
    tx_queue: u32,
    rx_queue: u32,
    /// Which timer runs, and in how many clocks of `USER_HZ` it fires.
    timer: (u8, u64),
    retransmits: u8,
    probes: u8,
    inode: u64,
    refs: u32,
    id: SockId,
    /// The columns behind the pointer.
    rest: String,
}

impl Row {
    fn new(id: SockId, local: (IpAddr, u16), remote: (IpAddr, u16), state: TcpState) -> Self {
        Self {
            local,
            remote,
            state,
            tx_queue: 0,
            rx_queue: 0,
            timer: (0, 0),
            retransmits: 0,
            probes: 0,
            inode: 0,
            refs: 0,
            id,
            rest: String::new(),
        }
    }

    fn text(&self) -> String {
        let end = |(addr, port): (IpAddr, u16)| format!("{}:{port:04X}", raw(addr));
        format!(
            ": {} {} {:02X} {:08X}:{:08X} {:02X}:{:08X} {:08X} {:5} {:8} {} {} {:016x}{}",
            end(self.local),
            end(self.remote),
            self.state as u8,
            self.tx_queue,
            self.rx_queue,
            self.timer.0,
            self.timer.1,
            self.retransmits,
            0,
            self.probes,
            self.inode,
            self.refs,
            0xffff_8880_0000_0000 | u64::from(self.id.0) << 12,
            self.rest,
        )
    }
}

/// An address as one or four 32-bit numbers.
fn raw(addr: IpAddr) -> String {
    let words: Vec<u8> = match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    };
    words.chunks_exact(4).fold(String::new(), |mut text, w| {
        let _ = write!(text, "{:08X}", u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        text
    })
}

fn clock_t(net: &Net, jiffies: Jiffies) -> u64 {
    jiffies.saturating_mul(USER_HZ) / u64::from(net.time.hz())
}

/// Clocks from now to a jiffy (`jiffies_delta_to_clock_t`).
fn clocks_until(net: &Net, at: Option<Jiffies>) -> u64 {
    clock_t(net, at.map_or(0, |at| at.saturating_sub(net.jiffies())))
}

/// Both ends of a socket, in the form of its family; `v6`: whether that is AF_INET6.
fn ends(sk: &SockCommon) -> ([(IpAddr, u16); 2], bool) {
    let ports = [sk.inet_num, sk.inet_dport];
    match sk.pinet6.as_deref() {
        Some(np) => {
            ([(np.sk_v6_rcv_saddr.into(), ports[0]), (np.sk_v6_daddr.into(), ports[1])], true)
        }
        None => ([(sk.inet_rcv_saddr.into(), ports[0]), (sk.inet_daddr.into(), ports[1])], false),
    }
}

/// The inode of a socket that still has a file.
fn inode(sk: &SockCommon) -> u64 {
    if sk.dead { 0 } else { 10_000 + u64::from(sk.id.0) }
}

/// A full TCP socket (`get_tcp4_sock`).
fn tcp_row(net: &Net, tp: &TcpSock) -> (Row, bool) {
    let ([local, remote], v6) = ends(&tp.sk);
    let (id, state) = (tp.sk.id, tp.sk.sk_state);
    let keepalive = net.time.timers.pending(TimerId::Keepalive(id));
    let timer = match tp.icsk.icsk_pending {
        IcskPending::Retrans | IcskPending::ReoTimeout | IcskPending::LossProbe => {
            (1, clocks_until(net, Some(tp.icsk.icsk_timeout)))
        }
        IcskPending::Probe0 => (4, clocks_until(net, Some(tp.icsk.icsk_timeout))),
        _ if keepalive.is_some() => (2, clocks_until(net, keepalive)),
        _ => (0, 0),
    };
    let listens = state == TcpState::Listen;
    let ssthresh = match (listens, tp.in_initial_slowstart()) {
        (true, _) => i64::from(fastopen_max_qlen(tp)),
        (false, true) => -1,
        (false, false) => tp.snd_ssthresh.into(),
    };
    let timers = [TimerId::Retransmit(id), TimerId::Delack(id), TimerId::Keepalive(id)];
    let row = Row {
        tx_queue: tp.write_seq.since(tp.snd_una),
        rx_queue: match listens {
            true => tp.sk.sk_ack_backlog,
            false => tp.rcv_nxt.diff(tp.copied_seq).max(0) as u32,
        },
        timer,
        retransmits: tp.icsk.icsk_retransmits,
        probes: tp.icsk.icsk_probes_out,
        inode: inode(&tp.sk),
        // The file's, or the table's, and one for each timer that runs.
        refs: 1 + timers.into_iter().filter(|&timer| net.timer_pending(timer)).count() as u32,
        rest: format!(
            " {} {} {} {} {ssthresh}",
            clock_t(net, tp.icsk.icsk_rto),
            clock_t(net, tp.icsk.icsk_ack.ato.into()),
            (tp.icsk.icsk_ack.quick << 1) | u8::from(inet_csk_in_pingpong_mode(tp, net)),
            tp.snd_cwnd,
        ),
        ..Row::new(id, local, remote, state)
    };
    (row, v6)
}

/// A request that waits for its third ACK (`get_openreq4`); it is of its listener's family.
fn request_row(socks: &Socks, net: &Net, req: &RequestSock) -> (Row, bool) {
    let v6 = socks.tcp(req.listener).is_some_and(|tp| tp.sk.pinet6.is_some());
    let form = |v4: Ipv4Addr| if v6 { v4.to_ipv6_mapped().into() } else { IpAddr::V4(v4) };
    let (local, remote) = match req.ir_v6 {
        Some(addrs) => (addrs.saddr.into(), addrs.daddr.into()),
        None => (form(req.ir_loc_addr), form(req.ir_rmt_addr)),
    };
    let (local, remote) = ((local, req.ir_num), (remote, req.ir_rmt_port));
    let timer = net.time.timers.pending(TimerId::Reqsk(req.id));
    let row = Row {
        timer: (1, clocks_until(net, timer)),
        retransmits: req.num_timeout,
        ..Row::new(req.id, local, remote, TcpState::SynRecv)
    };
    (row, v6)
}

/// A socket in TIME-WAIT (`get_timewait4_sock`).
fn timewait_row(net: &Net, tw: &TimewaitSock) -> (Row, bool) {
    let (local, remote) = match tw.tw_v6.as_deref() {
        Some(v6) => (v6.saddr.into(), v6.daddr.into()),
        None => (IpAddr::V4(tw.tw_saddr), IpAddr::V4(tw.tw_daddr)),
    };
    let (local, remote) = ((local, tw.tw_num), (remote, tw.tw_dport));
    let timer = net.time.timers.pending(TimerId::Timewait(tw.id));
    let row = Row {
        timer: (3, clocks_until(net, timer)),
        // The two tables' and the timer's.
        refs: 3,
        ..Row::new(tw.id, local, remote, tw.tw_substate)
    };
    (row, tw.tw_v6.is_some())
}

/// /proc/net/tcp or tcp6: listeners, then all others.
pub(crate) fn tcp_seq_show(socks: &Socks, net: &Net, v6: bool) -> String {
    let mut listeners = Vec::new();
    let mut others = Vec::new();
    for (_, sock) in socks.iter() {
        let (row, is_v6) = match sock {
            // Neither bound nor connected: in no table.
            Sock::Tcp(tp) if tp.sk.sk_state == TcpState::Close => continue,
            Sock::Tcp(tp) => tcp_row(net, tp),
            Sock::Req(req) => request_row(socks, net, req),
            Sock::Tw(tw) => timewait_row(net, tw),
            Sock::Udp(_) => continue,
        };
        if is_v6 == v6 {
            let list = if row.state == TcpState::Listen { &mut listeners } else { &mut others };
            list.push(row.text());
        }
    }
    let rows = listeners.into_iter().chain(others).enumerate();
    let lines = rows.map(|(i, text)| format!("{i:4}{text}"));
    match v6 {
        true => table(format!("  {HEAD6}"), lines, 0),
        false => table(format!("  {HEAD}"), lines, TCP_WIDTH),
    }
}

/// /proc/net/udp or udp6: sockets with a port.
pub(crate) fn udp_seq_show(socks: &Socks, net: &Net, v6: bool) -> String {
    let rows = socks.iter().filter_map(|(_, sock)| match sock {
        Sock::Udp(up) if up.sk.sk_protocol == IPPROTO_UDP && up.sk.inet_num != 0 => Some(up),
        _ => None,
    });
    let lines = rows.filter(|up| up.sk.pinet6.is_some() == v6).map(|up| udp_line(net, up));
    match v6 {
        true => table(format!("  {HEAD6}{HEAD_DGRAM}"), lines, 0),
        false => table(format!("   {HEAD}{HEAD_DGRAM}"), lines, UDP_WIDTH),
    }
}

fn udp_line(net: &Net, up: &UdpSock) -> String {
    let ([local, remote], _) = ends(&up.sk);
    let row = Row {
        tx_queue: net.wmem.get(up.sk.id),
        rx_queue: up.sk.sk_rmem_alloc.max(0) as u32,
        inode: inode(&up.sk),
        refs: 2,
        rest: format!(" {}", up.sk.sk_drops),
        ..Row::new(up.sk.id, local, remote, up.sk.sk_state)
    };
    format!("{:5}{}", up.sk.inet_num, row.text())
}

/// Lines that are padded to the width of `seq_setwidth()`; those of IPv6 are not.
fn table(head: String, lines: impl Iterator<Item = String>, width: usize) -> String {
    std::iter::once(head).chain(lines).fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line:<width$}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of Linux 6.18's /proc/net/tcp, but for inode and pointer.
    #[test]
    fn a_listener_is_shown_as_linux_shows_it() {
        let any = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 2024);
        let none = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let row = Row {
            inode: 1151,
            refs: 1,
            rest: " 100 0 0 10 0".into(),
            ..Row::new(SockId(0), any, none, TcpState::Listen)
        };
        let text = format!("{:4}{}", 0, row.text());
        let want = "   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     \
                    0        0 1151 1 ffff888000000000 100 0 0 10 0";
        assert_eq!(text, want);
        assert_eq!(raw(std::net::Ipv6Addr::LOCALHOST.into()), "00000000000000000000000001000000");
    }
}
