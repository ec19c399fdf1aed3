use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One attempt of a call: how it ended, how long it took, and how long the call then waited.
///
/// [`Reply::attempts`](crate::Reply::attempts) and [`Error::attempts`](crate::Error::attempts) return those of a call, in their order.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// let reply = client.chat("Hello").await?;
/// for attempt in reply.attempts() {
///     println!("{:?} after {:?}", attempt.kind, attempt.duration);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Attempt {
    /// The name of the target that a [`Router`](crate::Router) called. `None` in a call of a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The kind of its error, as [`ErrorKind::name`](crate::ErrorKind::name) returns it. `None` if it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The [status](crate::Error::status) of its error, if the provider responded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The start of its error's message, at most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The provider's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The time from its start to its end. In JSON it is `duration_ms`.
    #[serde(rename = "duration_ms", with = "crate::millis")]
    pub duration: Duration,
    /// The delay before the next attempt; zero after the last one. In JSON it is `delay_ms`.
    #[serde(
        rename = "delay_ms",
        with = "crate::millis",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub delay: Duration,
}

impl Attempt {
    /// Creates an attempt that succeeded.
    pub(crate) fn succeeded(request_id: Option<&str>, duration: Duration) -> Self {
        Self {
            request_id: request_id.map(str::to_owned),
            duration,
            ..Self::default()
        }
    }
}
