//! The transport on WebAssembly: calls the runtime's own `fetch`.
//!
//! The runtime owns the connections, TLS, proxies and the HTTP version. A call that is dropped is aborted, and a body is
//! always read or cancelled, because a runtime with few connections would otherwise run out of them. Workers allows six
//! (<https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestInit, RequestRedirect};

use super::custom_fetch::Fetch;
use super::fetched::{ReadResult, Reader, Response};
use super::options::Options;
use super::request::HttpRequest;
use super::response::HttpResponse;
use crate::headers::{self, Known};
use crate::provider::Endpoint;
use crate::runtime::{MaybeSend, MaybeSync, background, timeout};
use crate::{Error, ErrorKind, PoolStats, RateLimit, Result, TimeoutKind, Timing};

/// The headers that are read from every response. A browser shows others only if the server allows it.
static HEADERS: [&Known; 3] = [
    &headers::CONTENT_TYPE,
    &headers::REQUEST_ID,
    &headers::X_REQUEST_ID,
];
/// The headers that are also read from an error response.
static ERROR_HEADERS: [&Known; 4] = [
    &headers::RETRY_AFTER,
    &headers::RETRY_AFTER_MS,
    &headers::X_SHOULD_RETRY,
    &headers::LOCATION,
];

/// The headers that report rate limits, which are read if a router paces the calls. A browser shows them only if the server allows it.
static RATE_LIMIT_HEADERS: [Known; 18] = [
    Known::new("anthropic-ratelimit-requests-limit"),
    Known::new("anthropic-ratelimit-requests-remaining"),
    Known::new("anthropic-ratelimit-requests-reset"),
    Known::new("anthropic-ratelimit-tokens-limit"),
    Known::new("anthropic-ratelimit-tokens-remaining"),
    Known::new("anthropic-ratelimit-tokens-reset"),
    Known::new("anthropic-ratelimit-input-tokens-limit"),
    Known::new("anthropic-ratelimit-input-tokens-remaining"),
    Known::new("anthropic-ratelimit-input-tokens-reset"),
    Known::new("anthropic-ratelimit-output-tokens-limit"),
    Known::new("anthropic-ratelimit-output-tokens-remaining"),
    Known::new("anthropic-ratelimit-output-tokens-reset"),
    Known::new("x-ratelimit-limit-requests"),
    Known::new("x-ratelimit-remaining-requests"),
    Known::new("x-ratelimit-reset-requests"),
    Known::new("x-ratelimit-limit-tokens"),
    Known::new("x-ratelimit-remaining-tokens"),
    Known::new("x-ratelimit-reset-tokens"),
];

/// Sends requests to one endpoint. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    shared: Rc<Shared>,
    fetch: Option<Fetch>,
    reads_rate_limits: bool,
}

/// A place in the queue, which the runtime owns.
#[derive(Clone, Copy)]
pub(crate) struct Ticket;

/// The permission to send a request.
pub(crate) struct Turn;

struct Shared {
    url: JsValue,
    headers: Object,
    active: Cell<usize>,
    peak: Cell<usize>,
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint, options: Options) -> Result<Self> {
        let headers = Object::new();
        for (name, value) in &options.headers {
            // In a browser the provider's preflight response would have to allow it, and none does.
            if name != "user-agent" {
                set(&headers, name, value);
            }
        }
        Ok(Self {
            shared: Rc::new(Shared {
                url: endpoint.url.as_str().into(),
                headers,
                active: Cell::new(0),
                peak: Cell::new(0),
            }),
            fetch: options.fetch,
            reads_rate_limits: false,
        })
    }

    /// Returns a transport that shares this one's counts but calls another function.
    pub(crate) fn with_fetch(&self, fetch: Fetch) -> Self {
        Self {
            fetch: Some(fetch),
            ..self.clone()
        }
    }

    /// Returns a transport that shares this one's counts, and whose responses have the headers that report rate limits.
    pub(crate) fn with_rate_limit_headers(&self) -> Self {
        Self {
            reads_rate_limits: true,
            ..self.clone()
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        PoolStats {
            active: self.shared.active.get(),
            peak: self.shared.peak.get(),
            ..PoolStats::default()
        }
    }

    /// Returns nothing, because each header that is read takes as long as a streamed event.
    pub(crate) fn rate_limits(&self) -> Vec<RateLimit> {
        Vec::new()
    }

    /// Does nothing, as [`rate_limits`](Self::rate_limits) says.
    pub(crate) fn update_rate_limits(&self, _headers: &http::HeaderMap) {}

    /// Does nothing, because the runtime opens the connections.
    pub(crate) async fn warm_up(&self, _n: usize) -> Result<usize> {
        Ok(0)
    }

    /// Returns a ticket. It means nothing, because the runtime owns the queue.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket
    }

    /// Takes a turn, without waiting, because the runtime owns the connections.
    pub(crate) async fn acquire(
        &self,
        _ticket: Ticket,
        _limit: Duration,
        _timing: &mut Timing,
    ) -> Result<Turn> {
        Ok(Turn)
    }

    /// Sends a request and waits for the response headers. Calls `sent(true)` just before the first byte may be sent.
    pub(crate) async fn send(
        &self,
        _turn: Turn,
        request: HttpRequest<'_>,
        _timing: &mut Timing,
        sent: &(impl Fn(bool) + MaybeSend + MaybeSync),
    ) -> Result<HttpResponse<Body>> {
        sent(true);
        let call = Call::new(&self.shared)?;
        let fetched = self.fetch(request, &call).map_err(|e| connect_error(&e))?;
        let limit = request.timeouts.reply;
        let response = timeout(limit, JsFuture::from(fetched))
            .await
            .ok_or_else(|| Error::timeout(TimeoutKind::Reply, limit))?
            .map_err(|e| connect_error(&e))?;
        // `instanceof` would refuse a `Response` of another realm.
        let status = Reflect::get(&response, &"status".into());
        let status = match status.ok().and_then(|status| status.as_f64()) {
            // Browsers hide a redirect's response and report its status as 0.
            Some(0.0) => 307,
            Some(status) if (100.0..1000.0).contains(&status) => status as u16,
            _ => return Err(connect_error(&"it returned no Response".into())),
        };
        let response: Response = response.unchecked_into();
        let response_headers = response.headers().map_err(|e| connect_error(&e))?;
        // Reading a header takes as long as a streamed event, so the ones about errors are read only for errors.
        let failed = !(200..300).contains(&status);
        let names = HEADERS
            .iter()
            .chain(failed.then_some(&ERROR_HEADERS).into_iter().flatten());
        let limits = self.reads_rate_limits.then_some(&RATE_LIMIT_HEADERS);
        let names = names.copied().chain(limits.into_iter().flatten());
        let headers = names.filter_map(|known| {
            let value = response_headers.get(known.text).ok()??.parse().ok()?;
            Some((known.name.clone(), value))
        });
        let headers = headers.collect();
        let reader = reader(&response).map_err(|e| connect_error(&e))?;
        Ok(HttpResponse {
            status,
            headers,
            body: Body {
                reader,
                read: None,
                call,
            },
        })
    }

    fn fetch(&self, request: HttpRequest<'_>, call: &Call) -> Result<Promise, JsValue> {
        let HttpRequest {
            method,
            to,
            body,
            headers: own,
            ..
        } = request;
        // The caller's function may change what it is given.
        let all = Object::assign(&Object::new(), &self.shared.headers);
        if body.is_empty() {
            // It fails only for an object that cannot be changed.
            let _ = Reflect::delete_property(&all, &headers::CONTENT_TYPE.text.into());
        }
        for (name, value) in own {
            set(&all, name, value);
        }
        let init = RequestInit::new();
        init.set_method(method.as_str());
        init.set_headers(&all);
        // `fetch` refuses a body of a GET request, even an empty one.
        if !body.is_empty() {
            init.set_body(&Uint8Array::from(&body[..]));
        }
        init.set_redirect(RequestRedirect::Manual);
        init.set_signal(Some(&call.controller.signal()));
        let other = to.map(|endpoint| JsValue::from(endpoint.url.as_str()));
        let url = other.as_ref().unwrap_or(&self.shared.url);
        let fetched = match &self.fetch {
            Some(fetch) => fetch.call2(&JsValue::UNDEFINED, url, &init)?,
            // Looked up for each request, because tests replace it.
            None => Reflect::get(&js_sys::global(), &"fetch".into())?
                .dyn_into::<Function>()?
                .call2(&JsValue::UNDEFINED, url, &init)?,
        };
        Ok(Promise::resolve(&fetched))
    }
}

fn reader(response: &Response) -> Result<Option<Reader>, JsValue> {
    let Some(body) = response.body()? else {
        return Ok(None);
    };
    if body.locked()? == Some(true) {
        return Err("the body of its Response is in use".into());
    }
    body.reader().map(Some)
}

fn set(object: &Object, name: &str, value: &str) {
    // It fails only for an object that cannot be extended.
    let _ = Reflect::set(object, &name.into(), &value.into());
}

/// A call in flight. It counts as active until it is released, and is aborted if it is dropped before its end.
struct Call {
    transport: Rc<Shared>,
    controller: AbortController,
    counted: bool,
    ended: bool,
}

impl Call {
    fn new(transport: &Rc<Shared>) -> Result<Self> {
        let controller = AbortController::new().map_err(|e| connect_error(&e))?;
        let active = transport.active.get() + 1;
        transport.active.set(active);
        transport.peak.set(transport.peak.get().max(active));
        Ok(Self {
            transport: transport.clone(),
            controller,
            counted: true,
            ended: false,
        })
    }

    /// Stops counting the call as active.
    fn release(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.transport.active.set(self.transport.active.get() - 1);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.release();
        if !self.ended {
            self.controller.abort();
        }
    }
}

fn connect_error(error: &JsValue) -> Error {
    Error::new(
        ErrorKind::Connect,
        format!("fetch failed: {}", describe(error)),
    )
}

/// Returns the message of a JavaScript error, followed by that of its `cause`, which holds the reason in Node.
fn describe(error: &JsValue) -> String {
    let get = |value: &JsValue, name: &str| Reflect::get(value, &name.into()).ok();
    let text = |value: &JsValue| get(value, "message").and_then(|message| message.as_string());
    let message = text(error)
        .or_else(|| error.as_string())
        .unwrap_or_else(|| "unknown error".to_owned());
    match get(error, "cause").as_ref().and_then(text) {
        Some(cause) => format!("{message}: {cause}"),
        None => message,
    }
}

/// A response body. Dropping it before its end cancels it and aborts the fetch.
pub(crate) struct Body {
    reader: Option<Reader>,
    read: Option<JsFuture>,
    call: Call,
}

impl Body {
    /// Returns the next bytes, or `None` at the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(reader) = &self.reader else {
            self.call.ended = true;
            return Poll::Ready(None);
        };
        let read = self.read.get_or_insert_with(|| reader.read().into());
        let result = ready!(Pin::new(read).poll(cx));
        self.read = None;
        let chunk = result.and_then(|read| {
            let read: ReadResult = read.unchecked_into();
            if read.done()?.unwrap_or_default() {
                return Ok(None);
            }
            read.bytes().map(Some)
        });
        Poll::Ready(match chunk {
            Ok(Some(bytes)) => Some(Ok(bytes.into())),
            Ok(None) => {
                self.reader = None;
                self.call.ended = true;
                None
            }
            Err(error) => {
                let reason = describe(&error);
                Some(Err(Error::stream(format!(
                    "the connection broke in the middle of the reply: {reason}"
                ))))
            }
        })
    }

    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Reads the rest of a complete reply in the background, so that the runtime can reuse the connection.
    pub(crate) fn finish(mut self) {
        const LIMIT: Duration = Duration::from_secs(1);
        self.call.release();
        background(async move {
            let rest = async { while let Some(Ok(_)) = self.chunk().await {} };
            timeout(LIMIT, rest).await;
        });
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            // The result does not matter, but an unhandled rejection ends the process in Node. A dropped future still handles it.
            drop(JsFuture::from(reader.cancel()));
        }
    }
}
