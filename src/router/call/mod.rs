//! The life of a routed call: it makes a target's call at a time, until one has content.

mod hedge;
mod pause;
mod source;

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

pub(super) use self::source::{Source, with_model};
use super::conversation::Conversation;
use super::handle::Router;
use super::leg::{Leg, Running};
use super::pacing::Taken;
use super::rules::RoutingAction;
use super::state::{Candidate, Choice, Wish};
use crate::client::Polled;
use crate::millis;
use crate::runtime::{self, Instant, Timer};
use crate::{Attempt, Error, Result, RetryPolicy, StreamEvent};

/// After which time a call asks again whether the probe of its target has succeeded.
const RECHECK: Duration = Duration::from_millis(100);

/// Why one of two attempts is cancelled.
const OTHER_WAS_FASTER: &str = "another target was faster";

/// A call of a router. Dropping it cancels the call.
pub(super) struct RoutedCall {
    router: Router,
    /// `None` once there is content.
    source: Option<Source>,
    candidates: Vec<Candidate>,
    conversation: Conversation,
    stream: bool,
    retry: RetryPolicy,
    deadline: Option<Duration>,
    phase: Phase,
    leg: Option<Leg>,
    /// When to look whether the target has begun to cool down before the request was sent.
    look_at: Option<Instant>,
    /// The second attempt beside the first.
    hedge: Option<Leg>,
    /// When that is to begin.
    hedge_at: Option<Instant>,
    timer: Option<Timer>,
    start: Option<Instant>,
    history: Vec<Attempt>,
    /// The targets that have failed since the last pause.
    tried: Vec<usize>,
    retries: u32,
    /// The error of the last attempt.
    failed: Option<Error>,
    /// Since when the call has been waiting for a target that is not cooling down.
    waiting_since: Option<Instant>,
    /// Whether the head of a stream has been handed out.
    is_released: bool,
}

enum Phase {
    /// Choosing a target.
    Choosing,
    /// No target can be called before then.
    Waiting(Instant),
    /// The rate limit of the target allows the attempt then. The call holds neither a connection nor a reservation.
    Pacing(Instant, Running, usize),
    /// A target has been called, and has no content yet.
    AwaitingContent,
    /// From here on, the call stays on its target.
    Streaming,
    Ended,
}

impl RoutedCall {
    pub(super) fn new(
        router: &Router,
        mut source: Source,
        candidates: Vec<Candidate>,
        conversation: Conversation,
    ) -> Box<Self> {
        let options = source.options_mut();
        // The retries are the router's, unless there is nothing to route.
        let retry = match candidates.len() == 1 && router.inner.cooldown.is_none() {
            true => Some(RetryPolicy::never()),
            false => options.retry.replace(RetryPolicy::never()),
        };
        let client = &router.clients[candidates[0].target].client;
        Box::new(Self {
            router: router.clone(),
            retry: retry.unwrap_or_else(|| router.inner.retry.clone()),
            deadline: source.options().deadline.or(client.deadline()),
            stream: source.is_stream(),
            source: Some(source),
            candidates,
            conversation,
            phase: Phase::Choosing,
            leg: None,
            hedge: None,
            look_at: None,
            hedge_at: None,
            timer: None,
            start: None,
            history: Vec::new(),
            tried: Vec::new(),
            retries: 0,
            failed: None,
            waiting_since: None,
            is_released: false,
        })
    }

    /// Makes attempts until one has content, or its error is the call's.
    fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        runtime::ensure()?;
        self.start.get_or_insert_with(Instant::now);
        loop {
            match &mut self.phase {
                Phase::Choosing => self.choose()?,
                Phase::Waiting(until) => {
                    let until = *until;
                    ready!(self.poll_until(until, cx))?;
                    self.phase = Phase::Choosing;
                }
                Phase::Pacing(until, running, _) => {
                    let until = *until;
                    if running.is_outdated() {
                        self.phase = Phase::Choosing;
                        continue;
                    }
                    let now = Instant::now();
                    if now < until {
                        ready!(self.poll_until(until.min(now + RECHECK), cx))?;
                        continue;
                    }
                    let paced = std::mem::replace(&mut self.phase, Phase::Choosing);
                    if let Phase::Pacing(_, running, candidate) = paced {
                        self.begin(candidate, running)?;
                    }
                }
                Phase::AwaitingContent => {
                    self.leave_cooling();
                    let Some(leg) = &mut self.leg else {
                        self.phase = Phase::Choosing;
                        continue;
                    };
                    match leg.call.poll_content(cx) {
                        Poll::Ready(Ok(())) => self.content_has_come(),
                        Poll::Ready(Err(error)) => self.leg_failed(error)?,
                        Poll::Pending if self.poll_unsent(cx).is_ready() => {}
                        Poll::Pending => ready!(self.poll_hedge(cx)),
                    }
                }
                Phase::Streaming | Phase::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    fn wish<'a>(&'a self, tried: &'a [usize]) -> Wish<'a> {
        Wish {
            candidates: &self.candidates,
            key: self.conversation.key,
            previous: self.conversation.previous,
            bond: self.conversation.bond,
            need: self.conversation.need,
            tried,
        }
    }

    fn choose(&mut self) -> Result<()> {
        let now = Instant::now();
        let wish = self.wish(&self.tried);
        let inner = &self.router.inner;
        let choice = inner.state().choose(&wish, now, runtime::random());
        inner.share(matches!(choice, Choice::Call { begun, .. } if begun.is_probe));
        match choice {
            Choice::Call {
                candidate,
                begun,
                delay,
            } => {
                let target = self.candidates[candidate].target;
                let taken = self.taken(candidate);
                let running = Running::new(inner, target, begun, self.stream, taken);
                self.waiting_since = None;
                match delay.is_zero() {
                    true => self.begin(candidate, running),
                    false => {
                        let shown = millis::rounded(delay);
                        tracing::info!(target = inner.name(target), delay = ?shown, "the call is paced");
                        self.phase = Phase::Pacing(now + delay, running, candidate);
                        Ok(())
                    }
                }
            }
            Choice::Wait { until } if self.tried.is_empty() => self.wait(until, now),
            Choice::Wait { .. } | Choice::Nobody => self.back_off(now),
        }
    }

    /// Returns what the state has taken for a candidate.
    fn taken(&self, candidate: usize) -> Taken {
        Taken {
            model: self.candidates[candidate].model.clone(),
            need: self.conversation.need,
            sent: None,
        }
    }

    /// Makes a target's call.
    ///
    /// # Errors
    /// The error, if the request cannot be written for the target.
    fn leg(&mut self, candidate: usize, mut running: Running) -> Result<Leg> {
        let Some(source) = &mut self.source else {
            return Err(Error::stream("the stream had already ended"));
        };
        let mut call = source.call(&self.router, &self.candidates[candidate])?;
        if let Some(start) = self.start {
            call.go_on(start, self.is_released);
        }
        running.sent();
        Ok(Leg {
            call,
            target: running.target,
            running: Some(running),
        })
    }

    /// Begins an attempt.
    fn begin(&mut self, candidate: usize, running: Running) -> Result<()> {
        let target = running.target;
        let leg = match self.leg(candidate, running) {
            Ok(leg) => leg,
            // A part of the request may be of another target's dialect.
            Err(error) if self.candidates.len() > 1 => {
                self.candidates.remove(candidate);
                let target = self.router.inner.name(target);
                tracing::debug!(target, %error, "the target cannot serve the request");
                self.failed.get_or_insert(error);
                self.phase = Phase::Choosing;
                return Ok(());
            }
            Err(error) => return Err(self.failed.take().unwrap_or(error)),
        };
        let inner = &self.router.inner;
        let mut state = inner.state();
        if let Some(last) = self.tried.last()
            && *last != target
        {
            state.targets[*last].moved_away += 1;
        }
        let hedging = inner.hedging.as_ref();
        let after = hedging.and_then(|of| state.hedge_after(target, self.stream, of));
        self.hedge_at = after.map(|after| Instant::now() + after);
        self.leg = Some(leg);
        self.phase = Phase::AwaitingContent;
        Ok(())
    }

    /// Reports the failure of an attempt, and adds it to the history.
    fn record(&mut self, leg: &mut Leg, error: &Error) -> RoutingAction {
        self.history
            .extend(leg.named(&self.router.inner, error.attempts()));
        match leg.running.take() {
            Some(mut running) => running.failed(error),
            None => RoutingAction::Answer,
        }
    }

    fn content_has_come(&mut self) {
        self.cancel_hedge(OTHER_WAS_FASTER);
        self.source = None;
        self.failed = None;
        self.router.inner.retry_budget.succeeded();
        if let Some(leg) = &mut self.leg
            && let Some(running) = &mut leg.running
        {
            if self.router.inner.pacing
                && let Some(headers) = leg.call.response_headers()
            {
                running.update_limits(headers);
            }
            running.answered(Some(running.since.elapsed()));
        }
        self.phase = Phase::Streaming;
    }

    /// After the failure of an attempt, lets the call move on.
    ///
    /// # Errors
    /// The error, if it is the call's.
    fn leg_failed(&mut self, error: Error) -> Result<()> {
        let Some(mut leg) = self.leg.take() else {
            return Err(error);
        };
        let action = self.record(&mut leg, &error);
        if action == RoutingAction::Answer || leg.call.is_committed() {
            // It holds the last frames.
            self.leg = Some(leg);
            return Err(error);
        }
        let target = self.router.inner.name(leg.target);
        tracing::warn!(target, %error, "the target has failed");
        self.tried.push(leg.target);
        self.failed = Some(error);
        self.leave();
        Ok(())
    }

    /// Leaves the current attempt: the second one takes its place, or another target is chosen.
    fn leave(&mut self) {
        self.hedge_at = None;
        self.leg = self.hedge.take();
        self.phase = match &self.leg {
            Some(leg) => {
                let mut state = self.router.inner.state();
                state.moved(self.conversation.key, leg.target, Instant::now());
                Phase::AwaitingContent
            }
            None => Phase::Choosing,
        };
    }

    /// Ends the call with an error, which takes over the history.
    fn end(&mut self, error: Error) -> Error {
        self.cancel_hedge("the call has failed");
        self.phase = Phase::Ended;
        self.source = None;
        if let Some(leg) = &mut self.leg {
            leg.running = None;
        }
        error.with_attempts(std::mem::take(&mut self.history))
    }

    fn next_event(&mut self, event: Option<Result<StreamEvent>>) -> Option<Result<StreamEvent>> {
        let Some(leg) = &mut self.leg else {
            self.phase = Phase::Ended;
            return event;
        };
        match event? {
            Ok(StreamEvent::Done { mut reply }) => {
                let named = leg.named(&self.router.inner, &reply.attempts);
                self.history.extend(named);
                reply.attempts = std::mem::take(&mut self.history);
                leg.running = None;
                // OpenAI's Responses API stores them by default, Anthropic stores those of a thread, and other requests name them by their id.
                if reply.id.starts_with("resp_") || self.conversation.in_thread {
                    let mut state = self.router.inner.state();
                    state.stored(
                        super::choice::hash_of(&reply.id),
                        leg.target,
                        Instant::now(),
                    );
                }
                self.phase = Phase::Ended;
                Some(Ok(StreamEvent::Done { reply }))
            }
            Ok(event) => Some(Ok(event)),
            Err(error) => {
                if let Some(mut leg) = self.leg.take() {
                    self.record(&mut leg, &error);
                    self.leg = Some(leg);
                }
                Some(Err(self.end(error)))
            }
        }
    }
}

impl Polled for RoutedCall {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamEvent>>> {
        loop {
            match &mut self.phase {
                Phase::Streaming => {
                    let Some(leg) = &mut self.leg else {
                        return Poll::Ready(None);
                    };
                    let event = ready!(leg.call.poll_event(cx));
                    return Poll::Ready(self.next_event(event));
                }
                Phase::Ended => return Poll::Ready(None),
                _ => {
                    if let Err(error) = ready!(self.poll_start(cx)) {
                        return Poll::Ready(Some(Err(self.end(error))));
                    }
                }
            }
        }
    }

    fn take_frames(&mut self) -> Bytes {
        let Some(leg) = &mut self.leg else {
            return Bytes::new();
        };
        let frames = leg.call.take_frames();
        if leg.call.is_committed() {
            self.hedge_at = None;
            self.cancel_hedge(OTHER_WAS_FASTER);
        }
        frames
    }

    fn held_bytes(&self) -> usize {
        self.leg.as_ref().map_or(0, |leg| leg.call.held_bytes())
    }

    fn error_is_forwarded(&self) -> bool {
        self.leg
            .as_ref()
            .is_some_and(|leg| leg.call.error_is_forwarded())
    }

    fn head_arrived(&self) -> Option<Instant> {
        self.leg.as_ref()?.call.head_arrived()
    }

    fn release_head(&mut self) {
        self.is_released = true;
        for leg in [&mut self.leg, &mut self.hedge].into_iter().flatten() {
            leg.call.release_head();
        }
    }

    fn request_id(&self) -> Option<&str> {
        self.leg.as_ref()?.call.request_id()
    }

    fn attempt_count(&self) -> usize {
        let current = self.leg.as_ref().map_or(0, |leg| leg.call.attempt_count());
        self.history.len() + current
    }

    fn target(&self) -> Option<&str> {
        let leg = self.leg.as_ref()?;
        Some(self.router.inner.name(leg.target))
    }

    fn state_name(&self) -> &'static str {
        match (&self.phase, &self.leg) {
            (Phase::Choosing, _) => "choosing a target",
            (Phase::Waiting(_), _) => "waiting for a target",
            (Phase::Pacing(..), _) => "waiting for a rate limit",
            (Phase::Ended, _) => "ended",
            (_, Some(leg)) => leg.call.state_name(),
            (_, None) => "ready",
        }
    }
}
