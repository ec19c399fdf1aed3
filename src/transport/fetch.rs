//! The transport on WebAssembly: calls the runtime's own `fetch`.
//!
//! The runtime owns the connections, TLS, proxies and the HTTP version. A call that is dropped is aborted, and a body is
//! always read or cancelled, because a runtime with few connections would otherwise run out of them. Workers allows six
//! (<https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use wasm_bindgen::prelude::*;

use super::options::Options;
use super::request::HttpRequest;
use super::response::HttpResponse;
use crate::headers::{self, Known};
use crate::provider::Endpoint;
use crate::runtime::{MaybeSend, MaybeSync, background, timeout};
use crate::{Error, ErrorKind, PoolStats, RateLimit, Result, TimeoutKind, Timing};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch, catch)]
    fn global_fetch(url: &JsValue, init: &RequestInit) -> Result<JsValue, JsValue>;

    pub type Function;
    #[wasm_bindgen(method, catch, js_name = call)]
    pub fn call0(this: &Function, this_arg: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = call)]
    pub fn call1(this: &Function, this_arg: &JsValue, a: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = call)]
    pub fn call2(
        this: &Function,
        this_arg: &JsValue,
        a: &JsValue,
        b: &JsValue,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_namespace = Promise, js_name = resolve)]
    fn promise_of(value: &JsValue) -> Thenable;

    #[wasm_bindgen(js_namespace = Reflect, js_name = get, catch)]
    fn property(target: &JsValue, name: &str) -> Result<JsValue, JsValue>;

    /// A plain object: the options of `fetch`, or the headers in them.
    #[wasm_bindgen(js_name = Object)]
    type RequestInit;
    #[wasm_bindgen(constructor, js_class = "Object")]
    fn new() -> RequestInit;
    #[wasm_bindgen(js_namespace = Object)]
    fn assign(target: &RequestInit, source: &RequestInit) -> RequestInit;
    #[wasm_bindgen(js_namespace = Reflect, js_name = set)]
    fn set(init: &RequestInit, name: &str, value: &JsValue) -> bool;

    type Uint8Array;
    #[wasm_bindgen(constructor)]
    fn new(copied: &[u8]) -> Uint8Array;

    type AbortController;
    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;
    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);
    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> JsValue;

    type FetchResponse;
    #[wasm_bindgen(method, getter)]
    fn status(this: &FetchResponse) -> u16;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &FetchResponse) -> FetchHeaders;
    #[wasm_bindgen(method, getter)]
    fn body(this: &FetchResponse) -> Option<Readable>;

    type FetchHeaders;
    #[wasm_bindgen(method)]
    fn get(this: &FetchHeaders, name: &str) -> Option<String>;

    type Readable;
    #[wasm_bindgen(method, js_name = getReader, catch)]
    fn reader(this: &Readable) -> Result<Reader, JsValue>;

    type Reader;
    #[wasm_bindgen(method, catch)]
    fn read(this: &Reader) -> Result<Thenable, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn cancel(this: &Reader) -> Result<Thenable, JsValue>;

    /// A promise.
    type Thenable;
    #[wasm_bindgen(method)]
    fn then(this: &Thenable, resolved: &PromiseCallback, rejected: &PromiseCallback);

    type Read;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Read) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Read) -> Option<Vec<u8>>;
}

type PromiseCallback = Closure<dyn FnMut(JsValue)>;

/// Awaits promises one after another with the same two callbacks, because creating a callback for JavaScript takes
/// microseconds.
struct JsFuture {
    state: Rc<PromiseState>,
    callbacks: Option<[PromiseCallback; 2]>,
    pending: bool,
}

#[derive(Default)]
struct PromiseState {
    settled: RefCell<Option<Result<JsValue, JsValue>>>,
    waker: RefCell<Option<Waker>>,
    /// The callbacks of a [`JsFuture`] that was dropped before its promise settled. JavaScript still calls them.
    orphaned: RefCell<Option<[PromiseCallback; 2]>>,
}

impl PromiseState {
    fn settle(&self, result: Result<JsValue, JsValue>) {
        if self.orphaned.take().is_none() {
            self.settled.replace(Some(result));
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}

impl JsFuture {
    fn new() -> Self {
        let state = Rc::new(PromiseState::default());
        let (resolved, rejected) = (state.clone(), state.clone());
        Self {
            callbacks: Some([
                Closure::new(move |value| resolved.settle(Ok(value))),
                Closure::new(move |error| rejected.settle(Err(error))),
            ]),
            state,
            pending: false,
        }
    }

    fn start(&mut self, promise: &Thenable) {
        if let Some([resolved, rejected]) = &self.callbacks {
            self.pending = true;
            promise.then(resolved, rejected);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<JsValue, JsValue>> {
        match self.state.settled.take() {
            Some(result) => {
                self.pending = false;
                Poll::Ready(result)
            }
            None => {
                self.state.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for JsFuture {
    fn drop(&mut self) {
        if self.pending && self.state.settled.take().is_none() {
            self.state.orphaned.replace(self.callbacks.take());
        }
    }
}

/// Awaits a promise. A value that is not a promise is returned as it is.
#[cfg(feature = "js")]
pub(crate) async fn await_promise(promise: JsValue) -> Result<JsValue, JsValue> {
    let mut future = JsFuture::new();
    future.start(&promise_of(&promise));
    poll_fn(|cx| future.poll(cx)).await
}

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

thread_local! {
    static FETCH: RefCell<Option<Rc<Function>>> = const { RefCell::new(None) };
}

/// Makes requests that are sent in `poll` call `fetch` instead of the global function.
#[cfg(feature = "js")]
pub(crate) fn with_fetch<T>(fetch: Option<Rc<Function>>, poll: impl FnOnce() -> T) -> T {
    // A function of the caller's can poll another call.
    let outer = FETCH.replace(fetch);
    let polled = poll();
    FETCH.set(outer);
    polled
}

/// Sends requests to one endpoint. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport(Rc<Inner>);

/// A place in the queue, which the runtime owns.
#[derive(Clone, Copy)]
pub(crate) struct Ticket;

/// The permission to send a request.
pub(crate) struct Turn;

struct Inner {
    url: JsValue,
    init: RequestInit,
    headers: RequestInit,
    active: Cell<usize>,
    peak: Cell<usize>,
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint, options: Options) -> Result<Self> {
        let headers = common_headers(&options);
        Ok(Self(Rc::new(Inner {
            url: endpoint.url.as_str().into(),
            init: common_init(&headers),
            headers,
            active: Cell::new(0),
            peak: Cell::new(0),
        })))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        PoolStats {
            active: self.0.active.get(),
            peak: self.0.peak.get(),
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
        let call = Call::new(&self.0);
        let mut future = JsFuture::new();
        let fetched = self.fetch(request, &call);
        future.start(&fetched.map_err(|e| connect_error(&e))?);
        let limit = request.timeouts.reply;
        let response = timeout(limit, poll_fn(|cx| future.poll(cx)))
            .await
            .ok_or_else(|| Error::timeout(TimeoutKind::Reply, limit))?
            .map_err(|e| connect_error(&e))?;
        let response: FetchResponse = response.unchecked_into();
        let response_headers = response.headers();
        // Reading a header takes as long as a streamed event, so the ones about errors are read only for errors.
        let failed = !(200..300).contains(&response.status());
        let names = HEADERS
            .iter()
            .chain(failed.then_some(&ERROR_HEADERS).into_iter().flatten());
        let headers = names.filter_map(|known| {
            let value = response_headers.get(known.text)?.parse().ok()?;
            Some((known.name.clone(), value))
        });
        let headers = headers.collect();
        // Browsers hide a redirect's response and report its status as 0.
        let status = match response.status() {
            0 => 307,
            status => status,
        };
        let reader = response.body().map(|body| body.reader()).transpose();
        let reader = reader.map_err(|e| connect_error(&e))?;
        Ok(HttpResponse {
            status,
            headers,
            body: Body {
                reader,
                future,
                call,
            },
        })
    }

    fn fetch(&self, request: HttpRequest<'_>, call: &Call) -> Result<Thenable, JsValue> {
        let HttpRequest {
            to, body, headers, ..
        } = request;
        let init = assign(&RequestInit::new(), &self.0.init);
        if !headers.is_empty() {
            let all = assign(&RequestInit::new(), &self.0.headers);
            for (name, value) in headers {
                set(&all, name, &value.as_str().into());
            }
            set(&init, "headers", &all);
        }
        set(&init, "body", &Uint8Array::new(body));
        set(&init, "signal", &call.controller.signal());
        let other = to.map(|endpoint| JsValue::from(endpoint.url.as_str()));
        let url = other.as_ref().unwrap_or(&self.0.url);
        let fetched = match FETCH.with_borrow(Clone::clone) {
            Some(fetch) => fetch.call2(&JsValue::UNDEFINED, url, &init)?,
            None => global_fetch(url, &init)?,
        };
        Ok(promise_of(&fetched))
    }
}

fn common_headers(options: &Options) -> RequestInit {
    let headers = RequestInit::new();
    for (name, value) in &options.headers {
        // In a browser the provider's preflight response would have to allow it, and none does.
        if name != "user-agent" {
            set(&headers, name, &value.as_str().into());
        }
    }
    headers
}

/// Returns the options that all requests share.
fn common_init(headers: &RequestInit) -> RequestInit {
    let init = RequestInit::new();
    set(&init, "method", &"POST".into());
    set(&init, "headers", headers);
    set(&init, "redirect", &"manual".into());
    init
}

/// A call in flight. It counts as active until it is released, and is aborted if it is dropped before its end.
struct Call {
    transport: Rc<Inner>,
    controller: AbortController,
    counted: bool,
    ended: bool,
}

impl Call {
    fn new(transport: &Rc<Inner>) -> Self {
        let active = transport.active.get() + 1;
        transport.active.set(active);
        transport.peak.set(transport.peak.get().max(active));
        Self {
            transport: transport.clone(),
            controller: AbortController::new(),
            counted: true,
            ended: false,
        }
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
pub(crate) fn describe(error: &JsValue) -> String {
    let get = |value: &JsValue, name: &str| property(value, name).ok();
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
    future: JsFuture,
    call: Call,
}

impl Body {
    /// Returns the next bytes, or `None` at the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(reader) = &self.reader else {
            self.call.ended = true;
            return Poll::Ready(None);
        };
        let started = match self.future.pending {
            true => Ok(()),
            false => reader.read().map(|promise| self.future.start(&promise)),
        };
        let result = match started {
            Ok(()) => ready!(self.future.poll(cx)),
            Err(error) => Err(error),
        };
        Poll::Ready(match result {
            Ok(read) => {
                let read: Read = read.unchecked_into();
                if read.done() {
                    self.reader = None;
                    self.call.ended = true;
                    None
                } else {
                    Some(Ok(read.value().unwrap_or_default().into()))
                }
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
        if let Some(Ok(cancelled)) = self.reader.take().map(|reader| reader.cancel()) {
            // The result does not matter, but an unhandled rejection ends the process in Node. The callbacks outlive
            // the future, so the rejection is handled.
            let mut future = JsFuture::new();
            future.start(&cancelled);
        }
    }
}
