//! Frames to the board, made by hand: right checksums unless spoilt, and headers that no
//! well-meaning builder would make.

use super::op::{Host, Spoil};

/// The board.
pub(super) const BOARD_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
pub(super) const BOARD: [u8; 4] = [10, 0, 2, 15];
/// Its peer.
pub(super) const PEER_MAC: [u8; 6] = [0x52, 0x55, 0x0a, 0x00, 0x02, 0x02];
pub(super) const PEER: [u8; 4] = [10, 0, 2, 2];

const ETH_P_IP: [u8; 2] = [0x08, 0x00];
const ETH_P_ARP: [u8; 2] = [0x08, 0x06];

pub(super) const IPPROTO_ICMP: u8 = 1;
pub(super) const IPPROTO_TCP: u8 = 6;
pub(super) const IPPROTO_UDP: u8 = 17;

/// Payload bytes of one packet at most: what fits a frame.
pub(super) const MAX_PAYLOAD: usize = 1400;

/// The fields of an IPv4 header that the operations choose.
#[derive(Clone, Debug)]
pub(super) struct Ip {
    pub(super) src: [u8; 4],
    pub(super) dst: [u8; 4],
    pub(super) proto: u8,
    pub(super) id: u16,
    /// Flags and offset as on the wire.
    pub(super) frag: u16,
    /// Padded to a multiple of four, cut at 40.
    pub(super) options: Vec<u8>,
}

impl Ip {
    /// A whole packet from the peer to the board.
    pub(super) fn new(proto: u8) -> Ip {
        Ip { src: PEER, dst: BOARD, proto, id: 1, frag: 0x4000, options: Vec::new() }
    }
}

/// The one's complement sum of `bytes` in 16-bit words, added to `sum`.
fn sum16(bytes: &[u8], sum: u32) -> u32 {
    let mut sum = u64::from(sum);
    for pair in bytes.chunks(2) {
        let word = [pair[0], pair.get(1).copied().unwrap_or(0)];
        sum += u64::from(u16::from_be_bytes(word));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u32
}

/// The Internet checksum of `bytes` (RFC 1071), after what `sum` holds.
pub(super) fn checksum(bytes: &[u8], sum: u32) -> u16 {
    !(sum16(bytes, sum) as u16)
}

/// The sum of the pseudo header (RFC 9293 3.1).
pub(super) fn pseudo_header(src: [u8; 4], dst: [u8; 4], proto: u8, len: usize) -> u32 {
    let sum = sum16(&src, sum16(&dst, u32::from(proto)));
    sum16(&(len as u32).to_be_bytes(), sum)
}

/// The address that an operation means.
pub(super) fn address(host: &Host) -> [u8; 4] {
    match host {
        Host::Board => BOARD,
        Host::Peer => PEER,
        Host::Neighbour { last } => [10, 0, 2, *last],
        Host::Any { addr } => addr.to_be_bytes(),
        Host::Broadcast => [10, 0, 2, 255],
    }
}

fn ethernet(dst: [u8; 6], ethertype: [u8; 2]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1514);
    frame.extend_from_slice(&dst);
    frame.extend_from_slice(&PEER_MAC);
    frame.extend_from_slice(&ethertype);
    frame
}

/// An IPv4 packet of these bytes, whatever they are, in a frame to the board.
pub(super) fn raw_ip(packet: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(BOARD_MAC, ETH_P_IP);
    frame.extend_from_slice(packet);
    frame
}

/// An IPv4 packet in a frame to the board.
pub(super) fn ipv4(ip: &Ip, payload: &[u8], spoil: &Spoil) -> Vec<u8> {
    let options = &ip.options[..ip.options.len().min(40)];
    let header = 20 + options.len().next_multiple_of(4);
    let dst = if ip.dst == [10, 0, 2, 255] { [0xff; 6] } else { BOARD_MAC };
    let mut frame = ethernet(dst, ETH_P_IP);
    let start = frame.len();
    frame.extend_from_slice(&[0x40 | (header / 4) as u8, 0]);
    frame.extend_from_slice(&((header + payload.len()) as u16).to_be_bytes());
    frame.extend_from_slice(&ip.id.to_be_bytes());
    frame.extend_from_slice(&ip.frag.to_be_bytes());
    frame.extend_from_slice(&[64, ip.proto, 0, 0]);
    frame.extend_from_slice(&ip.src);
    frame.extend_from_slice(&ip.dst);
    frame.extend_from_slice(options);
    frame.resize(start + header, 0);
    let sum = checksum(&frame[start..], 0).to_be_bytes();
    frame[start + 10..start + 12].copy_from_slice(&sum);
    frame.extend_from_slice(payload);
    spoiled(frame, spoil)
}

/// A packet whose checksum at `at` covers the pseudo header and all of `body`.
pub(super) fn transport(ip: &Ip, mut body: Vec<u8>, at: usize, spoil: &Spoil) -> Vec<u8> {
    let pseudo = match ip.proto {
        IPPROTO_ICMP => 0,
        proto => pseudo_header(ip.src, ip.dst, proto, body.len()),
    };
    let sum = checksum(&body, pseudo);
    if let Some(field) = body.get_mut(at..at + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    ipv4(ip, &body, spoil)
}

/// An ARP packet. `lengths` 0 gives the right ones.
pub(super) fn arp(
    operation: u8,
    sender: &Host,
    target: &Host,
    lengths: u8,
    spoil: &Spoil,
) -> Vec<u8> {
    let sender_mac = match sender {
        Host::Board => BOARD_MAC,
        Host::Peer => PEER_MAC,
        Host::Broadcast => [0xff; 6],
        Host::Neighbour { last } => [0x52, 0x55, 0x0a, 0, 2, *last],
        Host::Any { addr } => {
            let [a, b, c, d] = addr.to_be_bytes();
            [0x02, 0, a, b, c, d]
        }
    };
    let dst = if operation == 1 { [0xff; 6] } else { BOARD_MAC };
    let mut frame = ethernet(dst, ETH_P_ARP);
    let (hlen, plen) = (6 ^ (lengths >> 4), 4 ^ (lengths & 0xf));
    frame.extend_from_slice(&[0, 1, 0x08, 0x00, hlen, plen, 0, operation]);
    frame.extend_from_slice(&sender_mac);
    frame.extend_from_slice(&address(sender));
    frame.extend_from_slice(&BOARD_MAC);
    frame.extend_from_slice(&address(target));
    spoiled(frame, spoil)
}

/// The frame after `spoil`, padded to what Ethernet carries at least.
fn spoiled(mut frame: Vec<u8>, spoil: &Spoil) -> Vec<u8> {
    match spoil {
        Spoil::No => {}
        Spoil::Byte { at, xor } => {
            let at = usize::from(*at) % frame.len();
            frame[at] ^= xor;
        }
        Spoil::Cut { by } => {
            frame.truncate(frame.len().saturating_sub(usize::from(*by)).max(14));
            return frame;
        }
        Spoil::Trail { bytes } => {
            frame.extend(std::iter::repeat_n(0x5a, usize::from(*bytes)));
        }
    }
    if frame.len() < 60 {
        frame.resize(60, 0);
    }
    frame
}

/// `len` bytes that differ from their neighbours.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// The same, at most what fits a frame.
pub(super) fn filler(len: u16) -> Vec<u8> {
    pattern(usize::from(len).min(MAX_PAYLOAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{SlicedPacket, TransportSlice};

    #[test]
    fn what_is_built_is_right_for_another_decoder() {
        let mut udp = vec![0x13, 0x88, 0x1f, 0x90, 0, 11, 0, 0];
        udp.extend_from_slice(&filler(3));
        let ip = Ip { options: vec![1, 1, 1], ..Ip::new(IPPROTO_UDP) };
        let frame = transport(&ip, udp, 6, &Spoil::No);
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else { panic!("no IPv4") };
        assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
        let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no UDP") };
        let expected =
            udp.to_header().calc_checksum_ipv4(&ip.header().to_header(), udp.payload()).unwrap();
        assert_eq!(udp.checksum(), expected);
        assert_eq!(udp.payload(), [0, 1, 2]);
    }
}
