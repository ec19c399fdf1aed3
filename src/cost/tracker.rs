use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::books::Month;
use super::{Ask, Budget, Ledger, MemoryLedger, Price, Refusal, Usd};
use crate::{Error, ErrorKind, Provider, Reply, Result, Usage, runtime};

/// What a call cost.
///
/// ```no_run
/// # fn demo(reply: warmline::Reply) {
/// if let Some(cost) = reply.cost {
///     println!("${}", cost.usd);
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The amount.
    pub usd: Usd,
    /// The model's price is not known, and its provider's dearest was taken; or the provider did not say what was used, and
    /// the most that it can have been was.
    pub estimated: bool,
}

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
/// let client = Client::builder(Provider::Anthropic).api_key("k").cost(tracker.clone()).build()?;
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone)]
pub struct CostTracker {
    budgets: Vec<Budget>,
    ledger: Arc<dyn Ledger>,
    prices: Vec<(String, Price)>,
    thresholds: Vec<u8>,
    on_alert: Option<Arc<OnAlert>>,
    estimating: bool,
    totals: Arc<Mutex<Totals>>,
}

type OnAlert = dyn Fn(&BudgetAlert) + Send + Sync;

#[derive(Default)]
struct Totals {
    /// Of the month that is kept; older ones are dropped when one ends.
    month: Option<Month>,
    models: Vec<ModelSpend>,
    /// By budget, the highest threshold of the month that was told.
    told: Vec<(String, u8)>,
}

/// What calls of one model came to this month.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// for model in client.cost().spend().await?.models {
///     println!("{}: {} calls, ${}", model.model, model.calls, model.cost);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelSpend {
    /// Whose dialect.
    pub provider: Provider,
    /// The model as it was asked for.
    pub model: String,
    /// Attempts, those that failed included.
    pub calls: u64,
    /// Attempts that failed or were cancelled.
    pub failures: u64,
    /// The tokens of the replies, each kind summed up.
    pub usage: Usage,
    /// What they cost, with what failed attempts can have cost.
    pub cost: Usd,
    /// Some of `cost` is estimated.
    pub estimated: bool,
}

/// A budget as it stands.
///
/// ```no_run
/// # fn demo(budget: warmline::BudgetSpend) {
/// println!("{} of {}", budget.spent, budget.limit);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BudgetSpend {
    /// Its name.
    pub name: String,
    /// Its limit.
    pub limit: Usd,
    /// What is spent of it this month, by all who share the ledger.
    pub spent: Usd,
    /// What calls under way have put aside.
    pub reserved: Usd,
}

/// What was spent this month (UTC).
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// println!("${} in {}", client.cost().spend().await?.total, "this month");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Spend {
    /// The month, as `2026-11`.
    pub month: String,
    /// The cost of this tracker's calls.
    pub total: Usd,
    /// By provider and model.
    pub models: Vec<ModelSpend>,
    /// The budgets, with what others who share the ledger have spent.
    pub budgets: Vec<BudgetSpend>,
}

/// A budget has passed one of its thresholds.
///
/// ```
/// let tracker = warmline::CostTracker::new().on_alert(|alert| eprintln!("{alert}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BudgetAlert {
    /// The budget's name.
    pub budget: String,
    /// The threshold that was passed, in percent.
    pub percent: u8,
    /// What is spent.
    pub spent: Usd,
    /// The limit.
    pub limit: Usd,
}

impl fmt::Display for BudgetAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            budget,
            percent,
            spent,
            limit,
        } = self;
        write!(
            f,
            "the budget {budget} is spent to {percent} %: ${spent} of ${limit}"
        )
    }
}

impl Default for CostTracker {
    fn default() -> Self {
        Self {
            budgets: Vec::new(),
            ledger: Arc::new(MemoryLedger::default()),
            prices: Vec::new(),
            thresholds: vec![50, 80, 100],
            on_alert: None,
            estimating: false,
            totals: Arc::default(),
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

    /// Adds a budget, to which every call is held. With several, a call must fit into each.
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
        self.budgets.push(budget);
        self
    }

    /// Keeps the budgets' books elsewhere than in this process's memory.
    ///
    /// ```
    /// # use warmline::{CostTracker, FileLedger};
    /// # let path = std::env::temp_dir().join("llm-spend-doc.log");
    /// let tracker = CostTracker::new().ledger(FileLedger::open(path)?);
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn ledger(mut self, ledger: impl Ledger + 'static) -> Self {
        self.ledger = Arc::new(ledger);
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
        self.prices.push((model.into(), price));
        self
    }

    /// The shares of a budget, in percent, at whose passing an alert is given, each once a month: 50, 80 and 100 at first.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().thresholds([90]);
    /// ```
    #[must_use]
    pub fn thresholds(mut self, percent: impl IntoIterator<Item = u8>) -> Self {
        self.thresholds = percent.into_iter().collect();
        self.thresholds.sort_unstable();
        self
    }

    /// Is called at each alert, which is a `tracing` event besides.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().on_alert(|alert| eprintln!("{alert}"));
    /// ```
    #[must_use]
    pub fn on_alert(mut self, call: impl Fn(&BudgetAlert) + Send + Sync + 'static) -> Self {
        self.on_alert = Some(Arc::new(call));
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
        self.estimating = true;
        self
    }

    pub(super) fn has_budget(&self) -> bool {
        !self.budgets.is_empty()
    }

    pub(super) fn is_estimating(&self) -> bool {
        self.estimating
    }

    pub(super) fn price_of(&self, list: &str, model: &str) -> Option<Price> {
        let own = self.prices.iter().rev().find(|(name, _)| name == model);
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
        for Budget { name, limit } in &self.budgets {
            let (spent, reserved) = self.ledger.state(name).await?;
            budgets.push(BudgetSpend {
                name: name.clone(),
                limit: *limit,
                spent,
                reserved,
            });
        }
        let (month, models) = self.with_totals(|month, totals| (month, totals.models.clone()));
        Ok(Spend {
            month: month.to_string(),
            total: models.iter().map(|model| model.cost).sum(),
            models,
            budgets,
        })
    }

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

    pub(super) async fn reserve(&self, worst: Usd) -> Result<Option<u64>> {
        if self.budgets.is_empty() {
            return Ok(None);
        }
        let Refusal {
            budget,
            spent,
            reserved,
        } = match self.ledger.reserve(&self.budgets, worst).await? {
            Ok(reserved) => return Ok(Some(reserved.id)),
            Err(refusal) => refusal,
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
            &worst.to_string(),
            "; lower max_tokens, wait for calls under way, or raise the budget (LLM_BUDGET_LIMIT)",
        ];
        let kind = ErrorKind::BudgetExceeded {
            limit,
            spent,
            reserved,
            needed: worst,
        };
        Err(Error::new(kind, message.concat()))
    }

    /// An attempt is over: `reply` is none where it failed.
    pub(super) fn settle(&self, ask: &Ask, id: Option<u64>, cost: Cost, reply: Option<&Reply>) {
        if let Some(id) = id {
            self.ledger.settle(id, cost.usd);
        }
        self.with_totals(|_, totals| {
            let same = |of: &ModelSpend| of.provider == ask.provider && of.model == ask.model;
            let at = totals.models.iter().position(same).unwrap_or_else(|| {
                totals.models.push(ModelSpend {
                    provider: ask.provider,
                    model: ask.model.clone(),
                    calls: 0,
                    failures: 0,
                    usage: Usage::default(),
                    cost: Usd::ZERO,
                    estimated: false,
                });
                totals.models.len() - 1
            });
            let model = &mut totals.models[at];
            model.calls += 1;
            model.cost = model.cost + cost.usd;
            model.estimated |= cost.estimated;
            match reply {
                Some(reply) => model.usage.add(&reply.usage),
                None => model.failures += 1,
            }
        });
        if id.is_some() && cost.usd != Usd::ZERO {
            self.alert();
        }
    }

    /// Looks whether a threshold was passed. A ledger that answers at once is asked here; one that is far away would be
    /// asked off the caller's path.
    fn alert(&self) {
        for budget in &self.budgets {
            let mut state = self.ledger.state(&budget.name);
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Ok((spent, _))) = state.as_mut().poll(&mut cx) else {
                continue;
            };
            let passed = |percent: &&u8| {
                u128::from(spent.pico()) * 100
                    >= u128::from(budget.limit.pico()) * u128::from(**percent)
            };
            let Some(percent) = self.thresholds.iter().rev().find(passed).copied() else {
                continue;
            };
            let news = self.with_totals(|_, totals| {
                match totals
                    .told
                    .iter_mut()
                    .find(|(name, _)| *name == budget.name)
                {
                    Some((_, told)) if *told >= percent => false,
                    Some((_, told)) => {
                        *told = percent;
                        true
                    }
                    None => {
                        totals.told.push((budget.name.clone(), percent));
                        true
                    }
                }
            });
            if news {
                let alert = BudgetAlert {
                    budget: budget.name.clone(),
                    percent,
                    spent,
                    limit: budget.limit,
                };
                tracing::warn!(budget = alert.budget, percent, %spent, limit = %alert.limit, "budget threshold passed");
                if let Some(call) = &self.on_alert {
                    call(&alert);
                }
            }
        }
    }
}

impl fmt::Debug for CostTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tracker = f.debug_struct("CostTracker");
        tracker
            .field("budgets", &self.budgets)
            .finish_non_exhaustive()
    }
}
