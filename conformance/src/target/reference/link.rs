//! What a script does to the reference's link besides sending packets.

use reference_stack::FrameOut;

use super::{Nic, PORT, Reference};
use crate::target::ethernet::{self, Frame};
use crate::target::{DeviceFault, Refusal, Sent, Watch};

/// The longest frame that a script can send, bytes without FCS.
const MAX_FRAME: usize = 9000;

impl Reference {
    /// Keeps a frame of the stack for the script, and answers it where the script does not.
    pub(super) fn watched(&mut self, watch: Watch, frame: FrameOut) {
        if matches!(self.nic, Nic::Ftgmac100 | Nic::Tap) {
            let arp = frame.bytes.get(12..14) == Some(&[0x08, 0x06]);
            let own = if arp { watch.arp } else { watch.ndp };
            if let (false, Frame::Ask(answer)) = (own, ethernet::open(&frame.bytes, self.own)) {
                self.frame_in(answer, 0);
            }
        }
        self.frames.push(Sent { at: frame.at, packet: frame.bytes });
    }

    pub(super) fn deliver_frame(&mut self, frame: &[u8]) -> Result<(), Refusal> {
        if !matches!(self.nic, Nic::Ftgmac100 | Nic::Tap) {
            let why = "the TUN device carries no frames: run it with --nic ftgmac100";
            return Err(Refusal::Unsupported(why.into()));
        }
        if frame.len() > MAX_FRAME {
            return Err(Refusal::Invalid(format!("a frame of more than {MAX_FRAME} bytes")));
        }
        self.frame_in(frame.to_vec(), 0);
        self.settle();
        Ok(())
    }

    pub(super) fn plug(&mut self, device: Option<&str>, up: bool) -> Result<(), Refusal> {
        if let Some(other) = device.filter(|d| *d != self.device) {
            let message = format!("there is no device `{other}`, only `{}`", self.device);
            return Err(Refusal::Invalid(message));
        }
        self.kernel.set_link(PORT, up);
        self.collect();
        Ok(())
    }

    pub(super) fn go_wrong(&mut self, fault: DeviceFault) -> Result<(), Refusal> {
        match fault {
            DeviceFault::RxCrc(_) if self.nic != Nic::Ftgmac100 => {
                let why = "packets of the TUN device have no checksum of a frame";
                return Err(Refusal::Unsupported(why.into()));
            }
            DeviceFault::RxCrc(frames) => self.damaged = self.damaged.saturating_add(frames),
            DeviceFault::Stall(ns) => {
                let until = self.kernel.now().saturating_add(ns);
                self.kernel.stall(until);
            }
        }
        Ok(())
    }
}
