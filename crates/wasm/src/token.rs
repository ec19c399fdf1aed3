//! A token source in JavaScript.

use std::time::Duration;

use js_sys::Function;
use warmline::{AccessToken, BoxFuture, ErrorKind, Result, TokenSource};
use wasm_bindgen::JsValue;

use crate::promise::{field, settled};

/// A function that returns a promise of an object: the `token`, and `expiresInMs` if its lifetime is known.
pub(crate) struct JsTokenSource(pub(crate) Function);

impl TokenSource for JsTokenSource {
    fn token(&self) -> BoxFuture<'static, Result<AccessToken>> {
        let returned = self.0.call0(&JsValue::UNDEFINED);
        Box::pin(async move {
            let given = settled(returned, ErrorKind::Connect, "bearerToken failed").await?;
            let token = AccessToken::new(field(&given, "token").as_string().unwrap_or_default());
            let lifetime = field(&given, "expiresInMs").as_f64();
            Ok(match lifetime.filter(|ms| ms.is_finite()) {
                // A negative number becomes 0.
                Some(ms) => token.expires_in(Duration::from_millis(ms as u64)),
                None => token,
            })
        })
    }
}
