//! A public suite on several real kernels: our runner's answers beside those of upstream's own tool, and an explanation of
//! every difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;

use crate::results::{Document, Status, Variant};

/// A case: the script's path below the suite's folder, and the IP version.
pub type Case = (String, Variant);

/// What upstream's tool says of its cases, by kernel (`6.1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    kernels: Vec<String>,
    rows: BTreeMap<Case, BTreeMap<String, Said>>,
}

/// What upstream's tool says of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It passes.
    Pass,
    /// It fails.
    Fail,
    /// The tool stops before the script says anything of the kernel.
    Nothing,
}

/// The prefix of columns with a kernel's answers.
const KERNEL: &str = "linux_";
/// The rows that are of the suite as its own runner runs it.
const SUITE: &str = "google";
/// The word for [`Said::Nothing`].
const TOOL: &str = "tool";

impl Upstream {
    /// Reads a tab-separated table with the columns suite, script, variant and `linux_VERSION`. Script paths lose `below`.
    ///
    /// # Errors
    /// What is wrong, with the line's number.
    pub fn parse(text: &str, below: &str) -> Result<Upstream, String> {
        let mut lines =
            text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (_, head) = lines.next().ok_or("it is empty")?;
        let names: Vec<&str> = head.split('\t').collect();
        let column = |wanted: &str| {
            let at = names.iter().position(|name| *name == wanted);
            at.ok_or_else(|| format!("there is no column `{wanted}`"))
        };
        let (suite, script, variant) = (column("suite")?, column("script")?, column("variant")?);
        let kernels: Vec<(usize, &str)> = names
            .iter()
            .enumerate()
            .filter_map(|(at, name)| Some((at, name.strip_prefix(KERNEL)?)))
            .collect();
        let mut upstream = Upstream {
            kernels: kernels.iter().map(|(_, name)| (*name).to_owned()).collect(),
            rows: BTreeMap::new(),
        };
        for (n, line) in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            let cell = |at: usize| {
                cells.get(at).copied().ok_or_else(|| format!("line {} is too short", n + 1))
            };
            if cell(suite)? != SUITE {
                continue;
            }
            let version = [Variant::Ipv4, Variant::Ipv4MappedIpv6, Variant::Ipv6];
            let word = cell(variant)?;
            let version = version.into_iter().find(|v| v.word() == word);
            let version = version.ok_or_else(|| format!("line {}: `{word}`", n + 1))?;
            let path = cell(script)?;
            let id = path.strip_prefix(below).unwrap_or(path).to_owned();
            let row = upstream.rows.entry((id, version)).or_default();
            for (at, name) in &kernels {
                let said = match cell(*at)? {
                    "pass" => Said::Pass,
                    "fail" => Said::Fail,
                    TOOL => Said::Nothing,
                    other => return Err(format!("line {}: `{other}`", n + 1)),
                };
                row.insert((*name).to_owned(), said);
            }
        }
        Ok(upstream)
    }
}

/// Explanations, one for each disagreement.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanations {
    /// The entries.
    #[serde(default)]
    pub disagreement: Vec<Explanation>,
}

/// Why the two disagree.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// The script.
    pub script: String,
    /// In this IP version; absent: in all of them.
    #[serde(default)]
    pub variant: Option<Variant>,
    /// On this kernel; absent: on all of them.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Why.
    pub reason: String,
}

impl Explanation {
    fn covers(&self, case: &Case, kernel: &str) -> bool {
        self.script == case.0
            && self.variant.is_none_or(|variant| variant == case.1)
            && self.kernel.as_ref().is_none_or(|k| k == kernel)
    }
}

/// What was seen, and what upstream's tool says.
#[derive(Clone, Debug, Default)]
pub struct Table {
    upstream: Upstream,
    ours: BTreeMap<String, BTreeMap<Case, Status>>,
    releases: BTreeMap<String, String>,
    explanations: Explanations,
}

/// A case on which the two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The case.
    pub case: Case,
    /// The kernel, as `6.1`.
    pub kernel: String,
    /// Ours.
    pub ours: Status,
    /// Theirs.
    pub theirs: Said,
    /// Why; absent where nobody has explained it.
    pub reason: Option<String>,
}

/// How the answers on a kernel stand to upstream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Our passes, failures, and cases that were not run to their end.
    pub ours: [usize; 3],
    /// Cases of which upstream's tool says something and which we ran.
    pub comparable: usize,
    /// Those on which both agree.
    pub agree: usize,
    /// Those that upstream's tool passes, and of them those that we pass.
    pub passes: (usize, usize),
    /// Cases of which upstream's tool says nothing, and of them those that we pass.
    pub only_ours: (usize, usize),
}

impl Table {
    /// A table with upstream's answers and nobody else's.
    pub fn new(upstream: Upstream, explanations: Explanations) -> Table {
        Table { upstream, explanations, ..Table::default() }
    }

    /// Takes the cases of a run over. Its kernel's release names the column.
    pub fn add(&mut self, document: &Document) {
        let release = &document.environment.kernel;
        let version: Vec<&str> = release.split('.').take(2).collect();
        let version = version.join(".");
        self.releases.insert(version.clone(), release.clone());
        let column = self.ours.entry(version).or_default();
        // A script that cannot be run in an IP version, because it has no meaning there, is in no document: it fails.
        for case in self.upstream.rows.keys() {
            column.insert(case.clone(), Status::Fail);
        }
        for case in &document.cases {
            column.insert((case.id.clone(), case.variant), case.status);
        }
    }

    fn kernels(&self) -> Vec<&String> {
        let known = self.upstream.kernels.iter();
        let others = self.ours.keys().filter(|k| !self.upstream.kernels.contains(k));
        known.chain(others).filter(|k| self.ours.contains_key(*k)).collect()
    }

    fn said(&self, case: &Case, kernel: &str) -> Said {
        let row = self.upstream.rows.get(case);
        row.and_then(|row| row.get(kernel)).copied().unwrap_or(Said::Nothing)
    }

    /// The cases on which the two differ, in order.
    pub fn disagreements(&self) -> Vec<Disagreement> {
        let mut found = Vec::new();
        for kernel in self.kernels() {
            for (case, &ours) in &self.ours[kernel] {
                let theirs = self.said(case, kernel);
                if theirs == Said::Nothing || passes(ours) == (theirs == Said::Pass) {
                    continue;
                }
                let explained =
                    self.explanations.disagreement.iter().find(|e| e.covers(case, kernel));
                found.push(Disagreement {
                    case: case.clone(),
                    kernel: kernel.clone(),
                    ours,
                    theirs,
                    reason: explained.map(|e| e.reason.clone()),
                });
            }
        }
        found
    }

    /// Explanations that no disagreement needs.
    pub fn unused(&self) -> Vec<&Explanation> {
        let found = self.disagreements();
        let needed = |e: &&Explanation| !found.iter().any(|d| e.covers(&d.case, &d.kernel));
        self.explanations.disagreement.iter().filter(needed).collect()
    }

    /// The score on a kernel.
    pub fn score(&self, kernel: &str) -> Score {
        let mut score = Score::default();
        for (case, &status) in self.ours.get(kernel).into_iter().flatten() {
            let ran = match status {
                Status::Pass | Status::Xpass => 0,
                Status::Fail | Status::Xfail => 1,
                Status::Skip | Status::Unsupported => 2,
            };
            score.ours[ran] += 1;
            let pass = usize::from(ran == 0);
            match self.said(case, kernel) {
                Said::Nothing => {
                    score.only_ours.0 += 1;
                    score.only_ours.1 += pass;
                    continue;
                }
                Said::Pass => {
                    score.passes.0 += 1;
                    score.passes.1 += pass;
                    score.agree += pass;
                }
                Said::Fail => score.agree += 1 - pass,
            }
            score.comparable += 1;
        }
        score
    }

    /// The whole as a page of documentation.
    pub fn page(&self, title: &str, intro: &[String]) -> String {
        let mut out = format!("# {title}\n\n");
        for line in intro {
            let _ = writeln!(out, "{line}");
        }
        self.scores(&mut out);
        self.list_disagreements(&mut out);
        self.rows(&mut out);
        out
    }

    fn scores(&self, out: &mut String) {
        out.push_str(
            "\n## Scores\n\n\
             | kernel | ours: pass | fail | not run | comparable | agree | upstream passes | of these ours | only ours | of these pass |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for kernel in self.kernels() {
            let score = self.score(kernel);
            let [pass, fail, not_run] = score.ours;
            let _ = writeln!(
                out,
                "| {} | {pass} | {fail} | {not_run} | {} | {} ({}) | {} | {} ({}) | {} | {} |",
                self.releases.get(kernel).unwrap_or(kernel),
                score.comparable,
                score.agree,
                percent(score.agree, score.comparable),
                score.passes.0,
                score.passes.1,
                percent(score.passes.1, score.passes.0),
                score.only_ours.0,
                score.only_ours.1,
            );
        }
        out.push_str(
            "\nComparable are the cases of which upstream's tool says pass or fail; only ours are those at which it stops by itself.\n",
        );
    }

    fn list_disagreements(&self, out: &mut String) {
        out.push_str("\n## Disagreements\n\n| script | variant | kernel | ours | upstream | why |\n| --- | --- | --- | --- | --- | --- |\n");
        for d in self.disagreements() {
            let theirs = if d.theirs == Said::Pass { "pass" } else { "fail" };
            let why = d.reason.as_deref().unwrap_or("**not explained**");
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {theirs} | {why} |",
                d.case.0, d.case.1, d.kernel, d.ours
            );
        }
    }

    fn rows(&self, out: &mut String) {
        let kernels = self.kernels();
        out.push_str("\n## Every case\n\nOur runner's answer; in brackets that of upstream's tool where it is another.\n\n| script | variant |");
        for kernel in &kernels {
            let _ = write!(out, " {kernel} |");
        }
        let _ = writeln!(out, "\n| --- | --- |{}", " --- |".repeat(kernels.len()));
        let cases: BTreeSet<&Case> = self.ours.values().flat_map(BTreeMap::keys).collect();
        for case in cases {
            let _ = write!(out, "| {} | {} |", case.0.trim_end_matches(".pkt"), case.1);
            for kernel in &kernels {
                let ours = self.ours[*kernel].get(case);
                let word = ours.map_or("-", |status| status.word());
                let other = match self.said(case, kernel) {
                    Said::Nothing => " (tool)",
                    Said::Pass if ours.is_some_and(|&s| !passes(s)) => " (pass)",
                    Said::Fail if ours.is_some_and(|&s| passes(s)) => " (fail)",
                    _ => "",
                };
                let _ = write!(out, " {word}{other} |");
            }
            out.push('\n');
        }
    }
}

fn passes(status: Status) -> bool {
    matches!(status, Status::Pass | Status::Xpass)
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", 100.0 * part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{CaseResult, Environment};

    const UPSTREAM: &str = "# said of them\n\
        suite\tscript\tvariant\tlinux_6.1\tlinux_7.2\n\
        google\tgtests/net/tcp/a.pkt\tipv4\ttool\tpass\n\
        google\tgtests/net/tcp/b.pkt\tipv4\tpass\tfail\n\
        other\tgtests/net/tcp/b.pkt\tipv4\tfail\tfail\n";

    fn document(kernel: &str, cells: &[(&str, Status)]) -> Document {
        let case = |(id, status): &(&str, Status)| CaseResult {
            variant: Variant::Ipv4,
            status: *status,
            ..CaseResult::new(*id, "uml")
        };
        let environment = Environment { kernel: kernel.into(), ..Environment::default() };
        Document::new("conformance", environment, cells.iter().map(case).collect(), 0)
    }

    fn table(explanations: &str) -> Table {
        let upstream = Upstream::parse(UPSTREAM, "gtests/net/tcp/").unwrap();
        let mut table = Table::new(upstream, toml::from_str(explanations).unwrap());
        table.add(&document("6.1.192", &[("a.pkt", Status::Pass), ("b.pkt", Status::Fail)]));
        table.add(&document("7.2.13", &[("a.pkt", Status::Pass), ("b.pkt", Status::Fail)]));
        table
    }

    #[test]
    fn scores_count_what_can_be_compared() {
        let table = table("");
        let expected =
            Score { ours: [1, 1, 0], comparable: 1, agree: 0, passes: (1, 0), only_ours: (1, 1) };
        assert_eq!(table.score("6.1"), expected);
        let score = table.score("7.2");
        assert_eq!((score.comparable, score.agree, score.passes), (2, 2, (1, 1)));
        let page = table.page("Kernels", &[]);
        assert!(page.contains("| a | ipv4 | pass (tool) | pass |"), "{page}");
        assert!(page.contains("| b | ipv4 | fail (pass) | fail |"), "{page}");
        assert!(page.contains("**not explained**"), "{page}");
    }

    #[test]
    fn every_disagreement_wants_one_explanation() {
        let explained =
            "[[disagreement]]\nscript = \"b.pkt\"\nkernel = \"6.1\"\nreason = \"timing\"\n";
        let found = table(explained).disagreements();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].reason.as_deref(), Some("timing"));
        assert!(table(explained).unused().is_empty());
        let stale = "[[disagreement]]\nscript = \"b.pkt\"\nkernel = \"7.2\"\nreason = \"no\"\n";
        assert_eq!(table(stale).unused().len(), 1);
    }

    #[test]
    fn a_table_that_is_not_one_is_refused_with_its_line() {
        assert!(Upstream::parse("", "").is_err());
        assert_eq!(
            Upstream::parse("suite\tscript\n", ""),
            Err("there is no column `variant`".into())
        );
        let bad = UPSTREAM.replace("tool\tpass", "tool\tperhaps");
        assert_eq!(Upstream::parse(&bad, ""), Err("line 3: `perhaps`".into()));
    }
}
