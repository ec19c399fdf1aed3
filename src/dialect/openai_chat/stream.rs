//! Decodes streams.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::pieces::{logprobs, read_completion};
use super::wire::{Completion, Content, Piece, Said, ToolCallDelta};
use crate::dialect::accumulator::Accumulator;
use crate::dialect::codec::StreamState;
use crate::dialect::error::instead_of_reply;
use crate::dialect::usage::merge_usage;
use crate::dialect::wire::Text;
use crate::{DialectName, Part, RawJson, Result};

#[derive(Default)]
pub(super) struct State {
    /// The number of tool calls.
    calls: usize,
    /// The last call with each id, and with each index of the server, if it sends one.
    by_id: BTreeMap<String, usize>,
    by_number: BTreeMap<u64, usize>,
    /// Whether several replies were requested. Only the first is read.
    several: bool,
    refused: bool,
    /// What was received, so that a complete message adds only the rest.
    thought: bool,
    said: bool,
}

impl StreamState for State {
    fn ends_with_done(&self) -> bool {
        true
    }

    fn expect_several(&mut self) {
        self.several = true;
    }

    fn take(&mut self, reply: &mut Accumulator, data: &str, is_error: bool) -> Result<()> {
        if is_error {
            return Err(reply.embedded_error(data));
        }
        let request_id = reply.reply.request_id.as_deref();
        let mut chunk = Completion::default();
        read_completion("an event of the stream", data, request_id, &mut chunk)?;
        if let Some((usage, billing)) = chunk.usage() {
            merge_usage(&mut reply.reply.usage, &usage);
            reply.reply.billing.merge(billing);
            reply.reply.usage_reported = true;
        }
        // A chunk that contains only the usage has no choice.
        let Some(choice) = chunk.choices.chosen() else {
            let failed = instead_of_reply(data, reply.reply.request_id.as_deref());
            return failed.map_or(Ok(()), Err);
        };
        if self.several && !choice.is_first() {
            return Ok(());
        }
        reply.start(chunk.id.as_str(), chunk.model.as_str());
        match (choice.message()?, &mut choice.delta) {
            (Some(message), Some(delta)) if delta.is_empty() => self.whole(reply, message),
            (_, Some(delta)) => self.add(reply, delta),
            (Some(message), None) => self.whole(reply, message),
            (None, None) => {}
        }
        if choice.logprobs.is_some() {
            reply.reply.logprobs.extend(logprobs(choice.logprobs));
        }
        if let Some(reason) = std::mem::take(&mut choice.finish_reason).some() {
            // Some proxies end every stream with `stop`, after the real reason.
            let repeated = reason == "stop" && reply.reply.stop_reason.is_some();
            if !repeated {
                reply.stop(if self.refused { "refusal" } else { &reason });
            }
        }
        Ok(())
    }

    fn without_usage<'a>(&self, frame: &'a [u8], data: &[u8]) -> Option<Cow<'a, [u8]>> {
        without_usage(frame, data)
    }
}

impl State {
    /// Adds a complete message. Only what was not received yet counts.
    fn whole(&mut self, reply: &mut Accumulator, mut message: Said<'_>) {
        if self.thought {
            message.take_reasoning();
        }
        if self.said {
            message.refusal = None;
        }
        message.content.retain(|piece| match piece {
            Piece::Thought(_) => !self.thought,
            Piece::Text(_) | Piece::Other(_) => !self.said,
        });
        if self.calls > 0 {
            message.take_calls();
        }
        self.add(reply, &mut message);
    }

    /// Adds a delta, and leaves it empty.
    pub(super) fn add(&mut self, reply: &mut Accumulator, said: &mut Said<'_>) {
        if let Some(thought) = said.take_reasoning() {
            self.thought = true;
            reply.reasoning(thought);
        }
        match std::mem::take(&mut said.content) {
            Content::Text(text) => self.text(reply, text),
            Content::List(list) => list.into_iter().for_each(|piece| self.piece(reply, piece)),
        }
        if said.has_more() {
            self.add_more(reply, said);
        }
    }

    /// Adds what few deltas have. It is separate, so that the usual delta does not check each of it.
    #[cold]
    fn add_more(&mut self, reply: &mut Accumulator, said: &mut Said<'_>) {
        if let Some(refusal) = said.take_refusal() {
            self.refused = true;
            self.text(reply, refusal);
        }
        if let Some(list) = said.annotations.filter(|list| list.get().starts_with("[{")) {
            let position = reply.last_text();
            let items: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
            for item in items {
                reply.annotate(position, DialectName::OpenAiChat, item);
            }
        }
        for call in said.take_calls() {
            self.call(reply, call);
        }
    }

    fn text(&mut self, reply: &mut Accumulator, text: Text<'_>) {
        if !text.is_empty() {
            self.said = true;
            reply.text(text);
        }
    }

    fn piece(&mut self, reply: &mut Accumulator, piece: Piece<'_>) {
        match piece {
            Piece::Text(text) => self.text(reply, text),
            Piece::Thought(thought) => {
                self.thought |= !thought.is_empty();
                reply.reasoning(thought);
            }
            Piece::Other(json) => {
                let dialect = DialectName::OpenAiChat;
                let json = RawJson::of(json);
                let position = reply.push(Part::Other {
                    dialect,
                    json: json.clone(),
                });
                reply.put_other(position, dialect, json);
            }
        }
    }

    fn call(&mut self, reply: &mut Accumulator, piece: ToolCallDelta<'_>) {
        let is_custom = piece.custom.is_some();
        let (name, arguments) = match piece.custom {
            Some(custom) => (custom.name, custom.input),
            None => {
                let function = piece.function.unwrap_or_default();
                let arguments = function.arguments();
                (function.name, arguments)
            }
        };
        let name = name.into_cow();
        let (id, number) = (piece.id.as_str(), piece.index.0);
        let call = match self.known(reply, number, id, &name) {
            Some(call) => call,
            None => {
                let call = reply.open_call();
                self.calls += 1;
                if let Some(number) = number {
                    self.by_number.insert(number, call);
                }
                call
            }
        };
        if is_custom && let Some(call) = reply.call_mut(call) {
            call.custom = true;
        }
        reply.name_call(call, id, &name);
        if !id.is_empty() && reply.call(call).is_some_and(|call| call.id == id) {
            let last = self.by_id.entry(id.to_owned()).or_insert(call);
            *last = call.max(*last);
        }
        reply.arguments(call, arguments);
    }

    /// Finds the call that a piece continues. `None` if it begins a new one.
    fn known(
        &self,
        reply: &Accumulator,
        number: Option<u64>,
        id: &str,
        name: &str,
    ) -> Option<usize> {
        let last = self.calls.checked_sub(1);
        let by_id = self.by_id.get(id).copied();
        let numbered = number.and_then(|number| self.by_number.get(&number).copied());
        let open = match number {
            // A new index begins a call, unless nothing else indicates one.
            Some(_) => match numbered {
                None if name.is_empty() => {
                    return by_id.or(if id.is_empty() { last } else { None });
                }
                None => return None,
                open => open,
            },
            None => by_id.or(last),
        };
        let known = reply.call(open?)?;
        let is_new = known.id.is_empty() && known.name.is_empty();
        let begins = match number {
            _ if name.is_empty() || by_id == open || is_new => false,
            // Another id is another call. Some servers send the same index for each.
            Some(_) => !id.is_empty(),
            None => !known.name.is_empty() || (!id.is_empty() && !known.id.is_empty()),
        };
        if begins { None } else { open }
    }
}

/// What of a frame is shown to a caller who did not ask for its usage. Nothing, where the frame is the one that is sent
/// because usage was asked for: it has no choices
/// (<https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options>). Without the `"usage": null` that
/// asking adds to all other frames, where it can be cut out; else as it came.
fn without_usage<'a>(frame: &'a [u8], data: &[u8]) -> Option<Cow<'a, [u8]>> {
    // OpenAI writes it last. What precedes the brace that ends an object is its own last member.
    if let Some(rest) = data.strip_suffix(b",\"usage\":null}")
        && let Some(end) = frame
            .strip_prefix(b"data: ")
            .and_then(|value| value.strip_prefix(rest))
        && let Some(end) = end.strip_prefix(b",\"usage\":null")
    {
        return Some([b"data: ", rest, end].concat().into());
    }
    let has_usage = data.windows(5).any(|word| word == b"usage");
    if !has_usage && !data.contains(&b'\\') {
        return Some(frame.into());
    }
    let Some(chunk) = std::str::from_utf8(data).ok().and_then(|data| {
        let chunk: UsageOf<'_> = serde_json::from_str(data).ok()?;
        Some(chunk)
    }) else {
        return Some(frame.into());
    };
    if chunk.no_choices && chunk.only_usage && chunk.usage.is_some_and(|u| u.get().starts_with('{'))
    {
        return None;
    }
    let null = chunk.usage.filter(|usage| usage.get() == "null");
    let cut = null.and_then(|null| without_field(frame, null.get()));
    Some(cut.map_or(frame.into(), Cow::Owned))
}

/// Cuts `"usage": VALUE` and one comma out of a frame that holds the value.
fn without_field(frame: &[u8], value: &str) -> Option<Vec<u8>> {
    let start = (value.as_ptr() as usize).checked_sub(frame.as_ptr() as usize)?;
    let before = frame.get(..start)?.trim_ascii_end();
    let before = before.strip_suffix(b":")?.trim_ascii_end();
    let before = before.strip_suffix(b"\"usage\"")?.trim_ascii_end();
    let after = frame.get(start + value.len()..)?;
    let (before, after) = match before.strip_suffix(b",") {
        Some(before) => (before, after),
        None => {
            let after = after.trim_ascii_start().strip_prefix(b",")?;
            (before, after.trim_ascii_start())
        }
    };
    Some([before, after].concat())
}

/// What of a chunk decides whether it only tells the usage.
struct UsageOf<'a> {
    no_choices: bool,
    usage: Option<&'a RawValue>,
    /// Nothing else in it would be missed.
    only_usage: bool,
}

struct UsageVisitor;

impl<'de> Visitor<'de> for UsageVisitor {
    type Value = UsageOf<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = UsageOf {
            no_choices: false,
            usage: None,
            only_usage: true,
        };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "choices" => {
                    let choices: &RawValue = map.next_value()?;
                    found.no_choices = serde_json::from_str::<[(); 0]>(choices.get()).is_ok();
                }
                "usage" => found.usage = Some(map.next_value()?),
                // What every chunk has, and accounts that stand beside the usage: Groq's and llama.cpp's.
                "id" | "object" | "created" | "model" | "system_fingerprint" | "service_tier"
                | "provider" | "obfuscation" | "x_groq" | "timings" => {
                    map.next_value::<IgnoredAny>()?;
                }
                // Such as xAI's citations or Azure's filter results, which the caller would miss.
                _ => found.only_usage &= map.next_value::<Option<IgnoredAny>>()?.is_none(),
            }
        }
        Ok(found)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for UsageOf<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UsageVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::sse::{Event, Frame};

    fn shown(frame: &str) -> Option<String> {
        let frame = Frame::from(frame);
        let shown = match Event::read(frame).unwrap() {
            Some(event) => without_usage(frame.bytes, &event.data),
            None => Some(frame.bytes.into()),
        };
        shown.map(|shown| String::from_utf8(shown.into_owned()).unwrap())
    }

    #[test]
    fn only_an_event_of_usage_alone_is_hidden() {
        let usage = r#""usage": {"prompt_tokens": 1}"#;
        for (data, hidden) in [
            (format!(r#"{{"choices": [], {usage}}}"#), true),
            (
                format!("{{\n \"id\": \"c\", \"choices\":[ ],{usage} }}"),
                true,
            ),
            (format!(r#"{{"\u0063hoices": [], {usage}}}"#), true),
            (r#"{"choices": [], "\u0075sage": {}}"#.to_owned(), true),
            (
                format!(
                    r#"{{"choices": [], {usage}, "obfuscation": "x", "timings": {{}}, "error": null}}"#
                ),
                true,
            ),
            (
                r#"{"choices": [], "prompt_filter_results": []}"#.to_owned(),
                false,
            ),
            (
                format!(r#"{{"choices": [], {usage}, "citations": ["u"]}}"#),
                false,
            ),
            (
                format!(r#"{{"choices": [], {usage}, "error": {{}}}}"#),
                false,
            ),
            (format!(r#"{{{usage}}}"#), false),
            (format!(r#"{{"choices": null, {usage}}}"#), false),
            (
                format!(r#"{{{usage}, "choices": [{{"delta": {{}}}}]}}"#),
                false,
            ),
            // The names stand in what the model says.
            (
                r#"{"choices": [{"delta": {"content": "\"choices\":[] \"usage\":{"}}]}"#.to_owned(),
                false,
            ),
            (format!(r#"{{"choices": [], {usage}}} x"#), false),
            ("[DONE]".to_owned(), false),
            (String::new(), false),
        ] {
            for end in ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", ""] {
                let lines: Vec<String> = data.lines().map(|line| format!("data: {line}")).collect();
                let frame = format!(": ping\nevent: message\n{}{end}", lines.join("\n"));
                let expected = (!hidden).then(|| frame.clone());
                assert_eq!(shown(&frame), expected, "{frame:?}");
            }
        }
    }

    #[test]
    fn a_usage_of_null_is_cut_out_where_that_leaves_the_rest_as_it_would_be() {
        for (data, left) in [
            (r#"{"choices":[{}],"usage":null}"#, r#"{"choices":[{}]}"#),
            (
                r#"{"usage" : null, "choices": [{}]}"#,
                r#"{"choices": [{}]}"#,
            ),
            (r#"{"a": 1, "usage": null, "b": 2}"#, r#"{"a": 1, "b": 2}"#),
            (
                r#"{"a": 1, "\u0075sage": null}"#,
                r#"{"a": 1, "\u0075sage": null}"#,
            ),
            (r#"{"a": "\"usage\":null"}"#, r#"{"a": "\"usage\":null"}"#),
            (r#"{"a": {"usage": null}}"#, r#"{"a": {"usage": null}}"#),
        ] {
            let frame = |data| format!("data: {data}\r\n\r\n");
            assert_eq!(shown(&frame(data)), Some(frame(left)), "{data}");
        }
        let lines = "data: {\"choices\": [{}],\ndata: \"usage\": null}\n\n";
        assert_eq!(shown(lines), Some(lines.to_owned()));
    }
}
