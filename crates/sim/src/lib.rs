//! A simulated LLM provider on loopback.
//!
//! It speaks Anthropic's and OpenAI's dialects, unary and streamed, over HTTP/1.1 and HTTP/2, with TLS
//! or without; it checks requests as the real ones do; a [`Scenario`] in a request makes it fail in any
//! way; and it counts sockets from the server's side. The reply to a request depends on nothing but
//! the request.
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

mod answer;
mod anthropic;
mod body;
mod delay;
mod lenient;
mod openai;
mod redis;
mod scenario;
mod serve;
mod stats;
mod tls;
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use redis::{Bridge, RedisServer};
pub use scenario::{At, Fault, HEADER, Scenario};
pub use stats::Stats;

use crate::stats::Books;

/// How a simulated provider is set up.
///
/// ```
/// use warmline_sim::Config;
/// let config = Config { tls: true, ..Config::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on: loopback.
    pub host: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// Whether to speak TLS, with a certificate made at the start: see [`Sim::certificate`].
    pub tls: bool,
    /// How long each byte travels, in each direction: with it handshakes cost what they do on a network.
    pub one_way_delay: Duration,
    /// How long the model takes per token, where the request's scenario does not say.
    pub pace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            tls: false,
            one_way_delay: Duration::ZERO,
            pace: Duration::ZERO,
        }
    }
}

/// A simulated provider that is running. It stops when this is dropped.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// let sim = warmline_sim::Sim::start(warmline_sim::Config::default()).await?;
/// assert!(sim.openai_url().ends_with("/v1"));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Sim {
    address: SocketAddr,
    certificate: Option<String>,
    books: Arc<Books>,
    accepting: JoinHandle<()>,
}

impl Sim {
    /// Starts listening.
    ///
    /// # Errors
    /// Where the address cannot be bound, or the certificate cannot be made.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let sim = warmline_sim::Sim::start(warmline_sim::Config::default()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind((config.host, config.port)).await?;
        let address = listener.local_addr()?;
        let (acceptor, certificate) = match config.tls {
            true => tls::acceptor().map(|(acceptor, pem)| (Some(acceptor), Some(pem)))?,
            false => (None, None),
        };
        let books = Arc::new(Books::default());
        let accepting = tokio::spawn(serve::accept(listener, acceptor, books.clone(), config));
        Ok(Self {
            address,
            certificate,
            books,
            accepting,
        })
    }

    /// Scheme, host and port.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let sim = warmline_sim::Sim::start(warmline_sim::Config::default()).await?;
    /// assert!(sim.url().starts_with("http://127.0.0.1:"));
    /// # Ok(()) }
    /// ```
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// The base URL for clients that speak Anthropic's dialect.
    pub fn anthropic_url(&self) -> String {
        self.url()
    }

    /// The base URL for clients that speak OpenAI's.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// The certificate (PEM) to trust, where it speaks TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// The counts, now.
    pub fn stats(&self) -> Stats {
        self.books.stats()
    }

    /// Waits until the counts are as a test expects.
    ///
    /// # Panics
    /// Where that has not come about after ten seconds; it says what they are instead.
    pub async fn wait_until(&self, expected: impl Fn(&Stats) -> bool) -> Stats {
        self.books.wait_until(expected).await
    }

    /// Lets the requests that a `hold` scenario keeps waiting go on, `n` of them.
    pub fn release(&self, n: usize) {
        self.books.held.add_permits(n);
    }

    /// Closes the connections that are idle, as servers do, and waits until they are closed.
    pub async fn close_idle(&self) {
        self.books.close_idle();
        self.wait_until(|stats| stats.active > 0 || stats.open == 0)
            .await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.accepting.abort();
        self.books.close_all();
    }
}
