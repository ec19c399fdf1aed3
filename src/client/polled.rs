//! What an event stream and a passthrough poll.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::runtime::{Instant, MaybeSend};
use crate::{Error, Reply, Result, StreamEvent};

/// A call, of a client or of a router. Dropping it cancels the call.
pub(crate) trait Polled: MaybeSend {
    /// Waits for the next event; `None` after the last, which is `Done` or an error.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamEvent>>>;

    /// Returns the frames that have arrived since the last call, if frames are forwarded. Before the first content they are
    /// held back until this is called; another attempt is impossible once events were handed out.
    fn take_frames(&mut self) -> Bytes;

    /// Returns the size of the frames that are held back before the first content, in bytes.
    fn held_bytes(&self) -> usize;

    /// Returns whether the error that ended the call is in the frames, as an event of the provider's.
    fn error_is_forwarded(&self) -> bool;

    /// Returns when the head of the stream that is being opened arrived, if it has.
    fn head_arrived(&self) -> Option<Instant>;

    /// Hands out the head of a stream before its first content. From here on the reply must be a stream.
    fn release_head(&mut self);

    /// Returns the provider's id of the request whose response is being read.
    fn request_id(&self) -> Option<&str>;

    /// Returns the number of attempts, with the current one.
    fn attempt_count(&self) -> usize;

    /// Returns the name of the target that serves a router's call.
    fn target(&self) -> Option<&str> {
        None
    }

    fn state_name(&self) -> &'static str;
}

/// Waits for the whole reply.
pub(crate) async fn whole_reply(call: &mut dyn Polled) -> Result<Reply> {
    while let Some(event) = poll_fn(|cx| call.poll_event(cx)).await {
        if let StreamEvent::Done { reply } = event? {
            return Ok(*reply);
        }
    }
    Err(Error::stream("the stream had already ended"))
}
