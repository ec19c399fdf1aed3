#[cfg(test)]
mod tests;

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
                    Some(at) if *model != candidate.model => with_model(body, at, &candidate.model),
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

/// Returns a body with another model in a place.
pub(in crate::router) fn with_model(body: &Bytes, at: &Range<usize>, model: &str) -> Bytes {
    let own = serde_json::to_string(model).unwrap_or_default();
    let (before, after) = (&body[..at.start], &body[at.end..]);
    [before, own.as_bytes(), after].concat().into()
}
