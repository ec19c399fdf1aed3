//! Decodes streams.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::other::OtherBlock;
use super::reply::{Block, Opened, WireReply, add_usage};
use crate::dialect::accumulator::Accumulator;
use crate::dialect::codec::StreamState;
use crate::dialect::error::{holds_error, instead_of_reply};
use crate::dialect::wire::{Count, Text, Word, object, other_caller, read};
use crate::{DialectName, Part, RawJson, Result};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Word<'a>,
    #[serde(default)]
    index: Count,
    /// In a box, because the struct is moved several times.
    #[serde(borrow, default, deserialize_with = "delta")]
    delta: Option<Box<Block<'a>>>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "holds_error")]
    error: bool,
}

/// Deserializes a delta from an object. A list is none: PHP writes an empty object as an empty list.
fn delta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Block<'de>>>, D::Error> {
    struct DeltaVisitor;
    impl<'de> Visitor<'de> for DeltaVisitor {
        type Value = Option<Box<Block<'de>>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a delta")
        }
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(
            self,
            deserializer: D,
        ) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_struct("Block", &[], self)
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Box::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            IgnoredAny.visit_seq(seq).map(|_| None)
        }
    }
    deserializer.deserialize_option(DeltaVisitor)
}

/// The blocks of the reply. They can be interleaved.
#[derive(Default)]
pub(super) struct State {
    blocks: Vec<Open>,
    /// The place of each block in `blocks`.
    by_index: BTreeMap<u64, usize>,
}

enum Open {
    /// Text or reasoning, with the text of its start until the first delta. Some servers repeat that text in the delta.
    Text {
        position: usize,
        begun: String,
    },
    /// A tool call, with the input of its start until the first delta.
    Call {
        call: usize,
        begun: String,
    },
    /// A `Part::Other`.
    Other {
        position: usize,
        block: OtherBlock,
    },
    /// A block that no delta changes.
    Sealed,
    Closed,
}

impl StreamState for State {
    fn take(&mut self, reply: &mut Accumulator, data: &str, failed: bool) -> Result<()> {
        let event: Event<'_> = match read("an event of the stream", data) {
            Ok(event) => event,
            Err(_) if failed => return Err(reply.embedded_error(data)),
            Err(error) => return Err(error),
        };
        let index = event.index.get();
        add_usage(&mut reply.reply, event.usage);
        match event.kind.as_str() {
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.add(reply, index, delta, data)?;
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.close(reply, index)?;
                    let open = open(reply, Opened::read(block)?)?;
                    self.insert(index, open);
                }
            }
            "content_block_stop" => self.close(reply, index)?,
            "message_start" => {
                let message: WireReply<'_> = object(event.message).unwrap_or_default();
                reply.start(message.id.as_str(), message.model.as_str());
                let output = reply.reply.usage.output_tokens;
                add_usage(&mut reply.reply, message.usage);
                // The output so far, unless the message is whole. `message_delta` reports all of it.
                if message.stop_reason.as_str().is_empty() {
                    reply.reply.usage.output_tokens = output;
                }
                for block in message.content.unwrap_or_default() {
                    let open = open(reply, Opened::read(block)?)?;
                    close(reply, open)?;
                }
                stop(reply, &message.stop_reason, message.stop_sequence);
                reply.reply.container = message.container.map(RawJson::of);
            }
            "message_delta" => {
                let delta = event.delta.unwrap_or_default();
                stop(reply, &delta.stop_reason, delta.stop_sequence);
                let message: Option<WireReply<'_>> = object(delta_of(data).ok());
                let container = message.and_then(|message| message.container);
                if let Some(container) = container {
                    reply.reply.container = Some(RawJson::of(container));
                }
            }
            "message_stop" => {
                for open in std::mem::take(self).blocks {
                    close(reply, open)?;
                }
                reply.end();
            }
            kind if failed || kind == "error" || event.error => {
                return Err(reply.embedded_error(data));
            }
            // Some servers report a failure in an event that this dialect does not have.
            "" => {
                let id = reply.reply.request_id.as_deref();
                return instead_of_reply(data, id).map_or(Ok(()), Err);
            }
            // `ping`, and events that are added to the API later.
            _ => {}
        }
        Ok(())
    }
}

fn stop(reply: &mut Accumulator, reason: &Word<'_>, sequence: Text<'_>) {
    if !reason.as_str().is_empty() {
        reply.stop(reason.as_str());
    }
    if !sequence.is_empty() {
        reply.reply.stop_sequence = Some(sequence.into_cow().into_owned());
    }
}

fn open(reply: &mut Accumulator, block: Opened<'_>) -> Result<Open> {
    Ok(match block {
        Opened::Text(part, text) => {
            let position = reply.push(part);
            let begun = text.text.clone().into_owned();
            reply.append(position, text);
            Open::Text { position, begun }
        }
        Opened::Call(block) => {
            let call = reply.open_call();
            if let Some(call) = reply.call_mut(call) {
                call.caller = block.caller.and_then(other_caller);
            }
            reply.name_call(call, block.id.as_str(), &block.name.into_cow());
            // Usually empty, because the arguments follow as deltas.
            let input = block.input.map(RawValue::get);
            let begun = input.filter(|input| !is_empty(input)).unwrap_or_default();
            Open::Call {
                call,
                begun: begun.to_owned(),
            }
        }
        Opened::Part(part) => {
            let block = match &part {
                Part::Other { json, .. } => Some(OtherBlock::new(json)),
                _ => None,
            };
            let position = reply.push(part);
            match block {
                Some(block) => Open::Other { position, block },
                None => Open::Sealed,
            }
        }
    })
}

fn is_empty(input: &str) -> bool {
    matches!(input, "{}" | "null" | "\"\"")
}

/// Completes a block.
fn close(reply: &mut Accumulator, open: Open) -> Result<()> {
    match open {
        Open::Call { call, begun } => {
            reply.arguments(call, Cow::<str>::Owned(begun).into());
            reply.end_call(call);
        }
        Open::Other { position, block } => {
            reply.put_other(position, DialectName::Anthropic, block.finish()?);
        }
        Open::Text { .. } | Open::Sealed | Open::Closed => {}
    }
    Ok(())
}

impl State {
    fn close(&mut self, reply: &mut Accumulator, index: u64) -> Result<()> {
        let open = self.block_mut(index);
        let open = open.map(|open| std::mem::replace(open, Open::Closed));
        open.map_or(Ok(()), |open| close(reply, open))
    }

    fn insert(&mut self, index: u64, open: Open) {
        self.by_index.insert(index, self.blocks.len());
        self.blocks.push(open);
    }

    fn block_mut(&mut self, index: u64) -> Option<&mut Open> {
        self.blocks.get_mut(*self.by_index.get(&index)?)
    }

    fn add(
        &mut self,
        reply: &mut Accumulator,
        index: u64,
        delta: Box<Block<'_>>,
        data: &str,
    ) -> Result<()> {
        match self.block_mut(index) {
            Some(Open::Text { position, begun }) => {
                let begun = std::mem::take(begun);
                for piece in [delta.text, delta.thinking] {
                    if !piece.is_empty() && piece.text != begun.as_str() {
                        reply.append(*position, piece);
                    }
                }
                if let Some(citation) = delta.citation {
                    reply.annotate(*position, DialectName::Anthropic, citation);
                }
                sign(reply.part_mut(*position), &delta.signature);
            }
            Some(Open::Call { call, begun }) => {
                if !delta.partial_json.is_empty() {
                    begun.clear();
                }
                reply.arguments(*call, delta.partial_json);
            }
            Some(Open::Other { block, .. }) => match delta.kind.as_str() {
                "input_json_delta" => block.push_input(&delta.partial_json.into_cow()),
                _ => block.extend(delta_of(data)?),
            },
            Some(Open::Sealed) => {}
            // Some servers omit the start of a block.
            None | Some(Open::Closed) if !delta.text.is_empty() => {
                let open = open(reply, Opened::Text(Part::text(""), Text::default()))?;
                self.insert(index, open);
                return self.add(reply, index, delta, data);
            }
            None | Some(Open::Closed) => reply.reasoning(delta.thinking),
        }
        Ok(())
    }
}

fn sign(part: Option<&mut Part>, signed: &Word<'_>) {
    if let Some(Part::Reasoning { signature, .. }) = part
        && !signed.as_str().is_empty()
    {
        signature.get_or_insert_default().push_str(signed.as_str());
    }
}

/// Returns the delta of an event as JSON, for fields that are too rare to be read from every delta.
fn delta_of(data: &str) -> Result<&RawValue> {
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        delta: &'a RawValue,
    }
    read("an event of the stream", data).map(|Delta { delta }| delta)
}
