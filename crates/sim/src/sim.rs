//! A simulated provider from its start to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::accept::accept;
use crate::config::Config;
use crate::stats::{Counters, Stats};
use crate::tls;

/// A running simulated provider. It stops when this is dropped.
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
    counters: Arc<Counters>,
    accepting: JoinHandle<()>,
}

impl Sim {
    /// Starts listening.
    ///
    /// # Errors
    /// If the address cannot be bound, or the certificate cannot be made.
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
        let counters = Arc::new(Counters::default());
        let accepting = tokio::spawn(accept(listener, acceptor, counters.clone(), config));
        Ok(Self {
            address,
            certificate,
            counters,
            accepting,
        })
    }

    /// The address: scheme, host and port.
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

    /// The base URL for clients that speak OpenAI's dialect.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// The certificate to trust, in PEM, if it speaks TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// The counts at this moment.
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// Waits until the counts are as a test expects.
    ///
    /// # Panics
    /// If they are not after ten seconds. The message shows what they are.
    pub async fn wait_until(&self, expected: impl Fn(&Stats) -> bool) -> Stats {
        self.counters.wait_until(expected).await
    }

    /// Lets `n` of the requests go on that a scenario with `hold` keeps waiting.
    pub fn release(&self, n: usize) {
        self.counters.held.add_permits(n);
    }

    /// Closes the idle connections, as servers do, and waits until they are closed.
    pub async fn close_idle(&self) {
        self.counters.close_idle();
        self.wait_until(|stats| stats.active > 0 || stats.open == 0)
            .await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.accepting.abort();
        self.counters.close_all();
    }
}
