//! `cargo xtask boot`: the boot log.

use reference_stack::{BootConfig, Kernel, NicConfig, NicKind, Profile, Version};

use super::write_json;
use crate::Outcome;
use crate::cli::BootArgs;
use crate::ui::Ui;

/// A line of the console as the JSON file has it.
#[derive(serde::Serialize)]
struct Line<'a> {
    at_ns: u64,
    text: &'a str,
}

#[derive(serde::Serialize)]
struct Log<'a> {
    schema: u32,
    command: &'static str,
    kernel: &'static str,
    console: Vec<Line<'a>>,
}

pub(crate) fn run(args: &BootArgs) -> miette::Result<Outcome> {
    let version = super::version(&args.kernel.kernel)?;
    let kernel = Kernel::boot(&board(version));
    let ui = Ui::new(&args.output);
    let console: Vec<Line<'_>> =
        kernel.console().iter().map(|(at_ns, text)| Line { at_ns: *at_ns, text }).collect();
    for Line { at_ns, text } in &console {
        ui.line(&format!("[{:>5}.{:06}] {text}", at_ns / 1_000_000_000, at_ns / 1000 % 1_000_000));
    }
    let log = Log {
        schema: conformance::results::SCHEMA,
        command: "boot",
        kernel: version.name(),
        console,
    };
    write_json(&args.output, &log)?;
    Ok(Outcome::AsExpected)
}

/// The study case's machine: the AST2500's first MAC as eth0.
pub(crate) fn board(version: Version) -> BootConfig {
    let nic = NicConfig {
        name: "eth0".to_owned(),
        kind: NicKind::Ftgmac100 { mac: 0 },
        mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56],
        mtu: 1500,
    };
    BootConfig::new(Profile::new(version), vec![nic])
}
