//! The way to the PHY: the old interface, PHYCR and PHYDATA.
//!
//! A write of MIIRD or MIIWR is done at once and both bits read back clear, as a driver that polls them expects. One PHY
//! answers at address 0; at any other the bus floats and reads ones. The new interface that REVR bit 31 selects is not
//! modelled: its fire bit has no meaning here.

use crate::mac::State;
use crate::regs::{Reg, phycr};

/// The address that the PHY answers at.
pub const PHY_ADDR: u32 = 0;

pub(crate) fn write_phycr(s: &mut State, v: u32) {
    let (addr, reg) = (v >> 16 & 0x1f, (v >> 21 & 0x1f) as u8);
    let data = s.get(Reg::PHYDATA);
    if v & phycr::MIIWR != 0 && addr == PHY_ADDR {
        s.phy.write(reg, data as u16);
    }
    if v & phycr::MIIRD != 0 {
        let r = if addr == PHY_ADDR { s.phy.read(reg) } else { 0xffff };
        s.set(Reg::PHYDATA, data & 0xffff | u32::from(r) << 16);
    }
    s.set(Reg::PHYCR, v & !(phycr::MIIRD | phycr::MIIWR));
}
