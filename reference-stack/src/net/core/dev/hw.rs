//! How the device layer calls the driver of the FTGMAC100.

use crate::Nanos;
use crate::errno::Errno;
use crate::kernel::{FrameIn, NicConfig};
use crate::net::Net;
use crate::net::core::dev::{DevId, Driver, NapiPoll, NetDevice, NetdevTx};
use crate::net::core::skbuff::{DropReason, Skb, kfree_skb};

/// `struct ftgmac100`: the private state of one device.
#[derive(Clone, Debug)]
pub(crate) struct Ftgmac100 {
    /// Which MAC of the board.
    pub(crate) mac: u8,
}

/// Finds the device of a MAC; the device and the console lines.
pub(crate) fn probe(
    _net: &mut Net,
    mac: u8,
    nic: &NicConfig,
) -> (NetDevice, Vec<String>) {
    let driver = Driver::Ftgmac100(Box::new(Ftgmac100 { mac }));
    (NetDevice::ether(&nic.name, nic.mac, nic.mtu, driver), Vec::new())
}

/// `ndo_open`.
pub(crate) fn open(_net: &mut Net, _id: DevId) -> Result<(), Errno> {
    Ok(())
}

/// `ndo_stop`.
pub(crate) fn stop(_net: &mut Net, _id: DevId) {}

/// `ndo_start_xmit`. `more`: another packet follows at once (`netdev_xmit_more`).
pub(crate) fn hard_start_xmit(
    net: &mut Net,
    _id: DevId,
    skb: Skb,
    _more: bool,
) -> NetdevTx {
    kfree_skb(net, skb, DropReason::TxRing);
    NetdevTx::Ok
}

/// The NAPI poll: at most `budget` packets into `out`.
pub(crate) fn poll(
    _net: &mut Net,
    _id: DevId,
    _budget: usize,
    _out: &mut Vec<Skb>,
) -> NapiPoll {
    NapiPoll::Complete
}

/// A frame reaches the MAC's wire.
pub(crate) fn frame_in(_net: &mut Net, _id: DevId, _frame: FrameIn) {}

/// Moves what the MACs put on their wires to the machine's frames.
pub(crate) fn collect_frames(_net: &mut Net) {}

/// When a MAC has something to do next.
pub(crate) fn next_event(_net: &Net) -> Option<Nanos> {
    None
}

/// Lets the MACs do what is due, and runs the interrupt handlers of those that ask.
pub(crate) fn advance(_net: &mut Net) {}

/// Plugs the cable in or out.
pub(crate) fn set_link(_net: &mut Net, _id: DevId, _up: bool) {}

/// The console line of a link that came up.
pub(crate) fn phy_link_line(_net: &Net, _dev: &NetDevice) -> String {
    String::new()
}

/// The transmit watchdog.
pub(crate) fn dev_watchdog(_net: &mut Net, _id: DevId) {}

/// The PHY's state machine.
pub(crate) fn phy_state_machine(_net: &mut Net, _id: DevId) {}

/// Buffers that stand in the device's rings.
pub(crate) fn queued_skbs(_dev: &NetDevice) -> usize {
    0
}
