//! Well-behaved callers, who make calls during every attack.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::caller::{PATIENCE, body};
use crate::provider::{Fate, REPLY_TOKENS};
use crate::{Failure, Result};

const CALLERS: usize = 4;

/// The pause of a caller between two calls.
const PAUSE: Duration = Duration::from_millis(25);

/// What became of a call. There is no third way for it to end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A whole reply.
    Whole,
    /// An error with this status, in the dialect's shape.
    Refused(u16),
}

/// Makes one call to its end.
///
/// # Errors
/// It had no outcome, or more than one.
pub async fn call(http: &reqwest::Client, address: SocketAddr, stream: bool) -> Result<Outcome> {
    let request = http.post(format!("http://{address}/v1/messages"));
    let request = request.body(body(Fate::Reply, stream, 64));
    let response = request.timeout(PATIENCE).send().await.map_err(told)?;
    let status = response.status().as_u16();
    let text = response.text().await.map_err(told)?;
    if status != 200 {
        let error: Value =
            serde_json::from_str(&text).map_err(|e| format!("{status}, {e}: {text:?}"))?;
        return match error["error"]["message"].as_str() {
            Some(_) => Ok(Outcome::Refused(status)),
            None => Err(format!("{status} without a message: {text}").into()),
        };
    }
    let ends = match stream {
        true => text.matches("event: message_stop").count() + text.matches("event: error").count(),
        false => usize::from(
            serde_json::from_str::<Value>(&text)
                .is_ok_and(|reply| reply["stop_reason"].is_string()),
        ),
    };
    let words = text.matches("word").count() as u64;
    match ends == 1 && words == REPLY_TOKENS && !text.contains("event: error") {
        true => Ok(Outcome::Whole),
        false => Err(format!("a reply with {ends} ends and {words} words: {text:?}").into()),
    }
}

/// An error with its causes.
fn told(error: reqwest::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.into()
}

pub fn http() -> Result<reqwest::Client> {
    // A connection for each call: none can be closed by the gateway as idle while a request is sent over it.
    let builder = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0);
    Ok(builder.build()?)
}

/// Callers who make calls until they are told to stop.
pub struct Honest {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    outcomes: BTreeMap<Outcome, usize>,
    without: Vec<String>,
}

impl Honest {
    pub fn start(address: SocketAddr) -> Result<Self> {
        let http = http()?;
        let (stop, seen) = (watch::Sender::new(false), Arc::<Mutex<Seen>>::default());
        let mut tasks = JoinSet::new();
        for caller in 0..CALLERS {
            let (http, seen, stopped) = (http.clone(), seen.clone(), stop.subscribe());
            tasks.spawn(async move {
                let mut stream = caller % 2 == 0;
                while !*stopped.borrow() {
                    let outcome = call(&http, address, stream).await;
                    stream = !stream;
                    {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        match outcome {
                            Ok(outcome) => *seen.outcomes.entry(outcome).or_default() += 1,
                            Err(why) => seen.without.push(why.to_string()),
                        }
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Ok(Self { tasks, stop, seen })
    }

    /// Lets the calls under way end. Returns the number of each outcome.
    ///
    /// # Errors
    /// The calls that had not exactly one outcome.
    pub async fn stop(mut self) -> Result<BTreeMap<Outcome, usize>> {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = seen.without.first() {
            let n = seen.without.len();
            return Err(
                format!("{n} well-behaved calls had not exactly one outcome: {first}").into(),
            );
        }
        Ok(std::mem::take(&mut seen.outcomes))
    }
}
