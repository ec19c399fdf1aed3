//! Scripted servers for tests in JavaScript, which start and control them over HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use crate::scripted_server::{ScriptedServer, Step};

/// `POST` starts a server with the replies in its body, and returns its `url` and its `id`. `GET /sim/scripts/ID` returns its
/// requests so far, and `POST /sim/scripts/ID/release` is [`ScriptedServer::release`].
pub(crate) const PATH: &str = "/sim/scripts";

/// Answers a request below [`PATH`] with a status and a JSON text.
pub(crate) async fn control(
    request: Request<Incoming>,
    scripts: &Mutex<Vec<Arc<ScriptedServer>>>,
) -> (u16, String) {
    let (head, body) = request.into_parts();
    let rest = head.uri.path().strip_prefix(PATH).unwrap_or_default();
    let mut rest = rest.split('/').skip(1);
    let Some(id) = rest.next() else {
        let body = body.collect().await.map(|body| body.to_bytes());
        let started = match serde_json::from_slice(&body.unwrap_or_default()) {
            Ok(replies) => start(replies, scripts).await,
            Err(error) => Err(error.to_string()),
        };
        return match started {
            Ok(json) => (200, json),
            Err(error) => (400, json!({"error": error}).to_string()),
        };
    };
    let server = id.parse().ok().and_then(|id: usize| {
        let scripts = scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.get(id).cloned()
    });
    let json = match (server, &head.method, rest.next()) {
        (Some(server), &Method::GET, None) => json!(server.requests()),
        (Some(server), &Method::POST, Some("release")) => {
            server.release();
            json!({})
        }
        _ => return (404, json!({"error": "there is no such script"}).to_string()),
    };
    (200, json.to_string())
}

async fn start(
    replies: Vec<Vec<Step>>,
    scripts: &Mutex<Vec<Arc<ScriptedServer>>>,
) -> Result<String, String> {
    let server = ScriptedServer::start(replies).await;
    let server = server.map_err(|error| error.to_string())?;
    let url = server.url().to_owned();
    let mut scripts = scripts.lock().unwrap_or_else(PoisonError::into_inner);
    scripts.push(Arc::new(server));
    Ok(json!({"id": scripts.len() - 1, "url": url}).to_string())
}
