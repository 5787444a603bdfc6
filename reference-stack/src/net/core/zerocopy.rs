//! MSG_ZEROCOPY (Linux `msg_zerocopy_*` of `net/core/skbuff.c`, 5.15): who still refers to the
//! caller's pages, and the notification when nobody does any more.
//!
//! Payload is shared here whether or not a caller asks for it, so nothing is copied or pinned. What
//! a caller can see is kept: which calls a notification is for, when it comes, and whether a
//! device had to copy.

use super::errqueue::{SockExtendedErr, SockExterr};
use super::skbuff::{SkBuff, SkbAccounting, alloc_skb_truesize};
use super::sock::{SockCommon, SockId, Socks};
use crate::errno::Errno;
use crate::net::Net;
use crate::net::ipv4::af_inet;
use crate::uapi::{SO_EE_CODE_ZEROCOPY_COPIED, SO_EE_ORIGIN_ZEROCOPY, SOCK_STREAM};

/// Most bytes that the calls of one notification may have together.
const BYTE_LIMIT: usize = 1 << 19;

/// A place in [`Ubufs`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UbufId(u32);

/// `struct ubuf_info` of MSG_ZEROCOPY: one or more send calls with consecutive numbers.
#[derive(Clone, Debug)]
pub(crate) struct UbufInfo {
    sk: SockId,
    /// Number of the first call.
    id: u32,
    /// Number of calls; 0: the only one was taken back.
    len: u16,
    /// Bytes of these calls.
    bytelen: usize,
    /// No device had to copy.
    zerocopy: bool,
    refcnt: u32,
}

/// All that are referred to, and those that wait for their notification.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ubufs {
    slab: Vec<Option<UbufInfo>>,
    done: Vec<UbufInfo>,
}

impl Ubufs {
    fn get_mut(&mut self, id: UbufId) -> Option<&mut UbufInfo> {
        self.slab.get_mut(id.0 as usize)?.as_mut()
    }

    fn insert(&mut self, info: UbufInfo) -> UbufId {
        match self.slab.iter().position(Option::is_none) {
            Some(free) => {
                self.slab[free] = Some(info);
                UbufId(free as u32)
            }
            None => {
                self.slab.push(Some(info));
                UbufId(self.slab.len() as u32 - 1)
            }
        }
    }

    /// One more buffer refers to the pages (`net_zcopy_get`).
    pub(crate) fn net_zcopy_get(&mut self, id: Option<UbufId>) {
        if let Some(info) = id.and_then(|id| self.get_mut(id)) {
            info.refcnt += 1;
        }
    }

    /// One less does; `success`: without having copied them (`net_zcopy_put`,
    /// `msg_zerocopy_callback`).
    pub(crate) fn net_zcopy_put(&mut self, id: Option<UbufId>, success: bool) {
        let Some(id) = id else { return };
        let Some(slot) = self.slab.get_mut(id.0 as usize) else { return };
        let Some(info) = slot else { return };
        info.zerocopy &= success;
        info.refcnt = info.refcnt.saturating_sub(1);
        if info.refcnt == 0 {
            self.done.extend(slot.take());
        }
    }

    /// The data is copied in any case (`uarg->zerocopy = 0`).
    pub(crate) fn set_copied(&mut self, id: Option<UbufId>) {
        if let Some(info) = id.and_then(|id| self.get_mut(id)) {
            info.zerocopy = false;
        }
    }

    /// Whether notifications wait to be queued.
    pub(crate) fn is_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// How many are referred to.
    pub(crate) fn alive(&self) -> usize {
        self.slab.iter().flatten().count()
    }
}

/// What the buffer of a notification is charged to its socket's option memory.
fn notification_truesize(net: &Net) -> u32 {
    alloc_skb_truesize(&net.profile, 0)
}

/// Begins a call of its own (`msg_zerocopy_alloc`).
fn msg_zerocopy_alloc(sk: &mut SockCommon, net: &mut Net, size: usize) -> Result<UbufId, Errno> {
    let most = net.sysctl.optmem_max.max(0) as u64;
    if u64::from(sk.sk_omem_alloc) + u64::from(net.profile.skb_truesize(0)) > most {
        return Err(Errno::ENOBUFS);
    }
    sk.sk_omem_alloc += notification_truesize(net);
    let id = sk.sk_zckey;
    sk.sk_zckey = id.wrapping_add(1);
    let info = UbufInfo { sk: sk.id, id, len: 1, bytelen: size, zerocopy: true, refcnt: 1 };
    Ok(net.skbs.ubufs.insert(info))
}

/// The notification that a call of `size` bytes belongs to: that of the call before it, whose
/// data ends the write queue (`tail`), or one of its own (`msg_zerocopy_realloc`). The caller holds a
/// reference.
///
/// # Errors
/// ENOBUFS: too many notifications are outstanding (`net.core.optmem_max`).
pub(crate) fn msg_zerocopy_realloc(
    sk: &mut SockCommon,
    net: &mut Net,
    size: usize,
    tail: Option<UbufId>,
) -> Result<UbufId, Errno> {
    if let Some(id) = tail
        && let Some(info) = net.skbs.ubufs.get_mut(id)
    {
        let bytelen = info.bytelen.saturating_add(size);
        let next = info.id.wrapping_add(info.len.into());
        let full = info.len == u16::MAX - 1 || bytelen > BYTE_LIMIT;
        // Only a stream's buffer outlives the call that began it.
        if !full && next == sk.sk_zckey && sk.sk_type == SOCK_STREAM {
            info.len += 1;
            info.bytelen = bytelen;
            info.refcnt += 1;
            sk.sk_zckey = next.wrapping_add(1);
            return Ok(id);
        }
    }
    msg_zerocopy_alloc(sk, net, size)
}

/// The call failed before it sent anything: its number is given again, and there is no
/// notification for it (`msg_zerocopy_put_abort`).
pub(crate) fn msg_zerocopy_put_abort(sk: &mut SockCommon, net: &mut Net, id: UbufId) {
    sk.sk_zckey = sk.sk_zckey.wrapping_sub(1);
    if let Some(info) = net.skbs.ubufs.get_mut(id) {
        info.len = info.len.saturating_sub(1);
    }
    net.skbs.ubufs.net_zcopy_put(Some(id), true);
}

/// Who takes this buffer may hold it for long, and so gets a copy of the data
/// (`skb_orphan_frags_rx`).
pub(crate) fn skb_orphan_frags_rx(acct: &mut SkbAccounting, skb: &mut SkBuff) {
    acct.ubufs.net_zcopy_put(skb.uarg.take(), false);
}

/// Queues the notifications whose data nobody refers to any more. It is run after whatever
/// freed them, because who frees a buffer need not hold its socket.
pub(crate) fn msg_zerocopy_complete(socks: &mut Socks, net: &mut Net) {
    for info in std::mem::take(&mut net.skbs.ubufs.done) {
        if let Some(sk) = af_inet::common_mut(socks, info.sk) {
            __msg_zerocopy_callback(sk, net, &info);
        }
    }
}

fn __msg_zerocopy_callback(sk: &mut SockCommon, net: &mut Net, info: &UbufInfo) {
    let truesize = notification_truesize(net);
    if info.len == 0 || sk.dead {
        sk.sk_omem_alloc = sk.sk_omem_alloc.saturating_sub(truesize);
        return;
    }
    let lo = info.id;
    let hi = lo.wrapping_add(u32::from(info.len) - 1);
    let tail = sk.sk_error_queue.back_mut();
    if tail.is_some_and(|tail| skb_zerocopy_notify_extend(&mut tail.ee, lo, info.len)) {
        sk.sk_omem_alloc = sk.sk_omem_alloc.saturating_sub(truesize);
    } else {
        let ee_code = if info.zerocopy { 0 } else { SO_EE_CODE_ZEROCOPY_COPIED };
        let ee = SockExtendedErr {
            ee_origin: SO_EE_ORIGIN_ZEROCOPY,
            ee_code,
            ee_info: lo,
            ee_data: hi,
            ..SockExtendedErr::default()
        };
        let entry = SockExterr { ee, omem: truesize, ..SockExterr::default() };
        sk.sk_error_queue.push_back(entry);
    }
    net.sk_error_report(sk.id);
}

/// Makes a notification that is still queued cover the calls that follow its own. Whether they
/// were copied too is not looked at.
fn skb_zerocopy_notify_extend(ee: &mut SockExtendedErr, lo: u32, len: u16) -> bool {
    let (old_lo, old_hi) = (ee.ee_info, ee.ee_data);
    let sum_len = u64::from(old_hi.wrapping_sub(old_lo)) + 1 + u64::from(len);
    let follows = ee.ee_origin == SO_EE_ORIGIN_ZEROCOPY && lo == old_hi.wrapping_add(1);
    if !follows || sum_len >= 1 << 32 {
        return false;
    }
    ee.ee_data = old_hi.wrapping_add(len.into());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{BootConfig, Kernel};
    use crate::profile::{Profile, Version};

    fn machine() -> (Net, SockCommon) {
        let net = Kernel::boot(&BootConfig::new(Profile::new(Version::V5_15), Vec::new())).net;
        let sk = SockCommon::new(SockId(0), 2, SOCK_STREAM, 6, (131_072, 46_080));
        (net, sk)
    }

    fn complete(sk: &mut SockCommon, net: &mut Net) {
        for info in std::mem::take(&mut net.skbs.ubufs.done) {
            __msg_zerocopy_callback(sk, net, &info);
        }
    }

    #[test]
    fn calls_share_a_notification_while_their_data_is_queued_together() {
        let (mut net, mut sk) = machine();
        let first = msg_zerocopy_realloc(&mut sk, &mut net, 10, None).unwrap();
        let second = msg_zerocopy_realloc(&mut sk, &mut net, 10, Some(first)).unwrap();
        assert_eq!(first, second);
        let third = msg_zerocopy_realloc(&mut sk, &mut net, BYTE_LIMIT, Some(first)).unwrap();
        assert_ne!(first, third);
        for id in [first, first, third] {
            net.skbs.ubufs.net_zcopy_put(Some(id), true);
        }
        complete(&mut sk, &mut net);
        let ranges: Vec<_> =
            sk.sk_error_queue.iter().map(|e| (e.ee.ee_info, e.ee.ee_data)).collect();
        assert_eq!(ranges, [(0, 2)]);
        assert_eq!(net.skbs.ubufs.alive(), 0);
    }

    #[test]
    fn a_call_that_failed_leaves_no_gap_and_option_memory_is_bounded() {
        let (mut net, mut sk) = machine();
        let failed = msg_zerocopy_realloc(&mut sk, &mut net, 10, None).unwrap();
        msg_zerocopy_put_abort(&mut sk, &mut net, failed);
        complete(&mut sk, &mut net);
        assert!(sk.sk_error_queue.is_empty());
        assert_eq!((sk.sk_zckey, sk.sk_omem_alloc), (0, 0));
        // 20480 bytes hold 26 of 768.
        let begun = (0..40).filter(|_| msg_zerocopy_alloc(&mut sk, &mut net, 1).is_ok()).count();
        assert_eq!(begun, 26);
    }
}
