//! A ledger in JavaScript.

use js_sys::{Array, Object, Reflect};
use warmline::{
    BoxFuture, Budget, BudgetExceeded, Error, ErrorKind, Ledger, Result, Settlement, Usd,
};
use wasm_bindgen::prelude::*;

use crate::promise::{field, settled};

#[wasm_bindgen]
extern "C" {
    /// The interface `Ledger` of `npm/src/budget.d.ts`. Amounts are whole pico-dollars.
    pub type JsLedger;
    #[wasm_bindgen(method, catch, js_name = reserve)]
    fn js_reserve(
        this: &JsLedger,
        id: &str,
        budgets: &Array,
        amount: u64,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = settle)]
    fn js_settle(this: &JsLedger, id: &str, amount: u64) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = state)]
    fn js_state(this: &JsLedger, budget: &str) -> Result<JsValue, JsValue>;
}

/// Each method calls JavaScript at once, not when its future is polled: in Workers the call belongs to the current request.
impl Ledger for JsLedger {
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>> {
        let list = budgets.iter().map(object).collect();
        let returned = self.js_reserve(&id.to_string(), &list, pico(amount));
        Box::pin(async move {
            let refused = answer(returned).await?;
            if !refused.is_truthy() {
                return Ok(Ok(()));
            }
            let name = field(&refused, "budget").as_string();
            let budget = budgets
                .iter()
                .find(|budget| Some(&budget.name) == name.as_ref());
            Ok(Err(BudgetExceeded {
                budget: budget
                    .cloned()
                    .ok_or_else(|| malformed("the name of a budget"))?,
                spent: usd(field(&refused, "spent"))?,
                reserved: usd(field(&refused, "reserved"))?,
            }))
        })
    }

    fn settle(&self, id: u64, amount: Usd) -> Settlement {
        let returned = self.js_settle(&id.to_string(), pico(amount));
        Settlement::Pending(Box::pin(async move {
            let spent = answer(returned).await?;
            let spent = spent.dyn_into::<Array>();
            let spent = spent.map_err(|_| malformed("a list of amounts"))?;
            spent.iter().map(usd).collect()
        }))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        let returned = self.js_state(budget);
        Box::pin(async move {
            let state = answer(returned).await?;
            Ok((
                usd(field(&state, "spent"))?,
                usd(field(&state, "reserved"))?,
            ))
        })
    }
}

async fn answer(returned: Result<JsValue, JsValue>) -> Result<JsValue> {
    settled(returned, ErrorKind::Ledger, "the ledger failed").await
}

fn object(budget: &Budget) -> Object {
    let object = Object::new();
    for (name, value) in [
        ("name", JsValue::from(&budget.name)),
        ("limit", JsValue::from(pico(budget.limit))),
    ] {
        // It fails only for an object that cannot be extended.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object
}

/// Returns an amount that fits into the signed integers of databases.
fn pico(amount: Usd) -> u64 {
    amount.pico().min(i64::MAX as u64)
}

fn usd(value: JsValue) -> Result<Usd> {
    let pico = u64::try_from(value);
    pico.map(Usd::from_pico)
        .map_err(|_| malformed("an amount in pico-dollars, which is a bigint"))
}

fn malformed(expected: &str) -> Error {
    let message = ["the ledger did not return ", expected].concat();
    Error::new(ErrorKind::Ledger, message)
}
