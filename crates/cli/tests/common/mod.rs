//! Helpers of the command's tests.
#![allow(dead_code, unreachable_pub)]

pub mod gateway;
pub mod process;

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use warmline_sim::{Config, Sim};

/// Returns the command with an empty environment, in a folder without a `.env`.
pub fn warmline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warmline"));
    command
        .args(arguments)
        .env_clear()
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null());
    command
}

/// Configures a simulated provider, with keys that must not appear in any output.
pub fn with_provider(command: &mut Command, sim: &Sim) {
    command
        .env("ANTHROPIC_API_KEY", "sk-ant-secret-42")
        .env("OPENAI_API_KEY", "sk-secret-42");
    command
        .env("ANTHROPIC_BASE_URL", sim.anthropic_url())
        .env("OPENAI_BASE_URL", sim.openai_url());
}

/// Returns the exit code, stdout and stderr.
pub fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Runs a command, and returns its exit code, stdout and stderr.
pub fn run(command: &mut Command) -> (i32, String, String) {
    outcome(command.output().unwrap())
}

/// Parses what a command printed.
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text:?}"))
}

/// Starts a simulated provider.
pub async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}
