#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use js_sys::{Array, Function, JSON, Reflect};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::wasm_bindgen_test;

use super::{Call, Core};

const OPTIONS: &str =
    r#"{"provider": "openai", "apiKey": "sk-secret-0001", "model": "m", "maxRetries": 0}"#;
const REQUEST: &str = r#"{"messages": [{"role": "user", "content": "Hi"}]}"#;

fn core(options: &str) -> Core {
    Core::new(options, None, None, None).unwrap_or_else(|e| panic!("{e:?}"))
}

/// A `fetch` with this body.
fn fetch(body: &str) -> Function {
    Function::new_with_args("url, init", body)
}

/// A `fetch` that answers with these pieces of a body, each in a task of its own.
fn streamed(pieces: &[String]) -> Function {
    let pieces = json!(pieces);
    fetch(&format!(
        "const pieces = {pieces};
        return new Response(new ReadableStream({{
            async pull(controller) {{
                await new Promise((resolve) => setTimeout(resolve));
                if (pieces.length === 0) return controller.close();
                controller.enqueue(new TextEncoder().encode(pieces.shift()));
            }},
        }}), {{ headers: {{ 'content-type': 'text/event-stream' }} }});"
    ))
}

fn chunk(text: &str, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": finish});
    format!(
        "data: {}\n\n",
        json!({"id": "c1", "model": "m", "choices": [choice]})
    )
}

async fn next(call: &Call) -> Result<Option<Value>, Value> {
    let parsed = |text: JsValue| {
        text.as_string()
            .map(|text| serde_json::from_str(&text).unwrap())
    };
    let next = JsFuture::from(call.next()).await;
    next.map(parsed)
        .map_err(|e| parsed(e).expect("errors are JSON"))
}

#[wasm_bindgen_test]
async fn a_chat_is_sent_by_the_callers_fetch_and_has_one_event() {
    let fetch = fetch(
        "globalThis.seen = { url, method: init.method, key: init.headers.authorization, body: new TextDecoder().decode(init.body) };
        const message = { role: 'assistant', content: 'Hello' };
        const usage = { prompt_tokens: 3, completion_tokens: 1 };
        return Response.json({ id: 'c1', model: 'm', choices: [{ message, finish_reason: 'stop' }], usage });",
    );
    let call = core(OPTIONS).call(REQUEST, false, fetch, None);
    let events = next(&call).await.unwrap().unwrap();
    assert_eq!(events[0]["type"], "done");
    assert_eq!(
        events[0]["reply"]["content"],
        json!([{"type": "text", "text": "Hello"}])
    );
    assert_eq!(events[0]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(next(&call).await.unwrap(), None);
    let seen = Reflect::get(&js_sys::global(), &"seen".into()).unwrap();
    let seen: Value = serde_json::from_str(&String::from(JSON::stringify(&seen).unwrap())).unwrap();
    assert_eq!(seen["url"], "https://api.openai.com/v1/chat/completions");
    assert_eq!(
        (&seen["method"], &seen["key"]),
        (&json!("POST"), &json!("Bearer sk-secret-0001"))
    );
    assert!(
        seen["body"].as_str().unwrap().contains(r#""model":"m""#),
        "{seen}"
    );
}

#[wasm_bindgen_test]
async fn a_stream_has_its_events_as_they_arrive() {
    let pieces = [
        chunk("Hel", None),
        chunk("lo", Some("stop")),
        "data: [DONE]\n\n".to_owned(),
    ];
    let core = core(OPTIONS);
    let call = core.call(REQUEST, true, streamed(&pieces), None);
    let first = next(&call).await.unwrap().unwrap();
    assert_eq!((core.active(), core.peak()), (1, 1));
    let mut events = first.as_array().unwrap().clone();
    assert!(
        events.iter().all(|event| event["type"] != "done"),
        "{events:?}"
    );
    while let Some(more) = next(&call).await.unwrap() {
        events.extend(more.as_array().unwrap().clone());
    }
    let texts: Vec<&str> = events
        .iter()
        .filter_map(|event| event["text"].as_str())
        .collect();
    assert_eq!(texts, ["Hel", "lo"]);
    assert_eq!(events.last().unwrap()["type"], "done");
    assert_eq!(core.active(), 0);
}

#[wasm_bindgen_test]
async fn a_cancelled_call_aborts_its_fetch_and_the_next_call_works() {
    let silent = fetch(
        "return new Promise((_, reject) => init.signal.addEventListener('abort', () => {
            globalThis.aborted = true;
            reject(init.signal.reason);
        }));",
    );
    let core = core(OPTIONS);
    let call = core.call(REQUEST, true, silent, None);
    let waiting = call.next();
    // The task of the promise has been polled.
    JsFuture::from(js_sys::Promise::resolve(&JsValue::NULL))
        .await
        .unwrap();
    JsFuture::from(js_sys::Promise::resolve(&JsValue::NULL))
        .await
        .unwrap();
    assert_eq!(core.active(), 1);
    call.cancel();
    assert_eq!(core.active(), 0);
    let error = JsFuture::from(waiting)
        .await
        .unwrap_err()
        .as_string()
        .unwrap();
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["error"]["kind"], "cancelled");
    let aborted = Reflect::get(&js_sys::global(), &"aborted".into());
    assert!(aborted.unwrap().is_truthy());
    let pieces = [chunk("Hello", Some("stop")), "data: [DONE]\n\n".to_owned()];
    let call = core.call(REQUEST, true, streamed(&pieces), None);
    let mut last = None;
    while let Some(events) = next(&call).await.unwrap() {
        last = events.as_array().unwrap().last().cloned();
    }
    assert_eq!(last.unwrap()["reply"]["stop_reason"], "end_turn");
}

#[wasm_bindgen_test]
async fn an_error_has_its_kind_and_details() {
    for (body, kind, message) in [
        (
            "return Response.json({ error: { message: 'no', code: 'bad' } }, { status: 400 });",
            "status",
            "no",
        ),
        (
            "throw new Error('down', { cause: new Error('refused') });",
            "connect",
            "fetch failed: down: refused",
        ),
        (
            "return Promise.reject('down');",
            "connect",
            "fetch failed: down",
        ),
        (
            "return undefined;",
            "connect",
            "fetch failed: it returned no Response",
        ),
    ] {
        let call = core(OPTIONS).call(REQUEST, false, fetch(body), None);
        let error = next(&call).await.unwrap_err();
        assert_eq!(error["error"]["kind"], kind);
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
        assert_eq!(error["retryable"], kind == "connect");
    }
}

#[wasm_bindgen_test]
fn unknown_and_invalid_options_are_named() {
    for (options, says) in [
        (
            r#"{"provider": "openai", "base_url": "x"}"#,
            "unknown field `base_url`, expected one of",
        ),
        (
            r#"{"provider": "openai", "budget": {"usd": "1", "limit": 5}}"#,
            "unknown field `limit`",
        ),
        (r#"{"provider": "open-ai"}"#, "open-ai"),
        (
            r#"{"provider": "openai", "apiKey": "k", "budget": {"usd": "much"}}"#,
            "much",
        ),
        (
            r#"{"provider": "openai", "apiKey": "k", "prices": [["m", {"input": "1"}]]}"#,
            "missing field `output`",
        ),
        (r#"{"provider": "openai"}"#, "no API key"),
    ] {
        let error = Core::new(options, None, None, None).err().unwrap();
        let error: Value = serde_json::from_str(&error.as_string().unwrap()).unwrap();
        assert_eq!(error["error"]["kind"], "config");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
}

#[wasm_bindgen_test]
async fn a_ledger_in_javascript_is_asked_and_told() {
    let make = Function::new_no_args(
        "const said = [];
        const shown = (value) => JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}` : v));
        return {
            said,
            reserve: async (id, budgets, amount) => {
                said.push(shown({ budgets, isBigint: typeof amount === 'bigint' }));
                return budgets[0].limit > 5n * 10n ** 12n ? undefined : { budget: budgets[0].name, spent: 5n, reserved: 6n };
            },
            settle: async () => (said.push('settled'), [7n]),
            state: async () => ({ spent: 7n, reserved: 0n }),
        };",
    );
    let answers = "return Response.json({ choices: [{ message: { content: 'Hello' }, finish_reason: 'stop' }] });";
    for (usd, refused) in [("10", false), ("5", true)] {
        let ledger = make.call0(&JsValue::UNDEFINED).unwrap();
        let said: Array = Reflect::get(&ledger, &"said".into())
            .unwrap()
            .unchecked_into();
        let mut options: Value = serde_json::from_str(OPTIONS).unwrap();
        options["budget"] = json!({"name": "team", "usd": usd});
        let ledger = ledger.unchecked_into();
        let core = Core::new(&options.to_string(), Some(ledger), None, None).unwrap();
        let reply = next(&core.call(REQUEST, false, fetch(answers), None)).await;
        let asked = said.get(0).as_string().unwrap();
        let limit = format!(r#"[{{"name":"team","limit":"{usd}000000000000"}}],"isBigint":true"#);
        assert!(asked.contains(&limit), "{asked}");
        if refused {
            let error = reply.unwrap_err();
            assert_eq!(error["error"]["kind"], "budget_exceeded");
            assert_eq!(error["error"]["spent"], "0.000000000005");
            continue;
        }
        assert_eq!(reply.unwrap().unwrap()[0]["type"], "done");
        JsFuture::from(core.flush()).await.unwrap();
        assert_eq!(said.get(said.length() - 1).as_string().unwrap(), "settled");
        let spend = JsFuture::from(core.spend())
            .await
            .unwrap()
            .as_string()
            .unwrap();
        let spend: Value = serde_json::from_str(&spend).unwrap();
        assert_eq!(spend["budgets"][0]["spent"], "0.000000000007");
    }
}
