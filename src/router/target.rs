use std::fmt;

use crate::Client;

/// A target of a [`Router`](crate::Router): a client, and the models that it serves.
///
/// ```
/// use warmline::{Client, Provider, Router, Target};
///
/// let eu = Client::builder(Provider::Azure).resource("eu").api_key("123").model("prod").build()?;
/// let us = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
/// let router = Router::builder()
///     .target(Target::new(eu).name("eu").weight(3).model("fast", "gpt-41-mini-deployment"))
///     .target(Target::new(us).name("us").model("fast", "gpt-4.1-mini"))
///     .build()?;
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone)]
pub struct Target {
    pub(super) client: Client,
    pub(super) name: Option<String>,
    pub(super) weight: u32,
    pub(super) priority: u32,
    pub(super) models: Vec<(String, String)>,
}

impl Target {
    /// Creates a target that serves the models of its client.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// let target = warmline::Target::new(client);
    /// # }
    /// ```
    pub fn new(client: Client) -> Self {
        Self {
            client,
            name: None,
            weight: 1,
            priority: 0,
            models: Vec::new(),
        }
    }

    /// Sets the name. Attempts and statistics show it, and requests can select the target by it (`eu/gpt-4.1`). Each target of a router needs
    /// a name of its own. The default is the id of the client's provider.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// let target = warmline::Target::new(client).name("eu");
    /// # }
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the share of the calls, relative to the targets of the same priority. The default is 1.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// let target = warmline::Target::new(client).weight(3);
    /// # }
    /// ```
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the priority. A target is called only while no target with a lower number can be called. The default is 0.
    ///
    /// ```no_run
    /// # fn demo(first: warmline::Client, fallback: warmline::Client) -> warmline::Result<()> {
    /// use warmline::{Router, Target};
    ///
    /// let router = Router::builder()
    ///     .target(Target::new(first))
    ///     .target(Target::new(fallback).priority(1))
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Adds a name under which callers may ask for a model, and the target's own name of that model. Targets that list the same name serve it
    /// together.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// let target = warmline::Target::new(client)
    ///     .model("fast", "gpt-4.1-mini")
    ///     .model("strong", "gpt-4.1");
    /// # }
    /// ```
    #[must_use]
    pub fn model(mut self, name: impl Into<String>, own: impl Into<String>) -> Self {
        self.models.push((name.into(), own.into()));
        self
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("client", &self.client)
            .field("name", &self.name)
            .field("weight", &self.weight)
            .field("priority", &self.priority)
            .field("models", &self.models)
            .finish()
    }
}
