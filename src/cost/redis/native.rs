use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, Script,
    ServerErrorKind,
};
use tokio::sync::Mutex;

use super::script::{NAME, checked_name, key, script};
use crate::cost::remote::{LedgerTransport, Operation};
use crate::runtime::BoxFuture;
use crate::{Error, Result};

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
/// In a Redis Cluster the URL may be that of any node. The keys of a ledger are on one node, and the ledger connects to that node when
/// the other one redirects it. If that connection breaks, it asks the node of the URL again, so use a host name that leads to a
/// node that is up.
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
    name: String,
}

struct Server {
    client: redis::Client,
    /// In the order of the operations.
    scripts: [Script; Operation::ALL.len()],
    /// The connection of calls, which is driven by their runtime.
    foreground: Slot,
    /// The connection of settlements, which is driven in the background: the calls' runtime may have ended.
    background: Slot,
}

/// A connection, and the node that it leads to if the server has redirected the client.
type Slot = Mutex<Option<(MultiplexedConnection, Option<Node>)>>;

/// The host and port of a node of a cluster.
type Node = (String, u16);

/// The maximum number of redirections of one operation.
const MAX_REDIRECTIONS: usize = 5;

impl RedisLedger {
    /// Returns the ledger in the Redis at a URL: `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
    ///
    /// The ledger connects when it is first used. TLS trusts the certificates of the system.
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
        choose_cryptography();
        // Without TCP_NODELAY, a command on the shared connection waits until the server has acknowledged the one before.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info().map_err(invalid)?;
        let client = redis::Client::open(info.set_tcp_settings(tcp)).map_err(invalid)?;
        Ok(Self {
            server: Arc::new(Server::new(client)),
            name: NAME.to_owned(),
        })
    }

    /// Trusts the root certificates in a text in PEM format instead of those of the system.
    ///
    /// # Errors
    /// `Config` if the text contains anything but certificates, or the URL does not begin with `rediss://`.
    ///
    /// ```no_run
    /// # use warmline::RedisLedger;
    /// let pem = std::fs::read("company-ca.pem").unwrap();
    /// let ledger = RedisLedger::open("rediss://redis.internal")?.root_certificate(pem)?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Result<Self> {
        let pem = pem.into();
        crate::transport::pem::check_certificates(&pem)?;
        let certificates = redis::TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        };
        let info = self.server.client.get_connection_info().clone();
        let client = redis::Client::build_with_tls(info, certificates).map_err(|e| {
            Error::config("the root certificate of the ledger cannot be used").with_source(e)
        })?;
        self.server = Arc::new(Server::new(client));
        Ok(self)
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
        self.name = checked_name(name)?;
        Ok(self)
    }
}

impl Server {
    fn new(client: redis::Client) -> Self {
        Self {
            client,
            scripts: Operation::ALL.map(|operation| Script::new(script(operation))),
            foreground: Slot::default(),
            background: Slot::default(),
        }
    }

    async fn call(
        &self,
        operation: Operation,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Result<Vec<String>> {
        let slot = match operation {
            Operation::Settle => &self.background,
            _ => &self.foreground,
        };
        let mut invocation = self.scripts[operation as usize].prepare_invoke();
        invocation.key(keys).arg(args);
        let mut node = None;
        let mut redirections = 0;
        loop {
            let (mut connection, is_new) = self.connection(slot, node.take()).await?;
            let error = match invocation.invoke_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
                && redirections < MAX_REDIRECTIONS
            {
                redirections += 1;
                node = node_of(&error);
                continue;
            }
            // A server that has become a replica is read-only. The URL may lead to another one by now.
            let broken = error.is_unrecoverable_error()
                || error.is_io_error()
                || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
            if broken {
                slot.lock().await.take();
            }
            // The server may have closed an idle connection. Running a script twice has the effect of once, but for these two. What is taken
            // twice is in use for longer than needed; what is given back twice would exceed the quota.
            if !broken || is_new || operation == Operation::GiveBack {
                return Err(self.unreachable(&error));
            }
        }
    }

    /// Returns the connection in a slot, and whether it is new. If the server has redirected the client, it must lead to that
    /// node.
    async fn connection(
        &self,
        slot: &Slot,
        node: Option<Node>,
    ) -> Result<(MultiplexedConnection, bool)> {
        let mut slot = slot.lock().await;
        if let Some((connection, leads_to)) = &*slot
            && (node.is_none() || node == *leads_to)
        {
            return Ok((connection.clone(), false));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let client = match &node {
            Some(node) => self.client_of(node),
            None => Ok(self.client.clone()),
        };
        let client = client.map_err(|e| self.unreachable(&e))?;
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let connection = connection.map_err(|e| self.unreachable(&e))?;
        let (connection, _) = slot.insert((connection, node));
        Ok((connection.clone(), true))
    }

    /// Returns a client of another node, with the same credentials and certificates.
    fn client_of(&self, (host, port): &Node) -> redis::RedisResult<redis::Client> {
        let info = self.client.get_connection_info();
        let mut addr = info.addr().clone();
        if let ConnectionAddr::Tcp(old_host, old_port)
        | ConnectionAddr::TcpTls {
            host: old_host,
            port: old_port,
            ..
        } = &mut addr
        {
            // An empty host stands for the one that sent the redirection.
            if !host.is_empty() {
                old_host.clone_from(host);
            }
            *old_port = *port;
        }
        redis::Client::open(info.clone().set_addr(addr))
    }

    fn unreachable(&self, error: &RedisError) -> Error {
        let info = self.client.get_connection_info();
        let server = info.addr();
        let password = info.redis_settings().password().unwrap_or_default();
        Error::new(
            crate::ErrorKind::Ledger,
            format!("the ledger in the Redis at {server} cannot be used: {error}"),
        )
        .redacted(&password.into())
    }
}

/// Chooses the cryptography of rustls, unless the program has. The Redis client would panic in a program whose crates enable two
/// kinds of it.
fn choose_cryptography() {
    #[cfg(feature = "rustls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// Returns the node that an error redirects the client to, as `host:port`.
fn node_of(error: &RedisError) -> Option<Node> {
    let (address, _slot) = error.redirect_node()?;
    // The host can be an IPv6 address.
    let (host, port) = address.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

impl LedgerTransport for RedisLedger {
    fn key(&self, part: &str) -> String {
        key(&self.name, part)
    }

    fn call(
        &self,
        operation: Operation,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>> {
        let server = self.server.clone();
        Box::pin(async move { server.call(operation, keys, args).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_is_set_up() {
        for url in ["redis://127.0.0.1", "rediss://user:password@example.com/1"] {
            let ledger = RedisLedger::open(url).unwrap();
            let info = ledger.server.client.get_connection_info();
            assert!(info.tcp_settings().nodelay(), "{url}");
        }
        #[cfg(feature = "rustls")]
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
