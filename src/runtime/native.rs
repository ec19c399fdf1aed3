use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub(crate) use tokio::time::{Instant, Sleep, sleep};

/// A number from 0 to 1.
pub(crate) fn random() -> f64 {
    fastrand::f64()
}

/// The date, for `retry-after`.
pub(crate) fn wall_clock() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
pub(crate) fn parse_http_date(text: &str) -> Option<std::time::SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// The float that a JSON number stands for; none where it is too large for any.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A finite float as a JSON number, as short as it can be.
pub(crate) fn print_float(number: f64) -> String {
    number.to_string()
}

/// What the future gives, or none where it takes longer.
pub(crate) async fn timeout<F: Future>(at_most: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(at_most, future).await.ok()
}

/// A future that can go wherever this target's futures must be able to go.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
