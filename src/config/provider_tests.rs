use super::tests::build;
use crate::Provider;

#[test]
fn every_provider_is_set_up_by_its_own_variables() {
    for provider in Provider::all() {
        let mut vars = vec![("LLM_PROVIDER", provider.name())];
        if let Some((last, _)) = provider.row().key_variables.split_last() {
            vars.push((last, "k"));
        }
        vars.extend(match provider {
            Provider::Azure => vec![("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com")],
            Provider::BedrockOpenAi | Provider::BedrockAnthropic => {
                vec![
                    ("AWS_REGION", "us-east-1"),
                    ("AWS_DEFAULT_REGION", "eu-west-1"),
                ]
            }
            Provider::VertexOpenAi => {
                vec![
                    ("GOOGLE_CLOUD_PROJECT", "p"),
                    ("GOOGLE_CLOUD_LOCATION", "global"),
                ]
            }
            _ => vec![],
        });
        let client = build(&vars).unwrap_or_else(|e| panic!("{vars:?}: {e}"));
        assert_eq!(client.provider(), provider);
        assert_eq!(client.model(), provider.default_model().unwrap_or_default());
        if provider.needs_key() && provider != Provider::VertexOpenAi {
            vars.remove(1);
            let error = build(&vars).unwrap_err().to_string();
            assert!(error.contains(provider.key_variable()), "{error}");
        }
        let url = (provider.base_url_variable(), "http://127.0.0.1:9/x");
        let client = build(&[("LLM_PROVIDER", provider.name()), url]).unwrap();
        assert!(
            format!("{client:?}").contains("http://127.0.0.1:9/x"),
            "{client:?}"
        );
    }
}

#[test]
fn azures_variables_are_those_of_the_official_sdk() {
    let vars = [
        ("AZURE_OPENAI_API_KEY", "k"),
        ("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com/"),
        ("OPENAI_API_VERSION", "2024-10-21"),
        ("AZURE_OPENAI_DEPLOYMENT", "d"),
    ];
    let client = build(&vars).unwrap();
    assert_eq!(client.provider(), Provider::Azure);
    let shown = format!("{client:?}");
    let url = "https://r.openai.azure.com/openai/deployments/d/chat/completions";
    assert!(shown.contains(url), "{shown}");
    let client = build(&[("AZURE_OPENAI_API_KEY", "k"), ("AZURE_RESOURCE_NAME", "r")]);
    let shown = format!("{:?}", client.unwrap());
    assert!(
        shown.contains("https://r.openai.azure.com/openai/v1/"),
        "{shown}"
    );
    let error = build(&[("AZURE_OPENAI_API_KEY", "k")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("AZURE_RESOURCE_NAME"), "{error}");
}

#[test]
fn a_token_takes_the_place_of_a_key() {
    for (name, provider) in [
        ("ANTHROPIC_AUTH_TOKEN", Provider::Anthropic),
        ("AZURE_OPENAI_AD_TOKEN", Provider::Azure),
    ] {
        let client = build(&[(name, "t"), ("AZURE_RESOURCE_NAME", "r")]).unwrap();
        assert_eq!(client.provider(), provider);
    }
}

#[test]
fn without_a_provider_the_error_names_the_keys_of_all() {
    let error = build(&[]).unwrap_err().to_string();
    for name in [
        "ANTHROPIC_API_KEY, OPENAI_API_KEY, ",
        "GROQ_API_KEY, ",
        "LLM_PROVIDER",
    ] {
        assert!(error.contains(name), "{error}");
    }
    let error = build(&[("LLM_PROVIDER", "groq")]).unwrap_err().to_string();
    assert!(
        error.contains("no API key for groq: set GROQ_API_KEY"),
        "{error}"
    );
}

#[test]
fn without_a_provider_the_first_with_a_key_that_speaks_the_dialect_is_called() {
    let responses = ("LLM_DIALECT", "openai-responses");
    let anthropic = ("ANTHROPIC_API_KEY", "k");
    for (vars, expected) in [
        (&[anthropic, ("OPENAI_API_KEY", "k")][..], Provider::OpenAi),
        (&[anthropic, ("XAI_API_KEY", "k")], Provider::XAi),
        (
            &[anthropic, ("OPENAI_BASE_URL", "http://127.0.0.1:9")],
            Provider::OpenAi,
        ),
    ] {
        let client = build(&[vars, &[responses]].concat()).unwrap();
        assert_eq!(client.provider(), expected, "{vars:?}");
    }
    for vars in [&[anthropic, responses][..], &[responses]] {
        let error = build(vars).unwrap_err().to_string();
        let says = "no provider that speaks the dialect openai-responses has a key: set one (OPENAI_API_KEY for openai, AZURE_OPENAI_API_KEY for azure, ";
        assert!(error.starts_with(says), "{error}");
        assert!(!error.contains("ANTHROPIC"), "{error}");
    }
    let chat = ("LLM_DIALECT", "anthropic");
    let client = build(&[("OPENAI_API_KEY", "k"), anthropic, chat]).unwrap();
    assert_eq!(client.provider(), Provider::Anthropic);
}
