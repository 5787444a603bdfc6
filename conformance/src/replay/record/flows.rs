//! The TCP connections of a capture, and their packets in a script's numbers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{CapFrame, Case, ip_packet};
use crate::capture::{CallName, FileId, SockAddr};
use crate::run::matcher;
use crate::run::wire::{self, ACK, SYN};
use crate::target::Sent;

/// A TCP connection.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Initial sequence numbers, as far as a SYN told them.
    local_isn: Option<u32>,
    remote_isn: Option<u32>,
    /// When it begins, capture clock.
    pub(super) start_ns: u64,
    /// Its socket, where a trace has it.
    pub(super) file: Option<FileId>,
    /// The listening socket that it came to.
    pub(super) listener: Option<FileId>,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection of {} and {}", self.local, self.remote)
    }
}

/// The connections whose first SYN is in the capture, in order.
pub(super) fn of(case: &Case) -> Vec<Flow> {
    let mut flows: Vec<Flow> = Vec::new();
    for frame in &case.frames {
        let Some((local, remote, segment)) = segment(frame) else { continue };
        let known = flows.iter_mut().rev().find(|f| (f.local, f.remote) == (local, remote));
        let isn = Some(segment.seq);
        match (segment.has(SYN), segment.has(ACK), known) {
            (true, true, Some(flow)) if frame.outbound => flow.local_isn = isn,
            (true, true, Some(flow)) => flow.remote_isn = isn,
            (true, false, Some(flow)) if flow.begins(frame.outbound) == isn => {}
            (true, false, _) => flows.push(Flow {
                local,
                remote,
                local_isn: isn.filter(|_| frame.outbound),
                remote_isn: isn.filter(|_| !frame.outbound),
                start_ns: frame.time_ns,
                file: None,
                listener: None,
            }),
            _ => {}
        }
    }
    let mut taken = Vec::new();
    for flow in &mut flows {
        flow.find_sockets(case, &mut taken);
    }
    flows
}

/// The segment of a frame with its addresses, the host's own first.
fn segment(frame: &CapFrame) -> Option<(SocketAddr, SocketAddr, wire::Tcp)> {
    let packet = decoded(frame)?;
    let wire::Body::Tcp(segment) = packet.body else { return None };
    let source = SocketAddr::new(packet.ip.source, segment.source);
    let destination = SocketAddr::new(packet.ip.destination, segment.destination);
    let ends = if frame.outbound { (source, destination) } else { (destination, source) };
    Some((ends.0, ends.1, segment))
}

fn decoded(frame: &CapFrame) -> Option<wire::Packet> {
    let packet = ip_packet(frame)?;
    Some(wire::decode(&Sent { at: frame.time_ns, packet }))
}

impl Flow {
    /// The initial sequence number of the side that opened it, if `outbound` says which that is.
    fn begins(&self, outbound: bool) -> Option<u32> {
        if outbound { self.local_isn } else { self.remote_isn }
    }

    /// How long its first frame waited for an answer to ARP, nanoseconds.
    pub(super) fn arp_ns(&self, case: &Case) -> u64 {
        /// Longest time from an answer to the frame that waited for it.
        const SOON_NS: u64 = 5_000_000;
        const ARP: u16 = 0x0806;
        let own = |frame: &&CapFrame| {
            frame.outbound
                && segment(frame).is_some_and(|(l, r, _)| (l, r) == (self.local, self.remote))
        };
        let Some(first) = case.frames.iter().find(own) else { return 0 };
        let mut asked = None;
        for frame in case.frames.iter().filter(|f| f.frame.ether_type == ARP) {
            if frame.time_ns > first.time_ns {
                break;
            }
            if frame.outbound {
                asked = asked.or(Some(frame.time_ns));
            } else if let Some(asked) = asked.take()
                && frame.time_ns + SOON_NS > first.time_ns
            {
                return frame.time_ns.saturating_sub(asked);
            }
        }
        0
    }

    /// Finds the connection's socket in the trace: the one that connected to its other end, or was accepted from it.
    fn find_sockets(&mut self, case: &Case, taken: &mut Vec<FileId>) {
        for call in &case.calls {
            match &call.call {
                CallName::Connect { file, addr: SockAddr::Inet(to) }
                    if self.remote_isn.is_none_or(|_| self.local_isn.is_some())
                        && *to == self.remote
                        && !taken.contains(file)
                        && call.entry_ns <= self.start_ns =>
                {
                    self.file = Some(*file);
                }
                CallName::Accept {
                    file, new: Some(new), peer: Some(SockAddr::Inet(peer)), ..
                } if *peer == self.remote => {
                    (self.file, self.listener) = (Some(*new), Some(*file));
                }
                _ => {}
            }
        }
        taken.extend(self.file);
        if self.file.is_none() && self.remote_isn.is_some() {
            self.listener = listener_at(case, self.local);
        }
    }

    /// The packet of a frame in the script's language, if it is this connection's.
    pub(super) fn packet(&self, frame: &CapFrame) -> Option<String> {
        if let Some((local, remote, segment)) = segment(frame) {
            if (local, remote) != (self.local, self.remote) || frame.time_ns < self.start_ns {
                return None;
            }
            let ip = decoded(frame)?.ip;
            let text = matcher::full_tcp_text(&ip, &self.mapped(segment, frame.outbound));
            let direction = if frame.outbound { '>' } else { '<' };
            return Some(format!("{direction}{}", &text[1..]));
        }
        if frame.outbound { None } else { self.too_big(&ip_packet(frame)?) }
    }

    /// A segment in the script's numbers: both sides begin with 0.
    fn mapped(&self, mut segment: wire::Tcp, outbound: bool) -> wire::Tcp {
        let (own, other) = (self.local_isn.unwrap_or(0), self.remote_isn.unwrap_or(0));
        let (sender, receiver) = if outbound { (own, other) } else { (other, own) };
        segment.seq = segment.seq.wrapping_sub(sender);
        if segment.has(ACK) {
            segment.ack = segment.ack.wrapping_sub(receiver);
        }
        for option in segment.options.iter_mut().filter(|option| option.kind == 5) {
            for edge in option.data.chunks_exact_mut(4) {
                let number = u32::from_be_bytes([edge[0], edge[1], edge[2], edge[3]]);
                edge.copy_from_slice(&number.wrapping_sub(receiver).to_be_bytes());
            }
        }
        segment
    }

    /// "Fragmentation needed" about a segment of this connection.
    fn too_big(&self, packet: &[u8]) -> Option<String> {
        const ICMP: u8 = 1;
        let header = usize::from(packet.first()? & 0xf) * 4;
        let icmp = packet.get(header..)?;
        if packet.get(9) != Some(&ICMP) || icmp.get(..2)? != [3, 4] {
            return None;
        }
        let mtu = u16::from_be_bytes([*icmp.get(6)?, *icmp.get(7)?]);
        let quoted = icmp.get(8..)?;
        let inner = usize::from(quoted.first()? & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([*quoted.get(2)?, *quoted.get(3)?]));
        let to = IpAddr::from(<[u8; 4]>::try_from(quoted.get(16..20)?).ok()?);
        let tcp = quoted.get(inner..)?;
        let ports = (
            u16::from_be_bytes([*tcp.first()?, *tcp.get(1)?]),
            u16::from_be_bytes([*tcp.get(2)?, *tcp.get(3)?]),
        );
        if to != self.remote.ip() || ports != (self.local.port(), self.remote.port()) {
            return None;
        }
        let seq = u32::from_be_bytes(<[u8; 4]>::try_from(tcp.get(4..8)?).ok()?);
        let seq = seq.wrapping_sub(self.local_isn?);
        let offset = tcp.get(12).map_or(20, |byte| usize::from(byte >> 4) * 4);
        let len = total.checked_sub(inner + offset)?;
        let end = seq.wrapping_add(u32::try_from(len).ok()?);
        Some(format!("< icmp unreachable frag_needed mtu {mtu} [{seq}:{end}({len})]"))
    }
}

/// The socket that listens on an address.
fn listener_at(case: &Case, local: SocketAddr) -> Option<FileId> {
    let listens = |file: FileId| {
        case.calls.iter().any(|c| matches!(&c.call, CallName::Listen { file: f, .. } if *f == file))
    };
    case.calls.iter().find_map(|call| match &call.call {
        CallName::Bind { file, addr: SockAddr::Inet(addr) }
            if addr.port() == local.port() && listens(*file) =>
        {
            Some(*file)
        }
        _ => None,
    })
}
