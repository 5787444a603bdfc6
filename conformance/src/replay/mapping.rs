//! What is random by design: the reference draws its own values, and each is mapped to the
//! captured one by a single constant.
//!
//! Frames towards the reference are rewritten into its numbers, frames from it into the
//! capture's; nothing is compared loosely. Checksums are adjusted by what was changed (RFC 1624),
//! so that a wrong one stays wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::mapping6::{Mapping6, extensions};
use crate::frames::Frame;

/// A connection as the capture names it: local port there, remote end.
type Flow = (u16, SocketAddr);

/// What was learnt of one connection: reference minus capture.
#[derive(Clone, Copy, Debug, Default)]
struct FlowMap {
    /// The captured initial sequence number.
    isn: Option<u32>,
    seq: Option<u32>,
    ts: Option<u32>,
    id: Option<u16>,
}

/// The state of a hashed IP id counter: the last captured value and when it was used.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    last: u16,
    time_ns: u64,
}

/// All values mapped so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    flows: BTreeMap<Flow, FlowMap>,
    /// Ephemeral ports, capture to reference, by protocol and remote end.
    ports: BTreeMap<(u8, u16), u16>,
    buckets: BTreeMap<(IpAddr, u8), Bucket>,
    udp_ids: BTreeMap<SocketAddr, u16>,
    /// Identification of the last first fragment, the reference's and the mapped one.
    first_fragment: Option<(u16, u16)>,
    v6: Mapping6,
}

/// Where things lie in an Ethernet frame.
pub(super) struct Offsets {
    pub(super) l3: usize,
    pub(super) l4: usize,
    pub(super) v6: bool,
    pub(super) protocol: u8,
    /// Not the first fragment: no transport header.
    pub(super) later_fragment: bool,
    /// IPv6's fragment header.
    pub(super) fragment: Option<usize>,
}

pub(super) fn offsets(b: &[u8], l2: usize) -> Option<Offsets> {
    let first = *b.get(l2)?;
    if first >> 4 == 4 {
        let frag = u16::from_be_bytes([*b.get(l2 + 6)?, *b.get(l2 + 7)?]);
        Some(Offsets {
            l3: l2,
            l4: l2 + usize::from(first & 15) * 4,
            v6: false,
            protocol: *b.get(l2 + 9)?,
            later_fragment: frag & 0x1fff != 0,
            fragment: None,
        })
    } else if first >> 4 == 6 {
        let (protocol, l4, fragment, later_fragment) = extensions(b, l2)?;
        Some(Offsets { l3: l2, l4, v6: true, protocol, later_fragment, fragment })
    } else {
        None
    }
}

pub(super) fn get16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn get32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

/// Writes a 16-bit word at an even or odd offset and adjusts the checksum at `sum`.
pub(super) fn put16(b: &mut [u8], at: usize, value: u16, sum: Option<usize>, odd: bool) {
    let Some(old) = get16(b, at) else { return };
    if old == value {
        return;
    }
    if let Some(place) = b.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
    if let Some(sum) = sum
        && let Some(check) = get16(b, sum)
        && let Some(place) = b.get_mut(sum..sum + 2)
    {
        let (old, value) = if odd { (old.swap_bytes(), value.swap_bytes()) } else { (old, value) };
        // RFC 1624, equation 3.
        let mut s = u32::from(!check) + u32::from(!old) + u32::from(value);
        s = (s & 0xffff) + (s >> 16);
        s = (s & 0xffff) + (s >> 16);
        place.copy_from_slice(&(!(s as u16)).to_be_bytes());
    }
}

/// A checksum that came out as 0 is sent as all ones (`CSUM_MANGLED_0`): the same sum.
fn not_zero(b: &mut [u8], sum: usize) {
    if get16(b, sum) == Some(0) {
        put16(b, sum, 0xffff, None, false);
    }
}

/// The direction of a rewrite.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Into {
    Reference,
    Capture,
}

impl Mapping {
    /// The reference's port for a captured local port.
    pub(crate) fn port_in(&self, protocol: u8, captured: u16) -> u16 {
        self.ports.get(&(protocol, captured)).copied().unwrap_or(captured)
    }

    /// The captured port for one of the reference's.
    pub(crate) fn port_out(&self, protocol: u8, reference: u16) -> u16 {
        self.ports
            .iter()
            .find(|((p, _), r)| *p == protocol && **r == reference)
            .map_or(reference, |((_, c), _)| *c)
    }

    /// Notes that the reference took `reference` where the host took `captured`.
    pub(crate) fn learn_port(&mut self, protocol: u8, captured: u16, reference: u16) {
        self.ports.insert((protocol, captured), reference);
    }

    /// A captured frame to the host, in the reference's numbers.
    pub(crate) fn inbound(&self, captured: &[u8]) -> Vec<u8> {
        let mut b = captured.to_vec();
        // Behind the tag of a VLAN, or of priority alone.
        let tagged = matches!(get16(&b, 12), Some(0x8100 | 0x88a8));
        self.rewrite(&mut b, if tagged { 18 } else { 14 }, false, Into::Reference, None);
        b
    }

    /// A frame of the reference in the capture's numbers. `expected` is the captured frame that
    /// it is held against: where a value is seen for the first time it is learnt from it.
    /// `jiffy_ns` bounds how far a hashed IP id counter may have moved.
    pub(crate) fn outbound(
        &mut self,
        got: &[u8],
        expected: &Frame,
        expected_ns: u64,
        jiffy_ns: u64,
        connected_udp: bool,
        may_map_port: impl Fn(u16) -> bool,
    ) -> Vec<u8> {
        let mut b = got.to_vec();
        self.learn(&b, expected, may_map_port);
        self.rewrite(&mut b, 14, true, Into::Capture, None);
        self.map_ip_id(&mut b, expected, expected_ns, jiffy_ns, connected_udp);
        self.v6.outbound(&mut b, expected);
        b
    }

    fn learn(&mut self, got: &[u8], expected: &Frame, may_map_port: impl Fn(u16) -> bool) {
        let Some(o) = offsets(got, 14) else { return };
        if o.later_fragment {
            return;
        }
        let Some((_, remote)) = expected.addresses else { return };
        let ports = match (expected.tcp, expected.udp) {
            (Some(t), _) => Some((t.source, t.destination)),
            (None, Some(p)) => Some(p),
            // The first of several fragments is not decoded further than IP.
            _ if o.protocol == 17 => get16(&expected.payload, 0).zip(get16(&expected.payload, 2)),
            _ => None,
        };
        let Some((captured, dport)) = ports else { return };
        if expected.protocol != Some(o.protocol) || get16(got, o.l4 + 2) != Some(dport) {
            return;
        }
        let Some(reference) = get16(got, o.l4) else { return };
        let known = self.ports.contains_key(&(o.protocol, captured));
        if reference != captured && !known && may_map_port(captured) && may_map_port(reference) {
            self.learn_port(o.protocol, captured, reference);
        }
        let Some(t) = expected.tcp else { return };
        let flags = get16(got, o.l4 + 12).unwrap_or(0);
        // Only a SYN shows where a direction starts.
        if t.flags & 0x02 == 0 || flags & 0x02 == 0 {
            return;
        }
        let ts = tcp_timestamp(got, o.l4).and_then(|at| get32(got, at));
        let flow = self.flows.entry((captured, SocketAddr::new(remote, dport))).or_default();
        if flow.isn.is_some_and(|isn| isn != t.seq) {
            // Another connection between the same ports.
            *flow = FlowMap::default();
        }
        flow.isn = Some(t.seq);
        if let (None, Some(seq)) = (flow.seq, get32(got, o.l4 + 4)) {
            flow.seq = Some(seq.wrapping_sub(t.seq));
        }
        if let (None, Some(mine), Some((theirs, _))) = (flow.ts, ts, t.timestamps) {
            flow.ts = Some(mine.wrapping_sub(theirs));
        }
    }

    /// Rewrites one packet. `from_host`: the packet was sent by the host, so that its source is
    /// the local end. `outer` is the checksum of an ICMP error around it.
    fn rewrite(&self, b: &mut [u8], l2: usize, from_host: bool, into: Into, outer: Option<usize>) {
        let Some(o) = offsets(b, l2) else { return };
        if o.later_fragment {
            return;
        }
        let remote_at = match (o.v6, from_host) {
            (false, true) => o.l3 + 16,
            (false, false) => o.l3 + 12,
            (true, true) => o.l3 + 24,
            (true, false) => o.l3 + 8,
        };
        let Some(remote) = read_ip(b, remote_at, o.v6) else { return };
        match o.protocol {
            6 => {
                self.rewrite_tcp(b, &o, from_host, remote, into, outer);
                not_zero(b, o.l4 + 16);
            }
            17 => {
                let at = o.l4 + if from_host { 0 } else { 2 };
                let Some(port) = get16(b, at) else { return };
                let sum = o.l4 + 6;
                // A checksum of 0 says that there is none.
                let sum = if get16(b, sum) == Some(0) { None } else { Some(sum) };
                let port = self.map_port(17, port, into);
                put_both(b, at, port, sum, outer, o.l4);
                if let Some(sum) = sum {
                    not_zero(b, sum);
                }
            }
            1 | 58 => {
                let error = match (o.v6, b.get(o.l4)) {
                    (false, Some(t)) => matches!(t, 3 | 4 | 5 | 11 | 12),
                    (true, Some(t)) => *t < 128,
                    _ => false,
                };
                if error && outer.is_none() {
                    self.rewrite(b, o.l4 + 8, !from_host, into, Some(o.l4 + 2));
                }
            }
            _ => {}
        }
    }

    fn map_port(&self, protocol: u8, port: u16, into: Into) -> u16 {
        match into {
            Into::Reference => self.port_in(protocol, port),
            Into::Capture => self.port_out(protocol, port),
        }
    }

    fn rewrite_tcp(
        &self,
        b: &mut [u8],
        o: &Offsets,
        from_host: bool,
        remote: IpAddr,
        into: Into,
        outer: Option<usize>,
    ) {
        let (local_at, remote_port_at) =
            if from_host { (o.l4, o.l4 + 2) } else { (o.l4 + 2, o.l4) };
        let (Some(local), Some(remote_port)) = (get16(b, local_at), get16(b, remote_port_at))
        else {
            return;
        };
        let captured = match into {
            Into::Reference => local,
            Into::Capture => self.port_out(6, local),
        };
        let sum = (b.len() >= o.l4 + 18).then_some(o.l4 + 16);
        put_both(b, local_at, self.map_port(6, local, into), sum, outer, o.l4);
        let Some(flow) = self.flows.get(&(captured, SocketAddr::new(remote, remote_port))) else {
            return;
        };
        let shift = |v: u32, delta: u32| match into {
            Into::Reference => v.wrapping_add(delta),
            Into::Capture => v.wrapping_sub(delta),
        };
        let change = |b: &mut [u8], at: usize, delta: u32| {
            if let Some(v) = get32(b, at) {
                let v = shift(v, delta);
                put_both(b, at, (v >> 16) as u16, sum, outer, o.l4);
                put_both(b, at + 2, v as u16, sum, outer, o.l4);
            }
        };
        let flags = get16(b, o.l4 + 12).unwrap_or(0);
        if let Some(seq) = flow.seq {
            if from_host {
                // A reset for a segment without ACK has sequence number 0, which is no number of
                // this connection.
                if !(flags & 0x14 == 0x14 && get32(b, o.l4 + 4) == Some(0)) {
                    change(b, o.l4 + 4, seq);
                }
            } else if flags & 0x10 != 0 {
                change(b, o.l4 + 8, seq);
                for at in sack_edges(b, o.l4) {
                    change(b, at, seq);
                }
            }
        }
        if let (Some(ts), Some(at)) = (flow.ts, tcp_timestamp(b, o.l4)) {
            if from_host {
                change(b, at, ts);
            } else if get32(b, at + 4) != Some(0) {
                change(b, at + 4, ts);
            }
        }
    }

    /// The IPv4 identification: a counter of the socket, or one that hosts' traffic shares and
    /// that also moves by up to the jiffies since its last use; 0 stays 0.
    fn map_ip_id(
        &mut self,
        b: &mut [u8],
        expected: &Frame,
        expected_ns: u64,
        jiffy_ns: u64,
        connected_udp: bool,
    ) {
        let Some(o) = offsets(b, 14).filter(|o| !o.v6) else { return };
        let (Some(got), Some(want)) = (get16(b, o.l3 + 4), expected.ip_id) else { return };
        let Some((_, dst)) = expected.addresses else { return };
        if got == 0 || want == 0 || expected.protocol != Some(o.protocol) {
            return;
        }
        let later = expected.fragment.is_some_and(|(at, _)| at > 0);
        let same = self.first_fragment.filter(|(id, _)| later && *id == got).map(|(_, id)| id);
        let id = match (expected.tcp, expected.udp) {
            _ if same.is_some() => same.unwrap_or(got),
            (Some(t), _) => {
                let remote = SocketAddr::new(dst, t.destination);
                let flow = self.flows.entry((t.source, remote)).or_default();
                let delta = *flow.id.get_or_insert(got.wrapping_sub(want));
                got.wrapping_sub(delta)
            }
            (None, Some((_, port))) if connected_udp => {
                let remote = SocketAddr::new(dst, port);
                let delta = *self.udp_ids.entry(remote).or_insert(got.wrapping_sub(want));
                got.wrapping_sub(delta)
            }
            _ => {
                let key = (dst, o.protocol);
                let last = self.buckets.get(&key).copied();
                self.buckets.insert(key, Bucket { last: want, time_ns: expected_ns });
                match last {
                    None => want,
                    Some(l) => {
                        let ahead = u64::from(want.wrapping_sub(l.last));
                        let jiffies = expected_ns.saturating_sub(l.time_ns).div_ceil(jiffy_ns);
                        let drawn = (1..=1 + jiffies).contains(&ahead) && !later;
                        if drawn { want } else { l.last.wrapping_add(1) }
                    }
                }
            }
        };
        if expected.fragment.is_some_and(|(at, more)| at == 0 && more) {
            self.first_fragment = Some((got, id));
        }
        put16(b, o.l3 + 4, id, Some(o.l3 + 10), false);
    }
}

/// Writes a word of a packet quoted in an ICMP error: both checksums see the change, and the
/// outer one the change of the inner.
fn put_both(
    b: &mut [u8],
    at: usize,
    value: u16,
    sum: Option<usize>,
    outer: Option<usize>,
    l4: usize,
) {
    // Options may put a 32-bit number at an odd offset of the header.
    let odd = (at - l4) % 2 == 1;
    let Some(outer) = outer else {
        put16(b, at, value, sum, odd);
        return;
    };
    let inner_before = sum.and_then(|s| get16(b, s));
    let Some(old) = get16(b, at) else { return };
    put16(b, at, value, Some(outer), odd);
    if let (Some(s), Some(before)) = (sum, inner_before)
        && at != s
    {
        // The inner checksum's own adjustment, then seen by the outer one.
        put16(b, at, old, None, odd);
        put16(b, at, value, Some(s), odd);
        if let Some(after) = get16(b, s) {
            put16(b, s, before, None, false);
            put16(b, s, after, Some(outer), false);
        }
    }
}

fn read_ip(b: &[u8], at: usize, v6: bool) -> Option<IpAddr> {
    if v6 {
        let a: [u8; 16] = b.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::from(a))
    } else {
        let a: [u8; 4] = b.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::from(a))
    }
}

/// Offsets of the options of a TCP header: kind and where its data starts.
fn options(b: &[u8], l4: usize) -> Vec<(u8, usize, usize)> {
    let mut out = Vec::new();
    let Some(words) = b.get(l4 + 12).map(|o| usize::from(o >> 4)) else { return out };
    let end = (l4 + words * 4).min(b.len());
    let mut at = l4 + 20;
    while at < end {
        match b[at] {
            0 => break,
            1 => at += 1,
            kind => {
                let Some(&len) = b.get(at + 1) else { break };
                let len = usize::from(len);
                if len < 2 || at + len > end {
                    break;
                }
                out.push((kind, at + 2, len - 2));
                at += len;
            }
        }
    }
    out
}

/// Where TSval is.
fn tcp_timestamp(b: &[u8], l4: usize) -> Option<usize> {
    options(b, l4).into_iter().find(|o| o.0 == 8 && o.2 == 8).map(|o| o.1)
}

/// Where the edges of SACK blocks are.
fn sack_edges(b: &[u8], l4: usize) -> Vec<usize> {
    options(b, l4)
        .into_iter()
        .filter(|o| o.0 == 5)
        .flat_map(|(_, at, len)| (0..len / 4).map(move |i| at + 4 * i))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::decode;
    use etherparse::{PacketBuilder, TcpOptionElement};

    const HOST: [u8; 4] = [10, 0, 2, 15];
    const PEER: [u8; 4] = [10, 0, 2, 2];

    fn tcp(
        from_host: bool,
        ports: (u16, u16),
        seq: u32,
        ack: Option<u32>,
        ts: (u32, u32),
    ) -> Vec<u8> {
        let (s, d) = if from_host { (HOST, PEER) } else { (PEER, HOST) };
        let b = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4(s, d, 64)
            .tcp(ports.0, ports.1, seq, 1000);
        let b = match ack {
            Some(a) => b.ack(a),
            None => b.syn(),
        };
        let b = b
            .options(&[
                TcpOptionElement::Noop,
                TcpOptionElement::Noop,
                TcpOptionElement::Timestamp(ts.0, ts.1),
            ])
            .unwrap();
        let mut out = Vec::new();
        b.write(&mut out, &[]).unwrap();
        out
    }

    #[test]
    fn a_connection_is_mapped_by_constants_and_checksums_follow() {
        let mut m = Mapping::default();
        let cap = decode(&tcp(true, (40000, 80), 5000, None, (70, 0)));
        let got = tcp(true, (50001, 80), 900, None, (1000, 0));
        let mapped = m.outbound(&got, &cap, 0, 4_000_000, false, |_| true);
        assert_eq!(crate::frames::first_difference(&cap, &decode(&mapped)), None);

        let inbound = tcp(false, (80, 40000), 1, Some(5001), (9, 70));
        let expected = tcp(false, (80, 50001), 1, Some(901), (9, 1000));
        assert_eq!(m.inbound(&inbound), expected);

        let cap = decode(&tcp(true, (40000, 80), 5001, Some(2), (75, 9)));
        let got = tcp(true, (50001, 80), 901, Some(2), (1005, 9));
        let mapped = decode(&m.outbound(&got, &cap, 0, 4_000_000, false, |_| true));
        assert_eq!(crate::frames::first_difference(&cap, &mapped), None);
        let got = tcp(true, (50001, 80), 901, Some(2), (1006, 9));
        let mapped = decode(&m.outbound(&got, &cap, 0, 4_000_000, false, |_| true));
        let d = crate::frames::first_difference(&cap, &mapped).unwrap();
        assert_eq!((d.field.as_str(), d.got.as_str()), ("tcp.options.timestamp.tsval", "76"));
    }

    #[test]
    fn a_wrong_checksum_stays_wrong() {
        let mut m = Mapping::default();
        let cap = decode(&tcp(true, (40000, 80), 5000, None, (70, 0)));
        let mut got = tcp(true, (50001, 80), 900, None, (1000, 0));
        got[50] ^= 1;
        let mapped = decode(&m.outbound(&got, &cap, 0, 4_000_000, false, |_| true));
        assert_eq!(crate::frames::first_difference(&cap, &mapped).unwrap().field, "tcp.checksum");
    }

    #[test]
    fn cut_frames_do_not_panic() {
        let mut m = Mapping::default();
        let whole = tcp(true, (40000, 80), 5000, None, (70, 0));
        let cap = decode(&whole);
        for n in 0..whole.len() {
            let _ = m.outbound(&whole[..n], &cap, 0, 4_000_000, false, |_| true);
            let _ = m.inbound(&whole[..n]);
        }
    }
}
