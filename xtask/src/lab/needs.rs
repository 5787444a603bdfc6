//! What a capture needs of the machine.

use std::path::Path;

/// Programs, and the Debian package of each.
const PROGRAMS: [(&str, &str); 4] =
    [("tcpdump", "tcpdump"), ("strace", "strace"), ("ip", "iproute2"), ("ethtool", "ethtool")];

/// What is missing here, a line each; empty: a capture can be made.
pub(crate) fn missing() -> Vec<String> {
    let mut lacks = Vec::new();
    if !root() {
        lacks.push("root: network namespaces and TAP devices are made".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        lacks.push("/dev/net/tun: the kernel's CONFIG_TUN".to_owned());
    }
    for (program, package) in PROGRAMS {
        if !in_path(program) {
            lacks.push(format!("{program}: of Debian's package {package}"));
        }
    }
    lacks
}

/// Where programs of an administrator are, whatever the caller's path.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn in_path(program: &str) -> bool {
    PATH.split(':').any(|folder| Path::new(folder).join(program).is_file())
}

/// Whether this process has the effective user id 0.
fn root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}
