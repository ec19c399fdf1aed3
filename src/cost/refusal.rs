use super::{Budget, BudgetExceeded, DEFAULT_BUDGET, Usd};
use crate::{Error, ErrorKind};

/// Why nothing was reserved.
pub(crate) enum Refusal {
    /// There would be room in this budget without what other calls have reserved.
    Wait { budget: String, error: Error },
    /// Waiting does not help.
    Final(Error),
}

impl Refusal {
    pub(super) fn of(denied: BudgetExceeded, max_cost: Usd) -> Self {
        let BudgetExceeded {
            budget: Budget { name, limit },
            spent,
            reserved,
        } = denied;
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
        ];
        let kind = ErrorKind::BudgetExceeded {
            limit,
            spent,
            reserved,
            needed: max_cost,
        };
        // The only budget that a setting makes.
        let hint = match &*name {
            DEFAULT_BUDGET => "lower max_tokens, or raise the budget (LLM_BUDGET_LIMIT)".into(),
            _ => ["lower max_tokens, or raise the budget \"", &name, "\""].concat(),
        };
        let error = Error::new(kind, message.concat()).with_hint(hint);
        match spent.pico().saturating_add(max_cost.pico()) <= limit.pico() {
            true => Self::Wait {
                budget: name,
                error,
            },
            false => Self::Final(error),
        }
    }
}
