//! A streamed reply's bytes, to events.

use super::accumulator::Accumulator;
use super::wire::request_id;
use super::{anthropic, openai};
use crate::framing::sse;
use crate::{Error, ErrorKind, Provider, Reply, Result, StreamEvent};
use http::HeaderMap;

/// Takes chunks as they come and gives out events. Once [`StreamDecoder::ended`], the reply is whole.
#[derive(Debug)]
pub(crate) struct StreamDecoder {
    parser: sse::Parser,
    dialect: Dialect,
    accumulator: Accumulator,
    raw: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Dialect {
    Anthropic(anthropic::StreamState),
    OpenAi(openai::StreamState),
}

impl Dialect {
    fn take(&mut self, accumulator: &mut Accumulator, event: &sse::Event<'_>) -> Result<()> {
        match self {
            _ if accumulator.ended() => Ok(()),
            Self::Anthropic(blocks) => blocks.take(accumulator, event.data),
            Self::OpenAi(calls) => calls.take(accumulator, event.data),
        }
    }
}

impl StreamDecoder {
    pub(crate) fn new(provider: Provider, headers: HeaderMap, keep_raw: bool) -> Self {
        let mut accumulator = Accumulator::new(provider);
        accumulator.reply.request_id = request_id(&headers);
        accumulator.reply.headers = headers;
        let dialect = match provider {
            Provider::Anthropic => Dialect::Anthropic(anthropic::StreamState::default()),
            Provider::OpenAi => Dialect::OpenAi(openai::StreamState::default()),
        };
        Self {
            parser: sse::Parser::default(),
            dialect,
            accumulator,
            raw: keep_raw.then(Vec::new),
        }
    }

    /// Takes the next bytes. What they complete is then given out by [`StreamDecoder::next`].
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        if let Some(raw) = &mut self.raw {
            raw.extend_from_slice(chunk);
        }
        let Self {
            parser,
            dialect,
            accumulator,
            ..
        } = self;
        parser.feed(chunk, |event| dialect.take(accumulator, &event))
    }

    /// The bytes have ended: whole, or cut off?
    pub(crate) fn finish(&mut self) -> Result<()> {
        let Self {
            parser,
            dialect,
            accumulator,
            ..
        } = self;
        let last = parser.finish(|event| dialect.take(accumulator, &event));
        match last {
            _ if self.ended() => Ok(()),
            // Some servers leave the closing event out; what counts is that the model said it was done.
            Ok(()) if self.accumulator.reply.stop_reason.is_some() => {
                self.accumulator.end();
                Ok(())
            }
            Err(error) if *error.kind() != ErrorKind::Decode => Err(error),
            _ => Err(Error::stream(
                "the stream was cut off before the reply was whole",
            )),
        }
    }

    pub(crate) fn next(&mut self) -> Option<StreamEvent> {
        self.accumulator.next()
    }

    pub(crate) fn ended(&self) -> bool {
        self.accumulator.ended()
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.accumulator.reply.request_id.as_deref()
    }

    /// The reply, put together; what it was taken from is done.
    /// What was kept since it was last taken.
    pub(crate) fn take_raw(&mut self) -> Vec<u8> {
        self.raw.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn take_reply(&mut self) -> Reply {
        let empty = Reply::new(self.accumulator.reply.provider);
        let mut reply = std::mem::replace(&mut self.accumulator.reply, empty);
        reply.raw = self.raw.take().map(Into::into);
        reply
    }
}
