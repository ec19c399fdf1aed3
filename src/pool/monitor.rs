//! Decides from the pool's changes of state when to raise an alert. It has no timer: while nothing changes, the only alert that
//! can be due is a long wait, which the waiting caller raises itself.

use std::mem;
use std::time::Duration;

use super::alert::{AlertThresholds, PoolAlert, PoolAlertKind};
use super::limits::Limits;
use crate::runtime::Instant;

/// The shortest time between two alerts of the same kind.
const COOLDOWN: Duration = Duration::from_secs(60);

/// The fewest reopened connections in a window that count as a pattern.
const MIN_SAMPLES: u64 = 10;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CloseReason {
    /// More connections were idle than the limit allows.
    MaxIdle,
    /// It was idle for `keepalive_expiry`.
    Expired,
    /// The server closed it.
    Server,
    /// Its reply was dropped before its end, or the connection failed.
    Broken,
}

#[derive(Debug)]
pub(super) struct AlertMonitor {
    thresholds: AlertThresholds,
    limits: Limits,
    /// When the pool last changed, and its state since then.
    since: Instant,
    exhausted: bool,
    waiting: usize,
    window: Window,
    /// The shortest length of the queue in the previous window.
    previous_shortest: usize,
    /// Closed connections that no new one has replaced yet, by reason.
    closed: [u64; 4],
    notified: [Option<Instant>; 4],
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    exhausted: Duration,
    shortest: usize,
    waited: bool,
    calls: u64,
    /// Calls that opened a connection to replace a closed one, by the reason why it was closed.
    reopened: [u64; 4],
}

impl Window {
    fn new(begun: Instant, waiting: usize) -> Self {
        Self {
            begun,
            exhausted: Duration::ZERO,
            shortest: waiting,
            waited: waiting > 0,
            calls: 0,
            reopened: [0; 4],
        }
    }
}

impl AlertMonitor {
    pub(super) fn new(thresholds: AlertThresholds, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            thresholds,
            limits,
            since: now,
            exhausted: false,
            waiting: 0,
            window: Window::new(now, 0),
            previous_shortest: 0,
            closed: [0; 4],
            notified: [None; 4],
        }
    }

    pub(super) fn on_close(&mut self, reason: CloseReason) {
        self.closed[reason as usize] += 1;
    }

    /// A call was assigned an idle connection.
    pub(super) fn on_reuse(&mut self) {
        self.window.calls += 1;
    }

    /// A call is opening a connection.
    pub(super) fn on_connect(&mut self) {
        self.window.calls += 1;
        let most = (0..self.closed.len()).max_by_key(|cause| self.closed[*cause]);
        if let Some(cause) = most.filter(|cause| self.closed[*cause] > 0) {
            self.closed[cause] -= 1;
            self.window.reopened[cause] += 1;
        }
    }

    /// Records the pool's state from now on, and returns the alerts that are due.
    pub(super) fn on_change(&mut self, exhausted: bool, waiting: usize) -> Vec<PoolAlert> {
        let now = Instant::now();
        if self.exhausted {
            self.window.exhausted += now - self.since;
        }
        self.since = now;
        let mut alerts = Vec::new();
        if now - self.window.begun >= self.thresholds.window {
            let ended = mem::replace(&mut self.window, Window::new(now, self.waiting));
            self.evaluate(&ended, now, &mut alerts);
            self.previous_shortest = ended.shortest;
        }
        self.window.shortest = self.window.shortest.min(waiting);
        self.window.waited |= waiting > 0;
        (self.exhausted, self.waiting) = (exhausted, waiting);
        alerts
    }

    fn evaluate(&mut self, window: &Window, now: Instant, alerts: &mut Vec<PoolAlert>) {
        let Limits {
            max_connections,
            max_keepalive_connections,
            keepalive_expiry,
        } = self.limits;
        let took = now - window.begun;
        let percent = percent(window.exhausted.as_micros(), took.as_micros());
        if window.waited
            && percent >= self.thresholds.exhausted_percent
            && self.should_notify(PoolAlertKind::Exhausted, now)
        {
            alerts.push(PoolAlert {
                kind: PoolAlertKind::Exhausted,
                summary: format!("all {max_connections} connections were in use for {percent} % of {took:.1?}, and calls waited"),
                hint: more_connections(),
            });
        }
        if window.shortest > self.previous_shortest && self.should_notify(PoolAlertKind::QueueGrowing, now) {
            alerts.push(PoolAlert {
                kind: PoolAlertKind::QueueGrowing,
                summary: format!(
                    "at its shortest the queue was {} in {took:.1?}, after {}",
                    window.shortest, self.previous_shortest
                ),
                hint: format!(
                    "calls come faster than {max_connections} connections can serve them: {}",
                    more_connections()
                ),
            });
        }
        let reopened: u64 = window.reopened.iter().sum();
        let percent = self::percent(reopened.into(), window.calls.into());
        if reopened >= MIN_SAMPLES
            && percent >= self.thresholds.handshake_percent
            && self.should_notify(PoolAlertKind::HandshakesRising, now)
        {
            let most = [CloseReason::MaxIdle, CloseReason::Expired, CloseReason::Server, CloseReason::Broken]
                .into_iter()
                .max_by_key(|cause| window.reopened[*cause as usize]);
            let hint = match most {
                Some(CloseReason::MaxIdle) => format!(
                    "no more than {max_keepalive_connections} idle ones are kept: raise max_keepalive_connections (LLM_MAX_KEEPALIVE)"
                ),
                Some(CloseReason::Expired) => format!(
                    "idle ones are closed after {keepalive_expiry:?}: raise keepalive_expiry (LLM_KEEPALIVE_EXPIRY)"
                ),
                Some(CloseReason::Server) => "the server, or a proxy before it, closes them: see what it does with idle connections, or use HTTP/2 with \
                     http2_ping_interval"
                    .to_owned(),
                _ => "replies are dropped before their end, or break: read them to their end where they can be".to_owned(),
            };
            alerts.push(PoolAlert {
                kind: PoolAlertKind::HandshakesRising,
                summary: format!("{reopened} of {} calls in {took:.1?} opened a connection in place of one that was closed", window.calls),
                hint,
            });
        }
    }

    /// Records that a call has waited for this long and is still waiting.
    pub(super) fn long_wait(&mut self, waited: Duration) -> Option<PoolAlert> {
        let kind = PoolAlertKind::LongWait;
        self.should_notify(kind, Instant::now()).then(|| PoolAlert {
            kind,
            summary: format!(
                "a call has waited {waited:.1?} for a connection, of which there may be {}; {} wait now",
                self.limits.max_connections, self.waiting
            ),
            hint: more_connections(),
        })
    }

    /// Whether an alert of this kind is due, and if so, starts its cooldown. Called before the alert's text is made, because
    /// a thousand callers may be waiting.
    fn should_notify(&mut self, kind: PoolAlertKind, now: Instant) -> bool {
        let notified = &mut self.notified[kind as usize];
        let due = notified.is_none_or(|last| now - last >= COOLDOWN);
        if due {
            *notified = Some(now);
        }
        due
    }
}

fn more_connections() -> String {
    "raise max_connections (LLM_MAX_CONNECTIONS), as far as the provider's rate limits allow, or make fewer calls at once".to_owned()
}

fn percent(part: u128, whole: u128) -> u8 {
    u8::try_from(part * 100 / whole.max(1)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn monitor() -> AlertMonitor {
        AlertMonitor::new(AlertThresholds::default(), Limits::default())
    }

    fn kinds(alerts: &[PoolAlert]) -> Vec<PoolAlertKind> {
        alerts.iter().map(|alert| alert.kind).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn full_use_is_no_alert_as_long_as_nobody_waits() {
        for (waiting, expected) in [(0, vec![]), (1, vec![PoolAlertKind::Exhausted])] {
            let mut monitor = monitor();
            assert!(monitor.on_change(true, waiting).is_empty());
            tokio::time::advance(WINDOW * 85 / 100).await;
            assert!(monitor.on_change(false, 0).is_empty());
            tokio::time::advance(WINDOW * 15 / 100).await;
            let alerts = monitor.on_change(false, 0);
            assert_eq!(kinds(&alerts), expected);
            if let Some(alert) = alerts.first() {
                assert_eq!(
                    alert.summary,
                    "all 10 connections were in use for 85 % of 10.0s, and calls waited"
                );
                assert!(
                    alert
                        .hint
                        .starts_with("raise max_connections (LLM_MAX_CONNECTIONS)")
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_drains_is_no_growing_queue_and_a_longer_shortest_one_is() {
        let mut monitor = monitor();
        // Each burst is worked off.
        for _ in 0..3 {
            monitor.on_change(true, 50);
            tokio::time::advance(WINDOW / 2).await;
            assert!(monitor.on_change(false, 0).is_empty());
            tokio::time::advance(WINDOW / 2).await;
        }
        let mut queue = 0;
        let mut grown = Vec::new();
        for _ in 0..8 {
            queue += 4;
            monitor.on_change(false, queue);
            tokio::time::advance(WINDOW / 4).await;
            grown.extend(monitor.on_change(false, queue - 1));
        }
        assert_eq!(kinds(&grown), [PoolAlertKind::QueueGrowing]);
        assert!(grown[0].summary.ends_with(", after 0"), "{}", grown[0].summary);
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_are_told_with_why_the_connections_were_not_kept() {
        for (cause, hint) in [
            (CloseReason::MaxIdle, "LLM_MAX_KEEPALIVE"),
            (CloseReason::Expired, "LLM_KEEPALIVE_EXPIRY"),
            (CloseReason::Server, "the server, or a proxy"),
            (CloseReason::Broken, "read them to their end"),
        ] {
            let mut monitor = monitor();
            // Those that make the pool as large as it is are none too many.
            (0..50).for_each(|_| monitor.on_connect());
            tokio::time::advance(WINDOW).await;
            assert!(monitor.on_change(false, 0).is_empty());
            for _ in 0..12 {
                monitor.on_close(cause);
                monitor.on_connect();
            }
            (0..12).for_each(|_| monitor.on_reuse());
            tokio::time::advance(WINDOW).await;
            let alerts = monitor.on_change(false, 0);
            assert_eq!(kinds(&alerts), [PoolAlertKind::HandshakesRising]);
            assert!(
                alerts[0].summary.starts_with("12 of 24 calls"),
                "{}",
                alerts[0]
            );
            assert!(alerts[0].hint.contains(hint), "{}", alerts[0]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_is_told_once_a_minute() {
        let mut monitor = monitor();
        let second = Duration::from_secs(1);
        assert!(monitor.long_wait(second).is_some());
        assert!(monitor.long_wait(second).is_none());
        tokio::time::advance(COOLDOWN).await;
        assert!(monitor.long_wait(second).is_some());
    }
}
