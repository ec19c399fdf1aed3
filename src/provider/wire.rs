//! What the dialects share when they read and write JSON.

use crate::json::{Malformed, Reader, Stopped, Writer, quote};
use crate::{Error, Request, Result, headers};
use http::HeaderMap;

/// Both providers' header; proxies and compatible servers use either.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers::text(headers, "request-id");
    id.or_else(|| headers::text(headers, "x-request-id"))
        .map(str::to_owned)
}

/// A request's body in the making.
pub(super) struct Body<'a> {
    pub(super) json: &'a mut Writer,
    pub(super) request: &'a Request,
}

impl Body<'_> {
    /// A field, unless [`Request::extra_body`] replaces it.
    pub(super) fn field(&mut self, name: &str, write: impl FnOnce(&mut Writer)) {
        if self.request.extra_body_field(name).is_none() {
            write(self.json.key(name));
        }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.field(name, |json| json.text(text));
    }

    pub(super) fn float(&mut self, name: &str, number: Option<f64>) {
        if let Some(number) = number {
            self.field(name, |json| json.float(number));
        }
    }

    pub(super) fn texts(&mut self, name: &str, texts: &[String]) {
        if !texts.is_empty() {
            self.field(name, |json| json.list(texts, |json, text| json.text(text)));
        }
    }
}

/// The body that `fill` writes, with what the caller has added to it.
pub(super) fn body(request: &Request, fill: impl FnOnce(&mut Body<'_>)) -> String {
    let mut json = Writer::default();
    json.object(|json| {
        fill(&mut Body { json, request });
        for (name, value) in &request.extra_body {
            json.key(name).raw(value.as_str());
        }
    });
    json.into_text()
}

/// Reads a provider's JSON; what is not understood is shown as far as a person would read it.
pub(super) fn read_json<'a, T>(
    what: &str,
    json: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Stopped>,
) -> Result<T> {
    let read = Reader::of_bytes(json).and_then(|mut reader| {
        let value = read(&mut reader);
        let whole = value.and_then(|value| reader.end().map(|()| value));
        whole.map_err(|Stopped| reader.malformed())
    });
    read.map_err(|error| malformed(what, json, error))
}

#[cold]
pub(super) fn malformed(what: &str, json: &[u8], error: Malformed) -> Error {
    let shown = quote(&String::from_utf8_lossy(json.get(..200).unwrap_or(json)));
    Error::decode([what, " is not what the provider's dialect says: ", &shown].concat())
        .with_source(error)
}
