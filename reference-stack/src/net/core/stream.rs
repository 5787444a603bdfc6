//! Memory of stream sockets (Linux `net/core/stream.c`, and the `sk_mem_*` part of `sock.c`).
//!
//! `tcp_mem` is charged a page at a time; between its second and third mark the stack is under
//! pressure. The per-socket minimum under pressure is that of Linux, without its look at the
//! average of all sockets.

use super::sock::{SOCK_MIN_SNDBUF, SOCK_SNDBUF_LOCK, SockCommon};
use crate::errno::Errno;
use crate::net::Net;
use crate::uapi::SOCK_STREAM;

/// `PAGE_SIZE`, the quantum of memory accounting.
const SK_MEM_QUANTUM: i32 = 4096;

/// Which direction memory is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SkMem {
    /// `SK_MEM_SEND`.
    Send,
    /// `SK_MEM_RECV`.
    Recv,
}

/// Whether TCP uses more memory than `tcp_mem[1]` (`tcp_under_memory_pressure`).
pub(crate) fn tcp_under_memory_pressure(net: &Net) -> bool {
    net.tcp_mem_allocated > net.sysctl.tcp_mem[1]
}

/// `sk_mem_charge`.
pub(crate) fn sk_mem_charge(sk: &mut SockCommon, size: u32) {
    sk.sk_forward_alloc -= size as i32;
}

/// Gives bytes back to the socket, and whole pages of them to the protocol (`sk_mem_uncharge`).
pub(crate) fn sk_mem_uncharge(sk: &mut SockCommon, net: &mut Net, size: u32) {
    sk.sk_forward_alloc += size as i32;
    sk_mem_reclaim(sk, net);
}

/// Returns whole unused pages (`sk_mem_reclaim`).
pub(crate) fn sk_mem_reclaim(sk: &mut SockCommon, net: &mut Net) {
    let pages = sk.sk_forward_alloc.max(0) / SK_MEM_QUANTUM;
    sk.sk_forward_alloc -= pages * SK_MEM_QUANTUM;
    net.tcp_mem_allocated -= i64::from(pages);
}

/// Returns everything at the socket's end; what is left of a page counts as a page.
pub(crate) fn sk_mem_reclaim_final(sk: &mut SockCommon, net: &mut Net) {
    sk_mem_reclaim(sk, net);
}

/// Makes room for `size` bytes to be charged (`__sk_mem_schedule`); false: over the limits.
pub(crate) fn sk_mem_schedule(sk: &mut SockCommon, net: &mut Net, size: u32, kind: SkMem) -> bool {
    let size = size as i32;
    if size <= sk.sk_forward_alloc {
        return true;
    }
    let pages = (size - sk.sk_forward_alloc).div_ceil_i32(SK_MEM_QUANTUM);
    sk.sk_forward_alloc += pages * SK_MEM_QUANTUM;
    net.tcp_mem_allocated += i64::from(pages);
    if mem_allowed(sk, net, size, kind) {
        return true;
    }
    sk.sk_forward_alloc -= pages * SK_MEM_QUANTUM;
    net.tcp_mem_allocated -= i64::from(pages);
    false
}

/// Linux `__sk_mem_raise_allocated()`, after the pages were added.
fn mem_allowed(sk: &mut SockCommon, net: &Net, size: i32, kind: SkMem) -> bool {
    if net.tcp_mem_allocated <= net.sysctl.tcp_mem[2] {
        return true;
    }
    let minimum = match kind {
        SkMem::Recv => sk.sk_rmem_alloc < net.sysctl.tcp_rmem[0],
        SkMem::Send => sk.sk_wmem_queued < net.sysctl.tcp_wmem[0],
    };
    if minimum {
        return true;
    }
    if kind == SkMem::Send && sk.sk_type == SOCK_STREAM {
        sk_stream_moderate_sndbuf(sk);
        // A socket over its own limit fails later, where the caller looks at that limit.
        return sk.sk_wmem_queued.saturating_add(size) >= sk.sk_sndbuf;
    }
    false
}

/// Takes memory without asking, for FINs and the like (`sk_forced_mem_schedule`).
pub(crate) fn sk_forced_mem_schedule(sk: &mut SockCommon, net: &mut Net, size: u32) {
    let size = size as i32;
    if size <= sk.sk_forward_alloc {
        return;
    }
    let pages = (size - sk.sk_forward_alloc).div_ceil_i32(SK_MEM_QUANTUM);
    sk.sk_forward_alloc += pages * SK_MEM_QUANTUM;
    net.tcp_mem_allocated += i64::from(pages);
}

/// `sk_wmem_schedule`.
pub(crate) fn sk_wmem_schedule(sk: &mut SockCommon, net: &mut Net, size: u32) -> bool {
    sk_mem_schedule(sk, net, size, SkMem::Send)
}

/// `sk_rmem_schedule`.
pub(crate) fn sk_rmem_schedule(sk: &mut SockCommon, net: &mut Net, size: u32) -> bool {
    sk_mem_schedule(sk, net, size, SkMem::Recv)
}

/// `sk_stream_moderate_sndbuf`: halves the send buffer to what is queued, under pressure.
pub(crate) fn sk_stream_moderate_sndbuf(sk: &mut SockCommon) {
    if sk.sk_userlocks & SOCK_SNDBUF_LOCK == 0 {
        sk.sk_sndbuf = sk.sk_sndbuf.min(sk.sk_wmem_queued >> 1).max(SOCK_MIN_SNDBUF);
    }
}

/// Least free room at which a writer is woken (`sk_stream_min_wspace`).
pub(crate) fn sk_stream_min_wspace(sk: &SockCommon) -> i32 {
    sk.sk_wmem_queued >> 1
}

/// `sk_stream_wspace`.
pub(crate) fn sk_stream_wspace(sk: &SockCommon) -> i32 {
    sk.sk_sndbuf - sk.sk_wmem_queued
}

/// Whether a writer may begin a new buffer (`sk_stream_memory_free`); `notsent` and
/// `notsent_lowat` in bytes.
pub(crate) fn sk_stream_memory_free(sk: &SockCommon, notsent: u32, notsent_lowat: u32) -> bool {
    sk.sk_wmem_queued < sk.sk_sndbuf && notsent < notsent_lowat
}

/// Whether poll says writable (`__sk_stream_is_writeable`).
pub(crate) fn sk_stream_is_writeable(sk: &SockCommon, notsent: u32, notsent_lowat: u32) -> bool {
    // __sk_stream_memory_free() with wake = 1: half of the mark must be free of unsent bytes.
    sk_stream_wspace(sk) >= sk_stream_min_wspace(sk)
        && sk.sk_wmem_queued < sk.sk_sndbuf
        && u64::from(notsent) << 1 < u64::from(notsent_lowat)
}

/// The error of a send call (`sk_stream_error`): a pending error goes before EPIPE. SIGPIPE is
/// not modelled, so MSG_NOSIGNAL changes nothing.
pub(crate) fn sk_stream_error(sk: &mut SockCommon, err: Errno) -> Errno {
    if err == Errno::EPIPE { sk.sk_err.take().unwrap_or(err) } else { err }
}

trait DivCeil {
    fn div_ceil_i32(self, by: i32) -> i32;
}

impl DivCeil for i32 {
    fn div_ceil_i32(self, by: i32) -> i32 {
        (self + by - 1) / by
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::core::sock::SockId;

    fn sk() -> SockCommon {
        SockCommon::new(SockId(0), crate::uapi::AF_INET, SOCK_STREAM, 6, (131_072, 46_080))
    }

    /// FIDELITY of the send buffer: four writes of 10 kB pass a buffer of 46080 bytes
    /// (40000 bytes in seven buffers of 832), the fifth waits; it wakes at two thirds.
    #[test]
    fn a_writer_sleeps_at_the_buffer_and_wakes_at_two_thirds() {
        let mut sk = sk();
        sk.sk_wmem_queued = 40_000 + 7 * 832;
        assert!(sk_stream_memory_free(&sk, 0, u32::MAX));
        sk.sk_wmem_queued = 46_080;
        assert!(!sk_stream_memory_free(&sk, 0, u32::MAX));
        sk.sk_wmem_queued = 30_720;
        assert!(sk_stream_is_writeable(&sk, 0, u32::MAX));
        sk.sk_wmem_queued = 30_724;
        assert!(!sk_stream_is_writeable(&sk, 0, u32::MAX));
    }
}
