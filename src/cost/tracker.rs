use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::ledger_state::Month;
use super::outbox::Outbox;
use super::queue::{Place, Queues};
use super::refusal::Refusal;
use super::spend::{BudgetAlert, BudgetSpend, Spend};
use super::totals::{MonthlyTotals, Totals};
use super::{Budget, BudgetExceeded, Cost, Ledger, MemoryLedger, Price, Usd};
use crate::runtime::{self, MaybeSend, MaybeSync};
use crate::{Error, Provider, Reply, Result};

/// Tracks costs and enforces budgets.
///
/// Each attempt reserves the maximum that it can cost before it is sent, and settles at its actual cost when it ends. Spent +
/// reserved therefore never exceeds a limit, however many calls run at once.
///
/// A tracker is cheap to clone. Clones, and the clients that are built with them, share the same costs and the same ledger.
///
/// ```
/// use warmline::{Budget, Client, CostTracker, Provider};
///
/// let tracker = CostTracker::new().budget(Budget::monthly("mine", "50".parse()?)?);
/// let client = Client::builder(Provider::Anthropic).api_key("k").cost_tracker(tracker.clone()).build()?;
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone)]
pub struct CostTracker {
    settings: Arc<Settings>,
    outbox: Outbox,
    /// The calls that wait for room in the budgets of this ledger.
    queues: Arc<Queues>,
}

/// The state of an attempt's reservation in the ledger.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReservationState {
    /// There is no budget, and so no reservation.
    Unlimited,
    /// The ledger has not answered yet.
    Requested,
    /// The attempt's maximum cost is reserved.
    Reserved,
    /// The ledger could not be reached. The cost is charged to it later.
    Unreserved,
}

#[derive(Clone)]
struct Settings {
    budgets: Vec<Budget>,
    prices: Vec<(String, Price)>,
    thresholds: Vec<u8>,
    on_alert: Option<Arc<dyn OnAlert>>,
    estimating: bool,
    fail_open: bool,
    strict: bool,
    totals: Arc<Mutex<MonthlyTotals>>,
    /// The totals of the trackers that this one is a subtotal of.
    sums: Vec<Arc<Mutex<MonthlyTotals>>>,
}

trait OnAlert: MaybeSend + MaybeSync {
    fn call(&self, alert: &BudgetAlert);
}

impl<F: Fn(&BudgetAlert) + MaybeSend + MaybeSync> OnAlert for F {
    fn call(&self, alert: &BudgetAlert) {
        self(alert);
    }
}

impl Default for CostTracker {
    fn default() -> Self {
        Self {
            settings: Arc::new(Settings {
                budgets: Vec::new(),
                prices: Vec::new(),
                thresholds: vec![50, 80, 100],
                on_alert: None,
                estimating: false,
                fail_open: false,
                strict: false,
                totals: Arc::default(),
                sums: Vec::new(),
            }),
            outbox: Outbox::new(MemoryLedger::default()),
            queues: Arc::default(),
        }
    }
}

impl CostTracker {
    /// Returns a tracker without a budget, with a ledger in memory.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a budget, or replaces the one of the same name. A call must fit into every budget.
    ///
    /// ```
    /// # use warmline::{Budget, CostTracker};
    /// let tracker = CostTracker::new()
    ///     .budget(Budget::monthly("company", "1000".parse()?)?)
    ///     .budget(Budget::monthly("team-a", "50".parse()?)?);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        let budgets = &mut self.set().budgets;
        budgets.retain(|known| known.name != budget.name);
        budgets.push(budget);
        self
    }

    /// Sets the ledger that stores the budgets. The default is a [`MemoryLedger`].
    ///
    /// A remote ledger adds one round trip to each attempt, before it is sent. Settlements with a remote ledger or a file are made in
    /// the background. Dropping the last client and tracker blocks the thread until they are done, for up to 5 s, or for up to 1 s
    /// within a Tokio runtime, whose other tasks must not wait for long. [`flush`](Self::flush) waits for all of them without
    /// blocking.
    ///
    /// ```no_run
    /// use warmline::{CostTracker, FileLedger};
    ///
    /// let tracker = CostTracker::new().ledger(FileLedger::open("/var/lib/llm/spend.log")?);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn ledger(mut self, ledger: impl Ledger + 'static) -> Self {
        self.outbox = Outbox::new(ledger);
        self.queues = Arc::default();
        self
    }

    /// Sets the price of a model. It takes precedence over the built-in table.
    ///
    /// ```
    /// # use warmline::{CostTracker, Price, Usd};
    /// let tracker = CostTracker::new().price("llama3.2", Price::per_million(Usd::ZERO, Usd::ZERO));
    /// ```
    #[must_use]
    pub fn price(mut self, model: impl Into<String>, price: Price) -> Self {
        self.set().prices.push((model.into(), price));
        self
    }

    /// Sets the thresholds for alerts, in percent of a budget's limit. The default is 50, 80 and 100.
    ///
    /// Each threshold causes at most one alert a month and budget. If several are reached at once, only the highest does.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().thresholds([90]);
    /// ```
    #[must_use]
    pub fn thresholds(mut self, percent: impl IntoIterator<Item = u8>) -> Self {
        self.set().thresholds = percent.into_iter().collect();
        self
    }

    /// Sets a callback for budget alerts. Each alert is also a `tracing` event at level `WARN`.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().on_alert(|alert| eprintln!("{alert}"));
    /// ```
    #[must_use]
    pub fn on_alert(
        mut self,
        callback: impl Fn(&BudgetAlert) + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.set().on_alert = Some(Arc::new(callback));
        self
    }

    /// Reserves the estimated cost of a request's input, at three bytes a token, instead of the maximum.
    ///
    /// More calls then fit into the rest of a budget, but its limit **can be exceeded** by the difference.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().estimate_input();
    /// ```
    #[must_use]
    pub fn estimate_input(mut self) -> Self {
        self.set().estimating = true;
        self
    }

    /// Lets calls proceed without a reservation while the ledger cannot be reached. By default they fail.
    ///
    /// Their cost is charged to the ledger when it can be reached again. Until then the limit **can be exceeded**.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().fail_open();
    /// ```
    #[must_use]
    pub fn fail_open(mut self) -> Self {
        self.set().fail_open = true;
        self
    }

    /// Charges the whole reserved amount for a stream that is cancelled or cut.
    ///
    /// By default it is charged the most that the model can have written by then, at the top speed of the provider's fastest
    /// model. That speed is an estimate, because no provider publishes one.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().strict();
    /// ```
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.set().strict = true;
        self
    }

    /// Returns a tracker with the same budgets and ledger, whose calls are counted separately as well as in this tracker.
    ///
    /// ```no_run
    /// # async fn demo(tracker: warmline::CostTracker, client: warmline::Client) -> warmline::Result<()> {
    /// let alice = client.with_cost_tracker(tracker.subtotal());
    /// alice.chat("Hello").await?;
    /// println!("${} of ${}", alice.cost_tracker().spend().await?.total, tracker.spend().await?.total);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn subtotal(&self) -> Self {
        let mut tracker = self.clone();
        let settings = tracker.set();
        let sum = std::mem::take(&mut settings.totals);
        settings.sums.push(sum);
        tracker
    }

    fn set(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    pub(crate) fn has_budget(&self) -> bool {
        !self.settings.budgets.is_empty()
    }

    pub(super) fn is_strict(&self) -> bool {
        self.settings.strict
    }

    pub(super) fn is_estimating(&self) -> bool {
        self.settings.estimating
    }

    /// Returns the price of a model: the user's own, or else that of a list.
    pub(super) fn price_of(&self, list: &str, model: &str) -> Option<Price> {
        self.own_price(model).or_else(|| Price::lookup(list, model))
    }

    /// Returns the price that the user set for a model.
    pub(super) fn own_price(&self, model: &str) -> Option<Price> {
        let mut prices = self.settings.prices.iter().rev();
        let own = prices.find(|(name, _)| name == model);
        own.map(|(_, price)| *price)
    }

    /// Returns the costs of the current month and the state of each budget.
    ///
    /// # Errors
    /// The ledger's error, if it cannot be reached.
    ///
    /// ```
    /// # async fn demo(tracker: warmline::CostTracker) -> warmline::Result<()> {
    /// println!("{:?}", tracker.spend().await?);
    /// # Ok(()) }
    /// ```
    pub async fn spend(&self) -> Result<Spend> {
        let mut budgets = Vec::new();
        for Budget { name, limit } in &self.settings.budgets {
            let (spent, reserved) = self.outbox.state(name).await?;
            budgets.push(BudgetSpend {
                name: name.clone(),
                limit: *limit,
                spent,
                reserved,
            });
        }
        let (month, models) = of_this_month(&self.settings.totals, |month, totals| {
            (month, totals.models.clone())
        });
        Ok(Spend {
            month: month.to_string(),
            total: models.iter().map(|model| model.cost).sum(),
            estimated: models.iter().map(|model| model.estimated).sum(),
            models,
            budgets,
            unsettled: self.outbox.unsettled(),
        })
    }

    /// Waits until every call has ended and is settled in the ledger.
    ///
    /// Call it before the process exits if a client is kept in a `static`, and before an edge function's request ends.
    ///
    /// # Errors
    /// The ledger's error, if it cannot be reached. Settlements that failed are kept: they are retried in the background, and
    /// by the next `flush`.
    ///
    /// ```
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// client.cost_tracker().flush().await
    /// # }
    /// ```
    pub async fn flush(&self) -> Result<()> {
        self.outbox.flush().await
    }

    /// Reserves an attempt's maximum cost in every budget.
    ///
    /// # Errors
    /// `Wait` if there is no room because of what others have reserved, or `Final` with `BudgetExceeded`, or with the ledger's
    /// error if it cannot be reached.
    pub(super) async fn reserve(
        &self,
        id: u64,
        max_cost: Usd,
    ) -> Result<ReservationState, Refusal> {
        if !self.has_budget() {
            return Ok(ReservationState::Unlimited);
        }
        let reserved = self
            .outbox
            .reserve(id, &self.settings.budgets, max_cost)
            .await;
        match reserved {
            Ok(Ok(())) => Ok(ReservationState::Reserved),
            Ok(Err(denied)) => Err(Refusal::of(denied, max_cost)),
            Err(error) if self.settings.fail_open => {
                tracing::warn!(%error, "the ledger cannot be reached: a call proceeds without a reservation, and its cost is charged to the ledger later");
                self.outbox.proceed_unreserved();
                Ok(ReservationState::Unreserved)
            }
            Err(error) => Err(Refusal::Final(error)),
        }
    }

    /// Takes a place behind the calls that wait for one of the budgets, if there are any. The error is for a call that waits in
    /// vain.
    ///
    /// # Errors
    /// `BudgetExceeded` if the call would not fit even when nothing is reserved, or the ledger's error.
    pub(super) async fn queue_up(&self, max_cost: Usd) -> Result<Option<(Place, Error)>> {
        for budget in &self.settings.budgets {
            if !self.queues.has_waiters(&budget.name) {
                continue;
            }
            match self.outbox.state(&budget.name).await {
                Ok((spent, reserved)) => {
                    let denied = BudgetExceeded {
                        budget: budget.clone(),
                        spent,
                        reserved,
                    };
                    return match Refusal::of(denied, max_cost) {
                        Refusal::Final(error) => Err(error),
                        Refusal::Wait { budget, error } => Ok(Some((self.join(&budget), error))),
                    };
                }
                Err(_) if self.settings.fail_open => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Takes the last place in a budget's queue.
    pub(super) fn join(&self, budget: &str) -> Place {
        self.queues.join(budget)
    }

    /// Releases a reservation that the ledger may have made.
    pub(super) fn release(&self, id: u64) {
        self.outbox.release(id);
        self.settings.wake(&self.queues);
    }

    /// Counts an attempt and settles its reservation. `reply` is `None` for an attempt that failed.
    pub(super) fn settle(
        &self,
        (provider, model): (Provider, &str),
        id: u64,
        state: ReservationState,
        cost: Cost,
        reply: Option<&Reply>,
    ) {
        self.settings.count(provider, model, cost, reply);
        let charge_to = (state == ReservationState::Unreserved).then_some(&*self.settings.budgets);
        if state != ReservationState::Unlimited {
            let (settings, queues) = (self.settings.clone(), self.queues.clone());
            let on_settled = move |spent: &[Usd]| {
                settings.wake(&queues);
                settings.alert(spent);
            };
            self.outbox.settle(id, cost.usd, charge_to, on_settled);
        }
    }
}

impl Settings {
    /// Lets those ask again who wait for room in the budgets.
    fn wake(&self, queues: &Queues) {
        queues.settled(self.budgets.iter().map(|budget| &*budget.name));
    }

    fn count(&self, provider: Provider, model: &str, cost: Cost, reply: Option<&Reply>) {
        for totals in self.sums.iter().chain([&self.totals]) {
            of_this_month(totals, |_, totals| {
                let model = totals.model_mut(provider, model);
                model.calls += 1;
                model.cost = model.cost + cost.usd;
                if cost.estimated {
                    model.estimated = model.estimated + cost.usd;
                }
                match reply {
                    Some(reply) => model.usage.add(&reply.usage),
                    None => model.failures += 1,
                }
            });
        }
    }

    /// Sends an alert for each budget that has reached a threshold higher than any before it this month.
    fn alert(&self, spent: &[Usd]) {
        for (budget, spent) in self.budgets.iter().zip(spent) {
            let (limit, spent) = (budget.limit, *spent);
            let threshold = |percent: u8| {
                let (hundreds, rest) = (limit.pico() / 100, limit.pico() % 100);
                let percent = u64::from(percent);
                Usd::from_pico(hundreds.saturating_mul(percent))
                    + Usd::from_pico(rest * percent / 100)
            };
            let percents = self.thresholds.iter().copied();
            let reached = percents.filter(|percent| spent >= threshold(*percent));
            let Some(percent) = reached.max() else {
                continue;
            };
            // Subtotals share the alerts of their budgets.
            let totals = self.sums.first().unwrap_or(&self.totals);
            let is_new = of_this_month(totals, |_, totals| {
                let alerted = &mut totals.alerted;
                let index = alerted.iter().position(|(name, _)| *name == budget.name);
                let index = index.unwrap_or_else(|| {
                    alerted.push((budget.name.clone(), None));
                    alerted.len() - 1
                });
                let highest = &mut alerted[index].1;
                let is_new = highest.is_none_or(|highest| highest < percent);
                if is_new {
                    *highest = Some(percent);
                }
                is_new
            });
            if !is_new {
                continue;
            }
            let alert = BudgetAlert {
                budget: budget.name.clone(),
                percent,
                spent,
                limit,
            };
            tracing::warn!(budget = alert.budget, percent, %spent, %limit, hint = alert.hint(), "budget threshold reached");
            if let Some(callback) = &self.on_alert {
                callback.call(&alert);
            }
        }
    }
}

fn of_this_month<T>(totals: &Mutex<MonthlyTotals>, f: impl FnOnce(Month, &mut Totals) -> T) -> T {
    let month = Month::at(runtime::wall_clock());
    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
    f(month, totals.of(month))
}

impl fmt::Debug for CostTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tracker = f.debug_struct("CostTracker");
        tracker
            .field("budgets", &self.settings.budgets)
            .finish_non_exhaustive()
    }
}
