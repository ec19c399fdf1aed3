//! The dialect openai-responses, end to end against the simulator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::sim;
use serde_json::{Value, json};
use warmline::{
    Budget, Client, ClientBuilder, CostTracker, DialectName, Effort, ErrorKind, Message, Part,
    Provider, Reply, Request, RetryPolicy, StopReason, StreamEvent, Tool,
};
use warmline_sim::{ScriptedServer, Sim, Step};

fn builder(base_url: String) -> ClientBuilder {
    let policy = RetryPolicy {
        base: Duration::from_millis(2),
        cap: Duration::from_millis(4),
        ..RetryPolicy::default()
    };
    Client::builder(Provider::OpenAi)
        .api_key("sk-test")
        .base_url(base_url)
        .dialect(DialectName::OpenAiResponses)
        .retry(policy)
        .no_proxy()
}

fn client(sim: &Sim) -> Client {
    builder(sim.openai_url()).build().unwrap()
}

fn ask(scenario: &str) -> Request {
    Request::new().user("Hello").model(format!("m?{scenario}"))
}

fn weather() -> Tool {
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    Tool::new("weather", "The weather.", schema)
}

#[tokio::test]
async fn clients_of_two_dialects_share_the_pool_and_the_costs() {
    let sim = sim().await;
    let chat = Client::builder(Provider::OpenAi)
        .api_key("sk-test")
        .base_url(sim.openai_url())
        .no_proxy()
        .build()
        .unwrap();
    let responses = chat.with_dialect(DialectName::OpenAiResponses).unwrap();
    assert_eq!(responses.dialect_name(), DialectName::OpenAiResponses);
    let mut replies = Vec::new();
    for client in [&chat, &responses, &chat] {
        replies.push(client.chat("Hi").await.unwrap());
    }
    let starts: Vec<_> = replies.iter().map(|reply| &reply.id[..5]).collect();
    assert_eq!(starts, ["chatc", "resp_", "chatc"]);
    assert_eq!(sim.stats().total, 1);
    assert_eq!(chat.stats().to_string(), responses.stats().to_string());
    let spend = chat.cost_tracker().spend().await.unwrap();
    let costs = replies.iter().map(|reply| reply.cost.unwrap().usd);
    assert_eq!(spend.total, costs.sum());

    let error = chat.with_dialect(DialectName::Anthropic).unwrap_err();
    let says = "the provider openai does not speak the dialect anthropic: it must be openai-chat or openai-responses";
    assert_eq!((error.kind(), error.message()), (&ErrorKind::Config, says));
}

#[tokio::test]
async fn a_conversation_with_tools_goes_on_without_stored_items() {
    let sim = sim().await;
    let client = client(&sim);
    let request = Request::new()
        .user("Weather in Oslo?")
        .model("codex")
        .tool(weather())
        .effort(Effort::High)
        .extra_body("reasoning", json!({"effort": "high", "summary": "auto"}));
    let streamed = client.stream(request.clone()).into_reply().await.unwrap();
    let whole = client.chat(request.clone()).await.unwrap();
    // The ids of calls depend on the request, which says whether it is streamed.
    let kinds = |reply: &Reply| -> Vec<_> {
        let kind = |part| std::mem::discriminant::<Part>(part);
        reply.content.iter().map(kind).collect()
    };
    assert_eq!(kinds(&streamed), kinds(&whole));
    assert_eq!(
        (streamed.text(), streamed.reasoning()),
        (whole.text(), whole.reasoning())
    );
    assert_eq!(whole.stop_reason, Some(StopReason::ToolUse));
    let call = whole.tool_calls().next().unwrap().clone();
    match &whole.content[..] {
        [
            Part::Reasoning {
                text,
                signature: Some(_),
                dialect: Some(DialectName::OpenAiResponses),
            },
            Part::Text { phase, .. },
            Part::ToolUse(_),
        ] => {
            assert!(text.starts_with("The user asks"));
            assert_eq!(phase.as_deref(), Some("commentary"));
        }
        content => panic!("{content:?}"),
    }
    // The simulator refuses items that it has not stored, reasoning of others, and reasoning without its item.
    let next = request
        .message(whole.into_message())
        .message(Message::tool_result(call.id, "-3 C"));
    let reply = client.chat(next).await.unwrap();
    assert!(reply.text().starts_with("The tool says: -3 C."));
    assert_eq!(reply.stop_reason, Some(StopReason::EndTurn));
    assert_eq!(reply.attempts().len(), 1);
}

#[tokio::test]
async fn a_stored_reply_is_continued_by_its_id() {
    let sim = sim().await;
    let client = client(&sim);
    let first = client.chat(ask("").store(true)).await.unwrap();
    let next = |id: &str| ask("").previous_response_id(id);
    let second = client.chat(next(&first.id)).await.unwrap();
    assert!(second.usage.input_tokens > first.usage.input_tokens);
    // It is stored in its turn.
    client.chat(next(&second.id)).await.unwrap();

    let forgotten = client.chat(Request::new().user("Other").model("m")).await;
    let error = client.chat(next(&forgotten.unwrap().id)).await.unwrap_err();
    assert_eq!(error.code(), Some("previous_response_not_found"));
}

#[tokio::test]
async fn reasoning_that_the_server_cannot_decrypt_is_left_out_once() {
    let sim = sim().await;
    let reasoning: Part = serde_json::from_value(json!({"type": "reasoning", "text": "Hm.",
        "signature": "gAAAAA-of-another", "dialect": "openai-responses"}))
    .unwrap();
    let turn = Message {
        content: vec![reasoning, Part::text("Hi.")],
        ..Message::assistant("")
    };
    let request = ask("").message(turn).user("Go on");
    let reply = client(&sim).chat(request).await.unwrap();
    assert_eq!(reply.attempts().len(), 2);
    assert_eq!(sim.stats().requests, 2);
}

fn answer(status: u16, body: &Value) -> Vec<Step> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    vec![Step::Write(head + &body)]
}

#[tokio::test]
async fn a_model_that_refuses_to_encrypt_its_reasoning_is_not_asked_again() {
    let refusal = json!({"error": {"message": "Encrypted content is not supported with this model.",
        "type": "invalid_request_error", "param": "include", "code": null}});
    let whole = json!({"id": "r", "status": "completed", "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]});
    let server = ScriptedServer::start(vec![answer(400, &refusal), answer(200, &whole)]);
    let server = server.await.unwrap();
    let client = builder(server.url().to_owned()).build().unwrap();
    let first = client.chat("Hi").await.unwrap();
    assert_eq!((first.text().as_str(), first.attempts().len()), ("Hi", 2));
    assert_eq!(client.chat("Hi").await.unwrap().attempts().len(), 1);
    let asked = server.requests().into_iter().map(|request| {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        body.get("include").is_some()
    });
    assert_eq!(asked.collect::<Vec<_>>(), [true, false, false]);
}

#[tokio::test]
async fn both_forms_of_an_error_in_a_stream_are_retried_before_content() {
    let stream = |events: &[Value]| {
        let data = events.iter().map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap()
            )
        });
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let body: String = data.collect();
        vec![Step::Write(head.to_owned() + &body), Step::Close]
    };
    let created = json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "model": "m", "output": []}});
    let flat = json!({"type": "error", "code": "server_error", "message": "Busy.", "param": null});
    let nested = json!({"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "Busy."}});
    let failed = json!({"type": "response.failed", "response": {"id": "resp_1", "status": "failed",
        "error": {"code": "server_error", "message": "Busy."}, "output": []}});
    let completed = json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "model": "m",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]}});
    for error in [
        vec![flat],
        vec![nested.clone(), failed.clone()],
        vec![failed],
    ] {
        let mut events = vec![created.clone()];
        events.extend(error);
        let replies = vec![stream(&events), stream(std::slice::from_ref(&completed))];
        let server = ScriptedServer::start(replies).await.unwrap();
        let client = builder(server.url().to_owned()).build().unwrap();
        let reply = client.stream("Hi").into_reply().await.unwrap();
        assert_eq!(
            (reply.text().as_str(), reply.attempts().len()),
            ("Hi", 2),
            "{events:?}"
        );
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_retried_before_content_like_one_of_http() {
    let sim = sim().await;
    let client = client(&sim);
    for (scenario, attempts) in [
        ("error-event&times=2", Some(3)),
        ("error-event&code=rate_limit_exceeded&times=1", Some(2)),
        ("error-event&code=insufficient_quota", None),
        ("error-event&code=invalid_prompt", None),
        ("fault=close&at=body&times=1", Some(2)),
    ] {
        let before = sim.stats().requests;
        let reply = client.stream(ask(scenario)).into_reply().await;
        match attempts {
            Some(attempts) => assert_eq!(reply.unwrap().attempts().len(), attempts, "{scenario}"),
            None => assert_eq!(reply.unwrap_err().attempts().len(), 1, "{scenario}"),
        }
        let requests = sim.stats().requests - before;
        assert_eq!(requests, attempts.unwrap_or(1), "{scenario}");
    }
    let mut stream = client.stream(ask("error-event&after=2&id=1"));
    let mut texts = 0;
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(StreamEvent::Text { .. }) => texts += 1,
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((texts, error.attempts().len()), (2, 1));
}

/// The simulator's reply to a direct request.
async fn directly(sim: &Sim, body: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("{}/responses", sim.openai_url()))
        .header("authorization", "Bearer k")
        .body(body.to_owned());
    request.send().await.unwrap().text().await.unwrap()
}

async fn passed(client: &Client, body: &str) -> (String, Option<Reply>, Option<warmline::Error>) {
    let mut response = client.passthrough(body.to_owned(), []).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await {
        match chunk {
            Ok(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Err(error) => {
                assert!(response.error_is_forwarded());
                return (text, None, Some(error));
            }
        }
    }
    (text, response.reply().cloned(), None)
}

#[tokio::test]
async fn a_passthrough_forwards_every_byte_and_reads_the_usage() {
    let sim = sim().await;
    let budget = Budget::monthly("pass", "10000".parse().unwrap()).unwrap();
    let tracker = CostTracker::new().budget(budget);
    let client = builder(sim.openai_url()).cost_tracker(tracker).build();
    let client = client.unwrap();
    for (model, stream) in [("m", false), ("m", true), ("m?crlf", true)] {
        let body =
            json!({"model": model, "input": "Hello", "stream": stream, "max_output_tokens": 40,
            "reasoning": {"effort": "low"}, "tools": [{"type": "web_search"}]})
            .to_string();
        let (text, reply, error) = passed(&client, &body).await;
        assert_eq!(text, directly(&sim, &body).await, "{model} {stream}");
        assert!(error.is_none());
        let reply = reply.unwrap();
        assert!(reply.usage_reported && reply.usage.reasoning_tokens > 0);
        assert!(reply.cost.is_some());
    }
    let body =
        json!({"model": "m?error-event&after=1", "input": "Hello", "stream": true}).to_string();
    let (text, _, error) = passed(&client, &body).await;
    assert!(
        text.ends_with("\n\n") && text.contains("event: error\n"),
        "{text}"
    );
    assert_eq!(error.unwrap().code(), Some("server_error"));
}
