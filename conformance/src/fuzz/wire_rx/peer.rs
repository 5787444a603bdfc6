//! The other end of the wire: makes the frames that operations ask for, and follows what the
//! board sends so that sequence numbers can be said relative to what is expected.

use std::collections::BTreeMap;

use etherparse::{NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};

use super::frame::{
    self, BOARD, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, Ip, PEER, address, filler, transport,
};
use super::op::{Flow, Host, Op, Spoil, TcpOptions};

/// Port of the board's listening TCP socket.
pub(super) const LISTEN_PORT: u16 = 8080;
/// Port of the board's bound UDP socket.
pub(super) const UDP_PORT: u16 = 5000;
/// Our port of the established connection.
pub(super) const PEER_PORT: u16 = 40000;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;

/// Sequence numbers of one connection, from our side.
#[derive(Clone, Copy, Debug)]
struct Ends {
    /// What we send next.
    snd_nxt: u32,
    /// What we expect next.
    rcv_nxt: u32,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    flows: BTreeMap<u16, Ends>,
    /// Our timestamp clock, and the last value that the board sent.
    ts_val: u32,
    ts_recent: u32,
    /// The last IP packet of the board, for ICMP errors to quote.
    last: Vec<u8>,
}

impl Default for Peer {
    fn default() -> Peer {
        let last = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, IPPROTO_UDP, 0, 0, 10, 0, 2, 15, 10, 0, 2];
        Peer { flows: BTreeMap::new(), ts_val: 1000, ts_recent: 0, last }
    }
}

impl Peer {
    /// Looks at a frame of the board.
    pub(super) fn saw(&mut self, frame: &[u8]) {
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return };
        if !matches!(packet.net, Some(NetSlice::Ipv4(_))) {
            return;
        }
        self.last = frame.get(14..).unwrap_or_default().to_vec();
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return };
        let ends = self.flow(tcp.destination_port());
        let len = tcp.payload().len() as u32 + u32::from(tcp.syn()) + u32::from(tcp.fin());
        let next = tcp.sequence_number().wrapping_add(len);
        if tcp.syn() || (next.wrapping_sub(ends.rcv_nxt) as i32) > 0 {
            ends.rcv_nxt = next;
        }
        for option in tcp.options_iterator().flatten() {
            if let TcpOptionElement::Timestamp(value, _) = option {
                self.ts_recent = value;
            }
        }
    }

    /// Our answer, when the frame asks for our hardware address.
    pub(super) fn arp_answer(frame: &[u8]) -> Option<Vec<u8>> {
        let asks = frame.get(12..14)? == [0x08, 0x06]
            && frame.get(20..22)? == [0, 1]
            && frame.get(38..42)? == PEER;
        asks.then(|| frame::arp(2, &Host::Peer, &Host::Board, 0, &Spoil::No))
    }

    /// What we send and expect next on the connection from `port`.
    #[cfg(test)]
    pub(super) fn ends(&self, port: u16) -> (u32, u32) {
        self.flows.get(&port).map_or((0, 0), |ends| (ends.snd_nxt, ends.rcv_nxt))
    }

    fn flow(&mut self, port: u16) -> &mut Ends {
        let isn = 0x1000_0000_u32.wrapping_add(u32::from(port) << 8);
        self.flows.entry(port).or_insert(Ends { snd_nxt: isn, rcv_nxt: 0 })
    }

    /// The frame that an operation asks for; none for one that is no frame.
    pub(super) fn frame(&mut self, op: &Op) -> Option<Vec<u8>> {
        Some(match op {
            Op::Raw { frame } => frame.clone(),
            Op::RawIp { packet } => frame::raw_ip(packet),
            Op::Arp { operation, sender, target, lengths, spoil } => {
                frame::arp(*operation, sender, target, *lengths, spoil)
            }
            Op::Icmp { kind, code, rest, quote, payload, spoil } => {
                let mut body = vec![*kind, *code, 0, 0];
                body.extend_from_slice(&rest.to_be_bytes());
                if *quote != 0 {
                    let len = usize::from(*quote).min(self.last.len());
                    body.extend_from_slice(&self.last[..len]);
                }
                body.extend_from_slice(&filler(*payload));
                transport(&Ip::new(IPPROTO_ICMP), body, 2, spoil)
            }
            Op::Udp { from, port, checksum, length, payload, spoil } => {
                let ip = Ip { src: address(from), ..Ip::new(IPPROTO_UDP) };
                let data = filler(*payload);
                let length = (data.len() as u16 + 8).wrapping_add_signed(*length);
                let mut body = [4000, UDP_PORT + u16::from(*port), length, 0].map(u16::to_be_bytes);
                if checksum % 4 == 1 {
                    body[3] = [0xba, 0xd0];
                }
                let mut body = body.concat();
                body.extend_from_slice(&data);
                match checksum % 4 {
                    // None at all, or a wrong one.
                    0 | 1 => frame::ipv4(&ip, &body, spoil),
                    _ => transport(&ip, body, 6, spoil),
                }
            }
            Op::Tcp { flow, flags, seq, ack, window, urgent, options, payload, spoil } => {
                let data = filler(*payload);
                let ports = match flow {
                    Flow::Established => (PEER_PORT, LISTEN_PORT),
                    Flow::Listener { from } => (30000 + u16::from(*from), LISTEN_PORT),
                    Flow::Closed { to } => (PEER_PORT, *to),
                };
                let options = self.options(options, ports.0);
                let ends = self.flow(ports.0);
                let segment = Segment {
                    ports,
                    seq: ends.snd_nxt.wrapping_add_signed(i32::from(*seq)),
                    ack: ends.rcv_nxt.wrapping_add_signed(i32::from(*ack)),
                    flags: *flags,
                    window: *window,
                    urgent: *urgent,
                };
                if *seq == 0 && *spoil == Spoil::No && !matches!(flow, Flow::Closed { .. }) {
                    let len = data.len() + usize::from(flags & SYN != 0) + usize::from(flags & FIN);
                    ends.snd_nxt = ends.snd_nxt.wrapping_add(len as u32);
                }
                segment.frame(&options, &data, spoil)
            }
            Op::Fragment { proto, id, offset, more, payload, spoil } => {
                let proto = [IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_TCP, 99][usize::from(proto % 4)];
                let more = if more & 1 == 1 { 0x2000 } else { 0 };
                let ip =
                    Ip { id: u16::from(*id), frag: more | (offset & 0x1fff), ..Ip::new(proto) };
                frame::ipv4(&ip, &filler(*payload), spoil)
            }
            Op::IpOptions { options, payload, spoil } => {
                let ip = Ip { options: options.clone(), ..Ip::new(IPPROTO_ICMP) };
                let mut body = vec![8, 0, 0, 0, 0, 1, 0, 1];
                body.extend_from_slice(&filler(u16::from(*payload)));
                transport(&ip, body, 2, spoil)
            }
            Op::Wait { .. }
            | Op::WaitForEvent
            | Op::Read { .. }
            | Op::Write { .. }
            | Op::Accept
            | Op::Shutdown { .. }
            | Op::Close
            | Op::Link { .. }
            | Op::Exit => return None,
        })
    }

    fn options(&mut self, options: &TcpOptions, port: u16) -> Vec<u8> {
        let rcv_nxt = self.flow(port).rcv_nxt;
        match options {
            TcpOptions::None => Vec::new(),
            TcpOptions::Timestamp { clock, echo_back } => {
                self.ts_val = self.ts_val.wrapping_add(u32::from(*clock));
                let echo = self.ts_recent.wrapping_sub(u32::from(*echo_back));
                let mut bytes = vec![1, 1, 8, 10];
                bytes.extend_from_slice(&self.ts_val.to_be_bytes());
                bytes.extend_from_slice(&echo.to_be_bytes());
                bytes
            }
            TcpOptions::Syn { mss, scale } => {
                let [high, low] = mss.to_be_bytes();
                let mut bytes = vec![2, 4, high, low, 4, 2, 8, 10];
                bytes.extend_from_slice(&self.ts_val.to_be_bytes());
                bytes.extend_from_slice(&[0, 0, 0, 0, 1, 3, 3, *scale]);
                bytes
            }
            TcpOptions::Sack { left, right, more } => {
                let blocks = usize::from(more % 4) + 1;
                let mut bytes = vec![1, 1, 5, (2 + 8 * blocks) as u8];
                for n in 0..blocks {
                    let gap = 3000 * n as u32;
                    for edge in [left, right] {
                        // What the board has in flight lies before what we expect next.
                        let at = rcv_nxt.wrapping_sub(u32::from(*edge)).wrapping_add(gap);
                        bytes.extend_from_slice(&at.to_be_bytes());
                    }
                }
                bytes
            }
            TcpOptions::Raw { bytes } => {
                let mut bytes = bytes[..bytes.len().min(40)].to_vec();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                bytes
            }
        }
    }
}

/// The fixed fields of a segment.
struct Segment {
    ports: (u16, u16),
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    urgent: u8,
}

impl Segment {
    fn frame(&self, options: &[u8], data: &[u8], spoil: &Spoil) -> Vec<u8> {
        let mut body = Vec::with_capacity(60 + data.len());
        body.extend_from_slice(&self.ports.0.to_be_bytes());
        body.extend_from_slice(&self.ports.1.to_be_bytes());
        body.extend_from_slice(&self.seq.to_be_bytes());
        body.extend_from_slice(&self.ack.to_be_bytes());
        body.push((((20 + options.len()) / 4) as u8) << 4);
        body.push(self.flags);
        body.extend_from_slice(&self.window.to_be_bytes());
        body.extend_from_slice(&[0, 0, 0, self.urgent]);
        body.extend_from_slice(options);
        body.extend_from_slice(data);
        transport(&Ip { dst: BOARD, ..Ip::new(IPPROTO_TCP) }, body, 16, spoil)
    }
}
