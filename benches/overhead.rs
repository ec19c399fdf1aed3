//! The CPU time of a call, compared to a minimal client on hyper (the floor) and to plain reqwest.
//!
//! `cargo bench --bench overhead` prints a table. The simulated provider runs in a separate process, so that this process's
//! CPU time is the client's. The clients' rounds alternate, and each ratio is the median of the rounds' ratios, so that noise
//! affects all clients alike.
//!
//! For a profiler, the binary makes the calls of one client alone: `overhead (floor|reqwest|warmline) (unary|deltas|packed)
//! CALLS`. The instructions that callgrind counts do not depend on the machine's load.
#![allow(unreachable_pub)]

mod common;

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use common::median;
use cpu_time::ProcessTime;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client as HyperClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use warmline::{Client, Limits, Provider, Request};
use warmline_sim::{Config, Sim};

const IN_FLIGHT: usize = 64;
const STREAMS: usize = 8;
const DELTAS: usize = 400;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The only fields of a reply that the floor and plain reqwest parse.
#[derive(Deserialize)]
#[allow(dead_code)]
struct Completion<'a> {
    id: &'a str,
    model: &'a str,
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Choice<'a> {
    #[serde(borrow, alias = "delta")]
    message: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

#[derive(Clone)]
struct Clients {
    url: String,
    hyper: HyperClient<HttpConnector, Full<Bytes>>,
    reqwest: reqwest::Client,
    warmline: Client,
}

impl Clients {
    fn new(base: &str) -> Result<Self, Failure> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let limits = Limits {
            max_connections: IN_FLIGHT,
            max_keepalive_connections: IN_FLIGHT,
            ..Limits::default()
        };
        Ok(Self {
            url: format!("{base}/chat/completions"),
            hyper: HyperClient::builder(TokioExecutor::new()).build(connector),
            reqwest: reqwest::Client::builder().no_proxy().build()?,
            warmline: Client::builder(Provider::OpenAi)
                .api_key("key")
                .base_url(base)
                .no_proxy()
                .limits(limits)
                .build()?,
        })
    }

    fn body(model: &str, stream: bool) -> Bytes {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": PROMPT}]});
        if stream {
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
        }
        body.to_string().into()
    }

    fn hyper_request(&self, body: Bytes) -> Result<http::Request<Full<Bytes>>, http::Error> {
        http::Request::post(&self.url)
            .header("content-type", "application/json")
            .header("authorization", "Bearer key")
            .body(Full::new(body))
    }

    fn reqwest_request(&self, body: Bytes) -> reqwest::RequestBuilder {
        let request = self
            .reqwest
            .post(&self.url)
            .header("content-type", "application/json");
        request.header("authorization", "Bearer key").body(body)
    }

    async fn floor_unary(self) -> Result<usize, Failure> {
        let request = self.hyper_request(Self::body(UNARY, false))?;
        let body = self
            .hyper
            .request(request)
            .await?
            .into_body()
            .collect()
            .await?
            .to_bytes();
        Ok(text_len(&serde_json::from_slice(&body)?))
    }

    async fn reqwest_unary(self) -> Result<usize, Failure> {
        let body = self
            .reqwest_request(Self::body(UNARY, false))
            .send()
            .await?
            .bytes()
            .await?;
        Ok(text_len(&serde_json::from_slice(&body)?))
    }

    async fn warmline_unary(self) -> Result<usize, Failure> {
        let reply = self
            .warmline
            .chat(Request::new().user(PROMPT).model(UNARY))
            .await?;
        Ok(reply.text().len())
    }

    async fn floor_stream(self, model: String) -> Result<usize, Failure> {
        let request = self.hyper_request(Self::body(&model, true))?;
        let mut body = self.hyper.request(request).await?.into_body();
        let mut events = Events::default();
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                events.feed(&bytes)?;
            }
        }
        Ok(events.text.len())
    }

    async fn reqwest_stream(self, model: String) -> Result<usize, Failure> {
        let mut body = self
            .reqwest_request(Self::body(&model, true))
            .send()
            .await?
            .bytes_stream();
        let mut events = Events::default();
        while let Some(bytes) = body.next().await {
            events.feed(&bytes?)?;
        }
        Ok(events.text.len())
    }

    async fn warmline_stream(self, model: String) -> Result<usize, Failure> {
        let mut stream = self
            .warmline
            .stream(Request::new().user(PROMPT).model(model));
        let mut length = 0;
        while let Some(event) = stream.next().await {
            if let warmline::StreamEvent::Text { text } = event? {
                length += text.len();
            }
        }
        Ok(length)
    }
}

fn text_len(completion: &Completion<'_>) -> usize {
    let delta = completion
        .choices
        .first()
        .and_then(|choice| choice.message.as_ref());
    delta
        .and_then(|delta| delta.content.as_ref())
        .map_or(0, |text| text.len())
}

/// A minimal reader of event streams: finds the end of each event, parses it and keeps the text.
#[derive(Default)]
struct Events {
    rest: Vec<u8>,
    text: String,
}

impl Events {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.rest.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(end) = memchr::memmem::find(&self.rest[start..], b"\n\n") {
            let event = &self.rest[start..start + end];
            start += end + 2;
            let Some(data) = event.strip_prefix(b"data: ") else {
                continue;
            };
            if data == b"[DONE]" {
                break;
            }
            let chunk: Completion<'_> = serde_json::from_slice(data)?;
            for choice in chunk.choices {
                // Each piece is a separate string, as in a client that returns events.
                let piece = choice
                    .message
                    .and_then(|delta| delta.content)
                    .map(Cow::into_owned);
                self.text
                    .push_str(&std::hint::black_box(piece).unwrap_or_default());
            }
        }
        self.rest.drain(..start);
        Ok(())
    }
}

const PROMPT: &str = "Why are warm connections faster than cold ones?";
const UNARY: &str = "bench?tokens=40";

/// Returns the CPU time per call of `calls` calls, with `concurrency` in flight.
async fn measure<F>(
    calls: usize,
    concurrency: usize,
    call: impl Fn() -> F,
) -> Result<Duration, Failure>
where
    F: Future<Output = Result<usize, Failure>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let start = ProcessTime::now();
    let mut started = 0;
    let mut length = None;
    loop {
        while running.len() < concurrency && started < calls {
            running.spawn(call());
            started += 1;
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        let done = done??;
        assert!(
            done > 0 && *length.get_or_insert(done) == done,
            "a reply of {done} bytes"
        );
    }
    Ok(start.elapsed() / u32::try_from(calls)?)
}

/// Prints the median time of each client, and the medians of its ratios to the first two.
fn report(title: &str, names: [&str; 3], rounds: &[[Duration; 3]]) {
    println!("\n{title}");
    for (i, name) in names.iter().enumerate() {
        let times = rounds
            .iter()
            .map(|round| round[i].as_secs_f64() * 1e6)
            .collect();
        let ratio = |to: usize| {
            median(
                rounds
                    .iter()
                    .map(|r| r[i].as_secs_f64() / r[to].as_secs_f64())
                    .collect(),
            )
        };
        println!(
            "  {name:<10} {:>8.1} µs CPU   {:.3} × {}   {:.3} × {}",
            median(times),
            ratio(0),
            names[0],
            ratio(1),
            names[1]
        );
    }
}

/// The model whose streams have each delta in its own packet, or several deltas per packet.
fn stream_model(kind: &str) -> String {
    let flush = if kind == "deltas" { "&flush" } else { "" };
    format!("bench?tokens={DELTAS}{flush}")
}

/// Makes the calls of one client.
async fn run_one(base: &str, client: &str, kind: &str, calls: usize) -> Result<(), Failure> {
    let clients = Clients::new(base)?;
    let clone = || clients.clone();
    let model = || stream_model(kind);
    match (client, kind) {
        ("floor", "unary") => measure(calls, IN_FLIGHT, || clone().floor_unary()).await?,
        ("reqwest", "unary") => measure(calls, IN_FLIGHT, || clone().reqwest_unary()).await?,
        ("warmline", "unary") => measure(calls, IN_FLIGHT, || clone().warmline_unary()).await?,
        ("floor", _) => measure(calls, STREAMS, || clone().floor_stream(model())).await?,
        ("reqwest", _) => measure(calls, STREAMS, || clone().reqwest_stream(model())).await?,
        _ => measure(calls, STREAMS, || clone().warmline_stream(model())).await?,
    };
    Ok(())
}

async fn run(base: &str) -> Result<(), Failure> {
    let clients = Clients::new(base)?;
    let names = ["floor", "reqwest", "warmline"];
    let rounds = 31;
    // The first round warms connections and caches, and is left out of the report.
    let mut unary = Vec::new();
    for _ in 0..=rounds {
        let calls = 40 * IN_FLIGHT;
        unary.push([
            measure(calls, IN_FLIGHT, || clients.clone().floor_unary()).await?,
            measure(calls, IN_FLIGHT, || clients.clone().reqwest_unary()).await?,
            measure(calls, IN_FLIGHT, || clients.clone().warmline_unary()).await?,
        ]);
    }
    report(
        &format!("unary, {IN_FLIGHT} in flight, per call"),
        names,
        &unary[1..],
    );
    for (title, kind) in [
        ("each delta in its own packet", "deltas"),
        ("several deltas per packet", "packed"),
    ] {
        let model = stream_model(kind);
        let mut streams = Vec::new();
        for _ in 0..=rounds {
            streams.push([
                measure(40, STREAMS, || clients.clone().floor_stream(model.clone())).await?,
                measure(40, STREAMS, || {
                    clients.clone().reqwest_stream(model.clone())
                })
                .await?,
                measure(40, STREAMS, || {
                    clients.clone().warmline_stream(model.clone())
                })
                .await?,
            ]);
        }
        report(
            &format!("streaming {DELTAS} deltas, {title}, per stream"),
            names,
            &streams[1..],
        );
    }
    Ok(())
}

/// Runs the simulator: prints its URL, and serves until the parent process closes stdin.
async fn serve() -> Result<(), Failure> {
    let sim = Sim::start(Config::default()).await?;
    println!("{}", sim.openai_url());
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await?;
    Ok(())
}

fn start_server() -> Result<(Child, String), Failure> {
    let mut server = Command::new(std::env::current_exe()?)
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut base = String::new();
    if let Some(stdout) = server.stdout.take() {
        BufReader::new(stdout).read_line(&mut base)?;
    }
    Ok((server, base.trim().to_owned()))
}

fn main() -> Result<(), Failure> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--serve") {
        return runtime.block_on(serve());
    }
    let (mut server, base) = start_server()?;
    let result = match arguments.as_slice() {
        [client, kind, calls, ..] => runtime.block_on(run_one(&base, client, kind, calls.parse()?)),
        _ => runtime.block_on(run(&base)),
    };
    server.kill()?;
    server.wait()?;
    result
}
