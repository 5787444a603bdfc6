//! Frames as lists of named fields: decoding by `etherparse`, ordered comparison, pcap writing.
//!
//! Names are Wireshark's (`tcp.window`, `ip.id`), so that a divergence can be looked up in it.
//! The stack under test never decodes what it is judged by.

mod decode;
mod write;

pub(crate) use decode::decode_unlisted;
pub use decode::{Field, Frame, Layer, Tcp, decode};
pub use write::PcapWriter;

/// Where two frames differ first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The layer: `eth`, `arp`, `ip`, `ipv6`, `tcp`, `udp`, `icmp`, `icmpv6`, `data`.
    pub layer: &'static str,
    /// The field as Wireshark names it.
    pub field: String,
    /// Its value in the frame that was expected.
    pub expected: String,
    /// Its value in the frame at hand.
    pub got: String,
}

/// The first field in which `got` differs from `expected`, in the order of the wire.
///
/// Checksums and lengths follow from other fields, so they are compared after everything else:
/// what is named is the cause.
pub fn first_difference(expected: &Frame, got: &Frame) -> Option<Difference> {
    for pass in [false, true] {
        let of = |f: &Frame| -> Vec<Field> {
            f.fields.iter().filter(|f| is_derived(f) == pass).cloned().collect()
        };
        let (e, g) = (of(expected), of(got));
        for i in 0..e.len().max(g.len()) {
            match (e.get(i), g.get(i)) {
                (Some(a), Some(b)) if a == b => {}
                (Some(a), Some(b)) if a.name == b.name => {
                    let (expected, got) = excerpt(&a.value, &b.value);
                    return Some(Difference {
                        layer: a.layer.name(),
                        field: a.name.to_string(),
                        expected,
                        got,
                    });
                }
                (Some(a), b) => {
                    return Some(Difference {
                        layer: a.layer.name(),
                        field: a.name.to_string(),
                        expected: a.value.clone(),
                        got: b.map_or_else(|| "absent".to_owned(), |b| b.name.to_owned()),
                    });
                }
                (None, Some(b)) => {
                    return Some(Difference {
                        layer: b.layer.name(),
                        field: b.name.to_string(),
                        expected: "absent".to_owned(),
                        got: b.value.clone(),
                    });
                }
                (None, None) => {}
            }
        }
    }
    None
}

/// In how many fields two frames differ, those that follow from others left out.
pub fn differences(expected: &Frame, got: &Frame) -> usize {
    let (e, g) = (&expected.fields, &got.fields);
    let same = e.iter().zip(g).filter(|(a, b)| a.name == b.name && a.value == b.value).count();
    let derived = e.iter().zip(g).filter(|(a, b)| a.name == b.name && a.value != b.value);
    let derived = derived.filter(|(a, _)| is_derived(a)).count();
    e.len().max(g.len()) - same - derived
}

/// Whether a field follows from others: checksums and lengths.
fn is_derived(f: &Field) -> bool {
    f.name.ends_with("checksum") || matches!(f.name, "ip.len" | "ipv6.plen" | "udp.length")
}

/// Both values; of long ones (payloads in hex) what is around the first difference.
fn excerpt(a: &str, b: &str) -> (String, String) {
    const LONG: usize = 48;
    if a.len().max(b.len()) <= LONG {
        return (a.to_owned(), b.to_owned());
    }
    // Two digits a byte.
    let at = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count() / 2;
    let cut = |s: &str| {
        let part: String = s.chars().skip(2 * at).take(16).collect();
        format!("{} bytes, from byte {at}: {part}", s.len() / 2)
    };
    (cut(a), cut(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp_frame(window: u16, payload: &[u8]) -> Vec<u8> {
        let b = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(1000, 80, 5, window)
            .ack(7);
        let mut out = Vec::new();
        b.write(&mut out, payload).unwrap();
        out
    }

    #[test]
    fn the_cause_is_named_before_the_checksum() {
        let (a, b) = (tcp_frame(100, b"x"), tcp_frame(101, b"x"));
        let d = first_difference(&decode(&a), &decode(&b)).unwrap();
        assert_eq!(
            (d.layer, d.field.as_str(), d.expected.as_str(), d.got.as_str()),
            ("tcp", "tcp.window", "100", "101")
        );
        assert_eq!(first_difference(&decode(&a), &decode(&a)), None);
    }

    #[test]
    fn payload_and_length() {
        let d = first_difference(&decode(&tcp_frame(1, b"xy")), &decode(&tcp_frame(1, b"xz")));
        assert_eq!(d.unwrap().field, "tcp.payload");
        let d = first_difference(&decode(&tcp_frame(1, b"xy")), &decode(&tcp_frame(1, b"")));
        assert_eq!(d.unwrap().field, "tcp.len");
    }

    #[test]
    fn cut_frames_decode_as_far_as_they_go() {
        let whole = tcp_frame(1, b"payload");
        for n in 0..whole.len() {
            let f = decode(&whole[..n]);
            assert!(f.fields.len() <= 40);
        }
    }
}
