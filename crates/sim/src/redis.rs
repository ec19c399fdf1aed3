//! A redis-server for tests, and a server that speaks the REST protocol for it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{IntoConnectionInfo, Value as Answer};
use serde_json::{Value, json};

/// A `redis-server` on loopback that writes nothing to disk. It is killed when this is dropped, and when the process ends in any way.
pub struct RedisServer {
    /// The shell that guards it.
    child: Child,
    port: u16,
    /// Its arguments besides those of every server.
    args: Vec<String>,
    /// The server's URL.
    pub url: String,
}

impl RedisServer {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// If there is no `redis-server` on the path, or it does not answer within five seconds.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(free_port()?, Vec::new()).await
    }

    async fn start_with(port: u16, args: Vec<String>) -> io::Result<Self> {
        let mut server = Self {
            child: spawn(port, &args)?,
            port,
            args,
            url: format!("redis://127.0.0.1:{port}"),
        };
        server.wait_until_up().await.map(|()| server)
    }

    /// Starts a server that also accepts TLS. Returns it with the URL for TLS, and the certificate of the authority to trust, in PEM.
    /// The server reads its key from files in `folder`.
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and if the files cannot be written.
    #[cfg(feature = "tls")]
    pub async fn start_tls(folder: &Path) -> io::Result<(Self, String, String)> {
        let certificate = crate::tls::Certificate::generate()?;
        let file = |name: &str, content: String| {
            let path = folder.join(name);
            std::fs::write(&path, content).map(|()| path.display().to_string())
        };
        let port = free_port()?;
        let args = vec![
            "--tls-port".to_owned(),
            port.to_string(),
            "--tls-cert-file".to_owned(),
            file("redis.crt", certificate.certificate.pem())?,
            "--tls-key-file".to_owned(),
            file("redis.key", certificate.key.serialize_pem())?,
            "--tls-ca-cert-file".to_owned(),
            file("ca.crt", certificate.authority.clone())?,
            "--tls-auth-clients".to_owned(),
            "no".to_owned(),
        ];
        let server = Self::start_with(free_port()?, args).await?;
        let url = format!("rediss://localhost:{port}");
        Ok((server, url, certificate.authority))
    }

    /// Waits until it answers.
    async fn wait_until_up(&mut self) -> io::Result<()> {
        let mut why = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..1000 {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "redis-server: {status}; `cargo xtask setup` installs it"
                )));
            }
            match self.command(&["PING"]).await {
                Ok(_) => return Ok(()),
                Err(error) => why = error,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(why)
    }

    /// Starts it again at the same address, without its data.
    ///
    /// # Errors
    /// If it does not answer within five seconds.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.child = spawn(self.port, &self.args)?;
        self.wait_until_up().await
    }

    /// Runs a command. Gives back its answer as text, which is empty for nil.
    ///
    /// # Errors
    /// If Redis cannot be reached, or answers with an error.
    pub async fn command(&self, words: &[&str]) -> io::Result<String> {
        let client = redis::Client::open(&*self.url).map_err(io::Error::other)?;
        let connection = client.get_multiplexed_async_connection().await;
        let mut connection = connection.map_err(io::Error::other)?;
        let (name, words) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let answer = redis::cmd(name)
            .arg(words)
            .query_async(&mut connection)
            .await;
        let answer: Option<String> = answer.map_err(io::Error::other)?;
        Ok(answer.unwrap_or_default())
    }

    /// Kills it, as when its machine fails.
    ///
    /// # Errors
    /// If the system cannot kill it.
    pub fn kill(&mut self) -> io::Result<()> {
        // Waiting closes its standard input.
        self.child.wait().map(drop)
    }
}

/// Starts a server and waits for standard input to end, which it does when this process ends, even if that is killed.
const GUARD: &str = r#"
command -v redis-server >&2 || exit
redis-server "$@" &
read -r _
kill -9 $!
wait
"#;

fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn spawn(port: u16, args: &[String]) -> io::Result<Child> {
    let mut guard = Command::new("sh");
    guard.args(["-c", GUARD, "sh", "--port", &port.to_string()]);
    guard.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    guard.args(args);
    // A signal for this process's group (Ctrl-C) would end the shell before the server.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut guard, 0);
    guard
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.kill();
    }
}

/// A Redis Cluster of three `redis-server`s on loopback.
pub struct RedisCluster {
    /// The nodes, each of which has a third of the slots.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three servers and joins them. They keep the state of the cluster in `folder`.
    ///
    /// # Errors
    /// Those of [`RedisServer::start`], and if the cluster is not complete within 20 seconds.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        let mut nodes = Vec::new();
        for slots in [["0", "5460"], ["5461", "10922"], ["10923", "16383"]] {
            let (port, bus) = (free_port()?, free_port()?);
            let args = [
                "--cluster-enabled".to_owned(),
                "yes".to_owned(),
                "--cluster-port".to_owned(),
                bus.to_string(),
                "--cluster-config-file".to_owned(),
                folder.join(port.to_string()).display().to_string(),
            ];
            let node = RedisServer::start_with(port, args.to_vec()).await?;
            let [first, last] = slots;
            node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last])
                .await?;
            // Distinct epochs: the nodes would otherwise have to agree on them.
            let epoch = (nodes.len() + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await?;
            nodes.push((node, bus));
        }
        let first = &nodes[0].0;
        for (node, bus) in &nodes[1..] {
            let (port, bus) = (node.port.to_string(), bus.to_string());
            first
                .command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await?;
        }
        let nodes = nodes.into_iter().map(|(node, _)| node).collect();
        let cluster = Self { nodes };
        for _ in 0..2000 {
            if cluster.is_complete().await? {
                return Ok(cluster);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    async fn is_complete(&self) -> io::Result<bool> {
        for node in &self.nodes {
            let info = node.command(&["CLUSTER", "INFO"]).await?;
            if !info.contains("cluster_state:ok") || !info.contains("cluster_known_nodes:3") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Moves the slot of a key to a node, without the keys in it.
    ///
    /// # Errors
    /// If a node cannot be reached, or refuses to.
    pub async fn move_slot(&self, key: &str, to: &RedisServer) -> io::Result<()> {
        let slot = self.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).await?;
        let id = to.command(&["CLUSTER", "MYID"]).await?;
        for node in &self.nodes {
            // Redis refuses to give away a slot with keys.
            let _ = node.command(&["FLUSHALL"]).await;
        }
        // What the node of the highest epoch says of a slot is right.
        to.command(&["CLUSTER", "BUMPEPOCH"]).await?;
        for node in &self.nodes {
            node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id])
                .await?;
        }
        Ok(())
    }
}

/// A server that speaks the REST protocol of [Upstash](https://upstash.com/docs/redis/features/restapi) for a Redis.
///
/// A client posts a command as a JSON list to `/`, or a list of commands to `/pipeline`. The server runs until
/// its tokio runtime ends.
pub struct RedisRestServer {
    /// The server's URL.
    pub url: String,
    /// The token that clients must send.
    pub token: String,
}

impl RedisRestServer {
    /// Starts a server on a free port, for the Redis at this URL.
    ///
    /// # Errors
    /// If Redis cannot be reached, or no port can be bound.
    pub async fn start(redis: &str) -> io::Result<Self> {
        let info = redis.into_connection_info().map_err(io::Error::other)?;
        let tcp = TcpSettings::default().set_nodelay(true);
        let client = redis::Client::open(info.set_tcp_settings(tcp)).map_err(io::Error::other)?;
        let connection = client.get_multiplexed_async_connection().await;
        let connection = connection.map_err(io::Error::other)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(address).await?;
        let token = "redis-rest-token".to_owned();
        let server = Self {
            url: format!("http://{}", listener.local_addr()?),
            token: token.clone(),
        };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // An answer goes out at once. A socket that is closed already cannot be set, and ends when it is read.
                let _ = socket.set_nodelay(true);
                let (connection, token) = (connection.clone(), token.clone());
                let service =
                    service_fn(move |request| serve(request, connection.clone(), token.clone()));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(socket), service));
            }
        });
        Ok(server)
    }
}

async fn serve(
    request: Request<Incoming>,
    mut connection: MultiplexedConnection,
    token: String,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let encoded = header("upstash-encoding") == Some("base64");
    let allowed = header("authorization") == Some(&format!("Bearer {token}"));
    let pipeline = request.uri().path().trim_end_matches('/') == "/pipeline";
    let is_preflight = request.method() == Method::OPTIONS;
    let body = request.into_body().collect().await?.to_bytes();
    // The preflight request of a browser has no token.
    let (status, answer) = if is_preflight {
        (StatusCode::OK, Value::Null)
    } else if !allowed {
        (
            StatusCode::UNAUTHORIZED,
            json!({"error": "WRONGPASS invalid or missing auth token"}),
        )
    } else if pipeline {
        let commands: Vec<Vec<Value>> = serde_json::from_slice(&body).unwrap_or_default();
        let mut answers = Vec::new();
        for command in commands {
            answers.push(run(&mut connection, &command, encoded).await.1);
        }
        (StatusCode::OK, answers.into())
    } else {
        let command: Vec<Value> = serde_json::from_slice(&body).unwrap_or_default();
        run(&mut connection, &command, encoded).await
    };
    let mut response = Response::new(Full::from(answer.to_string()));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type",
        ),
    ] {
        let value = header::HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

async fn run(
    connection: &mut MultiplexedConnection,
    command: &[Value],
    encoded: bool,
) -> (StatusCode, Value) {
    let [name, words @ ..] = command else {
        return (
            StatusCode::BAD_REQUEST,
            json!({"error": "ERR empty command"}),
        );
    };
    let word = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut command = redis::cmd(&word(name));
    command.arg(words.iter().map(word).collect::<Vec<_>>());
    match command.query_async::<Answer>(connection).await {
        Ok(answer) => (StatusCode::OK, json!({"result": json_of(answer, encoded)})),
        Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error.to_string()})),
    }
}

fn json_of(answer: Answer, encoded: bool) -> Value {
    match answer {
        Answer::Nil => Value::Null,
        Answer::Int(number) => number.into(),
        // Never encoded, as by Upstash.
        Answer::Okay => "OK".into(),
        Answer::SimpleString(text) => text.into(),
        Answer::BulkString(bytes) if encoded => base64(&bytes).into(),
        Answer::BulkString(bytes) => String::from_utf8_lossy(&bytes).into(),
        Answer::Array(list) => list
            .into_iter()
            .map(|item| json_of(item, encoded))
            .collect(),
        other => format!("{other:?}").into(),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
