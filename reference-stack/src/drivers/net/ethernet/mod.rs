//! Ethernet drivers (Linux `drivers/net/ethernet/`).

pub(crate) mod faraday;
