//! A whole completion or one chunk of a stream: they differ in `message` and `delta`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::chat::Billing;
use crate::dialect::error::{holds_error, reports_failure};
use crate::dialect::usage::{billing, detail};
use crate::dialect::wire::{Count, Pairs, Text, Word, object, read};
use crate::{Result, Usage};

/// Errors are kept as flags, and large fields are in boxes, because the struct is moved several times for each delta. Defaults
/// are given per field, because one for the whole struct would be built each time.
#[derive(Deserialize)]
pub(super) struct Completion<'a> {
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) model: Word<'a>,
    #[serde(default, rename = "object", deserialize_with = "is_error_object")]
    is_error: bool,
    #[serde(borrow, default)]
    choices: Choices<'a>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    /// Groq's place for the usage of a stream.
    #[serde(borrow)]
    x_groq: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "holds_error")]
    error: bool,
    #[serde(default, deserialize_with = "holds_error")]
    detail: bool,
    #[serde(default, deserialize_with = "holds_error")]
    message: bool,
    #[serde(default, deserialize_with = "holds_error")]
    msg: bool,
    #[serde(default, deserialize_with = "reports_failure")]
    base_resp: bool,
}

/// Whether `object` is `error`, as of some compatible servers.
fn is_error_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Word::deserialize(deserializer).map(|object| object.as_str() == "error")
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) delta: Option<Box<Said<'a>>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Word<'a>,
    #[serde(default, deserialize_with = "holds_error")]
    error: bool,
    /// Moonshot's place for it.
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
}

/// A message, or what is new of one.
#[derive(Default, Deserialize)]
pub(super) struct Said<'a> {
    #[serde(borrow, default)]
    pub(super) content: Content<'a>,
    #[serde(borrow)]
    pub(super) refusal: Option<Box<Text<'a>>>,
    // DeepSeek's, vLLM's, SGLang's and xAI's name for thoughts, and OpenRouter's, Groq's and newer vLLM's. Some send the same
    // thought under both.
    #[serde(borrow)]
    reasoning_content: Option<Box<Text<'a>>>,
    #[serde(borrow)]
    reasoning: Option<Box<Text<'a>>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCallDelta<'a>>>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) annotations: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ToolCallDelta<'a> {
    pub(super) index: Count,
    #[serde(borrow)]
    pub(super) id: Word<'a>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl<'a> Function<'a> {
    /// Returns the arguments as JSON text, which is what they are as a rule; some servers send an object instead.
    pub(super) fn arguments(&self) -> Text<'a> {
        let Some(raw) = self.arguments.map(RawValue::get) else {
            return Text::default();
        };
        match raw.starts_with('"') {
            true => serde_json::from_str(raw).unwrap_or_default(),
            false => Cow::Borrowed(raw).into(),
        }
    }
}

/// The choices, of which one is read: `n` is not offered, since each costs a whole reply. Some servers number the chunks of a
/// stream rather than its choices, so that the number counts only where there are several.
#[derive(Default)]
struct Choices<'a> {
    chosen: Option<Box<Choice<'a>>>,
    failed: bool,
    usage: Option<&'a RawValue>,
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Choices::default())
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Choices::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut choices = Choices::default();
        while let Some(choice) = seq.next_element::<Box<Choice<'de>>>()? {
            choices.failed |= choice.error || choice.finish_reason.as_str() == "error";
            choices.usage = choices.usage.or(choice.usage);
            let has_first = choices.chosen.as_ref().is_some_and(|c| c.is_first());
            if choices.chosen.is_none() || (choice.is_first() && !has_first) {
                choices.chosen = Some(choice);
            }
        }
        Ok(choices)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(ChoicesVisitor)
    }
}

impl<'a> Choice<'a> {
    pub(super) fn is_first(&self) -> bool {
        self.index.get() == 0
    }

    /// # Errors
    /// `Decode` for a message that is not one.
    pub(super) fn message(&self) -> Result<Option<Box<Said<'a>>>> {
        let message = self.message.map(RawValue::get);
        message.map(|raw| read("a message", raw)).transpose()
    }
}

impl<'a> Completion<'a> {
    /// Whether this reports a failure instead of a reply.
    pub(super) fn failed(&self) -> bool {
        let says = self.detail || self.message || self.msg;
        let has_choice = self.choices.chosen.is_some();
        self.error
            || self.is_error
            || self.base_resp
            || self.choices.failed
            || (says && !has_choice)
    }

    /// Takes the one choice that is read.
    pub(super) fn take_choice(&mut self) -> Option<Box<Choice<'a>>> {
        self.choices.chosen.take()
    }

    /// Returns the usage, which may stand in several places.
    pub(super) fn usage(&self) -> Option<(Usage, Billing)> {
        let in_groq = Pairs::read(self.x_groq).and_then(|x_groq| x_groq.raw("usage"));
        let places = [self.usage, in_groq, self.choices.usage];
        let read = |place| {
            let wire = Pairs::read(Some(place))?;
            Some((usage(&wire)?, billing(&wire, self.service_tier)))
        };
        places.into_iter().flatten().find_map(read)
    }
}

/// None where nothing is reported.
fn usage(wire: &Pairs<'_>) -> Option<Usage> {
    // Some servers use Anthropic's names.
    let either = |name, other| wire.count(name).0.or(wire.count(other).0);
    let prompt = either("prompt_tokens", "input_tokens");
    let completion = either("completion_tokens", "output_tokens");
    prompt.or(completion)?;
    let (prompt, completion) = (prompt.unwrap_or_default(), completion.unwrap_or_default());
    let of_prompt = |name| detail(wire, "prompt_tokens_details", name);
    let of_completion = |name| detail(wire, "completion_tokens_details", name);
    // DeepSeek's name, and Moonshot's and Perplexity's.
    let cached = ["prompt_cache_hit_tokens", "cached_tokens"].map(|name| wire.count(name).get());
    let reasoning = wire.count("reasoning_tokens").get();
    let reasoning = of_completion("reasoning_tokens").max(reasoning);
    // Most servers count thoughts within the completion, some beside it. The total tells which.
    let output = match wire.count("total_tokens").get() {
        0 if reasoning > completion => completion.saturating_add(reasoning),
        0 => completion,
        total => total
            .saturating_sub(prompt)
            .min(completion.saturating_add(reasoning))
            .max(completion),
    };
    Some(Usage {
        input_tokens: prompt,
        output_tokens: output,
        cache_read_tokens: of_prompt("cached_tokens").max(cached[0]).max(cached[1]),
        // OpenRouter's, for models that charge for it.
        cache_write_tokens: of_prompt("cache_write_tokens"),
        reasoning_tokens: reasoning,
        audio_input_tokens: of_prompt("audio_tokens"),
        audio_output_tokens: of_completion("audio_tokens"),
        input_includes_cache: true,
        ..Usage::default()
    })
}

impl<'a> Said<'a> {
    /// Takes the thoughts that stand in a field of their own.
    pub(super) fn take_reasoning(&mut self) -> Option<Text<'a>> {
        let names = [self.reasoning_content.take(), self.reasoning.take()];
        let mut thoughts = names.into_iter().flatten();
        thoughts.find(|text| !text.is_empty()).map(|text| *text)
    }

    pub(super) fn take_refusal(&mut self) -> Option<Text<'a>> {
        let refusal = self.refusal.take()?;
        (!refusal.is_empty()).then_some(*refusal)
    }

    /// Takes the tool calls; the older form of one is a call without an id.
    pub(super) fn take_calls(&mut self) -> Vec<ToolCallDelta<'a>> {
        let mut calls = self.tool_calls.take().unwrap_or_default();
        if let Some(function) = object(self.function_call.take()) {
            calls.push(ToolCallDelta {
                function: Some(function),
                ..ToolCallDelta::default()
            });
        }
        calls
    }

    /// Whether it says nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        let texts = [&self.refusal, &self.reasoning, &self.reasoning_content];
        self.content.is_empty()
            && texts.into_iter().flatten().all(|text| text.is_empty())
            && self.tool_calls.as_ref().is_none_or(Vec::is_empty)
            && self.function_call.is_none()
    }
}

/// Content as servers write it: a string, null, or a list of strings and parts.
pub(super) enum Content<'a> {
    Text(Text<'a>),
    List(Vec<Piece<'a>>),
}

impl Default for Content<'_> {
    fn default() -> Self {
        Self::Text(Text::default())
    }
}

pub(super) enum Piece<'a> {
    Text(Text<'a>),
    /// Mistral's thoughts.
    Thought(Text<'a>),
    /// A part that is kept as it is.
    Other(&'a RawValue),
}

impl<'a> Content<'a> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
        }
    }

    /// Removes the pieces for which `keep` returns false.
    pub(super) fn retain(&mut self, keep: impl Fn(&Piece<'a>) -> bool) {
        let list = match std::mem::take(self) {
            Self::Text(text) => vec![Piece::Text(text)],
            Self::List(list) => list,
        };
        *self = Self::List(list.into_iter().filter(keep).collect());
    }

    /// All text of it, where it is a thought.
    fn whole(self) -> Text<'a> {
        let list = match self {
            Self::Text(text) => return text,
            Self::List(list) => list,
        };
        let mut whole = Text::default();
        for piece in list {
            if let Piece::Text(text) | Piece::Thought(text) = piece {
                whole.push(text);
            }
        }
        whole
    }
}

impl<'a> Piece<'a> {
    /// None for what says nothing.
    fn read(raw: &'a RawValue) -> Option<Self> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct WirePart<'a> {
            #[serde(borrow, rename = "type")]
            kind: Word<'a>,
            #[serde(borrow)]
            text: Text<'a>,
            #[serde(borrow)]
            thinking: Content<'a>,
        }
        if raw.get().starts_with('"') {
            return serde_json::from_str(raw.get()).ok().map(Self::Text);
        }
        if !raw.get().starts_with('{') {
            return None;
        }
        let part: WirePart<'a> = serde_json::from_str(raw.get()).unwrap_or_default();
        Some(match part.kind.as_str() {
            "thinking" => Self::Thought(part.thinking.whole()),
            "text" | "output_text" => Self::Text(part.text),
            "" if !part.text.is_empty() => Self::Text(part.text),
            _ => Self::Other(raw),
        })
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a list of parts or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Content::Text(Text::of_bytes(Cow::Borrowed(bytes))))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Content::Text(Text::of_bytes(Cow::Owned(bytes.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(raw) = seq.next_element()? {
            list.extend(Piece::read(raw));
        }
        Ok(Content::List(list))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(ContentVisitor)
    }
}
