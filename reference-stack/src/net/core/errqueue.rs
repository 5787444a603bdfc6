//! The error queue of a socket (`include/linux/errqueue.h`, Linux `net/core/skbuff.c`, 5.15): ICMP
//! errors with what they quote, transmit stamps, and notifications of MSG_ZEROCOPY.

use super::sock::SockCommon;
use super::timestamping::sock_recv_timestamp;
use crate::Nanos;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::ipv4::tcp_sock::RecvMsg;
use crate::uapi::{
    MSG_ERRQUEUE, MSG_TRUNC, SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, SO_EE_ORIGIN_LOCAL,
};
use std::net::{IpAddr, SocketAddr};

/// `struct sock_extended_err`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SockExtendedErr {
    /// An errno, or 0.
    pub(crate) ee_errno: u32,
    /// `SO_EE_ORIGIN_*`.
    pub(crate) ee_origin: u8,
    pub(crate) ee_type: u8,
    pub(crate) ee_code: u8,
    pub(crate) ee_info: u32,
    pub(crate) ee_data: u32,
}

impl SockExtendedErr {
    /// As user space gets it.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[0..4].copy_from_slice(&self.ee_errno.to_ne_bytes());
        bytes[4..7].copy_from_slice(&[self.ee_origin, self.ee_type, self.ee_code]);
        bytes[8..12].copy_from_slice(&self.ee_info.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.ee_data.to_ne_bytes());
        bytes
    }

    /// Whether an ICMP message is behind it (`is_icmp_err_skb`).
    fn is_icmp(self) -> bool {
        matches!(self.ee_origin, SO_EE_ORIGIN_ICMP | SO_EE_ORIGIN_ICMP6)
    }
}

/// An entry of the queue (`struct sock_exterr_skb` with its buffer).
#[derive(Clone, Debug, Default)]
pub(crate) struct SockExterr {
    pub(crate) ee: SockExtendedErr,
    /// What a reader gets as data: the packet that was stamped, or what an error quotes behind its
    /// headers.
    pub(crate) payload: Vec<u8>,
    /// Where the packet had been sent to (`addr_offset` and `port`).
    pub(crate) name: Option<SocketAddr>,
    /// Who reported the error (`SO_EE_OFFENDER`).
    pub(crate) offender: Option<IpAddr>,
    /// When the packet passed the point that is reported, CLOCK_REALTIME; 0: no stamp.
    pub(crate) tstamp: Nanos,
    /// Bytes of `sk_rmem_alloc`.
    pub(crate) truesize: u32,
    /// Bytes of `sk_omem_alloc`.
    pub(crate) omem: u32,
}

/// Puts an entry into the queue and tells who waits; false, and it is dropped, if the receive
/// buffer has no room (`sock_queue_err_skb`). Its `truesize` is set here where the caller has none.
pub(crate) fn sock_queue_err_skb(
    sk: &mut SockCommon,
    net: &mut Net,
    mut entry: SockExterr,
) -> bool {
    if entry.truesize == 0 {
        entry.truesize = net.profile.skb_truesize(entry.payload.len().next_multiple_of(64) as u32);
    }
    let charged = i64::from(sk.sk_rmem_alloc) + i64::from(entry.truesize);
    if charged >= i64::from(sk.sk_rcvbuf) {
        return false;
    }
    sk.sk_rmem_alloc = charged as i32;
    sk.sk_error_queue.push_back(entry);
    if !sk.dead {
        net.sk_error_report(sk.id);
    }
    true
}

/// Takes the oldest entry. The socket's pending error follows the ICMP errors of the queue: it is that
/// of the next one, and none after the last (`sock_dequeue_err_skb`).
fn sock_dequeue_err_skb(sk: &mut SockCommon, net: &mut Net) -> Option<SockExterr> {
    let entry = sk.sk_error_queue.pop_front()?;
    sk.sk_rmem_alloc -= entry.truesize as i32;
    sk.sk_omem_alloc = sk.sk_omem_alloc.saturating_sub(entry.omem);
    let next = sk.sk_error_queue.front().map(|next| next.ee);
    match next.filter(|ee| ee.is_icmp()) {
        Some(ee) => sk.sk_err = Some(Errno::from_raw(ee.ee_errno as i32)),
        None if entry.ee.is_icmp() => sk.sk_err = None,
        None => {}
    }
    if next.is_some() {
        net.sk_error_report(sk.id);
    }
    Some(entry)
}

/// The part of reading the queue that both families share: data, name and flags. The control
/// messages are the family's.
///
/// # Errors
/// EAGAIN: the queue is empty. EFAULT: the caller's buffer cannot be written; the entry is lost.
pub(crate) fn recv_error(
    sk: &mut SockCommon,
    net: &mut Net,
    msg: &mut RecvMsg,
) -> Result<SockExterr, Errno> {
    let entry = sock_dequeue_err_skb(sk, net).ok_or(Errno::EAGAIN)?;
    let copied = entry.payload.len().min(msg.len);
    if copied < entry.payload.len() {
        msg.msg_flags |= MSG_TRUNC;
    }
    if msg.fault && copied > 0 {
        return Err(Errno::EFAULT);
    }
    msg.buf = entry.payload[..copied].to_vec();
    msg.msg_flags |= MSG_ERRQUEUE;
    sock_recv_timestamp(sk, net, msg, entry.tstamp);
    let ee_origin = entry.ee.ee_origin;
    let named = matches!(ee_origin, SO_EE_ORIGIN_ICMP | SO_EE_ORIGIN_ICMP6 | SO_EE_ORIGIN_LOCAL);
    msg.addr = entry.name.filter(|name| named || name.port() != 0);
    Ok(entry)
}

/// Forgets what is queued.
pub(crate) fn error_queue_purge(sk: &mut SockCommon) {
    while let Some(entry) = sk.sk_error_queue.pop_front() {
        sk.sk_rmem_alloc -= entry.truesize as i32;
    }
}
