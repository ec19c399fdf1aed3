use std::ops::Range;

use bytes::Bytes;

use crate::client::Call;
use crate::router::handle::Router;
use crate::router::state::Candidate;
use crate::{CallOptions, DialectName, Error, Request, Result};

/// What is sent.
pub(in crate::router) enum Source {
    /// A request, and whether its reply is streamed.
    Request(Box<Request>, bool),
    Body {
        dialect: DialectName,
        /// The name of the model in the body, and its place.
        model: String,
        model_at: Option<Range<usize>>,
        stream: bool,
        body: Bytes,
        options: Box<CallOptions>,
    },
}

impl Source {
    pub(super) fn is_stream(&self) -> bool {
        match self {
            Self::Request(_, stream) | Self::Body { stream, .. } => *stream,
        }
    }

    pub(super) fn options(&self) -> &CallOptions {
        match self {
            Self::Request(request, _) => &request.options,
            Self::Body { options, .. } => options,
        }
    }

    pub(super) fn options_mut(&mut self) -> &mut CallOptions {
        match self {
            Self::Request(request, _) => &mut request.options,
            Self::Body { options, .. } => options,
        }
    }

    /// Makes the call of a target.
    pub(super) fn call(&mut self, router: &Router, candidate: &Candidate) -> Result<Box<Call>> {
        let client = &router.clients[candidate.target];
        match self {
            Self::Request(request, stream) => {
                request.model = Some(candidate.model.clone()).filter(|model| !model.is_empty());
                Call::new(client, request, *stream)
            }
            Self::Body {
                dialect,
                model,
                model_at,
                body,
                options,
                ..
            } => {
                let body = match model_at {
                    Some(at) if *model != candidate.model => {
                        with_model(body, at.clone(), &candidate.model)
                    }
                    _ => body.clone(),
                };
                let client = client.speaking(*dialect);
                let client =
                    client.ok_or_else(|| Error::config("the target speaks no such dialect"))?;
                Call::raw(&client, body, options)
            }
        }
    }
}

/// Replaces the model's name in a body, and nothing else.
fn with_model(body: &Bytes, at: Range<usize>, model: &str) -> Bytes {
    let own = serde_json::to_string(model).unwrap_or_default();
    [&body[..at.start], own.as_bytes(), &body[at.end..]]
        .concat()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Dialect, OpenAiChat};

    #[test]
    fn every_other_byte_of_a_body_stays() {
        for (body, expected) in [
            (r#"{"model":"a"}"#, r#"{"model":"\"b\" é"}"#),
            (
                " { \"x\": {\"model\": \"a\"},\n \"mo\\u0064el\" :\t\"\\u0061\" , \"messages\":[ ]} ",
                " { \"x\": {\"model\": \"a\"},\n \"mo\\u0064el\" :\t\"\\\"b\\\" é\" , \"messages\":[ ]} ",
            ),
        ] {
            let facts = OpenAiChat::default().facts(body.as_bytes()).unwrap();
            assert_eq!(facts.model.as_deref(), Some("a"), "{body}");
            let at = facts.model_at.unwrap();
            let replaced = with_model(&body.into(), at, "\"b\" é");
            assert_eq!(std::str::from_utf8(&replaced).unwrap(), expected);
        }
    }
}
