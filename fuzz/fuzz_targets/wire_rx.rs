//! Frames and time steps into the MAC of a booted board.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::fuzz::wire_rx::run(data));
