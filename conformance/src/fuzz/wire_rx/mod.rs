//! `wire_rx`: frames and time steps into the MAC of a booted board with a listening TCP socket,
//! an established connection and a bound UDP socket.

mod frame;
mod op;
mod peer;
pub mod seeds;

use std::fmt::Write as _;

use op::Op;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut peer = peer::Peer::default();
    for op in Op::read_all(data) {
        if let Some(frame) = peer.frame(&op) {
            peer.saw(&frame);
        }
    }
}

/// The operations of an input, one a line.
pub fn describe(data: &[u8]) -> String {
    let mut text = String::new();
    for (n, op) in Op::read_all(data).iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>3} {op:?}", n + 1);
    }
    text
}
