//! The packet buffer (`struct sk_buff`): a short linear head for headers, payload as slices of
//! shared buffers.
//!
//! An [`Skb`] has neither `Clone` nor `Drop`. It is consumed by value, by a hand-over or by
//! [`kfree_skb`]; [`SkbAccounting`] counts the living, so that a lost one is found at the end.

use super::dev::DevId;
use super::sock::{SockId, Wmem};
use super::timestamping::{TxEvent, TxTstamp};
use super::zerocopy::{UbufId, Ubufs};
use crate::Nanos;
use crate::lib::checksum::Csum;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::profile::Profile;
use hw_model::Frag;
use smallvec::SmallVec;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Bytes of the linear head: headroom plus the headers of every layer.
pub(crate) const SKB_HEAD: usize = 256;
/// Headroom that a fresh buffer for sending has (`MAX_TCP_HEADER` stands for it).
pub(crate) const SKB_HEADROOM: usize = 160;
/// `MAX_SKB_FRAGS` with 4 KiB pages.
pub(crate) const MAX_SKB_FRAGS: usize = 17;

/// Payload slices of a buffer.
pub(crate) type Frags = SmallVec<[Frag; 2]>;

/// Who has checked, or is to fill, the transport checksum (`ip_summed`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum IpSummed {
    /// `CHECKSUM_NONE`: nobody.
    #[default]
    None,
    /// `CHECKSUM_UNNECESSARY`: the hardware checked it.
    Unnecessary,
    /// `CHECKSUM_PARTIAL`: the pseudo-header's sum stands in the field; the device adds the rest.
    Partial {
        /// Where the checksum field is (`csum_offset`), counted from the transport header, where
        /// summing starts: 16 for TCP, 6 for UDP.
        offset: u16,
    },
}

/// `skb->pkt_type`: whom the frame was addressed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum PktType {
    #[default]
    Host,
    Broadcast,
    Multicast,
    OtherHost,
}

/// `TCP_SKB_CB` of a received segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TcpCb {
    pub(crate) seq: SeqNum,
    pub(crate) end_seq: SeqNum,
    pub(crate) ack_seq: SeqNum,
    pub(crate) tcp_flags: u8,
    pub(crate) ip_dsfield: u8,
    pub(crate) has_rxtstamp: bool,
    /// Bytes of the TCP header, and so where the payload starts before it is pulled.
    pub(crate) doff: u8,
}

/// `IPCB`: what IP input found out about the packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IpCb {
    /// Largest fragment seen, when it was reassembled (`IPCB(skb)->frag_max_size`).
    pub(crate) frag_max_size: u16,
}

/// `IP6CB`: what IPv6 input found out about the packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ip6Cb {
    /// Where the byte that named the transport protocol is, counted from the IPv6 header
    /// (`IP6CB(skb)->nhoff`).
    pub(crate) nhoff: u16,
    /// It was put together from fragments.
    pub(crate) fragmented: bool,
}

/// The layer-private part (`skb->cb`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Cb {
    #[default]
    None,
    Ip(IpCb),
    Ip6(Ip6Cb),
    Tcp(TcpCb),
}

/// The fields of a packet buffer.
#[derive(Clone, Debug)]
pub(crate) struct SkBuff {
    head: [u8; SKB_HEAD],
    data: u16,
    tail: u16,
    /// Payload behind the linear part.
    pub(crate) frags: Frags,
    /// Bytes in `frags`.
    pub(crate) data_len: u32,
    /// Offsets in the head, so they survive push and pull.
    pub(crate) mac_header: u16,
    pub(crate) network_header: u16,
    pub(crate) transport_header: u16,
    /// EtherType.
    pub(crate) protocol: u16,
    pub(crate) dev: Option<DevId>,
    pub(crate) pkt_type: PktType,
    pub(crate) ip_summed: IpSummed,
    /// Payload bytes of each segment that this is to be cut into; 0: not a super-packet.
    pub(crate) gso_size: u16,
    pub(crate) gso_segs: u16,
    /// What the sender or receiver is charged.
    pub(crate) truesize: u32,
    /// Whose `sk_wmem_alloc` is charged (`skb->sk` with `sock_wfree` or `tcp_wfree`).
    pub(crate) owner: Option<SockId>,
    pub(crate) tstamp: Nanos,
    pub(crate) hash: u32,
    pub(crate) priority: u32,
    pub(crate) vlan_tci: Option<u16>,
    /// May be fragmented although DF is set (`ignore_df`).
    pub(crate) ignore_df: bool,
    /// Its received bytes are in a `kmalloc`ed head, which cannot become a fragment of another
    /// buffer (`skb_head_is_locked`).
    pub(crate) head_is_locked: bool,
    /// What the routing decided for it (`_skb_refdst`), as far as a packet in hand needs it.
    pub(crate) rt: Option<SkbRt>,
    /// The send calls whose pages it refers to (`skb_zcopy`).
    pub(crate) uarg: Option<UbufId>,
    /// Where it is stamped on its way out.
    pub(crate) tx_tstamp: TxTstamp,
    pub(crate) cb: Cb,
}

/// The part of a packet's route that is asked for while it is in hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SkbRt {
    /// `RTCF_LOCAL`, `RTCF_BROADCAST`, `RTCF_MULTICAST`.
    pub(crate) rt_flags: u32,
    /// `rt_is_input_route`.
    pub(crate) is_input: bool,
}

/// A packet buffer.
#[derive(Debug)]
#[must_use = "an skb is handed on or freed by kfree_skb()"]
pub(crate) struct Skb(Box<SkBuff>);

impl Deref for Skb {
    type Target = SkBuff;
    fn deref(&self) -> &SkBuff {
        &self.0
    }
}

impl DerefMut for Skb {
    fn deref_mut(&mut self) -> &mut SkBuff {
        &mut self.0
    }
}

/// Counts buffers, so that none is lost.
#[derive(Clone, Debug)]
pub(crate) struct SkbAccounting {
    alive: u64,
    /// Drops by reason, for the event log and the reports.
    pub(crate) drops: [u32; DropReason::COUNT],
    pub(crate) ubufs: Ubufs,
    /// Stamps that their sockets have not got yet.
    pub(crate) tx_events: Vec<TxEvent>,
}

impl Default for SkbAccounting {
    fn default() -> Self {
        Self {
            alive: 0,
            drops: [0; DropReason::COUNT],
            ubufs: Ubufs::default(),
            tx_events: Vec::new(),
        }
    }
}

impl SkbAccounting {
    /// Buffers allocated and not yet freed.
    pub(crate) fn alive(&self) -> u64 {
        self.alive
    }
}

macro_rules! drop_reasons {
    ($($name:ident),* $(,)?) => {
        /// Why a buffer ended (Linux 6.x `enum skb_drop_reason`; 5.15 has the places, not the names).
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(clippy::upper_case_acronyms, reason = "Linux's names")]
        #[allow(dead_code, reason = "the list is Linux's; layers that are not built use the rest")]
        pub(crate) enum DropReason { $(#[doc = concat!("`", stringify!($name), "`")] $name),* }
        impl DropReason {
            /// Number of reasons.
            pub(crate) const COUNT: usize = [$(stringify!($name)),*].len();
            /// The reasons' names, by number.
            pub(crate) const NAMES: [&'static str; Self::COUNT] = [$(stringify!($name)),*];
        }
    };
}

drop_reasons! {
    Consumed, NotSpecified, NoSocket, PktTooSmall, TcpCsum, SocketFilter, UdpCsum, OtherHost,
    IpCsum, IpInHdr, IpRpfilter, IpNoProto, IcmpCsum, InvalidProto, IpInAddrErrors, IpInNoRoutes,
    UnhandledProto, SocketRcvbuff, ProtoMem, SocketBacklog, TcpFlags, TcpZeroWindow, TcpOldData,
    TcpOverwindow, TcpOfoMerge, TcpOfoQueuePrune, TcpOfoDrop, TcpRfc7323Paws, TcpOldSequence,
    TcpInvalidSequence, TcpInvalidAckSequence, TcpReset, TcpInvalidSyn, TcpClose, TcpFastopen,
    TcpOldAck, TcpTooOldAck, TcpAckUnsentData, TcpMinTtl, TcpListenOverflow, TcpAbortOnData,
    IpOutNoRoutes, NeighCreateFail, NeighFailed, NeighQueueFull, NeighDead, QdiscDrop, CpuBacklog,
    DevHdr, DevReady, FullRing, Nomem, HdrTrunc, PktTooBig, FragReasmTimeout, FragTooFar,
    DupFrag, SkbCsum, Ipv6Disabled, Ipv6BadExthdr, Ipv6NdiscHopLimit, Ipv6NdiscBadCode,
    Ipv6NdiscBadOptions,  ArpInvalid, IcmpRateLimit, MacRxError, TxRing, Purge,
}

/// Ends a buffer: gives back what its owner was charged and counts the reason.
pub(crate) fn kfree_skb(net: &mut Net, skb: Skb, reason: DropReason) {
    skb_free(&mut net.skbs, &mut net.wmem, skb, reason);
}

/// Ends a buffer that did its work (`consume_skb`).
pub(crate) fn consume_skb(net: &mut Net, skb: Skb) {
    kfree_skb(net, skb, DropReason::Consumed);
}

/// [`kfree_skb`] for code that holds only the two accounts (drivers).
pub(crate) fn skb_free(acct: &mut SkbAccounting, wmem: &mut Wmem, mut skb: Skb, why: DropReason) {
    skb_orphan(wmem, &mut skb);
    acct.ubufs.net_zcopy_put(skb.uarg.take(), true);
    acct.alive -= 1;
    acct.drops[why as usize] += 1;
}

/// Gives the charge back to the owner and forgets it (`skb_orphan`).
pub(crate) fn skb_orphan(wmem: &mut Wmem, skb: &mut Skb) {
    if let Some(owner) = skb.owner.take() {
        wmem.uncharge(owner, skb.truesize);
    }
}

impl Skb {
    /// An empty buffer with room for headers in front (`alloc_skb` + `skb_reserve`).
    pub(crate) fn alloc(acct: &mut SkbAccounting, headroom: usize) -> Self {
        acct.alive += 1;
        let at = headroom.min(SKB_HEAD) as u16;
        Self(Box::new(SkBuff {
            head: [0; SKB_HEAD],
            data: at,
            tail: at,
            frags: Frags::new(),
            data_len: 0,
            mac_header: at,
            network_header: at,
            transport_header: at,
            protocol: 0,
            dev: None,
            pkt_type: PktType::Host,
            ip_summed: IpSummed::None,
            gso_size: 0,
            gso_segs: 0,
            truesize: 0,
            owner: None,
            tstamp: 0,
            hash: 0,
            priority: 0,
            vlan_tci: None,
            ignore_df: false,
            head_is_locked: false,
            rt: None,
            uarg: None,
            tx_tstamp: TxTstamp::default(),
            cb: Cb::None,
        }))
    }

    /// The same buffer in another machine: the head is copied, the payload shared. Each machine's
    /// own count already has it.
    pub(super) fn duplicate_for_snapshot(&self) -> Self {
        Self(self.0.clone())
    }

    /// Another buffer with the same bytes and marks, of nobody's charge (`skb_clone`).
    pub(crate) fn copy(&self, acct: &mut SkbAccounting) -> Self {
        acct.alive += 1;
        acct.ubufs.net_zcopy_get(self.uarg);
        let mut copy = self.0.clone();
        copy.owner = None;
        Self(copy)
    }

    /// A received frame: the slices become the payload, and the headers are pulled from them as
    /// layers ask for them. `truesize` is the caller's to set.
    pub(crate) fn from_frags(acct: &mut SkbAccounting, frags: Frags) -> Self {
        let mut skb = Self::alloc(acct, 0);
        skb.data_len = frags.iter().map(|f| f.len).sum();
        skb.frags = frags;
        skb
    }
}

impl SkBuff {
    /// All bytes from `data` on: linear and payload.
    pub(crate) fn len(&self) -> usize {
        self.headlen() + self.data_len as usize
    }

    /// Bytes of the linear part.
    pub(crate) fn headlen(&self) -> usize {
        usize::from(self.tail - self.data)
    }

    /// The linear part.
    pub(crate) fn linear(&self) -> &[u8] {
        &self.head[usize::from(self.data)..usize::from(self.tail)]
    }

    /// The linear part, to write.
    pub(crate) fn linear_mut(&mut self) -> &mut [u8] {
        &mut self.head[usize::from(self.data)..usize::from(self.tail)]
    }

    /// Free bytes in front of the linear part.
    pub(crate) fn headroom(&self) -> usize {
        usize::from(self.data)
    }

    /// Offset of `data` in the head, to set the header marks by.
    pub(crate) fn data_offset(&self) -> u16 {
        self.data
    }

    /// Opens `n` zeroed bytes in front (`skb_push`) and gives them to write. The caller keeps
    /// to [`SKB_HEADROOM`]; less room than asked for is a bug of ours and panics.
    pub(crate) fn push(&mut self, n: usize) -> &mut [u8] {
        assert!(n <= self.headroom(), "skb_under_panic: {n} bytes in front of {}", self.data);
        self.data -= n as u16;
        let at = usize::from(self.data);
        &mut self.head[at..at + n]
    }

    /// Drops up to `n` bytes from the front (`skb_pull`), linear first, then payload.
    pub(crate) fn pull(&mut self, n: usize) {
        let linear = n.min(self.headlen());
        self.data += linear as u16;
        let mut rest = n - linear;
        while rest > 0 && !self.frags.is_empty() {
            let first = &mut self.frags[0];
            let take = rest.min(first.len as usize) as u32;
            first.off += take;
            first.len -= take;
            self.data_len -= take;
            rest -= take as usize;
            if self.frags[0].len == 0 {
                self.frags.remove(0);
            }
        }
    }

    /// Opens `n` zeroed bytes at the end of the linear part (`skb_put`); payload must not be
    /// there yet. `None` if the head has no room for them.
    pub(crate) fn put(&mut self, n: usize) -> Option<&mut [u8]> {
        let at = usize::from(self.tail);
        if at + n > SKB_HEAD || !self.frags.is_empty() {
            return None;
        }
        self.tail += n as u16;
        self.head[at..at + n].fill(0);
        Some(&mut self.head[at..at + n])
    }

    /// Makes the first `n` bytes linear (`pskb_may_pull`); false if the packet is shorter or
    /// the head cannot hold them.
    pub(crate) fn may_pull(&mut self, n: usize) -> bool {
        if n <= self.headlen() {
            return true;
        }
        let from = usize::from(self.tail);
        let missing = n - self.headlen();
        if n > self.len() || from + missing > SKB_HEAD {
            return false;
        }
        let mut moved = 0;
        while moved < missing {
            let Some(first) = self.frags.first_mut() else { return false };
            let take = (missing - moved).min(first.len as usize);
            self.head[from + moved..from + moved + take].copy_from_slice(&first.bytes()[..take]);
            first.off += take as u32;
            first.len -= take as u32;
            if first.len == 0 {
                self.frags.remove(0);
            }
            moved += take;
        }
        self.tail += missing as u16;
        self.data_len -= missing as u32;
        true
    }

    /// Shortens the packet to `len` bytes (`pskb_trim`); a longer `len` changes nothing.
    pub(crate) fn trim(&mut self, len: usize) {
        if len <= self.headlen() {
            self.tail = self.data + len as u16;
            self.frags.clear();
            self.data_len = 0;
            return;
        }
        let mut excess = self.len().saturating_sub(len) as u32;
        while excess > 0 {
            let Some(last) = self.frags.last_mut() else { return };
            let cut = excess.min(last.len);
            last.len -= cut;
            self.data_len -= cut;
            excess -= cut;
            if last.len == 0 {
                self.frags.pop();
            }
        }
    }

    /// Appends a payload slice.
    pub(crate) fn add_frag(&mut self, frag: Frag) {
        if frag.len > 0 {
            self.data_len += frag.len;
            self.frags.push(frag);
        }
    }

    /// Takes up to `n` bytes off the front as slices. Linear bytes are copied.
    pub(crate) fn take_payload(&mut self, n: usize) -> Frags {
        let mut taken = Frags::new();
        let linear = n.min(self.headlen());
        if linear > 0 {
            taken.push(Frag::new(Arc::new(self.linear()[..linear].to_vec())));
        }
        let mut rest = n - linear;
        for frag in &self.frags {
            let len = rest.min(frag.len as usize);
            if len == 0 {
                break;
            }
            taken.push(frag.slice(0, len as u32));
            rest -= len;
        }
        self.pull(n);
        taken
    }

    /// Makes linear data the first fragment; nothing else changes.
    pub(crate) fn linear_to_frag(&mut self) {
        if self.headlen() == 0 {
            return;
        }
        let frag = Frag::new(Arc::new(self.linear().to_vec()));
        self.data_len += frag.len;
        self.frags.insert(0, frag);
        self.tail = self.data;
    }

    /// Copies bytes from `offset` (counted from `data`) on (`skb_copy_bits`); how many there were.
    pub(crate) fn copy_bits(&self, offset: usize, to: &mut [u8]) -> usize {
        let mut skip = offset;
        let mut done = 0;
        for part in self.slices() {
            if skip >= part.len() {
                skip -= part.len();
                continue;
            }
            let n = (part.len() - skip).min(to.len() - done);
            to[done..done + n].copy_from_slice(&part[skip..skip + n]);
            skip = 0;
            done += n;
            if done == to.len() {
                break;
            }
        }
        done
    }

    /// The packet's bytes from `data` on, piece by piece.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.linear()).chain(self.frags.iter().map(Frag::bytes))
    }

    /// Sum over everything from `offset` (counted from `data`) on (`skb_checksum`).
    pub(crate) fn checksum(&self, offset: usize) -> Csum {
        let mut sum = Csum::default();
        let mut skip = offset;
        for part in self.slices() {
            let from = skip.min(part.len());
            sum.add(&part[from..]);
            skip -= from;
        }
        sum
    }

    /// The head from a header mark on, as far as it is linear (`skb_network_header`...).
    pub(crate) fn head_at(&self, mark: u16) -> &[u8] {
        self.head.get(usize::from(mark)..usize::from(self.tail)).unwrap_or_default()
    }

    /// The same, to write.
    pub(crate) fn head_at_mut(&mut self, mark: u16) -> &mut [u8] {
        let tail = usize::from(self.tail);
        self.head.get_mut(usize::from(mark)..tail).unwrap_or_default()
    }

    /// Marks the network header at `data` (`skb_reset_network_header`).
    pub(crate) fn reset_network_header(&mut self) {
        self.network_header = self.data;
    }

    /// Marks the transport header at `data` (`skb_reset_transport_header`).
    pub(crate) fn reset_transport_header(&mut self) {
        self.transport_header = self.data;
    }

    /// Marks the link header at `data` (`skb_reset_mac_header`).
    pub(crate) fn reset_mac_header(&mut self) {
        self.mac_header = self.data;
    }

    /// `TCP_SKB_CB`; a buffer that TCP input has not filled reads as zeros.
    pub(crate) fn tcp_cb(&self) -> TcpCb {
        match self.cb {
            Cb::Tcp(cb) => cb,
            _ => TcpCb::default(),
        }
    }

    /// `IPCB`; zeros where IP input has not filled it.
    pub(crate) fn ip6_cb(&self) -> Ip6Cb {
        match self.cb {
            Cb::Ip6(cb) => cb,
            _ => Ip6Cb::default(),
        }
    }

    pub(crate) fn ip_cb(&self) -> IpCb {
        match self.cb {
            Cb::Ip(cb) => cb,
            _ => IpCb::default(),
        }
    }
}

/// `NET_SKB_PAD`: headroom that a driver's buffer has, bytes.
pub(crate) const NET_SKB_PAD: usize = 64;

/// `SKB_DATA_ALIGN`: up to a whole cache line.
pub(crate) const fn skb_data_align(size: usize) -> usize {
    size.next_multiple_of(64)
}

/// What a buffer with room for `size` bytes is charged (`alloc_skb`, `kmalloc_reserve`).
pub(crate) fn alloc_skb_truesize(profile: &Profile, size: usize) -> u32 {
    let overhead = profile.sizeof_skb_shared_info as usize;
    let head = skb_data_align(size) + overhead;
    let small = profile.max_tcp_header as usize + overhead;
    let head = if profile.skb_small_head && head <= small { small } else { kmalloc_size(head) };
    head as u32 + profile.sizeof_sk_buff
}

/// The size of the slab, or of the pages, that a `kmalloc` of `size` bytes gives (`ksize`).
const fn kmalloc_size(size: usize) -> usize {
    match size {
        0..=64 => 64,
        65..=96 => 96,
        97..=128 => 128,
        129..=192 => 192,
        _ => size.next_power_of_two(),
    }
}
