//! What each dialect implements. The traits are sealed: this crate's dialects are the only ones.

use bytes::Bytes;

use super::accumulator::Accumulator;
use super::options::EncodeOptions;
use crate::runtime::{MaybeSend, MaybeSync};
use crate::{Reply, Request, Result};

/// What each dialect brings.
pub trait Codec {
    /// The path below the base URL.
    fn path(&self) -> &'static str;

    fn headers(&self) -> &'static [(&'static str, &'static str)];

    fn body(&self, request: &Request, options: &EncodeOptions<'_>) -> Result<String>;

    fn reply(&self, body: &str, request_id: Option<&str>) -> Result<Reply>;

    fn stream_state(&self) -> Box<dyn StreamState>;

    /// Whether a stream tells its usage only where it is asked to.
    fn asks_for_usage(&self) -> bool {
        false
    }
}

/// What a stream must remember from one event to the next.
pub trait StreamState: MaybeSend + MaybeSync {
    /// Takes the data of one event. `is_error` says that the event is named so.
    fn take(&mut self, reply: &mut Accumulator, data: &str, is_error: bool) -> Result<()>;

    /// Whether `[DONE]` ends a stream of this dialect, rather than nothing.
    fn ends_with_done(&self) -> bool {
        false
    }

    /// Several replies come, of which the first is read.
    fn expect_several(&mut self) {}

    /// What of a frame is shown to a caller who did not ask for the usage that it may hold.
    fn without_usage(&self, frame: &Bytes, _data: &[u8]) -> Option<Bytes> {
        Some(frame.clone())
    }
}
