//! What IPv6 draws at random: flow labels, identifications of fragments, nonces of duplicate
//! address detection. None of them is part of a pseudo header; a nonce is under a checksum.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::mapping::{Offsets, get16, get32, offsets, put16};
use crate::frames::Frame;

/// The end of a flow as the capture names it: remote address, protocol and both ports.
type Flow = (IpAddr, u8, u16, u16);

/// Header that carries a fragment.
const NEXTHDR_FRAGMENT: u8 = 44;
/// Neighbour solicitation.
const NDISC_NEIGHBOUR_SOLICITATION: u8 = 135;
/// Option of RFC 7527.
const ND_OPT_NONCE: u8 = 14;

/// Values of IPv6 mapped so far, reference to capture.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping6 {
    labels: BTreeMap<(Flow, u32), u32>,
    fragments: BTreeMap<(IpAddr, u32), u32>,
    nonces: BTreeMap<[u8; 6], [u8; 6]>,
}

/// Takes what was learnt for a value, or learns it if `want` is not yet taken by another one.
fn learn<K: Ord + Clone, V: Eq + Copy>(
    map: &mut BTreeMap<K, V>,
    key: K,
    want: V,
    same: impl Fn(&K) -> bool,
) -> Option<V> {
    if let Some(known) = map.get(&key) {
        return Some(*known);
    }
    if map.iter().any(|(k, v)| same(k) && *v == want) {
        return None;
    }
    map.insert(key, want);
    Some(want)
}

impl Mapping6 {
    /// Brings a frame of the reference, whose ports are the capture's already, into the
    /// capture's numbers.
    pub(super) fn outbound(&mut self, b: &mut [u8], expected: &Frame) {
        let Some(o) = offsets(b, 14).filter(|o| o.v6) else { return };
        let Some((_, remote)) = expected.addresses else { return };
        if expected.protocol != Some(o.protocol) {
            return;
        }
        self.flow_label(b, &o, remote, expected);
        self.fragment_id(b, &o, remote, expected);
        self.nonce(b, &o, expected);
    }

    /// A flow has one label, until Linux draws its hash anew: 0 stays 0.
    fn flow_label(&mut self, b: &mut [u8], o: &Offsets, remote: IpAddr, expected: &Frame) {
        let want = expected.value("ipv6.flow").and_then(|v| v.parse::<u32>().ok()).unwrap_or(0);
        let Some(word) = get32(b, o.l3) else { return };
        let got = word & 0xf_ffff;
        if got == 0 || want == 0 {
            return;
        }
        let (sport, dport) = match (o.later_fragment, o.protocol) {
            (false, 6 | 17) => (get16(b, o.l4).unwrap_or(0), get16(b, o.l4 + 2).unwrap_or(0)),
            _ => (0, 0),
        };
        let flow = (remote, o.protocol, sport, dport);
        if let Some(label) = learn(&mut self.labels, (flow, got), want, |k| k.0 == flow)
            && let Some(place) = b.get_mut(o.l3..o.l3 + 4)
        {
            place.copy_from_slice(&(word & 0xfff0_0000 | label).to_be_bytes());
        }
    }

    /// The fragments of one packet share a random identification.
    fn fragment_id(&mut self, b: &mut [u8], o: &Offsets, remote: IpAddr, expected: &Frame) {
        let (Some(at), Some(want)) = (o.fragment, expected.fragment_id) else { return };
        let Some(got) = get32(b, at + 4) else { return };
        if let Some(id) = learn(&mut self.fragments, (remote, got), want, |k| k.0 == remote)
            && let Some(place) = b.get_mut(at + 4..at + 8)
        {
            place.copy_from_slice(&id.to_be_bytes());
        }
    }

    fn nonce(&mut self, b: &mut [u8], o: &Offsets, expected: &Frame) {
        let solicitation = b.get(o.l4) == Some(&NDISC_NEIGHBOUR_SOLICITATION);
        if o.protocol != 58 || !solicitation || o.later_fragment {
            return;
        }
        // The expected frame's payload starts after the eight bytes that all messages have.
        let want = nonce_at(&expected.payload, 16);
        let (Some(want), Some(at)) = (want, nonce_at(b, o.l4 + 24)) else { return };
        let bytes = |b: &[u8], at: usize| -> Option<[u8; 6]> { b.get(at..at + 6)?.try_into().ok() };
        let (Some(want), Some(got)) = (bytes(&expected.payload, want), bytes(b, at)) else {
            return;
        };
        let Some(nonce) = learn(&mut self.nonces, got, want, |_| true) else { return };
        for (n, word) in nonce.chunks_exact(2).enumerate() {
            put16(b, at + 2 * n, u16::from_be_bytes([word[0], word[1]]), Some(o.l4 + 2), false);
        }
    }
}

/// Where the nonce of the options from `at` on is.
fn nonce_at(b: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let (kind, len) = (*b.get(at)?, usize::from(*b.get(at + 1)?) * 8);
        if len == 0 {
            return None;
        }
        if kind == ND_OPT_NONCE && len == 8 {
            return Some(at + 2);
        }
        at += len;
    }
}

/// Walks extension headers from the fixed one's next header on; gives the transport protocol,
/// where it begins, the fragment header if there is one, and whether the fragment is a later one.
pub(super) fn extensions(b: &[u8], l3: usize) -> Option<(u8, usize, Option<usize>, bool)> {
    let mut protocol = *b.get(l3 + 6)?;
    let (mut at, mut fragment, mut later) = (l3 + 40, None, false);
    // Hop-by-hop, routing, fragment, destination options.
    while matches!(protocol, 0 | 43 | NEXTHDR_FRAGMENT | 60) && !later {
        let (next, len) = (*b.get(at)?, usize::from(*b.get(at + 1)?));
        if protocol == NEXTHDR_FRAGMENT {
            fragment = Some(at);
            later = get16(b, at + 2)? & 0xfff8 != 0;
            at += 8;
        } else {
            at += (len + 1) * 8;
        }
        protocol = next;
    }
    Some((protocol, at, fragment, later))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::decode;

    /// An IPv6 packet behind an Ethernet header of zeros.
    fn packet(label: u32, next: u8, rest: &[u8]) -> Vec<u8> {
        let mut b = vec![0; 12];
        b.extend([0x86, 0xdd]);
        b.extend((6 << 28 | label).to_be_bytes());
        b.extend((rest.len() as u16).to_be_bytes());
        b.extend([next, 64]);
        b.extend([0xfd; 16]);
        b.extend([0xfc; 16]);
        b.extend(rest);
        b
    }

    fn udp(label: u32) -> Vec<u8> {
        packet(label, 17, &[0, 7, 0, 9, 0, 8, 1, 1])
    }

    #[test]
    fn a_flow_keeps_its_label_until_the_reference_has_another() {
        let mut m = Mapping6::default();
        let mapped = |m: &mut Mapping6, got: u32, want: u32| {
            let mut b = udp(got);
            m.outbound(&mut b, &decode(&udp(want)));
            get32(&b, 14).unwrap() & 0xf_ffff
        };
        assert_eq!(mapped(&mut m, 5, 77), 77);
        assert_eq!(mapped(&mut m, 5, 78), 77, "the host's label changed, the reference's did not");
        assert_eq!(mapped(&mut m, 6, 77), 6, "the reference's label changed, the host's did not");
        assert_eq!(mapped(&mut m, 6, 79), 79);
        assert_eq!(mapped(&mut m, 0, 77), 0);
    }

    #[test]
    fn fragments_of_one_packet_share_an_identification() {
        let fragment = |offset: u16, id: u32| {
            let mut rest = vec![17, 0];
            rest.extend((offset | 1).to_be_bytes());
            rest.extend(id.to_be_bytes());
            rest.extend([1; 8]);
            packet(0, NEXTHDR_FRAGMENT, &rest)
        };
        let mut m = Mapping6::default();
        let mapped = |m: &mut Mapping6, offset: u16, got: u32, want: u32| {
            let mut b = fragment(offset, got);
            m.outbound(&mut b, &decode(&fragment(offset, want)));
            get32(&b, 14 + 44).unwrap()
        };
        assert_eq!(mapped(&mut m, 0, 1, 50), 50);
        assert_eq!(mapped(&mut m, 8, 1, 50), 50);
        assert_eq!(mapped(&mut m, 16, 1, 51), 50);
        assert_eq!(mapped(&mut m, 0, 2, 51), 51);
    }

    #[test]
    fn cut_packets_do_not_panic() {
        let whole = packet(1, 0, &[58, 0, 5, 2, 0, 0, 1, 0, 135, 0, 0, 0, 0, 0, 0, 0]);
        let cap = decode(&whole);
        for n in 0..whole.len() {
            Mapping6::default().outbound(&mut whole[..n].to_vec(), &cap);
        }
    }
}
