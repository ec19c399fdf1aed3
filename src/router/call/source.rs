#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::client::Call;
use crate::dialect::RequestFacts;
use crate::router::handle::Router;
use crate::router::state::Candidate;
use crate::{CallOptions, DialectName, Error, Request, Result};

/// What is sent.
pub(in crate::router) enum Source {
    /// A request, and whether its reply is streamed.
    Request(Box<Request>, bool),
    Body {
        dialect: DialectName,
        facts: Box<RequestFacts>,
        body: Bytes,
        options: Box<CallOptions>,
    },
}

impl Source {
    pub(super) fn is_stream(&self) -> bool {
        match self {
            Self::Request(_, stream) => *stream,
            Self::Body { facts, .. } => facts.stream,
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
        let of_target = &router.clients[candidate.target];
        match self {
            Self::Request(request, stream) => {
                request.model = Some(candidate.model.clone()).filter(|model| !model.is_empty());
                Call::new(&of_target.client, request, *stream)
            }
            Self::Body {
                dialect,
                facts,
                body,
                options,
            } => {
                let Some(client) = of_target.speaking(*dialect) else {
                    return Err(Error::config("the target speaks no such dialect"));
                };
                match with_model(body, facts, &candidate.model) {
                    Some(body) => {
                        let facts = client.dialect().facts(&body)?;
                        Call::raw(client, body, &facts, options)
                    }
                    None => Call::raw(client, body.clone(), facts, options),
                }
            }
        }
    }
}

/// Returns a body with the target's own name of the model, or `None` if that is the name it has.
pub(in crate::router) fn with_model(
    body: &Bytes,
    facts: &RequestFacts,
    own: &str,
) -> Option<Bytes> {
    let at = facts.model_at.as_ref()?;
    if facts.model.as_deref() == Some(own) {
        return None;
    }
    let own = serde_json::to_string(own).unwrap_or_default();
    let (before, after) = (&body[..at.start], &body[at.end..]);
    Some([before, own.as_bytes(), after].concat().into())
}
