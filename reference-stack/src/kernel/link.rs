//! What an administrator does to a device: tc(8), ethtool(8).

use super::{AdminError, Kernel};
use crate::errno::Errno;
use crate::net::core::dev::{self, NETIF_F_GRO, NETIF_F_HW_CSUM, NETIF_F_SG, NETIF_F_TSO};
use crate::net::sched::{Fq, Qdisc};

/// A queueing discipline that a device can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QdiscKind {
    /// The one that the device starts with.
    Default,
    /// `pfifo`: one queue of this many packets, `None`: the device's transmit queue length.
    Pfifo(Option<u32>),
    /// `fq`: fair queueing with pacing; packets that it holds, `None`: 10,000.
    Fq(Option<u32>),
}

impl Kernel {
    /// `tc qdisc replace dev DEV root KIND`.
    ///
    /// # Errors
    /// No such interface.
    pub fn tc_qdisc(&mut self, dev: &str, kind: QdiscKind) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        let qdisc = match kind {
            QdiscKind::Default => None,
            QdiscKind::Pfifo(limit) => {
                let limit = limit.map_or(self.net.devs[id].tx_queue_len, |n| n as usize);
                Some(Qdisc::pfifo(limit))
            }
            QdiscKind::Fq(limit) => {
                let frame_len = self.net.devs[id].frame_len();
                Some(Qdisc::Fq(Box::new(Fq::new(frame_len, self.net.time.hz(), limit))))
            }
        };
        dev::dev_graft_qdisc(&mut self.net, id, qdisc);
        self.run_softirqs();
        Ok(())
    }

    /// Somebody listens to all packets of a device by a packet socket, as tcpdump(8) does. What it hears
    /// is not given out; but for its sake data sent with MSG_ZEROCOPY is copied.
    ///
    /// # Errors
    /// No such interface.
    pub fn packet_tap(&mut self, dev: &str) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        self.net.devs.get_mut(id).tapped = true;
        Ok(())
    }

    /// `ethtool -K DEV NAME on|off`, by the short names of ethtool.
    ///
    /// # Errors
    /// No such interface, or a feature that devices here do not have (EOPNOTSUPP).
    pub fn ethtool_feature(&mut self, dev: &str, name: &str, on: bool) -> Result<(), AdminError> {
        let id = self.dev(dev)?;
        let bits = match name {
            "tso" | "tcp-segmentation-offload" => NETIF_F_TSO,
            "gro" | "generic-receive-offload" => NETIF_F_GRO,
            "sg" | "scatter-gather" => NETIF_F_SG | NETIF_F_TSO,
            "tx" | "tx-checksumming" => NETIF_F_HW_CSUM | NETIF_F_SG | NETIF_F_TSO,
            // Linux `sk_setup_caps()`: TCP makes super-packets whatever this says; they are cut at the device.
            "gso" | "generic-segmentation-offload" => 0,
            _ => return Err(Errno::EOPNOTSUPP.into()),
        };
        let features = &mut self.net.devs.get_mut(id).features;
        match on {
            true => *features |= bits,
            false => *features &= !bits,
        }
        Ok(())
    }
}
