//! `cargo xtask …`: what the project does to itself.

mod demo;
mod docs;
mod npm;
mod prices;
mod runtimes;
mod setup;
mod size;
mod test;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check the format and the lints, then run every test, and count them all together.
    Test,
    /// Make this machine ready for everything but Rust itself, and say what that took.
    Setup,
    /// Build the npm package into pkg/, as wasm-pack.toml says.
    Npm,
    /// Start the demo: the page in www/, the gateway behind it, and a simulated provider, all on this machine.
    Demo(demo::Options),
    /// Build the book in docs/ into target/book, with the crate's reference, and open it.
    Docs(docs::Options),
    /// Say how large the npm package is, and what in it weighs most.
    Size,
    /// Make the price tables in src/cost/ anew from the public list, and say where the cross-check disagrees.
    Prices,
}

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let done = match Options::parse().task {
        Task::Test => return test::run(),
        Task::Setup => setup::everything(),
        Task::Npm => npm::build().map(drop),
        Task::Demo(options) => demo::run(&options),
        Task::Docs(options) => docs::run(&options),
        Task::Size => size::report(),
        Task::Prices => prices::generate(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The project's folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The cargo that runs this task.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end; one that fails is an error that shows it.
fn run(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|e| format!("{command:?} cannot be run: {e}"))?;
    if !status.success() {
        return Err(format!("{command:?} failed: {status}").into());
    }
    Ok(())
}

/// Opens an address or a file as this machine does; whether it can is its own business.
fn open(what: &str) {
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    let mut command = Command::new(program);
    let quiet = command
        .arg(what)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = quiet.spawn();
}
