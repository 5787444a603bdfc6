//! The readers on real captures, where they are at hand.

use conformance::capture::{CallName, Manifest, parse_strace, read_packets, socket_calls};
use conformance::frames::decode;
use std::path::Path;

/// Reads every capture of the folder that `NETPLUMB_CAPTURES` names (default `../shared/pcaps`
/// beside the workspace); nothing to do where it is absent.
#[test]
fn every_capture_at_hand_is_read_and_typed() {
    let dir = std::env::var("NETPLUMB_CAPTURES")
        .unwrap_or_else(|_| format!("{}/../../shared/pcaps", env!("CARGO_MANIFEST_DIR")));
    let Ok(entries) = std::fs::read_dir(&dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let (manifest, _) = Manifest::read(&path).unwrap();
        let base = path.parent().unwrap_or(Path::new("."));
        for interface in &manifest.interface {
            let packets = read_packets(&base.join(&interface.capture)).unwrap();
            assert!(!packets.is_empty());
            for p in &packets {
                let f = decode(&p.data);
                assert!(f.addresses.is_some() || f.ether_type == 0x0806, "{:?} {f:?}", p.number);
            }
        }
        for trace in &manifest.strace {
            let text = std::fs::read_to_string(base.join(trace)).unwrap();
            let calls = socket_calls(&parse_strace("t", &text).unwrap());
            let untyped: Vec<_> = calls
                .iter()
                .filter(|c| {
                    matches!(&c.call, CallName::Other { name, .. }
                    if !matches!(name.as_str(), "fcntl" | "ioctl"))
                })
                .collect();
            assert!(untyped.is_empty(), "{trace:?}: {untyped:?}");
            if std::env::var_os("SHOW").is_some() {
                println!("{trace:?}");
                for c in &calls {
                    println!("  {} {:?} {:?}", c.line, c.call, c.outcome);
                }
            }
        }
    }
}
