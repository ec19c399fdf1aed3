//! Sees from the pool's own changes when something should be told. It has no timer: a pool in which nothing happens has
//! nothing to tell but a long wait, which the caller who waits tells itself.

use std::mem;
use std::time::Duration;

use crate::runtime::Instant;
use crate::{AlertThresholds, Limits, PoolAlert, PoolAlertKind};

/// How long a kind is not told again.
const QUIET: Duration = Duration::from_secs(60);

/// Fewer handshakes than this in a window are no pattern.
const FEW: u64 = 10;

/// Why a connection could not be kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// More were idle than are kept.
    Spare,
    /// It was idle for the expiry.
    Expired,
    /// The other side has closed it.
    Server,
    /// Its reply was dropped before its end, or broke.
    Broken,
}

#[derive(Debug)]
pub(super) struct Watch {
    thresholds: AlertThresholds,
    limits: Limits,
    /// What holds since the last change.
    since: Instant,
    exhausted: bool,
    waiting: usize,
    window: Window,
    /// The shortest that the queue was in the window before.
    before: usize,
    /// Connections that were closed and that none has replaced, by cause.
    closed: [u64; 4],
    told: [Option<Instant>; 4],
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    exhausted: Duration,
    shortest: usize,
    waited: bool,
    calls: u64,
    /// Calls that opened a connection in place of one that was closed, by its cause.
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

impl Watch {
    pub(super) fn new(thresholds: AlertThresholds, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            thresholds,
            limits,
            since: now,
            exhausted: false,
            waiting: 0,
            window: Window::new(now, 0),
            before: 0,
            closed: [0; 4],
            told: [None; 4],
        }
    }

    pub(super) fn closed(&mut self, cause: Cause) {
        self.closed[cause as usize] += 1;
    }

    /// A call got a warm connection.
    pub(super) fn reused(&mut self) {
        self.window.calls += 1;
    }

    /// A call opens one.
    pub(super) fn opens(&mut self) {
        self.window.calls += 1;
        let most = (0..self.closed.len()).max_by_key(|cause| self.closed[*cause]);
        if let Some(cause) = most.filter(|cause| self.closed[*cause] > 0) {
            self.closed[cause] -= 1;
            self.window.reopened[cause] += 1;
        }
    }

    /// Takes in how the pool is from now on, and says what should be told.
    pub(super) fn changed(&mut self, exhausted: bool, waiting: usize) -> Vec<PoolAlert> {
        let now = Instant::now();
        if self.exhausted {
            self.window.exhausted += now - self.since;
        }
        self.since = now;
        let mut alerts = Vec::new();
        if now - self.window.begun >= self.thresholds.window {
            let ended = mem::replace(&mut self.window, Window::new(now, self.waiting));
            self.judge(&ended, now, &mut alerts);
            self.before = ended.shortest;
        }
        self.window.shortest = self.window.shortest.min(waiting);
        self.window.waited |= waiting > 0;
        (self.exhausted, self.waiting) = (exhausted, waiting);
        alerts
    }

    fn judge(&mut self, window: &Window, now: Instant, alerts: &mut Vec<PoolAlert>) {
        let Limits {
            max_connections,
            max_keepalive_connections,
            keepalive_expiry,
        } = self.limits;
        let took = now - window.begun;
        let percent = percent(window.exhausted.as_micros(), took.as_micros());
        if window.waited
            && percent >= self.thresholds.exhausted_percent
            && self.is_news(PoolAlertKind::Exhausted, now)
        {
            alerts.push(PoolAlert {
                kind: PoolAlertKind::Exhausted,
                seen: format!("all {max_connections} connections were in use for {percent} % of {took:.1?}, and calls waited"),
                advice: more_connections(),
            });
        }
        if window.shortest > self.before && self.is_news(PoolAlertKind::QueueGrowing, now) {
            alerts.push(PoolAlert {
                kind: PoolAlertKind::QueueGrowing,
                seen: format!(
                    "at its shortest the queue was {} in {took:.1?}, after {}",
                    window.shortest, self.before
                ),
                advice: format!(
                    "calls come faster than {max_connections} connections can serve them: {}",
                    more_connections()
                ),
            });
        }
        let reopened: u64 = window.reopened.iter().sum();
        let percent = self::percent(reopened.into(), window.calls.into());
        if reopened >= FEW
            && percent >= self.thresholds.handshake_percent
            && self.is_news(PoolAlertKind::HandshakesRising, now)
        {
            let most = [Cause::Spare, Cause::Expired, Cause::Server, Cause::Broken]
                .into_iter()
                .max_by_key(|cause| window.reopened[*cause as usize]);
            let advice = match most {
                Some(Cause::Spare) => format!(
                    "no more than {max_keepalive_connections} idle ones are kept: raise max_keepalive_connections (LLM_MAX_KEEPALIVE)"
                ),
                Some(Cause::Expired) => format!(
                    "idle ones are closed after {keepalive_expiry:?}: raise keepalive_expiry (LLM_KEEPALIVE_EXPIRY)"
                ),
                Some(Cause::Server) => "the server, or a proxy before it, closes them: see what it does with idle connections, or use HTTP/2 with \
                     http2_ping_interval"
                    .to_owned(),
                _ => "replies are dropped before their end, or break: read them to their end where they can be".to_owned(),
            };
            alerts.push(PoolAlert {
                kind: PoolAlertKind::HandshakesRising,
                seen: format!("{reopened} of {} calls in {took:.1?} opened a connection in place of one that was closed", window.calls),
                advice,
            });
        }
    }

    /// A call has waited for so long, and waits on.
    pub(super) fn long_wait(&mut self, waited: Duration) -> Option<PoolAlert> {
        let kind = PoolAlertKind::LongWait;
        self.is_news(kind, Instant::now()).then(|| PoolAlert {
            kind,
            seen: format!(
                "a call has waited {waited:.1?} for a connection, of which there may be {}; {} wait now",
                self.limits.max_connections, self.waiting
            ),
            advice: more_connections(),
        })
    }

    /// Whether it is to be told, which it then is; asked before anything is put into words, since a thousand may wait.
    fn is_news(&mut self, kind: PoolAlertKind, now: Instant) -> bool {
        let told = &mut self.told[kind as usize];
        let news = told.is_none_or(|told| now - told >= QUIET);
        if news {
            *told = Some(now);
        }
        news
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

    fn watch() -> Watch {
        Watch::new(AlertThresholds::default(), Limits::default())
    }

    fn kinds(alerts: &[PoolAlert]) -> Vec<PoolAlertKind> {
        alerts.iter().map(|alert| alert.kind).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn full_use_is_no_alert_as_long_as_nobody_waits() {
        for (waiting, expected) in [(0, vec![]), (1, vec![PoolAlertKind::Exhausted])] {
            let mut watch = watch();
            assert!(watch.changed(true, waiting).is_empty());
            tokio::time::advance(WINDOW * 85 / 100).await;
            assert!(watch.changed(false, 0).is_empty());
            tokio::time::advance(WINDOW * 15 / 100).await;
            let alerts = watch.changed(false, 0);
            assert_eq!(kinds(&alerts), expected);
            if let Some(alert) = alerts.first() {
                assert_eq!(
                    alert.seen,
                    "all 10 connections were in use for 85 % of 10.0s, and calls waited"
                );
                assert!(
                    alert
                        .advice
                        .starts_with("raise max_connections (LLM_MAX_CONNECTIONS)")
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_drains_is_no_growing_queue_and_a_longer_shortest_one_is() {
        let mut watch = watch();
        // Each burst is worked off.
        for _ in 0..3 {
            watch.changed(true, 50);
            tokio::time::advance(WINDOW / 2).await;
            assert!(watch.changed(false, 0).is_empty());
            tokio::time::advance(WINDOW / 2).await;
        }
        let mut queue = 0;
        let mut grown = Vec::new();
        for _ in 0..8 {
            queue += 4;
            watch.changed(false, queue);
            tokio::time::advance(WINDOW / 4).await;
            grown.extend(watch.changed(false, queue - 1));
        }
        assert_eq!(kinds(&grown), [PoolAlertKind::QueueGrowing]);
        assert!(grown[0].seen.ends_with(", after 0"), "{}", grown[0].seen);
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_are_told_with_why_the_connections_were_not_kept() {
        for (cause, advice) in [
            (Cause::Spare, "LLM_MAX_KEEPALIVE"),
            (Cause::Expired, "LLM_KEEPALIVE_EXPIRY"),
            (Cause::Server, "the server, or a proxy"),
            (Cause::Broken, "read them to their end"),
        ] {
            let mut watch = watch();
            // Those that make the pool as large as it is are none too many.
            (0..50).for_each(|_| watch.opens());
            tokio::time::advance(WINDOW).await;
            assert!(watch.changed(false, 0).is_empty());
            for _ in 0..12 {
                watch.closed(cause);
                watch.opens();
            }
            (0..12).for_each(|_| watch.reused());
            tokio::time::advance(WINDOW).await;
            let alerts = watch.changed(false, 0);
            assert_eq!(kinds(&alerts), [PoolAlertKind::HandshakesRising]);
            assert!(
                alerts[0].seen.starts_with("12 of 24 calls"),
                "{}",
                alerts[0]
            );
            assert!(alerts[0].advice.contains(advice), "{}", alerts[0]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_is_told_once_a_minute() {
        let mut watch = watch();
        let second = Duration::from_secs(1);
        assert!(watch.long_wait(second).is_some());
        assert!(watch.long_wait(second).is_none());
        tokio::time::advance(QUIET).await;
        assert!(watch.long_wait(second).is_some());
    }
}
