//! Runs `warmline serve` as a program.

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use warmline_sim::Sim;

use super::process::GatewayProcess;
use super::{outcome, warmline, with_provider};

/// The paths of the dialects: Anthropic's and OpenAI's.
pub const PATHS: [&str; 2] = ["/v1/messages", "/v1/chat/completions"];

pub struct Gateway {
    pub process: GatewayProcess,
    pub http: reqwest::Client,
}

impl Gateway {
    /// Starts a gateway to a simulated provider. It is killed when this is dropped.
    pub async fn start(sim: &Sim, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = warmline(&["serve", "--port", "0"]);
        with_provider(command.args(arguments), sim);
        command.envs(variables.iter().copied());
        // The simulator must be able to answer while the gateway starts.
        let started = tokio::task::spawn_blocking(move || GatewayProcess::start(command));
        Self {
            process: started.await.unwrap().unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.process.url))
            .body(body)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http
            .get(format!("{}{path}", self.process.url))
            .send()
            .await
            .unwrap()
    }

    pub async fn stats(&self) -> Value {
        json(self.get("/v1/llm/stats").await).await.1
    }

    /// Waits until the statistics are as expected, since the end of a call is recorded after its reply.
    pub async fn until(&self, expected: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..500 {
            let stats = self.stats().await;
            if expected(&stats) {
                return stats;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{:#}", self.stats().await);
    }
}

/// Runs a gateway that does not start, and returns its exit code and stderr.
pub fn refused(arguments: &[&str]) -> (i32, String) {
    let mut command = warmline(&["serve"]);
    let output = command.args(arguments).env("OPENAI_API_KEY", "k").output();
    let (code, _, stderr) = outcome(output.unwrap());
    (code, stderr)
}

pub async fn json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")),
    )
}

/// The body of a request, with a scenario for the simulated provider and more fields.
pub fn ask(scenario: &str, more: Value) -> String {
    let mut body = json!({"model": format!("m?{scenario}"), "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body.to_string()
}
