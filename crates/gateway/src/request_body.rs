//! Reads the bodies of requests, within limits of size, time and memory.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use warmline::DialectName;

use crate::api_error::ApiError;

/// How long the rest of a refused body is read and thrown away. Callers who still write when the connection is closed would not see why
/// they are refused.
const LINGER: Duration = Duration::from_secs(2);

/// The limits of all requests of a gateway.
#[derive(Debug)]
pub(crate) struct BodyLimits {
    /// The maximum size of a body, in bytes.
    pub(crate) max: usize,
    /// The maximum size of all bodies together.
    pub(crate) max_total: usize,
    /// How long a body may take to arrive.
    pub(crate) timeout: Duration,
    /// The number of bytes of the bodies that are held.
    pub(crate) held: Arc<AtomicUsize>,
}

/// Bytes that count as held until this is dropped.
pub(crate) struct Held {
    bytes: usize,
    all: Arc<AtomicUsize>,
    /// The bytes that the key of the caller holds, if callers need keys.
    own: Option<Arc<AtomicUsize>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        for held in self.own.iter().chain([&self.all]) {
            held.fetch_sub(self.bytes, Relaxed);
        }
    }
}

impl BodyLimits {
    /// Reads a body. A length that the caller has declared is checked, and counted as held, before any byte is read. `own` counts what the
    /// caller's key holds: at most half of the total, so that one key leaves room for others.
    ///
    /// # Errors
    /// 415 for a body that is compressed, 413 for one that is too large, 503 if all bodies together, or those of the key, are, or once `shutdown` is ready, 408 for one that takes too long,
    /// and 400 for one that breaks off.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: &mut Body,
        own: Option<Arc<AtomicUsize>>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(Bytes, Held), ApiError> {
        check_encoding(headers)?;
        let mut held = Held {
            bytes: 0,
            all: self.held.clone(),
            own,
        };
        let bytes = tokio::select! {
            // A body that is there is used, even during a shutdown.
            biased;
            bytes = self.read_all(body, &mut held) => bytes?,
            () = tokio::time::sleep(self.timeout) => {
                let message = format!(
                    "the request body did not arrive within {:?}: send it faster, or raise --body-timeout (in code: GatewayBuilder::body_timeout)",
                    self.timeout
                );
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message));
            }
            () = shutdown => {
                let message = "the gateway is shutting down, and the request body had not arrived";
                return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", message));
            }
        };
        Ok((bytes, held))
    }

    async fn read_all(&self, body: &mut Body, held: &mut Held) -> Result<Bytes, ApiError> {
        let declared = body.size_hint().lower();
        let declared = usize::try_from(declared).unwrap_or(usize::MAX);
        self.hold(held, declared)?;
        let mut first = Bytes::new();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            // Most bodies are one frame, and are not copied.
            if first.is_empty() {
                self.hold(held, bytes.len())?;
                first = bytes;
                continue;
            }
            if whole.is_empty() {
                whole.reserve(declared.max(first.len()));
                whole.extend_from_slice(&first);
            }
            self.check_size(whole.len() + bytes.len())?;
            whole.reserve(bytes.len());
            self.hold(held, whole.capacity().min(self.max))?;
            whole.extend_from_slice(&bytes);
        }
        Ok(match whole.is_empty() {
            true => first,
            false => whole.into(),
        })
    }

    fn check_size(&self, bytes: usize) -> Result<(), ApiError> {
        if bytes <= self.max {
            return Ok(());
        }
        let message = format!(
            "the request body is larger than {} bytes: shorten it, or start the gateway with --max-body (in code: GatewayBuilder::max_body)",
            self.max
        );
        Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request",
            message,
        ))
    }

    /// Counts a body of so many bytes as held, instead of those that were counted before.
    fn hold(&self, held: &mut Held, bytes: usize) -> Result<(), ApiError> {
        self.check_size(bytes)?;
        let more = bytes.saturating_sub(held.bytes);
        let add = |counter: &AtomicUsize, max: usize| {
            let sum = |all: usize| all.checked_add(more).filter(|all| more == 0 || *all <= max);
            counter.fetch_update(Relaxed, Relaxed, sum)
        };
        let max_own = self.max.max(self.max_total / 2);
        if let Some(own) = &held.own
            && let Err(own) = add(own, max_own)
        {
            let message = format!(
                "the gateway holds {own} bytes of requests of this key, and this one would exceed its maximum of {max_own}: try again once other \
                 requests of the key have ended, or start the gateway with a larger --max-body-total (in code: GatewayBuilder::max_body_total)"
            );
            return Err(too_many_bytes(message));
        }
        match add(&self.held, self.max_total) {
            Ok(_) => {
                held.bytes += more;
                Ok(())
            }
            Err(all) => {
                if let Some(own) = &held.own {
                    own.fetch_sub(more, Relaxed);
                }
                let message = format!(
                    "the gateway holds {all} bytes of requests, and this one would exceed its maximum of {}: try again, or start the gateway \
                     with --max-body-total (in code: GatewayBuilder::max_body_total)",
                    self.max_total
                );
                Err(too_many_bytes(message))
            }
        }
    }
}

/// # Errors
/// 415 for a compressed body. Its size once decompressed would not be bounded by its length.
fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut encodings = value.split(',').map(str::trim);
        let is_identity =
            |encoding: &str| encoding.is_empty() || encoding.eq_ignore_ascii_case("identity");
        if let Some(encoding) = encodings.find(|encoding| !is_identity(encoding)) {
            let message = format!(
                "the request body has the content-encoding {encoding:?}, and this gateway reads none but identity: send it uncompressed"
            );
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(ApiError::new(status, "content_encoding", message));
        }
    }
    Ok(())
}

fn too_many_bytes(message: String) -> ApiError {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    ApiError::new(status, "too_many_bytes", message).retry_after(1)
}

fn broken(error: axum::Error) -> ApiError {
    // The first error of the chain only says that there is another.
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let message = format!("the request body cannot be read: {cause}");
    ApiError::new(StatusCode::BAD_REQUEST, "request", message)
}

/// Returns the response to a request, and discards the rest of its body if that is an error.
pub(crate) fn respond(
    outcome: Result<Response, ApiError>,
    headers: &HeaderMap,
    body: Body,
    dialect: DialectName,
) -> Response {
    outcome.unwrap_or_else(|error| {
        discard(headers, body);
        error.into_response(dialect)
    })
}

/// Reads the rest of a refused body for a while, unless its caller waits for a `100 Continue` before it sends any.
fn discard(headers: &HeaderMap, mut body: Body) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        while let Some(Ok(_)) = body.frame().await {}
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_holds_at_most_half_of_all_bytes() {
        let limits = BodyLimits {
            max: 40,
            max_total: 100,
            timeout: Duration::ZERO,
            held: Arc::default(),
        };
        let (alice, bob) = (Arc::<AtomicUsize>::default(), Arc::default());
        let hold = |own: &Arc<AtomicUsize>, bytes| {
            let mut held = Held {
                bytes: 0,
                all: limits.held.clone(),
                own: Some(own.clone()),
            };
            limits.hold(&mut held, bytes).ok().map(|()| held)
        };
        let first = hold(&alice, 40).unwrap();
        assert!(hold(&alice, 11).is_none());
        let second = hold(&alice, 10).unwrap();
        let others = [hold(&bob, 40).unwrap(), hold(&bob, 10).unwrap()];
        let third = Arc::default();
        assert!(hold(&third, 1).is_none());
        drop((first, second, others));
        let all = [&alice, &bob, &third, &limits.held];
        assert!(all.into_iter().all(|held| held.load(Relaxed) == 0));
    }
}
