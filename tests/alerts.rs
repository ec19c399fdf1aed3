//! What the pool tells of itself. When it does is proved beside it, in virtual time; here, that it is told, and to whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{ask, builder, limits, sim};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use warmline::{AlertThresholds, Client, Limits, PoolAlert, PoolAlertKind};
use warmline_sim::Sim;

/// What comes within ten seconds, far longer than it should take.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    let at_most = Duration::from_secs(10);
    tokio::time::timeout(at_most, what).await.expect("no alert")
}

/// A client that tells early.
fn watched(
    sim: &Sim,
    limits: Limits,
    thresholds: AlertThresholds,
) -> (Client, UnboundedReceiver<PoolAlert>) {
    let (tell, told) = unbounded_channel();
    let client = builder(sim)
        .limits(limits)
        .alert_thresholds(thresholds)
        .on_pool_alert(move |alert| tell.send(alert.clone()).unwrap())
        .build()
        .unwrap();
    (client, told)
}

#[tokio::test]
async fn a_long_wait_is_told_while_it_lasts() {
    let sim = sim().await;
    let thresholds = AlertThresholds {
        wait: Duration::from_millis(20),
        ..AlertThresholds::default()
    };
    let (client, mut told) = watched(&sim, limits(1, 1), thresholds);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.chat(ask("hold")).await })
        })
        .collect();
    let alert = soon(told.recv()).await.unwrap();
    assert_eq!(alert.kind, PoolAlertKind::LongWait);
    assert_eq!(
        alert.to_string(),
        "a call has waited 20.0ms for a connection, of which there may be 1; 2 wait now: raise max_connections (LLM_MAX_CONNECTIONS), as far as \
         the provider's rate limits allow, or make fewer calls at once"
    );
    assert_eq!(
        (client.stats().waiting, client.stats().alerts),
        (2, Some(1))
    );
    sim.release(3);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // The second one's wait was no news.
    assert!(told.is_empty());
}

#[tokio::test]
async fn connections_that_are_not_kept_are_told_with_what_to_change() {
    let sim = sim().await;
    let thresholds = AlertThresholds {
        window: Duration::from_millis(50),
        ..AlertThresholds::default()
    };
    let (client, mut told) = watched(&sim, limits(3, 0), thresholds);
    let telling = async {
        loop {
            client.chat(ask("tokens=1")).await.unwrap();
            if let Ok(alert) = told.try_recv() {
                return alert;
            }
        }
    };
    let alert = soon(telling).await;
    assert_eq!(alert.kind, PoolAlertKind::HandshakesRising);
    assert_eq!(
        alert.hint,
        "no more than 0 idle ones are kept: raise max_keepalive_connections (LLM_MAX_KEEPALIVE)"
    );
}

#[tokio::test]
async fn a_callback_that_panics_breaks_no_call() {
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
