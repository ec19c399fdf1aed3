//! The life of a routed call: it makes a target's call at a time, until one has content.

use std::ops::Range;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::conversation::Conversation;
use super::handle::Router;
use super::leg::{Leg, Running};
use super::rules::RoutingAction;
use super::state::{Candidate, Choice, Wish};
use crate::client::{Call, Polled};
use crate::error::seconds;
use crate::runtime::{self, Instant, Timer};
use crate::{
    Attempt, CallOptions, DialectName, Error, ErrorKind, Request, Result, RetryPolicy, StreamEvent,
    TimeoutKind,
};

/// After which time a call asks again whether the probe of its target has succeeded.
const RECHECK: Duration = Duration::from_millis(100);

/// What is sent.
pub(super) enum Source {
    /// A request, and whether its reply is streamed.
    Request(Box<Request>, bool),
    Body {
        dialect: DialectName,
        /// The name of the model in the body, and its place.
        model: String,
        model_at: Option<Range<usize>>,
        body: Bytes,
        options: Box<CallOptions>,
    },
}

impl Source {
    fn options(&self) -> &CallOptions {
        match self {
            Self::Request(request, _) => &request.options,
            Self::Body { options, .. } => options,
        }
    }

    fn options_mut(&mut self) -> &mut CallOptions {
        match self {
            Self::Request(request, _) => &mut request.options,
            Self::Body { options, .. } => options,
        }
    }

    /// Makes the call of a target.
    fn call(&mut self, router: &Router, candidate: &Candidate) -> Result<Box<Call>> {
        let client = &router.clients[candidate.target];
        match self {
            Self::Request(request, stream) => {
                request.model = Some(candidate.model.clone()).filter(|model| !model.is_empty());
                Call::new(client, request, *stream)
            }
            Self::Body {
                dialect,
                model,
                model_at,
                body,
                options,
            } => {
                let body = match model_at {
                    Some(at) if *model != candidate.model => {
                        let own = serde_json::to_string(&candidate.model).unwrap_or_default();
                        let (before, after) = (&body[..at.start], &body[at.end..]);
                        [before, own.as_bytes(), after].concat().into()
                    }
                    _ => body.clone(),
                };
                let client = client.speaking(*dialect);
                let client =
                    client.ok_or_else(|| Error::config("the target speaks no such dialect"))?;
                Call::raw(&client, body, options)
            }
        }
    }
}

/// A call of a router. Dropping it cancels the call.
pub(super) struct RoutedCall {
    router: Router,
    /// `None` once there is content.
    source: Option<Source>,
    candidates: Vec<Candidate>,
    conversation: Conversation,
    retry: RetryPolicy,
    deadline: Option<Duration>,
    phase: Phase,
    leg: Option<Leg>,
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
    /// The rate limit of the target allows the attempt then.
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
        // The retries are the router's.
        let retry = options.retry.replace(RetryPolicy::never());
        let client = &router.clients[candidates[0].target];
        Box::new(Self {
            router: router.clone(),
            retry: retry.unwrap_or_else(|| router.inner.retry.clone()),
            deadline: source.options().deadline.or(client.deadline()),
            source: Some(source),
            candidates,
            conversation,
            phase: Phase::Choosing,
            leg: None,
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
                Phase::Pacing(until, ..) => {
                    let until = *until;
                    ready!(self.poll_until(until, cx))?;
                    let paced = std::mem::replace(&mut self.phase, Phase::Choosing);
                    if let Phase::Pacing(_, running, candidate) = paced {
                        self.begin(candidate, running)?;
                    }
                }
                Phase::AwaitingContent => {
                    let Some(leg) = &mut self.leg else {
                        self.phase = Phase::Choosing;
                        continue;
                    };
                    match ready!(leg.call.poll_content(cx)) {
                        Ok(()) => self.content_has_come(),
                        Err(error) => self.leg_failed(error)?,
                    }
                }
                Phase::Streaming | Phase::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Waits for a time, or for the deadline.
    fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let start = self.start.unwrap_or(until);
        let deadline = self.deadline.map(|deadline| (start + deadline, deadline));
        let (due, exceeded) = match deadline {
            Some((at, deadline)) if at < until => (at, Some(deadline)),
            _ => (until, None),
        };
        if Instant::now() < due {
            let timer = self.timer.get_or_insert_with(|| Timer::new(RECHECK));
            ready!(timer.poll_until(cx, due));
        }
        Poll::Ready(match exceeded {
            None => Ok(()),
            Some(deadline) => Err(match self.failed.take() {
                Some(error) => {
                    let deadline = seconds(deadline);
                    let why = [
                        "the deadline of ",
                        &deadline,
                        " leaves no time to try again",
                    ];
                    error.with_reason(&why.concat())
                }
                None => Error::timeout(TimeoutKind::Deadline, deadline),
            }),
        })
    }

    fn choose(&mut self) -> Result<()> {
        let now = Instant::now();
        let wish = Wish {
            candidates: &self.candidates,
            key: self.conversation.key,
            bond: self.conversation.bond,
            need: self.conversation.need,
            tried: &self.tried,
        };
        let inner = &self.router.inner;
        let choice = inner.state().choose(&wish, now, runtime::random());
        match choice {
            Choice::Call {
                candidate,
                begun,
                delay,
            } => {
                let target = self.candidates[candidate].target;
                let running = Running::new(inner, target, begun);
                self.waiting_since = None;
                match delay.is_zero() {
                    true => self.begin(candidate, running),
                    false => {
                        tracing::info!(target = inner.name(target), ?delay, "the call is paced");
                        self.phase = Phase::Pacing(now + delay, running, candidate);
                        Ok(())
                    }
                }
            }
            Choice::Wait { until } if self.tried.is_empty() => self.wait(until, now),
            Choice::Wait { .. } | Choice::Nobody => self.back_off(now),
        }
    }

    /// Begins an attempt.
    fn begin(&mut self, candidate: usize, running: Running) -> Result<()> {
        let Some(source) = &mut self.source else {
            return Err(Error::stream("the stream had already ended"));
        };
        let target = running.target;
        let mut call = match source.call(&self.router, &self.candidates[candidate]) {
            Ok(call) => call,
            // A part of the request may be of another target's dialect.
            Err(error) if self.candidates.len() > 1 => {
                self.candidates.remove(candidate);
                tracing::debug!(target = self.router.inner.name(target), %error, "the target cannot serve the request");
                self.failed.get_or_insert(error);
                self.phase = Phase::Choosing;
                return Ok(());
            }
            Err(error) => return Err(self.failed.take().unwrap_or(error)),
        };
        if let Some(start) = self.start {
            call.go_on(start, self.is_released);
        }
        if let Some(last) = self.tried.last()
            && *last != target
        {
            self.router.inner.state().targets[*last].moved_away += 1;
        }
        self.leg = Some(Leg {
            call,
            running: Some(running),
            target,
        });
        self.phase = Phase::AwaitingContent;
        Ok(())
    }

    fn content_has_come(&mut self) {
        self.source = None;
        self.failed = None;
        self.router.inner.retry_budget.succeeded();
        if let Some(leg) = &mut self.leg
            && let Some(running) = &mut leg.running
        {
            let took = running.since.elapsed();
            running.answered(Some(took));
        }
        self.phase = Phase::Streaming;
    }

    /// After the failure of an attempt, lets the call move on.
    ///
    /// # Errors
    /// The error, if it is the call's.
    fn leg_failed(&mut self, error: Error) -> Result<()> {
        let inner = &self.router.inner;
        let Some(leg) = &mut self.leg else {
            return Err(error);
        };
        let action = match leg.running.take() {
            Some(mut running) => running.failed(&error),
            None => RoutingAction::Answer,
        };
        self.history.extend(leg.named(inner, error.attempts()));
        if action == RoutingAction::Answer || leg.call.is_committed() {
            return Err(error);
        }
        tracing::warn!(target = inner.name(leg.target), %error, "the target has failed");
        self.tried.push(leg.target);
        self.leg = None;
        self.failed = Some(error);
        self.phase = Phase::Choosing;
        Ok(())
    }

    /// All targets that serve the call have failed, or are cooling down: waits before the next round.
    fn back_off(&mut self, now: Instant) -> Result<()> {
        let Some(error) = self.failed.take() else {
            return Err(Error::config("no target can serve the request"));
        };
        let wish = Wish {
            candidates: &self.candidates,
            key: self.conversation.key,
            bond: self.conversation.bond,
            need: self.conversation.need,
            tried: &[],
        };
        let random = runtime::random();
        let inner = &self.router.inner;
        let available = inner.state().available_at(&wish, now);
        let backoff = self.retry.backoff(self.retries, random);
        let after = available.map(|at| at.saturating_duration_since(now).max(backoff));
        let budget = &inner.retry_budget;
        let decided = self
            .retry
            .decide_after(self.retries, &error, after, budget, random);
        let delay = match decided {
            Ok(delay) => delay,
            Err(None) => return Err(error),
            Err(Some(reason)) => return Err(error.with_reason(&reason)),
        };
        tracing::warn!(?delay, %error, "all targets have failed; trying again");
        if let Some(attempt) = self.history.last_mut() {
            attempt.delay = delay;
        }
        self.retries += 1;
        self.tried.clear();
        self.failed = Some(error);
        self.phase = Phase::Waiting(now + delay);
        Ok(())
    }

    /// Waits until a target has cooled down, or until its probe has succeeded.
    fn wait(&mut self, until: Option<Instant>, now: Instant) -> Result<()> {
        let since = *self.waiting_since.get_or_insert(now);
        let most = match self.retry.max_retries {
            0 => Duration::ZERO,
            _ => self.retry.max_retry_after,
        };
        let until = until.unwrap_or(now + RECHECK);
        if until > since + most {
            return Err(match self.failed.take() {
                Some(error) => error,
                None => self.all_cool_down(until - now),
            });
        }
        self.phase = Phase::Waiting(until);
        Ok(())
    }

    fn all_cool_down(&self, wait: Duration) -> Error {
        let names = self.candidates.iter();
        let names: Vec<_> = names.map(|of| self.router.inner.name(of.target)).collect();
        let message = [
            "every target that serves the model is cooling down after failures (",
            &names.join(", "),
            "); the first is tried again in ",
            &seconds(wait),
        ];
        Error::new(ErrorKind::Overloaded, message.concat()).with_retry_after(wait)
    }

    /// Ends the call with an error, which takes over the history.
    fn end(&mut self, error: Error) -> Error {
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
                self.phase = Phase::Ended;
                Some(Ok(StreamEvent::Done { reply }))
            }
            Ok(event) => Some(Ok(event)),
            Err(error) => {
                if let Some(mut running) = leg.running.take() {
                    running.failed(&error);
                }
                let named = leg.named(&self.router.inner, error.attempts());
                self.history.extend(named);
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
        self.leg
            .as_mut()
            .map_or_else(Bytes::new, |leg| leg.call.take_frames())
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
        if let Some(leg) = &mut self.leg {
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
