//! `cargo xtask oracle build-uml`: a user-mode Linux of our own.

use conformance::oracle::build::Build;

use crate::Outcome;
use crate::cli::BuildUmlArgs;
use crate::places::Places;
use crate::ui::Ui;
use crate::verbs::jobs;

pub(crate) fn run(args: &BuildUmlArgs) -> miette::Result<Outcome> {
    let places = Places::find()?;
    let ui = Ui::new(&args.output);
    let build = Build {
        version: args.kernel.clone(),
        source: args.source.clone(),
        cache: places.cache("uml"),
        jobs: jobs(args.jobs),
    };
    if build.kernel().is_file() && !args.again {
        ui.line(&format!("{} is there; --again builds it anew", build.kernel().display()));
        return Ok(Outcome::AsExpected);
    }
    let kernel = build.run(&|step| ui.line(step))?;
    ui.line(&format!("built {}", kernel.display()));
    Ok(Outcome::AsExpected)
}
