//! Decides when to raise a pool alert, from the changes of the pool's state. It has no timer: while nothing changes, the only
//! alert that can become due is a long wait, and the waiter raises that one itself.

use std::mem;
use std::time::Duration;

use super::alert::{AlertThresholds, PoolAlert, PoolAlertKind};
use super::limits::Limits;
use crate::runtime::Instant;

/// The minimum time between two alerts of the same kind.
const COOLDOWN: Duration = Duration::from_secs(60);

/// The minimum number of reopened connections in a window that raises an alert.
const MIN_SAMPLES: u64 = 10;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CloseReason {
    /// More connections were idle than the limit allows.
    MaxIdle,
    /// The connection was idle for `keepalive_expiry`.
    Expired,
    /// The server closed the connection.
    Server,
    /// The reply was dropped before its end, or the connection failed.
    Broken,
}

#[derive(Debug)]
pub(super) struct AlertMonitor {
    thresholds: AlertThresholds,
    limits: Limits,
    /// When the pool last changed. `exhausted` and `waiting` are its state since then.
    since: Instant,
    exhausted: bool,
    waiting: usize,
    window: Window,
    /// The minimum queue length in the previous window.
    previous_shortest: usize,
    /// The number of closed connections that have not been replaced yet, by [`CloseReason`].
    closed: [u64; 4],
    /// When each [`PoolAlertKind`] was last raised.
    notified: [Option<Instant>; 4],
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    exhausted: Duration,
    shortest: usize,
    waited: bool,
    calls: u64,
    /// The number of calls that opened a connection to replace a closed one, by [`CloseReason`].
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
    pub(super) fn new(thresholds: AlertThresholds, limits: Limits, now: Instant) -> Self {
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

    /// Records that a call was assigned an open connection.
    pub(super) fn on_reuse(&mut self) {
        self.window.calls += 1;
    }

    /// Records that a call is opening a connection.
    pub(super) fn on_connect(&mut self) {
        self.window.calls += 1;
        let most_frequent = (0..self.closed.len()).max_by_key(|reason| self.closed[*reason]);
        if let Some(reason) = most_frequent.filter(|reason| self.closed[*reason] > 0) {
            self.closed[reason] -= 1;
            self.window.reopened[reason] += 1;
        }
    }

    /// Records the pool's state from now on, and returns the alerts that are due.
    pub(super) fn on_change(
        &mut self,
        exhausted: bool,
        waiting: usize,
        now: Instant,
    ) -> Vec<PoolAlert> {
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
                summary: format!("all {max_connections} connections were in use for {percent} % of the last {took:.1?}, and calls waited"),
                hint: more_connections(),
            });
        }
        if window.shortest > self.previous_shortest
            && self.should_notify(PoolAlertKind::QueueGrowing, now)
        {
            alerts.push(PoolAlert {
                kind: PoolAlertKind::QueueGrowing,
                summary: format!(
                    "the queue was never shorter than {} in the last {took:.1?}; the minimum before was {}",
                    window.shortest, self.previous_shortest
                ),
                hint: format!(
                    "calls arrive faster than {max_connections} connections can serve them: {}",
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
            let most_frequent = [
                CloseReason::MaxIdle,
                CloseReason::Expired,
                CloseReason::Server,
                CloseReason::Broken,
            ]
            .into_iter()
            .max_by_key(|reason| window.reopened[*reason as usize]);
            let hint = match most_frequent {
                Some(CloseReason::MaxIdle) => format!(
                    "at most {max_keepalive_connections} idle connections are kept: raise max_keepalive_connections (LLM_MAX_KEEPALIVE)"
                ),
                Some(CloseReason::Expired) => format!(
                    "idle connections are closed after {keepalive_expiry:?}: raise keepalive_expiry (LLM_KEEPALIVE_EXPIRY)"
                ),
                Some(CloseReason::Server) => "the server or a proxy closes the connections: check its idle timeout, or use HTTP/2 with http2_ping_interval"
                    .to_owned(),
                _ => "replies are dropped before their end, or connections fail: read replies to their end".to_owned(),
            };
            alerts.push(PoolAlert {
                kind: PoolAlertKind::HandshakesRising,
                summary: format!("{reopened} of {} calls in the last {took:.1?} opened a connection to replace a closed one", window.calls),
                hint,
            });
        }
    }

    /// Returns the alert for a call that has waited for `waited` and is still waiting, if one is due.
    pub(super) fn long_wait(&mut self, waited: Duration, now: Instant) -> Option<PoolAlert> {
        let kind = PoolAlertKind::LongWait;
        self.should_notify(kind, now).then(|| PoolAlert {
            kind,
            summary: format!(
                "a call has waited {waited:.1?} for a connection; max_connections is {}, and {} calls are waiting",
                self.limits.max_connections, self.waiting
            ),
            hint: more_connections(),
        })
    }

    /// Returns whether an alert of this kind is due, and if so starts its cooldown. Callers format the alert's text afterwards,
    /// so that a thousand waiters do not format a text that is discarded.
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
    "raise max_connections (LLM_MAX_CONNECTIONS) as far as the provider's rate limits allow, or make fewer concurrent calls".to_owned()
}

fn percent(part: u128, whole: u128) -> u8 {
    u8::try_from(part * 100 / whole.max(1)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn monitor(now: Instant) -> AlertMonitor {
        AlertMonitor::new(AlertThresholds::default(), Limits::default(), now)
    }

    fn kinds(alerts: &[PoolAlert]) -> Vec<PoolAlertKind> {
        alerts.iter().map(|alert| alert.kind).collect()
    }

    #[test]
    fn exhaustion_raises_an_alert_only_if_calls_wait() {
        for (waiting, expected) in [(0, vec![]), (1, vec![PoolAlertKind::Exhausted])] {
            let mut now = Instant::now();
            let mut monitor = monitor(now);
            assert!(monitor.on_change(true, waiting, now).is_empty());
            now += WINDOW * 85 / 100;
            assert!(monitor.on_change(false, 0, now).is_empty());
            now += WINDOW * 15 / 100;
            let alerts = monitor.on_change(false, 0, now);
            assert_eq!(kinds(&alerts), expected);
            if let Some(alert) = alerts.first() {
                assert_eq!(
                    alert.summary,
                    "all 10 connections were in use for 85 % of the last 10.0s, and calls waited"
                );
                assert!(
                    alert
                        .hint
                        .starts_with("raise max_connections (LLM_MAX_CONNECTIONS)")
                );
            }
        }
    }

    #[test]
    fn the_queue_grows_if_its_minimum_rises_but_not_in_a_burst_that_drains() {
        let mut now = Instant::now();
        let mut monitor = monitor(now);
        // The queue drains within each window.
        for _ in 0..3 {
            monitor.on_change(true, 50, now);
            now += WINDOW / 2;
            assert!(monitor.on_change(false, 0, now).is_empty());
            now += WINDOW / 2;
        }
        let mut queue = 0;
        let mut grown = Vec::new();
        for _ in 0..8 {
            queue += 4;
            monitor.on_change(false, queue, now);
            now += WINDOW / 4;
            grown.extend(monitor.on_change(false, queue - 1, now));
        }
        assert_eq!(kinds(&grown), [PoolAlertKind::QueueGrowing]);
        assert!(
            grown[0].summary.ends_with("the minimum before was 0"),
            "{}",
            grown[0].summary
        );
    }

    #[test]
    fn a_handshake_alert_names_why_connections_were_closed() {
        for (reason, hint) in [
            (CloseReason::MaxIdle, "LLM_MAX_KEEPALIVE"),
            (CloseReason::Expired, "LLM_KEEPALIVE_EXPIRY"),
            (CloseReason::Server, "the server or a proxy"),
            (CloseReason::Broken, "read replies to their end"),
        ] {
            let mut now = Instant::now();
            let mut monitor = monitor(now);
            // Connections that grow the pool replace no closed one.
            (0..50).for_each(|_| monitor.on_connect());
            now += WINDOW;
            assert!(monitor.on_change(false, 0, now).is_empty());
            for _ in 0..12 {
                monitor.on_close(reason);
                monitor.on_connect();
            }
            (0..12).for_each(|_| monitor.on_reuse());
            now += WINDOW;
            let alerts = monitor.on_change(false, 0, now);
            assert_eq!(kinds(&alerts), [PoolAlertKind::HandshakesRising]);
            assert!(
                alerts[0].summary.starts_with("12 of 24 calls"),
                "{}",
                alerts[0]
            );
            assert!(alerts[0].hint.contains(hint), "{}", alerts[0]);
        }
    }

    #[test]
    fn each_kind_is_raised_at_most_once_a_minute() {
        let mut now = Instant::now();
        let mut monitor = monitor(now);
        let second = Duration::from_secs(1);
        assert!(monitor.long_wait(second, now).is_some());
        assert!(monitor.long_wait(second, now).is_none());
        now += COOLDOWN;
        assert!(monitor.long_wait(second, now).is_some());
    }
}
