//! Bodies of the fuzz targets.
//!
//! They live here and not in `fuzz/`, which only cargo-fuzz and `cargo xtask fuzz` build: the same
//! body runs under libFuzzer, in a fixed-seed sweep of the ordinary tests, over the seeds of
//! `corpora/` in the gate, and alone on one input for whoever debugs it.

pub mod parsers;
pub mod script;
pub mod wire_rx;

/// One target: a body, and what a person may know of it.
#[derive(Clone, Copy, Debug)]
pub struct FuzzTarget {
    /// Name of the binary in `fuzz/` and of the folder in `corpora/`.
    pub name: &'static str,
    /// What it feeds to what, in one line.
    pub about: &'static str,
    /// Longest input in bytes.
    pub max_len: usize,
    /// The body. A panic is a finding.
    pub run: fn(&[u8]),
    /// What an input holds, in lines for a person.
    pub describe: fn(&[u8]) -> String,
    /// Inputs to start from, with their file names.
    pub seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
}

/// Every target.
pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "wire_rx",
        about: "frames and time steps into the MAC of a booted board with TCP and UDP sockets",
        max_len: 4096,
        run: wire_rx::run,
        describe: wire_rx::describe,
        seeds: wire_rx::seeds::all,
    },
    FuzzTarget {
        name: "pcap",
        about: "any bytes as a pcap or pcapng file, each frame of it decoded",
        max_len: 4096,
        run: parsers::pcap,
        describe: parsers::describe,
        seeds: parsers::pcap_seeds,
    },
    FuzzTarget {
        name: "strace",
        about: "any text as strace's output, and what happened to its sockets",
        max_len: 4096,
        run: parsers::strace,
        describe: parsers::describe,
        seeds: parsers::strace_seeds,
    },
    FuzzTarget {
        name: "manifest",
        about: "any text as the manifest of a capture",
        max_len: 4096,
        run: parsers::manifest,
        describe: parsers::describe,
        seeds: parsers::manifest_seeds,
    },
    FuzzTarget {
        name: "script_parse",
        about: "any text as a script: parsed, printed, laid out",
        max_len: 4096,
        run: script::parse_text,
        describe: parsers::describe,
        seeds: script::text_seeds,
    },
    FuzzTarget {
        name: "script_print",
        about: "pieces of the script language in any order: parsed, printed, laid out",
        max_len: 256,
        run: script::print_pieces,
        describe: script::describe_pieces,
        seeds: script::piece_seeds,
    },
];
