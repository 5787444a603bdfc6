//! The PHY behind each MAC: registers as of an RTL8211E, with a link partner that can do 100 Mbit/s full duplex.
//!
//! Modelled: identifiers, BMCR (reset, negotiation, power down), BMSR with the latched link bit, ANAR, ANLPAR, ANER,
//! 1000BASE-T control and status, interrupt enable and status with the link bit. Negotiation is done at once. Pages other
//! than 0 (register 31) read zero and keep nothing. There is no bit-serial bus: a register access takes no time.

/// Registers of the PHY.
pub mod mii {
    /// Basic control.
    pub const BMCR: u8 = 0;
    /// Basic status.
    pub const BMSR: u8 = 1;
    /// Identifier, upper half.
    pub const PHYSID1: u8 = 2;
    /// Identifier, lower half.
    pub const PHYSID2: u8 = 3;
    /// What is advertised.
    pub const ADVERTISE: u8 = 4;
    /// What the partner advertises.
    pub const LPA: u8 = 5;
    /// Negotiation expansion.
    pub const EXPANSION: u8 = 6;
    /// 1000BASE-T control.
    pub const CTRL1000: u8 = 9;
    /// 1000BASE-T status.
    pub const STAT1000: u8 = 10;
    /// Extended status.
    pub const ESTATUS: u8 = 15;
    /// Interrupt enable of the RTL8211E.
    pub const INER: u8 = 18;
    /// Interrupt status of the RTL8211E; a read clears it.
    pub const INSR: u8 = 19;
    /// Page select of the RTL8211E.
    pub const PAGSR: u8 = 31;
}

const BMCR_RESET: u16 = 1 << 15;
const BMCR_ANENABLE: u16 = 1 << 12;
const BMCR_PDOWN: u16 = 1 << 11;
const BMCR_ANRESTART: u16 = 1 << 9;
/// 10 and 100 Mbit/s both ways, extended status, no preamble needed, negotiation, extended registers.
const BMSR_ABLE: u16 = 0x7949;
const BMSR_ANEGCOMPLETE: u16 = 1 << 5;
const BMSR_LSTATUS: u16 = 1 << 2;
/// The link bit of the interrupt registers.
const INT_LINK: u16 = 1 << 10;

/// State of the PHY; the default is that after its own reset, with the link up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phy {
    bmcr: u16,
    advertise: u16,
    ctrl1000: u16,
    iner: u16,
    insr: u16,
    page: u16,
    /// The cable is plugged and the partner is there.
    cable: bool,
    /// The link was down since BMSR was last read.
    was_down: bool,
}

impl Default for Phy {
    fn default() -> Self {
        Self {
            bmcr: 0x1140,
            advertise: 0x0de1,
            ctrl1000: 0x0300,
            iner: 0,
            insr: 0,
            page: 0,
            cable: true,
            was_down: false,
        }
    }
}

impl Phy {
    pub(crate) fn link(&self) -> bool {
        self.cable && self.bmcr & BMCR_PDOWN == 0
    }

    /// Whether its interrupt is asserted.
    pub(crate) fn interrupt(&self) -> bool {
        self.insr & self.iner != 0
    }

    pub(crate) fn set_cable(&mut self, up: bool) {
        let before = self.link();
        self.cable = up;
        self.moved(before);
    }

    fn moved(&mut self, before: bool) {
        if before != self.link() {
            self.insr |= INT_LINK;
            self.was_down |= before;
        }
    }

    pub(crate) fn read(&mut self, reg: u8) -> u16 {
        if self.page != 0 && reg != mii::PAGSR {
            return 0;
        }
        let negotiated = self.link() && self.bmcr & BMCR_ANENABLE != 0;
        match reg {
            mii::BMCR => self.bmcr,
            mii::BMSR => {
                let mut v = BMSR_ABLE;
                if negotiated {
                    v |= BMSR_ANEGCOMPLETE;
                }
                if self.link() && !self.was_down {
                    v |= BMSR_LSTATUS;
                }
                self.was_down = false;
                v
            }
            mii::PHYSID1 => 0x001c,
            mii::PHYSID2 => 0xc915,
            mii::ADVERTISE => self.advertise,
            // 10 and 100 Mbit/s both ways, pause both ways, acknowledged.
            mii::LPA if negotiated => 0x4de1,
            mii::EXPANSION if negotiated => 0x0001,
            mii::CTRL1000 => self.ctrl1000,
            mii::ESTATUS => 0x3000,
            mii::INER => self.iner,
            mii::INSR => std::mem::take(&mut self.insr),
            mii::PAGSR => self.page,
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, reg: u8, v: u16) {
        if self.page != 0 && reg != mii::PAGSR {
            return;
        }
        let before = self.link();
        match reg {
            mii::BMCR if v & BMCR_RESET != 0 => {
                let (cable, was_down) = (self.cable, self.was_down);
                *self = Self { cable, was_down, ..Self::default() };
            }
            mii::BMCR => self.bmcr = v & !(BMCR_RESET | BMCR_ANRESTART),
            mii::ADVERTISE => self.advertise = v & 0x2fff,
            mii::CTRL1000 => self.ctrl1000 = v & 0xff00,
            mii::INER => self.iner = v,
            mii::PAGSR => self.page = v & 7,
            _ => {}
        }
        self.moved(before);
    }
}
