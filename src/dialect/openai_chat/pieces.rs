//! Shared by unary replies and streams.

use serde_json::value::RawValue;

use super::wire::Completion;
use crate::dialect::error::embedded_error;
use crate::dialect::wire::{Pairs, list, read};
use crate::{RawJson, Result};

/// Parses a completion or a chunk, or returns the error in its place.
#[inline]
pub(super) fn completion<'a>(
    what: &str,
    body: &'a str,
    request_id: Option<&str>,
) -> Result<Completion<'a>> {
    match read::<Completion<'a>>(what, body) {
        Ok(wire) if wire.failed() => Err(embedded_error(body, request_id)),
        // Gemini's server returns errors in a list.
        Err(_) if is_error_list(body) => Err(embedded_error(body, request_id)),
        read => read,
    }
}

fn is_error_list(body: &str) -> bool {
    let failed = |item| Pairs::read(Some(item)).is_some_and(|item| item.raw("error").is_some());
    list(body).is_some_and(|list| list.into_iter().all(failed))
}

pub(super) fn logprobs(logprobs: Option<&RawValue>) -> Vec<RawJson> {
    let content = Pairs::read(logprobs).and_then(|logprobs| logprobs.raw("content"));
    let tokens = content.and_then(|content| list(content.get()));
    tokens.into_iter().flatten().map(RawJson::of).collect()
}
