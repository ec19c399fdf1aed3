//! A call and its attempts, from the encoded request to the reply or to the first content of a stream.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use tracing::Instrument;

use super::active::ActiveStream;
use super::body::Whole;
use super::context::CallContext;
use super::early::Early;
use super::handle::{Client, Inner};
use crate::cost::{CostEstimate, Reservation};
use crate::dialect::{EncodeOptions, RequestFacts};
use crate::error::seconds;
use crate::provider::{Endpoint, secret_in};
use crate::runtime::{self, BoxFuture, Instant};
use crate::transport::HttpResponse;
use crate::{CostTracker, Error, ErrorKind, Reply, Request, Result, TimeoutKind, headers, trace};

/// The maximum number of bytes that are kept of an error response's body.
const MAX_ERROR_BODY: usize = 64 << 10;
/// The maximum size of the body of an unstreamed reply, in bytes.
const MAX_BODY: usize = 64 << 20;

/// A call that has not been sent yet, or is being retried.
pub(super) struct Call {
    context: CallContext,
    cost: CostTracker,
    estimate: Arc<CostEstimate>,
    body: Bytes,
    /// The range of the body that requests the usage of a stream, and the bytes that it replaced.
    asked_usage: Option<(Range<usize>, Bytes)>,
    /// Additional headers of this call.
    headers: Vec<(String, String)>,
    /// The endpoint of this call, if it is not the client's.
    endpoint: Option<Endpoint>,
    stream: bool,
    /// Whether several replies are requested.
    several: bool,
    keep_raw: bool,
}

/// The result of a successful attempt.
pub(super) enum Outcome {
    Reply(Box<Reply>),
    /// A stream that has reached its first content, or its end.
    Stream(Box<ActiveStream>),
}

impl Call {
    pub(super) fn new(client: &Client, request: &Request, stream: bool) -> Result<Self> {
        let Inner {
            provider, dialect, ..
        } = &*client.inner;
        let model = request.model.as_deref().unwrap_or(&client.inner.model);
        if model.is_empty() {
            let message = [
                "the request names no model, and ",
                provider.name(),
                " has no default model: set one in the request or in the client (LLM_MODEL)",
            ];
            return Err(Error::config(message.concat()));
        }
        let base_url = request.options.base_url.as_deref();
        let endpoint = client.inner.endpoint_of(base_url, model)?;
        // `of` requests the usage, so that this can be undone.
        let options = EncodeOptions::new(model).stream(stream).stream_usage(false);
        request.validate()?;
        let body = dialect.body(request, &options)?;
        let facts = dialect.facts(body.as_bytes())?;
        let mut call = Self::of(client, body.into(), &facts, model, request)?;
        call.endpoint = endpoint;
        call.headers = checked(request.options.headers.iter().cloned())?;
        call.stream = stream;
        call.keep_raw = request.keep_raw;
        Ok(call)
    }

    /// Creates a call from a body in the provider's dialect.
    pub(super) fn raw(
        client: &Client,
        body: Bytes,
        headers: Vec<(String, String)>,
    ) -> Result<Self> {
        let headers = checked(headers)?;
        let facts = client.inner.dialect.facts(&body)?;
        let model = facts.model.as_deref().unwrap_or_default();
        let mut call = Self::of(client, body, &facts, model, &Request::new())?;
        call.endpoint = client.inner.endpoint_of(None, model)?;
        call.headers = headers;
        call.context.forward = Some(Early::default());
        Ok(call)
    }

    pub(super) fn forward(&self) -> Option<Early> {
        self.context.forward.clone()
    }

    /// Creates a call that sends a body. The request only supplies attributes of the span.
    fn of(
        client: &Client,
        mut body: Bytes,
        facts: &RequestFacts,
        model: &str,
        request: &Request,
    ) -> Result<Self> {
        let Client {
            inner: client,
            cost,
        } = client.clone();
        let mut asked_usage = None;
        let ask = facts.ask_usage.as_ref().filter(|_| facts.stream);
        if let Some((place, usage)) = ask
            && !client.refuses_usage.load(Relaxed)
        {
            let replaced = body.slice(place.clone());
            let asked = place.start..place.start + usage.len();
            body = [&body[..place.start], usage.as_bytes(), &body[place.end..]]
                .concat()
                .into();
            asked_usage = Some((asked, replaced));
        }
        let span = trace::call(client.provider, model, request, &client.endpoint);
        let host = client.endpoint.host();
        let (provider, dialect) = (client.provider, client.dialect.as_ref());
        let estimate = CostEstimate::new(&cost, provider, dialect, host, model, facts, body.len())?;
        Ok(Self {
            context: CallContext::new(client, span),
            cost,
            estimate: Arc::new(estimate),
            body,
            asked_usage,
            headers: Vec::new(),
            endpoint: None,
            stream: facts.stream,
            several: facts.replies > 1,
            keep_raw: false,
        })
    }

    /// Makes attempts until one succeeds or the error is not to be retried. The future is large, and callers that spawn a call
    /// move it, so it is in a box.
    pub(super) fn run(self) -> BoxFuture<'static, Result<Outcome>> {
        Box::pin(runtime::within(self.within_deadline()))
    }

    async fn within_deadline(mut self) -> Result<Outcome> {
        self.context.start = Instant::now();
        let span = self.context.span.clone();
        let deadline = self.context.client.deadline;
        async move {
            match deadline {
                None => self.attempts().await,
                Some(deadline) => {
                    let attempts = runtime::timeout(deadline, self.attempts()).await;
                    attempts.unwrap_or_else(|| {
                        let error = Error::timeout(TimeoutKind::Deadline, deadline);
                        Err(self.context.fail(error))
                    })
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn attempts(&mut self) -> Result<Outcome> {
        let mut refused = None;
        loop {
            let reserved = Reservation::make(&self.cost, &self.estimate).await;
            self.context.reservation = match reserved {
                Ok(reservation) => Some(Arc::new(reservation)),
                Err(error) => return Err(self.context.fail(error)),
            };
            self.context.attempts += 1;
            let error = match self.attempt(refused.as_deref()).await {
                Ok(answer) => {
                    self.context.client.retry_budget.succeeded();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.context.reservation = None;
            let forward = self.context.forward.as_ref();
            if forward.is_some_and(|early| !early.reset()) {
                return Err(self.context.fail(error));
            }
            if self.stop_asking_for_usage(&error) {
                continue;
            }
            // A token can be revoked before it expires, so another one is tried once.
            if error.status() == Some(401)
                && refused.is_none()
                && self.context.client.credentials.can_renew()
            {
                refused = Some(self.context.secret.clone());
                continue;
            }
            let renewals = u32::from(refused.is_some());
            let retries = self.context.attempts - 1 - renewals;
            let decision = self.context.client.retry.decide(
                retries,
                &error,
                &self.context.client.retry_budget,
                runtime::random(),
            );
            let delay = match decision {
                Ok(delay) => delay,
                Err(None) => return Err(self.context.fail(error)),
                Err(Some(reason)) => return Err(self.context.fail(error.with_reason(&reason))),
            };
            if let Some(deadline) = self.context.client.deadline
                && self.context.start.elapsed().saturating_add(delay) >= deadline
            {
                let deadline = seconds(deadline);
                let reason = [
                    "the deadline of ",
                    &deadline,
                    " leaves no time to try again",
                ]
                .concat();
                return Err(self.context.fail(error.with_reason(&reason)));
            }
            let error = error.redacted(&self.context.secret);
            tracing::warn!(attempt = self.context.attempts, ?delay, %error, "trying again");
            runtime::sleep(delay).await;
        }
    }

    /// Makes one attempt. `refused` is a token that the provider has not accepted.
    async fn attempt(&mut self, refused: Option<&str>) -> Result<Outcome> {
        let client = self.context.client.clone();
        let headers = self.authorize(refused).await?;
        let HttpResponse {
            status,
            mut headers,
            mut body,
        } = {
            let reservation = self.context.reservation.clone();
            let sent = move |sent| match &reservation {
                Some(reservation) if sent => reservation.sent(),
                Some(reservation) => reservation.refused(),
                None => {}
            };
            let timing = &mut self.context.timing;
            timing.queued = Duration::ZERO;
            let transport = &client.transport;
            let turn = transport.acquire(transport.ticket(), timing).await?;
            let to = self.endpoint.as_ref();
            let sending = transport.send(turn, to, &self.body, &headers, timing, &sent);
            sending.await?
        };
        // Servers and proxies echo keys, and whoever reads the reply need not know the key, such as a caller of a gateway.
        let secret = self.context.secret.clone();
        secret.redact_headers(&mut headers);
        if !(200..300).contains(&status) {
            if let Some(reservation) = &self.context.reservation {
                reservation.refused();
            }
            // The part of a body that breaks off can still explain the error.
            let mut kept = Whole::default();
            let _ = kept.read(&mut body, client.timeout, MAX_ERROR_BODY).await;
            let (kept, now) = (kept.into_bytes(), runtime::wall_clock());
            let kept = secret.redacted(&kept).unwrap_or(kept);
            return Err(client.dialect.decode_error(status, &headers, &kept, now));
        }
        let mut whole = Whole::default();
        // Some servers label a stream as JSON, or stream a reply that was not to be streamed, so the body decides.
        let kind = whole.read_kind(&headers, &mut body, client.timeout);
        let is_stream = match self.stream {
            // Blank lines before a stream are silence. Before an unstreamed reply they say that it will be long in coming.
            true => runtime::timeout(client.timeout, kind)
                .await
                .unwrap_or_else(|| Err(Error::timeout(TimeoutKind::Read, client.timeout)))?,
            false => kind.await?,
        };
        if is_stream.unwrap_or(self.stream) {
            let mut decoder = client.dialect.decode_stream(headers);
            decoder.redact(secret);
            if self.keep_raw {
                decoder.keep_raw();
            }
            if self.several {
                decoder.expect_several();
            }
            if self.context.forward.is_some() {
                decoder.keep_frames(self.asked_usage.is_some());
            }
            let mut live = ActiveStream::new(self.context.clone(), decoder, body);
            live.feed(whole.into_bytes());
            live.read_until_first_content().await?;
            return Ok(Outcome::Stream(Box::new(live)));
        }
        self.context.timing.time_to_first_token = self.context.start.elapsed();
        whole.read(&mut body, client.timeout, MAX_BODY).await?;
        let body = whole.into_bytes();
        let body = secret.redacted(&body).unwrap_or(body);
        let mut reply = client.dialect.decode(headers, body)?;
        self.context.complete(&mut reply);
        Ok(Outcome::Reply(Box::new(reply)))
    }

    /// Returns the headers of an attempt: those of the call, and the credentials unless the call has its own.
    async fn authorize(&mut self, refused: Option<&str>) -> Result<Vec<(String, String)>> {
        let client = &self.context.client;
        let mut headers = self.headers.clone();
        let is_own = |name: &str| client.credentials.yield_to(client.provider, name);
        if let Some((_, own)) = headers.iter().find(|(name, _)| is_own(name)) {
            self.context.secret = secret_in(own).into();
            return Ok(headers);
        }
        let secret = runtime::timeout(client.timeout, client.credentials.secret(refused)).await;
        let secret = secret.unwrap_or_else(|| {
            let timeout = seconds(client.timeout);
            let message = ["the token source returned no token within ", &timeout].concat();
            Err(Error::new(ErrorKind::Connect, message))
        })?;
        headers.extend(client.credentials.header(client.provider, &secret));
        self.context.secret = secret;
        Ok(headers)
    }

    /// If the server has refused `stream_options`, removes them from this call and from later ones.
    fn stop_asking_for_usage(&mut self, error: &Error) -> bool {
        let refused = matches!(error.status(), Some(400 | 422))
            && error
                .body()
                .is_some_and(|body| body.contains("stream_options"));
        let Some((place, replaced)) = self.asked_usage.take_if(|_| refused) else {
            return false;
        };
        self.context.client.refuses_usage.store(true, Relaxed);
        let (before, after) = (&self.body[..place.start], &self.body[place.end..]);
        self.body = [before, &replaced, after].concat().into();
        tracing::info!("the server refuses stream_options; later requests leave them out");
        true
    }
}

/// Returns valid headers with their names in lower case.
fn checked(headers: impl IntoIterator<Item = (String, String)>) -> Result<Vec<(String, String)>> {
    let mut checked = Vec::new();
    for (name, value) in headers {
        checked.push((headers::checked_name(&name, &value)?, value));
    }
    Ok(checked)
}

impl Client {
    /// Sends a request and waits for the whole reply.
    ///
    /// Dropping the future cancels the call and releases its connection.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) except `Cancelled`.
    ///
    /// ```no_run
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// println!("{}", client.chat("Hello").await?.text());
    /// # Ok(()) }
    /// ```
    pub async fn chat(&self, request: impl Into<Request>) -> Result<Reply> {
        let call = Call::new(self, &request.into(), false)?;
        match call.run().await? {
            Outcome::Reply(reply) => Ok(*reply),
            Outcome::Stream(live) => live.into_reply().await,
        }
    }
}
