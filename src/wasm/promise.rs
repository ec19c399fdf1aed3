use wasm_bindgen::prelude::*;

use crate::transport::{await_promise, describe};
use crate::{Error, ErrorKind, Result};

/// Awaits the string in the promise that a function of the caller's returned. The message of an error begins with `failed`.
pub(super) async fn string(
    returned: Result<JsValue, JsValue>,
    failed: &'static str,
) -> Result<String> {
    let value = match returned {
        Ok(promise) => await_promise(promise).await,
        Err(error) => Err(error),
    };
    let value = value.map_err(|e| {
        let why = describe(&e);
        Error::new(ErrorKind::Connect, [failed, ": ", &why].concat())
    })?;
    Ok(value.as_string().unwrap_or_default())
}
