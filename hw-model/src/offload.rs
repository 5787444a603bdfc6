//! What the MAC does to a frame's bytes: VLAN tags in and out, checksums inserted and checked.
//!
//! The engine knows Ethernet II frames, with one 802.1Q tag or none, that carry an IPv4 datagram which is not a fragment,
//! with TCP or UDP in it. IPv6 and LLC frames pass untouched: their PROT is "not IP", and a checksum asked for is not
//! inserted. What a header's lengths claim beyond the frame's end is not summed.

use crate::descriptor::{rxdes1, txdes1};
use crate::frame::Frame;

const ETH_P_IP: u16 = 0x0800;
const ETH_P_8021Q: u16 = 0x8100;
/// Frames whose type field is below this carry a length and an LLC header.
const ETH_P_802_3_MIN: u16 = 0x0600;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Ethernet, tag, the longest IPv4 header, and the part of TCP and UDP that is looked at.
const LOOK: usize = 14 + 4 + 60 + 20;

/// A ones' complement sum of 16-bit words (RFC 1071) over pieces of any length, one after another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    acc: u64,
    odd: bool,
}

impl Sum {
    /// A sum of nothing.
    pub const fn new() -> Self {
        Self { acc: 0, odd: false }
    }

    /// Adds bytes that follow those added before.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let s = fold(sum_le(bytes));
        // Little-endian words over an odd start are the big-endian words over an even one.
        let s = if self.odd { s } else { s.swap_bytes() };
        self.acc += u64::from(s);
        self.odd ^= bytes.len() & 1 == 1;
    }

    /// Adds one word.
    #[inline]
    pub fn add_u16(&mut self, v: u16) {
        self.acc += u64::from(v);
    }

    /// The sum, folded to 16 bits and not inverted.
    #[inline]
    pub fn folded(self) -> u16 {
        fold(self.acc)
    }

    /// The checksum: the inverted sum, to be stored big-endian.
    #[inline]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// The checksum of some bytes.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut s = Sum::new();
    s.add(bytes);
    s.checksum()
}

#[inline]
fn fold(mut s: u64) -> u16 {
    s = (s & 0xffff_ffff) + (s >> 32);
    s = (s & 0xffff_ffff) + (s >> 32);
    let mut s = s as u32;
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    s as u16
}

/// Sum of little-endian words, in 64-bit lanes that cannot overflow under 2^32 bytes.
fn sum_le(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; 4];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for b in blocks {
        let (words, _) = b.as_chunks::<8>();
        for (lane, w) in lanes.iter_mut().zip(words) {
            let w = u64::from_le_bytes(*w);
            *lane += (w & 0xffff_ffff) + (w >> 32);
        }
    }
    let mut s: u64 = lanes.iter().sum();
    let (words, tail) = rest.as_chunks::<4>();
    for w in words {
        s += u64::from(u32::from_le_bytes(*w));
    }
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    s + u64::from(u32::from_le_bytes(last))
}

fn be16(h: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*h.get(at)?, *h.get(at + 1)?]))
}

/// An IPv4 datagram that the engine can work on.
struct Ip4 {
    /// Where its header starts and how long it is.
    at: usize,
    ihl: usize,
    /// The length that the header claims.
    total: usize,
    proto: u8,
    fragment: bool,
}

enum Kind {
    Other,
    Llc,
    Ip4(Ip4),
}

/// Where the network header is, and the type before it: behind one tag at most.
fn ethertype(h: &[u8]) -> Option<(usize, u16)> {
    match be16(h, 12)? {
        ETH_P_8021Q => Some((18, be16(h, 16)?)),
        t => Some((14, t)),
    }
}

fn classify(h: &[u8]) -> Kind {
    let ip = |at: usize| {
        let first = *h.get(at)?;
        let ihl = usize::from(first & 0xf) * 4;
        if first >> 4 != 4 || ihl < 20 || h.len() < at + ihl {
            return None;
        }
        Some(Ip4 {
            at,
            ihl,
            total: usize::from(be16(h, at + 2)?),
            proto: h[at + 9],
            fragment: be16(h, at + 6)? & 0x3fff != 0,
        })
    };
    match ethertype(h) {
        Some((at, ETH_P_IP)) => ip(at).map_or(Kind::Other, Kind::Ip4),
        Some((_, t)) if t < ETH_P_802_3_MIN => Kind::Llc,
        _ => Kind::Other,
    }
}

impl Ip4 {
    fn l4(&self) -> usize {
        self.at + self.ihl
    }

    /// Length of the transport segment, when the frame has all of it.
    fn l4_len(&self, frame: usize) -> Option<usize> {
        if self.at + self.total > frame { None } else { self.total.checked_sub(self.ihl) }
    }

    /// Sum over pseudo header and segment.
    fn l4_sum(&self, f: &Frame, h: &[u8], len: usize) -> Sum {
        let mut s = Sum::new();
        s.add(&h[self.at + 12..self.at + 20]);
        s.add_u16(u16::from(self.proto));
        s.add_u16(len as u16);
        match f.in_head(self.l4(), len) {
            Some(whole) => s.add(whole),
            None => f.range(self.l4(), len).for_each(|c| s.add(c)),
        }
        s
    }
}

/// Inserts the checksums that word 1 of a transmit descriptor asks for.
pub(crate) fn insert_checksums(f: &mut Frame, des1: u32) {
    if des1 & (txdes1::IP_CHKSUM | txdes1::TCP_CHKSUM | txdes1::UDP_CHKSUM) == 0 {
        return;
    }
    f.pull(LOOK.min(f.len()));
    let Kind::Ip4(ip) = classify(f.head()) else {
        return;
    };
    let (at, ihl, l4) = (ip.at, ip.ihl, ip.l4());
    if des1 & txdes1::IP_CHKSUM != 0 {
        let h = f.head_mut();
        h[at + 10..at + 12].fill(0);
        let c = checksum(&h[at..at + ihl]);
        h[at + 10..at + 12].copy_from_slice(&c.to_be_bytes());
    }
    let (field, least) = match ip.proto {
        TCP if des1 & txdes1::TCP_CHKSUM != 0 => (l4 + 16, 20),
        UDP if des1 & txdes1::UDP_CHKSUM != 0 => (l4 + 6, 8),
        _ => return,
    };
    let Some(len) = ip.l4_len(f.len()) else {
        return;
    };
    if ip.fragment || len < least || f.head().len() < field + 2 {
        return;
    }
    f.head_mut()[field..field + 2].fill(0);
    let mut c = ip.l4_sum(f, f.head(), len).checksum();
    if ip.proto == UDP && c == 0 {
        c = 0xffff;
    }
    f.head_mut()[field..field + 2].copy_from_slice(&c.to_be_bytes());
}

/// Puts a tag behind the addresses.
pub(crate) fn insert_vlan(f: &mut Frame, tci: u16) {
    f.pull(12);
    let [hi, lo] = tci.to_be_bytes();
    f.insert(12, &[0x81, 0x00, hi, lo]);
}

/// The tag of a frame.
pub(crate) fn vlan_tci(h: &[u8]) -> Option<u16> {
    if be16(h, 12)? != ETH_P_8021Q {
        return None;
    }
    be16(h, 14)
}

/// What the receive engine finds in a frame: PROT, LLC, DF and the error bits of word 1.
pub(crate) fn check(f: &Frame) -> u32 {
    let mut scratch = [0; LOOK];
    let h = f.header(&mut scratch);
    let ip = match classify(h) {
        Kind::Other => return rxdes1::PROT_NONIP,
        Kind::Llc => return rxdes1::PROT_NONIP | rxdes1::LLC,
        Kind::Ip4(ip) => ip,
    };
    let mut w1 = 0;
    if checksum(&h[ip.at..ip.l4()]) != 0 || ip.total < ip.ihl {
        w1 |= rxdes1::IP_CHKSUM_ERR;
    }
    if ip.fragment {
        return w1 | rxdes1::PROT_IP | rxdes1::DF;
    }
    let (prot, least, err) = match ip.proto {
        TCP => (rxdes1::PROT_TCPIP, 20, rxdes1::TCP_CHKSUM_ERR),
        UDP => (rxdes1::PROT_UDPIP, 8, rxdes1::UDP_CHKSUM_ERR),
        _ => return w1 | rxdes1::PROT_IP,
    };
    w1 |= prot;
    let good = match ip.l4_len(f.len()) {
        Some(len) if len >= least => {
            // A UDP sender may leave the checksum out.
            ip.proto == UDP && be16(h, ip.l4() + 6) == Some(0)
                || ip.l4_sum(f, h, len).checksum() == 0
        }
        _ => false,
    };
    if good { w1 } else { w1 | err }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Word by word, as RFC 1071 4.1 has it.
    fn slow(bytes: &[u8]) -> u16 {
        let s: u64 = bytes
            .chunks(2)
            .map(|w| u64::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)])))
            .sum();
        !fold(s)
    }

    #[test]
    fn sums_in_pieces_are_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..1501u32).map(|i| ((i * 7919) >> 3) as u8 | 0x80).collect();
        for n in [0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 1460, 1501] {
            let b = &bytes[..n];
            assert_eq!(checksum(b), slow(b), "{n}");
            for cut in [0, 1, 2, 5, 32, 33] {
                let (x, y) = b.split_at(cut.min(n));
                let mut s = Sum::new();
                s.add(x);
                s.add(y);
                assert_eq!(s.checksum(), slow(b), "{n} cut at {cut}");
            }
        }
        assert_eq!(checksum(&[0xff; 4096]), 0);
    }
}
