//! Scripts that are true of some kernels only: their heads say of which.

use conformance::results::{CaseResult, Nic, Status, Variant};
use conformance::run::profiles;
use reference_stack::Version;

use super::conformance::Job;
use crate::cli::TargetName;

/// The jobs whose scripts are true of the kernel `release`, and the results of those that are not.
pub(super) fn apart<'a>(
    work: Vec<Job<'a>>,
    target: TargetName,
    release: &str,
) -> (Vec<Job<'a>>, Vec<CaseResult>) {
    let (mut run, mut skipped) = (Vec::new(), Vec::new());
    for job in work {
        match other_kernels(&job, release) {
            None => run.push(job),
            Some(kernels) => {
                let why = format!("it is true of {kernels} only, says its head");
                skipped.push(CaseResult {
                    nic: if target == TargetName::Reference { job.nic } else { Nic::Tun },
                    variant: job.variant.unwrap_or(Variant::Ipv4),
                    ..CaseResult::new(&job.script.id, target.word()).with_status(Status::Skip, why)
                });
            }
        }
    }
    (run, skipped)
}

/// The kernel to run the script for: `default`, or the first of those that it is true of.
pub(super) fn kernel_of(job: &Job<'_>, default: Version) -> Version {
    let text = std::fs::read_to_string(&job.script.path).unwrap_or_default();
    let others = profiles(&text).filter(|kernels| !kernels.contains(&default));
    others.and_then(|kernels| kernels.first().copied()).unwrap_or(default)
}

/// The kernels that the script is true of, if `release` is none of them. A kernel that there is no profile for is asked
/// everything.
fn other_kernels(job: &Job<'_>, release: &str) -> Option<String> {
    let version = version_of(release)?;
    // One that cannot be read is for the run to report.
    let text = std::fs::read_to_string(&job.script.path).ok()?;
    let kernels = profiles(&text).filter(|kernels| !kernels.contains(&version))?;
    let names: Vec<&str> = kernels.iter().map(|version| version.name()).collect();
    Some(names.join(", "))
}

/// The profile of a release such as `6.18.44`.
fn version_of(release: &str) -> Option<Version> {
    let mut parts = release.split(['.', '-']);
    let name = format!("{}.{}", parts.next()?, parts.next()?);
    Version::from_name(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_a_profile_or_not() {
        assert_eq!(version_of("6.18.44-amd64"), Some(Version::V6_18));
        assert_eq!(version_of("5.15"), Some(Version::V5_15));
        assert_eq!(version_of("6.12.1"), None);
        assert_eq!(version_of("unknown"), None);
    }
}
