//! Two machines move data over a cable that loses frames; everything arrives, in order, and
//! everything that was used comes home.

use common::{Pair, server};
use proptest::prelude::*;
use reference_stack::Version;
use reference_stack::syscalls::{Call, Ret};
use reference_stack::uapi::{F_SETFL, O_NONBLOCK, SHUT_WR};
use std::sync::Arc;

mod common;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Sends `data` from machine 0 to machine 1 over a cable that drops the frames that `drop` picks,
/// ends both directions, and returns what arrived.
///
/// The sender shuts its direction down and closes later: a socket that nobody holds is given up
/// after the time of eight doublings, 102 s (`tcp_orphan_retries`), and what it still had to
/// deliver is lost; one that is held has fifteen (`tcp_retries2`).
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
        pair.call(0, Call::Shutdown { fd: client, how: SHUT_WR });
        closed = true;
    }
    let mut received = Vec::new();
    loop {
        if !closed && !pair.machines[0].is_blocked(pair.tasks[0]) {
            pair.completed(0).expect("all was written");
            pair.call(0, Call::Shutdown { fd: client, how: SHUT_WR });
            closed = true;
        }
        match pair.start(1, Call::Read { fd: server, len: 65536 }) {
            Some(Ok(Ret::Data { data, .. })) if data.is_empty() => break,
            Some(Ok(Ret::Data { data, .. })) => received.extend(data),
            Some(Err(reference_stack::Errno::EAGAIN)) => step(&mut pair, &mut drop),
            other => panic!("unexpected: {other:?}"),
        }
    }
    pair.call(0, Call::Close { fd: client });
    pair.call(1, Call::Close { fd: server });
    pair.call(1, Call::Close { fd: listener });
    for _ in 0..400 * 100 {
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

/// Drops so many frames in a thousand, by a generator of this seed.
fn lossy(seed: u64, per_mille: u64) -> impl FnMut() -> bool {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % 1000 < per_mille
    }
}

/// Six losses of one segment in a row, behind a handshake whose RTT was measured as a second: the
/// last retransmission comes more than three minutes after the first.
#[test]
fn a_long_series_of_losses_is_outlived() {
    let drop = lossy(12_549_802_600_712_636_708, 164);
    let (received, pair) = transfer(Version::V5_15, pattern(4345), drop);
    assert!(received == pattern(4345));
    assert_eq!(pair.leaks(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_lossy_cable_carries_everything(
        len in 1usize..200_000,
        seed in any::<u64>(),
        per_mille in 0u64..200,
    ) {
        let (received, pair) = transfer(Version::V5_15, pattern(len), lossy(seed, per_mille));
        prop_assert!(received == pattern(len));
        prop_assert_eq!(pair.leaks(), Vec::<String>::new());
    }
}
