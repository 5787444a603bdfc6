//! The MDIO bus by the old interface (PHYCR, PHYDATA) and what phylib asks of the PHY.

use super::regs::*;
use super::ring::{DriverIo, Ftgmac100};
use hw_model::Reg;

const MII_BMCR: u8 = 0;
const MII_BMSR: u8 = 1;
const MII_PHYSID1: u8 = 2;
const MII_PHYSID2: u8 = 3;
const MII_LPA: u8 = 5;
const MII_STAT1000: u8 = 10;
const BMSR_LSTATUS: u16 = 1 << 2;
const BMCR_ANRESTART: u16 = 1 << 9;
const BMCR_ANENABLE: u16 = 1 << 12;
const LPA_100: u16 = 0x0180;
const LPA_1000: u16 = 0x0c00;
/// The PHY of the evaluation board answers at this address.
const PHY_ADDR: u32 = 0;
/// Polls of 100 us each until a self-clearing bit is given up.
const MDIO_POLLS: usize = 10;

/// `ftgmac100_mdiobus_read`; `None` if the bus stays busy.
fn mdiobus_read(p: &Ftgmac100, io: &mut DriverIo<'_>, reg: u8) -> Option<u16> {
    let command = PHYCR_MDC_CYCTHR
        | PHY_ADDR << PHYCR_PHYAD_SHIFT
        | u32::from(reg) << PHYCR_REGAD_SHIFT
        | PHYCR_MIIRD;
    io.write(p.mac, Reg::PHYCR, command);
    let done = (0..MDIO_POLLS).any(|_| io.read(p.mac, Reg::PHYCR) & PHYCR_MIIRD == 0);
    done.then(|| (io.read(p.mac, Reg::PHYDATA) >> 16) as u16)
}

/// `ftgmac100_mdiobus_write`; whether the bus took it.
fn mdiobus_write(p: &Ftgmac100, io: &mut DriverIo<'_>, reg: u8, value: u16) -> bool {
    io.write(p.mac, Reg::PHYDATA, value.into());
    let command = PHYCR_MDC_CYCTHR
        | PHY_ADDR << PHYCR_PHYAD_SHIFT
        | u32::from(reg) << PHYCR_REGAD_SHIFT
        | PHYCR_MIIWR;
    io.write(p.mac, Reg::PHYCR, command);
    (0..MDIO_POLLS).any(|_| io.read(p.mac, Reg::PHYCR) & PHYCR_MIIWR == 0)
}

/// Identifies the PHY and starts negotiation; the link's state follows at once where it is
/// known already.
pub(super) fn phy_start(p: &mut Ftgmac100, io: &mut DriverIo<'_>) {
    let id = [MII_PHYSID1, MII_PHYSID2].map(|reg| mdiobus_read(p, io, reg));
    // A bus where nobody answers reads as ones.
    if id.iter().any(|half| half.is_none_or(|h| h == 0xffff)) {
        return;
    }
    mdiobus_write(p, io, MII_BMCR, BMCR_ANENABLE | BMCR_ANRESTART);
    phy_check_link(p, io);
}

/// Reads the link's state; whether it or the speed changed.
pub(super) fn phy_check_link(p: &mut Ftgmac100, io: &mut DriverIo<'_>) -> bool {
    // The link bit latches low: the second read is the present state.
    mdiobus_read(p, io, MII_BMSR);
    let up = mdiobus_read(p, io, MII_BMSR).is_some_and(|v| v != 0xffff && v & BMSR_LSTATUS != 0);
    let speed = if up { negotiated_speed(p, io) } else { 0 };
    let changed = (p.link, p.cur_speed) != (up, speed);
    (p.link, p.cur_speed) = (up, speed);
    changed
}

fn negotiated_speed(p: &Ftgmac100, io: &mut DriverIo<'_>) -> u32 {
    if mdiobus_read(p, io, MII_STAT1000).is_some_and(|v| v & LPA_1000 != 0) {
        return 1000;
    }
    match mdiobus_read(p, io, MII_LPA) {
        Some(lpa) if lpa & LPA_100 != 0 => 100,
        _ => 10,
    }
}
