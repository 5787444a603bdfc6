//! What must hold for every frame that the board sends, whatever it was fed: it decodes, its
//! lengths agree, its checksums are right, and it comes from the board.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::frame::{BOARD, BOARD_MAC, IPPROTO_TCP, IPPROTO_UDP, checksum, pseudo_header};

/// Longest frame without FCS at MTU 1500.
const MAX_FRAME: usize = 1514;

/// Panics with what is wrong.
pub(super) fn frame(bytes: &[u8]) {
    assert!(bytes.len() <= MAX_FRAME, "a frame of {} bytes was sent", bytes.len());
    let packet = match SlicedPacket::from_ethernet(bytes) {
        Ok(packet) => packet,
        Err(e) => panic!("a frame that does not decode was sent ({e}): {bytes:02x?}"),
    };
    assert_eq!(bytes.get(6..12), Some(&BOARD_MAC[..]), "source MAC of {bytes:02x?}");
    let Some(NetSlice::Ipv4(ip)) = &packet.net else { return };
    let header = ip.header();
    assert_eq!(header.source(), BOARD, "source address of {bytes:02x?}");
    assert_eq!(checksum(header.slice(), 0), 0, "IPv4 checksum of {bytes:02x?}");
    let payload = ip.payload().payload;
    if header.more_fragments() || header.fragments_offset().value() != 0 {
        return;
    }
    let (src, dst) = (header.source(), header.destination());
    match &packet.transport {
        Some(TransportSlice::Tcp(_)) => {
            let pseudo = pseudo_header(src, dst, IPPROTO_TCP, payload.len());
            assert_eq!(checksum(payload, pseudo), 0, "TCP checksum of {bytes:02x?}");
        }
        Some(TransportSlice::Udp(udp)) if udp.checksum() != 0 => {
            let pseudo = pseudo_header(src, dst, IPPROTO_UDP, payload.len());
            assert_eq!(checksum(payload, pseudo), 0, "UDP checksum of {bytes:02x?}");
        }
        Some(TransportSlice::Icmpv4(_)) => {
            assert_eq!(checksum(payload, 0), 0, "ICMP checksum of {bytes:02x?}");
        }
        _ => {}
    }
}
