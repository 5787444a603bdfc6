//! The page of a comparison: one file that opens from disk, with an index of the captures, and for
//! each its verdict, the ladder of both sides, sequence numbers over time, the congestion window
//! and the timers of the reference, and every frame.
//!
//! Everything that a capture says is text to this module: it reaches the page through `Markup`,
//! which escapes it.

mod frames;
mod ladder;
mod markup;
mod plot;
mod sequence;
mod state;
#[cfg(test)]
mod tests;
mod verdict;

use std::io;
use std::path::Path;

use crate::results::{CaseResult, Document, Status};
use markup::Markup;

/// Writes the page to `path`.
///
/// # Errors
/// The file could not be written.
pub fn write(document: &Document, path: &Path) -> io::Result<()> {
    std::fs::write(path, to_string(document))
}

/// The page's text.
pub fn to_string(document: &Document) -> String {
    let mut page = Markup::default();
    page.raw("<!DOCTYPE html>\n");
    page.open("html", &[("lang", "en")]);
    head(&mut page, document);
    page.open("body", &[]);
    index(&mut page, document);
    for (n, case) in document.cases.iter().enumerate() {
        section(&mut page, n, case);
    }
    page.open("script", &[]);
    page.raw(include_str!("page.js"));
    page.close("script");
    page.close("body");
    page.close("html");
    page.finish()
}

fn head(page: &mut Markup, document: &Document) {
    page.open("head", &[]);
    page.void("meta", &[("charset", "utf-8")]);
    page.void("meta", &[("name", "viewport"), ("content", "width=device-width")]);
    page.element("title", &[], &format!("netplumb {}: {}", document.command, counts(document)));
    page.open("style", &[]);
    page.raw(include_str!("page.css"));
    page.close("style");
    page.close("head");
}

fn counts(document: &Document) -> String {
    let s = document.summary;
    let count = |status: Status| match s.count(status) {
        0 => None,
        n => Some(format!("{n} {}", verdict::word(status))),
    };
    let all: Vec<String> = Status::ALL.into_iter().filter_map(count).collect();
    if all.is_empty() { "no captures".to_owned() } else { all.join(", ") }
}

/// The name by which links find a case.
fn anchor(n: usize) -> String {
    format!("c{n}")
}

/// The table of the captures.
fn index(page: &mut Markup, document: &Document) {
    page.open("header", &[]);
    page.element("h1", &[], "Captures against the reference");
    let environment = &document.environment;
    page.element(
        "p",
        &[],
        &format!(
            "{} \u{b7} kernel {} \u{b7} netplumb {}",
            counts(document),
            environment.kernel,
            environment.version
        ),
    );
    page.void(
        "input",
        &[("id", "filter"), ("type", "search"), ("placeholder", "filter by name or verdict")],
    );
    page.open("table", &[("class", "index")]);
    page.open("tbody", &[]);
    for (n, case) in document.cases.iter().enumerate() {
        page.open("tr", &[]);
        page.open("td", &[]);
        verdict::badge(page, case);
        page.close("td");
        page.open("td", &[]);
        page.element("a", &[("href", &format!("#{}", anchor(n)))], &case.id);
        page.close("td");
        page.element("td", &[], case.story.as_ref().map_or("", |s| &s.about));
        let first = case.divergence.as_ref().map_or_else(String::new, ToString::to_string);
        page.element("td", &[("class", "first")], &first);
        page.close("tr");
    }
    page.close("tbody");
    page.close("table");
    page.close("header");
}

fn section(page: &mut Markup, n: usize, case: &CaseResult) {
    let id = anchor(n);
    page.open("section", &[("id", &id)]);
    page.open("h2", &[]);
    verdict::badge(page, case);
    page.text(&case.id);
    page.close("h2");
    verdict::draw(page, &id, case);
    if let Some(story) = &case.story {
        part(page, "Ladder", true, |page| ladder::draw(page, &id, story));
        for flow in sequence::flows(story) {
            part(page, &flow.title(), true, |page| flow.draw(page));
        }
        for (socket, samples) in state::sockets(story) {
            let title = format!("Socket {socket}: congestion window and timers");
            part(page, &title, false, |page| state::draw(page, &samples));
        }
        part(page, "Frames", false, |page| frames::draw(page, &id, story));
    }
    page.close("section");
}

/// A part of a section that can be folded.
fn part(page: &mut Markup, title: &str, open: bool, draw: impl FnOnce(&mut Markup)) {
    let attributes: &[_] =
        if open { &[("class", "part"), ("open", "")] } else { &[("class", "part")] };
    page.open("details", attributes);
    page.element("summary", &[], title);
    draw(page);
    page.close("details");
}

/// Microseconds as seconds, as Wireshark shows them.
fn seconds(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", us.unsigned_abs() / 1_000_000, us.unsigned_abs() % 1_000_000)
}
