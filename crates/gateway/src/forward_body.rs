//! The body of a response of another endpoint, passed on as it arrives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use futures_core::Stream;
use futures_util::StreamExt;
use serde::Deserialize;
use warmline::ForwardResponse;

use crate::calls::InFlight;
use crate::rate_limits::Reservation;
use crate::request_body::Held;

/// The maximum size of a reply whose usage is read, in bytes. It is kept until its end.
const MAX_KEPT: usize = 16 << 20;

/// The body of a response. An error cuts it, so that nobody takes it for whole. Dropping it, as the server does if the caller disconnects, aborts
/// the request.
pub(crate) struct ForwardBody {
    response: ForwardResponse,
    /// The method and the path, for the statistics.
    request: String,
    /// `None` once the end is recorded.
    in_flight: Option<InFlight>,
    /// What the request has taken of its key's limits, if the reply can tell how much it has used.
    reservation: Option<Reservation>,
    /// What has arrived, if the usage is to be read.
    kept: Vec<u8>,
    /// The request's bytes, which the call keeps for as long as it runs.
    _held: Held,
}

impl ForwardBody {
    pub(crate) fn new(
        response: ForwardResponse,
        request: &Parts,
        in_flight: Option<InFlight>,
        reservation: Option<Reservation>,
        held: Held,
    ) -> Self {
        let tells_usage = is_json(response.headers());
        Self {
            request: format!("{} {}", request.method, request.uri.path()),
            reservation: reservation.filter(|taken| taken.has_tokens() && tells_usage),
            response,
            in_flight,
            kept: Vec::new(),
            _held: held,
        }
    }

    /// Returns the body of a response to this method.
    pub(crate) async fn into_body(mut self, method: &Method) -> Body {
        let is_empty = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        if method == Method::HEAD || is_empty.contains(&self.response.status()) {
            // The server reads no body of such a response, so that its end would not be noticed.
            while let Some(Ok(_)) = self.next().await {}
            return Body::empty();
        }
        Body::from_stream(self)
    }

    fn ended(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.forwarded(&self.request);
        }
        // Tokens that are not known to be unused count.
        if let Some(used) = used_tokens(&self.kept)
            && let Some(taken) = self.reservation.take()
        {
            taken.settle(used);
        }
        self.kept = Vec::new();
    }
}

impl Stream for ForwardBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.response.poll_chunk(cx)) {
            Some(Ok(bytes)) => {
                if self.kept.len() + bytes.len() > MAX_KEPT {
                    self.reservation = None;
                    self.kept = Vec::new();
                }
                if self.reservation.is_some() {
                    self.kept.extend_from_slice(&bytes);
                }
                Some(Ok(bytes))
            }
            Some(Err(error)) => {
                if let Some(in_flight) = self.in_flight.take() {
                    in_flight.failed(&error);
                }
                Some(Err(io::Error::other(error)))
            }
            None => {
                self.ended();
                None
            }
        })
    }
}

/// Whether the content type is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// Returns how many tokens a JSON reply says that it has used.
fn used_tokens(reply: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Reply {
        usage: Usage,
    }
    #[derive(Deserialize)]
    struct Usage {
        total_tokens: Option<u64>,
        prompt_tokens: Option<u64>,
        completion_tokens: Option<u64>,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
    }
    let Reply { usage } = serde_json::from_slice(reply).ok()?;
    let parts = [
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.input_tokens,
        usage.output_tokens,
    ];
    let sum = parts.into_iter().flatten().reduce(u64::saturating_add);
    usage.total_tokens.max(sum)
}
