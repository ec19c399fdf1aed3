//! `warmline serve` as a program.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use warmline_sim::Sim;

use super::{before, outcome, warmline};

pub struct Gateway {
    pub child: Child,
    pub url: String,
    /// What it has said before it listened.
    pub said: String,
    pub http: reqwest::Client,
}

impl Gateway {
    /// In front of a simulated provider, and killed when dropped.
    pub async fn start(sim: &Sim, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = warmline(&["serve", "--port", "0"]);
        before(command.args(arguments), sim);
        command.envs(variables.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let listening = tokio::task::spawn_blocking(move || {
            let mut lines = stderr.lines().map_while(Result::ok);
            let mut said = String::new();
            let line = loop {
                let line = lines.next().unwrap();
                if line.contains("listening on") {
                    break line;
                }
                said.push_str(&line);
            };
            // What it goes on to say must find a reader.
            std::thread::spawn(move || lines.count());
            (said, line)
        });
        let (said, line) = listening.await.unwrap();
        let url = line
            .split([' ', ','])
            .find(|word| word.starts_with("http"))
            .unwrap();
        Self {
            child,
            url: url.to_owned(),
            said,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).body(body)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    pub async fn stats(&self) -> Value {
        json(self.get("/v1/llm/stats").await).await.1
    }

    /// Its counts, once they are as expected: what happens after a reply takes a moment.
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

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a gateway that does not come up.
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
