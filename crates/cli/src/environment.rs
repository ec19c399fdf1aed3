//! The environment and `.env`, to a client; or to the simulated provider where they name none.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use warmline::{Client, ClientBuilder, Provider};
use warmline_sim::{Config, Sim};

use crate::dotenv;
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
    let variables = Variables::read(wanted)?;
    let builder = variables.builder(None)?;
    if variables.name_a_provider() {
        return Ok((builder.build()?, None));
    }
    let sim = start().await?;
    Ok((simulated(builder, &sim).build()?, Some(sim)))
}

/// A client's builder, of a provider that must be named.
pub(crate) fn builder(wanted: Wanted) -> Result<ClientBuilder, Failure> {
    let variables = Variables::read(wanted)?;
    if variables.name_a_provider() {
        return variables.builder(None);
    }
    let message =
        "there is nobody to call: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or give --base-url";
    Err(Failure::Config(message.to_owned()))
}

/// A client of each provider that there is a key or an address for, all on one budget; of both, simulated, where there is none.
pub(crate) async fn clients(
    wanted: Wanted,
    prepare: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<(Vec<Client>, Option<Sim>), Failure> {
    let variables = Variables::read(wanted)?;
    let mut clients: Vec<Client> = Vec::new();
    let mut sim = None;
    for provider in [Provider::Anthropic, Provider::OpenAi] {
        if variables.name_a_provider() && !variables.name(provider) {
            continue;
        }
        let mut builder = variables.builder(Some(provider))?;
        if !variables.name_a_provider() {
            let running = match sim.take() {
                Some(running) => running,
                None => start().await?,
            };
            builder = simulated(builder, &running);
            sim = Some(running);
        }
        if let Some(first) = clients.first() {
            builder = builder.cost(first.cost().clone());
        }
        clients.push(prepare(builder).build()?);
    }
    Ok((clients, sim))
}

/// What is said by the command line, the environment and `.env`, in this order.
struct Variables {
    wanted: Wanted,
    file: HashMap<String, OsString>,
}

impl Variables {
    fn read(wanted: Wanted) -> Result<Self, Failure> {
        let file = dotenv::read()?;
        Ok(Self { wanted, file })
    }

    fn get(&self, name: &str) -> Option<OsString> {
        let told = match name {
            "LLM_PROVIDER" => self.wanted.provider.clone(),
            "LLM_MODEL" => self.wanted.model.clone(),
            "LLM_BUDGET_LIMIT" => self.wanted.budget.clone(),
            "ANTHROPIC_BASE_URL" | "OPENAI_BASE_URL" => self.wanted.base_url.clone(),
            _ => None,
        };
        let set = |value: &OsString| !value.is_empty();
        told.map(OsString::from)
            .or_else(|| std::env::var_os(name).filter(set))
            .or_else(|| self.file.get(name).cloned())
    }

    fn name(&self, provider: Provider) -> bool {
        let variables = [provider.key_variable(), provider.base_url_variable()];
        variables.into_iter().any(|name| self.get(name).is_some())
    }

    fn name_a_provider(&self) -> bool {
        self.name(Provider::Anthropic) || self.name(Provider::OpenAi)
    }

    /// A client's builder, of the provider that is named where none is given.
    fn builder(&self, provider: Option<Provider>) -> Result<ClientBuilder, Failure> {
        let builder = ClientBuilder::from_vars(|name| match (name, provider) {
            ("LLM_PROVIDER", Some(provider)) => Some(provider.name().into()),
            // What is simulated is not money, and goes into no book that real calls are in.
            ("LLM_LEDGER", _) if !self.name_a_provider() => None,
            _ => self.get(name),
        });
        Ok(builder?)
    }
}

pub(crate) fn simulated(builder: ClientBuilder, sim: &Sim) -> ClientBuilder {
    let url = match builder.provider() {
        Provider::OpenAi => sim.openai_url(),
        _ => sim.anthropic_url(),
    };
    builder.api_key("simulated").base_url(url).no_proxy()
}

async fn start() -> Result<Sim, Failure> {
    let config = Config {
        pace: PACE,
        ..Config::default()
    };
    let sim = Sim::start(config)
        .await
        .map_err(|e| Failure::Other(format!("the simulated provider cannot start: {e}")))?;
    eprintln!(
        "neither ANTHROPIC_API_KEY nor OPENAI_API_KEY is set: talking to the simulated provider on {}",
        sim.url()
    );
    Ok(sim)
}
