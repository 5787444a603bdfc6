//! `cargo xtask oracle table`: a public suite on several kernels, as a page of documentation.

use conformance::oracle::table::{Explanations, Table, Upstream};
use conformance::results::Document;
use miette::miette;

use crate::Outcome;
use crate::cli::TableArgs;
use crate::error::{CouldNotRun, read_text};
use crate::ui::Ui;

/// What the paths of upstream's table start with.
const BELOW: &str = "gtests/net/tcp/";

pub(crate) fn run(args: &TableArgs) -> miette::Result<Outcome> {
    let ui = Ui::new(&args.output);
    let upstream = Upstream::parse(&read_text(&args.upstream)?, BELOW)
        .map_err(|what| miette!("{}: {what}", args.upstream.display()))?;
    let explanations: Explanations = match &args.explanations {
        Some(path) => toml::from_str(&read_text(path)?)
            .map_err(|error| miette!("{}: {error}", path.display()))?,
        None => Explanations::default(),
    };
    let mut table = Table::new(upstream, explanations);
    for path in &args.results {
        let document: Document = serde_json::from_str(&read_text(path)?)
            .map_err(|error| miette!("{}: {error}", path.display()))?;
        table.add(&document);
    }
    let intro: Vec<String> = match &args.intro {
        Some(path) => read_text(path)?.lines().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let page = table.page(&args.title, &intro);
    match &args.out {
        Some(path) => {
            std::fs::write(path, &page).map_err(CouldNotRun::io(path, "cannot be written"))?;
        }
        None => ui.document(&page),
    }
    let mut found = false;
    for d in table.disagreements().iter().filter(|d| d.reason.is_none()) {
        found = true;
        let ((script, variant), ours) = (&d.case, d.ours);
        ui.print(&format!("{script} ({variant}) on {}: {ours} here, not explained", d.kernel));
    }
    for explanation in table.unused() {
        found = true;
        ui.print(&format!("{}: an explanation without a disagreement", explanation.script));
    }
    Ok(Outcome::found(found))
}
