//! Requests that servers can read in several ways, and what each reading can cost.

mod lenient;
mod requests;
mod writer;

use super::*;
use crate::Budget;
use crate::dialect::{Anthropic, OpenAiChat, OpenAiResponses};

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn with_budget() -> CostTracker {
    let budget = Budget::monthly("test", usd("1")).unwrap();
    CostTracker::new().budget(budget)
}

fn dialect_of(provider: Provider) -> Box<dyn Dialect> {
    match provider.dialect_name() {
        crate::DialectName::Anthropic => Box::new(Anthropic),
        crate::DialectName::OpenAiChat => Box::new(OpenAiChat::default()),
        crate::DialectName::OpenAiResponses => Box::new(OpenAiResponses),
    }
}

fn estimate_at(
    tracker: &CostTracker,
    provider: Provider,
    host: &str,
    body: &str,
) -> Result<CostEstimate> {
    let dialect = dialect_of(provider);
    let facts = dialect.facts(body.as_bytes())?;
    let model = facts.model.as_deref().unwrap_or_default();
    CostEstimate::new(
        tracker,
        provider,
        dialect.as_ref(),
        host,
        model,
        &facts,
        body.len(),
    )
}

fn bound(provider: Provider, body: &str) -> Usd {
    estimate_at(&with_budget(), provider, "localhost", body)
        .unwrap()
        .max_cost
}

/// The bound of a thousand tokens of output alone.
fn bound_of_output(provider: Provider, rest: &str) -> Usd {
    let with = |limit: u32| bound(provider, &format!(r#"{{"max_tokens":{limit:>4},{rest}}}"#));
    with(1_001).checked_sub(with(1)).unwrap()
}

#[test]
fn the_bound_has_the_most_expensive_tier_that_can_serve_the_request() {
    use Provider::{Anthropic, Azure, GeminiOpenAi, OpenAi};
    // A thousand tokens of output at the standard price.
    for (provider, rest, standard, percent) in [
        (
            OpenAi,
            r#""model":"gpt-5","service_tier":"default""#,
            "0.01",
            100,
        ),
        (OpenAi, r#""model":"gpt-5""#, "0.01", 200),
        (
            OpenAi,
            r#""model":"gpt-5","service_tier":null"#,
            "0.01",
            200,
        ),
        (
            OpenAi,
            r#""model":"gpt-5","service_tier":"auto""#,
            "0.01",
            200,
        ),
        (
            OpenAi,
            r#""model":"gpt-5","service_tier":"flex""#,
            "0.01",
            100,
        ),
        (
            OpenAi,
            r#""model":"gpt-5","service_tier":"priority""#,
            "0.01",
            200,
        ),
        (OpenAi, r#""model":"gpt-4.1""#, "0.008", 175),
        (
            OpenAi,
            r#""model":"gpt-6-astra","service_tier":"ultrafast""#,
            "0.05",
            600,
        ),
        (
            OpenAi,
            r#""model":"gpt-6-astra","service_tier":"Warp""#,
            "0.05",
            600,
        ),
        // The list has no tiers of this model: the most expensive of the list counts if one is requested.
        (OpenAi, r#""model":"gpt-4""#, "0.06", 100),
        (
            OpenAi,
            r#""model":"gpt-4","service_tier":"priority""#,
            "0.06",
            250,
        ),
        (GeminiOpenAi, r#""model":"gemini-2.5-pro""#, "0.01", 100),
        (
            GeminiOpenAi,
            r#""model":"gemini-2.5-pro","service_tier":"priority""#,
            "0.01",
            180,
        ),
        // A data zone can cost 10% more.
        (
            Azure,
            r#""model":"gpt-4.1","service_tier":"default""#,
            "0.008",
            110,
        ),
        (
            Anthropic,
            r#""model":"claude-opus-4-8","inference_geo":"global""#,
            "0.025",
            100,
        ),
        (Anthropic, r#""model":"claude-opus-4-8""#, "0.025", 110),
        (
            Anthropic,
            r#""model":"claude-opus-4-8","inference_geo":"us""#,
            "0.025",
            110,
        ),
        (
            Anthropic,
            r#""model":"claude-opus-4-8","inference_geo":"global","speed":"fast""#,
            "0.025",
            200,
        ),
        (
            Anthropic,
            r#""model":"claude-opus-4-8","speed":"fast""#,
            "0.025",
            220,
        ),
        (
            Anthropic,
            r#""model":"claude-haiku-4-5","service_tier":"auto""#,
            "0.005",
            100,
        ),
    ] {
        let expected = Usd::from_pico(usd(standard).pico() / 100) * percent;
        assert_eq!(bound_of_output(provider, rest), expected, "{rest}");
    }
    let body = r#"{"model":"gpt-5.4","service_tier":"default","max_completion_tokens":10}"#;
    let at = |host| estimate_at(&with_budget(), Provider::OpenAi, host, body);
    let (global, eu) = (at("api.openai.com"), at("eu.api.openai.com"));
    let tenth = Usd::from_pico(global.unwrap().max_cost.pico() / 10);
    assert_eq!(eu.unwrap().max_cost, tenth * 11 + Usd::from_pico(1));
}

#[test]
fn the_bound_has_the_fees_of_the_providers_tools_and_the_context() {
    let body = |rest: &str| {
        format!(r#"{{"model":"claude-haiku-4-5","inference_geo":"global","max_tokens":0{rest}}}"#)
    };
    let of = |rest: &str| bound(Provider::Anthropic, &body(rest));
    // 200,000 tokens, each written to the cache for an hour.
    let context = usd("0.4");
    let search = usd("0.01");
    for (tools, fees) in [
        (r#"{"type":"web_search_20250305","max_uses":3}"#, search * 3),
        (
            r#"{"type":"web_search_20250305","max_uses":3e0},{"type":"web_search_20260318","max_uses":4}"#,
            search * 7,
        ),
        (r#"{"type":"web_search_20250305"}"#, search * 30),
        (
            r#"{"type":"web_search_20250305","max_uses":null}"#,
            search * 30,
        ),
        (r#"{"type":"hologram_20300101","max_uses":2}"#, search * 2),
        (r#"{"type":7}"#, search * 30),
        (r#"{"type":"web_fetch_20260318"}"#, Usd::ZERO),
        (r#"{"type":"code_execution_20260521"}"#, usd("0.05")),
        (r#"{"type":"mcp_toolset"}"#, Usd::ZERO),
    ] {
        assert_eq!(
            of(&format!(r#","tools":[{tools}]"#)),
            context + fees,
            "{tools}"
        );
    }
    for rest in [
        r#","mcp_servers":[{}]"#,
        r#","messages":[{"content":[{"type":"container_upload"}]}]"#,
    ] {
        assert!(of(rest) >= usd("0.2"), "{rest}");
    }
    // Tools that the caller runs add a prompt, and nothing else does.
    let (bare, tool) = (of(r#","tools":null"#), of(r#","tools":[{}]"#));
    assert_eq!(tool.checked_sub(bare).unwrap(), usd("0.002"));
    let known = of(r#","tools":[{"type":"computer_20251124"}]"#);
    assert!(known > of(r#","tools":[{"name":"computer_20251124"}]"#) && known < usd("0.01"));
    assert!(bare < usd("0.0004"), "{bare}");

    let searching = |model| {
        let rest = r#""service_tier":"default","max_tokens":1,"web_search_options":{}"#;
        bound(
            Provider::OpenAi,
            &format!(r#"{{"model":"{model}",{rest}}}"#),
        )
    };
    // A search of $0.025 and 128,000 tokens at $2.50 a million.
    assert_eq!(searching("gpt-4o-search-preview"), usd("0.34501"));
    let always = r#"{"model":"gpt-4o-search-preview","max_tokens":1,"service_tier":"default"}"#;
    assert_eq!(bound(Provider::OpenAi, always), usd("0.34501"));
    let several =
        r#"{"model":"gpt-4o-search-preview","max_tokens":1,"service_tier":"default","n":3}"#;
    assert_eq!(bound(Provider::OpenAi, several), usd("0.39503"));
}

#[test]
fn a_search_without_a_known_price_is_refused_if_there_is_a_budget() {
    let body = r#"{"model":"mistral-large","max_tokens":1,"tools":[{"type":"web_search"}]}"#;
    let of = |tracker: CostTracker| estimate_at(&tracker, Provider::Mistral, "localhost", body);
    let error = of(with_budget()).unwrap_err();
    assert!(
        error
            .message()
            .contains("the web searches of the model \"mistral-large\""),
        "{error}"
    );
    assert!(of(CostTracker::new()).is_ok());
    let price = Price::per_million(usd("1"), usd("1")).web_search_per_thousand(usd("10"));
    let max_cost = of(with_budget().price("mistral-large", price))
        .unwrap()
        .max_cost;
    assert!(max_cost > usd("0.3"), "{max_cost}");
    let free = estimate_at(&with_budget(), Provider::Vllm, "localhost", body).unwrap();
    assert_eq!(free.max_cost, Usd::ZERO);
}

#[test]
fn other_models_that_may_answer_count_by_the_most_expensive() {
    let of = |rest: &str| {
        let body = format!(r#"{{"model":"gpt-4.1-nano","max_tokens":1000{rest}}}"#);
        estimate_at(
            &CostTracker::new(),
            Provider::OpenRouter,
            "localhost",
            &body,
        )
        .unwrap()
    };
    let nano = of("").max_cost;
    let both = of(r#","models":["gpt-4.1-nano","openai/gpt-5.4-pro"]"#).max_cost;
    assert!(both > usd("0.18") && nano < usd("0.001"), "{both} {nano}");
    // A model that the list does not have costs the most, like one that is not named.
    let most = of(r#","models":["a/b"]"#).max_cost;
    assert!(most > usd("0.6") && most <= of(r#","models":[{"x":{}}]"#).max_cost);
    let anthropic = |rest: &str| {
        let body = format!(r#"{{"model":"claude-haiku-4-5","max_tokens":1000{rest}}}"#);
        bound(Provider::Anthropic, &body)
    };
    // The refusal of the first model can be billed as well.
    let fallback = anthropic(r#","fallbacks":[{"model":"claude-opus-4-8","max_tokens":4000}]"#);
    assert!(fallback > usd("0.22"), "{fallback}");
    assert!(anthropic(r#","fallbacks":"default""#) > usd("0.1"));
    assert!(anthropic(r#","context_management":{"edits":[]}"#) > anthropic("") * 2);
}

#[test]
fn an_image_counts_by_its_maximum_and_not_by_its_bytes() {
    let data = "A".repeat(1_000_000);
    let image = |source: &str| {
        format!(
            r#"{{"model":"claude-haiku-4-5","max_tokens":0,"messages":[{{"role":"user","content":[{{"type":"image","source":{source}}}]}}]}}"#
        )
    };
    let of = |source: &str| bound(Provider::Anthropic, &image(source));
    let encoded = of(&format!(
        r#"{{"type":"base64","media_type":"image/png","data":"{data}"}}"#
    ));
    assert!(encoded < usd("0.006"), "{encoded}");
    // What a server could read as text counts as text.
    for source in [
        format!(r#"{{"TYPE":"base64","data":"{data}"}}"#),
        format!(r#"{{"type":"text","data":"{data}"}}"#),
        format!(r#"{{"type":"base64","text":"{data}"}}"#),
    ] {
        assert_eq!(of(&source), usd("0.2"), "{}", &source[..60]);
    }
    let chat = |part: &str| {
        let body = format!(
            r#"{{"model":"gpt-4o","max_tokens":1,"service_tier":"default","messages":[{{"content":[{part}]}}]}}"#
        );
        bound(Provider::OpenAi, &body)
    };
    let url =
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}"#);
    assert!(chat(&url) < usd("0.13"), "{}", chat(&url));
    for part in [
        r#"{"type":"image_url","image_url":{"url":"https://example.com/a"}}"#,
        r#"{"type":"image_url","image_url":{"url":"data:video/mp4;base64,AA"}}"#,
        r#"{"type":"input_image","file_id":"f"}"#,
        r#"{"type":"file","file":{"file_id":"f"}}"#,
        r#"{"type":"input_audio","input_audio":{"data":"AA"}}"#,
    ] {
        assert_eq!(chat(part), usd("0.32001"), "{part}");
    }
    // Audio costs more than text: 128,000 tokens at $32 a million, and output at $64.
    let audio = r#"{"model":"gpt-audio","max_tokens":1000,"modalities":["text","audio"],"messages":[{"role":"assistant","audio":{"id":"a"}}]}"#;
    assert_eq!(bound(Provider::OpenAi, audio), usd("4.16"));
    let text = r#"{"model":"gpt-audio","max_tokens":1000,"modalities":["text"],"messages":[]}"#;
    assert!(bound(Provider::OpenAi, text) < usd("0.011"));
}

#[test]
fn limits_count_wherever_they_are() {
    let tokens = |provider, rest: &str| {
        let facts = dialect_of(provider).facts(format!("{{{rest}}}").as_bytes());
        dialect_of(provider).max_output_tokens(&facts.unwrap(), Some(64_000))
    };
    for (rest, expected) in [
        (
            r#""max_tokens":5,"generationConfig":{"maxOutputTokens":9}"#,
            9,
        ),
        (
            r#""max_tokens":9,"generation_config":{"max_output_tokens":5}"#,
            9,
        ),
        (r#""max_tokens":5,"options":{"num_predict":9e0}"#, 9),
        (
            r#""max_tokens":5,"extra_body":{"max_tokens":7,"extra_body":{"options":{"n_predict":9}}}"#,
            9,
        ),
        (r#""max_tokens":5,"inferenceConfig":{"maxTokens":9}"#, 9),
        (
            r#""max_tokens":9,"thinking":{"type":"enabled","budget_tokens":5}"#,
            9,
        ),
        (r#""max_tokens":9,"thinking":{"budget_tokens":9}"#, 18),
        (r#""max_tokens":9,"reasoning":{"max_tokens":10}"#, 19),
        (r#""max_tokens":9,"thinking":null,"options":"x""#, 9),
        (r#""thinking":{"budget_tokens":9}"#, 64_000),
    ] {
        for provider in [Provider::Anthropic, Provider::OpenAi] {
            assert_eq!(tokens(provider, rest), expected, "{rest}");
        }
    }
    let refused = |rest: &str| {
        let facts = OpenAiChat::default().facts(format!("{{{rest}}}").as_bytes());
        facts.unwrap_err().message().to_owned()
    };
    let whole = "it must be a whole number that is not negative";
    for (rest, says) in [
        (
            r#""options":{"num_predict":-1}"#,
            format!("num_predict is -1: {whole}"),
        ),
        (
            r#""thinking":{"budget_tokens":"9"}"#,
            format!("budget_tokens is \"9\": {whole}"),
        ),
        (
            r#""options":{"num_predict":1,"num\u005fpredict":9}"#,
            "options has \"num_predict\" twice: give it once".into(),
        ),
        (
            r#""generationConfig":{"MaxOutputTokens":9}"#,
            "\"MaxOutputTokens\" is not a field: it is spelled maxOutputTokens".into(),
        ),
        (
            r#""tools":[{"type":"a","type":"b"}]"#,
            "a tool has \"type\" twice: give it once".into(),
        ),
        (
            r#""tools":[{"Type":"b"}]"#,
            "\"Type\" is not a field: it is spelled type".into(),
        ),
        (
            r#""tools":[{"max_uses":1.5}]"#,
            format!("max_uses is 1.5: {whole}"),
        ),
        (
            r#""service_tier":3"#,
            "service_tier is 3: it must be a string".into(),
        ),
    ] {
        assert_eq!(refused(rest), says, "{rest}");
    }
    let deep = format!(
        "{}{}",
        r#""extra_body":{"#.repeat(100_000),
        "}".repeat(100_000)
    );
    assert!(
        refused(&deep).ends_with("is nested too deeply"),
        "{}",
        refused(&deep)
    );
}

#[test]
fn a_price_that_the_user_set_is_also_that_of_the_model_behind_the_name() {
    let own = Price::per_million(usd("1"), usd("1"));
    let tracker = with_budget().price("mine", own);
    let body = r#"{"model":"mine","max_tokens":10,"models":["gpt-5.4-pro"]}"#;
    let estimate = estimate_at(&tracker, Provider::OpenAi, "localhost", body).unwrap();
    let cost = |model: &str| {
        let mut reply = Reply::new(Provider::OpenAi);
        reply.model = model.to_owned();
        reply.usage_reported = true;
        reply.usage.output_tokens = 1_000_000;
        estimate.cost(&tracker, &reply)
    };
    for model in ["mine", "gpt-4.1-2025-04-14", "nobody"] {
        assert_eq!(
            cost(model),
            Cost {
                usd: usd("1"),
                estimated: false
            },
            "{model}"
        );
    }
    assert_eq!(cost("gpt-5.4-pro").usd, usd("180"));
}

#[test]
fn the_bound_has_the_fees_of_the_tools_of_the_responses_api() {
    let of = |rest: &str| {
        let body = format!(
            r#"{{"model":"gpt-4.1","service_tier":"default","max_output_tokens":1{rest}}}"#
        );
        let facts = OpenAiResponses.facts(body.as_bytes()).unwrap();
        let (tracker, bytes) = (with_budget(), body.len());
        let host = "api.openai.com";
        let estimate = CostEstimate::new(
            &tracker,
            Provider::OpenAi,
            &OpenAiResponses,
            host,
            "gpt-4.1",
            &facts,
            bytes,
        );
        estimate.unwrap().max_cost
    };
    // Whatever the provider adds is bounded by the context.
    let context = of(r#","previous_response_id":"r""#);
    assert!(context > usd("2") && of("") < usd("0.01"));
    for (tool, fees) in [
        (r#"{"type":"mcp"}"#, Usd::ZERO),
        (r#"{"type":"file_search"}"#, FILE_SEARCH * 30),
        (r#"{"type":"image_generation"}"#, GENERATED_IMAGE * 10),
        (r#"{"type":"code_interpreter"}"#, CONTAINER),
    ] {
        let bound = of(&format!(r#","tools":[{tool}]"#));
        assert_eq!(bound, context + fees, "{tool}");
    }
}
