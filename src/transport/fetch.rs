//! The transport where the runtime owns the connections: its own `fetch`, called directly.
//!
//! What is not here is left to the runtime: the pool, TLS, proxies and the HTTP version. What a caller
//! drops is aborted, and bodies are always read or cancelled, since a runtime that allows few connections
//! (Workers: six) would otherwise run out of them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use wasm_bindgen::prelude::*;

use super::options::Options;
use super::response::HttpResponse;
use crate::provider::Endpoint;
use crate::runtime::{MaybeSend, MaybeSync, background, timeout};
use crate::{Error, ErrorKind, PoolStats, RateLimit, Result, TimeoutKind, Timing};
use http::HeaderName;

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
    fn property(of: &JsValue, name: &str) -> Result<JsValue, JsValue>;

    /// What `fetch` is given beside the address, and the headers in it.
    #[wasm_bindgen(js_name = Object)]
    type RequestInit;
    #[wasm_bindgen(constructor, js_class = "Object")]
    fn new() -> RequestInit;
    #[wasm_bindgen(js_namespace = Object, js_name = assign)]
    fn lay_over(init: &RequestInit, common: &RequestInit) -> RequestInit;
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
    fn then(this: &Thenable, resolved: &Settle, rejected: &Settle);

    type Read;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Read) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Read) -> Option<Vec<u8>>;
}

type Settle = Closure<dyn FnMut(JsValue)>;

/// Awaits promises one after another with the same two callbacks: one that JavaScript can call costs
/// microseconds to make.
struct Awaiter {
    state: Rc<Awaited>,
    callbacks: Option<[Settle; 2]>,
    pending: bool,
}

#[derive(Default)]
struct Awaited {
    settled: RefCell<Option<Result<JsValue, JsValue>>>,
    waker: RefCell<Option<Waker>>,
    /// The callbacks of an awaiter that was dropped before its promise settled, and calls them nonetheless.
    left: RefCell<Option<[Settle; 2]>>,
}

impl Awaited {
    fn settle(&self, result: Result<JsValue, JsValue>) {
        if self.left.take().is_none() {
            self.settled.replace(Some(result));
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Awaiter {
    fn new() -> Self {
        let state = Rc::new(Awaited::default());
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

impl Drop for Awaiter {
    fn drop(&mut self) {
        if self.pending && self.state.settled.take().is_none() {
            self.state.left.replace(self.callbacks.take());
        }
    }
}

/// What a promise gives, or a value that is none.
#[cfg(feature = "js")]
pub(crate) async fn settled(promise: JsValue) -> Result<JsValue, JsValue> {
    let mut awaiter = Awaiter::new();
    awaiter.start(&promise_of(&promise));
    poll_fn(|cx| awaiter.poll(cx)).await
}

/// The response headers that are read. A browser shows others only where the server allows it.
const HEADERS: [&str; 3] = ["content-type", "request-id", "x-request-id"];
/// Those that are read from an error response too.
const ERROR_HEADERS: [&str; 4] = [
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "location",
];

thread_local! {
    static FETCH: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Has clients that are built within `build` call this function in place of the global `fetch`.
#[cfg(feature = "js")]
pub(crate) fn with_fetch<T>(fetch: Option<Function>, build: impl FnOnce() -> T) -> T {
    FETCH.set(fetch);
    let built = build();
    FETCH.set(None);
    built
}

/// Sends requests to one endpoint. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport(Rc<Inner>);

struct Inner {
    url: JsValue,
    init: RequestInit,
    headers: RequestInit,
    fetch: Option<Function>,
    options: Options,
    active: Cell<usize>,
    peak: Cell<usize>,
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint, options: Options) -> Result<Self> {
        let headers = headers_of(&options);
        Ok(Self(Rc::new(Inner {
            url: endpoint.url.as_str().into(),
            init: common(&headers),
            headers,
            fetch: FETCH.take(),
            options,
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

    /// Headers that are not asked for are not read.
    pub(crate) fn rate_limits(&self) -> Vec<RateLimit> {
        Vec::new()
    }

    /// Connections are the runtime's to open.
    pub(crate) async fn warm_up(&self, _n: usize) -> Result<usize> {
        Ok(0)
    }

    /// `sent` is called when the first byte may be about to go out.
    pub(crate) async fn send(
        &self,
        body: &Bytes,
        more: &[(String, String)],
        _timing: &mut Timing,
        sent: &(impl Fn() + MaybeSend + MaybeSync),
    ) -> Result<HttpResponse<Body>> {
        sent();
        let call = Call::new(&self.0);
        let mut awaiter = Awaiter::new();
        awaiter.start(&self.fetch(body, more, &call).map_err(|e| unreachable(&e))?);
        let at_most = self.0.options.timeouts.response_headers;
        let response = timeout(at_most, poll_fn(|cx| awaiter.poll(cx)))
            .await
            .ok_or_else(|| Error::timeout(TimeoutKind::ResponseHeaders, at_most))?
            .map_err(|e| unreachable(&e))?;
        let response: FetchResponse = response.unchecked_into();
        let theirs = response.headers();
        // Each header that is read costs as much as an event, so the ones about errors are read for errors only.
        let failed = !(200..300).contains(&response.status());
        let names = HEADERS
            .iter()
            .chain(failed.then_some(&ERROR_HEADERS).into_iter().flatten());
        let headers = names.filter_map(|name| {
            let value = theirs.get(name)?.parse().ok()?;
            Some((HeaderName::from_static(name), value))
        });
        let headers = headers.collect();
        // Browsers hide what a redirect says; its status is 0 there.
        let status = match response.status() {
            0 => 307,
            status => status,
        };
        let reader = response.body().map(|body| body.reader()).transpose();
        let reader = reader.map_err(|e| unreachable(&e))?;
        Ok(HttpResponse {
            status,
            headers,
            body: Body {
                reader,
                awaiter,
                call,
            },
        })
    }

    fn fetch(
        &self,
        body: &Bytes,
        more: &[(String, String)],
        call: &Call,
    ) -> Result<Thenable, JsValue> {
        let init = lay_over(&RequestInit::new(), &self.0.init);
        if !more.is_empty() {
            let headers = lay_over(&RequestInit::new(), &self.0.headers);
            for (name, value) in more {
                set(&headers, name, &value.as_str().into());
            }
            set(&init, "headers", &headers);
        }
        set(&init, "body", &Uint8Array::new(body));
        set(&init, "signal", &call.controller.signal());
        let fetched = match &self.0.fetch {
            Some(fetch) => fetch.call2(&JsValue::UNDEFINED, &self.0.url, &init)?,
            None => global_fetch(&self.0.url, &init)?,
        };
        Ok(promise_of(&fetched))
    }
}

fn headers_of(options: &Options) -> RequestInit {
    let headers = RequestInit::new();
    for (name, value) in &options.headers {
        // A browser's preflight would have to allow it, and no provider's does.
        if name != "user-agent" {
            set(&headers, name, &value.as_str().into());
        }
    }
    headers
}

/// What every request's options have in common.
fn common(headers: &RequestInit) -> RequestInit {
    let init = RequestInit::new();
    set(&init, "method", &"POST".into());
    set(&init, "headers", headers);
    set(&init, "redirect", &"manual".into());
    init
}

/// One call in flight: counted, and aborted where it is dropped before its end.
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

    /// The caller is done with it.
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

fn unreachable(error: &JsValue) -> Error {
    Error::new(
        ErrorKind::Connect,
        format!("fetch failed: {}", describe(error)),
    )
}

/// What a JavaScript error says, its cause included, which is where Node keeps the reason.
pub(crate) fn describe(error: &JsValue) -> String {
    let get = |value: &JsValue, name: &str| property(value, name).ok();
    let text = |value: &JsValue| get(value, "message").and_then(|message| message.as_string());
    let message = text(error)
        .or_else(|| error.as_string())
        .unwrap_or_else(|| "no reason given".to_owned());
    match get(error, "cause").as_ref().and_then(text) {
        Some(cause) => format!("{message}: {cause}"),
        None => message,
    }
}

/// A response's body. Dropped before its end, it is cancelled and its fetch aborted.
pub(crate) struct Body {
    reader: Option<Reader>,
    awaiter: Awaiter,
    call: Call,
}

impl Body {
    /// The next bytes; none at the end.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(reader) = &self.reader else {
            self.call.ended = true;
            return Poll::Ready(None);
        };
        let started = match self.awaiter.pending {
            true => Ok(()),
            false => reader.read().map(|promise| self.awaiter.start(&promise)),
        };
        let result = match started {
            Ok(()) => ready!(self.awaiter.poll(cx)),
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
                let what = describe(&error);
                Some(Err(Error::stream(format!(
                    "the connection broke in the middle of the reply: {what}"
                ))))
            }
        })
    }

    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The caller has all it wants of a reply that is whole: the little that may be left is read aside,
    /// so that the runtime can keep the connection.
    pub(crate) fn finish(mut self) {
        const AT_MOST: Duration = Duration::from_secs(1);
        self.call.release();
        background(async move {
            let rest = async { while let Some(Ok(_)) = self.chunk().await {} };
            timeout(AT_MOST, rest).await;
        });
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(Ok(cancelled)) = self.reader.take().map(|reader| reader.cancel()) {
            // Whether it succeeds is of no interest, but a rejection that nobody looks at ends Node. The awaiter
            // lives on until then.
            let mut awaiter = Awaiter::new();
            awaiter.start(&cancelled);
        }
    }
}
