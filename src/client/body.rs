//! Reads the body of a response to its end, or until its format is known.

use bytes::Bytes;
use http::HeaderMap;

use crate::framing::sse;
use crate::quote::quote;
use crate::transport::Body;
use crate::{Error, Result, headers};

/// The body received so far.
#[derive(Default)]
pub(super) struct Whole {
    /// The first chunk, which is often the whole body.
    first: Bytes,
    more: Vec<u8>,
}

impl Whole {
    /// Reads to the end of the body.
    ///
    /// # Errors
    /// `Decode` if the body is larger than `at_most`, and errors of the connection.
    pub(super) async fn read(&mut self, body: &mut Body, at_most: usize) -> Result<()> {
        loop {
            // A part can have been read already.
            if self.so_far().len() > at_most {
                self.more.truncate(at_most);
                self.first.truncate(at_most);
                return Err(Error::decode(format!(
                    "the body is larger than {at_most} bytes"
                )));
            }
            if !self.read_chunk(body).await? {
                return Ok(());
            }
        }
    }

    /// Reads until it is known whether the body is an event stream. `None` if it ends before.
    ///
    /// # Errors
    /// `Decode` if it is compressed, and the errors of [`Whole::read`].
    pub(super) async fn read_kind(
        &mut self,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<Option<bool>> {
        /// The maximum number of blank bytes at the start.
        const MAX_BLANK: usize = 64 << 10;
        loop {
            let so_far = self.so_far();
            match sse::is_event_stream(so_far) {
                Some(false) => {
                    ensure_plain(headers, so_far)?;
                    return Ok(Some(false));
                }
                Some(true) => return Ok(Some(true)),
                None if so_far.len() > MAX_BLANK => return Ok(Some(false)),
                None => {}
            }
            if !self.read_chunk(body).await? {
                return Ok(None);
            }
        }
    }

    async fn read_chunk(&mut self, body: &mut Body) -> Result<bool> {
        let Some(chunk) = body.chunk().await else {
            return Ok(false);
        };
        let chunk = chunk?;
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            if self.more.is_empty() {
                self.more.extend_from_slice(&self.first);
            }
            self.more.extend_from_slice(&chunk);
        }
        Ok(true)
    }

    fn so_far(&self) -> &[u8] {
        match self.more.is_empty() {
            true => &self.first,
            false => &self.more,
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self.more.is_empty() {
            true => self.first,
            false => self.more.into(),
        }
    }
}

/// Refuses a compressed body. No compression was requested, and on WebAssembly `fetch` has decoded it.
fn ensure_plain(headers: &HeaderMap, body: &[u8]) -> Result<()> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    let encoding = headers::text(headers, &headers::CONTENT_ENCODING);
    let encoding = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    let is_text = body
        .trim_ascii_start()
        .first()
        .is_none_or(|byte| b"{[<".contains(byte));
    match encoding {
        _ if body.starts_with(GZIP) => Err(compressed("gzip")),
        Some(encoding) if !is_text => Err(compressed(encoding)),
        _ => Ok(()),
    }
}

#[cold]
fn compressed(encoding: &str) -> Error {
    Error::decode(format!(
        "the body is compressed ({}), though the request did not offer to take that",
        quote(encoding)
    ))
}
