//! The editor's grammar under tools/ is whole, and knows the language's words.

use std::path::Path;

use serde_json::Value;

fn grammar() -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/textmate/packetdrill.tmLanguage.json");
    let text = std::fs::read_to_string(path).expect("the grammar is readable");
    serde_json::from_str(&text).expect("the grammar is JSON")
}

/// Every string below `node` whose key is one of `keys`.
fn strings(node: &Value, keys: &[&str], out: &mut Vec<String>) {
    match node {
        Value::Object(members) => {
            for (key, value) in members {
                if let (true, Some(text)) = (keys.contains(&key.as_str()), value.as_str()) {
                    out.push(text.to_string());
                }
                strings(value, keys, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, keys, out)),
        _ => {}
    }
}

fn expressions() -> Vec<String> {
    let mut out = Vec::new();
    strings(&grammar(), &["match", "begin", "end"], &mut out);
    out
}

#[test]
fn what_is_included_exists() {
    let grammar = grammar();
    let mut includes = Vec::new();
    strings(&grammar, &["include"], &mut includes);
    for name in includes.iter().filter_map(|i| i.strip_prefix('#')) {
        assert!(grammar["repository"].get(name).is_some(), "#{name} is not there");
    }
    assert!(includes.len() > 20);
}

/// Brackets of a regular expression: groups and classes are closed, nothing is escaped at the end.
fn is_balanced(expression: &str) -> bool {
    let (mut groups, mut class) = (0i32, false);
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => return false,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => groups += 1,
            ')' if !class => groups -= 1,
            _ => {}
        }
        if groups < 0 {
            return false;
        }
    }
    groups == 0 && !class
}

#[test]
fn expressions_are_whole() {
    for expression in expressions() {
        assert!(is_balanced(&expression), "{expression}");
    }
}

#[test]
fn the_words_of_the_language_are_known() {
    let all = expressions().join(" ");
    let words = [
        "mss",
        "wscale",
        "sackOK",
        "sack",
        "TS",
        "nop",
        "eol",
        "FO",
        "FOEXP",
        "md5",
        "ECN",
        "opt",
        "raw",
        "val",
        "ecr",
        "e0b",
        "ceb",
        "e1b",
        "ect",
        "noecn",
        "tos",
        "ttl",
        "flowlabel",
        "icmp",
        "udp",
        "udplite",
        "gre",
        "mpls",
        "ipv4",
        "ipv6",
        "eth",
        "arp",
        "igmp",
        "ndp",
        "link",
        "fault",
        "ack",
        "win",
        "urg",
        "mtu",
        "lladdr",
        "target",
        "sender",
    ];
    let known: Vec<&str> = all.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for word in words {
        // `\bce` is the letter b and the word to this splitter.
        let found = known.iter().any(|k| *k == word || k.strip_prefix('b') == Some(word));
        assert!(found, "{word}");
    }
}
