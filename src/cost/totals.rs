//! The costs of a tracker's calls, summed by model.

use serde::Serialize;

use super::Usd;
use super::ledger_state::Month;
use crate::{Provider, Usage};

/// The maximum number of models with a row of their own in a month. A gateway's callers choose the names, so they must be bounded.
const MAX_MODELS: usize = 1_000;
/// The name of the row for all other models.
const OTHER: &str = "other";

/// The number of months whose totals are kept. An earlier one is needed again if the clock was wrong and is set back.
const MAX_MONTHS: usize = 3;

/// The totals of the latest months in which there were calls, the current month last.
#[derive(Default)]
pub(super) struct MonthlyTotals(Vec<(Month, Totals)>);

impl MonthlyTotals {
    /// Returns the totals of a month, and drops the least recently used ones.
    pub(super) fn of(&mut self, month: Month) -> &mut Totals {
        let months = &mut self.0;
        let last = match months.iter().position(|(other, _)| *other == month) {
            Some(at) => months.remove(at),
            None => (month, Totals::default()),
        };
        if months.len() == MAX_MONTHS {
            months.remove(0);
        }
        &mut months.push_mut(last).1
    }
}

#[derive(Default)]
pub(super) struct Totals {
    pub(super) models: Vec<ModelSpend>,
    /// The highest threshold of each budget for which an alert was sent this month.
    pub(super) alerted: Vec<(String, Option<u8>)>,
}

impl Totals {
    /// Returns the row of a model, or that of `other` if there is no room for one more.
    pub(super) fn model_mut(&mut self, provider: Provider, model: &str) -> &mut ModelSpend {
        let models = &mut self.models;
        let find = |models: &[ModelSpend], name: &str| {
            let same = |row: &ModelSpend| row.provider == provider && row.model == name;
            models.iter().position(same)
        };
        let (mut name, mut at) = (model, find(models, model));
        if at.is_none() && models.len() >= MAX_MODELS {
            (name, at) = (OTHER, find(models, OTHER));
        }
        let at = at.unwrap_or_else(|| {
            models.push(ModelSpend {
                provider,
                model: name.to_owned(),
                calls: 0,
                failures: 0,
                usage: Usage::default(),
                cost: Usd::ZERO,
                estimated: Usd::ZERO,
            });
            models.len() - 1
        });
        &mut models[at]
    }
}

/// The usage and cost of one model this month.
///
/// The first 1,000 models of a month have a row of their own. Calls to any other model are counted in one row per provider
/// with the name `other`. Callers who invent names therefore cannot exhaust the memory, and the totals stay exact.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// for model in client.cost_tracker().spend().await?.models {
///     println!("{}: {} calls, ${}", model.model, model.calls, model.cost);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelSpend {
    /// The provider.
    pub provider: Provider,
    /// The model name in the requests, or `other`.
    pub model: String,
    /// The number of attempts, including failed ones.
    pub calls: u64,
    /// The number of attempts that failed or were cancelled.
    pub failures: u64,
    /// The tokens of all replies.
    pub usage: Usage,
    /// The cost of all attempts.
    pub cost: Usd,
    /// The part of `cost` that is an upper bound, because the usage or the price is not known: that of streams that were cancelled
    /// or cut, and of other attempts that failed and may have been billed. The rest is exact.
    pub estimated: Usd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_remembered_while_the_clock_is_wrong() {
        let mut totals = MonthlyTotals::default();
        for (month, alerts) in [
            (1, 0),
            (2, 0),
            (1, 1),
            (9, 0),
            (1, 2),
            (2, 1),
            (5, 0),
            (9, 0),
        ] {
            let alerted = &mut totals.of(Month(month)).alerted;
            assert_eq!(alerted.len(), alerts, "{month}");
            alerted.push(("a".into(), None));
        }
    }

    #[test]
    fn models_beyond_the_maximum_share_one_row_per_provider() {
        let mut totals = Totals::default();
        let providers = [Provider::Anthropic, Provider::OpenAi];
        for i in 0..3 * MAX_MODELS {
            totals.model_mut(providers[i % 2], &format!("m{i}")).calls += 1;
        }
        // A model that has a row keeps it.
        totals.model_mut(Provider::Anthropic, "m0").calls += 1;
        assert_eq!(totals.models.len(), MAX_MODELS + 2);
        let calls: u64 = totals.models.iter().map(|model| model.calls).sum();
        assert_eq!(calls, 3 * MAX_MODELS as u64 + 1);
        assert_eq!(totals.models[0].calls, 2);
        for (row, provider) in totals.models[MAX_MODELS..].iter().zip(providers) {
            assert_eq!((row.provider, &*row.model), (provider, OTHER));
            assert_eq!(row.calls, MAX_MODELS as u64);
        }
    }
}
