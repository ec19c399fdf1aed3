//! The burst of the demo: many calls at once, made by a gateway whose provider is simulated.
//!
//! The demo page asks for it because a browser opens only six connections to a host, so calls of the page's own would wait in the browser
//! before they could wait in the gateway.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tower::ServiceExt;
use warmline_gateway::Gateway;

/// The maximum number of calls in a burst.
const MAX_CALLS: usize = 100;

/// The maximum size of a reply, which is far longer than any of the simulated ones.
const MAX_REPLY: usize = 1 << 20;

/// Returns the route `POST /demo/burst/{calls}`. Its response has a line of JSON for each call, as that ends:
/// `{"call":1,"status":200,"request_id":"req_…","error":null}`. Calls that have not ended are cancelled if the caller disconnects.
pub(crate) fn routes(gateway: &Gateway) -> Router {
    Router::new()
        .route("/demo/burst/{calls}", post(burst))
        .with_state(gateway.router())
}

async fn burst(
    State(gateway): State<Router>,
    Path(calls): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(count) = calls.parse().ok().filter(|n| (1..=MAX_CALLS).contains(n)) else {
        let message =
            format!("{calls:?} is not a number of calls: expected a number from 1 to {MAX_CALLS}");
        return (StatusCode::BAD_REQUEST, message).into_response();
    };
    let calls: FuturesUnordered<_> = (1..=count)
        .map(|number| call(gateway.clone(), number, headers.clone()))
        .collect();
    let lines = calls.map(|ended| Ok::<_, Infallible>(format!("{ended}\n")));
    let content_type = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (content_type, Body::from_stream(lines)).into_response()
}

/// Makes a call as any caller does, and returns its outcome.
async fn call(gateway: Router, number: usize, headers: HeaderMap) -> Value {
    let body = json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 30,
        "stream": true,
        // The simulated provider derives a request's id from its content.
        "messages": [{"role": "user", "content": format!("Call {number} of a burst, {:?}", std::time::SystemTime::now())}],
    });
    let mut request =
        Request::post("/v1/messages").header(header::CONTENT_TYPE, "application/json");
    // The gateway may require a key.
    for name in ["authorization", "x-api-key"] {
        if let Some(key) = headers.get(name) {
            request = request.header(name, key);
        }
    }
    let response = match request.body(Body::from(body.to_string())) {
        Ok(request) => gateway.oneshot(request).await.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let (head, body) = response.into_parts();
    let id = head.headers.get("request-id");
    let id = id.and_then(|id| id.to_str().ok());
    let body = to_bytes(body, MAX_REPLY).await.unwrap_or_default();
    let error = error_of(head.status, &String::from_utf8_lossy(&body));
    json!({"call": number, "status": head.status.as_u16(), "request_id": id, "error": error})
}

/// Returns the message of an error response, or of the error event that ends a broken stream.
fn error_of(status: StatusCode, body: &str) -> Option<String> {
    let error = match status.is_success() {
        true => body.split_once("event: error\ndata: ")?.1.lines().next()?,
        false => body,
    };
    let json: Value = serde_json::from_str(error).unwrap_or_default();
    let message = json["error"]["message"].as_str();
    Some(message.unwrap_or(error).to_owned())
}
