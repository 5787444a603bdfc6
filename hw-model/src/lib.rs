//! The FTGMAC100 of the AST2500.

use std::sync::Arc;

/// Virtual time, nanoseconds.
pub type Nanos = u64;
/// A shared byte buffer.
pub type Buf = Arc<Vec<u8>>;

/// A slice of a shared buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frag {
    /// The buffer.
    pub buf: Buf,
    /// Where the slice starts.
    pub off: u32,
    /// Its length, bytes.
    pub len: u32,
}

impl Frag {
    /// A slice of a whole buffer.
    pub fn new(buf: Buf) -> Self {
        let len = buf.len() as u32;
        Self { buf, off: 0, len }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.off as usize..(self.off + self.len) as usize]
    }

    /// A part of this slice.
    pub fn slice(&self, off: u32, len: u32) -> Self {
        Self { buf: self.buf.clone(), off: self.off + off, len }
    }
}

/// The board.
#[derive(Clone, Debug, Default)]
pub struct Board {}
