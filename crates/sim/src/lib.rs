//! A simulated LLM provider on loopback.
//!
//! It speaks the dialects of Anthropic and of OpenAI, streamed and not, over HTTP/1.1 and HTTP/2, with TLS
//! or without. It checks requests as the real providers do. A [`Scenario`] in a request makes it fail in a
//! chosen way. It counts sockets from the server's side. The reply depends on the request alone.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! use warmline_sim::{Config, Sim};
//!
//! let sim = Sim::start(Config::default()).await?;
//! println!("{} and {}", sim.anthropic_url(), sim.openai_url());
//! assert_eq!(sim.stats().open, 0);
//! # Ok(()) }
//! ```

mod accept;
mod answer;
mod anthropic;
mod catalog;
mod config;
mod delay;
mod dialect;
mod faulty_io;
mod handler;
mod lenient;
mod media;
mod openai;
mod redis;
mod reply;
mod responses;
mod responses_input;
mod scenario;
mod schema;
mod script;
mod scripted_body;
mod scripted_server;
mod scripts;
mod sim;
mod stats;
mod threads;
mod tls;

pub use config::Config;
pub use redis::{RedisCluster, RedisRestServer, RedisServer};
pub use scenario::{At, Fault, HEADER, Scenario};
pub use scripted_server::{ScriptedRequest, ScriptedServer, Step};
pub use sim::Sim;
pub use stats::Stats;
