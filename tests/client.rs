//! The client's public API, against the simulator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{ask, builder, client, sim};
use serde_json::json;
use warmline::{
    CacheTtl, Client, Effort, ErrorKind, Limits, MediaSource, Message, Part, Provider, Request,
    RetryPolicy, StopReason, StreamEvent, Tool,
};
use warmline_sim::Sim;

fn openai(sim: &Sim) -> Client {
    Client::builder(Provider::OpenAi)
        .api_key("sk-secret-000001")
        .base_url(sim.openai_url())
        .no_proxy()
        .build()
        .unwrap()
}

#[test]
fn a_client_is_send_sync_clone_and_static() {
    fn anywhere<T: Clone + Send + Sync + 'static>() {}
    fn sendable<T: Send>(_: T) {}
    anywhere::<Client>();
    sendable(
        Client::builder(Provider::OpenAi)
            .api_key("k")
            .build()
            .unwrap()
            .stream("hi"),
    );
}

#[tokio::test]
async fn both_dialects_give_the_same_reply_streamed_or_not() {
    let sim = sim().await;
    for client in [client(&sim), openai(&sim)] {
        let request = Request::new()
            .user("Say something.")
            .system("Be brief.")
            .model("m")
            .max_tokens(500);
        let whole = client.chat(request.clone()).await.unwrap();
        let mut texts = String::new();
        let mut done = None;
        let mut stream = client.stream(request);
        while let Some(event) = stream.next().await {
            match event.unwrap() {
                StreamEvent::Start { id, model } => assert!(!id.is_empty() && model == "m"),
                StreamEvent::Text { text } => texts.push_str(&text),
                StreamEvent::Done { reply } => done = Some(*reply),
                other => panic!("{other:?}"),
            }
        }
        let streamed = done.unwrap();
        assert!(
            whole.text().contains("You said: “Say something.”"),
            "{}",
            whole.text()
        );
        assert_eq!(texts, whole.text());
        assert_eq!(streamed.content, whole.content);
        assert_eq!(
            (&streamed.stop_reason, streamed.usage.output_tokens),
            (&whole.stop_reason, whole.usage.output_tokens)
        );
        assert_eq!(whole.stop_reason, Some(StopReason::EndTurn));
        assert!(whole.usage_reported && streamed.usage_reported && whole.usage.input_tokens > 0);
        assert!(whole.request_id.is_some() && streamed.request_id.is_some());
        assert!(whole.raw().is_some() && streamed.raw().is_none());
    }
}

#[tokio::test]
async fn a_tool_result_continues_a_conversation() {
    let sim = sim().await;
    for client in [client(&sim), openai(&sim)] {
        let weather = Tool::new(
            "weather",
            "The weather.",
            json!({
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            }),
        );
        let mut request = Request::new()
            .user("Bern")
            .tool(weather)
            .effort(Effort::Low)
            .max_tokens(4000)
            .model("m");
        let first = client.stream(request.clone()).into_reply().await.unwrap();
        assert_eq!(first.stop_reason, Some(StopReason::ToolUse));
        assert!(first.reasoning().contains("simulated"));
        let call = first.tool_calls().next().unwrap().clone();
        assert_eq!(
            (call.name.as_str(), call.parse().ok()),
            ("weather", Some(json!({"city": "Bern", "days": 1})))
        );
        // The simulator checks that reasoning and signatures are sent back unchanged.
        request = request
            .message(first.into_message())
            .message(Message::tool_result(&call.id, "sunny"));
        let second = client.chat(request).await.unwrap();
        assert!(
            second.text().starts_with("The tool says: sunny."),
            "{}",
            second.text()
        );
    }
}

#[tokio::test]
async fn a_schema_gives_a_reply_that_parses_into_a_type() {
    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct City {
        name: String,
        people: u32,
    }
    let sim = sim().await;
    let schema = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    });
    for client in [client(&sim), openai(&sim)] {
        let request = Request::new()
            .user("A city?")
            .response_format("city", schema.clone())
            .model("m");
        let reply = client.chat(request.clone()).await.unwrap();
        assert_eq!(
            reply.parse::<City>().unwrap(),
            City {
                name: "example".into(),
                people: 1
            }
        );
        let cut = client.chat(request.max_tokens(1)).await.unwrap();
        let error = cut.parse::<u32>().unwrap_err();
        assert!(
            error.to_string().contains("max_tokens")
                || cut.stop_reason == Some(StopReason::EndTurn),
            "{error}"
        );
    }
}

#[tokio::test]
async fn images_and_documents_are_sent() {
    let sim = sim().await;
    let turn = Message::user("What is this?")
        .with(Part::image(MediaSource::base64(
            "image/png",
            "iVBORw0KGgo=",
        )))
        .with(Part::document(MediaSource::base64(
            "application/pdf",
            "JVBERi0=",
        )));
    for client in [client(&sim), openai(&sim)] {
        let reply = client
            .chat(Request::new().message(turn.clone()).model("m"))
            .await
            .unwrap();
        assert!(
            reply
                .text()
                .starts_with("I see 1 picture (image/png) and 1 document."),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn prompts_with_cache_control_are_cached() {
    let sim = sim().await;
    let client = client(&sim);
    let mut request = Request::new().user("And now?").model("m");
    request.system =
        vec![Part::text("a long preamble ".repeat(100)).cache_control(CacheTtl::FiveMinutes)];
    let first = client.chat(request.clone()).await.unwrap().usage;
    let second = client.stream(request).into_reply().await.unwrap().usage;
    assert!(
        first.cache_write_tokens > 300 && first.cache_read_tokens == 0,
        "{first:?}"
    );
    assert_eq!(
        (second.cache_write_tokens, second.cache_read_tokens),
        (0, first.cache_write_tokens)
    );
    assert_eq!(first.total_input_tokens(), second.total_input_tokens());
}

#[tokio::test]
async fn deviations_of_compatible_servers_are_handled() {
    let sim = sim().await;
    let client = openai(&sim);
    for scenario in [
        "no-usage",
        "no-done",
        "crlf",
        "no-usage&no-done&crlf",
        "json-only",
        "content-type=text/plain",
    ] {
        let request = Request::new()
            .user("hi")
            .model(format!("m?tokens=4&{scenario}"));
        let reply = client.stream(request).into_reply().await.unwrap();
        assert_eq!(
            (reply.text().as_str(), reply.usage_reported),
            (
                "warm connections answer sooner ",
                !scenario.contains("usage")
            )
        );
    }
    let mut raw = Request::new().user("hi").model("m?tokens=1");
    raw.keep_raw = true;
    let reply = client.stream(raw).into_reply().await.unwrap();
    assert!(reply.raw().unwrap().ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn an_event_of_several_megabytes_is_read() {
    let sim = sim().await;
    let reply = client(&sim)
        .stream(ask("huge=3000000"))
        .into_reply()
        .await
        .unwrap();
    assert_eq!(reply.text().len(), 3_000_000);
}

#[tokio::test]
async fn the_size_of_a_reply_is_bounded() {
    let sim = sim().await;
    let builder = builder(&sim).retry(RetryPolicy::never());
    let client = builder.max_reply_bytes(1 << 20).build().unwrap();
    let request = || ask("huge=3000000");
    for reply in [
        client.chat(request()).await,
        client.stream(request()).into_reply().await,
    ] {
        let error = reply.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Decode, "{error}");
        assert!(error.message().contains("1048576 bytes"), "{error}");
    }
}

#[tokio::test]
async fn a_web_page_in_place_of_a_reply_is_a_clear_error() {
    let sim = sim().await;
    let client = client(&sim);
    let page = || ask("status=200&content-type=text/html&body=<html>Please+log+in</html>");
    for reply in [
        client.chat(page()).await,
        client.stream(page()).into_reply().await,
    ] {
        let error = reply.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Decode);
        assert!(error.to_string().contains("<html>Please log in"), "{error}");
    }
}

#[tokio::test]
async fn keys_never_appear_in_errors() {
    let sim = sim().await;
    let key = "sk-ant-invalid-0123456789";
    for (provider, url) in [
        (Provider::Anthropic, sim.anthropic_url()),
        (Provider::OpenAi, sim.openai_url()),
    ] {
        let builder = Client::builder(provider)
            .api_key(key)
            .base_url(url)
            .no_proxy();
        assert!(!format!("{builder:?}").contains(key));
        let client = builder.build().unwrap();
        assert!(!format!("{client:?}").contains(key));
        // The simulator echoes the key.
        let error = client
            .chat(Request::new().user("hi").model("m"))
            .await
            .unwrap_err();
        let shown = format!("{error} {error:?} {:?} {:?}", error.body(), error.kind());
        assert!(
            shown.contains("[redacted]") && !shown.contains(key),
            "{shown}"
        );
        assert_eq!(error.status(), Some(401));
    }
}

#[tokio::test]
async fn redirects_do_not_receive_keys() {
    let (sim, elsewhere) = (sim().await, sim().await);
    let location = format!("{}/v1/messages", elsewhere.url());
    let client = builder(&sim).retry(RetryPolicy::never()).build().unwrap();
    let error = client
        .chat(ask(&format!("status=307&location={location}")))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&location), "{error}");
    assert_eq!(elsewhere.stats().total, 0);
}

#[test]
fn invalid_settings_are_named() {
    let build = |change: fn(warmline::ClientBuilder) -> warmline::ClientBuilder| {
        let error = change(Client::builder(Provider::OpenAi).api_key("k"))
            .build()
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts().len()),
            (&ErrorKind::Config, 0)
        );
        error.to_string()
    };
    for (shown, message) in [
        (
            "max_connections is 0",
            build(|b| {
                b.limits(Limits {
                    max_connections: 0,
                    ..Limits::default()
                })
            }),
        ),
        (
            "max_keepalive_connections is 11",
            build(|b| {
                b.limits(Limits {
                    max_keepalive_connections: 11,
                    ..Limits::default()
                })
            }),
        ),
        ("timeout is 0", build(|b| b.timeout(Duration::ZERO))),
        ("deadline is 0", build(|b| b.deadline(Duration::ZERO))),
        ("\"nowhere\"", build(|b| b.base_url("nowhere"))),
        (
            "no API key for openai: set OPENAI_API_KEY",
            build(|b| b.api_key(" ")),
        ),
        ("API key", build(|b| b.api_key("a\nb"))),
        ("\"a b\"", build(|b| b.header("a b", "c"))),
        (
            "\"Authorization\"",
            build(|b| b.header("Authorization: Bearer hunter2", "")),
        ),
        (
            "PEM",
            build(|b| {
                b.root_certificate("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
            }),
        ),
    ] {
        assert!(
            message.contains(shown) && !message.contains("hunter2"),
            "{message}"
        );
    }
}

#[test]
fn an_invalid_proxy_is_named_without_its_password() {
    let build = |proxy: &str| {
        let builder = Client::builder(Provider::OpenAi).api_key("k").proxy(proxy);
        builder.build().map_err(|e| e.to_string())
    };
    for (proxy, shown) in [
        ("", "is empty"),
        (" ", "is empty"),
        ("ftp://127.0.0.1:1", "the unknown scheme \"ftp\""),
        (
            "socks6://user:hunter2@127.0.0.1",
            "the unknown scheme \"socks6\"",
        ),
        ("user:hunter2@127.0.0.1://", "no scheme before its"),
        ("://127.0.0.1", "no scheme before its"),
        ("::", "cannot be read"),
        ("http://", "cannot be read"),
        ("http://:3128", "cannot be read"),
        ("socks5://", "has no host"),
        ("http://127.0.0.1:99999", "invalid port"),
        ("127.0.0.1:port", "invalid port"),
        ("http://127.0.0.1/hunter2", "has a path"),
        (
            "http://127.0.0.1?hunter2",
            "has a path, a query or a fragment",
        ),
        ("http://user:1#hunter2@127.0.0.1", "as %2F, %3F and %23"),
        ("http://user:hunter2@ho st", "cannot be read"),
    ] {
        let error = build(proxy).unwrap_err();
        assert!(error.contains(shown), "{proxy:?}: {error}");
        assert!(
            error.contains("the proxy") && error.contains("socks4, socks4a, socks5, socks5h"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
    for proxy in [
        "127.0.0.1:3128",
        "user:pass@proxy",
        " HTTP://[::1]:3128/ ",
        "https://user:p%23ss@proxy.example",
        "SOCKS5h://proxy.example",
        "socks4a://proxy.example:1080",
    ] {
        build(proxy).unwrap();
    }
}

#[test]
fn errors_about_base_urls_show_no_secret() {
    for url in [
        "https://user:hunter2@host/v1",
        "ftp://host/v1#hunter2",
        "user:hunter2@host",
    ] {
        let builder = Client::builder(Provider::OpenAi).api_key("k").base_url(url);
        let shown = format!("{builder:?}");
        let error = builder.build().unwrap_err();
        let shown = format!("{shown} {error} {error:?}");
        assert!(
            shown.contains("host") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn invalid_requests_are_named_and_not_sent() {
    let sim = sim().await;
    let client = client(&sim);
    let mut budget = Request::new().user("x");
    budget = budget.reasoning_budget(1024);
    for (shown, request) in [
        ("no messages", Request::new()),
        ("messages[0] is empty", Request::new().user("  ")),
        ("max_tokens is 0", Request::new().user("x").max_tokens(0)),
        (
            "temperature is 3",
            Request::new().user("x").temperature(3.0),
        ),
        (
            "temperature is NaN",
            Request::new().user("x").temperature(f64::NAN),
        ),
    ] {
        let error = client.chat(request.clone()).await.unwrap_err();
        assert!(
            *error.kind() == ErrorKind::Config && error.to_string().contains(shown),
            "{error}"
        );
        let mut stream = client.stream(request);
        assert_eq!(
            *stream.next().await.unwrap().unwrap_err().kind(),
            ErrorKind::Config
        );
        assert!(stream.next().await.is_none());
    }
    let error = openai(&sim).chat(budget).await.unwrap_err();
    assert!(error.to_string().contains("budget_tokens"), "{error}");
    assert_eq!(sim.stats().total, 0);
}

#[tokio::test]
async fn calls_go_through_a_proxy() {
    // The simulator is the proxy. A plain-HTTP proxy takes the request target in absolute form.
    let sim = sim().await;
    let client = Client::builder(Provider::Anthropic)
        .api_key("k")
        .base_url("http://llm.invalid")
        .proxy(sim.url().replace("http://", "http://user:pass@"))
        .build()
        .unwrap();
    client.chat(ask("tokens=1")).await.unwrap();
    assert_eq!(sim.stats().requests, 1);
}
