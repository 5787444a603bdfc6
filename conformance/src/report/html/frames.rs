//! Every frame, field by field, with the reference's values where they differ.

use super::ladder;
use super::markup::Markup;
use super::seconds;
use crate::frames::{Field, Frame};
use crate::results::story::{Replayed, Story, StoryFrame};

/// Digits of a payload that are shown.
const PAYLOAD: usize = 128;

/// Draws them. `id` is the section's.
pub(super) fn draw(page: &mut Markup, id: &str, story: &Story) {
    for f in &story.frames {
        frame(page, id, f);
    }
}

fn frame(page: &mut Markup, id: &str, f: &StoryFrame) {
    let class = if ladder::mark(f) == Some(false) { "frame bad" } else { "frame" };
    page.open("details", &[("class", class), ("id", &format!("{id}-f{}", f.number))]);
    let arrow = if f.outbound { '>' } else { '<' };
    let summary = format!("{:>5} {} {arrow} {}", f.number, seconds(f.at_us), f.frame.summary());
    page.element("summary", &[], &summary);
    page.open("table", &[("class", "fields")]);
    page.open("tbody", &[]);
    if f.outbound {
        let at = f.reference.as_ref().map_or_else(|| "nothing".to_owned(), |r| seconds(r.at_us));
        row(page, "time", &seconds(f.at_us), Some(&at), false);
    }
    for (n, field) in f.frame.fields.iter().enumerate() {
        let other = f.reference.as_ref().map(|r| value_of(&r.frame, field, n, &f.frame));
        let differs = !f.cut && other.as_ref().is_some_and(|o| *o != field.value);
        row(page, field.name, &field.value, other.as_deref().filter(|_| differs), differs);
    }
    if let Some(r) = &f.reference {
        added(page, f, r);
    }
    page.close("tbody");
    page.close("table");
    page.close("details");
}

/// The reference's value of the field that is the `n`-th of the capture's frame: of several of one
/// name the one at the same place among them.
fn value_of(reference: &Frame, field: &Field, n: usize, captured: &Frame) -> String {
    let before = captured.fields[..n].iter().filter(|f| f.name == field.name).count();
    let like = reference.fields.iter().filter(|f| f.name == field.name).nth(before);
    like.map_or_else(|| "absent".to_owned(), |f| f.value.clone())
}

/// Fields that the reference's frame has and the captured one has not.
fn added(page: &mut Markup, f: &StoryFrame, r: &Replayed) {
    let names = |frame: &Frame, name: &str| frame.fields.iter().filter(|x| x.name == name).count();
    let mut seen: Vec<&str> = Vec::new();
    for field in &r.frame.fields {
        let nth = seen.iter().filter(|s| **s == field.name).count();
        seen.push(field.name);
        if !f.cut && nth >= names(&f.frame, field.name) {
            row(page, field.name, "absent", Some(&field.value), true);
        }
    }
}

fn row(page: &mut Markup, name: &str, value: &str, reference: Option<&str>, differs: bool) {
    let class: &[_] = if differs { &[("class", "bad")] } else { &[] };
    page.open("tr", class);
    page.element("th", &[], name);
    page.element("td", &[], &shortened(value));
    if let Some(other) = reference {
        page.element("td", &[("class", "reference")], &shortened(other));
    }
    page.close("tr");
}

/// A value; of a long payload its start and length.
fn shortened(value: &str) -> String {
    if value.len() <= PAYLOAD || !value.is_ascii() {
        return value.to_owned();
    }
    format!("{}\u{2026} ({} bytes)", &value[..PAYLOAD], value.len() / 2)
}
