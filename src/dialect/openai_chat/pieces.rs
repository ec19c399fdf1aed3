//! Shared by unary replies and streams.

use serde_json::value::RawValue;

use super::wire::{Completion, Logprobs};
use crate::dialect::error::embedded_error;
use crate::dialect::wire::{object, read};
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
    #[derive(serde::Deserialize)]
    struct Failed<'a> {
        #[serde(borrow)]
        #[expect(dead_code, reason = "only its presence counts")]
        error: &'a RawValue,
    }
    body.trim_start().starts_with('[') && serde_json::from_str::<Vec<Failed<'_>>>(body).is_ok()
}

pub(super) fn logprobs(logprobs: Option<&RawValue>) -> Vec<RawJson> {
    let logprobs: Logprobs<'_> = object(logprobs).unwrap_or_default();
    let tokens = logprobs.content.unwrap_or_default();
    tokens.into_iter().map(RawJson::of).collect()
}
