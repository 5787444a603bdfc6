//! Scripts of the language's pieces.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::fuzz::script::print_pieces(data));
