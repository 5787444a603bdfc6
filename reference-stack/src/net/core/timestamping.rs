//! Time stamps of packets (SO_TIMESTAMP, SO_TIMESTAMPING; Linux `net/core/sock.c`, `skbuff.c`,
//! `net/socket.c`, 5.15): what a socket asks for, stamps of what arrives, and stamps of what leaves,
//! which come by the error queue. There is no hardware clock, so there are software stamps only. The
//! device of a stamp (SOF_TIMESTAMPING_OPT_CMSG, OPT_PKTINFO) is not told.

use super::errqueue::{SockExtendedErr, SockExterr, sock_queue_err_skb};
use super::scm::put_cmsg;
use super::skbuff::SkBuff;
use super::sock::{SockCommon, SockId, Socks};
use crate::Nanos;
use crate::errno::Errno;
use crate::lib::seqnum::SeqNum;
use crate::net::Net;
use crate::net::ipv4::af_inet;
use crate::net::ipv4::tcp_sock::RecvMsg;
use crate::time::NSEC_PER_SEC;
use crate::uapi::*;

const NSEC_PER_USEC: u64 = 1000;
/// `SKBTX_SW_TSTAMP`: the driver stamps the packet.
const SKBTX_SW_TSTAMP: u8 = 1 << 1;
/// `SKBTX_SCHED_TSTAMP`: it is stamped before it enters the qdisc.
const SKBTX_SCHED_TSTAMP: u8 = 1 << 6;

/// What a socket wants to know of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SockTstamp {
    /// `SOF_TIMESTAMPING_*` (`sk_tsflags`).
    pub(crate) tsflags: u32,
    /// The key of the next datagram, or the sequence number that has the key 0 (`sk_tskey`).
    pub(crate) tskey: u32,
    /// `SOCK_RCVTSTAMP`: SO_TIMESTAMP or SO_TIMESTAMPNS.
    rcvtstamp: bool,
    /// `SOCK_RCVTSTAMPNS`: in nanoseconds.
    rcvtstampns: bool,
    /// `SOCK_TSTAMP_NEW`: with 64-bit seconds on every architecture.
    tstamp_new: bool,
}

/// Where a packet is to be stamped on its way out (`skb_shared_info.tx_flags`), and how its stamp is told
/// from others (`tskey`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TxTstamp {
    /// `SKBTX_*`.
    pub(crate) flags: u8,
    pub(crate) key: u32,
}

impl TxTstamp {
    /// The marks for a socket's or a call's flags (`sock_tx_timestamp`).
    pub(crate) fn new(tsflags: u32, key: u32) -> Self {
        let mut flags = 0;
        if tsflags & SOF_TIMESTAMPING_TX_SOFTWARE != 0 {
            flags |= SKBTX_SW_TSTAMP;
        }
        if tsflags & SOF_TIMESTAMPING_TX_SCHED != 0 {
            flags |= SKBTX_SCHED_TSTAMP;
        }
        Self { flags, key }
    }

    /// Only the mark for the driver, which one segment of a super-packet keeps (`tcp_gso_tstamp`).
    pub(crate) fn of_segment(self, seq: u32, len: u32) -> Self {
        let inside = self.key.wrapping_sub(seq) < len;
        if inside { Self { flags: self.flags & SKBTX_SW_TSTAMP, ..self } } else { Self::default() }
    }
}

/// A packet passed a point at which it is stamped.
#[derive(Clone, Debug)]
pub(crate) struct TxEvent {
    sk: SockId,
    /// `SCM_TSTAMP_*`.
    tstype: u32,
    key: u32,
    at: Nanos,
    /// The packet, for who wants it back with the stamp.
    packet: Vec<u8>,
    truesize: u32,
}

/// SO_TIMESTAMPING (`sock_set_timestamping`). `stream`: SND.UNA and the write sequence of a TCP socket
/// that is connected, `None` for one that is not.
///
/// # Errors
/// EINVAL: flags that are not known or do not go together, keys for a stream that is not connected.
pub(crate) fn sock_set_timestamping(
    sk: &mut SockCommon,
    net: &mut Net,
    name: i32,
    val: u32,
    stream: Option<(SeqNum, SeqNum)>,
) -> Result<(), Errno> {
    let on = |flag: u32| val & flag != 0;
    // SOF_TIMESTAMPING_MASK: everything up to the last flag that the kernel knows.
    if val >= net.profile.sof_timestamping_last << 1 {
        return Err(Errno::EINVAL);
    }
    if on(SOF_TIMESTAMPING_OPT_ID_TCP) && !on(SOF_TIMESTAMPING_OPT_ID) {
        return Err(Errno::EINVAL);
    }
    let mut tskey = sk.tstamp.tskey;
    if on(SOF_TIMESTAMPING_OPT_ID) && sk.tstamp.tsflags & SOF_TIMESTAMPING_OPT_ID == 0 {
        tskey = match (sk.sk_type, stream) {
            (SOCK_STREAM, None) => return Err(Errno::EINVAL),
            (_, None) => 0,
            (_, Some((_, write_seq))) if on(SOF_TIMESTAMPING_OPT_ID_TCP) => write_seq.0,
            (_, Some((snd_una, _))) => snd_una.0,
        };
    }
    // The statistics are not built: refused rather than taken and not given.
    if on(SOF_TIMESTAMPING_OPT_STATS) {
        return Err(Errno::EINVAL);
    }
    sk.tstamp.tskey = tskey;
    sk.tstamp.tsflags = val;
    sk.tstamp.tstamp_new = name == SO_TIMESTAMPING_NEW;
    net.softnet.netstamp_needed |= on(SOF_TIMESTAMPING_RX_SOFTWARE);
    Ok(())
}

/// SO_TIMESTAMP and SO_TIMESTAMPNS (`sock_set_timestamp`).
pub(crate) fn sock_set_timestamp(sk: &mut SockCommon, net: &mut Net, name: i32, on: bool) {
    let tstamp = &mut sk.tstamp;
    tstamp.rcvtstamp = on;
    tstamp.rcvtstampns = on && matches!(name, SO_TIMESTAMPNS | SO_TIMESTAMPNS_NEW);
    if on {
        tstamp.tstamp_new = matches!(name, SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW);
        net.softnet.netstamp_needed = true;
    }
}

/// What getsockopt(2) says of SO_TIMESTAMP and its kin.
pub(crate) fn sock_get_timestamp(sk: &SockCommon, name: i32) -> bool {
    let SockTstamp { rcvtstamp, rcvtstampns, tstamp_new, .. } = sk.tstamp;
    match name {
        SO_TIMESTAMP => rcvtstamp && !tstamp_new && !rcvtstampns,
        SO_TIMESTAMPNS => rcvtstampns && !tstamp_new,
        SO_TIMESTAMP_NEW => rcvtstamp && tstamp_new,
        _ => rcvtstampns && tstamp_new,
    }
}

/// `struct timeval` or `struct timespec` of two 64-bit numbers; `unit` is the second one's, in ns.
fn two_words(at: Nanos, unit: u64) -> Vec<u8> {
    let (sec, rest) = (at / NSEC_PER_SEC, at % NSEC_PER_SEC / unit);
    [sec.to_ne_bytes(), rest.to_ne_bytes()].concat()
}

/// Gives a reader the stamp of a packet as its socket wants it (`__sock_recv_timestamp`); `at` is 0 for
/// a packet that has none.
pub(crate) fn sock_recv_timestamp(sk: &SockCommon, net: &Net, msg: &mut RecvMsg, at: Nanos) {
    // The packet was taken before stamps were asked for: the time of now has to do.
    let at = match at {
        0 if sk.tstamp.rcvtstamp => net.time.ktime_get_real_ns(),
        at => at,
    };
    tcp_recv_timestamp(sk, msg, at);
}

/// The same for a stream, whose bytes without a stamp are given none (`tcp_recv_timestamp`).
pub(crate) fn tcp_recv_timestamp(sk: &SockCommon, msg: &mut RecvMsg, at: Nanos) {
    if at == 0 {
        return;
    }
    let SockTstamp { tsflags, rcvtstamp, rcvtstampns, tstamp_new, .. } = sk.tstamp;
    if rcvtstamp {
        let (ty, unit) = match (rcvtstampns, tstamp_new) {
            (false, false) => (SO_TIMESTAMP, NSEC_PER_USEC),
            (false, true) => (SO_TIMESTAMP_NEW, NSEC_PER_USEC),
            (true, false) => (SO_TIMESTAMPNS, 1),
            (true, true) => (SO_TIMESTAMPNS_NEW, 1),
        };
        put_cmsg(msg, SOL_SOCKET, ty, &two_words(at, unit));
    }
    if tsflags & SOF_TIMESTAMPING_SOFTWARE != 0 {
        let ty = if tstamp_new { SO_TIMESTAMPING_NEW } else { SO_TIMESTAMPING };
        // struct scm_timestamping: software, deprecated, hardware.
        let mut stamps = two_words(at, 1);
        stamps.resize(48, 0);
        put_cmsg(msg, SOL_SOCKET, ty, &stamps);
    }
}

/// The marks of a datagram; one that is stamped takes the next key (`__ip_append_data`).
pub(crate) fn datagram_tstamp(sk: &mut SockCommon, tsflags: u32) -> TxTstamp {
    let mut marks = TxTstamp::new(tsflags, 0);
    if marks.flags != 0 && sk.tstamp.tsflags & SOF_TIMESTAMPING_OPT_ID != 0 {
        marks.key = sk.tstamp.tskey;
        sk.tstamp.tskey = marks.key.wrapping_add(1);
    }
    marks
}

/// A packet enters the qdisc (`__skb_tstamp_tx` with `SCM_TSTAMP_SCHED`).
pub(crate) fn skb_sched_timestamp(net: &mut Net, skb: &SkBuff) {
    if skb.tx_tstamp.flags & SKBTX_SCHED_TSTAMP != 0 {
        tstamp_packet(net, skb, SCM_TSTAMP_SCHED);
    }
}

/// A driver takes a packet (`skb_tx_timestamp`).
pub(crate) fn skb_tx_timestamp(net: &mut Net, skb: &SkBuff) {
    if skb.tx_tstamp.flags & SKBTX_SW_TSTAMP != 0 {
        tstamp_packet(net, skb, SCM_TSTAMP_SND);
    }
}

fn tstamp_packet(net: &mut Net, skb: &SkBuff, tstype: u32) {
    if let Some(sk) = skb.owner {
        let packet = skb.slices().flatten().copied().collect();
        __skb_tstamp_tx(net, sk, tstype, skb.tx_tstamp.key, packet, skb.truesize);
    }
}

/// Notes a stamp of now. Its socket gets it after whatever is under way, because who stamps need not hold
/// the socket.
pub(crate) fn __skb_tstamp_tx(
    net: &mut Net,
    sk: SockId,
    tstype: u32,
    key: u32,
    packet: Vec<u8>,
    truesize: u32,
) {
    let at = net.time.ktime_get_real_ns();
    net.skbs.tx_events.push(TxEvent { sk, tstype, key, at, packet, truesize });
}

/// Queues the stamps that were noted.
pub(crate) fn skb_complete_tx_timestamps(socks: &mut Socks, net: &mut Net) {
    for event in std::mem::take(&mut net.skbs.tx_events) {
        if let Some(sk) = af_inet::common_mut(socks, event.sk) {
            __skb_complete_tx_timestamp(sk, net, event);
        }
    }
}

fn __skb_complete_tx_timestamp(sk: &mut SockCommon, net: &mut Net, event: TxEvent) {
    let tsflags = sk.tstamp.tsflags;
    let mut ee = SockExtendedErr {
        ee_errno: Errno::ENOMSG.raw() as u32,
        ee_origin: SO_EE_ORIGIN_TIMESTAMPING,
        ee_info: event.tstype,
        ..SockExtendedErr::default()
    };
    if tsflags & SOF_TIMESTAMPING_OPT_ID != 0 {
        let first = if sk.sk_type == SOCK_STREAM { sk.tstamp.tskey } else { 0 };
        ee.ee_data = event.key.wrapping_sub(first);
    }
    let mut entry = SockExterr { ee, tstamp: event.at, ..SockExterr::default() };
    if tsflags & SOF_TIMESTAMPING_OPT_TSONLY == 0 {
        (entry.payload, entry.truesize) = (event.packet, event.truesize);
    }
    // A stamp for which there is no room is lost.
    sock_queue_err_skb(sk, net, entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{BootConfig, Kernel};
    use crate::profile::{Profile, Version};

    fn machine(version: Version) -> (Net, SockCommon) {
        let net = Kernel::boot(&BootConfig::new(Profile::new(version), Vec::new())).net;
        (net, SockCommon::new(SockId(0), AF_INET, SOCK_STREAM, IPPROTO_TCP, (131_072, 46_080)))
    }

    #[test]
    fn keys_count_from_the_first_byte_that_was_not_acknowledged() {
        let (mut net, mut sk) = machine(Version::V5_15);
        let stream = Some((SeqNum(1000), SeqNum(1500)));
        let id = SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_SOFTWARE;
        let set = |net: &mut Net, sk: &mut SockCommon, val, stream| {
            sock_set_timestamping(sk, net, SO_TIMESTAMPING, val, stream)
        };
        assert_eq!(set(&mut net, &mut sk, id, None), Err(Errno::EINVAL));
        assert_eq!(set(&mut net, &mut sk, id, stream), Ok(()));
        __skb_tstamp_tx(&mut net, SockId(0), SCM_TSTAMP_ACK, 1009, vec![1; 10], 832);
        let event = net.skbs.tx_events.pop().unwrap();
        __skb_complete_tx_timestamp(&mut sk, &mut net, event);
        let entry = sk.sk_error_queue.pop_front().unwrap();
        assert_eq!((entry.ee.ee_data, entry.payload.len(), entry.truesize), (9, 10, 832));
        // Of two kernels only the younger one knows keys from what is written next.
        let late = id | SOF_TIMESTAMPING_OPT_ID_TCP;
        assert_eq!(set(&mut net, &mut sk, late, stream), Err(Errno::EINVAL));
        let (mut net, mut sk) = machine(Version::V6_18);
        assert_eq!(set(&mut net, &mut sk, late, stream), Ok(()));
        assert_eq!(sk.tstamp.tskey, 1500);
    }

    #[test]
    fn one_segment_of_a_super_packet_is_stamped() {
        let all = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED;
        let whole = TxTstamp::new(all, 2499);
        let of = |seq| whole.of_segment(seq, 1000);
        assert_eq!([of(0), of(1000)], [TxTstamp::default(); 2]);
        assert_eq!(of(2000), TxTstamp { flags: SKBTX_SW_TSTAMP, key: 2499 });
    }
}
