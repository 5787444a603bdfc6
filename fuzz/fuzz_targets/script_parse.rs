//! Any text as a script.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::fuzz::script::parse_text(data));
