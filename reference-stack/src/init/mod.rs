//! Linux's `init/`.
