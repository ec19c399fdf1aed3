use std::time::Duration;

use bytes::Bytes;

use super::script::{NAME, checked_name, key, script};
use crate::cost::remote::{LedgerTransport, Operation};
use crate::pool::Alerts;
use crate::provider::Endpoint;
use crate::quote::quote;
use crate::runtime::{self, BoxFuture};
use crate::secret::Secret;
use crate::timeouts::Timeouts;
use crate::transport::{HttpRequest, Options, Proxy, Transport};
use crate::{Error, ErrorKind, Limits, Result, Timing};

/// The timeout of each phase of a request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of a response body, in bytes.
const MAX_BODY: usize = 64 << 10;

/// A ledger in Redis that is reached over HTTP, for runtimes that have only `fetch`.
///
/// It uses the REST API that Upstash documents (<https://upstash.com/docs/redis/features/restapi>). In the same database it is the
/// same ledger as a `RedisLedger` of the same name. Each phase of a request times out after 5 s.
///
/// ```
/// use warmline::{CostTracker, RestLedger};
///
/// let ledger = RestLedger::new("https://example.upstash.io", "token")?;
/// let tracker = CostTracker::new().ledger(ledger);
/// # Ok::<(), warmline::Error>(())
/// ```
pub struct RestLedger {
    endpoint: Endpoint,
    /// The connections of calls, which are driven by their runtime.
    foreground: Transport,
    /// The connections of settlements, which are driven in the background: the calls' runtime may have ended.
    background: Transport,
    token: Secret,
    name: String,
}

impl RestLedger {
    /// Returns the ledger at the URL of a REST API, with its access token.
    ///
    /// # Errors
    /// `Config` if the URL is invalid or the token contains characters that are not allowed in an HTTP header.
    ///
    /// ```
    /// assert!(warmline::RestLedger::new("upstash", "token").is_err());
    /// ```
    pub fn new(url: &str, token: &str) -> Result<Self> {
        Self::through(Proxy::Environment, url, token)
    }

    /// Like [`new`](Self::new), but connects through the given proxy.
    pub(crate) fn through(proxy: Proxy, url: &str, token: &str) -> Result<Self> {
        let endpoint = Endpoint::parse("ledger's URL", url, "https://example.upstash.io")?;
        if token.bytes().any(|b| !b.is_ascii_graphic()) {
            let message =
                "the ledger's token contains characters that are not allowed in an HTTP header";
            return Err(Error::config(message));
        }
        endpoint.warn_if_unencrypted("the ledger's token");
        let options = Options {
            limits: Limits::default(),
            alerts: Alerts::default(),
            timeouts: Timeouts::all(TIMEOUT),
            http2: false,
            http2_ping: None,
            root_certificates: Vec::new(),
            proxy,
            headers: vec![
                ("authorization".into(), format!("Bearer {token}")),
                ("content-type".into(), "application/json".into()),
            ],
            fetch: None,
        };
        Ok(Self {
            foreground: Transport::new(&endpoint, options.clone())?,
            background: Transport::new(&endpoint, options)?,
            endpoint,
            token: token.into(),
            name: NAME.to_owned(),
        })
    }

    /// Sets the name of the ledger. The default is `warmline`. Ledgers of different names in the same database are independent.
    ///
    /// # Errors
    /// `Config` if the name is empty or contains characters other than ASCII letters, digits and `-_.:@`.
    ///
    /// ```
    /// let ledger = warmline::RestLedger::new("https://example.upstash.io", "token")?.name("staging")?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Result<Self> {
        self.name = checked_name(name)?;
        Ok(self)
    }
}

/// Sends a command and returns its result, or the reason why there is none.
async fn send(transport: &Transport, command: String) -> std::result::Result<Vec<String>, String> {
    let message = |e: Error| e.message().to_owned();
    let body = Bytes::from(command);
    let mut timing = Timing::default();
    let ticket = transport.ticket();
    let turn = transport.acquire(ticket, TIMEOUT, &mut timing).await;
    let response = transport
        .send(
            turn.map_err(message)?,
            HttpRequest {
                method: &http::Method::POST,
                to: None,
                body: &body,
                headers: &[],
                timeouts: &Timeouts::all(TIMEOUT),
            },
            &mut timing,
            &|_| (),
        )
        .await;
    let mut response = response.map_err(message)?;
    let mut text = Vec::new();
    let read_body = async {
        while let Some(chunk) = response.body.chunk().await {
            text.extend_from_slice(&chunk.map_err(message)?);
            if text.len() > MAX_BODY {
                return Err(format!("the response is longer than {MAX_BODY} bytes"));
            }
        }
        Ok(())
    };
    let complete = runtime::timeout(TIMEOUT, read_body).await;
    complete.unwrap_or_else(|| Err(format!("the response body took longer than {TIMEOUT:?}")))?;
    response.body.finish();
    match serde_json::from_slice(&text) {
        Ok(Response {
            error: Some(why), ..
        }) => Err(why),
        Ok(Response {
            result: Some(values),
            ..
        }) => Ok(values.into_iter().map(Value::into_text).collect()),
        _ => {
            let text = String::from_utf8_lossy(&text);
            Err(format!(
                "unexpected response {} {}",
                response.status,
                quote(&text)
            ))
        }
    }
}

#[derive(serde::Deserialize)]
struct Response {
    result: Option<Vec<Value>>,
    error: Option<String>,
}

/// A value that a script returns: text or a whole number.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(i64),
}

impl Value {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

impl LedgerTransport for RestLedger {
    fn key(&self, part: &str) -> String {
        key(&self.name, part)
    }

    fn call(
        &self,
        operation: Operation,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>> {
        let transport = match operation {
            Operation::Settle => self.background.clone(),
            _ => self.foreground.clone(),
        };
        let origin = self.endpoint.origin().to_owned();
        let mut command = vec![
            "EVAL".into(),
            script(operation).to_owned(),
            keys.len().to_string(),
        ];
        command.extend(keys);
        command.extend(args);
        let token = self.token.clone();
        // Serializing strings to memory cannot fail.
        let command = serde_json::to_string(&command).unwrap_or_default();
        Box::pin(async move {
            let result = send(&transport, command).await;
            result.map_err(|reason| {
                let message = ["the ledger at ", &origin, " cannot be used: ", &reason].concat();
                Error::new(ErrorKind::Ledger, message).redacted(&token)
            })
        })
    }
}
