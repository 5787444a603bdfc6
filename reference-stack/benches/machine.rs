//! What a machine costs: a snapshot, a round trip between two machines through both rings, a
//! connection's life, bulk data beside smoltcp, and what many connections change.

use common::{Connection, Pair};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reference_stack::Version;
use reference_stack::syscalls::{Call, Fd};
use std::hint::black_box;
use std::sync::Arc;

#[path = "../tests/common/mod.rs"]
mod common;
mod smoltcp_loopback;

/// The allocator of the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn connected() -> (Pair, Fd, [Fd; 2]) {
    let mut pair = Pair::boot(Version::V5_15);
    let listener = pair.listen();
    let fds = pair.connect(listener);
    (pair, listener, fds)
}

fn snapshot(c: &mut Criterion) {
    let (pair, ..) = connected();
    c.bench_function("clone and drop of a machine with a connection", |b| {
        b.iter(|| black_box(pair.machines[1].clone()));
    });
}

fn round_trip(c: &mut Criterion) {
    let (mut pair, _, [client, server]) = connected();
    let data = Arc::new(vec![7; 64]);
    c.bench_function("64-byte round trip through both rings", |b| {
        b.iter(|| {
            for (from, fd, other) in [(0, client, server), (1, server, client)] {
                pair.send(from, fd, &data);
                pair.call(1 - from, Call::Read { fd: other, len: 64 });
            }
        });
    });
}

fn connection_life(c: &mut Criterion) {
    let mut pair = Pair::boot(Version::V5_15);
    let listener = pair.listen();
    let request = Arc::new(vec![7; 48]);
    c.bench_function("open, handshake, 48 bytes, close", |b| {
        b.iter_batched_ref(
            || pair.clone(),
            |pair| {
                let [client, server] = pair.connect(listener);
                pair.send(0, client, &request);
                pair.call(1, Call::Read { fd: server, len: 48 });
                pair.call(0, Call::Close { fd: client });
                pair.settle();
                pair.call(1, Call::Close { fd: server });
                pair.settle();
            },
            BatchSize::SmallInput,
        );
    });
}

fn bulk(c: &mut Criterion) {
    const SIZE: usize = 16 * 1024;
    let (mut pair, _, [client, server]) = connected();
    let data = Arc::new(vec![7; SIZE]);
    let mut group = c.benchmark_group("bulk TCP through both rings");
    group.throughput(Throughput::Bytes(SIZE as u64));
    group.bench_function("MTU 1500, data read", |b| {
        b.iter(|| {
            pair.send(0, client, &data);
            let mut read = 0;
            while read < SIZE {
                let ret = pair.call(1, Call::Read { fd: server, len: SIZE });
                read += ret.value() as usize;
                pair.settle();
            }
        });
    });
    let data = vec![7; SIZE];
    for (name, checksums) in [("smoltcp", true), ("smoltcp without checksums", false)] {
        let mut peer = smoltcp_loopback::Loopback::connected(checksums);
        group.bench_function(name, |b| b.iter(|| peer.carry(&data)));
    }
    group.finish();
}

/// Two machines with so many connections, and ten of them from all over the tables.
fn among(count: usize) -> (Pair, Vec<Connection>) {
    let mut pair = Pair::boot(Version::V5_15);
    pair.know_each_other();
    let made = pair.connect_many(count);
    let some = made.into_iter().step_by(count / 10).collect();
    (pair, some)
}

/// A segment's cost must not grow with the connections that are only there.
fn many_connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("64-byte round trip among connections");
    let data = Arc::new(vec![7; 64]);
    for count in [10, 1_000, 100_000] {
        // Made when it is measured, not when another benchmark is chosen.
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            let (pair, some) = made.get_or_insert_with(|| among(count));
            let mut turn = some.iter().cycle();
            b.iter(|| {
                let &Connection { tasks, fds } = turn.next().expect("a cycle has no end");
                pair.tasks = tasks;
                for from in [0, 1] {
                    pair.send(from, fds[from], &data);
                    pair.call(1 - from, Call::Read { fd: fds[1 - from], len: 64 });
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, snapshot, round_trip, connection_life, bulk, many_connections);
criterion_main!(benches);
