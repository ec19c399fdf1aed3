//! The pool over TLS, over HTTP/2 and on a slow network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{ask, builder, limits, line, sim, stats_become};
use tokio::task::JoinSet;
use warmline::{Client, ClientBuilder, ErrorKind, HttpVersion, Provider, RetryPolicy};
use warmline_sim::{Config, Sim};

#[tokio::test]
async fn tls_connections_are_pooled_and_sessions_resumed() {
    let sim = Sim::start(Config {
        tls: true,
        ..Config::default()
    })
    .await
    .unwrap();
    let client = builder(&sim)
        .root_certificate(sim.certificate().unwrap())
        .build()
        .unwrap();
    client.chat(ask("tokens=1")).await.unwrap();
    client.stream(ask("tokens=1")).into_reply().await.unwrap();
    stats_become(
        &client,
        "Requests: 0 active, 0 queued | Connections: 0 active, 1 idle, 0 connecting",
    )
    .await;
    assert_eq!(client.warm_up(4).await.unwrap(), 4);
    let theirs = sim.wait_until(|s| s.open == 5 && s.tls == 5).await;
    assert_eq!(theirs.requests_per_connection[0], 2);
    assert!(theirs.tls_resumed >= 1, "{theirs:?}");
    drop(client);
    sim.wait_until(|s| s.open == 0).await;
}

#[tokio::test]
async fn an_untrusted_certificate_is_a_connect_error_that_names_it() {
    let sim = Sim::start(Config {
        tls: true,
        ..Config::default()
    })
    .await
    .unwrap();
    let client = builder(&sim).retry(RetryPolicy::never()).build().unwrap();
    let error = client.chat(ask("")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Connect);
    assert!(
        error.to_string().to_lowercase().contains("certificate"),
        "{error}"
    );
    stats_become(
        &client,
        "Requests: 0 active, 0 queued | Connections: 0 active, 0 idle, 0 connecting",
    )
    .await;
}

#[tokio::test]
async fn a_dead_proxy_is_named_with_its_setting_and_without_its_password() {
    // A port that nothing listens at.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://user:pass@{address}");
    let variables = |name: &'static str| {
        let url = url.clone();
        move |asked: &str| (asked == name).then(|| url.clone())
    };
    let build = |target: &str, proxy: Option<&'static str>| {
        let builder = match proxy {
            Some(name) => ClientBuilder::from_vars(variables(name)).unwrap(),
            None => Client::builder(Provider::OpenAi).proxy(&url),
        };
        let builder = builder.base_url(target).api_key("sk-test");
        builder.retry(RetryPolicy::never()).build().unwrap()
    };
    for (target, proxy, setting) in [
        ("https://llm.example", None, "`ClientBuilder::proxy`"),
        ("https://llm.example", Some("HTTPS_PROXY"), "HTTPS_PROXY"),
        ("http://llm.example", Some("ALL_PROXY"), "ALL_PROXY"),
    ] {
        let error = build(target, proxy).chat("Hello").await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Connect);
        assert_eq!(
            error.message(),
            format!("no connection to {target} through the proxy http://{address} ({setting})")
        );
        assert!(!error.to_string().contains("pass"), "{error}");
    }
}

#[tokio::test]
async fn http2_calls_share_a_connection() {
    for tls in [false, true] {
        let sim = Sim::start(Config {
            tls,
            ..Config::default()
        })
        .await
        .unwrap();
        let mut builder = builder(&sim).http_version(HttpVersion::Http2);
        if let Some(pem) = sim.certificate() {
            builder = builder.root_certificate(pem);
        }
        let client = builder.build().unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..40 {
            let client = client.clone();
            calls.spawn(async move { client.chat(ask("hold")).await });
        }
        sim.wait_until(|s| s.holding == 40).await;
        assert_eq!(
            line(&client),
            "Requests: 40 active, 0 queued | Connections: 1 active, 0 idle, 0 connecting"
        );
        // Dropping one call in the middle ends only its stream.
        let mut stream = client.stream(ask("tokens=9&stall&after=2"));
        stream.next().await.unwrap().unwrap();
        drop(stream);
        sim.release(40);
        while let Some(reply) = calls.join_next().await {
            reply.unwrap().unwrap();
        }
        stats_become(
            &client,
            "Requests: 0 active, 0 queued | Connections: 0 active, 1 idle, 0 connecting",
        )
        .await;
        assert_eq!((sim.stats().total, sim.stats().peak), (1, 1), "tls {tls}");
        drop(client);
        sim.wait_until(|s| s.open == 0).await;
    }
}

#[tokio::test]
async fn http2_opens_another_connection_when_the_streams_of_one_are_used_up() {
    let sim = sim().await;
    let client = builder(&sim)
        .http_version(HttpVersion::Http2)
        .limits(limits(2, 2))
        .build()
        .unwrap();
    let mut calls = JoinSet::new();
    // hyper's servers allow 200 streams.
    for _ in 0..430 {
        let client = client.clone();
        calls.spawn(async move { client.chat(ask("hold")).await });
    }
    sim.wait_until(|s| s.holding == 400).await;
    assert_eq!(
        line(&client),
        "Requests: 400 active, 30 queued | Connections: 2 active, 0 idle, 0 connecting"
    );
    sim.release(430);
    while let Some(reply) = calls.join_next().await {
        reply.unwrap().unwrap();
    }
    assert_eq!(sim.stats().peak, 2);
}

/// A dead network is noticed by the kernel, because a silent model looks the same to a client.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_probes_a_silent_connection() {
    let sim = sim().await;
    let client = builder(&sim).build().unwrap();
    client.warm_up(1).await.unwrap();
    let port = sim.url().rsplit_once(':').unwrap().1.to_owned();
    let port = format!(":{:04X}", port.parse::<u16>().unwrap());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut fields = sockets.lines().map(|line| line.split_whitespace());
    // The columns are: number, local address, remote address, state, queues, and timer:when.
    let timer = fields
        .find_map(|mut fields| {
            let remote = fields.nth(2)?;
            remote.ends_with(&port).then(|| fields.nth(2)).flatten()
        })
        .unwrap();
    // Timer 2 is that of keepalive. `when` is in hundredths of a second.
    let (kind, when) = timer.split_once(':').unwrap();
    assert_eq!(kind, "02", "{timer}");
    assert!(u32::from_str_radix(when, 16).unwrap() <= 1500, "{timer}");
}

#[tokio::test]
async fn a_call_on_an_open_connection_saves_the_handshakes() {
    let way = Duration::from_millis(15);
    let config = Config {
        tls: true,
        one_way_delay: way,
        ..Config::default()
    };
    let sim = Sim::start(config).await.unwrap();
    let client = builder(&sim)
        .root_certificate(sim.certificate().unwrap())
        .build()
        .unwrap();
    // TCP and TLS 1.3 (RFC 8446, section 2) take one round trip each, before that of the request.
    let cold = client.chat(ask("tokens=1")).await.unwrap().timing;
    assert!(cold.connect.unwrap() >= 4 * way, "{cold:?}");
    assert!(cold.time_to_first_token >= 6 * way, "{cold:?}");
    let warm = client.chat(ask("tokens=1")).await.unwrap().timing;
    assert!(
        warm.connect.is_none() && warm.time_to_first_token >= 2 * way,
        "{warm:?}"
    );
}
