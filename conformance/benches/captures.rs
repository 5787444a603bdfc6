//! What a capture costs: packets that are passed over as it is read, and packets that are replayed
//! and compared.

use std::hint::black_box;
use std::io::Cursor;
use std::path::PathBuf;

use conformance::capture::PacketReader;
use conformance::frames::PcapWriter;
use conformance::replay::{DiffOptions, Input, diff_path};
use conformance::results::Status;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etherparse::PacketBuilder;

const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const START_NS: u64 = 1_700_000_000_000_000_000;

/// A capture of pings to a host and its answers.
fn pings(pairs: u64, host: [u8; 6], payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = PcapWriter::new(&mut bytes).unwrap();
    for n in 0..pairs {
        let at = START_NS + n * 100_000;
        let echo = |from, to, src, dst, reply: bool| {
            let b = PacketBuilder::ethernet2(from, to).ipv4(src, dst, 64);
            let seq = n as u16;
            let b = match reply {
                true => b.icmpv4_echo_reply(7, seq),
                false => b.icmpv4_echo_request(7, seq),
            };
            let mut frame = Vec::new();
            b.write(&mut frame, &vec![0x55; payload]).unwrap();
            frame
        };
        w.frame(at, &echo(PEER, host, [10, 0, 2, 2], [10, 0, 2, 15], false)).unwrap();
        let mut reply = echo(host, PEER, [10, 0, 2, 15], [10, 0, 2, 2], true);
        linux_header(&mut reply, (n as u16).wrapping_add(1).max(1));
        w.frame(at + 30_000, &reply).unwrap();
    }
    bytes
}

/// An echo reply of Linux has an identification and no DF.
fn linux_header(frame: &mut [u8], id: u16) {
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    frame[20] = 0;
    frame[24..26].fill(0);
    let words = frame[14..34].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn passed_over(c: &mut Criterion) {
    let bytes = pings(20_000, OTHER, 1000);
    let mut group = c.benchmark_group("capture");
    group.throughput(Throughput::Elements(40_000));
    group.bench_function("packets of other hosts", |b| {
        b.iter(|| {
            let reader = PacketReader::new("x", Cursor::new(bytes.as_slice())).unwrap().only(HOST);
            assert_eq!(black_box(reader.count()), 0);
        });
    });
    group.finish();
}

fn compared(c: &mut Criterion) {
    const PAIRS: u64 = 20_000;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench.pcap");
    std::fs::write(&path, pings(PAIRS, HOST, 1000)).unwrap();
    let input = Input { mac: Some("02:00:00:00:00:01".to_owned()), ..Input::default() };
    let options = DiffOptions { input, ..DiffOptions::default() };
    let mut group = c.benchmark_group("capture");
    group.throughput(Throughput::Elements(2 * PAIRS)).sample_size(10);
    group.bench_function("packets replayed and compared", |b| {
        b.iter(|| assert_eq!(diff_path(&path, &options).unwrap()[0].status, Status::Pass));
    });
    group.finish();
}

criterion_group!(benches, passed_over, compared);
criterion_main!(benches);
