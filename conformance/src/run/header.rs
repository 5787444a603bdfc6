//! What the comments at the head of a script of ours say to the harness.

use reference_stack::Version;

/// The kernels of which the script is true, by `// profiles: 5.15, 6.1` before its first line that is no comment; `None`
/// without that line, or if it names none that there is a profile for.
pub fn profiles(script: &str) -> Option<Vec<Version>> {
    let names = script
        .lines()
        .take_while(|line| line.trim_start().starts_with("//"))
        .find_map(|line| line.trim_start_matches(['/', ' ']).strip_prefix("profiles:"))?;
    let kernels: Vec<Version> =
        names.split(',').filter_map(|name| Version::from_name(name.trim())).collect();
    Some(kernels).filter(|kernels| !kernels.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_alone_counts() {
        assert_eq!(
            profiles("// a\n// profiles: 6.18, 7.2\n0 x"),
            Some(vec![Version::V6_18, Version::V7_2])
        );
        assert_eq!(profiles("// profiles: 4.4\n"), None);
        assert_eq!(profiles("0 socket(...)\n// profiles: 5.15\n"), None);
    }
}
