//! A provider's response, forwarded to the caller as it arrives.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_core::Stream;
use warmline::{DialectName, PassthroughResponse};

use crate::api_error::{ApiError, request_id_header};
use crate::calls::InFlight;
use crate::limit_headers::add_headers;
use crate::rate_limits::Reservation;
use crate::request_body::Held;

/// The body of a provider's response. Its end is recorded in the statistics. Dropping it, as the server does if the caller disconnects,
/// aborts the call.
pub(crate) struct ProxyBody {
    response: PassthroughResponse,
    dialect: DialectName,
    /// `None` once the end is recorded.
    in_flight: Option<InFlight>,
    /// What the call has taken of its key's limits.
    reservation: Option<Reservation>,
    /// The request's bytes, which the call keeps for as long as it runs.
    _held: Held,
}

impl ProxyBody {
    pub(crate) fn new(
        response: PassthroughResponse,
        dialect: DialectName,
        in_flight: Option<InFlight>,
        reservation: Option<Reservation>,
        held: Held,
    ) -> Self {
        Self {
            response,
            dialect,
            in_flight,
            reservation,
            _held: held,
        }
    }

    pub(crate) async fn into_response(mut self) -> Response {
        let id = self
            .response
            .request_id()
            .and_then(|id| HeaderValue::from_str(id).ok());
        let attempts = self.response.attempts();
        let (dialect, id_header) = (self.dialect, request_id_header(self.dialect));
        let limits = self.reservation.as_ref().map(|taken| taken.limits.clone());
        let (content_type, body) = match self.response.is_stream() {
            true => ("text/event-stream", Body::from_stream(self)),
            // The whole body is there already, and is sent with a content-length.
            false => ("application/json", Body::from(self.collect().await)),
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-warmline-attempts", attempts.into());
        if let Some(id) = id {
            headers.insert(id_header, id);
        }
        add_headers(headers, &limits.unwrap_or_default(), dialect);
        response
    }

    async fn collect(&mut self) -> Vec<u8> {
        let mut whole = Vec::new();
        while let Some(Ok(bytes)) = poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await {
            whole.extend_from_slice(&bytes);
        }
        whole
    }
}

impl Stream for ProxyBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = match ready!(self.response.poll_chunk(cx)) {
            Some(Ok(bytes)) => Some(bytes),
            None => {
                let this = &mut *self;
                if let Some(reply) = this.response.reply() {
                    if let Some(in_flight) = this.in_flight.take() {
                        in_flight.succeeded(reply);
                    }
                    // Tokens that are not known to be unused count.
                    if let Some(taken) = this.reservation.take_if(|_| reply.usage_reported) {
                        let usage = &reply.usage;
                        taken.settle(usage.total_input_tokens() + usage.output_tokens);
                    }
                }
                None
            }
            Some(Err(error)) => {
                if let Some(in_flight) = self.in_flight.take() {
                    in_flight.failed(&error);
                }
                let event = || ApiError::from(error).event(self.dialect).into();
                (!self.response.error_is_forwarded()).then(event)
            }
        };
        Poll::Ready(chunk.map(Ok))
    }
}
