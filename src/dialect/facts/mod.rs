//! Reads from the body of a request what its maximum cost and its route depend on.
//!
//! Servers read JSON in different ways. Of two fields with one name, some use the first and some the last. Some ignore the case
//! of names, and some accept `"5"` for 5. If that affects the cost, the request is refused. If it cannot be refused, the more
//! expensive reading counts.

mod content;
mod fields;
mod options;
#[cfg(test)]
mod tests;
mod tools;
mod values;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde_json::value::RawValue;

use self::content::read_content;
#[cfg(feature = "anthropic")]
pub(super) use self::fields::ANTHROPIC;
use self::fields::Field;
pub(super) use self::fields::Fields;
#[cfg(feature = "openai-chat")]
pub(super) use self::fields::OPENAI_CHAT;
use self::options::stream_options;
use self::tools::{read_models, read_tools};
use self::values::{count, flag, is_null, items, model, text};
use super::wire::Pairs;
use crate::quote::quote;
use crate::{Error, Result};

/// The maximum number of fields of an object that is read. No API has a quarter of that.
const MAX_FIELDS: usize = 256;
/// The maximum number of objects with options within each other.
const MAX_DEPTH: usize = 8;
/// The maximum number of other models whose prices are looked up.
const MAX_MODELS: usize = 64;

/// What the maximum cost and the route of a request depend on. [`Dialect::facts`](super::Dialect::facts) reads it from the
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
    /// Other models that may answer, such as those of OpenRouter's `models`.
    pub models: Vec<String>,
    /// Whether a model that the body does not name may answer.
    pub any_model: bool,
    /// Whether a stream is requested.
    pub stream: bool,
    /// The range of the body to replace, and its replacement, so that OpenAI's dialect reports a stream's usage. `None` if the
    /// body sets `include_usage` itself.
    pub(crate) ask_usage: Option<(Range<usize>, &'static str)>,
    /// `max_tokens`.
    pub max_tokens: Option<u64>,
    /// `max_completion_tokens`.
    pub max_completion_tokens: Option<u64>,
    /// The largest of the limits that only some servers know, such as `n_predict`, or 0.
    pub other_limit: u64,
    /// The largest limit of reasoning, such as `thinking.budget_tokens`, or 0.
    pub reasoning_limit: u64,
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
    /// The number of containers in which the provider may run code.
    pub containers: u64,
    /// The requested service tier, or `None` if the provider chooses it.
    pub service_tier: Option<String>,
    /// Whether the request asks for a higher speed at a higher price (Anthropic's `speed`).
    pub fast: bool,
    /// The region in which the request must be processed (Anthropic's `inference_geo`).
    pub region: Option<String>,
}

/// The facts read so far, and the reason if the request is refused.
struct Reading<'b> {
    facts: RequestFacts,
    fields: Fields,
    body: &'b str,
    /// The number of objects around the one that is read.
    depth: usize,
    /// The type of the tool that is read, and its `max_uses`.
    tool: String,
    tool_uses: Option<u64>,
    refusal: Option<String>,
}

impl RequestFacts {
    /// Returns the maximum of the output with its reasoning. `least` is the smallest limit that a server may use. A limit of
    /// reasoning that is not below that may come on top.
    pub(super) fn with_reasoning(&self, least: u64, most: u64) -> u64 {
        match self.reasoning_limit >= least {
            true => most.saturating_add(self.reasoning_limit),
            false => most,
        }
    }

    pub(super) fn read(fields: Fields, body: &[u8]) -> Result<Self> {
        let read = std::str::from_utf8(body).map_err(|e| not_json(&e));
        let body = read.map_err(Error::config)?;
        let mut reading = Reading {
            facts: Self::default(),
            fields,
            body,
            depth: 0,
            tool: String::new(),
            tool_uses: None,
            refusal: None,
        };
        // A body that requests a stream has at least one field, so a comma can follow.
        let start = body.find('{').map_or(0, |brace| brace + 1);
        let usage = r#""stream_options":{"include_usage":true},"#;
        reading.facts.ask_usage = Some((start..start, usage));
        let Pairs(pairs) = serde_json::from_str(body).map_err(|e| Error::config(not_json(&e)))?;
        match read_fields(&mut reading, "the request", fields, &pairs, true) {
            Ok(()) => Ok(reading.facts),
            Err(refusal) => Err(Error::config(refusal)),
        }
    }
}

fn not_json(why: &dyn fmt::Display) -> String {
    ["the request is not JSON: ", &why.to_string()].concat()
}

/// Reads the fields of the request, or of an object in it.
fn read_fields<'b>(
    reading: &mut Reading<'b>,
    object: &str,
    fields: Fields,
    pairs: &[(Cow<'b, str>, &'b RawValue)],
    is_top: bool,
) -> Result<(), String> {
    if pairs.len() > MAX_FIELDS {
        return Err(format!("{object} has more than {MAX_FIELDS} fields"));
    }
    for (i, (key, value)) in pairs.iter().enumerate() {
        if pairs[..i].iter().any(|(known, _)| known == key) {
            return Err([object, " has ", &quote(key), " twice: give it once"].concat());
        }
        let meant = meaning(fields, key)?;
        if is_null(value) && !matches!(meant, Field::StreamOptions) {
            continue;
        }
        if let Field::Other | Field::Prediction = meant {
            read_content(reading, key, value)?;
        }
        match meant {
            Field::Other => {}
            Field::Tools => read_tools(reading, value)?,
            Field::Models => read_models(reading, value, false)?,
            Field::Fallbacks => read_models(reading, value, true)?,
            Field::Options(options) => {
                read_object(reading, key, [options, &[]], value)?;
            }
            Field::ExtraBody => {
                read_object(reading, key, reading.fields, value)?;
            }
            _ => set_fact(reading, value, key, meant, is_top)?,
        }
    }
    Ok(())
}

/// Reads an object with options. Returns false if the value is none.
fn read_object<'b>(
    reading: &mut Reading<'b>,
    name: &str,
    fields: Fields,
    value: &'b RawValue,
) -> Result<bool, String> {
    if !value.get().starts_with('{') {
        return Ok(false);
    }
    if reading.depth == MAX_DEPTH {
        return Err([name, " is nested too deeply"].concat());
    }
    let Pairs(pairs) = serde_json::from_str(value.get()).map_err(|e| not_json(&e))?;
    reading.depth += 1;
    let read = read_fields(reading, name, fields, &pairs, false);
    reading.depth -= 1;
    read.map(|()| true)
}

/// Records the fact that a value states.
fn set_fact(
    reading: &mut Reading<'_>,
    value: &RawValue,
    key: &str,
    meant: Field,
    is_top: bool,
) -> Result<(), String> {
    let facts = &mut reading.facts;
    match meant {
        Field::Model if is_top => facts.model = Some(model(value)?),
        Field::Model => {
            facts.add_model(&model(value)?);
        }
        Field::Stream if is_top => facts.stream = flag(value, key)?.unwrap_or_default(),
        Field::StreamOptions if is_top => facts.ask_usage = stream_options(reading.body, value)?,
        Field::MaxTokens if is_top => facts.max_tokens = count(value, key)?,
        Field::MaxCompletionTokens if is_top => facts.max_completion_tokens = count(value, key)?,
        Field::MaxTokens | Field::MaxCompletionTokens | Field::OtherLimit => {
            facts.other_limit = facts.other_limit.max(count(value, key)?.unwrap_or(0));
        }
        // Gemini's -1 lets the model choose.
        Field::ReasoningLimit if value.get() == "-1" => {}
        Field::ReasoningLimit => {
            let limit = count(value, key)?.unwrap_or(0);
            facts.reasoning_limit = facts.reasoning_limit.max(limit);
        }
        Field::Replies => facts.replies = facts.replies.max(count(value, key)?.unwrap_or(0)),
        Field::Schema => facts.prompted = true,
        Field::ServiceTier if is_top => facts.service_tier = Some(text(value, key)?),
        // Which of two tiers counts is not known, so that the most expensive one does.
        Field::ServiceTier => facts.service_tier = Some(key.to_owned()),
        Field::Speed => facts.fast |= text(value, key)? != "standard",
        Field::Region if is_top => facts.region = Some(text(value, key)?),
        Field::Region => facts.region = Some(key.to_owned()),
        Field::CacheTime => {
            let time = text(value, key)?;
            facts.cached_long |= !matches!(&*time, "in_memory" | "5m" | "30m");
        }
        Field::Search => {
            facts.searches = facts.searches.saturating_add(1);
            facts.charged_searches += 1;
            facts.more_input = true;
        }
        Field::Searches => facts.search(None),
        Field::MoreInput => facts.more_input = true,
        Field::Container => {
            facts.more_input = true;
            facts.containers += 1;
        }
        Field::AnotherRun => facts.more_runs = facts.more_runs.saturating_add(1),
        Field::Prediction => facts.predicted += value.get().len() as u64,
        // What is no string is a type that is not known.
        Field::ToolType => reading.tool = text(value, key).unwrap_or_else(|_| "?".to_owned()),
        Field::ToolUses => reading.tool_uses = count(value, key)?,
        Field::Modalities => {
            let is_text = |item: &RawValue| item.get() == r#""text""#;
            facts.audio_output |= !items(value).into_iter().all(is_text);
        }
        Field::Audio => facts.audio_output = true,
        _ => {}
    }
    Ok(())
}

/// Returns what a field means. Refuses a name that differs only in case from one that is read.
fn meaning(fields: Fields, key: &str) -> Result<Field, String> {
    let folded_key = folded(key);
    for (meant, names) in fields.into_iter().flatten() {
        for name in names.split(' ').filter(|name| folded(name) == folded_key) {
            return match name == key {
                true => Ok(*meant),
                false => Err([&quote(key), " is not a field: it is spelled ", name].concat()),
            };
        }
    }
    Ok(Field::Other)
}

/// Folds a name as Go's JSON decoder does. It ignores case, and two characters outside ASCII fold to ASCII letters.
fn folded(key: &str) -> Cow<'_, str> {
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
