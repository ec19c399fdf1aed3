//! What the calls of a tracker came to, by model.

use serde::Serialize;

use super::Usd;
use super::ledger_state::Month;
use crate::{Provider, Usage};

/// The most models that are summed up by themselves in a month. Callers of a gateway choose the names.
const MAX_MODELS: usize = 1_000;
/// What sums up the others.
const OTHER: &str = "other";

#[derive(Default)]
pub(super) struct Totals {
    /// Of the month that is kept; older ones are dropped when one ends.
    pub(super) month: Option<Month>,
    pub(super) models: Vec<ModelSpend>,
    /// By budget, the highest threshold of the month that was told.
    pub(super) told: Vec<(String, Option<u8>)>,
}

impl Totals {
    /// The sums of a model.
    pub(super) fn of(&mut self, provider: Provider, model: &str) -> &mut ModelSpend {
        let models = &mut self.models;
        let find = |models: &[ModelSpend], name: &str| {
            let same = |of: &ModelSpend| of.provider == provider && of.model == name;
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
                estimated: false,
            });
            models.len() - 1
        });
        &mut models[at]
    }
}

/// What calls of one model came to this month.
///
/// The first 1,000 models of a month have a sum of their own. Calls of any further one are summed up by provider under the
/// name `other`, so that a caller who invents names fills neither the memory nor the statistics, and the totals stay exact.
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
    /// Whose dialect.
    pub provider: Provider,
    /// The model as it was asked for, or `other`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_names_are_summed_up_in_one_row_for_each_provider() {
        let mut totals = Totals::default();
        let providers = [Provider::Anthropic, Provider::OpenAi];
        for i in 0..3 * MAX_MODELS {
            totals.of(providers[i % 2], &format!("m{i}")).calls += 1;
        }
        // Those that have a row keep it.
        totals.of(Provider::Anthropic, "m0").calls += 1;
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
