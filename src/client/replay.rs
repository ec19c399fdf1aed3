use std::collections::VecDeque;

use crate::{Part, Reply, StreamEvent};

/// Returns the events of a reply that was not streamed.
pub(super) fn replay(reply: Box<Reply>) -> VecDeque<StreamEvent> {
    let mut events = VecDeque::from([StreamEvent::Start {
        id: reply.id.clone(),
        model: reply.model.clone(),
    }]);
    let mut index = 0;
    for part in &reply.content {
        match part {
            Part::Text { text, .. } => events.push_back(StreamEvent::Text { text: text.clone() }),
            Part::Reasoning { text, .. } if !text.is_empty() => {
                events.push_back(StreamEvent::Reasoning { text: text.clone() })
            }
            Part::Other { dialect, json } => events.push_back(StreamEvent::Other {
                dialect: *dialect,
                json: json.clone(),
            }),
            Part::ToolUse(call) => {
                let (id, name) = (call.id.clone(), call.name.clone());
                events.push_back(StreamEvent::ToolCallStart { index, id, name });
                events.push_back(StreamEvent::ToolCallDelta {
                    index,
                    arguments: call.arguments.clone(),
                });
                events.push_back(StreamEvent::ToolCall {
                    index,
                    call: Box::new(call.clone()),
                });
                index += 1;
            }
            _ => {}
        }
    }
    events.push_back(StreamEvent::Done { reply });
    events
}
