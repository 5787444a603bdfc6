//! Whose packet it is, where a script has several sockets.

use super::{Run, Stop};
use crate::run::wire;
use crate::script::ScriptError;
use crate::script::ast::{Action, Body, Direction, OwnerName, Packet, Script};

/// Whether packets of the script have owners.
pub(super) fn any(script: &Script) -> bool {
    script.events.iter().any(|e| matches!(&e.action, Action::Packet(p) if p.owner.is_some()))
}

impl Run<'_> {
    /// The packet's owner is the socket under test from now on. A new name goes to the connection that the packet opens,
    /// or, with an expected packet, to the socket that is under test.
    pub(super) fn turn_to_owner(&mut self, packet: &Packet) -> Result<(), Stop> {
        let Some(owner) = &packet.owner else { return Ok(()) };
        let found = match &owner.name {
            OwnerName::Fd(fd) => self.sockets.turn_to_fd(*fd),
            OwnerName::Name(name) if self.sockets.turn_to_name(name) => true,
            OwnerName::Name(name) => match (packet.direction, &packet.body) {
                (Direction::Outbound, _) => {
                    self.sockets.name_current(name);
                    self.sockets.current().is_some()
                }
                (Direction::Inbound, Body::Tcp(tcp)) if tcp.flags.syn => {
                    self.sockets.name_next(name);
                    true
                }
                _ => false,
            },
        };
        if found {
            return Ok(());
        }
        let message = "no socket of the script has this descriptor or name";
        let help = "a name is given by the SYN to a listener or by an expected packet";
        Err(ScriptError::new(self.source, owner.span, message, "").with_help(help).into())
    }

    /// Whether lines of another owner may ask for the packet.
    pub(super) fn is_of_another_owner(&self, packet: &wire::Packet) -> bool {
        self.owned && self.sockets.other_sent(packet)
    }
}
