//! `cargo xtask …`: what the project does to itself.

mod test;

use std::process::ExitCode;

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
}

fn main() -> ExitCode {
    match Options::parse().task {
        Task::Test => test::run(),
    }
}
