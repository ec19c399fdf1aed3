//! What a call sends, and with which settings.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use tracing::Span;

use super::handle::{Client, Inner};
use crate::cost::CostEstimate;
use crate::credentials::Credentials;
use crate::dialect::{EncodeOptions, RequestFacts};
use crate::provider::Endpoint;
use crate::timeouts::Timeouts;
use crate::transport::Transport;
use crate::{CallOptions, CostTracker, Error, Request, Result, RetryPolicy, headers, trace};

/// What all attempts of a call share.
pub(super) struct Plan {
    pub(super) client: Arc<Inner>,
    pub(super) transport: Transport,
    pub(super) cost: CostTracker,
    pub(super) estimate: Arc<CostEstimate>,
    /// Additional headers of this call.
    pub(super) headers: Vec<(String, String)>,
    /// The endpoint of this call, if it is not the client's.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) credentials: Credentials,
    pub(super) timeouts: Timeouts,
    pub(super) retry: RetryPolicy,
    pub(super) span: Span,
    /// Whether a streamed reply is requested.
    pub(super) stream: bool,
    /// Whether several replies are requested.
    pub(super) several: bool,
    pub(super) keep_raw: bool,
    /// Whether the provider's frames are forwarded.
    pub(super) forward: bool,
}

/// The settings of one call: its own, or else those of the client.
pub(super) struct Settings {
    /// The headers in addition to the client's.
    pub(super) headers: Vec<(String, String)>,
    pub(super) credentials: Credentials,
    pub(super) timeouts: Timeouts,
    pub(super) retry: RetryPolicy,
}

impl Settings {
    /// # Errors
    /// `Config` for a setting that cannot be used.
    pub(super) fn new(client: &Inner, options: &CallOptions) -> Result<Self> {
        let mut headers = Vec::with_capacity(options.headers.len());
        for (name, value) in &options.headers {
            headers.push((headers::checked_name(name, value)?, value.clone()));
        }
        let credentials = options.credentials.as_ref().unwrap_or(&client.credentials);
        credentials.check()?;
        Ok(Self {
            headers,
            credentials: credentials.clone(),
            timeouts: client.timeouts.with(&options.timeouts())?,
            retry: options.retry.as_ref().unwrap_or(&client.retry).clone(),
        })
    }
}

/// The body of a call. It changes if the server refuses a part of it.
pub(super) struct CallBody {
    pub(super) bytes: Bytes,
    /// The range that requests the usage of a stream, and the bytes that it replaced.
    pub(super) asked_usage: Option<(Range<usize>, Bytes)>,
}

impl Plan {
    /// Plans a call that sends a request.
    pub(super) fn of_request(
        client: &Client,
        request: &Request,
        stream: bool,
    ) -> Result<(Self, CallBody)> {
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
        // `new` requests the usage, so that this can be undone.
        let options = EncodeOptions::new(model).stream(stream).stream_usage(false);
        request.validate()?;
        let body = dialect.body(request, &options)?;
        let facts = dialect.facts(body.as_bytes())?;
        let span = trace::call(*provider, model, request, &client.inner.endpoint);
        let planned = Self::new(client, body.into(), &facts, model, &request.options, span)?;
        let (mut plan, body) = planned;
        plan.stream = stream;
        plan.keep_raw = request.keep_raw;
        Ok((plan, body))
    }

    /// Plans a call that sends a body in the provider's dialect and forwards the reply.
    pub(super) fn of_body(
        client: &Client,
        body: Bytes,
        options: &CallOptions,
    ) -> Result<(Self, CallBody)> {
        let facts = client.inner.dialect.facts(&body)?;
        let model = facts.model.as_deref().unwrap_or_default();
        let Inner {
            provider, endpoint, ..
        } = &*client.inner;
        let span = trace::call(*provider, model, &Request::new(), endpoint);
        let (mut plan, body) = Self::new(client, body, &facts, model, options, span)?;
        plan.forward = true;
        Ok((plan, body))
    }

    fn new(
        client: &Client,
        mut body: Bytes,
        facts: &RequestFacts,
        model: &str,
        options: &CallOptions,
        span: Span,
    ) -> Result<(Self, CallBody)> {
        let Client {
            inner: client,
            transport,
            cost,
        } = client.clone();
        let endpoint = client.endpoint_of(options, model)?;
        let Settings {
            headers,
            credentials,
            timeouts,
            retry,
        } = Settings::new(&client, options)?;
        let mut asked_usage = None;
        let ask = facts.ask_usage.as_ref().filter(|_| facts.stream);
        if let Some((place, usage)) = ask
            && !client.refuses_usage.load(Relaxed)
        {
            // A slice would keep the whole body of the caller.
            let replaced = Bytes::copy_from_slice(&body[place.clone()]);
            let asked = place.start..place.start + usage.len();
            body = [&body[..place.start], usage.as_bytes(), &body[place.end..]]
                .concat()
                .into();
            asked_usage = Some((asked, replaced));
        }
        let host = client.endpoint.host();
        let (provider, dialect) = (client.provider, client.dialect.as_ref());
        let estimate = CostEstimate::new(&cost, provider, dialect, host, model, facts, body.len())?;
        let plan = Self {
            transport,
            cost,
            estimate: Arc::new(estimate),
            headers,
            endpoint,
            credentials,
            timeouts,
            retry,
            span,
            stream: facts.stream,
            several: facts.replies > 1,
            keep_raw: false,
            forward: false,
            client,
        };
        Ok((
            plan,
            CallBody {
                bytes: body,
                asked_usage,
            },
        ))
    }
}

impl CallBody {
    /// If the server has refused `stream_options`, removes them from this call and from later ones.
    pub(super) fn stop_asking_for_usage(&mut self, error: &Error, client: &Inner) -> bool {
        let refused = matches!(error.status(), Some(400 | 422))
            && error
                .body()
                .is_some_and(|body| body.contains("stream_options"));
        let Some((place, replaced)) = self.asked_usage.take_if(|_| refused) else {
            return false;
        };
        client.refuses_usage.store(true, Relaxed);
        let (before, after) = (&self.bytes[..place.start], &self.bytes[place.end..]);
        self.bytes = [before, &replaced, after].concat().into();
        tracing::info!("the server refuses stream_options; later requests leave them out");
        true
    }
}
