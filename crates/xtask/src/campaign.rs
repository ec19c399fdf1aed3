//! `cargo xtask campaign`: attacks `warmline serve` with hostile callers and providers.

use std::process::Command;

use clap::Args;

#[cfg(target_os = "linux")]
use crate::count::Count;
use crate::workspace::{Result, cargo, root, run as run_command};

#[derive(Args)]
pub(crate) struct Options {
    /// Attack with a tenth of the callers, in less than a minute.
    #[arg(long)]
    short: bool,
    /// The phases to run. All run if none is named.
    #[arg(value_name = "PHASE")]
    phases: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    let mut command = campaign(&["--release"]);
    if options.short {
        command.arg("--short");
    }
    run_command(command.args(&options.phases))
}

/// The short form, with the build of the other tests. Each phase counts as a test.
#[cfg(target_os = "linux")]
pub(crate) fn suite() -> Result<Count> {
    Count::of_tests(campaign(&[]).arg("--short"))
}

fn campaign(options: &[&str]) -> Command {
    let mut cargo = cargo();
    cargo
        .args(["test", "--quiet", "--package", "warmline-cli"])
        .args(["--bench", "campaign"])
        .args(options)
        .arg("--")
        .current_dir(root());
    cargo
}
