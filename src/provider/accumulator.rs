//! A streamed reply, put together from its pieces while they are handed on as events.

use std::collections::VecDeque;

use crate::{Part, Provider, Reply, StopReason, StreamEvent, ToolCall};

#[derive(Debug)]
pub(super) struct Accumulator {
    pub(super) reply: Reply,
    events: VecDeque<StreamEvent>,
    /// Where in the reply's content each tool call stands, and whether its end was told.
    tools: Vec<(usize, bool)>,
    /// The next piece opens a part of its own, even beside one of its kind.
    fresh: bool,
    started: bool,
    ended: bool,
}

impl Accumulator {
    pub(super) fn new(provider: Provider) -> Self {
        Self {
            reply: Reply::new(provider),
            events: VecDeque::new(),
            tools: Vec::new(),
            fresh: true,
            started: false,
            ended: false,
        }
    }

    pub(super) fn next(&mut self) -> Option<StreamEvent> {
        self.events.pop_front()
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Notes who answers; said once, though every chunk of OpenAI's repeats it.
    pub(super) fn start(&mut self, id: &str, model: &str) {
        if !self.started {
            self.started = true;
            id.clone_into(&mut self.reply.id);
            model.clone_into(&mut self.reply.model);
            self.events.push_back(StreamEvent::Start {
                id: id.to_owned(),
                model: model.to_owned(),
            });
        }
    }

    pub(super) fn open_part(&mut self) {
        self.fresh = true;
    }

    pub(super) fn text(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        match self.reply.content.last_mut() {
            Some(Part::Text { text, .. }) if !self.fresh => text.push_str(piece),
            _ => self.push(Part::text(piece)),
        }
        self.events.push_back(StreamEvent::Text {
            text: piece.to_owned(),
        });
    }

    pub(super) fn reasoning(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        self.reasoning_part(|text, _| text.push_str(piece));
        self.events.push_back(StreamEvent::Reasoning {
            text: piece.to_owned(),
        });
    }

    pub(super) fn signature(&mut self, piece: &str) {
        if !piece.is_empty() {
            self.reasoning_part(|_, signature| signature.get_or_insert_default().push_str(piece));
        }
    }

    fn reasoning_part(&mut self, change: impl FnOnce(&mut String, &mut Option<String>)) {
        if self.fresh || !matches!(self.reply.content.last(), Some(Part::Reasoning { .. })) {
            self.push(Part::Reasoning {
                text: String::new(),
                signature: None,
            });
        }
        if let Some(Part::Reasoning { text, signature }) = self.reply.content.last_mut() {
            change(text, signature);
        }
    }

    pub(super) fn push(&mut self, part: Part) {
        self.fresh = false;
        self.reply.content.push(part);
    }

    pub(super) fn tool_start(&mut self, id: &str, name: &str) -> usize {
        let index = self.tools.len();
        self.tools.push((self.reply.content.len(), false));
        self.push(Part::ToolUse(ToolCall::new(id, name, "")));
        self.events.push_back(StreamEvent::ToolCallStart {
            index,
            id: id.to_owned(),
            name: name.to_owned(),
        });
        index
    }

    pub(super) fn tool_delta(&mut self, index: usize, piece: &str) {
        if piece.is_empty() {
            return;
        }
        if let Some(call) = self.tool(index) {
            call.arguments.push_str(piece);
            self.events.push_back(StreamEvent::ToolCallDelta {
                index,
                arguments: piece.to_owned(),
            });
        }
    }

    fn tool(&mut self, index: usize) -> Option<&mut ToolCall> {
        match self.reply.content.get_mut(self.tools.get(index)?.0) {
            Some(Part::ToolUse(call)) => Some(call),
            _ => None,
        }
    }

    /// Tells the end of a call once; a call without arguments has `{}`.
    pub(super) fn tool_end(&mut self, index: usize) {
        match self.tools.get_mut(index) {
            Some((_, told)) if !*told => *told = true,
            _ => return,
        }
        if let Some(call) = self.tool(index) {
            if call.arguments.trim().is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
            let call = Box::new(call.clone());
            self.events.push_back(StreamEvent::ToolCall { index, call });
        }
    }

    pub(super) fn stop(&mut self, reason: &str) {
        self.reply.stop_reason = Some(StopReason::from(reason.to_owned()));
    }

    /// The reply is whole. The event that says so is the caller's to make, with what only it knows.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.end_tools();
    }

    /// No arguments will come any more.
    pub(super) fn end_tools(&mut self) {
        for index in 0..self.tools.len() {
            self.tool_end(index);
        }
    }
}
