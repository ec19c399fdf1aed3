//! Requests to any endpoint below the base URL, passed on as they are.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::clock::{Clock, Silence};
use super::exchange::Exchange;
use super::handle::Client;
use crate::provider::Prices;
use crate::quote::quote;
use crate::runtime;
use crate::secret::Redactor;
use crate::transport::Body;
use crate::{CallOptions, Error, Provider, Result};

/// Headers that are not forwarded, and those whose name begins with `proxy-`.
///
/// They concern one connection (RFC 9110, section 7.6.1), authorize the caller, turn a request that is free into another one, or ask for a body that
/// the secret cannot be found in.
const NOT_FORWARDED: [&str; 20] = [
    "accept-encoding",
    "api-key",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amz-security-token",
    "x-api-key",
    "x-goog-api-key",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// The endpoints that count tokens, which providers do not charge for.
const FREE: [&str; 2] = ["/messages/count_tokens", "/responses/input_tokens"];

/// A response to [`Client::forward`]. Its body is read as it arrives. Dropping it before its end aborts the request.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let request = http::Request::get("/files/file-abc/content").body(bytes::Bytes::new())?;
/// let mut response = client.forward(request, []).await?;
/// println!("{:?}", response.headers().get("content-type"));
/// while let Some(bytes) = response.chunk().await {
///     println!("{} bytes", bytes?.len());
/// }
/// # Ok(()) }
/// ```
pub struct ForwardResponse {
    status: StatusCode,
    headers: HeaderMap,
    attempts: usize,
    provider: Provider,
    /// `None` once it has ended.
    body: Option<Body>,
    redactor: Redactor,
    clock: Clock,
    silence: Silence,
}

impl Client {
    /// Sends a request to any endpoint below the client's base URL, and returns the response as the provider writes it. Use it for endpoints
    /// that this crate has no method for, such as files, batches, images and audio. The client's pool, credentials and timeouts apply.
    ///
    /// The URI of the request is the path below the base URL and its version, with or without a query: `/files?limit=9` is
    /// `https://api.openai.com/v1/files?limit=9` or `https://api.anthropic.com/v1/files?limit=9`. `options` are the settings of this call. Their
    /// headers are added to those of the request, and are all sent.
    ///
    /// These headers of the request are left out: credentials, cookies, `host`, headers of one connection, `accept-encoding`, and headers that
    /// override the method. All others are forwarded, such as `anthropic-beta` and `content-type`.
    ///
    /// `GET` and `HEAD` are retried like every call. Other requests are sent again only if the provider cannot have processed them.
    ///
    /// The response returns with its head. Each silence of its body is limited by
    /// [`reply_timeout`](crate::ClientBuilder::reply_timeout), and the whole by the deadline, if there is one. The size of the body is
    /// not limited, because it is not kept. On WebAssembly, [`ForwardResponse::headers`] has only `content-type` and the ID of the request.
    ///
    /// # Cost
    /// The cost of these requests is not known, and no [`CostTracker`](crate::CostTracker) counts it. If the client's tracker has a budget,
    /// only requests that cost nothing are sent: `GET`, `HEAD` and `DELETE`, counts of tokens, and any request to a provider that charges
    /// nothing, such as a local server.
    ///
    /// # Errors
    /// Those of [`Client::chat`], and an error for every status other than 2xx and 304. Redirects are not followed. [`Error::status`] and
    /// [`Error::body`] hold the provider's answer.
    ///
    /// `Config` for a URI with a host, a path that could lead out of the base URL (`..`, `//`), another method than `GET`, `HEAD`, `POST`,
    /// `PUT`, `PATCH` and `DELETE`, a `GET` or `HEAD` with a body, and for a request that can cost something while there is a budget.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let body = r#"{"model": "text-embedding-3-small", "input": "Hello"}"#;
    /// let response = client.forward(http::Request::post("/embeddings").body(body.into())?, []).await?;
    /// println!("{}", String::from_utf8_lossy(&response.bytes(1 << 20).await?));
    /// # Ok(()) }
    /// ```
    pub async fn forward(
        &self,
        request: http::Request<Bytes>,
        options: impl Into<CallOptions>,
    ) -> Result<ForwardResponse> {
        let (head, body) = request.into_parts();
        if head.uri.authority().is_some() {
            let message = [
                "the URI ",
                &quote(head.uri.path()),
                " has a host: give the path below the client's base URL, such as \"/files\"",
            ];
            return Err(Error::config(message.concat()));
        }
        check_method(&head.method, &body)?;
        self.check_price(&head.method, head.uri.path())?;
        let mut options = options.into();
        let mut headers = forwarded(&head.headers)?;
        headers.append(&mut options.headers);
        options.headers = headers;
        let target = (head.uri.path(), head.uri.query());
        let exchange = Exchange::new(self, head.method.clone(), target, body, &options)?;
        let answer = exchange.send().await?;
        Ok(ForwardResponse {
            status: StatusCode::from_u16(answer.response.status).unwrap_or_default(),
            headers: answer.response.headers,
            attempts: answer.attempts,
            provider: self.provider(),
            body: Some(answer.response.body),
            redactor: Redactor::new(answer.secret),
            clock: answer.clock,
            silence: Silence {
                since: None,
                read_until: None,
            },
        })
    }

    /// # Errors
    /// `Config` for a request that can cost something while there is a budget, because what it costs is not known.
    fn check_price(&self, method: &Method, path: &str) -> Result<()> {
        let is_free = [Method::GET, Method::HEAD, Method::DELETE].contains(method)
            || FREE.contains(&path)
            || self.inner.price_row().prices == Prices::Free;
        if is_free || !self.cost.has_budget() {
            return Ok(());
        }
        let message = [
            "there is a budget, and no price is known for ",
            method.as_str(),
            " ",
            &quote(path),
            ": only requests without cost can be forwarded within a budget",
        ];
        let error = Error::config(message.concat());
        Err(error.with_hint(
            "use a client without a budget (for `warmline serve`: `--budget none`, and a key without a budget)",
        ))
    }
}

fn check_method(method: &Method, body: &Bytes) -> Result<()> {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let (name, why) = match known.iter().position(|known| known == method) {
        None => (
            quote(method.as_str()),
            " cannot be forwarded: it must be GET, HEAD, POST, PUT, PATCH or DELETE",
        ),
        Some(0 | 1) if !body.is_empty() => (method.to_string(), " cannot have a body"),
        Some(_) => return Ok(()),
    };
    Err(Error::config(["the method ", &name, why].concat()))
}

/// Returns the headers that are forwarded. Those of one name become one.
fn forwarded(headers: &HeaderMap) -> Result<Vec<(String, String)>> {
    let of_connection: Vec<&str> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let mut kept = Vec::new();
    for name in headers.keys().map(http::HeaderName::as_str) {
        let is_left_out = NOT_FORWARDED.contains(&name)
            || name.starts_with("proxy-")
            || of_connection.iter().any(|of| of.eq_ignore_ascii_case(name));
        if is_left_out {
            continue;
        }
        let mut values = Vec::new();
        for value in headers.get_all(name) {
            let value = value.to_str().map_err(|_| {
                let message = [
                    "the header ",
                    &quote(name),
                    " has a value that is not ASCII",
                ];
                Error::config(message.concat())
            })?;
            values.push(value);
        }
        kept.push((name.to_owned(), values.join(", ")));
    }
    Ok(kept)
}

impl ForwardResponse {
    /// Returns the status: one of success (2xx), or 304 in answer to a header such as `if-none-match`.
    ///
    /// ```no_run
    /// # fn demo(response: warmline::ForwardResponse) {
    /// assert!(response.status().is_success());
    /// # }
    /// ```
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers, without the client's key.
    ///
    /// ```no_run
    /// # fn demo(response: warmline::ForwardResponse) {
    /// println!("{:?}", response.headers().get("content-type"));
    /// # }
    /// ```
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns how many attempts it took.
    ///
    /// ```no_run
    /// # fn demo(response: warmline::ForwardResponse) {
    /// println!("{} attempts", response.attempts());
    /// # }
    /// ```
    pub fn attempts(&self) -> usize {
        self.attempts
    }

    /// Returns the next bytes of the body, without the client's key, or `None` after the last.
    ///
    /// # Errors
    /// `Stream` if the connection breaks, and `Timeout` after a silence.
    ///
    /// ```no_run
    /// # async fn demo(mut response: warmline::ForwardResponse) -> warmline::Result<()> {
    /// while let Some(bytes) = response.chunk().await {
    ///     println!("{} bytes", bytes?.len());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn chunk(&mut self) -> Option<Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Polls for what [`ForwardResponse::chunk`] returns, for a body that is polled.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if let Err(error) = runtime::ensure() {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            let bytes = match body.poll_chunk(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.silence.since = None;
                    self.redactor.push(bytes)
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(self.fail(error)))),
                Poll::Ready(None) => {
                    self.body = None;
                    self.redactor.finish()
                }
                Poll::Pending => {
                    let error = ready!(self.clock.poll_silence(&mut self.silence, false, cx));
                    return Poll::Ready(Some(Err(self.fail(error))));
                }
            };
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(bytes)));
            }
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.body = None;
        let id = crate::dialect::request_id(&self.headers);
        error
            .with_provider(self.provider)
            .with_request_id(id.as_deref())
    }

    /// Reads the rest of the body, of at most so many bytes.
    ///
    /// # Errors
    /// Those of [`ForwardResponse::chunk`], and `Decode` for a larger body.
    ///
    /// ```no_run
    /// # async fn demo(response: warmline::ForwardResponse) -> warmline::Result<()> {
    /// let body = response.bytes(1 << 20).await?;
    /// # Ok(()) }
    /// ```
    pub async fn bytes(mut self, at_most: usize) -> Result<Bytes> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.chunk().await {
            whole.extend_from_slice(&bytes?);
            if whole.len() > at_most {
                let message = format!("the body is larger than {at_most} bytes");
                return Err(self.fail(Error::decode(message)));
            }
        }
        Ok(whole.into())
    }
}
