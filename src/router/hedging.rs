use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::millis;

/// When a call is also sent to a second target because the first is slower than usual.
///
/// The second attempt begins when the first has waited for its content longer than 95% of the last calls of its target did. The call
/// continues with the attempt that has content first, and the other one is cancelled. Budgets reserve the maximum cost of both. The
/// cancelled attempt is charged as a stream that was cut.
///
/// Second attempts and retries take tokens from the same retry budget. This limits them when many targets become slow.
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
    /// The minimum number of calls that a target must have answered before a second attempt is made. The default is 20. Larger values than
    /// 64 count as 64.
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
