//! Payload of super-packets: slices of shared buffers, appended, split and trimmed.

use crate::net::core::skbuff::{Frags, MAX_SKB_FRAGS};
use hw_model::{Buf, Frag};
use reference_stack_macros::traced;
use std::sync::Arc;

/// Slices shorter than this are joined with what follows by copying. All but the last slice of a
/// super-packet then hold a page, so 64 KiB never need more than `MAX_SKB_FRAGS`.
const PAGE_SIZE: u32 = 4096;

/// Appends `len` bytes of `buf` from `off` on. Large pieces are shared, small ones are copied
/// together, as writes are in Linux's page fragments.
pub(crate) fn append(frags: &mut Frags, buf: &Buf, mut off: u32, mut len: u32) {
    if let Some(last) = frags.last_mut()
        && Arc::ptr_eq(&last.buf, buf)
        && last.off + last.len == off
    {
        last.len += len;
        return;
    }
    let room = sk_page_frag_refill(frags);
    if let (Some(last), 1..) = (frags.last_mut(), room) {
        let take = len.min(room);
        join(last, &buf[off as usize..(off + take) as usize]);
        off += take;
        len -= take;
    }
    if len > 0 {
        let frag = skb_copy_to_page_nocache(buf, off, len);
        skb_fill_page_desc(frags, frag);
    }
}

/// How many bytes still fit into the page of the last slice; none: a new page is begun
/// (`sk_page_frag_refill`).
#[traced]
fn sk_page_frag_refill(frags: &Frags) -> u32 {
    frags.last().map_or(0, |last| PAGE_SIZE.saturating_sub(last.len))
}

/// The caller's bytes as a slice (`skb_copy_to_page_nocache`): they were copied when the call was
/// made, and are shared from here on.
#[traced]
fn skb_copy_to_page_nocache(buf: &Buf, off: u32, len: u32) -> Frag {
    Frag { buf: Arc::clone(buf), off, len }
}

/// Adds a slice to a buffer (`skb_fill_page_desc`).
#[traced]
fn skb_fill_page_desc(frags: &mut Frags, frag: Frag) {
    frags.push(frag);
}

/// Appends up to `len` bytes of the caller's buffers from byte `at` of all of them on, a slice for every
/// page: how many bytes, and what they are charged, which is whole pages
/// (`__zerocopy_sg_from_iter`). `iov` has the buffers' lengths, none: one buffer. Where a buffer starts
/// in memory is not known here: each starts a page.
pub(crate) fn zerocopy_from_iter(
    frags: &mut Frags,
    buf: &Buf,
    iov: &[usize],
    at: usize,
    len: u32,
) -> (u32, u32) {
    let (mut copied, mut truesize) = (0, 0);
    while copied < len && frags.len() < MAX_SKB_FRAGS {
        let off = at + copied as usize;
        let (start, end) = iov_segment(iov, off, buf.len());
        let in_page = ((off - start) % PAGE_SIZE as usize) as u32;
        let pages = (MAX_SKB_FRAGS - frags.len()) as u32;
        let size = (len - copied).min((end - off) as u32).min(pages * PAGE_SIZE - in_page);
        if size == 0 {
            break;
        }
        truesize += (size + in_page).next_multiple_of(PAGE_SIZE);
        add_pages(frags, buf, off as u32, size, in_page);
        copied += size;
    }
    (copied, truesize)
}

/// The buffer that byte `off` of all is in: where it begins and ends.
fn iov_segment(iov: &[usize], off: usize, total: usize) -> (usize, usize) {
    let mut start = 0;
    for len in iov {
        if off < start + len {
            return (start, start + len);
        }
        start += len;
    }
    (start.min(off), total.max(off))
}

/// A slice for every page of `size` bytes, the first of which is `in_page` bytes into its page.
fn add_pages(frags: &mut Frags, buf: &Buf, mut off: u32, mut size: u32, mut in_page: u32) {
    while size > 0 {
        let take = size.min(PAGE_SIZE - in_page);
        match frags.last_mut() {
            Some(last)
                if in_page > 0 && Arc::ptr_eq(&last.buf, buf) && last.off + last.len == off =>
            {
                last.len += take;
            }
            _ => skb_fill_page_desc(frags, Frag { buf: Arc::clone(buf), off, len: take }),
        }
        (off, size, in_page) = (off + take, size - take, 0);
    }
}

/// Extends a short slice by a copy of `more`, in place if nothing else sees the buffer.
fn join(last: &mut Frag, more: &[u8]) {
    let end = (last.off + last.len) as usize;
    match Arc::get_mut(&mut last.buf) {
        Some(buf) if buf.len() == end => buf.extend_from_slice(more),
        _ => {
            let mut bytes = Vec::with_capacity(PAGE_SIZE as usize);
            bytes.extend_from_slice(last.bytes());
            bytes.extend_from_slice(more);
            last.buf = Arc::new(bytes);
            last.off = 0;
        }
    }
    last.len += more.len() as u32;
}

/// Takes everything from byte `at` on away and returns it.
pub(crate) fn split_off(frags: &mut Frags, at: u32) -> Frags {
    let mut rest = Frags::new();
    let mut pos = 0;
    let mut keep = 0;
    for frag in frags.iter_mut() {
        if pos >= at {
            rest.push(frag.clone());
        } else if pos + frag.len > at {
            let head = at - pos;
            rest.push(frag.slice(head, frag.len - head));
            pos += frag.len;
            frag.len = head;
            keep += 1;
            continue;
        } else {
            keep += 1;
        }
        pos += frag.len;
    }
    frags.truncate(keep);
    rest
}

/// Drops the first `n` bytes.
pub(crate) fn trim_head(frags: &mut Frags, mut n: u32) {
    while n > 0 && !frags.is_empty() {
        let take = n.min(frags[0].len);
        frags[0].off += take;
        frags[0].len -= take;
        n -= take;
        if frags[0].len == 0 {
            frags.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(frags: &Frags) -> Vec<u8> {
        frags.iter().flat_map(|f| f.bytes().to_vec()).collect()
    }

    #[test]
    fn many_small_writes_make_few_slices_and_lose_nothing() {
        let mut frags = Frags::new();
        let mut want = Vec::new();
        for i in 0..3000u32 {
            let data: Vec<u8> = (0..=i % 40).map(|b| (b + i) as u8).collect();
            want.extend_from_slice(&data);
            let len = data.len() as u32;
            append(&mut frags, &Arc::new(data), 0, len);
        }
        assert_eq!(bytes(&frags), want);
        assert!(frags.len() <= want.len() / 4096 + 1);
    }

    #[test]
    fn a_buffer_of_the_caller_is_a_slice_for_every_page() {
        let buf = Arc::new((0..10_000u32).map(|i| i as u8).collect::<Vec<_>>());
        let mut frags = Frags::new();
        // Two buffers, of 5000 bytes each; first 4500 bytes, then the rest.
        assert_eq!(zerocopy_from_iter(&mut frags, &buf, &[5000, 5000], 0, 4500), (4500, 8192));
        let rest = zerocopy_from_iter(&mut frags, &buf, &[5000, 5000], 4500, 5500);
        assert_eq!(rest, (5500, 4096 + 8192));
        assert_eq!(frags.iter().map(|f| f.len).collect::<Vec<_>>(), [4096, 904, 4096, 904]);
        assert_eq!(bytes(&frags), buf[..]);
        // Each of these has one byte, and a buffer has no room for more than 17.
        let mut frags = Frags::new();
        assert_eq!(zerocopy_from_iter(&mut frags, &buf, &[1; 18], 0, 18), (17, 17 * 4096));
    }

    #[test]
    fn a_split_keeps_both_halves() {
        let buf = Arc::new((0..=255u8).collect::<Vec<_>>());
        let mut frags: Frags =
            (0..4).map(|i| Frag { buf: buf.clone(), off: i * 64, len: 64 }).collect();
        for at in [0, 1, 64, 100, 255, 256] {
            let mut head = frags.clone();
            let tail = split_off(&mut head, at);
            assert_eq!(bytes(&head), buf[..at as usize]);
            assert_eq!(bytes(&tail), buf[at as usize..]);
        }
        trim_head(&mut frags, 130);
        assert_eq!(bytes(&frags), buf[130..]);
    }
}
