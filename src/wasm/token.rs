use std::time::Duration;

use wasm_bindgen::prelude::*;

use crate::runtime::BoxFuture;
use crate::transport::{Function, await_promise, describe};
use crate::{AccessToken, Error, ErrorKind, Result, TokenSource};

/// A source of tokens that JavaScript gives: a function that returns a promise of a token after its lifetime in milliseconds, or nothing,
/// and a space.
pub(super) struct JsTokenSource(pub(super) Function);

impl TokenSource for JsTokenSource {
    fn token(&self) -> BoxFuture<'static, Result<AccessToken>> {
        let asked = self.0.call0(&JsValue::NULL);
        Box::pin(async move {
            let answer = match asked {
                Ok(promise) => await_promise(promise).await,
                Err(error) => Err(error),
            };
            let answer = answer.map_err(|e| {
                let why = describe(&e);
                Error::new(ErrorKind::Connect, ["bearerToken failed: ", &why].concat())
            })?;
            let answer = answer.as_string().unwrap_or_default();
            let (lifetime, token) = answer.split_once(' ').unwrap_or_default();
            let token = AccessToken::new(token);
            Ok(match lifetime.parse() {
                Ok(ms) => token.expires_in(Duration::from_millis(ms)),
                Err(_) => token,
            })
        })
    }
}
