//! What a script leaves behind in a kernel although its network namespace goes: sysctls that all namespaces share,
//! parameters of modules, sockets that live on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders whose files are read, seen from the namespace in which the kernel booted.
const SYSCTLS: [&str; 3] = ["/proc/sys/net/core", "/proc/sys/net/ipv4", "/proc/sys/net/ipv6"];
/// Modules and what is built in, a folder each, with their parameters below.
const MODULES: &str = "/sys/module";
/// Their names start so.
const MODULE: &str = "tcp_";
/// Counts of sockets and their memory; those of TCP are the whole kernel's.
const SOCKETS: &str = "/proc/net/sockstat";
/// The words of its line for TCP that are the whole kernel's.
const COUNTS: [&str; 3] = ["orphan", "alloc", "mem"];

/// The state of a kernel as far as namespaces share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shared {
    /// By file.
    values: BTreeMap<PathBuf, String>,
    /// The counts of sockets, by name; not of a machine on which others have sockets.
    sockets: BTreeMap<String, String>,
}

impl Shared {
    /// Reads it all. `alone`: nobody else uses the kernel.
    pub(super) fn read(alone: bool) -> Shared {
        let mut shared = Shared::default();
        for folder in SYSCTLS {
            shared.add(Path::new(folder));
        }
        for module in entries(Path::new(MODULES)) {
            if module.file_name().is_some_and(|name| name.to_string_lossy().starts_with(MODULE)) {
                shared.add(&module.join("parameters"));
            }
        }
        if alone {
            shared.sockets = counts(&std::fs::read_to_string(SOCKETS).unwrap_or_default());
        }
        shared
    }

    fn add(&mut self, folder: &Path) {
        for file in entries(folder) {
            // Folders are of single interfaces, and some files cannot be read: those are nobody's leftovers.
            if let Ok(text) = std::fs::read_to_string(&file) {
                self.values.insert(file, text.trim_end().to_owned());
            }
        }
    }

    /// What is different in `after`, a line each.
    pub(super) fn changed(&self, after: &Shared) -> Vec<String> {
        let files = self.values.iter().filter_map(|(file, value)| {
            let now = after.values.get(file).filter(|now| *now != value)?;
            Some(format!("{} was {value} and is {now}", file.display()))
        });
        let sockets = self.sockets.iter().filter_map(|(name, value)| {
            let now = after.sockets.get(name).filter(|now| *now != value)?;
            Some(format!("TCP's {name} was {value} and is {now}"))
        });
        files.chain(sockets).collect()
    }

    /// Writes the values back that are different in `after`.
    pub(super) fn restore(&self, after: &Shared) {
        for (file, value) in &self.values {
            if after.values.get(file).is_some_and(|now| now != value) {
                // Who could change it can change it back.
                let _ = std::fs::write(file, value);
            }
        }
    }
}

/// What is in a folder, sorted; nothing if it is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(list) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// The kernel-wide counts of `/proc/net/sockstat`.
fn counts(text: &str) -> BTreeMap<String, String> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: ")).unwrap_or_default();
    let words: Vec<&str> = line.split(' ').collect();
    words
        .chunks_exact(2)
        .filter(|pair| COUNTS.contains(&pair[0]))
        .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named() {
        let value = |v: &str| Shared {
            values: BTreeMap::from([(PathBuf::from("/proc/sys/net/ipv4/tcp_mem"), v.to_owned())]),
            sockets: counts(&format!(
                "sockets: used 7\nTCP: inuse 3 orphan {v} tw 0 alloc 3 mem 0"
            )),
        };
        assert!(value("1").changed(&value("1")).is_empty());
        let changed = value("1").changed(&value("2"));
        assert_eq!(
            changed,
            ["/proc/sys/net/ipv4/tcp_mem was 1 and is 2", "TCP's orphan was 1 and is 2"]
        );
        assert_eq!(value("1").sockets.len(), 3);
    }
}
