//! The fields of requests on which the cost depends, by dialect.

/// What a field means.
#[derive(Clone, Copy)]
pub enum Field {
    Model,
    Stream,
    StreamOptions,
    /// What the reply contains in addition.
    Include,
    /// Items of the conversation.
    Items,
    MaxTokens,
    MaxCompletionTokens,
    /// A limit of the output that only some servers know, so that it raises the maximum and never lowers it.
    OtherLimit,
    /// A limit of reasoning that may come on top of that of the output.
    ReasoningLimit,
    Replies,
    Prediction,
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
    Options(Names),
    /// An object with any fields of the request. LiteLLM passes them on.
    ExtraBody,
    /// Of a tool: its type, and how often the provider may use it.
    ToolType,
    ToolUses,
    /// How often the provider may use its own tools, and the memory of the container in which it runs code.
    ToolCalls,
    Memory,
    /// The provider generates the reply to its end, even if nobody waits for it.
    Background,
    /// The provider adds a stored prompt, which can have tools.
    StoredPrompt,
    /// The provider adds the messages and the tools of a stored thread, unless the request begins it.
    Thread,
    /// Only its spelling matters.
    Other,
}

/// The fields that a dialect reads: its own, and those that are read in every dialect.
///
/// A name that differs from one of these only in case is refused, because some servers accept it.
pub(crate) type Fields = [Names; 2];

type Names = &'static [(Field, &'static [&'static str])];

#[cfg(feature = "anthropic")]
pub(in crate::dialect) const ANTHROPIC: Fields = [
    &[
        (Field::MoreInput, &["mcp_servers"]),
        // Of the beta `message-threads-2026-08-12`.
        (Field::Thread, &["thread"]),
        (Field::Container, &["container"]),
        (Field::AnotherRun, &["context_management"]),
        (Field::Schema, &["output_config", "output_format"]),
    ],
    COMMON,
];

#[cfg(feature = "openai-chat")]
pub(in crate::dialect) const OPENAI_CHAT: Fields = [
    &[
        (Field::StreamOptions, &["stream_options"]),
        (Field::Tools, &["functions"]),
        (Field::Schema, &["response_format"]),
        (Field::Modalities, &["modalities"]),
        (Field::Audio, &["audio"]),
        (Field::CacheTime, &["prompt_cache_retention"]),
        (Field::Options(CACHE), &["prompt_cache_options"]),
    ],
    COMMON,
];

#[cfg(feature = "openai-responses")]
pub(in crate::dialect) const OPENAI_RESPONSES: Fields = [
    &[
        (Field::Items, &["input", "instructions"]),
        (Field::Include, &["include"]),
        (Field::MaxTokens, &["max_output_tokens"]),
        // Names of this limit on other servers.
        (Field::OtherLimit, &["max_tokens", "max_completion_tokens"]),
        (Field::ToolCalls, &["max_tool_calls"]),
        (Field::MoreInput, &["previous_response_id", "conversation"]),
        (Field::StoredPrompt, &["prompt"]),
        (Field::Background, &["background"]),
        (Field::AnotherRun, &["context_management"]),
        (Field::Schema, &["text"]),
        (Field::Modalities, &["modalities"]),
        (Field::Audio, &["audio"]),
        (Field::CacheTime, &["prompt_cache_retention"]),
        (Field::Options(CACHE), &["prompt_cache_options"]),
    ],
    COMMON,
];

const COMMON: Names = &[
    (Field::Other, &["messages", "system", "cache_control"]),
    (Field::Model, &["model"]),
    (Field::Tools, &["tools"]),
    (Field::Stream, &["stream"]),
    (Field::MaxTokens, &["max_tokens"]),
    (Field::MaxCompletionTokens, &["max_completion_tokens"]),
    (Field::Replies, &["n", "best_of"]),
    (Field::Prediction, &["prediction"]),
    (Field::ServiceTier, &["service_tier"]),
    // Anthropic's, which gateways for several vendors pass on.
    (Field::Speed, &["speed"]),
    (Field::Region, &["inference_geo"]),
    // OpenAI's, and OpenRouter's and xAI's.
    (Field::Search, &["web_search_options"]),
    (Field::Searches, &["plugins", "search_parameters"]),
    // OpenRouter's, and Anthropic's and LiteLLM's.
    (Field::Models, &["models"]),
    (Field::Fallbacks, &["fallbacks"]),
    (Field::Options(REASONING), &["thinking", "reasoning"]),
    (Field::ReasoningLimit, &["thinking_budget"]),
    // The limit's names on other servers: Hugging Face's TGI, the Responses API, Llama's API, Anthropic's old API, Ollama
    // and llama.cpp.
    (
        Field::OtherLimit,
        &[
            "max_new_tokens",
            "max_output_tokens",
            "max_gen_len",
            "max_length",
            "max_tokens_to_sample",
            "num_predict",
            "n_predict",
        ],
    ),
    // Objects with limits: Ollama's, Gemini's and Bedrock's.
    (
        Field::Options(LIMITS),
        &[
            "options",
            "generationConfig",
            "generation_config",
            "inferenceConfig",
        ],
    ),
    (Field::ExtraBody, &["extra_body"]),
];

const LIMITS: Names = &[
    (
        Field::OtherLimit,
        &[
            "max_tokens",
            "maxTokens",
            "max_completion_tokens",
            "max_output_tokens",
            "maxOutputTokens",
            "max_new_tokens",
            "num_predict",
            "n_predict",
        ],
    ),
    (Field::Replies, &["n", "candidateCount", "candidate_count"]),
    (
        Field::Options(REASONING),
        &["thinking", "thinkingConfig", "thinking_config"],
    ),
];

const REASONING: Names = &[(
    Field::ReasoningLimit,
    &[
        "budget_tokens",
        "max_tokens",
        "thinkingBudget",
        "thinking_budget",
    ],
)];

#[cfg(any(feature = "openai-chat", feature = "openai-responses"))]
const CACHE: Names = &[(Field::CacheTime, &["ttl"])];

/// The fields of a tool.
pub(super) const TOOL: Names = &[
    (Field::ToolType, &["type"]),
    (Field::ToolUses, &["max_uses"]),
    // OpenAI's `namespace`.
    (Field::Tools, &["tools"]),
    (Field::Models, &["model"]),
    // OpenAI's `code_interpreter` and `shell`.
    (Field::Options(CONTAINER), &["container", "environment"]),
];

const CONTAINER: Names = &[(Field::Memory, &["memory_limit"])];

/// The fields of an entry of `fallbacks`.
pub(super) const FALLBACK: Names = &[
    (Field::Models, &["model"]),
    (Field::OtherLimit, &["max_tokens"]),
    (Field::Speed, &["speed"]),
    (Field::Options(REASONING), &["thinking"]),
];
