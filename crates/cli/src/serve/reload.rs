//! The configuration of `--config`, which can change while the gateway runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use warmline::shared::SharedState;
use warmline::{ClientBuilder, CostTracker, Router};
use warmline_gateway::{AlertLog, ApiKeys, Gateway};

use super::config::{Config, Keys, Listen, Secret, folder};
use super::keys;
use super::targets::Targets;
use super::watch::Watch;
use crate::environment::Variables;
use crate::report;

/// What was read of the file, and what is needed to read it again.
pub(crate) struct Configured {
    file: PathBuf,
    targets: Targets,
    alerts: AlertLog,
    /// What cannot change.
    listen: Listen,
    budget: Option<String>,
    needs_keys: bool,
    /// Whether `--keys` names the file of keys, which is then watched on its own.
    has_own_keys: bool,
    /// The files to watch.
    files: Vec<PathBuf>,
}

impl Configured {
    /// Builds what a configuration describes. `has_own_keys` tells whether `--keys` is given.
    ///
    /// # Errors
    /// Something in it is invalid. The message names the place.
    pub(crate) fn new(
        file: PathBuf,
        config: &Config,
        variables: Variables,
        shared: Option<Arc<dyn SharedState>>,
        alerts: AlertLog,
        prepare: impl Fn(ClientBuilder) -> ClientBuilder + Send + 'static,
        has_own_keys: bool,
    ) -> Result<(Self, Router, Option<ApiKeys>), String> {
        let mut configured = Self {
            file,
            targets: Targets::new(variables, shared, prepare),
            alerts,
            listen: config.listen.clone(),
            budget: config.budget.clone(),
            needs_keys: false,
            has_own_keys,
            files: Vec::new(),
        };
        let keys = configured.keys(config)?;
        configured.needs_keys = keys.is_some();
        if let Some((keys, file)) = &keys {
            keys::announce(keys, file);
        }
        let router = configured.router(config)?;
        let router = router.ok_or("targets: there is none")?;
        configured.files = configured.files_of(config)?;
        Ok((configured, router, keys.map(|(keys, _)| keys)))
    }

    /// Returns the files to watch.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.files.clone()
    }

    /// Returns the keys of callers, and the file that has them.
    fn keys(&self, config: &Config) -> Result<Option<(ApiKeys, PathBuf)>, String> {
        match config.keys(&self.file)? {
            Keys::None => Ok(None),
            _ if self.has_own_keys => Err(format!(
                "{}: keys: there is --keys as well: give one of them",
                self.file.display()
            )),
            Keys::Inline(keys) => Ok(Some((keys, self.file.clone()))),
            Keys::File(file) => Ok(Some((keys::read_again(&file)?, file))),
        }
    }

    fn router(&mut self, config: &Config) -> Result<Option<Router>, String> {
        let alerts = self.alerts.clone();
        let with_alerts = |tracker: CostTracker| {
            let alerts = alerts.clone();
            tracker.on_alert(move |alert| alerts.record_budget(alert))
        };
        self.targets.router(config, &self.file, with_alerts)
    }

    /// Returns the files that a configuration depends on.
    fn files_of(&self, config: &Config) -> Result<Vec<PathBuf>, String> {
        let mut files = vec![self.file.clone()];
        if let Keys::File(file) = config.keys(&self.file)? {
            files.push(file);
        }
        for target in &config.targets {
            for secret in [&target.api_key, &target.bearer_token]
                .into_iter()
                .flatten()
            {
                if let Secret::File(file) = secret {
                    files.push(folder(&self.file).join(file));
                }
            }
        }
        Ok(files)
    }

    /// Reads the file again, and applies what can change. Returns what cannot.
    ///
    /// # Errors
    /// Something in it is invalid. Nothing has changed then.
    fn reload(&mut self, gateway: &Gateway) -> Result<Vec<&'static str>, String> {
        let config = Config::read(&self.file)?;
        let files = self.files_of(&config)?;
        let keys = self.keys(&config)?;
        if keys.is_some() != self.needs_keys {
            return Err(format!(
                "{}: keys: whether callers need a key cannot change while the gateway runs: restart it",
                self.file.display()
            ));
        }
        if let Some(router) = self.router(&config)? {
            gateway.set_router(router);
        }
        if let Some((keys, file)) = keys {
            gateway
                .set_api_keys(keys.clone())
                .map_err(|error| error.to_string())?;
            keys::announce(&keys, &file);
        }
        self.files = files;
        let fixed = [
            ("listen", config.listen != self.listen),
            ("budget", config.budget != self.budget),
        ];
        let changed = fixed.into_iter().filter(|(_, changed)| *changed);
        Ok(changed.map(|(name, _)| name).collect())
    }
}

/// Reloads the configuration whenever one of its files has changed, and on SIGHUP. If it is invalid, the one from before stays.
pub(crate) async fn watch(gateway: Gateway, mut configured: Configured, mut watch: Watch) {
    loop {
        watch.changed().await;
        let of = gateway.clone();
        // A large file takes a while, in which others must be served.
        let reading = tokio::task::spawn_blocking(move || {
            let reloaded = configured.reload(&of);
            (configured, reloaded)
        });
        let Ok((back, reloaded)) = reading.await else {
            return;
        };
        configured = back;
        watch.set(configured.files());
        report_reload(&configured.file, reloaded);
    }
}

fn report_reload(file: &Path, reloaded: Result<Vec<&'static str>, String>) {
    let file = file.display();
    match reloaded {
        Ok(fixed) if fixed.is_empty() => {
            report::note(format_args!(
                "{file}: the configuration has been read again"
            ));
        }
        Ok(fixed) => report::note(format_args!(
            "{file}: the configuration has been read again, but {} cannot change while the gateway runs: restart it",
            fixed.join(" and ")
        )),
        Err(why) => report::note(format_args!(
            "{why}; the configuration from before stays in use"
        )),
    }
}
