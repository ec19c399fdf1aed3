use std::sync::Arc;
use std::time::Duration;

use tracing::Span;

use super::early::Early;
use super::handle::Inner;
use crate::cost::Reservation;
use crate::runtime::Instant;
use crate::secret::Secret;
use crate::{Error, ErrorKind, Reply, Timing, trace};

/// The state that a call shares with its stream: the client, the number of attempts, the timing and the reservation. Cheap to
/// clone.
#[derive(Clone)]
pub(super) struct CallContext {
    pub(super) client: Arc<Inner>,
    pub(super) start: Instant,
    pub(super) attempts: u32,
    pub(super) timing: Timing,
    pub(super) span: Span,
    /// The key or token of the current attempt, which no error may show.
    pub(super) secret: Secret,
    /// The reservation of the current attempt.
    pub(super) reservation: Option<Arc<Reservation>>,
    /// The early frames, if frames are forwarded.
    pub(super) forward: Option<Early>,
}

impl CallContext {
    pub(super) fn new(client: Arc<Inner>, span: Span) -> Self {
        Self {
            client,
            start: Instant::now(),
            attempts: 0,
            timing: Timing::default(),
            span,
            secret: "".into(),
            reservation: None,
            forward: None,
        }
    }

    pub(super) fn record_first_token(&mut self) {
        if self.timing.time_to_first_token.is_zero() {
            self.timing.time_to_first_token = self.start.elapsed();
        }
    }

    /// Sets the attempts, timing and cost of a complete reply, and settles the reservation.
    pub(super) fn complete(&mut self, reply: &mut Reply) {
        self.timing.total = self.start.elapsed();
        if self.timing.time_to_first_token == Duration::ZERO {
            self.timing.time_to_first_token = self.timing.total;
        }
        reply.provider = self.client.provider;
        reply.attempts = self.attempts;
        reply.timing = self.timing;
        if let Some(reservation) = self.reservation.take() {
            reservation.settle(reply);
        }
        trace::replied(&self.span, reply);
    }

    /// Adds the provider and the attempts to an error, removes the API key from it, and records it in the span.
    pub(super) fn fail(&self, mut error: Error) -> Error {
        // The provider has no part in a ledger's error.
        if *error.kind() != ErrorKind::Ledger {
            error = error.with_provider(self.client.provider);
        }
        let error = error.with_attempts(self.attempts).redacted(&self.secret);
        trace::failed(&self.span, &error);
        error
    }
}
