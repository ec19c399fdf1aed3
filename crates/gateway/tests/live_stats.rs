//! `GET /v1/llm/stats?every=MS`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::FutureExt;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use tower::ServiceExt;
use warmline::{
    BoxFuture, Budget, BudgetExceeded, Client, CostTracker, Ledger, Provider, Settlement, Usd,
};
use warmline_gateway::Gateway;

/// A ledger that counts how often it is read.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

impl Ledger for Counted {
    fn reserve<'a>(
        &'a self,
        _id: u64,
        _budgets: &'a [Budget],
        _amount: Usd,
    ) -> BoxFuture<'a, warmline::Result<Result<(), BudgetExceeded>>> {
        Box::pin(async { Ok(Ok(())) })
    }

    fn settle(&self, _id: u64, _amount: Usd) -> Settlement {
        Settlement::Done(Ok(Vec::new()))
    }

    fn state<'a>(&'a self, _budget: &'a str) -> BoxFuture<'a, warmline::Result<(Usd, Usd)>> {
        Box::pin(async {
            self.0.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            Ok((Usd::ZERO, Usd::ZERO))
        })
    }
}

fn app(ledger: Counted) -> Router {
    let budget = Budget::monthly("all", "1".parse().unwrap()).unwrap();
    let client = Client::builder(Provider::OpenAi)
        .api_key("test-key")
        .cost_tracker(CostTracker::new().budget(budget).ledger(ledger));
    let gateway = Gateway::builder().client(client.build().unwrap());
    gateway.build().unwrap().router()
}

async fn live(app: &Router) -> Body {
    let request = Request::get("/v1/llm/stats?every=50").header("host", "localhost");
    let response = app
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await;
    response.unwrap().into_body()
}

async fn event(body: &mut Body) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn readers_at_the_same_time_share_an_event() {
    let ledger = Counted::default();
    let app = app(ledger.clone());
    let mut readers = join_all((0..100).map(|_| live(&app))).await;
    let events = join_all(readers.iter_mut().map(event)).await;
    assert!(events.iter().all(|event| event.starts_with(b"data: {")));
    // One event, or a few if the machine is so slow that it is outdated meanwhile.
    assert!(ledger.0.load(SeqCst) < 50, "{}", ledger.0.load(SeqCst));
}

#[tokio::test]
async fn a_reader_that_has_paused_gets_no_events_for_that_time() {
    let app = app(Counted::default());
    let mut reader = live(&app).await;
    event(&mut reader).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    event(&mut reader).await;
    // The next but one is due in 50 ms.
    let soon = async {
        event(&mut reader).await;
        event(&mut reader).await;
        event(&mut reader).await;
    };
    assert!(soon.now_or_never().is_none());
}
