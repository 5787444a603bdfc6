//! A frame on the wire.

use crate::mem::Frag;
use smallvec::SmallVec;

/// Bytes that a frame copies before it takes slices: its headers, or all of a short frame.
pub(crate) const HEAD: usize = 256;

/// The frame check sequence of a frame: computed from the bytes, so only its truth is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fcs {
    /// As the bytes say.
    #[default]
    Good,
    /// Damaged on its way.
    Bad,
}

/// A frame on the wire, from the destination address to the last byte before the FCS: a head of its own and slices of
/// the buffers that it was sent from.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    head: Vec<u8>,
    frags: SmallVec<[Frag; 2]>,
    len: u32,
    /// Whether the FCS fits.
    pub fcs: Fcs,
}

impl Frame {
    /// A frame of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_vec(bytes.to_vec())
    }

    /// A frame of these bytes, without a copy.
    pub fn from_vec(head: Vec<u8>) -> Self {
        let len = head.len() as u32;
        Self { head, frags: SmallVec::new(), len, fcs: Fcs::Good }
    }

    /// A frame of a head and slices.
    pub fn from_parts(head: &[u8], frags: impl IntoIterator<Item = Frag>) -> Self {
        let mut f = Self::from_bytes(head);
        for frag in frags {
            f.push(frag);
        }
        f
    }

    /// The same frame with this FCS.
    pub fn with_fcs(self, fcs: Fcs) -> Self {
        Self { fcs, ..self }
    }

    /// The same frame with zeros up to the 60 bytes that every sender on an Ethernet puts out at least.
    pub fn padded(mut self) -> Self {
        let short = 60usize.saturating_sub(self.len());
        if short > 0 {
            self.pull(60);
            self.head.resize(60, 0);
            self.len = 60;
        }
        self
    }

    /// Its length without the FCS, bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of its own: at least the Ethernet header of a frame that a MAC sent.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The slices behind the head.
    pub fn frags(&self) -> &[Frag] {
        &self.frags
    }

    /// Head and slices in order.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head.as_slice()).chain(self.frags.iter().map(Frag::bytes))
    }

    /// All bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut v = Vec::with_capacity(self.len());
        for c in self.chunks() {
            v.extend_from_slice(c);
        }
        v
    }

    /// All bytes; a frame without slices gives its own.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.head.reserve_exact(self.len() - self.head.len());
        for f in &self.frags {
            self.head.extend_from_slice(f.bytes());
        }
        self.head
    }

    /// Copies the first bytes, as many as fit; says how many.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut done = 0;
        for c in self.chunks() {
            let n = c.len().min(out.len() - done);
            out[done..done + n].copy_from_slice(&c[..n]);
            done += n;
        }
        done
    }

    /// The first bytes in one piece: the head itself if it has them, else a copy in `scratch`.
    pub(crate) fn header<'a, const N: usize>(&'a self, scratch: &'a mut [u8; N]) -> &'a [u8] {
        if self.head.len() >= N || self.frags.is_empty() {
            return &self.head;
        }
        let n = self.copy_to(scratch);
        &scratch[..n]
    }

    /// A range of bytes that stands in the head alone.
    pub(crate) fn in_head(&self, off: usize, len: usize) -> Option<&[u8]> {
        self.head.get(off..off.checked_add(len)?)
    }

    /// The chunks of a range of bytes.
    pub(crate) fn range(&self, off: usize, len: usize) -> impl Iterator<Item = &[u8]> {
        let (mut skip, mut left) = (off, len);
        self.chunks().filter_map(move |c| {
            let n = skip.min(c.len());
            skip -= n;
            let c = &c[n..];
            let c = &c[..c.len().min(left)];
            left -= c.len();
            (!c.is_empty()).then_some(c)
        })
    }

    /// Appends a slice.
    pub(crate) fn push(&mut self, f: Frag) {
        let n = f.bytes().len() as u32;
        if n > 0 {
            self.len = self.len.saturating_add(n);
            self.frags.push(f);
        }
    }

    /// How many of `len` more bytes the head takes, as a copy; a slice takes the rest.
    pub(crate) fn room(&self, len: u32) -> u32 {
        let room = if self.frags.is_empty() { HEAD.saturating_sub(self.head.len()) } else { 0 };
        len.min(room as u32)
    }

    /// Appends bytes to the head; no slice follows it yet.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.head.capacity() == 0 {
            self.head.reserve_exact(HEAD);
        }
        self.head.extend_from_slice(bytes);
        self.len += bytes.len() as u32;
    }

    /// Makes the head at least `n` bytes long, if the frame is.
    pub(crate) fn pull(&mut self, n: usize) {
        while self.head.len() < n && !self.frags.is_empty() {
            let f = self.frags.remove(0);
            let k = f.bytes().len().min(n - self.head.len());
            self.head.extend_from_slice(&f.bytes()[..k]);
            if k < f.bytes().len() {
                self.frags.insert(0, f.slice(k as u32, f.len));
            }
        }
    }

    pub(crate) fn head_mut(&mut self) -> &mut [u8] {
        &mut self.head
    }

    /// Puts bytes into the head.
    pub(crate) fn insert(&mut self, at: usize, bytes: &[u8]) {
        if at <= self.head.len() {
            self.head.splice(at..at, bytes.iter().copied());
            self.len += bytes.len() as u32;
        }
    }

    /// Takes the last four bytes off, first of them first.
    pub(crate) fn take_trailer(&mut self) -> Option<[u8; 4]> {
        if self.len() < 4 {
            return None;
        }
        let mut bytes = self.to_vec();
        let at = bytes.len() - 4;
        let mut t = [0; 4];
        t.copy_from_slice(&bytes[at..]);
        bytes.truncate(at);
        *self = Self { fcs: self.fcs, ..Self::from_vec(bytes) };
        Some(t)
    }

    /// The FCS that the bytes ask for, in the order of the wire.
    pub(crate) fn crc(&self) -> [u8; 4] {
        let mut h = crc32fast::Hasher::new();
        for c in self.chunks() {
            h.update(c);
        }
        h.finalize().to_le_bytes()
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.fcs == other.fcs && self.to_vec() == other.to_vec()
    }
}

impl Eq for Frame {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn parts_read_as_one() {
        let b = Frag::new(Arc::new((0..100).collect()));
        let f = Frame::from_parts(&[200, 201], [b.slice(0, 10), b.slice(50, 3)]);
        let v = f.to_vec();
        assert_eq!(v.len(), f.len());
        for off in 0..=v.len() {
            for len in 0..=v.len() - off {
                let r: Vec<u8> = f.range(off, len).flatten().copied().collect();
                assert_eq!(r, v[off..off + len]);
            }
        }
        let mut g = f.clone();
        g.pull(7);
        assert_eq!((g.head().len(), &g), (7, &f));
        assert_eq!(g.take_trailer(), Some([9, 50, 51, 52]));
        assert_eq!(g.to_vec(), v[..11]);
        assert_eq!(f.padded().to_vec()[15..], [0; 45]);
    }
}
