//! A campaign against `warmline serve`: hostile callers and hostile providers, over plain sockets on loopback.
//!
//! `cargo xtask campaign` runs it, and `cargo xtask campaign --short` a form of it that takes less than a minute. Each phase is one kind of
//! attack. Well-behaved callers make calls meanwhile. When the attack has ended, the gateway must hold no more sockets, file descriptors,
//! reservations and memory than before it, and what the provider has billed must not exceed the ledger, nor the ledger the limit.
//!
//! It reads the gateway's sockets and memory from /proc, and therefore runs on Linux only.
#![allow(unreachable_pub)]

#[cfg(target_os = "linux")]
mod arena;
#[cfg(target_os = "linux")]
mod attacks;
#[cfg(target_os = "linux")]
mod caller;
#[cfg(target_os = "linux")]
mod honest;
#[cfg(target_os = "linux")]
#[path = "../../tests/common/process.rs"]
mod process;
#[cfg(target_os = "linux")]
mod procfs;
#[cfg(target_os = "linux")]
mod provider;
#[cfg(target_os = "linux")]
mod run;

use std::process::ExitCode;

use clap::Parser;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, Failure>;

/// A campaign of attacks against `warmline serve`.
#[derive(Parser)]
struct Options {
    /// Attack with a tenth of the callers, in less than a minute.
    #[arg(long)]
    short: bool,
    /// The phases to run. All run if none is named.
    #[arg(value_name = "PHASE")]
    phases: Vec<String>,
    /// Cargo passes this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    #[cfg(target_os = "linux")]
    return match run::run(&options.phases, options.short) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("campaign: {error}");
            ExitCode::FAILURE
        }
    };
    #[cfg(not(target_os = "linux"))]
    {
        drop(options);
        eprintln!("campaign: it reads the gateway's sockets from /proc, which only Linux has");
        ExitCode::FAILURE
    }
}
