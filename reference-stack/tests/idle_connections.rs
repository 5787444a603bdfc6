//! What a connection costs that does nothing.

use common::Pair;
use reference_stack::Version;

mod common;

/// Bytes of memory that this process has (Linux `/proc/self/statm`, resident pages).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs is there");
    let pages = statm.split_whitespace().nth(1).and_then(|n| n.parse::<usize>().ok());
    pages.expect("the second column is a number") * 4096
}

/// DESIGN section 6: 2 KiB for each end.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "there is no /proc/self/statm")]
fn an_idle_connection_costs_at_most_two_kibibytes() {
    const COUNT: usize = 10_000;
    let mut pair = Pair::boot(Version::V5_15);
    pair.know_each_other();
    // What is allocated once for all stands before the measurement.
    pair.connect_many(100);
    let before = resident();
    pair.connect_many(COUNT);
    let each = (resident() - before) / (2 * COUNT);
    assert!(each <= 2048, "{each} bytes each");
}
