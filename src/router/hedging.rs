use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::millis;

/// When a call is made at a second target too, because the first is slower than usual.
///
/// The second attempt begins when the first has had no content for longer than 95 of 100 of its target's last calls. Whichever has content
/// first is the call's; the other is cancelled. Budgets reserve the maximum cost of both, and the cancelled one is charged as a stream
/// that was cut. Second attempts and retries share one budget of tokens, so that there are few when many targets become slow.
///
/// ```
/// use std::time::Duration;
/// use warmline::Hedging;
///
/// let hedging = Hedging { min_delay: Duration::from_secs(2), ..Hedging::default() };
/// assert_eq!(hedging.min_calls, 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hedging {
    /// The minimum time before the second attempt. The default is 500 ms.
    #[serde(rename = "min_delay_ms", with = "millis")]
    pub min_delay: Duration,
    /// How many calls a target must have answered before its times are known. The default is 20, the maximum 64.
    pub min_calls: usize,
}

impl Default for Hedging {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(500),
            min_calls: 20,
        }
    }
}
