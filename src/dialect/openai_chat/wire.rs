//! A whole completion or one chunk of a stream: they differ in `message` and `delta`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::chat::Billing;
use crate::dialect::error::{is_error, reports_failure};
use crate::dialect::in_place::{Fields, InPlace, read_into};
use crate::dialect::usage::{billing, detail};
use crate::dialect::wire::{Count, Pairs, Text, Word, object};
use crate::{Result, Usage};

#[derive(Default)]
pub(super) struct Completion<'a> {
    pub(super) id: Word<'a>,
    pub(super) model: Word<'a>,
    pub(super) choices: Choices<'a>,
    usage: Option<&'a RawValue>,
    service_tier: Option<&'a RawValue>,
    /// Groq's place for the usage of a stream.
    x_groq: Option<&'a RawValue>,
    /// Whether a field reports a failure.
    failed: bool,
    /// Whether there is a message that is an error if there is no choice.
    has_message: bool,
}

impl<'de> Fields<'de> for Completion<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "id" => self.id = map.next_value()?,
            "model" => self.model = map.next_value()?,
            "choices" => map.next_value_seed(InPlace(&mut self.choices))?,
            "usage" => self.usage = map.next_value()?,
            "service_tier" => self.service_tier = map.next_value()?,
            "x_groq" => self.x_groq = map.next_value()?,
            // Some compatible servers name errors here.
            "object" => self.failed |= map.next_value::<Word<'de>>()?.as_str() == "error",
            "error" => self.failed |= map.next_value::<Option<&RawValue>>()?.is_some_and(is_error),
            "base_resp" => self.failed |= reports_failure(map.next_value()?),
            "detail" | "message" | "msg" => {
                self.has_message |= map.next_value::<Option<&RawValue>>()?.is_some_and(is_error)
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct Choice<'a> {
    index: Count,
    message: Option<&'a RawValue>,
    pub(super) delta: Option<Said<'a>>,
    pub(super) finish_reason: Word<'a>,
    error: bool,
    /// Moonshot's place for it.
    usage: Option<&'a RawValue>,
    pub(super) logprobs: Option<&'a RawValue>,
}

impl<'de> Fields<'de> for Choice<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "index" => self.index = map.next_value()?,
            "message" => self.message = map.next_value()?,
            "delta" => map.next_value_seed(InPlace(&mut self.delta))?,
            "finish_reason" => self.finish_reason = map.next_value()?,
            "error" => self.error = map.next_value::<Option<&RawValue>>()?.is_some_and(is_error),
            "usage" => self.usage = map.next_value()?,
            "logprobs" => self.logprobs = map.next_value()?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// A message, or what is new of one. Large fields that are rare are in boxes.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) content: Content<'a>,
    pub(super) refusal: Option<Box<Text<'a>>>,
    // DeepSeek's, vLLM's, SGLang's and xAI's name for thoughts, and OpenRouter's, Groq's and newer vLLM's. Some send the same
    // thought under both.
    reasoning_content: Option<Box<Text<'a>>>,
    reasoning: Option<Box<Text<'a>>>,
    tool_calls: Option<Vec<ToolCallDelta<'a>>>,
    function_call: Option<&'a RawValue>,
    pub(super) annotations: Option<&'a RawValue>,
}

impl<'de> Fields<'de> for Said<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "content" => self.content = map.next_value()?,
            "refusal" => self.refusal = map.next_value()?,
            "reasoning_content" => self.reasoning_content = map.next_value()?,
            "reasoning" => self.reasoning = map.next_value()?,
            "tool_calls" => self.tool_calls = map.next_value()?,
            "function_call" => self.function_call = map.next_value()?,
            "annotations" => self.annotations = map.next_value()?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ToolCallDelta<'a> {
    pub(super) index: Count,
    #[serde(borrow)]
    pub(super) id: Word<'a>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
    /// In place of the function.
    #[serde(borrow)]
    pub(super) custom: Option<Custom<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Custom<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) input: Text<'a>,
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
pub(super) struct Choices<'a> {
    /// The one that is read. Empty if there is none.
    chosen: Choice<'a>,
    is_any: bool,
    failed: bool,
    usage: Option<&'a RawValue>,
}

impl<'de> Visitor<'de> for InPlace<'_, Choices<'de>> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices or null")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self(choices) = self;
        *choices = Choices::default();
        if seq
            .next_element_seed(InPlace(&mut choices.chosen))?
            .is_none()
        {
            return Ok(());
        }
        choices.is_any = true;
        choices.failed = choices.chosen.failed();
        choices.usage = choices.chosen.usage;
        let mut other = Choice::default();
        while seq.next_element_seed(InPlace(&mut other))?.is_some() {
            choices.failed |= other.failed();
            choices.usage = choices.usage.or(other.usage);
            let other = std::mem::take(&mut other);
            if other.is_first() && !choices.chosen.is_first() {
                choices.chosen = other;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for InPlace<'_, Choices<'de>> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'a> Choices<'a> {
    /// Returns the one choice that is read.
    pub(super) fn chosen(&mut self) -> Option<&mut Choice<'a>> {
        self.is_any.then_some(&mut self.chosen)
    }
}

impl<'a> Choice<'a> {
    pub(super) fn is_first(&self) -> bool {
        self.index.get() == 0
    }

    fn failed(&self) -> bool {
        self.error || self.finish_reason.as_str() == "error"
    }

    /// # Errors
    /// `Decode` for a message that is not one.
    pub(super) fn message(&self) -> Result<Option<Said<'a>>> {
        let Some(raw) = self.message else {
            return Ok(None);
        };
        let mut message = Said::default();
        read_into("a message", raw.get(), &mut message)?;
        Ok(Some(message))
    }
}

impl<'a> Completion<'a> {
    /// Whether this reports a failure instead of a reply.
    pub(super) fn failed(&self) -> bool {
        self.failed || self.choices.failed || (self.has_message && !self.choices.is_any)
    }

    /// Returns the usage, which may stand in several places.
    pub(super) fn usage(&self) -> Option<(Usage, Billing)> {
        // The usual chunk has none.
        self.usage.or(self.x_groq).or(self.choices.usage)?;
        self.read_usage()
    }

    #[cold]
    fn read_usage(&self) -> Option<(Usage, Billing)> {
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
        let taken = |thought: &mut Option<Box<Text<'a>>>| {
            let thought = *thought.take()?;
            (!thought.is_empty()).then_some(thought)
        };
        let content = taken(&mut self.reasoning_content);
        content.or_else(|| taken(&mut self.reasoning))
    }

    /// Whether there is more than reasoning and content.
    pub(super) fn has_more(&self) -> bool {
        self.refusal.is_some()
            || self.tool_calls.is_some()
            || self.function_call.is_some()
            || self.annotations.is_some()
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
