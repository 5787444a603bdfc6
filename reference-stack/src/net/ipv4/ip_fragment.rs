//! Reassembly (Linux `ip_fragment.c`, `inet_fragment.c`): fragments wait, by source,
//! destination, protocol and id, until they are a packet, or their time or the memory is over.
//!
//! A fragment that overlaps another one ends the whole packet, one that repeats bytes already
//! there is dropped alone (RFC 8200 4.5 in spirit; `inet_frag_queue_insert`). Memory is bounded
//! by `ipfrag_high_thresh`: beyond it no new fragment is taken.

use super::icmp;
use super::ip_input::ip_hdr;
use super::ip_output::{IP_DF, IP_MF, IP_OFFSET, ip_finish_output2, ip_set_len};
use super::mib::{Ip, IpExt};
use super::route::Dst;
use crate::errno::Errno;
use crate::net::Net;
use crate::net::core::dev::skb_checksum_help;
use crate::net::core::skbuff::{
    Cb, DropReason, Frags, Skb, consume_skb, kfree_skb, skb_data_align,
};
use crate::net::core::sock::SkbQueue;
use crate::time::TimerId;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What a queue itself is charged, bytes (`sizeof(struct ipq)`).
const IPQ_SIZE: usize = 200;

/// What makes fragments belong together. The user (`IP_DEFRAG_*`) is always local delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    saddr: Ipv4Addr,
    daddr: Ipv4Addr,
    id: u16,
    protocol: u8,
}

/// A packet that is being put together (`struct ipq`).
#[derive(Clone, Debug)]
struct Ipq {
    number: u32,
    /// Fragments by offset; each one's payload starts at its transport header.
    fragments: SkbQueue,
    /// Byte range of each fragment, beside it.
    ranges: Vec<(u32, u32)>,
    /// Bytes of payload so far.
    meat: u32,
    /// Payload length, known once the last fragment is here; until then the highest end seen.
    len: u32,
    first_in: bool,
    last_in: bool,
    /// Truesize of all fragments.
    mem: usize,
    /// Largest fragment, IP header included, and of those with DF.
    max_size: u16,
    max_df_size: u16,
}

/// Every packet that is being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct FragQueues {
    queues: Arc<BTreeMap<Key, Ipq>>,
    numbers: Arc<BTreeMap<u32, Key>>,
    next_number: u32,
    mem: usize,
}

impl FragQueues {
    /// Buffers that wait, for the leak check.
    pub(crate) fn queued(&self) -> usize {
        self.queues.values().map(|q| q.fragments.len()).sum()
    }
}

/// Takes a fragment whose IP header has been checked and is at `data`. The whole packet comes
/// back when this was the piece that was missing.
pub(crate) fn ip_defrag(net: &mut Net, skb: Skb) -> Option<Skb> {
    net.mib.inc(Ip::ReasmReqds);
    let Some((key, frag_off)) = key_of(&skb) else {
        net.mib.inc(Ip::ReasmFails);
        kfree_skb(net, skb, DropReason::IpInHdr);
        return None;
    };
    let exists = net.ip.frags.queues.contains_key(&key);
    if !exists && !create(net, key) {
        net.mib.inc(Ip::ReasmFails);
        kfree_skb(net, skb, DropReason::Nomem);
        return None;
    }
    match ip_frag_queue(net, key, skb, frag_off) {
        Ok(()) => ip_frag_reasm(net, key),
        Err((skb, reason)) => {
            kfree_skb(net, skb, reason);
            None
        }
    }
}

fn key_of(skb: &Skb) -> Option<(Key, u16)> {
    let h = skb.head_at(skb.network_header);
    let word = |at: usize| h.get(at..)?.first_chunk().map(|b: &[u8; 2]| u16::from_be_bytes(*b));
    let addr = |at: usize| h.get(at..)?.first_chunk().map(|b: &[u8; 4]| Ipv4Addr::from(*b));
    let key = Key { saddr: addr(12)?, daddr: addr(16)?, id: word(4)?, protocol: *h.get(9)? };
    Some((key, word(6)?))
}

/// A fresh queue with its timer; false when the memory is used up.
fn create(net: &mut Net, key: Key) -> bool {
    if net.ip.frags.mem > net.sysctl.ipfrag_high_thresh.max(0) as usize {
        return false;
    }
    let frags = &mut net.ip.frags;
    let number = frags.next_number;
    frags.next_number = number.wrapping_add(1);
    let queue = Ipq {
        number,
        fragments: SkbQueue::default(),
        ranges: Vec::new(),
        meat: 0,
        len: 0,
        first_in: false,
        last_in: false,
        mem: IPQ_SIZE,
        max_size: 0,
        max_df_size: 0,
    };
    frags.mem += IPQ_SIZE;
    Arc::make_mut(&mut frags.queues).insert(key, queue);
    Arc::make_mut(&mut frags.numbers).insert(number, key);
    let expires = net.jiffies() + net.sysctl.ipfrag_time as u64 * u64::from(net.time.hz());
    net.mod_timer(TimerId::Frag(number), expires);
    true
}

/// Adds a fragment to its queue; the fragment comes back with the reason if it is not taken.
fn ip_frag_queue(
    net: &mut Net,
    key: Key,
    mut skb: Skb,
    frag_off: u16,
) -> Result<(), (Skb, DropReason)> {
    let header =
        usize::from(skb.head_at(skb.network_header).first().copied().unwrap_or(0) & 15) * 4;
    let total = skb.len();
    let offset = u32::from(frag_off & IP_OFFSET) * 8;
    let mut end = offset + (total.saturating_sub(header)) as u32;
    let more = frag_off & IP_MF != 0;
    let high = net.sysctl.ipfrag_high_thresh.max(0) as usize;
    let frags = &mut net.ip.frags;
    let Some(queue) = Arc::make_mut(&mut frags.queues).get_mut(&key) else {
        return Err((skb, DropReason::Nomem));
    };
    let verdict = if more {
        // All but the last hold a multiple of eight bytes; an odd rest is cut off.
        if end & 7 != 0 {
            end &= !7;
            skb.trim(header + (end - offset) as usize);
        }
        match () {
            () if end > queue.len && queue.last_in => Verdict::Kill,
            () => {
                queue.len = queue.len.max(end);
                Verdict::Take
            }
        }
    } else if end < queue.len || (queue.last_in && end != queue.len) {
        Verdict::Kill
    } else {
        queue.last_in = true;
        queue.len = end;
        Verdict::Take
    };
    // Ping of death: a packet has 65535 bytes at most, its header included.
    let verdict = match verdict {
        Verdict::Take if end == offset => Verdict::Kill,
        Verdict::Take if end as usize + header > 65535 => Verdict::TooBig,
        other => other,
    };
    match verdict {
        Verdict::Kill | Verdict::TooBig => {
            kill(net, key, true);
            let reason = if matches!(verdict, Verdict::TooBig) {
                DropReason::PktTooBig
            } else {
                DropReason::IpInHdr
            };
            return Err((skb, reason));
        }
        Verdict::Take => {}
    }
    let at = queue.ranges.partition_point(|r| r.0 < offset);
    let repeats = |r: &(u32, u32)| r.0 <= offset && end <= r.1;
    if queue.ranges.iter().any(repeats) {
        return Err((skb, DropReason::DupFrag));
    }
    let overlaps = |r: &(u32, u32)| r.0 < end && offset < r.1;
    if queue.ranges.iter().any(overlaps) {
        net.mib.inc(IpExt::ReasmOverlaps);
        kill(net, key, true);
        return Err((skb, DropReason::DupFrag));
    }
    if frags.mem > high {
        kill(net, key, true);
        return Err((skb, DropReason::Nomem));
    }
    queue.first_in |= offset == 0;
    queue.meat += end - offset;
    queue.mem += skb.truesize as usize;
    frags.mem += skb.truesize as usize;
    let size = total.min(65535) as u16;
    queue.max_size = queue.max_size.max(size);
    if frag_off & IP_DF != 0 {
        queue.max_df_size = queue.max_df_size.max(size);
    }
    queue.ranges.insert(at, (offset, end));
    queue.fragments.insert(at, skb);
    Ok(())
}

#[derive(Clone, Copy)]
enum Verdict {
    Take,
    Kill,
    TooBig,
}

/// Joins the fragments if they are complete.
fn ip_frag_reasm(net: &mut Net, key: Key) -> Option<Skb> {
    let queue = net.ip.frags.queues.get(&key)?;
    if !queue.first_in || !queue.last_in || queue.meat != queue.len {
        return None;
    }
    let mut queue = remove(net, key)?;
    let mut whole = queue.fragments.pop_front()?;
    let header = whole.linear().first().map_or(20, |b| usize::from(b & 15) * 4);
    while let Some(mut part) = queue.fragments.pop_front() {
        let part_header = part.linear().first().map_or(20, |b| usize::from(b & 15) * 4);
        part.pull(part_header);
        // What is still linear of it becomes a slice of its own.
        if part.headlen() > 0 {
            let bytes = Arc::new(part.linear().to_vec());
            whole.add_frag(hw_model::Frag::new(bytes));
        }
        for frag in std::mem::take(&mut part.frags) as Frags {
            whole.add_frag(frag);
        }
        part.data_len = 0;
        whole.truesize += part.truesize;
        kfree_skb(net, part, DropReason::Consumed);
    }
    let total = header as u32 + queue.len;
    let df_limits = queue.max_df_size == queue.max_size;
    let head = whole.linear_mut();
    head[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    // DF is kept where the largest fragment had it (RFC 791 path MTU discovery through us).
    let frag_field = if df_limits { IP_DF } else { 0 };
    head[6..8].copy_from_slice(&frag_field.to_be_bytes());
    head[10..12].fill(0);
    let sum = crate::lib::checksum::ip_compute_csum(&head[..header.min(head.len())]);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut cb = whole.ip_cb();
    cb.frag_max_size = queue.max_size;
    whole.cb = Cb::Ip(cb);
    net.mib.inc(Ip::ReasmOKs);
    Some(whole)
}

/// Takes a queue out of the tables and stops its timer.
fn remove(net: &mut Net, key: Key) -> Option<Ipq> {
    let queue = Arc::make_mut(&mut net.ip.frags.queues).remove(&key)?;
    Arc::make_mut(&mut net.ip.frags.numbers).remove(&queue.number);
    net.ip.frags.mem -= queue.mem;
    net.del_timer(TimerId::Frag(queue.number));
    Some(queue)
}

/// Ends a queue with all its fragments (`inet_frag_kill`, `ipq_put`).
fn kill(net: &mut Net, key: Key, fails: bool) {
    let Some(mut queue) = remove(net, key) else { return };
    if fails {
        net.mib.inc(Ip::ReasmFails);
    }
    while let Some(skb) = queue.fragments.pop_front() {
        kfree_skb(net, skb, DropReason::Purge);
    }
}

/// The time of a packet is over (`ip_expire`): if its first fragment came, the sender is told.
pub(crate) fn ip_expire(net: &mut Net, number: u32) {
    let Some(&key) = net.ip.frags.numbers.get(&number) else { return };
    let Some(mut queue) = remove(net, key) else { return };
    net.mib.inc(Ip::ReasmFails);
    net.mib.inc(Ip::ReasmTimeout);
    if queue.first_in
        && let Some(first) = queue.fragments.front()
    {
        icmp::icmp_send(net, first, icmp::ICMP_TIME_EXCEEDED, icmp::ICMP_EXC_FRAGTIME, 0);
    }
    while let Some(skb) = queue.fragments.pop_front() {
        kfree_skb(net, skb, DropReason::FragReasmTimeout);
    }
}

/// Cuts a packet into fragments of at most `mtu` bytes and sends each (`ip_do_fragment`). Options
/// that are not to be copied are not in the later ones (RFC 791 3.1).
///
/// # Errors
/// EMSGSIZE: not even eight bytes fit. Else the first error of the way down; fragments behind it
/// are not sent.
pub(crate) fn ip_do_fragment(
    net: &mut Net,
    mut skb: Skb,
    dst: &Dst,
    mtu: usize,
) -> Result<(), Errno> {
    skb_checksum_help(&mut skb);
    let iph = ip_hdr(&skb).filter(|h| h.ihl >= 20 && h.ihl <= skb.headlen());
    let unit = iph.map_or(0, |h| mtu.saturating_sub(h.ihl) & !7);
    let (Some(iph), 8..) = (iph, unit) else {
        net.mib.inc(Ip::FragFails);
        kfree_skb(net, skb, DropReason::PktTooBig);
        return Err(Errno::EMSGSIZE);
    };
    let hlen = iph.ihl;
    let mut header = skb.linear()[..hlen].to_vec();
    skb.pull(hlen);
    let total = skb.len();
    let base = iph.frag_off & IP_OFFSET;
    let mut at = 0;
    let mut result = Ok(());
    while at < total && result.is_ok() {
        // The last piece need not be a multiple of eight bytes.
        let len = if total - at > mtu - hlen { unit } else { total - at };
        let last = at + len == total;
        let mut part = Skb::alloc(&mut net.skbs, 160);
        for frag in skb.take_payload(len) {
            part.add_frag(frag);
        }
        part.push(hlen).copy_from_slice(&header);
        part.reset_network_header();
        part.transport_header = part.network_header + hlen as u16;
        let keep = iph.frag_off & (IP_DF | IP_MF);
        let more = if last { keep } else { keep | IP_MF };
        let field = (base + (at / 8) as u16) | more;
        part.linear_mut()[6..8].copy_from_slice(&field.to_be_bytes());
        ip_set_len(&mut part, (hlen + len) as u16);
        part.protocol = skb.protocol;
        part.dev = skb.dev;
        part.priority = skb.priority;
        part.rt = skb.rt;
        part.truesize = net.profile.skb_truesize(skb_data_align(hlen + len + 16) as u32);
        // ip_frag_next(): the owner is charged for every piece.
        if let Some(owner) = skb.owner {
            net.wmem.charge(owner, part.truesize);
            part.owner = Some(owner);
        }
        if at == 0 {
            ip_options_fragment(&mut header[20..]);
        }
        at += len;
        net.mib.inc(Ip::FragCreates);
        result = ip_finish_output2(net, part, dst);
    }
    match result {
        Ok(()) => net.mib.inc(Ip::FragOKs),
        Err(_) => net.mib.inc(Ip::FragFails),
    }
    consume_skb(net, skb);
    result
}

/// Blanks the options that only the first fragment has.
fn ip_options_fragment(options: &mut [u8]) {
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        let len = match kind {
            0 => return,
            1 => 1,
            _ => match options.get(at + 1) {
                Some(&len) if len >= 2 && usize::from(len) <= options.len() - at => {
                    usize::from(len)
                }
                _ => return,
            },
        };
        if kind & 0x80 == 0 {
            options[at..at + len].fill(1);
        }
        at += len;
    }
}
