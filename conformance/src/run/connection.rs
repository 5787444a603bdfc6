//! The sockets of a script, and how its numbers map to the target's.
//!
//! A script counts from its own initial sequence numbers and names its own descriptors, ports and clocks. With SYN set
//! a number is absolute; otherwise it counts from the initial sequence number of its direction.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::wire;

/// How far a socket of the script is, as its calls and packets tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// After socket().
    New,
    /// After listen().
    Listening,
    /// A child: the script sent it a first packet.
    PacketReceived,
    /// The child's SYN-ACK was seen.
    SynAckSent,
    /// The script acknowledged the SYN-ACK.
    SynAckAcked,
    /// After connect(), or a send that connects.
    Connecting,
    /// The script expects its SYN.
    SynSent,
    /// The script sent the SYN-ACK.
    SynAcked,
}

/// What is needed of the last packet of a direction to reset the connection at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastSegment {
    pub(crate) ack_set: bool,
    pub(crate) seq: u32,
    /// Sequence space that it takes.
    pub(crate) space: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
}

/// A socket of the script.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) state: State,
    /// IP protocol number.
    pub(crate) protocol: u8,
    pub(crate) live_fd: Option<i32>,
    pub(crate) local: IpAddr,
    pub(crate) local_port: Option<u16>,
    pub(crate) remote: IpAddr,
    pub(crate) remote_port: Option<u16>,
    pub(crate) script_local_isn: u32,
    pub(crate) live_local_isn: u32,
    pub(crate) remote_isn: u32,
    /// Outbound TSval: the script's to the target's.
    pub(crate) ts_vals: BTreeMap<u32, u32>,
    /// The first outbound TSval, in the script's and the target's clock.
    pub(crate) first_ts: Option<(u32, u32)>,
    pub(crate) last_injected: Option<LastSegment>,
    pub(crate) last_sent: Option<LastSegment>,
}

impl Socket {
    pub(crate) fn new(protocol: u8, local: IpAddr, remote: IpAddr) -> Self {
        Socket {
            state: State::New,
            protocol,
            live_fd: None,
            local,
            local_port: None,
            remote,
            remote_port: None,
            script_local_isn: 0,
            live_local_isn: 0,
            remote_isn: 0,
            ts_vals: BTreeMap::new(),
            first_ts: None,
            last_injected: None,
            last_sent: None,
        }
    }

    /// What is added to a local sequence number of the script.
    pub(crate) fn local_offset(&self, syn: bool) -> u32 {
        if syn {
            self.live_local_isn.wrapping_sub(self.script_local_isn)
        } else {
            self.live_local_isn
        }
    }

    /// What is added to a remote sequence number of the script.
    pub(crate) fn remote_offset(&self, syn: bool) -> u32 {
        if syn { 0 } else { self.remote_isn }
    }

    /// Whether the target sent `packet` on this connection.
    pub(crate) fn sent(&self, packet: &wire::Packet) -> bool {
        let ports = match &packet.body {
            wire::Body::Tcp(t) if self.protocol == 6 => (t.source, t.destination),
            wire::Body::Udp(u) if self.protocol == 17 => (u.source, u.destination),
            _ => return false,
        };
        packet.ip.source == self.local
            && packet.ip.destination == self.remote
            && self.local_port == Some(ports.0)
            && self.remote_port == Some(ports.1)
    }

    /// Whether `packet` is the first one of a connection that the script opens; if so its port and number are learned.
    pub(crate) fn opens(&mut self, packet: &wire::Packet) -> bool {
        let (source, destination, isn) = match &packet.body {
            wire::Body::Tcp(t)
                if self.protocol == 6
                    && self.state == State::SynSent
                    && t.has(wire::SYN)
                    && !t.has(wire::ACK) =>
            {
                (t.source, t.destination, t.seq)
            }
            wire::Body::Udp(u) if self.protocol == 17 && self.state == State::Connecting => {
                (u.source, u.destination, 0)
            }
            _ => return false,
        };
        if packet.ip.destination != self.remote || self.remote_port != Some(destination) {
            return false;
        }
        self.local = packet.ip.source;
        self.local_port = Some(source);
        if self.protocol == 6 {
            self.live_local_isn = isn;
        }
        true
    }

    /// Remembers what the target sent, for the reset at the end.
    pub(crate) fn remember_sent(&mut self, t: &wire::Tcp) {
        self.last_sent = Some(LastSegment {
            ack_set: t.has(wire::ACK),
            seq: t.seq,
            space: t.len as u32 + u32::from(t.has(wire::SYN)) + u32::from(t.has(wire::FIN)),
            ack: t.ack,
            window: t.window,
        });
    }

    /// Sequence number, acknowledgement and window of a RST that the target accepts.
    pub(crate) fn reset_numbers(&self) -> Option<(u32, u32, u16)> {
        match (self.last_injected, self.last_sent) {
            (Some(i), _) if i.ack_set => Some((i.seq.wrapping_add(i.space), i.ack, i.window)),
            (_, Some(s)) if s.ack_set => Some((s.ack, s.seq, 0)),
            (_, Some(s)) => Some((0, s.seq.wrapping_add(1), 0)),
            (Some(i), None) => Some((i.seq.wrapping_add(i.space), i.ack, i.window)),
            (None, None) => None,
        }
    }
}

/// All sockets of a script; one of them is under test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) list: Vec<Socket>,
    pub(crate) under_test: Option<usize>,
    /// Descriptors of the script and of the target; closed ones are gone.
    fds: BTreeMap<i32, i32>,
    /// Descriptors of the target that the script has no number for any more.
    nameless: Vec<i32>,
    children: u16,
    /// Connections that the script gave names.
    names: BTreeMap<String, usize>,
    /// A new name, for the next connection that a packet opens.
    new_name: Option<String>,
}

impl Sockets {
    /// Adds a socket, which is under test from now on.
    pub(crate) fn add(&mut self, socket: Socket) -> &mut Socket {
        self.list.push(socket);
        let at = self.list.len() - 1;
        self.under_test = Some(at);
        if let Some(name) = self.new_name.take() {
            self.names.insert(name, at);
        }
        &mut self.list[at]
    }

    pub(crate) fn current(&self) -> Option<&Socket> {
        self.under_test.and_then(|at| self.list.get(at))
    }

    pub(crate) fn current_mut(&mut self) -> Option<&mut Socket> {
        self.under_test.and_then(|at| self.list.get_mut(at))
    }

    /// The remote port of the next child.
    pub(crate) fn next_child_port(&mut self) -> u16 {
        self.children = self.children.wrapping_add(1);
        32_767u16.wrapping_add(self.children % 16_384)
    }

    pub(crate) fn live_fd(&self, script_fd: i32) -> Option<i32> {
        self.fds.get(&script_fd).copied()
    }

    /// Maps a descriptor. One that had the script's number before stays open without a name.
    pub(crate) fn map_fd(&mut self, script_fd: i32, live_fd: i32) {
        self.nameless.extend(self.fds.insert(script_fd, live_fd));
    }

    pub(crate) fn unmap_fd(&mut self, script_fd: i32) {
        self.fds.remove(&script_fd);
    }

    /// The open descriptors that the script has a number for: its own and the target's.
    pub(crate) fn named_fds(&self) -> Vec<(i32, i32)> {
        self.fds.iter().map(|(script, live)| (*script, *live)).collect()
    }

    pub(crate) fn open_fds(&self) -> Vec<i32> {
        self.fds.values().chain(&self.nameless).copied().collect()
    }

    /// The socket of this name is under test from now on; `false` if nothing has the name.
    pub(crate) fn turn_to_name(&mut self, name: &str) -> bool {
        match self.names.get(name) {
            Some(at) => self.under_test = Some(*at),
            None => return false,
        }
        true
    }

    /// The socket of this descriptor is under test from now on; `false` if there is none.
    pub(crate) fn turn_to_fd(&mut self, script_fd: i32) -> bool {
        let live = self.live_fd(script_fd);
        let at = self.list.iter().rposition(|s| s.live_fd.is_some() && s.live_fd == live);
        self.under_test = at.or(self.under_test);
        at.is_some()
    }

    /// The next connection that a packet opens gets the name.
    pub(crate) fn name_next(&mut self, name: &str) {
        self.new_name = Some(name.to_string());
    }

    /// Whether a name waits for a connection.
    pub(crate) fn name_waits(&self) -> bool {
        self.new_name.is_some()
    }

    /// The socket under test gets the name.
    pub(crate) fn name_current(&mut self, name: &str) {
        if let Some(at) = self.under_test {
            self.names.insert(name.to_string(), at);
        }
    }

    /// Whether a socket that is not under test sent the packet.
    pub(crate) fn other_sent(&self, packet: &wire::Packet) -> bool {
        let other =
            |(at, socket): (usize, &Socket)| self.under_test != Some(at) && socket.sent(packet);
        self.list.iter().enumerate().any(other)
    }

    /// The newest socket of a descriptor that is open.
    pub(crate) fn by_script_fd(&mut self, script_fd: i32) -> Option<&mut Socket> {
        let live = self.live_fd(script_fd)?;
        self.list.iter_mut().rev().find(|s| s.live_fd == Some(live))
    }
}
