//! The life of a call, as a state machine: see "A call" in `docs/architecture.md`. `chat`, `stream` and `passthrough` poll it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::attempt::delay_next;
use super::clock::Clock;
use super::handle::Client;
use super::live::{Forwarded, Live, is_of_provider};
use super::opening::{Answer, Head, Opened, Opening, Progress, Start};
use super::plan::{CallBody, Plan};
use super::polled::Polled;
use super::replay::replay;
use crate::cost::Reservation;
use crate::dialect::RequestFacts;
use crate::runtime::{self, BoxFuture, Instant};
use crate::secret::Secret;
use crate::{
    Attempt, CallOptions, Error, ErrorKind, Reply, Request, Result, StreamEvent, TimeoutKind,
    Timing, trace,
};

/// A call, from its first poll to its end. Dropping it cancels the call and releases its connection.
pub(crate) struct Call {
    plan: Arc<Plan>,
    body: CallBody,
    state: State,
    clock: Clock,
    attempts: Vec<Attempt>,
    /// The start of the current attempt.
    attempt_start: Instant,
    timing: Timing,
    /// The key or token of the current attempt, which no error may show.
    secret: Option<Secret>,
    /// A token that the provider has not accepted.
    refused: Option<Secret>,
    /// The number of attempts that repeated one at once: with a new token, or without what the server refused.
    repeats: u32,
    /// The reservation of the attempt whose response is being read.
    reservation: Option<Reservation>,
    forwarded: Forwarded,
    progress: Arc<Progress>,
    /// Whether the call goes on from another one, whose start is its own.
    goes_on: bool,
}

enum State {
    /// The next attempt has not begun.
    Ready,
    /// Reserving, authorizing, waiting for a connection, connecting, sending and awaiting the head; of a reply that is not
    /// streamed, reading it.
    Opening(BoxFuture<'static, Opening>),
    /// The response is a stream and has no content yet, so it can still be retried.
    AwaitingContent(Box<Live>),
    /// Waiting before the next attempt.
    Pausing {
        since: Instant,
        delay: Duration,
    },
    /// Content has arrived. From here on nothing is sent again.
    Streaming(Box<Live>),
    /// The remaining events of a reply that was not streamed.
    Replaying(VecDeque<StreamEvent>),
    Ended,
}

impl Call {
    /// Creates a call that sends a request.
    pub(crate) fn new(client: &Client, request: &Request, stream: bool) -> Result<Box<Self>> {
        Plan::of_request(client, request, stream).map(Self::planned)
    }

    /// Creates a call that sends a body in the provider's dialect and forwards the frames of the reply.
    pub(crate) fn raw(
        client: &Client,
        body: Bytes,
        facts: &RequestFacts,
        options: &CallOptions,
    ) -> Result<Box<Self>> {
        Plan::of_body(client, body, facts, options).map(Self::planned)
    }

    fn planned((plan, body): (Plan, CallBody)) -> Box<Self> {
        let clock = Clock::start(plan.timeouts);
        Box::new(Self {
            plan: Arc::new(plan),
            body,
            state: State::Ready,
            attempts: Vec::new(),
            attempt_start: clock.start,
            clock,
            timing: Timing::default(),
            secret: None,
            refused: None,
            repeats: 0,
            reservation: None,
            forwarded: Forwarded::default(),
            progress: Arc::default(),
            goes_on: false,
        })
    }

    /// Goes on from another call that began at `start`. If that has `released` the head of a stream, this reply must be one.
    pub(crate) fn go_on(&mut self, start: Instant, released: bool) {
        self.goes_on = true;
        self.clock.start = start;
        self.forwarded.any = released;
    }

    /// Waits for the first content, which stays in the call, or for the error that ends the call.
    pub(crate) fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let started = ready!(self.poll_start(cx));
        Poll::Ready(started.map_err(|error| self.end(error)))
    }

    /// Returns the headers of the response whose first content has come.
    pub(crate) fn response_headers(&self) -> Option<&HeaderMap> {
        match &self.state {
            State::AwaitingContent(live) | State::Streaming(live) => {
                Some(&live.decoder.reply().headers)
            }
            State::Replaying(events) => match events.back() {
                Some(StreamEvent::Done { reply }) => Some(&reply.headers),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether the server may know of the current attempt.
    pub(crate) fn is_sent(&self) -> bool {
        match self.state {
            State::Ready | State::Pausing { .. } => false,
            State::Opening(_) => self.progress.is_sent.load(Relaxed),
            _ => true,
        }
    }

    /// Returns whether events have been handed out before the first content, so that no other call can take this one's place.
    pub(crate) fn is_committed(&self) -> bool {
        self.forwarded.events
    }

    /// Waits for the next event; `None` after the last, which is `Done` or an error.
    fn poll_next_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamEvent>>> {
        loop {
            match &mut self.state {
                State::Streaming(live) => {
                    let event = match ready!(live.poll_event(&mut self.clock, cx)) {
                        Ok(Some(event)) => Ok(event),
                        Ok(None) => {
                            let mut reply = live.decoder.take_reply();
                            self.forwarded.rest = live.decoder.take_frames();
                            self.state = State::Ended;
                            self.complete(&mut reply);
                            Ok(StreamEvent::Done {
                                reply: Box::new(reply),
                            })
                        }
                        Err(error) => {
                            self.forwarded.rest = live.decoder.take_frames();
                            self.forwarded.error = is_of_provider(&error);
                            let error = self.record(error);
                            Err(self.end(error))
                        }
                    };
                    return Poll::Ready(Some(event));
                }
                State::Replaying(events) => match events.pop_front() {
                    Some(event) => return Poll::Ready(Some(Ok(event))),
                    None => self.state = State::Ended,
                },
                State::Ended => return Poll::Ready(None),
                _ => {
                    if let Err(error) = ready!(self.poll_start(cx)) {
                        return Poll::Ready(Some(Err(self.end(error))));
                    }
                }
            }
        }
    }

    /// Makes attempts until one has content, or the error is not to be retried.
    fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        runtime::ensure()?;
        let _entered = self.plan.span.clone().entered();
        loop {
            match &mut self.state {
                State::Ready => self.begin_attempt(),
                State::Opening(opening) => {
                    let Poll::Ready(opening) = opening.as_mut().poll(cx) else {
                        let error = ready!(self.clock.poll_deadline(cx));
                        return Poll::Ready(self.retry_after(error));
                    };
                    self.opened(opening)?;
                }
                State::AwaitingContent(live) => {
                    match ready!(live.poll_content(&mut self.clock, cx)) {
                        Ok(()) => self.content_has_come(),
                        Err(error) => self.retry_after(error)?,
                    }
                }
                State::Pausing { since, delay } => {
                    ready!(self.clock.poll_elapsed(*since, *delay, cx));
                    self.state = State::Ready;
                }
                State::Streaming(_) | State::Replaying(_) | State::Ended => {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn begin_attempt(&mut self) {
        self.attempt_start = Instant::now();
        (self.forwarded.rest, self.forwarded.error) = (Bytes::new(), false);
        if self.attempts.is_empty() && !self.goes_on {
            self.clock.start = self.attempt_start;
        }
        let start = Start {
            plan: self.plan.clone(),
            body: self.body.bytes.clone(),
            at: self.clock.start,
            attempt_at: self.attempt_start,
            hide_usage: self.body.asked.is_some(),
            refused: self.refused.clone(),
            progress: Arc::default(),
        };
        self.progress = start.progress.clone();
        self.state = State::Opening(Box::pin(start.open()));
    }

    fn opened(&mut self, opening: Opening) -> Result<()> {
        self.secret = opening.secret;
        self.timing = opening.timing;
        match opening.result {
            Ok(Opened {
                reservation,
                answer,
            }) => {
                self.reservation = Some(reservation);
                match answer {
                    Answer::Stream(live) => {
                        // Its head need not have said that it is a stream.
                        self.progress.head.get_or_init(|| Head {
                            at: Instant::now(),
                            request_id: None,
                        });
                        self.state = State::AwaitingContent(live);
                    }
                    Answer::Reply(reply) => self.whole_reply_has_come(reply)?,
                }
                Ok(())
            }
            Err(error) if opening.is_attempt => self.retry_after(error),
            Err(error) => Err(error),
        }
    }

    fn content_has_come(&mut self) {
        // Nothing is sent again, and a body can be large.
        self.body.bytes = Bytes::new();
        self.timing.time_to_first_token = self.clock.start.elapsed();
        self.plan.client.retry_budget.succeeded();
        // The rest of a stream may be read outside a runtime.
        self.clock.timer();
        if let State::AwaitingContent(live) = std::mem::replace(&mut self.state, State::Ended) {
            self.state = State::Streaming(live);
        }
    }

    fn whole_reply_has_come(&mut self, mut reply: Box<Reply>) -> Result<()> {
        if self.forwarded.any {
            let why = "the provider answered with a whole reply after it had begun a stream";
            return Err(self.record(Error::stream(why)));
        }
        self.plan.client.retry_budget.succeeded();
        self.complete(&mut reply);
        self.state = State::Replaying(match self.plan.stream && !self.plan.forward {
            true => replay(reply),
            false => VecDeque::from([StreamEvent::Done { reply }]),
        });
        Ok(())
    }

    /// After the failure of an attempt, sets the state for the next one.
    ///
    /// # Errors
    /// The error, if it is not to be retried.
    fn retry_after(&mut self, error: Error) -> Result<()> {
        if let State::AwaitingContent(live) = &mut self.state
            && self.forwarded.any
        {
            self.forwarded.rest = live.decoder.take_frames();
            self.forwarded.error = is_of_provider(&error);
        }
        // What the attempt holds is released before the next one.
        self.settle_cut();
        self.state = State::Ready;
        let error = self.record(error);
        if self.forwarded.events {
            return Err(error);
        }
        let plan = &*self.plan;
        // A token can be revoked before it expires, so another one is tried once.
        let renew =
            error.status() == Some(401) && self.refused.is_none() && plan.credentials.can_renew();
        if renew {
            self.refused = self.secret.clone();
        }
        let client = &plan.client;
        if renew
            || self.body.stop_asking(&error, client)
            || self.body.drop_reasoning(&error, client)
        {
            self.repeats += 1;
            return Ok(());
        }
        let delay = delay_next(
            (&plan.retry, &client.retry_budget),
            &self.clock,
            &mut self.attempts,
            self.repeats,
            error,
        )?;
        // What is handed out during the pause must not hold the error.
        self.forwarded.rest = Bytes::new();
        self.state = State::Pausing {
            since: Instant::now(),
            delay,
        };
        Ok(())
    }

    /// Adds the current attempt to the history, and removes the key from its error.
    fn record(&mut self, mut error: Error) -> Error {
        let is_of_reply = matches!(
            error.kind(),
            ErrorKind::Timeout {
                which: TimeoutKind::Reply
            }
        );
        if is_of_reply && self.plan.timeouts.reply_by_timeout {
            error = error.with_hint(
                "raise `timeout` (LLM_TIMEOUT), or set `reply_timeout` (LLM_REPLY_TIMEOUT), if the model takes longer",
            );
        }
        let error = match &self.secret {
            Some(secret) => error.redacted(secret),
            None => error,
        };
        let attempt = error.attempt(self.attempt_start.elapsed());
        self.attempts.push(attempt);
        error
    }

    /// Ends the call with an error.
    fn end(&mut self, error: Error) -> Error {
        self.settle_cut();
        self.state = State::Ended;
        let error = error.with_attempts(std::mem::take(&mut self.attempts));
        // The provider has no part in a ledger's error.
        let error = match error.kind() {
            ErrorKind::Ledger => error,
            _ => error.with_provider(self.plan.client.provider),
        };
        trace::failed(&self.plan.span, &error);
        error
    }

    /// Settles the reservation of a stream whose reply is not complete.
    fn settle_cut(&mut self) {
        let Some(reservation) = self.reservation.take() else {
            return;
        };
        if let State::AwaitingContent(live) | State::Streaming(live) = &mut self.state {
            match live.decoder.is_done() {
                true => reservation.settle(&mut live.decoder.take_reply()),
                false => reservation.settle_cut(&live.seen()),
            }
        }
    }

    /// Sets the attempts, timing and cost of a complete reply, and settles the reservation.
    fn complete(&mut self, reply: &mut Reply) {
        self.timing.total = self.clock.start.elapsed();
        let attempt = Attempt::succeeded(reply.request_id.as_deref(), self.attempt_start.elapsed());
        self.attempts.push(attempt);
        reply.provider = self.plan.client.provider;
        reply.attempts = std::mem::take(&mut self.attempts);
        reply.timing = self.timing;
        if let Some(reservation) = self.reservation.take() {
            reservation.settle(reply);
        }
        trace::replied(&self.plan.span, reply);
    }
}

impl Polled for Call {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamEvent>>> {
        self.poll_next_event(cx)
    }

    fn take_frames(&mut self) -> Bytes {
        match &mut self.state {
            State::AwaitingContent(live) => {
                let frames = live.decoder.take_frames();
                self.forwarded.any |= !frames.is_empty();
                self.forwarded.events |= live.decoder.has_events();
                frames
            }
            State::Streaming(live) => live.decoder.take_frames(),
            _ => std::mem::take(&mut self.forwarded.rest),
        }
    }

    fn held_bytes(&self) -> usize {
        match &self.state {
            State::AwaitingContent(live) => live.decoder.held_bytes(),
            _ => 0,
        }
    }

    fn error_is_forwarded(&self) -> bool {
        self.forwarded.error
    }

    fn head_arrived(&self) -> Option<Instant> {
        match self.state {
            State::Opening(_) | State::AwaitingContent(_) => {
                self.progress.head.get().map(|head| head.at)
            }
            _ => None,
        }
    }

    fn release_head(&mut self) {
        self.forwarded.any = true;
    }

    fn request_id(&self) -> Option<&str> {
        match &self.state {
            State::AwaitingContent(live) | State::Streaming(live) => live.decoder.request_id(),
            State::Opening(_) => self.progress.head.get()?.request_id.as_deref(),
            _ => None,
        }
    }

    fn attempt_count(&self) -> usize {
        let is_under_way = matches!(self.state, State::Opening(_)) || self.reservation.is_some();
        self.attempts.len() + usize::from(is_under_way)
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            State::Ready => "ready",
            State::Opening(_) => "opening",
            State::AwaitingContent(_) => "awaiting content",
            State::Pausing { .. } => "pausing before a retry",
            State::Streaming(_) => "streaming",
            State::Replaying(_) => "replaying",
            State::Ended => "ended",
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.settle_cut();
    }
}
