//! The fields of requests on which the cost depends, by dialect.

/// What a field means.
#[derive(Clone, Copy)]
pub enum Field {
    Model,
    Stream,
    StreamOptions,
    MaxTokens,
    MaxCompletionTokens,
    /// A limit of the output that only some servers know, so that it raises the maximum and never lowers it.
    OtherLimit,
    /// A limit of reasoning that may come on top of that of the output.
    ReasoningLimit,
    Replies,
    Prediction,
    /// Content blocks.
    Content,
    Tools,
    /// A schema of the reply. Providers describe it to the model in words of their own.
    Schema,
    ServiceTier,
    Speed,
    Region,
    CacheTime,
    /// Other models, one of which may answer.
    Models,
    /// Other models, which answer after the requested one. The provider can bill each run.
    Fallbacks,
    /// The provider searches the web once.
    Search,
    /// The provider may search the web several times.
    Searches,
    /// The provider adds content of unknown length.
    MoreInput,
    /// Likewise, and runs code.
    Container,
    /// The provider may run the model once more, to shorten the conversation.
    AnotherRun,
    Modalities,
    /// The reply can be audio.
    Audio,
    /// An object with such fields.
    Options(&'static [(&'static str, Field)]),
    /// An object with any fields of the request. LiteLLM passes them on.
    ExtraBody,
    /// Of a tool: its type, and how often the provider may use it.
    ToolType,
    ToolUses,
    /// Only its spelling matters.
    Other,
}

/// The fields that a dialect reads: its own, and those that are read in every dialect.
///
/// A name that differs from one of these only in case is refused, because some servers accept it.
pub(crate) type Fields = [&'static [(&'static str, Field)]; 2];

#[cfg(feature = "anthropic")]
pub(in crate::dialect) const ANTHROPIC: Fields = [
    &[
        ("mcp_servers", Field::MoreInput),
        ("container", Field::Container),
        ("context_management", Field::AnotherRun),
        ("output_config", Field::Schema),
        ("output_format", Field::Schema),
    ],
    COMMON,
];

#[cfg(feature = "openai-chat")]
pub(in crate::dialect) const OPENAI_CHAT: Fields = [
    &[
        ("stream_options", Field::StreamOptions),
        ("functions", Field::Tools),
        ("response_format", Field::Schema),
        ("modalities", Field::Modalities),
        ("audio", Field::Audio),
        ("prompt_cache_retention", Field::CacheTime),
        ("prompt_cache_options", Field::Options(CACHE)),
    ],
    COMMON,
];

const COMMON: &[(&str, Field)] = &[
    ("model", Field::Model),
    ("messages", Field::Other),
    ("system", Field::Content),
    ("tools", Field::Tools),
    ("stream", Field::Stream),
    ("cache_control", Field::Other),
    ("max_tokens", Field::MaxTokens),
    ("max_completion_tokens", Field::MaxCompletionTokens),
    ("n", Field::Replies),
    ("best_of", Field::Replies),
    ("prediction", Field::Prediction),
    ("service_tier", Field::ServiceTier),
    // Anthropic's, which gateways for several vendors pass on.
    ("speed", Field::Speed),
    ("inference_geo", Field::Region),
    // OpenAI's, OpenRouter's and xAI's.
    ("web_search_options", Field::Search),
    ("plugins", Field::Searches),
    ("search_parameters", Field::Searches),
    // OpenRouter's, and Anthropic's and LiteLLM's.
    ("models", Field::Models),
    ("fallbacks", Field::Fallbacks),
    ("thinking", Field::Options(REASONING)),
    ("reasoning", Field::Options(REASONING)),
    ("thinking_budget", Field::ReasoningLimit),
    // The limit's names on other servers: Hugging Face's TGI, the Responses API, Llama's API, Anthropic's old API, Ollama
    // and llama.cpp.
    ("max_new_tokens", Field::OtherLimit),
    ("max_output_tokens", Field::OtherLimit),
    ("max_gen_len", Field::OtherLimit),
    ("max_length", Field::OtherLimit),
    ("max_tokens_to_sample", Field::OtherLimit),
    ("num_predict", Field::OtherLimit),
    ("n_predict", Field::OtherLimit),
    // Objects with limits: Ollama's, Gemini's and Bedrock's.
    ("options", Field::Options(LIMITS)),
    ("generationConfig", Field::Options(LIMITS)),
    ("generation_config", Field::Options(LIMITS)),
    ("inferenceConfig", Field::Options(LIMITS)),
    ("extra_body", Field::ExtraBody),
];

const LIMITS: &[(&str, Field)] = &[
    ("max_tokens", Field::OtherLimit),
    ("maxTokens", Field::OtherLimit),
    ("max_completion_tokens", Field::OtherLimit),
    ("max_output_tokens", Field::OtherLimit),
    ("maxOutputTokens", Field::OtherLimit),
    ("max_new_tokens", Field::OtherLimit),
    ("num_predict", Field::OtherLimit),
    ("n_predict", Field::OtherLimit),
    ("n", Field::Replies),
    ("candidateCount", Field::Replies),
    ("candidate_count", Field::Replies),
    ("thinking", Field::Options(REASONING)),
    ("thinkingConfig", Field::Options(REASONING)),
    ("thinking_config", Field::Options(REASONING)),
];

const REASONING: &[(&str, Field)] = &[
    ("budget_tokens", Field::ReasoningLimit),
    ("max_tokens", Field::ReasoningLimit),
    ("thinkingBudget", Field::ReasoningLimit),
    ("thinking_budget", Field::ReasoningLimit),
];

#[cfg(feature = "openai-chat")]
const CACHE: &[(&str, Field)] = &[("ttl", Field::CacheTime)];

/// The fields of a tool.
pub(super) const TOOL: &[(&str, Field)] = &[
    ("type", Field::ToolType),
    ("max_uses", Field::ToolUses),
    ("model", Field::Models),
];

/// The fields of an entry of `fallbacks`.
pub(super) const FALLBACK: &[(&str, Field)] = &[
    ("model", Field::Models),
    ("max_tokens", Field::OtherLimit),
    ("speed", Field::Speed),
    ("thinking", Field::Options(REASONING)),
];
