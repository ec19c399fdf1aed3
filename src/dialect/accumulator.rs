//! Assembles a reply from the pieces of a stream, and emits the events.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;

use super::error::embedded_error;
use super::wire::{Text, join};
use crate::{
    Annotations, DialectName, Error, Part, Provider, RawJson, Reply, StopReason, StreamEvent,
    ToolCall,
};

pub struct Accumulator {
    pub(super) reply: Reply,
    /// `None` if no events are wanted.
    events: Option<VecDeque<StreamEvent>>,
    tools: Vec<OpenCall>,
    /// The last text part.
    last_text: Option<usize>,
    /// The annotations to add to each text part when the reply is taken. A list of JSON is not appended to for each item.
    annotations: BTreeMap<usize, (DialectName, Vec<RawJson>)>,
    /// A high surrogate at the end of the text, and where its low surrogate may follow.
    half: Option<(Target, u16)>,
    started: bool,
    ended: bool,
    /// Whether text and reasoning without content are left out of the reply.
    drops_empty: bool,
}

/// A tool call of the reply.
struct OpenCall {
    /// Its index in the reply's content.
    position: usize,
    /// Whether its start event was emitted.
    announced: bool,
    /// Whether its end event was emitted.
    ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// The text or reasoning part at this position.
    Part(usize),
    /// The arguments of this tool call.
    Call(usize),
}

/// Whether a piece of arguments adds nothing. Some servers begin them with an empty object, or repeat them whole.
fn repeats(known: &str, piece: &str) -> bool {
    match known {
        "" => piece == "{}",
        _ if known != piece || !known.starts_with('{') => false,
        _ => serde_json::from_str::<serde::de::IgnoredAny>(known).is_ok(),
    }
}

/// Returns text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// Whether a part is text or reasoning without content.
fn is_empty(part: &Part) -> bool {
    match part {
        Part::Text {
            text, annotations, ..
        } => text.is_empty() && annotations.is_none(),
        Part::Reasoning {
            text, signature, ..
        } => text.is_empty() && signature.is_none(),
        _ => false,
    }
}

impl Accumulator {
    pub(super) fn new(provider: Provider) -> Self {
        Self {
            reply: Reply::new(provider),
            events: Some(VecDeque::new()),
            tools: Vec::new(),
            last_text: None,
            annotations: BTreeMap::new(),
            half: None,
            started: false,
            ended: false,
            drops_empty: false,
        }
    }

    /// Leaves text and reasoning without content out of the reply. A dialect can then keep the place of a part that may stay empty.
    pub(super) fn drop_empty_parts(&mut self) {
        self.drops_empty = true;
    }

    /// Returns an accumulator without events, for a unary reply.
    pub(super) fn silent(provider: Provider) -> Self {
        Self {
            events: None,
            ..Self::new(provider)
        }
    }

    pub(super) fn next(&mut self) -> Option<StreamEvent> {
        self.events.as_mut()?.pop_front()
    }

    pub(super) fn has_events(&self) -> bool {
        self.events
            .as_ref()
            .is_some_and(|events| !events.is_empty())
    }

    pub(super) fn has_content(&self) -> bool {
        let mut events = self.events.iter().flatten();
        events.any(StreamEvent::is_content)
    }

    fn tell(&mut self, event: impl FnOnce() -> StreamEvent) {
        if let Some(events) = &mut self.events {
            events.push_back(event());
        }
    }

    /// Returns the error that an event of the stream reports.
    #[cold]
    pub(super) fn embedded_error(&self, data: &str) -> Error {
        embedded_error(data, self.reply.request_id.as_deref())
    }

    pub(super) fn started(&self) -> bool {
        self.started
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Records the id and the model. Emits the event once, although every chunk of OpenAI's repeats them.
    pub(super) fn start(&mut self, id: &str, model: &str) {
        if !self.started {
            self.started = true;
            id.clone_into(&mut self.reply.id);
            model.clone_into(&mut self.reply.model);
            self.tell(|| StreamEvent::Start {
                id: id.to_owned(),
                model: model.to_owned(),
            });
        }
    }

    /// Adds a part and returns its index.
    pub(super) fn push(&mut self, part: Part) -> usize {
        let position = self.reply.content.len();
        if let Part::Text { .. } = part {
            self.last_text = Some(position);
        }
        self.reply.content.push(part);
        position
    }

    /// Returns the index of the last text part, which is added if there is none.
    pub(super) fn last_text(&mut self) -> usize {
        match self.last_text {
            Some(position) => position,
            None => self.push(Part::text("")),
        }
    }

    /// Adds an annotation to a text part.
    pub(super) fn annotate(&mut self, position: usize, dialect: DialectName, item: &RawValue) {
        let (_, items) = self
            .annotations
            .entry(position)
            .or_insert_with(|| (dialect, Vec::new()));
        items.push(RawJson::of(item));
    }

    /// Returns the reply received so far, and leaves an empty one.
    pub(super) fn take_reply(&mut self) -> Reply {
        for (position, (dialect, items)) in std::mem::take(&mut self.annotations) {
            if let Some(Part::Text { annotations, .. }) = self.reply.content.get_mut(position) {
                let known = annotations.take().map(|annotations| annotations.json);
                let json = RawJson::appended(known.as_ref(), &items);
                *annotations = Some(Annotations { dialect, json });
            }
        }
        self.last_text = None;
        if self.drops_empty {
            self.reply.content.retain(|part| !is_empty(part));
        }
        let empty = Reply::new(self.reply.provider);
        std::mem::replace(&mut self.reply, empty)
    }

    pub(super) fn part_mut(&mut self, position: usize) -> Option<&mut Part> {
        self.reply.content.get_mut(position)
    }

    /// Completes a `Part::Other`.
    pub(super) fn put_other(&mut self, position: usize, dialect: DialectName, json: RawJson) {
        if let Some(part) = self.reply.content.get_mut(position) {
            let whole = json.clone();
            *part = Part::Other {
                dialect,
                json: whole,
            };
            self.tell(|| StreamEvent::Other { dialect, json });
        }
    }

    /// Adds text to the last part if that is text, or else to a new part.
    pub(super) fn text(&mut self, piece: Text<'_>) {
        if piece.is_empty() {
            return;
        }
        let position = match self.reply.content.last() {
            Some(Part::Text { .. }) => self.reply.content.len() - 1,
            _ => self.push(Part::text("")),
        };
        self.append(position, piece);
    }

    /// Adds reasoning to the last part if that is reasoning, or else to a new part.
    pub(super) fn reasoning(&mut self, piece: Text<'_>) {
        if piece.is_empty() {
            return;
        }
        let position = match self.reply.content.last() {
            Some(Part::Reasoning { .. }) => self.reply.content.len() - 1,
            _ => self.push(Part::Reasoning {
                text: String::new(),
                signature: None,
                dialect: None,
            }),
        };
        self.append(position, piece);
    }

    /// Adds text to the text or reasoning part at an index.
    pub(super) fn append(&mut self, position: usize, piece: Text<'_>) {
        if !piece.is_empty() {
            let piece = self.joined(Target::Part(position), piece);
            self.write(position, piece);
        }
    }

    /// Completes the text or reasoning part at an index, of which all may be known already. Text that differs from what was
    /// received replaces it in the reply.
    pub(super) fn complete_text(&mut self, position: usize, whole: &str) {
        if whole.is_empty() {
            return;
        }
        self.flush_half();
        let Some(Part::Text { text, .. } | Part::Reasoning { text, .. }) =
            self.reply.content.get_mut(position)
        else {
            return;
        };
        match whole.strip_prefix(text.as_str()) {
            Some(rest) => self.write(position, Cow::Owned(rest.to_owned())),
            None => whole.clone_into(text),
        }
    }

    fn write(&mut self, position: usize, piece: Cow<'_, str>) {
        if piece.is_empty() {
            return;
        }
        let is_text = match self.reply.content.get_mut(position) {
            Some(Part::Text { text, .. }) => {
                text.push_str(&piece);
                true
            }
            Some(Part::Reasoning { text, .. }) => {
                text.push_str(&piece);
                false
            }
            _ => return,
        };
        self.tell(|| {
            let text = piece.into_owned();
            match is_text {
                true => StreamEvent::Text { text },
                false => StreamEvent::Reasoning { text },
            }
        });
    }

    /// Returns a piece as text, joined with the surrogate at the end of the previous piece.
    #[inline]
    fn joined<'a>(&mut self, target: Target, piece: Text<'a>) -> Cow<'a, str> {
        if self.half.is_none() && piece.low.is_none() && piece.high.is_none() {
            return piece.text;
        }
        if self.half.is_some_and(|(held, _)| held != target) {
            self.flush_half();
        }
        let first = match (self.half.take(), piece.low) {
            (Some((_, high)), Some(low)) => Some(join(high, low)),
            (None, None) => None,
            _ => Some('\u{fffd}'),
        };
        self.half = piece.high.map(|high| (target, high));
        match first {
            None => piece.text,
            Some(first) => Cow::Owned([String::from(first), piece.text.into_owned()].concat()),
        }
    }

    /// Replaces a surrogate whose other half was not received.
    fn flush_half(&mut self) {
        match self.half.take() {
            Some((Target::Part(position), _)) => self.write(position, "\u{fffd}".into()),
            Some((Target::Call(index), _)) => self.write_arguments(index, "\u{fffd}".into()),
            None => {}
        }
    }

    /// Begins a tool call and returns its index. Its start event is emitted once its name is known.
    pub(super) fn open_call(&mut self) -> usize {
        let position = self.push(Part::ToolUse(ToolCall::new("", "", "")));
        self.tools.push(OpenCall {
            position,
            announced: false,
            ended: false,
        });
        self.tools.len() - 1
    }

    pub(super) fn call(&self, index: usize) -> Option<&ToolCall> {
        match self.reply.content.get(self.tools.get(index)?.position) {
            Some(Part::ToolUse(call)) => Some(call),
            _ => None,
        }
    }

    pub(super) fn call_mut(&mut self, index: usize) -> Option<&mut ToolCall> {
        match self.reply.content.get_mut(self.tools.get(index)?.position) {
            Some(Part::ToolUse(call)) => Some(call),
            _ => None,
        }
    }

    /// Sets the id and the name of a call if they are still empty.
    pub(super) fn name_call(&mut self, index: usize, id: &str, name: &str) {
        let Some(call) = self.call_mut(index) else {
            return;
        };
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            name.clone_into(&mut call.name);
        }
        if !call.id.is_empty() && !call.name.is_empty() {
            self.announce(index);
        }
    }

    fn announce(&mut self, index: usize) {
        match self.tools.get_mut(index) {
            Some(tool) if !tool.announced => tool.announced = true,
            _ => return,
        }
        let Some(call) = self.call(index) else {
            return;
        };
        let (id, name, arguments) = (call.id.clone(), call.name.clone(), call.arguments.clone());
        self.tell(|| StreamEvent::ToolCallStart { index, id, name });
        if !arguments.is_empty() {
            self.tell(|| StreamEvent::ToolCallDelta { index, arguments });
        }
    }

    /// Adds a piece of the arguments, or of the text that a custom tool takes.
    pub(super) fn arguments(&mut self, index: usize, piece: Text<'_>) {
        let is_repeated = |call: &ToolCall| !call.custom && repeats(&call.arguments, &piece.text);
        if !piece.is_empty() && !self.call(index).is_some_and(is_repeated) {
            let piece = self.joined(Target::Call(index), piece);
            self.write_arguments(index, piece);
        }
    }

    fn write_arguments(&mut self, index: usize, piece: Cow<'_, str>) {
        let piece = match self.call(index) {
            Some(call) if call.custom && !piece.is_empty() => {
                let quote = if call.arguments.is_empty() { "\"" } else { "" };
                Cow::Owned([quote, &escaped(&piece)].concat())
            }
            _ => piece,
        };
        self.write_json(index, piece);
    }

    /// Adds a piece of the arguments' JSON.
    fn write_json(&mut self, index: usize, piece: Cow<'_, str>) {
        let named = self.call(index).is_some_and(|call| !call.name.is_empty());
        if piece.is_empty() {
            return;
        }
        if named {
            self.announce(index);
        }
        if let Some(call) = self.call_mut(index) {
            call.arguments.push_str(&piece);
        }
        if self.tools.get(index).is_some_and(|tool| tool.announced) {
            self.tell(|| StreamEvent::ToolCallDelta {
                index,
                arguments: piece.into_owned(),
            });
        }
    }

    /// Completes the arguments of a call, like [`complete_text`](Self::complete_text).
    pub(super) fn complete_arguments(&mut self, index: usize, whole: &str) {
        if whole.is_empty() {
            return;
        }
        self.flush_half();
        let Some(call) = self.call_mut(index) else {
            return;
        };
        let whole = match call.custom {
            // The end of the call closes the string.
            true => Cow::Owned(["\"", &escaped(whole)].concat()),
            false => Cow::Borrowed(whole),
        };
        match whole.strip_prefix(call.arguments.as_str()) {
            Some(rest) => self.write_json(index, Cow::Owned(rest.to_owned())),
            None => call.arguments = whole.into_owned(),
        }
    }

    /// Emits the end of a call, once. A call without arguments has `{}`, or an empty string if its tool is custom.
    pub(super) fn end_call(&mut self, index: usize) {
        if self
            .half
            .is_some_and(|(held, _)| held == Target::Call(index))
        {
            self.flush_half();
        }
        match self.tools.get_mut(index) {
            Some(tool) if !tool.ended => tool.ended = true,
            _ => return,
        }
        self.announce(index);
        let Some(call) = self.call_mut(index) else {
            return;
        };
        let rest = match (call.custom, call.arguments.trim().is_empty()) {
            (false, false) => "",
            (false, true) => "{}",
            (true, false) => "\"",
            (true, true) => "\"\"",
        };
        if rest.len() == 2 {
            call.arguments.clear();
        }
        call.arguments.push_str(rest);
        let call = Box::new(call.clone());
        if !rest.is_empty() {
            let arguments = rest.to_owned();
            self.tell(|| StreamEvent::ToolCallDelta { index, arguments });
        }
        self.tell(|| StreamEvent::ToolCall { index, call });
    }

    pub(super) fn stop(&mut self, reason: &str) {
        self.reply.stop_reason = Some(StopReason::from(reason.to_owned()));
    }

    /// Marks the reply as complete. The client emits `Done`, because only it knows the cost and the timing.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.flush_half();
        for index in 0..self.tools.len() {
            self.end_call(index);
        }
    }
}
