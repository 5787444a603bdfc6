//! Which frames a MAC takes: own address, broadcast, multicast hash, all.

use crate::mac::State;
use crate::regs::{Reg, maccr};

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dst {
    Unicast,
    Multicast,
    Broadcast,
}

impl Dst {
    pub(crate) fn of(addr: &[u8; 6]) -> Self {
        match addr {
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Self::Broadcast,
            [first, ..] if first & 1 == 1 => Self::Multicast,
            _ => Self::Unicast,
        }
    }
}

/// The bit of MAHT0 (0 to 31) and MAHT1 (32 to 63) that an address selects.
///
/// The datasheet's formula is `~(crc32_le(addr) >> 2) & 0x3f` with a CRC that is not inverted at its end; the two
/// inversions cancel.
pub fn multicast_hash(addr: &[u8; 6]) -> u32 {
    (crc32fast::hash(addr) >> 2) & 0x3f
}

/// Whether the filters let a frame to this address in.
pub(crate) fn accepts(s: &State, addr: &[u8; 6], dst: Dst) -> bool {
    let cr = s.get(Reg::MACCR);
    let on = |bit| cr & bit != 0;
    if on(maccr::RX_ALL) {
        return true;
    }
    match dst {
        Dst::Unicast => *addr == s.mac_addr(),
        Dst::Broadcast => on(maccr::RX_BROADPKT),
        Dst::Multicast if on(maccr::RX_MULTIPKT) => true,
        Dst::Multicast if on(maccr::HT_MULTI_EN) => {
            let bits = u64::from(s.get(Reg::MAHT0)) | u64::from(s.get(Reg::MAHT1)) << 32;
            bits >> multicast_hash(addr) & 1 == 1
        }
        Dst::Multicast => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux's driver computes `(~(ether_crc_le(addr) >> 2)) & 0x3f`, bit by bit here.
    #[test]
    fn the_hash_is_the_datasheets() {
        fn crc32_le(addr: &[u8]) -> u32 {
            addr.iter().fold(!0, |mut crc, &b| {
                crc ^= u32::from(b);
                for _ in 0..8 {
                    crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
                }
                crc
            })
        }
        for addr in
            [[1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]]
        {
            assert_eq!(multicast_hash(&addr), !(crc32_le(&addr) >> 2) & 0x3f);
        }
    }
}
