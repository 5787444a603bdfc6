//! The Internet checksum (RFC 1071; Linux `lib/checksum.c`, `asm-generic/checksum.h`).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A one's complement sum in the making. Pieces may have odd lengths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Csum {
    /// Sum of little-endian 16-bit words; the byte order cancels out until the end.
    sum: u64,
    odd: bool,
}

impl Csum {
    /// Adds the next bytes (`csum_partial`).
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let part = fold(sum_words(bytes));
        self.sum += u64::from(if self.odd { part.swap_bytes() } else { part });
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// Adds a 16-bit value in host order; only between pieces of even length.
    pub(crate) fn add_u16(&mut self, value: u16) {
        self.add(&value.to_be_bytes());
    }

    /// The folded sum, not complemented, in host order.
    pub(crate) fn folded(self) -> u16 {
        fold(self.sum).swap_bytes()
    }

    /// The checksum (`csum_fold`), in host order; 0 over data that hold a right checksum.
    pub(crate) fn finish(self) -> u16 {
        !self.folded()
    }
}

/// Sums 16-bit little-endian words; an odd last byte is padded with zero.
fn sum_words(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut sum = 0_u64;
    for word in &mut words {
        sum += u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    sum + u64::from(u32::from_le_bytes(last))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum of a whole buffer (`ip_fast_csum`, `ip_compute_csum`), in host order.
pub(crate) fn ip_compute_csum(bytes: &[u8]) -> u16 {
    let mut sum = Csum::default();
    sum.add(bytes);
    sum.finish()
}

/// The sum of TCP's and UDP's pseudo-header (`csum_tcpudp_nofold`).
pub(crate) fn csum_pseudo(saddr: Ipv4Addr, daddr: Ipv4Addr, len: usize, proto: u8) -> Csum {
    let mut sum = Csum::default();
    sum.add(&saddr.octets());
    sum.add(&daddr.octets());
    sum.add_u16(proto.into());
    sum.add(&(len as u32).to_be_bytes());
    sum
}

/// The sum of the pseudo-header over IPv6 (`csum_ipv6_magic`, RFC 8200 8.1).
pub(crate) fn csum_ipv6_pseudo(saddr: Ipv6Addr, daddr: Ipv6Addr, len: usize, proto: u8) -> Csum {
    let mut sum = Csum::default();
    sum.add(&saddr.octets());
    sum.add(&daddr.octets());
    sum.add(&(len as u32).to_be_bytes());
    sum.add_u16(proto.into());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfc_example_holds_however_it_is_cut() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        for cut in 0..=bytes.len() {
            let mut sum = Csum::default();
            sum.add(&bytes[..cut]);
            sum.add(&bytes[cut..]);
            assert_eq!(sum.folded(), 0xddf2, "cut at {cut}");
        }
    }

    #[test]
    fn an_odd_tail_is_padded_behind() {
        assert_eq!(ip_compute_csum(&[0x12]), !0x1200);
    }
}
