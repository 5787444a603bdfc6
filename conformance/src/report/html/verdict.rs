//! The verdict of a capture: how it ended, the first difference, what led there.

use super::markup::Markup;
use super::seconds;
use crate::results::story::Story;
use crate::results::{CaseResult, Divergence, Status};

/// A status as the differ calls it.
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "reproduced",
        Status::Fail => "diverged",
        other => other.word(),
    }
}

/// The verdict in a word.
pub(super) fn badge(page: &mut Markup, case: &CaseResult) {
    let class = if case.status.is_finding() { "badge bad" } else { "badge good" };
    page.element("span", &[("class", class)], word(case.status));
}

/// The verdict in full. `id` is the section's.
pub(super) fn draw(page: &mut Markup, id: &str, case: &CaseResult) {
    if let Some(story) = &case.story {
        page.element("p", &[("class", "about")], &story.about);
        if !story.network.is_empty() {
            page.element("p", &[("class", "network")], &format!("Network: {}", story.network));
        }
    }
    if let Some(reason) = &case.reason {
        page.element("p", &[], reason);
    }
    let Some(story) = &case.story else {
        if let Some(detail) = &case.detail {
            page.element("pre", &[], detail);
        }
        return;
    };
    for note in &story.notes {
        page.element("pre", &[("class", "note")], note.trim_end());
    }
    if !story.divergences.is_empty() {
        table(page, id, story);
    }
    list(page, "What led there", &story.trail, case.divergence.is_some());
    list(page, "Connections then", &story.state, case.divergence.is_some());
}

/// All differences, each with a link to its frame.
fn table(page: &mut Markup, id: &str, story: &Story) {
    page.open("table", &[("class", "differences")]);
    page.open("thead", &[]);
    page.open("tr", &[]);
    for name in ["frame", "time", "field", "captured", "reference"] {
        page.element("th", &[], name);
    }
    page.close("tr");
    page.close("thead");
    page.open("tbody", &[]);
    for d in &story.divergences {
        row(page, id, story, d);
    }
    page.close("tbody");
    page.close("table");
}

fn row(page: &mut Markup, id: &str, story: &Story, d: &Divergence) {
    page.open("tr", &[]);
    page.open("td", &[]);
    let frame = story.frames.iter().find(|f| f.outbound && f.number == d.frame);
    match frame {
        Some(f) => {
            page.element("a", &[("href", &format!("#{id}-f{}", f.number))], &f.number.to_string());
        }
        None => page.text(&d.frame.to_string()),
    }
    page.close("td");
    page.element("td", &[], &frame.map_or_else(String::new, |f| seconds(f.at_us)));
    page.element("td", &[], &field(d));
    page.element("td", &[("class", "value")], &d.expected);
    page.element("td", &[("class", "value bad")], &d.got);
    page.close("tr");
}

/// The field, with its layer where its name does not begin with it.
fn field(d: &Divergence) -> String {
    if d.field.starts_with(&format!("{}.", d.layer)) {
        d.field.clone()
    } else {
        format!("{}.{}", d.layer, d.field)
    }
}

fn list(page: &mut Markup, title: &str, lines: &[String], wanted: bool) {
    if !wanted || lines.is_empty() {
        return;
    }
    page.element("h3", &[], title);
    page.element("pre", &[], &lines.join("\n"));
}
