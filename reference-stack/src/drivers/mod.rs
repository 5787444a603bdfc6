//! Linux's `drivers/`.
