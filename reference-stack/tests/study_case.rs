//! The call paths of a real run hold the trees that the study case of Linux 5.15 draws, and
//! every recorded name is that of a function marked `#[traced]` in the sources.

use common::{Pair, server};
use reference_stack::Version;
use reference_stack::syscalls::{Call, Fd};
use reference_stack::trace::{self, Node};
use reference_stack::uapi::{AF_INET, SOCK_STREAM};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

mod common;

/// Makes a call, carries the frames that follow, and records what either machine did.
fn call(pair: &mut Pair, recorded: &mut Vec<Node>, machine: usize, call: Call) -> i64 {
    let (result, nodes) = trace::record(|| {
        let result = pair.start(machine, call);
        pair.settle();
        result.unwrap_or_else(|| pair.completed(machine))
    });
    recorded.extend(nodes);
    result.expect("it succeeds").value()
}

fn run() -> Vec<Node> {
    let pair = &mut Pair::boot(Version::V5_15);
    let recorded = &mut Vec::new();
    let socket = Call::Socket { family: AF_INET.into(), ty: SOCK_STREAM, protocol: 0 };
    let listener = call(pair, recorded, 1, socket.clone()) as Fd;
    call(pair, recorded, 1, Call::Bind { fd: listener, addr: server() });
    call(pair, recorded, 1, Call::Listen { fd: listener, backlog: 5 });
    let client = call(pair, recorded, 0, socket) as Fd;
    call(pair, recorded, 0, Call::Connect { fd: client, addr: server() });
    let accepted = call(pair, recorded, 1, Call::Accept4 { fd: listener, flags: 0 }) as Fd;
    // The first write fills the caches that the drawn paths have filled.
    for _ in 0..2 {
        let data = Arc::new(vec![1; 100]);
        call(pair, recorded, 0, Call::Write { fd: client, data });
        call(pair, recorded, 1, Call::Read { fd: accepted, len: 100 });
    }
    std::mem::take(recorded)
}

/// Whether `calls`, or what they call, holds `want` with all below it, in order.
fn holds(calls: &[Node], want: &[Node]) -> bool {
    let mut calls = calls.iter();
    want.iter().all(|w| {
        calls.any(|c| {
            (c.name == w.name && holds(&c.calls, &w.calls))
                || holds(&c.calls, std::slice::from_ref(w))
        })
    })
}

/// Reads the trees of the fixture: names under the system call's, by indentation.
fn study_case() -> Vec<(&'static str, Vec<Node>)> {
    let mut trees: Vec<(&'static str, Vec<Node>)> = Vec::new();
    for line in include_str!("fixtures/study-case.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        let name = line.trim_start();
        let depth = (line.len() - name.len()) / 2;
        if depth == 0 {
            trees.push((name, Vec::new()));
            continue;
        }
        let mut level = &mut trees.last_mut().expect("a tree has a title").1;
        for _ in 1..depth {
            level = &mut level.last_mut().expect("indentation goes one step at a time").calls;
        }
        level.push(Node { name, calls: Vec::new() });
    }
    trees
}

#[test]
fn a_real_run_has_the_study_cases_trees() {
    let recorded = run();
    for (call, tree) in study_case() {
        let found = recorded.iter().any(|root| holds(std::slice::from_ref(root), &tree));
        assert!(found, "{call}: the tree is not in the run:\n{tree:#?}\n{recorded:#?}");
    }
}

/// Names of the functions under an attribute, as the sources have them.
fn marked(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            marked(&path, names);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut after_mark = false;
        for line in text.lines() {
            let line = line.trim();
            after_mark |= line.starts_with("#[traced]") || line.contains("macros::traced]");
            if let (true, Some((_, rest))) = (after_mark, line.split_once("fn ")) {
                names.insert(rest.split(['(', '<']).next().unwrap().to_owned());
                after_mark = false;
            }
        }
    }
}

#[test]
fn every_recorded_name_is_a_marked_function() {
    let mut names = BTreeSet::new();
    marked(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    fn check(nodes: &[Node], names: &BTreeSet<String>) {
        for node in nodes {
            assert!(names.contains(node.name), "{} is not marked in the sources", node.name);
            check(&node.calls, names);
        }
    }
    let recorded = run();
    assert!(!recorded.is_empty());
    check(&recorded, &names);
    for (_, tree) in study_case() {
        check(&tree, &names);
    }
}
