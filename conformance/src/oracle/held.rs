//! Which real kernels a script of ours was held against: what its head claims, what they answered, and the list of both.
//!
//! ```text
//! // held-against: uml-6.1, linux-6.18     it ran there and passed
//! // not-held: frames on a link             no real kernel can run it, and why
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::results::{CaseResult, Status};

/// What the head's line starts with.
const LINE: &str = "// held-against:";
/// Likewise where it passes on no kernel.
const NOT: &str = "// not-held:";

/// What a script's head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It passes on these, by name: `uml-6.1`, `linux-6.18`.
    Passes(BTreeSet<String>),
    /// It passes on none, for this reason.
    Nowhere(String),
    /// Nothing.
    Missing,
}

impl Claim {
    /// The claim of a script's text.
    pub fn of(text: &str) -> Claim {
        if let Some(reason) = text.lines().find_map(|line| line.strip_prefix(NOT)) {
            return match reason.trim() {
                "" => Claim::Missing,
                reason => Claim::Nowhere(reason.to_owned()),
            };
        }
        let Some(said) = text.lines().find_map(|line| line.strip_prefix(LINE)) else {
            return Claim::Missing;
        };
        let names = said.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        if names.is_empty() { Claim::Missing } else { Claim::Passes(names) }
    }

    /// The text with this claim in its head: in place of the old one, else below the first line if that is a comment.
    pub fn write(&self, text: &str) -> String {
        let line = match self {
            Claim::Missing => return text.to_owned(),
            Claim::Nowhere(reason) => format!("{NOT} {reason}"),
            Claim::Passes(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("{LINE} {}", names.join(", "))
            }
        };
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let line = format!("{line}\n");
        let is_claim = |old: &&mut &str| old.starts_with(LINE) || old.starts_with(NOT);
        if let Some(old) = lines.iter_mut().find(is_claim) {
            *old = &line;
        } else {
            let comment = lines.first().is_some_and(|first| first.starts_with("//"));
            lines.insert(usize::from(comment), &line);
        }
        lines.concat()
    }
}

/// What the kernels that were asked said to one script, by their names.
pub type Answers = BTreeMap<String, CaseResult>;

/// How a claim stands to the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The head names a kernel on which the script does not pass.
    Untrue {
        /// The kernel.
        kernel: String,
        /// What it says.
        said: String,
    },
    /// The head says that it passes nowhere, and it does.
    PassesAfterAll {
        /// Where.
        kernel: String,
    },
    /// The head says nothing.
    Unclaimed,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Finding::Untrue { kernel, said } => {
                write!(f, "its head names {kernel}, and there: {said}")
            }
            Finding::PassesAfterAll { kernel } => {
                write!(f, "its head says that no kernel can run it, and {kernel} passes it")
            }
            Finding::Unclaimed => f.write_str(
                "its head does not say on which kernel it passes (`held-against: NAMES`), or why on none (`not-held: REASON`)",
            ),
        }
    }
}

/// What is wrong with `claim` after these answers. A kernel that was not asked, or where the script was skipped, says
/// nothing.
pub fn findings(claim: &Claim, answers: &Answers) -> Vec<Finding> {
    let passes = |case: &CaseResult| case.status == Status::Pass;
    match claim {
        Claim::Missing => vec![Finding::Unclaimed],
        Claim::Nowhere(_) => answers
            .iter()
            .filter(|(_, case)| passes(case))
            .map(|(kernel, _)| Finding::PassesAfterAll { kernel: kernel.clone() })
            .collect(),
        Claim::Passes(names) => answers
            .iter()
            .filter(|(name, case)| {
                names.contains(*name) && !passes(case) && case.status != Status::Skip
            })
            .map(|(kernel, case)| Finding::Untrue {
                kernel: kernel.clone(),
                said: match &case.reason {
                    Some(reason) => format!("{}, {reason}", case.status),
                    None => case.status.to_string(),
                },
            })
            .collect(),
    }
}

/// The claim that these answers make true. Kernels that were not asked keep their place in it.
#[must_use]
pub fn corrected(claim: &Claim, answers: &Answers) -> Claim {
    let mut names = match claim {
        Claim::Passes(names) => names.clone(),
        Claim::Nowhere(_) | Claim::Missing => BTreeSet::new(),
    };
    for (name, case) in answers {
        match case.status {
            Status::Pass => _ = names.insert(name.clone()),
            Status::Skip => {}
            _ => _ = names.remove(name),
        }
    }
    match (names.is_empty(), claim) {
        (false, _) => Claim::Passes(names),
        (true, Claim::Nowhere(reason)) => Claim::Nowhere(reason.clone()),
        (true, _) => Claim::Missing,
    }
}

/// The list of what ran where: a line a script, a column a kernel, tab-separated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    rows: BTreeMap<String, BTreeMap<String, String>>,
}

/// The column's title.
const SCRIPT: &str = "script";
/// A cell of a kernel that was not asked.
const NOT_RUN: &str = "-";

impl List {
    /// Reads a list that [`List::text`] wrote. What has another form is left out: the list is written by the tool alone.
    pub fn parse(text: &str) -> List {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut list = List::default();
        let Some(names) = lines.next().and_then(|head| head.strip_prefix(SCRIPT)) else {
            return list;
        };
        let names: Vec<&str> = names.split('\t').skip(1).collect();
        for line in lines {
            let mut cells = line.split('\t');
            let Some(id) = cells.next() else { continue };
            let row = list.rows.entry(id.to_owned()).or_default();
            for (name, cell) in names.iter().zip(cells).filter(|(_, cell)| *cell != NOT_RUN) {
                row.insert((*name).to_owned(), cell.to_owned());
            }
        }
        list
    }

    /// Takes the answers for a script over.
    pub fn set(&mut self, id: &str, answers: &Answers) {
        let row = self.rows.entry(id.to_owned()).or_default();
        for (name, case) in answers.iter().filter(|(_, case)| case.status != Status::Skip) {
            row.insert(name.clone(), case.status.to_string());
        }
    }

    /// Leaves out the scripts that are gone.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.rows.retain(|id, _| is_there(id));
    }

    /// The list as text, below the lines of `head`.
    pub fn text(&self, head: &[String]) -> String {
        let names: BTreeSet<&String> = self.rows.values().flat_map(BTreeMap::keys).collect();
        let mut out = String::new();
        for line in head {
            let _ = writeln!(out, "# {line}");
        }
        out.push_str(SCRIPT);
        for name in &names {
            let _ = write!(out, "\t{name}");
        }
        out.push('\n');
        for (id, row) in &self.rows {
            out.push_str(id);
            for name in &names {
                let _ = write!(out, "\t{}", row.get(*name).map_or(NOT_RUN, String::as_str));
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(cells: &[(&str, Status)]) -> Answers {
        let case = |status| CaseResult { status, ..CaseResult::new("a.pkt", "uml") };
        cells.iter().map(|(name, status)| ((*name).to_owned(), case(*status))).collect()
    }

    fn passes(names: &[&str]) -> Claim {
        Claim::Passes(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_head_is_read_and_written() {
        let text = "// What it holds\n// held-against: uml-6.1, linux-6.18\n0 socket(...) = 3\n";
        assert_eq!(Claim::of(text), passes(&["linux-6.18", "uml-6.1"]));
        let text = passes(&["uml-7.2"]).write(text);
        assert_eq!(text, "// What it holds\n// held-against: uml-7.2\n0 socket(...) = 3\n");
        let nowhere = Claim::Nowhere("the MAC's rings (and no others)".into());
        let text = nowhere.write("// What it holds\n0 socket(...) = 3\n");
        assert_eq!(Claim::of(&text), nowhere);
        for empty in ["", "0 socket(...) = 3", "// held-against:", "// not-held: "] {
            assert_eq!(Claim::of(empty), Claim::Missing, "{empty}");
        }
    }

    #[test]
    fn a_claim_has_to_be_true_of_the_kernels_that_were_asked() {
        use Status::{Fail, Pass, Skip, Unsupported};
        let claim = passes(&["linux-6.18", "uml-6.1"]);
        assert_eq!(findings(&claim, &answers(&[("uml-6.1", Pass), ("uml-7.2", Fail)])), []);
        assert_eq!(findings(&claim, &answers(&[("linux-6.18", Skip)])), []);
        let failed = answers(&[("uml-6.1", Fail), ("uml-7.2", Pass)]);
        assert_eq!(
            findings(&claim, &failed),
            [Finding::Untrue { kernel: "uml-6.1".into(), said: "fail".into() }]
        );
        assert_eq!(corrected(&claim, &failed), passes(&["linux-6.18", "uml-7.2"]));
        assert_eq!(findings(&Claim::Missing, &failed), [Finding::Unclaimed]);
        let nowhere = Claim::Nowhere("rings".into());
        assert_eq!(findings(&nowhere, &answers(&[("uml-6.1", Unsupported)])), []);
        assert_eq!(findings(&nowhere, &failed).len(), 1);
        assert_eq!(corrected(&nowhere, &answers(&[("uml-6.1", Unsupported)])), nowhere);
    }

    #[test]
    fn a_list_keeps_what_was_not_asked_again() {
        let mut list = List::default();
        list.set("a.pkt", &answers(&[("uml-6.1", Status::Pass), ("linux-6.18", Status::Skip)]));
        list.set("b.pkt", &answers(&[("uml-7.2", Status::Fail)]));
        let text = list.text(&["What ran where.".to_owned()]);
        assert_eq!(
            text,
            "# What ran where.\nscript\tuml-6.1\tuml-7.2\na.pkt\tpass\t-\nb.pkt\t-\tfail\n"
        );
        let mut again = List::parse(&text);
        assert_eq!(again, list);
        again.set("b.pkt", &answers(&[("uml-7.2", Status::Pass)]));
        again.keep(|id| id == "b.pkt");
        assert_eq!(again.text(&[]), "script\tuml-7.2\nb.pkt\tpass\n");
    }
}
