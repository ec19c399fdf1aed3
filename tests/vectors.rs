//! Runs the cases of `tests/vectors/*.json` through the public API, against a server that answers as each case specifies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::expected::{difference, error_difference};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use warmline::{
    Client, ClientBuilder, DialectName, Error, Provider, Request, RetryPolicy, StreamEvent,
};

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    provider: Provider,
    #[serde(default)]
    client: Options,
    #[serde(default)]
    call: Called,
    #[serde(default)]
    request: Value,
    #[serde(default)]
    stream: bool,
    sent: Option<Sent>,
    response: Option<Response>,
    events: Option<Value>,
    reply: Option<Value>,
    error: Option<Value>,
    cost: Option<Value>,
    models: Option<Value>,
    count: Option<Value>,
}

/// The method that is called.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
enum Called {
    #[default]
    Chat,
    Models,
    CountTokens,
}

/// The options of the client, if they are not the usual ones. `SERVER` stands for the server's address.
#[derive(Deserialize, Clone, Default, PartialEq)]
#[serde(deny_unknown_fields)]
struct Options {
    dialect: Option<DialectName>,
    base_url: Option<String>,
    bearer_token: Option<String>,
    resource: Option<String>,
    region: Option<String>,
    project: Option<String>,
    deployment: Option<String>,
    api_version: Option<String>,
}

impl Options {
    /// A client's builder without a base URL.
    fn builder(&self, provider: Provider) -> ClientBuilder {
        let mut builder = Client::builder(provider).api_key("test-key").no_proxy();
        type Set = fn(ClientBuilder, &str) -> ClientBuilder;
        let settings: [(&Option<String>, Set); 6] = [
            (&self.bearer_token, |builder, value| {
                builder.bearer_token(value)
            }),
            (&self.resource, |builder, value| builder.resource(value)),
            (&self.region, |builder, value| builder.region(value)),
            (&self.project, |builder, value| builder.project(value)),
            (&self.deployment, |builder, value| builder.deployment(value)),
            (&self.api_version, |builder, value| {
                builder.api_version(value)
            }),
        ];
        for (value, set) in settings {
            if let Some(value) = value {
                builder = set(builder, value);
            }
        }
        if let Some(dialect) = self.dialect {
            builder = builder.dialect(dialect);
        }
        builder.retry(RetryPolicy::never())
    }
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Sent {
    /// The whole address, of a client without a base URL.
    url: Option<String>,
    #[serde(default = "post")]
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    /// Headers that must not be there.
    #[serde(default)]
    without_headers: Vec<String>,
}

fn post() -> String {
    "post".to_owned()
}

#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields)]
struct Response {
    status: u16,
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    chunks: Vec<String>,
    base64: Option<String>,
}

impl Response {
    fn chunks(&self) -> Vec<Vec<u8>> {
        use base64::Engine as _;
        if let Some(bytes) = &self.base64 {
            return vec![base64::prelude::BASE64_STANDARD.decode(bytes).unwrap()];
        }
        match &self.body {
            Value::Null => self
                .chunks
                .iter()
                .map(|chunk| chunk.as_bytes().to_vec())
                .collect(),
            Value::String(text) => vec![text.clone().into_bytes()],
            body => vec![body.to_string().into_bytes()],
        }
    }
}

/// The next response of the server, and the head and body of the last request.
#[derive(Default)]
struct Exchange {
    response: Response,
    chunks: Vec<Vec<u8>>,
    arrived: Option<(String, Value)>,
}

/// A scripted server, and the clients that call it.
struct Fixture {
    exchange: Arc<Mutex<Exchange>>,
    server: String,
    /// Those that were made, since each reads the system's certificates.
    clients: Mutex<Vec<(Provider, Options, Client)>>,
}

impl Fixture {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let exchange = Arc::new(Mutex::new(Exchange::default()));
        let script = exchange.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                answer(socket, &script).await;
            }
        });
        Self {
            exchange,
            server,
            clients: Mutex::default(),
        }
    }

    fn client(&self, case: &Case) -> Result<Client, Error> {
        let mut clients = self.clients.lock().unwrap();
        let known = clients
            .iter()
            .find(|(provider, options, _)| (provider, options) == (&case.provider, &case.client));
        if let Some((_, _, client)) = known {
            return Ok(client.clone());
        }
        let base_url = case.client.base_url.as_deref().unwrap_or("SERVER/v1");
        let base_url = base_url.replace("SERVER", &self.server);
        let builder = case.client.builder(case.provider);
        let client = builder.base_url(base_url).build()?;
        clients.push((case.provider, case.client.clone(), client.clone()));
        Ok(client)
    }
}

/// Answers one request, with the body in the given chunks.
async fn answer(mut socket: TcpStream, exchange: &Mutex<Exchange>) {
    socket.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).await {
            Ok(n @ 1..) => bytes.extend_from_slice(&buffer[..n]),
            _ => return,
        }
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            bytes.drain(..end + 4);
            break (head, length);
        }
    };
    while bytes.len() < length {
        let mut buffer = [0; 4096];
        let n = socket.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..n]);
    }
    let (response, chunks) = {
        let mut exchange = exchange.lock().unwrap();
        let body = match bytes.as_slice() {
            [] => Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        };
        exchange.arrived = Some((head, body));
        (exchange.response.clone(), exchange.chunks.clone())
    };
    let mut head = format!(
        "HTTP/1.1 {} X\r\nconnection: close\r\ntransfer-encoding: chunked\r\n",
        response.status
    );
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    socket
        .write_all(format!("{head}\r\n").as_bytes())
        .await
        .unwrap();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
        // The client may have closed the connection already.
        if socket.write_all(&framed).await.is_err() {
            return;
        }
    }
    let _ = socket.write_all(b"0\r\n\r\n").await;
    let _ = socket.read(&mut [0; 16]).await;
}

/// The outcome of a case, in JSON.
struct Outcome {
    events: Vec<Value>,
    reply: Option<Value>,
    cost: Value,
    error: Option<Error>,
    arrived: Option<(String, Value)>,
    models: Value,
    count: Value,
}

async fn run(fixture: &Fixture, case: &Case, response: Response, chunks: Vec<Vec<u8>>) -> Outcome {
    *fixture.exchange.lock().unwrap() = Exchange {
        response,
        chunks,
        arrived: None,
    };
    let mut outcome = Outcome {
        events: Vec::new(),
        reply: None,
        cost: Value::Null,
        error: None,
        arrived: None,
        models: Value::Null,
        count: Value::Null,
    };
    let client = match fixture.client(case) {
        Ok(client) => client,
        Err(error) => {
            outcome.error = Some(error);
            return outcome;
        }
    };
    let request = || {
        let request = case.request.to_string().replace("SERVER", &fixture.server);
        serde_json::from_str::<Request>(&request).unwrap()
    };
    match case.call {
        Called::Chat => chat(&client, request(), case.stream, &mut outcome).await,
        Called::Models => match client.models().await {
            Ok(models) => outcome.models = json!(models),
            Err(error) => outcome.error = Some(error),
        },
        Called::CountTokens => match client.count_tokens(request()).await {
            Ok(count) => outcome.count = json!(count),
            Err(error) => outcome.error = Some(error),
        },
    }
    outcome.arrived = fixture.exchange.lock().unwrap().arrived.take();
    outcome
}

async fn chat(client: &Client, request: Request, stream: bool, outcome: &mut Outcome) {
    if stream {
        let mut stream = client.stream(request);
        while let Some(event) = stream.next().await {
            match event {
                Ok(StreamEvent::Done { reply }) if reply.cost.is_some() => {
                    outcome.cost = json!(reply.cost);
                    let event = StreamEvent::Done { reply };
                    outcome.events.push(serde_json::to_value(event).unwrap());
                }
                Ok(event) => outcome.events.push(serde_json::to_value(event).unwrap()),
                Err(error) => outcome.error = Some(error),
            }
        }
        outcome.reply = outcome.events.last().map(|event| event["reply"].clone());
    } else {
        match client.chat(request).await {
            Ok(reply) => {
                outcome.cost = json!(reply.cost);
                outcome.reply = Some(serde_json::to_value(reply).unwrap());
            }
            Err(error) => outcome.error = Some(error),
        }
    }
}

fn check(case: &Case, outcome: &Outcome) -> Option<String> {
    if let Some(sent) = &case.sent {
        let Some((head, body)) = &outcome.arrived else {
            return Some(format!("nothing arrived: {:?}", outcome.error));
        };
        if *body != sent.body {
            return Some(format!("the body is\n  {body}\nand not\n  {}", sent.body));
        }
        let mut lines = vec![format!("{} {} http/1.1", sent.method, sent.path)];
        lines.extend(
            sent.headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}").to_lowercase()),
        );
        if let Some(line) = lines.iter().find(|line| !head.lines().any(|l| l == *line)) {
            return Some(format!("the head has no {line:?}:\n{head}"));
        }
        let prefixes = sent.without_headers.iter().map(|name| format!("{name}: "));
        let unwanted = |prefix: &String| head.lines().any(|line| line.starts_with(prefix));
        if let Some(prefix) = prefixes.clone().find(unwanted) {
            return Some(format!("the head has {prefix:?}:\n{head}"));
        }
        // No server has the vendor's own address, so only what the client says of it is checked.
        if let Some(url) = &sent.url {
            let client = case.client.builder(case.provider).build().unwrap();
            let shown = format!("{client:?}");
            if !shown.contains(&format!("\"{url}\"")) {
                return Some(format!("the client is {shown} and not at {url}"));
            }
        }
        return None;
    }
    if case.error.is_none()
        && let Some(error) = &outcome.error
    {
        return Some(format!("failed: {error}"));
    }
    if let Some(expected) = &case.error
        && let Some(difference) = error_difference(expected, outcome.error.as_ref())
    {
        return Some(difference);
    }
    let events = case
        .events
        .as_ref()
        .and_then(|expected| difference(expected, &json!(outcome.events), "events"));
    let reply = case
        .reply
        .as_ref()
        .and_then(|expected| difference(expected, &json!(outcome.reply), "reply"));
    let cost = case
        .cost
        .as_ref()
        .and_then(|expected| difference(expected, &outcome.cost, "cost"));
    let list = [
        ("models", &case.models, &outcome.models),
        ("count", &case.count, &outcome.count),
    ];
    let listed = list.into_iter().find_map(|(name, expected, actual)| {
        let expected = expected.as_ref()?;
        difference(expected, actual, name)
    });
    events.or(reply).or(cost).or(listed)
}

#[tokio::test]
async fn every_vector_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    let fixture = Fixture::new().await;
    let (mut held, mut failures) = (0, Vec::new());
    for path in files {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for case in cases {
            // A case about the request alone ends with a response that is invalid in both dialects.
            let nothing = Response {
                status: 400,
                ..Response::default()
            };
            let response = case.response.clone().unwrap_or(nothing);
            let chunks = response.chunks();
            let whole = chunks.concat();
            let mut cuts = vec![chunks];
            if case.stream && case.response.is_some() {
                cuts.push(whole.iter().map(|byte| vec![*byte]).collect());
                cuts.push(vec![whole]);
            }
            let mut failed = None;
            for chunks in cuts {
                let outcome = run(&fixture, &case, response.clone(), chunks).await;
                failed = failed.or(check(&case, &outcome));
            }
            match failed {
                Some(difference) => failures.push(format!("{file}: {}: {difference}", case.name)),
                None => held += 1,
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        held + failures.len(),
        failures.join("\n")
    );
    assert!(held >= 60, "only {held} cases were found");
}
