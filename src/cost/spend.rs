use std::fmt;

use serde::Serialize;

use super::totals::ModelSpend;
use crate::Usd;

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
/// println!("${} in {}", client.cost_tracker().spend().await?.total, "this month");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Spend {
    /// The month, as `2026-11`.
    pub month: String,
    /// The cost of this tracker's calls.
    pub total: Usd,
    /// By provider and model, at most 1,000 of them and `other` for each provider.
    pub models: Vec<ModelSpend>,
    /// The budgets, with what others who share the ledger have spent.
    pub budgets: Vec<BudgetSpend>,
    /// What the ledger could not be told yet, and so is not in `budgets`.
    pub unsettled: Usd,
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

impl BudgetAlert {
    /// What was seen.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().on_alert(|alert| eprintln!("{}", alert.summary()));
    /// ```
    pub fn summary(&self) -> String {
        let Self {
            budget,
            percent,
            spent,
            limit,
        } = self;
        format!("the budget {budget} is spent to {percent} %, ${spent} of ${limit}")
    }

    /// What to change.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().on_alert(|alert| eprintln!("{}", alert.hint()));
    /// ```
    pub fn hint(&self) -> &'static str {
        if self.percent < 100 {
            "raise it (LLM_BUDGET_LIMIT), or see by model what spends it"
        } else {
            "raise it (LLM_BUDGET_LIMIT), or wait for next month: until then calls are refused"
        }
    }
}

impl fmt::Display for BudgetAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.summary(), self.hint())
    }
}
