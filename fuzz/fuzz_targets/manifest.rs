//! Any text as a manifest.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| conformance::fuzz::parsers::manifest(data));
