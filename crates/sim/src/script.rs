//! The actions that send a reply as its scenario says: paced, broken, or as usual.

use std::time::Duration;

use crate::dialect::Dialect;
use crate::reply::Piece;
use crate::scenario::{At, Fault, Scenario};
use crate::scripted_body::Action;

/// How often a stream that stalls sends a ping, and for how long.
const PING_INTERVAL: Duration = Duration::from_millis(10);
const PINGS: usize = 6000;

/// How replies to one request are sent.
pub(crate) struct Script<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) scenario: &'a Scenario,
    pub(crate) request_id: &'a str,
    /// The time per token if the scenario has none.
    pub(crate) pace: Duration,
}

impl Script<'_> {
    fn pace(&self) -> Duration {
        self.scenario.pace.unwrap_or(self.pace)
    }

    /// Whether the connection breaks in the body.
    fn breaks_in_body(&self) -> bool {
        self.scenario.fault.is_some() && matches!(self.scenario.at, At::Body | At::Event)
    }

    fn fail(&self) -> Action {
        Action::Fail {
            reset: self.scenario.fault == Some(Fault::Reset),
        }
    }

    /// Sends a reply that is not streamed.
    pub(crate) fn whole(&self, text: String, tokens: u64) -> Vec<Action> {
        if self.scenario.error_event {
            let api_error = self.dialect.error(self.scenario, 500);
            let body = self.dialect.error_body(&api_error, self.request_id);
            return vec![Action::data(body.to_string())];
        }
        if self.scenario.garbage.is_some() {
            return vec![Action::data("{\"this is\": not JSON")];
        }
        if self.breaks_in_body() || self.scenario.stall {
            let end = if self.breaks_in_body() {
                self.fail()
            } else {
                Action::Stall
            };
            return vec![Action::data(first_half(&text)), Action::Flush, end];
        }
        let tokens = tokens.max(1);
        let pace = self.pace();
        let wait = (!pace.is_zero())
            .then(|| Action::Wait(pace * u32::try_from(tokens).unwrap_or(u32::MAX)));
        let data = Action::Data(text.into(), tokens);
        wait.into_iter().chain([data]).collect()
    }

    /// Sends a streamed reply.
    pub(crate) fn stream(&self, pieces: Vec<Piece>) -> Vec<Action> {
        let pace = self.pace();
        let breaks = self.scenario.stall
            || self.scenario.error_event
            || self.scenario.garbage.is_some()
            || self.breaks_in_body();
        let mut actions = Vec::with_capacity(pieces.len() * 2);
        let mut content = 0;
        for piece in pieces {
            let mut text = piece.text;
            if self.scenario.crlf {
                text = text.replace('\n', "\r\n");
            }
            // The fault comes in the place of the next content.
            if piece.content && breaks && content == self.scenario.after {
                self.break_stream(&text, &mut actions);
                return actions;
            }
            content += usize::from(piece.content);
            if piece.content && !pace.is_zero() {
                actions.push(Action::Wait(pace));
            }
            actions.push(Action::Data(text.into(), piece.tokens));
            if self.scenario.flush {
                actions.push(Action::Flush);
            }
        }
        actions
    }

    fn break_stream(&self, next: &str, actions: &mut Vec<Action>) {
        actions.push(Action::Flush);
        if self.scenario.error_event {
            let api_error = self.dialect.error(self.scenario, 529);
            let event = self.dialect.error_event(&api_error, self.request_id);
            actions.push(Action::data(event));
        } else if self.scenario.garbage.is_some() {
            let garbage = "event: message\ndata: {\"this is\": not JSON\n\n";
            actions.push(Action::data(garbage));
        } else if self.scenario.stall {
            if self.scenario.pings {
                let ping = self.dialect.ping();
                for _ in 0..PINGS {
                    actions.extend([Action::data(ping.clone()), Action::Wait(PING_INTERVAL)]);
                }
            }
            actions.push(Action::Stall);
        } else {
            if self.scenario.at == At::Event {
                actions.push(Action::data(first_half(next)));
                actions.push(Action::Flush);
            }
            // A connection that is closed between two events ends the body properly; the stream is only too short.
            if self.scenario.fault == Some(Fault::Reset) || self.scenario.at == At::Event {
                actions.push(self.fail());
            }
        }
    }
}

/// About the first half of a text.
fn first_half(text: &str) -> String {
    text[..text.floor_char_boundary(text.len() / 2)].to_owned()
}
