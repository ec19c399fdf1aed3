//! Decodes unary replies.

use serde_json::value::RawValue;

use super::stream::State;
use super::wire::Response;
use crate::dialect::accumulator::Accumulator;
use crate::dialect::error::instead_of_reply;
use crate::dialect::usage::doubt_usage;
use crate::dialect::wire::unreadable;
use crate::{Provider, Reply, Result};

pub(super) fn decode(body: &str, request_id: Option<&str>) -> Result<Reply> {
    let raw = match serde_json::from_str::<&RawValue>(body) {
        Ok(raw) => raw,
        Err(error) => return Err(unreadable("the reply", body).with_source(error)),
    };
    let response = Response::read(Some(raw));
    if let Some(error) = response.failure(body, request_id) {
        return Err(error);
    }
    if response.output().is_none() {
        let none = || unreadable("the reply has no output, and", body);
        return Err(instead_of_reply(body, request_id).unwrap_or_else(none));
    }
    // The reply is treated as a stream of one event.
    let mut accumulator = Accumulator::silent(Provider::OpenAi);
    accumulator.drop_empty_parts();
    response.start(&mut accumulator);
    State::default().finish(&mut accumulator, &response);
    let mut reply = accumulator.take_reply();
    doubt_usage(&mut reply);
    Ok(reply)
}
