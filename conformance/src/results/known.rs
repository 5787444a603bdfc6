//! Known results: the cases that a target is known to fail, each with its reason.
//!
//! One file a target, `conformance/expected/TARGET.toml`, and one a target and kernel,
//! `conformance/expected/TARGET-KERNEL.toml`, for runs of that kernel alone:
//!
//! ```toml
//! [[known]]
//! id = "tcp/sack/shift.pkt"
//! nic = "tun"          # optional: on this attachment only
//! variant = "ipv4"     # optional: in this IP version only
//! reason = "SACK shifting merges no super-packets yet"
//! ```
//!
//! A case that fails and is listed becomes `xfail`; one that passes and is listed becomes
//! `xpass`, which is a finding like `fail`: the list must stay true.

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{CaseResult, Nic, Status, Variant};

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownResult {
    /// The case, as [`CaseResult::id`], or the end of it from a folder on: what stands before depends on the folder that
    /// was named.
    pub id: String,
    /// Only through this attachment; absent: through every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<Nic>,
    /// Only in this IP version; absent: in every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// Why it fails; never empty.
    pub reason: String,
}

impl KnownResult {
    fn covers(&self, case: &CaseResult) -> bool {
        case.id.strip_suffix(&self.id).is_some_and(|above| above.is_empty() || above.ends_with('/'))
            && self.nic.is_none_or(|nic| nic == case.nic)
            && self.variant.is_none_or(|variant| variant == case.variant)
    }
}

/// The list of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownResults {
    /// The entries, in the file's order.
    #[serde(default)]
    pub known: Vec<KnownResult>,
}

/// A list that cannot be read.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(netplumb::known_results))]
pub struct KnownError {
    message: String,
    #[source_code]
    source_text: NamedSource<String>,
    #[label("here")]
    at: Option<SourceSpan>,
}

impl KnownResults {
    /// Reads the text of a list; `name` is what error reports call it.
    ///
    /// # Errors
    ///
    /// When it is no TOML of this form, when an entry has no reason, or when two entries name the
    /// same case on the same attachment and variant.
    pub fn parse(name: &str, text: &str) -> Result<KnownResults, KnownError> {
        let fail = |message: String, at: Option<SourceSpan>| KnownError {
            message,
            source_text: NamedSource::new(name, text.to_owned()),
            at,
        };
        let list: KnownResults = toml::from_str(text)
            .map_err(|e| fail(e.message().to_owned(), e.span().map(SourceSpan::from)))?;
        let place = |id: &str| {
            let quoted = format!("{id:?}");
            text.rfind(&quoted).map(|at| SourceSpan::from((at, quoted.len())))
        };
        for (n, entry) in list.known.iter().enumerate() {
            if entry.reason.trim().is_empty() {
                return Err(fail(format!("{} has no reason", entry.id), place(&entry.id)));
            }
            let key = (&entry.id, entry.nic, entry.variant);
            if list.known[..n].iter().any(|e| (&e.id, e.nic, e.variant) == key) {
                return Err(fail(format!("{} is listed twice", entry.id), place(&entry.id)));
            }
        }
        Ok(list)
    }

    /// Adds the entries of another list.
    #[must_use]
    pub fn with(mut self, more: KnownResults) -> KnownResults {
        self.known.extend(more.known);
        self
    }

    /// The text of the list, sorted by case.
    pub fn to_toml(&self) -> String {
        let mut sorted = self.clone();
        sorted.known.sort_by(|a, b| (&a.id, a.nic, a.variant).cmp(&(&b.id, b.nic, b.variant)));
        // The type has only strings in one table array, which TOML can always write.
        toml::to_string(&sorted).unwrap_or_default()
    }

    /// Turns `fail` into `xfail` and `pass` into `xpass` for the listed cases.
    pub fn apply(&self, cases: &mut [CaseResult]) {
        for case in cases {
            let Some(entry) = self.known.iter().find(|entry| entry.covers(case)) else { continue };
            match case.status {
                Status::Fail => {
                    case.status = Status::Xfail;
                    case.reason = Some(entry.reason.clone());
                }
                Status::Pass => {
                    case.status = Status::Xpass;
                    case.reason = Some(format!("known to fail ({}), but it passed", entry.reason));
                }
                Status::Xfail | Status::Xpass | Status::Skip | Status::Unsupported => {}
            }
        }
    }

    /// The entries that no case of `cases` answers to: after a run of everything, they are stale.
    pub fn unused<'a>(&'a self, cases: &'a [CaseResult]) -> impl Iterator<Item = &'a KnownResult> {
        self.known.iter().filter(|entry| !cases.iter().any(|case| entry.covers(case)))
    }

    /// The list that makes `cases` all expected: failing cases are added with what was seen,
    /// passing ones leave, reasons that are there stay, and so do entries that did not run.
    ///
    /// `cases` are results to which no list was applied.
    #[must_use]
    pub fn updated(&self, cases: &[CaseResult]) -> KnownResults {
        let mut known: Vec<KnownResult> = self.unused(cases).cloned().collect();
        for case in cases.iter().filter(|case| case.status == Status::Fail) {
            let reason = match self.known.iter().find(|entry| entry.covers(case)) {
                Some(entry) => entry.reason.clone(),
                None => case.reason.clone().unwrap_or_else(|| "fails".to_owned()),
            };
            known.push(KnownResult {
                id: case.id.clone(),
                nic: Some(case.nic).filter(|&nic| nic != Nic::None),
                variant: Some(case.variant).filter(|&variant| variant != Variant::None),
                reason,
            });
        }
        KnownResults { known }
    }
}
