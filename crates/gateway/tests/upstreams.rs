//! What reaches a caller, and what it costs, for the replies that providers really send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use warmline::{Client, CostTracker, Provider, RetryPolicy};
use warmline_gateway::Gateway;
use warmline_sim::{ScriptedServer, Step};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const ROLE: &str = r#"data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const TEXT: &str =
    r#"data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}"#;
const STOP: &str = r#"data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"data: {"id":"c1","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30}}"#;
const DONE: &str = "data: [DONE]";

/// What 20 tokens of input and 10 of output cost.
const COST: &str = "0.00012";
const COST_OF_THREE: &str = "0.00036";

fn write(text: impl Into<String>) -> Step {
    Step::Write(text.into())
}

/// Events with their ends.
fn events(events: &[&str], end: &str) -> Vec<String> {
    events
        .iter()
        .map(|event| format!("{}{end}{end}", event.replace('\n', end)))
        .collect()
}

/// A streamed reply with a body in these pieces.
fn streamed(pieces: impl IntoIterator<Item = String>) -> Vec<Step> {
    let pieces = pieces.into_iter().map(Step::Write);
    [write(STREAM)]
        .into_iter()
        .chain(pieces)
        .chain([Step::Close])
        .collect()
}

/// A provider that replies so, and the gateway before it.
struct Fixture {
    server: ScriptedServer,
    app: Router,
}

impl Fixture {
    async fn new(provider: Provider, replies: Vec<Vec<Step>>) -> Self {
        let server = ScriptedServer::start(replies).await.unwrap();
        let base_url = match provider {
            Provider::Anthropic => server.url().to_owned(),
            _ => format!("{}/v1", server.url()),
        };
        let retry = RetryPolicy {
            base: std::time::Duration::ZERO,
            ..RetryPolicy::default()
        };
        let client = Client::builder(provider)
            .api_key("test-key")
            .base_url(base_url)
            .no_proxy()
            .retry(retry)
            .cost_tracker(CostTracker::new());
        let gateway = Gateway::builder().client(client.build().unwrap());
        Self {
            server,
            app: gateway.build().unwrap().router(),
        }
    }

    async fn openai(replies: Vec<Vec<Step>>) -> Self {
        Self::new(Provider::OpenAi, replies).await
    }

    async fn post(&self, path: &str, body: Value) -> Response {
        let request = Request::post(path).body(Body::from(body.to_string()));
        self.app.clone().oneshot(request.unwrap()).await.unwrap()
    }

    /// Asks for a stream in OpenAI's format, with more fields in the request.
    async fn ask(&self, more: Value) -> Response {
        let mut body = json!({"model": "gpt-4.1", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
        let more = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        self.post("/v1/chat/completions", body).await
    }

    /// Asks for a stream in Anthropic's format.
    async fn ask_anthropic(&self) -> Response {
        let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 50, "stream": true,
            "messages": [{"role": "user", "content": "hi"}]});
        self.post("/v1/messages", body).await
    }

    async fn spend(&self) -> Value {
        let request = Request::get("/v1/llm/stats?samples=0").header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        let stats = text(self.app.clone().oneshot(request).await.unwrap()).await;
        serde_json::from_str::<Value>(&stats).unwrap()["spend"]["total"].clone()
    }
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The ways in which a body can arrive.
fn cuts(pieces: &[String]) -> [Vec<String>; 3] {
    let whole = pieces.concat();
    let characters = whole.chars().map(String::from).collect();
    [vec![whole], pieces.to_vec(), characters]
}

#[tokio::test]
async fn a_stream_is_forwarded_without_the_usage_that_its_caller_did_not_request() {
    const AZURE: &str = r#"data: {"id":"","choices":[],"model":"","prompt_filter_results":[]}"#;
    const OFFSETS: &str = r#"data: {"choices":[{"finish_reason":null,"index":0,"content_filter_offsets":{"check_offset":1}}]}"#;
    const SPACED: &str = r#"data: {"id": "c1", "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 10}}"#;
    const IN_CHOICE: &str = r#"data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":20,"completion_tokens":10}}]}"#;
    const BESIDE_CHOICE: &str = r#"data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":10}}"#;
    const X_GROQ: &str = r#"data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r1","usage":{"prompt_tokens":20,"completion_tokens":10}}}"#;
    const WITH_COST: &str = r#"data: {"id":"c1","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":10},"citations":["u"]}"#;
    // The events of the provider, and how many of them, from the left, are the usage that is left out.
    let cases: &[(&str, &[&str], Option<usize>)] = &[
        (
            "usage of its own",
            &[ROLE, TEXT, STOP, USAGE, DONE],
            Some(3),
        ),
        ("usage with spaces", &[TEXT, STOP, SPACED, DONE], Some(2)),
        ("usage beside a choice", &[TEXT, BESIDE_CHOICE, DONE], None),
        (
            "usage beside a choice and of its own",
            &[TEXT, BESIDE_CHOICE, USAGE, DONE],
            Some(2),
        ),
        ("usage in a choice", &[TEXT, IN_CHOICE, DONE], None),
        ("usage in x_groq", &[TEXT, X_GROQ, DONE], None),
        (
            "usage beside an unknown field",
            &[TEXT, STOP, WITH_COST, DONE],
            None,
        ),
        (
            "Azure's filter results",
            &[AZURE, TEXT, STOP, OFFSETS, USAGE, DONE],
            Some(4),
        ),
        (
            "events without data, and comments",
            &["data: ", TEXT, ": ping", "data:", STOP, USAGE, DONE],
            Some(5),
        ),
        (
            "ids, a name and a retry time",
            &[
                "retry: 3000",
                "id: 1\nevent: message\ndata: {}",
                TEXT,
                STOP,
                USAGE,
                DONE,
            ],
            Some(4),
        ),
        ("no [DONE]", &[TEXT, STOP, USAGE], Some(2)),
        ("a second [DONE]", &[TEXT, STOP, USAGE, DONE, DONE], Some(2)),
        (
            "data without a space",
            &[
                "data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}",
                STOP,
                "data:{\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10}}",
                "data:[DONE]",
            ],
            Some(2),
        ),
    ];
    for (name, sent, hidden) in cases {
        for end in ["\n", "\r\n", "\r"] {
            let pieces = events(sent, end);
            let mut kept = pieces.clone();
            if let Some(hidden) = *hidden {
                kept.remove(hidden);
            }
            let fixture = Fixture::openai(cuts(&pieces).map(streamed).to_vec()).await;
            for _ in cuts(&pieces) {
                let response = fixture.ask(json!({})).await;
                assert_eq!(response.headers()["content-type"], "text/event-stream");
                assert_eq!(text(response).await, kept.concat(), "{name}, with {end:?}");
            }
            assert_eq!(fixture.spend().await, COST_OF_THREE, "{name}, with {end:?}");
        }
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_usage_that_is_cut_before_its_last_line_feed() {
    let pieces = events(&[TEXT, STOP, USAGE, DONE], "\r\n");
    let before = pieces[..3].concat();
    let before = before.strip_suffix('\n').unwrap();
    let reply = vec![
        write(STREAM),
        write(before),
        Step::Wait,
        write(format!("\n{}", pieces[3])),
        Step::Close,
    ];
    let fixture = Fixture::openai(vec![reply]).await;
    let mut body = fixture.ask(json!({})).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    fixture.server.release();
    let rest = body.collect().await.unwrap().to_bytes();
    let expected = events(&[TEXT, STOP, DONE], "\r\n").concat();
    assert_eq!([first, rest].concat(), expected.as_bytes());
}

#[tokio::test]
async fn the_head_of_a_silent_stream_is_passed_on_and_failures_are_then_events() {
    for silent in [STREAM.to_owned(), format!("{STREAM}: working\n\n")] {
        let reply = vec![write(&*silent), Step::Wait, Step::Close];
        let status = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n{\"error\":{\"message\":\"too late\"}}";
        let refused = vec![write(status.replace("31", "32"))];
        let fixture = Fixture::openai(vec![reply, refused]).await;
        let response = fixture.ask(json!({})).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-warmline-attempts"], "1");
        fixture.server.release();
        let body = text(response).await;
        let (before, error) = body.trim_end().rsplit_once("data: ").unwrap();
        assert_eq!(before, &silent[STREAM.len()..]);
        assert!(error.contains("too late"), "{error}");
        assert_eq!(fixture.server.requests().len(), 2);
    }
}

#[tokio::test]
async fn pings_are_passed_on_after_a_second_and_a_failure_after_them_is_not_retried() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"model\":\"claude-sonnet-4-5\",\"content\":[],\"usage\":{\"input_tokens\":20,\"output_tokens\":1}}}\n\n";
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n";
    let reply = vec![
        write(STREAM),
        write(start),
        write(ping),
        Step::Wait,
        write(error),
        Step::Close,
    ];
    let fixture = Fixture::new(Provider::Anthropic, vec![reply]).await;
    let mut body = fixture.ask_anthropic().await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, [start, ping].concat());
    fixture.server.release();
    assert_eq!(body.collect().await.unwrap().to_bytes(), error);
    assert_eq!(fixture.server.requests().len(), 1);
}

#[tokio::test]
async fn a_failure_within_a_second_of_the_head_is_retried_or_a_status() {
    let error = r#"data: {"error":{"message":"The model is busy","code":503}}"#;
    let busy = || streamed(events(&[ROLE, error], "\n"));
    let fixture = Fixture::openai(vec![busy()]).await;
    let response = fixture.ask(json!({})).await;
    assert_eq!(response.status(), 503);
    assert_eq!(fixture.server.requests().len(), 4);
}

#[tokio::test]
async fn error_bodies_of_the_provider_pass_byte_for_byte() {
    for body in [
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"},"request_id":"r"}"#,
        " {\"z\": 1.0,\n\t\"a\" : {\"message\":\"\\u00fc\", \"b\":1e2}, \"a\": null}\n",
    ] {
        let length = body.len();
        let reply = format!(
            "HTTP/1.1 400 X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        for provider in [Provider::OpenAi, Provider::Anthropic] {
            let fixture = Fixture::new(provider, vec![vec![write(&*reply)]]).await;
            let response = match provider {
                Provider::Anthropic => fixture.ask_anthropic().await,
                _ => fixture.ask(json!({})).await,
            };
            assert_eq!(response.status(), 400);
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(text(response).await, body);
        }
    }
}

#[tokio::test]
async fn a_redirect_of_the_provider_is_a_502_that_says_so() {
    let redirect = "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://elsewhere.example/v1\r\ncontent-length: 2\r\n\r\n{}";
    let fixture = Fixture::openai(vec![vec![write(redirect)]]).await;
    let response = fixture.ask(json!({})).await;
    assert_eq!(response.status(), 502);
    assert!(!response.headers().contains_key("location"));
    let body = text(response).await;
    assert!(
        body.contains("307") && body.contains("redirects are not followed"),
        "{body}"
    );
    assert_eq!(fixture.server.requests().len(), 1);
}

#[tokio::test]
async fn whether_a_stream_is_asked_for_must_be_clear() {
    let fixture = Fixture::openai(vec![vec![Step::Close]]).await;
    for value in [json!(1), json!("true"), json!([true])] {
        let response = fixture.ask(json!({"stream": value})).await;
        assert_eq!(response.status(), 400);
        let body = text(response).await;
        let says = format!("stream is {value}: it must be true, false or null");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert!(
            error["error"]["message"].as_str().unwrap().contains(&says),
            "{body}"
        );
    }
    assert!(fixture.server.requests().is_empty());
}

#[tokio::test]
async fn a_stream_with_the_usage_that_its_caller_requested_is_forwarded_whole() {
    let null = TEXT.replace("]}", "],\"usage\":null}");
    for end in ["\n", "\r\n"] {
        let pieces = events(&[ROLE, &null, STOP, USAGE, DONE], end);
        let fixture = Fixture::openai(cuts(&pieces).map(streamed).to_vec()).await;
        for _ in cuts(&pieces) {
            let asked = json!({"stream_options": {"include_usage": true}});
            assert_eq!(text(fixture.ask(asked).await).await, pieces.concat());
        }
        assert_eq!(fixture.spend().await, COST_OF_THREE);
    }
}

#[tokio::test]
async fn a_stream_of_anthropics_is_forwarded_whole() {
    let sent = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"model\":\"claude-sonnet-4-5\",\"content\":[],\"usage\":{\"input_tokens\":20,\"output_tokens\":1}}}",
        "event: ping\ndata: {\"type\": \"ping\"}",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"s1\",\"name\":\"web_search\",\"input\":{}}}",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}",
        "event: of_the_future\ndata: {\"type\":\"of_the_future\",\"x\": [1,  2]}",
        ": comment",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"pause_turn\"},\"usage\":{\"output_tokens\":10}}",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}",
    ];
    for end in ["\n", "\r\n", "\r"] {
        let pieces = events(&sent, end);
        let replies = cuts(&pieces).map(streamed).to_vec();
        let fixture = Fixture::new(Provider::Anthropic, replies).await;
        for _ in cuts(&pieces) {
            assert_eq!(text(fixture.ask_anthropic().await).await, pieces.concat());
        }
        // Three times 20 tokens at $3, and 10 at $15, for each million.
        assert_eq!(fixture.spend().await, "0.00063");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error() {
    let unfinished = TEXT.replace("null", "\"\"");
    for sent in [&[ROLE, TEXT][..], &[&unfinished], &[TEXT, USAGE]] {
        let pieces = events(sent, "\n");
        let fixture = Fixture::openai(vec![streamed(pieces)]).await;
        let body = text(fixture.ask(json!({})).await).await;
        let (events, error) = body.trim_end().rsplit_once("\n\n").unwrap();
        assert!(
            events.ends_with(sent.iter().rfind(|e| **e != USAGE).unwrap()),
            "{body}"
        );
        let error: Value = serde_json::from_str(error.strip_prefix("data: ").unwrap()).unwrap();
        assert!(error["error"]["message"].is_string(), "{body}");
        assert_eq!(fixture.server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_forwarded_once_or_retried() {
    let error = r#"data: {"error":{"message":"The model is busy","code":503}}"#;
    let good = || streamed(events(&[TEXT, STOP, USAGE, DONE], "\n"));
    let expected = events(&[TEXT, STOP, DONE], "\n").concat();
    let early = streamed(events(&[ROLE, error, DONE], "\n"));
    let fixture = Fixture::openai(vec![early, good()]).await;
    assert_eq!(text(fixture.ask(json!({})).await).await, expected);
    let late = streamed(events(&[TEXT, error, DONE], "\r\n"));
    let fixture = Fixture::openai(vec![late, good()]).await;
    let body = text(fixture.ask(json!({})).await).await;
    assert_eq!(body.matches("The model is busy").count(), 1, "{body}");
    assert_eq!(body.matches("\"error\"").count(), 1, "{body}");
    assert_eq!(fixture.server.requests().len(), 1);
}

#[tokio::test]
async fn a_whole_reply_to_a_caller_who_asked_for_a_stream_is_forwarded() {
    let body = r#"{"id": "c1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 20, "completion_tokens": 10}}"#;
    for content_type in ["application/json", "text/event-stream", "text/plain"] {
        let length = body.len();
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let fixture = Fixture::openai(vec![vec![write(reply)]]).await;
        assert_eq!(text(fixture.ask(json!({})).await).await, body);
        assert_eq!(fixture.spend().await, COST, "{content_type}");
    }
}

#[tokio::test]
async fn pages_of_proxies_are_errors_in_the_callers_format() {
    let page = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<html>Bad</html";
    let fixture = Fixture::openai(vec![vec![write(page)]]).await;
    let response = fixture.ask(json!({})).await;
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["x-should-retry"], "false");
    let body = text(response).await;
    let error: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
    assert!(error["error"]["message"].is_string(), "{error}");
    assert_eq!(fixture.server.requests().len(), 4);
}

#[tokio::test]
async fn comments_before_the_first_content_reach_a_caller_who_waits() {
    // Some servers label streams as JSON.
    for head in [
        STREAM.to_owned(),
        STREAM.replace("text/event-stream", "application/json"),
    ] {
        let mut reply = vec![write(head), write(": working\n\n"), Step::Wait];
        let rest = events(&[TEXT, STOP, USAGE, DONE], "\n");
        reply.extend(rest.into_iter().map(Step::Write));
        let fixture = Fixture::openai(vec![[reply, vec![Step::Close]].concat()]).await;
        let mut body = fixture.ask(json!({})).await.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, ": working\n\n");
        fixture.server.release();
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(rest, events(&[TEXT, STOP, DONE], "\n").concat());
    }
}

#[tokio::test]
async fn a_provider_that_closes_each_connection_without_saying_so_is_called_once_for_each_call() {
    let body = events(&[TEXT, STOP, USAGE, DONE], "\n").concat();
    let length = body.len();
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let fixture = Fixture::openai(vec![vec![write(reply), Step::Close]]).await;
    for _ in 0..20 {
        let response = fixture.ask(json!({})).await;
        assert_eq!(response.headers()["x-warmline-attempts"], "1");
        assert_eq!(
            text(response).await,
            events(&[TEXT, STOP, DONE], "\n").concat()
        );
    }
    assert_eq!(fixture.server.requests().len(), 20);
}

#[tokio::test]
async fn callers_who_leave_before_the_reply_free_their_connections() {
    // More callers than the pool has connections.
    const CALLERS: usize = 12;
    let mut replies = vec![vec![Step::Stall]; CALLERS];
    replies.push(streamed(events(&[TEXT, STOP, USAGE, DONE], "\n")));
    let fixture = Fixture::openai(replies).await;
    for n in 1..=CALLERS {
        tokio::select! {
            _ = fixture.ask(json!({})) => panic!("the provider does not reply"),
            () = fixture.server.wait_for_requests(n) => {}
        }
    }
    let body = text(fixture.ask(json!({})).await).await;
    assert_eq!(body, events(&[TEXT, STOP, DONE], "\n").concat());
}
