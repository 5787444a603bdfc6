//! Linux's `fs/`.

/// The file tables.
#[derive(Clone, Debug, Default)]
pub struct Fs {}
