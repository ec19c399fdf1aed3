use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, IntoConnectionInfo, RedisError, Script};
use tokio::sync::Mutex;

use super::script::{NAME, keys, script};
use crate::cost::remote::LedgerTransport;
use crate::runtime::BoxFuture;
use crate::{Error, ErrorKind, Result};

/// How long a connection and an answer are waited for.
const AT_MOST: Duration = Duration::from_secs(5);

/// A ledger in Redis 5 or later (or what speaks like it), which all servers that name it share, and by REST
/// ([`RestLedger`](crate::RestLedger), `warmline/redis`) edge functions too. With the feature `redis`.
///
/// Each operation is one script that runs there as a whole by the server's clock, so that no two holders and no two clocks can
/// disagree. It is sent over a connection that all calls share, one for reservations and one for settlements.
///
/// ```no_run
/// use warmline::{Budget, CostTracker, RedisLedger};
///
/// let ledger = RedisLedger::open("redis://127.0.0.1:6379")?;
/// let tracker = CostTracker::new().budget(Budget::monthly("team-a", "50".parse()?)?).ledger(ledger);
/// # Ok::<(), warmline::Error>(())
/// ```
pub struct RedisLedger {
    server: Arc<Server>,
    keys: [String; 2],
}

struct Server {
    client: redis::Client,
    reserve: Script,
    settle: Script,
    state: Script,
    /// Used by calls, in whatever runtime they run.
    foreground: Mutex<Option<MultiplexedConnection>>,
    /// Used in the background, so that settlements do not need that runtime.
    background: Mutex<Option<MultiplexedConnection>>,
}

impl RedisLedger {
    /// The ledger in the Redis at `redis://[user:password@]host[:port][/database]`, or `rediss://` by TLS. It is connected to when it
    /// is first asked.
    ///
    /// # Errors
    /// `Config` where that is no such address.
    ///
    /// ```
    /// assert!(warmline::RedisLedger::open("localhost").is_err());
    /// ```
    pub fn open(url: &str) -> Result<Self> {
        // The address can hold a password, and the client's error can quote a part of it.
        let unreadable = |_| {
            Error::config(
                "the ledger's address is no Redis URL, which looks like redis://[user:password@]host[:port][/database]",
            )
        };
        // Calls share a connection: without TCP_NODELAY, a command waits until the server has acknowledged the one before it.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info().map_err(unreadable)?;
        let client = redis::Client::open(info.set_tcp_settings(tcp)).map_err(unreadable)?;
        Ok(Self {
            server: Arc::new(Server {
                client,
                reserve: Script::new(script("reserve")),
                settle: Script::new(script("settle")),
                state: Script::new(script("state")),
                foreground: Mutex::default(),
                background: Mutex::default(),
            }),
            keys: keys(NAME)?,
        })
    }

    /// Keeps the books under another name than `warmline`, apart from those of others in the same database.
    ///
    /// # Errors
    /// `Config` where the name is empty or has other characters than ASCII letters, digits and `-_.:@`.
    ///
    /// ```
    /// let ledger = warmline::RedisLedger::open("redis://127.0.0.1")?.name("staging")?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Result<Self> {
        self.keys = keys(name)?;
        Ok(self)
    }
}

impl Server {
    async fn call(&self, what: &str, keys: [String; 2], args: Vec<String>) -> Result<Vec<String>> {
        let (line, script) = match what {
            "reserve" => (&self.foreground, &self.reserve),
            "settle" => (&self.background, &self.settle),
            _ => (&self.foreground, &self.state),
        };
        let mut ready = script.prepare_invoke();
        ready.key(&keys[..]).arg(args);
        loop {
            let (mut connection, fresh) = self.connection(line).await?;
            match ready.invoke_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let broken = error.is_unrecoverable_error() || error.is_io_error();
                    if broken {
                        line.lock().await.take();
                    }
                    // One that was kept may have been closed since; each script can be run twice.
                    if !broken || fresh {
                        return Err(self.unreachable(&error));
                    }
                }
            }
        }
    }

    /// A connection, and whether it was made just now.
    async fn connection(
        &self,
        line: &Mutex<Option<MultiplexedConnection>>,
    ) -> Result<(MultiplexedConnection, bool)> {
        let mut kept = line.lock().await;
        if let Some(connection) = &*kept {
            return Ok((connection.clone(), false));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(AT_MOST))
            .set_response_timeout(Some(AT_MOST));
        let made = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let made = made.map_err(|e| self.unreachable(&e))?;
        Ok((kept.insert(made).clone(), true))
    }

    fn unreachable(&self, error: &RedisError) -> Error {
        let server = self.client.get_connection_info().addr();
        Error::new(
            ErrorKind::Connect,
            format!("the ledger in the Redis at {server} cannot be used: {error}"),
        )
    }
}

impl LedgerTransport for RedisLedger {
    fn call(
        &self,
        what: &'static str,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>> {
        let (server, keys) = (self.server.clone(), self.keys.clone());
        Box::pin(async move { server.call(what, keys, args).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sent_without_delay() {
        for url in ["redis://127.0.0.1", "rediss://user:password@example.com/1"] {
            let ledger = RedisLedger::open(url).unwrap();
            let info = ledger.server.client.get_connection_info();
            assert!(info.tcp_settings().nodelay(), "{url}");
        }
    }
}
