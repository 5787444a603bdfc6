//! `cargo xtask fmt`: scripts in the common layout.

use conformance::script::{self, Defines, Source};

use super::write_json;
use crate::Outcome;
use crate::cli::FmtArgs;
use crate::error::{CouldNotRun, read_text};
use crate::places::Places;
use crate::selection;
use crate::ui::Ui;

/// What was done, for the JSON file.
#[derive(serde::Serialize)]
struct Report {
    schema: u32,
    command: &'static str,
    /// Whether nothing was written.
    check: bool,
    /// Scripts that were read.
    scripts: usize,
    /// Those that had another layout.
    changed: Vec<String>,
}

pub(crate) fn run(args: &FmtArgs) -> miette::Result<Outcome> {
    let places = Places::find()?;
    let ui = Ui::new(&args.output);
    let defines = defines(&args.defines)?;
    let scripts = selection::scripts(&places, &args.select)?;
    let mut changed = Vec::new();
    for script in &scripts {
        let text = read_text(&script.path)?;
        let name = script.path.display().to_string();
        let formatted = script::format(&Source::new(&name, &text), &defines)?;
        if formatted == text {
            continue;
        }
        if !args.check {
            std::fs::write(&script.path, formatted)
                .map_err(CouldNotRun::io(&script.path, "cannot be written"))?;
        }
        let done = if args.check { "has another layout" } else { "formatted" };
        ui.print(&format!("{}: {done}", script.id));
        changed.push(script.id.clone());
    }
    let found = args.check && !changed.is_empty();
    ui.line(&format!("{} scripts, {} with another layout", scripts.len(), changed.len()));
    let report = Report {
        schema: conformance::results::SCHEMA,
        command: "fmt",
        check: args.check,
        scripts: scripts.len(),
        changed,
    };
    write_json(&args.output, &report)?;
    Ok(Outcome::found(found))
}

fn defines(words: &[String]) -> Result<Defines, CouldNotRun> {
    let pair = |word: &String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    words
        .iter()
        .map(|word| {
            pair(word).ok_or_else(|| CouldNotRun::Usage {
                what: format!("`{word}` is no define"),
                help: Some("a define is NAME=VALUE, as `-D CODE=host_unreachable`".to_owned()),
            })
        })
        .collect()
}
