//! What a stream that was cancelled or cut can have cost.

use std::time::Duration;

use super::Usd;
use crate::runtime::Instant;
use crate::{Part, Reply};

/// How long a provider may go on writing until it notices that its caller has left.
const NOTICE: Duration = Duration::from_secs(1);

/// The maximum cost of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxCost {
    pub(super) cost: Usd,
    /// The part that is due even if the model writes nothing.
    pub(super) input: Usd,
    /// The maximum number of output tokens, which the rest pays for.
    pub(super) output: u64,
    /// The maximum number of tokens of input and output.
    pub(super) tokens: u64,
}

impl MaxCost {
    /// Returns the maximum if either of two models may answer.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            cost: self.cost.max(other.cost),
            input: self.input.max(other.input),
            // Up to the smaller number, the cost of output rises at most evenly to the maximum.
            output: self.output.min(other.output),
            tokens: self.tokens.max(other.tokens),
        }
    }
}

/// How much a streamed reply can have cost when it is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutBound {
    pub(super) max: MaxCost,
    /// The maximum number of tokens that the provider's fastest model writes in a second, in all replies together.
    pub(super) speed: u64,
    /// Whether the model may write something that is not streamed, such as reasoning or a second reply.
    pub(super) hides_output: bool,
    /// Whether the usage at the start of a stream has all of the input: the provider adds none later, such as the results of
    /// searches.
    pub(super) input_is_final: bool,
    /// Whether the provider goes on writing, and bills, when its caller has left.
    pub(super) bills_on: bool,
}

/// What was received of a stream.
pub(crate) struct Seen<'a> {
    pub(crate) reply: &'a Reply,
    /// When all that had arrived was last read.
    pub(crate) read_until: Option<Instant>,
}

impl CutBound {
    /// Returns the maximum cost of what can have been written since `sent`.
    pub(super) fn output(&self, sent: Instant, seen: Option<&Seen<'_>>) -> Usd {
        let MaxCost {
            cost,
            input,
            output,
            ..
        } = self.max;
        let whole = u128::from(cost.pico().saturating_sub(input.pico()));
        let tokens = u128::from(self.tokens(sent, seen).min(output));
        let part = (whole * tokens).div_ceil(u128::from(output.max(1)));
        // Each factor of a price rounds up on its own.
        const ROUNDING: u64 = 10;
        Usd::from_pico(
            u64::try_from(part)
                .unwrap_or(u64::MAX)
                .saturating_add(ROUNDING),
        )
    }

    /// Returns the maximum number of tokens that can have been written since `sent`.
    fn tokens(&self, sent: Instant, seen: Option<&Seen<'_>>) -> u64 {
        let whole = self.written_in(sent.elapsed());
        let Some(Seen { reply, read_until }) = seen else {
            return whole;
        };
        let shows_reasoning = |part: &Part| {
            matches!(
                part,
                Part::Reasoning { .. } | Part::RedactedReasoning { .. } | Part::Other { .. }
            )
        };
        if self.hides_output || reply.content.iter().any(shows_reasoning) {
            return whole;
        }
        let since = read_until.map_or_else(|| sent.elapsed(), |at| at.elapsed());
        // A token has at least one byte.
        let read = reply.content.iter().map(bytes).sum::<u64>();
        whole.min(read.saturating_add(self.written_in(since)))
    }

    fn written_in(&self, time: Duration) -> u64 {
        let ms = u64::try_from((time + NOTICE).as_millis()).unwrap_or(u64::MAX);
        self.speed.saturating_mul(ms) / 1000 + 1
    }
}

/// Returns the number of bytes that a model wrote for a part.
fn bytes(part: &Part) -> u64 {
    let bytes = match part {
        Part::Text { text, .. } => text.len(),
        Part::ToolUse(call) => call.id.len() + call.name.len() + call.arguments.len(),
        _ => 0,
    };
    bytes as u64
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use crate::{Provider, ToolCall};

    const BOUND: CutBound = CutBound {
        max: MaxCost {
            cost: Usd::from_pico(1_000_000),
            input: Usd::from_pico(0),
            output: 10_000,
            tokens: 20_000,
        },
        speed: 100,
        hides_output: false,
        input_is_final: true,
        bills_on: false,
    };

    #[tokio::test(start_paused = true)]
    async fn what_was_written_is_bounded_by_time_and_by_what_was_read() {
        let sent = Instant::now();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let read_until = Some(Instant::now());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut reply = Reply::new(Provider::Anthropic);
        reply.content = vec![
            Part::text("four"),
            Part::ToolUse(ToolCall::new("1", "n", "{}")),
        ];
        fn seen(reply: &Reply, read_until: Option<Instant>) -> Option<Seen<'_>> {
            Some(Seen { reply, read_until })
        }
        // One second more, in which the provider notices, and one token for the rounding.
        let whole = (60 + 2 + 1) * 100 + 1;
        assert_eq!(BOUND.tokens(sent, None), whole);
        assert_eq!(BOUND.output(sent, None), Usd::from_pico(whole * 100 + 10));
        assert_eq!(
            BOUND.tokens(sent, seen(&reply, read_until).as_ref()),
            4 + 4 + (2 + 1) * 100 + 1
        );
        let hiding = CutBound {
            hides_output: true,
            ..BOUND
        };
        assert_eq!(
            hiding.tokens(sent, seen(&reply, read_until).as_ref()),
            whole
        );
        reply.content.push(Part::Reasoning {
            text: String::new(),
            signature: None,
            dialect: None,
        });
        assert_eq!(BOUND.tokens(sent, seen(&reply, read_until).as_ref()), whole);
        // What was read cannot have been written faster than the top speed.
        reply.content = vec![Part::text("x".repeat(1 << 20))];
        assert_eq!(BOUND.tokens(sent, seen(&reply, read_until).as_ref()), whole);
    }
}
