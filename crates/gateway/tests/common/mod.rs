//! A gateway before servers of the tests', and requests to it.
#![allow(dead_code, unreachable_pub)]

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use warmline::{Client, CostTracker, Provider, RetryPolicy};
use warmline_gateway::{Gateway, GatewayBuilder};
use warmline_sim::{Sim, Step};

pub const KEY: &str = "sk-0123456789abcdef";

pub fn client(provider: Provider, base_url: &str) -> Client {
    let builder = Client::builder(provider).api_key(KEY).base_url(base_url);
    let builder = builder.no_proxy().retry(RetryPolicy::never());
    builder.cost_tracker(CostTracker::new()).build().unwrap()
}

pub struct App(pub Router);

impl App {
    pub fn new(builder: GatewayBuilder) -> Self {
        Self(builder.build().unwrap().router())
    }

    pub fn of(sim: &Sim) -> Self {
        let anthropic = client(Provider::Anthropic, &sim.anthropic_url());
        let openai = client(Provider::OpenAi, &sim.openai_url());
        Self::new(Gateway::builder().client(anthropic).client(openai))
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.0.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        let body = body.map_or_else(|error| format!("cut: {error}").into(), |body| body);
        let body = String::from_utf8_lossy(&body).into_owned();
        (head.status, head.headers, body)
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, Value) {
        let (status, _, body) = self.send(Method::GET, path, headers, Body::empty()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (StatusCode, Value) {
        let (status, _, body) = self
            .send(Method::POST, path, headers, body.to_string())
            .await;
        let json = serde_json::from_str(&body).unwrap_or(Value::String(body));
        (status, json)
    }
}

pub fn reply(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![Step::Write(format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))]
}
