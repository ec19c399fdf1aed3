//! Passthrough of requests and replies in the provider's own format.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use common::{builder, sim};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use warmline::{Budget, Client, CostTracker, PassthroughResponse, Provider, Usd};
use warmline_sim::{ScriptedServer, Sim, Step};

async fn all(response: &mut PassthroughResponse) -> (Vec<u8>, Option<warmline::Error>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

fn client(sim: &Sim, provider: Provider) -> Client {
    let client = match provider {
        Provider::OpenAi => Client::builder(provider)
            .api_key("test-key-1234")
            .base_url(sim.openai_url())
            .no_proxy(),
        _ => builder(sim),
    };
    let budget = Budget::monthly("pass", "10".parse().unwrap()).unwrap();
    client
        .cost_tracker(CostTracker::new().budget(budget))
        .build()
        .unwrap()
}

fn body(scenario: &str, extra: Value) -> String {
    let mut body = json!({"model": format!("m?{scenario}"), "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello"}]});
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body.to_string()
}

/// The simulator's reply to a direct request.
async fn directly(sim: &Sim, provider: Provider, body: String) -> String {
    let url = match provider {
        Provider::OpenAi => format!("{}/chat/completions", sim.openai_url()),
        _ => format!("{}/v1/messages", sim.anthropic_url()),
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(url)
        .body(body)
        .header("content-type", "application/json");
    let request = request
        .header("x-api-key", "k")
        .header("authorization", "Bearer k");
    let reply = request
        .header("anthropic-version", "2023-06-01")
        .send()
        .await;
    reply.unwrap().text().await.unwrap()
}

/// Removes ids and times, which differ between two replies to the same request.
fn without_ids(text: &str) -> String {
    let mut without_ids = String::new();
    for part in text.split('"') {
        let id = ["msg_", "chatcmpl-", "req_", "call_"]
            .iter()
            .any(|id| part.starts_with(id));
        without_ids.push_str(if id { "ID" } else { part });
        without_ids.push('"');
    }
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
    let mut rest = String::new();
    for (i, piece) in without_ids.split("\"created\":").enumerate() {
        rest.push_str(if i == 0 {
            piece
        } else {
            &piece[digits(piece)..]
        });
    }
    rest
}

#[tokio::test]
async fn a_reply_is_passed_on_byte_for_byte_and_charged() {
    let sim = sim().await;
    for provider in [Provider::Anthropic, Provider::OpenAi] {
        let client = client(&sim, provider);
        for extra in [
            json!({}),
            json!({"stream": true}),
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        ] {
            if provider == Provider::Anthropic && extra.get("stream_options").is_some() {
                continue;
            }
            let body = body("tokens=12", extra.clone());
            let mut response = client.passthrough(body.clone(), []).await.unwrap();
            assert_eq!(response.is_stream(), extra.get("stream").is_some());
            let (bytes, error) = all(&mut response).await;
            assert!(error.is_none(), "{error:?}");
            let theirs = directly(&sim, provider, body).await;
            assert_eq!(
                without_ids(std::str::from_utf8(&bytes).unwrap()),
                without_ids(&theirs),
                "{provider} {extra}"
            );
            let reply = response.reply().unwrap();
            assert!(
                reply.usage_reported && reply.cost.unwrap().usd > Usd::ZERO,
                "{provider} {extra}"
            );
        }
        let spend = client.cost_tracker().spend().await.unwrap();
        assert_eq!(
            (spend.budgets[0].spent, spend.budgets[0].reserved),
            (spend.total, Usd::ZERO)
        );
    }
}

#[tokio::test]
async fn only_usage_that_was_not_requested_is_removed_from_a_stream_with_crlf() {
    let sim = sim().await;
    let client = client(&sim, Provider::OpenAi);
    let tool = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    for extra in [
        json!({"stream": true}),
        json!({"stream": true, "tools": tool}),
        json!({"stream": true, "stream_options": null}),
        json!({"stream": true, "stream_options": {}}),
        json!({"stream": true, "stream_options": {"include_usage": true}}),
    ] {
        let body = body("tokens=12&crlf", extra);
        let mut response = client.passthrough(body.clone(), []).await.unwrap();
        let (bytes, error) = all(&mut response).await;
        assert!(error.is_none(), "{error:?}");
        let (ours, theirs) = (
            without_ids(std::str::from_utf8(&bytes).unwrap()),
            without_ids(&directly(&sim, Provider::OpenAi, body.clone()).await),
        );
        assert_eq!(ours, theirs, "{body}");
        assert!(bytes.ends_with(b"data: [DONE]\r\n\r\n"), "{ours}");
        assert!(response.reply().unwrap().usage_reported, "{body}");
    }
}

#[tokio::test]
async fn failures_before_content_are_retried_and_later_ones_follow_the_bytes() {
    let sim = sim().await;
    let client = client(&sim, Provider::Anthropic);
    let again = body(
        "status=503&times=1&retry-after-ms=1&tokens=3",
        json!({"stream": true}),
    );
    let mut response = client.passthrough(again, []).await.unwrap();
    assert_eq!(response.attempts(), 2);
    assert!(all(&mut response).await.1.is_none());
    let cut = body(
        "tokens=10&fault=close&at=event&after=4",
        json!({"stream": true}),
    );
    let mut response = client.passthrough(cut, []).await.unwrap();
    let (bytes, error) = all(&mut response).await;
    assert!(
        String::from_utf8(bytes)
            .unwrap()
            .contains("content_block_delta")
    );
    assert_eq!(error.unwrap().kind().name(), "stream");
    assert!(response.chunk().await.is_none());
}

#[tokio::test]
async fn invalid_requests_are_refused_before_anything_is_sent() {
    let sim = sim().await;
    let client = client(&sim, Provider::Anthropic);
    for (body, header, says) in [
        ("not JSON", ("a", "b"), "the request is not JSON"),
        ("{}", ("a b", "c"), "the header \"a b\" has a name"),
        ("{}", ("a", "b\n"), "the header \"a\" has a value"),
    ] {
        let headers = [(header.0.to_owned(), header.1.to_owned())];
        let error = client.passthrough(body, headers).await.err().unwrap();
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(sim.stats().requests, 0);
    // An error status of the provider is passed on.
    let error = client.passthrough("{}", []).await.err().unwrap();
    assert_eq!(error.status(), Some(400));
    assert!(error.body().unwrap().starts_with('{'), "{error}");
}

/// A server that answers the nth request with the nth reply, each piece after its pause, and the bodies that it was sent.
async fn server(replies: Vec<Vec<(Duration, &'static str)>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    tokio::spawn(async move {
        for reply in replies {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let text = loop {
                socket.read_buf(&mut bytes).await.unwrap();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let head = head.to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|l| l.strip_prefix("content-length: "));
                if body.len() >= length.unwrap().parse().unwrap() {
                    break body.to_owned();
                }
            };
            seen.lock().unwrap().push(text);
            for (pause, piece) in reply {
                tokio::time::sleep(pause).await;
                // A caller who has heard enough may have gone.
                if socket.write_all(piece.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (base, bodies)
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 400 X\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
    {\"error\":{\"message\":\"Unrecognized request argument supplied: stream_options\"}}";
const CONTENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
const END: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";
const NOW: Duration = Duration::ZERO;

fn plain(base: &str) -> Client {
    let builder = Client::builder(Provider::OpenAi)
        .api_key("k")
        .base_url(base);
    builder.no_proxy().build().unwrap()
}

fn ask() -> String {
    body("", json!({"stream": true}))
}

#[tokio::test]
async fn the_usage_that_was_not_asked_for_leaves_no_trace() {
    let (base, bodies) = server(vec![vec![(NOW, STREAM), (NOW, CONTENT), (NOW, END)]]).await;
    let mut response = plain(&base).passthrough(ask(), []).await.unwrap();
    let (bytes, error) = all(&mut response).await;
    assert!(error.is_none(), "{error:?}");
    let expected = CONTENT.replace(",\"usage\":null", "") + "data: [DONE]\n\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    assert!(bodies.lock().unwrap()[0].contains("include_usage"));
    assert!(response.reply().unwrap().usage_reported);
}

#[tokio::test]
async fn a_server_that_refuses_to_be_asked_for_its_usage_is_asked_once() {
    let answer = || vec![(NOW, STREAM), (NOW, CONTENT), (NOW, "data: [DONE]\n\n")];
    let replies = vec![vec![(NOW, REFUSED)], answer(), answer(), answer()];
    let (base, bodies) = server(replies).await;
    let client = plain(&base);
    let mut response = client.passthrough(ask(), []).await.unwrap();
    let (bytes, error) = all(&mut response).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(response.attempts(), 2);
    // Nothing was asked for, so nothing is left out.
    let whole = CONTENT.to_owned() + "data: [DONE]\n\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), whole);
    all(&mut client.passthrough(ask(), []).await.unwrap()).await;
    let reply = client.stream("hi").into_reply().await.unwrap();
    assert_eq!((reply.text().as_str(), reply.attempts().len()), ("Hi", 1));
    let bodies = bodies.lock().unwrap();
    assert_eq!(bodies[1], ask());
    let asked: Vec<bool> = bodies.iter().map(|b| b.contains("usage")).collect();
    assert_eq!(asked, [true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn comments_are_passed_on_while_a_model_thinks_and_a_failure_after_them_is_tried_again() {
    const WORKING: (Duration, &str) = (Duration::from_millis(700), ": working\n\n");
    let failed = "data: {\"error\":{\"message\":\"busy\",\"code\":503}}\n\n";
    let replies = vec![
        vec![(NOW, STREAM), WORKING, WORKING, (NOW, failed)],
        vec![
            (NOW, STREAM),
            WORKING,
            WORKING,
            WORKING,
            (NOW, CONTENT),
            (NOW, END),
        ],
    ];
    let (base, _) = server(replies).await;
    let mut response = plain(&base).passthrough(ask(), []).await.unwrap();
    assert!(response.is_stream());
    let first = response.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b": working\n"), "{first:?}");
    let (bytes, error) = all(&mut response).await;
    assert!(error.is_none(), "{error:?}");
    let text = String::from_utf8([first.to_vec(), bytes].concat()).unwrap();
    assert!(
        text.ends_with("data: [DONE]\n\n") && !text.contains("busy"),
        "{text}"
    );
    assert_eq!(text.matches("\"Hi\"").count(), 1, "{text}");
    assert_eq!(response.attempts(), 2);
}

#[tokio::test]
async fn a_failure_soon_after_a_comment_is_still_an_error_of_its_own() {
    let failed = "data: {\"error\":{\"message\":\"no\",\"code\":400}}\n\n";
    let replies = vec![vec![(NOW, STREAM), (NOW, ": hi\n\n"), (NOW, failed)]];
    let (base, _) = server(replies).await;
    let error = plain(&base).passthrough(ask(), []).await.err().unwrap();
    assert_eq!(error.status(), Some(400));
}

#[tokio::test]
async fn frames_that_arrive_together_are_returned_together() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = plain(&format!("http://{}/v1", listener.local_addr().unwrap()));
    let frame =
        |text| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let chunk = |frame: String| format!("{:x}\r\n{frame}\r\n", frame.len());
    let served = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            socket.read_buf(&mut request).await.unwrap();
        }
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
        let first = head + &chunk(frame("a"));
        socket.write_all(first.as_bytes()).await.unwrap();
        socket
    };
    let (response, mut socket) = tokio::join!(client.passthrough(ask(), []), served);
    let mut response = response.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), frame("a"));
    let is_waiting = poll_fn(|cx| Poll::Ready(response.poll_chunk(cx).is_pending())).await;
    assert!(is_waiting);

    let together = ["b", "c", "d"].map(frame);
    let chunks = together.clone().map(chunk).concat() + "0\r\n\r\n";
    socket.write_all(chunks.as_bytes()).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), together.concat());
}

#[tokio::test]
async fn a_flood_of_comments_is_handed_out_as_it_comes() {
    const FLOOD: usize = 4 << 20;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
    let comments = ": working\n\n".repeat(FLOOD / 11);
    let reply = vec![Step::Write(head + &comments), Step::Stall];
    let provider = ScriptedServer::start(vec![reply]).await.unwrap();
    let client = plain(&format!("{}/v1", provider.url()));
    let mut response = client.passthrough(ask(), []).await.unwrap();
    let (mut all, mut largest) = (0, 0);
    while all < comments.len() {
        let chunk = response.chunk().await.unwrap().unwrap();
        all += chunk.len();
        largest = largest.max(chunk.len());
    }
    assert!(largest < FLOOD / 2, "{largest} bytes were held");
}
