//! What is known of a body's call before it is made.

use bytes::Bytes;

use super::call::with_model;
use super::handle::Router;
use crate::{CallOptions, DialectName, Error, Result, TokenCount};

impl Router {
    /// Returns the names of the targets that speak a dialect, in the order in which they were added.
    ///
    /// ```
    /// # use warmline::{Client, DialectName, Provider, Router, Target};
    /// let client = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
    /// let router = Router::builder().target(Target::new(client)).build()?;
    /// assert!(router.targets_speaking(DialectName::Anthropic).is_empty());
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn targets_speaking(&self, dialect: DialectName) -> Vec<&str> {
        let listings = self.inner.listings.iter();
        let speakers = listings.filter(|of| of.dialects.contains(&dialect));
        speakers.map(|of| of.name.as_str()).collect()
    }

    /// Returns the names of the targets that serve the model of a body that is written in a dialect, in the order in which they were added.
    ///
    /// # Errors
    /// `Config` if the body is invalid, or there is none: see [`Router::passthrough`].
    ///
    /// ```
    /// # use warmline::{Client, DialectName, Provider, Router, Target};
    /// let client = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
    /// let router = Router::builder().target(Target::new(client).name("eu")).build()?;
    /// let targets = router.targets_of(DialectName::OpenAiChat, br#"{"model": "gpt-4.1"}"#)?;
    /// assert_eq!(targets, ["eu"]);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn targets_of(&self, dialect: DialectName, body: &[u8]) -> Result<Vec<&str>> {
        let (_, candidates) = self.read(dialect, body)?;
        let names = candidates.iter().map(|of| self.inner.name(of.target));
        Ok(names.collect())
    }

    /// Returns the maximum number of tokens, of input and output together, that the call of a body can use.
    ///
    /// It is the number for which budgets reserve money. A token of text has at least one byte, so that the length of the body bounds
    /// the input; the output is bounded by the body's own limit, or else by the model's.
    ///
    /// # Errors
    /// `Config` if the body is invalid, if no target serves its model, or if there is a budget and no price is known.
    ///
    /// ```
    /// # use warmline::{Client, DialectName, Provider, Router, Target};
    /// let client = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
    /// let router = Router::builder().target(Target::new(client)).build()?;
    /// let body = br#"{"model": "gpt-4.1", "max_completion_tokens": 100, "messages": []}"#;
    /// let most = router.max_tokens(DialectName::OpenAiChat, body)?;
    /// assert!((100..1000).contains(&most), "{most}");
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn max_tokens(&self, dialect: DialectName, body: &[u8]) -> Result<u64> {
        let (_, candidates) = self.read(dialect, body)?;
        let mut most = 0;
        for candidate in &candidates {
            let client = self.clients[candidate.target].speaking(dialect);
            let client =
                client.ok_or_else(|| Error::config("the target speaks no such dialect"))?;
            most = most.max(client.max_tokens(body, &candidate.model)?);
        }
        Ok(most)
    }

    /// Returns the number of input tokens of a body that is written in a dialect: that of the first target that serves its model, or
    /// of the next one if that fails. See [`Client::passthrough_count_tokens`](crate::Client::passthrough_count_tokens).
    ///
    /// # Errors
    /// Those of [`Router::passthrough`].
    ///
    /// ```no_run
    /// # async fn demo(router: warmline::Router) -> warmline::Result<()> {
    /// let body = r#"{"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hi"}]}"#;
    /// let count = router.passthrough_count_tokens(warmline::DialectName::Anthropic, body, []).await?;
    /// # Ok(()) }
    /// ```
    pub async fn passthrough_count_tokens(
        &self,
        dialect: DialectName,
        body: impl Into<Bytes>,
        options: impl Into<CallOptions>,
    ) -> Result<TokenCount> {
        let (body, options) = (body.into(), options.into());
        let (facts, candidates) = self.read(dialect, &body)?;
        let model = facts.model.as_deref().unwrap_or_default();
        let mut failed = None;
        for candidate in &candidates {
            let Some(client) = self.clients[candidate.target].speaking(dialect) else {
                continue;
            };
            let body = match &facts.model_at {
                Some(at) if model != candidate.model => with_model(&body, at, &candidate.model),
                _ => body.clone(),
            };
            match client.passthrough_count_tokens(body, options.clone()).await {
                Err(error) if error.is_retryable() => failed = Some(error),
                counted => return counted,
            }
        }
        Err(failed.unwrap_or_else(|| Error::config("no target speaks the dialect")))
    }
}
