//! The first part of an attempt, from its reservation to the head of a stream or to a whole reply.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::attempt::Attempt;
use super::body::Whole;
use super::live::Live;
use super::plan::Plan;
use crate::cost::{Refusal, Reservation};
use crate::dialect::{RAISE_MAX_REPLY, request_id};
use crate::error::seconds;
use crate::runtime::{self, Instant};
use crate::secret::Secret;
use crate::transport::{Body, HttpRequest, HttpResponse, Turn};
use crate::{Error, ErrorKind, Reply, Result, TimeoutKind, Timing, headers};

/// The maximum time for which a call holds a connection while its ledger does not answer.
const MAX_HOLD: Duration = Duration::from_secs(1);

/// How far an attempt got.
pub(super) struct Opening {
    /// Its key or token, which no error may show.
    pub(super) secret: Option<Secret>,
    pub(super) timing: Timing,
    /// Whether it counts as an attempt: it does not if the budget or the pool had no room for it.
    pub(super) is_attempt: bool,
    pub(super) result: Result<Opened>,
}

pub(super) struct Opened {
    pub(super) reservation: Reservation,
    pub(super) answer: Answer,
}

pub(super) enum Answer {
    Reply(Box<Reply>),
    Stream(Box<Live>),
}

/// What is known once the head of a stream has arrived.
pub(super) struct Head {
    pub(super) at: Instant,
    pub(super) request_id: Option<String>,
}

/// How far an attempt is that is being opened.
#[derive(Default)]
pub(super) struct Progress {
    /// Whether the request has been sent.
    pub(super) is_sent: AtomicBool,
    /// The head of the response, if it says that it is a stream to forward.
    pub(super) head: OnceLock<Head>,
}

/// What an attempt starts from.
pub(super) struct Start {
    pub(super) plan: Arc<Plan>,
    pub(super) body: Bytes,
    /// The start of the call.
    pub(super) at: Instant,
    /// The start of the attempt.
    pub(super) attempt_at: Instant,
    /// Whether the usage in the frames that are forwarded is left out.
    pub(super) hide_usage: bool,
    /// A token that the provider has not accepted.
    pub(super) refused: Option<Secret>,
    pub(super) progress: Arc<Progress>,
}

impl Start {
    pub(super) async fn open(self) -> Opening {
        let mut opening = Opening {
            secret: None,
            timing: Timing::default(),
            is_attempt: false,
            result: Err(Error::cancelled()),
        };
        opening.result = self.run(&mut opening).await;
        opening
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt {
            client: &self.plan.client,
            headers: &self.plan.headers,
            credentials: &self.plan.credentials,
            timeouts: &self.plan.timeouts,
        }
    }

    async fn run(&self, opening: &mut Opening) -> Result<Opened> {
        let plan = &*self.plan;
        let transport = &plan.transport;
        opening.is_attempt = true;
        let attempt = self.attempt();
        let own_headers = attempt
            .authorize(self.refused.as_deref(), &mut opening.secret)
            .await?;
        opening.is_attempt = false;
        let (turn, reservation) = self.admit(&mut opening.timing).await?;
        opening.is_attempt = true;
        let request = HttpRequest {
            method: &Method::POST,
            to: plan.endpoint.as_ref(),
            body: &self.body,
            headers: &own_headers,
            timeouts: &plan.timeouts,
        };
        let sent = |sent| {
            self.progress.is_sent.store(sent, Relaxed);
            match sent {
                true => reservation.sent(),
                false => reservation.refused(),
            }
        };
        let sending = transport.send(turn, request, &mut opening.timing, &sent);
        let mut response = match sending.await {
            Ok(response) => response,
            Err(error) => {
                reservation.settle_lost();
                return Err(error);
            }
        };
        opening.timing.time_to_first_token = self.at.elapsed();
        // Servers and proxies echo keys, and whoever reads the reply need not know the key, such as a caller of a gateway.
        let secret = opening.secret.clone().unwrap_or_default();
        secret.redact_headers(&mut response.headers);
        transport.update_rate_limits(&response.headers);
        if !(200..300).contains(&response.status) {
            reservation.refused();
            return Err(attempt.read_error(response, &secret).await);
        }
        if plan.forward && plan.stream && headers::is_event_stream(&response.headers) {
            // It can be set only once, and is set here only.
            let _ = self.progress.head.set(Head {
                at: Instant::now(),
                request_id: request_id(&response.headers),
            });
        }
        // The time of a whole reply, or of a silence before a stream, began when the request was sent.
        let sent_at = reservation.sent_at();
        let elapsed = sent_at.map(|at| at.elapsed()).unwrap_or_default();
        let left = plan.timeouts.reply.saturating_sub(elapsed);
        let answer = runtime::timeout(left, self.read(response, sent_at, secret)).await;
        let answer = answer
            .unwrap_or_else(|| Err(Error::timeout(TimeoutKind::Reply, plan.timeouts.reply)))?;
        Ok(Opened {
            reservation,
            answer,
        })
    }

    /// Takes a turn in the pool and then reserves the maximum cost, which is therefore reserved only for calls that can be
    /// sent. A call for which there is no room at the moment gives its turn back and waits in the budget's queue. It then returns
    /// to its old place in the pool's.
    async fn admit(&self, timing: &mut Timing) -> Result<(Turn, Reservation)> {
        let Plan {
            transport,
            cost,
            estimate,
            timeouts,
            ..
        } = &*self.plan;
        let left = || timeouts.pool().saturating_sub(self.attempt_at.elapsed());
        let ticket = transport.ticket();
        let mut waiting = Reservation::queue_up(cost, estimate).await?;
        loop {
            if let Some((place, _)) = &mut waiting {
                let since = Instant::now();
                let mut limit = (left(), "within ", timeouts.pool());
                // If the deadline ends the wait, the budget is still the cause.
                if let Some(deadline) = timeouts.deadline {
                    let left = deadline.saturating_sub(self.at.elapsed());
                    if left < limit.0 {
                        limit = (left, "before the deadline of ", deadline);
                    }
                }
                let (left, which, limit) = limit;
                let waited = runtime::timeout(left, place.wait()).await;
                timing.queued += since.elapsed();
                if waited.is_none()
                    && let Some((_, error)) = waiting
                {
                    let reason = ["there was no room ", which, &seconds(limit)];
                    return Err(error.with_reason(&reason.concat()));
                }
            }
            let turn = transport.acquire(ticket, left(), timing).await?;
            let mut reserving = pin!(Reservation::make(cost, estimate));
            let (turn, reserved) = match runtime::timeout(MAX_HOLD, reserving.as_mut()).await {
                Some(reserved) => (Some(turn), reserved),
                None => {
                    drop(turn);
                    (None, reserving.await)
                }
            };
            match reserved {
                Ok(reservation) => {
                    let turn = match turn {
                        Some(turn) => turn,
                        None => transport.acquire(ticket, left(), timing).await?,
                    };
                    return Ok((turn, reservation));
                }
                Err(Refusal::Final(error)) => return Err(error),
                Err(Refusal::Wait { budget, error }) => {
                    if waiting.is_none() {
                        tracing::info!(budget, %error, "the call waits for what others have reserved");
                    }
                    let place = match waiting {
                        Some((place, _)) if place.is_for(&budget) => place,
                        _ => Reservation::join_queue(cost, &budget),
                    };
                    waiting = Some((place, error));
                }
            }
        }
    }

    /// Reads a whole reply, or finds out that it is a stream.
    async fn read(
        &self,
        response: HttpResponse<Body>,
        sent_at: Option<Instant>,
        secret: Secret,
    ) -> Result<Answer> {
        let plan = &*self.plan;
        let dialect = &plan.client.dialect;
        let HttpResponse {
            headers, mut body, ..
        } = response;
        let mut whole = Whole::default();
        // Some servers label a stream as JSON, or stream a reply that was not to be streamed, so the body decides.
        let is_stream = whole.read_kind(&headers, &mut body).await?;
        if is_stream.unwrap_or(plan.stream) {
            let mut decoder = dialect.decode_stream(headers);
            decoder.redact(secret);
            decoder.set_max_bytes(plan.client.max_reply_bytes);
            if plan.keep_raw {
                decoder.keep_raw();
            }
            if plan.several {
                decoder.expect_several();
            }
            if plan.forward {
                decoder.keep_frames(self.hide_usage);
            }
            let live = Live::new(decoder, body, whole.into_bytes(), sent_at);
            return Ok(Answer::Stream(Box::new(live)));
        }
        let read = whole.read(&mut body, plan.client.max_reply_bytes).await;
        read.map_err(|error| match error.kind() {
            ErrorKind::Decode => error.with_hint(RAISE_MAX_REPLY),
            _ => error,
        })?;
        let body = whole.into_bytes();
        let body = secret.redacted(&body).unwrap_or(body);
        let reply = dialect.decode(headers, body)?;
        Ok(Answer::Reply(Box::new(reply)))
    }
}
