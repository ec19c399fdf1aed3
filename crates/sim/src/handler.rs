//! Requests on one connection, and their responses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::answer::{Prompt, answer, hash};
use crate::catalog::Lookup;
use crate::dialect::Dialect;
use crate::faulty_io::WriteFault;
use crate::lenient;
use crate::reply::ApiError;
use crate::scenario::{At, Fault, HEADER, Scenario};
use crate::script::Script;
use crate::scripted_body::{Action, InFlight, ScriptedBody};
use crate::scripts;
use crate::stats::{CloseSignal, Counters};

/// Answers the requests of one connection.
pub(crate) struct Handler {
    /// The connection's number, in the order in which they were accepted.
    pub(crate) id: usize,
    pub(crate) write_fault: WriteFault,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pace: Duration,
    pub(crate) close: Arc<CloseSignal>,
}

impl Handler {
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<ScriptedBody> {
        let dialect = match (request.method(), request.uri().path()) {
            (&Method::GET, "/sim/stats") => {
                let stats = self.counters.stats();
                let stats = serde_json::to_string_pretty(&stats).unwrap_or_default();
                return self.finish(Outcome::json(200, stats), None);
            }
            // The preflight request of a browser.
            (&Method::OPTIONS, _) => return self.finish(Outcome::preflight(), None),
            (&Method::POST, "/sim/release") => {
                let n = request.uri().query().and_then(|n| n.parse().ok());
                self.counters.held.add_permits(n.unwrap_or(1));
                return self.finish(Outcome::json(200, "{}".into()), None);
            }
            (_, path) if path.starts_with(scripts::PATH) => {
                let (status, json) = scripts::control(request, &self.counters.scripts).await;
                return self.finish(Outcome::json(status, json), None);
            }
            (_, path) => Dialect::of_path(path),
        };
        self.counters.update(|stats| {
            stats.requests += 1;
            stats.requests_per_connection[self.id] += 1;
        });
        let in_flight = InFlight::new(self.counters.clone());
        let outcome = self.respond(request, dialect).await;
        self.finish(outcome, Some(in_flight))
    }

    fn finish(&self, outcome: Outcome, in_flight: Option<InFlight>) -> Response<ScriptedBody> {
        let mut builder = Response::builder()
            .status(outcome.status)
            .header("access-control-allow-origin", "*")
            .header(
                "access-control-expose-headers",
                "request-id, x-request-id, retry-after, retry-after-ms, x-should-retry",
            );
        for (name, value) in outcome.headers {
            builder = builder.header(name, value);
        }
        let body = ScriptedBody::new(outcome.actions, self.counters.clone(), self.id, in_flight);
        // Only a test's own scenario can have an invalid header, and the test should fail.
        #[allow(clippy::expect_used)]
        builder.body(body).expect("a scenario's headers are valid")
    }

    async fn respond(&self, request: Request<Incoming>, dialect: Dialect) -> Outcome {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let request_id = format!("req_{:016x}", hash(&body));
        let id_header = (dialect.request_id_header().to_owned(), request_id.clone());
        if let Some(lookup) = Lookup::of(&head.method, head.uri.path()) {
            return self.look_up(lookup, &head, &body, &request_id).await;
        }
        let (mut prompt, scenario) =
            match self.read(dialect, &head.method, head.uri.path(), &head.headers, &body) {
                Ok(read) => read,
                Err(api_error) => {
                    let text = dialect.error_body(&api_error, &request_id).to_string();
                    return Outcome::json(api_error.status, text).with([id_header]);
                }
            };
        prompt.hash = hash(&body);
        self.pause(&scenario).await;
        let headers = std::iter::once(id_header).chain(scenario.headers.clone());
        self.break_head(&scenario);
        if let Some(status) = scenario.status {
            return error(dialect, &scenario, status, &request_id).with(headers);
        }
        if let Some(after) = scenario.idle_close {
            let close = self.close.clone();
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                close.gracefully.notify_one();
            });
        }
        let include_usage = serde_json::from_slice(&body)
            .is_ok_and(|body: Value| body["stream_options"]["include_usage"] == true);
        let stream = prompt.stream && !scenario.json_only;
        self.counters.update(|stats| {
            stats.input_tokens += prompt.input_tokens + prompt.cache_written_tokens;
        });
        let answer = answer(prompt, &scenario);
        dialect.remember(&answer, &self.counters);
        let script = Script {
            dialect,
            scenario: &scenario,
            request_id: &request_id,
            pace: self.pace,
        };
        let (content_type, mut actions) = if stream {
            let pieces = dialect.pieces(&answer, &scenario, include_usage);
            ("text/event-stream", script.stream(pieces))
        } else {
            let whole = dialect.whole(&answer, &scenario).to_string();
            (
                "application/json",
                script.whole(whole, answer.output_tokens()),
            )
        };
        if scenario.bills_on {
            actions.insert(0, Action::BillOn);
        }
        let content_type = scenario.content_type.as_deref().unwrap_or(content_type);
        Outcome {
            status: 200,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            actions,
        }
        .with(headers)
    }

    /// Answers a request for models, or for a count of tokens.
    async fn look_up(
        &self,
        lookup: Lookup<'_>,
        head: &Parts,
        body: &[u8],
        request_id: &str,
    ) -> Outcome {
        let dialect = lookup.dialect(&head.headers);
        let id_header = (
            dialect.request_id_header().to_owned(),
            request_id.to_owned(),
        );
        let header = head
            .headers
            .get(HEADER)
            .and_then(|value| value.to_str().ok());
        let text = header.unwrap_or_default();
        let scenario: Scenario = text.parse().unwrap_or_default();
        let applies = self.counters.still_applies(text, scenario.times);
        let outcome = match scenario.status.filter(|_| applies) {
            Some(status) => error(dialect, &scenario, status, request_id),
            None => {
                self.pause(&scenario).await;
                match lookup.answer(dialect, &head.uri, &head.headers, body) {
                    Ok(found) => Outcome::json(200, found.to_string()),
                    Err(api_error) => {
                        let text = dialect.error_body(&api_error, request_id).to_string();
                        Outcome::json(api_error.status, text)
                    }
                }
            }
        };
        outcome.with([id_header]).with(scenario.headers)
    }

    /// The prompt and the scenario of a request, or the error that the real server would answer with.
    fn read(
        &self,
        dialect: Dialect,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Prompt, Scenario), ApiError> {
        let known = matches!(
            path,
            "/v1/messages"
                | "/v1/chat/completions"
                | "/chat/completions"
                | "/v1/responses"
                | "/responses"
        );
        if method != Method::POST || !known {
            let message = format!("Invalid URL ({method} {path})");
            return Err(ApiError::new(404, dialect.error_type(404), message));
        }
        dialect.check_key(headers)?;
        let invalid = |message: String| ApiError::new(400, "invalid_request_error", message);
        let json: Value = serde_json::from_slice(body).map_err(|e| {
            invalid(format!(
                "We could not parse the JSON body of your request. ({e})"
            ))
        })?;
        let model = json["model"].as_str().unwrap_or_default();
        if model.is_empty() {
            return Err(invalid(dialect.missing_model().to_owned()));
        }
        let (model, query) = model.split_once('?').unwrap_or((model, ""));
        let header = headers.get(HEADER).and_then(|value| value.to_str().ok());
        let text = header.unwrap_or(query);
        let mut scenario: Scenario = text.parse().map_err(invalid)?;
        if !self.counters.still_applies(text, scenario.times) {
            // Only its faults are over.
            scenario = Scenario {
                tokens: scenario.tokens,
                pace: scenario.pace,
                flush: scenario.flush,
                ..Scenario::default()
            };
        }
        let lenient = scenario.lenient.then(|| lenient::read(json.clone()));
        let json = lenient.as_ref().unwrap_or(&json);
        let prompt = dialect.read(json, &self.counters)?;
        let model = model.to_owned();
        Ok((Prompt { model, ..prompt }, scenario))
    }

    async fn pause(&self, scenario: &Scenario) {
        tokio::time::sleep(scenario.delay).await;
        if scenario.hold {
            let _holding = Holding::new(&self.counters);
            if let Ok(permit) = self.counters.held.acquire().await {
                permit.forget();
            }
        }
    }

    /// Makes the connection break in the head of the response, if the scenario says so.
    fn break_head(&self, scenario: &Scenario) {
        let bytes = match (scenario.fault, scenario.at, scenario.garbage) {
            (Some(_), At::Head, _) => 0,
            (Some(_), At::MidHead, _) => 15,
            (None, _, Some(At::Head)) => return self.write_fault.garble(),
            _ => return,
        };
        if scenario.fault == Some(Fault::Reset) {
            self.counters.reset(self.id);
        }
        self.write_fault.fail_after(bytes);
    }
}

/// The response with the error that a scenario asks for.
fn error(dialect: Dialect, scenario: &Scenario, status: u16, request_id: &str) -> Outcome {
    let text = scenario.body.clone().unwrap_or_else(|| {
        let api_error = dialect.error(scenario, status);
        dialect.error_body(&api_error, request_id).to_string()
    });
    let mut outcome = Outcome::json(status, text);
    if let Some(content_type) = &scenario.content_type {
        outcome.headers[0].1.clone_from(content_type);
    }
    outcome
}

/// A response whose body has not begun.
struct Outcome {
    status: u16,
    headers: Vec<(String, String)>,
    actions: Vec<Action>,
}

impl Outcome {
    fn json(status: u16, text: String) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self {
            status,
            headers,
            actions: vec![Action::data(text)],
        }
    }

    /// The answer to a preflight request, which allows the headers that the providers allow.
    fn preflight() -> Self {
        let allowed = "content-type, authorization, x-api-key, anthropic-version, \
                       anthropic-dangerous-direct-browser-access";
        let headers = [
            ("access-control-allow-methods", "POST, GET"),
            ("access-control-allow-headers", allowed),
            ("access-control-max-age", "600"),
        ];
        Self {
            status: 204,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            actions: Vec::new(),
        }
    }

    fn with(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers.extend(headers);
        self
    }
}

/// Counts a request as held, for as long as this lives.
struct Holding<'a>(&'a Counters);

impl<'a> Holding<'a> {
    fn new(counters: &'a Counters) -> Self {
        counters.update(|stats| stats.holding += 1);
        Self(counters)
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.update(|stats| stats.holding -= 1);
    }
}
