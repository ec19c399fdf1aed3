//! Clients as the command line, the environment and `.env` configure them.

use std::collections::HashMap;
use std::ffi::OsString;

use warmline::{Client, ClientBuilder, DialectName, Error, ErrorKind, Provider};

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

/// The providers to which the gateway sends models that no provider is known to have, one for each dialect, if they are configured.
const FIRST_SERVED: [Provider; 2] = [Provider::Anthropic, Provider::OpenAi];

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
    let mut builder = variables.builder()?;
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
/// If the variables are simulated, it is one for each of the first providers; `prepare` makes them call the simulated provider.
pub(crate) fn clients(
    variables: &Variables,
    prepare: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<Vec<Client>, Failure> {
    let mut providers = variables.served();
    if variables.simulated {
        providers = FIRST_SERVED.to_vec();
    } else if providers.is_empty() {
        let mut message = "no provider is configured: set ANTHROPIC_API_KEY, OPENAI_API_KEY or the key of another provider, or, for a server that \
            needs no key, its base URL, such as ANTHROPIC_BASE_URL or OPENAI_BASE_URL; or describe the targets in a file, and name that with --config"
            .to_owned();
        if cfg!(feature = "simulator") {
            message += "; --simulate answers with the simulated provider";
        }
        return Err(Failure::Config(message));
    }
    let mut clients: Vec<Client> = Vec::new();
    for provider in providers {
        let client = variables
            .served_builder(provider, |_| None)
            .and_then(|mut builder| {
                if let Some(first) = clients.first() {
                    builder = builder.cost_tracker(first.cost_tracker().clone());
                }
                let client = prepare(builder).build();
                client.map_err(|error| variables.name_source(error, provider))
            });
        match client {
            Ok(client) => clients.push(client),
            // Its variables can be there for another program.
            Err(Failure::Config(why)) if !FIRST_SERVED.contains(&provider) => {
                report::note(format_args!("{provider} is not served: {why}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    if clients.is_empty() {
        let message = "no provider can be served: see the messages above";
        return Err(Failure::Config(message.to_owned()));
    }
    if !variables.simulated {
        let names: Vec<_> = clients.iter().map(|of| of.provider().name()).collect();
        report::note(format_args!("serving {}", names.join(", ")));
    }
    Ok(clients)
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
    pub(crate) fn simulated(mut self) -> Self {
        self.simulated = true;
        self
    }

    pub(crate) fn are_simulated(&self) -> bool {
        self.simulated
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
        let mut variables = provider
            .credential_variables()
            .chain([provider.base_url_variable()]);
        variables.any(|name| !name.is_empty() && self.get(name).is_some())
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
            return FIRST_SERVED
                .into_iter()
                .any(|provider| self.configure(provider));
        };
        match name.to_str().and_then(|name| name.parse::<Provider>().ok()) {
            Some(provider) => !provider.needs_key() || self.configure(provider),
            // The builder reports the unknown name.
            None => true,
        }
    }

    /// The provider that `LLM_PROVIDER` names.
    fn named_provider(&self) -> Option<Provider> {
        self.get("LLM_PROVIDER")?.to_str()?.parse().ok()
    }

    /// Returns the providers that the gateway serves: those that are configured, and the one that is named if it needs no key.
    fn served(&self) -> Vec<Provider> {
        let named = self.named_provider().filter(|named| !named.needs_key());
        let others = Provider::all().filter(|provider| !FIRST_SERVED.contains(provider));
        let all = FIRST_SERVED.into_iter().chain(others);
        all.filter(|provider| self.configure(*provider) || named == Some(*provider))
            .collect()
    }

    /// Returns a builder of the gateway's client of a provider. `LLM_MODEL` is a model of the provider that `LLM_PROVIDER` names.
    /// Where `own` returns a value, or that there is none, that has precedence over the variable.
    pub(crate) fn served_builder(
        &self,
        provider: Provider,
        own: impl Fn(&str) -> Option<Option<OsString>>,
    ) -> Result<ClientBuilder, Failure> {
        let is_named = self.named_provider() == Some(provider);
        let builder = ClientBuilder::from_vars(|name| match (name, own(name)) {
            ("LLM_PROVIDER", _) => Some(provider.name().into()),
            (_, Some(own)) => own,
            // The gateway speaks the dialect of each request.
            ("LLM_DIALECT", None) => None,
            ("LLM_MODEL", None) if !is_named => None,
            _ => self.get(name),
        });
        builder.map_err(|error| self.name_source(error, provider))
    }

    /// Returns the URL of the ledger if it is in a Redis, and its token if it is reached over REST.
    pub(crate) fn redis(&self) -> Option<(String, Option<String>)> {
        let text = |name| self.get(name).and_then(|value| value.into_string().ok());
        let url = text("LLM_LEDGER")?.trim().to_owned();
        match url.split_once("://")?.0.to_ascii_lowercase().as_str() {
            "redis" | "rediss" => Some((url, None)),
            "http" | "https" => Some((url, Some(text("LLM_LEDGER_TOKEN").unwrap_or_default()))),
            _ => None,
        }
    }

    fn configured_builder(&self) -> Result<ClientBuilder, Failure> {
        if self.configure_a_provider() {
            return self.builder();
        }
        let missing = self.missing_keys();
        Err(Failure::Config(format!(
            "no provider is configured: {missing}; set a key, or give --base-url"
        )))
    }

    /// Says which keys are not set: that of the named provider, or those of all that speak the dialect.
    fn missing_keys(&self) -> String {
        if let Some(provider) = self.named_provider() {
            return format!("{} is not set", provider.key_variable());
        }
        let dialect = self.get("LLM_DIALECT");
        let dialect = dialect.and_then(|name| name.to_str()?.parse::<DialectName>().ok());
        let speaks = |of: &Provider| dialect.is_none_or(|it| of.dialect_names().contains(&it));
        let mut names = Vec::new();
        for provider in Provider::all().filter(|of| of.needs_key() && speaks(of)) {
            if !names.contains(&provider.key_variable()) {
                names.push(provider.key_variable());
            }
        }
        format!("no provider's key is set ({})", names.join(", "))
    }

    /// Returns a builder of a client of the provider that the variables name.
    fn builder(&self) -> Result<ClientBuilder, Failure> {
        let builder = ClientBuilder::from_vars(|name| self.get(name));
        builder.map_err(|error| self.name_source(error, Provider::Anthropic))
    }

    /// Names the option or the file that a wrong setting comes from. The library knows environment variables only.
    pub(crate) fn name_source(&self, error: Error, provider: Provider) -> Failure {
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
