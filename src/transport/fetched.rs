//! What `fetch` returns. A caller's own `fetch` may return an imitation, so each access can throw, and a chunk can be anything. An
//! exception that is not caught here would leave the module in the middle of its work.

use js_sys::{ArrayBuffer, DataView, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::Headers;

#[wasm_bindgen]
extern "C" {
    pub(super) type Response;
    #[wasm_bindgen(method, catch, getter)]
    pub(super) fn headers(this: &Response) -> Result<Headers, JsValue>;
    #[wasm_bindgen(method, catch, getter)]
    pub(super) fn body(this: &Response) -> Result<Option<Stream>, JsValue>;

    pub(super) type Stream;
    #[wasm_bindgen(method, catch, getter)]
    pub(super) fn locked(this: &Stream) -> Result<Option<bool>, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    pub(super) fn reader(this: &Stream) -> Result<Reader, JsValue>;

    pub(super) type Reader;
    #[wasm_bindgen(method, catch, js_name = read)]
    fn start_read(this: &Reader) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = cancel)]
    fn start_cancel(this: &Reader) -> Result<JsValue, JsValue>;

    pub(super) type ReadResult;
    #[wasm_bindgen(method, catch, getter)]
    pub(super) fn done(this: &ReadResult) -> Result<Option<bool>, JsValue>;
    #[wasm_bindgen(method, catch, getter)]
    fn value(this: &ReadResult) -> Result<JsValue, JsValue>;
}

impl Reader {
    pub(super) fn read(&self) -> Promise {
        promise(self.start_read())
    }

    pub(super) fn cancel(&self) -> Promise {
        promise(self.start_cancel())
    }
}

/// The maximum length of a chunk, in bytes. The module's memory must have room for it before the limit of a whole body applies.
const MAX_CHUNK: u32 = 1 << 28;

impl ReadResult {
    /// Returns the bytes of a chunk. Text counts as UTF-8, as mocks give it.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, JsValue> {
        let value = match self.value()?.dyn_into::<Uint8Array>() {
            Ok(bytes) => return copy(&bytes),
            Err(value) => value,
        };
        // Another type of array, or one of another realm.
        if ArrayBuffer::is_view(&value) {
            let view: DataView = value.unchecked_into();
            let (start, length) = (view.byte_offset(), view.byte_length());
            let bytes = Uint8Array::new_with_byte_offset_and_length(
                &view.buffer(),
                start as u32,
                length as u32,
            );
            return copy(&bytes);
        }
        value
            .as_string()
            .map(String::into_bytes)
            .ok_or_else(|| "a chunk of the body is neither bytes nor text".into())
    }
}

fn copy(bytes: &Uint8Array) -> Result<Vec<u8>, JsValue> {
    if bytes.length() > MAX_CHUNK {
        return Err("a chunk of the body is larger than 256 MiB".into());
    }
    Ok(bytes.to_vec())
}

/// Returns what a method returned, or threw, as a promise.
fn promise(returned: Result<JsValue, JsValue>) -> Promise {
    match returned {
        Ok(value) => Promise::resolve(&value),
        Err(thrown) => Promise::reject(&thrown),
    }
}
