use std::time::Duration;

use wasm_bindgen::prelude::*;

use super::promise;
use crate::runtime::BoxFuture;
use crate::transport::Function;
use crate::{AccessToken, Result, TokenSource};

/// A token source in JavaScript: a function that returns a promise of the lifetime in milliseconds (empty if it is not known), a
/// space, and the token.
pub(super) struct JsTokenSource(pub(super) Function);

impl TokenSource for JsTokenSource {
    fn token(&self) -> BoxFuture<'static, Result<AccessToken>> {
        let asked = self.0.call0(&JsValue::NULL);
        Box::pin(async move {
            let answer = promise::string(asked, "bearerToken failed").await?;
            let (lifetime, token) = answer.split_once(' ').unwrap_or_default();
            let token = AccessToken::new(token);
            Ok(match lifetime.parse() {
                Ok(ms) => token.expires_in(Duration::from_millis(ms)),
                Err(_) => token,
            })
        })
    }
}
