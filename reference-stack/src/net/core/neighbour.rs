//! The neighbour table (Linux `net/core/neighbour.c`).

/// A neighbour entry's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NeighId(pub u32);

/// The neighbours of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct NeighTable {}
