//! The facts of a request, and the state of reading them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::fields::Fields;

/// The maximum number of other models whose prices are looked up.
const MAX_MODELS: usize = 64;
/// The assumed maximum of searches in a call that does not set one. Anthropic's loop has ten rounds
/// (<https://docs.claude.com/en/docs/build-with-claude/handling-stop-reasons>), and each can have several searches.
const MOST_SEARCHES: u64 = 30;
/// The assumed maximum of images that a tool generates in a call that does not limit its uses.
const MOST_IMAGES: u64 = 10;
/// The assumed maximum of questions to Anthropic's advisor.
const MOST_ADVICE: u64 = 10;

/// What the maximum cost and the route of a request depend on. [`Dialect::facts`](crate::dialect::Dialect::facts) reads it from the
/// body.
///
/// ```
/// use warmline::dialect::{Dialect, OpenAiChat};
///
/// let facts = OpenAiChat::default().facts(br#"{"model": "m", "stream": true, "n": 2}"#)?;
/// assert!(facts.stream && facts.replies == 2);
/// # Ok::<(), warmline::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// The model, or `None` if the body names none.
    pub model: Option<String>,
    /// The range of the body that is the model's JSON string.
    pub(crate) model_at: Option<Range<usize>>,
    /// Other models that may answer, such as those of OpenRouter's `models`.
    pub models: Vec<String>,
    /// Whether a model that the body does not name may answer.
    pub any_model: bool,
    /// Whether a stream is requested.
    pub stream: bool,
    /// The range of the body to replace, and its replacement, to ask for what the dialect asks for: a stream's usage
    /// (`stream_options.include_usage`), or encrypted reasoning (`include`). `None` if the body sets the field itself.
    pub(crate) ask: Option<(Range<usize>, &'static str)>,
    /// `max_tokens`, or `max_output_tokens` in the Responses API.
    pub max_tokens: Option<u64>,
    /// `max_completion_tokens`.
    pub max_completion_tokens: Option<u64>,
    /// The largest of the limits that only some servers know, such as `n_predict`, or 0.
    pub other_limit: u64,
    /// The largest limit of reasoning, such as `thinking.budget_tokens`, or 0.
    pub reasoning_limit: u64,
    /// Whether the request has options for reasoning.
    pub reasons: bool,
    /// The number of requested replies, or 0 if the body does not set it.
    pub replies: u64,
    /// The number of times that the provider may run a model in addition to the first, to shorten the conversation, to replace
    /// a refusal or for advice.
    pub more_runs: u64,
    /// The number of bytes of predicted output. Its rejected tokens are billed as output
    /// (<https://platform.openai.com/docs/guides/predicted-outputs>).
    pub predicted: u64,
    /// The number of images.
    pub images: u64,
    /// The number of bytes of the body that encode images, and are no text.
    pub image_bytes: u64,
    /// The number of documents and other content that can have more tokens than bytes.
    pub documents: u64,
    /// Whether the reply can be audio.
    pub audio_output: bool,
    /// Whether the request contains a `cache_control`.
    pub cached: bool,
    /// Whether the request asks for a cache that lasts longer than the provider's default.
    pub cached_long: bool,
    /// Whether the request contains tools or a schema of the reply, for which the provider adds a prompt.
    pub prompted: bool,
    /// The number of tools whose schema is the provider's own, such as `computer_20251124`.
    pub known_tools: u64,
    /// Whether the provider may add content of unknown length, such as the results of searches.
    pub more_input: bool,
    /// The maximum number of web searches that the provider makes.
    pub searches: u64,
    /// The number of web searches that are charged whether or not the reply reports them.
    pub charged_searches: u64,
    /// The number of searches of files that the provider may make (OpenAI's `file_search`).
    pub file_searches: u64,
    /// The number of images that the provider may generate with a tool (OpenAI's `image_generation`).
    pub generated_images: u64,
    /// The number of containers in which the provider may run code. One with more than 1 GB of memory counts once for each.
    pub containers: u64,
    /// Whether the provider generates the reply to its end even if nobody waits for it (OpenAI's `background`).
    pub background: bool,
    /// The requested service tier, or `None` if the provider chooses it.
    pub service_tier: Option<String>,
    /// Whether the request asks for a higher speed at a higher price (Anthropic's `speed`).
    pub fast: bool,
    /// The region in which the request must be processed (Anthropic's `inference_geo`).
    pub region: Option<String>,
}

impl RequestFacts {
    /// Returns the maximum of the output with its reasoning. `least` is the smallest limit that a server may use. A limit of
    /// reasoning that is not below that may come on top.
    pub(in crate::dialect) fn with_reasoning(&self, least: u64, most: u64) -> u64 {
        match self.reasoning_limit >= least {
            true => most.saturating_add(self.reasoning_limit),
            false => most,
        }
    }

    /// Records that the provider may search the web, at most this many times.
    pub(super) fn search(&mut self, most: Option<u64>) {
        let most = most.unwrap_or(MOST_SEARCHES);
        self.searches = self.searches.saturating_add(most);
        self.more_input = true;
    }

    /// Applies the maximum number of uses of the provider's own tools.
    pub(super) fn limit_calls(&mut self, most: Option<u64>) {
        let most = most.unwrap_or(u64::MAX);
        for count in [
            &mut self.searches,
            &mut self.file_searches,
            &mut self.generated_images,
        ] {
            *count = most.min(*count);
        }
    }

    /// Records another model that may answer.
    pub(super) fn add_model(&mut self, model: &str) {
        match self.models.len() {
            ..MAX_MODELS if !model.is_empty() => self.models.push(model.to_owned()),
            _ => self.any_model = true,
        }
    }

    /// Records a tool.
    pub(super) fn add_tool(&mut self, tool: &ToolFields) {
        let (kind, uses) = (&*tool.kind, tool.max_uses);
        let is = |names: &[&str]| names.iter().any(|name| kind.starts_with(name));
        self.prompted = true;
        if matches!(kind, "" | "function" | "custom" | "namespace") {
            return;
        }
        // The caller runs these.
        let by_caller = matches!(kind, "computer" | "local_shell" | "apply_patch");
        if by_caller || is(&["bash_2", "text_editor_", "memory_", "computer_", "browser_"]) {
            self.known_tools += 1;
            return;
        }
        self.more_input = true;
        if is(&["code_execution_"]) || matches!(kind, "code_interpreter" | "shell") {
            self.containers = self.containers.saturating_add(tool.memory.unwrap_or(1));
        } else if kind == "file_search" {
            self.file_searches = self.file_searches.saturating_add(MOST_SEARCHES);
        } else if kind == "image_generation" {
            self.generated_images = self.generated_images.saturating_add(MOST_IMAGES);
        } else if is(&["advisor_"]) {
            let uses = uses.unwrap_or(MOST_ADVICE);
            self.more_runs = self.more_runs.saturating_add(uses);
        } else if !is(&["web_fetch_", "tool_search", "mcp"]) {
            // Web searches, and what is not known. OpenAI's searches, such as `web_search` and `web_search_2025_08_26`, have no `max_uses`;
            // Anthropic's, such as `web_search_20250305`, have.
            let is_dated = |version: &str| version.bytes().all(|b| b.is_ascii_digit());
            let is_openais = kind
                .strip_prefix("web_search")
                .is_some_and(|rest| !rest.strip_prefix('_').is_some_and(is_dated));
            self.search(uses.filter(|_| !is_openais));
        }
    }
}

/// The fields of a tool.
#[derive(Default)]
pub(super) struct ToolFields {
    pub(super) kind: String,
    pub(super) max_uses: Option<u64>,
    /// The memory of its container, in GB.
    pub(super) memory: Option<u64>,
}

/// The facts read so far, and the reason if the request is refused.
pub(super) struct Reading<'b> {
    pub(super) facts: RequestFacts,
    pub(super) fields: Fields,
    pub(super) body: &'b str,
    /// The number of objects around the one that is read.
    pub(super) depth: usize,
    /// The fields so far of the tool that is read.
    pub(super) tool: ToolFields,
    /// The maximum number of uses of the provider's own tools.
    pub(super) max_tool_calls: Option<u64>,
    /// Whether that is the only limit of them.
    pub(super) limits_tool_calls: bool,
    pub(super) refusal: Option<String>,
}

pub(super) fn not_json(why: &dyn fmt::Display) -> String {
    ["the request is not JSON: ", &why.to_string()].concat()
}

/// Folds a name as Go's JSON decoder does. It ignores case, and two characters outside ASCII fold to ASCII letters.
pub(super) fn folded(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    let fold = |c| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    Cow::Owned(key.chars().map(fold).collect())
}
