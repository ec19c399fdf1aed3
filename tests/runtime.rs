//! Calls need a Tokio runtime, and fail clearly without one. Clients and streams can be created and dropped anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use common::{ask, builder, client, sim};
use pollster::block_on;
use tokio::runtime::Runtime;
use warmline::{
    Budget, Client, CostTracker, Error, ErrorKind, Ledger, Provider, RestLedger, Settlement,
    StreamEvent, Usd,
};
use warmline_sim::{ScriptedServer, Sim, Step};

const BODY: &str =
    r#"{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}"#;

/// A multi-thread runtime, which keeps running while the test is outside it.
fn runtime() -> (Runtime, Sim) {
    let runtime = Runtime::new().unwrap();
    let sim = runtime.block_on(sim());
    (runtime, sim)
}

#[track_caller]
fn assert_names_the_runtime(error: &Error) {
    assert_eq!(*error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(error.attempts().len(), 0);
    for what in ["Tokio runtime", "#[tokio::main]", "Runtime::block_on"] {
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn calls_outside_a_runtime_are_errors() {
    let client = Client::builder(Provider::Anthropic)
        .base_url("http://127.0.0.1:9")
        .deadline(std::time::Duration::from_secs(1))
        .build()
        .unwrap();
    assert_names_the_runtime(&block_on(client.chat("Hi")).unwrap_err());
    let mut stream = client.stream("Hi");
    assert_names_the_runtime(&block_on(stream.next()).unwrap().unwrap_err());
    assert!(block_on(stream.next()).is_none());
    assert_names_the_runtime(&block_on(client.stream("Hi").into_reply()).unwrap_err());
    assert_names_the_runtime(&block_on(client.passthrough(BODY, [])).err().unwrap());
    assert_names_the_runtime(&block_on(client.warm_up(1)).unwrap_err());
    assert_eq!(client.stats().open, Some(0));
    // These need no network.
    assert_eq!(
        block_on(client.cost_tracker().spend()).unwrap().total,
        Usd::ZERO
    );
    block_on(client.cost_tracker().flush()).unwrap();
}

#[test]
fn ledgers_outside_a_runtime_are_errors() {
    fn check(ledger: impl Ledger + 'static) {
        let budgets = [Budget::monthly("b", "1".parse().unwrap()).unwrap()];
        let reserved = block_on(ledger.reserve(1, &budgets, Usd::ZERO));
        assert_names_the_runtime(&reserved.unwrap_err());
        assert_names_the_runtime(&block_on(ledger.state("b")).unwrap_err());
        let Settlement::Pending(settled) = ledger.settle(1, Usd::ZERO) else {
            panic!("settled at once");
        };
        assert_names_the_runtime(&block_on(settled).unwrap_err());
        let [budget] = budgets;
        let tracker = CostTracker::new().budget(budget).ledger(ledger);
        assert_names_the_runtime(&block_on(tracker.spend()).unwrap_err());
        block_on(tracker.flush()).unwrap();
    }
    check(RestLedger::new("http://127.0.0.1:9", "token").unwrap());
    #[cfg(feature = "redis")]
    check(warmline::RedisLedger::open("redis://127.0.0.1:9").unwrap());
}

#[test]
fn a_call_that_was_started_in_a_runtime_fails_outside() {
    let (runtime, sim) = runtime();
    let client = client(&sim);
    let mut call = pin!(client.chat(ask("stall")));
    let polled = runtime.block_on(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))));
    assert!(polled.is_pending());
    assert_names_the_runtime(&block_on(call).unwrap_err());
}

#[test]
fn a_stream_that_was_started_in_a_runtime_continues_outside() {
    let runtime = Runtime::new().unwrap();
    let chunk = |rest: &str| {
        Step::Write(format!(
            "data: {{\"model\":\"m\",\"choices\":[{{\"index\":0,{rest}}}]}}\n\n"
        ))
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let Step::Write(first) = chunk(r#""delta":{"content":"one"}"#) else {
        unreachable!()
    };
    // The content comes with the head, so nothing waits in the runtime.
    let reply = vec![
        Step::Write([head, &first].concat()),
        Step::Wait,
        chunk(r#""delta":{"content":" two"},"finish_reason":"stop""#),
        Step::Close,
    ];
    let server = runtime
        .block_on(ScriptedServer::start(vec![reply]))
        .unwrap();
    let client = Client::builder(Provider::OpenAi)
        .api_key("k")
        .base_url(format!("{}/v1", server.url()))
        .build()
        .unwrap();
    let mut stream = client.stream(ask("m"));
    runtime.block_on(async {
        while !matches!(
            stream.next().await.unwrap().unwrap(),
            StreamEvent::Text { .. }
        ) {}
    });
    let mut reply = pin!(stream.into_reply());
    let outside = reply.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(outside.is_pending());
    server.release();
    assert_eq!(block_on(reply).unwrap().text(), "one two");
}

#[test]
fn streams_and_clients_can_be_dropped_outside_a_runtime_and_after_its_end() {
    let (runtime, sim) = runtime();
    for runtime_ends_first in [false, true] {
        let calling = Runtime::new().unwrap();
        let client = builder(&sim).build().unwrap();
        let mut stream = client.stream(ask("tokens=9&stall&after=2"));
        let body = BODY
            .replace("\"m\"", "\"claude-test?tokens=9&stall&after=2\"")
            .replace("{\"model", "{\"stream\": true, \"model");
        let mut response = calling.block_on(async {
            stream.next().await.unwrap().unwrap();
            client.warm_up(1).await.unwrap();
            client.passthrough(body, []).await.unwrap()
        });
        if runtime_ends_first {
            drop(calling);
            let failed = block_on(async {
                loop {
                    if let Err(error) = stream.next().await.unwrap() {
                        break error;
                    }
                }
            });
            assert_eq!(*failed.kind(), ErrorKind::Stream, "{failed}");
            while let Some(Ok(_)) = block_on(response.chunk()) {}
            assert_eq!(client.stats().open, Some(0));
        }
        drop((stream, response, client));
    }
    drop((sim, runtime));
}
