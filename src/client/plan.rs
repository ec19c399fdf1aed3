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
    /// The range of what the dialect asks for beyond what the caller has written, and the bytes that it replaced.
    pub(super) asked: Option<(Range<usize>, Bytes)>,
    /// Whether the encrypted reasoning may be removed from the body: it is not the caller's own.
    pub(super) may_lose_reasoning: bool,
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
        // `new` asks for these, so that this can be undone.
        let options = EncodeOptions::new(model)
            .stream(stream)
            .stream_usage(false)
            .encrypted_reasoning(false);
        request.validate()?;
        let body = dialect.body(request, &options)?;
        let facts = dialect.facts(body.as_bytes())?;
        let span = trace::call(*provider, model, request, &client.inner.endpoint);
        let mut body = CallBody::from(Bytes::from(body));
        body.ask(&client.inner, &facts, false);
        body.may_lose_reasoning = true;
        let mut plan = Self::new(client, &body, &facts, model, &request.options, span)?;
        plan.stream = stream;
        plan.keep_raw = request.keep_raw;
        Ok((plan, body))
    }

    /// Plans a call that sends a body in the provider's dialect and forwards the reply.
    pub(super) fn of_body(
        client: &Client,
        body: Bytes,
        facts: &RequestFacts,
        options: &CallOptions,
    ) -> Result<(Self, CallBody)> {
        let model = facts.model.as_deref().unwrap_or_default();
        let Inner {
            provider, endpoint, ..
        } = &*client.inner;
        let span = trace::call(*provider, model, &Request::new(), endpoint);
        let mut body = CallBody::from(body);
        body.ask(&client.inner, facts, true);
        let mut plan = Self::new(client, &body, facts, model, options, span)?;
        plan.forward = true;
        Ok((plan, body))
    }

    fn new(
        client: &Client,
        body: &CallBody,
        facts: &RequestFacts,
        model: &str,
        options: &CallOptions,
        span: Span,
    ) -> Result<Self> {
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
        let host = client.endpoint.host();
        let (provider, dialect) = (client.provider, client.dialect.as_ref());
        let bytes = body.bytes.len();
        let estimate = CostEstimate::new(&cost, provider, dialect, host, model, facts, bytes)?;
        Ok(Self {
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
        })
    }
}

impl From<Bytes> for CallBody {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            asked: None,
            may_lose_reasoning: false,
        }
    }
}

impl CallBody {
    /// Asks for what the dialect asks for, unless the server has refused it. `is_passthrough` is whether the caller has written the
    /// body.
    fn ask(&mut self, client: &Inner, facts: &RequestFacts, is_passthrough: bool) {
        let asking = client.dialect.asking().filter(|asking| {
            (facts.stream || !asking.only_streams)
                && (asking.to_passthrough || !is_passthrough)
                && !client.refuses_asking.load(Relaxed)
        });
        let Some((place, field)) = facts.ask.as_ref().filter(|_| asking.is_some()) else {
            return;
        };
        // A slice would keep the whole body of the caller.
        let replaced = Bytes::copy_from_slice(&self.bytes[place.clone()]);
        let asked = place.start..place.start + field.len();
        let (before, after) = (&self.bytes[..place.start], &self.bytes[place.end..]);
        self.bytes = [before, field.as_bytes(), after].concat().into();
        self.asked = Some((asked, replaced));
    }

    /// If the server has refused what was asked for, removes that from this call and from later ones.
    pub(super) fn stop_asking(&mut self, error: &Error, client: &Inner) -> bool {
        let Some(asking) = client.dialect.asking() else {
            return false;
        };
        let names = |body: &str| asking.refused_by.iter().any(|text| body.contains(text));
        let refused = matches!(error.status(), Some(400 | 422)) && error.body().is_some_and(names);
        let Some((place, replaced)) = self.asked.take_if(|_| refused) else {
            return false;
        };
        client.refuses_asking.store(true, Relaxed);
        let (before, after) = (&self.bytes[..place.start], &self.bytes[place.end..]);
        self.bytes = [before, &replaced, after].concat().into();
        tracing::info!(
            field = asking.field,
            "the server refuses a field; later requests leave it out"
        );
        true
    }

    /// If the server cannot decrypt the reasoning that the request sends back, removes it, once. It is from another organisation or
    /// deployment.
    pub(super) fn drop_reasoning(&mut self, error: &Error, client: &Inner) -> bool {
        let is_refused = error.code() == Some("invalid_encrypted_content");
        if !is_refused || !std::mem::take(&mut self.may_lose_reasoning) {
            return false;
        }
        let Some(body) = client.dialect.without_reasoning(&self.bytes) else {
            return false;
        };
        self.bytes = body.into();
        // Its place has changed.
        self.asked = None;
        tracing::info!("the server cannot decrypt the reasoning of another one; it is left out");
        true
    }
}
