//! Descriptors: the bits of their words, and loads and stores through DMA memory.

use crate::mem::{BusError, DmaAddr, DmaMem};

/// A descriptor's length and alignment, bytes.
pub const DESC_SIZE: u32 = 16;

/// Where a ring's end is marked: the one difference between Aspeed's and Faraday's descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Descriptors {
    /// Aspeed: bit 30.
    #[default]
    Aspeed,
    /// Faraday: bit 15.
    Faraday,
}

impl Descriptors {
    /// EDOTR and EDORR, the end-of-ring bit of word 0.
    pub const fn end_of_ring(self) -> u32 {
        match self {
            Self::Aspeed => 1 << 30,
            Self::Faraday => 1 << 15,
        }
    }
}

/// Transmit descriptor, word 0.
pub mod txdes0 {
    /// The segment's length, bytes.
    pub const TXBUF_SIZE: u32 = 0x3fff;
    /// CRC error.
    pub const CRC_ERR: u32 = 1 << 19;
    /// Last segment of its frame.
    pub const LTS: u32 = 1 << 28;
    /// First segment of its frame.
    pub const FTS: u32 = 1 << 29;
    /// The hardware owns the descriptor.
    pub const TXDMA_OWN: u32 = 1 << 31;
}

/// Transmit descriptor, word 1; read in a frame's first segment only.
pub mod txdes1 {
    /// The tag to insert.
    pub const VLANTAG_CI: u32 = 0xffff;
    /// Insert the tag.
    pub const INS_VLANTAG: u32 = 1 << 16;
    /// Insert the TCP checksum.
    pub const TCP_CHKSUM: u32 = 1 << 17;
    /// Insert the UDP checksum.
    pub const UDP_CHKSUM: u32 = 1 << 18;
    /// Insert the IPv4 header checksum.
    pub const IP_CHKSUM: u32 = 1 << 19;
    /// The frame has an LLC header.
    pub const LLC: u32 = 1 << 22;
    /// Interrupt when the frame is in the FIFO.
    pub const TX2FIC: u32 = 1 << 30;
    /// Interrupt when the frame is on the wire.
    pub const TXIC: u32 = 1 << 31;
}

/// Receive descriptor, word 0.
pub mod rxdes0 {
    /// Bytes in the buffer; the FCS counts.
    pub const VDBC: u32 = 0x3fff;
    /// To a multicast address.
    pub const MULTICAST: u32 = 1 << 16;
    /// To the broadcast address.
    pub const BROADCAST: u32 = 1 << 17;
    /// The PHY signalled an error.
    pub const RX_ERR: u32 = 1 << 18;
    /// The FCS is wrong.
    pub const CRC_ERR: u32 = 1 << 19;
    /// The frame was too long and is cut.
    pub const FTL: u32 = 1 << 20;
    /// Under 64 bytes.
    pub const RUNT: u32 = 1 << 21;
    /// An odd number of nibbles.
    pub const RX_ODD_NB: u32 = 1 << 22;
    /// The receive FIFO was full.
    pub const FIFO_FULL: u32 = 1 << 23;
    /// A pause opcode.
    pub const PAUSE_OPCODE: u32 = 1 << 24;
    /// A pause frame.
    pub const PAUSE_FRAME: u32 = 1 << 25;
    /// Last segment of its frame.
    pub const LRS: u32 = 1 << 28;
    /// First segment of its frame.
    pub const FRS: u32 = 1 << 29;
    /// The software owns the descriptor.
    pub const RXPKT_RDY: u32 = 1 << 31;
}

/// Receive descriptor, word 1; valid in a frame's first and last segment.
pub mod rxdes1 {
    /// The tag of the frame.
    pub const VLANTAG_CI: u32 = 0xffff;
    /// The protocol that was recognised.
    pub const PROT_MASK: u32 = 3 << 20;
    /// Not IPv4.
    pub const PROT_NONIP: u32 = 0 << 20;
    /// IPv4, and neither TCP nor UDP, or a fragment.
    pub const PROT_IP: u32 = 1 << 20;
    /// TCP over IPv4.
    pub const PROT_TCPIP: u32 = 2 << 20;
    /// UDP over IPv4.
    pub const PROT_UDPIP: u32 = 3 << 20;
    /// An LLC header.
    pub const LLC: u32 = 1 << 22;
    /// A fragment of a datagram.
    pub const DF: u32 = 1 << 23;
    /// The frame had a VLAN tag.
    pub const VLANTAG_AVAIL: u32 = 1 << 24;
    /// The TCP checksum is wrong.
    pub const TCP_CHKSUM_ERR: u32 = 1 << 25;
    /// The UDP checksum is wrong.
    pub const UDP_CHKSUM_ERR: u32 = 1 << 26;
    /// The IPv4 header checksum is wrong.
    pub const IP_CHKSUM_ERR: u32 = 1 << 27;
}

/// A descriptor as it is in memory; word 2 is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Desc {
    pub(crate) w0: u32,
    pub(crate) w1: u32,
    pub(crate) buf: DmaAddr,
}

impl Desc {
    pub(crate) fn load(mem: &DmaMem, at: DmaAddr) -> Result<Self, BusError> {
        let b = mem
            .bytes(at, DESC_SIZE)?
            .first_chunk::<16>()
            .ok_or(BusError { addr: at, len: DESC_SIZE })?;
        let word = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        Ok(Self { w0: word(0), w1: word(4), buf: DmaAddr(word(12)) })
    }
}

/// Writes words 0 and 1 back.
pub(crate) fn store(mem: &mut DmaMem, at: DmaAddr, w0: u32, w1: u32) -> Result<(), BusError> {
    let v = u64::from(w0) | u64::from(w1) << 32;
    mem.write(at, &v.to_le_bytes())
}
