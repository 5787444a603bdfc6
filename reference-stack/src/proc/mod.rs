//! Linux's `proc/`.
