//! The page as a whole: its parts, their links, and that text stays text.

use super::to_string;
use crate::frames::decode;
use crate::results::story::{Replayed, Sample, Story, StoryCall, StoryFrame};
use crate::results::{CaseResult, Divergence, Document, Environment};

fn segment(source: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (from, to) = if source == 80 { (b, a) } else { (a, b) };
    let b = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(from, to, 64)
        .tcp(source, 1080 - source, seq, 500)
        .ack(7);
    let mut bytes = Vec::new();
    b.write(&mut bytes, payload).unwrap();
    bytes
}

fn frame(number: u64, outbound: bool, bytes: &[u8], reference: Option<&[u8]>) -> StoryFrame {
    let at_us = number as i64 * 1000;
    StoryFrame {
        number,
        at_us,
        interface: "eth0".to_owned(),
        outbound,
        cut: false,
        frame: decode(bytes),
        reference: reference.map(|r| Replayed { at_us: at_us + 5, frame: decode(r) }),
    }
}

/// A capture whose third frame the reference sent with other payload.
fn diverged() -> CaseResult {
    let (good, answer) = (segment(1000, 1, b"abc"), segment(80, 7, b""));
    let (was, is) = (segment(1000, 4, b"defg"), segment(1000, 4, b"deFg"));
    let divergence = Divergence {
        frame: 3,
        layer: "tcp".to_owned(),
        field: "tcp.payload".to_owned(),
        expected: "64656667".to_owned(),
        got: "64654667".to_owned(),
    };
    let mut case = CaseResult::new("a/<b>", "reference").with_divergence(divergence.clone());
    case.story = Some(Box::new(Story {
        about: "a & b".to_owned(),
        frames: vec![
            frame(1, true, &good, Some(&good)),
            frame(2, false, &answer, None),
            frame(3, true, &was, Some(&is)),
        ],
        calls: vec![StoryCall { at_us: 900, until_us: None, text: "send() = 3".to_owned() }],
        samples: vec![Sample {
            at_us: 1000,
            socket: 3,
            ca_state: "Open",
            cwnd: 10,
            ssthresh: None,
            unacked: 1,
            rto_us: 200_000,
            srtt_us: 1000,
        }],
        divergences: vec![divergence],
        trail: vec!["0.003 sent <it>".to_owned()],
        ..Story::default()
    }));
    case
}

fn page(cases: Vec<CaseResult>) -> String {
    to_string(&Document::new("diff", Environment::default(), cases, 1))
}

#[test]
fn every_part_is_there_and_links_lead_to_it() {
    let page = page(vec![diverged(), CaseResult::new("other", "reference")]);
    for part in [
        "1 reproduced, 1 diverged",
        "class=\"ladder\"",
        "10.0.0.1:1000 to 10.0.0.2:80",
        "Socket 3: congestion window",
        "tcp.payload",
        "0.003005",
        "\u{2713}",
        "\u{2717}",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let targets: Vec<&str> =
        page.split("href=\"#").skip(1).filter_map(|l| l.split('"').next()).collect();
    assert!(targets.len() > 5);
    for target in targets {
        assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
    }
}

#[test]
fn what_a_capture_says_is_text() {
    let page = page(vec![diverged()]);
    assert!(page.contains("a/&lt;b&gt;") && page.contains("sent &lt;it&gt;"));
    assert!(!page.contains("<b>") && !page.contains("<it>") && page.contains("a &amp; b"));
    // Nothing is fetched from elsewhere.
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
}

#[test]
fn tags_are_closed_in_order() {
    let page = page(vec![diverged()]);
    let mut open: Vec<&str> = Vec::new();
    let markup = page.replace(include_str!("page.js"), "").replace(include_str!("page.css"), "");
    for tag in markup.split('<').skip(1).filter_map(|t| t.split('>').next()) {
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None => {
                let name = tag.split(' ').next().unwrap_or_default();
                if !matches!(name, "!DOCTYPE" | "meta" | "input") {
                    open.push(name);
                }
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
