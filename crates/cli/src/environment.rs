//! Clients as the command line, the environment and `.env` configure them.

use std::collections::HashMap;
use std::ffi::OsString;

use warmline::{Client, ClientBuilder, Error, ErrorKind, Provider};

use crate::dotenv;
use crate::report::{self, Failure};
use crate::simulator::Simulator;

/// What the command line sets; it takes precedence over the environment.
#[derive(Default)]
pub(crate) struct Overrides {
    pub(crate) provider: Option<String>,
    pub(crate) dialect: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) budget: Option<String>,
}

/// The providers that the gateway serves, one for each dialect.
const SERVED: [Provider; 2] = [Provider::Anthropic, Provider::OpenAi];

/// Returns the help of `--provider`.
pub(crate) fn provider_help() -> String {
    let ids: Vec<_> = Provider::all().map(Provider::name).collect();
    format!(
        "The provider: one of {}. [env: LLM_PROVIDER]",
        ids.join(", ")
    )
}

/// Returns a client of the configured provider. If none is configured, it calls a simulated provider, which is returned as well.
///
/// A build without the simulator fails instead.
pub(crate) async fn client(overrides: Overrides) -> Result<(Client, Option<Simulator>), Failure> {
    let variables = Variables::read(overrides)?;
    if variables.configure_a_provider() || !cfg!(feature = "simulator") {
        let builder = variables.configured_builder()?;
        let provider = builder.provider();
        let client = builder.build();
        let client = client.map_err(|error| variables.name_source(error, provider))?;
        return Ok((client, None));
    }
    let missing = variables.missing_keys();
    let variables = variables.simulated();
    let mut builder = variables.builder(None)?;
    if builder.provider().default_model().is_none() && variables.get("LLM_MODEL").is_none() {
        builder = builder.model("simulated");
    }
    let simulator = Simulator::start().await?;
    report::note(format_args!(
        "{missing}: calling the simulated provider on {}",
        simulator.url()
    ));
    Ok((simulator.redirect(builder).build()?, Some(simulator)))
}

/// Returns a builder of a client of the configured provider.
#[cfg(feature = "load")]
pub(crate) fn builder(overrides: Overrides) -> Result<ClientBuilder, Failure> {
    Variables::read(overrides)?.configured_builder()
}

/// Returns a client for each provider that has a key or a base URL. All share one cost tracker.
///
/// With `simulate`, returns a client for every provider. They call a simulated provider, which is returned as well.
pub(crate) async fn clients(
    mut variables: Variables,
    simulate: bool,
    prepare: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<(Vec<Client>, Option<Simulator>), Failure> {
    let mut simulator = None;
    if simulate {
        variables = variables.simulated();
        simulator = Some(Simulator::start().await?);
    } else if !SERVED
        .into_iter()
        .any(|provider| variables.configure(provider))
    {
        let mut message = "no provider is configured: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or, for a server that needs no key, \
            ANTHROPIC_BASE_URL or OPENAI_BASE_URL"
            .to_owned();
        if cfg!(feature = "simulator") {
            message += "; --simulate answers with the simulated provider";
        }
        if let Some(other) = variables.other_key() {
            message = format!(
                "{other} is set, but the gateway serves Anthropic and OpenAI only: {message}"
            );
        }
        return Err(Failure::Config(message));
    }
    let mut clients: Vec<Client> = Vec::new();
    for provider in SERVED {
        if simulator.is_none() && !variables.configure(provider) {
            continue;
        }
        let mut builder = variables.builder(Some(provider))?;
        if let Some(simulator) = &simulator {
            builder = simulator.redirect(builder);
        }
        if let Some(first) = clients.first() {
            builder = builder.cost_tracker(first.cost_tracker().clone());
        }
        let client = prepare(builder).build();
        clients.push(client.map_err(|error| variables.name_source(error, provider))?);
    }
    if let Some(simulator) = &simulator {
        report::note(format_args!(
            "--simulate: replies come from the simulated provider on {}, and keys of providers are not used",
            simulator.url()
        ));
    }
    Ok((clients, simulator))
}

/// The variables of the command line, the environment and `.env`, in this order of precedence.
pub(crate) struct Variables {
    overrides: Overrides,
    dotenv: HashMap<String, OsString>,
    /// Whether variables that only real calls need are ignored.
    simulated: bool,
}

impl Variables {
    pub(crate) fn read(overrides: Overrides) -> Result<Self, Failure> {
        Ok(Self {
            overrides,
            dotenv: dotenv::read()?,
            simulated: false,
        })
    }

    /// Ignores keys, base URLs and the ledger: simulated calls cost nothing, and must not be entered in a ledger of real ones.
    fn simulated(mut self) -> Self {
        self.simulated = true;
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<OsString> {
        let real_only = name.starts_with("LLM_LEDGER")
            || Provider::all().any(|provider| provider.variables().any(|own| own == name));
        if self.simulated && real_only {
            return None;
        }
        let overridden = match name {
            "LLM_PROVIDER" => self.overrides.provider.clone(),
            "LLM_DIALECT" => self.overrides.dialect.clone(),
            "LLM_MODEL" => self.overrides.model.clone(),
            "LLM_BUDGET_LIMIT" => self.overrides.budget.clone(),
            _ if Provider::all().any(|provider| provider.base_url_variable() == name) => {
                self.overrides.base_url.clone()
            }
            _ => None,
        };
        overridden
            .map(OsString::from)
            .or_else(|| from_environment(name))
            .or_else(|| self.dotenv.get(name).cloned().filter(is_set))
    }

    /// Whether there is a key or a base URL for a provider.
    fn configure(&self, provider: Provider) -> bool {
        let variables = [provider.key_variable(), provider.base_url_variable()];
        variables.into_iter().any(|name| self.get(name).is_some())
    }

    /// Whether a provider is configured: a key, a base URL, or a provider that is named and needs no key.
    fn configure_a_provider(&self) -> bool {
        let has_key = |provider: Provider| {
            let mut names = provider.credential_variables();
            names.any(|name| self.get(name).is_some())
        };
        if Provider::all().any(has_key) {
            return true;
        }
        let Some(name) = self.get("LLM_PROVIDER") else {
            return SERVED.into_iter().any(|provider| self.configure(provider));
        };
        match name.to_str().and_then(|name| name.parse::<Provider>().ok()) {
            Some(provider) => !provider.needs_key() || self.configure(provider),
            // The builder reports the unknown name.
            None => true,
        }
    }

    /// Returns the variable of a key that is set for a provider which the gateway does not serve.
    fn other_key(&self) -> Option<&'static str> {
        let others = Provider::all().filter(|provider| !SERVED.contains(provider));
        let mut names = others.flat_map(Provider::credential_variables);
        names.find(|name| self.get(name).is_some())
    }

    fn configured_builder(&self) -> Result<ClientBuilder, Failure> {
        if self.configure_a_provider() {
            return self.builder(None);
        }
        let missing = self.missing_keys();
        Err(Failure::Config(format!(
            "no provider is configured: {missing}; set a key, or give --base-url"
        )))
    }

    /// Says which keys are not set: that of the named provider, or those of all.
    fn missing_keys(&self) -> String {
        let named = self.get("LLM_PROVIDER");
        let named = named.and_then(|name| name.to_str()?.parse::<Provider>().ok());
        if let Some(provider) = named {
            return format!("{} is not set", provider.key_variable());
        }
        let mut names = Vec::new();
        for provider in Provider::all().filter(|provider| provider.needs_key()) {
            if !names.contains(&provider.key_variable()) {
                names.push(provider.key_variable());
            }
        }
        format!("no provider's key is set ({})", names.join(", "))
    }

    /// Returns a builder of a client of `provider`, or else of the one that the variables name.
    fn builder(&self, provider: Option<Provider>) -> Result<ClientBuilder, Failure> {
        let builder = ClientBuilder::from_vars(|name| match (name, provider) {
            ("LLM_PROVIDER", Some(provider)) => Some(provider.name().into()),
            // The gateway speaks the dialect of each request.
            ("LLM_DIALECT", Some(_)) => None,
            _ => self.get(name),
        });
        let provider = provider.unwrap_or(Provider::Anthropic);
        builder.map_err(|error| self.name_source(error, provider))
    }

    /// Names the option or the file that a wrong setting comes from. The library knows environment variables only.
    fn name_source(&self, error: Error, provider: Provider) -> Failure {
        let Overrides {
            provider: name,
            dialect,
            model,
            base_url,
            budget,
        } = &self.overrides;
        if *error.kind() != ErrorKind::Config {
            return error.into();
        }
        let mut message = error.message().to_owned();
        let url = provider.base_url_variable();
        if message.starts_with("the base URL ") && self.get(url).is_some() {
            message = format!("{url}: {message}");
        }
        let options = [
            ("LLM_PROVIDER", "--provider", name),
            ("LLM_DIALECT", "--dialect", dialect),
            ("LLM_MODEL", "--model", model),
            (url, "--base-url", base_url),
            ("LLM_BUDGET_LIMIT", "--budget", budget),
        ];
        let end = message.find([' ', ':']).unwrap_or_default();
        let variable = message.get(..end).unwrap_or_default();
        let mut options = options.into_iter();
        match options.find(|(name, ..)| *name == variable) {
            Some((_, option, Some(_))) => message.replace_range(..end, option),
            _ if from_environment(variable).is_none() && self.dotenv.contains_key(variable) => {
                message = format!(".env: {message}");
            }
            _ => {}
        }
        match std::error::Error::source(&error) {
            Some(cause) => Failure::Config(format!("{message}: {cause}")),
            None => Failure::Config(message),
        }
    }
}

fn from_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(is_set)
}

/// Whether a variable has a value. An empty or blank one counts as unset.
fn is_set(value: &OsString) -> bool {
    value.to_str().is_none_or(|text| !text.trim().is_empty())
}
