//! The `warmline` command.

mod burst;
mod chat;
mod dotenv;
mod environment;
#[cfg(feature = "load")]
mod load;
mod prices;
mod report;
mod serve;
mod simulator;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::error::ErrorKind as Usage;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use warmline::{may_be_secret, quote};

use self::report::Failure;

/// Returns the memory of a peak to the system within seconds. glibc's allocator keeps most of it for as long as a gateway runs.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// LLM API calls over connections that stay warm.
///
/// Without a command it asks a model who it is, as an example.
#[derive(Parser)]
#[command(name = "warmline", version)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Send a prompt to a model, and stream the reply to stdout.
    Chat(chat::Options),
    /// Run a gateway, through which callers use Anthropic and OpenAI without a key of theirs.
    Serve(serve::Options),
    /// Measure connection pools of several sizes under load, and recommend one.
    #[cfg(feature = "load")]
    Load(load::Options),
    /// Print the prices of models, from the table that is built into the program.
    Prices(prices::Options),
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return usage(&error),
    };
    let level = match options.command {
        // A load test looks for pools that are too small: their warnings are expected.
        #[cfg(feature = "load")]
        Some(Command::Load(_)) => "error",
        _ => "warn",
    };
    let filter = match log_filter(level) {
        Ok(filter) => filter,
        Err(message) => return report::failed(&message, 2),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would report a log that cannot be written by `eprintln!`, which then panics.
        .log_internal_errors(false)
        .init();
    let command = options
        .command
        .unwrap_or_else(|| Command::Chat(chat::Options::example()));
    let json = match &command {
        Command::Chat(options) => options.json,
        Command::Prices(options) => options.json,
        #[cfg(feature = "load")]
        Command::Load(options) => options.json,
        Command::Serve(_) => false,
    };
    let result = match command {
        Command::Chat(options) => block_on(chat::run(options)),
        Command::Serve(options) => block_on(serve::run(options)),
        #[cfg(feature = "load")]
        Command::Load(options) => load::run(&options),
        Command::Prices(options) => prices::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::error(&error, json),
    }
}

/// Returns what `RUST_LOG` asks for, or else messages of this level and above.
fn log_filter(level: &str) -> Result<EnvFilter, String> {
    let Some(value) = std::env::var_os(EnvFilter::DEFAULT_ENV).filter(|value| !value.is_empty())
    else {
        return Ok(EnvFilter::new(level));
    };
    let filter = value
        .to_str()
        .and_then(|text| EnvFilter::try_new(text).ok());
    filter.ok_or_else(|| {
        format!(
            "{} is {}: it must be a level such as debug, or a list such as warn,warmline=debug",
            EnvFilter::DEFAULT_ENV,
            quote(&value.to_string_lossy())
        )
    })
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let cannot = |e| Failure::Other(format!("cannot start: {e}"));
    runtime.map_err(cannot)?.block_on(work)
}

/// Leaves out of a message what of the arguments may be a key.
fn without_secrets(message: &str, arguments: impl Iterator<Item = OsString>) -> String {
    let mut shown = message.to_owned();
    for argument in arguments {
        let argument = argument.to_string_lossy();
        for part in argument.split('=') {
            let part = part.trim_start_matches('-');
            if may_be_secret(part) {
                shown = shown.replace(part, "…");
            }
        }
    }
    shown
}

/// Reports a usage error of clap's, or prints the help, which clap treats as an error, too.
fn usage(error: &clap::Error) -> ExitCode {
    let help = matches!(error.kind(), Usage::DisplayHelp | Usage::DisplayVersion);
    let message = error.to_string();
    let shown = without_secrets(&message, std::env::args_os());
    if !help && std::env::args_os().any(|argument| argument == "--json") {
        let message = shown;
        // If neither stdout nor stderr can be written, there is nothing left to do.
        let _ = report::json(&report::error_object("config", message.trim_end(), None));
    } else if !help && shown != message {
        report::note(shown.trim_end());
    } else {
        // If stderr cannot be written, there is nothing left to do.
        let _ = error.print();
    }
    if help {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}
