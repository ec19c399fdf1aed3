//! Every provider of the table is where readers look for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use warmline::{Budget, Client, CostTracker, Provider, Usd};
use warmline_sim::{Config, Sim};

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn the_types_of_the_npm_package_name_every_provider() {
    let types = read("npm/src/provider.d.ts");
    let (_, union) = types.split_once("export type Provider =").unwrap();
    let (union, _) = union.split_once(';').unwrap();
    let named: Vec<_> = union.split('"').skip(1).step_by(2).collect();
    let ids: Vec<_> = Provider::all().map(Provider::name).collect();
    assert_eq!(named, ids);
}

#[test]
fn the_book_describes_every_provider() {
    let page = read("docs/providers.md");
    let rows: Vec<_> = page.lines().filter(|l| l.starts_with("| [`")).collect();
    let expected: Vec<_> = Provider::all().map(row).collect();
    assert_eq!(rows.join("\n"), expected.join("\n"));
}

/// A line of the table in docs/providers.md.
fn row(provider: Provider) -> String {
    let code = |text: &str| format!("`{text}`");
    let variables: Vec<_> = provider.variables().map(code).collect();
    let model = provider.default_model().map_or("none".to_owned(), code);
    format!(
        "| [`{}`]({}) | {} | `{}` | {} | {model} |",
        provider.name(),
        provider.docs_url(),
        provider.dialect_name(),
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
