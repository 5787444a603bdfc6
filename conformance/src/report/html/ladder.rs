//! The ladder: the host on the left, the other side on the right, one row a frame, the calls of
//! the applications beside the host.

use super::markup::Markup;
use super::seconds;
use crate::frames::differences;
use crate::results::story::{Story, StoryCall, StoryFrame};

const ROW: usize = 19;
const WIDTH: usize = 1160;
/// Where the lives of host and peer are drawn.
const HOST: usize = 400;
const PEER: usize = 1060;
/// Where the call's text ends and the time begins.
const CALLS: usize = 300;

enum Row<'a> {
    Frame(&'a StoryFrame),
    Call(&'a StoryCall),
}

/// Draws it. `id` is the section's.
pub(super) fn draw(page: &mut Markup, id: &str, story: &Story) {
    let mut rows: Vec<(i64, Row<'_>)> = story
        .frames
        .iter()
        .map(|f| (f.at_us, Row::Frame(f)))
        .chain(story.calls.iter().map(|c| (c.at_us, Row::Call(c))))
        .collect();
    rows.sort_by_key(|(at, _)| *at);
    let height = ROW * (rows.len() + 2);
    page.element(
        "p",
        &[("class", "legend")],
        "Rows are not to scale. A frame of the host has a tick where the reference sent the same, \
         a cross where it sent another or none. A frame links to its fields.",
    );
    page.open("div", &[("class", "wide")]);
    page.open(
        "svg",
        &[
            ("class", "ladder"),
            ("viewBox", &format!("0 0 {WIDTH} {height}")),
            ("width", &WIDTH.to_string()),
            ("height", &height.to_string()),
            ("role", "img"),
        ],
    );
    for (x, name) in [(HOST, "host"), (PEER, "wire")] {
        let at = x.to_string();
        page.element("text", &[("class", "name"), ("x", &at), ("y", "13")], name);
        let bottom = height.to_string();
        page.element(
            "line",
            &[("class", "life"), ("x1", &at), ("x2", &at), ("y1", "18"), ("y2", &bottom)],
            "",
        );
    }
    for (n, (_, row)) in rows.iter().enumerate() {
        let y = ROW * (n + 2);
        match row {
            Row::Frame(f) => frame(page, id, f, y),
            Row::Call(c) => call(page, c, y),
        }
    }
    page.close("svg");
    page.close("div");
    unmatched(page, story);
}

/// An arrow with its time, its number and what it says.
fn frame(page: &mut Markup, id: &str, f: &StoryFrame, y: usize) {
    let class = match mark(f) {
        Some(false) => "arrow bad",
        _ if f.outbound => "arrow out",
        _ => "arrow in",
    };
    page.open("a", &[("href", &format!("#{id}-f{}", f.number)), ("class", class)]);
    page.element("title", &[], &tooltip(f));
    let (from, to) = if f.outbound { (HOST, PEER) } else { (PEER, HOST) };
    let line = y.to_string();
    page.element(
        "line",
        &[("x1", &from.to_string()), ("x2", &to.to_string()), ("y1", &line), ("y2", &line)],
        "",
    );
    let back = if f.outbound { to - 7 } else { to + 7 };
    let head = format!("{to},{y} {back},{} {back},{}", y - 4, y + 4);
    page.element("polygon", &[("points", &head)], "");
    let (text, middle) = ((y - 3).to_string(), ((HOST + PEER) / 2).to_string());
    page.element("text", &[("class", "what"), ("x", &middle), ("y", &text)], &label(f));
    page.element(
        "text",
        &[("class", "time"), ("x", &(HOST - 8).to_string()), ("y", &text)],
        &seconds(f.at_us),
    );
    page.element(
        "text",
        &[("class", "number"), ("x", &(PEER + 8).to_string()), ("y", &text)],
        &f.number.to_string(),
    );
    if let Some(same) = mark(f) {
        let sign = if same { "\u{2713}" } else { "\u{2717}" };
        let x = (PEER + 60).to_string();
        page.element("text", &[("class", "mark"), ("x", &x), ("y", &text)], sign);
    }
    page.close("a");
}

/// Whether the reference sent the same; `None` for a frame that came to the host.
pub(super) fn mark(f: &StoryFrame) -> Option<bool> {
    let same = |r: &crate::results::story::Replayed| f.cut || differences(&f.frame, &r.frame) == 0;
    f.outbound.then(|| f.reference.as_ref().is_some_and(same))
}

fn tooltip(f: &StoryFrame) -> String {
    let mut text = format!("frame {} on {}: {}", f.number, f.interface, f.frame.summary());
    match (&f.reference, f.outbound) {
        (Some(r), true) => {
            text.push_str(&format!("\nreference at {}: {}", seconds(r.at_us), r.frame.summary()));
        }
        (None, true) => text.push_str("\nthe reference sent nothing for it"),
        (_, false) => {}
    }
    text
}

/// What a frame says, short enough for the ladder: ports stand for the ends.
fn label(f: &StoryFrame) -> String {
    let summary = f.frame.summary();
    let Some(t) = f.frame.tcp else { return summary };
    let flags = summary.split_once('[').and_then(|(_, r)| r.split_once(']')).map_or("", |(f, _)| f);
    let window = f.frame.value("tcp.window").unwrap_or("?");
    let sack = f.frame.fields.iter().filter(|x| x.name == "tcp.options.sack_le").count();
    let sack = if sack > 0 { format!(" {sack} SACK") } else { String::new() };
    let (source, destination, seq, ack, len) = (t.source, t.destination, t.seq, t.ack, t.len);
    format!("{source} > {destination} [{flags}] seq {seq} ack {ack} len {len} win {window}{sack}")
}

fn call(page: &mut Markup, c: &StoryCall, y: usize) {
    let y = (y - 3).to_string();
    let until = match c.until_us {
        Some(t) => format!("until {}", seconds(t)),
        None => "did not return".to_owned(),
    };
    page.open("g", &[("class", "call")]);
    page.element("title", &[], &format!("{} at {}, {until}", c.text, seconds(c.at_us)));
    page.element("text", &[("x", &CALLS.to_string()), ("y", &y)], &c.text);
    page.element(
        "text",
        &[("class", "time"), ("x", &(HOST - 8).to_string()), ("y", &y)],
        &seconds(c.at_us),
    );
    page.close("g");
}

/// What the reference sent and the capture has not.
fn unmatched(page: &mut Markup, story: &Story) {
    if story.unmatched.is_empty() {
        return;
    }
    page.element("p", &[], "The reference sent besides:");
    let lines: Vec<String> = story
        .unmatched
        .iter()
        .map(|r| format!("{} {}", seconds(r.at_us), r.frame.summary()))
        .collect();
    page.element("pre", &[("class", "bad")], &lines.join("\n"));
}
