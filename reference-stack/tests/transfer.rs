//! Two machines move data over a cable that loses frames; everything arrives, in order, and
//! everything that was used comes home.

use common::{Pair, server};
use proptest::prelude::*;
use reference_stack::Version;
use reference_stack::syscalls::{Call, Ret};
use reference_stack::uapi::{F_SETFL, O_NONBLOCK};
use std::sync::Arc;

mod common;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Sends `data` from machine 0 to machine 1 over a cable that drops the frames that `drop` picks,
/// closes both ends, and returns what arrived.
fn transfer(version: Version, data: Vec<u8>, mut drop: impl FnMut() -> bool) -> (Vec<u8>, Pair) {
    let mut pair = Pair::boot(version);
    pair.delay = 5 * MS;
    // Three lost ARP requests are the end of a connection that is being made, and rightly so.
    pair.know_each_other();
    let listener = pair.listen();
    let client = pair.socket(0);
    assert!(pair.start(0, Call::Connect { fd: client, addr: server() }).is_none());
    // Three thousand seconds are more than any series of losses below takes.
    let mut now = 0;
    let mut step = |pair: &mut Pair, drop: &mut dyn FnMut() -> bool| {
        now += 10 * MS;
        assert!(now < 3000 * SECOND, "the transfer does not end");
        pair.run(now, |_, _| !drop());
    };
    while pair.machines[0].is_blocked(pair.tasks[0]) {
        step(&mut pair, &mut drop);
    }
    pair.completed(0).expect("the connection is made");
    let accepted = match pair.start(1, Call::Accept4 { fd: listener, flags: 0 }) {
        Some(result) => result,
        None => {
            while pair.machines[1].is_blocked(pair.tasks[1]) {
                step(&mut pair, &mut drop);
            }
            pair.completed(1)
        }
    };
    let server = accepted.expect("a connection").value() as i32;
    pair.call(1, Call::Fcntl { fd: server, cmd: F_SETFL, arg: O_NONBLOCK });
    let wrote = pair.start(0, Call::Write { fd: client, data: Arc::new(data) });
    let mut closed = false;
    if wrote.is_some() {
        pair.call(0, Call::Close { fd: client });
        closed = true;
    }
    let mut received = Vec::new();
    loop {
        if !closed && !pair.machines[0].is_blocked(pair.tasks[0]) {
            pair.completed(0).expect("all was written");
            pair.call(0, Call::Close { fd: client });
            closed = true;
        }
        match pair.start(1, Call::Read { fd: server, len: 65536 }) {
            Some(Ok(Ret::Data { data, .. })) if data.is_empty() => break,
            Some(Ok(Ret::Data { data, .. })) => received.extend(data),
            Some(Err(reference_stack::Errno::EAGAIN)) => step(&mut pair, &mut drop),
            other => panic!("unexpected: {other:?}"),
        }
    }
    pair.call(1, Call::Close { fd: server });
    pair.call(1, Call::Close { fd: listener });
    for _ in 0..200 * 100 {
        step(&mut pair, &mut drop);
    }
    (received, pair)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn a_clean_cable_carries_everything() {
    for version in Version::ALL {
        let (received, pair) = transfer(version, pattern(1_000_000), || false);
        assert!(received == pattern(1_000_000), "{}: {} bytes", version.name(), received.len());
        assert_eq!(pair.leaks(), Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_lossy_cable_carries_everything(
        len in 1usize..200_000,
        seed in any::<u64>(),
        per_mille in 0u64..200,
    ) {
        let mut state = seed | 1;
        let drop = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % 1000 < per_mille
        };
        let (received, pair) = transfer(Version::V5_15, pattern(len), drop);
        prop_assert!(received == pattern(len));
        prop_assert_eq!(pair.leaks(), Vec::<String>::new());
    }
}
