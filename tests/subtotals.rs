//! Trackers whose calls are counted separately as well as in a sum.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, Mutex};

use common::money::{ask, client, tracker};
use common::sim;
use warmline::Usd;

#[tokio::test]
async fn a_subtotal_is_counted_separately_and_in_the_sum_and_shares_its_alerts() {
    let sim = sim().await;
    let alerts = Arc::new(Mutex::new(0));
    let count = alerts.clone();
    let sum = tracker("1").thresholds([0]);
    let whole = client(&sim, sum.on_alert(move |_| *count.lock().unwrap() += 1));
    let parts = [(); 2].map(|()| whole.with_cost_tracker(whole.cost_tracker().subtotal()));
    let mut expected = Usd::ZERO;
    for (calls, part) in parts.iter().enumerate() {
        let mut own = Usd::ZERO;
        for _ in 0..=calls {
            own = own
                + part
                    .chat(ask("tokens=1").max_tokens(1))
                    .await
                    .unwrap()
                    .cost
                    .unwrap()
                    .usd;
        }
        let spend = part.cost_tracker().spend().await.unwrap();
        assert_eq!(
            (spend.total, spend.models[0].calls),
            (own, calls as u64 + 1)
        );
        expected = expected + own;
    }
    let spend = whole.cost_tracker().spend().await.unwrap();
    assert_eq!((spend.total, spend.models[0].calls), (expected, 3));
    assert_eq!(spend.budgets[0].spent, expected);
    assert_eq!(*alerts.lock().unwrap(), 1);
}
