//! Statistics that are sent at intervals.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use futures_core::Stream;
use tokio::time::MissedTickBehavior;

use crate::state::{GatewayState, View};

/// The shortest interval of live statistics.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// Returns the statistics at intervals, as server-sent events, until the gateway shuts down or the caller's key is no longer valid.
pub(crate) fn events(
    state: Arc<GatewayState>,
    headers: HeaderMap,
    samples: usize,
    interval: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let shutdown = state.shutdown.subscribe();
    let mut ticks = tokio::time::interval(interval.max(MIN_INTERVAL));
    // A reader who has read nothing for a while gets no events for that time.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let live = (state, headers, shutdown, ticks);
    futures_util::stream::unfold(live, move |mut live| async move {
        let (state, headers, shutdown, ticks) = &mut live;
        tokio::select! {
            _ = ticks.tick() => {}
            _ = shutdown.wait_for(|shutdown| *shutdown) => return None,
        }
        let event = match state.view(headers).ok()? {
            View::All => {
                let make = event(state, &View::All, samples);
                state.latest_event.get(samples, MIN_INTERVAL, make).await
            }
            own @ View::Own(_) => event(state, &own, samples).await,
        };
        Some((Ok(event), live))
    })
}

async fn event(state: &GatewayState, view: &View, samples: usize) -> Bytes {
    match state.stats(view, samples).await {
        Ok(stats) => format!("data: {stats}\n\n").into(),
        // The ledger cannot be reached now, but perhaps at the next tick.
        Err(_) => Bytes::from_static(b":\n\n"),
    }
}
