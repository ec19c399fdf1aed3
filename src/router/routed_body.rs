//! Bodies that are written in a dialect already, on their way to a target.

use bytes::Bytes;

use super::call::{RoutedCall, Source, with_model};
use super::conversation::{self, Conversation};
use super::handle::Router;
use super::health::Availability;
use super::lookup;
use super::state::Candidate;
use crate::dialect::RequestFacts;
use crate::runtime::Instant;
use crate::{CallOptions, DialectName, Error, PassthroughResponse, Result, TokenCount};

/// A body in a dialect, and the targets that serve its model. [`Router::route`] returns it.
///
/// ```no_run
/// # async fn demo(router: warmline::Router) -> warmline::Result<()> {
/// use warmline::DialectName;
///
/// let body = router.route(DialectName::OpenAiChat, r#"{"model": "fast", "messages": []}"#)?;
/// println!("{:?}: at most {} tokens", body.targets().next(), body.max_tokens()?);
/// let reply = body.send([]).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RoutedBody {
    router: Router,
    dialect: DialectName,
    facts: RequestFacts,
    candidates: Vec<Candidate>,
    body: Bytes,
}

impl Router {
    /// Reads a body that is written in a dialect already, and finds the targets that serve its model.
    ///
    /// # Errors
    /// `Config` if the body is invalid (see [`Client::passthrough`](crate::Client::passthrough)), if no target serves the model, or if targets
    /// serve it only in another dialect. In the last case the message names the endpoint.
    ///
    /// ```
    /// # use warmline::{Client, DialectName, Provider, Router, Target};
    /// let client = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
    /// let router = Router::builder().target(Target::new(client).name("eu")).build()?;
    /// let body = router.route(DialectName::OpenAiChat, r#"{"model": "gpt-4.1"}"#)?;
    /// assert_eq!(body.targets().next(), Some("eu"));
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn route(&self, dialect: DialectName, body: impl Into<Bytes>) -> Result<RoutedBody> {
        let body = body.into();
        let speaker = self.clients.iter().find_map(|of| of.speaking(dialect));
        let Some(speaker) = speaker else {
            return Err(lookup::no_speaker(&self.inner.listings, dialect));
        };
        let facts = speaker.dialect().facts(&body)?;
        let model = facts.model.as_deref().unwrap_or_default();
        let candidates = lookup::resolve(&self.inner.listings, model, Some(dialect))?;
        Ok(RoutedBody {
            router: self.clone(),
            dialect,
            facts,
            candidates,
            body,
        })
    }

    /// Sends a body that is written in a dialect already to a target that serves its model in that dialect. See
    /// [`Client::passthrough`](crate::Client::passthrough).
    ///
    /// If the target has another name for the model, the body's `model` is replaced by that, and nothing else changes.
    ///
    /// # Errors
    /// Those of [`Router::route`] and [`RoutedBody::send`].
    ///
    /// ```no_run
    /// # async fn demo(router: warmline::Router) -> warmline::Result<()> {
    /// use warmline::DialectName;
    ///
    /// let body = r#"{"model": "fast", "messages": [{"role": "user", "content": "Hi"}], "stream": true}"#;
    /// let mut reply = router.passthrough(DialectName::OpenAiChat, body, []).await?;
    /// while let Some(bytes) = reply.chunk().await {
    ///     print!("{}", String::from_utf8_lossy(&bytes?));
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn passthrough(
        &self,
        dialect: DialectName,
        body: impl Into<Bytes>,
        options: impl Into<CallOptions>,
    ) -> Result<PassthroughResponse> {
        self.route(dialect, body)?.send(options).await
    }

    /// Returns the names of the targets that speak a dialect, in the order in which they were added.
    ///
    /// ```
    /// # use warmline::{Client, DialectName, Provider, Router, Target};
    /// let client = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
    /// let router = Router::builder().target(Target::new(client)).build()?;
    /// assert_eq!(router.targets_speaking(DialectName::Anthropic).next(), None);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn targets_speaking(&self, dialect: DialectName) -> impl Iterator<Item = &str> {
        let listings = self.inner.listings.iter();
        let speakers = listings.filter(move |of| of.dialects.contains(&dialect));
        speakers.map(|of| of.name.as_str())
    }
}

impl RoutedBody {
    /// Returns the names of the targets that serve the model, in the order in which they were added.
    ///
    /// ```no_run
    /// # fn demo(body: warmline::RoutedBody) {
    /// println!("{:?}", body.targets().collect::<Vec<_>>());
    /// # }
    /// ```
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let targets = self.candidates.iter().map(|of| of.target);
        targets.map(|target| self.router.inner.name(target))
    }

    /// Returns the maximum number of tokens, of input and output together, that the call can use.
    ///
    /// Budgets reserve money for this number. A token of text has at least one byte, so the length of the body bounds the input. The limit
    /// in the body bounds the output, or the model's limit if the body has none.
    ///
    /// # Errors
    /// `Config` if there is a budget and no price is known.
    ///
    /// ```
    /// # use warmline::{Client, DialectName, Provider, Router, Target};
    /// let client = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
    /// let router = Router::builder().target(Target::new(client)).build()?;
    /// let body = r#"{"model": "gpt-4.1", "max_completion_tokens": 100, "messages": []}"#;
    /// let most = router.route(DialectName::OpenAiChat, body)?.max_tokens()?;
    /// assert!((100..1000).contains(&most), "{most}");
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn max_tokens(&self) -> Result<u64> {
        let mut most = 0;
        for Candidate { target, model, .. } in &self.candidates {
            if let Some(client) = self.router.clients[*target].speaking(self.dialect) {
                most = most.max(client.max_tokens(&self.facts, self.body.len(), model)?);
            }
        }
        Ok(most)
    }

    /// Sends the body to a target that serves its model. See [`Router::passthrough`].
    ///
    /// # Errors
    /// Those of [`Client::passthrough`](crate::Client::passthrough), of the last target that was called. `Overloaded` if all targets that
    /// serve the model are cooling down. `Config` if `options` has credentials or a base URL, and several targets serve the model.
    ///
    /// ```no_run
    /// # async fn demo(body: warmline::RoutedBody) -> warmline::Result<()> {
    /// let reply = body.send([]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn send(self, options: impl Into<CallOptions>) -> Result<PassthroughResponse> {
        let options = options.into();
        let Self {
            router,
            dialect,
            facts,
            candidates,
            body,
        } = self;
        router.check(&candidates, &options)?;
        let conversation = match candidates.len() {
            1 => Conversation::of_one(body.len(), facts.max_completion_tokens.or(facts.max_tokens)),
            _ => {
                let model = facts.model.as_deref().unwrap_or_default();
                conversation::of_body(&body, model, options.conversation.as_deref())
            }
        };
        let source = Source::Body {
            dialect,
            facts: Box::new(facts),
            body,
            options: Box::new(options),
        };
        let call = RoutedCall::new(&router, source, candidates, conversation);
        PassthroughResponse::begin(call).await
    }

    /// Returns the number of input tokens. See [`Client::passthrough_count_tokens`](crate::Client::passthrough_count_tokens).
    ///
    /// The first target that serves the model is asked. If it fails, the next one is asked. Targets that cool down are asked last.
    ///
    /// # Errors
    /// Those of [`RoutedBody::send`].
    ///
    /// ```no_run
    /// # async fn demo(body: warmline::RoutedBody) -> warmline::Result<()> {
    /// println!("{} tokens", body.count_tokens([]).await?.input_tokens);
    /// # Ok(()) }
    /// ```
    pub async fn count_tokens(self, options: impl Into<CallOptions>) -> Result<TokenCount> {
        let options = options.into();
        self.router.check(&self.candidates, &options)?;
        let mut failed = None;
        let mut candidates = self.candidates;
        {
            let (state, now) = (self.router.inner.state(), Instant::now());
            candidates.sort_by_key(|of| {
                let target = &state.targets[of.target];
                let is_ready = target.health.availability(now) == Availability::Ready;
                (!is_ready, target.priority)
            });
        }
        for candidate in &candidates {
            let Some(client) = self.router.clients[candidate.target].speaking(self.dialect) else {
                continue;
            };
            let body = with_model(&self.body, &self.facts, &candidate.model);
            let body = body.unwrap_or_else(|| self.body.clone());
            let counted = client.passthrough_count_tokens(body, options.clone()).await;
            let target = self.router.inner.name(candidate.target);
            match counted.map_err(|error| error.at_target(target)) {
                Err(error) if error.is_retryable() => failed = Some(error),
                counted => return counted,
            }
        }
        Err(failed.unwrap_or_else(|| Error::config("no target speaks the dialect")))
    }
}
