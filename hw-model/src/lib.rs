//! The FTGMAC100 Ethernet MAC of the AST2500 as a board sees it: two MACs, their PHYs, DMA memory, and the wire.
//!
//! What is modelled, register by register, is in [`regs::TABLE`]: every register of the datasheet with its access, its
//! reset value and how much of it works. In short: rings both ways with frames of several descriptors, interrupts with
//! mitigation, filters, VLAN, IPv4 checksums, the old MDIO interface. Not yet: the high-priority ring, the new MDIO
//! interface, flow control, wake on LAN, counters, injected errors. The line is always full duplex.
//!
//! Time is virtual ([`Nanos`]) and passed in; equal calls have equal effects.
//!
//! # Where trust ends
//!
//! | who | may do | what holds |
//! | --- | --- | --- |
//! | driver | write anything to any register, also where none is | writes are masked by the table; a bad offset reads 0 and is counted ([`Stats::bad_offset`]) |
//! | driver | rings without an end, in loops, misaligned, outside memory | a doorbell walks at most [`MAX_WALK`] descriptors and each loses its OWN bit; what no mapping answers is AHB_ERR |
//! | driver | buffers that are rings, rings that are buffers, lengths beyond a buffer | an access lies wholly in one mapping or is a [`BusError`]; a descriptor is read before its buffer is written |
//! | driver | frames without first or last segment, of no bytes, of 64 Ki segments | counted, bounded at [`MAX_FRAME`] bytes |
//! | peer | frames of any length and content | cut at the limit of the chip; headers are read with bounds, lengths they claim are checked against the frame |
//! | peer | more frames than buffers | a FIFO of the chip's size, then RPKT_LOST |
//! | caller | times that go back, `u64::MAX` | saturating; a timer in the past is due at once |

mod descriptor;
mod filter;
mod frame;
mod mac;
mod mdio;
mod mem;
mod mitigation;
mod offload;
mod phy;
pub mod regs;
mod rx;
mod tx;
mod wire;

#[cfg(test)]
mod tests;

pub use descriptor::{DESC_SIZE, Descriptors, rxdes0, rxdes1, txdes0, txdes1};
pub use filter::multicast_hash;
pub use frame::{Fcs, Frame};
pub use mac::{Mac, Stats};
pub use mdio::PHY_ADDR;
pub use mem::{Buf, BusError, DmaAddr, DmaMem, Frag};
pub use offload::{Sum, checksum};
pub use phy::mii;
pub use regs::Reg;
pub use rx::{Filtered, Lost, RxOutcome};
pub use tx::{MAX_FRAME, MAX_WALK};
pub use wire::{End, Wire};

/// Virtual time, nanoseconds.
pub type Nanos = u64;

/// Where DRAM starts on the bus.
pub const DRAM_BASE: u32 = 0x8000_0000;
/// Where the register windows of the MACs are on the bus.
pub const MAC_BASE: [u32; 2] = [0x1e66_0000, 0x1e68_0000];
/// The MACs' interrupts at the VIC.
pub const MAC_IRQ: [u32; 2] = [2, 3];
/// The station addresses that the straps of the default board give.
pub const MAC_STRAP: [[u8; 6]; 2] =
    [[0x52, 0x54, 0x00, 0x12, 0x34, 0x56], [0x52, 0x54, 0x00, 0x12, 0x34, 0x57]];

/// A board: memory and two MACs. A clone is a snapshot.
#[derive(Clone, Debug)]
pub struct Board {
    /// What the bus masters see.
    pub mem: DmaMem,
    /// MAC1 and MAC2.
    pub macs: [Mac; 2],
}

impl Board {
    /// A board after power-on whose MACs have these addresses.
    pub fn new(straps: [[u8; 6]; 2], descriptors: Descriptors) -> Self {
        Self { mem: DmaMem::new(), macs: straps.map(|a| Mac::new(a, descriptors)) }
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new(MAC_STRAP, Descriptors::Aspeed)
    }
}
