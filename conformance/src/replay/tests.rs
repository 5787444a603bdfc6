//! The comparison itself, with a machine that says what it is told: an edited capture must be
//! called diverged at the edited frame and field.

use std::collections::{BTreeMap, BTreeSet};

use etherparse::{PacketBuilder, TcpOptionElement};
use miette::NamedSource;
use reference_stack::syscalls::SysResult;
use reference_stack::{Call, TaskId};

use super::case::{CapFrame, Case};
use super::engine::Engine;
use super::host::{Host, Sent};
use super::plan::Plan;
use crate::capture::Manifest;
use crate::frames::decode;

const HOST: [u8; 6] = [2, 0, 0, 0, 0, 15];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const BASE: u64 = 1_000_000_000;

/// Sends prepared frames at prepared times.
#[derive(Clone)]
struct Recorded {
    now: u64,
    script: Vec<(u64, Vec<u8>)>,
    next: usize,
}

impl Host for Recorded {
    fn now(&self) -> u64 {
        self.now
    }
    fn next_event(&self) -> Option<u64> {
        self.script.get(self.next).map(|(at, _)| *at)
    }
    fn advance(&mut self, to: u64) {
        self.now = to;
    }
    fn stall(&mut self, to: u64) {
        self.now = to;
    }
    fn timer_name(&mut self) -> Option<&'static str> {
        None
    }
    fn frame_in(&mut self, _: usize, _: Vec<u8>) {}
    fn frames_out(&mut self) -> Vec<Sent> {
        let mut out = Vec::new();
        while let Some((at, bytes)) = self.script.get(self.next).filter(|(at, _)| *at <= self.now) {
            out.push(Sent { port: 0, at: *at, bytes: bytes.clone() });
            self.next += 1;
        }
        out
    }
    fn new_task(&mut self) -> TaskId {
        TaskId(0)
    }
    fn call(&mut self, _: TaskId, _: Call) -> Option<SysResult> {
        None
    }
    fn woken(&self, _: TaskId) -> bool {
        false
    }
    fn resume(&mut self, _: TaskId) {}
    fn lock_sock(&mut self, _: TaskId, _: i32) {}
    fn release_sock(&mut self, _: TaskId) {}
    fn interrupt(&mut self, _: TaskId) {}
    fn completed(&mut self) -> Vec<(TaskId, SysResult)> {
        Vec::new()
    }
    fn admin(&mut self, _: &super::admin::Admin) -> Result<(), String> {
        Ok(())
    }
    fn sample(&self, _: TaskId, _: i32) -> Option<crate::results::story::Sample> {
        None
    }
    fn describe(&self, _: TaskId, _: i32) -> Option<String> {
        None
    }
}

struct Segment {
    out: bool,
    syn: bool,
    seq: u32,
    ack: u32,
    ts: (u32, u32),
    data: &'static [u8],
}

fn segment(s: &Segment) -> Vec<u8> {
    let (macs, ips, ports) = if s.out {
        ((HOST, PEER), ([10, 0, 2, 15], [10, 0, 2, 2]), (80, 40000))
    } else {
        ((PEER, HOST), ([10, 0, 2, 2], [10, 0, 2, 15]), (40000, 80))
    };
    let b = PacketBuilder::ethernet2(macs.0, macs.1).ipv4(ips.0, ips.1, 64);
    let b = b.tcp(ports.0, ports.1, s.seq, 501);
    let b = if s.syn { b.syn() } else { b };
    let b = if s.out || !s.syn { b.ack(s.ack) } else { b };
    let ts = TcpOptionElement::Timestamp(s.ts.0, s.ts.1);
    let b = b.options(&[TcpOptionElement::Noop, TcpOptionElement::Noop, ts]).unwrap();
    let mut out = Vec::new();
    b.write(&mut out, s.data).unwrap();
    // etherparse leaves the identification at 0: what a SYN-ACK has, and nothing else.
    if s.out && !s.syn {
        set_id(&mut out, 700 + (s.seq & 15) as u16);
    }
    out
}

fn set_id(frame: &mut [u8], id: u16) {
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    fix_ip_checksum(frame);
}

fn fix_ip_checksum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let mut sum: u32 =
        frame[14..34].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// A connection to the host, in captured numbers: frames 2, 4, 5 and 6 are the host's.
fn connection() -> Vec<(u64, bool, Vec<u8>)> {
    let s = |out, syn, seq, ack, ts, data| segment(&Segment { out, syn, seq, ack, ts, data });
    vec![
        (0, false, s(false, true, 100, 0, (10, 0), b"")),
        (50_000, true, s(true, true, 9000, 101, (500, 10), b"")),
        (20_000_000, false, s(false, false, 101, 9001, (30, 500), b"hello")),
        (20_050_000, true, s(true, false, 9001, 106, (520, 30), b"")),
        (60_000_000, true, s(true, false, 9001, 106, (560, 30), b"world")),
        (300_000_000, true, s(true, false, 9001, 106, (800, 30), b"world")),
    ]
}

fn case(frames: Vec<(u64, bool, Vec<u8>)>) -> Case {
    let text =
        "hz = 250\n[[interface]]\nname = \"eth0\"\ncapture = \"x\"\nmac = \"02:00:00:00:00:0f\"\n";
    Case {
        id: "x".to_owned(),
        manifest: Manifest::parse("m", text).unwrap(),
        source: NamedSource::new("m", text.to_owned()),
        frames: frames
            .into_iter()
            .enumerate()
            .map(|(n, (t, outbound, data))| CapFrame {
                port: 0,
                number: n as u64 + 1,
                time_ns: BASE + t,
                frame: decode(&data),
                bytes: super::bytes::FrameBytes::Held(data),
                cut: false,
                link: crate::capture::Link::Ethernet,
                outbound,
            })
            .collect(),
        calls: Vec::new(),
        tentative: BTreeSet::new(),
        inferred: false,
        payload: BTreeMap::new(),
        fixed_ports: BTreeSet::from([80]),
        connected_udp: BTreeSet::new(),
        events: Vec::new(),
        notes: Vec::new(),
        path: "x".into(),
    }
}

/// Replays the true connection, in the machine's own numbers, against a capture.
fn verdict(captured: Vec<(u64, bool, Vec<u8>)>) -> Option<(u64, String)> {
    let script = connection()
        .into_iter()
        .filter(|f| f.1)
        .map(|(t, _, mut b)| {
            // Its initial sequence number, timestamp offset and identifications are its own.
            let shift = |b: &mut [u8], at: usize, d: u32| {
                let v = u32::from_be_bytes(b[at..at + 4].try_into().unwrap()).wrapping_add(d);
                b[at..at + 4].copy_from_slice(&v.to_be_bytes());
            };
            shift(&mut b, 38, 77_777);
            shift(&mut b, 58, 1_234_567);
            if b[18..20] != [0, 0] {
                let id = u16::from_be_bytes([b[18], b[19]]).wrapping_add(9);
                set_id(&mut b, id);
            }
            fix_tcp_checksum(&mut b);
            (t, b)
        })
        .collect();
    let case = case(captured);
    let host = Recorded { now: 0, script, next: 0 };
    let ending = Engine::new(&case, &Plan::default(), host, BASE).run();
    ending.divergence.map(|d| (d.frame, format!("{}.{}", d.layer, d.field)))
}

fn fix_tcp_checksum(b: &mut [u8]) {
    let ip = etherparse::Ipv4HeaderSlice::from_slice(&b[14..]).unwrap().to_header();
    let tcp = etherparse::TcpHeaderSlice::from_slice(&b[34..]).unwrap();
    let header = tcp.to_header();
    let len = usize::from(header.data_offset()) * 4;
    let sum = header.calc_checksum_ipv4(&ip, &b[34 + len..]).unwrap();
    b[50..52].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn the_connection_itself_is_reproduced() {
    assert_eq!(verdict(connection()), None);
}

#[test]
fn every_edit_is_named_at_its_frame_and_field() {
    type Edit = fn(&mut [u8]);
    let fields: [(usize, &str, Edit); 17] = [
        (2, "tcp.window", |b| b[49] ^= 1),
        (2, "ip.ttl", |b| b[22] = 63),
        (2, "ip.id", |b| set_id(b, 5)),
        (2, "tcp.ack_raw", |b| b[45] ^= 1),
        (4, "tcp.flags.fin", |b| b[47] |= 1),
        (4, "tcp.flags.push", |b| b[47] |= 8),
        (4, "tcp.flags.cwr", |b| b[47] |= 0x80),
        (4, "ip.flags.df", |b| b[20] ^= 0x40),
        (4, "ip.dsfield.ecn", |b| b[15] |= 1),
        (4, "tcp.options.timestamp.tsecr", |b| b[65] ^= 1),
        (5, "tcp.seq_raw", |b| b[41] ^= 2),
        (5, "ip.id", |b| set_id(b, 711)),
        (5, "tcp.options.timestamp.tsval", |b| b[61] ^= 1),
        (6, "tcp.payload", |b| b[66] ^= 1),
        (6, "eth.dst", |b| b[3] ^= 1),
        (6, "tcp.srcport", |b| b[35] ^= 1),
        (6, "tcp.checksum", |b| b[50] ^= 1),
    ];
    for (frame, field, edit) in fields {
        let mut c = connection();
        let bytes = &mut c[frame - 1].2;
        edit(bytes);
        if field != "ip.id" && field != "tcp.checksum" {
            fix_ip_checksum(bytes);
            fix_tcp_checksum(bytes);
        }
        assert_eq!(verdict(c), Some((frame as u64, field.to_owned())), "{field} of frame {frame}");
    }
}

#[test]
fn moved_missing_and_extra_frames_are_named() {
    let mut late = connection();
    late[5].0 += 150_000_000;
    assert_eq!(verdict(late).unwrap().0, 6);
    let mut early = connection();
    early[4].0 -= 12_000_000;
    assert_eq!(verdict(early).unwrap().0, 5);
    let mut without = connection();
    without.remove(3);
    assert_eq!(verdict(without).unwrap().0, 4);
    let mut more = connection();
    let again = more[3].clone();
    more.insert(4, (40_000_000, true, again.2));
    assert_eq!(verdict(more).unwrap().0, 5);
}
