//! A streamed reply's bytes, to events.

use super::assembly::Assembly;
use super::{anthropic, openai, request_id};
use crate::transport::Headers;
use crate::{Error, ErrorKind, Event, Provider, Reply, Result, sse};

/// Takes chunks as they come and gives out events. Once [`StreamDecoder::ended`], the reply is whole.
#[derive(Debug)]
pub(crate) struct StreamDecoder {
    parser: sse::Parser,
    dialect: Dialect,
    assembly: Assembly,
    raw: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Dialect {
    Anthropic(anthropic::Blocks),
    OpenAi(openai::Calls),
}

impl Dialect {
    fn take(&mut self, assembly: &mut Assembly, event: &sse::Event<'_>) -> Result<()> {
        match self {
            _ if assembly.ended() => Ok(()),
            Self::Anthropic(blocks) => blocks.take(assembly, event.data),
            Self::OpenAi(calls) => calls.take(assembly, event.data),
        }
    }
}

impl StreamDecoder {
    pub(crate) fn new(provider: Provider, headers: &Headers, keep_raw: bool) -> Self {
        let mut assembly = Assembly::new(provider);
        assembly.reply.request_id = request_id(headers);
        let dialect = match provider {
            Provider::Anthropic => Dialect::Anthropic(anthropic::Blocks::default()),
            Provider::OpenAi => Dialect::OpenAi(openai::Calls::default()),
        };
        Self {
            parser: sse::Parser::default(),
            dialect,
            assembly,
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
            assembly,
            ..
        } = self;
        parser.feed(chunk, |event| dialect.take(assembly, &event))
    }

    /// The bytes have ended: whole, or cut off?
    pub(crate) fn finish(&mut self) -> Result<()> {
        let Self {
            parser,
            dialect,
            assembly,
            ..
        } = self;
        let last = parser.finish(|event| dialect.take(assembly, &event));
        match last {
            _ if self.ended() => Ok(()),
            // Some servers leave the closing event out; what counts is that the model said it was done.
            Ok(()) if self.assembly.reply.stop_reason.is_some() => {
                self.assembly.end();
                Ok(())
            }
            Err(error) if *error.kind() != ErrorKind::Decode => Err(error),
            _ => Err(Error::stream(
                "the stream was cut off before the reply was whole",
            )),
        }
    }

    pub(crate) fn next(&mut self) -> Option<Event> {
        self.assembly.next()
    }

    pub(crate) fn ended(&self) -> bool {
        self.assembly.ended()
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.assembly.reply.request_id.as_deref()
    }

    /// The reply, put together; what it was taken from is done.
    /// What was kept since it was last taken.
    pub(crate) fn take_raw(&mut self) -> Vec<u8> {
        self.raw.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn take_reply(&mut self) -> Reply {
        let empty = Reply::new(self.assembly.reply.provider);
        let mut reply = std::mem::replace(&mut self.assembly.reply, empty);
        reply.raw = self.raw.take().map(Into::into);
        reply
    }
}
