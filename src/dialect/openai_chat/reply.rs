//! Decodes unary replies.

use super::pieces::{completion, logprobs};
use super::stream::State;
use crate::dialect::accumulator::Accumulator;
use crate::dialect::error::instead_of_reply;
use crate::dialect::usage::doubt_usage;
use crate::dialect::wire::unreadable;
use crate::{Error, Provider, Reply, Result};

fn no_message(body: &str) -> Error {
    unreadable("the reply has no choice with a message, and", body)
}

pub(super) fn decode(body: &str, request_id: Option<&str>) -> Result<Reply> {
    let mut wire = completion("the reply", body, request_id)?;
    let usage = wire.usage();
    let mut choice = wire
        .take_choice()
        .ok_or_else(|| instead_of_reply(body, request_id).unwrap_or_else(|| no_message(body)))?;
    let message = choice.message()?;
    let delta = choice.delta.take();
    let mut said = match message {
        Some(message) if !message.is_empty() => message,
        // Some servers send a unary reply with a `delta`.
        message => match delta.filter(|delta| !delta.is_empty()).or(message) {
            Some(said) => said,
            // A content filter can remove the message.
            None if !choice.finish_reason.as_str().is_empty() => Box::default(),
            None => return Err(no_message(body)),
        },
    };
    // The reply is treated as a stream of one piece.
    let mut accumulator = Accumulator::silent(Provider::OpenAi);
    let refused = said.refusal.as_ref().is_some_and(|text| !text.is_empty());
    State::default().add(&mut accumulator, &mut said);
    match choice.finish_reason.some() {
        _ if refused => accumulator.stop("refusal"),
        Some(reason) => accumulator.stop(&reason),
        None => {}
    }
    accumulator.end();
    let mut reply = accumulator.take_reply();
    reply.id = wire.id.0.into_owned();
    reply.model = wire.model.0.into_owned();
    reply.logprobs = logprobs(choice.logprobs);
    reply.usage_reported = usage.is_some();
    (reply.usage, reply.billing) = usage.unwrap_or_default();
    doubt_usage(&mut reply);
    Ok(reply)
}
