//! The routes that coding agents ask for, and the conversations of Claude Code and of Codex CLI.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use axum::Router;
use axum::body::Body;
use axum::http::Method;
use common::{App, KEY, client, reply};
use futures_util::future::join_all;
use serde_json::{Value, json};
use warmline::{Provider, Target};
use warmline_gateway::Gateway;
use warmline_sim::{Config, ScriptedServer, Sim};

const CLAUDE: [(&str, &str); 4] = [
    ("anthropic-version", "2023-06-01"),
    (
        "anthropic-beta",
        "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14,context-management-2025-06-27",
    ),
    ("user-agent", "claude-cli/2.1.0 (external, cli)"),
    ("x-stainless-lang", "js"),
];

/// The events of a stream.
fn events(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn claude_code_is_served() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let app = App::of(&sim);
    for (method, path) in [
        (Method::HEAD, "/"),
        (Method::HEAD, "/v1/messages"),
        (Method::GET, "/healthz"),
    ] {
        let fallback = Router::new().fallback(warmline_gateway::not_found);
        let app = App(app.0.clone().merge(fallback));
        let (status, ..) = app.send(method, path, &CLAUDE, Body::empty()).await;
        assert_eq!(status, 200, "{path}");
    }

    let (status, models) = app.get("/v1/models?limit=1000", &CLAUDE).await;
    assert_eq!(status, 200);
    let first = &models["data"][0];
    assert_eq!(first["type"], "model");
    assert_eq!(first["id"], "claude-opus-4-5");
    assert_eq!(first["display_name"], "Claude Opus 4.5");
    assert_eq!(first["created_at"], "2025-11-24T00:00:00Z");
    assert_eq!(models["has_more"], false);
    assert_eq!(models["first_id"], "claude-opus-4-5");

    // The extension for VS Code counts its tools all at once.
    let tool = json!({"name": "Read", "description": "Reads a file.", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}});
    let count = json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "x"}], "tools": [tool]});
    let counts = (0..50).map(|_| app.post("/v1/messages/count_tokens?beta=true", &CLAUDE, &count));
    for (status, count) in join_all(counts).await {
        assert_eq!(status, 200, "{count}");
        assert!(count["input_tokens"].as_u64().unwrap() > 10, "{count}");
    }

    let mut messages = vec![
        json!({"role": "user", "content": [{"type": "text", "text": "What is in a.txt?", "cache_control": {"type": "ephemeral"}}]}),
    ];
    let ask = |messages: &[Value]| {
        json!({"model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": true, "system": [{"type": "text", "text": "You are Claude Code."}],
            "metadata": {"user_id": "user_1_account__session_2"}, "tools": [tool], "messages": messages})
    };
    let path = "/v1/messages?beta=true";
    let (status, headers, body) = app
        .send(Method::POST, path, &CLAUDE, ask(&messages).to_string())
        .await;
    assert_eq!(
        (status.as_u16(), &headers["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let called = events(&body);
    let call = called
        .iter()
        .find(|event| event["content_block"]["type"] == "tool_use");
    let call = &call.unwrap()["content_block"];
    assert_eq!(called.last().unwrap()["type"], "message_stop");

    messages.push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": call["id"], "name": "Read", "input": {"path": "a.txt"}}]}));
    messages.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "forty-two"}]}));
    let (_, _, body) = app
        .send(Method::POST, path, &CLAUDE, ask(&messages).to_string())
        .await;
    let text: String = events(&body)
        .iter()
        .filter_map(|event| event["delta"]["text"].as_str().map(str::to_owned))
        .collect();
    assert!(text.contains("forty-two"), "{text}");
}

#[tokio::test]
async fn codex_cli_is_served() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let app = App::of(&sim);
    let codex = [
        ("originator", "codex_cli_rs"),
        ("authorization", "Bearer x"),
        ("accept", "text/event-stream"),
    ];
    let tools = json!([
        {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"], "additionalProperties": false}, "strict": false},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
        {"type": "local_shell"},
    ]);
    let user = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list the files"}]});
    let mut input = vec![user];
    for turn in 0..3 {
        let body = json!({"model": "gpt-5.4", "instructions": "You are Codex.", "input": input, "tools": tools, "tool_choice": "auto",
            "parallel_tool_calls": true, "reasoning": {"effort": "medium", "summary": "auto"}, "store": false, "stream": true,
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": "0199-session"});
        let (status, headers, body) = app
            .send(Method::POST, "/v1/responses", &codex, body.to_string())
            .await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(headers["content-type"], "text/event-stream");
        let events = events(&body);
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed", "{last}");
        // Everything is sent again in the next turn, as it came.
        for item in last["response"]["output"].as_array().unwrap() {
            input.push(item.clone());
            if item["type"] == "function_call" {
                input.push(json!({"type": "function_call_output", "call_id": item["call_id"], "output": "a.txt"}));
            }
        }
        if turn == 0 {
            input.push(json!({"type": "custom_tool_call", "call_id": "call_c", "name": "apply_patch", "input": "*** Begin Patch"}));
            input.push(
                json!({"type": "custom_tool_call_output", "call_id": "call_c", "output": "Done"}),
            );
            input.push(json!({"type": "local_shell_call", "call_id": "call_l", "status": "completed", "action": {"type": "exec", "command": ["ls"]}}));
            input.push(
                json!({"type": "local_shell_call_output", "call_id": "call_l", "output": "a.txt"}),
            );
        }
        input.push(json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go on"}]}));
    }
    let count = json!({"model": "gpt-5.4", "input": input, "tools": tools});
    let (status, count) = app.post("/v1/responses/input_tokens", &codex, &count).await;
    assert_eq!(status, 200, "{count}");
    assert_eq!(count["object"], "response.input_tokens");
    assert!(count["input_tokens"].as_u64().unwrap() > 10, "{count}");
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_the_caller_and_in_pages() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let router = warmline::Router::builder()
        .target(Target::new(client(
            Provider::Anthropic,
            &sim.anthropic_url(),
        )))
        .target(
            Target::new(client(Provider::OpenAi, &sim.openai_url())).model("fast", "gpt-4.1-mini"),
        );
    let app = App::new(Gateway::builder().router(router.build().unwrap()));
    let (_, list) = app.get("/models/", &[]).await;
    assert_eq!(list["object"], "list");
    let ids = |list: &Value| -> Vec<String> {
        let models = list["data"].as_array().unwrap().iter();
        models
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ids(&list);
    for id in [
        "claude-opus-4-5",
        "gpt-4.1",
        "openai/text-embedding-3-small",
        "fast",
    ] {
        assert!(all.contains(&id.to_owned()), "{id} is not in {all:?}");
    }
    for model in list["data"].as_array().unwrap() {
        assert_eq!(model["object"], "model");
        assert!(
            model["created"].is_u64() && model["owned_by"].is_string(),
            "{model}"
        );
    }
    // Pages forwards and back have each model once.
    let version = [("anthropic-version", "2023-06-01")];
    let mut paged = Vec::new();
    let mut path = "/v1/models?limit=2".to_owned();
    loop {
        let (_, page) = app.get(&path, &version).await;
        assert_eq!(page["first_id"], page["data"][0]["id"]);
        paged.extend(ids(&page));
        let last = page["last_id"].as_str().unwrap();
        assert_eq!(Some(last), paged.last().map(String::as_str));
        if page["has_more"] == false {
            break;
        }
        path = format!("/v1/models?limit=2&after_id={last}");
    }
    assert_eq!(paged, all);
    let (_, page) = app
        .get(
            &format!("/v1/models?limit=2&before_id={}", all[3]),
            &version,
        )
        .await;
    assert_eq!(
        (ids(&page), &page["has_more"]),
        (all[1..3].to_vec(), &json!(true))
    );
    let (status, error) = app.get("/v1/models?limit=x", &version).await;
    assert_eq!((status.as_u16(), &error["type"]), (400, &json!("error")));

    let (_, model) = app.get("/v1/models/gpt-4.1", &[]).await;
    assert_eq!(
        (&model["object"], &model["created"]),
        (&json!("model"), &json!(1_744_316_542))
    );
    let (_, model) = app.get("/v1/models/gpt-4.1/", &version).await;
    assert_eq!(
        (&model["type"], &model["created_at"]),
        (&json!("model"), &json!("2025-04-10T20:22:22Z"))
    );
    let (status, error) = app.get("/v1/models/a%2Fb", &[]).await;
    assert_eq!(
        (status.as_u16(), &error["error"]["code"]),
        (404, &json!("model_not_found"))
    );
}

#[tokio::test]
async fn a_provider_that_fails_does_not_spoil_the_list_and_is_left_alone_for_a_while() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let failing = ScriptedServer::start(vec![reply(500, "", "{}")])
        .await
        .unwrap();
    let app = App::new(
        Gateway::builder()
            .client(client(Provider::Anthropic, failing.url()))
            .client(client(Provider::OpenAi, &sim.openai_url())),
    );
    for _ in 0..3 {
        let (status, list) = app.get("/v1/models", &[]).await;
        assert_eq!(status, 200);
        assert!(list.to_string().contains("gpt-4.1"), "{list}");
    }
    assert_eq!(failing.requests().len(), 1);
    assert_eq!(sim.stats().requests, 1);
    let (status, error) = app.get("/v1/models/claude-x", &[]).await;
    assert_eq!(status, 502, "{error}");
}

#[tokio::test]
async fn the_query_and_the_headers_that_matter_reach_the_provider() {
    let server = ScriptedServer::start(vec![reply(400, "", "{}")])
        .await
        .unwrap();
    let app = App::new(Gateway::builder().client(client(Provider::Anthropic, server.url())));
    let headers = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a"),
        ("anthropic-beta", "b"),
        ("idempotency-key", "i"),
        ("x-session-id", "s"),
        ("x-stainless-lang", "js"),
        ("openai-organization", "o"),
        ("x-api-key", "of-the-caller"),
        ("cookie", "c"),
    ];
    let body = json!({"model": "m", "max_tokens": 5, "messages": []});
    for path in [
        "/v1/messages?beta=true&x=%20",
        "/messages/count_tokens/?beta=true",
    ] {
        app.post(path, &headers, &body).await;
    }
    let requests = server.requests();
    let [message, count] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert!(
        message
            .head
            .starts_with("POST /v1/messages?beta=true&x=%20 "),
        "{}",
        message.head
    );
    assert!(
        count
            .head
            .starts_with("POST /v1/messages/count_tokens?beta=true "),
        "{}",
        count.head
    );
    for request in [message, count] {
        let head = request.head.to_lowercase();
        for line in [
            "anthropic-beta: a,b",
            "idempotency-key: i",
            &format!("x-api-key: {KEY}"),
        ] {
            assert!(head.lines().any(|l| l == line), "{line} is not in {head}");
        }
        for name in [
            "x-session-id",
            "x-stainless",
            "openai-organization",
            "cookie",
            "of-the-caller",
        ] {
            assert!(!head.contains(name), "{name} is in {head}");
        }
    }
}

#[tokio::test]
async fn counts_fall_back_to_an_upper_bound() {
    let server = ScriptedServer::start(vec![reply(404, "", "not found")])
        .await
        .unwrap();
    let app = App::new(
        Gateway::builder()
            .client(client(Provider::Anthropic, server.url()))
            .client(client(Provider::OpenAi, &format!("{}/v1", server.url()))),
    );
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "input": "Hi"});
    for path in ["/v1/messages/count_tokens", "/v1/responses/input_tokens"] {
        let (status, count) = app.post(path, &[], &body).await;
        assert_eq!(status, 200, "{count}");
        assert!(count["input_tokens"].as_u64().unwrap() > 50, "{count}");
    }
}
