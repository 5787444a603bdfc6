//! `nstat`: the kernel's counters, and what they grew by since it was last asked.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::programs::not_supported;
use super::{CommandError, Shell};
use crate::target::Target;

impl Shell {
    /// `nstat [-a] [-n] [-r] [-s] [-z] [PATTERN]...`.
    pub(super) fn nstat(
        &mut self,
        target: &mut dyn Target,
        args: &[&str],
        output: &mut String,
    ) -> Result<i32, CommandError> {
        let (mut absolute, mut silent, mut zeros, mut keep) = (false, false, false, false);
        let mut patterns = Vec::new();
        for arg in args {
            match arg.strip_prefix('-').filter(|flags| !flags.starts_with('-')) {
                Some(flags) => {
                    for flag in flags.chars() {
                        match flag {
                            'a' => absolute = true,
                            'n' => silent = true,
                            'z' => zeros = true,
                            's' => keep = true,
                            'r' => self.counters.clear(),
                            _ => return Err(not_supported("nstat", args)),
                        }
                    }
                }
                None if arg.starts_with('-') => return Err(not_supported("nstat", args)),
                None => patterns.push(*arg),
            }
        }
        let now = counters(target)?;
        if !silent {
            output.push_str("#kernel\n");
            for (name, value) in &now {
                let before =
                    if absolute { 0 } else { self.counters.get(name).copied().unwrap_or(0) };
                let grown = value.wrapping_sub(before);
                let wanted = patterns.is_empty() || patterns.iter().any(|p| fits(p, name));
                if wanted && (zeros || grown != 0) {
                    let _ = writeln!(output, "{name:<32}{grown:<16}0.0");
                }
            }
        }
        if !keep {
            self.counters = now;
        }
        Ok(0)
    }
}

/// Every counter of /proc/net/snmp and netstat under nstat's name for it.
fn counters(target: &mut dyn Target) -> Result<BTreeMap<String, u64>, CommandError> {
    let mut found = BTreeMap::new();
    for file in ["snmp", "netstat"] {
        let text = target.proc_net(file)?;
        let lines: Vec<&str> = text.lines().collect();
        // Two lines a protocol: names and values.
        for pair in lines.chunks(2) {
            let [names, values] = pair else { continue };
            let mut columns = names.split_whitespace().zip(values.split_whitespace());
            let Some((head, _)) = columns.next() else { continue };
            let protocol = head.trim_end_matches(':');
            for (name, value) in columns {
                // Settings in the same table, which nstat leaves out as they may be negative.
                if let Ok(value) = value.parse() {
                    found.insert(format!("{protocol}{name}"), value);
                }
            }
        }
    }
    Ok(found)
}

/// nstat's patterns: `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| fits(tail, rest)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_have_stars() {
        assert!(fits("TcpExt*Icmps", "TcpExtOutOfWindowIcmps"));
        assert!(fits("*", "x") && fits("Tcp*", "Tcp") && !fits("Tcp", "TcpExt"));
    }
}
