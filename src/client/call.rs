//! A call and its attempts, from the encoded request to the reply or to the first content of a stream.

use std::sync::Arc;

use bytes::Bytes;
use tracing::Instrument;

use super::active::ActiveStream;
use super::context::CallContext;
use super::handle::{Client, Inner};
use crate::cost::{CostEstimate, RequestFacts, Reservation};
use crate::error::seconds;
use crate::provider::{StreamDecoder, decode_error};
use crate::runtime::{self, Instant};
use crate::transport::{Body, HttpResponse};
use crate::{CostTracker, Error, Provider, Reply, Request, Result, TimeoutKind, headers, trace};

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
    /// Additional headers, for a passthrough.
    headers: Vec<(String, String)>,
    stream: bool,
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
            provider, endpoint, ..
        } = &*client.inner;
        let model = request.model.as_deref().unwrap_or(&client.inner.model);
        let body = provider.encode(request, model, stream, endpoint.is_first_party)?;
        let facts = RequestFacts::read(&body)?;
        let mut call = Self::of(client, body, &facts, model, request)?;
        call.stream = stream;
        call.keep_raw = request.keep_raw;
        Ok(call)
    }

    /// Creates a call from a body in the provider's dialect. Also returns whether the usage event must be stripped from its stream,
    /// because the caller did not request it.
    pub(super) fn raw(
        client: &Client,
        mut body: Bytes,
        headers: Vec<(String, String)>,
    ) -> Result<(Self, bool)> {
        let mut checked = Vec::new();
        for (name, value) in headers {
            checked.push((headers::checked_name(&name, &value)?, value));
        }
        let facts = RequestFacts::read(&body)?;
        let streams_openai = client.provider() == Provider::OpenAi && facts.stream;
        let ask_usage = facts.ask_usage.clone().filter(|_| streams_openai);
        let strip_usage = ask_usage.is_some();
        if let Some((place, usage)) = ask_usage {
            let (before, after) = (&body[..place.start], &body[place.end..]);
            body = [before, usage.as_bytes(), after].concat().into();
        }
        let model = facts.model.as_deref().unwrap_or_default();
        let mut call = Self::of(client, body, &facts, model, &Request::new())?;
        call.headers = checked;
        call.keep_raw = true;
        Ok((call, strip_usage))
    }

    /// Creates a call that sends a body. The request only supplies attributes of the span.
    fn of(
        client: &Client,
        body: Bytes,
        facts: &RequestFacts,
        model: &str,
        request: &Request,
    ) -> Result<Self> {
        let Client {
            inner: client,
            cost,
        } = client.clone();
        let span = trace::call(client.provider, model, request, &client.endpoint);
        let host = client.endpoint.host();
        let estimate = CostEstimate::new(&cost, client.provider, host, model, facts, body.len())?;
        Ok(Self {
            context: CallContext::new(client, span),
            cost,
            estimate: Arc::new(estimate),
            body,
            headers: Vec::new(),
            stream: facts.stream,
            keep_raw: false,
        })
    }

    /// Makes attempts until one succeeds or the error is not to be retried.
    pub(super) async fn run(self) -> Result<Outcome> {
        runtime::within(self.within_deadline()).await
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
        loop {
            let reserved = Reservation::make(&self.cost, &self.estimate).await;
            self.context.reservation = match reserved {
                Ok(reservation) => Some(Arc::new(reservation)),
                Err(error) => return Err(self.context.fail(error)),
            };
            self.context.attempts += 1;
            let error = match self.attempt().await {
                Ok(answer) => {
                    self.context.client.retry_budget.succeeded();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.context.reservation = None;
            let retries = self.context.attempts - 1;
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
            let error = error.redacted(&self.context.client.key);
            tracing::warn!(attempt = self.context.attempts, ?delay, %error, "trying again");
            runtime::sleep(delay).await;
        }
    }

    async fn attempt(&mut self) -> Result<Outcome> {
        let client = self.context.client.clone();
        let HttpResponse {
            status,
            headers,
            mut body,
        } = {
            let reservation = self.context.reservation.clone();
            let sent = move || {
                if let Some(reservation) = &reservation {
                    reservation.sent();
                }
            };
            let timing = &mut self.context.timing;
            let headers = &self.headers;
            let sending = client.transport.send(&self.body, headers, timing, &sent);
            sending.await?
        };
        if !(200..300).contains(&status) {
            if let Some(reservation) = &self.context.reservation {
                reservation.refused();
            }
            // The part of a body that breaks off can still explain the error.
            let (kept, _) = self.read(&mut body, MAX_ERROR_BODY).await;
            let now = runtime::wall_clock();
            return Err(decode_error(client.provider, status, &headers, &kept, now));
        }
        let content_type = headers::text(&headers, "content-type").unwrap_or_default();
        if self.stream
            && !content_type.starts_with("application/json")
            && !content_type.starts_with("text/html")
        {
            let decoder = StreamDecoder::new(client.provider, headers, self.keep_raw);
            let mut live = ActiveStream::new(self.context.clone(), decoder, body);
            live.read_until_first_content().await?;
            return Ok(Outcome::Stream(Box::new(live)));
        }
        self.context.timing.time_to_first_token = self.context.start.elapsed();
        let (whole, failed) = self.read(&mut body, MAX_BODY).await;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut reply = client.provider.decode(headers, whole)?;
        self.context.complete(&mut reply);
        Ok(Outcome::Reply(Box::new(reply)))
    }

    /// Reads the body to its end. If that fails, returns the bytes received so far and the error.
    async fn read(&self, body: &mut Body, at_most: usize) -> (Bytes, Option<Error>) {
        let timeout = self.context.client.timeout;
        let mut whole = Bytes::new();
        let mut more = Vec::new();
        let failed = loop {
            let chunk = match runtime::timeout(timeout, body.chunk()).await {
                None => break Some(Error::timeout(TimeoutKind::Read, timeout)),
                Some(None) => break None,
                Some(Some(Err(error))) => break Some(error),
                Some(Some(Ok(chunk))) => chunk,
            };
            if whole.is_empty() {
                whole = chunk;
            } else {
                if more.is_empty() {
                    more.extend_from_slice(&whole);
                }
                more.extend_from_slice(&chunk);
            }
            if whole.len().max(more.len()) > at_most {
                more.truncate(at_most);
                whole.truncate(at_most);
                break Some(Error::decode(format!(
                    "the body is larger than {at_most} bytes"
                )));
            }
        };
        (if more.is_empty() { whole } else { more.into() }, failed)
    }
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
