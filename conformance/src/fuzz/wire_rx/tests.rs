use super::*;

/// A generator for inputs: xorshift, seeded by the test.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn input(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

#[test]
fn every_seed_passes() {
    for (name, input) in seeds::all() {
        if let Err(e) = std::panic::catch_unwind(|| run(&input)) {
            println!("{name}:\n{}", describe(&input));
            std::panic::resume_unwind(e);
        }
    }
}

/// The sweep: the same inputs in every run, random ones and seeds that were changed here and there.
#[test]
fn a_fixed_sweep_passes() {
    let seeds = seeds::all();
    let mut bytes = Bytes(0x9e37_79b9_7f4a_7c15);
    for n in 0..3000_usize {
        let mut input = if n % 4 == 0 {
            let len = bytes.next() as usize % 256;
            bytes.input(len)
        } else {
            let mut joined = seeds[bytes.next() as usize % seeds.len()].1.clone();
            joined.extend_from_slice(&seeds[bytes.next() as usize % seeds.len()].1);
            joined
        };
        if n % 8 == 0 {
            input.extend_from_slice(&Op::write_all(&[Op::Exit]));
        }
        for _ in 0..bytes.next() % 4 {
            let at = bytes.next() as usize % input.len().max(1);
            if let Some(byte) = input.get_mut(at) {
                *byte = bytes.next() as u8;
            }
        }
        if let Err(e) = std::panic::catch_unwind(|| run(&input)) {
            println!("input {n} of the sweep:\n{}", describe(&input));
            std::panic::resume_unwind(e);
        }
    }
}

/// The seeds reach what they are named for: a connection opens, data comes through, all closes.
#[test]
fn the_peer_keeps_a_conversation() {
    let mut world = World::start();
    assert_eq!(world.peer_sees(), (0, 0), "nothing in flight at the start");
    world.apply(&Op::Write { len: 3000 });
    world.pass(1_000_000);
    assert_eq!(world.peer_sees().1, 3000, "what was written is on the wire");
    world.end();
}

/// The process ends with data in flight, and the peer never answers: a quarter of an hour of
/// retransmissions, and nothing is lost.
#[test]
fn a_connection_runs_down() {
    let mut world = World::start();
    world.apply(&Op::Write { len: 2000 });
    world.exit();
    world.until = Nanos::MAX;
    world.pass(1000 * 1_000_000_000);
    world.end();
}

impl World {
    /// Bytes that the peer sent and got on the connection since the snapshot was taken.
    fn peer_sees(&self) -> (u32, u32) {
        let then = World::start().peer.ends(peer::PEER_PORT);
        let now = self.peer.ends(peer::PEER_PORT);
        (now.0.wrapping_sub(then.0), now.1.wrapping_sub(then.1))
    }
}
