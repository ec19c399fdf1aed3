//! Connections, requests, and what a scenario makes of them.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::answer::{Prompt, answer, hash};
use crate::body::{Active, Step, Steps};
use crate::delay::delayed;
use crate::scenario::{At, Fault, HEADER, Scenario};
use crate::stats::{Books, Closing};
use crate::wire::{Cut, Wire};
use crate::{Config, anthropic, lenient, openai};

/// A piece of a streamed reply.
pub(crate) struct Piece {
    pub(crate) content: bool,
    pub(crate) tokens: u64,
    pub(crate) text: String,
}

/// Why a request is not answered.
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
            code: None,
            message: message.into(),
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(crate) async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    books: Arc<Books>,
    config: Config,
) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let acceptor = acceptor.clone();
        let books = books.clone();
        let config = config.clone();
        // Written down here, so that sockets are counted in the order in which the kernel gave them.
        let Ok((socket, second)) = two_handles(socket) else {
            continue;
        };
        let (id, closing) = books.accepted(second);
        tokio::spawn(async move {
            tokio::select! {
                _ = connection(socket, acceptor, id, &closing, &books, &config) => {}
                () = closing.at_once.notified() => {}
            }
            books.closed(id);
        });
    }
}

fn two_handles(socket: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    socket.set_nodelay(true)?;
    let socket = socket.into_std()?;
    let second = socket.try_clone()?;
    Ok((TcpStream::from_std(socket)?, second))
}

async fn connection(
    socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    id: usize,
    closing: &Arc<Closing>,
    books: &Arc<Books>,
    config: &Config,
) -> io::Result<()> {
    let mut io: Box<dyn Io> = match config.one_way_delay {
        Duration::ZERO => Box::new(socket),
        one_way => Box::new(delayed(socket, one_way)),
    };
    if let Some(acceptor) = acceptor {
        let tls = acceptor.accept(io).await?;
        let resumed =
            tls.get_ref().1.handshake_kind() == Some(tokio_rustls::rustls::HandshakeKind::Resumed);
        books.note(|stats| {
            stats.tls += 1;
            stats.tls_resumed += usize::from(resumed);
        });
        io = Box::new(tls);
    }
    let cut = Cut::default();
    let server = Arc::new(Server {
        id,
        cut: cut.clone(),
        books: books.clone(),
        pace: config.pace,
        closing: closing.clone(),
    });
    let service = service_fn(move |request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(Wire { io, cut }), service));
    loop {
        tokio::select! {
            result = serving.as_mut() => return result.map_err(io::Error::other),
            () = closing.gracefully.notified() => serving.as_mut().graceful_shutdown(),
        }
    }
}

/// One connection's side of the simulator.
struct Server {
    id: usize,
    cut: Cut,
    books: Arc<Books>,
    pace: Duration,
    closing: Arc<Closing>,
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Anthropic,
    OpenAi,
}

impl Dialect {
    fn request_id_header(self) -> &'static str {
        match self {
            Self::Anthropic => "request-id",
            Self::OpenAi => "x-request-id",
        }
    }

    fn error_body(self, api_error: &ApiError, request_id: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::error_body(api_error, request_id),
            Self::OpenAi => openai::error_body(api_error),
        }
    }

    fn error_type(self, status: u16) -> &'static str {
        match self {
            Self::Anthropic => anthropic::error_type(status),
            Self::OpenAi => openai::error_type(status),
        }
    }
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Response<Steps> {
        let dialect = match (request.method(), request.uri().path()) {
            (&Method::GET, "/sim/stats") => {
                let stats = serde_json::to_string_pretty(&self.books.stats()).unwrap_or_default();
                return self.finish(Outcome::json(200, stats), None);
            }
            (&Method::POST, "/sim/release") => {
                let n = request.uri().query().and_then(|n| n.parse().ok());
                self.books.held.add_permits(n.unwrap_or(1));
                return self.finish(Outcome::json(200, "{}".into()), None);
            }
            // A browser asks first: these are the headers that the providers themselves allow.
            (&Method::OPTIONS, _) => return self.finish(Outcome::preflight(), None),
            (_, "/v1/messages") => Dialect::Anthropic,
            _ => Dialect::OpenAi,
        };
        self.books.note(|stats| {
            stats.requests += 1;
            stats.requests_per_connection[self.id] += 1;
        });
        let active = Active::new(self.books.clone());
        let outcome = self.respond(request, dialect).await;
        self.finish(outcome, Some(active))
    }

    fn finish(&self, outcome: Outcome, active: Option<Active>) -> Response<Steps> {
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
        // A header that a scenario got wrong is its author's to see.
        #[allow(clippy::expect_used)]
        builder
            .body(Steps::new(
                outcome.steps,
                self.books.clone(),
                self.id,
                active,
            ))
            .expect("a scenario's headers are valid")
    }

    async fn respond(&self, request: Request<Incoming>, dialect: Dialect) -> Outcome {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let request_id = format!("req_{:016x}", hash(&body));
        let id_header = (dialect.request_id_header().to_owned(), request_id.clone());
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
            let api_error = api_error(&scenario, dialect, status);
            let text = scenario
                .body
                .clone()
                .unwrap_or_else(|| dialect.error_body(&api_error, &request_id).to_string());
            let mut outcome = Outcome::json(status, text);
            if let Some(content_type) = scenario.content_type {
                outcome.headers[0].1 = content_type;
            }
            return outcome.with(headers);
        }
        if let Some(after) = scenario.idle_close {
            let closing = self.closing.clone();
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                closing.gracefully.notify_one();
            });
        }
        let include_usage = serde_json::from_slice(&body)
            .is_ok_and(|body: Value| body["stream_options"]["include_usage"] == true);
        let stream = prompt.stream && !scenario.json_only;
        self.books.note(|stats| {
            stats.input_tokens += prompt.input_tokens + prompt.cache_written_tokens;
        });
        let answer = answer(prompt, &scenario);
        let (content_type, steps) = if stream {
            let pieces = match dialect {
                Dialect::Anthropic => anthropic::pieces(&answer, &scenario),
                Dialect::OpenAi => openai::pieces(&answer, &scenario, include_usage),
            };
            (
                "text/event-stream",
                self.stream(dialect, pieces, &scenario, &request_id),
            )
        } else {
            let whole = match dialect {
                Dialect::Anthropic => anthropic::whole(&answer),
                Dialect::OpenAi => openai::whole(&answer, &scenario),
            };
            (
                "application/json",
                self.whole(
                    dialect,
                    whole.to_string(),
                    answer.output_tokens(),
                    &scenario,
                    &request_id,
                ),
            )
        };
        let content_type = scenario
            .content_type
            .clone()
            .unwrap_or_else(|| content_type.to_owned());
        Outcome {
            status: 200,
            headers: vec![("content-type".to_owned(), content_type)],
            steps,
        }
        .with(headers)
    }

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
            "/v1/messages" | "/v1/chat/completions" | "/chat/completions"
        );
        if method != Method::POST || !known {
            let what = dialect.error_type(404);
            return Err(ApiError::new(
                404,
                what,
                format!("Invalid URL ({method} {path})"),
            ));
        }
        match dialect {
            Dialect::Anthropic => anthropic::check_key(headers)?,
            Dialect::OpenAi => openai::check_key(headers)?,
        }
        let invalid = |message: String| ApiError::new(400, "invalid_request_error", message);
        let json: Value = serde_json::from_slice(body).map_err(|e| {
            invalid(format!(
                "We could not parse the JSON body of your request. ({e})"
            ))
        })?;
        let model = json["model"].as_str().unwrap_or_default();
        if model.is_empty() {
            return Err(invalid(match dialect {
                Dialect::Anthropic => "model: Field required".to_owned(),
                Dialect::OpenAi => "you must provide a model parameter".to_owned(),
            }));
        }
        let (model, told) = model.split_once('?').unwrap_or((model, ""));
        let header = headers.get(HEADER).and_then(|value| value.to_str().ok());
        let text = header.unwrap_or(told);
        let mut scenario: Scenario = text.parse().map_err(invalid)?;
        if !self.books.still(text, scenario.times) {
            // Only what goes wrong is over.
            scenario = Scenario {
                tokens: scenario.tokens,
                pace: scenario.pace,
                flush: scenario.flush,
                ..Scenario::default()
            };
        }
        let lenient = scenario.lenient.then(|| lenient::read(json.clone()));
        let json = lenient.as_ref().unwrap_or(&json);
        let prompt = match dialect {
            Dialect::Anthropic => anthropic::read(json, &self.books)?,
            Dialect::OpenAi => openai::read(json, &self.books)?,
        };
        Ok((
            Prompt {
                model: model.to_owned(),
                ..prompt
            },
            scenario,
        ))
    }

    async fn pause(&self, scenario: &Scenario) {
        tokio::time::sleep(scenario.delay).await;
        if scenario.hold {
            self.books.note(|stats| stats.holding += 1);
            let _leaving = Holding(&self.books);
            if let Ok(permit) = self.books.held.acquire().await {
                permit.forget();
            }
        }
    }

    fn break_head(&self, scenario: &Scenario) {
        let bytes = match (scenario.fault, scenario.at, scenario.garbage) {
            (Some(_), At::Head, _) => 0,
            (Some(_), At::MidHead, _) => 15,
            (None, _, Some(At::Head)) => return self.cut.garble(),
            _ => return,
        };
        if scenario.fault == Some(Fault::Reset) {
            self.books.reset(self.id);
        }
        self.cut.after(bytes);
    }

    fn whole(
        &self,
        dialect: Dialect,
        text: String,
        tokens: u64,
        scenario: &Scenario,
        request_id: &str,
    ) -> Vec<Step> {
        let tokens = tokens.max(1);
        if scenario.error_event {
            let api_error = api_error(scenario, dialect, 500);
            return vec![Step::data(
                dialect.error_body(&api_error, request_id).to_string(),
            )];
        }
        if scenario.garbage.is_some() {
            return vec![Step::data("{\"this is\": not JSON")];
        }
        let half = text.len() / 2;
        let half = (half..text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or_default();
        match (scenario.fault, scenario.stall) {
            (Some(fault), _) if matches!(scenario.at, At::Body | At::Event) => {
                let fail = Step::Fail {
                    reset: fault == Fault::Reset,
                };
                vec![Step::data(text[..half].to_owned()), Step::Flush, fail]
            }
            (_, true) => vec![
                Step::data(text[..half].to_owned()),
                Step::Flush,
                Step::Stall,
            ],
            _ => {
                let pace = scenario.pace.unwrap_or(self.pace);
                let wait = (!pace.is_zero())
                    .then(|| Step::Wait(pace * u32::try_from(tokens).unwrap_or(u32::MAX)));
                wait.into_iter()
                    .chain([Step::Data(text.into(), tokens)])
                    .collect()
            }
        }
    }

    fn stream(
        &self,
        dialect: Dialect,
        pieces: Vec<Piece>,
        scenario: &Scenario,
        request_id: &str,
    ) -> Vec<Step> {
        let pace = scenario.pace.unwrap_or(self.pace);
        let breaks = scenario.stall
            || scenario.error_event
            || scenario.garbage.is_some()
            || (scenario.fault.is_some() && matches!(scenario.at, At::Body | At::Event));
        let mut steps = Vec::with_capacity(pieces.len() * 2);
        let mut content = 0;
        for piece in pieces {
            let mut text = piece.text;
            if scenario.crlf {
                text = text.replace('\n', "\r\n");
            }
            // What goes wrong goes wrong where the next content would be.
            if piece.content && breaks && content == scenario.after {
                self.break_stream(dialect, scenario, &text, request_id, &mut steps);
                return steps;
            }
            content += usize::from(piece.content);
            if piece.content && !pace.is_zero() {
                steps.push(Step::Wait(pace));
            }
            steps.push(Step::Data(text.into(), piece.tokens));
            if scenario.flush {
                steps.push(Step::Flush);
            }
        }
        steps
    }

    fn break_stream(
        &self,
        dialect: Dialect,
        scenario: &Scenario,
        next: &str,
        request_id: &str,
        steps: &mut Vec<Step>,
    ) {
        steps.push(Step::Flush);
        if scenario.error_event {
            let api_error = api_error(scenario, dialect, 529);
            steps.push(Step::data(match dialect {
                Dialect::Anthropic => anthropic::error_event(&api_error, request_id),
                Dialect::OpenAi => openai::error_event(&api_error),
            }));
        } else if scenario.garbage.is_some() {
            steps.push(Step::data(
                "event: message\ndata: {\"this is\": not JSON\n\n",
            ));
        } else if scenario.stall {
            if scenario.pings {
                let ping = match dialect {
                    Dialect::Anthropic => anthropic::ping(),
                    Dialect::OpenAi => openai::ping(),
                };
                for _ in 0..6000 {
                    steps.extend([
                        Step::data(ping.clone()),
                        Step::Wait(Duration::from_millis(10)),
                    ]);
                }
            }
            steps.push(Step::Stall);
        } else {
            if scenario.at == At::Event {
                steps.push(Step::data(next[..next.len() / 2].to_owned()));
                steps.push(Step::Flush);
            }
            // A close in good order between two events is the end of the body: the stream is only short.
            if scenario.fault == Some(Fault::Reset) || scenario.at == At::Event {
                steps.push(Step::Fail {
                    reset: scenario.fault == Some(Fault::Reset),
                });
            }
        }
    }
}

/// A response before it is counted.
struct Outcome {
    status: u16,
    headers: Vec<(String, String)>,
    steps: Vec<Step>,
}

impl Outcome {
    fn json(status: u16, text: String) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self {
            status,
            headers,
            steps: vec![Step::data(text)],
        }
    }

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
            steps: Vec::new(),
        }
    }

    fn with(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers.extend(headers);
        self
    }
}

/// Counts one request that is held, for as long as it is.
struct Holding<'a>(&'a Books);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.note(|stats| stats.holding -= 1);
    }
}

/// The error that a scenario asks for, or the usual one of its status.
fn api_error(scenario: &Scenario, dialect: Dialect, status: u16) -> ApiError {
    let kind = scenario
        .error_type
        .clone()
        .unwrap_or_else(|| dialect.error_type(status).to_owned());
    let message = scenario.message.clone().unwrap_or_else(|| {
        let reason = StatusCode::from_u16(status)
            .ok()
            .and_then(|s| s.canonical_reason())
            .unwrap_or("Overloaded");
        format!("{reason} (simulated)")
    });
    ApiError {
        status,
        kind,
        code: scenario.code.clone(),
        message,
    }
}
