//! Routers, end to end over several simulators.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{builder, limits, sim};
use serde_json::json;
use tokio::runtime::Runtime;
use warmline::{
    Balancing, Client, DialectName, ErrorKind, EventStream, Provider, Reply, Request, Router,
    StreamEvent, Target,
};
use warmline_sim::Sim;

fn openai(sim: &Sim) -> Client {
    let builder = Client::builder(Provider::OpenAi).api_key("sk-secret-0002");
    builder
        .base_url(sim.openai_url())
        .no_proxy()
        .build()
        .unwrap()
}

fn ask(model: &str) -> Request {
    Request::new().user("hello").max_tokens(1000).model(model)
}

#[tokio::test]
async fn a_call_moves_on_at_once_and_its_attempts_name_their_targets() {
    let (first, second) = (sim().await, sim().await);
    let router = Router::builder()
        .target(
            Target::new(builder(&first).build().unwrap())
                .name("first")
                .model("m", "claude-test?status=529"),
        )
        .target(
            Target::new(openai(&second))
                .name("second")
                .priority(1)
                .model("m", "gpt-test?tokens=3"),
        )
        .build()
        .unwrap();
    let reply = router.chat(ask("m")).await.unwrap();
    let attempts: Vec<_> = reply
        .attempts()
        .iter()
        .map(|of| (of.target.as_deref().unwrap(), of.kind.as_deref()))
        .collect();
    assert_eq!(attempts, [("first", Some("overloaded")), ("second", None)]);
    assert_eq!(reply.provider, Provider::OpenAi);
    // The first cools down, so that it is not called again.
    let reply = router.stream(ask("m")).into_reply().await.unwrap();
    assert_eq!(reply.attempts().len(), 1);
    assert_eq!((first.stats().requests, second.stats().requests), (1, 2));
    let json = serde_json::to_value(router.stats()).unwrap();
    assert_eq!(json["targets"][0]["state"], "cooling");
    assert_eq!(json["targets"][0]["moved_away"], 1);
    assert_eq!(json["targets"][1]["state"], "ready");
}

#[tokio::test]
async fn tokens_are_counted_by_a_target_that_does_not_cool_down() {
    let (first, second) = (sim().await, sim().await);
    let of = |sim: &Sim| Target::new(builder(sim).build().unwrap());
    let router = Router::builder()
        .target(
            of(&first)
                .name("first")
                .model("m", "claude-test?status=529"),
        )
        .target(
            of(&second)
                .name("second")
                .model("m", "claude-test")
                .priority(1),
        )
        .build()
        .unwrap();
    router.chat(ask("m")).await.unwrap();
    let asked = (first.stats().requests, second.stats().requests);
    let body = r#"{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}"#;
    let body = || router.route(DialectName::Anthropic, body).unwrap();
    body().count_tokens([]).await.unwrap();
    let counted = (first.stats().requests, second.stats().requests);
    assert_eq!(counted, (asked.0, asked.1 + 1));
    // A key belongs to one target.
    let key = ("x-api-key".to_owned(), "sk-of-the-caller".to_owned());
    let error = body().count_tokens([key]).await.unwrap_err();
    assert!(error.message().contains("belongs to one target"), "{error}");
    assert_eq!((first.stats().requests, second.stats().requests), counted);
}

#[tokio::test]
async fn a_refused_request_is_an_answer_and_an_unknown_model_is_named() {
    let sim = sim().await;
    let router = Router::builder()
        .target(
            Target::new(openai(&sim))
                .name("a")
                .model("m", "gpt-test?status=400"),
        )
        .target(Target::new(openai(&sim)).name("b").model("m", "gpt-test"))
        .build()
        .unwrap();
    let mut answers = 0;
    for n in 0..20 {
        let request = ask("m").conversation(n.to_string());
        match router.chat(request).await {
            Ok(reply) => assert_eq!(reply.attempts().len(), 1),
            Err(error) => {
                assert_eq!(error.status(), Some(400));
                answers += 1;
            }
        }
    }
    assert!((1..20).contains(&answers), "{answers}");
    let error = router.chat(ask("other")).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Config);
    assert!(error.message().contains("\"other\""), "{error}");
}

#[tokio::test]
async fn in_a_passthrough_only_the_model_is_replaced() {
    let sim = sim().await;
    let router = Router::builder()
        .target(Target::new(openai(&sim)).model("fast", "gpt-test?tokens=2"))
        .build()
        .unwrap();
    let body =
        r#"{ "messages": [{"role": "user", "content": "hi"}],  "model" : "fast", "stream":false }"#;
    let chat = DialectName::OpenAiChat;
    let mut response = router.passthrough(chat, body, []).await.unwrap();
    while let Some(bytes) = response.chunk().await {
        bytes.unwrap();
    }
    assert_eq!(response.reply().unwrap().usage.output_tokens, 2);
    let error = router.passthrough(DialectName::Anthropic, body, []).await;
    let error = error.err().unwrap();
    assert!(error.message().contains("/v1/chat/completions"), "{error}");
}

/// A simulator in a runtime of its own, so that it can be killed with all its connections.
struct Killable {
    sim: Sim,
    runtime: Runtime,
}

impl Killable {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let sim = runtime.block_on(sim());
        Self { sim, runtime }
    }

    fn target(&self, name: &str, content: &str) -> Target {
        let client = Client::builder(Provider::OpenAi)
            .api_key("sk-secret-0002")
            .base_url(self.sim.openai_url())
            .limits(limits(100, 100))
            .no_proxy()
            .build()
            .unwrap();
        Target::new(client)
            .name(name)
            .model("content", format!("gpt-test?{content}"))
            .model("held", "gpt-test?hold&tokens=3")
            .model("quick", "gpt-test?tokens=1")
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Reads a stream to its end. Returns the number of texts, and the errors.
async fn read(mut stream: EventStream) -> (usize, Vec<ErrorKind>, Option<usize>) {
    let (mut texts, mut errors, mut attempts) = (0, Vec::new(), None);
    while let Some(event) = stream.next().await {
        match event {
            Ok(StreamEvent::Text { .. }) => texts += 1,
            Ok(StreamEvent::Done { reply }) => attempts = Some(reply.attempts().len()),
            Ok(_) => {}
            Err(error) => errors.push(error.kind().clone()),
        }
    }
    (texts, errors, attempts)
}

#[test]
fn when_a_target_is_killed_only_callers_with_content_learn_of_it_and_once() {
    const CALLS: usize = 20;
    let (killed, other) = (Killable::start(), Killable::start());
    let client = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    client.block_on(async {
        let router = Router::builder()
            .target(killed.target("killed", "tokens=9&after=2&stall&flush"))
            .target(other.target("other", "tokens=9&flush"))
            .balancing(Balancing::LeastBusy)
            .build()
            .unwrap();
        // Half of the calls that wait for their first content are at each target.
        let mut held = Vec::new();
        for _ in 0..CALLS {
            let stream = router.stream(ask("held"));
            held.push(tokio::spawn(read(stream)));
        }
        let half = CALLS / 2;
        for sim in [&killed.sim, &other.sim] {
            sim.wait_until(|stats| stats.requests >= half).await;
        }
        // These have the content that the target sends before it stalls, and wait for more of it.
        let mut streams = Vec::new();
        for _ in 0..CALLS {
            let mut stream = router.stream(ask("killed/content"));
            let mut texts = 0;
            while texts < 2 {
                let event = stream.next().await.unwrap().unwrap();
                texts += usize::from(matches!(event, StreamEvent::Text { .. }));
            }
            streams.push(tokio::spawn(read(stream)));
        }
        killed.kill();
        other.sim.wait_until(|stats| stats.requests == CALLS).await;
        other.sim.release(CALLS);
        let mut moved = 0;
        for call in held {
            let (texts, errors, attempts) = call.await.unwrap();
            assert_eq!((texts, errors), (3, vec![]));
            moved += attempts.unwrap() - 1;
        }
        assert_eq!(moved, CALLS / 2);
        for call in streams {
            let (texts, errors, attempts) = call.await.unwrap();
            assert_eq!((texts, attempts, errors.len()), (0, None, 1), "{errors:?}");
        }
        // New calls do not notice it either.
        for _ in 0..CALLS {
            router.chat(ask("quick")).await.unwrap();
        }
        let stats = router.stats();
        assert_eq!(stats.targets[0].in_flight + stats.targets[1].in_flight, 0);
        assert!(stats.targets[0].failures >= CALLS as u64 / 2);
        assert_eq!(stats.targets[0].moved_away, CALLS as u64 / 2);
    });
    other.kill();
}

#[tokio::test]
async fn what_an_account_has_stored_is_continued_there() {
    for provider in [Provider::OpenAi, Provider::Anthropic] {
        let sims = [sim().await, sim().await];
        let target = |sim: &Sim| {
            let client = match provider {
                Provider::OpenAi => openai(sim)
                    .with_dialect(DialectName::OpenAiResponses)
                    .unwrap(),
                _ => builder(sim).build().unwrap(),
            };
            Target::new(client).model("m", "test")
        };
        let router = Router::builder()
            .target(target(&sims[0]).name("first"))
            .target(target(&sims[1]).name("second"))
            .build()
            .unwrap();
        let target_of = |reply: &Reply| reply.attempts()[0].target.clone();
        // The first targets of these conversations differ. A continued one has another first message.
        for i in 0..8 {
            let begin = Request::new().user(format!("Begin {i}")).model("m");
            let begin = match provider {
                Provider::OpenAi => begin.store(true),
                _ => begin.extra_body("thread", json!({"type": "create"})),
            };
            let mut last = router.chat(begin).await.unwrap();
            for message in ["Next", "Last"] {
                let next = Request::new().user(message).model("m");
                let next = match provider {
                    Provider::OpenAi => next.previous_response_id(&last.id),
                    _ => {
                        let thread = json!({"type": "continue", "previous_message_id": last.id});
                        next.extra_body("thread", thread)
                    }
                };
                // The simulator of the other account does not know it.
                let reply = router.chat(next).await.unwrap();
                assert_eq!(target_of(&reply), target_of(&last), "{provider:?} {i}");
                last = reply;
            }
        }
        for sim in &sims {
            assert!(sim.stats().requests > 0, "{provider:?}");
        }
    }
}
