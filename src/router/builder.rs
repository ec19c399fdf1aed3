use std::fmt;
use std::sync::{Arc, Mutex};

use super::balancing::Balancing;
use super::choice::hash_of;
use super::handle::{Inner, Router, TargetClient};
use super::health::{Cooldown, Health};
use super::hedging::Hedging;
use super::latency::Latency;
use super::lookup::Listing;
use super::pacing::Pacing;
use super::rules::RoutingRules;
use super::sharing::{Sharing, shared_name};
use super::state::{State, TargetState};
use super::target::Target;
use crate::quote::{is_unprintable, quote};
use crate::retry::RetryBudget;
use crate::shared::SharedState;
use crate::{DialectName, Error, Result, RetryPolicy};

/// The maximum number of targets.
const MAX_TARGETS: usize = 256;
/// The maximum weight of a target.
const MAX_WEIGHT: u32 = 1_000_000;

/// The maximum length of a target's name, in bytes. It stands in logs and metrics.
const MAX_NAME: usize = 64;
/// The maximum length of a model's name, in bytes.
const MAX_MODEL: usize = 256;

/// Checks a name that logs, metrics and messages show.
fn check_name(what: &str, name: &str, max: usize) -> Result<()> {
    let why = match name {
        _ if name.is_empty() => " needs a name that is not empty".to_owned(),
        _ if name.len() > max => {
            format!(" has a name of {} bytes: it can have {max}", name.len())
        }
        _ if name.contains(is_unprintable) => {
            " has a name with a control character: use visible characters".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Error::config([what, &*why].concat()))
}

/// Checks a target of this name.
fn check_target(target: &Target, name: &str) -> Result<()> {
    let shown = ["the target ", &quote(name)].concat();
    check_name(&shown, name, MAX_NAME)?;
    if name.contains('/') || name.trim() != name {
        let why = " needs a name without a slash, and without blanks around it";
        return Err(Error::config([&shown, why].concat()));
    }
    let listed = target.models.iter().flat_map(|(name, own)| [&**name, own]);
    let default = Some(target.client.model()).filter(|model| !model.is_empty());
    for model in listed.chain(default) {
        let what = [&shown, ": the model ", &quote(model)].concat();
        check_name(&what, model, MAX_MODEL)?;
    }
    if !(1..=MAX_WEIGHT).contains(&target.weight) {
        let why = format!(
            " has the weight {}: it must be from 1 to {MAX_WEIGHT}",
            target.weight
        );
        return Err(Error::config([&shown, &*why].concat()));
    }
    Ok(())
}

/// A builder for a [`Router`].
///
/// ```
/// use warmline::{Client, Provider, Router, Target};
///
/// let client = Client::builder(Provider::OpenAi).api_key("sk-123").build()?;
/// let router = Router::builder().target(Target::new(client)).build()?;
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct RouterBuilder {
    targets: Vec<Target>,
    balancing: Balancing,
    retry: Option<RetryPolicy>,
    rules: RoutingRules,
    cooldown: Cooldown,
    no_cooldown: bool,
    no_pacing: bool,
    hedging: Option<Hedging>,
    shared: Option<Arc<dyn SharedState>>,
}

impl RouterBuilder {
    /// Adds a target.
    ///
    /// ```no_run
    /// # fn demo(client: warmline::Client) {
    /// use warmline::{Router, Target};
    ///
    /// let builder = Router::builder().target(Target::new(client).name("eu"));
    /// # }
    /// ```
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Sets how targets of the same priority are chosen. The default is [`Balancing::Sticky`].
    ///
    /// ```
    /// # use warmline::{Balancing, Router};
    /// let builder = Router::builder().balancing(Balancing::LeastBusy);
    /// ```
    #[must_use]
    pub fn balancing(mut self, balancing: Balancing) -> Self {
        self.balancing = balancing;
        self
    }

    /// Sets the policy for calls whose targets have all failed. It decides how often, and after which delay, a target is called again. See
    /// [`RetryPolicy`] for the defaults.
    ///
    /// A call moves from one target to the next without a delay, and this does not count as a retry. The retry policies of the targets'
    /// clients do not apply.
    ///
    /// ```
    /// # use warmline::{RetryPolicy, Router};
    /// let builder = Router::builder().retry(RetryPolicy::never());
    /// ```
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Sets which failures move a call to another target. See [`RoutingRules`] for the defaults.
    ///
    /// ```
    /// # use warmline::{Router, RoutingAction, RoutingRules};
    /// let rules = RoutingRules::default().status(401, RoutingAction::CoolDown);
    /// let builder = Router::builder().rules(rules);
    /// ```
    #[must_use]
    pub fn rules(mut self, rules: RoutingRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets for how long a failing target is not called. See [`Cooldown`] for the defaults.
    ///
    /// With `None`, targets do not cool down. If only one target serves the model of a call, the retry policy of its client then applies.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use warmline::{Cooldown, Router};
    /// let cooldown = Cooldown { base: Duration::from_secs(5), ..Cooldown::default() };
    /// let builder = Router::builder().cooldown(cooldown);
    /// ```
    #[must_use]
    pub fn cooldown(mut self, cooldown: impl Into<Option<Cooldown>>) -> Self {
        let cooldown = cooldown.into();
        self.no_cooldown = cooldown.is_none();
        self.cooldown = cooldown.unwrap_or_default();
        self
    }

    /// Sets whether calls are delayed to stay within the rate limits that the providers report. The default is `true`.
    ///
    /// ```
    /// # use warmline::Router;
    /// let builder = Router::builder().pacing(false);
    /// ```
    #[must_use]
    pub fn pacing(mut self, pacing: bool) -> Self {
        self.no_pacing = !pacing;
        self
    }

    /// Turns on hedging: if a target is slower than usual, the call is also sent to a second target. It is off by default.
    ///
    /// ```
    /// # use warmline::{Hedging, Router};
    /// let builder = Router::builder().hedging(Hedging::default());
    /// ```
    #[must_use]
    pub fn hedging(mut self, hedging: Hedging) -> Self {
        self.hedging = Some(hedging);
        self
    }

    /// Sets the state that routers in several processes share. They tell each other which targets cool down, and how much of each rate
    /// limit their calls ask for. By default nothing is shared.
    ///
    /// Targets with the same name, provider and server are the same target in all routers that use the state.
    ///
    /// A call never waits for the state, and never fails because of it. The router reads and writes the state in the background: every
    /// 500 ms and at once after a change, until no call has been made for 10 s. While the state cannot be reached, or takes longer than
    /// 1 s to answer, the router uses only what it has learned itself.
    ///
    /// On WebAssembly nothing is shared, because a task of one request may not continue in another.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use warmline::Router;
    /// use warmline::shared::MemoryState;
    ///
    /// // With the feature `redis`, `RedisLedger::open("redis://127.0.0.1")?` shares it between machines.
    /// let state = Arc::new(MemoryState::default());
    /// let builder = Router::builder().shared_state(state);
    /// ```
    #[must_use]
    pub fn shared_state(mut self, state: impl SharedState + 'static) -> Self {
        self.shared = Some(Arc::new(state));
        self
    }

    /// Builds the router.
    ///
    /// # Errors
    /// `Config` without a target, for two targets of the same name, for a name that is empty, has a slash or a control character or is longer
    /// than 64 bytes (256 for a model), for a weight of 0, and for rules with a kind of error or a status that does not exist.
    ///
    /// ```
    /// # use warmline::Router;
    /// let error = Router::builder().build().unwrap_err();
    /// assert!(error.to_string().contains("no target"));
    /// ```
    pub fn build(self) -> Result<Router> {
        if self.targets.is_empty() {
            return Err(Error::config("the router has no target: add at least one"));
        }
        if self.targets.len() > MAX_TARGETS {
            let message = format!(
                "the router has {} targets: it can have {MAX_TARGETS}",
                self.targets.len()
            );
            return Err(Error::config(message));
        }
        self.rules.check()?;
        let mut listings: Vec<Listing> = Vec::new();
        let mut states = Vec::new();
        let mut clients = Vec::new();
        let mut shared_names = Vec::new();
        for target in self.targets {
            let client = target.client.clone();
            let name = target
                .name
                .clone()
                .unwrap_or_else(|| client.provider().name().into());
            check_target(&target, &name)?;
            if listings.iter().any(|of| of.name == name) {
                let why = " is there twice: give each target a name of its own";
                return Err(Error::config(["the target ", &quote(&name), why].concat()));
            }
            shared_names.push(shared_name(&name, &client));
            states.push(TargetState {
                weight: target.weight,
                priority: target.priority,
                hash: hash_of(&name),
                health: Health::default(),
                in_flight: 0,
                calls: 0,
                failures: 0,
                moved_away: 0,
                streams: Latency::default(),
                replies: Latency::default(),
                pacing: Pacing::default(),
            });
            // Anthropic's signatures are valid on every platform that has its models
            // (https://docs.claude.com/en/docs/build-with-claude/extended-thinking).
            let is_anthropic = client.dialect_name() == DialectName::Anthropic;
            let client = match self.no_pacing {
                true => client,
                false => client.with_rate_limit_headers(),
            };
            let clients_of = TargetClient::new(client);
            let client = &clients_of.client;
            listings.push(Listing {
                name,
                provider: client.provider(),
                dialects: clients_of.dialects(),
                default_model: client.model().to_owned(),
                models: target.models,
                verifies: (is_anthropic && client.is_first_party()).then_some(0),
            });
            clients.push(clients_of);
        }
        Ok(Router {
            inner: Arc::new(Inner {
                listings,
                state: Mutex::new(State::new(states, self.balancing)),
                retry: self.retry.unwrap_or_default(),
                retry_budget: RetryBudget::default(),
                rules: self.rules,
                cooldown: (!self.no_cooldown).then_some(self.cooldown),
                pacing: !self.no_pacing,
                hedging: self.hedging,
                sharing: self.shared.map(|state| Sharing::new(state, shared_names)),
            }),
            clients: clients.into(),
        })
    }
}

impl Router {
    /// Returns a builder for a router.
    ///
    /// ```
    /// let builder = warmline::Router::builder();
    /// ```
    pub fn builder() -> RouterBuilder {
        RouterBuilder::default()
    }
}

impl fmt::Debug for RouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder")
            .field("targets", &self.targets)
            .field("balancing", &self.balancing)
            .field("retry", &self.retry)
            .field("rules", &self.rules)
            .field("cooldown", &(!self.no_cooldown).then_some(self.cooldown))
            .field("pacing", &!self.no_pacing)
            .field("hedging", &self.hedging)
            .field("shared_state", &self.shared.is_some())
            .finish()
    }
}
