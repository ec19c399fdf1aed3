//! The `warmline` command.

mod chat;
mod dotenv;
mod environment;
mod load;
mod prices;
mod report;
mod serve;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::error::ErrorKind as Usage;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use self::report::Failure;

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
    /// Measure pools of several sizes under load, and say which to take.
    Load(load::Options),
    /// Say what models cost, as the table that comes with the program has it.
    Prices(prices::Options),
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return usage(&error),
    };
    // A pool that is too small is what a load test is to find, and no news.
    let level = match options.command {
        Some(Command::Load(_)) => "error",
        _ => "warn",
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level)),
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
        Command::Load(options) => options.json,
        Command::Serve(_) => false,
    };
    let done = match command {
        Command::Chat(options) => block_on(chat::run(options)),
        Command::Serve(options) => block_on(serve::run(options)),
        Command::Load(options) => load::run(&options),
        Command::Prices(options) => prices::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::error(&error, json),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let cannot = |e| Failure::Other(format!("cannot start: {e}"));
    runtime.map_err(cannot)?.block_on(work)
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
