//! The environment and `.env`, to a client; or to the simulated provider where they name none.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use warmline::{Client, ClientBuilder, Provider};
use warmline_sim::{Config, Sim};

use crate::report::Failure;

/// What the command line says about whom to call.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) budget: Option<String>,
}

/// About as fast as a real model writes.
const PACE: Duration = Duration::from_millis(15);

/// A client, and the simulated provider where it is what the client calls.
pub(crate) async fn client(wanted: Wanted) -> Result<(Client, Option<Sim>), Failure> {
    let file = read_dotenv()?;
    let get = |name: &str| {
        let told = match name {
            "LLM_PROVIDER" => wanted.provider.clone(),
            "LLM_MODEL" => wanted.model.clone(),
            "LLM_BUDGET_LIMIT" => wanted.budget.clone(),
            "ANTHROPIC_BASE_URL" | "OPENAI_BASE_URL" => wanted.base_url.clone(),
            _ => None,
        };
        let set = |value: &OsString| !value.is_empty();
        told.map(OsString::from)
            .or_else(|| std::env::var_os(name).filter(set))
            .or_else(|| file.get(name).cloned())
    };
    let named = |variable: fn(Provider) -> &'static str| {
        [Provider::Anthropic, Provider::OpenAi]
            .into_iter()
            .any(|provider| get(variable(provider)).is_some())
    };
    if named(Provider::key_variable) || named(Provider::base_url_variable) {
        return Ok((ClientBuilder::from_vars(get)?.build()?, None));
    }
    // What is simulated is not money, and goes into no book that real calls are in.
    let builder = ClientBuilder::from_vars(|name| get(name).filter(|_| name != "LLM_LEDGER"))?;
    let sim = Sim::start(Config {
        pace: PACE,
        ..Config::default()
    })
    .await
    .map_err(|e| Failure::Other(format!("the simulated provider cannot start: {e}")))?;
    eprintln!(
        "neither ANTHROPIC_API_KEY nor OPENAI_API_KEY is set: talking to the simulated provider on {}",
        sim.url()
    );
    let url = match builder.provider() {
        Provider::OpenAi => sim.openai_url(),
        _ => sim.anthropic_url(),
    };
    let client = builder
        .api_key("simulated")
        .base_url(url)
        .no_proxy()
        .build()?;
    Ok((client, Some(sim)))
}

fn read_dotenv() -> Result<HashMap<String, OsString>, Failure> {
    let wrong = |e: dotenvy::Error| Failure::Config(format!(".env cannot be read: {e}"));
    match dotenvy::dotenv_iter() {
        Ok(lines) => lines
            .map(|line| line.map(|(k, v)| (k, v.into())).map_err(wrong))
            .collect(),
        Err(error) if error.not_found() => Ok(HashMap::new()),
        Err(error) => Err(wrong(error)),
    }
}
