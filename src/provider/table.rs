//! The presets: one row for each vendor or server. `CONTRIBUTING.md` says how to add one.
//!
//! A row's comment gives the source of its URL and of the variable of its key, as it was on 2026-11-26. A variable of a base URL without a source
//! has the name that most tools give it, `NAME_BASE_URL`. Whether a vendor bills on after a
//! disconnect is as in OpenRouter's list of vendors (<https://openrouter.ai/docs/api-reference/streaming>); a vendor that is not in it is assumed to.
//! No vendor publishes a bound of its output speed: the figures are estimates, with room above what is known of its fastest models.

use serde::Deserialize;

use super::settings::Setting;
use crate::DialectName;

/// What is known about a vendor or server.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    /// The dialects that it speaks. The first is the default.
    pub(crate) dialects: &'static [DialectName],
    /// The base URL. The settings of a client fill in its `{placeholders}`.
    pub(crate) base_url: &'static str,
    /// The domains at which the vendor itself answers. One that begins with a hyphen is the end of a label.
    pub(crate) domains: &'static [&'static str],
    /// The header of the key, if it is not `authorization: Bearer KEY`.
    pub(crate) key_header: Option<&'static str>,
    pub(crate) needs_key: bool,
    /// The environment variables of the key, of which the first that is set counts.
    pub(crate) key_variables: &'static [&'static str],
    /// The environment variable of a bearer token in place of the key.
    pub(crate) token_variable: Option<&'static str>,
    pub(crate) base_url_variable: &'static str,
    /// The environment variables of other settings.
    pub(crate) setting_variables: &'static [(Setting, &'static str)],
    pub(crate) prices: Prices,
    pub(crate) default_model: Option<&'static str>,
    /// Whether the price depends on where a request is processed.
    pub(crate) regional: Regional,
    /// Whether the list has names such as `us-gov-west-1/MODEL`, with the region that is the second label of the host.
    pub(crate) priced_by_region: bool,
    /// Whether a setting of the account can raise the service tier of a request that names none.
    pub(crate) tier_by_account: bool,
    /// Whether the cost that the replies report is what is billed.
    pub(crate) reports_cost: bool,
    /// Whether the limit is called `max_completion_tokens`, which OpenAI's newer models demand.
    #[cfg_attr(
        not(feature = "openai-chat"),
        expect(dead_code, reason = "only this dialect has two names")
    )]
    pub(crate) max_completion_tokens: bool,
    /// Whether it knows `stream_options`.
    pub(crate) stream_options: bool,
    pub(crate) bills_after_disconnect: bool,
    /// Tokens per second.
    pub(crate) max_output_speed: u32,
}

/// Where a row's prices come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prices {
    /// A list of `src/cost/prices.txt`.
    List(&'static str),
    /// Nothing is billed: the user runs the server.
    Free,
}

/// Whether the price depends on where a request is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Regional {
    No,
    /// It depends on the host.
    ByHost,
    /// It depends on the request and on a setting of the account. The reply reports the region.
    ByRequest,
    /// It depends on a setting of the account that neither the request nor the reply shows.
    Unknown,
}

/// The dialects of vendors and servers that also have OpenAI's Responses API, at `/responses` below the base URL.
const CHAT_AND_RESPONSES: &[DialectName] = &[DialectName::OpenAiChat, DialectName::OpenAiResponses];

/// What most vendors have in common.
const COMPATIBLE: Row = Row {
    id: "",
    dialects: &[DialectName::OpenAiChat],
    base_url: "",
    domains: &[],
    key_header: None,
    needs_key: true,
    key_variables: &[],
    token_variable: None,
    base_url_variable: "",
    setting_variables: &[],
    prices: Prices::List("openai"),
    default_model: None,
    regional: Regional::No,
    priced_by_region: false,
    tier_by_account: false,
    reports_cost: false,
    max_completion_tokens: false,
    stream_options: true,
    bills_after_disconnect: true,
    max_output_speed: 1_000,
};

/// What servers that the user runs have in common.
const LOCAL: Row = Row {
    needs_key: false,
    prices: Prices::Free,
    bills_after_disconnect: false,
    max_output_speed: 10_000,
    ..COMPATIBLE
};

macro_rules! providers {
    ($($variant:ident $id:literal $docs:literal { $($field:ident: $value:expr,)* .. $base:ident })*) => {
        /// A vendor or server: who is called, at which URL, in which dialect, with which credentials, at which prices.
        ///
        /// A server that is not listed is called with [`Provider::OpenAi`] or [`Provider::Anthropic`], whichever it is compatible
        /// with, and its [`base_url`](crate::ClientBuilder::base_url).
        ///
        /// ```
        /// use warmline::{DialectName, Provider};
        ///
        /// assert_eq!("groq".parse::<Provider>()?, Provider::Groq);
        /// assert_eq!(Provider::Groq.dialect_name(), DialectName::OpenAiChat);
        /// let error = "antropic".parse::<Provider>().unwrap_err();
        /// assert!(error.to_string().contains("\"antropic\""));
        /// # Ok::<(), warmline::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
        #[non_exhaustive]
        pub enum Provider {
            $(
                #[doc = concat!("`", $id, "`: see <", $docs, ">.")]
                #[serde(rename = $id)]
                $variant,
            )*
        }

        impl Provider {
            /// Returns the URL of the provider's documentation.
            ///
            /// ```
            /// assert!(warmline::Provider::Groq.docs_url().starts_with("https://console.groq.com"));
            /// ```
            // Not a field of the rows, so that a build that does not use it does not contain the URLs.
            pub fn docs_url(self) -> &'static str {
                match self {
                    $(Self::$variant => $docs,)*
                }
            }
        }

        pub(super) const ALL: &[Provider] = &[$(Provider::$variant),*];

        pub(super) static ROWS: &[Row] = &[$(Row { id: $id, $($field: $value,)* ..$base }),*];
    };
}

providers! {
    // The URL and the variables are those of the official SDKs (https://github.com/anthropics/anthropic-sdk-python).
    Anthropic "anthropic" "https://docs.claude.com/en/api/messages" {
        dialects: &[DialectName::Anthropic],
        base_url: "https://api.anthropic.com",
        domains: &["anthropic.com"],
        key_header: Some("x-api-key"),
        key_variables: &["ANTHROPIC_API_KEY"],
        token_variable: Some("ANTHROPIC_AUTH_TOKEN"),
        base_url_variable: "ANTHROPIC_BASE_URL",
        prices: Prices::List("anthropic"),
        // Of 2025-09-29: of middling size and price.
        default_model: Some("claude-sonnet-4-5"),
        // https://docs.claude.com/en/about-claude/pricing: `inference_geo`.
        regional: Regional::ByRequest,
        bills_after_disconnect: false,
        max_output_speed: 500,
        ..COMPATIBLE
    }
    // The URL and the variables are those of the official SDKs (https://github.com/openai/openai-python).
    OpenAi "openai" "https://platform.openai.com/docs/api-reference/chat" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://api.openai.com/v1",
        domains: &["openai.com", "openai.azure.com"],
        key_variables: &["OPENAI_API_KEY"],
        base_url_variable: "OPENAI_BASE_URL",
        // Of 2025-04-14: of middling size and price.
        default_model: Some("gpt-4.1"),
        // https://developers.openai.com/api/docs/pricing: hosts such as `eu.api.openai.com`.
        regional: Regional::ByHost,
        // https://platform.openai.com/docs/api-reference/chat/create: `service_tier` is `auto` by default.
        tier_by_account: true,
        max_completion_tokens: true,
        bills_after_disconnect: false,
        // Twice what OpenAI says of its fastest model, GPT-5.3-Codex-Spark: more than 1,000.
        max_output_speed: 2_000,
        ..COMPATIBLE
    }
    // AZURE_OPENAI_API_KEY, AZURE_OPENAI_AD_TOKEN, AZURE_OPENAI_ENDPOINT and OPENAI_API_VERSION are those of OpenAI's SDK (`azure.js`), AZURE_RESOURCE_NAME is
    // that of the AI SDK; the v1 API is described at https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle.
    Azure "azure" "https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://{resource}.openai.azure.com/openai/v1",
        domains: &[
            "openai.azure.com",
            "openai.azure.us",
            "openai.azure.cn",
            "services.ai.azure.com",
            "cognitiveservices.azure.com",
        ],
        key_header: Some("api-key"),
        key_variables: &["AZURE_OPENAI_API_KEY"],
        token_variable: Some("AZURE_OPENAI_AD_TOKEN"),
        base_url_variable: "AZURE_OPENAI_ENDPOINT",
        setting_variables: &[
            (Setting::Resource, "AZURE_RESOURCE_NAME"),
            (Setting::ApiVersion, "OPENAI_API_VERSION"),
            (Setting::Deployment, "AZURE_OPENAI_DEPLOYMENT"),
        ],
        prices: Prices::List("azure"),
        // A deployment's data zone and service tier are settings of the deployment.
        regional: Regional::Unknown,
        tier_by_account: true,
        max_completion_tokens: true,
        bills_after_disconnect: false,
        ..COMPATIBLE
    }
    // https://console.groq.com/docs/openai and https://console.groq.com/docs/responses-api
    Groq "groq" "https://console.groq.com/docs/openai" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://api.groq.com/openai/v1",
        domains: &["groq.com"],
        key_variables: &["GROQ_API_KEY"],
        base_url_variable: "GROQ_BASE_URL",
        prices: Prices::List("groq"),
        // In the price list of 2026-11-26.
        default_model: Some("openai/gpt-oss-120b"),
        max_output_speed: 3_000,
        ..COMPATIBLE
    }
    // https://api-docs.deepseek.com/quick_start/your_first_api_call and https://api-docs.deepseek.com/guides/responses_api
    DeepSeek "deepseek" "https://api-docs.deepseek.com" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://api.deepseek.com",
        domains: &["deepseek.com"],
        key_variables: &["DEEPSEEK_API_KEY"],
        base_url_variable: "DEEPSEEK_BASE_URL",
        prices: Prices::List("deepseek"),
        // In that quick start on 2026-11-26.
        default_model: Some("deepseek-flash"),
        bills_after_disconnect: false,
        ..COMPATIBLE
    }
    // https://docs.mistral.ai/api. It refuses `stream_options` (https://github.com/avante-corp/avante.nvim/issues/2347), and tells the
    // usage in the last chunk unasked.
    Mistral "mistral" "https://docs.mistral.ai/api" {
        base_url: "https://api.mistral.ai/v1",
        domains: &["mistral.ai"],
        key_variables: &["MISTRAL_API_KEY"],
        base_url_variable: "MISTRAL_BASE_URL",
        prices: Prices::List("mistral"),
        // In the price list of 2026-11-26.
        default_model: Some("mistral-medium-latest"),
        stream_options: false,
        max_output_speed: 2_000,
        ..COMPATIBLE
    }
    // https://docs.x.ai/docs/api-reference and https://docs.x.ai/developers/model-capabilities/text/comparison
    XAi "xai" "https://docs.x.ai/docs/api-reference" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://api.x.ai/v1",
        domains: &["x.ai"],
        key_variables: &["XAI_API_KEY"],
        base_url_variable: "XAI_BASE_URL",
        prices: Prices::List("xai"),
        // In the price list of 2026-11-26.
        default_model: Some("grok-4.7"),
        // https://docs.x.ai/developers/cost-tracking
        reports_cost: true,
        bills_after_disconnect: false,
        ..COMPATIBLE
    }
    // https://openrouter.ai/docs/quickstart and https://openrouter.ai/docs/api-reference/responses-api/overview. It bills on for some of the vendors behind it, of which Cerebras is the fastest.
    OpenRouter "openrouter" "https://openrouter.ai/docs/quickstart" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://openrouter.ai/api/v1",
        domains: &["openrouter.ai"],
        key_variables: &["OPENROUTER_API_KEY"],
        base_url_variable: "OPENROUTER_BASE_URL",
        // https://openrouter.ai/docs/use-cases/usage-accounting
        reports_cost: true,
        max_output_speed: 6_000,
        ..COMPATIBLE
    }
    // https://docs.together.ai/docs/inference/openai-compatibility and https://docs.together.ai/docs/inference/responses (in beta)
    Together "together" "https://docs.together.ai/docs/inference/openai-compatibility" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://api.together.ai/v1",
        domains: &["together.ai", "together.xyz"],
        key_variables: &["TOGETHER_API_KEY"],
        base_url_variable: "TOGETHER_BASE_URL",
        prices: Prices::List("together_ai"),
        // On that page on 2026-11-26.
        default_model: Some("openai/gpt-oss-20b"),
        bills_after_disconnect: false,
        ..COMPATIBLE
    }
    // As in the AI SDK, LangChain and Pipecat (https://docs.pipecat.ai/server/services/llm/fireworks); the dialects: https://docs.fireworks.ai/guides/response-api
    Fireworks "fireworks" "https://docs.fireworks.ai" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://api.fireworks.ai/inference/v1",
        domains: &["fireworks.ai"],
        key_variables: &["FIREWORKS_API_KEY"],
        base_url_variable: "FIREWORKS_BASE_URL",
        prices: Prices::List("fireworks_ai"),
        // In the price list of 2026-11-26.
        default_model: Some("accounts/fireworks/models/gpt-oss-120b"),
        bills_after_disconnect: false,
        ..COMPATIBLE
    }
    // https://inference-docs.cerebras.ai/resources/openai; about 3,000 tokens/s of gpt-oss-120b at https://inference-docs.cerebras.ai/models/overview.
    Cerebras "cerebras" "https://inference-docs.cerebras.ai/resources/openai" {
        base_url: "https://api.cerebras.ai/v1",
        domains: &["cerebras.ai"],
        key_variables: &["CEREBRAS_API_KEY"],
        base_url_variable: "CEREBRAS_BASE_URL",
        prices: Prices::List("cerebras"),
        // On that page in October 2026.
        default_model: Some("gpt-oss-120b"),
        max_output_speed: 6_000,
        ..COMPATIBLE
    }
    // https://docs.perplexity.ai/docs/sonar/openai-compatibility
    Perplexity "perplexity" "https://docs.perplexity.ai/docs/sonar/openai-compatibility" {
        base_url: "https://api.perplexity.ai",
        domains: &["perplexity.ai"],
        key_variables: &["PERPLEXITY_API_KEY"],
        base_url_variable: "PERPLEXITY_BASE_URL",
        prices: Prices::List("perplexity"),
        // In the price list of 2026-11-26.
        default_model: Some("sonar"),
        // https://docs.perplexity.ai/docs/sonar/openai-compatibility: `usage.cost.total_cost`.
        reports_cost: true,
        max_output_speed: 2_400,
        ..COMPATIBLE
    }
    // https://platform.kimi.ai/docs/overview. Keys of the Chinese platform are for https://api.moonshot.cn/v1.
    Moonshot "moonshot" "https://platform.kimi.ai/docs/overview" {
        base_url: "https://api.moonshot.ai/v1",
        domains: &["moonshot.ai", "moonshot.cn"],
        key_variables: &["MOONSHOT_API_KEY"],
        base_url_variable: "MOONSHOT_BASE_URL",
        prices: Prices::List("moonshot"),
        // In the price list of 2026-11-26.
        default_model: Some("kimi-k3"),
        ..COMPATIBLE
    }
    // https://ai.google.dev/gemini-api/docs/openai; the keys: https://ai.google.dev/gemini-api/docs/api-key
    GeminiOpenAi "gemini-openai" "https://ai.google.dev/gemini-api/docs/openai" {
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        domains: &["generativelanguage.googleapis.com"],
        key_variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base_url_variable: "GEMINI_BASE_URL",
        prices: Prices::List("gemini"),
        // In the price list of 2026-11-26.
        default_model: Some("gemini-2.5-flash"),
        ..COMPATIBLE
    }
    // https://docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html; the variables are those of the AWS SDKs.
    BedrockOpenAi "bedrock-openai" "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "https://bedrock-runtime.{region}.{aws}/openai/v1",
        domains: &["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "api.aws"],
        key_variables: &["AWS_BEARER_TOKEN_BEDROCK"],
        base_url_variable: "BEDROCK_OPENAI_BASE_URL",
        setting_variables: &[(Setting::Region, "AWS_REGION"), (Setting::Region, "AWS_DEFAULT_REGION")],
        prices: Prices::List("bedrock_converse"),
        ..COMPATIBLE
    }
    // https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html; the variable of the base URL is that of Anthropic's SDKs.
    BedrockAnthropic "bedrock-anthropic" "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html" {
        dialects: &[DialectName::Anthropic],
        base_url: "https://bedrock-mantle.{region}.api.aws/anthropic",
        domains: &["api.aws"],
        key_variables: &["AWS_BEARER_TOKEN_BEDROCK"],
        base_url_variable: "ANTHROPIC_BEDROCK_MANTLE_BASE_URL",
        setting_variables: &[(Setting::Region, "AWS_REGION"), (Setting::Region, "AWS_DEFAULT_REGION")],
        prices: Prices::List("bedrock_mantle"),
        priced_by_region: true,
        max_output_speed: 500,
        ..COMPATIBLE
    }
    // https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/call-vertex-using-openai-library. The "key" is an access token,
    // which lasts an hour: a token source renews it. Its variable is that of Google's Terraform provider.
    VertexOpenAi "vertex-openai" "https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/call-vertex-using-openai-library" {
        base_url: "https://{google}/v1/projects/{project}/locations/{region}/endpoints/openapi",
        domains: &["aiplatform.googleapis.com", "-aiplatform.googleapis.com", "aiplatform.us.rep.googleapis.com", "aiplatform.eu.rep.googleapis.com"],
        key_variables: &["GOOGLE_OAUTH_ACCESS_TOKEN"],
        base_url_variable: "VERTEX_BASE_URL",
        setting_variables: &[(Setting::Project, "GOOGLE_CLOUD_PROJECT"), (Setting::Region, "GOOGLE_CLOUD_LOCATION")],
        prices: Prices::List("gemini"),
        ..COMPATIBLE
    }
    // OLLAMA_HOST: https://github.com/ollama/ollama/blob/main/docs/faq.mdx; the dialects: https://docs.ollama.com/api/openai-compatibility
    Ollama "ollama" "https://github.com/ollama/ollama/tree/main/docs" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "http://localhost:11434/v1",
        key_variables: &["OLLAMA_API_KEY"],
        base_url_variable: "OLLAMA_HOST",
        ..LOCAL
    }
    // https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html; the server reads VLLM_API_KEY too.
    Vllm "vllm" "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "http://localhost:8000/v1",
        key_variables: &["VLLM_API_KEY"],
        base_url_variable: "VLLM_BASE_URL",
        ..LOCAL
    }
    // https://lmstudio.ai/docs/developer/openai-compat
    LmStudio "lmstudio" "https://lmstudio.ai/docs/developer/openai-compat" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "http://localhost:1234/v1",
        key_variables: &["LM_API_TOKEN"],
        base_url_variable: "LMSTUDIO_BASE_URL",
        ..LOCAL
    }
    // https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md; the server reads LLAMA_API_KEY too. It has one model, and
    // takes any name for it.
    LlamaCpp "llamacpp" "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "http://localhost:8080/v1",
        key_variables: &["LLAMA_API_KEY"],
        base_url_variable: "LLAMACPP_BASE_URL",
        default_model: Some("default"),
        ..LOCAL
    }
    // https://docs.litellm.ai/docs/providers/litellm_proxy and https://docs.litellm.ai/docs/response_api. Any vendor may be behind it.
    LiteLlm "litellm" "https://docs.litellm.ai/docs/providers/litellm_proxy" {
        dialects: CHAT_AND_RESPONSES,
        base_url: "http://localhost:4000",
        needs_key: false,
        key_variables: &["LITELLM_PROXY_API_KEY", "LITELLM_API_KEY"],
        base_url_variable: "LITELLM_PROXY_API_BASE",
        // It knows which vendor answered, and reports the cost if it is set to.
        reports_cost: true,
        max_output_speed: 6_000,
        ..COMPATIBLE
    }
}
