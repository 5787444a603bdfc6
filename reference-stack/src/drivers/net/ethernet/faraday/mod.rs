//! Faraday's MACs.

pub(crate) mod ftgmac100;
