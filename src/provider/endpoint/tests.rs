use super::super::settings::ollama_url;
use super::*;
use crate::provider::Setting;

/// A provider, its settings, and the address or the error that they lead to.
type Case<'a> = (Provider, &'a [(Setting, &'a str)], &'a str);

fn endpoint(
    provider: Provider,
    base_url: Option<&str>,
    settings: &[(Setting, &str)],
) -> Result<Endpoint> {
    let mut set = Settings::default();
    for (setting, value) in settings {
        set.set(*setting, *value);
    }
    Endpoint::new(provider, provider.dialect_name(), base_url, &set, "gpt-4.1")
}

#[test]
fn base_urls_lead_to_the_providers_paths() {
    use Provider::{Anthropic, Azure, Groq, OpenAi};
    for (provider, base_url, expected, is_first_party) in [
        (
            Anthropic,
            "https://api.anthropic.com",
            "https://api.anthropic.com/v1/messages",
            true,
        ),
        (
            Anthropic,
            "https://api.anthropic.com/v1/",
            "https://api.anthropic.com/v1/messages",
            true,
        ),
        (
            Anthropic,
            "http://127.0.0.1:9/x",
            "http://127.0.0.1:9/x/v1/messages",
            false,
        ),
        (
            OpenAi,
            "https://api.openai.com/v1",
            "https://api.openai.com/v1/chat/completions",
            true,
        ),
        (
            OpenAi,
            " http://[::1]:11434/v1/ ",
            "http://[::1]:11434/v1/chat/completions",
            false,
        ),
        (
            OpenAi,
            "http://localhost:1",
            "http://localhost:1/chat/completions",
            false,
        ),
        (
            OpenAi,
            "https://notopenai.com",
            "https://notopenai.com/chat/completions",
            false,
        ),
        (
            OpenAi,
            "https://eu.api.OpenAI.com/v1",
            "https://eu.api.OpenAI.com/v1/chat/completions",
            true,
        ),
        // A query is kept, behind the path.
        (
            OpenAi,
            "https://h/p?api-version=1",
            "https://h/p/chat/completions?api-version=1",
            false,
        ),
        (
            OpenAi,
            "https://h?a=1&b",
            "https://h/chat/completions?a=1&b",
            false,
        ),
        (
            Anthropic,
            "https://h/v1/?k=1",
            "https://h/v1/messages?k=1",
            false,
        ),
        (
            OpenAi,
            "https://h/v1?",
            "https://h/v1/chat/completions",
            false,
        ),
        // The whole address is used as it is.
        (
            Groq,
            "https://api.groq.com/openai/v1/chat/completions",
            "https://api.groq.com/openai/v1/chat/completions",
            true,
        ),
        (
            OpenAi,
            "https://h/x/chat/completions?v=2",
            "https://h/x/chat/completions?v=2",
            false,
        ),
        (
            Anthropic,
            "https://h/anthropic/v1/messages/",
            "https://h/anthropic/v1/messages",
            false,
        ),
        // Azure's endpoint may be given in part.
        (
            Azure,
            "https://r.openai.azure.com",
            "https://r.openai.azure.com/openai/v1/chat/completions",
            true,
        ),
        (
            Azure,
            "https://r.openai.azure.com/openai/",
            "https://r.openai.azure.com/openai/v1/chat/completions",
            true,
        ),
        (
            Azure,
            "https://r.openai.azure.com/openai/v1/",
            "https://r.openai.azure.com/openai/v1/chat/completions",
            true,
        ),
        (
            Azure,
            "https://gateway.example/team",
            "https://gateway.example/team/openai/v1/chat/completions",
            false,
        ),
        (
            Azure,
            "https://r.services.ai.azure.com/models?api-version=2024-05-01-preview",
            "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview",
            true,
        ),
        (
            Azure,
            "https://r.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
            true,
        ),
    ] {
        let endpoint = endpoint(provider, Some(base_url), &[]).unwrap();
        assert_eq!(
            (endpoint.url.as_str(), endpoint.is_first_party),
            (expected, is_first_party)
        );
    }
}

#[test]
fn settings_make_the_address() {
    use Provider::{Azure, BedrockAnthropic, BedrockOpenAi, VertexOpenAi};
    use Setting::{ApiVersion, Deployment, Project, Region, Resource};
    let cases: &[Case] = &[
        (
            Azure,
            &[(Resource, "r-1")],
            "https://r-1.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            Azure,
            &[(Resource, "r"), (ApiVersion, "preview")],
            "https://r.openai.azure.com/openai/v1/chat/completions?api-version=preview",
        ),
        (
            Azure,
            &[
                (Resource, "r"),
                (ApiVersion, "2024-10-21"),
                (Deployment, "d"),
            ],
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
        ),
        (
            BedrockOpenAi,
            &[(Region, "us-east-1")],
            "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1/chat/completions",
        ),
        (
            BedrockOpenAi,
            &[(Region, "cn-north-1")],
            "https://bedrock-runtime.cn-north-1.amazonaws.com.cn/openai/v1/chat/completions",
        ),
        (
            BedrockOpenAi,
            &[(Region, "eusc-de-east-1")],
            "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu/openai/v1/chat/completions",
        ),
        (
            BedrockAnthropic,
            &[(Region, " us-west-2 ")],
            "https://bedrock-mantle.us-west-2.api.aws/anthropic/v1/messages",
        ),
        (
            VertexOpenAi,
            &[(Project, "p"), (Region, "global")],
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi/chat/completions",
        ),
        (
            VertexOpenAi,
            &[(Project, "p"), (Region, "eu")],
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/endpoints/openapi/chat/completions",
        ),
        (
            VertexOpenAi,
            &[(Project, "a.com:p"), (Region, "us-central1")],
            "https://us-central1-aiplatform.googleapis.com/v1/projects/a.com:p/locations/us-central1/endpoints/openapi/chat/completions",
        ),
    ];
    for (provider, settings, expected) in cases {
        let endpoint = endpoint(*provider, None, settings).unwrap();
        assert_eq!(endpoint.url, *expected);
        assert!(endpoint.is_first_party, "{expected}");
    }
    for (base_url, settings, expected) in [
        (
            "https://r.openai.azure.com",
            &[(ApiVersion, "2024-10-21"), (Deployment, "d")][..],
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
        ),
        // As in OpenAI's SDK, the model is the deployment.
        (
            "https://r.openai.azure.com/openai",
            &[(ApiVersion, "2024-10-21")],
            "https://r.openai.azure.com/openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21",
        ),
        (
            "https://r.openai.azure.com/openai/v1",
            &[(ApiVersion, "2024-10-21")],
            "https://r.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            "https://r.openai.azure.com/openai/deployments/d",
            &[(ApiVersion, "2024-10-21")],
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
        ),
    ] {
        assert_eq!(
            endpoint(Azure, Some(base_url), settings).unwrap().url,
            expected
        );
    }
}

#[test]
fn wrong_settings_are_named() {
    use Provider::{Azure, BedrockAnthropic, BedrockOpenAi, Groq, VertexOpenAi};
    use Setting::{ApiVersion, Deployment, Project, Region, Resource};
    let long = "a".repeat(64);
    let cases: &[Case] = &[
        (
            Azure,
            &[],
            "azure needs a resource (AZURE_RESOURCE_NAME) or a base URL (AZURE_OPENAI_ENDPOINT)",
        ),
        (
            BedrockOpenAi,
            &[],
            "needs a region (AWS_REGION or AWS_DEFAULT_REGION)",
        ),
        (
            VertexOpenAi,
            &[(Region, "global")],
            "needs a project (GOOGLE_CLOUD_PROJECT)",
        ),
        (
            Azure,
            &[(Resource, "evil.example/x")],
            "the resource \"evil.example/x\" must be up to 63 letters",
        ),
        (Azure, &[(Resource, "r@evil")], "the resource \"r@evil\""),
        (Azure, &[(Resource, "-r")], "the resource \"-r\""),
        (Azure, &[(Resource, &long)], "the resource"),
        (Azure, &[(Resource, "")], "the resource \"\""),
        (
            BedrockAnthropic,
            &[(Region, "us-east-1.evil.example#")],
            "the region",
        ),
        (
            VertexOpenAi,
            &[(Region, "x/../y"), (Project, "p")],
            "the region",
        ),
        (
            VertexOpenAi,
            &[(Region, "global"), (Project, "..")],
            "the project",
        ),
        (
            VertexOpenAi,
            &[(Region, "global"), (Project, "p/q")],
            "the project",
        ),
        (
            Azure,
            &[(Resource, "r"), (ApiVersion, "2024-10-21&x=1")],
            "the api_version",
        ),
        (
            Azure,
            &[
                (Resource, "r"),
                (ApiVersion, "2024-10-21"),
                (Deployment, "a/b"),
            ],
            "the deployment",
        ),
        (
            Groq,
            &[(Region, "us-east-1")],
            "the provider groq has no region",
        ),
    ];
    for (provider, settings, says) in cases {
        let error = endpoint(*provider, None, settings)
            .err()
            .map(|e| e.to_string());
        let error = error.unwrap_or_else(|| panic!("{provider} {settings:?} is taken"));
        assert!(error.contains(says), "{provider} {settings:?}: {error}");
    }
    let settings = [(Deployment, "d")];
    let error = endpoint(Azure, Some("https://r.openai.azure.com"), &settings)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("the deployment needs an api_version"),
        "{error}"
    );
    let mut settings = Settings::default();
    settings.set(ApiVersion, "2024-10-21");
    let url = Some("https://r.openai.azure.com");
    let error = Endpoint::new(Azure, Azure.dialect_name(), url, &settings, "openai/x")
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("the model \"openai/x\" is no name"),
        "{error}"
    );
}

#[test]
fn an_ollama_host_is_what_ollama_takes() {
    for (host, expected) in [
        ("127.0.0.1:11435", "http://127.0.0.1:11435/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        (":8080", "http://127.0.0.1:8080/v1"),
        ("[::]:1", "http://[::1]:1/v1"),
        ("https://ollama.example/", "https://ollama.example/v1"),
        ("http://box:1234", "http://box:1234/v1"),
        ("box/api/v1", "http://box:11434/api/v1"),
    ] {
        assert_eq!(ollama_url(host), expected);
    }
}

#[test]
fn the_same_origin_is_the_same_server() {
    let of = |url| endpoint(Provider::OpenAi, Some(url), &[]).unwrap();
    let one = of("https://Host/v1");
    for (other, same) in [
        ("https://host:443/other?x=1", true),
        ("http://host/v1", false),
        ("https://host:444/v1", false),
        ("https://host.example/v1", false),
    ] {
        assert_eq!(one.is_same_origin(&of(other)), same, "{other}");
    }
}

#[test]
fn wrong_base_urls_are_named_without_their_secrets() {
    for (base, shown) in [
        ("", "\"\""),
        ("api.openai.com", "\"api.openai.com\""),
        ("/v1", "\"/v1\""),
        ("ftp://host/v1", "neither http nor https"),
        ("http://", "\"http://\""),
        ("http://host:port/v1", "has a port"),
        ("http://host:99999/v1", "has a port"),
        ("http://ho st/", "ho st"),
        ("http://hos\u{f6}/", "characters"),
        ("https://{resource}.openai.azure.com", "has a placeholder"),
        ("https://user:hunter2@host/v1", "https://…@host/v1"),
        ("ftp://host/v1?key=hunter2", "\"ftp://host/v1…\" is neither"),
        ("https://host/v1#hunter2", "\"https://host/v1…\""),
        ("host/v1?key=hunter2", "\"host/v1…\" has no scheme"),
        ("user:hunter2@host", "\"…@host\""),
        (
            "https://u:hunter2@host/v1?k=hunter2",
            "\"https://…@host/v1…\"",
        ),
        // Where a query holds an "@", or a password a "?", neither half is shown.
        ("ftp://host/v1?key=hunt@hunter2", "\"ftp://…\""),
        ("https://host:user:hunter2?x@host/v1", "\"https://…\""),
        ("user:hunter2://x@host", "\"…@host\""),
    ] {
        let error = endpoint(Provider::OpenAi, Some(base), &[]).err().unwrap();
        let error = error.to_string();
        assert!(
            error.contains(shown) && !error.contains("hunter2"),
            "{base}: {error}"
        );
    }
    let error = Endpoint::parse("ledger's URL", "https://host/v1?key=hunter2", "https://x");
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("\"https://host/v1…\" has a query"),
        "{error}"
    );
}
