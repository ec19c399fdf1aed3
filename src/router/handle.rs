use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::health::Cooldown;
use super::hedging::Hedging;
use super::lookup::{self, Listing};
use super::rules::RoutingRules;
use super::sharing::Sharing;
use super::state::State;
use super::stats::RouterStats;
use crate::retry::RetryBudget;
use crate::runtime::Instant;
use crate::{Client, CostTracker, DialectName, RetryPolicy};

/// Several clients behind the calls of one.
///
/// The router sends a call to one of the [targets](crate::Target) that serve its model. If the target fails before the first content, the
/// call moves on to the next one. A target that fails cools down: it is not called for a time, and then probed with one call. A
/// conversation stays on its target as long as possible, because prompt caches belong to an account.
///
/// A router is cheap to clone. Clones share the state of the targets.
///
/// ```no_run
/// # async fn demo() -> warmline::Result<()> {
/// use warmline::{Client, Provider, Router, Target};
///
/// let first = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
/// let fallback = Client::builder(Provider::Groq).api_key("gsk_123").build()?;
/// let router = Router::builder()
///     .target(Target::new(first).model("fast", "gpt-4.1-mini"))
///     .target(Target::new(fallback).model("fast", "llama-3.3-70b-versatile").priority(1))
///     .build()?;
/// let reply = router.chat(warmline::Request::new().model("fast").user("Why is the sky blue?")).await?;
/// println!("{} (by {:?})", reply.text(), reply.attempts().last().and_then(|last| last.target.as_deref()));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Router {
    pub(super) inner: Arc<Inner>,
    pub(super) clients: Arc<[TargetClient]>,
}

/// A target's client, and those of the other dialects that it speaks.
#[derive(Clone)]
pub(super) struct TargetClient {
    pub(super) client: Client,
    others: Vec<Client>,
}

impl TargetClient {
    pub(super) fn new(client: Client) -> Self {
        let own = client.dialect_name();
        let others = client.provider().dialect_names().iter();
        let others = others.filter(|name| **name != own);
        // One is missing if the crate was built without it, or the URL is that of one endpoint.
        let others = others.filter_map(|name| client.with_dialect(*name).ok());
        Self {
            others: others.collect(),
            client,
        }
    }

    pub(super) fn dialects(&self) -> Vec<DialectName> {
        self.all().map(Client::dialect_name).collect()
    }

    /// Returns the client of a dialect.
    pub(super) fn speaking(&self, dialect: DialectName) -> Option<&Client> {
        self.all().find(|client| client.dialect_name() == dialect)
    }

    /// Returns the clients of all dialects, with that of its own first.
    fn all(&self) -> impl Iterator<Item = &Client> {
        std::iter::once(&self.client).chain(&self.others)
    }

    pub(super) fn map(&self, change: impl Fn(&Client) -> Client) -> Self {
        Self {
            client: change(&self.client),
            others: self.others.iter().map(change).collect(),
        }
    }
}

/// What the clones of a router share.
pub(super) struct Inner {
    pub(super) listings: Vec<Listing>,
    pub(super) state: Mutex<State>,
    pub(super) retry: RetryPolicy,
    pub(super) retry_budget: RetryBudget,
    pub(super) rules: RoutingRules,
    /// `None` if targets do not cool down.
    pub(super) cooldown: Option<Cooldown>,
    pub(super) pacing: bool,
    pub(super) hedging: Option<Hedging>,
    /// `None` if nothing is shared with other processes.
    pub(super) sharing: Option<Sharing>,
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self, target: usize) -> &str {
        &self.listings[target].name
    }
}

impl Router {
    /// Returns the names of models that callers may use: those that targets list, and the targets' default models.
    ///
    /// ```
    /// # use warmline::{Client, Provider, Router, Target};
    /// let client = Client::builder(Provider::OpenAi).api_key("sk-123").model("gpt-4.1").build()?;
    /// let router = Router::builder().target(Target::new(client).model("fast", "gpt-4.1-mini")).build()?;
    /// assert_eq!(router.models(), ["fast", "gpt-4.1"]);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    pub fn models(&self) -> Vec<String> {
        lookup::names(self.inner.listings.iter())
    }

    /// Returns the names of the targets and their clients, in the order in which they were added.
    ///
    /// ```no_run
    /// # fn demo(router: warmline::Router) {
    /// for (name, client) in router.targets() {
    ///     println!("{name}: {}", client.stats());
    /// }
    /// # }
    /// ```
    pub fn targets(&self) -> impl Iterator<Item = (&str, &Client)> {
        let names = self.inner.listings.iter().map(|of| of.name.as_str());
        names.zip(self.clients.iter().map(|of| &of.client))
    }

    /// Returns the state of the targets.
    ///
    /// ```no_run
    /// # fn demo(router: warmline::Router) {
    /// println!("{}", serde_json::to_string(&router.stats()).unwrap());
    /// # }
    /// ```
    pub fn stats(&self) -> RouterStats {
        let names: Vec<_> = self.targets().map(|(name, _)| name).collect();
        RouterStats::of(&self.inner.state(), &names, Instant::now())
    }

    /// Returns a router that shares this one's targets and their state, with other cost trackers.
    ///
    /// This is useful for budgets per team, tag or caller. `tracker` returns the tracker of each target's client.
    ///
    /// ```no_run
    /// # fn demo(router: warmline::Router) -> warmline::Result<()> {
    /// use warmline::Budget;
    ///
    /// let budget = Budget::monthly("team-a", "20".parse()?)?;
    /// let team = router.with_cost_trackers(|client| client.cost_tracker().clone().budget(budget.clone()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_cost_trackers(&self, tracker: impl Fn(&Client) -> CostTracker) -> Self {
        let clients = self.clients.iter();
        let clients = clients.map(|of| {
            let tracker = tracker(&of.client);
            of.map(|client| client.with_cost_tracker(tracker.clone()))
        });
        Self {
            inner: self.inner.clone(),
            clients: clients.collect(),
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("targets", &self.stats().targets)
            .finish_non_exhaustive()
    }
}
