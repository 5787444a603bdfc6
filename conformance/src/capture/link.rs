//! Link types: every frame is brought into the form of Ethernet.

use super::pcap::Packet;

/// What a capture was taken on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Link {
    /// Ethernet (`LINKTYPE_ETHERNET`).
    #[default]
    Ethernet,
    /// IP packets without a link header (`LINKTYPE_RAW` and its kin): a TUN device.
    Raw,
    /// `LINKTYPE_LINUX_SLL`: `tcpdump -i any`.
    Cooked,
    /// `LINKTYPE_LINUX_SLL2`.
    Cooked2,
}

/// Bytes of an Ethernet header.
const ETH: usize = 14;
/// `sll_pkttype` of a frame that the host sent.
const PACKET_OUTGOING: u16 = 4;

impl Link {
    /// The link of a `LINKTYPE_*` number, if it is one that is read.
    pub(super) fn of(linktype: u32) -> Option<Self> {
        match linktype {
            1 => Some(Self::Ethernet),
            // DLT_RAW has two numbers; IPv4 and IPv6 alone have one each.
            12 | 101 | 228 | 229 => Some(Self::Raw),
            113 => Some(Self::Cooked),
            276 => Some(Self::Cooked2),
            _ => None,
        }
    }

    fn header(self) -> usize {
        match self {
            Self::Ethernet => ETH,
            Self::Raw => 0,
            Self::Cooked => 16,
            Self::Cooked2 => 20,
        }
    }

    /// The length that a frame of this length on the wire has in the form of Ethernet.
    pub(super) fn length(self, orig_len: u32) -> u32 {
        orig_len.saturating_sub(self.header() as u32).saturating_add(ETH as u32)
    }

    /// The frame in the form of Ethernet; `None`: it is shorter than the link's header. Number,
    /// time and length are the caller's to fill in.
    pub(super) fn frame(self, data: Vec<u8>) -> Option<Packet> {
        let packet = |outgoing, data| Packet {
            number: 0,
            time_ns: 0,
            orig_len: 0,
            data,
            outgoing,
            link: self,
            at: None,
        };
        let word = |at: usize| Some(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?]));
        let (outgoing, ether_type, source) = match self {
            Self::Ethernet => return Some(packet(None, data)),
            Self::Raw => {
                let version = data.first().map_or(4, |b| b >> 4);
                (None, if version == 6 { 0x86dd } else { 0x0800 }, None)
            }
            Self::Cooked => (Some(word(0)? == PACKET_OUTGOING), word(14)?, data.get(6..12)),
            Self::Cooked2 => {
                let outgoing = u16::from(*data.get(10)?) == PACKET_OUTGOING;
                (Some(outgoing), word(0)?, data.get(12..18))
            }
        };
        let payload = data.get(self.header()..)?;
        let mut out = vec![0; ETH];
        if let Some(mac) = source {
            out[6..12].copy_from_slice(mac);
        }
        out[12..14].copy_from_slice(&u16::to_be_bytes(ether_type));
        out.extend_from_slice(payload);
        Some(packet(outgoing, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cooked_and_raw_frames_become_ethernet() {
        let ip = [0x45, 0, 0, 20];
        let mut sll = vec![0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 8, 0];
        sll.extend(ip);
        let p = Link::Cooked.frame(sll).unwrap();
        assert_eq!(
            (p.outgoing, &p.data[6..12], &p.data[12..]),
            (Some(true), &[2, 0, 0, 0, 0, 9][..], &[8, 0, 0x45, 0, 0, 20][..])
        );
        let mut sll2 = vec![8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0];
        sll2.extend(ip);
        let p = Link::Cooked2.frame(sll2).unwrap();
        assert_eq!((p.outgoing, &p.data[12..]), (Some(false), &[8, 0, 0x45, 0, 0, 20][..]));
        let p = Link::Raw.frame(ip.to_vec()).unwrap();
        assert_eq!((p.outgoing, p.data.len(), Link::Raw.length(20)), (None, 18, 34));
        assert_eq!(Link::Cooked.frame(vec![0; 10]), None);
    }
}
