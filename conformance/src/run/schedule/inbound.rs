//! Packets that the script sends.

use super::{Run, Stop};
use crate::run::build::{self, IpParts, TcpParts};
use crate::run::connection::{LastSegment, Socket, State};
use crate::run::icmp_names;
use crate::script::ScriptError;
use crate::script::ast::{
    Body, Echoed, Icmp, IpInfo, Packet, Tcp, TcpOption, TcpOptions, Tos, Udp,
};

/// TTL and hop limit of what a script sends, unless it says otherwise.
const TTL: u8 = 255;

impl Run<'_> {
    pub(super) fn inbound(&mut self, packet: &Packet) -> Result<(), Stop> {
        let bytes = match &packet.body {
            Body::Tcp(tcp) => self.inbound_tcp(packet, tcp)?,
            Body::Udp(udp) => self.inbound_udp(packet, udp)?,
            Body::Icmp(icmp) => self.inbound_icmp(packet, icmp)?,
            Body::Eth(_) | Body::Raw(_) | Body::Link(_) => return self.inbound_link(packet),
        };
        self.note("wire", || packet.to_string());
        // Only what is longer than a segment is a super-packet.
        let gso_size = match &packet.body {
            Body::Tcp(tcp) if self.config.mss > 0 && tcp.len > self.config.mss => self.config.mss,
            _ => 0,
        };
        let injected = self.target.inject(&bytes, gso_size);
        self.take_trace();
        injected.map_err(|refusal| self.refused(packet.span, refusal))
    }

    /// Addresses from the script to the target.
    fn ip_parts(&self, socket: Option<&Socket>, info: &IpInfo) -> IpParts {
        let addresses = &self.config.addresses;
        IpParts {
            source: socket.map_or(addresses.remote, |s| s.remote),
            destination: socket.map_or(addresses.local, |s| s.local),
            tos: match info.tos {
                Tos::Ecn(bits) => bits,
                Tos::Byte(byte) => byte,
                Tos::Unchecked | Tos::Ect01 => 0,
            },
            ttl: info.ttl.unwrap_or(TTL),
            flow_label: info.flow_label.unwrap_or(0),
        }
    }

    fn inbound_tcp(&mut self, packet: &Packet, tcp: &Tcp) -> Result<Vec<u8>, Stop> {
        let named = self.sockets.name_waits();
        let listens = self.sockets.current().is_none_or(|s| s.state == State::Listening);
        if listens || named {
            let mut child =
                Socket::new(build::TCP, self.config.addresses.local, self.config.addresses.remote);
            child.state = State::PacketReceived;
            child.remote_isn = tcp.seq;
            child.local_port = Some(self.config.bind_port);
            child.remote_port = Some(self.sockets.next_child_port());
            self.sockets.add(child);
        }
        let ip = self.ip_parts(self.sockets.current(), &packet.ip);
        let scaled = self.config.tcp_ts_ecr_scaled;
        let (bind_port, connect_port) = (self.config.bind_port, self.config.connect_port);
        let Some(socket) = self.sockets.current_mut() else { return Err(self.no_socket(packet)) };
        if socket.protocol != build::TCP && tcp.ports.is_none() {
            return Err(self.no_socket(packet));
        }
        match socket.state {
            State::SynAckSent if tcp.flags.ack => socket.state = State::SynAckAcked,
            State::SynSent if tcp.flags.syn && tcp.flags.ack => {
                socket.state = State::SynAcked;
                socket.remote_isn = tcp.seq;
            }
            _ => {}
        }
        let syn = tcp.flags.syn;
        let local = socket.local_offset(syn);
        let options = match &tcp.options {
            TcpOptions::List(list) => list.as_slice(),
            TcpOptions::Unchecked => &[],
        };
        let mapped = map_options(socket, options, local, tcp.flags.ack, scaled);
        let mapped =
            mapped.map_err(|message| ScriptError::new(self.source, packet.span, message, ""))?;
        let options = build::encode_options(&mapped);
        let parts = TcpParts {
            source: tcp
                .ports
                .map(|p| p.source)
                .filter(|p| *p != 0)
                .or(socket.remote_port)
                .unwrap_or(connect_port),
            destination: tcp
                .ports
                .map(|p| p.destination)
                .filter(|p| *p != 0)
                .or(socket.local_port)
                .unwrap_or(bind_port),
            seq: tcp.seq.wrapping_add(socket.remote_offset(syn)),
            ack: if tcp.flags.ack {
                tcp.ack.unwrap_or(0).wrapping_add(local)
            } else {
                tcp.ack.unwrap_or(0)
            },
            flags: tcp.flags,
            window: tcp.window.unwrap_or(0),
            urgent: tcp.urgent.unwrap_or(0),
            options: &options,
            len: usize::from(tcp.len),
        };
        socket.last_injected = Some(LastSegment {
            ack_set: tcp.flags.ack,
            seq: parts.seq,
            space: u32::from(tcp.len) + u32::from(syn) + u32::from(tcp.flags.fin),
            ack: parts.ack,
            window: parts.window,
        });
        Ok(build::tcp(&ip, &parts))
    }

    fn inbound_udp(&mut self, packet: &Packet, udp: &Udp) -> Result<Vec<u8>, Stop> {
        let ip = self.ip_parts(self.sockets.current(), &packet.ip);
        let (bind_port, connect_port) = (self.config.bind_port, self.config.connect_port);
        let socket =
            self.sockets.current_mut().filter(|s| s.protocol == build::UDP || udp.ports.is_some());
        let Some(socket) = socket else { return Err(self.no_socket(packet)) };
        if socket.protocol == build::UDP {
            // What comes first decides the peer's port.
            socket.remote_port.get_or_insert(connect_port);
            socket.local_port.get_or_insert(bind_port);
        }
        let source = udp
            .ports
            .map(|p| p.source)
            .filter(|p| *p != 0)
            .or(socket.remote_port)
            .unwrap_or(connect_port);
        let destination = udp
            .ports
            .map(|p| p.destination)
            .filter(|p| *p != 0)
            .or(socket.local_port)
            .unwrap_or(bind_port);
        Ok(build::udp(&ip, source, destination, usize::from(udp.len)))
    }

    fn inbound_icmp(&mut self, packet: &Packet, icmp: &Icmp) -> Result<Vec<u8>, Stop> {
        let socket = self.sockets.current();
        let ip = self.ip_parts(socket, &packet.ip);
        let (kind, code, rest) = self.icmp_numbers(icmp, ip.source.is_ipv4())?;
        let error = icmp_names::is_error(kind, ip.source.is_ipv4());
        let mut quoted = Vec::new();
        if error {
            let Some(socket) = socket else { return Err(self.no_socket(packet)) };
            let own = IpParts {
                source: ip.destination,
                destination: ip.source,
                tos: 0,
                ttl: 64,
                flow_label: 0,
            };
            let ports = (socket.local_port.unwrap_or(0), socket.remote_port.unwrap_or(0));
            let port_bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
            let (protocol, last_four, len) = match icmp.echoed {
                Echoed::Tcp { seq, len } => {
                    (build::TCP, tcp_seq(socket, seq), 20 + usize::from(len))
                }
                Echoed::Default if socket.protocol == build::UDP => (build::UDP, udp_len(0), 8),
                Echoed::Default => (build::TCP, tcp_seq(socket, 0), 20),
                Echoed::Udp(len) => (build::UDP, udp_len(len), 8 + usize::from(len)),
                Echoed::Raw(len) => (255, [0; 4], usize::from(len)),
            };
            let mut eight = [0; 8];
            eight[..4].copy_from_slice(&port_bytes);
            eight[4..].copy_from_slice(&last_four);
            quoted = build::quoted(&own, protocol, eight, len);
        }
        Ok(build::icmp(&ip, kind, code, rest, &quoted))
    }

    fn no_socket(&self, packet: &Packet) -> Stop {
        let message = "no socket of the script goes with this packet";
        ScriptError::new(self.source, packet.span, message, "the socket under test is another kind")
            .into()
    }

    /// Resets every connection of the script.
    pub(super) fn reset_connections(&mut self) {
        for at in 0..self.sockets.list.len() {
            let Some(socket) = self.sockets.list.get(at) else { continue };
            let (Some(local_port), Some(remote_port)) = (socket.local_port, socket.remote_port)
            else {
                continue;
            };
            let Some((seq, ack, window)) =
                socket.reset_numbers().filter(|_| socket.protocol == build::TCP)
            else {
                continue;
            };
            let flags = crate::script::ast::TcpFlags { rst: true, ack: true, ..Default::default() };
            let ip = self.ip_parts(Some(socket), &IpInfo::default());
            let parts = TcpParts {
                source: remote_port,
                destination: local_port,
                seq,
                ack,
                flags,
                window,
                urgent: 0,
                options: &[],
                len: 0,
            };
            // A reset is 40 bytes: every attachment carries it.
            let _ = self.target.inject(&build::tcp(&ip, &parts), 0);
        }
    }
}

fn tcp_seq(socket: &Socket, seq: u32) -> [u8; 4] {
    seq.wrapping_add(socket.local_offset(false)).to_be_bytes()
}

fn udp_len(len: u16) -> [u8; 4] {
    let len = len.saturating_add(8).to_be_bytes();
    [len[0], len[1], 0, 0]
}

/// SACK edges and TSecr in the target's numbers.
fn map_options(
    socket: &Socket,
    options: &[TcpOption],
    local: u32,
    ack: bool,
    scaled: bool,
) -> Result<Vec<TcpOption>, String> {
    let map = |option: &TcpOption| match option {
        TcpOption::Sack(blocks) => Ok(TcpOption::Sack(
            blocks.iter().map(|(l, r)| (l.wrapping_add(local), r.wrapping_add(local))).collect(),
        )),
        TcpOption::Timestamp { val, ecr } if ack => {
            match (socket.ts_vals.get(ecr), socket.first_ts) {
                (Some(live), _) => Ok(TcpOption::Timestamp { val: *val, ecr: *live }),
                (None, Some((script, live))) if scaled => Ok(TcpOption::Timestamp {
                    val: *val,
                    ecr: ecr.wrapping_sub(script).wrapping_add(live),
                }),
                _ => Err(format!("TS ecr {ecr}: no packet before was expected with this TS val")),
            }
        }
        other => Ok(other.clone()),
    };
    options.iter().map(map).collect()
}
