//! `cargo xtask …`: the project's own tasks.

mod campaign;
mod cargo_program;
mod compiler;
mod count;
mod demo;
mod docs;
mod imports;
mod lock;
mod measure;
mod npm;
mod peers;
mod prices;
mod runtimes;
mod setup;
mod size;
mod suites;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::setup::Need;
use crate::workspace::Result;

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check and every test, or the suites that are named, and count them all together.
    Test(test::Options),
    /// Attack `warmline serve` with hostile callers and providers, and check that it gives everything back. Linux only.
    Campaign(campaign::Options),
    /// Install what the tasks need besides Rust.
    Setup(setup::Options),
    /// Build the npm package into pkg/, as wasm-pack.toml says.
    Npm,
    /// Start the demo: the page in www/, the gateway behind it, and a simulated provider, all on this machine.
    Demo(demo::Options),
    /// Build the book in docs/ into target/book, with the crate's reference, and open it.
    Docs(docs::Options),
    /// Print the size of the npm package, and of what is largest in it.
    Size,
    /// Measure what the gateway adds to a call, beside LiteLLM's proxy and liter-llm, which it installs into target/tools.
    Peers,
    /// Make the price tables in src/cost/ from the public list, and print where the cross-check disagrees.
    Prices,
}

fn main() -> ExitCode {
    let task = Options::parse().task;
    let done = match &task {
        Task::Test(options) => match test::run(options) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Task::Setup(options) => setup::run(options),
        task => setup::require(&task.needs()).and_then(|()| task.run()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Task {
    /// What a task other than `test` and `setup` needs besides Rust.
    fn needs(&self) -> Vec<Need> {
        match self {
            Self::Npm | Self::Size => Need::FOR_NPM.to_vec(),
            Self::Demo(options) => options.needs(),
            Self::Docs(_) => vec![Need::MdBook],
            Self::Peers => Need::FOR_PEERS.to_vec(),
            Self::Test(_) | Self::Campaign(_) | Self::Setup(_) | Self::Prices => Vec::new(),
        }
    }

    fn run(&self) -> Result {
        match self {
            Self::Campaign(options) => campaign::run(options),
            Self::Npm => npm::build().map(drop),
            Self::Demo(options) => demo::run(options),
            Self::Docs(options) => docs::run(options),
            Self::Size => size::report(),
            Self::Peers => peers::measure(),
            Self::Prices => prices::generate(),
            Self::Test(_) | Self::Setup(_) => Ok(()),
        }
    }
}
