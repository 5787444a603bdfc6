//! Network drivers (Linux `drivers/net/`).

pub(crate) mod ethernet;
pub(crate) mod loopback;
pub(crate) mod tun;
pub(crate) mod veth;
