use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::ledger_state::Month;
use super::outbox::Outbox;
use super::spend::{BudgetAlert, BudgetSpend, Spend};
use super::totals::Totals;
use super::{Budget, BudgetExceeded, Cost, Ledger, MemoryLedger, Price, Usd};
use crate::runtime::{self, MaybeSend, MaybeSync};
use crate::{Error, ErrorKind, Provider, Reply, Result};

/// Follows what calls cost, and holds them to budgets. Cheap to clone; clones, and the clients that are built with them, share
/// everything.
///
/// Each attempt puts aside the most that it can cost before anything is sent, and what it did cost takes that amount's place
/// at its end. So however many calls run at once, spent + reserved never passes a limit.
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
}

/// What the ledger holds for an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReservationState {
    /// Nothing: there is no budget.
    Unlimited,
    /// Unknown: the ledger has not answered yet.
    Requested,
    /// The attempt's maximum cost.
    Reserved,
    /// Nothing: the ledger could not be reached, and will be charged when it can be.
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
    totals: Arc<Mutex<Totals>>,
}

trait OnAlert: MaybeSend + MaybeSync {
    fn tell(&self, alert: &BudgetAlert);
}

impl<F: Fn(&BudgetAlert) + MaybeSend + MaybeSync> OnAlert for F {
    fn tell(&self, alert: &BudgetAlert) {
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
                totals: Arc::default(),
            }),
            outbox: Outbox::new(MemoryLedger::default()),
        }
    }
}

impl CostTracker {
    /// A tracker without a budget.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a budget, to which every call is held, or gives one of its name another limit. With several, a call must fit into each.
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

    /// Keeps the budgets' books elsewhere than in this process's memory.
    ///
    /// A remote ledger costs a call one round trip, before it is sent. What it came to is told in the background. What is on its
    /// way when the last client and tracker are dropped is waited for, at most 5 s; [`flush`](Self::flush) waits for all.
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
        self
    }

    /// Gives a model a price, known or not; it goes before the table's.
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

    /// The shares of a budget, in percent, at whose passing an alert is given, each once a month: 50, 80 and 100 at first.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().thresholds([90]);
    /// ```
    #[must_use]
    pub fn thresholds(mut self, percent: impl IntoIterator<Item = u8>) -> Self {
        self.set().thresholds = percent.into_iter().collect();
        self
    }

    /// Is called at each alert, which is a `tracing` event besides.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().on_alert(|alert| eprintln!("{alert}"));
    /// ```
    #[must_use]
    pub fn on_alert(
        mut self,
        call: impl Fn(&BudgetAlert) + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.set().on_alert = Some(Arc::new(call));
        self
    }

    /// Puts aside what a request's input is likely to cost, at three bytes a token, rather than the most that it can:
    /// more calls fit into what is left of a budget, and it **can be overshot** by the difference.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().estimate_input();
    /// ```
    #[must_use]
    pub fn estimate_input(mut self) -> Self {
        self.set().estimating = true;
        self
    }

    /// Lets calls go ahead while the ledger cannot be reached, rather than fail. What they cost is owed and the ledger is
    /// told once it can be; until then the limit **can be overshot**.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().fail_open();
    /// ```
    #[must_use]
    pub fn fail_open(mut self) -> Self {
        self.set().fail_open = true;
        self
    }

    fn set(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    pub(super) fn has_budget(&self) -> bool {
        !self.settings.budgets.is_empty()
    }

    pub(super) fn is_estimating(&self) -> bool {
        self.settings.estimating
    }

    pub(super) fn price_of(&self, list: &str, model: &str) -> Option<Price> {
        let own = self
            .settings
            .prices
            .iter()
            .rev()
            .find(|(name, _)| name == model);
        own.map(|(_, price)| *price)
            .or_else(|| Price::lookup(list, model))
    }

    /// What was spent this month.
    ///
    /// # Errors
    /// Where the ledger cannot be reached.
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
        let (month, models) = self
            .settings
            .with_totals(|month, totals| (month, totals.models.clone()));
        Ok(Spend {
            month: month.to_string(),
            total: models.iter().map(|model| model.cost).sum(),
            models,
            budgets,
            unsettled: self.outbox.unsettled(),
        })
    }

    /// Waits until every call has ended and the ledger has been told what it came to: the last thing to do in a process that
    /// keeps a client in a `static`, or before an edge function's request is over.
    ///
    /// # Errors
    /// The ledger's, where it cannot be told. What is left goes on being tried, and another flush tries it again.
    ///
    /// ```
    /// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
    /// client.cost_tracker().flush().await
    /// # }
    /// ```
    pub async fn flush(&self) -> Result<()> {
        self.outbox.flush().await
    }

    /// # Errors
    /// `BudgetExceeded`, or that the ledger cannot be reached.
    pub(super) async fn reserve(&self, id: u64, max_cost: Usd) -> Result<ReservationState> {
        if !self.has_budget() {
            return Ok(ReservationState::Unlimited);
        }
        let reserved = self
            .outbox
            .reserve(id, &self.settings.budgets, max_cost)
            .await;
        let BudgetExceeded {
            budget,
            spent,
            reserved,
        } = match reserved {
            Ok(Ok(())) => return Ok(ReservationState::Reserved),
            Ok(Err(denied)) => denied,
            Err(error) if self.settings.fail_open => {
                tracing::warn!(%error, "a call goes ahead without its ledger, and owes what it costs");
                self.outbox.proceed_unreserved();
                return Ok(ReservationState::Unreserved);
            }
            Err(error) => return Err(error),
        };
        let Budget { name, limit } = budget;
        let message = [
            "the budget \"",
            &name,
            "\" of $",
            &limit.to_string(),
            " a month has $",
            &spent.to_string(),
            " spent and $",
            &reserved.to_string(),
            " reserved, and this call can cost $",
            &max_cost.to_string(),
            "; lower max_tokens, wait for calls under way, or raise the budget (LLM_BUDGET_LIMIT)",
        ];
        let kind = ErrorKind::BudgetExceeded {
            limit,
            spent,
            reserved,
            needed: max_cost,
        };
        Err(Error::new(kind, message.concat()))
    }

    pub(super) fn release(&self, id: u64) {
        self.outbox.release(id);
    }

    /// A reply, or the lack of one, and what it costs.
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
            let settings = self.settings.clone();
            let told = move |spent: &[Usd]| settings.alert(spent);
            self.outbox.settle(id, cost.usd, charge_to, told);
        }
    }
}

impl Settings {
    fn with_totals<T>(&self, f: impl FnOnce(Month, &mut Totals) -> T) -> T {
        let month = Month::of(runtime::wall_clock());
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        if totals.month.replace(month) != Some(month) {
            *totals = Totals {
                month: Some(month),
                ..Totals::default()
            };
        }
        f(month, &mut totals)
    }

    fn count(&self, provider: Provider, model: &str, cost: Cost, reply: Option<&Reply>) {
        self.with_totals(|_, totals| {
            let model = totals.of(provider, model);
            model.calls += 1;
            model.cost = model.cost + cost.usd;
            model.estimated |= cost.estimated;
            match reply {
                Some(reply) => model.usage.add(&reply.usage),
                None => model.failures += 1,
            }
        });
    }

    /// Tells of each budget the highest threshold that is passed, once a month.
    fn alert(&self, spent: &[Usd]) {
        for (budget, spent) in self.budgets.iter().zip(spent) {
            let (limit, spent) = (budget.limit, *spent);
            let at = |percent: u8| {
                let (hundreds, rest) = (limit.pico() / 100, limit.pico() % 100);
                let percent = u64::from(percent);
                Usd::from_pico(hundreds.saturating_mul(percent))
                    + Usd::from_pico(rest * percent / 100)
            };
            let passed = self.thresholds.iter().copied();
            let Some(percent) = passed.filter(|percent| spent >= at(*percent)).max() else {
                continue;
            };
            let news = self.with_totals(|_, totals| {
                let known = totals
                    .told
                    .iter()
                    .position(|(name, _)| *name == budget.name);
                let known = known.unwrap_or_else(|| {
                    totals.told.push((budget.name.clone(), None));
                    totals.told.len() - 1
                });
                let told = &mut totals.told[known].1;
                let news = told.is_none_or(|told| told < percent);
                if news {
                    *told = Some(percent);
                }
                news
            });
            if !news {
                continue;
            }
            let alert = BudgetAlert {
                budget: budget.name.clone(),
                percent,
                spent,
                limit,
            };
            tracing::warn!(budget = alert.budget, percent, %spent, %limit, hint = alert.hint(), "budget threshold passed");
            if let Some(call) = &self.on_alert {
                call.tell(&alert);
            }
        }
    }
}

impl fmt::Debug for CostTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tracker = f.debug_struct("CostTracker");
        tracker
            .field("budgets", &self.settings.budgets)
            .finish_non_exhaustive()
    }
}
