//! What parts the two dialects of OpenAI can express.

use std::borrow::Cow;

use crate::{DialectName, Error, MediaSource, Part, Request, Result, Role};

/// Returns an error if a request contains a part that the dialect cannot express.
pub(super) fn check_parts(request: &Request, dialect: DialectName) -> Result<()> {
    for part in &request.system {
        ensure_supported(part, dialect, "system", 0)?;
    }
    for (i, message) in request.messages.iter().enumerate() {
        for part in &message.content {
            let supported = |part| ensure_supported(part, dialect, "messages", i);
            match (message.role, part) {
                (Role::User, Part::ToolResult { content, .. }) => {
                    content.iter().try_for_each(supported)?;
                }
                (
                    Role::Assistant,
                    Part::ToolUse(_) | Part::Reasoning { .. } | Part::RedactedReasoning { .. },
                ) => {}
                (_, part) => supported(part)?,
            }
        }
    }
    Ok(())
}

fn ensure_supported(part: &Part, dialect: DialectName, place: &str, index: usize) -> Result<()> {
    let advice = match part {
        Part::Other { .. } => return part.ensure_of(dialect, place, index),
        Part::Document {
            source: MediaSource::Url { .. },
            ..
        } if dialect == DialectName::OpenAiChat => {
            ": give the document as base64 or text instead of a URL"
        }
        Part::Image {
            source: MediaSource::Text { .. },
            ..
        } => ": give the image as base64 or a URL",
        Part::Text { .. } | Part::Document { .. } | Part::Image { .. } => return Ok(()),
        _ => "",
    };
    Err(misplaced(part, dialect, advice))
}

/// Returns the error for a part that the dialect does not have in its place.
pub(super) fn misplaced(part: &Part, dialect: DialectName, advice: &str) -> Error {
    let name = part.name();
    Error::config(format!(
        "a part of type \"{name}\" cannot stand here in the dialect {dialect}{advice}"
    ))
}

/// Returns a URL that contains its data.
pub(super) fn data_url(media_type: &str, data: &str) -> String {
    ["data:", media_type, ";base64,", data].concat()
}

/// Returns the URL of an image.
pub(super) fn image_url(source: &MediaSource) -> Cow<'_, str> {
    match source {
        MediaSource::Base64 { media_type, data } => data_url(media_type, data).into(),
        MediaSource::Url { url } | MediaSource::Text { text: url } => url.into(),
    }
}
