//! Promises: those that JavaScript gets, and those that its functions return.

use js_sys::{Promise, Reflect};
use warmline::{BoxFuture, Error, ErrorKind, Result};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::json;

/// Returns a promise of the result, which rejects with an error as JSON.
pub(crate) fn promise(result: impl Future<Output = Result<JsValue>> + 'static) -> Promise {
    // Boxed, because the code of a promise's task would be in the module for each type of future.
    let result: BoxFuture<'static, Result<JsValue>> = Box::pin(result);
    future_to_promise(async move { result.await.map_err(|e| json::error(&e)) })
}

/// Awaits what a function returned, or reports what it threw as an error of this kind. The message begins with `failed`.
pub(crate) async fn settled(
    returned: Result<JsValue, JsValue>,
    kind: ErrorKind,
    failed: &'static str,
) -> Result<JsValue> {
    let value = match returned {
        Ok(promise) => JsFuture::from(Promise::resolve(&promise)).await,
        Err(thrown) => Err(thrown),
    };
    value.map_err(|thrown| Error::new(kind, failed).with_source(describe(&thrown)))
}

/// Returns the message of something that was thrown, followed by that of its `cause`.
fn describe(thrown: &JsValue) -> String {
    let message = |of: &JsValue| field(of, "message").as_string();
    let text = message(thrown).or_else(|| thrown.as_string());
    let text = text.unwrap_or_else(|| "unknown error".to_owned());
    match message(&field(thrown, "cause")) {
        Some(cause) => [&text, ": ", &cause].concat(),
        None => text,
    }
}

/// Returns a property, or undefined if there is none.
pub(crate) fn field(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
