use std::fmt;

use serde::Serialize;

use super::DEFAULT_BUDGET;
use super::totals::ModelSpend;
use crate::Usd;

/// The current state of a budget.
///
/// ```no_run
/// # fn demo(budget: warmline::BudgetSpend) {
/// println!("{} of {}", budget.spent, budget.limit);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BudgetSpend {
    /// The name of the budget.
    pub name: String,
    /// The monthly limit.
    pub limit: Usd,
    /// The amount spent this month by all processes that share the ledger.
    pub spent: Usd,
    /// The amount reserved by calls in flight.
    pub reserved: Usd,
}

/// The costs of the current month (UTC).
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// let spend = client.cost_tracker().spend().await?;
/// println!("${} in {}", spend.total, spend.month);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Spend {
    /// The month, as `2026-11`.
    pub month: String,
    /// The cost of this tracker's calls, including failed ones.
    pub total: Usd,
    /// The part of `total` that is an upper bound; see [`ModelSpend::estimated`].
    pub estimated: Usd,
    /// The costs by provider and model: at most 1,000 models, and one row `other` per provider for all further ones.
    pub models: Vec<ModelSpend>,
    /// The state of each budget, including the costs of other processes that share the ledger.
    pub budgets: Vec<BudgetSpend>,
    /// The cost of settlements that have not reached the ledger yet. It is not part of `budgets`.
    pub unsettled: Usd,
}

/// An alert that a budget has reached one of its thresholds.
///
/// ```
/// let tracker = warmline::CostTracker::new().on_alert(|alert| eprintln!("{alert}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BudgetAlert {
    /// The name of the budget.
    pub budget: String,
    /// The threshold that was reached, in percent of the limit.
    pub percent: u8,
    /// The amount spent this month.
    pub spent: Usd,
    /// The monthly limit.
    pub limit: Usd,
}

impl BudgetAlert {
    /// Returns what happened, as one line of text.
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
        format!(
            "the budget {budget} has reached {percent}% of its limit: ${spent} of ${limit} spent"
        )
    }

    /// Returns what can be done about it.
    ///
    /// ```
    /// let tracker = warmline::CostTracker::new().on_alert(|alert| eprintln!("{}", alert.hint()));
    /// ```
    pub fn hint(&self) -> &'static str {
        match (&*self.budget, self.percent) {
            (DEFAULT_BUDGET, ..100) => {
                "raise it (LLM_BUDGET_LIMIT), or see by model what spends it"
            }
            (DEFAULT_BUDGET, _) => {
                "raise it (LLM_BUDGET_LIMIT), or wait for the next month: calls are refused until then"
            }
            (_, ..100) => "raise it, or see by model what spends it",
            (_, _) => "raise it, or wait for the next month: calls are refused until then",
        }
    }
}

impl fmt::Display for BudgetAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.summary(), self.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_budget_of_the_setting_hints_at_the_setting() {
        for (budget, percent, hints) in [
            (DEFAULT_BUDGET, 50, true),
            (DEFAULT_BUDGET, 100, true),
            ("key:alice", 50, false),
            ("key:alice", 100, false),
        ] {
            let alert = BudgetAlert {
                budget: budget.to_owned(),
                percent,
                spent: Usd::ZERO,
                limit: Usd::ZERO,
            };
            assert_eq!(alert.hint().contains("LLM_BUDGET_LIMIT"), hints, "{alert}");
            assert_eq!(
                alert.hint().contains("next month"),
                percent == 100,
                "{alert}"
            );
        }
    }
}
