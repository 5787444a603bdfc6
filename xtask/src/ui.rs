//! What a run shows while it runs: a progress bar on a terminal, plain lines otherwise.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use conformance::report::terminal::{self, Style};
use conformance::results::{CaseResult, Document, Status};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Output;

/// The screen of one run.
pub(crate) struct Ui {
    quiet: bool,
    verbose: bool,
    /// Only a document goes to standard output.
    document_only: bool,
    bar: ProgressBar,
    /// For standard output.
    style: Style,
}

impl Ui {
    /// A screen for a run whose length is told by [`Ui::expect`].
    pub(crate) fn new(output: &Output) -> Ui {
        let terminal = io::stdout().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Ui {
            quiet: output.quiet,
            verbose: output.verbose || !terminal,
            document_only: false,
            bar: ProgressBar::hidden(),
            style: Style { color },
        }
    }

    /// The same with nothing on standard output but what [`Ui::document`] prints.
    pub(crate) fn without_lines(mut self, document_only: bool) -> Ui {
        self.document_only = document_only;
        self
    }

    /// Prints a whole document.
    pub(crate) fn document(&self, text: &str) {
        self.bar.suspend(|| {
            // A reader that went away, as `head` does, ends the output and not the run.
            let _ = io::stdout().lock().write_all(text.as_bytes());
        });
    }

    /// The same with a line for every case, on a terminal too.
    pub(crate) fn with_every_line(mut self) -> Ui {
        self.verbose = true;
        self
    }

    /// Starts the bar: `total` steps of `what`.
    pub(crate) fn expect(&mut self, what: &'static str, total: u64) {
        self.finish();
        if self.quiet || !io::stderr().is_terminal() {
            return;
        }
        let style = ProgressStyle::with_template("{msg:<12} [{bar:32}] {pos}/{len} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        self.bar = ProgressBar::new(total).with_style(style).with_message(what);
        self.bar.enable_steady_tick(Duration::from_millis(100));
    }

    /// One more step is done.
    pub(crate) fn tick(&self) {
        self.bar.inc(1);
    }

    /// The bar shows `position` and `message`.
    pub(crate) fn show(&self, position: u64, message: String) {
        self.bar.set_position(position);
        self.bar.set_message(message);
    }

    /// The bar goes away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Whether a bar is being drawn.
    pub(crate) fn has_bar(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// A line that `--quiet` keeps away.
    pub(crate) fn line(&self, text: &str) {
        if !self.quiet {
            self.print(text);
        }
    }

    /// A line that is always shown: a finding.
    pub(crate) fn print(&self, text: &str) {
        if !self.document_only {
            self.document(&format!("{}\n", text.trim_end_matches('\n')));
        }
    }

    /// A case is done: a finding is always shown whole, anything else as one line where lines are
    /// wanted.
    pub(crate) fn case(&self, case: &CaseResult, replay: &str) {
        // Its report is one of those at the end of the run.
        if case.not_run {
            self.print(&terminal::case_line(case, self.style));
        } else if case.status.is_finding() || (case.evidence.is_some() && self.verbose) {
            self.print(&terminal::finding(case, replay, self.style));
        } else if self.verbose
            || case.reason.is_some()
            || !matches!(case.status, Status::Pass | Status::Skip)
        {
            self.line(&terminal::case_line(case, self.style));
        }
    }

    /// The table and the last line of a run.
    pub(crate) fn summary(&self, document: &Document) {
        self.finish();
        let table = terminal::table(&document.cases);
        if !table.is_empty() {
            self.line(&format!("\n{table}"));
        }
        self.line(&terminal::summary_line(document, self.style));
    }
}

/// Prints why a verb could not run, on standard error.
pub(crate) fn print_error(report: &miette::Report) {
    let _ = writeln!(io::stderr().lock(), "{report:?}");
}
