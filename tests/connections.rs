//! Runs the cases of `tests/vectors/connections/*.json`: calls to a server that answers with raw bytes and then, as each case
//! says, keeps, closes or resets the connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::expected::{difference, error_difference};
use serde::Deserialize;
use serde_json::{Value, json};
use warmline::{Client, Error, Provider, Reply, Request, RetryPolicy, StreamEvent};
use warmline_sim::{ScriptedServer, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    provider: Provider,
    request: Value,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    client: Options,
    /// The size of a text that is added to the request.
    #[serde(default)]
    more_text: usize,
    /// How many times the call is repeated with the reply as the assistant's turn.
    #[serde(default)]
    continued: usize,
    replies: Vec<Vec<Step>>,
    text: Option<String>,
    reply: Option<Value>,
    error: Option<Value>,
    attempts: usize,
    /// Parts of the last request's body, to the byte.
    #[serde(default)]
    sent: Vec<String>,
    /// What some JavaScript runtimes give instead, and why.
    #[serde(default)]
    elsewhere: BTreeMap<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Options {
    max_retries: u32,
    timeout_ms: Option<u64>,
}

impl Case {
    fn client(&self, server: &ScriptedServer) -> Client {
        let mut builder = Client::builder(self.provider)
            .api_key("test-key")
            .no_proxy()
            .base_url(format!("{}/v1", server.url()))
            .retry(RetryPolicy {
                max_retries: self.client.max_retries,
                base: Duration::ZERO,
                ..RetryPolicy::default()
            });
        if let Some(timeout) = self.client.timeout_ms {
            builder = builder.timeout(Duration::from_millis(timeout));
        }
        builder.build().unwrap()
    }

    fn request(&self) -> Request {
        let request: Request = serde_json::from_value(self.request.clone()).unwrap();
        match self.more_text {
            0 => request,
            size => request.user("word ".repeat(size / 5)),
        }
    }
}

/// The server's replies in writes of one byte each.
fn byte_by_byte(replies: &[Vec<Step>]) -> Vec<Vec<Step>> {
    let split = |step: &Step| match step {
        Step::Write(text) => text.chars().map(|c| Step::Write(c.into())).collect(),
        step => vec![step.clone()],
    };
    // A connection that is closed before the request has been read is reset, and what the kernel has not sent yet is lost.
    let reply = |steps: &Vec<Step>| match steps.first() {
        Some(Step::Early) => steps.clone(),
        _ => steps.iter().flat_map(split).collect(),
    };
    replies.iter().map(reply).collect()
}

/// Makes one call. Returns the text that was streamed, and the outcome.
async fn call(
    client: &Client,
    case: &Case,
    request: Request,
    server: &ScriptedServer,
) -> (String, Result<Reply, Error>) {
    if !case.stream {
        let outcome = client.chat(request).await;
        let text = outcome.as_ref().map(Reply::text).unwrap_or_default();
        return (text, outcome);
    }
    let mut stream = client.stream(request);
    let (mut text, mut outcome) = (String::new(), None);
    while let Some(event) = stream.next().await {
        match event {
            Ok(StreamEvent::Text { text: piece }) => {
                text.push_str(&piece);
                server.release();
            }
            Ok(StreamEvent::Done { reply }) => outcome = Some(Ok(*reply)),
            Ok(_) => {}
            Err(error) => outcome = Some(Err(error)),
        }
    }
    (
        text,
        outcome.expect("a stream ends with a reply or an error"),
    )
}

async fn run(case: &Case, replies: Vec<Vec<Step>>) -> Option<String> {
    let server = ScriptedServer::start(replies).await.unwrap();
    let client = case.client(&server);
    let mut request = case.request();
    let (mut text, mut outcome) = call(&client, case, request.clone(), &server).await;
    for _ in 0..case.continued {
        match outcome {
            Ok(reply) => request = request.message(reply.into_message()),
            Err(error) => return Some(format!("failed: {error}")),
        }
        (text, outcome) = call(&client, case, request.clone(), &server).await;
    }
    check(case, &text, &outcome, &server)
}

fn check(
    case: &Case,
    text: &str,
    outcome: &Result<Reply, Error>,
    server: &ScriptedServer,
) -> Option<String> {
    let different = match (&case.error, outcome) {
        (Some(error), outcome) => error_difference(error, outcome.as_ref().err()),
        (None, Err(error)) => Some(format!("failed: {error}")),
        (None, Ok(reply)) => {
            let wanted = case.reply.as_ref().unwrap_or(&Value::Null);
            difference(wanted, &json!(reply), "reply")
        }
    };
    let attempts = match outcome {
        Ok(reply) => reply.attempts().len(),
        Err(error) => error.attempts().len(),
    };
    let requests = server.requests();
    let last = requests.last().map(|request| request.body.as_str());
    let unsent = |part: &&String| !last.is_some_and(|body| body.contains(part.as_str()));
    let calls = 1 + case.continued;
    let checks = [
        (
            case.text.as_ref().is_some_and(|t| t != text),
            format!("the text is {text:?}"),
        ),
        (
            attempts != case.attempts,
            format!("there were {attempts} attempts: {outcome:?}"),
        ),
        (
            requests.len() != attempts + calls - 1,
            format!("{} requests arrived", requests.len()),
        ),
    ];
    different
        .or_else(|| {
            checks
                .into_iter()
                .find_map(|(failed, says)| failed.then_some(says))
        })
        .or_else(|| {
            case.sent
                .iter()
                .find(unsent)
                .map(|part| format!("not sent: {part}\nbut {last:?}"))
        })
}

#[tokio::test]
async fn every_reply_on_a_connection_is_handled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/connections");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut held, mut failures) = (0, Vec::new());
    for path in files {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for case in cases {
            for (runtime, instead) in &case.elsewhere {
                assert!(instead["because"].is_string(), "{}: {runtime}", case.name);
            }
            let whole = run(&case, case.replies.clone()).await;
            match whole.or(run(&case, byte_by_byte(&case.replies)).await) {
                Some(difference) => failures.push(format!("{file}: {}: {difference}", case.name)),
                None => held += 1,
            }
        }
    }
    let all = held + failures.len();
    assert!(
        failures.is_empty(),
        "{} of {all} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(held >= 30, "only {held} cases were found");
}
