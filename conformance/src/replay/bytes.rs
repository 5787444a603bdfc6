//! The bytes of captured frames: in memory, or of a large capture where they are in its file.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Captures whose files are longer than this stay on disk.
pub(super) const LARGE: u64 = 64 << 20;

/// The bytes of one frame.
#[derive(Clone, Debug)]
pub(crate) enum FrameBytes {
    /// In memory.
    Held(Vec<u8>),
    /// In the capture's file.
    OnDisk {
        /// The file.
        file: Arc<File>,
        /// Where they begin.
        at: u64,
        /// How many there are.
        len: u32,
    },
}

impl FrameBytes {
    /// The bytes; of a file that can no longer be read there are none.
    pub(crate) fn get(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Held(bytes) => Cow::Borrowed(bytes),
            Self::OnDisk { file, at, len } => {
                let mut bytes = vec![0; *len as usize];
                let read = file.read_exact_at(&mut bytes, *at);
                Cow::Owned(if read.is_ok() { bytes } else { Vec::new() })
            }
        }
    }

    /// Whether they are read anew each time.
    pub(crate) fn on_disk(&self) -> bool {
        matches!(self, Self::OnDisk { .. })
    }
}
