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

/// The timeout of connecting, and of each response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A ledger in Redis 5 or later, or in a compatible server. Requires the feature `redis`.
///
/// All processes that use the same database and the same [`name`](Self::name) share the ledger. Edge functions share it through
/// [`RestLedger`](crate::RestLedger), or through `warmline/redis` of the npm package.
///
/// Each operation is one atomic script that uses the clock of the server, so the clocks of the clients do not matter. All calls
/// share two connections, one for reservations and one for settlements. Connecting, and each response, time out after 5 s.
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
    /// The connection of calls, which is driven by their runtime.
    foreground: Mutex<Option<MultiplexedConnection>>,
    /// The connection of settlements, which is driven in the background: the calls' runtime may have ended.
    background: Mutex<Option<MultiplexedConnection>>,
}

impl RedisLedger {
    /// Returns the ledger in the Redis at a URL: `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
    ///
    /// The ledger connects when it is first used.
    ///
    /// # Errors
    /// `Config` if the URL is invalid.
    ///
    /// ```
    /// assert!(warmline::RedisLedger::open("localhost").is_err());
    /// ```
    pub fn open(url: &str) -> Result<Self> {
        // The client's error is left out, because it can quote a part of the password.
        let invalid = |_| {
            Error::config(
                "the ledger's URL is not a Redis URL: use redis://[user:password@]host[:port][/database]",
            )
        };
        // Without TCP_NODELAY, a command on the shared connection waits until the server has acknowledged the one before.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info().map_err(invalid)?;
        let client = redis::Client::open(info.set_tcp_settings(tcp)).map_err(invalid)?;
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

    /// Sets the name of the ledger. The default is `warmline`. Ledgers of different names in the same database are independent.
    ///
    /// # Errors
    /// `Config` if the name is empty or contains characters other than ASCII letters, digits and `-_.:@`.
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
    async fn call(
        &self,
        operation: &str,
        keys: [String; 2],
        args: Vec<String>,
    ) -> Result<Vec<String>> {
        let (slot, script) = match operation {
            "reserve" => (&self.foreground, &self.reserve),
            "settle" => (&self.background, &self.settle),
            _ => (&self.foreground, &self.state),
        };
        let mut invocation = script.prepare_invoke();
        invocation.key(&keys[..]).arg(args);
        loop {
            let (mut connection, is_new) = self.connection(slot).await?;
            match invocation.invoke_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let broken = error.is_unrecoverable_error() || error.is_io_error();
                    if broken {
                        slot.lock().await.take();
                    }
                    // The server may have closed an idle connection. Running a script twice has the effect of once.
                    if !broken || is_new {
                        return Err(self.unreachable(&error));
                    }
                }
            }
        }
    }

    /// Returns the connection in a slot, and whether it is new.
    async fn connection(
        &self,
        slot: &Mutex<Option<MultiplexedConnection>>,
    ) -> Result<(MultiplexedConnection, bool)> {
        let mut slot = slot.lock().await;
        if let Some(connection) = &*slot {
            return Ok((connection.clone(), false));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let connection = connection.map_err(|e| self.unreachable(&e))?;
        Ok((slot.insert(connection).clone(), true))
    }

    fn unreachable(&self, error: &RedisError) -> Error {
        let server = self.client.get_connection_info().addr();
        Error::new(
            ErrorKind::Ledger,
            format!("the ledger in the Redis at {server} cannot be used: {error}"),
        )
    }
}

impl LedgerTransport for RedisLedger {
    fn call(
        &self,
        operation: &'static str,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>> {
        let (server, keys) = (self.server.clone(), self.keys.clone());
        Box::pin(async move { server.call(operation, keys, args).await })
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
