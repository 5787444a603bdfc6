//! Captures damaged in one way each: one error that names the place, or a stated repair and the
//! verdict of the whole capture. Nothing panics.

use std::path::{Path, PathBuf};

use conformance::frames::PcapWriter;
use conformance::replay::{DiffOptions, Input, diff_path};
use conformance::results::Status;
use etherparse::PacketBuilder;

const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const START_NS: u64 = 1_700_000_000_000_000_000;
/// Of the file's header, and of each packet's.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// A host that answers three pings: time and frame, the host's are every second one.
fn pings() -> Vec<(u64, Vec<u8>)> {
    let mut out = Vec::new();
    for seq in 0..3u16 {
        let at = START_NS + u64::from(seq) * 100_000_000;
        let echo = |from, to, src, dst, reply: bool| {
            let b = PacketBuilder::ethernet2(from, to).ipv4(src, dst, 64);
            let b = match reply {
                true => b.icmpv4_echo_reply(7, seq),
                false => b.icmpv4_echo_request(7, seq),
            };
            let mut bytes = Vec::new();
            b.write(&mut bytes, &[0x55; 40]).unwrap();
            bytes
        };
        let (host, peer) = ([10, 0, 2, 15], [10, 0, 2, 2]);
        out.push((at, echo(PEER, HOST, peer, host, false)));
        out.push((at + 30_000, without_df(echo(HOST, PEER, host, peer, true), seq)));
    }
    out
}

/// What etherparse builds has DF and identification 0; an echo reply of Linux has neither.
fn without_df(mut b: Vec<u8>, seq: u16) -> Vec<u8> {
    b[18..20].copy_from_slice(&(500 + seq).to_be_bytes());
    b[20] = 0;
    b[24..26].fill(0);
    let sum: u32 = b[14..34].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    b[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    b
}

fn pcap(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = PcapWriter::new(&mut bytes).unwrap();
    for (at, data) in frames {
        w.frame(*at, data).unwrap();
    }
    bytes
}

/// A folder of the test's own.
fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Compares bytes as a capture without a manifest; the error with its causes, or the verdict with
/// its notes.
fn verdict(name: &str, bytes: &[u8]) -> Result<(Status, String), String> {
    let path = folder(name).join("x.pcap");
    std::fs::write(&path, bytes).unwrap();
    let input = Input { mac: Some("02:00:00:00:00:01".to_owned()), ..Input::default() };
    let options = DiffOptions { input, ..DiffOptions::default() };
    match diff_path(&path, &options) {
        Ok(cases) => Ok((cases[0].status, cases[0].detail.clone().unwrap_or_default())),
        Err(e) => Err(e.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")),
    }
}

#[test]
fn the_capture_itself_is_reproduced() {
    let (status, detail) = verdict("whole", &pcap(&pings())).unwrap();
    assert_eq!(status, Status::Pass, "{detail}");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let whole = pcap(&pings());
    let changed = |at: usize, to: &[u8]| {
        let mut b = whole.clone();
        b[at..at + to.len()].copy_from_slice(to);
        b
    };
    let second = FILE_HEADER + PACKET_HEADER + pings()[0].1.len();
    let mut stepped = pings();
    stepped.iter_mut().skip(4).for_each(|f| f.0 -= 3_600_000_000_000);
    let place = format!("byte {second}");
    let in_the_second = ["packet 2", place.as_str()];
    let table: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("empty", Vec::new(), &["x.pcap", "not a pcap", "empty"]),
        ("text", b"hello, world\n".to_vec(), &["x.pcap", "not a pcap", "68 65 6c 6c"]),
        ("header-cut", whole[..12].to_vec(), &["x.pcap", "cut off"]),
        ("no-packets", whole[..FILE_HEADER].to_vec(), &["x.pcap"]),
        ("packet-header-cut", whole[..second + 5].to_vec(), &in_the_second),
        ("packet-cut", whole[..whole.len() - 1].to_vec(), &["packet 6"]),
        ("longer-than-the-frame", changed(second + 8, &[0xff, 0xff, 0, 0]), &["packet 2"]),
        ("huge", changed(second + 8, &[0xff; 8]), &["packet 2"]),
        ("fraction", changed(second + 4, &[0xff; 4]), &["packet 2", "second"]),
        ("linktype", changed(20, &[105, 0]), &["x.pcap", "link type 105"]),
        ("clock-stepped", pcap(&stepped), &["set back by 3599.9", "frame 5"]),
    ];
    for (name, bytes, expected) in table {
        let error = verdict(name, &bytes).expect_err(name);
        for part in expected {
            assert!(error.contains(part), "{name}: {part:?} is not in {error:?}");
        }
    }
}

#[test]
fn what_can_be_repaired_is_and_the_report_says_so() {
    let mut shuffled = pings();
    shuffled.swap(1, 2);
    shuffled.swap(3, 4);
    let mut other_hosts = pings();
    let mut stranger = other_hosts[0].clone();
    stranger.1[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    stranger.0 += 1_000;
    other_hosts.insert(1, stranger);
    let from_zero: Vec<_> = pings().into_iter().map(|(at, b)| (at - START_NS, b)).collect();
    let table: [(&str, Vec<u8>, &str); 2] = [
        ("shuffled", pcap(&shuffled), "not in order of time"),
        ("clock-at-zero", pcap(&from_zero), "guessed"),
    ];
    for (name, bytes, note) in table {
        let (status, detail) = verdict(name, &bytes).unwrap();
        assert_eq!(status, Status::Pass, "{name}: {detail}");
        assert!(detail.contains(note), "{name}: {detail}");
    }
    assert!(verdict("other-hosts", &pcap(&other_hosts)).is_ok());
}

/// Every cut and a flip of every byte of the file: a verdict or an error.
#[test]
fn no_damage_of_one_byte_panics() {
    let whole = pcap(&pings()[..2]);
    for n in 0..whole.len() {
        let _ = verdict("cut", &whole[..n]);
        let mut flipped = whole.clone();
        flipped[n] ^= 0xff;
        let _ = verdict("flipped", &flipped);
    }
}
