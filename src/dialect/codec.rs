//! The private half of [`Dialect`](super::Dialect), which seals it.

use std::borrow::Cow;

use super::accumulator::Accumulator;
use super::facts::Fields;
use super::options::EncodeOptions;
use crate::headers::Known;
use crate::runtime::{MaybeSend, MaybeSync};
use crate::{Reply, Request, Result};

/// Implemented by each dialect.
pub trait Codec {
    /// The fields of requests on which the cost depends.
    fn fields(&self) -> Fields;

    fn headers(&self) -> &'static [(&'static Known, &'static str)];

    fn body(&self, request: &Request, options: &EncodeOptions<'_>) -> Result<String>;

    fn reply(&self, body: &str, request_id: Option<&str>) -> Result<Reply>;

    fn stream_state(&self) -> Box<dyn StreamState>;

    /// What requests ask for beyond what the caller has written.
    fn asking(&self) -> Option<&'static Asking> {
        None
    }

    /// Returns a request's body without the encrypted reasoning that it sends back. `None` if it sends none.
    fn without_reasoning(&self, _body: &[u8]) -> Option<String> {
        None
    }
}

/// A field that is added to requests which do not have it. A server that refuses it is not sent it again.
pub struct Asking {
    /// The field with a comma, to be inserted as the first one.
    pub(crate) field: &'static str,
    /// The texts of which an error about the field has at least one.
    pub(crate) refused_by: &'static [&'static str],
    /// Whether it is added only to requests for a stream.
    pub(crate) only_streams: bool,
    /// Whether it is also added to a body that the caller has written.
    pub(crate) to_passthrough: bool,
}

/// The state of a stream between two events.
pub trait StreamState: MaybeSend + MaybeSync {
    /// Decodes the data of one event. `is_error` is true if the event's name is `error`.
    fn take(&mut self, reply: &mut Accumulator, data: &str, is_error: bool) -> Result<()>;

    /// Whether `[DONE]` ends a stream of this dialect.
    fn ends_with_done(&self) -> bool {
        false
    }

    /// Called if several replies were requested. Only the first is read.
    fn expect_several(&mut self) {}

    /// Returns the parts of a frame to forward to a caller that did not request the usage.
    fn without_usage<'a>(&self, frame: &'a [u8], _data: &[u8]) -> Option<Cow<'a, [u8]>> {
        Some(frame.into())
    }
}
