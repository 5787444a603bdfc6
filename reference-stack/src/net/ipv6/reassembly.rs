//! Reassembly of IPv6 (RFC 8200 4.5, RFC 5722; Linux `reassembly.c`, 5.15): fragments wait, by
//! source, destination and identification, until they are a packet, or their time or the memory
//! is over. One that overlaps another ends the whole packet.

use super::icmp::{
    ICMPV6_EXC_FRAGTIME, ICMPV6_HDR_FIELD, ICMPV6_PARAMPROB, ICMPV6_TIME_EXCEED, icmpv6_send,
};
use super::ip6_input::{IPV6_HLEN, ipv6_hdr};
use crate::net::Net;
use crate::net::core::skbuff::{Cb, DropReason, Ip6Cb, IpSummed, Skb, consume_skb, kfree_skb};
use crate::net::core::sock::SkbQueue;
use crate::net::ipv4::mib::Ip6;
use crate::time::TimerId;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// Bytes of a fragment header.
const FRAG_HLEN: usize = 8;

/// What makes fragments belong together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    saddr: Ipv6Addr,
    daddr: Ipv6Addr,
    id: u32,
}

/// A packet that is being put together (`struct frag_queue`).
#[derive(Clone, Debug)]
struct FragQueue {
    number: u32,
    /// By offset; each one's data is its payload.
    fragments: SkbQueue,
    /// Byte range of each, beside it.
    ranges: Vec<(u32, u32)>,
    /// Payload length, once the last fragment is here.
    total: Option<u32>,
    /// Number of the header behind the fragment header, as the first fragment names it.
    nexthdr: u8,
    mem: usize,
}

/// Every packet that is being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct FragQueues {
    queues: Arc<BTreeMap<Key, FragQueue>>,
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

/// A fragment at its header (`ipv6_frag_rcv`). The whole packet, with the number of its next
/// header, comes back when this was the piece that was missing.
pub(crate) fn ipv6_frag_rcv(net: &mut Net, mut skb: Skb) -> Option<(u8, Skb)> {
    net.mib.inc(Ip6::ReasmReqds);
    let mut h = [0; FRAG_HLEN];
    let Some(ip) = ipv6_hdr(&skb).filter(|_| skb.copy_bits(0, &mut h) == FRAG_HLEN) else {
        net.mib.inc(Ip6::InHdrErrors);
        return fail(net, skb, DropReason::PktTooSmall);
    };
    let word = u16::from_be_bytes([h[2], h[3]]);
    let (offset, more) = (u32::from(word & !7), word & 1 != 0);
    if offset == 0 && !more {
        // An atomic fragment is a whole packet (RFC 6946).
        skb.pull(FRAG_HLEN);
        net.mib.inc(Ip6::ReasmOKs);
        skb.cb = Cb::Ip6(Ip6Cb { fragmented: true, ..skb.ip6_cb() });
        return Some((h[0], skb));
    }
    let here = u32::from(skb.data_offset().saturating_sub(skb.network_header));
    let len = (skb.len() - FRAG_HLEN) as u32;
    let end = offset + len;
    if end > 0xffff || (more && (len & 7 != 0 || len == 0)) {
        // The pointer is at the offset, or at the length that is no multiple of eight.
        let at = if end > 0xffff { here + 2 } else { 4 };
        net.mib.inc(Ip6::InHdrErrors);
        icmpv6_send(net, &skb, ICMPV6_PARAMPROB, ICMPV6_HDR_FIELD, at);
        return fail(net, skb, DropReason::FragTooFar);
    }
    let id = u32::from_be_bytes([h[4], h[5], h[6], h[7]]);
    let key = Key { saddr: ip.saddr, daddr: ip.daddr, id };
    if !net.ip6.frags.queues.contains_key(&key) && !create(net, key) {
        return fail(net, skb, DropReason::Nomem);
    }
    skb.pull(FRAG_HLEN);
    ip6_frag_queue(net, key, skb, (offset, end), more, h[0])?;
    ip6_frag_reasm(net, key)
}

fn fail<T>(net: &mut Net, skb: Skb, reason: DropReason) -> Option<T> {
    net.mib.inc(Ip6::ReasmFails);
    kfree_skb(net, skb, reason);
    None
}

/// A fresh queue with its timer; false when the memory is used up.
fn create(net: &mut Net, key: Key) -> bool {
    if net.ip6.frags.mem > net.sysctl.ip6frag_high_thresh.max(0) as usize {
        return false;
    }
    let frags = &mut net.ip6.frags;
    let number = frags.next_number;
    frags.next_number = number.wrapping_add(1);
    let queue = FragQueue {
        number,
        fragments: SkbQueue::default(),
        ranges: Vec::new(),
        total: None,
        nexthdr: 0,
        mem: 0,
    };
    Arc::make_mut(&mut frags.queues).insert(key, queue);
    Arc::make_mut(&mut frags.numbers).insert(number, key);
    let wait = net.sysctl.ip6frag_time.max(0) as u64 * u64::from(net.time.hz());
    let at = net.jiffies() + wait;
    net.mod_timer(TimerId::Frag6(number), at);
    true
}

/// Puts a fragment in its place (`ip6_frag_queue`); `None`: it, or the whole packet, was dropped.
fn ip6_frag_queue(
    net: &mut Net,
    key: Key,
    skb: Skb,
    (start, end): (u32, u32),
    more: bool,
    nexthdr: u8,
) -> Option<()> {
    let frags = &mut net.ip6.frags;
    let full = frags.mem > net.sysctl.ip6frag_high_thresh.max(0) as usize;
    let Some(queue) = Arc::make_mut(&mut frags.queues).get_mut(&key) else {
        return fail(net, skb, DropReason::FragReasmTimeout);
    };
    if queue.ranges.contains(&(start, end)) {
        return fail(net, skb, DropReason::DupFrag);
    }
    let highest = queue.ranges.last().map_or(0, |r| r.1);
    let contradicts = match queue.total {
        Some(total) => end > total || (!more && end != total),
        None => !more && end < highest,
    };
    let at = queue.ranges.partition_point(|r| r.0 < start);
    let overlaps =
        at > 0 && queue.ranges[at - 1].1 > start || queue.ranges.get(at).is_some_and(|r| r.0 < end);
    if contradicts || overlaps || full {
        let reason = if full { DropReason::Nomem } else { DropReason::DupFrag };
        kill(net, key, reason);
        return fail(net, skb, reason);
    }
    if !more {
        queue.total = Some(end);
    }
    if start == 0 {
        queue.nexthdr = nexthdr;
    }
    queue.mem += skb.truesize as usize;
    frags.mem += skb.truesize as usize;
    queue.ranges.insert(at, (start, end));
    queue.fragments.insert(at, skb);
    Some(())
}

/// Takes a queue out with its timer.
fn remove(net: &mut Net, key: Key) -> Option<FragQueue> {
    let frags = &mut net.ip6.frags;
    let queue = Arc::make_mut(&mut frags.queues).remove(&key)?;
    Arc::make_mut(&mut frags.numbers).remove(&queue.number);
    frags.mem -= queue.mem.min(frags.mem);
    net.del_timer(TimerId::Frag6(queue.number));
    Some(queue)
}

fn kill(net: &mut Net, key: Key, reason: DropReason) {
    let Some(mut queue) = remove(net, key) else { return };
    while let Some(skb) = queue.fragments.pop_front() {
        net.mib.inc(Ip6::ReasmFails);
        kfree_skb(net, skb, reason);
    }
}

/// Makes one packet of the fragments if none is missing (`ip6_frag_reasm`): the first one's
/// headers, without the fragment header.
fn ip6_frag_reasm(net: &mut Net, key: Key) -> Option<(u8, Skb)> {
    let queue = net.ip6.frags.queues.get(&key)?;
    let total = queue.total?;
    let mut next = 0;
    for &(start, end) in &queue.ranges {
        if start != next {
            return None;
        }
        next = end;
    }
    if next != total {
        return None;
    }
    let mut queue = remove(net, key)?;
    let mut whole = queue.fragments.pop_front()?;
    // Headers in front of the payload count for the length field as well.
    let unfragmentable = usize::from(whole.data_offset().saturating_sub(whole.network_header))
        .saturating_sub(IPV6_HLEN + FRAG_HLEN);
    if total as usize + unfragmentable > 0xffff {
        kfree_skb(net, whole, DropReason::PktTooBig);
        while let Some(skb) = queue.fragments.pop_front() {
            kfree_skb(net, skb, DropReason::PktTooBig);
        }
        net.mib.inc(Ip6::ReasmFails);
        return None;
    }
    while let Some(mut skb) = queue.fragments.pop_front() {
        let len = skb.len();
        for frag in skb.take_payload(len) {
            whole.add_frag(frag);
        }
        whole.truesize = whole.truesize.saturating_add(skb.truesize);
        consume_skb(net, skb);
    }
    whole.ip_summed = IpSummed::None;
    whole.cb = Cb::Ip6(Ip6Cb { fragmented: true, ..whole.ip6_cb() });
    net.mib.inc(Ip6::ReasmOKs);
    Some((queue.nexthdr, whole))
}

/// The time of a packet is over (`ip6_frag_expire`): its sender hears so, if its first fragment
/// came.
pub(crate) fn ip6_frag_expire(net: &mut Net, number: u32) {
    let Some(&key) = net.ip6.frags.numbers.get(&number) else { return };
    let Some(mut queue) = remove(net, key) else { return };
    net.mib.inc(Ip6::ReasmFails);
    net.mib.inc(Ip6::ReasmTimeout);
    let first_in = queue.ranges.first().is_some_and(|r| r.0 == 0);
    if let (true, Some(first)) = (first_in, queue.fragments.front()) {
        icmpv6_send(net, first, ICMPV6_TIME_EXCEED, ICMPV6_EXC_FRAGTIME, 0);
    }
    while let Some(skb) = queue.fragments.pop_front() {
        kfree_skb(net, skb, DropReason::FragReasmTimeout);
    }
}
