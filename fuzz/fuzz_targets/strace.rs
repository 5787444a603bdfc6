//! Any text as a trace.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::fuzz::parsers::strace(data));
