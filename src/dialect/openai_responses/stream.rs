//! Decodes streams. Items are found by their `output_index`, because some servers change their ids from one event to the next, and
//! what the last event of an item says replaces what its deltas said.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::item::{Item, PARAGRAPH, text};
use super::wire::{Event, Response};
use crate::dialect::accumulator::Accumulator;
use crate::dialect::codec::StreamState;
use crate::dialect::error::instead_of_reply;
use crate::dialect::in_place::read_into;
use crate::dialect::usage::merge_usage;
use crate::dialect::wire::{Text, list, other_caller};
use crate::{DialectName, Part, RawJson, Reply, Result};

const OWN: DialectName = DialectName::OpenAiResponses;

/// A call of a tool that takes text, and the event that has a piece of it.
const CUSTOM: &str = "custom_tool_call";
const CUSTOM_DELTA: &str = "response.custom_tool_call_input.delta";

#[derive(Default)]
pub(super) struct State {
    /// The items of the output, in the order of their first events.
    items: Vec<Open>,
    /// The place of each index in `items`.
    places: BTreeMap<u64, usize>,
    refused: bool,
    /// The ids and the types of items that the caller must answer and that are no tool calls.
    unanswered: Vec<(String, String)>,
}

/// An item of the output. What it is decides which of its places in the reply it has.
#[derive(Default)]
struct Open {
    /// Whether all of it has come.
    is_done: bool,
    /// The parts of a message, and the place of each index among them.
    parts: Vec<OpenPart>,
    part_places: BTreeMap<u64, usize>,
    reasoning: Option<OpenReasoning>,
    /// The index of a tool call.
    call: Option<usize>,
    /// The position of a `Part::Other`.
    other: Option<usize>,
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
            Err(_) if is_error => return Err(reply.embedded_error(data)),
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
            "response.function_call_arguments.delta" | CUSTOM_DELTA => {
                let call = self.call(reply, index);
                if event.kind.as_str() == CUSTOM_DELTA
                    && let Some(call) = reply.call_mut(call)
                {
                    call.custom = true;
                }
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
                let part = self.part(reply, index, event.content_index.get());
                add_whole_logprobs(reply, part, event.logprobs);
                let position = part.position;
                reply.complete_text(position, &text(event.whole).into_cow());
            }
            "response.content_part.done" => {
                let part = Item::read(event.part);
                if matches!(part.kind().as_str(), "output_text" | "refusal") {
                    self.complete_part(reply, index, event.content_index.get(), &part);
                }
            }
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                let call = self.call(reply, index);
                reply.complete_arguments(call, &text(event.whole).into_cow());
            }
            "response.output_item.added" => {
                // An item that is done is another one: some servers leave out the index.
                let known = self.places.get(&index).map(|place| &self.items[*place]);
                let is_open = known.is_some_and(|item| !item.is_done);
                if let (Some(item), false) = (event.item, is_open) {
                    self.open(reply, index, item);
                }
            }
            "response.output_item.done" => {
                if let Some(item) = event.item {
                    self.complete(reply, index, item);
                }
            }
            "response.created" | "response.in_progress" | "response.queued" => {
                Response::read(event.response).start(reply);
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled" => self.end(reply, &event, data)?,
            kind if is_error || event.has_error || kind == "error" => {
                return Err(reply.embedded_error(data));
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

impl State {
    /// Ends the stream with its last event.
    fn end(&mut self, reply: &mut Accumulator, event: &Event<'_>, data: &str) -> Result<()> {
        let id = reply.reply.request_id.as_deref();
        let mut response = Response::read(event.response);
        // Some servers leave out the status, which the event has in its name.
        let status = event.kind.as_str().strip_prefix("response.");
        if response.status.is_empty() || status != Some("completed") {
            status.unwrap_or_default().clone_into(&mut response.status);
        }
        if let Some(error) = response.failure(data, id) {
            return Err(error);
        }
        response.start(reply);
        self.finish(reply, &response);
        Ok(())
    }

    /// Adds what the whole response has and no event before it had, and ends the reply.
    pub(super) fn finish(&mut self, reply: &mut Accumulator, response: &Response<'_>) {
        let output = response.output().unwrap_or_default();
        // Some servers count the output differently at the end, so that items are compared only if there are as many.
        let known: Vec<u64> = match self.places.len() {
            0 => (0..output.len() as u64).collect(),
            _ => self.places.keys().copied().collect(),
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
        let calls_tool = reply.reply.tool_calls().next().is_some();
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
            None if let Some((_, kind)) = self.unanswered.first() => reply.stop(kind),
            None if response.status.as_str() == "incomplete" => reply.stop("incomplete"),
            None => reply.stop("end_turn"),
        }
        reply.end();
    }

    /// Opens an item. Its place in the reply is that of its first event.
    fn open(&mut self, reply: &mut Accumulator, index: u64, raw: &RawValue) {
        let item = Item::read(Some(raw));
        self.places.insert(index, self.items.len());
        self.items.push(Open::default());
        match item.kind().as_str() {
            "message" => {
                let position = self.part(reply, index, 0).position;
                if let Some(Part::Text { phase, .. }) = reply.part_mut(position) {
                    *phase = item.word("phase");
                }
            }
            "reasoning" => {
                self.reasoning(reply, index);
            }
            "function_call" | CUSTOM => {
                let call = self.call(reply, index);
                name_call(reply, call, &item);
            }
            _ => {
                let json = RawJson::of(raw);
                let position = reply.push(Part::Other { dialect: OWN, json });
                self.item(index).other = Some(position);
            }
        }
    }

    /// Returns an item. It is added if the server has left out its start.
    fn item(&mut self, index: u64) -> &mut Open {
        let place = match self.places.get(&index) {
            Some(place) => *place,
            None => {
                self.places.insert(index, self.items.len());
                self.items.push(Open::default());
                self.items.len() - 1
            }
        };
        &mut self.items[place]
    }

    /// Returns a part of a message.
    fn part(&mut self, reply: &mut Accumulator, index: u64, part: u64) -> &mut OpenPart {
        let Open {
            parts, part_places, ..
        } = self.item(index);
        let place = *part_places.entry(part).or_insert_with(|| {
            let first = parts.first().map(|first| first.position);
            let phase = match first.and_then(|first| reply.part_mut(first)) {
                Some(Part::Text { phase, .. }) => phase.clone(),
                _ => None,
            };
            parts.push(OpenPart {
                position: reply.push(Part::Text {
                    text: String::new(),
                    phase,
                    annotations: None,
                    cache_control: None,
                }),
                annotations: 0,
                has_logprobs: false,
            });
            parts.len() - 1
        });
        &mut parts[place]
    }

    fn call(&mut self, reply: &mut Accumulator, index: u64) -> usize {
        let call = &mut self.item(index).call;
        *call.get_or_insert_with(|| reply.open_call())
    }

    fn reasoning(&mut self, reply: &mut Accumulator, index: u64) -> &mut OpenReasoning {
        self.item(index).reasoning.get_or_insert_with(|| {
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
        if !self.places.contains_key(&index) {
            self.open(reply, index, raw);
        }
        if std::mem::replace(&mut self.item(index).is_done, true) {
            return;
        }
        let item = Item::read(Some(raw));
        let kind = item.kind();
        self.count(reply, &kind, &item);
        match kind.as_str() {
            "message" => self.complete_message(reply, index, &item),
            "reasoning" => self.complete_reasoning(reply, index, &item),
            "function_call" | CUSTOM => {
                let call = self.call(reply, index);
                name_call(reply, call, &item);
                let arguments = if kind == CUSTOM { "input" } else { "arguments" };
                reply.complete_arguments(call, &item.text(arguments));
                reply.end_call(call);
            }
            _ => {
                let json = RawJson::of(raw);
                let position = self.item(index).other;
                // Without one, it was opened as another kind.
                let position = position.unwrap_or_else(|| reply.push(Part::text("")));
                reply.put_other(position, OWN, json);
            }
        }
    }

    /// Counts what is paid beside tokens, and records what waits for the caller.
    fn count(&mut self, reply: &mut Accumulator, kind: &str, item: &Item<'_>) {
        let Reply { usage, billing, .. } = &mut reply.reply;
        match kind {
            "web_search_call" if item.is_search() => usage.web_search_requests += 1,
            "file_search_call" => billing.file_searches += 1,
            "image_generation_call" => billing.generated_images += 1,
            "code_interpreter_call" => billing.ran_code = true,
            "local_shell_call"
            | "shell_call"
            | "apply_patch_call"
            | "computer_call"
            | "mcp_approval_request" => self.wait_for(kind, item),
            // Who searches for tools is the provider, or the caller.
            "tool_search_call" if item.word("execution").as_deref() == Some("client") => {
                self.wait_for(kind, item);
            }
            // The provider runs a shell in a container of its own.
            "shell_call_output" => {
                let call = item.word("call_id");
                self.unanswered.retain(|(id, _)| Some(id) != call.as_ref());
                billing.ran_code = true;
            }
            _ => {}
        }
    }

    fn wait_for(&mut self, kind: &str, item: &Item<'_>) {
        let id = item.word("call_id").unwrap_or_default();
        self.unanswered.push((id, kind.to_owned()));
    }

    fn complete_message(&mut self, reply: &mut Accumulator, index: u64, item: &Item<'_>) {
        for (i, raw) in (0..).zip(item.list("content")) {
            let part = Item::read(Some(raw));
            match part.kind().as_str() {
                "output_text" | "refusal" | "text" | "" => {
                    self.complete_part(reply, index, i, &part);
                }
                _ => {
                    let position = self.part(reply, index, i).position;
                    reply.put_other(position, OWN, RawJson::of(raw));
                }
            }
        }
        let Some(said) = item.word("phase") else {
            return;
        };
        for part in &self.item(index).parts {
            if let Some(Part::Text { phase, .. }) = reply.part_mut(part.position) {
                *phase = Some(said.clone());
            }
        }
    }

    /// Completes a part of a message, of which some or all may have come.
    fn complete_part(&mut self, reply: &mut Accumulator, index: u64, part: u64, whole: &Item<'_>) {
        let refusal = whole.text("refusal");
        self.refused |= !refusal.is_empty();
        let open = self.part(reply, index, part);
        add_whole_logprobs(reply, open, whole.raw("logprobs"));
        let annotations = whole.list("annotations");
        let position = open.position;
        for annotation in annotations.iter().skip(open.annotations) {
            reply.annotate(position, OWN, annotation);
        }
        open.annotations = open.annotations.max(annotations.len());
        match refusal.is_empty() {
            true => reply.complete_text(position, &whole.text("text")),
            false => reply.complete_text(position, &refusal),
        }
    }

    fn complete_reasoning(&mut self, reply: &mut Accumulator, index: u64, item: &Item<'_>) {
        let summary = item.paragraphs("summary");
        let whole = item.paragraphs("content");
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
        *signature = item.word("encrypted_content");
        let is_open = source == Source::Whole && !text.is_empty();
        *dialect = (signature.is_some() || is_open).then_some(OWN);
    }
}

/// Records what a call is, besides its arguments.
fn name_call(reply: &mut Accumulator, index: usize, item: &Item<'_>) {
    if let Some(call) = reply.call_mut(index) {
        call.custom |= item.kind() == CUSTOM;
        call.namespace = item.word("namespace").or(call.namespace.take());
        let caller = item.raw("caller").and_then(other_caller);
        call.caller = caller.or(call.caller.take());
    }
    let id = item.word("call_id").unwrap_or_default();
    reply.name_call(index, &id, &item.text("name"));
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
