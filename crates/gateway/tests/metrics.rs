//! `GET /metrics`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;
use warmline::{Client, Provider};
use warmline_gateway::{ApiKeys, Gateway};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scrapes_at_the_same_time_all_have_every_key() {
    let keys =
        r#"[{"name": "ops", "key": "ops-0123456789abcdef", "operator": true, "budget": "1"}]"#;
    let client = Client::builder(Provider::OpenAi)
        .api_key("test-key")
        .build();
    let gateway = Gateway::builder()
        .client(client.unwrap())
        .api_keys(ApiKeys::from_json(keys).unwrap())
        .build();
    let app = gateway.unwrap().router();
    let scrapers = (0..8).map(|_| {
        let app = app.clone();
        tokio::spawn(async move {
            for _ in 0..500 {
                let request = Request::get("/metrics").header("x-api-key", "ops-0123456789abcdef");
                let request = request.body(Body::empty()).unwrap();
                let response = app.clone().oneshot(request).await.unwrap();
                let bytes = response.into_body().collect().await.unwrap().to_bytes();
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                assert_eq!(text.matches("warmline_key_spend_usd{").count(), 2, "{text}");
                assert_eq!(text.matches("budget=\"key:ops\"").count(), 3, "{text}");
            }
        })
    });
    for scraper in scrapers.collect::<Vec<_>>() {
        scraper.await.unwrap();
    }
}
