//! The lock that a call holds on its socket, and what waits for it (Linux `sock.c`,
//! `tcp_add_backlog()`, `tcp_release_cb()`, 5.15 and 6.18).
//!
//! A call takes no virtual time, so nothing arrives during one by itself. Who knows that
//! something did (a replay of a capture) takes the lock with [`lock_sock`] before, lets the
//! frames come, and then makes the call: it finds them in the backlog as Linux would.

use super::*;
use crate::net::core::skbuff::{Cb, DropReason, Skb, consume_skb, kfree_skb};
use crate::net::core::sock::Socks;
use crate::net::ipv4::inet_connection_sock::inet_csk_ack_scheduled;
use crate::net::ipv4::mib::TcpExt;
use crate::net::ipv4::tcp_input::{skb_try_coalesce, tcp_hdr, tcp_options};
use crate::net::ipv4::tcp_ipv4::{tcp_v4_do_rcv, tcp_v4_mtu_reduced};
use crate::net::ipv4::tcp_minisocks::tcp_settle;
use crate::net::ipv4::tcp_output::{tcp_send_ack, tcp_tsq_handler};
use crate::net::ipv4::tcp_timer::{tcp_delack_timer_handler, tcp_write_timer_handler};

/// What a lock holder is asked to do when it lets go (`enum tsq_flags`, the `_DEFERRED` ones).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Deferred {
    /// `TCP_TSQ_DEFERRED`.
    pub(crate) tsq: bool,
    /// `TCP_WRITE_TIMER_DEFERRED`.
    pub(crate) write_timer: bool,
    /// `TCP_DELACK_TIMER_DEFERRED`.
    pub(crate) delack_timer: bool,
    /// `TCP_MTU_REDUCED_DEFERRED`, with `mtu_info`.
    pub(crate) mtu_reduced: Option<u32>,
    /// `TCP_ACK_DEFERRED`.
    pub(crate) ack: bool,
}

/// A call begins to hold the socket (`lock_sock`).
pub(crate) fn lock_sock(socks: &mut Socks, id: SockId) {
    if let Some(tp) = socks.tcp_mut(id) {
        tp.sk.sk_lock_owned = true;
    }
}

/// Whether the urgent data, addresses or options of two segments keep them apart.
fn may_merge(tail: &Skb, skb: &Skb) -> bool {
    let (a, b) = (tail.tcp_cb(), skb.tcp_cb());
    let either = a.tcp_flags | b.tcp_flags;
    a.end_seq == b.seq
        && a.ip_dsfield == b.ip_dsfield
        && either & (TCPHDR_SYN | TCPHDR_RST | TCPHDR_URG) == 0
        && a.tcp_flags & b.tcp_flags & TCPHDR_ACK != 0
        && (a.tcp_flags ^ b.tcp_flags) & (TCPHDR_ECE | TCPHDR_CWR) == 0
        && a.doff == b.doff
        && tcp_options(tail) == tcp_options(skb)
}

/// Merges a segment into the last one of the backlog; `Err`: it is to be queued on its own.
fn merge(tail: &mut Skb, net: &mut Net, mut skb: Skb) -> Result<u32, Skb> {
    if !may_merge(tail, &skb) {
        return Err(skb);
    }
    let (th, next) = (tcp_hdr(&skb), skb.tcp_cb());
    // The largest payload of one segment is what tells the peer's segment size afterwards.
    let payload = |s: &Skb| match s.gso_size {
        0 => s.len().saturating_sub(usize::from(s.tcp_cb().doff)).min(u16::MAX.into()) as u16,
        size => size,
    };
    let gso_size = payload(tail).max(payload(&skb));
    let segs = tail.gso_segs.max(1).saturating_add(skb.gso_segs.max(1));
    skb.pull(usize::from(next.doff));
    let Some(delta) = skb_try_coalesce(net, tail, &mut skb) else {
        skb.push(usize::from(next.doff));
        return Err(skb);
    };
    let mut cb = tail.tcp_cb();
    cb.end_seq = next.end_seq;
    let newer = !next.ack_seq.before(cb.ack_seq);
    if newer {
        cb.ack_seq = next.ack_seq;
    }
    cb.tcp_flags |= next.tcp_flags;
    tail.cb = Cb::Tcp(cb);
    let at = tail.transport_header;
    let header = tail.head_at_mut(at);
    if let (true, Some(ack)) = (newer, header.get_mut(8..12)) {
        ack.copy_from_slice(&next.ack_seq.0.to_be_bytes());
    }
    if let (true, Some(window)) = (newer, header.get_mut(14..16)) {
        window.copy_from_slice(&th.window.to_be_bytes());
    }
    if let Some(flags) = header.get_mut(13) {
        *flags |= next.tcp_flags & TCPHDR_FIN;
    }
    tail.gso_size = gso_size;
    tail.gso_segs = segs;
    consume_skb(net, skb);
    Ok(delta)
}

/// Puts a segment that found the socket held into its backlog (`tcp_add_backlog`): behind the
/// last one if it continues it, and not at all above the limit, which leaves room beyond the
/// buffers because only the holder can make room.
pub(crate) fn tcp_add_backlog(tp: &mut TcpSock, net: &mut Net, skb: Skb) {
    let rest = match tp.sk.sk_backlog.back_mut() {
        Some(tail) => merge(tail, net, skb),
        None => Err(skb),
    };
    let skb = match rest {
        Ok(delta) => {
            tp.sk.sk_backlog_len = tp.sk.sk_backlog_len.saturating_add(delta as i32);
            net.mib.inc(TcpExt::TCPBacklogCoalesce);
            return;
        }
        Err(skb) => skb,
    };
    let sk = &mut tp.sk;
    let rcvbuf = i64::from(sk.sk_rcvbuf) << u32::from(net.profile.backlog_twice_rcvbuf);
    let limit = rcvbuf + i64::from(sk.sk_sndbuf >> 1) + 64 * 1024;
    if i64::from(sk.sk_backlog_len) + i64::from(sk.sk_rmem_alloc) > limit {
        net.mib.inc(TcpExt::TCPBacklogDrop);
        return kfree_skb(net, skb, DropReason::SocketBacklog);
    }
    sk.sk_backlog_len = sk.sk_backlog_len.saturating_add(skb.truesize as i32);
    sk.sk_backlog.push_back(skb);
}

/// Handles what the backlog holds, the lock still held (`__release_sock`).
pub(crate) fn __release_sock(socks: &mut Socks, net: &mut Net, id: SockId) {
    while let Some(skb) = socks.tcp_mut(id).and_then(|tp| tp.sk.sk_backlog.pop_front()) {
        tcp_v4_do_rcv(socks, net, id, skb, None);
    }
    // Memory of the backlog counts until all of it is handled.
    if let Some(tp) = socks.tcp_mut(id) {
        tp.sk.sk_backlog_len = 0;
    }
}

/// The work that softirqs and timers left to the holder (`tcp_release_cb`).
fn tcp_release_cb(socks: &mut Socks, net: &mut Net, id: SockId) {
    let orphans = socks.orphans;
    let Some(tp) = socks.tcp_mut(id) else { return };
    let todo = std::mem::take(&mut tp.deferred);
    if todo == Deferred::default() {
        return;
    }
    if todo.tsq {
        tcp_tsq_handler(tp, net);
    }
    if todo.write_timer {
        tcp_write_timer_handler(tp, net, orphans);
    }
    if todo.delack_timer {
        tcp_delack_timer_handler(tp, net);
    }
    if let Some(mtu) = todo.mtu_reduced {
        // The clock of the last packet or call goes on: nothing reads it anew here.
        tcp_v4_mtu_reduced(tp, net, mtu);
    }
    if todo.ack && inet_csk_ack_scheduled(tp) {
        tcp_send_ack(tp, net);
    }
}

/// The holder handles the backlog and goes on (`__sk_flush_backlog`).
pub(crate) fn sk_flush_backlog(socks: &mut Socks, net: &mut Net, id: SockId) {
    __release_sock(socks, net, id);
    tcp_release_cb(socks, net, id);
}

/// Whether the backlog holds something that the holder should look at before it sleeps.
pub(crate) fn has_backlog(socks: &Socks, id: SockId) -> bool {
    socks.tcp(id).is_some_and(|tp| !tp.sk.sk_backlog.is_empty())
}

/// The call lets the socket go (`release_sock`).
pub(crate) fn release_sock(socks: &mut Socks, net: &mut Net, id: SockId) {
    if !socks.tcp(id).is_some_and(|tp| tp.sk.sk_lock_owned) {
        return;
    }
    sk_flush_backlog(socks, net, id);
    if let Some(tp) = socks.tcp_mut(id) {
        tp.sk.sk_lock_owned = false;
    }
    tcp_settle(socks, net, id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{BootConfig, Kernel};
    use crate::net::core::skbuff::TcpCb;
    use crate::profile::{Profile, Version};
    use std::sync::Arc;

    fn machine() -> Net {
        let profile = Profile { hz: 250, ..Profile::new(Version::V6_18) };
        Kernel::boot(&BootConfig::new(profile, Vec::new())).net
    }

    fn segment(net: &mut Net, seq: u32, len: usize, flags: u8, window: u16) -> Skb {
        let mut skb = Skb::alloc(&mut net.skbs, 64);
        let header = skb.push(20);
        header[4..8].copy_from_slice(&seq.to_be_bytes());
        header[12..14].copy_from_slice(&[0x50, flags]);
        header[14..16].copy_from_slice(&window.to_be_bytes());
        skb.reset_transport_header();
        skb.add_frag(hw_model::Frag::new(Arc::new(vec![7; len])));
        skb.truesize = 2176;
        skb.cb = Cb::Tcp(TcpCb {
            seq: SeqNum(seq),
            end_seq: SeqNum(seq) + len as u32 + u32::from(flags & TCPHDR_FIN),
            tcp_flags: flags,
            doff: 20,
            ..TcpCb::default()
        });
        skb
    }

    /// Segments in order become one, with the last one's window; what the congestion flags or a
    /// gap tell apart stays apart. The charge is that of Linux's heads and fragments.
    #[test]
    fn a_backlog_merges_what_follows_directly() {
        let mut net = machine();
        let mut tp = tcp_init_sock(&mut net, SockId(0));
        for (seq, flags) in [(100, 0x10), (1100, 0x18), (2100, 0x50), (4100, 0x50), (5100, 0x51)] {
            let skb = segment(&mut net, seq, 1000, flags, seq as u16);
            tcp_add_backlog(&mut tp, &mut net, skb);
        }
        let held: Vec<_> = tp.sk.sk_backlog.iter().map(|s| (s.len(), tcp_hdr(s).window)).collect();
        assert_eq!(held, [(2020, 1100), (1020, 2100), (2020, 5100)]);
        assert_eq!(tp.sk.sk_backlog_len, 3 * 2176 + 2 * (2176 - 256));
        assert_eq!(net.mib.tcp_ext[TcpExt::TCPBacklogCoalesce as usize], 2);
        let last = tp.sk.sk_backlog.back().unwrap();
        assert!(tcp_hdr(last).fin() && last.gso_size == 1000 && last.gso_segs == 2);
        crate::net::core::sock::skb_queue_purge(&mut net, &mut tp.sk.sk_backlog);
        assert_eq!(net.skbs.alive(), 0);
    }

    #[test]
    fn a_full_backlog_drops_and_counts() {
        let mut net = machine();
        let mut tp = tcp_init_sock(&mut net, SockId(0));
        tp.sk.sk_rcvbuf = 0;
        tp.sk.sk_sndbuf = 0;
        // 31 segments of 2176 bytes go above 64 KiB; nothing merges across their gaps.
        for i in 0..33 {
            let skb = segment(&mut net, i * 5000, 1000, 0x10, 9);
            tcp_add_backlog(&mut tp, &mut net, skb);
        }
        assert_eq!(tp.sk.sk_backlog.len(), 31);
        assert_eq!(net.mib.tcp_ext[TcpExt::TCPBacklogDrop as usize], 2);
        crate::net::core::sock::skb_queue_purge(&mut net, &mut tp.sk.sk_backlog);
        assert_eq!(net.skbs.alive(), 0);
    }
}
