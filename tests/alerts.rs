//! Pool alerts, end to end: that they are raised and reach the callback. The unit tests in `src/pool` show when they are due,
//! in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{ask, builder, limits, sim};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use warmline::{AlertThresholds, Client, Limits, PoolAlert, PoolAlertKind};
use warmline_sim::Sim;

/// Fails the test if the future takes ten seconds, far longer than expected.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, future).await.expect("no alert")
}

/// A client, and the alerts that its pool raises.
fn client_with_alerts(
    sim: &Sim,
    limits: Limits,
    thresholds: AlertThresholds,
) -> (Client, UnboundedReceiver<PoolAlert>) {
    let (sender, alerts) = unbounded_channel();
    let client = builder(sim)
        .limits(limits)
        .alert_thresholds(thresholds)
        .on_pool_alert(move |alert| sender.send(alert.clone()).unwrap())
        .build()
        .unwrap();
    (client, alerts)
}

#[tokio::test]
async fn a_long_wait_raises_one_alert_while_it_lasts() {
    let sim = sim().await;
    let thresholds = AlertThresholds {
        wait: Duration::from_millis(20),
        ..AlertThresholds::default()
    };
    let (client, mut alerts) = client_with_alerts(&sim, limits(1, 1), thresholds);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.chat(ask("hold")).await })
        })
        .collect();
    let alert = soon(alerts.recv()).await.unwrap();
    assert_eq!(alert.kind, PoolAlertKind::LongWait);
    assert_eq!(
        alert.to_string(),
        "a call has waited 20.0ms for a connection; max_connections is 1, and 2 calls are waiting: raise max_connections \
         (LLM_MAX_CONNECTIONS) as far as the provider's rate limits allow, or make fewer concurrent calls"
    );
    assert_eq!(
        (client.stats().waiting, client.stats().alerts),
        (2, Some(1))
    );
    sim.release(3);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // The second call's wait fell within the minute.
    assert!(alerts.is_empty());
}

#[tokio::test]
async fn an_alert_about_closed_connections_names_the_setting_to_change() {
    let sim = sim().await;
    let thresholds = AlertThresholds {
        window: Duration::from_millis(50),
        ..AlertThresholds::default()
    };
    let (client, mut alerts) = client_with_alerts(&sim, limits(3, 0), thresholds);
    let first_alert = async {
        loop {
            client.chat(ask("tokens=1")).await.unwrap();
            if let Ok(alert) = alerts.try_recv() {
                return alert;
            }
        }
    };
    let alert = soon(first_alert).await;
    assert_eq!(alert.kind, PoolAlertKind::HandshakesRising);
    assert_eq!(
        alert.hint,
        "at most 0 idle connections are kept: raise max_keepalive_connections (LLM_MAX_KEEPALIVE)"
    );
}

#[tokio::test]
async fn a_callback_that_panics_does_not_affect_calls() {
    let sim = sim().await;
    let thresholds = AlertThresholds {
        wait: Duration::from_millis(5),
        ..AlertThresholds::default()
    };
    let client = builder(&sim)
        .limits(limits(1, 1))
        .alert_thresholds(thresholds)
        .on_pool_alert(|alert| panic!("{alert}"))
        .build()
        .unwrap();
    let calls = [(); 2].map(|()| {
        let client = client.clone();
        tokio::spawn(async move { client.chat(ask("hold")).await })
    });
    soon(async {
        while client.stats().alerts == Some(0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    sim.release(2);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(client.stats().open, Some(1));
}
