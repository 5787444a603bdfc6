//! Linux's `drivers/`.

pub(crate) mod net;
