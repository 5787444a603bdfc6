//! The wire: IP packets in two queues, handed to smoltcp as its device.

use std::collections::VecDeque;

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// A device without a link layer.
pub(super) struct Wire {
    mtu: usize,
    /// On the way to smoltcp.
    pub(super) inbound: VecDeque<Vec<u8>>,
    /// What smoltcp sent.
    pub(super) outbound: VecDeque<Vec<u8>>,
}

impl Wire {
    pub(super) fn new(mtu: usize) -> Wire {
        Wire { mtu, inbound: VecDeque::new(), outbound: VecDeque::new() }
    }
}

impl phy::Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _at: Instant) -> Option<(Received, Sender<'_>)> {
        let packet = self.inbound.pop_front()?;
        Some((Received(packet), Sender(&mut self.outbound)))
    }

    fn transmit(&mut self, _at: Instant) -> Option<Sender<'_>> {
        Some(Sender(&mut self.outbound))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

/// A packet that arrived.
pub(super) struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// Room for a packet to send.
pub(super) struct Sender<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let result = write(&mut packet);
        self.0.push_back(packet);
        result
    }
}
