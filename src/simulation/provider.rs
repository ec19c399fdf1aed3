//! A provider that fails, stalls and bills, in virtual time.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::meter::{Left, Meter, report};
use super::network::Random;
use crate::{Price, Usd};

/// How a provider treats its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    /// How many percent of the requests fail in some way.
    pub(crate) faults: u32,
    /// Whether it goes on writing, and bills, when its caller has left.
    pub(crate) bills_after_disconnect: bool,
    /// How many tokens it writes in a second.
    pub(crate) speed: u64,
    /// The longest silence before the first content.
    pub(crate) thinks: Duration,
}

/// A simulated provider. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Inner>);

/// What happens to each request, which is for so many tokens at most.
type Fates = Box<dyn Fn(u64) -> Fate + Send + Sync>;

struct Inner {
    behaviour: Behaviour,
    fates: Fates,
    arrivals: Mutex<Vec<Arrival>>,
    price: Price,
    random: Random,
    billed: AtomicU64,
    /// The number of replies that are being written.
    writing: AtomicUsize,
}

/// An API key, if it is a number.
pub(crate) type Key = Option<usize>;

/// A request that has arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Its API key, which tells the processes of a history apart.
    pub(crate) key: Key,
    pub(crate) at: Instant,
    pub(crate) fate: Fate,
    /// When its caller learnt what becomes of it: the first content, or the error.
    pub(crate) decided: Option<Instant>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Answered,
    /// Answered, with the headers of limits of requests and tokens.
    Metered([Option<Left>; 2]),
    /// Answered after this silence.
    Slow(Duration),
    /// An error status: nothing is billed.
    Status(u16),
    /// Status 429, with this `retry-after`.
    Limited(Duration),
    /// The connection breaks before the head, though the reply is billed.
    Lost,
    /// The provider says nothing for hours, and bills the reply.
    Silent,
    /// An error event before the first content.
    ErrorEvent,
    /// The connection breaks after some of the tokens.
    Broken,
    /// The reply stops in the middle, and the connection stays open.
    Stuck,
}

#[derive(Deserialize)]
struct Asked {
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl Asked {
    fn max_output(&self) -> u64 {
        self.max_completion_tokens.or(self.max_tokens).unwrap()
    }

    /// What a rate limit counts.
    fn tokens(&self) -> u64 {
        let input = self.messages.iter().map(|of| of.content.len() as u64);
        input.sum::<u64>() / 4 + self.max_output()
    }
}

/// A server buffers what its caller does not read yet, so that a slow caller does not slow the model down.
type Chunks = mpsc::UnboundedSender<io::Result<Bytes>>;

/// A reply's body: chunks as they are written. An error breaks the connection.
struct Written(mpsc::UnboundedReceiver<io::Result<Bytes>>);

impl Body for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let chunk = self.0.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

/// The tokens of a reply.
#[derive(Clone, Copy)]
struct Tokens {
    input: u64,
    output: u64,
}

/// A reply of which nothing is sent. When the caller has left, what was written by then is billed.
struct SilentWriter {
    provider: Provider,
    tokens: Tokens,
    start: Instant,
}

impl Drop for SilentWriter {
    fn drop(&mut self) {
        let written =
            self.start.elapsed().as_millis() as u64 * self.provider.0.behaviour.speed / 1000;
        self.provider.bill(Tokens {
            output: self.tokens.output.min(written),
            ..self.tokens
        });
    }
}

impl Provider {
    /// Creates a provider that fails at random.
    pub(crate) fn new(behaviour: Behaviour, price: Price, random: Random) -> Self {
        let dice = random.clone();
        Self::scripted(behaviour, price, random, move || {
            random_fate(behaviour.faults, &dice)
        })
    }

    /// Creates a provider that treats each request as `fates` says.
    pub(crate) fn scripted(
        behaviour: Behaviour,
        price: Price,
        random: Random,
        fates: impl Fn() -> Fate + Send + Sync + 'static,
    ) -> Self {
        Self::with(behaviour, price, random, Box::new(move |_| fates()))
    }

    /// Creates a provider that answers each request unless it exceeds a limit, of which its responses tell.
    pub(crate) fn metered(
        behaviour: Behaviour,
        price: Price,
        random: Random,
        meter: Meter,
    ) -> Self {
        let meter = Mutex::new(meter);
        let fates = move |tokens| meter.lock().unwrap().fate(tokens);
        Self::with(behaviour, price, random, Box::new(fates))
    }

    fn with(behaviour: Behaviour, price: Price, random: Random, fates: Fates) -> Self {
        Self(Arc::new(Inner {
            behaviour,
            fates,
            arrivals: Mutex::default(),
            price,
            random,
            billed: AtomicU64::new(0),
            writing: AtomicUsize::new(0),
        }))
    }

    /// Returns what it has billed.
    pub(crate) fn billed(&self) -> Usd {
        Usd::from_pico(self.0.billed.load(Relaxed))
    }

    /// Returns the requests that have arrived, in their order.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.0.arrivals.lock().unwrap().clone()
    }

    fn decided(&self, arrival: usize) {
        let mut arrivals = self.0.arrivals.lock().unwrap();
        arrivals[arrival].decided = Some(Instant::now());
    }

    /// Returns the number of replies that it is writing, with or without a reader.
    pub(crate) fn writing(&self) -> usize {
        self.0.writing.load(Relaxed)
    }

    /// Serves connections until the network is gone.
    pub(crate) async fn serve(self, mut connections: mpsc::UnboundedReceiver<DuplexStream>) {
        while let Some(io) = connections.recv().await {
            let provider = self.clone();
            tokio::spawn(async move { provider.serve_connection(io).await });
        }
    }

    async fn serve_connection(self, io: DuplexStream) {
        let behaviour = self.0.behaviour;
        // Servers close idle connections when they like, also just as a request arrives.
        let lives = match self.0.random.chance(behaviour.faults) {
            true => self.0.random.millis(1..60_000),
            false => Duration::from_secs(86_400),
        };
        let provider = self.clone();
        let answer = service_fn(move |request| provider.clone().answer(request));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), answer);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = sleep(lives) => connection.as_mut().graceful_shutdown(),
        }
        // A connection that breaks is what is being simulated.
        let _ = connection.await;
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Written>, io::Error> {
        let key = request.headers().get("authorization");
        let key = key.and_then(|of| of.to_str().ok()?.strip_prefix("Bearer ")?.parse().ok());
        let body = match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Err(io::ErrorKind::ConnectionReset.into()),
        };
        let asked: Asked = serde_json::from_slice(&body).unwrap();
        let tokens = Tokens {
            input: body.len() as u64 / 4,
            output: self
                .0
                .random
                .with(|random| random.u64(1..=asked.max_output())),
        };
        let fate = (self.0.fates)(asked.tokens());
        let arrival = {
            let mut arrivals = self.0.arrivals.lock().unwrap();
            arrivals.push(Arrival {
                key,
                at: Instant::now(),
                fate,
                decided: None,
            });
            arrivals.len() - 1
        };
        let (chunks, written) = mpsc::unbounded_channel();
        let mut response = Response::new(Written(written));
        match fate {
            Fate::Limited(after) => {
                *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
                let after = after.as_millis().to_string().parse().unwrap();
                response.headers_mut().insert("retry-after-ms", after);
                self.decided(arrival);
                return Ok(response);
            }
            Fate::Status(status) => {
                *response.status_mut() = status.try_into().unwrap();
                drop(chunks);
                sleep(self.0.random.millis(0..50)).await;
                self.decided(arrival);
                return Ok(response);
            }
            Fate::Lost => {
                self.bill(tokens);
                self.decided(arrival);
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Fate::Silent if asked.stream && !self.0.behaviour.bills_after_disconnect => {
                let _writing = SilentWriter {
                    provider: self.clone(),
                    tokens,
                    start: Instant::now(),
                };
                sleep(Duration::from_secs(7200)).await;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Fate::Silent => {
                self.bill(tokens);
                sleep(Duration::from_secs(7200)).await;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            _ => {}
        }
        let kind = if asked.stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        response
            .headers_mut()
            .insert("content-type", kind.parse().unwrap());
        if let Fate::Metered(limits) = fate {
            report(limits, response.headers_mut());
        }
        let provider = self.clone();
        self.0.writing.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            match asked.stream {
                true => provider.stream(tokens, fate, arrival, chunks).await,
                false => provider.reply(tokens, fate, arrival, chunks).await,
            }
            provider.0.writing.fetch_sub(1, Relaxed);
        });
        Ok(response)
    }

    fn bill(&self, tokens: Tokens) {
        let price = &self.0.price;
        let billed = price.input.pico() * tokens.input + price.output.pico() * tokens.output;
        self.0.billed.fetch_add(billed, Relaxed);
    }

    /// Writes an unstreamed reply. It is billed as a whole, whether its caller is there or not.
    async fn reply(&self, tokens: Tokens, fate: Fate, arrival: usize, chunks: Chunks) {
        let takes = Duration::from_millis(tokens.output * 1000 / self.0.behaviour.speed);
        sleep(self.think(fate) + takes).await;
        self.bill(tokens);
        self.decided(arrival);
        let reply = format!(
            r#"{{"id":"c","object":"chat.completion","model":"simulated","choices":[{{"index":0,"message":{{"role":"assistant","content":"done"}},"finish_reason":"stop"}}],"usage":{}}}"#,
            usage(tokens)
        );
        let chunk = match fate {
            Fate::Broken | Fate::Stuck | Fate::ErrorEvent => {
                Err(io::ErrorKind::ConnectionReset.into())
            }
            _ => Ok(reply.into()),
        };
        // The caller may have left.
        let _ = chunks.send(chunk);
    }

    /// Writes a stream, and bills what it has written by the time that its caller has left, or all of it.
    async fn stream(&self, tokens: Tokens, fate: Fate, arrival: usize, chunks: Chunks) {
        const STEP: Duration = Duration::from_millis(100);
        let in_a_step = (self.0.behaviour.speed / 10).max(1);
        let ends_after = match fate {
            Fate::Broken | Fate::Stuck => self.0.random.with(|random| random.u64(0..tokens.output)),
            _ => tokens.output,
        };
        let _ = chunks.send(event(r#"{"role":"assistant"}"#, ""));
        tokio::select! {
            () = sleep(self.think(fate)) => {}
            () = chunks.closed(), if !self.0.behaviour.bills_after_disconnect => {}
        }
        self.decided(arrival);
        if let Fate::ErrorEvent = fate {
            self.bill(Tokens {
                output: 0,
                ..tokens
            });
            let error = r#"data: {"error":{"message":"overloaded","type":"server_error"}}"#;
            let _ = chunks.send(Ok(format!("{error}\n\n").into()));
            return;
        }
        let mut output = 0;
        while output < ends_after {
            if chunks.is_closed() && !self.0.behaviour.bills_after_disconnect {
                return self.bill(Tokens { output, ..tokens });
            }
            let words = in_a_step.min(ends_after - output);
            output += words;
            let text = "word ".repeat(usize::try_from(words).unwrap());
            let _ = chunks.send(event(&format!(r#"{{"content":"{text}"}}"#), ""));
            sleep(STEP).await;
        }
        match fate {
            Fate::Broken => {
                // A provider that stops when its caller has left stops when the connection breaks, too.
                self.bill(match self.0.behaviour.bills_after_disconnect {
                    true => tokens,
                    false => Tokens { output, ..tokens },
                });
                let _ = chunks.send(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Fate::Stuck => {
                self.bill(Tokens { output, ..tokens });
                chunks.closed().await;
            }
            _ => {
                self.bill(tokens);
                let _ = chunks.send(event("{}", r#","finish_reason":"stop""#));
                let end = format!(
                    "data: {{\"choices\":[],\"model\":\"simulated\",\"usage\":{}}}\n\ndata: [DONE]\n\n",
                    usage(tokens)
                );
                let _ = chunks.send(Ok(end.into()));
            }
        }
    }

    fn think(&self, fate: Fate) -> Duration {
        if let Fate::Slow(silence) = fate {
            return silence;
        }
        let most = self.0.behaviour.thinks.as_millis();
        self.0.random.millis(0..u64::try_from(most).unwrap() + 1)
    }
}

fn random_fate(faults: u32, random: &Random) -> Fate {
    if !random.chance(faults) {
        return Fate::Answered;
    }
    match random.with(|random| random.u32(0..100)) {
        0..40 => {
            Fate::Status(random.with(|random| random.choice([400, 429, 500, 503, 529]).unwrap()))
        }
        40..55 => Fate::Lost,
        55..60 => Fate::Silent,
        60..75 => Fate::ErrorEvent,
        75..90 => Fate::Broken,
        _ => Fate::Stuck,
    }
}

fn usage(tokens: Tokens) -> String {
    let Tokens { input, output } = tokens;
    format!(
        r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{}}}"#,
        input + output
    )
}

fn event(delta: &str, finish: &str) -> io::Result<Bytes> {
    Ok(format!("data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"simulated\",\"choices\":[{{\"index\":0,\"delta\":{delta}{finish}}}]}}\n\n").into())
}
