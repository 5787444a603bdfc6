//! The edits: which frames each fits, and what it does to the bytes.

use conformance::capture::Packet;
use conformance::frames::Frame;

const ETH: usize = 14;
const MS: i64 = 1_000_000;

/// One edit of one frame. Checksums are made right again, except by the edits of checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Flags of a data segment, toggled: a mask of byte 13.
    DataFlags(u8),
    /// Flags of a pure ACK, toggled.
    AckFlags(u8),
    /// Bit of the reserved ones of a TCP header.
    Reserved,
    /// Window of a segment, changed by a mask.
    Window(u16),
    /// Sequence number of a data segment, plus this.
    Seq(u32),
    /// Acknowledgement number of a pure ACK, plus this.
    Ack(u32),
    /// Left or right edge of the first SACK block, plus 8.
    SackLeft,
    SackRight,
    /// TS before the two NOPs instead of behind.
    OptionOrder,
    TsVal(u32),
    TsEcr(u32),
    /// Options of a SYN.
    Mss,
    WindowScale,
    NoSackPermitted,
    Urgent,
    Ttl,
    Df,
    Ecn,
    Dscp,
    IpId(u16),
    IpSource,
    /// Fragments.
    MoreFragments,
    FragmentOffset,
    /// Byte of the payload of the first data segment, of a datagram, of an echo.
    Payload(usize),
    Port,
    EthDst,
    IcmpCode,
    IcmpType,
    IcmpSeq,
    IcmpQuote,
    UdpPayload,
    UdpPort,
    ArpTarget,
    ArpOpcode,
    ArpSenderMac,
    TcpChecksum,
    IpChecksum,
    UdpChecksum,
    /// A frame with a cause long before it (a timer's), moved by milliseconds.
    TimerMoved(i64),
    /// A frame taken out.
    Drop,
    /// A pure ACK taken out that answers a single segment.
    DropAck,
    /// A pure ACK again, three milliseconds later.
    Again,
}

use Edit::*;

fn tcp(f: &Frame) -> Option<conformance::frames::Tcp> {
    f.tcp
}

fn pure_ack(f: &Frame) -> bool {
    tcp(f).is_some_and(|t| t.len == 0 && t.flags & 0x17 == 0x10)
}

fn data(f: &Frame) -> bool {
    tcp(f).is_some_and(|t| t.len > 0)
}

fn syn(f: &Frame) -> bool {
    tcp(f).is_some_and(|t| t.flags & 2 != 0)
}

fn options(f: &Frame) -> &str {
    f.value("tcp.options").unwrap_or_default()
}

fn v4(f: &Frame) -> bool {
    f.ether_type == 0x0800
}

/// Nothing else happens within so many nanoseconds around a frame.
fn alone(packets: &[Packet], at: usize, before: i64, after: i64) -> bool {
    let t = packets[at].time_ns as i64;
    packets.iter().enumerate().all(|(i, p)| {
        let d = p.time_ns as i64 - t;
        i == at || d < -before || d > after
    })
}

impl Edit {
    /// Whether a frame is one that this edit is meant for.
    pub(crate) fn fits(self, packets: &[Packet], frames: &[Frame], at: usize) -> bool {
        let f = &frames[at];
        match self {
            DataFlags(_) | Seq(_) | Urgent => data(f),
            AckFlags(_) | Ack(_) => pure_ack(f),
            Window(_) | Reserved | TcpChecksum | Port => tcp(f).is_some() && !syn(f),
            SackLeft | SackRight => options(f).contains("sack") && !syn(f),
            OptionOrder => options(f) == "nop,nop,ts",
            TsVal(_) | TsEcr(_) => options(f).contains("ts") && !syn(f),
            Mss | WindowScale | NoSackPermitted => syn(f),
            Ttl | Df | Ecn | Dscp | IpChecksum | IpSource => v4(f),
            IpId(_) => v4(f) && f.ip_id != Some(0) && tcp(f).is_some() && !syn(f),
            MoreFragments => f.fragment.is_some_and(|(o, m)| o > 0 && m),
            FragmentOffset => f.fragment.is_some_and(|(o, _)| o > 0),
            Payload(n) => tcp(f).is_some_and(|t| t.len as usize > n),
            EthDst => true,
            IcmpCode | IcmpType => f.icmp.is_some_and(|(t, _)| t == 3),
            IcmpQuote => f.icmp.is_some_and(|(t, _)| t == 3),
            IcmpSeq => f.icmp.is_some_and(|(t, _)| t == 0),
            UdpPayload | UdpPort | UdpChecksum => f.udp.is_some() && !f.payload.is_empty(),
            ArpTarget | ArpOpcode | ArpSenderMac => f.ether_type == 0x0806,
            TimerMoved(ms) => {
                let around = (ms.abs() + 5) * MS;
                let (before, after) = if ms < 0 { (around, MS) } else { (3 * MS, around) };
                alone(packets, at, before.max(20 * MS), after)
            }
            Drop => at + 1 < packets.len(),
            DropAck => pure_ack(f) && alone(packets, at, 0, 5 * MS),
            Again => pure_ack(f) && alone(packets, at, 0, 8 * MS),
        }
    }
}

fn xor(b: &mut [u8], at: usize, mask: u8) {
    if let Some(x) = b.get_mut(at) {
        *x ^= mask;
    }
}

fn add32(b: &mut [u8], at: usize, n: u32) {
    let Some(place) = b.get_mut(at..at + 4) else { return };
    let v = u32::from_be_bytes([place[0], place[1], place[2], place[3]]).wrapping_add(n);
    place.copy_from_slice(&v.to_be_bytes());
}

fn add16(b: &mut [u8], at: usize, n: u16) {
    let Some(place) = b.get_mut(at..at + 2) else { return };
    let v = u16::from_be_bytes([place[0], place[1]]).wrapping_add(n);
    place.copy_from_slice(&v.to_be_bytes());
}

/// Where an option's kind byte is.
fn option(b: &[u8], l4: usize, kind: u8) -> usize {
    let end = l4 + usize::from(b[l4 + 12] >> 4) * 4;
    let mut at = l4 + 20;
    while at < end && b[at] != kind {
        at += if b[at] == 1 { 1 } else { usize::from(b[at + 1]) };
    }
    at
}

/// Applies an edit; the number of the frame at which it has to be called.
pub(crate) fn apply(edit: Edit, packets: &mut Vec<Packet>, at: usize) -> u64 {
    let number = at as u64 + 1;
    match edit {
        TimerMoved(ms) => {
            let t = packets[at].time_ns as i64 + ms * MS;
            packets[at].time_ns = t as u64;
        }
        Drop | DropAck => {
            let host = packets[at].data[6..12].to_vec();
            packets.remove(at);
            // Found where the machine sends it: before the next frame of the host.
            let next = packets[at..].iter().position(|p| p.data[6..12] == host[..]);
            return next.map_or(packets.len() as u64 + 1, |n| (at + n) as u64 + 1);
        }
        Again => {
            let mut copy = packets[at].clone();
            copy.time_ns += 3 * MS as u64;
            packets.insert(at + 1, copy);
            return number + 1;
        }
        _ => {
            let b = &mut packets[at].data;
            bytes(edit, b);
            if !matches!(edit, TcpChecksum | IpChecksum | UdpChecksum) {
                checksums(b);
            }
        }
    }
    number
}

fn bytes(edit: Edit, b: &mut [u8]) {
    let l4 = ETH + usize::from(b[ETH] & 15) * 4;
    match edit {
        DataFlags(mask) | AckFlags(mask) => xor(b, l4 + 13, mask),
        Reserved => xor(b, l4 + 12, 4),
        Window(mask) => {
            xor(b, l4 + 14, (mask >> 8) as u8);
            xor(b, l4 + 15, mask as u8);
        }
        Seq(n) => add32(b, l4 + 4, n),
        Ack(n) => add32(b, l4 + 8, n),
        SackLeft => add32(b, option(b, l4, 5) + 2, 8),
        SackRight => add32(b, option(b, l4, 5) + 6, 8),
        OptionOrder => b[l4 + 20..l4 + 32].rotate_left(2),
        TsVal(n) => add32(b, option(b, l4, 8) + 2, n),
        TsEcr(n) => add32(b, option(b, l4, 8) + 6, n),
        Mss => add16(b, option(b, l4, 2) + 2, 4),
        WindowScale => xor(b, option(b, l4, 3) + 2, 1),
        NoSackPermitted => {
            let at = option(b, l4, 4);
            b[at..at + 2].fill(1);
        }
        Urgent => add16(b, l4 + 18, 5),
        Ttl => b[ETH + 8] -= 1,
        Df => xor(b, ETH + 6, 0x40),
        Ecn => xor(b, ETH + 1, 1),
        Dscp => xor(b, ETH + 1, 0x20),
        IpId(n) => add16(b, ETH + 4, n),
        IpSource => xor(b, ETH + 15, 1),
        MoreFragments => xor(b, ETH + 6, 0x20),
        FragmentOffset => xor(b, ETH + 7, 1),
        Payload(n) => {
            let at = l4 + usize::from(b[l4 + 12] >> 4) * 4 + n;
            xor(b, at, 0x11);
        }
        Port => xor(b, l4 + 1, 1),
        EthDst => xor(b, 4, 1),
        IcmpCode => xor(b, l4 + 1, 1),
        IcmpType => xor(b, l4, 8),
        IcmpSeq => xor(b, l4 + 7, 1),
        IcmpQuote => xor(b, l4 + 8 + 3, 1),
        UdpPayload => xor(b, l4 + 8, 1),
        UdpPort => xor(b, l4 + 1, 1),
        ArpTarget => xor(b, ETH + 27, 1),
        ArpOpcode => xor(b, ETH + 7, 3),
        ArpSenderMac => xor(b, ETH + 12, 1),
        TcpChecksum => xor(b, l4 + 16, 1),
        IpChecksum => xor(b, ETH + 10, 1),
        UdpChecksum => xor(b, l4 + 6, 1),
        TimerMoved(_) | Drop | DropAck | Again => {}
    }
}

fn sum(words: impl Iterator<Item = u8>) -> u16 {
    let bytes: Vec<u8> = words.collect();
    let mut s: u32 = bytes
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w.get(1).copied().unwrap_or(0)))
        .sum();
    while s >> 16 != 0 {
        s = (s & 0xffff) + (s >> 16);
    }
    !(s as u16)
}

/// Computes the checksums of an IPv4 packet anew; those of a fragment's payload stay.
fn checksums(b: &mut [u8]) {
    if b.get(12..14) != Some(&[8, 0][..]) {
        return;
    }
    let header = usize::from(b[ETH] & 15) * 4;
    let l4 = ETH + header;
    b[ETH + 10..ETH + 12].fill(0);
    let ip = sum(b[ETH..l4].iter().copied());
    b[ETH + 10..ETH + 12].copy_from_slice(&ip.to_be_bytes());
    let fragment = b[ETH + 6] & 0x3f != 0 || b[ETH + 7] != 0;
    let total = usize::from(u16::from_be_bytes([b[ETH + 2], b[ETH + 3]]));
    let end = (ETH + total).min(b.len());
    if fragment {
        return;
    }
    let protocol = b[ETH + 9];
    let field = l4
        + match protocol {
            6 => 16,
            17 => 6,
            1 => 2,
            _ => return,
        };
    b[field..field + 2].fill(0);
    let mut all: Vec<u8> = Vec::new();
    if protocol != 1 {
        all.extend(&b[ETH + 12..ETH + 20]);
        all.extend([0, protocol]);
        all.extend(((end - l4) as u16).to_be_bytes());
    }
    all.extend(&b[l4..end]);
    let value = sum(all.into_iter());
    b[field..field + 2].copy_from_slice(&value.to_be_bytes());
}
