//! A link's own messages: ARP, IGMP and neighbour discovery, written by their names and fields.

mod build;
mod read;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub(crate) use build::build;
pub(crate) use read::{Message, is_link_packet, read};

use crate::script::ast::Bytes;
use crate::target::LinkAddresses;

/// What the fields that a script does not write are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) hardware: LinkAddresses,
    /// The target's address.
    pub(crate) local: IpAddr,
    /// Who speaks to it on the link: the router, or the script's own address where that is on the link.
    pub(crate) neighbour: IpAddr,
}

/// Shortest frame without FCS: shorter ones are filled with zeros.
const MIN_FRAME: usize = 60;

/// Where bytes first differ from a pattern; `None`: they fit. The padding of a short frame need not be written.
pub(crate) fn first_difference(pattern: &Bytes, bytes: &[u8]) -> Option<usize> {
    let pairs = pattern.bytes.iter().zip(bytes);
    let found = pairs.enumerate().find(|(_, (want, got))| *got & want.mask != want.value);
    let found = found.map(|(at, _)| at);
    if found.is_some() || pattern.bytes.len() > bytes.len() {
        return Some(found.unwrap_or(bytes.len()));
    }
    let rest = bytes.get(pattern.bytes.len()..).unwrap_or_default();
    let padding = bytes.len() == MIN_FRAME && rest.iter().all(|b| *b == 0);
    let fits = pattern.open || rest.is_empty() || padding;
    (!fits).then_some(pattern.bytes.len())
}
