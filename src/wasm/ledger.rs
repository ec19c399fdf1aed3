use wasm_bindgen::prelude::*;

use super::promise;
use crate::Result;
use crate::cost::remote::LedgerTransport;
use crate::runtime::BoxFuture;
use crate::transport::Function;

/// A ledger in JavaScript: a function that takes the operation and its arguments and returns a promise of the answer.
pub(super) struct JsLedger(pub(super) Function);

impl LedgerTransport for JsLedger {
    fn call(
        &self,
        what: &'static str,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>> {
        let args = args.join(" ");
        // Called here, not when the future is first polled: in Workers the call belongs to the current request.
        let asked = self.0.call2(&JsValue::NULL, &what.into(), &args.into());
        Box::pin(async move {
            let answer = promise::string(asked, "the ledger failed").await?;
            Ok(answer.split_terminator(' ').map(str::to_owned).collect())
        })
    }
}
