//! Every provider of the table is where readers look for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use warmline::{Budget, Client, CostTracker, Provider, Usd};
use warmline_sim::{Config, Sim};

/// Checks the part of a file that is made from the table of providers: the text between two others. With `UPDATE=1`, writes it.
fn is_up_to_date(file: &str, (before, after): (&str, &str), expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(before).unwrap();
    let (made, tail) = rest.split_once(after).unwrap();
    if made == expected {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, [head, before, expected, after, tail].concat()).unwrap();
        return;
    }
    panic!("{file} is out of date: run `UPDATE=1 cargo test --test presets`\n{expected}");
}

#[test]
fn the_types_of_the_npm_package_name_every_provider() {
    let union: String = Provider::all()
        .map(|provider| format!("\n  | \"{provider}\""))
        .collect();
    is_up_to_date(
        "npm/src/provider.d.ts",
        ("export type Provider =", ";"),
        &union,
    );
}

#[test]
fn the_types_of_the_npm_package_name_every_dialect() {
    let mut names: Vec<_> = Provider::all()
        .flat_map(Provider::dialect_names)
        .map(|dialect| format!("\"{dialect}\""))
        .collect();
    names.sort();
    names.dedup();
    is_up_to_date(
        "npm/src/message.d.ts",
        ("export type DialectName = ", ";"),
        &names.join(" | "),
    );
}

#[test]
fn the_book_describes_every_provider() {
    let rows: String = Provider::all().map(row).collect();
    let end = "\nA base URL in which";
    is_up_to_date(
        "docs/providers.md",
        ("| --- | --- | --- | --- | --- |\n", end),
        &rows,
    );
}

/// A line of the table in docs/providers.md.
fn row(provider: Provider) -> String {
    let code = |text: &str| format!("`{text}`");
    let variables: Vec<_> = provider.variables().map(code).collect();
    let dialects: Vec<_> = provider
        .dialect_names()
        .iter()
        .map(|dialect| dialect.name())
        .collect();
    let model = provider.default_model().map_or("none".to_owned(), code);
    format!(
        "| [`{}`]({}) | {} | `{}` | {} | {model} |\n",
        provider.name(),
        provider.docs_url(),
        dialects.join(", "),
        provider.default_base_url(),
        variables.join(", "),
    )
}

#[tokio::test]
async fn prices_are_the_presets_own_whatever_the_server() {
    let sim = Sim::start(Config::default()).await.unwrap();
    for (provider, model, is_free, estimated) in [
        (Provider::Vllm, "m", true, false),
        (Provider::Groq, "openai/gpt-oss-120b", false, false),
        (Provider::Groq, "m", false, true),
        (Provider::LiteLlm, "m", false, true),
    ] {
        let budget = Budget::monthly("b", "5".parse().unwrap()).unwrap();
        let client = Client::builder(provider)
            .api_key("k")
            .model(model)
            .base_url(sim.openai_url())
            .no_proxy()
            .cost_tracker(CostTracker::new().budget(budget))
            .build()
            .unwrap();
        let reply = client.chat("Hi").await.unwrap();
        assert_eq!((reply.provider, reply.model.as_str()), (provider, model));
        let cost = reply.cost.unwrap();
        assert_eq!(
            (cost.usd == Usd::ZERO, cost.estimated),
            (is_free, estimated),
            "{provider} {model}: {cost:?}"
        );
    }
    // Any budget has room for what costs nothing.
    let budget = Budget::monthly("b", "0.000000000001".parse().unwrap()).unwrap();
    let client = Client::builder(Provider::Ollama)
        .api_key("k")
        .base_url(sim.openai_url())
        .no_proxy()
        .cost_tracker(CostTracker::new().budget(budget));
    let request = warmline::Request::new().user("Hi").model("m");
    client.build().unwrap().chat(request).await.unwrap();
}
