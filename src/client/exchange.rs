//! A request other than a chat, up to the head of its response, with the retries of every other call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::attempt::{Attempt as Attempting, delay_next};
use super::body::Whole;
use super::clock::Clock;
use super::handle::{Client, Inner};
use super::plan::Settings;
use crate::dialect::request_id;
use crate::provider::Endpoint;
use crate::runtime::{self, Instant};
use crate::secret::Secret;
use crate::transport::{Body, HttpRequest, HttpResponse, Transport};
use crate::{Attempt, CallOptions, Error, ErrorKind, Result, TimeoutKind, Timing};

/// A request to an endpoint below the client's base URL.
pub(super) struct Exchange {
    client: Arc<Inner>,
    transport: Transport,
    settings: Settings,
    method: Method,
    endpoint: Endpoint,
    body: Bytes,
    /// Whether it is sent again although the provider may have processed it.
    repeatable: bool,
    /// The maximum size of the response's body if all of it is to be read.
    read_up_to: Option<usize>,
}

/// A response with a status of success, or 304.
pub(super) struct Answer {
    pub(super) response: HttpResponse<Body>,
    /// The body, if it was to be read.
    pub(super) body: Bytes,
    /// What no part of the response may show.
    pub(super) secret: Secret,
    pub(super) attempts: usize,
    pub(super) clock: Clock,
}

/// The attempts so far.
#[derive(Default)]
struct History {
    attempts: Vec<Attempt>,
    /// When the current one began.
    began: Option<Instant>,
}

impl History {
    fn elapsed(&mut self) -> Option<Duration> {
        self.began.take().map(|began| began.elapsed())
    }

    fn record(&mut self, error: &Error) {
        // Who gets no connection has made no attempt.
        let is_attempt = !matches!(error.kind(), ErrorKind::PoolTimeout { .. });
        if let Some(elapsed) = self.elapsed().filter(|_| is_attempt) {
            self.attempts.push(error.attempt(elapsed));
        }
    }
}

impl Exchange {
    /// Plans a request to a path below the base URL.
    ///
    /// # Errors
    /// `Config` for a path that leads elsewhere, or a setting that cannot be used.
    pub(super) fn new(
        client: &Client,
        method: Method,
        (path, query): (&str, Option<&str>),
        body: Bytes,
        options: &CallOptions,
    ) -> Result<Self> {
        let Client {
            inner, transport, ..
        } = client;
        let other = inner.endpoint_of(options, &inner.model)?;
        let base = other.as_ref().unwrap_or(&inner.endpoint);
        Ok(Self {
            endpoint: base.below(inner.dialect.name(), path, query)?,
            settings: Settings::new(inner, options)?,
            client: inner.clone(),
            transport: transport.clone(),
            repeatable: method == Method::GET || method == Method::HEAD,
            method,
            body,
            read_up_to: None,
        })
    }

    /// Marks a request that costs nothing and changes nothing, so that it can be sent twice.
    pub(super) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sends the request and waits for the head of the response.
    ///
    /// # Errors
    /// As for a chat. [`Error::status`] and [`Error::body`] hold what the provider has answered.
    pub(super) async fn send(&self) -> Result<Answer> {
        let mut history = History::default();
        let clock = Clock::start(self.settings.timeouts);
        let running = runtime::within(self.run(clock, &mut history));
        let result = match self.settings.timeouts.deadline {
            None => running.await,
            Some(deadline) => {
                let result = runtime::timeout(deadline, running).await;
                result.unwrap_or_else(|| Err(Error::timeout(TimeoutKind::Deadline, deadline)))
            }
        };
        result.map_err(|error| {
            history.record(&error);
            error
                .with_attempts(history.attempts)
                .with_provider(self.client.provider)
        })
    }

    /// Sends the request and reads the whole response, of at most so many bytes.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and `Decode` for a larger body.
    pub(super) async fn fetch(mut self, at_most: usize) -> Result<Answer> {
        self.read_up_to = Some(at_most.min(self.client.max_reply_bytes));
        self.send().await
    }

    async fn run(&self, clock: Clock, history: &mut History) -> Result<Answer> {
        let mut refused: Option<Secret> = None;
        let mut repeats = 0;
        loop {
            history.began = Some(Instant::now());
            let sent = AtomicBool::new(false);
            let mut secret = None;
            let attempt = self.attempt(refused.as_deref(), &mut secret, &sent).await;
            let error = match attempt {
                Ok((response, body)) => {
                    self.client.retry_budget.succeeded();
                    return Ok(Answer {
                        response,
                        body,
                        secret: secret.unwrap_or_default(),
                        attempts: history.attempts.len() + 1,
                        clock,
                    });
                }
                Err(error) => match &secret {
                    Some(secret) => error.redacted(secret),
                    None => error,
                },
            };
            history.record(&error);
            // A token can be revoked before it expires, so another one is tried once.
            let renew = error.status() == Some(401)
                && refused.is_none()
                && self.settings.credentials.can_renew();
            if renew {
                refused = secret;
                repeats += 1;
                continue;
            }
            if sent.into_inner() && !self.repeatable {
                return Err(error);
            }
            let delay = delay_next(
                (&self.settings.retry, &self.client.retry_budget),
                &clock,
                &mut history.attempts,
                repeats,
                error,
            )?;
            runtime::sleep(delay).await;
        }
    }

    async fn attempt(
        &self,
        refused: Option<&str>,
        secret: &mut Option<Secret>,
        sent: &AtomicBool,
    ) -> Result<(HttpResponse<Body>, Bytes)> {
        let timeouts = &self.settings.timeouts;
        let attempt = Attempting {
            client: &self.client,
            headers: &self.settings.headers,
            credentials: &self.settings.credentials,
            timeouts,
        };
        let headers = attempt.authorize(refused, secret).await?;
        let mut timing = Timing::default();
        let ticket = self.transport.ticket();
        let acquired = self.transport.acquire(ticket, timeouts.pool(), &mut timing);
        let turn = acquired.await?;
        let request = HttpRequest {
            method: &self.method,
            to: Some(&self.endpoint),
            body: &self.body,
            headers: &headers,
            timeouts,
        };
        let note = |was: bool| sent.store(was, Relaxed);
        let sending = self.transport.send(turn, request, &mut timing, &note);
        let mut response = sending.await?;
        // Servers and proxies echo keys, and whoever reads the reply need not know the key, such as a caller of a gateway.
        let secret = secret.clone().unwrap_or_default();
        secret.redact_headers(&mut response.headers);
        self.transport.update_rate_limits(&response.headers);
        // To a conditional request, 304 is the answer that the caller's copy is current. No request whose body is read is conditional.
        let is_current = response.status == 304 && self.read_up_to.is_none();
        if !(200..300).contains(&response.status) && !is_current {
            return Err(attempt.read_error(response, &secret).await);
        }
        let Some(at_most) = self.read_up_to else {
            return Ok((response, Bytes::new()));
        };
        let mut whole = Whole::default();
        let read = whole.read(&mut response.body, at_most);
        let read = runtime::timeout(timeouts.reply, read).await;
        let read = read.unwrap_or_else(|| Err(Error::timeout(TimeoutKind::Reply, timeouts.reply)));
        read.map_err(|error| error.with_request_id(request_id(&response.headers).as_deref()))?;
        let body = whole.into_bytes();
        let body = secret.redacted(&body).unwrap_or(body);
        Ok((response, body))
    }
}
