//! Where fuzzing starts: small inputs with a meaning each, kept in `corpora/wire_rx`.
//!
//! `cargo xtask fuzz wire_rx --write-seeds` writes them; a test checks that the folder has them.

use super::op::{Flow, Host, Op, Spoil, TcpOptions};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;

/// File names and inputs.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds: Vec<(&str, Vec<Op>)> = Vec::new();
    link(&mut seeds);
    internet(&mut seeds);
    handshakes(&mut seeds);
    streams(&mut seeds);
    seeds.into_iter().map(|(name, ops)| (name, Op::write_all(&ops))).collect()
}

/// A segment of the established connection, as expected next.
fn segment(flags: u8, payload: u16) -> Op {
    Op::Tcp {
        flow: Flow::Established,
        flags,
        seq: 0,
        ack: 0,
        window: 502,
        urgent: 0,
        options: TcpOptions::Timestamp { clock: 1, echo_back: 0 },
        payload,
        spoil: Spoil::No,
    }
}

/// The same, changed.
fn segment_with(flags: u8, payload: u16, change: impl FnOnce(&mut i16, &mut i16, &mut u16)) -> Op {
    let mut op = segment(flags, payload);
    if let Op::Tcp { seq, ack, window, .. } = &mut op {
        change(seq, ack, window);
    }
    op
}

fn opening(flags: u8, options: TcpOptions) -> Op {
    Op::Tcp {
        flow: Flow::Listener { from: 1 },
        flags,
        seq: 0,
        ack: 0,
        window: 64240,
        urgent: 0,
        options,
        payload: 0,
        spoil: Spoil::No,
    }
}

fn wait_ms(ms: u32) -> Op {
    let us = ms * 1000;
    // The smallest scale at which the number fits.
    let scale = (0..12).find(|scale| us >> scale <= u32::from(u16::MAX)).unwrap_or(11);
    Op::Wait { scale, us: (us >> scale) as u16 }
}

fn link(seeds: &mut Vec<(&'static str, Vec<Op>)>) {
    let arp = |operation, sender, target, lengths| Op::Arp {
        operation,
        sender,
        target,
        lengths,
        spoil: Spoil::No,
    };
    seeds.extend([
        ("raw-frame", vec![Op::Raw { frame: [0xff; 60].to_vec() }, Op::WaitForEvent]),
        ("raw-runt", vec![Op::Raw { frame: vec![0x52, 0x54, 0, 0x12] }, Op::WaitForEvent]),
        ("raw-ipv4", vec![Op::RawIp { packet: vec![0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6] }]),
        (
            "arp-request",
            vec![arp(1, Host::Neighbour { last: 9 }, Host::Board, 0), Op::WaitForEvent],
        ),
        ("arp-own-address", vec![arp(1, Host::Board, Host::Board, 0), Op::WaitForEvent]),
        ("arp-lengths", vec![arp(2, Host::Peer, Host::Board, 0x35), Op::WaitForEvent]),
        (
            "link-flap",
            vec![
                Op::Link { up: 0 },
                Op::Write { len: 100 },
                wait_ms(300),
                Op::Link { up: 1 },
                wait_ms(2000),
            ],
        ),
    ]);
}

fn internet(seeds: &mut Vec<(&'static str, Vec<Op>)>) {
    let icmp = |kind, code, rest, quote, payload| Op::Icmp {
        kind,
        code,
        rest,
        quote,
        payload,
        spoil: Spoil::No,
    };
    let udp = |port, checksum, length, payload| Op::Udp {
        from: Host::Peer,
        port,
        checksum,
        length,
        payload,
        spoil: Spoil::No,
    };
    let fragment = |id, offset, more, payload| Op::Fragment {
        proto: 0,
        id,
        offset,
        more,
        payload,
        spoil: Spoil::No,
    };
    seeds.extend([
        ("icmp-echo", vec![icmp(8, 0, 0x0001_0001, 0, 56), Op::WaitForEvent]),
        (
            "icmp-frag-needed",
            vec![Op::Write { len: 3000 }, wait_ms(1), icmp(3, 4, 576, 28, 0), wait_ms(300)],
        ),
        (
            "icmp-port-unreachable",
            vec![Op::Write { len: 10 }, wait_ms(1), icmp(3, 3, 0, 40, 0), wait_ms(10)],
        ),
        ("udp-datagram", vec![udp(0, 2, 0, 100), wait_ms(1), Op::Read { udp: 1, len: 2000 }]),
        ("udp-closed-port", vec![udp(7, 2, 0, 100), Op::WaitForEvent]),
        ("udp-bad-checksum", vec![udp(0, 1, 0, 8), wait_ms(1), Op::Read { udp: 1, len: 8 }]),
        ("udp-length-lies", vec![udp(0, 2, 40, 8), udp(0, 2, -12, 8), Op::WaitForEvent]),
        ("fragments", vec![fragment(7, 0, 1, 1400), fragment(7, 175, 0, 100), wait_ms(1)]),
        (
            "fragments-overlap",
            vec![fragment(8, 0, 1, 64), fragment(8, 4, 1, 64), fragment(8, 12, 0, 8), wait_ms(1)],
        ),
        ("fragment-timeout", vec![fragment(9, 0, 1, 64), wait_ms(31_000)]),
        ("fragment-past-the-end", vec![fragment(10, 0x1fff, 0, 1400), Op::WaitForEvent]),
        (
            "ip-options",
            vec![
                Op::IpOptions {
                    options: vec![7, 7, 4, 0, 0, 0, 0, 0],
                    payload: 8,
                    spoil: Spoil::No,
                },
                Op::IpOptions {
                    options: vec![131, 11, 4, 10, 0, 2, 15, 10, 0, 2, 2],
                    payload: 0,
                    spoil: Spoil::No,
                },
            ],
        ),
        (
            "spoilt-header",
            vec![
                Op::Icmp {
                    kind: 8,
                    code: 0,
                    rest: 1,
                    quote: 0,
                    payload: 8,
                    spoil: Spoil::Byte { at: 16, xor: 0xff },
                },
                Op::Icmp {
                    kind: 8,
                    code: 0,
                    rest: 1,
                    quote: 0,
                    payload: 8,
                    spoil: Spoil::Cut { by: 9 },
                },
                Op::WaitForEvent,
            ],
        ),
    ]);
}

fn handshakes(seeds: &mut Vec<(&'static str, Vec<Op>)>) {
    let syn = || opening(SYN, TcpOptions::Syn { mss: 1460, scale: 7 });
    let ack = || opening(ACK, TcpOptions::Timestamp { clock: 5, echo_back: 0 });
    seeds.extend([
        ("tcp-open-accept", vec![syn(), wait_ms(1), ack(), wait_ms(1), Op::Accept]),
        ("tcp-syn-retransmit", vec![syn(), wait_ms(8_000), ack(), wait_ms(1)]),
        ("tcp-syn-reset", vec![syn(), wait_ms(1), opening(RST, TcpOptions::None), wait_ms(1)]),
        ("tcp-syn-mss-48", vec![opening(SYN, TcpOptions::Syn { mss: 48, scale: 255 }), wait_ms(1)]),
        (
            "tcp-syn-cut-option",
            vec![opening(SYN, TcpOptions::Raw { bytes: vec![2, 4, 5, 180, 8, 10, 0] }), wait_ms(1)],
        ),
        (
            "tcp-closed-port",
            vec![Op::Tcp {
                flow: Flow::Closed { to: 81 },
                flags: SYN,
                seq: 0,
                ack: 0,
                window: 1,
                urgent: 0,
                options: TcpOptions::None,
                payload: 0,
                spoil: Spoil::No,
            }],
        ),
        ("tcp-no-flags", vec![opening(0, TcpOptions::None), segment(0, 10), wait_ms(1)]),
        ("tcp-all-flags", vec![opening(0xff, TcpOptions::None), segment(0xff, 10), wait_ms(1)]),
    ]);
}

fn streams(seeds: &mut Vec<(&'static str, Vec<Op>)>) {
    let later = |payload, by: i16| segment_with(ACK | PSH, payload, |seq, _, _| *seq = by);
    let sack = Op::Tcp {
        flow: Flow::Established,
        flags: ACK,
        seq: 0,
        ack: -4344,
        window: 502,
        urgent: 0,
        options: TcpOptions::Sack { left: 2896, right: 0, more: 0 },
        payload: 0,
        spoil: Spoil::No,
    };
    seeds.extend([
        (
            "tcp-data-read",
            vec![segment(ACK | PSH, 1000), wait_ms(50), Op::Read { udp: 0, len: 4000 }],
        ),
        ("tcp-delayed-ack", vec![segment(ACK, 100), wait_ms(300)]),
        (
            "tcp-out-of-order",
            vec![later(500, 500), later(500, 1000), segment(ACK, 500), wait_ms(1)],
        ),
        ("tcp-overlap", vec![segment(ACK, 500), later(500, -250), later(500, -500), wait_ms(1)]),
        ("tcp-out-of-window", vec![later(500, 32000), later(500, -32000), wait_ms(1)]),
        ("tcp-bad-checksum", {
            let mut op = segment(ACK, 40);
            if let Op::Tcp { spoil, .. } = &mut op {
                *spoil = Spoil::Byte { at: 70, xor: 1 };
            }
            vec![op, wait_ms(1)]
        }),
        ("tcp-write-acked", vec![Op::Write { len: 5000 }, wait_ms(1), segment(ACK, 0), wait_ms(1)]),
        (
            "tcp-write-sacked",
            vec![
                Op::Write { len: 7240 },
                wait_ms(1),
                sack.clone(),
                sack.clone(),
                sack,
                wait_ms(1000),
            ],
        ),
        ("tcp-write-timeout", vec![Op::Write { len: 100 }, wait_ms(10_000)]),
        (
            "tcp-zero-window",
            vec![
                segment_with(ACK, 0, |_, _, window| *window = 0),
                Op::Write { len: 500 },
                wait_ms(5_000),
                segment(ACK, 0),
                wait_ms(1),
            ],
        ),
        ("tcp-ack-of-unsent", vec![segment_with(ACK, 0, |_, ack, _| *ack = 5000), wait_ms(1)]),
        (
            "tcp-urgent",
            vec![
                Op::Tcp {
                    flow: Flow::Established,
                    flags: ACK | URG,
                    seq: 0,
                    ack: 0,
                    window: 502,
                    urgent: 5,
                    options: TcpOptions::None,
                    payload: 20,
                    spoil: Spoil::No,
                },
                Op::Read { udp: 0, len: 100 },
            ],
        ),
        ("tcp-reset", vec![segment(RST | ACK, 0), Op::Read { udp: 0, len: 1 }]),
        ("tcp-syn-established", vec![segment(SYN, 0), wait_ms(1)]),
        ("tcp-passive-close", vec![segment(FIN | ACK, 10), wait_ms(1), Op::Close, wait_ms(1)]),
        (
            "tcp-active-close",
            vec![Op::Close, wait_ms(1), segment(ACK, 0), segment(FIN | ACK, 0), wait_ms(61_000)],
        ),
        ("tcp-write-exit", vec![Op::Write { len: 2000 }, Op::Exit]),
        ("tcp-unread-exit", vec![segment(ACK | PSH, 10), Op::Exit]),
        (
            "tcp-half-close",
            vec![
                Op::Shutdown { how: 1 },
                wait_ms(1),
                segment(ACK, 300),
                Op::Read { udp: 0, len: 500 },
                segment(FIN | ACK, 0),
                wait_ms(1),
                Op::Close,
            ],
        ),
    ]);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_folder_holds_every_seed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora/wire_rx");
        for (name, input) in all() {
            assert_eq!(
                std::fs::read(folder.join(name)).ok(),
                Some(input),
                "{name}: run `cargo xtask fuzz wire_rx --write-seeds`"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (name, input) in all() {
            assert_eq!(Op::write_all(&Op::read_all(&input)), input, "{name}");
        }
    }
}
