//! `cargo xtask trace`: the way of a system call, from a real run.
//!
//! Two machines on one wire, a server and a client, open a connection and use it; the functions
//! that the asked-for call goes through are recorded in that run. The recorder is a feature of the
//! reference stack. A program built without it starts cargo again, with it.

mod draw;
mod scene;

#[cfg(all(test, feature = "trace"))]
mod tests;

use std::process::{Command, Stdio};

use reference_stack::trace::{self, Node};

use super::write_json;
use crate::Outcome;
use crate::cli::{TraceArgs, TraceName};
use crate::error::CouldNotRun;
use crate::places::Places;
use crate::ui::Ui;

pub(crate) fn run(args: &TraceArgs) -> miette::Result<Outcome> {
    if !trace::ENABLED {
        return again_with_recorder();
    }
    let ui = Ui::new(&args.output);
    let recorded = scene::record(args.name)?;
    let root = root(args.name);
    let wanted = |node: &&Node| args.all || root.is_none_or(|root| node.name == root);
    let shown: Vec<&Node> = recorded.iter().filter(wanted).collect();
    for node in &shown {
        ui.line(&draw::tree(node, args.whole));
    }
    write_json(
        &args.output,
        &Trees {
            schema: conformance::results::SCHEMA,
            command: "trace",
            name: args.name,
            trees: shown.into_iter().map(Tree::from).collect(),
        },
    )?;
    Ok(Outcome::AsExpected)
}

/// The function at which the call enters the kernel; an event enters at several.
fn root(name: TraceName) -> Option<&'static str> {
    Some(match name {
        TraceName::Socket => "sys_socket",
        TraceName::Bind => "sys_bind",
        TraceName::Listen => "sys_listen",
        TraceName::Connect => "sys_connect",
        TraceName::Accept => "sys_accept",
        TraceName::Write => "sys_write",
        TraceName::Read => "sys_read",
        TraceName::Receive | TraceName::Addr => return None,
    })
}

#[derive(serde::Serialize)]
struct Trees {
    schema: u32,
    command: &'static str,
    name: TraceName,
    trees: Vec<Tree>,
}

#[derive(serde::Serialize)]
struct Tree {
    name: &'static str,
    calls: Vec<Tree>,
}

impl From<&Node> for Tree {
    fn from(node: &Node) -> Tree {
        Tree { name: node.name, calls: node.calls.iter().map(Tree::from).collect() }
    }
}

/// Runs the same command line in a build that has the recorder.
fn again_with_recorder() -> miette::Result<Outcome> {
    let places = Places::find()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "netplumb", "--features", "trace"])
        .arg("--manifest-path")
        .arg(places.root().join("Cargo.toml"))
        .args(["--bin", "netplumb", "--"])
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .status()
        .map_err(|e| CouldNotRun::Program {
            program: "cargo".to_owned(),
            what: e.to_string(),
            help: None,
        })?;
    match status.code() {
        Some(0) => Ok(Outcome::AsExpected),
        Some(1) => Ok(Outcome::Finding),
        _ => Err(CouldNotRun::Program {
            program: "cargo run --features trace".to_owned(),
            what: format!("the build with the recorder did not run ({status}), see above"),
            help: None,
        }
        .into()),
    }
}
