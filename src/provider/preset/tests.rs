use std::collections::HashSet;

use super::super::table::Prices;
use super::*;
use crate::Price;
use crate::provider::{Endpoint, Setting, Settings};

/// The names and values that fill every placeholder.
fn settings(provider: Provider) -> Settings {
    let mut settings = Settings::default();
    for (setting, _) in provider.row().setting_variables {
        if !matches!(setting, Setting::ApiVersion | Setting::Deployment) {
            settings.set(*setting, "example-1");
        }
    }
    settings
}

#[test]
fn every_row_is_complete_and_its_names_are_its_own() {
    let mut ids = HashSet::new();
    let mut variables = HashSet::new();
    for provider in Provider::all() {
        let row = provider.row();
        println!(
            "{:18} {:?} {:24} {:24} {:?} {:?} {}",
            row.id,
            row.dialects,
            provider.key_variable(),
            row.base_url_variable,
            row.prices,
            row.default_model,
            row.base_url
        );
        assert!(ids.insert(row.id), "{} is there twice", row.id);
        let is_kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(row.id.bytes().all(is_kebab), "{}", row.id);
        assert_eq!(row.id.parse::<Provider>().unwrap(), provider);
        assert_eq!(row.id.to_uppercase().parse::<Provider>().unwrap(), provider);
        let json = serde_json::to_string(&provider).unwrap();
        assert_eq!(json, format!("\"{}\"", row.id));
        assert_eq!(serde_json::from_str::<Provider>(&json).unwrap(), provider);
        assert!(provider.docs_url().starts_with("https://"), "{}", row.id);

        assert!(!row.dialects.is_empty(), "{}", row.id);
        let endpoint_of =
            |dialect| Endpoint::new(provider, dialect, None, &settings(provider), "m").unwrap();
        let mut headers = Vec::new();
        for dialect in row.dialects {
            let url = endpoint_of(*dialect).url;
            url.parse::<http::Uri>().unwrap();
            assert!(url.ends_with(dialect.path()), "{url}");
            headers.push(provider.dialect(*dialect, true).unwrap().headers());
        }
        // `Client::with_dialect` keeps the transport, which has the headers of the first.
        let texts = headers
            .iter()
            .map(|own| own.iter().map(|(name, value)| (name.text, *value)));
        let texts: Vec<Vec<_>> = texts.map(Iterator::collect).collect();
        assert!(texts.windows(2).all(|w| w[0] == w[1]), "{}", row.id);
        let endpoint = endpoint_of(provider.dialect_name());
        let is_local = row.base_url.starts_with("http://localhost:");
        assert!(
            is_local || row.base_url.starts_with("https://"),
            "{}",
            row.base_url
        );
        // A missing key is noticed only at the vendor's own domains.
        assert_eq!(endpoint.is_first_party, !is_local, "{}", row.id);
        assert_eq!(row.needs_key, !is_local, "{}", row.id);

        assert!(!row.key_variables.is_empty(), "{}", row.id);
        let is_shared = |name: &str| name.starts_with("AWS_");
        for name in provider.variables().filter(|name| !is_shared(name)) {
            assert!(variables.insert(name), "{name} is of two providers");
        }
        assert!(row.max_output_speed >= 500, "{}", row.id);
    }
    assert!(ids.len() >= 22, "{}", ids.len());
}

#[test]
fn every_row_has_prices_or_is_free_on_purpose() {
    for provider in Provider::all() {
        let row = provider.row();
        match row.prices {
            Prices::List(list) => {
                assert!(
                    Price::most_expensive(list).is_some(),
                    "there is no list {list}"
                );
                if let Some(model) = row.default_model {
                    assert!(Price::lookup(list, model).is_some(), "{list}/{model}");
                }
            }
            Prices::Free => assert!(!row.needs_key, "{} is free", row.id),
        }
    }
}

#[test]
fn a_vendors_host_has_its_prices_whatever_the_provider_is_called() {
    use Provider::{Azure, BedrockOpenAi, LiteLlm, OpenAi, VertexOpenAi, Vllm};
    for (provider, host, expected) in [
        (OpenAi, "api.groq.com", Prices::List("groq")),
        (OpenAi, "API.groq.com", Prices::List("groq")),
        (OpenAi, "api.together.xyz", Prices::List("together_ai")),
        (OpenAi, "evil-groq.com", Prices::List("openai")),
        (OpenAi, "localhost", Prices::List("openai")),
        (LiteLlm, "api.deepseek.com", Prices::List("deepseek")),
        (Vllm, "box.example", Prices::Free),
        (Vllm, "api.openai.com", Prices::List("openai")),
        (Azure, "r.openai.azure.com", Azure.row().prices),
        (
            BedrockOpenAi,
            "bedrock-mantle.us-east-1.api.aws",
            BedrockOpenAi.row().prices,
        ),
        (
            VertexOpenAi,
            "us-central1-aiplatform.googleapis.com",
            VertexOpenAi.row().prices,
        ),
    ] {
        assert_eq!(
            provider.row_at(host).prices,
            expected,
            "{provider} at {host}"
        );
    }
}

#[test]
fn an_unknown_provider_is_named_with_those_that_there_are() {
    let error = "mistrall".parse::<Provider>().unwrap_err().to_string();
    for part in [
        "\"mistrall\": it must be",
        "anthropic, openai, azure, groq",
        "litellm",
    ] {
        assert!(error.contains(part), "{error}");
    }
    for (name, says) in [
        (
            "gemini",
            "did you mean \"gemini-openai\"? It must be one of anthropic",
        ),
        (
            "Bedrock",
            "did you mean \"bedrock-openai\" or \"bedrock-anthropic\"? It must",
        ),
    ] {
        let error = name.parse::<Provider>().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
