//! Network devices, transmission, softirqs and NAPI (Linux `net/core/dev.c`).

/// A device's position in the table; its `ifindex` is one more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DevId(pub u32);

/// The devices of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetDevices {}

/// `struct softnet_data`: the backlog and the NAPI poll list of the one CPU.
#[derive(Clone, Debug, Default)]
pub(crate) struct Softnet {}
