//! The environment and `.env`, to a client of the provider that they name, or of the simulated one.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use warmline::{Client, ClientBuilder, Provider};
use warmline_sim::{Config, Sim};

use crate::dotenv;
use crate::report::Failure;

/// What the command line says about whom to call.
#[derive(Default)]
pub(crate) struct Overrides {
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) budget: Option<String>,
}

/// About as fast as a real model writes.
const PACE: Duration = Duration::from_millis(15);

/// A client of the provider that is named, or else of a simulated provider, which is returned with it.
pub(crate) async fn client(overrides: Overrides) -> Result<(Client, Option<Sim>), Failure> {
    let variables = Variables::read(overrides)?;
    if variables.name_a_provider() {
        return Ok((variables.builder(None)?.build()?, None));
    }
    let builder = variables.simulated().builder(None)?;
    let sim = start().await?;
    eprintln!(
        "neither ANTHROPIC_API_KEY nor OPENAI_API_KEY is set: talking to the simulated provider on {}",
        sim.url()
    );
    Ok((simulated(builder, &sim).build()?, Some(sim)))
}

/// A client's builder, of a provider that must be named.
pub(crate) fn builder(overrides: Overrides) -> Result<ClientBuilder, Failure> {
    let variables = Variables::read(overrides)?;
    if variables.name_a_provider() {
        return variables.builder(None);
    }
    let message =
        "there is nobody to call: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or give --base-url";
    Err(Failure::Config(message.to_owned()))
}

/// A client of each provider that there is a key or an address for, all on one budget. With `simulate`, a client of each provider,
/// simulated, whatever keys there are.
pub(crate) async fn clients(
    overrides: Overrides,
    simulate: bool,
    prepare: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<(Vec<Client>, Option<Sim>), Failure> {
    let mut variables = Variables::read(overrides)?;
    let mut sim = None;
    if simulate {
        variables = variables.simulated();
        sim = Some(start().await?);
    } else if !variables.name_a_provider() {
        let message = "there is no provider to call: set ANTHROPIC_API_KEY or OPENAI_API_KEY (or ANTHROPIC_BASE_URL or OPENAI_BASE_URL, \
            for a server that needs no key), or give --simulate to answer with the simulated provider";
        return Err(Failure::Config(message.to_owned()));
    }
    let mut clients: Vec<Client> = Vec::new();
    for provider in [Provider::Anthropic, Provider::OpenAi] {
        if sim.is_none() && !variables.name(provider) {
            continue;
        }
        let mut builder = variables.builder(Some(provider))?;
        if let Some(sim) = &sim {
            builder = simulated(builder, sim);
        }
        if let Some(first) = clients.first() {
            builder = builder.cost_tracker(first.cost_tracker().clone());
        }
        clients.push(prepare(builder).build()?);
    }
    if let Some(sim) = &sim {
        eprintln!(
            "--simulate: replies come from the simulated provider on {}, and keys of providers are not used",
            sim.url()
        );
    }
    Ok((clients, sim))
}

/// What is said by the command line, the environment and `.env`, in this order.
struct Variables {
    overrides: Overrides,
    file: HashMap<String, OsString>,
    /// Whether those that are for real calls only are left out.
    simulated: bool,
}

impl Variables {
    fn read(overrides: Overrides) -> Result<Self, Failure> {
        let file = dotenv::read()?;
        Ok(Self {
            overrides,
            file,
            simulated: false,
        })
    }

    /// Leaves out keys, addresses and the ledger: what is simulated is not money, and goes into no book that real calls are in.
    fn simulated(mut self) -> Self {
        self.simulated = true;
        self
    }

    fn get(&self, name: &str) -> Option<OsString> {
        let real = name.starts_with("LLM_LEDGER")
            || name.ends_with("_API_KEY")
            || name.ends_with("_BASE_URL");
        if self.simulated && real {
            return None;
        }
        let told = match name {
            "LLM_PROVIDER" => self.overrides.provider.clone(),
            "LLM_MODEL" => self.overrides.model.clone(),
            "LLM_BUDGET_LIMIT" => self.overrides.budget.clone(),
            "ANTHROPIC_BASE_URL" | "OPENAI_BASE_URL" => self.overrides.base_url.clone(),
            _ => None,
        };
        let set = |value: &OsString| value.to_str().is_none_or(|text| !text.trim().is_empty());
        told.map(OsString::from)
            .or_else(|| std::env::var_os(name).filter(set))
            .or_else(|| self.file.get(name).cloned().filter(set))
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
    Sim::start(config)
        .await
        .map_err(|e| Failure::Other(format!("the simulated provider cannot start: {e}")))
}
