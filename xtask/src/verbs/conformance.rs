//! `cargo xtask conformance`: packetdrill scripts.

use std::time::Instant;

use crate::Outcome;
use crate::cli::{ConformanceArgs, IpName, NicName, TargetName};
use crate::error::CouldNotRun;
use crate::places::Places;
use crate::selection;
use crate::ui::Ui;

pub(crate) fn run(args: &ConformanceArgs) -> miette::Result<Outcome> {
    refuse_what_is_not_built(args)?;
    let places = Places::find()?;
    let scripts = selection::scripts(&places, &args.select)?;
    let ui = Ui::new(&args.output);
    if args.list {
        for script in &scripts {
            ui.print(&script.id);
        }
        return Ok(Outcome::AsExpected);
    }
    let _ = (Instant::now(), args.nic == NicName::All, &args.pcap);
    Err(CouldNotRun::NotBuiltYet { what: "the runner".to_owned(), built: "nothing" }.into())
}

fn refuse_what_is_not_built(args: &ConformanceArgs) -> Result<(), CouldNotRun> {
    if args.target != TargetName::Reference {
        return Err(CouldNotRun::NotBuiltYet {
            what: format!("--target {}", args.target.word()),
            built: "--target reference",
        });
    }
    if args.ip != IpName::Ipv4 {
        return Err(CouldNotRun::NotBuiltYet {
            what: format!("--ip {}", args.ip.word()),
            built: "--ip ipv4",
        });
    }
    Ok(())
}
