//! What is known of a body's call before it is made.

use super::handle::Router;
use crate::{DialectName, Error, Result};

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
}
