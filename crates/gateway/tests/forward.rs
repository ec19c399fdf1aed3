//! Paths that the gateway passes through to a provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use axum::http::Method;
use common::{App, KEY, client, reply};
use serde_json::json;
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
    assert!(
        body.contains("there is a budget, and no price is known for POST"),
        "{body}"
    );
    let (status, ..) = app.send(Method::GET, "/v1/files", &poor, "").await;
    assert_eq!(status, 200);
    assert_eq!(server.requests().len(), 2);
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
