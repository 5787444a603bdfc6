//! The far end of an Ethernet link: frames around a script's packets, and answers to ARP and
//! neighbour discovery.
//!
//! The script's peers and the router share one hardware address; whoever asks for any address but its own is told it.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::{
    EtherType, Icmpv6Slice, LaxNetSlice, LaxSlicedPacket, LinkSlice, PacketBuilder, TransportSlice,
};

/// The target's hardware address.
pub(crate) const OWN: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x00, 0x01];
/// The hardware address of everything that is not the target.
pub(crate) const PEER: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x00, 0x02];

/// Shortest frame without FCS.
const MIN_FRAME: usize = 60;

/// What a frame of the target is to the peer.
pub(crate) enum Frame {
    /// An IP packet, without the frame's header and padding.
    Ip(Vec<u8>),
    /// A question that the peer answers with this frame.
    Ask(Vec<u8>),
    /// Anything else.
    Other,
}

/// The IP packet of a frame, without the padding of a short one.
pub(crate) fn ip_packet(frame: &[u8]) -> Option<&[u8]> {
    let above = frame.get(14..)?;
    let word =
        |at: usize| above.get(at..at + 2).map(|b| usize::from(b[0]) << 8 | usize::from(b[1]));
    let len = match frame.get(12..14)? {
        [0x08, 0x00] => word(2)?,
        [0x86, 0xdd] => 40 + word(4)?,
        _ => return None,
    };
    // A length that contradicts the frame is left in: the matcher names it.
    let padded = frame.len() <= MIN_FRAME && len < above.len();
    above.get(..if padded { len } else { above.len() })
}

/// An IP packet in a frame to `to`.
pub(crate) fn frame(to: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let ether_type = match packet.first().map(|b| b >> 4) {
        Some(6) => EtherType::IPV6,
        _ => EtherType::IPV4,
    };
    let mut out = Vec::with_capacity(MIN_FRAME.max(14 + packet.len()));
    out.extend(to);
    out.extend(PEER);
    out.extend(ether_type.0.to_be_bytes());
    out.extend(packet);
    if out.len() < MIN_FRAME {
        out.resize(MIN_FRAME, 0);
    }
    out
}

/// Takes a frame of the target apart. `own` is the target's address, for which the peer does not answer.
pub(crate) fn open(bytes: &[u8], own: IpAddr) -> Frame {
    let Ok(p) = LaxSlicedPacket::from_ethernet(bytes) else { return Frame::Other };
    let Some(LinkSlice::Ethernet2(link)) = &p.link else { return Frame::Other };
    let above = bytes.get(14..).unwrap_or_default();
    match &p.net {
        // A length that contradicts the frame is left in: the matcher names it.
        Some(LaxNetSlice::Ipv4(ip)) => {
            let len = usize::from(ip.header().total_len());
            let padded = above.len() < MIN_FRAME - 13 && len < above.len();
            Frame::Ip(
                above.get(..if padded { len } else { above.len() }).unwrap_or_default().to_vec(),
            )
        }
        Some(LaxNetSlice::Ipv6(ip)) if discovery(&p).is_some() => {
            let asked = discovery(&p).filter(|i| i.type_u8() == NEIGHBOUR_SOLICITATION);
            let from = ip.header().source_addr();
            match asked.and_then(|i| solicited(i.slice())) {
                Some(wanted) if own != wanted && !from.is_unspecified() => {
                    advertise(link.source(), from, wanted).map_or(Frame::Other, Frame::Ask)
                }
                _ => Frame::Other,
            }
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let len = 40 + usize::from(ip.header().payload_length());
            Frame::Ip(above.get(..len.min(above.len())).unwrap_or_default().to_vec())
        }
        Some(LaxNetSlice::Arp(arp)) => {
            let (Ok(sender), Ok(wanted)) = (
                <[u8; 4]>::try_from(arp.sender_protocol_addr()),
                <[u8; 4]>::try_from(arp.target_protocol_addr()),
            ) else {
                return Frame::Other;
            };
            let asks = arp.operation().0 == 1 && own != IpAddr::from(wanted);
            // Gratuitous ones ask for the sender's own address.
            if !asks || sender == wanted {
                return Frame::Other;
            }
            Frame::Ask(reply(link.source(), sender, wanted))
        }
        _ => Frame::Other,
    }
}

const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// The message of a packet that keeps a link in order: neighbour and router discovery, and
/// reports of groups.
fn discovery<'a>(p: &LaxSlicedPacket<'a>) -> Option<Icmpv6Slice<'a>> {
    match &p.transport {
        Some(TransportSlice::Icmpv6(i)) if matches!(i.type_u8(), 130..=137 | 143) => {
            Some(i.clone())
        }
        _ => None,
    }
}

/// Whether an IP packet keeps the link in order and is nothing that a script sees.
pub(crate) fn is_discovery(packet: &[u8]) -> bool {
    packet.first().is_some_and(|b| b >> 4 == 6)
        && LaxSlicedPacket::from_ip(packet).is_ok_and(|p| discovery(&p).is_some())
}

/// Whom a solicitation asks for.
fn solicited(message: &[u8]) -> Option<Ipv6Addr> {
    message.get(8..24)?.first_chunk::<16>().map(|b| Ipv6Addr::from(*b))
}

/// "`wanted` is at the peer", to who asked over IPv6.
fn advertise(to: [u8; 6], asker: Ipv6Addr, wanted: Ipv6Addr) -> Option<Vec<u8>> {
    // Solicited, override; the target's hardware address as option 2.
    let body = [&wanted.octets()[..], &[2, 1], &PEER].concat();
    let mut out = Vec::new();
    PacketBuilder::ethernet2(PEER, to)
        .ipv6(wanted.octets(), asker.octets(), 255)
        .icmpv6_raw(NEIGHBOUR_ADVERTISEMENT, 0, [0x60, 0, 0, 0])
        .write(&mut out, &body)
        .ok()?;
    Some(out)
}

/// "`wanted` is at the peer", to who asked.
fn reply(to: [u8; 6], sender: [u8; 4], wanted: [u8; 4]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MIN_FRAME);
    out.extend(to);
    out.extend(PEER);
    out.extend(EtherType::ARP.0.to_be_bytes());
    out.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    out.extend(PEER);
    out.extend(wanted);
    out.extend(to);
    out.extend(sender);
    out.resize(MIN_FRAME, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn request(wanted: [u8; 4]) -> Vec<u8> {
        let mut f = [
            [0xff; 6].as_slice(),
            &STACK,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &STACK,
            &[192, 168, 0, 1],
        ]
        .concat();
        f.extend([0; 6]);
        f.extend(wanted);
        f.resize(60, 0);
        f
    }

    #[test]
    fn questions_are_answered_and_announcements_are_not() {
        let own = IpAddr::from([192, 168, 0, 1]);
        let Frame::Ask(answer) = open(&request([192, 0, 2, 1]), own) else {
            panic!("not answered")
        };
        assert_eq!(
            (&answer[..6], &answer[6..12], &answer[20..22]),
            (&STACK[..], &PEER[..], &[0, 2][..])
        );
        assert_eq!(
            (&answer[28..32], &answer[38..42]),
            (&[192, 0, 2, 1][..], &[192, 168, 0, 1][..])
        );
        assert!(matches!(open(&request([192, 168, 0, 1]), own), Frame::Other));
    }

    #[test]
    fn padding_is_not_part_of_a_packet() {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        packet.extend([0, 1, 0, 2, 0, 8, 0, 0]);
        let framed = frame(STACK, &packet);
        assert_eq!(framed.len(), 60);
        let Frame::Ip(back) = open(&framed, IpAddr::from([127, 0, 0, 1])) else {
            panic!("no packet")
        };
        assert_eq!(back, packet);
        for end in 0..framed.len() {
            let _ = open(&framed[..end], IpAddr::from([127, 0, 0, 1]));
        }
    }
}
