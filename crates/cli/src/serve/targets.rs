//! The targets of the file of `--config`.

use std::path::Path;
use std::sync::Arc;

use warmline::shared::SharedState;
use warmline::{Client, ClientBuilder, CostTracker, Router, Target, may_be_secret};

use super::config::{Config, Routing, Seconds, Secret, TargetConfig, folder};
use crate::environment::Variables;
use crate::report::Failure;

/// Builds routers, and keeps the clients of targets that stay as they are, with their pools.
pub(crate) struct Targets {
    variables: Variables,
    /// What routers share with other gateways.
    shared: Option<Arc<dyn SharedState>>,
    prepare: Box<dyn Fn(ClientBuilder) -> ClientBuilder + Send>,
    /// What all clients share. `None` before the first is built.
    tracker: Option<CostTracker>,
    built: Vec<Built>,
    routing: Routing,
}

/// A target that was built.
#[derive(Clone)]
struct Built {
    config: TargetConfig,
    /// What its credentials were.
    secrets: [Option<String>; 2],
    client: Client,
}

impl Targets {
    pub(crate) fn new(
        variables: Variables,
        shared: Option<Arc<dyn SharedState>>,
        prepare: impl Fn(ClientBuilder) -> ClientBuilder + Send + 'static,
    ) -> Self {
        Self {
            variables,
            shared,
            prepare: Box::new(prepare),
            tracker: None,
            built: Vec::new(),
            routing: Routing::default(),
        }
    }

    /// Returns a router of the targets in a configuration, or `None` if nothing has changed since the last one.
    ///
    /// # Errors
    /// A setting is invalid. The message names the file and the place. The targets from before stay.
    pub(crate) fn router(
        &mut self,
        config: &Config,
        file: &Path,
        alerts: impl Fn(CostTracker) -> CostTracker,
    ) -> Result<Option<Router>, String> {
        let mut built: Vec<Built> = Vec::new();
        let mut is_new = self.built.len() != config.targets.len() || self.routing != config.routing;
        let place = |index: usize, why: String| {
            // The router says what is wrong with a long name.
            let name = config.targets[index].name.as_ref();
            let name = name.filter(|name| name.len() <= 64 && !may_be_secret(name));
            match name {
                Some(name) => format!("{}: targets[{index}] ({name}): {why}", file.display()),
                None => format!("{}: targets[{index}]: {why}", file.display()),
            }
        };
        // All are read before a client is built, which can log warnings.
        let mut all_secrets = Vec::new();
        for (index, target) in config.targets.iter().enumerate() {
            let secrets = self.secrets(target, file);
            all_secrets.push(secrets.map_err(|why| place(index, why))?);
        }
        for ((index, target), secrets) in config.targets.iter().enumerate().zip(all_secrets) {
            let known = self.built.iter().find(|of| {
                self.routing.max_retries == config.routing.max_retries
                    && of.config.name == target.name
                    && of.secrets == secrets
                    && same_client(&of.config, target)
            });
            is_new |= self
                .built
                .get(index)
                .is_none_or(|of| of.config != *target || of.secrets != secrets);
            let client = match known {
                Some(known) => known.client.clone(),
                None => {
                    let max_retries = config.routing.max_retries;
                    let builder = self.builder(target, &secrets, max_retries);
                    let mut builder = builder.map_err(|failure| place(index, message(failure)))?;
                    if let Some(tracker) = &self.tracker {
                        builder = builder.cost_tracker(tracker.clone());
                    }
                    let client = builder.build();
                    client.map_err(|error| place(index, own_advice(error.message())))?
                }
            };
            let client = match &self.tracker {
                Some(_) => client,
                None => {
                    let tracker = alerts(client.cost_tracker().clone());
                    self.tracker = Some(tracker.clone());
                    client.with_cost_tracker(tracker)
                }
            };
            built.push(Built {
                config: target.clone(),
                secrets,
                client,
            });
        }
        if !is_new {
            return Ok(None);
        }
        let router = router(&built, &config.routing, self.shared.clone());
        let router = router.map_err(|why| format!("{}: {why}", file.display()))?;
        self.built = built;
        self.routing = config.routing.clone();
        Ok(Some(router))
    }

    fn secrets(&self, target: &TargetConfig, file: &Path) -> Result<[Option<String>; 2], String> {
        if self.variables.are_simulated() {
            return Ok([None, None]);
        }
        let variable = |name: &str| self.variables.get(name)?.into_string().ok();
        let read = |field: &str, secret: &Option<Secret>| {
            let secret = secret
                .as_ref()
                .map(|secret| secret.read(folder(file), variable));
            secret.transpose().map_err(|why| format!("{field}.{why}"))
        };
        Ok([
            read("api_key", &target.api_key)?,
            read("bearer_token", &target.bearer_token)?,
        ])
    }

    /// Returns a builder of a target's client. What the file leaves out is as it is without a file.
    fn builder(
        &self,
        target: &TargetConfig,
        [api_key, bearer_token]: &[Option<String>; 2],
        max_retries: Option<u32>,
    ) -> Result<ClientBuilder, Failure> {
        let provider = target.provider;
        let seconds = |time: Option<Seconds>| time.map(|time| time.0.as_secs_f64().to_string());
        // A key of the environment is meant for the server of the environment.
        let has_access = api_key.is_some() || bearer_token.is_some() || target.base_url.is_some();
        let mut builder = self.variables.served_builder(provider, |name| {
            let own = match name {
                "LLM_MODEL" => Some(target.model.clone()),
                "LLM_MAX_CONNECTIONS" => target.max_connections.map(|n| Some(n.to_string())),
                "LLM_MAX_KEEPALIVE" => match target.max_keepalive_connections {
                    None if target.max_connections.is_some() => Some(None),
                    n => n.map(|n| Some(n.to_string())),
                },
                "LLM_KEEPALIVE_EXPIRY" => seconds(target.keepalive_expiry).map(Some),
                "LLM_TIMEOUT" => seconds(target.timeout).map(Some),
                "LLM_REPLY_TIMEOUT" => seconds(target.reply_timeout).map(Some),
                "LLM_DEADLINE" => seconds(target.deadline).map(Some),
                "LLM_MAX_RETRIES" => max_retries.map(|n| Some(n.to_string())),
                _ if name == provider.base_url_variable() => target.base_url.clone().map(Some),
                _ if has_access && provider.credential_variables().any(|of| of == name) => {
                    Some(None)
                }
                _ => None,
            };
            own.map(|own| own.map(Into::into))
        })?;
        if let Some(key) = api_key {
            builder = builder.api_key(key);
        }
        if let Some(token) = bearer_token {
            builder = builder.bearer_token(token);
        }
        if let Some(timeout) = target.pool_timeout {
            builder = builder.pool_timeout(timeout.0);
        }
        type Set = fn(ClientBuilder, &str) -> ClientBuilder;
        let settings: [(&Option<String>, Set); 5] = [
            (&target.resource, |builder, value| builder.resource(value)),
            (&target.region, |builder, value| builder.region(value)),
            (&target.project, |builder, value| builder.project(value)),
            (&target.deployment, |builder, value| {
                builder.deployment(value)
            }),
            (&target.api_version, |builder, value| {
                builder.api_version(value)
            }),
        ];
        for (value, set) in settings {
            if let Some(value) = value {
                builder = set(builder, value);
            }
        }
        Ok((self.prepare)(builder))
    }
}

/// Says where a target's key is set.
fn own_advice(message: &str) -> String {
    message.replace(
        "or pass a key to the client",
        r#"or give the target an api_key, such as {"env": "NAME"}"#,
    )
}

/// Whether two targets differ only in what concerns the router.
fn same_client(one: &TargetConfig, other: &TargetConfig) -> bool {
    let of_client = |target: &TargetConfig| TargetConfig {
        models: Default::default(),
        weight: None,
        priority: None,
        ..target.clone()
    };
    of_client(one) == of_client(other)
}

fn router(
    built: &[Built],
    routing: &Routing,
    shared: Option<Arc<dyn SharedState>>,
) -> Result<Router, String> {
    let mut builder = Router::builder()
        .balancing(routing.balancing)
        .cooldown(routing.cooldown)
        .rules(routing.rules.clone())
        .pacing(routing.pacing.unwrap_or(true));
    if let Some(hedging) = routing.hedging {
        builder = builder.hedging(hedging);
    }
    if let Some(state) = shared {
        builder = builder.shared_state(state);
    }
    if let Some(first) = built.first() {
        builder = builder.retry(first.client.retry_policy().clone());
    }
    for Built { config, client, .. } in built {
        let mut target = Target::new(client.clone()).priority(config.priority.unwrap_or_default());
        if let Some(name) = &config.name {
            target = target.name(name);
        }
        if let Some(weight) = config.weight {
            target = target.weight(weight.get());
        }
        for (name, own) in &config.models {
            target = target.model(name, own);
        }
        builder = builder.target(target);
    }
    builder.build().map_err(|error| error.message().to_owned())
}

fn message(failure: Failure) -> String {
    match failure {
        Failure::Config(message) | Failure::Other(message) => message,
        Failure::Call(error) => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Overrides;

    #[test]
    fn without_a_number_of_retries_in_the_file_that_of_the_environment_counts_again() {
        let variables = Variables::read(Overrides::default())
            .ok()
            .unwrap()
            .simulated();
        let mut targets = Targets::new(variables, None, |builder| builder.api_key("k"));
        let mut max_retries = |routing: &str| {
            let json =
                format!(r#"{{"targets": [{{"provider": "openai"}}], "routing": {routing}}}"#);
            let config: Config = serde_json::from_str(&json).unwrap();
            let router = targets.router(&config, Path::new("x.json"), |tracker| tracker);
            let router = router.unwrap().unwrap();
            let (_, client) = router.targets().next().unwrap();
            client.retry_policy().max_retries
        };
        let default = max_retries("{}");
        assert_eq!(max_retries(r#"{"max_retries": 77}"#), 77);
        assert_eq!(max_retries("{}"), default);
    }
}
