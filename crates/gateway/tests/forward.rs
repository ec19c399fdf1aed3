//! Paths that the gateway passes through to a provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use axum::http::Method;
use common::{App, KEY, client, reply};
use serde_json::{Value, json};
use warmline::Provider;
use warmline_gateway::{ApiKeys, Gateway};
use warmline_sim::{ScriptedServer, Step};

#[tokio::test]
async fn other_paths_are_passed_through_to_the_provider_that_the_caller_names() {
    let one = ScriptedServer::start(vec![reply(201, "x-request-id: r\r\nopenai-organization: acme\r\nset-cookie: c\r\ncontent-type: audio/mpeg\r\n", "one")]).await.unwrap();
    let two = ScriptedServer::start(vec![reply(200, "", "two")])
        .await
        .unwrap();
    let other = ScriptedServer::start(vec![reply(200, "", "three")])
        .await
        .unwrap();
    let app = App::new(
        Gateway::builder()
            .client(client(Provider::OpenAi, &format!("{}/v1", one.url())))
            .client(client(Provider::Groq, &format!("{}/v1", two.url())))
            .client(client(Provider::Anthropic, other.url())),
    );
    let by_header = [
        ("x-warmline-provider", "openai"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("authorization", "Bearer mine"),
        ("x-stainless-lang", "js"),
    ];
    let (status, headers, body) = app
        .send(
            Method::POST,
            "/v1/audio/transcriptions?a=b",
            &by_header,
            "--x\r\n\r\n",
        )
        .await;
    assert_eq!((status.as_u16(), body.as_str()), (201, "one"));
    assert_eq!(
        (&headers["content-type"], &headers["x-request-id"]),
        (&"audio/mpeg".parse().unwrap(), &"r".parse().unwrap())
    );
    assert!(
        !headers.contains_key("set-cookie") && !headers.contains_key("openai-organization"),
        "{headers:?}"
    );
    let sent = &one.requests()[0];
    let head = sent.head.to_lowercase();
    assert!(
        head.starts_with("post /v1/audio/transcriptions?a=b "),
        "{head}"
    );
    assert!(
        head.contains("content-type: multipart/form-data; boundary=x"),
        "{head}"
    );
    assert!(
        !head.contains("mine") && !head.contains("stainless") && !head.contains("x-warmline"),
        "{head}"
    );
    assert_eq!(sent.body, "--x\r\n\r\n");

    let body = r#"{ "input": "x", "model": "groq\/nomic", "z": 1 }"#;
    let (_, _, text) = app.send(Method::POST, "/v1/embeddings", &[], body).await;
    assert_eq!(text, "two");
    assert_eq!(
        two.requests()[0].body,
        r#"{ "input": "x", "model": "nomic", "z": 1 }"#
    );

    let version = [("anthropic-version", "2023-06-01")];
    let (_, _, text) = app.send(Method::GET, "/v1/files", &version, "").await;
    assert_eq!(text, "three");
    let (_, _, text) = app
        .send(Method::POST, "/v1/messages/batches", &[], "{}")
        .await;
    assert_eq!(text, "three");

    let (status, _, body) = app.send(Method::GET, "/v1/files", &[], "").await;
    assert_eq!(status, 404);
    for says in [
        "there is no /v1/files here",
        "x-warmline-provider",
        "openai, groq, anthropic",
        "POST /v1/messages",
    ] {
        assert!(body.contains(says), "{says} is not in {body}");
    }
    let (status, _, body) = app
        .send(
            Method::GET,
            "/v1/files",
            &[("x-warmline-provider", "nobody")],
            "",
        )
        .await;
    assert_eq!(status, 400);
    assert!(
        body.contains("must be one of openai, groq, anthropic"),
        "{body}"
    );
    let (status, ..) = app
        .send(Method::GET, "/v1/%2e%2e/admin", &by_header, "")
        .await;
    assert_eq!(status, 400);
    assert_eq!(one.requests().len(), 1);
}

#[tokio::test]
async fn stored_responses_are_read_and_deleted_and_errors_are_the_providers() {
    let error = r#"{"error":{"message":"no sk-0123456789abcdef","type":"invalid_request_error","param":null,"code":"c"}}"#;
    let server = ScriptedServer::start(vec![
        reply(200, "", r#"{"id":"resp_1"}"#),
        reply(429, "retry-after: 7\r\n", error),
    ])
    .await
    .unwrap();
    let app = App::new(
        Gateway::builder().client(client(Provider::OpenAi, &format!("{}/v1", server.url()))),
    );
    let (status, response) = app.get("/v1/responses/resp_1?include=a", &[]).await;
    assert_eq!((status.as_u16(), &response["id"]), (200, &json!("resp_1")));
    let (status, headers, body) = app
        .send(Method::DELETE, "/v1/responses/resp_1", &[], "")
        .await;
    assert_eq!(status, 429);
    assert_eq!(headers["retry-after"], "7");
    // It was not tried again here, so the caller may.
    assert!(!headers.contains_key("x-should-retry"));
    assert_eq!(body, error.replace(KEY, "[redacted]"));
    let heads: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.head.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(
        heads,
        [
            "GET /v1/responses/resp_1?include=a HTTP/1.1",
            "DELETE /v1/responses/resp_1 HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn a_cut_body_is_not_taken_for_a_whole_one() {
    let cut = vec![
        Step::Write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".into()),
        Step::Close,
    ];
    let server = ScriptedServer::start(vec![cut]).await.unwrap();
    let app = App::new(
        Gateway::builder().client(client(Provider::OpenAi, &format!("{}/v1", server.url()))),
    );
    let (status, _, body) = app.send(Method::GET, "/v1/files/a/content", &[], "").await;
    assert_eq!(status, 200);
    assert!(body.starts_with("cut: "), "{body}");
}

#[tokio::test]
async fn only_callers_with_a_key_pass_and_within_a_budget_only_what_is_free() {
    let server = ScriptedServer::start(vec![reply(200, "", "{}")])
        .await
        .unwrap();
    let keys = r#"[{"name": "rich", "key": "rich-0123456789abcdef"}, {"name": "poor", "key": "poor-0123456789abcdef", "budget": "5"}]"#;
    let app = App::new(
        Gateway::builder()
            .client(client(Provider::OpenAi, &format!("{}/v1", server.url())))
            .api_keys(ApiKeys::from_json(keys).unwrap()),
    );
    let (rich, poor) = (
        [("x-api-key", "rich-0123456789abcdef")],
        [("x-api-key", "poor-0123456789abcdef")],
    );
    let wrong = [("x-api-key", "wrong-0123456789abcdef")];
    for (method, path) in [
        (Method::POST, "/v1/embeddings"),
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1/models/m"),
        (Method::POST, "/v1/responses/input_tokens"),
    ] {
        let (status, ..) = app.send(method, path, &wrong, "{}").await;
        assert_eq!(status, 401, "{path}");
    }
    assert!(server.requests().is_empty());
    let (status, ..) = app.send(Method::POST, "/v1/embeddings", &rich, "{}").await;
    assert_eq!(status, 200);
    let (status, _, body) = app.send(Method::POST, "/v1/embeddings", &poor, "{}").await;
    assert_eq!(status, 400);
    for says in [
        "there is a budget, and no price is known for POST",
        "`--budget none`",
        "a key without a budget",
    ] {
        assert!(body.contains(says), "{body}");
    }
    let (status, ..) = app.send(Method::GET, "/v1/files", &poor, "").await;
    assert_eq!(status, 200);
    assert_eq!(server.requests().len(), 2);
}

/// A gateway before a provider with this key of a caller, and the headers that have it.
fn with_key(server: &ScriptedServer, fields: &Value) -> (App, [(&'static str, &'static str); 1]) {
    let mut key = json!({"name": "alice", "key": "alice-0123456789abcdef"});
    let fields = fields.as_object().unwrap().clone();
    key.as_object_mut().unwrap().extend(fields);
    let keys = ApiKeys::from_json(&json!([key]).to_string()).unwrap();
    let base_url = format!("{}/v1", server.url());
    let builder = Gateway::builder().client(client(Provider::OpenAi, &base_url));
    let app = App::new(builder.api_keys(keys));
    (app, [("x-api-key", "alice-0123456789abcdef")])
}

#[tokio::test]
async fn a_key_can_be_kept_from_other_endpoints() {
    let server = ScriptedServer::start(vec![reply(200, "", "{}")])
        .await
        .unwrap();
    let (app, alice) = with_key(&server, &json!({"other_endpoints": false}));
    for (method, path) in [
        (Method::GET, "/v1/files"),
        (Method::DELETE, "/v1/files/f"),
        (Method::DELETE, "/v1/models/m"),
        (Method::POST, "/v1/embeddings"),
        (Method::GET, "/v1/responses/r"),
        (Method::POST, "/v1/messages/batches"),
    ] {
        let (status, _, body) = app.send(method, path, &alice, "").await;
        assert_eq!(status, 403, "{path}: {body}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(error["error"]["type"], "permission_error", "{body}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(r#""other_endpoints" is false"#), "{body}");
        let is_anthropic = path.starts_with("/v1/messages");
        assert_eq!(error["type"] == "error", is_anthropic, "{body}");
    }
    assert!(server.requests().is_empty());
    let (status, ..) = app.send(Method::GET, "/v1/models", &alice, "").await;
    assert_eq!(status, 200);
    let (app, alice) = with_key(&server, &json!({}));
    let (status, ..) = app.send(Method::GET, "/v1/files", &alice, "").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn no_other_path_leads_past_an_endpoint_that_is_read() {
    let server = ScriptedServer::start(vec![reply(200, "", "{}")])
        .await
        .unwrap();
    let app = App::new(
        Gateway::builder().client(client(Provider::OpenAi, &format!("{}/v1", server.url()))),
    );
    let body = r#"{"model": "m", "messages": [], "stream": 1}"#;
    for path in [
        "/v1/chat/%63ompletions",
        "/v1/chat/completions/",
        "/v1/chat/%63ompletions/?a=b",
        "/v1/v1/chat/completions",
        "/chat/completions/",
        "/v1/%72esponses/",
    ] {
        let (status, _, error) = app.send(Method::POST, path, &[], body).await;
        assert_eq!(status, 400, "{path}: {error}");
        assert!(error.contains("stream is 1"), "{path}: {error}");
    }
    for path in [
        "/v1/chat/completions;x",
        "/v1//chat/completions",
        "/v1/x/../chat/completions",
        "/v1/x/%2e%2E/chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat%5Ccompletions",
        "/v1/chat/%2563ompletions",
        "/v1/Chat/Completions",
        "/v1/models/../chat/completions",
        "/v1/models/%2e%2e/chat/completions",
    ] {
        let (status, _, error) = app.send(Method::POST, path, &[], body).await;
        assert_eq!(status, 400, "{path}: {error}");
        assert!(error.contains("the path"), "{path}: {error}");
    }
    assert!(server.requests().is_empty());
    let (status, ..) = app
        .send(Method::GET, "/v1/%66iles/a%20b?x=%2f", &[], "")
        .await;
    assert_eq!(status, 200);
    let head = &server.requests()[0].head;
    assert!(head.starts_with("GET /v1/files/a%20b?x=%2f "), "{head}");
    let (status, _, error) = app.send(Method::DELETE, "/v1/%72esponses", &[], "").await;
    assert_eq!(status, 405, "{error}");
    let (status, _, error) = app.send(Method::GET, "/v1/models/%ff", &[], "").await;
    assert_eq!(status, 400, "{error}");
    assert!(
        error.contains(r#""type":"invalid_request_error""#),
        "{error}"
    );
}

#[tokio::test]
async fn tokens_are_taken_for_json_and_settled_by_the_usage_of_a_reply() {
    let json = "content-type: application/json; charset=utf-8\r\n";
    let usage = r#"{"data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}"#;
    let server = ScriptedServer::start(vec![
        reply(200, json, usage),
        reply(200, json, "{}"),
        reply(500, json, "{}"),
        reply(200, "", usage),
        reply(200, json, usage),
        reply(200, json, "{}"),
    ])
    .await
    .unwrap();
    let (app, [alice]) = with_key(&server, &json!({"tokens_per_minute": 1000}));
    let of_json = [alice, ("content-type", "application/json")];
    let left = async |headers: &[(&str, &str)], body: String| {
        let path = "/v1/embeddings";
        let (status, headers, body) = app.send(Method::POST, path, headers, body).await;
        let left = headers["x-ratelimit-remaining-tokens"].to_str().unwrap();
        (status.as_u16(), left.parse::<u64>().unwrap(), body)
    };
    let body = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
    // The whole is taken until the reply is there.
    assert_eq!(left(&of_json, body(300)).await.1, 700);
    // It has used 8, and its successor does not tell.
    assert_eq!(left(&of_json, body(100)).await.1, 892);
    // What the provider refuses is not used.
    assert_eq!(left(&of_json, body(100)).await.1, 792);
    assert_eq!(left(&of_json, body(92)).await.1, 800);
    let (status, _, error) = left(&of_json, body(900)).await;
    assert_eq!(status, 429, "{error}");
    let (status, _, error) = left(&[alice], body(1100)).await;
    assert_eq!(status, 400, "{error}");
    assert!(error.contains("this key may use 1000"), "{error}");
    let output = r#"{"max_tokens": 3e2, "n": 2}"#;
    assert_eq!(left(&[alice], output.to_owned()).await.1, 173);
    for twice in [
        r#"{"max_tokens": 3, "max_tokens": 300}"#,
        r#"{"max_tokens": "3"}"#,
    ] {
        let (status, _, error) = app
            .send(Method::POST, "/v1/completions", &[alice], twice)
            .await;
        assert_eq!(status, 400, "{error}");
        assert!(
            error.contains("max_tokens") || error.contains("invalid type"),
            "{error}"
        );
    }
    // An upload is not text.
    let upload = [alice, ("content-type", "multipart/form-data; boundary=x")];
    assert_eq!(left(&upload, "x".repeat(5000)).await.1, 792);
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn a_copy_that_is_current_is_not_sent_again_and_a_redirect_is_not_passed_on() {
    let redirect = "location: https://elsewhere.example/secret\r\n";
    let server = ScriptedServer::start(vec![
        vec![Step::Write(
            "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".into(),
        )],
        reply(302, redirect, ""),
    ])
    .await
    .unwrap();
    let app = App::new(
        Gateway::builder().client(client(Provider::OpenAi, &format!("{}/v1", server.url()))),
    );
    let path = "/v1/files/f/content";
    let headers = [("if-none-match", "\"a\"")];
    let (status, headers, body) = app.send(Method::GET, path, &headers, "").await;
    assert_eq!((status.as_u16(), body.as_str()), (304, ""));
    assert_eq!(headers["etag"], "\"a\"");
    let (status, headers, body) = app.send(Method::GET, path, &[], "").await;
    assert_eq!(status, 502);
    assert!(!headers.contains_key("location") && !body.contains("elsewhere"));
    for says in ["the target openai", "302", "redirects are not followed"] {
        assert!(body.contains(says), "{body}");
    }
}

#[tokio::test]
async fn requests_to_other_endpoints_are_in_the_statistics() {
    let server = ScriptedServer::start(vec![
        reply(200, "", "{}"),
        reply(200, "", ""),
        reply(400, "", "{}"),
        vec![
            Step::Write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".into()),
            Step::Close,
        ],
    ])
    .await
    .unwrap();
    let app = App::new(
        Gateway::builder().client(client(Provider::OpenAi, &format!("{}/v1", server.url()))),
    );
    for method in [Method::GET, Method::HEAD, Method::GET, Method::GET] {
        app.send(method, "/v1/files/f", &[], "").await;
    }
    let (_, stats) = app.get("/v1/llm/stats", &[]).await;
    let of_target = &stats["providers"]["openai"];
    assert_eq!(
        of_target["calls"],
        json!({"total": 4, "under_way": 0, "failed": 2, "abandoned": 0, "retries": 0})
    );
    assert_eq!(of_target["recent"][0]["request"], "GET /v1/files/f");
    assert_eq!(of_target["recent"][1]["request"], "HEAD /v1/files/f");
    let (_, _, text) = app.send(Method::GET, "/metrics", &[], "").await;
    for line in [
        r#"warmline_forwarded_requests_total{gen_ai_provider_name="openai"} 2"#,
        r#"warmline_failures_total{gen_ai_provider_name="openai",error_type="status"} 1"#,
        r#"warmline_failures_total{gen_ai_provider_name="openai",error_type="stream"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn a_list_is_not_a_body_with_a_model() {
    let server = ScriptedServer::start(vec![]).await.unwrap();
    let url = format!("{}/v1", server.url());
    let app = App::new(
        Gateway::builder()
            .client(client(Provider::OpenAi, &url))
            .client(client(Provider::Groq, &url)),
    );
    let (status, _, body) = app
        .send(Method::POST, "/v1/embeddings", &[], r#"["groq/nomic"]"#)
        .await;
    assert_eq!(status, 404, "{body}");
    assert!(server.requests().is_empty());
}
