//! The registers: offsets, names, access, reset values and write masks in one table, and their bits.

use std::fmt;

/// A register, by its offset in the MAC's window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(pub u32);

/// What a driver may do with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads back what was written.
    Rw,
    /// Writes are ignored.
    Ro,
    /// Reads zero.
    Wo,
    /// A one clears its bit.
    Rw1c,
}

/// How much of a register's meaning the model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// All that a driver can notice.
    Full,
    /// Keeps its value and does nothing with it: on this bus it has no effect.
    Stored,
    /// Keeps its value; what it does is not modelled yet.
    NotYet,
}

/// A row of the register table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The register.
    pub reg: Reg,
    /// The datasheet's name.
    pub name: &'static str,
    /// What a driver may do with it.
    pub access: Access,
    /// Its value after power-on. MAC_MADR and MAC_LADR come from straps instead.
    pub reset: u32,
    /// The bits that a write can change (for RW1C: clear).
    pub mask: u32,
    /// How much of it is modelled.
    pub model: Model,
}

macro_rules! registers {
    ($($off:literal $name:ident $access:ident $reset:literal $mask:literal $model:ident: $doc:literal;)*) => {
        impl Reg {
            $(#[doc = $doc] pub const $name: Self = Self($off);)*
        }

        /// Every register of the MAC, by offset.
        pub const TABLE: &[Info] = &[$(Info {
            reg: Reg($off), name: stringify!($name), access: Access::$access, reset: $reset, mask: $mask,
            model: Model::$model,
        }),*];
    };
}

registers! {
    0x00 ISR Rw1c 0 0x7ff Full: "Interrupt status; the line is `ISR & IER != 0`.";
    0x04 IER Rw 0 0x7ff Full: "Interrupt enable.";
    0x08 MAC_MADR Rw 0 0xffff Full: "Bytes 0 and 1 of the MAC address, byte 0 in bits 15..8.";
    0x0c MAC_LADR Rw 0 0xffff_ffff Full: "Bytes 2 to 5 of the MAC address, byte 2 in bits 31..24.";
    0x10 MAHT0 Rw 0 0xffff_ffff Full: "Multicast hash, bits 0 to 31.";
    0x14 MAHT1 Rw 0 0xffff_ffff Full: "Multicast hash, bits 32 to 63.";
    0x18 NPTXPD Wo 0 0xffff_ffff Full: "Doorbell of the normal-priority transmit ring.";
    0x1c RXPD Wo 0 0xffff_ffff Full: "Doorbell of the receive ring.";
    0x20 NPTXR_BADR Rw 0 0xffff_fff0 Full: "Base of the transmit ring; a misaligned write is ignored.";
    0x24 RXR_BADR Rw 0 0xffff_fff0 Full: "Base of the receive ring; a misaligned write is ignored.";
    0x28 HPTXPD Wo 0 0xffff_ffff NotYet: "Doorbell of the high-priority transmit ring.";
    0x2c HPTXR_BADR Rw 0 0xffff_fff0 NotYet: "Base of the high-priority transmit ring.";
    0x30 ITC Rw 0 0xffff Full: "Interrupt mitigation.";
    0x34 APTC Rw 1 0x1f1f Full: "Automatic polling of the rings.";
    0x38 DBLAC Rw 0x22f00 0xff_ffff Full: "Bursts, FIFO thresholds and descriptor sizes; of these, sizes matter here.";
    0x3c DMAFIFOS Ro 0x0c00_0000 0 Stored: "DMA state machines and FIFO empty bits.";
    0x40 REVR Rw 0 0xffff_ffff NotYet: "Revision; bit 31 selects the new MDIO interface.";
    0x44 FEAR Rw 0 0x3f Full: "Features: receive FIFO size 2..0, transmit FIFO size 5..3, each 2 KiB shifted by the field.";
    0x48 TPAFCR Rw 0xf1 0xff00_00ff Stored: "Transmit priority arbitration and FIFO control.";
    0x4c RBSR Rw 0x640 0x3ff8 Full: "Receive buffer size, bytes, a multiple of 8.";
    0x50 MACCR Rw 0 0x800f_ffff Full: "Control.";
    0x54 MACSR Rw1c 0 0xfff NotYet: "Status.";
    0x58 TM Rw 0 0xffff_ffff NotYet: "Test mode.";
    0x60 PHYCR Rw 0 0x0fff_003f Full: "MDIO control, old interface.";
    0x64 PHYDATA Rw 0 0x0000_ffff Full: "MDIO data, old interface: to write in 15..0, read in 31..16.";
    0x68 FCR Rw 0x400 0xffff_ffff NotYet: "Flow control.";
    0x6c BPR Rw 0 0xffff_ffff Stored: "Back pressure: half duplex only.";
    0x70 WOLCR Rw 0 0xffff_ffff NotYet: "Wake on LAN control.";
    0x74 WOLSR Rw1c 0 0xffff_ffff NotYet: "Wake on LAN status.";
    0x78 WFCRC Rw 0 0xffff_ffff NotYet: "CRC of the selected wake-up frame.";
    0x80 WFBM1 Rw 0 0xffff_ffff NotYet: "Byte mask of the wake-up frame, bytes 0 to 31.";
    0x84 WFBM2 Rw 0 0xffff_ffff NotYet: "Byte mask of the wake-up frame, bytes 32 to 63.";
    0x88 WFBM3 Rw 0 0xffff_ffff NotYet: "Byte mask of the wake-up frame, bytes 64 to 95.";
    0x8c WFBM4 Rw 0 0xffff_ffff NotYet: "Byte mask of the wake-up frame, bytes 96 to 127.";
    0x90 NPTXR_PTR Ro 0 0 Full: "The transmit descriptor that is next.";
    0x94 HPTXR_PTR Ro 0 0 NotYet: "The high-priority transmit descriptor that is next.";
    0x98 RXR_PTR Ro 0 0 Full: "The receive descriptor that is next.";
    0xa0 TX Ro 0 0 NotYet: "Frames sent.";
    0xa4 TX_MCOL_SCOL Ro 0 0 NotYet: "Multiple and single collisions.";
    0xa8 TX_ECOL_FAIL Ro 0 0 NotYet: "Excessive collisions and failures.";
    0xac TX_LCOL_UND Ro 0 0 NotYet: "Late collisions and underruns.";
    0xb0 RX Ro 0 0 NotYet: "Frames received.";
    0xb4 RX_BC Ro 0 0 NotYet: "Broadcast frames received.";
    0xb8 RX_MC Ro 0 0 NotYet: "Multicast frames received.";
    0xbc RX_PF_AEP Ro 0 0 NotYet: "Pause frames and alignment errors.";
    0xc0 RX_RUNT Ro 0 0 NotYet: "Runts received.";
    0xc4 RX_CRCER_FTL Ro 0 0 NotYet: "Frames with a wrong FCS and frames too long.";
    0xc8 RX_COL_LOST Ro 0 0 NotYet: "Collisions and lost frames.";
}

/// Words of the register file.
pub(crate) const WORDS: usize = 0xcc / 4;

const fn index() -> [u8; WORDS] {
    let mut t = [u8::MAX; WORDS];
    let mut i = 0;
    while i < TABLE.len() {
        t[(TABLE[i].reg.0 / 4) as usize] = i as u8;
        i += 1;
    }
    t
}

const INDEX: [u8; WORDS] = index();

const fn resets() -> [u32; WORDS] {
    let mut t = [0; WORDS];
    let mut i = 0;
    while i < TABLE.len() {
        t[(TABLE[i].reg.0 / 4) as usize] = TABLE[i].reset;
        i += 1;
    }
    t
}

/// The register file after power-on.
pub(crate) const RESET: [u32; WORDS] = resets();

impl Reg {
    /// Its row of the table; `None` where no register is.
    pub fn info(self) -> Option<&'static Info> {
        if !self.0.is_multiple_of(4) {
            return None;
        }
        TABLE.get(*INDEX.get((self.0 / 4) as usize)? as usize)
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.info() {
            Some(i) => f.write_str(i.name),
            None => write!(f, "Reg({:#x})", self.0),
        }
    }
}

/// Bits of [`Reg::ISR`] and [`Reg::IER`].
pub mod int {
    /// A frame is in receive buffers.
    pub const RPKT_BUF: u32 = 1 << 0;
    /// A frame waits in the receive FIFO.
    pub const RPKT_FIFO: u32 = 1 << 1;
    /// No receive descriptor was free.
    pub const NO_RXBUF: u32 = 1 << 2;
    /// A frame was lost because the receive FIFO was full.
    pub const RPKT_LOST: u32 = 1 << 3;
    /// A frame is on the wire.
    pub const XPKT_ETH: u32 = 1 << 4;
    /// A frame that asked for it is in the transmit FIFO.
    pub const XPKT_FIFO: u32 = 1 << 5;
    /// The transmit ring has no more descriptors.
    pub const NO_NPTXBUF: u32 = 1 << 6;
    /// A frame to be sent was lost.
    pub const XPKT_LOST: u32 = 1 << 7;
    /// A bus master's access failed.
    pub const AHB_ERR: u32 = 1 << 8;
    /// The PHY asks for attention.
    pub const PHYSTS_CHG: u32 = 1 << 9;
    /// The high-priority transmit ring has no more descriptors.
    pub const NO_HPTXBUF: u32 = 1 << 10;
}

/// Bits of [`Reg::MACCR`].
pub mod maccr {
    /// The transmit DMA runs.
    pub const TXDMA_EN: u32 = 1 << 0;
    /// The receive DMA runs.
    pub const RXDMA_EN: u32 = 1 << 1;
    /// The transmitter runs.
    pub const TXMAC_EN: u32 = 1 << 2;
    /// The receiver runs.
    pub const RXMAC_EN: u32 = 1 << 3;
    /// VLAN tags are taken out of received frames.
    pub const RM_VLAN: u32 = 1 << 4;
    /// The high-priority ring is in use.
    pub const HPTXR_EN: u32 = 1 << 5;
    /// Transmitted frames are received, not sent.
    pub const LOOP_EN: u32 = 1 << 6;
    /// Reception while transmitting in half duplex.
    pub const ENRX_IN_HALFTX: u32 = 1 << 7;
    /// Full duplex.
    pub const FULLDUP: u32 = 1 << 8;
    /// 1000 Mbit/s.
    pub const GIGA_MODE: u32 = 1 << 9;
    /// The MAC appends the FCS; without it the frame's last four bytes are one.
    pub const CRC_APD: u32 = 1 << 10;
    /// Polarity of the PHY's interrupt.
    pub const PHY_LINK_LEVEL: u32 = 1 << 11;
    /// Frames under 64 bytes are received.
    pub const RX_RUNT: u32 = 1 << 12;
    /// The limit of a frame's length is 9216 bytes.
    pub const JUMBO_LF: u32 = 1 << 13;
    /// Every frame is received.
    pub const RX_ALL: u32 = 1 << 14;
    /// Multicast frames that the hash selects are received.
    pub const HT_MULTI_EN: u32 = 1 << 15;
    /// Every multicast frame is received.
    pub const RX_MULTIPKT: u32 = 1 << 16;
    /// Broadcast frames are received.
    pub const RX_BROADPKT: u32 = 1 << 17;
    /// Frames with a wrong FCS are not received.
    pub const DISCARD_CRCERR: u32 = 1 << 18;
    /// 100 Mbit/s.
    pub const FAST_MODE: u32 = 1 << 19;
    /// Reset; clears itself.
    pub const SW_RST: u32 = 1 << 31;
}

/// Fields of [`Reg::ITC`] and [`Reg::APTC`].
pub mod itc {
    /// Unit of the receive timer, times 16.
    pub const RXINT_TIME_SEL: u32 = 1 << 7;
    /// Unit of the transmit timer, times 16.
    pub const TXINT_TIME_SEL: u32 = 1 << 15;

    /// Units from the first frame to a receive interrupt.
    pub const fn rxint_cnt(v: u32) -> u32 {
        v & 0xf
    }

    /// Frames to a receive interrupt.
    pub const fn rxint_thr(v: u32) -> u32 {
        (v & 7) << 4
    }

    /// Units from the first frame to a transmit interrupt.
    pub const fn txint_cnt(v: u32) -> u32 {
        (v & 0xf) << 8
    }

    /// Frames to a transmit interrupt.
    pub const fn txint_thr(v: u32) -> u32 {
        (v & 7) << 12
    }
}

/// Fields of [`Reg::APTC`].
pub mod aptc {
    /// Unit of the receive poll, times 16.
    pub const RXPOLL_TIME_SEL: u32 = 1 << 4;
    /// Unit of the transmit poll, times 16.
    pub const TXPOLL_TIME_SEL: u32 = 1 << 12;

    /// Units between looks at the receive ring; 0 never.
    pub const fn rxpoll_cnt(v: u32) -> u32 {
        v & 0xf
    }

    /// Units between looks at the transmit ring; 0 never.
    pub const fn txpoll_cnt(v: u32) -> u32 {
        (v & 0xf) << 8
    }
}

/// Fields of [`Reg::PHYCR`].
pub mod phycr {
    /// Starts a read; clears itself.
    pub const MIIRD: u32 = 1 << 26;
    /// Starts a write; clears itself.
    pub const MIIWR: u32 = 1 << 27;

    /// The address of the PHY.
    pub const fn phyad(v: u32) -> u32 {
        (v & 0x1f) << 16
    }

    /// The register of the PHY.
    pub const fn regad(v: u32) -> u32 {
        (v & 0x1f) << 21
    }

    /// Divider of the MDIO clock.
    pub const fn mdc_cycthr(v: u32) -> u32 {
        v & 0x3f
    }
}
