//! Reads the fields of a request and of the objects in it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::content::{read_content, read_items};
use super::fields::{FALLBACK, Field, Fields, TOOL};
use super::options::{place, stream_options};
use super::reading::{Reading, folded, not_json};
use super::values::{count, flag, is_null, items, memory, model, text};
use crate::dialect::wire::Pairs;
use crate::quote::quote;

/// The maximum number of fields of an object that is read. No API has a quarter of that.
const MAX_FIELDS: usize = 256;
/// The maximum number of objects with options within each other.
const MAX_DEPTH: usize = 8;

/// Reads the fields of the request, or of an object in it.
pub(super) fn read_fields<'b>(
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
        if is_null(value) && !matches!(meant, Field::StreamOptions | Field::Include) {
            continue;
        }
        if let Field::Other | Field::Prediction = meant {
            read_content(reading, key, value)?;
        }
        match meant {
            Field::Other => {}
            Field::Items => read_items(reading, value)?,
            Field::Tools => read_tools(reading, value)?,
            Field::Models => read_models(reading, value, false)?,
            Field::Fallbacks => read_models(reading, value, true)?,
            Field::Options(options) => {
                let names = ["thinking", "thinkingConfig", "thinking_config", "reasoning"];
                reading.facts.reasons |= names.contains(&&**key);
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
        Field::Model if is_top => {
            facts.model = Some(model(value)?);
            facts.model_at = Some(place(reading.body, value));
        }
        Field::Model => {
            facts.add_model(&model(value)?);
        }
        Field::Stream if is_top => facts.stream = flag(value, key)?.unwrap_or_default(),
        Field::StreamOptions if is_top => facts.ask = stream_options(reading.body, value)?,
        Field::Include if is_top => {
            let null = is_null(value).then(|| place(reading.body, value));
            facts.ask = null.map(|place| (place, r#"["reasoning.encrypted_content"]"#));
        }
        Field::MaxTokens if is_top => facts.max_tokens = count(value, key)?,
        Field::MaxCompletionTokens if is_top => facts.max_completion_tokens = count(value, key)?,
        Field::MaxTokens | Field::MaxCompletionTokens | Field::OtherLimit => {
            facts.other_limit = facts.other_limit.max(count(value, key)?.unwrap_or(0));
        }
        // Gemini's -1 lets the model choose.
        Field::ReasoningLimit if value.get() == "-1" => {}
        Field::ReasoningLimit => {
            facts.reasons = true;
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
        Field::StoredPrompt => facts.search(None),
        Field::Thread => {
            let begins = |thread: &Pairs<'_>| {
                thread.0.len() == 1 && thread.text("type").as_deref() == Some("create")
            };
            if value.get() != "null" && !Pairs::read(Some(value)).is_some_and(|of| begins(&of)) {
                facts.search(None);
                facts.containers += 1;
            }
        }
        Field::Background => facts.background |= flag(value, key)?.unwrap_or_default(),
        Field::ToolCalls if is_top => reading.max_tool_calls = count(value, key)?,
        // Which of two limits counts is not known, so that none does.
        Field::ToolCalls => reading.limits_tool_calls = false,
        Field::Memory => reading.tool.memory = Some(memory(value)),
        Field::Container => {
            facts.more_input = true;
            facts.containers += 1;
        }
        Field::AnotherRun => facts.more_runs = facts.more_runs.saturating_add(1),
        Field::Prediction => facts.predicted += value.get().len() as u64,
        // What is no string is a type that is not known.
        Field::ToolType => reading.tool.kind = text(value, key).unwrap_or_else(|_| "?".to_owned()),
        Field::ToolUses => reading.tool.max_uses = count(value, key)?,
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
        let mut names = names.iter();
        match names.find(|name| name.eq_ignore_ascii_case(&folded_key)) {
            Some(name) if *name == key => return Ok(*meant),
            Some(name) => {
                return Err([&quote(key), " is not a field: it is spelled ", name].concat());
            }
            None => {}
        }
    }
    Ok(Field::Other)
}

/// Reads a list of tools.
fn read_tools<'b>(reading: &mut Reading<'b>, tools: &'b RawValue) -> Result<(), String> {
    // The tool that holds these ones.
    let outer = std::mem::take(&mut reading.tool);
    for tool in items(tools) {
        if !read_object(reading, "a tool", [TOOL, &[]], tool)? {
            reading.tool.kind = "?".to_owned();
        }
        let tool = std::mem::take(&mut reading.tool);
        reading.facts.add_tool(&tool);
    }
    reading.tool = outer;
    Ok(())
}

/// Reads other models that may answer: names, or objects with a name. `is_run` is whether each can be billed in addition to the
/// requested model.
fn read_models<'b>(
    reading: &mut Reading<'b>,
    models: &'b RawValue,
    is_run: bool,
) -> Result<(), String> {
    for item in items(models) {
        let facts = &mut reading.facts;
        facts.more_runs = facts.more_runs.saturating_add(is_run.into());
        let known = facts.models.len();
        match model(item) {
            // Anthropic's `default` lets the provider choose.
            Ok(name) if !(is_run && name == "default") => facts.add_model(&name),
            Ok(_) => facts.any_model = true,
            Err(_) => {
                let is_object = read_object(reading, "a fallback", [FALLBACK, &[]], item)?;
                // LiteLLM's form has the names as keys.
                reading.facts.any_model |= !is_object || reading.facts.models.len() == known;
            }
        }
    }
    Ok(())
}
