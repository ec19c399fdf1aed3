//! The `warmline` command.

mod chat;
mod environment;
mod prices;
mod report;
mod serve;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::error::ErrorKind as Usage;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// LLM API calls over connections that stay warm.
///
/// Without a command it chats, so that there is something to see.
#[derive(Parser)]
#[command(name = "warmline", version)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask a model, and stream what it says to stdout.
    Chat(chat::Options),
    /// Let callers on without a key of the provider: a gateway for both dialects.
    Serve(serve::Options),
    /// Say what models cost, as the table that comes with the program has it.
    Prices(prices::Options),
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return usage(&error),
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let command = options
        .command
        .unwrap_or_else(|| Command::Chat(chat::Options::hello()));
    let json = match &command {
        Command::Chat(options) => options.json,
        Command::Prices(options) => options.json,
        Command::Serve(_) => false,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report::failed(&format!("cannot start: {error}"), 1),
    };
    let done = match command {
        Command::Chat(options) => runtime.block_on(chat::run(options)),
        Command::Serve(options) => runtime.block_on(serve::run(options)),
        Command::Prices(options) => prices::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::error(&error, json),
    }
}

/// clap's own errors, and its help, which is none.
fn usage(error: &clap::Error) -> ExitCode {
    let help = matches!(error.kind(), Usage::DisplayHelp | Usage::DisplayVersion);
    if !help && std::env::args().any(|argument| argument == "--json") {
        let message = error.to_string();
        report::json(&report::error_object("config", message.trim_end(), None));
    } else {
        // Nothing is left to do where even this cannot be written.
        let _ = error.print();
    }
    if help {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}
