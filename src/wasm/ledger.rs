use wasm_bindgen::prelude::*;

use crate::cost::remote::LedgerTransport;
use crate::runtime::BoxFuture;
use crate::transport::{Function, await_promise, describe};
use crate::{Error, ErrorKind, Result};

/// A ledger that JavaScript gives: a function that takes the operation and its arguments and returns a promise of the answer.
pub(super) struct JsLedger(pub(super) Function);

impl LedgerTransport for JsLedger {
    fn call(
        &self,
        what: &'static str,
        args: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<String>>> {
        let args = args.join(" ");
        // At once, and not when it is first awaited: in Workers it is asked in the name of the request that is under way.
        let asked = self.0.call2(&JsValue::NULL, &what.into(), &args.into());
        Box::pin(async move {
            let answer = match asked {
                Ok(promise) => await_promise(promise).await,
                Err(error) => Err(error),
            };
            let answer = answer.map_err(|e| {
                let why = describe(&e);
                Error::new(ErrorKind::Connect, ["the ledger failed: ", &why].concat())
            })?;
            let answer = answer.as_string().unwrap_or_default();
            Ok(answer.split_terminator(' ').map(str::to_owned).collect())
        })
    }
}
