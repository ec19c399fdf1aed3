//! Decodes streams. Items are found by their `output_index`, because some servers change their ids from one event to the next, and
//! what the last event of an item says replaces what its deltas said.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::item::{ContentPart, Item, PARAGRAPH, text};
use super::wire::{Event, Response};
use crate::dialect::accumulator::Accumulator;
use crate::dialect::codec::StreamState;
use crate::dialect::error::{embedded_error, instead_of_reply};
use crate::dialect::in_place::read_into;
use crate::dialect::usage::merge_usage;
use crate::dialect::wire::{Text, list, object};
use crate::{DialectName, Error, Part, RawJson, Reply, Result};

const OWN: DialectName = DialectName::OpenAiResponses;

/// The items of the output, by their index.
#[derive(Default)]
pub(super) struct State {
    /// Whether all of an item has come.
    items: BTreeMap<u64, bool>,
    /// The parts of messages, by the index of the item and their own.
    parts: BTreeMap<(u64, u64), OpenPart>,
    reasoning: BTreeMap<u64, OpenReasoning>,
    /// The indexes of tool calls in the reply.
    calls: BTreeMap<u64, usize>,
    /// The positions of other items.
    others: BTreeMap<u64, usize>,
    refused: bool,
    /// The number of calls whose result the caller must send, without those of functions.
    open_calls: usize,
}

#[derive(Clone, Copy)]
struct OpenPart {
    position: usize,
    /// The number of annotations that have come.
    annotations: usize,
    has_logprobs: bool,
}

#[derive(Clone, Copy)]
struct OpenReasoning {
    position: usize,
    /// Where its text comes from, once there is any.
    source: Option<Source>,
    /// The index of the last part of it.
    part: u64,
}

/// The text of reasoning is a summary or the reasoning itself. Only one of the two is shown.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    Summary,
    Whole,
}

impl StreamState for State {
    fn take(&mut self, reply: &mut Accumulator, data: &str, is_error: bool) -> Result<()> {
        reply.drop_empty_parts();
        let mut event = Event::default();
        match read_into("an event of the stream", data, &mut event) {
            Err(_) if is_error => return Err(fail(reply, data)),
            read => read?,
        }
        let index = event.output_index.get();
        match event.kind.as_str() {
            "response.output_text.delta" => {
                let part = self.part(reply, index, event.content_index.get());
                add_logprobs(reply, part, event.logprobs);
                let position = part.position;
                reply.append(position, text(event.delta));
            }
            "response.function_call_arguments.delta" => {
                let call = self.call(reply, index);
                reply.arguments(call, text(event.delta));
            }
            "response.reasoning_summary_text.delta" => {
                let part = event.summary_index.get();
                self.reason(reply, index, Source::Summary, part, text(event.delta));
            }
            "response.reasoning_text.delta" => {
                let part = event.content_index.get();
                self.reason(reply, index, Source::Whole, part, text(event.delta));
            }
            "response.refusal.delta" => {
                self.refused = true;
                let position = self.part(reply, index, event.content_index.get()).position;
                reply.append(position, text(event.delta));
            }
            "response.output_text.annotation.added" => {
                let part = self.part(reply, index, event.content_index.get());
                if let Some(annotation) = event.annotation {
                    part.annotations += 1;
                    let position = part.position;
                    reply.annotate(position, OWN, annotation);
                }
            }
            "response.output_text.done" => {
                let whole = ContentPart {
                    text: text(event.whole),
                    logprobs: event.logprobs,
                    ..ContentPart::default()
                };
                self.complete_part(reply, index, event.content_index.get(), whole);
            }
            "response.content_part.done" => {
                let part: ContentPart<'_> = object(event.part).unwrap_or_default();
                if matches!(part.kind.as_str(), "output_text" | "refusal") {
                    self.complete_part(reply, index, event.content_index.get(), part);
                }
            }
            "response.function_call_arguments.done" => {
                let call = self.call(reply, index);
                reply.complete_arguments(call, &text(event.whole).into_cow());
            }
            "response.output_item.added" => {
                // An item that is done is another one: some servers leave out the index.
                let is_open = self.items.get(&index) == Some(&false);
                if let (Some(item), false) = (event.item, is_open) {
                    self.forget(index);
                    self.open(reply, index, item);
                }
            }
            "response.output_item.done" => {
                if let Some(item) = event.item {
                    self.complete(reply, index, item);
                }
            }
            "response.created" | "response.in_progress" | "response.queued" => {
                let response: Response<'_> = object(event.response).unwrap_or_default();
                reply.start(response.id.as_str(), response.model.as_str());
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled" => self.end(reply, &event, data)?,
            kind if is_error || event.has_error || kind == "error" => {
                return Err(fail(reply, data));
            }
            // Some servers report a failure in an event that this dialect does not have.
            "" => {
                let id = reply.reply.request_id.as_deref();
                return instead_of_reply(data, id).map_or(Ok(()), Err);
            }
            // What the item says at its end, and events that are added to the API later.
            _ => {}
        }
        Ok(())
    }
}

#[cold]
fn fail(reply: &Accumulator, data: &str) -> Error {
    embedded_error(data, reply.reply.request_id.as_deref())
}

impl State {
    /// Ends the stream with its last event.
    fn end(&mut self, reply: &mut Accumulator, event: &Event<'_>, data: &str) -> Result<()> {
        let id = reply.reply.request_id.as_deref();
        let mut response: Response<'_> = object(event.response).unwrap_or_default();
        // Some servers leave out the status, which the event has in its name.
        let status = event.kind.as_str().strip_prefix("response.");
        if response.status.as_str().is_empty() || status != Some("completed") {
            response.status.0 = status.unwrap_or_default().to_owned().into();
        }
        if let Some(error) = response.failure(data, id) {
            return Err(error);
        }
        reply.start(response.id.as_str(), response.model.as_str());
        self.finish(reply, &response);
        Ok(())
    }

    /// Adds what the whole response has and no event before it had, and ends the reply.
    pub(super) fn finish(&mut self, reply: &mut Accumulator, response: &Response<'_>) {
        let output = response.output.and_then(|output| list(output.get()));
        let output = output.unwrap_or_default();
        // Some servers count the output differently at the end, so that items are compared only if there are as many.
        let known: Vec<u64> = match self.items.len() {
            0 => (0..output.len() as u64).collect(),
            _ => self.items.keys().copied().collect(),
        };
        if known.len() == output.len() {
            for (index, item) in known.into_iter().zip(output) {
                self.complete(reply, index, item);
            }
        }
        if let Some((usage, billing)) = response.usage() {
            merge_usage(&mut reply.reply.usage, &usage);
            reply.reply.billing.merge(billing);
            reply.reply.usage_reported = true;
        }
        let calls = |part: &Part| matches!(part, Part::ToolUse(_));
        let calls_tool = self.open_calls > 0 || reply.reply.content.iter().any(calls);
        let reason = match response.status.as_str() {
            "incomplete" => response.incomplete_reason(),
            "completed" | "" => None,
            // Of a response in the background.
            other => Some(other.to_owned()),
        };
        match reason.as_deref() {
            Some("max_output_tokens") => reply.stop("max_tokens"),
            Some(reason) => reply.stop(reason),
            None if self.refused => reply.stop("refusal"),
            None if calls_tool => reply.stop("tool_use"),
            None if response.status.as_str() == "incomplete" => reply.stop("incomplete"),
            None => reply.stop("end_turn"),
        }
        reply.end();
    }

    /// Forgets an item, whose index another one has.
    fn forget(&mut self, index: u64) {
        self.items.remove(&index);
        self.parts.retain(|(item, _), _| *item != index);
        self.reasoning.remove(&index);
        self.calls.remove(&index);
        self.others.remove(&index);
    }

    /// Opens an item. Its place in the reply is that of its first event.
    fn open(&mut self, reply: &mut Accumulator, index: u64, raw: &RawValue) {
        let item: Item<'_> = object(Some(raw)).unwrap_or_default();
        self.items.insert(index, false);
        match item.kind.as_str() {
            "message" => {
                let phase = item.phase.some().map(Cow::into_owned);
                let position = reply.push(text_part(phase));
                self.parts.insert((index, 0), OpenPart::at(position));
            }
            "reasoning" => {
                self.reasoning(reply, index);
            }
            "function_call" => {
                let call = self.call(reply, index);
                reply.name_call(call, item.call_id.as_str(), &item.name.into_cow());
            }
            _ => {
                let json = RawJson::of(raw);
                let position = reply.push(Part::Other { dialect: OWN, json });
                self.others.insert(index, position);
            }
        }
    }

    /// Returns a part of a message. It is opened if the server has left out its start.
    fn part(&mut self, reply: &mut Accumulator, index: u64, part: u64) -> &mut OpenPart {
        self.items.entry(index).or_default();
        let first = self.parts.get(&(index, 0)).map(|first| first.position);
        self.parts.entry((index, part)).or_insert_with(|| {
            let phase = match first.and_then(|first| reply.part_mut(first)) {
                Some(Part::Text { phase, .. }) => phase.clone(),
                _ => None,
            };
            OpenPart::at(reply.push(text_part(phase)))
        })
    }

    fn call(&mut self, reply: &mut Accumulator, index: u64) -> usize {
        self.items.entry(index).or_default();
        let call = self.calls.entry(index);
        *call.or_insert_with(|| reply.open_call())
    }

    fn reasoning(&mut self, reply: &mut Accumulator, index: u64) -> &mut OpenReasoning {
        self.items.entry(index).or_default();
        self.reasoning.entry(index).or_insert_with(|| {
            let part = Part::Reasoning {
                text: String::new(),
                signature: None,
                dialect: None,
            };
            OpenReasoning {
                position: reply.push(part),
                source: None,
                part: 0,
            }
        })
    }

    /// Adds a piece of reasoning. Each of its parts is a paragraph.
    fn reason(
        &mut self,
        reply: &mut Accumulator,
        index: u64,
        source: Source,
        part: u64,
        piece: Text<'_>,
    ) {
        let open = self.reasoning(reply, index);
        if *open.source.get_or_insert(source) != source {
            return;
        }
        let position = open.position;
        if part > open.part {
            open.part = part;
            if matches!(reply.part_mut(position), Some(Part::Reasoning { text, .. }) if !text.is_empty())
            {
                reply.append(position, Cow::Borrowed(PARAGRAPH).into());
            }
        }
        reply.append(position, piece);
    }

    /// Completes an item, once.
    fn complete(&mut self, reply: &mut Accumulator, index: u64, raw: &RawValue) {
        match self.items.get(&index) {
            Some(true) => return,
            Some(false) => {}
            None => self.open(reply, index, raw),
        }
        self.items.insert(index, true);
        let item: Item<'_> = object(Some(raw)).unwrap_or_default();
        self.count(reply, &item);
        match item.kind.as_str() {
            "message" => self.complete_message(reply, index, item),
            "reasoning" => self.complete_reasoning(reply, index, &item),
            "function_call" => {
                let call = self.call(reply, index);
                reply.complete_arguments(call, &item.arguments());
                reply.name_call(call, item.call_id.as_str(), &item.name.into_cow());
                reply.end_call(call);
            }
            _ => {
                let json = RawJson::of(raw);
                match self.others.get(&index) {
                    Some(position) => reply.put_other(*position, OWN, json),
                    // It was opened as another kind.
                    None => {
                        let position = reply.push(Part::Other {
                            dialect: OWN,
                            json: json.clone(),
                        });
                        reply.put_other(position, OWN, json);
                    }
                }
            }
        }
    }

    /// Counts what is paid beside tokens, and the calls that wait for the caller.
    fn count(&mut self, reply: &mut Accumulator, item: &Item<'_>) {
        let Reply { usage, billing, .. } = &mut reply.reply;
        match item.kind.as_str() {
            "web_search_call" if item.is_search() => usage.web_search_requests += 1,
            "file_search_call" => billing.file_searches += 1,
            "image_generation_call" => billing.generated_images += 1,
            "code_interpreter_call" => billing.ran_code = true,
            "custom_tool_call"
            | "local_shell_call"
            | "shell_call"
            | "apply_patch_call"
            | "computer_call"
            | "mcp_approval_request" => self.open_calls += 1,
            // The provider runs a shell in a container of its own.
            "shell_call_output" => {
                self.open_calls = self.open_calls.saturating_sub(1);
                billing.ran_code = true;
            }
            _ => {}
        }
    }

    fn complete_message(&mut self, reply: &mut Accumulator, index: u64, item: Item<'_>) {
        for (i, (part, raw)) in (0..).zip(item.parts()) {
            match part.kind.as_str() {
                "output_text" | "refusal" | "text" | "" => {
                    self.complete_part(reply, index, i, part);
                }
                _ => {
                    let json = RawJson::of(raw);
                    let position = self.part(reply, index, i).position;
                    reply.put_other(position, OWN, json);
                }
            }
        }
        let Some(said) = item.phase.some() else {
            return;
        };
        for (_, part) in self.parts.range((index, 0)..=(index, u64::MAX)) {
            if let Some(Part::Text { phase, .. }) = reply.part_mut(part.position) {
                *phase = Some(said.clone().into_owned());
            }
        }
    }

    /// Completes a part of a message, of which some or all may have come.
    fn complete_part(
        &mut self,
        reply: &mut Accumulator,
        index: u64,
        part: u64,
        whole: ContentPart<'_>,
    ) {
        self.refused |= !whole.refusal.is_empty();
        let open = self.part(reply, index, part);
        add_whole_logprobs(reply, open, whole.logprobs);
        let annotations = whole.annotations.and_then(|items| list(items.get()));
        let annotations = annotations.unwrap_or_default();
        let position = open.position;
        for annotation in annotations.iter().skip(open.annotations) {
            reply.annotate(position, OWN, annotation);
        }
        open.annotations = open.annotations.max(annotations.len());
        let text = match whole.refusal.is_empty() {
            true => whole.text,
            false => whole.refusal,
        };
        reply.complete_text(position, &text.into_cow());
    }

    fn complete_reasoning(&mut self, reply: &mut Accumulator, index: u64, item: &Item<'_>) {
        let (summary, whole) = (item.summary(), item.reasoning());
        let open = self.reasoning(reply, index);
        let source = *open.source.get_or_insert(match summary.is_empty() {
            true => Source::Whole,
            false => Source::Summary,
        });
        let position = open.position;
        let text = match source {
            Source::Summary => summary,
            Source::Whole => whole,
        };
        reply.complete_text(position, &text);
        let Some(Part::Reasoning {
            text,
            signature,
            dialect,
        }) = reply.part_mut(position)
        else {
            return;
        };
        // Only what the provider has encrypted, or shows as it is, can be sent back.
        *signature = item.encrypted_content.clone().some().map(Cow::into_owned);
        let is_open = source == Source::Whole && !text.is_empty();
        *dialect = (signature.is_some() || is_open).then_some(OWN);
    }
}

impl OpenPart {
    fn at(position: usize) -> Self {
        Self {
            position,
            annotations: 0,
            has_logprobs: false,
        }
    }
}

fn text_part(phase: Option<String>) -> Part {
    Part::Text {
        text: String::new(),
        phase,
        annotations: None,
        cache_control: None,
    }
}

fn add_logprobs(reply: &mut Accumulator, part: &mut OpenPart, logprobs: Option<&RawValue>) {
    let Some(logprobs) = logprobs.and_then(|logprobs| list(logprobs.get())) else {
        return;
    };
    part.has_logprobs |= !logprobs.is_empty();
    let logprobs = logprobs.into_iter().map(RawJson::of);
    reply.reply.logprobs.extend(logprobs);
}

/// Adds the log probabilities of a whole part, unless its deltas had them.
fn add_whole_logprobs(reply: &mut Accumulator, part: &mut OpenPart, logprobs: Option<&RawValue>) {
    if !part.has_logprobs {
        add_logprobs(reply, part, logprobs);
    }
}
