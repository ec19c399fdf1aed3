//! `warmline-sim`: the simulated provider as a program.

use std::io::{Result, Write};
use std::net::IpAddr;
use std::time::Duration;

use clap::Parser;
use warmline_sim::{Config, RedisRestServer, RedisServer, Sim};

/// A simulated LLM provider that speaks Anthropic's and OpenAI's dialects on loopback.
#[derive(Parser)]
#[command(name = "warmline-sim", version)]
struct Options {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// The port; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Speak TLS, with a certificate that is made at the start. The authority to trust is printed.
    #[arg(long)]
    tls: bool,
    /// Start a redis-server too, and a server that speaks the REST protocol for it.
    #[arg(long)]
    redis: bool,
    /// Also end when standard input does, and so with the program that started this one, even if that is killed.
    #[arg(long)]
    until_stdin_ends: bool,
    /// How long each byte travels in each direction, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// How long the model takes per token, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pace: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let sim = Sim::start(Config {
        host: options.host,
        port: options.port,
        tls: options.tls,
        one_way_delay: Duration::from_millis(options.delay),
        pace: Duration::from_millis(options.pace),
    })
    .await?;
    let redis = match options.redis {
        true => Some(RedisServer::start().await?),
        false => None,
    };
    let mut ledgers = String::new();
    if let Some(redis) = &redis {
        let rest = RedisRestServer::start(&redis.url).await?;
        ledgers = format!(
            "REDIS_URL={}\nUPSTASH_REDIS_REST_URL={}\nUPSTASH_REDIS_REST_TOKEN={}\n",
            redis.url, rest.url, rest.token
        );
    }
    // All at once, because some programs read only the first line.
    let addresses = format!(
        "ANTHROPIC_BASE_URL={}\nOPENAI_BASE_URL={}\n{}counts: {}/sim/stats\n{}",
        sim.anthropic_url(),
        sim.openai_url(),
        ledgers,
        sim.url(),
        sim.certificate().unwrap_or_default(),
    );
    // In one write, for programs that read the first line and no more.
    let mut stdout = std::io::stdout();
    stdout.write_all(addresses.as_bytes())?;
    stdout.flush()?;
    let (ends, ended) = tokio::sync::oneshot::channel();
    if options.until_stdin_ends {
        // A thread that the runtime does not wait for.
        std::thread::spawn(move || {
            let read = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            ends.send(read.map(drop))
        });
    }
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        Ok(read) = ended => read,
    }
}
