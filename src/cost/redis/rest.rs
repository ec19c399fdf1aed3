use std::time::Duration;

use bytes::Bytes;

use super::script::{NAME, keys, script};
use crate::cost::remote::LedgerTransport;
use crate::json::{Reader, Stopped, Writer, quote};
use crate::pool::Alerts;
use crate::provider::Endpoint;
use crate::runtime::{self, BoxFuture};
use crate::transport::{Options, Proxy, Timeouts, Transport};
use crate::{Error, ErrorKind, Limits, Result, Timing};

/// How long each wait for it may take.
const AT_MOST: Duration = Duration::from_secs(5);

/// An answer is not longer.
const MAX_BODY: usize = 64 << 10;

/// A ledger in a Redis that is reached over HTTP: the REST protocol that Upstash documents
/// (<https://upstash.com/docs/redis/features/restapi>), for where there is nothing but `fetch`. It is the same ledger as
/// `RedisLedger`'s in the same database.
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
    /// Used by calls, in whatever runtime they run.
    foreground: Transport,
    /// Used in the background, so that settlements do not need that runtime.
    background: Transport,
    keys: [String; 2],
}

impl RestLedger {
    /// The ledger behind an address, with the token that it wants.
    ///
    /// # Errors
    /// `Config` where the address is none, or no HTTP header can carry the token.
    ///
    /// ```
    /// assert!(warmline::RestLedger::new("upstash", "token").is_err());
    /// ```
    pub fn new(url: &str, token: &str) -> Result<Self> {
        Self::through(Proxy::Environment, url, token)
    }

    /// The same, through this proxy.
    pub(crate) fn through(proxy: Proxy, url: &str, token: &str) -> Result<Self> {
        let endpoint = Endpoint::parse("ledger's URL", url, "https://example.upstash.io")?;
        if token.bytes().any(|b| !b.is_ascii_graphic()) {
            let message = "the ledger's token holds characters that no HTTP header can carry";
            return Err(Error::config(message));
        }
        let options = Options {
            limits: Limits::default(),
            alerts: Alerts::default(),
            timeouts: Timeouts {
                pool: AT_MOST,
                connect: AT_MOST,
                response_headers: AT_MOST,
            },
            http2: false,
            http2_ping: None,
            root_certificates: Vec::new(),
            proxy,
            headers: vec![
                ("authorization".into(), format!("Bearer {token}")),
                ("content-type".into(), "application/json".into()),
            ],
        };
        Ok(Self {
            foreground: Transport::new(&endpoint, options.clone())?,
            background: Transport::new(&endpoint, options)?,
            endpoint,
            keys: keys(NAME)?,
        })
    }

    /// Keeps the books under another name than `warmline`, apart from those of others in the same database.
    ///
    /// # Errors
    /// `Config` where the name is empty or has other characters than ASCII letters, digits and `-_.:@`.
    ///
    /// ```
    /// let ledger = warmline::RestLedger::new("https://example.upstash.io", "token")?.name("staging")?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Result<Self> {
        self.keys = keys(name)?;
        Ok(self)
    }
}

/// Sends a command and gives its answer, or why there is none.
async fn send(transport: &Transport, command: String) -> std::result::Result<Vec<String>, String> {
    let why = |e: Error| e.message().to_owned();
    let body = Bytes::from(command);
    let answer = transport
        .send(&body, &[], &mut Timing::default(), &|| ())
        .await;
    let mut answer = answer.map_err(why)?;
    let mut text = Vec::new();
    let whole = async {
        while let Some(chunk) = answer.body.chunk().await {
            text.extend_from_slice(&chunk.map_err(why)?);
            if text.len() > MAX_BODY {
                return Err("its answer is longer than any ledger's".to_owned());
            }
        }
        Ok(())
    };
    let whole = runtime::timeout(AT_MOST, whole).await;
    whole.unwrap_or_else(|| Err(format!("its answer took longer than {AT_MOST:?}")))?;
    answer.body.finish();
    let text = String::from_utf8_lossy(&text);
    read(&text).unwrap_or_else(|Stopped| {
        let start: String = text.chars().take(200).collect();
        Err(format!("it answers {} {}", answer.status, quote(&start)))
    })
}

/// `{"result": […]}`, or `{"error": "…"}`.
fn read(text: &str) -> std::result::Result<std::result::Result<Vec<String>, String>, Stopped> {
    let mut json = Reader::new(text);
    let mut answer = None;
    json.object()?;
    while let Some(key) = json.key()? {
        match &*key {
            "error" => answer = Some(Err(json.value_text()?.into_owned())),
            "result" => {
                let mut args = Vec::new();
                json.list()?;
                while json.item()? {
                    args.push(json.value_text()?.into_owned());
                }
                answer = Some(Ok(args));
            }
            _ => json.pass()?,
        }
    }
    json.end()?;
    answer.ok_or(Stopped)
}

impl LedgerTransport for RestLedger {
    fn call(
        &self,
        what: &'static str,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>> {
        let transport = match what {
            "settle" => self.background.clone(),
            _ => self.foreground.clone(),
        };
        let origin = self.endpoint.origin().to_owned();
        let mut command = vec![
            "EVAL".into(),
            script(what).to_owned(),
            self.keys.len().to_string(),
        ];
        command.extend(self.keys.iter().cloned());
        command.extend(args);
        let mut json = Writer::default();
        json.list(&command, |json, word| json.text(word));
        Box::pin(async move {
            let answer = send(&transport, json.into_text()).await;
            answer.map_err(|why| {
                let message = ["the ledger at ", &origin, " cannot be used: ", &why].concat();
                Error::new(ErrorKind::Connect, message)
            })
        })
    }
}
