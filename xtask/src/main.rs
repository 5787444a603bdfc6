//! Netplumb's command line.
fn main() {}
