//! Extension headers (RFC 8200 4; Linux `exthdrs.c`, `exthdrs_core.c`, 5.15): what they ask for
//! is not done but for routing headers without segments left; unknown options are treated as
//! their bits say.

use super::icmp::{ICMPV6_HDR_FIELD, ICMPV6_PARAMPROB, ICMPV6_UNK_OPTION, icmpv6_send};
use crate::net::Net;
use crate::net::core::skbuff::{DropReason, Skb, kfree_skb};
use crate::net::ipv4::mib::Ip6;
use crate::uapi::{IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_HOPOPTS, IPPROTO_ROUTING};

/// Extension headers that one packet may have before it is dropped.
pub(crate) const EXTHDRS_MAX: usize = 16;
/// Padding options, bytes in a row, beyond which a packet is dropped (`ip6_parse_tlv`).
const PADDING_MAX: usize = 7;

/// Where the payload of a packet starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Upper {
    pub(crate) nexthdr: u8,
    /// Bytes from the start of the IPv6 header.
    pub(crate) offset: usize,
    /// A fragment without the payload's start.
    pub(crate) later_fragment: bool,
}

/// Finds the upper-layer header in a packet's first bytes (`ipv6_skip_exthdr`); `None` where the
/// chain is cut or too long.
pub(crate) fn ipv6_skip_exthdr(packet: &[u8]) -> Option<Upper> {
    let mut nexthdr = *packet.get(6)?;
    let mut offset = 40;
    for _ in 0..EXTHDRS_MAX {
        let len = match nexthdr {
            IPPROTO_FRAGMENT => {
                let header = packet.get(offset..)?.first_chunk::<8>()?;
                if u16::from_be_bytes([header[2], header[3]]) & !7 != 0 {
                    return Some(Upper { nexthdr: header[0], offset, later_fragment: true });
                }
                8
            }
            IPPROTO_HOPOPTS | IPPROTO_ROUTING | IPPROTO_DSTOPTS => {
                8 + usize::from(*packet.get(offset + 1)?) * 8
            }
            _ => return Some(Upper { nexthdr, offset, later_fragment: false }),
        };
        nexthdr = *packet.get(offset)?;
        offset += len;
    }
    None
}

/// Looks at a header of options at `data` (`ipv6_destopt_rcv`, `ipv6_parse_hopopts`) and takes it
/// off: the next header's number. `None`: the packet was dropped.
pub(crate) fn options_rcv(net: &mut Net, mut skb: Skb) -> Option<(u8, Skb)> {
    let mut fixed = [0; 2];
    let whole = skb.copy_bits(0, &mut fixed) == 2;
    let len = 8 + usize::from(fixed[1]) * 8;
    if !whole || skb.len() < len {
        return bad(net, skb);
    }
    let mut bytes = vec![0; len];
    skb.copy_bits(0, &mut bytes);
    match parse_tlv(&bytes) {
        Verdict::Ok => {
            skb.pull(len);
            Some((fixed[0], skb))
        }
        Verdict::Drop => bad(net, skb),
        Verdict::Complain { at, even_to_many } => {
            let here = usize::from(skb.data_offset().saturating_sub(skb.network_header));
            if even_to_many || !super::ip6_input::ipv6_hdr(&skb)?.daddr.is_multicast() {
                let pointer = (here + at) as u32;
                icmpv6_send(net, &skb, ICMPV6_PARAMPROB, ICMPV6_UNK_OPTION, pointer);
            }
            bad(net, skb)
        }
    }
}

fn bad(net: &mut Net, skb: Skb) -> Option<(u8, Skb)> {
    net.mib.inc(Ip6::InHdrErrors);
    kfree_skb(net, skb, DropReason::Ipv6BadExthdr);
    None
}

/// What a list of options comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Ok,
    Drop,
    /// The option at this offset is not known and wants its sender told (`ip6_tlvopt_unknown`).
    Complain {
        at: usize,
        even_to_many: bool,
    },
}

fn parse_tlv(header: &[u8]) -> Verdict {
    let mut at = 2;
    let mut padding = 0;
    while let Some(&kind) = header.get(at) {
        if kind == 0 {
            at += 1;
            padding += 1;
            if padding > PADDING_MAX {
                return Verdict::Drop;
            }
            continue;
        }
        let Some(&len) = header.get(at + 1) else { return Verdict::Drop };
        let end = at + 2 + usize::from(len);
        let Some(data) = header.get(at + 2..end) else { return Verdict::Drop };
        if kind == 1 {
            padding += data.len() + 2;
            // Padding is zeros and no longer than alignment needs.
            if padding > PADDING_MAX || data.iter().any(|b| *b != 0) {
                return Verdict::Drop;
            }
        } else {
            padding = 0;
            // The router alert is known; what it asks for is the routers' business.
            match (kind, kind >> 6) {
                (5, _) | (_, 0) => {}
                (_, 1) => return Verdict::Drop,
                (_, bits) => return Verdict::Complain { at, even_to_many: bits == 2 },
            }
        }
        at = end;
    }
    Verdict::Ok
}

/// A routing header at `data` (`ipv6_rthdr_rcv`): one without segments left is passed over,
/// others are refused. `None`: the packet was dropped.
pub(crate) fn ipv6_rthdr_rcv(net: &mut Net, mut skb: Skb) -> Option<(u8, Skb)> {
    let mut fixed = [0; 4];
    let whole = skb.copy_bits(0, &mut fixed) == 4;
    let len = 8 + usize::from(fixed[1]) * 8;
    if !whole || skb.len() < len {
        return bad(net, skb);
    }
    if fixed[3] == 0 {
        skb.pull(len);
        return Some((fixed[0], skb));
    }
    let here = u32::from(skb.data_offset().saturating_sub(skb.network_header));
    icmpv6_send(net, &skb, ICMPV6_PARAMPROB, ICMPV6_HDR_FIELD, here + 2);
    bad(net, skb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_skipped_dropped_or_complained_about() {
        let list = |options: &[u8]| {
            let mut header = vec![59, 0];
            header.extend(options);
            header.resize(8, 0);
            parse_tlv(&header)
        };
        assert_eq!(list(&[5, 2, 0, 0, 1, 0]), Verdict::Ok);
        assert_eq!(list(&[0x1e, 4, 1, 2, 3, 4]), Verdict::Ok);
        assert_eq!(list(&[0x5e, 0]), Verdict::Drop);
        assert_eq!(list(&[1, 4, 0, 0, 9, 0]), Verdict::Drop);
        assert_eq!(list(&[1, 9]), Verdict::Drop);
        assert_eq!(list(&[0x9e, 0]), Verdict::Complain { at: 2, even_to_many: true });
        assert_eq!(list(&[0, 0xde, 0]), Verdict::Complain { at: 3, even_to_many: false });
    }

    #[test]
    fn a_chain_is_followed_to_its_end_or_not_at_all() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
        packet.resize(40, 0);
        packet.extend([60, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend([44, 1, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend([6, 0, 0, 1, 0, 0, 0, 9]);
        let found = ipv6_skip_exthdr(&packet).unwrap();
        assert_eq!((found.nexthdr, found.offset, found.later_fragment), (6, 72, false));
        for n in 0..packet.len() {
            assert!(ipv6_skip_exthdr(&packet[..n]).is_none(), "cut at {n}");
        }
        let mut long = vec![0; 40 + 8 * (EXTHDRS_MAX + 1)];
        long[6] = 60;
        for header in long[40..].chunks_mut(8) {
            header[0] = 60;
        }
        assert_eq!(ipv6_skip_exthdr(&long), None);
    }
}
